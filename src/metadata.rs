//! [`Metadata`]: the endpoints of an authorization server, found by its issuer.

use std::borrow::Cow;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use ureq::http::Method;

use crate::clock::Deadline;
use crate::encode::json::{object, other_encoding, unescape};
use crate::encode::words;
use crate::error::{Advice, Error, ErrorKind};
use crate::text::{Seconds, printable};
use crate::transport::Transport;
use crate::transport::call::{Answer, Call, Payload};
use crate::transport::endpoint::{Endpoint, base_url};
use crate::transport::given_url::{Find, Url};
use crate::transport::retry::Repeat;

/// The task in the text of errors: "could not find the endpoints of ISSUER".
const DOING: &str = "find the endpoints of";

/// The endpoints that are read. The names are registered (RFC 8414 2, RFC 8628 4).
const ENDPOINTS: [&str; 5] = [
    "token_endpoint",
    "authorization_endpoint",
    "device_authorization_endpoint",
    "introspection_endpoint",
    "revocation_endpoint",
];

/// RFC 9207 3.
const ISS_SUPPORTED: &str = "authorization_response_iss_parameter_supported";

/// The metadata of an authorization server (RFC 8414): its endpoints, found by its issuer.
///
/// A service with an [issuer](crate::ServiceBuilder::issuer) fetches the metadata by itself. May be shared between threads.
///
/// ```no_run
/// # fn main() -> Result<(), keyfob::Error> {
/// use keyfob::{ClientAuth, Metadata, Transport, flow::ClientCredentials};
///
/// # let client_secret = String::new();
/// let transport = Transport::new();
/// let server = Metadata::discover(&transport, "https://login.example.com")?;
/// let auth = ClientAuth::secret_basic("my-client", client_secret);
/// let token = ClientCredentials::new(server.token_endpoint()?, auth).run(&transport)?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Metadata {
    issuer: String,
    endpoints: [Option<String>; 5],
    is_iss_supported: bool,
}

impl Metadata {
    /// Fetches the metadata of this issuer, such as `https://login.example.com` or `https://login.example.com/tenant`.
    ///
    /// For the second of these, it first asks `https://login.example.com/.well-known/oauth-authorization-server/tenant` (RFC 8414 3). If
    /// the answer is a redirect, a 4xx other than 429, or no JSON object, it then asks
    /// `https://login.example.com/tenant/.well-known/openid-configuration` (`OpenID` Connect Discovery 4). Redirects are not followed.
    /// Each request is tried up to three times, on 429, 5xx and failed connections. Both requests together end by the deadline of the
    /// transport.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), before anything is sent, if the issuer is not https (http on loopback), has a query or
    /// a fragment, or is the URL of the metadata itself. [`Protocol`](ErrorKind::Protocol) if neither URL has metadata; if the `issuer` in the metadata is not exactly this
    /// one (RFC 8414 3.3); if a value has the wrong type; or if an endpoint is no usable URL, for example not https (http on loopback).
    /// Network errors.
    pub fn discover(transport: &Transport, issuer: &str) -> Result<Self, Error> {
        check_issuer_url(issuer)?;
        let issuer_url = Endpoint::new("issuer", issuer)?;
        Self::fetch(transport, issuer, &issuer_url).map_err(|error| error.with_task(DOING, issuer.to_owned()))
    }

    fn fetch(transport: &Transport, issuer: &str, issuer_url: &Endpoint) -> Result<Self, Error> {
        let deadline = Deadline::after(transport.timeout());
        // RFC 8414 3.1: the path of the issuer without a slash at its end.
        let (origin, path) = (issuer_url.origin(), issuer_url.uri().path().trim_end_matches('/'));
        let ask = |url: String| {
            let call = Call {
                doing: DOING,
                endpoint: &Endpoint::new("metadata URL", &url)?,
                method: Method::GET,
                repeat: Repeat::Always,
                comes_once: false,
                advice: Advice::CheckIssuer,
            };
            let answer = transport.exchange(&call, &deadline, &mut || Ok(Payload::default()))?;
            Self::read(issuer, &call, &answer)
        };
        let first = match ask(format!("{origin}/.well-known/oauth-authorization-server{path}"))? {
            Ok(metadata) => return Ok(metadata),
            Err(answer) => format!("oauth-authorization-server answered {answer}"),
        };
        let second = ask(format!("{origin}{path}/.well-known/openid-configuration"));
        second.map_err(|error| error.add(&first, ""))?.map_err(|answer| {
            unusable(format!("it has no metadata: {first}, and openid-configuration answered {answer}"))
        })
    }

    /// Reads an answer. Returns a description of the answer if it is no metadata and the other URL may have some.
    pub(crate) fn read(
        issuer: &str,
        call: &Call<'_>,
        answer: &Answer,
    ) -> Result<Result<Self, String>, Error> {
        const NAMES: [&str; 7] = {
            let [token, authorization, device, introspection, revocation] = ENDPOINTS;
            [token, authorization, device, introspection, revocation, "issuer", ISS_SUPPORTED]
        };
        let status = answer.status;
        if status == 429 || status >= 500 {
            return Err(answer.refusal(call, None));
        }
        if !answer.is_success() {
            // RFC 9110 15.4: the other 3xx redirect nothing by themselves.
            let is_redirect = matches!(status, 301..=303 | 307 | 308);
            let redirects = if is_redirect { ", a redirect, which is not followed" } else { "" };
            return Ok(Err(format!("HTTP {status}{redirects}")));
        }
        let Some(values) = object(answer.body.expose(), NAMES) else {
            return Ok(Err(match other_encoding(answer.body.expose()) {
                Some(encoding) => format!("HTTP {status} in {encoding}, and JSON is UTF-8 (RFC 8259 8.1)"),
                None => format!("HTTP {status} without a JSON object"),
            }));
        };
        // Null counts as absent.
        let [endpoints @ .., named, is_iss_supported] = values.map(|value| value.filter(|v| *v != "null"));
        check_issuer(issuer, named)?;
        let is_iss_supported = match is_iss_supported {
            Some("true") => true,
            Some("false") | None => false,
            Some(_) => return Err(unusable(format!("`{ISS_SUPPORTED}` is neither true nor false"))),
        };
        let mut metadata =
            Self { issuer: issuer.to_owned(), endpoints: Default::default(), is_iss_supported };
        for ((found, name), value) in metadata.endpoints.iter_mut().zip(ENDPOINTS).zip(endpoints) {
            *found = value.map(|value| text(name, value)).transpose()?;
            if let Some(url) = found {
                Endpoint::unasked(name, url)
                    .map_err(|error| unusable(format!("in its metadata, {error}")))?;
            }
        }
        Ok(Ok(metadata))
    }

    /// The issuer.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The URL that issues tokens.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the metadata has none. The error names the issuer.
    pub fn token_endpoint(&self) -> Result<&str, Error> {
        self.needed("token_endpoint")
    }

    /// The URL that a browser opens for a login.
    pub fn authorization_endpoint(&self) -> Option<&str> {
        self.endpoint("authorization_endpoint")
    }

    /// The URL that issues the codes of a device login (RFC 8628 3.1).
    pub fn device_authorization_endpoint(&self) -> Option<&str> {
        self.endpoint("device_authorization_endpoint")
    }

    /// The URL that says whether a token is active (RFC 7662).
    pub fn introspection_endpoint(&self) -> Option<&str> {
        self.endpoint("introspection_endpoint")
    }

    /// The URL that revokes tokens (RFC 7009).
    pub fn revocation_endpoint(&self) -> Option<&str> {
        self.endpoint("revocation_endpoint")
    }

    /// Whether the metadata says that the server names its issuer in each callback of a login
    /// (`authorization_response_iss_parameter_supported`, RFC 9207 3). If so, make the login require it with
    /// [`AuthorizationCode::with_issuer`](crate::flow::AuthorizationCode::with_issuer).
    pub fn is_iss_parameter_supported(&self) -> bool {
        self.is_iss_supported
    }

    fn endpoint(&self, name: &str) -> Option<&str> {
        ENDPOINTS.iter().zip(&self.endpoints).find(|(known, _)| **known == name)?.1.as_deref()
    }

    fn needed(&self, name: &str) -> Result<&str, Error> {
        self.endpoint(name).ok_or_else(|| {
            let key = match name {
                "authorization_endpoint" => "authorize_url".to_owned(),
                _ => name.replace("_endpoint", "_url"),
            };
            Error::invalid(format!(
                "the metadata of {} has no `{name}`: give its URL as `{key}`, if the server has this endpoint",
                self.issuer
            ))
        })
    }
}

/// Checks an issuer that a caller gave.
pub(crate) fn check_issuer_url(issuer: &str) -> Result<(), Error> {
    base_url("issuer", issuer)?;
    if issuer.contains("/.well-known") {
        return Err(Error::invalid(
            "the issuer is the URL of metadata ('/.well-known'): give the `issuer` that this metadata names",
        ));
    }
    Ok(())
}

/// RFC 8414 3.3: the issuer is compared without normalization.
fn check_issuer(issuer: &str, named: Option<&str>) -> Result<(), Error> {
    let named = named.ok_or_else(|| unusable("its metadata has no `issuer`"))?;
    let named = text("issuer", named)?;
    if named == issuer {
        return Ok(());
    }
    let named = printable(&named);
    // Another issuer's query or user info may hold a secret that is not known here.
    let (before, query) = named.split_at(named.find(['?', '#']).unwrap_or(named.len()));
    let shown = if words::repeats_any(&named, std::iter::empty()) {
        "whose name is withheld: it repeats a secret".to_owned()
    } else if before.contains('@') {
        "whose name is withheld: it has an '@'".to_owned()
    } else {
        before.to_owned() + if query.is_empty() { "" } else { "?…" }
    };
    Err(unusable(format!("its metadata is that of another issuer, {shown}")))
}

/// Returns the text of a JSON string.
fn text(name: &str, json: &str) -> Result<String, Error> {
    let text = unescape(json).and_then(|text| text.expose_str().map(str::to_owned));
    text.ok_or_else(|| unusable(format!("the {name} in its metadata is not a string")))
}

fn unusable(what: impl Into<Cow<'static, str>>) -> Error {
    Error::of(ErrorKind::Protocol, what).with_advice(Advice::CheckIssuer)
}

/// The metadata of one issuer. It is fetched once, and all threads share it.
pub(crate) struct Discovery {
    issuer: String,
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Default)]
struct Progress {
    found: Option<Arc<Metadata>>,
    /// Whether a thread is fetching the metadata.
    is_running: bool,
}

impl Discovery {
    pub(crate) fn new(issuer: String) -> Self {
        Self { issuer, progress: Mutex::default(), changed: Condvar::new() }
    }

    /// Returns the metadata, and the transport with the time that is left for the exchange. One thread fetches the metadata, and the
    /// others wait.
    fn metadata<'a>(&self, transport: &'a Transport) -> Result<(Arc<Metadata>, Cow<'a, Transport>), Error> {
        if let Some(found) = &self.lock().found {
            return Ok((found.clone(), Cow::Borrowed(transport)));
        }
        let deadline = Deadline::after(transport.timeout());
        let rest = || transport.clone().with_timeout(deadline.remaining());
        let mut progress = self.lock();
        while progress.is_running {
            let left = deadline.remaining();
            if left.is_zero() {
                let what = format!("no metadata within {} s", Seconds(transport.timeout()));
                let error = Error::of(ErrorKind::Timeout, what).with_task(DOING, self.issuer.clone());
                return Err(error.with_advice(Advice::CheckNetwork));
            }
            progress = self.changed.wait_timeout(progress, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if let Some(found) = &progress.found {
            return Ok((found.clone(), Cow::Owned(rest())));
        }
        progress.is_running = true;
        drop(progress);
        let _running = Running(self);
        let found = Arc::new(Metadata::discover(&rest(), &self.issuer)?);
        self.lock().found = Some(found.clone());
        Ok((found, Cow::Owned(rest())))
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Find for Discovery {
    fn find<'a>(
        &self,
        endpoint: &'static str,
        transport: &'a Transport,
    ) -> Result<(Url, Cow<'a, Transport>), Error> {
        let (metadata, rest) = self.metadata(transport)?;
        let url = metadata.needed(endpoint)?;
        let callback_issuer = metadata.is_iss_supported.then(|| metadata.issuer.clone());
        Ok((Url::new(url.to_owned(), Endpoint::unasked(endpoint, url)?, callback_issuer), rest))
    }
}

/// The completion guard of a fetch: when it is dropped, also by a panic, no thread waits for the fetch any more.
struct Running<'a>(&'a Discovery);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.lock().is_running = false;
        self.0.changed.notify_all();
    }
}
