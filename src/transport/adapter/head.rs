//! Reads a header section in every form that RFC 9112 2 to 5 allows, and writes it in the one form that ureq-proto accepts.

use crate::secret::Secret;

use super::wire_error::WireError;

/// The number of header fields that ureq-proto accepts.
pub(crate) const MOST_FIELDS: usize = 128;

/// The header fields that a token exchange or ureq needs.
const NEEDED: [&[u8]; 9] = [
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-type",
    b"date",
    b"location",
    b"retry-after",
    b"transfer-encoding",
    b"www-authenticate",
];

/// What the connection needs to know of a header section.
#[derive(Debug, PartialEq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) framing: Framing,
}

/// Whether another answer follows one with this status (RFC 9110 15.2). After 101 another protocol follows.
pub(super) fn is_interim(status: u16) -> bool {
    (100..200).contains(&status) && status != 101
}

/// How the end of the body is found (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Framing {
    Chunked {
        /// `Transfer-Encoding` comes together with a length, or in HTTP/1.0. The connection must be closed after the answer (RFC 9112 6.1).
        faulty: bool,
    },
    Length(u64),
    UntilEnd,
    /// The body has a transfer coding that keyfob does not read.
    Coded,
}

/// Returns the length of the header section at the start of `input`, once it is whole. The next search continues at `searched`.
pub(super) fn find_end(input: &[u8], searched: &mut usize) -> Option<usize> {
    while let Some(at) = input[*searched..].iter().position(|&byte| byte == b'\n') {
        let after = *searched + at + 1;
        match input[after..] {
            [b'\n', ..] => return Some(after + 1),
            [b'\r', b'\n', ..] => return Some(after + 2),
            // The next byte decides whether this is the end.
            [] | [b'\r'] => return None,
            _ => *searched = after,
        }
    }
    *searched = input.len();
    None
}

/// Parses a header section that already has the form in which it would be written, as nearly all do. Returns its length and its facts, or
/// `None` if it has another form or is not whole. Every call runs this, so it reads words of 8 bytes.
pub(super) fn usual_head(input: &[u8]) -> Option<(usize, Head)> {
    let first = usual_line(input)?;
    let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1', b' ', a @ b'2'..=b'9', b, c, words @ ..] = first
    else {
        return None;
    };
    if !b.is_ascii_digit() || !c.is_ascii_digit() || !matches!(words, [] | [b' ', ..]) {
        return None;
    }
    let status = u16::from(a & 15) * 100 + u16::from(b & 15) * 10 + u16::from(c & 15);
    let mut framing = Framing::UntilEnd;
    let mut at = first.len() + 2;
    for _ in 0..=MOST_FIELDS {
        let line = usual_line(&input[at..])?;
        at += line.len() + 2;
        if line.is_empty() {
            return Some((at, Head { status, framing }));
        }
        // In most fields the first space is the one after the colon. If so, no white space is before the colon or at the start of the line.
        let colon = find_word(line, |word| zeros(word ^ SPACES), |byte| byte == b' ')?.checked_sub(1)?;
        if line[colon] != b':' || line[0] == b':' {
            return None;
        }
        let said = match line[0] | 32 {
            b'c' if is_named(line, b"content-length", b"Content-Length") => {
                Framing::Length(digits(value_of(line, 14, colon)?)?)
            }
            b't' if is_named(line, b"transfer-encoding", b"Transfer-Encoding") => {
                if !value_of(line, 17, colon)?.eq_ignore_ascii_case(b"chunked") {
                    return None;
                }
                Framing::Chunked { faulty: false }
            }
            _ => continue,
        };
        // Only one of these fields may occur, and only once.
        if framing != Framing::UntilEnd {
            return None;
        }
        framing = said;
    }
    None
}

/// Whether a field has this name, in any case. Most servers write it in one of these two.
fn is_named(line: &[u8], lower: &[u8], title: &[u8]) -> bool {
    line.get(lower.len()) == Some(&b':') && {
        let name = &line[..lower.len()];
        name == lower || name == title || name.eq_ignore_ascii_case(lower)
    }
}

/// Returns the value after a name of this length, if the first space is the one after its colon.
fn value_of(line: &[u8], name: usize, colon: usize) -> Option<&[u8]> {
    (name == colon).then(|| &line[colon + 2..])
}

/// Parses a number with nothing around it, of so few digits that it cannot overflow.
fn digits(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    value.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte & 15)))
}

/// Returns the line at the start, if it ends with CRLF and has no other control character.
fn usual_line(input: &[u8]) -> Option<&[u8]> {
    let end = find_word(input, |word| word.wrapping_sub(SPACES) & !word & HIGHS, |byte| byte < b' ')?;
    matches!(input[end..], [b'\r', b'\n', ..]).then(|| &input[..end])
}

const ONES: u64 = 0x0101_0101_0101_0101;
const SPACES: u64 = ONES * b' ' as u64;
const HIGHS: u64 = ONES * 0x80;

/// Sets the high bit of each byte that is zero. Exact up to the first such byte.
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

/// Finds the first byte for which `is` is true. `marks` does the same for a word of 8 bytes: it sets the high bit of each such byte.
fn find_word(within: &[u8], marks: impl Fn(u64) -> u64, is: impl Fn(u8) -> bool) -> Option<usize> {
    let (words, rest) = within.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let marked = marks(u64::from_le_bytes(*word));
        if marked != 0 {
            return Some(number * 8 + marked.trailing_zeros() as usize / 8);
        }
    }
    rest.iter().position(|&byte| is(byte)).map(|at| words.len() * 8 + at)
}

/// Rewrites a whole header section: lines end with CRLF, no field is folded, one field says where the body ends. `needed_only` leaves out
/// the fields that are not needed.
pub(super) fn write_head(input: &[u8], out: &mut Secret, needed_only: bool) -> Result<Head, WireError> {
    let start = out.len();
    let mut lines = input.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let (minor, status) = status_line(lines.next().unwrap_or_default())?;
    out.extend(if minor == 0 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    number(status.into(), 10, out);
    out.extend(b"\r\n");

    let mut fields = Fields { count: 0, length: None, coding: None, needed_only };
    // Where the field that the next line may continue starts in `out`.
    let mut open = None;
    for line in lines {
        if let [b' ' | b'\t', ..] = line {
            // Before the first field such lines are skipped (RFC 9112 2.2). Later they belong to the field before them (RFC 9112 5.2).
            if open.is_some() {
                trim_end(out);
                out.extend(b" ");
                add_value(line.trim_ascii(), out);
            }
            continue;
        }
        if let Some(field) = open.take() {
            fields.close(&field, out);
        }
        // The end of the section.
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|&byte| byte == b':' || byte == b'\r');
        let colon = colon.filter(|&at| line[at] == b':').ok_or(WireError::NotHttp)?;
        open = Some(Field { start: out.len(), name: add_name(&line[..colon], out)? });
        add_value(&line[colon + 1..], out);
    }

    let framing = match (fields.coding, fields.length) {
        (Some(Coding::Chunked), length) => {
            out.extend(b"transfer-encoding: chunked\r\n");
            fields.count += 1;
            if minor == 0 {
                out.bytes_mut()[start..start + 8].copy_from_slice(b"HTTP/1.1");
                out.extend(b"connection: close\r\n");
                fields.count += 1;
            }
            Framing::Chunked { faulty: minor == 0 || length.is_some() }
        }
        (None, Some(length)) => {
            let length = length?;
            out.extend(b"content-length: ");
            number(length, 10, out);
            out.extend(b"\r\n");
            fields.count += 1;
            Framing::Length(length)
        }
        (Some(Coding::Other), _) => Framing::Coded,
        (None, None) => Framing::UntilEnd,
    };
    out.extend(b"\r\n");
    if fields.count > MOST_FIELDS { Err(WireError::TooManyFields) } else { Ok(Head { status, framing }) }
}

/// A field that is being written: its start in `out`, and the length of its name.
struct Field {
    start: usize,
    name: usize,
}

/// What the fields of a header section say together.
struct Fields {
    count: usize,
    length: Option<Result<u64, WireError>>,
    coding: Option<Coding>,
    needed_only: bool,
}

#[derive(Clone, Copy)]
enum Coding {
    Chunked,
    Other,
}

impl Fields {
    /// Ends a field. Removes it if it is not needed, or if it will be written anew at the end.
    fn close(&mut self, field: &Field, out: &mut Secret) {
        let line = &out.expose()[field.start..];
        let (name, value) = line.split_at(field.name);
        let is_framing = match field.name {
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                self.length = Some(length(&value[1..], self.length));
                true
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.coding = coding(&value[1..], self.coding);
                true
            }
            _ => false,
        };
        let is_needed = || NEEDED.iter().any(|needed| name.eq_ignore_ascii_case(needed));
        if is_framing || self.needed_only && (!is_needed() || self.count + 2 >= MOST_FIELDS) {
            out.truncate(field.start);
        } else {
            self.count += 1;
            out.extend(b"\r\n");
        }
    }
}

/// `Content-Length`: all numbers of the list must be the same, and the same as in earlier fields (RFC 9112 6.3).
fn length(value: &[u8], earlier: Option<Result<u64, WireError>>) -> Result<u64, WireError> {
    let mut length = earlier.transpose()?;
    for element in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|e| !e.is_empty()) {
        let mut sum = 0_u64;
        for byte in element {
            let digit = byte.is_ascii_digit().then_some(u64::from(byte & 15));
            sum =
                digit.and_then(|digit| sum.checked_mul(10)?.checked_add(digit)).ok_or(WireError::NotHttp)?;
        }
        if length.is_some_and(|length| length != sum) {
            return Err(WireError::NotHttp);
        }
        length = Some(sum);
    }
    length.ok_or(WireError::NotHttp)
}

/// Combines a `Transfer-Encoding` with earlier ones (RFC 9112 6.1). `identity`, an obsolete coding, means none.
fn coding(value: &[u8], earlier: Option<Coding>) -> Option<Coding> {
    let names = value.split(|&byte| byte == b',').map(|element| {
        let name = element.split(|&byte| byte == b';').next().unwrap_or_default();
        name.trim_ascii()
    });
    names.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity")).fold(
        earlier,
        |earlier, name| match earlier {
            Some(Coding::Other) => earlier,
            _ if name.eq_ignore_ascii_case(b"chunked") => Some(Coding::Chunked),
            _ => Some(Coding::Other),
        },
    )
}

/// Whether the bytes received so far can be the start of a header section.
pub(super) fn check_start(input: &[u8]) -> Result<(), WireError> {
    const START: &[u8] = b"HTTP/1.";
    let known = input.len().min(START.len());
    if input[..known] != START[..known] {
        return Err(WireError::NotHttp);
    }
    match input.iter().position(|&byte| byte == b'\n') {
        Some(end) => status_line(&input[..end]).map(drop),
        None => Ok(()),
    }
}

/// Returns a line without its end.
pub(super) fn first_line(input: &[u8]) -> &[u8] {
    let line = input.split(|&byte| byte == b'\n').next().unwrap_or_default();
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Returns the minor version and the status of `HTTP/1.1 200 OK` (RFC 9112 4). The reason phrase has no meaning.
pub(super) fn status_line(line: &[u8]) -> Result<(u8, u16), WireError> {
    let (minor, rest) = match line.strip_prefix(b"HTTP/1.") {
        Some([minor @ b'0'..=b'9', b' ' | b'\t', rest @ ..]) => (minor - b'0', rest.trim_ascii_start()),
        _ => return Err(WireError::NotHttp),
    };
    let (digits, words) = rest.split_at_checked(3).ok_or(WireError::NotHttp)?;
    let is_status = digits.iter().all(u8::is_ascii_digit) && digits[0] != b'0';
    let is_text = |byte: &u8| matches!(byte, b'\t' | b'\r' | b' '..);
    if !is_status || !words.iter().all(is_text) || !matches!(words, [] | [b' ' | b'\t' | b'\r', ..]) {
        return Err(WireError::NotHttp);
    }
    Ok((minor, digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit & 15))))
}

/// Writes the name of a field, and returns its length. Removes white space before the colon, as a proxy does (RFC 9112 5.1).
fn add_name(name: &[u8], out: &mut Secret) -> Result<usize, WireError> {
    let name = name.trim_ascii_end();
    if name.is_empty() {
        return Err(WireError::NotHttp);
    }
    out.extend(name);
    out.extend(b": ");
    Ok(name.len())
}

/// Writes the value of a field, or one line of it. A CR within it counts as a space (RFC 9112 2.2).
fn add_value(value: &[u8], out: &mut Secret) {
    let start = out.len();
    out.extend(value.trim_ascii());
    if value.contains(&b'\r') {
        out.bytes_mut()[start..].iter_mut().filter(|byte| **byte == b'\r').for_each(|byte| *byte = b' ');
    }
}

fn trim_end(out: &mut Secret) {
    let len = out.expose().trim_ascii_end().len();
    out.truncate(len);
}

/// Writes a number.
pub(super) fn number(number: u64, base: u64, out: &mut Secret) {
    let mut digits = [0; 20];
    let (mut left, mut at) = (number, digits.len());
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdef"[usize::try_from(left % base).unwrap_or_default()];
        left /= base;
        if left == 0 {
            break;
        }
    }
    out.extend(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded::{Seeded, runs};

    fn written(input: &[u8]) -> Option<(usize, Head)> {
        let len = find_end(input, &mut 0)?;
        write_head(&input[..len], &mut Secret::default(), false).ok().map(|head| (len, head))
    }

    #[test]
    fn fast_path_for_header_fields_agrees_with_the_slow_path() {
        let usual = [
            "HTTP/1.1 200 OK\r\n\r\nbody",
            "HTTP/1.1 404 Not Found\r\nServer: x\r\nContent-Length: 042\r\nDate: y\r\n\r\n",
            "HTTP/1.1 503\r\ntransfer-ENCODING: Chunked\r\nA: \r\n\r\n5\r\n",
            "HTTP/1.1 299 \r\nX-Content-Length: 5\r\ncontent-length: 9999999999999999999\r\n\r\n",
        ];
        for input in usual {
            let head = usual_head(input.as_bytes());
            assert!(head.is_some() && head == written(input.as_bytes()), "{input:?}: {head:?}");
        }
        let unusual = [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
            "HTTP/1.0 200 OK\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 200 OK\n\r\n",
            "HTTP/1.1 200 OK\r\n folded\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA:b c\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        ];
        for input in unusual {
            assert_eq!(usual_head(input.as_bytes()), None, "{input:?}");
        }
        // Random changes.
        let mut random = Seeded::new(7);
        let mut taken = 0;
        for _ in 0..runs(100_000) {
            let mut input = usual[random.below(usual.len())].as_bytes().to_vec();
            for _ in 0..=random.below(3) {
                let at = random.below(input.len());
                match random.below(3) {
                    0 => drop(input.remove(at)),
                    1 => input.insert(at, b"\r\n\t :,;0aC"[random.below(10)]),
                    _ => input[at] = b"\r\n\t :,;0aC"[random.below(10)],
                }
            }
            if let Some(head) = usual_head(&input) {
                assert_eq!(Some(head), written(&input), "{}", String::from_utf8_lossy(&input));
                taken += 1;
            }
        }
        assert!(taken > 1000, "{taken}");
    }
}
