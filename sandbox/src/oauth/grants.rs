//! Codes, and the tokens that they were exchanged for.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;

use super::authorize::{Authorization, Callback};
use super::{OAuthError, invalid_grant};
use crate::sync::lock;
use crate::{Clock, random};

/// The lifetime of a code.
const CODE_LIFETIME: Duration = Duration::from_secs(60);

const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

/// Expired access tokens are swept when this many are known, or twice as many as the last sweep left.
const SWEEP_AT: usize = 10_000;

/// Access that a client has from a login, or for itself. The tokens of one grant end together.
struct Grant {
    authorization: Authorization,
    /// The refresh token that is valid now. `None` for access that a client has for itself.
    refresh_token: Option<String>,
}

struct Code {
    authorization: Authorization,
    callback: Callback,
    issued_at: SystemTime,
    /// The number of the grant that the code was exchanged for.
    used_for: Option<u64>,
}

struct AccessToken {
    grant: u64,
    scopes: Vec<String>,
    issued_at: SystemTime,
    lifetime: Duration,
}

/// The tokens that the endpoint issues.
pub(crate) struct Tokens {
    pub(crate) access_token: String,
    pub(crate) refresh_token: Option<String>,
    pub(crate) lifetime: Duration,
    pub(crate) scopes: Vec<String>,
}

/// The access that a valid access token gives, and its grant.
pub(crate) struct Access {
    pub(crate) grant: u64,
    pub(crate) scopes: Vec<String>,
}

/// A valid token, for introspection.
pub(crate) struct Active {
    pub(crate) client_id: String,
    pub(crate) scopes: Vec<String>,
    /// When an access token was issued, and its lifetime. `None` for a refresh token.
    pub(crate) issued: Option<(SystemTime, Duration)>,
    /// Whether a person logged in.
    pub(crate) is_login: bool,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) logins: u64,
    pub(crate) refreshes: u64,
}

/// The valid codes and tokens, by the sandbox's clock.
pub(crate) struct Grants {
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
    /// All refresh tokens that were ever issued, so that the sandbox notices the reuse of an old one.
    refresh: HashMap<String, u64>,
    counts: Counts,
}

impl Grants {
    pub(crate) fn new(clock: Clock) -> Self {
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

    pub(crate) fn set_lifetime(&self, lifetime: Duration) {
        lock(&self.inner).lifetime = lifetime;
    }

    /// Issues a code after a consent. Returns the callback URL.
    pub(crate) fn allow(&self, authorization: Authorization, callback: Callback) -> String {
        let (code, issued_at) = (awkward_text(), self.clock.now());
        let url = callback.allowed(&code);
        let issued = Code { authorization, callback, issued_at, used_for: None };
        lock(&self.inner).codes.insert(code, issued);
        url
    }

    /// Issues tokens without a code. After a login there is also a refresh token.
    pub(crate) fn issue(&self, authorization: Authorization, is_login: bool) -> Tokens {
        let now = self.clock.now();
        lock(&self.inner).grant(authorization, is_login, now).1
    }

    /// Exchanges a code for tokens. The text of a refusal says which check failed.
    pub(crate) fn exchange(
        &self,
        code: &str,
        client_id: &str,
        redirect_uri: Option<&str>,
        verifier: Option<&str>,
    ) -> Result<Tokens, OAuthError> {
        let now = self.clock.now();
        let mut inner = lock(&self.inner);
        let known = inner.codes.get(code).filter(|known| known.authorization.client_id == client_id);
        let known = known.ok_or_else(|| invalid_grant("the code is not known"))?;
        if let Some(grant) = known.used_for {
            // RFC 6749, section 4.1.2: a code that is used twice may have been stolen, and its tokens with it.
            inner.grants.remove(&grant);
            return Err(invalid_grant("the code was used before: its tokens are revoked"));
        }
        if !is_valid(known.issued_at, CODE_LIFETIME, now) {
            return Err(invalid_grant("the code has expired"));
        }
        if redirect_uri.is_some_and(|uri| uri != known.callback.redirect_uri) {
            return Err(invalid_grant("redirect_uri is not the one that the code was sent to"));
        }
        check_verifier(known.callback.challenge.as_deref(), verifier).map_err(invalid_grant)?;

        let authorization = known.authorization.clone();
        let (grant, tokens) = inner.grant(authorization, true, now);
        if let Some(code) = inner.codes.get_mut(code) {
            code.used_for = Some(grant);
        }
        Ok(tokens)
    }

    /// Exchanges a refresh token for an access token with the scopes of the login, or with these. With `rotate`, also replaces the
    /// refresh token.
    pub(crate) fn refresh(
        &self,
        refresh_token: &str,
        client_id: &str,
        scopes: Option<Vec<String>>,
        rotate: bool,
    ) -> Result<Tokens, OAuthError> {
        let now = self.clock.now();
        let mut inner = lock(&self.inner);
        let number = inner.refresh.get(refresh_token).copied();
        let number = number.ok_or_else(|| invalid_grant("the refresh token is not known"))?;
        let grant = inner.grants.get_mut(&number).filter(|grant| grant.authorization.client_id == client_id);
        let grant = grant.ok_or_else(|| invalid_grant("the refresh token is revoked or another client's"))?;
        if grant.refresh_token.as_deref() != Some(refresh_token) {
            inner.grants.remove(&number);
            return Err(invalid_grant("the refresh token was used before: the login is revoked"));
        }
        let granted = &grant.authorization.scopes;
        let scopes = scopes.unwrap_or_else(|| granted.clone());
        if scopes.iter().any(|scope| !granted.contains(scope)) {
            return Err(("invalid_scope", "the login did not include this scope".to_owned()));
        }
        if rotate {
            let successor = awkward_text();
            grant.refresh_token = Some(successor.clone());
            inner.refresh.insert(successor, number);
        }
        inner.counts.refreshes += 1;
        Ok(inner.tokens(number, scopes, now))
    }

    pub(crate) fn access(&self, token: &str) -> Option<Access> {
        let now = self.clock.now();
        let inner = lock(&self.inner);
        let token = inner.access.get(token).filter(|token| is_valid(token.issued_at, token.lifetime, now))?;
        inner
            .grants
            .contains_key(&token.grant)
            .then(|| Access { grant: token.grant, scopes: token.scopes.clone() })
    }

    /// Describes a token that is valid now.
    pub(crate) fn active(&self, token: &str) -> Option<Active> {
        let now = self.clock.now();
        let inner = lock(&self.inner);
        let grant = inner.grants.get(&inner.grant_of(token)?)?;
        let (scopes, issued) = match inner.access.get(token) {
            Some(access) if is_valid(access.issued_at, access.lifetime, now) => {
                (&access.scopes, Some((access.issued_at, access.lifetime)))
            }
            None if grant.refresh_token.as_deref() == Some(token) => (&grant.authorization.scopes, None),
            _ => return None,
        };
        Some(Active {
            client_id: grant.authorization.client_id.clone(),
            scopes: scopes.clone(),
            issued,
            is_login: grant.refresh_token.is_some(),
        })
    }

    /// The client that a token was issued to, if its grant has not ended.
    pub(crate) fn client_of(&self, token: &str) -> Option<String> {
        let inner = lock(&self.inner);
        let grant = inner.grants.get(&inner.grant_of(token)?)?;
        Some(grant.authorization.client_id.clone())
    }

    /// Ends the grant that a token belongs to; false if there is none.
    pub(crate) fn revoke(&self, token: &str) -> bool {
        let mut inner = lock(&self.inner);
        inner.grant_of(token).is_some_and(|grant| inner.grants.remove(&grant).is_some())
    }

    pub(crate) fn revoke_all(&self) {
        lock(&self.inner).grants.clear();
    }

    pub(crate) fn end_access_tokens(&self) {
        lock(&self.inner).access.clear();
    }

    pub(crate) fn counts(&self) -> Counts {
        lock(&self.inner).counts
    }

    pub(crate) fn reset_counts(&self) {
        lock(&self.inner).counts = Counts::default();
    }
}

impl Inner {
    /// Makes a grant, and issues its first tokens.
    fn grant(&mut self, authorization: Authorization, is_login: bool, now: SystemTime) -> (u64, Tokens) {
        self.last += 1;
        let (number, scopes) = (self.last, authorization.scopes.clone());
        let refresh_token = is_login.then(awkward_text);
        if let Some(refresh_token) = &refresh_token {
            self.refresh.insert(refresh_token.clone(), number);
            self.counts.logins += 1;
        }
        self.grants.insert(number, Grant { authorization, refresh_token });
        (number, self.tokens(number, scopes, now))
    }

    fn grant_of(&self, token: &str) -> Option<u64> {
        let access = self.access.get(token).map(|token| token.grant);
        access.or_else(|| self.refresh.get(token).copied())
    }

    /// Issues a new access token of a grant, beside its refresh token.
    fn tokens(&mut self, number: u64, scopes: Vec<String>, now: SystemTime) -> Tokens {
        if self.access.len() >= self.sweep_at {
            self.sweep(now);
        }
        let access_token = awkward_text();
        let lifetime = self.lifetime;
        let token = AccessToken { grant: number, scopes: scopes.clone(), issued_at: now, lifetime };
        self.access.insert(access_token.clone(), token);
        let refresh_token = self.grants.get(&number).and_then(|grant| grant.refresh_token.clone());
        Tokens { access_token, refresh_token, lifetime, scopes }
    }

    /// Removes the access tokens that have ended, and the grants that had nothing else.
    fn sweep(&mut self, now: SystemTime) {
        let grants = &self.grants;
        self.access.retain(|_, token| {
            grants.contains_key(&token.grant) && is_valid(token.issued_at, token.lifetime, now)
        });
        let with_access: HashSet<_> = self.access.values().map(|token| token.grant).collect();
        let last = self.last;
        self.grants.retain(|number, grant| {
            grant.refresh_token.is_some() || with_access.contains(number) || *number == last
        });
        self.sweep_at = SWEEP_AT.max(2 * self.access.len());
    }
}

/// Whether a lifetime that began at `issued_at` has not ended.
pub(crate) fn is_valid(issued_at: SystemTime, lifetime: Duration, now: SystemTime) -> bool {
    now.duration_since(issued_at).unwrap_or_default() < lifetime
}

/// Checks the verifier (RFC 7636, section 4.6). Without a challenge there must be no verifier (RFC 9700, section 2.1.1).
fn check_verifier(challenge: Option<&str>, verifier: Option<&str>) -> Result<(), &'static str> {
    match (challenge, verifier) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err("code_verifier was sent, but no code_challenge before it"),
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

/// Computes a challenge (RFC 7636, section 4.2), with another implementation of SHA-256 than keyfob uses.
fn s256(verifier: &str) -> String {
    let suite = TLS13_AES_128_GCM_SHA256.tls13().expect("the suite is one of TLS 1.3");
    URL_SAFE_NO_PAD.encode(suite.common.hash_provider.hash(verifier.as_bytes()))
}

/// Returns a random token with characters that clients forget to encode. Access tokens may hold them too (RFC 6750, section 2.1).
pub(crate) fn awkward_text() -> String {
    random::text(24) + "/+=="
}
