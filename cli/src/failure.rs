//! [`Failure`]: why the command ends early, and with which status.

use std::fmt;

use keyfob::{Advice, Error, ErrorKind};
use keyfob_config::Problem;

/// Why the command ends early.
#[derive(Debug)]
pub enum Failure {
    /// Reported on standard error at the end.
    Error { kind: Option<ErrorKind>, text: String },
    /// Reported already, so only the status is left.
    Reported(u8),
    /// The reader of the output has closed it. No failure is printed.
    BrokenPipe,
    /// The command ends because of this signal.
    #[cfg(unix)]
    Signal(i32),
}

impl Failure {
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self::Error { kind: Some(kind), text: text.into() }
    }

    pub fn invalid(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, text)
    }

    /// A failure that has no kind.
    pub fn unexpected(text: impl Into<String>) -> Self {
        Self::Error { kind: None, text: text.into() }
    }

    /// Makes a failure of an error. The text names the place instead of what was being done.
    pub fn at(place: &str, error: &Error) -> Self {
        let failure = Self::new(error.kind(), format!("{place}: {}", error.reason()));
        match error.advice().map(words).filter(|words| !words.is_empty()) {
            Some(advice) => failure.add(advice),
            None => failure,
        }
    }

    /// Adds advice in the words of the command.
    pub fn advise(self, kind: ErrorKind, advice: &str) -> Self {
        if self.kind() == Some(kind) { self.add(advice) } else { self }
    }

    /// Adds more text.
    pub fn add(self, more: &str) -> Self {
        match self {
            Self::Error { kind, text } => Self::Error { kind, text: format!("{text}; {more}") },
            other => other,
        }
    }

    /// Whether the failure is that an answer was not received whole.
    pub fn is_of_the_answer(&self) -> bool {
        matches!(self.kind(), Some(ErrorKind::Network | ErrorKind::Timeout | ErrorKind::Protocol))
    }

    pub fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Error { kind, .. } => *kind,
            _ => None,
        }
    }

    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Error { kind, .. } => kind.map_or(1, ErrorKind::exit_status),
            Self::Reported(status) => *status,
            Self::BrokenPipe => 0,
            #[cfg(unix)]
            Self::Signal(signal) => 128 + u8::try_from(*signal).unwrap_or(0),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error { text, .. } => f.write_str(text),
            _ => Ok(()),
        }
    }
}

/// Returns an advice in the words of the command, which names its own options. Empty if the command has no such option.
fn words(advice: Advice) -> &'static str {
    match advice {
        Advice::WithoutState => "if the server does not send it back, use `--without-state`",
        Advice::LogInWithoutPkce => "log in again, with `--without-pkce` if the server does not know it",
        Advice::LogInWithoutRedirectUri => {
            "log in again, with `--without-redirect-uri` if the server does not know it"
        }
        Advice::LogInWithoutPkceOrRedirectUri => {
            "log in again, with `--without-pkce` or `--without-redirect-uri` if the server does not know them"
        }
        Advice::CheckClientOrWithoutPkce => {
            "check the client id and the redirect URI, or use `--without-pkce` if the server does not know it"
        }
        Advice::SetSpatiaFiCredentials => {
            "set SPATIAFI_CLIENT_ID and SPATIAFI_CLIENT_SECRET, or run `keyfob spatiafi login` to make app credentials"
        }
        Advice::CheckRequest => "check the path and the request",
        Advice::NameCaFile => "name the CA file of its authority in KEYFOB_CA_FILE, or check the proxy",
        Advice::ExtendCaFile => {
            "add the server's authority to the file that KEYFOB_CA_FILE or --ca-file names, or check the proxy"
        }
        Advice::SetClientCertificate => {
            "set client_cert_file and client_key_file of the service, or their variables, or check those that are set"
        }
        Advice::EnableTls => "install a build with TLS",
        Advice::AllowShortKey => "check that it is complete",
        Advice::EnlargeBuffer => "make that shorter",
        other => other.as_str(),
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Error(error) => error.into(),
            #[cfg(unix)]
            Problem::Signal(signal) => Self::Signal(signal),
            other => Self::unexpected(other.to_string()),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error.text_with(&words))
    }
}

const NAMES: [(ErrorKind, &str); 12] = [
    (ErrorKind::InvalidInput, "invalid_input"),
    (ErrorKind::NoCredentials, "no_credentials"),
    (ErrorKind::LoginRequired, "login_required"),
    (ErrorKind::Refused, "refused"),
    (ErrorKind::Protocol, "protocol"),
    (ErrorKind::Network, "network"),
    (ErrorKind::Timeout, "timeout"),
    (ErrorKind::Clock, "clock"),
    (ErrorKind::RateLimited, "rate_limited"),
    (ErrorKind::Store, "store"),
    (ErrorKind::ApiStatus, "api_status"),
    (ErrorKind::Random, "random"),
];

/// Returns the name of a kind in JSON lines.
pub fn name(kind: Option<ErrorKind>) -> &'static str {
    NAMES.iter().find(|(own, _)| Some(*own) == kind).map_or("unexpected", |(_, name)| name)
}

/// Returns the kind of this name.
pub fn kind(name: &[u8]) -> Option<ErrorKind> {
    NAMES.iter().find(|(_, own)| own.as_bytes() == name).map(|(kind, _)| *kind)
}
