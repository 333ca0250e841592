//! `keyfob_client`: making one, and obtaining tokens and API answers with it.

use std::ffi::{c_char, c_int, c_void};
use std::io;
use std::time::Duration;

use keyfob::Secret;
use keyfob::spatiafi::SPATIAFI;

use super::error::keyfob_error;
use super::options::{keyfob_options, options_of};
use super::pointer::{Buffer, Out, Process, bytes, give, handle, null, text};
use super::wipe::end;
use crate::client::{Client, Request};
use crate::failure::{Failure, keyfob_status};

/// A service, the credentials for it, and its tokens. Made by `keyfob_client_…` and
/// `keyfob_spatiafi_…`, freed by `keyfob_client_free`.
pub struct keyfob_client {
    process: Process,
    client: Client,
}

/// Called with new app credentials, to store them.
///
/// `json`, `len`: JSON with `client_id` and `client_secret`, as the server sent it. The text is not
/// NUL-terminated and is valid until the callback returns.
/// Returns 0 once the credentials are stored safely, for example on the disk and not just in a
/// buffer. With any other value `keyfob_spatiafi_login` fails with KEYFOB_STORE. The callback must
/// not throw or `longjmp`.
pub type keyfob_save_fn =
    Option<unsafe extern "C" fn(json: *const c_char, len: usize, user: *mut c_void) -> c_int>;

/// Called with each piece of a body, in order.
///
/// `data`, `len`: the piece, which is valid until the callback returns.
/// Returns 0 to continue. Any other value ends the call with KEYFOB_STOPPED. The callback must not
/// free the client, throw, or `longjmp`.
pub type keyfob_body_fn =
    Option<unsafe extern "C" fn(data: *const c_char, len: usize, user: *mut c_void) -> c_int>;

/// Called with each header of a request.
///
/// `name`, `value`: such as "Authorization" and "Bearer …"; valid until the callback returns.
/// Returns 0 to continue. Any other value ends the call with KEYFOB_STOPPED. The callback must not
/// free the client, throw, or `longjmp`.
pub type keyfob_header_fn = Option<
    unsafe extern "C" fn(
        name: *const c_char,
        name_len: usize,
        value: *const c_char,
        value_len: usize,
        user: *mut c_void,
    ) -> c_int,
>;

/// # Safety
/// `client` is NULL or a handle that has not been freed.
pub unsafe fn of_client<'a>(client: *const keyfob_client) -> Result<&'a Client, Failure> {
    // SAFETY: the caller's promise.
    let client = unsafe { handle("client", client) }?;
    client.process.check("client")?;
    Ok(&client.client)
}

/// Hands a new client to the caller.
fn put(out: Out<*mut keyfob_client>, client: Client) {
    out.put(give(keyfob_client { process: Process::current(), client }));
}

/// Makes a client for any service from options alone. Reads neither `config.toml` nor a variable
/// that could set an option. Does not contact the server.
///
/// `service`: a name of your choice, which keeps the tokens of services apart in a store: a letter
/// from a to z, then up to 31 of a-z, 0-9 and '-'. Or the name of a built-in service: "spatiafi" or
/// "spacebring".
/// `options`: the options that describe the service; see `keyfob_options_set_text`. A service that
/// is not built in needs `grant`, `api_url`, `client_id`, and `client_secret` (or `client_auth` =
/// `none` if the client has no secret). It also needs `issuer`, or in its place `token_url`, and for
/// a login `device_authorization_url` or `authorize_url`. A built-in service needs `client_id` and
/// `client_secret`.
/// `*out`: the client, to be freed with `keyfob_client_free`.
///
/// Also returns:
///   KEYFOB_INVALID_INPUT   an option is missing, is bad, or has no effect
///   KEYFOB_NO_CREDENTIALS  a secret is missing, or the file or command that should give it gives
///                          none; or a built-in service has no client id
///   KEYFOB_STORE           a file with a secret cannot be read, a command for a secret cannot be
///                          started, or the store of a login cannot be read or is not safe
///   KEYFOB_TIMEOUT         a pipe or a command did not give its secret within 30 s
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_client_new(
    service: *const c_char,
    service_len: usize,
    options: *const keyfob_options,
    out: *mut *mut keyfob_client,
    error: *mut keyfob_error,
) -> keyfob_status {
    boundary!(error;
        let out = Out::new("client to be made", out);
        let options = options_of(options);
        let service = text("name of the service", service, service_len);
        {
            put(out, Client::new(service, &options)?);
            Ok(())
        }
    )
}

/// Makes a client for a service that is built in, or that `config.toml` or the options describe, as
/// the command `keyfob` does. Does not contact the server.
///
/// An option has precedence over the environment, which has precedence over the file. The file is
/// the one that `KEYFOB_CONFIG` names, else `keyfob/config.toml` in `$XDG_CONFIG_HOME` or
/// `~/.config`. A library that was built without the feature `config` reads no file, and returns
/// KEYFOB_INVALID_INPUT if `KEYFOB_CONFIG` is set.
///
/// `service`: its name, such as "spatiafi".
/// `options`: NULL for none.
/// `*out`: the client, to be freed with `keyfob_client_free`.
///
/// Also returns:
///   KEYFOB_INVALID_INPUT   as for `keyfob_client_new`; or there is no such service; or
///                          `config.toml` cannot be read, has a mistake, or can be changed by
///                          other users
///   KEYFOB_NO_CREDENTIALS  as for `keyfob_client_new`
///   KEYFOB_STORE           as for `keyfob_client_new`; or the file of app credentials cannot be
///                          read
///   KEYFOB_TIMEOUT         a pipe or a command did not give its secret within 30 s
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_client_from_config(
    service: *const c_char,
    service_len: usize,
    options: *const keyfob_options,
    out: *mut *mut keyfob_client,
    error: *mut keyfob_error,
) -> keyfob_status {
    boundary!(error;
        let out = Out::new("client to be made", out);
        let options = options_of(options);
        let service = text("name of the service", service, service_len);
        {
            put(out, Client::from_config(service, options)?);
            Ok(())
        }
    )
}

/// Makes a client for SpatiaFi with app credentials, as `keyfob_client_new` does with the options
/// `client_id` and `client_secret`. Does not contact the server.
///
/// `client_secret`: at least 32 bytes.
/// `options`: NULL for the defaults.
/// `*out`: the client, to be freed with `keyfob_client_free`.
///
/// Also returns:
///   KEYFOB_INVALID_INPUT   the id is empty, the secret is too short, or an option is bad or has no
///                          effect
///   KEYFOB_NO_CREDENTIALS  a file of the option `header_files.NAME` is empty
///   KEYFOB_STORE           such a file cannot be read
///   KEYFOB_TIMEOUT         such a file is a pipe that did not end within 30 s
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
    boundary!(error;
        let out = Out::new("client to be made", out);
        let options = options_of(options);
        let id = text("client id", client_id, client_id_len);
        let secret = text("client secret", client_secret, client_secret_len);
        {
            put(out, Client::with_credentials(SPATIAFI.name, id, &secret.into(), &options)?);
            Ok(())
        }
    )
}

/// Makes a client for SpatiaFi with `SPATIAFI_CLIENT_ID` and `SPATIAFI_CLIENT_SECRET`, or, if they
/// are not set, with the app credentials in the file of the official Python client. Reads no
/// `config.toml`. Does not contact the server.
///
/// `options`: NULL for the defaults.
/// `*out`: the client, to be freed with `keyfob_client_free`.
///
/// Also returns:
///   KEYFOB_INVALID_INPUT   only one of the id and the secret is set, or an option or a variable is
///                          bad
///   KEYFOB_NO_CREDENTIALS  there are no credentials, or the place of the secret gives none
///   KEYFOB_STORE           the file of app credentials, or a file with a secret, cannot be read; or
///                          a command for a secret cannot be started
///   KEYFOB_TIMEOUT         a pipe or a command did not give its secret within 30 s
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_spatiafi_from_env(
    options: *const keyfob_options,
    out: *mut *mut keyfob_client,
    error: *mut keyfob_error,
) -> keyfob_status {
    boundary!(error;
        let out = Out::new("client to be made", out);
        let options = options_of(options);
        {
            put(out, Client::from_env(SPATIAFI.name, options)?);
            Ok(())
        }
    )
}

/// Creates app credentials for SpatiaFi with a user name and a password, and makes a client that
/// uses them. A person does this once: app credentials are permanent. Contacts the server.
///
/// `save`: stores the credentials, which the server shows only once. Make sure before the call that
/// `save` will succeed. NULL saves them to the file that the official Python client and
/// `keyfob_spatiafi_from_env` read, in the home folder that the environment names.
/// `user`: passed to `save`, which runs on the calling thread.
/// `options`: NULL for the defaults.
/// `*out`: the client, to be freed with `keyfob_client_free`.
///
/// Blocks for at most twice the timeout.
///
/// Also returns:
///   KEYFOB_REFUSED         the user name or the password is wrong
///   KEYFOB_LOGIN_REQUIRED  the server answered `invalid_grant`
///   KEYFOB_STORE           the file exists, or the credentials could not be saved
///   KEYFOB_NO_CREDENTIALS  `save` is NULL, and there is no home folder
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
    let save = save.map(|save| {
        move |json: &[u8]| {
            // SAFETY: the header asks for a callback that takes these.
            match unsafe { save(json.as_ptr().cast(), json.len(), user) } {
                0 => Ok(()),
                _ => Err(io::ErrorKind::Other.into()),
            }
        }
    });
    boundary!(error;
        let out = Out::new("client to be made", out);
        let options = options_of(options);
        let username = text("user name", username, username_len);
        let password = text("password", password, password_len);
        {
            put(out, Client::spatiafi_login(username, password.into(), &options, save)?);
            Ok(())
        }
    )
}

/// Frees a client and wipes its secrets. Logins that it started are not affected. NULL is allowed.
/// Must not be called from one of the client's callbacks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_client_free(client: *mut keyfob_client) {
    // SAFETY: the header asks for NULL or a handle that nobody uses any more.
    unsafe { end(client) }
}

/// Writes the value of an `Authorization` header: "Bearer " and an access token, or, for a service
/// with HTTP Basic, "Basic " and the credentials. Contacts the server if there is no valid token.
/// A service may need other headers too, such as an API key: `keyfob_headers` gives all of them.
///
/// Call this function before each request instead of keeping the value. A call with a valid token
/// sends nothing. A token is renewed 60 s before it expires, or 20 % of its lifetime if that is
/// shorter. While one thread renews the token, other threads receive the old one, which is still
/// valid. If the renewal fails, the old token is used until it expires.
///
/// `min_valid_s`: how long the token must remain valid, in seconds. A token that was obtained after
/// the call began satisfies any value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_authorization(
    client: *mut keyfob_client,
    min_valid_s: u32,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    boundary!(error;
        let client = of_client(client);
        let buffer = Buffer::new(buf, cap, len);
        client.authorization(Duration::from_secs(min_valid_s.into()), |scheme, value| {
            buffer.fill(scheme, value)
        })
    )
}

/// Writes the access token alone. Otherwise like `keyfob_authorization`.
///
/// Also returns:
///   KEYFOB_INVALID_INPUT  the service has HTTP Basic, and so no token
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_access_token(
    client: *mut keyfob_client,
    min_valid_s: u32,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    boundary!(error;
        let client = of_client(client);
        let buffer = Buffer::new(buf, cap, len);
        buffer.fill(b"", client.token(Duration::from_secs(min_valid_s.into()))?.access_token().expose())
    )
}

/// Reports that a server refused a token (HTTP 401). The next call that needs a token obtains a new
/// one, unless one has been obtained since.
///
/// `used`: the value of the `Authorization` header, or the access token, that was refused. A newer
/// token is not affected. NULL and 0 stand for the current token.
///
/// Blocks only if nobody had logged in and another thread obtains a token: for at most the timeout.
///
/// Also returns:
///   KEYFOB_INVALID_INPUT   the text cannot be a token, or the service has HTTP Basic
///   KEYFOB_LOGIN_REQUIRED  nobody has logged in yet
///   KEYFOB_STORE           nobody had logged in, and now the store cannot be read
///   KEYFOB_TIMEOUT         nobody had logged in, and another thread was still obtaining a token
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_invalidate(
    client: *mut keyfob_client,
    used: *const c_char,
    used_len: usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    boundary!(error;
        let client = of_client(client);
        let used = text("used token", used, used_len);
        {
            let token = used.strip_prefix("Bearer ").unwrap_or(used);
            client.invalidate((!used.is_empty()).then(|| Secret::from(token)))
        }
    )
}

/// Obtains a new token now, by any grant, even if the current one is still valid. After a failure
/// the current token is used until it expires. Seldom needed, since `keyfob_authorization` renews
/// tokens in time. Contacts the server.
///
/// Also returns:
///   KEYFOB_INVALID_INPUT  the service has HTTP Basic, and so no token
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_refresh(
    client: *mut keyfob_client,
    error: *mut keyfob_error,
) -> keyfob_status {
    boundary!(error;
        let client = of_client(client);
        client.refresh()
    )
}

/// Makes one authenticated request, for programs without an HTTP library. Contacts the server.
///
/// The function obtains a token if needed, and replaces a refused token once. After 429 it waits as
/// long as the server asks, and repeats the request. After 502, 503, 504 and failed connections it
/// repeats requests that may be made twice, such as GET, PUT and DELETE, up to three times. If the
/// service has a rate limit, requests wait for their turn (Spacebring: 10 requests per second). The
/// function never follows a redirect.
///
/// `method`: such as "GET" or "POST", in upper case.
/// `path_or_url`: a whole URL of the API, or a path from "/" on, which is appended to the first
/// `api_url`. The caller percent-encodes it: a space or a character that is not ASCII is refused. A
/// URL is refused if no `api_url` has its origin. A refused request is not sent.
/// `body`: NULL for none. A body may be of any length and hold any bytes. A request whose body is
/// longer than 64 KiB is not repeated.
/// `content_type`: such as "application/json". NULL and 0, or "", for none.
/// `on_body`: called with each piece of the answer's body, and with `user`, on the calling thread.
/// If the call fails within the body, `on_body` has received the pieces before the failure.
/// `*http_status`: the status of the answer. If `http_status` is not NULL, every status is a
/// success, and `on_body` receives the body. If `http_status` is NULL, only 2xx is a success. After
/// any other status the call fails, `keyfob_error` holds the status, and `on_body` is not called.
///
/// Blocks for at most the time of the option `request_timeout_ms`.
///
/// Also returns:
///   KEYFOB_STOPPED       `on_body` asked to stop
///   KEYFOB_API_STATUS    `http_status` is NULL, and the answer has 4xx or 5xx
///   KEYFOB_RATE_LIMITED  the same, and the server asks to wait
///   KEYFOB_PROTOCOL      `http_status` is NULL, and the answer is a redirect
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_request(
    client: *mut keyfob_client,
    method: *const c_char,
    method_len: usize,
    path_or_url: *const c_char,
    path_or_url_len: usize,
    body: *const c_char,
    body_len: usize,
    content_type: *const c_char,
    content_type_len: usize,
    on_body: keyfob_body_fn,
    user: *mut c_void,
    http_status: *mut c_int,
    error: *mut keyfob_error,
) -> keyfob_status {
    boundary!(error;
        let client = of_client(client);
        let method = text("method", method, method_len);
        let url = text("path or URL", path_or_url, path_or_url_len);
        let body = bytes("body", body, body_len);
        let content_type = text("content type", content_type, content_type_len);
        {
            let on_body = on_body.ok_or_else(|| null("body callback"))?;
            let request = Request { method, url, content_type, body };
            let status = client.request(&request, !http_status.is_null(), |piece| {
                // SAFETY: the header asks for a callback that takes these.
                match unsafe { on_body(piece.as_ptr().cast(), piece.len(), user) } {
                    0 => Ok(()),
                    _ => Err(Failure::new(
                        keyfob_status::KEYFOB_STOPPED,
                        "the callback for the body asked to stop",
                    )),
                }
            })?;
            if !http_status.is_null() {
                // SAFETY: the header asks for space for an `int`.
                unsafe { http_status.write(status.into()) };
            }
            Ok(())
        }
    )
}

/// Writes the base URL of the API, without a slash at its end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_api_url(
    client: *mut keyfob_client,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    boundary!(error;
        let client = of_client(client);
        let buffer = Buffer::new(buf, cap, len);
        buffer.fill(b"", client.api_url().as_bytes())
    )
}

/// Writes the warnings of the client, one on each line. A warning is a problem that made no call
/// fail, such as a new token that could not be saved, or a file with a secret that others can read.
/// The text is empty if there are no warnings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_warning(
    client: *mut keyfob_client,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    boundary!(error;
        let client = of_client(client);
        let buffer = Buffer::new(buf, cap, len);
        buffer.fill(b"", client.warning().as_bytes())
    )
}

/// Gives the headers of a request to the API to a callback: `Authorization`, and those of the
/// service, such as an API key. For programs with an HTTP library of their own. Otherwise like
/// `keyfob_authorization`.
///
/// Send the headers only to the origins of the API, which the option `api_url` names.
///
/// `on_header`: called with each header, and with `user`, on the calling thread.
///
/// Also returns:
///   KEYFOB_STOPPED  `on_header` asked to stop
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_headers(
    client: *mut keyfob_client,
    min_valid_s: u32,
    on_header: keyfob_header_fn,
    user: *mut c_void,
    error: *mut keyfob_error,
) -> keyfob_status {
    boundary!(error;
        let client = of_client(client);
        {
            let on_header = on_header.ok_or_else(|| null("header callback"))?;
            client.headers(Duration::from_secs(min_valid_s.into()), |name, value| {
                // SAFETY: the header asks for a callback that takes these.
                match unsafe { on_header(name.as_ptr().cast(), name.len(), value.as_ptr().cast(), value.len(), user) } {
                    0 => Ok(()),
                    _ => Err(Failure::new(
                        keyfob_status::KEYFOB_STOPPED,
                        "the callback for the headers asked to stop",
                    )),
                }
            })
        }
    )
}

/// Asks the server about the access token (RFC 7662), and writes the answer as JSON: `active` and,
/// if the server names them, `scope`, `client_id`, `username`, `token_type`, `exp`, `iat`, `nbf`,
/// `sub`, `aud` and `iss`. The JSON does not contain the token. The token is not renewed. Each call
/// contacts the server.
///
/// Also returns:
///   KEYFOB_INVALID_INPUT   the service has no introspection endpoint, or has HTTP Basic
///   KEYFOB_LOGIN_REQUIRED  nobody has logged in
///   KEYFOB_NO_CREDENTIALS  there is no token yet
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_introspect(
    client: *mut keyfob_client,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    boundary!(error;
        let client = of_client(client);
        let buffer = Buffer::new(buf, cap, len);
        buffer.fill(b"", client.introspect()?.as_bytes())
    )
}

/// Revokes the refresh token, if there is one, and the access token at the server (RFC 7009), and
/// removes them from the client and the store. If the service needs a login, a person has to log in
/// again afterwards. Contacts the server.
///
/// Blocks for at most twice the timeout. After a failure the tokens may still be valid. There is
/// one exception: if a client had a token and the status is KEYFOB_STORE, the tokens are revoked.
///
/// Also returns:
///   KEYFOB_INVALID_INPUT   the service has no revocation endpoint, or has HTTP Basic
///   KEYFOB_LOGIN_REQUIRED  nobody has logged in
///   KEYFOB_NO_CREDENTIALS  there is no token
///   KEYFOB_STORE           the tokens are revoked, but could not be removed from the store; or the
///                          client had no token, and the store cannot be read
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_revoke(
    client: *mut keyfob_client,
    error: *mut keyfob_error,
) -> keyfob_status {
    boundary!(error;
        let client = of_client(client);
        client.revoke()
    )
}
