//! Turns one line of the input into one line of JSON.

use std::io::Write as _;

use keyfob::ErrorKind;
use keyfob::ureq::Agent;
use keyfob::ureq::http::{Request, StatusCode, Uri};

use super::body::{Body, Shape};
use super::budget::{Budget, MAX_BODY, PIECE};
use super::input::{Line, MAX_LINE};
use crate::failure::{Failure, name};
use crate::target::Target;

pub enum Answer {
    /// A line to write.
    Line {
        number: u64,
        /// The line of JSON up to the body.
        begin: Vec<u8>,
        body: Option<(Body, Shape)>,
        /// The failure, if there was one.
        failed: Option<Failure>,
    },
    /// Every other line would fail as well.
    Fatal(Failure),
}

/// The part of the budget that one line has.
pub struct Share<'a> {
    budget: &'a Budget,
    turn: u64,
    bytes: u64,
}

/// The reason why there is no answer yet.
pub enum Unanswered {
    /// The budget has no space for this many bytes now. The request can be sent again when it has.
    OverBudget(u64),
    Failed(Failure),
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Answer {
    /// Returns the length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Line { begin, body, .. } => {
                begin.len() as u64 + body.as_ref().map_or(0, |(body, _)| body.len())
            }
            Self::Fatal(_) => 0,
        }
    }

    /// Sends the request until the budget has space for the body. Returns `None` if the answer is no longer wanted. `buffer` has the size of a
    /// piece, and callers reuse it.
    pub fn to(
        line: &Line,
        agent: &Agent,
        target: &Target,
        (budget, turn): (&Budget, u64),
        buffer: &mut [u8],
    ) -> Option<Self> {
        let mut bytes = budget.begin(turn)?;
        loop {
            let share = Share { budget, turn, bytes };
            match url(line, target).map_err(Unanswered::from).and_then(|url| ask(agent, url, share, buffer)) {
                Ok((status, mut body, failed)) => {
                    let number = line.number;
                    let line = [r#"{"line":"#, &number.to_string(), r#","status":"#, status.as_str()];
                    let mut begin = line.concat().into_bytes();
                    if let Some(failure) = &failed {
                        tell(&mut begin, failure);
                    }
                    let form = body.shape();
                    return Some(Self::Line { number, begin, body: Some((body, form)), failed });
                }
                Err(Unanswered::OverBudget(wanted)) => bytes = budget.begin_again(turn, wanted)?,
                Err(Unanswered::Failed(failure)) => return Some(Self::failed(line.number, failure)),
            }
        }
    }

    fn failed(number: u64, failure: Failure) -> Self {
        if matches!(failure.kind(), Some(ErrorKind::NoCredentials | ErrorKind::LoginRequired)) {
            return Self::Fatal(failure);
        }
        let mut begin = format!(r#"{{"line":{number}"#).into_bytes();
        tell(&mut begin, &failure);
        Self::Line { number, begin, body: None, failed: Some(failure) }
    }

    /// Writes the answer piece by piece, as one line.
    pub fn write(&self, put: &mut impl FnMut(&[u8])) {
        let Self::Line { begin, body, .. } = self else { return };
        put(begin);
        if let Some((body, shape)) = body {
            body.write(*shape, put);
        }
        put(b"}\n");
    }
}

impl Share<'_> {
    /// Changes the share to this size. Returns whether the budget has the space.
    fn resize(&mut self, bytes: u64) -> bool {
        let fits = self.budget.resize(self.turn, bytes);
        if fits {
            self.bytes = bytes;
        }
        fits
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

/// Returns the status, the body and the failure, if there was one.
fn ask(
    agent: &Agent,
    url: Uri,
    mut share: Share<'_>,
    buffer: &mut [u8],
) -> Result<(StatusCode, Body, Option<Failure>), Unanswered> {
    let mut request = Request::new(());
    *request.uri_mut() = url;
    let mut response = agent.run(request).map_err(|e| Failure::from(keyfob::Error::from(e)))?;
    let length = response.body().content_length();
    if let Some(length) = length {
        check(length)?;
        // Most bodies are shorter, and need no further space in the shared budget.
        if length.max(share.bytes) > PIECE as u64 && !share.resize(length) {
            return Err(Unanswered::OverBudget(length));
        }
    }
    let failed = keyfob::Error::from_response(&response).map(Failure::from);
    let mut body = Body::default();
    let mut reader = response.body_mut().as_reader();
    loop {
        match body.read_piece(&mut reader, buffer) {
            Ok(true) => {}
            Ok(false) => break,
            // The API's refusal is reported even without its body.
            Err(e) => match failed {
                Some(failure) => return Err(failure.into()),
                None => return Err(Failure::from(keyfob::Error::from(keyfob::ureq::Error::from(e))).into()),
            },
        }
        check(body.len())?;
        let with_next = (body.len() + PIECE as u64).min(length.unwrap_or(MAX_BODY));
        if with_next > share.bytes && !share.resize(with_next) {
            // Its final length is unknown.
            return Err(Unanswered::OverBudget(length.unwrap_or(MAX_BODY)));
        }
    }
    check(body.len())?;
    Ok((response.status(), body, failed))
}

fn check(length: u64) -> Result<(), Failure> {
    if length <= MAX_BODY {
        return Ok(());
    }
    let text = format!("the answer is longer than {} MiB: use `get` for it", MAX_BODY / (1024 * 1024));
    Err(Failure::new(ErrorKind::Protocol, text))
}

fn tell(json: &mut Vec<u8>, failure: &Failure) {
    let text = serde_json::Value::from(failure.to_string());
    let _ = write!(json, r#","kind":"{}","error":{text}"#, name(failure.kind()));
}
