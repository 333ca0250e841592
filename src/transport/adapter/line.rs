//! The state of a connection that all of its layers share.

use std::io::{self, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ureq::unversioned::transport::ShutdownHandle;

use crate::clock::Deadline;
use crate::secret::Secret;

use super::wire_error::{is_cut, is_timeout};

/// The state of a connection, for the layers below and above TLS.
pub(super) struct Line {
    pub(super) stream: TcpStream,
    /// The other side accepts no more bytes.
    pub(super) closed_to_bytes: AtomicBool,
    /// This side has shut the connection down ([`ureq::Agent::shutdown`]). To a read, that looks like the end of the connection.
    pub(super) shut: AtomicBool,
    /// The other side has ended the connection.
    pub(super) ended: AtomicBool,
    /// The layer above reads while sending is blocked. So a write does not wait for ever.
    pub(super) is_watched: AtomicBool,
    /// Reads do not wait.
    pub(super) polls: AtomicBool,
    /// `unsent` is not empty.
    is_behind: AtomicBool,
    /// The bytes that the other side did not accept while it had sent something to read, and the deadline for them.
    unsent: Mutex<Unsent>,
    /// The first byte that was received since TLS began, or `SILENCE`.
    pub(super) greeting: AtomicU16,
}

/// How the other side has begun to speak TLS.
#[cfg(feature = "_tls")]
pub(super) enum Greeting {
    Handshake,
    /// Another TLS message, none, or TLS inside another TLS connection.
    Other,
    NotTls,
}

/// No byte yet.
pub(super) const SILENCE: u16 = 256;

#[derive(Default)]
struct Unsent {
    bytes: Secret,
    deadline: Option<Deadline>,
}

impl Line {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            closed_to_bytes: AtomicBool::new(false),
            shut: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            is_watched: AtomicBool::new(false),
            polls: AtomicBool::new(false),
            is_behind: AtomicBool::new(false),
            unsent: Mutex::default(),
            greeting: AtomicU16::new(SILENCE),
        }
    }

    /// Whether the other side has ended the connection, in order or not.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    /// Whether the other side accepts no more of the request.
    pub(super) fn takes_no_more(&self) -> bool {
        self.closed_to_bytes.load(Relaxed)
    }

    /// Makes sends return early: bytes that cannot be sent while there is something to read are left to [`catch_up`](Self::catch_up).
    pub(super) fn watch(&self) {
        self.is_watched.store(true, Relaxed);
    }

    pub(super) fn is_behind(&self) -> bool {
        self.is_behind.load(Relaxed)
    }

    /// Whether a read would not wait.
    pub(super) fn is_readable(&self) -> bool {
        !matches!(self.at_once(|stream| stream.peek(&mut [0])), Err(e) if e.kind() == io::ErrorKind::WouldBlock)
    }

    /// Runs `read` with the socket in non-blocking mode.
    pub(super) fn at_once<T>(&self, read: impl FnOnce(&TcpStream) -> io::Result<T>) -> io::Result<T> {
        self.stream.set_nonblocking(true)?;
        let result = read(&self.stream);
        self.stream.set_nonblocking(false)?;
        result
    }

    /// Runs `read`, and has its reads fail with [`WouldBlock`](io::ErrorKind::WouldBlock) if nothing has arrived.
    pub(super) fn polling<T>(&self, read: impl FnOnce() -> T) -> T {
        self.polls.store(true, Relaxed);
        let result = read();
        self.polls.store(false, Relaxed);
        result
    }

    /// Sends as many of the remaining bytes as possible at once. Returns whether those were all.
    pub(super) fn catch_up(&self) -> io::Result<bool> {
        let mut unsent = self.unsent();
        match self.at_once(|mut stream| stream.write(unsent.bytes.expose())) {
            Ok(sent) => unsent.bytes = Secret::from(unsent.bytes.expose()[sent..].to_vec()),
            Err(e) if is_timeout(&e) || e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if is_cut(&e) => {
                drop(unsent);
                self.give_up();
                return Ok(true);
            }
            Err(e) => return Err(e),
        }
        let is_behind = !unsent.bytes.is_empty();
        if !is_behind {
            *unsent = Unsent::default();
        }
        self.is_behind.store(is_behind, Relaxed);
        Ok(!is_behind)
    }

    /// Waits a little for the other side. Returns `false` if its time is up.
    pub(super) fn wait(&self, pause: Duration) -> bool {
        let deadline = self.unsent().deadline;
        deadline.is_none_or(|deadline| deadline.sleep(pause))
    }

    /// Stops sending the request.
    pub(super) fn give_up(&self) {
        self.closed_to_bytes.store(true, Relaxed);
        self.is_behind.store(false, Relaxed);
        *self.unsent() = Unsent::default();
    }

    pub(super) fn leave(&self, output: &[u8], left: Duration) {
        let mut unsent = self.unsent();
        unsent.bytes.extend(output);
        unsent.deadline.get_or_insert_with(|| Deadline::after(left));
        self.is_behind.store(true, Relaxed);
    }

    fn unsent(&self) -> MutexGuard<'_, Unsent> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(feature = "_tls")]
    pub(super) fn expect_greeting(&self) {
        self.greeting.store(SILENCE, Relaxed);
    }

    /// Returns how TLS began, by the type of the first record (RFC 8446 5.1).
    #[cfg(feature = "_tls")]
    pub(super) fn greeting(&self) -> Greeting {
        match self.greeting.load(Relaxed) {
            22 => Greeting::Handshake,
            20..=23 | SILENCE => Greeting::Other,
            _ => Greeting::NotTls,
        }
    }
}

impl ShutdownHandle for Line {
    fn shutdown(&self) {
        self.shut.store(true, Relaxed);
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}
