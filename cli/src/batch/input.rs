//! Reads the lines of the input, one by one.

use keyfob_config::text;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::output::unreadable;

/// The longest line that is accepted. URLs are a tenth of it.
pub const MAX_LINE: u64 = 16 * 1024;

/// A line that is not empty.
pub struct Line {
    /// From 1.
    pub number: u64,
    /// `None` if it is longer than [`MAX_LINE`].
    pub bytes: Option<Vec<u8>>,
}

pub struct Input {
    reader: Box<dyn BufRead + Send>,
    name: String,
    /// Set for a file of known length.
    path: Option<PathBuf>,
    number: u64,
    turn: u64,
    ended: bool,
}

impl Input {
    /// `-` is standard input.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            let reader = Box::new(BufReader::with_capacity(64 * 1024, io::stdin()));
            return Ok(Self {
                reader,
                name: "standard input".to_owned(),
                path: None,
                number: 0,
                turn: 0,
                ended: false,
            });
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(|e| unreadable(&name, &e))?;
        let metadata = file.metadata().map_err(|e| unreadable(&name, &e))?;
        if metadata.is_dir() {
            return Err(unreadable(&name, &io::ErrorKind::IsADirectory.into()));
        }
        let path = metadata.is_file().then(|| path.to_owned());
        let reader = Box::new(BufReader::with_capacity(64 * 1024, file));
        Ok(Self { reader, name, path, number: 0, turn: 0, ended: false })
    }

    /// Returns the number of lines, if it can be known beforehand.
    pub fn count_lines(&self) -> Result<Option<u64>, Failure> {
        let Some(path) = &self.path else { return Ok(None) };
        let failed = |e: &io::Error| unreadable(&self.name, e);
        let mut file = File::open(path).map_err(|e| failed(&e))?;
        let mut chunk = vec![0; 64 * 1024];
        let (mut lines, mut last) = (0, b'\n');
        loop {
            let n = match file.read(&mut chunk) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(failed(&e)),
            };
            lines += chunk[..n].iter().map(|&byte| u64::from(byte == b'\n')).sum::<u64>();
            last = chunk[n - 1];
        }
        Ok(Some(lines + u64::from(last != b'\n')))
    }

    /// Skips this many lines.
    pub fn pass_by(&mut self, lines: u64) -> Result<(), Failure> {
        while self.number < lines {
            if self.read().map_err(|e| self.unreadable(&e))?.is_none() {
                let (name, number) = (&self.name, self.number);
                let text = format!(
                    "{name} has {number} lines, and the answer to line {lines} is in the output already: is it the right \
                     file?"
                );
                return Err(Failure::invalid(text));
            }
        }
        Ok(())
    }

    /// Returns the next line and the position of its answer: 0, 1, 2, …
    pub fn next(&mut self) -> Option<(u64, Result<Line, Failure>)> {
        while !self.ended {
            let line = match self.read() {
                Ok(Some(line)) if line.is_empty() => continue,
                Ok(Some(line)) => Ok(line),
                Ok(None) => break,
                Err(e) => {
                    self.ended = true;
                    Err(self.unreadable(&e))
                }
            };
            let turn = self.turn;
            self.turn += 1;
            return Some((turn, line));
        }
        self.ended = true;
        None
    }

    fn unreadable(&self, error: &io::Error) -> Failure {
        match error.kind() {
            // The text is from this module.
            io::ErrorKind::InvalidData => Failure::invalid(format!("{} {error}", self.name)),
            _ => unreadable(&self.name, error),
        }
    }

    fn read(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::with_capacity(128);
        (&mut self.reader).take(MAX_LINE + 1).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        let mut too_long = false;
        while bytes.len() as u64 > MAX_LINE && !bytes.ends_with(b"\n") {
            too_long = true;
            bytes.clear();
            (&mut self.reader).take(MAX_LINE + 1).read_until(b'\n', &mut bytes)?;
        }
        if self.number == 1
            && let Some(problem) = text::other_encoding(&bytes)
        {
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        if self.number == 1 {
            text::drop_mark(&mut bytes);
        }
        Ok(Some(Line { number: self.number, bytes: Some(bytes).filter(|_| !too_long) }))
    }
}

impl Line {
    fn is_empty(&self) -> bool {
        self.bytes.as_ref().is_some_and(|bytes| bytes.trim_ascii().is_empty())
    }
}
