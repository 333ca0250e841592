//! No buffer of the library's own is given back to the allocator with a secret in it: `tests/support/checking.c` looks at each block
//! that is freed. What ureq and rustls leave behind is `scripts/leftovers`' to count.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

#[path = "support/folder.rs"]
mod folder;

use std::fmt::Write as _;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use folder::Folder;
use keyfob::flow::Grant;
use keyfob::internals::{
    AssertionKey, callback, client_secret_basic_header, decode_credentials, decode_form_value, decode_record,
    encode_form, encode_form_value, encode_record, request_target, signed_request, token_answer,
};
use keyfob::{
    Basic, CachingSource, ClientAuth, ClientCredentials, ClientSecretBasic, Clock, CredentialsFile, Error,
    Http, Record, RecordName, Secret, Token, TokenSource as _, TokenStore as _,
};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

/// With all that has to be escaped somewhere.
const MARK: &str = r#"m4rk-Vq7~Zr2 w+/x="Kp9\Lw8_pQ.Hd3"#;
/// So many bytes in a row are too many (`DESIGN.md`).
const PIECE: usize = 12;
const NOW: u64 = 1_700_000_000;

#[test]
fn no_block_is_freed_with_a_secret_in_it() {
    let told = run("what_the_library_does_with_secrets");
    let [freed, dirty] = counts(&told);
    assert!(freed > 500, "{told}");
    assert_eq!(dirty, 0, "{told}");
}

#[test]
fn the_checking_allocator_sees_what_is_not_wiped() {
    let told = run("what_a_careless_program_does");
    let [_, dirty] = counts(&told);
    // As it is, grown, in base64, percent-encoded, and in JSON.
    assert!((5..15).contains(&dirty), "{told}");
}

fn counts(told: &str) -> [u64; 2] {
    let line = told.lines().find(|line| line.contains(" blocks freed, ")).unwrap_or_else(|| panic!("{told}"));
    let mut numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
    std::array::from_fn(|_| numbers.next().expect(line))
}

/// Runs an ignored test of this file in a process of its own, with the checking allocator.
fn run(test: &str) -> String {
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
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
    told
}

/// All pieces of it: as it is, in base64 however it falls, in JSON, percent-encoded, and as a form has it.
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

/// The mark, in memory that is never given back.
fn mark() -> &'static str {
    std::env::var("MARK").expect("run by the tests above").leak()
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
fn what_a_careless_program_does() {
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
fn what_the_library_does_with_secrets() {
    let mark = mark();
    let json: &'static str = serde_json::to_string(mark).unwrap().leak();
    let json = &json[1..json.len() - 1];
    clients(mark);
    forms(mark);
    assertions(mark);
    answers(mark, json);
    callbacks(mark);
    records(mark);
    credentials(mark, json);
    sources(mark);
}

fn clients(mark: &str) {
    let secret = Secret::from(mark);
    let copy = secret.clone();
    let shown = format!("{secret:?}{copy:?}");
    assert!(!shown.contains(mark));
    for name in ["id", "name with spaces"] {
        drop(Basic::new(name, mark).unwrap().clone());
        let basic = ClientSecretBasic::new(name, mark).unwrap();
        drop(client_secret_basic_header(&basic).clone());
        for client in [ClientAuth::basic(name, mark).unwrap(), ClientAuth::body(name, mark).unwrap()] {
            drop(signed_request(&client, &[("refresh_token", mark.as_bytes()), ("scope", b"a b")]));
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
    // Visible ASCII, as a token has to be, part of it escaped.
    let mut token = String::with_capacity(mark.len());
    token.extend(mark.chars().filter(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\')));
    let token: &'static str = token.leak();
    let bodies = [
        with_mark(
            r#"{"access_token":"%","token_type":"Bearer","expires_in":3600,"refresh_token":"%","scope":"a"}"#,
            token,
        ),
        with_mark(r#"{"access_token":"\u006d%","token_type":"bearer","refresh_token":"%\/"}"#, token),
        with_mark(r#"{"access_token":"%","access_token":"%"}"#, json),
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
        for client in [ClientAuth::basic("id", mark).unwrap(), ClientAuth::body("id", mark).unwrap()] {
            for status in [200, 400, 401, 503] {
                match token_answer(status, body.clone(), &client, &sent, &clock) {
                    Ok(token) => drop((token.authorization(), token.clone(), format!("{token:?}"))),
                    Err(error) => drop(format!("{error} {error:?}")),
                }
            }
        }
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
        let _ = request_target(request.expose(), "127.0.0.1:80".parse().unwrap());
    }
}

fn token(mark: &str) -> Token {
    let mut access = String::with_capacity(mark.len());
    access.extend(mark.chars().filter(char::is_ascii_graphic));
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    let token = Token::new(access, now).unwrap().with_refresh_token(mark);
    token.with_expires_at(now + Duration::from_secs(3600)).with_scope("a b")
}

fn records(mark: &str) {
    let name = RecordName::new("test", "https://as.example/token", "id").unwrap();
    let record = Record::new(token(mark), -3);
    let content = encode_record(&name, &record);
    // One that outgrows its buffer.
    drop(encode_record(&name, &Record::new(token(mark).with_scope("a ".repeat(5000)), 0)));
    drop(decode_record(&content, &name).unwrap().expect("the record").clone());
    drop(decode_record(&content, &RecordName::new("test", "https://as.example/token", "other").unwrap()));
    drop(decode_record(&Secret::from(content.expose()[..content.expose().len() - 9].to_vec()), &name));

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
    drop(ClientCredentials::new("id", mark).unwrap());
    let folder = Folder::new();
    let file = CredentialsFile::new(folder.join("app_credentials.json"));
    file.prepare(false).unwrap().save(answer.expose()).unwrap();
    drop(file.load().unwrap().expect("credentials"));
    file.prepare(true).unwrap().save(answer.expose()).unwrap();
    file.prepare(true).map(drop).unwrap();
}

struct Mint(&'static str);

impl Grant for Mint {
    fn token(&self, _: &Http, _: Option<&Token>) -> Result<Token, Error> {
        Ok(token(self.0))
    }
}

fn sources(mark: &'static str) {
    let folder = Folder::new();
    let name = RecordName::new("test", "https://as.example/token", "id").unwrap();
    for stored in [false, true] {
        let mut source = CachingSource::new(Http::new().with_clock(clock()), Mint(mark));
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
