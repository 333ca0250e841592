//! Answers to the client.

use httpmock::HttpMockResponse;
use serde_json::{Map, Value, json};

use crate::Clock;

/// An answer without its `Date`, which is added when it leaves.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn raw(status: u16, content_type: &str, body: Vec<u8>) -> Self {
        Self { body, ..Self::empty(status) }.with_header("Content-Type", content_type)
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::raw(status, "application/json", bytes(body))
    }

    /// A refusal in `FastAPI`'s manner: `{"detail": "TEXT"}`.
    pub(crate) fn detail(status: u16, text: &str) -> Self {
        Self::json(status, &json!({ "detail": text }))
    }

    /// A request of the wrong shape, as `FastAPI` refuses it: 422 and a list that says where.
    pub(crate) fn unprocessable(kind: &str, place: &[&str], message: &str) -> Self {
        Self::json(422, &json!({ "detail": [{ "type": kind, "loc": place, "msg": message }] }))
    }

    /// A refusal of the token endpoint (RFC 6749, section 5.2), its text held to the characters allowed there.
    pub(crate) fn oauth_error(code: &str, description: &str) -> Self {
        let allowed = |c| matches!(c, ' '..='!' | '#'..='[' | ']'..='~');
        let description: String = description.chars().map(|c| if allowed(c) { c } else { '?' }).collect();
        Self::json(400, &json!({ "error": code, "error_description": description })).uncached()
    }

    /// A refusal in Spacebring's manner: `{"type": "…", "message": "…"}`.
    pub(crate) fn typed_error(status: u16, kind: &str, message: &str) -> Self {
        Self::json(status, &json!({ "type": kind, "message": message }))
    }

    pub(crate) fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The two headers that every answer with a token carries (RFC 6749, section 5.1).
    pub(crate) fn uncached(self) -> Self {
        self.with_header("Cache-Control", "no-store").with_header("Pragma", "no-cache")
    }

    /// Lets `edit` change the fields, if this is a success with a JSON object.
    pub(crate) fn edited(mut self, edit: impl FnOnce(&mut Map<String, Value>)) -> Self {
        if (200..300).contains(&self.status)
            && let Ok(mut fields) = serde_json::from_slice(&self.body)
        {
            edit(&mut fields);
            self.body = bytes(&Value::Object(fields));
        }
        self
    }

    pub(crate) fn into_response(self, clock: &Clock) -> HttpMockResponse {
        // Without a `Date`, hyper would add one with the machine's time. A `Date` that a fault has set stays, even if it is wrong.
        let has_date = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("date"));
        let dated = if has_date { self } else { self.with_header("Date", clock.http_date()) };
        HttpMockResponse::builder().status(dated.status).headers(dated.headers).body(dated.body).build()
    }
}

fn bytes(json: &Value) -> Vec<u8> {
    serde_json::to_vec(json).expect("a JSON value can be written")
}
