//! Random bytes that nobody can guess.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::{Error, ErrorKind, Secret};

/// Fills the buffer from the operating system.
pub(crate) fn fill(buffer: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(buffer).map_err(|_| {
        let text = "could not get random bytes from the operating system; try again later";
        Error::new(ErrorKind::Store, text)
    })
}

/// 32 random bytes in base64url: 43 characters.
pub(crate) fn text() -> Result<Secret, Error> {
    const LEN: usize = 43;
    let mut bytes = Secret::with_capacity(32);
    fill(bytes.extend_zeroed(32))?;
    let mut text = Secret::with_capacity(LEN);
    URL_SAFE_NO_PAD
        .encode_slice(bytes.expose(), text.extend_zeroed(LEN))
        .expect("the buffer has the size of the unpadded encoding");
    Ok(text)
}
