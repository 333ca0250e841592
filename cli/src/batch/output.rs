//! The file for the answers, new or continued.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Seek as _, SeekFrom};
use std::path::Path;

use keyfob::ErrorKind;

use super::order::Tally;
use keyfob_config::text;

use crate::failure::{Failure, kind};
use crate::output::unwritable;

/// The beginning of every line.
const BEGIN: &[u8] = br#"{"line":"#;

/// The most bytes of a line that are read. Kind and error come first and need a tenth of it.
const MAX_BEGIN: usize = 8 * 1024;

/// Opens the file at the end of its last whole line, and returns the outcome of the lines up to there.
pub fn open(path: &Path, resume: bool) -> Result<(File, Tally), Failure> {
    let name = path.display().to_string();
    let failed = |e: &io::Error| unwritable(&name, e);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    // A pipe or a terminal may be open for writing only.
    let is_file = path.metadata().map_or(true, |metadata| metadata.is_file());
    if resume && !is_file {
        return Err(Failure::invalid(format!(
            "{name} is not a regular file, so --resume cannot tell where to continue: leave --resume out, or name a file"
        )));
    }
    let mut file = options.read(is_file).open(path).map_err(|e| failed(&e))?;
    if !is_file {
        return Ok((file, Tally::default()));
    }
    // Some file systems have no locks.
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        let text = format!("another run is writing to {name}: wait for it, or name another file");
        return Err(Failure::new(ErrorKind::Store, text));
    }
    let length = file.metadata().map_err(|e| failed(&e))?.len();
    if length > 0 && !resume {
        return Err(Failure::invalid(format!(
            "{name} is not empty: give --resume to continue after what it holds, or remove it"
        )));
    }
    let (end, tally) = match read(&file).map_err(|e| failed(&e))? {
        Content::Ours(end, tally) => (end, tally),
        Content::Foreign => {
            let text = format!("{name} was not written by `keyfob … batch`, so --resume cannot continue it");
            return Err(Failure::invalid(text));
        }
        Content::Damaged(line) => {
            let whole = line - 1;
            return Err(Failure::invalid(format!(
                "line {line} of {name} is damaged, so --resume cannot continue after it: nothing was changed; keep the lines before \
                 it (head -n {whole}), and --resume asks for the others again"
            )));
        }
    };
    file.set_len(end).and_then(|()| file.seek(SeekFrom::Start(end))).map_err(|e| failed(&e))?;
    Ok((file, tally))
}

/// The content of an existing file.
enum Content {
    /// The end of the last whole line, and the outcome of the lines up to there. The rest may be cut off: half a line, and the NUL bytes
    /// that a power cut leaves where the file had grown and its content was not written yet.
    Ours(u64, Tally),
    /// Other content from its first line on.
    Foreign,
    /// This line is damaged: it is neither a line of a batch nor the first half of the last one. The lines before it are whole.
    Damaged(u64),
}

/// Reads the existing content, line by line.
fn read(file: &File) -> io::Result<Content> {
    let mut reader = BufReader::with_capacity(64 * 1024, file);
    let (mut end, mut tally) = (0, Tally::default());
    let mut number = 0;
    loop {
        number += 1;
        let mut line = Line::read(&mut reader)?;
        if number == 1 {
            // An editor may have put a byte order mark there.
            text::drop_mark(&mut line.begin);
        }
        if line.length == 0 {
            return Ok(Content::Ours(end, tally));
        }
        if let Some((answered, failed)) = line.parse().filter(|(answered, _)| *answered > tally.last_line) {
            tally.add(answered, failed);
            end += line.length;
            continue;
        }
        let is_first = tally.lines == 0;
        let is_cut = (line.has_nul || !line.is_ended) && line.begins_well();
        // In a file without a whole line, bytes after a NUL byte may be those of another program.
        let is_ours = is_cut && !(line.goes_on && is_first);
        return Ok(if is_ours && only_nul(&mut reader)? {
            Content::Ours(end, tally)
        } else if is_ours || !is_first {
            Content::Damaged(number)
        } else {
            Content::Foreign
        });
    }
}

/// The part of a line that matters, however long the line is.
struct Line {
    /// Up to the first NUL byte.
    begin: Vec<u8>,
    /// In bytes.
    length: u64,
    is_ended: bool,
    has_nul: bool,
    /// Whether other bytes follow a NUL byte.
    goes_on: bool,
    /// Before the line break.
    last: Option<u8>,
}

impl Line {
    fn read(reader: &mut impl BufRead) -> io::Result<Self> {
        let mut line = Self {
            begin: Vec::new(),
            length: 0,
            is_ended: false,
            has_nul: false,
            goes_on: false,
            last: None,
        };
        while !line.is_ended {
            let chunk = reader.fill_buf()?;
            if chunk.is_empty() {
                break;
            }
            let newline = chunk.iter().position(|&byte| byte == b'\n');
            let length = newline.map_or(chunk.len(), |at| at + 1);
            line.add(&chunk[..newline.unwrap_or(length)]);
            line.is_ended = newline.is_some();
            line.length += length as u64;
            reader.consume(length);
        }
        Ok(line)
    }

    fn add(&mut self, part: &[u8]) {
        let text = part.iter().position(|&byte| byte == 0).unwrap_or(part.len());
        if !self.has_nul {
            let left = MAX_BEGIN.saturating_sub(self.begin.len());
            self.begin.extend_from_slice(&part[..text.min(left)]);
        }
        self.goes_on |= self.has_nul && text > 0 || part[text..].iter().any(|&byte| byte != 0);
        self.has_nul |= text < part.len();
        // An editor may have changed the line break to CRLF.
        self.last = part.iter().rfind(|&&byte| byte != b'\r').copied().or(self.last);
    }

    /// Returns the number of the line that this one answers, and the failure, if it is whole and of a batch.
    fn parse(&self) -> Option<(u64, Option<Failure>)> {
        let is_whole = self.is_ended && !self.has_nul && self.last == Some(b'}');
        parse(&self.begin).filter(|_| is_whole)
    }

    /// Whether this may be the beginning of a line of a batch.
    fn begins_well(&self) -> bool {
        let length = BEGIN.len().min(self.begin.len());
        self.begin[..length] == BEGIN[..length]
    }
}

fn only_nul(reader: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        let length = chunk.len();
        if length == 0 {
            return Ok(true);
        }
        reader.consume(length);
    }
}

/// Parses the number of a line and its failure. [`Answer`](super::answer::Answer) always writes them in this order.
fn parse(begin: &[u8]) -> Option<(u64, Option<Failure>)> {
    let (line, rest) = number(begin.strip_prefix(BEGIN)?)?;
    let rest = match rest.strip_prefix(br#","status":"#) {
        Some(rest) => number(rest)?.1,
        None => rest,
    };
    let Some(rest) = rest.strip_prefix(br#","kind":""#) else { return Some((line, None)) };
    let end = rest.iter().position(|&byte| byte == b'"')?;
    let kind = kind(&rest[..end]);
    let text = rest[end + 1..]
        .strip_prefix(br#","error":"#)
        .and_then(|rest| serde_json::Deserializer::from_slice(rest).into_iter::<String>().next()?.ok());
    let text = text.unwrap_or_else(|| "it failed in an earlier run".to_owned());
    Some((line, Some(kind.map_or_else(|| Failure::unexpected(&*text), |kind| Failure::new(kind, &*text)))))
}

fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(digits);
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}
