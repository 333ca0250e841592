//! The request of one exchange, and the meaning of its answer.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use ureq::http::Method;

use crate::clock::{Clock, ServerDate, Stopwatch};
use crate::encode::json::other_encoding;
use crate::encode::words;
use crate::error::{Advice, Error, ErrorKind};
use crate::secret::{Known, Secret};
use crate::token::Token;
use crate::transport::endpoint::Endpoint;
use crate::transport::retry::{Repeat, is_rate_limit};
use crate::transport::token_answer::{TokenAnswer, is_registered};

/// The part of a request that stays the same from one try to the next.
pub(crate) struct Call<'a> {
    /// The verb after "could not", such as "log in at". The place follows it.
    pub(crate) doing: &'static str,
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) method: Method,
    pub(crate) repeat: Repeat,
    /// A success may bring something that the server issues only once. If the answer cannot be used, the error holds it.
    pub(crate) comes_once: bool,
    /// The advice when the server refuses, unless its error code says more.
    pub(crate) advice: Advice,
}

impl Call<'_> {
    pub(super) fn error(&self, kind: ErrorKind, what: impl Into<Cow<'static, str>>, advice: Advice) -> Error {
        Error::of(kind, what).with_task(self.doing, self.endpoint.origin().to_string()).with_advice(advice)
    }
}

/// The part of a request that is made for each try.
#[derive(Default)]
pub(crate) struct Payload {
    /// The value of the `Authorization` header.
    pub(crate) authorization: Option<Secret>,
    pub(crate) form: Option<Secret>,
    /// A signed JWT, made for this try and never shown. It carries the time, so a refusal may have a wrong clock as its reason.
    pub(crate) assertion: Option<Secret>,
    /// Secrets that were read for this try. While this holds them, error texts are compared with them.
    pub(crate) held: Vec<Known>,
}

/// The answer of a server, of any status.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Secret,
    /// Why the body is incomplete, if it is.
    pub(crate) cut: Option<Error>,
    /// All bytes received, header section included, if the server gives the answer only once.
    pub(super) raw: Secret,
    /// More bytes were received than belong to the answer.
    pub(super) is_exceeded: bool,
    pub(super) date: Option<ServerDate>,
    pub(super) retry_after: Option<Duration>,
    pub(super) payload: Payload,
    pub(super) sent: Stopwatch,
}

/// Returns the advice for an error code (RFC 6749 5.2, RFC 8707 2). `own` is the advice of the flow.
fn advice_for(code: &str, own: Advice) -> Advice {
    use Advice as A;
    match (code, own) {
        ("invalid_client", _) => A::CheckClient,
        ("invalid_scope", _) => A::CheckScopes,
        ("unauthorized_client" | "unsupported_grant_type", _) => A::CheckClientMayUseGrant,
        // The flow's own advice names a switch that leaves out a parameter, or a step that the person forgot.
        (
            "invalid_request",
            A::LogInWithoutPkce
            | A::LogInWithoutRedirectUri
            | A::LogInWithoutPkceOrRedirectUri
            | A::LogInAndPasteWhole,
        ) => own,
        ("invalid_request" | "invalid_target", _) => A::CheckParameters,
        _ => own,
    }
}

impl Answer {
    /// Makes an answer that was received just now, for fuzz targets.
    #[cfg(feature = "internals")]
    pub(crate) fn made(status: u16, body: Secret, payload: Payload) -> Self {
        let sent = Stopwatch::start();
        Self {
            status,
            body,
            cut: None,
            raw: Secret::default(),
            is_exceeded: false,
            date: None,
            retry_after: None,
            payload,
            sent,
        }
    }

    /// Whether this failure carries a token or app credentials nevertheless. In broken HTTP, their names count, because their values may be
    /// cut off.
    pub(crate) fn has_secret(&self) -> bool {
        let named = || {
            let raw = self.raw.expose();
            ["\"access_token\"", "\"refresh_token\"", "\"client_secret\""]
                .iter()
                .any(|name| raw.windows(name.len()).any(|piece| piece == name.as_bytes()))
        };
        !self.is_success()
            && (TokenAnswer::parse(&self.body).is_some_and(|answer| answer.has_token())
                || self.is_broken() && named())
    }

    /// Whether the received bytes are not exactly one answer. 101 is none: no request asks for another protocol.
    fn is_broken(&self) -> bool {
        self.cut.is_some() || self.is_exceeded || self.status < 200
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether `error`, which this answer led to, is a refusal that a wrong time in the request may explain. A server that tells
    /// the state of a device login (RFC 8628 3.5) has accepted the client.
    pub(super) fn is_refusal(&self, error: &Error) -> bool {
        self.status < 500
            && matches!(error.kind(), ErrorKind::Refused | ErrorKind::LoginRequired)
            && !matches!(
                error.oauth_error(),
                Some("authorization_pending" | "slow_down" | "access_denied" | "expired_token")
            )
    }

    /// Reads the token. `offset` is the offset of the clock that signed this request.
    pub(crate) fn token(&self, call: &Call<'_>, clock: &Clock, offset: i64) -> Result<Token, Error> {
        let parsed = TokenAnswer::parse(&self.body);
        if !self.is_success() || parsed.as_ref().is_some_and(TokenAnswer::has_error) {
            let error = self.refusal(call, parsed.as_ref());
            // For example, a proxy may have replaced the status.
            return Err(if call.comes_once && self.has_secret() {
                error.with_unsaved(self.unsaved().clone())
            } else {
                self.keep_in(call, error)
            });
        }
        let took = self.sent.elapsed();
        let sent = |time: SystemTime| time.checked_sub(took).unwrap_or(time);
        let now = clock.with_offset(offset);
        // An absolute expiry is compared with these times as well, because any of them may be right.
        let date = self.date.filter(|date| date.differs_from(now)).map(|date| sent(date.time));
        let others: Vec<_> =
            date.into_iter().chain((offset != 0).then(|| sent(clock.with_offset(0)))).collect();
        parsed
            .ok_or("it is not a JSON object with an access_token")
            .and_then(|answer| answer.into_token(sent(now), &others))
            .map_err(|why| self.unusable(call, why))
    }

    /// Reads an answer that is no token, with `parse`, which returns the problem with an answer that cannot be used.
    pub(crate) fn read<T>(
        &self,
        call: &Call<'_>,
        parse: fn(&Secret) -> Result<T, &'static str>,
    ) -> Result<T, Error> {
        let parsed = TokenAnswer::parse(&self.body);
        if !self.is_success() || parsed.as_ref().is_some_and(TokenAnswer::has_error) {
            return Err(self.refusal(call, parsed.as_ref()));
        }
        parse(&self.body).map_err(|why| self.unusable(call, why))
    }

    /// Returns the error for a 2xx that cannot be used.
    pub(crate) fn unusable(&self, call: &Call<'_>, why: &str) -> Error {
        let why = match other_encoding(self.body.expose()) {
            Some(_) => "it is UTF-16 or UTF-32, and JSON is UTF-8 (RFC 8259 8.1)",
            None => why,
        };
        self.keep_in(call, self.cut.clone().unwrap_or_else(|| self.nonsense(call, why)))
    }

    /// Adds the received bytes to an error, if the answer is a success that is given only once.
    pub(super) fn keep_in(&self, call: &Call<'_>, error: Error) -> Error {
        if call.comes_once && self.is_success() { error.with_unsaved(self.unsaved().clone()) } else { error }
    }

    /// Returns the bytes to save of an answer that is given only once: all of them if the HTTP is broken or the body ends too early, else
    /// the body.
    pub(crate) fn unsaved(&self) -> &Secret {
        if self.is_broken() && !self.raw.is_empty() { &self.raw } else { &self.body }
    }

    /// Returns the error for a 2xx with unexpected content.
    pub(crate) fn nonsense(&self, call: &Call<'_>, why: &str) -> Error {
        let what =
            format!("the answer (HTTP {}, {} bytes) makes no sense: {why}", self.status, self.body.len());
        call.error(ErrorKind::Protocol, what, Advice::CheckUrl).with_status(self.status)
    }

    /// Returns the error for an answer by which the server refuses.
    pub(crate) fn refusal(&self, call: &Call<'_>, parsed: Option<&TokenAnswer>) -> Error {
        let code = parsed
            .and_then(TokenAnswer::error_code)
            .filter(|code| is_registered(code) || !self.repeats_secret(parsed, code));
        let words = parsed.and_then(TokenAnswer::words);
        let words = words.as_ref().and_then(Secret::expose_str).map(|words| {
            if self.repeats_secret(parsed, words) {
                "its text is withheld, because it repeats a secret"
            } else {
                words.trim_end_matches('.')
            }
        });
        let words = words.filter(|words| !words.is_empty());
        let status = self.status;
        let mut what = match status {
            101 => "the server changes to a protocol that was not requested (HTTP 101)".to_owned(),
            300..400 => format!("the server redirects (HTTP {status}), which is not followed"),
            429 => "the server asked to slow down (HTTP 429)".to_owned(),
            500.. => format!("the server failed (HTTP {status})"),
            _ => format!("the server refused (HTTP {status})"),
        };
        for part in [code, words].into_iter().flatten() {
            what = what + ": " + part;
        }
        let (kind, advice) = match (status, code) {
            (101, _) => (ErrorKind::Protocol, Advice::CheckUrl),
            (300..400, _) => (ErrorKind::Protocol, Advice::CheckUrlAndSlash),
            _ if is_rate_limit(status, self.retry_after) => (ErrorKind::RateLimited, Advice::TryAgainLater),
            (500.., _) => (ErrorKind::Refused, Advice::TryAgainLater),
            // An error code that is not registered comes from a web framework that does not know the URL.
            (404 | 405, code) if !code.is_some_and(is_registered) => (ErrorKind::Refused, Advice::CheckUrl),
            (_, Some("invalid_grant")) => (ErrorKind::LoginRequired, call.advice),
            // The advice for an error code is about the client and the parameters, and a request without a form has neither.
            (_, Some(code)) if self.payload.form.is_some() => {
                (ErrorKind::Refused, advice_for(code, call.advice))
            }
            _ => (ErrorKind::Refused, call.advice),
        };
        call.error(kind, what, advice)
            .with_status(status)
            .with_oauth_error(code.map(str::to_owned))
            .with_retry_after(self.retry_after)
    }

    fn repeats_secret(&self, parsed: Option<&TokenAnswer>, text: &str) -> bool {
        let credentials = self.payload.authorization.iter().map(|header| {
            let header = header.expose();
            &header[header.iter().position(|&b| b == b' ').map_or(0, |at| at + 1)..]
        });
        let assertion = self.payload.assertion.iter().map(Secret::expose);
        let received = parsed.into_iter().flat_map(TokenAnswer::secrets);
        words::repeats_any(text, credentials.chain(assertion).chain(received))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_about_a_refusal_fits_the_error_code() {
        use Advice as A;
        for (code, own, advice) in [
            ("invalid_client", A::LogIn, A::CheckClient),
            ("invalid_scope", A::LogIn, A::CheckScopes),
            ("unauthorized_client", A::CheckClient, A::CheckClientMayUseGrant),
            ("unsupported_grant_type", A::CheckGrant, A::CheckClientMayUseGrant),
            ("invalid_target", A::LogInWithoutPkce, A::CheckParameters),
            ("invalid_request", A::LogIn, A::CheckParameters),
            ("invalid_request", A::LogInWithoutPkce, A::LogInWithoutPkce),
            ("invalid_request", A::LogInWithoutRedirectUri, A::LogInWithoutRedirectUri),
            ("invalid_request", A::LogInWithoutPkceOrRedirectUri, A::LogInWithoutPkceOrRedirectUri),
            ("invalid_request", A::LogInAndPasteWhole, A::LogInAndPasteWhole),
            ("invalid_grant", A::CheckGrant, A::CheckGrant),
            ("another_code", A::CheckUrlAndClient, A::CheckUrlAndClient),
        ] {
            assert_eq!(advice_for(code, own), advice, "{code}, {own:?}");
        }
    }
}
