//! [`AgentBuilder`]: makes agents that authenticate by themselves.

pub(crate) mod auth;
mod body;
mod forced;
mod outcome;
mod rate;
pub(crate) mod signing;

use std::fmt;
use std::time::Duration;

use ureq::Agent;
use ureq::http::header::AUTHORIZATION;
use ureq::http::{HeaderName, HeaderValue, Request};

use crate::agent::auth::Auth;
use crate::agent::forced::ForcedRenewals;
use crate::agent::rate::RateLimit;
use crate::agent::signing::Signing;
use crate::check;
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::secret::{Known, Secret};
use crate::transport::endpoint::Endpoint;
use crate::transport::{Transport, head};

/// Makes a [`ureq::Agent`] that authenticates by itself.
///
/// **Origins.** The token goes to the named origins only. The agent refuses a request to any other origin. With
/// [`allow_other_origins`](Self::allow_other_origins) it sends such a request without the token. It never follows a redirect.
///
/// **Repeats.** A 401 refuses the token. A 403 refuses it if the answer says `invalid_token`, or if the token has expired. The agent
/// then replaces the token and repeats the request once. After 429 it waits and repeats a request of any method. After 502, 503, 504 and
/// failed connections it repeats GET, HEAD, PUT, DELETE and OPTIONS, up to three tries. One [`deadline`](Self::deadline) covers all this.
///
/// **Requests.** Bodies up to 64 KiB are buffered for a repeat. A longer body is sent once, in chunks unless the request sets
/// `Content-Length`. If the server answers before it has read the body, the rest is not sent. `Expect: 100-continue` works, even if interim
/// answers have fields (RFC 9110 15.2.1). A request line or header that does not fit into the output buffer is refused before anything is
/// sent.
///
/// **Answers.** An answer may have 128 header fields. If the framing shows that the body was cut off (RFC 9112 8), reading the body fails.
///
/// **Options of a request.** A request's own time-outs apply to each attempt. Its `timeout_per_call`, `max_redirects`,
/// `http_status_as_error` and buffer sizes have no effect: those of the agent apply.
///
/// ```no_run
/// use std::sync::Arc;
/// use keyfob::flow::ClientCredentials;
/// use keyfob::{AgentBuilder, Auth, CachingSource, ClientAuth, Transport};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let transport = Transport::new();
/// let client = ClientAuth::secret_basic("my-client", std::env::var("MY_CLIENT_SECRET")?);
/// let flow = ClientCredentials::new("https://login.example.com/token", client);
/// let source = CachingSource::new(transport.clone(), flow);
/// let agent = AgentBuilder::new(transport, Auth::Bearer(Arc::new(source)))
///     .origin("https://api.example.com")
///     .rate(10)
///     .build()?;
/// let things = agent.get("https://api.example.com/things").call()?.body_mut().read_to_string()?;
/// println!("{things}");
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "an agent builder does nothing until `build` is called"]
pub struct AgentBuilder {
    transport: Transport,
    auth: Auth,
    origins: Vec<String>,
    headers: Vec<(String, Secret)>,
    allows_other_origins: bool,
    deadline: Duration,
    status_as_error: bool,
    max_idle_connections: usize,
    rate: u32,
}

impl AgentBuilder {
    /// Makes a builder of agents on this transport. [`build`](Self::build) fails unless at least one [`origin`](Self::origin) is named.
    pub fn new(transport: Transport, auth: Auth) -> Self {
        Self {
            transport,
            auth,
            origins: Vec::new(),
            headers: Vec::new(),
            allows_other_origins: false,
            deadline: Duration::from_secs(60),
            status_as_error: true,
            max_idle_connections: 16,
            rate: 0,
        }
    }

    /// Names an origin that receives the token: the scheme, host and port of this URL, which must be https (or http on
    /// loopback). May be called more than once. Default: none.
    pub fn origin(mut self, url: impl Into<String>) -> Self {
        self.origins.push(url.into());
        self
    }

    /// Sends requests to other origins too, without the token and without the headers of [`header`](Self::header). Default: a request to
    /// another origin is refused before anything is sent.
    pub fn allow_other_origins(mut self) -> Self {
        self.allows_other_origins = true;
        self
    }

    /// Adds a header to each request to a named origin. May be called more than once; the last header of a name counts.
    /// [`build`](Self::build) refuses headers of the connection, of the proxy and of the authentication, such as `Host` and
    /// `Authorization`. Default: none.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The headers, each name once. The last value counts.
    pub(crate) fn headers(&self) -> Vec<(&str, &Secret)> {
        let mut headers: Vec<(&str, &Secret)> = Vec::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
            headers.push((name, value));
        }
        headers
    }

    /// Sets the deadline of a call. It covers all attempts, waits, the token exchange and reading the answer's body. It starts when the
    /// agent has read the request's body, or the first 64 KiB of it. Default: 60 s.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets whether an answer with status 4xx or 5xx is a [`ureq::Error::StatusCode`]. If not, the call returns the answer with
    /// its headers and body. A request's own `http_status_as_error` has no effect. Default: true.
    pub fn status_as_error(mut self, status_as_error: bool) -> Self {
        self.status_as_error = status_as_error;
        self
    }

    /// Sets how many idle connections are kept. Set it to the number of threads that use the agent. Default: 16.
    pub fn max_idle_connections(mut self, max: usize) -> Self {
        self.max_idle_connections = max;
        self
    }

    /// Limits the number of requests to the named origins in any second, repeats included. Requests are sent in the order of the calls. A
    /// request that would wait past its deadline fails at once. All clones of the agent share the limit. 0 means no limit.
    /// Default: 0.
    pub fn rate(mut self, per_second: u32) -> Self {
        self.rate = per_second;
        self
    }

    /// Checks whether a request to one of the origins can be sent. Its token is not checked. The agent makes the same check before it asks
    /// for a token. A program that obtains the token itself can call this first.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the request line or a header does not fit into the output buffer of the [`Transport`]
    /// (the text states the limit), or if a header of the builder is not valid.
    pub fn can_send<B>(&self, request: &Request<B>) -> Result<(), Error> {
        let mut head = Request::new(());
        head.method_mut().clone_from(request.method());
        head.uri_mut().clone_from(request.uri());
        head.headers_mut().clone_from(request.headers());
        for (name, value) in &self.headers {
            let (name, value) = header(name, value)?;
            head.headers_mut().insert(name, value);
        }
        head.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static(""));
        head::check(&head, self.transport.output_buffer())
    }

    /// Makes the agent. It may be cloned and shared between threads.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if no origin was named, if an origin is not https (http on loopback), if the name or value
    /// of a header is not valid, if the agent sends that header itself, or if a setting of the [`Transport`] is not valid.
    pub fn build(self) -> Result<Agent, Error> {
        if self.origins.is_empty() {
            return Err(Error::invalid("the agent has no origin to sign requests for: name one"));
        }
        let Self {
            transport,
            auth,
            origins,
            headers,
            allows_other_origins,
            deadline,
            status_as_error,
            max_idle_connections,
            rate,
        } = self;
        let (mut checked_origins, mut checked_headers) = (Vec::new(), Vec::new());
        for url in &origins {
            checked_origins.push(Endpoint::new("URL of the API", url)?.origin().clone());
        }
        for (name, value) in headers {
            let (name, sent) = header(&name, &value)?;
            checked_headers.push((name, sent, Known::new(value)));
        }
        let (clock, proxies) = (transport.clock().clone(), transport.proxies()?.clone());
        transport.api_agent(max_idle_connections, deadline, |agent| Signing {
            agent,
            proxies,
            auth,
            origins: checked_origins,
            headers: checked_headers,
            allows_other_origins,
            deadline,
            status_as_error,
            clock,
            forced: ForcedRenewals::new(),
            rate: RateLimit::new(rate),
        })
    }
}

impl fmt::Debug for AgentBuilder {
    /// Shows neither origins nor headers, which are not checked yet and may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentBuilder")
            .field("transport", &self.transport)
            .field("auth", &self.auth)
            .field("allows_other_origins", &self.allows_other_origins)
            .field("deadline", &self.deadline)
            .field("status_as_error", &self.status_as_error)
            .field("max_idle_connections", &self.max_idle_connections)
            .field("rate", &self.rate)
            .finish_non_exhaustive()
    }
}

/// Checks a header of the builder.
fn header(name: &str, value: &Secret) -> Result<(HeaderName, HeaderValue), Error> {
    check::value("header name", name.as_bytes())?;
    let name = HeaderName::try_from(name)
        .map_err(|_| Error::invalid("the header name holds characters that no header can carry"))?;
    if let Some(why) = why_refused(name.as_str()) {
        return Err(Error::invalid(format!("the header `{name}` cannot be added: {why}")));
    }
    check::value(&format!("value of the header `{name}`"), value.expose())?;
    let mut value = HeaderValue::from_bytes(value.expose()).map_err(|_| {
        Error::invalid(format!("the value of the header `{name}` holds characters that no header can carry"))
    })?;
    // The value may be an API key.
    value.set_sensitive(true);
    Ok((name, value))
}

/// Returns why a header cannot be added to each request. `name` is in lower case.
fn why_refused(name: &str) -> Option<&'static str> {
    Some(match name {
        "authorization" | "host" | "content-length" | "transfer-encoding" | "connection" | "keep-alive" => {
            "keyfob sends it by itself where it is needed"
        }
        "te" | "trailer" | "upgrade" | "expect" => "keyfob does not support what it asks for",
        "cookie" => "keyfob authenticates by itself, and keeps no cookies",
        _ if name.starts_with("proxy-") => {
            "it would be sent to the API: name the proxy and its password with `Transport::with_proxy`"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::basic::Basic;

    #[test]
    fn defaults_of_agent_and_transport_are_the_documented_ones() {
        let agent = AgentBuilder::new(Transport::new(), Auth::Basic(Basic::new("a", "b").unwrap()));
        assert_eq!((agent.deadline.as_secs(), agent.max_idle_connections, agent.rate), (60, 16, 0));
        assert_eq!((agent.status_as_error, agent.allows_other_origins), (true, false));
        let http = format!("{:?}", Transport::new());
        assert!(
            http.contains("{ timeout: 30s, connect_timeout: 10s, roots: BuiltIn, client_certificate: false, proxy: false,"),
            "{http}"
        );
    }

    #[test]
    fn date_in_retry_after_is_compared_with_the_clock_of_the_server() {
        let answer = ureq::http::Response::builder()
            .status(429)
            .header("Date", "Sun, 06 Nov 1994 08:49:00 GMT")
            .header("Retry-After", "Sun, 06 Nov 1994 08:49:30 GMT")
            .body(())
            .unwrap();
        let wait = Error::from_response(&answer).unwrap().retry_after().unwrap();
        assert!((29..=31).contains(&wait.as_secs()), "{wait:?}");
    }
}
