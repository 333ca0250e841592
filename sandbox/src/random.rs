//! Random names, secrets and numbers.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// `bytes` random bytes from the operating system as base64url text.
pub(crate) fn text(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random).expect("the operating system gives random bytes");
    URL_SAFE_NO_PAD.encode(random)
}

/// True for this share of the calls.
pub(crate) fn happens(share: f64) -> bool {
    share > 0.0 && fraction() < share
}

/// A number below `limit`, each as likely as the others but for less than one in a million.
pub(crate) fn below(limit: usize) -> usize {
    let random = getrandom::u64().expect("the operating system gives random bytes");
    usize::try_from(random % limit as u64).unwrap_or_default()
}

/// Uniform in `0.0..1.0`.
pub(crate) fn fraction() -> f64 {
    let random = getrandom::u32().expect("the operating system gives random bytes");
    f64::from(random) / (f64::from(u32::MAX) + 1.0)
}
