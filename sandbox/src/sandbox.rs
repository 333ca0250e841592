//! SpatiaFi's sandbox: the handle that tests and the program hold.

use std::net::TcpListener;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::servers::{Servers, Tls};
use crate::spatiafi::{self, Api, Auth, SpatiaFi};
use crate::sync::lock;
use crate::tokens::TokenKind;
use crate::{Clock, Denial};

/// SpatiaFi on two loopback origins, until it is dropped. [`Servers`] has the methods that all services share.
///
/// One process can hold twelve at a time. The thirteenth waits until another one is dropped. (httpmock keeps
/// 25 servers at most; its variable `HTTPMOCK_MAX_SERVERS` changes that. A
/// [`SpacebringSandbox`](crate::SpacebringSandbox) takes one of them, and an [`AcmeSandbox`](crate::AcmeSandbox) two.)
pub struct Sandbox {
    servers: Servers,
    spatiafi: Arc<SpatiaFi>,
    client: (String, String),
}

impl Sandbox {
    /// Starts a sandbox that speaks plain HTTP.
    ///
    /// # Panics
    ///
    /// If there is no loopback network.
    pub fn start() -> Self {
        Self::start_with(None, [])
    }

    /// Starts a sandbox that speaks TLS, with a certificate from a fresh authority: see [`Servers::ca_pem`].
    ///
    /// # Panics
    ///
    /// If there is no loopback network or no place for temporary files.
    pub fn start_tls() -> Self {
        Self::start_with(Some(Arc::new(Tls::new())), [])
    }

    /// Starts a sandbox at these sockets of `127.0.0.1`: the first is for signing in, the second for the API.
    ///
    /// # Panics
    ///
    /// If there is no loopback network, or with TLS no place for temporary files.
    pub fn start_at(listeners: [TcpListener; 2], with_tls: bool) -> Self {
        Self::start_with(with_tls.then(|| Arc::new(Tls::new())), listeners)
    }

    fn start_with(tls: Option<Arc<Tls>>, listeners: impl IntoIterator<Item = TcpListener>) -> Self {
        let mut servers = Servers::new(Clock::default(), tls, listeners);
        let spatiafi = SpatiaFi::new(servers.clock());
        servers.open("auth", Auth(Arc::clone(&spatiafi)));
        servers.open("api", Api(Arc::clone(&spatiafi)));
        let client = spatiafi.add_client();
        Self { servers, spatiafi, client }
    }
}

impl Deref for Sandbox {
    type Target = Servers;

    fn deref(&self) -> &Servers {
        &self.servers
    }
}

/// Addresses.
impl Sandbox {
    /// Scheme, host and port of the server for signing in.
    pub fn auth_url(&self) -> String {
        self.url("auth")
    }

    /// Scheme, host and port of the API.
    pub fn api_url(&self) -> String {
        self.url("api")
    }

    /// The URL of step 1.
    pub fn basic_token_url(&self) -> String {
        self.auth_url() + spatiafi::BASIC_TOKEN
    }

    /// The URL of step 2.
    pub fn clients_url(&self) -> String {
        self.auth_url() + spatiafi::CLIENTS
    }

    /// The URL of step 3, and the `aud` that assertions must have.
    pub fn token_url(&self) -> String {
        self.auth_url() + spatiafi::TOKEN
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
        env.extend(self.ca_env());
        env
    }
}

/// Accounts and lifetimes.
impl Sandbox {
    /// The demo account's user name.
    pub fn username(&self) -> &'static str {
        spatiafi::USERNAME
    }

    /// The password of the demo account. It holds characters that clients often encode badly.
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

    /// Replaces the client that is registered from the start.
    pub fn set_client(&mut self, client_id: &str, client_secret: &str) {
        self.spatiafi.clients.remove(&self.client.0);
        self.add_client_with_secret(client_id, client_secret);
        self.client = (client_id.to_owned(), client_secret.to_owned());
    }

    /// Registers a client as step 2 does; returns `client_id` and `client_secret`.
    pub fn add_client(&self) -> (String, String) {
        self.spatiafi.add_client()
    }

    /// Registers a client with a chosen id and secret, even short or odd ones.
    pub fn add_client_with_secret(&self, client_id: &str, client_secret: &str) {
        self.spatiafi.clients.register(client_id, Some(client_secret));
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

/// Counts.
impl Sandbox {
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
        self.reset_counts();
        self.spatiafi.tokens.reset_issued();
    }
}
