//! A tunnel through an HTTP proxy (RFC 9110 9.3.6).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ureq::config::AutoHeaderValue;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, NextTimeout, Transport};

use crate::clock::Deadline;
use crate::secret::{Secret, wipe};

use super::head::{first_line, status_line};
use super::wire_error::WireError;

/// The most bytes of all header sections of a proxy's answer.
const MAX_HEAD: usize = 64 * 1024;

/// The most bytes of a status line. Fewer than the smallest buffer has.
const MAX_STATUS_LINE: usize = 2 * 1024;

/// Asks the proxy to connect to the server of the request.
pub(super) fn open(
    mut transport: Box<dyn Transport>,
    proxy: &ureq::Proxy,
    details: &ConnectionDetails<'_>,
    deadline: Deadline,
) -> Result<Box<dyn Transport>, ureq::Error> {
    // The time for all reads together. Otherwise a proxy could block a call for ever, byte by byte.
    let timeout = || NextTimeout { after: deadline.remaining().into(), ..details.timeout };
    let request = request(proxy, details).ok_or(ureq::Error::ConnectionFailed)?;
    let mut rest = request.expose();
    while !rest.is_empty() {
        let output = transport.buffers().output();
        let amount = rest.len().min(output.len());
        output[..amount].copy_from_slice(&rest[..amount]);
        let sent = transport.transmit_output(amount, timeout());
        // Holds the password of the proxy.
        wipe(&mut transport.buffers().output()[..amount]);
        sent?;
        rest = &rest[amount..];
    }
    let failed = |status| WireError::Proxy { status, signed_in: proxy.username().is_some() };
    match answer(&mut *transport, timeout)? {
        Some(status) if is_2xx(status) => Ok(Box::new(Tunnel(transport))),
        status => Err(failed(status).into()),
    }
}

/// Returns the status of the proxy's answer, or `None` if it is not HTTP. Skips all fields, as a client must after a 2xx.
fn answer(
    transport: &mut dyn Transport,
    timeout: impl Fn() -> NextTimeout,
) -> Result<Option<u16>, ureq::Error> {
    let mut bytes = 0;
    // `is_empty`: nothing but a line end was received of the current line.
    let (mut status, mut is_empty) = (None, true);
    loop {
        let input = transport.buffers().input();
        let (taken, is_line) = match input.iter().position(|&byte| byte == b'\n') {
            Some(end) => (end + 1, true),
            // A field may be longer than the buffer.
            None => (if status.is_some() { input.len() } else { 0 }, false),
        };
        is_empty &= input[..taken].iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        match (status, is_line) {
            (None, true) if !is_empty => match status_line(first_line(input)) {
                // The rest of a refusal is not needed.
                Ok((_, refusal @ 300..)) => return Ok(Some(refusal)),
                Ok((_, interim_or_2xx)) => status = Some(interim_or_2xx),
                Err(_) => return Ok(None),
            },
            (Some(whole), true) if is_empty => {
                if is_2xx(whole) {
                    transport.buffers().input_consume(taken);
                    return Ok(status);
                }
                status = None;
            }
            _ => {}
        }
        bytes += taken;
        if bytes > MAX_HEAD || taken == 0 && input.len() > MAX_STATUS_LINE {
            return Ok(None);
        }
        transport.buffers().input_consume(taken);
        is_empty |= is_line;
        if !is_line && !transport.await_input(timeout())? {
            return Ok(None);
        }
    }
}

fn is_2xx(status: u16) -> bool {
    (200..300).contains(&status)
}

/// Returns the `CONNECT` request, or `None` for a URL without a host, which does not occur.
fn request(proxy: &ureq::Proxy, details: &ConnectionDetails<'_>) -> Option<Secret> {
    let default = if details.needs_tls() { 443 } else { 80 };
    let target = format!("{}:{}", details.uri.host()?, details.uri.port_u16().unwrap_or(default));
    let agent = match details.config.user_agent() {
        AutoHeaderValue::Provided(agent) if !agent.is_empty() => format!("User-Agent: {agent}\r\n"),
        _ => String::new(),
    };
    let mut request = Secret::with_capacity(1024);
    let fields =
        format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{agent}Proxy-Connection: Keep-Alive\r\n");
    request.extend(fields.as_bytes());
    if proxy.username().is_some() || proxy.password().is_some() {
        let mut credentials = Secret::with_capacity(256);
        credentials.extend(proxy.username().unwrap_or_default().as_bytes());
        credentials.extend(b":");
        credentials.extend(proxy.password().unwrap_or_default().as_bytes());
        request.extend(b"Proxy-Authorization: Basic ");
        request.extend(Secret::from(STANDARD.encode(credentials.expose())).expose());
        request.extend(b"\r\n");
    }
    request.extend(b"\r\n");
    Some(request)
}

/// The connection that the proxy has made. TLS to the proxy is not TLS to the server.
pub(super) struct Tunnel(Box<dyn Transport>);

impl Transport for Tunnel {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.0.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }
}
