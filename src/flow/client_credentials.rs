//! The client credentials grant (RFC 6749 4.4).

use std::path::PathBuf;

use super::extension_grant::{Exchange, ExtensionGrant};
use super::grant::Grant;
use crate::client_auth::ClientAuth;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::{Advice, Error};
use crate::secret::Secret;
use crate::token::Token;
use crate::transport::Transport;
use crate::transport::given_url::GivenUrl;
use crate::transport::retry::Repeat;

/// The client credentials grant (RFC 6749 4.4): the client obtains a token for itself, with any [`ClientAuth`] that has a secret, or with a
/// TLS client certificate.
///
/// Nothing is checked before [`run`](Self::run). May be shared between threads.
///
/// ```no_run
/// # fn main() -> Result<(), keyfob::Error> {
/// use keyfob::{ClientAuth, Transport, flow::ClientCredentials};
///
/// # let client_secret = String::new();
/// let auth = ClientAuth::secret_jwt("my-client", client_secret);
/// let token = ClientCredentials::new("https://login.example.com/token", auth)
///     .with_scope("things.read")
///     .with_parameter("audience", "https://api.example.com")
///     .run(&Transport::new())?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ClientCredentials(ExtensionGrant);

impl ClientCredentials {
    /// A client credentials grant at this token URL.
    #[must_use]
    pub fn new(token_url: impl Into<String>, auth: ClientAuth) -> Self {
        Self::at(GivenUrl::new("token URL", token_url), auth)
    }

    pub(crate) fn at(token_url: GivenUrl, auth: ClientAuth) -> Self {
        Self(ExtensionGrant::at(token_url, auth, "client_credentials"))
    }

    /// As [`ExtensionGrant::with_scope`].
    #[must_use]
    pub fn with_scope(self, scope: impl Into<String>) -> Self {
        Self(self.0.with_scope(scope))
    }

    /// As [`ExtensionGrant::with_parameter`].
    #[must_use]
    pub fn with_parameter(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        Self(self.0.with_parameter(name, value))
    }

    /// As [`ExtensionGrant::with_secret_parameter`].
    #[must_use]
    pub fn with_secret_parameter(self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        Self(self.0.with_secret_parameter(name, value))
    }

    /// As [`ExtensionGrant::with_parameter_file`].
    pub(crate) fn with_parameter_file(self, name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self(self.0.with_parameter_file(name, path))
    }

    /// Obtains a token. Tries up to three times, on 429, 5xx and failed connections.
    ///
    /// # Errors
    /// As [`ExtensionGrant::run`]. Also [`InvalidInput`](ErrorKind::InvalidInput) for [`ClientAuth::none`], unless the transport
    /// [has a client certificate](Transport::with_client_certificate).
    pub fn run(&self, transport: &Transport) -> Result<Token, Error> {
        self.check(transport)?;
        let exchange = Exchange {
            doing: "get a token with the client credentials from",
            repeat: Repeat::Always,
            comes_once: false,
            advice: Advice::CheckClient,
            own: &[],
            reserved: &[],
        };
        self.0.exchange(transport, &exchange)
    }

    /// Checks everything that the caller gave, as [`run`](Self::run) does.
    pub(crate) fn check(&self, transport: &Transport) -> Result<(), Error> {
        if self.0.auth().is_public() && !transport.has_client_certificate() {
            return Err(Error::invalid(
                "a public client cannot use the client credentials grant (RFC 6749 4.4): use `ClientAuth::secret_basic`, \
                 `secret_post`, `secret_jwt` or `assertion`, or a transport with a client certificate",
            ));
        }
        self.0.check(&[])
    }
}

impl Grant for ClientCredentials {
    fn token(&self, transport: &Transport, _previous: Option<&Token>) -> Result<Token, Error> {
        self.run(transport)
    }
}
