//! [`PendingLogin`]: a login that a person has to carry out.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::extension_grant::ExtensionGrant;
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::secret::on_wiped_stack;
use crate::token::Token;
use crate::transport::Transport;

/// One login of a person, from its URL to its tokens. [`wait`](Self::wait) and [`finish`](Self::finish) use the login up.
///
/// Made by [`AuthorizationCode::start`](super::AuthorizationCode::start), for a login with a browser, and by
/// [`DeviceCode::start`](super::DeviceCode::start), for a login on another device. If the redirect URI of a login with a browser is
/// on this machine, the port stays open until the login is used up or dropped.
///
/// ```no_run
/// # use std::time::Duration;
/// # fn log_in(login: keyfob::flow::PendingLogin) -> Result<keyfob::Token, keyfob::Error> {
/// eprintln!("open {}", login.url());
/// if let Some(code) = login.user_code() {
///     eprintln!("or open {} and enter {code}", login.verification_uri());
/// }
/// login.wait(Duration::from_secs(300))
/// # }
/// ```
pub struct PendingLogin {
    transport: Transport,
    url: String,
    flow: Box<dyn LoginFlow>,
    keeper: Option<Box<dyn Keeper>>,
}

/// The part of a login that depends on its flow. It is used as a trait object, so that a program with one flow does not contain the code
/// of the other.
pub(super) trait LoginFlow: Send + Sync {
    /// The grant that makes the token request.
    fn grant(&self) -> &ExtensionGrant;

    /// Obtains the tokens as soon as the person has logged in.
    fn wait(&mut self, within: Duration, keep: &Keep<'_>) -> Result<Token, Error>;

    /// The three values that only a device login has: the code, the URL where it is entered, and the time at which it expires.
    fn device(&self) -> Option<(&str, &str, SystemTime)> {
        None
    }

    fn poll(&self, _: &Keep<'_>) -> Result<Option<Token>, Error> {
        Err(Error::invalid("a login with a browser cannot be polled: wait for it, or finish it"))
    }

    fn one_time_url(&mut self, _url: &str) -> Result<String, Error> {
        Err(no_callback())
    }

    fn can_wait(&self) -> Result<(), Error> {
        Ok(())
    }

    fn can_finish(&self, _callback_url: &str) -> Result<(), Error> {
        Err(no_callback())
    }

    fn finish(&self, _callback_url: &str, _: &Keep<'_>) -> Result<Token, Error> {
        Err(no_callback())
    }
}

fn no_callback() -> Error {
    Error::invalid("a device login has no callback URL: wait for it, or poll it")
}

/// A flow that lacks only the scope: starts a login for this scope.
pub(crate) type StartLogin =
    Box<dyn Fn(&Transport, Option<&str>) -> Result<PendingLogin, Error> + Send + Sync>;

/// An exchange, over this transport, that uses up the code of a login.
pub(crate) type CodeExchange<'a> = dyn FnMut(&Transport) -> Result<Token, Error> + 'a;

/// Makes an exchange, and saves its tokens if there is a [`Keeper`].
pub(super) type Keep<'a> = dyn Fn(&mut CodeExchange<'_>) -> Result<Token, Error> + 'a;

/// Saves the tokens of a login as soon as they are issued.
pub(crate) trait Keeper: Send + Sync {
    /// Returns the tokens of an earlier login, if there are any. As long as the caller holds them, error texts are compared with them.
    fn earlier(&self) -> Option<Token>;

    /// Makes the exchange if its tokens can be saved, and saves them.
    fn keep(&self, transport: &Transport, exchange: &mut CodeExchange<'_>) -> Result<Token, Error>;
}

impl PendingLogin {
    pub(super) fn new(transport: Transport, url: String, flow: impl LoginFlow + 'static) -> Self {
        Self { transport, url, flow: Box::new(flow), keeper: None }
    }

    pub(crate) fn with_keeper(self, keeper: Box<dyn Keeper>) -> Self {
        Self { keeper: Some(keeper), ..self }
    }

    /// The URL to open in a browser, on this machine or on another. In a device login it contains the code, if the server gave such
    /// a URL (`verification_uri_complete`, RFC 8628 3.3.1). Show the [code](Self::user_code) beside the URL in any case, so that the
    /// person can compare the two codes.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The code that the person enters at the [verification URI](Self::verification_uri), or compares with the code shown there. `None`
    /// for a login with a browser.
    pub fn user_code(&self) -> Option<&str> {
        self.flow.device().map(|(user_code, ..)| user_code)
    }

    /// The URL at which a person enters the [code](Self::user_code): short enough to be typed. For a login with a browser it is
    /// the same as [`url`](Self::url).
    pub fn verification_uri(&self) -> &str {
        self.flow.device().map_or(&self.url, |(_, verification_uri, _)| verification_uri)
    }

    /// The time at which the code of a device login expires, by the [clock](crate::Clock) of the transport. It is meant to be shown
    /// to the person. The login itself measures the time that has passed instead. `None` for a login with a browser.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.flow.device().map(|(.., expires_at)| expires_at)
    }

    /// Returns an address of this machine that redirects the first browser to [`url`](Self::url), during [`wait`](Self::wait). Put this
    /// address on the command line of a browser, which other users of the machine can read.
    ///
    /// The address contains nothing of the login's URL. A second request for it ends the login with [`Protocol`](ErrorKind::Protocol),
    /// since one of the two requests may have come from somebody else. Each call returns the same address.
    ///
    /// # Errors
    /// As [`can_wait`](Self::can_wait); also [`InvalidInput`](ErrorKind::InvalidInput) for a device login.
    pub fn one_time_url(&mut self) -> Result<String, Error> {
        self.flow.one_time_url(&self.url)
    }

    /// Checks whether [`wait`](Self::wait) can receive the callback. Call this before a person opens the URL.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the redirect URI is not on this machine; [`Network`](ErrorKind::Network) if its
    /// port is in use. For a device login this returns no error.
    pub fn can_wait(&self) -> Result<(), Error> {
        self.flow.can_wait()
    }

    /// Waits until the person has logged in, and obtains the tokens. With a [store](Self::with_store), saves the tokens before it
    /// returns.
    ///
    /// A login with a browser waits for the callback, and shows the person in the browser how the login ended. Requests that do not
    /// belong to this login are rejected, and the wait continues.
    ///
    /// A device login asks the server again and again, never sooner than the server allows (`interval`, `slow_down`,
    /// `Retry-After`). A lost connection, 429 and 5xx do not end the wait: the pauses between the requests become longer. The wait
    /// ends at once if the next request would come after `within` or after the code has expired.
    ///
    /// `within` limits the wait. Each exchange has the deadline of the [`Transport`]. Setting the clock of the machine has no
    /// effect on the wait.
    ///
    /// # Errors
    /// As [`can_wait`](Self::can_wait), at once. [`Timeout`](ErrorKind::Timeout) if nobody has logged in in time. Otherwise as
    /// [`finish`](Self::finish) or [`poll`](Self::poll). If a device login ends while its requests fail, the error is that of the last
    /// request. If earlier answers were cut off, the error also names the files that hold them. If there are no such files,
    /// [`Error::unsaved`] has the longest of these answers.
    pub fn wait(mut self, within: Duration) -> Result<Token, Error> {
        on_wiped_stack(|| {
            let Self { transport, flow, keeper, .. } = &mut self;
            let _earlier = keeper.as_ref().and_then(|keeper| keeper.earlier());
            flow.wait(within, &|exchange| keep(keeper.as_deref(), transport, exchange))
        })
    }

    /// Asks the server of a device login once whether the person has logged in. Returns `None` if not. If the server does not allow a
    /// request yet, sends nothing and returns `None`, so this can be called at any time. Threads that call this at the same time take
    /// turns, and one of them receives the tokens.
    ///
    /// # Errors
    /// [`LoginRequired`](ErrorKind::LoginRequired) if the person denied the access (`access_denied`) or the code has expired;
    /// [`Refused`](ErrorKind::Refused) for another refusal; [`Protocol`](ErrorKind::Protocol) if the answer cannot be used;
    /// [`Store`](ErrorKind::Store) as in [`finish`](Self::finish). Each of these errors ends the login: later calls return the same error,
    /// with answers that were cut off as in [`wait`](Self::wait). [`InvalidInput`](ErrorKind::InvalidInput) after a call has returned the
    /// tokens, and for a login with a browser. A lost connection, 429 and 5xx are no errors here.
    pub fn poll(&self) -> Result<Option<Token>, Error> {
        on_wiped_stack(|| self.flow.poll(&|exchange| self.keep(exchange)))
    }

    /// Obtains the tokens with the callback URL that the person copied from the browser's address bar, for a browser on another
    /// machine. White space, quotes and `<>` around the URL are ignored. To let the person paste again after a mistake, call
    /// [`can_finish`](Self::can_finish) first.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if this cannot be a callback URL, and for a device login;
    /// [`Protocol`](ErrorKind::Protocol) if the URL belongs to another login or cannot be used; [`LoginRequired`](ErrorKind::LoginRequired)
    /// if the person denied the access (`access_denied`) or the server refused the code; [`Refused`](ErrorKind::Refused) with the server's
    /// code if the server refused for another reason; [`Store`](ErrorKind::Store) if the tokens could not be saved: then the code has not
    /// been used. An answer that cannot be used is saved beside the record, or else is in [`Error::unsaved`].
    pub fn finish(self, callback_url: &str) -> Result<Token, Error> {
        on_wiped_stack(|| {
            let _earlier = self.earlier();
            self.flow.finish(callback_url, &|exchange| self.keep(exchange))
        })
    }

    /// Checks whether [`finish`](Self::finish) can use this callback URL, without using up the login. Nothing is sent.
    ///
    /// # Errors
    /// As [`finish`](Self::finish), except the errors of the exchange.
    pub fn can_finish(&self, callback_url: &str) -> Result<(), Error> {
        on_wiped_stack(|| {
            let _earlier = self.earlier();
            self.flow.can_finish(callback_url)
        })
    }

    fn earlier(&self) -> Option<Token> {
        self.keeper.as_ref()?.earlier()
    }

    fn keep(&self, exchange: &mut CodeExchange<'_>) -> Result<Token, Error> {
        keep(self.keeper.as_deref(), &self.transport, exchange)
    }
}

fn keep(
    keeper: Option<&dyn Keeper>,
    transport: &Transport,
    exchange: &mut CodeExchange<'_>,
) -> Result<Token, Error> {
    match keeper {
        Some(keeper) => keeper.keep(transport, exchange),
        None => exchange(transport),
    }
}

impl fmt::Debug for PendingLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingLogin").field("grant", self.flow.grant()).finish_non_exhaustive()
    }
}
