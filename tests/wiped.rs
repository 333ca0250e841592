//! No buffer of the library is freed with a secret in it: `tests/support/checking.c` searches each freed
//! block. `scripts/leftovers` counts what ureq and rustls leave behind.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

#[path = "support/folder.rs"]
mod folder;
mod support;

use std::fmt::Write as _;
use std::io::Read as _;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use folder::Folder;
use keyfob::flow::{Grant, Refresh};
use keyfob::internals::{
    AssertionKey, callback, client_secret_basic, decode_credentials, decode_form_value, device_answer,
    encode_form, encode_form_value, introspection_answer, request_target, signed_request, token_answer,
};
use keyfob::ureq::http::HeaderValue;
use keyfob::{
    AgentBuilder, AppCredentials, Auth, Basic, CachingSource, ClientAuth, Clock, CredentialsFile, Error,
    Record, RecordName, Secret, Token, TokenSource as _, TokenStore as _, Transport,
};
use keyfob_sandbox::TlsFront;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use support::*;

/// A secret with characters that some encodings must escape.
const MARK: &str = r#"m4rk-Vq7~Zr2 w+/x="Kp9\Lw8_pQ.Hd3"#;
/// The length of a connection's buffers.
const BUFFER: usize = 20 * 1024;
/// The number of consecutive bytes that counts as a leak (see `DESIGN.md`).
const PIECE: usize = 12;
const NOW: u64 = 1_700_000_000;

#[test]
fn no_memory_block_is_freed_with_a_secret_in_it() {
    let report = run("child_that_uses_the_library", &[]);
    let [freed, dirty] = counts(&report);
    assert!(freed > 500, "{report}");
    assert_eq!(dirty, 0, "{report}");
}

#[test]
fn checking_allocator_detects_unwiped_secrets() {
    let report = run("child_that_wipes_nothing", &[]);
    let [_, dirty] = counts(&report);
    // Raw, in a buffer that grew, in base64, percent-encoded, and in JSON.
    assert!((5..15).contains(&dirty), "{report}");
}

/// Its answers are longer than the requests, and full of a part of the mark. As a proxy it refuses.
fn server() -> Server {
    let token = visible(MARK);
    let note = token.repeat(100);
    let body = format!(r#"{{"note":"{note}","access_token":"{token}","token_type":"bearer"}}"#);
    Server::answering(move |request| match request.method() {
        "CONNECT" => answer(403, "", ""),
        _ => answer(200, "", &body),
    })
}

#[test]
fn no_buffer_of_a_connection_is_freed_with_a_secret_in_it() {
    let server = server();
    let report = run("child_that_makes_exchanges", &[("SERVER", &server.origin())]);
    assert_eq!(counts(&report)[1], 0, "{report}");
    assert_eq!(server.requests().len(), 4, "{report}");

    // The TLS library does not wipe its own buffers, nor ureq the password of a proxy. These are shorter.
    let front = TlsFront::start(([127, 0, 0, 1], server.port()).into(), true);
    let ca_file = front.ca_file().to_str().unwrap();
    let over_tls = [("SERVER", front.origin()), ("CA_FILE", ca_file.to_owned())];
    for (proxy, requests) in [(None, 4), (Some(server.origin()), 1), (Some(front.origin()), 1)] {
        let before = server.requests().len();
        let mut variables: Vec<_> = over_tls.iter().map(|(name, value)| (*name, value.as_str())).collect();
        variables.extend(proxy.as_deref().map(|proxy| ("PROXY", proxy)));
        let report = run("child_that_makes_exchanges", &variables);
        assert_eq!(server.requests().len() - before, requests, "{report}");
        assert!(counts(&report)[1] < 20, "all are listed: {report}");
        let blocks =
            report.lines().filter_map(|line| line.split_once(" in a block of ")?.1.split(' ').next());
        for length in blocks {
            assert!(length.parse::<usize>().unwrap() < BUFFER, "{report}");
        }
    }
}

fn counts(report: &str) -> [u64; 2] {
    let line =
        report.lines().find(|line| line.contains(" blocks freed, ")).unwrap_or_else(|| panic!("{report}"));
    let mut numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
    std::array::from_fn(|_| numbers.next().expect(line))
}

/// Runs an ignored test of this file in a process of its own, with the checking allocator.
fn run(test: &str, variables: &[(&str, &str)]) -> String {
    let folder = Folder::new();
    let (source, library) = ("tests/support/checking.c", folder.join("checking.so"));
    let root = env!("CARGO_MANIFEST_DIR");
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]).arg(&library).arg(source);
    assert!(cc.current_dir(root).status().expect("a C compiler").success());
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--test-threads=1", "--nocapture"])
        .env("LD_PRELOAD", &library)
        .env("CHECKING_PIECES", pieces())
        .env("MARK", MARK)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && report.contains("1 passed"), "{report}");
    report
}

/// All pieces of the secret: raw, in base64 at each offset, in JSON, percent-encoded, and form-encoded.
fn pieces() -> String {
    let windows = |text: &[u8], len: usize| text.windows(len).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let json = serde_json::to_string(MARK).unwrap();
    let form: String = form_urlencoded::byte_serialize(MARK.as_bytes()).collect();
    let mut pieces = windows(MARK.as_bytes(), PIECE);
    pieces.extend(windows(json.trim_matches('"').as_bytes(), PIECE + 1));
    pieces
        .extend(windows(percent_encode(MARK.as_bytes(), NON_ALPHANUMERIC).to_string().as_bytes(), 2 * PIECE));
    pieces.extend(windows(form.as_bytes(), 2 * PIECE));
    for skipped in 0..3 {
        let encoded = STANDARD.encode(&MARK.as_bytes()[skipped..]);
        pieces.extend(windows(encoded.trim_end_matches('=').as_bytes(), 4 * PIECE / 3));
    }
    pieces.sort();
    pieces.dedup();
    let hex = |piece: &Vec<u8>| piece.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    pieces.iter().map(hex).collect::<Vec<_>>().join(",")
}

/// The mark, in memory that is never freed.
fn mark() -> &'static str {
    std::env::var("MARK").expect("run by the tests above").leak()
}

/// The characters of the mark that a token and its JSON may contain, in memory that is never freed.
fn visible(mark: &str) -> &'static str {
    let mut token = String::with_capacity(mark.len());
    token.extend(mark.chars().filter(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\')));
    token.leak()
}

/// A text with the mark in place of `%`, in a buffer that never grows.
fn with_mark(template: &str, mark: &str) -> Secret {
    let mut text = String::with_capacity(4096);
    for part in template.split_inclusive('%') {
        match part.strip_suffix('%') {
            Some(part) => write!(text, "{part}{mark}").unwrap(),
            None => text.push_str(part),
        }
    }
    Secret::from(text)
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn child_that_wipes_nothing() {
    let mark = mark();
    let mut text = mark.to_owned();
    text.push_str(&"x".repeat(1000));
    drop(text);
    drop(STANDARD.encode(mark));
    drop(percent_encode(mark.as_bytes(), NON_ALPHANUMERIC).to_string());
    drop(serde_json::to_string(mark).unwrap());
    drop(vec![mark.as_bytes().to_vec()]);
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn child_that_uses_the_library() {
    let mark = mark();
    let json: &'static str = serde_json::to_string(mark).unwrap().leak();
    let json = &json[1..json.len() - 1];
    clients(mark);
    forms(mark);
    assertions(mark);
    answers(mark, json);
    device_answers(json);
    callbacks(mark);
    records(mark);
    credentials(mark, json);
    sources(mark);
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn child_that_makes_exchanges() {
    let mark = mark();
    let origin = std::env::var("SERVER").unwrap();
    let mut http = Transport::new().with_buffer_sizes(BUFFER, BUFFER);
    if let Ok(file) = std::env::var("CA_FILE") {
        http = http.with_ca_file(file);
    }
    if let Ok(proxy) = std::env::var("PROXY") {
        let password = percent_encode(mark.as_bytes(), NON_ALPHANUMERIC);
        http = http.with_proxy(proxy.replace("//", &format!("//user:{password}@")));
    }
    let flow = Refresh::new(format!("{origin}/token"), ClientAuth::secret_post("id", mark));
    match flow.run(&http, &token(mark)) {
        Ok(tokens) => drop(tokens),
        Err(error) => return assert!(error.to_string().contains("proxy"), "{error}"),
    }

    // ureq frees the values of header fields unwiped, so these are static.
    let field = |text: &str, length: usize| HeaderValue::from_static(text.repeat(length / text.len()).leak());
    let (filler, field) = (field("a", BUFFER / 3 * 2), field(visible(mark), BUFFER / 2));
    let auth = Auth::Basic(Basic::new("a", "b").unwrap());
    let agent = AgentBuilder::new(http, auth).origin(&origin).build().unwrap();
    for _ in 0..3 {
        // The second field does not fit beside the first one, so ureq begins to write it twice.
        let request = agent.get(&origin).header("a", filler.clone()).header("b", field.clone());
        let mut body = request.call().unwrap().into_body().into_reader();
        while body.read(&mut [0; 4096]).unwrap() > 0 {}
    }
    // A connection with smaller buffers, where it fits into none.
    let request = agent.get(&origin).header("b", field).config().output_buffer_size(BUFFER / 4).build();
    request.call().unwrap_err();
}

fn clients(mark: &str) {
    let secret = Secret::from(mark);
    let copy = secret.clone();
    let shown = format!("{secret:?}{copy:?}");
    assert!(!shown.contains(mark));
    for name in ["id", "name with spaces"] {
        drop(Basic::new(name, mark).unwrap().clone());
        drop(client_secret_basic(name, &secret));
        for client in [
            ClientAuth::secret_basic(name, mark),
            ClientAuth::secret_post(name, mark),
            ClientAuth::secret_jwt(name, mark).allow_short_key(),
        ] {
            let request = signed_request(&client, &[("refresh_token", mark.as_bytes()), ("scope", b"a b")]);
            drop(request.unwrap());
            drop(format!("{client:?}"));
        }
    }
    let refused = Basic::new("id", with_mark("%\n%", mark)).unwrap_err();
    drop(format!("{refused} {refused:?}"));
}

fn forms(mark: &str) {
    drop(encode_form(&[("a", mark.as_bytes()), ("b", mark.as_bytes()), ("c", &[0xff; 3000])]));
    drop(decode_form_value(encode_form_value(mark.as_bytes()).expose()));
}

fn assertions(mark: &str) {
    for length in [1, 40, 64, 65, 200] {
        let mut secret = with_mark("%%%%%%%%", mark).expose().to_vec();
        secret.truncate(length);
        let key = AssertionKey::new("id", "https://as.example/token", &Secret::from(secret));
        drop(key.clone().mint(1_700_000_000, 1_700_000_060, &[7; 16]));
    }
}

fn answers(mark: &str, json: &str) {
    let clock = clock();
    let sent = Secret::from(mark);
    let token = visible(mark);
    let bodies = [
        with_mark(
            r#"{"access_token":"%","token_type":"Bearer","expires_in":3600,"refresh_token":"%","scope":"a"}"#,
            token,
        ),
        with_mark(r#"{"access_token":"\u006d%","token_type":"bearer","refresh_token":"%\/"}"#, token),
        with_mark(r#"{"access_token":"%","access_token":"%"}"#, json),
        with_mark(
            r#"{"refresh_token":"%","refresh\u005ftoken":"%","access_token":"%","access_token":"a","token_type":"bearer"}"#,
            json,
        ),
        with_mark(r#"{"access_token":"%","token_type":"mac","client_secret":"%"}"#, json),
        with_mark(r#"{"access_token":"%","token_type":"Bearer","expires_in":"%"}"#, json),
        with_mark(
            r#"{"error":"invalid_grant","error_description":"the code % is not known","detail":"%"}"#,
            json,
        ),
        with_mark(r#"{"error":"%","error_description":["%",{"note":"%"}],"message":"%"}"#, json),
        with_mark(r#"{"detail":[{"msg":"%","input":"%"}]}"#, json),
        with_mark(r#"{"access_token":"%"#, json),
        with_mark(r#"["%","%"]"#, json),
        with_mark("no JSON: %", mark),
    ];
    for body in bodies {
        for client in [ClientAuth::secret_basic("id", mark), ClientAuth::secret_post("id", mark)] {
            for status in [200, 400, 401, 503] {
                match token_answer(status, body.clone(), &client, &sent, &clock) {
                    Ok(token) => drop((token.authorization(), token.clone(), format!("{token:?}"))),
                    Err(error) => drop(format!("{error} {error:?}")),
                }
            }
        }
    }
}

fn device_answers(json: &str) {
    for rest in [
        r#""user_code":"A","verification_uri":"https://as.example/","expires_in":60}"#,
        r#""user_code":7,"expires_in":0}"#,
        r#""device_code":"%","verification_uri":"https://as.example/%"}"#,
        r#""active":true,"scope":"a"}"#,
    ] {
        let body = with_mark(&format!(r#"{{"device_code":"%",{rest}"#), json);
        drop(device_answer(&body));
        drop(introspection_answer(&body));
    }
}

fn callbacks(mark: &str) {
    let state = Secret::from(mark);
    let encoded = encode_form_value(mark.as_bytes());
    let encoded = encoded.expose_str().unwrap();
    for query in [
        "code=%&state=%",
        "error=access_denied&error_description=%&state=%",
        "code=%",
        "code=%&code=%&state=%",
        "%",
    ] {
        let query = with_mark(query, encoded);
        drop(callback(query.expose(), Some(&state), Some("https://as.example")));
        drop(callback(query.expose(), Some(&state), None));
        drop(callback(query.expose(), None, None));
        let request = with_mark(
            &format!("GET /callback?{} HTTP/1.1\r\nHost: 127.0.0.1:80\r\nCookie: %\r\n\r\n", "%"),
            query.expose_str().unwrap(),
        );
        let _ = request_target(request.expose(), 10, "127.0.0.1:80");
    }
}

fn token(mark: &str) -> Token {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    let token = Token::new(visible(mark), now).unwrap().with_refresh_token(mark);
    token.with_expires_at(now + Duration::from_secs(3600)).with_scope("a b")
}

fn records(mark: &str) {
    let name = RecordName::new("test", "https://as.example/token", "id").unwrap();
    let record = Record::new(token(mark), -3);
    let content = record.to_bytes(&name);
    // A record that outgrows its buffer.
    drop(Record::new(token(mark).with_scope("a ".repeat(5000)), 0).to_bytes(&name));
    drop(Record::from_bytes(&name, &content).unwrap().expect("the record").clone());
    drop(Record::from_bytes(
        &RecordName::new("test", "https://as.example/token", "other").unwrap(),
        &content,
    ));
    drop(Record::from_bytes(&name, &Secret::from(content.expose()[..content.expose().len() - 9].to_vec())));

    let folder = Folder::new();
    let store = folder.store();
    let mut lock = store.lock(&name, Duration::from_secs(1)).unwrap();
    lock.save(&record).unwrap();
    lock.save(&record).unwrap();
    drop(store.load(&name).unwrap().expect("the record"));
    std::fs::write(store.path(&name), "{").unwrap();
    drop(store.load(&name));
    lock.save(&record).unwrap();
    lock.remove().unwrap();
}

fn credentials(mark: &str, json: &str) {
    let answer = with_mark(r#"{"client_id":"id","client_secret":"%","note":"%"}"#, json);
    drop(decode_credentials(answer.expose()).expect("credentials").clone());
    drop(AppCredentials::new("id", mark).unwrap());
    let folder = Folder::new();
    let file = CredentialsFile::new(folder.join("app_credentials.json"));
    file.prepare(false).unwrap().save(answer.expose()).unwrap();
    drop(file.load().unwrap().expect("credentials"));
    file.prepare(true).unwrap().save(answer.expose()).unwrap();
    file.prepare(true).map(drop).unwrap();
    // A key that was left in a CA file.
    let ca_file = folder.join("ca.pem");
    let key = with_mark("-----BEGIN PRIVATE KEY-----\n%\n-----END PRIVATE KEY-----\n", mark);
    std::fs::write(&ca_file, key.expose()).unwrap();
    Transport::new().with_ca_file(ca_file).check().unwrap_err();
}

struct Mint(&'static str);

impl Grant for Mint {
    fn token(&self, _: &Transport, _: Option<&Token>) -> Result<Token, Error> {
        Ok(token(self.0))
    }
}

fn sources(mark: &'static str) {
    let folder = Folder::new();
    let name = RecordName::new("test", "https://as.example/token", "id").unwrap();
    for stored in [false, true] {
        let mut source = CachingSource::new(Transport::new().with_clock(clock()), Mint(mark));
        if stored {
            source = source.with_store(Arc::new(folder.store()), name.clone());
        }
        let token = source.token(Duration::ZERO).unwrap();
        source.invalidate(&token);
        drop(source.token(Duration::ZERO).unwrap().authorization());
        source.renew().unwrap();
        drop(format!("{source:?}"));
    }
}

fn clock() -> Clock {
    Clock::manual(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW))
}
