//! [`Body`]: the body of an answer as it was received, until it is written as a part of a line.
//!
//! A body is kept in pieces, because a buffer that grows holds its content twice. It becomes JSON only on its way to the output,
//! because text in JSON takes up to six times its size.

use std::io::{self, BufReader, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyfob_config::text;
use serde::de::IgnoredAny;

use super::budget::PIECE;

/// The greatest depth of a JSON body. `serde_json` keeps a byte for each level; this many fit into one piece.
const MAX_DEPTH: usize = PIECE;

#[derive(Default)]
pub struct Body {
    /// Each piece has [`PIECE`] bytes; the last one may have fewer.
    pieces: Vec<Vec<u8>>,
    len: u64,
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As JSON, on one line.
    Json,
    /// As a JSON string.
    Text,
    /// In Base64, because it is neither JSON nor text.
    Bytes,
}

impl Body {
    /// Returns the length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Reads the next piece, and returns whether there may be more. `buffer` has the size of a piece, and callers reuse it.
    pub fn read_piece(&mut self, from: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
        let mut filled = 0;
        while filled < buffer.len() {
            match from.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        if filled > 0 {
            self.pieces.push(buffer[..filled].to_vec());
            self.len += filled as u64;
        }
        Ok(filled == buffer.len())
    }

    /// Returns how the body is to be written. Drops a byte order mark before a text, as RFC 8259 8.1 allows.
    pub fn shape(&mut self) -> Shape {
        let is_utf8 = is_utf8(&self.pieces);
        if let Some(first) = self.pieces.first_mut().filter(|_| is_utf8) {
            text::drop_mark(first);
        }
        // An empty piece would look like the end.
        self.pieces.retain(|piece| !piece.is_empty());
        let is_json = match &self.pieces[..] {
            [] => false,
            [piece] => serde_json::from_slice::<IgnoredAny>(piece).is_ok(),
            pieces => serde_json::from_reader::<_, IgnoredAny>(BufReader::new(Scan::new(pieces))).is_ok(),
        };
        match (is_utf8, is_json) {
            (true, true) => Shape::Json,
            (true, false) => Shape::Text,
            (false, _) => Shape::Bytes,
        }
    }

    /// Writes the body piece by piece, as a member of a JSON object.
    pub fn write(&self, shape: Shape, put: &mut impl FnMut(&[u8])) {
        match shape {
            Shape::Json => {
                put(br#","body":"#);
                self.write_json(put);
            }
            Shape::Text => {
                put(br#","body":""#);
                self.pieces.iter().for_each(|piece| escape(piece, put));
                put(b"\"");
            }
            Shape::Bytes => {
                put(br#","body_base64":""#);
                let mut text = [0; PART / 3 * 4];
                for part in self.pieces.iter().flat_map(|piece| piece.chunks(PART)) {
                    let written = STANDARD.encode_slice(part, &mut text);
                    debug_assert!(written.is_ok(), "it has the size for it");
                    put(&text[..written.unwrap_or_default()]);
                }
                put(b"\"");
            }
        }
    }

    /// Leaves out line breaks and spaces around the body, and line breaks inside: they stand between the tokens of JSON, never in them.
    fn write_json(&self, put: &mut impl FnMut(&[u8])) {
        let is_space = |byte: &&u8| b" \t\r\n".contains(byte);
        let mut before = self.pieces.iter().flatten().take_while(is_space).count();
        let after =
            self.pieces.iter().rev().flat_map(|piece| piece.iter().rev()).take_while(is_space).count();
        let whole: usize = self.pieces.iter().map(Vec::len).sum();
        let mut left = whole.saturating_sub(before + after);
        for piece in &self.pieces {
            let skipped = before.min(piece.len());
            before -= skipped;
            let part = &piece[skipped..];
            let part = &part[..left.min(part.len())];
            left -= part.len();
            if part.contains(&b'\n') || part.contains(&b'\r') {
                part.split(|byte| b"\r\n".contains(byte)).for_each(&mut *put);
            } else {
                put(part);
            }
        }
    }
}

/// The number of bytes that are turned into Base64 at a time.
const PART: usize = 3 * 1024;

/// Writes a JSON string without the quotes around it (RFC 8259 7).
fn escape(text: &[u8], put: &mut impl FnMut(&[u8])) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte < b' ' || *byte == b'"' || *byte == b'\\') {
        put(&rest[..at]);
        let mut short = |letter| put(&[b'\\', letter]);
        match rest[at] {
            byte @ (b'"' | b'\\') => short(byte),
            b'\n' => short(b'n'),
            b'\r' => short(b'r'),
            b'\t' => short(b't'),
            0x08 => short(b'b'),
            0x0c => short(b'f'),
            byte => {
                let digit = |value: u8| b"0123456789abcdef"[usize::from(value)];
                put(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            }
        }
        rest = &rest[at + 1..];
    }
    put(rest);
}

fn is_utf8(pieces: &[Vec<u8>]) -> bool {
    // A character that begins in one piece and ends in the next.
    let mut split = Vec::with_capacity(4);
    for piece in pieces {
        let mut rest = &piece[..];
        while let ([next, others @ ..], false) = (rest, split.is_empty()) {
            split.push(*next);
            rest = others;
            match std::str::from_utf8(&split) {
                Ok(_) => split.clear(),
                Err(e) if e.error_len().is_none() => {}
                Err(_) => return false,
            }
        }
        match std::str::from_utf8(rest) {
            Ok(_) => {}
            Err(e) if e.error_len().is_none() => split.extend_from_slice(&rest[e.valid_up_to()..]),
            Err(_) => return false,
        }
    }
    split.is_empty()
}

/// Reads the bytes of a body, and fails where the JSON is too deep.
struct Scan<'a> {
    pieces: std::slice::Iter<'a, Vec<u8>>,
    piece: &'a [u8],
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl<'a> Scan<'a> {
    fn new(pieces: &'a [Vec<u8>]) -> Self {
        Self { pieces: pieces.iter(), piece: &[], depth: 0, in_string: false, escaped: false }
    }

    fn count(&mut self, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = self.in_string,
            b'"' => self.in_string = !self.in_string,
            b'[' | b'{' if !self.in_string => self.depth += 1,
            b']' | b'}' if !self.in_string => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

impl Read for Scan<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            self.piece = self.pieces.next().map(Vec::as_slice).unwrap_or_default();
        }
        let n = self.piece.read(buffer)?;
        for &byte in &buffer[..n] {
            self.count(byte);
        }
        if self.depth > MAX_DEPTH { Err(io::ErrorKind::InvalidData.into()) } else { Ok(n) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], piece: usize) -> Body {
        let mut body = Body::default();
        let mut from = bytes;
        while body.read_piece(&mut from, &mut vec![0; piece]).unwrap() {}
        assert_eq!(body.len(), bytes.len() as u64);
        body
    }

    fn written(body: &mut Body) -> String {
        let mut json = Vec::new();
        let shape = body.shape();
        body.write(shape, &mut |bytes| json.extend_from_slice(bytes));
        String::from_utf8(json).unwrap()
    }

    #[test]
    fn body_is_printed_as_one_line_with_the_same_meaning() {
        for (body, expected) in [
            (&b"{\"a\": 1.10}"[..], r#","body":{"a": 1.10}"#),
            (b"\n{\r\n  \"a\": \"b\\n\",\n\"c\":[1,\n2]}\n \t", r#","body":{  "a": "b\n","c":[1,2]}"#),
            (b"12345678901234567890123", r#","body":12345678901234567890123"#),
            (b"", r#","body":"""#),
            (b" \n", r#","body":" \n""#),
            (b"two\nlines \"quoted\"", r#","body":"two\nlines \"quoted\"""#),
            (b"{\"a\":1} trailing", r#","body":"{\"a\":1} trailing""#),
            (b"\xef\xbb\xbf{\"a\":1}", r#","body":{"a":1}"#),
            (b"\xef\xbb\xbf\r\n[1]", r#","body":[1]"#),
            (b"\xef\xbb\xbftext", r#","body":"text""#),
            (b"\xef\xbb\xbf\xff", r#","body_base64":"77u//w==""#),
            (b"\xff\x00", r#","body_base64":"/wA=""#),
            (b"\"\xff\"", r#","body_base64":"Iv8i""#),
            ("\"ä€😀\"".as_bytes(), ",\"body\":\"ä€😀\""),
            ("ä€😀".as_bytes(), ",\"body\":\"ä€😀\""),
            ("a€".as_bytes().split_last().unwrap().1, r#","body_base64":"YeKC""#),
            (b"[\"]\\\"[\"]", r#","body":["]\"["]"#),
        ] {
            // In one piece, and in pieces that end anywhere.
            for piece in [PIECE, 3, 6, 9] {
                assert_eq!(written(&mut read(body, piece)), expected, "{piece}");
            }
        }
    }

    #[test]
    fn text_is_escaped_like_serde_json() {
        let text: String = ('\0'..='\u{ff}').chain(['\u{2028}', '\u{feff}', '😀']).collect();
        let expected = format!(r#","body":{}"#, serde_json::Value::from(&*text));
        for piece in [PIECE, 3, 30] {
            assert_eq!(written(&mut read(text.as_bytes(), piece)), expected);
        }
    }

    #[test]
    fn json_that_is_too_deep_is_printed_as_text() {
        let deep = |depth: usize| ["[".repeat(depth), " ".repeat(2 * PIECE), "]".repeat(depth)].concat();
        for (depth, shape) in [(1000, Shape::Json), (MAX_DEPTH, Shape::Json), (MAX_DEPTH + 1, Shape::Text)] {
            assert_eq!(read(deep(depth).as_bytes(), PIECE).shape(), shape, "{depth}");
        }
        let strings = format!("[{}\"\"]", "\"[[{\\\"[\",".repeat(MAX_DEPTH));
        assert_eq!(read(strings.as_bytes(), PIECE).shape(), Shape::Json, "what is in a string is not deep");
    }
}
