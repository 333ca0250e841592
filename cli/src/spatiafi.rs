//! `keyfob spatiafi login`: makes app credentials.

use keyfob::spatiafi::{Registration, credentials_file};
use keyfob::{CredentialsFile, ErrorKind, Secret, env_var};
use keyfob_config::SecretName;

use crate::catalog;
use crate::failure::Failure;
use crate::output::{error, say, warn};
use crate::service::Client;
use crate::terminal;

const CLIENT_ID: &str = "SPATIAFI_CLIENT_ID";
const USERNAME: &str = "SPATIAFI_USERNAME";
const PASSWORD: &str = "SPATIAFI_PASSWORD";

/// Makes app credentials and saves them.
pub fn log_in(client: &Client, force: bool) -> Result<(), Failure> {
    let file = credentials_file()?;
    let shown = file.path().display().to_string();
    // Checked before a person types a password.
    if !force && file.path().symlink_metadata().is_ok() {
        return Err(Failure::new(
            ErrorKind::Store,
            format!(
                "there are app credentials in {shown} already: use them, or replace them with --force (a backup is \
                 kept)"
            ),
        ));
    }
    let (username, password) = account()?;
    let mut login = Registration::new(&username, password).with_transport(client.settings.http.clone());
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
    let password = catalog::secrets().get(&SecretName::of_variable(PASSWORD))?;
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

/// Saves app credentials in the current folder if they could not be saved in their own place, because the server does not show them again.
fn rescue(failed: &keyfob::Error) {
    let Some(answer) = failed.unsaved() else { return };
    let file = CredentialsFile::new("app_credentials.rescued.json");
    match file.prepare(true).map(|target| target.save(answer.expose())) {
        Ok(Ok(())) => warn(&format!("the app credentials are in {}: move them", file.path().display())),
        Ok(Err(_)) => error(&format!("nor could they be saved in {}", file.path().display())),
        Err(failed) => error(&failed.to_string()),
    }
}
