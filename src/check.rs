//! What may come in from outside: refused here, before anything is sent.

use crate::Error;

/// Longest value that is accepted anywhere. Servers take far less; a megabyte is a mistake.
const MAX_LEN: usize = 16 * 1024;

/// A name, secret, URL, scope or header value: not empty, not huge, no control characters (RFC 9110 5.5).
pub(crate) fn value(what: &str, value: &[u8]) -> Result<(), Error> {
    length(what, value)?;
    control(what, value, |byte| byte < 0x20 || byte == 0x7f)
}

/// A password may hold anything but CR, LF and NUL.
pub(crate) fn password(what: &str, value: &[u8]) -> Result<(), Error> {
    length(what, value)?;
    control(what, value, |byte| matches!(byte, b'\r' | b'\n' | 0))
}

/// What scopes and error codes are made of: `NQCHAR` of RFC 6749, appendix A.
pub(crate) fn is_nqchar(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'"' && byte != b'\\'
}

fn length(what: &str, value: &[u8]) -> Result<(), Error> {
    match value.len() {
        0 => Err(Error::invalid(format!("the {what} is empty"))),
        len if len > MAX_LEN => Err(Error::invalid(format!(
            "the {what} is {len} bytes long; at most {MAX_LEN} are accepted: is it the right value?"
        ))),
        _ => Ok(()),
    }
}

fn control(what: &str, value: &[u8], refused: fn(u8) -> bool) -> Result<(), Error> {
    match value.iter().position(|&byte| refused(byte)) {
        None => Ok(()),
        Some(at) => {
            let hint = if at + 1 == value.len() || value[at..] == *b"\r\n" {
                "a trailing newline, perhaps, from reading a file?"
            } else {
                "remove it"
            };
            Err(Error::invalid(format!("the {what} holds a control character at byte {at}: {hint}")))
        }
    }
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
    fn empty_and_huge_are_refused_and_the_rest_is_taken() {
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
