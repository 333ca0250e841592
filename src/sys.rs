//! Services of the operating system: files that hold secrets, random bytes.

pub(crate) mod credentials;
pub(crate) mod file;
pub(crate) mod folder;
pub(crate) mod new_file;
pub(crate) mod random;
pub(crate) mod trust;
