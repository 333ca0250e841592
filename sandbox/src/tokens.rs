//! The tokens that a service has issued.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::sync::lock;
use crate::{Clock, random};

/// Expired tokens are swept when this many are known, or twice as many as the last sweep left.
const SWEEP_AT: usize = 10_000;

/// The kinds of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TokenKind {
    /// Issued by step 1: makes app credentials and nothing else.
    Temporary,
    /// Issued by step 3: gives access to the API and nothing else.
    Access,
}

pub(crate) struct Issued {
    pub(crate) token: String,
    /// Unix seconds. From this second on the token is refused.
    pub(crate) expires_at: i64,
}

/// The valid tokens, by the sandbox's clock.
pub(crate) struct TokenTable {
    clock: Clock,
    inner: Mutex<Inner>,
}

struct Inner {
    lifetime: Duration,
    known: HashMap<String, (TokenKind, i64)>,
    sweep_at: usize,
    issued: HashMap<TokenKind, u64>,
}

impl TokenTable {
    pub(crate) fn new(clock: Clock, lifetime: Duration) -> Self {
        let inner = Inner { lifetime, known: HashMap::new(), sweep_at: SWEEP_AT, issued: HashMap::new() };
        Self { clock, inner: Mutex::new(inner) }
    }

    pub(crate) fn set_lifetime(&self, lifetime: Duration) {
        lock(&self.inner).lifetime = lifetime;
    }

    pub(crate) fn issue(&self, kind: TokenKind) -> Issued {
        let token = random::text(32);
        let now = self.clock.unix();
        let mut inner = lock(&self.inner);
        let expires_at = now.saturating_add(i64::try_from(inner.lifetime.as_secs()).unwrap_or(i64::MAX));
        if inner.known.len() >= inner.sweep_at {
            inner.known.retain(|_, (_, expires_at)| *expires_at > now);
            inner.sweep_at = SWEEP_AT.max(2 * inner.known.len());
        }
        inner.known.insert(token.clone(), (kind, expires_at));
        *inner.issued.entry(kind).or_default() += 1;
        Issued { token, expires_at }
    }

    pub(crate) fn admits(&self, kind: TokenKind, token: &str) -> bool {
        let now = self.clock.unix();
        lock(&self.inner).known.get(token).is_some_and(|(k, expires_at)| *k == kind && now < *expires_at)
    }

    pub(crate) fn revoke(&self, token: &str) -> bool {
        lock(&self.inner).known.remove(token).is_some()
    }

    pub(crate) fn revoke_all(&self) {
        lock(&self.inner).known.clear();
    }

    pub(crate) fn issued(&self, kind: TokenKind) -> u64 {
        lock(&self.inner).issued.get(&kind).copied().unwrap_or_default()
    }

    pub(crate) fn reset_issued(&self) {
        lock(&self.inner).issued.clear();
    }
}
