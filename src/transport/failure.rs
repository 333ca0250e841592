//! [`TransportError`]: what a failure of ureq or of the operating system means for a call, and ureq's errors as keyfob errors.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use ureq::Timeout;
use ureq::http::Response;

use crate::clock::Clock;
use crate::error::ErrorKind::{ApiStatus, InvalidInput, Network, Protocol, RateLimited};
use crate::error::{Advice, Error, ErrorKind, Stage};
use crate::text::Seconds;
use crate::transport::adapter::head::MOST_FIELDS;
use crate::transport::adapter::wire_error::{ProxyError, WireError, cause, unwrap_unsent};
use crate::transport::resolver::ResolveError;
use crate::transport::retry::{is_rate_limit, retry_after};
#[cfg(feature = "_tls")]
use crate::transport::tls_failure::Cause;

impl From<ureq::Error> for Error {
    /// Converts the error of an API call, so that `?` works in functions that return a keyfob error.
    ///
    /// If ureq's error contains an error of keyfob, returns that error unchanged. 429 becomes [`RateLimited`](ErrorKind::RateLimited), any
    /// other 4xx and 5xx [`ApiStatus`](ErrorKind::ApiStatus). ureq's status error has no `Retry-After`. A program that needs it lets the
    /// agent return the responses ([`AgentBuilder::status_as_error`](crate::AgentBuilder::status_as_error)) and uses
    /// [`Error::from_response`].
    fn from(error: ureq::Error) -> Self {
        let error = match unwrap_unsent(error).0 {
            ureq::Error::Other(inner) => match inner.downcast::<Self>() {
                Ok(error) => return *error,
                Err(other) => ureq::Error::Other(other),
            },
            ureq::Error::StatusCode(status) => return of_status(status, None),
            error => error,
        };
        TransportError::of(&error, None).into_error("call the API", String::new(), &error)
    }
}

impl Error {
    /// Returns the error for the status of an API's response, with its `Retry-After`. Returns `None` for 2xx.
    ///
    /// 429, and 5xx with a `Retry-After`, become [`RateLimited`](ErrorKind::RateLimited). Any other 4xx and 5xx become
    /// [`ApiStatus`](ErrorKind::ApiStatus). A redirect becomes [`Protocol`](ErrorKind::Protocol).
    pub fn from_response<B>(response: &Response<B>) -> Option<Self> {
        let status = response.status();
        let wait = || retry_after(response.headers(), &Clock::system());
        (!status.is_success()).then(|| of_status(status.as_u16(), wait()))
    }
}

fn of_status(status: u16, wait: Option<Duration>) -> Error {
    let (kind, advice) = match status {
        _ if is_rate_limit(status, wait) => (RateLimited, Advice::TryAgainLater),
        500.. => (ApiStatus, Advice::TryAgainLater),
        300..=399 => (Protocol, Advice::NoRedirects),
        401 => (ApiStatus, Advice::CheckClientOrToken),
        403 => (ApiStatus, Advice::CheckPermissions),
        _ => (ApiStatus, Advice::CheckRequest),
    };
    let error = Error::of(kind, format!("the API answered HTTP {status}")).with_advice(advice);
    error.with_status(status).with_retry_after(wait)
}

/// The reason why a request has no complete answer.
///
/// The text of ureq's error is never shown, because it may hold URLs.
pub(crate) struct TransportError {
    pub(crate) kind: ErrorKind,
    pub(crate) what: Cow<'static, str>,
    pub(crate) advice: Advice,
    /// Where the connection failed, if it did.
    pub(crate) stage: Option<Stage>,
    /// Whether the next try may succeed.
    pub(crate) is_transient: bool,
}

/// The error numbers for which the standard library has no kind: those of Linux, of macOS and the BSDs, and of Windows.
mod code {
    pub(super) const TOO_MANY_FILES: &[i32] = if cfg!(windows) { &[10024] } else { &[24] };
    pub(super) const TOO_MANY_FILES_OF_ALL: &[i32] = if cfg!(windows) { &[] } else { &[23] };
    pub(super) const NO_SUCH_FAMILY: &[i32] = if cfg!(windows) {
        &[10043, 10047]
    } else if cfg!(any(target_os = "linux", target_os = "android")) {
        &[93, 97]
    } else {
        &[43, 47]
    };
    pub(super) const NO_BUFFERS: &[i32] = if cfg!(windows) {
        &[10055]
    } else if cfg!(any(target_os = "linux", target_os = "android")) {
        &[105]
    } else {
        &[55]
    };
}

/// Whether this process or machine has no files or no memory left.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    let is = |codes: &[i32]| error.raw_os_error().is_some_and(|number| codes.contains(&number));
    is(code::TOO_MANY_FILES)
        || is(code::TOO_MANY_FILES_OF_ALL)
        || is(code::NO_BUFFERS)
        || error.kind() == io::ErrorKind::OutOfMemory
}

/// Whether an address cannot be used because this machine has no address of its family.
pub(crate) fn is_family_missing(cause: &io::Error) -> bool {
    cause.kind() == io::ErrorKind::AddrNotAvailable
        || cause.raw_os_error().is_some_and(|number| code::NO_SUCH_FAMILY.contains(&number))
}

impl TransportError {
    fn new(kind: ErrorKind, what: impl Into<Cow<'static, str>>, advice: Advice) -> Self {
        let stage = (kind != InvalidInput).then_some(Stage::Answer);
        Self { kind, what: what.into(), advice, stage, is_transient: kind == Network }
    }

    fn at(self, stage: Stage) -> Self {
        Self { stage: Some(stage), ..self }
    }

    /// Marks the failure as permanent: another try would fail in the same way.
    fn permanent(self) -> Self {
        Self { is_transient: false, ..self }
    }

    /// Classifies an error of ureq. `timeout` is the deadline of the exchange, for the text.
    pub(crate) fn of(error: &ureq::Error, timeout: Option<Duration>) -> Self {
        if let Some(ProxyError { place, error }) = ProxyError::of(error) {
            let failed = Self::of(error, timeout);
            let advice = match failed.advice {
                Advice::CheckNetwork => Advice::CheckProxy,
                other => other,
            };
            let what = format!("the proxy {place}: {}", failed.what).into();
            return Self { what, advice, ..failed }.at(Stage::Proxy);
        }
        #[cfg(feature = "_tls")]
        if let Some(cause) = Cause::of(error) {
            return Self::tls(cause);
        }
        match error {
            ureq::Error::Timeout(Timeout::Resolve) => {
                Self::timeout("the host name was not looked up in time", Advice::CheckDns).at(Stage::Dns)
            }
            ureq::Error::Timeout(Timeout::Connect) => {
                Self::timeout("no connection in time", Advice::CheckNetwork).at(Stage::Tcp)
            }
            ureq::Error::Timeout(_) => {
                let what = match timeout {
                    Some(timeout) => format!("no complete answer within {} s", Seconds(timeout)).into(),
                    None => Cow::from("no complete answer in time"),
                };
                Self::timeout(what, Advice::CheckNetwork).permanent()
            }
            ureq::Error::HostNotFound => {
                Self::new(Network, "the host name was not found", Advice::CheckNetwork).at(Stage::Dns)
            }
            ureq::Error::Io(cause) => Self::io(cause),
            ureq::Error::TlsRequired => {
                Self::new(InvalidInput, "keyfob was built without TLS", Advice::EnableTls)
            }
            ureq::Error::ConnectProxyFailed(_) | ureq::Error::InvalidProxyUrl => {
                Self::new(Network, "the proxy refused to connect", Advice::CheckProxy)
                    .at(Stage::Proxy)
                    .permanent()
            }
            ureq::Error::LargeResponseHeader(_, most) => Self::long_header(*most),
            ureq::Error::BadUri(_) | ureq::Error::RequireHttpsOnly(_) => {
                Self::new(InvalidInput, "the URL cannot be used", Advice::CheckUrl)
            }
            ureq::Error::Http(_) => {
                Self::new(InvalidInput, "the request cannot be made", Advice::CheckRequestParts)
            }
            ureq::Error::Protocol(_) => Self::new(Protocol, "the answer is not HTTP", Advice::CheckUrl),
            ureq::Error::Json(_) => {
                Self::new(Protocol, "the answer is not the JSON that was expected", Advice::CheckUrl)
            }
            ureq::Error::BodyExceedsLimit(_) => {
                Self::new(Protocol, "the answer is longer than the caller's limit", Advice::RaiseLimit)
            }
            ureq::Error::BodyStalled => Self::new(Protocol, "the answer stalled", Advice::TryAgain),
            ureq::Error::Other(inner) => Self::other(&**inner),
            ureq::Error::ConnectionFailed => {
                Self::new(Network, "the connection failed", Advice::CheckNetwork).at(Stage::Tcp)
            }
            // For example, a body that cannot be decompressed, if another crate has switched decompression on.
            _ => Self::new(Protocol, "the answer cannot be read", Advice::CheckUrl),
        }
    }

    fn other(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Self {
        if let Some(error) = error.downcast_ref::<WireError>() {
            Self::wire(*error)
        } else if let Some(error) = error.downcast_ref::<ResolveError>() {
            Self::resolving(*error)
        } else if let Some(error) = error.downcast_ref::<Error>() {
            Self::new(error.kind(), "the connection could not be set up", Advice::CheckNetwork).permanent()
        } else {
            Self::new(Network, "the connection failed", Advice::CheckNetwork)
        }
    }

    /// Makes the error of the library. `doing` and `place` are as for [`Error::with_task`].
    pub(crate) fn into_error(self, doing: &'static str, place: String, error: &ureq::Error) -> Error {
        let made = Error::of(self.kind, self.what).with_task(doing, place).with_advice(self.advice);
        let made = made.with_stage(self.stage);
        match cause(error) {
            ureq::Error::Io(cause) => made.with_source(cause),
            _ => made,
        }
    }

    fn wire(error: WireError) -> Self {
        match error {
            WireError::NotHttp => Self::new(Protocol, "the answer is not HTTP", Advice::CheckUrl),
            WireError::LongHeader { most, .. } => Self::long_header(most),
            WireError::TooManyFields => {
                let what = format!("the answer has more than {MOST_FIELDS} header fields");
                Self::new(Protocol, what, Advice::CheckUrl)
            }
            WireError::LongSizeLine => {
                Self::new(Protocol, "the size line of a chunk is longer than 16 KiB", Advice::CheckUrl)
            }
            WireError::LongTrailer => {
                Self::new(Protocol, "the trailer of the answer is longer than 64 KiB", Advice::CheckUrl)
            }
            WireError::TransferCoding => {
                let what = "the answer has a transfer coding that was not asked for";
                Self::new(Protocol, what, Advice::CheckUrlAndProxy)
            }
            #[cfg(feature = "_tls")]
            WireError::Tls(cause) => Self::tls(cause),
            WireError::CutOff => Self::new(Network, "the connection was cut off", Advice::TryAgain),
            WireError::NoCloseNotify => {
                let what = "the answer may not be whole: TLS ended without a close_notify";
                Self::new(Network, what, Advice::TryAgain)
            }
            WireError::Proxy { status, signed_in } => Self::refused_by_proxy(status, signed_in),
        }
    }

    fn long_header(most: usize) -> Self {
        Self::new(Protocol, format!("the header of the answer is longer than {most} bytes"), Advice::CheckUrl)
    }

    fn refused_by_proxy(status: Option<u16>, signed_in: bool) -> Self {
        let (what, advice) = match (status, signed_in) {
            (None, _) => ("the proxy refused to connect".into(), Advice::CheckProxy),
            (Some(407), false) => (
                Cow::from("the proxy requires a user name and a password (HTTP 407)"),
                Advice::AddProxyCredentials,
            ),
            // tinyproxy refuses a password with 401, where RFC 9110 15.5.8 has 407.
            (Some(status @ (401 | 407)), true) => (
                format!("the proxy refused the user name and the password (HTTP {status})").into(),
                Advice::CheckProxyCredentials,
            ),
            // The proxy did not find or reach the server (squid: 500 and 503; tinyproxy: 500).
            (Some(status @ 500..), _) => (
                format!("the proxy could not connect to the server (HTTP {status})").into(),
                Advice::CheckUrlAndProxy,
            ),
            (Some(status), _) => (
                format!("the proxy refused to connect (HTTP {status})").into(),
                // The proxy does not serve this client, or not for this server.
                if status == 403 { Advice::AskProxyOperator } else { Advice::CheckProxy },
            ),
        };
        Self::new(Network, what, advice).at(Stage::Proxy).permanent()
    }

    #[cfg(feature = "_tls")]
    fn tls(cause: Cause) -> Self {
        let (what, advice) = cause.text();
        let is_transient = matches!(cause, Cause::CutOff | Cause::TimedOut);
        Self { kind: cause.kind(), what, advice, stage: Some(Stage::Tls), is_transient }
    }

    fn io(cause: &io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::ConnectionRefused => {
                Self::new(Network, "the connection was refused", Advice::CheckNetwork).at(Stage::Tcp)
            }
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => {
                Self::new(Network, "the connection was cut off", Advice::TryAgain)
            }
            io::ErrorKind::TimedOut => Self::timeout("no answer in time", Advice::CheckNetwork),
            _ => Self::system(cause).at(Stage::Tcp),
        }
    }

    /// A time-out before the whole request was sent. Another try may succeed.
    fn timeout(what: impl Into<Cow<'static, str>>, advice: Advice) -> Self {
        Self { is_transient: true, ..Self::new(ErrorKind::Timeout, what, advice) }
    }

    /// Classifies a failure of the operating system that is not a usual end of a connection.
    fn system(cause: &io::Error) -> Self {
        let kind = cause.kind();
        let Some(number) = cause.raw_os_error() else {
            return Self::new(Network, format!("the network failed ({kind})"), Advice::CheckNetwork);
        };
        let is = |codes: &[i32]| codes.contains(&number);
        let (what, advice) = if is(code::TOO_MANY_FILES) {
            ("this process has as many files open as it may", Advice::RaiseOpenFiles)
        } else if is(code::TOO_MANY_FILES_OF_ALL) {
            ("this machine has as many files open as it can", Advice::EndPrograms)
        } else if is(code::NO_BUFFERS) || kind == io::ErrorKind::OutOfMemory {
            ("this machine has no memory left for a connection", Advice::EndPrograms)
        } else if is(code::NO_SUCH_FAMILY) {
            ("this machine does not support the server's address family", Advice::CheckIpFamilyAndUrl)
        } else {
            match kind {
                io::ErrorKind::AddrNotAvailable => (
                    "this machine has no address and port to connect from",
                    Advice::CheckIpFamilyAndConnections,
                ),
                io::ErrorKind::NetworkUnreachable => {
                    ("this machine has no route to the server", Advice::CheckMachineAndUrl)
                }
                io::ErrorKind::NetworkDown => ("the network is down", Advice::CheckMachine),
                io::ErrorKind::HostUnreachable => {
                    ("the server cannot be reached from this machine", Advice::CheckFirewallsAndUrl)
                }
                io::ErrorKind::PermissionDenied => {
                    ("this machine does not allow the connection", Advice::CheckFirewall)
                }
                // The standard library has no kind for it, so this uses the text of the system.
                _ => {
                    return Self::new(Network, format!("the network failed ({cause})"), Advice::CheckNetwork);
                }
            }
        };
        Self::new(Network, what, advice)
    }

    fn resolving(error: ResolveError) -> Self {
        let (what, advice) = match error {
            ResolveError::System(number) => {
                return Self::system(&io::Error::from_raw_os_error(number)).at(Stage::Dns);
            }
            ResolveError::NoThread => {
                ("no thread could be started to look up the host name", Advice::RaiseThreads)
            }
            _ => ("no name server had an answer for the host name", Advice::CheckDns),
        };
        Self::new(Network, what, advice).at(Stage::Dns)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn each_failure_of_the_system_has_a_text_of_its_own() {
        for (number, what) in [
            (23, "this machine has as many files open as it can; end some programs, or try again later"),
            (
                24,
                "this process has as many files open as it may; raise its limit (ulimit -n), or close some of them",
            ),
            (12, "this machine has no memory left for a connection; end some programs, or try again later"),
            (105, "this machine has no memory left for a connection; end some programs, or try again later"),
            (
                93,
                "this machine does not support the server's address family; check whether IPv6 (or IPv4) is switched off here, and the URL",
            ),
            (
                97,
                "this machine does not support the server's address family; check whether IPv6 (or IPv4) is switched off here, and the URL",
            ),
            (
                99,
                "this machine has no address and port to connect from; check whether IPv6 (or IPv4) is switched off here, or too many connections are open",
            ),
            (100, "the network is down; check this machine's network"),
            (101, "this machine has no route to the server; check this machine's network, and the URL"),
            (
                113,
                "the server cannot be reached from this machine; check the network, its firewalls and the URL",
            ),
            (
                1,
                "this machine does not allow the connection; check its firewall, and what this process may do",
            ),
            (
                13,
                "this machine does not allow the connection; check its firewall, and what this process may do",
            ),
            (
                22,
                "the network failed (Invalid argument (os error 22)); check the network, the proxy and the URL",
            ),
            (
                71,
                "the network failed (Protocol error (os error 71)); check the network, the proxy and the URL",
            ),
            (111, "the connection was refused; check the network, the proxy and the URL"),
            (104, "the connection was cut off; try again"),
            (32, "the connection was cut off; try again"),
        ] {
            let error = TransportError::of(&ureq::Error::Io(io::Error::from_raw_os_error(number)), None);
            assert_eq!(format!("{}; {}", error.what, error.advice), what, "{number}");
            assert_eq!((error.kind, error.is_transient), (Network, true), "{number}");
        }
        let error = TransportError::of(&ureq::Error::Io(io::Error::from_raw_os_error(110)), None);
        assert_eq!((error.what.as_ref(), error.kind), ("no answer in time", ErrorKind::Timeout));
    }

    #[test]
    fn each_failure_has_the_stage_that_the_connection_reached() {
        use ureq::Error as E;
        let io = |kind| E::Io(io::Error::from(kind));
        let other = |error: WireError| E::from(error);
        let proxy = |error| E::Other(Box::new(ProxyError { place: "127.0.0.1:1".to_owned(), error }));
        for (error, stage) in [
            (proxy(E::HostNotFound), Some(Stage::Proxy)),
            (proxy(E::Timeout(Timeout::Connect)), Some(Stage::Proxy)),
            (proxy(io(io::ErrorKind::ConnectionRefused)), Some(Stage::Proxy)),
            (other(WireError::Proxy { status: Some(407), signed_in: false }), Some(Stage::Proxy)),
            (E::HostNotFound, Some(Stage::Dns)),
            (E::Timeout(Timeout::Resolve), Some(Stage::Dns)),
            (E::Other(Box::new(ResolveError::NoAnswer)), Some(Stage::Dns)),
            (E::Other(Box::new(ResolveError::NoThread)), Some(Stage::Dns)),
            (E::Other(Box::new(ResolveError::System(24))), Some(Stage::Dns)),
            (io(io::ErrorKind::ConnectionRefused), Some(Stage::Tcp)),
            (io(io::ErrorKind::NetworkUnreachable), Some(Stage::Tcp)),
            (E::Timeout(Timeout::Connect), Some(Stage::Tcp)),
            #[cfg(feature = "_tls")]
            (other(WireError::Tls(Cause::Expired)), Some(Stage::Tls)),
            #[cfg(feature = "_tls")]
            (other(WireError::Tls(Cause::TimedOut)), Some(Stage::Tls)),
            (io(io::ErrorKind::ConnectionReset), Some(Stage::Answer)),
            (E::Timeout(Timeout::RecvResponse), Some(Stage::Answer)),
            (other(WireError::NotHttp), Some(Stage::Answer)),
            (other(WireError::CutOff), Some(Stage::Answer)),
            // Nothing was connected.
            (E::BadUri("x".to_owned()), None),
            (E::TlsRequired, None),
        ] {
            assert_eq!(TransportError::of(&error, None).stage, stage, "{error:?}");
            if stage.is_some() {
                assert_eq!(Error::from(error).stage(), stage);
            }
        }
    }
}
