//! `keyfob <service> get`, `post`, `put`, `patch` and `delete`.

use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use keyfob::ErrorKind;
use keyfob::ureq::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use keyfob::ureq::http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use keyfob::ureq::{self, SendBody};
use keyfob_config::text;
use serde::de::IgnoredAny;

use crate::args::{self, RequestWithBody};
use crate::failure::Failure;
use crate::output::{stdout, unreadable, unwritable, write};
use crate::service::Client;
use crate::target::Target;

/// Headers that name the sender or the host, or frame the message. If two framing headers disagree, a server may read two requests.
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

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

pub fn get(client: &Client, given: &args::Request) -> Result<(), Failure> {
    send(client, Method::GET, given, None)
}

pub fn with_body(client: &Client, method: Method, given: &RequestWithBody) -> Result<(), Failure> {
    let body = match (&given.data, &given.json) {
        (Some(data), _) => Some((body(data)?, FORM)),
        (None, Some(json)) => Some((checked_json(body(json)?)?, JSON)),
        (None, None) => None,
    };
    send(client, method, &given.request, body)
}

enum Data {
    Bytes(Vec<u8>),
    File(File),
    Input,
}

/// Returns the body that `--data` or `--json` names.
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
    let mut bytes = match data {
        Data::Bytes(bytes) => bytes,
        Data::File(file) => read_whole(file)?,
        Data::Input => read_whole(io::stdin().lock())?,
    };
    // JSON may not be sent with a byte order mark (RFC 8259 8.1).
    text::drop_mark(&mut bytes);
    if let Some(problem) = text::other_encoding(&bytes) {
        return Err(Failure::invalid(format!("the body of --json {problem}; nothing was sent")));
    }
    serde_json::from_slice::<IgnoredAny>(&bytes).map_err(|e| {
        let place = format!("line {}, column {}", e.line(), e.column());
        Failure::invalid(format!("the body of --json is not JSON at {place}: nothing was sent"))
    })?;
    Ok(Data::Bytes(bytes))
}

/// The longest body of `--json`, which is held in memory, in bytes.
const MOST_JSON: u64 = 64 * 1024 * 1024;

fn read_whole(reader: impl Read) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    reader.take(MOST_JSON + 1).read_to_end(&mut bytes).map_err(|e| unreadable("the body", &e))?;
    if bytes.len() as u64 > MOST_JSON {
        return Err(Failure::invalid(
            "the body of --json is longer than 64 MiB: nothing was sent; send it unchecked, with --data and --header 'Content-Type: \
             application/json'",
        ));
    }
    Ok(bytes)
}

fn send(
    client: &Client,
    method: Method,
    given: &args::Request,
    body: Option<(Data, &'static str)>,
) -> Result<(), Failure> {
    let headers = headers(client, &given.headers)?;
    let service = client.service_of_requests()?;
    let url = Target::new(service.api_url())?.url(&given.target)?;
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
    let head = request.body(()).map_err(|_| Failure::invalid("the request cannot be sent"))?;
    // Checked before a token is obtained.
    service.agent_builder().can_send(&head)?;
    let agent = client.agent(&service, 1)?;
    let request = |body| head.map(|()| body);
    let mut response = match body {
        None => agent.run(request(SendBody::none())),
        Some((Data::Bytes(bytes), _)) => {
            run_with(&agent, request(SendBody::from_owned_reader(io::Cursor::new(bytes))))
        }
        Some((Data::File(file), _)) => {
            let cut = Arc::<AtomicBool>::default();
            let body = SizedFile { file, left: length, cut: cut.clone() };
            let result = run_with(&agent, request(SendBody::from_owned_reader(body)));
            if cut.load(Ordering::Relaxed) {
                let text = "the file of --data became shorter while it was sent: try again";
                return Err(Failure::new(ErrorKind::Store, text));
            }
            result
        }
        Some((Data::Input, _)) => run_with(&agent, request(SendBody::from_owned_reader(io::stdin()))),
    }
    .map_err(keyfob::Error::from)?;

    let mut start = Vec::new();
    let copied =
        copy(&mut response.body_mut().as_reader(), &mut stdout()?, io::stdout().is_terminal(), &mut start);
    let refused = keyfob::Error::from_response(&response).map(|error| {
        let lacking = client.known.variable_of_header_in(&start);
        let advice = lacking.map(|name| format!("the answer names a header that {name} sets: set it"));
        (advice.into_iter()).fold(Failure::from(error), |failure, advice| failure.add(&advice))
    });
    match (copied, refused) {
        // The exit status shows the API's answer even if the reader has closed the pipe.
        (Ok(()) | Err(Failure::BrokenPipe), Some(error)) => Err(error),
        // The API's refusal is reported even without its body: a server that did not read the whole request may cut the body off (RFC 9112
        // 9.6).
        (Err(failure), Some(error)) if failure.is_of_the_answer() => Err(error),
        (copied, _) => copied,
    }
}

/// Any method may have a body here, because the user asked for it.
fn run_with(
    agent: &ureq::Agent,
    request: Request<SendBody<'_>>,
) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
    agent.run(agent.configure_request(request).allow_non_standard_methods(true).build())
}

impl Data {
    /// Returns the length of a file that is too long for the agent to measure. A shorter file may differ from its stated length, as in
    /// `/proc`. A pipe has no length.
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

/// Reads a file up to the length that it had when it was opened.
struct SizedFile {
    file: File,
    /// The number of bytes left, or `None` to read to the end.
    left: Option<u64>,
    /// Set if the file ended earlier.
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

fn headers(client: &Client, fields: &[String]) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for field in fields {
        let parsed = field.split_once(':').and_then(|(name, value)| {
            let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        });
        let (name, value) =
            parsed.ok_or_else(|| Failure::invalid("a --header is not of the form 'Name: value'"))?;
        let reserved = RESERVED.contains(&name.as_str()).then(|| "keyfob: leave it out".to_owned());
        if let Some(source) = reserved.or_else(|| client.known.source_of_header(name.as_str())) {
            return Err(Failure::invalid(format!("the header {name} is set by {source}")));
        }
        headers.try_append(name, value).map_err(|_| Failure::invalid("there are too many headers"))?;
    }
    Ok(headers)
}

/// Copies the body that the API sends as it arrives. A terminal gets a line end after it, so that the next line begins at the left. `start`
/// receives the first part of the body.
fn copy(from: &mut impl Read, to: &mut File, is_terminal: bool, start: &mut Vec<u8>) -> Result<(), Failure> {
    let mut chunk = vec![0; 16 * 1024];
    let mut last = None;
    let copied = loop {
        let n = match from.read(&mut chunk) {
            Ok(0) => break Ok(()),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => break Err(keyfob::Error::from(ureq::Error::from(e)).into()),
        };
        write(to, &chunk[..n]).map_err(|e| unwritable("standard output", &e))?;
        if start.is_empty() {
            start.extend_from_slice(&chunk[..n]);
        }
        last = chunk[..n].last().copied();
    };
    if is_terminal && last.is_some_and(|byte| byte != b'\n') {
        write(to, b"\n").map_err(|e| unwritable("standard output", &e))?;
    }
    copied
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn only_a_file_too_long_to_be_buffered_has_a_length() {
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
    fn file_that_became_shorter_is_an_error_and_one_that_grew_is_truncated() {
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
