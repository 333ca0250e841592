//! The only reader of time: wall clock with a learned offset, and deadlines.
#![allow(clippy::disallowed_methods, reason = "this is the module that the rule points to")]

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

/// In seconds. A smaller difference proves nothing: a `Date` has whole seconds, and the answer takes time to arrive.
const TOLERANCE: i64 = 2;

/// A stored offset is valid while the local clock is still wrong by the same amount, within this tolerance in seconds.
const SETTING: i64 = 30;

/// The current time: the system's clock, corrected where a server has accepted the correction.
///
/// A device without a battery clock may start in 1970. Client assertions (RFC 7523) carry the time, so a wrong clock fails authentication.
/// If a server refuses an assertion, the library signs another one with the time of the answer's `Date` header. If the server accepts the
/// new assertion, the difference between its time and the local time becomes the offset. The offset stays until a server refuses an
/// assertion that was signed with it. The `Date` of an answer that accepts an assertion never changes the offset.
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
    /// The time of a clock that tests move; `None` is the system's clock.
    manual: Option<RwLock<SystemTime>>,
    /// Seconds to add to the local clock.
    offset: AtomicI64,
    /// The `Date` of the last answer agreed with the local clock, so the clock has probably been set. The local time is tried first.
    doubted: AtomicBool,
}

impl Inner {
    fn new(manual: Option<SystemTime>) -> Arc<Self> {
        let manual = manual.map(RwLock::new);
        Arc::new(Self { manual, offset: AtomicI64::new(0), doubted: AtomicBool::new(false) })
    }
}

impl Clock {
    /// Returns the system's clock.
    pub fn system() -> Self {
        Self(Inner::new(None))
    }

    /// Makes a clock that stands still until [`advance`](Self::advance) or [`set`](Self::set) moves it, for tests.
    pub fn manual(now: SystemTime) -> Self {
        Self(Inner::new(Some(now)))
    }

    /// Moves a manual clock forward. Has no effect on the system's clock.
    pub fn advance(&self, by: Duration) {
        if let Some(now) = &self.0.manual {
            let mut now = now.write().unwrap_or_else(PoisonError::into_inner);
            *now = now.checked_add(by).unwrap_or(*now);
        }
    }

    /// Sets a manual clock. Has no effect on the system's clock.
    pub fn set(&self, to: SystemTime) {
        if let Some(now) = &self.0.manual {
            *now.write().unwrap_or_else(PoisonError::into_inner) = to;
        }
    }

    /// Returns the time, with the offset applied.
    pub fn now(&self) -> SystemTime {
        shift(self.local(), self.offset())
    }

    /// Returns the seconds by which the local clock is behind the server's (negative: ahead). 0 unless a server accepted an assertion that
    /// was signed with the corrected time.
    pub fn offset(&self) -> i64 {
        self.0.offset.load(Ordering::Relaxed)
    }

    /// Returns the local time with this offset.
    pub(crate) fn with_offset(&self, offset: i64) -> SystemTime {
        shift(self.local(), offset)
    }

    /// Returns the offsets to sign the next request with, one after the other.
    pub(crate) fn offsets(&self) -> Offsets {
        let kept = self.offset();
        let first = if self.0.doubted.load(Ordering::Relaxed) { 0 } else { kept };
        Offsets { kept, tried: vec![first], date_is_tried: false }
    }

    /// Notes that a server has accepted an assertion that was signed with this offset.
    pub(crate) fn accept(&self, offset: i64, date: Option<ServerDate>) {
        let is_local = |date: ServerDate| offset != 0 && !date.differs_from(self.local());
        self.0.doubted.store(date.is_some_and(is_local), Ordering::Relaxed);
        if self.offset() != offset {
            self.0.offset.store(offset, Ordering::Relaxed);
        }
    }

    /// Notes that a server has refused an assertion that was signed with this offset. If another thread's offset was accepted meanwhile,
    /// that one stays.
    pub(crate) fn refuse(&self, offset: i64) {
        let _ = self.0.offset.compare_exchange(offset, 0, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Takes over an offset that a server accepted from another process, if the local clock is still wrong by the same amount. That process
    /// obtained its token at `obtained_at`. An offset of this process is not replaced.
    pub(crate) fn recall(&self, offset: i64, obtained_at: SystemTime) {
        let since = |now| seconds_between(obtained_at, now) >= -SETTING;
        let local = self.local();
        // A clock that was behind still is, if it shows a time before the token was issued. A clock that was ahead still is, if even the
        // corrected time is after that.
        let still_wrong = if offset > 0 { !since(local) } else { since(shift(local, offset)) };
        if offset.unsigned_abs() >= TOLERANCE.unsigned_abs() && still_wrong {
            let _ = self.0.offset.compare_exchange(0, offset, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Returns the time that is compared with the expiry of a token: the latest of the local time, the local time with the offset `then`,
    /// and the local time with the present offset. `then` is the offset at which the token was issued. So no expired token counts as valid,
    /// whichever of the three times is right.
    pub(crate) fn judging(
        &self,
        issued_at: SystemTime,
        expires_at: Option<SystemTime>,
        then: i64,
    ) -> SystemTime {
        let (local, offset) = (self.local(), self.offset());
        if (offset, then) == (0, 0) {
            return local;
        }
        let corrected = shift(local, offset).max(shift(local, then));
        // No server issues an expired token. If this one had expired by the local time when it was issued, that time is wrong.
        let issued = shift(issued_at, then.saturating_neg());
        let contradicted = expires_at.is_some_and(|end| end <= issued);
        if contradicted { corrected } else { corrected.max(local) }
    }

    /// Whether the local clock shows a time before `issued_at`. The age of a token that was issued then is unknown.
    pub(crate) fn is_before(&self, issued_at: SystemTime) -> bool {
        seconds_between(issued_at, self.local()) < -SETTING
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

/// The offsets that one exchange tries. A server can tell any two of them apart.
pub(crate) struct Offsets {
    kept: i64,
    /// The last offset is the one to sign with.
    tried: Vec<i64>,
    /// Only one `Date` is tried, although each answer may have another one.
    date_is_tried: bool,
}

impl Offsets {
    /// Returns the offset to sign with.
    pub(crate) fn now(&self) -> i64 {
        self.tried.last().copied().unwrap_or_default()
    }

    /// Takes the next offset after a refusal: the kept one, then that of the answer's `Date`, then 0, which is the local time. Returns
    /// `false` if all were refused.
    pub(crate) fn advance(&mut self, clock: &Clock, date: Option<ServerDate>) -> bool {
        let local = clock.local();
        let is_new = |tried: &[i64], offset: i64| {
            tried.iter().all(|old| old.abs_diff(offset) >= TOLERANCE.unsigned_abs())
        };
        let differs = |date: &ServerDate| !self.date_is_tried && date.differs_from(shift(local, self.now()));
        let apart = |date: ServerDate| seconds_between(local, date.time);
        let by_date = date.filter(differs).map(|date| if date.differs_from(local) { apart(date) } else { 0 });
        let next = [Some(self.kept), by_date, Some(0)].into_iter().flatten();
        let next = next.into_iter().find(|offset| is_new(&self.tried, *offset));
        self.date_is_tried |= next.is_some() && next == by_date;
        self.tried.extend(next);
        next.is_some()
    }
}

/// The current time according to an answer's `Date`, and how wrong it may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerDate {
    pub(crate) time: SystemTime,
    /// How long the exchange took.
    pub(crate) within: Duration,
}

impl ServerDate {
    /// Whether the time differs by 2 s or more, and by more than the exchange took.
    pub(crate) fn differs_from(self, time: SystemTime) -> bool {
        let apart = self.time.duration_since(time).unwrap_or_else(|e| e.duration());
        apart >= Duration::from_secs(TOLERANCE.unsigned_abs()) && apart > self.within
    }
}

/// Whole Unix seconds, negative before 1970 (RFC 7519 `NumericDate`).
pub(crate) fn unix_seconds(time: SystemTime) -> i64 {
    seconds_between(SystemTime::UNIX_EPOCH, time)
}

/// Returns the time at this many Unix seconds, or the nearest one that can be represented.
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

/// The end of the year 9999 (RFC 3339 has no later one).
const LAST: Duration = Duration::from_secs(253_402_300_799);

/// 2001-09-09, before OAuth.
const FIRST: Duration = Duration::from_secs(1_000_000_000);

/// Whether a time is no later than the year 9999.
pub(crate) fn is_countable(time: SystemTime) -> bool {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default() <= LAST
}

/// The year 2200. No token of today is valid for so long, but the ticks of Windows would be microseconds of the year 6229.
const LAST_IN_OTHER_UNITS: Duration = Duration::from_secs(7_258_118_400);

/// Corrects a time past the year 9999: it was given in milliseconds, microseconds or nanoseconds, and read as seconds. Returns `None` if
/// none of these units makes it a time from 2001 to 2200, because no token expires at another time.
pub(crate) fn in_seconds(time: SystemTime) -> Option<SystemTime> {
    if is_countable(time) {
        return Some(time);
    }
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let units = [1_000, 1_000_000, 1_000_000_000];
    let since = units
        .into_iter()
        .map(|unit| since / unit)
        .find(|since| (FIRST..=LAST_IN_OTHER_UNITS).contains(since))?;
    Some(SystemTime::UNIX_EPOCH + since)
}

/// Returns `time` plus this many seconds, or `time` itself where the sum cannot be represented.
fn shift(time: SystemTime, seconds: i64) -> SystemTime {
    plus(time, seconds).unwrap_or(time)
}

/// Returns `time` plus this many seconds, if it can be represented.
pub(crate) fn plus(time: SystemTime, seconds: i64) -> Option<SystemTime> {
    let by = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { time.checked_sub(by) } else { time.checked_add(by) }
}

/// The longest wait. More would overflow in ureq.
pub(crate) const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Measures how long something takes. Monotonic: setting the wall clock has no effect on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The moment by which a call returns. Monotonic, as a [`Stopwatch`] is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    since: Stopwatch,
    after: Duration,
}

impl Deadline {
    pub(crate) fn after(after: Duration) -> Self {
        Self { since: Stopwatch::start(), after: after.min(LONGEST) }
    }

    /// Time left; zero once it has passed.
    pub(crate) fn remaining(&self) -> Duration {
        self.after.saturating_sub(self.since.elapsed())
    }

    pub(crate) fn has_passed(&self) -> bool {
        self.remaining().is_zero()
    }

    /// Time since the deadline was set.
    pub(crate) fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    /// Whether a wait of this length would end before the deadline.
    pub(crate) fn allows(&self, wait: Duration) -> bool {
        self.elapsed().saturating_add(wait) < self.after
    }

    /// Sleeps, unless that would pass the deadline: then returns `false` at once.
    pub(crate) fn sleep(&self, wait: Duration) -> bool {
        let until = self.elapsed().saturating_add(wait);
        if until >= self.after {
            return false;
        }
        loop {
            // Where timers run faster than the clock, one sleep may be a little short.
            let left = until.saturating_sub(self.elapsed());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left);
        }
    }

    /// Sleeps as [`sleep`](Self::sleep) does, before another try. Also returns `false` if the sleep ended so late that the try has no time
    /// left, as on a busy machine.
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

    #[allow(clippy::unnecessary_wraps, reason = "an answer may have none")]
    fn date(seconds: i64) -> Option<ServerDate> {
        Some(ServerDate { time: at(seconds), within: Duration::ZERO })
    }

    /// Returns the offsets that an exchange signs with, if every answer is a refusal, with these dates in turn.
    fn signed(clock: &Clock, dates: &[Option<ServerDate>]) -> Vec<i64> {
        let mut offsets = clock.offsets();
        let mut signed = vec![offsets.now()];
        for date in dates {
            if !offsets.advance(clock, *date) {
                return signed;
            }
            signed.push(offsets.now());
        }
        signed
    }

    #[test]
    fn refused_assertion_is_signed_with_the_date_and_then_with_the_local_time() {
        const NOW: i64 = 1_000_000;
        for (kept, dates, expected) in [
            (0, vec![None; 3], vec![0]),
            (0, vec![date(NOW + 1); 3], vec![0]),
            (0, vec![date(NOW - 1); 3], vec![0]),
            (0, vec![date(NOW + 2); 3], vec![0, 2]),
            (0, vec![date(NOW - 11); 3], vec![0, -11]),
            (0, vec![date(NOW + 3_600), date(NOW - 3_600), date(NOW + 90)], vec![0, 3_600]),
            (0, vec![None, date(NOW + 60), None], vec![0]),
            (60, vec![None; 3], vec![60, 0]),
            (60, vec![date(NOW + 61); 3], vec![60, 0]),
            (60, vec![date(NOW); 3], vec![60, 0]),
            (60, vec![date(NOW - 1); 3], vec![60, 0]),
            (60, vec![date(NOW + 3_600); 3], vec![60, 3_600, 0]),
            (60, vec![date(NOW + 3_600), date(NOW - 5), date(NOW + 7)], vec![60, 3_600, 0]),
            (-86_400, vec![date(NOW + 86_400), None, None], vec![-86_400, 86_400, 0]),
            (1, vec![date(NOW + 3_600), None, None], vec![1, 3_600]),
        ] {
            let clock = Clock::manual(at(NOW));
            clock.accept(kept, None);
            assert_eq!(signed(&clock, &dates), expected, "{kept}, {dates:?}");
        }
    }

    #[test]
    fn date_header_counts_if_it_differs_by_more_than_the_exchange_took() {
        let within = Duration::from_secs(20);
        for (off, differs) in [(0, false), (19, false), (20, false), (21, true), (-20, false), (-21, true)] {
            let date = ServerDate { time: at(1_000 + off), within };
            assert_eq!(date.differs_from(at(1_000)), differs, "{off}");
        }
    }

    #[test]
    fn offset_is_kept_until_it_is_refused_and_no_date_header_changes_it() {
        let clock = Clock::manual(at(1_000_000));
        clock.accept(-25, date(999_975));
        for wrong in [date(1_003_600), date(999_000), None, date(999_975)] {
            clock.accept(-25, wrong);
            assert_eq!((clock.offset(), clock.now()), (-25, at(999_975)));
            assert_eq!(signed(&clock, &[]), [-25]);
        }
        // Another thread was refused meanwhile, and had another offset accepted.
        clock.accept(40, None);
        clock.refuse(-25);
        assert_eq!(clock.offset(), 40);
        clock.refuse(40);
        assert_eq!(clock.offset(), 0);
    }

    #[test]
    fn local_time_is_tried_first_after_the_clock_was_set() {
        let clock = Clock::manual(at(0));
        clock.accept(1_000_000, date(1_000_000));
        clock.set(at(1_000_000));
        // A server that does not check `iat` accepts any time.
        clock.accept(1_000_000, date(1_000_000));
        assert_eq!(clock.offset(), 1_000_000, "what was accepted is not replaced by a header");
        assert_eq!(signed(&clock, &[None, None]), [0, 1_000_000]);
        clock.accept(0, date(1_000_000));
        assert_eq!((clock.offset(), signed(&clock, &[])), (0, vec![0]));
    }

    #[test]
    fn token_expiry_is_judged_by_the_latest_plausible_time() {
        const NOW: i64 = 1_000_000;
        let clock = Clock::manual(at(NOW));
        // Issued at the local time NOW with the offset `then`, for 900 s.
        for (then, now, expected) in [
            (0, 0, NOW),
            (25, 25, NOW + 25),
            (3_600, 0, NOW + 3_600),
            (0, 3_600, NOW + 3_600),
            (-25, -25, NOW),
            (-899, -899, NOW),
            // By the local time it had expired when it was issued.
            (-900, -900, NOW - 900),
            (-86_400, -86_400, NOW - 86_400),
            (-86_400, 0, NOW),
            (0, -86_400, NOW),
        ] {
            clock.accept(now, None);
            let judged = clock.judging(at(NOW + then), Some(at(NOW + then + 900)), then);
            assert_eq!(judged, at(expected), "issued at {then}, now {now}");
        }
    }

    #[test]
    fn clones_of_a_clock_share_the_offset() {
        let clock = Clock::manual(at(0));
        clock.clone().accept(86_400, None);
        assert_eq!(clock.now(), at(86_400));
        clock.clone().refuse(86_400);
        assert_eq!(clock.now(), at(0));
    }

    #[test]
    fn stored_offset_is_used_only_while_the_clock_is_wrong_and_no_own_offset_exists() {
        const ISSUED: i64 = 1_000_000;
        for (offset, local, expected) in [
            (86_400, ISSUED - 86_400, 86_400),
            (86_400, ISSUED, 0),
            (-86_400, ISSUED + 86_400, -86_400),
            (-86_400, ISSUED, 0),
            (-25, ISSUED + 25, -25),
            (1, ISSUED - 1, 0),
        ] {
            let clock = Clock::manual(at(local));
            clock.recall(offset, at(ISSUED));
            assert_eq!(clock.offset(), expected, "{offset} at {local}");
            clock.accept(7, None);
            clock.recall(offset, at(ISSUED));
            assert_eq!(clock.offset(), 7);
        }
    }

    #[test]
    fn time_before_1970_has_negative_seconds() {
        assert_eq!(unix_seconds(at(-5)), -5);
        assert_eq!(unix_seconds(at(i64::from(i32::MAX) + 1)), 2_147_483_648);
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        for extreme in [i64::MIN, i64::MIN + 1, i64::MAX] {
            let clock = Clock::manual(at(extreme));
            let mut offsets = clock.offsets();
            while offsets.advance(&clock, date(0)) {}
            clock.accept(offsets.now(), date(0));
            let _ = clock.now();
            let clock = Clock::manual(at(extreme));
            let _ = unix_seconds(clock.now());
            clock.recall(extreme, at(0));
            let _ = clock.now();
            let _ = clock.judging(at(extreme), Some(at(0)), extreme);
        }
    }

    #[test]
    fn deadline_refuses_a_sleep_that_would_pass_it() {
        let deadline = Deadline::after(Duration::from_secs(5));
        assert!(!deadline.sleep(Duration::from_secs(6)));
        assert!(deadline.elapsed() < Duration::from_secs(5), "refused at once");
        assert!(deadline.sleep(Duration::from_millis(1)));
        assert!(Deadline::after(Duration::ZERO).has_passed());
        assert!(!Deadline::after(Duration::MAX).has_passed());
        // A sleep of 9.99 ms nearly always ends too late. A busy machine may leave no time for it, so this tries again.
        assert!((0..100).any(|_| {
            let near = Deadline::after(Duration::from_millis(10));
            !near.pause(Duration::from_micros(9_990)) && near.has_passed()
        }));
    }
}
