//! [`Transport`]: how servers are reached.

pub(crate) mod adapter;
#[cfg(feature = "_tls")]
mod ca_file;
pub(crate) mod call;
#[cfg(feature = "_tls")]
mod client_certificate;
pub(crate) mod endpoint;
mod exchange;
pub(crate) mod failure;
pub(crate) mod given_url;
pub(crate) mod head;
pub(crate) mod proxy;
mod resolver;
pub(crate) mod retry;
mod roots;
mod settings;
#[cfg(feature = "_tls")]
mod tls_failure;
pub(crate) mod token_answer;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::http::Uri;
use ureq::typestate::AgentScope;

use crate::clock::{Clock, LONGEST};
use crate::error::Error;
use crate::secret::Secret;
use crate::sys::credentials::env_var;
use crate::sys::file;
use crate::transport::adapter::ResolverForUreq;
use crate::transport::endpoint::Endpoint;
use crate::transport::proxy::{Proxies, ProxySetting};
pub use crate::transport::roots::Roots;
use crate::transport::settings::{ClientFiles, Prepared, SMALLEST_BUFFER, Settings};

/// How servers are reached: trusted certificate authorities, proxy, deadlines, clock.
///
/// The defaults do not depend on the machine: no redirects, no proxy from the environment, https only (http on
/// loopback), a deadline for everything, small buffers, no connection kept after a token exchange.
///
/// No setter fails, and none reads a file or the environment. The settings are checked, and their files read, by the first
/// exchange, by [`AgentBuilder::build`](crate::AgentBuilder::build), or by [`check`](Self::check). That happens once for all
/// clones. The order of the setters does not matter.
///
/// The library emits [`log`](https://docs.rs/log) records with the target `keyfob`. None holds a secret or a query.
///
/// | level | record |
/// | --- | --- |
/// | `warn` | the machine's clock is wrong and the time was corrected, or the clock is right again; a token could not be saved or renewed; the store cannot be used |
/// | `info` | an exchange or API call is tried again, and why |
/// | `debug` | an exchange or API call was tried: method, origin and path, the status or the error, its duration, the number of the try and the outcome of the one before, the source of the token; a token was obtained or read from the store |
///
/// Cheap to clone; clones share the clock and the resolved host names. May be used from any thread.
///
/// ```
/// # use std::time::Duration;
/// let transport = keyfob::Transport::new().with_timeout(Duration::from_secs(10));
/// ```
#[derive(Clone)]
pub struct Transport {
    shared: Arc<Shared>,
    timeout: Duration,
    clock: Clock,
}

struct Shared {
    settings: Settings,
    /// Made from the settings at their first use.
    prepared: OnceLock<Prepared>,
}

impl Transport {
    /// Makes a transport with the default of each setting.
    pub fn new() -> Self {
        let shared = Shared { settings: Settings::new(), prepared: OnceLock::new() };
        Self { shared: Arc::new(shared), timeout: Duration::from_secs(30), clock: Clock::system() }
    }

    fn change(self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.shared.settings.clone();
        change(&mut settings);
        Self { shared: Arc::new(Shared { settings, prepared: OnceLock::new() }), ..self }
    }

    /// Makes a transport with the settings of the environment: `KEYFOB_CA_FILE` and `KEYFOB_PROXY` (a URL, `env` for
    /// [`with_proxy_from_env`](Self::with_proxy_from_env), or `none`). An empty variable counts as unset. No proxy is used for this
    /// machine (`localhost` and the addresses of loopback).
    ///
    /// `KEYFOB_CA_FILE` is a path, or `builtin`, `system` or `auto`: see [`Roots`]. `SSL_CERT_FILE` names the system's CA file for
    /// `system` and `auto`.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if a variable is not UTF-8, or if `KEYFOB_CA_FILE` names a file that does not
    /// exist.
    pub fn from_env() -> Result<Self, Error> {
        let proxy = env_var("KEYFOB_PROXY")?.map(Secret::from);
        Self::from_values(env_var("KEYFOB_CA_FILE")?.as_deref(), proxy.as_ref())
    }

    /// Makes a transport as [`from_env`](Self::from_env) does, with these values in place of `KEYFOB_CA_FILE` and `KEYFOB_PROXY`. For a
    /// program that has options for them. Of the environment only `SSL_CERT_FILE` is read.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn from_values(ca_file: Option<&str>, proxy: Option<&Secret>) -> Result<Self, Error> {
        let bundle = env_var("SSL_CERT_FILE")?.map(PathBuf::from);
        let mut transport = Self::new().change(|settings| settings.bundle = bundle);
        if let Some(roots) = ca_file.map(Roots::named) {
            // A path that leads nowhere may be a secret in the wrong variable. So it is not shown.
            if let Roots::File(path) = &roots
                && let Err(e) = std::fs::symlink_metadata(path)
            {
                let text =
                    "could not read the CA file that KEYFOB_CA_FILE, or the setting in its place, names";
                return Err(Error::invalid(format!("{text}: {}", file::why_at(path, &e))).with_source(&e));
            }
            transport = transport.with_roots(roots);
        }
        Ok(match proxy.and_then(Secret::expose_str) {
            None | Some("none") => transport,
            Some("env") => transport.with_proxy_from_env(),
            Some(url) => {
                let proxies = Proxies::given(&url.into()).map(Proxies::without_loopback);
                transport.change(|settings| settings.proxy = ProxySetting::Given(proxies))
            }
        })
    }

    /// Checks all settings and reads their files now, instead of at the first use.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) that names the first setting that cannot be used, and the reason.
    pub fn check(&self) -> Result<(), Error> {
        self.prepared().map(drop)
    }

    /// Returns the checked settings. A failure is not remembered: a missing file may exist the next time.
    fn prepared(&self) -> Result<&Prepared, Error> {
        let Shared { settings, prepared } = &*self.shared;
        if let Some(prepared) = prepared.get() {
            return Ok(prepared);
        }
        let new = Prepared::new(settings)?;
        Ok(prepared.get_or_init(|| new))
    }

    /// Sets the deadline of a whole token exchange. It includes looking up names, connecting, repeats and waits. Default: 30 s.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long connecting may take, TLS included. Default: 10 s.
    pub fn with_connect_timeout(self, timeout: Duration) -> Self {
        self.change(|settings| settings.connect_timeout = timeout.min(LONGEST))
    }

    /// Sets the sizes of the input and the output buffer of each connection, in bytes. A size below 4 KiB counts as 4 KiB, and one above
    /// 16 MiB as 16 MiB. Default: 16 KiB each.
    ///
    /// The header of an answer must fit into the input buffer, and into 64 KiB. The first line and each header field of a request
    /// must fit into the output buffer; a request that does not fit is refused.
    pub fn with_buffer_sizes(self, input: usize, output: usize) -> Self {
        let within = |size: usize| size.clamp(SMALLEST_BUFFER, 16 * 1024 * 1024);
        self.change(|settings| settings.buffers = (within(input), within(output)))
    }

    /// Sets the `User-Agent` header, of at most 4,032 bytes. Default: `keyfob/` and the version.
    pub fn with_user_agent(self, user_agent: impl Into<String>) -> Self {
        self.change(|settings| settings.user_agent = user_agent.into())
    }

    /// Sets the trusted certificate authorities. Default: [`Roots::BuiltIn`].
    pub fn with_roots(self, roots: Roots) -> Self {
        self.change(|settings| settings.roots = roots)
    }

    /// Trusts the certificate authorities in this PEM file, in place of the built-in ones (as curl's `--cacert`). Anything else
    /// in the file, such as a key, is ignored. Short for [`with_roots`](Self::with_roots) and [`Roots::File`].
    pub fn with_ca_file(self, path: impl Into<PathBuf>) -> Self {
        self.with_roots(Roots::File(path.into()))
    }

    /// Whether a client certificate is set.
    pub(crate) fn has_client_certificate(&self) -> bool {
        self.shared.settings.client_certificate.is_some()
    }

    /// Sends this certificate to servers that ask for one (RFC 8705 2). Default: none.
    ///
    /// Both paths name PEM files. The first holds the certificate, followed by those that lead to its authority. The second holds its
    /// private key: ECDSA with P-256 or P-384, or RSA with 2048, 3072 or 4096 bits, without a password. Both paths may name the
    /// same file. A key that everyone on the machine may read is refused.
    pub fn with_client_certificate(self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.change(|settings| {
            settings.client_certificate = Some(ClientFiles::new(certificate.into(), key.into()));
        })
    }

    /// Connects through an HTTP proxy: `http://[user:password@]host:port`. Default: none. Plain http never goes through the proxy.
    /// `NO_PROXY` is ignored. SOCKS is not supported.
    pub fn with_proxy(self, url: impl Into<Secret>) -> Self {
        let proxies = Proxies::given(&url.into());
        self.change(|settings| settings.proxy = ProxySetting::Given(proxies))
    }

    /// Connects through the proxy that the environment names, if any, by curl's rules. The first of `https_proxy`, `HTTPS_PROXY`,
    /// `all_proxy` and `ALL_PROXY` that is not empty names it. keyfob connects directly to the hosts in `no_proxy`, or else `NO_PROXY`. The
    /// environment is read when the settings are checked. Default: the environment is not read.
    ///
    /// No proxy is used for this machine: `localhost` and the addresses of loopback.
    ///
    /// Each entry of `no_proxy` is a name, an address or a network (`10.0.0.0/8`). A name includes its subdomains. Entries are separated by
    /// commas or white space; a single `*` stands for all hosts. `HTTP_PROXY` is ignored, because plain http never goes through a proxy
    /// here. If the proxy cannot be used, as with SOCKS, each call that would go through it fails with
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput).
    pub fn with_proxy_from_env(self) -> Self {
        self.change(|settings| settings.proxy = ProxySetting::Env)
    }

    /// Sets the clock. Default: the system's.
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Returns the clock, with the offset that it has now.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Returns the most bytes that each line of a request's head may have.
    pub(crate) fn output_buffer(&self) -> usize {
        self.shared.settings.buffers.1
    }

    /// Returns the deadline of an exchange.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Returns the proxies, which decide for each request.
    pub(crate) fn proxies(&self) -> Result<&Proxies, Error> {
        Ok(&self.prepared()?.proxies)
    }

    /// Returns the proxy of requests to this URL, without user name and password: `http://host:port`. `None` if they use none.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the proxy cannot be used.
    pub fn proxy_for(&self, url: &Uri) -> Result<Option<String>, Error> {
        let proxies = self.shared.settings.proxy.proxies()?;
        let proxy = proxies.of(url).map_err(|unusable| unusable.error("", String::new()))?;
        Ok(proxy
            .map(|proxy| format!("{}://{}", proxy.uri().scheme_str().unwrap_or("http"), proxy::place(proxy))))
    }

    /// Refuses an endpoint whose proxy cannot be used. A login calls this before it starts, because its code would be lost later.
    pub(crate) fn check_proxy(&self, doing: &'static str, endpoint: &Endpoint) -> Result<(), Error> {
        let proxy = self.proxies()?.of(endpoint.uri());
        proxy.map(drop).map_err(|unusable| unusable.error(doing, endpoint.origin().to_string()))
    }

    /// Makes an agent for API calls. Its middleware sends through an inner agent, because `MiddlewareNext` can be used only once.
    pub(crate) fn api_agent<M: ureq::middleware::Middleware>(
        &self,
        max_idle: usize,
        deadline: Duration,
        middleware: impl FnOnce(Agent) -> M,
    ) -> Result<Agent, Error> {
        let (settings, prepared) = (&self.shared.settings, self.prepared()?);
        let config = || prepared.config(settings, max_idle);
        let agent = |config: ConfigBuilder<AgentScope>| {
            let resolver = ResolverForUreq(settings.resolver.clone());
            Agent::with_parts(config.build(), prepared.connect.clone(), resolver)
        };
        let inner = agent(config().timeout_per_call(Some(deadline)));
        // A request with settings of its own copies these, so the inner agent has the same.
        Ok(agent(config().middleware(middleware(inner))))
    }
}

impl Default for Transport {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("timeout", &self.timeout)
            .field("connect_timeout", &self.shared.settings.connect_timeout)
            .field("roots", &self.shared.settings.roots)
            .field("client_certificate", &self.shared.settings.client_certificate.is_some())
            .field("proxy", &self.shared.settings.proxy.is_some())
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
