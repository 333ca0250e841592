//! The end of a token (RFC 7009).

use ureq::http::Method;

#[cfg(doc)]
use crate::ErrorKind;
use crate::clock::Deadline;
use crate::endpoint::Endpoint;
use crate::http::{Call, Payload, Repeat};
use crate::wire::TokenAnswer;
use crate::{ClientAuth, Error, Http, Secret, check};

/// Ends a refresh or access token.
///
/// Any 2xx is success, whatever its body, also for a token that the server does not know (RFC 7009 2.2). After any
/// error the token may live on.
///
/// ```no_run
/// # fn main() -> Result<(), keyfob::Error> {
/// # let (client_secret, refresh_token) = (String::new(), keyfob::Secret::default());
/// let client = keyfob::ClientAuth::basic("my-client-id", client_secret)?;
/// keyfob::flow::Revoke::new("https://auth.example.com/revoke", client)?.run(&keyfob::Http::new(), &refresh_token)?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Revoke {
    endpoint: Endpoint,
    /// `None`: the token goes into the query.
    client: Option<ClientAuth>,
}

impl Revoke {
    /// With the token in the body and an authenticated client (RFC 7009 2.1).
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the URL is not https (http on loopback).
    pub fn new(url: &str, client: ClientAuth) -> Result<Self, Error> {
        Ok(Self { endpoint: Endpoint::new("revocation URL", url)?, client: Some(client) })
    }

    /// With the token in the query and nothing else, as Spacebring wants it: `POST …?token=…`, against RFC 7009 2.1.
    ///
    /// The URL with the token is shown nowhere, but proxies and servers may log it.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn in_query(url: &str) -> Result<Self, Error> {
        Ok(Self::in_query_at(Endpoint::new("revocation URL", url)?))
    }

    pub(crate) fn in_query_at(endpoint: Endpoint) -> Self {
        Self { endpoint, client: None }
    }

    /// Revokes the token. Tried up to three times on 429, 5xx and failed connections.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the token is empty, longer than 16 KiB or holds a control
    /// character; [`Refused`](ErrorKind::Refused) if the server says no; network errors.
    pub fn run(&self, http: &Http, token: &Secret) -> Result<(), Error> {
        check::value("token", token.expose())?;
        let in_query = match self.client {
            Some(_) => None,
            None => Some(self.endpoint.with_secret_in_query("token", token)?),
        };
        let client_secret = self.client.as_ref().and_then(ClientAuth::client_secret);
        let secrets: Vec<_> = [Some(token), client_secret].into_iter().flatten().collect();
        let call = Call {
            doing: "revoke the token, which may live on,",
            endpoint: in_query.as_ref().unwrap_or(&self.endpoint),
            method: Method::POST,
            repeat: Repeat::Acknowledged,
            dated: false,
            advice: "check the URL and the client",
            secrets: &secrets,
        };
        let deadline = Deadline::after(http.timeout());
        let answer = http.exchange(&call, &deadline, &mut || {
            Ok(match &self.client {
                Some(client) => client.payload(&[("token", token.expose())]),
                None => Payload::default(),
            })
        })?;
        if answer.is_success() {
            return Ok(());
        }
        Err(answer.refusal(&call, TokenAnswer::parse(&answer.body).as_ref()))
    }
}
