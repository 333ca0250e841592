//! Clients of Acme, made of plain requests.

#![allow(dead_code, reason = "each test file uses its part")]

use keyfob_sandbox::AcmeSandbox;
use serde_json::Value;
use ureq::Agent;

pub use super::oauth::*;
use super::{FORM, Reply, agent, basic, bearer, call};

pub const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// A sandbox, and a client that sends any request to it.
pub struct Setting {
    pub sandbox: AcmeSandbox,
    pub agent: Agent,
}

impl Setting {
    pub fn new() -> Self {
        Self { sandbox: AcmeSandbox::start(), agent: agent() }
    }

    /// A POST of a form. The first client authenticates with its secret in the form.
    pub fn post(&self, url: &str, parameters: &[(&str, &str)], changes: Changes<'_>) -> Reply {
        let secret =
            [("client_id", self.sandbox.client_id()), ("client_secret", self.sandbox.client_secret())];
        self.post_body(url, &[], &form(&[&secret, parameters].concat(), changes))
    }

    pub fn post_body(&self, url: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        call(&self.agent, "POST", url, &[&[("content-type", FORM)], headers].concat(), body)
    }

    pub fn token(&self, parameters: &[(&str, &str)], changes: Changes<'_>) -> Reply {
        self.post(&self.sandbox.token_url(), parameters, changes)
    }

    pub fn client_credentials(&self, changes: Changes<'_>) -> Reply {
        self.token(&[("grant_type", "client_credentials")], changes)
    }

    pub fn authorize_url(&self, changes: Changes<'_>) -> String {
        login_url(
            &self.sandbox.authorize_url(),
            self.sandbox.client_id(),
            "things.read things.write",
            changes,
        )
    }

    /// A fresh code.
    pub fn code(&self, changes: Changes<'_>) -> String {
        code_in(&self.sandbox.approve(&self.authorize_url(changes)))
    }

    pub fn exchange(&self, code: &str, changes: Changes<'_>) -> Reply {
        let parameters = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT_URI),
            ("code_verifier", VERIFIER),
        ];
        self.token(&parameters, changes)
    }

    pub fn refresh(&self, refresh_token: &str, changes: Changes<'_>) -> Reply {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", refresh_token)], changes)
    }

    /// A whole login: access token and refresh token.
    #[track_caller]
    pub fn log_in(&self) -> (String, String) {
        tokens(&self.exchange(&self.code(&[]), &[]))
    }

    /// Starts the login of a device.
    pub fn device(&self, changes: Changes<'_>) -> Reply {
        self.post(&self.sandbox.device_authorization_url(), &[], changes)
    }

    pub fn poll(&self, device_code: &str, changes: Changes<'_>) -> Reply {
        self.token(&[("grant_type", DEVICE_GRANT), ("device_code", device_code)], changes)
    }

    pub fn introspect(&self, token: &str, changes: Changes<'_>) -> Reply {
        self.post(&self.sandbox.introspection_url(), &[("token", token)], changes)
    }

    pub fn is_active(&self, token: &str) -> bool {
        self.introspect(token, &[]).json()["active"] == true
    }

    pub fn revoke(&self, token: &str, changes: Changes<'_>) -> Reply {
        self.post(&self.sandbox.revocation_url(), &[("token", token)], changes)
    }

    pub fn things(&self, access_token: &str) -> Reply {
        let url = format!("{}/things", self.sandbox.api_url());
        call(&self.agent, "GET", &url, &[("authorization", &bearer(access_token))], "")
    }

    pub fn opens(&self, access_token: &str) -> bool {
        self.things(access_token).status == 200
    }

    /// The header of the first client, encoded as RFC 6749, section 2.3.1, has it.
    pub fn basic(&self) -> String {
        encoded_basic(self.sandbox.client_id(), self.sandbox.client_secret())
    }
}

pub fn encoded_basic(id: &str, secret: &str) -> String {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    basic(&encoded(id), &encoded(secret))
}

/// The access token and the refresh token of an answer.
#[track_caller]
pub fn tokens(reply: &Reply) -> (String, String) {
    assert_eq!(reply.status, 200, "{}", reply.text);
    (text(&reply.json(), "access_token"), text(&reply.json(), "refresh_token"))
}

#[track_caller]
pub fn refused(reply: &Reply, error: &str, description: &str) {
    assert_eq!(reply.status, 400, "{}", reply.text);
    let expected: Value = serde_json::json!({ "error": error, "error_description": description });
    assert_eq!(reply.json(), expected);
}
