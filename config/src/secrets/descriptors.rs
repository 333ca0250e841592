//! Descriptors that lead to a secret. No program that is started here receives one.

use std::fs::File;
use std::io;
#[cfg(unix)]
use std::{
    fs::FileType,
    os::unix::fs::{FileTypeExt, MetadataExt as _},
    path::{Path, PathBuf},
};

#[cfg(unix)]
use nix::fcntl::OFlag;

#[cfg(unix)]
use crate::problem::why;

/// Returns a duplicate of the descriptor. Where Linux does not allow that, and on other systems, opens it by its name. On Linux that
/// opens the file anew, so it must be a file or a pipe that this user may open.
pub fn open(fd: i32) -> io::Result<File> {
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
            // The descriptor of the process has received the asked number, because that was free.
            if process.as_raw_fd() == fd {
                return Err(Errno::BADF);
            }
            pidfd_getfd(process, fd, PidfdGetfdFlags::empty())
        });
        match own {
            Ok(own) => return Ok(own.into()),
            Err(Errno::BADF) => return Err(Errno::BADF.into()),
            // An old kernel or a sandbox forbids it.
            Err(_) if flags(fd).is_some_and(|flags| flags & OFlag::O_ACCMODE == OFlag::O_WRONLY) => {
                return Err(Errno::BADF.into());
            }
            Err(_) => {}
        }
    }
    File::open(format!("/dev/fd/{fd}"))
}

/// For each of the descriptors 0 to 2, whether it leads to a secret.
pub type Standard = [bool; 3];

/// Closes the descriptors above 2 that lead to a secret, and returns which of the descriptors 0 to 2 do. A descriptor leads to a secret if
/// it has one of these numbers, or is open on one of these files, whatever the name of the file.
#[cfg(unix)]
pub fn close_all(numbers: &[i32], files: &[PathBuf], warn: &dyn Fn(&str)) -> Standard {
    let mut standard = Standard::default();
    let named_ones = numbers.iter().map(|&number| named(number));
    let secrets: Vec<_> =
        files.iter().cloned().chain(named_ones).filter_map(|path| identity(&path)).collect();
    let open = listed();
    if let Err(error) = &open {
        warn(&format!(
            "the open descriptors cannot be listed, so one may lead a child to a secret: {}",
            why(error)
        ));
    }
    // Even where descriptors cannot be listed, the named ones are closed.
    for number in open.unwrap_or_default().into_iter().chain(numbers.iter().copied()) {
        let name = named(number);
        let is_named = numbers.contains(&number);
        let leads_to_secret = is_named || identity(&name).is_some_and(|one| secrets.contains(&one));
        if !leads_to_secret || is_own(number) {
            continue;
        }
        match usize::try_from(number).ok().and_then(|number| standard.get_mut(number)) {
            None => {
                let _ = nix::unistd::close(number);
            }
            // A terminal keeps no content, and a socket that a secret was read from also carries the answer.
            Some(_) if is(&name, FileTypeExt::is_char_device) => {}
            Some(_) if number > 0 && !is_named && is(&name, FileTypeExt::is_socket) => {}
            Some(is_secret) => *is_secret = true,
        }
    }
    standard
}

/// Closes the descriptors above 2 of files that hold this secret.
#[cfg(unix)]
pub fn close_holding(secret: &[u8]) {
    /// A shorter text may occur in any file.
    const SHORTEST: usize = 8;
    /// Files that hold a secret are small.
    const LARGEST: u64 = 64 * 1024;
    if secret.len() < SHORTEST {
        return;
    }
    for number in listed().unwrap_or_default() {
        let name = named(number);
        let is_small = |file: std::fs::Metadata| file.is_file() && file.len() <= LARGEST;
        if number <= 2 || is_own(number) || !name.metadata().is_ok_and(is_small) {
            continue;
        }
        let text = keyfob::Secret::from(std::fs::read(&name).unwrap_or_default());
        if text.expose().windows(secret.len()).any(|part| part == secret) {
            let _ = nix::unistd::close(number);
        }
    }
}

/// Returns the numbers of the open descriptors.
#[cfg(unix)]
fn listed() -> io::Result<Vec<i32>> {
    let entries = std::fs::read_dir("/dev/fd")?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// Returns the path of a descriptor.
#[cfg(unix)]
fn named(number: i32) -> PathBuf {
    PathBuf::from(format!("/dev/fd/{number}"))
}

/// Returns the device and inode of a file, pipe or socket, which identify it whatever its name. `None` for devices, folders, and paths
/// that do not exist.
#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = path.metadata().ok()?;
    let kind = metadata.file_type();
    (!kind.is_char_device() && !kind.is_dir()).then(|| (metadata.dev(), metadata.ino()))
}

#[cfg(unix)]
fn is(path: &Path, kind: fn(&FileType) -> bool) -> bool {
    path.metadata().is_ok_and(|metadata| kind(&metadata.file_type()))
}

/// Whether this program has opened the descriptor itself (close-on-exec). Known on Linux only.
pub fn is_own(number: i32) -> bool {
    #[cfg(unix)]
    {
        flags(number).is_some_and(|flags| flags.contains(OFlag::O_CLOEXEC))
    }
    #[cfg(not(unix))]
    {
        let _ = number;
        false
    }
}

/// Returns how a descriptor was opened. Known on Linux only.
#[cfg(unix)]
fn flags(number: i32) -> Option<OFlag> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok()?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
    i32::from_str_radix(flags.trim(), 8).ok().map(OFlag::from_bits_retain)
}

/// Replaces those of the descriptors 0 to 2 that lead to a secret with `/dev/null`.
#[cfg(unix)]
pub fn replace(standard: Standard) -> io::Result<()> {
    use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};
    if standard == Standard::default() {
        return Ok(());
    }
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let [input, output, error] = standard;
    if input {
        dup2_stdin(&null)?;
    }
    if output {
        dup2_stdout(&null)?;
    }
    if error {
        dup2_stderr(&null)?;
    }
    Ok(())
}
