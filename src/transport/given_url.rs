//! [`GivenUrl`]: a URL that a caller gave, or one that is found when it is used. A given URL is parsed once; an error of it is reported
//! when it is used.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::error::Error;
use crate::transport::Transport;
use crate::transport::endpoint::Endpoint;

/// A URL that a constructor took without failing, or one that the server's metadata names.
///
/// A given URL is parsed at once. [`check`](Self::check) returns the error of a bad one. `Debug` shows the origin of a good URL, and
/// nothing of a bad one. So user info, path and query are never shown.
#[derive(Clone)]
pub(crate) struct GivenUrl(Source);

#[derive(Clone)]
enum Source {
    Given(Result<Url, Error>),
    /// The endpoint of this name in the metadata (RFC 8414 2).
    Found(Arc<dyn Find>, &'static str),
}

/// Finds the URLs of a server that are not given.
pub(crate) trait Find: Send + Sync {
    /// Returns the URL of an endpoint, such as `token_endpoint`, and the transport with the time that is left for the exchange after a
    /// fetch of metadata.
    fn find<'a>(
        &self,
        endpoint: &'static str,
        transport: &'a Transport,
    ) -> Result<(Url, Cow<'a, Transport>), Error>;
}

/// A URL that can be called.
#[derive(Clone)]
pub(crate) struct Url {
    text: String,
    endpoint: Endpoint,
    callback_issuer: Option<String>,
}

impl Url {
    pub(crate) fn new(text: String, endpoint: Endpoint, callback_issuer: Option<String>) -> Self {
        Self { text, endpoint, callback_issuer }
    }

    /// The parsed URL.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The text, exactly as it was given.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The issuer that each callback of a login must name (RFC 9207), if the metadata says that the server sends it.
    pub(crate) fn callback_issuer(&self) -> Option<&String> {
        self.callback_issuer.as_ref()
    }
}

impl GivenUrl {
    /// Takes a URL that this program sends requests to. `what` names it in errors, such as "token URL".
    pub(crate) fn new(what: &str, url: impl Into<String>) -> Self {
        let text = url.into();
        Self(Source::Given(Endpoint::new(what, &text).map(|endpoint| Url::new(text, endpoint, None))))
    }

    /// Takes a URL that only a browser opens. It may be https even if this program has no TLS.
    pub(crate) fn unasked(what: &str, url: impl Into<String>) -> Self {
        let text = url.into();
        Self(Source::Given(Endpoint::unasked(what, &text).map(|endpoint| Url::new(text, endpoint, None))))
    }

    /// The URL of an endpoint that is found when it is needed.
    pub(crate) fn found(by: Arc<dyn Find>, endpoint: &'static str) -> Self {
        Self(Source::Found(by, endpoint))
    }

    /// Checks a URL that was given.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput): what [`Endpoint::new`] says about the URL.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match &self.0 {
            Source::Given(Err(error)) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Returns the URL, and the transport for the exchange at this URL. Finds the URL first if it was not given.
    ///
    /// # Errors
    /// As [`check`](Self::check) and [`Find::find`].
    pub(crate) fn resolve<'a>(
        &'a self,
        transport: &'a Transport,
    ) -> Result<(Cow<'a, Url>, Cow<'a, Transport>), Error> {
        match &self.0 {
            Source::Given(url) => {
                Ok((Cow::Borrowed(url.as_ref().map_err(Error::clone)?), Cow::Borrowed(transport)))
            }
            Source::Found(by, endpoint) => {
                let (url, transport) = by.find(endpoint, transport)?;
                Ok((Cow::Owned(url), transport))
            }
        }
    }
}

impl fmt::Debug for GivenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Given(Ok(url)) => url.endpoint.fmt(f),
            Source::Given(Err(_)) => f.write_str("Endpoint(bad URL)"),
            Source::Found(_, endpoint) => write!(f, "Endpoint({endpoint})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_user_info_path_or_query() {
        let shown = |url: &str| format!("{:?}", GivenUrl::new("token URL", url));
        assert_eq!(shown("http://127.0.0.1:8080/s3cr3t?token=s3cr3t"), "Endpoint(http://127.0.0.1:8080)");
        assert_eq!(shown("https://ada:s3cr3t@as.example/"), "Endpoint(bad URL)");
        assert_eq!(shown("s3cr3t"), "Endpoint(bad URL)");
    }

    #[test]
    fn bad_url_is_reported_when_it_is_used() {
        let url = GivenUrl::new("token URL", "http://as.example/");
        assert_eq!(
            url.check().unwrap_err().to_string(),
            "the token URL is plain http, which is allowed for 127.0.0.1, [::1] and localhost only: use https"
        );
    }

    #[test]
    fn text_stays_as_it_was_given() {
        let (url, transport) = (GivenUrl::new("token URL", "http://LOCALHOST:80"), Transport::new());
        assert_eq!(url.resolve(&transport).unwrap().0.as_str(), "http://LOCALHOST:80");
    }
}
