//! [`Budget`]: how many answers there may be at a time, and how much memory their bodies may use.
//!
//! No call waits here while it is under way, because its server and its deadline would not wait. A call begins when there is space
//! for a body like the latest ones. If its own body is larger and does not fit, the caller ends the call, waits for space and asks
//! again. The oldest line that is not written yet may always hold one whole body, so the batch advances whatever the other lines
//! hold.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The longest body that is accepted, in bytes.
pub const MAX_BODY: u64 = 16 * 1024 * 1024;

/// The size of the pieces in which bodies are read and kept, in bytes: a multiple of three, so that Base64 needs no padding between them.
pub const PIECE: usize = 48 * 1024;

/// The number of answers, for each thread, that may wait for an earlier one.
const WINDOW: u64 = 16;

pub struct Budget {
    window: u64,
    /// In bytes, for all lines but the oldest.
    for_others: u64,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// The number of the oldest line that is not written yet.
    oldest: u64,
    /// The bytes that each line holds or may still read, from `oldest` on.
    held: VecDeque<u64>,
    /// The sum of `held`.
    total: u64,
    /// The size of the largest of the latest bodies. It shrinks by an eighth with each smaller one.
    expected: u64,
    /// How many threads wait for a change. Waking none would still be a system call.
    waiting: usize,
    /// No call begins any more.
    closed: bool,
}

impl Budget {
    /// `bytes` is at least [`MAX_BODY`].
    pub fn new(bytes: u64, threads: usize) -> Self {
        let state =
            State { oldest: 0, held: VecDeque::new(), total: 0, expected: 0, waiting: 0, closed: false };
        Self {
            window: WINDOW * threads as u64,
            for_others: bytes.saturating_sub(MAX_BODY),
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the line with this number may be asked for. Returns how many bytes its body may have, or `None` if the answer is no
    /// longer wanted.
    pub fn begin(&self, turn: u64) -> Option<u64> {
        self.wait(turn, |state| state.expected.clamp(PIECE as u64, MAX_BODY))
    }

    /// Waits until there is space for a body of this size. Returns how many bytes it may have, or `None` if it is no longer wanted.
    pub fn begin_again(&self, turn: u64, bytes: u64) -> Option<u64> {
        let mut state = self.lock();
        state.set(turn, 0);
        state.expected = state.expected.max(bytes);
        self.wake(state);
        self.wait(turn, |_| bytes)
    }

    fn wait(&self, turn: u64, bytes: impl Fn(&State) -> u64) -> Option<u64> {
        let must_wait = |state: &mut State| {
            let has_place = turn < state.oldest + self.window;
            !(state.closed || has_place && self.has_room(state, turn, bytes(state)))
        };
        let mut state = self.lock();
        state.waiting += 1;
        let mut state = self.changed.wait_while(state, must_wait).unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        if state.closed {
            return None;
        }
        let bytes = bytes(&state);
        state.set(turn, bytes);
        Some(bytes)
    }

    /// Changes how much a line may hold. Does not wait: returns `false` if there is no space. A smaller size always fits.
    pub fn resize(&self, turn: u64, bytes: u64) -> bool {
        let mut state = self.lock();
        let before = state.of(turn);
        if bytes > before && !self.has_room(&state, turn, bytes) {
            return false;
        }
        state.set(turn, bytes);
        if bytes < before {
            self.wake(state);
        }
        true
    }

    fn has_room(&self, state: &State, turn: u64, bytes: u64) -> bool {
        let others = || state.total - state.of(state.oldest) - state.of(turn);
        turn == state.oldest || others() + bytes <= self.for_others
    }

    /// Notes that an answer was received, and how much it holds while it waits to be written.
    pub fn keep(&self, turn: u64, bytes: u64) {
        let mut state = self.lock();
        state.expected = bytes.max(state.expected - state.expected / 8);
        state.set(turn, bytes);
        self.wake(state);
    }

    /// Notes that the oldest line is written and holds nothing any more.
    pub fn written(&self) {
        let mut state = self.lock();
        let bytes = state.held.pop_front().unwrap_or_default();
        state.total -= bytes;
        state.oldest += 1;
        self.wake(state);
    }

    /// Lets no further call begin, and ends the waits for one.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.wake(state);
    }

    /// Lets the threads that wait look at the changed state.
    fn wake(&self, state: MutexGuard<'_, State>) {
        if state.waiting > 0 {
            drop(state);
            self.changed.notify_all();
        }
    }

    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }
}

impl State {
    fn place(&self, turn: u64) -> Option<usize> {
        usize::try_from(turn.checked_sub(self.oldest)?).ok()
    }

    fn of(&self, turn: u64) -> u64 {
        self.place(turn).and_then(|place| self.held.get(place)).copied().unwrap_or_default()
    }

    fn set(&mut self, turn: u64, bytes: u64) {
        let Some(place) = self.place(turn) else { return };
        if self.held.len() <= place {
            self.held.resize(place + 1, 0);
        }
        self.total = self.total - self.held[place] + bytes;
        self.held[place] = bytes;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn oldest_line_always_has_room_for_one_whole_body() {
        // The whole budget in MiB, the bytes that the other lines hold, the line, the bytes that it asks for, and whether it receives them.
        for (budget, others, turn, bytes, granted) in [
            (32, 16 * MIB, 0, MAX_BODY, true),
            (32, 16 * MIB, 2, 1, false),
            (32, 15 * MIB, 2, MIB, true),
            (32, 15 * MIB, 2, MIB + 1, false),
            (64, 48 * MIB, 0, MAX_BODY, true),
            (64, 32 * MIB, 2, MAX_BODY, true),
            (64, 32 * MIB + 1, 2, MAX_BODY, false),
            (16, 0, 2, 1, false),
            (16, 0, 0, MAX_BODY, true),
        ] {
            let budget = Budget::new(budget * MIB, 4);
            assert!(budget.resize(1, others), "{others}");
            assert_eq!(budget.resize(turn, bytes), granted, "{others} {turn} {bytes}");
        }
    }

    #[test]
    fn line_that_does_not_fit_begins_once_it_is_the_oldest() {
        let budget = &Budget::new(32 * MIB, 4);
        assert!(budget.resize(3, 16 * MIB));
        assert_eq!(budget.begin(0), Some(PIECE as u64));
        thread::scope(|scope| {
            let (begun, has_begun) = mpsc::channel();
            scope.spawn(move || begun.send(budget.begin_again(2, MAX_BODY)));
            budget.written();
            assert!(has_begun.recv_timeout(Duration::from_millis(50)).is_err(), "not while 1 is the oldest");
            budget.written();
            assert_eq!(has_begun.recv().unwrap(), Some(MAX_BODY));
        });
        budget.written();
        budget.written();
        let state = budget.lock();
        assert_eq!((state.total, state.oldest), (0, 4));
    }

    #[test]
    fn call_begins_with_room_for_a_body_like_the_latest() {
        let budget = Budget::new(64 * MIB, 4);
        let begun = |turn| {
            let bytes = budget.begin(turn);
            budget.keep(turn, 0);
            bytes.unwrap()
        };
        assert_eq!(begun(0), PIECE as u64);
        budget.keep(1, 8 * MIB);
        assert_eq!((begun(2), begun(3)), (8 * MIB, 7 * MIB));
        let last = (4..60).map(begun).last();
        assert_eq!(last, Some(PIECE as u64), "soon forgotten");
    }

    #[test]
    fn closed_budget_is_not_waited_for() {
        let budget = &Budget::new(32 * MIB, 1);
        thread::scope(|scope| {
            let far = scope.spawn(|| budget.begin(WINDOW));
            let large = scope.spawn(|| budget.begin_again(1, 17 * MIB));
            budget.close();
            assert_eq!((far.join().unwrap(), large.join().unwrap()), (None, None));
        });
        assert!(budget.is_closed());
        assert_eq!(budget.begin(0), None);
    }
}
