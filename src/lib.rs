#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod agent;
mod basic;
mod callback;
mod check;
mod client_auth;
mod clock;
mod credentials;
mod endpoint;
mod error;
mod file;
pub mod flow;
mod form;
mod http;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod jwt;
mod pace;
mod random;
mod redirect;
mod resolver;
mod secret;
#[cfg(test)]
mod seeded;
mod source;
pub mod spacebring;
pub mod spatiafi;
mod store;
mod token;
mod wire;
mod words;

pub use agent::{AgentBuilder, Auth, classify, classify_answer};
pub use basic::{Basic, ClientSecretBasic};
pub use client_auth::ClientAuth;
pub use clock::Clock;
pub use credentials::{ClientCredentials, CredentialsFile, PreparedFile, env_var};
pub use error::{Error, ErrorKind};
pub use http::Http;
pub use secret::Secret;
pub use source::{CachingSource, TokenSource};
pub use spatiafi::SpatiaFi;
pub use store::{FileStore, LockedRecord, Record, RecordName, TokenStore};
pub use token::Token;
pub use ureq;
