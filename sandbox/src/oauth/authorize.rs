//! The authorization request of an application (RFC 6749, section 4.1.1), and the callback that answers it.

use form_urlencoded::Serializer;

use super::parameters::{at_most_once, expect_only, once};
use super::{OAuthError, invalid_request};

/// The parameters of RFC 6749, section 4.1.1, and RFC 7636, section 4.3.
pub(crate) const PARAMETERS: [&str; 7] = [
    "client_id",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
];

/// The access that a client asks a person for.
#[derive(Clone)]
pub(crate) struct Authorization {
    pub(crate) client_id: String,
    pub(crate) scopes: Vec<String>,
}

/// The destination of the answer to an authorization request, and the values that bind the answer to the request.
#[derive(Clone)]
pub(crate) struct Callback {
    pub(crate) redirect_uri: String,
    pub(crate) challenge: Option<String>,
    state: Option<String>,
    issuer: Option<String>,
}

impl Callback {
    /// The callback URL after a consent.
    pub(crate) fn allowed(&self, code: &str) -> String {
        self.url(&[("code", code)])
    }

    /// The callback URL after a refusal by the person.
    pub(crate) fn denied(&self) -> String {
        self.url(&[("error", "access_denied"), ("error_description", "The user denied the request.")])
    }

    fn url(&self, parameters: &[(&str, &str)]) -> String {
        let separator = if self.redirect_uri.contains('?') { '&' } else { '?' };
        let mut query = Serializer::new(String::new());
        query.extend_pairs(parameters);
        query.extend_pairs(self.state.as_deref().map(|state| ("state", state)));
        query.extend_pairs(self.issuer.as_deref().map(|issuer| ("iss", issuer)));
        format!("{}{separator}{}", self.redirect_uri, query.finish())
    }
}

/// A refusal of an application's request.
pub(crate) enum Refusal {
    /// Shown to the person, because no redirect URI is trusted (RFC 6749, section 4.1.2.1).
    Page(String),
    /// Sent to the application, in this URL.
    Redirect(String),
}

/// Reads the scopes of a request.
type ReadScopes<'a> = dyn Fn(&[(String, String)]) -> Result<Vec<String>, OAuthError> + 'a;

/// The rules of one service for authorization requests.
pub(crate) struct Rules<'a> {
    /// Whether `client_id` is registered.
    pub(crate) is_client: &'a dyn Fn(&str) -> bool,
    /// Whether the redirect URI is registered.
    pub(crate) is_redirect_uri: &'a dyn Fn(&str) -> bool,
    /// The parameters that may be sent.
    pub(crate) known: &'a [&'a str],
    /// Reads the scope, and the parameters that only this service has.
    pub(crate) read_scopes: &'a ReadScopes<'a>,
    pub(crate) repeats_state: bool,
    pub(crate) requires_pkce: bool,
    /// Sent in the callback (RFC 9207).
    pub(crate) issuer: Option<String>,
}

impl Rules<'_> {
    /// Reads the request of an application. Sends no error to the application before its redirect URI is checked.
    pub(crate) fn read(&self, query: &[(String, String)]) -> Result<(Authorization, Callback), Refusal> {
        let client_id = once(query, "client_id").map_err(Refusal::Page)?;
        if !(self.is_client)(client_id) {
            return Err(Refusal::Page("The application is not known: no client has this client_id.".into()));
        }
        let redirect_uri = once(query, "redirect_uri").map_err(Refusal::Page)?;
        if !(self.is_redirect_uri)(redirect_uri) {
            return Err(Refusal::Page("The redirect_uri is not registered for this application.".into()));
        }

        let state = at_most_once(query, "state").ok().flatten().filter(|_| self.repeats_state);
        let mut callback = Callback {
            redirect_uri: redirect_uri.to_owned(),
            challenge: None,
            state: state.map(str::to_owned),
            issuer: self.issuer.clone(),
        };
        let rest =
            expect_only(query, self.known).map_err(invalid_request).and_then(|()| self.read_rest(query));
        match rest {
            Ok((scopes, challenge)) => {
                callback.challenge = challenge;
                Ok((Authorization { client_id: client_id.to_owned(), scopes }, callback))
            }
            Err((code, description)) => {
                let parameters = [("error", code), ("error_description", &description)];
                Err(Refusal::Redirect(callback.url(&parameters)))
            }
        }
    }

    /// The scopes and the challenge, or an error (RFC 6749, section 4.1.2.1).
    fn read_rest(&self, query: &[(String, String)]) -> Result<(Vec<String>, Option<String>), OAuthError> {
        let state = at_most_once(query, "state").map_err(invalid_request)?;
        if state.is_some_and(|state| !state.bytes().all(|byte| matches!(byte, b' '..=b'~'))) {
            return Err(invalid_request("state must be printable ASCII"));
        }
        if once(query, "response_type").map_err(invalid_request)? != "code" {
            return Err(("unsupported_response_type", "response_type must be code".to_owned()));
        }
        let scopes = (self.read_scopes)(query)?;

        let challenge = at_most_once(query, "code_challenge").map_err(invalid_request)?;
        let method = at_most_once(query, "code_challenge_method").map_err(invalid_request)?;
        match (challenge, method) {
            (None, None) if !self.requires_pkce => {}
            (Some(challenge), Some("S256")) => {
                let is_hash = challenge.len() == 43
                    && challenge.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
                if !is_hash {
                    return Err(invalid_request("code_challenge must be 43 characters of base64url"));
                }
            }
            (None, _) => return Err(invalid_request("code_challenge is missing")),
            // RFC 7636, section 4.3: without a method, the challenge is a plain one.
            (Some(_), _) => return Err(invalid_request("code_challenge_method must be S256")),
        }
        Ok((scopes, challenge.map(str::to_owned)))
    }
}

/// Plays the person in the browser: reads the request in this URL, and returns the callback URL of the decision.
///
/// # Panics
///
/// If the URL is not one of this service, or a browser would show an error page.
pub(crate) fn decided(
    authorize_url: &str,
    url: &str,
    read: impl FnOnce(&[(String, String)]) -> Result<(Authorization, Callback), Refusal>,
    decide: impl FnOnce(Authorization, Callback) -> String,
) -> String {
    let query = url.strip_prefix(authorize_url).and_then(|rest| rest.strip_prefix('?'));
    let query = query.expect("the URL is this sandbox's authorize URL with a query");
    let query: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    match read(&query) {
        Ok((authorization, callback)) => decide(authorization, callback),
        Err(Refusal::Redirect(callback)) => callback,
        Err(Refusal::Page(reason)) => panic!("the browser shows an error page: {reason}"),
    }
}

/// Returns the path of an `http` URI on one of these hosts, at any port (RFC 8252, section 7.3), without its slash.
pub(crate) fn loopback_path<'u>(uri: &'u str, hosts: &[&str]) -> Option<&'u str> {
    let after_scheme = uri.strip_prefix("http://")?;
    let after_host = hosts.iter().find_map(|host| after_scheme.strip_prefix(host))?;
    let (port, path) = after_host.split_once('/').unwrap_or((after_host, ""));
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&byte);
    let is_valid =
        (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)) && path.bytes().all(allowed);
    is_valid.then_some(path)
}
