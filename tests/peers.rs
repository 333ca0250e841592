//! Peers written by others. They need Node: `npm ci` in `tests/peers`, then `cargo test -- --ignored`.
#![allow(clippy::disallowed_methods, reason = "tests against real servers live in real time")]

#[path = "support/peer.rs"]
mod peer;

use std::io::Write as _;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, SystemTime};

use keyfob::flow::ClientAssertion;
use keyfob::{CachingSource, Clock, Error, ErrorKind, Http, TokenSource as _};
use peer::{Peer, read_request};

fn assertion(peer: &Peer) -> ClientAssertion {
    assertion_with(peer, peer.text("/clients/client_secret_jwt/client_secret"))
}

fn assertion_with(peer: &Peer, secret: &str) -> ClientAssertion {
    let id = peer.text("/clients/client_secret_jwt/client_id");
    ClientAssertion::new(peer.text("/token_endpoint"), id, secret).unwrap()
}

#[track_caller]
fn is_invalid_client(peer: &Peer, error: &Error) {
    assert_eq!((error.kind(), error.status()), (ErrorKind::Refused, Some(401)));
    assert_eq!(error.oauth_error(), Some("invalid_client"));
    assert_eq!(
        error.to_string(),
        format!(
            "could not get a token with a client assertion at {}: it refused (HTTP 401): invalid_client: \
             client authentication failed; check the client id and secret",
            peer.text("/issuer")
        )
    );
}

#[test]
#[ignore = "needs Node"]
fn oidc_provider_takes_our_assertions() {
    let peer = Peer::start("oidc.mjs");
    let http = Http::new();
    let flow = assertion(&peer);
    let first = flow.run(&http).unwrap();
    let second = flow.run(&http).unwrap();
    assert_ne!(first.access_token().expose(), second.access_token().expose(), "a fresh jti each time");
    let life = first.remaining(SystemTime::now());
    assert!(life > Duration::from_secs(500) && life <= Duration::from_secs(601), "{life:?}");

    flow.with_audience(peer.text("/issuer")).unwrap().run(&http).unwrap();

    let source = CachingSource::new(http, assertion(&peer));
    let token = source.token(Duration::from_secs(60)).unwrap();
    source.invalidate(&token);
    let renewed = source.token(Duration::from_secs(60)).unwrap();
    assert_ne!(token.access_token().expose(), renewed.access_token().expose());
}

#[test]
#[ignore = "needs Node"]
fn oidc_provider_refuses_a_wrong_secret() {
    let peer = Peer::start("oidc.mjs");
    let error = assertion_with(&peer, &"wrong".repeat(10)).run(&Http::new()).unwrap_err();
    is_invalid_client(&peer, &error);
    peer.says("signature verification failed");
}

#[test]
#[ignore = "needs Node"]
fn oidc_provider_refuses_a_wrong_audience() {
    let peer = Peer::start("oidc.mjs");
    let flow = assertion(&peer).with_audience("https://elsewhere.example/token").unwrap();
    is_invalid_client(&peer, &flow.run(&Http::new()).unwrap_err());
    peer.says("audience");
}

#[test]
#[ignore = "needs Node"]
fn oidc_provider_refuses_an_expired_assertion_and_its_date_puts_the_clock_right() {
    let peer = Peer::start("oidc.mjs");
    // Signed and gone before it arrives: the clock agrees with the server's, so it is no reason to sign again.
    let late = assertion(&peer).with_lifetime(Duration::ZERO);
    let slow = Clock::manual(SystemTime::now() - Duration::from_secs(25));
    is_invalid_client(&peer, &late.run(&Http::new().with_clock(slow)).unwrap_err());
    peer.says("jwt expired");

    let clock = Clock::manual(SystemTime::now() - Duration::from_secs(24 * 60 * 60));
    assertion(&peer).run(&Http::new().with_clock(clock.clone())).unwrap();
    assert!((clock.offset() - 24 * 60 * 60).abs() <= 2, "{}", clock.offset());
}

#[test]
#[ignore = "needs Node"]
fn oidc_provider_refuses_a_replayed_jti() {
    let peer = Peer::start("oidc.mjs");
    let body = captured(&peer);
    let replay = || {
        let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build();
        ureq::Agent::new_with_config(config)
            .post(peer.text("/token_endpoint"))
            .header("content-type", "application/x-www-form-urlencoded")
            .send(&body)
            .unwrap()
    };
    assert_eq!(replay().status(), 200, "the first use");
    assert_eq!(replay().status(), 401, "the second");
    peer.says("client assertion tokens must only be used once");

    // Reported by the library in the server's own words: a proxy sends the used body on, whatever the library minted.
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token", proxy.local_addr().unwrap());
    let id = peer.text("/clients/client_secret_jwt/client_id");
    let secret = peer.text("/clients/client_secret_jwt/client_secret");
    let flow = ClientAssertion::new(&url, id, secret).unwrap();
    let error = thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = proxy.accept().unwrap();
            read_request(&mut stream);
            let mut answer = replay();
            let (status, text) = (answer.status(), answer.body_mut().read_to_string().unwrap());
            let length = text.len();
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{text}").unwrap();
        });
        flow.run(&Http::new()).unwrap_err()
    });
    assert_eq!((error.status(), error.oauth_error()), (Some(401), Some("invalid_client")));
}

/// What the library posts to a token endpoint, with the peer's as its audience.
fn captured(peer: &Peer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let id = peer.text("/clients/client_secret_jwt/client_id");
    let secret = peer.text("/clients/client_secret_jwt/client_secret");
    let flow =
        ClientAssertion::new(&url, id, secret).unwrap().with_audience(peer.text("/token_endpoint")).unwrap();
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let body = read_request(&mut stream);
            write!(stream, "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").unwrap();
            body
        });
        flow.run(&Http::new()).unwrap_err();
        server.join().unwrap()
    })
}
