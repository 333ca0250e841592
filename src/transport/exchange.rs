//! One exchange with a server: its request, its tries, and reading the answer.

use std::io::{self, Read as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ureq::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE};
use ureq::http::{HeaderValue, Method, Request, Uri};
use ureq::{Agent, AsSendBody as _, SendBody};

use crate::clock::{Deadline, ServerDate, Stopwatch};
use crate::encode::form;
use crate::error::{Advice, Error, ErrorKind};
use crate::secret::{Secret, on_wiped_stack};
use crate::token::Token;
use crate::transport::adapter::ResolverForUreq;
use crate::transport::adapter::watch::Watch;
use crate::transport::adapter::wire_error::unwrap_unsent;
use crate::transport::call::{Answer, Call, Payload};
use crate::transport::endpoint::Endpoint;
use crate::transport::failure::TransportError;
use crate::transport::retry::{self, Outcome, Retry, Tries, http_date, retry_after};
use crate::transport::settings::Prepared;
use crate::transport::{Transport, head};

/// The largest body of an answer, after decoding.
const MAX_ANSWER: usize = 1024 * 1024;

impl Transport {
    /// Obtains a token from a token endpoint (RFC 6749 5.1, 5.2).
    pub(crate) fn token(
        &self,
        call: &Call<'_>,
        payload: &mut dyn FnMut(SystemTime) -> Result<Payload, Error>,
    ) -> Result<Token, Error> {
        self.ask(call, payload, &|answer, offset| answer.token(call, &self.clock, offset))
    }

    /// Makes an exchange and reads its answer with `read`, which receives the offset of the clock for this request. If the server refuses a
    /// request that carries the time, the exchange is made again with each other time that the clock knows.
    pub(crate) fn ask<T>(
        &self,
        call: &Call<'_>,
        payload: &mut dyn FnMut(SystemTime) -> Result<Payload, Error>,
        read: &dyn Fn(&Answer, i64) -> Result<T, Error>,
    ) -> Result<T, Error> {
        on_wiped_stack(|| self.ask_by_any_clock(call, payload, read))
    }

    fn ask_by_any_clock<T>(
        &self,
        call: &Call<'_>,
        payload: &mut dyn FnMut(SystemTime) -> Result<Payload, Error>,
        read: &dyn Fn(&Answer, i64) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let deadline = Deadline::after(self.timeout);
        let before = self.clock.offset();
        let mut offsets = self.clock.offsets();
        loop {
            let offset = offsets.now();
            let answer = self.exchange(call, &deadline, &mut || payload(self.clock.with_offset(offset)))?;
            let outcome = read(&answer, offset);
            match &outcome {
                _ if answer.payload.assertion.is_none() => return outcome,
                Ok(_) => {
                    self.clock.accept(offset, answer.date);
                    if offset != before {
                        log::warn!(target: "keyfob", "{}", correction(offset, call.endpoint));
                    }
                }
                // The time may be wrong: the server judges `iat` and `exp` by its own clock (RFC 7523 3).
                Err(error) if answer.is_refusal(error) => {
                    self.clock.refuse(offset);
                    if offsets.advance(&self.clock, answer.date) {
                        continue;
                    }
                }
                Err(_) => {}
            }
            return outcome;
        }
    }

    /// Makes one exchange, repeated as `call` allows. An answer of any status is a success.
    pub(crate) fn exchange(
        &self,
        call: &Call<'_>,
        deadline: &Deadline,
        payload: &mut dyn FnMut() -> Result<Payload, Error>,
    ) -> Result<Answer, Error> {
        on_wiped_stack(|| {
            let mut tries =
                ExchangeTries { http: self, call, deadline, payload, retry: Retry::new(call.repeat) };
            retry::run(&mut tries, deadline).map_err(|failure| failure.error)
        })
    }

    /// Makes the request without its body, or returns why it cannot be sent. A login calls this before it starts, because its code would be
    /// lost later.
    pub(crate) fn request(&self, call: &Call<'_>, payload: &Payload) -> Result<Request<()>, Error> {
        let mut request = Request::new(());
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = call.endpoint.uri().clone();
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(authorization) = &payload.authorization {
            let mut value = HeaderValue::from_bytes(authorization.expose())
                .map_err(|_| Error::invalid("the credentials cannot be put into a header"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        if payload.form.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(form::CONTENT_TYPE));
        }
        let checked = head::check(&request, self.output_buffer());
        checked.map_err(|error| error.with_task(call.doing, call.endpoint.origin().to_string()))?;
        Ok(request)
    }

    fn attempt(&self, call: &Call<'_>, deadline: &Deadline, payload: Payload) -> Result<Answer, Failure> {
        let prepared = self.prepared().map_err(Failure::before)?;
        let proxy = prepared.proxies.of(call.endpoint.uri());
        let proxy = proxy.map_err(|unusable| {
            Failure::before(unusable.error(call.doing, call.endpoint.origin().to_string()))
        })?;
        let request = self.request(call, &payload).map_err(Failure::before)?;
        let remaining = deadline.remaining();
        let sent = Stopwatch::start();
        let watch = Arc::new(Watch::new(*deadline, call.repeat.is_once()));
        let (mut nothing, mut form) = ((), payload.form.as_ref().map_or(&[][..], Secret::expose));
        let body = match payload.form {
            None if call.method == Method::GET => nothing.as_body(),
            _ => form.as_body(),
        };
        let outcome = self.run(prepared, request.map(|()| body), proxy, remaining, &watch);
        let failed = |error| Failure::new(call, self.timeout, error);
        let response = outcome.map_err(|error| failed(error).with_unsaved(watch.kept()))?;

        let (parts, body) = response.into_parts();
        let arrived = Stopwatch::start();
        let (body, cut) = read(body);
        let answer = Answer {
            status: parts.status.as_u16(),
            retry_after: retry_after(&parts.headers, &self.clock),
            // The server's time now, after the body was received.
            date: http_date(&parts.headers, DATE.as_str())
                .and_then(|date| date.checked_add(arrived.elapsed()))
                .map(|time| ServerDate { time, within: sent.elapsed() }),
            cut: cut.map(|error| match error {
                Cut::Failed(error) => failed(error).error,
                Cut::TooLong => call
                    .error(ErrorKind::Protocol, "the answer is longer than 1 MiB", Advice::CheckUrl)
                    .with_status(parts.status.as_u16()),
            }),
            body,
            is_exceeded: watch.is_exceeded(),
            raw: watch.kept(),
            payload,
            sent,
        };
        match answer.cut {
            // Other exchanges accept such an answer: a refusal is complete without its description, and an answer that is given only once
            // must not be dropped.
            Some(error) if (200..300).contains(&answer.status) && !call.repeat.takes_part() => {
                let transient = error.kind() == ErrorKind::Network;
                let error = Answer { cut: None, ..answer }.keep_in(call, error);
                Err(Failure { error, sent: true, transient })
            }
            cut => Ok(Answer { cut, ..answer }),
        }
    }

    fn run(
        &self,
        prepared: &Prepared,
        request: Request<SendBody<'_>>,
        proxy: Option<&ureq::Proxy>,
        remaining: Duration,
        watch: &Arc<Watch>,
    ) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let settings = &self.shared.settings;
        let config = prepared
            .config(settings, 0)
            .proxy(proxy.cloned())
            .timeout_resolve(Some(remaining))
            .timeout_connect(Some(settings.connect_timeout.min(remaining)))
            .build();
        // This agent serves one exchange, so it keeps no idle connections. Its connection has the deadline.
        let names = ResolverForUreq(settings.resolver.clone());
        Agent::with_parts(config, prepared.connect.watched(watch.clone()), names).run(request)
    }
}

/// The tries of one exchange. Each has a payload of its own.
struct ExchangeTries<'a> {
    http: &'a Transport,
    call: &'a Call<'a>,
    deadline: &'a Deadline,
    payload: &'a mut dyn FnMut() -> Result<Payload, Error>,
    retry: Retry,
}

impl Tries for ExchangeTries<'_> {
    type Answer = Answer;
    type Failure = Failure;

    fn attempt(&mut self) -> Result<Answer, Failure> {
        let payload = (self.payload)().map_err(Failure::before)?;
        self.http.attempt(self.call, self.deadline, payload)
    }

    fn wait_after(&mut self, outcome: &Result<Answer, Failure>) -> Result<Option<Duration>, Failure> {
        // A server that has issued a token may treat the same request as theft.
        if self.call.comes_once && outcome.as_ref().is_ok_and(Answer::has_secret) {
            return Ok(None);
        }
        Ok(self.retry.after(match outcome {
            Ok(answer) => Outcome::Status(answer.status, answer.retry_after),
            Err(failure) => Outcome::Failure { transient: failure.transient, sent: failure.sent },
        }))
    }

    fn set_aside(&mut self, answer: Answer) -> Option<Answer> {
        Some(answer)
    }

    fn is_timeout(failure: &Failure) -> bool {
        failure.error.kind() == ErrorKind::Timeout
    }

    fn request(&self) -> (&Method, &Uri) {
        (&self.call.method, self.call.endpoint.uri())
    }

    fn describe(&self, outcome: &Result<Answer, Failure>) -> String {
        match outcome {
            Ok(answer) => format!("HTTP {}", answer.status),
            Err(failure) => failure.error.reason().to_owned(),
        }
    }
}

/// Returns the log record of a new offset of the clock.
fn correction(offset: i64, endpoint: &Endpoint) -> String {
    let server = endpoint.origin();
    match offset {
        0 => format!("this machine's clock agrees with {server} again: its time is no longer corrected"),
        1.. => format!("this machine's clock is {offset} s behind that of {server}: its time is corrected"),
        _ => {
            let ahead = offset.unsigned_abs();
            format!("this machine's clock is {ahead} s ahead of that of {server}: its time is corrected")
        }
    }
}

/// Why one try ended without an answer.
struct Failure {
    error: Error,
    /// A byte of the request may have reached the server.
    sent: bool,
    /// The next try may succeed.
    transient: bool,
}

impl Failure {
    fn before(error: Error) -> Self {
        Self { error, sent: false, transient: false }
    }

    /// Adds the received bytes of an answer that is given only once to the error.
    fn with_unsaved(self, kept: Secret) -> Self {
        Self { error: self.error.with_unsaved(kept), ..self }
    }

    fn new(call: &Call<'_>, timeout: Duration, error: ureq::Error) -> Self {
        let (error, sent) = unwrap_unsent(error);
        let error = match error {
            ureq::Error::Other(inner) => match inner.downcast::<Error>() {
                Ok(own) => return Self { error: *own, sent, transient: false },
                Err(other) => ureq::Error::Other(other),
            },
            error => error,
        };
        let failed = TransportError::of(&error, Some(timeout));
        let transient = failed.is_transient;
        let place = call.endpoint.origin().to_string();
        Self { error: failed.into_error(call.doing, place, &error), sent, transient }
    }
}

enum Cut {
    TooLong,
    Failed(ureq::Error),
}

/// Reads a body into a buffer that is wiped. Also returns why the body is incomplete, if it is.
fn read(body: ureq::Body) -> (Secret, Option<Cut>) {
    const STEP: usize = 16 * 1024;
    let length = body.content_length().and_then(|len| usize::try_from(len).ok());
    let expected = length.unwrap_or(4096).min(MAX_ANSWER);
    let mut buffer = Secret::with_capacity(expected + 1);
    let mut reader = body.into_reader();
    loop {
        let start = buffer.len();
        let left = (expected + 1).saturating_sub(start);
        let space = if left == 0 { STEP } else { left.min(STEP) };
        let result = reader.read(buffer.extend_zeroed(space));
        buffer.truncate(start + result.as_ref().map_or(0, |&n| n));
        match result {
            Ok(0) => return (buffer, None),
            Ok(_) if buffer.len() > MAX_ANSWER => return (buffer, Some(Cut::TooLong)),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return (buffer, Some(Cut::Failed(e.into()))),
        }
    }
}

#[cfg(test)]
mod tests;
