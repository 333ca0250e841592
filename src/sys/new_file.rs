//! [`NewFile`]: writes a file so that a crash leaves the old one or the new one whole.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::secret::Secret;
use crate::sys::file::make_folder;
use crate::sys::trust::is_at;

/// The space that is proved before a server is asked, in bytes. App credentials need a tenth of it.
const PROVED_SPACE: usize = 4096;

const TEMPORARY: &str = ".tmp";

fn temporary_prefix(target: &OsStr) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(target);
    prefix.push(".");
    prefix
}

/// Whether a file has the name of a temporary file of [`NewFile::create`] for this target.
pub(crate) fn is_temporary(name: &OsStr, target: &OsStr) -> bool {
    let random = name.as_encoded_bytes().strip_prefix(temporary_prefix(target).as_encoded_bytes());
    random.is_some_and(|random| random.ends_with(TEMPORARY.as_bytes()))
}

/// A file about to be written. It is created beside its target with space for the content, so that little can still fail.
#[derive(Debug)]
pub(crate) struct NewFile {
    file: File,
    temp: PathBuf,
    target: PathBuf,
}

impl NewFile {
    /// Creates the folder (0700) if needed and a temporary file (0600) in it, and proves that there is space. Refuses symlinks.
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
        new.prove(PROVED_SPACE)?;
        Ok(new)
    }

    /// Tries all steps of [`write`](Self::write) and [`replace`](Self::replace). Writes `space` blanks to the disk, so that the disk is not
    /// full later, and checks that files may be renamed.
    pub(crate) fn prove(&mut self, space: usize) -> io::Result<()> {
        self.write(&vec![b' '; space])?;
        // A rename to itself is allowed and has no effect.
        fs::rename(&self.temp, &self.temp)
    }

    /// Whether the temporary file is still where it was made.
    pub(crate) fn is_there(&self) -> bool {
        is_at(&self.file, &self.temp)
    }

    /// Creates the temporary file under this name, in an existing folder.
    pub(crate) fn create_at(target: &Path, temp: PathBuf) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        // O_EXCL: a file that somebody else has put there receives no secret.
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Ok(Self { file: options.open(&temp)?, temp, target: target.to_owned() })
    }

    /// Writes the content to the disk, still under its temporary name.
    pub(crate) fn write(&mut self, content: &[u8]) -> io::Result<()> {
        self.fill(content)?;
        self.finish(content.len())
    }

    /// First half of [`write`](Self::write): puts the content into the file. Blanks may follow it.
    pub(crate) fn fill(&mut self, content: &[u8]) -> io::Result<()> {
        self.file.rewind()?;
        self.file.write_all(content)
    }

    /// Second half of [`write`](Self::write): cuts off what follows the content, and syncs the file to the disk.
    pub(crate) fn finish(&self, len: usize) -> io::Result<()> {
        self.file.set_len(len as u64)?;
        self.file.sync_all()
    }

    /// Renames the file to its target, and replaces the file there.
    pub(crate) fn replace(&self) -> io::Result<()> {
        self.rename_to(&self.target)
    }

    /// Gives the file the name of its target, if no file has that name.
    pub(crate) fn publish(&self) -> io::Result<()> {
        match fs::hard_link(&self.temp, &self.target) {
            Ok(()) => sync_folder(&self.target),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(e),
            // A file system without hard links.
            Err(_) if fs::symlink_metadata(&self.target).is_ok() => Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => self.replace(),
        }
    }

    /// Gives the file another name in the same folder.
    pub(crate) fn rename_to(&self, path: &Path) -> io::Result<()> {
        fs::rename(&self.temp, path)?;
        sync_folder(path)
    }

    /// Keeps the file beside the target and returns its path. Leaves the target as it is.
    pub(crate) fn keep_beside(&self, suffix: &str) -> io::Result<PathBuf> {
        keep_beside(&self.target, suffix, &self.temp)
    }

    pub(crate) fn target(&self) -> &Path {
        &self.target
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // Fails after a rename, which is the usual case.
        let _ = fs::remove_file(&self.temp);
    }
}

/// Gives the file at `path` a second name beside `target`, with the suffix and, if that name is taken, a number. Returns the name. No
/// existing file loses its name, even if many processes do this at once.
pub(crate) fn keep_beside(target: &Path, suffix: &str, path: &Path) -> io::Result<PathBuf> {
    let numbered = (2..1_000).map(|n| with_suffix(target, &format!("{suffix}-{n}")));
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
                return sync_folder(target).map(|()| name);
            }
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn copy_to_new(path: &Path, new: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut new = options.open(new)?;
    new.write_all(Secret::from(fs::read(path)?).expose())?;
    new.sync_all()
}

/// Returns `path` with a suffix after its name.
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
