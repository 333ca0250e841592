//! Tokens that outlive the process: [`TokenStore`], and [`FileStore`] with a file for each record.

use std::fmt::Write as _;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fmt, io};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::clock::{Deadline, from_unix_seconds, unix_seconds};
use crate::credentials::env_var;
use crate::endpoint::Endpoint;
use crate::file::{self, NewFile};
use crate::wire::{Text, object};
use crate::{Error, ErrorKind, Secret, Token, check};

/// What a record is called: tokens of one client, at one server, for one purpose.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RecordName {
    service: String,
    token_url: String,
    client_id: String,
    profile: String,
}

/// Of the token URL only where it leads to.
impl fmt::Debug for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordName")
            .field("service", &self.service)
            .field("token_url", &Endpoint::new("", &self.token_url).ok())
            .field("client_id", &self.client_id)
            .field("profile", &self.profile)
            .finish()
    }
}

impl RecordName {
    /// `service` is a short name, such as `spatiafi`; the profile is `default`.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if one is empty, longer than 16 KiB or holds a control character, or if
    /// the service is not made of `a`–`z`, `0`–`9` and `-`.
    pub fn new(service: &str, token_url: &str, client_id: &str) -> Result<Self, Error> {
        check::value("service", service.as_bytes())?;
        check::value("token URL", token_url.as_bytes())?;
        check::value("client id", client_id.as_bytes())?;
        if !service.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(Error::invalid("the service is not made of a–z, 0–9 and '-'"));
        }
        Ok(Self {
            service: service.to_owned(),
            token_url: token_url.to_owned(),
            client_id: client_id.to_owned(),
            profile: "default".to_owned(),
        })
    }

    /// With parts that each were checked where they came in.
    pub(crate) fn of_checked(service: &str, token_url: String, client_id: &str, profile: &str) -> Self {
        let [service, client_id, profile] = [service, client_id, profile].map(str::to_owned);
        Self { service, token_url, client_id, profile }
    }

    /// Keeps several logins of one client apart. Default: `default`.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is empty, longer than 16 KiB or holds a control character.
    pub fn with_profile(mut self, profile: &str) -> Result<Self, Error> {
        check::value("profile", profile.as_bytes())?;
        profile.clone_into(&mut self.profile);
        Ok(self)
    }

    /// A file name: the service for people, and a hash over all parts.
    fn file_name(&self) -> String {
        let mut hash = Sha256::new();
        for part in [&self.service, &self.token_url, &self.client_id, &self.profile] {
            // The length first, so that no two names run together into the same bytes.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        let hash = hash.finalize();
        let mut name = format!("{}-", self.service);
        for byte in &hash[..16] {
            let _ = write!(name, "{byte:02x}");
        }
        name + ".json"
    }
}

/// What is kept: the tokens, and how far the local clock was off.
#[derive(Clone, Debug)]
pub struct Record {
    token: Token,
    clock_offset: i64,
}

impl Record {
    /// `clock_offset` is [`Clock::offset`](crate::Clock::offset) when the token came.
    pub fn new(token: Token, clock_offset: i64) -> Self {
        Self { token, clock_offset }
    }

    /// The tokens.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// Seconds by which the local clock was behind the server's.
    pub fn clock_offset(&self) -> i64 {
        self.clock_offset
    }
}

/// Where tokens are kept between one run and the next. May be used from any thread and by many processes.
pub trait TokenStore: Send + Sync {
    /// The record as it is now, without waiting for anyone.
    ///
    /// What cannot be read counts as absent, and is put aside.
    ///
    /// # Errors
    /// [`Store`](ErrorKind::Store) if the store cannot be reached or trusted, or if a newer keyfob wrote the record.
    fn load(&self, name: &RecordName) -> Result<Option<Record>, Error>;

    /// Waits until no other thread or process holds the record, no longer than `within`. Dropping the result lets go,
    /// and so does the end of the process.
    ///
    /// # Errors
    /// [`Timeout`](ErrorKind::Timeout); [`Store`](ErrorKind::Store) where locks do not work, or if the store cannot be reached or
    /// trusted.
    fn lock(&self, name: &RecordName, within: Duration) -> Result<Box<dyn LockedRecord>, Error>;
}

/// A record that nobody else holds: only so can it be changed.
pub trait LockedRecord: Send {
    /// The record. As [`TokenStore::load`].
    ///
    /// # Errors
    /// As [`TokenStore::load`].
    fn load(&mut self) -> Result<Option<Record>, Error>;

    /// Keeps the record: once this returns, it survives a power cut.
    ///
    /// # Errors
    /// [`Store`](ErrorKind::Store); then the record is what it was before, or what it should be, and never neither.
    fn save(&mut self, record: &Record) -> Result<(), Error>;

    /// Removes the record, if there is one, and what was put aside of it.
    ///
    /// # Errors
    /// [`Store`](ErrorKind::Store).
    fn remove(&mut self) -> Result<(), Error>;
}

/// A file for each record, in a folder of the user's own.
///
/// The folder is made with mode 0700 and the files with 0600; symbolic links are refused, and a folder that others can write to.
/// A record is replaced by writing a temporary file, syncing it, renaming it and syncing the folder, all under a lock that the
/// kernel frees when a process dies. The lock's file stays. A record that cannot be read is kept beside it, its name followed by
/// `.unreadable`.
///
/// ```no_run
/// let store = keyfob::FileStore::new("/var/lib/my-job");
/// ```
#[derive(Clone, Debug)]
pub struct FileStore {
    folder: PathBuf,
}

impl FileStore {
    /// In this folder, which is made when it is needed.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        // Without a `/` at its end, behind which a symbolic link would not be seen.
        Self { folder: folder.into().components().collect() }
    }

    /// In `KEYFOB_STORE`, else in the user's own folder: `$XDG_STATE_HOME/keyfob` or `~/.local/state/keyfob` on Linux,
    /// `~/Library/Application Support/keyfob` on macOS, `%LOCALAPPDATA%\keyfob` on Windows.
    ///
    /// # Errors
    /// [`Store`](ErrorKind::Store) if the environment names no home folder; [`InvalidInput`](ErrorKind::InvalidInput) if
    /// `KEYFOB_STORE` is not UTF-8.
    pub fn from_env() -> Result<Self, Error> {
        if let Some(folder) = env_var("KEYFOB_STORE")? {
            return Ok(Self::new(folder));
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
        folder.map(|folder| Self::new(folder.join("keyfob"))).ok_or_else(|| {
            Error::new(
                ErrorKind::Store,
                "there is no home folder to keep tokens in: set KEYFOB_STORE or HOME",
            )
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file of a record, which may not exist.
    pub fn path(&self, name: &RecordName) -> PathBuf {
        self.folder.join(name.file_name())
    }

    /// Where a record is kept that could not be read. It may hold tokens that live.
    pub fn unreadable_path(&self, name: &RecordName) -> PathBuf {
        unreadable_path(&self.path(name))
    }

    /// Where a record is written before it gets its name: only there if a process was killed, or is at it.
    pub fn temporary_path(&self, name: &RecordName) -> PathBuf {
        temp_path(&self.path(name))
    }
}

impl TokenStore for FileStore {
    fn load(&self, name: &RecordName) -> Result<Option<Record>, Error> {
        let path = self.path(name);
        let found = match file::trust_folder(&self.folder) {
            Ok(()) => read(&path, name)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed("read", &self.folder, &e)),
        };
        // A process was killed while it wrote, or the file is broken: cleaned up if nobody is at it just now.
        let leftover = matches!(found, Found::Unreadable) || fs::symlink_metadata(temp_path(&path)).is_ok();
        match leftover.then(|| self.lock(name, Duration::ZERO)) {
            // Where it cannot be cleaned up, in a folder that is only read, what was found counts all the same.
            Some(Ok(mut locked)) => locked.load().or_else(|_| Ok(found.into_record())),
            _ => Ok(found.into_record()),
        }
    }

    fn lock(&self, name: &RecordName, within: Duration) -> Result<Box<dyn LockedRecord>, Error> {
        const LONGEST_PAUSE: Duration = Duration::from_millis(5);
        let deadline = Deadline::after(within);
        let path = self.path(name);
        let lock_path = file::with_suffix(&path, ".lock");
        file::make_folder(&self.folder)
            .and_then(|()| file::trust_folder(&self.folder))
            .map_err(|e| failed("use", &self.folder, &e))?;
        let lock = file::open_lock(&lock_path).map_err(|e| failed("open", &lock_path, &e))?;
        let mut pause = Duration::from_micros(500);
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Box::new(Locked { lock, path, name: name.clone() })),
                // Interrupted by a signal: tried again, as when it is held.
                Err(TryLockError::Error(e)) if e.kind() != io::ErrorKind::Interrupted => {
                    let text = format!(
                        "could not lock {}: locks do not work there ({}), so tokens could be lost; use a folder on a \
                         local disk",
                        file::shown(&lock_path),
                        file::why(&e)
                    );
                    return Err(Error::store(text, &e));
                }
                Err(_) if deadline.has_passed() => {
                    let text = format!(
                        "could not lock {} within {} s: another process holds it; try again",
                        file::shown(&lock_path),
                        within.as_secs_f32()
                    );
                    return Err(Error::new(ErrorKind::Timeout, text));
                }
                Err(_) => {
                    let _ = deadline.sleep(pause.min(deadline.remaining()).mul_f64(0.9));
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

struct Locked {
    lock: File,
    path: PathBuf,
    name: RecordName,
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Closing is not enough: a process that another thread is just starting has a copy of the descriptor.
        let _ = self.lock.unlock();
    }
}

impl LockedRecord for Locked {
    fn load(&mut self) -> Result<Option<Record>, Error> {
        file::remove(&temp_path(&self.path))
            .map_err(|e| failed("remove what was left beside", &self.path, &e))?;
        let found = read(&self.path, &self.name)?;
        if matches!(found, Found::Unreadable) {
            fs::rename(&self.path, unreadable_path(&self.path))
                .map_err(|e| failed("put aside", &self.path, &e))?;
        }
        Ok(found.into_record())
    }

    fn save(&mut self, record: &Record) -> Result<(), Error> {
        if record.token.refresh_token().is_some_and(|token| token.expose_str().is_none()) {
            return Err(Error::new(
                ErrorKind::Store,
                "could not save the tokens: the refresh token is not UTF-8",
            ));
        }
        let content = encode(&self.name, record);
        let temp = temp_path(&self.path);
        file::remove(&temp)
            .and_then(|()| NewFile::create_at(&self.path, temp))
            .and_then(|mut new| {
                new.write(content.expose())?;
                new.replace()
            })
            .map_err(|e| failed("save the tokens in", &self.path, &e))
    }

    fn remove(&mut self) -> Result<(), Error> {
        file::remove(&temp_path(&self.path))
            .and_then(|()| file::remove(&self.path))
            .and_then(|()| file::remove(&unreadable_path(&self.path)))
            .and_then(|()| file::sync_folder(&self.path))
            .map_err(|e| failed("remove", &self.path, &e))
    }
}

/// Written under the lock only, so that one name is enough, and what a killed process leaves is found.
fn temp_path(path: &Path) -> PathBuf {
    file::with_suffix(path, ".tmp")
}

fn unreadable_path(path: &Path) -> PathBuf {
    file::with_suffix(path, ".unreadable")
}

fn failed(doing: &str, path: &Path, cause: &io::Error) -> Error {
    let why = match (cause.kind(), cause.raw_os_error()) {
        (
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied | io::ErrorKind::StorageFull,
            Some(_),
        ) => format!("{}; name a folder that can be written, with KEYFOB_STORE", cause.kind()),
        _ => file::why(cause),
    };
    Error::store(format!("could not {doing} {}: {why}", file::shown(path)), cause)
}

pub(crate) enum Found {
    Nothing,
    Unreadable,
    Record(Box<Record>),
}

impl Found {
    pub(crate) fn into_record(self) -> Option<Record> {
        match self {
            Self::Record(record) => Some(*record),
            Self::Nothing | Self::Unreadable => None,
        }
    }
}

fn read(path: &Path, name: &RecordName) -> Result<Found, Error> {
    match file::read_own(path) {
        Ok(None) => Ok(Found::Nothing),
        Ok(Some(content)) => decode(&content, name, path),
        Err(e) if e.kind() == io::ErrorKind::FileTooLarge => Ok(Found::Unreadable),
        Err(e) => Err(failed("read", path, &e)),
    }
}

/// Version 1 of the format. It is read for ever; what changes its meaning gets a new number.
const VERSION: u32 = 1;

#[derive(serde::Serialize)]
struct Written<'a> {
    version: u32,
    service: &'a str,
    token_url: &'a str,
    client_id: &'a str,
    profile: &'a str,
    access_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    /// Unix seconds, by the server's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    obtained_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    clock_offset: i64,
}

#[derive(Deserialize)]
struct Read {
    version: u32,
    service: String,
    token_url: String,
    client_id: String,
    profile: String,
    access_token: Text,
    refresh_token: Option<Text>,
    expires_at: Option<i64>,
    obtained_at: i64,
    scope: Option<String>,
    clock_offset: i64,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

pub(crate) fn encode(name: &RecordName, record: &Record) -> Secret {
    let token = &record.token;
    let written = Written {
        version: VERSION,
        service: &name.service,
        token_url: &name.token_url,
        client_id: &name.client_id,
        profile: &name.profile,
        access_token: token.access_token().expose_str().unwrap_or_default(),
        refresh_token: token.refresh_token().and_then(Secret::expose_str),
        expires_at: token.expires_at().map(unix_seconds),
        obtained_at: unix_seconds(token.obtained_at()),
        scope: token.scope(),
        clock_offset: record.clock_offset,
    };
    let mut content = Secret::with_capacity(4096);
    serde_json::to_writer(Appending(&mut content), &written).expect("text and numbers are always JSON");
    content.extend(b"\n");
    content
}

pub(crate) fn decode(content: &Secret, name: &RecordName, path: &Path) -> Result<Found, Error> {
    let version = object(content.expose()).map_or(0, |Version { version }| version);
    if version > VERSION {
        return Err(Error::new(
            ErrorKind::Store,
            format!(
                "{} was written by a newer keyfob (version {version}): update this program",
                file::shown(path)
            ),
        ));
    }
    let record = object::<Read>(content.expose()).and_then(|read| {
        let same = read.version == VERSION
            && read.service == name.service
            && read.token_url == name.token_url
            && read.client_id == name.client_id
            && read.profile == name.profile;
        let mut token =
            Token::new(read.access_token.0, from_unix_seconds(read.obtained_at)).ok().filter(|_| same)?;
        if let Some(at) = read.expires_at {
            token = token.with_expires_at(from_unix_seconds(at));
        }
        if let Some(Text(refresh_token)) = read.refresh_token {
            token = token.with_refresh_token(refresh_token);
        }
        if let Some(scope) = read.scope {
            token = token.with_scope(scope);
        }
        Some(Record { token, clock_offset: read.clock_offset })
    });
    Ok(record.map_or(Found::Unreadable, |record| Found::Record(Box::new(record))))
}

struct Appending<'a>(&'a mut Secret);

impl io::Write for Appending<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
