//! Exchanges a temporary token for permanent app credentials (step 2 of SpatiaFi).

use std::io;

use ureq::http::Method;

use crate::clock::Deadline;
use crate::encode::json::other_encoding;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::{Advice, Error};
use crate::sys::credentials::AppCredentials;
use crate::token::Token;
use crate::transport::Transport;
use crate::transport::call::{Call, Payload};
use crate::transport::endpoint::Endpoint;
use crate::transport::retry::Repeat;
use crate::transport::token_answer::TokenAnswer;

/// A `POST` with a Bearer token and an empty body. The answer has a new client id and secret, which the server **shows once**.
///
/// Source: SpatiaFi, `/api/v1/clients/` (the trailing slash is part of it).
///
/// A `save` callback receives the bytes of the answer unchanged, before anything else can fail. Make sure first that `save` will
/// succeed, for example with [`CredentialsFile::prepare`](crate::CredentialsFile::prepare).
///
/// ```no_run
/// # fn main() -> Result<(), keyfob::Error> {
/// # let (http, token) = (keyfob::Transport::new(), keyfob::Token::new("x", std::time::SystemTime::UNIX_EPOCH)?);
/// let target = keyfob::CredentialsFile::new("app_credentials.json").prepare(false)?;
/// let credentials = keyfob::spatiafi::CreateClient::new("https://auth.spatiafi.com/api/v1/clients/")?
///     .run(&http, &token, |answer| target.save(answer))?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct CreateClient {
    endpoint: Endpoint,
}

impl CreateClient {
    /// Checks the URL.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the URL is not https (http on loopback).
    pub fn new(url: &str) -> Result<Self, Error> {
        Ok(Self { endpoint: Endpoint::new("URL of the app credentials", url)? })
    }

    /// Creates the credentials. Repeats the request only if no byte of it was sent.
    ///
    /// # Errors
    /// [`Refused`](ErrorKind::Refused) if the server refuses. [`Store`](ErrorKind::Store) if `save` fails: then
    /// [`Error::unsaved`] holds the answer. If the answer is truncated or cannot be used, `save` has received the bytes that arrived.
    pub fn run(
        &self,
        http: &Transport,
        token: &Token,
        save: impl FnOnce(&[u8]) -> io::Result<()>,
    ) -> Result<AppCredentials, Error> {
        let call = Call {
            doing: "make app credentials at",
            endpoint: &self.endpoint,
            method: Method::POST,
            repeat: Repeat::Unsent,
            comes_once: true,
            advice: Advice::LogIn,
        };
        let deadline = Deadline::after(http.timeout());
        let exchanged = http.exchange(&call, &deadline, &mut || {
            Ok(Payload { authorization: Some(token.authorization()), ..Payload::default() })
        });
        let answer = match exchanged {
            // The answer is not HTTP, but bytes arrived.
            Err(error) => {
                if let Some(came) = error.unsaved() {
                    let _ = save(came.expose());
                }
                return Err(error);
            }
            Ok(answer) => answer,
        };
        let credentials = AppCredentials::from_json(answer.body.expose());
        if !answer.is_success() {
            let error = answer.refusal(&call, TokenAnswer::parse(&answer.body).as_ref());
            // The server has made a client nevertheless.
            if credentials.is_ok() || answer.has_secret() {
                let _ = save(answer.unsaved().expose());
            }
            return Err(error);
        }
        // If the chunks are broken, the body may lack some of the bytes that arrived.
        let (body, all) = (answer.body.expose(), answer.unsaved().expose());
        let is_all =
            credentials.is_ok() || all.len() <= body.len() || !body.is_empty() && all.ends_with(body);
        let came = if is_all { &answer.body } else { answer.unsaved() };
        if came.is_empty() {
            return Err(answer.cut.clone().unwrap_or_else(|| answer.nonsense(&call, "it is empty")));
        }
        if let Err(cause) = save(came.expose()) {
            let text = "could not save the new app credentials, which the server will not show again; \
                        the program that called still has them: free disk space, or save them elsewhere";
            return Err(Error::store(text, &cause).with_unsaved(came.clone()));
        }
        credentials.map_err(|why| {
            let why = match (why, other_encoding(answer.body.expose())) {
                (Some(why), _) => why.to_string(),
                (None, Some(encoding)) => format!("it is {encoding}, and JSON is UTF-8 (RFC 8259 8.1)"),
                (None, None) => "it has no client_id and client_secret".to_owned(),
            };
            answer
                .cut
                .clone()
                .unwrap_or_else(|| answer.nonsense(&call, &format!("{why}; it was saved as it came")))
        })
    }
}
