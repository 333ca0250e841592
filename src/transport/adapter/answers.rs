//! The transport layer above TLS, from which ureq reads answers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ureq::Timeout;
use ureq::unversioned::transport::{Buffers, NextTimeout, Transport};

use crate::clock::Deadline;
use crate::secret::{Secret, wipe};

use super::line::Line;
use super::message::{Normaliser, Rest, Rules};
use super::watch::Watch;
use super::wire_error::{WireError, is_cut, is_passing};

/// The pause before a server that does not read is tried again.
const CATCH_UP: Duration = Duration::from_millis(20);

/// How long to wait for the rest of an answer that the server gives only once and that cannot be read.
const QUIET: Duration = Duration::from_secs(1);

/// Hands the answers of a connection to ureq in the form that ureq accepts, and recognizes a body that was cut off.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Answers {
    inner: Box<dyn Transport>,
    line: Arc<Line>,
    watch: Option<Arc<Watch>>,
    normaliser: Normaliser,
    /// The bytes that ureq has not read yet start at `read`. The buffer is reused for each answer, because allocating it costs more than a
    /// call.
    out: Secret,
    read: usize,
    /// How many bytes were sent, and received and read.
    passed: usize,
    /// How many more bytes ureq may have written.
    written: usize,
    /// Whether ureq has used the bytes that it was last shown.
    progress: bool,
    /// Whether anything was received while the request was sent.
    unseen: bool,
    /// Whether ureq has not asked since the last request whether the connection is open.
    is_used: bool,
    failed: Option<WireError>,
    /// The failure of TLS after bytes that have not been handed on yet.
    broken: Option<ureq::Error>,
    ended: bool,
}

impl Answers {
    pub(super) fn new(
        inner: Box<dyn Transport>,
        line: Arc<Line>,
        watch: Option<Arc<Watch>>,
        rules: Rules,
    ) -> Self {
        // Of the TLS libraries, only rustls continues after a read that found nothing.
        if !inner.is_tls() || cfg!(feature = "rustls") {
            line.watch();
        }
        Self {
            inner,
            line,
            watch,
            normaliser: Normaliser::new(rules),
            out: Secret::default(),
            read: 0,
            passed: 0,
            written: 0,
            progress: false,
            unseen: false,
            is_used: false,
            failed: None,
            broken: None,
            ended: false,
        }
    }

    /// Rewrites the received bytes for ureq. Returns whether that gave ureq new bytes.
    fn digest(&mut self) -> bool {
        let before = self.out.len();
        let buffers = self.inner.buffers();
        let input = buffers.input();
        let came = input.len();
        if came == 0 {
            return false;
        }
        match self.normaliser.feed(input, &mut self.out) {
            Ok(taken) => {
                buffers.input_consume(taken);
                self.passed = self.passed.saturating_add(taken);
                if taken < came
                    && self.normaliser.is_done()
                    && let Some(watch) = &self.watch
                {
                    watch.exceed();
                }
            }
            Err(error) => self.failed = Some(error),
        }
        self.out.len() > before
    }

    /// Handles the end of the connection, orderly or not. Returns whether ureq has anything to read.
    fn end(&mut self, in_order: bool) -> Result<bool, ureq::Error> {
        self.ended = true;
        match self.normaliser.end(&mut self.out) {
            Rest::Nothing => Ok(self.out.len() > self.read),
            Rest::MayBeWhole if in_order => Ok(false),
            // For a body without an end of its own, TLS marks the end by close_notify (RFC 9112 8).
            Rest::MayBeWhole if self.inner.is_tls() => Err(self.fail(WireError::NoCloseNotify)),
            Rest::MayBeWhole | Rest::Body => Err(self.fail(WireError::CutOff)),
            // ureq has an error for this.
            Rest::Header => Ok(false),
        }
    }

    /// Reads while the other side accepts no more bytes. It may have sent an answer and given up on the request (RFC 9112 9.5), or it has
    /// sent a record of TLS.
    fn catch_up(&mut self, line: &Line, timeout: NextTimeout) -> Result<(), ureq::Error> {
        loop {
            if line.is_readable() && self.is_answered(line, timeout) {
                line.give_up();
            }
            if line.takes_no_more() || line.catch_up()? {
                return Ok(());
            }
            if !line.wait(CATCH_UP) {
                return Err(ureq::Error::Timeout(timeout.reason));
            }
        }
    }

    /// Reads what has arrived. Returns `true` if the rest of the request need not be sent.
    fn is_answered(&mut self, line: &Line, timeout: NextTimeout) -> bool {
        match line.polling(|| self.receive(timeout)) {
            Ok(true) => {
                self.unseen |= self.digest();
                self.failed.is_some() || self.normaliser.is_answered()
            }
            Err(ureq::Error::Io(e)) if is_passing(&e) => false,
            // The connection has ended. The next read finds that too.
            Ok(false) | Err(_) => true,
        }
    }

    /// Keeps the rest of an answer that the server gives only once and that cannot be read. A server that breaks HTTP may not end the
    /// connection either, so a pause counts as the end.
    fn keep_rest(&mut self, timeout: NextTimeout) {
        let Some(watch) = self.watch.clone().filter(|watch| watch.has_room()) else { return };
        let deadline = Deadline::after(*timeout.after);
        while watch.has_room() {
            let known = self.inner.buffers().input().len();
            self.inner.buffers().input_consume(known);
            self.passed = self.passed.saturating_add(known);
            let after = QUIET.min(deadline.remaining()).into();
            if !matches!(self.receive(NextTimeout { after, ..timeout }), Ok(true)) {
                break;
            }
        }
    }

    /// Receives more bytes, and keeps those of an answer that the server gives only once.
    fn receive(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let Some(watch) = self.watch.clone() else { return self.read_on(timeout) };
        let before = self.inner.buffers().input().len();
        let came = self.read_on(timeout);
        if matches!(came, Ok(true)) {
            watch.keep(&self.inner.buffers().input()[before..]);
        }
        came
    }

    /// Reads from the connection. If a record of TLS is broken, rustls reports that before it hands out what came in the records before it.
    /// These may hold a whole answer.
    fn read_on(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        match self.inner.await_input(timeout) {
            Err(ureq::Error::Io(e)) if self.inner.is_tls() && e.kind() == io::ErrorKind::InvalidData => {
                let line = self.line.clone();
                if matches!(line.polling(|| self.inner.await_input(timeout)), Ok(true)) {
                    self.broken = Some(e.into());
                    return Ok(true);
                }
                Err(e.into())
            }
            came => came,
        }
    }

    /// Wipes the inner buffers. With TLS these are ureq's, which wipes nothing.
    fn wipe(&mut self) {
        // No buffer is used beyond this. A header field that does not fit into the rest of the output buffer fills that rest, but ureq then sends
        // it from the start of the buffer, so that the sum exceeds the buffer's length.
        let buffers = self.inner.buffers();
        let unread = buffers.input().len();
        let used = self.passed.saturating_add(self.written).saturating_add(unread);
        if used > 0 {
            buffers.input_consume(unread);
            let (input, output) = buffers.tmp_and_output();
            for bytes in [input, output] {
                let used = used.min(bytes.len());
                wipe(&mut bytes[..used]);
            }
        }
    }

    fn fail(&mut self, error: WireError) -> ureq::Error {
        self.failed = Some(error);
        error.into()
    }
}

impl Drop for Answers {
    /// Keeps the rest of an answer whose header section ureq has refused, and wipes the buffers.
    fn drop(&mut self) {
        if !self.ended && !self.input().is_empty() {
            let (after, reason) = (Duration::MAX.into(), Timeout::RecvResponse);
            let timeout = NextTimeout { after, reason, per_read: None, per_write: None };
            self.keep_rest(timeout);
        }
        self.wipe();
    }
}

impl Transport for Answers {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        if self.normaliser.is_done() && !self.unseen {
            let is_head = self.inner.buffers().output()[..amount].starts_with(b"HEAD ");
            self.normaliser.expect_answer(is_head);
        }
        self.is_used = true;
        self.inner.transmit_output(amount, timeout)?;
        self.passed = self.passed.saturating_add(amount);
        self.written = 0;
        if self.line.is_behind() { self.catch_up(&self.line.clone(), timeout) } else { Ok(()) }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let deadline = (!timeout.after.is_not_happening()).then(|| Deadline::after(*timeout.after));
        let mut timeout = timeout;
        let mut is_first = true;
        loop {
            if std::mem::take(&mut self.unseen) || self.failed.is_none() && self.digest() {
                return Ok(true);
            }
            if let Some(error) = self.failed {
                if !std::mem::replace(&mut self.ended, true) {
                    self.keep_rest(timeout);
                }
                return Err(error.into());
            }
            if self.ended {
                return Ok(false);
            }
            if let Some(deadline) = deadline.as_ref().filter(|_| !is_first) {
                timeout.after = deadline.remaining().into();
            }
            let came = self.receive(timeout);
            let ended = self.line.has_ended();
            match came {
                Ok(true) => is_first = false,
                Err(ureq::Error::Io(e)) if e.kind() == io::ErrorKind::Interrupted => is_first = false,
                // TLS libraries of the system report a connection that was cut off as an orderly end.
                Ok(false) => return self.end(!(ended && self.inner.is_tls())),
                Err(ureq::Error::Io(e)) if is_cut(&e) || ended => {
                    return match self.end(false) {
                        Ok(false) => Err(e.into()),
                        rest => rest,
                    };
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn is_open(&mut self) -> bool {
        self.normaliser.may_follow()
            && self.broken.is_none()
            && self.out.is_empty()
            && self.inner.buffers().input().is_empty()
            // ureq asks after an answer, and again before the next request. The second time is enough: each look at the socket takes three
            // system calls.
            && (std::mem::take(&mut self.is_used) || self.inner.is_open())
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

/// Requests go into the inner buffers; answers come out of this layer's own.
impl Buffers for Answers {
    fn output(&mut self) -> &mut [u8] {
        let output = self.inner.buffers().output();
        self.written = output.len();
        output
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        let (input, output) = self.inner.buffers().tmp_and_output();
        self.written = output.len();
        (input, output)
    }

    fn input(&self) -> &[u8] {
        &self.out.expose()[self.read..]
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        self.inner.buffers().input_append_buf()
    }

    fn input_appended(&mut self, amount: usize) {
        self.inner.buffers().input_appended(amount);
    }

    fn input_consume(&mut self, amount: usize) {
        self.progress = amount > 0;
        self.read += amount;
        if self.read == self.out.len() {
            self.out.truncate(0);
            self.read = 0;
        }
    }

    fn can_use_input(&self) -> bool {
        self.progress && !self.input().is_empty()
    }
}
