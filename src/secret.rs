//! [`Secret`]: the one type that owns secret bytes.

use std::fmt;

use zeroize::{ZeroizeOnDrop, optimization_barrier};

/// Bytes that are wiped when dropped and never printed.
///
/// Passwords, client secrets, tokens, form bodies and answers live in it. `Debug` shows no content and no
/// length; there is no `Display`, no comparison and no serialization. [`expose`](Self::expose) is the only way in.
///
/// ```
/// let secret = keyfob::Secret::from("correct horse");
/// assert_eq!(format!("{secret:?}"), "Secret(***)");
/// assert_eq!(secret.expose(), b"correct horse");
/// ```
#[derive(Clone, Default)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The bytes themselves. Copies made of them are the caller's to wipe.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text, if they are UTF-8.
    pub fn expose_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
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
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// Appends `len` zero bytes and returns them for filling.
    pub(crate) fn extend_zeroed(&mut self, len: usize) -> &mut [u8] {
        self.reserve(len);
        let start = self.0.len();
        self.0.resize(start + len, 0);
        &mut self.0[start..]
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.0[len..].fill(0);
        optimization_barrier(self.0.as_slice());
        self.0.truncate(len);
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.0.capacity()
    }

    fn reserve(&mut self, additional: usize) {
        let needed = self.0.len() + additional;
        if needed > self.0.capacity() {
            let mut larger = Vec::with_capacity(needed.max(2 * self.0.capacity()));
            larger.extend_from_slice(&self.0);
            wipe(&mut self.0);
            self.0 = larger;
        }
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// The whole capacity, in one sweep: `zeroize` itself writes each byte on its own, which took a third of minting an
/// assertion. The barrier has the compiler keep the writes.
fn wipe(bytes: &mut Vec<u8>) {
    let capacity = bytes.capacity();
    bytes.clear();
    bytes.resize(capacity, 0);
    optimization_barrier(bytes.as_slice());
    bytes.clear();
}

impl ZeroizeOnDrop for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Takes over the buffer of the `String`: nothing is copied.
impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

/// Takes over the buffer of the `Vec`: nothing is copied.
impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// Copies; the original is the caller's to wipe.
impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_neither_content_nor_length() {
        assert_eq!(format!("{:?}", Secret::from("hunter2")), "Secret(***)");
        assert_eq!(format!("{:?}", Secret::default()), "Secret(***)");
    }

    #[test]
    fn growing_keeps_the_bytes() {
        let mut secret = Secret::with_capacity(2);
        for chunk in ["ab", "cdef", "", "g"] {
            secret.extend(chunk.as_bytes());
        }
        secret.extend_zeroed(3)[..2].copy_from_slice(b"hi");
        secret.truncate(9);
        assert_eq!(secret.expose(), b"abcdefghi");
    }
}
