//! Token revocation (RFC 7009).

use ureq::http::Method;

use super::parameters::Parameters;
use crate::check;
use crate::client_auth::ClientAuth;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::{Advice, Error};
use crate::secret::Known;
use crate::secret::Secret;
use crate::transport::Transport;
use crate::transport::call::{Call, Payload};
use crate::transport::given_url::GivenUrl;
use crate::transport::retry::Repeat;
use crate::transport::token_answer::TokenAnswer;

/// Token revocation (RFC 7009): ends a refresh or access token.
///
/// Any 2xx is success, whatever its body, even if the server does not know the token (RFC 7009 2.2). After any error the token may
/// still be valid.
///
/// Nothing is checked before [`run`](Self::run). May be shared between threads.
///
/// ```no_run
/// # fn main() -> Result<(), keyfob::Error> {
/// use keyfob::{ClientAuth, Transport, flow::Revoke};
///
/// # let (client_secret, refresh_token) = (String::new(), keyfob::Secret::default());
/// let auth = ClientAuth::secret_basic("my-client", client_secret);
/// Revoke::new("https://auth.example.com/revoke", auth).run(&Transport::new(), &refresh_token)?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Revoke {
    url: GivenUrl,
    /// The URL that is the `aud` of a JWT. Default: `url`.
    audience: Option<GivenUrl>,
    /// `None`: the token goes into the query.
    auth: Option<ClientAuth>,
    parameters: Parameters,
}

impl Revoke {
    /// Revocation with the token in the body and an authenticated client (RFC 7009 2.1).
    ///
    /// The `aud` of [`ClientAuth::secret_jwt`] is this URL unless [`ClientAuth::with_audience`] sets another.
    #[must_use]
    pub fn new(url: impl Into<String>, auth: ClientAuth) -> Self {
        Self::at(GivenUrl::new("revocation URL", url), auth)
    }

    pub(crate) fn at(url: GivenUrl, auth: ClientAuth) -> Self {
        Self { auth: Some(auth), ..Self::in_query_at(url) }
    }

    /// Sends this URL as `aud` of a JWT, unless the client authentication has another one.
    pub(crate) fn with_default_audience(self, audience: GivenUrl) -> Self {
        let is_used = self.auth.as_ref().is_some_and(ClientAuth::has_default_audience);
        Self { audience: is_used.then_some(audience), ..self }
    }

    /// Revocation with the token in the query and no client authentication, as Spacebring expects it: `POST …?token=…`, against
    /// RFC 7009 2.1.
    ///
    /// keyfob never shows the URL with the token, but proxies and servers may log it.
    #[must_use]
    pub fn in_query(url: impl Into<String>) -> Self {
        Self::in_query_at(GivenUrl::new("revocation URL", url))
    }

    pub(crate) fn in_query_at(url: GivenUrl) -> Self {
        Self { url, audience: None, auth: None, parameters: Parameters::default() }
    }

    /// Sends one more parameter in the body, such as `token_type_hint` (RFC 7009 2.1). May be called more than once, also with the
    /// same name. [`run`](Self::run) refuses `token`, the names of any client authentication, and any parameter of a revocation
    /// [in the query](Self::in_query). Default: none.
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

    /// Checks everything that the caller gave but the token, as [`run`](Self::run) does.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.url.check()?;
        self.parameters.check(&["token"])?;
        match &self.auth {
            Some(auth) => auth.check(),
            None if self.parameters.is_empty() => Ok(()),
            None => Err(Error::invalid("a revocation in the query sends no further parameters: remove them")),
        }
    }

    /// Revokes the token. Tries up to three times, on 429, 5xx and failed connections.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), before anything is sent, for the token and each setting as in
    /// [`ExtensionGrant::run`](super::ExtensionGrant::run); [`Refused`](ErrorKind::Refused) if the server refuses; network errors.
    pub fn run(&self, transport: &Transport, token: &Secret) -> Result<(), Error> {
        self.check()?;
        check::value("token", token.expose())?;
        let (url, transport) = self.url.resolve(transport)?;
        let (audience, transport) = self.audience.as_ref().unwrap_or(&self.url).resolve(&transport)?;
        let (endpoint, audience) = (url.endpoint(), audience.as_str());
        let token = Known::new(token.clone());
        let in_query = match &self.auth {
            Some(_) => None,
            None => Some(endpoint.with_secret_in_query("token", &token)?),
        };
        let call = Call {
            doing: "revoke the token, which may still be valid, at",
            endpoint: in_query.as_ref().unwrap_or(endpoint),
            method: Method::POST,
            repeat: Repeat::Acknowledged,
            comes_once: false,
            advice: Advice::CheckUrlAndClient,
        };
        transport.ask(
            &call,
            &mut |now| {
                let Some(auth) = &self.auth else { return Ok(Payload::default()) };
                self.parameters.request(auth, &[("token", token.expose())], now, audience)
            },
            &|answer, _| {
                if answer.is_success() {
                    Ok(())
                } else {
                    Err(answer.refusal(&call, TokenAnswer::parse(&answer.body).as_ref()))
                }
            },
        )
    }
}
