//! The log of answered requests, without their secrets.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

use crate::Endpoint;
use crate::request::Request;
use crate::sync::lock;

/// The text in the log in place of a value that may be secret.
const MASK: &str = "***";

/// Headers whose values are no secret. `Authorization` is not among them.
const OPEN_HEADERS: [&str; 10] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "spacebring-network-id",
    "transfer-encoding",
    "user-agent",
];

/// Parameters of queries and forms whose values are no secret.
const OPEN_PARAMETERS: [&str; 14] = [
    "audience",
    "client_assertion_type",
    "code_challenge_method",
    "decision",
    "grant_type",
    "item_id",
    "limit",
    "locationRef",
    "nextPageToken",
    "redirect_uri",
    "resource",
    "response_type",
    "scope",
    "token_type_hint",
];

/// A request that was answered. Values that may be secret are replaced by `***`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedRequest {
    /// The server that received it: `auth` or `api` of SpatiaFi, `spacebring`, or `acme` or `acme-api` of Acme.
    pub origin: &'static str,
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query parameters, masked.
    pub query: Vec<(String, String)>,
    /// The headers, masked, their names in lower case. `Authorization` keeps its scheme: `Bearer ***`.
    pub headers: Vec<(String, String)>,
    /// The parameters of a form body, masked; empty for other bodies.
    pub form: Vec<(String, String)>,
    /// The length of the body in bytes.
    pub body_length: usize,
    /// The status that it was answered with.
    pub status: u16,
}

impl LoggedRequest {
    pub(crate) fn new(origin: &'static str, endpoint: Endpoint, request: &Request<'_>, status: u16) -> Self {
        let headers: Vec<_> =
            request.headers().iter().map(|(name, value)| masked_header(name, value)).collect();
        let is_form = headers.iter().any(|(name, value)| {
            name == "content-type" && value.starts_with("application/x-www-form-urlencoded")
        });
        let form =
            if is_form { form_urlencoded::parse(request.body()).into_owned().collect() } else { Vec::new() };
        Self {
            origin,
            endpoint,
            method: request.method().to_owned(),
            path: request.path().to_owned(),
            query: masked_parameters(request.query()),
            headers,
            form: masked_parameters(&form),
            body_length: request.body().len(),
            status,
        }
    }

    /// The masked value of a header, by its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// One line: server, method, path, query, form, status.
impl fmt::Display for LoggedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.origin, self.method, self.path)?;
        for (n, (name, value)) in self.query.iter().enumerate() {
            write!(f, "{}{name}={value}", if n == 0 { '?' } else { '&' })?;
        }
        for (name, value) in &self.form {
            write!(f, " {name}={value}")?;
        }
        write!(f, " -> {}", self.status)
    }
}

fn masked_header(name: &str, value: &str) -> (String, String) {
    let name = name.to_ascii_lowercase();
    let value = if OPEN_HEADERS.contains(&name.as_str()) {
        value.to_owned()
    } else {
        match value.split_once(' ') {
            Some((scheme @ ("Basic" | "Bearer"), _)) if name == "authorization" => format!("{scheme} {MASK}"),
            _ => MASK.to_owned(),
        }
    };
    (name, value)
}

fn masked_parameters(parameters: &[(String, String)]) -> Vec<(String, String)> {
    let masked = |(name, value): &(String, String)| {
        let open = OPEN_PARAMETERS.contains(&name.as_str());
        (name.clone(), if open { value.clone() } else { MASK.to_owned() })
    };
    parameters.iter().map(masked).collect()
}

type Observer = Arc<dyn Fn(&LoggedRequest) + Send + Sync>;

/// The last requests. Their number is bounded, so that a server under load does not grow.
pub(crate) struct Log(Mutex<Kept>);

struct Kept {
    last: VecDeque<LoggedRequest>,
    limit: usize,
    observer: Option<Observer>,
}

impl Default for Log {
    fn default() -> Self {
        Self(Mutex::new(Kept { last: VecDeque::new(), limit: 1000, observer: None }))
    }
}

impl Log {
    pub(crate) fn push(&self, request: LoggedRequest) {
        // The observer runs outside the lock: it may ask for the log.
        let observer = lock(&self.0).observer.clone();
        if let Some(observer) = observer {
            observer(&request);
        }
        let mut kept = lock(&self.0);
        kept.last.push_back(request);
        kept.trim();
    }

    pub(crate) fn requests(&self) -> Vec<LoggedRequest> {
        lock(&self.0).last.iter().cloned().collect()
    }

    pub(crate) fn clear(&self) {
        lock(&self.0).last.clear();
    }

    pub(crate) fn set_limit(&self, limit: usize) {
        let mut kept = lock(&self.0);
        kept.limit = limit;
        kept.trim();
    }

    pub(crate) fn set_observer(&self, observer: Observer) {
        lock(&self.0).observer = Some(observer);
    }
}

impl Kept {
    fn trim(&mut self) {
        while self.last.len() > self.limit {
            self.last.pop_front();
        }
    }
}
