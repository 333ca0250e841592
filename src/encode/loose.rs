//! JSON values whose type differs between servers.

use std::fmt;
use std::num::IntErrorKind;

use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::encode::json::{object, unescape};
use crate::secret::Secret;

/// A value whose type differs between servers: number or string, text or a list of `{"msg": text}`. Parsing never fails, and keeps no
/// more than is shown.
#[derive(Default)]
pub(crate) enum Loose {
    #[default]
    Nothing,
    /// A text, which may repeat a secret.
    Text(Secret),
    /// As [`whole`] returns it.
    Number(i64, bool),
    /// An object or a list with no text in it, or a boolean.
    Other,
}

impl Loose {
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => text.expose_str(),
            _ => None,
        }
    }

    /// Returns a number without its fraction. `None` for one that is too large.
    pub(crate) fn number(&self) -> Option<i64> {
        self.parts().map(|(whole, _)| whole).filter(|whole| *whole < i64::MAX)
    }

    /// Returns the number, rounded up. The number must not be negative.
    fn rounded_up(&self) -> Option<i64> {
        self.parts().map(|(whole, has_fraction)| whole.saturating_add(has_fraction.into()))
    }

    fn parts(&self) -> Option<(i64, bool)> {
        match self {
            Self::Text(text) => whole(text.expose_str()?.trim()),
            Self::Number(whole, has_fraction) => Some((*whole, *has_fraction)),
            _ => None,
        }
    }

    pub(crate) fn of(json: &str, limits: Limits) -> Self {
        match json.as_bytes() {
            [b'"', ..] => unescape(json).map_or(Self::Other, Self::Text),
            [b'-' | b'0'..=b'9', ..] => {
                whole(json).map_or(Self::Other, |(whole, has_fraction)| Self::Number(whole, has_fraction))
            }
            b"null" => Self::Nothing,
            [b'[', ..] => {
                limits.deeper().and_then(|limits| joined(json, limits)).map_or(Self::Other, Self::Text)
            }
            [b'{', ..] => limits
                .deeper()
                .and_then(|limits| {
                    let values = object(json.as_bytes(), ["msg", "message"])?;
                    let message = values.into_iter().flatten().find(|value| *value != "null")?;
                    Some(Self::of(message, limits))
                })
                .unwrap_or(Self::Other),
            _ => Self::Other,
        }
    }
}

/// Returns a number that may be written as a string, without its fraction.
pub(crate) fn number(json: &str) -> Option<i64> {
    Loose::of(json, Limits { levels: 0, items: 0, bytes: 0 }).number()
}

/// As [`number`], but rounded up. Returns `i64::MAX` for a larger number.
pub(crate) fn rounded_up(json: &str) -> Option<i64> {
    Loose::of(json, Limits { levels: 0, items: 0, bytes: 0 }).rounded_up()
}

/// Returns a decimal number without its fraction, and whether it has one. A number that is too large or too small counts as the largest or
/// smallest of its type. Exact, and without the tables of 10 KB that parsing an `f64` needs.
fn whole(number: &str) -> Option<(i64, bool)> {
    let (number, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (units, fraction) = number.split_once('.').unwrap_or((number, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let exponent = exponent.parse::<i32>().ok()?;
    let shift = usize::try_from(exponent.max(0)).ok()?;
    let (digits, rest) = fraction.split_at(shift.min(fraction.len()));
    let number = match format!("{units}{digits}").parse::<i64>() {
        Err(e) if *e.kind() == IntErrorKind::PosOverflow => i64::MAX,
        Err(e) if *e.kind() == IntErrorKind::NegOverflow => i64::MIN,
        number => number.ok()?,
    };
    let places = exponent.unsigned_abs() - u32::try_from(digits.len()).ok()?;
    let power = 10_i64.checked_pow(places).unwrap_or(i64::MAX);
    let whole = if exponent < 0 { number / power } else { number.saturating_mul(power) };
    Some((whole, exponent < 0 && number % power != 0 || rest.bytes().any(|digit| digit != b'0')))
}

/// The limits to what is read of a list or an object.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) levels: usize,
    pub(crate) items: usize,
    /// The length of all texts together.
    pub(crate) bytes: usize,
}

impl Limits {
    fn deeper(self) -> Option<Self> {
        Some(Self { levels: self.levels.checked_sub(1)?, ..self })
    }
}

/// Returns the texts in a list, separated by spaces. `None` if there are none.
fn joined(json: &str, limits: Limits) -> Option<Secret> {
    struct List(Limits);
    impl<'de> Visitor<'de> for List {
        type Value = Secret;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Secret, A::Error> {
            let mut all = Secret::default();
            for _ in 0..self.0.items {
                let Some(item) = list.next_element::<&RawValue>()? else { return Ok(all) };
                let Loose::Text(text) = Loose::of(item.get(), self.0) else { continue };
                if text.is_empty() {
                    continue;
                }
                let gap: &[u8] = if all.is_empty() { b"" } else { b" " };
                if all.len() + gap.len() + text.len() > self.0.bytes {
                    break;
                }
                all.extend(gap);
                all.extend(text.expose());
            }
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(all)
        }
    }
    let mut reader = serde_json::Deserializer::from_str(json);
    reader.deserialize_seq(List(limits)).ok().filter(|text| !text.is_empty())
}
