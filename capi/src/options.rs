//! What a client is made with, apart from its credentials.

use std::env::VarError;
use std::sync::Arc;
use std::time::Duration;

use keyfob::{FileStore, Http, Secret, Token, TokenStore};

use crate::failure::Failure;

/// Called with each new token.
pub type Renewed = Arc<dyn Fn(&Token) + Send + Sync>;

/// Where tokens are kept, and under which profile.
pub type Store = (Arc<dyn TokenStore>, String);

/// What was set. `None` is the default, or the environment's where a client is made from it.
#[derive(Clone, Default)]
pub struct Settings {
    pub store: Option<String>,
    pub profile: Option<String>,
    pub ca_file: Option<String>,
    /// It may hold a password.
    pub proxy: Option<Secret>,
    pub user_agent: Option<String>,
    pub api_url: Option<String>,
    pub auth_url: Option<String>,
    pub authorize_url: Option<String>,
    pub token_url: Option<String>,
    pub revoke_url: Option<String>,
    pub network_id: Option<String>,
    pub connect_timeout: Option<Duration>,
    pub timeout: Option<Duration>,
    pub call_timeout: Option<Duration>,
    pub without_state: bool,
    pub without_pkce: bool,
    pub without_redirect_uri: bool,
    pub on_renewed: Option<Renewed>,
}

impl Settings {
    /// The transport: that of the environment, or the default, with what was set here.
    pub fn http(&self, from_env: bool) -> Result<Http, Failure> {
        let mut http = if from_env { Http::from_env()? } else { Http::new() };
        if let Some(path) = &self.ca_file {
            http = http.with_ca_file(path)?;
        }
        match self.proxy.as_ref().and_then(Secret::expose_str) {
            None => {}
            Some("env") => http = http.with_proxy_from_env()?,
            Some(url) => http = http.with_proxy(url)?,
        }
        if let Some(user_agent) = &self.user_agent {
            http = http.with_user_agent(user_agent)?;
        }
        if let Some(timeout) = self.connect_timeout {
            http = http.with_connect_timeout(timeout);
        }
        if let Some(timeout) = self.timeout {
            http = http.with_timeout(timeout);
        }
        Ok(http)
    }

    /// If tokens are kept anywhere but in memory.
    pub fn store(&self, from_env: bool) -> Result<Option<Store>, Failure> {
        let store = match &self.store {
            Some(folder) if folder.contains(char::is_control) => {
                return Err(Failure::invalid("the store's folder holds a control character: remove it"));
            }
            Some(folder) => FileStore::new(folder),
            None if from_env => FileStore::from_env()?,
            None => return Ok(None),
        };
        let of_env = match from_env.then(|| std::env::var("KEYFOB_PROFILE")) {
            Some(Ok(name)) if !name.is_empty() => Some(name),
            Some(Err(VarError::NotUnicode(_))) => {
                return Err(Failure::invalid("KEYFOB_PROFILE is not UTF-8"));
            }
            _ => None,
        };
        let profile = self.profile.clone().or(of_env).unwrap_or_else(|| "default".to_owned());
        Ok(Some((Arc::new(store), profile)))
    }
}
