//! [`RequestBody`]: the body of a request, buffered if it is small.

use std::io::{self, Read as _};

use ureq::SendBody;
use ureq::http::Method;

use crate::error::Error;

/// Bodies up to this size are buffered, so that the request can be repeated.
const MAX_BUFFERED: usize = 64 * 1024;

/// The body of a request.
pub(super) enum RequestBody<'a> {
    None,
    Buffered(Vec<u8>),
    /// Too long to be buffered: it can be sent once.
    Streamed(Box<dyn io::Read + 'a>),
}

impl<'a> RequestBody<'a> {
    /// Reads a body into the buffer, as far as it fits.
    #[inline]
    pub(super) fn read(method: &Method, body: SendBody<'a>) -> Result<Self, Error> {
        let mut reader = body.into_reader();
        let mut bytes = Vec::new();
        reader.by_ref().take(MAX_BUFFERED as u64 + 1).read_to_end(&mut bytes).map_err(|e| {
            let why = e.kind();
            Error::invalid(format!("the body of the request could not be read: {why}; nothing was sent"))
        })?;
        Ok(if bytes.len() > MAX_BUFFERED {
            Self::Streamed(Box::new(io::Cursor::new(bytes).chain(reader)))
        } else if bytes.is_empty() && !matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
            Self::None
        } else {
            Self::Buffered(bytes)
        })
    }

    /// Whether the body can be sent again.
    pub(super) fn is_repeatable(&self) -> bool {
        !matches!(self, Self::Streamed(_))
    }
}
