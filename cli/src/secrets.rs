//! Where secrets come from: for each secret variable X also `X_FILE`, `X_FD`, `X_CMD`, and systemd's credentials.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fmt};

use keyfob::{ErrorKind, Secret, env_var};

use crate::clock::Deadline;
#[cfg(unix)]
use crate::clock::{is_readable, within};
use crate::failure::Failure;
use crate::output::{unreadable, warn, why};

/// Every variable that holds a secret.
pub const NAMES: [&str; 3] = ["SPATIAFI_CLIENT_SECRET", "SPATIAFI_PASSWORD", "SPACEBRING_CLIENT_SECRET"];

/// What `exec` calls tokens.
const TOKENS: [&str; 2] = ["SPATIAFI_ACCESS_TOKEN", "SPACEBRING_ACCESS_TOKEN"];

const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";
const SUFFIXES: [&str; 3] = ["_FILE", "_FD", "_CMD"];

/// No secret is longer.
const MAX_LEN: u64 = 64 * 1024;

/// How long a command, a pipe or a terminal may take to give a secret.
const TIME: Duration = Duration::from_secs(30);

/// Where a secret would be read from. Shown without the secret.
#[derive(Debug)]
pub struct Source {
    pub name: &'static str,
    pub place: Place,
}

#[derive(Debug)]
pub enum Place {
    Variable,
    File(PathBuf),
    Descriptor(String),
    Command(String),
    Credential(PathBuf),
}

/// Reads a secret from the one place that is set, if there is one.
pub fn get(name: &'static str) -> Result<Option<Secret>, Failure> {
    let Some(source) = find(name)? else { return Ok(None) };
    log::debug!("{name} comes from {source}");
    let mut secret = source.read()?;
    if secret.last() == Some(&b'\n') {
        secret.pop();
    }
    if secret.is_empty() {
        return Err(Failure::invalid(format!("the secret from {source} is empty")));
    }
    Ok(Some(Secret::from(secret)))
}

/// The one place that is set, if there is one. Nothing is read.
pub fn find(name: &'static str) -> Result<Option<Source>, Failure> {
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
    let mut found = found.into_iter().map(|place| Source { name, place });
    match (found.next(), found.next()) {
        (Some(one), Some(other)) => Err(Failure::invalid(format!(
            "{name} is set twice, by {} and by {}: unset one of them",
            one.label(),
            other.label()
        ))),
        (one, _) => Ok(one),
    }
}

fn credential(name: &str) -> Option<PathBuf> {
    let folder = env::var_os(CREDENTIALS_DIRECTORY).filter(|folder| !folder.is_empty())?;
    let path = Path::new(&folder).join(name.to_lowercase());
    path.symlink_metadata().is_ok().then_some(path)
}

impl Source {
    /// What is set.
    pub fn label(&self) -> String {
        match &self.place {
            Place::Variable => self.name.to_owned(),
            Place::File(_) => format!("{}_FILE", self.name),
            Place::Descriptor(_) => format!("{}_FD", self.name),
            Place::Command(_) => format!("{}_CMD", self.name),
            Place::Credential(_) => format!("${CREDENTIALS_DIRECTORY}/{}", self.name.to_lowercase()),
        }
    }

    /// The file that it is read from, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::File(path) | Place::Credential(path) => Some(path),
            _ => None,
        }
    }

    fn read(&self) -> Result<Vec<u8>, Failure> {
        let failed = |e: &io::Error| unreadable(&self.to_string(), e);
        match &self.place {
            Place::Variable => Ok(env_var(self.name)?.unwrap_or_default().into_bytes()),
            Place::File(path) => {
                warn_if_open(path);
                self.in_time(open(path).and_then(read_all).map_err(|e| failed(&e))?)
            }
            Place::Credential(path) => self.in_time(open(path).and_then(read_all).map_err(|e| failed(&e))?),
            Place::Descriptor(number) => self.read_descriptor(number),
            Place::Command(command) => self.run(command),
        }
    }

    fn read_descriptor(&self, number: &str) -> Result<Vec<u8>, Failure> {
        let label = self.label();
        let Some(fd) = descriptor(number) else {
            return Err(Failure::invalid(format!(
                "{label} is {}: it should be the number of an open descriptor, as in {label}=3 3</run/secret",
                shown(number)
            )));
        };
        let read = open_descriptor(fd).and_then(read_all);
        close(fd);
        self.in_time(read.map_err(|e| {
            if is_not_open(&e) {
                return Failure::invalid(format!(
                    "{label} is {fd}, but descriptor {fd} is not open for reading"
                ));
            }
            unreadable(&self.to_string(), &e)
        })?)
    }

    fn in_time(&self, secret: Option<Vec<u8>>) -> Result<Vec<u8>, Failure> {
        secret.ok_or_else(|| {
            let time = TIME.as_secs();
            Failure::new(ErrorKind::Timeout, format!("{self} did not end within {time} s: who writes to it?"))
        })
    }

    #[cfg(unix)]
    fn run(&self, command: &str) -> Result<Vec<u8>, Failure> {
        use std::os::fd::OwnedFd;
        use std::os::unix::process::CommandExt as _;
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(command).stdin(Stdio::null()).stdout(Stdio::piped());
        // The secrets of others are not its business. No other one is read after this.
        for name in NAMES.into_iter().chain(TOKENS) {
            shell.env_remove(name);
        }
        keep_proxy_from(&mut shell);
        close_descriptors();
        let has_own_group = !has_terminal();
        if has_own_group {
            shell.process_group(0);
        }
        let mut child =
            shell.spawn().map_err(|e| Failure::unexpected(format!("could not run sh: {}", why(&e))))?;
        let deadline = Deadline::after(TIME);
        let output = child.stdout.take().map(|pipe| read(OwnedFd::from(pipe).into(), None, &deadline));
        let mut ended = || within(deadline.remaining(), || !matches!(child.try_wait(), Ok(None)));
        let failed = match output {
            Some(Ok(Some(secret))) if ended() => {
                return match child.wait() {
                    Ok(status) if status.success() => Ok(secret),
                    Ok(status) => Err(Failure::new(
                        ErrorKind::NoCredentials,
                        format!("the command in {} gave no secret: it ended with {status}", self.label()),
                    )),
                    Err(e) => Err(unreadable(&self.to_string(), &e)),
                };
            }
            Some(Err(e)) => unreadable(&self.to_string(), &e),
            _ => Failure::new(
                ErrorKind::Timeout,
                format!(
                    "the command in {} did not end within {} s: run it by hand to see what it waits for",
                    self.label(),
                    TIME.as_secs()
                ),
            ),
        };
        if has_own_group {
            kill_group(&child);
        }
        let _ = child.kill();
        let _ = child.wait();
        Err(failed)
    }

    #[cfg(not(unix))]
    fn run(&self, _: &str) -> Result<Vec<u8>, Failure> {
        let _ = (Command::new("sh").stdin(Stdio::null()), ErrorKind::Timeout, why);
        Err(Failure::invalid(format!("{} needs a Unix system", self.label())))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Variable | Place::Command(_) => f.write_str(&self.label()),
            Place::File(path) | Place::Credential(path) => write!(f, "{} ({})", self.label(), path.display()),
            Place::Descriptor(number) => write!(f, "{} ({})", self.label(), shown(number)),
        }
    }
}

/// Whether a file can be read by others than its owner.
pub fn warn_if_open(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        if path.metadata().is_ok_and(|file| file.is_file() && file.mode() & 0o077 != 0) {
            let shown = path.display();
            warn(&format!("{shown} can be read by others than its owner: run chmod 600 on it"));
        }
    }
    #[cfg(not(unix))]
    let _ = (path, warn);
}

/// A pipe is opened whether somebody writes to it or not.
fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, nix::fcntl::OFlag::O_NONBLOCK.bits());
    options.read(true).open(path)
}

#[cfg(unix)]
fn read_all(file: File) -> io::Result<Option<Vec<u8>>> {
    read(file, None, &Deadline::after(TIME))
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

/// A line of standard input, or what there is before its end. `None` if neither came in time.
///
/// Without the buffer of the standard library, which is never wiped, and byte by byte as shells do: what comes after the
/// line is for whoever reads next.
#[cfg(unix)]
pub fn read_line(deadline: &Deadline) -> io::Result<Option<Secret>> {
    use std::os::fd::AsFd as _;
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let line = read(input, Some(b'\n'), deadline)?;
    Ok(line.map(Secret::from))
}

#[cfg(not(unix))]
pub fn read_line(_: &Deadline) -> io::Result<Option<Secret>> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(Some(Secret::from(line)))
}

/// Reads up to this byte or the end, or gives up at the deadline: then `None`.
#[cfg(unix)]
fn read(mut from: File, end: Option<u8>, deadline: &Deadline) -> io::Result<Option<Vec<u8>>> {
    use io::Read as _;
    let mut secret = Vec::new();
    // Not on the stack, which nobody wipes.
    let mut chunk = vec![0; if end.is_some() { 1 } else { 4096 }];
    while end.is_none() || secret.last() != end.as_ref() {
        if !is_readable(&from, deadline)? {
            return Ok(None);
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

/// Where there is a terminal, a command may ask on it and Ctrl-C must end it, which only its own group gets.
#[cfg(unix)]
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Ends whatever a shell has started. It has not been waited for, so its number is nobody else's.
#[cfg(unix)]
fn kill_group(shell: &std::process::Child) {
    if let Ok(group) = i32::try_from(shell.id()) {
        let _ =
            nix::sys::signal::killpg(nix::unistd::Pid::from_raw(group), nix::sys::signal::Signal::SIGKILL);
    }
}

/// The descriptor itself. Where Linux does not give it, and elsewhere, what its name opens: on Linux anew, so it must be
/// a file or a pipe that this user may open.
fn open_descriptor(fd: i32) -> io::Result<File> {
    #[cfg(unix)]
    if fd == 0 {
        return std::os::fd::AsFd::as_fd(&io::stdin()).try_clone_to_owned().map(File::from);
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::io::Errno;
        use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
        use std::os::fd::AsRawFd as _;
        let own = pidfd_open(getpid(), PidfdFlags::empty()).and_then(|process| {
            // It has got the number that was free.
            if process.as_raw_fd() == fd {
                return Err(Errno::BADF);
            }
            pidfd_getfd(process, fd, PidfdGetfdFlags::empty())
        });
        match own {
            Ok(own) => return Ok(own.into()),
            Err(Errno::BADF) => return Err(Errno::BADF.into()),
            // An old kernel, or a sandbox that forbids it.
            Err(_) => {}
        }
    }
    File::open(format!("/dev/fd/{fd}"))
}

fn is_not_open(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(nix::errno::Errno::EBADF as i32) {
        return true;
    }
    error.kind() == io::ErrorKind::NotFound
}

/// What should be the number of a descriptor, and may be the secret itself.
pub fn shown(number: &str) -> &str {
    if number.parse::<u16>().is_ok() { number } else { "no descriptor's number" }
}

fn descriptor(number: &str) -> Option<i32> {
    number.parse().ok().filter(|fd| *fd >= 0)
}

/// Closes a descriptor that was handed to this process, so that no child of it inherits the secret.
fn close(fd: i32) {
    #[cfg(unix)]
    if fd > 2 {
        let _ = nix::unistd::close(fd);
    }
    #[cfg(not(unix))]
    let _ = fd;
}

/// Closes what the variables `X_FD` name: those of the other service, and what a token from the store left unread.
pub fn close_descriptors() {
    for name in NAMES {
        let number = env_var(&format!("{name}_FD")).ok().flatten();
        if let Some(fd) = number.as_deref().and_then(descriptor) {
            close(fd);
        }
    }
}

/// Removes the secrets, and the ways to them, from what a child gets to see: the tokens of an `exec` around this one, and a
/// proxy with a password too.
pub fn keep_from(child: &mut Command) {
    if NAMES.into_iter().any(|name| credential(name).is_some()) {
        child.env_remove(CREDENTIALS_DIRECTORY);
    }
    for name in TOKENS {
        child.env_remove(name);
    }
    keep_proxy_from(child);
    for name in NAMES {
        child.env_remove(name);
        for suffix in SUFFIXES {
            child.env_remove(format!("{name}{suffix}"));
        }
    }
}

fn keep_proxy_from(child: &mut Command) {
    // A name or password comes before an '@'.
    if env::var_os("KEYFOB_PROXY").is_some_and(|proxy| proxy.as_encoded_bytes().contains(&b'@')) {
        child.env_remove("KEYFOB_PROXY");
    }
}
