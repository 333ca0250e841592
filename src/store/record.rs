//! [`Record`] and [`RecordName`]: the content of a store, and its names. The format of a record.

use std::fmt::{self, Write as _};
use std::io;
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use crate::check;
use crate::clock::{Clock, from_unix_seconds, unix_seconds};
use crate::encode::form;
use crate::encode::json::{object, unescape};
use crate::error::{Error, ErrorKind};
use crate::secret::Secret;
use crate::token::Token;
use crate::transport::endpoint::Endpoint;

/// The name of a record. A record holds the tokens of one client, at one server, for one profile and, without a login, one scope and
/// one set of parameters.
///
/// `Debug` shows the token URL without user info and query.
///
/// ```no_run
/// # fn main() -> Result<(), keyfob::Error> {
/// use keyfob::{CachingSource, ClientAuth, FileStore, RecordName, Transport, flow::Refresh};
/// use std::sync::Arc;
///
/// let token_url = "https://login.example.com/token";
/// let refresh = Refresh::new(token_url, ClientAuth::none("my-client"));
/// let name = RecordName::new("acme", token_url, "my-client")?.with_profile("work");
/// let source = CachingSource::new(Transport::new(), refresh).with_store(Arc::new(FileStore::from_env()?), name);
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RecordName {
    service: String,
    token_url: String,
    client_id: String,
    profile: String,
    /// Scope, parameters and grant type of a grant without a login, as a form. Empty for a login.
    request: String,
}

impl RecordName {
    /// Makes a name with the profile `default`. `service` is a short name, such as `spatiafi`.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if a part is empty, longer than 16 KiB or holds a control character, or if the
    /// service has other characters than `a`–`z`, `0`–`9` and `-`.
    pub fn new(service: &str, token_url: &str, client_id: &str) -> Result<Self, Error> {
        check::value("service", service.as_bytes())?;
        check::value("token URL", token_url.as_bytes())?;
        check::value("client id", client_id.as_bytes())?;
        if !service.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(Error::invalid("the service is not made of a–z, 0–9 and '-'"));
        }
        let [service, token_url, client_id] = [service, token_url, client_id].map(str::to_owned);
        Ok(Self { service, token_url, client_id, profile: "default".to_owned(), request: String::new() })
    }

    /// Sets the profile, which keeps several logins of one client apart. Default: `default`.
    ///
    /// This checks nothing. A [`FileStore`](crate::FileStore) and [`ServiceBuilder::build`](crate::ServiceBuilder::build) refuse a
    /// profile that is empty, longer than 16 KiB or holds a control character.
    pub fn with_profile(mut self, profile: impl Into<String>) -> Self {
        self.profile = profile.into();
        self
    }

    /// Sets what a grant without a login asks for: its scope, its parameters and its grant type. A secret parameter has no value here.
    /// Default: nothing.
    pub(crate) fn with_request(mut self, scope: Option<&str>, parameters: &[(&str, Option<&str>)]) -> Self {
        let form =
            |text: &str| form::encode_value(text.as_bytes()).expose_str().unwrap_or_default().to_owned();
        let scope = scope.map(|scope| ("scope", Some(scope)));
        let pairs = scope.iter().chain(parameters).map(|(name, value)| match value {
            Some(value) => format!("{}={}", form(name), form(value)),
            None => form(name),
        });
        self.request = pairs.collect::<Vec<_>>().join("&");
        self
    }

    /// Refuses a profile that is empty, longer than 16 KiB or holds a control character.
    pub(crate) fn check(&self) -> Result<(), Error> {
        check::value("profile", self.profile.as_bytes())
    }

    /// Returns a key for a store of your own: the name of the service, for people to read, and a hash over all parts.
    ///
    /// The key holds no secret, and is the same in each version and on each machine. It is at most 33 bytes longer than the name of the
    /// service.
    pub fn key(&self) -> String {
        let mut hash = Sha256::new();
        let parts = [&self.service, &self.token_url, &self.client_id, &self.profile];
        // The request was added later. A name without one keeps its key.
        for part in parts.into_iter().chain(Some(&self.request).filter(|request| !request.is_empty())) {
            // The length first, so that no two names run together into the same bytes.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        let mut key = format!("{}-", self.service);
        for byte in &hash.finalize()[..16] {
            let _ = write!(key, "{byte:02x}");
        }
        key
    }
}

impl fmt::Debug for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordName")
            .field("service", &self.service)
            .field("token_url", &Endpoint::new("", &self.token_url).ok())
            .field("client_id", &self.client_id)
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

/// The content of a record: the tokens, and the offset of the clock when they were issued.
#[derive(Clone, Debug)]
pub struct Record {
    token: Token,
    clock_offset: i64,
}

impl Record {
    /// Makes a record. `clock_offset` is [`Clock::offset`](crate::Clock::offset) when the token was issued, in seconds.
    pub fn new(token: Token, clock_offset: i64) -> Self {
        Self { token, clock_offset }
    }

    /// Returns the tokens.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// Returns the seconds by which the local clock was behind the server's.
    pub fn clock_offset(&self) -> i64 {
        self.clock_offset
    }

    /// Returns the time that is compared with the token's expiry: the latest of the local time, the local time with the record's offset,
    /// and the local time with the offset of the clock. The local time alone does not count if, by the local time, the token had already expired
    /// when it was issued.
    pub fn judged_at(&self, clock: &Clock) -> SystemTime {
        self.token.judged_at(clock, self.clock_offset)
    }

    /// Returns the record as JSON for a store of your own, in the format of [`FileStore`](crate::FileStore). Each later version of keyfob
    /// reads this format.
    ///
    /// The JSON holds the tokens in clear text, and `name`. A refresh token that is not UTF-8 is left out; no server issues one
    /// (RFC 6749 A.17).
    #[allow(clippy::missing_panics_doc, reason = "text and numbers are always JSON")]
    pub fn to_bytes(&self, name: &RecordName) -> Secret {
        let token = &self.token;
        let written = Written {
            version: VERSION,
            service: &name.service,
            token_url: &name.token_url,
            client_id: &name.client_id,
            profile: &name.profile,
            request: &name.request,
            access_token: token.access_token().expose_str().unwrap_or_default(),
            refresh_token: token.refresh_token().and_then(Secret::expose_str),
            expires_at: token.expires_at().map(unix_seconds),
            obtained_at: unix_seconds(token.obtained_at()),
            scope: token.scope(),
            clock_offset: self.clock_offset,
        };
        let mut content = Secret::with_capacity(4096);
        serde_json::to_writer(Appending(&mut content), &written).expect("text and numbers are always JSON");
        content.extend(b"\n");
        content
    }

    /// Reads a record that [`to_bytes`](Self::to_bytes) wrote. Returns `None` if the bytes are no record, or not the record of `name`.
    ///
    /// # Errors
    /// [`Store`](ErrorKind::Store) if a newer version of keyfob wrote it.
    pub fn from_bytes(name: &RecordName, bytes: &Secret) -> Result<Option<Self>, Error> {
        Self::read(name, bytes).map_err(|newer| newer.error("the stored record"))
    }

    /// Reads a record as [`from_bytes`](Self::from_bytes), for an error that says where it is.
    pub(crate) fn read(name: &RecordName, bytes: &Secret) -> Result<Option<Self>, Newer> {
        let json = bytes.expose();
        let version = object(json, ["version"]).and_then(|[version]| version?.parse().ok()).unwrap_or(0);
        match version {
            VERSION => Ok(read(json, name)),
            0 => Ok(None),
            newer => Err(Newer(newer)),
        }
    }
}

/// The version of a format that this version of keyfob does not know.
pub(crate) struct Newer(u32);

impl Newer {
    pub(crate) fn error(&self, place: &str) -> Error {
        let version = self.0;
        let text = format!("{place} was written by a newer keyfob (version {version}): update this program");
        Error::new(ErrorKind::Store, text)
    }
}

/// The version of the format. Each later version of keyfob reads it. A change of meaning gets a new number.
const VERSION: u32 = 1;

#[derive(serde::Serialize)]
struct Written<'a> {
    version: u32,
    service: &'a str,
    token_url: &'a str,
    client_id: &'a str,
    profile: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    request: &'a str,
    access_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    /// Unix seconds, by the server's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    obtained_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    clock_offset: i64,
}

/// Reads version 1. `None` if it is not the record of this name.
fn read(json: &[u8], name: &RecordName) -> Option<Record> {
    let members = ["service", "token_url", "client_id", "profile", "request"];
    let wanted = [&name.service, &name.token_url, &name.client_id, &name.profile, &name.request];
    for (value, wanted) in object(json, members)?.into_iter().zip(wanted) {
        let is_same = match value {
            Some(value) => unescape(value)?.expose() == wanted.as_bytes(),
            // An empty request is left out.
            None => wanted.is_empty(),
        };
        if !is_same {
            return None;
        }
    }
    let members = ["access_token", "obtained_at", "clock_offset", "refresh_token", "expires_at", "scope"];
    let [access_token, obtained_at, clock_offset, refresh_token, expires_at, scope] = object(json, members)?;
    let token = Token::new(unescape(access_token?)?, from_unix_seconds(obtained_at?.parse().ok()?));
    let mut token = token.ok()?;
    let is_there = |value: &&str| *value != "null";
    if let Some(at) = expires_at.filter(is_there) {
        token = token.with_expires_at(from_unix_seconds(at.parse().ok()?));
    }
    if let Some(refresh_token) = refresh_token.filter(is_there) {
        token = token.with_refresh_token(unescape(refresh_token)?);
    }
    if let Some(scope) = scope.filter(is_there) {
        let scope = unescape(scope)?;
        // Anybody may have edited the record, and people are shown the scope.
        if let Some(scope) = scope.expose_str().filter(|scope| check::is_scope_list(scope)) {
            token = token.with_scope(scope);
        }
    }
    Some(Record { token, clock_offset: clock_offset?.parse().ok()? })
}

/// Writes into memory that is wiped.
struct Appending<'a>(&'a mut Secret);

impl io::Write for Appending<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
