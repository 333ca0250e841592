//! Spacebring's flows, and those of any other OAuth 2.0 server, against raw peers.

mod support;

use std::cell::RefCell;
use std::fmt::{Debug, Write as _};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use keyfob::flow::{AuthorizationCode, Grant as _, Login, Refresh, Revoke};
use keyfob::spacebring::{Customer, Pages, Partner, scope};
use keyfob::{ClientAuth, Clock, Error, ErrorKind, Http, Secret, Token, TokenSource as _};
use keyfob_sandbox::{OAuthErrors, RefreshTokens, SpacebringSandbox};
use support::{Request, Server, Step, answer, lock, send};

const NETWORK: &str = "6f1b7c1e-3a52-4c8e-9d0b-2b7f5a4e8c10";
const REDIRECT: &str = "https://app.example/callback";
const TOKENS: &str = r#"{"access_token":"acc","expires_in":3600,"refresh_token":"ref","scope":"resources locations","token_type":"Bearer"}"#;

fn tokens() -> Server {
    Server::answering(|_| answer(200, "", TOKENS))
}

fn partner(server: &Server) -> Partner {
    Partner::new("client id", "s3cr3t&", REDIRECT).unwrap().with_api_url(&server.origin()).unwrap()
}

fn http() -> Http {
    Http::new().with_timeout(Duration::from_secs(5))
}

fn parameter<'a>(url: &'a str, name: &str) -> &'a str {
    let mut pairs = url.split(['?', '&']).filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value).expect(name)
}

fn callback(login: &Login, rest: &str) -> String {
    format!("{REDIRECT}?state={}{rest}", parameter(login.url(), "state"))
}

/// The request as it came, with the server's own address as `HOST`.
fn raw(server: &Server, request: &Request) -> String {
    let host = server.origin().replace("http://", "");
    format!("{}{}", request.head, String::from_utf8_lossy(&request.body)).replace(&host, "HOST")
}

#[track_caller]
fn only(server: &Server) -> String {
    let requests = server.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    raw(server, &requests[0])
}

#[track_caller]
fn fails<T: Debug>(result: Result<T, Error>, kind: ErrorKind, text: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.to_string(), text);
    assert_eq!(error.kind(), kind, "{text}");
}

/// Head and form of a request to the token endpoint.
fn post(form: &str) -> String {
    let agent = concat!("keyfob/", env!("CARGO_PKG_VERSION"));
    let len = form.len();
    format!(
        "POST /oauth2/token HTTP/1.1\r\nhost: HOST\r\nuser-agent: {agent}\r\naccept: application/json\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {len}\r\n\r\n{form}"
    )
}

#[track_caller]
fn same(request: &str, expected: &str) {
    let sorted = |request: &str| {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let mut lines: Vec<_> = head.split("\r\n").map(str::to_owned).collect();
        lines[1..].sort();
        (lines, body.to_owned())
    };
    assert_eq!(sorted(request), sorted(expected));
}

#[test]
fn a_login_uses_state_pkce_and_redirect_uri() {
    let server = tokens();
    let login = partner(&server).login(["locations.readonly", "resources"]).unwrap();
    let (state, challenge) = (parameter(login.url(), "state"), parameter(login.url(), "code_challenge"));
    assert_eq!(
        login.url(),
        format!(
            "{}/oauth2/authorize?client_id=client%20id&redirect_uri=https%3A%2F%2Fapp.example%2Fcallback\
             &response_type=code&scope=locations.readonly%20resources&state={state}&code_challenge={challenge}\
             &code_challenge_method=S256",
            server.origin()
        )
    );
    let callback = callback(&login, "&code=c%2Fde+1");
    let token = login.finish(&callback).unwrap();
    assert_eq!(token.access_token().expose(), b"acc");
    assert_eq!(token.refresh_token().unwrap().expose(), b"ref");
    assert_eq!(token.scope(), Some("resources locations"));

    let request = only(&server);
    let verifier = request.rsplit_once("&code_verifier=").unwrap().1;
    assert_eq!(verifier.len(), 43);
    same(
        &request,
        &post(&format!(
            "client_id=client+id&client_secret=s3cr3t%26&grant_type=authorization_code&code=c%2Fde+1\
             &redirect_uri=https%3A%2F%2Fapp.example%2Fcallback&code_verifier={verifier}"
        )),
    );
}

#[test]
fn with_three_switches_the_requests_are_the_documented_ones_byte_for_byte() {
    let server = tokens();
    let partner = partner(&server).without_state().without_pkce().without_redirect_uri();
    let login = partner.login(["locations.readonly", "resources"]).unwrap();
    assert_eq!(
        login.url(),
        format!(
            "{}/oauth2/authorize?client_id=client%20id&redirect_uri=https%3A%2F%2Fapp.example%2Fcallback\
             &response_type=code&scope=locations.readonly%20resources",
            server.origin()
        )
    );
    let token = login.finish(&format!("{REDIRECT}?code=c0de")).unwrap();
    let source = partner.source(token.clone());
    source.invalidate(&token);
    source.token(Duration::ZERO).unwrap();
    partner.revoke(&source).unwrap();

    let requests: Vec<_> = server.requests().iter().map(|request| raw(&server, request)).collect();
    let agent = concat!("keyfob/", env!("CARGO_PKG_VERSION"));
    let revoke = |token: &str| {
        format!(
            "POST /oauth2/revoke?token={token} HTTP/1.1\r\nhost: HOST\r\nuser-agent: {agent}\r\n\
             accept: application/json\r\ncontent-length: 0\r\n\r\n"
        )
    };
    let client = "client_id=client+id&client_secret=s3cr3t%26";
    let expected = [
        post(&format!("{client}&grant_type=authorization_code&code=c0de")),
        post(&format!("{client}&grant_type=refresh_token&refresh_token=ref")),
        revoke("ref"),
        revoke("acc"),
    ];
    assert_eq!(requests.len(), expected.len());
    for (request, expected) in requests.iter().zip(expected) {
        same(request, &expected);
    }
}

#[test]
fn a_callback_that_is_not_of_this_login_makes_no_request() {
    const AGAIN: &str = "open the login URL again and follow it to its end";
    const REPEATS: &str = "log in again, and check the URLs if this repeats";
    let server = tokens();
    let flow = partner(&server);
    let other = parameter(flow.login(["a"]).unwrap().url(), "state").to_owned();
    for (query, kind, what, next) in [
        ("&code=x&state=STATE", ErrorKind::Protocol, "the callback has more than one `state`", AGAIN),
        ("code=x&state=%ff", ErrorKind::Protocol, "the callback's `state` is not UTF-8", AGAIN),
        ("a=b", ErrorKind::Protocol, "the callback has neither `code` nor `error`", AGAIN),
        (
            "code=x",
            ErrorKind::Protocol,
            "the callback has no `state`, so it may be forged",
            "if the server does not send it back, use `without_state`",
        ),
        (
            "error=access_denied",
            ErrorKind::Protocol,
            "the callback has no `state`, so it may be forged",
            "if the server does not send it back, use `without_state`",
        ),
        ("code=x&state=OTHER", ErrorKind::Protocol, "the callback's `state` is that of another login", AGAIN),
        (
            "error=access_denied&state=OTHER",
            ErrorKind::Protocol,
            "the callback's `state` is that of another login",
            AGAIN,
        ),
        ("&code=%ff", ErrorKind::Protocol, "the callback's `code` is not UTF-8", REPEATS),
        ("&code=x&error=y", ErrorKind::Protocol, "the callback has both `code` and `error`", REPEATS),
        ("&", ErrorKind::Protocol, "the callback has neither `code` nor `error`", REPEATS),
        ("&code=x&code=y", ErrorKind::Protocol, "the callback's `code` comes more than once", REPEATS),
        (
            "&error=access_denied",
            ErrorKind::Refused,
            "the server refused: access_denied",
            "log in again and allow the access",
        ),
        (
            "&error=invalid_scope&error_description=%3Cb%3Eno%0d%0a%1b%5B1m%00",
            ErrorKind::Refused,
            "the server refused: invalid_scope: <b>no   [1m",
            "check the scopes",
        ),
    ] {
        let login = flow.login(["a"]).unwrap();
        let state = parameter(login.url(), "state").to_owned();
        // A query that starts with `&` goes after the right state.
        let right = if query.starts_with('&') { format!("state={state}") } else { String::new() };
        let query = right + &query.replace("STATE", &state).replace("OTHER", &other);
        let text = format!("could not log in at {}: {what}; {next}", server.origin());
        fails(login.finish(&format!("{REDIRECT}?{query}")), kind, &text);
    }
    for (callback, text) in [
        (
            "https://app.example/callback".to_owned(),
            "the callback URL has no query ('?'): paste the whole address that the browser shows after the login",
        ),
        (String::new(), "the callback URL is empty"),
        ("?state=a\nb".to_owned(), "the callback URL holds a control character at byte 8: remove it"),
        (
            format!("?state={}", "a".repeat(1 << 20)),
            "the callback URL is 1048583 bytes long; at most 16384 are accepted: is it the right value?",
        ),
    ] {
        fails(flow.login(["a"]).unwrap().finish(&callback), ErrorKind::InvalidInput, text);
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn what_people_paste_around_the_callback_is_left_out() {
    let server = tokens();
    let login = partner(&server).login(["a"]).unwrap();
    let callback = format!(" \n{}#_=_\r\n", callback(&login, "&code=x"));
    login.finish(&callback).unwrap();
    assert!(only(&server).contains("&code=x&"));
}

#[test]
fn the_issuer_is_compared_where_it_is_known() {
    let server = tokens();
    let url = server.origin();
    let flow = AuthorizationCode::new(&url, &url, ClientAuth::public("id").unwrap(), REDIRECT).unwrap();
    let flow = flow.with_issuer("https://as.example").unwrap();
    let start = || flow.login(&http(), ["a"]).unwrap();
    let login = start();
    let query = callback(&login, "&code=x&iss=https%3A%2F%2Fevil.example");
    let text = "the callback's `iss` is not that of the server (RFC 9207); log in again, and check the URLs if this \
                repeats";
    fails(login.finish(&query), ErrorKind::Protocol, &format!("could not log in at {url}: {text}"));
    assert_eq!(server.connections(), 0);
    let login = start();
    let query = callback(&login, "&code=x&iss=https%3A%2F%2Fas.example");
    login.finish(&query).unwrap();
    assert_eq!(server.connections(), 1);
}

#[test]
fn one_client_authentication_for_each_request() {
    let server = tokens();
    let url = server.origin();
    for (client, authorization, start) in [
        (ClientAuth::basic("i d", "s+1").unwrap(), Some("Basic aStkOnMlMkIx"), "grant_type="),
        (ClientAuth::body("i d", "s+1").unwrap(), None, "client_id=i+d&client_secret=s%2B1&grant_type="),
        (ClientAuth::public("i d").unwrap(), None, "client_id=i+d&grant_type="),
    ] {
        let before = server.requests().len();
        let flow = AuthorizationCode::new(&url, &url, client.clone(), REDIRECT).unwrap();
        let login = flow.login(&http(), ["a"]).unwrap();
        let callback = callback(&login, "&code=x");
        let token = login.finish(&callback).unwrap();
        Refresh::new(&url, client.clone()).unwrap().run(&http(), Some(&token)).unwrap();
        Revoke::new(&url, client).unwrap().run(&http(), &Secret::from("t")).unwrap();
        let requests = server.requests().split_off(before);
        assert_eq!(requests.len(), 3);
        for request in requests {
            let start = start.replace(
                "grant_type=",
                if request.form("token").is_some() { "token=t" } else { "grant_type=" },
            );
            assert_eq!(request.header("authorization"), authorization);
            assert!(request.body.starts_with(start.as_bytes()), "{request:?}");
            assert!(request.head.starts_with("POST / HTTP/1.1\r\n"), "{request:?}");
        }
    }
}

#[test]
fn a_code_is_exchanged_once() {
    let busy = Server::answering(|_| answer(503, "Retry-After: 0", ""));
    let login = partner(&busy).login(["a"]).unwrap();
    let url = callback(&login, "&code=x");
    fails(
        login.finish(&url),
        ErrorKind::Refused,
        &format!(
            "could not exchange the code of the login for a token at {}: it failed (HTTP 503); try again later",
            busy.origin()
        ),
    );
    let cut = Server::scripted(|_| {
        vec![Step::Read, send("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"access_token\":\"acc\"")]
    });
    let login = partner(&cut).login(["a"]).unwrap();
    let url = callback(&login, "&code=x");
    fails(
        login.finish(&url),
        ErrorKind::Network,
        &format!(
            "could not exchange the code of the login for a token at {}: the connection was cut off; try again",
            cut.origin()
        ),
    );
    assert_eq!((busy.connections(), cut.connections()), (1, 1));
}

#[test]
fn a_refused_code_names_the_switches() {
    let server = Server::answering(|_| {
        answer(400, "", r#"{"error":"invalid_grant","error_description":"no c0de-of-the-login"}"#)
    });
    let start = "could not exchange the code of the login for a token at";
    let words = "it refused (HTTP 400): invalid_grant: its text is withheld: it repeats a secret";
    for (flow, advice) in [
        (
            partner(&server),
            "log in again, with `without_pkce` or `without_redirect_uri` if the server does not know them",
        ),
        (
            partner(&server).without_pkce(),
            "log in again, with `without_redirect_uri` if the server does not know it",
        ),
        (
            partner(&server).without_redirect_uri(),
            "log in again, with `without_pkce` if the server does not know it",
        ),
        (partner(&server).without_pkce().without_redirect_uri(), "log in again"),
    ] {
        let login = flow.login(["a"]).unwrap();
        let url = callback(&login, "&code=c0de-of-the-login");
        let result = login.finish(&url);
        let text = format!("{start} {}: {words}; {advice}", server.origin());
        fails(result, ErrorKind::LoginRequired, &text);
    }
}

fn old_token() -> Token {
    Token::new("old", SystemTime::UNIX_EPOCH)
        .unwrap()
        .with_expires_at(SystemTime::UNIX_EPOCH)
        .with_refresh_token("ref & resh")
        .with_scope("a b")
}

#[test]
fn a_refresh_keeps_what_the_answer_leaves_out() {
    let server = Server::answering(|request| {
        let more = match request.connection {
            0 => "",
            1 => r#","refresh_token":"""#,
            _ => r#","refresh_token":"new","scope":"b""#,
        };
        answer(200, "", format!(r#"{{"access_token":"acc","token_type":"bearer"{more}}}"#))
    });
    let refresh = partner(&server).refresh_flow();
    for (refresh_token, scope) in [("ref & resh", "a b"), ("ref & resh", "a b"), ("new", "b")] {
        let token = refresh.run(&http(), Some(&old_token())).unwrap();
        assert_eq!(token.access_token().expose(), b"acc");
        assert_eq!(token.refresh_token().unwrap().expose_str(), Some(refresh_token));
        assert_eq!(token.scope(), Some(scope));
    }
    same(
        &raw(&server, &server.requests()[0]),
        &post(
            "client_id=client+id&client_secret=s3cr3t%26&grant_type=refresh_token&refresh_token=ref+%26+resh",
        ),
    );
}

#[test]
fn a_refresh_starts_with_its_first_refresh_token() {
    let server = tokens();
    let refresh = partner(&server).refresh_flow();
    fails(
        refresh.run(&http(), None),
        ErrorKind::LoginRequired,
        "there is no refresh token to renew the access token with: log in again",
    );
    let first = refresh.with_refresh_token("first").unwrap();
    first.run(&http(), None).unwrap();
    first.run(&http(), Some(&Token::new("x", SystemTime::UNIX_EPOCH).unwrap())).unwrap();
    first.run(&http(), Some(&old_token())).unwrap();
    let requests = server.requests();
    let sent: Vec<_> = requests.iter().map(|request| request.form("refresh_token").unwrap()).collect();
    assert_eq!(sent, ["first", "first", "ref+%26+resh"]);
}

#[test]
fn an_ended_login_is_told_in_either_dialect() {
    for body in [
        r#"{"error":"invalid_grant","error_description":"It ended"}"#,
        r#"{"type":"invalid_grant","message":"It ended"}"#,
    ] {
        let server = Server::answering(move |_| answer(400, "", body));
        let error = partner(&server).refresh_flow().run(&http(), Some(&old_token())).unwrap_err();
        assert_eq!(error.oauth_error(), Some("invalid_grant"));
        fails(
            Err::<(), _>(error),
            ErrorKind::LoginRequired,
            &format!(
                "could not renew the access token at {}: it refused (HTTP 400): invalid_grant: It ended; log in again",
                server.origin()
            ),
        );
    }
}

#[test]
fn a_refresh_is_repeated_as_far_as_is_safe() {
    type Script = fn() -> Vec<Step>;
    let cases: [(&str, Script, usize, usize); 6] = [
        // What goes wrong the first time; how many connections by default, and where repeats are allowed.
        ("503", || vec![Step::Read, send(answer(503, "Retry-After: 0", ""))], 2, 2),
        ("429", || vec![Step::Read, send(answer(429, "Retry-After: 0", ""))], 2, 2),
        ("500", || vec![Step::Read, send(answer(500, "Retry-After: 0", ""))], 1, 2),
        ("reset", || vec![Step::Reset], 1, 2),
        ("closed", || vec![Step::Read], 1, 2),
        ("cut", || vec![Step::Read, send("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{")], 1, 2),
    ];
    for (name, first, by_default, allowed) in cases {
        for (allow, expected) in [(false, by_default), (true, allowed)] {
            let server = Server::scripted(move |connection| match connection {
                0 => first(),
                _ => vec![Step::Read, send(answer(200, "", TOKENS))],
            });
            let client = ClientAuth::body("i", "s").unwrap();
            let mut refresh = Refresh::new(&server.origin(), client).unwrap();
            if allow {
                refresh = refresh.allow_repeats();
            }
            assert_eq!(refresh.is_repeatable(), allow);
            let result = refresh.run(&http(), Some(&old_token()));
            assert_eq!(server.connections(), expected, "{name}, allowed: {allow}");
            assert_eq!(result.is_ok(), expected == 2, "{name}, allowed: {allow}: {result:?}");
        }
    }
}

#[test]
fn a_revocation_succeeds_with_any_2xx_and_any_body() {
    for (status, body) in [(200, ""), (200, "null"), (204, ""), (202, "<html>"), (200, r#"{"error":"x"}"#)] {
        let server = Server::answering(move |_| answer(status, "", body));
        let flow = Revoke::in_query(&format!("{}/revoke", server.origin())).unwrap();
        flow.run(&http(), &Secret::from("a b&/+ü")).unwrap();
        assert!(server.requests()[0].head.starts_with("POST /revoke?token=a+b%26%2F%2B%C3%BC HTTP/1.1\r\n"));
        assert_eq!(server.connections(), 1);
    }
    let cut = Server::scripted(|_| vec![Step::Read, send("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx")]);
    Revoke::in_query(&cut.origin()).unwrap().run(&http(), &Secret::from("t")).unwrap();
    assert_eq!(cut.connections(), 1, "what was revoked is not revoked again");
}

#[test]
fn the_end_of_a_login_has_one_deadline_for_all_its_tokens() {
    const EACH: Duration = Duration::from_millis(700);
    let server = Server::scripted(|_| vec![Step::Read, Step::Pause(EACH), send(answer(200, "", ""))]);
    let partner = partner(&server).with_http(Http::new().with_timeout(EACH * 7 / 4));
    let source = partner.source(old_token());
    let error = partner.revoke(&source).unwrap_err();
    assert_eq!((error.kind(), server.connections()), (ErrorKind::Timeout, 2), "{error}");
}

#[test]
fn a_failed_revocation_says_that_the_token_may_live_on() {
    const START: &str = "could not revoke the token, which may live on, at";
    let server = Server::answering(|_| answer(503, "Retry-After: 0", "revoke?token=s3cr3t-token"));
    let result = Revoke::in_query(&server.origin()).unwrap().run(&http(), &Secret::from("s3cr3t-token"));
    let text = format!("{START} {}: it failed (HTTP 503); try again later", server.origin());
    fails(result, ErrorKind::Refused, &text);
    assert_eq!(server.connections(), 3);

    let body = r#"{"error":"unsupported_token_type","error_description":"no s3cr3t-token"}"#;
    let server = Server::answering(move |_| answer(400, "", body));
    let result = Revoke::in_query(&server.origin()).unwrap().run(&http(), &Secret::from("s3cr3t-token"));
    let text = format!(
        "{START} {}: it refused (HTTP 400): unsupported_token_type: its text is withheld: it repeats a secret; check \
         the URL and the client",
        server.origin()
    );
    fails(result, ErrorKind::Refused, &text);

    let gone = Server::scripted(|_| vec![Step::Reset]);
    let result = Revoke::in_query(&gone.origin()).unwrap().run(&http(), &Secret::from("t"));
    fails(
        result,
        ErrorKind::Network,
        &format!("{START} {}: the connection was cut off; try again", gone.origin()),
    );
    let nothing: Result<(), Error> =
        Revoke::in_query(&gone.origin()).unwrap().run(&http(), &Secret::default());
    fails(nothing, ErrorKind::InvalidInput, "the token is empty");
}

#[test]
fn a_partner_ends_both_tokens() {
    let server = Server::answering(|request| match request.connection {
        0 => answer(200, "", ""),
        // The access token went with the refresh token.
        _ => answer(400, "", r#"{"error":"invalid_request"}"#),
    });
    let partner = partner(&server);
    let source = partner.source(old_token());
    partner.revoke(&source).unwrap();
    let requests = server.requests();
    let lines: Vec<_> = requests.iter().map(|request| request.head.lines().next().unwrap()).collect();
    assert_eq!(
        lines,
        ["POST /oauth2/revoke?token=ref+%26+resh HTTP/1.1", "POST /oauth2/revoke?token=old HTTP/1.1"]
    );

    let server = Server::answering(|_| answer(400, "", ""));
    let partner = self::partner(&server);
    let lone = Token::new("lone", SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(partner.revoke(&partner.source(lone)).unwrap_err().kind(), ErrorKind::Refused);
}

thread_local! {
    /// What the library and those below it log: all of it on the caller's thread, unlike the servers' here.
    static LOGGED: RefCell<String> = const { RefCell::new(String::new()) };
}

struct Log;

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        let text = format!("{} {}\n", record.target(), record.args());
        LOGGED.with_borrow_mut(|logged| logged.push_str(&text));
    }
    fn flush(&self) {}
}

#[test]
fn no_secret_in_logs_errors_or_debug() {
    log::set_logger(&Log).unwrap();
    // `trace` dumps all that is sent: `DESIGN.md`.
    log::set_max_level(log::LevelFilter::Debug);
    let mut shown = String::new();
    for status in [200, 302, 400, 503] {
        let server = Server::answering(move |request| {
            let location = format!("Location: {}&again", request.head.split(' ').nth(1).unwrap());
            answer(
                status,
                &location,
                r#"{"error":"bad","error_description":"m4rk-token m4rk-code m4rk-secret"}"#,
            )
        });
        let partner =
            Partner::new("id", "m4rk-secret", REDIRECT).unwrap().with_api_url(&server.origin()).unwrap();
        let login = partner.login(["a"]).unwrap();
        let _ = write!(shown, "{partner:?} {login:?}");
        let callback = callback(&login, "&code=m4rk-code");
        let flow = partner.revoke_flow();
        let old = old_token().with_refresh_token("m4rk-token");
        let source = partner.source(old.clone());
        let _ = write!(shown, "{flow:?} {source:?} {:?}", partner.refresh_flow());
        let results = [
            flow.run(&http(), &Secret::from("m4rk-token")).err(),
            login.finish(&callback).err(),
            partner.refresh_flow().run(&http(), Some(&old)).err(),
            partner.revoke(&source).err(),
        ];
        let _ = write!(shown, "{results:?}");
        let gone = server.origin();
        drop(server);
        let error = Revoke::in_query(&gone).unwrap().run(&http(), &Secret::from("m4rk-token")).unwrap_err();
        let _ = write!(shown, "{error:?} {error}");
    }
    let log = LOGGED.take();
    assert!(log.contains("POST http://127.0.0.1"), "the log is listened to: {log}");
    for text in [shown, log] {
        assert!(!text.contains("m4rk") && !text.contains("token="), "{text}");
    }
}

#[test]
fn a_redirect_is_followed_nowhere() {
    let second = tokens();
    let to = second.origin();
    for status in [301, 302, 303, 307, 308] {
        let to = to.clone();
        let first = Server::answering(move |_| answer(status, &format!("Location: {to}/x"), ""));
        let partner = partner(&first);
        let login = partner.login(["a"]).unwrap();
        let callback = callback(&login, "&code=x");
        let errors = [
            login.finish(&callback).unwrap_err(),
            partner.refresh_flow().run(&http(), Some(&old_token())).unwrap_err(),
            partner.revoke_flow().run(&http(), &Secret::from("t")).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
            assert!(error.to_string().contains("which is not followed"), "{error}");
        }
    }
    assert_eq!(second.connections(), 0);
}

#[test]
fn customers_sign_with_raw_basic_and_the_network_goes_to_the_api_only() {
    let api = Server::answering(|_| answer(200, "", "{}"));
    let other = Server::answering(|_| answer(200, "", "{}"));
    let customer = Customer::new("client id", "client secret").unwrap().with_api_url(&api.origin()).unwrap();
    let get = |agent: &ureq::Agent, server: &Server| {
        agent.get(format!("{}/locations/v1", server.origin())).call().unwrap();
        server.requests().pop().unwrap()
    };
    let bare = get(&customer.agent().unwrap(), &api);
    // The vector that Spacebring publishes.
    assert_eq!(bare.header("authorization"), Some("Basic Y2xpZW50IGlkOmNsaWVudCBzZWNyZXQ="));
    assert_eq!(bare.header("spacebring-network-id"), None);

    let with_network = customer.with_network(NETWORK).unwrap().agent().unwrap();
    let source = partner(&api).source(Token::new("acc", SystemTime::UNIX_EPOCH).unwrap());
    let partner = partner(&api).with_network(NETWORK).unwrap().agent(&source).unwrap();
    for (agent, authorization) in
        [(with_network, "Basic Y2xpZW50IGlkOmNsaWVudCBzZWNyZXQ="), (partner, "Bearer acc")]
    {
        let signed = get(&agent, &api);
        assert_eq!(signed.header("authorization"), Some(authorization));
        assert_eq!(signed.header("spacebring-network-id"), Some(NETWORK));
        let elsewhere = get(&agent, &other);
        assert_eq!(elsewhere.header("authorization"), None);
        assert_eq!(elsewhere.header("spacebring-network-id"), None);
    }
}

#[test]
fn a_partner_renews_and_repeats_the_call() {
    let server = Server::answering(|request| match request.method() {
        "POST" => answer(200, "", r#"{"access_token":"new","token_type":"Bearer","expires_in":3600}"#),
        _ if request.header("authorization") == Some("Bearer new") => answer(200, "", r#"{"locations":[]}"#),
        _ => answer(401, "", r#"{"type":"unauthorized","message":"It ended"}"#),
    });
    let partner = partner(&server);
    let source =
        partner.source(old_token().with_expires_at(Clock::system().now() + Duration::from_secs(3600)));
    let agent = partner.agent(&source).unwrap();
    agent.get(format!("{}/locations/v1", partner.api_url())).call().unwrap();
    assert_eq!(source.current().unwrap().refresh_token().unwrap().expose(), b"ref & resh");
    let lines: Vec<_> = server.requests().iter().map(|r| r.head.lines().next().unwrap().to_owned()).collect();
    assert_eq!(
        lines,
        ["GET /locations/v1 HTTP/1.1", "POST /oauth2/token HTTP/1.1", "GET /locations/v1 HTTP/1.1"]
    );
}

#[test]
fn an_api_that_redirects_takes_the_call_nowhere() {
    let second = tokens();
    for status in [301, 302, 303, 307, 308] {
        for method in ["GET", "POST"] {
            // Another host, port, scheme, and one in disguise.
            for to in [
                format!("http://localhost:{}/", second.port()),
                format!("http://127.0.0.1:{}/", second.port()),
                format!("https://127.0.0.1:{}/", second.port()),
                format!("http://api@127.0.0.1:{}/", second.port()),
            ] {
                let location = format!("Location: {to}");
                let api = Server::answering(move |_| answer(status, &location, ""));
                let source = partner(&api).source(Token::new("acc", SystemTime::UNIX_EPOCH).unwrap());
                let partner = partner(&api).with_network(NETWORK).unwrap();
                let agent = partner.agent_builder(&source).unwrap().with_rate(0).build().unwrap();
                let response = if method == "GET" {
                    agent.get(api.origin()).call()
                } else {
                    agent.post(api.origin()).send("{}")
                };
                assert_eq!(response.unwrap().status(), status);
                assert_eq!(api.requests().len(), 1);
            }
        }
    }
    assert_eq!(second.connections(), 0);
}

fn pages(server: &Server) -> Pages {
    let customer = Customer::new("i", "s").unwrap().with_api_url(&server.origin()).unwrap();
    let agent = customer.agent_builder().unwrap().with_rate(0).build().unwrap();
    Pages::new(&agent, &format!("{}/things/v1?limit=2", customer.api_url())).unwrap()
}

fn page_of(request: &Request) -> Option<&str> {
    let (_, query) = request.head.split(' ').nth(1)?.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix("nextPageToken="))
}

#[derive(serde::Deserialize)]
struct Things {
    things: Vec<u32>,
}

#[test]
fn a_list_is_walked_page_by_page() {
    let server = Server::answering(|request| {
        let body = match page_of(request) {
            None => r#"{"things":[1,2],"nextPageToken":"a/+ b"}"#,
            Some("a%2F%2B+b") => r#"{"things":[3,4],"nextPageToken":"c"}"#,
            Some("c") => r#"{"things":[5],"nextPageToken":null}"#,
            other => panic!("{other:?}"),
        };
        answer(200, "", body)
    });
    let mut list = pages(&server);
    assert_eq!(list.next_page(), None);
    assert_eq!(list.next().unwrap().unwrap()["things"][1], 2);
    assert_eq!(server.requests().len(), 1, "the next page is not asked for ahead of time");
    assert_eq!(list.next_page(), Some("a/+ b"));
    let rest: Vec<u32> = list.of::<Things>().flat_map(|page| page.unwrap().things).collect();
    assert_eq!(rest, [3, 4, 5]);
    let heads: Vec<_> = server.requests().iter().map(|r| r.head.lines().next().unwrap().to_owned()).collect();
    assert_eq!(
        heads,
        [
            "GET /things/v1?limit=2 HTTP/1.1",
            "GET /things/v1?limit=2&nextPageToken=a%2F%2B+b HTTP/1.1",
            "GET /things/v1?limit=2&nextPageToken=c HTTP/1.1"
        ]
    );
    let mut end = pages(&server).starting_at("c").unwrap();
    assert_eq!(end.next().unwrap().unwrap()["things"][0], 5);
    assert!(end.next().is_none() && end.next().is_none() && end.next_page().is_none());
}

#[test]
fn a_list_that_runs_in_a_circle_ends_with_an_error() {
    // One that stands still, from the start and later; two and five in a circle, the latter after a way to it.
    for (circle, way) in [(1, 0), (1, 3), (2, 0), (5, 3)] {
        let server = Server::answering(move |request| {
            let page: usize = page_of(request).map_or(0, |token| token.parse().unwrap());
            let next = if page + 1 < way + circle { page + 1 } else { way };
            // The first page is asked for without a token.
            answer(200, "", format!(r#"{{"page":{page},"nextPageToken":"{}"}}"#, next.max(1)))
        });
        let mut list = pages(&server);
        let good = list.by_ref().take(100).take_while(Result::is_ok).count();
        assert!((1..=3 * (circle + way) + 2).contains(&good), "{circle} after {way}: {good} pages");
        assert!(list.next().is_none(), "an error is the end");
        let error = pages(&server).find_map(Result::err).unwrap();
        let text = format!(
            "could not get a list from {}: a page has a `nextPageToken` that does not advance; tell the service, or \
             ask for smaller parts of the list",
            server.origin()
        );
        fails(Err::<(), _>(error), ErrorKind::Protocol, &text);
    }
}

#[test]
fn a_page_that_cannot_be_used_ends_the_list_and_says_where() {
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(100));
    for (status, body, kind, text) in [
        (200, "[]", ErrorKind::Protocol, Some("a page is not a JSON object; check the URL of the list")),
        (200, "<html>", ErrorKind::Protocol, Some("a page is not a JSON object; check the URL of the list")),
        (
            200,
            r#"{"nextPageToken":5}"#,
            ErrorKind::Protocol,
            Some("a page has a `nextPageToken` that is no text; check the URL of the list"),
        ),
        (
            200,
            long.as_str(),
            ErrorKind::Protocol,
            Some("a page is longer than allowed; ask for fewer items with `limit`, or allow more"),
        ),
        (404, "", ErrorKind::ApiStatus, None),
    ] {
        let body = body.to_owned();
        let server = Server::answering(move |request| match page_of(request) {
            None => answer(200, "", r#"{"nextPageToken":"two"}"#),
            Some(_) => answer(status, "", &body),
        });
        let mut list = pages(&server).with_page_limit(100);
        list.next().unwrap().unwrap();
        let error = list.next().unwrap().unwrap_err();
        let text = text
            .map_or("the API answered HTTP 404; check the URL and the request".to_owned(), |text| {
                format!("could not get a list from {}: {text}", server.origin())
            });
        fails(Err::<(), _>(error), kind, &text);
        assert_eq!(list.next_page(), Some("two"));
        assert!(list.next().is_none());
    }
    let server = tokens();
    let agent = Customer::new("i", "s").unwrap().agent().unwrap();
    let list = Pages::new(&agent, &format!("{}/x?a=b&nextPageToken=c", server.origin()));
    fails(
        list,
        ErrorKind::InvalidInput,
        "the URL of the list holds `nextPageToken`: give its value to `starting_at`",
    );
}

#[test]
fn a_list_says_when_to_try_again() {
    let server = Server::answering(|_| answer(429, "Retry-After: 30", ""));
    let customer = Customer::new("i", "s").unwrap().with_api_url(&server.origin()).unwrap();
    let agent = customer.agent_builder().unwrap().with_deadline(Duration::from_secs(5));
    let agent = agent.with_status_as_error(false).build().unwrap();
    let error = Pages::new(&agent, &server.origin()).unwrap().next().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::RateLimited, Some(Duration::from_secs(30))));
}

#[test]
fn a_page_of_exactly_the_limit_is_taken() {
    let body = r#"{"a":1}"#;
    let server = Server::answering(move |_| answer(200, "", body));
    assert!(pages(&server).with_page_limit(body.len()).next().unwrap().is_ok());
    assert!(pages(&server).with_page_limit(body.len() - 1).next().unwrap().is_err());
    assert!(pages(&server).with_page_limit(usize::MAX).next().unwrap().is_ok());
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the server counts by the machine's clock")]
fn an_agent_keeps_its_pace_over_all_threads() {
    use std::time::Instant;
    static SEEN: Mutex<Vec<Instant>> = Mutex::new(Vec::new());
    let server = Server::answering(|_| {
        lock(&SEEN).push(Instant::now());
        answer(200, "", "{}")
    });
    let customer = Customer::new("i", "s").unwrap().with_api_url(&server.origin()).unwrap();
    let agent = customer.agent().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..4 {
                    agent.get(customer.api_url()).call().unwrap();
                }
            });
        }
    });
    let seen = lock(&SEEN).clone();
    for window in seen.windows(11) {
        let span = window[10].duration_since(window[0]);
        assert!(span > Duration::from_secs(1), "11 calls in {span:?}");
    }
    let rate = 31.0 / seen[31].duration_since(seen[0]).as_secs_f64();
    // For reading: on a busy machine it is less.
    println!("{rate} per second");

    let hasty = customer.agent_builder().unwrap().with_rate(1).with_deadline(Duration::from_millis(900));
    let hasty = hasty.build().unwrap();
    hasty.get(customer.api_url()).call().unwrap();
    let error = keyfob::classify(hasty.get(customer.api_url()).call().unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert_eq!(lock(&SEEN).len(), 33);
}

fn sandbox_partner(sandbox: &SpacebringSandbox) -> Partner {
    Partner::new(sandbox.client_id(), sandbox.client_secret(), "http://127.0.0.1:0/callback")
        .unwrap()
        .with_api_url(&sandbox.api_url())
        .unwrap()
        .with_network(sandbox.network_id())
        .unwrap()
}

fn log_in(sandbox: &SpacebringSandbox, partner: &Partner) -> Result<Token, Error> {
    let login = partner.login([scope::LOCATIONS_READONLY, scope::PLANS]).unwrap();
    let callback = sandbox.approve(login.url());
    login.finish(&callback)
}

#[test]
fn from_login_to_revocation_at_a_strict_server() {
    let sandbox = SpacebringSandbox::start();
    for kept in [RefreshTokens::Kept, RefreshTokens::Repeated, RefreshTokens::Rotated] {
        sandbox.set_refresh_tokens(kept);
        let partner = sandbox_partner(&sandbox);
        // The server compares the PKCE verifier with the challenge, by a hash that is not the library's.
        let source = partner.source(log_in(&sandbox, &partner).unwrap());
        let agent = partner.agent(&source).unwrap();
        let list = format!("{}/plans/v1?limit=10", partner.api_url());
        let pages = || Pages::new(&agent, &list).unwrap().collect::<Result<Vec<_>, _>>();
        let before = pages().unwrap();
        assert_eq!(before.len(), 4, "36 plans");
        sandbox.end_access_tokens();
        assert!(pages().unwrap() == before, "renewed without a word");
        partner.revoke(&source).unwrap();
        let error = pages().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LoginRequired, "{error}");
    }
}

#[test]
fn a_server_that_knows_only_what_is_documented_needs_the_switches() {
    let sandbox = SpacebringSandbox::start();
    sandbox.set_documented_only(true);
    sandbox.set_oauth_errors(OAuthErrors::Vendor);
    let all = || sandbox_partner(&sandbox).without_state().without_pkce().without_redirect_uri();
    let source = all().source(log_in(&sandbox, &all()).unwrap());
    sandbox.end_access_tokens();
    let agent = all().agent(&source).unwrap();
    agent.get(format!("{}/locations/v1", all().api_url())).call().unwrap();
    all().revoke(&source).unwrap();
    source.invalidate(&source.current().unwrap());
    assert_eq!(source.token(Duration::ZERO).unwrap_err().kind(), ErrorKind::LoginRequired);

    for (partner, named) in [
        (sandbox_partner(&sandbox), "without_state"),
        (sandbox_partner(&sandbox).without_state(), "without_pkce"),
        (sandbox_partner(&sandbox).without_state().without_pkce(), "without_redirect_uri"),
    ] {
        let error = log_in(&sandbox, &partner).unwrap_err();
        assert!(error.to_string().contains(&format!("`{named}`")), "{error}");
    }
    sandbox.set_documented_only(false);
    sandbox.set_state_echo(false);
    let error = log_in(&sandbox, &sandbox_partner(&sandbox)).unwrap_err();
    assert!(error.to_string().contains("use `without_state`"), "{error}");
    log_in(&sandbox, &sandbox_partner(&sandbox).without_state()).unwrap();
}

#[test]
fn a_list_that_stands_still_at_the_sandbox() {
    let sandbox = SpacebringSandbox::start();
    sandbox.set_paging_stuck(true);
    let customer = Customer::new(sandbox.client_id(), sandbox.client_secret()).unwrap();
    let agent = customer.with_api_url(&sandbox.api_url()).unwrap().agent().unwrap();
    let list = Pages::new(&agent, &format!("{}/plans/v1?limit=10", sandbox.api_url())).unwrap();
    let error = list.take(10).find_map(Result::err).unwrap();
    assert!(error.to_string().contains("`nextPageToken` that does not advance"), "{error}");
}

#[test]
#[ignore = "long: 100 s, and measures time"]
fn a_thousand_calls_from_eight_threads_are_never_refused() {
    let sandbox = SpacebringSandbox::start();
    let customer = Customer::new(sandbox.client_id(), sandbox.client_secret()).unwrap();
    let customer = customer.with_api_url(&sandbox.api_url()).unwrap();
    let agent = customer.agent().unwrap();
    let ((), took) = support::timed(|| {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..125 {
                        agent.get(format!("{}/locations/v1", customer.api_url())).call().unwrap();
                    }
                });
            }
        });
    });
    let rate = 1000.0 / took.as_secs_f64();
    println!("{rate:.3} calls per second, {} answers of 429", sandbox.rate_limited());
    assert_eq!(sandbox.rate_limited(), 0);
    assert!(rate >= 9.5, "{rate}");
}
