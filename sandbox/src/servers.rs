//! The parts that the sandboxes of all services share: servers, their clock, faults, counts and log.

use std::collections::VecDeque;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::fault::Lane;
use crate::origin::{Common, Origin, Service};
use crate::tls::{Front, TestAuthority};
use crate::{Clock, Endpoint, Fault, LoggedRequest, ServerCertificate};

/// The servers of a sandbox. [`Sandbox`](crate::Sandbox), [`SpacebringSandbox`](crate::SpacebringSandbox) and
/// [`AcmeSandbox`](crate::AcmeSandbox) dereference to this type, so each of them has these methods.
pub struct Servers {
    common: Arc<Common>,
    origins: Vec<Origin>,
    tls: Option<Arc<Tls>>,
    /// The sockets of the origins that are still to be opened; an origin without one takes any free port.
    listeners: VecDeque<TcpListener>,
}

/// A certificate authority, and the file with its certificate for clients.
pub(crate) struct Tls {
    authority: TestAuthority,
    folder: TempDir,
}

impl Tls {
    pub(crate) fn new() -> Self {
        let authority = TestAuthority::new().expect("an authority can be made");
        let folder = tempfile::Builder::new().prefix("keyfob-sandbox-").tempdir();
        let tls = Self { authority, folder: folder.expect("there is a place for temporary files") };
        write_readable(&tls.ca_file(), &tls.authority.pem());
        tls
    }

    fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

/// The starts and the demo account of a sandbox that can stand beside another one, and its `Deref` to [`Servers`].
macro_rules! handle {
    ($handle:ident, $origins:literal) => {
        impl $handle {
            /// Starts a sandbox that speaks plain HTTP.
            ///
            /// # Panics
            ///
            /// If there is no loopback network.
            pub fn start() -> Self {
                Self::start_with($crate::Clock::default(), None, [])
            }

            /// Starts a sandbox that speaks TLS, with a certificate from a fresh authority: see [`Servers::ca_pem`].
            ///
            /// # Panics
            ///
            /// If there is no loopback network or no place for temporary files.
            pub fn start_tls() -> Self {
                Self::start_with(
                    $crate::Clock::default(),
                    Some(std::sync::Arc::new($crate::servers::Tls::new())),
                    [],
                )
            }

            /// Starts a sandbox beside SpatiaFi's: with the same clock and, if that one speaks TLS, the same authority.
            ///
            /// # Panics
            ///
            /// If there is no loopback network.
            pub fn beside(sandbox: &$crate::Sandbox) -> Self {
                Self::start_with(sandbox.clock().clone(), sandbox.tls(), [])
            }

            /// As `beside`, at these sockets of `127.0.0.1`: the one for logins and tokens first, then that of an API with an origin
            /// of its own.
            ///
            /// # Panics
            ///
            /// If there is no loopback network.
            pub fn beside_at(
                sandbox: &$crate::Sandbox,
                listeners: [std::net::TcpListener; $origins],
            ) -> Self {
                Self::start_with(sandbox.clock().clone(), sandbox.tls(), listeners)
            }
        }

        /// The demo account, and the secret of the first client.
        impl $handle {
            /// The email that the log-in page takes.
            pub fn username(&self) -> &'static str {
                $crate::oauth::USERNAME
            }

            /// The password that the log-in page takes.
            pub fn password(&self) -> &'static str {
                $crate::oauth::PASSWORD
            }

            /// The `client_secret` of the client that is registered from the start. It holds characters that clients often encode badly.
            pub fn client_secret(&self) -> &str {
                &self.client.1
            }

            /// Replaces the client that is registered from the start.
            pub fn set_client(&mut self, client_id: &str, client_secret: &str) {
                self.clients().remove(&self.client.0);
                self.add_client_with_secret(client_id, client_secret);
                self.client = (client_id.to_owned(), client_secret.to_owned());
            }
        }

        impl std::ops::Deref for $handle {
            type Target = Servers;

            fn deref(&self) -> &Servers {
                &self.servers
            }
        }
    };
}
pub(crate) use handle;

impl Servers {
    pub(crate) fn new(
        clock: Clock,
        tls: Option<Arc<Tls>>,
        listeners: impl IntoIterator<Item = TcpListener>,
    ) -> Self {
        let common = Arc::new(Common { clock, ..Common::default() });
        Self { common, origins: Vec::new(), tls, listeners: listeners.into_iter().collect() }
    }

    pub(crate) fn open(&mut self, name: &'static str, service: impl Service) {
        let authority = self.tls.as_ref().map(|tls| &tls.authority);
        let listener = self.listeners.pop_front();
        self.origins.push(Origin::start(name, service, &self.common, authority, listener));
    }

    pub(crate) fn url(&self, name: &str) -> String {
        let origin = self.origins.iter().find(|origin| origin.name() == name);
        origin.expect("a sandbox asks for its own servers").url()
    }

    pub(crate) fn tls(&self) -> Option<Arc<Tls>> {
        self.tls.clone()
    }

    /// Returns the variable that names the authority's file, if there is one.
    pub(crate) fn ca_env(&self) -> Option<(&'static str, String)> {
        self.ca_file().map(|path| ("KEYFOB_CA_FILE", path.display().to_string()))
    }

    pub(crate) fn reset_counts(&self) {
        self.common.counters.reset();
        self.common.faulted.reset();
    }
}

/// Addresses, certificates and the clock.
impl Servers {
    /// The clock that all of the sandbox uses.
    pub fn clock(&self) -> &Clock {
        &self.common.clock
    }

    /// The authority's certificate, if this sandbox speaks TLS.
    pub fn ca_pem(&self) -> Option<String> {
        self.tls.as_ref().map(|tls| tls.authority.pem())
    }

    /// A file with [`Servers::ca_pem`], removed with the sandbox.
    pub fn ca_file(&self) -> Option<PathBuf> {
        self.tls.as_ref().map(|tls| tls.ca_file())
    }

    /// A new client certificate and its key, both in PEM, for [`ServerCertificate::Mutual`]. `None` without TLS.
    ///
    /// # Panics
    ///
    /// If the certificate cannot be made.
    pub fn client_certificate(&self) -> Option<(String, String)> {
        let tls = self.tls.as_ref();
        tls.map(|tls| tls.authority.client_certificate().expect("a certificate can be made"))
    }

    /// Shows another certificate on new connections; open ones continue. Has no effect without TLS.
    ///
    /// # Panics
    ///
    /// If the certificate cannot be made.
    pub fn set_certificate(&self, kind: ServerCertificate) {
        if let Some(tls) = &self.tls {
            for front in self.origins.iter().filter_map(Origin::front) {
                front.set_config(tls.authority.server_config(kind));
            }
        }
    }
}

/// Faults.
impl Servers {
    /// Queues a fault for the next request of an endpoint, behind those that wait already.
    pub fn fault(&self, endpoint: Endpoint, fault: Fault) {
        self.close_used_lanes();
        let fault = Arc::new(fault);
        let lane = fault.own_delay().map(|delay| self.open_lane(delay, Some(&fault)));
        self.common.faults.push(endpoint, fault, lane);
    }

    /// Removes all faults. Lasting delays stay.
    pub fn clear_faults(&self) {
        self.common.faults.clear();
        self.close_used_lanes();
    }

    /// Delays every answer of an endpoint. The delays of simultaneous requests run side by side. Zero ends the delay. A fault that has its
    /// own delay uses that one instead. Any other fault happens after this delay.
    pub fn set_delay(&self, endpoint: Endpoint, delay: Duration) {
        let lane = (!delay.is_zero()).then(|| self.open_lane(delay, None));
        if let Some(unneeded) = self.common.faults.set_delay(endpoint, lane) {
            self.close_lane(unneeded);
        }
    }

    /// Cuts the connections of this share of the requests: half of them before the request is passed on, half in the middle of the answer.
    /// Has no effect without TLS. Default: 0.
    pub fn set_cuts(&self, share: f64) {
        for front in self.origins.iter().filter_map(Origin::front) {
            front.set_cuts(share);
        }
    }

    fn open_lane(&self, delay: Duration, fault: Option<&Arc<Fault>>) -> Lane {
        let lane = self.common.faults.new_lane();
        for origin in &self.origins {
            origin.open_lane(lane, delay, fault.cloned());
        }
        lane
    }

    fn close_lane(&self, lane: Lane) {
        for origin in &self.origins {
            origin.close_lane(lane);
        }
    }

    fn close_used_lanes(&self) {
        for lane in self.common.faults.used_up() {
            self.close_lane(lane);
        }
    }
}

/// Counts and log.
impl Servers {
    /// How many requests of an endpoint arrived, answered or not.
    pub fn count(&self, endpoint: Endpoint) -> u64 {
        self.common.counters.get(endpoint)
    }

    /// How many requests of an endpoint were answered by a fault in place of the service.
    pub fn faulted(&self, endpoint: Endpoint) -> u64 {
        self.common.faulted.get(endpoint)
    }

    /// How many connections were cut: see [`Servers::set_cuts`].
    pub fn cuts(&self) -> u64 {
        self.origins.iter().filter_map(Origin::front).map(Front::cuts).sum()
    }

    /// How many requests arrived in all.
    pub fn total(&self) -> u64 {
        Endpoint::ALL.into_iter().map(|endpoint| self.count(endpoint)).sum()
    }

    /// The last requests in the order of their answers. A request whose client hung up during a delay is counted
    /// but not here.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.common.log.requests()
    }

    /// Empties the log. The counts stay.
    pub fn clear_requests(&self) {
        self.common.log.clear();
    }

    /// How many requests the log keeps. Default: 1,000.
    pub fn set_log_limit(&self, limit: usize) {
        self.common.log.set_limit(limit);
    }

    /// Calls `observer` with each request as it is answered, on the server's thread: it must not block.
    pub fn observe(&self, observer: impl Fn(&LoggedRequest) + Send + Sync + 'static) {
        self.common.log.set_observer(Arc::new(observer));
    }
}

fn write_readable(path: &Path, text: &str) {
    fs::write(path, text).expect("a fresh folder can be written to");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o644))
            .expect("our own file can be opened to all");
    }
}
