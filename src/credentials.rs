//! Where app credentials come from: arguments, environment, or a file.

use std::env::{self, VarError};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::clock::unix_seconds;
use crate::file::{self, NewFile};
use crate::wire::{AppCredentialsAnswer, object};
use crate::{Clock, Error, Secret, check};

/// A client id and secret (RFC 6749 2.3.1).
#[derive(Clone, Debug)]
pub struct ClientCredentials {
    client_id: String,
    client_secret: Secret,
}

impl ClientCredentials {
    /// Checks both.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if one is empty, longer than 16 KiB or holds a control
    /// character.
    pub fn new(client_id: &str, client_secret: impl Into<Secret>) -> Result<Self, Error> {
        let client_secret = client_secret.into();
        check::value("client id", client_id.as_bytes())?;
        check::value("client secret", client_secret.expose())?;
        Ok(Self { client_id: client_id.to_owned(), client_secret })
    }

    /// The client id. Not a secret.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The client secret.
    pub fn client_secret(&self) -> &Secret {
        &self.client_secret
    }

    /// From two environment variables; `None` if neither is set. An empty variable counts as unset.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if only one is set, or as in [`new`](Self::new).
    pub fn from_env(id: &str, secret: &str) -> Result<Option<Self>, Error> {
        let lone = |set: &str, unset: &str| {
            Err(Error::invalid(format!(
                "{set} is set, but {unset} is not: set both, or neither to use the file"
            )))
        };
        match (env_var(id)?, env_var(secret)?.map(Secret::from)) {
            (None, None) => Ok(None),
            (Some(_), None) => lone(id, secret),
            (None, Some(_)) => lone(secret, id),
            (Some(client_id), Some(client_secret)) => {
                check::value(id, client_id.as_bytes())?;
                check::value(secret, client_secret.expose())?;
                Self::new(&client_id, client_secret).map(Some)
            }
        }
    }

    /// From JSON with `client_id` and `client_secret`, whatever else is in it.
    pub(crate) fn from_json(json: &[u8]) -> Option<Self> {
        let answer: AppCredentialsAnswer = object(json)?;
        Self::new(&answer.client_id, answer.client_secret.0).ok()
    }
}

// What follows the file's name in the names of what is kept beside it; the Unix time comes behind it.
const BACKUP: &str = ".backup-";
const UNREADABLE: &str = ".unreadable-";
const UNSAVED: &str = ".unsaved-";

/// A file with app credentials: the JSON that the server answered with, byte for byte.
///
/// ```no_run
/// let file = keyfob::CredentialsFile::new("/etc/my-job/app_credentials.json");
/// let credentials = file.load()?;
/// # Ok::<(), keyfob::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct CredentialsFile {
    path: PathBuf,
}

impl CredentialsFile {
    /// Names the file. Nothing is read or written yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        // Without a slash at its end, which would make it a folder.
        Self { path: path.into().components().collect() }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it; `None` if there is none. A symlink is followed: containers mount secrets as such.
    ///
    /// # Errors
    /// [`Store`](crate::ErrorKind::Store) if it cannot be read, is no regular file, is larger than 1 MiB or does not
    /// hold a client id and secret.
    pub fn load(&self) -> Result<Option<ClientCredentials>, Error> {
        let shown = file::shown(&self.path);
        let content = file::read(&self.path).map_err(|e| {
            Error::store(format!("could not read the app credentials in {shown}: {}", file::why(&e)), &e)
        })?;
        let Some(content) = content else { return Ok(None) };
        match ClientCredentials::from_json(content.expose()) {
            Some(credentials) => Ok(Some(credentials)),
            None => Err(Error::new(
                crate::ErrorKind::Store,
                format!(
                    "the app credentials in {shown} cannot be used: the file is not JSON with a client_id and a \
                     client_secret; restore it, or move it away and log in again"
                ),
            )),
        }
    }

    /// What is unsafe about the file, for telling the user: its mode lets others read it.
    pub fn warning(&self) -> Option<String> {
        file::is_open_to_others(&self.path).then(|| {
            let shown = file::shown(&self.path);
            format!("{shown} can be read by others than its owner: run chmod 600 on it")
        })
    }

    /// What lies beside it and may hold app credentials too: what was replaced, what could not be read or saved, and what
    /// a process that was killed has left. Sorted; none if the folder cannot be read.
    pub fn copies(&self) -> Vec<PathBuf> {
        let Some(name) = self.path.file_name() else { return Vec::new() };
        let is_copy = |entry: &OsStr| {
            let kept = entry.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
            kept.is_some_and(|end| {
                [BACKUP, UNREADABLE, UNSAVED].iter().any(|what| end.starts_with(what.as_bytes()))
            }) || file::is_temporary(entry, name)
        };
        let entries = fs::read_dir(file::folder_of(&self.path)).into_iter().flatten().flatten();
        let mut copies: Vec<_> =
            entries.filter(|entry| is_copy(&entry.file_name())).map(|entry| entry.path()).collect();
        copies.sort();
        copies
    }

    /// Proves that the file can be written, before a server is asked for what it gives only once.
    ///
    /// Creates the folder (mode 0700) and a temporary file (0600) in it, with room for the content. If the file
    /// exists already it is left alone, unless `overwrite`: then it is kept beside the new one, its name followed by
    /// `.backup-` and the Unix time.
    ///
    /// # Errors
    /// [`Store`](crate::ErrorKind::Store) if it exists and `overwrite` is false, if the file or its folder is a
    /// symlink, or if it cannot be written.
    pub fn prepare(&self, overwrite: bool) -> Result<PreparedFile, Error> {
        let shown = file::shown(&self.path);
        if !overwrite && self.path.symlink_metadata().is_ok() {
            return Err(Error::new(
                crate::ErrorKind::Store,
                format!(
                    "there are app credentials in {shown} already: use them, or say that they are to be replaced \
                     (a backup is kept)"
                ),
            ));
        }
        let new = NewFile::create(&self.path).map_err(|e| {
            let why = match (e.kind(), e.raw_os_error()) {
                (io::ErrorKind::InvalidFilename, None) => {
                    "the file or its folder is a symbolic link".to_owned()
                }
                _ => file::why(&e),
            };
            Error::store(format!("could not write {shown}, so nothing was asked of the server: {why}"), &e)
        })?;
        Ok(PreparedFile { new, overwrite })
    }
}

/// A [`CredentialsFile`] that has been proved writable. Dropped unused, it leaves nothing behind.
#[derive(Debug)]
pub struct PreparedFile {
    new: NewFile,
    overwrite: bool,
}

impl PreparedFile {
    /// Writes the answer, byte for byte, through to the disk.
    ///
    /// What does not hold a client id and secret is kept beside the file, its name followed by `.unreadable-` and the
    /// Unix time, and the file is left as it was. What could not be written to its end, or could not get its name, is kept
    /// likewise under `.unsaved-`, as far as it goes.
    ///
    /// # Errors
    /// What the operating system says. `AlreadyExists` if someone else has made the file meanwhile.
    pub fn save(mut self, answer: &[u8]) -> io::Result<()> {
        let suffix = |what| format!("{what}{}", unix_seconds(Clock::system().now()));
        if let Err(error) = self.new.write(answer) {
            let _ = self.new.keep_beside(&suffix(UNSAVED));
            return Err(error);
        }
        if ClientCredentials::from_json(answer).is_none() {
            return self.new.keep_beside(&suffix(UNREADABLE));
        }
        let target = self.new.target();
        let published = if !self.overwrite {
            self.new.publish()
        } else if target.exists() {
            file::keep_beside(target, &suffix(BACKUP), target).and_then(|()| self.new.replace())
        } else {
            self.new.replace()
        };
        published.inspect_err(|_| {
            let _ = self.new.keep_beside(&suffix(UNSAVED));
        })
    }
}

/// What says what a variable is, `None` if it is not set.
pub(crate) type Variables<'a> = dyn Fn(&str) -> Result<Option<String>, Error> + 'a;

/// What sets what a variable says.
pub(crate) type Setter<T> = fn(T, &str) -> Result<T, Error>;

/// Sets what the variables say, in the order of the setters.
pub(crate) fn set_each<T>(
    subject: T,
    variable: &Variables<'_>,
    setters: &[(&str, Setter<T>)],
) -> Result<T, Error> {
    setters.iter().try_fold(subject, |subject, (name, set)| match variable(name)? {
        Some(value) => set(subject, &value),
        None => Ok(subject),
    })
}

/// A variable of the environment; `None` if it is unset or empty. Put it into a [`Secret`] if it is one, so that it is wiped.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is not UTF-8.
pub fn env_var(name: &str) -> Result<Option<String>, Error> {
    match env::var(name) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => {
            Err(Error::invalid(format!("the environment variable {name} is not UTF-8")))
        }
    }
}
