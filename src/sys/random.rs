//! Random bytes from the operating system.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::{Advice, Error, ErrorKind};
use crate::secret::Secret;

/// Fills the buffer with random bytes from the operating system.
pub(crate) fn fill(buffer: &mut [u8]) -> Result<(), Error> {
    fill_from(getrandom::fill, buffer)
}

fn fill_from(
    source: impl FnOnce(&mut [u8]) -> Result<(), getrandom::Error>,
    buffer: &mut [u8],
) -> Result<(), Error> {
    source(buffer).map_err(|_| {
        let what = "could not get random bytes from the operating system";
        Error::of(ErrorKind::Random, what).with_advice(Advice::TryAgainLater)
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

/// Returns a number that is uniform in `0.0..1.0`, for jitter only: 0 if the system gives no random bytes.
pub(crate) fn fraction() -> f64 {
    f64::from(getrandom::u32().unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failing_random_source_has_a_kind_of_its_own() {
        let error = fill_from(|_| Err(getrandom::Error::UNSUPPORTED), &mut [0; 4]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Random);
        let text = "could not get random bytes from the operating system; try again later";
        assert_eq!(error.to_string(), text);
        fill(&mut [0; 4]).unwrap();
    }
}
