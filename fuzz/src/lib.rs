//! What the targets share: how random bytes become input, and what may never be shown.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde::de::IgnoredAny;
use serde_json::Value;

/// So many bytes in a row of a secret are too many, as `DESIGN.md` has it.
pub const PIECE: usize = 12;

/// Reads random bytes from the front; what is missing is zero.
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

    /// Its length comes first.
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

/// Another look at JSON. `None` also where it holds a number that is past all counting.
pub fn json(bytes: &[u8]) -> Option<Value> {
    serde_json::from_str(&String::from_utf8_lossy(bytes)).ok()
}

/// By its grammar. What is ignored need not even be UTF-8.
pub fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

/// A secret in the guises that a server may repeat it in.
pub fn guises(secret: &[u8]) -> [Vec<u8>; 5] {
    [
        secret.to_vec(),
        percent_encode(secret, NON_ALPHANUMERIC).to_string().into_bytes(),
        form_urlencoded::byte_serialize(secret).collect::<String>().into_bytes(),
        STANDARD.encode(secret).into_bytes(),
        URL_SAFE_NO_PAD.encode(secret).into_bytes(),
    ]
}

/// A secret that no text has by chance.
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
        // So many characters of base64 hold 12 whole bytes wherever they start.
        let of_base64 = guises[3..]
            .iter()
            .flat_map(|guise| guise.split(|&byte| byte == b'=').flat_map(|guise| guise.windows(18)));
        let pieces = pieces.map(|piece| text(&piece)).chain(of_base64.map(text)).collect();
        Self { guises: guises.each_ref().map(|guise| text(guise)), pieces }
    }

    pub fn text(&self) -> &str {
        &self.guises[0]
    }

    /// Puts its guises where `first` and the four bytes after it stand: so the fuzzer need not guess it.
    pub fn plant(&self, first: u8, bytes: &[u8]) -> Vec<u8> {
        let guise = |byte: u8| byte.checked_sub(first).and_then(|at| self.guises.get(usize::from(at)));
        let bytes = bytes
            .iter()
            .map(|byte| guise(*byte).map_or(std::slice::from_ref(byte), |guise| guise.as_bytes()));
        bytes.collect::<Vec<_>>().concat()
    }

    /// Nothing that may be shown holds 12 bytes in a row of it, as it is or in a guise.
    #[track_caller]
    pub fn is_hidden_in(&self, shown: &str) {
        // What is encoded starts where an escape does not: `%2e%7E` has no `e` in it.
        let in_escape = |at: usize| shown.as_bytes()[at.saturating_sub(2)..at].contains(&b'%');
        let shows =
            |piece: &str| shown.match_indices(piece).any(|(at, _)| !piece.contains('%') || !in_escape(at));
        let piece = self.pieces.iter().find(|piece| shows(piece));
        assert!(piece.is_none(), "{shown:?} shows {piece:?} of a secret");
    }
}

/// One line that no terminal takes for more.
#[track_caller]
pub fn is_one_line(shown: &str, most: usize) {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    assert!(!shown.contains(hidden), "{shown:?} is not one visible line");
    assert!(shown.chars().count() <= most, "{shown:?} is longer than {most} characters");
}
