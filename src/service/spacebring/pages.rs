//! [`Pages`]: a list, page by page.

use std::fmt;
use std::io::Read as _;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::Agent;

use crate::agent::signing::AsAnswer;
use crate::check;
use crate::encode::form;
use crate::encode::json::{object, other_encoding, unescape, without_mark};
use crate::error::{Advice, Error, ErrorKind};
use crate::transport::endpoint::Endpoint;

/// The page token's name: a parameter of a request, and a field of an answer.
const TOKEN: &str = "nextPageToken";

/// Walks through any of Spacebring's lists, a page at a time, in the order of the server.
///
/// Yields each page unchanged: as a [`Value`], or as a type of the caller's with [`of`](Self::of). It holds one page at most, and asks
/// for the next page only when the caller does. An error ends the list; [`next_page`](Self::next_page) says where, and
/// [`starting_at`](Self::starting_at) continues from there.
///
/// ```no_run
/// # fn main() -> Result<(), keyfob::Error> {
/// use keyfob::spacebring::{Customer, Pages};
///
/// let customer = Customer::from_env()?;
/// let list = format!("{}/resources/v1?limit=100", customer.api_url());
/// for page in Pages::new(&customer.agent(), &list)? {
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
    /// The position of the next page, or of the page that failed.
    position: Position,
    ended: bool,
    count: u64,
    /// An earlier token, replaced after each doubling of `count`. This is enough to notice any cycle (Brent's method).
    seen: Option<String>,
    page: PhantomData<fn() -> T>,
}

enum Position {
    First,
    Token(String),
    /// A page that the list has already returned.
    Circle,
    End,
}

impl Pages {
    /// The list at this URL, filters and `limit` included.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the URL is not https (http on loopback), or if it holds
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
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the token is empty, longer than 16 KiB or holds a control character.
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
                return Err(self.nonsense("has a `nextPageToken` that does not advance", Advice::TellService));
            }
            Position::Token(token) => {
                let separator = if self.url.contains('?') { '&' } else { '?' };
                let token = form::encode_value(token.as_bytes());
                let token = token.expose_str().unwrap_or_default();
                self.agent.get(format!("{}{separator}{TOKEN}={token}", self.url))
            }
        };
        // With the answer comes how long to wait.
        let mut response = request.extension(AsAnswer).call().map_err(Error::from)?;
        if let Some(error) = Error::from_response(&response) {
            return Err(error);
        }
        let mut body = Vec::new();
        // One byte more distinguishes a page that is too long from one that just fits.
        let mut reader = response.body_mut().as_reader().take((self.limit as u64).saturating_add(1));
        reader.read_to_end(&mut body).map_err(|error| Error::from(ureq::Error::from(error)))?;
        if body.len() > self.limit {
            return Err(self.nonsense("is longer than allowed", Advice::ShortenPages));
        }
        Ok(body)
    }

    /// Where the page after this one is.
    fn after(&mut self, body: &[u8]) -> Result<Position, Error> {
        const CHECK: Advice = Advice::CheckListUrl;
        let [next] = object(body, [TOKEN]).ok_or_else(|| match other_encoding(body) {
            Some(encoding) => {
                self.nonsense(&format!("is {encoding}, and JSON is UTF-8 (RFC 8259 8.1)"), CHECK)
            }
            None => self.nonsense("is not a JSON object", CHECK),
        })?;
        let Some(next) = next.filter(|next| *next != "null") else { return Ok(Position::End) };
        let token = unescape(next).and_then(|token| token.expose_str().map(str::to_owned));
        let token = match token {
            Some(token) if token.is_empty() => return Ok(Position::End),
            Some(token) => match check::value("next page's token", token.as_bytes()) {
                Ok(()) => token,
                Err(why) => return Err(self.nonsense(&format!("cannot be followed: {why}"), CHECK)),
            },
            None => return Err(self.nonsense("has a `nextPageToken` that is no text", CHECK)),
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

    fn nonsense(&self, what: &str, advice: Advice) -> Error {
        let host = Endpoint::new("URL of the list", &self.url).map(|url| url.origin().to_string());
        Error::of(ErrorKind::Protocol, format!("a page {what}"))
            .with_task("get a list from", host.unwrap_or_default())
            .with_advice(advice)
    }
}

impl<T: DeserializeOwned> Iterator for Pages<T> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if std::mem::replace(&mut self.ended, true) {
            return None;
        }
        let page = self.fetch().and_then(|body| {
            let body = without_mark(&body);
            let next = self.after(body)?;
            let page = serde_json::from_slice(body)
                .map_err(|_| self.nonsense("does not have the shape that is asked for", Advice::CheckType))?;
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
