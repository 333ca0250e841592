//! The metadata of an authorization server (`src/metadata.rs`).
#![no_main]

use std::sync::LazyLock;

use keyfob::ClientAuth;
use keyfob::ErrorKind;
use keyfob::internals::metadata;
use keyfob_fuzz::{Input, Mark, is_json, is_one_line, json, unmarked};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const ISSUER: &str = "https://login.example.com/tenant";
static SECRET: LazyLock<Mark> = LazyLock::new(|| Mark::new("cl1ent-s3cret/+ =%7Vqz"));

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let status = [200, 201, 404, 401, 429, 302, 500, 503][usize::from(input.byte() & 7)];
    let body = SECRET.plant(1, input.rest());
    let text = unmarked(&body).to_vec();
    let json = json(&text);
    let member = |name: &str| json.as_ref().and_then(|json| json.get(name)).filter(|value| !value.is_null());
    // A secret in use: no error repeats it.
    let _client = ClientAuth::secret_post("id", SECRET.text());

    match metadata(ISSUER, status, body.into()) {
        Ok(Ok(found)) => {
            assert!((200..300).contains(&status) && is_json(&text));
            assert_eq!(found.issuer(), ISSUER);
            let endpoints = [
                ("token_endpoint", found.token_endpoint().ok()),
                ("authorization_endpoint", found.authorization_endpoint()),
                ("device_authorization_endpoint", found.device_authorization_endpoint()),
                ("introspection_endpoint", found.introspection_endpoint()),
                ("revocation_endpoint", found.revocation_endpoint()),
            ];
            for url in endpoints.iter().filter_map(|(_, url)| *url) {
                assert!(is_safe(url), "{url}");
            }
            // Without a number that is too large, and so on, the other parser reads the same.
            if json.is_some() {
                assert_eq!(member("issuer").and_then(Value::as_str), Some(ISSUER));
                for (name, url) in endpoints {
                    assert_eq!(member(name).map(|value| value.as_str().unwrap()), url, "{name}");
                }
                let promised = member("authorization_response_iss_parameter_supported");
                assert_eq!(
                    promised.is_some_and(|value| value.as_bool().unwrap()),
                    found.is_iss_parameter_supported()
                );
            }
        }
        Ok(Err(answered)) => {
            assert!(status < 500 && status != 429);
            let is_object = is_json(&text) && json.as_ref().is_some_and(Value::is_object);
            // The other parser takes bytes that are not UTF-8, and deeper values.
            assert!(
                !(200..300).contains(&status) || !is_object || std::str::from_utf8(&text).is_err(),
                "{answered}"
            );
            is_one_line(&answered, 100);
        }
        Err(error) => {
            let failed = status == 429 || status >= 500;
            assert_eq!(error.kind() == ErrorKind::Protocol, !failed);
            is_one_line(&error.to_string(), 900);
            SECRET.is_hidden_in(&format!("{error} {error:?}"));
        }
    }
});

/// Whether the URL is https, or http to a loopback host.
fn is_safe(url: &str) -> bool {
    let lower = url.to_ascii_lowercase();
    let host_of = |scheme: &str| {
        let rest = lower.strip_prefix(scheme)?;
        Some(rest.split(['/', '?', '#']).next().unwrap_or_default().to_owned())
    };
    if let Some(host) = host_of("https://") {
        return !host.is_empty() && !host.contains('@');
    }
    host_of("http://").is_some_and(|host| {
        host.starts_with("localhost")
            || host.starts_with("127.")
            || host.starts_with("[") && !host.contains('@')
    })
}
