//! The settings from the common options and the environment.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use keyfob::{AgentBuilder, FileStore, Secret, TokenStore, Transport, env_var};

use crate::args::{Common, Format};
use crate::failure::Failure;

/// The value of each option, or else of its variable.
pub struct Settings {
    pub http: Transport,
    pub timeout: Option<Duration>,
    pub profile: String,
    pub min_valid: Option<Duration>,
    pub format: Option<Format>,
    store: Option<PathBuf>,
}

impl Settings {
    pub fn new(options: Common) -> Result<Self, Failure> {
        if options.store.as_ref().is_some_and(|store| store.as_os_str().is_empty()) {
            return Err(Failure::invalid("--store is empty: name a folder"));
        }
        let profile = match options.profile {
            Some(profile) => profile,
            None => env_var("KEYFOB_PROFILE")?.unwrap_or_else(|| "default".to_owned()),
        };
        Ok(Self {
            http: http(options.ca_file, options.proxy.as_deref(), options.timeout)?,
            timeout: options.timeout,
            profile,
            min_valid: options.min_valid.map(Duration::from_secs),
            format: options.format,
            store: options.store,
        })
    }

    pub fn store(&self) -> Result<FileStore, Failure> {
        match &self.store {
            Some(folder) => Ok(FileStore::named("--store", folder)?),
            None => Ok(FileStore::from_env()?),
        }
    }

    /// Returns the store, or one that keeps nothing if the environment names no folder. For a service that works without a store.
    pub fn store_if_any(&self) -> Result<Arc<dyn TokenStore>, Failure> {
        match &self.store {
            Some(_) => Ok(Arc::new(self.store()?)),
            None => Ok(FileStore::from_env_or_none()?),
        }
    }

    /// Returns how long a token must be valid at least.
    pub fn min_valid(&self) -> Duration {
        self.min_valid.unwrap_or(Duration::from_secs(60))
    }

    /// Sets an agent's deadline, and makes it return answers of any status.
    pub fn tune(&self, builder: AgentBuilder) -> AgentBuilder {
        let builder = builder.status_as_error(false);
        match self.timeout {
            Some(timeout) => builder.deadline(timeout),
            None => builder,
        }
    }
}

fn http(
    ca_file: Option<PathBuf>,
    proxy: Option<&str>,
    timeout: Option<Duration>,
) -> Result<Transport, Failure> {
    // A name or password comes before an '@'.
    if proxy.is_some_and(|proxy| proxy.contains('@')) {
        return Err(Failure::invalid(
            "--proxy holds a user name or password, which others can read there: set KEYFOB_PROXY instead",
        ));
    }
    let proxy = match proxy {
        Some(proxy) => proxy.to_owned(),
        None => env_var("KEYFOB_PROXY")?.unwrap_or_else(|| "env".to_owned()),
    };
    let is_word = |path: &PathBuf| ["auto", "builtin", "system"].iter().any(|word| path.as_os_str() == *word);
    let (word, path) = match ca_file {
        Some(word) if is_word(&word) => (word.into_os_string().into_string().ok(), None),
        Some(path) => (None, Some(path)),
        None => (env_var("KEYFOB_CA_FILE")?, None),
    };
    let http = Transport::from_values(Some(word.as_deref().unwrap_or("auto")), Some(&Secret::from(proxy)))?;
    let http = match path {
        Some(path) => http.with_ca_file(path),
        None => http,
    };
    Ok(match timeout {
        Some(timeout) => http.with_timeout(timeout),
        None => http,
    })
}
