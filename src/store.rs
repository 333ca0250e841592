//! Tokens that outlive the process: [`TokenStore`] and [`LockedRecord`], the interface of a store.

pub(crate) mod file_store;
mod files;
mod lock;
mod locked_file;
pub(crate) mod record;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::secret::Secret;
use crate::store::record::{Record, RecordName};

/// A place that keeps tokens between one run and the next. May be used from any thread and by many processes.
///
/// A store of your own can use [`RecordName::key`] as the name of a record, and [`Record::to_bytes`] as its content.
pub trait TokenStore: Send + Sync {
    /// Returns the record as it is now, without waiting for a lock.
    ///
    /// A record that cannot be read counts as absent, and is quarantined: kept, but no longer used.
    ///
    /// # Errors
    /// [`Store`](ErrorKind::Store) if the store cannot be reached or trusted, or if a newer version of keyfob wrote the record.
    fn load(&self, name: &RecordName) -> Result<Option<Record>, Error>;

    /// Waits until no other thread or process holds the record, for no longer than `within`. The lock ends when the result is
    /// dropped, and when the process ends.
    ///
    /// # Errors
    /// [`Timeout`](ErrorKind::Timeout) after `within`; [`Store`](ErrorKind::Store) if locks do not work in this store, or if the store
    /// cannot be reached or trusted.
    fn lock(&self, name: &RecordName, within: Duration) -> Result<Box<dyn LockedRecord>, Error>;

    /// Returns whether tokens may be kept in memory only after this error, with a warning. Return `true` only for a store that nobody has
    /// chosen, such as a default.
    /// Default: no.
    fn can_do_without(&self, error: &Error) -> bool {
        let _ = error;
        false
    }
}

impl<T: TokenStore + ?Sized> TokenStore for Arc<T> {
    fn load(&self, name: &RecordName) -> Result<Option<Record>, Error> {
        (**self).load(name)
    }

    fn lock(&self, name: &RecordName, within: Duration) -> Result<Box<dyn LockedRecord>, Error> {
        (**self).lock(name, within)
    }

    fn can_do_without(&self, error: &Error) -> bool {
        (**self).can_do_without(error)
    }
}

/// A record that only the caller holds. Only a locked record can be changed.
pub trait LockedRecord: Send {
    /// Returns the record, as [`TokenStore::load`] does.
    ///
    /// # Errors
    /// As [`TokenStore::load`].
    fn load(&mut self) -> Result<Option<Record>, Error>;

    /// Saves the record. Once this returns, the record survives a power cut.
    ///
    /// # Errors
    /// [`Store`](ErrorKind::Store). After this error the store has either the whole old record or the whole new one.
    fn save(&mut self, record: &Record) -> Result<(), Error>;

    /// Removes the record, if there is one, and everything that was quarantined or kept beside it.
    ///
    /// # Errors
    /// [`Store`](ErrorKind::Store).
    fn remove(&mut self) -> Result<(), Error>;

    /// Makes sure that [`save`](Self::save) will not fail for lack of space or of a permission. It is called before a server is
    /// asked for tokens that it issues only once. Default: does nothing.
    ///
    /// # Errors
    /// [`Store`](ErrorKind::Store). The server is not asked then.
    fn prepare(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Keeps an answer that could not be used, byte for byte, beside the record, and returns its path. The answer may hold tokens that
    /// the server will not issue again. Default: `None`, the answer is not kept.
    ///
    /// # Errors
    /// [`Store`](ErrorKind::Store).
    fn keep_answer(&mut self, answer: &Secret) -> Result<Option<PathBuf>, Error> {
        let _ = answer;
        Ok(None)
    }
}

/// Keeps the answer of an error beside the record, if it could not be used and does not come again.
pub(crate) fn keep_answer(locked: &mut dyn LockedRecord, error: Error) -> Error {
    let Some(answer) = error.unsaved() else { return error };
    match locked.keep_answer(answer) {
        Ok(Some(place)) => error.kept_in(&place),
        Ok(None) => error,
        Err(cause) => error.add("", &cause.to_string()),
    }
}
