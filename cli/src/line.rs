//! Edits a line as it is typed or pasted, byte by byte.

use keyfob_config::text;

/// No secret and no address is longer.
pub const MAX_LEN: usize = 64 * 1024;

/// The keys that a terminal would handle itself if it did not hand over each byte. 0: no such key.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    pub erase: u8,
    pub erase_word: u8,
    pub erase_line: u8,
    pub end: u8,
}

/// The way in which a line ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Line,
    Input,
}

/// The part of a line that was read so far.
#[derive(Default)]
pub struct Line {
    bytes: Vec<u8>,
    /// The number of bytes that did not fit.
    lost: usize,
    /// The keys of a terminal; `None` for a pipe or a file.
    keys: Option<Keys>,
    escape: Escape,
    /// Whether the input is between the marks that a terminal puts around a paste.
    is_paste: bool,
}

/// The part of a control sequence that was read so far (ECMA-48 5.4).
#[derive(Default)]
enum Escape {
    #[default]
    None,
    Begun,
    /// With its parameters.
    Sequence(Vec<u8>),
    /// One more byte.
    Last,
}

const ESCAPE: u8 = 0x1b;

impl Line {
    pub fn new(keys: Option<Keys>) -> Self {
        Self { keys, ..Self::default() }
    }

    /// Takes the next byte, and appends the text that a person should see to `shown`.
    pub fn take(&mut self, byte: u8, shown: &mut Vec<u8>) -> Option<End> {
        if self.is_of_sequence(byte) {
            return None;
        }
        if let Some(keys) = self.keys.filter(|_| !self.is_paste && byte != 0) {
            const DELETE: u8 = 0x7f;
            const CONTROL_H: u8 = 0x08;
            if byte == keys.erase || byte == DELETE || byte == CONTROL_H {
                self.erase(shown);
                return None;
            }
            if byte == keys.erase_word {
                while self.last().is_some_and(|byte| byte == b' ') {
                    self.erase(shown);
                }
                while self.last().is_some_and(|byte| byte != b' ') {
                    self.erase(shown);
                }
                return None;
            }
            if byte == keys.erase_line {
                while self.last().is_some() {
                    self.erase(shown);
                }
                return None;
            }
            if byte == keys.end {
                return Some(if self.bytes.is_empty() { End::Input } else { End::Line });
            }
        }
        if byte == b'\n' || byte == b'\r' && self.keys.is_some() {
            shown.push(b'\n');
            if self.is_paste {
                self.push(b'\n');
                return None;
            }
            return Some(End::Line);
        }
        self.push(byte);
        show(byte, shown);
        None
    }

    /// Begins another line of the same paste.
    pub fn go_on(&mut self) {
        self.push(b'\n');
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn is_too_long(&self) -> bool {
        self.lost > 0
    }

    /// Shows the line again, after other text was shown.
    pub fn show(&self, shown: &mut Vec<u8>) {
        self.bytes.iter().for_each(|&byte| show(byte, shown));
    }

    pub fn into_bytes(mut self) -> Vec<u8> {
        // A file may begin with a byte order mark.
        text::drop_mark(&mut self.bytes);
        // Copied text often ends with a line break.
        while self.bytes.last() == Some(&b'\n') {
            self.bytes.pop();
        }
        self.bytes
    }

    fn push(&mut self, byte: u8) {
        if self.bytes.len() < MAX_LEN {
            self.bytes.push(byte);
        } else {
            self.lost += 1;
        }
    }

    /// Returns the byte before the cursor, within the current line.
    fn last(&self) -> Option<u8> {
        self.bytes.last().copied().filter(|&byte| byte != b'\n')
    }

    /// Removes the last character, however many bytes it has.
    fn erase(&mut self, shown: &mut Vec<u8>) {
        if self.lost > 0 {
            self.lost -= 1;
            return;
        }
        while let Some(byte) = self.last() {
            self.bytes.pop();
            let is_continuation = byte & 0xc0 == 0x80;
            if is_continuation && self.last().is_some_and(|byte| byte >= 0x80) {
                continue;
            }
            let width = if byte.is_ascii_control() { 2 } else { 1 };
            shown.extend_from_slice(&b"\x08 \x08".repeat(width));
            return;
        }
    }

    /// Whether the byte belongs to a control sequence. Of these sequences, only the marks around a paste have a meaning here.
    fn is_of_sequence(&mut self, byte: u8) -> bool {
        // A line break ends every control sequence.
        if matches!(byte, b'\n' | b'\r') {
            self.escape = Escape::None;
            return false;
        }
        match (&mut self.escape, byte) {
            (_, ESCAPE) => self.escape = Escape::Begun,
            (Escape::None, _) => return false,
            (Escape::Begun, b'[') => self.escape = Escape::Sequence(Vec::new()),
            (Escape::Begun, b'O') => self.escape = Escape::Last,
            (Escape::Sequence(parameters), 0x20..0x40) if parameters.len() < 16 => parameters.push(byte),
            (Escape::Sequence(parameters), _) => {
                match (parameters.as_slice(), byte) {
                    (b"200", b'~') => self.is_paste = true,
                    (b"201", b'~') => self.is_paste = false,
                    _ => {}
                }
                self.escape = Escape::None;
            }
            (Escape::Begun | Escape::Last, _) => self.escape = Escape::None,
        }
        true
    }
}

fn show(byte: u8, shown: &mut Vec<u8>) {
    match byte {
        b'\n' => shown.push(byte),
        0..0x20 | 0x7f => shown.extend_from_slice(&[b'^', byte ^ 0x40]),
        _ => shown.push(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: Keys = Keys { erase: 0x7f, erase_word: 0x17, erase_line: 0x15, end: 0x04 };

    /// Returns the line, its end, and the text that a person sees.
    fn typed(bytes: &[u8], keys: Option<Keys>) -> (Vec<u8>, Option<End>, Vec<u8>) {
        let (mut line, mut shown) = (Line::new(keys), Vec::new());
        let end = bytes.iter().find_map(|&byte| line.take(byte, &mut shown));
        (line.into_bytes(), end, shown)
    }

    #[test]
    fn line_is_edited_like_on_a_terminal() {
        for (bytes, line) in [
            (&b"abc\n"[..], &b"abc"[..]),
            (b"abc\r", b"abc"),
            (b"abx\x7fc\n", b"abc"),
            (b"abx\x08c\n", b"abc"),
            (b"\x7f\x7fabc\n", b"abc"),
            ("a\u{e4}\u{20ac}\x7f\x7fbc\n".as_bytes(), b"abc"),
            (b"\xe4\x7fabc\n", b"abc"),
            (b"wrong\x15abc\n", b"abc"),
            (b"abc wrong  \x17\n", b"abc "),
            (b"wrong\x17abc\n", b"abc"),
            (b"abc\x04", b"abc"),
            (b"a\x1b[Db\x1b[3~c\x1bOH\x1bx\n", b"abc"),
            (b"abc\x1b\n", b"abc"),
            (b"abc\x1b[\n", b"abc"),
            (b"a\x01b\0c\n", b"a\x01b\0c"),
            (b"\x1b[200~abc\x1b[201~\n", b"abc"),
            (b"\x1b[200~ab\nc\x1b[201~\n", b"ab\nc"),
            (b"\x1b[200~abc\n\x1b[201~\n", b"abc"),
            (b"\x1b[200~abc\r\n\r\n\x1b[201~\r", b"abc"),
            (b"\x1b[200~ab\x15\x04c\x1b[201~\n", b"ab\x15\x04c"),
            (b"ab\n", b"ab"),
        ] {
            assert_eq!(typed(bytes, Some(KEYS)).0, line, "{}", bytes.escape_ascii());
            assert_eq!(typed(bytes, Some(KEYS)).1, Some(End::Line), "{}", bytes.escape_ascii());
        }
        assert_eq!(typed(b"\x04", Some(KEYS)).1, Some(End::Input));
        assert_eq!(typed(b"a\x7f\x04", Some(KEYS)).1, Some(End::Input));
        assert_eq!(typed(b"\x1b[200~abc\x1b[201~", Some(KEYS)).1, None, "a person ends the line");
    }

    #[test]
    fn control_characters_from_a_pipe_are_no_editing_keys() {
        for (bytes, line) in [
            (&b"a\x7f\x15\x04b\r\n"[..], &b"a\x7f\x15\x04b\r"[..]),
            (b"\x1b[200~abc\x1b[201~\n", b"abc"),
            (b"\xff\xfe\n", b"\xff\xfe"),
            (b"\xef\xbb\xbfab\n", b"ab"),
        ] {
            assert_eq!(typed(bytes, None), (line.to_vec(), Some(End::Line), typed(bytes, None).2));
        }
    }

    #[test]
    fn typed_text_is_echoed() {
        for (bytes, shown) in [
            (&b"abc\n"[..], &b"abc\n"[..]),
            (b"ab\x7f", b"ab\x08 \x08"),
            ("\u{e4}\x7f".as_bytes(), "\u{e4}\x08 \x08".as_bytes()),
            (b"ab\x15", b"ab\x08 \x08\x08 \x08"),
            (b"\x01\x7f", b"^A\x08 \x08\x08 \x08"),
            (b"\x7f", b""),
            (b"\x1b[200~abc\x1b[201~", b"abc"),
        ] {
            assert_eq!(typed(bytes, Some(KEYS)).2, shown, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn line_may_have_64_kib() {
        let mut line = Line::new(None);
        let mut shown = Vec::new();
        for _ in 0..MAX_LEN {
            line.take(b'a', &mut shown);
        }
        assert!(!line.is_too_long());
        line.take(b'a', &mut shown);
        assert!(line.is_too_long());
        assert_eq!(line.into_bytes().len(), MAX_LEN);
    }
}
