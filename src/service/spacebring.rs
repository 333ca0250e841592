//! Spacebring as data: a [`Customer`] authenticates each request with its id and secret; a [`Partner`] sends a person to log in once, and
//! renews the tokens of that login from then on.
//!
//! Both send no more than the 10 requests per second that Spacebring accepts. [`Pages`] reads lists. [`scope`] names the scopes that a
//! partner may ask for.

mod pages;
pub mod scope;

use std::ops::Deref;

use crate::client_auth::ClientAuth;
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::secret::Secret;
use crate::service::Service;
use crate::service::builder::{ServiceBuilder, Setting};
use crate::service::definition::Definition;

pub use pages::Pages;

/// The URL of the API.
pub const API_URL: &str = "https://api.spacebring.com";

/// How many requests per second Spacebring accepts.
pub const RATE: u32 = 10;

/// The redirect URI of a login, unless another one is set.
pub const REDIRECT_URI: &str = "http://127.0.0.1:8765/callback";

const NETWORK_HEADER: &str = "spacebring-network-id";

/// The network, which most requests of a partner need.
const NETWORK_ID: Setting = Setting::text("network_id", |builder, id| {
    let builder = match uuid(&id) {
        Ok(()) => builder,
        Err(error) => builder.refuse(error),
    };
    builder.header(NETWORK_HEADER, id)
});

/// Spacebring for its partners: a login with a browser, and revocation with the token in the query.
///
/// Spacebring's refresh tokens never change, so a refresh may be repeated.
pub static PARTNER: Definition = Definition {
    token_url: "/oauth2/token",
    authorize_url: "/oauth2/authorize",
    revocation_url: "/oauth2/revoke",
    settings: &[
        Setting::REDIRECT_URI,
        NETWORK_ID,
        Setting::API_URL,
        Setting::AUTHORIZE_URL,
        Setting::TOKEN_URL,
        Setting::text("revoke_url", ServiceBuilder::revocation_url),
    ],
    scopes: scope::ALL,
    basic: Some(&CUSTOMER),
    ..spacebring(|builder, id, secret| {
        builder
            .authorization_code(ClientAuth::secret_post(id, secret), REDIRECT_URI)
            .allow_token_in_query()
            .allow_refresh_repeats()
            .rate(RATE)
    })
};

/// Spacebring for its customers: HTTP Basic with each request.
pub static CUSTOMER: Definition = Definition {
    settings: &[NETWORK_ID, Setting::API_URL],
    ..spacebring(|builder, id, secret| builder.basic(id, secret).rate(RATE))
};

const fn spacebring(client: fn(ServiceBuilder, &str, Secret) -> ServiceBuilder) -> Definition {
    Definition {
        title: "Spacebring",
        about: "coworking spaces",
        credentials_hint: "set it to what Spacebring shows under Network Settings, Developers",
        ..Definition::new("spacebring", API_URL, client)
    }
}

/// A customer of Spacebring: a [`Service`] that sends HTTP Basic with each request.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let customer = keyfob::spacebring::Customer::from_env()?;
/// let url = format!("{}/locations/v1", customer.api_url());
/// let locations = customer.agent().get(url).call()?.body_mut().read_to_string()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Customer(Service);

impl Customer {
    /// Starts a customer of the public service with this id and secret. The setting `network_id` names a network by its UUID.
    pub fn builder(client_id: &str, client_secret: impl Into<Secret>) -> ServiceBuilder {
        CUSTOMER.builder(client_id, client_secret)
    }

    /// Makes a customer from the environment. `SPACEBRING_CLIENT_ID` and `SPACEBRING_CLIENT_SECRET` are needed.
    /// `SPACEBRING_NETWORK_ID` and `SPACEBRING_API_URL` count if they are set. For the transport see [`Definition::from_env`].
    ///
    /// # Errors
    /// [`NoCredentials`](ErrorKind::NoCredentials) if id or secret is not set; [`InvalidInput`](ErrorKind::InvalidInput) for a bad
    /// variable.
    pub fn from_env() -> Result<Self, Error> {
        CUSTOMER.from_env()?.build().map(Self)
    }
}

impl Deref for Customer {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.0
    }
}

/// A partner of Spacebring: a [`Service`] with a login of a person.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::time::Duration;
/// use keyfob::spacebring::{Partner, scope};
///
/// let partner = Partner::from_env()?;
/// let login = partner.start_login_for(scope::LOCATIONS_READONLY)?;
/// eprintln!("open {}", login.url());
/// partner.finish_login(login.wait(Duration::from_secs(300))?)?;
///
/// let url = format!("{}/locations/v1", partner.api_url());
/// let locations = partner.agent().get(url).call()?.body_mut().read_to_string()?;
/// partner.revoke()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Partner(Service);

impl Partner {
    /// Starts a partner of the public service with this id and secret, and with a redirect URI that Spacebring knows. Its tokens are
    /// in memory only. The setting `network_id` names a network by its UUID. For the redirect URI see
    /// [`AuthorizationCode::new`](crate::flow::AuthorizationCode::new).
    pub fn builder(
        client_id: &str,
        client_secret: impl Into<Secret>,
        redirect_uri: impl Into<String>,
    ) -> ServiceBuilder {
        PARTNER.builder(client_id, client_secret).redirect_uri(redirect_uri)
    }

    /// Makes a partner from the environment.
    ///
    /// `SPACEBRING_CLIENT_ID` and `SPACEBRING_CLIENT_SECRET` are needed. `SPACEBRING_REDIRECT_URI` (default: [`REDIRECT_URI`]),
    /// `SPACEBRING_NETWORK_ID`, `SPACEBRING_API_URL`, `SPACEBRING_AUTHORIZE_URL`, `SPACEBRING_TOKEN_URL` and
    /// `SPACEBRING_REVOKE_URL` count if they are set. For the transport and the store see [`Definition::from_env`].
    ///
    /// # Errors
    /// [`NoCredentials`](ErrorKind::NoCredentials) if id or secret is not set; [`InvalidInput`](ErrorKind::InvalidInput) for a bad
    /// variable; [`Store`](ErrorKind::Store) if there is no home folder to keep tokens in.
    pub fn from_env() -> Result<Self, Error> {
        PARTNER.from_env()?.build().map(Self)
    }
}

impl Deref for Partner {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.0
    }
}

/// 8-4-4-4-12 hexadecimal digits (RFC 9562 4).
fn uuid(id: &str) -> Result<(), Error> {
    let groups: Vec<_> = id.split('-').collect();
    let is_uuid = groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.concat().bytes().all(|b| b.is_ascii_hexdigit());
    if is_uuid {
        return Ok(());
    }
    Err(Error::invalid(
        "the network id is no UUID: it has 32 hexadecimal digits in groups of 8-4-4-4-12, as in \
         6f1b7c1e-3a52-4c8e-9d0b-2b7f5a4e8c10",
    ))
}
