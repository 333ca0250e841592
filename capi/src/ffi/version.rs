//! The version, and the names of statuses.

use std::ffi::{c_char, c_int};
use std::panic::catch_unwind;

use crate::failure;

/// Returns the version of the library, such as "0.1.0". `KEYFOB_VERSION` is the version of the
/// header.
///
/// The text is NUL-terminated and stays valid until the program ends.
#[unsafe(no_mangle)]
pub extern "C" fn keyfob_version() -> *const c_char {
    // A constant: nothing here can panic.
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// Returns the name of a status, such as "KEYFOB_TIMEOUT", for logs. Returns "unknown status" for a
/// number that this library does not know.
///
/// The text is NUL-terminated and stays valid until the program ends.
#[unsafe(no_mangle)]
pub extern "C" fn keyfob_status_name(status: c_int) -> *const c_char {
    catch_unwind(|| failure::name(status)).unwrap_or(c"unknown status").as_ptr()
}
