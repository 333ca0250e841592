//! [`Stage`].

/// The stages of a connection, in their order. [`Error::stage`](super::Error::stage) returns the one that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// The proxy: it could not be reached, or it refused to connect to the server.
    Proxy,
    /// The lookup of the server's name.
    Dns,
    /// The TCP connection to the server.
    Tcp,
    /// TLS with the server, its certificate included.
    Tls,
    /// The request and the answer, on an established connection.
    Answer,
}
