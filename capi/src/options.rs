//! What a client is made with, apart from its credentials.

use std::sync::Arc;
use std::time::Duration;

use keyfob::{Error, FileStore, Http, Secret, Token, TokenStore, env_var};

use crate::failure::Failure;

/// Called with each new token.
pub type Renewed = Arc<dyn Fn(&Token) + Send + Sync>;

/// Where tokens are kept, and under which profile.
pub type Store = (Arc<dyn TokenStore>, String);

/// What was set. `None` is the default.
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
#[derive(Clone, Default)]
pub struct Settings {
    /// Whether the environment counts where nothing was set.
    pub from_env: bool,
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
    /// What was set in the place of a variable, and else the variable itself.
    pub fn variable(&self, name: &str) -> Result<Option<String>, Error> {
        let set = match name {
            "KEYFOB_CA_FILE" => self.ca_file.clone(),
            "KEYFOB_PROXY" => self.proxy.as_ref().and_then(Secret::expose_str).map(str::to_owned),
            "KEYFOB_PROFILE" => self.profile.clone(),
            "SPATIAFI_AUTH_URL" => self.auth_url.clone(),
            "SPATIAFI_API_URL" | "SPACEBRING_API_URL" => self.api_url.clone(),
            "SPATIAFI_TOKEN_URL" | "SPACEBRING_TOKEN_URL" => self.token_url.clone(),
            "SPACEBRING_AUTHORIZE_URL" => self.authorize_url.clone(),
            "SPACEBRING_REVOKE_URL" => self.revoke_url.clone(),
            "SPACEBRING_NETWORK_ID" => self.network_id.clone(),
            _ => None,
        };
        match set {
            None if self.from_env => env_var(name),
            set => Ok(set),
        }
    }

    /// The transport.
    pub fn http(&self) -> Result<Http, Failure> {
        let mut http = Http::new().with_variables(&|name| self.variable(name))?;
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
        let store = match &self.store {
            Some(folder) if folder.contains(char::is_control) => {
                return Err(Failure::invalid("the store's folder holds a control character: remove it"));
            }
            Some(folder) => FileStore::new(folder),
            None if self.from_env => FileStore::from_env()?,
            None => return Ok(None),
        };
        let profile = self.variable("KEYFOB_PROFILE")?.unwrap_or_else(|| "default".to_owned());
        Ok(Some((Arc::new(store), profile)))
    }
}
