//! Text of any origin as one line that a terminal can show, and the classes of characters that this needs.

use std::fmt;
use std::path::Path;
use std::time::Duration;

/// The longest text of a server that is shown, in characters.
const MAX_SERVER_TEXT: usize = 200;

/// The longest path that is shown, in characters.
const MAX_PATH: usize = 1000;

/// The mark that some editors write at the start of a file. It is invisible.
pub(crate) const BYTE_ORDER_MARK: char = '\u{feff}';

/// Whether `c` is a formatting character of the bidirectional algorithm (UAX 9 2), which reorders the text around it.
pub(crate) fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether `c` is a line or paragraph separator of Unicode (categories Zl and Zp).
pub(crate) fn is_separator(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

/// Whether `c` has no shape of its own: `Default_Ignorable_Code_Point` of Unicode 16 without the bidirectional controls, and the
/// marks of annotations.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Returns how `c` is shown. A control character or white space (line and paragraph separators included) becomes a space. A
/// character without a shape of its own is left out, because it can hide, reverse or split the text around it.
fn visible(c: char) -> Option<char> {
    if c.is_control() || c.is_whitespace() {
        Some(' ')
    } else if is_bidi_control(c) || is_invisible(c) {
        None
    } else {
        Some(c)
    }
}

/// Returns the text as one line that any terminal can show, whoever wrote it. Control characters and line breaks become spaces.
/// Characters without a shape of their own, such as those that change the direction of text, are left out.
///
/// ```
/// assert_eq!(keyfob::one_line("id\u{9b}31m\u{202e}TXT\n"), "id 31mTXT ");
/// ```
pub fn one_line(text: &str) -> String {
    // Most texts stay as they are.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    text.chars().filter_map(visible).collect()
}

/// Returns a server's text as one line of at most 200 visible characters.
pub(crate) fn printable(text: &str) -> String {
    printable_up_to(MAX_SERVER_TEXT, text)
}

/// Returns a path as one line, for texts. A path without a visible character becomes a pair of quotes.
pub(crate) fn shown(path: &Path) -> String {
    let shown = printable_up_to(MAX_PATH, &path.to_string_lossy());
    if shown.is_empty() { "''".to_owned() } else { shown }
}

/// Returns the text as one line of at most `most` visible characters, without white space at its end.
pub(crate) fn printable_up_to(most: usize, text: &str) -> String {
    // The text may be a secret: a buffer as long as the text never grows, so no copy of a part is left behind.
    let mut out = String::with_capacity(text.len());
    let visible = text.chars().take(4 * most).filter_map(visible).take(most);
    out.extend(visible);
    out.truncate(out.trim_end().len());
    out
}

/// Shows a duration in seconds, to the hundredth and without zeros at the end. (Floating-point formatting would add 20 KB to a
/// program.)
pub(crate) struct Seconds(pub(crate) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A limit of a few milliseconds is not shown as 0.
        if self.0 < Duration::from_millis(10) && self.0.subsec_millis() > 0 {
            return write!(f, "0.00{}", self.0.subsec_millis());
        }
        let rounded = self.0.saturating_add(Duration::from_millis(5));
        let (whole, rest) = (rounded.as_secs(), rounded.subsec_millis() / 10);
        match rest {
            0 => write!(f, "{whole}"),
            _ if rest % 10 == 0 => write!(f, "{whole}.{}", rest / 10),
            _ => write!(f, "{whole}.{rest:02}"),
        }
    }
}

/// Returns the items in order. Meant for short lists: the standard library's sort adds 7 KB for each type of item.
pub(crate) fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut sorted = Vec::new();
    for item in items {
        let at = sorted.partition_point(|other| *other <= item);
        sorted.insert(at, item);
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_text_is_one_line_of_visible_characters() {
        assert_eq!(printable("a\r\nb\x1b[31m\u{202e}c\0"), "a  b [31mc");
        for c in [
            '\u{ad}',
            '\u{61c}',
            '\u{200b}',
            '\u{200f}',
            '\u{2066}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{e0020}',
        ] {
            assert_eq!(printable(&format!("a{c}b")), "ab", "U+{:04X}", u32::from(c));
        }
        for c in ['\0', '\x1b', '\x7f', '\u{80}', '\u{9b}', '\u{2028}', '\u{2029}', '\u{a0}', '\u{3000}'] {
            assert_eq!(printable(&format!("a{c}b")), "a b", "U+{:04X}", u32::from(c));
        }
        assert_eq!(printable(&"ü".repeat(10_000)).chars().count(), MAX_SERVER_TEXT);
    }

    #[test]
    fn path_without_a_visible_character_is_shown_as_quotes() {
        for path in ["", " ", "\u{202e}\u{feff}", "\n"] {
            assert_eq!(shown(Path::new(path)), "''", "{path:?}");
        }
        assert_eq!(shown(Path::new("/a\u{202e}b/c d")), "/ab/c d");
    }

    #[test]
    fn seconds_are_shown_to_the_hundredth_and_a_few_milliseconds_to_the_thousandth() {
        for (millis, text) in [
            (0, "0"),
            (1, "0.001"),
            (9, "0.009"),
            (10, "0.01"),
            (50, "0.05"),
            (300, "0.3"),
            (995, "1"),
            (1000, "1"),
            (30_000, "30"),
            (61_239, "61.24"),
        ] {
            assert_eq!(Seconds(Duration::from_millis(millis)).to_string(), text);
        }
        assert_eq!(Seconds(Duration::MAX).to_string(), "18446744073709551615.99");
    }
}
