//! The callback for the records of the library.

use std::ffi::{c_char, c_int, c_void};

use super::error::keyfob_error;
use super::pointer::User;
use crate::failure::keyfob_status;
use crate::log::{OnRecord, set};

/// Called with each record of the log.
///
/// `level`: 1 for an error, 2 for a warning, 3 for information, 4 for debugging.
/// `text`, `len`: one line without a NUL, valid until the callback returns. It never holds a secret
/// or the query of a URL.
///
/// The callback runs on any thread that uses keyfob. It must call no function of keyfob, and not
/// throw or `longjmp`.
pub type keyfob_log_fn =
    Option<unsafe extern "C" fn(level: c_int, text: *const c_char, len: usize, user: *mut c_void)>;

/// Sets the callback for the log records of all clients of this process: requests for tokens,
/// renewals, repeats, corrections of the clock, and tokens that could not be saved. Replaces the
/// callback that was set before. Waits until no thread runs the earlier callback.
///
/// `level`: the highest level that the callback receives, from 1 (errors) to 4 (debugging); 0 for
/// no records.
/// `callback`: NULL for none, which is the default.
/// `user`: passed to the callback. It must stay valid until another callback, or none, is set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_set_log(
    level: c_int,
    callback: keyfob_log_fn,
    user: *mut c_void,
    error: *mut keyfob_error,
) -> keyfob_status {
    let user = User(user);
    let on_record = callback.map(|callback| -> OnRecord {
        Box::new(move |level, text| {
            let level = c_int::try_from(level).unwrap_or(c_int::MAX);
            // SAFETY: the header asks for a callback that takes these, from any thread.
            unsafe { callback(level, text.as_ptr().cast(), text.len(), user.get()) }
        })
    });
    boundary!(error; set(level, on_record))
}
