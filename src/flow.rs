//! The exchanges with an authorization server, one struct each.
//!
//! Each takes the URL of its endpoint, so each works with any server; each is run with one call on an
//! [`Http`]. Those that can be run again and again are a [`Grant`] and feed a
//! [`CachingSource`](crate::CachingSource).

mod app_credentials;
mod authorization_code;
mod basic_token;
mod client_assertion;
mod refresh;
mod revoke;

pub use app_credentials::AppCredentials;
pub use authorization_code::{AuthorizationCode, Login};
pub use basic_token::BasicToken;
pub use client_assertion::ClientAssertion;
pub use refresh::Refresh;
pub use revoke::Revoke;

use crate::{Error, Http, Token};

/// An authorization grant (RFC 6749 1.3) that can be exchanged for a token as often as one is needed.
pub trait Grant: Send + Sync {
    /// Gets a new token. `previous` is the last one, expired or refused, whose refresh token may be of use.
    ///
    /// # Errors
    /// Whatever the exchange fails with, within the deadline of `http`.
    fn token(&self, http: &Http, previous: Option<&Token>) -> Result<Token, Error>;

    /// Whether it can be asked for once more after an answer got lost. If not, early renewals are not cut short.
    /// Default: true.
    fn is_repeatable(&self) -> bool {
        true
    }
}
