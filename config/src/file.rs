//! Finds, checks and reads the configuration file.
//!
//! The file can name a command to run. So nobody but its user and root may be able to change it, or to put another file in its place.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use keyfob::env_var;

use crate::problem::{Problem, TILDE, has_tilde, shown, why};

/// The variable that names the file.
pub(crate) const VARIABLE: &str = "KEYFOB_CONFIG";

/// The largest file that is read.
const MAX_SIZE: u64 = 1024 * 1024;

/// Where the configuration file is, if there is one.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    /// Whether [`VARIABLE`] names it.
    is_named: bool,
}

impl Place {
    /// Returns the place that the environment names. A program that runs with the rights of another user than the one who started it has
    /// none, because that user chooses the environment.
    pub(crate) fn from_env() -> Result<Option<Self>, Problem> {
        if has_rights_of_another() {
            return Ok(None);
        }
        if let Some(path) = env_var(VARIABLE)? {
            return Ok(Some(Self { path: path.into(), is_named: true }));
        }
        // The XDG base directory specification: a relative path is to be ignored.
        let folder = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
        let home = || env::home_dir().filter(|home| !home.as_os_str().is_empty());
        let folder = folder.or_else(|| Some(home()?.join(".config")));
        Ok(folder.map(|folder| Self { path: folder.join("keyfob/config.toml"), is_named: false }))
    }

    /// Reads the file. Returns `None` if there is none.
    pub(crate) fn read(&self) -> Result<Option<String>, Problem> {
        match fs::symlink_metadata(&self.path) {
            Ok(_) => {}
            Err(e) if is_absent(&e) && has_tilde(&self.path) => {
                return Err(self.says(&format!("is not there: {TILDE}")));
            }
            Err(e) if is_absent(&e) => return Ok(None),
            // A service manager may have closed the home folder to the program.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied && !self.is_named => return Ok(None),
            Err(e) => return Err(self.unreadable(&e)),
        }
        let file = checked(&self.path, user()).map_err(|refusal| self.refused(&refusal))?;
        let size = file.metadata().map_or(0, |metadata| metadata.len().min(MAX_SIZE));
        let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1);
        io::Read::read_to_end(&mut io::Read::take(file, MAX_SIZE + 1), &mut content)
            .map_err(|e| self.unreadable(&e))?;
        if content.len() as u64 > MAX_SIZE {
            return Err(self.says("is longer than 1 MiB: keep only the services in it"));
        }
        match String::from_utf8(content) {
            Ok(text) => Ok(Some(text)),
            Err(e) => Err(self.not_utf8(e.as_bytes(), e.utf8_error().valid_up_to())),
        }
    }

    fn not_utf8(&self, content: &[u8], valid_up_to: usize) -> Problem {
        if content.starts_with(b"\xff\xfe") || content.starts_with(b"\xfe\xff") {
            return self.says("is UTF-16 or UTF-32 text, by its byte order mark: save it as UTF-8");
        }
        let line = content.iter().take(valid_up_to).filter(|byte| **byte == b'\n').count() + 1;
        Problem::invalid(format!(
            "{}:{line}: the line is not UTF-8: save the file as UTF-8",
            shown(&self.path)
        ))
    }

    fn says(&self, what: &str) -> Problem {
        Problem::invalid(format!("the configuration {} {what}", shown(&self.path)))
    }

    fn unreadable(&self, error: &io::Error) -> Problem {
        Problem::invalid(format!("could not read the configuration {}: {}", shown(&self.path), why(error)))
    }

    fn refused(&self, refusal: &Refusal) -> Problem {
        let folder = |folder: &Path| format!("is in the folder {}, which", shown(folder));
        match refusal {
            Refusal::System(error) => self.unreadable(error),
            Refusal::Folder => self.says("is a folder: name a file"),
            Refusal::NoFile => self.says("is not a regular file: name a file that can be read again and again"),
            Refusal::Loop => self.says("cannot be reached: its symbolic links form a loop, or there are too many of them"),
            Refusal::File(Fault::Writable) => {
                self.says("can be changed by other users, and may name a command to run: run `chmod go-w` on it")
            }
            Refusal::File(Fault::Foreign) => {
                self.says("belongs to another user, and may name a command to run: make it your own, or root's")
            }
            Refusal::Above(at, Fault::Writable) => self.says(&format!(
                "{} other users can change, and may name a command to run: run `chmod go-w` on that folder",
                folder(at)
            )),
            Refusal::Above(at, Fault::Foreign) => self.says(&format!(
                "{} belongs to another user, and may name a command to run: put it into a folder of your own, or root's",
                folder(at)
            )),
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(unix)]
fn has_rights_of_another() -> bool {
    use nix::unistd::{Gid, Uid};
    Uid::current() != Uid::effective() || Gid::current() != Gid::effective()
}

#[cfg(not(unix))]
fn has_rights_of_another() -> bool {
    false
}

/// The user whose rights this program has.
#[cfg(unix)]
fn user() -> u32 {
    nix::unistd::Uid::effective().as_raw()
}

#[cfg(not(unix))]
fn user() {}

/// Why a file is not used.
#[derive(Debug)]
#[cfg_attr(not(unix), allow(dead_code, reason = "only Unix has owners and modes"))]
enum Refusal {
    System(io::Error),
    /// The path is that of a folder.
    Folder,
    /// The path is that of a pipe, a device or a socket.
    NoFile,
    Loop,
    File(Fault),
    /// A folder on the way, or a symbolic link in it.
    Above(PathBuf, Fault),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(unix), allow(dead_code, reason = "only Unix has owners and modes"))]
enum Fault {
    /// Others than the owner can write to it.
    Writable,
    /// It belongs neither to this user nor to root.
    Foreign,
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

#[cfg(unix)]
impl From<nix::errno::Errno> for Refusal {
    fn from(error: nix::errno::Errno) -> Self {
        Self::System(error.into())
    }
}

#[cfg(unix)]
use walk::checked;

/// The way to the file, one folder after the other.
#[cfg(unix)]
mod walk {
    use std::collections::VecDeque;
    use std::ffi::{OsStr, OsString};
    use std::fs::{File, Metadata};
    use std::io;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::{Component, Path, PathBuf};

    use super::{Fault, Refusal};
    use nix::fcntl::{OFlag, open, openat, readlinkat};
    use nix::sys::stat::Mode;

    /// The number of symbolic links that Linux follows.
    const MOST_LINKS: u32 = 40;

    /// Opens an entry of a folder without an effect on it. Elsewhere than on Linux, folders must be readable.
    const LOOK: OFlag = OFlag::O_NOFOLLOW.union(OFlag::O_CLOEXEC).union(if cfg!(target_os = "linux") {
        PATH
    } else {
        OFlag::O_NONBLOCK
    });

    #[cfg(target_os = "linux")]
    const PATH: OFlag = OFlag::O_PATH;
    #[cfg(not(target_os = "linux"))]
    const PATH: OFlag = OFlag::empty();

    const READ: OFlag =
        OFlag::O_RDONLY.union(OFlag::O_NOFOLLOW).union(OFlag::O_NONBLOCK).union(OFlag::O_CLOEXEC);

    struct Folder {
        opened: File,
        path: PathBuf,
    }

    /// Opens the file for reading. Each folder on the way is reached through the open descriptor of the one before, so nobody can
    /// exchange what has been checked.
    pub(super) fn checked(path: &Path, user: u32) -> Result<File, Refusal> {
        let path = std::path::absolute(path)?;
        let mut rest = parts(&path);
        let root = PathBuf::from("/");
        let opened = File::from(open(&root, LOOK | OFlag::O_DIRECTORY, Mode::empty())?);
        let mut way = vec![folder(opened, root, user)?];
        let mut links = 0;
        while let Some(part) = rest.pop_front() {
            let Some(at) = way.last() else { break };
            if part == ".." {
                if way.len() > 1 {
                    way.pop();
                }
                continue;
            }
            let entry = File::from(openat(&at.opened, part.as_os_str(), LOOK, Mode::empty())?);
            let metadata = entry.metadata()?;
            if metadata.is_symlink() {
                links += 1;
                if links > MOST_LINKS {
                    return Err(Refusal::Loop);
                }
                // In a shared folder with the sticky bit, another user can make a link.
                if is_foreign(&metadata, user) {
                    return Err(Refusal::Above(at.path.clone(), Fault::Foreign));
                }
                let target = PathBuf::from(readlinkat(&entry, OsStr::new(""))?);
                if target.is_absolute() {
                    way.truncate(1);
                }
                parts(&target).into_iter().rev().for_each(|part| rest.push_front(part));
            } else if metadata.is_dir() {
                let path = at.path.join(&part);
                way.push(folder(entry, path, user)?);
            } else if rest.is_empty() {
                if !metadata.is_file() {
                    return Err(Refusal::NoFile);
                }
                return file(File::from(openat(&at.opened, part.as_os_str(), READ, Mode::empty())?), user);
            } else {
                return Err(io::Error::from(io::ErrorKind::NotADirectory).into());
            }
        }
        Err(Refusal::Folder)
    }

    fn parts(path: &Path) -> VecDeque<OsString> {
        let named = |part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        };
        path.components().filter_map(named).collect()
    }

    fn folder(opened: File, path: PathBuf, user: u32) -> Result<Folder, Refusal> {
        let metadata = opened.metadata()?;
        // Only the owner of a file can replace it in a folder with the sticky bit.
        let fault = if is_foreign(&metadata, user) {
            Some(Fault::Foreign)
        } else if is_writable(&metadata) && metadata.mode() & 0o1000 == 0 {
            Some(Fault::Writable)
        } else {
            None
        };
        match fault {
            Some(fault) => Err(Refusal::Above(path, fault)),
            None => Ok(Folder { opened, path }),
        }
    }

    fn file(opened: File, user: u32) -> Result<File, Refusal> {
        let metadata = opened.metadata()?;
        if !metadata.is_file() {
            return Err(Refusal::NoFile);
        }
        if is_foreign(&metadata, user) {
            return Err(Refusal::File(Fault::Foreign));
        }
        if is_writable(&metadata) {
            return Err(Refusal::File(Fault::Writable));
        }
        Ok(opened)
    }

    fn is_writable(metadata: &Metadata) -> bool {
        metadata.mode() & 0o022 != 0
    }

    fn is_foreign(metadata: &Metadata, user: u32) -> bool {
        metadata.uid() != 0 && metadata.uid() != user
    }
}

#[cfg(not(unix))]
fn checked(path: &Path, (): ()) -> Result<fs::File, Refusal> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(Refusal::Folder);
    }
    Ok(fs::File::open(path)?)
}

#[cfg(all(test, unix))]
mod tests;
