//! Failures of a connection: those that ureq has no error for, and the meaning of a socket's errors.

use std::{fmt, io};

use ureq::Timeout;

use crate::transport::proxy::place;
#[cfg(feature = "_tls")]
use crate::transport::tls_failure::Cause;

/// Failures that ureq has no error for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireError {
    NotHttp,
    LongHeader {
        len: usize,
        most: usize,
    },
    TooManyFields,
    LongSizeLine,
    LongTrailer,
    /// A transfer coding other than `chunked`, which no request allows (RFC 9112 7.4).
    TransferCoding,
    #[cfg(feature = "_tls")]
    Tls(Cause),
    /// The connection ended in the middle of a body.
    CutOff,
    /// TLS ended with the connection and without `close_notify`, so part of the body may be missing.
    NoCloseNotify,
    /// A proxy refused `CONNECT`, with this status if its answer was HTTP.
    Proxy {
        status: Option<u16>,
        /// Whether keyfob sent it a user name.
        signed_in: bool,
    },
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotHttp => "the answer is not HTTP",
            Self::LongHeader { .. } => "the header of the answer is too long",
            Self::TooManyFields => "the answer has too many header fields",
            Self::LongSizeLine => "the size line of a chunk is too long",
            Self::LongTrailer => "the trailer of the answer is too long",
            Self::TransferCoding => "the answer has a transfer coding that was not asked for",
            #[cfg(feature = "_tls")]
            Self::Tls(_) => "TLS failed",
            Self::CutOff => "the connection was cut off",
            Self::NoCloseNotify => "the answer was cut off",
            Self::Proxy { .. } => "the proxy refused to connect",
        })
    }
}

impl std::error::Error for WireError {}

impl From<WireError> for ureq::Error {
    fn from(error: WireError) -> Self {
        match error {
            WireError::LongHeader { len, most } => Self::LargeResponseHeader(len, most),
            error => Self::Other(Box::new(error)),
        }
    }
}

/// A failure of the connection to a proxy, so that the server is not blamed.
#[derive(Debug)]
pub(crate) struct ProxyError {
    /// Host and port.
    pub(crate) place: String,
    pub(crate) error: ureq::Error,
}

impl ProxyError {
    /// Makes it of an error, unless the error names the proxy already.
    pub(super) fn wrap(proxy: &ureq::Proxy, error: ureq::Error) -> ureq::Error {
        match unwrap_unsent(unsent(error)).0 {
            ureq::Error::Other(inner) if matches!(inner.downcast_ref(), Some(WireError::Proxy { .. })) => {
                ureq::Error::Other(inner)
            }
            error => ureq::Error::Other(Box::new(Self { place: place(proxy), error })),
        }
    }

    /// Returns this error if it is one of a proxy.
    pub(crate) fn of(error: &ureq::Error) -> Option<&Self> {
        match error {
            ureq::Error::Other(inner) => inner.downcast_ref(),
            _ => None,
        }
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no connection through the proxy {}", self.place)
    }
}

impl std::error::Error for ProxyError {}

/// Returns the cause of a failure, which may be one of a proxy.
pub(crate) fn cause(error: &ureq::Error) -> &ureq::Error {
    ProxyError::of(error).map_or(error, |failed| &failed.error)
}

/// A failure in the resolver or the connector, before the first byte of a request.
#[derive(Debug)]
struct Unsent(ureq::Error);

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no connection")
    }
}

impl std::error::Error for Unsent {}

pub(super) fn unsent(error: ureq::Error) -> ureq::Error {
    match error {
        // The connector resolves the name of a proxy, so this error is marked already.
        ureq::Error::Other(inner) if inner.is::<Unsent>() => ureq::Error::Other(inner),
        error => ureq::Error::Other(Box::new(Unsent(error))),
    }
}

/// Returns ureq's error, and whether a byte of the request may have been sent.
pub(crate) fn unwrap_unsent(error: ureq::Error) -> (ureq::Error, bool) {
    match error {
        ureq::Error::Other(inner) => match inner.downcast::<Unsent>() {
            // ureq may report another time-out, because making a connection can use up all the time.
            Ok(unsent) => match unsent.0 {
                ureq::Error::Timeout(Timeout::Resolve) => (ureq::Error::Timeout(Timeout::Resolve), false),
                ureq::Error::Timeout(_) => (ureq::Error::Timeout(Timeout::Connect), false),
                error => (error, false),
            },
            Err(other) => (ureq::Error::Other(other), true),
        },
        error => (error, true),
    }
}

pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Whether the next attempt may succeed.
pub(super) fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Whether the other side has gone.
pub(super) fn is_cut(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    [BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof].contains(&error.kind())
}
