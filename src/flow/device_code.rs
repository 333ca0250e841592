//! [`DeviceCode`]: a login with a browser on another device (RFC 8628).

use std::path::PathBuf;

use ureq::http::Method;

use super::device_answer::DeviceAnswer;
use super::device_login::{DeviceLogin, RESERVED};
use super::extension_grant::ExtensionGrant;
use super::pending_login::PendingLogin;
use super::scope::Scope;
use crate::client_auth::ClientAuth;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::{Advice, Error};
use crate::secret::{Secret, on_wiped_stack};
use crate::transport::Transport;
use crate::transport::call::Call;
use crate::transport::given_url::GivenUrl;
use crate::transport::retry::Repeat;

/// RFC 8628 3.4.
pub(crate) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The device authorization grant (RFC 8628): a person opens a URL on a device of their own and enters a code there. The program
/// needs no browser and no port, so this grant works over SSH, in containers and on devices without a screen.
///
/// Nothing is checked before [`start`](Self::start). May be shared between threads.
///
/// ```no_run
/// # fn main() -> Result<(), keyfob::Error> {
/// # use std::time::Duration;
/// use keyfob::{ClientAuth, Transport, flow::DeviceCode};
///
/// let login = DeviceCode::new(
///     "https://auth.example.com/device_authorization",
///     "https://auth.example.com/token",
///     ClientAuth::none("my-client"),
/// )
/// .with_scope("profile")
/// .start(&Transport::new())?;
/// eprintln!("open {} and enter {}", login.verification_uri(), login.user_code().unwrap_or_default());
/// let token = login.wait(Duration::from_secs(900))?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct DeviceCode {
    url: GivenUrl,
    /// The token request. It has no scope, because only the device authorization request sends the scope.
    grant: ExtensionGrant,
    scope: Scope,
}

impl DeviceCode {
    /// A device login at these URLs.
    ///
    /// The `aud` of [`ClientAuth::secret_jwt`] is the token URL in both requests, unless [`ClientAuth::with_audience`] sets another.
    #[must_use]
    pub fn new(
        device_authorization_url: impl Into<String>,
        token_url: impl Into<String>,
        auth: ClientAuth,
    ) -> Self {
        let url = GivenUrl::new("device authorization URL", device_authorization_url);
        Self::at(url, GivenUrl::new("token URL", token_url), auth)
    }

    pub(crate) fn at(url: GivenUrl, token_url: GivenUrl, auth: ClientAuth) -> Self {
        let grant = ExtensionGrant::at(token_url, auth, GRANT_TYPE);
        Self { url, grant, scope: Scope::default() }
    }

    /// Asks for one or more scopes, separated by spaces, in addition to those of earlier calls (RFC 6749 3.3). Only the device
    /// authorization request sends them. Default: no scope is sent, and the server chooses.
    #[must_use]
    pub fn with_scope(mut self, scope: impl Into<String>) -> Self {
        self.scope.add(scope);
        self
    }

    /// Sends one more parameter, in the device authorization request and in each token request. The name `device_code` is
    /// refused by [`start`](Self::start). Otherwise as [`ExtensionGrant::with_parameter`].
    #[must_use]
    pub fn with_parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.grant = self.grant.with_parameter(name, value);
        self
    }

    /// As [`with_parameter`](Self::with_parameter), with a value that no error and no `Debug` shows.
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

    /// Obtains the codes of one login. Tries up to three times, on 429, 5xx and failed connections.
    ///
    /// The `interval` of the answer, in seconds, is the shortest pause between two requests of the login. Default: 5 s. An
    /// `interval` that is negative or no number also counts as 5 s. An `interval` of less than 1 s counts as 1 s.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) as in [`ExtensionGrant::run`]; [`Refused`](ErrorKind::Refused) if the server refuses;
    /// network errors. [`Protocol`](ErrorKind::Protocol) if the answer cannot be used: it is no JSON object; a code is missing or too long;
    /// `verification_uri` (or `verification_url`, as Google writes it) is missing, is not http or https, or has user info; `expires_in` is
    /// missing or not positive; or `interval` is more than an hour.
    pub fn start(&self, transport: &Transport) -> Result<PendingLogin, Error> {
        on_wiped_stack(|| self.start_checked(transport))
    }

    /// Checks everything that the caller gave, as [`start`](Self::start) does.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.url.check()?;
        self.grant.check(&RESERVED)?;
        self.scope.list().map(drop)
    }

    fn start_checked(&self, transport: &Transport) -> Result<PendingLogin, Error> {
        self.check()?;
        let scope = self.scope.list()?;
        let own: Vec<_> = scope.iter().map(|scope| ("scope", scope.as_bytes())).collect();
        let (url, left) = self.url.resolve(transport)?;
        let (token_url, rest) = self.grant.token_url().resolve(&left)?;
        let call = Call {
            doing: "start a device login at",
            endpoint: url.endpoint(),
            method: Method::POST,
            // A repeat is harmless: it leaves a code that nobody uses.
            repeat: Repeat::Always,
            comes_once: false,
            advice: Advice::CheckUrlAndClient,
        };
        let answer = rest.ask(
            &call,
            &mut |now| self.grant.parameters.request(self.grant.auth(), &own, now, token_url.as_str()),
            &|answer, _| answer.read(&call, DeviceAnswer::parse),
        )?;
        let url = answer.complete.clone().unwrap_or_else(|| answer.verification_uri.clone());
        let server = call.endpoint.origin().clone();
        let login = DeviceLogin::new(self.grant.clone(), server, answer, transport.clock().now());
        Ok(PendingLogin::new(transport.clone(), url, login))
    }
}
