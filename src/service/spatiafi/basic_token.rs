//! Exchanges a user name and password for a temporary token (step 1 of SpatiaFi).

use ureq::http::Method;

use crate::encode::basic::Basic;
use crate::error::{Advice, Error};
use crate::flow::Grant;
use crate::secret::Secret;
use crate::token::Token;
use crate::transport::Transport;
use crate::transport::call::{Call, Payload};
use crate::transport::endpoint::Endpoint;
use crate::transport::retry::Repeat;

/// A `GET` with HTTP Basic (RFC 7617). The answer has a token that is valid for minutes.
///
/// Source: SpatiaFi, `/api/v1/auth/jwt/token/basic`.
///
/// ```no_run
/// # fn main() -> Result<(), keyfob::Error> {
/// let url = "https://auth.spatiafi.com/api/v1/auth/jwt/token/basic";
/// let token = keyfob::spatiafi::BasicToken::new(url, "ada", "pass word")?.run(&keyfob::Transport::new())?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct BasicToken {
    endpoint: Endpoint,
    credentials: Basic,
}

impl BasicToken {
    /// Checks the URL and the credentials.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) as in [`Basic::new`], or if the URL is not https (http on
    /// loopback).
    pub fn new(url: &str, username: &str, password: impl Into<Secret>) -> Result<Self, Error> {
        Ok(Self { endpoint: Endpoint::new("token URL", url)?, credentials: Basic::new(username, password)? })
    }

    /// Obtains the token. Makes up to three tries on 429, 5xx and failed connections.
    ///
    /// # Errors
    /// [`Refused`](crate::ErrorKind::Refused) for wrong credentials; network and protocol errors.
    pub fn run(&self, http: &Transport) -> Result<Token, Error> {
        let call = Call {
            doing: "get a token with the user name and password from",
            endpoint: &self.endpoint,
            method: Method::GET,
            repeat: Repeat::Always,
            comes_once: false,
            advice: Advice::CheckUserAndPassword,
        };
        http.token(&call, &mut |_| {
            Ok(Payload { authorization: Some(self.credentials.header().clone()), ..Payload::default() })
        })
    }
}

impl Grant for BasicToken {
    fn token(&self, http: &Transport, _previous: Option<&Token>) -> Result<Token, Error> {
        self.run(http)
    }
}
