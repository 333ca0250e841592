//! Files that hold secrets: written so that a crash leaves the old or the new one, never neither.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::Secret;
use crate::words::printable_up_to;

/// Largest file that is read.
const MAX_SIZE: u64 = 1024 * 1024;

/// Room that is proved before anything is asked of a server. App credentials are a tenth of it.
const PROVED_ROOM: usize = 4096;

/// Reads a regular file, through symlinks, into a wiped buffer. `None` if there is none.
pub(crate) fn read(path: &Path) -> io::Result<Option<Secret>> {
    // Not opened unless it is a file: opening a pipe would wait for its writer.
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => read_whole(&mut File::open(path)?, metadata.len()).map(Some),
        Ok(_) => Err(io::ErrorKind::InvalidInput.into()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Reads a file of our own making: no symlink, and nobody else's.
pub(crate) fn read_own(path: &Path) -> io::Result<Option<Secret>> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    trust(&metadata)?;
    if !metadata.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        let opened = file.metadata()?;
        // Replaced in between, by a rename of ours or by a symlink of someone else's: what counts is what was opened.
        if opened.ino() != metadata.ino() || opened.dev() != metadata.dev() {
            trust(&opened)?;
            if fs::symlink_metadata(path).is_ok_and(|now| now.is_symlink()) {
                return Err(io::ErrorKind::InvalidFilename.into());
            }
        }
        if opened.mode() & 0o077 != 0 {
            match file.set_permissions(fs::Permissions::from_mode(0o600)) {
                // It can be read all the same.
                Err(e) if e.kind() == io::ErrorKind::ReadOnlyFilesystem => {}
                done => done?,
            }
        }
    }
    read_whole(&mut file, metadata.len()).map(Some)
}

fn read_whole(file: &mut File, size: u64) -> io::Result<Secret> {
    let too_large = || io::Error::from(io::ErrorKind::FileTooLarge);
    let size = usize::try_from(size.min(MAX_SIZE + 1)).map_err(|_| too_large())?;
    let mut content = Secret::with_capacity(size + 1);
    let mut file = file.take(MAX_SIZE + 1);
    loop {
        let start = content.len();
        let left = (size + 1).saturating_sub(start);
        // More than its size: it grows, or is none that has one.
        let room = if left == 0 { 4096 } else { left };
        let read = file.read(content.extend_zeroed(room));
        content.truncate(start + read.as_ref().map_or(0, |&n| n));
        match read {
            Ok(0) if content.len() as u64 > MAX_SIZE => return Err(too_large()),
            Ok(0) => return Ok(content),
            Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e),
            _ => {}
        }
    }
}

/// Makes a folder that only the user may enter, if it is not there.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Refuses a folder that is a symlink, belongs to someone else, or that others may write to.
pub(crate) fn trust_folder(folder: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(folder)?;
    if !metadata.is_dir() && !metadata.is_symlink() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    trust(&metadata)
}

fn trust(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_symlink() {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        if metadata.mode() & 0o022 != 0 || own_user().is_some_and(|own| own != metadata.uid()) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
    }
    Ok(())
}

/// The user that this process acts for, where the system tells without unsafe code.
#[cfg(unix)]
fn own_user() -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    use std::sync::OnceLock;
    static USER: OnceLock<Option<u32>> = OnceLock::new();
    *USER.get_or_init(|| fs::metadata("/proc/self").ok().map(|metadata| metadata.uid()))
}

/// Opens a lock's file, which is made if need be and stays.
pub(crate) fn open_lock(path: &Path) -> io::Result<File> {
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Removes a file, if there is one; of a symlink, the link.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// A path for texts: one printable line of bounded length.
pub(crate) fn shown(path: &Path) -> String {
    printable_up_to(1000, &path.to_string_lossy())
}

/// The reason for texts. Kinds without an error of the system's are this module's own.
pub(crate) fn why(error: &io::Error) -> String {
    match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::InvalidInput, _) => "it is not a file".to_owned(),
        (io::ErrorKind::InvalidFilename, None) => "it is a symbolic link".to_owned(),
        (io::ErrorKind::PermissionDenied, None) => {
            "it belongs to someone else, or others may write to it: run chown and chmod 700 on it".to_owned()
        }
        // In the system's own words where the standard library has none, as for EIO and ENOLCK.
        (kind, Some(_)) if kind.to_string() == "uncategorized error" => error.to_string(),
        (kind, _) => kind.to_string(),
    }
}

/// Whether others than the owner may read or write the file.
pub(crate) fn is_open_to_others(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

const TEMPORARY: &str = ".tmp";

fn temporary_prefix(target: &OsStr) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(target);
    prefix.push(".");
    prefix
}

/// Whether a file is called like the temporary files of [`NewFile::create`] for this target.
pub(crate) fn is_temporary(name: &OsStr, target: &OsStr) -> bool {
    let random = name.as_encoded_bytes().strip_prefix(temporary_prefix(target).as_encoded_bytes());
    random.is_some_and(|random| random.ends_with(TEMPORARY.as_bytes()))
}

/// A file about to be written: created beside its target with room for the content, so that little can still fail.
#[derive(Debug)]
pub(crate) struct NewFile {
    file: File,
    temp: PathBuf,
    target: PathBuf,
}

impl NewFile {
    /// Creates the folder (0700) if need be and a temporary file (0600) in it, and proves that there is room. Symlinks
    /// are refused.
    pub(crate) fn create(target: &Path) -> io::Result<Self> {
        let folder = folder_of(target);
        let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        make_folder(folder)?;
        for path in [folder, target] {
            if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) {
                return Err(io::ErrorKind::InvalidFilename.into());
            }
        }
        if fs::symlink_metadata(target).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut temp_name = temporary_prefix(name);
        let random = getrandom::u64().map_err(|_| io::ErrorKind::Other)?;
        temp_name.push(format!("{random:016x}{TEMPORARY}"));
        let mut new = Self::create_at(target, folder.join(temp_name))?;
        new.file.write_all(&[b' '; PROVED_ROOM])?;
        new.file.sync_all()?;
        Ok(new)
    }

    /// Creates the temporary file under this name, in a folder that is there.
    pub(crate) fn create_at(target: &Path, temp: PathBuf) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        // O_EXCL: whoever has put something there first gets nothing of ours.
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Ok(Self { file: options.open(&temp)?, temp, target: target.to_owned() })
    }

    /// Writes the content through to the disk, still under its temporary name.
    pub(crate) fn write(&mut self, content: &[u8]) -> io::Result<()> {
        self.file.rewind()?;
        self.file.write_all(content)?;
        self.file.set_len(content.len() as u64)?;
        self.file.sync_all()
    }

    /// Gives what was written its name, in place of what has it now.
    pub(crate) fn replace(&self) -> io::Result<()> {
        self.rename_to(&self.target)
    }

    /// Gives what was written its name, if nothing has it.
    pub(crate) fn publish(&self) -> io::Result<()> {
        match fs::hard_link(&self.temp, &self.target) {
            Ok(()) => sync_folder(&self.target),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(e),
            // A file system without hard links.
            Err(_) if fs::symlink_metadata(&self.target).is_ok() => Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => self.replace(),
        }
    }

    /// Gives what was written another name in the same folder.
    pub(crate) fn rename_to(&self, path: &Path) -> io::Result<()> {
        fs::rename(&self.temp, path)?;
        sync_folder(path)
    }

    /// Keeps what was written beside the target, which is left as it is.
    pub(crate) fn keep_beside(&self, suffix: &str) -> io::Result<()> {
        keep_beside(&self.target, suffix, &self.temp)
    }

    pub(crate) fn target(&self) -> &Path {
        &self.target
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // Fails where it was renamed, which is the usual case.
        let _ = fs::remove_file(&self.temp);
    }
}

/// Gives what is at `path` a second name beside `target`, with the suffix and, if that is taken, a number. Whatever has
/// a name keeps it, also if many do this at once.
pub(crate) fn keep_beside(target: &Path, suffix: &str, path: &Path) -> io::Result<()> {
    let numbered = (2..).map(|n| with_suffix(target, &format!("{suffix}-{n}")));
    for name in std::iter::once(with_suffix(target, suffix)).chain(numbered) {
        let kept = fs::hard_link(path, &name).or_else(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => Err(e),
            // A file system without hard links.
            _ => copy_to_new(path, &name),
        });
        match kept {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
            Ok(()) => {
                #[cfg(unix)]
                {
                    use std::os::unix::fs::PermissionsExt as _;
                    fs::set_permissions(&name, fs::Permissions::from_mode(0o600))?;
                }
                return sync_folder(target);
            }
        }
    }
    Ok(())
}

fn copy_to_new(path: &Path, new: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut new = options.open(new)?;
    io::copy(&mut File::open(path)?, &mut new)?;
    new.sync_all()
}

/// `path` with something after its name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    // Windows cannot open folders, and renames there are journaled.
    if cfg!(unix) { File::open(folder_of(path))?.sync_all() } else { Ok(()) }
}
