//! [`ClientAuth`]: how a client authenticates at the endpoints of an authorization server.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::check;
use crate::clock::unix_seconds;
use crate::encode::basic::client_secret_basic;
use crate::encode::form;
use crate::error::{Advice, Error};
use crate::jwt::{AssertionKey, MIN_KEY_LEN};
use crate::secret::Known;
use crate::secret::Secret;
use crate::sys::{file, random};
use crate::transport::call::Payload;

/// The value of `client_assertion_type` (RFC 7523 2.2).
const ASSERTION_TYPE: &[u8] = b"urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The longest time by which `iat` lies in the past, in seconds. Servers refuse an `iat` that is ahead of their own clock.
const BACKDATED: i64 = 10;

/// The default time from `iat` to `exp`, so that `exp` is 300 s from now.
const LIFETIME: Duration = Duration::from_secs(310);

/// The lifetimes that are accepted. A shorter JWT may expire on its way, and a longer one is useful to a thief.
const LIFETIMES: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(24 * 60 * 60);

/// The way in which a client authenticates at the endpoints of an authorization server (RFC 6749 2.3).
///
/// Each request has exactly one authentication. It is never in the URL of the request. Each flow works with each authentication; client credentials
/// work with [`none`](Self::none) only if the transport has a TLS client certificate. No constructor checks its values: each flow checks them when it
/// is run, before anything is sent, and returns [`InvalidInput`](crate::ErrorKind::InvalidInput) for an id or secret that is empty,
/// longer than 16 KiB or contains a control character, and for a setting that the authentication does not have.
///
/// Cheap to clone. May be used from any thread. The secret is wiped when the last clone is dropped; `Debug` does not show it.
///
/// ```
/// use keyfob::ClientAuth;
///
/// let basic = ClientAuth::secret_basic("my-client", "correct horse battery staple");
/// let signed = ClientAuth::secret_jwt("my-client", "a secret of at least thirty-two bytes").with_audience("https://login.example.com");
/// assert_eq!(signed.client_id(), "my-client");
/// ```
#[derive(Clone)]
pub struct ClientAuth {
    client_id: String,
    method: Method,
    audience: Option<String>,
    lifetime: Option<Duration>,
    is_short_key_allowed: bool,
}

/// The registered methods (RFC 7591 2, `OpenID` Connect Core 9).
#[derive(Clone)]
enum Method {
    None,
    SecretBasic(Known),
    SecretPost(Known),
    SecretJwt(Known),
    /// Called again for each request.
    Assertion(Arc<dyn Fn() -> Result<Secret, Error> + Send + Sync>),
}

impl ClientAuth {
    /// A public client (`none`, RFC 6749 2.1): `client_id` in the body and no secret.
    ///
    /// The logins of a public client need PKCE (RFC 9700 2.1.1), and the client credentials grant refuses a client without a secret and
    /// without a TLS client certificate. This is also the method for a client that authenticates with its TLS certificate
    /// (`tls_client_auth`, RFC 8705 2): see [`Transport::with_client_certificate`](crate::Transport::with_client_certificate).
    #[must_use]
    pub fn none(client_id: impl Into<String>) -> Self {
        Self::new(client_id, Method::None)
    }

    /// HTTP Basic with id and secret form-encoded (`client_secret_basic`, RFC 6749 2.3.1). Every server that issues client secrets
    /// must support it.
    #[must_use]
    pub fn secret_basic(client_id: impl Into<String>, client_secret: impl Into<Secret>) -> Self {
        Self::new(client_id, Method::SecretBasic(Known::new(client_secret)))
    }

    /// `client_id` and `client_secret` in the body (`client_secret_post`, RFC 6749 2.3.1).
    #[must_use]
    pub fn secret_post(client_id: impl Into<String>, client_secret: impl Into<Secret>) -> Self {
        Self::new(client_id, Method::SecretPost(Known::new(client_secret)))
    }

    /// A JWT signed with the secret (`client_secret_jwt`, RFC 7523 2.2): the secret itself is never sent.
    ///
    /// The JWT is signed with HS256. Its `iss` and `sub` are the client id, `aud` is the token URL, `iat` is 10 s ago, `exp` is
    /// 300 s from now, and `jti` is fresh and random for each try. [`Revoke`](crate::flow::Revoke) and
    /// [`Introspect`](crate::flow::Introspect) send their own URL as `aud`; those of a [`Service`](crate::Service) send the token URL.
    ///
    /// If the server refuses the request, keyfob compares the time in the JWT with the `Date` header of the answer. If they differ by 2 s
    /// or more, and by more than the exchange took, keyfob signs another JWT with the time of the `Date` header. If the first JWT had a
    /// corrected time (see [`Clock`](crate::Clock)) and the server refuses each corrected time, keyfob signs one more JWT with the local
    /// time. So a refusal costs two further requests at most, and none if the clocks agree.
    #[must_use]
    pub fn secret_jwt(client_id: impl Into<String>, client_secret: impl Into<Secret>) -> Self {
        Self::new(client_id, Method::SecretJwt(Known::new(client_secret)))
    }

    /// A JWT that `read` returns, already signed (RFC 7523 2.2), and `client_id`. keyfob calls `read` again for each request, since a
    /// JWT expires. An error of `read` ends the call. keyfob cannot interrupt `read`, so `read` itself must return within the deadline.
    ///
    /// keyfob does not read the JWT. The server decides who may issue it and which `aud` it must have.
    ///
    /// ```
    /// use keyfob::{ClientAuth, Secret};
    ///
    /// # fn sign() -> Secret { Secret::from("a.b.c") }
    /// let auth = ClientAuth::assertion("my-client", || Ok(sign()));
    /// ```
    #[must_use]
    pub fn assertion(
        client_id: impl Into<String>,
        read: impl Fn() -> Result<Secret, Error> + Send + Sync + 'static,
    ) -> Self {
        Self::new(client_id, Method::Assertion(Arc::new(read)))
    }

    /// As [`assertion`](Self::assertion), but reads the JWT from a file of at most 1 MiB, such as a projected token of Kubernetes. A byte
    /// order mark at the start of the file and a line end at its end are not part of the JWT. A file with more lines is
    /// refused.
    #[must_use]
    pub fn assertion_file(client_id: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self::assertion(client_id, move || file::read_value("client assertion", &path))
    }

    fn new(client_id: impl Into<String>, method: Method) -> Self {
        let client_id = client_id.into();
        Self { client_id, method, audience: None, lifetime: None, is_short_key_allowed: false }
    }

    /// Sets `aud` of the JWT of [`secret_jwt`](Self::secret_jwt), for servers that expect their issuer there. Default: see
    /// [`secret_jwt`](Self::secret_jwt).
    #[must_use]
    pub fn with_audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Whether `aud` of a JWT depends on the endpoint: it is signed by keyfob, and no audience was set.
    pub(crate) fn has_default_audience(&self) -> bool {
        matches!(self.method, Method::SecretJwt(_)) && self.audience.is_none()
    }

    /// Sets the time from `iat` to `exp` of the JWT of [`secret_jwt`](Self::secret_jwt), for servers that limit this time. `iat` is
    /// 10 s ago, or half of this time ago if that is less. Fractions of a second are dropped. At least 10 s and at most 24 h. Default:
    /// 310 s.
    #[must_use]
    pub fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Allows [`secret_jwt`](Self::secret_jwt) to sign with a secret of less than 32 bytes, against RFC 7518 3.2. Anyone who sees
    /// such a JWT can guess at the secret offline. Default: refused.
    #[must_use]
    pub fn allow_short_key(mut self) -> Self {
        self.is_short_key_allowed = true;
        self
    }

    /// The client id. It is not a secret.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Whether there is no secret.
    pub(crate) fn is_public(&self) -> bool {
        matches!(self.method, Method::None)
    }

    /// Checks all values, and whether the settings fit the authentication.
    pub(crate) fn check(&self) -> Result<(), Error> {
        check::value("client id", self.client_id.as_bytes())?;
        if let Method::SecretBasic(secret) | Method::SecretPost(secret) | Method::SecretJwt(secret) =
            &self.method
        {
            check::value("client secret", secret.expose())?;
        }
        let Method::SecretJwt(secret) = &self.method else { return self.check_no_jwt_setting() };
        if let Some(audience) = &self.audience {
            check::value("audience", audience.as_bytes())?;
        }
        if let Some(lifetime) = self.lifetime.filter(|lifetime| !LIFETIMES.contains(lifetime)) {
            return Err(Error::invalid(format!(
                "the lifetime of the JWT is {lifetime:?}; 10 s to 24 h are accepted: does it have the right unit?"
            )));
        }
        if secret.len() < MIN_KEY_LEN && !self.is_short_key_allowed {
            return Err(Error::invalid(format!(
                "the client secret has {} bytes; HS256 needs at least {MIN_KEY_LEN} (RFC 7518 3.2)",
                secret.len()
            ))
            .with_advice(Advice::AllowShortKey));
        }
        Ok(())
    }

    fn check_no_jwt_setting(&self) -> Result<(), Error> {
        let setting = match self {
            Self { audience: Some(_), .. } => "with_audience",
            Self { lifetime: Some(_), .. } => "with_lifetime",
            Self { is_short_key_allowed: true, .. } => "allow_short_key",
            _ => return Ok(()),
        };
        Err(Error::invalid(format!(
            "`{setting}` fits `ClientAuth::secret_jwt` only: remove it, or use `secret_jwt` if the server expects a signed JWT"
        )))
    }

    /// Returns the authenticated request with these parameters. `now` is the time of a JWT, and `audience` is its `aud` unless
    /// another was set. A request with a JWT has [`Payload::assertion`] set: then a wrong clock can be the reason for a refusal.
    ///
    /// # Errors
    /// [`Random`](crate::ErrorKind) if the operating system returns no random bytes; the error of the function or the file that gives
    /// the ready JWT, and the error about a JWT that cannot be sent. The other values were [checked](Self::check) before.
    pub(crate) fn request(
        &self,
        parameters: &[(&str, &[u8])],
        now: SystemTime,
        audience: &str,
    ) -> Result<Payload, Error> {
        let id = ("client_id", self.client_id.as_bytes());
        let form = |own: &[(&str, &[u8])]| Some(form::encode(&[own, parameters].concat()));
        Ok(match &self.method {
            Method::None => Payload { form: form(&[id]), ..Payload::default() },
            Method::SecretBasic(secret) => Payload {
                authorization: Some(client_secret_basic(&self.client_id, secret)),
                form: form(&[]),
                ..Payload::default()
            },
            Method::SecretPost(secret) => {
                Payload { form: form(&[id, ("client_secret", secret.expose())]), ..Payload::default() }
            }
            Method::SecretJwt(secret) => {
                let assertion = self.sign(secret, now, self.audience.as_deref().unwrap_or(audience))?;
                let own =
                    [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion.expose())];
                Payload { form: form(&own), assertion: Some(assertion), ..Payload::default() }
            }
            Method::Assertion(read) => {
                let assertion = read()?;
                check::value("client assertion", assertion.expose())?;
                let assertion = Known::new(assertion);
                let jwt = ("client_assertion", assertion.expose());
                // Some servers require the client id, although the JWT can name the client (RFC 7521 4.2).
                let form = form(&[id, ("client_assertion_type", ASSERTION_TYPE), jwt]);
                Payload { form, held: vec![assertion], ..Payload::default() }
            }
        })
    }

    fn sign(&self, secret: &Secret, now: SystemTime, audience: &str) -> Result<Secret, Error> {
        let mut jti = [0; 16];
        random::fill(&mut jti)?;
        let lifetime = self.lifetime.unwrap_or(LIFETIME);
        let lifetime = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        let issued_at = unix_seconds(now).saturating_sub(BACKDATED.min(lifetime / 2));
        let key = AssertionKey::new(&self.client_id, audience, secret);
        Ok(key.mint(issued_at, issued_at.saturating_add(lifetime), &jti))
    }
}

impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = match self.method {
            Method::None => "none",
            Method::SecretBasic(_) => "secret_basic",
            Method::SecretPost(_) => "secret_post",
            Method::SecretJwt(_) => "secret_jwt",
            Method::Assertion(_) => "assertion",
        };
        write!(f, "ClientAuth::{method}({:?})", self.client_id)
    }
}

#[cfg(test)]
mod tests;
