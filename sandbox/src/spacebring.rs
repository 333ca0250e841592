//! Spacebring: its one server, and what the parts of it share.

mod api;
mod authorize;
mod data;
mod grants;
mod page;
mod rate;
mod sandbox;
mod scopes;
mod token;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

pub use sandbox::SpacebringSandbox;
pub use scopes::SCOPES;

use crate::answer::Answer;
use crate::origin::Service;
use crate::request::Request;
use crate::sync::lock;
use crate::{Clock, Endpoint, random};
use authorize::Logins;
use data::Data;
use grants::Grants;
use rate::RateLimit;

const AUTHORIZE: &str = "/oauth2/authorize";
const LOG_IN: &str = "/oauth2/login";
const CONSENT: &str = "/oauth2/consent";
const TOKEN: &str = "/oauth2/token";
const REVOKE: &str = "/oauth2/revoke";

/// The demo account. The password can be typed on any keyboard, but arrives only from a form that is encoded well.
const USERNAME: &str = "demo@example.com";
const PASSWORD: &str = "open & shut + 100%";

/// What a refresh does with the refresh token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefreshTokens {
    /// It stays as it is and is not repeated in the answer.
    #[default]
    Kept,
    /// It stays as it is and is repeated in the answer.
    Repeated,
    /// A new one comes with the answer and the old one ends. One that is used again ends the whole login
    /// (RFC 9700, section 4.14.2). Not Spacebring's way.
    Rotated,
}

/// How the endpoints for tokens and revocation word their refusals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OAuthErrors {
    /// `{"error", "error_description"}`, as RFC 6749, section 5.2, demands of every token endpoint.
    ///
    /// The default: the vendor says OAuth 2.0, and its `{type, message}` is published for the API, in a
    /// description that leaves these two endpoints out. All four fields at once would suit any client, the one
    /// that reads the wrong pair included, and so test nothing.
    #[default]
    Standard,
    /// `{"type", "message"}`, as the API words its own: the `type` is the code of RFC 6749.
    Vendor,
}

/// How the service behaves where its documents, or other services, leave a choice.
#[derive(Clone, Copy, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
struct Settings {
    documented_only: bool,
    forgets_state: bool,
    oauth_errors: OAuthErrors,
    refresh_tokens: RefreshTokens,
    retry_after: bool,
    paging_stuck: bool,
}

/// Clients, logins, tokens and what they open.
struct Spacebring {
    settings: Mutex<Settings>,
    clients: Mutex<HashMap<String, String>>,
    redirect_uris: Mutex<HashSet<String>>,
    logins: Logins,
    grants: Grants,
    rate: RateLimit,
    data: Mutex<Data>,
}

impl Spacebring {
    fn new(clock: &Clock) -> Arc<Self> {
        Arc::new(Self {
            settings: Mutex::default(),
            clients: Mutex::default(),
            redirect_uris: Mutex::default(),
            logins: Logins::new(clock.clone()),
            grants: Grants::new(clock.clone()),
            rate: RateLimit::new(clock.clone()),
            data: Mutex::new(Data::new()),
        })
    }

    fn settings(&self) -> Settings {
        *lock(&self.settings)
    }

    /// Registers a customer who is a partner too. The secret has what clients trip over in forms and in Basic.
    fn add_client(&self) -> (String, String) {
        let id = format!("demo-{}", random::text(6));
        let secret = format!("{} +%&=:/{}", random::text(12), random::text(12));
        self.register(&id, &secret);
        (id, secret)
    }

    fn register(&self, client_id: &str, client_secret: &str) {
        lock(&self.clients).insert(client_id.to_owned(), client_secret.to_owned());
    }

    fn is_client(&self, client_id: &str) -> bool {
        lock(&self.clients).contains_key(client_id)
    }

    fn is_secret_of(&self, client_id: &str, client_secret: &str) -> bool {
        lock(&self.clients).get(client_id).is_some_and(|secret| secret == client_secret)
    }
}

impl Service for Arc<Spacebring> {
    fn endpoint(&self, path: &str) -> Endpoint {
        match path {
            AUTHORIZE => Endpoint::Authorize,
            LOG_IN => Endpoint::LogIn,
            CONSENT => Endpoint::Consent,
            TOKEN => Endpoint::Token,
            REVOKE => Endpoint::Revoke,
            _ => api::route(path).map_or(Endpoint::Unknown, |route| route.collection.endpoint),
        }
    }

    fn answer(&self, endpoint: Endpoint, request: &Request<'_>) -> Answer {
        let answer = match endpoint {
            Endpoint::Authorize => self.authorize(request),
            Endpoint::LogIn => self.log_in(request),
            Endpoint::Consent => self.consent(request),
            Endpoint::Token => self.token(request),
            Endpoint::Revoke => self.revoke(request),
            _ => self.api(request),
        };
        answer.unwrap_or_else(|refusal| refusal)
    }

    fn misdirected(&self) -> Answer {
        Answer::typed_error(400, "bad_request", "Invalid host header")
    }

    /// A server that fails may have used the code up before: the client must not come with it again.
    fn fail(&self, endpoint: Endpoint, request: &Request<'_>) {
        if endpoint == Endpoint::Token {
            self.use_code_up(request);
        }
    }
}

/// The value of a parameter that may come once at most.
fn at_most_once<'p>(parameters: &'p [(String, String)], name: &str) -> Result<Option<&'p str>, String> {
    let mut values = parameters.iter().filter(|(n, _)| n == name);
    match (values.next(), values.next()) {
        (first, None) => Ok(first.map(|(_, value)| value.as_str())),
        _ => Err(format!("{name} came more than once")),
    }
}

/// The value of a parameter that must come exactly once.
fn once<'p>(parameters: &'p [(String, String)], name: &str) -> Result<&'p str, String> {
    at_most_once(parameters, name)?.ok_or_else(|| format!("{name} is missing"))
}

/// Refuses parameters beyond these.
fn expect_only(parameters: &[(String, String)], known: &[&str]) -> Result<(), String> {
    match parameters.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some((name, _)) => Err(format!("{name} is no parameter here")),
    }
}
