//! Turns pointers into values and back.
//!
//! The code trusts C callers only as far as the header asks: a pointer that is not NULL points to the handle, or to as many
//! bytes as its length says. Everything else is checked here.

use std::ffi::{c_char, c_void};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{slice, str};

use crate::failure::{Failure, keyfob_status};

/// The longest text that is accepted, in bytes. The library has the same limit.
const MAX_TEXT: usize = 16 * 1024;

pub fn null(what: &str) -> Failure {
    Failure::new(keyfob_status::KEYFOB_NULL_POINTER, format!("the pointer to the {what} is NULL"))
}

/// Returns the caller's text. NULL with length 0 is an empty text.
///
/// # Safety
/// If not NULL, `start` points to `len` bytes that nobody changes while `'a` lasts.
pub unsafe fn text<'a>(what: &str, start: *const c_char, len: usize) -> Result<&'a str, Failure> {
    match (start.is_null(), len) {
        (_, 0) => Ok(""),
        (true, _) => Err(null(what)),
        // No byte is read: such a length was probably never initialized.
        (_, MAX_TEXT..) if len > MAX_TEXT => Err(Failure::invalid(format!(
            "the {what} is {len} bytes long; at most {MAX_TEXT} are accepted: is it the right length?"
        ))),
        // SAFETY: not NULL, so `len` bytes are there (the caller's promise). `len` is below `isize::MAX`, as just checked.
        _ => str::from_utf8(unsafe { slice::from_raw_parts(start.cast(), len) })
            .map_err(|e| Failure::invalid(format!("the {what} is not UTF-8 at byte {}", e.valid_up_to()))),
    }
}

/// Returns the caller's bytes, or `None` for NULL with length 0.
///
/// # Safety
/// As [`text`].
pub unsafe fn bytes<'a>(what: &str, start: *const c_char, len: usize) -> Result<Option<&'a [u8]>, Failure> {
    match (start.is_null(), len) {
        (true, 0) => Ok(None),
        (true, _) => Err(null(what)),
        _ if isize::try_from(len).is_err() => {
            Err(Failure::invalid(format!("the {what} is {len} bytes long: is it the right length?")))
        }
        // SAFETY: not NULL, so `len` bytes are there (the caller's promise), and `len` is at most `isize::MAX`, as just checked.
        _ => Ok(Some(unsafe { slice::from_raw_parts(start.cast(), len) })),
    }
}

/// Space for a result, checked before any work is done.
pub struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    /// If not NULL, `place` has space for a `T` until `put`.
    pub unsafe fn new(what: &str, place: *mut T) -> Result<Self, Failure> {
        if place.is_null() { Err(null(what)) } else { Ok(Self(place)) }
    }

    pub fn put(self, value: T) {
        // SAFETY: not NULL, and with space for a `T`: the promise of `new`. The old content is not read.
        unsafe { self.0.write(value) }
    }
}

/// The caller's buffer for text, checked before any work is done.
pub struct Buffer {
    start: *mut c_char,
    cap: usize,
    len: *mut usize,
}

impl Buffer {
    /// # Safety
    /// If not NULL, `start` has space for `cap` bytes, and `len` for a `usize`, until `fill`.
    pub unsafe fn new(start: *mut c_char, cap: usize, len: *mut usize) -> Result<Self, Failure> {
        match (start.is_null() && cap > 0, len.is_null()) {
            (true, _) => Err(null("buffer")),
            (_, true) => Err(null("length")),
            _ => Ok(Self { start, cap, len }),
        }
    }

    /// Copies a text in two parts and a NUL, or writes the needed size to the length.
    pub fn fill(self, start: &[u8], rest: &[u8]) -> Result<(), Failure> {
        let len = start.len() + rest.len();
        let needed = len + 1;
        if self.cap < needed {
            // SAFETY: not NULL, and with space for a `usize`: the promise of `new`.
            unsafe { self.len.write(needed) };
            return Err(Failure::new(
                keyfob_status::KEYFOB_BUFFER_TOO_SMALL,
                format!("the buffer has {} bytes, and {needed} are needed", self.cap),
            ));
        }
        // SAFETY: `cap` is not 0, so `start` is not NULL and has space for `cap` bytes (the promise of `new`), which is
        // enough. The buffer is the caller's and the text is the library's, so they do not overlap.
        unsafe {
            self.start.copy_from_nonoverlapping(start.as_ptr().cast(), start.len());
            self.start.add(start.len()).copy_from_nonoverlapping(rest.as_ptr().cast(), rest.len());
            self.start.add(len).write(0);
            self.len.write(len);
        }
        Ok(())
    }
}

/// Returns the value behind a handle.
///
/// # Safety
/// If not NULL, `handle` was made by `give` and is not freed while `'a` lasts.
pub unsafe fn handle<'a, T>(what: &str, handle: *const T) -> Result<&'a T, Failure> {
    // SAFETY: the caller's promise.
    unsafe { handle.as_ref() }.ok_or_else(|| null(what))
}

/// Makes a handle, to be freed with `free`.
pub fn give<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

/// Frees a handle.
///
/// # Safety
/// If not NULL, `handle` was made by `give`, has not been freed, and nobody uses it any more.
pub unsafe fn free<T>(handle: *mut T) {
    if !handle.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(handle) });
    }
}

/// Delays `pthread_cancel` until it is dropped. A cancellation would unwind Rust code, and that ends the process.
pub struct Uncancelled {
    #[cfg(target_os = "linux")]
    before: std::ffi::c_int,
}

#[cfg(target_os = "linux")]
unsafe extern "C" {
    // The crate `libc` does not declare it.
    fn pthread_setcancelstate(state: std::ffi::c_int, before: *mut std::ffi::c_int) -> std::ffi::c_int;
}

#[cfg(target_os = "linux")]
impl Uncancelled {
    pub fn begin() -> Self {
        const DISABLE: std::ffi::c_int = 1;
        let mut before = 0;
        // SAFETY: `before` has space for an `int`, and POSIX defines the state.
        unsafe { pthread_setcancelstate(DISABLE, &raw mut before) };
        Self { before }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Uncancelled {
    fn drop(&mut self) {
        // SAFETY: as above. This restores the old state.
        unsafe { pthread_setcancelstate(self.before, std::ptr::null_mut()) };
    }
}

#[cfg(not(target_os = "linux"))]
impl Uncancelled {
    pub fn begin() -> Self {
        Self {}
    }
}

/// The process in which a handle was made.
pub struct Process {
    forks: u32,
}

/// The number of forks between the process that first made a handle and this one.
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
                // SAFETY: the handler only counts, so it may run at any fork. If the registration fails for lack of memory, forks
                // are not noticed.
                unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
            });
        }
        Self { forks: FORKS.load(Ordering::Relaxed) }
    }

    /// Refuses a handle of another process. Threads that the child does not have may hold its locks, and its connections
    /// belong to the parent.
    pub fn check(&self, what: &str) -> Result<(), Failure> {
        if self.forks == FORKS.load(Ordering::Relaxed) {
            return Ok(());
        }
        let text =
            format!("the {what} was made before a fork, in the parent: make another one in this process");
        Err(Failure::new(keyfob_status::KEYFOB_FORKED, text))
    }
}

/// The caller's pointer, to be passed to its callbacks.
#[derive(Clone, Copy)]
pub struct User(pub *mut c_void);

// SAFETY: this library never dereferences the pointer, and the header says that callbacks run on other threads.
unsafe impl Send for User {}
// SAFETY: as above.
unsafe impl Sync for User {}

impl User {
    /// A method, so that closures capture the whole value.
    pub fn get(self) -> *mut c_void {
        self.0
    }
}
