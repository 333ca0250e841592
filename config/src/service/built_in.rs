//! A built-in service, with what the file changes.

use keyfob::{Definition, ErrorKind, Secret, ServiceBuilder, Setting};

use super::{Credentials, KnownService, Origin, Setter, Way};
use crate::keys::{Key, nearest};
use crate::problem::{Problem, shown};
use crate::secrets::Secrets;
use crate::section::{OPTION, key_of, without_effect};

impl KnownService<'_> {
    pub(super) fn built_in(
        &self,
        definition: &'static Definition,
        way: Way,
        credentials: Credentials<'_>,
    ) -> Result<ServiceBuilder, Problem> {
        let definition = match way {
            Way::Requests => self.way(definition)?,
            Way::Tokens | Way::Device => definition,
        };
        let builder = match credentials {
            Credentials::Without(client_id) => definition.builder(client_id, super::NO_SECRET),
            Credentials::Read(secrets) => self.with_credentials(definition, secrets)?,
        };
        let builder = definition.configure(builder, |setting| self.setting(setting, credentials))?;
        self.check_options(definition, &builder)?;
        let is_setting = |key| definition.settings.iter().any(|setting| key_of(setting) == key);
        let mut builder = self.leave_out(builder);
        if is_setting("api_url") {
            // The first one is a setting.
            builder = self.api_urls()?.iter().skip(1).fold(builder, ServiceBuilder::api_url);
        }
        if !builder.has_tokens() {
            return Ok(builder);
        }
        let others: [(&str, Setter); 5] = [
            ("issuer", ServiceBuilder::issuer),
            ("token_url", ServiceBuilder::token_url),
            ("revocation_url", ServiceBuilder::revocation_url),
            ("introspection_url", ServiceBuilder::introspection_url),
            ("scope", ServiceBuilder::scope),
        ];
        for (key, set) in others {
            // A login chooses its scope.
            if is_setting(key) || key == "scope" && builder.needs_login() {
                continue;
            }
            if let Some(text) = self.text(key)? {
                builder = set(builder, text);
            }
        }
        Ok(builder)
    }

    /// The scope that the file or the variable gives a login.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a bad variable.
    pub fn scope(&self) -> Result<Option<String>, Problem> {
        self.text("scope")
    }

    /// The value of a setting: that of its variable, or else that of the file.
    fn setting(&self, setting: &Setting, credentials: Credentials<'_>) -> Result<Option<Secret>, Problem> {
        if setting.is_secret() {
            if matches!(credentials, Credentials::Without(_)) && !setting.is_required() {
                return Ok(None);
            }
            return match credentials.read(&self.secret_named(setting.key()))? {
                None if setting.is_required() => Err(self.needs_secret(setting.key())),
                value => Ok(value),
            };
        }
        let value = match setting.key() {
            "api_url" => self.api_urls()?.into_iter().next(),
            // The variable has the name of the setting.
            key if !self.is_option(key_of(setting)) => match self.catalog.variable(&self.variable(key))? {
                None => self.text(key_of(setting))?,
                value => value,
            },
            _ => self.text(key_of(setting))?,
        };
        Ok(value.map(Secret::from))
    }

    fn with_credentials(
        &self,
        definition: &'static Definition,
        secrets: &Secrets<'_>,
    ) -> Result<ServiceBuilder, Problem> {
        let id = self.text("client_id")?;
        let Some((file, _)) = definition.credentials_file else {
            let id = id.ok_or_else(|| self.needs_id())?;
            let secret =
                secrets.get(&self.client_secret())?.ok_or_else(|| self.needs_secret("client_secret"))?;
            return Ok(definition.builder(&id, secret));
        };
        match (id, secrets.get(&self.client_secret())?) {
            (Some(id), Some(secret)) => Ok(definition.builder(&id, secret)),
            (Some(_), None) => Err(self.lone_id()?),
            (None, Some(_)) => Err(self.lone_secret(secrets)?),
            (None, None) if !self.catalog.reads_environment() => Err(self.needs_id()),
            (None, None) => {
                let builder = definition.builder_from_file()?;
                log::debug!("app credentials come from {}", shown(file()?.path()));
                Ok(builder)
            }
        }
    }

    /// Checks that client id and secret are both set, or neither, and that each required secret has a place. Reads no secret.
    pub(super) fn built_in_credentials(
        &self,
        definition: &'static Definition,
        secrets: &Secrets<'_>,
    ) -> Result<(), Problem> {
        let has_file = definition.credentials_file.is_some();
        match (self.text("client_id")?.is_some(), secrets.find(&self.client_secret())?.is_some()) {
            (true, false) if has_file => Err(self.lone_id()?),
            (false, true) if has_file => Err(self.lone_secret(secrets)?),
            (true, false) => Err(self.needs_secret("client_secret")),
            (false, true) => Err(self.needs_id()),
            _ => Ok(()),
        }
    }

    /// Checks that each required secret of a built-in service, but the client secret, has a place. Reads no secret.
    ///
    /// # Errors
    /// [`NoCredentials`](ErrorKind::NoCredentials) for one that has none.
    pub fn check_required(&self, secrets: &Secrets<'_>) -> Result<(), Problem> {
        for setting in self.definition.map(|definition| definition.settings).unwrap_or_default() {
            let is_needed = setting.is_secret() && setting.is_required();
            let name = self.secret_named(setting.key());
            if is_needed && secrets.find(&name)?.is_none() {
                return Err(self.needs_secret(setting.key()));
            }
        }
        Ok(())
    }

    fn needs(&self, what: &str) -> Problem {
        let hint = self.definition.map(Definition::hint).unwrap_or_default();
        Problem::new(ErrorKind::NoCredentials, format!("{what}: {hint}"))
    }

    fn needs_id(&self) -> Problem {
        self.needs(&format!("{} is not set", self.named("client_id")))
    }

    fn needs_secret(&self, key: &str) -> Problem {
        let others = if self.catalog.reads_environment() { ", nor its _FILE, _FD or _CMD" } else { "" };
        self.needs(&format!("{} is not set{others}", self.named(key)))
    }

    /// The name under which a person sets the value of a key: its variable, or the option.
    pub(super) fn named(&self, key: &str) -> String {
        if self.catalog.reads_environment() { self.variable(key) } else { format!("the option {key}") }
    }

    /// The definition that the option `auth`, or else the variable `NAME_AUTH`, chooses.
    fn way(&self, definition: &'static Definition) -> Result<&'static Definition, Problem> {
        let basic = definition.basic.unwrap_or(definition);
        match self.section.and_then(|section| section.auth.as_deref()) {
            Some("basic") => Ok(basic),
            Some("oauth2") => Ok(definition),
            Some(_) => Err(Problem::invalid("the option auth can be basic or oauth2, and is neither")),
            None if self.catalog.reads_environment() => Ok(definition.way_from_env()?),
            None => Ok(basic),
        }
    }

    /// Refuses an option that has no effect for this use of the service.
    fn check_options(&self, definition: &Definition, builder: &ServiceBuilder) -> Result<(), Problem> {
        let of_login = ["redirect_uri", "authorize_url", "device_authorization_url", "without"];
        let of_tokens = ["issuer", "token_url", "revocation_url", "introspection_url", "scope"];
        let is_setting = |key| definition.settings.iter().any(|setting| key_of(setting) == key);
        let has_effect = |key| {
            is_setting(key)
                || match key {
                    _ if of_login.contains(&key) => key == "without" && builder.needs_login(),
                    _ if of_tokens.contains(&key) => builder.has_tokens(),
                    // Otherwise it is a setting that the service has with its other `auth` only.
                    _ => Key::named(key).is_some_and(|key| key.of_built_in) || key == "client_secret",
                }
        };
        match self.section.and_then(|section| section.options().find(|key| !has_effect(*key))) {
            None => Ok(()),
            Some(key) => {
                let keys =
                    Key::names().filter(|key| has_effect(*key)).chain(definition.settings.iter().map(key_of));
                let nearest = nearest(key, keys).map(|(key, _)| key).unwrap_or_default();
                Err(self.catalog.mistake(
                    OPTION,
                    key,
                    &without_effect(&format!("this client of {}", self.title()), nearest),
                ))
            }
        }
    }

    /// Returns the mistake of a client id without a secret. It names what has set the client id.
    fn lone_id(&self) -> Result<Problem, Problem> {
        let set = match self.value("client_id")? {
            Some((_, Origin::Configuration(place))) => format!("client_id in {place}"),
            Some((_, Origin::Option)) => "the option client_id".to_owned(),
            _ => self.variable("client_id"),
        };
        Ok(self.lone(&set, "client_secret"))
    }

    /// As [`lone_id`](Self::lone_id), for a secret without a client id.
    fn lone_secret(&self, secrets: &Secrets<'_>) -> Result<Problem, Problem> {
        let set = secrets.find(&self.client_secret())?.map(|source| source.label());
        Ok(self.lone(&set.unwrap_or_default(), "client_id"))
    }

    fn lone(&self, set: &str, unset: &str) -> Problem {
        let or = if self.catalog.reads_environment() {
            ", or neither to use the file of app credentials"
        } else {
            ""
        };
        Problem::invalid(format!("{set} is set, but {} is not: set both{or}", self.named(unset)))
    }
}
