//! Spacebring: its one server, and the state that its parts share.

mod api;
mod authorize;
mod data;
mod rate;
mod sandbox;
mod scopes;
mod token;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

pub use sandbox::SpacebringSandbox;
pub use scopes::SCOPES;

use crate::answer::Answer;
use crate::oauth::authorize::Callback;
use crate::oauth::clients::Clients;
use crate::oauth::grants::Grants;
use crate::oauth::logins::Logins;
use crate::oauth::page::Site;
use crate::origin::Service;
use crate::request::Request;
use crate::sync::lock;
use crate::{Clock, Endpoint};
use data::Data;
use rate::RateLimit;

const AUTHORIZE: &str = "/oauth2/authorize";
const LOG_IN: &str = "/oauth2/login";
const CONSENT: &str = "/oauth2/consent";
const TOKEN: &str = "/oauth2/token";
const REVOKE: &str = "/oauth2/revoke";

const SITE: Site = Site {
    name: "Spacebring",
    note: "A sandbox on this machine, not Spacebring.",
    log_in: LOG_IN,
    consent: CONSENT,
    scopes: &SCOPES,
};

/// How a refresh treats the refresh token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefreshTokens {
    /// The refresh token stays, and is not repeated in the answer.
    #[default]
    Kept,
    /// The refresh token stays, and is repeated in the answer.
    Repeated,
    /// The answer holds a new refresh token, and the old one ends. A refresh token that is used again ends the whole login (RFC 9700,
    /// section 4.14.2). Spacebring does not do this.
    Rotated,
}

/// The format of refusals at the endpoints for tokens and revocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OAuthErrors {
    /// `{"error", "error_description"}`, as RFC 6749, section 5.2, demands of every token endpoint.
    ///
    /// The default, because the vendor documents OAuth 2.0, and documents `{type, message}` only for the API without these endpoints.
    /// The sandbox never sends all four fields: a client that reads the wrong pair would pass its tests.
    #[default]
    Standard,
    /// `{"type", "message"}`, as in the API's own refusals: the `type` is the code of RFC 6749.
    Vendor,
}

/// Switches for behaviour that the vendor does not document, or that differs between services.
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

/// Clients, logins, tokens and the data that they give access to.
struct Spacebring {
    settings: Mutex<Settings>,
    clients: Clients,
    redirect_uris: Mutex<HashSet<String>>,
    logins: Logins<Callback>,
    grants: Grants,
    rate: RateLimit,
    data: Mutex<Data>,
}

impl Spacebring {
    fn new(clock: &Clock) -> Arc<Self> {
        Arc::new(Self {
            settings: Mutex::default(),
            clients: Clients::default(),
            redirect_uris: Mutex::default(),
            logins: Logins::new(clock.clone(), SITE),
            grants: Grants::new(clock.clone()),
            rate: RateLimit::new(clock.clone()),
            data: Mutex::new(Data::new()),
        })
    }

    fn settings(&self) -> Settings {
        *lock(&self.settings)
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
            Endpoint::LogIn => self.logins.log_in(request),
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

    /// A server that fails may already have used the code up, so the client must not send it again.
    fn fail(&self, endpoint: Endpoint, request: &Request<'_>) {
        if endpoint == Endpoint::Token {
            self.use_code_up(request);
        }
    }
}
