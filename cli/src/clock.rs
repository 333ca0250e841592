//! Deadlines of what this program waits for by itself.
#![allow(clippy::disallowed_methods, reason = "the library's deadlines are private to it")]

use std::thread;
use std::time::{Duration, Instant};

#[derive(Clone, Copy)]
pub struct Deadline {
    started: Instant,
    after: Duration,
}

impl Deadline {
    pub fn after(after: Duration) -> Self {
        Self { started: Instant::now(), after }
    }

    pub fn remaining(&self) -> Duration {
        self.after.saturating_sub(self.started.elapsed())
    }
}

/// Asks until it is so, but no longer than this.
#[cfg(unix)]
pub fn within(time: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Deadline::after(time);
    loop {
        if is_so() {
            return true;
        }
        if deadline.remaining().is_zero() {
            return false;
        }
        thread::sleep(Duration::from_millis(2));
    }
}
