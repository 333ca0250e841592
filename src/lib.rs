//! An OAuth 2.0 client for blocking programs. It obtains an access token, attaches it to requests and keeps it fresh, without an async
//! runtime.
//!
//! # Quick start
//!
//! An agent is an ordinary [`ureq::Agent`] that authenticates by itself. It obtains a token when it needs one, renews it before it
//! expires, and replaces it when the server refuses it.
//!
//! ```no_run
//! # fn main() -> Result<(), keyfob::Error> {
//! // Reads the credentials from the environment, or from the file of SpatiaFi's official client.
//! let agent = keyfob::SpatiaFi::from_env()?.agent();
//! let info = agent.get("https://api.spatiafi.com/api/info").call()?.body_mut().read_to_string()?;
//! # Ok(()) }
//! ```
//!
//! ureq is re-exported as `keyfob::ureq`, so a program needs no dependency on it. An [`Error`] is made from the errors of ureq only. A
//! function that also reads files or standard input can return `Box<dyn std::error::Error>`.
//!
//! For any other service, give its issuer (the URL that names its authorization server) or the URLs of its endpoints:
//!
//! ```no_run
//! # fn main() -> Result<(), keyfob::Error> {
//! # let client_secret = String::new();
//! use keyfob::{ClientAuth, FileStore, Service};
//!
//! let acme = Service::builder("acme")
//!     .issuer("https://login.example.com")
//!     .api_url("https://api.example.com")
//!     .client_credentials(ClientAuth::secret_basic("my-client", client_secret))
//!     .store(FileStore::from_env()?)
//!     .build()?;
//! let things = acme.agent().get("https://api.example.com/things").call()?.body_mut().read_to_string()?;
//! # Ok(()) }
//! ```
//!
//! # Which type for which task
//!
//! | task | type |
//! | --- | --- |
//! | **Services** | |
//! | describe any OAuth 2.0 service, and call its API | [`Service`], [`ServiceBuilder`] |
//! | describe a service as a table of data, with its environment variables | [`Definition`], [`Setting`] |
//! | list the built-in services | [`services`] |
//! | call SpatiaFi's API | [`SpatiaFi`] |
//! | make SpatiaFi's app credentials from a user name and password | [`spatiafi::Registration`] |
//! | call Spacebring's API as a customer | [`spacebring::Customer`] |
//! | call Spacebring's API as a partner, after a login | [`spacebring::Partner`] |
//! | read a list of Spacebring page by page | [`spacebring::Pages`] |
//! | **Requests to an API** | |
//! | make a [`ureq::Agent`] that authenticates by itself | [`AgentBuilder`] |
//! | choose how an agent authenticates | [`Auth`] |
//! | send HTTP Basic (RFC 7617) with each request | [`Basic`] |
//! | **Tokens** | |
//! | keep a token in memory and fresh, for all threads | [`CachingSource`] |
//! | obtain tokens in a way of your own | [`TokenSource`] |
//! | look at a token | [`Token`] |
//! | keep tokens between runs, in files | [`FileStore`] |
//! | keep tokens in a store of your own | [`TokenStore`], [`LockedRecord`], [`Record`] |
//! | name a record of a store | [`RecordName`] |
//! | **Exchanges with an authorization server** | |
//! | obtain a token for the client itself | [`flow::ClientCredentials`] |
//! | obtain a token with another grant, such as token exchange (RFC 8693) | [`flow::ExtensionGrant`] |
//! | log a person in with a browser | [`flow::AuthorizationCode`], [`flow::PendingLogin`] |
//! | log a person in with a browser on another device | [`flow::DeviceCode`] |
//! | use a refresh token | [`flow::Refresh`] |
//! | revoke a token | [`flow::Revoke`] |
//! | ask the server whether a token is valid | [`flow::Introspect`], [`flow::Introspection`] |
//! | obtain SpatiaFi's temporary token for a user name and password | [`spatiafi::BasicToken`] |
//! | make SpatiaFi's app credentials with the temporary token | [`spatiafi::CreateClient`] |
//! | write a grant of your own for a source | [`flow::Grant`] |
//! | find the endpoints of a server by its issuer | [`Metadata`] |
//! | choose how a client authenticates at an authorization server | [`ClientAuth`] |
//! | set deadlines, a proxy, certificate authorities | [`Transport`], [`Roots`] |
//! | control the time in a test | [`Clock`] |
//! | **Secrets and errors** | |
//! | hold a secret that is wiped and never shown | [`Secret`] |
//! | hold app credentials | [`AppCredentials`] |
//! | read and write a file of app credentials | [`CredentialsFile`], [`PreparedFile`] |
//! | read an environment variable | [`env_var`] |
//! | handle a failure (`?` also converts the error of an agent's call) | [`Error`], [`ErrorKind`] |
//! | give the advice of an error in your own words | [`Advice`] |
//! | find the stage at which a connection failed | [`Stage`] |
//! | check who can read a file with a secret | [`open_to_others`] |
//! | make foreign text safe to print | [`one_line`] |
//! | find out whether foreign text repeats a secret | [`repeats_secret`] |
//!
//! # Features
//!
//! | feature | default | adds |
//! | --- | --- | --- |
//! | `rustls` | yes | TLS by rustls and ring, with the web's root certificates built in |
//! | `native-tls` | no | TLS by the system's library |
//!
//! Without these two features keyfob has no TLS: it can use plain HTTP only, and only to this machine (loopback).
//!
//! # Limits
//!
//! - ureq keeps copies of header fields in memory, and rustls keeps copies of answers. Neither wipes its copies. A final binary can wipe
//!   them with a global allocator such as the crate `zeroizing-alloc`.
//! - ureq logs whole requests at level `trace`, the token included. To exclude this level at build time, use `log`'s feature
//!   `release_max_level_debug`.
//! - An agent does not repeat a request whose body is longer than 64 KiB. It sends such a body in chunks, unless the request sets
//!   `Content-Length`.
//! - Every call blocks, until its deadline at the latest.
//! - The library has been tested on Linux (x86-64) only.
#![forbid(unsafe_code)]

mod agent;
mod check;
mod client_auth;
mod clock;
#[cfg(doctest)]
mod documents;
mod encode;
mod error;
pub mod flow;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod jwt;
mod login;
mod metadata;
mod secret;
#[cfg(test)]
mod seeded;
mod service;
mod source;
mod store;
mod sys;
mod text;
mod token;
mod transport;

pub use agent::AgentBuilder;
pub use agent::auth::Auth;
pub use client_auth::ClientAuth;
pub use clock::Clock;
pub use encode::basic::Basic;
pub use encode::words::repeats_secret;
pub use error::{Advice, Error, ErrorKind, Stage};
pub use metadata::Metadata;
pub use secret::Secret;
pub use service::spatiafi::SpatiaFi;
pub use service::{Definition, Service, ServiceBuilder, Setting, services, spacebring, spatiafi};
pub use source::{CachingSource, TokenSource};
pub use store::file_store::FileStore;
pub use store::record::{Record, RecordName};
pub use store::{LockedRecord, TokenStore};
pub use sys::credentials::{AppCredentials, CredentialsFile, PreparedFile, env_var};
pub use sys::file::open_to_others;
pub use text::one_line;
pub use token::Token;
pub use transport::{Roots, Transport};
pub use ureq;
