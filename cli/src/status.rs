//! `keyfob <service> status` and `keyfob status`: what is stored, and the source of each secret. Nothing is sent, no secret is shown.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use keyfob::{CredentialsFile, ErrorKind, FileStore, RecordName, TokenStore as _, one_line};
use keyfob_config::{Origin, Source};
use serde::Serialize;

use crate::args::Format;
use crate::catalog;
use crate::failure::Failure;
use crate::output::{self, printable_json};
use crate::service::{Client, FILE};
use crate::settings::Settings;
use crate::token::unix_seconds;

#[derive(Serialize)]
struct Status {
    service: &'static str,
    /// File and line of the configuration. `None`: the service is built in, and nothing is changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    configured_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<String>,
    profile: String,
    api_url: String,
    /// `None`: the service has no tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_url: Option<String>,
    /// `basic` or `oauth2`.
    requests_signed_with: &'static str,
    client_id: Option<String>,
    client_id_from: Option<String>,
    secrets: Vec<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credentials_file: Option<Place>,
    /// The answers that a login has kept beside that file.
    credentials_copies: Vec<Place>,
    store: Option<Place>,
    record: Option<Place>,
    /// The answers of a server that could not be used or saved.
    unsaved: Vec<Place>,
    token: Option<Token>,
    /// `None` until a server has answered.
    clock_offset: Option<i64>,
    /// The problems that would keep a command from working.
    problems: Vec<String>,
}

#[derive(Serialize)]
struct Secret {
    name: String,
    /// `None`: no place is set.
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<Place>,
}

#[derive(Serialize)]
struct Place {
    /// `None` if the file that a variable names does not exist, because the value of the variable may be a secret.
    path: Option<String>,
    exists: bool,
    /// In the form that `chmod` takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
}

#[derive(Serialize)]
#[allow(clippy::struct_field_names, reason = "RFC 6749 calls it so")]
pub struct Token {
    valid: bool,
    obtained_at: u64,
    expires_at: Option<u64>,
    expires_in: Option<u64>,
    scope: Option<String>,
    refresh_token: bool,
}

pub fn run(client: &Client) -> Result<(), Failure> {
    let mut failures = Vec::new();
    let shown = show(client, &mut failures, true)?;
    output::print(shown.as_bytes())?;
    failures.into_iter().next().map_or(Ok(()), Err)
}

/// Shows all services, even after one of them failed.
pub fn run_all(settings: Settings) -> Result<(), Failure> {
    catalog::check()?;
    let is_json = settings.format == Some(Format::Json);
    let [start, between, end] = if is_json { ["[", ",", "]\n"] } else { ["", "\n", ""] };
    let mut shown = start.to_owned();
    let mut first = None;
    let services = catalog::catalog().services();
    let mut client = Client { known: services[0], settings };
    for known in services {
        client.known = known;
        if shown.len() > start.len() {
            shown += between;
        }
        let mut failures = Vec::new();
        match show(&client, &mut failures, false) {
            Ok(text) => shown += if is_json { text.trim_end() } else { &text },
            Err(failure) => {
                let (name, problem) = (known.name(), failure.to_string());
                if is_json {
                    let problem = printable_json(&serde_json::Value::from(problem).to_string());
                    let _ = write!(shown, "{{\"service\":\"{name}\",\"problems\":[{problem}]}}");
                } else {
                    tell(&mut shown, "service", name);
                    tell(&mut shown, "problem", &problem);
                }
                failures = vec![failure];
            }
        }
        first = first.or(failures.into_iter().next());
    }
    output::print((shown + end).as_bytes())?;
    first.map_or(Ok(()), Err)
}

/// Returns the status as text or JSON. The text leaves out the first failure if `is_said`: the caller prints that one.
fn show(client: &Client, failures: &mut Vec<Failure>, is_said: bool) -> Result<String, Failure> {
    let status = look(client, failures)?;
    Ok(match client.settings.format {
        Some(Format::Json) => {
            let json = serde_json::to_string(&status).map_err(|e| Failure::unexpected(e.to_string()))?;
            printable_json(&json) + "\n"
        }
        _ => text(&status, usize::from(is_said && !failures.is_empty())),
    })
}

/// Adds a line with a name and its value.
fn tell(lines: &mut String, name: &str, text: &str) {
    let text = one_line(text);
    let _ = writeln!(lines, "{name:<18} {text}");
}

fn look(client: &Client, failures: &mut Vec<Failure>) -> Result<Status, Failure> {
    let settings = &client.settings;
    let [api_url, token_url] = client.urls()?;
    let mut keep = |failure: Failure| failures.push(failure);
    let client_id = client.known.client_id().unwrap_or_else(|problem| {
        keep(problem.into());
        None
    });
    let from_file = client_id.as_ref().is_some_and(|(_, from)| *from == Origin::CredentialsFile);
    let all = catalog::secrets();
    let mut secrets = Vec::new();
    let names = client.known.secrets();
    for (number, name) in names.iter().enumerate().skip(usize::from(!client.known.needs_secret_of_client())) {
        let found = all.find(name).unwrap_or_else(|problem| {
            keep(problem.into());
            None
        });
        let from = match &found {
            Some(source) => Some(source.label()),
            // The first is the client secret, which is in the same file as the client id.
            None => (number == 0 && from_file).then(|| FILE.to_owned()),
        };
        if let Some(failure) = found.as_ref().and_then(unusable) {
            keep(failure);
        }
        let file = found.as_ref().and_then(|source| source.path().map(Place::named));
        secrets.push(Secret { name: name.variable().to_owned(), from, file });
    }
    // If this failed, the problem with the secret has been reported.
    if all.find(&names[0]).is_ok() {
        client.known.check_credentials(&all).unwrap_or_else(|problem| keep(problem.into()));
    }
    if client_id.is_some() {
        client.known.check_required(&all).unwrap_or_else(|problem| keep(problem.into()));
    }
    let mut record = None;
    let mut broken_record = None;
    let mut unsaved = Vec::new();
    let mut token = None;
    let mut clock_offset = None;
    let store = settings.store().map_err(&mut keep).ok();
    let name = client.record_name().map_err(&mut keep).ok().flatten();
    if let (Some(store), Some(name)) = (&store, &name) {
        record = Some(Place::of(&store.path(name)));
        match store.load(name) {
            Err(error) => keep(error.into()),
            Ok(None) => {}
            Ok(Some(found)) => {
                let offset = found.clock_offset();
                clock_offset = Some(offset);
                token = Some(Token::of(found.token(), found.judged_at(settings.http.clock())));
            }
        }
        broken_record = broken(store, name);
        unsaved = store.unsaved_paths(name);
    }
    let mut problems: Vec<_> = failures.iter().map(ToString::to_string).collect();
    if let Some(text) = broken_record {
        problems.push(text.clone());
        // If there is the token of a later login, the record prevents nothing.
        if token.is_none() {
            failures.push(Failure::new(ErrorKind::Store, text));
        }
    }
    let (client_id, client_id_from) = client_id.unzip();
    let client_id_from = client_id_from.map(|from| Client::shown(&from));
    let credentials_file = client.credentials_file().ok().flatten();
    Ok(Status {
        service: client.known.name(),
        configured_at: client.known.configured_at(),
        grant: client.known.configured_grant().map(str::to_owned),
        profile: settings.profile.clone(),
        api_url: shown(&api_url.unwrap_or_default()),
        token_url: token_url.map(|url| shown(&url)),
        requests_signed_with: client.signs_with()?,
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
        unsaved: unsaved.iter().map(|path| Place::of(path)).collect(),
        token,
        clock_offset,
        problems,
    })
}

/// Returns why a secret cannot be read, as far as that is known without reading it.
fn unusable(source: &Source) -> Option<Failure> {
    match source.place() {
        keyfob_config::Place::File(path) | keyfob_config::Place::Credential(path) => {
            let opened = path.metadata().and_then(|metadata| match metadata.is_dir() {
                true => Err(io::ErrorKind::IsADirectory.into()),
                // Opening a pipe would wait for its writer.
                false if metadata.is_file() => File::open(path).map(drop),
                false => Ok(()),
            });
            opened.err().map(|e| source.unreadable(&e).into())
        }
        keyfob_config::Place::Descriptor(number) => {
            let folder = Path::new("/dev/fd");
            // A system without that folder does not say which descriptors are open.
            let is_open = !folder.is_dir()
                || number.parse::<u32>().is_ok_and(|fd| folder.join(fd.to_string()).exists());
            (!is_open).then(|| source.not_open().into())
        }
        _ => None,
    }
}

/// Returns the problem with a record that could not be read. It is quarantined if possible.
fn broken(store: &FileStore, name: &RecordName) -> Option<String> {
    let (path, aside) = (store.path(name), store.unreadable_path(name));
    if aside.symlink_metadata().is_ok() {
        let aside = aside.display();
        return Some(format!(
            "a record that could not be read was quarantined as {aside}: `logout` removes it"
        ));
    }
    let is_broken = path.is_file() && matches!(store.load(name), Ok(None));
    is_broken.then(|| format!("the record {} could not be read, nor be quarantined", path.display()))
}

/// Returns the URL as it was set, which may be wrong, without the parts that may be secret. Hides a value that is no URL.
fn shown(url: &str) -> String {
    if !url.contains("://") {
        return "…".to_owned();
    }
    let base = url.split(['?', '#']).next().unwrap_or_default();
    match base.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        // The '@' may end a password that holds `?` or `#`.
        None if url.contains('@') => "…".to_owned(),
        None => base.to_owned(),
    }
}

impl Place {
    fn of(path: &Path) -> Self {
        let metadata = path.symlink_metadata().ok();
        Self { path: Some(path.display().to_string()), exists: metadata.is_some(), mode: mode(path) }
    }

    /// The file that a variable names. Its path is hidden if it does not exist, because it may be a secret.
    fn named(path: &Path) -> Self {
        let place = Self::of(path);
        Self { path: place.path.filter(|_| place.exists), ..place }
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
    pub fn of(token: &keyfob::Token, now: SystemTime) -> Self {
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
    let mut lines = String::new();
    let mut tell = |name: &str, text: String| tell(&mut lines, name, &text);
    tell("service", status.service.to_owned());
    if let Some(place) = &status.configured_at {
        tell("configured in", place.clone());
    }
    if let Some(grant) = &status.grant {
        tell("grant", grant.clone());
    }
    tell("profile", status.profile.clone());
    tell("API", status.api_url.clone());
    if let Some(url) = &status.token_url {
        tell("token URL", url.clone());
    }
    tell(
        "requests signed by",
        if status.requests_signed_with == "basic" { "HTTP Basic" } else { "Bearer token" }.to_owned(),
    );
    tell(
        "client id",
        match (&status.client_id, &status.client_id_from) {
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
        // Leaves out the name of the service.
        let prefix = status.service.len() + 1;
        tell(&secret.name[prefix..].replace('_', " ").to_lowercase(), from);
    }
    let mut named = |name, places: &[Place]| places.iter().for_each(|place| tell(name, place.text()));
    named("credentials file", status.credentials_file.as_slice());
    named("credentials copy", &status.credentials_copies);
    named("store", status.store.as_slice());
    named("record", status.record.as_slice());
    named("kept, unsaved", &status.unsaved);
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
    lines
}

impl Place {
    fn text(&self) -> String {
        match (&self.path, &self.mode) {
            (None, _) => "not there".to_owned(),
            (Some(path), _) if !self.exists => format!("{path}, not there"),
            (Some(path), None) => path.clone(),
            (Some(path), Some(mode)) => format!("{path}, mode {mode}"),
        }
    }
}

impl Token {
    pub fn text(&self) -> String {
        let Some((at, left)) = self.expires_at.zip(self.expires_in) else {
            return "stored, of unknown lifetime".to_owned();
        };
        // No token expires after the year 9999, for which HTTP has no date.
        let at = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(at));
        if self.valid { format!("valid for {left} s, until {at}") } else { format!("expired at {at}") }
    }
}
