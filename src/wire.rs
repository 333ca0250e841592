//! What servers answer, as it is on the wire. Private: [`Token`] and [`Error`] are what callers see.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::check::is_nqchar;
use crate::words::printable;
use crate::{Secret, Token};

/// A token endpoint's answer, good or bad: RFC 6749 5.1 and 5.2, `FastAPI`'s `detail`, Spacebring's `message`.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct TokenAnswer {
    access_token: Option<Text>,
    #[serde(deserialize_with = "text_if_any")]
    refresh_token: Option<Text>,
    #[serde(deserialize_with = "text_if_any")]
    client_secret: Option<Text>,
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
    pub(crate) client_secret: Text,
}

/// A JSON string that is a secret.
pub(crate) struct Text(pub(crate) Secret);

/// A JSON object. Without this check, serde would take a list for the object's fields in order.
pub(crate) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    let is_object = json.trim_ascii_start().starts_with(b"{");
    is_object.then(|| serde_json::from_slice(json).ok())?
}

impl TokenAnswer {
    /// `None` for what is no such object: the status says the rest.
    pub(crate) fn parse(body: &Secret) -> Option<Self> {
        // A byte order mark may be passed by (RFC 8259 8.1).
        let json = body.expose();
        let json = json.strip_prefix("\u{feff}".as_bytes()).unwrap_or(json);
        object(json).or_else(|| {
            // The words of a refusal may be in another encoding; a secret may not.
            let answer: Self = object(as_utf8(json)?.expose())?;
            let has_secret = answer.secrets().next().is_some();
            (!has_secret).then_some(answer)
        })
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
            .map(|Text(secret)| secret.expose())
    }

    /// Whether an error is reported, in whatever form.
    pub(crate) fn has_error(&self) -> bool {
        !matches!(&self.error, Loose::Nothing) && self.error.text() != Some("")
    }

    /// The server's own words about what went wrong: one line, printable, cut to 200 characters. They may
    /// repeat a secret.
    pub(crate) fn words(&self) -> Option<Secret> {
        let text = [&self.error_description, &self.detail, &self.message, &self.error]
            .into_iter()
            .filter_map(Loose::text)
            .find(|text| !text.trim().is_empty())?;
        if self.error_code() == Some(text) {
            return None;
        }
        Some(Secret::from(printable(text)))
    }

    /// The token, or what is wrong with the answer. `obtained_at` is when the request was sent.
    pub(crate) fn into_token(self, obtained_at: SystemTime) -> Result<Token, &'static str> {
        let Text(access_token) = self.access_token.ok_or("it has no access_token")?;
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
        if let Some(Text(refresh_token)) = self.refresh_token.filter(|Text(token)| !token.is_empty()) {
            token = token.with_refresh_token(refresh_token);
        }
        // What is no list of scopes (RFC 6749 3.3) may be anything, and people are shown this.
        let is_scope = |scope: &&str| !scope.is_empty() && scope.bytes().all(|b| b == b' ' || is_nqchar(b));
        if let Some(scope) = self.scope.text().filter(is_scope) {
            token = token.with_scope(scope);
        }
        Ok(token)
    }
}

/// The same text with a replacement character for each byte that is none of UTF-8. `None` if there is none.
fn as_utf8(text: &[u8]) -> Option<Secret> {
    const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();
    std::str::from_utf8(text).is_err().then(|| {
        let mut whole = Secret::with_capacity(REPLACEMENT.len() * text.len());
        for chunk in text.utf8_chunks() {
            whole.extend(chunk.valid().as_bytes());
            chunk.invalid().iter().for_each(|_| whole.extend(REPLACEMENT));
        }
        whole
    })
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
    (!code.is_empty() && code.len() <= 64 && code.bytes().all(is_nqchar)).then_some(code)
}

/// Serde would unescape a string in a buffer of its own, and leave it behind.
impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?.get();
        unescape(json).map(Self).ok_or_else(|| D::Error::custom("not a string"))
    }
}

/// Other values count as absent: an access token that is good is not thrown away over what stands beside it.
fn text_if_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Text>, D::Error> {
    Ok(unescape(<&RawValue>::deserialize(deserializer)?.get()).map(Text))
}

/// What a JSON string says (RFC 8259 7). `None` for other values, unknown escapes, and half a pair of surrogates.
fn unescape(json: &str) -> Option<Secret> {
    let mut rest = json.strip_prefix('"')?.strip_suffix('"')?;
    // An escape is longer than what it stands for.
    let mut text = Secret::with_capacity(rest.len());
    while let Some(at) = rest.find('\\') {
        let (plain, escape) = rest.split_at(at);
        let (c, len) = match escape.as_bytes().get(1)? {
            b'u' => unicode(escape)?,
            b'b' => ('\u{8}', 2),
            b'f' => ('\u{c}', 2),
            b'n' => ('\n', 2),
            b'r' => ('\r', 2),
            b't' => ('\t', 2),
            &itself @ (b'"' | b'\\' | b'/') => (char::from(itself), 2),
            _ => return None,
        };
        text.extend(plain.as_bytes());
        text.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &escape[len..];
    }
    text.extend(rest.as_bytes());
    Some(text)
}

/// The character that one `\u` escape stands for, or two, and how long that is.
fn unicode(escape: &str) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = escape.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let decode = |units: &[u16]| char::decode_utf16(units.iter().copied()).next()?.ok();
    let first = unit(0)?;
    match decode(&[first]) {
        Some(c) => Some((c, 6)),
        None => Some((decode(&[first, unit(6)?])?, 12)),
    }
}

/// A value whose type servers disagree on: number or string, text or a list of `{"msg": text}`. Never fails, keeps
/// no more than it shows.
#[derive(Default)]
enum Loose {
    #[default]
    Nothing,
    /// It may repeat a secret.
    Text(Secret),
    Number(f64),
    /// An object or a list with no text in it, or a boolean.
    Other,
}

impl Loose {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => text.expose_str(),
            _ => None,
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Text(text) => text.expose_str()?.trim().parse().ok(),
            Self::Number(number) => Some(*number),
            _ => None,
        }
        .filter(|number: &f64| number.is_finite())
    }

    /// `levels` of lists and objects are looked into.
    fn of(json: &str, levels: usize) -> Self {
        match json.as_bytes() {
            [b'"', ..] => unescape(json).map_or(Self::Other, Self::Text),
            [b'-' | b'0'..=b'9', ..] => json.parse().map_or(Self::Other, Self::Number),
            b"null" => Self::Nothing,
            [b'[', ..] if levels > 0 => {
                let items = serde_json::from_str(json).map_or(Vec::new(), |First(items)| items);
                let items = items.into_iter().map(|item| Self::of(item.get(), levels - 1));
                let text = items.fold(Secret::default(), |mut all, item| {
                    if let Self::Text(text) = item {
                        all.extend(if all.is_empty() { b"" } else { b" " });
                        all.extend(text.expose());
                    }
                    all
                });
                if text.is_empty() { Self::Other } else { Self::Text(text) }
            }
            [b'{', ..] if levels > 0 => serde_json::from_str::<Message<'_>>(json)
                .ok()
                .and_then(|object| object.msg.or(object.message))
                .map_or(Self::Other, |message| Self::of(message.get(), levels - 1)),
            _ => Self::Other,
        }
    }
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A list of objects with a text in each is the deepest that servers send.
        Ok(Self::of(<&RawValue>::deserialize(deserializer)?.get(), 3))
    }
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    msg: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
}

/// The first items of a list: no more is shown.
struct First<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for First<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = First<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<First<'de>, A::Error> {
                let mut items = Vec::new();
                while items.len() < 8 {
                    match list.next_element()? {
                        Some(item) => items.push(item),
                        None => break,
                    }
                }
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(First(items))
            }
        }
        deserializer.deserialize_seq(List)
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
    fn a_refusal_in_another_encoding_is_understood_and_a_token_is_not() {
        let parse = |body: &[u8]| TokenAnswer::parse(&body.to_vec().into());
        let refusal =
            parse(b"{\"error\":\"invalid_grant\",\"error_description\":\"abgelaufen f\xfcr \xfe\"}").unwrap();
        assert_eq!(refusal.error_code(), Some("invalid_grant"));
        assert_eq!(
            refusal.words().unwrap().expose_str().unwrap(),
            printable("abgelaufen f\u{fffd}r \u{fffd}")
        );
        assert!(parse(b"{\"access_token\":\"a\xfc\",\"token_type\":\"bearer\"}").is_none());
        assert!(
            parse(b"{\"access_token\":\"a\",\"token_type\":\"bearer\",\"refresh_token\":\"\xfc\"}").is_none()
        );
        assert!(parse(b"{\"error\":\"invalid_grant\xfc").is_none());
        let marked =
            parse("\u{feff}{\"access_token\":\"abc\",\"token_type\":\"bearer\"}".as_bytes()).unwrap();
        assert!(marked.into_token(at(1_000)).is_ok());
    }

    #[test]
    fn what_stands_beside_a_good_access_token_does_not_spoil_it() {
        let token = |beside: &str| {
            let body = format!(r#"{{"access_token":"abc","token_type":"bearer"{beside}}}"#);
            TokenAnswer::parse(&body.into()).unwrap().into_token(at(1_000)).unwrap()
        };
        for wrong in ["false", "5", "[\"a\"]", "null", "{}"] {
            let token =
                token(&format!(r#","refresh_token":{wrong},"client_secret":{wrong},"scope":{wrong}"#));
            assert!(token.refresh_token().is_none(), "{wrong}");
        }
        for (scope, expected) in [
            (r"a b:c/d", Some("a b:c/d")),
            (r"a\u001b]0;b", None),
            (r"a\nb", None),
            (r"\u00e9", None),
            ("", None),
        ] {
            assert_eq!(token(&format!(r#","scope":"{scope}""#)).scope(), expected, "{scope}");
        }
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

    /// Beside serde's own, which leaves a copy behind.
    #[test]
    fn strings_are_read_as_others_read_them() {
        const PARTS: [&str; 16] = [
            "a",
            "ü",
            "日",
            "\\n",
            "\\b",
            "\\f",
            "\\r",
            "\\t",
            r"\/",
            r"\\",
            r#"\""#,
            r"\u0041",
            r"\u00fC",
            r"\u65e5",
            r"\ud83d\uDE00",
            r"\ud83d",
        ];
        let mut seeded = Seeded::new(5);
        for _ in 0..runs(20_000) {
            let parts = (0..seeded.below(8)).map(|_| PARTS[seeded.below(PARTS.len())]).collect::<String>();
            let json = format!(r#""{parts}""#);
            let read = unescape(&json);
            let expected = serde_json::from_str::<String>(&json).ok();
            assert_eq!(read.as_ref().map(|text| text.expose_str().unwrap()), expected.as_deref(), "{json}");
        }
        let halves = [r#""\udc00""#, r#""\ud83d\n""#, r#""\ud83d\ud83d""#];
        // Nothing that `serde_json` lets through, and no reason to panic.
        let escapes = [r#""\é""#, r#""\q""#, r#""\u12""#, r#""\""#, r#"""#, ""];
        for json in ["5", "null", "[\"a\"]"].into_iter().chain(halves).chain(escapes) {
            assert!(unescape(json).is_none(), "{json}");
        }
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
            let shown = answer.words();
            let shown = shown.as_ref().and_then(Secret::expose_str);
            assert_eq!((answer.error_code(), shown), (code, words), "{json}");
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
        assert!(parse(&deep).words().is_none());
        let wide = format!(r#"{{"detail":[{}1]}}"#, r#"{"msg":"m"},"#.repeat(50_000));
        assert_eq!(parse(&wide).words().unwrap().expose_str(), Some("m m m m m m m m"));
    }
}
