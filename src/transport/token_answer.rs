//! The answer of a token endpoint, as it was received. Callers see [`Token`] and [`Error`](crate::Error).

use std::mem;
use std::time::SystemTime;

use crate::check;
use crate::check::{is_nqchar, is_scope_list};
use crate::clock::{in_seconds, is_countable, plus};
use crate::encode::json::{members, unescape};
use crate::encode::loose::{Limits, Loose};
use crate::secret::Secret;
use crate::text::printable;
use crate::token::Token;

#[cfg(test)]
mod tests;

/// A token endpoint's answer, good or bad: RFC 6749 5.1 and 5.2, `FastAPI`'s `detail`, Spacebring's `message`.
#[derive(Default)]
pub(crate) struct TokenAnswer {
    access_token: Option<Text>,
    refresh_token: Option<Text>,
    client_secret: Option<Text>,
    /// The earlier values of members that occur twice.
    replaced: Vec<Text>,
    /// Whether the token has another type than Bearer. An absent type counts as Bearer, as in most clients.
    is_other_type: bool,
    expires_in: Loose,
    expires_at: Loose,
    scope: Loose,
    error: Loose,
    has_error: bool,
    error_description: Loose,
    detail: Loose,
    kind: Loose,
    message: Loose,
}

/// A secret in a JSON string.
pub(crate) struct Text(pub(crate) Secret);

/// How deep an error is read. Servers send lists of objects with a text in each.
const WORDS: Limits = Limits { levels: 3, items: 8, bytes: usize::MAX };

/// How much of a scope is read: as much as any value may have.
pub(crate) const SCOPE: Limits = Limits { levels: 3, items: usize::MAX, bytes: check::MAX_LEN };

impl TokenAnswer {
    /// Returns `None` if the body is no such object. The status is enough then.
    pub(crate) fn parse(body: &Secret) -> Option<Self> {
        let json = body.expose();
        Self::of(json).or_else(|| {
            // Other texts may have another encoding, such as that of a refusal. A secret may not.
            let answer = Self::of(as_utf8(json)?.expose())?;
            let is_changed = answer.secrets().any(holds_replacement);
            (!is_changed).then_some(answer)
        })
    }

    fn of(json: &[u8]) -> Option<Self> {
        const NAMES: [&str; 12] = [
            "access_token",
            "refresh_token",
            "client_secret",
            "token_type",
            "expires_in",
            "expires_at",
            "scope",
            "error",
            "error_description",
            "detail",
            "type",
            "message",
        ];
        let mut answer = Self::default();
        let mut is_fit = true;
        members(json, &NAMES, |place, value| {
            let loose = || Loose::of(value, WORDS);
            // Other values count as absent, so that another member does not spoil a good access token.
            let secret = match place {
                0 => Some(&mut answer.access_token),
                1 => Some(&mut answer.refresh_token),
                2 => Some(&mut answer.client_secret),
                _ => None,
            };
            if let Some(secret) = secret {
                let text = unescape(value).map(Text);
                if place == 0 {
                    is_fit = text.is_some() || value == "null";
                }
                answer.replaced.extend(mem::replace(secret, text));
                return;
            }
            match place {
                // RFC 6749 7.1: the type is a string that is compared without regard to case.
                3 => {
                    let text = unescape(value);
                    let text = text.as_ref().and_then(Secret::expose_str);
                    answer.is_other_type = !text.is_some_and(|text| text.eq_ignore_ascii_case("bearer"));
                }
                4 => answer.expires_in = loose(),
                5 => answer.expires_at = loose(),
                6 => answer.scope = Loose::of(value, SCOPE),
                7 => {
                    answer.has_error = !is_no_error(value);
                    answer.error = if answer.has_error { loose() } else { Loose::Nothing };
                }
                8 => answer.error_description = loose(),
                9 => answer.detail = loose(),
                10 => answer.kind = loose(),
                _ => answer.message = loose(),
            }
        })?;
        is_fit.then_some(answer)
    }

    /// Returns the OAuth error code.
    pub(crate) fn error_code(&self) -> Option<&str> {
        // Spacebring says `type` where others say `error`. It counts if it is a code of RFC 6749 5.2.
        match self.error.text() {
            Some(code) => oauth_code(code),
            None => self.kind.text().filter(|code| CODES[..6].contains(code)),
        }
    }

    /// Returns all secrets in the answer, even those that are not used.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &[u8]> {
        [&self.access_token, &self.refresh_token, &self.client_secret]
            .into_iter()
            .flatten()
            .chain(&self.replaced)
            .map(|Text(secret)| secret.expose())
    }

    /// Whether there is a text that could be a token.
    pub(crate) fn has_token(&self) -> bool {
        [&self.access_token, &self.refresh_token].into_iter().flatten().any(|Text(token)| !token.is_empty())
    }

    /// Whether an error is reported, in whatever form.
    pub(crate) fn has_error(&self) -> bool {
        self.has_error
    }

    /// Returns the server's text about the failure: one printable line of at most 200 characters. It may repeat a secret.
    pub(crate) fn words(&self) -> Option<Secret> {
        let text = [&self.error_description, &self.detail, &self.message, &self.error]
            .into_iter()
            .filter_map(Loose::text)
            .find(|text| !text.trim().is_empty())?;
        if self.error_code() == Some(text) {
            return None;
        }
        Some(Secret::from(printable(text)))
    }

    /// Returns the token, or what is wrong with the answer. `obtained_at` is the time at which the request was sent. `others` are that time
    /// by other clocks.
    pub(crate) fn into_token(
        self,
        obtained_at: SystemTime,
        others: &[SystemTime],
    ) -> Result<Token, &'static str> {
        let Text(access_token) = self.access_token.ok_or("it has no access_token")?;
        if self.is_other_type {
            return Err("its token_type is not Bearer (RFC 6749 7.1)");
        }
        let is_long = access_token.len() > check::MAX_LEN;
        let mut token = Token::new(access_token, obtained_at).map_err(|_| {
            if is_long {
                "its access_token is longer than 16384 bytes"
            } else {
                "its access_token cannot be put into a header"
            }
        })?;
        if let Some(at) = expiry(obtained_at, others, self.expires_in.number(), self.expires_at.number()) {
            token = token.with_expires_at(at);
        }
        if let Some(Text(refresh_token)) = self.refresh_token.filter(|Text(token)| !token.is_empty()) {
            token = token.with_refresh_token(refresh_token);
        }
        // A text that is no list of scopes (RFC 6749 3.3) may be anything. Scopes are shown to people, so it is dropped.
        if let Some(scope) = self.scope.text().map(whole_items).filter(|scope| is_scope_list(scope)) {
            token = token.with_scope(scope);
        }
        Ok(token)
    }
}

/// Returns a scope of at most the length that is kept, cut between two items.
pub(crate) fn whole_items(scope: &str) -> &str {
    if scope.len() <= SCOPE.bytes {
        return scope;
    }
    let head = scope.as_bytes()[..=SCOPE.bytes].iter().rposition(|&byte| byte == b' ').unwrap_or(0);
    scope.get(..head).unwrap_or_default()
}

/// The replacement character.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

fn holds_replacement(text: &[u8]) -> bool {
    text.windows(REPLACEMENT.len()).any(|part| part == REPLACEMENT)
}

/// Returns the text with a replacement character for each byte that is not UTF-8. `None` if there is no such byte.
fn as_utf8(text: &[u8]) -> Option<Secret> {
    std::str::from_utf8(text).is_err().then(|| {
        let mut whole = Secret::with_capacity(REPLACEMENT.len() * text.len());
        for chunk in text.utf8_chunks() {
            whole.extend(chunk.valid().as_bytes());
            chunk.invalid().iter().for_each(|_| whole.extend(REPLACEMENT));
        }
        whole
    })
}

/// Returns the earlier of two expiries: one in seconds after `obtained_at`, the other in Unix seconds. `None` if both are unknown or beyond
/// the calendar.
fn expiry(
    obtained_at: SystemTime,
    others: &[SystemTime],
    expires_in: Option<i64>,
    expires_at: Option<i64>,
) -> Option<SystemTime> {
    let relative = expires_in.and_then(|seconds| plus(obtained_at, seconds.max(0)));
    let relative = relative.filter(|end| is_countable(*end));
    let absolute = expires_at.and_then(|seconds| plus(SystemTime::UNIX_EPOCH, seconds)).and_then(in_seconds);
    let absolute = absolute.map(|end| by_all_clocks(obtained_at, others, end));
    match (relative, absolute) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Returns the expiry of a token that was issued at `obtained_at`, by the clock that gives it the shortest lifetime. A clock by which the
/// token had expired when it was issued is wrong and does not count.
fn by_all_clocks(obtained_at: SystemTime, others: &[SystemTime], end: SystemTime) -> SystemTime {
    let own = end.duration_since(obtained_at).ok();
    let lifetimes = others.iter().map(|now| end.duration_since(*now).ok()).chain([own]);
    let shortest = lifetimes.flatten().filter(|lifetime| !lifetime.is_zero()).min();
    match shortest {
        Some(life) if Some(life) != own => obtained_at.checked_add(life).unwrap_or(end),
        _ => end,
    }
}

/// The codes of RFC 6749 5.2 and 4.1.2.1, RFC 7009 2.2.1 and RFC 8628 3.5.
const CODES: [&str; 14] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "access_denied",
    "unsupported_response_type",
    "server_error",
    "temporarily_unavailable",
    "unsupported_token_type",
    "authorization_pending",
    "slow_down",
    "expired_token",
];

/// Whether this is a code that standards define. Such a code is always shown: every server uses it, so it reveals no secret.
pub(crate) fn is_registered(code: &str) -> bool {
    CODES.contains(&code)
}

/// Returns the text if it can be an OAuth error code (RFC 6749 4.1.2.1, 5.2: visible ASCII without `"` and `\`).
pub(crate) fn oauth_code(code: &str) -> Option<&str> {
    (!code.is_empty() && code.len() <= 64 && code.bytes().all(is_nqchar)).then_some(code)
}

/// Whether this JSON is the number 0, in any spelling.
fn is_zero(json: &str) -> bool {
    json.starts_with(['-', '0'])
        && json.split(['e', 'E']).next().is_some_and(|digits| digits.bytes().all(|b| b"-.0".contains(&b)))
}

/// Whether this value of `error` means that there is none. Some servers send it with a good token.
fn is_no_error(json: &str) -> bool {
    let inside = |open, close| json.strip_prefix(open).and_then(|rest: &str| rest.strip_suffix(close));
    matches!(json, "null" | "false" | "\"\"")
        || is_zero(json)
        || inside('{', '}').or_else(|| inside('[', ']')).is_some_and(|inside| inside.trim().is_empty())
}
