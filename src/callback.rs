//! What an authorization server sends back through the browser (RFC 6749 4.1.2): read and judged.
//!
//! The order is that of RFC 9700: first whether it belongs to this login (`state`), then who sent it (`iss`), and only
//! then what it says (`error`, `code`). Anyone can make a browser send anything here.

use crate::wire::oauth_code;
use crate::words::{self, printable};
use crate::{ErrorKind, Secret, check, form};

/// What a callback must carry to belong to a login.
pub(crate) struct Expected<'a> {
    /// `None`: none was sent.
    pub(crate) state: Option<&'a Secret>,
    pub(crate) issuer: Option<&'a str>,
}

/// Why there is no code.
#[derive(Debug)]
pub(crate) enum Rejection {
    /// It does not belong to this login, which goes on.
    Stray(Stray),
    /// It does, and ends it.
    Failed(Failed),
}

/// Why a callback does not belong to a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stray {
    Empty,
    NoState,
    WrongState,
    TwoStates,
    UnreadableState,
}

impl Stray {
    pub(crate) const ALL: [Self; 5] =
        [Self::Empty, Self::NoState, Self::WrongState, Self::TwoStates, Self::UnreadableState];

    /// For an address that says no more than this.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NoState => "no-state",
            Self::WrongState => "wrong-state",
            Self::TwoStates => "two-states",
            Self::UnreadableState => "unreadable-state",
        }
    }

    /// What was wrong and what to do next.
    pub(crate) fn texts(self) -> (&'static str, &'static str) {
        const AGAIN: &str = "open the login URL again and follow it to its end";
        match self {
            Self::Empty => ("the callback has neither `code` nor `error`", AGAIN),
            Self::NoState => (
                "the callback has no `state`, so it may be forged",
                "if the server does not send it back, use `without_state`",
            ),
            Self::WrongState => ("the callback's `state` is that of another login", AGAIN),
            Self::TwoStates => ("the callback has more than one `state`", AGAIN),
            Self::UnreadableState => ("the callback's `state` is not UTF-8", AGAIN),
        }
    }
}

/// How the server ended a login.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) kind: ErrorKind,
    pub(crate) what: String,
    pub(crate) next: &'static str,
    pub(crate) oauth_error: Option<String>,
}

impl Failed {
    fn nonsense(what: impl Into<String>) -> Rejection {
        let next = "log in again, and check the URLs if this repeats";
        Rejection::Failed(Self { kind: ErrorKind::Protocol, what: what.into(), next, oauth_error: None })
    }
}

/// The authorization code in the query of a callback.
pub(crate) fn judge(query: &[u8], expected: &Expected<'_>) -> Result<Secret, Rejection> {
    let (state, error, code) = (find(query, "state"), find(query, "error"), find(query, "code"));
    match (state, expected.state) {
        (Err(Unusable::Repeated), _) => return Err(Rejection::Stray(Stray::TwoStates)),
        (Err(Unusable::NotUtf8), _) => return Err(Rejection::Stray(Stray::UnreadableState)),
        (Ok(None), _) if matches!((&error, &code), (Ok(None), Ok(None))) => {
            return Err(Rejection::Stray(Stray::Empty));
        }
        (Ok(None), Some(_)) => return Err(Rejection::Stray(Stray::NoState)),
        (Ok(None), None) => {}
        (Ok(Some(came)), Some(sent)) if is_same(&came, sent) => {}
        (Ok(Some(_)), _) => return Err(Rejection::Stray(Stray::WrongState)),
    }
    // RFC 9207 2.4: compared as it is, without normalization.
    if let Some(issuer) = expected.issuer {
        match find(query, "iss") {
            Ok(Some(came)) if came.expose() == issuer.as_bytes() => {}
            Ok(None) => {
                return Err(Failed::nonsense(
                    "the callback has no `iss`, which `with_issuer` demands (RFC 9207)",
                ));
            }
            _ => return Err(Failed::nonsense("the callback's `iss` is not that of the server (RFC 9207)")),
        }
    }
    match (error, code) {
        (Err(why), _) => Err(Failed::nonsense(format!("the callback's `error` {}", why.text()))),
        (_, Err(why)) => Err(Failed::nonsense(format!("the callback's `code` {}", why.text()))),
        (Ok(Some(_)), Ok(Some(_))) => Err(Failed::nonsense("the callback has both `code` and `error`")),
        (Ok(None), Ok(None)) => Err(Failed::nonsense("the callback has neither `code` nor `error`")),
        (Ok(Some(error)), Ok(None)) => Err(refusal(query, &error, expected.state)),
        (Ok(None), Ok(Some(code))) => match check::value("`code` of the callback", code.expose()) {
            Ok(()) => Ok(code),
            Err(why) => Err(Failed::nonsense(why.to_string())),
        },
    }
}

/// RFC 6749 4.1.2.1. `sent` is what the server's words may not repeat.
fn refusal(query: &[u8], error: &Secret, sent: Option<&Secret>) -> Rejection {
    let repeats = |words: &str| words::repeats(words, sent.map(Secret::expose).into_iter());
    let shown = |words: &str| {
        let words = printable(words);
        if !repeats(&words) {
            return words;
        }
        // Wiped.
        drop(Secret::from(words));
        "its text is withheld: it repeats a secret".to_owned()
    };
    let error = error.expose_str().unwrap_or_default();
    let code = oauth_code(error).filter(|code| !repeats(code));
    let next = match code {
        Some("access_denied") => "log in again and allow the access",
        Some("invalid_scope") => "check the scopes",
        Some("temporarily_unavailable" | "server_error") => "try again later",
        Some("invalid_request") => {
            "check the client id and the redirect URI, or use `without_pkce` if the server does not know it"
        }
        Some("unauthorized_client" | "unsupported_response_type") => {
            "check the client id and the redirect URI"
        }
        _ => "log in again",
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
    Rejection::Failed(Failed { kind: ErrorKind::Refused, what, next, oauth_error })
}

/// Why a parameter cannot be used.
enum Unusable {
    /// RFC 6749 3.1: none may come more than once.
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

/// The one parameter of that name. Unknown ones are ignored, whatever is in them (RFC 6749 4.1.2); one without a
/// value counts as omitted (3.1).
fn find(query: &[u8], name: &str) -> Result<Option<Secret>, Unusable> {
    let mut found = None;
    for pair in query.split(|&b| b == b'&') {
        let equals = pair.iter().position(|&b| b == b'=').unwrap_or(pair.len());
        let (key, value) = pair.split_at(equals);
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

/// In a time that does not tell how much of it is right.
fn is_same(a: &Secret, b: &Secret) -> bool {
    let difference = a.expose().iter().zip(b.expose()).fold(0, |sum, (a, b)| sum | (a ^ b));
    a.len() == b.len() && difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn stray(query: &str, expected: Stray) {
        let state = Secret::from("right");
        match judge(query.as_bytes(), &Expected { state: Some(&state), issuer: None }) {
            Err(Rejection::Stray(stray)) => assert_eq!(stray, expected, "{query}"),
            other => panic!("{query}: {other:?}"),
        }
    }

    #[track_caller]
    fn failed(query: &str, issuer: Option<&str>, expected: &str) -> Failed {
        let state = Secret::from("right");
        match judge(query.as_bytes(), &Expected { state: Some(&state), issuer }) {
            Err(Rejection::Failed(failed)) => {
                assert_eq!(format!("{}; {}", failed.what, failed.next), expected, "{query}");
                failed
            }
            other => panic!("{query}: {other:?}"),
        }
    }

    #[test]
    fn a_code_with_the_right_state() {
        let state = Secret::from("a b+");
        for (query, issuer) in [
            ("code=x%2By&state=a+b%2B", None),
            ("state=a%20b%2b&%63ode=x%2By&more=%ff&more=1", None),
            ("&&state=a+b%2B&=&code=x%2By&iss=whoever", None),
            ("state=a+b%2B&code=x%2By&iss=https%3A%2F%2Fas.example", Some("https://as.example")),
        ] {
            let code = judge(query.as_bytes(), &Expected { state: Some(&state), issuer }).expect(query);
            assert_eq!(code.expose(), b"x+y", "{query}");
        }
    }

    #[test]
    fn state_is_judged_before_anything_else() {
        for rest in ["&code=x", "&error=access_denied", "&code=x&error=y", "&iss=evil&code=x", "&code=%ff"] {
            stray(&format!("a=b{rest}"), Stray::NoState);
            stray(&format!("state=wrong{rest}"), Stray::WrongState);
            stray(&format!("state=righ{rest}"), Stray::WrongState);
            stray(&format!("state=right%20{rest}"), Stray::WrongState);
            stray(&format!("state={rest}"), Stray::NoState);
            stray(&format!("state{rest}"), Stray::NoState);
            stray(&format!("state=right&state=right{rest}"), Stray::TwoStates);
            stray(&format!("state=right&%73tate=wrong{rest}"), Stray::TwoStates);
            stray(&format!("state=%ff%fe{rest}"), Stray::UnreadableState);
        }
        for query in ["", "a=b", "codes=x", "iss=x", "Code=x"] {
            stray(query, Stray::Empty);
        }
    }

    #[test]
    fn without_a_state_none_may_come() {
        let judge = |query: &str| judge(query.as_bytes(), &Expected { state: None, issuer: None });
        assert_eq!(judge("code=x").unwrap().expose(), b"x");
        assert!(matches!(judge("code=x&state=y"), Err(Rejection::Stray(Stray::WrongState))));
        assert!(matches!(judge("error=access_denied"), Err(Rejection::Failed(_))));
        assert!(matches!(judge(""), Err(Rejection::Stray(Stray::Empty))));
    }

    #[test]
    fn what_makes_no_sense() {
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
    fn the_issuer_is_compared_when_it_is_known() {
        const WRONG: &str = "the callback's `iss` is not that of the server (RFC 9207); \
                             log in again, and check the URLs if this repeats";
        const MISSING: &str = "the callback has no `iss`, which `with_issuer` demands (RFC 9207); \
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
    fn a_refusal_does_not_repeat_the_state() {
        let state = Secret::from("0123456789/bcdef");
        for words in
            ["error=0123456789%2Fbcdef", "error=x&error_description=of%20MDEyMzQ1Njc4OS9iY2RlZg%3D%3D"]
        {
            let query = format!("state=0123456789/bcdef&{words}");
            let judged = judge(query.as_bytes(), &Expected { state: Some(&state), issuer: None });
            let Err(Rejection::Failed(failed)) = judged else { panic!("{judged:?}") };
            assert!(failed.what.ends_with(": its text is withheld: it repeats a secret"), "{}", failed.what);
        }
    }

    #[test]
    fn the_servers_refusal() {
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
            assert_eq!((failed.kind, failed.oauth_error.as_deref()), (ErrorKind::Refused, code));
        }
    }
}
