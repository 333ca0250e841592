//! Answers come in any order and are written in that of the lines.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::answer::Answer;
use crate::failure::Failure;
use crate::output::unwritable;

/// How many answers may wait for one before them, for each thread.
const WINDOW: u64 = 16;

/// And how many bytes of them: beyond that, only what is waited for is asked for.
const MOST: usize = 64 * 1024 * 1024;

/// So much is written at once.
const CHUNK: usize = 64 * 1024;

pub struct Order {
    name: String,
    window: u64,
    state: Mutex<State>,
    /// The first answer that was missing has come.
    moved: Condvar,
    /// A thread has ended.
    ended: Condvar,
}

/// How it went, line by line.
#[derive(Default)]
pub struct Tally {
    /// The last line of the input whose answer is written, or on its way out.
    pub last_line: u64,
    /// How many answers there are.
    pub lines: u64,
    pub failed: u64,
    pub first_failure: Option<(u64, Failure)>,
}

impl Tally {
    pub fn add(&mut self, line: u64, failed: Option<Failure>) {
        self.last_line = line;
        self.lines += 1;
        if let Some(failure) = failed {
            self.failed += 1;
            self.first_failure.get_or_insert((line, failure));
        }
    }
}

struct State {
    file: File,
    /// Whole lines, not yet written.
    buffer: Vec<u8>,
    /// The turn of the first answer that has not come.
    next: u64,
    /// Answers from `next` on.
    waiting: VecDeque<Option<Answer>>,
    /// The bytes in `waiting`.
    bytes: usize,
    threads: usize,
    tally: Tally,
    /// Nothing is written any more.
    closed: bool,
    fatal: Option<Failure>,
}

impl Order {
    /// `tally` is that of what the file holds already.
    pub fn new(file: File, name: String, threads: usize, tally: Tally) -> Self {
        let state = State {
            file,
            buffer: Vec::with_capacity(2 * CHUNK),
            next: 0,
            waiting: VecDeque::new(),
            bytes: 0,
            threads: 0,
            tally,
            closed: false,
            fatal: None,
        };
        Self {
            name,
            window: WINDOW * threads as u64,
            state: Mutex::new(state),
            moved: Condvar::new(),
            ended: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread begins.
    pub fn begin(&self) {
        self.lock().threads += 1;
    }

    /// A thread has no more to do.
    pub fn end(&self) {
        self.lock().threads -= 1;
        self.ended.notify_all();
    }

    /// Waits until the answer of this turn has a place to wait in. False if it is not wanted any more.
    pub fn may_begin(&self, turn: u64) -> bool {
        let mut state = self.lock();
        let must_wait =
            |state: &State| turn >= state.next + self.window || state.bytes > MOST && turn > state.next;
        while must_wait(&state) && !state.closed {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.closed
    }

    pub fn put(&self, turn: u64, answer: Answer) {
        let mut state = self.lock();
        let Ok(place) = usize::try_from(turn - state.next) else { return };
        if state.waiting.len() <= place {
            state.waiting.resize_with(place + 1, || None);
        }
        state.bytes += answer.len();
        state.waiting[place] = Some(answer);
        if place > 0 {
            return;
        }
        while let Some(Some(_)) = state.waiting.front() {
            let Some(Some(answer)) = state.waiting.pop_front() else { break };
            state.next += 1;
            state.bytes -= answer.len();
            state.take(answer);
        }
        if state.buffer.len() >= CHUNK {
            state.write(&self.name);
        }
        drop(state);
        self.moved.notify_all();
    }

    /// Waits a while and writes what there is. Whether all is done.
    pub fn wait(&self, within: Duration) -> bool {
        let state = self.lock();
        let running = |state: &mut State| state.threads > 0 && state.fatal.is_none();
        let (mut state, _) =
            self.ended.wait_timeout_while(state, within, running).unwrap_or_else(PoisonError::into_inner);
        state.write(&self.name);
        state.threads == 0 || state.fatal.is_some()
    }

    /// The last line whose answer is on its way out.
    pub fn last_line(&self) -> u64 {
        self.lock().tally.last_line
    }

    /// Writes whole lines, and nothing after them.
    pub fn close(&self) {
        let mut state = self.lock();
        state.write(&self.name);
        state.closed = true;
        drop(state);
        self.moved.notify_all();
    }

    /// How it went.
    pub fn result(&self) -> Result<(), Failure> {
        let mut state = self.lock();
        state.write(&self.name);
        match state.fatal.take() {
            // The lines that failed before are worth their status.
            Some(Failure::BrokenPipe) | None => {}
            Some(fatal) => return Err(fatal),
        }
        let Some((line, failure)) = state.tally.first_failure.take() else { return Ok(()) };
        let (failed, lines) = (state.tally.failed, state.tally.lines);
        let text = format!("{failed} of {lines} lines failed, the first in line {line}: {failure}");
        Err(match failure.kind() {
            Some(kind) => Failure::new(kind, text),
            None => Failure::unexpected(text),
        })
    }
}

impl State {
    fn take(&mut self, answer: Answer) {
        if self.closed {
            return;
        }
        match answer {
            Answer::Fatal(failure) => self.stop(failure),
            Answer::Line { number, json, failed } => {
                self.buffer.extend_from_slice(&json);
                self.tally.add(number, failed);
            }
        }
    }

    fn stop(&mut self, failure: Failure) {
        self.closed = true;
        self.fatal.get_or_insert(failure);
    }

    fn write(&mut self, name: &str) {
        if self.buffer.is_empty() {
            return;
        }
        let written = self.file.write_all(&self.buffer);
        self.buffer.clear();
        if let Err(e) = written {
            self.stop(unwritable(name, &e));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_reader_that_has_gone_hides_no_failed_line() {
        for status in [None, Some(8)] {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let file = File::from(std::os::fd::OwnedFd::from(writer));
            let order = Order::new(file, "answers".to_owned(), 1, Tally::default());
            let failed = status.map(|_| Failure::new(keyfob::ErrorKind::ApiStatus, "no"));
            order.put(0, Answer::Line { number: 1, json: b"{}\n".to_vec(), failed });
            assert_eq!(order.result().err().map(|failure| failure.exit_status()), status);
        }
    }

    #[test]
    fn large_answers_hold_up_all_but_the_one_that_is_waited_for() {
        let file = tempfile::tempfile().unwrap();
        let order = &Order::new(file, "answers".to_owned(), 8, Tally::default());
        let answer = |number, len| Answer::Line { number, json: vec![b'x'; len], failed: None };
        order.put(1, answer(2, MOST));
        assert!(order.may_begin(2), "so much is allowed");
        order.put(2, answer(3, 1));
        assert!(order.may_begin(0));
        thread::scope(|scope| {
            let (begun, has_begun) = mpsc::channel();
            scope.spawn(move || begun.send(order.may_begin(3)));
            assert!(has_begun.recv_timeout(Duration::from_millis(100)).is_err());
            order.put(0, answer(1, 1));
            assert!(has_begun.recv().unwrap());
        });
        assert_eq!(order.last_line(), 3);
    }
}
