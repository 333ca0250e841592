//! Whether, and when, a call is tried again.

use std::iter;
use std::mem;
use std::time::{Duration, SystemTime};

use ureq::http::header::{DATE, RETRY_AFTER};
use ureq::http::{HeaderMap, Method, Uri};

use crate::clock::{Clock, Deadline, Stopwatch};
use crate::encode::words;
use crate::sys::random;
use crate::text::Seconds;
use crate::transport::endpoint::Origin;

/// The most tries of a call. Tries that an API has answered with 429 do not count.
const TRIES: u32 = 3;

/// Which outcomes allow another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// An exchange that can be repeated without loss: after 429, 5xx and failed connections.
    Always,
    /// The same as `Always`, but a 2xx is final even if its body is cut off, because a repeat could be refused.
    Acknowledged,
    /// An exchange whose answer the server gives only once: after 429, 503, and failures before any byte was sent. In these cases the
    /// server has done nothing.
    Busy,
    /// An exchange whose answer the server gives only once, and that is repeated only after failures before any byte was sent.
    Unsent,
    /// An API call whose method may be repeated (RFC 9110 9.2.2): after 429, 502, 503, 504 and failed connections.
    Idempotent,
    /// Any other API call: only after 429.
    Call,
}

impl Repeat {
    /// The rule for an API call.
    pub(crate) fn of_method(method: &Method) -> Self {
        match *method {
            Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS => Self::Idempotent,
            _ => Self::Call,
        }
    }

    /// How often a call is tried again after this outcome.
    fn limit(self, outcome: Outcome) -> Limit {
        let is_repeatable = match (self, outcome) {
            (Self::Idempotent | Self::Call, Outcome::Status(429, _)) => return Limit::Deadline,
            (Self::Always | Self::Acknowledged, Outcome::Status(status, _)) => status == 429 || status >= 500,
            (Self::Busy, Outcome::Status(status, _)) => status == 429 || status == 503,
            (Self::Idempotent, Outcome::Status(status, _)) => (502..=504).contains(&status),
            (Self::Unsent, Outcome::Status(..)) | (Self::Call, _) => false,
            (Self::Always | Self::Acknowledged | Self::Idempotent, Outcome::Failure { transient, .. }) => {
                transient
            }
            (Self::Busy | Self::Unsent, Outcome::Failure { transient, sent }) => transient && !sent,
        };
        if is_repeatable { Limit::Tries } else { Limit::Never }
    }

    /// Whether the server gives its answer only once.
    pub(super) fn is_once(self) -> bool {
        matches!(self, Self::Busy | Self::Unsent)
    }

    /// Whether an answer with an incomplete body is accepted.
    pub(super) fn takes_part(self) -> bool {
        self != Self::Always
    }
}

/// The part of a try's outcome that decides whether another try follows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// The status of an answer, and its `Retry-After`.
    Status(u16, Option<Duration>),
    /// No answer.
    Failure {
        /// The next try may succeed.
        transient: bool,
        /// A byte of the request may have reached the server.
        sent: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    Never,
    /// Up to [`TRIES`] tries in all.
    Tries,
    /// As long as the deadline allows.
    Deadline,
}

/// The tries of one call.
#[derive(Debug)]
pub(crate) struct Retry {
    repeat: Repeat,
    tries: u32,
    /// The tries that count towards [`TRIES`].
    failures: u32,
}

impl Retry {
    pub(crate) fn new(repeat: Repeat) -> Self {
        Self { repeat, tries: 0, failures: 0 }
    }

    /// Returns how long to wait before the next try, or `None` if this outcome is final.
    pub(crate) fn after(&mut self, outcome: Outcome) -> Option<Duration> {
        self.tries += 1;
        match self.repeat.limit(outcome) {
            Limit::Never => return None,
            Limit::Tries if self.failures + 1 >= TRIES => return None,
            Limit::Tries => self.failures += 1,
            Limit::Deadline => {}
        }
        let asked = match outcome {
            Outcome::Status(_, retry_after) => retry_after,
            Outcome::Failure { .. } => None,
        };
        Some(pause(asked, self.tries))
    }
}

/// A call that may take several tries.
pub(crate) trait Tries {
    type Answer;
    type Failure;

    /// Makes one try.
    fn attempt(&mut self) -> Result<Self::Answer, Self::Failure>;

    /// Returns how long to wait before the next try, or `None` if this outcome is final.
    ///
    /// # Errors
    /// The error that ends the call in place of this outcome.
    fn wait_after(
        &mut self,
        outcome: &Result<Self::Answer, Self::Failure>,
    ) -> Result<Option<Duration>, Self::Failure>;

    /// Keeps an answer that is followed by another try. It is returned if no time is left for that try.
    fn set_aside(&mut self, answer: Self::Answer) -> Option<Self::Answer>;

    fn is_timeout(failure: &Self::Failure) -> bool;

    /// The method and URL of the call, for log records.
    fn request(&self) -> (&Method, &Uri);

    /// Returns the outcome of a try for log records, without secrets.
    fn describe(&self, outcome: &Result<Self::Answer, Self::Failure>) -> String;

    /// Returns where the token of the last try came from, for log records.
    fn token_from(&self) -> Option<&'static str> {
        None
    }
}

/// Tries until an outcome is final, or until no time is left for another try.
// Inlined, as the methods of the agent are. That saves about 90 instructions of each API call.
#[inline]
pub(crate) fn run<T: Tries>(call: &mut T, deadline: &Deadline) -> Result<T::Answer, T::Failure> {
    let mut earlier = None;
    let mut tries = Vec::new();
    loop {
        let begun = log::log_enabled!(target: "keyfob", log::Level::Debug).then(Stopwatch::start);
        let outcome = call.attempt();
        if let Some(begun) = begun {
            tries.push(call.describe(&outcome));
            log_try(call.request(), call.token_from(), &begun, outcome.is_err(), &tries);
        }
        let wait = call.wait_after(&outcome)?;
        if let Some(wait) = wait.filter(|wait| wait.is_zero() || deadline.allows(*wait)) {
            // Logged before the wait, so that a reader of the log knows what the call is waiting for.
            let wait = Seconds(wait);
            log::info!(target: "keyfob", "trying again after {wait} s: {}: {}", place(call.request()), call.describe(&outcome));
        }
        match (wait, outcome) {
            (Some(wait), outcome) if wait.is_zero() || deadline.pause(wait) => {
                earlier = outcome.ok().and_then(|answer| call.set_aside(answer));
            }
            // An earlier answer, such as 503, says more than a time-out.
            (_, Err(failure)) if T::is_timeout(&failure) => return earlier.ok_or(failure),
            (_, outcome) => return outcome,
        }
    }
}

/// Returns the method, the origin and the path of a request, for log records.
fn place((method, uri): (&Method, &Uri)) -> String {
    let origin = Origin::of(uri).map_or_else(|_| "its server".to_owned(), |origin| origin.to_string());
    let is_secret = words::repeats_any(uri.path(), iter::empty());
    format!("{method} {origin}{}", if is_secret { "/…" } else { uri.path() })
}

/// Makes the log record of the last of these tries.
#[cold]
fn log_try(request: (&Method, &Uri), token: Option<&str>, begun: &Stopwatch, failed: bool, tries: &[String]) {
    let [before @ .., last] = tries else { return };
    let token = token.map(|place| format!(", token from {place}")).unwrap_or_default();
    let number = tries.len();
    let of = if number <= TRIES as usize { format!(" of {TRIES}") } else { String::new() };
    let again = before.last().map(|why| format!(", try {number}{of} after {why}")).unwrap_or_default();
    let took = begun.elapsed().as_millis();
    let what =
        if failed { format!("failed after {took} ms: {last}") } else { format!("{last} in {took} ms") };
    log::debug!(target: "keyfob", "{}: {what}{token}{again}", place(request));
}

/// Returns how long the server asks to wait: `Retry-After` in seconds or as a date (RFC 9110 10.2.3), the longest of several. A date is
/// compared with the answer's `Date`, or with `clock` if there is none.
pub(crate) fn retry_after(headers: &HeaderMap, clock: &Clock) -> Option<Duration> {
    let until = |text: &str| {
        let date = parse_date(text)?;
        let now = http_date(headers, DATE.as_str()).unwrap_or_else(|| clock.now());
        Some(date.duration_since(now).unwrap_or_default())
    };
    let texts = headers.get_all(RETRY_AFTER).iter().filter_map(|value| value.to_str().ok());
    // A proxy may have joined several fields to a list (RFC 9110 5.3); a date may hold a comma itself.
    let listed = |text: &str| {
        let mut before = "";
        let waits = text.split(',').filter_map(|part| {
            let both = [mem::replace(&mut before, part), part].join(",");
            whole_seconds(part.trim()).or_else(|| until(part.trim())).or_else(|| until(both.trim()))
        });
        waits.max()
    };
    texts.filter_map(listed).max()
}

/// Parses whole seconds, rounded up, so that no wait is too short. Some servers send a fraction.
fn whole_seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = !whole.is_empty() && [whole, fraction].concat().bytes().all(|b| b.is_ascii_digit());
    let started = fraction.bytes().any(|digit| digit != b'0');
    let seconds = whole.parse().unwrap_or(u64::MAX).saturating_add(started.into());
    is_number.then(|| Duration::from_secs(seconds))
}

/// Whether the server asks to slow down: by 429, or by 5xx with a `Retry-After`.
pub(crate) fn is_rate_limit(status: u16, wait: Option<Duration>) -> bool {
    status == 429 || status >= 500 && wait.is_some_and(|wait| !wait.is_zero())
}

/// Returns the date in this header field (RFC 9110 5.6.7).
pub(crate) fn http_date(headers: &HeaderMap, name: &str) -> Option<SystemTime> {
    parse_date(headers.get(name)?.to_str().ok()?)
}

/// Parses a date of HTTP as robustly as RFC 9110 5.6.7 recommends: letters in any case, a day of one digit, and another name of the zone
/// (RFC 5322 4.3).
fn parse_date(text: &str) -> Option<SystemTime> {
    const SAME: [&str; 6] = ["GMT", "UTC", "UT", "Z", "+0000", "-0000"];
    let mut is_in_word = false;
    let capitalized = |c: char| {
        let starts = !mem::replace(&mut is_in_word, c.is_ascii_alphabetic());
        if starts { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }
    };
    let text: String = text.chars().map(capitalized).collect();
    let mut words: Vec<_> = text.split_ascii_whitespace().map(str::to_owned).collect();
    // A day of one digit has a space before it in the form of asctime, and a zero in the others.
    let (day, filler) = if words.first()?.ends_with(',') { (1, '0') } else { (2, ' ') };
    let day = words.get_mut(day)?;
    if day.find('-').unwrap_or(day.len()) == 1 {
        day.insert(0, filler);
    }
    let zone = words.last_mut()?;
    if SAME.iter().any(|name| zone.eq_ignore_ascii_case(name)) {
        "GMT".clone_into(zone);
    }
    httpdate::parse_http_date(&words.join(" ")).ok()
}

/// Returns how long to wait before the next try: at least as long as the server asked, else a backoff with jitter.
pub(crate) fn pause(asked: Option<Duration>, tries: u32) -> Duration {
    const FIRST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_secs(5);
    let backoff =
        FIRST.saturating_mul(1 << (tries - 1).min(10)).min(LONGEST).mul_f64(0.5 + 0.5 * random::fraction());
    // `Retry-After: 0` does not ask for a busy loop.
    asked.filter(|wait| !wait.is_zero()).unwrap_or(backoff)
}

#[cfg(test)]
mod tests;
