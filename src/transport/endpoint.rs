//! [`Endpoint`] and [`Origin`]: checked URLs, and the origins that may receive a token.

use std::fmt;

use ureq::http::Uri;
use ureq::http::uri::{Authority, Scheme};

use crate::check;
use crate::encode::form;
use crate::error::Error;
use crate::secret::Secret;
use crate::transport::resolver::literal;

/// The URL of an endpoint: https (http on loopback only), with a host, without user info or fragment.
///
/// `Debug` shows the origin only, because path and query may hold anything.
#[derive(Clone)]
pub(crate) struct Endpoint {
    uri: Uri,
    origin: Origin,
}

impl Endpoint {
    /// Checks a URL. `what` names it in errors, such as "token URL".
    pub(crate) fn new(what: &str, url: &str) -> Result<Self, Error> {
        let endpoint = Self::unasked(what, url)?;
        Origin::of(&endpoint.uri).map_err(|why| Error::invalid(format!("the {what} {why}")))?;
        Ok(endpoint)
    }

    /// Checks the URL of an endpoint that this program does not call itself, or not yet. It may be https even if this program has no TLS.
    pub(crate) fn unasked(what: &str, url: &str) -> Result<Self, Error> {
        check::value(what, url.as_bytes())?;
        if url.contains('#') {
            return Err(Error::invalid(format!("the {what} has a fragment ('#'): remove it (RFC 6749 3.2)")));
        }
        let uri: Uri = url.parse().map_err(|_| Error::invalid(format!("the {what} is not a URL")))?;
        let origin = Origin::parse(&uri).map_err(|why| Error::invalid(format!("the {what} {why}")))?;
        Ok(Self { uri, origin })
    }

    /// Returns the same URL with a secret in its query. The query is never shown.
    pub(crate) fn with_secret_in_query(&self, name: &str, value: &Secret) -> Result<Self, Error> {
        let separator = if self.uri.query().is_some() { '&' } else { '?' };
        let base = format!("{}{separator}{name}=", self.uri);
        let value = form::encode_value(value.expose());
        let mut uri = String::with_capacity(base.len() + value.len());
        uri.push_str(&base);
        uri.push_str(value.expose_str().unwrap_or_default());
        // Takes over the buffer, which has never grown, so no copy is left behind.
        let uri = Uri::try_from(uri).map_err(|_| Error::invalid("the URL would be too long"))?;
        Ok(Self { uri, origin: self.origin.clone() })
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.origin)
    }
}

/// Scheme, host and port (RFC 6454).
#[derive(Clone)]
pub(crate) struct Origin {
    scheme: Scheme,
    /// Lower case.
    host: String,
    port: u16,
    /// The origin as it was written, which most requests repeat.
    authority: Authority,
}

impl Origin {
    /// Returns the origin of a URL that may be called. The error text completes "the URL …".
    pub(crate) fn of(uri: &Uri) -> Result<Self, &'static str> {
        let origin = Self::parse(uri)?;
        if origin.scheme == Scheme::HTTPS && !cfg!(feature = "_tls") {
            return Err(
                "is https, but keyfob was built without TLS: enable its feature rustls or native-tls",
            );
        }
        Ok(origin)
    }

    fn parse(uri: &Uri) -> Result<Self, &'static str> {
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err("is not absolute: it needs https:// and a host");
        };
        if authority.as_str().contains('@') {
            return Err("holds a user name or password: give credentials separately");
        }
        let host = authority.host();
        if host.is_empty() {
            return Err("has no host");
        }
        let default_port = if *scheme == Scheme::HTTPS {
            443
        } else if *scheme == Scheme::HTTP {
            if !is_loopback(host) {
                return Err(
                    "is plain http, which is allowed for 127.0.0.1, [::1] and localhost only: use https",
                );
            }
            80
        } else {
            return Err("is neither https nor http");
        };
        if has_bad_port(authority) {
            return Err("has a port that is no number up to 65535");
        }
        let port = authority.port_u16().unwrap_or(default_port);
        Ok(Self {
            scheme: scheme.clone(),
            host: host.to_ascii_lowercase(),
            port,
            authority: authority.clone(),
        })
    }

    pub(crate) fn is_plain_http(&self) -> bool {
        self.scheme == Scheme::HTTP
    }

    /// Returns the host in lower case, an IPv6 address in brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Whether a URL has this origin. A URL with user info never has.
    pub(crate) fn contains(&self, uri: &Uri) -> bool {
        let default_port = if self.scheme == Scheme::HTTPS { 443 } else { 80 };
        uri.scheme() == Some(&self.scheme)
            && uri.authority().is_some_and(|authority| {
                // `Authority` itself compares byte by byte, without regard to case.
                authority.as_str() == self.authority.as_str()
                    || (authority.host().eq_ignore_ascii_case(&self.host)
                        && authority.port_u16().unwrap_or(default_port) == self.port
                        && !has_bad_port(authority)
                        && !authority.as_str().contains('@'))
            })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        let default_port = if self.scheme == Scheme::HTTPS { 443 } else { 80 };
        if self.port == default_port { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether something that is not a port follows the host. The crate `http` ignores it, or reports no port.
pub(crate) fn has_bad_port(authority: &Authority) -> bool {
    let host_and_port = authority.as_str().rsplit('@').next().unwrap_or_default();
    let rest = host_and_port.strip_prefix(authority.host()).unwrap_or(host_and_port);
    match rest.strip_prefix(':') {
        None => !rest.is_empty(),
        Some("") => false,
        Some(port) => !port.bytes().all(|b| b.is_ascii_digit()) || port.parse::<u16>().is_err(),
    }
}

/// Whether a request would go unencrypted.
pub(crate) fn is_plain_http(uri: &Uri) -> bool {
    uri.scheme() == Some(&Scheme::HTTP)
}

/// Whether a host is this machine: `localhost`, or an address of loopback.
pub(crate) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || literal(host).is_some_and(|ip| ip.is_loopback())
}

/// Checks a base URL, to which a path can be appended.
pub(crate) fn base_url(what: &str, url: &str) -> Result<(), Error> {
    Endpoint::new(what, url)?;
    if url.contains('?') {
        return Err(Error::invalid(format!("the {what} has a query ('?'): give it without")));
    }
    Ok(())
}

/// Joins a base URL, with or without a slash at its end, and a path.
pub(crate) fn join(base: &str, path: &str) -> String {
    format!("{}{path}", base.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(url: &str, why: &str) {
        assert_eq!(Endpoint::new("token URL", url).unwrap_err().to_string(), format!("the token URL {why}"));
    }

    #[test]
    fn slash_at_the_end_of_a_base_url_is_not_doubled() {
        assert_eq!(join("https://h/", "/a/"), "https://h/a/");
        assert_eq!(join("https://h", "/a"), "https://h/a");
    }

    #[test]
    #[cfg(feature = "_tls")]
    fn https_is_allowed_anywhere_and_http_on_loopback() {
        for (url, origin) in [
            ("https://auth.example.com/token?a=b", "https://auth.example.com"),
            ("https://Auth.Example.com:443/", "https://auth.example.com"),
            ("https://auth.example.com:8443", "https://auth.example.com:8443"),
            ("http://127.0.0.1:1/x", "http://127.0.0.1:1"),
            ("http://127.8.8.8", "http://127.8.8.8"),
            ("http://[::1]:80/", "http://[::1]"),
            ("http://LOCALHOST:8080", "http://localhost:8080"),
        ] {
            assert_eq!(Endpoint::new("token URL", url).expect(url).origin().to_string(), origin);
        }
    }

    #[test]
    fn other_urls_are_refused_with_the_reason() {
        let plain = "is plain http, which is allowed for 127.0.0.1, [::1] and localhost only: use https";
        for url in [
            "http://example.com/",
            "http://127.0.0.1.example.com/",
            "http://localhost.example.com",
            "http://10.0.0.1",
        ] {
            refused(url, plain);
        }
        refused("", "is empty");
        refused("https://a b/", "is not a URL");
        refused("https://h/\nx", "holds a control character at byte 10: remove it");
        refused("/token", "is not absolute: it needs https:// and a host");
        refused("ftp://h/", "is neither https nor http");
        refused("https://u:p@h/", "holds a user name or password: give credentials separately");
        refused("https://h/#f", "has a fragment ('#'): remove it (RFC 6749 3.2)");
        for host in ["127.0.0.1:99999", "127.0.0.1:8a", "127.0.0.1:+8", "[::1]a", "[::1]a:8"] {
            refused(&format!("http://{host}/"), "has a port that is no number up to 65535");
        }
    }

    #[test]
    fn path_and_query_are_never_shown() {
        let endpoint = Endpoint::new("URL", "http://localhost/revoke?token=s3cr3t").unwrap();
        assert_eq!(format!("{endpoint:?}"), "Endpoint(http://localhost)");
    }

    #[test]
    fn origin_is_scheme_host_and_port() {
        let origin = Origin::of(&Uri::from_static("http://127.0.0.1:8080/a")).unwrap();
        for (url, same) in [
            ("http://127.0.0.1:8080/b?c", true),
            ("http://127.0.0.1:8081/b", false),
            ("http://127.0.0.1/b", false),
            ("https://127.0.0.1:8080/b", false),
            ("http://localhost:8080/b", false),
            ("http://u@127.0.0.1:8080/b", false),
            ("http://127.0.0.1:8080.example.com/b", false),
            ("http://127.0.0.1:8080a/b", false),
            ("/b", false),
        ] {
            assert_eq!(url.parse::<Uri>().is_ok_and(|uri| origin.contains(&uri)), same, "{url}");
        }
        // The crate `http` ignores this port. It does not mean the default port.
        let origin = Origin::of(&Uri::from_static("http://127.0.0.1/")).unwrap();
        assert!(origin.contains(&Uri::from_static("http://127.0.0.1:80/")));
        assert!(!origin.contains(&Uri::from_static("http://127.0.0.1:99999/")));
    }
}
