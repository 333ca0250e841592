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

/// How far ahead of the sandbox's clock `iat` may be.
const IAT_AHEAD_S: i64 = 10;
/// How far behind it `iat` may be.
const IAT_BEHIND_S: i64 = 60;
/// How long after `iat` an assertion may expire.
const LIFETIME_S: i64 = 3600;

/// Checks assertions and remembers those it has seen.
pub(crate) struct Verifier {
    clock: Clock,
    used: Mutex<HashSet<String>>,
}

impl Verifier {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, used: Mutex::default() }
    }

    /// Checks an assertion. A `jti` under a right signature is used up, whatever else is wrong.
    ///
    /// # Errors
    ///
    /// What is wrong, fit for an `error_description`.
    pub(crate) fn verify(
        &self,
        assertion: &str,
        audience: &str,
        secret_of: impl FnOnce(&str) -> Option<String>,
    ) -> Result<(), String> {
        let [header, payload, _signature] = assertion.split('.').collect::<Vec<_>>()[..] else {
            return Err("the assertion must have three parts".into());
        };
        check_header(&decode(header, "header")?)?;
        let claims = Claims::read(&decode(payload, "payload")?)?;

        let secret = secret_of(&claims.iss).ok_or("the issuer is no known client")?;
        check_signature(assertion, &secret)?;
        let is_new = lock(&self.used).insert(claims.jti.clone());

        claims.check(audience, self.clock.unix())?;
        if is_new { Ok(()) } else { Err("the jti was used before".into()) }
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

    fn check(&self, audience: &str, now: i64) -> Result<(), String> {
        if self.sub != self.iss {
            return Err("sub must be equal to iss".into());
        }
        if self.aud != audience {
            return Err(format!("aud must be {audience}"));
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
