//! [`PendingLogin::with_store`]: the tokens of a login are saved as soon as they are issued.

use std::sync::Arc;

use crate::clock::Deadline;
use crate::error::Error;
use crate::flow::{CodeExchange, Keeper, PendingLogin};
use crate::store::record::{Record, RecordName};
use crate::store::{TokenStore, keep_answer};
use crate::token::Token;
use crate::transport::Transport;

struct LoginStore {
    store: Arc<dyn TokenStore>,
    name: RecordName,
}

impl PendingLogin {
    /// Saves the tokens in a store as soon as they are issued. The code is used only if the store has space for them.
    /// [`CachingSource::log_in`](crate::CachingSource::log_in) then finds them saved. Default: the caller keeps them.
    #[must_use]
    pub fn with_store(self, store: Arc<dyn TokenStore>, name: RecordName) -> Self {
        self.with_keeper(Box::new(LoginStore { store, name }))
    }
}

impl Keeper for LoginStore {
    fn earlier(&self) -> Option<Token> {
        self.store.load(&self.name).ok().flatten().map(|record| record.token().clone())
    }

    fn keep(&self, transport: &Transport, exchange: &mut CodeExchange<'_>) -> Result<Token, Error> {
        let deadline = Deadline::after(transport.timeout());
        let mut locked = self.store.lock(&self.name, deadline.remaining())?;
        // Loaded so that no error text repeats the tokens that the new ones replace.
        let _stored = locked.load();
        locked.prepare()?;
        let token = exchange(&transport.clone().with_timeout(deadline.remaining()))
            .map_err(|error| keep_answer(locked.as_mut(), error))?;
        // If this fails, the source that starts with the token saves it again, and reports the error.
        let _ = locked.save(&Record::new(token.clone(), transport.clock().offset()));
        Ok(token)
    }
}
