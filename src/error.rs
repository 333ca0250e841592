//! [`Error`]: what happened, what to do next, and never a secret.

mod advice;
mod stage;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

pub use advice::Advice;
pub use stage::Stage;

use crate::secret::Secret;
use crate::text::{Seconds, one_line, shown};

/// The kind of failure of an [`Error`], in the terms that a caller acts on.
///
/// Displayed as a few words: `invalid input`, `login required`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A value was refused before anything was sent: a control character, a URL that is not https, a short key. Or a value is missing: the
    /// URL of an endpoint that the metadata of the issuer does not name.
    InvalidInput,
    /// There are no credentials, or there is no token to revoke or to ask about.
    NoCredentials,
    /// A person has to log in: nobody has logged in yet, or the login was denied or revoked, or has expired (`invalid_grant`).
    LoginRequired,
    /// The server refused or failed. With a [`status`](Error::status) of 500 or more, a later try may succeed.
    Refused,
    /// The server's answer cannot be understood.
    Protocol,
    /// There was no connection, or it was cut off.
    Network,
    /// The deadline passed.
    Timeout,
    /// The server's certificate is not valid at this machine's time.
    Clock,
    /// The server asked to wait (HTTP 429, or 5xx with a `Retry-After`), and keyfob could not try again: the deadline or the number of
    /// tries did not allow it. See [`retry_after`](Error::retry_after).
    RateLimited,
    /// A file could not be read, written or locked.
    Store,
    /// An API call was answered with a 4xx or 5xx status.
    ApiStatus,
    /// The operating system gave no random bytes.
    Random,
}

impl ErrorKind {
    /// Returns the exit status of the `keyfob` command for this kind.
    ///
    /// ```
    /// assert_eq!(keyfob::ErrorKind::Network.exit_status(), 5);
    /// ```
    pub const fn exit_status(self) -> u8 {
        match self {
            Self::Random => 1,
            Self::InvalidInput => 2,
            Self::NoCredentials | Self::LoginRequired => 3,
            Self::Refused | Self::Protocol => 4,
            Self::Network | Self::Timeout | Self::Clock => 5,
            Self::RateLimited => 6,
            Self::Store => 7,
            Self::ApiStatus => 8,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidInput => "invalid input",
            Self::NoCredentials => "no credentials",
            Self::LoginRequired => "login required",
            Self::Refused => "refused by the server",
            Self::Protocol => "protocol error",
            Self::Network => "network error",
            Self::Timeout => "timeout",
            Self::Clock => "wrong clock",
            Self::RateLimited => "rate limited",
            Self::Store => "store error",
            Self::ApiStatus => "API status",
            Self::Random => "no random bytes",
        })
    }
}

/// Why a call failed.
///
/// The text says what was being done, with which host, what happened and what to do next. It never holds a secret, the text of another
/// library or the query of a URL. It holds the path of a URL only if the URL is an issuer. An error has the size of a pointer and is cheap
/// to clone.
///
/// `Debug` shows the text and then the other parts, so that an error reads well where `main` returns it:
///
/// ```text
/// Error: could not get a token from https://example.com: the server refused (HTTP 401): invalid_client; check the client id and secret (Refused, HTTP 401, invalid_client)
/// ```
#[derive(Clone)]
pub struct Error(Arc<Parts>);

/// The parts of an error. `Display` makes the text from them.
#[derive(Clone)]
struct Parts {
    kind: ErrorKind,
    /// The verb after "could not", such as "log in at". The place follows it. Empty if `what` is the whole text.
    doing: &'static str,
    /// The origin of a URL, or empty.
    place: String,
    what: Cow<'static, str>,
    advice: Option<Advice>,
    stage: Option<Stage>,
    /// Additions at the end of the text, such as where an answer that could not be used is kept.
    more: String,
    status: Option<u16>,
    oauth_error: Option<String>,
    retry_after: Option<Duration>,
    unsaved: Option<Secret>,
    source: Option<Arc<io::Error>>,
}

impl Error {
    /// Creates an error for a [`Grant`](crate::flow::Grant), [`TokenSource`](crate::TokenSource) or
    /// [`TokenStore`](crate::TokenStore) of your own.
    ///
    /// The text is one line that says what could not be done, why, and what to do next, without secrets. It is shown as it is, except for
    /// characters that would change how a terminal shows it: see [`one_line`](crate::one_line).
    ///
    /// ```
    /// use keyfob::{Error, ErrorKind};
    /// let error = Error::new(ErrorKind::Store, "could not save the tokens in the database: it is locked; try again");
    /// assert_eq!(error.kind(), ErrorKind::Store);
    /// ```
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self::with_what(kind, Cow::Owned(text.into()))
    }

    /// Creates an error of the library. A constant text is neither copied nor checked.
    #[inline(never)]
    pub(crate) fn of(kind: ErrorKind, what: impl Into<Cow<'static, str>>) -> Self {
        Self::with_what(kind, what.into())
    }

    fn with_what(kind: ErrorKind, what: Cow<'static, str>) -> Self {
        Self(Arc::new(Parts {
            kind,
            doing: "",
            place: String::new(),
            what: match what {
                Cow::Owned(text) => one_line(&text).into(),
                Cow::Borrowed(_) => what,
            },
            advice: None,
            stage: None,
            more: String::new(),
            status: None,
            oauth_error: None,
            retry_after: None,
            unsaved: None,
            source: None,
        }))
    }

    #[inline(never)]
    pub(crate) fn invalid(what: impl Into<Cow<'static, str>>) -> Self {
        Self::with_what(ErrorKind::InvalidInput, what.into())
    }

    /// Creates an error for a failure of the file system. Of the cause, it keeps only the code or the kind, because the text may hold
    /// anything.
    #[inline(never)]
    pub(crate) fn store(what: impl Into<Cow<'static, str>>, cause: &io::Error) -> Self {
        Self::with_what(ErrorKind::Store, what.into()).with_source(cause)
    }

    /// Returns the parts for a change. Clones of this error keep theirs.
    fn parts(&mut self) -> &mut Parts {
        Arc::make_mut(&mut self.0)
    }

    /// Sets what was being done: "could not `doing` `place`: …", as in "could not log in at https://…". The place may be empty.
    pub(crate) fn with_task(mut self, doing: &'static str, place: String) -> Self {
        let parts = self.parts();
        parts.doing = doing;
        parts.place = place;
        self
    }

    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.parts().kind = kind;
        self
    }

    pub(crate) fn with_advice(mut self, advice: Advice) -> Self {
        self.parts().advice = Some(advice);
        self
    }

    pub(crate) fn with_stage(mut self, stage: Option<Stage>) -> Self {
        self.parts().stage = stage;
        self
    }

    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.parts().status = Some(status);
        self
    }

    pub(crate) fn with_oauth_error(mut self, code: Option<String>) -> Self {
        self.parts().oauth_error = code;
        self
    }

    pub(crate) fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.parts().retry_after = wait;
        self
    }

    /// Adds an answer that could not be saved. An empty one is left out.
    pub(crate) fn with_unsaved(mut self, answer: Secret) -> Self {
        if !answer.is_empty() {
            self.parts().unsaved = Some(answer);
        }
        self
    }

    /// Adds the path of the file that keeps the answer, and drops the answer from the error.
    pub(crate) fn kept_in(mut self, place: &Path) -> Self {
        self.parts().unsaved = None;
        self.add("the received answer is kept in ", &shown(place))
    }

    /// Whether a received answer is in this error, or in a file that the text names.
    pub(crate) fn holds_answer(&self) -> bool {
        self.0.unsaved.is_some() || !self.0.more.is_empty()
    }

    /// Adds the answers of an earlier error. Of two that are not in files, the longer one is more likely to hold tokens.
    pub(crate) fn with_answers_of(mut self, earlier: &Self) -> Self {
        let len = |unsaved: &Option<Secret>| unsaved.as_ref().map_or(0, Secret::len);
        let parts = self.parts();
        let own = if earlier.0.more.contains(&parts.more) { "" } else { &parts.more };
        parts.more = [&earlier.0.more, own].concat();
        if len(&parts.unsaved) < len(&earlier.0.unsaved) {
            parts.unsaved.clone_from(&earlier.0.unsaved);
        }
        self
    }

    /// Adds to the end of the text.
    pub(crate) fn add(mut self, more: &str, place: &str) -> Self {
        let parts = self.parts();
        parts.more.extend(["; ", more, place]);
        self
    }

    pub(crate) fn with_source(mut self, cause: &io::Error) -> Self {
        let cause = cause.raw_os_error().map_or_else(|| cause.kind().into(), io::Error::from_raw_os_error);
        self.parts().source = Some(Arc::new(cause));
        self
    }

    /// Returns the error of the file system.
    pub(crate) fn io_cause(&self) -> Option<&io::Error> {
        self.0.source.as_deref()
    }

    /// Returns what kind of failure it was.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the stage at which a connection failed, if one did. It may be the connection to an authorization server.
    ///
    /// ```
    /// use keyfob::Stage;
    /// # fn advise(error: &keyfob::Error) -> &str {
    /// match error.stage() {
    ///     Some(Stage::Proxy) => "ask the operator of the proxy",
    ///     Some(Stage::Dns | Stage::Tcp) => "is this machine online?",
    ///     _ => "",
    /// }
    /// # }
    /// ```
    pub fn stage(&self) -> Option<Stage> {
        self.0.stage
    }

    /// Returns only the cause: the text without the task, the place and the advice.
    ///
    /// ```
    /// # let error = keyfob::Error::new(keyfob::ErrorKind::Network, "the connection was refused");
    /// // Of "could not log in at https://…: the connection was refused; check the network"
    /// assert_eq!(error.reason(), "the connection was refused");
    /// ```
    pub fn reason(&self) -> &str {
        &self.0.what
    }

    /// Returns the advice, if keyfob knows what to do about the failure.
    pub fn advice(&self) -> Option<Advice> {
        self.0.advice
    }

    /// Returns the HTTP status, if the server answered with one.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// Returns the server's own error code, such as `invalid_client` (RFC 6749 5.2), if it sent one.
    pub fn oauth_error(&self) -> Option<&str> {
        self.0.oauth_error.as_deref()
    }

    /// Returns how long the server asked to wait (RFC 9110 10.2.3), if it did.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Returns an answer that could not be used or saved, and that the server will not give again. It is the answer to a code, to a refresh
    /// token that is used up, or to a request for new app credentials. If the HTTP is broken, it holds all received bytes, header section
    /// included. Otherwise it holds the body.
    ///
    /// Save the answer before you drop the error. `None` if there is none, or if it was kept in a file that the text names.
    pub fn unsaved(&self) -> Option<&Secret> {
        self.0.unsaved.as_ref()
    }

    /// Returns whether a person has to log in before trying again.
    pub fn is_login_required(&self) -> bool {
        matches!(self.kind(), ErrorKind::NoCredentials | ErrorKind::LoginRequired)
    }

    /// Returns whether the same call may succeed later without a change: network, timeout, rate limit or HTTP 5xx.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind(), ErrorKind::Network | ErrorKind::Timeout | ErrorKind::RateLimited)
            || self.status().is_some_and(|status| status >= 500)
    }

    /// Returns the text with the advice in other words, for a program whose users do not know the functions of this library. `words`
    /// returns an empty text for an advice that does not fit the program.
    ///
    /// ```
    /// use keyfob::Advice;
    /// # let error = keyfob::Error::new(keyfob::ErrorKind::Protocol, "no");
    /// let text = error.text_with(&|advice| match advice {
    ///     Advice::WithoutState => "if the server does not send it back, use --without-state",
    ///     other => other.as_str(),
    /// });
    /// ```
    pub fn text_with(&self, words: &dyn Fn(Advice) -> &'static str) -> String {
        let mut text = String::new();
        // Writing to a `String` cannot fail.
        let _ = self.write_text(&mut text, words);
        text
    }

    fn write_text(&self, f: &mut dyn fmt::Write, words: &dyn Fn(Advice) -> &'static str) -> fmt::Result {
        let parts = &*self.0;
        if !parts.doing.is_empty() {
            f.write_str("could not ")?;
            f.write_str(parts.doing)?;
            if !parts.place.is_empty() {
                f.write_str(" ")?;
                f.write_str(&parts.place)?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&parts.what)?;
        match (parts.advice, parts.retry_after) {
            (Some(Advice::TryAgainLater), Some(wait)) if parts.kind == ErrorKind::RateLimited => {
                // Rounded up: never less than the server asked for.
                let seconds = wait.as_secs().saturating_add((wait.subsec_nanos() > 0).into());
                write!(f, "; try again in {seconds} s")?;
            }
            (Some(advice), _) => {
                let words = words(advice);
                if !words.is_empty() {
                    f.write_str("; ")?;
                    f.write_str(words)?;
                }
            }
            (None, _) => {}
        }
        f.write_str(&parts.more)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_text(f, &Advice::as_str)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = &*self.0;
        write!(f, "{self} ({:?}", parts.kind)?;
        if let Some(status) = parts.status {
            write!(f, ", HTTP {status}")?;
        }
        if let Some(code) = &parts.oauth_error {
            write!(f, ", {code}")?;
        }
        if let Some(wait) = parts.retry_after {
            write!(f, ", Retry-After {} s", Seconds(wait))?;
        }
        if let Some(source) = &parts.source {
            write!(f, ", {source}")?;
        }
        if parts.unsaved.is_some() {
            f.write_str(", with an unsaved answer")?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|cause| cause as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn an_error_is_one_word_in_size() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn an_error_is_one_line_of_printable_text() {
        for (text, shown) in [
            ("no \x1b[31mred\x07", "no  [31mred "),
            ("no \u{9b}31mred\u{7f}", "no  31mred "),
            ("two\r\nlines\u{2028}and\u{2029}more\u{85}", "two  lines and more "),
            ("id\u{202e}TXT\u{2066}\u{200f}\u{61c}", "idTXT"),
            ("pay\u{200b}pal\u{feff}\u{ad}\u{e0041}", "paypal"),
            ("grün 日本 👩", "grün 日本 👩"),
        ] {
            assert_eq!(Error::new(ErrorKind::Store, text).to_string(), shown);
        }
    }

    #[test]
    fn a_cause_is_kept_without_its_text() {
        let cause = io::Error::other("https://host/revoke?token=s3cr3t");
        let error = Error::store("could not save", &cause);
        let shown = format!("{error} {error:?} {:?}", error.source().map(ToString::to_string));
        assert!(!shown.contains("s3cr3t"), "{shown}");
    }

    fn refusal() -> Error {
        Error::of(ErrorKind::Refused, "the server refused (HTTP 400): invalid_client")
            .with_task("get a token from", "https://login.example.com".to_owned())
            .with_advice(Advice::CheckClient)
            .with_status(400)
            .with_oauth_error(Some("invalid_client".to_owned()))
    }

    #[test]
    fn text_is_made_of_the_parts() {
        let text = "could not get a token from https://login.example.com: the server refused (HTTP 400): invalid_client; \
                    check the client id and secret";
        assert_eq!(refusal().to_string(), text);
        let other = Error::of(ErrorKind::Network, "the connection was cut off")
            .with_task("call the API", String::new());
        assert_eq!(other.to_string(), "could not call the API: the connection was cut off");
        let kept = refusal().with_unsaved(Secret::from("s3cr3t")).kept_in(Path::new("/tmp/\u{202e}kept"));
        assert_eq!(kept.to_string(), format!("{text}; the received answer is kept in /tmp/kept"));
        assert!(kept.unsaved().is_none());
        assert_eq!(refusal().add("the rest is in ", "x").to_string(), format!("{text}; the rest is in x"));
    }

    #[test]
    fn advice_can_be_put_into_other_words_or_left_out() {
        let start = "could not get a token from https://login.example.com: the server refused (HTTP 400): invalid_client";
        assert_eq!(refusal().text_with(&|_| "use --client-id"), format!("{start}; use --client-id"));
        assert_eq!(refusal().text_with(&|_| ""), start);
        let kept = refusal().kept_in(Path::new("/tmp/x"));
        assert_eq!(kept.text_with(&|_| ""), format!("{start}; the received answer is kept in /tmp/x"));
    }

    #[test]
    fn advice_to_wait_names_no_less_than_the_server_asked_for() {
        let busy = Error::of(ErrorKind::RateLimited, "busy").with_advice(Advice::TryAgainLater);
        assert_eq!(busy.to_string(), "busy; try again later");
        let wait = |millis| busy.clone().with_retry_after(Some(Duration::from_millis(millis))).to_string();
        for (millis, text) in [(0, "in 0 s"), (2000, "in 2 s"), (2001, "in 3 s")] {
            assert_eq!(wait(millis), format!("busy; try again {text}"));
        }
        let broken = Error::of(ErrorKind::Refused, "it failed").with_advice(Advice::TryAgainLater);
        let broken = broken.with_retry_after(Some(Duration::ZERO));
        assert_eq!(broken.to_string(), "it failed; try again later");
    }

    #[test]
    fn a_change_leaves_other_clones_as_they_are() {
        let error = refusal();
        let changed = error.clone().with_status(401).with_advice(Advice::LogIn);
        assert_eq!((error.status(), error.advice()), (Some(400), Some(Advice::CheckClient)));
        assert_eq!((changed.status(), changed.advice()), (Some(401), Some(Advice::LogIn)));
        assert_eq!(changed.oauth_error(), Some("invalid_client"));
    }

    #[test]
    fn debug_shows_the_text_and_then_the_other_parts() {
        assert_eq!(
            format!("{:?}", refusal().with_retry_after(Some(Duration::from_millis(1500)))),
            "could not get a token from https://login.example.com: the server refused (HTTP 400): invalid_client; \
             check the client id and secret (Refused, HTTP 400, invalid_client, Retry-After 1.5 s)"
        );
        let cause = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = Error::store("could not save the tokens", &cause).with_unsaved(Secret::from("s3cr3t"));
        assert_eq!(
            format!("{error:?}"),
            "could not save the tokens (Store, permission denied, with an unsaved answer)"
        );
        assert_eq!(error.unsaved().unwrap().expose(), b"s3cr3t");
    }

    #[test]
    fn predicates_tell_login_required_and_transient_errors() {
        use ErrorKind as K;
        let of = |kind, status| {
            let error = Error::new(kind, "no").with_status(status);
            (error.is_login_required(), error.is_transient())
        };
        for kind in [K::NoCredentials, K::LoginRequired] {
            assert_eq!(of(kind, 400), (true, false), "a person: {kind:?}");
        }
        for kind in [K::Network, K::Timeout, K::RateLimited] {
            assert_eq!(of(kind, 429), (false, true), "time: {kind:?}");
        }
        for kind in [K::Refused, K::ApiStatus] {
            assert_eq!((of(kind, 499), of(kind, 500)), ((false, false), (false, true)), "{kind:?}");
        }
        for kind in [K::InvalidInput, K::Protocol, K::Clock, K::Store, K::Random] {
            assert_eq!(of(kind, 200), (false, false), "{kind:?}");
        }
    }

    #[test]
    fn kinds_have_the_documented_exit_statuses_and_names() {
        use ErrorKind as K;
        for (kind, status, name) in [
            (K::Random, 1, "no random bytes"),
            (K::InvalidInput, 2, "invalid input"),
            (K::NoCredentials, 3, "no credentials"),
            (K::LoginRequired, 3, "login required"),
            (K::Refused, 4, "refused by the server"),
            (K::Protocol, 4, "protocol error"),
            (K::Network, 5, "network error"),
            (K::Timeout, 5, "timeout"),
            (K::Clock, 5, "wrong clock"),
            (K::RateLimited, 6, "rate limited"),
            (K::Store, 7, "store error"),
            (K::ApiStatus, 8, "API status"),
        ] {
            assert_eq!((kind.exit_status(), kind.to_string().as_str()), (status, name), "{kind:?}");
        }
    }
}
