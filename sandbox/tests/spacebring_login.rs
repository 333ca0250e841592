//! Spacebring's pages, and what they report to the application.

mod support;

use std::time::Duration;

use keyfob_sandbox::{Endpoint, SCOPES, SpacebringSandbox};
use support::spacebring::*;
use support::*;

impl Setting {
    fn page(&self, changes: Changes<'_>) -> Reply {
        call(&self.agent, "GET", &self.authorize_url(changes), &[], "")
    }

    /// Submits the form of a page, with its hidden field.
    fn submit(&self, page: &Reply, fields: &[(&str, &str)]) -> Reply {
        let action = between(&page.text, "action=\"", "\"");
        let login = between(&page.text, "name=\"login\" value=\"", "\"");
        let body = form(&[&[("login", login)], fields].concat(), &[]);
        let url = format!("{}{action}", self.sandbox.api_url());
        call(&self.agent, "POST", &url, &[("content-type", FORM)], &body)
    }

    fn log_in_page(&self, page: &Reply, username: &str, password: &str) -> Reply {
        self.submit(page, &[("username", username), ("password", password)])
    }

    fn consent_page(&self, changes: Changes<'_>) -> Reply {
        let page = self.page(changes);
        self.log_in_page(&page, self.sandbox.username(), self.sandbox.password())
    }
}

fn pairs(parameters: &[(String, String)]) -> Vec<(&str, &str)> {
    parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[test]
fn login_and_consent_lead_back_with_a_code() {
    let it = Setting::new();
    let first = it.page(&[]);
    assert_eq!(first.status, 200);
    for expected in ["<html lang=\"en\">", "<title>Log in ·", "name=\"viewport\"", "for=\"password\""] {
        assert!(first.text.contains(expected), "{expected}");
    }
    assert!(!first.text.contains("<script") && !first.text.contains(" aria-invalid="));

    let second = it.log_in_page(&first, it.sandbox.username(), it.sandbox.password());
    assert_eq!(second.status, 200, "{}", second.text);
    assert!(second.text.contains("Read and write locations <code>locations</code>"));
    assert!(second.text.contains("Read and write resources and bookings <code>resources</code>"));
    assert!(second.text.contains(REDIRECT_URI));
    for page in [&first, &second] {
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
        assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
    }

    let last = it.submit(&second, &[("decision", "allow")]);
    let location = last.header("location").unwrap();
    assert_eq!((last.status, location.split('?').next()), (303, Some(REDIRECT_URI)));
    let parameters = query(location);
    let [("code", code), ("state", STATE)] = pairs(&parameters)[..] else { panic!("{location}") };
    assert_eq!(it.exchange(code, &[]).status, 200);

    for endpoint in [Endpoint::Authorize, Endpoint::LogIn, Endpoint::Consent, Endpoint::Token] {
        assert_eq!(it.sandbox.count(endpoint), 1, "{endpoint:?}");
    }
    assert_eq!((it.sandbox.total(), it.sandbox.logins()), (4, 1));
}

#[test]
fn wrong_credentials_are_reported_and_consent_can_be_denied() {
    let it = Setting::new();
    let (username, password) = (it.sandbox.username(), it.sandbox.password());
    let first = it.page(&[]);
    for (username, password, error, invalid_fields) in [
        ("", "", "Enter your email and your password.", 2),
        ("", password, "Enter your email.", 1),
        (username, "", "Enter your password.", 1),
        (username, "wrong", "The email or the password is wrong.", 2),
        ("<b>\"nobody\"</b>", password, "The email or the password is wrong.", 2),
    ] {
        let again = it.log_in_page(&first, username, password);
        assert_eq!(again.status, 400);
        assert!(again.text.contains("<title>Error: Log in"), "{}", again.text);
        assert_eq!(between(&again.text, "id=\"error\" role=\"alert\">", "<"), error);
        let tied = "aria-invalid=\"true\" aria-describedby=\"error\"";
        assert_eq!(again.text.matches(tied).count(), invalid_fields, "{error}");
        assert!(!again.text.contains("<b>"), "{}", again.text);
        assert!(again.text.matches(" autofocus").count() == 1);
    }

    let denied = it.submit(&it.log_in_page(&first, username, password), &[("decision", "deny")]);
    let parameters = query(denied.header("location").unwrap());
    let expected =
        [("error", "access_denied"), ("error_description", "The user denied the request."), ("state", STATE)];
    assert_eq!((denied.status, pairs(&parameters)), (303, expected.to_vec()));
}

#[test]
fn pages_are_valid_once_in_order_and_for_ten_minutes() {
    let it = Setting::new();
    let first = it.page(&[]);
    let skipped = first.text.replace("/oauth2/login", "/oauth2/consent");
    let skipped = it.submit(&Reply { text: skipped, ..it.page(&[]) }, &[("decision", "allow")]);
    assert_eq!((skipped.status, skipped.header("location")), (400, None), "nobody logged in");

    let second = it.consent_page(&[]);
    assert_eq!(it.submit(&second, &[("decision", "perhaps")]).status, 400);
    assert_eq!(it.submit(&second, &[("decision", "allow")]).status, 303);
    let again = it.submit(&second, &[("decision", "allow")]);
    assert_eq!((again.status, again.header("location")), (400, None), "used already");

    let late = it.consent_page(&[]);
    it.sandbox.clock().advance(Duration::from_secs(600));
    assert_eq!(it.submit(&late, &[("decision", "allow")]).status, 400, "too late");
    assert_eq!(it.log_in_page(&first, it.sandbox.username(), it.sandbox.password()).status, 400);
    assert!(it.submit(&late, &[]).text.contains("<title>Error: "));
}

#[test]
fn unknown_client_or_redirect_uri_causes_an_error_page_and_no_redirect() {
    let it = Setting::new();
    it.sandbox.add_redirect_uri("https://app.example/callback");
    let (other, _) = it.sandbox.add_client();
    for (why, changes) in [
        ("unknown client", ("client_id", Some("<script>alert(1)</script>"))),
        ("no client", ("client_id", None)),
        ("no redirect URI", ("redirect_uri", None)),
        ("another host", ("redirect_uri", Some("https://evil.example/callback"))),
        ("another path", ("redirect_uri", Some("https://app.example/callback/../other"))),
        ("a longer one", ("redirect_uri", Some("https://app.example/callback?x=y"))),
        ("localhost by name", ("redirect_uri", Some("http://localhost:8765/callback"))),
        ("loopback with TLS", ("redirect_uri", Some("https://127.0.0.1:8765/callback"))),
        ("a host that begins alike", ("redirect_uri", Some("http://127.0.0.1.evil.example/"))),
        ("user info", ("redirect_uri", Some("http://127.0.0.1@evil.example/"))),
        ("user info with a port", ("redirect_uri", Some("http://127.0.0.1:80@evil.example/"))),
        ("too large a port", ("redirect_uri", Some("http://127.0.0.1:65536/"))),
        ("a fragment", ("redirect_uri", Some("http://127.0.0.1:8765/#here"))),
        ("a line break", ("redirect_uri", Some("http://127.0.0.1:8765/\r\nx: y"))),
    ] {
        let reply = it.page(&[changes]);
        assert_eq!((reply.status, reply.header("location")), (400, None), "{why}");
        assert!(reply.text.contains("<title>Error: ") && !reply.text.contains("<script"), "{why}");
    }
    let twice = format!("{}&client_id={other}", it.authorize_url(&[]));
    let reply = call(&it.agent, "GET", &twice, &[], "");
    assert_eq!((reply.status, reply.header("location")), (400, None), "two clients");
    let posted = call(&it.agent, "POST", &it.authorize_url(&[]), &[("content-type", FORM)], "a=b");
    assert_eq!((posted.status, posted.header("allow")), (405, Some("GET")));

    for uri in [
        "http://127.0.0.1/",
        "http://127.0.0.1:1",
        "http://[::1]:65535/a/b?c=d",
        "https://app.example/callback",
    ] {
        assert_eq!(it.page(&[("redirect_uri", Some(uri))]).status, 200, "{uri}");
    }
    let callback = it.sandbox.approve(&it.authorize_url(&[("redirect_uri", Some("http://[::1]:9/?c=d"))]));
    assert!(callback.starts_with("http://[::1]:9/?c=d&code="), "{callback}");
}

#[test]
fn invalid_authorization_request_is_reported_to_the_redirect_uri() {
    let it = Setting::new();
    let plain = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw";
    for (why, changes, error) in [
        ("no response type", ("response_type", None), "invalid_request"),
        ("token", ("response_type", Some("token")), "unsupported_response_type"),
        ("no scope", ("scope", None), "invalid_request"),
        ("empty scope", ("scope", Some(" ,")), "invalid_scope"),
        ("unknown scope", ("scope", Some("locations <b>")), "invalid_scope"),
        ("scope in another case", ("scope", Some("Locations")), "invalid_scope"),
        ("no method", ("code_challenge_method", None), "invalid_request"),
        ("plain", ("code_challenge_method", Some("plain")), "invalid_request"),
        ("no challenge", ("code_challenge", None), "invalid_request"),
        ("short challenge", ("code_challenge", Some(plain)), "invalid_request"),
        ("padded challenge", ("code_challenge", Some(&format!("{plain}cM="))), "invalid_request"),
        ("unknown parameter", ("prompt", Some("login")), "invalid_request"),
    ] {
        let reply = it.page(&[changes]);
        assert_eq!(reply.status, 303, "{why}: {}", reply.text);
        let parameters = query(reply.header("location").unwrap());
        let [("error", code), ("error_description", _), ("state", STATE)] = pairs(&parameters)[..] else {
            panic!("{why}: {parameters:?}");
        };
        assert_eq!(code, error, "{why}");
    }
    for (why, url) in [
        ("two states", format!("{}&state=x", it.authorize_url(&[]))),
        ("state beyond ASCII", it.authorize_url(&[("state", Some("é"))])),
    ] {
        let parameters = query(&it.sandbox.approve(&url));
        assert_eq!(parameters[0], ("error".to_owned(), "invalid_request".to_owned()), "{why}");
    }
    assert_eq!(it.sandbox.count(Endpoint::Token), 0);
}

#[test]
fn all_published_scopes_are_accepted_and_described() {
    let it = Setting::new();
    let names: Vec<_> = SCOPES.iter().map(|(name, _)| *name).collect();
    for separator in [" ", ",", ", "] {
        let scope = names.join(separator);
        let code = it.code(&[("scope", Some(&scope))]);
        assert_eq!(it.exchange(&code, &[]).json()["scope"], names.join(" "));
    }
    let page = it.consent_page(&[("scope", Some(&names.join(" ")))]).text;
    assert!(SCOPES.iter().all(|(_, description)| page.contains(description)));
}

#[test]
fn client_id_and_redirect_uri_are_escaped_in_pages() {
    let it = Setting::new();
    it.sandbox.add_client_with_secret("<img src=x>\" & '", "secret");
    it.sandbox.add_redirect_uri("app:<i>");
    let changes = [("client_id", Some("<img src=x>\" & '")), ("redirect_uri", Some("app:<i>"))];
    let first = it.page(&changes);
    let second = it.log_in_page(&first, it.sandbox.username(), it.sandbox.password());
    for page in [first, second] {
        assert!(page.text.contains("<strong>&lt;img src=x&gt;&quot; &amp; &#39;</strong>"), "{}", page.text);
        assert!(!page.text.contains("<i>") && !page.text.contains("<img"));
    }
}

#[test]
fn approve_and_deny_return_the_callback_without_a_browser() {
    let it = Setting::new();
    let allowed = it.sandbox.approve(&it.authorize_url(&[]));
    let parameters = query(&allowed);
    let [("code", _), ("state", STATE)] = pairs(&parameters)[..] else { panic!("{allowed}") };
    let denied = query(&it.sandbox.deny(&it.authorize_url(&[("state", None)])));
    assert_eq!(denied[0], ("error".to_owned(), "access_denied".to_owned()));
    assert_eq!((denied.len(), it.sandbox.total()), (2, 0));
}

#[test]
#[should_panic(expected = "the browser shows an error page: The application is not known")]
fn approve_panics_where_the_browser_would_show_an_error_page() {
    let it = Setting::new();
    it.sandbox.approve(&it.authorize_url(&[("client_id", Some("nobody"))]));
}

#[test]
fn callbacks_can_be_sent_without_state() {
    let it = Setting::new();
    it.sandbox.set_state_echo(false);
    for callback in [it.sandbox.approve(&it.authorize_url(&[])), it.sandbox.deny(&it.authorize_url(&[]))] {
        assert!(!callback.contains("state="), "{callback}");
    }
    it.sandbox.set_state_echo(true);
    assert!(it.sandbox.approve(&it.authorize_url(&[])).ends_with("&state=a+state+%26+more"));
}

#[test]
fn undocumented_parameters_can_be_refused() {
    let it = Setting::new();
    it.sandbox.set_documented_only(true);
    let documented = [("state", None), ("code_challenge", None), ("code_challenge_method", None)];
    for (position, extra) in documented.iter().map(|(name, _)| *name).enumerate() {
        let mut changes = documented;
        changes[position] = (extra, Some("x"));
        let parameters = query(&it.sandbox.approve(&it.authorize_url(&changes)));
        let description = format!("{extra} is no parameter here");
        let expected = [("error", "invalid_request"), ("error_description", description.as_str())];
        assert_eq!(pairs(&parameters), expected);
    }

    let code = it.code(&documented);
    for (extra, other) in [("redirect_uri", "code_verifier"), ("code_verifier", "redirect_uri")] {
        let refused = it.exchange(&code, &[(other, None)]);
        assert_eq!(refused.json()["error_description"], format!("{extra} is no parameter here"));
    }
    let reply = it.exchange(&code, &[("redirect_uri", None), ("code_verifier", None)]);
    assert_eq!(reply.status, 200, "{}", reply.text);
}

#[test]
fn spacebring_sandbox_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<SpacebringSandbox>();
}
