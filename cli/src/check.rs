//! `keyfob <service> check`: checks everything that requests to the service need. Shows no secret.

use std::fmt::Write as _;
use std::mem;
use std::path::Path;
use std::time::{Duration, SystemTime};

use keyfob::ureq::http::Uri;
use keyfob::{
    AgentBuilder, Auth, Basic, ErrorKind, Metadata, RecordName, Service, ServiceBuilder, Stage,
    TokenStore as _, Transport, one_line,
};
use keyfob_config::{Credentials, Way};

use crate::args::Format;
use crate::catalog;
use crate::failure::{self, Failure};
use crate::output::{self, printable_json};
use crate::service::{Client, FILE, needs_login};
use crate::status;

/// How long to wait for another process that holds the lock of the record.
const LOCK_TIME: Duration = Duration::from_secs(5);

/// The difference between two clocks that counts as wrong, in seconds.
const CLOCK_TOLERANCE: u64 = 60;

/// The result of a check: what was found, what failed, or `None` if the check was left out.
type Outcome = Result<String, Option<Failure>>;

const CONFIGURATION: &str = "configuration";
const SECRETS: &str = "secrets";
const FILE_MODES: &str = "file modes";
const STORE: &str = "store";
const TOKEN: &str = "token";

/// The stages of a connection, in this order. [`ANSWER`] follows them.
const STAGES: [&str; 4] = ["proxy", "DNS", "TCP", "TLS"];
const PROXY: usize = 0;
const DNS: usize = 1;
const TCP: usize = 2;
const TLS: usize = 3;
const ANSWER: usize = 4;

/// Why a check was left out.
const EARLIER: &str = "because of an earlier failure";
const OFFLINE: &str = "because of --offline";

struct Report {
    is_json: bool,
    why_skipped: &'static str,
    lines: String,
    /// The exit status of the first check that failed.
    failed: Option<u8>,
}

impl Report {
    fn new(format: Option<Format>) -> Self {
        Self {
            is_json: format == Some(Format::Json),
            why_skipped: EARLIER,
            lines: String::new(),
            failed: None,
        }
    }

    fn add(&mut self, check: &str, outcome: Outcome) {
        let (status, kind, detail) = match outcome {
            Ok(found) => ("ok", None, found),
            Err(None) => ("skipped", None, self.why_skipped.to_owned()),
            Err(Some(failure)) => {
                self.failed.get_or_insert(failure.exit_status());
                ("failed", Some(failure.kind()), failure.to_string())
            }
        };
        let _ = if self.is_json {
            let comma = if self.lines.is_empty() { "" } else { "," };
            let detail = printable_json(&serde_json::Value::from(detail).to_string());
            let kind = kind.map_or(String::new(), |kind| format!(",\"kind\":\"{}\"", failure::name(kind)));
            write!(
                self.lines,
                "{comma}{{\"check\":\"{check}\",\"status\":\"{status}\"{kind},\"detail\":{detail}}}"
            )
        } else {
            writeln!(self.lines, "{check:<13} {status:<7} {}", one_line(&detail))
        };
    }

    /// Adds a line for each failure, or else a line for the outcome.
    fn add_failures(&mut self, check: &str, failures: Vec<Failure>, outcome: impl FnOnce() -> Outcome) {
        if failures.is_empty() {
            return self.add(check, outcome());
        }
        for failure in failures {
            self.add(check, Err(Some(failure)));
        }
    }

    fn print(self) -> Result<(), Failure> {
        let lines = self.lines;
        output::print(if self.is_json { format!("[{lines}]\n") } else { lines }.as_bytes())?;
        self.failed.map_or(Ok(()), |status| Err(Failure::Reported(status)))
    }
}

/// Reports why there is no service to check: a mistake in the configuration, in an option, or in the name.
pub fn without_service(failure: Failure, format: Option<Format>) -> Result<(), Failure> {
    let mut report = Report::new(format);
    report.add(CONFIGURATION, Err(Some(failure)));
    let checks = [SECRETS, FILE_MODES, STORE].into_iter().chain(STAGES).chain(LAST).chain([TOKEN]);
    checks.for_each(|check| report.add(check, Err(None)));
    report.print()
}

pub fn run(client: &Client, is_offline: bool) -> Result<(), Failure> {
    let mut report = Report::new(client.settings.format);
    let shape = match Shape::new(client) {
        Ok(shape) => shape,
        Err(failure) => return without_service(failure, client.settings.format),
    };
    let place = client.known.configured_at().unwrap_or_else(|| "built in".to_owned());
    report.add(CONFIGURATION, Ok(place));
    let (builder, outcome) = match with_secrets(client) {
        // A signal has ended a command for a secret.
        Err(failure) if failure.exit_status() >= 128 => return Err(failure),
        Err(failure) => (None, Err(failure)),
        Ok(builder) => (Some(builder), secret_places(client)),
    };
    report.add(SECRETS, outcome.map_err(Some));
    report.add(FILE_MODES, file_modes(client, &shape).map_err(Some));
    report.add(STORE, store(client, &shape).map_err(Some));
    connections(client, &shape, is_offline, &mut report);
    let token = builder.map(|builder| {
        let builder = builder.transport(transport(client, &shape)?);
        token(client, builder, is_offline)
    });
    report.add(TOKEN, token.map_or(Err(None), |token| token.map_err(Some)));
    report.print()
}

/// The checks after [`STAGES`] that the answers of the servers decide.
const LAST: [&str; 2] = ["server clock", "metadata"];

const NO_TOKENS: &str = "none is needed: requests use HTTP Basic";

/// The service without its secrets, and the places that its requests go to.
struct Shape {
    service: Service,
    /// The same with the settings of the transport, which are checked later.
    with_transport: ServiceBuilder,
    has_client_id: bool,
    issuer: Option<String>,
    /// The origins of the API and of the authorization server.
    origins: Vec<String>,
}

impl Shape {
    fn new(client: &Client) -> Result<Self, Failure> {
        let http = client.settings.http.clone();
        // A file of credentials that cannot be read is reported with the secrets.
        let id = client.known.client_id().ok().flatten().map(|(id, _)| id);
        let credentials = Credentials::Without(id.as_deref().unwrap_or("-"));
        let builder = client.known.builder(Way::Requests, credentials, http)?;
        let builder = builder.profile(&client.settings.profile);
        let with_transport = builder.clone();
        let (issuer, token_url) = (builder.unchecked_issuer(), builder.unchecked_token_url());
        let service = client.known.build(builder.transport(Transport::new()))?;
        let server = if service.record_name().is_some() { token_url.or(issuer.clone()) } else { None };
        let mut origins = Vec::new();
        for url in service.api_urls().iter().chain(&server) {
            origins.extend(origin(url).filter(|origin| !origins.contains(origin)));
        }
        Ok(Self { service, with_transport, has_client_id: id.is_some(), issuer, origins })
    }

    /// The name of the record in the store, if the service has tokens.
    fn record_name(&self) -> Option<&RecordName> {
        self.service.record_name()
    }
}

/// Reads the secrets, and checks them. The transport is checked later.
fn with_secrets(client: &Client) -> Result<ServiceBuilder, Failure> {
    let secrets = catalog::secrets();
    let builder = client.known.builder(Way::Requests, Credentials::Read(&secrets), Transport::new())?;
    client.known.build(builder.clone().profile(&client.settings.profile).transport(Transport::new()))?;
    Ok(builder)
}

/// Returns where the secrets are. Reads those that are otherwise read for each request.
fn secret_places(client: &Client) -> Result<String, Failure> {
    let mut labels = Vec::new();
    for name in client.known.secrets() {
        labels.extend(catalog::secrets().find(&name)?.map(|source| source.label()));
    }
    for source in client.known.files_of_requests() {
        catalog::secrets().read(&source)?;
        labels.push(source.label());
    }
    let has_file = client.known.definition().is_some_and(|service| service.credentials_file.is_some());
    Ok(match labels.is_empty() {
        true if has_file => FILE.to_owned(),
        true => "none is needed".to_owned(),
        false => labels.join(", "),
    })
}

/// Checks that others cannot read the files with secrets and tokens.
fn file_modes(client: &Client, shape: &Shape) -> Result<String, Failure> {
    let mut files = client.known.secret_files();
    for name in client.known.secrets() {
        let source = catalog::secrets().find(&name).ok().flatten();
        files.extend(source.and_then(|source| source.path().map(Path::to_owned)));
    }
    if let (Ok(store), Some(name)) = (client.settings.store(), shape.record_name()) {
        files.push(store.path(name));
    }
    let open = files.iter().find_map(|file| Some((file, keyfob::open_to_others(file)?)));
    match open {
        Some((file, advice)) => {
            let text = format!("{} can be read by others than its owner: {advice}", file.display());
            Err(Failure::new(ErrorKind::Store, text))
        }
        None => Ok("no file with a secret can be read by others".to_owned()),
    }
}

/// Checks that a token could be saved.
fn store(client: &Client, shape: &Shape) -> Result<String, Failure> {
    let Some(name) = shape.record_name() else { return Ok(NO_TOKENS.to_owned()) };
    let store = client.settings.store()?;
    if shape.has_client_id {
        store.lock(name, LOCK_TIME)?.prepare()?;
    }
    Ok(store.folder().display().to_string())
}

/// Checks the settings of the transport, of which the proxy is one.
fn transport(client: &Client, shape: &Shape) -> Result<Transport, Failure> {
    Ok(client.known.build(shape.with_transport.clone())?.transport().clone())
}

/// Returns the proxy of each origin, as one text.
fn proxies(client: &Client, shape: &Shape) -> Result<String, Failure> {
    let mut proxies = Vec::new();
    for origin in &shape.origins {
        proxies.push(client.settings.http.proxy_for(&uri(origin))?);
    }
    let used = |proxy: &Option<String>| proxy.clone().unwrap_or_else(|| "none is used".to_owned());
    Ok(match &proxies[..] {
        [first, others @ ..] if others.iter().any(|other| other != first) => {
            let each = proxies.iter().zip(&shape.origins);
            let each = each.map(|(proxy, origin)| format!("{} for {origin}", used(proxy)));
            each.collect::<Vec<_>>().join(", ")
        }
        proxies => used(proxies.first().unwrap_or(&None)),
    })
}

fn origin(url: &str) -> Option<String> {
    let uri = uri(url);
    Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?))
}

/// Parses a URL that was checked, or its origin.
fn uri(origin: &str) -> Uri {
    origin.parse().unwrap_or_default()
}

/// Connects to each origin without credentials, and asks for the metadata. Offline, this only checks the settings.
fn connections(client: &Client, shape: &Shape, is_offline: bool, report: &mut Report) {
    let mut failed: [Vec<Failure>; ANSWER + 1] = Default::default();
    let proxies = proxies(client, shape).map_err(|failure| failed[PROXY].push(failure)).ok();
    let transport = match transport(client, shape) {
        Ok(transport) => Some(transport).filter(|_| proxies.is_some() && !is_offline),
        Err(failure) => {
            // A mistake in the proxy also fails the transport, and is reported already.
            if proxies.is_some() {
                failed[TLS].push(failure);
            }
            None
        }
    };
    // The origins, and the stage that each did not pass.
    let mut reached = Vec::new();
    let mut clocks = Vec::new();
    for origin in shape.origins.iter().filter(|_| transport.is_some()) {
        let Some(transport) = &transport else { break };
        let stage = match ask(client, transport, origin) {
            Ok(date) => {
                clocks.extend(date.map(|date| (offset(client, date), origin)));
                ANSWER + 1
            }
            Err((stage, failure)) => {
                failed[stage].push(failure);
                stage
            }
        };
        reached.push((origin.as_str(), stage));
    }
    let passed = |stage| reached.iter().filter(move |(_, reached)| *reached > stage);
    let has_tls = shape.origins.iter().any(|origin| origin.starts_with("https:"));
    if is_offline && proxies.is_some() {
        report.why_skipped = OFFLINE;
    }
    for (stage, check) in STAGES.into_iter().enumerate() {
        let origins = passed(stage).map(|(origin, _)| *origin);
        let origins: Vec<_> = origins.filter(|origin| stage != TLS || origin.starts_with("https:")).collect();
        report.add_failures(check, mem::take(&mut failed[stage]), || match &proxies {
            Some(proxies) if stage == PROXY => Ok(proxies.clone()),
            _ if !origins.is_empty() => Ok(origins.join(", ")),
            _ if stage == TLS && !has_tls && passed(TLS).next().is_some() => {
                Ok("none is needed: plain http on this machine".to_owned())
            }
            _ => Err(None),
        });
    }
    report.add_failures(LAST[0], mem::take(&mut failed[ANSWER]), || match clocks.into_iter().max() {
        Some((offset, origin)) => clock(offset, origin).map_err(Some),
        None if passed(ANSWER).next().is_some() => Ok("unknown: no answer had a Date".to_owned()),
        None => Err(None),
    });
    // No second failure of a server that did not answer.
    let is_silent = |issuer: &str| {
        let asked = origin(issuer);
        reached.iter().any(|(origin, stage)| *stage <= ANSWER && asked.as_deref() == Some(*origin))
    };
    let metadata = match (&shape.issuer, &transport) {
        (Some(issuer), Some(transport)) if passed(ANSWER).next().is_some() && !is_silent(issuer) => {
            Metadata::discover(transport, issuer)
                .map(|metadata| metadata.issuer().to_owned())
                .map_err(|error| Some(error.into()))
        }
        (None, _) => Ok("none is needed: the URLs are given".to_owned()),
        _ => Err(None),
    };
    report.add(LAST[1], metadata);
    report.why_skipped = EARLIER;
}

/// Sends a GET without credentials. Returns the date of the answer, or the stage that failed.
fn ask(client: &Client, transport: &Transport, origin: &str) -> Result<Option<SystemTime>, (usize, Failure)> {
    let agent = || {
        // The agent's credentials are for an origin that this request does not go to.
        let nobody = Auth::Basic(Basic::new("-", "-")?);
        let builder = AgentBuilder::new(transport.clone(), nobody);
        let builder = client.settings.tune(builder.origin("https://keyfob.invalid").allow_other_origins());
        Ok(builder.build()?.get(uri(origin)).call()?)
    };
    let answer: Result<_, keyfob::Error> = agent();
    answer.map_or_else(
        |error| {
            // The reason without the task, because the authorization server is no API.
            Err((stage(&error), Failure::at(origin, &error)))
        },
        |answer| {
            let date = answer.headers().get("date").and_then(|date| date.to_str().ok());
            Ok(date.and_then(|date| httpdate::parse_http_date(date).ok()))
        },
    )
}

/// Returns the stage of a connection at which this error of the library happened.
fn stage(error: &keyfob::Error) -> usize {
    match error.stage() {
        Some(Stage::Proxy) => PROXY,
        Some(Stage::Dns) => DNS,
        Some(Stage::Tcp) => TCP,
        Some(Stage::Tls) => TLS,
        _ => ANSWER,
    }
}

/// The difference between the clock of this machine and that of a server, and its direction.
fn offset(client: &Client, date: SystemTime) -> (Duration, &'static str) {
    match date.duration_since(client.settings.http.clock().now()) {
        Ok(behind) => (behind, "behind"),
        Err(ahead) => (ahead.duration(), "ahead of"),
    }
}

fn clock((off, direction): (Duration, &str), origin: &str) -> Result<String, Failure> {
    let seconds = off.as_secs();
    if seconds < CLOCK_TOLERANCE {
        return Ok("agrees with that of this machine".to_owned());
    }
    let text = format!("the clock of this machine is {seconds} s {direction} that of {origin}: set it");
    Err(Failure::new(ErrorKind::Clock, text))
}

/// Obtains a token, or only looks for the stored one.
fn token(client: &Client, builder: ServiceBuilder, is_offline: bool) -> Result<String, Failure> {
    let service = client.finish(builder)?;
    if service.record_name().is_none() {
        return Ok(NO_TOKENS.to_owned());
    }
    let source = if needs_login(&service) {
        client.resume(&service)?
    } else {
        let source = service.source();
        if is_offline {
            source.resume()?;
        }
        source
    };
    let token = if is_offline { source.current() } else { Some(client.token_of(&service)?) };
    let now = client.settings.http.clock().now();
    let text = token.map(|token| status::Token::of(&token, now).text());
    Ok(text.unwrap_or_else(|| "none is stored: the first request obtains one".to_owned()))
}
