//! [`Http`]: the transport, and the one exchange with a token endpoint that all flows call.

use std::io::Read as _;
use std::iter;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use std::{fmt, io};

use ureq::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, RETRY_AFTER};
use ureq::http::{HeaderMap, HeaderValue, Method, Request, Uri};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver as UreqResolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, DefaultConnector, NextTimeout, Transport,
};
use ureq::{Agent, Timeout};

use crate::clock::{Deadline, LONGEST};
use crate::credentials::{Variables, env_var};
use crate::endpoint::{Endpoint, has_bad_port, is_plain_http};
use crate::resolver::{ResolveError, Resolver, literal};
use crate::wire::TokenAnswer;
use crate::{Clock, Error, ErrorKind, Secret, Token, check, file, form, words};

/// Largest answer of a token endpoint that is read, after any decoding.
const MAX_ANSWER: usize = 1024 * 1024;

const PROXY_VARIABLES: [&str; 6] =
    ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];

/// How often an exchange is tried at most.
pub(crate) const TRIES: u32 = 3;

/// The transport: certificate authorities, proxy, deadlines, clock.
///
/// Every default of ureq is set on purpose: no redirects, no proxy from the environment, https only (http on
/// loopback), a deadline on everything, small buffers, no connection kept after a token exchange.
///
/// Cheap to clone; clones share the clock and the names that were resolved. May be used from any thread.
///
/// ```
/// # use std::time::Duration;
/// let http = keyfob::Http::new().with_timeout(Duration::from_secs(10));
/// ```
#[derive(Clone)]
pub struct Http {
    settings: Settings,
    /// Without idle connections: for token exchanges.
    agent: Agent,
    connect: Connect,
    timeout: Duration,
    clock: Clock,
}

#[derive(Clone)]
struct Settings {
    connect_timeout: Duration,
    buffers: (usize, usize),
    user_agent: String,
    proxy: Option<ureq::Proxy>,
    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    tls: ureq::tls::TlsConfig,
    resolver: Resolver,
}

impl Http {
    /// The defaults: connect within 10 s, a whole exchange within 30 s, no proxy, the web's root certificates, the
    /// system's clock.
    pub fn new() -> Self {
        Self::build(
            Settings {
                connect_timeout: Duration::from_secs(10),
                buffers: (16 * 1024, 16 * 1024),
                user_agent: concat!("keyfob/", env!("CARGO_PKG_VERSION")).to_owned(),
                proxy: None,
                #[cfg(any(feature = "rustls", feature = "native-tls"))]
                tls: tls(ureq::tls::RootCerts::WebPki),
                resolver: Resolver::new(),
            },
            Duration::from_secs(30),
            Clock::system(),
        )
    }

    fn build(settings: Settings, timeout: Duration, clock: Clock) -> Self {
        let connect = Connect::new(&settings);
        let names = Names(settings.resolver.clone());
        let agent = Agent::with_parts(config(&settings, 0).build(), connect.clone(), names);
        Self { settings, agent, connect, timeout, clock }
    }

    fn change(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        Self::build(self.settings, self.timeout, self.clock)
    }

    /// The settings of the environment: `KEYFOB_CA_FILE` and `KEYFOB_PROXY` (a URL, or `env` for
    /// [`with_proxy_from_env`](Self::with_proxy_from_env)). An empty variable counts as unset.
    ///
    /// # Errors
    /// As [`with_ca_file`](Self::with_ca_file) and [`with_proxy`](Self::with_proxy).
    pub fn from_env() -> Result<Self, Error> {
        Self::new().with_variables(&env_var)
    }

    /// Sets what `KEYFOB_CA_FILE` and `KEYFOB_PROXY` (a URL, or `env`) say, and leaves the rest as it is: see
    /// [`SpatiaFi::with_variables`](crate::SpatiaFi::with_variables).
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env), and what `variable` fails with.
    pub fn with_variables(mut self, variable: &Variables<'_>) -> Result<Self, Error> {
        if let Some(path) = variable("KEYFOB_CA_FILE")? {
            self = self.with_ca_file(path)?;
        }
        // It may hold a password.
        match variable("KEYFOB_PROXY")?.map(Secret::from).as_ref().and_then(Secret::expose_str) {
            None => Ok(self),
            Some("env") => self.with_proxy_from_env(),
            Some(url) => self.with_proxy(url),
        }
    }

    /// Sets the deadline of a whole token exchange: names, connecting, repeats and waits included. Default: 30 s.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long connecting may take, TLS included. Default: 10 s.
    pub fn with_connect_timeout(self, timeout: Duration) -> Self {
        self.change(|settings| settings.connect_timeout = timeout.min(LONGEST))
    }

    /// Sets the sizes in bytes of the input and output buffers of each connection, from 4 KiB to 16 MiB each; an
    /// answer's header must fit into the input buffer, and into 64 KiB. Default: 16 KiB each.
    pub fn with_buffer_sizes(self, input: usize, output: usize) -> Self {
        let within = |size: usize| size.clamp(4 * 1024, 16 * 1024 * 1024);
        self.change(|settings| settings.buffers = (within(input), within(output)))
    }

    /// Sets the `User-Agent` header. Default: `keyfob/` and the version.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for what no header can carry.
    pub fn with_user_agent(self, user_agent: &str) -> Result<Self, Error> {
        check::value("user agent", user_agent.as_bytes())?;
        HeaderValue::from_str(user_agent)
            .ok()
            .filter(|value| value.to_str().is_ok())
            .ok_or_else(|| Error::invalid("the user agent holds characters that no header can carry"))?;
        Ok(self.change(|settings| user_agent.clone_into(&mut settings.user_agent)))
    }

    /// Trusts the certificate authorities in this PEM file, in place of the built-in ones (as curl's `--cacert`).
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the file cannot be read, holds no certificate, or if keyfob was
    /// built without TLS.
    pub fn with_ca_file(self, path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let shown = file::shown(path);
        let failed = |e: io::Error| {
            Error::invalid(format!("could not read the CA file {shown}: {}", file::why(&e))).with_source(&e)
        };
        let pem = file::read(path)
            .and_then(|pem| pem.ok_or_else(|| io::ErrorKind::NotFound.into()))
            .map_err(failed)?;
        self.trusting(pem.expose()).map_err(|why| Error::invalid(format!("the CA file {shown} {why}")))
    }

    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    fn trusting(self, pem: &[u8]) -> Result<Self, &'static str> {
        let certificates: Vec<_> = ureq::tls::parse_pem(pem)
            .filter_map(|item| match item {
                Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(Ok(certificate)),
                Ok(_) => None,
                Err(_) => Some(Err("is not PEM: it should hold lines of '-----BEGIN CERTIFICATE-----'")),
            })
            .collect::<Result<_, _>>()?;
        if certificates.is_empty() {
            return Err("holds no certificate: it should hold '-----BEGIN CERTIFICATE-----'");
        }
        Ok(self.change(|settings| settings.tls = tls(ureq::tls::RootCerts::from(certificates))))
    }

    #[cfg(not(any(feature = "rustls", feature = "native-tls")))]
    fn trusting(self, _pem: &[u8]) -> Result<Self, &'static str> {
        Err("is of no use: keyfob was built without TLS; enable its feature rustls or native-tls")
    }

    /// Connects through an HTTP proxy: `http://[user:password@]host:port`. Default: none.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is no URL of an HTTP proxy (SOCKS is not supported).
    pub fn with_proxy(self, url: &str) -> Result<Self, Error> {
        check::value("proxy URL", url.as_bytes())?;
        let proxy = ureq::Proxy::new(url)
            .ok()
            .filter(is_supported)
            .ok_or_else(|| Error::invalid("the proxy URL is not of the form http://host:port"))?;
        Ok(self.change(|settings| settings.proxy = Some(proxy)))
    }

    /// Connects through the proxy that the environment names, if any: `ALL_PROXY`, `HTTPS_PROXY` or `HTTP_PROXY`, in
    /// this order, and not for the hosts in `NO_PROXY`. Default: the environment is not asked.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is no HTTP proxy.
    pub fn with_proxy_from_env(self) -> Result<Self, Error> {
        // ureq passes by what it cannot read.
        let is_named = || {
            PROXY_VARIABLES.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
        };
        match ureq::Proxy::try_from_env() {
            Some(proxy) if is_supported(&proxy) => Ok(self.change(|settings| settings.proxy = Some(proxy))),
            None if !is_named() => Ok(self),
            _ => Err(Error::invalid(
                "the proxy that the environment names is not of the form http://host:port",
            )),
        }
    }

    /// Sets the clock, for tests and for an offset that was kept. Default: the system's.
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The clock, with what it learned from servers.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The deadline of an exchange.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// An agent for API calls whose middleware sends through an inner agent (`MiddlewareNext` can be used only once).
    pub(crate) fn api_agent<M: ureq::middleware::Middleware>(
        &self,
        max_idle: usize,
        deadline: Duration,
        middleware: impl FnOnce(Agent) -> M,
    ) -> Agent {
        let inner = Agent::with_parts(
            config(&self.settings, max_idle).timeout_per_call(Some(deadline)).build(),
            self.connect.clone(),
            Names(self.settings.resolver.clone()),
        );
        // A request with settings of its own copies these, so they are the inner agent's.
        config(&self.settings, max_idle).middleware(middleware(inner)).build().new_agent()
    }

    /// Asks a token endpoint for a token: RFC 6749 5.1, 5.2.
    pub(crate) fn token(
        &self,
        call: &Call<'_>,
        payload: &mut dyn FnMut() -> Result<Payload, Error>,
    ) -> Result<Token, Error> {
        let deadline = Deadline::after(self.timeout);
        let mut may_correct_clock = call.dated;
        loop {
            let answer = self.exchange(call, &deadline, payload)?;
            match answer.token(call, &self.clock) {
                Err(error) => match answer.date {
                    // RFC 7523 3: `iat` and `exp` are judged by the server's clock.
                    Some(date)
                        if may_correct_clock
                            && (400..500).contains(&answer.status)
                            && error.kind() != ErrorKind::RateLimited
                            && self.clock.disagrees_with(date) =>
                    {
                        self.clock.learn(date);
                        may_correct_clock = false;
                    }
                    _ => return Err(error),
                },
                token => return token,
            }
        }
    }

    /// One exchange, repeated as `call` allows. Any status is an answer.
    pub(crate) fn exchange(
        &self,
        call: &Call<'_>,
        deadline: &Deadline,
        payload: &mut dyn FnMut() -> Result<Payload, Error>,
    ) -> Result<Answer, Error> {
        let mut tries = 0;
        let mut earlier = None;
        loop {
            tries += 1;
            let outcome = match (self.attempt(call, deadline, payload()?), earlier.take()) {
                // It says more that the server was busy than that it has no time left to say so again.
                (Err(failure), Some(answer)) if failure.error.kind() == ErrorKind::Timeout => {
                    return Ok(answer);
                }
                (outcome, _) => outcome,
            };
            let (repeatable, wait) = match &outcome {
                Ok(answer) => (call.repeat.status(answer.status), answer.retry_after),
                Err(failure) => (failure.transient && call.repeat.failure(failure.sent), None),
            };
            let give_up = tries >= TRIES || !repeatable || !deadline.pause(pause(wait, tries));
            if give_up {
                return outcome.map_err(|failure| failure.error);
            }
            earlier = outcome.ok();
        }
    }

    fn attempt(&self, call: &Call<'_>, deadline: &Deadline, payload: Payload) -> Result<Answer, Failure> {
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(call.endpoint.uri().clone())
            .header(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(authorization) = &payload.authorization {
            let mut value = HeaderValue::from_bytes(authorization.expose()).map_err(|_| {
                Failure::before(Error::invalid("the credentials cannot be put into a header"))
            })?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        if payload.form.is_some() {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static(form::CONTENT_TYPE));
        }

        let remaining = deadline.remaining();
        let sent = Deadline::after(remaining);
        let outcome = match &payload.form {
            None if call.method == Method::GET => {
                request.body(()).map(|request| self.run(request, remaining))
            }
            form => {
                let body = form.as_ref().map_or(&[][..], Secret::expose);
                request.body(body).map(|request| self.run(request, remaining))
            }
        };
        let failed = |error| Failure::new(call, self.timeout, error);
        let response = outcome.map_err(|error| failed(error.into()))?.map_err(failed)?;

        let (parts, body) = response.into_parts();
        let arrived = Deadline::after(Duration::MAX);
        let (body, cut) = read(body, call.repeat.takes_part());
        let answer = Answer {
            status: parts.status.as_u16(),
            retry_after: retry_after(&parts.headers, &self.clock),
            // What the server's clock shows now, after the body has come.
            date: http_date(&parts.headers, DATE.as_str())
                .and_then(|date| date.checked_add(arrived.elapsed())),
            cut: cut.map(|error| match error {
                Cut::Failed(error) => failed(error).error,
                Cut::TooLong => Error::new(
                    ErrorKind::Protocol,
                    call.text("the answer is longer than 1 MiB", "check the URL"),
                ),
            }),
            body,
            payload,
            sent,
        };
        match answer.cut {
            // A refusal stands without its words; and nothing that a server gives only once may be dropped.
            Some(error) if (200..300).contains(&answer.status) && !call.repeat.takes_part() => {
                let transient = error.kind() == ErrorKind::Network;
                Err(Failure { error, sent: true, transient })
            }
            cut => Ok(Answer { cut, ..answer }),
        }
    }

    fn run<B: ureq::AsSendBody>(
        &self,
        request: Request<B>,
        remaining: Duration,
    ) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        // Plain http is for this machine: a proxy would carry it in clear text over the network.
        let proxy = self.settings.proxy.clone().filter(|_| !is_plain_http(request.uri()));
        let request = self
            .agent
            .configure_request(request)
            .proxy(proxy)
            .timeout_global(Some(remaining))
            .timeout_connect(Some(self.settings.connect_timeout.min(remaining)))
            .build();
        self.agent.run(request)
    }
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("timeout", &self.timeout)
            .field("connect_timeout", &self.settings.connect_timeout)
            .field("proxy", &self.settings.proxy.is_some())
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

/// What is asked of a server, as far as it stays the same from one try to the next.
pub(crate) struct Call<'a> {
    /// Completes "could not …".
    pub(crate) doing: &'static str,
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) method: Method,
    pub(crate) repeat: Repeat,
    /// Whether the request carries the time, so that a wrong clock can be the reason for a refusal.
    pub(crate) dated: bool,
    /// What to do when the server refuses.
    pub(crate) advice: &'static str,
    /// Never shown, whatever the server answers.
    pub(crate) secrets: &'a [&'a Secret],
}

impl Call<'_> {
    fn text(&self, what: &str, next: &str) -> String {
        format!("could not {} at {}: {what}; {next}", self.doing, self.endpoint.origin())
    }
}

/// What one try sends.
#[derive(Default)]
pub(crate) struct Payload {
    /// The value of the `Authorization` header.
    pub(crate) authorization: Option<Secret>,
    pub(crate) form: Option<Secret>,
    /// Made for this try, and never shown.
    pub(crate) assertion: Option<Secret>,
}

/// Which failures allow another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// 429, 5xx, and failed connections: nothing is lost by asking twice.
    Always,
    /// As `Always`, but a 2xx is the end, whatever becomes of its body: asked again, the server may say no.
    Acknowledged,
    /// 429, 503, and when not a byte of the request was sent: the server did nothing yet.
    Busy,
    /// Only when not a byte of the request was sent: the server gives its answer once.
    Unsent,
}

impl Repeat {
    fn status(self, status: u16) -> bool {
        match self {
            Self::Always | Self::Acknowledged => status == 429 || status >= 500,
            Self::Busy => status == 429 || status == 503,
            Self::Unsent => false,
        }
    }

    fn failure(self, sent: bool) -> bool {
        matches!(self, Self::Always | Self::Acknowledged) || !sent
    }

    /// Whether an answer is of use though its body is not whole.
    fn takes_part(self) -> bool {
        self != Self::Always
    }
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Secret,
    /// The body is not whole.
    pub(crate) cut: Option<Error>,
    date: Option<SystemTime>,
    retry_after: Option<Duration>,
    payload: Payload,
    sent: Deadline,
}

impl Answer {
    /// As if it had come just now, for fuzz targets.
    #[cfg(feature = "internals")]
    pub(crate) fn made(status: u16, body: Secret, payload: Payload) -> Self {
        let sent = Deadline::after(Duration::MAX);
        Self { status, body, cut: None, date: None, retry_after: None, payload, sent }
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The token in it; the clock learns from its `Date`.
    pub(crate) fn token(&self, call: &Call<'_>, clock: &Clock) -> Result<Token, Error> {
        let parsed = TokenAnswer::parse(&self.body);
        if !self.is_success() || parsed.as_ref().is_some_and(TokenAnswer::has_error) {
            return Err(self.refusal(call, parsed.as_ref()));
        }
        if let Some(date) = self.date {
            clock.learn(date);
        }
        let now = clock.now();
        let obtained_at = now.checked_sub(self.sent.elapsed()).unwrap_or(now);
        parsed
            .ok_or("it is not a JSON object with an access_token")
            .and_then(|answer| answer.into_token(obtained_at))
            .map_err(|why| self.cut.clone().unwrap_or_else(|| self.nonsense(call, why)))
    }

    /// A 2xx that is not what it should be.
    pub(crate) fn nonsense(&self, call: &Call<'_>, why: &str) -> Error {
        let what =
            format!("the answer (HTTP {}, {} bytes) makes no sense: {why}", self.status, self.body.len());
        Error::new(ErrorKind::Protocol, call.text(&what, "check the URL")).with_status(self.status)
    }

    /// The server said no.
    pub(crate) fn refusal(&self, call: &Call<'_>, parsed: Option<&TokenAnswer>) -> Error {
        let code =
            parsed.and_then(TokenAnswer::error_code).filter(|code| !self.repeats_secret(call, parsed, code));
        let words = parsed.and_then(TokenAnswer::words);
        let words = words.as_ref().and_then(Secret::expose_str).map(|words| {
            if self.repeats_secret(call, parsed, words) {
                "its text is withheld: it repeats a secret"
            } else {
                words
            }
        });
        let status = self.status;
        let mut what = match status {
            300..400 => format!("it redirects (HTTP {status}), which is not followed"),
            429 => "it asked to slow down (HTTP 429)".to_owned(),
            500.. => format!("it failed (HTTP {status})"),
            _ => format!("it refused (HTTP {status})"),
        };
        for part in [code, words].into_iter().flatten() {
            what = what + ": " + part;
        }
        let later;
        let (kind, next) = match (status, code) {
            (300..400, _) => (ErrorKind::Protocol, "check the URL, a '/' at its end included"),
            (429, _) => {
                later = self.retry_after.map_or("try again later".to_owned(), |wait| {
                    format!("try again in {} s", wait.as_secs())
                });
                (ErrorKind::RateLimited, later.as_str())
            }
            (500.., _) => (ErrorKind::Refused, "try again later"),
            (404 | 405, None) => (ErrorKind::Refused, "check the URL"),
            (_, Some("invalid_grant")) => (ErrorKind::LoginRequired, call.advice),
            (_, Some("invalid_client")) if self.payload.form.is_some() => {
                (ErrorKind::Refused, "check the client id and secret")
            }
            _ => (ErrorKind::Refused, call.advice),
        };
        Error::new(kind, call.text(&what, next))
            .with_status(status)
            .with_oauth_error(code.map(str::to_owned))
            .with_retry_after(self.retry_after)
    }

    fn repeats_secret(&self, call: &Call<'_>, parsed: Option<&TokenAnswer>, text: &str) -> bool {
        let credentials = self.payload.authorization.iter().map(|header| {
            let header = header.expose();
            &header[header.iter().position(|&b| b == b' ').map_or(0, |at| at + 1)..]
        });
        let sent = call.secrets.iter().map(|secret| secret.expose()).chain(credentials);
        let assertion = self.payload.assertion.iter().map(Secret::expose);
        words::repeats(text, sent.chain(assertion).chain(parsed.into_iter().flat_map(TokenAnswer::secrets)))
    }
}

/// How one try failed without an answer.
struct Failure {
    error: Error,
    /// Whether a byte of the request may have reached the server.
    sent: bool,
    /// Whether the next try may fare better.
    transient: bool,
}

impl Failure {
    fn before(error: Error) -> Self {
        Self { error, sent: false, transient: false }
    }

    fn new(call: &Call<'_>, timeout: Duration, error: ureq::Error) -> Self {
        let (error, sent) = unwrap_unsent(error);
        let trouble = Trouble::of(&error, Some(timeout));
        let mut told = Error::new(trouble.kind, call.text(&trouble.what, trouble.next));
        if let ureq::Error::Io(cause) = &error {
            told = told.with_source(cause);
        }
        Self { error: told, sent, transient: trouble.transient }
    }
}

/// What a failure of ureq means. Its own text is never shown: it may hold URLs.
pub(crate) struct Trouble {
    pub(crate) kind: ErrorKind,
    pub(crate) what: String,
    pub(crate) next: &'static str,
    /// Whether the next try may fare better.
    pub(crate) transient: bool,
}

impl Trouble {
    /// `timeout`: what the deadline was, for the text.
    pub(crate) fn of(error: &ureq::Error, timeout: Option<Duration>) -> Self {
        use ErrorKind::{InvalidInput, Network, Protocol};
        const CHECK: &str = "check the network, the proxy and the URL";
        let trouble =
            |kind, what: &str, next| Self { kind, what: what.to_owned(), next, transient: kind == Network };
        match error {
            ureq::Error::Timeout(which) => {
                let connecting = matches!(which, Timeout::Resolve | Timeout::Connect);
                let what = match timeout {
                    _ if connecting => "no connection in time".to_owned(),
                    Some(timeout) => format!("no complete answer within {} s", seconds(timeout)),
                    None => "no complete answer in time".to_owned(),
                };
                Self { kind: ErrorKind::Timeout, what, next: CHECK, transient: connecting }
            }
            ureq::Error::HostNotFound => trouble(Network, "the host name was not found", CHECK),
            ureq::Error::Io(cause) => match cause.kind() {
                io::ErrorKind::ConnectionRefused => trouble(Network, "the connection was refused", CHECK),
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof => trouble(Network, "the connection was cut off", "try again"),
                io::ErrorKind::TimedOut => {
                    Self { transient: true, ..trouble(ErrorKind::Timeout, "no answer in time", CHECK) }
                }
                kind => match cause.get_ref() {
                    // So rustls wraps its own, and the system's library by the other; a caller's body may fail with anything.
                    Some(inner)
                        if kind == io::ErrorKind::InvalidData
                            || cfg!(feature = "native-tls") && kind == io::ErrorKind::Other =>
                    {
                        Self::tls(&inner.to_string())
                    }
                    _ => trouble(Network, &format!("the network failed ({kind})"), CHECK),
                },
            },
            ureq::Error::Tls(text) => Self::tls(text),
            #[cfg(feature = "rustls")]
            ureq::Error::Rustls(cause) => Self::tls(&cause.to_string()),
            #[cfg(feature = "native-tls")]
            ureq::Error::NativeTls(cause) => Self::tls(&cause.to_string()),
            ureq::Error::TlsRequired => trouble(
                InvalidInput,
                "keyfob was built without TLS",
                "enable its feature rustls or native-tls",
            ),
            ureq::Error::ConnectProxyFailed(_) | ureq::Error::InvalidProxyUrl => Self {
                transient: false,
                ..trouble(Network, "the proxy refused to connect", "check the proxy")
            },
            ureq::Error::LargeResponseHeader(..) => {
                trouble(Protocol, "the header of the answer is too long", "check the URL")
            }
            ureq::Error::BadUri(_) | ureq::Error::RequireHttpsOnly(_) => {
                trouble(InvalidInput, "the URL cannot be used", "check the URL")
            }
            ureq::Error::Protocol(_) | ureq::Error::Http(_) => {
                trouble(Protocol, "the answer is not HTTP", "check the URL")
            }
            ureq::Error::Json(_) => {
                trouble(Protocol, "the answer is not the JSON that was expected", "check the URL")
            }
            ureq::Error::BodyExceedsLimit(_) => {
                trouble(Protocol, "the answer is longer than the caller's limit", "raise the limit")
            }
            ureq::Error::BodyStalled => trouble(Protocol, "the answer stalled", "try again"),
            ureq::Error::Other(_) | ureq::Error::ConnectionFailed => {
                trouble(Network, "the connection failed", CHECK)
            }
            // As a body that cannot be decompressed, where others have switched that on.
            _ => trouble(Protocol, "the answer cannot be read", "check the URL"),
        }
    }

    /// The TLS libraries' words, used to tell causes apart and never shown.
    fn tls(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let has = |part: &str| text.contains(part);
        let (kind, what, next) = if has("not valid yet") || has("notvalidyet") || has("not yet valid") {
            (
                ErrorKind::Clock,
                "its certificate is not valid yet at this machine's time",
                "set the clock, it is probably behind",
            )
        } else if has("expired") {
            (
                ErrorKind::Clock,
                "its certificate has expired at this machine's time",
                "set the clock if it is wrong; else the server needs a new certificate",
            )
        } else if has("not valid for name")
            || has("notvalidforname")
            || has("hostname mismatch")
            || has("ip address mismatch")
        {
            (ErrorKind::Network, "its certificate is for another host", "check the URL")
        } else if has("unknownissuer")
            || has("unknown issuer")
            || has("self-signed")
            || has("self signed")
            || has("unable to get")
        {
            (
                ErrorKind::Network,
                "its certificate is not from a trusted authority",
                "name its CA file, or check the proxy",
            )
        } else {
            (ErrorKind::Network, "TLS failed", "check the URL and the proxy")
        };
        Self { kind, what: what.to_owned(), next, transient: false }
    }
}

enum Cut {
    TooLong,
    Failed(ureq::Error),
}

/// Reads an answer into a wiped buffer: what came, and why it is not whole.
fn read(body: ureq::Body, part_is_of_use: bool) -> (Secret, Option<Cut>) {
    /// Larger than any answer that is of use in part.
    const STEP: usize = 16 * 1024;
    let length = body.content_length().and_then(|len| usize::try_from(len).ok());
    let expected = length.unwrap_or(4096).min(MAX_ANSWER);
    let mut buffer = Secret::with_capacity(expected + 1);
    let mut reader = body.into_reader();
    loop {
        let start = buffer.len();
        // When a chunk is broken, ureq drops what it has read of those before in the same call: so byte by byte.
        let most = if part_is_of_use && length.is_none() && start < STEP { 1 } else { STEP };
        let left = (expected + 1).saturating_sub(start);
        let room = if left == 0 { most } else { left.min(most) };
        let result = reader.read(buffer.extend_zeroed(room));
        buffer.truncate(start + result.as_ref().map_or(0, |&n| n));
        match result {
            Ok(0) => return (buffer, None),
            Ok(_) if buffer.len() > MAX_ANSWER => return (buffer, Some(Cut::TooLong)),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return (buffer, Some(Cut::Failed(e.into()))),
        }
    }
}

/// For texts: to the hundredth, without zeros at the end.
pub(crate) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100.0).round() / 100.0
}

/// `Retry-After` in seconds or as a date (RFC 9110 10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap, clock: &Clock) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = http_date(headers, RETRY_AFTER.as_str())?;
    Some(date.duration_since(clock.now()).unwrap_or_default())
}

pub(crate) fn http_date(headers: &HeaderMap, name: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

/// How long to wait before the next try: what the server asked for, at most 60 s; else backoff with jitter.
pub(crate) fn pause(asked: Option<Duration>, tries: u32) -> Duration {
    const MOST: Duration = Duration::from_secs(60);
    const FIRST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_secs(5);
    let backoff =
        FIRST.saturating_mul(1 << (tries - 1).min(10)).min(LONGEST).mul_f64(0.5 + 0.5 * random_fraction());
    // A server that says 0 does not mean: without a breath.
    asked.filter(|wait| !wait.is_zero()).map_or(backoff, |wait| wait.min(MOST))
}

/// Uniform in `0.0..1.0`. Jitter only: without randomness it is no worse than a constant.
pub(crate) fn random_fraction() -> f64 {
    f64::from(getrandom::u32().unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
}

fn is_supported(proxy: &ureq::Proxy) -> bool {
    matches!(proxy.protocol(), ureq::ProxyProtocol::Http | ureq::ProxyProtocol::Https)
        && proxy.uri().authority().is_some_and(|authority| !has_bad_port(authority))
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
fn tls(roots: ureq::tls::RootCerts) -> ureq::tls::TlsConfig {
    let provider = if cfg!(feature = "rustls") {
        ureq::tls::TlsProvider::Rustls
    } else {
        ureq::tls::TlsProvider::NativeTls
    };
    ureq::tls::TlsConfig::builder().provider(provider).root_certs(roots).build()
}

fn config(settings: &Settings, max_idle: usize) -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope> {
    let (input, output) = settings.buffers;
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(settings.proxy.clone())
        .user_agent(settings.user_agent.as_str())
        .input_buffer_size(input)
        .output_buffer_size(output)
        // One less than the buffer, so that a header that never ends is called that and not a lost connection.
        .max_response_header_size((input - 1).min(64 * 1024))
        .max_idle_connections(max_idle)
        .max_idle_connections_per_host(max_idle)
        .timeout_connect(Some(settings.connect_timeout));
    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    let config = config.tls_config(settings.tls.clone());
    config
}

/// A failure before the first byte of a request: in the resolver or the connector.
#[derive(Debug)]
struct Unsent(ureq::Error);

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no connection")
    }
}

impl std::error::Error for Unsent {}

fn unsent(error: ureq::Error) -> ureq::Error {
    match error {
        // A proxy is connected to through the same connector.
        ureq::Error::Other(inner) if inner.is::<Unsent>() => ureq::Error::Other(inner),
        error => ureq::Error::Other(Box::new(Unsent(error))),
    }
}

/// The error as ureq gave it, and whether a byte of the request may have been sent.
pub(crate) fn unwrap_unsent(error: ureq::Error) -> (ureq::Error, bool) {
    match error {
        ureq::Error::Other(inner) => match inner.downcast::<Unsent>() {
            // A connection that cannot be made takes all the time there is: that is why it is called.
            Ok(unsent) => match unsent.0 {
                ureq::Error::Timeout(_) => (ureq::Error::Timeout(Timeout::Connect), false),
                // Without a request there is no answer but a proxy's.
                ureq::Error::Protocol(_) => (ureq::Error::ConnectProxyFailed(String::new()), false),
                error => (error, false),
            },
            Err(other) => (ureq::Error::Other(other), true),
        },
        error => (error, true),
    }
}

/// ureq's own connector, shared by all agents of an [`Http`] so that TLS is set up once and sessions resume.
#[derive(Clone, Debug)]
struct Connect {
    inner: Arc<DefaultConnector>,
    #[cfg_attr(not(any(feature = "rustls", feature = "native-tls")), expect(dead_code))]
    tls: u64,
}

impl Connect {
    fn new(settings: &Settings) -> Self {
        Self { inner: DefaultConnector::new().into(), tls: settings.tls_hash() }
    }
}

impl Settings {
    fn tls_hash(&self) -> u64 {
        #[cfg(any(feature = "rustls", feature = "native-tls"))]
        return tls_hash(&self.tls);
        #[cfg(not(any(feature = "rustls", feature = "native-tls")))]
        return 0;
    }
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
fn tls_hash(tls: &ureq::tls::TlsConfig) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    tls.hash(&mut hasher);
    hasher.finish()
}

impl Connector for Connect {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        // ureq sets TLS up anew for each connection of a request with settings of its own, and all of ours have a
        // deadline of their own. It need not, as long as the TLS settings are the agent's.
        #[cfg(any(feature = "rustls", feature = "native-tls"))]
        let request_level = details.needs_tls() && tls_hash(details.config.tls_config()) != self.tls;
        #[cfg(not(any(feature = "rustls", feature = "native-tls")))]
        let request_level = details.request_level;
        let connected = Arc::new(AtomicBool::new(false));
        let run_connector = if details.config.proxy().is_none() {
            details.run_connector.clone()
        } else {
            let (run, connected) = (details.run_connector.clone(), connected.clone());
            let deadline = Deadline::after(*details.timeout.after);
            Arc::new(move |details: &ConnectionDetails<'_>| {
                let tunnel = |inner| Tunnel { inner, deadline, connected: connected.clone() };
                // ureq gives the connection all of the time anew that the name of the proxy has taken a part of.
                let timeout = NextTimeout { after: deadline.remaining().into(), ..details.timeout };
                if timeout.after.is_zero() {
                    return Err(ureq::Error::Timeout(timeout.reason));
                }
                let details =
                    details_with(details, details.request_level, timeout, details.run_connector.clone());
                run(&details).map(|inner| Box::new(tunnel(inner)) as Box<dyn Transport>)
            })
        };
        let details = details_with(details, request_level, details.timeout, run_connector);
        let transport = self.inner.connect(&details, chained).map_err(unsent);
        connected.store(true, Ordering::Relaxed);
        transport
    }
}

type Run = dyn Fn(&ConnectionDetails<'_>) -> Result<Box<dyn Transport>, ureq::Error> + Send + Sync;

/// The same details with these in place of their own.
fn details_with<'a>(
    details: &ConnectionDetails<'a>,
    request_level: bool,
    timeout: NextTimeout,
    run_connector: Arc<Run>,
) -> ConnectionDetails<'a> {
    ConnectionDetails {
        uri: details.uri,
        addrs: details.addrs.clone(),
        config: details.config,
        request_level,
        resolver: details.resolver,
        now: details.now,
        timeout,
        current_time: details.current_time.clone(),
        run_connector,
        register_shutdown: details.register_shutdown.clone(),
    }
}

/// The connection to a proxy. Until the proxy has connected, ureq gives each read all of the time anew: a proxy that
/// sends byte by byte would hold a call for ever.
#[derive(Debug)]
struct Tunnel {
    inner: Box<dyn Transport>,
    deadline: Deadline,
    connected: Arc<AtomicBool>,
}

impl Tunnel {
    fn within(&self, mut timeout: NextTimeout) -> NextTimeout {
        if !self.connected.load(Ordering::Relaxed) {
            timeout.after = (*timeout.after).min(self.deadline.remaining()).into();
        }
        timeout
    }
}

impl Transport for Tunnel {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.inner.transmit_output(amount, self.within(timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.inner.await_input(self.within(timeout))
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

#[derive(Debug)]
struct Names(Resolver);

impl UreqResolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or_else(|| unsent(ureq::Error::HostNotFound))?;
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let mut found = self.empty();
        let mut keep = |address| found.push(address);
        if let Some(ip) = literal(host) {
            config.ip_family().keep_wanted(iter::once(SocketAddr::new(ip, port))).for_each(keep);
        } else {
            let within = (!timeout.after.is_not_happening()).then_some(*timeout.after);
            let addresses = self.0.resolve(host, port, within).map_err(|error| {
                unsent(match error {
                    ResolveError::NotFound => ureq::Error::HostNotFound,
                    ResolveError::TimedOut => ureq::Error::Timeout(timeout.reason),
                })
            })?;
            config.ip_family().keep_wanted(addresses.into_iter()).take(16).for_each(&mut keep);
        }
        if found.is_empty() { Err(unsent(ureq::Error::HostNotFound)) } else { Ok(found) }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a name that takes its time does so on the machine's clock")]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use super::*;

    #[test]
    fn the_name_of_a_proxy_takes_its_time_from_that_of_the_connection() {
        const NAME: Duration = Duration::from_millis(900);
        const TIMEOUT: Duration = Duration::from_secs(1);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // Until its queue is full, so that a new connection gets no answer at all.
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok();
        let queued: Vec<_> = (0..8192).map_while(connect).collect();
        if queued.len() == 8192 {
            return println!("skipped: the queue cannot be filled here");
        }
        let mut http = Http::new().with_timeout(TIMEOUT);
        http.settings.resolver = Resolver::with_lookup(move |_, _| {
            thread::sleep(NAME);
            Ok(vec![address])
        });
        let http = http.with_proxy("http://proxy.test:1").unwrap();
        let started = Deadline::after(TIMEOUT);
        let result =
            http.agent.get("https://127.0.0.1:1/").config().timeout_global(Some(TIMEOUT)).build().call();
        let error = format!("{:?}", result.unwrap_err());
        assert!(error.contains("Timeout"), "{error}");
        assert!(started.elapsed() < TIMEOUT + Duration::from_millis(400), "{:?}", started.elapsed());
    }
}
