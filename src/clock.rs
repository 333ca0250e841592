//! The only reader of time: wall clock with a learned offset, and deadlines.
#![allow(clippy::disallowed_methods, reason = "this is the module that the rule points to")]

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

/// A server's `Date` may differ by this much before the local clock counts as wrong.
const TOLERANCE: i64 = 30;

/// What time it is: the system's clock, corrected by what servers said.
///
/// A device without a battery clock may start in 1970. Client assertions (RFC 7523) carry the time, so a wrong
/// clock fails authentication. The offset is learned from the `Date` header of a token endpoint when it is more
/// than 30 s off, and cleared by the next token answer whose `Date` agrees.
///
/// Clones share the offset. All methods may be called from any thread.
///
/// ```
/// # use std::time::{Duration, SystemTime};
/// let clock = keyfob::Clock::manual(SystemTime::UNIX_EPOCH);
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now(), SystemTime::UNIX_EPOCH + Duration::from_secs(60));
/// ```
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    /// Set for a clock that tests move; `None` is the system's.
    manual: Option<RwLock<SystemTime>>,
    /// Seconds to add to the local clock.
    offset: AtomicI64,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(Arc::new(Inner { manual: None, offset: AtomicI64::new(0) }))
    }

    /// A clock that stands still until [`advance`](Self::advance) or [`set`](Self::set) moves it, for tests.
    pub fn manual(now: SystemTime) -> Self {
        Self(Arc::new(Inner { manual: Some(RwLock::new(now)), offset: AtomicI64::new(0) }))
    }

    /// Moves a manual clock forward; does nothing to the system's.
    pub fn advance(&self, by: Duration) {
        if let Some(now) = &self.0.manual {
            let mut now = now.write().unwrap_or_else(PoisonError::into_inner);
            *now = now.checked_add(by).unwrap_or(*now);
        }
    }

    /// Sets a manual clock; does nothing to the system's.
    pub fn set(&self, to: SystemTime) {
        if let Some(now) = &self.0.manual {
            *now.write().unwrap_or_else(PoisonError::into_inner) = to;
        }
    }

    /// The time, with the offset applied.
    pub fn now(&self) -> SystemTime {
        shift(self.local(), self.offset())
    }

    /// Seconds by which the local clock is behind the server's (negative: ahead). 0 unless a server said so.
    pub fn offset(&self) -> i64 {
        self.0.offset.load(Ordering::Relaxed)
    }

    /// Takes over an offset that was learned by another process when a token came at `obtained_at`, if the local clock is
    /// still wrong in the same way.
    pub(crate) fn recall(&self, offset: i64, obtained_at: SystemTime) {
        let since = |now| seconds_between(obtained_at, now) >= -TOLERANCE;
        let local = self.local();
        // A clock that shows a time before the token came is behind. One that was ahead shows a time after it even when
        // the offset is taken off.
        let still_wrong = if offset > 0 { !since(local) } else { since(shift(local, offset)) };
        if offset.unsigned_abs() > TOLERANCE.unsigned_abs() && still_wrong {
            self.0.offset.store(offset, Ordering::Relaxed);
        }
    }

    /// The latest that it can be by what another process learned: it does not show in the local time whether a clock that
    /// was a little behind has been set since.
    pub(crate) fn latest(&self, offset: i64) -> SystemTime {
        self.now().max(shift(self.local(), offset))
    }

    /// Takes a server's `Date` as the truth if the local clock is more than 30 s off, else trusts the local clock.
    pub(crate) fn learn(&self, date: SystemTime) {
        let behind = seconds_between(self.local(), date);
        let offset = if behind.abs() > TOLERANCE { behind } else { 0 };
        self.0.offset.store(offset, Ordering::Relaxed);
    }

    /// Whether `date` shows that [`now`](Self::now) is wrong.
    pub(crate) fn disagrees_with(&self, date: SystemTime) -> bool {
        seconds_between(self.now(), date).abs() > TOLERANCE
    }

    fn local(&self) -> SystemTime {
        match &self.0.manual {
            None => SystemTime::now(),
            Some(now) => *now.read().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("offset", &self.offset()).finish()
    }
}

/// Whole Unix seconds, negative before 1970 (RFC 7519 `NumericDate`).
pub(crate) fn unix_seconds(time: SystemTime) -> i64 {
    seconds_between(SystemTime::UNIX_EPOCH, time)
}

/// The time at so many Unix seconds, as far as it can be represented.
pub(crate) fn from_unix_seconds(seconds: i64) -> SystemTime {
    shift(SystemTime::UNIX_EPOCH, seconds)
}

fn seconds_between(from: SystemTime, to: SystemTime) -> i64 {
    let seconds = |d: Duration| i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
    match to.duration_since(from) {
        Ok(later) => seconds(later),
        Err(earlier) => -seconds(earlier.duration()),
    }
}

/// `time` plus so many seconds; `time` itself where the sum cannot be represented.
fn shift(time: SystemTime, seconds: i64) -> SystemTime {
    let by = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { time.checked_sub(by) } else { time.checked_add(by) }.unwrap_or(time)
}

/// A longer wait is as good as for ever, and more than this overflows what ureq counts with.
pub(crate) const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The moment by which a call returns. Monotonic: setting the wall clock does not move it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    started: Instant,
    after: Duration,
}

impl Deadline {
    pub(crate) fn after(after: Duration) -> Self {
        Self { started: Instant::now(), after: after.min(LONGEST) }
    }

    /// Time left; zero once it has passed.
    pub(crate) fn remaining(&self) -> Duration {
        self.after.saturating_sub(self.started.elapsed())
    }

    pub(crate) fn has_passed(&self) -> bool {
        self.remaining().is_zero()
    }

    /// Time since the deadline was set.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Sleeps, unless that would pass the deadline: then returns `false` at once.
    pub(crate) fn sleep(&self, wait: Duration) -> bool {
        let fits = wait < self.remaining();
        if fits {
            std::thread::sleep(wait);
        }
        fits
    }

    /// The same before another try. Also `false` if the sleep ended late, as on a busy machine: the try has no time left.
    pub(crate) fn pause(&self, wait: Duration) -> bool {
        self.sleep(wait) && !self.has_passed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> SystemTime {
        shift(SystemTime::UNIX_EPOCH, seconds)
    }

    #[test]
    fn an_offset_is_learned_past_30_seconds_and_cleared_within() {
        let clock = Clock::manual(at(1_000_000));
        for (date, offset) in [
            (1_000_030, 0),
            (1_000_031, 31),
            (999_970, 0),
            (999_969, -31),
            (1_800_000_000, 1_799_000_000),
            (1_000_001, 0),
        ] {
            clock.learn(at(date));
            assert_eq!(clock.offset(), offset, "date {date}");
            assert_eq!(clock.now(), at(1_000_000 + offset));
        }
    }

    #[test]
    fn clones_share_what_was_learned() {
        let clock = Clock::manual(at(0));
        clock.clone().learn(at(86_400));
        assert_eq!(clock.now(), at(86_400));
        assert!(!clock.disagrees_with(at(86_429)));
        assert!(clock.disagrees_with(at(0)));
    }

    #[test]
    fn time_before_1970_is_negative() {
        assert_eq!(unix_seconds(at(-5)), -5);
        assert_eq!(unix_seconds(at(i64::from(i32::MAX) + 1)), 2_147_483_648);
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        for extreme in [i64::MIN, i64::MIN + 1, i64::MAX] {
            let clock = Clock::manual(at(extreme));
            clock.learn(at(0));
            let _ = clock.now();
            let _ = unix_seconds(clock.now());
            clock.recall(extreme, at(0));
            let _ = clock.now();
        }
    }

    #[test]
    fn a_deadline_refuses_a_sleep_that_would_pass_it() {
        let deadline = Deadline::after(Duration::from_secs(5));
        assert!(!deadline.sleep(Duration::from_secs(6)));
        assert!(deadline.elapsed() < Duration::from_secs(5), "refused at once");
        assert!(deadline.sleep(Duration::from_millis(1)));
        assert!(Deadline::after(Duration::ZERO).has_passed());
        assert!(!Deadline::after(Duration::MAX).has_passed());
        // No sleep ends to the microsecond; on a busy machine there may be none.
        assert!((0..100).any(|_| {
            let near = Deadline::after(Duration::from_millis(10));
            !near.pause(Duration::from_micros(9_990)) && near.has_passed()
        }));
    }
}
