//! Codes, and the tokens that came of them.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;

use super::authorize::Authorization;
use crate::sync::lock;
use crate::{Clock, random};

/// How long a code waits to be exchanged.
const CODE_LIFETIME: Duration = Duration::from_secs(60);

const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

/// Dead access tokens are swept when this many are known, or twice as many as the last sweep left.
const SWEEP_AT: usize = 10_000;

/// A login that was consented to and exchanged: the tokens of one belong together and end together.
struct Grant {
    client_id: String,
    scopes: Vec<String>,
    /// The refresh token that is good now.
    refresh_token: String,
}

struct Code {
    authorization: Authorization,
    issued_at: SystemTime,
    /// What it was exchanged for.
    used_for: Option<u64>,
}

struct AccessToken {
    grant: u64,
    issued_at: SystemTime,
    lifetime: Duration,
}

/// What the token endpoint gives out.
pub(super) struct Tokens {
    pub(super) access_token: String,
    pub(super) refresh_token: String,
    pub(super) lifetime: Duration,
    pub(super) scopes: Vec<String>,
}

/// What a living access token opens, and for which login.
pub(super) struct Access {
    pub(super) grant: u64,
    pub(super) scopes: Vec<String>,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) logins: u64,
    pub(super) refreshes: u64,
}

/// Which codes and tokens live, by the sandbox's clock.
pub(super) struct Grants {
    clock: Clock,
    inner: Mutex<Inner>,
}

struct Inner {
    lifetime: Duration,
    sweep_at: usize,
    last: u64,
    grants: HashMap<u64, Grant>,
    codes: HashMap<String, Code>,
    access: HashMap<String, AccessToken>,
    /// All that were ever given out, so that the reuse of an old one is noticed.
    refresh: HashMap<String, u64>,
    counts: Counts,
}

impl Grants {
    pub(super) fn new(clock: Clock) -> Self {
        let inner = Inner {
            lifetime: TOKEN_LIFETIME,
            sweep_at: SWEEP_AT,
            last: 0,
            grants: HashMap::new(),
            codes: HashMap::new(),
            access: HashMap::new(),
            refresh: HashMap::new(),
            counts: Counts::default(),
        };
        Self { clock, inner: Mutex::new(inner) }
    }

    pub(super) fn set_lifetime(&self, lifetime: Duration) {
        lock(&self.inner).lifetime = lifetime;
    }

    pub(super) fn issue_code(&self, authorization: Authorization) -> String {
        let code = awkward_text();
        let issued_at = self.clock.now();
        lock(&self.inner).codes.insert(code.clone(), Code { authorization, issued_at, used_for: None });
        code
    }

    /// A code for tokens. The text of a refusal says which check failed.
    pub(super) fn exchange(
        &self,
        code: &str,
        client_id: &str,
        redirect_uri: Option<&str>,
        verifier: Option<&str>,
    ) -> Result<Tokens, String> {
        let now = self.clock.now();
        let mut inner = lock(&self.inner);
        let known = inner.codes.get(code).filter(|known| known.authorization.client_id == client_id);
        let known = known.ok_or("the code is not known")?;
        if let Some(grant) = known.used_for {
            // RFC 6749, section 4.1.2: a code that comes twice may have been stolen, and its tokens with it.
            inner.grants.remove(&grant);
            return Err("the code was used before: its tokens are revoked".to_owned());
        }
        if !lives(known.issued_at, CODE_LIFETIME, now) {
            return Err("the code has expired".to_owned());
        }
        let asked = &known.authorization;
        if redirect_uri.is_some_and(|uri| uri != asked.redirect_uri) {
            return Err("redirect_uri is not the one that the code was sent to".to_owned());
        }
        check_verifier(asked.challenge.as_deref(), verifier)?;

        let scopes = asked.scopes.clone();
        inner.last += 1;
        let (grant, refresh_token) = (inner.last, awkward_text());
        if let Some(code) = inner.codes.get_mut(code) {
            code.used_for = Some(grant);
        }
        inner.refresh.insert(refresh_token.clone(), grant);
        inner.grants.insert(grant, Grant { client_id: client_id.to_owned(), scopes, refresh_token });
        inner.counts.logins += 1;
        Ok(inner.tokens(grant, now).expect("the grant was just made"))
    }

    /// A refresh token for an access token; with `rotate`, for another refresh token too.
    pub(super) fn refresh(
        &self,
        refresh_token: &str,
        client_id: &str,
        rotate: bool,
    ) -> Result<Tokens, &'static str> {
        let now = self.clock.now();
        let mut inner = lock(&self.inner);
        let number = inner.refresh.get(refresh_token).copied().ok_or("the refresh token is not known")?;
        let grant = inner.grants.get_mut(&number).filter(|grant| grant.client_id == client_id);
        let grant = grant.ok_or("the refresh token is revoked or another client's")?;
        if grant.refresh_token != refresh_token {
            inner.grants.remove(&number);
            return Err("the refresh token was used before: the login is revoked");
        }
        if rotate {
            let successor = awkward_text();
            grant.refresh_token.clone_from(&successor);
            inner.refresh.insert(successor, number);
        }
        inner.counts.refreshes += 1;
        inner.tokens(number, now).ok_or("the login is revoked")
    }

    pub(super) fn access(&self, token: &str) -> Option<Access> {
        let now = self.clock.now();
        let inner = lock(&self.inner);
        let token = inner.access.get(token).filter(|token| lives(token.issued_at, token.lifetime, now))?;
        let grant = inner.grants.get(&token.grant)?;
        Some(Access { grant: token.grant, scopes: grant.scopes.clone() })
    }

    /// Ends the login that a token belongs to; false if there is none.
    pub(super) fn revoke(&self, token: &str) -> bool {
        let mut inner = lock(&self.inner);
        let access = inner.access.get(token).map(|token| token.grant);
        let grant = access.or_else(|| inner.refresh.get(token).copied());
        grant.is_some_and(|grant| inner.grants.remove(&grant).is_some())
    }

    pub(super) fn revoke_all(&self) {
        lock(&self.inner).grants.clear();
    }

    pub(super) fn end_access_tokens(&self) {
        lock(&self.inner).access.clear();
    }

    pub(super) fn counts(&self) -> Counts {
        lock(&self.inner).counts
    }

    pub(super) fn reset_counts(&self) {
        lock(&self.inner).counts = Counts::default();
    }
}

impl Inner {
    /// A fresh access token of a login, beside its refresh token.
    fn tokens(&mut self, number: u64, now: SystemTime) -> Option<Tokens> {
        let grant = self.grants.get(&number)?;
        let tokens = Tokens {
            access_token: awkward_text(),
            refresh_token: grant.refresh_token.clone(),
            lifetime: self.lifetime,
            scopes: grant.scopes.clone(),
        };
        if self.access.len() >= self.sweep_at {
            let grants = &self.grants;
            self.access.retain(|_, token| {
                grants.contains_key(&token.grant) && lives(token.issued_at, token.lifetime, now)
            });
            self.sweep_at = SWEEP_AT.max(2 * self.access.len());
        }
        let token = AccessToken { grant: number, issued_at: now, lifetime: self.lifetime };
        self.access.insert(tokens.access_token.clone(), token);
        Some(tokens)
    }
}

fn lives(issued_at: SystemTime, lifetime: Duration, now: SystemTime) -> bool {
    now.duration_since(issued_at).unwrap_or_default() < lifetime
}

/// RFC 7636, section 4.6, and RFC 9700, section 2.1.1: no verifier where no challenge was sent.
fn check_verifier(challenge: Option<&str>, verifier: Option<&str>) -> Result<(), &'static str> {
    match (challenge, verifier) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err("code_verifier came, but no code_challenge before"),
        (Some(_), None) => Err("code_verifier is missing"),
        (Some(challenge), Some(verifier)) => {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            if !(43..=128).contains(&verifier.len()) || !verifier.bytes().all(allowed) {
                return Err("code_verifier must be 43 to 128 unreserved characters");
            }
            if s256(verifier) != challenge {
                return Err("code_verifier does not fit the code_challenge");
            }
            Ok(())
        }
    }
}

/// RFC 7636, section 4.2, with the hash of the TLS library: not the one that keyfob hashes with.
fn s256(verifier: &str) -> String {
    let suite = TLS13_AES_128_GCM_SHA256.tls13().expect("the suite is one of TLS 1.3");
    URL_SAFE_NO_PAD.encode(suite.common.hash_provider.hash(verifier.as_bytes()))
}

/// Random, and with what clients forget to encode. Access tokens may have it too (RFC 6750, section 2.1).
fn awkward_text() -> String {
    random::text(24) + "/+=="
}
