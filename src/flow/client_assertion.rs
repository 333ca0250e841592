//! `client_credentials`, authenticated by a signed assertion (step 3 of SpatiaFi).

use std::time::Duration;

use ureq::http::Method;

use super::Grant;
use crate::clock::unix_seconds;
use crate::endpoint::Endpoint;
use crate::http::{Call, Payload, Repeat};
use crate::jwt::{AssertionKey, MIN_KEY_LEN};
use crate::{Error, Http, Secret, Token, check, form, random};

/// The client credentials grant (RFC 6749 4.4) with `client_secret_jwt` (RFC 7523 2.2): the secret signs, and never
/// travels.
///
/// The assertion is an HS256 JWT with `iss` = `sub` = the client id, `aud` = the token URL, `iat` = now, `exp` = 300 s
/// later and a fresh random `jti` for every try. If the server refuses it and its `Date` header shows that this
/// machine's clock is more than 30 s off, one more is minted with the server's time.
///
/// ```no_run
/// # fn main() -> Result<(), keyfob::Error> {
/// # let client_secret = String::new();
/// let url = "https://auth.spatiafi.com/api/v1/auth/jwt/token";
/// let token = keyfob::flow::ClientAssertion::new(url, "my-client-id", client_secret)?.run(&keyfob::Http::new())?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct ClientAssertion {
    endpoint: Endpoint,
    client_id: String,
    client_secret: Secret,
    key: AssertionKey,
    scope: Option<String>,
    lifetime: Duration,
    allow_short_key: bool,
}

impl ClientAssertion {
    /// Checks the URL and the credentials.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the URL is not https (http on loopback), or if a value is
    /// empty, longer than 16 KiB or holds a control character.
    pub fn new(token_url: &str, client_id: &str, client_secret: impl Into<Secret>) -> Result<Self, Error> {
        let client_secret = client_secret.into();
        let endpoint = Endpoint::new("token URL", token_url)?;
        check::value("client id", client_id.as_bytes())?;
        check::value("client secret", client_secret.expose())?;
        Ok(Self {
            key: AssertionKey::new(client_id, token_url, &client_secret),
            endpoint,
            client_id: client_id.to_owned(),
            client_secret,
            scope: None,
            lifetime: Duration::from_secs(300),
            allow_short_key: false,
        })
    }

    /// Sets `aud`, for servers that want their issuer there. Default: the token URL.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is empty, longer than 16 KiB or holds a control character.
    pub fn with_audience(mut self, audience: &str) -> Result<Self, Error> {
        check::value("audience", audience.as_bytes())?;
        self.key = AssertionKey::new(&self.client_id, audience, &self.client_secret);
        Ok(self)
    }

    /// Asks for a scope, as a space-separated list (RFC 6749 3.3). Default: none is sent.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is empty, longer than 16 KiB or holds a control character.
    pub fn with_scope(mut self, scope: &str) -> Result<Self, Error> {
        check::value("scope", scope.as_bytes())?;
        self.scope = Some(scope.to_owned());
        Ok(self)
    }

    /// Sets the time from `iat` to `exp`. Default: 300 s.
    pub fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Signs with a secret of less than 32 bytes too, against RFC 7518 3.2: anyone who sees an assertion can guess at
    /// it offline. Default: refused.
    pub fn allow_short_key(mut self) -> Self {
        self.allow_short_key = true;
        self
    }

    /// Gets a token. Tried up to three times on 429, 5xx and failed connections, with a fresh assertion each.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a short key; [`Refused`](crate::ErrorKind::Refused) with
    /// the server's code for wrong credentials; network and protocol errors.
    pub fn run(&self, http: &Http) -> Result<Token, Error> {
        if self.client_secret.len() < MIN_KEY_LEN && !self.allow_short_key {
            return Err(Error::invalid(format!(
                "the client secret has {} bytes; HS256 needs at least {MIN_KEY_LEN} (RFC 7518 3.2): \
                 check that it is whole, or use `allow_short_key` if the service issues such",
                self.client_secret.len()
            )));
        }
        let call = Call {
            doing: "get a token with a client assertion",
            endpoint: &self.endpoint,
            method: Method::POST,
            repeat: Repeat::Always,
            dated: true,
            advice: "check the client id and secret",
            secrets: &[&self.client_secret],
        };
        http.token(&call, &mut || self.payload(http))
    }

    fn payload(&self, http: &Http) -> Result<Payload, Error> {
        const TYPE: &[u8] = b"urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let mut jti = [0; 16];
        random::fill(&mut jti)?;
        let now = unix_seconds(http.clock().now());
        let lifetime = i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX);
        let assertion = self.key.mint(now, now.saturating_add(lifetime), &jti);
        let mut pairs = vec![
            ("grant_type", &b"client_credentials"[..]),
            ("client_assertion_type", TYPE),
            ("client_assertion", assertion.expose()),
        ];
        if let Some(scope) = &self.scope {
            pairs.push(("scope", scope.as_bytes()));
        }
        Ok(Payload { form: Some(form::encode(&pairs)), assertion: Some(assertion), ..Payload::default() })
    }
}

impl Grant for ClientAssertion {
    fn token(&self, http: &Http, _previous: Option<&Token>) -> Result<Token, Error> {
        self.run(http)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{Algorithm, EncodingKey, crypto};

    use crate::Clock;
    use crate::clock::from_unix_seconds;
    use crate::seeded::{Seeded, runs};

    #[derive(serde::Serialize)]
    struct Claims<'a> {
        iss: &'a str,
        sub: &'a str,
        aud: &'a str,
        iat: i64,
        exp: i64,
        jti: &'a str,
    }

    /// Byte for byte what `serde_json` and `jsonwebtoken` make of the same claims, at any time; and no `jti` comes
    /// twice. `KEYFOB_RUNS` sets the number.
    #[test]
    fn assertions_equal_a_second_implementation_and_no_jti_comes_twice() {
        let mut seeded = Seeded::new(2);
        let mut seen = HashSet::new();
        let clock = Clock::manual(from_unix_seconds(0));
        let http = Http::new().with_clock(clock.clone());
        let runs = runs(5_000);
        let (mut minted, mut repeated) = (0, 0);
        while minted < runs {
            let (id, secret, aud) = (seeded.text(24), seeded.bytes(100), seeded.text(24));
            let flow = ClientAssertion::new("http://127.0.0.1/token", &id, secret.clone())
                .and_then(|flow| flow.with_audience(&aud));
            let Ok(flow) = flow else { continue };
            let (now, lifetime) = (seeded.any_seconds().max(-i64::MAX), seeded.any_number());
            clock.set(from_unix_seconds(now));
            let flow = flow.with_lifetime(Duration::from_secs(lifetime));
            for _ in 0..16 {
                let payload = flow.payload(&http).unwrap();
                let jwt = payload.assertion.as_ref().and_then(Secret::expose_str).unwrap();
                let [header, claims, signature] = jwt.split('.').collect::<Vec<_>>()[..] else {
                    panic!("{jwt}")
                };

                let came: serde_json::Value =
                    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
                let jti = came["jti"].as_str().unwrap();
                let raw: [u8; 16] = URL_SAFE_NO_PAD.decode(jti).unwrap().try_into().expect("128 bits");
                minted += 1;
                repeated += u64::from(!seen.insert(u128::from_le_bytes(raw)));

                let exp = i64::try_from(lifetime).unwrap_or(i64::MAX).saturating_add(now);
                let expected = Claims { iss: &id, sub: &id, aud: &aud, iat: now, exp, jti };
                assert_eq!(claims, URL_SAFE_NO_PAD.encode(serde_json::to_vec(&expected).unwrap()));
                assert_eq!(header, URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#));
                let input = format!("{header}.{claims}");
                let key = EncodingKey::from_secret(&secret);
                assert_eq!(signature, crypto::sign(input.as_bytes(), &key, Algorithm::HS256).unwrap());
            }
        }
        println!("{repeated} of {minted} jti repeated");
        assert_eq!(repeated, 0);
    }
}
