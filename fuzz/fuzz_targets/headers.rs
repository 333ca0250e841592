//! `Retry-After` and `Date`, and how the clock uses them (`src/transport/retry.rs`, `src/clock.rs`).
#![no_main]

use std::time::{Duration, SystemTime};

use keyfob::Clock;
use keyfob::internals::{correct, date, pause, retry_after};
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
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.trim() {
        number if digits(number) => {
            assert_eq!(asked, Some(Duration::from_secs(number.parse().unwrap_or(u64::MAX))));
        }
        number if number.contains('.') => assert!(asked.is_none() || at.is_none()),
        // Also accepted: a list that a proxy joined, and dates that are not written exactly as httpdate wants them.
        other if at.is_none() => {
            let (is_list, is_date) = (other.contains(','), other.matches(':').count() == 2);
            assert!(asked.is_none() || is_list || is_date, "{other}");
        }
        _ => assert_eq!(asked, at.map(|at| at.duration_since(now).unwrap_or_default())),
    }

    let wait = pause(asked, tries);
    match asked.filter(|asked| !asked.is_zero()) {
        Some(asked) => assert_eq!(wait, asked),
        None => assert!(!wait.is_zero() && wait <= Duration::from_secs(5), "{wait:?}"),
    }

    if let Some(date) = date(value) {
        assert_eq!(httpdate::parse_http_date(&httpdate::fmt_http_date(date)).ok(), Some(date));
        assert!(correct(&clock, date) <= 2, "the local time, and that of the date");
        let off = clock.now().duration_since(date).unwrap_or_else(|e| e.duration());
        assert!(off <= Duration::from_secs(2), "{off:?}");
        assert!(correct(&clock, date) <= 2, "the same, and the local time");
    }
});
