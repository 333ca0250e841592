//! The store protocol: a token comes from memory, else from the store, else from the server. Before the server is asked, the record is
//! locked and read again. It stays locked until the new token is saved.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Deadline;
use crate::error::{Error, ErrorKind};
use crate::source::origin;
use crate::source::renewal::{Urgency, Wanted, early_share};
use crate::source::shared::{Attempt, Shared};
use crate::store::record::{Record, RecordName};
use crate::store::{LockedRecord, TokenStore};
use crate::token::Token;

impl Shared {
    /// Returns the store's token if it is usable and not due; else, with the record locked, a new one.
    pub(super) fn obtain_stored(
        &self,
        store: &dyn TokenStore,
        name: &RecordName,
        attempt: &mut Attempt<'_>,
    ) -> Result<Arc<Token>, Error> {
        let current = self.memory.token();
        let before = match store.load(name) {
            Ok(before) => before.filter(|record| self.is_newer(record, current.as_deref())),
            Err(error) => return self.obtain_unstored(store, error, attempt),
        };
        if let Some(token) = before.as_ref().and_then(|record| self.adopt(record, attempt.wanted, false)) {
            return Ok(token);
        }
        let mut deadline = attempt.deadline;
        if let Some(due) = before.as_ref().filter(|record| self.is_usable(record, attempt.wanted)) {
            let token = Arc::new(due.token().clone());
            self.memory.keep(token, due.clock_offset(), self.schedule, false);
            if attempt.urgency == Urgency::Needed {
                attempt.urgency = Urgency::Early;
                deadline = Deadline::after(early_share(deadline.remaining(), self.grant.is_repeatable()));
            }
        }
        // An early renewal does not wait for another process that may be making one too.
        let wait = if attempt.urgency == Urgency::Early { Duration::ZERO } else { deadline.remaining() };
        let mut locked = match store.lock(name, wait) {
            Ok(locked) => locked,
            Err(error) => return self.obtain_unstored(store, error, attempt),
        };
        // Reads the record again: another process may have renewed it during the wait. Such a token satisfies any `min_valid`.
        let now = locked.load()?.filter(|record| self.is_newer(record, current.as_deref()));
        let is_new = match (&before, &now) {
            (Some(before), Some(now)) => !before.token().is_same(now.token()),
            (before, _) => before.is_none(),
        };
        let min_valid = if is_new { Duration::ZERO } else { attempt.wanted.min_valid };
        let needed = Wanted { min_valid, ..attempt.wanted };
        if let Some(token) = now.as_ref().and_then(|record| self.adopt(record, needed, is_new)) {
            return Ok(token);
        }
        let previous = now.as_ref().map(Record::token).or(current.as_deref());
        if self.grant.must_be_saved() {
            locked.prepare()?;
        }
        let token = match self.exchange(Some(locked.as_mut()), previous, &deadline) {
            Err(error) if error.kind() == ErrorKind::LoginRequired => {
                match self.after_refusal(locked.as_mut(), previous, current.as_deref(), error, &deadline)? {
                    Renewed::Elsewhere(token) => return Ok(token),
                    Renewed::Here(token) => token,
                }
            }
            token => token?,
        };
        attempt.lead.saving(&token);
        let clock_offset = self.transport.clock().offset();
        let saved = locked.save(&Record::new(Token::clone(&token), clock_offset));
        drop(locked);
        if let Err(error) = &saved {
            log::warn!(target: "keyfob", "the new token is kept in memory only: {error}");
        }
        let left = now.map(|record| record.token().clone());
        let left =
            left.or_else(|| self.status().not_saved.as_ref().and_then(|unsaved| unsaved.stored.clone()));
        self.serve(&token, clock_offset, saved, left, &attempt.lead);
        Ok(token)
    }

    /// Handles `invalid_grant`. Another program, which does not know our lock, may have used the refresh token and saved a new one.
    fn after_refusal(
        &self,
        locked: &mut dyn LockedRecord,
        refused: Option<&Token>,
        current: Option<&Token>,
        error: Error,
        deadline: &Deadline,
    ) -> Result<Renewed, Error> {
        let is_other = |record: &Record| {
            self.is_newer(record, current) && !refused.is_some_and(|old| old.is_same(record.token()))
        };
        let Some(newer) = locked.load()?.filter(is_other) else { return Err(error) };
        match self.adopt(&newer, Wanted::living(Duration::ZERO), true) {
            Some(token) => Ok(Renewed::Elsewhere(token)),
            // The record's access token cannot be used, but its refresh token is not the one that was refused.
            None => self.exchange(Some(locked), Some(newer.token()), deadline).map(Renewed::Here),
        }
    }

    /// Obtains a token without the store, after the store has failed. Allowed only if nobody has named the store, and if no token would be
    /// lost by not being saved.
    fn obtain_unstored(
        &self,
        store: &dyn TokenStore,
        error: Error,
        attempt: &Attempt<'_>,
    ) -> Result<Arc<Token>, Error> {
        if !store.can_do_without(&error) || self.grant.must_be_saved() {
            return Err(error);
        }
        log::warn!(target: "keyfob", "the store cannot be used, tokens are kept in memory only: {error}");
        let token = self.exchange(None, self.memory.token().as_deref(), &attempt.deadline)?;
        self.serve(&token, self.transport.clock().offset(), Err(error), None, &attempt.lead);
        Ok(token)
    }

    /// Whether a record is at least as new as `current`, the token in memory, which may never have been saved.
    fn is_newer(&self, record: &Record, current: Option<&Token>) -> bool {
        let status = self.status();
        !status.not_saved.as_ref().is_some_and(|unsaved| unsaved.is_outdated(record.token(), current))
    }

    /// Takes a stored token into memory if it is usable and not due. `is_new` says that it was saved after the call began.
    fn adopt(&self, record: &Record, wanted: Wanted<'_>, is_new: bool) -> Option<Arc<Token>> {
        let token = record.token();
        let clock = self.transport.clock();
        clock.recall(record.clock_offset(), token.obtained_at());
        let is_due = self.schedule.due_at(token).is_some_and(|due| record.judged_at(clock) >= due);
        if is_due || !self.is_usable(record, wanted) {
            return None;
        }
        let token = Arc::new(token.clone());
        self.memory.keep(token.clone(), record.clock_offset(), self.schedule, is_new);
        origin::is_store();
        Some(token)
    }

    /// Whether a stored token meets `wanted` and has not been refused.
    fn is_usable(&self, record: &Record, wanted: Wanted<'_>) -> bool {
        let token = record.token();
        let clock = self.transport.clock();
        // The clock has been set back since the token was issued, by an unknown amount.
        let is_ageless = record.clock_offset() == 0 && clock.is_before(token.obtained_at());
        !self.memory.has_refused(token) && !is_ageless && wanted.is_met_by(token, record.judged_at(clock))
    }
}

/// A token that was obtained after the refresh token was refused.
enum Renewed {
    /// Another program had saved it.
    Elsewhere(Arc<Token>),
    /// It is new, and has to be saved.
    Here(Arc<Token>),
}
