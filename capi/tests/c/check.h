// Helpers for the tests in C. Everything is valid C99 and C++.

#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keyfob.h"

// The error of the last failed call.
static keyfob_error error;

#define CHECK(condition)                                                          \
    do {                                                                          \
        if (!(condition)) {                                                       \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                              \
        }                                                                         \
    } while (0)

// Checks that the call returns this status, and that a failure is described.
#define IS(expected, call)                                                                     \
    do {                                                                                       \
        memset(&error, 0x55, sizeof error);                                                    \
        keyfob_status got_ = (call);                                                           \
        if (got_ != (expected)) {                                                              \
            fprintf(stderr, "%s:%d: %s: %s (%.200s), not %s\n", __FILE__, __LINE__, #call,     \
                    keyfob_status_name(got_), got_ == KEYFOB_OK ? "" : error.message, #expected); \
            exit(1);                                                                           \
        }                                                                                      \
        if (got_ != KEYFOB_OK) {                                                               \
            CHECK(error.status == got_);                                                       \
            CHECK(memchr(error.message, 0, sizeof error.message) != NULL && error.message[0]); \
            CHECK(memchr(error.oauth_error, 0, sizeof error.oauth_error) != NULL);             \
        } else {                                                                               \
            CHECK((unsigned char)error.message[0] == 0x55);                                    \
        }                                                                                      \
    } while (0)

#define OK(call) IS(KEYFOB_OK, call)

// A text and its length.
#define TEXT(text) (text), strlen(text)

static inline const char *env(const char *name) {
    const char *value = getenv(name);
    if (value == NULL) {
        fprintf(stderr, "%s is not set\n", name);
        exit(1);
    }
    return value;
}

// Options for every service of the sandbox.
static inline keyfob_options *trusting_options(void) {
    keyfob_options *options;
    OK(keyfob_options_new(&options, &error));
    if (getenv("KEYFOB_CA_FILE")) {
        OK(keyfob_options_set_text(options, TEXT("ca_file"), TEXT(env("KEYFOB_CA_FILE")), &error));
    }
    return options;
}

// Options for the sandbox's SpatiaFi.
static inline keyfob_options *sandbox_options(void) {
    keyfob_options *options = trusting_options();
    if (getenv("SPATIAFI_AUTH_URL")) {
        OK(keyfob_options_set_text(options, TEXT("auth_url"), TEXT(env("SPATIAFI_AUTH_URL")), &error));
    }
    return options;
}

// A SpatiaFi client for the sandbox. Frees the options.
static inline keyfob_client *spatiafi(keyfob_options *options) {
    keyfob_client *client;
    OK(keyfob_options_set_text(options, TEXT("api_url"), TEXT(env("SPATIAFI_API_URL")), &error));
    OK(keyfob_spatiafi_new(TEXT(env("SPATIAFI_CLIENT_ID")), TEXT(env("SPATIAFI_CLIENT_SECRET")), options,
                           &client, &error));
    keyfob_options_free(options);
    return client;
}

// Sets what a client of Spacebring needs, and makes it. `options` may be NULL.
static inline keyfob_status spacebring_new(const char *auth, const char *id, size_t id_len, const char *secret,
                                           size_t secret_len, const char *redirect, size_t redirect_len,
                                           keyfob_options *options, keyfob_client **out, keyfob_error *error_of) {
    keyfob_options *own = options;
    keyfob_status status = options == NULL ? keyfob_options_new(&own, error_of) : KEYFOB_OK;
    if (status == KEYFOB_OK) status = keyfob_options_set_text(own, TEXT("auth"), TEXT(auth), error_of);
    if (status == KEYFOB_OK) status = keyfob_options_set_text(own, TEXT("client_id"), id, id_len, error_of);
    if (status == KEYFOB_OK) status = keyfob_options_set_text(own, TEXT("client_secret"), secret, secret_len, error_of);
    if (status == KEYFOB_OK)
        status = keyfob_options_set_text(own, TEXT("redirect_uri"), redirect, redirect_len, error_of);
    if (status == KEYFOB_OK) status = keyfob_client_new(TEXT("spacebring"), own, out, error_of);
    if (options == NULL) keyfob_options_free(own);
    return status;
}

// A client of Spacebring with HTTP Basic, and one whose users log in.
static inline keyfob_status customer_new(const char *id, size_t id_len, const char *secret, size_t secret_len,
                                         keyfob_options *options, keyfob_client **out, keyfob_error *error_of) {
    return spacebring_new("basic", id, id_len, secret, secret_len, NULL, 0, options, out, error_of);
}

static inline keyfob_status partner_new(const char *id, size_t id_len, const char *secret, size_t secret_len,
                                        const char *redirect, size_t redirect_len, keyfob_options *options,
                                        keyfob_client **out, keyfob_error *error_of) {
    return spacebring_new("oauth2", id, id_len, secret, secret_len, redirect, redirect_len, options, out, error_of);
}

// Reads the access token, in one of four ways in turn.
static inline const char *token_of(keyfob_client *client) {
    static char places[4][4096];
    static int turn;
    size_t len;
    char *place = places[turn++ % 4];
    OK(keyfob_access_token(client, 0, place, sizeof places[0], &len, &error));
    CHECK(strlen(place) == len);
    return place;
}

// Collects a body.
typedef struct {
    char data[65536];
    size_t len;
    int calls;
    int stop_at;
} gathered;

static inline int gather(const char *data, size_t len, void *user) {
    gathered *body = (gathered *)user;
    body->calls++;
    if (body->calls == body->stop_at || body->len + len >= sizeof body->data) {
        return 7;
    }
    memcpy(body->data + body->len, data, len);
    body->len += len;
    body->data[body->len] = 0;
    return 0;
}

// Makes a GET request.
static inline keyfob_status get_answer(keyfob_client *client, const char *url, size_t len, keyfob_body_fn on_body,
                                       void *user, int *http_status, keyfob_error *error_of) {
    return keyfob_request(client, "GET", 3, url, len, NULL, 0, NULL, 0, on_body, user, http_status, error_of);
}

#endif
