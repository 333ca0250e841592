//! A plain HTTP client and a maker of assertions, right ones and wrong ones. None of it is `keyfob`'s.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod acme;
pub mod oauth;
pub mod spacebring;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use keyfob_sandbox::{ITEMS, Sandbox};
use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::Request;

pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
pub const FORM: &str = "application/x-www-form-urlencoded";
pub const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub text: String,
}

impl Reply {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name);
        let first = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "more than one {name}");
        first
    }
}

pub fn agent() -> Agent {
    // A time-out of the whole call would cost a thread each, so the connection and the answer have theirs.
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_recv_response(Some(Duration::from_secs(20)))
        .timeout_recv_body(Some(Duration::from_secs(20)))
        .build();
    config.into()
}

pub fn call(agent: &Agent, method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    try_call(agent, method, url, headers, body).unwrap_or_else(|error| panic!("{method} {url}: {error}"))
}

pub fn try_call(
    agent: &Agent,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Reply, ureq::Error> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = if body.is_empty() {
        agent.run(request.body(()).unwrap())
    } else {
        let config = agent.configure_request(request.body(body.to_owned()).unwrap());
        agent.run(config.allow_non_standard_methods(true).build())
    }?;
    let headers = response.headers().iter();
    Ok(Reply {
        status: response.status().as_u16(),
        headers: headers.map(|(n, v)| (n.as_str().to_owned(), v.to_str().unwrap().to_owned())).collect(),
        text: response.body_mut().read_to_string()?,
    })
}

pub fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
}

pub fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// Signs any header and payload, even wrong ones.
pub fn signed(header: &str, payload: &str, secret: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let key = EncodingKey::from_secret(secret.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

/// The claims that the demo client should send now.
pub fn claims(sandbox: &Sandbox) -> Value {
    let mut random = [0; 16];
    getrandom::fill(&mut random).unwrap();
    let now = sandbox.clock().unix();
    json!({
        "iss": sandbox.client_id(),
        "sub": sandbox.client_id(),
        "aud": sandbox.token_url(),
        "iat": now,
        "exp": now + 300,
        "jti": URL_SAFE_NO_PAD.encode(random),
    })
}

pub fn assertion(sandbox: &Sandbox) -> String {
    signed(HEADER, &claims(sandbox).to_string(), sandbox.client_secret())
}

pub fn token_form(assertion: &str) -> String {
    form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair("client_assertion_type", ASSERTION_TYPE)
        .append_pair("client_assertion", assertion)
        .finish()
}

/// Step 3 with this assertion.
pub fn exchange(sandbox: &Sandbox, agent: &Agent, assertion: &str) -> Reply {
    call(agent, "POST", &sandbox.token_url(), &[("content-type", FORM)], &token_form(assertion))
}

#[track_caller]
pub fn access_token(sandbox: &Sandbox, agent: &Agent) -> String {
    let reply = exchange(sandbox, agent, &assertion(sandbox));
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()["access_token"].as_str().unwrap().to_owned()
}

#[track_caller]
pub fn temporary_token(sandbox: &Sandbox, agent: &Agent) -> String {
    let authorization = basic(sandbox.username(), sandbox.password());
    let reply = call(agent, "GET", &sandbox.basic_token_url(), &[("authorization", &authorization)], "");
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()["access_token"].as_str().unwrap().to_owned()
}

pub fn info_url(sandbox: &Sandbox) -> String {
    format!("{}/api/info?item_id={}", sandbox.api_url(), ITEMS[0])
}

pub fn info(sandbox: &Sandbox, agent: &Agent, token: &str) -> Reply {
    call(agent, "GET", &info_url(sandbox), &[("authorization", &bearer(token))], "")
}
