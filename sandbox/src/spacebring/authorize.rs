//! What the person in the browser sees: log in, consent, and back to the application.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use form_urlencoded::Serializer;

use super::page::{self, Problem};
use super::{PASSWORD, Spacebring, USERNAME, at_most_once, expect_only, once, scopes};
use crate::answer::Answer;
use crate::request::Request;
use crate::sync::lock;
use crate::{Clock, random};

/// What the vendor documents, and what RFC 6749, section 4.1.1, and RFC 7636, section 4.3, add.
const PARAMETERS: [&str; 7] = [
    "client_id",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
];
const DOCUMENTED_PARAMETERS: &[&str] = PARAMETERS.split_at(4).0;

/// How long a person may take from the first page to the last.
const LOGIN_LIFETIME: Duration = Duration::from_secs(600);

const EXPIRED: &str = "This page has expired or was used already.";

/// What an application asks for, found to be in order.
#[derive(Clone)]
pub(super) struct Authorization {
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) scopes: Vec<String>,
    pub(super) challenge: Option<String>,
    state: Option<String>,
}

/// Why an application does not get what it asks for.
pub(super) enum Refusal {
    /// Shown to the person: nobody is known who could be told (RFC 6749, section 4.1.2.1).
    Page(String),
    /// Told to the application, by this URL.
    Redirect(String),
}

impl Refusal {
    fn into_answer(self) -> Answer {
        match self {
            Self::Page(reason) => page::error(400, &reason),
            Self::Redirect(url) => redirect(&url),
        }
    }
}

impl Spacebring {
    /// `GET /oauth2/authorize`.
    pub(super) fn authorize(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        expect_method(request, "GET")?;
        let authorization = self.read_authorization(request.query()).map_err(Refusal::into_answer)?;
        let login = self.logins.start(authorization.clone());
        Ok(page::log_in(&authorization, &login, "", None))
    }

    /// `POST /oauth2/login`.
    pub(super) fn log_in(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        let (login, form) = read_form(request)?;
        let authorization = self.logins.get(&login).ok_or_else(|| page::error(400, EXPIRED))?;
        let field = |name| at_most_once(&form, name).ok().flatten().unwrap_or_default();
        let (username, password) = (field("username").trim(), field("password"));
        let problem = match (username, password) {
            (USERNAME, PASSWORD) => None,
            ("", "") => Some(Problem::NothingEntered),
            ("", _) => Some(Problem::NoUsername),
            (_, "") => Some(Problem::NoPassword),
            _ => Some(Problem::Wrong),
        };
        if problem.is_some() {
            return Err(page::log_in(&authorization, &login, username, problem));
        }
        self.logins.log_in(&login);
        Ok(page::consent(&authorization, &login))
    }

    /// `POST /oauth2/consent`.
    pub(super) fn consent(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        let (login, form) = read_form(request)?;
        let allows = match once(&form, "decision") {
            Ok("allow") => true,
            Ok("deny") => false,
            _ => return Err(page::error(400, "Neither Allow nor Deny was chosen.")),
        };
        let authorization = self.logins.finish(&login).ok_or_else(|| page::error(400, EXPIRED))?;
        Ok(redirect(&if allows { self.allow(authorization) } else { deny(&authorization) }))
    }

    /// The callback URL after a consent.
    pub(super) fn allow(&self, authorization: Authorization) -> String {
        let (redirect_uri, state) = (authorization.redirect_uri.clone(), authorization.state.clone());
        let code = self.grants.issue_code(authorization);
        callback(&redirect_uri, &[("code", &code)], state.as_deref())
    }

    /// Reads what an application asks for. The application is told of no error before its redirect URI is
    /// found to be its own.
    pub(super) fn read_authorization(&self, query: &[(String, String)]) -> Result<Authorization, Refusal> {
        let client_id = once(query, "client_id").map_err(Refusal::Page)?;
        if !self.is_client(client_id) {
            return Err(Refusal::Page("The application is not known: no client has this client_id.".into()));
        }
        let redirect_uri = once(query, "redirect_uri").map_err(Refusal::Page)?;
        if !is_loopback(redirect_uri) && !lock(&self.redirect_uris).contains(redirect_uri) {
            return Err(Refusal::Page("The redirect_uri is not registered for this application.".into()));
        }

        let settings = self.settings();
        let knows_state = !settings.documented_only && !settings.forgets_state;
        let state = at_most_once(query, "state").ok().flatten().filter(|_| knows_state);
        let refuse = |(code, description): (&str, String)| {
            let parameters = [("error", code), ("error_description", &description)];
            Refusal::Redirect(callback(redirect_uri, &parameters, state))
        };
        let known = if settings.documented_only { DOCUMENTED_PARAMETERS } else { &PARAMETERS };
        expect_only(query, known).map_err(|reason| refuse(("invalid_request", reason)))?;
        let (scopes, challenge) = read_rest(query).map_err(refuse)?;
        Ok(Authorization {
            client_id: client_id.to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            scopes,
            challenge,
            state: state.map(str::to_owned),
        })
    }
}

/// The callback URL after a refusal by the person.
pub(super) fn deny(authorization: &Authorization) -> String {
    let parameters = [("error", "access_denied"), ("error_description", "The user denied the request.")];
    callback(&authorization.redirect_uri, &parameters, authorization.state.as_deref())
}

type Asked = (Vec<String>, Option<String>);

/// The scopes and the challenge, or an error code (RFC 6749, section 4.1.2.1) and a description.
fn read_rest(query: &[(String, String)]) -> Result<Asked, (&'static str, String)> {
    let invalid = |reason| ("invalid_request", reason);
    let state = at_most_once(query, "state").map_err(invalid)?;
    if state.is_some_and(|state| !state.bytes().all(|byte| matches!(byte, b' '..=b'~'))) {
        return Err(invalid("state must be printable ASCII".to_owned()));
    }
    if once(query, "response_type").map_err(invalid)? != "code" {
        return Err(("unsupported_response_type", "response_type must be code".to_owned()));
    }

    let scope = once(query, "scope").map_err(invalid)?;
    let scopes: Vec<_> = scope.split([' ', ',']).filter(|scope| !scope.is_empty()).collect();
    if scopes.is_empty() {
        return Err(("invalid_scope", "no scope is named".to_owned()));
    }
    if scopes.iter().any(|scope| scopes::description(scope).is_none()) {
        return Err(("invalid_scope", "a scope is none of the published ones".to_owned()));
    }

    let challenge = at_most_once(query, "code_challenge").map_err(invalid)?;
    let method = at_most_once(query, "code_challenge_method").map_err(invalid)?;
    match (challenge, method) {
        (None, None) => {}
        (Some(challenge), Some("S256")) => {
            let is_hash = challenge.len() == 43
                && challenge.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
            if !is_hash {
                return Err(invalid("code_challenge must be 43 characters of base64url".to_owned()));
            }
        }
        (None, Some(_)) => return Err(invalid("code_challenge is missing".to_owned())),
        // RFC 7636, section 4.3: without a method, the challenge is a plain one.
        (Some(_), _) => return Err(invalid("code_challenge_method must be S256".to_owned())),
    }
    Ok((scopes.into_iter().map(str::to_owned).collect(), challenge.map(str::to_owned)))
}

/// True for `http://127.0.0.1` and `http://[::1]` with any port and path (RFC 8252, section 7.3).
fn is_loopback(uri: &str) -> bool {
    let after_host = ["http://127.0.0.1", "http://[::1]"].iter().find_map(|host| uri.strip_prefix(host));
    let Some(after_host) = after_host else { return false };
    let (port, path) = after_host.split_once('/').unwrap_or((after_host, ""));
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&byte);
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)) && path.bytes().all(allowed)
}

fn callback(redirect_uri: &str, parameters: &[(&str, &str)], state: Option<&str>) -> String {
    let separator = if redirect_uri.contains('?') { '&' } else { '?' };
    let mut query = Serializer::new(String::new());
    query.extend_pairs(parameters);
    query.extend_pairs(state.map(|state| ("state", state)));
    format!("{redirect_uri}{separator}{}", query.finish())
}

/// A 303, after which a browser comes with GET and without the form (RFC 9700, section 4.12).
fn redirect(url: &str) -> Answer {
    Answer::empty(303).with_header("Location", url).uncached()
}

fn expect_method(request: &Request<'_>, method: &str) -> Result<(), Answer> {
    if request.method() == method {
        return Ok(());
    }
    let reason = format!("This address is for {method} only.");
    Err(page::error(405, &reason).with_header("Allow", method))
}

/// The login that a form of ours belongs to, and its fields.
fn read_form(request: &Request<'_>) -> Result<(String, Vec<(String, String)>), Answer> {
    expect_method(request, "POST")?;
    let form: Vec<_> = form_urlencoded::parse(request.body()).into_owned().collect();
    let login = once(&form, page::LOGIN_FIELD).map_err(|_| page::error(400, EXPIRED))?.to_owned();
    Ok((login, form))
}

/// The logins that are under way, each known by a random name in its pages.
pub(super) struct Logins {
    clock: Clock,
    open: Mutex<HashMap<String, Login>>,
}

struct Login {
    authorization: Authorization,
    started_at: SystemTime,
    logged_in: bool,
}

impl Logins {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, open: Mutex::default() }
    }

    fn start(&self, authorization: Authorization) -> String {
        let name = random::text(24);
        let login = Login { authorization, started_at: self.clock.now(), logged_in: false };
        self.open().insert(name.clone(), login);
        name
    }

    fn get(&self, name: &str) -> Option<Authorization> {
        self.open().get(name).map(|login| login.authorization.clone())
    }

    fn log_in(&self, name: &str) {
        if let Some(login) = self.open().get_mut(name) {
            login.logged_in = true;
        }
    }

    /// Ends a login; `None` for one that nobody logged in to.
    fn finish(&self, name: &str) -> Option<Authorization> {
        let mut open = self.open();
        open.get(name).filter(|login| login.logged_in)?;
        open.remove(name).map(|login| login.authorization)
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<String, Login>> {
        let now = self.clock.now();
        let mut open = lock(&self.open);
        open.retain(|_, login| {
            now.duration_since(login.started_at).is_ok_and(|taken| taken < LOGIN_LIFETIME)
        });
        open
    }
}
