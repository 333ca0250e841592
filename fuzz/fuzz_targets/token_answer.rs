//! The answer of a token endpoint (`src/transport/token_answer.rs`), and how `src/transport/call.rs` judges it.
#![no_main]

use std::error::Error as _;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use keyfob::internals::token_answer;
use keyfob::{ClientAuth, Clock, ErrorKind, Secret, Token};
use keyfob_fuzz::{Input, Mark, is_json, is_one_line, json, unmarked};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};

/// Secrets of the client and of the request.
static SENT: LazyLock<[Mark; 2]> =
    LazyLock::new(|| ["cl1ent-s3cret/+ =%7Vqz", "c0de~Lw8_pQ.Zx5!vT"].map(Mark::new));
/// Secrets of the answer.
static CAME: LazyLock<Mark> = LazyLock::new(|| Mark::new("t0ken-Hk4.Wm9_Yb2~Rd6"));
const NOW: u64 = 1_700_000_000;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let how = input.byte();
    let status = [200, 201, 400, 401, 429, 302, 500, 503][usize::from(how & 7)];
    let [secret, code] = SENT.each_ref().map(Mark::text);
    let client = if how & 8 == 0 {
        ClientAuth::secret_post("id", secret)
    } else {
        ClientAuth::secret_basic("id", secret)
    };
    let body = CAME.plant(16, &SENT[1].plant(11, &SENT[0].plant(1, input.rest())));
    let clock = Clock::manual(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW));
    let text = unmarked(&body);
    let is_json = is_json(text);
    let answer = match json(text) {
        Some(Value::Object(answer)) => Some(answer),
        _ => None,
    };

    match token_answer(status, body.into(), &client, &Secret::from(code), &clock) {
        Ok(token) => {
            assert!((200..300).contains(&status));
            assert!(is_json);
            answer.iter().for_each(|answer| came_so(&token, answer));
            CAME.is_hidden_in(&format!("{token:?}").replace(&format!("{:?}", token.scope()), ""));
        }
        Err(error) => {
            let debug = format!("{error:?}");
            let mut shown = vec![error.to_string(), debug];
            shown.extend(error.oauth_error().map(str::to_owned));
            is_one_line(&shown[0], 900);
            for text in &shown {
                SENT.iter().for_each(|secret| secret.is_hidden_in(text));
                // A value counts as a secret where the answer has it as a token.
                let fields = ["access_token", "refresh_token", "client_secret"];
                let has_come = |answer: &Map<String, Value>| {
                    fields.iter().any(|field| answer.get(*field).and_then(Value::as_str) == Some(CAME.text()))
                };
                if answer.as_ref().is_some_and(has_come) {
                    CAME.is_hidden_in(text);
                }
            }
            assert_eq!(error.status(), Some(status));
            assert_eq!(error.kind() == ErrorKind::RateLimited, status == 429);
            assert!(error.source().is_none());
        }
    }
});

fn came_so(token: &Token, answer: &Map<String, Value>) {
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    let access_token = token.access_token().expose_str().unwrap();
    assert_eq!(text("access_token"), Some(access_token));
    assert!(!access_token.is_empty() && access_token.bytes().all(|b| b.is_ascii_graphic()));
    assert!(
        answer
            .get("token_type")
            .is_none_or(|kind| kind.as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")))
    );
    let is_empty = |error: &Value| match error {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(true) => false,
    };
    assert!(answer.get("error").is_none_or(is_empty), "an error passed");
    assert_eq!(
        token.refresh_token().map(|token| token.expose_str().unwrap()),
        text("refresh_token").filter(|t| !t.is_empty())
    );

    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    assert!(token.obtained_at() <= now && now - Duration::from_secs(10) < token.obtained_at());
    let seconds = |name: &str| match answer.get(name) {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    };
    // Accurate to the second, and only where a 64-bit clock can represent it.
    if let (Some(seconds), Some(at)) = (seconds("expires_in"), token.expires_at()) {
        assert!(at <= token.obtained_at() + Duration::from_secs_f64(seconds.clamp(0.0, 1e18) + 1.0));
    }
    let countable = seconds("expires_at").filter(|seconds| seconds.abs() < 1e18);
    if let (Some(seconds), Some(at)) = (countable, token.expires_at()) {
        let since = at
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or_else(|e| -e.duration().as_secs_f64(), |d| d.as_secs_f64());
        assert!(since <= seconds + 1.0 + seconds.abs() * 1e-12);
    }
    // An end after the year 9999 is one of another unit, or unknown.
    let short = |name| seconds(name).is_some_and(|seconds| seconds.abs() < 2.5e11);
    assert!(
        token.expires_at().is_some() || !(short("expires_in") || short("expires_at")),
        "a lifetime was lost"
    );
}
