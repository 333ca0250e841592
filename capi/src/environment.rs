//! What the environment says, where the settings say nothing. What was set is not looked up: a variable that is of no use
//! then does no harm.

use std::env::{self, VarError};

use keyfob::spacebring::{Customer, Partner};
use keyfob::{ClientCredentials, FileStore, Secret, spatiafi};

use crate::failure::{Failure, keyfob_status};
use crate::options::Settings;

/// Where a login ends unless the environment says otherwise.
const REDIRECT_URI: &str = "http://127.0.0.1:8765/callback";

/// The app credentials, and what is unsafe about the file that they come from.
pub fn spatiafi(settings: &mut Settings) -> Result<(ClientCredentials, Option<String>), Failure> {
    let credentials = match ClientCredentials::from_env("SPATIAFI_CLIENT_ID", "SPATIAFI_CLIENT_SECRET")? {
        Some(credentials) => (credentials, None),
        None => from_file()?,
    };
    fill(&mut settings.auth_url, "SPATIAFI_AUTH_URL")?;
    fill(&mut settings.token_url, "SPATIAFI_TOKEN_URL")?;
    fill(&mut settings.api_url, "SPATIAFI_API_URL")?;
    http(settings)?;
    store(settings)?;
    Ok(credentials)
}

pub fn customer(settings: &mut Settings) -> Result<Customer, Failure> {
    let (id, secret) = spacebring()?;
    api(settings)?;
    http(settings)?;
    Ok(Customer::new(&id, secret)?)
}

pub fn partner(settings: &mut Settings) -> Result<Partner, Failure> {
    let (id, secret) = spacebring()?;
    let redirect_uri = variable("SPACEBRING_REDIRECT_URI")?;
    api(settings)?;
    fill(&mut settings.authorize_url, "SPACEBRING_AUTHORIZE_URL")?;
    fill(&mut settings.token_url, "SPACEBRING_TOKEN_URL")?;
    fill(&mut settings.revoke_url, "SPACEBRING_REVOKE_URL")?;
    http(settings)?;
    store(settings)?;
    Ok(Partner::new(&id, secret, redirect_uri.as_deref().unwrap_or(REDIRECT_URI))?)
}

fn from_file() -> Result<(ClientCredentials, Option<String>), Failure> {
    let file = spatiafi::credentials_file()?;
    let credentials = file.load()?.ok_or_else(|| {
        Failure::new(
            keyfob_status::KEYFOB_NO_CREDENTIALS,
            "there are no SpatiaFi credentials: set SPATIAFI_CLIENT_ID and SPATIAFI_CLIENT_SECRET, or make some with \
             keyfob_spatiafi_login",
        )
    })?;
    Ok((credentials, file.warning()))
}

fn spacebring() -> Result<(String, Secret), Failure> {
    let needed = |name| {
        variable(name)?.ok_or_else(|| {
            let text = format!(
                "{name} is not set: set it to what Spacebring shows under Network Settings, Developers"
            );
            Failure::new(keyfob_status::KEYFOB_NO_CREDENTIALS, text)
        })
    };
    Ok((needed("SPACEBRING_CLIENT_ID")?, needed("SPACEBRING_CLIENT_SECRET")?.into()))
}

fn api(settings: &mut Settings) -> Result<(), Failure> {
    fill(&mut settings.network_id, "SPACEBRING_NETWORK_ID")?;
    fill(&mut settings.api_url, "SPACEBRING_API_URL")
}

fn http(settings: &mut Settings) -> Result<(), Failure> {
    fill(&mut settings.ca_file, "KEYFOB_CA_FILE")?;
    fill(&mut settings.proxy, "KEYFOB_PROXY")
}

fn store(settings: &mut Settings) -> Result<(), Failure> {
    if settings.store.is_none() {
        settings.default_store = Some(FileStore::from_env()?);
    }
    fill(&mut settings.profile, "KEYFOB_PROFILE")
}

fn fill<T: From<String>>(setting: &mut Option<T>, name: &str) -> Result<(), Failure> {
    if setting.is_none() {
        *setting = variable(name)?.map(T::from);
    }
    Ok(())
}

/// Empty counts as unset.
fn variable(name: &str) -> Result<Option<String>, Failure> {
    match env::var(name) {
        Err(VarError::NotUnicode(_)) => {
            Err(Failure::invalid(format!("the environment variable {name} is not UTF-8")))
        }
        value => Ok(value.ok().filter(|value| !value.is_empty())),
    }
}
