//! The ureq middleware: signs requests, and answers 401, 429 and dropped connections.

use std::fmt;
use std::io::{self, Read as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ureq::http::header::{AUTHORIZATION, DATE, WWW_AUTHENTICATE};
use ureq::http::request::Parts;
use ureq::http::{HeaderName, HeaderValue, Method, Request, Response};
use ureq::middleware::{Middleware, MiddlewareNext};
use ureq::{Agent, Body, SendBody};

use crate::clock::Deadline;
use crate::endpoint::{Endpoint, Origin, is_plain_http};
use crate::http::{TRIES, Trouble, http_date, pause, retry_after, unwrap_unsent};
use crate::pace::Pace;
use crate::{Basic, Clock, Error, ErrorKind, Http, Token, TokenSource, check};

/// Request bodies up to this size are kept, so that the request can be repeated.
const MAX_KEPT_BODY: usize = 64 * 1024;

/// An attempt that starts so soon has all of the call's deadline.
const AT_ONCE: Duration = Duration::from_millis(10);

/// A refused token forces a new one at most once in this time, unless a call has succeeded in between.
const FORCED_PAUSE: Duration = Duration::from_secs(30);

/// How requests are signed.
#[derive(Clone)]
pub enum Auth {
    /// HTTP Basic (RFC 7617) on every request.
    Basic(Basic),
    /// A Bearer token (RFC 6750) from a source.
    Bearer(Arc<dyn TokenSource>),
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic(_) => "Basic(***)",
            Self::Bearer(_) => "Bearer(***)",
        })
    }
}

/// Makes a [`ureq::Agent`] that signs in by itself.
///
/// The token goes to the named origins and nowhere else; a request to another URL is sent without it, and refused where the
/// URL itself may not be used: plain HTTP to another machine, or a user name in it. Redirects are not followed. A refused token
/// (401, or 403 with `invalid_token` or after its end) is replaced and the request repeated once; 429 is waited out, for any
/// method; 502, 503, 504 and failed connections are tried up to three times for GET, HEAD, PUT, DELETE and OPTIONS. All of it
/// happens within one deadline, waits and the token exchange included.
///
/// Bodies up to 64 KiB are read before sending and kept for a repeat. A larger one is sent once, and in chunks unless
/// the request sets `Content-Length`.
///
/// Of a request's own ureq settings, its time-outs apply to each attempt, but not `timeout_per_call`,
/// `max_redirects` and `http_status_as_error`: these are the agent's.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let source: std::sync::Arc<dyn keyfob::TokenSource> = todo!();
/// let agent = keyfob::AgentBuilder::new(keyfob::Http::new(), keyfob::Auth::Bearer(source))
///     .with_origin("https://api.example.com")?
///     .build()?;
/// let answer = agent.get("https://api.example.com/things").call()?.body_mut().read_to_string()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct AgentBuilder {
    http: Http,
    auth: Auth,
    origins: Vec<Origin>,
    headers: Vec<(HeaderName, HeaderValue)>,
    deadline: Duration,
    status_as_error: bool,
    max_idle: usize,
    rate: u32,
}

impl AgentBuilder {
    /// An agent on the transport `http`. At least one origin must follow.
    pub fn new(http: Http, auth: Auth) -> Self {
        Self {
            http,
            auth,
            origins: Vec::new(),
            headers: Vec::new(),
            deadline: Duration::from_secs(60),
            status_as_error: true,
            max_idle: 16,
            rate: 0,
        }
    }

    /// Signs requests to the scheme, host and port of this URL. May be called more than once.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is not https (http on loopback).
    pub fn with_origin(mut self, url: &str) -> Result<Self, Error> {
        self.origins.push(Endpoint::new("URL of the API", url)?.origin().clone());
        Ok(self)
    }

    /// Adds a header to the requests that are signed, and to no others.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for what no header can carry.
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Self, Error> {
        check::value("header name", name.as_bytes())?;
        check::value("header value", value.as_bytes())?;
        let header = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
        let (name, mut value) =
            header.ok_or_else(|| Error::invalid("the header holds characters that no header can carry"))?;
        // An API key, perhaps.
        value.set_sensitive(true);
        self.headers.push((name, value));
        Ok(self)
    }

    /// Sets the deadline of a call: attempts, waits, token exchange and reading the answer's body together. Default: 60 s. It begins
    /// when the request's body has been read, or 64 KiB of it.
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Whether 4xx and 5xx are a [`ureq::Error::StatusCode`], as ureq's users expect; else the response comes back,
    /// with its body and headers. Default: true. A request's own `http_status_as_error` has no effect.
    pub fn with_status_as_error(mut self, status_as_error: bool) -> Self {
        self.status_as_error = status_as_error;
        self
    }

    /// Sets how many idle connections are kept, which should be the number of threads. Default: 16.
    pub fn with_max_idle_connections(mut self, max_idle: usize) -> Self {
        self.max_idle = max_idle;
        self
    }

    /// Sends at most so many signed requests in any second, repeats included and in the order of asking; those that
    /// would wait past the deadline fail at once. All clones of the agent count together. 0 is no limit.
    /// Default: 0.
    pub fn with_rate(mut self, per_second: u32) -> Self {
        self.rate = per_second;
        self
    }

    /// The agent. It may be cloned and shared between threads.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if no origin was named.
    pub fn build(self) -> Result<Agent, Error> {
        if self.origins.is_empty() {
            return Err(Error::invalid("the agent has no origin to sign requests for: name one"));
        }
        let Self { http, auth, origins, headers, deadline, status_as_error, max_idle, rate } = self;
        let clock = http.clock().clone();
        Ok(http.api_agent(max_idle, deadline, |agent| Signing {
            agent,
            auth,
            origins,
            headers,
            deadline,
            status_as_error,
            clock,
            forced: Forced {
                forcing: Mutex::default(),
                since: Deadline::after(Duration::MAX),
                at: AtomicU64::new(0),
            },
            pace: Pace::new(rate),
        }))
    }
}

/// What an API call failed with, as a keyfob error: for programs that act on [`ErrorKind`].
///
/// 4xx and 5xx become [`ApiStatus`](ErrorKind::ApiStatus), 429 [`RateLimited`](ErrorKind::RateLimited); an error that
/// keyfob put into ureq's comes out as it was. ureq's status error carries no `Retry-After`: for that, take the answers
/// themselves, with [`AgentBuilder::with_status_as_error`], and [`classify_answer`].
pub fn classify(error: ureq::Error) -> Error {
    let error = match unwrap_unsent(error).0 {
        ureq::Error::Other(inner) => match inner.downcast::<Error>() {
            Ok(error) => return *error,
            Err(other) => ureq::Error::Other(other),
        },
        ureq::Error::StatusCode(status) => {
            let (kind, next) = match status {
                429 => (ErrorKind::RateLimited, "try again later"),
                500.. => (ErrorKind::ApiStatus, "try again later"),
                300..=399 => (ErrorKind::Protocol, "redirects are not followed: check the URL"),
                401 | 403 => (ErrorKind::ApiStatus, "check what these credentials may do"),
                _ => (ErrorKind::ApiStatus, "check the URL and the request"),
            };
            return Error::new(kind, format!("the API answered HTTP {status}; {next}")).with_status(status);
        }
        error => error,
    };
    let trouble = Trouble::of(&error, None);
    Error::new(trouble.kind, format!("the API call failed: {}; {}", trouble.what, trouble.next))
}

/// What [`classify`] says of an answer's status, with its `Retry-After`; [`Protocol`](ErrorKind::Protocol) for a redirect, `None`
/// for 2xx.
pub fn classify_answer<B>(answer: &Response<B>) -> Option<Error> {
    let status = answer.status();
    let error = (!status.is_success()).then(|| classify(ureq::Error::StatusCode(status.as_u16())))?;
    // A date is judged by the server's own clock, where it tells it.
    let clock = Clock::system();
    http_date(answer.headers(), DATE.as_str()).inspect(|date| clock.learn(*date));
    Some(error.with_retry_after(retry_after(answer.headers(), &clock)))
}

struct Signing {
    /// Sends; has no middleware.
    agent: Agent,
    auth: Auth,
    origins: Vec<Origin>,
    headers: Vec<(HeaderName, HeaderValue)>,
    deadline: Duration,
    status_as_error: bool,
    clock: Clock,
    forced: Forced,
    pace: Option<Pace>,
}

impl Middleware for Signing {
    fn handle(
        &self,
        request: Request<SendBody<'_>>,
        _: MiddlewareNext<'_>,
    ) -> Result<Response<Body>, ureq::Error> {
        let response = self.call(request)?;
        let status = response.status();
        if self.status_as_error && (status.is_client_error() || status.is_server_error()) {
            drain(response);
            return Err(ureq::Error::StatusCode(status.as_u16()));
        }
        Ok(response)
    }
}

impl Signing {
    fn call(&self, request: Request<SendBody<'_>>) -> Result<Response<Body>, ureq::Error> {
        let (parts, body) = request.into_parts();
        let signed = self.origins.iter().any(|origin| origin.contains(&parts.uri));
        if !signed {
            Origin::of(&parts.uri)
                .map_err(|why| other(Error::invalid(format!("the URL of the request {why}"))))?;
        }
        let mut body = Kept::read(&parts.method, body).map_err(other)?;
        // The body may come from a person or a pipe, and take its time.
        let deadline = Deadline::after(self.deadline);
        let idempotent = matches!(
            parts.method,
            Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS
        );
        let mut token = match &self.auth {
            Auth::Bearer(source) if signed => Some(token_of(source, &deadline)?),
            _ => None,
        };
        let mut earlier = None;
        let mut fresh_connection = false;
        let mut replaced = false;
        let mut tries = 0;
        let mut failures = 0;
        loop {
            tries += 1;
            let repeatable = body.is_repeatable();
            let pace = self.pace.as_ref().filter(|_| signed);
            let turn = match pace.map(|pace| pace.wait(&deadline)).transpose() {
                Ok(turn) => turn,
                Err(late) => return earlier.filter(|_| self.status_as_error).ok_or_else(|| other(late)),
            };
            let request = self.sign(&parts, signed, token.as_deref())?;
            let outcome = self.send(request, &mut body, &deadline, fresh_connection);
            drop(turn);
            let wait = match &outcome {
                Ok(response) => match response.status().as_u16() {
                    401 | 403 if !replaced => match (&self.auth, &token) {
                        (Auth::Bearer(source), Some(used)) if self.is_refused(response, used) => {
                            replaced = true;
                            let new = self.replace(source, used, repeatable, &deadline)?;
                            new.map(|new| {
                                token = Some(new);
                                Duration::ZERO
                            })
                        }
                        _ => None,
                    },
                    429 => Some(pause(retry_after(response.headers(), &self.clock), tries)),
                    502..=504 if idempotent && failures + 1 < TRIES => {
                        failures += 1;
                        Some(pause(retry_after(response.headers(), &self.clock), tries))
                    }
                    200..=299 if signed => {
                        self.forced.clear();
                        None
                    }
                    _ => None,
                },
                Err((error, _))
                    if idempotent && failures + 1 < TRIES && Trouble::of(error, None).transient =>
                {
                    failures += 1;
                    // A server may close a kept connection at any time (RFC 9112 9.3.1): no reason to wait, once.
                    let stale = !fresh_connection && matches!(&outcome, Err((_, true)));
                    fresh_connection = true;
                    Some(if stale { Duration::ZERO } else { pause(None, tries) })
                }
                Err(_) => None,
            };
            match (wait, outcome) {
                (Some(wait), outcome) if repeatable && (wait.is_zero() || deadline.pause(wait)) => {
                    let busy = outcome.ok().map(drain);
                    earlier = busy.filter(|_| !wait.is_zero());
                }
                // It says more that the server was busy than that it has no time left to say so again. But its body has
                // been read, so it is of no use to those who want the answer.
                (_, Err((error @ ureq::Error::Timeout(_), _))) => {
                    return earlier.filter(|_| self.status_as_error).ok_or(error);
                }
                (_, outcome) => return outcome.map_err(|(error, _)| error),
            }
        }
    }

    /// RFC 6750 3.1: 401 refuses the token. 403 does so only if it says so, or if the token has expired.
    fn is_refused(&self, response: &Response<Body>, token: &Token) -> bool {
        let says_so = || {
            let challenges = response.headers().get_all(WWW_AUTHENTICATE);
            challenges.iter().filter_map(|value| value.to_str().ok()).any(|text| {
                // RFC 6750 3: a parameter, quoted or not, and not a word of some description.
                text.contains("error=\"invalid_token\"") || text.contains("error=invalid_token")
            })
        };
        response.status() == 401 || says_so() || token.remaining(self.clock.now()).is_zero()
    }

    /// Another token than the refused one; `None` if one has been forced just now and was of no use, or if the request
    /// cannot be repeated: then the next call gets it.
    fn replace(
        &self,
        source: &Arc<dyn TokenSource>,
        refused: &Token,
        repeatable: bool,
        deadline: &Deadline,
    ) -> Result<Option<Arc<Token>>, ureq::Error> {
        let current = token_of(source, deadline)?;
        if current.is_same(refused) {
            self.forced.at_most_once(|| source.invalidate(refused));
            if repeatable {
                // A source that knows no other token gives the same again.
                return token_of(source, deadline).map(|new| Some(new).filter(|new| !new.is_same(refused)));
            }
        }
        Ok(Some(current).filter(|_| repeatable))
    }

    fn sign(&self, parts: &Parts, signed: bool, token: Option<&Token>) -> Result<Request<()>, ureq::Error> {
        let mut request = Request::new(());
        request.method_mut().clone_from(&parts.method);
        request.uri_mut().clone_from(&parts.uri);
        *request.version_mut() = parts.version;
        request.headers_mut().clone_from(&parts.headers);
        if has_own_settings(parts) {
            request.extensions_mut().clone_from(&parts.extensions);
        }
        if signed {
            let headers = request.headers_mut();
            for (name, value) in &self.headers {
                headers.insert(name, value.clone());
            }
            let bearer;
            let value = match &self.auth {
                Auth::Basic(basic) => basic.header(),
                Auth::Bearer(_) => {
                    bearer = token.map(Token::authorization).unwrap_or_default();
                    &bearer
                }
            };
            let mut value = HeaderValue::from_bytes(value.expose()).map_err(ureq::http::Error::from)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(request)
    }

    /// One attempt. With an error: whether a byte of the request may have been sent.
    fn send(
        &self,
        request: Request<()>,
        body: &mut Kept<'_>,
        deadline: &Deadline,
        fresh_connection: bool,
    ) -> Result<Response<Body>, (ureq::Error, bool)> {
        let how = (deadline.remaining(), fresh_connection);
        match body {
            Kept::None => self.run(request, how),
            Kept::Bytes(bytes) => self.run(request.map(|()| bytes.as_slice()), how),
            Kept::Once(reader) => self.run(request.map(|()| SendBody::from_reader(reader)), how),
        }
        .map_err(unwrap_unsent)
    }

    fn run<B: ureq::AsSendBody>(
        &self,
        request: Request<B>,
        (remaining, fresh_connection): (Duration, bool),
    ) -> Result<Response<Body>, ureq::Error> {
        // Settings of its own cost a request a copy of all of them, so the first attempt does with the agent's.
        let is_first = !fresh_connection && self.deadline.saturating_sub(remaining) < AT_ONCE;
        let plain = is_plain_http(request.uri());
        let around_proxy = plain && self.agent.config().proxy().is_some();
        if is_first && !around_proxy && request.extensions().is_empty() {
            return self.agent.run(request);
        }
        let config = self
            .agent
            .configure_request(request)
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_per_call(Some(remaining));
        // Plain http is for this machine: a proxy would carry it in clear text over the network.
        let config = if plain { config.proxy(None) } else { config };
        // Passes by all idle connections, which may be as stale as the one that failed.
        let config = if fresh_connection { config.max_idle_age(Duration::ZERO) } else { config };
        self.agent.run(config.build())
    }
}

/// When a refused token last forced a new one, in ms since the agent was made; 0: never, or a call succeeded since.
struct Forced {
    forcing: Mutex<()>,
    since: Deadline,
    at: AtomicU64,
}

impl Forced {
    /// Does it if it may be done. Those who come meanwhile wait, so that they see what it changed.
    fn at_most_once(&self, force: impl FnOnce()) {
        let _one_at_a_time = self.forcing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.may_force(self.since.elapsed()) {
            force();
        }
    }

    /// At this age of the agent.
    fn may_force(&self, age: Duration) -> bool {
        let now = u64::try_from(age.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let last = self.at.load(Ordering::Relaxed);
        let pause = FORCED_PAUSE.as_secs() * 1000;
        (last == 0 || now.saturating_sub(last) >= pause)
            && self.at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn clear(&self) {
        // Read first: all threads share this, and a write would have them queue for it.
        if self.at.load(Ordering::Relaxed) != 0 {
            self.at.store(0, Ordering::Relaxed);
        }
    }
}

/// A request's body, kept for a repeat if it is small.
enum Kept<'a> {
    None,
    Bytes(Vec<u8>),
    Once(Box<dyn io::Read + 'a>),
}

impl<'a> Kept<'a> {
    fn read(method: &Method, body: SendBody<'a>) -> Result<Self, Error> {
        let mut reader = body.into_reader();
        let mut bytes = Vec::new();
        reader.by_ref().take(MAX_KEPT_BODY as u64 + 1).read_to_end(&mut bytes).map_err(|e| {
            Error::invalid(format!(
                "the body of the request could not be read: {}; nothing was sent",
                e.kind()
            ))
        })?;
        Ok(if bytes.len() > MAX_KEPT_BODY {
            Self::Once(Box::new(io::Cursor::new(bytes).chain(reader)))
        } else if bytes.is_empty() && !matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
            Self::None
        } else {
            Self::Bytes(bytes)
        })
    }

    fn is_repeatable(&self) -> bool {
        !matches!(self, Self::Once(_))
    }
}

/// Reads a short rest, so that the connection can be kept; a longer one is not worth it.
fn drain(mut response: Response<Body>) -> Response<Body> {
    const WORTH_IT: u64 = 16 * 1024;
    if response.body().content_length().is_some_and(|len| len <= WORTH_IT) {
        let _ = io::copy(&mut response.body_mut().as_reader(), &mut io::sink());
    }
    response
}

/// ureq itself puts one extension on each request that passes a middleware, of a type that it keeps private.
fn has_own_settings(parts: &Parts) -> bool {
    parts.extensions.len() > 1
}

fn token_of(source: &Arc<dyn TokenSource>, deadline: &Deadline) -> Result<Arc<Token>, ureq::Error> {
    source.token_within(Duration::ZERO, deadline.remaining()).map_err(other)
}

fn other(error: Error) -> ureq::Error {
    ureq::Error::Other(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_documented_ones() {
        let agent = AgentBuilder::new(Http::new(), Auth::Basic(Basic::new("a", "b").unwrap()));
        assert_eq!((agent.deadline.as_secs(), agent.max_idle, agent.rate), (60, 16, 0));
        assert!(agent.status_as_error);
        let http = format!("{:?}", Http::new());
        assert!(http.contains("{ timeout: 30s, connect_timeout: 10s, proxy: false,"), "{http}");
    }

    #[test]
    fn a_refused_token_forces_another_one_every_30_seconds_at_most() {
        let forced = Forced {
            forcing: Mutex::default(),
            since: Deadline::after(Duration::MAX),
            at: AtomicU64::new(0),
        };
        let may_force_after = |ms| forced.may_force(Duration::from_millis(ms));
        assert!(may_force_after(0));
        assert!(!may_force_after(1) && !may_force_after(29_999));
        assert!(may_force_after(30_000) && !may_force_after(59_999));
        // A call has succeeded.
        forced.clear();
        assert!(may_force_after(59_999) && !may_force_after(60_000));
    }

    #[test]
    fn a_date_to_wait_for_is_judged_by_the_servers_clock() {
        let answer = Response::builder()
            .status(429)
            .header("Date", "Sun, 06 Nov 1994 08:49:00 GMT")
            .header("Retry-After", "Sun, 06 Nov 1994 08:49:30 GMT")
            .body(())
            .unwrap();
        let wait = classify_answer(&answer).unwrap().retry_after().unwrap();
        assert!((29..=31).contains(&wait.as_secs()), "{wait:?}");
    }
}
