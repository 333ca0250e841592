//! [`Target`]: the only place where a request may go, which is the API.

use keyfob::ureq::http::Uri;
use keyfob::ureq::http::uri::Authority;

use crate::failure::Failure;

/// The longest URL that `http` accepts.
const MOST: usize = 65_534;

/// The bytes that a URL may have. `http` accepts a few more, but servers disagree on their meaning.
static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        plain[byte as usize] =
            !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}');
        byte += 1;
    }
    plain
};

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| PLAIN[usize::from(byte)])
}

/// The API of a service. Paths are appended to its URL, and URLs must belong to it.
pub struct Target {
    base: Uri,
    /// The part of the base after its authority, to which a path is appended.
    prefix: String,
    /// The length of the whole base.
    len: usize,
    origin: Origin,
}

struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl Target {
    /// `base` has been checked by the library.
    pub fn new(base: &str) -> Result<Self, Failure> {
        let uri: Uri = base.parse().map_err(|_| Failure::invalid("the API URL is not a URL"))?;
        let origin = origin(&uri).ok_or_else(|| Failure::invalid("the API URL is not absolute"))?;
        if !is_plain(base) {
            return Err(Failure::invalid(
                "the API URL holds characters that no URL has: percent-encode them",
            ));
        }
        let (_, after_scheme) = base.split_once("://").unwrap_or_default();
        let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
        Ok(Self { prefix: after_scheme[authority..].to_owned(), len: base.len(), base: uri, origin })
    }

    /// Returns the URL of a path of the API, or a URL of the API unchanged.
    pub fn url(&self, path_or_url: &str) -> Result<Uri, Failure> {
        let plain = is_plain(path_or_url);
        if !plain && path_or_url.contains('\u{feff}') {
            return Err(Failure::invalid(
                "the path or URL holds a byte order mark (U+FEFF), which cannot be seen: remove it",
            ));
        }
        let is_url = !path_or_url.starts_with('/') && path_or_url.contains("://");
        if !plain && path_or_url.contains('#') {
            return Err(Failure::invalid(
                "the path or URL has a fragment ('#'), which no server gets to see: remove it, or write %23",
            ));
        }
        if !is_url && !path_or_url.starts_with('/') {
            return Err(Failure::invalid("a path begins with '/', and a URL with https://"));
        }
        let len = path_or_url.len() + if is_url { 0 } else { self.len };
        if len > MOST {
            return Err(Failure::invalid(format!(
                "the URL is {len} bytes long; none can be longer than {MOST}: nothing was sent"
            )));
        }
        let parsed = if is_url { path_or_url.parse().ok() } else { self.with(path_or_url) };
        let uri: Uri = parsed.filter(|_| plain).ok_or_else(|| {
            Failure::invalid(
                "the path or URL holds characters that no URL has: percent-encode them, as in %20 for a space",
            )
        })?;
        // A path has the authority of the API.
        if !is_url {
            return Ok(uri);
        }
        if uri.authority().map(Authority::as_str).is_some_and(|authority| authority.contains('@')) {
            return Err(Failure::invalid(
                "the URL has a user name in it ('@'): remove it, because keyfob sends the credentials itself",
            ));
        }
        if !self.origin.is_of(&uri) {
            return Err(Failure::invalid(format!(
                "the URL is not at {}, so the request would carry the credentials to somebody else: nothing was sent; \
                 give a path of the API, or add this origin to the service's api_url",
                self.origin
            )));
        }
        Ok(uri)
    }

    /// Returns the URL of a path. A batch asks for each line, so only the path is parsed.
    fn with(&self, path: &str) -> Option<Uri> {
        let mut parts = self.base.clone().into_parts();
        parts.path_and_query = Some([&*self.prefix, path].concat().try_into().ok()?);
        Uri::from_parts(parts).ok()
    }
}

impl Origin {
    /// Whether a URL has this origin.
    fn is_of(&self, uri: &Uri) -> bool {
        let is = |own: &str, other: Option<&str>| other.is_some_and(|other| own.eq_ignore_ascii_case(other));
        is(&self.scheme, uri.scheme_str())
            && is(&self.host, uri.host())
            && self.port == uri.port_u16().or(default_port(&self.scheme))
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match (self.port, self.scheme.as_str()) {
            (None, _) | (Some(443), "https") | (Some(80), "http") => Ok(()),
            (Some(port), _) => write!(f, ":{port}"),
        }
    }
}

fn origin(uri: &Uri) -> Option<Origin> {
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let host = uri.host()?.to_ascii_lowercase();
    Some(Origin { port: uri.port_u16().or(default_port(&scheme)), scheme, host })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_below_the_api_is_accepted() {
        let target = Target::new("https://api.example.com").unwrap();
        for (given, url) in [
            ("/a", "https://api.example.com/a"),
            ("/a?b=c%20d", "https://api.example.com/a?b=c%20d"),
            ("/@evil.example/", "https://api.example.com/@evil.example/"),
            ("//evil.example/", "https://api.example.com//evil.example/"),
            ("/a?to=https%3A%2F%2Fevil.example", "https://api.example.com/a?to=https%3A%2F%2Fevil.example"),
            ("/a?to=https://evil.example/", "https://api.example.com/a?to=https://evil.example/"),
            ("/https://evil.example/", "https://api.example.com/https://evil.example/"),
            ("https://api.example.com/a", "https://api.example.com/a"),
            ("HTTPS://API.example.com:443/a", "https://API.example.com:443/a"),
        ] {
            assert_eq!(target.url(given).map(|url| url.to_string()).ok().as_deref(), Some(url), "{given}");
        }
        let below = Target::new("https://api.example.com:8443/v1/").unwrap().url("/a?b").unwrap();
        assert_eq!(below, "https://api.example.com:8443/v1//a?b");
        assert!(Target::new("https://api.example.com/{v}").is_err());
    }

    #[test]
    fn target_outside_the_api_is_refused() {
        let target = Target::new("https://api.example.com").unwrap();
        for (given, why) in [
            ("https://evil.example/a", "not at https://api.example.com"),
            ("http://api.example.com/a", "not at https://api.example.com"),
            ("https://api.example.com:8443/a", "not at https://api.example.com"),
            ("https://api.example.com.evil.example/a", "not at https://api.example.com"),
            ("https://api.example.com@evil.example/a", "user name"),
            ("https://a:b@api.example.com/a", "user name"),
            ("ftp://api.example.com/a", "not at https://api.example.com"),
            ("https:///a", "characters"),
            (".evil.example/a", "begins with '/'"),
            ("@evil.example/a", "begins with '/'"),
            ("a", "begins with '/'"),
            ("", "begins with '/'"),
            ("/a b", "percent-encode"),
            ("/a\r\nHost: evil", "percent-encode"),
            ("/ä", "percent-encode"),
            ("/a#b", "fragment"),
        ] {
            let Err(failure) = target.url(given) else { panic!("{given}") };
            assert!(failure.to_string().contains(why), "{given}: {failure}");
            assert_eq!(failure.exit_status(), 2);
        }
    }
}
