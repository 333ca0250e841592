//! The state that the clones of a source share: the thread that obtains a token, and the threads that wait for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Deadline;
use crate::error::{Error, ErrorKind};
use crate::flow::Grant;
use crate::source::memory::{Memory, Usable};
use crate::source::origin;
use crate::source::renewal::{Schedule, Urgency, Wanted, early_share, is_shared, pause_after};
use crate::source::single_flight::{Failure, Lead, Role, SingleFlight, Stage};
use crate::store::record::RecordName;
use crate::store::{LockedRecord, TokenStore, keep_answer};
use crate::sys::random;
use crate::text::Seconds;
use crate::token::Token;
use crate::transport::Transport;

pub(super) type Callback<T> = Arc<dyn Fn(&T) + Send + Sync>;

pub(super) struct Shared {
    pub(super) transport: Transport,
    pub(super) grant: Arc<dyn Grant>,
    pub(super) schedule: Schedule,
    pub(super) stored: Option<(Arc<dyn TokenStore>, RecordName)>,
    pub(super) on_renewed: Option<Callback<Token>>,
    pub(super) on_warning: Option<Callback<Error>>,
    pub(super) memory: Memory,
    pub(super) flights: SingleFlight,
    status: Mutex<Status>,
}

#[derive(Clone, Default)]
pub(super) struct Status {
    /// No early renewal is tried before this has passed.
    pub(super) pause: Option<Deadline>,
    pub(super) not_saved: Option<NotSaved>,
}

/// Says that the token in memory is not in the store.
#[derive(Clone)]
pub(super) struct NotSaved {
    /// The reason why the token in memory is not in the store. Or the reason why it was not renewed, if the server's answer could not be used
    /// and may not come again.
    pub(super) error: Error,
    /// The token that is in the store instead. It is older.
    pub(super) stored: Option<Token>,
    /// The token in memory is of a login that the store never had.
    pub(super) is_login: bool,
}

impl NotSaved {
    /// Whether a stored token is older than `current`, the one in memory, or of another login.
    pub(super) fn is_outdated(&self, stored: &Token, current: Option<&Token>) -> bool {
        self.stored.as_ref().is_some_and(|old| old.is_same(stored))
            || self.is_login && current.is_some_and(|own| !own.is_same_login(stored))
    }
}

/// One attempt to obtain a token, by the thread that leads the flight.
pub(super) struct Attempt<'a> {
    pub(super) lead: Lead<'a>,
    pub(super) wanted: Wanted<'a>,
    pub(super) urgency: Urgency,
    pub(super) within: Duration,
    pub(super) deadline: Deadline,
}

impl Shared {
    pub(super) fn new(transport: Transport, grant: Arc<dyn Grant>) -> Self {
        Self {
            transport,
            grant,
            schedule: Schedule { margin: None, jitter: 1.0 - 0.1 * random::fraction() },
            stored: None,
            on_renewed: None,
            on_warning: None,
            memory: Memory::default(),
            flights: SingleFlight::default(),
            status: Mutex::default(),
        }
    }

    pub(super) fn usable(&self, wanted: Wanted<'_>) -> Result<Usable, u64> {
        self.memory.usable(wanted, self.transport.clock())
    }

    pub(super) fn token(&self, wanted: Wanted<'_>, within: Duration) -> Result<Arc<Token>, Error> {
        let usable = self.usable(wanted);
        if let Ok(Usable { token, is_due: false }) = usable {
            return Ok(token);
        }
        let within = within.min(self.transport.timeout());
        match usable {
            Ok(current) => self.renew_early(current.token, wanted, within),
            Err(seen) => self.obtain(wanted, seen, within),
        }
    }

    /// Obtains a token other than `old`, even if `old` is still valid.
    pub(super) fn replace(&self, old: &Token) -> Result<Arc<Token>, Error> {
        let wanted = Wanted { min_valid: Duration::ZERO, other_than: Some(old) };
        match self.usable(wanted) {
            Ok(newer) => Ok(newer.token),
            Err(seen) => self.obtain(wanted, seen, self.transport.timeout()),
        }
    }

    /// Tries to renew a token that is still valid, unless another thread is doing that or a renewal has just failed.
    fn renew_early(
        &self,
        current: Arc<Token>,
        wanted: Wanted<'_>,
        within: Duration,
    ) -> Result<Arc<Token>, Error> {
        let deadline = Deadline::after(within);
        let share = early_share(within, self.grant.is_repeatable());
        match self.lead_early(&current) {
            None => Ok(self.usable(wanted).map_or(current, |usable| usable.token)),
            Some(lead) => match self.lead(lead, wanted, Urgency::Early, share) {
                Ok(token) => Ok(token),
                Err(error) => match self.usable(wanted) {
                    Ok(usable) => Ok(serve_after(&error, usable)),
                    Err(seen) if !deadline.has_passed() => self.obtain(wanted, seen, deadline.remaining()),
                    Err(_) => Err(error),
                },
            },
        }
    }

    /// Leads a flight to renew the current token, unless another thread leads one, has just done so, or has just failed.
    fn lead_early(&self, current: &Token) -> Option<Lead<'_>> {
        let is_pausing = || self.status().pause.as_ref().is_some_and(|pause| !pause.has_passed());
        if is_pausing() {
            return None;
        }
        let Role::Leader(lead) = self.flights.join() else { return None };
        // Another flight may have ended since the caller looked.
        let is_current = self.memory.token().is_some_and(|token| token.is_same(current));
        (is_current && !is_pausing()).then_some(lead)
    }

    /// Obtains a token, or waits for the thread that does. `seen` is the generation of the token that does not meet `wanted`.
    fn obtain(&self, wanted: Wanted<'_>, seen: u64, within: Duration) -> Result<Arc<Token>, Error> {
        let deadline = Deadline::after(within);
        let look = || {
            let newer = self.memory.newer_than(seen);
            newer.or_else(|| self.usable(wanted).ok().map(|usable| usable.token))
        };
        loop {
            let flight = match self.flights.join() {
                Role::Reentrant => return self.just_obtained(),
                Role::Leader(lead) => {
                    // Another flight may have ended since the caller looked.
                    if let Some(token) = look() {
                        return Ok(token);
                    }
                    let obtained = self.lead(lead, wanted, Urgency::Needed, deadline.remaining());
                    // The store may have held a token that is due for renewal and still valid.
                    return obtained.or_else(|error| match self.usable(wanted) {
                        Ok(usable) => Ok(serve_after(&error, usable)),
                        Err(_) => Err(error),
                    });
                }
                Role::Waiter(flight) => flight,
            };
            for stage in [Stage::Served, Stage::Ended] {
                if !flight.wait(stage, &deadline) {
                    return flight.unsaved().ok_or_else(|| waited(within));
                }
                if let Some(token) = look() {
                    return Ok(token);
                }
            }
            let shared =
                |failure: &Failure| is_shared(failure.error.kind(), failure.had, deadline.remaining());
            if let Some(failure) = flight.failure().filter(shared) {
                return Err(failure.error);
            }
        }
    }

    /// Returns the token that the flight of this thread has obtained.
    fn just_obtained(&self) -> Result<Arc<Token>, Error> {
        self.usable(Wanted::living(Duration::ZERO)).map(|usable| usable.token).map_err(|_| {
            Error::invalid(
                "could not get a token: a callback of its source asked for another one than the new one",
            )
        })
    }

    /// Obtains a token from the store or the server, and ends the flight.
    fn lead(
        &self,
        lead: Lead<'_>,
        wanted: Wanted<'_>,
        urgency: Urgency,
        within: Duration,
    ) -> Result<Arc<Token>, Error> {
        let deadline = Deadline::after(within);
        let mut attempt = Attempt { lead, wanted, urgency, within, deadline };
        let result = match &self.stored {
            Some((store, name)) => self.obtain_stored(store.as_ref(), name, &mut attempt),
            None => self.exchange(None, self.memory.token().as_deref(), &attempt.deadline).inspect(|token| {
                self.serve(token, self.transport.clock().offset(), Ok(()), None, &attempt.lead);
            }),
        };
        let error = result.as_ref().err();
        self.status().pause = error.map(|error| Deadline::after(pause_after(error.retry_after())));
        // An early renewal may fail for lack of time. Threads that need a token do not share its failure.
        if let Some(error) = error.filter(|_| attempt.urgency == Urgency::Needed) {
            attempt.lead.failed(Failure { error: error.clone(), had: attempt.within });
        }
        result
    }

    /// Asks the server. If the answer cannot be used and the server gives it only once, it is kept beside the record.
    pub(super) fn exchange(
        &self,
        locked: Option<&mut dyn LockedRecord>,
        previous: Option<&Token>,
        deadline: &Deadline,
    ) -> Result<Arc<Token>, Error> {
        let transport = self.transport.clone().with_timeout(deadline.remaining());
        self.grant.token(&transport, previous).map(Arc::new).map_err(|error| {
            if error.unsaved().is_none() {
                return error;
            }
            let error = match locked {
                Some(locked) => keep_answer(locked, error),
                None => error,
            };
            // Callers still receive the old token. The warning tells them of the failure, and they can keep the answer.
            let mut status = self.status();
            match &mut status.not_saved {
                Some(not_saved) => not_saved.error = error.clone(),
                none => *none = Some(NotSaved { error: error.clone(), stored: None, is_login: false }),
            }
            error
        })
    }

    /// Puts a new token into memory, wakes the threads that wait for it, and calls the callbacks. `stored` is the token that stays in the
    /// store if the new one could not be saved.
    pub(super) fn serve(
        &self,
        token: &Arc<Token>,
        clock_offset: i64,
        saved: Result<(), Error>,
        stored: Option<Token>,
        lead: &Lead<'_>,
    ) {
        self.memory.keep(token.clone(), clock_offset, self.schedule, true);
        let warning = saved.as_ref().err().cloned();
        self.settle(saved, stored, false);
        lead.served();
        origin::is_exchange();
        if let (Some(warning), Some(call)) = (&warning, &self.on_warning) {
            call(warning);
        }
        if let Some(call) = &self.on_renewed {
            call(token);
        }
    }

    /// Notes whether the token in memory was saved, and what is left in the store if not. A login that was never saved stays marked as one.
    pub(super) fn settle(&self, saved: Result<(), Error>, stored: Option<Token>, is_login: bool) {
        let mut status = self.status();
        let is_login = is_login || status.not_saved.as_ref().is_some_and(|not_saved| not_saved.is_login);
        status.not_saved = saved.err().map(|error| NotSaved { error, stored, is_login });
    }

    pub(super) fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Used by a setter on a value that has clones: the setter makes a separate source.
impl Clone for Shared {
    fn clone(&self) -> Self {
        Self {
            transport: self.transport.clone(),
            grant: self.grant.clone(),
            schedule: self.schedule,
            stored: self.stored.clone(),
            on_renewed: self.on_renewed.clone(),
            on_warning: self.on_warning.clone(),
            memory: self.memory.clone(),
            flights: SingleFlight::default(),
            status: Mutex::new(self.status().clone()),
        }
    }
}

/// Returns the token that is still valid after its renewal failed.
fn serve_after(error: &Error, usable: Usable) -> Arc<Token> {
    log::warn!(target: "keyfob", "the token could not be renewed, the current one is still used: {error}");
    usable.token
}

fn waited(within: Duration) -> Error {
    let text = format!(
        "could not get a token: another thread was still getting one after {} s; check the network",
        Seconds(within)
    );
    Error::new(ErrorKind::Timeout, text)
}
