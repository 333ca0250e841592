//! The loopback listener: a login with a browser, and everyone else who finds the port.

#![allow(clippy::disallowed_methods, reason = "what is measured runs on the machine's clock")]

#[path = "support/port.rs"]
mod port;
mod support;

use std::io::{ErrorKind as IoErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use keyfob::flow::{AuthorizationCode, Login};
use keyfob::{ClientAuth, Error, ErrorKind, Http, Token};
use port::own_port;
use support::{Server, answer};

const TOKENS: &str = r#"{"access_token":"acc3ss","refresh_token":"r3fresh","token_type":"Bearer"}"#;

fn flow(server: &Server, redirect_uri: &str) -> AuthorizationCode {
    let client = ClientAuth::body("id", "s3cr3t").unwrap();
    AuthorizationCode::new(&server.origin(), &server.origin(), client, redirect_uri).unwrap()
}

/// A login that is waited for on a thread of its own.
struct Waiting {
    addr: SocketAddr,
    state: String,
    login: JoinHandle<(Result<Token, Error>, Instant)>,
}

impl Waiting {
    fn start(login: Login, within: Duration) -> Self {
        let parameter = |name: &str| {
            let mut pairs = login.url().split(['?', '&']).filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).unwrap().1.to_owned()
        };
        let redirect_uri = parameter("redirect_uri").replace("%3A", ":").replace("%2F", "/");
        let redirect_uri = redirect_uri.replace("%5B", "[").replace("%5D", "]");
        let addr = redirect_uri.split('/').nth(2).unwrap().parse().unwrap();
        let state = parameter("state");
        let login = thread::spawn(move || (login.wait(within), Instant::now()));
        Self { addr, state, login }
    }

    fn on(server: &Server) -> Self {
        Self::start(login(server), Duration::from_secs(120))
    }

    fn get(&self, target: &str) -> String {
        format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", self.addr)
    }

    fn callback(&self, rest: &str) -> String {
        self.get(&format!("/callback?state={}{rest}", self.state))
    }

    /// Sends a request and reads what comes until the end.
    fn ask(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = connect(self.addr);
        // The listener may answer before it has all, and hang up.
        let _ = stream.write_all(request.as_ref());
        read_to_end(&mut stream)
    }

    /// What a browser does with the callback: the redirection and the page that it leads to.
    fn browse(&self, rest: &str) -> (String, String) {
        let mut stream = connect(self.addr);
        stream.write_all(self.callback(rest).as_bytes()).unwrap();
        let moved = read_head(&mut stream);
        let location = header(&moved, "Location").unwrap().to_owned();
        let path = location.strip_prefix(&format!("http://{}", self.addr)).unwrap();
        stream.write_all(self.get(path).as_bytes()).unwrap();
        (moved, read_to_end(&mut stream))
    }

    #[track_caller]
    fn end(self) -> Result<Token, Error> {
        self.login.join().unwrap().0
    }
}

fn login(server: &Server) -> Login {
    let http = Http::new().with_timeout(Duration::from_secs(5));
    flow(server, "http://127.0.0.1:0/callback").login(&http, ["a"]).unwrap()
}

fn tokens() -> Server {
    Server::answering(|_| answer(200, "", TOKENS))
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn header<'a>(response: &'a str, name: &str) -> Option<&'a str> {
    let head = response.split("\r\n\r\n").next().unwrap();
    let mut fields = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn status(response: &str) -> &str {
    response.split(' ').nth(1).unwrap_or("none")
}

fn is_closed(addr: SocketAddr) -> bool {
    TcpStream::connect(addr).is_err_and(|error| error.kind() == IoErrorKind::ConnectionRefused)
}

#[test]
fn the_browser_sees_how_the_login_ended_and_no_code() {
    let server = tokens();
    let waiting = Waiting::on(&server);
    let addr = waiting.addr;
    let (moved, page) = waiting.browse("&code=c0de");
    assert!(is_closed(addr));
    assert_eq!(waiting.end().unwrap().access_token().expose(), b"acc3ss");
    assert!(server.requests()[0].form("redirect_uri").unwrap().contains(&addr.port().to_string()));

    assert_eq!(status(&moved), "303");
    assert_eq!(header(&moved, "Location"), Some(format!("http://{addr}/callback/done").as_str()));
    assert_eq!(status(&page), "200");
    for response in [&moved, &page] {
        assert_eq!(header(response, "Cache-Control"), Some("no-store"));
        assert_eq!(header(response, "Referrer-Policy"), Some("no-referrer"));
        assert_eq!(header(response, "X-Content-Type-Options"), Some("nosniff"));
        for secret in ["c0de", "s3cr3t", "acc3ss", "r3fresh", "state="] {
            assert!(!response.contains(secret), "{response}");
        }
    }
    let policy = header(&page, "Content-Security-Policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(header(&page, "Content-Type"), Some("text/html; charset=utf-8"));
    assert!(
        page.contains("<title>You are logged in</title>") && page.contains("You can close this tab"),
        "{page}"
    );
}

#[test]
fn the_browser_sees_what_went_wrong() {
    let refusing = Server::answering(|_| {
        answer(400, "", r#"{"error":"invalid_grant","error_description":"<i>no</i>"}"#)
    });
    for (rest, kind, title, words) in [
        (
            "&error=access_denied&error_description=%3Cscript%3Ealert(1)%3C%2Fscript%3E",
            ErrorKind::Refused,
            "Access was not allowed",
            "the server refused: access_denied: &lt;script&gt;alert(1)&lt;/script&gt;; log in again and allow the access.",
        ),
        (
            "&error=server_error",
            ErrorKind::Refused,
            "The login failed",
            "the server refused: server_error; try again later.",
        ),
        (
            "&code=a&error=b",
            ErrorKind::Protocol,
            "The login failed",
            "the callback has both `code` and `error`",
        ),
        ("&a=b", ErrorKind::Protocol, "The login failed", "the callback has neither `code` nor `error`"),
        ("&code=%ff", ErrorKind::Protocol, "The login failed", "the callback&#39;s `code` is not UTF-8"),
        ("&code=c0de", ErrorKind::LoginRequired, "The login failed", "invalid_grant: &lt;i&gt;no&lt;/i&gt;;"),
    ] {
        let waiting = Waiting::on(&refusing);
        let addr = waiting.addr;
        let (_, page) = waiting.browse(rest);
        assert!(is_closed(addr));
        assert_eq!(waiting.end().unwrap_err().kind(), kind, "{rest}");
        assert!(page.contains(&format!("<title>{title}</title>")), "{rest}: {page}");
        assert!(page.contains(words) && !page.contains("<script") && !page.contains("<i>"), "{rest}: {page}");
    }
}

#[test]
fn a_browser_that_does_not_follow_holds_nothing_up() {
    let server = tokens();
    let waiting = Waiting::on(&server);
    let mut stream = connect(waiting.addr);
    stream.write_all(waiting.callback("&code=c").as_bytes()).unwrap();
    assert_eq!(status(&read_head(&mut stream)), "303");
    drop(stream);
    let start = Instant::now();
    waiting.end().unwrap();
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());

    // One that keeps its connection and says no more.
    let waiting = Waiting::on(&server);
    let mut stream = connect(waiting.addr);
    stream.write_all(waiting.callback("&code=c").as_bytes()).unwrap();
    let start = Instant::now();
    waiting.end().unwrap();
    assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
}

#[test]
fn a_callback_of_another_login_is_turned_away_and_the_wait_goes_on() {
    let server = tokens();
    let waiting = Waiting::on(&server);
    let state = waiting.state.clone();
    for (query, name, words) in [
        (
            "?code=x&state=wrong".to_owned(),
            "wrong-state",
            "The callback&#39;s `state` is that of another login;",
        ),
        ("?error=access_denied&state=wrong".to_owned(), "wrong-state", "is that of another login;"),
        (
            "?error=access_denied".to_owned(),
            "no-state",
            "if the server does not send it back, use `without_state`.",
        ),
        ("?code=x".to_owned(), "no-state", "The callback has no `state`, so it may be forged;"),
        (
            format!("?code=x&state={state}&state={state}"),
            "two-states",
            "The callback has more than one `state`;",
        ),
        ("?code=x&state=%ff".to_owned(), "unreadable-state", "The callback&#39;s `state` is not UTF-8;"),
        (String::new(), "empty", "The callback has neither `code` nor `error`;"),
    ] {
        let moved = waiting.ask(waiting.get(&format!("/callback{query}")));
        assert_eq!(status(&moved), "303", "{query}");
        let path = format!("/callback/{name}");
        assert_eq!(header(&moved, "Location"), Some(format!("http://{}{path}", waiting.addr).as_str()));
        let page = waiting.ask(waiting.get(&path));
        assert_eq!(status(&page), "400");
        assert!(page.contains(words) && page.contains("You can close this tab"), "{page}");
    }
    assert_eq!(server.connections(), 0);
    waiting.browse("&code=c");
    waiting.end().unwrap();
}

#[test]
fn only_the_callback_is_answered() {
    let server = tokens();
    let waiting = Waiting::on(&server);
    let (addr, state) = (waiting.addr, waiting.state.clone());
    let right = format!("/callback?code=x&state={state}");
    let with_host = |host: &str| format!("GET {right} HTTP/1.1\r\n{host}\r\n\r\n");
    for (request, expected) in [
        (with_host("Host: evil.example"), "421"),
        (with_host(&format!("Host: evil.example:{}", addr.port())), "421"),
        (with_host(&format!("Host: localhost:{}", addr.port())), "421"),
        (with_host("Host: 127.0.0.1"), "421"),
        (with_host("Host: 127.0.0.1:80"), "421"),
        (with_host("Host:"), "421"),
        (with_host(&format!("Host: {addr}\r\nHost: {addr}")), "400"),
        (with_host(&format!("Host: {addr}\r\nno colon")), "400"),
        (with_host("Hots: x"), "400"),
        (with_host(&format!("Host: {addr}")).replace("GET", "POST"), "405"),
        (with_host(&format!("Host: {addr}")).replace("GET", "HEAD"), "405"),
        (with_host(&format!("Host: {addr}")).replace("HTTP/1.1", "HTTP/2"), "400"),
        (with_host(&format!("Host: {addr}")).replace("HTTP/1.1", ""), "400"),
        (waiting.get(&format!("http://{addr}{right}")), "400"),
        (waiting.get(&format!("/callback/?state={state}&code=x")), "404"),
        (waiting.get(&format!("/Callback?state={state}&code=x")), "404"),
        (waiting.get(&format!("/%63allback?state={state}&code=x")), "404"),
        (waiting.get(&format!("//callback?state={state}&code=x")), "404"),
        (waiting.get("/callback/done"), "404"),
        (waiting.get("/"), "404"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "400"),
        ("\r\n\r\n".to_owned(), "400"),
        (waiting.get(&format!("/callback?{}", "a".repeat(1 << 20))), "414"),
        (format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(1 << 20)), "431"),
    ] {
        let response = waiting.ask(&request);
        assert_eq!(status(&response), expected, "{}: {response}", &request[..request.len().min(200)]);
        assert!(response.contains("You can close this tab"), "{response}");
        assert_eq!(header(&response, "Allow"), (expected == "405").then_some("GET"));
    }
    // The same in two parts, with a pause.
    let mut stream = connect(addr);
    let (head, tail) = (with_host(&format!("Host: {addr}")), "\n");
    stream.write_all(&head.as_bytes()[..head.len() - 1]).unwrap();
    thread::sleep(Duration::from_millis(50));
    stream.write_all(tail.as_bytes()).unwrap();
    assert_eq!(status(&read_head(&mut stream)), "303");
    drop(stream);
    waiting.end().unwrap();
}

/// Everything at once, `count` times, and then the right callback: how long its answer took, and the port to close.
fn survives(count: usize) -> (Duration, Duration) {
    let server = tokens();
    let waiting = Waiting::on(&server);
    let (addr, state) = (waiting.addr, waiting.state.clone());
    let idle: Vec<_> = (0..100).map(|_| connect(addr)).collect();
    let long = "a".repeat(20 * 1024);
    for number in 0..count {
        let request = match number % 8 {
            0 => waiting.get(&format!("/callback?code=x&state=wrong{number}")),
            1 => waiting.get("/callback?error=access_denied"),
            2 => format!("GET /callback?code=x&state={state} HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
            3 => waiting.get(&format!("/callback?state={long}")),
            4 => format!("GET /callback HTTP/1.1\r\nx: {long}\r\n\r\n"),
            5 => waiting.callback("&code=x").replace("GET", "POST"),
            6 => "\0\u{7f}\r\n\r\n".to_owned(),
            // Says less than a request, and is gone.
            _ => "GET /callback?code".to_owned(),
        };
        let mut stream = connect(addr);
        let _ = stream.write_all(request.as_bytes());
        if number % 8 == 7 {
            let _ = stream.shutdown(Shutdown::Write);
        }
        // Some wait for an answer, some do not.
        if number % 3 == 0 {
            let response = read_to_end(&mut stream);
            assert!(!response.starts_with("HTTP/1.1 2"), "{response}");
        }
    }
    // A drip that goes on, and idle ones anew: the newest are the browser's rivals.
    let mut drip = connect(addr);
    let dripping = thread::spawn(move || {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) && drip.write_all(b"G").is_ok() {
            thread::sleep(Duration::from_millis(10));
        }
    });
    let newer: Vec<_> = (0..100).map(|_| connect(addr)).collect();
    assert_eq!(server.connections(), 0, "nothing of this made a token request");
    assert!(!waiting.login.is_finished());

    let mut stream = connect(addr);
    let asked = Instant::now();
    stream.write_all(waiting.callback("&code=c").as_bytes()).unwrap();
    let moved = read_head(&mut stream);
    let answered = asked.elapsed();
    assert!(is_closed(addr), "the port is closed when the answer is there");
    let closed = asked.elapsed().saturating_sub(answered);
    assert_eq!(status(&moved), "303");
    stream.write_all(waiting.get("/callback/done").as_bytes()).unwrap();
    assert!(read_to_end(&mut stream).contains("You are logged in"));
    waiting.end().unwrap();
    println!("{count} hostile requests survived; answered in {answered:?}, closed within {closed:?} of it");
    drop((idle, newer));
    dripping.join().unwrap();
    (answered, closed)
}

#[test]
fn a_thousand_hostile_requests_do_not_end_a_login() {
    survives(1_000);
}

#[test]
#[ignore = "long, and measures time"]
fn ten_thousand_hostile_requests_do_not_end_a_login() {
    let (answered, closed) = survives(10_000);
    assert!(
        answered < Duration::from_millis(50) && closed < Duration::from_millis(10),
        "{answered:?} {closed:?}"
    );
}

#[test]
fn slow_requests_are_cut_off() {
    let server = tokens();
    let waiting = Waiting::on(&server);
    let mut idle = connect(waiting.addr);
    let mut drip = connect(waiting.addr);
    let start = Instant::now();
    while drip.write_all(b"G").is_ok() && start.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(20));
    }
    assert!((4..10).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    assert_eq!(idle.read(&mut [0]).unwrap(), 0, "hung up on");
    waiting.browse("&code=c");
    waiting.end().unwrap();
}

#[test]
fn the_oldest_of_too_many_connections_is_dropped() {
    let server = tokens();
    let waiting = Waiting::on(&server);
    let start = Instant::now();
    let mut idle: Vec<_> = (0..200).map(|_| connect(waiting.addr)).collect();
    for stream in &mut idle[..136] {
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    }
    assert!(start.elapsed() < Duration::from_secs(4), "not for their age: {:?}", start.elapsed());
    let newest = idle.last_mut().unwrap();
    newest.write_all(waiting.callback("&code=c").as_bytes()).unwrap();
    assert_eq!(status(&read_head(newest)), "303");
    drop(idle);
    waiting.end().unwrap();
}

#[test]
fn at_the_deadline_the_last_stray_is_told() {
    const START: &str = "could not log in at";
    let server = tokens();
    let within = Duration::from_millis(300);
    let waiting = Waiting::start(login(&server), within);
    let (addr, start) = (waiting.addr, Instant::now());
    let error = waiting.end().unwrap_err();
    assert!(start.elapsed() < within + Duration::from_millis(100), "{:?}", start.elapsed());
    assert!(is_closed(addr));
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(
        error.to_string(),
        format!(
            "{START} {}: no callback of this login came within 0.3 s; open the login URL and follow it to its end in \
             time",
            server.origin()
        )
    );
    let waiting = Waiting::start(login(&server), within);
    waiting.ask(waiting.get("/callback?code=c"));
    assert_eq!(
        waiting.end().unwrap_err().to_string(),
        format!(
            "{START} {}: no callback of this login came within 0.3 s, but another that was turned away: the callback \
             has no `state`, so it may be forged; if the server does not send it back, use `without_state`",
            server.origin()
        )
    );
}

#[test]
fn what_cannot_be_waited_for_can_be_pasted() {
    let server = tokens();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = format!("http://127.0.0.1:{}/callback", other.local_addr().unwrap().port());
    let not_here = "the callback cannot be waited for: the redirect URI is not on http://127.0.0.1 or http://[::1]; \
                    change it, or paste the callback URL";
    let in_use = format!(
        "could not listen on {} for the callback: the port is in use; end what uses it, or take another redirect URI \
         (port 0 means any free port)",
        other.local_addr().unwrap()
    );
    for (redirect_uri, kind, text) in [
        ("http://localhost:8765/callback", ErrorKind::InvalidInput, not_here),
        ("http://127.0.0.2:8765/callback", ErrorKind::InvalidInput, not_here),
        ("https://127.0.0.1:8765/callback", ErrorKind::InvalidInput, not_here),
        ("https://app.example/callback", ErrorKind::InvalidInput, not_here),
        ("com.example.app:/callback", ErrorKind::InvalidInput, not_here),
        (&busy, ErrorKind::Network, &in_use),
    ] {
        let start = || flow(&server, redirect_uri).login(&Http::new(), ["a"]).unwrap();
        let begun = Instant::now();
        let error = start().wait(Duration::from_secs(60)).unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(5), "it is said at once");
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, text), "{redirect_uri}");
        let login = start();
        let state = login.url().split("&state=").nth(1).unwrap().split('&').next().unwrap();
        let callback = format!("{redirect_uri}?code=x&state={state}");
        login.finish(&callback).unwrap();
    }
    let client = || ClientAuth::public("id").unwrap();
    for (redirect_uri, text) in [
        ("", "the redirect URI is empty"),
        ("callback", "the redirect URI is not absolute, or has a fragment ('#')"),
        ("app:/callback#x", "the redirect URI is not absolute, or has a fragment ('#')"),
        ("https://app.example/#x", "the redirect URI has a fragment ('#'): remove it (RFC 6749 3.2)"),
        (
            "http://app.example/",
            "the redirect URI is plain http, which is allowed for 127.0.0.1, [::1] and localhost only: use https",
        ),
        (
            "http://localhost:0/",
            "the redirect URI has port 0, which means any free port of http://127.0.0.1 or http://[::1] only",
        ),
        ("http://127.0.0.1/\r\nx", "the redirect URI holds a control character at byte 17: remove it"),
    ] {
        let error =
            AuthorizationCode::new("http://[::1]", "http://[::1]", client(), redirect_uri).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::InvalidInput, text));
    }
}

#[test]
fn a_port_is_open_for_one_login_and_no_longer() {
    let server = tokens();
    let free = own_port();
    let redirect_uri = format!("http://{free}/callback");
    let start = || flow(&server, &redirect_uri).login(&Http::new(), ["a"]).unwrap();
    // Dropped without an end.
    let login = start();
    assert!(!is_closed(free));
    drop(login);
    assert!(is_closed(free));
    // Twice in a row, and a callback that comes again.
    for _ in 0..2 {
        let waiting = Waiting::start(start(), Duration::from_secs(30));
        assert_eq!(waiting.addr, free);
        waiting.browse("&code=c");
        assert!(is_closed(free));
        waiting.end().unwrap();
    }
    assert_eq!(server.connections(), 2);
}

#[test]
fn a_callback_may_come_before_it_is_waited_for() {
    let server = tokens();
    let login = login(&server);
    let early = login.url().split("127.0.0.1%3A").nth(1).unwrap()[..5].replace('%', "");
    let state = login.url().split("&state=").nth(1).unwrap().split('&').next().unwrap();
    let addr: SocketAddr = format!("127.0.0.1:{early}").parse().unwrap();
    let mut stream = connect(addr);
    let request = format!("GET /callback?code=c&state={state} HTTP/1.1\r\nHost: {addr}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    login.wait(Duration::from_secs(10)).unwrap();
}

#[test]
fn ipv6_is_listened_on_too() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped: there is no [::1] here");
        return;
    }
    let server = tokens();
    let login = flow(&server, "http://[::1]:0/").login(&Http::new(), ["a"]).unwrap();
    assert!(login.url().contains("&redirect_uri=http%3A%2F%2F%5B%3A%3A1%5D%3A"), "{}", login.url());
    let waiting = Waiting::start(login, Duration::from_secs(30));
    let mut stream = connect(waiting.addr);
    stream.write_all(waiting.get(&format!("/?code=c&state={}", waiting.state)).as_bytes()).unwrap();
    let moved = read_head(&mut stream);
    assert_eq!(header(&moved, "Location"), Some(format!("http://{}/done", waiting.addr).as_str()));
    drop(stream);
    waiting.end().unwrap();
}
