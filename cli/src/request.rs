//! `keyfob <service> get`, `post`, `put`, `patch` and `delete`.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use keyfob::ureq::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use keyfob::ureq::http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use keyfob::ureq::{self, SendBody};
use keyfob::{ErrorKind, classify, classify_answer};
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

    let length = body.as_ref().and_then(|(data, _)| data.length());
    let mut request = Request::builder().method(method).uri(url);
    if let Some(fields) = request.headers_mut() {
        fields.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if let Some((_, content_type)) = &body {
            fields.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            if let Some(length) = length {
                fields.insert(CONTENT_LENGTH, length.into());
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
        Some((Data::File(file), _)) => {
            let cut = Arc::<AtomicBool>::default();
            let body = SizedFile { file, left: length, cut: cut.clone() };
            let result = run_with(&agent, request(SendBody::from_owned_reader(body))?);
            if cut.load(Ordering::Relaxed) {
                let text = "the file of --data became shorter while it was sent: try again";
                return Err(Failure::new(ErrorKind::Store, text));
            }
            result
        }
        Some((Data::Input, _)) => run_with(&agent, request(SendBody::from_owned_reader(io::stdin()))?),
    }
    .map_err(classify)?;

    let status = response.status();
    log::debug!("the API answered HTTP {status}");
    let copied = copy(&mut response.body_mut().as_reader(), &mut stdout()?);
    match (copied, classify_answer(&response)) {
        // Whoever has had enough of the answer wants to know all the same.
        (Ok(()) | Err(Failure::BrokenPipe), Some(error)) => Err(error.into()),
        (copied, _) => copied,
    }
}

/// Any method may have a body here: it was asked for.
fn run_with(
    agent: &ureq::Agent,
    request: Request<SendBody<'_>>,
) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
    agent.run(agent.configure_request(request).allow_non_standard_methods(true).build())
}

impl Data {
    /// That of a file too long for the agent to find out. A shorter one may have another than it says, as in `/proc`; a
    /// pipe has none.
    fn length(&self) -> Option<u64> {
        const KEPT: u64 = 64 * 1024;
        let Self::File(file) = self else { return None };
        file.metadata()
            .ok()
            .filter(fs::Metadata::is_file)
            .map(|metadata| metadata.len())
            .filter(|&len| len > KEPT)
    }
}

/// A file, as far as its length was when it was looked at.
struct SizedFile {
    file: File,
    /// `None`: to its end.
    left: Option<u64>,
    /// It ended before.
    cut: Arc<AtomicBool>,
}

impl Read for SizedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(left) = &mut self.left else { return self.file.read(buffer) };
        let read = (&mut self.file).take(*left).read(buffer)?;
        *left -= read as u64;
        if read == 0 && *left > 0 && !buffer.is_empty() {
            self.cut.store(true, Ordering::Relaxed);
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(read)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_too_long_to_be_kept_has_a_length() {
        let mut file = tempfile::tempfile().unwrap();
        let mut length = |bytes: usize| {
            file.write_all(&vec![b'x'; bytes]).unwrap();
            Data::File(file.try_clone().unwrap()).length()
        };
        assert_eq!(length(64 * 1024), None);
        assert_eq!(length(1), Some(64 * 1024 + 1));
        assert_eq!(Data::Bytes(vec![0; 100_000]).length(), None);
    }

    #[test]
    fn a_file_that_became_shorter_is_an_error_and_one_that_grew_is_cut() {
        let read = |left| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(b"0123456789").unwrap();
            io::Seek::rewind(&mut file).unwrap();
            let mut body = SizedFile { file, left, cut: Arc::default() };
            let mut text = String::new();
            let result = body.read_to_string(&mut text).map_err(|e| e.kind());
            (result, text, body.cut.load(Ordering::Relaxed))
        };
        assert_eq!(read(None), (Ok(10), "0123456789".to_owned(), false));
        assert_eq!(read(Some(10)), (Ok(10), "0123456789".to_owned(), false));
        assert_eq!(read(Some(4)), (Ok(4), "0123".to_owned(), false));
        let (result, _, cut) = read(Some(11));
        assert_eq!((result, cut), (Err(io::ErrorKind::UnexpectedEof), true));
    }
}
