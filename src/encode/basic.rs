//! HTTP Basic credentials, in the two encodings that servers expect.
//!
//! [`Basic`] is plain HTTP Basic (RFC 7617): the bytes are sent as they are. [`client_secret_basic`] authenticates a client at a token
//! endpoint: RFC 6749 2.3.1 form-encodes id and secret first. Mixing up the two goes unnoticed until a secret holds `%`, `+` or a space.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::check;
use crate::encode::form;
use crate::error::Error;
use crate::secret::Secret;
use crate::secret::{Known, on_wiped_stack};

/// A user name and password for plain HTTP Basic (RFC 7617), as raw UTF-8 bytes.
#[derive(Clone)]
pub struct Basic {
    header: Secret,
    /// Makes the password a known secret, because the answer of a server may repeat it.
    _password: Known,
}

impl Basic {
    /// Makes credentials from a user name and a password.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if one is empty or longer than 16 KiB, if the user name
    /// holds `:` or a control character, or if the password holds CR, LF or NUL.
    pub fn new(username: &str, password: impl Into<Secret>) -> Result<Self, Error> {
        Self::with_known(username, Known::new(password))
    }

    pub(crate) fn with_known(username: &str, password: Known) -> Result<Self, Error> {
        check::value("user name", username.as_bytes())?;
        check::password("password", password.expose())?;
        if username.contains(':') {
            return Err(Error::invalid(
                "the user name holds a ':', which HTTP Basic cannot carry (RFC 7617 2): use another one",
            ));
        }
        Ok(Self { header: header(username.as_bytes(), password.expose()), _password: password })
    }

    /// Returns the value of the `Authorization` header.
    pub(crate) fn header(&self) -> &Secret {
        &self.header
    }
}

/// Returns the `Authorization` value of a client id and secret at a token endpoint. Both are form-encoded first (RFC 6749 2.3.1,
/// `client_secret_basic`).
pub(crate) fn client_secret_basic(client_id: &str, client_secret: &Secret) -> Secret {
    let (id, secret) = (form::encode_value(client_id.as_bytes()), form::encode_value(client_secret.expose()));
    header(id.expose(), secret.expose())
}

#[allow(clippy::missing_fields_in_debug, reason = "one secret stands for both")]
impl fmt::Debug for Basic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Basic").field("header", &self.header).finish()
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
    on_wiped_stack(|| STANDARD.encode_slice(pair.expose(), header.extend_zeroed(encoded_len)))
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
    fn header_matches_published_vectors() {
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
    fn token_endpoint_receives_the_form_encoded_pair() {
        let header = client_secret_basic("id:1", &"a b+c%".into());
        let plain = STANDARD.encode("id%3A1:a+b%2Bc%25");
        assert_eq!(text(&header), format!("Basic {plain}"));
    }

    #[test]
    fn colon_in_the_user_name_and_line_breaks_are_refused() {
        assert_eq!(
            Basic::new("a:b", "c").unwrap_err().to_string(),
            "the user name holds a ':', which HTTP Basic cannot carry (RFC 7617 2): use another one"
        );
        Basic::new("a", "b:c\td").unwrap();
        for bad in ["x\ry", "x\ny", "x\0y"] {
            assert!(Basic::new(bad, "c").is_err());
            assert!(Basic::new("a", bad).is_err());
        }
    }

    #[test]
    fn debug_of_basic_credentials_shows_nothing() {
        assert_eq!(format!("{:?}", Basic::new("u", "p").unwrap()), "Basic { header: Secret(***) }");
    }
}
