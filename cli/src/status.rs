//! `keyfob <service> status`: what is stored and where secrets would come from. Nothing is sent, no secret is shown.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use keyfob::{CredentialsFile, ErrorKind, FileStore, RecordName, TokenStore as _};
use serde::Serialize;

use crate::args::Format;
use crate::failure::Failure;
use crate::output::{self, unreadable};
use crate::secrets::{self, Source};
use crate::service::Service;
use crate::token::unix_seconds;

#[derive(Serialize)]
struct Status {
    service: &'static str,
    profile: String,
    api_url: String,
    token_url: String,
    /// `basic` or `oauth2`.
    requests_signed_with: &'static str,
    client_id: Option<String>,
    client_id_from: Option<&'static str>,
    secrets: Vec<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credentials_file: Option<Place>,
    /// What a login has kept beside that file.
    credentials_copies: Vec<Place>,
    store: Option<Place>,
    record: Option<Place>,
    token: Option<Token>,
    /// `None` until a server has answered.
    clock_offset: Option<i64>,
    /// What would keep a command from working.
    problems: Vec<String>,
}

#[derive(Serialize)]
struct Secret {
    name: &'static str,
    /// `None`: from nowhere.
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<Place>,
}

#[derive(Serialize)]
struct Place {
    path: String,
    exists: bool,
    /// As `chmod` takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
}

#[derive(Serialize)]
#[allow(clippy::struct_field_names, reason = "RFC 6749 calls it so")]
struct Token {
    valid: bool,
    obtained_at: u64,
    expires_at: Option<u64>,
    expires_in: Option<u64>,
    scope: Option<String>,
    refresh_token: bool,
}

pub fn run(service: &dyn Service) -> Result<(), Failure> {
    let mut failures = Vec::new();
    let status = look(service, &mut failures)?;
    let shown = match service.settings().format {
        Some(Format::Json) => {
            serde_json::to_string(&status).map_err(|e| Failure::unexpected(e.to_string()))? + "\n"
        }
        // The first failure is said at the end.
        _ => text(&status, usize::from(!failures.is_empty())),
    };
    output::print(shown.as_bytes())?;
    failures.into_iter().next().map_or(Ok(()), Err)
}

fn look(service: &dyn Service, failures: &mut Vec<Failure>) -> Result<Status, Failure> {
    let settings = service.settings();
    let urls = service.urls()?;
    let mut keep = |failure: Failure| failures.push(failure);
    let client = service.client_id().unwrap_or_else(|failure| {
        keep(failure);
        None
    });
    let from_file = client.as_ref().is_some_and(|(_, from)| !from.starts_with("SP"));
    let mut secrets = Vec::new();
    for (number, name) in service.secrets().iter().enumerate() {
        let found = secrets::find(name).unwrap_or_else(|failure| {
            keep(failure);
            None
        });
        let from = match &found {
            Some(source) => Some(source.label()),
            // The first is the client secret, which lies beside the client id.
            None => (number == 0 && from_file).then(|| "the credentials file".to_owned()),
        };
        if let Some(failure) = found.as_ref().and_then(unusable) {
            keep(failure);
        }
        let file = found.as_ref().and_then(|source| source.path().map(Place::of));
        secrets.push(Secret { name, from, file });
    }
    // What is wrong with the secret alone has been said.
    if secrets::find(service.secrets()[0]).is_ok() {
        service.halves().unwrap_or_else(&mut keep);
    }
    let mut record = None;
    let mut put_aside = None;
    let mut token = None;
    let mut clock_offset = None;
    let store = settings.store().map_err(&mut keep).ok();
    let name = service.record_name().map_err(&mut keep).ok().flatten();
    if let (Some(store), Some(name)) = (&store, &name) {
        record = Some(Place::of(&store.path(name)));
        match store.load(name) {
            Err(error) => keep(error.into()),
            Ok(None) => {}
            Ok(Some(found)) => {
                let offset = found.clock_offset();
                clock_offset = Some(offset);
                token = Some(Token::of(found.token(), by_server(settings.http.clock().now(), offset)));
            }
        }
        put_aside = broken(store, name);
    }
    let mut problems: Vec<_> = failures.iter().map(ToString::to_string).collect();
    if let Some(text) = put_aside {
        problems.push(text.clone());
        // With a token from a later login it keeps nothing from working.
        if token.is_none() {
            failures.push(Failure::new(ErrorKind::Store, text));
        }
    }
    let (client_id, client_id_from) = client.unzip();
    let credentials_file = service.credentials_file().ok().flatten();
    Ok(Status {
        service: service.name(),
        profile: settings.profile.clone(),
        api_url: shown(&urls.api),
        token_url: shown(&urls.token),
        requests_signed_with: service.signs_with()?,
        client_id,
        client_id_from,
        secrets,
        credentials_copies: credentials_file
            .iter()
            .flat_map(CredentialsFile::copies)
            .map(|path| Place::of(&path))
            .collect(),
        credentials_file: credentials_file.map(|file| Place::of(file.path())),
        store: store.map(|store| Place::of(store.folder())),
        record,
        token,
        clock_offset,
        problems,
    })
}

/// Why a secret cannot be had, as far as that shows while it is left unread.
fn unusable(source: &Source) -> Option<Failure> {
    match &source.place {
        secrets::Place::File(path) | secrets::Place::Credential(path) => {
            let opened = path.metadata().and_then(|metadata| match metadata.is_dir() {
                true => Err(io::ErrorKind::IsADirectory.into()),
                // To open a pipe is to wait for its writer.
                false if metadata.is_file() => File::open(path).map(drop),
                false => Ok(()),
            });
            opened.err().map(|e| unreadable(&source.to_string(), &e))
        }
        secrets::Place::Descriptor(number) => {
            let folder = Path::new("/dev/fd");
            // A system without that folder does not tell.
            let is_open = !folder.is_dir()
                || number.parse::<u32>().is_ok_and(|fd| folder.join(fd.to_string()).exists());
            let label = source.label();
            (!is_open).then(|| {
                Failure::invalid(format!("{label} is {}: no such one is open", secrets::shown(number)))
            })
        }
        secrets::Place::Variable | secrets::Place::Command(_) => None,
    }
}

/// What is left of a record that could not be read, and has been put aside where that could be done.
fn broken(store: &FileStore, name: &RecordName) -> Option<String> {
    let (path, aside) = (store.path(name), store.unreadable_path(name));
    if aside.symlink_metadata().is_ok() {
        let aside = aside.display();
        return Some(format!(
            "a record that could not be read was put aside as {aside}: `logout` removes it"
        ));
    }
    let is_broken = path.is_file() && matches!(store.load(name), Ok(None));
    is_broken.then(|| format!("the record {} could not be read, nor be put aside", path.display()))
}

/// What a server's clock shows, by what was learned of it.
fn by_server(now: SystemTime, offset: i64) -> SystemTime {
    let by = Duration::from_secs(offset.unsigned_abs());
    if offset < 0 { now.checked_sub(by) } else { now.checked_add(by) }.unwrap_or(now)
}

/// As it was set, which may be wrong, but for what may be secret in it.
fn shown(url: &str) -> String {
    let base = url.split(['?', '#']).next().unwrap_or_default();
    match base.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        // A password may hold such a character itself.
        None if url.contains('@') => "…".to_owned(),
        None => base.to_owned(),
    }
}

impl Place {
    fn of(path: &Path) -> Self {
        let metadata = path.symlink_metadata().ok();
        Self { path: path.display().to_string(), exists: metadata.is_some(), mode: mode(path) }
    }
}

#[cfg(unix)]
fn mode(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    Some(format!("{:04o}", path.metadata().ok()?.mode() & 0o7777))
}

#[cfg(not(unix))]
fn mode(_: &Path) -> Option<String> {
    None
}

impl Token {
    fn of(token: &keyfob::Token, now: SystemTime) -> Self {
        Self {
            valid: token.is_valid_for(Duration::ZERO, now),
            obtained_at: unix_seconds(token.obtained_at()),
            expires_at: token.expires_at().map(unix_seconds),
            expires_in: token.expires_at().map(|_| token.remaining(now).as_secs()),
            scope: token.scope().map(str::to_owned),
            refresh_token: token.refresh_token().is_some(),
        }
    }
}

fn text(status: &Status, said: usize) -> String {
    let mut lines = Vec::new();
    let mut tell = |name: &str, text: String| lines.push(format!("{name:<18} {text}\n"));
    tell("service", status.service.to_owned());
    tell("profile", status.profile.clone());
    tell("API", status.api_url.clone());
    tell("token URL", status.token_url.clone());
    tell(
        "requests signed by",
        if status.requests_signed_with == "basic" { "HTTP Basic" } else { "Bearer token" }.to_owned(),
    );
    tell(
        "client id",
        match (&status.client_id, status.client_id_from) {
            (Some(id), Some(from)) => format!("{id}, from {from}"),
            _ => "not set".to_owned(),
        },
    );
    for secret in &status.secrets {
        let from = match (&secret.from, &secret.file) {
            (None, _) => "not set".to_owned(),
            (Some(from), None) => format!("from {from}"),
            (Some(from), Some(file)) => format!("from {from}: {}", file.text()),
        };
        tell(if secret.name.ends_with("PASSWORD") { "password" } else { "client secret" }, from);
    }
    let mut named = |name, places: &[Place]| places.iter().for_each(|place| tell(name, place.text()));
    named("credentials file", status.credentials_file.as_slice());
    named("credentials copy", &status.credentials_copies);
    named("store", status.store.as_slice());
    named("record", status.record.as_slice());
    tell("token", status.token.as_ref().map_or_else(|| "none stored".to_owned(), Token::text));
    if let Some(token) = &status.token {
        tell("refresh token", if token.refresh_token { "stored" } else { "none" }.to_owned());
        if let Some(scope) = &token.scope {
            tell("scope", scope.clone());
        }
    }
    tell(
        "clock",
        match status.clock_offset {
            None => "unknown: no server has answered yet".to_owned(),
            Some(0) => "agrees with the server's".to_owned(),
            Some(behind @ 1..) => format!("{behind} s behind the server's"),
            Some(ahead) => format!("{} s ahead of the server's", ahead.unsigned_abs()),
        },
    );
    for problem in status.problems.iter().skip(said) {
        tell("problem", problem.clone());
    }
    lines.concat()
}

impl Place {
    fn text(&self) -> String {
        match (&self.mode, self.exists) {
            (_, false) => format!("{}, not there", self.path),
            (None, true) => self.path.clone(),
            (Some(mode), true) => format!("{}, mode {mode}", self.path),
        }
    }
}

/// The last second of the year 9999, as Unix time: later ones have no date of HTTP.
const LAST_DATE: u64 = 253_402_300_799;

impl Token {
    fn text(&self) -> String {
        let Some((at, left)) = self.expires_at.zip(self.expires_in) else {
            return "stored, of unknown lifetime".to_owned();
        };
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(at.min(LAST_DATE));
        let at = httpdate::fmt_http_date(at);
        if self.valid { format!("valid for {left} s, until {at}") } else { format!("expired at {at}") }
    }
}
