//! What is wrong with a line that is not TOML, and what to write instead.
//!
//! The parser knows the grammar but not the keys. So this module reads the statement again, from the start of its line. Of the words in the
//! file, an error shows only known keys, keys that are spelled in a similar way, and names of services: any other word may be a secret.

use crate::keys::{Key, Type, bad_name, is_nearly_known, unknown};
use crate::section::setting_of_any;
use crate::value::Mistake;

use super::{Broken, Line};

const NO_HEADER: &str = "the header is not TOML";
const NO_LINE: &str = "the line is not TOML; write a header such as [service.my-service], or a key with its value such as \
                       client_id = \"my-client\"";

const CARRIAGE_RETURN: &str = "a line ends with CR alone; save the file with the line ends LF or CRLF";
const ESCAPE: &str =
    "holds a backslash that begins no escape; write it twice, or put the text into single quotes";
const MORE: &str = "has more after its value; write nothing but a comment after the closing quote";

/// Says what is wrong with the statement.
pub(super) fn explain(text: &str, broken: Broken) -> Mistake {
    let statement = text.get(broken.statement..).unwrap_or_default();
    let line = statement.lines().next().unwrap_or_default();
    let (key, what) = of_statement(text, broken.statement, line);
    let (key, what) = match control_character(statement, broken.at.saturating_sub(broken.statement)) {
        None => (key, what),
        Some('\r') => (String::new(), CARRIAGE_RETURN.to_owned()),
        Some(c) => {
            let start = if key.is_empty() { "the line " } else { "" };
            (key, format!("{start}holds the control character U+{:04X}; remove it", u32::from(c)))
        }
    };
    // A text or list that is not closed goes on to the end of the file.
    let is_to_the_end = text.get(broken.at..).is_none_or(|rest| rest.trim().is_empty());
    let at = if is_to_the_end { broken.statement } else { broken.at.max(broken.statement) };
    Mistake { line: Line { text, at: 0, number: 1 }.of(at), key, what }
}

/// Returns the control character at this place, if there is one that TOML does not allow there.
fn control_character(statement: &str, at: usize) -> Option<char> {
    let (before, rest) = statement.split_at_checked(at)?;
    let here = rest.chars().next().filter(|c| c.is_control() && !matches!(c, '\t' | '\n'));
    // The parser reports a carriage return at the place after it.
    here.or_else(|| before.chars().next_back().filter(|c| *c == '\r'))
}

/// Returns the key and what is wrong.
fn of_statement(text: &str, start: usize, line: &str) -> (String, String) {
    let line = line.trim_ascii();
    if line.starts_with('\u{feff}') {
        let what = "the line begins with a byte order mark (U+FEFF), which cannot be seen; remove it";
        return (String::new(), what.to_owned());
    }
    if line.starts_with('[') {
        return (String::new(), of_header(line));
    }
    if line.starts_with('{') && text.get(..start).is_some_and(|before| before.trim().is_empty()) {
        let what = "the file is JSON and not TOML; write [service.my-service], and below it a line KEY = VALUE for each key";
        return (String::new(), what.to_owned());
    }
    let assignment = line.split_once('=').and_then(|(left, right)| of_assignment(left, right.trim()));
    let known = assignment.or_else(|| of_word(line));
    known.or_else(|| of_table(text, start)).unwrap_or_else(|| (String::new(), NO_LINE.to_owned()))
}

fn of_header(line: &str) -> String {
    let (inside, rest) = match line.split_once(']') {
        Some((inside, rest)) => (inside, rest.trim_matches([']', ' ', '\t'])),
        None => (line, ""),
    };
    let words: Vec<_> = inside.split(|c: char| !is_of_name(c)).filter(|word| !word.is_empty()).collect();
    let is_name = |name: &str| bad_name(name).is_none();
    let instead = match words[..] {
        ["service", name] | [name] if is_name(name) && name != "service" => format!("[service.{name}]"),
        ["service", name, table] if is_name(name) && Key::named(table).is_some_and(is_table) => {
            format!("[service.{name}.{table}]")
        }
        _ => "[service.my-service]".to_owned(),
    };
    match rest {
        "" => format!("{NO_HEADER}; write {instead}"),
        _ => format!("the header has more after it; write {instead} in a line of its own"),
    }
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

fn is_table(key: &Key) -> bool {
    key.kind == Type::Table
}

/// Quotation marks, those of TOML and others.
fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'' | '`' | '\u{ab}' | '\u{bb}' | '\u{2018}'..='\u{201f}' | '\u{2039}' | '\u{203a}')
}

/// What is wrong with `left = right`, if `left` is a known key or nearly one.
fn of_assignment(left: &str, right: &str) -> Option<(String, String)> {
    let name = left.trim_matches(|c: char| c.is_ascii_whitespace() || is_quote(c));
    // As in `headers.x-a = …`.
    let first = name.split('.').next().unwrap_or_default();
    if let Some(key) = Key::named(name).or_else(|| Key::named(first).filter(|key| is_table(key))) {
        let is_quoted = left.contains(|c| is_quote(c) && !matches!(c, '"' | '\''));
        let what = if is_quoted {
            format!("has quotation marks around it that TOML does not know; {}", key.instead())
        } else {
            of_value(key, right)
        };
        return Some((key.name.to_owned(), what));
    }
    // A character that cannot be seen, or one of another writing.
    let stripped: String = name.chars().filter(|c| is_of_name(*c)).collect();
    let odd = left.chars().find(|c| !c.is_ascii());
    if let (Some(key), Some(odd)) = (Key::named(&stripped), odd) {
        let what = format!("has the character U+{:04X} beside it; remove that", u32::from(odd));
        return Some((key.name.to_owned(), what));
    }
    nearly(name)
}

/// What is wrong with a key that is nearly a known one, or the name of a secret.
fn nearly(name: &str) -> Option<(String, String)> {
    if let Some(name) = setting_of_any(name) {
        let what = format!("is not text in quotes; write text in quotes, as in {name} = \"…\"");
        return Some((name.to_owned(), what));
    }
    let joined = name.replace(' ', "_");
    let is_key = !joined.is_empty() && joined.chars().all(is_of_name);
    (is_key && is_nearly_known(&joined)).then(|| (name.to_owned(), unknown(&joined, None)))
}

fn other_sign(key: &Key) -> String {
    format!("has another sign than `=` before its value; {}", key.instead())
}

/// What is wrong with the text in place of a value.
fn of_value(key: &Key, value: &str) -> String {
    let instead = key.instead();
    match value.chars().next() {
        None | Some('#') => format!("has no value; {instead}"),
        Some('=' | '>' | ':') => other_sign(key),
        Some(quote @ ('"' | '\'')) => of_text(quote, value)
            .map_or_else(|| format!("is text whose quotes are not closed; {instead}"), str::to_owned),
        Some(c) if is_quote(c) => format!("has quotation marks that TOML does not know; {instead}"),
        Some('[') => {
            format!("is a list with a mistake in it, such as a missing quote, comma or bracket; {instead}")
        }
        Some('{') => {
            format!("is a table with a mistake in it, such as a missing quote, comma or brace; {instead}")
        }
        Some(_) if key.kind == Type::Number => format!("is not a number of TOML; {instead}"),
        Some(_) => format!("is text without quotes; {instead}"),
    }
}

/// What is wrong with a text in quotes. `None`: it is not closed.
fn of_text(quote: char, value: &str) -> Option<&'static str> {
    let mut is_escaped = false;
    let rest = value[1..].char_indices().find_map(|(at, c)| match c {
        _ if is_escaped => {
            is_escaped = false;
            (!"btnfre\"\\xuU".contains(c)).then_some(None)
        }
        '\\' if quote == '"' => {
            is_escaped = true;
            None
        }
        c if c == quote => Some(Some(&value[at + 2..])),
        _ => None,
    });
    match rest {
        None => None,
        Some(None) => Some(ESCAPE),
        // The start of a text of several lines, which is not closed.
        Some(Some(rest)) if rest.starts_with(quote) => None,
        Some(Some(rest)) if rest.trim_start().is_empty() || rest.trim_start().starts_with('#') => {
            Some(ESCAPE)
        }
        Some(Some(_)) => Some(MORE),
    }
}

/// What is wrong with a line without `=` after its first word, if it begins with a known key, or is a header without its first bracket.
fn of_word(line: &str) -> Option<(String, String)> {
    let word: String = line.trim_start_matches(is_quote).chars().take_while(|c| is_of_name(*c)).collect();
    let rest = line.trim_start_matches(is_quote)[word.len()..].trim_start_matches(is_quote).trim();
    if let Some(key) = Key::named(&word) {
        let what = match rest {
            "" => format!("has no value; {}", key.instead()),
            _ if rest.starts_with(':') => other_sign(key),
            _ => format!("has no `=` before its value; {}", key.instead()),
        };
        return Some((word, what));
    }
    if rest.starts_with(':') {
        return nearly(&word);
    }
    (word == "service" && line.ends_with(']')).then(|| (String::new(), of_header(line)))
}

/// What is wrong with an entry of a table that has a header of its own, such as `[service.my-service.headers]`.
fn of_table(text: &str, start: usize) -> Option<(String, String)> {
    let before = text.get(..start)?;
    let header = before.lines().rev().map(str::trim).find(|line| line.starts_with('['))?;
    let key = Key::named(header.trim_matches(['[', ']']).split('.').nth(2)?.trim())?;
    Some((key.name.to_owned(), of_value(key, "{")))
}
