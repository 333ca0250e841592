//! [`Registration`]: SpatiaFi's app credentials from a user name and password.

use std::{fmt, io};

use crate::error::{Error, ErrorKind};
use crate::secret::{Known, Secret};
use crate::service::spatiafi::basic_token::BasicToken;
use crate::service::spatiafi::create_client::CreateClient;
use crate::sys::credentials::{AppCredentials, CredentialsFile, env_var};
use crate::text::shown;
use crate::transport::Transport;
use crate::transport::endpoint::{Endpoint, base_url, join};

/// The URL of the authorization server.
pub const AUTH_URL: &str = "https://auth.spatiafi.com";

const BASIC_TOKEN_PATH: &str = "/api/v1/auth/jwt/token/basic";
/// Without the slash at the end the server redirects.
const CLIENTS_PATH: &str = "/api/v1/clients/";

/// For errors.
const AUTH_URL_NAME: &str = "URL of the authorization server";

/// Makes app credentials from a user name and password, and saves them where the official Python client looks for them.
///
/// ```no_run
/// # fn main() -> Result<(), keyfob::Error> {
/// # let password = String::new();
/// let file = keyfob::spatiafi::credentials_file()?;
/// let credentials = keyfob::spatiafi::Registration::new("me@example.com", password).run(&file, false)?;
/// let agent = keyfob::SpatiaFi::builder(&credentials).build()?.agent();
/// # Ok(()) }
/// ```
pub struct Registration {
    username: String,
    password: Known,
    http: Transport,
    auth_url: String,
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("username", &self.username)
            .field("auth_url", &Endpoint::new("", &self.auth_url).ok())
            .finish_non_exhaustive()
    }
}

impl Registration {
    /// Makes a registration at the public service.
    pub fn new(username: &str, password: impl Into<Secret>) -> Self {
        Self {
            username: username.to_owned(),
            password: Known::new(password),
            http: Transport::new(),
            auth_url: AUTH_URL.to_owned(),
        }
    }

    /// Makes a registration from `SPATIAFI_USERNAME`, `SPATIAFI_PASSWORD`, `SPATIAFI_AUTH_URL` and [`Transport::from_env`].
    ///
    /// # Errors
    /// [`NoCredentials`](ErrorKind::NoCredentials) if user name or password is not set; [`InvalidInput`](ErrorKind::InvalidInput) for a
    /// bad variable, except for the URL, which [`run`](Self::run) checks.
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
        login.http = Transport::from_env()?;
        if let Some(url) = env_var("SPATIAFI_AUTH_URL")? {
            login.auth_url = url;
        }
        Ok(login)
    }

    /// Sets the transport. Default: [`Transport::new`].
    pub fn with_transport(mut self, http: Transport) -> Self {
        self.http = http;
        self
    }

    /// Sets the base URL of the authorization server, which [`run`](Self::run) checks. Default: [`AUTH_URL`].
    pub fn with_auth_url(mut self, url: &str) -> Self {
        url.clone_into(&mut self.auth_url);
        self
    }

    /// Checks that the file is writable, logs in, makes app credentials and saves them.
    ///
    /// Refuses an existing file unless `overwrite` is `true`. Then the existing file is kept as a backup.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a bad URL, user name or password; then as [`CredentialsFile::prepare`],
    /// [`BasicToken::run`] and [`CreateClient::run`], in this order. An answer that cannot be used is kept beside the file,
    /// and the error names it. If the file cannot be written although the check succeeded, [`Error::unsaved`] holds the
    /// server's answer.
    pub fn run(&self, file: &CredentialsFile, overwrite: bool) -> Result<AppCredentials, Error> {
        let (basic, clients) = self.flows()?;
        let target = file.prepare(overwrite)?;
        // The server's words may not repeat the client secret that is replaced.
        let _replaced = overwrite.then(|| file.load());
        let token = basic.run(&self.http)?;
        let (mut kept, mut part) = (None, None);
        let saved = clients.run(&self.http, &token, |answer| match target.keep(answer) {
            Ok(place) => {
                kept = place;
                Ok(())
            }
            Err((error, place)) => {
                part = place;
                Err(error)
            }
        });
        saved.map_err(|error| match (kept, part) {
            (Some(place), _) => error.kept_in(&place),
            (None, Some(part)) => error.add("the part that could be written is in ", &shown(&part)),
            (None, None) => error,
        })
    }

    /// Makes app credentials as [`run`](Self::run) does, but passes the server's answer to `save`, byte for byte, before keyfob parses it.
    /// The server shows the answer once, so make sure beforehand that `save` can work.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a bad URL, user name or password; then as [`BasicToken::run`] and
    /// [`CreateClient::run`], in this order.
    pub fn run_with(&self, save: impl FnOnce(&[u8]) -> io::Result<()>) -> Result<AppCredentials, Error> {
        let (basic, clients) = self.flows()?;
        let token = basic.run(&self.http)?;
        clients.run(&self.http, &token, save)
    }

    fn flows(&self) -> Result<(BasicToken, CreateClient), Error> {
        base_url(AUTH_URL_NAME, &self.auth_url)?;
        let basic = BasicToken::new(
            &join(&self.auth_url, BASIC_TOKEN_PATH),
            &self.username,
            Secret::clone(&self.password),
        )?;
        Ok((basic, CreateClient::new(&join(&self.auth_url, CLIENTS_PATH))?))
    }
}
