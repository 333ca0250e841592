//! `keyfob_login`: a login of a person, with a browser or with a device code.

use std::ffi::{c_char, c_int};
use std::time::Duration;

use super::client::{keyfob_client, of_client};
use super::error::keyfob_error;
use super::pointer::{Buffer, Out, Process, give, handle, text};
use super::token::{keyfob_token, stored_token};
use super::wipe::end;
use crate::failure::{Failure, keyfob_status};
use crate::login::Login;

/// A login of a person that has not ended yet. See `keyfob_login_start`.
pub struct keyfob_login {
    process: Process,
    login: Login,
}

/// # Safety
/// `login` is NULL or a handle that has not been freed.
unsafe fn of_login<'a>(login: *const keyfob_login) -> Result<&'a Login, Failure> {
    // SAFETY: the caller's promise.
    let login = unsafe { handle("login", login) }?;
    login.process.check("login")?;
    Ok(&login.login)
}

/// Starts the login of a person, for a service whose grant is `authorization_code` (a browser) or
/// `device_code` (any other device, RFC 8628). A device login contacts the server; so does a
/// browser login of a service that names its `issuer`.
///
/// Browser: show the person the URL (`keyfob_login_url`). Then wait for the callback
/// (`keyfob_login_wait`), or let the person paste the address at which the browser ended
/// (`keyfob_login_finish`). If the redirect URI is on this machine, its port is open until the login
/// ends.
/// Device: show `keyfob_login_verification_uri` and `keyfob_login_user_code`. Then wait
/// (`keyfob_login_wait`), or ask the server from time to time (`keyfob_login_poll`).
///
/// `scopes`: separated by spaces. NULL and 0 stand for the option `scope`.
/// `*out`: the login, to be freed with `keyfob_login_free`, before or after the client.
///
/// Also returns:
///   KEYFOB_INVALID_INPUT  a scope is bad, the client needs no login, or the server has no endpoint
///                         for a login
///   KEYFOB_NETWORK        the redirect URI asks for any free port, and there is none
///
/// If the port of the redirect URI is in use, this function succeeds. Then `keyfob_login_wait` and
/// `keyfob_login_one_time_url` fail, and `keyfob_login_finish` works.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_login_start(
    client: *mut keyfob_client,
    scopes: *const c_char,
    scopes_len: usize,
    out: *mut *mut keyfob_login,
    error: *mut keyfob_error,
) -> keyfob_status {
    boundary!(error;
        let client = of_client(client);
        let scopes = text("scopes", scopes, scopes_len);
        let out = Out::new("login to be made", out);
        {
            let login = Login::start(client, scopes)?;
            out.put(give(keyfob_login { process: Process::current(), login }));
            Ok(())
        }
    )
}

/// Writes the URL to open, on this machine or on another one. The URL of a device login contains the
/// code, if the server gave such a URL (`verification_uri_complete`, RFC 8628 3.3.1). Show the code
/// beside the URL, so that the person can compare the two codes. Show the URL only to the person who
/// logs in. Do not put it on a command line, which other users can read: use
/// `keyfob_login_one_time_url` there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_login_url(
    login: *mut keyfob_login,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    boundary!(error;
        let login = of_login(login);
        let buffer = Buffer::new(buf, cap, len);
        buffer.fill(b"", login.url.as_bytes())
    )
}

/// Writes an address on this machine that may appear on the command line of a program that opens a
/// browser. While `keyfob_login_wait` waits, the address redirects its first visitor to the login
/// URL. A second visit ends the login with KEYFOB_PROTOCOL, since one of the two visitors was
/// somebody else. Each call writes the same address.
///
/// Also returns:
///   KEYFOB_INVALID_INPUT  the redirect URI is not on this machine, it is a device login, or the
///                         login has ended or is being waited for
///   KEYFOB_NETWORK        the port of the redirect URI is in use
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_login_one_time_url(
    login: *mut keyfob_login,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    boundary!(error;
        let login = of_login(login);
        let buffer = Buffer::new(buf, cap, len);
        buffer.fill(b"", login.one_time_url()?.as_bytes())
    )
}

/// Writes the code of a device login, which the person enters at the verification URI. The text is
/// empty for a login with a browser.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_login_user_code(
    login: *mut keyfob_login,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    boundary!(error;
        let login = of_login(login);
        let buffer = Buffer::new(buf, cap, len);
        buffer.fill(b"", login.user_code.as_bytes())
    )
}

/// Writes the URL at which the person enters the code of a device login: short enough to be typed.
/// For a login with a browser it is the same as `keyfob_login_url`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_login_verification_uri(
    login: *mut keyfob_login,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    boundary!(error;
        let login = of_login(login);
        let buffer = Buffer::new(buf, cap, len);
        buffer.fill(b"", login.verification_uri.as_bytes())
    )
}

/// Waits until the person has logged in, and gives the tokens to the client that started the login.
/// Contacts the server. A login with a browser shows the result in the browser, and rejects
/// requests to the port that do not belong to this login. A device login asks the server again and
/// again, never sooner than the server allows.
///
/// If there is a store, the tokens are saved; `keyfob_warning` reports a failure to save them. The
/// callback of `keyfob_options_set_on_renewed` is called. If the store has no space for tokens, the
/// call fails with KEYFOB_STORE, and the code of the login is not used. If the server's answer
/// cannot be used, the store keeps the answer beside the record, and the message names the file.
///
/// The login has ended when the call returns, whatever the status is. There is one exception: if
/// the redirect URI is not on this machine, or its port is in use, `keyfob_login_finish` still
/// works. Any thread may call this function, but only one call can end a login.
///
/// `within_ms`: how long to wait for the person, in milliseconds. The call may block for twice the
/// timeout in addition: once to obtain the tokens, and once while another process uses the same
/// record of the store.
///
/// Also returns:
///   KEYFOB_TIMEOUT         the person has not logged in in time
///   KEYFOB_INVALID_INPUT   the redirect URI is not on this machine, or the login has ended or is
///                          being waited for
///   KEYFOB_NETWORK         the port of the redirect URI is in use
///   KEYFOB_LOGIN_REQUIRED  the person denied the access, the code of a device login expired, or
///                          the server refused the code of a login with a browser
///   KEYFOB_REFUSED         the server refused for another reason
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_login_wait(
    login: *mut keyfob_login,
    within_ms: u32,
    error: *mut keyfob_error,
) -> keyfob_status {
    boundary!(error;
        let login = of_login(login);
        login.wait(Duration::from_millis(within_ms.into()))
    )
}

/// Asks the server of a device login once whether the person has logged in. Contacts the server. The
/// function can be called at any time: if the server does not allow a request yet, none is sent. A
/// lost connection is not a failure: the next call asks again. Otherwise like `keyfob_login_wait`,
/// except that the login has not ended as long as `*is_done` is 0.
///
/// `*is_done`: 1 if the client has its tokens now, 0 if the person has not logged in yet.
///
/// Blocks for at most twice the timeout.
///
/// Also returns:
///   KEYFOB_INVALID_INPUT   it is a login with a browser, or the login has ended
///   KEYFOB_LOGIN_REQUIRED  the person denied the access, or the code has expired
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_login_poll(
    login: *mut keyfob_login,
    is_done: *mut c_int,
    error: *mut keyfob_error,
) -> keyfob_status {
    boundary!(error;
        let login = of_login(login);
        let is_done = Out::new("answer", is_done);
        {
            is_done.put(login.poll()?.into());
            Ok(())
        }
    )
}

/// Ends a login with the address at which the browser ended, pasted by the person. For a browser on
/// another machine. Contacts the server. Otherwise like `keyfob_login_wait`, except that a wrong
/// address does not end the login: let the person paste the address again.
///
/// Blocks for at most twice the timeout.
///
/// Also returns:
///   KEYFOB_INVALID_INPUT  the text is no callback URL, it is a device login, or the login has ended
///                         or is being waited for
///   KEYFOB_PROTOCOL       the address belongs to another login, or lacks a parameter
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_login_finish(
    login: *mut keyfob_login,
    callback_url: *const c_char,
    callback_url_len: usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    boundary!(error;
        let login = of_login(login);
        let callback_url = text("callback URL", callback_url, callback_url_len);
        login.finish(callback_url)
    )
}

/// Frees a login. A login that has not ended is abandoned, and its port is closed. NULL is allowed.
/// Must not be called from the callback of `keyfob_options_set_on_renewed`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_login_free(login: *mut keyfob_login) {
    // SAFETY: the header asks for NULL or a handle that nobody uses any more.
    unsafe { end(login) }
}

/// Gives the client the tokens of an earlier login: those that the callback of
/// `keyfob_options_set_on_renewed` received last. If there is a store, they are saved there too,
/// and `keyfob_warning` reports a failure to save them.
///
/// `token`: `access_token` and `obtained_at` are required: NULL, 0 and times before 1970 are refused.
/// A token without `refresh_token` cannot be renewed.
///
/// Blocks for at most the timeout, while another thread obtains a token or another process uses the
/// same record of the store.
///
/// Also returns:
///   KEYFOB_INVALID_INPUT  the values cannot be a token, or the client needs no login
///   KEYFOB_TIMEOUT        another thread was still obtaining a token; nothing has changed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_restore(
    client: *mut keyfob_client,
    token: *const keyfob_token,
    error: *mut keyfob_error,
) -> keyfob_status {
    boundary!(error;
        let client = of_client(client);
        let token = stored_token(token);
        client.restore(token)
    )
}
