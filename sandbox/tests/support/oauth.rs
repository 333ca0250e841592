//! Parameters of logins.

#![allow(dead_code, reason = "each test file uses its part")]

use serde_json::Value;

pub const REDIRECT_URI: &str = "http://127.0.0.1:8765/callback";
pub const STATE: &str = "a state & more";

/// RFC 7636, appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Changes of parameters: the new value of each, or `None` to leave it out.
pub type Changes<'a> = &'a [(&'a str, Option<&'a str>)];

/// A form of `parameters` with changes. A change with another name is appended.
pub fn form(parameters: &[(&str, &str)], changes: Changes<'_>) -> String {
    let replaced = |name: &str| changes.iter().find(|(n, _)| *n == name);
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        form.extend_pairs(
            replaced(name).map_or(Some(*value), |(_, value)| *value).map(|value| (*name, value)),
        );
    }
    for (name, value) in changes.iter().filter(|(name, _)| parameters.iter().all(|(n, _)| n != name)) {
        form.extend_pairs(value.map(|value| (*name, value)));
    }
    form.finish()
}

/// The parameters of a URL's query.
pub fn query(url: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(url.split_once('?').unwrap().1.as_bytes()).into_owned().collect()
}

#[track_caller]
pub fn text(json: &Value, field: &str) -> String {
    json[field].as_str().unwrap_or_else(|| panic!("no {field} in {json}")).to_owned()
}

/// The part of a page between two texts.
#[track_caller]
pub fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}"));
    rest.split_once(after).unwrap().0
}

/// Where a login with `state` and PKCE begins.
pub fn login_url(authorize_url: &str, client_id: &str, scope: &str, changes: Changes<'_>) -> String {
    let parameters = [
        ("client_id", client_id),
        ("redirect_uri", REDIRECT_URI),
        ("response_type", "code"),
        ("scope", scope),
        ("state", STATE),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    format!("{authorize_url}?{}", form(&parameters, changes))
}

/// The code in a callback URL.
#[track_caller]
pub fn code_in(callback: &str) -> String {
    let code = query(callback).into_iter().find(|(name, _)| name == "code");
    code.unwrap_or_else(|| panic!("no code in {callback}")).1
}
