//! The file that answers go to, new or gone on with.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use keyfob::ErrorKind;

use super::order::Tally;
use crate::failure::{Failure, kind};
use crate::output::unwritable;

/// How every line begins.
const BEGIN: &[u8] = br#"{"line":"#;

/// The longest beginning of a line that is looked at. Kind and error come first and are a tenth of it.
const MAX_BEGIN: u64 = 8 * 1024;

/// Opens the file, at the end of its last whole line, and tells how the lines up to there went.
pub fn open(path: &Path, resume: bool) -> Result<(File, Tally), Failure> {
    let name = path.display().to_string();
    let failed = |e: &io::Error| unwritable(&name, e);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    // A pipe or a terminal may be one to write to only.
    let is_file = path.metadata().map_or(true, |metadata| metadata.is_file());
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
            "{name} holds something already: give --resume to go on after it, or remove it"
        )));
    }
    let (end, tally) = read(&file).map_err(|e| failed(&e))?.ok_or_else(|| {
        Failure::invalid(format!("{name} was not written by `keyfob … batch`, so it cannot be gone on with"))
    })?;
    file.set_len(end).and_then(|()| file.seek(SeekFrom::Start(end))).map_err(|e| failed(&e))?;
    Ok((file, tally))
}

/// Reads what is there line by line: where the last whole line ends, and how those lines went. `None` if one is none of
/// ours.
fn read(file: &File) -> io::Result<Option<(u64, Tally)>> {
    let mut reader = BufReader::with_capacity(64 * 1024, file);
    let (mut end, mut tally) = (0, Tally::default());
    let mut begin = Vec::new();
    loop {
        begin.clear();
        let mut length = reader.by_ref().take(MAX_BEGIN).read_until(b'\n', &mut begin)?;
        let mut is_whole = begin.ends_with(b"\n");
        if !is_whole && length as u64 == MAX_BEGIN {
            length += skip_line(&mut reader, &mut is_whole)?;
        }
        if !is_whole {
            // Half a line at most.
            let ours = BEGIN.len().min(begin.len());
            return Ok((begin[..ours] == BEGIN[..ours]).then_some((end, tally)));
        }
        let Some((line, failed)) = parse(&begin) else { return Ok(None) };
        tally.add(line, failed);
        end += length as u64;
    }
}

/// Goes to the end of a line whose beginning was enough.
fn skip_line(reader: &mut impl BufRead, is_whole: &mut bool) -> io::Result<usize> {
    let mut skipped = 0;
    loop {
        let chunk = reader.fill_buf()?;
        let newline = chunk.iter().position(|&byte| byte == b'\n');
        let length = newline.map_or(chunk.len(), |at| at + 1);
        reader.consume(length);
        skipped += length;
        *is_whole = newline.is_some();
        if *is_whole || length == 0 {
            return Ok(skipped);
        }
    }
}

/// The number of a line, and what had failed. Written by [`Answer`](super::answer::Answer), always in this order.
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
