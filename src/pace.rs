//! [`Pace`]: requests at an even rate.
//!
//! A token bucket that holds one token: a service may count its limit over any second, so nothing is saved up for a
//! burst. Whoever asks first goes first.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Deadline;
use crate::{Error, ErrorKind};

/// How much longer than 1 / rate the distance is. Requests do not all travel at the same speed: at 10 per second, the
/// last of 11 may catch up with the first by 30 ms before the service counts 11 in a second.
const SLACK: f64 = 1.03;

pub(crate) struct Pace {
    per_second: u32,
    distance: Duration,
    started: Deadline,
    line: Mutex<Line>,
    moved: Condvar,
}

#[derive(Default)]
struct Line {
    /// Numbers of those who wait, the first in front.
    waiting: VecDeque<u64>,
    next_number: u64,
    /// When the next one may go, since the start. Counted from when the last one did go, not from when it should have:
    /// one that was woken late does not push the next.
    open_at: Duration,
}

impl Pace {
    /// `None` for a rate of 0, which is none.
    pub(crate) fn new(per_second: u32) -> Option<Self> {
        (per_second > 0).then(|| Self {
            per_second,
            distance: Duration::from_secs_f64(SLACK / f64::from(per_second)),
            started: Deadline::after(Duration::MAX),
            line: Mutex::default(),
            moved: Condvar::new(),
        })
    }

    /// Waits for the turn of one request. If that would pass the deadline, it fails at once and takes no place.
    pub(crate) fn wait(&self, deadline: &Deadline) -> Result<(), Error> {
        let mut line = self.lock();
        let ahead = u32::try_from(line.waiting.len()).unwrap_or(u32::MAX);
        let wait = line.open_at.saturating_sub(self.started.elapsed()) + self.distance.saturating_mul(ahead);
        if wait > deadline.remaining() {
            return Err(self.too_late(wait));
        }
        let number = line.next_number;
        line.next_number += 1;
        line.waiting.push_back(number);
        loop {
            let now = self.started.elapsed();
            let is_first = line.waiting.front() == Some(&number);
            let mut nap = deadline.remaining();
            let may_go = is_first && now >= line.open_at;
            if may_go || nap.is_zero() {
                line.waiting.retain(|&other| other != number);
                self.moved.notify_all();
                if may_go {
                    line.open_at = now + self.distance;
                    return Ok(());
                }
                return Err(self.too_late(line.open_at.saturating_sub(now)));
            }
            if is_first {
                nap = nap.min(line.open_at.saturating_sub(now));
            }
            line = self.moved.wait_timeout(line, nap).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn too_late(&self, wait: Duration) -> Error {
        let text = format!(
            "the request was not sent: its turn at {} requests per second is in {:.1} s, past its deadline; make \
             fewer calls at once, or allow them more time",
            self.per_second,
            wait.as_secs_f64()
        );
        Error::new(ErrorKind::Timeout, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_over_any_second_is_kept_and_nearly_reached() {
        let pace = Pace::new(50).unwrap();
        let clock = Deadline::after(Duration::from_secs(60));
        let sent = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        pace.wait(&clock).unwrap();
                        sent.lock().unwrap().push(clock.elapsed());
                    }
                });
            }
        });
        let mut sent = sent.into_inner().unwrap();
        sent.sort();
        for window in sent.windows(51) {
            // A thread may lose the processor between its turn and the look at the clock.
            let span = window[50].saturating_sub(window[0]);
            assert!(span > Duration::from_millis(950), "{span:?}");
        }
        // 80 turns 20.6 ms apart: the first at once, the last 1.63 s later.
        assert!(*sent.last().unwrap() < Duration::from_secs(2), "{sent:?}");
    }

    #[test]
    fn first_come_first_served() {
        let pace = Pace::new(100).unwrap();
        let deadline = Deadline::after(Duration::from_secs(60));
        pace.wait(&deadline).unwrap();
        let order = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for number in 0..8 {
                scope.spawn({
                    let (pace, order) = (&pace, &order);
                    move || {
                        pace.wait(&deadline).unwrap();
                        order.lock().unwrap().push(number);
                    }
                });
                while pace.lock().next_number < number + 2 {
                    std::thread::yield_now();
                }
            }
        });
        assert_eq!(order.into_inner().unwrap(), (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn one_that_gives_up_leaves_the_line() {
        let pace = Pace::new(5).unwrap();
        let long = Deadline::after(Duration::from_secs(60));
        pace.wait(&long).unwrap();
        pace.lock().waiting.push_back(u64::MAX);
        // It has a place, but whoever is in front never goes.
        let error = pace.wait(&Deadline::after(Duration::from_millis(500))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(pace.lock().waiting, [u64::MAX]);
        assert!(long.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn idle_time_is_not_saved_up() {
        let pace = Pace::new(10).unwrap();
        let deadline = Deadline::after(Duration::from_secs(10));
        assert!(deadline.sleep(Duration::from_millis(250)));
        pace.wait(&deadline).unwrap();
        let then = deadline.elapsed();
        pace.wait(&deadline).unwrap();
        assert!(deadline.elapsed() > then + Duration::from_millis(100));
    }

    #[test]
    fn a_turn_past_the_deadline_is_refused_at_once_and_not_taken() {
        let pace = Pace::new(1).unwrap();
        let long = Deadline::after(Duration::from_secs(60));
        pace.wait(&long).unwrap();
        for _ in 0..3 {
            let error = pace.wait(&Deadline::after(Duration::from_millis(50))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout);
            assert_eq!(
                error.to_string(),
                "the request was not sent: its turn at 1 requests per second is in 1.0 s, past its deadline; make \
                 fewer calls at once, or allow them more time"
            );
        }
        pace.wait(&long).unwrap();
        assert!(long.elapsed() < Duration::from_secs(2), "{:?}", long.elapsed());
    }

    #[test]
    fn no_rate_is_no_pace() {
        assert!(Pace::new(0).is_none());
    }
}
