//! What servers answer, as it is on the wire. Private: [`Token`] and [`Error`] are what callers see.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::words::printable;
use crate::{Secret, Token};

/// A token endpoint's answer, good or bad: RFC 6749 5.1 and 5.2, `FastAPI`'s `detail`, Spacebring's `message`.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct TokenAnswer {
    access_token: Option<Secret>,
    refresh_token: Option<Secret>,
    client_secret: Option<Secret>,
    token_type: Loose,
    expires_in: Loose,
    expires_at: Loose,
    scope: Loose,
    error: Loose,
    error_description: Loose,
    detail: Loose,
    #[serde(rename = "type")]
    kind: Loose,
    message: Loose,
}

/// What a server answered to the creation of app credentials. More fields may come.
#[derive(Deserialize)]
pub(crate) struct AppCredentialsAnswer {
    pub(crate) client_id: String,
    pub(crate) client_secret: Secret,
}

/// A JSON object. Without this check, serde would take a list for the object's fields in order.
pub(crate) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    let is_object = json.trim_ascii_start().starts_with(b"{");
    is_object.then(|| serde_json::from_slice(json).ok())?
}

impl TokenAnswer {
    /// `None` for what is no such object: the status says the rest.
    pub(crate) fn parse(body: &Secret) -> Option<Self> {
        object(body.expose())
    }

    /// The OAuth error code.
    pub(crate) fn error_code(&self) -> Option<&str> {
        // Spacebring says `type` where others say `error`; it counts if it is a code of RFC 6749 5.2.
        const CODES: [&str; 6] = [
            "invalid_request",
            "invalid_client",
            "invalid_grant",
            "unauthorized_client",
            "unsupported_grant_type",
            "invalid_scope",
        ];
        match self.error.text() {
            Some(code) => oauth_code(code),
            None => self.kind.text().filter(|code| CODES.contains(code)),
        }
    }

    /// Secrets that came with it, wanted or not.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &[u8]> {
        [&self.access_token, &self.refresh_token, &self.client_secret]
            .into_iter()
            .flatten()
            .map(Secret::expose)
    }

    /// Whether an error is reported, in whatever form.
    pub(crate) fn has_error(&self) -> bool {
        !matches!(&self.error, Loose::Nothing) && self.error.text() != Some("")
    }

    /// The server's own words about what went wrong: one line, printable, cut to 200 characters.
    pub(crate) fn words(&self) -> Option<String> {
        let text = [&self.error_description, &self.detail, &self.message, &self.error]
            .into_iter()
            .filter_map(Loose::text)
            .find(|text| !text.trim().is_empty())?;
        if self.error_code() == Some(text) {
            return None;
        }
        Some(printable(text))
    }

    /// The token, or what is wrong with the answer. `obtained_at` is when the request was sent.
    pub(crate) fn into_token(self, obtained_at: SystemTime) -> Result<Token, &'static str> {
        let access_token = self.access_token.ok_or("it has no access_token")?;
        match self.token_type.text() {
            Some(kind) if kind.eq_ignore_ascii_case("bearer") => {}
            Some(_) => return Err("its token_type is not Bearer (RFC 6749 7.1)"),
            None => return Err("it has no token_type (RFC 6749 5.1)"),
        }
        let mut token = Token::new(access_token, obtained_at)
            .map_err(|_| "its access_token cannot be put into a header")?;
        if let Some(at) = expiry(obtained_at, self.expires_in.number(), self.expires_at.number()) {
            token = token.with_expires_at(at);
        }
        if let Some(refresh_token) = self.refresh_token.filter(|token| !token.is_empty()) {
            token = token.with_refresh_token(refresh_token);
        }
        if let Some(scope) = self.scope.text().filter(|scope| !scope.is_empty()) {
            token = token.with_scope(scope);
        }
        Ok(token)
    }
}

/// The earlier of the two, in seconds after `obtained_at` and in Unix seconds. `None`: unknown, or past all counting.
fn expiry(obtained_at: SystemTime, expires_in: Option<f64>, expires_at: Option<f64>) -> Option<SystemTime> {
    let relative = expires_in.and_then(|seconds| plus(obtained_at, seconds.max(0.0)));
    let absolute = expires_at.and_then(|seconds| plus(SystemTime::UNIX_EPOCH, seconds));
    match (relative, absolute) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn plus(time: SystemTime, seconds: f64) -> Option<SystemTime> {
    let by = Duration::try_from_secs_f64(seconds.abs()).ok()?;
    if seconds < 0.0 { time.checked_sub(by) } else { time.checked_add(by) }
}

/// The text if it can be an OAuth error code (RFC 6749 4.1.2.1, 5.2: visible ASCII without `"` and `\`).
pub(crate) fn oauth_code(code: &str) -> Option<&str> {
    let valid = |c: u8| c.is_ascii_graphic() && c != b'"' && c != b'\\';
    (!code.is_empty() && code.len() <= 64 && code.bytes().all(valid)).then_some(code)
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Secret;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret::from(text))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A value whose type servers disagree on: number or string, text or a list of `{"msg": text}`. Never fails, keeps
/// no more than it shows.
#[derive(Default)]
enum Loose {
    #[default]
    Nothing,
    Text(String),
    Number(f64),
    /// An object or a list with no text in it, or a boolean.
    Other,
}

impl Loose {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Text(text) => text.trim().parse().ok(),
            Self::Number(number) => Some(*number),
            _ => None,
        }
        .filter(|number: &f64| number.is_finite())
    }
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Loose;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_bool<E>(self, _: bool) -> Result<Loose, E> {
                Ok(Loose::Other)
            }
            #[allow(clippy::cast_precision_loss, reason = "seconds past 2^53 are past all counting")]
            fn visit_i64<E>(self, number: i64) -> Result<Loose, E> {
                Ok(Loose::Number(number as f64))
            }
            #[allow(clippy::cast_precision_loss, reason = "seconds past 2^53 are past all counting")]
            fn visit_u64<E>(self, number: u64) -> Result<Loose, E> {
                Ok(Loose::Number(number as f64))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Loose, E> {
                Ok(Loose::Number(number))
            }
            fn visit_unit<E>(self) -> Result<Loose, E> {
                Ok(Loose::Nothing)
            }
            fn visit_str<E>(self, text: &str) -> Result<Loose, E> {
                Ok(Loose::Text(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Loose, A::Error> {
                let mut texts = Vec::new();
                while texts.len() < 8 {
                    match seq.next_element::<Loose>()? {
                        Some(Loose::Text(text)) => texts.push(text),
                        Some(_) => {}
                        None => break,
                    }
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(if texts.is_empty() { Loose::Other } else { Loose::Text(texts.join(" ")) })
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Loose, A::Error> {
                let mut found = Loose::Other;
                while let Some(key) = map.next_key::<Secret>()? {
                    if matches!(key.expose(), b"msg" | b"message") {
                        found = map.next_value()?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(found)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_unix_seconds;
    use crate::seeded::{Seeded, runs};

    fn parse(json: &str) -> TokenAnswer {
        TokenAnswer::parse(&Secret::from(json)).expect(json)
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn token(extra: &str) -> Result<Token, &'static str> {
        let json = format!(r#"{{"access_token":"abc","token_type":"bearer"{extra}}}"#);
        parse(&json).into_token(at(1_000))
    }

    #[test]
    fn lifetimes_come_in_every_shape() {
        for (extra, expected) in [
            (r#","expires_in":60"#, Some(at(1_060))),
            (r#","expires_in":"60""#, Some(at(1_060))),
            (r#","expires_in":60.0"#, Some(at(1_060))),
            (r#","expires_at":1030"#, Some(at(1_030))),
            (r#","expires_at":"1030""#, Some(at(1_030))),
            (r#","expires_in":60,"expires_at":1030"#, Some(at(1_030))),
            (r#","expires_in":20,"expires_at":1030"#, Some(at(1_020))),
            (r#","expires_in":0"#, Some(at(1_000))),
            (r#","expires_in":-5"#, Some(at(1_000))),
            (r#","expires_at":-5"#, Some(SystemTime::UNIX_EPOCH - Duration::from_secs(5))),
            ("", None),
            (r#","expires_in":null"#, None),
            (r#","expires_in":"soon""#, None),
            (r#","expires_in":"NaN""#, None),
            (r#","expires_in":"inf""#, None),
            (r#","expires_in":1e300"#, None),
            (r#","expires_in":18446744073709551615"#, None),
            (r#","expires_in":{"a":1}"#, None),
            (r#","expires_in":[true]"#, None),
            (r#","expires_at":"2026-01-01T00:00:00Z","expires_in":60"#, Some(at(1_060))),
        ] {
            assert_eq!(token(extra).expect(extra).expires_at(), expected, "{extra}");
        }
    }

    /// Whatever a server says, and whatever the clock shows: against integers that cannot overflow.
    #[test]
    fn lifetimes_over_all_numbers_and_clocks() {
        let range = i128::from(i64::MIN)..=i128::from(i64::MAX);
        let in_seconds = |time: SystemTime| match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => i128::from(since.as_secs()),
            Err(before) => -i128::from(before.duration().as_secs()),
        };
        // What a number of JSON holds of an integer (RFC 8259 6).
        let is_exact = |number: i128| number.unsigned_abs() <= 1 << 53;
        let mut seeded = Seeded::new(3);
        for _ in 0..runs(20_000) {
            let obtained = seeded.any_seconds();
            let obtained_at = from_unix_seconds(obtained);
            let sign = if seeded.below(4) == 0 { -1 } else { 1 };
            let expires_in = (seeded.below(3) > 0).then(|| sign * i128::from(seeded.any_number()));
            let expires_at = (seeded.below(3) > 0).then(|| i128::from(seeded.any_seconds()));
            let quote = ["", "\""][seeded.below(2)];
            let mut json = r#"{"access_token":"abc","token_type":"bearer""#.to_owned();
            for (name, number) in [("expires_in", expires_in), ("expires_at", expires_at)] {
                let number = number.map(|number| format!(r#","{name}":{quote}{number}{quote}"#));
                json.push_str(&number.unwrap_or_default());
            }
            let ours = parse(&(json.clone() + "}")).into_token(obtained_at).expect(&json).expires_at();

            let relative = expires_in.map(|number| i128::from(obtained) + number.max(0));
            let within = |at: &i128| range.contains(at);
            let expected = [relative.filter(within), expires_at.filter(within)].into_iter().flatten().min();
            let shown = format!("{json} at {obtained}: {:?}, expected {expected:?}", ours.map(in_seconds));
            if [expires_in, expires_at].into_iter().flatten().all(is_exact) {
                assert_eq!(ours.map(in_seconds), expected, "{shown}");
            } else if let (Some(ours), Some(expected)) = (ours.map(in_seconds), expected) {
                let off = (ours - expected).unsigned_abs();
                let largest = [expires_in, expires_at].into_iter().flatten().map(i128::unsigned_abs).max();
                assert!(off <= 1 + (largest.unwrap_or(0) >> 52), "{shown}");
            }
            // Never longer than was said.
            if let (Some(ours), Some(said)) = (ours.map(in_seconds), relative) {
                assert!(
                    ours <= said + 1 + (said >> 52).abs() + (i128::from(obtained) >> 52).abs(),
                    "{shown}"
                );
            }
        }
    }

    #[test]
    fn the_token_type_must_be_bearer_in_any_case() {
        for (kind, ok) in
            [("Bearer", true), ("BEARER", true), ("mac", false), ("", false), ("bearer ", false)]
        {
            let json = format!(r#"{{"access_token":"abc","token_type":"{kind}"}}"#);
            assert_eq!(parse(&json).into_token(at(0)).is_ok(), ok, "{kind:?}");
        }
        assert_eq!(
            parse(r#"{"access_token":"abc"}"#).into_token(at(0)).unwrap_err(),
            "it has no token_type (RFC 6749 5.1)"
        );
    }

    #[test]
    fn scope_and_refresh_token_are_kept() {
        let full = token(r#","scope":"a b","refresh_token":"r","more":{"deep":[1]}"#).unwrap();
        assert_eq!(full.scope(), Some("a b"));
        assert_eq!(full.refresh_token().unwrap().expose(), b"r");
        assert!(token(r#","refresh_token":"""#).unwrap().refresh_token().is_none());
    }

    #[test]
    fn a_wrong_typed_secret_is_no_answer() {
        for json in [r#"{"access_token":5}"#, r#"{"access_token":["a"]}"#, "[]", "", "null", "{"] {
            assert!(TokenAnswer::parse(&Secret::from(json)).is_none(), "{json}");
        }
    }

    #[test]
    fn the_servers_words_in_every_dialect() {
        for (json, code, words) in [
            (r#"{"error":"invalid_client"}"#, Some("invalid_client"), None),
            (
                r#"{"error":"invalid_client","error_description":"no such"}"#,
                Some("invalid_client"),
                Some("no such"),
            ),
            (r#"{"detail":"Access Denied"}"#, None, Some("Access Denied")),
            (
                r#"{"detail":[{"loc":["body"],"msg":"field required","type":"x"},{"msg":"and"}]}"#,
                None,
                Some("field required and"),
            ),
            (r#"{"type":"unauthorized","message":"Wrong id"}"#, None, Some("Wrong id")),
            (r#"{"type":"invalid_grant","message":"It ended"}"#, Some("invalid_grant"), Some("It ended")),
            (r#"{"error":"two words"}"#, None, Some("two words")),
            (r#"{"error":{"code":5,"message":"so nested"}}"#, None, Some("so nested")),
            (r#"{"detail":{"a":1}}"#, None, None),
            ("{}", None, None),
        ] {
            let answer = parse(json);
            assert_eq!((answer.error_code(), answer.words().as_deref()), (code, words), "{json}");
        }
    }

    #[test]
    fn an_error_is_seen_in_every_form() {
        for (json, error) in [
            (r#"{"error":"x"}"#, true),
            (r#"{"error":{"a":1}}"#, true),
            (r#"{"error":true}"#, true),
            (r#"{"error":null}"#, false),
            (r#"{"error":""}"#, false),
            ("{}", false),
        ] {
            assert_eq!(parse(json).has_error(), error, "{json}");
        }
    }

    #[test]
    fn deep_and_wide_json_is_survived() {
        let deep = format!(r#"{{"detail":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(TokenAnswer::parse(&Secret::from(deep)).is_none());
        let wide = format!(r#"{{"detail":[{}1]}}"#, r#"{"msg":"m"},"#.repeat(50_000));
        assert_eq!(parse(&wide).words().unwrap(), "m m m m m m m m");
    }
}
