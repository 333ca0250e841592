//! Writes answers in the order of the lines, in whatever order they arrive.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keyfob_config::clock;

use super::answer::Answer;
use super::budget::Budget;
use crate::failure::Failure;
use crate::output::unwritable;

/// The number of bytes that are written at once.
const CHUNK: usize = 64 * 1024;

pub struct Order {
    pub budget: Budget,
    state: Mutex<State>,
    /// Notified when a thread has ended.
    ended: Condvar,
}

/// The outcome, line by line.
#[derive(Default)]
pub struct Tally {
    /// The last line of the input whose answer is written or being written.
    pub last_line: u64,
    /// The number of answers.
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
    output: Output,
    /// The position of the first answer that has not arrived.
    next: u64,
    /// Answers from `next` on.
    waiting: VecDeque<Option<Answer>>,
    threads: usize,
    tally: Tally,
}

struct Output {
    file: File,
    name: String,
    /// The bytes that are not written yet.
    buffer: Vec<u8>,
    /// The reason why nothing is written any more.
    fatal: Option<Failure>,
}

impl Order {
    /// `tally` is the outcome of the lines that the file holds already.
    pub fn new(file: File, name: String, budget: Budget, tally: Tally) -> Self {
        let output = Output { file, name, buffer: Vec::with_capacity(2 * CHUNK), fatal: None };
        let state = State { output, next: 0, waiting: VecDeque::new(), threads: 0, tally };
        Self { budget, state: Mutex::new(state), ended: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a thread begins.
    pub fn begin(&self) {
        self.lock().threads += 1;
    }

    /// Notes that a thread has no more work.
    pub fn end(&self) {
        self.lock().threads -= 1;
        self.ended.notify_all();
    }

    pub fn put(&self, turn: u64, answer: Answer) {
        self.budget.keep(turn, answer.len());
        let mut state = self.lock();
        let Ok(place) = usize::try_from(turn - state.next) else { return };
        if state.waiting.len() <= place {
            state.waiting.resize_with(place + 1, || None);
        }
        state.waiting[place] = Some(answer);
        while let Some(Some(_)) = state.waiting.front() {
            let Some(Some(answer)) = state.waiting.pop_front() else { break };
            state.next += 1;
            state.take(answer);
            self.budget.written();
        }
        if state.output.fatal.is_some() {
            self.budget.close();
        }
    }

    /// Waits a while and writes the answers that are ready. Returns whether all threads have ended.
    pub fn wait(&self, within: Duration) -> bool {
        let state = self.lock();
        let (mut state, _) = self
            .ended
            .wait_timeout_while(state, within, |state| state.threads > 0)
            .unwrap_or_else(PoisonError::into_inner);
        state.output.flush();
        if state.output.fatal.is_some() {
            self.budget.close();
        }
        state.threads == 0
    }

    /// Returns the last line whose answer is being written.
    pub fn last_line(&self) -> u64 {
        self.lock().tally.last_line
    }

    /// Ends the run for this reason, unless there is one already.
    pub fn fail(&self, failure: Failure) {
        self.lock().output.fatal.get_or_insert(failure);
        self.budget.close();
    }

    /// Returns the outcome.
    pub fn result(&self) -> Result<(), Failure> {
        self.lock().result()
    }

    /// Returns the outcome without waiting for the threads. They write nothing more. A line that is being written is completed, unless that
    /// takes longer than `within`.
    pub fn close(&self, within: Duration) -> Result<(), Failure> {
        let mut state = None;
        clock::within(within, || {
            state = self.state.try_lock().ok();
            state.is_some()
        });
        let Some(mut state) = state else { return Ok(()) };
        let result = state.result();
        // The lock is never released, so no other thread writes.
        std::mem::forget(state);
        result
    }
}

impl State {
    fn take(&mut self, answer: Answer) {
        if self.output.fatal.is_some() {
            return;
        }
        answer.write(&mut |bytes| self.output.put(bytes));
        match answer {
            Answer::Fatal(failure) => self.output.fatal = Some(failure),
            Answer::Line { number, failed, .. } => self.tally.add(number, failed),
        }
    }

    fn result(&mut self) -> Result<(), Failure> {
        match self.output.fatal.take() {
            // The lines that failed in an earlier run decide the status too.
            Some(Failure::BrokenPipe) | None => {}
            Some(fatal) => return Err(fatal),
        }
        let Some((line, failure)) = self.tally.first_failure.take() else { return Ok(()) };
        let (failed, lines) = (self.tally.failed, self.tally.lines);
        let text = format!("{failed} of {lines} lines failed, the first in line {line}: {failure}");
        Err(match failure.kind() {
            Some(kind) => Failure::new(kind, text),
            None => Failure::unexpected(text),
        })
    }
}

impl Output {
    fn put(&mut self, bytes: &[u8]) {
        if self.fatal.is_some() {
            return;
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.buffer.is_empty() || self.fatal.is_some() {
            return;
        }
        let written = self.file.write_all(&self.buffer);
        self.buffer.clear();
        if let Err(e) = written {
            self.fatal = Some(unwritable(&self.name, &e));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read as _};

    use super::super::body::{Body, Shape};
    use super::super::budget::PIECE;
    use super::*;

    #[test]
    #[cfg(unix)]
    fn closed_output_hides_no_failed_line() {
        for status in [None, Some(8)] {
            let (reader, writer) = io::pipe().unwrap();
            drop(reader);
            let file = File::from(std::os::fd::OwnedFd::from(writer));
            let order = Order::new(file, "answers".to_owned(), Budget::new(0, 1), Tally::default());
            let failed = status.map(|_| Failure::new(keyfob::ErrorKind::ApiStatus, "no"));
            order.put(0, Answer::Line { number: 1, begin: b"{".to_vec(), body: None, failed });
            assert!(order.wait(Duration::ZERO) && order.budget.is_closed());
            assert_eq!(order.result().err().map(|failure| failure.exit_status()), status);
        }
    }

    #[test]
    fn waiting_answer_has_room_for_its_own_size() {
        const MIB: u64 = 1024 * 1024;
        let file = tempfile::tempfile().unwrap();
        let order = Order::new(file, "answers".to_owned(), Budget::new(32 * MIB, 1), Tally::default());
        let mut body = Body::default();
        let mut from = io::repeat(b'x').take(15 * MIB);
        while body.read_piece(&mut from, &mut vec![0; PIECE]).unwrap() {}
        order.put(
            1,
            Answer::Line { number: 2, begin: b"{".to_vec(), body: Some((body, Shape::Text)), failed: None },
        );
        assert!(!order.budget.resize(2, MIB), "one byte too many");
        assert!(order.budget.resize(2, MIB - 1));
        order.put(0, Answer::Line { number: 1, begin: b"{".to_vec(), body: None, failed: None });
        assert!(order.budget.resize(3, 15 * MIB), "it is written, and 2 is the oldest");
    }
}
