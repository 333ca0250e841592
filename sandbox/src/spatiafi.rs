//! SpatiaFi: the accounts, clients and tokens that its two servers share.

mod api;
mod auth;

use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) use api::Api;
pub use api::{Denial, ITEMS};
pub(crate) use auth::{Auth, BASIC_TOKEN, CLIENTS, TOKEN};

use crate::assertion::Verifier;
use crate::oauth::clients::Clients;
use crate::request::Request;
use crate::tokens::{TokenKind, TokenTable};
use crate::{Clock, random};

/// The default lifetime of tokens.
const TOKEN_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// The demo account. The password holds characters that clients often encode badly: spaces, a colon, quotes, characters beyond ASCII.
pub(crate) const USERNAME: &str = "demo@example.com";
pub(crate) const PASSWORD: &str = "pass: wörd & 100% \"naïve\" it's ✓";

/// Accounts, clients and tokens.
pub(crate) struct SpatiaFi {
    pub(crate) tokens: TokenTable,
    pub(crate) denial: Mutex<Denial>,
    verifier: Verifier,
    pub(crate) clients: Clients,
}

impl SpatiaFi {
    pub(crate) fn new(clock: &Clock) -> Arc<Self> {
        Arc::new(Self {
            tokens: TokenTable::new(clock.clone(), TOKEN_LIFETIME),
            denial: Mutex::default(),
            verifier: Verifier::new(clock.clone()),
            clients: Clients::default(),
        })
    }

    pub(crate) fn add_client(&self) -> (String, String) {
        let (id, secret) = (random::text(18), random::text(48));
        self.clients.register(&id, Some(&secret));
        (id, secret)
    }

    /// True if the request carries a valid token of this kind, in the header and once.
    fn admits(&self, request: &Request<'_>, kind: TokenKind) -> bool {
        request.header("authorization").ok().flatten().and_then(|value| value.split_once(' ')).is_some_and(
            |(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && self.tokens.admits(kind, token),
        )
    }
}
