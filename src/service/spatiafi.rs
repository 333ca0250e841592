//! SpatiaFi as data, and the file of its official client.

mod basic_token;
mod create_client;
mod registration;

use std::env;
use std::ops::Deref;
use std::path::PathBuf;

use crate::client_auth::ClientAuth;
use crate::error::{Advice, Error, ErrorKind};
use crate::service::Service;
use crate::service::builder::{ServiceBuilder, Setting};
use crate::service::definition::Definition;
use crate::sys::credentials::{AppCredentials, CredentialsFile};

pub use basic_token::BasicToken;
pub use create_client::CreateClient;
pub use registration::{AUTH_URL, Registration};

/// The URL of the API.
pub const API_URL: &str = "https://api.spatiafi.com";

/// SpatiaFi: client credentials with a signed assertion.
pub static SPATIAFI: Definition = Definition {
    title: "SpatiaFi",
    about: "geospatial climate data",
    auth_url: AUTH_URL,
    token_url: "/api/v1/auth/jwt/token",
    settings: &[Setting::text("auth_url", ServiceBuilder::auth_url), Setting::TOKEN_URL, Setting::API_URL],
    credentials_file: Some((credentials_file, Advice::SetSpatiaFiCredentials)),
    other_secrets: &["password"],
    ..Definition::new("spatiafi", API_URL, |builder, id, secret| {
        builder.client_credentials(ClientAuth::secret_jwt(id, secret))
    })
};

const FILE_NAME: &str = "app_credentials.json";

/// SpatiaFi with app credentials: a [`Service`].
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let agent = keyfob::SpatiaFi::from_env()?.agent();
/// let info = agent
///     .get("https://api.spatiafi.com/api/info")
///     .query("item_id", "ce-wildfire-risk-static-us-and-canada-v3.0")
///     .call()?
///     .body_mut()
///     .read_to_string()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct SpatiaFi(Service);

impl SpatiaFi {
    /// Starts SpatiaFi, the public service, with these app credentials. Its tokens are in memory only.
    pub fn builder(credentials: &AppCredentials) -> ServiceBuilder {
        SPATIAFI.builder(credentials.client_id(), credentials.client_secret().clone())
    }

    /// Makes SpatiaFi from the environment.
    ///
    /// The app credentials are in `SPATIAFI_CLIENT_ID` and `SPATIAFI_CLIENT_SECRET`, else in the official client's file
    /// ([`credentials_file`]). `SPATIAFI_AUTH_URL`, `SPATIAFI_API_URL` and `SPATIAFI_TOKEN_URL` replace the URLs of the
    /// public service. For the transport and the store see [`Definition::from_env`].
    ///
    /// # Errors
    /// [`NoCredentials`](ErrorKind::NoCredentials) if there are no app credentials; [`InvalidInput`](ErrorKind::InvalidInput) for a
    /// bad variable; [`Store`](ErrorKind::Store) for a bad file.
    pub fn from_env() -> Result<Self, Error> {
        SPATIAFI.from_env()?.build().map(Self)
    }
}

impl Deref for SpatiaFi {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.0
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

/// Returns the folder of `platformdirs.user_config_dir("spatiafi")`, which the official client uses.
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
    fn credentials_file_is_that_of_the_official_client_on_each_system() {
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
