//! The state that one exchange shares with its connection.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::clock::Deadline;
use crate::secret::Secret;

/// How long after the deadline an answer that the server gives only once is still read, if it keeps arriving.
const LATE: Duration = Duration::from_secs(1);

/// How long such an answer may pause at first: no longer than a call may be late anyway.
const FIRST_PAUSE: Duration = Duration::from_millis(30);
const LATE_PAUSE: Duration = Duration::from_millis(200);

/// The most bytes that are kept of an answer that the server gives only once.
const MAX_KEPT: usize = 1024 * 1024;

const NOTHING: u8 = 0;
const BEFORE: u8 = 1;
const LATE_TOO: u8 = 2;

/// The part of an exchange that its connection knows: its deadline, and the received bytes of an answer that the server gives only once.
///
/// ureq has no time-outs for such an exchange. Once a time-out of ureq is over, ureq does not read even the bytes that have arrived.
pub(crate) struct Watch {
    pub(super) deadline: Deadline,
    /// Whether the server gives the answer only once.
    once: bool,
    /// Set when the deadline has passed.
    late: OnceLock<Deadline>,
    /// When the last bytes of the answer were received: never (`NOTHING`), `BEFORE` the deadline, or after it too (`LATE_TOO`).
    arrived: AtomicU8,
    kept: Mutex<Secret>,
    /// More was received than belongs to the answer.
    exceeded: AtomicBool,
}

impl Watch {
    pub(crate) fn new(deadline: Deadline, once: bool) -> Self {
        Self {
            deadline,
            once,
            late: OnceLock::new(),
            arrived: AtomicU8::new(NOTHING),
            kept: Mutex::default(),
            exceeded: AtomicBool::new(false),
        }
    }

    /// Takes out the received bytes of an answer that the server gives only once, header section included.
    pub(crate) fn kept(&self) -> Secret {
        std::mem::take(&mut self.lock())
    }

    /// Whether more was received than belongs to the answer, so that its stated end may be wrong.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.exceeded.load(Relaxed)
    }

    pub(super) fn exceed(&self) {
        self.exceeded.store(true, Relaxed);
    }

    /// Whether more of the answer would be kept.
    pub(super) fn has_room(&self) -> bool {
        self.once && self.lock().len() < MAX_KEPT
    }

    /// Keeps a received part of the answer.
    pub(super) fn keep(&self, bytes: &[u8]) {
        if self.once {
            self.arrived.store(if self.late.get().is_some() { LATE_TOO } else { BEFORE }, Relaxed);
            let mut kept = self.lock();
            let space = MAX_KEPT - kept.len();
            kept.extend(&bytes[..bytes.len().min(space)]);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Secret> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how long the next read may wait. Zero means that no time is left.
    pub(super) fn patience(&self) -> Duration {
        let left = self.deadline.remaining();
        if !left.is_zero() || !self.once {
            return left;
        }
        let late = self.late.get_or_init(|| Deadline::after(LATE)).remaining();
        let pause = match self.arrived.load(Relaxed) {
            // Reads only the bytes that have arrived already.
            NOTHING => Duration::from_millis(1),
            BEFORE => FIRST_PAUSE,
            _ => LATE_PAUSE,
        };
        late.min(pause)
    }

    /// Notes that bytes were received.
    pub(super) fn came(&self) {
        if self.late.get().is_some() {
            self.arrived.store(LATE_TOO, Relaxed);
        }
    }

    /// Whether a read that found nothing must be made once more.
    pub(super) fn looks_again(&self) -> bool {
        self.once && self.late.get().is_none()
    }
}
