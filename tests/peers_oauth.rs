//! The same expectations of two authorization servers written by others: `oidc-provider` in Node and Authlib in Python. The tests need
//! what `tests/peers/README.md` names, then `cargo test -- --ignored`.
#![allow(clippy::disallowed_methods, reason = "tests against real servers live in real time")]

#[path = "support/example.rs"]
mod example;
#[path = "support/folder.rs"]
mod folder;
#[path = "support/peer.rs"]
mod peer;
#[path = "support/person.rs"]
mod person;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use example::example;
use folder::Folder;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use keyfob::flow::{
    AuthorizationCode, ClientCredentials, DeviceCode, ExtensionGrant, Introspect, PendingLogin, Refresh,
    Revoke,
};
use keyfob::{
    AgentBuilder, Auth, CachingSource, ClientAuth, Error, ErrorKind, Metadata, Service, Token,
    TokenSource as _, Transport,
};
use peer::{Peer, as_client, read_request};
use person::Person;
use serde_json::{Value, json};

const OIDC_PROVIDER: &str = "oidc.mjs";
const AUTHLIB: &str = "authlib_server.py";

/// Runs each test against both servers.
macro_rules! against_both {
    ($($test:ident)*) => {
        mod oidc_provider {
            $(#[test] #[ignore = "needs Node"] fn $test() { super::$test(super::OIDC_PROVIDER); })*
        }
        mod authlib {
            $(#[test] #[ignore = "needs Python"] fn $test() { super::$test(super::AUTHLIB); })*
        }
    };
}

against_both! {
    token_comes_with_each_secret
    wrong_secret_and_unknown_client_are_refused
    each_flow_reports_a_wrong_secret_and_an_unknown_client
    unknown_client_cannot_start_a_login
    revoked_access_token_is_replaced
    login_with_pkce_is_renewed_and_revoked
    used_refresh_token_is_refused
    used_code_and_wrong_verifier_are_refused
    denied_login_and_wrong_issuer_are_reported
    device_login_yields_tokens_with_each_client_authentication
    device_login_waits_for_the_person
    denied_device_login_is_reported
    expired_device_code_is_reported
    metadata_is_found_by_the_issuer
    metadata_of_another_issuer_is_refused
    service_finds_its_server_by_the_issuer
    introspection_tells_what_the_server_knows
    ready_assertion_is_read_for_each_request
    token_is_exchanged_for_another
    signed_grant_yields_a_token
    example_any_server_has_one_token_for_two_runs
    example_any_server_reports_what_is_wrong
    example_device_login_needs_a_person_once
}

const REDIRECT_URI: &str = "http://127.0.0.1:0/callback";

const METHODS: [&str; 5] =
    ["client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none"];
/// All but `none`.
const CONFIDENTIAL: &[&str] = METHODS.split_at(4).0;

/// The names that a client authentication adds to a request.
fn names(method: &str) -> &str {
    match method {
        "client_secret_basic" => "",
        "client_secret_post" => "client_id client_secret ",
        "client_secret_jwt" => "client_assertion_type client_assertion ",
        "private_key_jwt" => "client_id client_assertion_type client_assertion ",
        _ => "client_id ",
    }
}

/// Signs JWTs as a client: with its registered key (ES256), or with its secret (HS256).
#[derive(Clone)]
struct Signer {
    client: String,
    issuer: String,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Signer {
    fn new(peer: &Peer, method: &str) -> Self {
        let registered = |name: &str| peer.setting(method, name);
        let (algorithm, key) = if let Some(key) = registered("private_key") {
            (Algorithm::ES256, EncodingKey::from_ec_der(&STANDARD.decode(key).unwrap()))
        } else {
            (Algorithm::HS256, EncodingKey::from_secret(registered("client_secret").unwrap().as_bytes()))
        };
        let client = registered("client_id").unwrap().to_owned();
        Self { client, issuer: peer.text("/issuer").to_owned(), algorithm, key }
    }

    /// A JWT of the client for the server, valid for the next minute. `changes` replaces claims.
    fn sign(&self, changes: &Value) -> String {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let now = now();
        let mut claims = json!({
            "iss": self.client, "sub": self.client, "aud": self.issuer, "iat": now, "exp": now + 60,
            "jti": COUNT.fetch_add(1, Relaxed).to_string(),
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        jsonwebtoken::encode(&Header::new(self.algorithm), &claims, &self.key).unwrap()
    }

    fn auth(self) -> ClientAuth {
        ClientAuth::assertion(self.client.clone(), move || Ok(self.sign(&json!({})).into()))
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn client(peer: &Peer, method: &str) -> ClientAuth {
    if method == "private_key_jwt" { Signer::new(peer, method).auth() } else { peer.client(method) }
}

/// The client with another secret or key.
fn with_wrong_secret(peer: &Peer, method: &str) -> ClientAuth {
    if method == "private_key_jwt" {
        return Signer { key: Signer::new(peer, "none").key, ..Signer::new(peer, method) }.auth();
    }
    peer.client_with(method, &"wrong".repeat(10))
}

/// A client that the server does not know.
fn nobody(peer: &Peer, method: &str) -> ClientAuth {
    if method == "private_key_jwt" {
        return Signer { client: "nobody".to_owned(), ..Signer::new(peer, method) }.auth();
    }
    as_client(method, "nobody", &"guess".repeat(10))
}

/// The kind of an error, and the server's status and error code.
type Refusal = (ErrorKind, Option<u16>, Option<&'static str>);

#[track_caller]
fn is_refusal(error: &Error, expected: Refusal) {
    assert_eq!((error.kind(), error.status(), error.oauth_error()), expected, "{error}");
}

const INVALID_GRANT: Refusal = (ErrorKind::LoginRequired, Some(400), Some("invalid_grant"));

fn token_comes_with_each_secret(server: &str) {
    let (peer, transport) = (Peer::start(server), Transport::new());
    let mut log = Vec::new();
    for method in CONFIDENTIAL {
        let flow = ClientCredentials::new(peer.text("/token_endpoint"), client(&peer, method));
        let token = flow.clone().with_scope("locations.readonly").run(&transport).unwrap();
        assert_eq!(token.scope(), Some("locations.readonly"), "{method}");
        let life = token.remaining(SystemTime::now()).as_secs();
        assert!((590..=600).contains(&life), "{method}: {life}");
        let other = flow.run(&transport).unwrap();
        assert_ne!(token.access_token().expose(), other.access_token().expose());
        let names = names(method);
        log.extend([format!("{names}grant_type scope 200"), format!("{names}grant_type 200")]);
    }
    peer.received("token_endpoint", &log);
}

fn wrong_secret_and_unknown_client_are_refused(server: &str) {
    let (peer, transport) = (Peer::start(server), Transport::new());
    let refused = |client: ClientAuth, status: u16, text: &str| {
        let error = ClientCredentials::new(peer.text("/token_endpoint"), client).run(&transport).unwrap_err();
        is_refusal(&error, (ErrorKind::Refused, Some(status), Some("invalid_client")));
        let origin = origin(&peer);
        assert_eq!(
            error.to_string(),
            format!(
                "could not get a token with the client credentials from {origin}: the server refused (HTTP {status}): \
                 invalid_client{text}; check the client id and secret"
            )
        );
    };
    for &method in CONFIDENTIAL {
        if server == OIDC_PROVIDER {
            refused(with_wrong_secret(&peer, method), 401, ": client authentication failed");
            refused(nobody(&peer, method), 401, ": client authentication failed");
            continue;
        }
        let unfit = ": The client cannot authenticate with methods: ['client_secret_basic', 'client_secret_post', \
                     'client_assertion_jwt']";
        let text = if method.ends_with("_jwt") { "" } else { unfit };
        refused(with_wrong_secret(&peer, method), status_of_wrong_secret(server, method), text);
        let text = ": The client does not exist on this server";
        refused(nobody(&peer, method), status_of_nobody(server, method), text);
    }
}

fn status_of_wrong_secret(server: &str, method: &str) -> u16 {
    if server == AUTHLIB && method.ends_with("_jwt") { 400 } else { 401 }
}

fn status_of_nobody(server: &str, method: &str) -> u16 {
    if server == AUTHLIB && method != "client_secret_basic" { 400 } else { 401 }
}

fn each_flow_reports_a_wrong_secret_and_an_unknown_client(server: &str) {
    let (peer, transport) = (Peer::start(server), Transport::new());
    let (token_url, device_url) = (peer.text("/token_endpoint"), peer.text("/device_authorization_endpoint"));
    let [mut token_log, mut device_log, mut revocation_log, mut introspection_log] =
        [const { Vec::new() }; 4];
    for method in METHODS {
        let names = names(method);
        let code = format!("{names}grant_type code redirect_uri code_verifier");
        let refresh = format!("{names}grant_type refresh_token");
        let token = log_in(&login(&peer, token_url, client(&peer, method)), Person::willing()).unwrap();
        token_log.push(format!("{code} 200"));
        let mut clients = vec![(nobody(&peer, method), status_of_nobody(server, method))];
        if method != "none" {
            let (wrong, status) = (with_wrong_secret(&peer, method), status_of_wrong_secret(server, method));
            // The authorization endpoint asks for no secret.
            let error = log_in(&login(&peer, token_url, wrong.clone()), Person::willing()).unwrap_err();
            is_refused_client(&error, status, "could not exchange the code of the login for a token at");
            token_log.push(format!("{code} {status}"));
            clients.push((wrong, status));
        }
        for (client, status) in clients {
            let error = device_login(&peer, device_url, client.clone()).unwrap_err();
            is_refused_client(&error, status, "could not start a device login at");
            device_log.push(format!("{names}scope {status}"));

            let error = Refresh::new(token_url, client.clone()).run(&transport, &token).unwrap_err();
            is_refused_client(&error, status, "could not renew the access token at");
            token_log.push(format!("{refresh} {status}"));

            let revoke = Revoke::new(peer.text("/revocation_endpoint"), client.clone());
            let error = revoke.run(&transport, token.refresh_token().unwrap()).unwrap_err();
            is_refused_client(&error, status, "could not revoke the token, which may still be valid, at");
            revocation_log.push(format!("{names}token {status}"));

            // Token exchange and introspection at Authlib know no public clients.
            let status = if method == "none" { 401 } else { status };
            let exchange = exchange(token_url, client.clone());
            let exchange = exchange.with_secret_parameter("subject_token", token.access_token().clone());
            is_refused_client(&exchange.run(&transport).unwrap_err(), status, "could not get a token from");
            token_log.push(format!("{names}grant_type scope subject_token_type subject_token {status}"));

            let introspect = Introspect::new(peer.text("/introspection_endpoint"), client);
            let error = introspect.run(&transport, token.access_token()).unwrap_err();
            is_refused_client(&error, status, "could not introspect the token at");
            introspection_log.push(format!("{names}token {status}"));
        }
        // The login is still valid.
        Refresh::new(token_url, client(&peer, method)).run(&transport, &token).unwrap();
        token_log.push(format!("{refresh} 200"));
    }
    // A secret that becomes wrong while the client waits for the person.
    let changed = peer.between(|body| vec![body.replace("client_secret=", "client_secret=0")]);
    let login = DeviceCode::new(device_url, changed, peer.client("client_secret_post")).start(&transport);
    let error = login.unwrap().poll().unwrap_err();
    is_refused_client(&error, 401, "could not get the token of the login from");
    device_log.push("client_id client_secret 200".to_owned());
    token_log.push("client_id client_secret grant_type device_code 401".to_owned());

    peer.received("token_endpoint", &token_log);
    peer.received("device_authorization_endpoint", &device_log);
    peer.received("revocation_endpoint", &revocation_log);
    peer.received("introspection_endpoint", &introspection_log);
}

#[track_caller]
fn is_refused_client(error: &Error, status: u16, start: &str) {
    is_refusal(error, (ErrorKind::Refused, Some(status), Some("invalid_client")));
    let text = error.to_string();
    assert!(text.starts_with(start), "{text}");
    assert!(text.ends_with("; check the client id and secret"), "{text}");
}

fn unknown_client_cannot_start_a_login(server: &str) {
    let peer = Peer::start(server);
    let login = login(&peer, peer.text("/token_endpoint"), ClientAuth::none("nobody"));
    let login = login.start(&Transport::new()).unwrap();
    let url = login.url().to_owned();
    thread::scope(|scope| {
        let person = scope.spawn(move || Person::willing().open(&url));
        let error = login.wait(Duration::from_secs(2)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        let page = person.join().unwrap();
        assert!(page.contains("invalid_client"), "{page}");
    });
    peer.received("token_endpoint", &[""; 0]);
}

fn revoked_access_token_is_replaced(server: &str) {
    let peer = Peer::start(server);
    for &method in CONFIDENTIAL {
        let service = Service::builder("acme")
            .token_url(peer.text("/token_endpoint"))
            .api_url(origin(&peer))
            .scope("locations.readonly")
            .client_credentials(client(&peer, method))
            .build()
            .unwrap();
        let call = || service.agent().get(peer.text("/api")).call().unwrap().status();
        assert_eq!(call(), 200);
        let token = service.source().current().unwrap();
        let revoke = Revoke::new(peer.text("/revocation_endpoint"), client(&peer, method));
        revoke.run(&Transport::new(), token.access_token()).unwrap();
        assert_eq!(call(), 200);
        assert_ne!(
            service.source().current().unwrap().access_token().expose(),
            token.access_token().expose()
        );
    }
    let [api, token, revoke] =
        ["api", "token_endpoint", "revocation_endpoint"].map(|endpoint| path(&peer, endpoint));
    let log = CONFIDENTIAL.iter().flat_map(|method| {
        let names = names(method);
        [
            format!("POST {token} {names}grant_type scope 200"),
            format!("GET {api} 200"),
            format!("POST {revoke} {names}token 200"),
            format!("GET {api} 401"),
            format!("POST {token} {names}grant_type scope 200"),
            format!("GET {api} 200"),
        ]
    });
    peer.received_in_all(&log.collect::<Vec<_>>());
}

fn origin(peer: &Peer) -> String {
    peer.text("/issuer").rsplit_once('/').unwrap().0.to_owned()
}

/// The path of an endpoint.
fn path<'a>(peer: &'a Peer, endpoint: &str) -> &'a str {
    peer.text(&format!("/{endpoint}")).strip_prefix(&origin(peer)).unwrap()
}

fn login(peer: &Peer, token_url: &str, auth: ClientAuth) -> AuthorizationCode {
    AuthorizationCode::new(peer.text("/authorization_endpoint"), token_url, auth, REDIRECT_URI)
        .with_issuer(peer.text("/issuer"))
        .with_scope("locations.readonly offline_access")
}

/// Logs in while a person answers the pages of the server.
fn log_in(flow: &AuthorizationCode, person: Person) -> Result<Token, Error> {
    carry_out(flow.start(&Transport::new()).unwrap(), person)
}

fn carry_out(login: PendingLogin, mut person: Person) -> Result<Token, Error> {
    let url = login.url().to_owned();
    thread::scope(|scope| {
        scope.spawn(move || person.open(&url));
        login.wait(Duration::from_secs(60))
    })
}

fn login_with_pkce_is_renewed_and_revoked(server: &str) {
    let (peer, transport) = (Peer::start_with(server, &[], &[("ROTATE", "1")]), Transport::new());
    let token_url = peer.text("/token_endpoint");
    for method in METHODS {
        let token = log_in(&login(&peer, token_url, client(&peer, method)), Person::willing()).unwrap();
        assert!(token.scope().unwrap().starts_with("locations.readonly"), "{token:?}");
        let refresh = Refresh::new(token_url, client(&peer, method));
        let renewed = refresh.run(&transport, &token).unwrap();
        assert_ne!(renewed.access_token().expose(), token.access_token().expose());
        let refresh_token = renewed.refresh_token().unwrap();
        assert_ne!(refresh_token.expose(), token.refresh_token().unwrap().expose(), "{method}");

        let revoke = Revoke::new(peer.text("/revocation_endpoint"), client(&peer, method));
        revoke.run(&transport, refresh_token).unwrap();
        revoke.run(&transport, &"unknown".into()).unwrap();
        is_refusal(&refresh.run(&transport, &renewed).unwrap_err(), INVALID_GRANT);
    }
    let log = METHODS.map(|method| {
        let names = names(method);
        [
            format!("{names}grant_type code redirect_uri code_verifier 200"),
            format!("{names}grant_type refresh_token 200"),
            format!("{names}grant_type refresh_token 400"),
        ]
    });
    peer.received("token_endpoint", &log.concat());
}

fn used_refresh_token_is_refused(server: &str) {
    let (peer, transport) = (Peer::start_with(server, &[], &[("ROTATE", "1")]), Transport::new());
    let flow = login(&peer, peer.text("/token_endpoint"), peer.client("none"));
    let token = log_in(&flow, Person::willing()).unwrap();
    let refresh = Refresh::new(peer.text("/token_endpoint"), peer.client("none"));
    let renewed = refresh.run(&transport, &token).unwrap();
    let again = refresh.run(&transport, &renewed).unwrap();
    is_refusal(&refresh.run(&transport, &token).unwrap_err(), INVALID_GRANT);
    // oidc-provider treats the second use as theft, and ends the login.
    let last = refresh.run(&transport, &again);
    match server {
        OIDC_PROVIDER => is_refusal(&last.unwrap_err(), INVALID_GRANT),
        _ => drop(last.unwrap()),
    }
}

fn used_code_and_wrong_verifier_are_refused(server: &str) {
    let peer = Peer::start(server);
    let mut log = Vec::new();
    for method in METHODS {
        // A server takes an assertion only once, so the proxy signs a new one for each request.
        let signer = method.ends_with("_jwt").then(|| Signer::new(&peer, method));
        let fresh = move |body: &str| {
            let Some(signer) = &signer else { return body.to_owned() };
            let (before, old) = body.split_once("client_assertion=").unwrap();
            let after = old.split_once('&').unwrap().1;
            format!("{before}client_assertion={}&{after}", signer.sign(&json!({})))
        };
        let one = fresh.clone();
        let twice = peer.between(move |body| vec![one(body), one(body)]);
        let other_verifier =
            peer.between(move |body| vec![fresh(&body.replace("code_verifier=", "code_verifier=0"))]);
        for token_url in [twice, other_verifier] {
            let flow = login(&peer, &token_url, client(&peer, method));
            is_refusal(&log_in(&flow, Person::willing()).unwrap_err(), INVALID_GRANT);
        }
        let request = format!("{}grant_type code redirect_uri code_verifier", names(method));
        log.extend([200, 400, 400].map(|status| format!("{request} {status}")));
    }
    peer.received("token_endpoint", &log);
}

fn denied_login_and_wrong_issuer_are_reported(server: &str) {
    let peer = Peer::start(server);
    let flow = login(&peer, peer.text("/token_endpoint"), peer.client("client_secret_post"));
    let denied = log_in(&flow, Person::unwilling()).unwrap_err();
    is_refusal(&denied, (ErrorKind::LoginRequired, None, Some("access_denied")));
    let error = log_in(&flow.with_issuer("http://127.0.0.1:1"), Person::willing()).unwrap_err();
    is_refusal(&error, (ErrorKind::Protocol, None, None));
    let why = "the callback's `iss` is not that of the server (RFC 9207)";
    assert_eq!(
        error.to_string(),
        format!(
            "could not log in at {}: {why}; log in again, and check the URLs if this repeats",
            origin(&peer)
        )
    );
    peer.received("token_endpoint", &[""; 0]);
}

fn device_login(peer: &Peer, url: &str, client: ClientAuth) -> Result<PendingLogin, Error> {
    DeviceCode::new(url, peer.text("/token_endpoint"), client)
        .with_scope("locations.readonly offline_access")
        .start(&Transport::new())
}

fn device_login_yields_tokens_with_each_client_authentication(server: &str) {
    let (peer, transport) = (Peer::start(server), Transport::new());
    let (mut device_log, mut token_log) = (Vec::new(), Vec::new());
    for method in METHODS {
        let url = peer.text("/device_authorization_endpoint");
        let login = device_login(&peer, url, client(&peer, method)).unwrap();
        let user_code = login.user_code().unwrap();
        assert_eq!(login.verification_uri(), format!("{}/device", peer.text("/issuer")));
        assert_eq!(login.url(), format!("{}/device?user_code={user_code}", peer.text("/issuer")));
        let life = login.expires_at().unwrap().duration_since(SystemTime::now()).unwrap().as_secs();
        assert!((590..=600).contains(&life), "{life}");

        Person::willing().open(login.url());
        let token = login.poll().unwrap().expect("the person has answered");
        assert!(token.scope().unwrap().starts_with("locations.readonly"), "{token:?}");
        let ended = login.poll().unwrap_err();
        assert_eq!(ended.kind(), ErrorKind::InvalidInput, "{ended}");
        let renewed = Refresh::new(peer.text("/token_endpoint"), client(&peer, method));
        let renewed = renewed.run(&transport, &token).unwrap();
        assert_ne!(renewed.access_token().expose(), token.access_token().expose());

        let names = names(method);
        device_log.push(format!("{names}scope 200"));
        token_log.push(format!("{names}grant_type device_code 200"));
        token_log.push(format!("{names}grant_type refresh_token 200"));
    }
    peer.received("device_authorization_endpoint", &device_log);
    peer.received("token_endpoint", &token_log);
}

fn device_login_waits_for_the_person(server: &str) {
    let peer = Peer::start(server);
    let url = peer.text("/device_authorization_endpoint");
    let login = device_login(&peer, url, peer.client("none")).unwrap();
    let begin = Instant::now();
    assert!(login.poll().unwrap().is_none(), "nobody has answered");
    assert!(login.poll().unwrap().is_none(), "too early to ask again");
    carry_out(login, Person::willing()).unwrap();
    // oidc-provider names no interval, which stands for 5 s (RFC 8628 3.2).
    let interval = if server == OIDC_PROVIDER { 5 } else { 1 };
    assert!(begin.elapsed() >= Duration::from_secs(interval), "{:?}", begin.elapsed());
    let poll = "client_id grant_type device_code";
    peer.received("token_endpoint", &[400, 200].map(|status| format!("{poll} {status}")));
}

fn denied_device_login_is_reported(server: &str) {
    let peer = Peer::start(server);
    let why = match server {
        OIDC_PROVIDER => "End-User aborted interaction",
        _ => "The resource owner or authorization server denied the request",
    };
    for method in METHODS {
        let url = peer.text("/device_authorization_endpoint");
        let login = device_login(&peer, url, client(&peer, method)).unwrap();
        Person::unwilling().open(login.url());
        let denied = (ErrorKind::LoginRequired, Some(400), Some("access_denied"));
        is_refusal(&login.poll().unwrap_err(), denied);
        let error = login.poll().unwrap_err();
        is_refusal(&error, denied);
        assert_eq!(
            error.to_string(),
            format!(
                "could not get the token of the login from {}: the server refused (HTTP 400): access_denied: {why}; log in again \
                 and allow the access",
                origin(&peer)
            )
        );
    }
    let log = METHODS.map(|method| format!("{}grant_type device_code 400", names(method)));
    peer.received("token_endpoint", &log);
}

fn expired_device_code_is_reported(server: &str) {
    let peer = Peer::start_with(server, &[], &[("DEVICE_EXPIRES_IN", "1")]);
    let url = peer.text("/device_authorization_endpoint");
    // The server itself refuses an expired code if the client does not know that it has expired.
    let longer = peer.proxy(
        "device_authorization_endpoint",
        |body| vec![body.to_owned()],
        |answer| {
            answer
                .replace("\"expires_in\":1", "\"expires_in\":600")
                .replace("\"expires_in\": 1", "\"expires_in\":600")
        },
    );
    let logins = METHODS
        .map(|method| [url, &longer].map(|url| device_login(&peer, url, client(&peer, method)).unwrap()));
    thread::sleep(Duration::from_secs(2));
    for [login, longer] in logins {
        let error = login.wait(Duration::from_secs(60)).unwrap_err();
        is_refusal(&error, (ErrorKind::LoginRequired, None, None));
        let why = "nobody logged in before the code expired; log in again";
        assert_eq!(error.to_string(), format!("could not log in at {}: {why}", origin(&peer)));
        let error = longer.poll().unwrap_err();
        is_refusal(&error, (ErrorKind::LoginRequired, Some(400), Some("expired_token")));
    }
    // One request for each login whose expiry the client did not know.
    let log = METHODS.map(|method| format!("{}grant_type device_code 400", names(method)));
    peer.received("token_endpoint", &log);
}

#[test]
#[ignore = "needs Python"]
fn authlib_slows_the_polls_of_a_device_login_down() {
    let peer = Peer::start(AUTHLIB);
    // The proxy sends each poll twice.
    let token_url = peer.between(|body| vec![body.to_owned(), body.to_owned()]);
    let login = DeviceCode::new(
        peer.text("/device_authorization_endpoint"),
        token_url,
        peer.client("client_secret_post"),
    )
    .start(&Transport::new())
    .unwrap();
    assert!(login.poll().unwrap().is_none());
    let poll = "client_id client_secret grant_type device_code";
    peer.received("token_endpoint", &[400, 400].map(|status| format!("{poll} {status}")));
    peer.says("slow_down");
    // The interval was 1 s, and is 6 s now.
    assert_eq!(login.wait(Duration::from_secs(3)).unwrap_err().kind(), ErrorKind::Timeout);
    peer.received("token_endpoint", &[400, 400].map(|status| format!("{poll} {status}")));
}

fn metadata_is_found_by_the_issuer(server: &str) {
    let peer = Peer::start(server);
    let metadata = Metadata::discover(&Transport::new(), peer.text("/issuer")).unwrap();
    let found = [
        ("issuer", Some(metadata.issuer())),
        ("token_endpoint", Some(metadata.token_endpoint().unwrap())),
        ("authorization_endpoint", metadata.authorization_endpoint()),
        ("device_authorization_endpoint", metadata.device_authorization_endpoint()),
        ("introspection_endpoint", metadata.introspection_endpoint()),
        ("revocation_endpoint", metadata.revocation_endpoint()),
    ];
    for (name, url) in found {
        assert_eq!(url, Some(peer.text(&format!("/{name}"))), "{name}");
    }
    if server == OIDC_PROVIDER {
        peer.says("request: GET /.well-known/oauth-authorization-server/op 404");
        peer.says("request: GET /op/.well-known/openid-configuration 200");
    } else {
        peer.says("request: GET /.well-known/oauth-authorization-server/acme 200");
    }
}

fn metadata_of_another_issuer_is_refused(server: &str) {
    let peer = Peer::start(server);
    let refused = |issuer: &str, why: &str| {
        let error = Metadata::discover(&Transport::new(), issuer).unwrap_err();
        is_refusal(&error, (ErrorKind::Protocol, None, None));
        assert_eq!(error.to_string(), format!("could not find the endpoints of {issuer}: {why}"));
    };
    let advice = "check the issuer, a '/' at its end included, or give the URL of each endpoint";
    let first = "oauth-authorization-server answered HTTP 404";
    let issuer = peer.text("/issuer");
    let other = format!("its metadata is that of another issuer, {issuer}; {advice}");
    let other = if server == OIDC_PROVIDER { format!("{other}; {first}") } else { other };
    refused(&issuer.replace("127.0.0.1", "localhost"), &other);
    let none = format!("it has no metadata: {first}, and openid-configuration answered HTTP 404; {advice}");
    refused(&origin(&peer), &none);
}

fn service_finds_its_server_by_the_issuer(server: &str) {
    let peer = Peer::start_with(server, &[], &[("ROTATE", "1")]);
    // `userinfo` is the API of OpenID Connect, which oidc-provider has of its own.
    let (scope, api) = match server {
        OIDC_PROVIDER => ("openid offline_access", "/userinfo"),
        _ => ("locations.readonly offline_access", "/api"),
    };
    let service =
        || Service::builder("acme").issuer(peer.text("/issuer")).api_url(origin(&peer)).scope(scope);
    let client = || peer.client("client_secret_post");
    let own = service().client_credentials(client()).build().unwrap();
    own.source().token(Duration::ZERO).unwrap();
    for login in [service().authorization_code(client(), REDIRECT_URI), service().device_code(client())] {
        let service = login.build().unwrap();
        let token = carry_out(service.start_login().unwrap(), Person::willing()).unwrap();
        service.finish_login(token.clone()).unwrap();
        let call = || service.agent().get(peer.text(api)).call();
        assert_eq!(call().unwrap().body_mut().read_to_string().unwrap().trim(), r#"{"sub":"ada"}"#);
        service.source().invalidate(&token);
        assert_eq!(call().unwrap().status(), 200);
        let renewed = service.source().current().unwrap();
        assert_ne!(renewed.access_token().expose(), token.access_token().expose());
        assert_eq!(service.introspect().unwrap().subject(), Some("ada"));
        service.revoke().unwrap();
        let refresh = Refresh::new(peer.text("/token_endpoint"), client());
        is_refusal(&refresh.run(&Transport::new(), &renewed).unwrap_err(), INVALID_GRANT);
    }
    let token = "client_id client_secret grant_type";
    peer.received(
        "token_endpoint",
        &[
            format!("{token} scope 200"),
            format!("{token} code redirect_uri code_verifier 200"),
            format!("{token} refresh_token 200"),
            format!("{token} refresh_token 400"),
            format!("{token} device_code 200"),
            format!("{token} refresh_token 200"),
            format!("{token} refresh_token 400"),
        ],
    );
    peer.received("device_authorization_endpoint", &["client_id client_secret scope 200"]);
}

fn introspection_tells_what_the_server_knows(server: &str) {
    let (peer, transport) = (Peer::start(server), Transport::new());
    let mut log = Vec::new();
    for method in CONFIDENTIAL {
        let client = client(&peer, method);
        let flow = ClientCredentials::new(peer.text("/token_endpoint"), client.clone());
        let token = flow.with_scope("locations.readonly").run(&transport).unwrap();
        let introspect = Introspect::new(peer.text("/introspection_endpoint"), client.clone());
        let answer = introspect.run(&transport, token.access_token()).unwrap();
        assert!(answer.is_active(), "{method}");
        assert_eq!(answer.scope(), Some("locations.readonly"));
        assert_eq!(answer.client_id(), Some(client.client_id()));
        assert_eq!(answer.token_type(), Some("Bearer"));
        assert_eq!(answer.issuer(), Some(peer.text("/issuer")));
        let life = answer.expires_at().unwrap().duration_since(answer.issued_at().unwrap()).unwrap();
        assert_eq!(life, Duration::from_secs(600));

        Revoke::new(peer.text("/revocation_endpoint"), client).run(&transport, token.access_token()).unwrap();
        for ended in [token.access_token(), &"unknown".into()] {
            let answer = introspect.run(&transport, ended).unwrap();
            assert_eq!((answer.is_active(), answer.scope()), (false, None), "{method}");
        }
        log.extend(std::iter::repeat_n(format!("{}token 200", names(method)), 3));
    }
    peer.received("introspection_endpoint", &log);
}

fn ready_assertion_is_read_for_each_request(server: &str) {
    let (peer, transport) = (Peer::start(server), Transport::new());
    let signer = Signer::new(&peer, "private_key_jwt");
    let auth = signer.clone().auth();
    let flow = ClientCredentials::new(peer.text("/token_endpoint"), auth.clone());
    let token = flow.run(&transport).unwrap();
    flow.run(&transport).unwrap();
    Revoke::new(peer.text("/revocation_endpoint"), auth).run(&transport, token.access_token()).unwrap();

    // A JWT from a file can be used once, unless the file is written again.
    let folder = Folder::new();
    let file = folder.write("jwt", signer.sign(&json!({})) + "\n");
    let auth = ClientAuth::assertion_file(signer.client.clone(), file);
    let flow = ClientCredentials::new(peer.text("/token_endpoint"), auth);
    flow.run(&transport).unwrap();
    assert_eq!(flow.run(&transport).unwrap_err().oauth_error(), Some("invalid_client"));
    folder.write("jwt", signer.sign(&json!({})));
    flow.run(&transport).unwrap();
    let request = "client_id client_assertion_type client_assertion grant_type";
    let refused = if server == OIDC_PROVIDER { 401 } else { 400 };
    let log = [200, 200, 200, refused, 200].map(|status| format!("{request} {status}"));
    peer.received("token_endpoint", &log);
}

/// The recipe for RFC 8693, without its subject token.
fn exchange(token_url: &str, auth: ClientAuth) -> ExtensionGrant {
    ExtensionGrant::new(token_url, auth, "urn:ietf:params:oauth:grant-type:token-exchange")
        .with_scope("locations.readonly")
        .with_parameter("subject_token_type", "urn:ietf:params:oauth:token-type:access_token")
}

fn token_is_exchanged_for_another(server: &str) {
    let (peer, transport) = (Peer::start(server), Transport::new());
    let token_url = peer.text("/token_endpoint");
    let mut log = Vec::new();
    for method in CONFIDENTIAL {
        let client = client(&peer, method);
        let subject = ClientCredentials::new(token_url, client.clone()).run(&transport).unwrap();
        let exchange = exchange(token_url, client.clone());
        let token = exchange
            .clone()
            .with_secret_parameter("subject_token", subject.access_token().clone())
            .run(&transport)
            .unwrap();
        assert_ne!(token.access_token().expose(), subject.access_token().expose());
        assert_eq!(token.scope(), Some("locations.readonly"));
        let introspect = Introspect::new(peer.text("/introspection_endpoint"), client);
        assert!(introspect.run(&transport, token.access_token()).unwrap().is_active());

        let error = exchange.with_secret_parameter("subject_token", "unknown").run(&transport).unwrap_err();
        is_refusal(&error, INVALID_GRANT);
        let names = names(method);
        let request = format!("{names}grant_type scope subject_token_type subject_token");
        log.extend([format!("{names}grant_type 200"), format!("{request} 200"), format!("{request} 400")]);
    }
    peer.received("token_endpoint", &log);
}

/// The recipe for RFC 7523 2.1. The public client `none` has a registered key.
fn signed_grant_yields_a_token(server: &str) {
    let (peer, transport) = (Peer::start(server), Transport::new());
    let (token_url, client) = (peer.text("/token_endpoint"), peer.client("none"));
    let grant = ExtensionGrant::new(token_url, client, "urn:ietf:params:oauth:grant-type:jwt-bearer")
        .with_scope("locations.readonly");
    let signer = Signer::new(&peer, "none");
    let sign = signer.clone();
    let flow = grant
        .clone()
        .with_parameter_from("assertion", move || Ok(sign.sign(&json!({ "sub": "ada" })).into()));
    let source = Arc::new(CachingSource::new(transport.clone(), flow));
    let auth = Auth::Bearer(source.clone());
    let agent = AgentBuilder::new(transport.clone(), auth).origin(origin(&peer)).build().unwrap();
    for _ in 0..2 {
        let answer = agent.get(peer.text("/api")).call().unwrap().body_mut().read_to_string().unwrap();
        assert_eq!(answer.trim(), r#"{"sub":"ada"}"#);
        let token = source.current().unwrap();
        assert_eq!(token.scope(), Some("locations.readonly"));
        source.invalidate(&token);
    }

    let other_key = Signer { key: Signer::new(&peer, "private_key_jwt").key, ..signer.clone() };
    let elsewhere = "https://elsewhere.example.com";
    let refused = [
        (
            signer.sign(&json!({ "sub": "ada", "exp": now() - 120 })),
            "\"exp\" claim timestamp check failed",
            ": The token is expired",
        ),
        (other_key.sign(&json!({ "sub": "ada" })), "signature verification failed", ""),
        (
            signer.sign(&json!({ "sub": "ada", "aud": elsewhere })),
            "unexpected \"aud\" claim value",
            ": Invalid claim: 'aud'",
        ),
        (
            signer.sign(&json!({ "sub": "ada", "iss": elsewhere })),
            "unexpected \"iss\" claim value",
            ": The client does not exist on this server",
        ),
        (
            signer.sign(&json!({ "sub": "eve" })),
            "unexpected \"sub\" claim value",
            ": Invalid 'sub' value in assertion",
        ),
        ("no.signed.text".to_owned(), "JWS Protected Header is invalid", ": Invalid JWT assertion"),
    ];
    let mut log = vec![200; 2];
    for (assertion, logged, answered) in refused {
        let error = grant.clone().with_secret_parameter("assertion", assertion).run(&transport).unwrap_err();
        is_refusal(&error, INVALID_GRANT);
        let words = if server == OIDC_PROVIDER {
            // oidc-provider names the reason in its log alone.
            peer.says(&format!("grant.error: invalid_grant: {logged}"));
            ": grant request is invalid"
        } else {
            answered
        };
        assert_eq!(
            error.to_string(),
            format!(
                "could not get a token from {}: the server refused (HTTP 400): invalid_grant{words}; check the grant and its \
                 parameters",
                origin(&peer)
            )
        );
        log.push(400);
    }
    let log = log.into_iter().map(|status| format!("client_id grant_type scope assertion {status}"));
    peer.received("token_endpoint", &log.collect::<Vec<_>>());
}

#[test]
#[ignore = "needs Node"]
fn oidc_provider_issues_tokens_for_one_resource() {
    let (peer, transport) = (Peer::start(OIDC_PROVIDER), Transport::new());
    let (token_url, resource) = (peer.text("/token_endpoint"), peer.text("/resource"));
    let is_of_resource = |token: &Token| {
        assert_eq!(token.scope(), Some("locations.readonly"));
        let life = token.remaining(SystemTime::now()).as_secs();
        assert!((110..=120).contains(&life), "{life}");
    };
    let flow = ClientCredentials::new(token_url, peer.client("client_secret_basic"))
        .with_scope("locations.readonly resources");
    let token = flow.clone().with_parameter("resource", resource).run(&transport).unwrap();
    is_of_resource(&token);
    let introspect =
        Introspect::new(peer.text("/introspection_endpoint"), peer.client("client_secret_basic"));
    assert_eq!(introspect.run(&transport, token.access_token()).unwrap().audience(), [resource]);
    let elsewhere = flow.with_parameter("resource", "https://elsewhere.example.com");
    let error = elsewhere.run(&transport).unwrap_err();
    is_refusal(&error, (ErrorKind::Refused, Some(400), Some("invalid_target")));
    assert!(error.to_string().ends_with("; check the parameters"), "{error}");

    let flow =
        login(&peer, token_url, peer.client("client_secret_post")).with_parameter("resource", resource);
    let token = log_in(&flow, Person::willing()).unwrap();
    is_of_resource(&token);
    let refresh = Refresh::new(token_url, peer.client("client_secret_post"));
    is_of_resource(&refresh.with_parameter("resource", resource).run(&transport, &token).unwrap());
    let client = "client_id client_secret grant_type";
    peer.received(
        "token_endpoint",
        &[
            "grant_type scope resource 200",
            "grant_type scope resource 400",
            &format!("{client} code redirect_uri code_verifier resource 200"),
            &format!("{client} refresh_token resource 200"),
        ],
    );
}

fn example_device_login_needs_a_person_once(server: &str) {
    let (peer, store) = (Peer::start(server), Folder::new());
    let run = || {
        let mut command = example("device_login");
        command
            .env("KEYFOB_STORE", &store.0)
            .env("ACME_ISSUER", peer.text("/issuer"))
            .env("ACME_API_URL", origin(&peer))
            .env("ACME_CLIENT_ID", peer.text("/clients/none/client_id"))
            .env("ACME_SCOPE", "locations.readonly")
            .arg(path(&peer, "api"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut child = run();
    let mut lines = BufReader::with_capacity(1, child.stderr.as_mut().unwrap()).lines();
    let url = lines.find_map(|line| line.unwrap().strip_prefix("or open ").map(str::to_owned)).unwrap();
    Person::willing().open(&url);
    let ends = |child: Child| {
        let output = child.wait_with_output().unwrap();
        let answer = String::from_utf8(output.stdout).unwrap();
        assert!(answer.contains("\"sub\""), "{answer}{:?}", String::from_utf8(output.stderr));
    };
    ends(child);
    // This run has the token, and asks nobody.
    let mut child = run();
    let mut asked = String::new();
    BufReader::with_capacity(1, child.stderr.as_mut().unwrap()).read_line(&mut asked).unwrap();
    if asked.starts_with("open ") {
        child.kill().unwrap();
    }
    assert_eq!(asked, "");
    ends(child);
    peer.received("device_authorization_endpoint", &["client_id scope 200"]);
    peer.received("token_endpoint", &["client_id grant_type device_code 200"]);
}

/// The example as a program, with the settings of the client `client_secret_basic`.
fn any_server(peer: &Peer, store: &Folder) -> Command {
    let mut command = example("any_server");
    command
        .env("KEYFOB_STORE", &store.0)
        .env("ACME_ISSUER", peer.text("/issuer"))
        .env("ACME_API_URL", origin(peer))
        .env("ACME_CLIENT_ID", peer.setting("client_secret_basic", "client_id").unwrap())
        .env("ACME_CLIENT_SECRET", peer.setting("client_secret_basic", "client_secret").unwrap())
        .env("ACME_SCOPE", "locations.readonly")
        .arg(path(peer, "api"));
    command
}

/// The requests that find the metadata.
fn discovery(server: &str) -> &'static [&'static str] {
    match server {
        OIDC_PROVIDER => &[
            "GET /.well-known/oauth-authorization-server/op 404",
            "GET /op/.well-known/openid-configuration 200",
        ],
        _ => &["GET /.well-known/oauth-authorization-server/acme 200"],
    }
}

fn example_any_server_has_one_token_for_two_runs(server: &str) {
    let (peer, store) = (Peer::start(server), Folder::new());
    let client = peer.setting("client_secret_basic", "client_id").unwrap();
    for _ in 0..2 {
        let output = any_server(&peer, &store).output().unwrap();
        let answer = String::from_utf8(output.stdout).unwrap();
        assert_eq!(
            answer.trim(),
            format!(r#"{{"sub":"{client}"}}"#),
            "{:?}",
            String::from_utf8(output.stderr)
        );
    }
    let mut log: Vec<_> = discovery(server).iter().map(|&line| line.to_owned()).collect();
    log.push(format!("POST {} grant_type scope 200", path(&peer, "token_endpoint")));
    log.extend(vec![format!("GET {} 200", path(&peer, "api")); 2]);
    peer.received_in_all(&log);
}

fn example_any_server_reports_what_is_wrong(server: &str) {
    let peer = Peer::start(server);
    let (issuer, origin) = (peer.text("/issuer"), origin(&peer));
    let [failing, moved] =
        ["500 Internal Server Error", "302 Found\r\nlocation: /elsewhere"].map(api_that_answers);
    let refused = |words: &str| {
        format!(
            "could not get a token with the client credentials from {origin}: the server refused (HTTP 401): invalid_client: \
             {words}; check the client id and secret (Refused, HTTP 401, invalid_client)"
        )
    };
    let [wrong_secret, nobody] = match server {
        OIDC_PROVIDER => ["client authentication failed"; 2],
        _ => [
            "The client cannot authenticate with methods: ['client_secret_basic', 'client_secret_post', 'client_assertion_jwt']",
            "The client does not exist on this server",
        ],
    };
    let no_issuer = format!("{issuer}/nowhere");
    let no_metadata = format!(
        "could not find the endpoints of {no_issuer}: it has no metadata: oauth-authorization-server answered HTTP 404, and \
         openid-configuration answered HTTP 404; check the issuer, a '/' at its end included, or give the URL of each endpoint \
         (Protocol)"
    );
    let no_scope = "the API answered HTTP 403; check what these credentials may do (ApiStatus, HTTP 403)";
    let failed = "the API answered HTTP 500; try again later (ApiStatus, HTTP 500)";
    let redirects =
        "the API answered HTTP 302; redirects are not followed: check the URL (Protocol, HTTP 302)";
    for (name, value, text) in [
        ("ACME_CLIENT_SECRET", "guess", refused(wrong_secret)),
        ("ACME_CLIENT_ID", "nobody", refused(nobody)),
        ("ACME_ISSUER", &no_issuer, no_metadata),
        ("ACME_SCOPE", "", no_scope.to_owned()),
        ("ACME_API_URL", &failing, failed.to_owned()),
        ("ACME_API_URL", &moved, redirects.to_owned()),
    ] {
        let output = any_server(&peer, &Folder::new()).env(name, value).output().unwrap();
        let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert_eq!((stdout, stderr), (String::new(), format!("Error: {text}\n")));
        assert_eq!(output.status.code(), Some(1));
    }
    let [bad, good] = ["grant_type scope 401", "grant_type scope 200"];
    peer.received("token_endpoint", &[bad, bad, "grant_type 200", good, good]);
}

/// The origin of an API that answers each request with this status.
fn api_that_answers(status: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            read_request(&mut stream);
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").unwrap();
        }
    });
    origin
}
