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

/// Waits until something can be read from it, or its end: whether that came in time.
#[cfg(unix)]
pub fn is_readable(from: &std::fs::File, deadline: &Deadline) -> std::io::Result<bool> {
    use std::os::fd::AsFd as _;

    use nix::errno::Errno;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    loop {
        let wait = PollTimeout::try_from(deadline.remaining()).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(from.as_fd(), PollFlags::POLLIN)], wait) {
            Err(Errno::EINTR) => {}
            ready => return Ok(ready? > 0),
        }
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
