//! The value behind `keyfob_login`: a login of a person that has not ended yet.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keyfob::{ErrorKind, Token, flow::PendingLogin};

use crate::client::Client;
use crate::failure::Failure;

/// A login that has not ended yet. It stays valid after the client that started it was freed.
pub struct Login {
    client: Client,
    pub url: String,
    /// Empty for a login with a browser.
    pub user_code: String,
    pub verification_uri: String,
    /// `None` once the login is being waited for, or has ended.
    pending: Mutex<Option<PendingLogin>>,
}

fn used_up() -> Failure {
    Failure::invalid("this login has ended, or another call waits for it: start another one if it has ended")
}

impl Login {
    pub fn start(client: &Client, scopes: &str) -> Result<Self, Failure> {
        let login = client.start_login(scopes)?;
        Ok(Self {
            client: client.clone(),
            url: login.url().to_owned(),
            user_code: login.user_code().unwrap_or_default().to_owned(),
            verification_uri: login.verification_uri().to_owned(),
            pending: Mutex::new(Some(login)),
        })
    }

    fn pending(&self) -> MutexGuard<'_, Option<PendingLogin>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn one_time_url(&self) -> Result<String, Failure> {
        Ok(self.pending().as_mut().ok_or_else(used_up)?.one_time_url()?)
    }

    pub fn wait(&self, within: Duration) -> Result<(), Failure> {
        // A callback that cannot be waited for can still be pasted.
        self.pending().as_ref().ok_or_else(used_up)?.can_wait()?;
        let login = self.pending().take().ok_or_else(used_up)?;
        self.end(&login.wait(within)?)
    }

    /// Asks once whether the person has logged in. Returns whether the login has succeeded.
    pub fn poll(&self) -> Result<bool, Failure> {
        let mut pending = self.pending();
        let polled = pending.as_ref().ok_or_else(used_up)?.poll();
        // Any failure ends a login by device code. One with a browser is not polled, and goes on.
        if !matches!(polled, Ok(None)) && !self.user_code.is_empty() {
            *pending = None;
        }
        drop(pending);
        let Some(token) = polled? else { return Ok(false) };
        self.end(&token)?;
        Ok(true)
    }

    pub fn finish(&self, callback_url: &str) -> Result<(), Failure> {
        // After an address of another login, the right one can be pasted.
        let mut pending = self.pending();
        match pending.as_ref().ok_or_else(used_up)?.can_finish(callback_url) {
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Protocol) => {
                return Err(error.into());
            }
            _ => {}
        }
        let login = pending.take().ok_or_else(used_up)?;
        drop(pending);
        self.end(&login.finish(callback_url)?)
    }

    fn end(&self, token: &Token) -> Result<(), Failure> {
        self.client.restore(token.clone())?;
        self.client.renewed(token);
        Ok(())
    }
}
