//! [`AuthorizationCode`]: a login with a browser (RFC 6749 4.1, RFC 7636).

use std::fmt;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::browser_login::{BrowserLogin, RESERVED, check_exchange};
use super::extension_grant::ExtensionGrant;
use super::pending_login::PendingLogin;
use super::scope::Scope;
use crate::check;
use crate::client_auth::ClientAuth;
use crate::encode::form;
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::login::redirect_uri::RedirectUri;
use crate::secret::Secret;
use crate::secret::{Known, on_wiped_stack};
use crate::sys::random;
use crate::transport::Transport;
use crate::transport::endpoint::Endpoint;
use crate::transport::given_url::GivenUrl;

/// The authorization code grant (RFC 6749 4.1): a person logs in with a browser, and the program obtains tokens.
///
/// `state` and PKCE (S256, RFC 7636) are always used, unless the caller switches one of them off because the server refuses it.
///
/// Nothing is checked before [`start`](Self::start). May be shared between threads.
///
/// ```no_run
/// # fn main() -> Result<(), keyfob::Error> {
/// # use std::time::Duration;
/// use keyfob::{ClientAuth, Transport, flow::AuthorizationCode};
///
/// # let client_secret = String::new();
/// let login = AuthorizationCode::new(
///     "https://auth.example.com/authorize",
///     "https://auth.example.com/token",
///     ClientAuth::secret_basic("my-client", client_secret),
///     "http://127.0.0.1:0/callback",
/// )
/// .with_scope("profile")
/// .start(&Transport::new())?;
/// eprintln!("open {}", login.url());
/// let token = login.wait(Duration::from_secs(300))?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct AuthorizationCode {
    authorize_url: GivenUrl,
    /// The token request. It has no scope, because only the authorization request sends the scope.
    grant: ExtensionGrant,
    redirect_uri: String,
    scope: Scope,
    issuer: Option<String>,
    has_state: bool,
    has_pkce: bool,
    is_redirect_uri_exchanged: bool,
}

impl AuthorizationCode {
    /// A login at these URLs.
    ///
    /// The server has to know the redirect URI. With `http` and `127.0.0.1`, `[::1]` or `localhost`, [`PendingLogin::wait`] receives
    /// the callback, at any free port if the port is 0. For `localhost` the port must be free in IPv4 and in IPv6, because a browser may
    /// use either. With any other redirect URI, the person pastes the callback URL for [`PendingLogin::finish`].
    #[must_use]
    pub fn new(
        authorize_url: impl Into<String>,
        token_url: impl Into<String>,
        auth: ClientAuth,
        redirect_uri: impl Into<String>,
    ) -> Self {
        Self::at(
            GivenUrl::unasked("authorize URL", authorize_url),
            GivenUrl::new("token URL", token_url),
            auth,
            redirect_uri,
        )
    }

    pub(crate) fn at(
        authorize_url: GivenUrl,
        token_url: GivenUrl,
        auth: ClientAuth,
        redirect_uri: impl Into<String>,
    ) -> Self {
        Self {
            authorize_url,
            grant: ExtensionGrant::at(token_url, auth, "authorization_code"),
            redirect_uri: redirect_uri.into(),
            scope: Scope::default(),
            issuer: None,
            has_state: true,
            has_pkce: true,
            is_redirect_uri_exchanged: true,
        }
    }

    /// Asks for one or more scopes, separated by spaces, in addition to those of earlier calls (RFC 6749 3.3). Only the
    /// authorization request sends them. Default: no scope is sent, and the server chooses.
    #[must_use]
    pub fn with_scope(mut self, scope: impl Into<String>) -> Self {
        self.scope.add(scope);
        self
    }

    /// Sends one more parameter, in the authorization request and in the token request. May be called more than once, also with the
    /// same name. [`start`](Self::start) refuses names that the flow itself sends. Default: none.
    #[must_use]
    pub fn with_parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.grant = self.grant.with_parameter(name, value);
        self
    }

    /// As [`with_parameter`](Self::with_parameter), but sent in the token request only, since the authorization request is a URL.
    /// No error and no `Debug` shows the value.
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

    /// Requires this issuer in each callback (`iss`, RFC 9207), for servers that send `iss`. Default: `iss` is not read.
    #[must_use]
    pub fn with_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Sends no `state` and accepts a callback without one, for servers that do not send it back. PKCE alone then protects the login, and
    /// anyone who makes the browser open the redirect URI can end the login. Default: `state` is sent, and required in the callback.
    #[must_use]
    pub fn without_state(mut self) -> Self {
        self.has_state = false;
        self
    }

    /// Leaves out PKCE (RFC 7636), for servers that refuse its parameters. Default: S256.
    #[must_use]
    pub fn without_pkce(mut self) -> Self {
        self.has_pkce = false;
        self
    }

    /// Leaves `redirect_uri` out of the token request, against RFC 6749 4.1.3, for servers that refuse it there. Default: it is
    /// sent.
    #[must_use]
    pub fn without_redirect_uri(mut self) -> Self {
        self.is_redirect_uri_exchanged = false;
        self
    }

    /// Starts a login with a `state` and a PKCE verifier of its own, each used once. Sends nothing.
    ///
    /// The program listens on the redirect URI from now on, if it can, so that no callback comes too early.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) as in [`ExtensionGrant::run`]; also for a redirect URI that is neither https
    /// (http on loopback) nor of a program's own scheme (RFC 8252 7.1), that has a fragment, or that has port 0 although
    /// [`PendingLogin::wait`] cannot receive its callback; and for a proxy of the environment that cannot be used.
    /// [`Network`](ErrorKind::Network) if no port is free.
    pub fn start(&self, transport: &Transport) -> Result<PendingLogin, Error> {
        on_wiped_stack(|| {
            let (url, browser) = self.start_checked(transport)?;
            Ok(PendingLogin::new(transport.clone(), url, browser))
        })
    }

    /// Checks everything that the caller gave, as [`start`](Self::start) does.
    pub(crate) fn check(&self) -> Result<RedirectUri, Error> {
        self.authorize_url.check()?;
        self.grant.check(&RESERVED)?;
        let redirect_uri = RedirectUri::new(&self.redirect_uri)?;
        if let Some(issuer) = &self.issuer {
            check::value("issuer", issuer.as_bytes())?;
        }
        self.scope.list()?;
        Ok(redirect_uri)
    }

    fn start_checked(&self, transport: &Transport) -> Result<(String, BrowserLogin), Error> {
        let redirect_uri = self.check()?;
        let (authorize, rest) = self.authorize_url.resolve(transport)?;
        let (token_url, _) = self.grant.token_url().resolve(&rest)?;
        // The code would be lost if the token request could not be sent.
        check_exchange(&self.grant, &token_url, transport)?;
        let (redirect_uri, listener) = redirect_uri.listen()?;
        let state = self.has_state.then(random::text).transpose()?.map(Known::new);
        let verifier = self.has_pkce.then(random::text).transpose()?.map(Known::new);
        let url = self.url(authorize.endpoint(), &redirect_uri, state.as_deref(), verifier.as_deref())?;
        let browser = BrowserLogin {
            authorize: authorize.endpoint().origin().clone(),
            grant: self.grant.clone(),
            issuer: self
                .issuer
                .as_ref()
                .or(authorize.callback_issuer())
                .or(token_url.callback_issuer())
                .cloned(),
            redirect_uri: self.is_redirect_uri_exchanged.then(|| redirect_uri.as_str().to_owned()),
            state,
            verifier,
            listener,
        };
        Ok((url, browser))
    }

    /// The authorization request (RFC 6749 4.1.1, RFC 7636 4.3).
    fn url(
        &self,
        authorize: &Endpoint,
        redirect_uri: &RedirectUri,
        state: Option<&Secret>,
        verifier: Option<&Secret>,
    ) -> Result<String, Error> {
        let scope = self.scope.list()?;
        let challenge = verifier.map(challenge);
        let mut parameters = vec![
            ("client_id", self.grant.auth().client_id().as_bytes()),
            ("redirect_uri", redirect_uri.as_str().as_bytes()),
            ("response_type", b"code"),
        ];
        parameters.extend(scope.as_ref().map(|scope| ("scope", scope.as_bytes())));
        parameters.extend(state.map(|state| ("state", state.expose())));
        if let Some(challenge) = &challenge {
            parameters.push(("code_challenge", challenge.as_bytes()));
            parameters.push(("code_challenge_method", b"S256"));
        }
        parameters.extend(self.grant.parameters.plain());
        let authorize = authorize.uri();
        // RFC 6749 3.1: a query that the URL already has is kept.
        let separator = if authorize.query().is_some() { '&' } else { '?' };
        let query = form::encode(&parameters);
        // A form writes a space as `+`, but a URL as `%20`.
        let query = query.expose_str().unwrap_or_default().replace('+', "%20");
        Ok(format!("{authorize}{separator}{query}"))
    }
}

impl fmt::Debug for AuthorizationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationCode")
            .field("authorize_url", &self.authorize_url)
            .field("grant", &self.grant)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// The code challenge of the method S256 (RFC 7636 4.2).
fn challenge(verifier: &Secret) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose()))
}

#[cfg(test)]
mod tests;
