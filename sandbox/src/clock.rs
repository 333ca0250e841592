//! The sandbox's own time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The clock that a sandbox goes by: the machine's, moved by an offset that tests set.
///
/// Expiry, the checks of `iat` and `exp` and the `Date` of every answer follow it. Clones share the offset.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset_ms: Arc<AtomicI64>,
}

impl Clock {
    /// Moves the clock ahead.
    pub fn advance(&self, by: Duration) {
        self.offset_ms.fetch_add(millis(by), Ordering::SeqCst);
    }

    /// Moves the clock back.
    pub fn rewind(&self, by: Duration) {
        self.offset_ms.fetch_sub(millis(by), Ordering::SeqCst);
    }

    /// Sets how many seconds the clock is ahead of the machine's; negative for behind. Default: 0.
    pub fn set_offset(&self, seconds: i64) {
        self.offset_ms.store(seconds.saturating_mul(1000), Ordering::SeqCst);
    }

    /// The sandbox's present time.
    ///
    /// # Panics
    ///
    /// If the clock was moved before 1970.
    pub fn now(&self) -> SystemTime {
        #[allow(clippy::disallowed_methods, reason = "the sandbox's only reader of time")]
        let machine = SystemTime::now();
        let offset = self.offset_ms.load(Ordering::SeqCst);
        let moved = Duration::from_millis(offset.unsigned_abs());
        let now = if offset < 0 { machine.checked_sub(moved) } else { machine.checked_add(moved) };
        now.filter(|now| *now >= UNIX_EPOCH).expect("the sandbox's clock is after 1970")
    }

    /// The sandbox's present time in whole Unix seconds.
    pub fn unix(&self) -> i64 {
        let since_epoch = self.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX)
    }

    /// The present time as the `Date` header has it (RFC 9110, section 5.6.7).
    pub(crate) fn http_date(&self) -> String {
        httpdate::fmt_http_date(self.now())
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).expect("the clock is moved by less than 292 million years")
}
