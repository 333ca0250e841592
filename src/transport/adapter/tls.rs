//! TLS on a connection, by the libraries that come with ureq.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ureq::config::Config;
use ureq::tls::{RootCerts, TlsConfig};
#[cfg(feature = "native-tls")]
use ureq::unversioned::transport::NativeTlsConnector;
#[cfg(feature = "rustls")]
use ureq::unversioned::transport::RustlsConnector;
use ureq::unversioned::transport::{ConnectionDetails, Connector as _, Transport};

use super::details::details_to;
use super::line::{Greeting, Line};
use super::wire_error::{WireError, cause, is_cut};
use crate::error::{Error, Stage};
use crate::transport::tls_failure::Cause;

/// The most hosts that a [`Fallback`] remembers.
const MAX_HOSTS: usize = 64;

/// TLS for all agents of a transport, so that it is set up once and sessions resume.
pub(crate) struct Tls {
    connectors: Connectors,
    /// The settings of the agents.
    config: TlsConfig,
    /// Whether the authorities of the agents are those of a CA file that the caller named.
    has_ca_file: bool,
    fallback: Option<Fallback>,
}

/// The connectors of the TLS libraries, which keep the settings of the first connection, and sessions.
#[derive(Default)]
struct Connectors {
    #[cfg(feature = "rustls")]
    rustls: RustlsConnector,
    #[cfg(feature = "native-tls")]
    native: NativeTlsConnector,
}

type Read = dyn Fn() -> Result<Option<Config>, Error> + Send + Sync;

/// The system's authorities, for servers whose authority is not built in.
pub(crate) struct Fallback {
    /// Reads them; `None` if the system has no bundle.
    read: Box<Read>,
    config: OnceLock<Option<Config>>,
    connectors: Connectors,
    /// Hosts that were reached with them.
    hosts: Mutex<Vec<String>>,
}

impl Fallback {
    pub(crate) fn new(read: impl Fn() -> Result<Option<Config>, Error> + Send + Sync + 'static) -> Self {
        Self {
            read: Box::new(read),
            config: OnceLock::new(),
            connectors: Connectors::default(),
            hosts: Mutex::default(),
        }
    }

    fn config(&self) -> Result<Option<&Config>, ureq::Error> {
        if self.config.get().is_none() {
            let read = (self.read)().map_err(|error| error.with_stage(Some(Stage::Tls)));
            let config = read.map_err(|error| ureq::Error::Other(Box::new(error)))?;
            let _ = self.config.set(config);
        }
        Ok(self.config.get().and_then(Option::as_ref))
    }

    fn is_known(&self, host: &str) -> bool {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|known| known == host)
    }

    fn remember(&self, host: &str) {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= MAX_HOSTS {
            hosts.clear();
        }
        hosts.push(host.to_owned());
    }
}

impl Tls {
    pub(crate) fn new(config: TlsConfig, has_ca_file: bool, fallback: Option<Fallback>) -> Self {
        Self { connectors: Connectors::default(), config, has_ca_file, fallback }
    }

    /// Opens a connection. If the server's authority is unknown, tries once more with the system's authorities.
    pub(super) fn open<T>(
        &self,
        details: &ConnectionDetails<'_>,
        open: impl Fn(Option<&Config>) -> Result<T, ureq::Error>,
    ) -> Result<T, ureq::Error> {
        let is_own = || details.needs_tls() && is_same(details.config.tls_config(), &self.config);
        let Some(fallback) = self.fallback.as_ref().filter(|_| is_own()) else { return open(None) };
        let host = details.uri.host().unwrap_or_default();
        if fallback.is_known(host) {
            return open(fallback.config()?);
        }
        match open(None) {
            // If a built-in authority has the same name and another key, the error is a wrong signature.
            Err(error)
                if matches!(Cause::of(cause(&error)), Some(Cause::UnknownIssuer | Cause::BadSignature)) =>
            {
                let Some(config) = fallback.config()? else { return Err(error) };
                let opened = open(Some(config))?;
                fallback.remember(host);
                Ok(opened)
            }
            opened => opened,
        }
    }

    /// Sets up TLS with the authorities of the agent, or with those of the fallback (`other`).
    pub(super) fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        transport: Box<dyn Transport>,
        line: &Line,
        other: Option<&Config>,
    ) -> Result<Box<dyn Transport>, ureq::Error> {
        line.expect_greeting();
        let (connectors, config) = match (&self.fallback, other) {
            (Some(fallback), Some(config)) => (&fallback.connectors, config),
            _ => (&self.connectors, details.config),
        };
        // For a request with its own settings, ureq sets up TLS anew for each connection. Many requests of keyfob differ only in their
        // deadline. So this is needed only if the TLS settings differ from the agent's.
        let request_level = other.is_none() && !is_same(config.tls_config(), &self.config);
        let has_ca_file = request_level || self.has_ca_file;
        let details = ConnectionDetails { config, request_level, ..details_to(details.uri, details) };
        let failed = |error| why_failed(error, &details, has_ca_file, line);
        let transport = Some(transport);
        #[cfg(feature = "rustls")]
        let transport = connectors.rustls.connect(&details, transport).map_err(failed)?;
        #[cfg(feature = "native-tls")]
        let transport = connectors.native.connect(&details, transport).map_err(failed)?;
        Ok(Box::new(transport.ok_or(ureq::Error::ConnectionFailed)?))
    }
}

/// Adds to the error of a TLS library the causes that only the connection and the settings show.
fn why_failed(
    error: ureq::Error,
    details: &ConnectionDetails<'_>,
    has_ca_file: bool,
    line: &Line,
) -> ureq::Error {
    let has_ca_file =
        has_ca_file && matches!(details.config.tls_config().root_certs(), RootCerts::Specific(_));
    let cause = match (Cause::of(&error), line.greeting()) {
        (None, _) => match &error {
            ureq::Error::Timeout(_) => Cause::TimedOut,
            ureq::Error::Io(cut) if is_cut(cut) => Cause::CutOff,
            _ => return error,
        },
        (Some(_), Greeting::NotTls) => Cause::NotTls,
        // The server accepted the offered parameters, asked for a certificate and received none (RFC 5246 7.4.6).
        (Some(Cause::NothingInCommon), Greeting::Handshake) => Cause::ClientCertificate,
        (Some(Cause::UnknownIssuer), _) if has_ca_file => Cause::NotInCaFile,
        _ => return error,
    };
    WireError::Tls(cause).into()
}

/// Whether two settings are clones of each other. Does not compare certificates, because a bundle has hundreds.
fn is_same(a: &TlsConfig, b: &TlsConfig) -> bool {
    let same_roots = match (a.root_certs(), b.root_certs()) {
        (RootCerts::Specific(a), RootCerts::Specific(b)) => Arc::ptr_eq(a, b),
        (RootCerts::WebPki, RootCerts::WebPki)
        | (RootCerts::PlatformVerifier, RootCerts::PlatformVerifier) => true,
        _ => false,
    };
    let client = |config: &TlsConfig| config.client_cert().map(|client| client.certs().as_ptr());
    #[cfg(feature = "rustls")]
    let provider = |config: &TlsConfig| config.unversioned_rustls_crypto_provider().as_ref().map(Arc::as_ptr);
    #[cfg(not(feature = "rustls"))]
    let provider = |_: &TlsConfig| ();
    same_roots
        && client(a) == client(b)
        && provider(a) == provider(b)
        && a.provider() == b.provider()
        && a.use_sni() == b.use_sni()
        && a.disable_verification() == b.disable_verification()
}
