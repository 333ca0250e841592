//! What the common options and the environment say.

use std::env::{self, VarError};
use std::path::PathBuf;
use std::time::Duration;

use keyfob::{AgentBuilder, FileStore, Http};

use crate::args::{Common, Format};
use crate::failure::Failure;

/// Options, or else the environment.
pub struct Settings {
    pub http: Http,
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
            None => variable("KEYFOB_PROFILE")?.unwrap_or_else(|| "default".to_owned()),
        };
        Ok(Self {
            http: http(options.ca_file, options.proxy, options.timeout)?,
            timeout: options.timeout,
            profile,
            min_valid: options.min_valid.map(Duration::from_secs),
            format: options.format,
            store: options.store,
        })
    }

    pub fn store(&self) -> Result<FileStore, Failure> {
        match &self.store {
            Some(folder) => Ok(FileStore::new(folder)),
            None => Ok(FileStore::from_env()?),
        }
    }

    /// How long a token that is handed out lives at least.
    pub fn min_valid(&self) -> Duration {
        self.min_valid.unwrap_or(Duration::from_secs(60))
    }

    /// An agent's deadline, and its answers as they come, whatever their status.
    pub fn tune(&self, builder: AgentBuilder) -> AgentBuilder {
        let builder = builder.with_status_as_error(false);
        match self.timeout {
            Some(timeout) => builder.with_deadline(timeout),
            None => builder,
        }
    }
}

fn http(ca_file: Option<PathBuf>, proxy: Option<String>, timeout: Option<Duration>) -> Result<Http, Failure> {
    let mut http = Http::new();
    let ca_file = match ca_file {
        Some(path) => Some(path),
        None => variable("KEYFOB_CA_FILE")?.map(PathBuf::from),
    };
    if let Some(path) = ca_file {
        http = http.with_ca_file(path)?;
    }
    let proxy = match proxy {
        // A name or password comes before an '@'.
        Some(proxy) if proxy.contains('@') => {
            return Err(Failure::invalid(
                "--proxy holds a user name or password, which others can read there: set KEYFOB_PROXY instead",
            ));
        }
        Some(proxy) => Some(proxy),
        None => variable("KEYFOB_PROXY")?,
    };
    http = match proxy.as_deref() {
        None => http,
        Some("env") => http.with_proxy_from_env()?,
        Some(url) => http.with_proxy(url)?,
    };
    Ok(match timeout {
        Some(timeout) => http.with_timeout(timeout),
        None => http,
    })
}

/// A variable of the environment; an empty one counts as unset.
pub fn variable(name: &str) -> Result<Option<String>, Failure> {
    match env::var(name) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => {
            Err(Failure::invalid(format!("the environment variable {name} is not UTF-8")))
        }
    }
}
