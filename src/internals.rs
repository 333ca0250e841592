//! Private parts for this repository's own benchmarks and fuzz targets. Not covered by semantic versioning.
#![allow(clippy::missing_errors_doc, reason = "each is that of the part that it opens")]

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use ureq::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use crate::callback::{Expected, Rejection, judge};
use crate::endpoint::{Endpoint, Origin};
use crate::http::{Answer, Call, Repeat};
use crate::redirect::Request;
use crate::{
    Basic, ClientAuth, ClientCredentials, ClientSecretBasic, Clock, Error, ErrorKind, Record, RecordName,
    Secret, Token, form, http, store, words,
};

pub use crate::jwt::AssertionKey;

/// What became of a callback.
#[derive(Debug)]
pub enum Callback {
    /// The code of this login.
    Code(Secret),
    /// It does not belong to this login: the name of the reason.
    Stray(&'static str),
    /// It ends the login.
    Failed {
        /// Of the error.
        kind: ErrorKind,
        /// What was wrong, and what to do next.
        text: String,
        /// The server's code.
        oauth_error: Option<String>,
    },
}

/// Judges the query of a callback.
pub fn callback(query: &[u8], state: Option<&Secret>, issuer: Option<&str>) -> Callback {
    match judge(query, &Expected { state, issuer }) {
        Ok(code) => Callback::Code(code),
        Err(Rejection::Stray(stray)) => Callback::Stray(stray.name()),
        Err(Rejection::Failed(failed)) => Callback::Failed {
            kind: failed.kind,
            text: format!("{}; {}", failed.what, failed.next),
            oauth_error: failed.oauth_error,
        },
    }
}

/// The target of a request to a listener at `address`, or the status that it is answered with.
pub fn request_target(head: &[u8], address: SocketAddr) -> Result<Secret, &'static str> {
    let request = Request::parse(head)?;
    request.target(address).map(|target| Secret::from(target.to_vec()))
}

/// The token in an answer to a request that `client` signed and that carried `secret`.
pub fn token_answer(
    status: u16,
    body: Secret,
    client: &ClientAuth,
    secret: &Secret,
    clock: &Clock,
) -> Result<Token, Error> {
    let secrets: Vec<_> = client.client_secret().into_iter().chain([secret]).collect();
    let call = Call {
        doing: "get a token",
        endpoint: &Endpoint::new("token URL", "http://127.0.0.1/token")?,
        method: Method::POST,
        repeat: Repeat::Unsent,
        dated: false,
        advice: "log in again",
        secrets: &secrets,
    };
    Answer::made(status, body, client.payload(&[("code", secret.expose())])).token(&call, clock)
}

/// A record as it is written.
pub fn encode_record(name: &RecordName, record: &Record) -> Secret {
    store::encode(name, record)
}

/// A record from a file's content; `None` if it cannot be read.
pub fn decode_record(content: &Secret, name: &RecordName) -> Result<Option<Record>, Error> {
    store::decode(content, name, Path::new("/store/record.json")).map(store::Found::into_record)
}

/// App credentials from a file's content.
pub fn decode_credentials(json: &[u8]) -> Option<ClientCredentials> {
    ClientCredentials::from_json(json)
}

/// A form body.
pub fn encode_form(pairs: &[(&str, &[u8])]) -> Secret {
    form::encode(pairs)
}

/// One value of a form.
pub fn encode_form_value(value: &[u8]) -> Secret {
    form::encode_value(value)
}

/// The reverse.
pub fn decode_form_value(value: &[u8]) -> Secret {
    form::decode_value(value)
}

/// The `Authorization` value.
pub fn basic_header(basic: &Basic) -> &Secret {
    basic.header()
}

/// The `Authorization` value.
pub fn client_secret_basic_header(basic: &ClientSecretBasic) -> &Secret {
    basic.header()
}

/// The `Authorization` value and the form of a request.
pub fn signed_request(client: &ClientAuth, parameters: &[(&str, &[u8])]) -> (Option<Secret>, Option<Secret>) {
    let payload = client.payload(parameters);
    (payload.authorization, payload.form)
}

/// What `Retry-After` with this value asks for.
pub fn retry_after(value: HeaderValue, clock: &Clock) -> Option<Duration> {
    http::retry_after(&headers("retry-after", value), clock)
}

/// What `Date` with this value says.
pub fn date(value: HeaderValue) -> Option<SystemTime> {
    http::http_date(&headers("date", value), "date")
}

fn headers(name: &'static str, value: HeaderValue) -> HeaderMap {
    [(HeaderName::from_static(name), value)].into_iter().collect()
}

/// How long to wait before the next try.
pub fn pause(asked: Option<Duration>, tries: u32) -> Duration {
    http::pause(asked, tries)
}

/// Has the clock learn from a `Date`, and whether it then still disagrees with it.
pub fn learn(clock: &Clock, date: SystemTime) -> bool {
    clock.learn(date);
    clock.disagrees_with(date)
}

/// Has the clock take over what a record says.
pub fn recall(clock: &Clock, record: &Record) {
    clock.recall(record.clock_offset(), record.token().obtained_at());
}

/// One printable line of a server's words.
pub fn printable(text: &str) -> String {
    words::printable(text)
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
