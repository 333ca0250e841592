//! `keyfob <service> git-credential`: the protocol of git's credential helpers (git-credential(1), "Input/output format").

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyfob::ureq::http::Uri;
use keyfob::ureq::http::uri::Authority;
use keyfob::{Record, Secret, TokenStore as _, Transport};
use keyfob_config::{Credentials, Way};

use crate::failure::Failure;
use crate::output;
use crate::service::Client;
use crate::target::Target;
use crate::token::local_expiry;

/// The longest description that is read, in bytes. git's own have a few hundred.
const MOST: usize = 128 * 1024;

/// How long to wait for another process that holds the lock of the record.
const LOCK_TIME: std::time::Duration = std::time::Duration::from_secs(5);

/// The user name that goes with a token. Servers that accept a token as a password ignore it, or expect this one.
const USERNAME: &str = "oauth2";

/// What git asks for, or reports.
#[derive(Default)]
struct Description {
    protocol: String,
    host: String,
    username: Option<String>,
    /// The password or the credential.
    secret: Option<Secret>,
    /// Whether git accepts an authentication scheme in place of a password: git 2.46 and later do.
    has_authtype: bool,
}

pub fn run(client: &Client, operation: &str) -> Result<(), Failure> {
    // git ignores what a helper does not know, and expects the same of helpers.
    if !["get", "store", "erase"].contains(&operation) {
        return Ok(());
    }
    let Some(description) = Description::parse(&read()?) else { return Ok(()) };
    let builder = client.known.builder(Way::Requests, Credentials::Without("-"), Transport::new())?;
    let service = client.known.build(builder)?;
    if !service.api_urls().iter().any(|url| description.is_of(url)) {
        return Ok(());
    }
    match operation {
        "get" => get(client, &description),
        "erase" => erase(client, &description),
        _ => Ok(()),
    }
}

/// Reads up to an empty line or the end of the input.
fn read() -> Result<Secret, Failure> {
    let mut input = output::stdin()?;
    let mut text = Vec::new();
    // On the heap, which is wiped.
    let mut buffer = vec![0; 4096];
    while text.len() <= MOST && !text.starts_with(b"\n") && !text.windows(2).any(|two| two == b"\n\n") {
        match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => text.extend_from_slice(&buffer[..len]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(output::unreadable("standard input", &e)),
        }
    }
    Ok(Secret::from(text))
}

impl Description {
    /// Returns `None` for a text that git does not write. A line that is not read need not be UTF-8: a path may be in any encoding.
    fn parse(text: &Secret) -> Option<Self> {
        let mut found = Self::default();
        let text = Some(text.expose()).filter(|text| text.len() <= MOST && !text.contains(&0))?;
        for line in text.split(|byte| *byte == b'\n').take_while(|line| !line.is_empty()) {
            let (key, value) = line.split_at(line.iter().position(|byte| *byte == b'=')?);
            let value = &value[1..];
            // git sends none (`credential.protectProtocol`), because some programs treat it as the end of a line.
            if value.contains(&b'\r') {
                return None;
            }
            let text = || {
                let text = std::str::from_utf8(value).ok().filter(|text| !text.contains(char::is_control));
                text.map(str::to_owned)
            };
            match key {
                b"protocol" => found.protocol = text()?,
                b"host" => found.host = text()?,
                b"username" => found.username = Some(text()?),
                b"password" | b"credential" => found.secret = Some(Secret::from(value.to_vec())),
                // An empty value clears the list.
                b"capability[]" if value.is_empty() => found.has_authtype = false,
                b"capability[]" => found.has_authtype |= value == b"authtype",
                _ => {}
            }
        }
        Some(found)
    }

    /// Whether protocol, host and port are those of this URL.
    fn is_of(&self, api_url: &str) -> bool {
        let url = format!("{}://{}/", self.protocol, self.host);
        // Protocol or host may hold a character, such as a slash, that ends this part of a URL.
        let is_same = |uri: &Uri| {
            let host = uri.authority().map(Authority::as_str);
            uri.scheme_str() == Some(&*self.protocol) && host == Some(&*self.host)
        };
        Target::new(api_url).and_then(|target| target.url(&url)).is_ok_and(|uri| is_same(&uri))
    }
}

fn get(client: &Client, description: &Description) -> Result<(), Failure> {
    let service = client.service_of_requests()?;
    let mut answer = Vec::with_capacity(64 * 1024);
    let mut put = |key: &str, value: &[u8]| {
        for part in [key.as_bytes(), b"=", value, b"\n"] {
            answer.extend_from_slice(part);
        }
    };
    let username = description.username.as_deref();
    if service.record_name().is_none() {
        // Exactly what requests to the API carry.
        let header = service.authorization()?;
        let encoded = header.expose().strip_prefix(b"Basic ").unwrap_or_default();
        let pair = Secret::from(STANDARD.decode(encoded).unwrap_or_default());
        let (id, secret) = pair.expose_str().and_then(|pair| pair.split_once(':')).unwrap_or_default();
        if username.is_some_and(|username| username != id) {
            return Ok(());
        }
        put("username", id.as_bytes());
        put("password", secret.as_bytes());
    } else {
        let token = client.token_of(&service)?;
        let secret = token.access_token().expose();
        if description.has_authtype {
            put("capability[]", b"authtype");
            put("authtype", b"Bearer");
            put("credential", secret);
            // Keeps another helper from storing it.
            put("ephemeral", b"1");
        } else {
            put("username", username.unwrap_or(USERNAME).as_bytes());
            put("password", secret);
        }
        if let Some(at) = local_expiry(client, &token) {
            put("password_expiry_utc", at.to_string().as_bytes());
        }
    }
    output::print(Secret::from(answer).expose())
}

/// If the secret that a server refused is the stored token, the next run renews it.
fn erase(client: &Client, description: &Description) -> Result<(), Failure> {
    let (Some(secret), Some(name)) = (&description.secret, client.record_name()?) else { return Ok(()) };
    let store = client.settings.store()?;
    let is_refused = |record: &Record| record.token().access_token().expose() == secret.expose();
    if !store.load(&name)?.as_ref().is_some_and(is_refused) {
        return Ok(());
    }
    let mut locked = store.lock(&name, LOCK_TIME)?;
    // Another process may have renewed it meanwhile.
    if let Some(record) = locked.load()?.filter(is_refused) {
        let token = record.token().clone();
        // The refresh token stays.
        let issued_at = token.obtained_at();
        locked.save(&Record::new(token.with_expires_at(issued_at), record.clock_offset()))?;
    }
    Ok(())
}
