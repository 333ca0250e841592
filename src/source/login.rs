//! Logins of a [`CachingSource`]: how they begin, continue from the store, and end.

use std::sync::Arc;

use crate::clock::Deadline;
use crate::error::{Error, ErrorKind};
use crate::source::CachingSource;
use crate::source::shared::{NotSaved, Shared};
use crate::source::single_flight::{Lead, Role, Stage};
use crate::store::record::{Record, RecordName};
use crate::store::{LockedRecord, TokenStore};
use crate::token::Token;

impl CachingSource {
    /// Uses the token of a login from now on. If there is a store, saves the token there in place of the stored one.
    ///
    /// A token that a [`PendingLogin`](crate::flow::PendingLogin) with the same store has saved is not saved again. If another thread is
    /// obtaining a token, this waits for that thread, for no longer than the time-out of the [`Transport`](crate::Transport).
    ///
    /// # Errors
    /// The store's error, if the token could not be saved. The source still keeps the token in memory and uses it, so the person does not
    /// have to log in again in this run. Each renewal tries to save again, and [`warning`](Self::warning) repeats the error until that
    /// succeeds.
    ///
    /// [`Timeout`](ErrorKind::Timeout) if another thread was still obtaining a token, and [`InvalidInput`](ErrorKind::InvalidInput) in a
    /// callback of this source. After these two errors, nothing has changed.
    pub fn log_in(&self, token: Token) -> Result<(), Error> {
        let deadline = self.0.deadline();
        let _lead = self.0.lead_alone("log in", &deadline)?;
        let clock_offset = self.0.transport.clock().offset();
        let record = Record::new(token.clone(), clock_offset);
        let (saved, before) = match &self.0.stored {
            Some((store, name)) => save_login(store.as_ref(), name, &record, &deadline),
            None => (Ok(()), None),
        };
        if let Err(error) = &saved {
            log::warn!(target: "keyfob", "the new login is kept in memory only: {error}");
        }
        self.0.memory.keep(Arc::new(token), clock_offset, self.0.schedule, true);
        self.0.settle(saved.clone(), before, true);
        saved
    }

    /// Continues with the stored token of an earlier login, expired or not. Returns whether there is a token, in memory or stored.
    ///
    /// Sends nothing, so the server may have ended the login. To learn whether a person has to log in, call
    /// [`TokenSource::token`](crate::TokenSource::token), which returns [`LoginRequired`](ErrorKind::LoginRequired) then.
    ///
    /// If there is a token in memory already, that token stays.
    ///
    /// # Errors
    /// [`Store`](ErrorKind::Store) if the store cannot be reached or trusted; [`Timeout`](ErrorKind::Timeout) if another thread
    /// was still obtaining a token; [`InvalidInput`](ErrorKind::InvalidInput) in a callback of this source.
    pub fn resume(&self) -> Result<bool, Error> {
        let _lead = self.0.lead_alone("resume the login", &self.0.deadline())?;
        if self.0.memory.token().is_some() {
            return Ok(true);
        }
        let Some((store, name)) = &self.0.stored else { return Ok(false) };
        let Some(record) = store.load(name)? else { return Ok(false) };
        self.0.transport.clock().recall(record.clock_offset(), record.token().obtained_at());
        // The token is not new: threads that wait for a token get it only if it is valid long enough.
        self.0.memory.keep(Arc::new(record.token().clone()), record.clock_offset(), self.0.schedule, false);
        Ok(true)
    }

    /// Removes the token from memory and its record from the store. Nothing is sent: at the server the tokens stay valid.
    ///
    /// If the record holds a later login than the one in memory, the record stays. If there is no token in memory, the stored record is
    /// removed, whichever login it belongs to. No thread or process renews the token meanwhile. A grant that needs no login obtains a new
    /// token at the next call.
    ///
    /// # Errors
    /// [`Store`](ErrorKind::Store) if the record cannot be removed; [`Timeout`](ErrorKind::Timeout) if another thread or process
    /// was still renewing the token; [`InvalidInput`](ErrorKind::InvalidInput) in a callback of this source. The token stays in
    /// memory then.
    pub fn log_out(&self) -> Result<(), Error> {
        let deadline = self.0.deadline();
        let _lead = self.0.lead_alone("log out", &deadline)?;
        if let Some((mut locked, _)) = self.0.own_record(&deadline)? {
            locked.remove()?;
        }
        self.0.memory.clear();
        self.0.status().not_saved = None;
        Ok(())
    }

    /// Logs out as [`log_out`](Self::log_out) does, after `revoke` has revoked the tokens at the server.
    ///
    /// `revoke` receives the tokens of the login, the newest first: the one in memory and, if it differs, the stored one. If `revoke`
    /// fails, nothing else happens. The tokens are revoked even if the store cannot be used.
    ///
    /// # Errors
    /// The error of `revoke`; [`NoCredentials`](ErrorKind::NoCredentials) if there is no token; [`Store`](ErrorKind::Store) if the
    /// tokens were revoked but their record could not be removed; [`Timeout`](ErrorKind::Timeout) and
    /// [`InvalidInput`](ErrorKind::InvalidInput) as in `log_out`.
    pub fn log_out_with(&self, revoke: impl FnOnce(&[Arc<Token>]) -> Result<(), Error>) -> Result<(), Error> {
        let deadline = self.0.deadline();
        let _lead = self.0.lead_alone("revoke the token", &deadline)?;
        // The tokens are revoked even if the store cannot be used.
        let held = self.0.own_record(&deadline);
        let mut tokens: Vec<_> = self.0.memory.token().into_iter().collect();
        if let Ok(Some((_, newest))) = &held
            && !tokens.iter().any(|current| current.is_same(newest))
        {
            tokens.insert(0, newest.clone());
        }
        let Some(newest) = tokens.first() else {
            let text = "there is no token to revoke";
            return Err(held.err().unwrap_or_else(|| Error::new(ErrorKind::NoCredentials, text)));
        };
        revoke(&tokens)?;
        let removed = held.and_then(|held| held.map_or(Ok(()), |(mut locked, _)| locked.remove()));
        self.0.memory.clear();
        self.0.status().not_saved = removed.as_ref().err().map(|error| NotSaved {
            error: error.clone(),
            stored: Some(Token::clone(newest)),
            is_login: false,
        });
        // The tokens are revoked by now. A timeout would suggest that they are still valid.
        removed.map_err(|error| match error.kind() {
            ErrorKind::Store => error,
            _ => Error::new(
                ErrorKind::Store,
                format!("the tokens are revoked, but their record could not be removed: {error}"),
            ),
        })
    }
}

impl Shared {
    fn deadline(&self) -> Deadline {
        Deadline::after(self.transport.timeout())
    }

    /// Waits until no thread obtains a token. Other threads wait until the result is dropped.
    fn lead_alone(&self, doing: &str, deadline: &Deadline) -> Result<Lead<'_>, Error> {
        loop {
            match self.flights.join() {
                Role::Leader(lead) => return Ok(lead),
                Role::Waiter(flight) if flight.wait(Stage::Ended, deadline) => {}
                Role::Waiter(_) => {
                    let text =
                        format!("could not {doing}: another thread was still renewing the token; try again");
                    return Err(Error::new(ErrorKind::Timeout, text));
                }
                Role::Reentrant => {
                    let text = format!("could not {doing}: a callback of the token's source may not do that");
                    return Err(Error::invalid(text));
                }
            }
        }
    }

    /// Locks the record of the login in memory, or of any login if there is none in memory. Returns `None` if the store has no such record.
    fn own_record(&self, deadline: &Deadline) -> Result<Option<OwnRecord>, Error> {
        let Some((store, name)) = &self.stored else { return Ok(None) };
        let current = self.memory.token();
        let mut locked = match store.lock(name, deadline.remaining()) {
            Err(error) if store.can_do_without(&error) => return Ok(None),
            locked => locked?,
        };
        let record = locked.load()?;
        let own =
            record.filter(|record| current.is_none_or(|current| record.token().is_same_login(&current)));
        Ok(own.map(|record| (locked, Arc::new(record.token().clone()))))
    }
}

type OwnRecord = (Box<dyn LockedRecord>, Arc<Token>);

/// Saves a login in place of the stored one. Returns the stored token too.
fn save_login(
    store: &dyn TokenStore,
    name: &RecordName,
    login: &Record,
    deadline: &Deadline,
) -> (Result<(), Error>, Option<Token>) {
    let mut locked = store.lock(name, deadline.remaining());
    // Read after the wait: another process may have renewed the stored login meanwhile.
    let before = locked.as_mut().map_or_else(|_| store.load(name), |locked| locked.load());
    let before = before.ok().flatten().map(|record| record.token().clone());
    // A pending login with a store has saved it as soon as it was received.
    let is_saved =
        before.as_ref().is_some_and(|held| held.is_same(login.token()) && held.is_same_login(login.token()));
    let saved = if is_saved { Ok(()) } else { locked.and_then(|mut locked| locked.save(login)) };
    (saved, before)
}
