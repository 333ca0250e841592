//! No secret appears in any text: errors, `Debug`, panics, logs. The secrets here are marked texts.

#![allow(clippy::disallowed_methods, reason = "the server's faults take their time")]

#[path = "support/folder.rs"]
mod folder;
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
use folder::Folder;
use keyfob::flow::{
    AuthorizationCode, ClientCredentials, DeviceCode, ExtensionGrant, Introspect, Refresh, Revoke,
};
use keyfob::spacebring::Partner;
use keyfob::spatiafi::{BasicToken, CreateClient};
use keyfob::{
    AgentBuilder, AppCredentials, Auth, Basic, CachingSource, ClientAuth, CredentialsFile, Error, Secret,
    Service, SpatiaFi, Token, TokenSource, Transport, spatiafi,
};
use log::{LevelFilter, Log, Metadata, Record};
use serde_json::json;
use support::*;

// The marks contain punctuation, so that each encoding changes them in many places.
const PASSWORD: &str = "pa5$W0rd/mark+q8=Zk&3v%T7~x!e";
const CLIENT_SECRET: &str = "cS1/9x&Kd-mark+Wq3=p7%Lz/5$b8~Yh2";
const ACCESS_TOKEN: &str = "aT4/hN8+mark=Bv2~Xc6-Rj1/Ud9+Se5";
const REFRESH_TOKEN: &str = "rT6/fM3+mark=Gw9~Zi4-Po7/Ln2+Ka8";
const NEW_SECRET: &str = "nS8/yQ5+mark=Ht1~Ve7-Cx3/Jb6+Mu4";
const CODE: &str = "cO3/vB1+mark=Lk8~Qs5-Tw6/Fd2+Zp4";
const DEVICE_CODE: &str = "dC7/mK5+mark=Yr3~Wh9-Ub1/Nf4+Gz8";
const PARAMETER: &str = "pA2/kT9+mark=Mv4~Rc1-Dn6/Xe3+Bq7";
// Each try makes a new assertion and PKCE verifier, so they are read from the requests that the server
// received.

/// The message of a caller who did not expect an error.
const PANIC: &str = "there should have been no error";

/// The number of consecutive bytes of a secret that counts as a leak.
const PIECE: usize = 12;

thread_local! {
    /// The log records below `trace`, and the panic messages, of the calling thread.
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
            // Panic messages of a failing test are for the reader.
            if text.contains(PANIC) {
                note(text);
            } else {
                usual(info);
            }
        }));
    });
}

/// The texts that count as a leak: pieces of a secret, raw, percent-encoded, and in base64 at each of three
/// offsets.
fn marks(secret: &str) -> Vec<Vec<u8>> {
    let pieces =
        |text: &str, size: usize| text.as_bytes().windows(size).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let mut marks = pieces(secret, PIECE);
    for encode in [upper as fn(u8) -> String, lower] {
        marks.extend(pieces(&secret.bytes().map(encode).collect::<String>(), 3 * PIECE));
        marks.extend(pieces(&encoded(secret, encode), PIECE));
    }
    for text in in_base64(secret) {
        // Characters that depend on neighbouring bytes are left out.
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

/// Percent-encodes everything except letters and digits.
fn encoded(text: &str, encode: fn(u8) -> String) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { encode(b) })
        .collect()
}

fn in_base64(text: &str) -> Vec<String> {
    let offsets = ["", ":", "::"].map(|before| format!("{before}{text}"));
    offsets.iter().flat_map(|text| [STANDARD.encode(text), URL_SAFE_NO_PAD.encode(text)]).collect()
}

/// The secrets that this thread must not show.
struct Silence {
    secrets: Vec<String>,
}

impl Silence {
    fn new() -> Self {
        listen();
        let secrets =
            [PASSWORD, CLIENT_SECRET, ACCESS_TOKEN, REFRESH_TOKEN, NEW_SECRET, CODE, DEVICE_CODE, PARAMETER]
                .map(str::to_owned);
        SAID.take();
        Self { secrets: secrets.into_iter().chain([basic()]).collect() }
    }

    /// Adds the assertions and verifiers that a server received, which are secret too.
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

    /// Returns a line that shows a secret, and the secret.
    fn broken(&self) -> Option<(String, &str)> {
        let said = SAID.take();
        assert!(said.len() > 100, "something was shown: {said}");
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

/// Formats a result in every way.
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

/// The value of an HTTP Basic header.
fn basic() -> String {
    STANDARD.encode(format!("ada:{PASSWORD}"))
}

fn both_tokens() -> Token {
    token(ACCESS_TOKEN).with_refresh_token(REFRESH_TOKEN)
}

/// An answer that is valid for every flow, and full of secrets.
fn good() -> String {
    json!({
        "access_token": ACCESS_TOKEN, "token_type": "bearer", "refresh_token": REFRESH_TOKEN, "expires_in": 60,
        "client_id": "id", "client_secret": NEW_SECRET, "device_code": DEVICE_CODE, "user_code": "WDJB-MJHT",
        "verification_uri": "https://as.example/device",
    })
    .to_string()
}

/// Runs every flow, a source and an agent, and formats all results.
fn run_all(origin: &str, within: Duration) {
    let http = Transport::new().with_timeout(within);
    let basic = BasicToken::new(origin, "ada", PASSWORD).unwrap();
    let assertion = ClientCredentials::new(origin, ClientAuth::secret_jwt("id", CLIENT_SECRET));
    tell(basic.run(&http));
    tell(assertion.run(&http));
    tell(CreateClient::new(origin).unwrap().run(&http, &both_tokens(), |_| Ok(())));
    let unsaved = || Err(std::io::Error::other(NEW_SECRET));
    tell(CreateClient::new(origin).unwrap().run(&http, &both_tokens(), |_| unsaved()));
    for client in
        [ClientAuth::secret_post("id", CLIENT_SECRET), ClientAuth::secret_basic("id", CLIENT_SECRET)]
    {
        show(&client);
        let flow = AuthorizationCode::new(origin, origin, client.clone(), "https://app.example/");
        let login = flow.clone().with_scope("scope").start(&http).unwrap();
        show(&flow);
        show(&login);
        let state = login.url().split_once("&state=").unwrap().1.split('&').next().unwrap();
        let callback = format!("https://app.example/?code={}&state={state}", encoded(CODE, upper));
        tell(login.finish(&callback));
        let refresh = Refresh::new(origin, client.clone());
        show(&refresh);
        tell(refresh.run(&http, &both_tokens()));
        tell(Revoke::new(origin, client.clone()).run(&http, &REFRESH_TOKEN.into()));
        let introspect = Introspect::new(origin, client.clone()).with_secret_parameter("more", PARAMETER);
        show(&introspect);
        tell(introspect.run(&http, &ACCESS_TOKEN.into()));
        let extension = ExtensionGrant::new(origin, client.clone(), "urn:example:grant");
        let extension = extension.with_secret_parameter("assertion", PARAMETER);
        show(&extension);
        tell(extension.run(&http));
        let device = DeviceCode::new(origin, origin, client).with_secret_parameter("more", PARAMETER);
        show(&device);
        let started = device.start(&http);
        show(&started);
        match started {
            Ok(login) => tell(login.poll()),
            Err(error) => tell(Err::<(), _>(error)),
        }
    }
    tell(Revoke::in_query(origin).run(&http, &REFRESH_TOKEN.into()));
    let source = CachingSource::new(http.clone(), assertion);
    tell(source.token(Duration::ZERO));
    show(&source);
    for auth in [
        Auth::Bearer(Arc::new(source)),
        Auth::Bearer(Arc::new(Fixed(ACCESS_TOKEN))),
        Auth::Basic(Basic::new("ada", PASSWORD).unwrap()),
    ] {
        let agent = AgentBuilder::new(http.clone(), auth).origin(origin).deadline(within);
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
                tell(Err::<(), _>(Error::from(error)));
            }
        }
    }
}

#[test]
fn no_secret_is_shown_on_success_or_on_any_fault() {
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
fn secret_in_a_log_record_or_a_panic_is_detected() {
    listen();
    let server = Server::answering(|_| answer(400, "", ""));
    tell(BasicToken::new(&server.origin(), "ada", PASSWORD).unwrap().run(&Transport::new()));
    let said = SAID.take();
    assert!(
        said.contains("DEBUG ureq::run: Request")
            && said.contains(&format!("{PANIC}: could not get a token")),
        "{said}"
    );
}

#[test]
fn piece_of_a_secret_is_detected_in_any_encoding() {
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
fn debug_of_public_types_shows_no_secret() {
    let silence = Silence::new();
    let http = Transport::new().with_proxy(format!("http://ada:{}@127.0.0.1:1", encoded(PASSWORD, upper)));
    show(&http);
    show(&Secret::from(PASSWORD));
    show(&both_tokens());
    show(&Basic::new("ada", PASSWORD));
    show(&ClientAuth::secret_basic("id", CLIENT_SECRET));
    show(&AppCredentials::new("id", CLIENT_SECRET));
    show(&BasicToken::new("http://127.0.0.1/?token=secret", "ada", PASSWORD));
    show(&ClientCredentials::new("http://127.0.0.1/", ClientAuth::secret_jwt("id", CLIENT_SECRET)));
    show(
        &CachingSource::new(
            http.clone(),
            ClientCredentials::new("http://127.0.0.1/", ClientAuth::secret_jwt("id", CLIENT_SECRET)),
        )
        .with_token(both_tokens()),
    );
    let spatiafi = SpatiaFi::builder(&AppCredentials::new("id", CLIENT_SECRET).unwrap());
    show(&spatiafi);
    let spatiafi = spatiafi.build().unwrap();
    show(&spatiafi);
    show(&spatiafi.agent());
    show(&spatiafi.agent_builder());
    show(&spatiafi::Registration::new("ada", PASSWORD));
    show(&CredentialsFile::new("file"));
    let bearer = || Auth::Bearer(Arc::new(Fixed(ACCESS_TOKEN)));
    show(&bearer());
    show(&AgentBuilder::new(http, bearer()).origin("http://127.0.0.1/").build());
    silence.holds();
}

#[test]
fn debug_of_an_agent_builder_shows_neither_headers_nor_urls() {
    let silence = Silence::new();
    let agent = AgentBuilder::new(Transport::new(), Auth::Bearer(Arc::new(Fixed(ACCESS_TOKEN))))
        .header("x-api-key", CLIENT_SECRET)
        .origin(format!("https://ada:{PASSWORD}@127.0.0.1/?token={ACCESS_TOKEN}"));
    show(&agent);
    show(&agent.build());
    silence.holds();
}

#[test]
fn refused_values_are_not_repeated_in_errors() {
    let silence = Silence::new();
    let bad = |secret: &str| format!("{secret}\r\n");
    tell(BasicToken::new("http://127.0.0.1/", "ada", bad(PASSWORD)));
    tell(BasicToken::new("http://127.0.0.1/", &bad(PASSWORD), "pass"));
    let methods: [fn(&'static str, String) -> ClientAuth; 3] =
        [ClientAuth::secret_basic, ClientAuth::secret_post, ClientAuth::secret_jwt];
    for method in methods {
        let auth = method("id", bad(CLIENT_SECRET));
        tell(ClientCredentials::new("http://127.0.0.1:1/", auth).run(&Transport::new()));
    }
    tell(AppCredentials::new("id", bad(CLIENT_SECRET)));
    tell(Token::new(bad(ACCESS_TOKEN), SystemTime::UNIX_EPOCH));
    tell(CreateClient::new(&format!("http://192.0.2.1/?token={}", encoded(ACCESS_TOKEN, upper))));
    tell(CreateClient::new(&format!("https://ada:{}@127.0.0.1/", encoded(PASSWORD, upper))));
    tell(Transport::new().with_proxy(format!("socks5://ada:{}@127.0.0.1", encoded(PASSWORD, upper))).check());
    let agent = AgentBuilder::new(Transport::new(), Auth::Bearer(Arc::new(Fixed(ACCESS_TOKEN))))
        .origin("http://127.0.0.1/");
    let agent = agent.build().unwrap();
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
        tell(Err::<(), _>(Error::from(error)));
    }
    silence.holds();
}

/// Runs all flows at a server that repeats what it received, encoded by `encode`.
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
        // Each secret in each field, with the statuses in turn.
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
    let (http, origin) = (Transport::new(), server.origin());
    let basic = BasicToken::new(&origin, "ada", PASSWORD).unwrap();
    let assertion = ClientCredentials::new(&origin, ClientAuth::secret_jwt("id", CLIENT_SECRET));
    let app = CreateClient::new(&origin).unwrap();
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
fn secret_repeated_by_the_server_is_withheld() {
    echo(|secret| vec![secret.to_owned(), secret[secret.len() / 2 - 6..][..13].to_owned()]);
}

#[test]
fn secret_repeated_percent_encoded_by_the_server_is_withheld() {
    echo(|secret| vec![encoded(secret, upper), encoded(secret, lower)]);
    echo(|secret| vec![secret.bytes().map(upper).collect(), secret.bytes().map(lower).collect()]);
}

#[test]
fn secret_repeated_in_base64_by_the_server_is_withheld() {
    echo(in_base64);
}

#[test]
fn secrets_in_a_refusal_itself_are_withheld() {
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

#[test]
fn secret_that_ends_with_a_full_stop_is_not_shown_without_it() {
    // Of a longer secret, 12 bytes are enough to be recognized.
    const SECRET: &str = "s3cr3t-id.";
    let said = json!({ "error": "no_way", "error_description": format!("no {SECRET}") }).to_string();
    let server = Server::answering(move |_| answer(400, "", said.clone()));
    let flow = ClientCredentials::new(server.origin(), ClientAuth::secret_post("id", SECRET));
    let text = flow.run(&Transport::new()).unwrap_err().to_string();
    assert!(text.contains("no_way: its text is withheld, because it repeats a secret"), "{text}");
}

/// The answer that starts a device login.
fn codes(device_code: &str) -> String {
    json!({ "device_code": device_code, "user_code": "WDJB-MJHT", "expires_in": 60,
        "verification_uri": "https://as.example/device" })
    .to_string()
}

/// Makes every call that shows a server's words, at a server that sends `word`. Returns each error text.
fn refusals(word: &str) -> Vec<(&'static str, String)> {
    let said = json!({ "error": "no_way", "error_description": format!("no {word}, sorry") }).to_string();
    let server = Server::answering(move |request| {
        if request.head.starts_with("POST /device ") {
            answer(200, "", codes("its-own-device-code"))
        } else {
            answer(400, "", said.clone())
        }
    });
    let (http, origin) = (Transport::new(), server.origin());
    let client = || ClientAuth::secret_basic("id", "its-own-client-secret");
    let device = |url: &str| DeviceCode::new(url, &origin, client()).start(&http);
    let own = || token("its-own-access-token");
    let login = || {
        let flow = AuthorizationCode::new(&origin, &origin, client(), "https://app.example/cb");
        let login = flow.clone().with_scope("a").start(&http).unwrap();
        let state = login.url().split("state=").nth(1).unwrap().split('&').next().unwrap().to_owned();
        (login, format!("https://app.example/cb?state={state}&"))
    };
    let exchange = {
        let (login, callback) = login();
        login.finish(&format!("{callback}code=its-own-code")).map(drop)
    };
    let callback = {
        let (login, callback) = login();
        let word = encoded(word, upper);
        login.finish(&format!("{callback}error=no_way&error_description=no+{word}%2C+sorry")).map(drop)
    };
    let refresh = Refresh::new(&origin, client());
    let [body, query] = [Revoke::new(&origin, client()), Revoke::in_query(&origin)];
    let secret = Secret::from("its-own-token");
    let source = CachingSource::new(http.clone(), refresh.clone())
        .with_token(own().with_refresh_token("its-own-refresh-token"));
    [
        ("basic", BasicToken::new(&origin, "ada", "its-own-password").unwrap().run(&http).map(drop)),
        (
            "assertion",
            ClientCredentials::new(
                &origin,
                ClientAuth::secret_jwt("id", "its-own-secret-of-32-bytes-or-more"),
            )
            .run(&http)
            .map(drop),
        ),
        ("app credentials", CreateClient::new(&origin).unwrap().run(&http, &own(), |_| Ok(())).map(drop)),
        ("refresh", refresh.run(&http, &own().with_refresh_token("its-own-refresh")).map(drop)),
        ("source", source.renew().map(drop)),
        ("exchange", exchange),
        ("callback", callback),
        ("revoke", body.run(&http, &secret)),
        ("introspect", Introspect::new(&origin, client()).run(&http, &secret).map(drop)),
        (
            "extension grant",
            ExtensionGrant::new(&origin, client(), "urn:example:grant")
                .with_secret_parameter("assertion", "its-own-assertion")
                .run(&http)
                .map(drop),
        ),
        ("start of a device login", device(&origin).map(drop)),
        ("poll of a device login", device(&format!("{origin}/device")).unwrap().poll().map(drop)),
        ("revoke in the query", query.run(&http, &secret)),
    ]
    .map(|(call, result)| (call, result.unwrap_err().to_string()))
    .into()
}

#[test]
fn server_words_are_compared_with_every_secret_in_use() {
    /// A value that keeps a secret in use.
    type Hold = fn(&str) -> Box<dyn std::any::Any>;
    let holds: [(&str, Hold); 14] = [
        ("a device code", |s| {
            let codes = codes(s);
            let server = Server::answering(move |_| answer(200, "", codes.clone()));
            let flow = DeviceCode::new(server.origin(), server.origin(), ClientAuth::none("id"));
            Box::new(flow.start(&Transport::new()).unwrap())
        }),
        ("a parameter of an extension grant", |s| {
            let flow = ExtensionGrant::new(
                "https://auth.example/token",
                ClientAuth::none("id"),
                "urn:example:grant",
            );
            Box::new(flow.with_secret_parameter("assertion", s))
        }),
        ("an access token", |s| Box::new(Token::new(s, SystemTime::UNIX_EPOCH).unwrap())),
        ("a refresh token", |s| Box::new(token("living").with_refresh_token(s))),
        ("the token of a source", |s| {
            let refresh = Refresh::new("https://auth.example/token", ClientAuth::none("id"));
            Box::new(CachingSource::new(Transport::new(), refresh).with_token(token(s)))
        }),
        ("a refresh token to start with", |s| {
            let refresh = Refresh::new("https://auth.example/token", ClientAuth::none("id"));
            Box::new(refresh.with_refresh_token(s))
        }),
        ("a client secret in the body", |s| Box::new(ClientAuth::secret_post("id", s))),
        ("a client secret in the header", |s| Box::new(ClientAuth::secret_basic("id", s))),
        ("a client secret that signs", |s| {
            Box::new(ClientCredentials::new("https://auth.example/token", ClientAuth::secret_jwt("id", s)))
        }),
        ("app credentials", |s| {
            let auth =
                ClientAuth::secret_post("id", AppCredentials::new("id", s).unwrap().client_secret().clone());
            let service =
                Service::builder("acme").api_url("https://api.example").token_url("https://auth.example");
            Box::new(service.client_credentials(auth).build().unwrap())
        }),
        ("an agent's own", |s| {
            let auth = Auth::Basic(Basic::new("id", s).unwrap());
            let agent = AgentBuilder::new(Transport::new(), auth).origin("https://api.example");
            Box::new(agent.build().unwrap())
        }),
        ("a header of an agent", |s| {
            let auth = Auth::Basic(Basic::new("id", "a").unwrap());
            let agent = AgentBuilder::new(Transport::new(), auth).header("x-api-key", s);
            Box::new(agent.origin("https://api.example").build().unwrap())
        }),
        ("a password", |s| Box::new(spatiafi::Registration::new("ada", s))),
        ("a proxy's password", |s| {
            Box::new(Transport::new().with_proxy(format!("http://ada:{s}@proxy.example:8080")))
        }),
    ];
    for (number, (what, hold)) in holds.into_iter().enumerate() {
        // Each case has its own secret, because the secrets of other tests are in use as well.
        let secret = format!("held-{number}-{}", "q7".repeat(12));
        let held = hold(&secret);
        for (call, text) in refusals(&secret) {
            assert!(
                text.contains("no_way: its text is withheld, because it repeats a secret; "),
                "{what}, {call}: {text}"
            );
            assert!(!text.contains(&secret[..PIECE]), "{what}, {call}: {text}");
        }
        drop(held);
        for (call, text) in refusals(&secret) {
            assert!(text.contains(&format!("no_way: no {secret}, sorry; ")), "{what}, {call}: {text}");
        }
    }
}

#[test]
fn standard_error_code_is_shown_and_another_code_only_without_secrets() {
    let _held = [Secret::from("invalid_grant"), Secret::from("code_of_the_server")]
        .map(|secret| ClientAuth::secret_post("id", secret));
    for (answered, kind, shown) in [
        (json!({ "error": "invalid_grant" }), keyfob::ErrorKind::LoginRequired, "invalid_grant"),
        (json!({ "type": "invalid_grant" }), keyfob::ErrorKind::LoginRequired, "invalid_grant"),
        (json!({ "error": "code_of_the_server" }), keyfob::ErrorKind::Refused, ""),
        (json!({ "error": "another_code" }), keyfob::ErrorKind::Refused, "another_code"),
    ] {
        let body = answered.to_string();
        let server = Server::answering(move |_| answer(400, "", body.clone()));
        let refresh = Refresh::new(server.origin(), ClientAuth::none("id"));
        let error = refresh
            .run(&Transport::new(), &token("a").with_refresh_token("its-own-refresh-token"))
            .unwrap_err();
        assert_eq!((error.kind(), error.oauth_error().unwrap_or_default()), (kind, shown), "{error}");
        assert!(!error.to_string().contains("code_of_the_server"), "{error}");
    }
}

#[test]
fn server_words_are_compared_with_secrets_that_the_login_would_replace() {
    const STORED: [&str; 2] = ["stored-access-token-7q7q7q", "stored-refresh-token-5w5w5w"];
    let folder = Folder::new();
    for stored in STORED {
        let said = json!({ "error": "no_way", "error_description": format!("no {stored}, sorry") });
        let server = Server::answering(move |_| answer(400, "", said.to_string()));
        let partner = Partner::builder("id", "its-own-client-secret", "https://app.example/cb")
            .api_url(server.origin())
            .store(folder.store());
        let before = partner.clone().build().unwrap();
        before.finish_login(token(STORED[0]).with_refresh_token(STORED[1])).unwrap();
        drop(before);
        let partner = partner.build().unwrap();
        for end in ["code=its-own-code".to_owned(), format!("error=no_way&error_description=no+{stored}")] {
            let login = partner.start_login_for("a").unwrap();
            let state = login.url().split("state=").nth(1).unwrap().split('&').next().unwrap().to_owned();
            let callback = format!("https://app.example/cb?state={state}&{end}");
            let asked = login.can_finish(&callback).err().map(|error| error.to_string());
            let text = login.finish(&callback).unwrap_err().to_string();
            for text in asked.into_iter().chain([text]) {
                assert!(
                    text.contains("no_way: its text is withheld, because it repeats a secret; "),
                    "{text}"
                );
            }
        }
    }
    // One poll of a device login. No other part of it has loaded the tokens.
    let codes = r#"{"device_code":"c0de","user_code":"WDJB-MJHT","verification_uri":"https://as.example/device","expires_in":600}"#;
    let said =
        json!({ "error": "no_way", "error_description": format!("no {}, sorry", STORED[1]) }).to_string();
    let server = Server::answering(move |request| {
        if request.head.starts_with("POST /device ") {
            answer(200, "", codes)
        } else {
            answer(400, "", &said)
        }
    });
    let device = Service::builder("acme")
        .api_url(server.origin())
        .token_url(format!("{}/token", server.origin()))
        .device_authorization_url(format!("{}/device", server.origin()))
        .device_code(ClientAuth::none("id"))
        .store(folder.store());
    device.clone().build().unwrap().finish_login(token(STORED[0]).with_refresh_token(STORED[1])).unwrap();
    let login = device.build().unwrap().start_login().unwrap();
    let text = loop {
        match login.poll() {
            Ok(None) => std::thread::sleep(Duration::from_millis(100)),
            ended => break ended.unwrap_err().to_string(),
        }
    };
    assert!(text.contains("no_way: its text is withheld, because it repeats a secret; "), "{text}");
    let content = r#"{"client_id":"id","client_secret":"client-secret-of-the-file"}"#;
    let file = CredentialsFile::new(folder.write("app_credentials.json", content));
    let said = json!({ "error": "no_way", "error_description": "no client-secret-of-the-file, sorry" });
    let server = Server::answering(move |_| answer(400, "", said.to_string()));
    let login = spatiafi::Registration::new("ada", "its-own-password").with_auth_url(&server.origin());
    let text = login.run(&file, true).unwrap_err().to_string();
    assert!(text.contains("no_way: its text is withheld, because it repeats a secret; "), "{text}");
}
