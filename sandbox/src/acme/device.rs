//! Logins of devices without a browser (RFC 8628).

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use crate::oauth::authorize::Authorization;
use crate::oauth::grants::{awkward_text, is_valid};
use crate::oauth::{OAuthError, invalid_grant};
use crate::sync::lock;
use crate::{Clock, random};

/// The default lifetime of device codes and their user codes.
const LIFETIME: Duration = Duration::from_secs(600);
/// The default pause between two polls, and the time that each `slow_down` adds to it.
const INTERVAL: Duration = Duration::from_secs(5);

/// The letters of a user code: no vowels, so that no code is a word (RFC 8628, section 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// The answer to a device.
pub(super) struct Started {
    pub(super) device_code: String,
    pub(super) user_code: String,
    pub(super) lifetime: Duration,
    pub(super) interval: Duration,
}

struct Login {
    authorization: Authorization,
    user_code: String,
    started_at: SystemTime,
    lifetime: Duration,
    interval: Duration,
    polled_at: Option<SystemTime>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Pending,
    Allowed,
    Denied,
    Used,
}

/// The logins of devices, by the sandbox's clock.
pub(super) struct Devices {
    clock: Clock,
    inner: Mutex<Inner>,
}

struct Inner {
    lifetime: Duration,
    interval: Duration,
    logins: HashMap<String, Login>,
}

impl Devices {
    pub(super) fn new(clock: Clock) -> Self {
        let inner = Inner { lifetime: LIFETIME, interval: INTERVAL, logins: HashMap::new() };
        Self { clock, inner: Mutex::new(inner) }
    }

    pub(super) fn set_lifetime(&self, lifetime: Duration) {
        lock(&self.inner).lifetime = lifetime;
    }

    pub(super) fn set_interval(&self, interval: Duration) {
        lock(&self.inner).interval = interval;
    }

    pub(super) fn start(&self, authorization: Authorization) -> Started {
        let mut inner = lock(&self.inner);
        let (lifetime, interval) = (inner.lifetime, inner.interval);
        let (device_code, user_code) = (awkward_text(), user_code());
        let login = Login {
            authorization,
            user_code: user_code.clone(),
            started_at: self.clock.now(),
            lifetime,
            interval,
            polled_at: None,
            state: State::Pending,
        };
        inner.logins.insert(device_code.clone(), login);
        Started { device_code, user_code, lifetime, interval }
    }

    /// Returns the request that belongs to a user code, if it waits for a decision, and the code as the device shows it.
    pub(super) fn pending(&self, user_code: &str) -> Option<(Authorization, String)> {
        let now = self.clock.now();
        let mut inner = lock(&self.inner);
        let login = inner.pending(user_code, now)?;
        Some((login.authorization.clone(), login.user_code.clone()))
    }

    /// Allows or denies the request of a user code. Returns false if it does not wait for a decision.
    pub(super) fn decide(&self, user_code: &str, allows: bool) -> bool {
        let now = self.clock.now();
        let mut inner = lock(&self.inner);
        let Some(login) = inner.pending(user_code, now) else { return false };
        login.state = if allows { State::Allowed } else { State::Denied };
        true
    }

    /// Answers a poll (RFC 8628, section 3.5). Returns the access once.
    pub(super) fn poll(&self, device_code: &str, client_id: &str) -> Result<Authorization, OAuthError> {
        let now = self.clock.now();
        let mut inner = lock(&self.inner);
        let login =
            inner.logins.get_mut(device_code).filter(|login| login.authorization.client_id == client_id);
        let login = login.ok_or_else(|| invalid_grant("the device code is not known"))?;
        if login.state == State::Used {
            return Err(invalid_grant("the device code was used before"));
        }
        if !is_valid(login.started_at, login.lifetime, now) {
            return Err(("expired_token", "the device code has expired".to_owned()));
        }
        let is_too_soon = login.polled_at.is_some_and(|at| is_valid(at, login.interval, now));
        login.polled_at = Some(now);
        if is_too_soon {
            login.interval += INTERVAL;
            let seconds = login.interval.as_secs();
            return Err(("slow_down", format!("{seconds} s must lie between two requests from now on")));
        }
        match login.state {
            State::Pending => Err(("authorization_pending", "the person has not decided yet".to_owned())),
            State::Denied => Err(("access_denied", "the person denied the request".to_owned())),
            State::Allowed | State::Used => {
                login.state = State::Used;
                Ok(login.authorization.clone())
            }
        }
    }
}

impl Inner {
    /// Finds the login of a user code. Case, spaces and punctuation do not matter (RFC 8628, section 6.1).
    fn pending(&mut self, user_code: &str, now: SystemTime) -> Option<&mut Login> {
        let letters = |code: &str| {
            code.chars()
                .filter(char::is_ascii_alphanumeric)
                .map(|c| c.to_ascii_uppercase())
                .collect::<String>()
        };
        let entered = letters(user_code);
        self.logins.values_mut().find(|login| {
            letters(&login.user_code) == entered
                && login.state == State::Pending
                && is_valid(login.started_at, login.lifetime, now)
        })
    }
}

/// Returns eight random letters in two groups, which people can read easily.
fn user_code() -> String {
    let letter = |_| char::from(LETTERS[random::below(LETTERS.len())]);
    let mut code: String = (0..8).map(letter).collect();
    code.insert(4, '-');
    code
}
