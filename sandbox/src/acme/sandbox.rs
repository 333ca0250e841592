//! Acme's sandbox: the handle that tests and the program hold.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

use super::api::Api;
use super::client::{ASSERTION_ISSUER, ASSERTION_KEY};
use super::{
    AUTHORIZE, Acme, Auth, DEVICE, DEVICE_AUTHORIZATION, Discovery, INTROSPECT, ISSUER, REVOKE, TOKEN,
};
use crate::oauth::authorize::{Authorization, Callback, decided};
use crate::oauth::clients::Clients;
use crate::servers::{Servers, Tls, handle};
use crate::sync::lock;
use crate::{Clock, random};

const AUTH: &str = "acme";
const API: &str = "acme-api";
const PUBLIC_CLIENT: &str = "demo-public";

/// Acme on two loopback origins, until it is dropped: an ordinary OAuth 2.0 server, and its API. [`Servers`] has the methods that
/// all services share.
pub struct AcmeSandbox {
    servers: Servers,
    acme: Arc<Acme>,
    client: (String, String),
}

handle!(AcmeSandbox, 2);

impl AcmeSandbox {
    fn start_with(
        clock: Clock,
        tls: Option<Arc<Tls>>,
        listeners: impl IntoIterator<Item = TcpListener>,
    ) -> Self {
        let mut servers = Servers::new(clock, tls, listeners);
        let acme = Acme::new(servers.clock());
        servers.open(AUTH, Auth(Arc::clone(&acme)));
        servers.open(API, Api(Arc::clone(&acme)));
        acme.api_url.get_or_init(|| servers.url(API));
        acme.clients.register(PUBLIC_CLIENT, None);
        let client = acme.clients.add();
        Self { servers, acme, client }
    }

    fn clients(&self) -> &Clients {
        &self.acme.clients
    }
}

/// Addresses. All but the API's are in the metadata too.
impl AcmeSandbox {
    /// The issuer, which has a path. Its metadata names the other addresses.
    pub fn issuer(&self) -> String {
        self.url(AUTH) + ISSUER
    }

    /// The URL of the page that starts a login, for a browser.
    pub fn authorize_url(&self) -> String {
        self.url(AUTH) + AUTHORIZE
    }

    /// The URL at which tokens are issued.
    pub fn token_url(&self) -> String {
        self.url(AUTH) + TOKEN
    }

    /// The URL at which a device starts a login (RFC 8628).
    pub fn device_authorization_url(&self) -> String {
        self.url(AUTH) + DEVICE_AUTHORIZATION
    }

    /// The URL of the page on which a person enters a device's user code.
    pub fn verification_uri(&self) -> String {
        self.url(AUTH) + DEVICE
    }

    /// The URL at which tokens are introspected (RFC 7662).
    pub fn introspection_url(&self) -> String {
        self.url(AUTH) + INTROSPECT
    }

    /// The URL at which tokens are revoked (RFC 7009).
    pub fn revocation_url(&self) -> String {
        self.url(AUTH) + REVOKE
    }

    /// Scheme, host and port of the API, which is another origin. Its things are at `/things`.
    pub fn api_url(&self) -> String {
        self.url(API)
    }

    /// The environment that points the library, the examples and the command at this sandbox.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        let mut env = vec![
            ("ACME_ISSUER", self.issuer()),
            ("ACME_API_URL", self.api_url()),
            ("ACME_CLIENT_ID", self.client.0.clone()),
            ("ACME_CLIENT_SECRET", self.client.1.clone()),
        ];
        env.extend(self.ca_env());
        env
    }
}

/// Accounts, clients and lifetimes.
impl AcmeSandbox {
    /// The `client_id` of the client that is registered from the start, for every grant and every way to authenticate but `none`.
    pub fn client_id(&self) -> &str {
        &self.client.0
    }

    /// The `client_id` of a client without a secret, for logins.
    pub fn public_client_id(&self) -> &'static str {
        PUBLIC_CLIENT
    }

    /// Registers another client; returns `client_id` and `client_secret`.
    pub fn add_client(&self) -> (String, String) {
        self.acme.clients.add()
    }

    /// Registers a client with this id and secret, which may have any characters.
    pub fn add_client_with_secret(&self, client_id: &str, client_secret: &str) {
        self.acme.clients.register(client_id, Some(client_secret));
    }

    /// Returns a new assertion for the first client, signed by the issuer of assertions, as a platform gives it to a program. The
    /// assertion can be used once, within 60 s.
    ///
    /// # Panics
    ///
    /// If the assertion cannot be signed.
    pub fn assertion(&self) -> String {
        let now = self.clock().unix();
        let claims = json!({
            "iss": ASSERTION_ISSUER,
            "sub": self.client_id(),
            "aud": self.issuer(),
            "iat": now,
            "exp": now + 300,
            "jti": random::text(16),
        });
        let key = EncodingKey::from_secret(ASSERTION_KEY.as_bytes());
        jsonwebtoken::encode(&Header::default(), &claims, &key).expect("an assertion can be signed")
    }

    /// The `iss` of an [`assertion`](Self::assertion), and the key that signs it.
    pub fn assertion_key(&self) -> (&'static str, &'static str) {
        (ASSERTION_ISSUER, ASSERTION_KEY)
    }

    /// Sets the lifetime of access tokens that are issued from now on. Default: 1 h.
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        self.acme.grants.set_lifetime(lifetime);
    }

    /// Sets the lifetime of the device codes of later logins. Default: 10 min.
    pub fn set_device_code_lifetime(&self, lifetime: Duration) {
        self.acme.devices.set_lifetime(lifetime);
    }

    /// Sets the shortest pause between two polls of later device logins. Default: 5 s.
    pub fn set_poll_interval(&self, interval: Duration) {
        self.acme.devices.set_interval(interval);
    }

    /// Chooses where the metadata is published. Default: at both addresses.
    pub fn set_discovery(&self, discovery: Discovery) {
        *lock(&self.acme.discovery) = discovery;
    }

    /// Ends the access that a token belongs to, with all its tokens; false if it was not known.
    pub fn revoke(&self, token: &str) -> bool {
        self.acme.grants.revoke(token)
    }

    /// Ends every access token. Refresh tokens stay valid.
    pub fn end_access_tokens(&self) {
        self.acme.grants.end_access_tokens();
    }
}

/// Plays the person in the browser, without a browser. These requests are neither counted nor logged.
impl AcmeSandbox {
    /// Logs in and allows the request. Returns the callback URL with the code, or with the error if the request is refused.
    ///
    /// # Panics
    ///
    /// If the URL is not one of [`AcmeSandbox::authorize_url`], or a browser would show an error page.
    pub fn approve(&self, authorize_url: &str) -> String {
        self.decide(authorize_url, |authorization, callback| self.acme.grants.allow(authorization, callback))
    }

    /// Logs in and denies the request. Returns the callback URL with `access_denied`.
    ///
    /// # Panics
    ///
    /// As [`AcmeSandbox::approve`].
    pub fn deny(&self, authorize_url: &str) -> String {
        self.decide(authorize_url, |_, callback| callback.denied())
    }

    fn decide(&self, url: &str, decide: impl FnOnce(Authorization, Callback) -> String) -> String {
        let read = |query: &[(String, String)]| self.acme.read_authorization(&self.url(AUTH), query);
        decided(&self.authorize_url(), url, read, decide)
    }

    /// Logs in, enters the user code of a device and allows the request.
    ///
    /// # Panics
    ///
    /// If no device waits for this code.
    pub fn approve_device(&self, user_code: &str) {
        assert!(self.acme.devices.decide(user_code, true), "no device waits for the code {user_code}");
    }

    /// Logs in, enters the user code of a device and denies the request.
    ///
    /// # Panics
    ///
    /// As [`AcmeSandbox::approve_device`].
    pub fn deny_device(&self, user_code: &str) {
        assert!(self.acme.devices.decide(user_code, false), "no device waits for the code {user_code}");
    }
}

/// Counts.
impl AcmeSandbox {
    /// How many logins issued tokens.
    pub fn logins(&self) -> u64 {
        self.acme.grants.counts().logins
    }

    /// How many access tokens were issued for refresh tokens.
    pub fn refreshes(&self) -> u64 {
        self.acme.grants.counts().refreshes
    }
}
