//! URLs from outside (`src/transport/endpoint.rs`): which URLs may receive a token.
#![no_main]

use std::net::IpAddr;

use keyfob::internals::{origin, signs};
use keyfob::ureq::http::Uri;
use keyfob_fuzz::{Input, is_one_line};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let url = input.text();
    let other = String::from_utf8_lossy(input.rest()).into_owned();
    let shown = match origin(&url) {
        Ok(shown) => shown,
        Err(error) => {
            is_one_line(&error.to_string(), 200);
            let marked = origin(&(url + "?m4rk")).map_err(|error| format!("{error} {error:?}"));
            assert!(!marked.is_err_and(|error| error.contains("m4rk")), "an error shows a URL");
            return;
        }
    };
    let parts = split(&url).expect("what is taken has a scheme and a host");
    let (scheme, host, port) = &parts;
    assert!(!url.contains('#') && !authority(&url).contains('@'));
    if scheme == "http" {
        let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
        assert!(host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback()), "{url:?} goes out unencrypted");
    } else {
        assert_eq!(scheme, "https");
    }
    let default = if scheme == "https" { 443 } else { 80 };
    let expected =
        if *port == default { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{port}") };
    assert_eq!(shown, expected);

    let Ok(uri) = other.parse::<Uri>() else { return };
    let same = split(&other).is_some_and(|other| other == parts) && !authority(&other).contains('@');
    assert_eq!(signs(&url, &uri).unwrap(), same, "{url:?} and {other:?}");
    assert!(signs(&url, &url.parse().unwrap()).unwrap());
});

fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Reads scheme, host and port in another way.
fn split(url: &str) -> Option<(String, String, u16)> {
    let scheme = url.split_once("://")?.0.to_ascii_lowercase();
    let authority = authority(url).rsplit('@').next()?;
    let end = authority.find(']').map_or(0, |at| at + 1);
    let (host, port) = match authority[end..].find(':') {
        Some(at) => (&authority[..end + at], &authority[end + at + 1..]),
        None => (authority, ""),
    };
    let port = match port {
        "" => {
            if scheme == "https" {
                443
            } else {
                80
            }
        }
        port if port.bytes().all(|b| b.is_ascii_digit()) => port.parse().ok()?,
        _ => return None,
    };
    (!host.is_empty()).then(|| (scheme, host.to_ascii_lowercase(), port))
}
