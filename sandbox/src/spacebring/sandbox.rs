//! Spacebring's sandbox: the handle that tests and the program hold.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use super::data::NETWORKS;
use super::{AUTHORIZE, OAuthErrors, REVOKE, RefreshTokens, Spacebring, TOKEN};
use crate::Clock;
use crate::oauth::authorize::{Authorization, Callback, decided};
use crate::oauth::clients::Clients;
use crate::servers::{Servers, Tls, handle};
use crate::sync::lock;

const ORIGIN: &str = "spacebring";

/// Spacebring on one loopback origin, until it is dropped. [`Servers`] has the methods that all services share.
pub struct SpacebringSandbox {
    servers: Servers,
    spacebring: Arc<Spacebring>,
    client: (String, String),
}

handle!(SpacebringSandbox, 1);

impl SpacebringSandbox {
    fn start_with(
        clock: Clock,
        tls: Option<Arc<Tls>>,
        listeners: impl IntoIterator<Item = TcpListener>,
    ) -> Self {
        let mut servers = Servers::new(clock, tls, listeners);
        let spacebring = Spacebring::new(servers.clock());
        servers.open(ORIGIN, Arc::clone(&spacebring));
        let client = spacebring.clients.add();
        Self { servers, spacebring, client }
    }

    fn clients(&self) -> &Clients {
        &self.spacebring.clients
    }
}

/// Addresses.
impl SpacebringSandbox {
    /// Scheme, host and port of everything here.
    pub fn api_url(&self) -> String {
        self.url(ORIGIN)
    }

    /// The URL of the page that starts a login, for a browser.
    pub fn authorize_url(&self) -> String {
        self.api_url() + AUTHORIZE
    }

    /// The URL at which codes and refresh tokens are exchanged.
    pub fn token_url(&self) -> String {
        self.api_url() + TOKEN
    }

    /// The URL at which tokens are revoked.
    pub fn revoke_url(&self) -> String {
        self.api_url() + REVOKE
    }

    /// The environment that points the library, the examples and the command at this sandbox.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        let mut env = vec![
            ("SPACEBRING_API_URL", self.api_url()),
            ("SPACEBRING_CLIENT_ID", self.client.0.clone()),
            ("SPACEBRING_CLIENT_SECRET", self.client.1.clone()),
            ("SPACEBRING_NETWORK_ID", self.network_id().to_owned()),
        ];
        env.extend(self.ca_env());
        env
    }
}

/// Accounts and lifetimes.
impl SpacebringSandbox {
    /// The `client_id` of the client that is registered from the start. It is a customer (HTTP Basic) and a partner (OAuth 2.0).
    pub fn client_id(&self) -> &str {
        &self.client.0
    }

    /// The network with the most data. The account has another one: see `/networks/v1`.
    pub fn network_id(&self) -> &'static str {
        NETWORKS[0].0
    }

    /// Registers another customer and partner; returns `client_id` and `client_secret`.
    pub fn add_client(&self) -> (String, String) {
        self.spacebring.clients.add()
    }

    /// Registers a customer and partner with a chosen id and secret, even odd ones.
    pub fn add_client_with_secret(&self, client_id: &str, client_secret: &str) {
        self.spacebring.clients.register(client_id, Some(client_secret));
    }

    /// Allows this redirect URI, to the letter. `http://127.0.0.1` and `http://[::1]`, with any port and path, are
    /// allowed from the start.
    pub fn add_redirect_uri(&self, redirect_uri: &str) {
        lock(&self.spacebring.redirect_uris).insert(redirect_uri.to_owned());
    }

    /// How long access tokens live from now on. Default: 1 h.
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        self.spacebring.grants.set_lifetime(lifetime);
    }

    /// Ends a login by its access token or its refresh token; false if it was not known.
    pub fn revoke(&self, token: &str) -> bool {
        self.spacebring.grants.revoke(token)
    }

    /// Ends every login.
    pub fn revoke_tokens(&self) {
        self.spacebring.grants.revoke_all();
    }

    /// Ends every access token. Refresh tokens stay valid.
    pub fn end_access_tokens(&self) {
        self.spacebring.grants.end_access_tokens();
    }
}

/// Plays the person in the browser, without a browser. These requests are neither counted nor logged.
impl SpacebringSandbox {
    /// Logs in and allows the request. Returns the callback URL with the code, or with the error if the request is refused.
    ///
    /// # Panics
    ///
    /// If the URL is not one of [`SpacebringSandbox::authorize_url`], or a browser would show an error page.
    pub fn approve(&self, authorize_url: &str) -> String {
        self.decide(authorize_url, |authorization, callback| {
            self.spacebring.grants.allow(authorization, callback)
        })
    }

    /// Logs in and denies the request. Returns the callback URL with `access_denied`.
    ///
    /// # Panics
    ///
    /// As [`SpacebringSandbox::approve`].
    pub fn deny(&self, authorize_url: &str) -> String {
        self.decide(authorize_url, |_, callback| callback.denied())
    }

    fn decide(&self, url: &str, decide: impl FnOnce(Authorization, Callback) -> String) -> String {
        decided(&self.authorize_url(), url, |query| self.spacebring.read_authorization(query), decide)
    }
}

/// Switches for behaviour that the vendor does not document, or that differs between services.
impl SpacebringSandbox {
    /// Whether every parameter that the vendor does not list is refused: `state`, `code_challenge` and
    /// `code_challenge_method` with the login, `redirect_uri` and `code_verifier` with the code. Default: false.
    pub fn set_documented_only(&self, documented_only: bool) {
        lock(&self.spacebring.settings).documented_only = documented_only;
    }

    /// Whether the callback repeats the `state`. Default: true.
    pub fn set_state_echo(&self, echo: bool) {
        lock(&self.spacebring.settings).forgets_state = !echo;
    }

    /// The format of refusals at the endpoints for tokens and revocation. Default: that of RFC 6749.
    pub fn set_oauth_errors(&self, errors: OAuthErrors) {
        lock(&self.spacebring.settings).oauth_errors = errors;
    }

    /// How a refresh treats the refresh token. Default: it is kept and not repeated.
    pub fn set_refresh_tokens(&self, refresh_tokens: RefreshTokens) {
        lock(&self.spacebring.settings).refresh_tokens = refresh_tokens;
    }

    /// How many API calls of one credential are answered in any second; `None` for all. Default: 10.
    pub fn set_rate_limit(&self, limit: Option<usize>) {
        self.spacebring.rate.set_limit(limit);
    }

    /// Whether a 429 carries `Retry-After`. Default: false.
    pub fn set_retry_after(&self, retry_after: bool) {
        lock(&self.spacebring.settings).retry_after = retry_after;
    }

    /// Whether each page but the first names itself as the next one. Default: false.
    pub fn set_paging_stuck(&self, stuck: bool) {
        lock(&self.spacebring.settings).paging_stuck = stuck;
    }
}

/// Counts.
impl SpacebringSandbox {
    /// How many codes were exchanged for tokens.
    pub fn logins(&self) -> u64 {
        self.spacebring.grants.counts().logins
    }

    /// How many access tokens were given out for refresh tokens.
    pub fn refreshes(&self) -> u64 {
        self.spacebring.grants.counts().refreshes
    }

    /// How many API calls were answered with 429, faults aside.
    pub fn rate_limited(&self) -> u64 {
        self.spacebring.rate.refused()
    }

    /// Sets all counts back to zero. The log stays.
    pub fn reset_counters(&self) {
        self.reset_counts();
        self.spacebring.grants.reset_counts();
        self.spacebring.rate.reset_refused();
    }
}
