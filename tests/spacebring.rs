//! Spacebring's flows, and those of any other OAuth 2.0 server, against scripted servers.

mod support;

use std::cell::RefCell;
use std::fmt::{Debug, Write as _};
use std::io::Write as _;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use keyfob::flow::{AuthorizationCode, Grant as _, PendingLogin, Refresh, Revoke};
use keyfob::spacebring::{Customer, Pages, Partner, scope};
use keyfob::{
    ClientAuth, Clock, Error, ErrorKind, Secret, Service, ServiceBuilder, Token, TokenSource as _, Transport,
};
use keyfob_sandbox::{OAuthErrors, RefreshTokens, SpacebringSandbox};
use support::{Request, Server, Step, answer, lock, send};

const NETWORK: &str = "6f1b7c1e-3a52-4c8e-9d0b-2b7f5a4e8c10";
const REDIRECT: &str = "https://app.example/callback";
const TOKENS: &str = r#"{"access_token":"acc","expires_in":3600,"refresh_token":"ref","scope":"resources locations","token_type":"Bearer"}"#;

fn tokens() -> Server {
    Server::answering(|_| answer(200, "", TOKENS))
}

fn builder(server: &Server) -> ServiceBuilder {
    Partner::builder("client id", "s3cr3t&", REDIRECT).api_url(server.origin())
}

fn partner(server: &Server) -> Service {
    builder(server).build().unwrap()
}

/// A partner that has logged in.
fn partner_with(builder: ServiceBuilder, token: Token) -> Service {
    let partner = builder.build().unwrap();
    partner.finish_login(token).unwrap();
    partner
}

/// As a partner refreshes its token.
fn refresh(server: &Server) -> Refresh {
    let auth = ClientAuth::secret_post("client id", "s3cr3t&");
    Refresh::new(format!("{}/oauth2/token", server.origin()), auth).allow_repeats()
}

fn http() -> Transport {
    Transport::new().with_timeout(Duration::from_secs(5))
}

fn parameter<'a>(url: &'a str, name: &str) -> &'a str {
    let mut pairs = url.split(['?', '&']).filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value).expect(name)
}

fn callback(login: &PendingLogin, rest: &str) -> String {
    format!("{REDIRECT}?state={}{rest}", parameter(login.url(), "state"))
}

/// The request as received, with `HOST` in place of the server's address.
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
fn login_sends_state_pkce_and_redirect_uri() {
    let server = tokens();
    let login = partner(&server).start_login_for("locations.readonly resources").unwrap();
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
fn requests_with_all_three_switches_equal_the_documented_ones() {
    let server = tokens();
    let partner = builder(&server).without_state().without_pkce().without_redirect_uri().build().unwrap();
    let login = partner.start_login_for("locations.readonly resources").unwrap();
    assert_eq!(
        login.url(),
        format!(
            "{}/oauth2/authorize?client_id=client%20id&redirect_uri=https%3A%2F%2Fapp.example%2Fcallback\
             &response_type=code&scope=locations.readonly%20resources",
            server.origin()
        )
    );
    let token = login.finish(&format!("{REDIRECT}?code=c0de")).unwrap();
    partner.finish_login(token.clone()).unwrap();
    partner.source().invalidate(&token);
    partner.source().token(Duration::ZERO).unwrap();
    partner.revoke().unwrap();

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
fn callback_of_another_login_causes_no_request() {
    const PASTE: &str = "paste the whole address that the browser shows after the login";
    const REPEATS: &str = "paste the whole address that the browser shows after the login, or log in again and check the \
                           URLs if this repeats";
    const NONE: &str = "the callback has no `state`, so it may be cut or forged";
    const OTHER: &str = "the callback's `state` is not that of this login, or is cut";
    const START: &str = "this is the URL that begins the login, not its callback";
    let server = tokens();
    let flow = partner(&server);
    let other = parameter(flow.start_login_for("a").unwrap().url(), "state").to_owned();
    for (query, kind, what, next) in [
        ("&code=x&state=STATE", ErrorKind::Protocol, "the callback has more than one `state`", PASTE),
        ("code=x&state=%ff", ErrorKind::Protocol, "the callback's `state` is not UTF-8", PASTE),
        ("a=b", ErrorKind::Protocol, "the callback has neither `code` nor `error`", PASTE),
        ("", ErrorKind::Protocol, "the callback has neither `code` nor `error`", PASTE),
        // Cut before, within and after the name of `state`, and within its value.
        ("code=x", ErrorKind::Protocol, NONE, PASTE),
        ("code=x&sta", ErrorKind::Protocol, NONE, PASTE),
        ("code=x&state=", ErrorKind::Protocol, NONE, PASTE),
        ("code=x&state=HALF", ErrorKind::Protocol, OTHER, PASTE),
        ("error=access_denied", ErrorKind::Protocol, NONE, PASTE),
        ("code=x&state=OTHER", ErrorKind::Protocol, OTHER, PASTE),
        ("error=access_denied&state=OTHER", ErrorKind::Protocol, OTHER, PASTE),
        ("&code=%ff", ErrorKind::Protocol, "the callback's `code` is not UTF-8", REPEATS),
        ("&code=x&error=y", ErrorKind::Protocol, "the callback has both `code` and `error`", REPEATS),
        ("&", ErrorKind::Protocol, "the callback has neither `code` nor `error`", REPEATS),
        ("&response_type=code&client_id=x", ErrorKind::Protocol, START, PASTE),
        ("response_type=code&client_id=x", ErrorKind::Protocol, START, PASTE),
        ("&code=x&code=y", ErrorKind::Protocol, "the callback's `code` comes more than once", REPEATS),
        (
            "&error=access_denied",
            ErrorKind::LoginRequired,
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
        let login = flow.start_login_for("a").unwrap();
        let state = parameter(login.url(), "state").to_owned();
        // A query that starts with `&`, appended after the right state.
        let right = if query.starts_with('&') { format!("state={state}") } else { String::new() };
        let query =
            right + &query.replace("STATE", &state).replace("OTHER", &other).replace("HALF", &state[..20]);
        let text = format!("could not log in at {}: {what}; {next}", server.origin());
        fails(login.finish(&format!("{REDIRECT}?{query}")), kind, &text);
    }
    for (callback, text) in [
        (
            "https://app.example/callback".to_owned(),
            "the callback URL has no query ('?'); paste the whole address that the browser shows after the login",
        ),
        (
            " \n".to_owned(),
            "the callback URL is empty; paste the whole address that the browser shows after the login",
        ),
        ("?state=a\nb".to_owned(), "the callback URL holds a control character at byte 8: remove it"),
        (
            format!("?state={}", "a".repeat(1 << 20)),
            "the callback URL is 1048583 bytes long; at most 65536 are accepted: is it the right value?",
        ),
    ] {
        fails(flow.start_login_for("a").unwrap().finish(&callback), ErrorKind::InvalidInput, text);
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn text_pasted_around_the_callback_is_ignored() {
    let server = tokens();
    let flow = partner(&server);
    let around = [
        (" \n", "#_=_\r\n"),
        ("", "\r\n"),
        ("\"", "\"\n"),
        ("'", "'"),
        ("<", ">\r\n"),
        ("\t<\u{a0}", " >  "),
        ("> \"", "\""),
    ];
    for (before, after) in around {
        let login = flow.start_login_for("a").unwrap();
        let callback = callback(&login, "&code=x");
        let pasted = format!("{before}{callback}{after}");
        login.finish(&pasted).expect(before);
    }
    let requests = server.requests();
    assert_eq!(requests.len(), around.len());
    assert!(requests.iter().all(|request| request.form("code") == Some("x")));
}

#[test]
fn pasted_callback_may_have_64_kib() {
    let server = tokens();
    let flow = partner(&server);
    for len in [5_000, 16_385, 60_000] {
        let login = flow.start_login_for("a").unwrap();
        let code = "c".repeat(len);
        let callback = callback(&login, &format!("&code={code}"));
        login.finish(&callback).unwrap();
        assert_eq!(server.requests().last().unwrap().form("code"), Some(code.as_str()));
    }
    let login = flow.start_login_for("a").unwrap();
    let callback = callback(&login, &format!("&code={}", "c".repeat(65_536)));
    let text = format!(
        "the callback URL is {} bytes long; at most 65536 are accepted: is it the right value?",
        callback.len()
    );
    fails(login.finish(&callback), ErrorKind::InvalidInput, &text);
}

#[test]
fn issuer_in_the_callback_is_compared_when_known() {
    let server = tokens();
    let url = server.origin();
    let flow = AuthorizationCode::new(&url, &url, ClientAuth::none("id"), REDIRECT);
    let flow = flow.with_issuer("https://as.example");
    let start = || flow.clone().with_scope("a").start(&http()).unwrap();
    let login = start();
    let query = callback(&login, "&code=x&iss=https%3A%2F%2Fevil.example");
    let text = "the callback's `iss` is not that of the server (RFC 9207); paste the whole address that the browser \
                shows after the login, or log in again and check the URLs if this repeats";
    fails(login.finish(&query), ErrorKind::Protocol, &format!("could not log in at {url}: {text}"));
    assert_eq!(server.connections(), 0);
    let login = start();
    let query = callback(&login, "&code=x&iss=https%3A%2F%2Fas.example");
    login.finish(&query).unwrap();
    assert_eq!(server.connections(), 1);
}

#[test]
fn every_request_has_exactly_one_client_authentication() {
    let server = tokens();
    let url = server.origin();
    for (client, authorization, start) in [
        (ClientAuth::secret_basic("i d", "s+1"), Some("Basic aStkOnMlMkIx"), "grant_type="),
        (ClientAuth::secret_post("i d", "s+1"), None, "client_id=i+d&client_secret=s%2B1&grant_type="),
        (ClientAuth::none("i d"), None, "client_id=i+d&grant_type="),
    ] {
        let before = server.requests().len();
        let flow = AuthorizationCode::new(&url, &url, client.clone(), REDIRECT);
        let login = flow.clone().with_scope("a").start(&http()).unwrap();
        let callback = callback(&login, "&code=x");
        let token = login.finish(&callback).unwrap();
        Refresh::new(&url, client.clone()).run(&http(), &token).unwrap();
        Revoke::new(&url, client).run(&http(), &Secret::from("t")).unwrap();
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
fn authorization_code_is_sent_once() {
    let busy = Server::answering(|_| answer(503, "Retry-After: 0", ""));
    let login = partner(&busy).start_login_for("a").unwrap();
    let url = callback(&login, "&code=x");
    fails(
        login.finish(&url),
        ErrorKind::Refused,
        &format!(
            "could not exchange the code of the login for a token at {}: the server failed (HTTP 503); try again later",
            busy.origin()
        ),
    );
    let cut = Server::scripted(|_| {
        vec![Step::Read, send("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"access_token\":\"acc\"")]
    });
    let login = partner(&cut).start_login_for("a").unwrap();
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
fn error_about_a_refused_code_names_the_switches() {
    let server = Server::answering(|_| {
        answer(400, "", r#"{"error":"invalid_grant","error_description":"no c0de-of-the-login"}"#)
    });
    let start = "could not exchange the code of the login for a token at";
    let words =
        "the server refused (HTTP 400): invalid_grant: its text is withheld, because it repeats a secret";
    let partner = |server: &Server| {
        Partner::builder("client id", "s3cr3t&", "http://127.0.0.1:0/callback").api_url(server.origin())
    };
    for (builder, advice) in [
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
        let flow = builder.build().unwrap();
        let login = flow.start_login_for("a").unwrap();
        let callback = callback(&login, "&code=c0de-of-the-login");
        let query = callback.split_once('?').unwrap().1;
        let address = parameter(login.url(), "redirect_uri").replace("%3A", ":").replace("%2F", "/");
        let address = address.strip_prefix("http://").unwrap().strip_suffix("/callback").unwrap();
        let mut browser = std::net::TcpStream::connect(address).unwrap();
        let request = format!("GET /callback?{query} HTTP/1.1\r\nHost: {address}\r\n\r\n");
        browser.write_all(request.as_bytes()).unwrap();
        let text = format!("{start} {}: {words}; {advice}", server.origin());
        fails(login.wait(Duration::from_secs(30)), ErrorKind::LoginRequired, &text);

        // A part of the pasted address may be missing, even of the code, so the error blames no switch.
        let text = format!(
            "{start} {}: {words}; log in again and paste the whole address; if it was whole, the server may not know a \
             parameter that keyfob can leave out",
            server.origin()
        );
        for end in ["", "&more=1", "#"] {
            let login = flow.start_login_for("a").unwrap();
            let url = self::callback(&login, &format!("&code=c0de-of-the-login{end}"));
            fails(login.finish(&url), ErrorKind::LoginRequired, &text);
        }
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
fn refresh_keeps_values_that_the_answer_omits() {
    let server = Server::answering(|request| {
        let more = match request.connection {
            0 => "",
            1 => r#","refresh_token":"""#,
            _ => r#","refresh_token":"new","scope":"b""#,
        };
        answer(200, "", format!(r#"{{"access_token":"acc","token_type":"bearer"{more}}}"#))
    });
    let refresh = refresh(&server);
    for (refresh_token, scope) in [("ref & resh", "a b"), ("ref & resh", "a b"), ("new", "b")] {
        let token = refresh.run(&http(), &old_token()).unwrap();
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
fn refresh_source_starts_with_the_given_refresh_token() {
    let server = tokens();
    let refresh = refresh(&server);
    fails(
        refresh.token(&http(), None),
        ErrorKind::LoginRequired,
        "there is no refresh token to renew the access token with: log in again",
    );
    let first = refresh.with_refresh_token("first");
    first.token(&http(), None).unwrap();
    first.run(&http(), &Token::new("x", SystemTime::UNIX_EPOCH).unwrap()).unwrap();
    first.run(&http(), &old_token()).unwrap();
    let requests = server.requests();
    let sent: Vec<_> = requests.iter().map(|request| request.form("refresh_token").unwrap()).collect();
    assert_eq!(sent, ["first", "first", "ref+%26+resh"]);
}

#[test]
fn ended_login_is_recognized_in_both_error_formats() {
    for body in [
        r#"{"error":"invalid_grant","error_description":"It ended"}"#,
        r#"{"type":"invalid_grant","message":"It ended"}"#,
    ] {
        let server = Server::answering(move |_| answer(400, "", body));
        let error = refresh(&server).run(&http(), &old_token()).unwrap_err();
        assert_eq!(error.oauth_error(), Some("invalid_grant"));
        fails(
            Err::<(), _>(error),
            ErrorKind::LoginRequired,
            &format!(
                "could not renew the access token at {}: the server refused (HTTP 400): invalid_grant: It ended; log in again",
                server.origin()
            ),
        );
    }
}

#[test]
fn refresh_is_repeated_only_where_safe() {
    type Script = fn() -> Vec<Step>;
    let cases: [(&str, Script, usize, usize); 6] = [
        // The first failure, the number of connections by default, and the number where repeats are allowed.
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
            let client = ClientAuth::secret_post("i", "s");
            let mut refresh = Refresh::new(server.origin(), client);
            if allow {
                refresh = refresh.allow_repeats();
            }
            assert_eq!(refresh.is_repeatable(), allow);
            let result = refresh.run(&http(), &old_token());
            assert_eq!(server.connections(), expected, "{name}, allowed: {allow}");
            assert_eq!(result.is_ok(), expected == 2, "{name}, allowed: {allow}: {result:?}");
        }
    }
}

#[test]
fn revocation_succeeds_with_any_2xx_and_any_body() {
    for (status, body) in [(200, ""), (200, "null"), (204, ""), (202, "<html>"), (200, r#"{"error":"x"}"#)] {
        let server = Server::answering(move |_| answer(status, "", body));
        let flow = Revoke::in_query(format!("{}/revoke", server.origin()));
        flow.run(&http(), &Secret::from("a b&/+ü")).unwrap();
        assert!(server.requests()[0].head.starts_with("POST /revoke?token=a+b%26%2F%2B%C3%BC HTTP/1.1\r\n"));
        assert_eq!(server.connections(), 1);
    }
    let cut = Server::scripted(|_| vec![Step::Read, send("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx")]);
    Revoke::in_query(cut.origin()).run(&http(), &Secret::from("t")).unwrap();
    assert_eq!(cut.connections(), 1, "a revoked token is not revoked again");
}

#[test]
fn logout_has_one_deadline_for_all_its_tokens() {
    const EACH: Duration = Duration::from_millis(700);
    let server = Server::scripted(|_| vec![Step::Read, Step::Pause(EACH), send(answer(200, "", ""))]);
    let builder = builder(&server).transport(Transport::new().with_timeout(EACH * 7 / 4));
    let error = partner_with(builder, old_token()).revoke().unwrap_err();
    assert_eq!((error.kind(), server.connections()), (ErrorKind::Timeout, 2), "{error}");
}

#[test]
fn failed_revocation_says_that_the_token_may_still_be_valid() {
    const START: &str = "could not revoke the token, which may still be valid, at";
    let server = Server::answering(|_| answer(503, "Retry-After: 0", "revoke?token=s3cr3t-token"));
    let result = Revoke::in_query(server.origin()).run(&http(), &Secret::from("s3cr3t-token"));
    let text = format!("{START} {}: the server failed (HTTP 503); try again later", server.origin());
    fails(result, ErrorKind::Refused, &text);
    assert_eq!(server.connections(), 3);

    let body = r#"{"error":"unsupported_token_type","error_description":"no s3cr3t-token"}"#;
    let server = Server::answering(move |_| answer(400, "", body));
    let result = Revoke::in_query(server.origin()).run(&http(), &Secret::from("s3cr3t-token"));
    let text = format!(
        "{START} {}: the server refused (HTTP 400): unsupported_token_type: its text is withheld, because it repeats a secret; check \
         the URL and the client",
        server.origin()
    );
    fails(result, ErrorKind::Refused, &text);

    let gone = Server::scripted(|_| vec![Step::Reset]);
    let result = Revoke::in_query(gone.origin()).run(&http(), &Secret::from("t"));
    fails(
        result,
        ErrorKind::Network,
        &format!("{START} {}: the connection was cut off; try again", gone.origin()),
    );
    let nothing: Result<(), Error> = Revoke::in_query(gone.origin()).run(&http(), &Secret::default());
    fails(nothing, ErrorKind::InvalidInput, "the token is empty");
}

#[test]
fn partner_logout_revokes_both_tokens() {
    let server = Server::answering(|request| match request.connection {
        0 => answer(200, "", ""),
        // Revoking the refresh token also revoked the access token.
        _ => answer(400, "", r#"{"error":"invalid_request"}"#),
    });
    partner_with(builder(&server), old_token()).revoke().unwrap();
    let requests = server.requests();
    let lines: Vec<_> = requests.iter().map(|request| request.head.lines().next().unwrap()).collect();
    assert_eq!(
        lines,
        ["POST /oauth2/revoke?token=ref+%26+resh HTTP/1.1", "POST /oauth2/revoke?token=old HTTP/1.1"]
    );

    let server = Server::answering(|_| answer(400, "", ""));
    let lone = Token::new("lone", SystemTime::UNIX_EPOCH).unwrap();
    let error = partner_with(builder(&server), lone).revoke().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
}

thread_local! {
    /// The log records of the library and its dependencies. They all log on the caller's thread, and the
    /// servers here do not.
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
fn logs_errors_and_debug_of_spacebring_show_no_secret() {
    log::set_logger(&Log).unwrap();
    // At `trace`, ureq logs everything that is sent (see `DESIGN.md`).
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
        let builder = Partner::builder("id", "m4rk-secret", REDIRECT).api_url(server.origin());
        let partner = builder.build().unwrap();
        let login = partner.start_login_for("a").unwrap();
        let _ = write!(shown, "{partner:?} {login:?}");
        let callback = callback(&login, "&code=m4rk-code");
        let flow = Revoke::in_query(format!("{}/oauth2/revoke", server.origin()));
        let auth = ClientAuth::secret_post("id", "m4rk-secret");
        let refresh = Refresh::new(format!("{}/oauth2/token", server.origin()), auth).allow_repeats();
        let old = old_token().with_refresh_token("m4rk-token");
        partner.finish_login(old.clone()).unwrap();
        let _ = write!(shown, "{flow:?} {:?} {refresh:?}", partner.source());
        let results = [
            flow.run(&http(), &Secret::from("m4rk-token")).err(),
            login.finish(&callback).err(),
            refresh.run(&http(), &old).err(),
            partner.revoke().err(),
        ];
        let _ = write!(shown, "{results:?}");
        let gone = server.origin();
        drop(server);
        let error = Revoke::in_query(&gone).run(&http(), &Secret::from("m4rk-token")).unwrap_err();
        let _ = write!(shown, "{error:?} {error}");
    }
    let log = LOGGED.take();
    assert!(log.contains("POST http://127.0.0.1"), "the log is recorded: {log}");
    for text in [shown, log] {
        assert!(!text.contains("m4rk") && !text.contains("token="), "{text}");
    }
}

#[test]
fn redirect_of_a_token_request_is_never_followed() {
    let second = tokens();
    let to = second.origin();
    for status in [301, 302, 303, 307, 308] {
        let to = to.clone();
        let first = Server::answering(move |_| answer(status, &format!("Location: {to}/x"), ""));
        let partner = partner(&first);
        let login = partner.start_login_for("a").unwrap();
        let callback = callback(&login, "&code=x");
        let errors = [
            login.finish(&callback).unwrap_err(),
            refresh(&first).run(&http(), &old_token()).unwrap_err(),
            partner_with(builder(&first), old_token()).revoke().unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
            assert!(error.to_string().contains("which is not followed"), "{error}");
        }
    }
    assert_eq!(second.connections(), 0);
}

#[test]
fn customer_signs_with_raw_basic_and_sends_the_network_to_the_api_only() {
    let api = Server::answering(|_| answer(200, "", "{}"));
    let other = Server::answering(|_| answer(200, "", "{}"));
    let customer = Customer::builder("client id", "client secret").api_url(api.origin());
    let get = |agent: &ureq::Agent, server: &Server| {
        agent.get(format!("{}/locations/v1", server.origin())).call().unwrap();
        server.requests().pop().unwrap()
    };
    let bare = get(&customer.clone().build().unwrap().agent(), &api);
    // The test vector that Spacebring publishes.
    assert_eq!(bare.header("authorization"), Some("Basic Y2xpZW50IGlkOmNsaWVudCBzZWNyZXQ="));
    assert_eq!(bare.header("spacebring-network-id"), None);

    let customer = customer.set("network_id", NETWORK).build().unwrap();
    let token = Token::new("acc", SystemTime::UNIX_EPOCH).unwrap();
    let partner = partner_with(builder(&api).set("network_id", NETWORK), token);
    let [with_network, partner] =
        [customer, partner].map(|service| service.agent_builder().allow_other_origins().build().unwrap());
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
fn partner_renews_its_token_and_repeats_the_call() {
    let server = Server::answering(|request| match request.method() {
        "POST" => answer(200, "", r#"{"access_token":"new","token_type":"Bearer","expires_in":3600}"#),
        _ if request.header("authorization") == Some("Bearer new") => answer(200, "", r#"{"locations":[]}"#),
        _ => answer(401, "", r#"{"type":"unauthorized","message":"It ended"}"#),
    });
    let token = old_token().with_expires_at(Clock::system().now() + Duration::from_secs(3600));
    let partner = partner_with(builder(&server), token);
    partner.agent().get(format!("{}/locations/v1", partner.api_url())).call().unwrap();
    assert_eq!(partner.source().current().unwrap().refresh_token().unwrap().expose(), b"ref & resh");
    let lines: Vec<_> = server.requests().iter().map(|r| r.head.lines().next().unwrap().to_owned()).collect();
    assert_eq!(
        lines,
        ["GET /locations/v1 HTTP/1.1", "POST /oauth2/token HTTP/1.1", "GET /locations/v1 HTTP/1.1"]
    );
}

#[test]
fn redirect_of_an_api_call_is_never_followed() {
    let second = tokens();
    for status in [301, 302, 303, 307, 308] {
        for method in ["GET", "POST"] {
            // Another host, port and scheme, and a disguised one.
            for to in [
                format!("http://localhost:{}/", second.port()),
                format!("http://127.0.0.1:{}/", second.port()),
                format!("https://127.0.0.1:{}/", second.port()),
                format!("http://api@127.0.0.1:{}/", second.port()),
            ] {
                let location = format!("Location: {to}");
                let api = Server::answering(move |_| answer(status, &location, ""));
                let token = Token::new("acc", SystemTime::UNIX_EPOCH).unwrap();
                let partner = partner_with(builder(&api).set("network_id", NETWORK), token);
                let agent = partner.agent_builder().rate(0).build().unwrap();
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
    let customer = Customer::builder("i", "s").api_url(server.origin()).build().unwrap();
    let agent = customer.agent_builder().rate(0).build().unwrap();
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
fn pages_reads_a_list_page_by_page() {
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
fn byte_order_mark_before_a_page_is_skipped() {
    let server = Server::answering(|request| {
        let body = match page_of(request) {
            None => "\u{feff}{\"things\":[1],\"nextPageToken\":\"a\"}",
            _ => "\u{feff}\n{\"things\":[2]}",
        };
        answer(200, "", body)
    });
    let all: Vec<u32> = pages(&server).of::<Things>().flat_map(|page| page.unwrap().things).collect();
    assert_eq!(all, [1, 2]);
    for (body, name) in [
        (&b"\xff\xfe{\0}\0"[..], "UTF-16"),
        (b"\xfe\xff\0{\0}", "UTF-16"),
        (b"{\0}\0", "UTF-16"),
        (b"\xff\xfe\0\0{\0\0\0}\0\0\0", "UTF-32"),
    ] {
        let server = Server::answering(move |_| answer(200, "", body));
        let text = format!(
            "could not get a list from {}: a page is {name}, and JSON is UTF-8 (RFC 8259 8.1); check the URL of the list",
            server.origin()
        );
        fails(pages(&server).next().unwrap(), ErrorKind::Protocol, &text);
    }
}

#[test]
fn list_whose_pages_repeat_ends_with_an_error() {
    // Lists whose page token repeats at once or later, and lists with cycles of two and five pages, the
    // latter after other pages.
    for (circle, way) in [(1, 0), (1, 3), (2, 0), (5, 3)] {
        let server = Server::answering(move |request| {
            let page: usize = page_of(request).map_or(0, |token| token.parse().unwrap());
            let next = if page + 1 < way + circle { page + 1 } else { way };
            // The first page is requested without a page token.
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
fn unusable_page_ends_the_list_with_an_error_that_names_the_page() {
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
        (
            200,
            r#"{"nextPageToken":"a\u202eb"}"#,
            ErrorKind::Protocol,
            Some(
                "a page cannot be followed: the next page's token holds a character that changes the direction of text \
                 (U+202E) at byte 1: remove it; check the URL of the list",
            ),
        ),
        (
            200,
            r#"{"nextPageToken":"a\u009bb"}"#,
            ErrorKind::Protocol,
            Some(
                "a page cannot be followed: the next page's token holds a control character (U+009B) at byte 1: remove it; \
                 check the URL of the list",
            ),
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
    let agent = Customer::builder("i", "s").build().unwrap().agent();
    let list = Pages::new(&agent, &format!("{}/x?a=b&nextPageToken=c", server.origin()));
    fails(
        list,
        ErrorKind::InvalidInput,
        "the URL of the list holds `nextPageToken`: give its value to `starting_at`",
    );
}

#[test]
fn rate_limited_list_reports_when_to_try_again() {
    let server = Server::answering(|_| answer(429, "Retry-After: 30", ""));
    let customer = Customer::builder("i", "s").api_url(server.origin()).build().unwrap();
    for as_error in [true, false] {
        let agent = customer.agent_builder().deadline(Duration::from_secs(5));
        let agent = agent.status_as_error(as_error).build().unwrap();
        let error = Pages::new(&agent, &server.origin()).unwrap().next().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the API answered HTTP 429; try again in 30 s");
        assert_eq!(
            (error.kind(), error.retry_after()),
            (ErrorKind::RateLimited, Some(Duration::from_secs(30)))
        );
    }
}

#[test]
fn page_of_exactly_the_maximum_size_is_accepted() {
    let body = r#"{"a":1}"#;
    let server = Server::answering(move |_| answer(200, "", body));
    assert!(pages(&server).with_page_limit(body.len()).next().unwrap().is_ok());
    assert!(pages(&server).with_page_limit(body.len() - 1).next().unwrap().is_err());
    assert!(pages(&server).with_page_limit(usize::MAX).next().unwrap().is_ok());
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the server counts by the machine's clock")]
fn rate_limit_of_an_agent_holds_over_all_threads() {
    use std::time::Instant;
    static SEEN: Mutex<Vec<Instant>> = Mutex::new(Vec::new());
    let server = Server::answering(|_| {
        lock(&SEEN).push(Instant::now());
        answer(200, "", "{}")
    });
    let customer = Customer::builder("i", "s").api_url(server.origin()).build().unwrap();
    let agent = customer.agent();
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
    // The number is printed for information: on a busy machine it is lower.
    println!("{rate} per second");

    let hasty = customer.agent_builder().rate(1).deadline(Duration::from_millis(900));
    let hasty = hasty.build().unwrap();
    hasty.get(customer.api_url()).call().unwrap();
    let error = Error::from(hasty.get(customer.api_url()).call().unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert_eq!(lock(&SEEN).len(), 33);
}

fn sandbox_partner(sandbox: &SpacebringSandbox) -> ServiceBuilder {
    Partner::builder(sandbox.client_id(), sandbox.client_secret(), "http://127.0.0.1:0/callback")
        .api_url(sandbox.api_url())
        .set("network_id", sandbox.network_id())
        .scope(format!("{} {}", scope::LOCATIONS_READONLY, scope::PLANS))
}

fn log_in(sandbox: &SpacebringSandbox, builder: ServiceBuilder) -> Result<Service, Error> {
    let partner = builder.build()?;
    let login = partner.start_login().unwrap();
    let callback = sandbox.approve(login.url());
    partner.finish_login(login.finish(&callback)?)?;
    Ok(partner)
}

#[test]
fn partner_works_from_login_to_revocation_at_a_strict_server() {
    let sandbox = SpacebringSandbox::start();
    for kept in [RefreshTokens::Kept, RefreshTokens::Repeated, RefreshTokens::Rotated] {
        sandbox.set_refresh_tokens(kept);
        // The server compares the PKCE verifier with the challenge, with a hash of another library.
        let partner = log_in(&sandbox, sandbox_partner(&sandbox)).unwrap();
        let agent = partner.agent();
        let list = format!("{}/plans/v1?limit=10", partner.api_url());
        let pages = || Pages::new(&agent, &list).unwrap().collect::<Result<Vec<_>, _>>();
        let before = pages().unwrap();
        assert_eq!(before.len(), 4, "36 plans");
        sandbox.end_access_tokens();
        assert!(pages().unwrap() == before, "renewed without a warning");
        partner.revoke().unwrap();
        let error = pages().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LoginRequired, "{error}");
    }
}

#[test]
fn server_that_accepts_only_documented_parameters_needs_the_switches() {
    let sandbox = SpacebringSandbox::start();
    sandbox.set_documented_only(true);
    sandbox.set_oauth_errors(OAuthErrors::Vendor);
    let all = || sandbox_partner(&sandbox).without_state().without_pkce().without_redirect_uri();
    let partner = log_in(&sandbox, all()).unwrap();
    let source = partner.source();
    sandbox.end_access_tokens();
    partner.agent().get(format!("{}/locations/v1", partner.api_url())).call().unwrap();
    partner.revoke().unwrap();
    assert!(source.current().is_none(), "forgotten");
    assert_eq!(source.token(Duration::ZERO).unwrap_err().kind(), ErrorKind::LoginRequired);

    for (partner, named) in [
        (sandbox_partner(&sandbox), "without_state"),
        (sandbox_partner(&sandbox).without_state(), "without_pkce"),
        (sandbox_partner(&sandbox).without_state().without_pkce(), "without_redirect_uri"),
    ] {
        let login = partner.build().unwrap().start_login_for(scope::PLANS).unwrap();
        // Through the browser, because a part of a pasted address may be missing.
        let callback = sandbox.approve(login.url());
        let address = parameter(login.url(), "redirect_uri").replace("%3A", ":").replace("%2F", "/");
        let address = address.strip_prefix("http://").unwrap().strip_suffix("/callback").unwrap();
        let mut browser = std::net::TcpStream::connect(address).unwrap();
        let target = callback.split_once(address).unwrap().1;
        browser.write_all(format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).unwrap();
        // Without a `state`, the listener keeps waiting for the right callback.
        let within = if named == "without_state" { 300 } else { 30_000 };
        let error = login.wait(Duration::from_millis(within)).unwrap_err();
        assert!(error.to_string().contains(&format!("`{named}`")), "{error}");
    }
    sandbox.set_documented_only(false);
    sandbox.set_state_echo(false);
    let error = log_in(&sandbox, sandbox_partner(&sandbox)).unwrap_err().to_string();
    assert!(error.contains("it may be cut or forged; paste the whole address"), "{error}");
    log_in(&sandbox, sandbox_partner(&sandbox).without_state()).unwrap();
}

#[test]
fn list_that_repeats_its_page_at_the_sandbox_ends_with_an_error() {
    let sandbox = SpacebringSandbox::start();
    sandbox.set_paging_stuck(true);
    let customer = Customer::builder(sandbox.client_id(), sandbox.client_secret());
    let agent = customer.api_url(sandbox.api_url()).build().unwrap().agent();
    let list = Pages::new(&agent, &format!("{}/plans/v1?limit=10", sandbox.api_url())).unwrap();
    let error = list.take(10).find_map(Result::err).unwrap();
    assert!(error.to_string().contains("`nextPageToken` that does not advance"), "{error}");
}

#[test]
#[ignore = "long: 100 s, and measures time"]
fn thousand_calls_from_eight_threads_are_never_rate_limited() {
    let sandbox = SpacebringSandbox::start();
    let customer = Customer::builder(sandbox.client_id(), sandbox.client_secret());
    let customer = customer.api_url(sandbox.api_url()).build().unwrap();
    let agent = customer.agent();
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
