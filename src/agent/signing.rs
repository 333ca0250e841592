//! [`Signing`]: the middleware that signs requests and repeats them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use ureq::http::request::Parts;
use ureq::http::{HeaderName, HeaderValue, Method, Request, Response, Uri};
use ureq::middleware::{Middleware, MiddlewareNext};
use ureq::{Agent, AsSendBody as _, Body, Proxy, SendBody};

use crate::agent::auth::Auth;
use crate::agent::body::RequestBody;
use crate::agent::forced::ForcedRenewals;
use crate::agent::outcome::{Attempt, Next};
use crate::agent::rate::RateLimit;
use crate::clock::{Clock, Deadline};
use crate::error::{Advice, Error, ErrorKind};
use crate::secret::Known;
use crate::source::{TokenSource, origin};
use crate::token::Token;
use crate::transport::adapter::wire_error::unwrap_unsent;
use crate::transport::endpoint::{Origin, is_plain_http};
use crate::transport::failure::TransportError;
use crate::transport::head;
use crate::transport::proxy::Proxies;
use crate::transport::retry::{self, Outcome, Repeat, Retry, Tries, retry_after};

/// An attempt that starts at most this long after its call may use the agent's deadline, not the time that remains.
const FIRST_ATTEMPT: Duration = Duration::from_millis(10);

/// Marks a request whose answer is always returned, even if the agent turns other answers with 4xx or 5xx into errors.
#[derive(Clone)]
pub(crate) struct AsAnswer;

/// Signs requests to the named origins, and repeats what may be repeated.
pub(super) struct Signing {
    /// Sends the signed requests. It has no middleware.
    pub(super) agent: Agent,
    pub(super) proxies: Proxies,
    pub(super) auth: Auth,
    pub(super) origins: Vec<Origin>,
    /// The added headers. Each value is also a known secret, which no error may repeat.
    pub(super) headers: Vec<(HeaderName, HeaderValue, Known)>,
    pub(super) allows_other_origins: bool,
    pub(super) deadline: Duration,
    pub(super) status_as_error: bool,
    pub(super) clock: Clock,
    pub(super) forced: ForcedRenewals,
    pub(super) rate: Option<RateLimit>,
}

impl Middleware for Signing {
    fn handle(
        &self,
        mut request: Request<SendBody<'_>>,
        _: MiddlewareNext<'_>,
    ) -> Result<Response<Body>, ureq::Error> {
        let as_answer = request.extensions_mut().remove::<AsAnswer>().is_some();
        let response = self.call(request)?;
        let status = response.status();
        if self.status_as_error && !as_answer && (status.is_client_error() || status.is_server_error()) {
            drain(response);
            return Err(ureq::Error::StatusCode(status.as_u16()));
        }
        Ok(response)
    }
}

impl Signing {
    /// Makes a call.
    fn call(&self, request: Request<SendBody<'_>>) -> Result<Response<Body>, ureq::Error> {
        let (parts, body) = request.into_parts();
        let signed = self.origins.iter().any(|origin| origin.contains(&parts.uri));
        if !signed {
            self.check_other_origin(&parts.uri).map_err(other)?;
        }
        let proxy = self
            .proxies
            .of(&parts.uri)
            .map_err(|unusable| other(unusable.error("call the API", String::new())))?;
        let head_len = self.head_len(&parts, signed);
        // A request that cannot be sent with any token fails before a token is obtained.
        if self.is_long(head_len) {
            self.sign(&parts, head_len, signed, None)?;
        }
        let body = RequestBody::read(&parts.method, body).map_err(other)?;
        // Reading the body may take long, for example from a pipe or a terminal. So the deadline starts after it.
        let deadline = Deadline::after(self.deadline);
        let token = match &self.auth {
            Auth::Bearer(source) if signed => Some(token_of(source, self.deadline)?),
            _ => None,
        };
        let mut call = Call {
            signing: self,
            signed,
            proxy,
            body,
            deadline: &deadline,
            retry: Retry::new(Repeat::of_method(&parts.method)),
            parts: &parts,
            head_len,
            token,
            replaced_token: false,
            fresh_connection: false,
        };
        retry::run(&mut call, &deadline).map_err(|failure| failure.error)
    }

    /// Refuses a request to an origin that was not named, unless other origins are allowed.
    fn check_other_origin(&self, uri: &Uri) -> Result<(), Error> {
        let origin =
            Origin::of(uri).map_err(|why| Error::invalid(format!("the URL of the request {why}")))?;
        if self.allows_other_origins {
            return Ok(());
        }
        let named = self.origins.iter().map(Origin::to_string).collect::<Vec<_>>().join(", ");
        Err(Error::invalid(format!("the request to {origin} was not sent: keyfob calls {named} only"))
            .with_advice(Advice::CheckUrlOrAllowOrigins))
    }

    /// Returns the length of the head without its credentials. The result may be a little too large.
    fn head_len(&self, parts: &Parts, signed: bool) -> usize {
        let host = parts.uri.authority().map_or(0, |authority| authority.as_str().len());
        let path = parts.uri.path_and_query().map_or(0, |path| path.as_str().len());
        let own = self.headers.iter().filter(|_| signed).map(|(name, value, _)| head::len(name, value));
        let headers = parts.headers.iter().map(|(name, value)| head::len(name, value));
        parts.method.as_str().len() + host + path + headers.chain(own).sum::<usize>()
    }

    /// Whether a head is so long that each of its lines must be checked.
    fn is_long(&self, head_len: usize) -> bool {
        head_len > self.agent.config().output_buffer_size() / 2
    }

    fn sign(
        &self,
        parts: &Parts,
        mut head_len: usize,
        signed: bool,
        token: Option<&Token>,
    ) -> Result<Request<()>, ureq::Error> {
        let mut request = Request::new(());
        request.method_mut().clone_from(&parts.method);
        request.uri_mut().clone_from(&parts.uri);
        *request.version_mut() = parts.version;
        // A copy of an empty map costs more than this check.
        if !parts.headers.is_empty() {
            request.headers_mut().clone_from(&parts.headers);
        }
        if has_own_settings(parts) {
            request.extensions_mut().clone_from(&parts.extensions);
        }
        if signed {
            let headers = request.headers_mut();
            for (name, value, _) in &self.headers {
                headers.insert(name, value.clone());
            }
            let value = match &self.auth {
                Auth::Basic(basic) => HeaderValue::from_bytes(basic.header().expose()),
                Auth::Bearer(_) => token.map_or(Ok(HeaderValue::from_static("")), Token::header),
            };
            let mut value = value.map_err(ureq::http::Error::from)?;
            value.set_sensitive(true);
            head_len += head::len(&AUTHORIZATION, &value);
            headers.insert(AUTHORIZATION, value);
        }
        if self.is_long(head_len) {
            head::check(&request, self.agent.config().output_buffer_size()).map_err(other)?;
        }
        Ok(request)
    }
}

/// One call of the API, which may take several attempts.
struct Call<'a> {
    signing: &'a Signing,
    parts: &'a Parts,
    head_len: usize,
    body: RequestBody<'a>,
    /// The request goes to a named origin.
    signed: bool,
    proxy: Option<&'a Proxy>,
    deadline: &'a Deadline,
    retry: Retry,
    token: Option<Arc<Token>>,
    replaced_token: bool,
    /// The next attempt makes a new connection.
    fresh_connection: bool,
}

impl Tries for Call<'_> {
    type Answer = Response<Body>;
    type Failure = Failure;

    #[inline]
    fn attempt(&mut self) -> Result<Response<Body>, Failure> {
        let Self { signing, parts, signed, .. } = *self;
        let rate = signing.rate.as_ref().filter(|_| signed);
        let _permit = rate.map(|rate| rate.acquire(self.deadline)).transpose().map_err(other)?;
        let request = signing.sign(parts, self.head_len, signed, self.token.as_deref())?;
        let how = (self.proxy, self.deadline.remaining(), self.fresh_connection);
        let mut nothing = ();
        let mut bytes: &[u8];
        let body = match &mut self.body {
            RequestBody::None => nothing.as_body(),
            RequestBody::Buffered(buffered) => {
                bytes = buffered;
                bytes.as_body()
            }
            RequestBody::Streamed(reader) => SendBody::from_reader(reader),
        };
        signing.send(request.map(|()| body), how)
    }

    #[inline]
    fn wait_after(&mut self, outcome: &Result<Response<Body>, Failure>) -> Result<Option<Duration>, Failure> {
        let shown = match outcome {
            Ok(response) => {
                let status = response.status();
                if status.is_success() {
                    if self.signed {
                        self.signing.forced.clear();
                    }
                    return Ok(None);
                }
                Outcome::Status(status.as_u16(), retry_after(response.headers(), &self.signing.clock))
            }
            Err(failure) => Outcome::Failure { transient: failure.transient, sent: failure.sent },
        };
        let attempt = Attempt {
            outcome: shown,
            refuses_token: outcome.as_ref().is_ok_and(|response| self.refuses_token(response)),
            replaced_token: self.replaced_token,
            fresh_connection: self.fresh_connection,
            repeatable: self.body.is_repeatable(),
            wait: self.retry.after(shown),
        };
        Ok(match attempt.next() {
            Next::Return => None,
            Next::ReplaceToken => self.replace_token()?.then_some(Duration::ZERO),
            Next::Wait(wait) => Some(wait),
            Next::Reconnect(wait) => {
                self.fresh_connection = true;
                Some(wait)
            }
        })
    }

    fn set_aside(&mut self, answer: Response<Body>) -> Option<Response<Body>> {
        // The body cannot be read again after this. So the answer is returned only if its status becomes an error. A 401 or 403
        // is not returned, because its token has been replaced.
        let is_refusal = matches!(answer.status().as_u16(), 401 | 403);
        Some(drain(answer)).filter(|_| self.signing.status_as_error && !is_refusal)
    }

    fn is_timeout(failure: &Failure) -> bool {
        let kind = || TransportError::of(&failure.error, None).kind;
        failure.own().map_or_else(kind, Error::kind) == ErrorKind::Timeout
    }

    fn request(&self) -> (&Method, &Uri) {
        (&self.parts.method, &self.parts.uri)
    }

    fn describe(&self, outcome: &Result<Response<Body>, Failure>) -> String {
        match outcome {
            Ok(answer) => format!("HTTP {}", answer.status().as_u16()),
            Err(failure) => match failure.own() {
                Some(error) => error.reason().to_owned(),
                None => TransportError::of(&failure.error, None).what.into_owned(),
            },
        }
    }

    fn token_from(&self) -> Option<&'static str> {
        self.token.as_ref().map(|_| origin::take())
    }
}

impl Call<'_> {
    /// Whether an answer refuses the token (RFC 6750 3.1). A 401 does. A 403 does if it says so, or if the token has expired.
    fn refuses_token(&self, response: &Response<Body>) -> bool {
        let Some(token) = &self.token else { return false };
        let says_so = || {
            let challenges = response.headers().get_all(WWW_AUTHENTICATE);
            challenges.iter().filter_map(|value| value.to_str().ok()).any(|text| {
                // RFC 6750 3: looks for the parameter, quoted or not, because the description may hold the same word.
                text.contains("error=\"invalid_token\"") || text.contains("error=invalid_token")
            })
        };
        match response.status().as_u16() {
            401 => true,
            403 => says_so() || token.remaining(self.signing.clock.now()).is_zero(),
            _ => false,
        }
    }

    /// Replaces the refused token. Returns whether the request can be repeated with another one. If the body cannot be sent again, this
    /// only invalidates the token, and the next call obtains another one.
    fn replace_token(&mut self) -> Result<bool, Failure> {
        self.replaced_token = true;
        let (Auth::Bearer(source), Some(refused)) = (&self.signing.auth, &self.token) else {
            return Ok(false);
        };
        let repeatable = self.body.is_repeatable();
        // Reads the count before the current token. Otherwise, a renewal by another thread in between would be forced again.
        let forced = self.signing.forced.count();
        let mut current = token_of(source, self.deadline.remaining())?;
        if current.is_same(refused) {
            self.signing.forced.force_at_most_once(forced, || source.invalidate(refused));
            if repeatable {
                current = token_of(source, self.deadline.remaining())?;
            }
        }
        // A source without another token returns the same one.
        let is_new = !current.is_same(refused);
        self.token = Some(current);
        Ok(is_new && repeatable)
    }
}

impl Signing {
    /// Makes one attempt.
    fn send(
        &self,
        request: Request<SendBody<'_>>,
        (proxy, remaining, fresh_connection): (Option<&Proxy>, Duration, bool),
    ) -> Result<Response<Body>, Failure> {
        // A request with settings of its own costs a copy of all settings. So the first attempt uses those of the agent.
        let is_first = !fresh_connection && self.deadline.saturating_sub(remaining) < FIRST_ATTEMPT;
        let around_proxy = proxy.is_none() && self.agent.config().proxy().is_some();
        if is_first && !around_proxy && request.extensions().is_empty() {
            return self.agent.run(request).map_err(Failure::new);
        }
        let is_plain = is_plain_http(request.uri());
        let config = self
            .agent
            .configure_request(request)
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_per_call(Some(remaining));
        // The caller may have set a proxy for this request. Plain http must not use it.
        let config = if around_proxy || is_plain { config.proxy(None) } else { config };
        // All idle connections may be as stale as the one that failed.
        let config = if fresh_connection { config.max_idle_age(Duration::ZERO) } else { config };
        self.agent.run(config.build()).map_err(Failure::new)
    }
}

/// How an attempt failed without an answer.
struct Failure {
    error: ureq::Error,
    /// A byte of the request may have reached the server.
    sent: bool,
    /// The next attempt may succeed.
    transient: bool,
}

impl Failure {
    fn new(error: ureq::Error) -> Self {
        let (error, sent) = unwrap_unsent(error);
        let transient = TransportError::of(&error, None).is_transient;
        Self { error, sent, transient }
    }

    /// The error of the library, such as one of obtaining the token.
    fn own(&self) -> Option<&Error> {
        match &self.error {
            ureq::Error::Other(error) => error.downcast_ref(),
            _ => None,
        }
    }
}

/// A failure of the agent itself, before the request is sent. It is final.
impl From<ureq::Error> for Failure {
    fn from(error: ureq::Error) -> Self {
        Self { error, sent: false, transient: false }
    }
}

/// Reads a short body to its end, so that the connection can be kept. A longer one would cost more than a new connection.
fn drain(mut response: Response<Body>) -> Response<Body> {
    const SHORT: u64 = 16 * 1024;
    if response.body().content_length().is_some_and(|len| len <= SHORT) {
        let _ = io::copy(&mut response.body_mut().as_reader(), &mut io::sink());
    }
    response
}

/// Whether the caller has set options for this request. ureq itself puts one extension of a private type on each request that
/// passes a middleware.
fn has_own_settings(parts: &Parts) -> bool {
    parts.extensions.len() > 1
}

fn token_of(source: &Arc<dyn TokenSource>, within: Duration) -> Result<Arc<Token>, ureq::Error> {
    source.token_within(Duration::ZERO, within).map_err(other)
}

fn other(error: Error) -> ureq::Error {
    ureq::Error::Other(Box::new(error))
}
