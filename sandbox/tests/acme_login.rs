//! Acme's metadata, its pages for a person, logins of devices, and its API.

mod support;

use std::time::Duration;

use keyfob_sandbox::{AcmeSandbox, Discovery, Endpoint};
use serde_json::json;
use support::acme::*;
use support::*;

impl Setting {
    fn get(&self, url: &str) -> Reply {
        call(&self.agent, "GET", url, &[], "")
    }

    fn origin(&self) -> String {
        self.sandbox.issuer().strip_suffix("/acme").unwrap().to_owned()
    }

    /// Submits the form of a page, with its hidden field if there is one.
    fn submit(&self, page: &Reply, fields: &[(&str, &str)]) -> Reply {
        let url = format!("{}{}", self.origin(), between(&page.text, "action=\"", "\""));
        let hidden = page.text.contains("name=\"login\"");
        let login = hidden.then(|| ("login", between(&page.text, "name=\"login\" value=\"", "\"")));
        let fields: Vec<_> = login.into_iter().chain(fields.iter().copied()).collect();
        self.post_body(&url, &[], &form(&fields, &[]))
    }

    fn log_in_page(&self, page: &Reply) -> Reply {
        self.submit(page, &[("username", self.sandbox.username()), ("password", self.sandbox.password())])
    }
}

fn names(parameters: &[(String, String)]) -> Vec<&str> {
    parameters.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn metadata_is_at_both_addresses_or_at_one() {
    let it = Setting::new();
    let (issuer, origin) = (it.sandbox.issuer(), it.origin());
    let oauth = format!("{origin}/.well-known/oauth-authorization-server/acme");
    let openid = format!("{issuer}/.well-known/openid-configuration");
    let metadata = it.get(&oauth).json();
    assert_eq!(metadata, it.get(&openid).json());
    for (field, url) in [
        ("issuer", &issuer),
        ("authorization_endpoint", &it.sandbox.authorize_url()),
        ("token_endpoint", &it.sandbox.token_url()),
        ("device_authorization_endpoint", &it.sandbox.device_authorization_url()),
        ("introspection_endpoint", &it.sandbox.introspection_url()),
        ("revocation_endpoint", &it.sandbox.revocation_url()),
    ] {
        assert_eq!(metadata[field], *url, "{field}");
    }
    assert_eq!(metadata["authorization_response_iss_parameter_supported"], true);
    assert_eq!(metadata["code_challenge_methods_supported"], json!(["S256"]));
    let methods = json!(["client_secret_basic", "client_secret_post", "client_secret_jwt", "none"]);
    assert_eq!(metadata["token_endpoint_auth_methods_supported"], methods);

    for (discovery, at_oauth, at_openid) in [(Discovery::OAuth, 200, 404), (Discovery::OpenId, 404, 200)] {
        it.sandbox.set_discovery(discovery);
        assert_eq!((it.get(&oauth).status, it.get(&openid).status), (at_oauth, at_openid), "{discovery:?}");
    }
    it.sandbox.set_discovery(Discovery::Both);
    assert_eq!(it.get(&format!("{oauth}?a=b")).status, 422);
    assert_eq!(call(&it.agent, "POST", &oauth, &[], "a").status, 405);
    assert_eq!(it.get(&format!("{origin}/.well-known/oauth-authorization-server")).status, 404);
    assert_eq!(it.sandbox.count(Endpoint::Metadata), 8);
}

#[test]
fn login_in_a_browser_leads_back_with_code_state_and_issuer() {
    let it = Setting::new();
    let first = it.get(&it.authorize_url(&[]));
    assert_eq!(first.status, 200, "{}", first.text);
    assert!(first.text.contains("<title>Log in · Acme sandbox</title>"), "{}", first.text);
    let second = it.log_in_page(&first);
    assert!(second.text.contains("Read things <code>things.read</code>"), "{}", second.text);
    assert!(second.text.contains(REDIRECT_URI));
    let last = it.submit(&second, &[("decision", "allow")]);
    let parameters = query(last.header("location").unwrap());
    assert_eq!((last.status, names(&parameters)), (303, vec!["code", "state", "iss"]));
    assert_eq!((&*parameters[1].1, &*parameters[2].1), (STATE, &*it.sandbox.issuer()));
    assert_eq!(it.exchange(&parameters[0].1, &[]).status, 200);

    let denied = it.submit(&it.log_in_page(&it.get(&it.authorize_url(&[]))), &[("decision", "deny")]);
    let parameters = query(denied.header("location").unwrap());
    assert_eq!(names(&parameters), ["error", "error_description", "state", "iss"]);
    assert_eq!((&*parameters[0].1, denied.status), ("access_denied", 303));
    assert_eq!(parameters, query(&it.sandbox.deny(&it.authorize_url(&[]))));
}

#[test]
fn unknown_client_or_redirect_uri_causes_an_error_page_and_no_redirect() {
    let it = Setting::new();
    for (why, changes) in [
        ("unknown client", ("client_id", Some("nobody"))),
        ("no client", ("client_id", None)),
        ("no redirect URI", ("redirect_uri", None)),
        ("another host", ("redirect_uri", Some("http://evil.example/callback"))),
        ("another path", ("redirect_uri", Some("http://127.0.0.1:8765/other"))),
        ("a longer path", ("redirect_uri", Some("http://127.0.0.1:8765/callback/x"))),
        ("a query", ("redirect_uri", Some("http://127.0.0.1:8765/callback?a=b"))),
        ("with TLS", ("redirect_uri", Some("https://127.0.0.1:8765/callback"))),
        ("a host that begins alike", ("redirect_uri", Some("http://localhost.evil.example/callback"))),
    ] {
        let reply = it.get(&it.authorize_url(&[changes]));
        assert_eq!((reply.status, reply.header("location")), (400, None), "{why}");
        assert!(reply.text.contains("<title>Error: "), "{why}");
    }
    for uri in ["http://[::1]:9/callback", "http://localhost:1/callback", "http://127.0.0.1/callback"] {
        assert_eq!(it.get(&it.authorize_url(&[("redirect_uri", Some(uri))])).status, 200, "{uri}");
    }
}

#[test]
fn invalid_authorization_request_is_reported_to_the_redirect_uri() {
    let it = Setting::new();
    for (why, changes, error) in [
        ("no response type", ("response_type", None), "invalid_request"),
        ("implicit", ("response_type", Some("token")), "unsupported_response_type"),
        ("unknown scope", ("scope", Some("locations")), "invalid_scope"),
        ("no method", ("code_challenge_method", None), "invalid_request"),
        ("plain", ("code_challenge_method", Some("plain")), "invalid_request"),
        ("no challenge", ("code_challenge", None), "invalid_request"),
        ("short challenge", ("code_challenge", Some("x")), "invalid_request"),
        ("secret in the URL", ("client_secret", Some("x")), "invalid_request"),
        ("unknown parameter", ("prompt", Some("login")), "invalid_request"),
        ("no value", ("audience", Some("")), "invalid_request"),
        ("wrong target", ("resource", Some("https://other.example")), "invalid_target"),
    ] {
        let reply = it.get(&it.authorize_url(&[changes]));
        assert_eq!(reply.status, 303, "{why}: {}", reply.text);
        let parameters = query(reply.header("location").unwrap());
        assert_eq!(names(&parameters), ["error", "error_description", "state", "iss"], "{why}");
        assert_eq!(parameters[0].1, error, "{why}");
    }
    let twice = format!("{}&scope=things.read", it.authorize_url(&[]));
    assert_eq!(query(&it.sandbox.approve(&twice))[0].1, "invalid_request", "two scopes");
    let neither = [("code_challenge", None), ("code_challenge_method", None)];
    let callback = it.sandbox.approve(&it.authorize_url(&neither));
    assert_eq!(query(&callback)[1].1, "code_challenge is missing", "PKCE is required");
}

#[test]
fn device_authorization_names_codes_addresses_and_times() {
    let it = Setting::new();
    let reply = it.device(&[("scope", Some("things.write"))]);
    assert_eq!((reply.status, reply.header("cache-control")), (200, Some("no-store")), "{}", reply.text);
    let answer = reply.json();
    let (user_code, page) = (text(&answer, "user_code"), it.sandbox.verification_uri());
    assert_eq!(user_code.len(), 9);
    let expected = json!({
        "device_code": answer["device_code"], "user_code": user_code, "verification_uri": page,
        "verification_uri_complete": format!("{page}?user_code={user_code}"), "expires_in": 600, "interval": 5,
    });
    assert_eq!(answer, expected);
    let public = [("client_id", Some(it.sandbox.public_client_id())), ("client_secret", None)];
    assert_eq!(it.device(&public).status, 200);
    refused(
        &it.device(&[("client_secret", Some("x"))]),
        "invalid_client",
        "the client is not known or its secret is wrong",
    );
}

#[test]
fn device_login_is_allowed_on_the_pages() {
    let it = Setting::new();
    for prefilled in [false, true] {
        let device = it.device(&[]).json();
        let user_code = text(&device, "user_code");
        let field = if prefilled { "verification_uri_complete" } else { "verification_uri" };
        let first = it.get(&text(&device, field));
        let value = format!("value=\"{}\"", if prefilled { &user_code } else { "" });
        assert!(first.status == 200 && first.text.contains(&value), "{}", first.text);
        let entered = if prefilled { user_code.clone() } else { user_code.to_lowercase().replace('-', " ") };
        let second = it.submit(&first, &[("user_code", &entered)]);
        let third = it.log_in_page(&second);
        assert!(third.text.contains(&user_code), "{}", third.text);
        assert_eq!(it.poll(&text(&device, "device_code"), &[]).json()["error"], "authorization_pending");
        let last = it.submit(&third, &[("decision", "allow")]);
        assert!(last.status == 200 && last.text.contains("<h1>Access allowed</h1>"), "{}", last.text);
        it.sandbox.clock().advance(Duration::from_secs(5));
        let (access, refresh) = tokens(&it.poll(&text(&device, "device_code"), &[]));
        assert!(it.opens(&access));
        assert_eq!(it.refresh(&refresh, &[]).status, 200);
        let again = it.submit(&first, &[("user_code", &user_code)]);
        assert_eq!(again.status, 400, "a code is decided on once");
    }
    assert_eq!((it.sandbox.logins(), it.sandbox.count(Endpoint::Device)), (2, 6));
}

#[test]
fn unknown_user_code_is_reported_on_the_page() {
    let it = Setting::new();
    let page = it.get(&it.sandbox.verification_uri());
    for (entered, error) in [
        ("", "Enter the code that your device shows."),
        ("<b>BBBB", "No device waits for this code. It may have expired."),
    ] {
        let again = it.submit(&page, &[("user_code", entered)]);
        assert_eq!(again.status, 400);
        assert_eq!(between(&again.text, "id=\"error\" role=\"alert\">", "<"), error);
        assert!(
            again.text.contains("aria-invalid=\"true\"") && !again.text.contains("<b>"),
            "{}",
            again.text
        );
    }
    let uri = it.sandbox.verification_uri();
    assert_eq!(it.get(&format!("{uri}?user_code=a&user_code=b")).status, 400);
    assert_eq!(it.get(&format!("{uri}?device_code=a")).status, 400);
    assert_eq!(call(&it.agent, "PUT", &uri, &[], "a").status, 405);

    let device = it.device(&[]).json();
    let page = it.submit(&page, &[("user_code", &text(&device, "user_code"))]);
    let page = it.log_in_page(&page);
    it.sandbox.set_device_code_lifetime(Duration::from_secs(60));
    let short = it.device(&[]).json();
    it.sandbox.clock().advance(Duration::from_secs(60));
    let entry = it.get(&uri);
    assert_eq!(it.submit(&entry, &[("user_code", &text(&short, "user_code"))]).status, 400, "expired");
    it.sandbox.deny_device(&text(&device, "user_code"));
    assert_eq!(it.submit(&page, &[("decision", "allow")]).status, 400, "denied meanwhile");
}

#[test]
fn polls_are_answered_by_state_and_pace() {
    let it = Setting::new();
    it.sandbox.clock().stop();
    let device = it.device(&[]).json();
    let (device_code, user_code) = (text(&device, "device_code"), text(&device, "user_code"));
    let wait = |seconds| it.sandbox.clock().advance(Duration::from_secs(seconds));
    let poll = || it.poll(&device_code, &[]);
    let pending = |reply: &Reply| {
        refused(reply, "authorization_pending", "the person has not decided yet");
    };
    let too_fast = |reply: &Reply, seconds: u64| {
        refused(reply, "slow_down", &format!("{seconds} s must lie between two requests from now on"));
    };
    pending(&poll());
    wait(4);
    too_fast(&poll(), 10);
    wait(9);
    too_fast(&poll(), 15);
    wait(15);
    pending(&poll());
    it.sandbox.approve_device(&user_code);
    too_fast(&poll(), 20);
    wait(20);
    let (other, other_secret) = it.sandbox.add_client();
    let others = [("client_id", Some(other.as_str())), ("client_secret", Some(&other_secret))];
    refused(&it.poll(&device_code, &others), "invalid_grant", "the device code is not known");
    refused(&it.poll("x", &[]), "invalid_grant", "the device code is not known");
    let answer = poll();
    assert_eq!((answer.status, &answer.json()["scope"]), (200, &json!("things.read")));
    refused(&poll(), "invalid_grant", "the device code was used before");
}

#[test]
fn denied_and_expired_device_logins_are_refused() {
    let it = Setting::new();
    let device = it.device(&[]).json();
    it.sandbox.deny_device(&text(&device, "user_code"));
    let denied = it.poll(&text(&device, "device_code"), &[]);
    refused(&denied, "access_denied", "the person denied the request");

    it.sandbox.set_poll_interval(Duration::from_secs(1));
    it.sandbox.set_device_code_lifetime(Duration::from_secs(30));
    let device = it.device(&[]).json();
    assert_eq!((&device["interval"], &device["expires_in"]), (&json!(1), &json!(30)));
    it.sandbox.approve_device(&text(&device, "user_code"));
    it.sandbox.clock().advance(Duration::from_secs(30));
    let late = it.poll(&text(&device, "device_code"), &[]);
    refused(&late, "expired_token", "the device code has expired");
}

#[test]
#[should_panic(expected = "no device waits for the code BCDF-GHJK")]
fn approve_device_panics_for_an_unknown_code() {
    AcmeSandbox::start().approve_device("BCDF-GHJK");
}

#[test]
fn api_requires_a_bearer_token_with_its_scope() {
    let it = Setting::new();
    let url = format!("{}/things", it.sandbox.api_url());
    let read = bearer(&text(&it.client_credentials(&[]).json(), "access_token"));
    let write = it.client_credentials(&[("scope", Some("things.write"))]).json();
    let write = bearer(&text(&write, "access_token"));
    let json_type = ("content-type", "application/json");
    let challenge = |code: &str, text: &str| {
        Some(format!(r#"Bearer realm="Acme", error="{code}", error_description="{text}""#))
    };
    let scheme = challenge("invalid_request", "the header must have the scheme Bearer");
    let query = challenge("invalid_request", "no query is permitted here, and no token in it");
    let no_read = challenge("insufficient_scope", "the access token has no scope things.read");
    let no_write = challenge("insufficient_scope", "the access token has no scope things.write");
    let unknown = challenge("invalid_token", "the access token is not known, expired or revoked");
    let twice = challenge("invalid_request", "the header authorization was sent twice");
    let in_query = format!("{url}?access_token=x");
    let bare = Some(r#"Bearer realm="Acme""#.to_owned());
    let basic = it.basic();
    let wrong = bearer("x");
    for (method, url, headers, body, status, expected) in [
        ("GET", &url, vec![("authorization", read.as_str())], "", 200, None),
        ("POST", &url, vec![("authorization", &write), json_type], r#"{"name":"rope"}"#, 201, None),
        ("GET", &url, vec![], "", 401, bare),
        ("GET", &url, vec![("authorization", &wrong)], "", 401, unknown),
        ("GET", &url, vec![("authorization", &basic)], "", 400, scheme),
        ("GET", &url, vec![("authorization", &read), ("authorization", &read)], "", 400, twice),
        ("GET", &in_query, vec![("authorization", &read)], "", 400, query),
        ("GET", &url, vec![("authorization", &write)], "", 403, no_read),
        ("POST", &url, vec![("authorization", &read), json_type], r#"{"name":"x"}"#, 403, no_write),
        ("POST", &url, vec![("authorization", &write)], r#"{"name":"x"}"#, 400, None),
        ("POST", &url, vec![("authorization", &write), json_type], "{}", 400, None),
        ("PUT", &url, vec![("authorization", &write)], "x", 405, None),
        ("GET", &format!("{url}/1"), vec![("authorization", &read)], "", 404, None),
    ] {
        let reply = call(&it.agent, method, url, &headers, body);
        assert_eq!(reply.status, status, "{method} {headers:?}: {}", reply.text);
        assert_eq!(reply.header("www-authenticate"), expected.as_deref());
    }
    let things = call(&it.agent, "GET", &url, &[("authorization", &read)], "").json();
    assert_eq!(things, json!({ "things": ["anvil", "rocket skates", "giant magnet", "rope"] }));
    assert_eq!(it.sandbox.count(Endpoint::Things), 13);
}

#[test]
fn acme_sandbox_can_be_shared_between_threads_and_speak_tls() {
    fn shared<T: Send + Sync>() {}
    shared::<AcmeSandbox>();
    let sandbox = AcmeSandbox::start_tls();
    assert!(sandbox.issuer().starts_with("https://127.0.0.1:") && sandbox.api_url().starts_with("https://"));
    assert_eq!(sandbox.env().len(), 5);
}
