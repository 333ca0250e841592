//! Deadlines of waits for a file, a command or a person.
#![allow(clippy::disallowed_methods, reason = "the library's deadlines are private to it")]

use std::thread;
use std::time::{Duration, Instant};

/// The end of a wait, which does not depend on the clock of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    started: Instant,
    after: Duration,
}

impl Deadline {
    /// A wait that begins now and takes this long.
    pub fn after(after: Duration) -> Self {
        Self { started: Instant::now(), after }
    }

    /// The time that is left, or zero.
    pub fn remaining(&self) -> Duration {
        self.after.saturating_sub(self.started.elapsed())
    }
}

/// Waits until something can be read or the end is reached. Returns whether that happened in time.
///
/// # Errors
/// Those of the system.
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

/// Calls `is_so` until it returns `true`, for no longer than `time`. Returns its last answer.
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
