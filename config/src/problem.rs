//! [`Problem`]: why a service or a secret could not be obtained.

use std::fmt;
use std::path::Path;

use keyfob::{Error, ErrorKind, one_line};

/// Why a service or a secret could not be obtained.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Problem {
    /// An error with a kind, and so with an exit status of its own.
    Error(Error),
    /// The system failed in a way that no kind describes.
    Unexpected(String),
    /// This signal arrived while a command for a secret ran, and the program should end.
    Signal(i32),
}

impl Problem {
    pub(crate) fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self::Error(Error::new(kind, text))
    }

    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, text)
    }

    /// The kind of the error, if it has one.
    pub fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Error(error) => Some(error.kind()),
            _ => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Unexpected(text) => f.write_str(text),
            Self::Signal(signal) => write!(f, "ended by signal {signal}"),
        }
    }
}

impl std::error::Error for Problem {}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Returns a path as one printable line.
pub(crate) fn shown(path: &Path) -> String {
    one_line(&path.display().to_string())
}

/// Returns the reason of an error of the system, without its number.
pub(crate) fn why(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error ").next().unwrap_or_default().to_lowercase()
}

/// What to do about a path that [begins](has_tilde) with `~`.
pub(crate) const TILDE: &str = "`~` is not expanded: write the whole path";

/// Whether a path that leads nowhere has a `~` for the home folder. A path in the configuration file is relative to its folder.
pub(crate) fn has_tilde(path: &Path) -> bool {
    path.iter().any(|part| part == "~")
}

/// As [`why`], for a process that could not be started.
#[cfg(unix)]
pub(crate) fn why_not_started(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::WouldBlock => {
            "no more processes and threads are allowed; raise the limit on them (ulimit -u)".to_owned()
        }
        _ => why(error),
    }
}
