//! All code that uses ureq's unversioned parts. It makes connections and reads answers from them.

mod answers;
mod buffers;
mod details;
mod dial;
pub(super) mod head;
mod line;
pub(crate) mod message;
mod socket;
#[cfg(feature = "_tls")]
pub(crate) mod tls;
mod tunnel;
pub(super) mod watch;
pub(crate) mod wire_error;

use std::net::SocketAddr;
use std::sync::Arc;
use std::{fmt, iter};

use ureq::config::Config;
use ureq::http::Uri;
#[cfg(feature = "_tls")]
use ureq::tls::TlsProvider;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver as UreqResolver};
use ureq::unversioned::transport::{ConnectionDetails, Connector, NextTimeout, Transport};
use ureq::{Proxy, ProxyProtocol};

use crate::clock::Deadline;
use crate::transport::resolver::{ResolveError, Resolver, literal};

use answers::Answers;
use details::details_to;
use line::Line;
use message::Rules;
use socket::Socket;
#[cfg(feature = "_tls")]
use tls::Tls;
use tunnel::Tunnel;
use watch::Watch;
use wire_error::{ProxyError, unsent};

/// Makes the connections of all agents of a [`Transport`](crate::Transport), so that TLS is set up once and sessions resume.
#[derive(Clone)]
pub(crate) struct Connect {
    #[cfg(feature = "_tls")]
    tls: Arc<Tls>,
    /// The exchange with a token endpoint. `None` for API calls, whose connections are kept.
    watch: Option<Arc<Watch>>,
}

impl Connect {
    pub(crate) fn new(#[cfg(feature = "_tls")] tls: Tls) -> Self {
        Self {
            #[cfg(feature = "_tls")]
            tls: Arc::new(tls),
            watch: None,
        }
    }

    /// Returns the same connector for one exchange.
    pub(crate) fn watched(&self, watch: Arc<Watch>) -> Self {
        Self { watch: Some(watch), ..self.clone() }
    }

    /// Opens a socket to `uri` or its proxy, with the tunnel through the proxy, TLS, and the layer that reads answers.
    fn connection(&self, details: &ConnectionDetails<'_>) -> Result<Box<dyn Transport>, ureq::Error> {
        let rules = Rules {
            max_head: (details.config.input_buffer_size() - 1).min(64 * 1024),
            keeps_needed: self.watch.is_some(),
        };
        let proxy = details.config.proxy().filter(|proxy| !proxy.is_no_proxy(details.uri));
        check_support(proxy, details)?;
        let deadline = Deadline::after(*details.timeout.after);
        #[cfg(feature = "_tls")]
        let (inner, line) = self.tls.open(details, |trust| self.open(details, proxy, deadline, trust))?;
        #[cfg(not(feature = "_tls"))]
        let (inner, line) = self.open(details, proxy, deadline, None)?;
        Ok(Box::new(Answers::new(inner, line, self.watch.clone(), rules)))
    }

    /// Opens a socket to the server or the proxy, the tunnel through the proxy, and TLS.
    fn open(
        &self,
        details: &ConnectionDetails<'_>,
        proxy: Option<&Proxy>,
        deadline: Deadline,
        trust: Option<&Config>,
    ) -> Result<(Box<dyn Transport>, Arc<Line>), ureq::Error> {
        let socket =
            |addresses: &[SocketAddr]| Socket::connect(details, addresses, deadline, self.watch.clone());
        let (socket, line) = match proxy {
            None => {
                let socket = socket(&details.addrs)?;
                let line = socket.line();
                (Box::new(socket) as Box<dyn Transport>, line)
            }
            Some(proxy) => {
                let tunnel = || {
                    // Looking up the proxy's name uses up the time for connecting.
                    let timeout = NextTimeout { after: deadline.remaining().into(), ..details.timeout };
                    let addresses = details.resolver.resolve(proxy.uri(), details.config, timeout)?;
                    let socket = socket(&addresses)?;
                    let line = socket.line();
                    let to_proxy = details_to(proxy.uri(), details);
                    let connection = self.encrypted(&to_proxy, Box::new(socket), &line, trust)?;
                    Ok((tunnel::open(connection, proxy, details, deadline)?, line))
                };
                tunnel().map_err(|error| ProxyError::wrap(proxy, error))?
            }
        };
        Ok((self.encrypted(details, socket, &line, trust)?, line))
    }

    /// Adds TLS, if the URL asks for it.
    #[cfg(feature = "_tls")]
    fn encrypted(
        &self,
        details: &ConnectionDetails<'_>,
        transport: Box<dyn Transport>,
        line: &Line,
        trust: Option<&Config>,
    ) -> Result<Box<dyn Transport>, ureq::Error> {
        if details.needs_tls() { self.tls.connect(details, transport, line, trust) } else { Ok(transport) }
    }

    #[cfg(not(feature = "_tls"))]
    #[expect(clippy::unused_self, reason = "as with TLS")]
    fn encrypted(
        &self,
        details: &ConnectionDetails<'_>,
        transport: Box<dyn Transport>,
        _: &Line,
        _: Option<&Config>,
    ) -> Result<Box<dyn Transport>, ureq::Error> {
        // For example, a proxy that is reached over https.
        if details.needs_tls() { Err(ureq::Error::TlsRequired) } else { Ok(transport) }
    }
}

impl Connector for Connect {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        self.connection(details).map(Some).map_err(unsent)
    }
}

/// Refuses a proxy or TLS library that keyfob does not support. A caller may set them for a request.
fn check_support(proxy: Option<&Proxy>, details: &ConnectionDetails<'_>) -> Result<(), ureq::Error> {
    let is_http = |proxy: &Proxy| matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https);
    #[cfg(feature = "_tls")]
    let has_tls = {
        let provider = details.config.tls_config().provider();
        cfg!(feature = "rustls") && provider == TlsProvider::Rustls
            || cfg!(feature = "native-tls") && provider == TlsProvider::NativeTls
    };
    #[cfg(not(feature = "_tls"))]
    let has_tls = false;
    match proxy {
        Some(proxy) if !is_http(proxy) => Err(ureq::Error::InvalidProxyUrl),
        _ if has_tls || !details.needs_tls() => Ok(()),
        _ => Err(ureq::Error::TlsRequired),
    }
}

/// The [`Resolver`] as ureq calls it.
pub(crate) struct ResolverForUreq(pub(crate) Resolver);

impl UreqResolver for ResolverForUreq {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or_else(|| unsent(ureq::Error::HostNotFound))?;
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let mut found = self.empty();
        let mut keep = |address| found.push(address);
        if let Some(ip) = literal(host) {
            config.ip_family().keep_wanted(iter::once(SocketAddr::new(ip, port))).for_each(keep);
        } else {
            let within = (!timeout.after.is_not_happening()).then_some(*timeout.after);
            let addresses = self.0.resolve(host, port, within).map_err(|error| {
                unsent(match error {
                    ResolveError::NotFound => ureq::Error::HostNotFound,
                    ResolveError::TimedOut => ureq::Error::Timeout(ureq::Timeout::Resolve),
                    ResolveError::NoAnswer | ResolveError::NoThread | ResolveError::System(_) => {
                        ureq::Error::Other(Box::new(error))
                    }
                })
            })?;
            config.ip_family().keep_wanted(addresses.into_iter()).take(16).for_each(&mut keep);
        }
        if found.is_empty() { Err(unsent(ureq::Error::HostNotFound)) } else { Ok(found) }
    }
}

/// ureq requires `Debug` of the parts that it is given. The name is all that they show.
macro_rules! show_names {
    ($($part:ident),*) => {$(
        impl fmt::Debug for $part {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($part))
            }
        }
    )*};
}
show_names!(Answers, Connect, ResolverForUreq, Socket, Tunnel);
