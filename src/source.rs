//! [`TokenSource`], and [`CachingSource`], which keeps a token in memory and renews it.

mod login;
mod memory;
pub(crate) mod origin;
mod renewal;
mod shared;
mod single_flight;
mod stored;
#[cfg(test)]
mod tests;

mod login_store;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::{Error, ErrorKind as Kind};
use crate::flow::Grant;
use crate::source::renewal::Wanted;
use crate::source::shared::Shared;
use crate::store::TokenStore;
use crate::store::record::RecordName;
use crate::token::Token;
use crate::transport::Transport;

/// A source of access tokens. An agent asks it for the token of each request.
///
/// Sources are shared between threads: any method may be called from any thread at any time.
pub trait TokenSource: Send + Sync {
    /// Returns a token that is valid for at least `min_valid`. May block on one exchange, for no longer than the source's own
    /// deadline.
    ///
    /// A token from memory is used only if it remains valid for `min_valid`. A token that was obtained after the call began is returned
    /// whatever `min_valid` is.
    ///
    /// # Errors
    /// Those of the exchange; [`Timeout`](ErrorKind::Timeout) at the deadline.
    fn token(&self, min_valid: Duration) -> Result<Arc<Token>, Error>;

    /// Returns a token as [`token`](Self::token) does, but also ends by the caller's deadline. Default: calls `token`.
    ///
    /// # Errors
    /// As [`token`](Self::token).
    fn token_within(&self, min_valid: Duration, within: Duration) -> Result<Arc<Token>, Error> {
        let _ = within;
        self.token(min_valid)
    }

    /// Reports that a server refused `used`. The next call obtains another token, unless one was obtained since.
    fn invalidate(&self, used: &Token);
}

/// A source that keeps a token in memory and renews it shortly before it expires, once for all threads.
///
/// Clones share the token and everything else. Cloning is as cheap as for an [`Arc`]. Call the `with_…` setters before the first
/// clone: on a value that has clones, a setter makes a separate source.
///
/// **Renewal.** A token is renewed 60 s before it expires, or 20 % of its lifetime if that is shorter. Up to a tenth of this margin is
/// taken off at random, so that many processes do not ask the server at once. [`with_renewal_margin`](Self::with_renewal_margin) sets another margin.
/// While one thread renews, the others use the token that is still valid. They wait only if there is none, and no longer than their own
/// deadline and that of the [`Transport`]. If an early renewal fails, the current token stays in use. The next attempt is made 10 s later,
/// or at the time that the server asked for (`Retry-After`), if that is later.
///
/// **Store.** With a [`TokenStore`] one process renews the token for all processes that share the store. The source looks in memory first,
/// then in the store. Before it asks the server, it locks the record and looks in the store once more. It saves the new token, unlocks the
/// record and returns the token. Only a thread whose deadline passes during the save receives the token earlier. If saving fails, the
/// source still returns the token, because the server may have replaced the old one. [`warning`](Self::warning) then returns the reason.
///
/// **Log.** The crate `log` receives records with the target `keyfob`. A new token has the level `debug`. These have the level `warn`: a
/// renewal that failed while the current token is still used, a token that could not be saved, and a store that cannot be used.
///
/// ```no_run
/// # fn main() -> Result<(), keyfob::Error> {
/// # use std::time::Duration;
/// use keyfob::{CachingSource, ClientAuth, Transport, TokenSource as _, flow::ClientCredentials};
///
/// # let client_secret = String::new();
/// let auth = ClientAuth::secret_basic("my-client", client_secret);
/// let flow = ClientCredentials::new("https://login.example.com/token", auth);
/// let source = CachingSource::new(Transport::new(), flow);
/// let token = source.token(Duration::from_secs(60))?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct CachingSource(Arc<Shared>);

impl CachingSource {
    /// Makes a source without a token. It obtains the first token when one is asked for.
    pub fn new(transport: Transport, grant: impl Grant + 'static) -> Self {
        Self(Arc::new(Shared::new(transport, Arc::new(grant))))
    }

    /// Keeps tokens in a store too, so that the next process finds them. [`RecordName`] has an example. Default: memory only.
    pub fn with_store(mut self, store: Arc<dyn TokenStore>, name: RecordName) -> Self {
        self.settings().stored = Some((store, name));
        self
    }

    /// Starts with a token of the caller's. Default: none.
    ///
    /// The token is not saved. If there is a store, the stored token replaces it at the next renewal. Pass the token of a new login to
    /// [`log_in`](Self::log_in) instead.
    pub fn with_token(mut self, token: Token) -> Self {
        let shared = self.settings();
        let clock_offset = shared.transport.clock().offset();
        shared.memory.keep(Arc::new(token), clock_offset, shared.schedule, true);
        self
    }

    /// Sets how long before its expiry a token is renewed. Default: 60 s, or 20 % of the token's lifetime if that is shorter.
    ///
    /// If the margin is longer than half of a token's lifetime, that half is used. Up to a tenth of the margin is taken off at random. With
    /// a margin of zero a token is used until it expires.
    pub fn with_renewal_margin(mut self, margin: Duration) -> Self {
        let shared = self.settings();
        shared.schedule.margin = Some(margin);
        shared.memory.reschedule(shared.schedule);
        self
    }

    /// Sets a callback that receives each new token of the server, for callers with a store of their own. It runs after the attempt to save
    /// the token. Default: none.
    ///
    /// It runs on the thread that obtained the token. Threads that wait for that token do not wait for the callback; the next renewal does.
    /// If the callback asks this source for a token, it receives the new token, even if that token is not valid for long enough. Within the callback,
    /// [`log_in`](Self::log_in), [`resume`](Self::resume) and [`log_out`](Self::log_out) fail.
    pub fn with_on_renewed(mut self, call: impl Fn(&Token) + Send + Sync + 'static) -> Self {
        self.settings().on_renewed = Some(Arc::new(call));
        self
    }

    /// Sets a callback that receives the reason why a new token could not be saved. It runs as [`with_on_renewed`](Self::with_on_renewed)
    /// describes. Default: none.
    pub fn with_on_warning(mut self, call: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.settings().on_warning = Some(Arc::new(call));
        self
    }

    fn settings(&mut self) -> &mut Shared {
        Arc::make_mut(&mut self.0)
    }

    /// Obtains a new token now, even if the current one is still valid. If that fails, the current one stays in use. Seldom needed:
    /// [`token`](TokenSource::token) renews in time.
    ///
    /// # Errors
    /// As [`token`](TokenSource::token).
    pub fn renew(&self) -> Result<Arc<Token>, Error> {
        // An error of the store is handled below, where a token is obtained.
        if self.current().is_none()
            && let Err(error) = self.resume()
            && error.kind() != Kind::Store
        {
            return Err(error);
        }
        match self.current() {
            Some(old) => self.0.replace(&old),
            None => self.token(Duration::ZERO),
        }
    }

    /// Returns the token in memory, if there is one: expired or not, refused or not. Obtains nothing.
    pub fn current(&self) -> Option<Arc<Token>> {
        self.0.memory.token()
    }

    /// Returns why the token in memory could not be saved. If the server's answer to a renewal could not be used and may not come again,
    /// returns why the token was not renewed. The text says where that answer is kept; if it is not kept, [`Error::unsaved`] holds it.
    pub fn warning(&self) -> Option<Error> {
        self.0.status().not_saved.as_ref().map(|not_saved| not_saved.error.clone())
    }
}

impl TokenSource for CachingSource {
    fn token(&self, min_valid: Duration) -> Result<Arc<Token>, Error> {
        self.0.token(Wanted::living(min_valid), Duration::MAX)
    }

    fn token_within(&self, min_valid: Duration, within: Duration) -> Result<Arc<Token>, Error> {
        self.0.token(Wanted::living(min_valid), within)
    }

    fn invalidate(&self, used: &Token) {
        self.0.memory.refuse(used);
    }
}

impl fmt::Debug for CachingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachingSource").field("token", &self.current()).finish_non_exhaustive()
    }
}
