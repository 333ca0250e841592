//! The value behind `keyfob_client`: a service of the library.

use std::io::Read as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use keyfob::flow::PendingLogin;
use keyfob::ureq::{self, Agent, AsSendBody as _, http};
use keyfob::{ErrorKind, Secret, Service, Token, TokenSource as _, spatiafi};
use keyfob_config::{Catalog, Credentials, Host, KnownService, Secrets, Way};

use crate::failure::{Failure, keyfob_status};
use crate::options::{Options, Renewed};

/// A request to an API.
pub struct Request<'a> {
    pub method: &'a str,
    /// A whole URL, or a path from "/" on.
    pub url: &'a str,
    /// Empty for none.
    pub content_type: &'a str,
    pub body: Option<&'a [u8]>,
}

impl Request<'_> {
    /// Returns the request with its whole URL, and without its body.
    fn head(&self, api_url: &str) -> Result<http::Request<()>, Failure> {
        let method = match http::Method::from_bytes(self.method.as_bytes()) {
            Ok(method) if method != http::Method::CONNECT => method,
            _ => {
                return Err(Failure::invalid(
                    "the method is no method of HTTP for an API: pass one such as GET or POST",
                ));
            }
        };
        // `http` takes bytes that are not ASCII, and servers read them in different ways.
        if self.url.contains(|c: char| !c.is_ascii_graphic()) {
            return Err(Failure::invalid(
                "the path or URL holds a space, a control character or a character that is not ASCII: percent-encode it",
            ));
        }
        if !self.url.starts_with('/') && !self.url.contains("://") {
            return Err(Failure::invalid(
                "the path or URL begins neither with '/' nor with https://: write a path such as /things, or a whole URL",
            ));
        }
        let whole =
            if self.url.starts_with('/') { api_url.to_owned() + self.url } else { self.url.to_owned() };
        let url: http::Uri = whole.parse().map_err(|_| {
            Failure::invalid("the URL is no URL: it is incomplete, or holds what must be percent-encoded")
        })?;
        let mut request = http::Request::builder().method(method).uri(url);
        if !self.content_type.is_empty() {
            let value = http::HeaderValue::from_str(self.content_type)
                .map_err(|_| Failure::invalid("the content type holds a control character: remove it"))?;
            request = request.header(http::header::CONTENT_TYPE, value);
        }
        if let Some(body) = self.body {
            // The agent measures short bodies only.
            request = request.header(http::header::CONTENT_LENGTH, body.len());
        }
        request.body(()).map_err(|error| keyfob::Error::from(ureq::Error::from(error)).into())
    }
}

/// A service and the credentials for it.
#[derive(Clone)]
pub struct Client {
    catalog: Arc<Catalog>,
    service: Service,
    agent: Agent,
    /// The `Authorization` value of a service without tokens.
    basic: Option<Arc<Secret>>,
    on_renewed: Option<Renewed>,
    /// The warnings that were given while the secrets were read.
    warnings: Arc<Vec<String>>,
}

/// The [`Host`] of secrets in a program that has loaded this library. Collects warnings.
struct Program {
    allows_commands: bool,
    warnings: Mutex<Vec<String>>,
}

impl Host for Program {
    fn warn(&self, text: &str) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
    }

    fn refuses_commands(&self) -> Option<&'static str> {
        let why = "the option allow_commands is not set: set it, or name a file";
        (!self.allows_commands).then_some(why)
    }
}

impl Client {
    /// Makes a client from options alone.
    pub fn new(service: &str, options: &Options) -> Result<Self, Failure> {
        Self::with(Catalog::WITHOUT_ENVIRONMENT, service, options)
    }

    /// Makes a client from options, the environment, and the configuration file.
    pub fn from_config(service: &str, mut options: Options) -> Result<Self, Failure> {
        options.from_env = true;
        Self::with(Catalog::from_env()?, service, &options)
    }

    /// Makes a client from options and the environment.
    pub fn from_env(service: &str, mut options: Options) -> Result<Self, Failure> {
        options.from_env = true;
        Self::with(Catalog::EMPTY, service, &options)
    }

    /// Makes a client with these credentials.
    pub fn with_credentials(
        service: &str,
        client_id: &str,
        client_secret: &Secret,
        options: &Options,
    ) -> Result<Self, Failure> {
        let mut options = options.clone();
        options.service.set_client(client_id, client_secret);
        Self::new(service, &options)
    }

    fn with(catalog: Catalog, name: &str, options: &Options) -> Result<Self, Failure> {
        let catalog = catalog.with_options(name, &options.service)?;
        let known = catalog.service(name).ok_or_else(|| unknown(&catalog, name))?;
        let host = Program { allows_commands: options.allows_commands(), warnings: Mutex::default() };
        let secrets = Secrets::new(&catalog, &host);
        let mut builder = known.builder(Way::Requests, Credentials::Read(&secrets), options.transport()?)?;
        if builder.needs_login()
            && let Some(scope) = known.scope()?
        {
            builder = builder.scope(scope);
        }
        if builder.has_tokens()
            && let Some((store, profile)) = options.store()?
        {
            builder = builder.store(store).profile(profile);
        }
        if let Some(call) = options.on_renewed.clone() {
            builder = builder.on_renewed(move |token| call(token));
        }
        let service = known.build(builder)?;
        if is_login(&service) {
            // Uses the tokens of an earlier login if the store has any.
            service.source().resume()?;
        }
        let builder = match options.duration("request_timeout_ms") {
            Some(timeout) => service.agent_builder().deadline(timeout),
            None => service.agent_builder(),
        };
        let basic = match service.record_name() {
            Some(_) => None,
            None => Some(Arc::new(service.authorization()?)),
        };
        let agent = builder.status_as_error(false).build()?;
        let warnings = host.warnings.into_inner().unwrap_or_else(PoisonError::into_inner);
        let on_renewed = options.on_renewed.clone();
        let (catalog, warnings) = (Arc::new(catalog), Arc::new(warnings));
        Ok(Self { catalog, service, agent, basic, on_renewed, warnings })
    }

    /// Makes app credentials, which `save` keeps, and a client with them.
    pub fn spatiafi_login(
        username: &str,
        password: Secret,
        options: &Options,
        save: Option<impl FnOnce(&[u8]) -> std::io::Result<()>>,
    ) -> Result<Self, Failure> {
        let with =
            |id: &str, secret: &Secret| Self::with_credentials(spatiafi::SPATIAFI.name, id, secret, options);
        // First makes a client that sends nothing, so that bad options are found before the server creates the credentials, which it does
        // only once.
        with("checked", &Secret::from("-".repeat(32)))?;
        let mut login = spatiafi::Registration::new(username, password).with_transport(options.transport()?);
        if let Some(url) = options.service.text("auth_url") {
            login = login.with_auth_url(url);
        }
        let credentials = match save {
            Some(save) => login.run_with(save)?,
            None => login.run(&spatiafi::credentials_file()?, false).map_err(unsaved)?,
        };
        with(credentials.client_id(), credentials.client_secret())
    }

    /// Returns the value of an `Authorization` header in two parts, without `Token::authorization`, which allocates.
    pub fn authorization<T>(
        &self,
        min_valid: Duration,
        take: impl FnOnce(&[u8], &[u8]) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match &self.basic {
            Some(authorization) => take(b"", authorization.expose()),
            None => take(b"Bearer ", self.token(min_valid)?.access_token().expose()),
        }
    }

    pub fn token(&self, min_valid: Duration) -> Result<Arc<Token>, Failure> {
        self.check_tokens()?;
        self.service.source().token(min_valid).map_err(|error| self.explain(error))
    }

    /// Notes that the server has refused this token, or the current one if none is given.
    pub fn invalidate(&self, used: Option<Secret>) -> Result<(), Failure> {
        self.check_tokens()?;
        self.check_login()?;
        let source = self.service.source();
        match used {
            Some(used) => source.invalidate(&Token::new(used, SystemTime::UNIX_EPOCH)?),
            None => {
                if let Some(token) = source.current() {
                    source.invalidate(&token);
                }
            }
        }
        Ok(())
    }

    /// Obtains a new token now.
    pub fn refresh(&self) -> Result<(), Failure> {
        self.check_tokens()?;
        self.service.source().renew().map(drop).map_err(|error| self.explain(error))
    }

    /// Makes a request, gives the body of the answer to `sink` piece by piece, and returns the status. Unless `any_status`, the status must
    /// be 2xx.
    pub fn request(
        &self,
        request: &Request<'_>,
        any_status: bool,
        mut sink: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<u16, Failure> {
        let head = request.head(self.api_url())?;
        let (mut nothing, mut bytes) = ((), request.body.unwrap_or_default());
        let body = if request.body.is_some() { bytes.as_body() } else { nothing.as_body() };
        let request = head.map(|()| body);
        let request = self.agent.configure_request(request).allow_non_standard_methods(true).build();
        let mut response = self.agent.run(request).map_err(|error| self.explain(error.into()))?;
        let status = response.status().as_u16();
        if let Some(error) = keyfob::Error::from_response(&response).filter(|_| !any_status) {
            return Err(error.into());
        }
        let mut body = response.body_mut().as_reader();
        let mut piece = vec![0; 16 * 1024];
        loop {
            match body.read(&mut piece).map_err(|e| keyfob::Error::from(ureq::Error::from(e)))? {
                0 => return Ok(status),
                len => sink(&piece[..len])?,
            }
        }
    }

    /// Returns the base URL of the API, without a slash at its end.
    pub fn api_url(&self) -> &str {
        self.service.api_url()
    }

    /// Returns the warning about something that did not stop the call. Empty if there is none.
    pub fn warning(&self) -> String {
        let unsaved = self.service.source().warning().map(|warning| warning.to_string());
        let of_secrets = self.warnings.iter().chain(self.service.warnings()).cloned();
        of_secrets.chain(unsaved).collect::<Vec<_>>().join("\n")
    }

    /// Continues with tokens that the caller has kept.
    pub fn restore(&self, token: Token) -> Result<(), Failure> {
        self.check_is_login()?;
        let access_token = token.access_token().clone();
        match self.service.finish_login(token) {
            // The token is used although it could not be saved. The warning says why.
            Err(_) if self.uses(&access_token) => Ok(()),
            result => Ok(result?),
        }
    }

    fn uses(&self, access_token: &Secret) -> bool {
        let current = self.service.source().current();
        current.is_some_and(|current| current.access_token().expose() == access_token.expose())
    }

    /// Starts a login for these scopes, or for those of the service if there are none.
    pub fn start_login(&self, scopes: &str) -> Result<PendingLogin, Failure> {
        self.check_is_login()?;
        Ok(match scopes.trim_matches(' ') {
            "" => self.service.start_login()?,
            scopes => self.service.start_login_for(scopes)?,
        })
    }

    /// Reports a new token to the program.
    pub fn renewed(&self, token: &Token) {
        if let Some(call) = &self.on_renewed {
            call(token);
        }
    }

    /// Revokes the tokens at the server, and removes them.
    pub fn revoke(&self) -> Result<(), Failure> {
        self.check_endpoint("revocation_url")?;
        Ok(self.service.revoke()?)
    }

    /// Returns what the server knows about the token, as JSON.
    pub fn introspect(&self) -> Result<String, Failure> {
        self.check_endpoint("introspection_url")?;
        Ok(self.service.introspect()?.to_json())
    }

    fn check_endpoint(&self, key: &str) -> Result<(), Failure> {
        self.check_tokens()?;
        self.known().map_or(Ok(()), |known| known.check_endpoint(key))?;
        self.check_login()
    }

    fn known(&self) -> Option<KnownService<'_>> {
        self.catalog.service(self.service.name())
    }

    /// Gives `take` the name and the value of each header of a request to the API.
    pub fn headers(
        &self,
        min_valid: Duration,
        mut take: impl FnMut(&str, &[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let authorization = match &self.basic {
            Some(authorization) => Secret::clone(authorization),
            None => self.token(min_valid)?.authorization(),
        };
        take("Authorization", authorization.expose())?;
        self.service.headers().into_iter().try_for_each(|(name, value)| take(name, value.expose()))
    }

    /// Refuses a call that only a service with a login offers.
    fn check_is_login(&self) -> Result<(), Failure> {
        if is_login(&self.service) {
            return Ok(());
        }
        Err(Failure::invalid(
            "this client needs no login: only one that a person logs in to can log in and out",
        ))
    }

    fn check_tokens(&self) -> Result<(), Failure> {
        if self.basic.is_none() {
            return Ok(());
        }
        Err(Failure::invalid("this client has no token: take the Authorization value, which never expires"))
    }

    /// Checks that a person has logged in, if the service needs a login. Another process may have stored the tokens since.
    fn check_login(&self) -> Result<(), Failure> {
        let source = self.service.source();
        if is_login(&self.service) && source.current().is_none() && !source.resume()? {
            return Err(nobody_has_logged_in());
        }
        Ok(())
    }

    /// Converts an error of the Rust library, with the advice in the words of C.
    fn explain(&self, error: keyfob::Error) -> Failure {
        let needs_first_login = error.kind() == ErrorKind::LoginRequired
            && is_login(&self.service)
            && self.service.source().current().is_none();
        if needs_first_login { nobody_has_logged_in() } else { error.into() }
    }
}

fn nobody_has_logged_in() -> Failure {
    let text = "nobody has logged in yet: start with keyfob_login_start";
    Failure::new(keyfob_status::KEYFOB_LOGIN_REQUIRED, text)
}

/// Whether a person has to log in.
fn is_login(service: &Service) -> bool {
    matches!(service.grant(), "authorization_code" | "device_code")
}

/// Why there is no service of this name.
fn unknown(catalog: &Catalog, name: &str) -> Failure {
    let names: Vec<_> = catalog.services().iter().map(|service| service.name().to_owned()).collect();
    let describe = match catalog.path() {
        Some(path) => {
            // A variable may hold any character.
            let shown = keyfob::one_line(&path.display().to_string());
            let absent = if path.exists() { "" } else { ", which does not exist" };
            format!("describe it in {shown}{absent}, or with options")
        }
        None => "describe it with options".to_owned(),
    };
    let (name, names) = (keyfob::one_line(name), names.join(", "));
    Failure::invalid(format!(
        "there is no service `{name}`: {describe}, beginning with grant; known are {names}"
    ))
}

/// Replaces the error's text, which says that the caller has the credentials. That is true only if the caller saves them.
fn unsaved(error: keyfob::Error) -> Failure {
    let is_lost = error.unsaved().is_some();
    let mut failure = Failure::from(error);
    if is_lost {
        "could not save the new app credentials, which the server will not show again: the part that could be written is \
         beside their file, its name followed by .unsaved- and the time"
            .clone_into(&mut failure.text);
    }
    failure
}
