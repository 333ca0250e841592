//! The record in a folder, while this process holds its lock.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::clock::{Clock, Deadline, unix_seconds};
use crate::error::{Error, ErrorKind};
use crate::secret::Secret;
use crate::store::LockedRecord;
use crate::store::files::{Found, MOST_UNSAVED, UNSAVED, failed, read, temporary, unreadable, unsaved, why};
use crate::store::lock::{Held, hold, open};
use crate::store::record::{Record, RecordName};
use crate::sys::file;
use crate::sys::folder::Folder;
use crate::sys::new_file::{NewFile, sync_folder};
use crate::text::shown;

/// The space for new tokens, which may be longer than the old ones: two of 16 KiB.
const SPACE: usize = 32 * 1024;

/// The most space that is reserved for the old record.
const MOST_SPACE: usize = 1024 * 1024;

/// A record whose lock this process holds.
///
/// The fields are dropped in this order: the temporary file is removed while the lock is held, and through the folder.
pub(super) struct LockedFile {
    /// A temporary file with space for the next record.
    prepared: Option<NewFile>,
    held: Held,
    folder: Folder,
    folder_path: PathBuf,
    name: RecordName,
    file_name: String,
}

impl LockedFile {
    pub(super) fn new(
        held: Held,
        folder: Folder,
        folder_path: PathBuf,
        name: RecordName,
        file_name: String,
    ) -> Self {
        Self { prepared: None, held, folder, folder_path, name, file_name }
    }

    /// The path of the record through the opened folder.
    fn way(&self) -> PathBuf {
        self.folder.at(&self.file_name)
    }

    /// The path of the record, for errors.
    fn path(&self) -> PathBuf {
        self.folder_path.join(&self.file_name)
    }

    fn new_file(&self) -> io::Result<NewFile> {
        let temp = self.folder.at(&temporary(&self.file_name));
        file::remove(&temp)?;
        NewFile::create_at(&self.way(), temp)
    }

    /// Writes the content to the prepared temporary file if it is still there, or else to a new one. If another program has taken the name,
    /// writes to one with another name.
    fn filled(&mut self, content: &Secret) -> io::Result<NewFile> {
        let fill = |mut new: NewFile| new.fill(content.expose()).map(|()| new);
        let new = match self.prepared.take().filter(NewFile::is_there) {
            Some(prepared) => Ok(prepared),
            None => self.new_file(),
        };
        new.and_then(fill).or_else(|error| {
            let other = format!("{}{UNSAVED}{}.tmp", self.file_name, unix_seconds(Clock::system().now()));
            let other = NewFile::create_at(&self.way(), self.folder.at(&other));
            other.and_then(fill).map_err(|_| error)
        })
    }

    /// Keeps a temporary file beside the record, under a name of its own.
    fn keep(&self, new: &NewFile) -> io::Result<PathBuf> {
        if unsaved(&self.folder.at(""), &self.file_name).len() >= MOST_UNSAVED {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        let now = unix_seconds(Clock::system().now());
        let kept = new.keep_beside(&format!("{UNSAVED}{now}"))?;
        Ok(self.folder_path.join(kept.file_name().unwrap_or_default()))
    }

    /// Keeps an answer beside the record, unless the same one is kept there already: a server that repeats its answer must not fill the disk.
    fn kept(&mut self, answer: &Secret) -> io::Result<PathBuf> {
        let is_same = |name: &String| {
            let kept = file::read_own(&self.folder.at(name));
            kept.is_ok_and(|kept| kept.is_some_and(|kept| kept.expose() == answer.expose()))
        };
        let names = unsaved(&self.folder.at(""), &self.file_name);
        if let Some(kept) = names.iter().find(|name| is_same(name)) {
            return Ok(self.folder_path.join(kept));
        }
        let new = self.filled(answer)?;
        new.finish(answer.len())?;
        self.keep(&new)
    }

    /// Returns an error if the folder is at another path now.
    fn check_in_place(&self, doing: &str, what: &str) -> Result<(), Error> {
        if self.folder.is_at(&self.folder_path) {
            return Ok(());
        }
        let text = format!(
            "could not {doing} {}: its folder was moved meanwhile, and {what} went with it; find out who moved it",
            shown(&self.path())
        );
        Err(Error::new(ErrorKind::Store, text))
    }

    /// Writes the record. If that fails and the server issues the content only once, the temporary file is kept.
    fn write(&mut self, content: &Secret, is_issued_once: bool) -> Result<(), (io::Error, Option<PathBuf>)> {
        let new = self.filled(content).map_err(|e| (e, None))?;
        new.finish(content.len()).and_then(|()| new.replace()).map_err(|e| {
            let kept = is_issued_once.then(|| self.keep(&new).ok()).flatten();
            // If the path leads to another folder by now, the error does not name the path.
            (e, kept.filter(|_| self.folder.is_at(&self.folder_path)))
        })
    }

    /// If the folder was removed, changes to the folder that is now at its path, or makes one. Does not change if that folder has a record
    /// already.
    fn follow(&mut self) -> bool {
        if !self.folder.is_removed() {
            return false;
        }
        let Ok(folder) = open(&self.folder_path) else { return false };
        let deadline = Deadline::after(Duration::ZERO);
        let held = hold(&self.folder_path, &folder, &self.file_name, &deadline, Duration::ZERO);
        let Ok(Some(held)) = held else { return false };
        if fs::symlink_metadata(folder.at(&self.file_name)).is_ok() {
            return false;
        }
        (self.prepared, self.held, self.folder) = (None, held, folder);
        true
    }
}

impl LockedRecord for LockedFile {
    fn load(&mut self) -> Result<Option<Record>, Error> {
        let path = self.path();
        if self.prepared.is_none() {
            let temp = temporary(&self.file_name);
            file::remove(&self.folder.at(&temp))
                .map_err(|e| failed("remove what was left in", &self.folder_path.join(&temp), &e))?;
        }
        let found = read(&self.way(), &path, &self.name)?;
        if matches!(found, Found::Unreadable) {
            let quarantined = unreadable(&self.file_name);
            fs::rename(self.way(), self.folder.at(&quarantined))
                .map_err(|e| failed("quarantine a record as", &self.folder_path.join(&quarantined), &e))?;
        }
        Ok(found.into_record())
    }

    fn prepare(&mut self) -> Result<(), Error> {
        if self.prepared.as_ref().is_some_and(NewFile::is_there) {
            return Ok(());
        }
        self.prepared = None;
        let length = fs::symlink_metadata(self.way()).map_or(0, |metadata| metadata.len());
        let space = usize::try_from(length).unwrap_or(0).min(MOST_SPACE) + SPACE;
        let prepared = self.new_file().and_then(|mut new| new.prove(space).map(|()| new));
        self.prepared = Some(prepared.map_err(|e| {
            let text = format!(
                "could not reserve space for new tokens beside {}, so the server was not asked for any: {}",
                shown(&self.path()),
                why(&e)
            );
            Error::store(text, &e)
        })?);
        Ok(())
    }

    fn save(&mut self, record: &Record) -> Result<(), Error> {
        if record.token().refresh_token().is_some_and(|token| token.expose_str().is_none()) {
            return Err(Error::new(
                ErrorKind::Store,
                "could not save the tokens: the refresh token is not UTF-8",
            ));
        }
        let content = record.to_bytes(&self.name);
        let is_issued_once = record.token().refresh_token().is_some();
        let mut written = self.write(&content, is_issued_once);
        if written.is_err() && self.follow() {
            written = self.write(&content, is_issued_once);
        }
        let path = self.path();
        written.map_err(|(cause, kept)| {
            let error = failed("save the tokens in", &path, &cause);
            match kept {
                Some(kept) => error.kept_in(&kept),
                None => error,
            }
        })?;
        self.check_in_place("save the tokens in", "the tokens")
    }

    fn keep_answer(&mut self, answer: &Secret) -> Result<Option<PathBuf>, Error> {
        const DOING: &str = "keep the received part of the answer beside";
        let mut kept = self.kept(answer);
        if kept.is_err() && self.follow() {
            kept = self.kept(answer);
        }
        let kept = kept.map_err(|e| failed(DOING, &self.path(), &e))?;
        self.check_in_place(DOING, "the answer").map(|()| Some(kept))
    }

    fn remove(&mut self) -> Result<(), Error> {
        self.prepared = None;
        let kept = unsaved(&self.folder.at(""), &self.file_name);
        let names = [self.file_name.clone(), temporary(&self.file_name), unreadable(&self.file_name)];
        // If one cannot be removed, the others still are.
        let mut removed = Ok(());
        for name in names.iter().chain(&kept) {
            let done = file::remove(&self.folder.at(name));
            removed = removed.and(done.map_err(|e| failed("remove", &self.folder_path.join(name), &e)));
        }
        let synced = sync_folder(&self.way()).map_err(|e| failed("remove", &self.path(), &e));
        removed.and(synced)
    }
}
