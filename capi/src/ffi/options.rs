//! `keyfob_options`: options for making a client.

use std::ffi::{c_char, c_int, c_void};
use std::sync::{Arc, Mutex, PoisonError};

use super::error::keyfob_error;
use super::pointer::{Out, User, give, handle, text};
use super::token::{keyfob_token, view};
use super::wipe::end;
use crate::failure::{Failure, keyfob_status};
use crate::options::Options;

/// Options for making a client. See `keyfob_options_new`.
pub struct keyfob_options {
    options: Mutex<Options>,
}

/// Called with each new token, after each renewal and after a login.
///
/// `token`: the token; it and the texts in it are valid until the callback returns.
/// `user`: the pointer that `keyfob_options_set_on_renewed` received.
///
/// The callback runs on the thread whose call obtained the token. Other threads may wait for that
/// token, so the callback should be quick. Callbacks of several clients can run at the same time.
/// The callback may ask the client for its token, and receives the new one. It must not invalidate,
/// renew or revoke the token, free the client, throw, or `longjmp`.
pub type keyfob_renewed_fn = Option<unsafe extern "C" fn(token: *const keyfob_token, user: *mut c_void)>;

impl keyfob_options {
    fn change(&self, change: impl FnOnce(&mut Options) -> Result<(), Failure>) -> Result<(), Failure> {
        change(&mut self.options.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Returns a copy of the options, or the defaults for NULL.
///
/// # Safety
/// `options` is NULL or a handle that has not been freed.
pub unsafe fn options_of(options: *const keyfob_options) -> Result<Options, Failure> {
    if options.is_null() {
        return Ok(Options::default());
    }
    // SAFETY: the caller's promise.
    let options = unsafe { handle("options", options) }?;
    Ok(options.options.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

/// Returns the text for an option.
///
/// # Safety
/// As [`text`].
unsafe fn value_of<'a>(key: &str, value: *const c_char, len: usize) -> Result<&'a str, Failure> {
    // SAFETY: the caller's promise.
    unsafe { text(&format!("option {}", keyfob::one_line(key)), value, len) }
}

/// Makes options with all defaults. They can be used for any number of clients. Making a client
/// copies them, so a later change does not affect the client.
///
/// `*out`: the options, to be freed with `keyfob_options_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_options_new(
    out: *mut *mut keyfob_options,
    error: *mut keyfob_error,
) -> keyfob_status {
    boundary!(error;
        let out = Out::new("options to be made", out);
        {
            out.put(give(keyfob_options { options: Mutex::default() }));
            Ok(())
        }
    )
}

/// Frees options and wipes the secrets in them. Clients that were made with them are not affected.
/// NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_options_free(options: *mut keyfob_options) {
    // SAFETY: the header asks for NULL or a handle that nobody uses any more.
    unsafe { end(options) }
}

/// Sets an option that is a text. An empty text, or NULL with length 0, restores the default. The
/// value is checked when a client is made. A path may be relative to the current folder, which is
/// looked up when the client is made or, for a file that is read later, when that file is read.
///
/// If an option was not set, `keyfob_client_from_config` and `keyfob_spatiafi_from_env` read a
/// variable of the environment in its place. Below, "with the environment" stands for these two.
///
/// Keys of the client, each with its variable:
///
/// - `store` (`KEYFOB_STORE`): the folder in which tokens are kept from one run to the next. All
///   processes that name the same folder share the tokens. The folder is made, with mode 0700, when
///   it is first needed. If it cannot be used, calls fail with the status KEYFOB_STORE. Default:
///   tokens are kept in memory only; with the environment, `$XDG_STATE_HOME/keyfob` or
///   `~/.local/state/keyfob`.
/// - `profile` (`KEYFOB_PROFILE`): a name that keeps several logins with one client id apart in the
///   store. Default: "default".
/// - `ca_file` (`KEYFOB_CA_FILE`): the certificate authorities to trust: a PEM file, as with curl's
///   `--cacert`, or `builtin` (the web's authorities), `system` (those of the system's bundle,
///   which `SSL_CERT_FILE` may name), or `auto` (the built-in ones, and those of the system for
///   servers whose authority is not built in). Default: `auto`.
/// - `proxy` (`KEYFOB_PROXY`): an HTTP proxy, as `http://[user:password@]host:port`. `env` stands
///   for the proxy that `HTTPS_PROXY` or else `ALL_PROXY` names, except for the hosts in
///   `NO_PROXY`; these names in lower case are read too. `none` stands for no proxy. Requests to
///   this machine (loopback) and plain http never use a proxy. Default: `none`; with the
///   environment, `env`.
/// - `user_agent` (no variable): the `User-Agent` header. Default: "keyfob/" and the version.
///
/// Keys of the service, as in `config.toml`. The variable of a key is the name of the service and
/// the key in upper case, with `_` for `-`: `ACME_API_URL` is that of `api_url`. `grant`,
/// `client_auth`, `assertion_file`, `without` and the keys with `.NAME` have no variable:
///
/// - `grant`: how tokens are obtained: `client_credentials`, `authorization_code` (a person logs in
///   with a browser), `device_code` (a person logs in on another device), `basic` (no tokens: HTTP
///   Basic), or the URI of an extension grant.
/// - `client_id`, `client_secret`: the credentials. In place of `client_secret`:
///   `client_secret_file`, a file that holds the secret, or `client_secret_cmd`, a command that
///   prints it (see `keyfob_options_set_flag`).
/// - `client_auth`: how the client authenticates: `client_secret_basic` (the default),
///   `client_secret_post`, `client_secret_jwt`, `assertion` (a JWT that another program makes, in
///   the file that `assertion_file` names), or `none` (a public client, which has no secret).
/// - `issuer`: the URL of the authorization server. Its metadata then names the endpoints (RFC
///   8414). Or name the endpoints one by one: `token_url`, `authorize_url`,
///   `device_authorization_url`, `revocation_url`, `introspection_url`.
/// - `api_url`: the base URL of the API. Only its origin receives the token. Each further call adds
///   a URL, whose origin receives the token too. `keyfob_request` appends a path to the first URL.
/// - `scope`: the scopes to ask for, separated by spaces.
/// - `redirect_uri`: the URI to which the server sends the browser after the login. If it is http at
///   `127.0.0.1`, `[::1]` or `localhost`, `keyfob_login_wait` can receive the callback; port 0
///   stands for any free port. Default: `http://127.0.0.1:8765/callback`.
/// - `parameters.NAME`: a further parameter of token requests. `parameter_files.NAME`: a file that
///   holds such a parameter. It is read again for each request.
/// - `headers.NAME`: a header of requests to the API. `header_files.NAME`: a file that holds such a
///   header. It is read when the client is made.
/// - `client_cert_file`, `client_key_file`: a TLS client certificate and its key, in PEM.
/// - `without`: a parameter that logins leave out, for servers that refuse it: `state` (then PKCE
///   alone protects the login), `pkce` (RFC 7636) or `redirect_uri_in_exchange`. Each further call
///   adds one.
///
/// Keys of the built-in services. These services have a default for most of the keys above:
///
/// - `auth_url`, of SpatiaFi: the base URL of the authorization server.
/// - `auth`, of Spacebring: `basic` for a customer (the default), or `oauth2` for a partner, whose
///   users log in.
/// - `network_id`, of Spacebring: the UUID of the network. Each request to the API names it.
///
/// Also returns:
///   KEYFOB_INVALID_INPUT  there is no such key; the message names the nearest one
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_options_set_text(
    options: *mut keyfob_options,
    key: *const c_char,
    key_len: usize,
    value: *const c_char,
    value_len: usize,
    error: *mut keyfob_error,
) -> keyfob_status {
    boundary!(error;
        let options = handle("options", options);
        let key = text("key of the option", key, key_len);
        let value = value_of(key, value, value_len);
        options.change(|options| options.set_text(key, value))
    )
}

/// Sets an option that is a number from 1 to 4294967295. 0 restores the default.
///
/// The keys:
///
/// - `connect_timeout_ms`: how long connecting may take, in milliseconds, including TLS. Default:
///   10,000.
/// - `timeout_ms`: how long obtaining a token may take in all, in milliseconds. It includes
///   resolving names, connecting, repeated attempts and waits. Default: 30,000.
/// - `request_timeout_ms`: how long `keyfob_request` may take in all, in milliseconds. It includes
///   obtaining a token, repeated attempts, waits and reading the body. Default: 60,000.
/// - `rate`: the most requests to the API in a second. Default: the limit of `config.toml` or of the
///   built-in service, if it has one.
///
/// Also returns:
///   KEYFOB_INVALID_INPUT  there is no such key, or the number is out of range
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_options_set_number(
    options: *mut keyfob_options,
    key: *const c_char,
    key_len: usize,
    value: i64,
    error: *mut keyfob_error,
) -> keyfob_status {
    boundary!(error;
        let options = handle("options", options);
        let key = text("key of the option", key, key_len);
        options.change(|options| options.set_number(key, value))
    )
}

/// Sets an option that is a flag: 0 clears it, which is the default. Any other number sets it.
///
/// The keys:
///
/// - `allow_commands`: whether a client may run the command in `client_secret_cmd`, or in a variable
///   such as `ACME_CLIENT_SECRET_CMD`. The command inherits those open files of the program that are
///   not closed on `exec`. Without this flag a client with such a command is refused.
///
/// Also returns:
///   KEYFOB_INVALID_INPUT  there is no flag of this key
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_options_set_flag(
    options: *mut keyfob_options,
    key: *const c_char,
    key_len: usize,
    value: c_int,
    error: *mut keyfob_error,
) -> keyfob_status {
    boundary!(error;
        let options = handle("options", options);
        let key = text("key of the option", key, key_len);
        options.change(|options| options.set_flag(key, value != 0))
    )
}

/// Sets a callback that receives each new token, for programs that store tokens themselves.
///
/// `callback`: NULL for none, which is the default.
/// `user`: passed to the callback, on any thread that uses the client. It must stay valid until
/// every client made with these options, and every login of those clients, has been freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyfob_options_set_on_renewed(
    options: *mut keyfob_options,
    callback: keyfob_renewed_fn,
    user: *mut c_void,
    error: *mut keyfob_error,
) -> keyfob_status {
    let user = User(user);
    let on_renewed = callback.map(|callback| -> crate::options::Renewed {
        Arc::new(move |token| {
            let view = view(token);
            // SAFETY: the header asks for a callback that takes these, from any thread.
            unsafe { callback(&raw const view, user.get()) }
        })
    });
    boundary!(error;
        let options = handle("options", options);
        options.change(|options| {
            options.on_renewed = on_renewed;
            Ok(())
        })
    )
}
