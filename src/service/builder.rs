//! [`ServiceBuilder`]: the parts of a service, as the caller gives them. [`build`] checks them.

mod build;
mod logins;
mod parts;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::client_auth::ClientAuth;
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::flow::StartLogin;
#[cfg(doc)]
use crate::flow::{AuthorizationCode, Refresh, Revoke};
use crate::metadata::Discovery;
#[cfg(doc)]
use crate::metadata::Metadata;
use crate::secret::{Known, Secret};
#[cfg(doc)]
use crate::service::Service;
use crate::service::builder::parts::{Parameter, Switches};
use crate::source::CachingSource;
use crate::store::TokenStore;
use crate::text::printable;
use crate::token::Token;
use crate::transport::Transport;
use crate::transport::endpoint::join;
use crate::transport::given_url::{Find, GivenUrl};

/// The way in which a service obtains tokens, or HTTP Basic in place of tokens.
#[derive(Clone)]
enum Grant {
    ClientCredentials(ClientAuth),
    /// A login with a browser, with its redirect URI.
    AuthorizationCode(ClientAuth, String, MakeLogin),
    DeviceCode(ClientAuth, MakeLogin),
    Extension(String, ClientAuth),
    Basic(String, Known),
}

/// Makes the login of a grant. A grant without a redirect URI ignores `redirect_uri`. Only the setter of the grant names the function, so
/// that a program that does not call the setter does not contain the code of the login.
type MakeLogin = fn(
    &ServiceBuilder,
    &ClientAuth,
    token_url: GivenUrl,
    redirect_uri: &str,
) -> Result<(StartLogin, CachingSource), Error>;

impl Grant {
    /// The name of the setter that chooses this grant.
    fn setter(&self) -> &'static str {
        match self {
            Self::ClientCredentials(_) => "client_credentials",
            Self::AuthorizationCode(..) => "authorization_code",
            Self::DeviceCode(..) => "device_code",
            Self::Extension(..) => "extension_grant",
            Self::Basic(..) => "basic",
        }
    }

    fn client_id(&self) -> &str {
        match self {
            Self::ClientCredentials(auth)
            | Self::AuthorizationCode(auth, ..)
            | Self::DeviceCode(auth, _)
            | Self::Extension(_, auth) => auth.client_id(),
            Self::Basic(id, _) => id,
        }
    }

    /// The name in configurations.
    fn name(&self) -> &str {
        match self {
            Self::Extension(grant_type, _) => grant_type,
            grant => grant.setter(),
        }
    }
}

type OnRenewed = Arc<dyn Fn(&Token) + Send + Sync>;

/// Describes a [`Service`]. [`Service::builder`] starts one.
///
/// The order of the calls does not matter. Nothing is checked before [`build`](Self::build).
#[derive(Clone)]
#[must_use = "a service builder does nothing until `build` is called"]
pub struct ServiceBuilder {
    name: String,
    defaults: Defaults,
    grants: Vec<Grant>,
    api_urls: Vec<String>,
    auth_url: Option<String>,
    /// The issuer, and its metadata: the source of the URLs that are not given.
    issuer: Option<(String, Arc<dyn Find>)>,
    token_url: Option<String>,
    authorize_url: Option<String>,
    device_authorization_url: Option<String>,
    revocation_url: Option<String>,
    introspection_url: Option<String>,
    redirect_uri: Option<String>,
    scopes: Vec<String>,
    parameters: Vec<Parameter>,
    switches: Switches,
    headers: Vec<(String, Secret)>,
    /// The keys of the settings that were applied.
    given: Vec<&'static str>,
    rate: u32,
    transport: Transport,
    store: Option<Arc<dyn TokenStore>>,
    profile: String,
    on_renewed: Option<OnRenewed>,
    warnings: Vec<String>,
    refused: Option<Error>,
}

/// The defaults of a service. An empty URL means that there is none. A path is appended to `auth_url`, or else to `api_url`.
#[derive(Clone, Copy, Default)]
pub(crate) struct Defaults {
    pub(crate) api_url: &'static str,
    pub(crate) auth_url: &'static str,
    pub(crate) token_url: &'static str,
    pub(crate) authorize_url: &'static str,
    pub(crate) device_authorization_url: &'static str,
    pub(crate) revocation_url: &'static str,
    pub(crate) introspection_url: &'static str,
    /// Default: [`Setting::COMMON`], for a service without a definition.
    pub(crate) settings: Option<&'static [Setting]>,
    /// Title and hint of the definition, for the error of a required setting without a value: see [`hint`].
    pub(crate) hint: (&'static str, &'static str),
}

/// The variable of a setting of a service.
pub(crate) fn variable(service: &str, key: &str) -> String {
    format!("{}_{key}", service.replace('-', "_")).to_ascii_uppercase()
}

/// Returns the advice for a variable that is not set: the text of the definition, or else a text with the title of the service.
pub(crate) fn hint((title, own): (&str, &str)) -> String {
    if own.is_empty() { format!("set it to what {title} shows") } else { own.to_owned() }
}

impl ServiceBuilder {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            defaults: Defaults::default(),
            grants: Vec::new(),
            api_urls: Vec::new(),
            auth_url: None,
            issuer: None,
            token_url: None,
            authorize_url: None,
            device_authorization_url: None,
            revocation_url: None,
            introspection_url: None,
            redirect_uri: None,
            scopes: Vec::new(),
            parameters: Vec::new(),
            switches: Switches::default(),
            headers: Vec::new(),
            given: Vec::new(),
            rate: 0,
            transport: Transport::new(),
            store: None,
            profile: "default".to_owned(),
            on_renewed: None,
            warnings: Vec::new(),
            refused: None,
        }
    }

    pub(crate) fn with_defaults(name: &str, defaults: Defaults) -> Self {
        Self { defaults, ..Self::new(name) }
    }

    /// Adds a URL of the API. Its origin (scheme, host and port) receives the token and the headers. [`Service::api_url`] returns the
    /// first URL. May be called more than once. Default: that of the [`Definition`](crate::Definition), else none.
    pub fn api_url(mut self, url: impl Into<String>) -> Self {
        self.api_urls.push(url.into());
        self
    }

    /// Sets the issuer: each URL of the authorization server that no setter gives comes from the issuer's [`Metadata`]. The first exchange
    /// that needs the metadata fetches it. All clones of this builder, and the services that they build, share it in memory. A run that
    /// finds a valid token in the [store](Self::store) does not fetch metadata.
    ///
    /// If the metadata says that the server sends `iss` (RFC 9207), each callback of a login must name this issuer. The name of the stored
    /// record has the issuer in place of the token URL, unless a [token URL](Self::token_url) is given. With an issuer, the URLs of the
    /// authorization server in the [`Definition`](crate::Definition) are not used. Default: none.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        let issuer = issuer.into();
        self.issuer = Some((issuer.clone(), Arc::new(Discovery::new(issuer))));
        self
    }

    /// Sets the URL that issues tokens. Default: that of the [issuer](Self::issuer) or of the [`Definition`](crate::Definition), else
    /// none.
    pub fn token_url(mut self, url: impl Into<String>) -> Self {
        self.token_url = Some(url.into());
        self
    }

    /// Sets the URL that a browser opens for a login. Default: that of the [issuer](Self::issuer) or of the
    /// [`Definition`](crate::Definition), else none.
    pub fn authorize_url(mut self, url: impl Into<String>) -> Self {
        self.authorize_url = Some(url.into());
        self
    }

    /// Sets the URL that issues the codes of a device login (RFC 8628 3.1). Default: that of the [issuer](Self::issuer) or of the
    /// [`Definition`](crate::Definition), else none.
    pub fn device_authorization_url(mut self, url: impl Into<String>) -> Self {
        self.device_authorization_url = Some(url.into());
        self
    }

    /// Sets the URL that revokes tokens (RFC 7009). Default: that of the [issuer](Self::issuer) or of the
    /// [`Definition`](crate::Definition), else none. Without one, [`Service::revoke`] is an error.
    pub fn revocation_url(mut self, url: impl Into<String>) -> Self {
        self.revocation_url = Some(url.into());
        self
    }

    /// Sets the URL that says whether a token is valid (RFC 7662). Default: that of the [issuer](Self::issuer) or of the
    /// [`Definition`](crate::Definition), else none. Without one, [`Service::introspect`] is an error.
    pub fn introspection_url(mut self, url: impl Into<String>) -> Self {
        self.introspection_url = Some(url.into());
        self
    }

    /// Sets the base URL of an authorization server whose endpoints are at fixed paths.
    pub(crate) fn auth_url(mut self, url: impl Into<String>) -> Self {
        self.auth_url = Some(url.into());
        self
    }

    /// Replaces the redirect URI of [`authorization_code`](Self::authorization_code).
    pub(crate) fn redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.redirect_uri = Some(uri.into());
        self
    }

    /// Obtains tokens for the client itself (RFC 6749 4.4).
    pub fn client_credentials(self, auth: ClientAuth) -> Self {
        self.grant(Grant::ClientCredentials(auth))
    }

    /// Obtains tokens by an extension grant (RFC 6749 4.5). `grant_type` is its URI; the grant defines its
    /// [parameters](Self::parameter). [`build`](Self::build) refuses the grants of a login: see
    /// [`authorization_code`](Self::authorization_code) and [`device_code`](Self::device_code).
    pub fn extension_grant(self, grant_type: impl Into<String>, auth: ClientAuth) -> Self {
        self.grant(Grant::Extension(grant_type.into(), auth))
    }

    /// Sends HTTP Basic (RFC 7617) with each request, and needs no token.
    pub fn basic(self, id: impl Into<String>, secret: impl Into<Secret>) -> Self {
        self.grant(Grant::Basic(id.into(), Known::new(secret)))
    }

    fn grant(mut self, grant: Grant) -> Self {
        self.grants.push(grant);
        self
    }

    /// Asks for one or more scopes, separated by spaces, in addition to those of earlier calls (RFC 6749 3.3). Default: no scope is
    /// sent.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// Adds a parameter to token requests, and to the URL of a login. May be called more than once. Default: none.
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push(Parameter::Shown(name.into(), value.into()));
        self
    }

    /// Adds a parameter whose value is secret: no error shows it, and no URL holds it. The name of the stored record does not
    /// depend on the value, so two values need two [profiles](Self::profile). May be called more than once. Default: none.
    pub fn secret_parameter(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.parameters.push(Parameter::Secret(name.into(), value.into()));
        self
    }

    /// Adds a parameter whose value is secret and is read again for each request, from a file of at most 1 MiB: see
    /// [`ExtensionGrant::with_parameter_file`](crate::flow::ExtensionGrant::with_parameter_file). The name of the stored record depends on
    /// the path, and not on the content. May be called more than once. Default: none.
    pub fn parameter_file(mut self, name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        self.parameters.push(Parameter::File(name.into(), path.into()));
        self
    }

    /// Sends no `state`: see [`AuthorizationCode::without_state`]. Default: it is sent.
    pub fn without_state(mut self) -> Self {
        self.switches.without_state = true;
        self
    }

    /// Leaves PKCE out: see [`AuthorizationCode::without_pkce`]. Default: it is used.
    pub fn without_pkce(mut self) -> Self {
        self.switches.without_pkce = true;
        self
    }

    /// Leaves `redirect_uri` out of the token request: see [`AuthorizationCode::without_redirect_uri`]. Default: it is sent.
    pub fn without_redirect_uri(mut self) -> Self {
        self.switches.without_redirect_uri = true;
        self
    }

    /// Sends the token in the query of the [revocation URL](Self::revocation_url), against RFC 7009 2.1: see
    /// [`Revoke::in_query`]. Default: it is sent in the body, by an authenticated client.
    pub fn allow_token_in_query(mut self) -> Self {
        self.switches.allow_token_in_query = true;
        self
    }

    /// Repeats a refresh even if it may have reached the server. Only for servers that never replace a refresh token: see
    /// [`Refresh::allow_repeats`]. Default: such a refresh is not repeated.
    pub fn allow_refresh_repeats(mut self) -> Self {
        self.switches.allow_refresh_repeats = true;
        self
    }

    /// Adds a header to each request to the API. If several headers have the same name, the last counts. Headers of the connection, of
    /// the proxy and of the authentication are refused, such as `Host` and `Authorization`. Default: none.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Limits the number of requests to the API in any second; 0 is no limit. All clones of the [agent](Service::agent) share the limit.
    /// Default: no limit.
    pub fn rate(mut self, per_second: u32) -> Self {
        self.rate = per_second;
        self
    }

    /// Sets the transport. Default: [`Transport::new`].
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Keeps tokens in this store, or in an `Arc` of one, so that the next process finds them. Without effect for
    /// [`basic`](Self::basic). Default: memory only.
    pub fn store(mut self, store: impl TokenStore + 'static) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Sets the profile, which gives each of several logins or uses of one client a record of its own in the store. [`build`](Self::build)
    /// refuses an empty name. Default: `default`.
    pub fn profile(mut self, profile: impl Into<String>) -> Self {
        self.profile = profile.into();
        self
    }

    /// Calls a function with each new token: see [`CachingSource::with_on_renewed`]. Default: none.
    pub fn on_renewed(mut self, call: impl Fn(&Token) + Send + Sync + 'static) -> Self {
        self.on_renewed = Some(Arc::new(call));
        self
    }

    /// Gives a setting its value. `key` is a [key](Setting::key) of the [`Definition`](crate::Definition). For a service without a
    /// definition it is `api_url`, `issuer`, `token_url`, `authorize_url`, `device_authorization_url`, `revocation_url`,
    /// `introspection_url`, `redirect_uri` or `scope`. [`build`](Self::build) refuses another key.
    pub fn set(self, key: &str, value: impl Into<Secret>) -> Self {
        let settings = self.defaults.settings.unwrap_or(Setting::COMMON);
        if let Some(setting) = settings.iter().find(|setting| setting.key() == key) {
            return setting.apply(self, value.into());
        }
        let keys: Vec<_> = settings.iter().map(Setting::key).collect();
        let (name, key) = (&self.name, printable(key));
        let text = format!("the service `{name}` has no setting {key:?}: it has {}", keys.join(", "));
        self.refuse(Error::invalid(text))
    }

    /// Adds a warning about an unsafe setting that was accepted.
    pub(crate) fn warnings(mut self, warnings: impl IntoIterator<Item = String>) -> Self {
        self.warnings.extend(warnings);
        self
    }

    /// Makes [`build`](Self::build) fail with this error, unless there is an earlier one.
    pub(crate) fn refuse(mut self, error: Error) -> Self {
        self.refused.get_or_insert(error);
        self
    }

    /// Whether the service has tokens. Without them it sends HTTP Basic.
    pub fn has_tokens(&self) -> bool {
        !matches!(self.grants.first(), Some(Grant::Basic(..)))
    }

    /// Whether a person has to log in before there are tokens.
    pub fn needs_login(&self) -> bool {
        matches!(self.grants.first(), Some(Grant::AuthorizationCode(..) | Grant::DeviceCode(..)))
    }

    /// Returns the name of the grant, as [`Service::grant`](crate::Service::grant). `None` if none was chosen. Nothing is checked.
    pub fn unchecked_grant(&self) -> Option<&str> {
        self.grants.first().map(Grant::name)
    }

    /// Returns the URL of the API that was set, or the default. The URL is not checked, and may hold any text.
    pub fn unchecked_api_url(&self) -> Option<String> {
        self.first_api_url().map(|url| join(url, ""))
    }

    /// Returns the token URL that was set, or the default. `None` if the issuer's metadata has it. The URL is not checked, and may hold
    /// any text.
    pub fn unchecked_token_url(&self) -> Option<String> {
        self.endpoint(self.token_url.as_ref(), |defaults| defaults.token_url)
    }

    /// Returns the issuer that was set. It is not checked, and may hold any text.
    pub fn unchecked_issuer(&self) -> Option<String> {
        self.issuer.as_ref().map(|(issuer, _)| issuer.clone())
    }

    /// The names of the headers, as they were given.
    pub(crate) fn header_names(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(|(name, _)| name.as_str())
    }

    fn first_api_url(&self) -> Option<&str> {
        let default = Some(self.defaults.api_url).filter(|url| !url.is_empty());
        self.api_urls.first().map(String::as_str).or(default)
    }

    /// The URL that was given, or else the default. With an issuer there is no default.
    fn endpoint(
        &self,
        given: Option<&String>,
        default: impl FnOnce(&Defaults) -> &'static str,
    ) -> Option<String> {
        if given.is_some() || self.issuer.is_some() {
            return given.cloned();
        }
        let default = Some(default(&self.defaults)).filter(|url| !url.is_empty())?;
        if !default.starts_with('/') {
            return Some(default.to_owned());
        }
        let auth_url = Some(self.defaults.auth_url).filter(|url| !url.is_empty());
        let base = self.auth_url.as_deref().or(auth_url).or_else(|| self.first_api_url())?;
        Some(join(base, default))
    }

    /// The URL of an endpoint, as it was given, or else the one of this name in the metadata of the issuer.
    fn given_or_found(
        &self,
        given: Option<String>,
        make: impl FnOnce(String) -> GivenUrl,
        name: &'static str,
    ) -> Option<GivenUrl> {
        let found = || self.issuer.as_ref().map(|(_, find)| GivenUrl::found(find.clone(), name));
        given.map(make).or_else(found)
    }
}

impl fmt::Debug for ServiceBuilder {
    /// Shows no URL, header or parameter: they are not checked yet and may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A setting of a service besides client id and secret.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    key: &'static str,
    set: Set,
    required: bool,
}

#[derive(Clone, Copy, Debug)]
enum Set {
    Text(fn(ServiceBuilder, String) -> ServiceBuilder),
    Secret(fn(ServiceBuilder, Secret) -> ServiceBuilder),
}

impl Setting {
    /// The URL of the API: `api_url`.
    pub const API_URL: Self = Self::text("api_url", ServiceBuilder::api_url);
    /// The issuer: `issuer`.
    pub const ISSUER: Self = Self::text("issuer", ServiceBuilder::issuer);
    /// The token URL: `token_url`.
    pub const TOKEN_URL: Self = Self::text("token_url", ServiceBuilder::token_url);
    /// The URL that a browser opens for a login: `authorize_url`.
    pub const AUTHORIZE_URL: Self = Self::text("authorize_url", ServiceBuilder::authorize_url);
    /// The URL that issues the codes of a device login: `device_authorization_url`.
    pub const DEVICE_AUTHORIZATION_URL: Self =
        Self::text("device_authorization_url", ServiceBuilder::device_authorization_url);
    /// The revocation URL: `revocation_url`.
    pub const REVOCATION_URL: Self = Self::text("revocation_url", ServiceBuilder::revocation_url);
    /// The introspection URL: `introspection_url`.
    pub const INTROSPECTION_URL: Self = Self::text("introspection_url", ServiceBuilder::introspection_url);
    /// The URI that a browser opens after a login: `redirect_uri`.
    pub const REDIRECT_URI: Self = Self::text("redirect_uri", ServiceBuilder::redirect_uri);
    /// The scope: `scope`.
    pub const SCOPE: Self = Self::text("scope", ServiceBuilder::scope);

    /// The settings of a service without a definition.
    const COMMON: &'static [Self] = &[
        Self::API_URL,
        Self::ISSUER,
        Self::TOKEN_URL,
        Self::AUTHORIZE_URL,
        Self::DEVICE_AUTHORIZATION_URL,
        Self::REVOCATION_URL,
        Self::INTROSPECTION_URL,
        Self::REDIRECT_URI,
        Self::SCOPE,
    ];

    /// A setting that is not secret. `key` consists of `a`–`z` and `_`.
    pub const fn text(key: &'static str, set: fn(ServiceBuilder, String) -> ServiceBuilder) -> Self {
        Self { key, set: Set::Text(set), required: false }
    }

    /// A secret, such as an API key. `key` consists of `a`–`z` and `_`.
    pub const fn secret(key: &'static str, set: fn(ServiceBuilder, Secret) -> ServiceBuilder) -> Self {
        Self { key, set: Set::Secret(set), required: false }
    }

    /// Requires a value for the setting: without one, [`build`](ServiceBuilder::build) returns
    /// [`NoCredentials`](ErrorKind::NoCredentials) and names the variable. Default: the setting may be left out.
    #[must_use]
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// The name of the setting: that of the variable without the name of the service, in lower case.
    pub fn key(&self) -> &'static str {
        self.key
    }

    /// Whether the value is secret.
    pub fn is_secret(&self) -> bool {
        matches!(self.set, Set::Secret(_))
    }

    /// Whether the setting must have a value.
    pub fn is_required(&self) -> bool {
        self.required
    }

    pub(crate) fn apply(&self, mut builder: ServiceBuilder, value: Secret) -> ServiceBuilder {
        builder.given.push(self.key);
        match self.set {
            Set::Secret(set) => set(builder, value),
            Set::Text(set) => match value.expose_str() {
                Some(text) => set(builder, text.to_owned()),
                None => builder.refuse(Error::invalid(format!("the setting `{}` is not UTF-8", self.key))),
            },
        }
    }
}
