//! What a client is made with, apart from its credentials.

use std::sync::Arc;
use std::time::Duration;

use keyfob::{FileStore, Http, Secret, Token, TokenStore};

use crate::failure::Failure;

/// Called with each new token.
pub type Renewed = Arc<dyn Fn(&Token) + Send + Sync>;

/// Where tokens are kept, and under which profile.
pub type Store = (Arc<dyn TokenStore>, String);

/// What was set. `None` is the default.
#[derive(Clone, Default)]
pub struct Settings {
    pub store: Option<String>,
    /// That of the environment, in use if no folder is named.
    pub default_store: Option<FileStore>,
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
    /// The transport.
    pub fn http(&self) -> Result<Http, Failure> {
        let mut http = Http::new();
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
    pub fn store(&self) -> Result<Option<Store>, Failure> {
        let store = match (&self.store, &self.default_store) {
            (Some(folder), _) if folder.contains(char::is_control) => {
                return Err(Failure::invalid("the store's folder holds a control character: remove it"));
            }
            (Some(folder), _) => FileStore::new(folder),
            (None, Some(store)) => store.clone(),
            (None, None) => return Ok(None),
        };
        let profile = self.profile.clone().unwrap_or_else(|| "default".to_owned());
        Ok(Some((Arc::new(store), profile)))
    }
}
