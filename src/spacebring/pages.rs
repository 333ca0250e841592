//! [`Pages`]: a list, page by page.

use std::fmt;
use std::io::Read as _;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::Agent;

use crate::endpoint::Endpoint;
use crate::{Error, ErrorKind, check, classify, classify_answer, form};

/// The parameter of a request and the field of an answer.
const TOKEN: &str = "nextPageToken";

/// Walks through any of Spacebring's lists, a page at a time, in the order of the server.
///
/// Yields each page as it came: a [`Value`], or a type of the caller's by [`of`](Self::of). It holds one page at most,
/// and asks for the next only when told to. An error ends it; [`next_page`](Self::next_page) says where, and
/// [`starting_at`](Self::starting_at) goes on from there.
///
/// ```no_run
/// # fn main() -> Result<(), keyfob::Error> {
/// use keyfob::spacebring::{Customer, Pages};
///
/// let customer = Customer::from_env()?;
/// let list = format!("{}/resources/v1?limit=100", customer.api_url());
/// for page in Pages::new(&customer.agent()?, &list)? {
///     for resource in page?["resources"].as_array().into_iter().flatten() {
///         println!("{}", resource["title"]);
///     }
/// }
/// # Ok(()) }
/// ```
pub struct Pages<T = Value> {
    agent: Agent,
    url: String,
    limit: usize,
    /// Of the next page, or of the one that failed.
    position: Position,
    ended: bool,
    count: u64,
    /// A token that came before, another one after each doubling of `count`: enough to notice any circle (Brent).
    seen: Option<String>,
    page: PhantomData<fn() -> T>,
}

enum Position {
    First,
    Token(String),
    /// Where the list has been already.
    Circle,
    End,
}

impl Pages {
    /// The list at this URL, filters and `limit` included.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is not https (http on loopback), or if it holds
    /// `nextPageToken`.
    pub fn new(agent: &Agent, url: &str) -> Result<Self, Error> {
        let endpoint = Endpoint::new("URL of the list", url)?;
        let parameters = endpoint.uri().query().unwrap_or_default().split('&');
        if parameters.into_iter().any(|pair| pair.split('=').next() == Some(TOKEN)) {
            return Err(Error::invalid(
                "the URL of the list holds `nextPageToken`: give its value to `starting_at`",
            ));
        }
        Ok(Self {
            agent: agent.clone(),
            url: url.to_owned(),
            limit: 8 * 1024 * 1024,
            position: Position::First,
            ended: false,
            count: 0,
            seen: None,
            page: PhantomData,
        })
    }

    /// Yields a type of the caller's in place of a [`Value`].
    pub fn of<T: DeserializeOwned>(self) -> Pages<T> {
        let Self { agent, url, limit, position, ended, count, seen, page: _ } = self;
        Pages { agent, url, limit, position, ended, count, seen, page: PhantomData }
    }
}

impl<T> Pages<T> {
    /// Starts at the page with this token. Default: at the first page.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is empty, longer than 16 KiB or holds a control character.
    pub fn starting_at(mut self, token: &str) -> Result<Self, Error> {
        check::value("page token", token.as_bytes())?;
        self.position = Position::Token(token.to_owned());
        Ok(self)
    }

    /// Sets how many bytes a page may have. Default: 8 MiB.
    pub fn with_page_limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// The token of the page that comes next, or of the one that failed. `None` before the first page and after the
    /// last.
    pub fn next_page(&self) -> Option<&str> {
        match &self.position {
            Position::Token(token) => Some(token),
            _ => None,
        }
    }

    fn fetch(&self) -> Result<Vec<u8>, Error> {
        let request = match &self.position {
            Position::First | Position::End => self.agent.get(&self.url),
            Position::Circle => {
                return Err(self.nonsense(
                    "has a `nextPageToken` that does not advance",
                    "tell the service, or ask for smaller parts of the list",
                ));
            }
            Position::Token(token) => {
                let separator = if self.url.contains('?') { '&' } else { '?' };
                let token = form::encode_value(token.as_bytes());
                let token = token.expose_str().unwrap_or_default();
                self.agent.get(format!("{}{separator}{TOKEN}={token}", self.url))
            }
        };
        let mut response = request.call().map_err(classify)?;
        if let Some(error) = classify_answer(&response) {
            return Err(error);
        }
        let mut body = Vec::new();
        // One byte more tells a page that is too long from one that just fits.
        let mut reader = response.body_mut().as_reader().take((self.limit as u64).saturating_add(1));
        reader.read_to_end(&mut body).map_err(|error| classify(error.into()))?;
        if body.len() > self.limit {
            return Err(
                self.nonsense("is longer than allowed", "ask for fewer items with `limit`, or allow more")
            );
        }
        Ok(body)
    }

    /// Where the page after this one is.
    fn after(&mut self, body: &[u8]) -> Result<Position, Error> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(rename = "nextPageToken", default)]
            next: Value,
        }
        const CHECK: &str = "check the URL of the list";
        // serde would take a list for the object's fields in order.
        let page: Page = Some(body)
            .filter(|body| body.trim_ascii_start().starts_with(b"{"))
            .and_then(|body| serde_json::from_slice(body).ok())
            .ok_or_else(|| self.nonsense("is not a JSON object", CHECK))?;
        let token = match page.next {
            Value::Null => return Ok(Position::End),
            Value::String(token) if token.is_empty() => return Ok(Position::End),
            Value::String(token) => token,
            _ => return Err(self.nonsense("has a `nextPageToken` that is no text", CHECK)),
        };
        let is_this = matches!(&self.position, Position::Token(sent) if *sent == token);
        if is_this || self.seen.as_ref() == Some(&token) {
            return Ok(Position::Circle);
        }
        self.count += 1;
        if self.count.is_power_of_two() {
            self.seen = Some(token.clone());
        }
        Ok(Position::Token(token))
    }

    fn nonsense(&self, what: &str, next: &str) -> Error {
        let host = Endpoint::new("URL of the list", &self.url).map(|url| url.origin().to_string());
        let host = host.unwrap_or_default();
        Error::new(ErrorKind::Protocol, format!("could not get a list from {host}: a page {what}; {next}"))
    }
}

impl<T: DeserializeOwned> Iterator for Pages<T> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if std::mem::replace(&mut self.ended, true) {
            return None;
        }
        let page = self.fetch().and_then(|body| {
            let next = self.after(&body)?;
            let page = serde_json::from_slice(&body)
                .map_err(|_| self.nonsense("does not have the shape that is asked for", "check the type"))?;
            self.ended = matches!(next, Position::End);
            self.position = next;
            Ok(page)
        });
        Some(page)
    }
}

impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("count", &self.count).finish_non_exhaustive()
    }
}
