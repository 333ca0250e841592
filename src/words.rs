//! A server's own words, as far as they are safe to show.

use std::collections::HashSet;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

use crate::{Secret, form};

/// Longest text of a server that is shown, in characters.
const MAX_WORDS: usize = 200;

/// No secret is longer. What a server calls one may be a megabyte, and to compare would take longer than a caller may have.
const LONGEST_SECRET: usize = 64 * 1024;

/// This many bytes in a row of a secret are too many.
const PIECE: usize = 12;

/// One line of at most 200 visible characters.
pub(crate) fn printable(text: &str) -> String {
    printable_up_to(MAX_WORDS, text)
}

/// One line of visible text: control characters become spaces, direction marks and the like go, the end is cut.
pub(crate) fn printable_up_to(most: usize, text: &str) -> String {
    // No longer than the text, so it never grows and leaves a part behind: the text may be a secret.
    let mut out = String::with_capacity(text.len());
    let visible = text
        .chars()
        .take(4 * most)
        .map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c })
        .filter(|c| !matches!(*c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'))
        .take(most);
    out.extend(visible);
    out.truncate(out.trim_end().len());
    out
}

/// Whether the text holds 12 bytes in a row of a secret (all of it, if it is shorter): as it is, percent-encoded or in
/// base64. Taken for granted of a secret that is too long to look.
pub(crate) fn repeats<'a>(text: &str, mut secrets: impl Iterator<Item = &'a [u8]>) -> bool {
    let readings = readings(text);
    secrets.any(|secret| {
        if secret.len() > LONGEST_SECRET {
            return true;
        }
        // What `printable` changed must still be recognized.
        let printed = std::str::from_utf8(secret)
            .map(|text| Secret::from(printable_up_to(secret.len(), text)))
            .unwrap_or_default();
        share_a_piece(&readings, secret)
            || printed.expose() != secret && share_a_piece(&readings, printed.expose())
    })
}

/// What the text may mean: itself, decoded, and whatever in it can be base64.
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
            // It may start anywhere in a group of four: what is missing is filled up, and decodes to something else.
            for missing in 0..4 {
                let mut groups = Secret::with_capacity(missing + run.len());
                groups.extend(&b"AAA"[..missing]);
                groups.extend(run);
                let usable = groups.len() - usize::from(groups.len() % 4 == 1);
                let mut decoded = Secret::default();
                let room = decoded.extend_zeroed(usable);
                if let Ok(len) = base64.decode_slice(&groups.expose()[..usable], room) {
                    decoded.truncate(len);
                    readings.push(decoded);
                }
            }
        }
    }
    readings
}

fn share_a_piece(readings: &[Secret], secret: &[u8]) -> bool {
    let size = secret.len().clamp(1, PIECE);
    let pieces: HashSet<&[u8]> = readings.iter().flat_map(|reading| reading.expose().windows(size)).collect();
    secret.windows(size).any(|piece| pieces.contains(piece))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_one_printable_line() {
        assert_eq!(printable("a\r\nb\x1b[31m\u{202e}c\0"), "a  b [31mc");
        assert_eq!(printable(&"ü".repeat(10_000)).chars().count(), MAX_WORDS);
    }

    #[test]
    fn a_secret_is_recognized_in_every_guise() {
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
            // From the second byte to the thirteenth, and not a character more.
            "zNjcjN0L3dpdGgrc2",
        ] {
            assert!(repeats(text), "{text}");
        }
        // However far in.
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
