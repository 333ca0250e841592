//! The settings of a [`Transport`](super::Transport), as given and as checked.

#[cfg(feature = "_tls")]
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::http::HeaderValue;
#[cfg(feature = "_tls")]
use ureq::tls::{ClientCert, RootCerts, TlsConfig};
use ureq::typestate::AgentScope;

use crate::check;
use crate::error::Error;
use crate::transport::adapter::Connect;
#[cfg(feature = "_tls")]
use crate::transport::adapter::tls::{Fallback, Tls};
#[cfg(feature = "_tls")]
use crate::transport::client_certificate;
use crate::transport::proxy::{Proxies, ProxySetting};
use crate::transport::resolver::Resolver;
use crate::transport::roots::Roots;
#[cfg(feature = "_tls")]
use crate::transport::roots::read;

/// The smallest size of a connection's input buffer and output buffer.
pub(super) const SMALLEST_BUFFER: usize = 4 * 1024;

/// The settings as they were given.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) connect_timeout: Duration,
    /// The sizes for input and output.
    pub(super) buffers: (usize, usize),
    pub(super) user_agent: String,
    pub(super) proxy: ProxySetting,
    pub(super) roots: Roots,
    /// The bundle of the system, where the environment names it.
    pub(super) bundle: Option<PathBuf>,
    pub(super) client_certificate: Option<ClientFiles>,
    pub(super) resolver: Resolver,
}

impl Settings {
    pub(super) fn new() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            buffers: (16 * 1024, 16 * 1024),
            user_agent: concat!("keyfob/", env!("CARGO_PKG_VERSION")).to_owned(),
            proxy: ProxySetting::None,
            roots: Roots::default(),
            bundle: None,
            client_certificate: None,
            resolver: Resolver::new(),
        }
    }
}

/// The files of a client certificate and its key.
#[derive(Clone)]
#[cfg_attr(not(feature = "_tls"), expect(dead_code))]
pub(super) struct ClientFiles {
    certificate: PathBuf,
    key: PathBuf,
    /// The setter names the function, so that a program without a client certificate does not contain it (25 KB).
    #[cfg(feature = "_tls")]
    read: fn(&Path, &Path) -> Result<ClientCert, Error>,
}

impl ClientFiles {
    pub(super) fn new(certificate: PathBuf, key: PathBuf) -> Self {
        Self {
            certificate,
            key,
            #[cfg(feature = "_tls")]
            read: client_certificate::read,
        }
    }
}

/// The checked settings, with the content of their files.
pub(super) struct Prepared {
    pub(super) connect: Connect,
    pub(super) proxies: Proxies,
    #[cfg(feature = "_tls")]
    tls: TlsConfig,
}

impl Prepared {
    /// Checks the settings, and reads their files and the environment where they name these.
    pub(super) fn new(settings: &Settings) -> Result<Self, Error> {
        check_user_agent(&settings.user_agent)?;
        let proxies = settings.proxy.proxies()?;
        #[cfg(not(feature = "_tls"))]
        {
            let has_ca_file = matches!(settings.roots, Roots::System | Roots::File(_));
            if has_ca_file || settings.client_certificate.is_some() {
                return Err(Error::invalid(
                    "a CA file or client certificate is of no use: keyfob was built without TLS; enable its feature rustls or \
                     native-tls",
                ));
            }
        }
        #[cfg(feature = "_tls")]
        let (tls, connect) = {
            let client = settings.client_certificate.as_ref();
            let client = client.map(|files| (files.read)(&files.certificate, &files.key)).transpose()?;
            let roots = match &settings.roots {
                Roots::BuiltIn | Roots::Auto => RootCerts::WebPki,
                Roots::File(path) => read::of_file(path)?,
                Roots::System => read::of_system(settings.bundle.as_deref())?.ok_or_else(|| {
                    Error::invalid(
                        "found no CA file of the system: name it in SSL_CERT_FILE, or name one of your own",
                    )
                })?,
            };
            let config = tls(roots, client.clone());
            let has_ca_file = matches!(settings.roots, Roots::File(_));
            (config.clone(), Connect::new(Tls::new(config, has_ca_file, fallback(settings, client))))
        };
        #[cfg(not(feature = "_tls"))]
        let connect = Connect::new();
        Ok(Self {
            connect,
            proxies,
            #[cfg(feature = "_tls")]
            tls,
        })
    }

    /// Returns the configuration of an agent that keeps at most `max_idle` idle connections.
    pub(super) fn config(&self, settings: &Settings, max_idle: usize) -> ConfigBuilder<AgentScope> {
        let (input, output) = settings.buffers;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(self.proxies.usual().cloned())
            .user_agent(settings.user_agent.as_str())
            .input_buffer_size(input)
            .output_buffer_size(output)
            // One less than the buffer. Otherwise ureq reports a header that never ends as a lost connection.
            .max_response_header_size((input - 1).min(64 * 1024))
            .max_idle_connections(max_idle)
            .max_idle_connections_per_host(max_idle)
            .timeout_connect(Some(settings.connect_timeout));
        #[cfg(feature = "_tls")]
        let config = config.tls_config(self.tls.clone());
        config
    }
}

/// Returns the connector with the system's authorities, for servers whose authority is not built in.
#[cfg(feature = "_tls")]
fn fallback(settings: &Settings, client: Option<ClientCert>) -> Option<Fallback> {
    let (bundle, (input, output)) = (settings.bundle.clone(), settings.buffers);
    (settings.roots == Roots::Auto).then(|| {
        Fallback::new(move || {
            let roots = read::of_system(bundle.as_deref())?;
            let config = Agent::config_builder().input_buffer_size(input).output_buffer_size(output);
            Ok(roots.map(|roots| config.tls_config(tls(roots, client.clone())).build()))
        })
    })
}

#[cfg(feature = "_tls")]
fn tls(roots: RootCerts, client: Option<ClientCert>) -> TlsConfig {
    let provider = if cfg!(feature = "rustls") {
        ureq::tls::TlsProvider::Rustls
    } else {
        ureq::tls::TlsProvider::NativeTls
    };
    TlsConfig::builder().provider(provider).root_certs(roots).client_cert(client).build()
}

/// Refuses a user agent that no request could carry.
fn check_user_agent(user_agent: &str) -> Result<(), Error> {
    /// Together with the name of its field it fits into the smallest output buffer.
    const MOST: usize = SMALLEST_BUFFER - 64;
    check::value("user agent", user_agent.as_bytes())?;
    if user_agent.len() > MOST {
        let text = format!("the user agent is {} bytes long; at most {MOST} can be sent", user_agent.len());
        return Err(Error::invalid(text));
    }
    HeaderValue::from_str(user_agent)
        .ok()
        .filter(|value| value.to_str().is_ok())
        .map(drop)
        .ok_or_else(|| Error::invalid("the user agent holds characters that no header can carry"))
}
