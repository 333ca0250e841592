//! From pointers to values and back.
//!
//! What C code hands over is trusted as far as the header asks for it: a pointer that is not NULL points to as many bytes,
//! or to the handle, that it is said to. All else is checked here.

use std::ffi::c_char;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{slice, str};

use crate::failure::{Failure, keyfob_status};

/// The longest text that is read. The library takes no longer one either.
const MAX_TEXT: usize = 16 * 1024;

pub fn null(what: &str) -> Failure {
    Failure::new(keyfob_status::KEYFOB_NULL_POINTER, format!("the pointer to the {what} is NULL"))
}

/// Text of the caller's. NULL is empty if its length is 0.
///
/// # Safety
/// If not NULL, `start` points to `len` bytes that nobody changes while `'a` lasts.
pub unsafe fn text<'a>(what: &str, start: *const c_char, len: usize) -> Result<&'a str, Failure> {
    match (start.is_null(), len) {
        (_, 0) => Ok(""),
        (true, _) => Err(null(what)),
        // Not a byte is looked at: a length like this is one that was never set.
        (_, MAX_TEXT..) if len > MAX_TEXT => Err(Failure::invalid(format!(
            "the {what} is {len} bytes long; at most {MAX_TEXT} are accepted: is it the right length?"
        ))),
        // SAFETY: not NULL, so `len` bytes are there (the caller's promise); short of `isize::MAX`, as was just checked.
        _ => str::from_utf8(unsafe { slice::from_raw_parts(start.cast(), len) })
            .map_err(|e| Failure::invalid(format!("the {what} is not UTF-8 at byte {}", e.valid_up_to()))),
    }
}

/// A place for a result, checked before any work is done.
pub struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    /// If not NULL, `place` is good for a `T` until `put`.
    pub unsafe fn new(what: &str, place: *mut T) -> Result<Self, Failure> {
        if place.is_null() { Err(null(what)) } else { Ok(Self(place)) }
    }

    pub fn put(self, value: T) {
        // SAFETY: not NULL, and good for a `T`: the promise of `new`. What is there is not read, it may be anything.
        unsafe { self.0.write(value) }
    }
}

/// A buffer of the caller's for text, checked before any work is done.
pub struct Buffer {
    start: *mut c_char,
    cap: usize,
    len: *mut usize,
}

impl Buffer {
    /// # Safety
    /// If not NULL, `start` is good for `cap` bytes, and `len` for a `usize`, until `fill`.
    pub unsafe fn new(start: *mut c_char, cap: usize, len: *mut usize) -> Result<Self, Failure> {
        match (start.is_null() && cap > 0, len.is_null()) {
            (true, _) => Err(null("buffer")),
            (_, true) => Err(null("length")),
            _ => Ok(Self { start, cap, len }),
        }
    }

    /// Copies a text, which comes in two parts, and a NUL, or tells the size that is needed.
    pub fn fill(self, start: &[u8], rest: &[u8]) -> Result<(), Failure> {
        let len = start.len() + rest.len();
        let needed = len + 1;
        if self.cap < needed {
            // SAFETY: not NULL, and good for a `usize`: the promise of `new`.
            unsafe { self.len.write(needed) };
            return Err(Failure::new(
                keyfob_status::KEYFOB_BUFFER_TOO_SMALL,
                format!("the buffer has {} bytes, and {needed} are needed", self.cap),
            ));
        }
        // SAFETY: `cap` is not 0, so `start` is not NULL, and is good for `cap` bytes (the promise of `new`), which are
        // enough. They are the caller's, so they are not the text, which is ours.
        unsafe {
            self.start.copy_from_nonoverlapping(start.as_ptr().cast(), start.len());
            self.start.add(start.len()).copy_from_nonoverlapping(rest.as_ptr().cast(), rest.len());
            self.start.add(len).write(0);
            self.len.write(len);
        }
        Ok(())
    }
}

/// What a handle stands for.
///
/// # Safety
/// If not NULL, `handle` came from `give` and has not been freed, nor is while `'a` lasts.
pub unsafe fn handle<'a, T>(what: &str, handle: *const T) -> Result<&'a T, Failure> {
    // SAFETY: the caller's promise.
    unsafe { handle.as_ref() }.ok_or_else(|| null(what))
}

/// A new handle, for `free` to end.
pub fn give<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

/// # Safety
/// If not NULL, `handle` came from `give` and has not been freed, and nobody uses it any more.
pub unsafe fn free<T>(handle: *mut T) {
    if !handle.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(handle) });
    }
}

/// While it lives, `pthread_cancel` does not end the thread: it would unwind Rust code, and so end the process.
pub struct Uncancelled {
    #[cfg(target_os = "linux")]
    before: std::ffi::c_int,
}

#[cfg(target_os = "linux")]
unsafe extern "C" {
    // Not in the crate `libc`.
    fn pthread_setcancelstate(state: std::ffi::c_int, before: *mut std::ffi::c_int) -> std::ffi::c_int;
}

#[cfg(target_os = "linux")]
impl Uncancelled {
    pub fn begin() -> Self {
        const DISABLE: std::ffi::c_int = 1;
        let mut before = 0;
        // SAFETY: `before` is good for an `int`, and the state is one that POSIX knows.
        unsafe { pthread_setcancelstate(DISABLE, &raw mut before) };
        Self { before }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Uncancelled {
    fn drop(&mut self) {
        // SAFETY: as above; the state is what it was.
        unsafe { pthread_setcancelstate(self.before, std::ptr::null_mut()) };
    }
}

#[cfg(not(target_os = "linux"))]
impl Uncancelled {
    pub fn begin() -> Self {
        Self {}
    }
}

/// The process that something was made in.
pub struct Process {
    forks: u32,
}

/// How many forks lie between the process that first made a handle and this one.
static FORKS: AtomicU32 = AtomicU32::new(0);

impl Process {
    pub fn current() -> Self {
        #[cfg(unix)]
        {
            static WATCH: std::sync::Once = std::sync::Once::new();
            extern "C" fn in_child() {
                FORKS.fetch_add(1, Ordering::Relaxed);
            }
            WATCH.call_once(|| {
                // SAFETY: a handler that does nothing but count may run at any fork. If there is no memory to register it
                // with, forks go unnoticed, as they would without it.
                unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
            });
        }
        Self { forks: FORKS.load(Ordering::Relaxed) }
    }

    /// Refuses what is another process's: its locks may be held by threads that a child does not have, and its connections
    /// are the parent's.
    pub fn check(&self, what: &str) -> Result<(), Failure> {
        if self.forks == FORKS.load(Ordering::Relaxed) {
            return Ok(());
        }
        let text =
            format!("the {what} was made before a fork, in the parent: make another one in this process");
        Err(Failure::new(keyfob_status::KEYFOB_FORKED, text))
    }
}
