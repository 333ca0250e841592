//! [`ForcedRenewals`]: how often refused tokens may force a renewal.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Stopwatch;

/// The shortest time between two forced renewals, unless a call succeeded between them.
const INTERVAL: Duration = Duration::from_secs(30);

/// Limits forced renewals: an endpoint that always answers 401 must not cause one for each call.
pub(super) struct ForcedRenewals {
    /// The number of forced renewals. The lock is held while a renewal is being forced.
    count: Mutex<u32>,
    since: Stopwatch,
    /// When the last renewal was forced, in milliseconds since the agent was made, modulo 2^32 (49 days). 0: never, or a call has
    /// succeeded since.
    last: AtomicU32,
}

impl ForcedRenewals {
    pub(super) fn new() -> Self {
        Self { count: Mutex::default(), since: Stopwatch::start(), last: AtomicU32::new(0) }
    }

    /// Returns the number of forced renewals. Waits while another thread forces one.
    pub(super) fn count(&self) -> u32 {
        *self.lock()
    }

    /// Calls `force` if the interval allows a renewal now, and if no thread has forced one since `count` was read. Other threads wait
    /// until `force` returns, so that they see its effect.
    pub(super) fn force_at_most_once(&self, count: u32, force: impl FnOnce()) {
        let mut forced = self.lock();
        if *forced == count && self.may_force(self.since.elapsed()) {
            *forced = forced.wrapping_add(1);
            force();
        }
    }

    fn lock(&self) -> MutexGuard<'_, u32> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a renewal may be forced at this age of the agent. If so, records it as forced.
    fn may_force(&self, age: Duration) -> bool {
        let milliseconds = |time: Duration| u32::try_from(time.as_millis() % (1 << 32)).unwrap_or_default();
        let now = milliseconds(age).wrapping_add(1).max(1);
        let last = self.last.load(Ordering::Relaxed);
        (last == 0 || now.wrapping_sub(last) >= milliseconds(INTERVAL))
            && self.last.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Notes that a call succeeded.
    pub(super) fn clear(&self) {
        // The load spares all threads a write to the same cache line at each call.
        if self.last.load(Ordering::Relaxed) != 0 {
            self.last.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_tokens_force_one_renewal_in_30_seconds_unless_a_call_succeeds() {
        let forced = ForcedRenewals::new();
        let may_force_after = |ms| forced.may_force(Duration::from_millis(ms));
        assert!(may_force_after(0));
        assert!(!may_force_after(1) && !may_force_after(29_999));
        assert!(may_force_after(30_000) && !may_force_after(59_999));
        forced.clear();
        assert!(may_force_after(59_999) && !may_force_after(60_000));
    }

    #[test]
    fn interval_of_forced_renewals_survives_counter_overflow() {
        const START: u64 = 1 << 32;
        let forced = ForcedRenewals::new();
        let may_force_after = |ms| forced.may_force(Duration::from_millis(ms));
        assert!(may_force_after(START - 10));
        assert!(!may_force_after(START - 1) && !may_force_after(START) && !may_force_after(START + 29_989));
        assert!(may_force_after(START + 29_990));
    }
}
