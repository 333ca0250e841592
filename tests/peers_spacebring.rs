//! Logins, and Spacebring's own description, at peers written by others. They need Node, most of them Debian's Chromium
//! too: `npm ci` in `tests/peers`, then `cargo test -- --ignored`.
#![allow(clippy::disallowed_methods, reason = "tests against real servers live in real time")]

#[path = "support/peer.rs"]
mod peer;
#[path = "support/port.rs"]
mod port;

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use keyfob::flow::{AuthorizationCode, Login, Refresh, Revoke};
use keyfob::spacebring::{Customer, Partner, scope};
use keyfob::{CachingSource, ClientAuth, Error, ErrorKind, Http, Token, TokenSource as _, ureq};
use keyfob_sandbox::{Endpoint, Fault, SpacebringSandbox};
use peer::{Browser, Peer, read_request};
use port::own_port;
use serde_json::json;

const LOCAL: &str = "http://127.0.0.1:0/callback";

/// A login whose callback is waited for.
type Waiting = JoinHandle<Result<Token, Error>>;

fn wait(login: Login) -> Waiting {
    thread::spawn(move || login.wait(Duration::from_secs(60)))
}

// oidc-provider: code, PKCE, refresh, revocation, `iss`.

/// How a client says who it is: form-encoded Basic or the body, as the peer's clients are named.
fn client(peer: &Peer, method: &str) -> ClientAuth {
    let (id, secret) = (
        peer.text(&format!("/clients/{method}/client_id")),
        peer.text(&format!("/clients/{method}/client_secret")),
    );
    match method {
        "client_secret_basic" => ClientAuth::basic(id, secret).unwrap(),
        _ => ClientAuth::body(id, secret).unwrap(),
    }
}

fn flow(peer: &Peer, token_url: &str, client: &ClientAuth) -> AuthorizationCode {
    AuthorizationCode::new(peer.text("/authorization_endpoint"), token_url, client.clone(), LOCAL)
        .unwrap()
        .with_issuer(peer.text("/issuer"))
        .unwrap()
}

fn start(flow: &AuthorizationCode) -> Login {
    flow.login(&Http::new(), ["locations.readonly", "offline_access"]).unwrap()
}

/// Fills in the peer's own pages. A browser that has been there before is not asked again.
fn approve(browser: &mut Browser, url: &str) {
    browser.open(url);
    if browser.see().text.starts_with("Sign-in") {
        browser.fill("Enter any login", "ada");
        browser.fill("and password", "any");
        browser.press(&["Enter"]);
        browser.wait_for("scopes:");
    }
    if browser.see().text.starts_with("Authorize") {
        browser.click("button", "Continue");
    }
    browser.wait_for("You can close this tab");
}

fn log_in(browser: &mut Browser, flow: &AuthorizationCode) -> Result<Token, Error> {
    let login = start(flow);
    let url = login.url().to_owned();
    let waiting = wait(login);
    approve(browser, &url);
    waiting.join().unwrap()
}

#[track_caller]
fn is_invalid_grant(error: &Error) {
    assert_eq!(
        (error.kind(), error.status(), error.oauth_error()),
        (ErrorKind::LoginRequired, Some(400), Some("invalid_grant")),
        "{error}"
    );
}

#[test]
#[ignore = "needs Node and Chromium"]
fn oidc_provider_logs_in_renews_and_revokes_with_either_client_authentication() {
    let peer = Peer::start("oidc.mjs");
    let (http, mut browser) = (Http::new(), Browser::start());
    for method in ["client_secret_basic", "client_secret_post"] {
        let client = client(&peer, method);
        let token = log_in(&mut browser, &flow(&peer, peer.text("/token_endpoint"), &client)).unwrap();
        let seen = browser.see();
        assert_eq!(seen.title, "You are logged in");
        assert!(seen.url.ends_with("/callback/done"), "neither code nor state: {seen:?}");
        assert!(token.remaining(SystemTime::now()) > Duration::from_secs(60));
        let refresh_token = token.refresh_token().expect("one comes with every login").clone();

        let refresh = Refresh::new(peer.text("/token_endpoint"), client.clone()).unwrap();
        let source = CachingSource::new(http.clone(), refresh).with_token(token.clone());
        source.invalidate(&token);
        let renewed = source.token(Duration::ZERO).unwrap();
        assert_ne!(renewed.access_token().expose(), token.access_token().expose());
        assert_eq!(renewed.refresh_token().unwrap().expose(), refresh_token.expose());

        let revoke = Revoke::new(peer.text("/revocation_endpoint"), client).unwrap();
        revoke.run(&http, &refresh_token).unwrap();
        revoke.run(&http, &"unknown".into()).unwrap();
        source.invalidate(&renewed);
        is_invalid_grant(&source.token(Duration::ZERO).unwrap_err());
        peer.says("refresh token not found");
    }
}

#[test]
#[ignore = "needs Node and Chromium"]
fn oidc_provider_rotates_and_the_new_refresh_token_is_kept() {
    let peer = Peer::start_with("oidc.mjs", &[], &[("ROTATE", "1")]);
    let (http, client) = (Http::new(), client(&peer, "client_secret_basic"));
    let token = log_in(&mut Browser::start(), &flow(&peer, peer.text("/token_endpoint"), &client)).unwrap();
    let refresh = Refresh::new(peer.text("/token_endpoint"), client).unwrap();
    let source = CachingSource::new(http.clone(), refresh.clone()).with_token(token.clone());
    let mut seen = vec![token.refresh_token().unwrap().expose().to_vec()];
    for _ in 0..3 {
        source.invalidate(&source.current().unwrap());
        let renewed = source.token(Duration::ZERO).unwrap();
        let refresh_token = renewed.refresh_token().unwrap().expose().to_vec();
        assert!(!seen.contains(&refresh_token));
        seen.push(refresh_token);
    }
    // One that was replaced is taken for stolen, and ends all of them.
    is_invalid_grant(&refresh.run(&http, Some(&token)).unwrap_err());
    peer.says("refresh token already used");
    source.invalidate(&source.current().unwrap());
    is_invalid_grant(&source.token(Duration::ZERO).unwrap_err());
}

#[test]
#[ignore = "needs Node and Chromium"]
fn oidc_provider_names_itself_in_the_callback() {
    let peer = Peer::start("oidc.mjs");
    let (client, mut browser) = (client(&peer, "client_secret_post"), Browser::start());
    let flow = flow(&peer, peer.text("/token_endpoint"), &client);
    let error = log_in(&mut browser, &flow.clone().with_issuer("http://127.0.0.1:1").unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(
        error.to_string().contains("the callback's `iss` is not that of the server (RFC 9207)"),
        "{error}"
    );
    assert_eq!(browser.see().title, "The login failed");
    log_in(&mut browser, &flow).unwrap();
}

#[test]
#[ignore = "needs Node and Chromium"]
fn oidc_provider_tells_of_a_denied_login() {
    let peer = Peer::start("oidc.mjs");
    let mut browser = Browser::start();
    let login = start(&flow(&peer, peer.text("/token_endpoint"), &client(&peer, "client_secret_post")));
    browser.open(login.url());
    let waiting = wait(login);
    browser.click("link", "[ Cancel ]");
    let seen = browser.wait_for("You can close this tab");
    assert_eq!(seen.title, "Access was not allowed");
    let error = waiting.join().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.oauth_error()), (ErrorKind::Refused, Some("access_denied")), "{error}");
}

/// A token endpoint before the peer's: what one request to it becomes there, one after the other. The last answer is
/// handed on.
fn between(peer: &Peer, change: impl Fn(&str) -> Vec<String> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let there = peer.text("/token_endpoint").to_owned();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut answer = String::new();
        for body in change(&read_request(&mut stream)) {
            let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build();
            let agent = ureq::Agent::new_with_config(config);
            let request = agent.post(&there).header("content-type", "application/x-www-form-urlencoded");
            let mut response = request.send(&body).unwrap();
            let (status, text) = (response.status(), response.body_mut().read_to_string().unwrap());
            answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{text}", text.len());
        }
        stream.write_all(answer.as_bytes()).unwrap();
    });
    url
}

/// The form with another value in one field.
fn with(body: &str, name: &str, value: &str) -> String {
    let pairs = body.split('&').map(|pair| match pair.split_once('=') {
        Some((key, _)) if key == name => format!("{key}={value}"),
        _ => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

#[test]
#[ignore = "needs Node and Chromium"]
fn oidc_provider_refuses_what_a_thief_would_send() {
    let peer = Peer::start("oidc.mjs");
    let (client, mut browser) = (client(&peer, "client_secret_post"), Browser::start());
    let mut refused = |why: &str, change: fn(&str) -> Vec<String>| {
        let flow = flow(&peer, &between(&peer, change), &client);
        is_invalid_grant(&log_in(&mut browser, &flow).unwrap_err());
        assert_eq!(browser.see().title, "The login failed");
        peer.says(why);
    };
    refused("authorization code already consumed", |body| vec![body.to_owned(), body.to_owned()]);
    refused("code_verifier does not match code_challenge", |body| {
        vec![with(body, "code_verifier", &"v".repeat(43))]
    });
    refused("authorization code redirect_uri mismatch", |body| {
        vec![with(body, "redirect_uri", "http%3A%2F%2F127.0.0.1%3A1%2Fcallback")]
    });
}

#[test]
#[ignore = "needs Node and Chromium"]
fn oidc_provider_refuses_a_wrong_client_secret() {
    let peer = Peer::start("oidc.mjs");
    let mut browser = Browser::start();
    let id = |method: &str| peer.text(&format!("/clients/{method}/client_id")).to_owned();
    for client in [
        ClientAuth::basic(&id("client_secret_basic"), "wrong").unwrap(),
        ClientAuth::body(&id("client_secret_post"), "wrong").unwrap(),
    ] {
        let error = log_in(&mut browser, &flow(&peer, peer.text("/token_endpoint"), &client)).unwrap_err();
        assert_eq!(
            (error.kind(), error.status(), error.oauth_error()),
            (ErrorKind::Refused, Some(401), Some("invalid_client")),
            "{error}"
        );
    }
}

// Prism: Spacebring's own description, which it checks each request against.

const NETWORK: &str = "6f1b7c1e-3a52-4c8e-9d0b-2b7f5a4e8c10";

/// `None` where the description is not at hand: it is Spacebring's, and not kept here.
fn prism() -> Option<Peer> {
    let description = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/spacebring-openapi.json");
    if Path::new(description).exists() {
        return Some(Peer::start_with("prism.mjs", &[description], &[]));
    }
    eprintln!("skipped: Spacebring's description is not at {description}");
    None
}

/// GET requests that answer 200, in Spacebring's description.
fn paths() -> impl Iterator<Item = &'static str> {
    include_str!("peers/spacebring-paths.txt").lines()
}

#[test]
#[ignore = "needs Node"]
fn a_customers_and_a_partners_requests_are_what_spacebring_describes() {
    let Some(peer) = prism() else { return };
    let url = peer.text("/url");
    let customer = Customer::new("i", "s").unwrap().with_network(NETWORK).unwrap().with_api_url(url).unwrap();
    let partner =
        Partner::new("i", "s", LOCAL).unwrap().with_network(NETWORK).unwrap().with_api_url(url).unwrap();
    let source = partner.source(Token::new("acc3ss", SystemTime::now()).unwrap());
    // The peer has no limit, and Spacebring's would make this take a quarter of a minute.
    let by_itself = |builder: keyfob::AgentBuilder| builder.with_rate(0).with_status_as_error(false).build();
    let agents = [
        ("customer", by_itself(customer.agent_builder().unwrap()).unwrap()),
        ("partner", by_itself(partner.agent_builder(&source).unwrap()).unwrap()),
    ];
    assert!(paths().count() >= 20);
    for (who, agent) in &agents {
        for path in paths() {
            let mut response = agent.get(format!("{url}{path}")).call().unwrap();
            let violations = response.headers().get("sl-violations").cloned();
            let body = response.body_mut().read_to_string().unwrap();
            assert_eq!((response.status().as_u16(), violations), (200, None), "{who}: {path}: {body}");
        }
    }
    let nobody = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build();
    let nobody = ureq::Agent::new_with_config(nobody);
    for path in paths() {
        assert_eq!(nobody.get(format!("{url}{path}")).call().unwrap().status(), 401, "{path}");
    }
    // It looks at more than the credentials.
    for (who, agent) in &agents {
        let response = agent.get(format!("{url}/floors/v1")).call().unwrap();
        assert!(response.status().is_client_error() && response.status() != 401, "{who}: {response:?}");
    }
}

// The sandbox's pages and the library's own, in a browser.

/// A login at the sandbox, with the library's listener, by a person with a keyboard.
struct AtTheSandbox {
    sandbox: SpacebringSandbox,
    partner: Partner,
    browser: Browser,
}

impl AtTheSandbox {
    fn new() -> Self {
        let sandbox = SpacebringSandbox::start();
        // Always the same port: a callback can come again while the next login waits at it.
        let free = own_port();
        let partner =
            Partner::new(sandbox.client_id(), sandbox.client_secret(), &format!("http://{free}/callback"))
                .unwrap()
                .with_api_url(&sandbox.api_url())
                .unwrap();
        Self { sandbox, partner, browser: Browser::start() }
    }

    fn login(&self) -> (String, Waiting) {
        let login = self.partner.login([scope::LOCATIONS_READONLY, scope::RESOURCES]).unwrap();
        (login.url().to_owned(), wait(login))
    }

    /// As far as the consent page, with no mouse.
    fn log_in(&mut self, url: &str) {
        self.browser.open(url);
        self.browser.keys("Email", self.sandbox.username());
        self.browser.press(&["Tab"]);
        self.browser.keys("Password", self.sandbox.password());
        self.browser.press(&["Enter"]);
        let seen = self.browser.wait_for("Allow access?");
        assert!(seen.text.contains("Read locations") && seen.text.contains(scope::RESOURCES), "{seen:?}");
    }

    /// A page of the listener: nothing of the login is in its address or text.
    #[track_caller]
    fn shows(&mut self, title: &str, text: &str, path: &str) {
        let seen = self.browser.wait_for("You can close this tab");
        assert_eq!(seen.title, title);
        assert!(seen.text.contains(title) && seen.text.contains(text), "{seen:?}");
        assert!(seen.url.ends_with(path) && !seen.url.contains('?') && !seen.url.contains('#'), "{seen:?}");
    }
}

#[test]
#[ignore = "needs Node and Chromium"]
fn a_person_logs_in_with_the_keyboard() {
    let mut at = AtTheSandbox::new();
    let (url, waiting) = at.login();
    at.browser.open(&url);
    at.browser.look("sandbox-log-in");
    at.browser.keys("Email", at.sandbox.username());
    at.browser.press(&["Tab"]);
    at.browser.keys("Password", "not the password");
    at.browser.press(&["Enter"]);
    at.browser.wait_for("The email or the password is wrong.");
    at.browser.look("sandbox-wrong-password");
    assert!(!waiting.is_finished());
    // The email is still there, and the focus on what is to be typed again.
    at.browser.keys("Password", at.sandbox.password());
    at.browser.press(&["Enter"]);
    at.browser.wait_for("Allow access?");
    at.browser.look("sandbox-consent");
    at.browser.press(&["Tab"]);
    at.browser.enter("Allow");
    at.shows("You are logged in", "The program that you started can now act for you.", "/callback/done");
    at.browser.look("success");

    let token = waiting.join().unwrap().unwrap();
    let source = at.partner.source(token);
    let partner = at.partner.clone().with_network(at.sandbox.network_id()).unwrap();
    let url = format!("{}/locations/v1", partner.api_url());
    partner.agent(&source).unwrap().get(url).call().unwrap();
    assert_eq!((at.sandbox.logins(), at.sandbox.count(Endpoint::LogIn)), (1, 2));
}

#[test]
#[ignore = "needs Node and Chromium"]
fn a_person_denies_with_the_keyboard() {
    let mut at = AtTheSandbox::new();
    let (url, waiting) = at.login();
    at.log_in(&url);
    at.browser.press(&["Tab", "Tab"]);
    at.browser.enter("Deny");
    at.shows("Access was not allowed", "log in again and allow the access.", "/callback/done");
    at.browser.look("denial");
    let error = waiting.join().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.oauth_error()), (ErrorKind::Refused, Some("access_denied")));
    assert_eq!(at.sandbox.count(Endpoint::Token), 0);
}

#[test]
#[ignore = "needs Node and Chromium"]
fn a_person_sees_that_the_exchange_failed() {
    let mut at = AtTheSandbox::new();
    let (url, waiting) = at.login();
    at.sandbox.fault(Endpoint::Token, Fault::status(500));
    at.log_in(&url);
    at.browser.press(&["Tab"]);
    at.browser.enter("Allow");
    at.shows("The login failed", "HTTP 500", "/callback/done");
    at.browser.look("failed-exchange");
    waiting.join().unwrap().unwrap_err();
    assert_eq!(at.sandbox.count(Endpoint::Token), 1, "a code is good for one request");
}

#[test]
#[ignore = "needs Node and Chromium"]
fn a_second_tab_that_replays_the_callback_gets_nowhere() {
    let mut at = AtTheSandbox::new();
    let (url, waiting) = at.login();
    let callback = at.sandbox.approve(&url);
    at.browser.open(&callback);
    at.shows("You are logged in", "go back to it", "/callback/done");
    waiting.join().unwrap().unwrap();

    at.browser.new_tab();
    let error = at.browser.attempt(&json!({ "open": callback })).unwrap_err();
    assert!(error.contains("ERR_CONNECTION_REFUSED"), "nobody listens: {error}");

    // The same while another login waits: it is told off, and that login goes on.
    let (url, waiting) = at.login();
    at.browser.new_tab();
    at.browser.open(&callback);
    at.shows("This login was not accepted", "is that of another login", "/callback/wrong-state");
    at.browser.look("wrong-state");
    assert!(!waiting.is_finished());
    at.browser.tab(0);
    at.log_in(&url);
    at.browser.press(&["Tab"]);
    at.browser.enter("Allow");
    at.shows("You are logged in", "go back to it", "/callback/done");
    waiting.join().unwrap().unwrap();
    assert_eq!((at.sandbox.logins(), at.sandbox.count(Endpoint::Token)), (2, 2));
}
