//! Whether the text of a server repeats a secret, so that it must not be shown.

use std::collections::HashSet;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

use crate::encode::form;
use crate::secret::{Known, Secret};
use crate::text::printable_up_to;

/// The longest secret that is compared. A server may call a megabyte a secret, and the comparison would take too long.
const LONGEST_SECRET: usize = 64 * 1024;

/// A text that shares this many consecutive bytes with a secret must not be shown.
const PIECE: usize = 12;

/// Whether the text repeats one of these secrets, or one that is in use anywhere in this process.
pub(crate) fn repeats_any<'a>(text: &str, more: impl Iterator<Item = &'a [u8]>) -> bool {
    let (known, more) = (Known::all(), more.collect::<Vec<_>>());
    repeats(text, known.iter().map(|secret| secret.expose()).chain(more))
}

/// Returns whether a text repeats a secret that is in use in this process, such as a token, a client secret or a password. A program that
/// shows the text of a server can leave out one that does.
///
/// Finds 12 consecutive bytes of a secret, or all of a shorter one: raw, percent-encoded or in base64.
pub fn repeats_secret(text: &str) -> bool {
    repeats_any(text, std::iter::empty())
}

/// Whether the text holds 12 consecutive bytes of a secret, or all of a shorter one: raw, percent-encoded or in base64. A secret that is
/// too long to compare counts as repeated.
pub(crate) fn repeats<'a>(text: &str, mut secrets: impl Iterator<Item = &'a [u8]>) -> bool {
    let readings = readings(text);
    let pieces: HashSet<&[u8]> =
        readings.iter().flat_map(|reading| reading.expose().windows(PIECE)).collect();
    let share_a_piece = |secret: &[u8]| match secret.len() {
        0 => false,
        len @ 1..PIECE => {
            readings.iter().any(|reading| reading.expose().windows(len).any(|part| part == secret))
        }
        _ => secret.windows(PIECE).any(|piece| pieces.contains(piece)),
    };
    secrets.any(|secret| {
        if secret.len() > LONGEST_SECRET {
            return true;
        }
        // `printable_up_to` may have changed characters of the secret in the text. It must still be recognized.
        let printed = || {
            let text =
                std::str::from_utf8(secret).ok().filter(|_| !secret.iter().all(u8::is_ascii_graphic))?;
            Some(Secret::from(printable_up_to(secret.len(), text)))
        };
        share_a_piece(secret) || printed().is_some_and(|printed| share_a_piece(printed.expose()))
    })
}

/// Returns the readings of the text: raw, percent-decoded, and each part that can be base64.
fn readings(text: &str) -> Vec<Secret> {
    let base64 = GeneralPurpose::new(&STANDARD, NO_PAD.with_decode_allow_trailing_bits(true));
    let mut plain = Secret::with_capacity(3 * text.len());
    for (at, part) in text.split('+').enumerate() {
        plain.extend(if at > 0 { b"%2b" } else { b"" });
        plain.extend(part.as_bytes());
    }
    let mut readings =
        vec![Secret::from(text), form::decode_value(text.as_bytes()), form::decode_value(plain.expose())];
    for at in 0..readings.len() {
        let standard: Secret = readings[at]
            .expose()
            .iter()
            .map(|byte| match byte {
                b'-' => b'+',
                b'_' => b'/',
                &byte => byte,
            })
            .collect::<Vec<u8>>()
            .into();
        let runs =
            standard.expose().split(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'+' | b'/'));
        for run in runs.filter(|run| !run.is_empty()) {
            // The text may start anywhere in a group of four base64 characters. So each start is tried, with `A` for the missing ones.
            for missing in 0..4 {
                let mut groups = Secret::with_capacity(missing + run.len());
                groups.extend(&b"AAA"[..missing]);
                groups.extend(run);
                let usable = groups.len() - usize::from(groups.len() % 4 == 1);
                let mut decoded = Secret::default();
                let target = decoded.extend_zeroed(usable);
                if let Ok(len) = base64.decode_slice(&groups.expose()[..usable], target) {
                    decoded.truncate(len);
                    readings.push(decoded);
                }
            }
        }
    }
    readings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_recognized_in_every_encoding() {
        const SECRET: &str = "s3cr3t/with+some%signs";
        let repeats = |text: &str| repeats(text, [SECRET.as_bytes()].into_iter());
        for text in [
            "it was s3cr3t/with+some%signs",
            "only 3cr3t/with+s of it",
            "s3cr3t%2fwith%2Bsome%25signs",
            "%73%33cr3t%2fwith%2bso",
            "(czNjcjN0L3dpdGgrc29tZSVzaWducw==)",
            "Basic aWQ6czNjcjN0L3dpdGgrc29tZSVzaWducw",
            "xczNjcjN0L3dpdGgrc29tZSVzaWducw",
            // The second to the thirteenth byte of the secret, and nothing else.
            "zNjcjN0L3dpdGgrc2",
        ] {
            assert!(repeats(text), "{text}");
        }
        // This secret ends with the text, but with tabs in place of the spaces.
        let long = format!("{}tab\tand\tmore\ttabs", "x".repeat(300));
        assert!(super::repeats("it was tab and more tabs", [long.as_bytes()].into_iter()));
        let [most, too_long] = [0, 1].map(|more| vec![b'x'; LONGEST_SECRET + more]);
        assert!(
            !super::repeats("no", [&most[..]].into_iter())
                && super::repeats("no", [&too_long[..]].into_iter())
        );
        for text in ["the client secret is wrong", "", "invalid_client", "s3cr3t/with", "%%%", "a+b/c=="] {
            assert!(!repeats(text), "{text}");
        }
    }
}
