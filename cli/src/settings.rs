//! What the common options and the environment say.

use std::path::PathBuf;
use std::time::Duration;

use keyfob::{AgentBuilder, FileStore, Http, env_var};

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

fn http(ca_file: Option<PathBuf>, proxy: Option<&str>, timeout: Option<Duration>) -> Result<Http, Failure> {
    // A name or password comes before an '@'.
    if proxy.is_some_and(|proxy| proxy.contains('@')) {
        return Err(Failure::invalid(
            "--proxy holds a user name or password, which others can read there: set KEYFOB_PROXY instead",
        ));
    }
    let http = Http::new().with_variables(&|name| match name {
        "KEYFOB_CA_FILE" if ca_file.is_some() => Ok(None),
        "KEYFOB_PROXY" if proxy.is_some() => Ok(proxy.map(str::to_owned)),
        _ => env_var(name),
    })?;
    let http = match ca_file {
        Some(path) => http.with_ca_file(path)?,
        None => http,
    };
    Ok(match timeout {
        Some(timeout) => http.with_timeout(timeout),
        None => http,
    })
}
