//! Reads HTTP/1.1 answers in every form that RFC 9112 allows, and writes them in the one form that ureq-proto accepts.

use crate::secret::Secret;

use super::head::{
    Framing, Head, check_start, find_end, first_line, is_interim, number, status_line, usual_head, write_head,
};
use super::wire_error::WireError;

/// The longest size line of a chunk, extensions included (RFC 9112 7.1.1).
const MAX_SIZE_LINE: usize = 16 * 1024;

/// The most bytes of all trailer fields (RFC 9112 7.1.2).
const MAX_TRAILER: usize = 64 * 1024;

/// The most bytes of all interim answers before a final one (RFC 9110 15.2).
const MAX_INTERIM: usize = 64 * 1024;

/// How answers are judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The most bytes of a header section.
    pub(crate) max_head: usize,
    /// Whether only the needed header fields are kept if there are more than ureq-proto accepts. Otherwise such an answer is an error.
    pub(crate) keeps_needed: bool,
}

/// Rewrites the answers of one connection, one after the other.
///
/// [`feed`](Self::feed) takes the received bytes and appends the bytes for ureq-proto to `out`.
#[derive(Debug)]
pub(crate) struct Normaliser {
    rules: Rules,
    state: State,
    /// How many bytes of an unfinished header section were searched for its end.
    searched: usize,
    /// The number of bytes before the final answer: interim answers and empty lines.
    before: usize,
    /// The request was `HEAD`, so the answer has no body (RFC 9112 6.3).
    to_head: bool,
    /// Whether the connection cannot be used after this answer.
    must_close: bool,
}

/// The part of an answer that comes next.
#[derive(Debug)]
enum State {
    Head,
    /// This many more bytes of the body.
    Length(u64),
    Size(SizeLine),
    /// This many more bytes of the chunk.
    Chunk(u64),
    /// The end of the line after a chunk.
    ChunkEnd {
        after_cr: bool,
    },
    /// Fields after the last chunk; their bytes so far, and whether the line is empty so far.
    Trailer {
        bytes: usize,
        empty: bool,
    },
    /// The body ends with the connection.
    UntilEnd,
    /// The answer is whole.
    Done,
}

/// The line before a chunk: `chunk-size [ chunk-ext ] CRLF` (RFC 9112 7.1).
#[derive(Debug, Default)]
struct SizeLine {
    size: Option<u64>,
    bytes: usize,
    part: SizePart,
}

#[derive(Debug, Default, PartialEq)]
enum SizePart {
    #[default]
    Digits,
    /// White space after the size.
    Space,
    /// From the first `;` on. Extensions are skipped (RFC 9112 7.1.1).
    Extension,
    /// After the CR that ends the line.
    Cr,
}

/// The part of an answer that is missing when the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// There was no answer, or not all of its header section.
    Header,
    /// Part of the body is missing.
    Body,
    /// The end of the connection is the end of the body.
    MayBeWhole,
    /// Nothing is missing.
    Nothing,
}

impl Normaliser {
    /// Makes one for a connection before its first request.
    pub(crate) fn new(rules: Rules) -> Self {
        Self { rules, state: State::Done, searched: 0, before: 0, to_head: false, must_close: false }
    }

    /// Prepares for the answer to the next request.
    pub(crate) fn expect_answer(&mut self, to_head: bool) {
        self.state = State::Head;
        (self.searched, self.before, self.to_head) = (0, 0, to_head);
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Whether the header section of the final answer was received.
    pub(crate) fn is_answered(&self) -> bool {
        !matches!(self.state, State::Head)
    }

    /// Whether another answer may follow on the same connection.
    pub(crate) fn may_follow(&self) -> bool {
        self.is_done() && !self.must_close
    }

    /// Handles the end of the connection, and returns what is missing. Completes a body whose last chunk was received (RFC 9112 8).
    pub(crate) fn end(&mut self, out: &mut Secret) -> Rest {
        match self.state {
            State::Head => Rest::Header,
            State::Length(_) | State::Size(_) | State::Chunk(_) | State::ChunkEnd { .. } => Rest::Body,
            State::UntilEnd => Rest::MayBeWhole,
            State::Trailer { .. } => {
                out.extend(b"0\r\n\r\n");
                self.state = State::Done;
                self.must_close = true;
                Rest::Nothing
            }
            State::Done => Rest::Nothing,
        }
    }

    /// Takes bytes from the front of `input` and returns how many. It leaves a header section that is not whole yet, and bytes after the
    /// end of the answer.
    pub(crate) fn feed(&mut self, input: &[u8], out: &mut Secret) -> Result<usize, WireError> {
        let mut at = 0;
        while at < input.len() {
            let rest = &input[at..];
            let taken = match &mut self.state {
                State::Head => match self.head(rest, out)? {
                    0 => break,
                    taken => taken,
                },
                State::Length(left) => {
                    let taken = least(*left, rest.len());
                    out.extend(&rest[..taken]);
                    *left -= taken as u64;
                    if *left == 0 {
                        self.state = State::Done;
                    }
                    taken
                }
                State::Size(line) => {
                    let taken = line.read(rest)?;
                    match line.done() {
                        Some(0) => self.state = State::Trailer { bytes: 0, empty: true },
                        Some(size) => self.state = State::Chunk(size),
                        None => {}
                    }
                    taken
                }
                State::Chunk(left) => {
                    let taken = least(*left, rest.len());
                    chunk(&rest[..taken], out);
                    *left -= taken as u64;
                    if *left == 0 {
                        self.state = State::ChunkEnd { after_cr: false };
                    }
                    taken
                }
                State::ChunkEnd { after_cr } => {
                    match rest[0] {
                        b'\n' => self.state = State::Size(SizeLine::default()),
                        b'\r' if !*after_cr => *after_cr = true,
                        _ => return Err(WireError::NotHttp),
                    }
                    1
                }
                State::Trailer { bytes, empty } => {
                    *bytes += 1;
                    match rest[0] {
                        b'\n' if *empty => {
                            out.extend(b"0\r\n\r\n");
                            self.state = State::Done;
                        }
                        _ if *bytes > MAX_TRAILER => return Err(WireError::LongTrailer),
                        b'\n' => *empty = true,
                        b'\r' => {}
                        _ => *empty = false,
                    }
                    1
                }
                State::UntilEnd => {
                    out.extend(rest);
                    rest.len()
                }
                State::Done => break,
            };
            at += taken;
        }
        Ok(at)
    }

    /// Reads one header section, or nothing if it is not whole.
    fn head(&mut self, input: &[u8], out: &mut Secret) -> Result<usize, WireError> {
        // RFC 9112 2.2 lets servers skip empty lines before a request line. httparse does so for answers too.
        if self.searched == 0 {
            if let Some((len, head)) = usual_head(input).filter(|(len, _)| *len <= self.rules.max_head) {
                self.begin(&head)?;
                // Copies the received part of the body too.
                let taken = match &mut self.state {
                    State::Length(left) => {
                        let here = least(*left, input.len() - len);
                        *left -= here as u64;
                        if *left == 0 {
                            self.state = State::Done;
                        }
                        len + here
                    }
                    _ => len,
                };
                out.extend(&input[..taken]);
                return Ok(taken);
            }
            let empty = input.iter().take_while(|&&byte| byte == b'\r' || byte == b'\n').count();
            if empty > 0 {
                self.count_before(empty)?;
                return Ok(empty);
            }
        }
        let Some(len) = find_end(input, &mut self.searched) else {
            // keyfob does not wait for another protocol.
            check_start(input)?;
            return if input.len() > self.rules.max_head { Err(self.too_long(input.len())) } else { Ok(0) };
        };
        if len > self.rules.max_head {
            return Err(self.too_long(len));
        }
        self.searched = 0;
        // An interim answer is dropped, so a fault in its fields is no reason to drop the final answer.
        let (_, status) = status_line(first_line(&input[..len]))?;
        if is_interim(status) {
            // ureq waits for this one if the request has `Expect: 100-continue`, and accepts it only without fields.
            if status == 100 {
                out.extend(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            self.count_before(len)?;
            return Ok(len);
        }
        let start = out.len();
        let mut head = write_head(&input[..len], out, false);
        if head.is_err() {
            out.truncate(start);
        }
        if self.rules.keeps_needed && matches!(head, Err(WireError::TooManyFields)) {
            head = write_head(&input[..len], out, true);
        }
        // ureq still sees the status if the body cannot be read.
        self.begin(&head?)?;
        Ok(len)
    }

    /// Returns the part that follows the header section of the final answer.
    fn begin(&mut self, head: &Head) -> Result<(), WireError> {
        let no_body = self.to_head || matches!(head.status, 204 | 304);
        (self.state, self.must_close) = match head.framing {
            _ if head.status == 101 => (State::UntilEnd, true),
            _ if no_body => (State::Done, self.must_close),
            Framing::Chunked { faulty } => (State::Size(SizeLine::default()), self.must_close || faulty),
            Framing::Length(0) => (State::Done, self.must_close),
            Framing::Length(length) => (State::Length(length), self.must_close),
            Framing::UntilEnd => (State::UntilEnd, true),
            Framing::Coded => return Err(WireError::TransferCoding),
        };
        Ok(())
    }

    /// Counts bytes before the final answer, and refuses too many.
    fn count_before(&mut self, bytes: usize) -> Result<(), WireError> {
        self.before += bytes;
        if self.before > MAX_INTERIM { Err(self.too_long(self.before)) } else { Ok(()) }
    }

    fn too_long(&self, len: usize) -> WireError {
        WireError::LongHeader { len, most: self.rules.max_head }
    }
}

impl SizeLine {
    /// Reads up to the end of the line.
    fn read(&mut self, input: &[u8]) -> Result<usize, WireError> {
        for (at, &byte) in input.iter().enumerate() {
            self.bytes += 1;
            if self.bytes > MAX_SIZE_LINE {
                return Err(WireError::LongSizeLine);
            }
            match (&self.part, byte) {
                (_, b'\n') if self.size.is_some() => {
                    self.part = SizePart::Cr;
                    self.bytes = 0;
                    return Ok(at + 1);
                }
                (SizePart::Extension, _) => {}
                (SizePart::Digits, _) if byte.is_ascii_hexdigit() => {
                    let digit = (byte as char).to_digit(16).unwrap_or_default();
                    let size = self.size.unwrap_or(0).checked_mul(16).ok_or(WireError::NotHttp)?;
                    self.size = Some(size + u64::from(digit));
                }
                (SizePart::Digits, b' ' | b'\t') if self.size.is_none() => {}
                (SizePart::Digits | SizePart::Space, b' ' | b'\t') => self.part = SizePart::Space,
                (SizePart::Digits | SizePart::Space, b';') if self.size.is_some() => {
                    self.part = SizePart::Extension;
                }
                (SizePart::Digits | SizePart::Space, b'\r') if self.size.is_some() => {
                    self.part = SizePart::Cr;
                }
                _ => return Err(WireError::NotHttp),
            }
        }
        Ok(input.len())
    }

    /// Returns the size, once the line is whole.
    fn done(&self) -> Option<u64> {
        self.size.filter(|_| self.part == SizePart::Cr && self.bytes == 0)
    }
}

/// Writes the received part of a chunk as one chunk.
fn chunk(bytes: &[u8], out: &mut Secret) {
    number(bytes.len() as u64, 16, out);
    out.extend(b"\r\n");
    out.extend(bytes);
    out.extend(b"\r\n");
}

/// Returns the smaller of both.
fn least(left: u64, here: usize) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(here)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded::Seeded;
    use crate::transport::adapter::head::MOST_FIELDS;

    const RULES: Rules = Rules { max_head: 4096, keeps_needed: false };

    /// Returns the result for the answer to one request. The answer arrives in pieces of these lengths, over and over.
    fn read(input: &[u8], pieces: &[usize], rules: Rules) -> (Vec<u8>, Result<Rest, WireError>, usize) {
        let mut normaliser = Normaliser::new(rules);
        normaliser.expect_answer(false);
        let mut out = Secret::default();
        let (mut taken, mut come) = (0, 0);
        let mut pieces = pieces.iter().cycle();
        while come < input.len() {
            come = input.len().min(come + pieces.next().unwrap());
            match normaliser.feed(&input[taken..come], &mut out) {
                Ok(more) => taken += more,
                Err(error) => return (out.expose().to_vec(), Err(error), taken),
            }
        }
        let rest = normaliser.end(&mut out);
        (out.expose().to_vec(), Ok(rest), taken)
    }

    /// Returns the facts of the header section, and the body without its framing.
    fn decoded(out: &[u8]) -> (Vec<String>, Vec<u8>) {
        let at = out.windows(4).position(|end| end == b"\r\n\r\n").map_or(out.len(), |at| at + 4);
        let (head, mut rest) = out.split_at(at);
        let text = String::from_utf8_lossy(head).to_lowercase();
        let field = |line: &str| line.split(':').map(str::trim).collect::<Vec<_>>().join(": ");
        let mut head: Vec<String> = text.lines().skip(1).map(field).collect();
        head.sort();
        head.insert(0, text.chars().take("HTTP/1.1 200".len()).collect());
        if !head.contains(&"transfer-encoding: chunked".to_owned()) {
            return (head, rest.to_vec());
        }
        let mut body = Vec::new();
        while let Some(end) = rest.iter().position(|&byte| byte == b'\r') {
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
            body.extend_from_slice(&rest[end + 2..][..size]);
            assert_eq!(&rest[end + 2 + size..][..2], b"\r\n");
            rest = &rest[end + 4 + size..];
        }
        assert!(rest.is_empty());
        (head, body)
    }

    #[test]
    fn header_sections_are_written_in_one_form() {
        let table = [
            ("HTTP/1.1 200 OK\r\nA:  b\r\n\r\n", "HTTP/1.1 200 OK\r\nA:  b\r\n\r\n"),
            ("HTTP/1.1 200 OK\r\nA:  b\n\r\n", "HTTP/1.1 200\r\nA: b\r\n\r\n"),
            ("\r\n\nHTTP/1.0 404 Not there\nA:b\n\n", "HTTP/1.0 404\r\nA: b\r\n\r\n"),
            ("HTTP/1.7  299\t\r\nA:\r\n\r\n", "HTTP/1.1 299\r\nA: \r\n\r\n"),
            (
                "HTTP/1.1 200 OK\r\n  lost\r\nA: b \r\n\t c\r\n \r\nB \t: d\re\r\n\r\n",
                "HTTP/1.1 200\r\nA: b c \r\nB: d e\r\n\r\n",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-length: 00,0\r\ncontent-LENGTH:0\r\nA: b\r\n\r\n",
                "HTTP/1.1 200\r\nA: b\r\ncontent-length: 0\r\n\r\n",
            ),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: no\r\nTransfer-Encoding: identity, CHUNKED\r\n\r\n0\r\n\r\n",
                "HTTP/1.1 200\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n0\r\n\r\n",
            ),
            (
                "HTTP/1.1 204 OK\r\nTransfer-Encoding: chunked, gzip\r\nContent-Length: 9\r\n\r\n",
                "HTTP/1.1 204\r\n\r\n",
            ),
            (
                "HTTP/1.1 100 Go\r\nA: b\r\n\r\nHTTP/1.1 103 H\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
            ),
            (
                "HTTP/1.1 101 Other\r\nUpgrade: x\r\n\r\nanything",
                "HTTP/1.1 101\r\nUpgrade: x\r\n\r\nanything",
            ),
        ];
        for (input, output) in table {
            let (out, rest, taken) = read(input.as_bytes(), &[1000], RULES);
            assert_eq!(String::from_utf8_lossy(&out), output, "{input:?}");
            assert!(rest.is_ok() && taken == input.len(), "{input:?}");
        }
    }

    #[test]
    fn answer_that_is_not_http_is_refused() {
        use WireError::{LongHeader, LongSizeLine, LongTrailer, NotHttp, TooManyFields, TransferCoding};
        let chunked = |body: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        let long = "a".repeat(MAX_SIZE_LINE);
        let table = [
            ("SSH-2.0-x\r\n".to_owned(), NotHttp),
            ("HTTP/2 200 OK\r\n\r\n".to_owned(), NotHttp),
            ("HTTP/1.1 099 OK\r\n\r\n".to_owned(), NotHttp),
            ("HTTP/1.1 20 OK\r\n\r\n".to_owned(), NotHttp),
            ("HTTP/1.1 2000 OK\r\n\r\n".to_owned(), NotHttp),
            ("HTTP/1.1 200 \0\r\n\r\n".to_owned(), NotHttp),
            ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n".to_owned(), NotHttp),
            ("HTTP/1.1 200 OK\r\n: no name\r\n\r\n".to_owned(), NotHttp),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n".to_owned(), NotHttp),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n".to_owned(), NotHttp),
            ("HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n".to_owned(), NotHttp),
            ("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n".to_owned(), NotHttp),
            ("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n".to_owned(), NotHttp),
            (chunked("\r\n"), NotHttp),
            (chunked("-1\r\n"), NotHttp),
            (chunked("0x1\r\n"), NotHttp),
            (chunked("1 1\r\n"), NotHttp),
            (chunked("1\r1\r\n"), NotHttp),
            (chunked(";a\r\n"), NotHttp),
            (chunked("10000000000000000\r\n"), NotHttp),
            (chunked("1\r\nab"), NotHttp),
            (chunked("1\r\na\r\r\n"), NotHttp),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".to_owned(), TransferCoding),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n".to_owned(), TransferCoding),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: br;q=1\r\n\r\n".to_owned(), TransferCoding),
            (
                "HTTP/1.0 400 No\r\nTransfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
                TransferCoding,
            ),
            (chunked(&format!("1;{long}")), LongSizeLine),
            (chunked(&format!("0\r\n{}", "A: b\r\n".repeat(20_000))), LongTrailer),
            (format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(MOST_FIELDS + 1)), TooManyFields),
            (format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(4100)), LongHeader { len: 4097, most: 4096 }),
            ("HTTP/1.1 103 H\r\n\r\n".repeat(10_000), LongHeader { len: 65_538, most: 4096 }),
            ("\r\n".repeat(40_000), LongHeader { len: 65_537, most: 4096 }),
        ];
        for (input, error) in table {
            let (_, result, _) = read(input.as_bytes(), &[1], RULES);
            assert_eq!(result, Err(error), "{:?}", &input[..input.len().min(80)]);
        }
    }

    #[test]
    fn early_end_of_a_body_is_an_error_and_a_complete_one_is_not() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (input, rest) in [
            (String::new(), Rest::Header),
            ("HTTP/1.1 200 OK\r\n".to_owned(), Rest::Header),
            ("HTTP/1.1 100 Continue\r\n\r\n".to_owned(), Rest::Header),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na".to_owned(), Rest::Body),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab".to_owned(), Rest::Nothing),
            ("HTTP/1.1 200 OK\r\n\r\na".to_owned(), Rest::MayBeWhole),
            (format!("{chunked}2\r\nab\r\n"), Rest::Body),
            (format!("{chunked}2\r\nab\r\n0"), Rest::Body),
            (format!("{chunked}2\r\nab\r\n0\r\n"), Rest::Nothing),
            (format!("{chunked}2\r\nab\r\n0\r\nA: b\r\n"), Rest::Nothing),
        ] {
            assert_eq!(read(input.as_bytes(), &[1], RULES).1, Ok(rest), "{input:?}");
        }
    }

    /// The answer does not depend on the pieces in which it arrives.
    #[test]
    fn answer_in_pieces_is_read_like_a_whole_one() {
        let answers = [
            "\r\n\nHTTP/1.1 100 Continue\r\nA: b\r\n\r\n\r\nHTTP/1.1 200 OK\n b\r\nA:\r\n b\r\r\n\tc\nContent-Length: 5\n\r\nhello",
            "HTTP/1.0 200 \r\n\n\0é anything",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n 005;a=\";\r\"\r\nhello\r\n1 \r\n!\n000\r\nB:\r\n c\n\r\nmore",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nz",
            "HTTP/1.1 101 Other\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        ];
        let mut random = Seeded::new(1);
        for answer in answers {
            let (out, rest, taken) = read(answer.as_bytes(), &[1000], RULES);
            for round in 0..200 {
                let pieces: Vec<usize> = match round {
                    0 => vec![1],
                    _ => (0..20).map(|_| random.below(12) + 1).collect(),
                };
                let (piecewise, ended, took) = read(answer.as_bytes(), &pieces, RULES);
                assert_eq!(decoded(&piecewise), decoded(&out), "{answer:?} in {pieces:?}");
                assert_eq!(ended, rest, "{answer:?} in {pieces:?}");
                assert!(took == taken || rest.is_err(), "{answer:?} in {pieces:?}");
            }
        }
    }

    #[test]
    fn connection_with_faulty_framing_is_not_used_again() {
        let both = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        for (answer, may_follow) in [
            (both, false),
            (&both.replace("Content-Length: 5\r\n", ""), true),
            (&both.replace("Content-Length: 5\r\n", "").replace("1.1", "1.0"), false),
            ("HTTP/1.1 204 No\r\n\r\n", true),
        ] {
            let mut normaliser = Normaliser::new(RULES);
            normaliser.expect_answer(false);
            normaliser.feed(answer.as_bytes(), &mut Secret::default()).unwrap();
            assert_eq!(normaliser.may_follow(), may_follow, "{answer:?}");
        }
    }
}
