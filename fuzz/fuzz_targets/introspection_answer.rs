//! The answer of an introspection endpoint (`src/flow/introspect.rs`).
#![no_main]

use std::time::{Duration, SystemTime};

use keyfob::internals::introspection_answer;
use keyfob_fuzz::{is_json, is_refused, json, unmarked};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let text = unmarked(data);
    let json = json(text);
    let answer = match introspection_answer(&data.to_vec().into()) {
        Ok(answer) => answer,
        Err(_) => {
            // The other parser takes bytes that are not UTF-8, and deeper values.
            let has_active = json.as_ref().and_then(|json| json.get("active")).is_some_and(Value::is_boolean);
            assert!(!has_active || std::str::from_utf8(text).is_err() || !is_json(text));
            return;
        }
    };
    assert!(is_json(text));
    let texts = [
        ("scope", answer.scope()),
        ("client_id", answer.client_id()),
        ("username", answer.username()),
        ("sub", answer.subject()),
        ("token_type", answer.token_type()),
        ("iss", answer.issuer()),
    ];
    let shown =
        texts.iter().filter_map(|(_, text)| *text).chain(answer.audience().iter().map(String::as_str));
    for text in shown {
        assert!(!text.is_empty() && !text.contains(is_refused), "{text:?}");
    }
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_800);
    for time in [answer.expires_at(), answer.issued_at(), answer.not_before()].into_iter().flatten() {
        assert!(time < last, "{time:?}");
    }
    // Without a number that is too large, and so on, the other parser reads the same.
    let Some(json) = json else { return };
    assert_eq!(json.get("active"), Some(&Value::Bool(answer.is_active())));
    let can_be_shown =
        |text: &&str| !text.is_empty() && text.len() <= 16 * 1024 && !text.contains(is_refused);
    for (name, text) in texts {
        assert_eq!(json.get(name).and_then(Value::as_str).filter(can_be_shown), text, "{name}");
    }
    let audience: Vec<_> = match json.get("aud") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(all)) if all.iter().all(Value::is_string) => {
            all.iter().filter_map(Value::as_str).collect()
        }
        _ => Vec::new(),
    };
    let audience: Vec<_> = audience.into_iter().filter(can_be_shown).collect();
    assert_eq!(answer.audience(), audience);
});
