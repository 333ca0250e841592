//! [`ExtensionGrant`]: any grant type, and the token request that all flows make.

use std::borrow::Cow;
use std::path::PathBuf;

use ureq::http::Method;

use super::grant::Grant;
use super::parameters::Parameters;
use super::scope::Scope;
use crate::check;
use crate::client_auth::ClientAuth;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::{Advice, Error};
use crate::secret::Secret;
use crate::token::Token;
use crate::transport::Transport;
use crate::transport::call::{Call, Payload};
use crate::transport::endpoint::Endpoint;
use crate::transport::given_url::{GivenUrl, Url};
use crate::transport::retry::Repeat;

/// A token request with any `grant_type` (RFC 6749 4.5) and the caller's parameters, such as RFC 8693 token exchange or the
/// JWT bearer grant of RFC 7523 2.1.
///
/// The request has the same proxy, certificate authorities, deadline and clock correction as that of any other flow, and no error
/// shows a secret parameter. Nothing is checked before [`run`](Self::run). Cheap to share between threads.
///
/// ```no_run
/// # fn main() -> Result<(), keyfob::Error> {
/// use keyfob::{ClientAuth, Transport, flow::ExtensionGrant};
///
/// # let client_secret = String::new();
/// let auth = ClientAuth::secret_basic("my-client", client_secret);
/// let token = ExtensionGrant::new(
///     "https://login.example.com/token",
///     auth,
///     "urn:ietf:params:oauth:grant-type:token-exchange",
/// )
/// .with_parameter("audience", "https://api.example.com")
/// .with_parameter("subject_token_type", "urn:ietf:params:oauth:token-type:jwt")
/// .with_parameter_file("subject_token", "/var/run/secrets/tokens/my-service")
/// .run(&Transport::new())?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ExtensionGrant {
    token_url: GivenUrl,
    auth: ClientAuth,
    grant_type: Cow<'static, str>,
    pub(super) scope: Scope,
    pub(super) parameters: Parameters,
    is_repeatable: bool,
}

/// How one flow makes its token request.
pub(super) struct Exchange<'a> {
    /// Completes "could not …".
    pub(super) doing: &'static str,
    pub(super) repeat: Repeat,
    /// Whether the server may give its answer only once.
    pub(super) comes_once: bool,
    /// The advice for a refusal by the server, unless its error code says more.
    pub(super) advice: Advice,
    /// The flow's own parameters, after `grant_type`.
    pub(super) own: &'a [(&'static str, &'a [u8])],
    /// The names that the flow itself sends, here or elsewhere, in addition to `grant_type` and `scope`.
    pub(super) reserved: &'a [&'a str],
}

impl ExtensionGrant {
    /// A token request of this grant type at this token URL.
    #[must_use]
    pub fn new(token_url: impl Into<String>, auth: ClientAuth, grant_type: impl Into<String>) -> Self {
        Self::at(GivenUrl::new("token URL", token_url), auth, grant_type.into())
    }

    pub(crate) fn at(
        token_url: GivenUrl,
        auth: ClientAuth,
        grant_type: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (scope, parameters) = (Scope::default(), Parameters::default());
        Self { token_url, auth, grant_type: grant_type.into(), scope, parameters, is_repeatable: false }
    }

    /// Asks for one or more scopes, separated by spaces (RFC 6749 3.3), in addition to those of earlier calls. Default: no scope is
    /// sent, and the server chooses.
    #[must_use]
    pub fn with_scope(mut self, scope: impl Into<String>) -> Self {
        self.scope.add(scope);
        self
    }

    /// Sends one more parameter. May be called more than once, also with the same name. [`run`](Self::run) refuses names that the
    /// flow itself sends (`grant_type`, `scope`, and those of any client authentication). Default: none.
    #[must_use]
    pub fn with_parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.add(name, value);
        self
    }

    /// As [`with_parameter`](Self::with_parameter), with a value that no error and no `Debug` shows.
    #[must_use]
    pub fn with_secret_parameter(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.parameters.add_secret(name, value);
        self
    }

    /// As [`with_secret_parameter`](Self::with_secret_parameter), for a value that expires: keyfob calls the function again for each
    /// request. An error of the function ends the call. keyfob cannot interrupt the function, so the function itself must return
    /// within the deadline.
    #[must_use]
    pub fn with_parameter_from(
        mut self,
        name: impl Into<String>,
        read: impl Fn() -> Result<Secret, Error> + Send + Sync + 'static,
    ) -> Self {
        self.parameters.add_function(name, read);
        self
    }

    /// As [`with_secret_parameter`](Self::with_secret_parameter), but reads the value from a file again for each request. The file, such
    /// as a projected token of Kubernetes, may have 1 MiB at most. A byte order mark at its start and a line end at its end are not part of the
    /// value. A file with more lines is refused.
    #[must_use]
    pub fn with_parameter_file(mut self, name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        self.parameters.add_file(name, path);
        self
    }

    /// Also tries again when the request may have reached the server: up to three times on 429, 5xx and failed connections. Only for
    /// grants that can be used more than once. Default: tries again only while no byte of the request was sent.
    #[must_use]
    pub fn allow_repeats(mut self) -> Self {
        self.is_repeatable = true;
        self
    }

    /// Obtains a token.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), before anything is sent: if the URL is not https (http on loopback); if a value
    /// is empty, longer than 16 KiB or contains a control character; if a parameter is one that the flow itself sends; or if a
    /// setting does not fit the client authentication. [`LoginRequired`](ErrorKind::LoginRequired) for `invalid_grant`,
    /// [`Refused`](ErrorKind::Refused) for another refusal; network and protocol errors.
    pub fn run(&self, transport: &Transport) -> Result<Token, Error> {
        let repeat = if self.is_repeatable { Repeat::Always } else { Repeat::Unsent };
        let exchange = Exchange {
            doing: "get a token from",
            repeat,
            comes_once: !self.is_repeatable,
            advice: Advice::CheckGrant,
            own: &[],
            reserved: &[],
        };
        self.exchange(transport, &exchange)
    }

    /// The URL of the token endpoint.
    pub(super) fn token_url(&self) -> &GivenUrl {
        &self.token_url
    }

    pub(super) fn auth(&self) -> &ClientAuth {
        &self.auth
    }

    /// Checks everything that a caller gave, before anything is sent.
    pub(crate) fn check(&self, reserved: &[&str]) -> Result<(), Error> {
        self.token_url.check()?;
        self.auth.check()?;
        check::value("grant type", self.grant_type.as_bytes())?;
        self.scope.list()?;
        self.parameters.check(&[&["grant_type", "scope"], reserved].concat())
    }

    /// Makes the token request: the only one in the library.
    pub(super) fn exchange(&self, transport: &Transport, exchange: &Exchange<'_>) -> Result<Token, Error> {
        self.check(exchange.reserved)?;
        let (url, transport) = self.token_url.resolve(transport)?;
        let call = exchange.call(url.endpoint());
        let scope = self.scope.list()?;
        transport.token(&call, &mut |now| self.payload(exchange.own, scope.as_deref(), now, url.as_str()))
    }

    /// Checks that a request to this token URL, without the flow's own parameters, can be sent. For flows that would lose a code or
    /// a token if the request failed later.
    pub(super) fn check_request(
        &self,
        url: &Url,
        transport: &Transport,
        exchange: &Exchange<'_>,
    ) -> Result<(), Error> {
        let payload = self.payload(&[], None, transport.clock().now(), url.as_str())?;
        transport.request(&exchange.call(url.endpoint()), &payload).map(drop)
    }

    fn payload(
        &self,
        own: &[(&'static str, &[u8])],
        scope: Option<&str>,
        now: std::time::SystemTime,
        audience: &str,
    ) -> Result<Payload, Error> {
        let mut all = vec![("grant_type", self.grant_type.as_bytes())];
        all.extend_from_slice(own);
        all.extend(scope.map(|scope| ("scope", scope.as_bytes())));
        self.parameters.request(&self.auth, &all, now, audience)
    }
}

impl Exchange<'_> {
    fn call<'a>(&self, endpoint: &'a Endpoint) -> Call<'a> {
        Call {
            doing: self.doing,
            endpoint,
            method: Method::POST,
            repeat: self.repeat,
            comes_once: self.comes_once,
            advice: self.advice,
        }
    }
}

impl Grant for ExtensionGrant {
    fn token(&self, transport: &Transport, _previous: Option<&Token>) -> Result<Token, Error> {
        self.run(transport)
    }

    fn is_repeatable(&self) -> bool {
        self.is_repeatable
    }
}
