// keyfob: OAuth 2.0 access tokens for blocking programs, got, attached and kept fresh.
//
// SpatiaFi and Spacebring. C99, and C++. Link with -lkeyfob, or with what `pkg-config --libs keyfob` says. No daemon, no
// event loop, no threads of its own but one short one when a host name has to be looked up.
//
//     keyfob_client *client;
//     keyfob_error error;
//     char authorization[4096];
//     size_t len;
//
//     if (keyfob_spatiafi_from_env(NULL, &client, &error) ||
//         keyfob_authorization(client, 60, authorization, sizeof authorization, &len, &error)) {
//         fprintf(stderr, "%s\n", error.message);
//         exit(1);
//     }
//     /* Authorization: Bearer … */
//     keyfob_client_free(client);
//
// What holds for every function
// -----------------------------
//
// Status. What can fail returns a `keyfob_status`: 0 is success. Each function lists what it returns. Any of them may also
// return KEYFOB_NULL_POINTER, where a pointer is NULL that may not be; KEYFOB_FORKED, if it is given a client or a login
// that was made before a fork; and KEYFOB_PANIC. Functions that take text may return KEYFOB_INVALID_INPUT.
//
// Results. They come through out-parameters, which a failure leaves as they were (but for the size that
// KEYFOB_BUFFER_TOO_SMALL tells). Handles that are given out (`keyfob_…_new`, `…_from_env`, `…_start`) are the caller's, who
// frees each with the `_free` of its kind, once. Everything else stays whose it is: nothing that is given to a function has to
// live longer than its call, but for the `user` of a callback.
//
// Errors. The last parameter is a `keyfob_error` of the caller's, or NULL. There is no global state and no errno.
//
// Text. It goes in as a pointer and a length in bytes, without a NUL, and is UTF-8 of at most 16 KiB; NULL with length 0 is
// empty. A longer length is refused without looking at the text. It comes out into a buffer of the caller's, with a NUL.
//
// Threads. Every handle may be used from any number of threads at the same time; only the `_free` functions need it for
// themselves. Functions block for no longer than the time-out, where they do not say otherwise; signals do not end them, and
// `pthread_cancel` ends the thread only after them. They need 256 KiB of stack.
//
// Fork. A client or login belongs to the process that made it. The parent goes on. In the child it is of no use but to be
// freed (KEYFOB_FORKED); other clients can be made there. If the parent has threads that may be within keyfob at the fork,
// the child must call nothing but `exec` and its like: that is POSIX's rule.
//
// Signals. The library sets no handlers and raises none: writing to a connection that the peer has closed is an error, and
// no SIGPIPE.
//
// Environment. The `…_from_env` functions, a proxy `env`, and `keyfob_spatiafi_login` without a `save` of its own read it. No
// other thread may change it meanwhile.
//
// Secrets. Those in the library's memory are wiped when they are freed, its handles' by `_free`. Those in buffers of the
// caller's are the caller's to wipe. No secret is ever in an error or a log.
//
// Binary compatibility. Numbers, signatures and structs do not change as long as the library is called libkeyfob.so.0; what is
// new comes as new numbers and new functions.


#ifndef KEYFOB_H
#define KEYFOB_H

#include <stddef.h>
#include <stdint.h>
// The version of this header, and as a number: 0x010203 is 1.2.3.
#define KEYFOB_VERSION "0.1.0"
#define KEYFOB_VERSION_NUMBER 0x000100


// Size of `oauth_error` in `keyfob_error`, in bytes, its NUL included.
#define KEYFOB_OAUTH_ERROR_SIZE 64

// Size of `message` in `keyfob_error`, in bytes, its NUL included.
#define KEYFOB_MESSAGE_SIZE 1024

// What became of a call. Numbers are only ever appended: 0 is success, and a program must take any other number, known
// to it or not, for a failure.
typedef enum {
    // Done.
    KEYFOB_OK = 0,
    // A value was refused before anything was sent: empty, longer than 16 KiB, not UTF-8, with a control character (NUL
    // too), a URL that is not https (http on loopback), or a call that makes no sense for this handle.
    KEYFOB_INVALID_INPUT = 1,
    // There is nothing to sign in with.
    KEYFOB_NO_CREDENTIALS = 2,
    // A person has to log in, or to log in again: nobody has, the login was revoked, or it has expired for good.
    KEYFOB_LOGIN_REQUIRED = 3,
    // The server said no, or that it failed: with an `http_status` from 500 on it is worth another try later.
    KEYFOB_REFUSED = 4,
    // The server's answer makes no sense.
    KEYFOB_PROTOCOL = 5,
    // No connection, or it was cut off.
    KEYFOB_NETWORK = 6,
    // The deadline passed.
    KEYFOB_TIMEOUT = 7,
    // The server's certificate is not valid at this machine's time: set the clock.
    KEYFOB_CLOCK = 8,
    // The server asked to slow down (HTTP 429) for longer than the deadline allows: see `retry_after_ms`.
    KEYFOB_RATE_LIMITED = 9,
    // A file could not be read, written or locked, or the system gave no random bytes.
    KEYFOB_STORE = 10,
    // An API call was answered with 4xx or 5xx: see `http_status`. For 429 it is `KEYFOB_RATE_LIMITED`.
    KEYFOB_API_STATUS = 11,
    // A pointer that is needed is NULL.
    KEYFOB_NULL_POINTER = 12,
    // The caller's buffer is too small. The needed size has been written to the length.
    KEYFOB_BUFFER_TOO_SMALL = 13,
    // The caller's callback asked to stop.
    KEYFOB_STOPPED = 14,
    // The handle was made before a fork, and this is the child: free it, and make another one.
    KEYFOB_FORKED = 15,
    // A bug in keyfob, caught before it could harm the program. Please report it, with the text on standard error.
    KEYFOB_PANIC = 16,
} keyfob_status;

// A service, the credentials for it, and the tokens that come of them. Made by `keyfob_spatiafi_…` and
// `keyfob_spacebring_…`, freed by `keyfob_client_free`.
typedef struct keyfob_client keyfob_client;

// A login with a browser that is under way. See `keyfob_login_start`.
typedef struct keyfob_login keyfob_login;

// Settings for making a client. See `keyfob_options_new`.
typedef struct keyfob_options keyfob_options;

// Details of a failure. The caller's own: on the stack, say, and not set to anything. A function that fails fills all of
// it; one that succeeds leaves it alone. It never holds a secret.
//
// Its layout does not change as long as the library is called `libkeyfob.so.0`.
typedef struct {
    // What the function returned.
    keyfob_status status;
    // The HTTP status, where the server answered with another than 2xx, or with nonsense; else 0.
    int http_status;
    // How long the server asked to wait, in milliseconds, where it did; else 0.
    uint64_t retry_after_ms;
    // The server's own error code, such as `invalid_client` (RFC 6749 5.2), where it sent one; else empty.
    char oauth_error[KEYFOB_OAUTH_ERROR_SIZE];
    // What was being done, what went wrong and what to do next, in one line of UTF-8.
    char message[KEYFOB_MESSAGE_SIZE];
} keyfob_error;

// A token, as a callback gets it, or as `keyfob_spacebring_restore` takes it. The texts are not NUL-terminated.
//
// Its layout does not change as long as the library is called `libkeyfob.so.0`.
typedef struct {
    // The access token. Visible ASCII.
    const char *access_token;
    size_t access_token_len;
    // The refresh token; NULL and 0 if there is none.
    const char *refresh_token;
    size_t refresh_token_len;
    // The scopes that the server granted, separated by spaces; NULL and 0 if it did not say.
    const char *scope;
    size_t scope_len;
    // When the access token expires, in seconds since 1970; 0 if unknown.
    int64_t expires_at;
    // When it was asked for, in seconds since 1970.
    int64_t obtained_at;
} keyfob_token;

// Called with each new token: after a renewal, and after a login. `token`, and all that it points to, is gone when the
// callback returns. `user` is what `keyfob_options_set_on_renewed` was given.
//
// It runs on the thread whose call fetched the token, while others may wait for it, so it should be quick; calls of
// several clients can run at the same time. It may ask the client for its token, and gets the new one. It must not
// invalidate, renew or revoke that, nor free the client, and neither throw nor `longjmp`.
typedef void (*keyfob_renewed_fn)(const keyfob_token *token, void *user);

// Called with new app credentials: JSON with `client_id` and `client_secret`, as the server sent it, not NUL-terminated,
// gone when the callback returns. Returns 0 once they are kept safely (on the disk, say, and not just in a buffer);
// anything else lets `keyfob_spatiafi_login` fail with `KEYFOB_STORE`. It must neither throw nor `longjmp`.
typedef int (*keyfob_save_fn)(const char *json, size_t len, void *user);

// Called with each piece of a body, in order, gone when the callback returns. Returns 0 to go on; anything else ends the
// call with `KEYFOB_STOPPED`. It must neither throw nor `longjmp`, and not free the client.
typedef int (*keyfob_body_fn)(const char *data, size_t len, void *user);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The version of the library, such as "0.1.0": compare it with `KEYFOB_VERSION`, that of the header.
//
// Returns a NUL-terminated text that lives as long as the program. Threads: any.
const char *keyfob_version(void);

// The name of a status, such as "KEYFOB_TIMEOUT", for logs. Of a number that this library does not know:
// "unknown status".
//
// Returns a NUL-terminated text that lives as long as the program. Threads: any.
const char *keyfob_status_name(int status);

// Makes settings, all at their defaults. They may be used for any number of clients, each of which takes a copy when it is
// made: what is set later does not change it.
//
// `*out`: the settings, to be freed with `keyfob_options_free`.
// Threads: any. Returns KEYFOB_OK.
keyfob_status keyfob_options_new(keyfob_options **out,
                                 keyfob_error *error);

// Frees settings and wipes what is secret in them. Clients that were made with them go on. NULL is fine.
//
// Threads: any, but no other thread may use the settings at the same time or later.
void keyfob_options_free(keyfob_options *options);

// The folder that tokens are kept in between one run and the next, for all processes that name it. It is made, with mode
// 0700, when it is needed. Default: tokens are kept in memory only; of a client from the environment: `KEYFOB_STORE`, else
// `$XDG_STATE_HOME/keyfob` or `~/.local/state/keyfob`.
//
// NULL or empty: the default.
// Threads: any, on the same settings too. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT if longer than 16 KiB or not UTF-8. What
// makes no sense otherwise is refused when a client is made.
keyfob_status keyfob_options_set_store(keyfob_options *options,
                                       const char *value,
                                       size_t len,
                                       keyfob_error *error);

// Keeps several logins, or uses, of one client apart in the store. Default: "default"; of a client from the environment:
// `KEYFOB_PROFILE`.
//
// NULL or empty: the default.
// Threads: any, on the same settings too. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT if longer than 16 KiB or not UTF-8. What
// makes no sense otherwise is refused when a client is made.
keyfob_status keyfob_options_set_profile(keyfob_options *options,
                                         const char *value,
                                         size_t len,
                                         keyfob_error *error);

// A PEM file with the certificate authorities to trust, in place of the built-in ones (as curl's `--cacert`). Default: the
// web's root certificates; of a client from the environment: `KEYFOB_CA_FILE`.
//
// NULL or empty: the default.
// Threads: any, on the same settings too. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT if longer than 16 KiB or not UTF-8. What
// makes no sense otherwise is refused when a client is made.
keyfob_status keyfob_options_set_ca_file(keyfob_options *options,
                                         const char *value,
                                         size_t len,
                                         keyfob_error *error);

// An HTTP proxy, `http://[user:password@]host:port`, or `env` for the one that `ALL_PROXY`, `HTTPS_PROXY` or `HTTP_PROXY`
// names. Default: none; of a client from the environment: `KEYFOB_PROXY`.
//
// NULL or empty: the default.
// Threads: any, on the same settings too. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT if longer than 16 KiB or not UTF-8. What
// makes no sense otherwise is refused when a client is made.
keyfob_status keyfob_options_set_proxy(keyfob_options *options,
                                       const char *value,
                                       size_t len,
                                       keyfob_error *error);

// The `User-Agent` header. Default: "keyfob/" and the version.
//
// NULL or empty: the default.
// Threads: any, on the same settings too. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT if longer than 16 KiB or not UTF-8. What
// makes no sense otherwise is refused when a client is made.
keyfob_status keyfob_options_set_user_agent(keyfob_options *options,
                                            const char *value,
                                            size_t len,
                                            keyfob_error *error);

// Spacebring only: the network, by its UUID, that is named on each request to the API. Default: none is named; of a client
// from the environment: `SPACEBRING_NETWORK_ID`.
//
// NULL or empty: the default.
// Threads: any, on the same settings too. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT if longer than 16 KiB or not UTF-8. What
// makes no sense otherwise is refused when a client is made.
keyfob_status keyfob_options_set_network_id(keyfob_options *options,
                                            const char *value,
                                            size_t len,
                                            keyfob_error *error);

// The base URL of the API, which alone gets the token. Default: the public service's; of a client from the environment:
// `SPATIAFI_API_URL` or `SPACEBRING_API_URL`.
//
// NULL or empty: the default.
// Threads: any, on the same settings too. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT if longer than 16 KiB or not UTF-8. What
// makes no sense otherwise is refused when a client is made.
keyfob_status keyfob_options_set_api_url(keyfob_options *options,
                                         const char *value,
                                         size_t len,
                                         keyfob_error *error);

// SpatiaFi only: the base URL of the authorization server. Default: `https://auth.spatiafi.com`; of a client from the
// environment: `SPATIAFI_AUTH_URL`.
//
// NULL or empty: the default.
// Threads: any, on the same settings too. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT if longer than 16 KiB or not UTF-8. What
// makes no sense otherwise is refused when a client is made.
keyfob_status keyfob_options_set_auth_url(keyfob_options *options,
                                          const char *value,
                                          size_t len,
                                          keyfob_error *error);

// The whole token URL, where a server differs: of SpatiaFi and of Spacebring's partners. Default: that of the server; of a
// client from the environment: `SPATIAFI_TOKEN_URL` or `SPACEBRING_TOKEN_URL`.
//
// NULL or empty: the default.
// Threads: any, on the same settings too. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT if longer than 16 KiB or not UTF-8. What
// makes no sense otherwise is refused when a client is made.
keyfob_status keyfob_options_set_token_url(keyfob_options *options,
                                           const char *value,
                                           size_t len,
                                           keyfob_error *error);

// Spacebring's partners only: the URL that a browser opens. Default: that of the API; of a client from the environment:
// `SPACEBRING_AUTHORIZE_URL`.
//
// NULL or empty: the default.
// Threads: any, on the same settings too. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT if longer than 16 KiB or not UTF-8. What
// makes no sense otherwise is refused when a client is made.
keyfob_status keyfob_options_set_authorize_url(keyfob_options *options,
                                               const char *value,
                                               size_t len,
                                               keyfob_error *error);

// Spacebring's partners only: the URL that ends tokens. Default: that of the API; of a client from the environment:
// `SPACEBRING_REVOKE_URL`.
//
// NULL or empty: the default.
// Threads: any, on the same settings too. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT if longer than 16 KiB or not UTF-8. What
// makes no sense otherwise is refused when a client is made.
keyfob_status keyfob_options_set_revoke_url(keyfob_options *options,
                                            const char *value,
                                            size_t len,
                                            keyfob_error *error);

// How long connecting may take, TLS included, in milliseconds. 0: the default, 10 s.
//
// Threads: any, on the same settings too. Returns KEYFOB_OK.
keyfob_status keyfob_options_set_connect_timeout_ms(keyfob_options *options,
                                                    uint32_t milliseconds,
                                                    keyfob_error *error);

// How long getting a token may take in all, in milliseconds: names, connecting, repeats and waits included. So long may a
// function that needs a token take. 0: the default, 30 s.
//
// Threads: any, on the same settings too. Returns KEYFOB_OK.
keyfob_status keyfob_options_set_timeout_ms(keyfob_options *options,
                                            uint32_t milliseconds,
                                            keyfob_error *error);

// How long `keyfob_get` may take in all, in milliseconds: getting a token, repeats, waits and reading the body included. 0: the
// default, 60 s.
//
// Threads: any, on the same settings too. Returns KEYFOB_OK.
keyfob_status keyfob_options_set_get_timeout_ms(keyfob_options *options,
                                                uint32_t milliseconds,
                                                keyfob_error *error);

// Sends no `state` and takes a callback without one, if `without` is not 0: for a server that does not send it back. Then PKCE
// alone protects the login. Spacebring's partners only. Default: 0.
//
// Threads: any, on the same settings too. Returns KEYFOB_OK.
keyfob_status keyfob_options_set_without_state(keyfob_options *options,
                                               int without,
                                               keyfob_error *error);

// Leaves PKCE (RFC 7636) out, if `without` is not 0: for a server that refuses its parameters. Spacebring's partners only.
// Default: 0.
//
// Threads: any, on the same settings too. Returns KEYFOB_OK.
keyfob_status keyfob_options_set_without_pkce(keyfob_options *options,
                                              int without,
                                              keyfob_error *error);

// Leaves `redirect_uri` out of the token request, if `without` is not 0: for a server that refuses it there. Spacebring's
// partners only. Default: 0.
//
// Threads: any, on the same settings too. Returns KEYFOB_OK.
keyfob_status keyfob_options_set_without_redirect_uri(keyfob_options *options,
                                                      int without,
                                                      keyfob_error *error);

// Has a callback called with each new token: for programs that keep tokens themselves. NULL: none, the default.
//
// `user` is handed to the callback. It must stay good, and be fit for use from any thread that uses the client, until every
// client that was made with these settings, and every login of theirs, has been freed.
// Threads: any, on the same settings too. Returns KEYFOB_OK.
keyfob_status keyfob_options_set_on_renewed(keyfob_options *options,
                                            keyfob_renewed_fn callback,
                                            void *user,
                                            keyfob_error *error);

// SpatiaFi with app credentials. Nothing is sent until a token is needed.
//
// `options`: NULL for the defaults. `*out`: the client, to be freed with `keyfob_client_free`.
// Threads: any. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT.
keyfob_status keyfob_spatiafi_new(const char *client_id,
                                  size_t client_id_len,
                                  const char *client_secret,
                                  size_t client_secret_len,
                                  const keyfob_options *options,
                                  keyfob_client **out,
                                  keyfob_error *error);

// SpatiaFi with the app credentials of the environment (`SPATIAFI_CLIENT_ID`, `SPATIAFI_CLIENT_SECRET`), else those in the file
// of the official Python client. `SPATIAFI_AUTH_URL`, `SPATIAFI_API_URL`, `SPATIAFI_TOKEN_URL`, `KEYFOB_CA_FILE`, `KEYFOB_PROXY`,
// `KEYFOB_STORE` and `KEYFOB_PROFILE` count where the settings say nothing; tokens are kept in the store. An empty variable counts
// as unset. Nothing is sent until a token is needed.
//
// `options`: NULL for the defaults. `*out`: the client, to be freed with `keyfob_client_free`.
// Threads: any, unless another thread changes the environment (`setenv`). Returns KEYFOB_OK, KEYFOB_NO_CREDENTIALS if there are
// none, KEYFOB_INVALID_INPUT for a bad variable, KEYFOB_STORE for a bad file.
keyfob_status keyfob_spatiafi_from_env(const keyfob_options *options,
                                       keyfob_client **out,
                                       keyfob_error *error);

// Makes app credentials for SpatiaFi with a user name and a password, and a client that uses them: once, by a person. They are
// permanent, and the server shows them only now: `save` keeps them, and is called before anything else can fail. Make sure
// beforehand that it can.
//
// `save`: NULL to save them where the official Python client and `keyfob_spatiafi_from_env` look, unless there are some already
// (KEYFOB_STORE). `user` is handed to it.
// `options`: NULL for the defaults. `*out`: the client, to be freed with `keyfob_client_free`.
// Threads: any, but with `save` NULL no other thread may change the environment, which says where the home folder is; `save`
// runs on the caller's. Blocks, for no longer than twice the time-out. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT,
// KEYFOB_NO_CREDENTIALS if `save` is NULL and there is no home folder, KEYFOB_REFUSED for a wrong user name or password,
// KEYFOB_LOGIN_REQUIRED if the server answers `invalid_grant`, KEYFOB_STORE if they could not be saved, KEYFOB_PROTOCOL,
// KEYFOB_NETWORK, KEYFOB_TIMEOUT, KEYFOB_CLOCK, KEYFOB_RATE_LIMITED.
keyfob_status keyfob_spatiafi_login(const char *username,
                                    size_t username_len,
                                    const char *password,
                                    size_t password_len,
                                    keyfob_save_fn save,
                                    void *user,
                                    const keyfob_options *options,
                                    keyfob_client **out,
                                    keyfob_error *error);

// A customer of Spacebring, who signs each request with id and secret (HTTP Basic) and needs no token.
//
// `options`: NULL for the defaults. `*out`: the client, to be freed with `keyfob_client_free`.
// Threads: any. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT.
keyfob_status keyfob_spacebring_customer_new(const char *client_id,
                                             size_t client_id_len,
                                             const char *client_secret,
                                             size_t client_secret_len,
                                             const keyfob_options *options,
                                             keyfob_client **out,
                                             keyfob_error *error);

// A customer of Spacebring with `SPACEBRING_CLIENT_ID` and `SPACEBRING_CLIENT_SECRET`. `SPACEBRING_NETWORK_ID`,
// `SPACEBRING_API_URL`, `KEYFOB_CA_FILE` and `KEYFOB_PROXY` count where the settings say nothing. An empty variable counts as
// unset.
//
// `options`: NULL for the defaults. `*out`: the client, to be freed with `keyfob_client_free`.
// Threads: any, unless another thread changes the environment (`setenv`). Returns KEYFOB_OK, KEYFOB_NO_CREDENTIALS if one is not
// set, KEYFOB_INVALID_INPUT.
keyfob_status keyfob_spacebring_customer_from_env(const keyfob_options *options,
                                                  keyfob_client **out,
                                                  keyfob_error *error);

// A partner of Spacebring. It has tokens once a person has logged in (`keyfob_login_start`) or tokens that the caller has kept
// have been given to it (`keyfob_spacebring_restore`); with a store, those of an earlier login are in use at once.
//
// `redirect_uri`: one that Spacebring knows. With `http` and `127.0.0.1` or `[::1]` the end of the login can be waited for, at a
// free port if the port is 0.
// `options`: NULL for the defaults. `*out`: the client, to be freed with `keyfob_client_free`.
// Threads: any. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT, KEYFOB_STORE if the store cannot be reached or trusted.
keyfob_status keyfob_spacebring_partner_new(const char *client_id,
                                            size_t client_id_len,
                                            const char *client_secret,
                                            size_t client_secret_len,
                                            const char *redirect_uri,
                                            size_t redirect_uri_len,
                                            const keyfob_options *options,
                                            keyfob_client **out,
                                            keyfob_error *error);

// A partner of Spacebring with `SPACEBRING_CLIENT_ID`, `SPACEBRING_CLIENT_SECRET` and `SPACEBRING_REDIRECT_URI` (default
// `http://127.0.0.1:8765/callback`). `SPACEBRING_NETWORK_ID`, `SPACEBRING_API_URL`, `SPACEBRING_AUTHORIZE_URL`,
// `SPACEBRING_TOKEN_URL`, `SPACEBRING_REVOKE_URL`, `KEYFOB_CA_FILE`, `KEYFOB_PROXY`, `KEYFOB_STORE` and `KEYFOB_PROFILE` count where
// the settings say nothing; tokens are kept in the store. An empty variable counts as unset. Otherwise as
// `keyfob_spacebring_partner_new`.
//
// `options`: NULL for the defaults. `*out`: the client, to be freed with `keyfob_client_free`.
// Threads: any, unless another thread changes the environment (`setenv`). Returns KEYFOB_OK, KEYFOB_NO_CREDENTIALS if one is not
// set, KEYFOB_INVALID_INPUT, KEYFOB_STORE.
keyfob_status keyfob_spacebring_partner_from_env(const keyfob_options *options,
                                                 keyfob_client **out,
                                                 keyfob_error *error);

// Frees a client and wipes its secrets. Logins that it started go on. NULL is fine.
//
// Threads: any, but no other thread may use the client at the same time or later. Not from within one of its callbacks.
void keyfob_client_free(keyfob_client *client);

// The value of an `Authorization` header: "Bearer " and an access token, or, of a customer of Spacebring, "Basic " and the
// credentials. Do not keep it: ask before each request. That costs nothing while a token lives, and gets a new one in time.
//
// `min_valid_s`: how long the token must live, in seconds; what was got after the call began satisfies any. A token is renewed
// early by min(60 s, 20 % of its lifetime); while one thread gets a new one, the others are given the one that still lives. If
// that fails, it goes on to be used as long as it lives.
// `buf`, `cap`: a buffer and its size in bytes, NUL included; NULL and 0 to ask for the size. The caller wipes it. `*len`: the
// length without the NUL, or, if the buffer is too small, the size that is needed.
// Threads: any, on the same client too. Blocks while a token is got, for no longer than the time-out.
// Returns KEYFOB_OK, KEYFOB_BUFFER_TOO_SMALL, KEYFOB_LOGIN_REQUIRED, KEYFOB_REFUSED, KEYFOB_PROTOCOL, KEYFOB_NETWORK,
// KEYFOB_TIMEOUT, KEYFOB_CLOCK, KEYFOB_RATE_LIMITED, KEYFOB_STORE, KEYFOB_INVALID_INPUT if SpatiaFi's client secret has less than 32
// bytes. Between asking for the size and asking again, another thread may have got a token that is longer: ask in a loop.
keyfob_status keyfob_authorization(keyfob_client *client,
                                   uint32_t min_valid_s,
                                   char *buf,
                                   size_t cap,
                                   size_t *len,
                                   keyfob_error *error);

// The access token alone. Otherwise as `keyfob_authorization`.
//
// `buf`, `cap`: a buffer and its size in bytes, NUL included; NULL and 0 to ask for the size. The caller wipes it. `*len`: the
// length without the NUL, or, if the buffer is too small, the size that is needed.
// Threads: any, on the same client too. Blocks while a token is got, for no longer than the time-out.
// Returns KEYFOB_OK, KEYFOB_BUFFER_TOO_SMALL, KEYFOB_LOGIN_REQUIRED, KEYFOB_REFUSED, KEYFOB_PROTOCOL, KEYFOB_NETWORK,
// KEYFOB_TIMEOUT, KEYFOB_CLOCK, KEYFOB_RATE_LIMITED, KEYFOB_STORE, KEYFOB_INVALID_INPUT for a customer of Spacebring, who has none,
// and as `keyfob_authorization`.
keyfob_status keyfob_access_token(keyfob_client *client,
                                  uint32_t min_valid_s,
                                  char *buf,
                                  size_t cap,
                                  size_t *len,
                                  keyfob_error *error);

// Says that a server refused a token (HTTP 401): the next call that needs one gets another, unless that has happened since.
//
// `used`: the value of the `Authorization` header, or the access token, that was refused, so that a newer one is left alone.
// NULL and 0: the one that is in use now.
// Threads: any, on the same client too. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT for what cannot be a token and for a customer of
// Spacebring, KEYFOB_LOGIN_REQUIRED.
keyfob_status keyfob_invalidate(keyfob_client *client,
                                const char *used,
                                size_t used_len,
                                keyfob_error *error);

// Gets a new token now, whether the old one lives or not. If that fails, the old one goes on to be used as long as it
// lives. It is seldom needed: `keyfob_authorization` renews in time.
//
// Threads: any, on the same client too. Blocks, for no longer than the time-out. Returns KEYFOB_OK, KEYFOB_LOGIN_REQUIRED,
// KEYFOB_REFUSED, KEYFOB_PROTOCOL, KEYFOB_NETWORK, KEYFOB_TIMEOUT, KEYFOB_CLOCK, KEYFOB_RATE_LIMITED, KEYFOB_STORE,
// KEYFOB_INVALID_INPUT for a customer of Spacebring, and as `keyfob_authorization`.
keyfob_status keyfob_refresh(keyfob_client *client,
                             keyfob_error *error);

// One signed GET, for programs without an HTTP library. It signs in by itself, replaces a token that is refused, once, waits out
// 429, and tries 502, 503, 504 and failed connections up to three times. Spacebring's 10 requests per second are kept to.
// Redirects are not followed.
//
// `url`: a whole URL, or the rest of one, from its "/" on, that is put behind that of the API. A URL elsewhere than at the API
// is called without the token.
// `body`: called with each piece of the body, with `user`.
// `http_status`: NULL if only 2xx will do; any other is then KEYFOB_API_STATUS (KEYFOB_RATE_LIMITED for 429, KEYFOB_PROTOCOL for
// a redirect), with the status in `error`, and no body. Else any status is an answer, and goes there at the end.
// Threads: any, on the same client too; `body` runs on the caller's. Blocks, for no longer than the time-out of `keyfob_get`.
// Returns KEYFOB_OK, KEYFOB_INVALID_INPUT, KEYFOB_API_STATUS, KEYFOB_STOPPED if `body` asked for it, KEYFOB_LOGIN_REQUIRED,
// KEYFOB_REFUSED, KEYFOB_PROTOCOL, KEYFOB_NETWORK, KEYFOB_TIMEOUT, KEYFOB_CLOCK, KEYFOB_RATE_LIMITED, KEYFOB_STORE. If it fails in
// the middle of the body, what has come until then has been handed on.
keyfob_status keyfob_get(keyfob_client *client,
                         const char *url,
                         size_t url_len,
                         keyfob_body_fn body,
                         void *user,
                         int *http_status,
                         keyfob_error *error);

// The base URL of the API, without a slash at its end.
//
// `buf`, `cap`: a buffer and its size in bytes, NUL included; NULL and 0 to ask for the size. `*len`: the
// length without the NUL, or, if the buffer is too small, the size that is needed.
// Threads: any, on the same client too. Returns KEYFOB_OK, KEYFOB_BUFFER_TOO_SMALL.
keyfob_status keyfob_api_url(keyfob_client *client,
                             char *buf,
                             size_t cap,
                             size_t *len,
                             keyfob_error *error);

// What went on all the same, but should be known: a new token that could not be saved, a credentials file that others can read. A
// line for each; empty if there is nothing.
//
// `buf`, `cap`: a buffer and its size in bytes, NUL included; NULL and 0 to ask for the size. `*len`: the
// length without the NUL, or, if the buffer is too small, the size that is needed.
// Threads: any, on the same client too. Returns KEYFOB_OK, KEYFOB_BUFFER_TOO_SMALL.
keyfob_status keyfob_warning(keyfob_client *client,
                             char *buf,
                             size_t cap,
                             size_t *len,
                             keyfob_error *error);

// Starts a login of a person with a browser, for a partner of Spacebring: show the URL (`keyfob_login_url`), then wait for the end
// (`keyfob_login_wait`) or have the person paste the address that the browser ends at (`keyfob_login_finish`). The port of the
// redirect URI, if it is one of this machine, is open from now on.
//
// `scopes`: separated by spaces, such as "locations.readonly plans.readonly".
// `*out`: the login, to be freed with `keyfob_login_free`, before or after the client.
// Threads: any, on the same client too. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT for a bad scope and for a client that is no
// partner, KEYFOB_NETWORK if any free port will do and there is none. A port that is taken is `keyfob_login_wait`'s to say;
// the login can still be finished with a pasted address.
keyfob_status keyfob_login_start(keyfob_client *client,
                                 const char *scopes,
                                 size_t scopes_len,
                                 keyfob_login **out,
                                 keyfob_error *error);

// The URL to open in a browser, on this machine or on another. Show it to that person only.
//
// `buf`, `cap`: a buffer and its size in bytes, NUL included; NULL and 0 to ask for the size. `*len`: the
// length without the NUL, or, if the buffer is too small, the size that is needed.
// Threads: any, on the same login too. Returns KEYFOB_OK, KEYFOB_BUFFER_TOO_SMALL.
keyfob_status keyfob_login_url(keyfob_login *login,
                               char *buf,
                               size_t cap,
                               size_t *len,
                               keyfob_error *error);

// Waits until the person has logged in, shows in the browser how it ended, and gives the tokens to the client that started the
// login. They are saved if there is a store (`keyfob_warning` says if that failed), and the renewal callback is called. What
// knocks at the port but does not belong to this login is turned away. The login is used up, however it ends, unless it cannot be
// waited for: the redirect URI is not on this machine, or its port is taken. Then it can be finished still.
//
// `within_ms`: how long to wait for the person, in milliseconds. Getting the tokens has the client's time-out, and so has waiting for
// another process that is at the same record of the store.
// Threads: any, but one login ends once. Returns KEYFOB_OK, KEYFOB_TIMEOUT if nobody came, KEYFOB_INVALID_INPUT if the redirect
// URI is not on this machine or the login is used up, KEYFOB_REFUSED if the person or the server said no, KEYFOB_LOGIN_REQUIRED
// if the code is not taken, KEYFOB_PROTOCOL, KEYFOB_NETWORK, KEYFOB_CLOCK, KEYFOB_RATE_LIMITED, KEYFOB_STORE.
keyfob_status keyfob_login_wait(keyfob_login *login,
                                uint32_t within_ms,
                                keyfob_error *error);

// Ends a login with the address that the browser was sent to, pasted by the person: for a browser on another machine. Otherwise as
// `keyfob_login_wait`, but an address that cannot be of this login (KEYFOB_INVALID_INPUT, KEYFOB_PROTOCOL before anything is
// sent) does not use it up: have it pasted again.
//
// Threads: any, but one login ends once. Blocks, for no longer than twice the time-out. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT
// if it cannot be such an address or the login is used up, KEYFOB_TIMEOUT, KEYFOB_REFUSED if the person or the server said no,
// KEYFOB_LOGIN_REQUIRED if the code is not taken, KEYFOB_PROTOCOL, KEYFOB_NETWORK, KEYFOB_CLOCK, KEYFOB_RATE_LIMITED,
// KEYFOB_STORE.
keyfob_status keyfob_login_finish(keyfob_login *login,
                                  const char *callback_url,
                                  size_t callback_url_len,
                                  keyfob_error *error);

// Frees a login; one that has not ended is given up, and its port closed. NULL is fine.
//
// Threads: any, but no other thread may use the login at the same time or later. Not from within the renewal callback.
void keyfob_login_free(keyfob_login *login);

// Goes on with tokens that the caller has kept from an earlier login, for a partner of Spacebring: what the renewal callback was
// given last. With a store they are saved there too.
//
// `token`: `access_token` and `obtained_at` are needed, and times before 1970 are refused; without `refresh_token` it cannot be
// renewed.
// Threads: any, on the same client too. Blocks while another process is at the same record of the store, for no longer than the
// time-out. Returns KEYFOB_OK, KEYFOB_INVALID_INPUT for what cannot be a token and for a client that
// is no partner.
keyfob_status keyfob_spacebring_restore(keyfob_client *client,
                                        const keyfob_token *token,
                                        keyfob_error *error);

// Ends a login for good: the refresh token and the access token of a partner of Spacebring, at the server, here and in the store. A
// person has to log in again.
//
// Threads: any, on the same client too. Blocks, for no longer than twice the time-out. Returns KEYFOB_OK, KEYFOB_LOGIN_REQUIRED if
// there is no login, KEYFOB_REFUSED, KEYFOB_PROTOCOL, KEYFOB_NETWORK, KEYFOB_TIMEOUT, KEYFOB_CLOCK and KEYFOB_RATE_LIMITED,
// after which the tokens may live on, KEYFOB_STORE if they have ended but could not be removed, KEYFOB_INVALID_INPUT for a
// client that is no partner.
keyfob_status keyfob_spacebring_revoke(keyfob_client *client,
                                       keyfob_error *error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* KEYFOB_H */
