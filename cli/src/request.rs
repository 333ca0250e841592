//! `keyfob <service> get`, `post`, `put`, `patch` and `delete`.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};

use keyfob::ureq::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use keyfob::ureq::http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use keyfob::ureq::{self, SendBody};
use keyfob::{classify, classify_answer};
use serde::de::IgnoredAny;

use crate::args::{self, RequestWithBody};
use crate::failure::Failure;
use crate::output::{stdout, unreadable, unwritable};
use crate::service::Service;
use crate::target::Target;

/// What says who asks, where, and where a message ends: two that disagree would be read as two requests.
const RESERVED: [&str; 11] = [
    "authorization",
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

const NETWORK_ID: &str = "spacebring-network-id";

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

pub fn get(service: &dyn Service, given: &args::Request) -> Result<(), Failure> {
    send(service, Method::GET, given, None)
}

pub fn with_body(service: &dyn Service, method: Method, given: &RequestWithBody) -> Result<(), Failure> {
    let body = match (&given.data, &given.json) {
        (Some(data), _) => Some((body(data)?, FORM)),
        (None, Some(json)) => Some((checked_json(body(json)?)?, JSON)),
        (None, None) => None,
    };
    send(service, method, &given.request, body)
}

enum Data {
    Bytes(Vec<u8>),
    File(File),
    Input,
}

/// What `--data` and `--json` name.
fn body(given: &str) -> Result<Data, Failure> {
    match given.strip_prefix('@') {
        None => Ok(Data::Bytes(given.as_bytes().to_vec())),
        Some("-") => Ok(Data::Input),
        Some(path) => {
            let failed = |e: &io::Error| unreadable(path, e);
            let file = File::open(path).map_err(|e| failed(&e))?;
            if file.metadata().map_err(|e| failed(&e))?.is_dir() {
                return Err(failed(&io::ErrorKind::IsADirectory.into()));
            }
            Ok(Data::File(file))
        }
    }
}

fn checked_json(data: Data) -> Result<Data, Failure> {
    let bytes = match data {
        Data::Bytes(bytes) => bytes,
        Data::File(file) => read_whole(file)?,
        Data::Input => read_whole(io::stdin().lock())?,
    };
    serde_json::from_slice::<IgnoredAny>(&bytes).map_err(|e| {
        let place = format!("line {}, column {}", e.line(), e.column());
        Failure::invalid(format!("the body of --json is not JSON at {place}: nothing was sent"))
    })?;
    Ok(Data::Bytes(bytes))
}

fn read_whole(mut reader: impl Read) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(|e| unreadable("the body", &e))?;
    Ok(bytes)
}

fn send(
    service: &dyn Service,
    method: Method,
    given: &args::Request,
    body: Option<(Data, &'static str)>,
) -> Result<(), Failure> {
    let headers = headers(&given.headers)?;
    let api = service.api()?;
    let url = Target::new(&api.url)?.url(&given.target)?;
    let agent = api.agent(service, 1)?;

    let mut request = Request::builder().method(method).uri(url);
    if let Some(fields) = request.headers_mut() {
        fields.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if let Some((data, content_type)) = &body {
            fields.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            // A pipe has no length.
            if let Some(metadata) =
                data.file().and_then(|file| file.metadata().ok()).filter(fs::Metadata::is_file)
            {
                fields.insert(CONTENT_LENGTH, metadata.len().into());
            }
        }
        fields.extend(headers);
    }
    let request = |body| request.body(body).map_err(|_| Failure::invalid("the request cannot be sent"));
    let mut response = match body {
        None => agent.run(request(SendBody::none())?),
        Some((Data::Bytes(bytes), _)) => {
            run_with(&agent, request(SendBody::from_owned_reader(io::Cursor::new(bytes)))?)
        }
        Some((Data::File(file), _)) => run_with(&agent, request(SendBody::from_owned_reader(file))?),
        Some((Data::Input, _)) => run_with(&agent, request(SendBody::from_owned_reader(io::stdin()))?),
    }
    .map_err(classify)?;

    let status = response.status();
    log::debug!("the API answered HTTP {status}");
    copy(&mut response.body_mut().as_reader(), &mut stdout()?)?;
    classify_answer(&response).map_or(Ok(()), |error| Err(error.into()))
}

/// Any method may have a body here: it was asked for.
fn run_with(
    agent: &ureq::Agent,
    request: Request<SendBody<'_>>,
) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
    agent.run(agent.configure_request(request).allow_non_standard_methods(true).build())
}

impl Data {
    fn file(&self) -> Option<&File> {
        match self {
            Self::File(file) => Some(file),
            _ => None,
        }
    }
}

fn headers(fields: &[String]) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for field in fields {
        let parsed = field.split_once(':').and_then(|(name, value)| {
            let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        });
        let (name, value) =
            parsed.ok_or_else(|| Failure::invalid("a --header is not of the form 'Name: value'"))?;
        if RESERVED.contains(&name.as_str()) {
            return Err(Failure::invalid(format!("the header {name} is set by keyfob: leave it out")));
        }
        if name == NETWORK_ID {
            return Err(Failure::invalid(format!(
                "the header {name} is set by SPACEBRING_NETWORK_ID: set that"
            )));
        }
        headers.append(name, value);
    }
    Ok(headers)
}

/// What the API sends, as it comes.
fn copy(from: &mut impl Read, to: &mut File) -> Result<(), Failure> {
    let mut chunk = vec![0; 16 * 1024];
    loop {
        let n = match from.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(classify(e.into()).into()),
        };
        to.write_all(&chunk[..n]).map_err(|e| unwritable("standard output", &e))?;
    }
}
