//! A partner application and a customer, made of plain requests.

#![allow(dead_code, reason = "each test file uses its part")]

use keyfob_sandbox::SpacebringSandbox;
use ureq::Agent;

pub use super::oauth::*;
use super::{FORM, Reply, agent, basic, bearer, call};

pub const NORTH_QUAY: &str = "5bace000-0002-4000-8000-000000000001";
pub const HILLTOP: &str = "5bace000-0002-4000-8000-000000000004";

/// A sandbox, and a client that sends any request to it.
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
        login_url(&self.sandbox.authorize_url(), self.sandbox.client_id(), "resources locations", changes)
    }

    /// A fresh code.
    pub fn code(&self, changes: Changes<'_>) -> String {
        code_in(&self.sandbox.approve(&self.authorize_url(changes)))
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
