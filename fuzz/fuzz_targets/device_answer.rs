//! The answer of a device authorization endpoint (`src/flow/device_answer.rs`).
#![no_main]

use std::time::Duration;

use keyfob::internals::device_answer;
use keyfob_fuzz::{is_json, is_refused, json, unmarked};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let text = unmarked(data);
    let json = json(text);
    let Ok(codes) = device_answer(&data.to_vec().into()) else { return };
    assert!(is_json(text));
    let (url, complete) = &codes.urls;
    let (expires_in, interval) = codes.times;
    for shown in [&codes.user_code, url].into_iter().chain(complete) {
        assert!(!shown.is_empty() && !shown.contains(is_refused), "{shown:?}");
    }
    assert!(codes.user_code.len() <= 64);
    for url in [url].into_iter().chain(complete) {
        let lower = url.to_ascii_lowercase();
        let rest =
            lower.strip_prefix("https://").or(lower.strip_prefix("http://")).expect("a URL of the web");
        assert!(!rest.is_empty() && !rest.starts_with('/'), "{url}");
    }
    assert!((Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&interval), "{interval:?}");
    // Without a number that is too large, and so on, the other parser reads the same.
    let Some(json) = json else { return };
    let member = |name: &str| json.get(name).and_then(Value::as_str);
    assert_eq!(member("device_code").map(str::as_bytes), Some(codes.device_code.expose()));
    assert_eq!(member("user_code"), Some(codes.user_code.as_str()));
    assert_eq!(member("verification_uri").or(member("verification_url")), Some(url.as_str()));
    assert!(complete.is_none() || member("verification_uri_complete") == complete.as_deref());
    // In whole seconds, rounded up: no request is made too early.
    let number = |name: &str| match json.get(name) {
        Some(Value::Number(number)) => number.as_f64().map(f64::ceil),
        Some(Value::String(text)) => {
            text.trim().parse().ok().filter(|number: &f64| number.is_finite()).map(f64::ceil)
        }
        _ => None,
    };
    let is = |time: Duration, seconds: f64| (time.as_secs_f64() - seconds).abs() <= 1e-6 * seconds.max(1.0);
    let seconds = number("expires_in").expect("a lifetime");
    assert!(
        seconds > 0.0 && (is(expires_in, seconds) || expires_in > Duration::from_secs(99 * 365 * 86_400))
    );
    match number("interval") {
        Some(seconds) if seconds >= 0.0 => assert!(is(interval, seconds.max(1.0)), "{seconds}"),
        _ => assert_eq!(interval, Duration::from_secs(5)),
    }
});
