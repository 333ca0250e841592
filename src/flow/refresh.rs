//! Refresh token → access token (RFC 6749 6).

use ureq::http::Method;

use super::Grant;
#[cfg(doc)]
use crate::ErrorKind;
use crate::endpoint::Endpoint;
use crate::http::{Call, Repeat};
use crate::{ClientAuth, Error, ErrorKind as Kind, Http, Secret, Token, check};

/// A new access token for a refresh token.
///
/// Source: Spacebring's partners, `/oauth2/token`.
///
/// As a [`Grant`] it uses the refresh token of the last token; the first one comes with
/// [`CachingSource::with_login`](crate::CachingSource::with_login) or
/// [`with_refresh_token`](Self::with_refresh_token). An answer without a refresh token keeps the old one.
///
/// ```no_run
/// # fn main() -> Result<(), keyfob::Error> {
/// use keyfob::{CachingSource, ClientAuth, Http, flow::Refresh};
///
/// # let (client_secret, token) = (String::new(), keyfob::Token::new("x", std::time::SystemTime::UNIX_EPOCH)?);
/// let client = ClientAuth::basic("my-client-id", client_secret)?;
/// let refresh = Refresh::new("https://auth.example.com/token", client)?;
/// let source = CachingSource::new(Http::new(), refresh).with_login(token);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Refresh {
    endpoint: Endpoint,
    client: ClientAuth,
    first: Option<Secret>,
    repeat: Repeat,
}

impl Refresh {
    /// Checks the URL.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is not https (http on loopback).
    pub fn new(token_url: &str, client: ClientAuth) -> Result<Self, Error> {
        Ok(Self::at(Endpoint::new("token URL", token_url)?, client))
    }

    pub(crate) fn at(endpoint: Endpoint, client: ClientAuth) -> Self {
        Self { endpoint, client, first: None, repeat: Repeat::Busy }
    }

    /// Sets the refresh token for the first time, where there is no token yet. Default: none.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is empty, longer than 16 KiB or holds a control character.
    pub fn with_refresh_token(mut self, refresh_token: impl Into<Secret>) -> Result<Self, Error> {
        let refresh_token = refresh_token.into();
        check::value("refresh token", refresh_token.expose())?;
        self.first = Some(refresh_token);
        Ok(self)
    }

    /// Also tries again when the request may have reached the server: for servers that never replace a refresh
    /// token. One that does would take the second request for theft (RFC 9700 4.14.2). Default: only on 429, 503 and
    /// while not a byte has been sent.
    pub fn allow_repeats(mut self) -> Self {
        self.repeat = Repeat::Always;
        self
    }

    /// Gets a new token for the refresh token of `previous`, or else for the first one.
    ///
    /// # Errors
    /// [`LoginRequired`](ErrorKind::LoginRequired) if there is no refresh token or the server does not know it
    /// (any more); [`Refused`](ErrorKind::Refused) for a wrong client; network and protocol errors.
    pub fn run(&self, http: &Http, previous: Option<&Token>) -> Result<Token, Error> {
        let refresh_token =
            previous.and_then(Token::refresh_token).or(self.first.as_ref()).ok_or_else(|| {
                let text = "there is no refresh token to renew the access token with: log in again";
                Error::new(Kind::LoginRequired, text)
            })?;
        let secrets: Vec<_> =
            [Some(refresh_token), self.client.client_secret()].into_iter().flatten().collect();
        let call = Call {
            doing: "renew the access token",
            endpoint: &self.endpoint,
            method: Method::POST,
            repeat: self.repeat,
            dated: false,
            advice: "log in again",
            secrets: &secrets,
        };
        let parameters = [("grant_type", &b"refresh_token"[..]), ("refresh_token", refresh_token.expose())];
        let mut token = http.token(&call, &mut || Ok(self.client.payload(&parameters)))?;
        // RFC 6749 6: both may be left out when they do not change.
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
    fn token(&self, http: &Http, previous: Option<&Token>) -> Result<Token, Error> {
        self.run(http, previous)
    }

    fn is_repeatable(&self) -> bool {
        self.repeat == Repeat::Always
    }
}
