//! Whether files and folders are the user's own, and nobody else can replace them.

#[cfg(unix)]
use std::collections::VecDeque;
#[cfg(unix)]
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io;
#[cfg(unix)]
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
#[cfg(unix)]
use std::path::{Component, PathBuf};

/// Refuses a folder that is a symlink, belongs to another user, or that others may write to. That is enough for reading, because each file
/// that is read must be the user's own as well.
pub(crate) fn trust_folder(folder: &Path) -> io::Result<Metadata> {
    let metadata = fs::symlink_metadata(folder)?;
    if !metadata.is_dir() && !metadata.is_symlink() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    trust(&metadata)?;
    Ok(metadata)
}

/// Whether a path leads to this open file, and not to another file or a symlink.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(opened), Ok(named)) => is_same(&opened, &named),
        _ => false,
    }
}

pub(super) fn is_same(one: &Metadata, other: &Metadata) -> bool {
    #[cfg(unix)]
    {
        (one.dev(), one.ino()) == (other.dev(), other.ino())
    }
    #[cfg(not(unix))]
    {
        one.file_type() == other.file_type()
    }
}

/// Refuses a symlink, and a file or folder of another user or that others may write to.
pub(super) fn trust(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_symlink() {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    #[cfg(unix)]
    {
        if metadata.mode() & 0o022 != 0 || metadata.uid() != own_user()? {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
    }
    Ok(())
}

/// Returns the user that this process acts for, without unsafe code: the one that `/proc` names, or else the owner of a new pipe.
#[cfg(unix)]
fn own_user() -> io::Result<u32> {
    use std::os::fd::OwnedFd;
    use std::sync::OnceLock;
    static USER: OnceLock<u32> = OnceLock::new();
    if let Some(user) = USER.get() {
        return Ok(*user);
    }
    let of_pipe = || File::from(OwnedFd::from(io::pipe()?.0)).metadata();
    let user = fs::metadata("/proc/self").or_else(|_| of_pipe())?.uid();
    Ok(*USER.get_or_init(|| user))
}

/// The requirement on the folders above a store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Above {
    /// No folder on the way may be one that everybody can replace.
    NotEverybodys,
    /// No group and no other user may be able to do so either. Needed where the store's folder cannot be held by a descriptor.
    NobodyElses,
}

/// The number of symlinks that Linux follows.
#[cfg(unix)]
const MOST_LINKS: u32 = 40;

/// Checks the folders above a store, through symlinks too. A user who can write to a folder can replace its files, unless it has the
/// sticky bit.
///
/// # Errors
/// `ResourceBusy` for a folder that fails the requirement.
#[cfg(unix)]
pub(crate) fn check_above(path: &Path, wanted: Above) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    let mut rest: VecDeque<OsString> = parts(&path);
    let mut at = PathBuf::from("/");
    let mut links = 0;
    while let Some(part) = rest.pop_front() {
        // A user who can write to it can replace the next part.
        judge(&fs::symlink_metadata(&at)?, wanted)?;
        let next = if part == ".." { at.parent().unwrap_or(&at).to_owned() } else { at.join(&part) };
        let metadata = match fs::symlink_metadata(&next) {
            // keyfob makes the folders that do not exist yet.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            metadata => metadata?,
        };
        if !metadata.is_symlink() {
            at = next;
            continue;
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        let target = fs::read_link(&next)?;
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        parts(&target).into_iter().rev().for_each(|part| rest.push_front(part));
    }
    Ok(())
}

#[cfg(unix)]
fn parts(path: &Path) -> VecDeque<OsString> {
    let named = |part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().filter_map(named).collect()
}

#[cfg(unix)]
fn judge(folder: &Metadata, wanted: Above) -> io::Result<()> {
    if !folder.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let is_sticky = folder.mode() & 0o1000 != 0;
    let owner_is_safe = || Ok::<_, io::Error>(folder.uid() == 0 || folder.uid() == own_user()?);
    let is_safe = match wanted {
        Above::NotEverybodys => is_sticky || folder.mode() & 0o002 == 0,
        Above::NobodyElses => (is_sticky || folder.mode() & 0o022 == 0) && owner_is_safe()?,
    };
    if is_safe { Ok(()) } else { Err(io::ErrorKind::ResourceBusy.into()) }
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "as on other systems")]
pub(crate) fn check_above(_: &Path, _: Above) -> io::Result<()> {
    Ok(())
}
