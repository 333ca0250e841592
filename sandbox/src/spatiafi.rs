//! SpatiaFi: what its two servers have in common.

mod api;
mod auth;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) use api::Api;
pub use api::{Denial, ITEMS};
pub(crate) use auth::{Auth, BASIC_TOKEN, CLIENTS, TOKEN};

use crate::assertion::Verifier;
use crate::request::Request;
use crate::sync::lock;
use crate::tokens::{TokenKind, TokenTable};
use crate::{Clock, random};

/// How long tokens live unless told otherwise.
const TOKEN_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// The demo account. The password has what clients trip over: spaces, a colon, quotes, characters beyond ASCII.
pub(crate) const USERNAME: &str = "demo@example.com";
pub(crate) const PASSWORD: &str = "pass: wörd & 100% \"naïve\" it's ✓";

/// Accounts, clients and tokens.
pub(crate) struct SpatiaFi {
    pub(crate) tokens: TokenTable,
    pub(crate) denial: Mutex<Denial>,
    verifier: Verifier,
    clients: Mutex<HashMap<String, String>>,
}

impl SpatiaFi {
    pub(crate) fn new(clock: &Clock) -> Arc<Self> {
        Arc::new(Self {
            tokens: TokenTable::new(clock.clone(), TOKEN_LIFETIME),
            denial: Mutex::default(),
            verifier: Verifier::new(clock.clone()),
            clients: Mutex::default(),
        })
    }

    pub(crate) fn add_client(&self) -> (String, String) {
        let (id, secret) = (random::text(18), random::text(48));
        self.register(&id, &secret);
        (id, secret)
    }

    pub(crate) fn register(&self, client_id: &str, client_secret: &str) {
        lock(&self.clients).insert(client_id.to_owned(), client_secret.to_owned());
    }

    fn secret_of(&self, client_id: &str) -> Option<String> {
        lock(&self.clients).get(client_id).cloned()
    }

    /// True if the request carries a living token of this kind, in the header and once.
    fn admits(&self, request: &Request<'_>, kind: TokenKind) -> bool {
        request.header("authorization").ok().flatten().and_then(|value| value.split_once(' ')).is_some_and(
            |(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && self.tokens.admits(kind, token),
        )
    }
}
