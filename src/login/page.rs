//! [`Page`]: what the person in the browser sees.

use crate::error::Error;
use crate::login::callback::UnrelatedCallback;
use crate::secret::Secret;
use crate::token::Token;

const STYLE: &str = include_str!("page.css");

/// Allows [`STYLE`] by its hash (CSP 3, 6.7.3.3) and nothing else: no page runs or loads anything.
const POLICY: &str = "default-src 'none'; style-src 'sha256-bumH5/lvJcQXvMaIhzMf4FCWom9YwgKYshE5YdAWljs='; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// A page: whether it reports a success, its heading, what happened, and what to do now.
pub(super) struct Page {
    status: &'static str,
    good: bool,
    title: String,
    what: String,
    next: &'static str,
}

const GO_BACK: &str = "You can close this tab and go back to the program that you started.";

impl Page {
    /// The page at the end of a login.
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
                    // The page itself was found; the login failed.
                    status: "200 OK",
                    good: false,
                    title: if denied { "Access was not allowed" } else { "The login failed" }.to_owned(),
                    what: sentence(&error.to_string()),
                    next: GO_BACK,
                }
            }
        }
    }

    /// The page for a callback that does not belong to the login.
    pub(super) fn unrelated(unrelated: UnrelatedCallback) -> Self {
        let (what, next) = unrelated.texts();
        Self {
            status: "400 Bad Request",
            good: false,
            title: "This login was not accepted".to_owned(),
            what: sentence(&format!("{what}; {next}")),
            next: "You can close this tab. The program is still waiting for the login that it started.",
        }
    }

    /// The page for a request that is refused with this status.
    pub(super) fn refusal(status: &'static str) -> Self {
        Self {
            status,
            good: false,
            title: status.to_owned(),
            what: "This address accepts the callback of a login and nothing else.".to_owned(),
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

/// The browser stores nothing, and sends no `Referer` to the next site.
const COMMON: &str =
    "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n";

/// Returns a redirect to another address, to which the browser sends no `Referer`.
pub(super) fn moved(to: &[u8], connection: &str) -> Secret {
    let mut response = Secret::from("HTTP/1.1 303 See Other\r\nLocation: ");
    response.extend(to);
    response.extend(format!("\r\nContent-Length: 0\r\n{COMMON}Connection: {connection}\r\n\r\n").as_bytes());
    response
}

/// Escapes text between tags.
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

/// The text of an error with a capital letter and a full stop.
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
    use crate::error::ErrorKind;

    #[test]
    fn policy_has_the_hash_of_the_style() {
        let hash = STANDARD.encode(Sha256::digest(STYLE));
        assert!(POLICY.contains(&format!("style-src 'sha256-{hash}';")), "the hash is {hash}");
        let response = Page::refusal("404 Not Found").response();
        let style = response.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
        assert_eq!(style, STYLE);
    }

    #[test]
    fn words_of_a_server_are_escaped() {
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
    fn every_page_is_complete_and_has_no_script() {
        let token = Token::new("s3cr3t", std::time::SystemTime::UNIX_EPOCH).unwrap();
        let mut pages = vec![Page::outcome(&Ok(token)), Page::refusal("404 Not Found")];
        pages.extend(UnrelatedCallback::ALL.map(Page::unrelated));
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
