//! The check of client assertions (RFC 7521, section 4.2; RFC 7523, section 3), as strict as it can be.

use std::collections::HashSet;
use std::fmt;
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::Clock;
use crate::sync::lock;

/// The registered type of client assertions (RFC 7523, section 2.2).
pub(crate) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How far ahead of the sandbox's clock `iat` may be.
const IAT_AHEAD_S: i64 = 10;
/// How far behind it `iat` may be.
const IAT_BEHIND_S: i64 = 60;
/// How long after `iat` an assertion may expire.
const LIFETIME_S: i64 = 3600;

/// The key of an issuer of assertions.
pub(crate) struct Key {
    pub(crate) secret: String,
    /// Whether the issuer is a client, which signs for itself only.
    pub(crate) signs_for_itself: bool,
}

impl Key {
    pub(crate) fn of_client(secret: String) -> Self {
        Self { secret, signs_for_itself: true }
    }
}

/// Checks assertions and remembers those it has seen.
pub(crate) struct Verifier {
    clock: Clock,
    used: Mutex<HashSet<String>>,
}

impl Verifier {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, used: Mutex::default() }
    }

    /// Checks an assertion for one of these audiences, and returns its subject. `key_of` gives the key of an issuer. If the
    /// signature is correct, the `jti` is used up, even if another check fails.
    ///
    /// # Errors
    ///
    /// Returns the problem as text for an `error_description`.
    pub(crate) fn verify(
        &self,
        assertion: &str,
        audiences: &[&str],
        key_of: impl FnOnce(&str) -> Option<Key>,
    ) -> Result<String, String> {
        let [header, payload, _signature] = assertion.split('.').collect::<Vec<_>>()[..] else {
            return Err("the assertion must have three parts".into());
        };
        check_header(&decode(header, "header")?)?;
        let claims = Claims::read(&decode(payload, "payload")?)?;

        let key = key_of(&claims.iss).ok_or("the issuer is no known client")?;
        check_signature(assertion, &key.secret)?;
        let is_new = lock(&self.used).insert(claims.jti.clone());

        if key.signs_for_itself && claims.sub != claims.iss {
            return Err("sub must be equal to iss".into());
        }
        claims.check(audiences, self.clock.unix())?;
        if is_new { Ok(claims.sub) } else { Err("the jti was used before".into()) }
    }
}

/// A JSON object as it was written, repeated names included.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl Members {
    /// Requires exactly these names, each once.
    fn expect_names(&self, expected: &[&str], part: &str) -> Result<(), String> {
        for name in expected {
            match self.0.iter().filter(|(n, _)| n == name).count() {
                0 => return Err(format!("the {part} has no {name}")),
                1 => {}
                _ => return Err(format!("the {part} has more than one {name}")),
            }
        }
        match self.0.iter().find(|(name, _)| !expected.contains(&name.as_str())) {
            Some((name, _)) => Err(format!("the {part} must not have {name}")),
            None => Ok(()),
        }
    }

    fn value(&self, name: &str) -> &Value {
        self.0.iter().find(|(n, _)| n == name).map_or(&Value::Null, |(_, value)| value)
    }

    fn text(&self, name: &str) -> Result<String, String> {
        match self.value(name) {
            Value::String(text) if !text.is_empty() => Ok(text.clone()),
            _ => Err(format!("{name} must be a string that is not empty")),
        }
    }

    fn integer(&self, name: &str) -> Result<i64, String> {
        self.value(name).as_i64().ok_or_else(|| format!("{name} must be an integer"))
    }
}

fn decode(part: &str, name: &str) -> Result<Members, String> {
    let json =
        URL_SAFE_NO_PAD.decode(part).map_err(|_| format!("the {name} is not base64url without padding"))?;
    serde_json::from_slice(&json).map_err(|_| format!("the {name} is not a JSON object"))
}

fn check_header(header: &Members) -> Result<(), String> {
    header.expect_names(&["alg", "typ"], "header")?;
    for (name, expected) in [("alg", "HS256"), ("typ", "JWT")] {
        if header.value(name) != expected {
            return Err(format!("{name} must be {expected}"));
        }
    }
    Ok(())
}

/// The signature only: the claims are judged by hand, against the sandbox's clock.
fn check_signature(assertion: &str, secret: &str) -> Result<(), String> {
    let mut signature_only = Validation::new(Algorithm::HS256);
    signature_only.required_spec_claims.clear();
    signature_only.validate_exp = false;
    signature_only.validate_nbf = false;
    signature_only.validate_aud = false;
    let key = DecodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::decode::<Value>(assertion, &key, &signature_only)
        .map(|_| ())
        .map_err(|_| "the signature is wrong".into())
}

struct Claims {
    iss: String,
    sub: String,
    aud: String,
    iat: i64,
    exp: i64,
    jti: String,
}

impl Claims {
    fn read(claims: &Members) -> Result<Self, String> {
        claims.expect_names(&["iss", "sub", "aud", "iat", "exp", "jti"], "payload")?;
        Ok(Self {
            iss: claims.text("iss")?,
            sub: claims.text("sub")?,
            aud: claims.text("aud")?,
            iat: claims.integer("iat")?,
            exp: claims.integer("exp")?,
            jti: claims.text("jti")?,
        })
    }

    fn check(&self, audiences: &[&str], now: i64) -> Result<(), String> {
        if !audiences.contains(&self.aud.as_str()) {
            return Err(format!("aud must be {}", audiences.join(" or ")));
        }
        if self.iat > now.saturating_add(IAT_AHEAD_S) {
            return Err("iat is in the future".into());
        }
        if self.iat < now.saturating_sub(IAT_BEHIND_S) {
            return Err("iat is too long ago".into());
        }
        if self.exp <= now {
            return Err("the assertion has expired".into());
        }
        if self.exp > self.iat.saturating_add(LIFETIME_S) {
            return Err(format!("exp must be at most {LIFETIME_S} s after iat"));
        }
        Ok(())
    }
}
