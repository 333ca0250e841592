// What the tests in C have in common. Everything fits C99 and C++.

#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keyfob.h"

// What the last call that failed said.
static keyfob_error error;

#define CHECK(condition)                                                          \
    do {                                                                          \
        if (!(condition)) {                                                       \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                              \
        }                                                                         \
    } while (0)

// The call returns this status, and a failure is described.
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

// Settings that point at the sandbox.
static inline keyfob_options *sandbox_options(void) {
    keyfob_options *options;
    OK(keyfob_options_new(&options, &error));
    if (getenv("SPATIAFI_AUTH_URL")) {
        OK(keyfob_options_set_auth_url(options, TEXT(env("SPATIAFI_AUTH_URL")), &error));
    }
    if (getenv("KEYFOB_CA_FILE")) {
        OK(keyfob_options_set_ca_file(options, TEXT(env("KEYFOB_CA_FILE")), &error));
    }
    return options;
}

// A client of SpatiaFi at the sandbox. Frees the settings.
static inline keyfob_client *spatiafi(keyfob_options *options) {
    keyfob_client *client;
    OK(keyfob_options_set_api_url(options, TEXT(env("SPATIAFI_API_URL")), &error));
    OK(keyfob_spatiafi_new(TEXT(env("SPATIAFI_CLIENT_ID")), TEXT(env("SPATIAFI_CLIENT_SECRET")), options,
                           &client, &error));
    keyfob_options_free(options);
    return client;
}

// The access token, in one of four places by turns.
static inline const char *token_of(keyfob_client *client) {
    static char places[4][4096];
    static int turn;
    size_t len;
    char *place = places[turn++ % 4];
    OK(keyfob_access_token(client, 0, place, sizeof places[0], &len, &error));
    CHECK(strlen(place) == len);
    return place;
}

// Gathers a body.
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

#endif
