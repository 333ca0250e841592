#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod acme;
mod answer;
mod assertion;
mod clock;
mod counters;
mod endpoint;
mod fault;
mod log;
mod oauth;
mod origin;
mod random;
mod request;
mod sandbox;
mod servers;
mod spacebring;
mod spatiafi;
mod sync;
mod tls;
mod tokens;

pub use acme::{AcmeSandbox, Discovery};
pub use clock::Clock;
pub use endpoint::Endpoint;
pub use fault::Fault;
pub use log::LoggedRequest;
pub use sandbox::Sandbox;
pub use servers::Servers;
pub use spacebring::{OAuthErrors, RefreshTokens, SCOPES, SpacebringSandbox};
pub use spatiafi::{Denial, ITEMS};
pub use tls::{ServerCertificate, TlsFront};
