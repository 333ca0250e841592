//! [`Token`]: an access token, its refresh token and its expiry.

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use ureq::http::HeaderValue;
use ureq::http::header::InvalidHeaderValue;

use crate::check;
use crate::clock::{Clock, in_seconds};
use crate::error::Error;
use crate::secret::Known;
use crate::secret::Secret;

/// An access token, with the refresh token, expiry and scope that a server issued with it (RFC 6749 5.1).
///
/// Immutable; sources share it as `Arc<Token>`. The secrets in it are wiped on drop and not shown by `Debug`.
#[derive(Clone)]
#[allow(clippy::struct_field_names, reason = "RFC 6749 5.1 calls them so")]
pub struct Token {
    access_token: Known,
    refresh_token: Option<Known>,
    expires_at: Option<SystemTime>,
    obtained_at: SystemTime,
    scope: Option<String>,
    /// The value that agents send. Made once, because checking and copying it takes a fortieth of a call.
    header: OnceLock<HeaderValue>,
}

impl Token {
    /// Makes a token of unknown lifetime, which is used until a server refuses it.
    ///
    /// `obtained_at` is the time at which the server issued it, or else the current time.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the token is empty, longer than 16 KiB, or holds a character that is
    /// not visible ASCII (RFC 6750 2.1): no `Authorization` header can carry it.
    pub fn new(access_token: impl Into<Secret>, obtained_at: SystemTime) -> Result<Self, Error> {
        let access_token = access_token.into();
        check::value("access token", access_token.expose())?;
        if !access_token.expose().iter().all(u8::is_ascii_graphic) {
            return Err(Error::invalid(
                "the access token holds characters that no header can carry (RFC 6750 2.1)",
            ));
        }
        let access_token = Known::new(access_token);
        Ok(Self {
            access_token,
            refresh_token: None,
            expires_at: None,
            obtained_at,
            scope: None,
            header: OnceLock::new(),
        })
    }

    /// Sets the expiry of the access token. Default: unknown.
    ///
    /// A time past the year 9999 is read as milliseconds, microseconds or nanoseconds. It counts as unknown if it is past the year
    /// 2200, or before 2001, in each of these units.
    #[must_use]
    pub fn with_expires_at(mut self, expires_at: SystemTime) -> Self {
        self.expires_at = in_seconds(expires_at);
        self
    }

    /// Sets the refresh token. Default: none.
    #[must_use]
    pub fn with_refresh_token(mut self, refresh_token: impl Into<Secret>) -> Self {
        self.refresh_token = Some(Known::new(refresh_token));
        self
    }

    /// Sets the scope, as a space-separated list. Default: none.
    #[must_use]
    pub fn with_scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// Returns the access token: visible ASCII.
    pub fn access_token(&self) -> &Secret {
        &self.access_token
    }

    /// Returns the value of the `Authorization` header: `Bearer` and the access token (RFC 6750 2.1).
    pub fn authorization(&self) -> Secret {
        const SCHEME: &[u8] = b"Bearer ";
        let mut value = Secret::with_capacity(SCHEME.len() + self.access_token.len());
        value.extend(SCHEME);
        value.extend(self.access_token.expose());
        value
    }

    /// Returns the value of the `Authorization` header in the form that ureq sends, which nobody wipes.
    pub(crate) fn header(&self) -> Result<HeaderValue, InvalidHeaderValue> {
        if let Some(header) = self.header.get() {
            return Ok(header.clone());
        }
        let mut header = HeaderValue::try_from(self.authorization().into_bytes())?;
        header.set_sensitive(true);
        Ok(self.header.get_or_init(|| header).clone())
    }

    /// Returns the refresh token, if the server issued one.
    pub fn refresh_token(&self) -> Option<&Secret> {
        self.refresh_token.as_deref()
    }

    /// Returns the expiry of the access token, by the server's clock. `None`: unknown, the token is used until it is refused.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }

    /// Returns the time at which the token was requested, by the server's clock.
    pub fn obtained_at(&self) -> SystemTime {
        self.obtained_at
    }

    /// Returns the scope that the server granted, if it named it: at most 16 KiB of whole items.
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// Returns the time from `now` to the expiry: `Duration::MAX` if that is unknown, zero if the token has expired.
    pub fn remaining(&self, now: SystemTime) -> Duration {
        self.expires_at.map_or(Duration::MAX, |at| at.duration_since(now).unwrap_or_default())
    }

    /// Returns whether the token is valid at `now` and for at least `min_valid` after that.
    pub fn is_valid_for(&self, min_valid: Duration, now: SystemTime) -> bool {
        let remaining = self.remaining(now);
        !remaining.is_zero() && remaining >= min_valid
    }

    /// Returns the time that is compared with the expiry of this token. `then` is the offset of the clock when the token was issued. See
    /// [`Clock::judging`].
    pub(crate) fn judged_at(&self, clock: &Clock, then: i64) -> SystemTime {
        clock.judging(self.obtained_at, self.expires_at, then)
    }

    /// Whether both have the same access token.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.access_token.expose() == other.access_token.expose()
    }

    /// Whether both have the same refresh token, or else the same access token: one may be a renewal of the other.
    pub(crate) fn is_same_login(&self, other: &Self) -> bool {
        match (&self.refresh_token, &other.refresh_token) {
            (Some(this), Some(other)) => this.expose() == other.expose(),
            _ => self.is_same(other),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("access_token", &self.access_token)
            .field("refresh_token", &self.refresh_token)
            .field("expires_at", &self.expires_at)
            .field("obtained_at", &self.obtained_at)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_unix_seconds;
    use crate::seeded::{Seeded, runs};

    const EPOCH: SystemTime = SystemTime::UNIX_EPOCH;

    fn token() -> Token {
        Token::new("abc", EPOCH).unwrap()
    }

    #[test]
    fn token_is_valid_until_the_nanosecond_before_its_expiry() {
        let at = EPOCH + Duration::from_secs(100);
        let ns = Duration::from_nanos(1);
        let token = token().with_expires_at(at);
        for (min_valid, now, valid) in [
            (Duration::ZERO, at - ns, true),
            (Duration::ZERO, at, false),
            (Duration::ZERO, at + ns, false),
            (Duration::from_secs(60), at - Duration::from_secs(60), true),
            (Duration::from_secs(60), at - Duration::from_secs(60) + ns, false),
            (Duration::from_secs(60), at - Duration::from_secs(60) - ns, true),
        ] {
            assert_eq!(token.is_valid_for(min_valid, now), valid, "{min_valid:?} {now:?}");
        }
    }

    /// For all of `u64`, and for clocks before 1970: compared with integers that cannot overflow.
    #[test]
    fn validity_is_exact_for_all_times() {
        let mut seeded = Seeded::new(4);
        let time = |seeded: &mut Seeded| {
            let seconds = seeded.any_seconds();
            let nanos = u32::try_from(seeded.below(1_000_000_000)).unwrap();
            let time = from_unix_seconds(seconds).checked_add(Duration::from_nanos(nanos.into()));
            (time.unwrap(), i128::from(seconds) * 1_000_000_000 + i128::from(nanos))
        };
        for _ in 0..runs(50_000) {
            let (expires_at, end) = time(&mut seeded);
            if in_seconds(expires_at) != Some(expires_at) {
                continue;
            }
            // Near the expiry, or anywhere.
            let (now, at) = match seeded.below(3) {
                0 => time(&mut seeded),
                1 => (expires_at, end),
                _ => {
                    let before = seeded.any_number();
                    match expires_at.checked_sub(Duration::from_nanos(before)) {
                        Some(now) => (now, end - i128::from(before)),
                        None => continue,
                    }
                }
            };
            let left = u128::try_from(end - at).unwrap_or(0);
            let min_valid = match seeded.below(3) {
                0 => Duration::from_secs(seeded.any_number()),
                1 => Duration::from_nanos(seeded.any_number()),
                _ => Duration::from_nanos(
                    u64::try_from(left).unwrap_or(u64::MAX).saturating_add(seeded.number() % 2),
                ),
            };
            let token = token().with_expires_at(expires_at);
            assert_eq!(token.remaining(now).as_nanos(), left, "{end} at {at}");
            let valid = left > 0 && left >= min_valid.as_nanos();
            assert_eq!(token.is_valid_for(min_valid, now), valid, "{end} at {at} for {min_valid:?}");
        }
    }

    #[test]
    fn expiry_past_the_year_9999_is_in_another_unit_or_unknown() {
        for (seconds, expected) in [
            (1_760_000_000, Some(1_760_000_000)),
            (253_402_300_799, Some(253_402_300_799)),
            (253_402_300_800, None),
            (999_999_999_999, None),
            (1_000_000_000_000, Some(1_000_000_000)),
            (1_760_000_000_000, Some(1_760_000_000)),
            (1_760_000_000_000_000, Some(1_760_000_000)),
            (1_760_000_000_000_000_000, Some(1_760_000_000)),
            (7_258_118_400_000, Some(7_258_118_400)),
            (7_258_118_401_000, None),
            (253_402_300_799_000, None),
            // Ticks of Windows and of .NET, of October 2025.
            (134_044_736_000_000_000, None),
            (638_956_932_000_000_000, None),
            (-1_760_000_000_000, Some(-1_760_000_000_000)),
        ] {
            let token = token().with_expires_at(from_unix_seconds(seconds));
            assert_eq!(token.expires_at().map(crate::clock::unix_seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn token_of_unknown_lifetime_is_valid_until_refused() {
        assert!(token().is_valid_for(Duration::from_secs(u64::MAX), EPOCH));
    }

    #[test]
    fn access_token_that_no_header_can_carry_is_refused() {
        for bad in ["", "a b", "a\nb", "ü", "a\u{7f}"] {
            assert!(Token::new(bad, EPOCH).is_err(), "{bad:?}");
        }
        assert_eq!(
            Token::new("a b", EPOCH).unwrap_err().to_string(),
            "the access token holds characters that no header can carry (RFC 6750 2.1)"
        );
    }

    #[test]
    fn debug_of_a_token_shows_no_secret() {
        let shown = format!("{:?}", token().with_refresh_token("s3cr3t").with_scope("a b"));
        assert_eq!(
            shown,
            "Token { access_token: Secret(***), refresh_token: Some(Secret(***)), expires_at: None, \
             obtained_at: SystemTime { tv_sec: 0, tv_nsec: 0 }, scope: Some(\"a b\"), .. }"
        );
    }
}
