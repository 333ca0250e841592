//! The boundary: every function of `include/keyfob.h`, and all unsafe code.
//!
//! Each function is one `boundary!`: it turns pointers into values, makes one call, and turns the outcome into a status.
//! The header is generated from the comments of this module's files.

#![allow(non_camel_case_types, reason = "these are names in C")]
#![allow(clippy::missing_safety_doc, reason = "`boundary!` states the contract of every function")]
#![allow(clippy::doc_markdown, reason = "the comments are those of a C header")]

/// The body of a function: `boundary!(error; let NAME = CONVERSION(ARGUMENT, …); … CALL)`.
///
/// Each conversion is an unsafe function that turns pointers into a value, or fails. `CALL` is safe and ends with a
/// `Result<(), Failure>`. `answer` turns that, or a panic, into a status and fills `error`.
///
/// # Safety
/// Each function relies on its caller to keep to the header. A pointer is NULL, or it points to what the header asks for: a
/// handle of this library that has not been freed, as many bytes as the length says, or space for a result. It stays valid until
/// the function returns. `error` is NULL or has space for a `keyfob_error`.
macro_rules! boundary {
    ($error:ident; $(let $name:ident = $($conversion:ident)::+($($argument:tt),+);)* $call:expr) => {{
        let call = || {
            // SAFETY: the contract above.
            $(let $name = unsafe { $($conversion)::+($($argument),+) }?;)*
            $call
        };
        // SAFETY: the contract above.
        unsafe { $crate::ffi::error::answer($error, call) }
    }};
}

mod client;
mod error;
mod log;
mod login;
mod options;
mod pointer;
mod token;
mod version;
mod wipe;

/// Panics, for the test that shows that no panic crosses the boundary.
#[cfg(feature = "test-panic")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_test_panic(error: *mut error::keyfob_error) -> crate::failure::keyfob_status {
    boundary!(error; panic!("on purpose"))
}

/// Threads share handles.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<options::keyfob_options>();
    shared::<client::keyfob_client>();
    shared::<login::keyfob_login>();
};
