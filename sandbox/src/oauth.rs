//! The parts of an authorization server that Spacebring and Acme share.

pub(crate) mod authorize;
pub(crate) mod clients;
pub(crate) mod grants;
pub(crate) mod logins;
pub(crate) mod page;
pub(crate) mod parameters;

use serde_json::json;

use crate::answer::Answer;
use crate::request::{FORM, Request, parse_form};
use grants::Tokens;

/// The demo account. The password can be typed on any keyboard, but arrives intact only from a form that is encoded correctly.
pub(crate) const USERNAME: &str = "demo@example.com";
pub(crate) const PASSWORD: &str = "open & shut + 100%";

/// A refusal's code (RFC 6749, sections 4.1.2.1 and 5.2, and their extensions) and its description.
pub(crate) type OAuthError = (&'static str, String);

pub(crate) fn invalid_request(description: impl Into<String>) -> OAuthError {
    ("invalid_request", description.into())
}

pub(crate) fn invalid_grant(description: impl Into<String>) -> OAuthError {
    ("invalid_grant", description.into())
}

/// Reads the form of a request from an application: a POST without a query, with exactly the content type of forms.
pub(crate) fn read_form(request: &Request<'_>) -> Result<Vec<(String, String)>, OAuthError> {
    if !request.query().is_empty() {
        return Err(invalid_request("no query is permitted here"));
    }
    if request.header("content-type").ok().flatten() != Some(FORM) {
        return Err(invalid_request(format!("the content type must be {FORM}")));
    }
    parse_form(request.body()).ok_or_else(|| invalid_request("the form is not encoded as it should be"))
}

pub(crate) fn token_answer(tokens: &Tokens) -> Answer {
    let mut fields = json!({
        "access_token": tokens.access_token,
        "expires_in": tokens.lifetime.as_secs(),
        "scope": tokens.scopes.join(" "),
        "token_type": "Bearer",
    });
    if let Some(refresh_token) = &tokens.refresh_token {
        fields["refresh_token"] = refresh_token.as_str().into();
    }
    Answer::json(200, &fields).uncached()
}
