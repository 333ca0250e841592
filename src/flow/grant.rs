//! The grants that a source can exchange for a token again and again.

use crate::error::Error;
use crate::token::Token;
use crate::transport::Transport;

/// An authorization grant (RFC 6749 1.3) that can be exchanged for a token whenever one is needed.
pub trait Grant: Send + Sync {
    /// Obtains a new token. `previous` is the last token, which may have expired or been refused. Its refresh token may still be usable.
    ///
    /// # Errors
    /// Any error of the exchange, within the deadline of `transport`.
    fn token(&self, transport: &Transport, previous: Option<&Token>) -> Result<Token, Error>;

    /// Whether a token can be requested once more after an answer was lost. If not, an early renewal may take the whole deadline. Default:
    /// true.
    fn is_repeatable(&self) -> bool {
        true
    }

    /// Whether a login may be lost if an answer cannot be saved, as when a new refresh token replaces the last one. If so,
    /// a store must have space for the answer before the server is asked. Default: true unless the grant is
    /// [repeatable](Self::is_repeatable).
    fn must_be_saved(&self) -> bool {
        !self.is_repeatable()
    }
}
