//! [`Error`]: what happened, what to do next, and never a secret.

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use crate::Secret;

/// What went wrong, in the terms a caller acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A value was refused before anything was sent: a control character, a URL that is not https, a short key.
    InvalidInput,
    /// There is nothing to sign in with.
    NoCredentials,
    /// A person has to log in (again): `invalid_grant`, revoked, or expired for good.
    LoginRequired,
    /// The server said no, or that it failed: with a [`status`](Error::status) from 500 on it is worth another try later.
    Refused,
    /// The server's answer makes no sense.
    Protocol,
    /// No connection, or it was cut off.
    Network,
    /// The deadline passed.
    Timeout,
    /// The server's certificate is not valid at this machine's time.
    Clock,
    /// The server asked to slow down (HTTP 429) for longer than the deadline allows.
    RateLimited,
    /// A file could not be read, written or locked, or the system gave no random bytes.
    Store,
    /// An API call was answered with a 4xx or 5xx status.
    ApiStatus,
}

impl ErrorKind {
    /// The exit status that the `keyfob` command ends with.
    ///
    /// ```
    /// assert_eq!(keyfob::ErrorKind::Network.exit_status(), 5);
    /// ```
    pub const fn exit_status(self) -> u8 {
        match self {
            Self::InvalidInput => 2,
            Self::NoCredentials | Self::LoginRequired => 3,
            Self::Refused | Self::Protocol => 4,
            Self::Network | Self::Timeout | Self::Clock => 5,
            Self::RateLimited => 6,
            Self::Store => 7,
            Self::ApiStatus => 8,
        }
    }
}

/// Why a call failed.
///
/// The text says what was being done, with which host, what came back and what to do next. It never holds a
/// secret, a path or query of a URL, or the text of another library. One word in size, cheap to clone.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    text: String,
    status: Option<u16>,
    oauth_error: Option<String>,
    retry_after: Option<Duration>,
    unsaved: Option<Secret>,
    source: Option<io::Error>,
}

impl Error {
    /// For a [`Grant`](crate::flow::Grant), a [`TokenSource`](crate::TokenSource) or a [`TokenStore`](crate::TokenStore) of your own.
    ///
    /// The text is shown as it is: one line that says what could not be done, why, and what to do next, without secrets.
    ///
    /// ```
    /// use keyfob::{Error, ErrorKind};
    /// let error = Error::new(ErrorKind::Store, "could not save the tokens in the database: it is locked; try again");
    /// assert_eq!(error.kind(), ErrorKind::Store);
    /// ```
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self(Arc::new(Inner {
            kind,
            text: text.into(),
            status: None,
            oauth_error: None,
            retry_after: None,
            unsaved: None,
            source: None,
        }))
    }

    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, text)
    }

    /// A failure of the file system. Only the operating system's code is kept: other texts may hold anything.
    pub(crate) fn store(text: impl Into<String>, cause: &io::Error) -> Self {
        Self::new(ErrorKind::Store, text).with_source(cause)
    }

    fn set(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        // Errors are completed where they are made, before anyone can share them.
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            change(inner);
        }
        self
    }

    pub(crate) fn with_status(self, status: u16) -> Self {
        self.set(|inner| inner.status = Some(status))
    }

    pub(crate) fn with_oauth_error(self, code: Option<String>) -> Self {
        self.set(|inner| inner.oauth_error = code)
    }

    pub(crate) fn with_retry_after(self, wait: Option<Duration>) -> Self {
        self.set(|inner| inner.retry_after = wait)
    }

    pub(crate) fn with_unsaved(self, answer: Secret) -> Self {
        self.set(|inner| inner.unsaved = Some(answer))
    }

    pub(crate) fn with_source(self, cause: &io::Error) -> Self {
        let cause = cause.raw_os_error().map_or_else(|| cause.kind().into(), io::Error::from_raw_os_error);
        self.set(|inner| inner.source = Some(cause))
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The HTTP status, where the server answered with one.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// The server's own error code, such as `invalid_client` (RFC 6749 5.2), where it sent one.
    pub fn oauth_error(&self) -> Option<&str> {
        self.0.oauth_error.as_deref()
    }

    /// How long the server asked to wait (RFC 9110 10.2.3), where it did.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// An answer that could not be saved and that the server will not give again: new app credentials.
    ///
    /// Keep it somewhere before dropping the error.
    pub fn unsaved(&self) -> Option<&Secret> {
        self.0.unsaved.as_ref()
    }

    /// Whether a person has to log in before trying again.
    pub fn is_login_required(&self) -> bool {
        matches!(self.kind(), ErrorKind::NoCredentials | ErrorKind::LoginRequired)
    }

    /// Whether the same call may succeed later without a change: network, time-out, rate limit or HTTP 5xx.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind(), ErrorKind::Network | ErrorKind::Timeout | ErrorKind::RateLimited)
            || self.status().is_some_and(|status| status >= 500)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("text", &self.0.text)
            .field("status", &self.0.status)
            .field("oauth_error", &self.0.oauth_error)
            .field("retry_after", &self.0.retry_after)
            .field("source", &self.0.source)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|e| e as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn one_word() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn a_cause_is_kept_without_its_text() {
        let cause = io::Error::other("https://host/revoke?token=s3cr3t");
        let error = Error::store("could not save", &cause);
        let shown = format!("{error} {error:?} {:?}", error.source().map(ToString::to_string));
        assert!(!shown.contains("s3cr3t"), "{shown}");
    }

    #[test]
    fn debug_does_not_show_the_unsaved_answer() {
        let error = Error::new(ErrorKind::Store, "disk full").with_unsaved(Secret::from("s3cr3t"));
        assert!(!format!("{error:?}").contains("s3cr3t"));
        assert_eq!(error.unsaved().unwrap().expose(), b"s3cr3t");
    }

    #[test]
    fn predicates_say_what_may_help() {
        use ErrorKind as K;
        let of = |kind, status| {
            let error = Error::new(kind, "no").with_status(status);
            (error.is_login_required(), error.is_transient())
        };
        for kind in [K::NoCredentials, K::LoginRequired] {
            assert_eq!(of(kind, 400), (true, false), "a person: {kind:?}");
        }
        for kind in [K::Network, K::Timeout, K::RateLimited] {
            assert_eq!(of(kind, 429), (false, true), "time: {kind:?}");
        }
        for kind in [K::Refused, K::ApiStatus] {
            assert_eq!((of(kind, 499), of(kind, 500)), ((false, false), (false, true)), "{kind:?}");
        }
        for kind in [K::InvalidInput, K::Protocol, K::Clock, K::Store] {
            assert_eq!(of(kind, 200), (false, false), "{kind:?}");
        }
    }

    #[test]
    fn exit_statuses_are_the_documented_ones() {
        use ErrorKind as K;
        let table = [
            (2, &[K::InvalidInput][..]),
            (3, &[K::NoCredentials, K::LoginRequired]),
            (4, &[K::Refused, K::Protocol]),
            (5, &[K::Network, K::Timeout, K::Clock]),
            (6, &[K::RateLimited]),
            (7, &[K::Store]),
            (8, &[K::ApiStatus]),
        ];
        for (status, kinds) in table {
            for kind in kinds {
                assert_eq!(kind.exit_status(), status, "{kind:?}");
            }
        }
    }
}
