//! One line of the input → one line of JSON.

use std::io::{self, Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyfob::ureq::Agent;
use keyfob::ureq::Body;
use keyfob::ureq::http::{Response, Uri};
use keyfob::{ErrorKind, classify, classify_answer};
use serde::de::IgnoredAny;

use super::input::{Line, MAX_LINE};
use crate::failure::{Failure, name};
use crate::target::Target;

/// The longest body that is taken, so that memory is bounded.
const MAX_BODY: usize = 16 * 1024 * 1024;

pub enum Answer {
    /// A line to write.
    Line {
        number: u64,
        json: Vec<u8>,
        /// What was wrong, if anything.
        failed: Option<Failure>,
    },
    /// Every other line would fail as well.
    Fatal(Failure),
}

impl Answer {
    /// In bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Line { json, .. } => json.len(),
            Self::Fatal(_) => 0,
        }
    }

    /// Asks the API. `body` is only there to be used again.
    pub fn to(line: &Line, agent: &Agent, target: &Target, body: &mut Vec<u8>) -> Self {
        let number = line.number;
        match url(line, target).and_then(|url| ask(agent, url, body)) {
            Ok(response) => {
                let failed = classify_answer(&response).map(Failure::from);
                let mut json = Vec::with_capacity(body.len() + 64);
                let written = write!(json, r#"{{"line":{number},"status":{}"#, response.status().as_u16());
                if let Some(failure) = &failed {
                    tell(&mut json, failure);
                }
                append(&mut json, body);
                debug_assert!(written.is_ok(), "memory takes everything");
                Self::Line { number, json, failed }
            }
            Err(failure)
                if matches!(failure.kind(), Some(ErrorKind::NoCredentials | ErrorKind::LoginRequired)) =>
            {
                Self::Fatal(failure)
            }
            Err(failure) => {
                let mut json = format!(r#"{{"line":{number}"#).into_bytes();
                tell(&mut json, &failure);
                json.extend_from_slice(b"}\n");
                Self::Line { number, json, failed: Some(failure) }
            }
        }
    }
}

fn url(line: &Line, target: &Target) -> Result<Uri, Failure> {
    let bytes = line
        .bytes
        .as_deref()
        .ok_or_else(|| Failure::invalid(format!("the line is longer than {MAX_LINE} bytes")))?;
    let text = std::str::from_utf8(bytes).map_err(|_| Failure::invalid("the line is not UTF-8"))?;
    target.url(text.trim())
}

fn ask(agent: &Agent, url: Uri, body: &mut Vec<u8>) -> Result<Response<Body>, Failure> {
    body.clear();
    let mut response = agent.get(url).call().map_err(classify)?;
    let mut reader = response.body_mut().as_reader().take(MAX_BODY as u64 + 1);
    reader.read_to_end(body).map_err(|e: io::Error| classify(e.into()))?;
    if body.len() > MAX_BODY {
        return Err(Failure::new(ErrorKind::Protocol, "the answer is longer than 16 MiB: use `get` for it"));
    }
    Ok(response)
}

fn tell(json: &mut Vec<u8>, failure: &Failure) {
    let text = serde_json::Value::from(failure.to_string());
    let _ = write!(json, r#","kind":"{}","error":{text}"#, name(failure.kind()));
}

/// JSON as it came, but on one line; other text as a string; what is neither in Base64.
fn append(json: &mut Vec<u8>, body: &[u8]) {
    let text = std::str::from_utf8(body);
    match text.map(|text| (text, serde_json::from_str::<IgnoredAny>(text).is_ok())) {
        Ok((text, true)) => {
            json.extend_from_slice(br#","body":"#);
            // Line breaks are between the tokens of JSON, and never in them.
            for part in text.trim().split(['\n', '\r']) {
                json.extend_from_slice(part.as_bytes());
            }
        }
        Ok((text, false)) => {
            let _ = write!(json, r#","body":{}"#, serde_json::Value::from(text));
        }
        Err(_) => {
            let _ = write!(json, r#","body_base64":"{}""#, STANDARD.encode(body));
        }
    }
    json.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use super::append;

    #[test]
    fn bodies_stay_what_they_are_on_one_line() {
        for (body, expected) in [
            (&b"{\"a\": 1.10}"[..], r#","body":{"a": 1.10}}"#),
            (b"\n{\r\n  \"a\": \"b\\n\",\n\"c\":[1,\n2]}\n", r#","body":{  "a": "b\n","c":[1,2]}}"#),
            (b"12345678901234567890123", r#","body":12345678901234567890123}"#),
            (b"", r#","body":""}"#),
            (b"two\nlines \"quoted\"", r#","body":"two\nlines \"quoted\""}"#),
            (b"{\"a\":1} trailing", r#","body":"{\"a\":1} trailing"}"#),
            (b"\xff\x00", r#","body_base64":"/wA="}"#),
            (b"\"\xff\"", r#","body_base64":"Iv8i"}"#),
        ] {
            let mut json = Vec::new();
            append(&mut json, body);
            assert_eq!(String::from_utf8(json).unwrap(), format!("{expected}\n"));
        }
    }
}
