//! Private parts for this repository's own benchmarks and fuzz targets. Not covered by semantic versioning.
#![allow(clippy::missing_errors_doc, reason = "each is that of the part that it opens")]

use std::time::{Duration, SystemTime};

use ureq::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use crate::client_auth::ClientAuth;
use crate::clock::Clock;
use crate::clock::ServerDate;
use crate::encode::basic::{self, Basic};
use crate::encode::{form, words};
use crate::error::{Advice, Error, ErrorKind};
use crate::flow::{DeviceAnswer, Introspection};
use crate::login::callback::{Expected, Rejection, judge};
use crate::login::request::Head;
use crate::metadata::Metadata;
use crate::secret::Known;
use crate::secret::Secret;
use crate::store::record::Record;
use crate::sys::credentials::AppCredentials;
use crate::text;
use crate::token::Token;
use crate::transport::adapter::message::{Normaliser, Rest, Rules};
use crate::transport::call::{Answer, Call, Payload};
use crate::transport::endpoint::{Endpoint, Origin};
use crate::transport::retry::{self, Repeat};

pub use crate::jwt::AssertionKey;

/// The result of a callback.
#[derive(Debug)]
pub enum Callback {
    /// The code of this login.
    Code(Secret),
    /// The callback does not belong to this login. Holds the name of the reason.
    Unrelated(&'static str),
    /// The callback ends the login.
    Failed {
        /// The kind of the error.
        kind: ErrorKind,
        /// The problem, and what to do next.
        text: String,
        /// The server's code.
        oauth_error: Option<String>,
    },
}

/// Judges the query of a callback.
pub fn callback(query: &[u8], state: Option<&Secret>, issuer: Option<&str>) -> Callback {
    match judge(query, &Expected { state, issuer }) {
        Ok(code) => Callback::Code(code),
        Err(Rejection::Unrelated(unrelated)) => Callback::Unrelated(unrelated.name()),
        Err(Rejection::Failed(failed)) => Callback::Failed {
            kind: failed.kind,
            text: format!("{}; {}", failed.what, failed.advice),
            oauth_error: failed.oauth_error,
        },
    }
}

/// Returns the target of a request to a listener at `authority` (host and port), or the status of its answer.
///
/// The request arrives in parts of `part` bytes. `None` if it has not ended.
pub fn request_target(head: &[u8], part: usize, authority: &str) -> Option<Result<Secret, &'static str>> {
    let mut reader = Head::default();
    let request = head.chunks(part.max(1)).find_map(|part| reader.take(part))?;
    Some(request.and_then(|request| request.target(authority).map(|target| Secret::from(target.to_vec()))))
}

/// Returns the token in an answer to a request that `client` signed and that carried `secret`.
pub fn token_answer(
    status: u16,
    body: Secret,
    client: &ClientAuth,
    secret: &Secret,
    clock: &Clock,
) -> Result<Token, Error> {
    let secret = Known::new(secret.clone());
    let call = Call {
        doing: "get a token from",
        endpoint: &Endpoint::new("token URL", "http://127.0.0.1/token")?,
        method: Method::POST,
        repeat: Repeat::Unsent,
        comes_once: false,
        advice: Advice::LogIn,
    };
    client.check()?;
    let payload = client.request(&[("code", secret.expose())], clock.now(), "http://127.0.0.1/token")?;
    Answer::made(status, body, payload).token(&call, clock, clock.offset())
}

/// The codes of a device login, and how long they and a pause last.
#[derive(Debug)]
pub struct DeviceCodes {
    /// The code that is sent.
    pub device_code: Secret,
    /// The code that is shown.
    pub user_code: String,
    /// The two URLs.
    pub urls: (String, Option<String>),
    /// The lifetime, and the pause between two requests.
    pub times: (Duration, Duration),
}

/// Reads the answer of a device authorization endpoint, or returns the problem with it.
pub fn device_answer(body: &Secret) -> Result<DeviceCodes, &'static str> {
    let answer = DeviceAnswer::parse(body)?;
    Ok(DeviceCodes {
        device_code: Secret::clone(&answer.device_code),
        user_code: answer.user_code,
        urls: (answer.verification_uri, answer.complete),
        times: (answer.expires_in, answer.interval),
    })
}

/// Reads the answer of an introspection endpoint, or returns the problem with it.
pub fn introspection_answer(body: &Secret) -> Result<Introspection, &'static str> {
    Introspection::parse(body)
}

/// Reads the metadata of this issuer in an answer. Returns what the answer is, if it holds no metadata and another URL may.
pub fn metadata(issuer: &str, status: u16, body: Secret) -> Result<Result<Metadata, String>, Error> {
    let call = Call {
        doing: "find the endpoints of",
        endpoint: &Endpoint::new("issuer", "http://127.0.0.1/")?,
        method: Method::GET,
        repeat: Repeat::Always,
        comes_once: false,
        advice: Advice::CheckIssuer,
    };
    Metadata::read(issuer, &call, &Answer::made(status, body, Payload::default()))
}

/// Feeds one answer in pieces of these lengths. Returns the bytes that ureq receives, and how many bytes belong to the answer. Unless the
/// answer is broken, also returns whether its body may be whole if the connection ends after it.
pub fn answer(
    input: &[u8],
    mut piece: impl FnMut() -> usize,
    keeps_needed: bool,
) -> (Secret, usize, Option<bool>) {
    let mut normaliser = Normaliser::new(Rules { max_head: 16 * 1024 - 1, keeps_needed });
    normaliser.expect_answer(false);
    let mut out = Secret::default();
    let (mut taken, mut come) = (0, 0);
    while come < input.len() {
        come = input.len().min(come + piece().max(1));
        match normaliser.feed(&input[taken..come], &mut out) {
            Ok(more) => taken += more,
            Err(_) => return (out, taken, None),
        }
    }
    let rest = normaliser.end(&mut out);
    (out, taken, Some(matches!(rest, Rest::Nothing | Rest::MayBeWhole)))
}

/// Parses app credentials from the content of a file.
pub fn decode_credentials(json: &[u8]) -> Option<AppCredentials> {
    AppCredentials::from_json(json).ok()
}

/// A form body.
pub fn encode_form(pairs: &[(&str, &[u8])]) -> Secret {
    form::encode(pairs)
}

/// One value of a form.
pub fn encode_form_value(value: &[u8]) -> Secret {
    form::encode_value(value)
}

/// Decodes one value of a form.
pub fn decode_form_value(value: &[u8]) -> Secret {
    form::decode_value(value)
}

/// The `Authorization` value.
pub fn basic_header(basic: &Basic) -> &Secret {
    basic.header()
}

/// The `Authorization` value of a client at a token endpoint.
pub fn client_secret_basic(client_id: &str, client_secret: &Secret) -> Secret {
    basic::client_secret_basic(client_id, client_secret)
}

/// The `Authorization` value and the form of a request.
pub fn signed_request(
    client: &ClientAuth,
    parameters: &[(&str, &[u8])],
) -> Result<(Option<Secret>, Option<Secret>), Error> {
    client.check()?;
    let payload = client.request(parameters, SystemTime::UNIX_EPOCH, "http://127.0.0.1/token")?;
    Ok((payload.authorization, payload.form))
}

/// Returns the wait that `Retry-After` with this value asks for.
pub fn retry_after(value: HeaderValue, clock: &Clock) -> Option<Duration> {
    retry::retry_after(&headers("retry-after", value), clock)
}

/// Returns the time that `Date` with this value states.
pub fn date(value: HeaderValue) -> Option<SystemTime> {
    retry::http_date(&headers("date", value), "date")
}

fn headers(name: &'static str, value: HeaderValue) -> HeaderMap {
    [(HeaderName::from_static(name), value)].into_iter().collect()
}

/// How long to wait before the next try.
pub fn pause(asked: Option<Duration>, tries: u32) -> Duration {
    retry::pause(asked, tries)
}

/// Plays a server that refuses assertions until the clock has no further time to sign with, and accepts the last one. Its answers have this
/// `Date`. Returns the number of assertions.
pub fn correct(clock: &Clock, date: SystemTime) -> usize {
    let date = Some(ServerDate { time: date, within: Duration::ZERO });
    let mut offsets = clock.offsets();
    let mut tries = 1;
    while offsets.advance(clock, date) {
        tries += 1;
    }
    clock.accept(offsets.now(), date);
    tries
}

/// Makes the clock take over the offset of a record.
pub fn recall(clock: &Clock, record: &Record) {
    clock.recall(record.clock_offset(), record.token().obtained_at());
}

/// Returns one printable line of a server's text.
pub fn printable(text: &str) -> String {
    text::printable(text)
}

/// Whether a text repeats the secret.
pub fn repeats(text: &str, secret: &[u8]) -> bool {
    words::repeats(text, std::iter::once(secret))
}

/// The origin of a URL, as it is shown.
pub fn origin(url: &str) -> Result<String, Error> {
    Endpoint::unasked("URL", url).map(|endpoint| endpoint.origin().to_string())
}

/// Whether an agent made for the origin of `url` would sign a request to `uri`.
pub fn signs(url: &str, uri: &Uri) -> Result<bool, Error> {
    Endpoint::unasked("URL", url).map(|endpoint| Origin::contains(endpoint.origin(), uri))
}
