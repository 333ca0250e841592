//! [`Client`]: a service with the options and variables of this run. Every command works on one, whatever the service.

use keyfob::{
    CachingSource, CredentialsFile, ErrorKind, RecordName, Secret, Service, ServiceBuilder, Token,
    TokenSource as _, ureq,
};
use keyfob_config::{Credentials, KnownService, Origin, Way};
use std::sync::Arc;

use crate::catalog;
use crate::failure::Failure;
use crate::output::warn;
use crate::settings::Settings;

/// A service, and the options of this run.
pub struct Client {
    pub known: KnownService<'static>,
    pub settings: Settings,
}

/// Whether a person has to log in before this service has tokens.
pub fn needs_login(service: &Service) -> bool {
    matches!(service.grant(), "authorization_code" | "device_code")
}

impl Client {
    /// Returns the variable of a setting.
    pub fn variable(&self, key: &str) -> String {
        self.known.variable(key)
    }

    /// Returns the service with its tokens.
    pub fn with_tokens(&self) -> Result<Service, Failure> {
        self.service(Way::Tokens, |builder| builder)
    }

    /// Returns the service that authenticates requests to the API, in the way that the environment chooses.
    pub fn service_of_requests(&self) -> Result<Service, Failure> {
        let service = self.service(Way::Requests, |builder| builder)?;
        if needs_login(&service) {
            self.resume(&service)?;
        }
        Ok(service)
    }

    /// Builds the service, after `change`.
    pub fn service(
        &self,
        way: Way,
        change: impl FnOnce(ServiceBuilder) -> ServiceBuilder,
    ) -> Result<Service, Failure> {
        self.finish(change(self.builder(way)?))
    }

    /// Reads the secrets of the service.
    pub fn builder(&self, way: Way) -> Result<ServiceBuilder, Failure> {
        let http = self.settings.http.clone();
        Ok(self.known.builder(way, Credentials::Read(&catalog::secrets()), http)?)
    }

    /// Builds the service, with its store.
    pub fn finish(&self, builder: ServiceBuilder) -> Result<Service, Failure> {
        let builder = if !builder.has_tokens() {
            builder
        } else if builder.needs_login() {
            builder.store(self.settings.store()?)
        } else {
            builder.store(self.settings.store_if_any()?)
        };
        let service = self.known.build(builder.profile(&self.settings.profile))?;
        for warning in service.warnings() {
            warn(warning);
        }
        Ok(service)
    }

    /// Continues with the tokens of an earlier login.
    pub fn resume(&self, service: &Service) -> Result<CachingSource, Failure> {
        let source = service.source();
        if source.resume()? {
            return Ok(source);
        }
        let Some(name) = service.record_name() else { return Ok(source) };
        let aside = self.settings.store()?.unreadable_path(name);
        let (title, command) = (self.known.title(), self.known.name());
        let why = if aside.symlink_metadata().is_ok() {
            format!("the stored login could not be read, and is quarantined as {}", aside.display())
        } else {
            format!("nobody has logged in to {title} with this client and profile")
        };
        Err(Failure::new(ErrorKind::LoginRequired, format!("{why}: run `keyfob {command} login`")))
    }

    /// Returns a token that is valid long enough.
    pub fn token(&self) -> Result<Arc<Token>, Failure> {
        let service = self.with_tokens()?;
        if needs_login(&service) {
            self.resume(&service)?;
        }
        self.token_of(&service)
    }

    /// Returns the value of the `Authorization` header of requests to the API.
    pub fn authorization(&self) -> Result<Secret, Failure> {
        let service = self.service_of_requests()?;
        match service.record_name() {
            Some(_) => Ok(self.token_of(&service)?.authorization()),
            None => Ok(service.authorization()?),
        }
    }

    pub fn token_of(&self, service: &Service) -> Result<Arc<Token>, Failure> {
        let source = service.source();
        let token = source.token(self.settings.min_valid()).map_err(|error| self.explain(error))?;
        warn_of(&source);
        let now = self.settings.http.clock().now();
        let age = now.duration_since(token.obtained_at()).unwrap_or_default().as_secs();
        match token.expires_at() {
            Some(_) => {
                log::debug!(
                    "the token is {age} s old and valid for another {} s",
                    token.remaining(now).as_secs()
                );
            }
            None => log::debug!("the token is {age} s old and of unknown lifetime"),
        }
        Ok(token)
    }

    /// Returns an agent for this many threads. Obtains a token now if one is needed, so that a failure ends the command.
    pub fn agent(&self, service: &Service, threads: usize) -> Result<ureq::Agent, Failure> {
        if service.record_name().is_some() {
            let min_valid = self.settings.min_valid.unwrap_or_default();
            service.source().token(min_valid).map_err(|error| self.explain(error))?;
            warn_of(&service.source());
        }
        let builder = self.settings.tune(service.agent_builder()).max_idle_connections(threads);
        Ok(builder.build()?)
    }

    /// Converts an error of the library, with the advice for this command.
    pub fn explain(&self, error: keyfob::Error) -> Failure {
        // The library does not know the line of the configuration that names a file.
        if error.kind() == ErrorKind::InvalidInput {
            let files = self.known.files_of_requests();
            if let Some(problem) = files.iter().find_map(|file| catalog::secrets().read(file).err()) {
                return problem.into();
            }
        }
        let advice = format!("run `keyfob {} login`", self.known.name());
        Failure::from(error).advise(ErrorKind::LoginRequired, &advice)
    }

    /// Returns the service with this client and without its secrets, not checked yet.
    fn without_secrets(&self, client_id: &str) -> Result<ServiceBuilder, Failure> {
        let http = self.settings.http.clone();
        let builder = self.known.builder(Way::Tokens, Credentials::Without(client_id), http)?;
        Ok(builder.profile(&self.settings.profile))
    }

    /// Returns the URL of the API and the token URL as they were set. They may be wrong.
    pub fn urls(&self) -> Result<[Option<String>; 2], Failure> {
        let builder = self.without_secrets("-")?;
        Ok([builder.unchecked_api_url(), builder.unchecked_token_url()])
    }

    /// Returns the name of this client's tokens in the store.
    fn record_name_of(&self, client_id: &str) -> Result<Option<RecordName>, Failure> {
        Ok(self.known.build(self.without_secrets(client_id)?)?.record_name().cloned())
    }

    /// Returns the name of the tokens in the store, or `None` without a client id.
    pub fn record_name(&self) -> Result<Option<RecordName>, Failure> {
        match self.known.client_id()? {
            Some((id, _)) => self.record_name_of(&id),
            None => Ok(None),
        }
    }

    /// Returns the file that holds app credentials, if the service has one.
    pub fn credentials_file(&self) -> Result<Option<CredentialsFile>, Failure> {
        Ok(self.known.credentials_file()?)
    }

    /// Returns the client id in that file, whatever the environment says, and the name of its tokens.
    pub fn client_of_file(&self) -> Result<Option<(String, RecordName)>, Failure> {
        let Some(file) = self.credentials_file()? else { return Ok(None) };
        let Some(credentials) = file.load()? else { return Ok(None) };
        let id = credentials.client_id().to_owned();
        Ok(self.record_name_of(&id)?.map(|name| (id, name)))
    }

    /// Returns how requests are authenticated, for `status`.
    pub fn signs_with(&self) -> Result<&'static str, Failure> {
        let http = self.settings.http.clone();
        let builder = self.known.builder(Way::Requests, Credentials::Without("-"), http)?;
        Ok(if builder.has_tokens() { "oauth2" } else { "basic" })
    }

    /// Returns where a value comes from, for `status`.
    pub fn shown(origin: &Origin) -> String {
        match origin {
            Origin::Option => "an option".to_owned(),
            Origin::Variable(name) => name.clone(),
            Origin::Configuration(place) => place.clone(),
            Origin::CredentialsFile => FILE.to_owned(),
        }
    }
}

/// Shown in place of the name of a variable.
pub const FILE: &str = "the credentials file";

/// Warns about a token that could not be saved, because the next run will miss it. Also warns about one that could not be renewed: it is
/// used until it expires.
fn warn_of(source: &CachingSource) {
    match source.warning() {
        Some(warning) if warning.kind() == ErrorKind::Store => {
            warn(&format!("the token could not be kept for the next run: {warning}"));
        }
        Some(warning) => warn(&warning.to_string()),
        None => {}
    }
}

#[cfg(test)]
#[path = "../../tests/service/acme.rs"]
mod acme;

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use keyfob::{Definition, ErrorKind};

    use super::acme::ACME;
    use super::*;
    use crate::args::Cli;

    fn client(definition: &'static Definition) -> Client {
        let cli = Cli::try_parse_from(["keyfob", "completions", "bash"]).unwrap();
        let known = catalog::catalog().defined(definition);
        Client { known, settings: Settings::new(cli.common).unwrap() }
    }

    #[test]
    fn required_secret_without_a_place_is_a_failure_that_names_its_variable() {
        let text = "ACME_API_KEY is not set, nor its _FILE, _FD or _CMD: set it to what Acme shows";
        let failure = Failure::from(client(&ACME).known.check_required(&catalog::secrets()).unwrap_err());
        assert_eq!(failure.to_string(), text);
        assert!(matches!(failure, Failure::Error { kind: Some(ErrorKind::NoCredentials), .. }));
        // `logout` and `status` need the name of the tokens, and no secret.
        assert!(client(&ACME).record_name_of("id").unwrap().is_some());
    }

    #[test]
    fn header_of_a_service_is_found_with_the_variable_of_its_setting() {
        let variable = |name: &str| Some(format!("{name}: set that"));
        let acme = client(&ACME);
        assert_eq!(acme.known.source_of_header("X-Api-Key"), variable("ACME_API_KEY"));
        assert_eq!(acme.known.source_of_header("x-other"), None);
        let spacebring = client(&keyfob::spacebring::PARTNER);
        assert_eq!(
            spacebring.known.source_of_header("spacebring-network-id"),
            variable("SPACEBRING_NETWORK_ID")
        );
    }
}
