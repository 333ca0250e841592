//! The socket below TLS: connects, reads and writes.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::Duration;

use ureq::unversioned::transport::{Buffers, ConnectionDetails, NextTimeout, ShutdownHandle, Transport};

use crate::clock::Deadline;

use super::buffers::SocketBuffers;
use super::dial::dial;
use super::line::{Line, SILENCE};
use super::watch::Watch;
use super::wire_error::{is_cut, is_passing, is_timeout};

/// The longest wait of a write before the deadline is checked again.
const WRITE_SLICE: Duration = Duration::from_millis(500);

pub(super) struct Socket {
    line: Arc<Line>,
    buffers: SocketBuffers,
    watch: Option<Arc<Watch>>,
    /// The time-outs that the socket has now. Knowing them saves system calls.
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

impl Socket {
    pub(super) fn connect(
        details: &ConnectionDetails<'_>,
        addresses: &[SocketAddr],
        deadline: Deadline,
        watch: Option<Arc<Watch>>,
    ) -> Result<Self, ureq::Error> {
        let stream = dial(addresses, deadline, details.timeout.reason)?;
        if details.config.no_delay() {
            stream.set_nodelay(true)?;
        }
        let line = Arc::new(Line::new(stream));
        (details.register_shutdown)(Arc::downgrade(&line) as Weak<dyn ShutdownHandle>)?;
        let buffers =
            SocketBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Self { line, buffers, watch, read_timeout: None, write_timeout: None })
    }

    pub(super) fn line(&self) -> Arc<Line> {
        self.line.clone()
    }

    /// Returns how long the next read may wait. `None` is for ever.
    fn patience(&self, after: Option<Duration>) -> Option<Duration> {
        match &self.watch {
            None => after,
            Some(watch) => Some(after.unwrap_or(Duration::MAX).min(watch.patience())),
        }
    }

    fn send(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let timeout = timeout.for_write();
        let exchange = self.watch.as_ref().map_or(Duration::MAX, |watch| watch.deadline.remaining());
        let mut left = finite(timeout).unwrap_or(Duration::MAX).min(exchange);
        // Set only if some bytes are not sent at once. The first wait then counts as a whole one.
        let mut deadline = None;
        let Self { line, buffers, write_timeout, .. } = self;
        let mut output = &buffers.output()[..amount];
        while !output.is_empty() {
            if left.is_zero() {
                return Err(ureq::Error::Timeout(timeout.reason));
            }
            let mut waited = left.min(WRITE_SLICE);
            set(Some(waited), write_timeout, |wait| line.stream.set_write_timeout(wait))?;
            match (&line.stream).write(output) {
                Ok(sent) if sent == output.len() => break,
                Ok(sent) => output = &output[sent..],
                Err(e) if is_timeout(&e) => {
                    if line.is_watched.load(Relaxed) && line.is_readable() {
                        line.leave(output, left.saturating_sub(waited));
                        return Ok(());
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => waited = Duration::ZERO,
                Err(e) => return Err(e.into()),
            }
            left = deadline.get_or_insert_with(|| Deadline::after(left.saturating_sub(waited))).remaining();
        }
        Ok(())
    }

    fn receive(&mut self, timeout: NextTimeout) -> Result<usize, ureq::Error> {
        if self.line.polls.load(Relaxed) {
            let input = self.buffers.input_append_buf();
            return Ok(self.line.at_once(|mut stream| stream.read(input))?);
        }
        let timeout = timeout.for_read();
        let after = finite(timeout);
        // In a TLS handshake, no layer above this one tries again after an interruption. So this loop does.
        let goes_on = !self.line.is_watched.load(Relaxed);
        let deadline = after.filter(|_| goes_on).map(Deadline::after);
        let mut left = self.patience(after);
        loop {
            if left.is_some_and(|left| left.is_zero()) {
                return Err(ureq::Error::Timeout(timeout.reason));
            }
            set(left, &mut self.read_timeout, |left| self.line.stream.set_read_timeout(left))?;
            match (&self.line.stream).read(self.buffers.input_append_buf()) {
                Ok(amount) => {
                    if amount > 0 && self.line.greeting.load(Relaxed) == SILENCE {
                        let first = u16::from(self.buffers.input_append_buf()[0]);
                        self.line.greeting.store(first, Relaxed);
                    }
                    return Ok(amount);
                }
                Err(e) if is_timeout(&e) => {
                    // Tells the caller's time-out from the end of the exchange's time.
                    let is_over = left == after;
                    if is_over || !self.watch.as_ref().is_some_and(|watch| watch.looks_again()) {
                        return Err(ureq::Error::Timeout(timeout.reason));
                    }
                }
                // The deadline may have passed meanwhile, for example if the process was stopped.
                Err(e) if e.kind() == io::ErrorKind::Interrupted && goes_on => {}
                Err(e) => return Err(e.into()),
            }
            left = self.patience(deadline.as_ref().map(Deadline::remaining));
        }
    }
}

impl Transport for Socket {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        // A server may answer before it has read the whole request, and then close the connection (RFC 9112 9.5). Its answer may be there.
        if self.line.takes_no_more() {
            return Ok(());
        }
        if self.line.is_behind() {
            self.line.leave(&self.buffers.output()[..amount], Duration::ZERO);
            return Ok(());
        }
        match self.send(amount, timeout) {
            Err(ureq::Error::Io(e)) if is_cut(&e) => {
                self.line.closed_to_bytes.store(true, Relaxed);
                Ok(())
            }
            sent => sent,
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let received = self.receive(timeout);
        match &received {
            Ok(0) => {
                self.line.ended.store(true, Relaxed);
                // The end looks orderly but is not.
                if self.line.closed_to_bytes.load(Relaxed) || self.line.shut.load(Relaxed) {
                    return Err(io::Error::from(io::ErrorKind::ConnectionReset).into());
                }
            }
            Ok(amount) => {
                self.buffers.input_appended(*amount);
                if let Some(watch) = &self.watch {
                    watch.came();
                }
            }
            Err(ureq::Error::Io(e)) if is_passing(e) => {}
            Err(ureq::Error::Io(_)) => self.line.ended.store(true, Relaxed),
            Err(_) => {}
        }
        received.map(|amount| amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // Nothing may arrive between two answers, not even the end of the connection.
        !self.line.takes_no_more() && !self.line.is_readable()
    }
}

/// Returns `None` for a wait without end.
fn finite(timeout: NextTimeout) -> Option<Duration> {
    (!timeout.after.is_not_happening()).then_some(*timeout.after)
}

/// Sets a time-out of the socket unless it has that value already.
fn set(
    timeout: Option<Duration>,
    previous: &mut Option<Duration>,
    set: impl FnOnce(Option<Duration>) -> io::Result<()>,
) -> io::Result<()> {
    if timeout != *previous {
        match set(timeout) {
            Ok(()) => *previous = timeout,
            // macOS may say this once the other side has closed. Reading tells more.
            Err(e) if cfg!(target_os = "macos") && e.kind() == io::ErrorKind::InvalidInput => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
