//! The refresh token grant (RFC 6749 6).

use std::path::PathBuf;

use super::extension_grant::{Exchange, ExtensionGrant};
use super::grant::Grant;
use crate::check;
use crate::client_auth::ClientAuth;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::{Advice, Error, ErrorKind as Kind};
use crate::secret::Known;
use crate::secret::Secret;
use crate::token::Token;
use crate::transport::Transport;
use crate::transport::given_url::GivenUrl;
use crate::transport::retry::Repeat;

/// The parameters that the flow itself sends.
const RESERVED: [&str; 1] = ["refresh_token"];

/// The refresh token grant (RFC 6749 6): a new access token for a refresh token.
///
/// As a [`Grant`] it uses the refresh token of the last token. [`CachingSource::log_in`](crate::CachingSource::log_in) or
/// [`with_refresh_token`](Self::with_refresh_token) sets the first refresh token. If an answer has no refresh token, the old one
/// stays in use.
///
/// Nothing is checked before [`run`](Self::run). May be shared between threads.
///
/// ```no_run
/// # fn main() -> Result<(), keyfob::Error> {
/// use keyfob::{CachingSource, ClientAuth, Transport, flow::Refresh};
///
/// # let (client_secret, token) = (String::new(), keyfob::Token::new("x", std::time::SystemTime::UNIX_EPOCH)?);
/// let auth = ClientAuth::secret_basic("my-client", client_secret);
/// let refresh = Refresh::new("https://auth.example.com/token", auth);
/// let source = CachingSource::new(Transport::new(), refresh);
/// source.log_in(token)?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Refresh {
    grant: ExtensionGrant,
    first: Option<Known>,
    repeat: Repeat,
    /// The service that a person logs in to, for errors.
    service: Option<String>,
}

impl Refresh {
    /// A refresh token grant at this token URL.
    #[must_use]
    pub fn new(token_url: impl Into<String>, auth: ClientAuth) -> Self {
        Self::at(GivenUrl::new("token URL", token_url), auth)
    }

    pub(crate) fn at(token_url: GivenUrl, auth: ClientAuth) -> Self {
        let grant = ExtensionGrant::at(token_url, auth, "refresh_token");
        Self { grant, first: None, repeat: Repeat::Busy, service: None }
    }

    /// Names the service in the error that says that nobody has logged in.
    pub(crate) fn for_service(mut self, name: &str) -> Self {
        self.service = Some(name.to_owned());
        self
    }

    /// Sets the refresh token for the first renewal of a source that has no token yet. Default: none.
    #[must_use]
    pub fn with_refresh_token(mut self, refresh_token: impl Into<Secret>) -> Self {
        self.first = Some(Known::new(refresh_token));
        self
    }

    /// Asks for a part of the scope that was granted (RFC 6749 6). As [`ExtensionGrant::with_scope`]. Default: no scope is sent, and
    /// this asks for the whole scope that was granted.
    #[must_use]
    pub fn with_scope(mut self, scope: impl Into<String>) -> Self {
        self.grant = self.grant.with_scope(scope);
        self
    }

    /// As [`ExtensionGrant::with_parameter`]; `refresh_token` is refused too.
    #[must_use]
    pub fn with_parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.grant = self.grant.with_parameter(name, value);
        self
    }

    /// As [`ExtensionGrant::with_secret_parameter`]; `refresh_token` is refused too.
    #[must_use]
    pub fn with_secret_parameter(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.grant = self.grant.with_secret_parameter(name, value);
        self
    }

    /// As [`ExtensionGrant::with_parameter_file`].
    pub(crate) fn with_parameter_file(mut self, name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        self.grant = self.grant.with_parameter_file(name, path);
        self
    }

    /// Also tries again when the request may have reached the server. Only for servers that never replace a refresh token: any other server
    /// would treat the second request as theft (RFC 9700 4.14.2). Default: tries again only on 429 and 503, and while no byte of the
    /// request was sent.
    #[must_use]
    pub fn allow_repeats(mut self) -> Self {
        self.repeat = Repeat::Always;
        self
    }

    /// Obtains a new token for the refresh token of `previous`, or else for [the first one](Self::with_refresh_token).
    ///
    /// # Errors
    /// [`LoginRequired`](ErrorKind::LoginRequired) if there is no refresh token, or if the server does not know it or no longer
    /// accepts it. Otherwise as [`ExtensionGrant::run`].
    pub fn run(&self, transport: &Transport, previous: &Token) -> Result<Token, Error> {
        self.renew(transport, Some(previous))
    }

    /// Checks everything that the caller gave, as [`run`](Self::run) does.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.grant.check(&RESERVED)
    }

    fn renew(&self, transport: &Transport, previous: Option<&Token>) -> Result<Token, Error> {
        let refresh_token =
            previous.and_then(Token::refresh_token).or(self.first.as_deref()).ok_or_else(|| {
                let text = match (&self.service, previous) {
                    (Some(service), None) => format!(
                        "nobody has logged in to the service `{service}` with this client and profile: log in first"
                    ),
                    _ => "there is no refresh token to renew the access token with: log in again".to_owned(),
                };
                Error::new(Kind::LoginRequired, text)
            })?;
        check::value("refresh token", refresh_token.expose())?;
        let exchange = Exchange {
            doing: "renew the access token at",
            repeat: self.repeat,
            comes_once: true,
            advice: Advice::LogIn,
            own: &[("refresh_token", refresh_token.expose())],
            reserved: &RESERVED,
        };
        let mut token = self.grant.exchange(transport, &exchange)?;
        // RFC 6749 6: a server may leave out the refresh token and the scope when they do not change.
        if token.refresh_token().is_none() {
            token = token.with_refresh_token(refresh_token.clone());
        }
        if let (None, Some(scope)) = (token.scope(), previous.and_then(Token::scope)) {
            token = token.with_scope(scope);
        }
        Ok(token)
    }
}

impl Grant for Refresh {
    fn token(&self, transport: &Transport, previous: Option<&Token>) -> Result<Token, Error> {
        self.renew(transport, previous)
    }

    fn is_repeatable(&self) -> bool {
        self.repeat == Repeat::Always
    }

    /// True, because a server that never replaces a refresh token may begin to do so.
    fn must_be_saved(&self) -> bool {
        true
    }
}
