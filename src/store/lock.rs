//! The lock of a record in a folder.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::clock::Deadline;
use crate::error::{Error, ErrorKind};
use crate::store::files::failed;
use crate::sys::file;
use crate::sys::folder::Folder;
use crate::sys::trust::{Above, check_above, is_at};
use crate::text::{Seconds, shown};

/// The longest pause before a lock is tried again.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// Opens the folder of a store, and makes it if need be.
pub(super) fn open(path: &Path) -> io::Result<Folder> {
    check_above(path, Above::NotEverybodys)?;
    match Folder::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            file::make_folder(path)?;
            Folder::open(path)
        }
        opened => opened,
    }
}

/// Locks the lock file, and the record too if there is one. `None` if the lock file was removed or replaced during the wait, because other
/// processes lock another file then.
pub(super) fn hold(
    folder_path: &Path,
    folder: &Folder,
    file_name: &str,
    deadline: &Deadline,
    within: Duration,
) -> Result<Option<Held>, Error> {
    let lock_name = format!("{file_name}.lock");
    let (path, way) = (folder_path.join(&lock_name), folder.at(&lock_name));
    let lock = file::open_lock(&way).map_err(|e| failed("open", &path, &e))?;
    wait_for(&lock, &path, deadline, within)?;
    let held = Held { lock, record: hold_record(folder, file_name, folder_path, deadline, within)? };
    let is_what_others_lock = is_at(&held.lock, &way) && folder.is_at(folder_path);
    Ok(Some(held).filter(|_| is_what_others_lock))
}

/// Waits for a lock, no longer than until the deadline.
fn wait_for(lock: &File, path: &Path, deadline: &Deadline, within: Duration) -> Result<(), Error> {
    let mut pause = Duration::from_micros(500);
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            // A lock that a signal interrupted is tried again, like a lock that is held.
            Err(TryLockError::Error(e)) if e.kind() != io::ErrorKind::Interrupted => {
                let text = format!(
                    "could not lock {}: locks do not work there ({}), so tokens could be lost; use a folder on a local disk",
                    shown(path),
                    file::why(&e)
                );
                return Err(Error::store(text, &e));
            }
            Err(_) if deadline.has_passed() => {
                let text = format!(
                    "could not lock {} within {} s: another process holds it; try again",
                    shown(path),
                    Seconds(within)
                );
                return Err(Error::new(ErrorKind::Timeout, text));
            }
            Err(_) => {
                let _ = deadline.sleep(pause.min(deadline.remaining()) * 9 / 10);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Locks the record itself too, if there is one. Even if somebody removes the lock file meanwhile, no other process may renew the record.
/// Not on Windows, where no other process can read a locked file.
#[cfg(unix)]
fn hold_record(
    folder: &Folder,
    file_name: &str,
    folder_path: &Path,
    deadline: &Deadline,
    within: Duration,
) -> Result<Option<File>, Error> {
    let way = folder.at(file_name);
    let opened = || file::open_to_lock(&way).map_err(|e| failed("lock", &folder_path.join(file_name), &e));
    while let Some(record) = opened()? {
        wait_for(&record, &folder_path.join(file_name), deadline, within)?;
        // If the record was replaced during the wait, the new one is locked instead.
        if is_at(&record, &way) || deadline.has_passed() {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "as on other systems")]
fn hold_record(_: &Folder, _: &str, _: &Path, _: &Deadline, _: Duration) -> Result<Option<File>, Error> {
    Ok(None)
}

/// The locks of a record. Dropping them unlocks.
pub(super) struct Held {
    lock: File,
    record: Option<File>,
}

impl Drop for Held {
    fn drop(&mut self) {
        // Closing is not enough: a child process that another thread is starting has a copy of the descriptor.
        if let Some(record) = &self.record {
            let _ = record.unlock();
        }
        let _ = self.lock.unlock();
    }
}
