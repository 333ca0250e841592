//! Reads JSON without copies that nobody wipes: members of objects by name, and strings.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::secret::Secret;

/// Calls `each` for every member of a JSON object whose name is one of `names`. Passes the index of the name, and the JSON of the value.
/// Returns `None` if `json` is no object.
pub(crate) fn members<'a>(json: &'a [u8], names: &[&str], each: impl FnMut(usize, &'a str)) -> Option<()> {
    struct Members<'n, F>(&'n [&'n str], F);
    impl<'de, F: FnMut(usize, &'de str)> Visitor<'de> for Members<'_, F> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
            while let Some(place) = map.next_key_seed(Name(self.0))? {
                match place {
                    Some(place) => self.1(place, map.next_value::<&RawValue>()?.get()),
                    None => drop(map.next_value::<IgnoredAny>()?),
                }
            }
            Ok(())
        }
    }
    let mut reader = serde_json::Deserializer::from_slice(without_mark(json));
    reader.deserialize_map(Members(names, each)).and_then(|()| reader.end()).ok()
}

/// Returns the values of the members with these names. Of a member that comes twice, the last one counts (RFC 8259 4).
pub(crate) fn object<'a, const N: usize>(json: &'a [u8], names: [&str; N]) -> Option<[Option<&'a str>; N]> {
    let mut values = [None; N];
    members(json, &names, |place, value| values[place] = Some(value))?;
    Some(values)
}

/// The name of a member, as its index among the known names. Keeps no copy of it.
struct Name<'n>(&'n [&'n str]);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }
    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|known| *known == name))
    }
}

/// Returns the text without byte order marks at its start (RFC 8259 8.1). Programs that join texts leave several.
pub(crate) fn without_mark(mut text: &[u8]) -> &[u8] {
    while let Some(rest) = text.strip_prefix("\u{feff}".as_bytes()) {
        text = rest;
    }
    text
}

/// Returns the encoding of a text that would be a JSON object if it were UTF-8.
pub(crate) fn other_encoding(text: &[u8]) -> Option<&'static str> {
    const BEGINNINGS: [(&[u8], &str); 8] = [
        (b"\xff\xfe\0\0", "UTF-32"),
        (b"\0\0\xfe\xff", "UTF-32"),
        (b"{\0\0\0", "UTF-32"),
        (b"\0\0\0{", "UTF-32"),
        (b"\xff\xfe", "UTF-16"),
        (b"\xfe\xff", "UTF-16"),
        (b"{\0", "UTF-16"),
        (b"\0{", "UTF-16"),
    ];
    BEGINNINGS.iter().find(|(beginning, _)| text.starts_with(beginning)).map(|(_, name)| *name)
}

/// Unescapes a JSON string (RFC 8259 7). `serde_json` would use a buffer of its own, and not wipe it. Returns `None` for other values,
/// unknown escapes and half a pair of surrogates.
pub(crate) fn unescape(json: &str) -> Option<Secret> {
    let mut rest = json.strip_prefix('"')?.strip_suffix('"')?;
    // An escape is longer than the character that it stands for.
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

/// Returns the character that one or two `\u` escapes stand for, and their length.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded::{Seeded, runs};

    /// Compares with serde's own function, which leaves a copy behind.
    #[test]
    fn strings_are_unescaped_as_serde_json_does() {
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
        // `serde_json` lets none of these through, but they must not panic.
        let escapes = [r#""\é""#, r#""\q""#, r#""\u12""#, r#""\""#, r#"""#, ""];
        for json in ["5", "null", "[\"a\"]"].into_iter().chain(halves).chain(escapes) {
            assert!(unescape(json).is_none(), "{json}");
        }
    }

    #[test]
    fn other_encodings_than_utf_8_are_recognized() {
        for (text, name) in [
            (&b"\xff\xfe{\0"[..], Some("UTF-16")),
            (b"\xfe\xff\0{", Some("UTF-16")),
            (b"{\0\"\0", Some("UTF-16")),
            (b"\0{\0\"", Some("UTF-16")),
            (b"\xff\xfe\0\0{\0\0\0", Some("UTF-32")),
            (b"\0\0\xfe\xff\0\0\0{", Some("UTF-32")),
            (b"{\0\0\0", Some("UTF-32")),
            (b"\0\0\0{", Some("UTF-32")),
            (b"{\"", None),
            (b"\xef\xbb\xbf{", None),
            (b"\xff", None),
            (b"", None),
        ] {
            assert_eq!(other_encoding(text), name, "{text:?}");
        }
    }
}
