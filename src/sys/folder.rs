//! [`Folder`]: a folder that is reached through its open descriptor.

#[cfg(unix)]
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

#[cfg(unix)]
use crate::sys::file::options;
use crate::sys::trust::trust_folder;
#[cfg(unix)]
use crate::sys::trust::{Above, check_above, is_at, is_same};

/// A folder of the user's own, opened once. Its files are reached through the open descriptor, so nobody who can change a folder above
/// it can put another folder in its place meanwhile.
pub(crate) struct Folder {
    /// The path to it: `/proc/self/fd/` and a number, or its own path where there is no `/proc`.
    way: PathBuf,
    #[cfg(unix)]
    opened: File,
}

impl Folder {
    /// Opens a folder, and checks it as [`trust_folder`] does.
    #[cfg(unix)]
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let named = trust_folder(path)?;
        let opened = options().read(true).open(path)?;
        let metadata = opened.metadata()?;
        if !is_same(&named, &metadata) {
            return Err(exchanged());
        }
        let way = if let Some(way) = way_through_proc(&opened, &metadata) {
            way
        } else {
            check_above(path, Above::NobodyElses)?;
            path.to_owned()
        };
        Ok(Self { way, opened })
    }

    #[cfg(not(unix))]
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        trust_folder(path)?;
        Ok(Self { way: path.to_owned() })
    }

    /// Returns the path to a file in the folder. Valid while this value exists.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.way.join(name)
    }

    /// Whether the folder was removed, and not just moved.
    pub(crate) fn is_removed(&self) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            self.opened.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
        }
        #[cfg(not(unix))]
        {
            !self.way.is_dir()
        }
    }

    /// Whether this path still leads to the folder.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        #[cfg(unix)]
        {
            is_at(&self.opened, path)
        }
        #[cfg(not(unix))]
        {
            path.is_dir()
        }
    }
}

/// The error for a folder or file that was replaced between the check of its name and its opening.
fn exchanged() -> io::Error {
    io::ErrorKind::StaleNetworkFileHandle.into()
}

/// Returns the path to a folder by its descriptor, where the system has one.
#[cfg(unix)]
fn way_through_proc(folder: &File, metadata: &Metadata) -> Option<PathBuf> {
    use std::os::fd::AsRawFd as _;
    use std::sync::OnceLock;
    static WORKS: OnceLock<bool> = OnceLock::new();
    let way = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
    let works = || fs::metadata(&way).is_ok_and(|found| is_same(&found, metadata));
    WORKS.get_or_init(works).then_some(way)
}
