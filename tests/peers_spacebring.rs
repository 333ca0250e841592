//! Logins at servers written by others, and requests checked against Spacebring's own description. The tests
//! need Node, and most of them Debian's Chromium: `npm ci` in `tests/peers`, then `cargo test -- --ignored`.
#![allow(clippy::disallowed_methods, reason = "tests against real servers live in real time")]

#[path = "support/peer.rs"]
mod peer;
#[path = "support/port.rs"]
mod port;

use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use keyfob::flow::{AuthorizationCode, PendingLogin, Refresh, Revoke};
use keyfob::spacebring::{Customer, Partner, scope};
use keyfob::{
    CachingSource, ClientAuth, Error, ErrorKind, Service, Token, TokenSource as _, Transport, ureq,
};
use keyfob_sandbox::{Endpoint, Fault, SpacebringSandbox};
use peer::{Browser, Peer};
use port::own_port;
use serde_json::json;

const LOCAL: &str = "http://127.0.0.1:0/callback";

/// Waits for the callback of a login, on another thread.
type Waiting = JoinHandle<Result<Token, Error>>;

fn wait(login: PendingLogin) -> Waiting {
    thread::spawn(move || login.wait(Duration::from_secs(60)))
}

// oidc-provider: code, PKCE, refresh, revocation, `iss`.

fn flow(peer: &Peer, token_url: &str, client: &ClientAuth) -> AuthorizationCode {
    AuthorizationCode::new(peer.text("/authorization_endpoint"), token_url, client.clone(), LOCAL)
        .with_issuer(peer.text("/issuer"))
}

fn start(flow: &AuthorizationCode) -> PendingLogin {
    flow.clone().with_scope("locations.readonly offline_access").start(&Transport::new()).unwrap()
}

/// Fills in the peer's own pages. A browser with a session is not asked again.
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
fn oidc_provider_logs_in_renews_and_revokes_with_each_client_authentication() {
    let peer = Peer::start("oidc.mjs");
    let (http, mut browser) = (Transport::new(), Browser::start());
    for method in ["client_secret_basic", "client_secret_post", "client_secret_jwt", "none"] {
        let client = peer.client(method);
        let token = log_in(&mut browser, &flow(&peer, peer.text("/token_endpoint"), &client)).unwrap();
        let seen = browser.see();
        assert_eq!(seen.title, "You are logged in");
        assert!(seen.url.ends_with("/callback/done"), "neither code nor state: {seen:?}");
        assert!(token.remaining(SystemTime::now()) > Duration::from_secs(60));
        let refresh_token = token.refresh_token().expect("one comes with every login").clone();

        let refresh = Refresh::new(peer.text("/token_endpoint"), client.clone());
        let source = CachingSource::new(http.clone(), refresh).with_token(token.clone());
        source.invalidate(&token);
        let renewed = source.token(Duration::ZERO).unwrap();
        assert_ne!(renewed.access_token().expose(), token.access_token().expose());
        assert_eq!(renewed.refresh_token().unwrap().expose(), refresh_token.expose());

        let revoke = Revoke::new(peer.text("/revocation_endpoint"), client);
        revoke.run(&http, &refresh_token).unwrap();
        revoke.run(&http, &"unknown".into()).unwrap();
        source.invalidate(&renewed);
        is_invalid_grant(&source.token(Duration::ZERO).unwrap_err());
        peer.says("refresh token not found");
    }
}

#[test]
#[ignore = "needs Node and Chromium"]
fn rotated_refresh_token_of_oidc_provider_is_kept() {
    let peer = Peer::start_with("oidc.mjs", &[], &[("ROTATE", "1")]);
    let (http, client) = (Transport::new(), peer.client("client_secret_basic"));
    let token = log_in(&mut Browser::start(), &flow(&peer, peer.text("/token_endpoint"), &client)).unwrap();
    let refresh = Refresh::new(peer.text("/token_endpoint"), client);
    let source = CachingSource::new(http.clone(), refresh.clone()).with_token(token.clone());
    let mut seen = vec![token.refresh_token().unwrap().expose().to_vec()];
    for _ in 0..3 {
        source.invalidate(&source.current().unwrap());
        let renewed = source.token(Duration::ZERO).unwrap();
        let refresh_token = renewed.refresh_token().unwrap().expose().to_vec();
        assert!(!seen.contains(&refresh_token));
        seen.push(refresh_token);
    }
    // A refresh token that was replaced counts as stolen, and ends all of them.
    is_invalid_grant(&refresh.run(&http, &token).unwrap_err());
    peer.says("refresh token already used");
    source.invalidate(&source.current().unwrap());
    is_invalid_grant(&source.token(Duration::ZERO).unwrap_err());
}

#[test]
#[ignore = "needs Node and Chromium"]
fn issuer_that_oidc_provider_sends_in_the_callback_is_checked() {
    let peer = Peer::start("oidc.mjs");
    let (client, mut browser) = (peer.client("client_secret_post"), Browser::start());
    let flow = flow(&peer, peer.text("/token_endpoint"), &client);
    let error = log_in(&mut browser, &flow.clone().with_issuer("http://127.0.0.1:1")).unwrap_err();
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
fn login_denied_at_oidc_provider_is_reported() {
    let peer = Peer::start("oidc.mjs");
    let mut browser = Browser::start();
    let login = start(&flow(&peer, peer.text("/token_endpoint"), &peer.client("client_secret_post")));
    browser.open(login.url());
    let waiting = wait(login);
    browser.click("link", "[ Cancel ]");
    let seen = browser.wait_for("You can close this tab");
    assert_eq!(seen.title, "Access was not allowed");
    let error = waiting.join().unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.oauth_error()),
        (ErrorKind::LoginRequired, Some("access_denied")),
        "{error}"
    );
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
fn oidc_provider_refuses_stolen_codes_and_wrong_verifiers() {
    let peer = Peer::start("oidc.mjs");
    let (client, mut browser) = (peer.client("client_secret_post"), Browser::start());
    let mut refused = |why: &str, change: fn(&str) -> Vec<String>| {
        let flow = flow(&peer, &peer.between(change), &client);
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
        ClientAuth::secret_basic(id("client_secret_basic"), "wrong"),
        ClientAuth::secret_post(id("client_secret_post"), "wrong"),
    ] {
        let error = log_in(&mut browser, &flow(&peer, peer.text("/token_endpoint"), &client)).unwrap_err();
        assert_eq!(
            (error.kind(), error.status(), error.oauth_error()),
            (ErrorKind::Refused, Some(401), Some("invalid_client")),
            "{error}"
        );
    }
}

// Prism checks each request against Spacebring's own description.

const NETWORK: &str = "6f1b7c1e-3a52-4c8e-9d0b-2b7f5a4e8c10";

/// A server made from Spacebring's description, reduced by `scripts/spacebring-description`.
fn prism() -> Peer {
    let description = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/spacebring.json");
    Peer::start_with("prism.mjs", &[description], &[])
}

/// The GET requests in Spacebring's description that answer 200.
fn paths() -> impl Iterator<Item = &'static str> {
    include_str!("peers/spacebring-paths.txt").lines()
}

#[test]
#[ignore = "needs Node"]
fn requests_of_customer_and_partner_match_spacebrings_description() {
    let peer = prism();
    let url = peer.text("/url");
    let [customer, partner] = [Customer::builder("i", "s"), Partner::builder("i", "s", LOCAL)]
        .map(|builder| builder.set("network_id", NETWORK).api_url(url).build().unwrap());
    partner.finish_login(Token::new("acc3ss", SystemTime::now()).unwrap()).unwrap();
    // The peer has no rate limit. With Spacebring's limit this would take 15 seconds.
    let by_itself = |builder: keyfob::AgentBuilder| builder.rate(0).status_as_error(false).build();
    let agents = [
        ("customer", by_itself(customer.agent_builder()).unwrap()),
        ("partner", by_itself(partner.agent_builder()).unwrap()),
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
    // The peer checks more than the credentials.
    for (who, agent) in &agents {
        let response = agent.get(format!("{url}/floors/v1")).call().unwrap();
        assert!(response.status().is_client_error() && response.status() != 401, "{who}: {response:?}");
    }
}

// The pages of the sandbox and of the library, in a browser.

/// A login at the sandbox with the library's listener, by a person with a keyboard.
struct AtTheSandbox {
    sandbox: SpacebringSandbox,
    partner: Service,
    browser: Browser,
}

impl AtTheSandbox {
    fn new() -> Self {
        let sandbox = SpacebringSandbox::start();
        // The port is fixed, so that a callback can be repeated while the next login waits.
        let free = own_port();
        let redirect_uri = format!("http://{free}/callback");
        let partner = Partner::builder(sandbox.client_id(), sandbox.client_secret(), redirect_uri)
            .api_url(sandbox.api_url())
            .set("network_id", sandbox.network_id())
            .scope(format!("{} {}", scope::LOCATIONS_READONLY, scope::RESOURCES))
            .build()
            .unwrap();
        Self { sandbox, partner, browser: Browser::start() }
    }

    fn login(&self) -> (String, Waiting) {
        let login = self.partner.start_login().unwrap();
        (login.url().to_owned(), wait(login))
    }

    /// Logs in up to the consent page, without a mouse.
    fn log_in(&mut self, url: &str) {
        self.browser.open(url);
        self.browser.keys("Email", self.sandbox.username());
        self.browser.press(&["Tab"]);
        self.browser.keys("Password", self.sandbox.password());
        self.browser.press(&["Enter"]);
        let seen = self.browser.wait_for("Allow access?");
        assert!(seen.text.contains("Read locations") && seen.text.contains(scope::RESOURCES), "{seen:?}");
    }

    /// Checks a page of the listener: neither its address nor its text shows anything of the login.
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
fn person_can_log_in_with_the_keyboard_alone() {
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
    // The email address is kept, and the focus is on the field to fill in again.
    at.browser.keys("Password", at.sandbox.password());
    at.browser.press(&["Enter"]);
    at.browser.wait_for("Allow access?");
    at.browser.look("sandbox-consent");
    at.browser.press(&["Tab"]);
    at.browser.enter("Allow");
    at.shows("You are logged in", "The program that you started can now act for you.", "/callback/done");
    at.browser.look("success");

    let token = waiting.join().unwrap().unwrap();
    at.partner.finish_login(token).unwrap();
    let url = format!("{}/locations/v1", at.partner.api_url());
    at.partner.agent().get(url).call().unwrap();
    assert_eq!((at.sandbox.logins(), at.sandbox.count(Endpoint::LogIn)), (1, 2));
}

#[test]
#[ignore = "needs Node and Chromium"]
fn browser_reaches_the_login_through_the_one_time_address() {
    let mut at = AtTheSandbox::new();
    let one_time_login = |partner: &Service| {
        let mut login = partner.start_login().unwrap();
        (login.one_time_url().unwrap(), wait(login))
    };
    let (one_time, waiting) = one_time_login(&at.partner);
    at.log_in(&one_time);
    let seen = at.browser.see();
    assert!(seen.url.starts_with(&at.sandbox.api_url()), "{seen:?}");
    at.browser.press(&["Tab"]);
    at.browser.enter("Allow");
    at.shows("You are logged in", "go back to it", "/callback/done");
    waiting.join().unwrap().unwrap();

    // Another visitor used the address before the browser, and the person sees that.
    let (one_time, waiting) = one_time_login(&at.partner);
    let nobody = ureq::Agent::config_builder().max_redirects(0).proxy(None).build().new_agent();
    assert_eq!(nobody.get(&one_time).call().unwrap().status(), 303);
    at.browser.new_tab();
    at.browser.open(&one_time);
    at.shows("The login failed", "was fetched twice", "/callback/done");
    at.browser.look("fetched-twice");
    let error = waiting.join().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    assert_eq!(at.sandbox.logins(), 1);
}

#[test]
#[ignore = "needs Node and Chromium"]
fn person_can_deny_a_login_with_the_keyboard_alone() {
    let mut at = AtTheSandbox::new();
    let (url, waiting) = at.login();
    at.log_in(&url);
    at.browser.press(&["Tab", "Tab"]);
    at.browser.enter("Deny");
    at.shows("Access was not allowed", "log in again and allow the access.", "/callback/done");
    at.browser.look("denial");
    let error = waiting.join().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.oauth_error()), (ErrorKind::LoginRequired, Some("access_denied")));
    assert_eq!(at.sandbox.count(Endpoint::Token), 0);
}

#[test]
#[ignore = "needs Node and Chromium"]
fn browser_shows_that_the_exchange_failed() {
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
fn replayed_callback_in_a_second_tab_has_no_effect() {
    let mut at = AtTheSandbox::new();
    let (url, waiting) = at.login();
    let callback = at.sandbox.approve(&url);
    at.browser.open(&callback);
    at.shows("You are logged in", "go back to it", "/callback/done");
    waiting.join().unwrap().unwrap();

    at.browser.new_tab();
    let error = at.browser.attempt(&json!({ "open": callback })).unwrap_err();
    assert!(error.contains("ERR_CONNECTION_REFUSED"), "nobody listens: {error}");

    // The same while another login waits: the callback is rejected, and that login continues.
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
