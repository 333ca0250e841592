//! The sandbox's own time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::sync::lock;

/// The clock of a sandbox: the machine's clock, moved by an offset that tests set, or stopped.
///
/// Expiry, the checks of `iat` and `exp`, the rate limit and the `Date` of every answer follow it. Clones are the
/// same clock.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset_ms: Arc<AtomicI64>,
    stopped_at: Arc<Mutex<Option<SystemTime>>>,
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

    /// Stops the clock at the latest half second (`.5`) that has passed. The clock can still be moved.
    ///
    /// A `Date` holds whole seconds. So the `Date` of a stopped clock is always half a second behind that clock.
    pub fn stop(&self) {
        let half = Duration::from_millis(500);
        let second = (machine_time() - half).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        *lock(&self.stopped_at) = Some(UNIX_EPOCH + Duration::from_secs(second) + half);
    }

    /// Lets a stopped clock run on, as if it had never stopped.
    pub fn resume(&self) {
        *lock(&self.stopped_at) = None;
    }

    /// The sandbox's present time.
    ///
    /// # Panics
    ///
    /// If the clock was moved before 1970.
    pub fn now(&self) -> SystemTime {
        let machine = lock(&self.stopped_at).unwrap_or_else(machine_time);
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

fn machine_time() -> SystemTime {
    #[allow(clippy::disallowed_methods, reason = "the sandbox's only reader of time")]
    SystemTime::now()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).expect("the clock is moved by less than 292 million years")
}
