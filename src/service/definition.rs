//! [`Definition`]: a service as a table of data. The library, the command and the C library read the same table.

use crate::error::{Advice, Error, ErrorKind};
use crate::secret::Secret;
use crate::service::builder::{Defaults, ServiceBuilder, Setting, hint, variable};
use crate::store::file_store::FileStore;
use crate::sys::credentials::{AppCredentials, CredentialsFile, env_var};
use crate::text::shown;
use crate::transport::Transport;

/// Returns the place of the file with the client id and secret of a service.
type FindFile = fn() -> Result<CredentialsFile, Error>;

/// A service as a table of data: names, defaults and settings.
///
/// [`services`](crate::services) lists those that are built in. A definition of your own works in the same way.
///
/// ```
/// use keyfob::{ClientAuth, Definition, Setting};
///
/// const ACME: Definition = Definition {
///     token_url: "https://login.acme.example/token",
///     settings: &[
///         Setting::API_URL,
///         Setting::secret("api_key", |builder, key| builder.header("x-api-key", key)).required(),
///     ],
///     ..Definition::new("acme", "https://api.acme.example", |builder, id, secret| {
///         builder.client_credentials(ClientAuth::secret_post(id, secret))
///     })
/// };
/// let service = ACME.builder("my-client", "my secret").set("api_key", "my key").build()?;
/// assert_eq!(service.api_url(), "https://api.acme.example");
/// # Ok::<(), keyfob::Error>(())
/// ```
#[derive(Debug)]
pub struct Definition {
    /// The name on the command line and in stores: a letter from `a` to `z`, then up to 31 of `a`–`z`, `0`–`9` and `-`. The names
    /// of the variables begin with it: `ACME_CLIENT_ID` for `acme`.
    pub name: &'static str,
    /// The name of the service as people write it. Default: `name`.
    pub title: &'static str,
    /// A few words on the service, for help texts. Default: empty.
    pub about: &'static str,
    /// The default URL of the API.
    pub api_url: &'static str,
    /// The default URL of the authorization server, to which the paths below are appended. Default: empty, and then the URL of the API
    /// is used.
    pub auth_url: &'static str,
    /// The default token URL: a whole URL, or a path that begins with `/`. Default: empty, for none. Then [`client`](Self::client) or a
    /// setting must name the [issuer](ServiceBuilder::issuer) or the token URL.
    pub token_url: &'static str,
    /// The URL that a browser opens for a login, as [`token_url`](Self::token_url).
    pub authorize_url: &'static str,
    /// The URL that issues the codes of a device login, as [`token_url`](Self::token_url).
    pub device_authorization_url: &'static str,
    /// The revocation URL, as [`token_url`](Self::token_url).
    pub revocation_url: &'static str,
    /// The introspection URL, as [`token_url`](Self::token_url).
    pub introspection_url: &'static str,
    /// Chooses the grant, for a client id and secret, and everything else that the service needs.
    pub client: fn(ServiceBuilder, &str, Secret) -> ServiceBuilder,
    /// The settings besides client id and secret. The variable of the setting `api_url` of `acme` is `ACME_API_URL`. Default: the
    /// URL of the API, the issuer and the token URL. A list of your own replaces these three.
    pub settings: &'static [Setting],
    /// An instruction that says where people find the client id and secret. Default: empty, and then the instruction is `set it to
    /// what Acme shows`, with the title in place of Acme.
    pub credentials_hint: &'static str,
    /// The file with a client id and secret that is read if neither is set, and what to do if there is none. Default: none.
    pub credentials_file: Option<(FindFile, Advice)>,
    /// Further secrets whose variables other programs must not see. Default: none.
    pub other_secrets: &'static [&'static str],
    /// The published scopes, each with its description. Default: no scopes are known.
    pub scopes: &'static [(&'static str, &'static str)],
    /// The same service with HTTP Basic in place of tokens. If it is set, [`way_from_env`](Self::way_from_env) chooses between the two
    /// by the variable `ACME_AUTH`: `basic`, the default of the variable, or `oauth2`. [`from_env`](Self::from_env) does not read this
    /// variable. Default: none.
    pub basic: Option<&'static Definition>,
}

impl Definition {
    /// Makes a definition with these values, and with the default of every other field.
    pub const fn new(
        name: &'static str,
        api_url: &'static str,
        client: fn(ServiceBuilder, &str, Secret) -> ServiceBuilder,
    ) -> Self {
        Self {
            name,
            title: name,
            about: "",
            api_url,
            auth_url: "",
            token_url: "",
            authorize_url: "",
            device_authorization_url: "",
            revocation_url: "",
            introspection_url: "",
            client,
            settings: &[Setting::API_URL, Setting::ISSUER, Setting::TOKEN_URL],
            credentials_hint: "",
            credentials_file: None,
            other_secrets: &[],
            scopes: &[],
            basic: None,
        }
    }

    /// The variable of a setting, such as `ACME_API_URL` for `api_url`.
    pub fn variable(&self, key: &str) -> String {
        variable(self.name, key)
    }

    /// Returns the advice for a variable that is not set: the [hint](Self::credentials_hint), or else a text with the title.
    pub fn hint(&self) -> String {
        hint((self.title, self.credentials_hint))
    }

    /// Returns the names of the headers that requests carry, each with the setting that is its source, even if the setting has no
    /// value.
    pub fn headers(&'static self) -> Vec<(String, Option<&'static Setting>)> {
        let without = self.builder("", "");
        let mut headers: Vec<_> = without.header_names().map(|name| (name.to_owned(), None)).collect();
        let fixed = headers.len();
        for setting in self.settings {
            let with = setting.apply(without.clone(), Secret::from("-"));
            headers.extend(with.header_names().skip(fixed).map(|name| (name.to_owned(), Some(setting))));
        }
        headers
    }

    /// Starts a service with these credentials and the defaults.
    pub fn builder(&'static self, client_id: &str, client_secret: impl Into<Secret>) -> ServiceBuilder {
        let defaults = Defaults {
            api_url: self.api_url,
            auth_url: self.auth_url,
            token_url: self.token_url,
            authorize_url: self.authorize_url,
            device_authorization_url: self.device_authorization_url,
            revocation_url: self.revocation_url,
            introspection_url: self.introspection_url,
            settings: Some(self.settings),
            hint: (self.title, self.credentials_hint),
        };
        (self.client)(ServiceBuilder::with_defaults(self.name, defaults), client_id, client_secret.into())
    }

    /// Starts a service with the credentials in the [file](Self::credentials_file). If others can read the file, the
    /// [warnings](crate::Service::warnings) of the service say so.
    ///
    /// # Errors
    /// [`NoCredentials`](ErrorKind::NoCredentials) if there are no credentials; [`Store`](ErrorKind::Store) for a bad file.
    pub fn builder_from_file(&'static self) -> Result<ServiceBuilder, Error> {
        let missing = |why: &str| {
            let what = format!("there are no {} credentials: the environment has none{why}", self.title);
            Error::of(ErrorKind::NoCredentials, what)
        };
        let Some((credentials_file, advice)) = self.credentials_file else { return Err(missing("")) };
        let file = credentials_file()?;
        let credentials = file.load()?.ok_or_else(|| {
            missing(&format!(", and there is no file {}", shown(file.path()))).with_advice(advice)
        })?;
        let builder = self.builder(credentials.client_id(), credentials.client_secret().clone());
        Ok(builder.warnings(file.warning()))
    }

    /// Applies the settings that have a value. `value_of` returns the value of a setting, if it has one.
    ///
    /// # Errors
    /// Those of `value_of`.
    pub fn configure<E>(
        &self,
        builder: ServiceBuilder,
        mut value_of: impl FnMut(&Setting) -> Result<Option<Secret>, E>,
    ) -> Result<ServiceBuilder, E> {
        self.settings.iter().try_fold(builder, |builder, setting| {
            Ok(match value_of(setting)? {
                Some(value) => setting.apply(builder, value),
                None => builder,
            })
        })
    }

    /// Returns the definition that the variable `NAME_AUTH` chooses: this one, or the one with [HTTP Basic](Self::basic). Returns this
    /// one if there is none with HTTP Basic.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the variable is neither `basic` nor `oauth2`.
    pub fn way_from_env(&'static self) -> Result<&'static Self, Error> {
        let Some(basic) = self.basic else { return Ok(self) };
        let name = self.variable("auth");
        match env_var(&name)?.as_deref() {
            None | Some("basic") => Ok(basic),
            Some("oauth2") => Ok(self),
            // The value may be a secret that was put into the wrong variable.
            Some(_) => Err(Error::invalid(format!("{name} can be basic or oauth2, and is neither"))),
        }
    }

    /// Starts a service with all settings of the environment. An empty variable counts as unset:
    ///
    /// - `NAME_CLIENT_ID` and `NAME_CLIENT_SECRET`, else the [file](Self::credentials_file);
    /// - a variable for each of the [settings](Self::settings), such as `NAME_API_URL`;
    /// - [`Transport::from_env`];
    /// - where the service has tokens: [`FileStore::from_env`] and `KEYFOB_PROFILE` (default: `default`). Without a home folder, a
    ///   service that needs no login keeps its tokens in memory, with a warning.
    ///
    /// # Errors
    /// [`NoCredentials`](ErrorKind::NoCredentials) if id or secret is not set; [`InvalidInput`](ErrorKind::InvalidInput) for a
    /// variable that is not UTF-8; [`Store`](ErrorKind::Store) for a bad file, and if a service with a login has no home folder
    /// to keep its tokens in. [`ServiceBuilder::build`] finds bad values, and [required](Setting::required) settings without a
    /// value.
    pub fn from_env(&'static self) -> Result<ServiceBuilder, Error> {
        let value_of =
            |setting: &Setting| Ok::<_, Error>(env_var(&self.variable(setting.key()))?.map(Secret::from));
        let builder = self.configure(self.client_from_env()?, value_of)?.transport(Transport::from_env()?);
        if !builder.has_tokens() {
            return Ok(builder);
        }
        let builder = if builder.needs_login() {
            builder.store(FileStore::from_env()?)
        } else {
            builder.store(FileStore::from_env_or_none()?)
        };
        Ok(match env_var("KEYFOB_PROFILE")? {
            Some(profile) => builder.profile(profile),
            None => builder,
        })
    }

    /// Starts a service with the credentials of the environment only, as [`from_env`](Self::from_env) finds them.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn client_from_env(&'static self) -> Result<ServiceBuilder, Error> {
        let (id, secret) = (self.variable("client_id"), self.variable("client_secret"));
        if self.credentials_file.is_some() {
            return match AppCredentials::from_env(&id, &secret)? {
                Some(found) => Ok(self.builder(found.client_id(), found.client_secret().clone())),
                None => self.builder_from_file(),
            };
        }
        let needed = |name: &str| {
            let text = || format!("{name} is not set: {}", self.hint());
            env_var(name)?.ok_or_else(|| Error::new(ErrorKind::NoCredentials, text()))
        };
        Ok(self.builder(&needed(&id)?, needed(&secret)?))
    }
}
