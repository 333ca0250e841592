//! [`Connection`]: one client of the listener, which reads as much of a request as has arrived.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::clock::Deadline;
use crate::login::request::{Head, Request};
use crate::secret::Secret;

/// How long a request may take to arrive.
const REQUEST_TIME: Duration = Duration::from_secs(5);

/// How long a client may take to close the connection after an answer.
pub(super) const CLOSE_TIME: Duration = Duration::from_secs(1);

/// How long the browser may take to ask for the page at the end of a login.
const FOLLOW_TIME: Duration = Duration::from_secs(1);

/// A connection without blocking reads.
pub(super) struct Connection {
    stream: TcpStream,
    /// `None` after the answer. Bytes that still arrive are read and dropped: closing a socket with unread bytes resets the connection, and
    /// the browser may lose the answer.
    head: Option<Head>,
    until: Deadline,
}

/// The result of one look at a connection.
pub(super) enum Progress {
    None,
    Some,
    Gone,
    /// A request, or the status to answer it with.
    Request(Result<Request, &'static str>),
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, head: Some(Head::default()), until: Deadline::after(REQUEST_TIME) }
    }

    /// Reads once.
    pub(super) fn advance(&mut self, scratch: &mut [u8]) -> Progress {
        let len = match self.stream.read(scratch) {
            _ if self.until.has_passed() => return Progress::Gone,
            Ok(0) => return Progress::Gone,
            Ok(len) => len,
            Err(e) => match e.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => {
                    return Progress::None;
                }
                _ => return Progress::Gone,
            },
        };
        let Some(head) = &mut self.head else { return Progress::Some };
        head.take(&scratch[..len]).map_or(Progress::Some, Progress::Request)
    }

    /// Sends the answer. Returns `false` if the connection can be dropped.
    pub(super) fn answer(&mut self, answer: &Secret) -> bool {
        self.head = None;
        self.until = Deadline::after(CLOSE_TIME);
        // Every answer fits into the buffer of a socket. A client whose buffer is full is dropped.
        self.stream.write(answer.expose()).is_ok_and(|len| len == answer.len())
            && self.stream.shutdown(Shutdown::Write).is_ok()
    }

    /// Returns the stream with blocking I/O. The page for it is sent later, once the outcome of the login is known.
    pub(super) fn into_blocking(self) -> Option<TcpStream> {
        self.stream.set_nonblocking(false).ok()?;
        Some(self.stream)
    }

    /// Sends a redirect, and waits for the next request on the same connection. Returns the stream if `is_followed` accepts that request.
    pub(super) fn redirect(
        mut self,
        moved: &Secret,
        scratch: &mut [u8],
        is_followed: impl Fn(&Request) -> bool,
    ) -> Option<TcpStream> {
        self.stream.set_nonblocking(false).ok()?;
        self.stream.write_all(moved.expose()).ok()?;
        let deadline = Deadline::after(FOLLOW_TIME);
        (self.head, self.until) = (Some(Head::default()), deadline);
        while !deadline.has_passed() {
            self.stream.set_read_timeout(Some(deadline.remaining())).ok()?;
            match self.advance(scratch) {
                Progress::Request(Ok(request)) => return is_followed(&request).then_some(self.stream),
                Progress::None | Progress::Some => {}
                Progress::Gone | Progress::Request(Err(_)) => return None,
            }
        }
        None
    }
}
