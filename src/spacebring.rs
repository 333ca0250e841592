//! Spacebring: its URLs, names and defaults, and nothing else.
//!
//! A [`Customer`] signs each request with its id and secret. A [`Partner`] sends a person to log in, once, and
//! renews the token that came of it from then on. Both keep to Spacebring's 10 requests per second by themselves.
//! [`Pages`] walks through lists, [`scope`] names what a partner may ask for.

mod pages;
pub mod scope;

use std::fmt;
use std::sync::Arc;

use ureq::Agent;

use crate::clock::Deadline;
use crate::credentials::{Variables, set_each};
use crate::endpoint::{Endpoint, base_url, join};
use crate::flow::{AuthorizationCode, Login, Refresh, Revoke};
use crate::redirect::RedirectUri;
use crate::{
    AgentBuilder, Auth, Basic, CachingSource, ClientAuth, Error, ErrorKind, FileStore, Http, RecordName,
    Secret, Token, TokenSource, TokenStore, check, env_var,
};

pub use pages::Pages;

/// Where everything is.
pub const API_URL: &str = "https://api.spacebring.com";

/// How many requests per second Spacebring takes.
pub const RATE: u32 = 10;

const AUTHORIZE_PATH: &str = "/oauth2/authorize";
const TOKEN_PATH: &str = "/oauth2/token";
const REVOKE_PATH: &str = "/oauth2/revoke";

const NETWORK_HEADER: &str = "spacebring-network-id";

/// Where a login ends if `SPACEBRING_REDIRECT_URI` does not say otherwise.
pub const REDIRECT_URI: &str = "http://127.0.0.1:8765/callback";

/// A customer of Spacebring: HTTP Basic on every call.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let customer = keyfob::spacebring::Customer::from_env()?;
/// let agent = customer.agent()?;
/// let locations = agent.get(format!("{}/locations/v1", customer.api_url())).call()?.body_mut().read_to_string()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Customer {
    basic: Basic,
    api: Api,
}

impl Customer {
    /// With this id and secret, at the public service.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) as in [`Basic::new`].
    pub fn new(client_id: &str, client_secret: impl Into<Secret>) -> Result<Self, Error> {
        Ok(Self { basic: Basic::new(client_id, client_secret)?, api: Api::public() })
    }

    /// With `SPACEBRING_CLIENT_ID` and `SPACEBRING_CLIENT_SECRET`; `SPACEBRING_NETWORK_ID`, `SPACEBRING_API_URL` and
    /// [`Http::from_env`] where set. An empty variable counts as unset.
    ///
    /// # Errors
    /// [`NoCredentials`](ErrorKind::NoCredentials) if id or secret is not set;
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a bad variable.
    pub fn from_env() -> Result<Self, Error> {
        let (id, secret) = credentials_from_env()?;
        Self::new(&id, secret)?.with_http(Http::from_env()?).with_variables(&env_var)
    }

    /// Sets what `SPACEBRING_NETWORK_ID` and `SPACEBRING_API_URL` say, and leaves the rest as it is: see
    /// [`SpatiaFi::with_variables`](crate::SpatiaFi::with_variables).
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a bad one, and what `variable` fails with.
    pub fn with_variables(self, variable: &Variables<'_>) -> Result<Self, Error> {
        set_each(
            self,
            variable,
            &[("SPACEBRING_NETWORK_ID", Self::with_network), ("SPACEBRING_API_URL", Self::with_api_url)],
        )
    }

    /// Names the network, by its UUID, on each request. Default: none is named.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is no UUID.
    pub fn with_network(mut self, network_id: &str) -> Result<Self, Error> {
        self.api.network = Some(uuid(network_id)?);
        Ok(self)
    }

    /// Sets the transport. Default: [`Http::new`].
    pub fn with_http(mut self, http: Http) -> Self {
        self.api.http = http;
        self
    }

    /// Sets the base URL of the API, which alone gets the credentials. Default: [`API_URL`].
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is not https (http on loopback).
    pub fn with_api_url(mut self, url: &str) -> Result<Self, Error> {
        self.api.set_url(url)?;
        Ok(self)
    }

    /// The base URL of the API, without a slash at its end.
    pub fn api_url(&self) -> &str {
        &self.api.url
    }

    /// The value of the `Authorization` header, for programs with an HTTP library of their own: `Basic` and the
    /// credentials (RFC 7617).
    pub fn authorization(&self) -> &Secret {
        self.basic.header()
    }

    /// A [`ureq::Agent`] that signs in by itself and keeps to [`RATE`]: for calls to [`api_url`](Self::api_url).
    ///
    /// # Errors
    /// None that the setters have not given already.
    pub fn agent(&self) -> Result<Agent, Error> {
        self.agent_builder()?.build()
    }

    /// The same with settings of its own.
    ///
    /// # Errors
    /// None that the setters have not given already.
    pub fn agent_builder(&self) -> Result<AgentBuilder, Error> {
        self.api.agent_builder(Auth::Basic(self.basic.clone()))
    }
}

/// A partner of Spacebring: OAuth 2.0 with a browser login.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::time::Duration;
/// use keyfob::spacebring::{Partner, scope};
///
/// let partner = Partner::from_env()?;
/// let login = partner.login([scope::LOCATIONS_READONLY, scope::RESOURCES])?;
/// eprintln!("open {}", login.url());
/// let token = login.wait(Duration::from_secs(300))?;
///
/// let source = partner.source(token);
/// let agent = partner.agent(&source)?;
/// let locations = agent.get(format!("{}/locations/v1", partner.api_url())).call()?.body_mut().read_to_string()?;
/// partner.revoke(&source)?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Partner {
    api: Api,
    flow: AuthorizationCode,
    revoke: Endpoint,
    store: Option<(Arc<dyn TokenStore>, String)>,
    /// Whether the URLs of `flow` and `revoke` were set one by one, and so do not follow that of the API.
    own_authorize: bool,
    own_token: bool,
    own_revoke: bool,
}

impl Partner {
    /// With this id and secret, and a redirect URI that Spacebring knows, at the public service.
    ///
    /// With `http` and `127.0.0.1` or `[::1]` the callback can be [waited for](Login::wait), at a free port if the
    /// port is 0; with any other it is [pasted](Login::finish).
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if a value is empty, longer than 16 KiB or holds a control
    /// character, or if the redirect URI cannot be used: see [`AuthorizationCode::new`].
    pub fn new(client_id: &str, client_secret: impl Into<Secret>, redirect_uri: &str) -> Result<Self, Error> {
        let client = ClientAuth::body(client_id, client_secret)?;
        // Another URL may follow.
        let at = |path| Endpoint::unasked("API URL", &join(API_URL, path));
        Ok(Self {
            api: Api::public(),
            flow: AuthorizationCode::at(at(AUTHORIZE_PATH)?, at(TOKEN_PATH)?, client, redirect_uri)?,
            revoke: at(REVOKE_PATH)?,
            store: None,
            own_authorize: false,
            own_token: false,
            own_revoke: false,
        })
    }

    /// With `SPACEBRING_CLIENT_ID` and `SPACEBRING_CLIENT_SECRET`; `SPACEBRING_REDIRECT_URI` (default
    /// `http://127.0.0.1:8765/callback`), `SPACEBRING_NETWORK_ID`, `SPACEBRING_API_URL`, `SPACEBRING_AUTHORIZE_URL`,
    /// `SPACEBRING_TOKEN_URL`, `SPACEBRING_REVOKE_URL` and [`Http::from_env`] where set. An empty variable counts as
    /// unset. Tokens are kept in [`FileStore::from_env`], under the profile in `KEYFOB_PROFILE` (default: `default`).
    ///
    /// # Errors
    /// [`NoCredentials`](ErrorKind::NoCredentials) if id or secret is not set;
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a bad variable; [`Store`](ErrorKind::Store) if there is no home
    /// folder to keep tokens in.
    pub fn from_env() -> Result<Self, Error> {
        let (id, secret) = credentials_from_env()?;
        let profile = env_var("KEYFOB_PROFILE")?.unwrap_or_else(|| "default".to_owned());
        Self::new(&id, secret, REDIRECT_URI)?
            .with_http(Http::from_env()?)
            .with_store(Arc::new(FileStore::from_env()?), &profile)?
            .with_variables(&env_var)
    }

    /// Sets what `SPACEBRING_REDIRECT_URI`, `SPACEBRING_NETWORK_ID`, `SPACEBRING_API_URL`, `SPACEBRING_AUTHORIZE_URL`,
    /// `SPACEBRING_TOKEN_URL` and `SPACEBRING_REVOKE_URL` say, and leaves the rest as it is: see
    /// [`SpatiaFi::with_variables`](crate::SpatiaFi::with_variables).
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a bad one, and what `variable` fails with.
    pub fn with_variables(self, variable: &Variables<'_>) -> Result<Self, Error> {
        set_each(
            self,
            variable,
            &[
                ("SPACEBRING_REDIRECT_URI", Self::with_redirect_uri),
                ("SPACEBRING_NETWORK_ID", Self::with_network),
                ("SPACEBRING_API_URL", Self::with_api_url),
                ("SPACEBRING_AUTHORIZE_URL", Self::with_authorize_url),
                ("SPACEBRING_TOKEN_URL", Self::with_token_url),
                ("SPACEBRING_REVOKE_URL", Self::with_revoke_url),
            ],
        )
    }

    fn with_redirect_uri(mut self, redirect_uri: &str) -> Result<Self, Error> {
        self.flow.redirect_uri = RedirectUri::new(redirect_uri)?;
        Ok(self)
    }

    /// Names the network, by its UUID, on each request to the API, where most need it. Default: none is named.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is no UUID.
    pub fn with_network(mut self, network_id: &str) -> Result<Self, Error> {
        self.api.network = Some(uuid(network_id)?);
        Ok(self)
    }

    /// Sets the transport. Default: [`Http::new`].
    pub fn with_http(mut self, http: Http) -> Self {
        self.api.http = http;
        self
    }

    /// Keeps tokens in a store, so that the next process finds them. The profile keeps several logins of one client
    /// apart. Default: memory only.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the profile is empty, longer than 16 KiB or holds a control character.
    pub fn with_store(mut self, store: Arc<dyn TokenStore>, profile: &str) -> Result<Self, Error> {
        check::value("profile", profile.as_bytes())?;
        self.store = Some((store, profile.to_owned()));
        Ok(self)
    }

    /// Sets the base URL of the API, which alone gets the token, and of those URLs below that are not set. Default:
    /// [`API_URL`].
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is not https (http on loopback).
    pub fn with_api_url(mut self, url: &str) -> Result<Self, Error> {
        self.api.set_url(url)?;
        let at = |path| Endpoint::new("API URL", &join(url, path));
        if !self.own_authorize {
            self.flow.authorize = at(AUTHORIZE_PATH)?;
        }
        if !self.own_token {
            self.flow.token = at(TOKEN_PATH)?;
        }
        if !self.own_revoke {
            self.revoke = at(REVOKE_PATH)?;
        }
        Ok(self)
    }

    /// Sets the URL that a browser opens. Default: that of the API and `/oauth2/authorize`.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is not https (http on loopback).
    pub fn with_authorize_url(mut self, url: &str) -> Result<Self, Error> {
        self.flow.authorize = Endpoint::unasked("authorize URL", url)?;
        self.own_authorize = true;
        Ok(self)
    }

    /// Sets the URL that gives tokens. Default: that of the API and `/oauth2/token`.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is not https (http on loopback).
    pub fn with_token_url(mut self, url: &str) -> Result<Self, Error> {
        self.flow.token = Endpoint::new("token URL", url)?;
        self.own_token = true;
        Ok(self)
    }

    /// Sets the URL that ends tokens. Default: that of the API and `/oauth2/revoke`.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is not https (http on loopback).
    pub fn with_revoke_url(mut self, url: &str) -> Result<Self, Error> {
        self.revoke = Endpoint::new("revocation URL", url)?;
        self.own_revoke = true;
        Ok(self)
    }

    /// As [`AuthorizationCode::without_state`]. Spacebring's documentation does not mention `state`.
    pub fn without_state(mut self) -> Self {
        self.flow = self.flow.without_state();
        self
    }

    /// As [`AuthorizationCode::without_pkce`]. Spacebring's documentation does not mention PKCE.
    pub fn without_pkce(mut self) -> Self {
        self.flow = self.flow.without_pkce();
        self
    }

    /// As [`AuthorizationCode::without_redirect_uri`]. Spacebring's documentation does not list it in the token
    /// request.
    pub fn without_redirect_uri(mut self) -> Self {
        self.flow = self.flow.without_redirect_uri();
        self
    }

    /// The base URL of the API, without a slash at its end.
    pub fn api_url(&self) -> &str {
        &self.api.url
    }

    /// Starts a login for these scopes: those in [`scope`], or others.
    ///
    /// # Errors
    /// As [`AuthorizationCode::login`].
    pub fn login(&self, scopes: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Login, Error> {
        self.flow.login(&self.api.http, scopes)
    }

    /// The flow that renews a token. Spacebring's refresh tokens never change, so a renewal is tried again freely.
    pub fn refresh_flow(&self) -> Refresh {
        Refresh::at(self.flow.token.clone(), self.flow.client.clone()).allow_repeats()
    }

    /// A source that starts with this token and renews it.
    ///
    /// The token is saved if there is a store. If that fails, [`CachingSource::warning`] says why.
    pub fn source(&self, token: Token) -> Arc<CachingSource> {
        let source = self.empty_source();
        Arc::new(source.with_login(token))
    }

    /// A source that goes on with the tokens of an earlier login, if the store has any: no person is needed.
    ///
    /// # Errors
    /// [`Store`](ErrorKind::Store) if the store cannot be reached or trusted.
    pub fn stored_source(&self) -> Result<Option<Arc<CachingSource>>, Error> {
        let source = self.empty_source();
        Ok(source.resume()?.then(|| Arc::new(source)))
    }

    fn empty_source(&self) -> CachingSource {
        let source = CachingSource::new(self.api.http.clone(), self.refresh_flow());
        let Some((store, profile)) = &self.store else { return source };
        source.with_store(store.clone(), self.checked_name(profile))
    }

    /// What the tokens of this client are called in a store, under this profile.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a profile that is empty, longer than 16 KiB or holds a control character.
    pub fn record_name(&self, profile: &str) -> Result<RecordName, Error> {
        check::value("profile", profile.as_bytes())?;
        Ok(self.checked_name(profile))
    }

    fn checked_name(&self, profile: &str) -> RecordName {
        let token_url = self.flow.token.uri().to_string();
        RecordName::of_checked("spacebring", token_url, self.flow.client.client_id(), profile)
    }

    /// A [`ureq::Agent`] that signs in by itself and keeps to [`RATE`]: for calls to [`api_url`](Self::api_url).
    ///
    /// # Errors
    /// None that the setters have not given already.
    pub fn agent(&self, source: &Arc<impl TokenSource + 'static>) -> Result<Agent, Error> {
        self.agent_builder(source)?.build()
    }

    /// The same with settings of its own.
    ///
    /// # Errors
    /// None that the setters have not given already.
    pub fn agent_builder(&self, source: &Arc<impl TokenSource + 'static>) -> Result<AgentBuilder, Error> {
        self.api.agent_builder(Auth::Bearer(source.clone()))
    }

    /// The flow that ends a token.
    pub fn revoke_flow(&self) -> Revoke {
        Revoke::in_query_at(self.revoke.clone())
    }

    /// Ends the source's refresh token and its access token: a person has to log in again. Once the server has
    /// agreed they are removed from the store too, if there is one. It takes no longer than twice the time-out of the
    /// [`Http`]: once to wait for those who renew the token, once for the server.
    ///
    /// # Errors
    /// [`NoCredentials`](ErrorKind::NoCredentials) if the source has no token; otherwise as [`Revoke::run`], and
    /// then the tokens may live on. [`Store`](ErrorKind::Store) if they have ended, but could not be removed.
    pub fn revoke(&self, source: &CachingSource) -> Result<(), Error> {
        let flow = self.revoke_flow();
        source.end(|tokens| {
            let deadline = Deadline::after(self.api.http.timeout());
            let end = |token| flow.run(&self.api.http.clone().with_timeout(deadline.remaining()), token);
            let refresh_token = tokens.iter().find_map(|token| token.refresh_token());
            if let Some(refresh_token) = refresh_token {
                end(refresh_token)?;
            }
            for token in tokens {
                match end(token.access_token()) {
                    // It may have ended together with the refresh token (RFC 7009 2.1), and be unknown by now.
                    Err(error)
                        if refresh_token.is_some()
                            && error.status().is_some_and(|s| (400..429).contains(&s)) => {}
                    result => result?,
                }
            }
            Ok(())
        })
    }
}

impl fmt::Debug for Partner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partner")
            .field("api", &self.api)
            .field("flow", &self.flow)
            .field("revoke", &self.revoke)
            .finish_non_exhaustive()
    }
}

/// Where the API is and how it is called.
#[derive(Clone, Debug)]
struct Api {
    http: Http,
    /// Without a slash at its end.
    url: String,
    network: Option<String>,
}

impl Api {
    fn public() -> Self {
        Self { http: Http::new(), url: API_URL.to_owned(), network: None }
    }

    fn set_url(&mut self, url: &str) -> Result<(), Error> {
        base_url("API URL", url)?;
        self.url = join(url, "");
        Ok(())
    }

    fn agent_builder(&self, auth: Auth) -> Result<AgentBuilder, Error> {
        let builder = AgentBuilder::new(self.http.clone(), auth).with_origin(&self.url)?.with_rate(RATE);
        match &self.network {
            Some(id) => builder.with_header(NETWORK_HEADER, id),
            None => Ok(builder),
        }
    }
}

/// Client id and secret of the environment: `SPACEBRING_CLIENT_ID` and `SPACEBRING_CLIENT_SECRET`. An empty variable counts
/// as unset.
///
/// # Errors
/// [`NoCredentials`](ErrorKind::NoCredentials) if one is not set, [`InvalidInput`](ErrorKind::InvalidInput) if one is not UTF-8.
pub fn credentials_from_env() -> Result<(String, Secret), Error> {
    credentials(&env_var)
}

fn credentials(variable: &Variables<'_>) -> Result<(String, Secret), Error> {
    let needed = |name: &str| {
        variable(name)?.ok_or_else(|| {
            let text = format!(
                "{name} is not set: set it to what Spacebring shows under Network Settings, Developers"
            );
            Error::new(ErrorKind::NoCredentials, text)
        })
    };
    Ok((needed("SPACEBRING_CLIENT_ID")?, needed("SPACEBRING_CLIENT_SECRET")?.into()))
}

/// 8-4-4-4-12 hexadecimal digits (RFC 9562 4).
fn uuid(id: &str) -> Result<String, Error> {
    let groups: Vec<_> = id.split('-').collect();
    let is_uuid = groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.concat().bytes().all(|b| b.is_ascii_hexdigit());
    if is_uuid {
        return Ok(id.to_owned());
    }
    Err(Error::invalid(
        "the network id is no UUID: it has 32 hexadecimal digits in groups of 8-4-4-4-12, as in \
         6f1b7c1e-3a52-4c8e-9d0b-2b7f5a4e8c10",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: &str = "6f1b7c1e-3a52-4C8E-9d0b-2b7f5a4e8c10";

    /// An environment.
    fn env<'a>(all: &'a [(&str, &str)]) -> impl Fn(&str) -> Result<Option<String>, Error> + 'a {
        move |name| Ok(all.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    fn customer_of(env: &[(&str, &str)]) -> Result<Customer, Error> {
        Customer::new("i", "s")?.with_variables(&self::env(env))
    }

    fn partner_of(env: &[(&str, &str)]) -> Result<Partner, Error> {
        Partner::new("i", "s", REDIRECT_URI)?.with_variables(&self::env(env))
    }

    #[track_caller]
    fn refused<T: fmt::Debug>(result: Result<T, Error>, kind: ErrorKind, text: &str) {
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, text));
    }

    #[test]
    fn a_network_is_a_uuid() {
        assert_eq!(uuid(NETWORK).unwrap(), NETWORK);
        let long = NETWORK.repeat(30_000);
        for bad in [
            "",
            "network",
            "6f1b7c1e3a524c8e9d0b2b7f5a4e8c10",
            "{6f1b7c1e-3a52-4c8e-9d0b-2b7f5a4e8c10}",
            "6f1b7c1e-3a52-4c8e-9d0b-2b7f5a4e8c1g",
            "6f1b7c1e-3a52-4c8e-9d0b-2b7f5a4e8c1",
            "6f1b7c1e-3a52-4c8e-9d0b-2b7f5a4e8c10-",
            " 6f1b7c1e-3a52-4c8e-9d0b-2b7f5a4e8c1",
            "6f1b7c1e-3a52-4c8e-9d0b-2b7f5a4e8c\r\n",
            "6f1b7c1é-3a52-4c8e-9d0b-2b7f5a4e8c10",
            &long,
        ] {
            refused(
                Customer::new("i", "s").unwrap().with_network(bad),
                ErrorKind::InvalidInput,
                "the network id is no UUID: it has 32 hexadecimal digits in groups of 8-4-4-4-12, as in \
                 6f1b7c1e-3a52-4c8e-9d0b-2b7f5a4e8c10",
            );
            assert!(Partner::new("i", "s", REDIRECT_URI).unwrap().with_network(bad).is_err());
        }
    }

    #[test]
    fn a_customer_from_the_environment() {
        let customer = customer_of(&[]).unwrap();
        assert_eq!((customer.api_url(), customer.api.network.as_deref()), (API_URL, None));
        let customer =
            customer_of(&[("SPACEBRING_NETWORK_ID", NETWORK), ("SPACEBRING_API_URL", "http://127.0.0.1:1/")])
                .unwrap();
        assert_eq!(
            (customer.api_url(), customer.api.network.as_deref()),
            ("http://127.0.0.1:1", Some(NETWORK))
        );
        assert!(customer_of(&[("SPACEBRING_NETWORK_ID", "x")]).is_err());
    }

    #[test]
    fn credentials_of_the_environment() {
        // What Basic takes, and form encoding does not.
        let both = [("SPACEBRING_CLIENT_ID", "i"), ("SPACEBRING_CLIENT_SECRET", "s\t")];
        let (id, secret) = credentials(&env(&both)).unwrap();
        assert_eq!((&*id, secret.expose()), ("i", &b"s\t"[..]));
        assert!(Customer::new(&id, secret).is_ok());
        for (one, missing) in [(both[0], both[1].0), (both[1], both[0].0)] {
            let text = format!(
                "{missing} is not set: set it to what Spacebring shows under Network Settings, Developers"
            );
            refused(credentials(&env(&[one])), ErrorKind::NoCredentials, &text);
        }
    }

    fn urls(partner: &Partner) -> [String; 3] {
        [&partner.flow.authorize, &partner.flow.token, &partner.revoke]
            .map(|endpoint| endpoint.uri().to_string())
    }

    #[test]
    fn a_partner_from_the_environment() {
        let partner = partner_of(&[]).unwrap();
        assert_eq!(
            urls(&partner),
            [
                "https://api.spacebring.com/oauth2/authorize",
                "https://api.spacebring.com/oauth2/token",
                "https://api.spacebring.com/oauth2/revoke"
            ]
        );
        assert!(
            partner
                .login(["a"])
                .unwrap()
                .url()
                .contains("&redirect_uri=http%3A%2F%2F127.0.0.1%3A8765%2Fcallback&")
        );

        let partner = partner_of(&[
            ("SPACEBRING_API_URL", "http://127.0.0.1:1"),
            ("SPACEBRING_TOKEN_URL", "http://127.0.0.1:2/t"),
            ("SPACEBRING_REDIRECT_URI", "https://app.example/"),
        ])
        .unwrap();
        let expected = [
            "http://127.0.0.1:1/oauth2/authorize",
            "http://127.0.0.1:2/t",
            "http://127.0.0.1:1/oauth2/revoke",
        ];
        assert_eq!(urls(&partner), expected);
        for name in ["REDIRECT_URI", "NETWORK_ID", "API_URL", "AUTHORIZE_URL", "TOKEN_URL", "REVOKE_URL"] {
            assert!(partner_of(&[(&format!("SPACEBRING_{name}"), "bad")]).is_err(), "{name}");
        }
    }

    #[test]
    fn the_url_of_the_api_moves_those_that_were_not_set_in_any_order() {
        let partner = || Partner::new("i", "s", REDIRECT_URI).unwrap();
        let (api, own) = ("http://127.0.0.1:1", "http://127.0.0.1:2/own");
        let all =
            |partner: Partner| partner.with_authorize_url(own)?.with_token_url(own)?.with_revoke_url(own);
        let before = all(partner()).unwrap().with_api_url(api).unwrap();
        let after = all(partner().with_api_url(api).unwrap()).unwrap();
        assert_eq!(urls(&before), [own; 3]);
        assert_eq!(urls(&after), [own; 3]);
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!(
            "{:?}{:?}",
            Customer::new("i", "s3cr3t").unwrap(),
            Partner::new("i", "s3cr3t", REDIRECT_URI).unwrap()
        );
        assert!(!shown.contains("s3cr3t") && !shown.contains("aTpzM2NyM3Q"), "{shown}");
    }
}
