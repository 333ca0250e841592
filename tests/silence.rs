//! No secret in any text that comes out: errors, `Debug`, panics, logs. Marked ones are planted.

#![allow(clippy::disallowed_methods, reason = "the server's faults take their time")]

mod support;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::error::Error as _;
use std::fmt::{Debug, Display, Write as _};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Once};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use keyfob::flow::{AppCredentials, AuthorizationCode, BasicToken, ClientAssertion, Refresh, Revoke};
use keyfob::{
    AgentBuilder, Auth, Basic, CachingSource, ClientAuth, ClientCredentials, ClientSecretBasic,
    CredentialsFile, Error, Http, Secret, SpatiaFi, Token, TokenSource, classify, spatiafi,
};
use log::{LevelFilter, Log, Metadata, Record};
use serde_json::json;
use support::*;

// Punctuation in between, so that an encoding changes them everywhere.
const PASSWORD: &str = "pa5$W0rd/mark+q8=Zk&3v%T7~x!e";
const CLIENT_SECRET: &str = "cS1/9x&Kd-mark+Wq3=p7%Lz/5$b8~Yh2";
const ACCESS_TOKEN: &str = "aT4/hN8+mark=Bv2~Xc6-Rj1/Ud9+Se5";
const REFRESH_TOKEN: &str = "rT6/fM3+mark=Gw9~Zi4-Po7/Ln2+Ka8";
const NEW_SECRET: &str = "nS8/yQ5+mark=Ht1~Ve7-Cx3/Jb6+Mu4";
const CODE: &str = "cO3/vB1+mark=Lk8~Qs5-Tw6/Fd2+Zp4";
// Assertions and PKCE verifiers are made anew for each try: they are taken from what the server saw.

/// What a caller says who did not expect an error.
const PANIC: &str = "there should have been no error";

/// So many bytes in a row of a secret are too many.
const PIECE: usize = 12;

thread_local! {
    /// What was logged below `trace`, or said in a panic of a caller's, on the thread that called.
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

fn note(text: impl Display) {
    SAID.with_borrow_mut(|said| {
        let _ = writeln!(said, "{text}");
    });
}

struct Collect;

impl Log for Collect {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        note(format_args!("{} {}: {}", record.level(), record.target(), record.args()));
    }

    fn flush(&self) {}
}

fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Collect).unwrap();
        log::set_max_level(LevelFilter::Debug);
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let text = info.to_string();
            // Those of a failing test are for the reader.
            if text.contains(PANIC) {
                note(text);
            } else {
                usual(info);
            }
        }));
    });
}

/// What gives a secret away: pieces of it, raw, percent-encoded and in base64 at each of three offsets.
fn marks(secret: &str) -> Vec<Vec<u8>> {
    let pieces =
        |text: &str, size: usize| text.as_bytes().windows(size).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let mut marks = pieces(secret, PIECE);
    for encode in [upper as fn(u8) -> String, lower] {
        marks.extend(pieces(&secret.bytes().map(encode).collect::<String>(), 3 * PIECE));
        marks.extend(pieces(&encoded(secret, encode), PIECE));
    }
    for text in in_base64(secret) {
        // What depends on the bytes around it is left out.
        marks.extend(pieces(&text[4..text.len() - 4], PIECE / 3 * 4));
    }
    marks
}

fn upper(byte: u8) -> String {
    format!("%{byte:02X}")
}

fn lower(byte: u8) -> String {
    format!("%{byte:02x}")
}

/// Percent-encodes what is no letter and no digit.
fn encoded(text: &str, encode: fn(u8) -> String) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { encode(b) })
        .collect()
}

fn in_base64(text: &str) -> Vec<String> {
    let offsets = ["", ":", "::"].map(|before| format!("{before}{text}"));
    offsets.iter().flat_map(|text| [STANDARD.encode(text), URL_SAFE_NO_PAD.encode(text)]).collect()
}

/// The secrets that nobody may hear of on this thread.
struct Silence {
    secrets: Vec<String>,
}

impl Silence {
    fn new() -> Self {
        listen();
        let secrets =
            [PASSWORD, CLIENT_SECRET, ACCESS_TOKEN, REFRESH_TOKEN, NEW_SECRET, CODE].map(str::to_owned);
        SAID.take();
        Self { secrets: secrets.into_iter().chain([basic()]).collect() }
    }

    /// The assertions and verifiers that a server saw are secret too.
    fn knows(&mut self, server: &Server) {
        let requests = server.requests();
        let made = ["client_assertion", "code_verifier"];
        let made = requests.iter().flat_map(|request| made.iter().filter_map(|name| request.form(name)));
        self.secrets.extend(made.map(str::to_owned));
    }

    #[track_caller]
    fn holds(&self) {
        assert_eq!(self.broken(), None);
    }

    /// The line that gave a secret away, and the secret.
    fn broken(&self) -> Option<(String, &str)> {
        let said = SAID.take();
        assert!(said.len() > 100, "something was said: {said}");
        let mut marked: HashMap<usize, HashMap<Vec<u8>, &str>> = HashMap::new();
        for secret in &self.secrets {
            for mark in marks(secret) {
                marked.entry(mark.len()).or_default().insert(mark, secret);
            }
        }
        said.lines().collect::<HashSet<_>>().into_iter().find_map(|line| {
            let mut pieces =
                marked.iter().flat_map(|(len, marks)| line.as_bytes().windows(*len).map(|it| marks.get(it)));
            pieces.find_map(|secret| Some((line.to_owned(), *secret?)))
        })
    }
}

fn show(value: &dyn Debug) {
    note(format_args!("{value:?}\n{value:#?}"));
}

/// Shows a result in every way there is.
fn tell<T: Debug>(result: Result<T, Error>) {
    show(&result);
    let Err(error) = &result else { return };
    note(error);
    note(error.oauth_error().unwrap_or_default());
    let mut cause = error.source();
    while let Some(error) = cause {
        note(format_args!("{error} {error:?}"));
        cause = error.source();
    }
    let panicked = panic::catch_unwind(AssertUnwindSafe(|| drop(result.expect(PANIC))));
    note(panicked.unwrap_err().downcast::<String>().expect("a text"));
}

/// What the header of HTTP Basic carries.
fn basic() -> String {
    STANDARD.encode(format!("ada:{PASSWORD}"))
}

fn both_tokens() -> Token {
    token(ACCESS_TOKEN).with_refresh_token(REFRESH_TOKEN)
}

/// An answer that is good for every flow, and full of secrets.
fn good() -> String {
    json!({
        "access_token": ACCESS_TOKEN, "token_type": "bearer", "refresh_token": REFRESH_TOKEN, "expires_in": 60,
        "client_id": "id", "client_secret": NEW_SECRET,
    })
    .to_string()
}

/// Runs every flow, a source and an agent, and shows what comes of it.
fn run_all(origin: &str, within: Duration) {
    let http = Http::new().with_timeout(within);
    let basic = BasicToken::new(origin, "ada", PASSWORD).unwrap();
    let assertion = ClientAssertion::new(origin, "id", CLIENT_SECRET).unwrap();
    tell(basic.run(&http));
    tell(assertion.run(&http));
    tell(AppCredentials::new(origin).unwrap().run(&http, &both_tokens(), |_| Ok(())));
    let unsaved = || Err(std::io::Error::other(NEW_SECRET));
    tell(AppCredentials::new(origin).unwrap().run(&http, &both_tokens(), |_| unsaved()));
    for client in [ClientAuth::body("id", CLIENT_SECRET), ClientAuth::basic("id", CLIENT_SECRET)] {
        let client = client.unwrap();
        show(&client);
        let flow = AuthorizationCode::new(origin, origin, client.clone(), "https://app.example/").unwrap();
        let login = flow.login(&http, ["scope"]).unwrap();
        show(&flow);
        show(&login);
        let state = login.url().split_once("&state=").unwrap().1.split('&').next().unwrap();
        let callback = format!("https://app.example/?code={}&state={state}", encoded(CODE, upper));
        tell(login.finish(&callback));
        let refresh = Refresh::new(origin, client.clone()).unwrap();
        show(&refresh);
        tell(refresh.run(&http, Some(&both_tokens())));
        tell(Revoke::new(origin, client).unwrap().run(&http, &REFRESH_TOKEN.into()));
    }
    tell(Revoke::in_query(origin).unwrap().run(&http, &REFRESH_TOKEN.into()));
    let source = CachingSource::new(http.clone(), assertion);
    tell(source.token(Duration::ZERO));
    show(&source);
    for auth in [
        Auth::Bearer(Arc::new(source)),
        Auth::Bearer(Arc::new(Fixed(ACCESS_TOKEN))),
        Auth::Basic(Basic::new("ada", PASSWORD).unwrap()),
    ] {
        let agent = AgentBuilder::new(http.clone(), auth).with_origin(origin).unwrap().with_deadline(within);
        show(&agent);
        let agent = agent.build().unwrap();
        show(&agent);
        for result in [agent.get(origin).call(), agent.post(origin).send(CLIENT_SECRET)] {
            show(&result);
            let read =
                result.and_then(|mut response| response.body_mut().with_config().limit(99).read_to_vec());
            if let Err(error) = read {
                note(&error);
                show(&error);
                tell(Err::<(), _>(classify(error)));
            }
        }
    }
}

#[test]
fn nothing_is_said_on_success_and_on_any_fault() {
    const SHORT: Duration = Duration::from_millis(150);
    const LONG: Duration = Duration::from_secs(5);
    let good = good();
    let whole = answer(200, "", &good);
    let refusal =
        |status| vec![Step::Read, send(answer(status, "Retry-After: 0\r\nLocation: /?token=secret", &good))];
    let scripts = [
        (vec![Step::Read, send(&whole)], LONG),
        (vec![Step::Read, send(&whole[..whole.len() - 2])], LONG),
        (vec![Step::Read, send(&whole[..whole.len() - 2]), Step::Hold], SHORT),
        (vec![Step::Read, Step::Hold], SHORT),
        (vec![Step::Read, send(&good)], LONG),
        (vec![Step::Read, send(format!("HTTP/1.1 200 OK\r\nA: {good}\0\r\n\r\n"))], LONG),
        (vec![Step::Read, send(answer(200, "", good.replace('}', "")))], LONG),
        (vec![Step::Read, send(answer(200, "", good.replace("bearer", "mac")))], LONG),
        (vec![Step::Read, send(answer(200, "", good.replace("\"id\"", "5")))], LONG),
        (vec![Step::Read, send(answer(200, "", json!([good]).to_string()))], LONG),
        (
            vec![
                Step::Read,
                send(format!(
                    "HTTP/1.1 200 {NEW_SECRET}\r\nTransfer-Encoding: chunked\r\n\r\n{NEW_SECRET}\r\n"
                )),
            ],
            LONG,
        ),
        (vec![Step::Read, Step::Flood(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), good.clone().into_bytes())], LONG),
        (vec![Step::Reset], LONG),
        (refusal(302), LONG),
        (refusal(400), LONG),
        (refusal(401), LONG),
        (refusal(403), LONG),
        (refusal(503), LONG),
    ];
    in_parallel(&scripts, |(script, within)| {
        let mut silence = Silence::new();
        let script = script.clone();
        let server = Server::scripted(move |_| script.clone());
        run_all(&server.origin(), *within);
        silence.knows(&server);
        silence.holds();
    });
}

#[test]
fn the_log_and_panics_are_listened_to() {
    listen();
    let server = Server::answering(|_| answer(400, "", ""));
    tell(BasicToken::new(&server.origin(), "ada", PASSWORD).unwrap().run(&Http::new()));
    let said = SAID.take();
    assert!(said.contains("DEBUG ureq::run: Request") && said.contains(&format!("{PANIC}: Error")), "{said}");
}

#[test]
fn a_piece_of_a_secret_would_be_heard_in_any_encoding() {
    let piece = &PASSWORD[7..7 + PIECE];
    let percent = [upper, lower].map(|encode| [piece.bytes().map(encode).collect(), encoded(piece, encode)]);
    let long = "pa5$W0rd/mark+q8=Zk";
    for text in percent.concat().into_iter().chain([piece.to_owned()]).chain(in_base64(long)) {
        let silence = Silence::new();
        note(format_args!("{:100}{text}", ""));
        assert!(silence.broken().is_some(), "{text}");
    }
}

#[test]
fn debug_shows_no_secret() {
    let silence = Silence::new();
    let http =
        Http::new().with_proxy(&format!("http://ada:{}@127.0.0.1:1", encoded(PASSWORD, upper))).unwrap();
    show(&http);
    show(&Secret::from(PASSWORD));
    show(&both_tokens());
    show(&Basic::new("ada", PASSWORD));
    show(&ClientSecretBasic::new("id", CLIENT_SECRET));
    show(&ClientCredentials::new("id", CLIENT_SECRET));
    show(&BasicToken::new("http://127.0.0.1/?token=secret", "ada", PASSWORD));
    show(&ClientAssertion::new("http://127.0.0.1/", "id", CLIENT_SECRET));
    show(
        &CachingSource::new(
            http.clone(),
            ClientAssertion::new("http://127.0.0.1/", "id", CLIENT_SECRET).unwrap(),
        )
        .with_token(both_tokens()),
    );
    let spatiafi = SpatiaFi::new(ClientCredentials::new("id", CLIENT_SECRET).unwrap());
    show(&spatiafi);
    show(&spatiafi.agent());
    show(&spatiafi::Login::new("ada", PASSWORD));
    show(&CredentialsFile::new("file"));
    let bearer = || Auth::Bearer(Arc::new(Fixed(ACCESS_TOKEN)));
    show(&bearer());
    show(&AgentBuilder::new(http, bearer()).with_origin("http://127.0.0.1/").unwrap().build());
    silence.holds();
}

#[test]
fn a_secret_in_a_header_of_the_agents_own_is_not_shown() {
    let silence = Silence::new();
    let agent = AgentBuilder::new(Http::new(), Auth::Bearer(Arc::new(Fixed(ACCESS_TOKEN))))
        .with_header("x-api-key", CLIENT_SECRET);
    show(&agent);
    silence.holds();
}

#[test]
fn what_cannot_be_used_is_not_repeated() {
    let silence = Silence::new();
    let bad = |secret: &str| format!("{secret}\r\n");
    tell(BasicToken::new("http://127.0.0.1/", "ada", bad(PASSWORD)));
    tell(BasicToken::new("http://127.0.0.1/", &bad(PASSWORD), "pass"));
    tell(ClientAssertion::new("http://127.0.0.1/", "id", bad(CLIENT_SECRET)));
    tell(ClientCredentials::new("id", bad(CLIENT_SECRET)));
    tell(ClientSecretBasic::new("id", bad(CLIENT_SECRET)));
    tell(Token::new(bad(ACCESS_TOKEN), SystemTime::UNIX_EPOCH));
    tell(AppCredentials::new(&format!("http://192.0.2.1/?token={}", encoded(ACCESS_TOKEN, upper))));
    tell(AppCredentials::new(&format!("https://ada:{}@127.0.0.1/", encoded(PASSWORD, upper))));
    tell(Http::new().with_proxy(&format!("socks5://ada:{}@127.0.0.1", encoded(PASSWORD, upper))));
    let agent = AgentBuilder::new(Http::new(), Auth::Bearer(Arc::new(Fixed(ACCESS_TOKEN))))
        .with_origin("http://127.0.0.1/");
    let agent = agent.unwrap().build().unwrap();
    for url in [
        "http://192.0.2.1/?token=",
        "https://ada:pass@127.0.0.1/?token=",
        "/?token=",
        "ftp://127.0.0.1/?token=",
        "https:///?token=",
    ] {
        let error = agent.get(format!("{url}{}", encoded(ACCESS_TOKEN, upper))).call().unwrap_err();
        note(&error);
        show(&error);
        tell(Err::<(), _>(classify(error)));
    }
    silence.holds();
}

/// Talks to a server that says back what it was sent, as `encode` gives it.
fn echo(encode: fn(&str) -> Vec<String>) {
    const FIELDS: usize = 6;
    let number = AtomicUsize::new(0);
    let server = Server::answering(move |request| {
        let sent = match (request.form("client_assertion"), request.method()) {
            (Some(assertion), _) => [CLIENT_SECRET.to_owned(), assertion.to_owned()],
            (None, "GET") => [PASSWORD.to_owned(), basic()],
            _ => [ACCESS_TOKEN.to_owned(), format!("Bearer {ACCESS_TOKEN}")],
        };
        let texts: Vec<String> = sent.iter().flat_map(|secret| encode(secret)).collect();
        // Each in each field, with each status in turn.
        let number = number.fetch_add(1, SeqCst);
        let text = &texts[number % texts.len()];
        let inside = format!("no \"{text}\", sorry");
        let body = match number / texts.len() % FIELDS {
            0 => json!({ "error": text }),
            1 => json!({ "error": "invalid_client", "error_description": inside }),
            2 => json!({ "error": "x", "detail": inside }),
            3 => json!({ "error": "x", "detail": [{ "loc": [text], "msg": inside, "type": text }] }),
            4 => json!({ "error": "x", "message": inside }),
            _ => json!({ "error": { "message": inside }, "error_uri": text }),
        };
        let headers = format!("WWW-Authenticate: Bearer error=\"{text}\"\r\nLocation: /{text}");
        answer([400, 401, 200, 302, 422][number % 5], &headers, body.to_string())
    });
    let mut silence = Silence::new();
    let (http, origin) = (Http::new(), server.origin());
    let basic = BasicToken::new(&origin, "ada", PASSWORD).unwrap();
    let assertion = ClientAssertion::new(&origin, "id", CLIENT_SECRET).unwrap();
    let app = AppCredentials::new(&origin).unwrap();
    let calls = 2 * encode(PASSWORD).len() * FIELDS;
    for _ in 0..calls {
        tell(basic.run(&http));
    }
    for _ in 0..calls {
        tell(assertion.run(&http));
    }
    for _ in 0..calls {
        tell(app.run(&http, &both_tokens(), |_| Ok(())));
    }
    silence.knows(&server);
    silence.holds();
}

#[test]
fn a_secret_that_the_server_repeats_is_withheld() {
    echo(|secret| vec![secret.to_owned(), secret[secret.len() / 2 - 6..][..13].to_owned()]);
}

#[test]
fn a_secret_that_the_server_repeats_percent_encoded_is_withheld() {
    echo(|secret| vec![encoded(secret, upper), encoded(secret, lower)]);
    echo(|secret| vec![secret.bytes().map(upper).collect(), secret.bytes().map(lower).collect()]);
}

#[test]
fn a_secret_that_the_server_repeats_in_base64_is_withheld() {
    echo(in_base64);
}

#[test]
fn an_answers_own_secrets_are_withheld() {
    for (name, secret) in
        [("access_token", ACCESS_TOKEN), ("refresh_token", REFRESH_TOKEN), ("client_secret", NEW_SECRET)]
    {
        for status in [200, 400] {
            let body = json!({ name: secret, "error": "x", "error_description": format!("{secret} is not active yet") });
            let server = Server::answering(move |_| answer(status, "", body.to_string()));
            let silence = Silence::new();
            run_all(&server.origin(), Duration::from_secs(5));
            silence.holds();
        }
    }
}
