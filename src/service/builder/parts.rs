//! The parts that a [`ServiceBuilder`](super::ServiceBuilder) is given.

use std::path::PathBuf;

use crate::secret::Secret;

/// A parameter of token requests.
#[derive(Clone)]
pub(super) enum Parameter {
    Shown(String, String),
    Secret(String, Secret),
    /// Read again for each request.
    File(String, PathBuf),
}

/// Exceptions to the safe defaults, for servers that need them.
#[derive(Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(super) struct Switches {
    pub(super) without_state: bool,
    pub(super) without_pkce: bool,
    pub(super) without_redirect_uri: bool,
    pub(super) allow_token_in_query: bool,
    pub(super) allow_refresh_repeats: bool,
}

impl Parameter {
    /// Returns the part of a record's name that depends on this parameter: its name, and its value or the path of its file unless the
    /// value is secret.
    pub(super) fn of_record(&self) -> (&str, Option<&str>) {
        match self {
            Self::Shown(name, value) => (name, Some(value)),
            Self::Secret(name, _) => (name, None),
            Self::File(name, path) => (name, path.to_str()),
        }
    }
}
