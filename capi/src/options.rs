//! Options for making a client, by key. The keys are those of a service in `config.toml`, and those of the client itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keyfob::{FileStore, Secret, Token, TokenStore, Transport, env_var};
use keyfob_config::{Kind, nearest};

use crate::failure::Failure;

/// Receives each new token.
pub type Renewed = Arc<dyn Fn(&Token) + Send + Sync>;

/// A store and a profile.
pub type Store = (Arc<dyn TokenStore>, String);

/// The keys of the client itself, by the type of their values.
const TEXTS: [&str; 5] = ["store", "profile", "ca_file", "proxy", "user_agent"];
const NUMBERS: [&str; 3] = ["connect_timeout_ms", "timeout_ms", "request_timeout_ms"];
const FLAGS: [&str; 1] = ["allow_commands"];

/// The options that were set. A key without a value has its default.
#[derive(Clone, Default)]
pub struct Options {
    /// Whether a variable is read for an option that was not set.
    pub from_env: bool,
    /// A URL may hold a password.
    texts: BTreeMap<&'static str, Secret>,
    numbers: BTreeMap<&'static str, u32>,
    flags: Vec<&'static str>,
    /// The keys of the service.
    pub service: keyfob_config::Options,
    pub on_renewed: Option<Renewed>,
}

/// Returns the known key, if it is one of these.
fn known(key: &str, keys: &[&'static str]) -> Option<&'static str> {
    keys.iter().copied().find(|known| *known == key)
}

/// The type of the value of a key, and the function that sets it.
fn setter(key: &str) -> Option<&'static str> {
    let service = keyfob_config::Options::kind(key);
    if known(key, &TEXTS).is_some() || service.is_some_and(|kind| kind != Kind::Number) {
        Some("a text: set it with keyfob_options_set_text")
    } else if known(key, &NUMBERS).is_some() || service.is_some() {
        Some("a number: set it with keyfob_options_set_number")
    } else {
        known(key, &FLAGS).map(|_| "a flag: set it with keyfob_options_set_flag")
    }
}

/// Why no option of this type has this key.
fn refused(key: &str) -> Failure {
    let shown = keyfob::one_line(key);
    if let Some(setter) = setter(key) {
        return Failure::invalid(format!("the option {shown} is {setter}"));
    }
    // An entry of a table has a name behind the key.
    let lower = key.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let of_service = keyfob_config::Options::keys();
    let keys = TEXTS.into_iter().chain(NUMBERS).chain(FLAGS).chain(of_service);
    let (nearest, _) = nearest(&lower, keys).unwrap_or_default();
    Failure::invalid(format!("there is no option `{shown}`: the nearest one is {nearest}"))
}

impl Options {
    /// Sets a text, or adds it to a list. An empty one restores the default.
    pub fn set_text(&mut self, key: &str, value: &str) -> Result<(), Failure> {
        let Some(known) = known(key, &TEXTS) else {
            return match keyfob_config::Options::kind(key) {
                None | Some(Kind::Number) => Err(refused(key)),
                Some(Kind::Table) if !key.contains('.') => {
                    Err(Failure::invalid(format!("the option {key} has entries with names: set {key}.NAME")))
                }
                Some(_) => {
                    self.service.set_text(key, value);
                    Ok(())
                }
            };
        };
        if value.is_empty() {
            self.texts.remove(known);
        } else {
            self.texts.insert(known, Secret::from(value));
        }
        Ok(())
    }

    /// Sets a number. 0 restores the default.
    pub fn set_number(&mut self, key: &str, value: i64) -> Result<(), Failure> {
        let own = known(key, &NUMBERS);
        if own.is_none() && keyfob_config::Options::kind(key) != Some(Kind::Number) {
            return Err(refused(key));
        }
        let Ok(value) = u32::try_from(value) else {
            return Err(Failure::invalid(format!(
                "the option {key} is {value}: set a number from 1 to {}, or 0 for the default",
                u32::MAX
            )));
        };
        match (own, value) {
            (None, value) => self.service.set_number(key, (value > 0).then_some(value)),
            (Some(own), 0) => drop(self.numbers.remove(own)),
            (Some(own), value) => drop(self.numbers.insert(own, value)),
        }
        Ok(())
    }

    /// Sets a flag, or clears it.
    pub fn set_flag(&mut self, key: &str, is_set: bool) -> Result<(), Failure> {
        let own = known(key, &FLAGS).ok_or_else(|| refused(key))?;
        self.flags.retain(|other| *other != own);
        self.flags.extend(is_set.then_some(own));
        Ok(())
    }

    /// Whether a client may run a command for a secret.
    pub fn allows_commands(&self) -> bool {
        self.flags.contains(&FLAGS[0])
    }

    pub fn duration(&self, key: &str) -> Option<Duration> {
        self.numbers.get(key).map(|milliseconds| Duration::from_millis((*milliseconds).into()))
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.texts.get(key).and_then(Secret::expose_str)
    }

    /// Returns the option of this key, or else its variable if the environment is read.
    fn text_or(&self, key: &str, variable: &str) -> Result<Option<Secret>, Failure> {
        match self.texts.get(key) {
            None if self.from_env => Ok(env_var(variable)?.map(Secret::from)),
            set => Ok(set.cloned()),
        }
    }

    /// Makes the transport.
    pub fn transport(&self) -> Result<Transport, Failure> {
        let ca_file = self.text_or("ca_file", "KEYFOB_CA_FILE")?;
        let roots = ca_file.as_ref().and_then(Secret::expose_str).unwrap_or("auto");
        let proxy = self.text_or("proxy", "KEYFOB_PROXY")?;
        let proxy = proxy.or_else(|| self.from_env.then(|| Secret::from("env")));
        let mut transport = Transport::from_values(Some(roots), proxy.as_ref())?;
        if let Some(user_agent) = self.text("user_agent") {
            transport = transport.with_user_agent(user_agent);
        }
        if let Some(timeout) = self.duration("connect_timeout_ms") {
            transport = transport.with_connect_timeout(timeout);
        }
        if let Some(timeout) = self.duration("timeout_ms") {
            transport = transport.with_timeout(timeout);
        }
        transport.check()?;
        Ok(transport)
    }

    /// Returns the store and profile, or `None` if tokens are kept in memory only.
    pub fn store(&self) -> Result<Option<Store>, Failure> {
        let store: Arc<dyn TokenStore> = match self.text("store") {
            Some(folder) if folder.contains(char::is_control) => {
                return Err(Failure::invalid("the store's folder holds a control character: remove it"));
            }
            Some(folder) => Arc::new(FileStore::named("the store", folder)?),
            None if self.from_env => FileStore::from_env_or_none()?,
            None => return Ok(None),
        };
        let profile = self.text_or("profile", "KEYFOB_PROFILE")?;
        let profile = profile.as_ref().and_then(Secret::expose_str).unwrap_or("default").to_owned();
        Ok(Some((store, profile)))
    }
}
