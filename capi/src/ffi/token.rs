//! `keyfob_token`: a token as C sees it, and back.

use std::ffi::c_char;
use std::ptr;
use std::time::{Duration, SystemTime};

use keyfob::Secret;

use super::pointer::{handle, text};
use crate::failure::Failure;

/// A token, as passed to a `keyfob_renewed_fn` and to `keyfob_restore`. The texts are
/// not NUL-terminated.
///
/// Its layout does not change as long as the library is called `libkeyfob.so.0`.
#[repr(C)]
pub struct keyfob_token {
    /// The access token, in visible ASCII.
    access_token: *const c_char,
    access_token_len: usize,
    /// The refresh token; NULL and 0 if there is none.
    refresh_token: *const c_char,
    refresh_token_len: usize,
    /// The scopes that the server granted, separated by spaces; NULL and 0 if the server named
    /// none.
    scope: *const c_char,
    scope_len: usize,
    /// When the access token expires, in seconds since 1970; 0 if unknown.
    expires_at: i64,
    /// When the token was requested, in seconds since 1970.
    obtained_at: i64,
}

/// Returns the token as pointers, which are valid as long as `token`.
pub fn view(token: &keyfob::Token) -> keyfob_token {
    let (access_token, access_token_len) = parts(Some(token.access_token().expose()));
    let (refresh_token, refresh_token_len) = parts(token.refresh_token().map(Secret::expose));
    let (scope, scope_len) = parts(token.scope().map(str::as_bytes));
    keyfob_token {
        access_token,
        access_token_len,
        refresh_token,
        refresh_token_len,
        scope,
        scope_len,
        // 0 stands for "unknown".
        expires_at: token.expires_at().map_or(0, |at| unix_seconds(at).max(1)),
        obtained_at: unix_seconds(token.obtained_at()),
    }
}

/// Returns a pointer and a length for C.
fn parts(bytes: Option<&[u8]>) -> (*const c_char, usize) {
    bytes.map_or((ptr::null(), 0), |bytes| (bytes.as_ptr().cast(), bytes.len()))
}

fn unix_seconds(at: SystemTime) -> i64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

/// Checks and copies a token that the caller has stored.
///
/// # Safety
/// `token` is NULL or points to a `keyfob_token`, whose texts are NULL or as long as their lengths
/// say.
pub unsafe fn stored_token(token: *const keyfob_token) -> Result<keyfob::Token, Failure> {
    // SAFETY: the caller's promise.
    let token = unsafe { handle("token", token) }?;
    // SAFETY: the caller's promise.
    let (access, refresh, scope) = unsafe {
        (
            text("access token", token.access_token, token.access_token_len)?,
            text("refresh token", token.refresh_token, token.refresh_token_len)?,
            text("scope", token.scope, token.scope_len)?,
        )
    };
    for (what, text) in [("refresh token", refresh), ("scope", scope)] {
        if text.contains(char::is_control) {
            return Err(Failure::invalid(format!("the {what} holds a control character: remove it")));
        }
        if keyfob::one_line(text) != text {
            return Err(Failure::invalid(format!(
                "the {what} holds a character that cannot be shown: remove it"
            )));
        }
    }
    if token.obtained_at == 0 {
        return Err(Failure::invalid("the token's obtained_at is not set: pass what the callback received"));
    }
    let mut stored = keyfob::Token::new(access, time("the token's obtained_at", token.obtained_at)?)?;
    if token.expires_at != 0 {
        stored = stored.with_expires_at(time("the token's expires_at", token.expires_at)?);
    }
    if !refresh.is_empty() {
        stored = stored.with_refresh_token(refresh);
    }
    if !scope.is_empty() {
        stored = stored.with_scope(scope);
    }
    Ok(stored)
}

fn time(what: &str, seconds: i64) -> Result<SystemTime, Failure> {
    let since = u64::try_from(seconds).ok();
    since.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(since))).ok_or_else(|| {
        Failure::invalid(format!(
            "{what} is {seconds}, and must be seconds since 1970, as the callback received it"
        ))
    })
}
