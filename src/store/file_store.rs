//! [`FileStore`]: a file for each record, in a folder of the user's own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs, io};

use crate::clock::Deadline;
use crate::error::{Error, ErrorKind};
use crate::store::files::{Found, failed, file_name, read, temporary, unreadable, unsaved};
use crate::store::lock::{LONGEST_PAUSE, hold, open};
use crate::store::locked_file::LockedFile;
use crate::store::record::{Record, RecordName};
use crate::store::{LockedRecord, TokenStore};
use crate::sys::credentials::env_var;
use crate::sys::trust::trust_folder;
use crate::text::{Seconds, shown};

/// A store with a file for each record, in a folder of the user's own.
///
/// The folder is made with mode 0700 and the files with 0600. Symbolic links are refused, and so is a folder that others can write to or
/// replace.
///
/// To replace a record, the store writes a temporary file, syncs it, renames it and syncs the folder. All this is done under a lock that
/// the kernel frees when a process dies. The lock file stays.
///
/// A record that cannot be read is quarantined: it is kept beside the new one, under its name followed by `.unreadable`. An answer of a
/// server that cannot be used is kept there too, under that name followed by `.unsaved-` and the Unix time.
///
/// ```no_run
/// let store = keyfob::FileStore::new("/var/lib/my-job");
/// ```
#[derive(Clone, Debug)]
pub struct FileStore {
    folder: PathBuf,
    /// Whether the folder is the system's default, which nobody has named.
    is_default: bool,
}

impl FileStore {
    /// Makes a store in this folder, which is created when it is needed. A path that is empty, begins with `~/` or `$`, which only a
    /// shell expands, or begins or ends with white space is refused when the store is used.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        // Drops a `/` at the end, which would hide a symbolic link.
        Self { folder: folder.into().components().collect(), is_default: false }
    }

    /// Makes a store in a folder that a person has named. `name` is the setting, such as `KEYFOB_STORE`. The error text repeats it. A
    /// relative path begins at the current folder of this call.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the folder is one that [`new`](Self::new) refuses, a URL or the address of a server,
    /// because tokens are kept in a folder only.
    pub fn named(name: &str, folder: impl Into<PathBuf>) -> Result<Self, Error> {
        let folder = folder.into();
        let text = folder.to_string_lossy();
        let what = match url_scheme(&text) {
            // Only the scheme is shown: the URL may hold a password.
            Some(scheme) => format!("is a URL ({scheme}:…)"),
            None if is_address(&text) => "is the address of a server".to_owned(),
            None => {
                check(name, &folder)?;
                // So the store stays where it is if the program changes its current folder, as a daemon does.
                return Ok(Self::new(std::path::absolute(&folder).unwrap_or(folder)));
            }
        };
        Err(Error::invalid(format!(
            "{name} {what}, but tokens are kept in a folder: name one, as in /var/lib/my-job"
        )))
    }

    /// Makes a store in the folder `KEYFOB_STORE`, else in the user's own: `$XDG_STATE_HOME/keyfob` or `~/.local/state/keyfob` on
    /// Linux, `~/Library/Application Support/keyfob` on macOS, `%LOCALAPPDATA%\keyfob` on Windows.
    ///
    /// # Errors
    /// [`Store`](ErrorKind::Store) if the environment names no home folder; [`InvalidInput`](ErrorKind::InvalidInput) if
    /// `KEYFOB_STORE` is not UTF-8, is a URL or begins with `~/`.
    pub fn from_env() -> Result<Self, Error> {
        if let Some(folder) = env_var("KEYFOB_STORE")? {
            return Self::named("KEYFOB_STORE", folder);
        }
        let var = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || env::home_dir().filter(|home| home.is_absolute());
        let folder = if cfg!(windows) {
            var("LOCALAPPDATA")
        } else if cfg!(target_os = "macos") {
            home().map(|home| home.join("Library/Application Support"))
        } else {
            var("XDG_STATE_HOME").or_else(|| Some(home()?.join(".local/state")))
        };
        let folder = folder.ok_or_else(|| {
            Error::new(
                ErrorKind::Store,
                "there is no home folder to keep tokens in: set KEYFOB_STORE or HOME",
            )
        })?;
        Ok(Self { is_default: true, ..Self::new(folder.join("keyfob")) })
    }

    /// Makes the store of [`from_env`](Self::from_env), or one that keeps nothing if the environment names no home folder. With such a
    /// store, a [`CachingSource`](crate::CachingSource) keeps tokens in memory only, and its warning says so.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) as [`from_env`](Self::from_env).
    pub fn from_env_or_none() -> Result<Arc<dyn TokenStore>, Error> {
        match Self::from_env() {
            Ok(store) => Ok(Arc::new(store)),
            Err(error) if error.kind() == ErrorKind::Store => Ok(Arc::new(NoStore(error))),
            Err(error) => Err(error),
        }
    }

    /// Returns the folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the path of a record, which may not exist.
    pub fn path(&self, name: &RecordName) -> PathBuf {
        self.folder.join(file_name(name))
    }

    /// Returns the path under which a record that cannot be read is quarantined. It may hold tokens that are still valid.
    pub fn unreadable_path(&self, name: &RecordName) -> PathBuf {
        self.folder.join(unreadable(&file_name(name)))
    }

    /// Returns the path under which a record is written before it is renamed. The file exists only while a process writes it, or if a
    /// process was killed while it wrote.
    pub fn temporary_path(&self, name: &RecordName) -> PathBuf {
        self.folder.join(temporary(&file_name(name)))
    }

    /// Returns the paths of answers that could not be used, and of tokens that could not be saved, sorted. The tokens in them may still be
    /// valid. Empty if the folder cannot be read.
    pub fn unsaved_paths(&self, name: &RecordName) -> Vec<PathBuf> {
        unsaved(&self.folder, &file_name(name)).into_iter().map(|name| self.folder.join(name)).collect()
    }
}

impl TokenStore for FileStore {
    fn load(&self, name: &RecordName) -> Result<Option<Record>, Error> {
        name.check()?;
        check("the folder of the store", &self.folder)?;
        let path = self.path(name);
        let found = match trust_folder(&self.folder) {
            Ok(_) => read(&path, &path, name)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed("read", &self.folder, &e)),
        };
        // The file is broken, or a process was killed while it wrote. If nobody holds the lock, this is cleaned up.
        let needs_cleaning =
            matches!(found, Found::Unreadable) || fs::symlink_metadata(self.temporary_path(name)).is_ok();
        match needs_cleaning.then(|| self.lock(name, Duration::ZERO)) {
            // In a folder that cannot be written to, the record is used without cleaning.
            Some(Ok(mut locked)) => locked.load().or_else(|_| Ok(found.into_record())),
            _ => Ok(found.into_record()),
        }
    }

    fn lock(&self, name: &RecordName, within: Duration) -> Result<Box<dyn LockedRecord>, Error> {
        name.check()?;
        check("the folder of the store", &self.folder)?;
        let deadline = Deadline::after(within);
        let file_name = file_name(name);
        loop {
            let folder = open(&self.folder).map_err(|e| failed("use", &self.folder, &e))?;
            if let Some(held) = hold(&self.folder, &folder, &file_name, &deadline, within)? {
                return Ok(Box::new(LockedFile::new(
                    held,
                    folder,
                    self.folder.clone(),
                    name.clone(),
                    file_name,
                )));
            }
            if deadline.has_passed() {
                let text = format!(
                    "could not lock {} within {} s: it is removed or replaced again and again; find out who does \
                     that, or use a folder on a local disk",
                    shown(&self.path(name)),
                    Seconds(within)
                );
                return Err(Error::new(ErrorKind::Timeout, text));
            }
            let _ = deadline.sleep(LONGEST_PAUSE.min(deadline.remaining()) * 9 / 10);
        }
    }

    fn can_do_without(&self, error: &Error) -> bool {
        // Only for an error of the system. The refusal of a folder that others can write to is none.
        let is_of_system = error.io_cause().is_some_and(|cause| {
            cause.raw_os_error().is_some() || cause.kind() == io::ErrorKind::NotADirectory
        });
        self.is_default && error.kind() == ErrorKind::Store && is_of_system
    }
}

/// The default store where there is no home folder.
struct NoStore(Error);

impl TokenStore for NoStore {
    fn load(&self, _: &RecordName) -> Result<Option<Record>, Error> {
        Err(self.0.clone())
    }

    fn lock(&self, _: &RecordName, _: Duration) -> Result<Box<dyn LockedRecord>, Error> {
        Err(self.0.clone())
    }

    fn can_do_without(&self, _: &Error) -> bool {
        true
    }
}

/// Refuses a path that names no folder, and one that only a shell expands.
fn check(what: &str, folder: &Path) -> Result<(), Error> {
    let why = match folder.components().next() {
        None => "is empty: name one, as in /var/lib/my-job",
        Some(first) if first.as_os_str() == "~" => {
            "begins with `~`, which is not expanded: write the whole path"
        }
        Some(first) if first.as_os_str().as_encoded_bytes().starts_with(b"$") => {
            "begins with a variable, which is not expanded: write the whole path"
        }
        // For example, from a file of variables with the line ends of Windows, or with a space after `=`.
        Some(_)
            if matches!(
                folder.as_os_str().as_encoded_bytes(),
                [b' ' | b'\t' | b'\r' | b'\n', ..] | [.., b' ' | b'\t' | b'\r' | b'\n']
            ) =>
        {
            "begins or ends with white space (space, tab, CR or LF): remove it"
        }
        Some(_) => return Ok(()),
    };
    Err(Error::invalid(format!("{what} {why}")))
}

/// Returns the scheme if the text is a URL (RFC 3986 3.1), or starts like one that names a database or server.
fn url_scheme(text: &str) -> Option<String> {
    const OTHERS: [&str; 27] = [
        "memory",
        "keyring",
        "keychain",
        "env",
        "vault",
        "mailto",
        "redis",
        "rediss",
        "redis+unix",
        "redis+tls",
        "redis-socket",
        "redis+socket",
        "valkey",
        "valkeys",
        "unix",
        "tcp",
        "memcache",
        "memcached",
        "sqlite",
        "sqlite3",
        "mysql",
        "postgres",
        "postgresql",
        "mongodb",
        "http",
        "https",
        "file",
    ];
    let (scheme, rest) = unquoted(text).split_once(':')?;
    let scheme = scheme.to_ascii_lowercase();
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let authority = rest.split('/').next().unwrap_or_default();
    // A single letter is a drive of Windows. A URL may hold another URL, and `user:password@host` may follow the scheme without `//`.
    let is_url = is_scheme
        && (scheme.len() > 1 || !rest.starts_with(['/', '\\']))
        && (rest.starts_with("//") || rest.contains("://") || authority.contains('@'));
    (is_url || OTHERS.contains(&&*scheme)).then_some(scheme)
}

/// Whether the text is a host with a port, or a path on another machine as `scp` and NFS write it.
fn is_address(text: &str) -> bool {
    let text = unquoted(text);
    let Some((host, port)) = text.split('/').next().and_then(|first| first.rsplit_once(':')) else {
        return text.starts_with(":memory:");
    };
    let is_host = host.starts_with('[') || host.contains('.') || host.eq_ignore_ascii_case("localhost");
    let is_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let is_named = is_host || host.len() > 1 && host.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_remote = is_named && port.is_empty() && text.contains(":/") || host.contains('@');
    is_host && is_port || is_remote || text.starts_with(":memory:")
}

/// Returns the text without white space and quotation marks before it, as files of variables may leave them.
fn unquoted(text: &str) -> &str {
    text.trim_start_matches(|c: char| c.is_whitespace() || c == '"' || c == '\'')
}
