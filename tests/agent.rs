//! The agent: what it signs, repeats and refuses, and how long it waits.

#![allow(clippy::disallowed_methods, reason = "deadlines are measured on the machine's clock")]

#[path = "support/subject.rs"]
mod subject;
mod support;

use std::fmt::Debug;
use std::io::{self, Read as _};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, SystemTime};

use keyfob::flow::ClientCredentials;
use keyfob::ureq::http::Request as HttpRequest;
use keyfob::ureq::{self, Agent};
use keyfob::{
    AgentBuilder, Auth, CachingSource, ClientAuth, Error, ErrorKind, Token, TokenSource, Transport,
};
use subject::*;
use support::*;

/// An agent that signs for the server, with a header like that of Spacebring's network.
fn signed_agent(server: &Server, source: impl TokenSource + 'static) -> AgentBuilder {
    AgentBuilder::new(Transport::new(), Auth::Bearer(Arc::new(source)))
        .origin(server.origin())
        .header("spacebring-network-id", "a network")
        .deadline(LONG)
}

/// Returns `token-0`, and the next token each time the current one is refused.
#[derive(Clone, Default)]
struct Renewing {
    renewals: Arc<AtomicUsize>,
    expires_at: Option<SystemTime>,
}

impl Renewing {
    fn renewals(&self) -> usize {
        self.renewals.load(SeqCst)
    }
}

impl TokenSource for Renewing {
    fn token(&self, _: Duration) -> Result<Arc<Token>, Error> {
        let token = token(&format!("token-{}", self.renewals()));
        Ok(Arc::new(match self.expires_at {
            Some(at) if self.renewals() == 0 => token.with_expires_at(at),
            _ => token,
        }))
    }

    fn invalidate(&self, used: &Token) {
        let current = format!("token-{}", self.renewals());
        assert_eq!(used.access_token().expose(), current.as_bytes(), "only the current one is refused");
        self.renewals.fetch_add(1, SeqCst);
    }
}

fn only_for_token_1() -> Server {
    Server::answering(|request| {
        answer(if request.header("authorization") == Some("Bearer token-1") { 200 } else { 401 }, "", "")
    })
}

/// Refuses `token-0`, but only when this many requests have brought it. Accepts every other token.
fn refusing_together(requests: usize, status: u16, headers: &'static str) -> Server {
    let together = Barrier::new(requests);
    Server::answering(move |request| {
        if request.header("authorization") != Some("Bearer token-0") {
            return answer(200, "", "");
        }
        together.wait();
        answer(status, headers, "")
    })
}

/// The tokens that the server received, in order.
fn tokens(server: &Server) -> Vec<String> {
    let bearer =
        |request: &Request| request.header("authorization").map(|value| value.replace("Bearer ", ""));
    server.requests().iter().map(|request| bearer(request).unwrap_or_default()).collect()
}

#[track_caller]
fn ends_with_status<T: Debug>(result: Result<T, ureq::Error>, status: u16) {
    match result {
        Err(ureq::Error::StatusCode(code)) => assert_eq!(code, status),
        other => panic!("{status} expected: {other:?}"),
    }
}

#[test]
fn refused_token_is_replaced_once_and_the_request_is_repeated_once() {
    let past = Some(SystemTime::UNIX_EPOCH);
    let invalid = r#"WWW-Authenticate: Bearer realm="a", error="invalid_token""#;
    let two = "WWW-Authenticate: Basic\r\nWWW-Authenticate: Bearer error=\"invalid_token\"";
    let scope = r#"WWW-Authenticate: Bearer error="insufficient_scope""#;
    for (status, headers, expires_at, replaced) in [
        (401, "", None, true),
        (401, scope, None, true),
        (403, "", None, false),
        (403, scope, None, false),
        (403, invalid, None, true),
        (403, two, None, true),
        (403, "", past, true),
        (400, invalid, past, false),
        (404, "", past, false),
    ] {
        for always in [false, true] {
            let refusal = answer(status, headers, "no");
            let server = Server::answering(move |request| {
                let good = !always && request.header("authorization") == Some("Bearer token-1");
                if good { answer(200, "", "yes") } else { refusal.clone() }
            });
            let source = Renewing { expires_at, ..Renewing::default() };
            let agent = signed_agent(&server, source.clone()).build().unwrap();
            let result = agent.get(server.origin()).call();
            if replaced && !always {
                assert_eq!(result.unwrap().body_mut().read_to_string().unwrap(), "yes");
            } else {
                ends_with_status(result, status);
            }
            let expected: &[&str] = if replaced { &["token-0", "token-1"] } else { &["token-0"] };
            assert_eq!(tokens(&server), expected, "{status} {headers}");
            assert_eq!(server.connections(), 1, "the connection is kept");
        }
    }
}

#[test]
fn endpoint_that_always_answers_401_forces_one_renewal_unless_a_call_succeeds() {
    let server = Server::answering(|request| {
        answer(if request.head.starts_with("GET /good ") { 200 } else { 401 }, "", "")
    });
    let source = Renewing::default();
    let agent = signed_agent(&server, source.clone()).build().unwrap();
    let bad = || ends_with_status(agent.get(server.origin()).call(), 401);
    for _ in 0..20 {
        bad();
    }
    assert_eq!((source.renewals(), server.requests().len()), (1, 21));
    agent.get(format!("{}/good", server.origin())).call().unwrap();
    for _ in 0..20 {
        bad();
    }
    assert_eq!((source.renewals(), server.requests().len()), (2, 43));
}

#[test]
fn success_at_another_origin_does_not_allow_another_forced_renewal() {
    let server = Server::answering(|_| answer(401, "", ""));
    let elsewhere = Server::answering(|_| answer(200, "", ""));
    let source = Renewing::default();
    let agent = signed_agent(&server, source.clone()).allow_other_origins().build().unwrap();
    for _ in 0..3 {
        ends_with_status(agent.get(server.origin()).call(), 401);
        agent.get(elsewhere.origin()).call().unwrap();
    }
    assert_eq!(source.renewals(), 1);
}

/// A source that forgets a refused token slowly. By then, both threads have asked for another token.
struct SlowToForget {
    calls: AtomicUsize,
    both_looked: Barrier,
    forgotten: AtomicBool,
}

impl TokenSource for SlowToForget {
    fn token(&self, _: Duration) -> Result<Arc<Token>, Error> {
        let name = if self.forgotten.load(SeqCst) { "token-1" } else { "token-0" };
        if (2..4).contains(&self.calls.fetch_add(1, SeqCst)) {
            self.both_looked.wait();
        }
        Token::new(name, SystemTime::UNIX_EPOCH).map(Arc::new)
    }

    fn invalidate(&self, _: &Token) {
        thread::sleep(Duration::from_millis(100));
        self.forgotten.store(true, SeqCst);
    }
}

#[test]
fn refused_thread_waits_for_the_thread_that_forces_a_renewal() {
    let server = refusing_together(2, 401, "");
    let source = SlowToForget { calls: 0.into(), both_looked: Barrier::new(2), forgotten: false.into() };
    let agent = signed_agent(&server, source).build().unwrap();
    in_parallel(&[(), ()], |()| assert_eq!(agent.get(server.origin()).call().unwrap().status(), 200));
}

#[test]
fn threads_refused_at_the_same_time_share_one_new_token() {
    const THREADS: usize = 16;
    let server = refusing_together(THREADS, 401, "");
    let source = Renewing::default();
    let agent = signed_agent(&server, source.clone()).build().unwrap();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| agent.get(server.origin()).call().unwrap());
        }
    });
    assert_eq!(source.renewals(), 1);
}

/// A source that returns `token-0` to the first thread that looks for another token, but only after the second thread's call has ended.
struct LateLook {
    calls: AtomicUsize,
    renewals: Arc<AtomicUsize>,
    second_ended: Arc<Barrier>,
}

impl TokenSource for LateLook {
    fn token(&self, _: Duration) -> Result<Arc<Token>, Error> {
        let name = format!("token-{}", self.renewals.load(SeqCst));
        if self.calls.fetch_add(1, SeqCst) == 2 {
            self.second_ended.wait();
        }
        Ok(Arc::new(token(&name)))
    }

    fn invalidate(&self, _: &Token) {
        self.renewals.fetch_add(1, SeqCst);
    }
}

#[test]
fn thread_that_looked_before_another_forced_a_renewal_forces_none() {
    let invalid = r#"WWW-Authenticate: Bearer error="invalid_token""#;
    let insufficient = r#"WWW-Authenticate: Bearer error="insufficient_scope""#;
    for (method, status, headers) in [
        ("GET", 401, ""),
        ("GET", 401, insufficient),
        ("DELETE", 401, invalid),
        ("PUT", 403, invalid),
        ("POST", 403, invalid),
    ] {
        let server = refusing_together(2, status, headers);
        let renewals = Arc::new(AtomicUsize::new(0));
        let second_ended = Arc::new(Barrier::new(2));
        let source =
            LateLook { calls: 0.into(), renewals: renewals.clone(), second_ended: second_ended.clone() };
        let agent = signed_agent(&server, source).build().unwrap();
        let first_to_end = AtomicBool::new(true);
        in_parallel(&[(), ()], |()| {
            call(&agent, method, &server.origin()).unwrap();
            if first_to_end.swap(false, SeqCst) {
                second_ended.wait();
            }
        });
        assert_eq!(renewals.load(SeqCst), 1, "{method} {status} {headers}");
    }
}

#[test]
fn body_up_to_64_kib_is_sent_again_unchanged() {
    for len in [0, 1, 64 * 1024] {
        let body: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let server = only_for_token_1();
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let agent = signed_agent(&server, Renewing::default()).build().unwrap();
            let before = server.requests().len();
            if method == "DELETE" {
                agent.delete(server.origin()).force_send_body().send(&body[..]).unwrap();
            } else {
                let request = HttpRequest::builder().method(method).uri(server.origin());
                agent.run(request.body(&body[..]).unwrap()).unwrap();
            }
            let requests = &server.requests()[before..];
            assert_eq!(requests.len(), 2, "{method}");
            for request in requests {
                assert_eq!((request.method(), &request.body), (method, &body));
                let length = request.header("content-length").map_or(0, |len| len.parse().unwrap());
                assert_eq!((length, request.header("transfer-encoding")), (len, None), "{method}");
            }
        }
    }
}

/// A body that is slow, or fails.
struct Slow(Duration, io::Result<()>);

impl io::Read for Slow {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        thread::sleep(std::mem::take(&mut self.0));
        std::mem::replace(&mut self.1, Ok(())).map(|()| 0)
    }
}

#[test]
fn deadline_starts_when_the_body_has_been_buffered() {
    let server = Server::answering(|_| answer(200, "", ""));
    let agent = signed_agent(&server, Fixed("fixed")).deadline(NOISE).build().unwrap();
    let send = |body| agent.post(server.origin()).send(ureq::SendBody::from_owned_reader(body));
    send(Slow(NOISE, Ok(()))).unwrap();
    assert_eq!(server.requests().len(), 1);
    let broken = send(Slow(Duration::ZERO, Err(io::Error::other("expired"))));
    let text = "the body of the request could not be read: other error; nothing was sent";
    fails(broken.map_err(Error::from), ErrorKind::InvalidInput, text, "a body that fails");
    assert_eq!(server.requests().len(), 1);
    // A body that is streamed.
    let long = io::repeat(b'x').take(100_000).chain(Slow(Duration::ZERO, Err(io::Error::other("expired"))));
    let broken = agent.post(server.origin()).send(ureq::SendBody::from_owned_reader(long));
    let text = format!("could not call the API: the network failed (other error); {CHECK}");
    // The system's TLS library wraps its own errors in the same way, so the two cannot be distinguished
    // there.
    if !cfg!(feature = "native-tls") {
        fails(broken.map_err(Error::from), ErrorKind::Network, &text, "a long body that fails");
    }
}

#[test]
fn body_over_64_kib_is_sent_once_and_the_next_call_uses_a_new_token() {
    let body = vec![b'x'; 64 * 1024 + 1];
    let server = only_for_token_1();
    for length in [None, Some(body.len().to_string())] {
        let agent = signed_agent(&server, Renewing::default()).build().unwrap();
        let post = || match &length {
            Some(length) => agent.post(server.origin()).header("content-length", length).send(&body),
            None => agent.post(server.origin()).send(&body),
        };
        let before = server.requests().len();
        ends_with_status(post(), 401);
        post().unwrap();
        let requests = &server.requests()[before..];
        assert_eq!(tokens(&server)[before..], ["token-0", "token-1"]);
        for request in requests {
            assert_eq!(request.header("content-length"), length.as_deref());
            assert!(request.body.len() >= body.len());
        }
    }
}

/// Makes a request, with a body if the method allows one, and reads the answer, so that the connection is
/// kept.
fn call(agent: &Agent, method: &str, url: &str) -> Result<String, ureq::Error> {
    let request = HttpRequest::builder().method(method).uri(url);
    match method {
        "POST" | "PUT" | "PATCH" => agent.run(request.body("body").unwrap()),
        _ => agent.run(request.body(()).unwrap()),
    }
    .and_then(|mut response| response.body_mut().read_to_string())
}

#[test]
fn only_repeatable_requests_are_repeated() {
    let safe = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"];
    let methods: Vec<_> = safe.iter().chain(&["POST", "PATCH"]).map(|it| (*it, safe.contains(it))).collect();
    let statuses = [429, 502, 503, 504, 500, 501, 505, 400];
    let cases: Vec<_> = methods.iter().flat_map(|it| statuses.map(|status| (*it, status))).collect();
    in_parallel(&cases, |&((method, safe), status)| {
        let repeated = status == 429 || (502..=504).contains(&status) && safe;
        for bad in [1, 2, 3] {
            let count = AtomicUsize::new(0);
            let server = Server::answering(move |_| {
                answer(if count.fetch_add(1, SeqCst) < bad { status } else { 200 }, "Retry-After: 0", "")
            });
            let agent = signed_agent(&server, Fixed("fixed")).build().unwrap();
            let result = call(&agent, method, &server.origin());
            let most = if status == 429 { usize::MAX } else { 3 };
            let tries = if repeated { (bad + 1).min(most) } else { 1 };
            let requests = server.requests();
            assert_eq!(requests.len(), tries, "{method} {status} {bad} times: {requests:?}");
            if tries > bad {
                result.unwrap();
            } else {
                ends_with_status(result, status);
            }
        }
    });
    in_parallel(&methods, |(method, safe)| {
        for script in [vec![Step::Reset], vec![Step::Read]] {
            let server = Server::scripted(move |_| script.clone());
            let agent = signed_agent(&server, Fixed("fixed")).build().unwrap();
            let error = Error::from(call(&agent, method, &server.origin()).unwrap_err());
            let text = "could not call the API: the connection was cut off; try again";
            fails(Err::<(), _>(error), ErrorKind::Network, text, method);
            assert_eq!(server.requests().len(), if *safe { 3 } else { 1 }, "{method}");
        }
    });
}

#[test]
fn dropped_connection_costs_one_new_connection_and_no_failed_call() {
    let ok = || send(answer(200, "", "ok"));
    let scripts = [
        ("reset at the next request", vec![Step::Read, ok(), Step::Reset]),
        ("closed at the next request", vec![Step::Read, ok(), Step::Read]),
        ("closed in the next answer", vec![Step::Read, ok(), Step::Read, send("HTTP/1.1 2")]),
        ("closed after each answer", vec![Step::Read, ok()]),
    ];
    in_parallel(&scripts, |(name, script)| {
        for method in ["GET", "PUT"] {
            let script = script.clone();
            let server = Server::scripted(move |_| script.clone());
            let agent = signed_agent(&server, Fixed("fixed")).build().unwrap();
            for number in 1..=50 {
                let before = server.connections();
                let text = call(&agent, method, &server.origin());
                assert_eq!(text.unwrap_or_else(|error| panic!("{name}, {number}: {error}")), "ok");
                assert!(server.connections() <= before + 1, "{name}, {number}");
            }
            let requests = if name.contains("next") { 99 } else { 50 };
            assert_eq!((server.requests().len(), server.connections()), (requests, 50), "{name}");
        }
        let script = script.clone();
        let server = Server::scripted(move |_| script.clone());
        let agent = signed_agent(&server, Fixed("fixed")).build().unwrap();
        let done = (0..10).filter(|_| call(&agent, "POST", &server.origin()).is_ok()).count();
        assert!(server.requests().len() <= 10, "{name}: no POST is sent twice");
        assert!(done >= 5, "{name}: {done}");
    });
}

#[test]
fn many_dropped_connections_cost_a_call_only_one_new_connection() {
    let all = Arc::new(Barrier::new(8));
    let server = Server::scripted(move |connection| match connection {
        0..8 => vec![Step::Read, Step::Meet(all.clone()), send(answer(200, "", "ok")), Step::Reset],
        _ => vec![Step::Read, send(answer(200, "", "ok"))],
    });
    let agent = signed_agent(&server, Fixed("fixed")).build().unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| call(&agent, "GET", &server.origin()).unwrap());
        }
    });
    assert_eq!(server.connections(), 8);
    call(&agent, "GET", &server.origin()).unwrap();
    assert_eq!((server.connections(), server.requests().len()), (9, 10));
}

#[test]
fn leftover_bytes_on_a_connection_are_never_taken_for_an_answer() {
    let stale = answer(200, "", "stale");
    let cases = [
        ("GET", answer(200, "", "right")),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
        ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nstale".to_vec()),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n".to_vec()),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_vec()),
        ("GET", answer(503, "Retry-After: 0", "no")),
        ("GET", answer(401, "", "no")),
    ];
    for (method, first) in cases {
        // Another answer arrives with the first one, or shortly after it.
        for later in [0, 10].map(Duration::from_millis) {
            if first == answer(401, "", "no") && !later.is_zero() {
                // The repeated request is on its way by then, and the server has answered it.
                continue;
            }
            let (first, stale) = (first.clone(), stale.clone());
            let server = Server::scripted(move |connection| match connection {
                0 if later.is_zero() => vec![Step::Read, send([&first[..], &stale].concat()), Step::Hold],
                0 => vec![Step::Read, send(&first), Step::Pause(later), send(&stale), Step::Hold],
                _ => vec![Step::Serve(Arc::new(|_| answer(200, "", "right")))],
            });
            let agent = signed_agent(&server, Renewing::default()).build().unwrap();
            let text = call(&agent, method, &server.origin()).unwrap();
            assert!(text == "right" || text.is_empty(), "{method}: {text}");
            thread::sleep(10 * later);
            assert_eq!(call(&agent, "GET", &server.origin()).unwrap(), "right", "{method}, {later:?}");
        }
    }
}

#[test]
fn allowed_other_origins_receive_neither_token_nor_header() {
    let (api, other) =
        (Server::answering(|_| answer(200, "", "")), Server::answering(|_| answer(401, "", "")));
    let source = Renewing::default();
    let agent = signed_agent(&api, source.clone()).allow_other_origins().build().unwrap();
    agent.get(format!("{}/path", api.origin())).call().unwrap();
    agent.get(api.origin()).header("authorization", "Bearer mine").call().unwrap();
    let by_name = format!("http://localhost:{}", api.port());
    agent.get(&by_name).call().unwrap();
    ends_with_status(agent.get(other.origin()).call(), 401);
    ends_with_status(agent.post(other.origin()).send("body"), 401);
    let signed = |request: &Request| {
        (request.header("authorization"), request.header("spacebring-network-id"))
            == (Some("Bearer token-0"), Some("a network"))
    };
    let bare = |request: &Request| {
        (request.header("authorization"), request.header("spacebring-network-id")) == (None, None)
    };
    let requests = api.requests();
    assert!(signed(&requests[0]) && signed(&requests[1]) && bare(&requests[2]), "{requests:?}");
    assert!(other.requests().iter().all(bare) && other.requests().len() == 2);
    assert_eq!(source.renewals(), 0, "a 401 of another origin says nothing about the token");
}

/// Gives no token. Its error shows that the agent would have signed the request.
struct Refusing;

impl TokenSource for Refusing {
    fn token(&self, _: Duration) -> Result<Arc<Token>, Error> {
        Err(Error::new(ErrorKind::NoCredentials, "the source was asked for a token"))
    }

    fn invalidate(&self, _: &Token) {}
}

#[test]
fn request_to_another_origin_is_refused_before_a_token_is_requested() {
    let server = Server::answering(|_| answer(200, "", ""));
    let port = server.port();
    let agent = AgentBuilder::new(Transport::new(), Auth::Bearer(Arc::new(Refusing)))
        .origin("https://a.example/v1")
        .origin(format!("http://127.0.0.1:{port}"))
        .build()
        .unwrap();
    let result = |url: &str| agent.get(url).call().map_err(Error::from);
    for same in [
        "https://a.example",
        "https://a.example/other?path",
        "https://a.example:443/",
        "https://a.example:/",
        "HTTPS://A.Example/",
        &format!("http://127.0.0.1:{port}/path"),
    ] {
        fails(result(same), ErrorKind::NoCredentials, "the source was asked for a token", same);
    }
    for (other, shown) in [
        ("https://b.example/path?query", "https://b.example"),
        ("https://a.example:8443/", "https://a.example:8443"),
        ("https://a.example:80/", "https://a.example:80"),
        ("https://api.a.example/", "https://api.a.example"),
        ("https://a.example.b.example/", "https://a.example.b.example"),
        ("https://a.example./", "https://a.example."),
        ("https://example/", "https://example"),
        (&format!("https://127.0.0.1:{port}/"), &format!("https://127.0.0.1:{port}")),
        (&format!("http://localhost:{port}/"), &format!("http://localhost:{port}")),
        (&format!("http://[::1]:{port}/"), &format!("http://[::1]:{port}")),
        ("http://127.0.0.1/", "http://127.0.0.1"),
    ] {
        let text = format!(
            "the request to {shown} was not sent: keyfob calls https://a.example, http://127.0.0.1:{port} only; check \
             the URL, or allow other origins with `allow_other_origins`"
        );
        fails(result(other), ErrorKind::InvalidInput, &text, other);
    }
    let user = "the URL of the request holds a user name or password: give credentials separately";
    for url in ["https://ada@a.example/", "https://ada:password@a.example/", "https://a.example@b.example/"] {
        fails(result(url), ErrorKind::InvalidInput, user, url);
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn agent_refuses_invalid_urls_even_if_other_origins_are_allowed() {
    let server = Server::answering(|_| answer(200, "", ""));
    let agent = signed_agent(&server, Fixed("fixed")).allow_other_origins().build().unwrap();
    let port = server.port();
    for (url, why) in [
        (
            format!("http://ada:password@127.0.0.1:{port}/"),
            "holds a user name or password: give credentials separately",
        ),
        (
            format!("http://127.0.0.1:{port}@127.0.0.1:{port}/"),
            "holds a user name or password: give credentials separately",
        ),
        (
            "http://192.0.2.1/".to_owned(),
            "is plain http, which is allowed for 127.0.0.1, [::1] and localhost only: use https",
        ),
        (
            format!("http://127.0.0.1.:{port}/"),
            "is plain http, which is allowed for 127.0.0.1, [::1] and localhost only: use https",
        ),
        ("/path".to_owned(), "is not absolute: it needs https:// and a host"),
        (format!("ftp://127.0.0.1:{port}/"), "is neither https nor http"),
    ] {
        let error = agent.get(&url).call().map_err(Error::from);
        fails(error, ErrorKind::InvalidInput, &format!("the URL of the request {why}"), &url);
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn wait_beyond_the_deadline_ends_the_call_at_once_and_is_reported() {
    let flows = [Who::Basic, Who::Assertion, Who::App, Who::Code, Who::Refresh, Who::Revoke];
    let cases: Vec<_> = flows.iter().flat_map(|who| [429, 503, 500].map(|status| (*who, status))).collect();
    in_parallel(&cases, |&(who, status)| {
        for (value, seconds) in
            [("90", 90), ("3600", 3_600), ("90.0", 90), ("99999999999999999999", u64::MAX)]
        {
            let server = Server::answering(move |_| answer(status, &format!("Retry-After: {value}"), "no"));
            let subject = Subject::new(who, &server.origin(), LONG);
            let (result, took) = timed(|| subject.call());
            assert!(took < LONG / 2, "{who:?}, {status}: {took:?}");
            let error = result.unwrap_err();
            assert_eq!(error.retry_after(), Some(Duration::from_secs(seconds)), "{who:?}, {status}");
            let what = if status == 429 {
                "the server asked to slow down (HTTP 429)".to_owned()
            } else {
                format!("the server failed (HTTP {status})")
            };
            let text = subject.text(&what, &format!("try again in {seconds} s"));
            fails(Err::<(), _>(error), ErrorKind::RateLimited, &text, "a wait");
            assert_eq!(server.requests().len(), 1, "{who:?}, {status}");
        }
    });
    for (status, method) in
        [(429, "GET"), (429, "POST"), (502, "GET"), (503, "PUT"), (504, "DELETE"), (503, "POST")]
    {
        let server = Server::answering(move |_| answer(status, "Retry-After: 90", "the reason"));
        let agent = signed_agent(&server, Fixed("fixed")).status_as_error(false).build().unwrap();
        let request = HttpRequest::builder().method(method).uri(server.origin()).body(()).unwrap();
        let (response, took) = timed(|| agent.run(request).unwrap());
        assert!(took < LONG / 2, "{method}, {status}: {took:?}");
        let error = Error::from_response(&response).unwrap();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(90)));
        let text = format!("the API answered HTTP {status}; try again in 90 s");
        fails(Err::<(), _>(error), ErrorKind::RateLimited, &text, method);
        assert_eq!(server.requests().len(), 1, "{method}, {status}");
    }
}

#[test]
fn wait_within_the_deadline_is_never_cut_short() {
    let subjects = [Who::Basic, Who::Assertion, Who::Refresh, Who::Revoke, Who::Agent];
    let cases: Vec<_> = ["1", "1.0", "0.2"]
        .into_iter()
        .flat_map(|value| [429, 503].map(|status| subjects.map(|who| (value, status, who))))
        .flatten()
        .collect();
    in_parallel(&cases, |&(value, status, who)| {
        let count = AtomicUsize::new(0);
        let server = Server::answering(move |_| match count.fetch_add(1, SeqCst) {
            0 => answer(status, &format!("Retry-After: {value}"), ""),
            _ => answer(200, "", GOOD),
        });
        let subject = Subject::new(who, &server.origin(), LONG);
        let (result, took) = timed(|| subject.call());
        result.unwrap();
        // Far more than a backoff. The tolerance is for virtual machines, whose clocks and timers differ.
        assert!(took >= Duration::from_millis(800), "{who:?}, {status}, {value}: {took:?}");
        assert_eq!(server.requests().len(), 2, "{who:?}, {status}, {value}");
    });
}

#[test]
fn only_the_agents_switch_decides_whether_a_status_is_an_error() {
    for status in [400, 403, 404, 429, 500, 503] {
        let server = Server::answering(move |_| answer(status, "A: b\r\nRetry-After: 9999", "the reason"));
        let agent =
            |as_error| signed_agent(&server, Fixed("fixed")).status_as_error(as_error).build().unwrap();
        let url = server.origin();
        ends_with_status(agent(true).get(&url).call(), status);
        ends_with_status(agent(true).get(&url).config().http_status_as_error(false).build().call(), status);
        for own in [None, Some(true)] {
            let agent = agent(false);
            let mut response = match own {
                None => agent.get(&url).call(),
                Some(own) => agent.get(&url).config().http_status_as_error(own).build().call(),
            }
            .unwrap();
            assert_eq!(
                (response.status().as_u16(), &response.headers()["a"]),
                (status, &"b".parse().unwrap())
            );
            assert_eq!(response.body_mut().read_to_string().unwrap(), "the reason");
        }
        assert_eq!(server.requests().len(), 4, "{status}: no wait beyond the deadline");
        let kind = if status == 429 { ErrorKind::RateLimited } else { ErrorKind::ApiStatus };
        let next = match status {
            401 => "check the client id and secret, or the token",
            403 => "check what these credentials may do",
            429 | 500.. => "try again later",
            _ => "check the URL and the request",
        };
        let error = agent(true).get(&url).call().map_err(Error::from);
        fails(error, kind, &format!("the API answered HTTP {status}; {next}"), "a status");
    }
}

#[test]
fn earlier_refusal_is_reported_when_the_next_try_times_out() {
    const WITHIN: Duration = Duration::from_secs(1);
    let server = || {
        Server::scripted(|connection| match connection {
            0 => vec![Step::Read, send(answer(429, "Retry-After: 0\r\nConnection: close", "slow down"))],
            _ => vec![Step::Hold],
        })
    };
    in_parallel(&[Who::Basic, Who::Assertion], |who| {
        let server = server();
        let subject = Subject::new(*who, &server.origin(), WITHIN);
        let (result, took) = timed(|| subject.call());
        in_time(took, WITHIN, "429, then silence");
        let text = subject.text("the server asked to slow down (HTTP 429)", "try again in 0 s");
        fails(result, ErrorKind::RateLimited, &text, "429, then silence");
    });
    in_parallel(&[true, false], |&as_error| {
        let server = server();
        let agent = signed_agent(&server, Fixed("fixed")).deadline(WITHIN).status_as_error(as_error);
        let agent = agent.build().unwrap();
        let (result, took) = timed(|| agent.post(server.origin()).send("body"));
        in_time(took, WITHIN, "429, then silence");
        match result {
            // The timeout may strike while the body is read. Half an answer is no answer.
            Err(ureq::Error::Timeout(_)) if !as_error => {}
            Ok(mut response) if !as_error => {
                assert_eq!(response.body_mut().read_to_string().unwrap(), "slow down");
            }
            result => ends_with_status(result, 429),
        }
    });
}

#[test]
fn timeout_of_a_request_applies_to_each_attempt() {
    let own = Duration::from_millis(600);
    let slow = Server::scripted(move |connection| {
        let reply = if connection < 2 {
            answer(503, "Retry-After: 0\r\nConnection: close", "")
        } else {
            answer(200, "", "")
        };
        vec![Step::Read, Step::Pause(own / 3), send(reply)]
    });
    let silent = Server::scripted(|_| vec![Step::Hold]);
    let agent = signed_agent(&slow, Fixed("fixed")).origin(silent.origin()).build().unwrap();
    let get = |server: &Server| agent.get(server.origin()).config().timeout_global(Some(own)).build().call();
    let (result, took) = timed(|| get(&slow));
    assert_eq!(result.unwrap().status(), 200);
    assert!(took > own, "{took:?}");

    let (result, took) = timed(|| get(&silent));
    in_time(took, own, "a request's own time-out");
    let text = format!("could not call the API: no complete answer in time; {CHECK}");
    fails(result.map_err(Error::from), ErrorKind::Timeout, &text, "silence");
    // The agent's deadline is earlier.
    let agent = signed_agent(&silent, Fixed("fixed")).deadline(own / 2).build().unwrap();
    let (result, took) =
        timed(|| agent.get(silent.origin()).config().timeout_global(Some(LONG)).build().call());
    in_time(took, own / 2, "the agent's deadline");
    fails(result.map_err(Error::from), ErrorKind::Timeout, &text, "silence");
}

#[test]
fn refusal_without_its_body_ends_in_time() {
    for status in [400, 401, 429, 503] {
        let reply = format!("HTTP/1.1 {status} No\r\nRetry-After: 0\r\nContent-Length: 9\r\n\r\nno");
        let server = Server::scripted(move |_| vec![Step::Read, send(&reply), Step::Hold]);
        let agent = signed_agent(&server, Renewing::default()).deadline(SHORT).build().unwrap();
        let (result, took) = timed(|| agent.get(server.origin()).call().map_err(Error::from));
        in_time(took, SHORT, "a refusal");
        let kind = result.unwrap_err().kind();
        assert!(
            matches!(kind, ErrorKind::ApiStatus | ErrorKind::RateLimited | ErrorKind::Timeout),
            "{kind:?}"
        );
    }
}

#[test]
fn request_body_that_the_server_does_not_read_ends_in_time() {
    let deaf = Server::scripted(|_| vec![Step::Pause(2 * SHORT)]);
    let agent = signed_agent(&deaf, Fixed("fixed")).deadline(SHORT).build().unwrap();
    let (result, took) = timed(|| agent.put(deaf.origin()).send(vec![0; 16 << 20]));
    in_time(took, SHORT, "a deaf server");
    let text = format!("could not call the API: no complete answer in time; {CHECK}");
    fails(result.map_err(Error::from), ErrorKind::Timeout, &text, "a deaf server");
}

#[test]
fn deadline_of_a_call_covers_the_token_exchange() {
    let silent = Server::scripted(|_| vec![Step::Hold]);
    let http = Transport::new();
    let flow = ClientCredentials::new(silent.origin(), ClientAuth::secret_jwt("id", "k".repeat(32)));
    let agent = signed_agent(&silent, CachingSource::new(http, flow)).deadline(SHORT).build().unwrap();
    let (result, took) = timed(|| agent.get(silent.origin()).call().map_err(Error::from));
    in_time(took, SHORT, "a token exchange");
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let (origin, text) = (silent.origin(), error.to_string());
    let start = format!(
        "could not get a token with the client credentials from {origin}: no complete answer within "
    );
    let seconds = text.strip_prefix(&start).and_then(|rest| rest.strip_suffix(&format!(" s; {CHECK}")));
    assert!(matches!(seconds, Some("0.4" | "0.39" | "0.38")), "{text}");
}

#[test]
fn error_of_reading_a_body_is_classified() {
    let server = Server::answering(|_| answer(200, "", "x".repeat(100)));
    let agent = signed_agent(&server, Fixed("fixed")).build().unwrap();
    let response = || agent.get(server.origin()).call().unwrap();
    let long = response().body_mut().with_config().limit(99).read_to_vec().map_err(Error::from);
    fails(
        long,
        ErrorKind::Protocol,
        "could not call the API: the answer is longer than the caller's limit; raise the limit",
        "long",
    );
    let json = response().body_mut().read_json::<serde_json::Value>().map_err(Error::from);
    fails(
        json,
        ErrorKind::Protocol,
        "could not call the API: the answer is not the JSON that was expected; check the URL",
        "JSON",
    );
}

#[test]
fn request_is_not_repeated_when_the_source_has_no_other_token() {
    let server = Server::answering(|_| answer(401, "", ""));
    let agent = signed_agent(&server, Fixed("fixed")).build().unwrap();
    ends_with_status(agent.get(server.origin()).call(), 401);
    assert_eq!(tokens(&server), ["fixed"]);
}
