//! HTTP Basic credentials, in the two encodings that servers expect of them.
//!
//! [`Basic`] is plain HTTP Basic (RFC 7617): the bytes as they are. [`ClientSecretBasic`] authenticates a client at
//! a token endpoint: RFC 6749 2.3.1 form-encodes id and secret first. Mixing the two up works until the first `%`,
//! `+` or space in a secret, so they are separate types.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{Error, Secret, check, form};

/// A user name and password for plain HTTP Basic (RFC 7617), as raw UTF-8 bytes.
#[derive(Clone, Debug)]
pub struct Basic {
    header: Secret,
}

impl Basic {
    /// Joins user name and password.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if one is empty or longer than 16 KiB, if the user name
    /// holds `:` or a control character, or if the password holds CR, LF or NUL.
    pub fn new(username: &str, password: impl Into<Secret>) -> Result<Self, Error> {
        let password = password.into();
        check::value("user name", username.as_bytes())?;
        check::password("password", password.expose())?;
        if username.contains(':') {
            return Err(Error::invalid(
                "the user name holds a ':', which HTTP Basic cannot carry (RFC 7617 2)",
            ));
        }
        Ok(Self { header: header(username.as_bytes(), password.expose()) })
    }

    /// The value of the `Authorization` header.
    pub(crate) fn header(&self) -> &Secret {
        &self.header
    }
}

/// A client id and secret for HTTP Basic at a token endpoint (RFC 6749 2.3.1, `client_secret_basic`).
#[derive(Clone, Debug)]
pub struct ClientSecretBasic {
    header: Secret,
}

impl ClientSecretBasic {
    /// Form-encodes and joins client id and secret.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if one is empty, longer than 16 KiB or holds a control
    /// character.
    pub fn new(client_id: &str, client_secret: impl Into<Secret>) -> Result<Self, Error> {
        let client_secret = client_secret.into();
        check::value("client id", client_id.as_bytes())?;
        check::value("client secret", client_secret.expose())?;
        let (id, secret) =
            (form::encode_value(client_id.as_bytes()), form::encode_value(client_secret.expose()));
        Ok(Self { header: header(id.expose(), secret.expose()) })
    }

    /// The value of the `Authorization` header.
    pub(crate) fn header(&self) -> &Secret {
        &self.header
    }
}

fn header(username: &[u8], password: &[u8]) -> Secret {
    const SCHEME: &[u8] = b"Basic ";
    let mut pair = Secret::with_capacity(username.len() + 1 + password.len());
    pair.extend(username);
    pair.extend(b":");
    pair.extend(password);
    let encoded_len = 4 * pair.len().div_ceil(3);
    let mut header = Secret::with_capacity(SCHEME.len() + encoded_len);
    header.extend(SCHEME);
    STANDARD
        .encode_slice(pair.expose(), header.extend_zeroed(encoded_len))
        .expect("the buffer has the size of the padded encoding");
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(secret: &Secret) -> &str {
        secret.expose_str().unwrap()
    }

    #[test]
    fn published_vectors() {
        // Spacebring's documentation; RFC 7617 2 and 2.1.
        for (user, password, expected) in [
            ("client id", "client secret", "Basic Y2xpZW50IGlkOmNsaWVudCBzZWNyZXQ="),
            ("Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ("test", "123£", "Basic dGVzdDoxMjPCow=="),
        ] {
            assert_eq!(text(Basic::new(user, password).unwrap().header()), expected);
        }
    }

    #[test]
    fn a_token_endpoint_gets_the_form_encoded_pair() {
        let header = ClientSecretBasic::new("id:1", "a b+c%").unwrap();
        let plain = STANDARD.encode("id%3A1:a+b%2Bc%25");
        assert_eq!(text(header.header()), format!("Basic {plain}"));
    }

    #[test]
    fn colon_and_line_breaks_are_refused() {
        assert_eq!(
            Basic::new("a:b", "c").unwrap_err().to_string(),
            "the user name holds a ':', which HTTP Basic cannot carry (RFC 7617 2)"
        );
        Basic::new("a", "b:c\td").unwrap();
        for bad in ["x\ry", "x\ny", "x\0y"] {
            assert!(Basic::new(bad, "c").is_err());
            assert!(Basic::new("a", bad).is_err());
            assert!(ClientSecretBasic::new(bad, "c").is_err());
            assert!(ClientSecretBasic::new("a", bad).is_err());
        }
    }

    #[test]
    fn debug_shows_nothing() {
        let shown =
            format!("{:?}{:?}", Basic::new("u", "p").unwrap(), ClientSecretBasic::new("u", "p").unwrap());
        assert_eq!(shown, "Basic { header: Secret(***) }ClientSecretBasic { header: Secret(***) }");
    }
}
