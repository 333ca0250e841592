//! The handle that tests and the program hold.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::fault::Lane;
use crate::origin::{Common, Origin};
use crate::spatiafi::{self, Api, Auth, SpatiaFi};
use crate::sync::lock;
use crate::tls::TestAuthority;
use crate::tokens::TokenKind;
use crate::{Clock, Denial, Endpoint, Fault, LoggedRequest, ServerCertificate};

/// SpatiaFi on two loopback origins, until it is dropped.
///
/// One process has room for twelve at a time: the thirteenth waits until another one is dropped. (httpmock keeps
/// 25 servers at most; its variable `HTTPMOCK_MAX_SERVERS` changes that.)
pub struct Sandbox {
    common: Arc<Common>,
    spatiafi: Arc<SpatiaFi>,
    auth: Origin,
    api: Origin,
    tls: Option<Tls>,
    client: (String, String),
}

struct Tls {
    authority: TestAuthority,
    folder: TempDir,
}

impl Tls {
    fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

impl Sandbox {
    /// Starts a sandbox that speaks plain HTTP.
    ///
    /// # Panics
    ///
    /// If there is no loopback network.
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// Starts a sandbox that speaks TLS, with a certificate from a fresh authority: see [`Sandbox::ca_pem`].
    ///
    /// # Panics
    ///
    /// If there is no loopback network or no place for temporary files.
    pub fn start_tls() -> Self {
        let authority = TestAuthority::new().expect("an authority can be made");
        let folder = tempfile::Builder::new().prefix("keyfob-sandbox-").tempdir();
        let tls = Tls { authority, folder: folder.expect("there is a place for temporary files") };
        write_readable(&tls.ca_file(), &tls.authority.pem());
        Self::start_with(Some(tls))
    }

    fn start_with(tls: Option<Tls>) -> Self {
        let common = Arc::new(Common::default());
        let spatiafi = SpatiaFi::new(&common.clock);
        let authority = tls.as_ref().map(|tls| &tls.authority);
        let auth = Origin::start("auth", Auth(Arc::clone(&spatiafi)), &common, authority);
        let api = Origin::start("api", Api(Arc::clone(&spatiafi)), &common, authority);
        let client = spatiafi.add_client();
        Self { common, spatiafi, auth, api, tls, client }
    }

    fn origins(&self) -> [&Origin; 2] {
        [&self.auth, &self.api]
    }
}

/// Where it is.
impl Sandbox {
    /// Scheme, host and port of the server for signing in.
    pub fn auth_url(&self) -> String {
        self.auth.url()
    }

    /// Scheme, host and port of the API.
    pub fn api_url(&self) -> String {
        self.api.url()
    }

    /// The URL of step 1.
    pub fn basic_token_url(&self) -> String {
        self.auth.url() + spatiafi::BASIC_TOKEN
    }

    /// The URL of step 2.
    pub fn clients_url(&self) -> String {
        self.auth.url() + spatiafi::CLIENTS
    }

    /// The URL of step 3, and the `aud` that assertions must have.
    pub fn token_url(&self) -> String {
        self.auth.url() + spatiafi::TOKEN
    }

    /// The environment that points the library, the examples and the command at this sandbox.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        let mut env = vec![
            ("SPATIAFI_AUTH_URL", self.auth_url()),
            ("SPATIAFI_API_URL", self.api_url()),
            ("SPATIAFI_CLIENT_ID", self.client.0.clone()),
            ("SPATIAFI_CLIENT_SECRET", self.client.1.clone()),
            ("SPATIAFI_USERNAME", self.username().to_owned()),
            ("SPATIAFI_PASSWORD", self.password().to_owned()),
        ];
        if let Some(path) = self.ca_file() {
            env.push(("KEYFOB_CA_FILE", path.display().to_string()));
        }
        env
    }

    /// The authority's certificate, if this sandbox speaks TLS.
    pub fn ca_pem(&self) -> Option<String> {
        self.tls.as_ref().map(|tls| tls.authority.pem())
    }

    /// A file with [`Sandbox::ca_pem`], removed with the sandbox.
    pub fn ca_file(&self) -> Option<PathBuf> {
        self.tls.as_ref().map(Tls::ca_file)
    }

    /// Shows another certificate on new connections; open ones go on. Of no effect without TLS.
    ///
    /// # Panics
    ///
    /// If the certificate cannot be made.
    pub fn set_certificate(&self, kind: ServerCertificate) {
        if let Some(tls) = &self.tls {
            for front in self.origins().into_iter().filter_map(Origin::front) {
                front.set_config(tls.authority.server_config(kind));
            }
        }
    }
}

/// Who may sign in, and for how long.
impl Sandbox {
    /// The demo account's user name.
    pub fn username(&self) -> &'static str {
        spatiafi::USERNAME
    }

    /// The demo account's password: an awkward one.
    pub fn password(&self) -> &'static str {
        spatiafi::PASSWORD
    }

    /// The `client_id` of the client that is registered from the start.
    pub fn client_id(&self) -> &str {
        &self.client.0
    }

    /// The `client_secret` of the client that is registered from the start.
    pub fn client_secret(&self) -> &str {
        &self.client.1
    }

    /// Registers a client as step 2 does; returns `client_id` and `client_secret`.
    pub fn add_client(&self) -> (String, String) {
        self.spatiafi.add_client()
    }

    /// Registers a client with names of one's own, short or odd ones too.
    pub fn add_client_with_secret(&self, client_id: &str, client_secret: &str) {
        self.spatiafi.register(client_id, client_secret);
    }

    /// The clock that everything here goes by.
    pub fn clock(&self) -> &Clock {
        &self.common.clock
    }

    /// How long the tokens of steps 1 and 3 live from now on, in whole seconds. Default: 15 min.
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        self.spatiafi.tokens.set_lifetime(lifetime);
    }

    /// Ends a token; false if it was not known.
    pub fn revoke(&self, token: &str) -> bool {
        self.spatiafi.tokens.revoke(token)
    }

    /// Ends every token.
    pub fn revoke_tokens(&self) {
        self.spatiafi.tokens.revoke_all();
    }

    /// Changes how the API refuses tokens.
    pub fn set_denial(&self, denial: Denial) {
        *lock(&self.spatiafi.denial) = denial;
    }
}

/// What goes wrong.
impl Sandbox {
    /// Queues a fault for the next request of an endpoint, behind those that wait already.
    pub fn fault(&self, endpoint: Endpoint, fault: Fault) {
        self.close_used_lanes();
        let fault = Arc::new(fault);
        let lane = fault.own_delay().map(|delay| self.open_lane(delay, Some(&fault)));
        self.common.faults.push(endpoint, fault, lane);
    }

    /// Forgets all faults. Lasting delays stay.
    pub fn clear_faults(&self) {
        self.common.faults.clear();
        self.close_used_lanes();
    }

    /// Delays every answer of an endpoint, requests side by side; zero ends it. A fault with a delay of its own
    /// keeps that, any other is met after this one.
    pub fn set_delay(&self, endpoint: Endpoint, delay: Duration) {
        let lane = (!delay.is_zero()).then(|| self.open_lane(delay, None));
        if let Some(unneeded) = self.common.faults.set_delay(endpoint, lane) {
            self.close_lane(unneeded);
        }
    }

    fn open_lane(&self, delay: Duration, fault: Option<&Arc<Fault>>) -> Lane {
        let lane = self.common.faults.new_lane();
        for origin in self.origins() {
            origin.open_lane(lane, delay, fault.cloned());
        }
        lane
    }

    fn close_lane(&self, lane: Lane) {
        for origin in self.origins() {
            origin.close_lane(lane);
        }
    }

    fn close_used_lanes(&self) {
        for lane in self.common.faults.used_up() {
            self.close_lane(lane);
        }
    }
}

/// What happened.
impl Sandbox {
    /// How many requests of an endpoint arrived, answered or not.
    pub fn count(&self, endpoint: Endpoint) -> u64 {
        self.common.counters.get(endpoint)
    }

    /// How many requests arrived in all.
    pub fn total(&self) -> u64 {
        Endpoint::ALL.into_iter().map(|endpoint| self.count(endpoint)).sum()
    }

    /// How many access tokens step 3 gave out.
    pub fn tokens_issued(&self) -> u64 {
        self.spatiafi.tokens.issued(TokenKind::Access)
    }

    /// How many temporary tokens step 1 gave out.
    pub fn temporary_tokens_issued(&self) -> u64 {
        self.spatiafi.tokens.issued(TokenKind::Temporary)
    }

    /// Sets all counts back to zero. The log stays.
    pub fn reset_counters(&self) {
        self.common.counters.reset();
        self.spatiafi.tokens.reset_issued();
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
