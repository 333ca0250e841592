//! [`Failure`]: why the command ends early, and with which status.

use std::fmt;

use keyfob::{Error, ErrorKind};

/// Why the command ends early.
#[derive(Debug)]
pub enum Failure {
    /// Told on standard error.
    Error { kind: Option<ErrorKind>, text: String },
    /// Told already, by whoever found it: only the status is left.
    Told(u8),
    /// Whoever read the output has had enough: nothing is said.
    BrokenPipe,
    /// A signal asked for it.
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

    /// What has no place in the table of kinds.
    pub fn unexpected(text: impl Into<String>) -> Self {
        Self::Error { kind: None, text: text.into() }
    }

    /// The same with what to do next, in the words of the command.
    pub fn advise(self, kind: ErrorKind, advice: &str) -> Self {
        if self.kind() == Some(kind) { self.add(advice) } else { self }
    }

    /// The same with more to say.
    pub fn add(self, more: &str) -> Self {
        match self {
            Self::Error { kind, text } => Self::Error { kind, text: format!("{text}; {more}") },
            other => other,
        }
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
            Self::Told(status) => *status,
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

/// What the library calls its methods, in the words of the command.
const WORDS: [(&str, &str); 6] = [
    ("`without_state`", "`--without-state`"),
    ("`without_pkce`", "`--without-pkce`"),
    ("`without_redirect_uri`", "`--without-redirect-uri`"),
    ("or log in to make", "or run `keyfob spatiafi login` to make"),
    ("check the URL and the request", "check the path and the request"),
    // There is no option for it.
    (", or use `allow_short_key` if the service issues such", ""),
];

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let mut text = error.to_string();
        for (method, option) in WORDS {
            text = text.replace(method, option);
        }
        Self::new(error.kind(), text)
    }
}

const NAMES: [(ErrorKind, &str); 11] = [
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
];

/// A kind as JSON lines name it.
pub fn name(kind: Option<ErrorKind>) -> &'static str {
    NAMES.iter().find(|(own, _)| Some(*own) == kind).map_or("unexpected", |(_, name)| name)
}

/// The kind of this name.
pub fn kind(name: &[u8]) -> Option<ErrorKind> {
    NAMES.iter().find(|(_, own)| own.as_bytes() == name).map(|(kind, _)| *kind)
}
