//! Servers written by others. The tests need Node: `npm ci` in `tests/peers`, then `cargo test -- --ignored`.
#![allow(clippy::disallowed_methods, reason = "tests against real servers live in real time")]

#[path = "support/peer.rs"]
mod peer;

use std::io::Write as _;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, SystemTime};

use keyfob::flow::ClientCredentials;
use keyfob::{CachingSource, ClientAuth, Clock, Error, ErrorKind, TokenSource as _, Transport};
use peer::{Peer, read_request};

fn assertion(peer: &Peer) -> ClientCredentials {
    as_client(peer, auth(peer))
}

fn auth(peer: &Peer) -> ClientAuth {
    peer.client("client_secret_jwt")
}

fn as_client(peer: &Peer, auth: ClientAuth) -> ClientCredentials {
    ClientCredentials::new(peer.text("/token_endpoint"), auth)
}

#[track_caller]
fn is_invalid_client(error: &Error) {
    assert_eq!(
        (error.kind(), error.status(), error.oauth_error()),
        (ErrorKind::Refused, Some(401), Some("invalid_client"))
    );
}

#[test]
#[ignore = "needs Node"]
fn oidc_provider_accepts_keyfobs_assertions() {
    let peer = Peer::start("oidc.mjs");
    let http = Transport::new();
    let flow = assertion(&peer);
    let first = flow.run(&http).unwrap();
    let second = flow.run(&http).unwrap();
    assert_ne!(first.access_token().expose(), second.access_token().expose(), "a fresh jti each time");
    let life = first.remaining(SystemTime::now());
    assert!(life > Duration::from_secs(500) && life <= Duration::from_secs(601), "{life:?}");

    as_client(&peer, auth(&peer).with_audience(peer.text("/issuer"))).run(&http).unwrap();

    let source = CachingSource::new(http, assertion(&peer));
    let token = source.token(Duration::from_secs(60)).unwrap();
    source.invalidate(&token);
    let renewed = source.token(Duration::from_secs(60)).unwrap();
    assert_ne!(token.access_token().expose(), renewed.access_token().expose());
}

#[test]
#[ignore = "needs Node"]
fn oidc_provider_refuses_a_wrong_audience() {
    let peer = Peer::start("oidc.mjs");
    let flow = as_client(&peer, auth(&peer).with_audience("https://elsewhere.example/token"));
    is_invalid_client(&flow.run(&Transport::new()).unwrap_err());
    peer.says("audience");
}

#[test]
#[ignore = "needs Node"]
fn oidc_provider_refuses_an_expired_assertion_and_its_date_corrects_the_clock() {
    let peer = Peer::start("oidc.mjs");
    // The assertion expires before it arrives, and is signed again with the time of the refusal.
    let late = as_client(&peer, auth(&peer).with_lifetime(Duration::from_secs(10)));
    let slow = Clock::manual(SystemTime::now() - Duration::from_secs(25));
    late.run(&Transport::new().with_clock(slow.clone())).unwrap();
    peer.says("jwt expired");
    assert!((slow.offset() - 25).abs() <= 2, "{}", slow.offset());

    let clock = Clock::manual(SystemTime::now() - Duration::from_secs(24 * 60 * 60));
    assertion(&peer).run(&Transport::new().with_clock(clock.clone())).unwrap();
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

    // The library reports the refusal in the server's own words: a proxy sends the used body again, whatever
    // the library sends.
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token", proxy.local_addr().unwrap());
    let flow = ClientCredentials::new(&url, auth(&peer));
    let error = thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = proxy.accept().unwrap();
            read_request(&mut stream);
            let mut answer = replay();
            let (status, text) = (answer.status(), answer.body_mut().read_to_string().unwrap());
            let length = text.len();
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{text}").unwrap();
        });
        flow.run(&Transport::new()).unwrap_err()
    });
    assert_eq!((error.status(), error.oauth_error()), (Some(401), Some("invalid_client")));
}

/// Returns the body that the library posts to a token endpoint, with the peer's URL as its audience.
fn captured(peer: &Peer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let flow = ClientCredentials::new(&url, auth(peer).with_audience(peer.text("/token_endpoint")));
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let body = read_request(&mut stream);
            write!(stream, "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").unwrap();
            body
        });
        flow.run(&Transport::new()).unwrap_err();
        server.join().unwrap()
    })
}
