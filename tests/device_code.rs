//! The device authorization grant (RFC 8628): the requests and their times, the ends of a login, and bad answers.

#![allow(clippy::disallowed_methods, reason = "the tests measure when requests are made")]

mod support;

#[path = "support/folder.rs"]
mod folder;

use std::collections::HashSet;
use std::fs;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use folder::Folder;
use keyfob::flow::{AuthorizationCode, DeviceCode, PendingLogin};
use keyfob::{ClientAuth, Clock, Error, ErrorKind, RecordName, Service, Token, TokenSource as _, Transport};
use support::{Request, Server, Step, answer, fails, in_parallel, lock, send};

const KEY: &str = "a secret of at least thirty-two bytes";
const CODES: &str = r#"{"device_code":"d3v1ce-c0de","user_code":"WDJB-MJHT","verification_uri":"https://as.example/device",
    "verification_uri_complete":"https://as.example/device?c=WDJB-MJHT","expires_in":600,"interval":1}"#;
const TOKENS: &str = r#"{"access_token":"acc","refresh_token":"ref","expires_in":3600}"#;
const PENDING: &str = r#"{"error":"authorization_pending"}"#;
const WAIT: Duration = Duration::from_secs(60);

fn transport() -> Transport {
    Transport::new().with_timeout(Duration::from_secs(20))
}

fn is_start(request: &Request) -> bool {
    request.head.starts_with("POST /device ")
}

/// The answer with the codes, the answers to the token requests, and the shortest pauses between the token requests.
type Case = (String, Vec<Vec<u8>>, &'static [u64]);

/// A server that answers the device authorization request with `codes` and the token requests with these answers. It repeats
/// the last one, and records when it received each token request.
struct Device {
    server: Server,
    polls: Arc<Mutex<Vec<Instant>>>,
}

impl Device {
    fn new(codes: &str, answers: Vec<Vec<u8>>) -> Self {
        let codes = codes.to_owned();
        let polls = Arc::new(Mutex::new(Vec::new()));
        let noted = polls.clone();
        let server = Server::answering(move |request| {
            if is_start(request) {
                return answer(200, "", &codes);
            }
            let mut noted = lock(&noted);
            noted.push(Instant::now());
            answers[noted.len().min(answers.len()) - 1].clone()
        });
        Self { server, polls }
    }

    fn flow(&self, auth: ClientAuth) -> DeviceCode {
        let origin = self.server.origin();
        DeviceCode::new(format!("{origin}/device"), format!("{origin}/token"), auth)
    }

    fn start(&self) -> Result<PendingLogin, Error> {
        self.flow(ClientAuth::none("id")).start(&transport())
    }

    /// The pauses between the token requests.
    fn pauses(&self) -> Vec<Duration> {
        lock(&self.polls).windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    fn polls(&self) -> usize {
        lock(&self.polls).len()
    }
}

fn pending() -> Vec<u8> {
    answer(400, "", PENDING)
}

/// The answer with the codes, with one member replaced.
fn with(from: &str, to: &str) -> String {
    let codes = CODES.replace(from, to);
    assert_ne!(codes, CODES, "{from}");
    codes
}

#[test]
fn login_sends_scope_once_parameters_always_and_returns_the_tokens() {
    let device = Device::new(CODES, vec![pending(), answer(200, "", TOKENS)]);
    let flow = device.flow(ClientAuth::secret_basic("i d", "s+1")).with_scope("a").with_scope("b c");
    let flow = flow.with_parameter("audience", "x y").with_secret_parameter("key", "k&-s3cr3t");
    let before = SystemTime::now();
    let login = flow.start(&transport()).unwrap();
    assert_eq!(login.user_code(), Some("WDJB-MJHT"));
    assert_eq!(login.verification_uri(), "https://as.example/device");
    assert_eq!(login.url(), "https://as.example/device?c=WDJB-MJHT");
    let valid = login.expires_at().unwrap().duration_since(before).unwrap();
    assert!((600..630).contains(&valid.as_secs()), "{valid:?}");
    login.can_wait().unwrap();
    let shown = format!("{login:?} {flow:?}");
    assert!(!shown.contains("s3cr3t") && !shown.contains("d3v1ce"), "{shown}");

    let token = login.wait(WAIT).unwrap();
    assert_eq!(token.access_token().expose(), b"acc");
    assert_eq!(token.refresh_token().unwrap().expose(), b"ref");
    let requests = device.server.requests();
    let sent: Vec<_> = requests
        .iter()
        .map(|request| {
            assert_eq!(request.header("authorization"), Some("Basic aStkOnMlMkIx"));
            assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
            let line = request.head.lines().next().unwrap();
            format!("{line} {}", String::from_utf8_lossy(&request.body))
        })
        .collect();
    let poll = "POST /token HTTP/1.1 grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code\
                &device_code=d3v1ce-c0de&audience=x+y&key=k%26-s3cr3t";
    assert_eq!(sent, ["POST /device HTTP/1.1 scope=a+b+c&audience=x+y&key=k%26-s3cr3t", poll, poll]);
}

#[test]
fn each_client_authentication_fits_and_an_assertion_is_for_the_token_url() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    for (auth, client) in [
        (ClientAuth::none("id"), Some("client_id=id&")),
        (ClientAuth::secret_post("id", "s"), Some("client_id=id&client_secret=s&")),
        (ClientAuth::secret_jwt("id", KEY), None),
    ] {
        let device = Device::new(CODES, vec![answer(200, "", TOKENS)]);
        device.flow(auth).with_parameter("a", "b").start(&transport()).unwrap().wait(WAIT).unwrap();
        let requests = device.server.requests();
        assert_eq!(requests.len(), 2);
        for request in &requests {
            let Some(client) = client else {
                let claims = request.form("client_assertion").unwrap().split('.').nth(1).unwrap();
                let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
                assert!(claims.contains(&format!(r#""aud":"{}/token""#, device.server.origin())), "{claims}");
                continue;
            };
            let body = String::from_utf8_lossy(&request.body);
            assert!(body.starts_with(client) && body.ends_with("a=b"), "{body}");
        }
    }
}

#[test]
fn verification_uri_is_read_under_both_names_and_stands_in_for_a_missing_complete_one() {
    for codes in [
        CODES.replace("verification_uri_complete", "unknown"),
        CODES.replace("verification_uri_complete", "unknown").replace("verification_uri", "verification_url"),
        // A complete URI that cannot be opened is ignored, because the code can be entered by hand.
        CODES.replace("https://as.example/device?c", "javascript:c"),
        CODES.replace("https://as.example/device?c", "https://as.example@evil.example/device?c"),
        CODES.replace("https://as.example/device?c", r"https://as.example/\u001b"),
        CODES.replace(r#""https://as.example/device?c=WDJB-MJHT""#, "7"),
    ] {
        let device = Device::new(&codes, vec![pending()]);
        let login = device.start().unwrap();
        assert_eq!([login.url(), login.verification_uri()], ["https://as.example/device"; 2], "{codes}");
    }
}

#[test]
fn a_slow_down_adds_five_seconds_to_the_interval_that_polls_keep() {
    let slow = || answer(400, "", r#"{"error":"slow_down"}"#);
    let cases: [Case; 5] = [
        (CODES.into(), vec![pending(), pending(), answer(200, "", TOKENS)], &[1, 1]),
        (CODES.into(), vec![slow(), pending(), answer(200, "", TOKENS)], &[6, 6]),
        // With an interval of 0 there is still a pause of 1 s.
        (with(":1}", ":0}"), vec![pending(), answer(200, "", TOKENS)], &[1]),
        (with(":1}", ":\"2\"}"), vec![pending(), answer(200, "", TOKENS)], &[2]),
        // The server may ask for a longer pause with `Retry-After`, in any answer.
        (CODES.into(), vec![answer(400, "Retry-After: 3", PENDING), answer(200, "", TOKENS)], &[3]),
    ];
    in_parallel(&cases, |(codes, answers, expected)| {
        let device = Device::new(codes, answers.clone());
        let login = device.start().unwrap();
        let start = Instant::now();
        login.wait(WAIT).unwrap();
        let first = lock(&device.polls)[0] - start;
        assert!(first >= Duration::from_millis(990), "the first request waits too: {first:?}");
        let pauses = device.pauses();
        assert_eq!(pauses.len(), expected.len(), "{codes}: {pauses:?}");
        for (pause, expected) in pauses.iter().zip(*expected) {
            let least = Duration::from_secs(*expected);
            assert!(*pause >= least && *pause < least + Duration::from_secs(4), "{codes}: {pauses:?}");
        }
    });
}

#[test]
fn interval_that_is_negative_or_text_or_absent_is_five_seconds() {
    let cases =
        ["", r#","interval":-1"#, r#","interval":"soon""#, r#","interval":null"#, r#","interval":{}"#];
    in_parallel(&cases, |interval| {
        let codes = with(",\"interval\":1", interval);
        let device = Device::new(&codes, vec![pending()]);
        // The first request would be made after 5 s.
        let within = Duration::from_millis(4_900);
        let text = format!(
            "could not log in at {}: nobody logged in within 4.9 s; open the login URL and follow it to its end in time",
            device.server.origin()
        );
        let start = Instant::now();
        fails(device.start().unwrap().wait(within), ErrorKind::Timeout, &text, interval);
        assert!(start.elapsed() < Duration::from_secs(3), "it ends at once: no request would be in time");
        assert_eq!(device.polls(), 0, "{interval}");
        let login = device.start().unwrap();
        assert!(login.poll().unwrap().is_none());
        thread::sleep(Duration::from_millis(2_500));
        assert!(login.poll().unwrap().is_none());
        assert_eq!(device.polls(), 1, "{interval}");
    });
}

#[test]
fn lost_connections_429_and_5xx_do_not_end_the_wait() {
    let unavailable = || vec![Step::Read, send(answer(503, "", ""))];
    let cases = [
        // The pauses are 1 and 2 s, and after two failures 4 s.
        (vec![vec![Step::Reset]], 3),
        (vec![vec![Step::Read]], 3),
        (vec![unavailable()], 3),
        (vec![vec![Step::Reset], unavailable()], 7),
    ];
    in_parallel(&cases, |(failures, least)| {
        let script = failures.clone();
        let lost = Server::scripted(move |connection| match connection.checked_sub(1) {
            None => vec![Step::Read, send(answer(200, "", CODES))],
            Some(poll) => {
                script.get(poll).cloned().unwrap_or_else(|| vec![Step::Read, send(answer(200, "", TOKENS))])
            }
        });
        let origin = lost.origin();
        let flow =
            DeviceCode::new(format!("{origin}/device"), format!("{origin}/token"), ClientAuth::none("id"));
        let login = flow.start(&transport()).unwrap();
        let start = Instant::now();
        assert_eq!(login.wait(WAIT).unwrap().access_token().expose(), b"acc");
        assert!(start.elapsed() >= Duration::from_secs(*least), "{least}: {:?}", start.elapsed());
        assert_eq!(lost.requests().len(), failures.len() + 2, "one request each, none repeated at once");
    });
}

#[test]
fn retry_after_of_429_and_503_is_waited_for() {
    let cases: [(_, &[_]); 2] = [
        (vec![answer(429, "Retry-After: 3", ""), pending(), answer(200, "", TOKENS)], &[3, 1]),
        (vec![answer(503, "Retry-After: 4", PENDING), answer(200, "", TOKENS)], &[4]),
    ];
    in_parallel(&cases, |(answers, expected)| {
        let device = Device::new(CODES, answers.clone());
        device.start().unwrap().wait(WAIT).unwrap();
        let pauses: Vec<_> = device.pauses().iter().map(Duration::as_secs).collect();
        assert_eq!(pauses, *expected);
    });
}

#[test]
fn retry_after_that_does_not_fit_ends_the_wait_at_once() {
    let device = Device::new(CODES, vec![answer(429, "Retry-After: 100", "")]);
    let start = Instant::now();
    let error = device.start().unwrap().wait(Duration::from_secs(30)).unwrap_err();
    let text = format!(
        "could not get the token of the login from {}: the server asked to slow down (HTTP 429); try again in 100 s",
        device.server.origin()
    );
    assert_eq!((error.to_string(), error.kind()), (text, ErrorKind::RateLimited));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(100)));
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn slow_down_without_end_ends_when_the_code_expires_or_the_deadline_passes() {
    let slow = || vec![answer(400, "", r#"{"error":"slow_down"}"#)];
    let expires = || {
        let device = Device::new(&with(":600", ":4"), slow());
        let text = format!(
            "could not log in at {}: nobody logged in before the code expired; log in again",
            device.server.origin()
        );
        fails(device.start().unwrap().wait(WAIT), ErrorKind::LoginRequired, &text, "expired");
        assert_eq!(device.polls(), 1);
    };
    let passes = || {
        let device = Device::new(CODES, slow());
        let error = device.start().unwrap().wait(Duration::from_secs(8)).unwrap_err();
        assert_eq!((error.kind(), device.polls()), (ErrorKind::Timeout, 2), "{error}");
    };
    thread::scope(|scope| {
        scope.spawn(expires);
        scope.spawn(passes);
    });
}

#[test]
fn login_that_is_denied_or_expired_must_be_made_again() {
    for (body, kind, what) in [
        (
            r#"{"error":"access_denied","error_description":"no"}"#,
            ErrorKind::LoginRequired,
            "the server refused (HTTP 400): access_denied: no; log in again and allow the access",
        ),
        (
            r#"{"error":"expired_token"}"#,
            ErrorKind::LoginRequired,
            "the server refused (HTTP 400): expired_token; log in again",
        ),
        (
            r#"{"error":"invalid_grant"}"#,
            ErrorKind::LoginRequired,
            "the server refused (HTTP 400): invalid_grant; log in again",
        ),
        (
            r#"{"error":"invalid_client"}"#,
            ErrorKind::Refused,
            "the server refused (HTTP 400): invalid_client; check the client id and secret",
        ),
    ] {
        let device = Device::new(CODES, vec![answer(400, "", body)]);
        let login = device.start().unwrap();
        let text = format!("could not get the token of the login from {}: {what}", device.server.origin());
        fails(login.poll(), kind, &text, body);
        // The login has ended, so nothing more is sent.
        fails(login.poll(), kind, &text, body);
        fails(login.wait(WAIT), kind, &text, body);
        assert_eq!(device.polls(), 1, "{body}");
        assert_eq!(kind == ErrorKind::LoginRequired, kind.exit_status() == 3);
    }
}

#[test]
fn poll_asks_no_sooner_than_allowed_and_returns_the_token_once() {
    let device = Device::new(CODES, vec![pending(), answer(200, "", TOKENS)]);
    let login = device.start().unwrap();
    let start = Instant::now();
    let token = loop {
        if let Some(token) = login.poll().unwrap() {
            break token;
        }
        thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(token.access_token().expose(), b"acc");
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(device.polls(), 2);
    let text = "the login has ended: an earlier call returned its token";
    fails(login.poll(), ErrorKind::InvalidInput, text, "a second time");
    fails(login.wait(WAIT), ErrorKind::InvalidInput, text, "a second time");
    assert_eq!(device.polls(), 2);
}

#[test]
fn answer_that_cannot_be_used_ends_the_login_and_is_in_the_error() {
    let device = Device::new(CODES, vec![answer(200, "", r#"{"access_token":"a b"}"#)]);
    let login = device.start().unwrap();
    let error = login.poll().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    assert_eq!(error.unsaved().unwrap().expose(), br#"{"access_token":"a b"}"#);
}

/// A server that has sent half an answer may count the device code as used (RFC 8628 3.5).
#[test]
fn answer_that_was_cut_off_is_not_lost_when_the_login_ends_later() {
    let whole = answer(200, "", TOKENS);
    let half = &whole[..whole.len() - 9];
    let body = &TOKENS.as_bytes()[..TOKENS.len() - 9];
    let chunks = [&b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n"[..], body].concat();
    let refusal = |code: &str| answer(400, "", format!(r#"{{"error":"{code}"}}"#));
    let [used, denied] = ["invalid_grant", "access_denied"].map(refusal);
    let kinds = [
        ("half a body", vec![half.to_vec(), used.clone()], half),
        ("half a chunk", vec![chunks.clone(), used.clone()], &chunks),
        ("half a header", vec![whole[..20].to_vec(), used.clone()], &whole[..20]),
        (
            "the longest of several",
            vec![whole[..20].to_vec(), half.to_vec(), whole[..20].to_vec(), used],
            half,
        ),
        ("between others", vec![pending(), half.to_vec(), pending(), denied], half),
        ("until the code expires", vec![half.to_vec(), pending()], half),
        ("until the end", vec![half.to_vec()], half),
    ];
    let cases: Vec<_> = kinds.iter().flat_map(|kind| [(kind, false), (kind, true)]).collect();
    in_parallel(&cases, |((case, answers, kept), is_stored)| {
        let replies = answers.clone();
        let codes = with(":600", ":8");
        let server = Server::scripted(move |connection| {
            let reply = match connection.checked_sub(1) {
                None => answer(200, "", &codes),
                Some(poll) => replies[poll.min(replies.len() - 1)].clone(),
            };
            vec![Step::Read, send(reply)]
        });
        let folder = Folder::new();
        let origin = server.origin();
        let flow =
            DeviceCode::new(format!("{origin}/device"), format!("{origin}/token"), ClientAuth::none("id"));
        let mut login = flow.start(&transport()).unwrap();
        if *is_stored {
            let name = RecordName::new("acme", &origin, "id").unwrap();
            login = login.with_store(Arc::new(folder.store()), name);
        }
        let error = login.wait(WAIT).unwrap_err();
        if !is_stored {
            assert_eq!(error.unsaved().expect(case).expose(), *kept, "{case}: {error}");
            return;
        }
        assert!(error.unsaved().is_none(), "{case}: {error}");
        let text = error.to_string();
        let files = text.split("the received answer is kept in ").skip(1);
        let files: Vec<_> = files.map(|rest| rest.split("; ").next().unwrap()).collect();
        let contents: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
        assert!(contents.iter().any(|content| content == kept), "{case}: {text}");
        let cut: HashSet<_> = answers.iter().filter(|answer| kept.starts_with(answer)).collect();
        assert_eq!(contents.len(), cut.len(), "{case}: each file is named once: {text}");
    });
}

#[test]
fn device_login_has_no_callback_and_a_browser_login_is_not_polled() {
    let device = Device::new(CODES, vec![pending()]);
    let mut login = device.start().unwrap();
    let text = "a device login has no callback URL: wait for it, or poll it";
    fails(login.can_finish("https://app.example/?code=c"), ErrorKind::InvalidInput, text, "can_finish");
    fails(login.one_time_url(), ErrorKind::InvalidInput, text, "one_time_url");
    fails(login.finish("https://app.example/?code=c"), ErrorKind::InvalidInput, text, "finish");
    let closed = "http://127.0.0.1:1/";
    let browser = AuthorizationCode::new(closed, closed, ClientAuth::none("id"), "app:/cb");
    let login = browser.start(&transport()).unwrap();
    let text = "a login with a browser cannot be polled: wait for it, or finish it";
    fails(login.poll(), ErrorKind::InvalidInput, text, "poll");
    assert_eq!((login.user_code(), login.expires_at()), (None, None));
    assert_eq!(login.verification_uri(), login.url());
}

#[test]
fn clock_that_is_set_while_waiting_changes_nothing() {
    let device = Device::new(CODES, vec![pending(), pending(), answer(200, "", TOKENS)]);
    let clock = Clock::manual(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    let transport = transport().with_clock(clock.clone());
    let login = device.flow(ClientAuth::none("id")).start(&transport).unwrap();
    let setter = thread::spawn(move || {
        for by in [86_400 * 365, 0, 2 * 86_400 * 365] {
            thread::sleep(Duration::from_millis(700));
            clock.set(SystemTime::UNIX_EPOCH + Duration::from_secs(by));
        }
    });
    let start = Instant::now();
    login.wait(WAIT).unwrap();
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(10), "{took:?}");
    setter.join().unwrap();
}

#[test]
fn assertion_of_a_poll_is_not_signed_again_while_the_login_is_pending() {
    let date = format!("Date: {}", httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(7200)));
    let device = Device::new(CODES, vec![answer(400, &date, PENDING), answer(200, &date, TOKENS)]);
    device.flow(ClientAuth::secret_jwt("id", KEY)).start(&transport()).unwrap().wait(WAIT).unwrap();
    assert_eq!(device.polls(), 2, "a request that is signed again would be too soon");
    assert!(device.pauses()[0] >= Duration::from_secs(1));
}

#[test]
fn bad_answers_of_the_device_authorization_endpoint_have_an_error_each() {
    let long = |len: usize| "A".repeat(len);
    for (body, what) in [
        ("codes".to_owned(), "it is not a JSON object"),
        ("[]".to_owned(), "it is not a JSON object"),
        (String::new(), "it is not a JSON object"),
        (with("\"device_code\"", "\"d\""), "it has no device_code"),
        (with("\"d3v1ce-c0de\"", "7"), "it has no device_code"),
        (with("d3v1ce-c0de", ""), "its device_code is empty, too long or no text"),
        (with("d3v1ce-c0de", &long(16 * 1024 + 1)), "its device_code is empty, too long or no text"),
        (with("d3v1ce-c0de", r"d\n"), "its device_code is empty, too long or no text"),
        (with("\"user_code\"", "\"u\""), "it has no user_code"),
        (with("\"WDJB-MJHT\",", "null,"), "it has no user_code"),
        (
            with("\"WDJB-MJHT\",", "\"  \\u00a0\u{200b}\","),
            "its user_code is empty or has characters that cannot be shown",
        ),
        (with("\"WDJB-MJHT\",", "\"\","), "its user_code is empty or has characters that cannot be shown"),
        (
            with("\"WDJB-MJHT\",", r#""W\u001b[2J","#),
            "its user_code is empty or has characters that cannot be shown",
        ),
        (
            with("\"WDJB-MJHT\",", r#""W\u202eJ","#),
            "its user_code is empty or has characters that cannot be shown",
        ),
        (with("\"WDJB-MJHT\",", &format!("\"{}\",", long(65))), "its user_code is longer than 64 bytes"),
        (with("\"WDJB-MJHT\",", &format!("\"{}\",", long(20_000))), "its user_code is longer than 64 bytes"),
        (with("\"verification_uri\"", "\"v\""), "it has no verification_uri"),
        (with("\"https://as.example/device\"", "true"), "it has no verification_uri"),
        (
            with("\"https://as.example/device\"", r#""javascript:alert(1)""#),
            "its verification_uri is no http or https URL",
        ),
        (
            with("\"https://as.example/device\"", r#""/device""#),
            "its verification_uri is no http or https URL",
        ),
        (
            with("\"https://as.example/device\"", r#""ftp://as.example/""#),
            "its verification_uri is no http or https URL",
        ),
        // The host of this URL is evil.example (RFC 9110 4.2.4).
        (
            with("\"https://as.example/device\"", r#""https://as.example@evil.example/""#),
            "its verification_uri is no http or https URL",
        ),
        (
            with("\"https://as.example/device\"", r#""https://as.example:443@evil.example""#),
            "its verification_uri is no http or https URL",
        ),
        (
            with("\"https://as.example/device\"", r#""https://as.example/\u001b[2J""#),
            "its verification_uri is no http or https URL",
        ),
        (with("\"expires_in\"", "\"e\""), "it has no expires_in"),
        (with(":600", ":null"), "its expires_in is no number"),
        (with(":600", ":\"soon\""), "its expires_in is no number"),
        (with(":600", ":0"), "its expires_in is not positive"),
        (with(":600", ":-1"), "its expires_in is not positive"),
        (with(":1}", ":3601}"), "its interval is more than an hour"),
        (with(":1}", ":1e300}"), "its interval is more than an hour"),
    ] {
        let length = body.len();
        let device = Device::new(&body, vec![pending()]);
        let text = format!(
            "could not start a device login at {}: the answer (HTTP 200, {length} bytes) makes no sense: {what}; check the URL",
            device.server.origin()
        );
        fails(device.start(), ErrorKind::Protocol, &text, &body);
        assert_eq!(device.server.requests().len(), 1, "{body}");
    }
}

#[test]
fn byte_order_mark_empty_error_and_repeated_members_of_an_answer_do_not_matter() {
    for codes in [
        format!("\u{feff}{CODES}"),
        // The last one of two equal members counts (RFC 8259 4).
        with(
            "{\"device_code\"",
            r#"{"device_code":7,"user_code":"","interval":60,"expires_in":0,"device_code""#,
        ),
        with(
            "{\"device_code\"",
            r#"{"verification_uri":"javascript:x","device\u005fcode":"other","device_code""#,
        ),
        with("{", r#"{"error":"slow_down","error":false,"#),
    ]
    .into_iter()
    .chain(
        ["false", "null", "0", "\"\"", "{}", "[]"]
            .map(|none| with("{", &format!("{{\"error\":{none},\"error_description\":\"x\","))),
    ) {
        let device = Device::new(
            &codes,
            vec![answer(
                200,
                "",
                format!("\u{feff}{}", TOKENS.replace('{', r#"{"error":[],"access_token":1,"#)),
            )],
        );
        let login = device.start().expect(&codes);
        assert_eq!(
            [login.url(), login.user_code().unwrap()],
            ["https://as.example/device?c=WDJB-MJHT", "WDJB-MJHT"]
        );
        // The first poll asks at once.
        assert_eq!(login.poll().unwrap().expect(&codes).access_token().expose(), b"acc");
        assert_eq!(device.server.requests()[1].form("device_code"), Some("d3v1ce-c0de"), "{codes}");
    }
}

#[test]
fn huge_answer_and_a_huge_lifetime_are_handled() {
    let device = Device::new(&with(":600", ":1e300"), vec![pending()]);
    let login = device.start().unwrap();
    assert!(login.expires_at().unwrap() > SystemTime::now() + Duration::from_secs(50 * 365 * 86_400));
    let device = Device::new(&format!("{CODES}{}", " ".repeat(1024 * 1024)), vec![pending()]);
    let text = format!(
        "could not start a device login at {}: the answer is longer than 1 MiB; check the URL",
        device.server.origin()
    );
    let result = device.start();
    assert_eq!(result.as_ref().err().and_then(Error::status), Some(200));
    fails(result, ErrorKind::Protocol, &text, "1 MiB");
}

#[test]
fn refusal_of_the_device_authorization_request_is_reported() {
    for (status, body, kind, what) in [
        (
            401,
            r#"{"error":"invalid_client"}"#,
            ErrorKind::Refused,
            "the server refused (HTTP 401): invalid_client; check the client id and secret",
        ),
        (
            400,
            r#"{"error":"invalid_scope"}"#,
            ErrorKind::Refused,
            "the server refused (HTTP 400): invalid_scope; check the scopes",
        ),
        (
            200,
            r#"{"error":"unauthorized_client"}"#,
            ErrorKind::Refused,
            "the server refused (HTTP 200): unauthorized_client; check that this client may use this grant",
        ),
        (404, "", ErrorKind::Refused, "the server refused (HTTP 404); check the URL"),
    ] {
        let server = Server::answering(move |_| answer(status, "", body));
        let flow = DeviceCode::new(server.origin(), server.origin(), ClientAuth::none("id"));
        let text = format!("could not start a device login at {}: {what}", server.origin());
        fails(flow.start(&transport()), kind, &text, body);
    }
}

#[test]
fn bad_setting_is_refused_before_anything_is_sent() {
    let server = Server::answering(|_| answer(200, "", CODES));
    let url = server.origin();
    let flow = || DeviceCode::new(&url, &url, ClientAuth::none("id"));
    let sends = |name: &str| format!("the parameter {name} is one that the flow itself sends: remove it");
    let at = |device: &str, token: &str| DeviceCode::new(device, token, ClientAuth::none("id"));
    let plain = "is plain http, which is allowed for 127.0.0.1, [::1] and localhost only: use https";
    for (flow, text) in [
        (at("", &url), "the device authorization URL is empty".to_owned()),
        (at("http://as.example/", &url), format!("the device authorization URL {plain}")),
        (at(&url, "http://as.example/"), format!("the token URL {plain}")),
        (DeviceCode::new(&url, &url, ClientAuth::none("")), "the client id is empty".to_owned()),
        (
            DeviceCode::new(&url, &url, ClientAuth::secret_basic("id", "")),
            "the client secret is empty".to_owned(),
        ),
        (flow().with_parameter("device_code", "x"), sends("device_code")),
        (flow().with_parameter("grant_type", "x"), sends("grant_type")),
        (flow().with_parameter("scope", "x"), sends("scope")),
        (flow().with_secret_parameter("client_id", "x"), sends("client_id")),
        (
            flow().with_parameter("a", "x\n"),
            "the parameter a holds a control character at byte 1: a trailing newline, perhaps, from reading a file?"
                .to_owned(),
        ),
        (flow().with_scope("\""), "the scope holds a character that RFC 6749 3.3 does not allow".to_owned()),
    ] {
        fails(flow.start(&transport()), ErrorKind::InvalidInput, &text, &format!("{flow:?}"));
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn service_logs_in_by_device_code_keeps_the_tokens_and_refreshes_them() {
    let device = Device::new(
        CODES,
        vec![
            pending(),
            answer(200, "", r#"{"access_token":"acc","refresh_token":"ref","expires_in":1}"#),
            answer(200, "", r#"{"access_token":"next","expires_in":3600}"#),
        ],
    );
    let folder = Folder::new();
    let origin = device.server.origin();
    let service = || {
        Service::builder("acme")
            .api_url("https://api.acme.example")
            .token_url(format!("{origin}/token"))
            .set("device_authorization_url", format!("{origin}/device"))
            .device_code(ClientAuth::none("id"))
            .scope("things.read")
            .parameter("audience", "x")
            .transport(transport())
            .store(folder.store())
            .build()
            .unwrap()
    };
    let acme = service();
    assert_eq!(acme.grant(), "device_code");
    let login = acme.start_login_for("a b").unwrap();
    assert_eq!(login.user_code(), Some("WDJB-MJHT"));
    drop(login);
    let login = acme.start_login().unwrap();
    let token: Token = login.wait(WAIT).unwrap();
    // Saved before `wait` returned.
    assert!(service().source().resume().unwrap());
    acme.finish_login(token).unwrap();
    thread::sleep(Duration::from_millis(1_100));
    assert_eq!(acme.source().token(Duration::ZERO).unwrap().access_token().expose(), b"next");
    let requests = device.server.requests();
    let forms: Vec<_> = requests.iter().map(|request| String::from_utf8_lossy(&request.body)).collect();
    let poll = "client_id=id&grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=d3v1ce-c0de&audience=x";
    assert_eq!(
        forms,
        [
            "client_id=id&scope=a+b&audience=x",
            "client_id=id&scope=things.read&audience=x",
            poll,
            poll,
            "client_id=id&grant_type=refresh_token&refresh_token=ref&audience=x"
        ]
    );
}

/// The pattern of docs/other-services.md.
#[test]
fn authorization_says_that_a_person_has_to_log_in_and_resume_does_not() {
    let server = Server::answering(|request| {
        if is_start(request) {
            answer(200, "", CODES)
        } else if request.form("refresh_token").is_some() {
            answer(400, "", r#"{"error":"invalid_grant"}"#)
        } else {
            answer(200, "", TOKENS)
        }
    });
    let folder = Folder::new();
    let run = || {
        let url = |path| format!("{}/{path}", server.origin());
        let service = Service::builder("acme").api_url(server.origin()).token_url(url("token"));
        let service = service.device_authorization_url(url("device")).device_code(ClientAuth::none("id"));
        service.store(folder.store()).build().unwrap()
    };
    let nobody = "nobody has logged in to the service `acme` with this client and profile: log in first";
    fails(run().authorization(), ErrorKind::LoginRequired, nobody, "nobody");
    assert!(!run().source().resume().unwrap());
    assert_eq!(server.requests().len(), 0);

    let old = Token::new("old", SystemTime::UNIX_EPOCH).unwrap().with_refresh_token("ended");
    run().finish_login(old.with_expires_at(SystemTime::UNIX_EPOCH + Duration::from_secs(1))).unwrap();
    let text = format!(
        "could not renew the access token at {}: the server refused (HTTP 400): invalid_grant; log in again",
        server.origin()
    );
    for _ in 0..2 {
        let service = run();
        fails(service.authorization(), ErrorKind::LoginRequired, &text, "ended");
        assert!(service.source().resume().unwrap(), "the tokens stay until a login replaces them");
    }
    let service = run();
    let login = service.start_login().unwrap();
    service.finish_login(login.poll().unwrap().unwrap()).unwrap();
    let sent = server.requests().len();
    assert_eq!(run().authorization().unwrap().expose(), b"Bearer acc");
    assert_eq!(server.requests().len(), sent, "a valid token in the store is used as it is");
}
