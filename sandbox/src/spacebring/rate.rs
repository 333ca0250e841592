//! The limit on requests in any second.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use crate::Clock;
use crate::sync::lock;

/// The published limit.
const DEFAULT_LIMIT: usize = 10;

const WINDOW: Duration = Duration::from_secs(1);

/// A sliding window for each credential, by the sandbox's clock.
pub(super) struct RateLimit {
    clock: Clock,
    inner: Mutex<Inner>,
}

struct Inner {
    limit: Option<usize>,
    /// The calls of the last second. Refused calls do not count, so a client that waits succeeds.
    calls: VecDeque<(SystemTime, String)>,
    refused: u64,
}

impl RateLimit {
    pub(super) fn new(clock: Clock) -> Self {
        let inner = Inner { limit: Some(DEFAULT_LIMIT), calls: VecDeque::new(), refused: 0 };
        Self { clock, inner: Mutex::new(inner) }
    }

    pub(super) fn set_limit(&self, limit: Option<usize>) {
        lock(&self.inner).limit = limit;
    }

    pub(super) fn admits(&self, credential: &str) -> bool {
        let now = self.clock.now();
        let mut inner = lock(&self.inner);
        let Some(limit) = inner.limit else { return true };
        // A clock that was moved back leaves calls in the future. They are removed too.
        inner.calls.retain(|(at, _)| now.duration_since(*at).is_ok_and(|age| age < WINDOW));
        let recent = inner.calls.iter().filter(|(_, caller)| caller == credential).count();
        if recent >= limit {
            inner.refused += 1;
            return false;
        }
        inner.calls.push_back((now, credential.to_owned()));
        true
    }

    pub(super) fn refused(&self) -> u64 {
        lock(&self.inner).refused
    }

    pub(super) fn reset_refused(&self) {
        lock(&self.inner).refused = 0;
    }
}
