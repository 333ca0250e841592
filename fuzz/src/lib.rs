//! Helpers of the targets: how random bytes become input, and what must never be shown.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde::de::IgnoredAny;
use serde_json::Value;

/// The number of consecutive bytes of a secret that counts as a leak (see `DESIGN.md`).
pub const PIECE: usize = 12;

/// Takes random bytes from the front. Once they are used up, zeros follow.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    pub fn number(&mut self) -> u64 {
        let mut number = [0; 8];
        let bytes = self.bytes(8);
        number[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(number)
    }

    /// The length is the first byte.
    pub fn piece(&mut self) -> &'a [u8] {
        let length = self.byte();
        self.bytes(length.into())
    }

    pub fn text(&mut self) -> String {
        String::from_utf8_lossy(self.piece()).into_owned()
    }

    pub fn rest(self) -> &'a [u8] {
        self.0
    }

    fn bytes(&mut self, most: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        bytes
    }
}

/// A second parser of JSON. Also `None` if the input holds a number that is too large.
pub fn json(bytes: &[u8]) -> Option<Value> {
    serde_json::from_str(&String::from_utf8_lossy(bytes)).ok()
}

/// Returns the text without the byte order marks before it, which keyfob skips.
pub fn unmarked(mut text: &[u8]) -> &[u8] {
    while let Some(rest) = text.strip_prefix("\u{feff}".as_bytes()) {
        text = rest;
    }
    text
}

/// Checks the grammar only. Members that are ignored need not be UTF-8.
pub fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

/// Characters that no value may hold: control and formatting characters, line separators, the byte order mark.
pub fn is_refused(c: char) -> bool {
    let directs =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || directs || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Whether a name, a secret or another value may hold these characters.
pub fn holds_no_refused(value: &[u8]) -> bool {
    value.utf8_chunks().all(|chunk| !chunk.valid().contains(is_refused))
}

/// A secret in every encoding in which a server may repeat it.
pub fn guises(secret: &[u8]) -> [Vec<u8>; 5] {
    [
        secret.to_vec(),
        percent_encode(secret, NON_ALPHANUMERIC).to_string().into_bytes(),
        form_urlencoded::byte_serialize(secret).collect::<String>().into_bytes(),
        STANDARD.encode(secret).into_bytes(),
        URL_SAFE_NO_PAD.encode(secret).into_bytes(),
    ]
}

/// A secret that no random text contains.
pub struct Mark {
    guises: [String; 5],
    pieces: Vec<String>,
}

impl Mark {
    pub fn new(secret: &str) -> Self {
        let text = |guise: &[u8]| String::from_utf8(guise.to_vec()).unwrap();
        let guises = guises(secret.as_bytes());
        let pieces =
            secret.as_bytes().windows(PIECE).flat_map(|piece| self::guises(piece).into_iter().take(3));
        // This many characters of base64 hold 12 whole bytes at any offset.
        let of_base64 = guises[3..]
            .iter()
            .flat_map(|guise| guise.split(|&byte| byte == b'=').flat_map(|guise| guise.windows(18)));
        let pieces = pieces.map(|piece| text(&piece)).chain(of_base64.map(text)).collect();
        Self { guises: guises.each_ref().map(|guise| text(guise)), pieces }
    }

    pub fn text(&self) -> &str {
        &self.guises[0]
    }

    /// Replaces `first` and the four bytes after it by the encodings of the secret, which a fuzzer would
    /// hardly guess.
    pub fn plant(&self, first: u8, bytes: &[u8]) -> Vec<u8> {
        let guise = |byte: u8| byte.checked_sub(first).and_then(|at| self.guises.get(usize::from(at)));
        let bytes = bytes
            .iter()
            .map(|byte| guise(*byte).map_or(std::slice::from_ref(byte), |guise| guise.as_bytes()));
        bytes.collect::<Vec<_>>().concat()
    }

    /// No shown text holds 12 consecutive bytes of the secret, in any encoding.
    #[track_caller]
    pub fn is_hidden_in(&self, shown: &str) {
        // Encoded text starts only where no escape is cut: `%2e%7E` contains no `e`.
        let in_escape = |at: usize| shown.as_bytes()[at.saturating_sub(2)..at].contains(&b'%');
        let shows =
            |piece: &str| shown.match_indices(piece).any(|(at, _)| !piece.contains('%') || !in_escape(at));
        let piece = self.pieces.iter().find(|piece| shows(piece));
        assert!(piece.is_none(), "{shown:?} shows {piece:?} of a secret");
    }
}

/// One line on every terminal.
#[track_caller]
pub fn is_one_line(shown: &str, most: usize) {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    assert!(!shown.contains(hidden), "{shown:?} is not one visible line");
    assert!(shown.chars().count() <= most, "{shown:?} is longer than {most} characters");
}
