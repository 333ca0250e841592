//! `Retry-After` and `Date`, and what the clock makes of them (`src/http.rs`, `src/clock.rs`).
#![no_main]

use std::time::{Duration, SystemTime};

use keyfob::Clock;
use keyfob::internals::{date, learn, pause, retry_after};
use keyfob::ureq::http::HeaderValue;
use keyfob_fuzz::Input;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let (tries, now) = (u32::from(input.byte()) + 1, input.number());
    let since = Duration::from_secs(now >> 2);
    let epoch = SystemTime::UNIX_EPOCH;
    let now = if now & 1 == 0 { epoch + since } else { epoch - since };
    let clock = Clock::manual(now);
    let Ok(value) = HeaderValue::from_bytes(input.rest()) else { return };

    let asked = retry_after(value.clone(), &clock);
    let text = value.to_str().unwrap_or_default();
    let at = httpdate::parse_http_date(text.trim()).ok();
    match text.trim().parse::<u64>() {
        Ok(seconds) => assert_eq!(asked, Some(Duration::from_secs(seconds))),
        // White space around a date is not looked through: a server that sends such sends none.
        Err(_) if text != text.trim() => assert!(asked.is_none() || at.is_some()),
        Err(_) => assert_eq!(asked, at.map(|at| at.duration_since(now).unwrap_or_default())),
    }

    let wait = pause(asked, tries);
    assert!(!wait.is_zero() && wait <= Duration::from_secs(60), "{wait:?}");
    if let Some(asked) = asked.filter(|asked| !asked.is_zero()) {
        assert_eq!(wait, asked.min(Duration::from_secs(60)));
    }

    if let Some(date) = date(value) {
        assert_eq!(httpdate::parse_http_date(&httpdate::fmt_http_date(date)).ok(), Some(date));
        assert!(!learn(&clock, date), "what was learned is forgotten");
        let off = clock.now().duration_since(date).unwrap_or_else(|e| e.duration());
        assert!(off <= Duration::from_secs(30), "{off:?}");
    }
});
