//! Finds and reads secrets: from the variable X, from `X_FILE`, `X_FD` or `X_CMD`, from systemd's credentials, or from what the
//! configuration file names.

#[cfg(unix)]
mod command;
mod descriptors;

use std::any::Any;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fmt};

use keyfob::{ErrorKind, Secret, env_var};

use crate::catalog::Catalog;
use crate::clock::Deadline;
#[cfg(unix)]
use crate::clock::is_readable;
use crate::problem::{Problem, TILDE, has_tilde, shown, why};
use crate::text::{self, Part, Unfit};

/// What reading a secret needs from the program.
pub trait Host: Sync {
    /// Shows a warning to the person.
    fn warn(&self, text: &str);

    /// Returns why no command may be run for a secret, and what to do. `None` if a command may be run.
    fn refuses_commands(&self) -> Option<&'static str> {
        Some("this program runs none: name a file")
    }

    /// Whether this program may close its descriptors that lead to a secret, before it starts another one. Default: no,
    /// because a library does not know its program.
    fn owns_descriptors(&self) -> bool {
        false
    }

    /// While the returned value exists, signals that end the program are only noted, so that a command can be ended first. Default: no
    /// signal is held.
    ///
    /// # Errors
    /// Those of the system.
    fn hold_signals(&self) -> io::Result<Box<dyn Any>> {
        Ok(Box::new(()))
    }

    /// The signal that was noted, if it should end the program. Default: none.
    fn signal(&self) -> Option<i32> {
        None
    }
}

/// Finds and reads the secrets of all services, and keeps them from other programs.
#[derive(Clone, Copy)]
pub struct Secrets<'a> {
    catalog: &'a Catalog,
    host: &'a dyn Host,
}

/// A secret, by its variable and by what the configuration file says about it.
#[derive(Clone, Debug)]
pub struct SecretName {
    variable: String,
    /// The place that a program has named. It has precedence over the environment.
    option: Option<Source>,
    in_file: Option<Source>,
}

impl SecretName {
    /// A secret of the environment alone.
    pub fn of_variable(variable: impl Into<String>) -> Self {
        Self { variable: variable.into(), option: None, in_file: None }
    }

    pub(crate) fn with_option(self, option: Source) -> Self {
        Self { option: Some(option), ..self }
    }

    pub(crate) fn with_file(self, in_file: Source) -> Self {
        Self { in_file: Some(in_file), ..self }
    }

    /// The variable, without the endings `_FILE`, `_FD` and `_CMD`.
    pub fn variable(&self) -> &str {
        &self.variable
    }
}

const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";
const SUFFIXES: [&str; 3] = ["_FILE", "_FD", "_CMD"];

/// The longest secret that is accepted, in bytes.
const MAX_LEN: u64 = 64 * 1024;

/// How long a command, a pipe or a terminal may take to give a secret.
const TIME: Duration = Duration::from_secs(30);

/// How often a wait checks whether to give up.
#[cfg(unix)]
const LOOK: Duration = Duration::from_millis(20);

/// The place that a secret would be read from. Shown without the secret.
#[derive(Clone, Debug)]
pub struct Source {
    name: String,
    place: Place,
    /// The file, line and key of the configuration that names the place. `None` for a place that the environment names.
    configured: Option<String>,
}

/// Where a secret is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Place {
    /// In an option of the program.
    Option(Secret),
    /// In the variable itself.
    Variable,
    /// In a file of its own.
    File(PathBuf),
    /// Behind an open descriptor, by its number as it was set.
    Descriptor(String),
    /// In the output of a command.
    Command(String),
    /// In a credential of systemd.
    Credential(PathBuf),
}

impl<'a> Secrets<'a> {
    /// The secrets of the services of a catalog, read by this program.
    pub fn new(catalog: &'a Catalog, host: &'a dyn Host) -> Self {
        Self { catalog, host }
    }

    /// Reads a secret from the one place that is set. Returns `None` if no place is set.
    ///
    /// # Errors
    /// As [`find`](Self::find); for a place that cannot be read, or a text that is no secret.
    pub fn get(&self, name: &SecretName) -> Result<Option<Secret>, Problem> {
        match self.find(name)? {
            Some(source) => self.read(&source).map(Some),
            None => Ok(None),
        }
    }

    /// Reads the secret from this place.
    ///
    /// # Errors
    /// For a place that cannot be read, or a text that is no secret.
    pub fn read(&self, source: &Source) -> Result<Secret, Problem> {
        match source.place {
            Place::Variable => log::debug!("{} comes from the environment", source.name),
            _ => log::debug!("{} comes from {source}", source.name),
        }
        let text = source.text(self)?;
        let part = match source.place {
            Place::Option(_) | Place::Variable => Part::Value,
            Place::Command(_) => Part::FirstLine,
            Place::File(_) | Place::Descriptor(_) | Place::Credential(_) => Part::OnlyLine,
        };
        let secret = text::secret(text, part).map_err(|unfit| {
            let (kind, what) = match unfit {
                // A program that passes an empty secret makes a mistake.
                Unfit::Empty(what) if !matches!(source.place, Place::Option(_)) => {
                    (ErrorKind::NoCredentials, what)
                }
                Unfit::Empty(what) | Unfit::Broken(what) => (ErrorKind::InvalidInput, what),
            };
            Problem::new(kind, format!("the secret from {source} {what}"))
        })?;
        let secret = Secret::from(secret);
        #[cfg(unix)]
        if matches!(source.place, Place::Command(_)) && self.host.owns_descriptors() {
            // The command may have read the secret from a descriptor that this program was started with.
            descriptors::close_holding(secret.expose());
        }
        if secret.expose_str().is_none() {
            return Err(Problem::invalid(format!("the secret from {source} is not UTF-8: save it as UTF-8")));
        }
        Ok(secret)
    }

    /// Returns the one place that is set, if there is one. Reads nothing.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the environment sets two places.
    pub fn find(&self, name: &SecretName) -> Result<Option<Source>, Problem> {
        let SecretName { variable: name, option, in_file } = name;
        if option.is_some() || !self.catalog.reads_environment() {
            return Ok(option.clone());
        }
        let mut found = Vec::new();
        if env_var(name)?.is_some() {
            found.push(Place::Variable);
        }
        if let Some(path) = env_var(&format!("{name}_FILE"))? {
            found.push(Place::File(path.into()));
        }
        if let Some(number) = env_var(&format!("{name}_FD"))? {
            found.push(Place::Descriptor(number));
        }
        if let Some(command) = env_var(&format!("{name}_CMD"))? {
            found.push(Place::Command(command));
        }
        found.extend(credential(name).map(Place::Credential));
        let mut found =
            found.into_iter().map(|place| Source { name: name.to_owned(), place, configured: None });
        match (found.next(), found.next()) {
            (Some(one), Some(other)) => Err(Problem::invalid(format!(
                "{name} is set twice, by {} and by {}: unset one of them",
                one.label(),
                other.label()
            ))),
            (Some(one), None) => Ok(Some(one)),
            (None, _) => Ok(in_file.clone()),
        }
    }

    /// The names of the secrets of all services.
    fn names(&self) -> impl Iterator<Item = SecretName> {
        self.catalog.services().into_iter().flat_map(|service| service.secrets())
    }

    /// The variables of all secrets.
    fn variables(&self) -> impl Iterator<Item = String> {
        self.names().map(|name| name.variable)
    }

    /// Closes the descriptors above 2 that lead to a secret of any service, whether it has been read or not, if the program
    /// [owns](Host::owns_descriptors) them. Returns which of the descriptors 0 to 2 lead to one.
    pub fn close_descriptors(&self) -> [bool; 3] {
        #[cfg(unix)]
        if self.host.owns_descriptors() {
            let variable = |name: &str, suffix| env::var_os(format!("{name}{suffix}"));
            let numbers: Vec<_> =
                self.variables().filter_map(|name| descriptor(variable(&name, "_FD")?.to_str()?)).collect();
            let named = self.variables().filter_map(|name| variable(&name, "_FILE").map(PathBuf::from));
            let credentials = self.variables().filter_map(|name| credential(&name));
            let configured = self.catalog.services().into_iter().flat_map(|service| service.secret_files());
            let files: Vec<_> = named.chain(credentials).chain(configured).collect();
            return descriptors::close_all(&numbers, &files, &|text| self.host.warn(text));
        }
        [false; 3]
    }

    /// Closes descriptors as [`close_descriptors`](Self::close_descriptors) does, and replaces those of 0 to 2 with `/dev/null`.
    ///
    /// # Errors
    /// Those of the system.
    pub fn replace_descriptors(&self) -> Result<(), Problem> {
        let standard = self.close_descriptors();
        #[cfg(unix)]
        descriptors::replace(standard).map_err(|e| {
            let text = "could not put /dev/null in the place of a descriptor that leads to a secret";
            Problem::Unexpected(format!("{text}: {}", why(&e)))
        })?;
        let _ = standard;
        Ok(())
    }

    /// Removes from the environment of a child: the secrets, the variables that lead to them, the tokens of an `exec` around this one,
    /// and a proxy with a password.
    pub fn keep_from(&self, child: &mut Command) {
        if self.variables().any(|name| credential(&name).is_some()) {
            child.env_remove(CREDENTIALS_DIRECTORY);
        }
        for service in self.catalog.services() {
            child.env_remove(service.variable("access_token"));
        }
        keep_proxy_from(child);
        for name in self.variables() {
            child.env_remove(&name);
            for suffix in SUFFIXES {
                child.env_remove(format!("{name}{suffix}"));
            }
        }
    }
}

fn credential(name: &str) -> Option<PathBuf> {
    let folder = env::var_os(CREDENTIALS_DIRECTORY).filter(|folder| !folder.is_empty())?;
    let path = Path::new(&folder).join(name.to_lowercase());
    path.symlink_metadata().is_ok().then_some(path)
}

impl Source {
    /// A place that the configuration names. `what` names the value in the records of the log, and `configured` is the file, line and key.
    pub(crate) fn configured(what: impl Into<String>, place: Place, configured: String) -> Self {
        Self { name: what.into(), place, configured: Some(configured) }
    }

    /// Where the secret is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Returns the variable or file that is set, or the place in the configuration.
    pub fn label(&self) -> String {
        if let Some(configured) = &self.configured {
            return configured.clone();
        }
        match &self.place {
            Place::Option(_) | Place::Variable => self.name.clone(),
            Place::File(_) => format!("{}_FILE", self.name),
            Place::Descriptor(_) => format!("{}_FD", self.name),
            Place::Command(_) => format!("{}_CMD", self.name),
            Place::Credential(_) => format!("${CREDENTIALS_DIRECTORY}/{}", self.name.to_lowercase()),
        }
    }

    /// Returns the file that the secret is read from, if it is a file.
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::File(path) | Place::Credential(path) => Some(path),
            _ => None,
        }
    }

    fn text(&self, secrets: &Secrets<'_>) -> Result<Vec<u8>, Problem> {
        let read = |path| {
            let secret = open(path).and_then(read_all).map_err(|e| self.not_read(&e))?;
            self.in_time(secret)
        };
        match &self.place {
            Place::Option(secret) => Ok(secret.expose().to_vec()),
            Place::Variable => Ok(env_var(&self.name)?.unwrap_or_default().into_bytes()),
            Place::File(path) => {
                warn_if_open(path, secrets.host);
                read(path)
            }
            Place::Credential(path) => read(path),
            Place::Descriptor(number) => self.read_descriptor(number),
            Place::Command(command) => self.run(command, secrets),
        }
    }

    /// Returns why the secret cannot be read. Shows a path only if it exists, because it may be the secret itself in the wrong variable.
    pub fn unreadable(&self, error: &io::Error) -> Problem {
        let Some(path) = self.path().filter(|path| !is_there(path)) else {
            return unreadable(&self.to_string(), &why(error));
        };
        let folder = path.parent().filter(|folder| folder.components().nth(1).is_some() && folder.is_dir());
        let hint = match folder {
            _ if has_tilde(path) => TILDE.to_owned(),
            Some(folder) => format!("its folder {} exists", shown(folder)),
            None => "it should hold the path of a file".to_owned(),
        };
        unreadable(&format!("the file that {self} names"), &format!("{}; {hint}", why(error)))
    }

    fn not_read(&self, error: &io::Error) -> Problem {
        match error.kind() {
            io::ErrorKind::FileTooLarge => Problem::invalid(format!(
                "the secret from {self} is longer than 64 KiB: leave nothing but the secret in it"
            )),
            _ => self.unreadable(error),
        }
    }

    fn read_descriptor(&self, number: &str) -> Result<Vec<u8>, Problem> {
        // A descriptor that this program has opened itself was not handed to it.
        let fd = descriptor(number).filter(|fd| !descriptors::is_own(*fd)).ok_or_else(|| self.not_open())?;
        // It stays open, so that other descriptors of the same file are found before a child is started.
        let read = descriptors::open(fd).and_then(read_all);
        self.in_time(read.map_err(|e| if is_closed(&e) { self.not_open() } else { self.not_read(&e) })?)
    }

    /// Returns the text for a descriptor that cannot be read. Its number may be a secret in the wrong variable.
    pub fn not_open(&self) -> Problem {
        let label = self.label();
        Problem::invalid(match &self.place {
            Place::Descriptor(number) if is_harmless(number) => {
                format!("{label}: descriptor {number} is not open for reading")
            }
            _ => format!("{label} should be the number of an open descriptor, as in {label}=3 3</run/secret"),
        })
    }

    fn in_time(&self, secret: Option<Vec<u8>>) -> Result<Vec<u8>, Problem> {
        secret.ok_or_else(|| {
            let time = TIME.as_secs();
            Problem::new(
                ErrorKind::Timeout,
                format!("{self} did not end within {time} s: check the program that writes to it"),
            )
        })
    }

    #[cfg(unix)]
    fn run(&self, command: &str, secrets: &Secrets<'_>) -> Result<Vec<u8>, Problem> {
        if let Some(why) = secrets.host.refuses_commands() {
            return Err(Problem::invalid(format!("{} names a command, and {why}", self.label())));
        }
        command::output(&self.label(), command, secrets)
    }

    #[cfg(not(unix))]
    fn run(&self, _: &str, _: &Secrets<'_>) -> Result<Vec<u8>, Problem> {
        Err(Problem::invalid(format!("{} needs a Unix system", self.label())))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Descriptor(number) if is_harmless(number) => write!(f, "{} ({number})", self.label()),
            Place::Option(_) | Place::Variable | Place::Command(_) | Place::Descriptor(_) => {
                f.write_str(&self.label())
            }
            // The path is not shown, for the reason that `unreadable` gives.
            Place::File(path) | Place::Credential(path) if !is_there(path) => f.write_str(&self.label()),
            Place::File(path) | Place::Credential(path) => write!(f, "{} ({})", self.label(), shown(path)),
        }
    }
}

/// Whether a path exists, even as a symbolic link whose target does not exist.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn unreadable(what: &str, why: &str) -> Problem {
    Problem::new(ErrorKind::Store, format!("could not read {what}: {why}"))
}

/// Warns if others than its owner can read a file.
fn warn_if_open(path: &Path, host: &dyn Host) {
    if let Some(advice) = keyfob::open_to_others(path) {
        host.warn(&format!("{} can be read by others than its owner: {advice}", shown(path)));
    }
}

/// Opens a file, or a pipe without waiting for its writer.
fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, nix::fcntl::OFlag::O_NONBLOCK.bits());
    options.read(true).open(path)
}

#[cfg(unix)]
fn read_all(file: File) -> io::Result<Option<Vec<u8>>> {
    read(file, &Deadline::after(TIME), &|| false, &mut |_| false)
}

#[cfg(not(unix))]
fn read_all(reader: File) -> io::Result<Option<Vec<u8>>> {
    use io::Read as _;
    let mut secret = Vec::new();
    reader.take(MAX_LEN + 1).read_to_end(&mut secret)?;
    if secret.len() as u64 > MAX_LEN {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(Some(secret))
}

/// Reads to the end, or until nothing more arrives and the bytes so far are enough. Returns `None` if it gives up: at the deadline,
/// or when `gives_up` says so.
#[cfg(unix)]
fn read(
    mut from: File,
    deadline: &Deadline,
    gives_up: &dyn Fn() -> bool,
    is_enough: &mut dyn FnMut(&[u8]) -> bool,
) -> io::Result<Option<Vec<u8>>> {
    use io::Read as _;
    let mut secret = Vec::new();
    // Not on the stack, because this function does not wipe it.
    let mut chunk = vec![0; 4096];
    loop {
        if gives_up() || deadline.remaining().is_zero() {
            return Ok(None);
        }
        if !is_readable(&from, &Deadline::after(deadline.remaining().min(LOOK)))? {
            if is_enough(&secret) {
                break;
            }
            continue;
        }
        match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => secret.extend_from_slice(&chunk[..n]),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(e) => return Err(e),
        }
        if secret.len() as u64 > MAX_LEN {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
    }
    Ok(Some(secret))
}

fn is_closed(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(nix::errno::Errno::EBADF as i32) {
        return true;
    }
    error.kind() == io::ErrorKind::NotFound
}

/// Whether this text, which should be the number of a descriptor, is too short for a secret.
fn is_harmless(number: &str) -> bool {
    number.len() <= 2 && descriptor(number).is_some()
}

fn descriptor(number: &str) -> Option<i32> {
    number.parse().ok().filter(|fd| *fd >= 0)
}

fn keep_proxy_from(child: &mut Command) {
    // A name or password comes before an '@'.
    if env::var_os("KEYFOB_PROXY").is_some_and(|proxy| proxy.as_encoded_bytes().contains(&b'@')) {
        child.env_remove("KEYFOB_PROXY");
    }
}
