//! `SpatiaFi`: its settings, and `keyfob spatiafi login`.

use std::sync::Arc;

use keyfob::spatiafi::{API_URL, AUTH_URL, Login, credentials_file};
use keyfob::{
    CachingSource, ClientCredentials, CredentialsFile, ErrorKind, RecordName, Secret, SpatiaFi, env_var,
};

use crate::failure::Failure;
use crate::output::{error, say, warn};
use crate::secrets;
use crate::service::{Api, Service, Urls};
use crate::settings::Settings;
use crate::terminal;

const CLIENT_ID: &str = "SPATIAFI_CLIENT_ID";
const CLIENT_SECRET: &str = "SPATIAFI_CLIENT_SECRET";
const USERNAME: &str = "SPATIAFI_USERNAME";
const PASSWORD: &str = "SPATIAFI_PASSWORD";

pub struct Client {
    pub settings: Settings,
}

impl Client {
    fn lone(set: &str, unset: &str) -> Failure {
        Failure::invalid(format!("{set} is set, but {unset} is not: set both, or neither to use the file"))
    }

    fn spatiafi(&self) -> Result<SpatiaFi, Failure> {
        let spatiafi = match (env_var(CLIENT_ID)?, secrets::get(CLIENT_SECRET)?) {
            (Some(id), Some(secret)) => SpatiaFi::new(ClientCredentials::new(&id, secret)?),
            (Some(_), None) => return Err(Self::lone(CLIENT_ID, CLIENT_SECRET)),
            (None, Some(_)) => return Err(Self::lone(CLIENT_SECRET, CLIENT_ID)),
            (None, None) => from_file()?,
        };
        let spatiafi = spatiafi.with_http(self.settings.http.clone()).with_variables(&env_var)?;
        Ok(spatiafi.with_store(Arc::new(self.settings.store()?), &self.settings.profile))
    }

    fn record_name_of(&self, id: &str) -> Result<RecordName, Failure> {
        // The name of a record does not depend on the secret.
        let spatiafi = SpatiaFi::new(ClientCredentials::new(id, "none")?).with_variables(&env_var)?;
        Ok(spatiafi.record_name(&self.settings.profile)?)
    }

    /// Makes app credentials and saves them.
    pub fn login(&self, force: bool) -> Result<(), Failure> {
        let file = credentials_file()?;
        let shown = file.path().display().to_string();
        // Before anyone types a password.
        if !force && file.path().symlink_metadata().is_ok() {
            return Err(Failure::new(
                ErrorKind::Store,
                format!(
                    "there are app credentials in {shown} already: use them, or replace them with --force (a backup is \
                     kept)"
                ),
            ));
        }
        let (username, password) = Self::account()?;
        let mut login = Login::new(&username, password).with_http(self.settings.http.clone());
        if let Some(url) = env_var("SPATIAFI_AUTH_URL")? {
            login = login.with_auth_url(&url);
        }
        let credentials = login.run(&file, force).inspect_err(rescue)?;
        say(&format!("the app credentials {} are in {shown}", credentials.client_id()));
        if env_var(CLIENT_ID)?.is_some() {
            warn(&format!("{CLIENT_ID} is set, so the other commands use the environment and not this file"));
        }
        Ok(())
    }

    fn account() -> Result<(String, Secret), Failure> {
        let username = env_var(USERNAME)?;
        let password = secrets::get(PASSWORD)?;
        if username.is_some() && password.is_some() || terminal::is_there() {
            let username = match username {
                Some(username) => username,
                None => terminal::ask("SpatiaFi user name: ")?,
            };
            let password = match password {
                Some(password) => password,
                None => terminal::ask_secretly(&format!("SpatiaFi password of {username}: "))?,
            };
            return Ok((username, password));
        }
        let way = format!("{PASSWORD} (or {PASSWORD}_FILE, _FD or _CMD)");
        let missing = match (username, password) {
            (None, None) => format!("{USERNAME} and {way}"),
            (None, _) => USERNAME.to_owned(),
            _ => way,
        };
        Err(Failure::new(
            ErrorKind::NoCredentials,
            format!("there is no terminal to ask for the user name and password: set {missing}"),
        ))
    }
}

fn from_file() -> Result<SpatiaFi, Failure> {
    let spatiafi = SpatiaFi::from_file()?;
    log::debug!("app credentials come from {}", credentials_file()?.path().display());
    for warning in spatiafi.warnings() {
        warn(warning);
    }
    Ok(spatiafi)
}

/// What the server will not show again goes to the current folder, if it could not go where it belongs.
fn rescue(failed: &keyfob::Error) {
    let Some(answer) = failed.unsaved() else { return };
    let file = CredentialsFile::new("app_credentials.rescued.json");
    match file.prepare(true).map(|target| target.save(answer.expose())) {
        Ok(Ok(())) => warn(&format!("the app credentials are in {}: move them", file.path().display())),
        Ok(Err(_)) => error(&format!("nor could they be saved in {}", file.path().display())),
        Err(failed) => error(&failed.to_string()),
    }
}

impl Service for Client {
    fn name(&self) -> &'static str {
        "spatiafi"
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn token_variable(&self) -> &'static str {
        "SPATIAFI_ACCESS_TOKEN"
    }

    fn secrets(&self) -> &'static [&'static str] {
        &[CLIENT_SECRET, PASSWORD]
    }

    fn source(&self) -> Result<Arc<CachingSource>, Failure> {
        Ok(Arc::new(self.spatiafi()?.source()?))
    }

    fn api(&self) -> Result<Api, Failure> {
        let spatiafi = self.spatiafi()?;
        let source = Arc::new(spatiafi.source()?);
        let builder = spatiafi.agent_builder(source.clone())?;
        Ok(Api { url: spatiafi.api_url().to_owned(), builder, source: Some(source) })
    }

    fn urls(&self) -> Result<Urls, Failure> {
        let base = |name: &str, default: &str| -> Result<String, Failure> {
            Ok(env_var(name)?.unwrap_or_else(|| default.to_owned()).trim_end_matches('/').to_owned())
        };
        let auth = base("SPATIAFI_AUTH_URL", AUTH_URL)?;
        let token = env_var("SPATIAFI_TOKEN_URL")?.unwrap_or_else(|| format!("{auth}/api/v1/auth/jwt/token"));
        Ok(Urls { api: base("SPATIAFI_API_URL", API_URL)?, token })
    }

    fn client_id(&self) -> Result<Option<(String, &'static str)>, Failure> {
        if let Some(id) = env_var(CLIENT_ID)? {
            return Ok(Some((id, CLIENT_ID)));
        }
        let Ok(file) = credentials_file() else { return Ok(None) };
        Ok(file.load()?.map(|credentials| (credentials.client_id().to_owned(), "the credentials file")))
    }

    fn record_name(&self) -> Result<Option<RecordName>, Failure> {
        self.client_id()?.map(|(id, _)| self.record_name_of(&id)).transpose()
    }

    fn credentials_file(&self) -> Result<Option<CredentialsFile>, Failure> {
        Ok(Some(credentials_file()?))
    }

    fn client_of_file(&self) -> Result<Option<(String, RecordName)>, Failure> {
        let Some(credentials) = credentials_file()?.load()? else { return Ok(None) };
        let id = credentials.client_id().to_owned();
        let name = self.record_name_of(&id)?;
        Ok(Some((id, name)))
    }

    fn halves(&self) -> Result<(), Failure> {
        match (env_var(CLIENT_ID)?.is_some(), secrets::find(CLIENT_SECRET)?.is_some()) {
            (true, false) => Err(Self::lone(CLIENT_ID, CLIENT_SECRET)),
            (false, true) => Err(Self::lone(CLIENT_SECRET, CLIENT_ID)),
            _ => Ok(()),
        }
    }

    fn signs_with(&self) -> Result<&'static str, Failure> {
        Ok("oauth2")
    }
}
