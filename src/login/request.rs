//! [`Head`]: reads the request of a browser, in whatever pieces it arrives.

use crate::secret::Secret;

/// The longest request line. Servers choose the length of the code in it; a pasted callback URL may be as long.
const MAX_REQUEST_LINE: usize = 64 * 1024;

/// The longest header section. A browser sends all cookies of a host to each port of that host (RFC 6265 8.5).
const MAX_FIELDS: usize = 64 * 1024;

/// The most bytes that are kept of a header field. `Host` is shorter.
const MAX_FIELD: usize = 1024;

const BAD: &str = "400 Bad Request";

/// The part of a request head that was read so far. Only the header fields that are needed are kept.
#[derive(Default)]
pub(crate) struct Head {
    /// The current line, or its beginning.
    line: Secret,
    /// The length of the current line so far, and of all fields together.
    line_len: usize,
    fields_len: usize,
    target: Option<Secret>,
    /// The host in the target, if the target is a whole URL.
    authority: Option<Secret>,
    host: Option<Secret>,
    is_prefetch: bool,
    closes: bool,
    last: Last,
}

/// The header field before the current line.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Last {
    #[default]
    None,
    Host,
    Other,
}

impl Head {
    /// Takes the next bytes. Returns the request once its head is complete, or the status to answer it with.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Option<Result<Request, &'static str>> {
        bytes.split_inclusive(|&b| b == b'\n').find_map(|part| self.take_part(part).transpose())
    }

    /// Takes a line, or a part of one.
    fn take_part(&mut self, part: &[u8]) -> Result<Option<Request>, &'static str> {
        let max = if self.target.is_some() { MAX_FIELD } else { MAX_REQUEST_LINE };
        self.line_len += part.len();
        if self.target.is_some() {
            self.fields_len += part.len();
            if self.fields_len > MAX_FIELDS {
                return Err("431 Request Header Fields Too Large");
            }
        } else if self.line_len > max {
            return Err("414 URI Too Long");
        }
        self.line.extend(&part[..part.len().min(max - self.line.len())]);
        if part.last() != Some(&b'\n') {
            return Ok(None);
        }
        let (line, is_whole) = (std::mem::take(&mut self.line), self.line_len <= max);
        self.line_len = 0;
        let line = line.expose();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.target.is_none() {
            let (authority, target, closes) = target(line)?;
            (self.authority, self.target, self.closes) = (authority, Some(target), closes);
        } else if line.is_empty() {
            let (target, host) = (self.target.take(), self.host.take());
            let (target, host) = target.zip(host).ok_or(BAD)?;
            // RFC 9112 3.2.2: the host of a whole URL replaces that of the field.
            let host = self.authority.take().unwrap_or(host);
            return Ok(Some(Request { target, host, is_prefetch: self.is_prefetch, closes: self.closes }));
        } else {
            self.field(line, is_whole)?;
        }
        Ok(None)
    }

    fn field(&mut self, line: &[u8], is_whole: bool) -> Result<(), &'static str> {
        let is_blank = |b: &u8| matches!(b, b' ' | b'\t');
        if line.first().is_some_and(is_blank) {
            // RFC 9112 5.2: the line continues the field before it. Only a field that is not needed may be folded.
            return if self.last == Last::Other { Ok(()) } else { Err(BAD) };
        }
        let colon = line.iter().position(|&b| b == b':').ok_or(BAD)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        // RFC 9112 5.1: no white space is allowed between the name and the colon.
        if name.is_empty() || name.iter().any(is_blank) {
            return Err(BAD);
        }
        self.last = Last::Other;
        if name.eq_ignore_ascii_case(b"host") {
            self.last = Last::Host;
            if !is_whole || self.host.replace(value.to_vec().into()).is_some() {
                return Err(BAD);
            }
        } else if name.eq_ignore_ascii_case(b"sec-purpose") || name.eq_ignore_ascii_case(b"purpose") {
            self.is_prefetch |= value.to_ascii_lowercase().starts_with(b"prefetch");
        } else if name.eq_ignore_ascii_case(b"connection") {
            self.closes |= value.split(|&b| b == b',').any(|o| o.trim_ascii().eq_ignore_ascii_case(b"close"));
        }
        Ok(())
    }
}

/// The host and the target in the request line of a `GET` (RFC 9112 3), and whether the version is one without persistent connections.
/// A browser sends the whole URL if it uses this program as a proxy.
fn target(line: &[u8]) -> Result<(Option<Secret>, Secret, bool), &'static str> {
    let words: Vec<_> = line.split(|&b| b == b' ').collect();
    let [method, target, version] = words[..] else { return Err(BAD) };
    let (authority, target) = match target.split_at_checked(7) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"http://") => {
            let (authority, target) = rest.split_at(rest.iter().position(|&b| b == b'/').ok_or(BAD)?);
            (Some(authority.to_vec().into()), target)
        }
        _ => (None, target),
    };
    if !version.starts_with(b"HTTP/1.") || !target.starts_with(b"/") {
        return Err(BAD);
    }
    if method != b"GET" {
        return Err("405 Method Not Allowed");
    }
    Ok((authority, target.to_vec().into(), version == b"HTTP/1.0"))
}

/// A `GET` with one `Host` (RFC 9112 3.2).
pub(crate) struct Request {
    target: Secret,
    host: Secret,
    /// Whether the browser fetches the page before a person opens it. It asks again when they do.
    pub(super) is_prefetch: bool,
    /// Whether the browser will not use the connection again (RFC 9112 9.3). HTTP/1.0 with `keep-alive` also counts as such.
    pub(super) closes: bool,
}

impl Request {
    /// The target of a request to this host and port. A request to another host name, which someone pointed to this machine (DNS
    /// rebinding), is refused with a status.
    pub(crate) fn target(&self, full: &str) -> Result<&[u8], &'static str> {
        // A browser leaves out the default port.
        let short = full.strip_suffix(":80").unwrap_or(full);
        if ![full.as_bytes(), short.as_bytes()].contains(&self.host.expose()) {
            return Err("421 Misdirected Request");
        }
        Ok(self.target.expose())
    }
}
