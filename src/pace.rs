//! [`Pace`]: no more than so many requests in any second.
//!
//! A bucket that fills evenly lets a burst through, and an even distance alone is no promise: one request
//! may travel faster than the one before. So a request waits until the one that is a whole limit ahead of it has been
//! at the service for a second, which is sure when its answer is there. Whoever asks first goes first.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Deadline;
use crate::{Error, ErrorKind};

/// What a limit is counted over, and a little for clocks that do not run alike.
const WINDOW: Duration = Duration::from_millis(1002);

/// After this time a request is taken to have arrived, answered or not: slow answers cost a tenth of the rate at most.
const TRAVEL: Duration = Duration::from_millis(100);

/// Part of the even distance that is kept between any two. The rest lets one that was woken late catch up.
const SPREAD: f64 = 0.9;

pub(crate) struct Pace {
    per_second: u32,
    started: Deadline,
    line: Mutex<Line>,
    moved: Condvar,
}

#[derive(Default)]
struct Line {
    /// Numbers of those who wait, the first in front.
    waiting: VecDeque<u64>,
    next_number: u64,
    /// When each of the last requests had arrived, since the start: as many as the limit.
    arrivals: VecDeque<Duration>,
    /// How many have gone, and when the last one did.
    gone: u64,
    last: Option<Duration>,
}

/// The right to send one request now, until it is answered.
pub(crate) struct Turn<'a> {
    pace: &'a Pace,
    index: u64,
}

impl Pace {
    /// `None` for a rate of 0, which is none.
    pub(crate) fn new(per_second: u32) -> Option<Self> {
        (per_second > 0).then(|| Self {
            per_second,
            started: Deadline::after(Duration::MAX),
            line: Mutex::default(),
            moved: Condvar::new(),
        })
    }

    /// Waits for the turn of one request. If that would pass the deadline, it fails at once and takes no place.
    pub(crate) fn wait(&self, deadline: &Deadline) -> Result<Turn<'_>, Error> {
        let mut line = self.lock();
        let ahead = u32::try_from(line.waiting.len()).unwrap_or(u32::MAX);
        let wait = self.until_open(&line) + (WINDOW / self.per_second).saturating_mul(ahead);
        if wait > deadline.remaining() {
            return Err(self.too_late(wait));
        }
        let number = line.next_number;
        line.next_number += 1;
        line.waiting.push_back(number);
        loop {
            let wait = self.until_open(&line);
            let is_first = line.waiting.front() == Some(&number);
            let may_go = is_first && wait.is_zero();
            let left = deadline.remaining();
            if may_go || left.is_zero() {
                line.waiting.retain(|&other| other != number);
                self.moved.notify_all();
                return if may_go { Ok(self.go(&mut line)) } else { Err(self.too_late(wait)) };
            }
            let nap = if is_first { left.min(wait) } else { left };
            line = self.moved.wait_timeout(line, nap).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn go(&self, line: &mut Line) -> Turn<'_> {
        let now = self.started.elapsed();
        if line.arrivals.len() == self.limit() {
            line.arrivals.pop_front();
        }
        line.arrivals.push_back(now + TRAVEL);
        line.last = Some(now);
        line.gone += 1;
        Turn { pace: self, index: line.gone - 1 }
    }

    /// How long the first in line has to wait.
    fn until_open(&self, line: &Line) -> Duration {
        let limit = (line.arrivals.len() == self.limit()).then(|| line.arrivals[0] + WINDOW);
        let distance = Duration::from_secs_f64(SPREAD / f64::from(self.per_second));
        let spread = line.last.map(|last| last + distance);
        limit.max(spread).unwrap_or_default().saturating_sub(self.started.elapsed())
    }

    fn limit(&self) -> usize {
        usize::try_from(self.per_second).unwrap_or(usize::MAX)
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

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut line = self.pace.lock();
        let now = self.pace.started.elapsed();
        let newer = usize::try_from(line.gone - self.index).unwrap_or(usize::MAX);
        if let Some(at) = line.arrivals.len().checked_sub(newer) {
            line.arrivals[at] = line.arrivals[at].min(now);
            self.pace.moved.notify_all();
        }
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
                        let _turn = pace.wait(&clock).unwrap();
                        // The service sees it some time between the turn and the answer.
                        assert!(clock.sleep(Duration::from_millis(1)));
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
        drop(pace.wait(&deadline).unwrap());
        let order = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for number in 0..8 {
                scope.spawn({
                    let (pace, order) = (&pace, &order);
                    move || {
                        drop(pace.wait(&deadline).unwrap());
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
        drop(pace.wait(&long).unwrap());
        pace.lock().waiting.push_back(u64::MAX);
        // It has a place, but whoever is in front never goes.
        let error = pace.wait(&Deadline::after(Duration::from_millis(500))).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(pace.lock().waiting, [u64::MAX]);
        assert!(long.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn idle_time_is_not_saved_up() {
        let pace = Pace::new(10).unwrap();
        let deadline = Deadline::after(Duration::from_secs(10));
        assert!(deadline.sleep(Duration::from_millis(250)));
        drop(pace.wait(&deadline).unwrap());
        let then = deadline.elapsed();
        drop(pace.wait(&deadline).unwrap());
        assert!(deadline.elapsed() > then + Duration::from_millis(90));
    }

    #[test]
    fn a_turn_past_the_deadline_is_refused_at_once_and_not_taken() {
        let pace = Pace::new(1).unwrap();
        let long = Deadline::after(Duration::from_secs(60));
        drop(pace.wait(&long).unwrap());
        for _ in 0..3 {
            let error = pace.wait(&Deadline::after(Duration::from_millis(50))).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Timeout);
            assert_eq!(
                error.to_string(),
                "the request was not sent: its turn at 1 requests per second is in 1.0 s, past its deadline; make \
                 fewer calls at once, or allow them more time"
            );
        }
        drop(pace.wait(&long).unwrap());
        assert!(long.elapsed() < Duration::from_secs(2), "{:?}", long.elapsed());
    }

    #[test]
    fn a_slow_answer_moves_the_next_by_little() {
        let pace = Pace::new(1).unwrap();
        let deadline = Deadline::after(Duration::from_secs(60));
        let slow = pace.wait(&deadline).unwrap();
        let waiting = pace.until_open(&pace.lock());
        assert!(waiting > WINDOW && waiting <= WINDOW + TRAVEL, "{waiting:?}");
        assert!(deadline.sleep(Duration::from_millis(20)));
        drop(slow);
        let waiting = pace.until_open(&pace.lock());
        assert!(waiting > Duration::from_millis(900) && waiting <= WINDOW, "{waiting:?}");
    }

    #[test]
    fn no_rate_is_no_pace() {
        assert!(Pace::new(0).is_none());
    }
}
