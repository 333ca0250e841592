//! Spacebring's sandbox: the handle that tests and the program hold.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::authorize::{Authorization, Refusal, deny};
use super::data::NETWORKS;
use super::{AUTHORIZE, OAuthErrors, PASSWORD, REVOKE, RefreshTokens, Spacebring, TOKEN, USERNAME};
use crate::servers::{Servers, Tls};
use crate::sync::lock;
use crate::{Clock, Sandbox};

const ORIGIN: &str = "spacebring";

/// Spacebring on one loopback origin, until it is dropped. What is not particular to Spacebring is in [`Servers`].
pub struct SpacebringSandbox {
    servers: Servers,
    spacebring: Arc<Spacebring>,
    client: (String, String),
}

impl SpacebringSandbox {
    /// Starts a sandbox that speaks plain HTTP.
    ///
    /// # Panics
    ///
    /// If there is no loopback network.
    pub fn start() -> Self {
        Self::start_with(Clock::default(), None)
    }

    /// Starts a sandbox that speaks TLS, with a certificate from a fresh authority: see [`Servers::ca_pem`].
    ///
    /// # Panics
    ///
    /// If there is no loopback network or no place for temporary files.
    pub fn start_tls() -> Self {
        Self::start_with(Clock::default(), Some(Arc::new(Tls::new())))
    }

    /// Starts a sandbox beside SpatiaFi's: with the same clock and, if that one speaks TLS, the same authority.
    ///
    /// # Panics
    ///
    /// If there is no loopback network.
    pub fn beside(sandbox: &Sandbox) -> Self {
        Self::start_with(sandbox.clock().clone(), sandbox.tls())
    }

    fn start_with(clock: Clock, tls: Option<Arc<Tls>>) -> Self {
        let mut servers = Servers::new(clock, tls);
        let spacebring = Spacebring::new(servers.clock());
        servers.open(ORIGIN, Arc::clone(&spacebring));
        let client = spacebring.add_client();
        Self { servers, spacebring, client }
    }
}

impl Deref for SpacebringSandbox {
    type Target = Servers;

    fn deref(&self) -> &Servers {
        &self.servers
    }
}

/// Where it is.
impl SpacebringSandbox {
    /// Scheme, host and port of everything here.
    pub fn api_url(&self) -> String {
        self.url(ORIGIN)
    }

    /// Where a login begins, in a browser.
    pub fn authorize_url(&self) -> String {
        self.api_url() + AUTHORIZE
    }

    /// Where a code or a refresh token is exchanged.
    pub fn token_url(&self) -> String {
        self.api_url() + TOKEN
    }

    /// Where a token is ended.
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

/// Who may sign in, and for how long.
impl SpacebringSandbox {
    /// The email that the log-in page takes.
    pub fn username(&self) -> &'static str {
        USERNAME
    }

    /// The password that the log-in page takes.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// The `client_id` of the client that is registered from the start: a customer and a partner.
    pub fn client_id(&self) -> &str {
        &self.client.0
    }

    /// The `client_secret` of the client that is registered from the start: an awkward one.
    pub fn client_secret(&self) -> &str {
        &self.client.1
    }

    /// The network with the most in it. The account has another one: see `/networks/v1`.
    pub fn network_id(&self) -> &'static str {
        NETWORKS[0].0
    }

    /// Registers another customer and partner; returns `client_id` and `client_secret`.
    pub fn add_client(&self) -> (String, String) {
        self.spacebring.add_client()
    }

    /// Registers a customer and partner with names of one's own, odd ones too.
    pub fn add_client_with_secret(&self, client_id: &str, client_secret: &str) {
        self.spacebring.register(client_id, client_secret);
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

    /// Ends every access token. Refresh tokens live on.
    pub fn end_access_tokens(&self) {
        self.spacebring.grants.end_access_tokens();
    }
}

/// The person in the browser, without a browser. Nothing of this is counted or logged.
impl SpacebringSandbox {
    /// Logs in and allows what is asked for: the callback URL, with the code in it. If the request is refused,
    /// the callback URL says so.
    ///
    /// # Panics
    ///
    /// If the URL is not one of [`SpacebringSandbox::authorize_url`], or a browser would show an error page.
    pub fn approve(&self, authorize_url: &str) -> String {
        self.decide(authorize_url, |authorization| self.spacebring.allow(authorization))
    }

    /// Logs in and denies what is asked for: the callback URL, with `access_denied` in it.
    ///
    /// # Panics
    ///
    /// As [`SpacebringSandbox::approve`].
    pub fn deny(&self, authorize_url: &str) -> String {
        self.decide(authorize_url, |authorization| deny(&authorization))
    }

    fn decide(&self, authorize_url: &str, decide: impl FnOnce(Authorization) -> String) -> String {
        let query = authorize_url.strip_prefix(&self.authorize_url()).and_then(|rest| rest.strip_prefix('?'));
        let query = query.expect("the URL is this sandbox's authorize URL with a query");
        let query: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        match self.spacebring.read_authorization(&query) {
            Ok(authorization) => decide(authorization),
            Err(Refusal::Redirect(callback)) => callback,
            Err(Refusal::Page(reason)) => panic!("the browser shows an error page: {reason}"),
        }
    }
}

/// How it behaves where its documents, or other services, leave a choice.
impl SpacebringSandbox {
    /// Whether every parameter that the vendor does not list is refused: `state`, `code_challenge` and
    /// `code_challenge_method` with the login, `redirect_uri` and `code_verifier` with the code. Default: false.
    pub fn set_documented_only(&self, documented_only: bool) {
        lock(&self.spacebring.settings).documented_only = documented_only;
    }

    /// Whether a `state` comes back with the callback. Default: true.
    pub fn set_state_echo(&self, echo: bool) {
        lock(&self.spacebring.settings).forgets_state = !echo;
    }

    /// How the endpoints for tokens and revocation word their refusals. Default: as RFC 6749 does.
    pub fn set_oauth_errors(&self, errors: OAuthErrors) {
        lock(&self.spacebring.settings).oauth_errors = errors;
    }

    /// What a refresh does with the refresh token. Default: it is kept and not repeated.
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

/// What happened.
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
