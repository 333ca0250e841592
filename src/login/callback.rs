//! Reads and judges the callback that an authorization server sends through the browser (RFC 6749 4.1.2).
//!
//! Anyone can make a browser send anything here. So the checks follow RFC 9700: first whether the callback belongs to this login (`state`),
//! then which server sent it (`iss`), and only then its content (`error`, `code`).

use crate::check;
use crate::encode::form;
use crate::encode::words;
use crate::error::{Advice, ErrorKind};
use crate::secret::Secret;
use crate::text::printable;
use crate::transport::token_answer::{is_registered, oauth_code};

/// The values that a callback of this login must have.
pub(crate) struct Expected<'a> {
    /// `None` if no `state` was sent.
    pub(crate) state: Option<&'a Secret>,
    pub(crate) issuer: Option<&'a str>,
}

/// The reason why a callback gives no code.
#[derive(Debug)]
pub(crate) enum Rejection {
    /// The callback does not belong to this login, which continues.
    Unrelated(UnrelatedCallback),
    /// The callback ends the login.
    Failed(Failed),
}

/// The reason why a callback does not belong to this login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnrelatedCallback {
    Empty,
    NoState,
    WrongState,
    TwoStates,
    UnreadableState,
}

impl UnrelatedCallback {
    pub(crate) const ALL: [Self; 5] =
        [Self::Empty, Self::NoState, Self::WrongState, Self::TwoStates, Self::UnreadableState];

    /// Returns the last path segment of the page that reports this reason. Its address shows nothing else of the callback.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NoState => "no-state",
            Self::WrongState => "wrong-state",
            Self::TwoStates => "two-states",
            Self::UnreadableState => "unreadable-state",
        }
    }

    /// Returns the problem, and what to do next.
    pub(crate) fn texts(self) -> (&'static str, Advice) {
        match self {
            Self::Empty => ("the callback has neither `code` nor `error`", Advice::FollowLoginUrl),
            Self::NoState => ("the callback has no `state`, so it may be forged", Advice::WithoutState),
            Self::WrongState => ("the callback's `state` is that of another login", Advice::FollowLoginUrl),
            Self::TwoStates => ("the callback has more than one `state`", Advice::FollowLoginUrl),
            Self::UnreadableState => ("the callback's `state` is not UTF-8", Advice::FollowLoginUrl),
        }
    }

    /// Returns the problem and the advice for a callback URL that a person pasted. The URL may be cut off, or come from another browser
    /// tab. So the advice does not suggest turning off the check of `state`.
    pub(crate) fn texts_of_pasted(self) -> (&'static str, Advice) {
        let what = match self {
            Self::NoState => "the callback has no `state`, so it may be cut or forged",
            Self::WrongState => "the callback's `state` is not that of this login, or is cut",
            other => other.texts().0,
        };
        (what, Advice::PasteCallbackUrl)
    }
}

/// How a callback ended the login.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) kind: ErrorKind,
    pub(crate) what: String,
    pub(crate) advice: Advice,
    pub(crate) oauth_error: Option<String>,
}

impl Failed {
    fn protocol(what: impl Into<String>) -> Rejection {
        let advice = Advice::LogInOrCheckUrls;
        Rejection::Failed(Self { kind: ErrorKind::Protocol, what: what.into(), advice, oauth_error: None })
    }
}

/// Returns the authorization code in the query of a callback.
pub(crate) fn judge(query: &[u8], expected: &Expected<'_>) -> Result<Secret, Rejection> {
    let (state, error, code) = (find(query, "state"), find(query, "error"), find(query, "code"));
    match (state, expected.state) {
        (Err(Unusable::Repeated), _) => return Err(Rejection::Unrelated(UnrelatedCallback::TwoStates)),
        (Err(Unusable::NotUtf8), _) => return Err(Rejection::Unrelated(UnrelatedCallback::UnreadableState)),
        (Ok(None), _) if matches!((&error, &code), (Ok(None), Ok(None))) => {
            return Err(Rejection::Unrelated(UnrelatedCallback::Empty));
        }
        (Ok(None), Some(_)) => return Err(Rejection::Unrelated(UnrelatedCallback::NoState)),
        (Ok(None), None) => {}
        (Ok(Some(received)), Some(sent)) if is_same(sent, received.expose()) => {}
        (Ok(Some(_)), _) => return Err(Rejection::Unrelated(UnrelatedCallback::WrongState)),
    }
    // RFC 9207 2.4: compared without normalization.
    if let Some(issuer) = expected.issuer {
        match find(query, "iss") {
            Ok(Some(received)) if received.expose() == issuer.as_bytes() => {}
            Ok(None) => {
                return Err(Failed::protocol(
                    "the callback has no `iss`, which this login requires (RFC 9207)",
                ));
            }
            _ => return Err(Failed::protocol("the callback's `iss` is not that of the server (RFC 9207)")),
        }
    }
    match (error, code) {
        (Err(why), _) => Err(Failed::protocol(format!("the callback's `error` {}", why.text()))),
        (_, Err(why)) => Err(Failed::protocol(format!("the callback's `code` {}", why.text()))),
        (Ok(Some(_)), Ok(Some(_))) => Err(Failed::protocol("the callback has both `code` and `error`")),
        (Ok(None), Ok(None)) => Err(Failed::protocol("the callback has neither `code` nor `error`")),
        (Ok(Some(error)), Ok(None)) => Err(refusal(query, &error, expected.state)),
        (Ok(None), Ok(Some(code))) => match check::callback_value("`code` of the callback", code.expose()) {
            Ok(()) => Ok(code),
            Err(why) => Err(Failed::protocol(why.to_string())),
        },
    }
}

/// The server's refusal (RFC 6749 4.1.2.1). Its text is withheld if it repeats `sent` or a secret in use.
fn refusal(query: &[u8], error: &Secret, sent: Option<&Secret>) -> Rejection {
    let repeats = |words: &str| words::repeats_any(words, sent.map(Secret::expose).into_iter());
    let shown = |words: &str| {
        let words = printable(words);
        if !repeats(&words) {
            return words;
        }
        // A `Secret` wipes the text.
        drop(Secret::from(words));
        "its text is withheld, because it repeats a secret".to_owned()
    };
    let error = error.expose_str().unwrap_or_default();
    let code = oauth_code(error).filter(|code| is_registered(code) || !repeats(code));
    let (kind, advice) = match code {
        Some("access_denied") => (ErrorKind::LoginRequired, Advice::LogInAndAllow),
        Some("invalid_scope") => (ErrorKind::Refused, Advice::CheckScopes),
        Some("temporarily_unavailable" | "server_error") => (ErrorKind::Refused, Advice::TryAgainLater),
        Some("invalid_request") => (ErrorKind::Refused, Advice::CheckClientOrWithoutPkce),
        Some("unauthorized_client" | "unsupported_response_type") => {
            (ErrorKind::Refused, Advice::CheckClientAndRedirectUri)
        }
        _ => (ErrorKind::Refused, Advice::LogIn),
    };
    let mut what = format!("the server refused: {}", code.map_or_else(|| shown(error), str::to_owned));
    match find(query, "error_description") {
        Ok(Some(words)) => {
            let words = shown(words.expose_str().unwrap_or_default());
            if !words.is_empty() {
                what = what + ": " + words.trim_end_matches('.');
            }
        }
        Ok(None) => {}
        Err(why) => what = what + " (its description " + why.text() + ")",
    }
    let oauth_error = code.map(str::to_owned);
    Rejection::Failed(Failed { kind, what, advice, oauth_error })
}

/// The reason why a parameter cannot be used.
enum Unusable {
    /// RFC 6749 3.1: no parameter may be given more than once.
    Repeated,
    NotUtf8,
}

impl Unusable {
    fn text(&self) -> &'static str {
        match self {
            Self::Repeated => "comes more than once",
            Self::NotUtf8 => "is not UTF-8",
        }
    }
}

/// Returns the only parameter of that name. Unknown parameters are ignored, whatever their values (RFC 6749 4.1.2). A parameter without
/// a value counts as omitted (3.1).
fn find(query: &[u8], name: &str) -> Result<Option<Secret>, Unusable> {
    let mut found = None;
    for pair in query.split(|&b| b == b'&') {
        let equals = pair.iter().position(|&b| b == b'=').unwrap_or(pair.len());
        let (key, value) = pair.split_at(equals);
        // A URL that was copied from HTML source has `&amp;` in place of the `&` before a parameter.
        let key = key.strip_prefix(b"amp;").unwrap_or(key);
        let value = value.get(1..).unwrap_or_default();
        if !value.is_empty()
            && form::decode_value(key).expose() == name.as_bytes()
            && found.replace(form::decode_value(value)).is_some()
        {
            return Err(Unusable::Repeated);
        }
    }
    match found {
        Some(value) if value.expose_str().is_none() => Err(Unusable::NotUtf8),
        found => Ok(found),
    }
}

/// Compares in a time that does not depend on how many bytes are equal.
pub(crate) fn is_same(a: &Secret, b: &[u8]) -> bool {
    let difference = a.expose().iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b));
    a.len() == b.len() && difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn unrelated(query: &str, expected: UnrelatedCallback) {
        let state = Secret::from("right");
        match judge(query.as_bytes(), &Expected { state: Some(&state), issuer: None }) {
            Err(Rejection::Unrelated(reason)) => assert_eq!(reason, expected, "{query}"),
            other => panic!("{query}: {other:?}"),
        }
    }

    #[track_caller]
    fn failed(query: &str, issuer: Option<&str>, expected: &str) -> Failed {
        let state = Secret::from("right");
        match judge(query.as_bytes(), &Expected { state: Some(&state), issuer }) {
            Err(Rejection::Failed(failed)) => {
                assert_eq!(format!("{}; {}", failed.what, failed.advice), expected, "{query}");
                failed
            }
            other => panic!("{query}: {other:?}"),
        }
    }

    #[test]
    fn code_with_the_right_state_is_accepted() {
        let state = Secret::from("a b+");
        for (query, issuer) in [
            ("code=x%2By&state=a+b%2B", None),
            ("state=a%20b%2b&%63ode=x%2By&more=%ff&more=1", None),
            ("&&state=a+b%2B&=&code=x%2By&iss=whoever", None),
            ("code=x%2By&amp;state=a+b%2B&amp;iss=x", None),
            ("state=a+b%2B&code=x%2By&iss=https%3A%2F%2Fas.example", Some("https://as.example")),
        ] {
            let code = judge(query.as_bytes(), &Expected { state: Some(&state), issuer }).expect(query);
            assert_eq!(code.expose(), b"x+y", "{query}");
        }
    }

    #[test]
    fn state_is_judged_before_anything_else() {
        for rest in ["&code=x", "&error=access_denied", "&code=x&error=y", "&iss=evil&code=x", "&code=%ff"] {
            unrelated(&format!("a=b{rest}"), UnrelatedCallback::NoState);
            unrelated(&format!("state=wrong{rest}"), UnrelatedCallback::WrongState);
            unrelated(&format!("state=righ{rest}"), UnrelatedCallback::WrongState);
            unrelated(&format!("state=right%20{rest}"), UnrelatedCallback::WrongState);
            unrelated(&format!("state={rest}"), UnrelatedCallback::NoState);
            unrelated(&format!("state{rest}"), UnrelatedCallback::NoState);
            unrelated(&format!("state=right&state=right{rest}"), UnrelatedCallback::TwoStates);
            unrelated(&format!("state=right&%73tate=wrong{rest}"), UnrelatedCallback::TwoStates);
            unrelated(&format!("state=right&amp;state=wrong{rest}"), UnrelatedCallback::TwoStates);
            unrelated(&format!("state=%ff%fe{rest}"), UnrelatedCallback::UnreadableState);
        }
        for query in ["", "a=b", "codes=x", "iss=x", "Code=x"] {
            unrelated(query, UnrelatedCallback::Empty);
        }
    }

    #[test]
    fn state_that_was_not_sent_is_refused() {
        let judge = |query: &str| judge(query.as_bytes(), &Expected { state: None, issuer: None });
        assert_eq!(judge("code=x").unwrap().expose(), b"x");
        assert!(matches!(judge("code=x&state=y"), Err(Rejection::Unrelated(UnrelatedCallback::WrongState))));
        assert!(matches!(judge("error=access_denied"), Err(Rejection::Failed(_))));
        assert!(matches!(judge(""), Err(Rejection::Unrelated(UnrelatedCallback::Empty))));
    }

    #[test]
    fn contradictory_or_unreadable_callback_ends_the_login() {
        const NEXT: &str = "log in again, and check the URLs if this repeats";
        for (query, what) in [
            ("code=x&error=y", "the callback has both `code` and `error`"),
            ("", "the callback has neither `code` nor `error`"),
            ("code=x&code=x", "the callback's `code` comes more than once"),
            ("code=x&error=y&error=y", "the callback's `error` comes more than once"),
            ("code=%ff", "the callback's `code` is not UTF-8"),
            ("error=%ff", "the callback's `error` is not UTF-8"),
            ("code=&error=", "the callback has neither `code` nor `error`"),
            ("code=a%0ab", "the `code` of the callback holds a control character at byte 1: remove it"),
        ] {
            failed(&format!("state=right&{query}"), None, &format!("{what}; {NEXT}"));
        }
    }

    #[test]
    fn issuer_is_compared_if_it_is_known() {
        const WRONG: &str = "the callback's `iss` is not that of the server (RFC 9207); \
                             log in again, and check the URLs if this repeats";
        const MISSING: &str = "the callback has no `iss`, which this login requires (RFC 9207); \
                               log in again, and check the URLs if this repeats";
        let issuer = Some("https://as.example");
        for (query, expected) in [
            ("code=x&iss=https://evil.example", WRONG),
            ("code=x&iss=https://as.example/", WRONG),
            ("code=x&iss=HTTPS://as.example", WRONG),
            ("error=access_denied&iss=https://evil.example", WRONG),
            ("code=x&iss=https://as.example&iss=https://as.example", WRONG),
            ("code=x&iss=%ff", WRONG),
            ("code=x", MISSING),
        ] {
            failed(&format!("state=right&{query}"), issuer, expected);
        }
    }

    #[test]
    fn refusal_does_not_repeat_the_state() {
        let state = Secret::from("0123456789/bcdef");
        for words in
            ["error=0123456789%2Fbcdef", "error=x&error_description=of%20MDEyMzQ1Njc4OS9iY2RlZg%3D%3D"]
        {
            let query = format!("state=0123456789/bcdef&{words}");
            let judged = judge(query.as_bytes(), &Expected { state: Some(&state), issuer: None });
            let Err(Rejection::Failed(failed)) = judged else { panic!("{judged:?}") };
            assert!(
                failed.what.ends_with(": its text is withheld, because it repeats a secret"),
                "{}",
                failed.what
            );
        }
    }

    #[test]
    fn refusal_of_the_server_ends_the_login_with_its_code() {
        for (query, code, expected) in [
            (
                "error=access_denied",
                Some("access_denied"),
                "the server refused: access_denied; log in again and allow the access",
            ),
            (
                "error=invalid_scope&error_description=no+such%20scope.",
                Some("invalid_scope"),
                "the server refused: invalid_scope: no such scope; check the scopes",
            ),
            (
                "error=x&error_description=%3Cb%3E%0D%0A%1b%5B31mred%E2%80%AE",
                Some("x"),
                "the server refused: x: <b>   [31mred; log in again",
            ),
            (
                "error=server_error&error_description=%ff",
                Some("server_error"),
                "the server refused: server_error (its description is not UTF-8); try again later",
            ),
            ("error=two+words%0a!", None, "the server refused: two words !; log in again"),
        ] {
            let failed = failed(&format!("state=right&{query}"), None, expected);
            let kind = match code {
                Some("access_denied") => ErrorKind::LoginRequired,
                _ => ErrorKind::Refused,
            };
            assert_eq!((failed.kind, failed.oauth_error.as_deref()), (kind, code));
        }
    }
}
