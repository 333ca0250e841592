//! The files of a record: their names, and what is in them.

use std::fs;
use std::io;
use std::path::Path;

use crate::error::Error;
use crate::store::record::{Record, RecordName};
use crate::sys::file;
use crate::text::{shown, sorted};

/// Stands between the name of a record and the Unix time, in the names of files with tokens and answers that are not in the record.
pub(super) const UNSAVED: &str = ".unsaved-";

/// The most such files for a record, so that a renewal that fails again and again does not fill the disk.
pub(super) const MOST_UNSAVED: usize = 50;

/// Returns the name of a record's file.
pub(super) fn file_name(name: &RecordName) -> String {
    name.key() + ".json"
}

/// Returns the name of a record's temporary file. It is written under the lock only, so one name is enough, and the file that a
/// killed process leaves is found.
pub(super) fn temporary(file_name: &str) -> String {
    format!("{file_name}.tmp")
}

/// Returns the name under which a record that cannot be read is quarantined.
pub(super) fn unreadable(file_name: &str) -> String {
    format!("{file_name}.unreadable")
}

/// Returns the names of files with tokens and answers that could not be saved as this record, sorted.
pub(super) fn unsaved(folder: &Path, file_name: &str) -> Vec<String> {
    let prefix = format!("{file_name}{UNSAVED}");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    sorted(names.filter(|name| name.starts_with(&prefix)))
}

pub(super) fn failed(doing: &str, path: &Path, cause: &io::Error) -> Error {
    Error::store(format!("could not {doing} {}: {}", shown(path), why(cause)), cause)
}

/// Returns the reason, and what to do.
pub(super) fn why(cause: &io::Error) -> String {
    match (cause.kind(), cause.raw_os_error()) {
        (
            io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded,
            Some(_),
        ) => format!("{}; set the store (KEYFOB_STORE) to a folder that can be written", cause.kind()),
        // RLIMIT_FSIZE, or the limit of the file system.
        (io::ErrorKind::FileTooLarge, Some(_)) => {
            format!("{}; raise the limit for the size of files (ulimit -f)", cause.kind())
        }
        (io::ErrorKind::QuotaExceeded, None) => {
            format!("there are {MOST_UNSAVED} of them already; log out to remove them")
        }
        _ => file::why(cause),
    }
}

/// The content of a record's file.
pub(super) enum Found {
    Nothing,
    Unreadable,
    Record(Box<Record>),
}

impl Found {
    pub(super) fn into_record(self) -> Option<Record> {
        match self {
            Self::Record(record) => Some(*record),
            Self::Nothing | Self::Unreadable => None,
        }
    }
}

/// Reads the file at `way`. `path` is shown in errors.
pub(super) fn read(way: &Path, path: &Path, name: &RecordName) -> Result<Found, Error> {
    match file::read_own(way) {
        Ok(None) => Ok(Found::Nothing),
        Ok(Some(content)) => {
            let record = Record::read(name, &content).map_err(|newer| newer.error(&shown(path)))?;
            Ok(record.map_or(Found::Unreadable, |record| Found::Record(Box::new(record))))
        }
        Err(e) if e.kind() == io::ErrorKind::FileTooLarge => Ok(Found::Unreadable),
        Err(e) => Err(failed("read", path, &e)),
    }
}
