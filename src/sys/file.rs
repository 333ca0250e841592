//! Opens and reads files that hold secrets.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;

use crate::encode::json::{other_encoding, without_mark};
use crate::error::Error;
use crate::secret::Secret;
use crate::sys::trust::{is_same, trust};
use crate::text::shown;

/// Largest file that is read.
const MAX_SIZE: u64 = 1024 * 1024;

/// `O_NONBLOCK`: opening a pipe does not wait for its other end. keyfob opens no pipe on purpose, but one may take the place of a file just
/// before it is opened.
#[cfg(unix)]
const NONBLOCKING: i32 = if cfg!(any(target_arch = "mips", target_arch = "mips64")) {
    0o200
} else if cfg!(any(target_arch = "sparc", target_arch = "sparc64")) {
    0x4000
} else if cfg!(any(target_os = "linux", target_os = "android")) {
    0o4000
} else {
    // The BSDs, macOS among them.
    4
};

/// Returns options with which opening never waits.
pub(super) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, NONBLOCKING);
    options
}

/// Reads a regular file, through symlinks, into a wiped buffer. Returns `None` if there is none.
pub(crate) fn read(path: &Path) -> io::Result<Option<Secret>> {
    // Checked first, because opening a device may have an effect.
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            let mut file = options().read(true).open(path)?;
            let metadata = file.metadata()?;
            if !metadata.is_file() {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            read_whole(&mut file, metadata.len()).map(Some)
        }
        Ok(_) => Err(io::ErrorKind::InvalidInput.into()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Reads a value from a file of its own, through symlinks, without a byte order mark at its start and a line end at its end. `what`
/// names the value in errors.
pub(crate) fn read_value(what: &str, path: &Path) -> Result<Secret, Error> {
    let content = read(path).and_then(|content| content.ok_or_else(|| io::ErrorKind::NotFound.into()));
    let content = content.map_err(|e| unreadable_value(what, path, &e))?;
    let unusable = |why: &str| Error::invalid(format!("the {what} in {} {why}", shown(path)));
    if let Some(encoding) = other_encoding(content.expose()) {
        return Err(unusable(&format!("is {encoding}: save it as UTF-8")));
    }
    let text = without_mark(content.expose());
    let line = text.strip_suffix(b"\n").unwrap_or(text);
    if line.contains(&b'\n') {
        return Err(unusable("has more than one line: leave nothing but the value in it"));
    }
    Ok(line.strip_suffix(b"\r").unwrap_or(line).to_vec().into())
}

/// Shows a path only if it exists, because a caller may have given the value itself in its place.
fn unreadable_value(what: &str, path: &Path, cause: &io::Error) -> Error {
    let folder = path.parent().filter(|folder| folder.components().nth(1).is_some() && folder.is_dir());
    let (place, hint) = match folder {
        _ if fs::symlink_metadata(path).is_ok() => (shown(path), ""),
        Some(folder) => (format!("a file in {}", shown(folder)), ""),
        None => ("its file".to_owned(), "; give the path of a file, not the value"),
    };
    Error::invalid(format!("could not read the {what} from {place}: {}{hint}", why_at(path, cause)))
        .with_source(cause)
}

/// Reads a file that keyfob has made. Refuses a symlink and a file of another user.
pub(crate) fn read_own(path: &Path) -> io::Result<Option<Secret>> {
    let Some((mut file, metadata)) = open_own(path, options().read(true))? else { return Ok(None) };
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        if metadata.mode() & 0o077 != 0 {
            match file.set_permissions(fs::Permissions::from_mode(0o600)) {
                // The file can be read although its mode could not be changed.
                Err(e) if e.kind() == io::ErrorKind::ReadOnlyFilesystem => {}
                done => done?,
            }
        }
    }
    read_whole(&mut file, metadata.len()).map(Some)
}

/// Opens a file that keyfob has made. Returns `None` if there is none.
fn open_own(path: &Path, options: &OpenOptions) -> io::Result<Option<(File, Metadata)>> {
    let named = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    trust(&named)?;
    if !named.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let file = match options.open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let opened = file.metadata()?;
    // The file may have been replaced in between, by keyfob or by another user's symlink: only the opened file counts.
    if !is_same(&named, &opened) {
        trust(&opened)?;
        if !opened.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if fs::symlink_metadata(path).is_ok_and(|now| now.is_symlink()) {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
    }
    Ok(Some((file, opened)))
}

fn read_whole(file: &mut File, size: u64) -> io::Result<Secret> {
    let too_large = || io::Error::from(io::ErrorKind::FileTooLarge);
    let size = usize::try_from(size.min(MAX_SIZE + 1)).map_err(|_| too_large())?;
    let mut content = Secret::with_capacity(size + 1);
    let mut file = file.take(MAX_SIZE + 1);
    loop {
        let start = content.len();
        let left = (size + 1).saturating_sub(start);
        // The file is longer than its stated size: it grows, or the size is stated as 0.
        let space = if left == 0 { 4096 } else { left };
        let read = file.read(content.extend_zeroed(space));
        content.truncate(start + read.as_ref().map_or(0, |&n| n));
        match read {
            Ok(_) if content.len() as u64 > MAX_SIZE => return Err(too_large()),
            Ok(0) => return Ok(content),
            // The file has ended.
            Ok(_) if size > 0 && content.len() == size => return Ok(content),
            Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e),
            _ => {}
        }
    }
}

/// Makes a folder that only the user may enter, if it does not exist.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Opens the file of a lock. Makes it if needed; it stays.
pub(crate) fn open_lock(path: &Path) -> io::Result<File> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => return Err(io::ErrorKind::InvalidFilename.into()),
        Ok(metadata) if !metadata.is_file() => return Err(io::ErrorKind::InvalidInput.into()),
        _ => {}
    }
    let mut options = options();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let lock = options.open(path)?;
    let metadata = lock.metadata()?;
    if !metadata.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    trust(&metadata)?;
    Ok(lock)
}

/// Opens a file that keyfob has made, to lock it. Returns `None` if there is none, or if something else has its name.
///
/// # Errors
/// The errors of the system: no lock is left out silently.
#[cfg(unix)]
pub(crate) fn open_to_lock(path: &Path) -> io::Result<Option<File>> {
    // Over NFS, only a file that is open for writing can be locked.
    let opened = match open_own(path, options().read(true).write(true)) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied && e.raw_os_error().is_some() => {
            open_own(path, options().read(true))
        }
        opened => opened,
    };
    match opened {
        Ok(opened) => Ok(opened.map(|(file, _)| file)),
        // A record that cannot be read is not renewed either.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied || e.raw_os_error().is_none() => Ok(None),
        Err(e) => Err(e),
    }
}

/// Removes a file, if there is one. Of a symlink, removes the link.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Returns the reason why the file at this path, which had to exist, could not be read.
pub(crate) fn why_at(path: &Path, error: &io::Error) -> String {
    let why = why(error);
    if error.kind() == io::ErrorKind::NotFound && path.iter().any(|part| part == "~") {
        return format!("{why}: `~` is not expanded: write the whole path");
    }
    why
}

/// Returns the reason, for error texts. An error without a code of the system comes from this module.
pub(crate) fn why(error: &io::Error) -> String {
    match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::InvalidInput, _) => "it is not a file".to_owned(),
        (io::ErrorKind::NotFound, _) => "there is no such file or folder".to_owned(),
        (io::ErrorKind::InvalidFilename, None) => "it is a symbolic link".to_owned(),
        (io::ErrorKind::PermissionDenied, None) => {
            "it belongs to someone else, or others may write to it: run chown and chmod 700 on it".to_owned()
        }
        (io::ErrorKind::StaleNetworkFileHandle, None) => {
            "it was replaced while it was being opened: find out who does that, and try again".to_owned()
        }
        (io::ErrorKind::ResourceBusy, None) => {
            "others can replace it, because they can write to a folder above it that has no sticky bit: run chmod \
             go-w on that, or use another folder"
                .to_owned()
        }
        // The system's own words where the standard library has none, as for EIO and ENOLCK.
        (kind, Some(_)) if kind.to_string() == "uncategorized error" => error.to_string(),
        (kind, _) => kind.to_string(),
    }
}

/// If a file that holds a secret can be read by others than its owner, returns what to do about that. Where files cannot be changed, such
/// as in a volume of Kubernetes, the group may read it too: the system hands files over in this way.
pub fn open_to_others(path: &Path) -> Option<&'static str> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let mode = path.metadata().ok().filter(Metadata::is_file)?.mode();
        let is_read_only = mode & 0o077 != 0 && is_on_read_only_mount(path);
        let (bits, advice) = if is_read_only { (0o007, READ_ONLY) } else { (0o077, "run chmod 600 on it") };
        (mode & bits != 0).then_some(advice)
    }
    #[cfg(not(unix))]
    None
}

/// What to do about the mode of a file that cannot be changed.
pub(crate) const READ_ONLY: &str = "it is on a read-only mount, so set the mode where the mount is defined (Kubernetes: defaultMode: 0440 of the volume)";

/// Whether the mount that holds this path is read-only, as far as Linux tells it (proc(5), `mountinfo`).
pub(crate) fn is_on_read_only_mount(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let holding = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(4);
        let (point, options) = (fields.next()?, fields.next()?);
        path.starts_with(point).then_some((point.len(), options))
    });
    // Of several mounts at one point, the last one counts.
    let nearest = holding.max_by_key(|(length, _)| *length);
    nearest.is_some_and(|(_, options)| options.split(',').any(|option| option == "ro"))
}
