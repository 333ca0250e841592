//! [`Secret`]: the one type that owns secret bytes.

use std::fmt;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use zeroize::{ZeroizeOnDrop, optimization_barrier};

/// Bytes that are wiped when dropped and never printed.
///
/// Passwords, client secrets, tokens, form bodies and answers are kept in it. `Debug` shows neither content nor length. There is no
/// `Display`, no comparison and no serialization: only [`expose`](Self::expose) and [`expose_str`](Self::expose_str) give access.
///
/// ```
/// let secret = keyfob::Secret::from("correct horse");
/// assert_eq!(format!("{secret:?}"), "Secret(***)");
/// assert_eq!(secret.expose(), b"correct horse");
/// ```
#[derive(Clone, Default)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Returns the bytes. The caller must wipe copies made of them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Returns the bytes as text, if they are UTF-8.
    pub fn expose_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Returns the buffer. The caller must wipe it, unless it holds no secret.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }

    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends, and wipes the old buffer when a larger one is needed (`Vec` alone would leave it behind).
    // Not inlined, as `wipe_all` is not: they are called at so many places that each copy counts in the size of a program.
    #[inline(never)]
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// Appends `len` zero bytes and returns them for filling.
    pub(crate) fn extend_zeroed(&mut self, len: usize) -> &mut [u8] {
        // `resize` writes byte by byte where this is optimised for size.
        const ZEROS: [u8; 512] = [0; 512];
        self.reserve(len);
        let (start, end) = (self.0.len(), self.0.len() + len);
        while self.0.len() < end {
            self.0.extend_from_slice(&ZEROS[..ZEROS.len().min(end - self.0.len())]);
        }
        &mut self.0[start..]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        wipe(&mut self.0[len..]);
        self.0.truncate(len);
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.0.capacity()
    }

    #[inline(never)]
    fn reserve(&mut self, additional: usize) {
        let needed = self.0.len() + additional;
        if needed > self.0.capacity() {
            let mut larger = Vec::with_capacity(needed.max(2 * self.0.capacity()));
            larger.extend_from_slice(&self.0);
            wipe_all(&mut self.0);
            self.0 = larger;
        }
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        wipe_all(&mut self.0);
    }
}

/// Wipes bytes in one sweep. `zeroize` itself writes byte by byte, which took a third of the time to sign an assertion. The barrier makes
/// the compiler keep the writes.
pub(crate) fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    optimization_barrier(&*bytes);
}

/// Wipes the whole capacity.
#[inline(never)]
fn wipe_all(bytes: &mut Vec<u8>) {
    bytes.clear();
    // In pieces, because one `memset` of a long buffer may count each byte as an instruction (`rep stosb`).
    for piece in bytes.spare_capacity_mut().chunks_mut(1024) {
        piece.fill(MaybeUninit::new(0));
        optimization_barrier(&*piece);
    }
}

impl ZeroizeOnDrop for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Takes over the buffer of the `String` without a copy.
impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

/// Takes over the buffer of the `Vec` without a copy.
impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// Copies the text. The caller must wipe the original.
impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

/// Does the work, and then overwrites the part of the stack that the work used. Hashes, encoders, parsers and moves of values leave copies
/// of secrets there that nobody owns. The result is not overwritten.
pub(crate) fn on_wiped_stack<T>(work: impl FnOnce() -> T) -> T {
    let result = below(work);
    wipe_stack();
    result
}

/// Is not inlined, so that its frame lies where that of [`wipe_stack`] will be.
#[inline(never)]
fn below<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Overwrites more of the stack than flows use, as `tests/stack.rs` shows. In pieces, as in [`wipe_all`].
#[inline(never)]
#[allow(clippy::large_stack_arrays, reason = "it is the stack that is wiped")]
fn wipe_stack() {
    let mut frames = [const { MaybeUninit::<[u8; 1024]>::uninit() }; 64];
    for piece in &mut frames {
        optimization_barrier(piece.write([0; 1024]));
    }
}

/// A secret that is in use. Clones share its bytes. Until the last clone is dropped, every text of a server is compared with it.
#[derive(Clone)]
pub(crate) struct Known(Arc<Secret>);

/// All secrets in use in this process. The list keeps none of them alive, and holds no copy.
static KNOWN: Mutex<Vec<Weak<Secret>>> = Mutex::new(Vec::new());

/// The shortest secret that is listed. A shorter one occurs in any text by chance, so texts of servers would be withheld for no reason.
const SHORTEST_KNOWN: usize = 4;

impl Known {
    pub(crate) fn new(secret: impl Into<Secret>) -> Self {
        let secret = Arc::new(secret.into());
        if secret.len() >= SHORTEST_KNOWN {
            let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() == known.capacity() {
                // The list may double before the next cleaning. So each new secret costs the check of one other.
                known.retain(|secret| secret.strong_count() > 0);
                let space = known.len().max(16);
                known.reserve(space);
            }
            known.push(Arc::downgrade(&secret));
        }
        Self(secret)
    }

    /// Returns the secrets that are in use now. Their bytes stay until the result is dropped.
    pub(crate) fn all() -> Vec<Arc<Secret>> {
        KNOWN.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }
}

impl Deref for Known {
    type Target = Secret;

    fn deref(&self) -> &Secret {
        &self.0
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_known_while_it_is_in_use() {
        let is_known = |text: &str| Known::all().iter().any(|secret| secret.expose() == text.as_bytes());
        let secret = Known::new("known-while-in-use");
        let other = secret.clone();
        assert!(is_known("known-while-in-use"));
        drop(secret);
        assert!(is_known("known-while-in-use"), "a clone is in use");
        drop(other);
        assert!(!is_known("known-while-in-use"));
        let short = Known::new("kn0");
        assert!(!is_known("kn0"));
        drop(short);
        // Dropped secrets are removed from the list. Other tests hold some hundreds.
        for number in 0..100_000 {
            drop(Known::new(format!("secret {number}")));
        }
        assert!(KNOWN.lock().unwrap().capacity() < 50_000);
    }

    #[test]
    fn debug_of_a_secret_shows_neither_content_nor_length() {
        assert_eq!(format!("{:?}", Secret::from("hunter2")), "Secret(***)");
        assert_eq!(format!("{:?}", Secret::default()), "Secret(***)");
    }

    /// Returns the stack after `work`. Another thread reads it, while the one that did the work waits.
    #[cfg(target_os = "linux")]
    fn stack_after(work: fn()) -> Vec<u8> {
        use std::io::{Read as _, Seek as _, SeekFrom};
        use std::sync::mpsc;

        /// Calls `work` deeper in the stack than anything that the thread does next.
        #[inline(never)]
        fn further_down(work: fn()) {
            let above = [0_u8; 16 * 1024];
            optimization_barrier(&above);
            work();
            optimization_barrier(&above);
        }
        let (say, said) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let worker = std::thread::spawn(move || {
            further_down(work);
            let here = 0_u8;
            say.send(std::ptr::from_ref(&here).addr()).unwrap();
            let _ = released.recv();
        });
        let mut stack = vec![0; 128 * 1024];
        let mut memory = std::fs::File::open("/proc/self/mem").unwrap();
        memory.seek(SeekFrom::Start((said.recv().unwrap() - stack.len()) as u64)).unwrap();
        memory.read_exact(&mut stack).unwrap();
        drop(release);
        worker.join().unwrap();
        stack
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn wiped_stack_holds_no_copy_of_a_secret() {
        const SECRET: &[u8; 32] = b"a copy that nobody else will own";

        /// Leaves a copy at the top of the stack, and one 40 KiB below.
        #[inline(never)]
        fn copy() {
            #[expect(clippy::large_stack_arrays, reason = "deep on the stack")]
            let mut copies = [0_u8; 40 * 1024];
            copies[..32].copy_from_slice(SECRET);
            copies[40 * 1024 - 32..].copy_from_slice(SECRET);
            optimization_barrier(&copies);
        }
        let left = |work| stack_after(work).windows(12).filter(|piece| *piece == &SECRET[..12]).count();
        // The thread's wait may have overwritten the upper copy.
        assert_ne!(left(copy), 0, "it would be seen");
        assert_eq!(left(|| on_wiped_stack(copy)), 0);
    }

    #[test]
    fn secret_keeps_its_bytes_when_it_grows() {
        let mut secret = Secret::with_capacity(2);
        for chunk in ["ab", "cdef", "", "g"] {
            secret.extend(chunk.as_bytes());
        }
        secret.extend_zeroed(3)[..2].copy_from_slice(b"hi");
        secret.truncate(9);
        assert_eq!(secret.expose(), b"abcdefghi");
    }
}
