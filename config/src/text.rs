//! Finds the secret in a text, without a byte order mark and line ends around it.

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Which part of the text is the secret.
#[derive(Clone, Copy)]
pub enum Part {
    /// A whole variable, without one line end. Other characters that cannot be sent are refused later.
    Value,
    /// The whole text, without one line end (LF or CRLF). More lines are refused.
    OnlyLine,
    /// The first line, without its end. In an entry of `pass`, notes follow.
    FirstLine,
}

/// Why a text holds no secret, in words that follow its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The text is empty.
    Empty(&'static str),
    /// The text cannot be a secret.
    Broken(&'static str),
}

/// Returns the secret.
///
/// # Errors
/// The problem with the text.
pub fn secret(mut text: Vec<u8>, part: Part) -> Result<Vec<u8>, Unfit> {
    use Unfit::{Broken, Empty};
    if let Some(problem) = other_encoding(&text) {
        return Err(Broken(problem));
    }
    drop_mark(&mut text);
    let line = text.iter().position(|&byte| byte == b'\n');
    let rest = line.map_or(0, |at| text.len() - at - 1);
    if rest > 0 && matches!(part, Part::Value) {
        return Ok(text);
    }
    if rest > 0 && matches!(part, Part::OnlyLine) {
        return Err(Broken(
            "has more than one line: leave nothing but the secret in it, with one line end at most",
        ));
    }
    if let Some(at) = line {
        text.truncate(at);
        if text.last() == Some(&b'\r') {
            text.pop();
        }
    }
    match part {
        Part::Value if !text.is_empty() => Ok(text),
        _ if text.contains(&0) => Err(Broken("holds a NUL byte, which no text has: save it as UTF-8")),
        _ if text.contains(&b'\r') => {
            Err(Broken("holds a carriage return (CR) that is not part of a line end: remove it"))
        }
        _ if text.is_empty() && rest > 0 => {
            Err(Empty("is empty: it must be in the first line of the output"))
        }
        _ if text.is_empty() => Err(Empty("is empty")),
        _ => Ok(text),
    }
}

/// Drops byte order marks at the start of a line or a text. Programs that join texts leave several.
pub fn drop_mark(text: &mut Vec<u8>) {
    while text.starts_with(BYTE_ORDER_MARK) {
        text.drain(..BYTE_ORDER_MARK.len());
    }
}

/// Returns the problem with a text that begins with the byte order mark of another encoding than UTF-8, or as JSON, a path or a URL does in
/// one.
pub fn other_encoding(text: &[u8]) -> Option<&'static str> {
    const MARKS: [(&[u8], &str); 4] = [
        // The mark of UTF-32 comes first, because it begins like that of UTF-16.
        (b"\xff\xfe\0\0", "is UTF-32 text, by its byte order mark: save it as UTF-8"),
        (b"\0\0\xfe\xff", "is UTF-32 text, by its byte order mark: save it as UTF-8"),
        (b"\xff\xfe", "is UTF-16 text, by its byte order mark: save it as UTF-8"),
        (b"\xfe\xff", "is UTF-16 text, by its byte order mark: save it as UTF-8"),
    ];
    let marked = MARKS.iter().find(|(mark, _)| text.starts_with(mark)).map(|(_, problem)| *problem);
    marked.or(match text {
        [b'{' | b'[' | b'/' | b'h', 0, 0, 0, ..] | [0, 0, 0, b'{' | b'[' | b'/' | b'h', ..] => {
            Some("is UTF-32 text: save it as UTF-8")
        }
        [b'{' | b'[' | b'/' | b'h', 0, ..] | [0, b'{' | b'[' | b'/' | b'h', ..] => {
            Some("is UTF-16 text: save it as UTF-8")
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::Unfit::{Broken, Empty};
    use super::*;

    const MORE: Unfit =
        Broken("has more than one line: leave nothing but the secret in it, with one line end at most");
    const NUL: Unfit = Broken("holds a NUL byte, which no text has: save it as UTF-8");
    const CR: Unfit = Broken("holds a carriage return (CR) that is not part of a line end: remove it");
    const UTF_16: Unfit = Broken("is UTF-16 text, by its byte order mark: save it as UTF-8");
    const UTF_32: Unfit = Broken("is UTF-32 text, by its byte order mark: save it as UTF-8");

    #[test]
    fn line_end_and_byte_order_mark_are_removed_from_a_secret() {
        let first_only = Empty("is empty: it must be in the first line of the output");
        for (text, only_line, first_line) in [
            (&b"abc"[..], Ok("abc"), Ok("abc")),
            (b"abc\n", Ok("abc"), Ok("abc")),
            (b"abc\r\n", Ok("abc"), Ok("abc")),
            (b" a b \t\r\n", Ok(" a b \t"), Ok(" a b \t")),
            (b"\xef\xbb\xbfabc\r\n", Ok("abc"), Ok("abc")),
            (b"abc\n\n", Err(MORE), Ok("abc")),
            (b"abc\r\n\r\n", Err(MORE), Ok("abc")),
            (b"abc\nuser: me\n", Err(MORE), Ok("abc")),
            (b"abc\r\nuser: me\r\n", Err(MORE), Ok("abc")),
            (b"abc\nuser: \0", Err(MORE), Ok("abc")),
            (b"\nabc\n", Err(MORE), Err(first_only)),
            (b"\r\nabc", Err(MORE), Err(first_only)),
            (b"", Err(Empty("is empty")), Err(Empty("is empty"))),
            (b"\n", Err(Empty("is empty")), Err(Empty("is empty"))),
            (b"\r\n", Err(Empty("is empty")), Err(Empty("is empty"))),
            (b"\xef\xbb\xbf\xef\xbb\xbfabc\n", Ok("abc"), Ok("abc")),
            (b"\xef\xbb\xbf", Err(Empty("is empty")), Err(Empty("is empty"))),
            (b"\xef\xbb\xbf\n", Err(Empty("is empty")), Err(Empty("is empty"))),
            (b"abc\r", Err(CR), Err(CR)),
            (b"a\rbc\n", Err(CR), Err(CR)),
            (b"abc\r\r\n", Err(CR), Err(CR)),
            (b"a\0b\n", Err(NUL), Err(NUL)),
            (b"a\0b\0\n\0", Err(MORE), Err(NUL)),
            (b"\xff\xfea\0b\0", Err(UTF_16), Err(UTF_16)),
            (b"\xfe\xff\0a\0b", Err(UTF_16), Err(UTF_16)),
            (b"\xff\xfe\0\0a\0\0\0", Err(UTF_32), Err(UTF_32)),
            (b"\0\0\xfe\xff\0\0\0a", Err(UTF_32), Err(UTF_32)),
        ] {
            for (part, expected) in [(Part::OnlyLine, only_line), (Part::FirstLine, first_line)] {
                let given = String::from_utf8_lossy(text);
                let expected = expected.map(|secret| secret.as_bytes().to_vec());
                assert_eq!(secret(text.to_vec(), part), expected, "{given:?}");
            }
        }
    }
}
