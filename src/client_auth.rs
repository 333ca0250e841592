//! [`ClientAuth`]: how a client says who it is at a token endpoint.

use crate::http::Payload;
use crate::{ClientSecretBasic, Error, Secret, check, form};

/// How a client authenticates at a token or revocation endpoint (RFC 6749 2.3): in exactly one way, and never in a
/// URL.
#[derive(Clone, Debug)]
pub struct ClientAuth {
    client_id: String,
    client_secret: Option<Secret>,
    /// Else the secret, if there is one, goes into the body.
    basic: Option<ClientSecretBasic>,
}

impl ClientAuth {
    /// HTTP Basic with id and secret form-encoded (RFC 6749 2.3.1, `client_secret_basic`): what every server with
    /// client passwords must support.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if one is empty, longer than 16 KiB or holds a control
    /// character.
    pub fn basic(client_id: &str, client_secret: impl Into<Secret>) -> Result<Self, Error> {
        let client_secret = client_secret.into();
        let basic = ClientSecretBasic::new(client_id, client_secret.clone())?;
        Ok(Self { client_id: client_id.to_owned(), client_secret: Some(client_secret), basic: Some(basic) })
    }

    /// `client_id` and `client_secret` in the body (RFC 6749 2.3.1, `client_secret_post`).
    ///
    /// # Errors
    /// As [`basic`](Self::basic).
    pub fn body(client_id: &str, client_secret: impl Into<Secret>) -> Result<Self, Error> {
        let client_secret = client_secret.into();
        check::value("client id", client_id.as_bytes())?;
        check::value("client secret", client_secret.expose())?;
        Ok(Self { client_id: client_id.to_owned(), client_secret: Some(client_secret), basic: None })
    }

    /// A public client (RFC 6749 2.1): only `client_id`, in the body. Its logins need PKCE (RFC 9700 2.1.1).
    ///
    /// # Errors
    /// As [`basic`](Self::basic).
    pub fn public(client_id: &str) -> Result<Self, Error> {
        check::value("client id", client_id.as_bytes())?;
        Ok(Self { client_id: client_id.to_owned(), client_secret: None, basic: None })
    }

    /// The client id. Not a secret.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    pub(crate) fn client_secret(&self) -> Option<&Secret> {
        self.client_secret.as_ref()
    }

    /// The request with these parameters, authenticated.
    pub(crate) fn payload(&self, parameters: &[(&str, &[u8])]) -> Payload {
        let mut pairs = Vec::with_capacity(2 + parameters.len());
        if self.basic.is_none() {
            pairs.push(("client_id", self.client_id.as_bytes()));
            if let Some(secret) = &self.client_secret {
                pairs.push(("client_secret", secret.expose()));
            }
        }
        pairs.extend_from_slice(parameters);
        Payload {
            authorization: self.basic.as_ref().map(|basic| basic.header().clone()),
            form: Some(form::encode(&pairs)),
            ..Payload::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_method_for_each_request() {
        let basic = ClientAuth::basic("i d", "s:1").unwrap();
        let body = ClientAuth::body("i d", "s:1").unwrap();
        let public = ClientAuth::public("i d").unwrap();
        for (client, authorization, form) in [
            (basic, Some("Basic aStkOnMlM0Ex"), "a=b"),
            (body, None, "client_id=i+d&client_secret=s%3A1&a=b"),
            (public, None, "client_id=i+d&a=b"),
        ] {
            let payload = client.payload(&[("a", b"b")]);
            assert_eq!(payload.authorization.as_ref().and_then(Secret::expose_str), authorization);
            assert_eq!(payload.form.as_ref().and_then(Secret::expose_str), Some(form));
        }
    }

    #[test]
    fn what_no_server_takes_is_refused() {
        for bad in ["", "a\nb", "a\0b"] {
            assert!(ClientAuth::basic(bad, "s").is_err() && ClientAuth::basic("i", bad).is_err());
            assert!(ClientAuth::body(bad, "s").is_err() && ClientAuth::body("i", bad).is_err());
            assert!(ClientAuth::public(bad).is_err());
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", ClientAuth::basic("i", "s3cr3t").unwrap());
        assert!(!shown.contains("s3cr3t") && !shown.contains("aTpzM2NyM3Q"), "{shown}");
    }
}
