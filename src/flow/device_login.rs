//! [`DeviceLogin`]: one device login, from its codes to its tokens (RFC 8628 3.4, 3.5).

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::device_answer::DeviceAnswer;
use super::extension_grant::{Exchange, ExtensionGrant};
use super::pending_login::{Keep, LoginFlow};
use crate::clock::Deadline;
use crate::error::{Advice, Error, ErrorKind};
use crate::text::Seconds;
use crate::token::Token;
use crate::transport::endpoint::Origin;
use crate::transport::retry::Repeat;

/// The parameter that this flow itself sends, in addition to those of every token request.
pub(super) const RESERVED: [&str; 1] = ["device_code"];

/// The time that each `slow_down` adds to all later pauses (RFC 8628 3.5).
const SLOWER: Duration = Duration::from_secs(5);

/// The longest pause after failures in a row, unless the server asks for a longer one.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// A login that a person has to finish on another device.
pub(super) struct DeviceLogin {
    grant: ExtensionGrant,
    /// The authorization server, for errors.
    server: Origin,
    answer: DeviceAnswer,
    expires_at: SystemTime,
    /// The time at which the codes expire, which does not depend on the machine's clock.
    expiry: Deadline,
    polls: Mutex<Polls>,
}

/// The requests of a login so far.
struct Polls {
    interval: Duration,
    /// The number of requests in a row that failed (a lost connection, 429, 5xx).
    failures: u32,
    /// The time from the start to the next allowed request. `None` before the first request.
    due: Option<Duration>,
    /// The failure of the last request, if it failed.
    failure: Option<Error>,
    /// A failure with the answers that could not be used so far. One of them may hold the tokens, which the server gives only once.
    unusable: Option<Error>,
    /// The error that each later call returns. `None` until the login has ended.
    ended: Option<Error>,
}

impl Polls {
    /// Returns the pause after a request with this outcome. `None` if the outcome ends the login.
    fn wait_after(&mut self, error: &Error) -> Option<Duration> {
        match error.oauth_error() {
            Some("authorization_pending") => self.failures = 0,
            Some("slow_down") => {
                self.failures = 0;
                self.interval = self.interval.saturating_add(SLOWER);
            }
            _ if error.is_transient() => self.failures += 1,
            _ => return None,
        }
        // RFC 8628 3.5: the pause doubles with each failure.
        let backoff = self.interval.saturating_mul(1 << self.failures.min(10)).min(LONGEST_BACKOFF);
        Some(backoff.max(self.interval).max(error.retry_after().unwrap_or_default()))
    }
}

/// Adds the answers that could not be used to an error, so that they are not lost when the login ends.
fn with_answers(error: Error, unusable: Option<&Error>) -> Error {
    match unusable {
        Some(unusable) => error.with_answers_of(unusable),
        None => error,
    }
}

impl DeviceLogin {
    pub(super) fn new(grant: ExtensionGrant, server: Origin, answer: DeviceAnswer, now: SystemTime) -> Self {
        let expires_at = now.checked_add(answer.expires_in).unwrap_or(now);
        let expiry = Deadline::after(answer.expires_in);
        let interval = answer.interval;
        let polls = Polls { interval, failures: 0, due: None, failure: None, unusable: None, ended: None };
        Self { grant, server, answer, expires_at, expiry, polls: Mutex::new(polls) }
    }

    /// The token request (RFC 8628 3.4).
    fn ask(&self, keep: &Keep<'_>) -> Result<Token, Error> {
        let exchange = Exchange {
            doing: "get the token of the login from",
            // The flow itself decides when the next request is sent. The server gives the tokens only once.
            repeat: Repeat::Unsent,
            comes_once: true,
            advice: Advice::LogIn,
            own: &[("device_code", self.answer.device_code.expose())],
            reserved: &RESERVED,
        };
        let outcome = keep(&mut |transport| self.grant.exchange(transport, &exchange));
        outcome.map_err(|error| match error.oauth_error() {
            Some("access_denied") => {
                error.with_kind(ErrorKind::LoginRequired).with_advice(Advice::LogInAndAllow)
            }
            Some("expired_token") => error.with_kind(ErrorKind::LoginRequired),
            _ => error,
        })
    }

    fn expired(&self) -> Error {
        self.error(ErrorKind::LoginRequired, "nobody logged in before the code expired", Advice::LogIn)
    }

    fn error(&self, kind: ErrorKind, what: impl Into<Cow<'static, str>>, advice: Advice) -> Error {
        Error::of(kind, what).with_task("log in at", self.server.to_string()).with_advice(advice)
    }
}

impl LoginFlow for DeviceLogin {
    fn grant(&self) -> &ExtensionGrant {
        &self.grant
    }

    fn device(&self) -> Option<(&str, &str, SystemTime)> {
        Some((&self.answer.user_code, &self.answer.verification_uri, self.expires_at))
    }

    fn poll(&self, keep: &Keep<'_>) -> Result<Option<Token>, Error> {
        let mut polls = self.polls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = &polls.ended {
            return Err(error.clone());
        }
        let outcome = match polls.due {
            _ if self.expiry.has_passed() => Err(self.expired()),
            Some(due) if self.expiry.elapsed() < due => return Ok(None),
            _ => self.ask(keep),
        };
        let error = match outcome {
            Ok(token) => {
                polls.ended = Some(Error::invalid("the login has ended: an earlier call returned its token"));
                return Ok(Some(token));
            }
            Err(error) => with_answers(error, polls.unusable.as_ref()),
        };
        if error.holds_answer() {
            polls.unusable = Some(error.clone());
        }
        let Some(wait) = polls.wait_after(&error) else {
            polls.ended = Some(error.clone());
            return Err(error);
        };
        polls.due = Some(self.expiry.elapsed().saturating_add(wait));
        polls.failure = (polls.failures > 0).then_some(error);
        Ok(None)
    }

    fn wait(&mut self, within: Duration, keep: &Keep<'_>) -> Result<Token, Error> {
        let deadline = Deadline::after(within);
        loop {
            let polls = self.polls.get_mut().unwrap_or_else(PoisonError::into_inner);
            if let Some(error) = &polls.ended {
                return Err(error.clone());
            }
            // No person has logged in yet, so the first request comes after a pause too.
            let due = polls.due.unwrap_or(polls.interval);
            let pause = due.saturating_sub(self.expiry.elapsed());
            let (failure, unusable) = (polls.failure.clone(), polls.unusable.clone());
            if pause >= self.expiry.remaining() {
                let error = failure.unwrap_or_else(|| self.expired());
                return Err(with_answers(error, unusable.as_ref()));
            }
            if !deadline.sleep(pause) {
                let what = format!("nobody logged in within {} s", Seconds(within));
                let error = failure
                    .unwrap_or_else(|| self.error(ErrorKind::Timeout, what, Advice::FollowLoginUrlInTime));
                return Err(with_answers(error, unusable.as_ref()));
            }
            if let Some(token) = self.poll(keep)? {
                return Ok(token);
            }
        }
    }
}
