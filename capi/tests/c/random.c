// Calls with random input: a program, as many rounds as ROUNDS says, or with FUZZ the target `c_abi` of fuzz/. Whatever comes in, a
// status comes out, described, and nothing else is touched: texts and buffers have exactly their size, so that a sanitizer or
// valgrind sees each byte too far. Nothing is sent: no client here has both a token to renew and a server.

#include "check.h"

// What a round is made of. When it is used up, zeros follow.
static const uint8_t *input;
static size_t left;

static uint64_t dice(size_t bytes) {
    uint64_t number = 0;
    for (; bytes > 0 && left > 0; bytes--, left--) {
        number = number << 8 | *input++;
    }
    return number;
}

static size_t below(size_t most) {
    return (size_t)(dice(most > 256 ? 2 : 1) % most);
}

// A text on the heap, of exactly its size, and now and then none or one with a length that cannot be.
typedef struct {
    char *bytes;
    size_t len;
} text;

static text random_text(void) {
    static const char *const likely[] = {
        "http://127.0.0.1:0/callback", "https://app.example/callback", "https://api.example", "http://[::1]:0/", "app:/callback",
        "0f8fad5b-d9cb-469f-a165-70867728950e", "locations.readonly", "a b", "client", "0123456789abcdef0123456789abcdef",
        "default", "env", "http://proxy.example:3128", "https://app.example/callback?code=a&state=b", "",
    };
    text made = {NULL, 0};
    const char *from = likely[below(sizeof likely / sizeof *likely)];
    size_t i;
    switch (below(8)) {
    case 0:
        made.len = below(3) * below(100);
        return made;
    case 1:
        made.bytes = (char *)malloc(1);
        CHECK(made.bytes != NULL);
        made.len = SIZE_MAX - below(2);
        return made;
    case 2:
    case 3:
    case 4:
        made.len = strlen(from);
        break;
    default:
        made.len = below(40);
        from = NULL;
        if (made.len == 39) {
            made.len = 16384 + below(3);
            made.bytes = (char *)malloc(made.len);
            CHECK(made.bytes != NULL);
            memset(made.bytes, 'a', made.len);
            return made;
        }
    }
    made.bytes = (char *)malloc(made.len > 0 ? made.len : 1);
    CHECK(made.bytes != NULL);
    for (i = 0; i < made.len; i++) {
        made.bytes[i] = from != NULL && below(200) > 0 ? from[i] : (char)(below(3) == 0 ? dice(1) : 32 + below(95));
    }
    return made;
}

static void drop(text *one) {
    free(one->bytes);
}

// A status that has a name, and its description.
static keyfob_status checked(keyfob_status status, const keyfob_error *told) {
    CHECK(strcmp(keyfob_status_name((int)status), "unknown status") != 0);
    CHECK(status != KEYFOB_PANIC);
    if (status != KEYFOB_OK) {
        CHECK(told->status == status && told->message[0] != 0);
        CHECK(memchr(told->message, 0, sizeof told->message) != NULL);
        CHECK(memchr(told->oauth_error, 0, sizeof told->oauth_error) != NULL);
    }
    return status;
}

typedef keyfob_status (*reader)(void *handle, char *buf, size_t cap, size_t *len, keyfob_error *error);

static keyfob_status read_authorization(void *handle, char *buf, size_t cap, size_t *len, keyfob_error *told) {
    return keyfob_authorization((keyfob_client *)handle, (uint32_t)below(3), buf, cap, len, told);
}

static keyfob_status read_token(void *handle, char *buf, size_t cap, size_t *len, keyfob_error *told) {
    return keyfob_access_token((keyfob_client *)handle, (uint32_t)below(3), buf, cap, len, told);
}

static keyfob_status read_warning(void *handle, char *buf, size_t cap, size_t *len, keyfob_error *told) {
    return keyfob_warning((keyfob_client *)handle, buf, cap, len, told);
}

static keyfob_status read_api_url(void *handle, char *buf, size_t cap, size_t *len, keyfob_error *told) {
    return keyfob_api_url((keyfob_client *)handle, buf, cap, len, told);
}

static keyfob_status read_login_url(void *handle, char *buf, size_t cap, size_t *len, keyfob_error *told) {
    return keyfob_login_url((keyfob_login *)handle, buf, cap, len, told);
}

// Into a buffer that may be too small, and then into one of the size that was asked for.
static void read_into(reader what, void *handle) {
    keyfob_error told;
    size_t cap = below(4) == 0 ? below(400) : below(40), len = 12345, i;
    char *buf = (char *)malloc(cap > 0 ? cap : 1);
    CHECK(buf != NULL);
    memset(buf, 0x55, cap);
    keyfob_status status = checked(what(handle, buf, cap, &len, &told), &told);
    if (status == KEYFOB_OK) {
        CHECK(len < cap && buf[len] == 0);
    } else {
        for (i = 0; i < cap; i++) {
            CHECK(buf[i] == 0x55);
        }
    }
    free(buf);
    if (status == KEYFOB_BUFFER_TOO_SMALL) {
        CHECK(len > cap);
        buf = (char *)malloc(len);
        CHECK(buf != NULL);
        cap = len;
        CHECK(checked(what(handle, buf, cap, &len, &told), &told) == KEYFOB_OK && len == cap - 1);
        free(buf);
    } else if (status != KEYFOB_OK) {
        CHECK(len == 12345);
    }
}

static keyfob_options *random_options(void) {
    typedef keyfob_status (*setter)(keyfob_options *, const char *, size_t, keyfob_error *);
    static const setter setters[] = {
        keyfob_options_set_store,      keyfob_options_set_profile,       keyfob_options_set_proxy,
        keyfob_options_set_user_agent, keyfob_options_set_network_id,    keyfob_options_set_api_url,
        keyfob_options_set_auth_url,   keyfob_options_set_token_url,     keyfob_options_set_authorize_url,
        keyfob_options_set_revoke_url, keyfob_options_set_ca_file,
    };
    keyfob_options *options = NULL;
    keyfob_error told;
    size_t count = below(4);
    CHECK(keyfob_options_new(&options, &told) == KEYFOB_OK);
    while (count-- > 0) {
        text value = random_text();
        // The store is the only one that would leave something behind.
        setter set = setters[1 + below(sizeof setters / sizeof *setters - 1)];
        checked(set(options, value.bytes, value.len, &told), &told);
        drop(&value);
    }
    return options;
}

static void log_in(keyfob_client *client) {
    keyfob_login *login = NULL;
    keyfob_error told;
    text scopes = random_text();
    if (checked(keyfob_login_start(client, scopes.bytes, scopes.len, &login, &told), &told) == KEYFOB_OK) {
        text callback = random_text();
        read_into(read_login_url, login);
        // The right `state` is in no random text, so no code is ever sent.
        CHECK(checked(keyfob_login_finish(login, callback.bytes, callback.len, &told), &told) != KEYFOB_OK);
        drop(&callback);
        keyfob_login_free(login);
    } else {
        CHECK(login == NULL);
    }
    drop(&scopes);
}

static void restore(keyfob_client *client) {
    text access = random_text(), refresh = random_text(), scope = random_text();
    keyfob_error told;
    // No expiry: it is not renewed.
    keyfob_token token;
    token.access_token = access.bytes;
    token.access_token_len = access.len;
    token.refresh_token = refresh.bytes;
    token.refresh_token_len = refresh.len;
    token.scope = scope.bytes;
    token.scope_len = scope.len;
    token.expires_at = 0;
    token.obtained_at = (int64_t)dice(8);
    if (checked(keyfob_spacebring_restore(client, &token, &told), &told) == KEYFOB_OK) {
        read_into(read_authorization, client);
        read_into(read_token, client);
    }
    drop(&access);
    drop(&refresh);
    drop(&scope);
}

static int never_read(const char *data, size_t len, void *user) {
    CHECK(data == NULL && len == 0 && user == NULL);
    return 1;
}

// Of a partner that nobody has logged in to.
static void too_early(keyfob_client *client, const text *url) {
    keyfob_error told;
    int http_status = 12345;
    CHECK(checked(keyfob_get(client, url->bytes, url->len, never_read, NULL, &http_status, &told), &told) != KEYFOB_OK);
    CHECK(http_status == 12345);
    CHECK(checked(keyfob_refresh(client, &told), &told) == KEYFOB_LOGIN_REQUIRED);
    CHECK(checked(keyfob_spacebring_revoke(client, &told), &told) == KEYFOB_LOGIN_REQUIRED);
}

static int round_of_calls(const uint8_t *bytes, size_t len) {
    input = bytes;
    left = len;
    keyfob_options *options = below(4) == 0 ? NULL : random_options();
    keyfob_client *client = NULL;
    keyfob_error told;
    text id = random_text(), secret = random_text(), redirect = random_text(), used = random_text();
    size_t kind = below(3);
    keyfob_status status = kind == 0
        ? keyfob_spatiafi_new(id.bytes, id.len, secret.bytes, secret.len, options, &client, &told)
        : kind == 1
        ? keyfob_spacebring_customer_new(id.bytes, id.len, secret.bytes, secret.len, options, &client, &told)
        : keyfob_spacebring_partner_new(id.bytes, id.len, secret.bytes, secret.len, redirect.bytes, redirect.len, options,
                                        &client, &told);
    int made = checked(status, &told) == KEYFOB_OK;
    CHECK(made == (client != NULL));
    keyfob_options_free(options);
    if (made) {
        read_into(read_api_url, client);
        read_into(read_warning, client);
        checked(keyfob_invalidate(client, used.bytes, used.len, &told), &told);
        if (kind == 1) {
            read_into(read_authorization, client);
        }
        if (kind == 2) {
            too_early(client, &used);
            log_in(client);
            restore(client);
        }
    }
    keyfob_client_free(client);
    drop(&id);
    drop(&secret);
    drop(&redirect);
    drop(&used);
    return made;
}

#ifdef FUZZ

// What libfuzzer-sys calls: a slice of bytes is a pointer and a length.
int rust_fuzzer_test_input(const uint8_t *bytes, size_t len);

int rust_fuzzer_test_input(const uint8_t *bytes, size_t len) {
    round_of_calls(bytes, len);
    return 0;
}

#else

int main(void) {
    long rounds = atol(env("ROUNDS")), made = 0, i;
    uint64_t state = (uint64_t)atol(env("SEED")) * 2654435761u + 88172645463325252u;
    uint8_t bytes[512];
    size_t at;
    for (i = 0; i < rounds; i++) {
        for (at = 0; at < sizeof bytes; at++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes[at] = (uint8_t)(state >> 32);
        }
        made += round_of_calls(bytes, sizeof bytes);
    }
    CHECK(made > 0 || rounds < 100);
    printf("random: %ld executions, %ld clients made\n", rounds, made);
    return 0;
}

#endif
