//! Statuses, and the failure behind each.

use std::time::Duration;

use keyfob::{Advice, ErrorKind};
use keyfob_config::Problem;

/// The result of a call. 0 is success. A program must treat every other number as a failure, even
/// one that it does not know. New numbers may be added, and existing ones never change.
#[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "these are names in C")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum keyfob_status {
    /// Success.
    KEYFOB_OK = 0,
    /// The call was refused, and no credentials or tokens were sent. There are three reasons. A
    /// value is bad: it is empty, longer than 16 KiB or not UTF-8, it holds a control character
    /// such as NUL, or it is a URL that is not https (http is allowed on loopback). Or the function
    /// does not fit this handle. Or neither an option nor the server's metadata names an endpoint
    /// that is needed.
    KEYFOB_INVALID_INPUT = 1,
    /// There are no credentials, or no token to revoke or to ask about.
    KEYFOB_NO_CREDENTIALS = 2,
    /// A person has to log in: nobody has logged in yet, or the login was revoked or has expired.
    KEYFOB_LOGIN_REQUIRED = 3,
    /// The server refused the request or failed. If `http_status` is 500 or more, a later try may
    /// work.
    KEYFOB_REFUSED = 4,
    /// The server's answer cannot be used.
    KEYFOB_PROTOCOL = 5,
    /// There was no connection, or it was cut off.
    KEYFOB_NETWORK = 6,
    /// The deadline passed.
    KEYFOB_TIMEOUT = 7,
    /// The server's certificate is not valid at this machine's time. Set the clock.
    KEYFOB_CLOCK = 8,
    /// The server asked to wait (HTTP 429, or 5xx with a `Retry-After`) for longer than the
    /// deadline allows. See `retry_after_ms`.
    KEYFOB_RATE_LIMITED = 9,
    /// A file could not be read, written or locked, or a command for a secret could not be started.
    KEYFOB_STORE = 10,
    /// An API call was answered with 4xx or 5xx: see `http_status`. If the server also asked to
    /// wait, the status is `KEYFOB_RATE_LIMITED` instead.
    KEYFOB_API_STATUS = 11,
    /// A required pointer is NULL.
    KEYFOB_NULL_POINTER = 12,
    /// The caller's buffer is too small. The needed size was written to the length.
    KEYFOB_BUFFER_TOO_SMALL = 13,
    /// The caller's callback asked to stop.
    KEYFOB_STOPPED = 14,
    /// The handle was made before a fork, and this is the child process. Free it, and make another
    /// one.
    KEYFOB_FORKED = 15,
    /// A bug in keyfob. It was caught before it could harm the program. Please report it, with the
    /// text on standard error.
    KEYFOB_PANIC = 16,
    /// The operating system gave no random bytes.
    KEYFOB_RANDOM = 17,
}

use keyfob_status::{
    KEYFOB_API_STATUS, KEYFOB_BUFFER_TOO_SMALL, KEYFOB_CLOCK, KEYFOB_FORKED, KEYFOB_INVALID_INPUT,
    KEYFOB_LOGIN_REQUIRED, KEYFOB_NETWORK, KEYFOB_NO_CREDENTIALS, KEYFOB_NULL_POINTER, KEYFOB_OK,
    KEYFOB_PANIC, KEYFOB_PROTOCOL, KEYFOB_RANDOM, KEYFOB_RATE_LIMITED, KEYFOB_REFUSED, KEYFOB_STOPPED,
    KEYFOB_STORE, KEYFOB_TIMEOUT,
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
            text: error.text_with(&words),
            http_status: error.status(),
            oauth_error: error.oauth_error().map(str::to_owned),
            retry_after: error.retry_after(),
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Error(error) => error.into(),
            // The system failed while a secret was read.
            other => Self::new(KEYFOB_STORE, other.to_string()),
        }
    }
}

/// Returns an advice in the words of C, which names options. Empty if C has no such option.
fn words(advice: Advice) -> &'static str {
    match advice {
        Advice::WithoutState => "if the server does not send it back, set the option without to state",
        Advice::LogInWithoutPkce => {
            "log in again, with the option without set to pkce if the server does not know the PKCE parameters"
        }
        Advice::LogInWithoutRedirectUri => {
            "log in again, with the option without set to redirect_uri_in_exchange if the server does not know that parameter"
        }
        Advice::LogInWithoutPkceOrRedirectUri => {
            "log in again, with the option without set to pkce or redirect_uri_in_exchange if the server does not know those parameters"
        }
        Advice::CheckClientOrWithoutPkce => {
            "check the client id and the redirect URI, or set the option without to pkce if the server does not know PKCE"
        }
        Advice::SetSpatiaFiCredentials => {
            "set SPATIAFI_CLIENT_ID and SPATIAFI_CLIENT_SECRET, or make app credentials with keyfob_spatiafi_login"
        }
        Advice::LogInAndPasteWhole => {
            "log in again and paste the whole address; if it was whole, the server may not know the PKCE or redirect URI parameters"
        }
        Advice::NameCaFile => {
            "name the CA file of its authority in the option ca_file or in KEYFOB_CA_FILE, or check the proxy"
        }
        Advice::EnableTls => "install a build with TLS",
        Advice::AllowShortKey => "check that it is complete",
        Advice::CheckUrlOrAllowOrigins => "check the URL, or name this origin too with the option api_url",
        Advice::EnlargeBuffer => "make that shorter",
        other => other.as_str(),
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
        ErrorKind::Random => KEYFOB_RANDOM,
        // A kind that is added later, until it has a number of its own.
        _ => KEYFOB_PROTOCOL,
    }
}

/// Returns the name of a status, as in the header.
pub fn name(status: i32) -> &'static std::ffi::CStr {
    const NAMES: [(keyfob_status, &std::ffi::CStr); 18] = [
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
        (KEYFOB_RANDOM, c"KEYFOB_RANDOM"),
    ];
    NAMES.into_iter().find(|(known, _)| *known as i32 == status).map_or(c"unknown status", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_error_has_a_status_of_its_own() {
        use ErrorKind as K;
        for (kind, status) in [
            (K::InvalidInput, KEYFOB_INVALID_INPUT),
            (K::NoCredentials, KEYFOB_NO_CREDENTIALS),
            (K::LoginRequired, KEYFOB_LOGIN_REQUIRED),
            (K::Refused, KEYFOB_REFUSED),
            (K::Protocol, KEYFOB_PROTOCOL),
            (K::Network, KEYFOB_NETWORK),
            (K::Timeout, KEYFOB_TIMEOUT),
            (K::Clock, KEYFOB_CLOCK),
            (K::RateLimited, KEYFOB_RATE_LIMITED),
            (K::Store, KEYFOB_STORE),
            (K::ApiStatus, KEYFOB_API_STATUS),
            (K::Random, KEYFOB_RANDOM),
        ] {
            assert_eq!(Failure::from(keyfob::Error::new(kind, "no")).status, status, "{kind:?}");
        }
    }
}
