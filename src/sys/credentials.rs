//! App credentials: given, from the environment, or from a file.

use std::env::{self, VarError};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::check;
use crate::clock::Clock;
use crate::clock::unix_seconds;
use crate::encode::json::{object, other_encoding, unescape};
use crate::error::Error;
use crate::secret::Secret;
use crate::secret::{Known, on_wiped_stack};
use crate::sys::file;
use crate::sys::new_file::{self, NewFile};
use crate::text::{shown, sorted};

/// A client id and secret (RFC 6749 2.3.1).
#[derive(Clone, Debug)]
pub struct AppCredentials {
    client_id: String,
    client_secret: Known,
}

impl AppCredentials {
    /// Makes credentials from a client id and secret.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if one is empty, longer than 16 KiB or holds a control
    /// character.
    pub fn new(client_id: &str, client_secret: impl Into<Secret>) -> Result<Self, Error> {
        let client_secret = client_secret.into();
        check::value("client id", client_id.as_bytes())?;
        check::value("client secret", client_secret.expose())?;
        Ok(Self { client_id: client_id.to_owned(), client_secret: Known::new(client_secret) })
    }

    /// Returns the client id. Not a secret.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Returns the client secret.
    pub fn client_secret(&self) -> &Secret {
        &self.client_secret
    }

    /// Reads two environment variables. Returns `None` if neither is set. An empty variable counts as unset.
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

    /// Parses JSON with `client_id` and `client_secret`, and ignores other members. The error is what is wrong with the two, or `None` if
    /// one is missing.
    pub(crate) fn from_json(json: &[u8]) -> Result<Self, Option<Error>> {
        on_wiped_stack(|| {
            let [id, secret] = object(json, ["client_id", "client_secret"]).ok_or(None)?;
            let id = id.and_then(unescape).ok_or(None)?;
            let secret = secret.and_then(unescape).ok_or(None)?;
            Self::new(id.expose_str().ok_or(None)?, secret).map_err(Some)
        })
    }
}

// The suffixes of files that are kept beside the file. The Unix time follows them.
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
        // Drops a slash at the end, which would make it a folder.
        Self { path: path.into().components().collect() }
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file. Returns `None` if there is none. Follows a symlink, because containers mount secrets as symlinks.
    ///
    /// # Errors
    /// [`Store`](crate::ErrorKind::Store) if it cannot be read, is no regular file, is larger than 1 MiB or does not
    /// hold a client id and secret.
    pub fn load(&self) -> Result<Option<AppCredentials>, Error> {
        let shown = shown(&self.path);
        let content = file::read(&self.path).map_err(|e| {
            Error::store(format!("could not read the app credentials in {shown}: {}", file::why(&e)), &e)
        })?;
        let Some(content) = content else { return Ok(None) };
        match AppCredentials::from_json(content.expose()) {
            Ok(credentials) => Ok(Some(credentials)),
            Err(why) => {
                let why = match (why, other_encoding(content.expose())) {
                    (Some(why), _) => why.to_string(),
                    (None, Some(encoding)) => format!("the file is {encoding} and should be UTF-8"),
                    (None, None) => "the file is not JSON with a client_id and a client_secret".to_owned(),
                };
                Err(Error::new(
                    crate::ErrorKind::Store,
                    format!(
                        "the app credentials in {shown} cannot be used: {why}; restore it, or move it away and log in again"
                    ),
                ))
            }
        }
    }

    /// Returns a warning for the user if the mode of the file lets others read it.
    pub fn warning(&self) -> Option<String> {
        let advice = file::open_to_others(&self.path)?;
        Some(format!("{} can be read by others than its owner: {advice}", shown(&self.path)))
    }

    /// Returns the files beside it that may hold app credentials too: replaced ones, those that could not be read or saved, and those that
    /// a killed process has left. Sorted. Empty if the folder cannot be read.
    pub fn copies(&self) -> Vec<PathBuf> {
        self.beside(&[BACKUP, UNREADABLE, UNSAVED], true)
    }

    /// Returns those of the [copies](Self::copies) that a login could not read or save. Sorted.
    pub fn unsaved(&self) -> Vec<PathBuf> {
        self.beside(&[UNREADABLE, UNSAVED], false)
    }

    fn beside(&self, suffixes: &[&str], temporary: bool) -> Vec<PathBuf> {
        let Some(name) = self.path.file_name() else { return Vec::new() };
        let is_copy = |entry: &OsStr| {
            let kept = entry.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
            kept.is_some_and(|end| suffixes.iter().any(|what| end.starts_with(what.as_bytes())))
                || temporary && new_file::is_temporary(entry, name)
        };
        let entries = fs::read_dir(new_file::folder_of(&self.path)).into_iter().flatten().flatten();
        sorted(entries.filter(|entry| is_copy(&entry.file_name())).map(|entry| entry.path()))
    }

    /// Proves that the file can be written. Call it before a server is asked for credentials that it gives only once.
    ///
    /// Creates the folder (mode 0700) and a temporary file (0600) in it, with space for the content. An existing file is left alone. If
    /// `overwrite` is true, [`save`](PreparedFile::save) keeps it beside the new one, under its name followed by `.backup-` and the Unix
    /// time.
    ///
    /// # Errors
    /// [`Store`](crate::ErrorKind::Store) if it exists and `overwrite` is false, if the file or its folder is a
    /// symlink, or if it cannot be written.
    pub fn prepare(&self, overwrite: bool) -> Result<PreparedFile, Error> {
        let shown = shown(&self.path);
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

/// A [`CredentialsFile`] that has been proved writable. If it is dropped unused, nothing is left behind.
#[derive(Debug)]
pub struct PreparedFile {
    new: NewFile,
    overwrite: bool,
}

impl PreparedFile {
    /// Writes the answer, byte for byte, and syncs it to the disk.
    ///
    /// An answer without a client id and secret is kept beside the file, under its name followed by `.unreadable-` and the Unix time. The
    /// file itself is left as it was. An answer that could not be written whole, or could not be given its name, is kept in the same way
    /// with `.unsaved-`.
    ///
    /// # Errors
    /// The errors of the operating system. `AlreadyExists` if another process has made the file meanwhile.
    pub fn save(self, answer: &[u8]) -> io::Result<()> {
        self.keep(answer).map(drop).map_err(|(error, _)| error)
    }

    /// Saves as [`save`](Self::save) does. Also returns the path of the answer if it is not in the file. After an error, the file at that
    /// path may hold only a part of it.
    pub(crate) fn keep(mut self, answer: &[u8]) -> Result<Option<PathBuf>, (io::Error, Option<PathBuf>)> {
        let suffix = |what| format!("{what}{}", unix_seconds(Clock::system().now()));
        let unsaved = |new: &NewFile, error| (error, new.keep_beside(&suffix(UNSAVED)).ok());
        if let Err(error) = self.new.write(answer) {
            return Err(unsaved(&self.new, error));
        }
        if AppCredentials::from_json(answer).is_err() {
            return self.new.keep_beside(&suffix(UNREADABLE)).map(Some).map_err(|error| (error, None));
        }
        let target = self.new.target();
        let published = if !self.overwrite {
            self.new.publish()
        } else if target.exists() {
            new_file::keep_beside(target, &suffix(BACKUP), target).and_then(|_| self.new.replace())
        } else {
            self.new.replace()
        };
        published.map(|()| None).map_err(|error| unsaved(&self.new, error))
    }
}

/// Returns a variable of the environment, or `None` if it is unset or empty. Put a secret into a [`Secret`], so that it is wiped.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is not UTF-8, or begins with a byte order mark.
pub fn env_var(name: &str) -> Result<Option<String>, Error> {
    match env::var(name) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) if value.starts_with('\u{feff}') => Err(Error::invalid(format!(
            "the environment variable {name} begins with a byte order mark (U+FEFF), which cannot be seen: set it anew"
        ))),
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => {
            Err(Error::invalid(format!("the environment variable {name} is not UTF-8")))
        }
    }
}
