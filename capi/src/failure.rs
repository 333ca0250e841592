//! What a function answers with when it does not succeed.

use std::time::Duration;

use keyfob::ErrorKind;

/// What became of a call. Numbers are only ever appended: 0 is success, and a program must take any other number, known
/// to it or not, for a failure.
#[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "as C knows them")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum keyfob_status {
    /// Done.
    KEYFOB_OK = 0,
    /// A value was refused before anything was sent: empty, longer than 16 KiB, not UTF-8, with a control character (NUL
    /// too), a URL that is not https (http on loopback), or a call that makes no sense for this handle.
    KEYFOB_INVALID_INPUT = 1,
    /// There is nothing to sign in with.
    KEYFOB_NO_CREDENTIALS = 2,
    /// A person has to log in, or to log in again: nobody has, the login was revoked, or it has expired for good.
    KEYFOB_LOGIN_REQUIRED = 3,
    /// The server said no, or that it failed: with an `http_status` from 500 on it is worth another try later.
    KEYFOB_REFUSED = 4,
    /// The server's answer makes no sense.
    KEYFOB_PROTOCOL = 5,
    /// No connection, or it was cut off.
    KEYFOB_NETWORK = 6,
    /// The deadline passed.
    KEYFOB_TIMEOUT = 7,
    /// The server's certificate is not valid at this machine's time: set the clock.
    KEYFOB_CLOCK = 8,
    /// The server asked to slow down (HTTP 429) for longer than the deadline allows: see `retry_after_ms`.
    KEYFOB_RATE_LIMITED = 9,
    /// A file could not be read, written or locked, or the system gave no random bytes.
    KEYFOB_STORE = 10,
    /// An API call was answered with 4xx or 5xx: see `http_status`. For 429 it is `KEYFOB_RATE_LIMITED`.
    KEYFOB_API_STATUS = 11,
    /// A pointer that is needed is NULL.
    KEYFOB_NULL_POINTER = 12,
    /// The caller's buffer is too small. The needed size has been written to the length.
    KEYFOB_BUFFER_TOO_SMALL = 13,
    /// The caller's callback asked to stop.
    KEYFOB_STOPPED = 14,
    /// The handle was made before a fork, and this is the child: free it, and make another one.
    KEYFOB_FORKED = 15,
    /// A bug in keyfob, caught before it could harm the program. Please report it, with the text on standard error.
    KEYFOB_PANIC = 16,
}

use keyfob_status::{
    KEYFOB_API_STATUS, KEYFOB_BUFFER_TOO_SMALL, KEYFOB_CLOCK, KEYFOB_FORKED, KEYFOB_INVALID_INPUT,
    KEYFOB_LOGIN_REQUIRED, KEYFOB_NETWORK, KEYFOB_NO_CREDENTIALS, KEYFOB_NULL_POINTER, KEYFOB_OK,
    KEYFOB_PANIC, KEYFOB_PROTOCOL, KEYFOB_RATE_LIMITED, KEYFOB_REFUSED, KEYFOB_STOPPED, KEYFOB_STORE,
    KEYFOB_TIMEOUT,
};

/// A status, and the details of an error.
#[derive(Debug)]
pub struct Failure {
    pub status: keyfob_status,
    pub text: String,
    pub http_status: Option<u16>,
    pub oauth_error: Option<String>,
    pub retry_after: Option<Duration>,
}

impl Failure {
    pub fn new(status: keyfob_status, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), http_status: None, oauth_error: None, retry_after: None }
    }

    pub fn invalid(text: impl Into<String>) -> Self {
        Self::new(KEYFOB_INVALID_INPUT, text)
    }
}

impl From<keyfob::Error> for Failure {
    fn from(error: keyfob::Error) -> Self {
        Self {
            status: status_of(error.kind()),
            text: error.to_string(),
            http_status: error.status(),
            oauth_error: error.oauth_error().map(str::to_owned),
            retry_after: error.retry_after(),
        }
    }
}

fn status_of(kind: ErrorKind) -> keyfob_status {
    match kind {
        ErrorKind::InvalidInput => KEYFOB_INVALID_INPUT,
        ErrorKind::NoCredentials => KEYFOB_NO_CREDENTIALS,
        ErrorKind::LoginRequired => KEYFOB_LOGIN_REQUIRED,
        ErrorKind::Refused => KEYFOB_REFUSED,
        ErrorKind::Network => KEYFOB_NETWORK,
        ErrorKind::Timeout => KEYFOB_TIMEOUT,
        ErrorKind::Clock => KEYFOB_CLOCK,
        ErrorKind::RateLimited => KEYFOB_RATE_LIMITED,
        ErrorKind::Store => KEYFOB_STORE,
        ErrorKind::ApiStatus => KEYFOB_API_STATUS,
        // And any kind to come, until it has a number of its own.
        _ => KEYFOB_PROTOCOL,
    }
}

/// Its name, as in the header.
pub fn name(status: i32) -> &'static std::ffi::CStr {
    const NAMES: [(keyfob_status, &std::ffi::CStr); 17] = [
        (KEYFOB_OK, c"KEYFOB_OK"),
        (KEYFOB_INVALID_INPUT, c"KEYFOB_INVALID_INPUT"),
        (KEYFOB_NO_CREDENTIALS, c"KEYFOB_NO_CREDENTIALS"),
        (KEYFOB_LOGIN_REQUIRED, c"KEYFOB_LOGIN_REQUIRED"),
        (KEYFOB_REFUSED, c"KEYFOB_REFUSED"),
        (KEYFOB_PROTOCOL, c"KEYFOB_PROTOCOL"),
        (KEYFOB_NETWORK, c"KEYFOB_NETWORK"),
        (KEYFOB_TIMEOUT, c"KEYFOB_TIMEOUT"),
        (KEYFOB_CLOCK, c"KEYFOB_CLOCK"),
        (KEYFOB_RATE_LIMITED, c"KEYFOB_RATE_LIMITED"),
        (KEYFOB_STORE, c"KEYFOB_STORE"),
        (KEYFOB_API_STATUS, c"KEYFOB_API_STATUS"),
        (KEYFOB_NULL_POINTER, c"KEYFOB_NULL_POINTER"),
        (KEYFOB_BUFFER_TOO_SMALL, c"KEYFOB_BUFFER_TOO_SMALL"),
        (KEYFOB_STOPPED, c"KEYFOB_STOPPED"),
        (KEYFOB_FORKED, c"KEYFOB_FORKED"),
        (KEYFOB_PANIC, c"KEYFOB_PANIC"),
    ];
    NAMES.into_iter().find(|(known, _)| *known as i32 == status).map_or(c"unknown status", |(_, name)| name)
}
