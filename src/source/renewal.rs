//! The renewal policy: when a token is renewed, how long that may take, and what follows from a failure. Pure functions.

use std::time::{Duration, SystemTime};

use crate::error::ErrorKind;
use crate::token::Token;

/// The longest default margin.
const DEFAULT_MARGIN: Duration = Duration::from_secs(60);

/// The shortest pause after a failed early renewal.
const PAUSE: Duration = Duration::from_secs(10);

/// How long before its expiry a token is renewed.
#[derive(Clone, Copy)]
pub(super) struct Schedule {
    /// `None`: the default.
    pub(super) margin: Option<Duration>,
    /// The part of the margin that is used: 0.9 to 1.
    pub(super) jitter: f64,
}

impl Schedule {
    /// The margin of a token with this lifetime, without jitter. Half of the lifetime at most: a longer margin would make
    /// each new token due at once.
    fn margin(self, lifetime: Duration) -> Duration {
        match self.margin {
            Some(margin) => margin.min(lifetime / 2),
            None => (lifetime / 5).min(DEFAULT_MARGIN),
        }
    }

    /// When the token is due for renewal. `None` if its lifetime is unknown.
    pub(super) fn due_at(self, token: &Token) -> Option<SystemTime> {
        let at = token.expires_at()?;
        let lifetime = at.duration_since(token.obtained_at()).unwrap_or_default();
        at.checked_sub(self.margin(lifetime).mul_f64(self.jitter))
    }
}

/// The requirements of a caller on a token.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) min_valid: Duration,
    /// The token to replace, whether it is valid or not.
    pub(super) other_than: Option<&'a Token>,
}

impl Wanted<'_> {
    pub(super) fn living(min_valid: Duration) -> Self {
        Self { min_valid, other_than: None }
    }

    pub(super) fn is_met_by(self, token: &Token, now: SystemTime) -> bool {
        token.is_valid_for(self.min_valid, now) && !self.other_than.is_some_and(|other| other.is_same(token))
    }
}

/// Whether the callers still have a valid token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// The current token is still valid.
    Early,
    /// A caller waits for the new token.
    Needed,
}

/// How much of a caller's time an early renewal may take. The current token is still valid, so a server that hangs may take only a part of
/// it. An exchange that cannot be repeated may take all of it.
pub(super) fn early_share(within: Duration, is_repeatable: bool) -> Duration {
    if is_repeatable { within / 3 } else { within }
}

/// How long no early renewal is tried after a failure. Not shorter than the server's own `Retry-After`.
pub(super) fn pause_after(retry_after: Option<Duration>) -> Duration {
    retry_after.map_or(PAUSE, |wait| wait.max(PAUSE))
}

/// Whether a caller that waited for a failed attempt returns the error of that attempt. `had` is the time that the attempt had, `left` the time that the caller
/// has left. A caller with more time does not share a time-out.
pub(super) fn is_shared(kind: ErrorKind, had: Duration, left: Duration) -> bool {
    kind != ErrorKind::Timeout || left <= had
}

#[cfg(test)]
#[allow(clippy::unchecked_time_subtraction, reason = "of constants")]
mod tests {
    use super::*;
    use crate::clock::from_unix_seconds;
    use crate::seeded::{Seeded, runs};

    const NS: Duration = Duration::from_nanos(1);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn margin_fits_the_lifetime() {
        for (set, lifetime, margin) in [
            (None, 5, seconds(1)),
            (None, 100, seconds(20)),
            (None, 300, seconds(60)),
            (None, 3_600, seconds(60)),
            (Some(0), 3_600, seconds(0)),
            (Some(300), 3_600, seconds(300)),
            // Half of the lifetime at most.
            (Some(300), 600, seconds(300)),
            (Some(300), 5, Duration::from_millis(2_500)),
            (Some(300), 0, seconds(0)),
        ] {
            for jitter in [1.0, 0.9] {
                let schedule = Schedule { margin: set.map(seconds), jitter };
                let token = Token::new("abc", SystemTime::UNIX_EPOCH).unwrap();
                assert_eq!(schedule.due_at(&token), None, "unknown lifetime");
                let expires_at = SystemTime::UNIX_EPOCH + seconds(lifetime);
                let due_at = schedule.due_at(&token.with_expires_at(expires_at)).unwrap();
                assert_eq!(due_at, expires_at - margin.mul_f64(jitter), "{set:?} {lifetime} {jitter}");
            }
        }
    }

    /// For all of `u64`, and for clocks before 1970.
    #[test]
    fn default_margin_is_kept_for_all_lifetimes_and_clocks() {
        let mut seeded = Seeded::new(5);
        for _ in 0..runs(20_000) {
            let schedule = Schedule { margin: None, jitter: [0.9, 1.0, 0.95][seeded.below(3)] };
            let obtained_at = from_unix_seconds(seeded.any_seconds());
            let lifetime =
                Duration::new(seeded.any_number(), u32::try_from(seeded.below(1_000_000_000)).unwrap());
            let Some(expires_at) = obtained_at.checked_add(lifetime) else { continue };
            let token = Token::new("abc", obtained_at).unwrap().with_expires_at(expires_at);
            if token.expires_at() != Some(expires_at) {
                continue;
            }
            let due_at = schedule.due_at(&token).expect("within its life");
            let early = expires_at.duration_since(due_at).expect("not after its end");
            assert!(
                due_at >= obtained_at && early <= Duration::from_secs(60),
                "{token:?} is due at {due_at:?}"
            );
            let whole = (lifetime / 5).min(Duration::from_secs(60));
            assert!(early <= whole && early + NS >= whole.mul_f64(0.9), "{early:?} of {whole:?}");
        }
    }

    #[test]
    fn early_renewal_has_a_third_of_the_time_if_it_can_be_repeated() {
        assert_eq!(early_share(seconds(30), true), seconds(10));
        assert_eq!(early_share(seconds(30), false), seconds(30));
    }

    #[test]
    fn pause_after_a_failure_is_ten_seconds_or_what_the_server_asked_for() {
        for (asked, pause) in [(None, 10), (Some(1), 10), (Some(60), 60), (Some(3_600), 3_600)] {
            assert_eq!(pause_after(asked.map(seconds)), seconds(pause), "{asked:?}");
        }
    }

    #[test]
    fn failure_is_shared_unless_it_is_a_timeout_and_the_waiter_has_more_time() {
        for (kind, had, left, shared) in [
            (ErrorKind::Refused, 1, 100, true),
            (ErrorKind::Network, 1, 100, true),
            (ErrorKind::Timeout, 5, 4, true),
            (ErrorKind::Timeout, 5, 5, true),
            (ErrorKind::Timeout, 5, 6, false),
        ] {
            assert_eq!(is_shared(kind, seconds(had), seconds(left)), shared, "{kind:?} {had} {left}");
        }
    }
}
