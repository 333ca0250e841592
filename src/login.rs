//! A login with a browser: the callback (RFC 6749 4.1.2), and the loopback listener that receives it (RFC 8252 7.3).

pub(crate) mod callback;
mod connection;
pub(crate) mod listener;
mod page;
pub(crate) mod redirect_uri;
pub(crate) mod request;
