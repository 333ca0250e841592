//! [`RedirectUri`]: the URI that the browser opens after the login.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::check;
use crate::error::Error;
use crate::login::listener::Listener;
use crate::transport::endpoint::Endpoint;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// A checked redirect URI, exactly as the server knows it.
#[derive(Clone)]
pub(crate) struct RedirectUri {
    text: String,
    /// `None` if this machine cannot listen on it.
    local: Option<Local>,
}

/// An address of this machine that can be listened on.
#[derive(Clone)]
struct Local {
    host: String,
    ips: &'static [IpAddr],
    /// 0 means any free port.
    port: u16,
    path: String,
    path_and_query: String,
}

impl RedirectUri {
    /// Parses a redirect URI: https, http on loopback, or a program's own scheme (RFC 8252 7.1).
    pub(crate) fn new(text: &str) -> Result<Self, Error> {
        const WHAT: &str = "redirect URI";
        check::value(WHAT, text.as_bytes())?;
        if text.contains('#') {
            return Err(Error::invalid("the redirect URI has a fragment ('#'): remove it (RFC 6749 3.1.2)"));
        }
        let (scheme, rest) = text.split_once(':').unwrap_or_default();
        if !["http", "https"].iter().any(|web| scheme.eq_ignore_ascii_case(web)) {
            check_own_scheme(scheme, rest)?;
            return Ok(Self { text: text.to_owned(), local: None });
        }
        let endpoint = Endpoint::unasked(WHAT, text)?;
        let (origin, uri) = (endpoint.origin(), endpoint.uri());
        // RFC 8252 8.3: a browser may use either address for `localhost`. The listener needs both: otherwise another user of the machine
        // could listen at the other address and receive the callback.
        let ips: Option<&[IpAddr]> = match origin.host() {
            "127.0.0.1" => Some(&[V4]),
            "[::1]" => Some(&[V6]),
            "localhost" => Some(&[V4, V6]),
            _ => None,
        };
        let local = ips.filter(|_| origin.is_plain_http()).map(|ips| Local {
            host: origin.host().to_owned(),
            ips,
            port: origin.port(),
            path: uri.path().to_owned(),
            path_and_query: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        });
        if local.is_none() && origin.port() == 0 {
            return Err(Error::invalid(
                "the redirect URI has port 0, which means any free port of http://127.0.0.1, http://[::1] or http://localhost only",
            ));
        }
        Ok(Self { text: text.to_owned(), local })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Listens on the redirect URI. Returns the URI with the chosen port, and the listener or the reason why there is none.
    pub(crate) fn listen(&self) -> Result<(Self, Result<Listener, Error>), Error> {
        let Some(local) = &self.local else {
            let text = "the callback cannot be waited for: the redirect URI is not on http://127.0.0.1, http://[::1] \
                        or http://localhost; change it, or paste the callback URL";
            return Ok((self.clone(), Err(Error::invalid(text))));
        };
        let listener = Listener::bind(&local.host, local.ips, local.port, &local.path);
        if local.port != 0 {
            return Ok((self.clone(), listener));
        }
        let listener = listener?;
        let text = format!("http://{}{}", listener.authority(), local.path_and_query);
        Ok((Self { text, local: None }, Ok(listener)))
    }
}

/// Checks a scheme that is neither http nor https. `rest` is the text after its colon.
fn check_own_scheme(scheme: &str, rest: &str) -> Result<(), Error> {
    // RFC 3986 3.1. A digit after the colon means a port, as in `localhost:8080`, so the scheme is missing.
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        && !rest.starts_with(|c: char| c.is_ascii_digit());
    if !is_scheme {
        return Err(Error::invalid(
            "the redirect URI is not absolute: it begins with https://, or with http://127.0.0.1, http://[::1] or http://localhost",
        ));
    }
    // A browser would not pass these to a program.
    if ["javascript", "data", "file", "about", "blob", "vbscript"]
        .iter()
        .any(|own| scheme.eq_ignore_ascii_case(own))
    {
        return Err(Error::invalid(
            "the redirect URI has a scheme of the browser itself: use https, http on loopback, or a scheme of your program, \
             such as com.example.app (RFC 8252 7.1)",
        ));
    }
    Ok(())
}
