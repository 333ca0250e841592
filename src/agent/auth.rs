//! The authentication of an agent's requests.

use std::fmt;
use std::sync::Arc;

use crate::encode::basic::Basic;
use crate::source::TokenSource;

/// How an agent authenticates its requests.
#[derive(Clone)]
pub enum Auth {
    /// With HTTP Basic (RFC 7617).
    Basic(Basic),
    /// With a Bearer token (RFC 6750) from this source.
    Bearer(Arc<dyn TokenSource>),
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic(_) => "Basic(***)",
            Self::Bearer(_) => "Bearer(***)",
        })
    }
}
