//! `keyfob_error`, and the one way in which every call ends.

use std::ffi::{c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::pointer::Uncancelled;
use crate::failure::{Failure, keyfob_status};
use keyfob_status::{KEYFOB_OK, KEYFOB_PANIC};

/// Size of `oauth_error` in `keyfob_error`, in bytes, including its NUL.
pub const KEYFOB_OAUTH_ERROR_SIZE: usize = 64;

/// Size of `message` in `keyfob_error`, in bytes, including its NUL.
pub const KEYFOB_MESSAGE_SIZE: usize = 1024;

/// Details of a failure. It belongs to the caller, for example on the stack, and needs no
/// initialization. A function that fails fills all of it. A function that succeeds does not change
/// it. It never holds a secret.
///
/// Its layout does not change as long as the library is called `libkeyfob.so.0`.
#[repr(C)]
pub struct keyfob_error {
    /// The status that the function returned.
    status: keyfob_status,
    /// The HTTP status, if the server answered with another status than 2xx or with an answer that
    /// cannot be used; else 0.
    http_status: c_int,
    /// How long the server asked to wait, in milliseconds; 0 if it did not ask.
    retry_after_ms: u64,
    /// The server's own error code, such as `invalid_client` (RFC 6749 5.2); empty if it sent none.
    oauth_error: [c_char; KEYFOB_OAUTH_ERROR_SIZE],
    /// What was being done, what went wrong and what to do next, in one line of UTF-8.
    message: [c_char; KEYFOB_MESSAGE_SIZE],
}

/// Makes the call, catches a panic, and fills `error` if the call fails. The thread cannot be
/// cancelled before it returns.
///
/// # Safety
/// If not NULL, `error` has space for a `keyfob_error`.
pub unsafe fn answer(error: *mut keyfob_error, call: impl FnOnce() -> Result<(), Failure>) -> keyfob_status {
    let _uncancelled = Uncancelled::begin();
    let failure = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(())) => return KEYFOB_OK,
        Ok(Err(failure)) => failure,
        Err(_) => Failure::new(KEYFOB_PANIC, "a bug in keyfob ended the call; please report it"),
    };
    if !error.is_null() {
        // SAFETY: the caller's promise. The old content is not read, so it may be anything.
        unsafe { error.write(describe(&failure)) };
    }
    failure.status
}

fn describe(failure: &Failure) -> keyfob_error {
    let retry_after =
        failure.retry_after.map_or(0, |wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    keyfob_error {
        status: failure.status,
        http_status: failure.http_status.map_or(0, c_int::from),
        retry_after_ms: retry_after,
        oauth_error: chars(failure.oauth_error.as_deref().unwrap_or_default()),
        message: chars(&failure.text),
    }
}

/// Returns as many whole characters of the text as fit, and a NUL.
fn chars<const N: usize>(text: &str) -> [c_char; N] {
    let mut chars = [0; N];
    let len = (0..=text.len().min(N - 1)).rfind(|&at| text.is_char_boundary(at)).unwrap_or(0);
    for (to, from) in chars.iter_mut().zip(text.as_bytes()[..len].iter()) {
        *to = from.cast_signed() as c_char;
    }
    chars
}
