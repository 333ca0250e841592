//! Single flight: of all threads that need a token, one obtains it, and the others wait for it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Deadline;
use crate::error::Error;
use crate::token::Token;

/// At most one flight at a time.
#[derive(Default)]
pub(super) struct SingleFlight(Mutex<Option<Arc<Flight>>>);

/// A thread that obtains a token. Waiting threads hold the flight that they joined.
pub(super) struct Flight {
    leader: usize,
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Default)]
struct Progress {
    stage: Stage,
    /// The new token while it is being saved.
    unsaved: Option<Arc<Token>>,
    failure: Option<Failure>,
    #[cfg(test)]
    waiting: usize,
}

/// How far a flight has come.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    #[default]
    Running,
    /// The new token is in memory. The leader may still be in a callback.
    Served,
    Ended,
}

/// Why a flight brought no token, and the time that it had.
#[derive(Clone)]
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) had: Duration,
}

/// The role of a thread that joins.
pub(super) enum Role<'a> {
    Leader(Lead<'a>),
    /// Another thread leads this flight.
    Waiter(Arc<Flight>),
    /// A callback of the source has called the source. This thread leads already, so it would wait for itself.
    Reentrant,
}

impl SingleFlight {
    /// Joins the flight under way, or starts one.
    pub(super) fn join(&self) -> Role<'_> {
        let mut current = self.lock();
        match &*current {
            Some(flight) if flight.leader == this_thread() => Role::Reentrant,
            Some(flight) => Role::Waiter(flight.clone()),
            None => {
                let progress = Mutex::default();
                let flight = Arc::new(Flight { leader: this_thread(), progress, changed: Condvar::new() });
                *current = Some(flight.clone());
                Role::Leader(Lead { flights: self, flight })
            }
        }
    }

    /// How many threads have begun to wait for the flight under way.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.lock().as_ref().map_or(0, |flight| flight.lock().waiting)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Flight>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    /// Waits until the flight has reached the stage. Returns `false` if the deadline passes first.
    pub(super) fn wait(&self, stage: Stage, deadline: &Deadline) -> bool {
        let mut progress = self.lock();
        while progress.stage < stage {
            let left = deadline.remaining();
            if left.is_zero() {
                return false;
            }
            #[cfg(test)]
            {
                progress.waiting += 1;
            }
            progress = self.changed.wait_timeout(progress, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Returns the new token, if it was received and is still being saved.
    pub(super) fn unsaved(&self) -> Option<Arc<Token>> {
        self.lock().unsaved.clone()
    }

    /// Returns why the flight brought no token, if the threads that waited for it share the failure.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.lock().failure.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Completion guard of the thread that leads a flight. The flight ends when the guard is dropped, even if a grant or a callback panics.
/// So no thread waits for a thread that has ended.
pub(super) struct Lead<'a> {
    flights: &'a SingleFlight,
    flight: Arc<Flight>,
}

impl Lead<'_> {
    /// Notes that the new token was received and is being saved.
    pub(super) fn saving(&self, token: &Arc<Token>) {
        self.flight.lock().unsaved = Some(token.clone());
    }

    /// Notes that the new token is in memory, and wakes those who wait for it.
    pub(super) fn served(&self) {
        let mut progress = self.flight.lock();
        progress.stage = Stage::Served;
        progress.unsaved = None;
        self.flight.changed.notify_all();
    }

    /// Notes that there is no new token. Those who wait share the failure.
    pub(super) fn failed(&self, failure: Failure) {
        self.flight.lock().failure = Some(failure);
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        *self.flights.lock() = None;
        let mut progress = self.flight.lock();
        progress.stage = Stage::Ended;
        progress.unsaved = None;
        self.flight.changed.notify_all();
    }
}

/// Returns a number that no other running thread has. `thread::current` would allocate in threads that are not Rust's own.
fn this_thread() -> usize {
    thread_local!(static HERE: u8 = const { 0 });
    HERE.with(|here| std::ptr::from_ref(here).addr())
}
