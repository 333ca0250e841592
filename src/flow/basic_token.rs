//! User name and password → a temporary token (step 1 of SpatiaFi).

use ureq::http::Method;

use super::Grant;
use crate::endpoint::Endpoint;
use crate::http::{Call, Payload, Repeat};
use crate::{Basic, Error, Http, Secret, Token};

/// `GET` with HTTP Basic (RFC 7617), answered with a token that lives for minutes.
///
/// Source: SpatiaFi, `/api/v1/auth/jwt/token/basic`.
///
/// ```no_run
/// # fn main() -> Result<(), keyfob::Error> {
/// let url = "https://auth.spatiafi.com/api/v1/auth/jwt/token/basic";
/// let token = keyfob::flow::BasicToken::new(url, "ada", "pass word")?.run(&keyfob::Http::new())?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct BasicToken {
    endpoint: Endpoint,
    credentials: Basic,
    password: Secret,
}

impl BasicToken {
    /// Checks the URL and the credentials.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) as in [`Basic::new`], or if the URL is not https (http on
    /// loopback).
    pub fn new(url: &str, username: &str, password: impl Into<Secret>) -> Result<Self, Error> {
        let password = password.into();
        Ok(Self {
            endpoint: Endpoint::new("token URL", url)?,
            credentials: Basic::new(username, password.clone())?,
            password,
        })
    }

    /// Gets the token. Tried up to three times on 429, 5xx and failed connections.
    ///
    /// # Errors
    /// [`Refused`](crate::ErrorKind::Refused) for wrong credentials; network and protocol errors.
    pub fn run(&self, http: &Http) -> Result<Token, Error> {
        let call = Call {
            doing: "get a token for the user name and password",
            endpoint: &self.endpoint,
            method: Method::GET,
            repeat: Repeat::Always,
            dated: false,
            advice: "check the user name and password",
            secrets: &[&self.password],
        };
        http.token(&call, &mut || {
            Ok(Payload { authorization: Some(self.credentials.header().clone()), ..Payload::default() })
        })
    }
}

impl Grant for BasicToken {
    fn token(&self, http: &Http, _previous: Option<&Token>) -> Result<Token, Error> {
        self.run(http)
    }
}
