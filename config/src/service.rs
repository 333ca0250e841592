//! [`KnownService`]: a service that is built in, configured, or both.

mod built_in;
mod configured;
mod mistakes;

use std::path::{Path, PathBuf};

use keyfob::{CredentialsFile, Definition, Secret, Service, ServiceBuilder, Setting, Transport, one_line};

use crate::catalog::Catalog;
use crate::problem::{Problem, shown};
use crate::secrets::{Place, SecretName, Secrets, Source};
use crate::section::{Item, OPTION, Section};

/// Stands in for a secret that is not needed and therefore not read. It is long enough to sign with.
const NO_SECRET: &str = "--------------------------------";

/// The endings of the variables whose values are paths of TLS client certificates.
const CERTIFICATE: [&str; 2] = ["client_cert_file", "client_key_file"];

/// Gives a service the value of a key.
type Setter = fn(ServiceBuilder, String) -> ServiceBuilder;

/// A service that is built into keyfob, described in the configuration file, or both.
#[derive(Clone, Copy, Debug)]
pub struct KnownService<'a> {
    catalog: &'a Catalog,
    name: &'a str,
    definition: Option<&'static Definition>,
    section: Option<&'a Section>,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From an option that a program has set.
    Option,
    /// From this variable.
    Variable(String),
    /// From the configuration: file and line.
    Configuration(String),
    /// From the file of app credentials that the service has.
    CredentialsFile,
}

/// The credentials of a service that is being made.
#[derive(Clone, Copy)]
pub enum Credentials<'s> {
    /// Those that the environment and the files name, which are read now.
    Read(&'s Secrets<'s>),
    /// This client id, and no secrets: for a service that sends nothing.
    Without(&'s str),
}

impl Credentials<'_> {
    fn read(&self, name: &SecretName) -> Result<Option<Secret>, Problem> {
        match self {
            Self::Read(secrets) => secrets.get(name),
            Self::Without(_) => Ok(Some(Secret::from(NO_SECRET))),
        }
    }
}

/// How a service is used, if there is more than one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// With its tokens.
    Tokens,
    /// To call its API: for some built-in services, the environment chooses HTTP Basic for this.
    Requests,
    /// With a device login in place of one in a browser on this machine.
    Device,
}

impl Catalog {
    /// The services, the built-in ones first.
    pub fn services(&self) -> Vec<KnownService<'_>> {
        let built_in = keyfob::services().iter().map(|definition| definition.name);
        let configured = self.sections.iter().map(|section| section.name.as_str());
        let configured = configured.filter(|name| !built_in.clone().any(|own| own == *name));
        built_in.clone().chain(configured).filter_map(|name| self.service(name)).collect()
    }

    /// The service of this name.
    pub fn service<'a>(&'a self, name: &str) -> Option<KnownService<'a>> {
        let section = self.sections.iter().find(|section| section.name == name);
        let definition = keyfob::services().iter().copied().find(|definition| definition.name == name);
        let name =
            definition.map(|definition| definition.name).or(section.map(|section| section.name.as_str()))?;
        Some(KnownService { catalog: self, name, definition, section })
    }

    /// A service of this definition, whether it is built in or not.
    pub fn defined(&self, definition: &'static Definition) -> KnownService<'_> {
        KnownService { catalog: self, name: definition.name, definition: Some(definition), section: None }
    }
}

impl<'a> KnownService<'a> {
    /// The name on the command line and in stores.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The name as people write it.
    pub fn title(&self) -> &'a str {
        self.definition.map_or(self.name, |definition| definition.title)
    }

    /// A few words for help texts.
    pub fn about(&self) -> String {
        match self.definition {
            Some(definition) => format!("{}: {}", definition.title, definition.about),
            // The grant is not checked yet, and the help is for a terminal.
            None => one_line(&format!("{}: {}", self.name, self.configured_grant().unwrap_or("no grant"))),
        }
    }

    /// The definition, if the service is built in.
    pub fn definition(&self) -> Option<&'static Definition> {
        self.definition
    }

    /// The file and line of its section, if it is configured.
    pub fn configured_at(&self) -> Option<String> {
        let line = self.section?.line;
        (line != OPTION).then(|| self.place(line))
    }

    /// The variable of a setting, such as `ACME_API_URL` for `api_url`.
    pub fn variable(&self, key: &str) -> String {
        format!("{}_{key}", self.name.replace('-', "_")).to_ascii_uppercase()
    }

    /// Whether a person has to log in before there are tokens.
    pub fn needs_login(&self) -> bool {
        match self.definition {
            Some(definition) => definition.builder("", "").needs_login(),
            None => matches!(self.configured_grant(), Some("authorization_code" | "device_code")),
        }
    }

    /// The grant that the file names, which may be none that keyfob knows.
    pub fn configured_grant(&self) -> Option<&'a str> {
        self.section?.text("grant").map(|(grant, _)| grant)
    }

    /// The grant. For a built-in service that has HTTP Basic too, the grant of its tokens.
    pub fn grant(&self) -> Option<String> {
        match self.definition {
            Some(definition) => definition.builder("-", NO_SECRET).unchecked_grant().map(str::to_owned),
            None => self.configured_grant().map(str::to_owned),
        }
    }

    /// `FILE:LINE`
    fn place(&self, line: u32) -> String {
        let path = self.catalog.path.as_deref().map(shown).unwrap_or_default();
        format!("{path}:{line}")
    }

    /// A path in an option as it is, or one in the file, which is relative to the folder of the file.
    fn path(&self, path: &str, line: u32) -> PathBuf {
        if line == OPTION { path.into() } else { self.in_folder(path) }
    }

    fn in_folder(&self, path: &str) -> PathBuf {
        let folder = self.catalog.path.as_deref().and_then(Path::parent);
        folder.map_or_else(|| PathBuf::from(path), |folder| folder.join(path))
    }

    /// Whether a program has set this key.
    fn is_option(&self, key: &str) -> bool {
        self.section.is_some_and(|section| section.line_of(key) == Some(OPTION))
    }

    /// The value of the variable of a key, unless an option takes precedence.
    fn of_variable(&self, key: &str) -> Result<Option<String>, Problem> {
        if self.is_option(key) {
            return Ok(None);
        }
        self.catalog.variable(&self.variable(key))
    }

    /// The text of a key: that of the option, of the variable, or else of the file.
    fn value(&self, key: &str) -> Result<Option<(String, Origin)>, Problem> {
        if let Some(value) = self.of_variable(key)? {
            return Ok(Some((value, Origin::Variable(self.variable(key)))));
        }
        let found = self.section.and_then(|section| section.text(key));
        if let Some((text, OPTION)) = found {
            return Ok(Some((text.to_owned(), Origin::Option)));
        }
        Ok(found.map(|(text, line)| (text.to_owned(), Origin::Configuration(self.place(line)))))
    }

    fn text(&self, key: &str) -> Result<Option<String>, Problem> {
        Ok(self.value(key)?.map(|(text, _)| text))
    }

    /// The URLs of the API: those of the option, that of the variable, or else those of the file.
    fn api_urls(&self) -> Result<Vec<String>, Problem> {
        match self.of_variable("api_url")? {
            Some(url) => Ok(vec![url]),
            None => Ok(self.section.map(|section| section.list("api_url").to_vec()).unwrap_or_default()),
        }
    }

    /// A path: that of the option or the variable as it is, or else that of the file, relative to it.
    fn file(&self, key: &str) -> Result<Option<PathBuf>, Problem> {
        Ok(match self.value(key)? {
            Some((path, Origin::Configuration(_))) => Some(self.in_folder(&path)),
            Some((path, _)) => Some(path.into()),
            None => None,
        })
    }

    /// The secrets of the service, the client secret first.
    pub fn secrets(&self) -> Vec<SecretName> {
        let mut secrets = vec![self.client_secret()];
        if let Some(definition) = self.definition {
            let settings = definition.settings.iter().filter(|setting| setting.is_secret()).map(Setting::key);
            let keys = settings.chain(definition.other_secrets.iter().copied());
            secrets.extend(keys.map(|key| self.secret_named(key)));
        }
        secrets
    }

    /// The client secret.
    pub fn client_secret(&self) -> SecretName {
        self.secret_named("client_secret")
    }

    /// The secret of this key: that of an option, of its variables, or else, for the client secret, of the file.
    pub(crate) fn secret_named(&self, key: &str) -> SecretName {
        let name = SecretName::of_variable(self.variable(key));
        let Some(section) = self.section else { return name };
        if let Some(secret) = section.secret(key) {
            return name.with_option(self.source(key, key, OPTION, Place::Option(secret.clone())));
        }
        if key != "client_secret" {
            return name;
        }
        let file = section.text("client_secret_file");
        let file = file.map(|(path, line)| ("client_secret_file", line, Place::File(self.path(path, line))));
        let command = section.text("client_secret_cmd");
        let command =
            command.map(|(text, line)| ("client_secret_cmd", line, Place::Command(text.to_owned())));
        match file.or(command) {
            Some((place_key, line, place)) => {
                let source = self.source(&self.variable(key), place_key, line, place);
                if line == OPTION { name.with_option(source) } else { name.with_file(source) }
            }
            None => name,
        }
    }

    /// A place of a secret that a key names.
    fn source(&self, what: &str, key: &str, line: u32, place: Place) -> Source {
        let by = match line {
            OPTION => format!("the option {key}"),
            line => format!("{key} in {}", self.place(line)),
        };
        Source::configured(what, place, by)
    }

    /// The files that the configuration, and the service itself, keep secrets in.
    pub fn secret_files(&self) -> Vec<PathBuf> {
        let app_credentials = self.definition.and_then(|definition| definition.credentials_file?.0().ok());
        let mut files: Vec<_> = app_credentials.iter().map(|file| file.path().to_owned()).collect();
        files.extend(self.file("client_key_file").ok().flatten());
        let Some(section) = self.section else { return files };
        for key in ["client_secret_file", "assertion_file"] {
            files.extend(section.text(key).map(|(path, line)| self.path(path, line)));
        }
        for key in ["header_files", "parameter_files"] {
            files.extend(section.table(key).iter().map(|item| self.path(item.text(), item.line)));
        }
        files
    }

    /// The file that holds app credentials, if the service has one.
    ///
    /// # Errors
    /// Those of the library, if no home folder is known.
    pub fn credentials_file(&self) -> Result<Option<CredentialsFile>, Problem> {
        let find = self.definition.and_then(|definition| definition.credentials_file);
        Ok(find.map(|(file, _)| file()).transpose()?)
    }

    /// The client id and where it comes from: a variable, the configuration, or the file of app credentials.
    ///
    /// # Errors
    /// [`InvalidInput`](keyfob::ErrorKind::InvalidInput) for a bad variable; [`Store`](keyfob::ErrorKind::Store) for a bad file.
    pub fn client_id(&self) -> Result<Option<(String, Origin)>, Problem> {
        if let Some(found) = self.value("client_id")? {
            return Ok(Some(found));
        }
        let Ok(Some(file)) = self.credentials_file() else { return Ok(None) };
        Ok(file.load()?.map(|credentials| (credentials.client_id().to_owned(), Origin::CredentialsFile)))
    }

    /// Checks that the client id and the secret each have a source. Reads no secret.
    ///
    /// # Errors
    /// [`NoCredentials`](keyfob::ErrorKind::NoCredentials) or [`InvalidInput`](keyfob::ErrorKind::InvalidInput) if one of the two, or
    /// another secret that is required, has none.
    pub fn check_credentials(&self, secrets: &Secrets<'_>) -> Result<(), Problem> {
        match self.definition {
            Some(definition) => self.built_in_credentials(definition, secrets),
            None => self.configured_credentials(secrets),
        }
    }

    /// Returns a builder with the settings of the environment and the configuration, without store and profile.
    ///
    /// # Errors
    /// [`NoCredentials`](keyfob::ErrorKind::NoCredentials) if there are no credentials;
    /// [`InvalidInput`](keyfob::ErrorKind::InvalidInput) for a mistake in the configuration; those of reading a secret.
    pub fn builder(
        &self,
        way: Way,
        credentials: Credentials<'_>,
        transport: Transport,
    ) -> Result<ServiceBuilder, Problem> {
        self.check()?;
        let builder = match self.with_secrets(way, credentials) {
            Ok(builder) => builder,
            // A mistake in the file comes first: it may be why there is no secret.
            Err(problem) if self.section.is_some() => {
                let client_id = self.text("client_id")?;
                let without = Credentials::Without(client_id.as_deref().unwrap_or("-"));
                let without = self.with_secrets(way, without)?;
                return Err(self.build(without.transport(transport)).err().unwrap_or(problem));
            }
            Err(problem) => return Err(problem),
        };
        let builder = match self.section.and_then(|section| section.number("rate")) {
            Some(rate) => builder.rate(rate),
            None => builder,
        };
        let transport = match CERTIFICATE.map(|key| self.file(key)) {
            [Ok(None), Ok(None)] => transport,
            [Ok(Some(certificate)), Ok(Some(key))] => transport.with_client_certificate(certificate, key),
            [certificate, key] => {
                // `check` has made sure that the file has both of them or neither.
                let [set, unset] = if certificate?.is_some() { [0, 1] } else { [1, 0] };
                key?;
                let [set, unset] = [set, unset].map(|at| self.variable(CERTIFICATE[at]));
                return Err(Problem::invalid(format!("{set} is set, but {unset} is not: set both")));
            }
        };
        Ok(builder.transport(transport))
    }

    fn with_secrets(&self, way: Way, credentials: Credentials<'_>) -> Result<ServiceBuilder, Problem> {
        let builder = match self.definition {
            Some(definition) => self.built_in(definition, way, credentials)?,
            None => self.configured(way, credentials)?,
        };
        self.headers(builder, credentials)
    }

    /// Builds the service. An error of a value in the configuration names its place.
    ///
    /// # Errors
    /// Those of [`ServiceBuilder::build`].
    pub fn build(&self, builder: ServiceBuilder) -> Result<Service, Problem> {
        builder.build().map_err(|error| self.explain(error))
    }

    /// The files of the configuration that are read again for each request: the JWT of the client authentication, and parameters.
    pub fn files_of_requests(&self) -> Vec<Source> {
        let Some(section) = self.section else { return Vec::new() };
        let assertion = section.text("assertion_file").map(|(path, line)| {
            self.source("the client assertion", "assertion_file", line, Place::File(self.path(path, line)))
        });
        let parameters = section.table("parameter_files").iter();
        let parameters = parameters.map(|item| self.file_of("the parameter", "parameter_files", item));
        assertion.into_iter().chain(parameters).collect()
    }

    /// The file that an entry of a table names.
    fn file_of(&self, what: &str, table: &str, item: &Item) -> Source {
        let place = Place::File(self.path(item.text(), item.line));
        self.source(&format!("{what} {}", item.name), &format!("{table}.{}", item.name), item.line, place)
    }

    /// Adds the headers of the file.
    fn headers(
        &self,
        mut builder: ServiceBuilder,
        credentials: Credentials<'_>,
    ) -> Result<ServiceBuilder, Problem> {
        let Some(section) = self.section else { return Ok(builder) };
        for item in section.table("headers") {
            builder = builder.header(&item.name, item.text());
        }
        for item in section.table("header_files") {
            let value = match credentials {
                Credentials::Read(secrets) => {
                    secrets.read(&self.file_of("the header", "header_files", item))?
                }
                Credentials::Without(_) => Secret::from(NO_SECRET),
            };
            builder = builder.header(&item.name, value);
        }
        Ok(builder)
    }

    /// If an answer of the API names a header that a setting without a value would set, returns the variable of that setting.
    pub fn variable_of_header_in(&self, answer: &[u8]) -> Option<String> {
        let answer = String::from_utf8_lossy(answer).to_ascii_lowercase();
        let headers = self.definition?.headers();
        let keys =
            headers.iter().filter(|(name, _)| answer.contains(name)).filter_map(|(_, setting)| *setting);
        let lacking = keys.map(Setting::key).find(|key| matches!(self.text(key), Ok(None)));
        lacking.map(|key| self.variable(key))
    }

    /// If the service itself sends this header, returns what sets it and what to do instead.
    pub fn source_of_header(&self, header: &str) -> Option<String> {
        let ways = [self.definition, self.definition.and_then(|definition| definition.basic)];
        let mut headers = ways.into_iter().flatten().flat_map(Definition::headers);
        if let Some((_, setting)) = headers.find(|(name, _)| name.eq_ignore_ascii_case(header)) {
            return Some(match setting {
                Some(setting) => format!("{}: set that", self.variable(setting.key())),
                None => "keyfob: leave it out".to_owned(),
            });
        }
        let section = self.section?;
        let mut items = section.table("headers").iter().chain(section.table("header_files"));
        let item = items.find(|item| item.name.eq_ignore_ascii_case(header))?;
        Some(match item.line {
            OPTION => format!("the option headers.{}: change that", item.name),
            line => format!("the configuration, {}: change that", self.place(line)),
        })
    }
}
