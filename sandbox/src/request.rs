//! Received requests.

use httpmock::HttpMockRequest;

use crate::answer::Answer;

/// The content type of forms.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// A request in the form that the services read.
pub(crate) struct Request<'a> {
    raw: &'a HttpMockRequest,
    path: String,
    query: Vec<(String, String)>,
    base_url: String,
}

impl<'a> Request<'a> {
    /// Reads a request that arrived at a server of this scheme.
    pub(crate) fn read(raw: &'a HttpMockRequest, scheme: &str) -> Self {
        let host = raw.headers_vec().iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
        let base_url = format!("{scheme}://{}", host.map_or("", |(_, value)| value));
        let uri = raw.uri();
        let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        Self { raw, path: uri.path().to_owned(), query, base_url }
    }

    pub(crate) fn method(&self) -> &str {
        self.raw.method_str()
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Scheme, host and port, as the client wrote them.
    pub(crate) fn base_url(&self) -> &str {
        &self.base_url
    }

    pub(crate) fn query(&self) -> &[(String, String)] {
        &self.query
    }

    pub(crate) fn headers(&self) -> &[(String, String)] {
        self.raw.headers_vec()
    }

    pub(crate) fn body(&self) -> &[u8] {
        self.raw.body_ref()
    }

    /// A header that may come once at most.
    pub(crate) fn header(&self, name: &str) -> Result<Option<&'a str>, Answer> {
        let mut values = self.raw.headers_vec().iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        match (values.next(), values.next()) {
            (first, None) => Ok(first.map(|(_, value)| value.as_str())),
            _ => Err(Answer::detail(400, &format!("The header {name} was sent more than once"))),
        }
    }

    /// True for a body of JSON by its content type, whose parameters do not matter.
    pub(crate) fn is_json(&self) -> bool {
        let content_type = self.header("content-type").ok().flatten().unwrap_or_default();
        content_type.split(';').next() == Some("application/json")
    }

    /// A query parameter that must come exactly once.
    pub(crate) fn query_parameter(&self, name: &str) -> Result<&str, Answer> {
        once(&self.query, "query", name)
    }

    /// False for a request that was meant for another server.
    pub(crate) fn is_for(&self, port: u16) -> bool {
        let host = self.header("host").ok().flatten();
        let is_own = |host: &str| {
            ["127.0.0.1", "localhost", "0.0.0.0"].iter().any(|own| host == format!("{own}:{port}"))
        };
        host.is_some_and(is_own)
    }

    pub(crate) fn expect_method(&self, method: &str) -> Result<(), Answer> {
        if self.method() == method {
            return Ok(());
        }
        Err(Answer::detail(405, "Method Not Allowed").with_header("Allow", method))
    }

    pub(crate) fn expect_no_query(&self) -> Result<(), Answer> {
        if self.raw.uri().query().is_none() {
            return Ok(());
        }
        Err(Answer::unprocessable("extra_forbidden", &["query"], "No query is permitted here"))
    }

    pub(crate) fn expect_no_body(&self) -> Result<(), Answer> {
        if self.body().is_empty() {
            return Ok(());
        }
        Err(Answer::unprocessable("extra_forbidden", &["body"], "The body must be empty"))
    }
}

/// Reads a form, each byte of which must be one that a careful encoder writes (RFC 6749, appendix B).
pub(crate) fn parse_form(body: &[u8]) -> Option<Vec<(String, String)>> {
    let is_encoded = body.iter().enumerate().all(|(at, byte)| match byte {
        b'%' => body.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)),
        b'&' | b'=' | b'+' | b'*' | b'-' | b'.' | b'_' | b'~' => true,
        _ => byte.is_ascii_alphanumeric(),
    });
    is_encoded.then(|| form_urlencoded::parse(body).into_owned().collect())
}

/// Returns the value of a parameter that must be sent exactly once.
pub(crate) fn once<'p>(
    parameters: &'p [(String, String)],
    place: &str,
    name: &str,
) -> Result<&'p str, Answer> {
    let mut values = parameters.iter().filter(|(n, _)| n == name);
    match (values.next(), values.next()) {
        (Some((_, value)), None) => Ok(value),
        (None, _) => Err(Answer::unprocessable("missing", &[place, name], "Field required")),
        _ => Err(Answer::unprocessable("repeated", &[place, name], "Field was sent more than once")),
    }
}
