//! The boundary: every function of `include/keyfob.h`, and all unsafe code.
//!
//! Each function turns pointers into values, makes one call, and turns the outcome into a status; `answer` catches what
//! panics on the way. The header is generated from the comments here. Where a function dereferences, it relies on what the
//! header asks of its callers: that is what `SAFETY: the header` stands for.

#![allow(non_camel_case_types, reason = "as C knows them")]
#![allow(clippy::missing_safety_doc, reason = "the header says what a caller must keep to")]
#![allow(clippy::doc_markdown, reason = "the comments are those of a C header")]

mod pointer;

use std::ffi::{c_char, c_int, c_void};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use keyfob::spacebring::{Customer, Partner};
use keyfob::{ClientCredentials, Secret, SpatiaFi};

use crate::client::{Client, Login};
use crate::failure::{self, Failure, keyfob_status};
use crate::options::Settings;
use keyfob_status::{KEYFOB_OK, KEYFOB_PANIC, KEYFOB_STOPPED};
use pointer::{Buffer, Out, Process, Uncancelled, free, give, handle, text};

/// Size of `oauth_error` in `keyfob_error`, in bytes, its NUL included.
pub const KEYFOB_OAUTH_ERROR_SIZE: usize = 64;

/// Size of `message` in `keyfob_error`, in bytes, its NUL included.
pub const KEYFOB_MESSAGE_SIZE: usize = 1024;

/// Details of a failure. The caller's own: on the stack, say, and not set to anything. A function that fails fills all of
/// it; one that succeeds leaves it alone. It never holds a secret.
///
/// Its layout does not change as long as the library is called `libkeyfob.so.0`.
#[repr(C)]
pub struct keyfob_error {
    /// What the function returned.
    status: keyfob_status,
    /// The HTTP status, where the server answered with another than 2xx, or with nonsense; else 0.
    http_status: c_int,
    /// How long the server asked to wait, in milliseconds, where it did; else 0.
    retry_after_ms: u64,
    /// The server's own error code, such as `invalid_client` (RFC 6749 5.2), where it sent one; else empty.
    oauth_error: [c_char; KEYFOB_OAUTH_ERROR_SIZE],
    /// What was being done, what went wrong and what to do next, in one line of UTF-8.
    message: [c_char; KEYFOB_MESSAGE_SIZE],
}

/// Settings for making a client. See `keyfob_options_new`.
pub struct keyfob_options {
    settings: Mutex<Settings>,
}

/// A service, the credentials for it, and the tokens that come of them. Made by `keyfob_spatiafi_…` and
/// `keyfob_spacebring_…`, freed by `keyfob_client_free`.
pub struct keyfob_client {
    process: Process,
    client: Client,
}

/// A login with a browser that is under way. See `keyfob_login_start`.
pub struct keyfob_login {
    process: Process,
    login: Login,
}

/// A token, as a callback gets it, or as `keyfob_spacebring_restore` takes it. The texts are not NUL-terminated.
///
/// Its layout does not change as long as the library is called `libkeyfob.so.0`.
#[repr(C)]
pub struct keyfob_token {
    /// The access token. Visible ASCII.
    access_token: *const c_char,
    access_token_len: usize,
    /// The refresh token; NULL and 0 if there is none.
    refresh_token: *const c_char,
    refresh_token_len: usize,
    /// The scopes that the server granted, separated by spaces; NULL and 0 if it did not say.
    scope: *const c_char,
    scope_len: usize,
    /// When the access token expires, in seconds since 1970; 0 if unknown.
    expires_at: i64,
    /// When it was asked for, in seconds since 1970.
    obtained_at: i64,
}

/// Called with each new token: after a renewal, and after a login. `token`, and all that it points to, is gone when the
/// callback returns. `user` is what `keyfob_options_set_on_renewed` was given.
///
/// It runs on the thread whose call fetched the token, while others may wait for it, so it should be quick; calls of
/// several clients can run at the same time. It may ask the client for its token, and gets the new one. It must not
/// invalidate, renew or revoke that, nor free the client, and neither throw nor `longjmp`.
pub type keyfob_renewed_fn = Option<unsafe extern "C" fn(token: *const keyfob_token, user: *mut c_void)>;

/// Called with new app credentials: JSON with `client_id` and `client_secret`, as the server sent it, not NUL-terminated,
/// gone when the callback returns. Returns 0 once they are kept safely (on the disk, say, and not just in a buffer);
/// anything else lets `keyfob_spatiafi_login` fail with `KEYFOB_STORE`. It must neither throw nor `longjmp`.
pub type keyfob_save_fn =
    Option<unsafe extern "C" fn(json: *const c_char, len: usize, user: *mut c_void) -> c_int>;

/// Called with each piece of a body, in order, gone when the callback returns. Returns 0 to go on; anything else ends the
/// call with `KEYFOB_STOPPED`. It must neither throw nor `longjmp`, and not free the client.
pub type keyfob_body_fn =
    Option<unsafe extern "C" fn(data: *const c_char, len: usize, user: *mut c_void) -> c_int>;

/// Frees a handle, and wipes the stack: what calls before this one left there, ours and those of other libraries, and what
/// the dynamic linker saved there of the registers.
///
/// # Safety
/// As the header asks: `handle` is NULL or a living handle that nobody uses any more.
unsafe fn end<T>(handle: *mut T) {
    if handle.is_null() {
        return;
    }
    let _uncancelled = Uncancelled::begin();
    // SAFETY: the caller's promise.
    let _ = catch_unwind(AssertUnwindSafe(|| unsafe { free(handle) }));
    wipe_stack();
}

/// The 64 KiB below the caller's frame. Calls use less, as `tests/memory.rs` shows.
#[inline(never)]
#[allow(clippy::large_stack_arrays, reason = "it is the stack that is wiped")]
fn wipe_stack() {
    let mut stack = [0_u8; 64 * 1024];
    // The compiler must take it that they are looked at.
    std::hint::black_box(&mut stack);
}

/// Makes the call, catches what panics, and tells the caller. A thread that is cancelled meanwhile ends afterwards.
///
/// # Safety
/// If not NULL, `error` is good for a `keyfob_error`.
unsafe fn answer(error: *mut keyfob_error, call: impl FnOnce() -> Result<(), Failure>) -> keyfob_status {
    let _uncancelled = Uncancelled::begin();
    let failure = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(())) => return KEYFOB_OK,
        Ok(Err(failure)) => failure,
        Err(_) => Failure::new(KEYFOB_PANIC, "a bug in keyfob ended the call; please report it"),
    };
    if !error.is_null() {
        // SAFETY: the caller's promise. What is there is not read, it may be anything.
        unsafe { error.write(describe(&failure)) };
    }
    failure.status
}

fn describe(failure: &Failure) -> keyfob_error {
    let retry_after =
        failure.retry_after.map_or(0, |wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    keyfob_error {
        status: failure.status,
        http_status: failure.http_status.map_or(0, c_int::from),
        retry_after_ms: retry_after,
        oauth_error: chars(failure.oauth_error.as_deref().unwrap_or_default()),
        message: chars(&failure.text),
    }
}

/// As much of the text as fits in whole characters, and a NUL.
fn chars<const N: usize>(text: &str) -> [c_char; N] {
    let mut chars = [0; N];
    let len = (0..=text.len().min(N - 1)).rfind(|&at| text.is_char_boundary(at)).unwrap_or(0);
    for (to, from) in chars.iter_mut().zip(text.as_bytes()[..len].iter()) {
        *to = from.cast_signed() as c_char;
    }
    chars
}

/// A pointer and a length for C.
fn parts(bytes: Option<&[u8]>) -> (*const c_char, usize) {
    bytes.map_or((ptr::null(), 0), |bytes| (bytes.as_ptr().cast(), bytes.len()))
}

fn unix_seconds(at: SystemTime) -> i64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

fn view(token: &keyfob::Token) -> keyfob_token {
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
        // 0 says that it is unknown.
        expires_at: token.expires_at().map_or(0, |at| unix_seconds(at).max(1)),
        obtained_at: unix_seconds(token.obtained_at()),
    }
}

/// The caller's pointer, to be handed back to its callbacks.
#[derive(Clone, Copy)]
struct User(*mut c_void);

// SAFETY: nothing here looks at what it points to, and the header says that callbacks run on other threads.
unsafe impl Send for User {}
// SAFETY: as above.
unsafe impl Sync for User {}

impl User {
    /// A method, so that closures capture the whole.
    fn get(self) -> *mut c_void {
        self.0
    }
}

/// # Safety
/// As the header asks: `options` is NULL or a living handle.
unsafe fn settings(options: *const keyfob_options) -> Result<Settings, Failure> {
    if options.is_null() {
        return Ok(Settings::default());
    }
    // SAFETY: the caller's promise.
    let options = unsafe { handle("options", options) }?;
    Ok(options.settings.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

/// # Safety
/// As the header asks: `client` is NULL or a living handle.
unsafe fn of_client<'a>(client: *const keyfob_client) -> Result<&'a Client, Failure> {
    // SAFETY: the caller's promise.
    let client = unsafe { handle("client", client) }?;
    client.process.check("client")?;
    Ok(&client.client)
}

/// # Safety
/// As the header asks: `login` is NULL or a living handle.
unsafe fn of_login<'a>(login: *const keyfob_login) -> Result<&'a Login, Failure> {
    // SAFETY: the caller's promise.
    let login = unsafe { handle("login", login) }?;
    login.process.check("login")?;
    Ok(&login.login)
}

fn new_client(client: Client) -> *mut keyfob_client {
    give(keyfob_client { process: Process::current(), client })
}

/// The version of the library, such as "0.1.0": compare it with `KEYFOB_VERSION`, that of the header.
///
/// Returns a NUL-terminated text that lives as long as the program. Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn keyfob_version() -> *const c_char {
    // A constant: nothing here can panic.
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// The name of a status, such as "KEYFOB_TIMEOUT", for logs. Of a number that this library does not know:
/// "unknown status".
///
/// Returns a NUL-terminated text that lives as long as the program. Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn keyfob_status_name(status: c_int) -> *const c_char {
    catch_unwind(|| failure::name(status)).unwrap_or(c"unknown status").as_ptr()
}

/// Changes settings.
///
/// # Safety
/// As the header asks: `options` is NULL or a living handle, `error` is NULL or good for a `keyfob_error`.
unsafe fn set(
    options: *mut keyfob_options,
    error: *mut keyfob_error,
    change: impl FnOnce(&mut Settings) -> Result<(), Failure>,
) -> keyfob_status {
    let call = || {
        // SAFETY: the caller's promise.
        let options = unsafe { handle("options", options) }?;
        change(&mut options.settings.lock().unwrap_or_else(PoisonError::into_inner))
    };
    // SAFETY: the caller's promise.
    unsafe { answer(error, call) }
}

/// Sets a text; an empty one brings the default back.
///
/// # Safety
/// As in `set`, and in `text`.
unsafe fn set_text(
    (options, error): (*mut keyfob_options, *mut keyfob_error),
    (what, value, len): (&str, *const c_char, usize),
    field: impl FnOnce(&mut Settings) -> &mut Option<String>,
) -> keyfob_status {
    let change = |settings: &mut Settings| {
        // SAFETY: the caller's promise.
        let value = unsafe { text(what, value, len) }?;
        *field(settings) = Some(value.to_owned()).filter(|value| !value.is_empty());
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { set(options, error, change) }
}

/// Sets a time-out; 0 brings the default back.
///
/// # Safety
/// As in `set`.
unsafe fn set_timeout(
    options: *mut keyfob_options,
    milliseconds: u32,
    error: *mut keyfob_error,
    field: impl FnOnce(&mut Settings) -> &mut Option<Duration>,
) -> keyfob_status {
    let change = |settings: &mut Settings| {
        *field(settings) = Some(Duration::from_millis(milliseconds.into())).filter(|time| !time.is_zero());
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { set(options, error, change) }
}

/// Sets a switch.
///
/// # Safety
/// As in `set`.
unsafe fn set_switch(
    options: *mut keyfob_options,
    on: c_int,
    error: *mut keyfob_error,
    field: impl FnOnce(&mut Settings) -> &mut bool,
) -> keyfob_status {
    let change = |settings: &mut Settings| {
        *field(settings) = on != 0;
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { set(options, error, change) }
}

/// Makes settings, all at their defaults. They may be used for any number of clients, each of which takes a copy when it is
/// made: what is set later does not change it.
///
/// `*out`: the settings, to be freed with `keyfob_options_free`.
/// Threads: any. Returns KEYFOB_OK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_options_new(
    out: *mut *mut keyfob_options,
    error: *mut keyfob_error,
) -> keyfob_status {
    let call = || {
        // SAFETY: the header asks for `out` to be NULL or good for a pointer.
        let out = unsafe { Out::new("options to be made", out) }?;
        out.put(give(keyfob_options { settings: Mutex::default() }));
        Ok(())
    };
    // SAFETY: the header asks for `error` to be NULL or good for a `keyfob_error`.
    unsafe { answer(error, call) }
}

/// Frees settings and wipes what is secret in them. Clients that were made with them go on. NULL is fine.
///
/// Threads: any, but no other thread may use the settings at the same time or later.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_options_free(options: *mut keyfob_options) {
    // SAFETY: the header asks for NULL or a living handle that nobody uses any more.
    unsafe { end(options) }
}

/// The folder that tokens are kept in between one run and the next, for all processes that name it. It is made, with mode
/// 0700, when it is needed. Default: tokens are kept in memory only; of a client from the environment: `KEYFOB_STORE`, else
/// `$XDG_STATE_HOME/keyfob` or `~/.local/state/keyfob`.
///
/// NULL or empty: the default.
/// Threads: any, on the same settings too. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT if longer than 16 KiB or not UTF-8. What
/// makes no sense otherwise is refused when a client is made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_options_set_store(
    options: *mut keyfob_options,
    value: *const c_char,
    len: usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    // SAFETY: the header asks for the pointers to be NULL or what they seem.
    unsafe { set_text((options, error), ("folder", value, len), |settings| &mut settings.store) }
}

/// Keeps several logins, or uses, of one client apart in the store. Default: "default"; of a client from the environment:
/// `KEYFOB_PROFILE`.
///
/// NULL or empty: the default.
/// Threads: any, on the same settings too. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT if longer than 16 KiB or not UTF-8. What
/// makes no sense otherwise is refused when a client is made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_options_set_profile(
    options: *mut keyfob_options,
    value: *const c_char,
    len: usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    // SAFETY: the header asks for the pointers to be NULL or what they seem.
    unsafe {
        set_text((options, error), ("name of the profile", value, len), |settings| &mut settings.profile)
    }
}

/// A PEM file with the certificate authorities to trust, in place of the built-in ones (as curl's `--cacert`). Default: the
/// web's root certificates; of a client from the environment: `KEYFOB_CA_FILE`.
///
/// NULL or empty: the default.
/// Threads: any, on the same settings too. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT if longer than 16 KiB or not UTF-8. What
/// makes no sense otherwise is refused when a client is made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_options_set_ca_file(
    options: *mut keyfob_options,
    value: *const c_char,
    len: usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    // SAFETY: the header asks for the pointers to be NULL or what they seem.
    unsafe {
        set_text((options, error), ("name of the CA file", value, len), |settings| &mut settings.ca_file)
    }
}

/// An HTTP proxy, `http://[user:password@]host:port`, or `env` for the one that `ALL_PROXY`, `HTTPS_PROXY` or `HTTP_PROXY`
/// names. Default: none; of a client from the environment: `KEYFOB_PROXY`.
///
/// NULL or empty: the default.
/// Threads: any, on the same settings too. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT if longer than 16 KiB or not UTF-8. What
/// makes no sense otherwise is refused when a client is made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_options_set_proxy(
    options: *mut keyfob_options,
    value: *const c_char,
    len: usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    let change = |settings: &mut Settings| {
        // SAFETY: the header asks for `value` to be NULL or `len` bytes.
        let value = unsafe { text("proxy URL", value, len) }?;
        settings.proxy = (!value.is_empty()).then(|| Secret::from(value));
        Ok(())
    };
    // SAFETY: the header asks for `options` and `error` to be NULL or what they seem.
    unsafe { set(options, error, change) }
}

/// The `User-Agent` header. Default: "keyfob/" and the version.
///
/// NULL or empty: the default.
/// Threads: any, on the same settings too. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT if longer than 16 KiB or not UTF-8. What
/// makes no sense otherwise is refused when a client is made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_options_set_user_agent(
    options: *mut keyfob_options,
    value: *const c_char,
    len: usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    // SAFETY: the header asks for the pointers to be NULL or what they seem.
    unsafe { set_text((options, error), ("user agent", value, len), |settings| &mut settings.user_agent) }
}

/// Spacebring only: the network, by its UUID, that is named on each request to the API. Default: none is named; of a client
/// from the environment: `SPACEBRING_NETWORK_ID`.
///
/// NULL or empty: the default.
/// Threads: any, on the same settings too. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT if longer than 16 KiB or not UTF-8. What
/// makes no sense otherwise is refused when a client is made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_options_set_network_id(
    options: *mut keyfob_options,
    value: *const c_char,
    len: usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    // SAFETY: the header asks for the pointers to be NULL or what they seem.
    unsafe { set_text((options, error), ("network id", value, len), |settings| &mut settings.network_id) }
}

/// The base URL of the API, which alone gets the token. Default: the public service's; of a client from the environment:
/// `SPATIAFI_API_URL` or `SPACEBRING_API_URL`.
///
/// NULL or empty: the default.
/// Threads: any, on the same settings too. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT if longer than 16 KiB or not UTF-8. What
/// makes no sense otherwise is refused when a client is made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_options_set_api_url(
    options: *mut keyfob_options,
    value: *const c_char,
    len: usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    // SAFETY: the header asks for the pointers to be NULL or what they seem.
    unsafe { set_text((options, error), ("API URL", value, len), |settings| &mut settings.api_url) }
}

/// SpatiaFi only: the base URL of the authorization server. Default: `https://auth.spatiafi.com`; of a client from the
/// environment: `SPATIAFI_AUTH_URL`.
///
/// NULL or empty: the default.
/// Threads: any, on the same settings too. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT if longer than 16 KiB or not UTF-8. What
/// makes no sense otherwise is refused when a client is made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_options_set_auth_url(
    options: *mut keyfob_options,
    value: *const c_char,
    len: usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    // SAFETY: the header asks for the pointers to be NULL or what they seem.
    unsafe {
        set_text((options, error), ("URL of the authorization server", value, len), |settings| {
            &mut settings.auth_url
        })
    }
}

/// The whole token URL, where a server differs: of SpatiaFi and of Spacebring's partners. Default: that of the server; of a
/// client from the environment: `SPATIAFI_TOKEN_URL` or `SPACEBRING_TOKEN_URL`.
///
/// NULL or empty: the default.
/// Threads: any, on the same settings too. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT if longer than 16 KiB or not UTF-8. What
/// makes no sense otherwise is refused when a client is made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_options_set_token_url(
    options: *mut keyfob_options,
    value: *const c_char,
    len: usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    // SAFETY: the header asks for the pointers to be NULL or what they seem.
    unsafe { set_text((options, error), ("token URL", value, len), |settings| &mut settings.token_url) }
}

/// Spacebring's partners only: the URL that a browser opens. Default: that of the API; of a client from the environment:
/// `SPACEBRING_AUTHORIZE_URL`.
///
/// NULL or empty: the default.
/// Threads: any, on the same settings too. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT if longer than 16 KiB or not UTF-8. What
/// makes no sense otherwise is refused when a client is made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_options_set_authorize_url(
    options: *mut keyfob_options,
    value: *const c_char,
    len: usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    // SAFETY: the header asks for the pointers to be NULL or what they seem.
    unsafe {
        set_text((options, error), ("authorize URL", value, len), |settings| &mut settings.authorize_url)
    }
}

/// Spacebring's partners only: the URL that ends tokens. Default: that of the API; of a client from the environment:
/// `SPACEBRING_REVOKE_URL`.
///
/// NULL or empty: the default.
/// Threads: any, on the same settings too. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT if longer than 16 KiB or not UTF-8. What
/// makes no sense otherwise is refused when a client is made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_options_set_revoke_url(
    options: *mut keyfob_options,
    value: *const c_char,
    len: usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    // SAFETY: the header asks for the pointers to be NULL or what they seem.
    unsafe { set_text((options, error), ("revocation URL", value, len), |settings| &mut settings.revoke_url) }
}

/// How long connecting may take, TLS included, in milliseconds. 0: the default, 10 s.
///
/// Threads: any, on the same settings too. Returns KEYFOB_OK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_options_set_connect_timeout_ms(
    options: *mut keyfob_options,
    milliseconds: u32,
    error: *mut keyfob_error,
) -> keyfob_status {
    // SAFETY: the header asks for the pointers to be NULL or what they seem.
    unsafe { set_timeout(options, milliseconds, error, |settings| &mut settings.connect_timeout) }
}

/// How long getting a token may take in all, in milliseconds: names, connecting, repeats and waits included. So long may a
/// function that needs a token take. 0: the default, 30 s.
///
/// Threads: any, on the same settings too. Returns KEYFOB_OK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_options_set_timeout_ms(
    options: *mut keyfob_options,
    milliseconds: u32,
    error: *mut keyfob_error,
) -> keyfob_status {
    // SAFETY: the header asks for the pointers to be NULL or what they seem.
    unsafe { set_timeout(options, milliseconds, error, |settings| &mut settings.timeout) }
}

/// How long `keyfob_get` may take in all, in milliseconds: getting a token, repeats, waits and reading the body included. 0: the
/// default, 60 s.
///
/// Threads: any, on the same settings too. Returns KEYFOB_OK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_options_set_get_timeout_ms(
    options: *mut keyfob_options,
    milliseconds: u32,
    error: *mut keyfob_error,
) -> keyfob_status {
    // SAFETY: the header asks for the pointers to be NULL or what they seem.
    unsafe { set_timeout(options, milliseconds, error, |settings| &mut settings.call_timeout) }
}

/// Sends no `state` and takes a callback without one, if `without` is not 0: for a server that does not send it back. Then PKCE
/// alone protects the login. Spacebring's partners only. Default: 0.
///
/// Threads: any, on the same settings too. Returns KEYFOB_OK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_options_set_without_state(
    options: *mut keyfob_options,
    without: c_int,
    error: *mut keyfob_error,
) -> keyfob_status {
    // SAFETY: the header asks for the pointers to be NULL or what they seem.
    unsafe { set_switch(options, without, error, |settings| &mut settings.without_state) }
}

/// Leaves PKCE (RFC 7636) out, if `without` is not 0: for a server that refuses its parameters. Spacebring's partners only.
/// Default: 0.
///
/// Threads: any, on the same settings too. Returns KEYFOB_OK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_options_set_without_pkce(
    options: *mut keyfob_options,
    without: c_int,
    error: *mut keyfob_error,
) -> keyfob_status {
    // SAFETY: the header asks for the pointers to be NULL or what they seem.
    unsafe { set_switch(options, without, error, |settings| &mut settings.without_pkce) }
}

/// Leaves `redirect_uri` out of the token request, if `without` is not 0: for a server that refuses it there. Spacebring's
/// partners only. Default: 0.
///
/// Threads: any, on the same settings too. Returns KEYFOB_OK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_options_set_without_redirect_uri(
    options: *mut keyfob_options,
    without: c_int,
    error: *mut keyfob_error,
) -> keyfob_status {
    // SAFETY: the header asks for the pointers to be NULL or what they seem.
    unsafe { set_switch(options, without, error, |settings| &mut settings.without_redirect_uri) }
}

/// Has a callback called with each new token: for programs that keep tokens themselves. NULL: none, the default.
///
/// `user` is handed to the callback. It must stay good, and be fit for use from any thread that uses the client, until every
/// client that was made with these settings, and every login of theirs, has been freed.
/// Threads: any, on the same settings too. Returns KEYFOB_OK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_options_set_on_renewed(
    options: *mut keyfob_options,
    callback: keyfob_renewed_fn,
    user: *mut c_void,
    error: *mut keyfob_error,
) -> keyfob_status {
    let user = User(user);
    let change = |settings: &mut Settings| {
        settings.on_renewed = callback.map(|callback| -> crate::options::Renewed {
            Arc::new(move |token| {
                let view = view(token);
                // SAFETY: the header asks for a callback that takes this, from any thread.
                unsafe { callback(&raw const view, user.get()) }
            })
        });
        Ok(())
    };
    // SAFETY: the header asks for the pointers to be NULL or what they seem.
    unsafe { set(options, error, change) }
}

/// SpatiaFi with app credentials. Nothing is sent until a token is needed.
///
/// `options`: NULL for the defaults. `*out`: the client, to be freed with `keyfob_client_free`.
/// Threads: any. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_spatiafi_new(
    client_id: *const c_char,
    client_id_len: usize,
    client_secret: *const c_char,
    client_secret_len: usize,
    options: *const keyfob_options,
    out: *mut *mut keyfob_client,
    error: *mut keyfob_error,
) -> keyfob_status {
    let call = || {
        // SAFETY: the header asks for the pointers to be NULL or what they seem.
        let (out, settings) = unsafe { (Out::new("client to be made", out)?, settings(options)?) };
        // SAFETY: the header asks for text to be NULL or as long as it says.
        let (id, secret) = unsafe {
            (
                text("client id", client_id, client_id_len)?,
                text("client secret", client_secret, client_secret_len)?,
            )
        };
        out.put(new_client(Client::spatiafi(SpatiaFi::new(ClientCredentials::new(id, secret)?), &settings)?));
        Ok(())
    };
    // SAFETY: the header asks for `error` to be NULL or good for a `keyfob_error`.
    unsafe { answer(error, call) }
}

/// SpatiaFi with the app credentials of the environment (`SPATIAFI_CLIENT_ID`, `SPATIAFI_CLIENT_SECRET`), else those in the file
/// of the official Python client. `SPATIAFI_AUTH_URL`, `SPATIAFI_API_URL`, `SPATIAFI_TOKEN_URL`, `KEYFOB_CA_FILE`, `KEYFOB_PROXY`,
/// `KEYFOB_STORE` and `KEYFOB_PROFILE` count where the settings say nothing; tokens are kept in the store. An empty variable counts
/// as unset. Nothing is sent until a token is needed.
///
/// `options`: NULL for the defaults. `*out`: the client, to be freed with `keyfob_client_free`.
/// Threads: any, unless another thread changes the environment (`setenv`). Returns KEYFOB_OK, KEYFOB_NO_CREDENTIALS if there are
/// none, KEYFOB_INVALID_INPUT for a bad variable, KEYFOB_STORE for a bad file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_spatiafi_from_env(
    options: *const keyfob_options,
    out: *mut *mut keyfob_client,
    error: *mut keyfob_error,
) -> keyfob_status {
    let call = || {
        // SAFETY: the header asks for the pointers to be NULL or what they seem.
        let (out, settings) = unsafe { (Out::new("client to be made", out)?, settings(options)?) };
        out.put(new_client(Client::spatiafi_from_env(settings)?));
        Ok(())
    };
    // SAFETY: the header asks for `error` to be NULL or good for a `keyfob_error`.
    unsafe { answer(error, call) }
}

/// Makes app credentials for SpatiaFi with a user name and a password, and a client that uses them: once, by a person. They are
/// permanent, and the server shows them only now: `save` keeps them, and is called before anything else can fail. Make sure
/// beforehand that it can.
///
/// `save`: NULL to save them where the official Python client and `keyfob_spatiafi_from_env` look, unless there are some already
/// (KEYFOB_STORE). `user` is handed to it.
/// `options`: NULL for the defaults. `*out`: the client, to be freed with `keyfob_client_free`.
/// Threads: any, but with `save` NULL no other thread may change the environment, which says where the home folder is; `save`
/// runs on the caller's. Blocks, for no longer than twice the time-out. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT,
/// KEYFOB_NO_CREDENTIALS if `save` is NULL and there is no home folder, KEYFOB_REFUSED for a wrong user name or password,
/// KEYFOB_LOGIN_REQUIRED if the server answers `invalid_grant`, KEYFOB_STORE if they could not be saved, KEYFOB_PROTOCOL,
/// KEYFOB_NETWORK, KEYFOB_TIMEOUT, KEYFOB_CLOCK, KEYFOB_RATE_LIMITED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_spatiafi_login(
    username: *const c_char,
    username_len: usize,
    password: *const c_char,
    password_len: usize,
    save: keyfob_save_fn,
    user: *mut c_void,
    options: *const keyfob_options,
    out: *mut *mut keyfob_client,
    error: *mut keyfob_error,
) -> keyfob_status {
    let call = || {
        // SAFETY: the header asks for the pointers to be NULL or what they seem.
        let (out, settings) = unsafe { (Out::new("client to be made", out)?, settings(options)?) };
        // SAFETY: the header asks for text to be NULL or as long as it says.
        let (username, password) = unsafe {
            (text("user name", username, username_len)?, text("password", password, password_len)?)
        };
        let save = save.map(|save| {
            move |json: &[u8]| {
                // SAFETY: the header asks for a callback that takes this.
                match unsafe { save(json.as_ptr().cast(), json.len(), user) } {
                    0 => Ok(()),
                    _ => Err(io::ErrorKind::Other.into()),
                }
            }
        });
        out.put(new_client(Client::spatiafi_login(username, password.into(), &settings, save)?));
        Ok(())
    };
    // SAFETY: the header asks for `error` to be NULL or good for a `keyfob_error`.
    unsafe { answer(error, call) }
}

/// A customer of Spacebring, who signs each request with id and secret (HTTP Basic) and needs no token.
///
/// `options`: NULL for the defaults. `*out`: the client, to be freed with `keyfob_client_free`.
/// Threads: any. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_spacebring_customer_new(
    client_id: *const c_char,
    client_id_len: usize,
    client_secret: *const c_char,
    client_secret_len: usize,
    options: *const keyfob_options,
    out: *mut *mut keyfob_client,
    error: *mut keyfob_error,
) -> keyfob_status {
    let call = || {
        // SAFETY: the header asks for the pointers to be NULL or what they seem.
        let (out, settings) = unsafe { (Out::new("client to be made", out)?, settings(options)?) };
        // SAFETY: the header asks for text to be NULL or as long as it says.
        let (id, secret) = unsafe {
            (
                text("client id", client_id, client_id_len)?,
                text("client secret", client_secret, client_secret_len)?,
            )
        };
        out.put(new_client(Client::customer(Customer::new(id, secret)?, &settings)?));
        Ok(())
    };
    // SAFETY: the header asks for `error` to be NULL or good for a `keyfob_error`.
    unsafe { answer(error, call) }
}

/// A customer of Spacebring with `SPACEBRING_CLIENT_ID` and `SPACEBRING_CLIENT_SECRET`. `SPACEBRING_NETWORK_ID`,
/// `SPACEBRING_API_URL`, `KEYFOB_CA_FILE` and `KEYFOB_PROXY` count where the settings say nothing. An empty variable counts as
/// unset.
///
/// `options`: NULL for the defaults. `*out`: the client, to be freed with `keyfob_client_free`.
/// Threads: any, unless another thread changes the environment (`setenv`). Returns KEYFOB_OK, KEYFOB_NO_CREDENTIALS if one is not
/// set, KEYFOB_INVALID_INPUT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_spacebring_customer_from_env(
    options: *const keyfob_options,
    out: *mut *mut keyfob_client,
    error: *mut keyfob_error,
) -> keyfob_status {
    let call = || {
        // SAFETY: the header asks for the pointers to be NULL or what they seem.
        let (out, settings) = unsafe { (Out::new("client to be made", out)?, settings(options)?) };
        out.put(new_client(Client::customer_from_env(settings)?));
        Ok(())
    };
    // SAFETY: the header asks for `error` to be NULL or good for a `keyfob_error`.
    unsafe { answer(error, call) }
}

/// A partner of Spacebring. It has tokens once a person has logged in (`keyfob_login_start`) or tokens that the caller has kept
/// have been given to it (`keyfob_spacebring_restore`); with a store, those of an earlier login are in use at once.
///
/// `redirect_uri`: one that Spacebring knows. With `http` and `127.0.0.1` or `[::1]` the end of the login can be waited for, at a
/// free port if the port is 0.
/// `options`: NULL for the defaults. `*out`: the client, to be freed with `keyfob_client_free`.
/// Threads: any. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT, KEYFOB_STORE if the store cannot be reached or trusted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_spacebring_partner_new(
    client_id: *const c_char,
    client_id_len: usize,
    client_secret: *const c_char,
    client_secret_len: usize,
    redirect_uri: *const c_char,
    redirect_uri_len: usize,
    options: *const keyfob_options,
    out: *mut *mut keyfob_client,
    error: *mut keyfob_error,
) -> keyfob_status {
    let call = || {
        // SAFETY: the header asks for the pointers to be NULL or what they seem.
        let (out, settings) = unsafe { (Out::new("client to be made", out)?, settings(options)?) };
        // SAFETY: the header asks for text to be NULL or as long as it says.
        let (id, secret, redirect_uri) = unsafe {
            (
                text("client id", client_id, client_id_len)?,
                text("client secret", client_secret, client_secret_len)?,
                text("redirect URI", redirect_uri, redirect_uri_len)?,
            )
        };
        out.put(new_client(Client::partner(Partner::new(id, secret, redirect_uri)?, &settings)?));
        Ok(())
    };
    // SAFETY: the header asks for `error` to be NULL or good for a `keyfob_error`.
    unsafe { answer(error, call) }
}

/// A partner of Spacebring with `SPACEBRING_CLIENT_ID`, `SPACEBRING_CLIENT_SECRET` and `SPACEBRING_REDIRECT_URI` (default
/// `http://127.0.0.1:8765/callback`). `SPACEBRING_NETWORK_ID`, `SPACEBRING_API_URL`, `SPACEBRING_AUTHORIZE_URL`,
/// `SPACEBRING_TOKEN_URL`, `SPACEBRING_REVOKE_URL`, `KEYFOB_CA_FILE`, `KEYFOB_PROXY`, `KEYFOB_STORE` and `KEYFOB_PROFILE` count where
/// the settings say nothing; tokens are kept in the store. An empty variable counts as unset. Otherwise as
/// `keyfob_spacebring_partner_new`.
///
/// `options`: NULL for the defaults. `*out`: the client, to be freed with `keyfob_client_free`.
/// Threads: any, unless another thread changes the environment (`setenv`). Returns KEYFOB_OK, KEYFOB_NO_CREDENTIALS if one is not
/// set, KEYFOB_INVALID_INPUT, KEYFOB_STORE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_spacebring_partner_from_env(
    options: *const keyfob_options,
    out: *mut *mut keyfob_client,
    error: *mut keyfob_error,
) -> keyfob_status {
    let call = || {
        // SAFETY: the header asks for the pointers to be NULL or what they seem.
        let (out, settings) = unsafe { (Out::new("client to be made", out)?, settings(options)?) };
        out.put(new_client(Client::partner_from_env(settings)?));
        Ok(())
    };
    // SAFETY: the header asks for `error` to be NULL or good for a `keyfob_error`.
    unsafe { answer(error, call) }
}

/// Frees a client and wipes its secrets. Logins that it started go on. NULL is fine.
///
/// Threads: any, but no other thread may use the client at the same time or later. Not from within one of its callbacks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_client_free(client: *mut keyfob_client) {
    // SAFETY: the header asks for NULL or a living handle that nobody uses any more.
    unsafe { end(client) }
}

/// The value of an `Authorization` header: "Bearer " and an access token, or, of a customer of Spacebring, "Basic " and the
/// credentials. Do not keep it: ask before each request. That costs nothing while a token lives, and gets a new one in time.
///
/// `min_valid_s`: how long the token must live, in seconds; what was got after the call began satisfies any. A token is renewed
/// early by min(60 s, 20 % of its lifetime); while one thread gets a new one, the others are given the one that still lives. If
/// that fails, it goes on to be used as long as it lives.
/// `buf`, `cap`: a buffer and its size in bytes, NUL included; NULL and 0 to ask for the size. The caller wipes it. `*len`: the
/// length without the NUL, or, if the buffer is too small, the size that is needed.
/// Threads: any, on the same client too. Blocks while a token is got, for no longer than the time-out.
/// Returns KEYFOB_OK, KEYFOB_BUFFER_TOO_SMALL, KEYFOB_LOGIN_REQUIRED, KEYFOB_REFUSED, KEYFOB_PROTOCOL, KEYFOB_NETWORK,
/// KEYFOB_TIMEOUT, KEYFOB_CLOCK, KEYFOB_RATE_LIMITED, KEYFOB_STORE, KEYFOB_INVALID_INPUT if SpatiaFi's client secret has less than 32
/// bytes. Between asking for the size and asking again, another thread may have got a token that is longer: ask in a loop.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_authorization(
    client: *mut keyfob_client,
    min_valid_s: u32,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    let call = || {
        // SAFETY: the header asks for the pointers to be NULL or what they seem.
        let (client, buffer) = unsafe { (of_client(client)?, Buffer::new(buf, cap, len)?) };
        client.authorization(Duration::from_secs(min_valid_s.into()), |scheme, value| {
            buffer.fill(scheme, value)
        })
    };
    // SAFETY: the header asks for `error` to be NULL or good for a `keyfob_error`.
    unsafe { answer(error, call) }
}

/// The access token alone. Otherwise as `keyfob_authorization`.
///
/// `buf`, `cap`: a buffer and its size in bytes, NUL included; NULL and 0 to ask for the size. The caller wipes it. `*len`: the
/// length without the NUL, or, if the buffer is too small, the size that is needed.
/// Threads: any, on the same client too. Blocks while a token is got, for no longer than the time-out.
/// Returns KEYFOB_OK, KEYFOB_BUFFER_TOO_SMALL, KEYFOB_LOGIN_REQUIRED, KEYFOB_REFUSED, KEYFOB_PROTOCOL, KEYFOB_NETWORK,
/// KEYFOB_TIMEOUT, KEYFOB_CLOCK, KEYFOB_RATE_LIMITED, KEYFOB_STORE, KEYFOB_INVALID_INPUT for a customer of Spacebring, who has none,
/// and as `keyfob_authorization`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_access_token(
    client: *mut keyfob_client,
    min_valid_s: u32,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    let call = || {
        // SAFETY: the header asks for the pointers to be NULL or what they seem.
        let (client, buffer) = unsafe { (of_client(client)?, Buffer::new(buf, cap, len)?) };
        buffer.fill(b"", client.token(Duration::from_secs(min_valid_s.into()))?.access_token().expose())
    };
    // SAFETY: the header asks for `error` to be NULL or good for a `keyfob_error`.
    unsafe { answer(error, call) }
}

/// Says that a server refused a token (HTTP 401): the next call that needs one gets another, unless that has happened since.
///
/// `used`: the value of the `Authorization` header, or the access token, that was refused, so that a newer one is left alone.
/// NULL and 0: the one that is in use now.
/// Threads: any, on the same client too. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT for what cannot be a token and for a customer of
/// Spacebring, KEYFOB_LOGIN_REQUIRED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_invalidate(
    client: *mut keyfob_client,
    used: *const c_char,
    used_len: usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    let call = || {
        // SAFETY: the header asks for the pointers to be NULL or what they seem.
        let (client, used) = unsafe { (of_client(client)?, text("used token", used, used_len)?) };
        let token = used.strip_prefix("Bearer ").unwrap_or(used);
        client.invalidate((!used.is_empty()).then(|| Secret::from(token)))
    };
    // SAFETY: the header asks for `error` to be NULL or good for a `keyfob_error`.
    unsafe { answer(error, call) }
}

/// Gets a new token now, whether the old one lives or not. If that fails, the old one goes on to be used as long as it
/// lives. It is seldom needed: `keyfob_authorization` renews in time.
///
/// Threads: any, on the same client too. Blocks, for no longer than the time-out. Returns KEYFOB_OK, KEYFOB_LOGIN_REQUIRED,
/// KEYFOB_REFUSED, KEYFOB_PROTOCOL, KEYFOB_NETWORK, KEYFOB_TIMEOUT, KEYFOB_CLOCK, KEYFOB_RATE_LIMITED, KEYFOB_STORE,
/// KEYFOB_INVALID_INPUT for a customer of Spacebring, and as `keyfob_authorization`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_refresh(
    client: *mut keyfob_client,
    error: *mut keyfob_error,
) -> keyfob_status {
    let call = || {
        // SAFETY: the header asks for the pointers to be NULL or what they seem.
        unsafe { of_client(client) }?.refresh()
    };
    // SAFETY: the header asks for `error` to be NULL or good for a `keyfob_error`.
    unsafe { answer(error, call) }
}

/// One signed GET, for programs without an HTTP library. It signs in by itself, replaces a token that is refused, once, waits out
/// 429, and tries 502, 503, 504 and failed connections up to three times. Spacebring's 10 requests per second are kept to.
/// Redirects are not followed.
///
/// `url`: a whole URL, or the rest of one, from its "/" on, that is put behind that of the API. A URL elsewhere than at the API
/// is called without the token.
/// `body`: called with each piece of the body, with `user`.
/// `http_status`: NULL if only 2xx will do; any other is then KEYFOB_API_STATUS (KEYFOB_RATE_LIMITED for 429, KEYFOB_PROTOCOL for
/// a redirect), with the status in `error`, and no body. Else any status is an answer, and goes there at the end.
/// Threads: any, on the same client too; `body` runs on the caller's. Blocks, for no longer than the time-out of `keyfob_get`.
/// Returns KEYFOB_OK, KEYFOB_INVALID_INPUT, KEYFOB_API_STATUS, KEYFOB_STOPPED if `body` asked for it, KEYFOB_LOGIN_REQUIRED,
/// KEYFOB_REFUSED, KEYFOB_PROTOCOL, KEYFOB_NETWORK, KEYFOB_TIMEOUT, KEYFOB_CLOCK, KEYFOB_RATE_LIMITED, KEYFOB_STORE. If it fails in
/// the middle of the body, what has come until then has been handed on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_get(
    client: *mut keyfob_client,
    url: *const c_char,
    url_len: usize,
    body: keyfob_body_fn,
    user: *mut c_void,
    http_status: *mut c_int,
    error: *mut keyfob_error,
) -> keyfob_status {
    let call = || {
        // SAFETY: the header asks for the pointers to be NULL or what they seem.
        let (client, url) = unsafe { (of_client(client)?, text("URL", url, url_len)?) };
        let body = body.ok_or_else(|| pointer::null("body callback"))?;
        let status = client.get(url, !http_status.is_null(), |piece| {
            // SAFETY: the header asks for a callback that takes this.
            match unsafe { body(piece.as_ptr().cast(), piece.len(), user) } {
                0 => Ok(()),
                _ => Err(Failure::new(KEYFOB_STOPPED, "the callback for the body asked to stop")),
            }
        })?;
        if !http_status.is_null() {
            // SAFETY: the header asks for it to be good for an `int`.
            unsafe { http_status.write(status.into()) };
        }
        Ok(())
    };
    // SAFETY: the header asks for `error` to be NULL or good for a `keyfob_error`.
    unsafe { answer(error, call) }
}

/// The base URL of the API, without a slash at its end.
///
/// `buf`, `cap`: a buffer and its size in bytes, NUL included; NULL and 0 to ask for the size. `*len`: the
/// length without the NUL, or, if the buffer is too small, the size that is needed.
/// Threads: any, on the same client too. Returns KEYFOB_OK, KEYFOB_BUFFER_TOO_SMALL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_api_url(
    client: *mut keyfob_client,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    let call = || {
        // SAFETY: the header asks for the pointers to be NULL or what they seem.
        let (client, buffer) = unsafe { (of_client(client)?, Buffer::new(buf, cap, len)?) };
        buffer.fill(b"", client.api_url().as_bytes())
    };
    // SAFETY: the header asks for `error` to be NULL or good for a `keyfob_error`.
    unsafe { answer(error, call) }
}

/// What went on all the same, but should be known: a new token that could not be saved, a credentials file that others can read. A
/// line for each; empty if there is nothing.
///
/// `buf`, `cap`: a buffer and its size in bytes, NUL included; NULL and 0 to ask for the size. `*len`: the
/// length without the NUL, or, if the buffer is too small, the size that is needed.
/// Threads: any, on the same client too. Returns KEYFOB_OK, KEYFOB_BUFFER_TOO_SMALL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_warning(
    client: *mut keyfob_client,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    let call = || {
        // SAFETY: the header asks for the pointers to be NULL or what they seem.
        let (client, buffer) = unsafe { (of_client(client)?, Buffer::new(buf, cap, len)?) };
        buffer.fill(b"", client.warning().as_bytes())
    };
    // SAFETY: the header asks for `error` to be NULL or good for a `keyfob_error`.
    unsafe { answer(error, call) }
}

/// Starts a login of a person with a browser, for a partner of Spacebring: show the URL (`keyfob_login_url`), then wait for the end
/// (`keyfob_login_wait`) or have the person paste the address that the browser ends at (`keyfob_login_finish`). The port of the
/// redirect URI, if it is one of this machine, is open from now on.
///
/// `scopes`: separated by spaces, such as "locations.readonly plans.readonly".
/// `*out`: the login, to be freed with `keyfob_login_free`, before or after the client.
/// Threads: any, on the same client too. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT for a bad scope and for a client that is no
/// partner, KEYFOB_NETWORK if any free port will do and there is none. A port that is taken is `keyfob_login_wait`'s to say;
/// the login can still be finished with a pasted address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_login_start(
    client: *mut keyfob_client,
    scopes: *const c_char,
    scopes_len: usize,
    out: *mut *mut keyfob_login,
    error: *mut keyfob_error,
) -> keyfob_status {
    let call = || {
        // SAFETY: the header asks for the pointers to be NULL or what they seem.
        let (client, scopes, out) = unsafe {
            (of_client(client)?, text("scopes", scopes, scopes_len)?, Out::new("login to be made", out)?)
        };
        let login = Login::start(client.as_partner()?, scopes)?;
        out.put(give(keyfob_login { process: Process::current(), login }));
        Ok(())
    };
    // SAFETY: the header asks for `error` to be NULL or good for a `keyfob_error`.
    unsafe { answer(error, call) }
}

/// The URL to open in a browser, on this machine or on another. Show it to that person only.
///
/// `buf`, `cap`: a buffer and its size in bytes, NUL included; NULL and 0 to ask for the size. `*len`: the
/// length without the NUL, or, if the buffer is too small, the size that is needed.
/// Threads: any, on the same login too. Returns KEYFOB_OK, KEYFOB_BUFFER_TOO_SMALL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_login_url(
    login: *mut keyfob_login,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    let call = || {
        // SAFETY: the header asks for the pointers to be NULL or what they seem.
        let (login, buffer) = unsafe { (of_login(login)?, Buffer::new(buf, cap, len)?) };
        buffer.fill(b"", login.url().as_bytes())
    };
    // SAFETY: the header asks for `error` to be NULL or good for a `keyfob_error`.
    unsafe { answer(error, call) }
}

/// Waits until the person has logged in, shows in the browser how it ended, and gives the tokens to the client that started the
/// login. They are saved if there is a store (`keyfob_warning` says if that failed), and the renewal callback is called. What
/// knocks at the port but does not belong to this login is turned away. The login is used up, however it ends, unless it cannot be
/// waited for: the redirect URI is not on this machine, or its port is taken. Then it can be finished still.
///
/// `within_ms`: how long to wait for the person, in milliseconds. Getting the tokens has the client's time-out, and so has waiting for
/// another process that is at the same record of the store.
/// Threads: any, but one login ends once. Returns KEYFOB_OK, KEYFOB_TIMEOUT if nobody came, KEYFOB_INVALID_INPUT if the redirect
/// URI is not on this machine or the login is used up, KEYFOB_REFUSED if the person or the server said no, KEYFOB_LOGIN_REQUIRED
/// if the code is not taken, KEYFOB_PROTOCOL, KEYFOB_NETWORK, KEYFOB_CLOCK, KEYFOB_RATE_LIMITED, KEYFOB_STORE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_login_wait(
    login: *mut keyfob_login,
    within_ms: u32,
    error: *mut keyfob_error,
) -> keyfob_status {
    let call = || {
        // SAFETY: the header asks for the pointers to be NULL or what they seem.
        unsafe { of_login(login) }?.wait(Duration::from_millis(within_ms.into()))
    };
    // SAFETY: the header asks for `error` to be NULL or good for a `keyfob_error`.
    unsafe { answer(error, call) }
}

/// Ends a login with the address that the browser was sent to, pasted by the person: for a browser on another machine. Otherwise as
/// `keyfob_login_wait`, but an address that cannot be of this login (KEYFOB_INVALID_INPUT, KEYFOB_PROTOCOL before anything is
/// sent) does not use it up: have it pasted again.
///
/// Threads: any, but one login ends once. Blocks, for no longer than twice the time-out. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT
/// if it cannot be such an address or the login is used up, KEYFOB_TIMEOUT, KEYFOB_REFUSED if the person or the server said no,
/// KEYFOB_LOGIN_REQUIRED if the code is not taken, KEYFOB_PROTOCOL, KEYFOB_NETWORK, KEYFOB_CLOCK, KEYFOB_RATE_LIMITED,
/// KEYFOB_STORE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_login_finish(
    login: *mut keyfob_login,
    callback_url: *const c_char,
    callback_url_len: usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    let call = || {
        // SAFETY: the header asks for the pointers to be NULL or what they seem.
        let (login, callback_url) =
            unsafe { (of_login(login)?, text("callback URL", callback_url, callback_url_len)?) };
        login.finish(callback_url)
    };
    // SAFETY: the header asks for `error` to be NULL or good for a `keyfob_error`.
    unsafe { answer(error, call) }
}

/// Frees a login; one that has not ended is given up, and its port closed. NULL is fine.
///
/// Threads: any, but no other thread may use the login at the same time or later. Not from within the renewal callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_login_free(login: *mut keyfob_login) {
    // SAFETY: the header asks for NULL or a living handle that nobody uses any more.
    unsafe { end(login) }
}

/// Goes on with tokens that the caller has kept from an earlier login, for a partner of Spacebring: what the renewal callback was
/// given last. With a store they are saved there too.
///
/// `token`: `access_token` and `obtained_at` are needed, and times before 1970 are refused; without `refresh_token` it cannot be
/// renewed.
/// Threads: any, on the same client too. Blocks while another process is at the same record of the store, for no longer than the
/// time-out. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT for what cannot be a token and for a client that
/// is no partner.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_spacebring_restore(
    client: *mut keyfob_client,
    token: *const keyfob_token,
    error: *mut keyfob_error,
) -> keyfob_status {
    let call = || {
        // SAFETY: the header asks for the pointers to be NULL or what they seem.
        let (client, token) = unsafe { (of_client(client)?, handle("token", token)?) };
        // SAFETY: as above, of the texts that it points to.
        let token = unsafe { kept(token) }?;
        client.as_partner()?.restore(token)
    };
    // SAFETY: the header asks for `error` to be NULL or good for a `keyfob_error`.
    unsafe { answer(error, call) }
}

/// Ends a login for good: the refresh token and the access token of a partner of Spacebring, at the server, here and in the store. A
/// person has to log in again.
///
/// Threads: any, on the same client too. Blocks, for no longer than twice the time-out. Returns KEYFOB_OK, KEYFOB_LOGIN_REQUIRED if
/// there is no login, KEYFOB_REFUSED, KEYFOB_PROTOCOL, KEYFOB_NETWORK, KEYFOB_TIMEOUT, KEYFOB_CLOCK and KEYFOB_RATE_LIMITED,
/// after which the tokens may live on, KEYFOB_STORE if they have ended but could not be removed, KEYFOB_INVALID_INPUT for a
/// client that is no partner.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_spacebring_revoke(
    client: *mut keyfob_client,
    error: *mut keyfob_error,
) -> keyfob_status {
    let call = || {
        // SAFETY: the header asks for the pointers to be NULL or what they seem.
        unsafe { of_client(client) }?.as_partner()?.revoke()
    };
    // SAFETY: the header asks for `error` to be NULL or good for a `keyfob_error`.
    unsafe { answer(error, call) }
}

/// # Safety
/// As the header asks: the texts that `token` points to are NULL or as long as it says.
unsafe fn kept(token: &keyfob_token) -> Result<keyfob::Token, Failure> {
    // SAFETY: the caller's promise.
    let (access, refresh, scope) = unsafe {
        (
            text("access token", token.access_token, token.access_token_len)?,
            text("refresh token", token.refresh_token, token.refresh_token_len)?,
            text("scope", token.scope, token.scope_len)?,
        )
    };
    let at = |what, seconds: i64| {
        let since = u64::try_from(seconds).ok();
        since.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(since))).ok_or_else(
            || {
                Failure::invalid(format!(
                    "{what} is {seconds}, and must be seconds since 1970, as the callback got it"
                ))
            },
        )
    };
    for (what, text) in [("refresh token", refresh), ("scope", scope)] {
        if text.contains(char::is_control) {
            return Err(Failure::invalid(format!("the {what} holds a control character: remove it")));
        }
    }
    let mut kept = keyfob::Token::new(access, at("the token's obtained_at", token.obtained_at)?)?;
    if token.expires_at != 0 {
        kept = kept.with_expires_at(at("the token's expires_at", token.expires_at)?);
    }
    if !refresh.is_empty() {
        kept = kept.with_refresh_token(refresh);
    }
    if !scope.is_empty() {
        kept = kept.with_scope(scope);
    }
    Ok(kept)
}

/// Panics, for the test that shows that no panic crosses.
#[cfg(feature = "test-panic")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_test_panic(error: *mut keyfob_error) -> keyfob_status {
    // SAFETY: the test hands over NULL or a `keyfob_error`.
    unsafe { answer(error, || panic!("on purpose")) }
}

/// Handles are shared between threads.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<keyfob_options>();
    shared::<keyfob_client>();
    shared::<keyfob_login>();
};
