//! Acme: an ordinary OAuth 2.0 server with every grant and request that keyfob has, and its API.

mod api;
mod client;
mod device;
mod endpoints;
mod pages;
mod sandbox;

use std::sync::{Arc, Mutex, OnceLock};

pub use sandbox::AcmeSandbox;

use crate::answer::Answer;
use crate::assertion::Verifier;
use crate::oauth::clients::Clients;
use crate::oauth::grants::Grants;
use crate::oauth::logins::Logins;
use crate::oauth::page::Site;
use crate::oauth::parameters::at_most_once;
use crate::oauth::{OAuthError, invalid_request};
use crate::origin::Service;
use crate::request::Request;
use crate::{Clock, Endpoint};
use device::Devices;
use pages::Asker;

/// The path of the issuer. The well-known path of RFC 8414, section 3.1, is inserted before it; that of `OpenID` Connect is appended.
const ISSUER: &str = "/acme";
const METADATA: &str = "/.well-known/oauth-authorization-server/acme";
const OPENID_METADATA: &str = "/acme/.well-known/openid-configuration";
const AUTHORIZE: &str = "/acme/authorize";
const LOG_IN: &str = "/acme/login";
const CONSENT: &str = "/acme/consent";
const DEVICE: &str = "/acme/device";
const DEVICE_AUTHORIZATION: &str = "/acme/device_authorization";
const TOKEN: &str = "/acme/token";
const INTROSPECT: &str = "/acme/introspect";
const REVOKE: &str = "/acme/revoke";

const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

const READ: &str = "things.read";
const WRITE: &str = "things.write";
const SCOPES: [(&str, &str); 2] = [(READ, "Read things"), (WRITE, "Add things")];

const SITE: Site = Site {
    name: "Acme",
    note: "Acme exists in this sandbox only.",
    log_in: LOG_IN,
    consent: CONSENT,
    scopes: &SCOPES,
};

/// Where Acme publishes its metadata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Discovery {
    /// At both addresses.
    #[default]
    Both,
    /// At the address of RFC 8414 only.
    OAuth,
    /// At `/acme/.well-known/openid-configuration` only (`OpenID` Connect Discovery 1.0, section 4).
    OpenId,
}

/// Clients, logins, tokens and things.
struct Acme {
    clients: Clients,
    verifier: Verifier,
    grants: Grants,
    devices: Devices,
    logins: Logins<Asker>,
    discovery: Mutex<Discovery>,
    things: Mutex<Vec<String>>,
    /// The API's origin: the only `resource` and `audience`. Known once its server has started.
    api_url: OnceLock<String>,
}

impl Acme {
    fn new(clock: &Clock) -> Arc<Self> {
        Arc::new(Self {
            clients: Clients::default(),
            verifier: Verifier::new(clock.clone()),
            grants: Grants::new(clock.clone()),
            devices: Devices::new(clock.clone()),
            logins: Logins::new(clock.clone(), SITE),
            discovery: Mutex::default(),
            things: Mutex::new(["anvil", "rocket skates", "giant magnet"].map(str::to_owned).to_vec()),
            api_url: OnceLock::new(),
        })
    }

    /// Reads the scopes of a request. Default: the scope to read. Each scope may be named once, with one space between two scopes.
    fn read_scopes(&self, parameters: &[(String, String)]) -> Result<Vec<String>, OAuthError> {
        let targets = parameters.iter().filter(|(name, _)| ["resource", "audience"].contains(&name.as_str()));
        if targets.into_iter().any(|(_, value)| Some(value) != self.api_url.get()) {
            return Err(("invalid_target", "resource and audience must be the URL of the API".to_owned()));
        }
        let scopes: Vec<_> =
            at_most_once(parameters, "scope").map_err(invalid_request)?.unwrap_or(READ).split(' ').collect();
        if scopes.iter().any(|scope| !SITE.knows(scope)) {
            return Err(("invalid_scope", format!("scope must be {READ}, {WRITE} or both, with a space")));
        }
        if scopes.len() > SCOPES.len() || scopes[1..].contains(&scopes[0]) {
            return Err(("invalid_scope", "a scope is named twice".to_owned()));
        }
        Ok(scopes.into_iter().map(str::to_owned).collect())
    }
}

/// The authorization server.
struct Auth(Arc<Acme>);

impl Service for Auth {
    fn endpoint(&self, path: &str) -> Endpoint {
        match path {
            METADATA | OPENID_METADATA => Endpoint::Metadata,
            AUTHORIZE => Endpoint::Authorize,
            LOG_IN => Endpoint::LogIn,
            CONSENT => Endpoint::Consent,
            DEVICE => Endpoint::Device,
            DEVICE_AUTHORIZATION => Endpoint::DeviceAuthorization,
            TOKEN => Endpoint::Token,
            INTROSPECT => Endpoint::Introspect,
            REVOKE => Endpoint::Revoke,
            _ => Endpoint::Unknown,
        }
    }

    fn answer(&self, endpoint: Endpoint, request: &Request<'_>) -> Answer {
        let acme = &self.0;
        let answer = match endpoint {
            Endpoint::Metadata => acme.metadata(request),
            Endpoint::Authorize => acme.authorize(request),
            Endpoint::LogIn => acme.logins.log_in(request),
            Endpoint::Consent => acme.consent(request),
            Endpoint::Device => acme.device_page(request),
            Endpoint::Unknown => Err(Answer::detail(404, "Not Found")),
            _ => acme.application(endpoint, request),
        };
        answer.unwrap_or_else(|refusal| refusal)
    }

    /// A server that fails may have used up the assertion and the code before. So the client must not send them again.
    fn fail(&self, endpoint: Endpoint, request: &Request<'_>) {
        self.0.use_up(endpoint, request);
    }
}

fn issuer(request: &Request<'_>) -> String {
    format!("{}{ISSUER}", request.base_url())
}
