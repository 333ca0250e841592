//! [`RateLimit`]: at most so many requests in any second.
//!
//! A token bucket lets a burst through. Even spacing alone guarantees nothing either, because a request may travel faster than the one
//! before it. So with a limit of n, each request waits until the n-th request before it has been at the service for a second. The answer to
//! a request proves that it has arrived. Requests are sent in the order of the calls.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Deadline, Stopwatch};
use crate::error::{Advice, Error, ErrorKind};
use crate::text::Seconds;

/// The time over which requests are counted: slightly more than a second, because clocks differ in speed.
const WINDOW: Duration = Duration::from_millis(1002);

/// After this time a request counts as arrived, even without an answer. So slow answers reduce the rate by a tenth at most.
const TRAVEL: Duration = Duration::from_millis(100);

/// The smallest distance between two requests, as a fraction of the even spacing. The rest lets requests catch up after a late one.
const SPREAD: f64 = 0.9;

pub(super) struct RateLimit {
    per_second: u32,
    started: Stopwatch,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    /// The numbers of the waiting requests, the first in front.
    waiting: VecDeque<u64>,
    next_number: u64,
    /// The arrival times of the last requests, measured from `started`. There are at most as many as the limit.
    arrivals: VecDeque<Duration>,
    /// The number of requests that were permitted.
    permitted: u64,
    /// The time of the last permit.
    last: Option<Duration>,
}

/// The right to send one request. It is dropped once the answer has arrived.
pub(super) struct Permit<'a> {
    limit: &'a RateLimit,
    index: u64,
}

impl RateLimit {
    /// Returns `None` for a rate of 0, which stands for no limit.
    pub(super) fn new(per_second: u32) -> Option<Self> {
        (per_second > 0).then(|| Self {
            per_second,
            started: Stopwatch::start(),
            queue: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// Waits until one request may be sent. If that would take longer than the deadline, fails at once and takes no place in the
    /// queue.
    pub(super) fn acquire(&self, deadline: &Deadline) -> Result<Permit<'_>, Error> {
        let mut queue = self.lock();
        let ahead = u32::try_from(queue.waiting.len()).unwrap_or(u32::MAX);
        let wait = self.until_open(&queue) + (WINDOW / self.per_second).saturating_mul(ahead);
        if wait > deadline.remaining() {
            return Err(self.too_late(wait));
        }
        let number = queue.next_number;
        queue.next_number += 1;
        queue.waiting.push_back(number);
        loop {
            let wait = self.until_open(&queue);
            let is_first = queue.waiting.front() == Some(&number);
            let may_go = is_first && wait.is_zero();
            let left = deadline.remaining();
            if may_go || left.is_zero() {
                queue.waiting.retain(|&other| other != number);
                self.changed.notify_all();
                return if may_go { Ok(self.permit(&mut queue)) } else { Err(self.too_late(wait)) };
            }
            let nap = if is_first { left.min(wait) } else { left };
            queue = self.changed.wait_timeout(queue, nap).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn permit(&self, queue: &mut Queue) -> Permit<'_> {
        let now = self.started.elapsed();
        if queue.arrivals.len() == self.limit() {
            queue.arrivals.pop_front();
        }
        queue.arrivals.push_back(now + TRAVEL);
        queue.last = Some(now);
        queue.permitted += 1;
        Permit { limit: self, index: queue.permitted - 1 }
    }

    /// How long the first in the queue has to wait.
    fn until_open(&self, queue: &Queue) -> Duration {
        let limit = (queue.arrivals.len() == self.limit()).then(|| queue.arrivals[0] + WINDOW);
        let distance = Duration::from_secs_f64(SPREAD / f64::from(self.per_second));
        let spread = queue.last.map(|last| last + distance);
        limit.max(spread).unwrap_or_default().saturating_sub(self.started.elapsed())
    }

    fn limit(&self) -> usize {
        usize::try_from(self.per_second).unwrap_or(usize::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn too_late(&self, wait: Duration) -> Error {
        // Rounded to tenths of a second.
        let tenths = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).saturating_add(50) / 100 * 100;
        let what = format!(
            "the request was not sent: its turn at {} requests per second is in {} s, past its deadline",
            self.per_second,
            Seconds(Duration::from_millis(tenths))
        );
        Error::of(ErrorKind::Timeout, what).with_advice(Advice::FewerCalls)
    }
}

/// Records the arrival of the request, which its answer proves.
impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut queue = self.limit.lock();
        let now = self.limit.started.elapsed();
        let newer = usize::try_from(queue.permitted - self.index).unwrap_or(usize::MAX);
        if let Some(at) = queue.arrivals.len().checked_sub(newer) {
            queue.arrivals[at] = queue.arrivals[at].min(now);
            self.limit.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_limit_over_any_second_is_kept_and_nearly_reached() {
        let limit = RateLimit::new(50).unwrap();
        let clock = Deadline::after(Duration::from_secs(60));
        let sent = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let _permit = limit.acquire(&clock).unwrap();
                        // The request arrives some time between permit and answer.
                        assert!(clock.sleep(Duration::from_millis(1)));
                        sent.lock().unwrap().push(clock.elapsed());
                    }
                });
            }
        });
        let mut sent = sent.into_inner().unwrap();
        sent.sort();
        for window in sent.windows(51) {
            // A thread may lose the processor between its permit and reading the clock.
            let span = window[50].saturating_sub(window[0]);
            assert!(span > Duration::from_millis(950), "{span:?}");
        }
        // 80 permits, 20.6 ms apart: the first at once, the last 1.63 s later.
        assert!(*sent.last().unwrap() < Duration::from_secs(3), "{sent:?}");
    }

    #[test]
    fn requests_are_permitted_in_the_order_of_asking() {
        let limit = RateLimit::new(100).unwrap();
        let deadline = Deadline::after(Duration::from_secs(60));
        drop(limit.acquire(&deadline).unwrap());
        let order = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for number in 0..8 {
                scope.spawn({
                    let (limit, order) = (&limit, &order);
                    move || {
                        drop(limit.acquire(&deadline).unwrap());
                        order.lock().unwrap().push(number);
                    }
                });
                while limit.lock().next_number < number + 2 {
                    std::thread::yield_now();
                }
            }
        });
        assert_eq!(order.into_inner().unwrap(), (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn request_past_its_deadline_leaves_the_queue() {
        let limit = RateLimit::new(5).unwrap();
        let long = Deadline::after(Duration::from_secs(60));
        drop(limit.acquire(&long).unwrap());
        limit.lock().waiting.push_back(u64::MAX);
        // This request has a place in the queue, but the request in front never leaves.
        let error = limit.acquire(&Deadline::after(Duration::from_millis(500))).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(limit.lock().waiting, [u64::MAX]);
        assert!(long.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn idle_time_allows_no_burst() {
        let limit = RateLimit::new(10).unwrap();
        let deadline = Deadline::after(Duration::from_secs(10));
        assert!(deadline.sleep(Duration::from_millis(250)));
        drop(limit.acquire(&deadline).unwrap());
        let then = deadline.elapsed();
        drop(limit.acquire(&deadline).unwrap());
        assert!(deadline.elapsed() > then + Duration::from_millis(90));
    }

    #[test]
    fn permit_past_the_deadline_is_refused_at_once_and_takes_no_place() {
        let limit = RateLimit::new(1).unwrap();
        let long = Deadline::after(Duration::from_secs(60));
        drop(limit.acquire(&long).unwrap());
        for _ in 0..3 {
            let error = limit.acquire(&Deadline::after(Duration::from_millis(50))).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Timeout);
            assert_eq!(
                error.to_string(),
                "the request was not sent: its turn at 1 requests per second is in 1 s, past its deadline; make \
                 fewer calls at once, or allow them more time"
            );
        }
        drop(limit.acquire(&long).unwrap());
        assert!(long.elapsed() < Duration::from_secs(2), "{:?}", long.elapsed());
    }

    #[test]
    fn slow_answer_delays_the_next_request_by_100_ms_at_most() {
        let limit = RateLimit::new(1).unwrap();
        let deadline = Deadline::after(Duration::from_secs(60));
        let slow = limit.acquire(&deadline).unwrap();
        let waiting = limit.until_open(&limit.lock());
        assert!(waiting > WINDOW && waiting <= WINDOW + TRAVEL, "{waiting:?}");
        assert!(deadline.sleep(Duration::from_millis(20)));
        drop(slow);
        let waiting = limit.until_open(&limit.lock());
        assert!(waiting > Duration::from_millis(900) && waiting <= WINDOW, "{waiting:?}");
    }

    #[test]
    fn rate_of_0_is_no_limit() {
        assert!(RateLimit::new(0).is_none());
    }
}
