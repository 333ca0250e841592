//! The services that the command and the C library know: those that are built into keyfob and those of a configuration file, with the
//! values that the environment sets for them.
//!
//! [`Catalog`] reads the file. A [`KnownService`] of it makes a [`ServiceBuilder`](keyfob::ServiceBuilder). [`Secrets`] finds and reads
//! secrets: variables, files, descriptors, commands and systemd's credentials.
#![forbid(unsafe_code)]

mod catalog;
pub mod clock;
#[cfg(feature = "file")]
mod file;
mod keys;
mod problem;
mod secrets;
mod section;
mod service;
pub mod text;
#[cfg(feature = "file")]
mod toml;
mod value;

pub use catalog::Catalog;
pub use keys::{is_command, is_service_name, nearest};
pub use problem::Problem;
pub use secrets::{Host, Place, SecretName, Secrets, Source};
pub use section::{Kind, Options};
pub use service::{Credentials, KnownService, Origin, Way};
