//! [`Service`]: an OAuth 2.0 service as a value. The built-in services are values of this type too.

mod builder;
mod definition;
pub mod spacebring;
pub mod spatiafi;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;

use crate::agent::AgentBuilder;
use crate::clock::Deadline;
use crate::encode::basic::Basic;
use crate::error::{Error, ErrorKind};
#[cfg(doc)]
use crate::flow::{AuthorizationCode, DeviceCode};
use crate::flow::{Grant, Introspect, Introspection, PendingLogin, Revoke, StartLogin};
use crate::secret::Secret;
use crate::source::{CachingSource, TokenSource as _};
use crate::store::TokenStore;
use crate::store::record::RecordName;
use crate::token::Token;
use crate::transport::Transport;

pub use builder::{ServiceBuilder, Setting};
pub use definition::Definition;

/// The built-in services, in the order of help texts. Another one needs a file of its own and a line here.
pub fn services() -> &'static [&'static Definition] {
    static ALL: &[&Definition] = &[&spatiafi::SPATIAFI, &spacebring::PARTNER];
    ALL
}

/// An OAuth 2.0 service: where it is, how its tokens are obtained and kept, and how requests to its API are authenticated.
///
/// Cheap to clone. Clones share the token, the connections and the rate limit. May be used from any thread.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let client_secret = String::new();
/// use keyfob::{ClientAuth, FileStore, Service};
///
/// let acme = Service::builder("acme")
///     .issuer("https://login.example.com")
///     .api_url("https://api.example.com")
///     .client_credentials(ClientAuth::secret_basic("my-client", client_secret))
///     .scope("things.read")
///     .store(FileStore::from_env()?)
///     .build()?;
/// let things = acme.agent().get("https://api.example.com/things").call()?.body_mut().read_to_string()?;
/// # Ok(()) }
/// ```
///
/// If the grant is a login, a person logs in once. Later runs use the stored refresh token:
///
/// ```no_run
/// # use std::time::Duration;
/// # fn log_in(board: &keyfob::Service) -> Result<(), keyfob::Error> {
/// let login = board.start_login()?;
/// eprintln!("open {}", login.url());
/// board.finish_login(login.wait(Duration::from_secs(300))?)?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Service(Arc<Parts>);

/// The checked parts of a service.
pub(crate) struct Parts {
    name: String,
    grant: String,
    client_id: String,
    /// The URLs of the API, at least one, each without a slash at its end.
    api_urls: Vec<String>,
    scope: Option<String>,
    transport: Transport,
    store: Option<Arc<dyn TokenStore>>,
    made: Made,
    builder: AgentBuilder,
    agent: Agent,
    warnings: Vec<String>,
}

/// The parts that depend on the grant.
pub(crate) struct Made {
    /// The credentials of a service that sends HTTP Basic in place of tokens.
    basic: Option<Basic>,
    login: Option<StartLogin>,
    revoke: Option<Revoke>,
    introspect: Option<Introspect>,
    source: CachingSource,
    /// `None` for a service without tokens.
    record_name: Option<RecordName>,
}

/// The grant of a service that authenticates requests with HTTP Basic and has no tokens.
struct NoTokens(String);

impl Grant for NoTokens {
    fn token(&self, _: &Transport, _: Option<&Token>) -> Result<Token, Error> {
        Err(Error::invalid(format!("the service `{}` has no token: its requests use HTTP Basic", self.0)))
    }
}

impl Service {
    /// Starts the description of a service with this name: a letter from `a` to `z`, then up to 31 of `a`–`z`, `0`–`9` and `-`. The
    /// builder needs an API URL and a grant; also an issuer or a token URL, unless the grant is [`basic`](ServiceBuilder::basic).
    pub fn builder(name: impl Into<String>) -> ServiceBuilder {
        ServiceBuilder::new(name)
    }

    /// The name of the service.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The name of the grant in configurations: `client_credentials`, `authorization_code`, `device_code`, `basic`, or the URI of an
    /// extension grant.
    pub fn grant(&self) -> &str {
        &self.0.grant
    }

    /// The client id. It is not a secret.
    pub fn client_id(&self) -> &str {
        &self.0.client_id
    }

    /// The first URL of the API, without a slash at its end.
    pub fn api_url(&self) -> &str {
        &self.0.api_urls[0]
    }

    /// The URLs of the API, each without a slash at its end. Their origins alone receive the token.
    pub fn api_urls(&self) -> &[String] {
        &self.0.api_urls
    }

    /// The transport.
    pub fn transport(&self) -> &Transport {
        &self.0.transport
    }

    /// The name of the tokens in a store. `None` if the service sends HTTP Basic.
    pub fn record_name(&self) -> Option<&RecordName> {
        self.0.made.record_name.as_ref()
    }

    /// Returns warnings for the user about unsafe settings that were accepted: a credentials file that others can read.
    pub fn warnings(&self) -> &[String] {
        &self.0.warnings
    }

    /// Returns a [`ureq::Agent`] that authenticates requests to the API by itself. Each call returns the same agent.
    pub fn agent(&self) -> Agent {
        self.0.agent.clone()
    }

    /// Returns a builder for an agent with settings of its own, such as a deadline. The agent shares the token of the service, but
    /// not its rate limit.
    pub fn agent_builder(&self) -> AgentBuilder {
        self.0.builder.clone()
    }

    /// The source of the tokens, shared with the agents. If the service sends HTTP Basic, the source has no token and returns
    /// [`InvalidInput`](ErrorKind::InvalidInput).
    pub fn source(&self) -> CachingSource {
        self.0.made.source.clone()
    }

    /// Returns the value of the `Authorization` header, for programs with an HTTP library of their own: `Bearer` and a token, or `Basic` and
    /// the credentials. Call it before each request.
    ///
    /// # Errors
    /// As [`TokenSource::token`](crate::TokenSource::token).
    pub fn authorization(&self) -> Result<Secret, Error> {
        match &self.0.made.basic {
            Some(basic) => Ok(basic.header().clone()),
            None => Ok(self.0.made.source.token(Duration::ZERO)?.authorization()),
        }
    }

    /// The headers that requests to the API need besides `Authorization`, for programs with an HTTP library of their own: each name once,
    /// with its value. Send them to the [URLs of the API](Self::api_urls) only.
    pub fn headers(&self) -> Vec<(&str, &Secret)> {
        self.0.builder.headers()
    }

    /// Starts a login of a person, for the [scope](ServiceBuilder::scope) of the service. If there is a store, the tokens are saved
    /// as soon as they are issued, and the store checks that it has space for them before the code is used. Pass the tokens to
    /// [`finish_login`](Self::finish_login).
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the service needs no login; otherwise as [`AuthorizationCode::start`] or
    /// [`DeviceCode::start`].
    pub fn start_login(&self) -> Result<PendingLogin, Error> {
        self.start(self.0.scope.as_deref())
    }

    /// Starts a login for another scope: one or more, separated by spaces. Otherwise as [`start_login`](Self::start_login).
    ///
    /// # Errors
    /// As [`start_login`](Self::start_login).
    pub fn start_login_for(&self, scope: &str) -> Result<PendingLogin, Error> {
        self.start(Some(scope))
    }

    fn start(&self, scope: Option<&str>) -> Result<PendingLogin, Error> {
        let login = self.login()?(&self.0.transport, scope)?;
        match (&self.0.store, self.record_name()) {
            (Some(store), Some(name)) => Ok(login.with_store(store.clone(), name.clone())),
            _ => Ok(login),
        }
    }

    fn login(&self) -> Result<&StartLogin, Error> {
        self.0.made.login.as_ref().ok_or_else(|| {
            Error::invalid(format!(
                "the service `{}` needs no login: its grant is `{}`",
                self.0.name, self.0.grant
            ))
        })
    }

    /// Uses the token of a login from now on. If there is a store that does not hold the token yet, saves the token there.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the service needs no login; otherwise as [`CachingSource::log_in`].
    pub fn finish_login(&self, token: Token) -> Result<(), Error> {
        self.login()?;
        self.0.made.source.log_in(token)
    }

    /// Asks the server what it knows about the access token in memory, or else in the store (RFC 7662). The token may have expired.
    /// Nothing is renewed.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the service has no introspection URL and its issuer names none;
    /// [`NoCredentials`](ErrorKind::NoCredentials) if there is no token; otherwise as [`CachingSource::resume`] and
    /// [`Introspect::run`].
    pub fn introspect(&self) -> Result<Introspection, Error> {
        let Some(flow) = &self.0.made.introspect else {
            return Err(Error::invalid(format!(
                "the service `{}` has no introspection URL: call `issuer` or `introspection_url`",
                self.0.name
            )));
        };
        let source = &self.0.made.source;
        if source.current().is_none() {
            source.resume()?;
        }
        let token = source.current().ok_or_else(|| {
            let text = if self.0.made.login.is_some() {
                "there is no token to introspect: log in first"
            } else {
                "there is no token to introspect: the first request to the API obtains one"
            };
            Error::of(ErrorKind::NoCredentials, text)
        })?;
        flow.run(&self.0.transport, token.access_token())
    }

    /// Revokes the refresh token and the access token at the server (RFC 7009), and removes them from memory and store once the
    /// server has confirmed. The call takes at most twice the time-out of the [`Transport`]: once to wait for a renewal that is
    /// under way, and once for the server.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the service has no revocation URL and its issuer names none;
    /// [`NoCredentials`](ErrorKind::NoCredentials) if there is no token; otherwise as [`Revoke::run`], and then the tokens may
    /// still be valid. [`Store`](ErrorKind::Store) if the tokens were revoked but could not be removed from the store.
    pub fn revoke(&self) -> Result<(), Error> {
        let Some(flow) = &self.0.made.revoke else {
            return Err(Error::invalid(format!(
                "the service `{}` has no revocation URL: call `issuer` or `revocation_url`",
                self.0.name
            )));
        };
        let source = &self.0.made.source;
        if source.current().is_none() {
            source.resume()?;
        }
        source.log_out_with(|tokens| {
            let deadline = Deadline::after(self.0.transport.timeout());
            let end = |token| flow.run(&self.0.transport.clone().with_timeout(deadline.remaining()), token);
            let refresh_token = tokens.iter().find_map(|token| token.refresh_token());
            if let Some(refresh_token) = refresh_token {
                end(refresh_token)?;
            }
            for token in tokens {
                match end(token.access_token()) {
                    // The server may have ended this token together with the refresh token (RFC 7009 2.1), and not know it any more.
                    Err(error)
                        if refresh_token.is_some()
                            && error.status().is_some_and(|s| (400..429).contains(&s)) => {}
                    result => result?,
                }
            }
            Ok(())
        })
    }
}

impl fmt::Debug for Service {
    /// Shows no secret and no URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("name", &self.0.name)
            .field("grant", &self.0.grant)
            .field("client_id", &self.0.client_id)
            .finish_non_exhaustive()
    }
}
