//! SpatiaFi: its URLs, names and defaults, and nothing else.
//!
//! Name and password → temporary token → permanent app credentials ([`Login`], once), then app credentials → signed
//! assertion → access token → API ([`SpatiaFi`], every day).

use std::path::PathBuf;
use std::sync::Arc;
use std::{env, fmt, io};

use ureq::Agent;

use crate::credentials::{Variables, set_each};
use crate::endpoint::{Endpoint, base_url, join};
use crate::flow::{AppCredentials, BasicToken, ClientAssertion};
use crate::{
    AgentBuilder, Auth, CachingSource, ClientCredentials, CredentialsFile, Error, ErrorKind, FileStore, Http,
    RecordName, Secret, TokenStore, env_var,
};

/// Where tokens are issued.
pub const AUTH_URL: &str = "https://auth.spatiafi.com";
/// Where the API is.
pub const API_URL: &str = "https://api.spatiafi.com";

const BASIC_TOKEN_PATH: &str = "/api/v1/auth/jwt/token/basic";
/// The server redirects without the slash at the end.
const CLIENTS_PATH: &str = "/api/v1/clients/";
const TOKEN_PATH: &str = "/api/v1/auth/jwt/token";

/// For errors.
const AUTH_URL_NAME: &str = "URL of the authorization server";

const FILE_NAME: &str = "app_credentials.json";

/// SpatiaFi with app credentials.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let agent = keyfob::SpatiaFi::from_env()?.agent()?;
/// let info = agent
///     .get("https://api.spatiafi.com/api/info")
///     .query("item_id", "ce-wildfire-risk-static-us-and-canada-v3.0")
///     .call()?
///     .body_mut()
///     .read_to_string()?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct SpatiaFi {
    http: Http,
    credentials: ClientCredentials,
    token_url: String,
    api_url: String,
    store: Option<(Arc<dyn TokenStore>, String)>,
    warnings: Vec<String>,
}

impl SpatiaFi {
    /// With these app credentials, at the public service.
    pub fn new(credentials: ClientCredentials) -> Self {
        Self {
            http: Http::new(),
            credentials,
            token_url: join(AUTH_URL, TOKEN_PATH),
            api_url: API_URL.to_owned(),
            store: None,
            warnings: Vec::new(),
        }
    }

    /// With the app credentials of the environment (`SPATIAFI_CLIENT_ID`, `SPATIAFI_CLIENT_SECRET`), else those in the
    /// official client's file ([`credentials_file`]). Tokens are kept in [`FileStore::from_env`], so that the next run
    /// finds them, under the profile in `KEYFOB_PROFILE` (default: `default`).
    ///
    /// `SPATIAFI_AUTH_URL`, `SPATIAFI_API_URL` and `SPATIAFI_TOKEN_URL` point elsewhere than the public service;
    /// `KEYFOB_CA_FILE` and `KEYFOB_PROXY` are as in [`Http::from_env`]. An empty variable counts as unset.
    ///
    /// # Errors
    /// [`NoCredentials`](ErrorKind::NoCredentials) if there are none; [`InvalidInput`](ErrorKind::InvalidInput) for a
    /// bad variable, but for the profile, which [`source`](Self::source) checks; [`Store`](ErrorKind::Store) for a bad file,
    /// or if the environment names no folder for tokens.
    pub fn from_env() -> Result<Self, Error> {
        let spatiafi = match ClientCredentials::from_env("SPATIAFI_CLIENT_ID", "SPATIAFI_CLIENT_SECRET")? {
            Some(credentials) => Self::new(credentials),
            None => Self::from_file()?,
        };
        let profile = env_var("KEYFOB_PROFILE")?.unwrap_or_else(|| "default".to_owned());
        spatiafi
            .with_http(Http::from_env()?)
            .with_store(Arc::new(FileStore::from_env()?), &profile)
            .with_variables(&env_var)
    }

    /// With the app credentials in the official client's file ([`credentials_file`]), at the public service, whatever the
    /// environment says. If others can read the file, [`warnings`](Self::warnings) says so.
    ///
    /// # Errors
    /// [`NoCredentials`](ErrorKind::NoCredentials) if there are none; [`Store`](ErrorKind::Store) for a bad file.
    pub fn from_file() -> Result<Self, Error> {
        let file = credentials_file()?;
        let credentials = file.load()?.ok_or_else(|| {
            Error::new(
                ErrorKind::NoCredentials,
                format!(
                    "there are no SpatiaFi credentials: set SPATIAFI_CLIENT_ID and SPATIAFI_CLIENT_SECRET, or log in to \
                     make {}",
                    crate::file::shown(file.path())
                ),
            )
        })?;
        Ok(Self { warnings: file.warning().into_iter().collect(), ..Self::new(credentials) })
    }

    /// Sets what `SPATIAFI_AUTH_URL`, `SPATIAFI_TOKEN_URL` and `SPATIAFI_API_URL` say, in this order (the first sets the token
    /// URL too), and leaves the rest as it is.
    ///
    /// `variable` says what a variable is, `None` if it is not set: [`env_var`], or a function that knows better for some of
    /// them, because they have been given in another way. A variable that it does not look up does no harm, however
    /// bad it is; an empty text is a bad value.
    ///
    /// ```
    /// # fn main() -> Result<(), keyfob::Error> {
    /// # let credentials = keyfob::ClientCredentials::new("id", "secret")?;
    /// let given = |name: &str| match name {
    ///     "SPATIAFI_API_URL" => Ok(Some("https://api.example.com".to_owned())),
    ///     _ => keyfob::env_var(name),
    /// };
    /// let spatiafi = keyfob::SpatiaFi::new(credentials).with_variables(&given)?;
    /// assert_eq!(spatiafi.api_url(), "https://api.example.com");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`with_api_url`](Self::with_api_url), and what `variable` fails with.
    pub fn with_variables(self, variable: &Variables<'_>) -> Result<Self, Error> {
        set_each(
            self,
            variable,
            &[
                ("SPATIAFI_AUTH_URL", Self::with_auth_url),
                ("SPATIAFI_TOKEN_URL", Self::with_token_url),
                ("SPATIAFI_API_URL", Self::with_api_url),
            ],
        )
    }

    /// Sets the transport. Default: [`Http::new`].
    pub fn with_http(mut self, http: Http) -> Self {
        self.http = http;
        self
    }

    /// Keeps tokens in a store, so that the next process finds them. The profile keeps several uses of one client apart.
    /// Default: memory only.
    pub fn with_store(mut self, store: Arc<dyn TokenStore>, profile: &str) -> Self {
        self.store = Some((store, profile.to_owned()));
        self
    }

    /// Sets the base URL of the authorization server. Default: [`AUTH_URL`].
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is not https (http on loopback).
    pub fn with_auth_url(self, url: &str) -> Result<Self, Error> {
        base_url(AUTH_URL_NAME, url)?;
        self.with_token_url(&join(url, TOKEN_PATH))
    }

    /// Sets the whole token URL. Default: that of the authorization server.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is not https (http on loopback).
    pub fn with_token_url(mut self, url: &str) -> Result<Self, Error> {
        Endpoint::new("token URL", url)?;
        url.clone_into(&mut self.token_url);
        Ok(self)
    }

    /// Sets the base URL of the API, which alone gets the token. Default: [`API_URL`].
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is not https (http on loopback).
    pub fn with_api_url(mut self, url: &str) -> Result<Self, Error> {
        base_url("API URL", url)?;
        self.api_url = join(url, "");
        Ok(self)
    }

    /// The base URL of the API, without a slash at its end.
    pub fn api_url(&self) -> &str {
        &self.api_url
    }

    /// The app credentials in use.
    pub fn credentials(&self) -> &ClientCredentials {
        &self.credentials
    }

    /// What is unsafe but was accepted, for telling the user: a credentials file that others can read.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The flow that gets an access token.
    ///
    /// # Errors
    /// None that the setters have not given already.
    pub fn flow(&self) -> Result<ClientAssertion, Error> {
        ClientAssertion::new(
            &self.token_url,
            self.credentials.client_id(),
            self.credentials.client_secret().clone(),
        )
    }

    /// A source that keeps the access token in memory, and in the store if there is one.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a profile that is empty, longer than 16 KiB or holds a control character.
    pub fn source(&self) -> Result<CachingSource, Error> {
        let source = CachingSource::new(self.http.clone(), self.flow()?);
        let Some((store, profile)) = &self.store else { return Ok(source) };
        Ok(source.with_store(store.clone(), self.record_name(profile)?))
    }

    /// What the tokens of this client are called in a store, under this profile.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a profile that is empty, longer than 16 KiB or holds a control character.
    pub fn record_name(&self, profile: &str) -> Result<RecordName, Error> {
        RecordName::new("spatiafi", &self.token_url, self.credentials.client_id())?.with_profile(profile)
    }

    /// A [`ureq::Agent`] that signs in by itself: for calls to [`api_url`](Self::api_url).
    ///
    /// # Errors
    /// As [`source`](Self::source).
    pub fn agent(&self) -> Result<Agent, Error> {
        self.agent_builder(Arc::new(self.source()?))?.build()
    }

    /// The same with settings of its own, and with a source that can be shared.
    ///
    /// # Errors
    /// None that the setters have not given already.
    pub fn agent_builder(&self, source: Arc<CachingSource>) -> Result<AgentBuilder, Error> {
        AgentBuilder::new(self.http.clone(), Auth::Bearer(source)).with_origin(&self.api_url)
    }
}

impl fmt::Debug for SpatiaFi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpatiaFi")
            .field("http", &self.http)
            .field("credentials", &self.credentials)
            .field("token_url", &Endpoint::new("", &self.token_url).ok())
            .field("api_url", &Endpoint::new("", &self.api_url).ok())
            .finish_non_exhaustive()
    }
}

/// User name and password → app credentials, saved where the official Python client looks for them.
///
/// ```no_run
/// # fn main() -> Result<(), keyfob::Error> {
/// # let password = String::new();
/// let file = keyfob::spatiafi::credentials_file()?;
/// let credentials = keyfob::spatiafi::Login::new("me@example.com", password).run(&file, false)?;
/// let agent = keyfob::SpatiaFi::new(credentials).agent()?;
/// # Ok(()) }
/// ```
pub struct Login {
    username: String,
    password: Secret,
    http: Http,
    auth_url: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("username", &self.username)
            .field("auth_url", &Endpoint::new("", &self.auth_url).ok())
            .finish_non_exhaustive()
    }
}

impl Login {
    /// At the public service.
    pub fn new(username: &str, password: impl Into<Secret>) -> Self {
        Self {
            username: username.to_owned(),
            password: password.into(),
            http: Http::new(),
            auth_url: AUTH_URL.to_owned(),
        }
    }

    /// With `SPATIAFI_USERNAME`, `SPATIAFI_PASSWORD`, `SPATIAFI_AUTH_URL` and [`Http::from_env`].
    ///
    /// # Errors
    /// [`NoCredentials`](ErrorKind::NoCredentials) if user name or password is not set; [`InvalidInput`](ErrorKind::InvalidInput) for a
    /// bad variable, but for the URL, which [`run`](Self::run) checks.
    pub fn from_env() -> Result<Self, Error> {
        let needed = |name: &str| {
            env_var(name)?.ok_or_else(|| {
                Error::new(
                    ErrorKind::NoCredentials,
                    format!("{name} is not set: it is needed to make app credentials"),
                )
            })
        };
        let mut login = Self::new(&needed("SPATIAFI_USERNAME")?, needed("SPATIAFI_PASSWORD")?);
        login.http = Http::from_env()?;
        if let Some(url) = env_var("SPATIAFI_AUTH_URL")? {
            login.auth_url = url;
        }
        Ok(login)
    }

    /// Sets the transport. Default: [`Http::new`].
    pub fn with_http(mut self, http: Http) -> Self {
        self.http = http;
        self
    }

    /// Sets the base URL of the authorization server, which [`run`](Self::run) checks. Default: [`AUTH_URL`].
    pub fn with_auth_url(mut self, url: &str) -> Self {
        url.clone_into(&mut self.auth_url);
        self
    }

    /// Proves the file writable, logs in, makes app credentials and saves them.
    ///
    /// An existing file is refused unless `overwrite`; then it is kept as a backup.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a bad URL, user name or password; then as [`CredentialsFile::prepare`],
    /// [`BasicToken::run`] and [`AppCredentials::run`], in this order. If the file cannot be written although it was proved,
    /// [`Error::unsaved`] holds what the server answered.
    pub fn run(&self, file: &CredentialsFile, overwrite: bool) -> Result<ClientCredentials, Error> {
        let (basic, clients) = self.flows()?;
        let target = file.prepare(overwrite)?;
        let token = basic.run(&self.http)?;
        clients.run(&self.http, &token, |answer| target.save(answer))
    }

    /// The same with a place of the caller's own: `save` gets the server's answer, byte for byte, before it is looked at. It
    /// is shown once, so make sure beforehand that `save` can work.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a bad URL, user name or password; then as [`BasicToken::run`] and
    /// [`AppCredentials::run`], in this order.
    pub fn run_with(&self, save: impl FnOnce(&[u8]) -> io::Result<()>) -> Result<ClientCredentials, Error> {
        let (basic, clients) = self.flows()?;
        let token = basic.run(&self.http)?;
        clients.run(&self.http, &token, save)
    }

    fn flows(&self) -> Result<(BasicToken, AppCredentials), Error> {
        base_url(AUTH_URL_NAME, &self.auth_url)?;
        let basic =
            BasicToken::new(&join(&self.auth_url, BASIC_TOKEN_PATH), &self.username, self.password.clone())?;
        Ok((basic, AppCredentials::new(&join(&self.auth_url, CLIENTS_PATH))?))
    }
}

/// The official Python client's file: `app_credentials.json` in `$XDG_CONFIG_HOME/spatiafi` or `~/.config/spatiafi` on
/// Linux, `~/Library/Application Support/spatiafi` on macOS, `%LOCALAPPDATA%\spatiafi\spatiafi` on Windows.
///
/// # Errors
/// [`NoCredentials`](ErrorKind::NoCredentials) if the environment names no home folder.
pub fn credentials_file() -> Result<CredentialsFile, Error> {
    folder(System::HERE, &|name| env::var_os(name).map(PathBuf::from), env::home_dir())
        .map(|folder| CredentialsFile::new(folder.join(FILE_NAME)))
        .ok_or_else(|| {
            Error::new(
                ErrorKind::NoCredentials,
                "there is no home folder to look for app credentials in: set HOME, or SPATIAFI_CLIENT_ID and \
                 SPATIAFI_CLIENT_SECRET",
            )
        })
}

#[derive(Clone, Copy)]
enum System {
    Linux,
    MacOs,
    Windows,
}

impl System {
    const HERE: Self = if cfg!(windows) {
        Self::Windows
    } else if cfg!(target_os = "macos") {
        Self::MacOs
    } else {
        Self::Linux
    };
}

/// Where `platformdirs.user_config_dir("spatiafi")` points, which the official client uses.
fn folder(system: System, env: &dyn Fn(&str) -> Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    let home = || home.filter(|home| !home.as_os_str().is_empty());
    match system {
        // The XDG base directory specification: a relative path is to be ignored.
        System::Linux => env("XDG_CONFIG_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| Some(home()?.join(".config")))
            .map(|config| config.join("spatiafi")),
        System::MacOs => Some(home()?.join("Library/Application Support/spatiafi")),
        System::Windows => Some(env("LOCALAPPDATA")?.join("spatiafi").join("spatiafi")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Env<'a> = &'a dyn Fn(&str) -> Option<PathBuf>;

    #[test]
    fn the_file_is_the_official_clients_on_each_system() {
        let xdg = |name: &str| (name == "XDG_CONFIG_HOME").then(|| PathBuf::from("/xdg"));
        let relative = |name: &str| (name == "XDG_CONFIG_HOME").then(|| PathBuf::from("xdg"));
        let local = |name: &str| (name == "LOCALAPPDATA").then(|| PathBuf::from("/local"));
        let none = |_: &str| None;
        let home = || Some(PathBuf::from("/home/me"));
        for (system, env, home, expected) in [
            (System::Linux, &xdg as Env<'_>, home(), Some("/xdg/spatiafi")),
            (System::Linux, &relative, home(), Some("/home/me/.config/spatiafi")),
            (System::Linux, &none, home(), Some("/home/me/.config/spatiafi")),
            (System::Linux, &none, None, None),
            (System::Linux, &none, Some(PathBuf::new()), None),
            (System::MacOs, &xdg, home(), Some("/home/me/Library/Application Support/spatiafi")),
            (System::Windows, &local, home(), Some("/local/spatiafi/spatiafi")),
            (System::Windows, &none, home(), None),
        ] {
            assert_eq!(folder(system, env, home), expected.map(PathBuf::from));
        }
    }
}
