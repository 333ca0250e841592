//! What the person in the browser sees.

use crate::callback::Stray;
use crate::{Error, Token};

const STYLE: &str = include_str!("page.css");

/// The hash of [`STYLE`] alone lets it be used (CSP 3, 6.7.3.3): no page here runs or loads anything.
const POLICY: &str = "default-src 'none'; style-src 'sha256-bumH5/lvJcQXvMaIhzMf4FCWom9YwgKYshE5YdAWljs='; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// A page: well or not, its heading, what happened, and what to do now.
pub(super) struct Page {
    status: &'static str,
    good: bool,
    title: String,
    what: String,
    next: &'static str,
}

const GO_BACK: &str = "You can close this tab and go back to the program that you started.";

impl Page {
    /// The end of a login.
    pub(super) fn outcome(outcome: &Result<Token, Error>) -> Self {
        match outcome {
            Ok(_) => Self {
                status: "200 OK",
                good: true,
                title: "You are logged in".to_owned(),
                what: "The program that you started can now act for you.".to_owned(),
                next: "You can close this tab and go back to it.",
            },
            Err(error) => {
                let denied = error.oauth_error() == Some("access_denied");
                Self {
                    // The page is what was asked for; what failed is the login.
                    status: "200 OK",
                    good: false,
                    title: if denied { "Access was not allowed" } else { "The login failed" }.to_owned(),
                    what: sentence(&error.to_string()),
                    next: GO_BACK,
                }
            }
        }
    }

    /// A callback that does not belong to the login.
    pub(super) fn stray(stray: Stray) -> Self {
        let (what, next) = stray.texts();
        Self {
            status: "400 Bad Request",
            good: false,
            title: "This login was not accepted".to_owned(),
            what: sentence(&format!("{what}; {next}")),
            next: "You can close this tab. The program is still waiting for the login that it started.",
        }
    }

    /// A request that is none.
    pub(super) fn refusal(status: &'static str) -> Self {
        Self {
            status,
            good: false,
            title: status.to_owned(),
            what: "Nothing but the end of a login is waited for here.".to_owned(),
            next: "You can close this tab.",
        }
    }

    /// The whole response. The connection ends with it.
    pub(super) fn response(&self) -> String {
        let body = format!(
            include_str!("page.html"),
            style = STYLE,
            class = if self.good { "good" } else { "bad" },
            mark = if self.good { "✓" } else { "✗" },
            title = escape(&self.title),
            what = escape(&self.what),
            next = escape(self.next),
        );
        // RFC 9110 15.5.6.
        let allow = if self.status.starts_with("405") { "Allow: GET\r\n" } else { "" };
        format!(
            "HTTP/1.1 {}\r\n{allow}Content-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
             Content-Security-Policy: {POLICY}\r\n{COMMON}Connection: close\r\n\r\n{body}",
            self.status,
            body.len()
        )
    }
}

/// Nothing is kept, and the next site does not hear where the browser came from.
const COMMON: &str =
    "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n";

/// Sends the browser to an address without a code in it.
pub(super) fn moved(to: &str, connection: &str) -> String {
    format!(
        "HTTP/1.1 303 See Other\r\nLocation: {to}\r\nContent-Length: 0\r\n{COMMON}Connection: {connection}\r\n\r\n"
    )
}

/// For text between tags.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// An error's text with a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::ErrorKind;

    #[test]
    fn the_policy_names_the_style_of_the_page() {
        let hash = STANDARD.encode(Sha256::digest(STYLE));
        assert!(POLICY.contains(&format!("style-src 'sha256-{hash}';")), "the hash is {hash}");
        let response = Page::refusal("404 Not Found").response();
        let style = response.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
        assert_eq!(style, STYLE);
    }

    #[test]
    fn what_a_server_says_is_text() {
        let error = Error::new(ErrorKind::Refused, "said <script>alert('1')</script> & \"so\"");
        let response = Page::outcome(&Err(error)).response();
        assert!(
            response.contains(
                "<p>Said &lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;so&quot;.</p>"
            ),
            "{response}"
        );
    }

    #[test]
    fn every_page_is_whole() {
        let token = Token::new("s3cr3t", std::time::SystemTime::UNIX_EPOCH).unwrap();
        let mut pages = vec![Page::outcome(&Ok(token)), Page::refusal("404 Not Found")];
        pages.extend(Stray::ALL.map(Page::stray));
        for page in pages {
            let response = page.response();
            let (head, body) = response.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())));
            assert!(body.starts_with("<!doctype html>\n<html lang=\"en\">") && body.ends_with("</html>\n"));
            assert!(!body.contains("<script") && !body.contains("s3cr3t") && !body.contains("{}"), "{body}");
            assert_eq!(body.matches("<h1>").count(), 1);
        }
    }
}
