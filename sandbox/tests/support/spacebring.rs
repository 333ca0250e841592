//! A partner application and a customer, made of plain requests.

#![allow(dead_code, reason = "each test file uses its part")]

use keyfob_sandbox::SpacebringSandbox;
use serde_json::Value;
use ureq::Agent;

use super::{FORM, Reply, agent, basic, bearer, call};

pub const REDIRECT_URI: &str = "http://127.0.0.1:8765/callback";
pub const STATE: &str = "a state & more";

/// RFC 7636, appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub const NORTH_QUAY: &str = "5bace000-0002-4000-8000-000000000001";
pub const HILLTOP: &str = "5bace000-0002-4000-8000-000000000004";

/// Parameters, each with what is put in its place: `None` to leave it out.
pub type Changes<'a> = &'a [(&'a str, Option<&'a str>)];

/// A form of `parameters` with changes; a changed name that is not in it is added.
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

/// A sandbox, and a client of it that sends what is asked of it.
pub struct Setting {
    pub sandbox: SpacebringSandbox,
    pub agent: Agent,
}

impl Setting {
    pub fn new() -> Self {
        Self { sandbox: SpacebringSandbox::start(), agent: agent() }
    }

    /// Where a login with `state` and PKCE begins.
    pub fn authorize_url(&self, changes: Changes<'_>) -> String {
        let parameters = [
            ("client_id", self.sandbox.client_id()),
            ("redirect_uri", REDIRECT_URI),
            ("response_type", "code"),
            ("scope", "resources locations"),
            ("state", STATE),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        format!("{}?{}", self.sandbox.authorize_url(), form(&parameters, changes))
    }

    /// A fresh code.
    pub fn code(&self, changes: Changes<'_>) -> String {
        let callback = self.sandbox.approve(&self.authorize_url(changes));
        let code = query(&callback).into_iter().find(|(name, _)| name == "code");
        code.unwrap_or_else(|| panic!("no code in {callback}")).1
    }

    pub fn post(&self, form: &str) -> Reply {
        call(&self.agent, "POST", &self.sandbox.token_url(), &[("content-type", FORM)], form)
    }

    pub fn exchange(&self, code: &str, changes: Changes<'_>) -> Reply {
        let parameters = [
            ("client_id", self.sandbox.client_id()),
            ("client_secret", self.sandbox.client_secret()),
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT_URI),
            ("code_verifier", VERIFIER),
        ];
        self.post(&form(&parameters, changes))
    }

    pub fn refresh(&self, refresh_token: &str, changes: Changes<'_>) -> Reply {
        let parameters = [
            ("client_id", self.sandbox.client_id()),
            ("client_secret", self.sandbox.client_secret()),
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
        ];
        self.post(&form(&parameters, changes))
    }

    pub fn revoke(&self, token: &str) -> Reply {
        let url = format!("{}?{}", self.sandbox.revoke_url(), form(&[("token", token)], &[]));
        call(&self.agent, "POST", &url, &[], "")
    }

    /// A whole login: access token and refresh token.
    #[track_caller]
    pub fn log_in(&self, scope: &str) -> (String, String) {
        let reply = self.exchange(&self.code(&[("scope", Some(scope))]), &[]);
        assert_eq!(reply.status, 200, "{}", reply.text);
        (text(&reply.json(), "access_token"), text(&reply.json(), "refresh_token"))
    }

    /// An API call with these headers besides.
    pub fn api(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        call(&self.agent, method, &format!("{}{target}", self.sandbox.api_url()), headers, body)
    }

    /// A GET as a partner.
    pub fn get(&self, target: &str, access_token: &str) -> Reply {
        let authorization = bearer(access_token);
        let network = self.sandbox.network_id();
        self.api("GET", target, &[("authorization", &authorization), ("spacebring-network-id", network)], "")
    }

    /// The header of a customer.
    pub fn basic(&self) -> String {
        basic(self.sandbox.client_id(), self.sandbox.client_secret())
    }
}

#[track_caller]
pub fn text(json: &Value, field: &str) -> String {
    json[field].as_str().unwrap_or_else(|| panic!("no {field} in {json}")).to_owned()
}
