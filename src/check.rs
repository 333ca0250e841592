//! Checks on values from outside. They refuse a value before anything is sent.

use crate::error::Error;
use crate::text::{BYTE_ORDER_MARK, is_bidi_control, is_separator};

/// The longest value that is accepted anywhere. Servers accept far less; a megabyte is a mistake.
pub(crate) const MAX_LEN: usize = 16 * 1024;

/// The longest callback that is accepted, and the longest code in it. The server chooses the length.
const MAX_CALLBACK_LEN: usize = 64 * 1024;

/// Checks a name, secret, URL, scope or header value. Refuses an empty or huge value, control characters (RFC 9110 5.5), and characters
/// that make a line look different when it is shown. Secrets are checked too, because a person may copy such a character along with a
/// secret.
pub(crate) fn value(what: &str, value: &[u8]) -> Result<(), Error> {
    length(what, value, MAX_LEN)?;
    refuse(what, value, is_refused)
}

/// Checks a value that a browser brings back from a login. It may be longer than other values.
pub(crate) fn callback_value(what: &str, value: &[u8]) -> Result<(), Error> {
    length(what, value, MAX_CALLBACK_LEN)?;
    refuse(what, value, is_refused)
}

fn is_refused(c: char) -> bool {
    c.is_control() || is_separator(c) || is_bidi_control(c) || c == BYTE_ORDER_MARK
}

/// Checks a person's password, which may hold anything but CR, LF, NUL and byte order marks.
pub(crate) fn password(what: &str, value: &[u8]) -> Result<(), Error> {
    length(what, value, MAX_LEN)?;
    refuse(what, value, |c| matches!(c, '\r' | '\n' | '\0' | BYTE_ORDER_MARK))
}

/// Checks a list of scopes (RFC 6749 3.3).
pub(crate) fn is_scope_list(scope: &str) -> bool {
    !scope.is_empty() && scope.bytes().all(|b| b == b' ' || is_nqchar(b))
}

/// Whether scopes and error codes may hold this character: `NQCHAR` of RFC 6749, appendix A.
pub(crate) fn is_nqchar(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'"' && byte != b'\\'
}

fn length(what: &str, value: &[u8], max: usize) -> Result<(), Error> {
    match value.len() {
        0 => Err(Error::invalid(format!("the {what} is empty"))),
        len if len > max => Err(Error::invalid(format!(
            "the {what} is {len} bytes long; at most {max} are accepted: is it the right value?"
        ))),
        _ => Ok(()),
    }
}

/// Refuses a value with a character for which `refused` is true. Bytes that are not UTF-8 are accepted, because they are no characters.
fn refuse(what: &str, value: &[u8], refused: fn(char) -> bool) -> Result<(), Error> {
    // Nearly all values are visible ASCII, which is never refused.
    if value.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return Ok(());
    }
    let mut start = 0;
    for chunk in value.utf8_chunks() {
        if let Some((at, c)) = chunk.valid().char_indices().find(|(_, c)| refused(*c)) {
            let at = start + at;
            let name = match c {
                _ if c.is_ascii() => "a control character".to_owned(),
                _ if c.is_control() => format!("a control character (U+{:04X})", u32::from(c)),
                BYTE_ORDER_MARK => "a byte order mark (U+FEFF)".to_owned(),
                _ if is_separator(c) => format!("a line separator (U+{:04X})", u32::from(c)),
                _ => format!("a character that changes the direction of text (U+{:04X})", u32::from(c)),
            };
            let is_last = at + c.len_utf8() == value.len() && !is_bidi_control(c) && c != BYTE_ORDER_MARK;
            let hint = if is_last || value[at..] == *b"\r\n" {
                "a trailing newline, perhaps, from reading a file?"
            } else {
                "remove it"
            };
            return Err(Error::invalid(format!("the {what} holds {name} at byte {at}: {hint}")));
        }
        start += chunk.valid().len() + chunk.invalid().len();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(result: Result<(), Error>, text: &str) {
        assert_eq!(result.unwrap_err().to_string(), text);
    }

    #[test]
    fn control_characters_are_refused_with_their_place() {
        for byte in (0..0x20).chain([0x7f]) {
            refused(
                value("client id", &[b'a', byte, b'b']),
                "the client id holds a control character at byte 1: remove it",
            );
        }
        refused(
            value("client secret", b"abc\n"),
            "the client secret holds a control character at byte 3: a trailing newline, perhaps, from reading a file?",
        );
        refused(
            value("client secret", b"abc\r\n"),
            "the client secret holds a control character at byte 3: a trailing newline, perhaps, from reading a file?",
        );
    }

    #[test]
    fn characters_that_disguise_a_line_are_refused_by_name() {
        let direction = ['\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}'];
        let named = [
            ('\u{80}', "a control character"),
            ('\u{9b}', "a control character"),
            ('\u{9f}', "a control character"),
        ]
        .into_iter()
        .chain(['\u{2028}', '\u{2029}'].map(|c| (c, "a line separator")))
        .chain(direction.map(|c| (c, "a character that changes the direction of text")));
        for (c, name) in named {
            let code = u32::from(c);
            refused(
                value("client id", format!("ä{c}b").as_bytes()),
                &format!("the client id holds {name} (U+{code:04X}) at byte 2: remove it"),
            );
            // The byte 0x9B alone is no character. The character after it is found.
            refused(
                value("secret", &[b"\xff\x9b", c.to_string().as_bytes(), b"b"].concat()),
                &format!("the secret holds {name} (U+{code:04X}) at byte 2: remove it"),
            );
            password("password", format!("a{c}b").as_bytes()).unwrap();
        }
        refused(
            value("client id", "id\u{202c}".as_bytes()),
            "the client id holds a character that changes the direction of text (U+202C) at byte 2: remove it",
        );
        // Characters that join letters and emoji, and any other text.
        value("profile", "نامه\u{200c}ای 👩\u{200d}💻 e\u{301} אבג".as_bytes()).unwrap();
        value("secret", b"\xff\x9b\x80").unwrap();
    }

    #[test]
    fn byte_order_marks_are_refused_with_their_place() {
        for (text, at) in [("\u{feff}abc", 0), ("ab\u{feff}c", 2), ("abc\u{feff}", 3), ("\u{feff}", 0)] {
            let says = format!("the secret holds a byte order mark (U+FEFF) at byte {at}: remove it");
            refused(value("secret", text.as_bytes()), &says);
            refused(password("secret", text.as_bytes()), &says);
        }
    }

    #[test]
    fn empty_and_huge_values_are_refused_and_others_accepted() {
        refused(value("scope", b""), "the scope is empty");
        refused(
            value("scope", &vec![b'a'; 1 << 20]),
            "the scope is 1048576 bytes long; at most 16384 are accepted: is it the right value?",
        );
        value("scope", "größe:日本".as_bytes()).unwrap();
        value("scope", &vec![b'a'; MAX_LEN]).unwrap();
    }

    #[test]
    fn passwords_may_hold_tabs_but_not_line_breaks() {
        password("password", b"a\tb\x1b:c").unwrap();
        for byte in [b'\r', b'\n', 0] {
            assert!(password("password", &[b'a', byte, b'b']).is_err());
        }
    }
}
