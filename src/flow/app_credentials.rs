//! A temporary token → permanent app credentials (step 2 of SpatiaFi).

use std::io;

use ureq::http::Method;

#[cfg(doc)]
use crate::ErrorKind;
use crate::clock::Deadline;
use crate::credentials::ClientCredentials;
use crate::endpoint::Endpoint;
use crate::http::{Call, Payload, Repeat};
use crate::wire::TokenAnswer;
use crate::{Error, Http, Token};

/// `POST` with a Bearer token and an empty body, answered with a new client id and secret, **shown once**.
///
/// Source: SpatiaFi, `/api/v1/clients/` (the trailing slash is part of it).
///
/// The answer goes to a `save` callback, as the bytes that came, before anything else can fail. Make sure beforehand
/// that `save` can work: [`CredentialsFile::prepare`](crate::CredentialsFile::prepare) does.
///
/// ```no_run
/// # fn main() -> Result<(), keyfob::Error> {
/// # let (http, token) = (keyfob::Http::new(), keyfob::Token::new("x", std::time::SystemTime::UNIX_EPOCH)?);
/// let target = keyfob::CredentialsFile::new("app_credentials.json").prepare(false)?;
/// let credentials = keyfob::flow::AppCredentials::new("https://auth.spatiafi.com/api/v1/clients/")?
///     .run(&http, &token, |answer| target.save(answer))?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct AppCredentials {
    endpoint: Endpoint,
}

impl AppCredentials {
    /// Checks the URL.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is not https (http on loopback).
    pub fn new(url: &str) -> Result<Self, Error> {
        Ok(Self { endpoint: Endpoint::new("URL of the app credentials", url)? })
    }

    /// Makes the credentials. Tried again only while not a byte has been sent.
    ///
    /// # Errors
    /// [`Refused`](ErrorKind::Refused) if the server says no. [`Store`](ErrorKind::Store) if `save` fails: then
    /// [`Error::unsaved`] holds the answer. If the answer is cut off or makes no sense, what came of it has been
    /// given to `save` all the same.
    pub fn run(
        &self,
        http: &Http,
        token: &Token,
        save: impl FnOnce(&[u8]) -> io::Result<()>,
    ) -> Result<ClientCredentials, Error> {
        let call = Call {
            doing: "make app credentials",
            endpoint: &self.endpoint,
            method: Method::POST,
            repeat: Repeat::Unsent,
            dated: false,
            advice: "log in again",
            secrets: &[token.access_token()],
        };
        let deadline = Deadline::after(http.timeout());
        let answer = http.exchange(&call, &deadline, &mut || {
            Ok(Payload { authorization: Some(token.authorization()), ..Payload::default() })
        })?;
        if !answer.is_success() {
            return Err(answer.refusal(&call, TokenAnswer::parse(&answer.body).as_ref()));
        }
        if answer.body.is_empty() {
            return Err(answer.cut.clone().unwrap_or_else(|| answer.nonsense(&call, "it is empty")));
        }
        if let Err(cause) = save(answer.body.expose()) {
            let text = "could not save the new app credentials, which the server will not show again; \
                        the program that called still has them: make room, or save them elsewhere";
            return Err(Error::store(text, &cause).with_unsaved(answer.body.clone()));
        }
        if let Some(credentials) = ClientCredentials::from_json(answer.body.expose()) {
            return Ok(credentials);
        }
        Err(answer.cut.clone().unwrap_or_else(|| {
            answer.nonsense(&call, "it has no client_id and client_secret; it was saved as it came")
        }))
    }
}
