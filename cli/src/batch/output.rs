//! The file that answers go to, new or gone on with.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use keyfob::ErrorKind;

use crate::failure::Failure;
use crate::output::unwritable;

/// How every line begins.
const BEGIN: &[u8] = br#"{"line":"#;

/// Opens the file, at the end of its last whole line, and tells which line of the input that was: 0 for none.
pub fn open(path: &Path, resume: bool) -> Result<(File, u64), Failure> {
    let name = path.display().to_string();
    let failed = |e: &io::Error| unwritable(&name, e);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    // A pipe or a terminal may be one to write to only.
    let is_file = path.metadata().map_or(true, |metadata| metadata.is_file());
    let mut file = options.read(is_file).open(path).map_err(|e| failed(&e))?;
    if !is_file {
        return Ok((file, 0));
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
    let (end, line) = last_line(&mut file, length).map_err(|e| failed(&e))?.ok_or_else(|| {
        Failure::invalid(format!("{name} was not written by `keyfob … batch`, so it cannot be gone on with"))
    })?;
    file.set_len(end).and_then(|()| file.seek(SeekFrom::Start(end))).map_err(|e| failed(&e))?;
    Ok((file, line))
}

/// Where the last whole line ends and its number, or `None` if it is none of ours.
fn last_line(file: &mut File, length: u64) -> io::Result<Option<(u64, u64)>> {
    let end = after_last_newline(file, length)?;
    let start = if end == 0 { 0 } else { after_last_newline(file, end - 1)? };
    let mut begin = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.by_ref().take(32).read_to_end(&mut begin)?;
    if end == 0 {
        // Half a line at most.
        let ours = BEGIN.len().min(begin.len());
        return Ok((begin[..ours] == BEGIN[..ours]).then_some((0, 0)));
    }
    let number = begin.strip_prefix(BEGIN).map(|rest| {
        rest.iter().take_while(|byte| byte.is_ascii_digit()).map(|&byte| char::from(byte)).collect::<String>()
    });
    Ok(number.and_then(|number| number.parse().ok()).map(|number| (end, number)))
}

/// The place after the last line break before `end`; 0 if there is none.
fn after_last_newline(file: &mut File, end: u64) -> io::Result<u64> {
    const CHUNK: u64 = 64 * 1024;
    let mut chunk = Vec::new();
    let mut end = end;
    while end > 0 {
        let start = end.saturating_sub(CHUNK);
        chunk.clear();
        file.seek(SeekFrom::Start(start))?;
        file.by_ref().take(end - start).read_to_end(&mut chunk)?;
        if let Some(at) = chunk.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
