//! The loopback listener: a login with a browser, and everything else that connects to the port.

#![allow(clippy::disallowed_methods, reason = "what is measured runs on the machine's clock")]

#[path = "support/port.rs"]
mod port;
mod support;

use std::io::{ErrorKind as IoErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use keyfob::flow::{AuthorizationCode, PendingLogin};
use keyfob::{ClientAuth, Error, ErrorKind, Token, Transport};
use port::own_port;
use support::{Server, answer};

const TOKENS: &str = r#"{"access_token":"acc3ss","refresh_token":"r3fresh","token_type":"Bearer"}"#;

fn flow(server: &Server, redirect_uri: &str) -> AuthorizationCode {
    let client = ClientAuth::secret_post("id", "s3cr3t");
    AuthorizationCode::new(server.origin(), server.origin(), client, redirect_uri)
}

/// A login that another thread waits for.
struct Waiting {
    addr: SocketAddr,
    /// Host and port of the redirect URI.
    authority: String,
    state: String,
    login: JoinHandle<(Result<Token, Error>, Instant)>,
}

impl Waiting {
    fn start(login: PendingLogin, within: Duration) -> Self {
        let parameter = |name: &str| {
            let mut pairs = login.url().split(['?', '&']).filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).unwrap().1.to_owned()
        };
        let redirect_uri = parameter("redirect_uri").replace("%3A", ":").replace("%2F", "/");
        let redirect_uri = redirect_uri.replace("%5B", "[").replace("%5D", "]");
        let authority = redirect_uri.split('/').nth(2).unwrap().to_owned();
        let addr = authority.replace("localhost", "127.0.0.1").parse().unwrap();
        let state = parameter("state");
        let login = thread::spawn(move || (login.wait(within), Instant::now()));
        Self { addr, authority, state, login }
    }

    fn on(server: &Server) -> Self {
        Self::start(login(server), Duration::from_secs(120))
    }

    fn get(&self, target: &str) -> String {
        format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", self.authority)
    }

    fn callback(&self, rest: &str) -> String {
        self.get(&format!("/callback?state={}{rest}", self.state))
    }

    /// Sends a request and reads the answer to its end.
    fn ask(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = connect(self.addr);
        // The listener may answer and close before it has received everything.
        let _ = stream.write_all(request.as_ref());
        read_to_end(&mut stream)
    }

    /// Delivers the callback as a browser does. Returns the redirect and the page that it leads to.
    fn browse(&self, rest: &str) -> (String, String) {
        let mut stream = connect(self.addr);
        stream.write_all(self.callback(rest).as_bytes()).unwrap();
        let moved = read_head(&mut stream);
        let location = header(&moved, "Location").unwrap().to_owned();
        let path = location.strip_prefix(&format!("http://{}", self.authority)).unwrap();
        stream.write_all(self.get(path).as_bytes()).unwrap();
        (moved, read_to_end(&mut stream))
    }

    #[track_caller]
    fn end(self) -> Result<Token, Error> {
        self.login.join().unwrap().0
    }
}

fn login(server: &Server) -> PendingLogin {
    let http = Transport::new().with_timeout(Duration::from_secs(5));
    flow(server, "http://127.0.0.1:0/callback").with_scope("a").start(&http).unwrap()
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
fn browser_that_will_not_use_its_connection_again_is_shown_the_page_at_once() {
    let server = tokens();
    for (version, field) in [
        ("HTTP/1.0", ""),
        ("HTTP/1.0", "Connection: keep-alive\r\n"),
        ("HTTP/1.1", "Connection: close\r\n"),
        ("HTTP/1.1", "cONNECTION:te ,\tClose\r\n"),
        ("HTTP/1.1", "Connection: close\r\nConnection: TE\r\n"),
    ] {
        for (rest, title) in
            [("&code=c0de", "You are logged in"), ("&error=access_denied", "Access was not allowed")]
        {
            let waiting = Waiting::on(&server);
            let request = waiting.callback(rest).replace(" HTTP/1.1\r\n", &format!(" {version}\r\n{field}"));
            let page = waiting.ask(request);
            assert_eq!((status(&page), header(&page, "Location")), ("200", None), "{version} {field}");
            assert_eq!(header(&page, "Connection"), Some("close"));
            assert!(page.contains(title) && !page.contains("c0de"), "{version} {field}: {page}");
            assert_eq!(waiting.end().is_ok(), title == "You are logged in");
        }
    }
    for field in ["Connection: keep-alive\r\n", "Connection: closed, x-close\r\n", "x-connection: close\r\n"]
    {
        let waiting = Waiting::on(&server);
        let request = waiting.callback("&code=c0de").replace("\r\n\r\n", &format!("\r\n{field}\r\n"));
        let mut stream = connect(waiting.addr);
        stream.write_all(request.as_bytes()).unwrap();
        assert_eq!(status(&read_head(&mut stream)), "303", "{field}");
        stream.write_all(waiting.get("/callback/done").as_bytes()).unwrap();
        assert!(read_to_end(&mut stream).contains("You are logged in"), "{field}");
        waiting.end().unwrap();
    }
}

#[test]
fn browser_shows_the_result_of_the_login_and_no_code() {
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
fn browser_shows_why_a_login_failed() {
    let refusing = Server::answering(|_| {
        answer(400, "", r#"{"error":"invalid_grant","error_description":"<i>no</i>"}"#)
    });
    for (rest, kind, title, words) in [
        (
            "&error=access_denied&error_description=%3Cscript%3Ealert(1)%3C%2Fscript%3E",
            ErrorKind::LoginRequired,
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
fn browser_that_ignores_the_redirect_does_not_delay_the_login() {
    let server = tokens();
    let waiting = Waiting::on(&server);
    let mut stream = connect(waiting.addr);
    stream.write_all(waiting.callback("&code=c").as_bytes()).unwrap();
    assert_eq!(status(&read_head(&mut stream)), "303");
    drop(stream);
    let start = Instant::now();
    waiting.end().unwrap();
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());

    // A browser that keeps its connection open and sends no more.
    let waiting = Waiting::on(&server);
    let mut stream = connect(waiting.addr);
    stream.write_all(waiting.callback("&code=c").as_bytes()).unwrap();
    let start = Instant::now();
    waiting.end().unwrap();
    assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
}

#[test]
fn unrelated_callback_is_rejected_and_the_listener_keeps_waiting() {
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
fn listener_answers_only_the_callback() {
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
        (waiting.get(&format!("http://{addr}")), "400"),
        (waiting.get(&format!("https://{addr}{right}")), "400"),
        (waiting.get(&format!("http://evil.example{right}")), "421"),
        (waiting.get(&format!("http://evil.example@{addr}{right}")), "421"),
        (waiting.get(&format!("http:/{addr}{right}")), "400"),
        (waiting.get(&format!("HTTP://{addr}/callback/?state={state}&code=x")), "404"),
        (with_host("Host: x\r\nHost: y").replace("/call", &format!("http://{addr}/call")), "400"),
        (waiting.get(&format!("/callback/?state={state}&code=x")), "404"),
        (waiting.get(&format!("/Callback?state={state}&code=x")), "404"),
        (waiting.get(&format!("/%63allback?state={state}&code=x")), "404"),
        (waiting.get(&format!("//callback?state={state}&code=x")), "404"),
        (waiting.get("/callback/done"), "404"),
        (waiting.get("/"), "404"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "400"),
        ("\r\n\r\n".to_owned(), "400"),
        (with_host(&format!("Host : {addr}")), "400"),
        (with_host(&format!("Cookie : a=b\r\nHost: {addr}")), "400"),
        (with_host(&format!(": a=b\r\nHost: {addr}")), "400"),
        (with_host(&format!(" a: b\r\nHost: {addr}")), "400"),
        (with_host(&format!("Host: {addr}\r\n .evil.example")), "400"),
        (with_host(&format!("Host: {addr}{}x", " ".repeat(2_000))), "400"),
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

/// All servers on 127.0.0.1 share their cookies, and a browser sends all of them.
#[test]
fn listener_skips_64_kib_of_header_fields_and_refuses_more() {
    let server = tokens();
    let cookies = |len: usize| format!("Cookie: a={}\r\n", "b".repeat(len));
    let many = |count: usize| "x-field: of some length\r\n".repeat(count);
    let taken = [
        ("17 KB of cookies after the host", String::new(), cookies(17_000)),
        ("and before it", cookies(17_000), String::new()),
        ("one huge field", String::new(), cookies(65_000)),
        ("many small ones, on both sides", many(1_200), many(1_200)),
        (
            "without a space after the colon",
            "a:b\r\n".repeat(1_000),
            format!("Cookie:{}\r\n", "b".repeat(20_000)),
        ),
        ("without a value", "a:\r\n".repeat(1_000), String::new()),
        (
            "folded",
            format!("Cookie: a={}\r\n b={}\r\n\t\r\n", "c".repeat(9_000), "d".repeat(9_000)),
            String::new(),
        ),
        ("with a host in what is folded", "x: y\r\n Host: evil.example\r\n".to_owned(), String::new()),
    ];
    for (what, before, after) in taken {
        let waiting = Waiting::on(&server);
        let fields = format!("{before}hOST:{}\r\n{after}", waiting.addr);
        let request = |target: &str| format!("GET {target} HTTP/1.1\r\n{fields}\r\n");
        let mut stream = connect(waiting.addr);
        stream.write_all(request(&format!("/callback?code=c&state={}", waiting.state)).as_bytes()).unwrap();
        let moved = read_head(&mut stream);
        assert_eq!(status(&moved), "303", "{what}");
        stream.write_all(request("/callback/done").as_bytes()).unwrap();
        assert!(read_to_end(&mut stream).contains("You are logged in"), "{what}");
        waiting.end().unwrap();
    }
    // The request line may be as long as the fields.
    for len in [17_000, 60_000] {
        let waiting = Waiting::on(&server);
        waiting.browse(&format!("&code=c&session_state={}", "x".repeat(len)));
        waiting.end().unwrap();
    }
    let waiting = Waiting::on(&server);
    let host = format!("Host: {}\r\n", waiting.addr);
    for (what, fields, expected) in [
        ("one field that is too long", host.clone() + &cookies(65_600), "431"),
        ("many", host.clone() + &many(3_000), "431"),
        ("a line that never ends", format!("{host}Cookie: {}", "b".repeat(66_000)), "431"),
        ("what is folded counts", format!("{host}a: b\r\n{}", " c: d\r\n".repeat(10_000)), "431"),
        ("two hosts around cookies", format!("{host}{}{host}", cookies(17_000)), "400"),
        ("another host after cookies", cookies(17_000) + "Host: evil.example\r\n", "421"),
        ("none", cookies(17_000), "400"),
    ] {
        let right = format!("/callback?code=c&state={}", waiting.state);
        let response = waiting.ask(format!("GET {right} HTTP/1.1\r\n{fields}\r\n"));
        assert_eq!(status(&response), expected, "{what}: {response}");
        // The same in small parts.
        let mut stream = connect(waiting.addr);
        for part in format!("GET {right} HTTP/1.1\r\n{fields}\r\n").as_bytes().chunks(1_000) {
            let _ = stream.write_all(part);
        }
        assert_eq!(status(&read_to_end(&mut stream)), expected, "{what}");
    }
    waiting.browse("&code=c");
    waiting.end().unwrap();
}

const FETCHED_TWICE: &str = "the one-time address for the browser was fetched twice, so somebody else may have fetched it; \
                             log in again, and open the login URL by hand if this repeats";

/// A login that is waited for, its URL, and the path of its one-time address.
fn with_one_time_url(server: &Server, redirect_uri: &str) -> (Waiting, String, String) {
    let mut login = flow(server, redirect_uri).with_scope("a").start(&Transport::new()).unwrap();
    let (url, one_time) = (login.url().to_owned(), login.one_time_url().unwrap());
    assert_eq!(login.one_time_url().unwrap(), one_time, "the same for each call");
    let waiting = Waiting::start(login, Duration::from_secs(120));
    let path = one_time.strip_prefix(&format!("http://{}", waiting.addr)).unwrap().to_owned();
    assert!(path.len() == 44 && !url.contains(&path[1..]), "it says nothing of the login: {path}");
    (waiting, url, path)
}

#[test]
fn one_time_address_redirects_to_the_login_once() {
    let server = tokens();
    for redirect_uri in
        ["http://127.0.0.1:0/callback", "http://[::1]:0/callback", "http://127.0.0.1:0/callback?a=b"]
    {
        if redirect_uri.contains("::1") && TcpListener::bind("[::1]:0").is_err() {
            continue;
        }
        let (waiting, url, path) = with_one_time_url(&server, redirect_uri);
        // Requests that do not use up the address: other paths, a browser's other requests and prefetches,
        // and another Host.
        for (request, expected) in [
            (waiting.get("/favicon.ico"), "404"),
            (waiting.get(&path[..path.len() - 1]), "404"),
            (waiting.get(&format!("{path}/")), "404"),
            (waiting.get(&format!("{path}A")), "404"),
            (waiting.get(&path).replace("GET", "HEAD"), "405"),
            (waiting.get(&path).replace("GET", "OPTIONS"), "405"),
            (waiting.get(&path).replace("\r\n\r\n", "\r\nSec-Purpose: prefetch;prerender\r\n\r\n"), "503"),
            (waiting.get(&path).replace("\r\n\r\n", "\r\nPurpose: prefetch\r\n\r\n"), "503"),
            (format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\n\r\n"), "421"),
            (format!("GET {path} HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", waiting.addr.port()), "421"),
            (format!("GET {path} HTTP/1.1\r\n\r\n"), "400"),
        ] {
            let response = waiting.ask(&request);
            assert_eq!(status(&response), expected, "{request}");
            assert!(!response.contains("state="), "{request}: {response}");
        }
        // A connection without a request, as some browsers open in advance.
        drop(connect(waiting.addr));
        let moved = waiting.ask(waiting.get(&path));
        assert_eq!((status(&moved), header(&moved, "Location")), ("303", Some(url.as_str())));
        assert_eq!(header(&moved, "Referrer-Policy"), Some("no-referrer"));
        assert_eq!(header(&moved, "Cache-Control"), Some("no-store"));
        assert_eq!(header(&moved, "Connection"), Some("close"));
        assert!(!waiting.login.is_finished());
        waiting.browse("&code=c");
        waiting.end().unwrap();
    }
    assert_eq!(server.connections(), 3 - usize::from(TcpListener::bind("[::1]:0").is_err()));
}

#[test]
fn callback_to_localhost_is_received_in_either_address_family() {
    let server = tokens();
    let has_ipv6 = TcpListener::bind("[::1]:0").is_ok();
    for redirect_uri in ["http://localhost:0/callback", "http://LOCALHOST:0/callback"] {
        for ip in ["127.0.0.1", "[::1]"].into_iter().take(1 + usize::from(has_ipv6)) {
            let login = flow(&server, redirect_uri).start(&Transport::new()).unwrap();
            let mut waiting = Waiting::start(login, Duration::from_secs(120));
            let port = waiting.addr.port();
            assert_eq!(waiting.authority, format!("localhost:{port}"));
            waiting.addr = format!("{ip}:{port}").parse().unwrap();
            for host in [format!("127.0.0.1:{port}"), format!("[::1]:{port}"), "localhost".to_owned()] {
                let request = waiting.callback("&code=c").replace(&waiting.authority, &host);
                assert_eq!(status(&waiting.ask(request)), "421", "{host}");
            }
            let (moved, _) = waiting.browse("&code=c");
            let expected = format!("http://localhost:{port}/callback/done");
            assert_eq!(header(&moved, "Location"), Some(expected.as_str()));
            waiting.end().unwrap();
            for ip in ["127.0.0.1", "[::1]"].into_iter().take(1 + usize::from(has_ipv6)) {
                assert!(is_closed(format!("{ip}:{port}").parse().unwrap()), "{ip}");
            }
            let request = server.requests().pop().unwrap();
            let sent = format!("http%3A%2F%2Flocalhost%3A{port}%2Fcallback");
            assert_eq!(request.form("redirect_uri"), Some(sent.as_str()));
        }
    }
}

#[test]
fn localhost_needs_its_port_in_both_address_families() {
    for taken in ["127.0.0.1", "[::1]"] {
        let Ok(other) = TcpListener::bind(format!("{taken}:0")) else { continue };
        let address = other.local_addr().unwrap();
        let redirect_uri = format!("http://localhost:{}/callback", address.port());
        let flow = AuthorizationCode::new(
            "https://as.example",
            "http://127.0.0.1:1",
            ClientAuth::none("id"),
            redirect_uri,
        );
        let error = flow.start(&Transport::new()).unwrap().can_wait().unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string()),
            (
                ErrorKind::Network,
                format!(
                    "could not listen on {address} for the callback: the port is in use; end what uses it, or take another \
                     redirect URI (port 0 means any free port)"
                )
            )
        );
    }
}

#[test]
fn second_fetch_of_the_one_time_address_ends_the_login() {
    let server = tokens();
    for second in ["", "?again", "?code=c&state=STATE"] {
        let (waiting, url, path) = with_one_time_url(&server, "http://127.0.0.1:0/callback");
        let (addr, state) = (waiting.addr, waiting.state.clone());
        assert_eq!(header(&waiting.ask(waiting.get(&path)), "Location"), Some(url.as_str()));
        // The second visitor may be the browser, so it shows the reason.
        let mut stream = connect(addr);
        let target = format!("{path}{}", second.replace("STATE", &state));
        stream.write_all(waiting.get(&target).as_bytes()).unwrap();
        let moved = read_head(&mut stream);
        assert!(is_closed(addr));
        assert_eq!(header(&moved, "Location"), Some(format!("http://{addr}/callback/done").as_str()));
        stream.write_all(waiting.get("/callback/done").as_bytes()).unwrap();
        let page = read_to_end(&mut stream);
        assert!(page.contains("The login failed") && page.contains("was fetched twice"), "{page}");
        assert!(!page.contains(&state) && !moved.contains(&state), "{moved}{page}");
        let error = waiting.end().unwrap_err();
        let text = format!("could not log in at {}: {FETCHED_TWICE}", server.origin());
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Protocol, text));
    }
    assert_eq!(server.connections(), 0, "nothing of this made a token request");
}

#[test]
fn login_without_a_listener_has_no_one_time_address() {
    let server = tokens();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = format!("http://{}/callback", other.local_addr().unwrap());
    for (redirect_uri, kind) in [
        ("https://app.example/callback", ErrorKind::InvalidInput),
        ("com.example.app:/callback", ErrorKind::InvalidInput),
        (&busy, ErrorKind::Network),
    ] {
        let mut login = flow(&server, redirect_uri).with_scope("a").start(&Transport::new()).unwrap();
        let (error, why) = (login.one_time_url().unwrap_err(), login.can_wait().unwrap_err());
        assert_eq!((error.kind(), error.to_string()), (kind, why.to_string()));
    }
}

/// Sends each kind of hostile request `count` times at once, and then the right callback. Returns how long
/// its answer took, and how long the port stayed open after it.
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
            // A connection that closes before its request is complete.
            _ => "GET /callback?code".to_owned(),
        };
        let mut stream = connect(addr);
        let _ = stream.write_all(request.as_bytes());
        if number % 8 == 7 {
            let _ = stream.shutdown(Shutdown::Write);
        }
        // Some clients wait for an answer, and others do not.
        if number % 3 == 0 {
            let response = read_to_end(&mut stream);
            assert!(!response.starts_with("HTTP/1.1 2"), "{response}");
        }
    }
    // A slow connection that continues, and new idle ones: the newest connections compete with the browser.
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
fn login_survives_a_thousand_hostile_requests() {
    survives(1_000);
}

#[test]
#[ignore = "long, and measures time"]
fn login_survives_ten_thousand_hostile_requests() {
    let (answered, closed) = survives(10_000);
    assert!(
        answered < Duration::from_millis(50) && closed < Duration::from_millis(10),
        "{answered:?} {closed:?}"
    );
}

#[test]
fn slow_requests_to_the_listener_are_cut_off() {
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
fn listener_drops_the_oldest_of_too_many_connections() {
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
fn login_timeout_reports_the_last_unrelated_callback() {
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
            "{START} {}: no callback of this login was received within 0.3 s; open the login URL and follow it to its end in \
             time",
            server.origin()
        )
    );
    let waiting = Waiting::start(login(&server), within);
    waiting.ask(waiting.get("/callback?code=c"));
    assert_eq!(
        waiting.end().unwrap_err().to_string(),
        format!(
            "{START} {}: no callback of this login was received within 0.3 s, but an unrelated one was rejected: the callback \
             has no `state`, so it may be forged; if the server does not send it back, use `without_state`",
            server.origin()
        )
    );
    for (method, cookies, status) in
        [("GET", 70_000, "431 Request Header Fields Too Large"), ("POST", 1, "405 Method Not Allowed")]
    {
        let waiting = Waiting::start(login(&server), within);
        waiting.ask(format!("{method} /callback?code=c HTTP/1.1\r\nCookie: {}\r\n\r\n", "a".repeat(cookies)));
        assert_eq!(
            waiting.end().unwrap_err().to_string(),
            format!(
                "{START} {}: no callback of this login was received within 0.3 s, but a request was refused (HTTP {status}); \
                 open the login URL and follow it to its end in time",
                server.origin()
            )
        );
    }
}

#[test]
fn callback_can_be_pasted_when_no_listener_is_possible() {
    let server = tokens();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = format!("http://127.0.0.1:{}/callback", other.local_addr().unwrap().port());
    let not_here = "the callback cannot be waited for: the redirect URI is not on http://127.0.0.1, http://[::1] or \
                    http://localhost; change it, or paste the callback URL";
    let in_use = format!(
        "could not listen on {} for the callback: the port is in use; end what uses it, or take another redirect URI \
         (port 0 means any free port)",
        other.local_addr().unwrap()
    );
    for (redirect_uri, kind, text) in [
        ("https://localhost:8765/callback", ErrorKind::InvalidInput, not_here),
        ("http://127.0.0.2:8765/callback", ErrorKind::InvalidInput, not_here),
        ("https://127.0.0.1:8765/callback", ErrorKind::InvalidInput, not_here),
        ("https://app.example/callback", ErrorKind::InvalidInput, not_here),
        ("com.example.app:/callback", ErrorKind::InvalidInput, not_here),
        ("app:/callback", ErrorKind::InvalidInput, not_here),
        ("urn:ietf:wg:oauth:2.0:oob", ErrorKind::InvalidInput, not_here),
        (&busy, ErrorKind::Network, &in_use),
    ] {
        let start = || flow(&server, redirect_uri).with_scope("a").start(&Transport::new()).unwrap();
        let begun = Instant::now();
        let error = start().wait(Duration::from_secs(60)).unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(5), "it is reported at once");
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, text), "{redirect_uri}");
        let login = start();
        let state = login.url().split("&state=").nth(1).unwrap().split('&').next().unwrap();
        let callback = format!("{redirect_uri}?code=x&state={state}");
        for (before, after) in [
            ("", ""),
            ("", " is where it ended"),
            ("<", ">, see?"),
            ("at \"", "\" it ended."),
            ("", "#_=_"),
            ("\u{a0}", "\u{a0}."),
            ("\u{200b}", "\u{200b}"),
            ("<a href=\"", "\">here</a>"),
            ("`", "`"),
            ("[here](", ")."),
            ("\u{201c}", "\u{201d}"),
            ("\u{ab}", "\u{bb}"),
            ("", ", or so"),
            ("**", "**"),
            ("", "\u{ad}"),
        ] {
            let pasted = format!("{before}{callback}{after}");
            login.can_finish(&pasted).unwrap_or_else(|error| panic!("{pasted}: {error}"));
        }
        let query = callback.split_once('?').unwrap().1;
        for pasted in [query, &format!("state={state}&code=x"), &callback.replace('&', "&amp;")] {
            login.can_finish(pasted).unwrap_or_else(|error| panic!("{pasted}: {error}"));
        }
        let cut = login.can_finish(&callback.replace("&state", "\u{ad}&state")).unwrap_err();
        assert!(cut.to_string().contains("the callback has no `state`, so it may be cut or forged"), "{cut}");
        let cut = login.can_finish(&callback.replace("&state", " &state")).unwrap_err();
        assert!(cut.to_string().contains("the callback has no `state`, so it may be cut or forged"), "{cut}");
        login.finish(&callback).unwrap();
    }
    let client = || ClientAuth::none("id");
    let not_absolute = "the redirect URI is not absolute: it begins with https://, or with http://127.0.0.1, http://[::1] or http://localhost";
    let of_browser = "the redirect URI has a scheme of the browser itself: use https, http on loopback, or a scheme of your program, \
         such as com.example.app (RFC 8252 7.1)";
    let fragment = "the redirect URI has a fragment ('#'): remove it (RFC 6749 3.1.2)";
    for (redirect_uri, text) in [
        ("", "the redirect URI is empty"),
        ("callback", not_absolute),
        ("127.0.0.1:8765/callback", not_absolute),
        ("1.2.3.4:80", not_absolute),
        ("[::1]:8765/callback", not_absolute),
        (":/callback", not_absolute),
        ("-a.b:/callback", not_absolute),
        ("a.b_c:/callback", not_absolute),
        ("app.example:8765/callback", not_absolute),
        ("localhost:8765/callback", not_absolute),
        ("javascript:alert(1)", of_browser),
        ("JavaScript:alert(1)", of_browser),
        ("data:text/html,x", of_browser),
        ("file:///etc/passwd", of_browser),
        (".app:/callback", not_absolute),
        ("About:blank", of_browser),
        ("app.example:/callback#x", fragment),
        ("https://app.example/#x", fragment),
        ("http://127.0.0.1/#", fragment),
        (
            "http://app.example/",
            "the redirect URI is plain http, which is allowed for 127.0.0.1, [::1] and localhost only: use https",
        ),
        (
            "https://localhost:0/",
            "the redirect URI has port 0, which means any free port of http://127.0.0.1, http://[::1] or http://localhost only",
        ),
        ("http://127.0.0.1/\r\nx", "the redirect URI holds a control character at byte 17: remove it"),
    ] {
        let error = AuthorizationCode::new("http://[::1]", "http://[::1]", client(), redirect_uri)
            .start(&Transport::new())
            .unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::InvalidInput, text));
    }
}

#[test]
fn listener_port_is_open_for_one_login_only() {
    let server = tokens();
    let free = own_port();
    let redirect_uri = format!("http://{free}/callback");
    let start = || flow(&server, &redirect_uri).with_scope("a").start(&Transport::new()).unwrap();
    // The login is dropped without being waited for.
    let login = start();
    assert!(!is_closed(free));
    drop(login);
    assert!(is_closed(free));
    // Two logins in a row, and a repeated callback.
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
fn callback_that_arrives_before_the_wait_is_accepted() {
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
fn listener_accepts_ipv6() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped: there is no [::1] here");
        return;
    }
    let server = tokens();
    let login = flow(&server, "http://[::1]:0/").with_scope("a").start(&Transport::new()).unwrap();
    assert!(login.url().contains("&redirect_uri=http%3A%2F%2F%5B%3A%3A1%5D%3A"), "{}", login.url());
    let waiting = Waiting::start(login, Duration::from_secs(30));
    let mut stream = connect(waiting.addr);
    stream.write_all(waiting.get(&format!("/?code=c&state={}", waiting.state)).as_bytes()).unwrap();
    let moved = read_head(&mut stream);
    assert_eq!(header(&moved, "Location"), Some(format!("http://{}/done", waiting.addr).as_str()));
    drop(stream);
    waiting.end().unwrap();
}
