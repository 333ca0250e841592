// keyfob: OAuth 2.0 access tokens for C and C++ programs.
//
// The library obtains a token, attaches it to requests, and renews it in time, for any OAuth 2.0
// server. It needs C99 or C++. Link with -lkeyfob, with what `pkg-config --libs keyfob` prints, or
// with CMake's keyfob::keyfob. It has no daemon and no event loop, and starts a thread only while
// it resolves a host name.
//
// Functions by task
// -----------------
//
// Describe a service         keyfob_options_new, _set_text, _set_number, _set_flag, _free
// Make a client              keyfob_client_new           from options
//                            keyfob_client_from_config   from config.toml and the environment
//                            keyfob_spatiafi_new, _from_env, _login
// Call the API               keyfob_request
// Use another HTTP library   keyfob_authorization, keyfob_headers, keyfob_access_token,
//                            keyfob_api_url, keyfob_invalidate
// Log a person in            keyfob_login_start, _url, _user_code, _verification_uri,
//                            _one_time_url, _wait, _poll, _finish, _free
// End a login                keyfob_revoke
// Ask about a token          keyfob_introspect
// Renew a token by hand      keyfob_refresh
// Keep tokens yourself       keyfob_options_set_on_renewed, keyfob_restore
// Find out what happens      keyfob_error, keyfob_status_name, keyfob_warning, keyfob_set_log
// Clean up                   keyfob_client_free, keyfob_login_free, keyfob_options_free
//
// Three examples
// --------------
//
// A request to the API of a service that `config.toml` describes. `print` is a keyfob_body_fn:
//
//     keyfob_client *client;
//     keyfob_error error;
//
//     if (keyfob_client_from_config("acme", 4, NULL, &client, &error) ||
//         keyfob_request(client, "GET", 3, "/things", 7, NULL, 0, NULL, 0, print, NULL, NULL,
//                        &error)) {
//         fprintf(stderr, "%s\n", error.message);
//         exit(1);
//     }
//     keyfob_client_free(client);
//
// The `Authorization` header for an HTTP library of your own:
//
//     char authorization[4096];
//     size_t len;
//
//     if (keyfob_authorization(client, 60, authorization, sizeof authorization, &len, &error)) {
//         ...
//     }
//     /* Authorization: Bearer ... */
//
// A person logs in on any device, once. If the option `store` is set, later runs use the stored
// tokens, and KEYFOB_LOGIN_REQUIRED says when a person has to log in again:
//
//     keyfob_login *login;
//     char uri[1024], code[256];
//
//     keyfob_status status = keyfob_authorization(client, 0, authorization, sizeof authorization,
//                                                 &len, &error);
//     if (status == KEYFOB_LOGIN_REQUIRED) {
//         if (keyfob_login_start(client, NULL, 0, &login, &error) ||
//             keyfob_login_verification_uri(login, uri, sizeof uri, &len, &error) ||
//             keyfob_login_user_code(login, code, sizeof code, &len, &error)) {
//             ...
//         }
//         printf("open %s and enter %s\n", uri, code);
//         if (keyfob_login_wait(login, 600000, &error)) {
//             ...
//         }
//         keyfob_login_free(login);
//     }
//
// Rules for every function
// ------------------------
//
// The comment of a function says only what these rules do not say.
//
// Status. A function that can fail returns a `keyfob_status`; 0 is success. Each such function
//   may return KEYFOB_INVALID_INPUT for a value that it refuses, KEYFOB_NULL_POINTER if a
//   required pointer is NULL, KEYFOB_FORKED for a client or login that was made before a fork,
//   KEYFOB_RANDOM if the system gives no random bytes, and KEYFOB_PANIC for a bug in keyfob.
//   A function whose comment says "contacts the server" may also return KEYFOB_LOGIN_REQUIRED,
//   KEYFOB_REFUSED, KEYFOB_PROTOCOL, KEYFOB_NETWORK, KEYFOB_TIMEOUT, KEYFOB_CLOCK,
//   KEYFOB_RATE_LIMITED and KEYFOB_STORE. The list "Also returns" names further statuses of a
//   function, and further reasons for those above.
//
// Errors. The last parameter is a `keyfob_error` of the caller, or NULL. There is no global
//   state, and errno is not used.
//
// Input. A text is a pointer and a length in bytes, without a NUL. It is UTF-8 of at most 16 KiB.
//   A longer length is refused before the text is read. NULL with length 0 is an empty text.
//   Every other pointer is required, unless the comment of the function says what NULL means.
//
// Output. A text is written to `buf`, a buffer of the caller with a size of `cap` bytes, and ends
//   with a NUL. `*len` receives the length without the NUL. If the buffer is too small, the
//   function returns KEYFOB_BUFFER_TOO_SMALL and writes the needed size, with the NUL, to `*len`.
//   NULL and 0 ask for the size. Another thread may obtain a longer token between two calls, so ask
//   for the size in a loop. The caller wipes the buffer if it held a secret.
//   Other results are written to `*out`. A function that fails changes no result, except that
//   KEYFOB_BUFFER_TOO_SMALL changes `*len`.
//
// Ownership. The caller owns each handle that a function gives out (through `*out`), and frees it
//   once with the `_free` function of its type. A function does not keep a pointer that it is
//   given, except the `user` of a callback.
//
// Options. A `keyfob_options_set_…` function changes one option, by its key, for the clients that
//   are made later. It refuses a key that does not exist. A function that makes a client refuses
//   bad values, and options that have no effect with that client.
//
// Environment. `keyfob_client_from_config` and `keyfob_spatiafi_from_env` read a variable for each
//   option that was not set. Each function that makes a client also reads these: the variables of
//   proxies, if the option `proxy` is `env`; the home folder, if `keyfob_spatiafi_login` has no
//   `save`; and `SSL_CERT_FILE`. No other thread may change the
//   environment during such a call. An empty variable counts as unset.
//   Clients from the environment keep their tokens in the store. If neither an option nor a
//   variable names a store, and there is no home folder, they keep tokens in memory, and
//   `keyfob_warning` reports this as soon as there is a token. A client that needs a login cannot be
//   made in this case: the status is KEYFOB_STORE.
//   The home folder is the one that `HOME` names. If `HOME` is not set, it is the one that the
//   system's list of users (`/etc/passwd`) names. A relative path in `HOME` is no home folder.
//
// Threads. Any number of threads may use the same handle at the same time. While a `_free`
//   function runs, and after it, no thread may use the handle.
//
// Blocking. A function that contacts the server, or that waits for another process that uses the
//   same record of the store, blocks for at most the time of the option `timeout_ms`. Comments call
//   this time "the timeout". Signals do not interrupt a function, and `pthread_cancel` ends the
//   thread only after the function. A function needs 256 KiB of stack.
//
// Fork. Only the process that made a client or login can use it. The parent continues to work.
//   The child can only free the handle, and may make other clients. If the parent had threads
//   that may have been inside keyfob at the fork, POSIX allows the child only `exec` and other
//   async-signal-safe functions.
//
// Signals. The library installs no handlers and raises no signals. Writing to a connection that
//   the peer has closed causes an error, not SIGPIPE.
//
// Secrets. The library wipes each secret in its memory when it frees it. The `_free` function of a
//   handle wipes the secrets of the handle. No error and no log contains a secret.
//
// Binary compatibility. Numbers, signatures and structs do not change as long as the library is
//   called libkeyfob.so.0. Additions are new numbers and new functions.


#ifndef KEYFOB_H
#define KEYFOB_H

#include <stddef.h>
#include <stdint.h>
// The version of this header, and as a number: 0x010203 is 1.2.3.
#define KEYFOB_VERSION "0.1.0"
#define KEYFOB_VERSION_NUMBER 0x000100


// Size of `oauth_error` in `keyfob_error`, in bytes, including its NUL.
#define KEYFOB_OAUTH_ERROR_SIZE 64

// Size of `message` in `keyfob_error`, in bytes, including its NUL.
#define KEYFOB_MESSAGE_SIZE 1024

// The result of a call. 0 is success. A program must treat every other number as a failure, even
// one that it does not know. New numbers may be added, and existing ones never change.
typedef enum {
    // Success.
    KEYFOB_OK = 0,
    // The call was refused, and no credentials or tokens were sent. There are three reasons. A
    // value is bad: it is empty, longer than 16 KiB or not UTF-8, it holds a control character
    // such as NUL, or it is a URL that is not https (http is allowed on loopback). Or the function
    // does not fit this handle. Or neither an option nor the server's metadata names an endpoint
    // that is needed.
    KEYFOB_INVALID_INPUT = 1,
    // There are no credentials, or no token to revoke or to ask about.
    KEYFOB_NO_CREDENTIALS = 2,
    // A person has to log in: nobody has logged in yet, or the login was revoked or has expired.
    KEYFOB_LOGIN_REQUIRED = 3,
    // The server refused the request or failed. If `http_status` is 500 or more, a later try may
    // work.
    KEYFOB_REFUSED = 4,
    // The server's answer cannot be used.
    KEYFOB_PROTOCOL = 5,
    // There was no connection, or it was cut off.
    KEYFOB_NETWORK = 6,
    // The deadline passed.
    KEYFOB_TIMEOUT = 7,
    // The server's certificate is not valid at this machine's time. Set the clock.
    KEYFOB_CLOCK = 8,
    // The server asked to wait (HTTP 429, or 5xx with a `Retry-After`) for longer than the
    // deadline allows. See `retry_after_ms`.
    KEYFOB_RATE_LIMITED = 9,
    // A file could not be read, written or locked, or a command for a secret could not be started.
    KEYFOB_STORE = 10,
    // An API call was answered with 4xx or 5xx: see `http_status`. If the server also asked to
    // wait, the status is `KEYFOB_RATE_LIMITED` instead.
    KEYFOB_API_STATUS = 11,
    // A required pointer is NULL.
    KEYFOB_NULL_POINTER = 12,
    // The caller's buffer is too small. The needed size was written to the length.
    KEYFOB_BUFFER_TOO_SMALL = 13,
    // The caller's callback asked to stop.
    KEYFOB_STOPPED = 14,
    // The handle was made before a fork, and this is the child process. Free it, and make another
    // one.
    KEYFOB_FORKED = 15,
    // A bug in keyfob. It was caught before it could harm the program. Please report it, with the
    // text on standard error.
    KEYFOB_PANIC = 16,
    // The operating system gave no random bytes.
    KEYFOB_RANDOM = 17,
} keyfob_status;

// A service, the credentials for it, and its tokens. Made by `keyfob_client_…` and
// `keyfob_spatiafi_…`, freed by `keyfob_client_free`.
typedef struct keyfob_client keyfob_client;

// A login of a person that has not ended yet. See `keyfob_login_start`.
typedef struct keyfob_login keyfob_login;

// Options for making a client. See `keyfob_options_new`.
typedef struct keyfob_options keyfob_options;

// Details of a failure. It belongs to the caller, for example on the stack, and needs no
// initialization. A function that fails fills all of it. A function that succeeds does not change
// it. It never holds a secret.
//
// Its layout does not change as long as the library is called `libkeyfob.so.0`.
typedef struct {
    // The status that the function returned.
    keyfob_status status;
    // The HTTP status, if the server answered with another status than 2xx or with an answer that
    // cannot be used; else 0.
    int http_status;
    // How long the server asked to wait, in milliseconds; 0 if it did not ask.
    uint64_t retry_after_ms;
    // The server's own error code, such as `invalid_client` (RFC 6749 5.2); empty if it sent none.
    char oauth_error[KEYFOB_OAUTH_ERROR_SIZE];
    // What was being done, what went wrong and what to do next, in one line of UTF-8.
    char message[KEYFOB_MESSAGE_SIZE];
} keyfob_error;

// A token, as passed to a `keyfob_renewed_fn` and to `keyfob_restore`. The texts are
// not NUL-terminated.
//
// Its layout does not change as long as the library is called `libkeyfob.so.0`.
typedef struct {
    // The access token, in visible ASCII.
    const char *access_token;
    size_t access_token_len;
    // The refresh token; NULL and 0 if there is none.
    const char *refresh_token;
    size_t refresh_token_len;
    // The scopes that the server granted, separated by spaces; NULL and 0 if the server named
    // none.
    const char *scope;
    size_t scope_len;
    // When the access token expires, in seconds since 1970; 0 if unknown.
    int64_t expires_at;
    // When the token was requested, in seconds since 1970.
    int64_t obtained_at;
} keyfob_token;

// Called with each new token, after each renewal and after a login.
//
// `token`: the token; it and the texts in it are valid until the callback returns.
// `user`: the pointer that `keyfob_options_set_on_renewed` received.
//
// The callback runs on the thread whose call obtained the token. Other threads may wait for that
// token, so the callback should be quick. Callbacks of several clients can run at the same time.
// The callback may ask the client for its token, and receives the new one. It must not invalidate,
// renew or revoke the token, free the client, throw, or `longjmp`.
typedef void (*keyfob_renewed_fn)(const keyfob_token *token, void *user);

// Called with new app credentials, to store them.
//
// `json`, `len`: JSON with `client_id` and `client_secret`, as the server sent it. The text is not
// NUL-terminated and is valid until the callback returns.
// Returns 0 once the credentials are stored safely, for example on the disk and not just in a
// buffer. With any other value `keyfob_spatiafi_login` fails with KEYFOB_STORE. The callback must
// not throw or `longjmp`.
typedef int (*keyfob_save_fn)(const char *json, size_t len, void *user);

// Called with each piece of a body, in order.
//
// `data`, `len`: the piece, which is valid until the callback returns.
// Returns 0 to continue. Any other value ends the call with KEYFOB_STOPPED. The callback must not
// free the client, throw, or `longjmp`.
typedef int (*keyfob_body_fn)(const char *data, size_t len, void *user);

// Called with each header of a request.
//
// `name`, `value`: such as "Authorization" and "Bearer …"; valid until the callback returns.
// Returns 0 to continue. Any other value ends the call with KEYFOB_STOPPED. The callback must not
// free the client, throw, or `longjmp`.
typedef int (*keyfob_header_fn)(const char *name,
                                size_t name_len,
                                const char *value,
                                size_t value_len,
                                void *user);

// Called with each record of the log.
//
// `level`: 1 for an error, 2 for a warning, 3 for information, 4 for debugging.
// `text`, `len`: one line without a NUL, valid until the callback returns. It never holds a secret
// or the query of a URL.
//
// The callback runs on any thread that uses keyfob. It must call no function of keyfob, and not
// throw or `longjmp`.
typedef void (*keyfob_log_fn)(int level, const char *text, size_t len, void *user);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Version and names
// -----------------

// Returns the version of the library, such as "0.1.0". `KEYFOB_VERSION` is the version of the
// header.
//
// The text is NUL-terminated and stays valid until the program ends.
const char *keyfob_version(void);

// Returns the name of a status, such as "KEYFOB_TIMEOUT", for logs. Returns "unknown status" for a
// number that this library does not know.
//
// The text is NUL-terminated and stays valid until the program ends.
const char *keyfob_status_name(int status);

// Options
// -------

// Makes options with all defaults. They can be used for any number of clients. Making a client
// copies them, so a later change does not affect the client.
//
// `*out`: the options, to be freed with `keyfob_options_free`.
keyfob_status keyfob_options_new(keyfob_options **out, keyfob_error *error);

// Frees options and wipes the secrets in them. Clients that were made with them are not affected.
// NULL is allowed.
void keyfob_options_free(keyfob_options *options);

// Sets an option that is a text. An empty text, or NULL with length 0, restores the default. The
// value is checked when a client is made. A path may be relative to the current folder, which is
// looked up when the client is made or, for a file that is read later, when that file is read.
//
// If an option was not set, `keyfob_client_from_config` and `keyfob_spatiafi_from_env` read a
// variable of the environment in its place. Below, "with the environment" stands for these two.
//
// Keys of the client, each with its variable:
//
// - `store` (`KEYFOB_STORE`): the folder in which tokens are kept from one run to the next. All
//   processes that name the same folder share the tokens. The folder is made, with mode 0700, when
//   it is first needed. If it cannot be used, calls fail with the status KEYFOB_STORE. Default:
//   tokens are kept in memory only; with the environment, `$XDG_STATE_HOME/keyfob` or
//   `~/.local/state/keyfob`.
// - `profile` (`KEYFOB_PROFILE`): a name that keeps several logins with one client id apart in the
//   store. Default: "default".
// - `ca_file` (`KEYFOB_CA_FILE`): the certificate authorities to trust: a PEM file, as with curl's
//   `--cacert`, or `builtin` (the web's authorities), `system` (those of the system's bundle,
//   which `SSL_CERT_FILE` may name), or `auto` (the built-in ones, and those of the system for
//   servers whose authority is not built in). Default: `auto`.
// - `proxy` (`KEYFOB_PROXY`): an HTTP proxy, as `http://[user:password@]host:port`. `env` stands
//   for the proxy that `HTTPS_PROXY` or else `ALL_PROXY` names, except for the hosts in
//   `NO_PROXY`; these names in lower case are read too. `none` stands for no proxy. Requests to
//   this machine (loopback) and plain http never use a proxy. Default: `none`; with the
//   environment, `env`.
// - `user_agent` (no variable): the `User-Agent` header. Default: "keyfob/" and the version.
//
// Keys of the service, as in `config.toml`. The variable of a key is the name of the service and
// the key in upper case, with `_` for `-`: `ACME_API_URL` is that of `api_url`. `grant`,
// `client_auth`, `assertion_file`, `without` and the keys with `.NAME` have no variable:
//
// - `grant`: how tokens are obtained: `client_credentials`, `authorization_code` (a person logs in
//   with a browser), `device_code` (a person logs in on another device), `basic` (no tokens: HTTP
//   Basic), or the URI of an extension grant.
// - `client_id`, `client_secret`: the credentials. In place of `client_secret`:
//   `client_secret_file`, a file that holds the secret, or `client_secret_cmd`, a command that
//   prints it (see `keyfob_options_set_flag`).
// - `client_auth`: how the client authenticates: `client_secret_basic` (the default),
//   `client_secret_post`, `client_secret_jwt`, `assertion` (a JWT that another program makes, in
//   the file that `assertion_file` names), or `none` (a public client, which has no secret).
// - `issuer`: the URL of the authorization server. Its metadata then names the endpoints (RFC
//   8414). Or name the endpoints one by one: `token_url`, `authorize_url`,
//   `device_authorization_url`, `revocation_url`, `introspection_url`.
// - `api_url`: the base URL of the API. Only its origin receives the token. Each further call adds
//   a URL, whose origin receives the token too. `keyfob_request` appends a path to the first URL.
// - `scope`: the scopes to ask for, separated by spaces.
// - `redirect_uri`: the URI to which the server sends the browser after the login. If it is http at
//   `127.0.0.1`, `[::1]` or `localhost`, `keyfob_login_wait` can receive the callback; port 0
//   stands for any free port. Default: `http://127.0.0.1:8765/callback`.
// - `parameters.NAME`: a further parameter of token requests. `parameter_files.NAME`: a file that
//   holds such a parameter. It is read again for each request.
// - `headers.NAME`: a header of requests to the API. `header_files.NAME`: a file that holds such a
//   header. It is read when the client is made.
// - `client_cert_file`, `client_key_file`: a TLS client certificate and its key, in PEM.
// - `without`: a parameter that logins leave out, for servers that refuse it: `state` (then PKCE
//   alone protects the login), `pkce` (RFC 7636) or `redirect_uri_in_exchange`. Each further call
//   adds one.
//
// Keys of the built-in services. These services have a default for most of the keys above:
//
// - `auth_url`, of SpatiaFi: the base URL of the authorization server.
// - `auth`, of Spacebring: `basic` for a customer (the default), or `oauth2` for a partner, whose
//   users log in.
// - `network_id`, of Spacebring: the UUID of the network. Each request to the API names it.
//
// Also returns:
//   KEYFOB_INVALID_INPUT  there is no such key; the message names the nearest one
keyfob_status keyfob_options_set_text(keyfob_options *options,
                                      const char *key,
                                      size_t key_len,
                                      const char *value,
                                      size_t value_len,
                                      keyfob_error *error);

// Sets an option that is a number from 1 to 4294967295. 0 restores the default.
//
// The keys:
//
// - `connect_timeout_ms`: how long connecting may take, in milliseconds, including TLS. Default:
//   10,000.
// - `timeout_ms`: how long obtaining a token may take in all, in milliseconds. It includes
//   resolving names, connecting, repeated attempts and waits. Default: 30,000.
// - `request_timeout_ms`: how long `keyfob_request` may take in all, in milliseconds. It includes
//   obtaining a token, repeated attempts, waits and reading the body. Default: 60,000.
// - `rate`: the most requests to the API in a second. Default: the limit of `config.toml` or of the
//   built-in service, if it has one.
//
// Also returns:
//   KEYFOB_INVALID_INPUT  there is no such key, or the number is out of range
keyfob_status keyfob_options_set_number(keyfob_options *options,
                                        const char *key,
                                        size_t key_len,
                                        int64_t value,
                                        keyfob_error *error);

// Sets an option that is a flag: 0 clears it, which is the default. Any other number sets it.
//
// The keys:
//
// - `allow_commands`: whether a client may run the command in `client_secret_cmd`, or in a variable
//   such as `ACME_CLIENT_SECRET_CMD`. The command inherits those open files of the program that are
//   not closed on `exec`. Without this flag a client with such a command is refused.
//
// Also returns:
//   KEYFOB_INVALID_INPUT  there is no flag of this key
keyfob_status keyfob_options_set_flag(keyfob_options *options,
                                      const char *key,
                                      size_t key_len,
                                      int value,
                                      keyfob_error *error);

// Sets a callback that receives each new token, for programs that store tokens themselves.
//
// `callback`: NULL for none, which is the default.
// `user`: passed to the callback, on any thread that uses the client. It must stay valid until
// every client made with these options, and every login of those clients, has been freed.
keyfob_status keyfob_options_set_on_renewed(keyfob_options *options,
                                            keyfob_renewed_fn callback,
                                            void *user,
                                            keyfob_error *error);

// Clients
// -------

// Makes a client for any service from options alone. Reads neither `config.toml` nor a variable
// that could set an option. Does not contact the server.
//
// `service`: a name of your choice, which keeps the tokens of services apart in a store: a letter
// from a to z, then up to 31 of a-z, 0-9 and '-'. Or the name of a built-in service: "spatiafi" or
// "spacebring".
// `options`: the options that describe the service; see `keyfob_options_set_text`. A service that
// is not built in needs `grant`, `api_url`, `client_id`, and `client_secret` (or `client_auth` =
// `none` if the client has no secret). It also needs `issuer`, or in its place `token_url`, and for
// a login `device_authorization_url` or `authorize_url`. A built-in service needs `client_id` and
// `client_secret`.
// `*out`: the client, to be freed with `keyfob_client_free`.
//
// Also returns:
//   KEYFOB_INVALID_INPUT   an option is missing, is bad, or has no effect
//   KEYFOB_NO_CREDENTIALS  a secret is missing, or the file or command that should give it gives
//                          none; or a built-in service has no client id
//   KEYFOB_STORE           a file with a secret cannot be read, a command for a secret cannot be
//                          started, or the store of a login cannot be read or is not safe
//   KEYFOB_TIMEOUT         a pipe or a command did not give its secret within 30 s
keyfob_status keyfob_client_new(const char *service,
                                size_t service_len,
                                const keyfob_options *options,
                                keyfob_client **out,
                                keyfob_error *error);

// Makes a client for a service that is built in, or that `config.toml` or the options describe, as
// the command `keyfob` does. Does not contact the server.
//
// An option has precedence over the environment, which has precedence over the file. The file is
// the one that `KEYFOB_CONFIG` names, else `keyfob/config.toml` in `$XDG_CONFIG_HOME` or
// `~/.config`. A library that was built without the feature `config` reads no file, and returns
// KEYFOB_INVALID_INPUT if `KEYFOB_CONFIG` is set.
//
// `service`: its name, such as "spatiafi".
// `options`: NULL for none.
// `*out`: the client, to be freed with `keyfob_client_free`.
//
// Also returns:
//   KEYFOB_INVALID_INPUT   as for `keyfob_client_new`; or there is no such service; or
//                          `config.toml` cannot be read, has a mistake, or can be changed by
//                          other users
//   KEYFOB_NO_CREDENTIALS  as for `keyfob_client_new`
//   KEYFOB_STORE           as for `keyfob_client_new`; or the file of app credentials cannot be
//                          read
//   KEYFOB_TIMEOUT         a pipe or a command did not give its secret within 30 s
keyfob_status keyfob_client_from_config(const char *service,
                                        size_t service_len,
                                        const keyfob_options *options,
                                        keyfob_client **out,
                                        keyfob_error *error);

// Makes a client for SpatiaFi with app credentials, as `keyfob_client_new` does with the options
// `client_id` and `client_secret`. Does not contact the server.
//
// `client_secret`: at least 32 bytes.
// `options`: NULL for the defaults.
// `*out`: the client, to be freed with `keyfob_client_free`.
//
// Also returns:
//   KEYFOB_INVALID_INPUT   the id is empty, the secret is too short, or an option is bad or has no
//                          effect
//   KEYFOB_NO_CREDENTIALS  a file of the option `header_files.NAME` is empty
//   KEYFOB_STORE           such a file cannot be read
//   KEYFOB_TIMEOUT         such a file is a pipe that did not end within 30 s
keyfob_status keyfob_spatiafi_new(const char *client_id,
                                  size_t client_id_len,
                                  const char *client_secret,
                                  size_t client_secret_len,
                                  const keyfob_options *options,
                                  keyfob_client **out,
                                  keyfob_error *error);

// Makes a client for SpatiaFi with `SPATIAFI_CLIENT_ID` and `SPATIAFI_CLIENT_SECRET`, or, if they
// are not set, with the app credentials in the file of the official Python client. Reads no
// `config.toml`. Does not contact the server.
//
// `options`: NULL for the defaults.
// `*out`: the client, to be freed with `keyfob_client_free`.
//
// Also returns:
//   KEYFOB_INVALID_INPUT   only one of the id and the secret is set, or an option or a variable is
//                          bad
//   KEYFOB_NO_CREDENTIALS  there are no credentials, or the place of the secret gives none
//   KEYFOB_STORE           the file of app credentials, or a file with a secret, cannot be read; or
//                          a command for a secret cannot be started
//   KEYFOB_TIMEOUT         a pipe or a command did not give its secret within 30 s
keyfob_status keyfob_spatiafi_from_env(const keyfob_options *options,
                                       keyfob_client **out,
                                       keyfob_error *error);

// Creates app credentials for SpatiaFi with a user name and a password, and makes a client that
// uses them. A person does this once: app credentials are permanent. Contacts the server.
//
// `save`: stores the credentials, which the server shows only once. Make sure before the call that
// `save` will succeed. NULL saves them to the file that the official Python client and
// `keyfob_spatiafi_from_env` read, in the home folder that the environment names.
// `user`: passed to `save`, which runs on the calling thread.
// `options`: NULL for the defaults.
// `*out`: the client, to be freed with `keyfob_client_free`.
//
// Blocks for at most twice the timeout.
//
// Also returns:
//   KEYFOB_REFUSED         the user name or the password is wrong
//   KEYFOB_LOGIN_REQUIRED  the server answered `invalid_grant`
//   KEYFOB_STORE           the file exists, or the credentials could not be saved
//   KEYFOB_NO_CREDENTIALS  `save` is NULL, and there is no home folder
keyfob_status keyfob_spatiafi_login(const char *username,
                                    size_t username_len,
                                    const char *password,
                                    size_t password_len,
                                    keyfob_save_fn save,
                                    void *user,
                                    const keyfob_options *options,
                                    keyfob_client **out,
                                    keyfob_error *error);

// Frees a client and wipes its secrets. Logins that it started are not affected. NULL is allowed.
// Must not be called from one of the client's callbacks.
void keyfob_client_free(keyfob_client *client);

// Tokens
// ------

// Writes the value of an `Authorization` header: "Bearer " and an access token, or, for a service
// with HTTP Basic, "Basic " and the credentials. Contacts the server if there is no valid token.
// A service may need other headers too, such as an API key: `keyfob_headers` gives all of them.
//
// Call this function before each request instead of keeping the value. A call with a valid token
// sends nothing. A token is renewed 60 s before it expires, or 20 % of its lifetime if that is
// shorter. While one thread renews the token, other threads receive the old one, which is still
// valid. If the renewal fails, the old token is used until it expires.
//
// `min_valid_s`: how long the token must remain valid, in seconds. A token that was obtained after
// the call began satisfies any value.
keyfob_status keyfob_authorization(keyfob_client *client,
                                   uint32_t min_valid_s,
                                   char *buf,
                                   size_t cap,
                                   size_t *len,
                                   keyfob_error *error);

// Writes the access token alone. Otherwise like `keyfob_authorization`.
//
// Also returns:
//   KEYFOB_INVALID_INPUT  the service has HTTP Basic, and so no token
keyfob_status keyfob_access_token(keyfob_client *client,
                                  uint32_t min_valid_s,
                                  char *buf,
                                  size_t cap,
                                  size_t *len,
                                  keyfob_error *error);

// Reports that a server refused a token (HTTP 401). The next call that needs a token obtains a new
// one, unless one has been obtained since.
//
// `used`: the value of the `Authorization` header, or the access token, that was refused. A newer
// token is not affected. NULL and 0 stand for the current token.
//
// Blocks only if nobody had logged in and another thread obtains a token: for at most the timeout.
//
// Also returns:
//   KEYFOB_INVALID_INPUT   the text cannot be a token, or the service has HTTP Basic
//   KEYFOB_LOGIN_REQUIRED  nobody has logged in yet
//   KEYFOB_STORE           nobody had logged in, and now the store cannot be read
//   KEYFOB_TIMEOUT         nobody had logged in, and another thread was still obtaining a token
keyfob_status keyfob_invalidate(keyfob_client *client,
                                const char *used,
                                size_t used_len,
                                keyfob_error *error);

// Obtains a new token now, by any grant, even if the current one is still valid. After a failure
// the current token is used until it expires. Seldom needed, since `keyfob_authorization` renews
// tokens in time. Contacts the server.
//
// Also returns:
//   KEYFOB_INVALID_INPUT  the service has HTTP Basic, and so no token
keyfob_status keyfob_refresh(keyfob_client *client, keyfob_error *error);

// Requests and warnings
// ---------------------

// Makes one authenticated request, for programs without an HTTP library. Contacts the server.
//
// The function obtains a token if needed, and replaces a refused token once. After 429 it waits as
// long as the server asks, and repeats the request. After 502, 503, 504 and failed connections it
// repeats requests that may be made twice, such as GET, PUT and DELETE, up to three times. If the
// service has a rate limit, requests wait for their turn (Spacebring: 10 requests per second). The
// function never follows a redirect.
//
// `method`: such as "GET" or "POST", in upper case.
// `path_or_url`: a whole URL of the API, or a path from "/" on, which is appended to the first
// `api_url`. The caller percent-encodes it: a space or a character that is not ASCII is refused. A
// URL is refused if no `api_url` has its origin. A refused request is not sent.
// `body`: NULL for none. A body may be of any length and hold any bytes. A request whose body is
// longer than 64 KiB is not repeated.
// `content_type`: such as "application/json". NULL and 0, or "", for none.
// `on_body`: called with each piece of the answer's body, and with `user`, on the calling thread.
// If the call fails within the body, `on_body` has received the pieces before the failure.
// `*http_status`: the status of the answer. If `http_status` is not NULL, every status is a
// success, and `on_body` receives the body. If `http_status` is NULL, only 2xx is a success. After
// any other status the call fails, `keyfob_error` holds the status, and `on_body` is not called.
//
// Blocks for at most the time of the option `request_timeout_ms`.
//
// Also returns:
//   KEYFOB_STOPPED       `on_body` asked to stop
//   KEYFOB_API_STATUS    `http_status` is NULL, and the answer has 4xx or 5xx
//   KEYFOB_RATE_LIMITED  the same, and the server asks to wait
//   KEYFOB_PROTOCOL      `http_status` is NULL, and the answer is a redirect
keyfob_status keyfob_request(keyfob_client *client,
                             const char *method,
                             size_t method_len,
                             const char *path_or_url,
                             size_t path_or_url_len,
                             const char *body,
                             size_t body_len,
                             const char *content_type,
                             size_t content_type_len,
                             keyfob_body_fn on_body,
                             void *user,
                             int *http_status,
                             keyfob_error *error);

// Writes the base URL of the API, without a slash at its end.
keyfob_status keyfob_api_url(keyfob_client *client,
                             char *buf,
                             size_t cap,
                             size_t *len,
                             keyfob_error *error);

// Writes the warnings of the client, one on each line. A warning is a problem that made no call
// fail, such as a new token that could not be saved, or a file with a secret that others can read.
// The text is empty if there are no warnings.
keyfob_status keyfob_warning(keyfob_client *client,
                             char *buf,
                             size_t cap,
                             size_t *len,
                             keyfob_error *error);

// Gives the headers of a request to the API to a callback: `Authorization`, and those of the
// service, such as an API key. For programs with an HTTP library of their own. Otherwise like
// `keyfob_authorization`.
//
// Send the headers only to the origins of the API, which the option `api_url` names.
//
// `on_header`: called with each header, and with `user`, on the calling thread.
//
// Also returns:
//   KEYFOB_STOPPED  `on_header` asked to stop
keyfob_status keyfob_headers(keyfob_client *client,
                             uint32_t min_valid_s,
                             keyfob_header_fn on_header,
                             void *user,
                             keyfob_error *error);

// Asks the server about the access token (RFC 7662), and writes the answer as JSON: `active` and,
// if the server names them, `scope`, `client_id`, `username`, `token_type`, `exp`, `iat`, `nbf`,
// `sub`, `aud` and `iss`. The JSON does not contain the token. The token is not renewed. Each call
// contacts the server.
//
// Also returns:
//   KEYFOB_INVALID_INPUT   the service has no introspection endpoint, or has HTTP Basic
//   KEYFOB_LOGIN_REQUIRED  nobody has logged in
//   KEYFOB_NO_CREDENTIALS  there is no token yet
keyfob_status keyfob_introspect(keyfob_client *client,
                                char *buf,
                                size_t cap,
                                size_t *len,
                                keyfob_error *error);

// Revokes the refresh token, if there is one, and the access token at the server (RFC 7009), and
// removes them from the client and the store. If the service needs a login, a person has to log in
// again afterwards. Contacts the server.
//
// Blocks for at most twice the timeout. After a failure the tokens may still be valid. There is
// one exception: if a client had a token and the status is KEYFOB_STORE, the tokens are revoked.
//
// Also returns:
//   KEYFOB_INVALID_INPUT   the service has no revocation endpoint, or has HTTP Basic
//   KEYFOB_LOGIN_REQUIRED  nobody has logged in
//   KEYFOB_NO_CREDENTIALS  there is no token
//   KEYFOB_STORE           the tokens are revoked, but could not be removed from the store; or the
//                          client had no token, and the store cannot be read
keyfob_status keyfob_revoke(keyfob_client *client, keyfob_error *error);

// Logins
// ------

// Starts the login of a person, for a service whose grant is `authorization_code` (a browser) or
// `device_code` (any other device, RFC 8628). A device login contacts the server; so does a
// browser login of a service that names its `issuer`.
//
// Browser: show the person the URL (`keyfob_login_url`). Then wait for the callback
// (`keyfob_login_wait`), or let the person paste the address at which the browser ended
// (`keyfob_login_finish`). If the redirect URI is on this machine, its port is open until the login
// ends.
// Device: show `keyfob_login_verification_uri` and `keyfob_login_user_code`. Then wait
// (`keyfob_login_wait`), or ask the server from time to time (`keyfob_login_poll`).
//
// `scopes`: separated by spaces. NULL and 0 stand for the option `scope`.
// `*out`: the login, to be freed with `keyfob_login_free`, before or after the client.
//
// Also returns:
//   KEYFOB_INVALID_INPUT  a scope is bad, the client needs no login, or the server has no endpoint
//                         for a login
//   KEYFOB_NETWORK        the redirect URI asks for any free port, and there is none
//
// If the port of the redirect URI is in use, this function succeeds. Then `keyfob_login_wait` and
// `keyfob_login_one_time_url` fail, and `keyfob_login_finish` works.
keyfob_status keyfob_login_start(keyfob_client *client,
                                 const char *scopes,
                                 size_t scopes_len,
                                 keyfob_login **out,
                                 keyfob_error *error);

// Writes the URL to open, on this machine or on another one. The URL of a device login contains the
// code, if the server gave such a URL (`verification_uri_complete`, RFC 8628 3.3.1). Show the code
// beside the URL, so that the person can compare the two codes. Show the URL only to the person who
// logs in. Do not put it on a command line, which other users can read: use
// `keyfob_login_one_time_url` there.
keyfob_status keyfob_login_url(keyfob_login *login,
                               char *buf,
                               size_t cap,
                               size_t *len,
                               keyfob_error *error);

// Writes an address on this machine that may appear on the command line of a program that opens a
// browser. While `keyfob_login_wait` waits, the address redirects its first visitor to the login
// URL. A second visit ends the login with KEYFOB_PROTOCOL, since one of the two visitors was
// somebody else. Each call writes the same address.
//
// Also returns:
//   KEYFOB_INVALID_INPUT  the redirect URI is not on this machine, it is a device login, or the
//                         login has ended or is being waited for
//   KEYFOB_NETWORK        the port of the redirect URI is in use
keyfob_status keyfob_login_one_time_url(keyfob_login *login,
                                        char *buf,
                                        size_t cap,
                                        size_t *len,
                                        keyfob_error *error);

// Writes the code of a device login, which the person enters at the verification URI. The text is
// empty for a login with a browser.
keyfob_status keyfob_login_user_code(keyfob_login *login,
                                     char *buf,
                                     size_t cap,
                                     size_t *len,
                                     keyfob_error *error);

// Writes the URL at which the person enters the code of a device login: short enough to be typed.
// For a login with a browser it is the same as `keyfob_login_url`.
keyfob_status keyfob_login_verification_uri(keyfob_login *login,
                                            char *buf,
                                            size_t cap,
                                            size_t *len,
                                            keyfob_error *error);

// Waits until the person has logged in, and gives the tokens to the client that started the login.
// Contacts the server. A login with a browser shows the result in the browser, and rejects
// requests to the port that do not belong to this login. A device login asks the server again and
// again, never sooner than the server allows.
//
// If there is a store, the tokens are saved; `keyfob_warning` reports a failure to save them. The
// callback of `keyfob_options_set_on_renewed` is called. If the store has no space for tokens, the
// call fails with KEYFOB_STORE, and the code of the login is not used. If the server's answer
// cannot be used, the store keeps the answer beside the record, and the message names the file.
//
// The login has ended when the call returns, whatever the status is. There is one exception: if
// the redirect URI is not on this machine, or its port is in use, `keyfob_login_finish` still
// works. Any thread may call this function, but only one call can end a login.
//
// `within_ms`: how long to wait for the person, in milliseconds. The call may block for twice the
// timeout in addition: once to obtain the tokens, and once while another process uses the same
// record of the store.
//
// Also returns:
//   KEYFOB_TIMEOUT         the person has not logged in in time
//   KEYFOB_INVALID_INPUT   the redirect URI is not on this machine, or the login has ended or is
//                          being waited for
//   KEYFOB_NETWORK         the port of the redirect URI is in use
//   KEYFOB_LOGIN_REQUIRED  the person denied the access, the code of a device login expired, or
//                          the server refused the code of a login with a browser
//   KEYFOB_REFUSED         the server refused for another reason
keyfob_status keyfob_login_wait(keyfob_login *login, uint32_t within_ms, keyfob_error *error);

// Asks the server of a device login once whether the person has logged in. Contacts the server. The
// function can be called at any time: if the server does not allow a request yet, none is sent. A
// lost connection is not a failure: the next call asks again. Otherwise like `keyfob_login_wait`,
// except that the login has not ended as long as `*is_done` is 0.
//
// `*is_done`: 1 if the client has its tokens now, 0 if the person has not logged in yet.
//
// Blocks for at most twice the timeout.
//
// Also returns:
//   KEYFOB_INVALID_INPUT   it is a login with a browser, or the login has ended
//   KEYFOB_LOGIN_REQUIRED  the person denied the access, or the code has expired
keyfob_status keyfob_login_poll(keyfob_login *login,
                                int *is_done,
                                keyfob_error *error);

// Ends a login with the address at which the browser ended, pasted by the person. For a browser on
// another machine. Contacts the server. Otherwise like `keyfob_login_wait`, except that a wrong
// address does not end the login: let the person paste the address again.
//
// Blocks for at most twice the timeout.
//
// Also returns:
//   KEYFOB_INVALID_INPUT  the text is no callback URL, it is a device login, or the login has ended
//                         or is being waited for
//   KEYFOB_PROTOCOL       the address belongs to another login, or lacks a parameter
keyfob_status keyfob_login_finish(keyfob_login *login,
                                  const char *callback_url,
                                  size_t callback_url_len,
                                  keyfob_error *error);

// Frees a login. A login that has not ended is abandoned, and its port is closed. NULL is allowed.
// Must not be called from the callback of `keyfob_options_set_on_renewed`.
void keyfob_login_free(keyfob_login *login);

// Gives the client the tokens of an earlier login: those that the callback of
// `keyfob_options_set_on_renewed` received last. If there is a store, they are saved there too,
// and `keyfob_warning` reports a failure to save them.
//
// `token`: `access_token` and `obtained_at` are required: NULL, 0 and times before 1970 are refused.
// A token without `refresh_token` cannot be renewed.
//
// Blocks for at most the timeout, while another thread obtains a token or another process uses the
// same record of the store.
//
// Also returns:
//   KEYFOB_INVALID_INPUT  the values cannot be a token, or the client needs no login
//   KEYFOB_TIMEOUT        another thread was still obtaining a token; nothing has changed
keyfob_status keyfob_restore(keyfob_client *client,
                             const keyfob_token *token,
                             keyfob_error *error);

// The log
// -------

// Sets the callback for the log records of all clients of this process: requests for tokens,
// renewals, repeats, corrections of the clock, and tokens that could not be saved. Replaces the
// callback that was set before. Waits until no thread runs the earlier callback.
//
// `level`: the highest level that the callback receives, from 1 (errors) to 4 (debugging); 0 for
// no records.
// `callback`: NULL for none, which is the default.
// `user`: passed to the callback. It must stay valid until another callback, or none, is set.
keyfob_status keyfob_set_log(int level, keyfob_log_fn callback, void *user, keyfob_error *error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* KEYFOB_H */
