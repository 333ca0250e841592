// Makes calls with random input. As a program it runs ROUNDS rounds; with FUZZ it is the fuzz target `c_abi`.
// Every call must return a described status and change nothing else. Texts and buffers have exactly their
// size, so that a sanitizer or valgrind sees each byte beyond. Nothing is sent, because no client here has
// both a token to renew and a server. No command is run, because `allow_commands` is never set.

#include "check.h"

// The random bytes of a round. Once they are used up, zeros follow.
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

// A text on the heap of exactly its size; sometimes NULL, or one with an impossible length.
typedef struct {
    char *bytes;
    size_t len;
} text;

static text random_text(void) {
    static const char *const likely[] = {
        "http://127.0.0.1:0/callback", "https://app.example/callback", "https://api.example", "http://[::1]:0/", "app:/callback",
        "0f8fad5b-d9cb-469f-a165-70867728950e", "locations.readonly", "a b", "client", "0123456789abcdef0123456789abcdef",
        "client_credentials", "authorization_code", "device_code", "basic", "urn:example:grant", "acme", "spatiafi", "none",
        "client_secret_post", "pkce", "default", "env", "http://proxy.example:3128", "https://app.example/callback?code=a&state=b", "",
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

// The status has a name and a description.
static keyfob_status checked(keyfob_status status, const keyfob_error *error) {
    CHECK(strcmp(keyfob_status_name((int)status), "unknown status") != 0);
    CHECK(status != KEYFOB_PANIC);
    if (status != KEYFOB_OK) {
        CHECK(error->status == status && error->message[0] != 0);
        CHECK(memchr(error->message, 0, sizeof error->message) != NULL);
        CHECK(memchr(error->oauth_error, 0, sizeof error->oauth_error) != NULL);
    }
    return status;
}

typedef keyfob_status (*reader)(void *handle, char *buf, size_t cap, size_t *len, keyfob_error *error);

static keyfob_status read_authorization(void *handle, char *buf, size_t cap, size_t *len, keyfob_error *error) {
    return keyfob_authorization((keyfob_client *)handle, (uint32_t)below(3), buf, cap, len, error);
}

static keyfob_status read_token(void *handle, char *buf, size_t cap, size_t *len, keyfob_error *error) {
    return keyfob_access_token((keyfob_client *)handle, (uint32_t)below(3), buf, cap, len, error);
}

static keyfob_status read_warning(void *handle, char *buf, size_t cap, size_t *len, keyfob_error *error) {
    return keyfob_warning((keyfob_client *)handle, buf, cap, len, error);
}

static keyfob_status read_api_url(void *handle, char *buf, size_t cap, size_t *len, keyfob_error *error) {
    return keyfob_api_url((keyfob_client *)handle, buf, cap, len, error);
}

static keyfob_status read_login_url(void *handle, char *buf, size_t cap, size_t *len, keyfob_error *error) {
    return keyfob_login_url((keyfob_login *)handle, buf, cap, len, error);
}

static keyfob_status read_user_code(void *handle, char *buf, size_t cap, size_t *len, keyfob_error *error) {
    return keyfob_login_user_code((keyfob_login *)handle, buf, cap, len, error);
}

static keyfob_status read_verification_uri(void *handle, char *buf, size_t cap, size_t *len, keyfob_error *error) {
    return keyfob_login_verification_uri((keyfob_login *)handle, buf, cap, len, error);
}

static keyfob_status introspect(void *handle, char *buf, size_t cap, size_t *len, keyfob_error *error) {
    return keyfob_introspect((keyfob_client *)handle, buf, cap, len, error);
}

// Counts down, and ends the call at 0.
static int take_header(const char *name, size_t name_len, const char *value, size_t value_len, void *user) {
    size_t *most = (size_t *)user;
    CHECK(*most > 0 && name != NULL && name_len > 0 && (value != NULL || value_len == 0));
    return --*most == 0;
}

// Returns whether the callback has received as many headers as it accepts.
static keyfob_status read_headers(keyfob_client *client) {
    keyfob_error error;
    size_t most = 1 + below(3);
    keyfob_status status = checked(keyfob_headers(client, (uint32_t)below(3), take_header, &most, &error), &error);
    CHECK((status == KEYFOB_STOPPED) == (most == 0));
    CHECK(checked(keyfob_headers(client, 0, NULL, &most, &error), &error) == KEYFOB_NULL_POINTER);
    return status;
}

static void take_record(int level, const char *text, size_t len, void *user) {
    CHECK(level >= 1 && level <= 4 && text != NULL && memchr(text, 0, len) == NULL && user == &left);
}

// Writes to a buffer that may be too small, and then to one of the requested size.
static void read_into(reader what, void *handle) {
    keyfob_error error;
    size_t cap = below(4) == 0 ? below(400) : below(40), len = 12345, i;
    char *buf = (char *)malloc(cap > 0 ? cap : 1);
    CHECK(buf != NULL);
    memset(buf, 0x55, cap);
    keyfob_status status = checked(what(handle, buf, cap, &len, &error), &error);
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
        CHECK(checked(what(handle, buf, cap, &len, &error), &error) == KEYFOB_OK && len == cap - 1);
        free(buf);
    } else if (status != KEYFOB_OK) {
        CHECK(len == 12345);
    }
}

static keyfob_options *random_options(void) {
    // Only the store would leave a file behind.
    static const char *const keys[] = {
        "profile",  "proxy",     "user_agent",    "network_id",     "api_url", "auth_url",
        "token_url", "authorize_url", "revocation_url", "ca_file", "without", "introspection_url", "client_auth",
        "device_authorization_url", "scope", "redirect_uri", "headers.x-api-key", "headers.X-Api-Key", "headers.",
        "header_files.x-a", "parameters.audience", "parameter_files.a", "client_secret_file", "client_secret_cmd",
        "assertion_file", "client_cert_file", "client_key_file", "auth", "client_secret",
    };
    static const char *const numbers[] = {"connect_timeout_ms", "timeout_ms", "request_timeout_ms", "rate"};
    keyfob_options *options = NULL;
    keyfob_error error;
    size_t count = below(4);
    CHECK(keyfob_options_new(&options, &error) == KEYFOB_OK);
    while (count-- > 0) {
        text value = random_text();
        text key = random_text();
        const char *known = keys[below(sizeof keys / sizeof *keys)];
        checked(keyfob_options_set_text(options, known, strlen(known), value.bytes, value.len, &error), &error);
        checked(keyfob_options_set_text(options, key.bytes, key.len, value.bytes, value.len, &error), &error);
        known = numbers[below(sizeof numbers / sizeof *numbers)];
        checked(keyfob_options_set_number(options, known, strlen(known), ((int64_t)below(3) - 1) * 5000000000, &error), &error);
        checked(keyfob_options_set_number(options, key.bytes, key.len, (int64_t)dice(8), &error), &error);
        checked(keyfob_options_set_flag(options, known, strlen(known), 1, &error), &error);
        CHECK(checked(keyfob_options_set_flag(options, TEXT("allow_commands"), 0, &error), &error) == KEYFOB_OK);
        if (key.len != 14 || key.bytes == NULL || memcmp(key.bytes, "allow_commands", 14) != 0) {
            CHECK(checked(keyfob_options_set_flag(options, key.bytes, key.len, 1, &error), &error) != KEYFOB_OK);
        }
        drop(&key);
        drop(&value);
    }
    return options;
}

// Sets what a service with this grant needs.
static void complete(keyfob_options *options, const char *grant) {
    keyfob_error error;
    const char *own = strcmp(grant, "authorization_code") == 0 ? "authorize_url"
        : strcmp(grant, "device_code") == 0                    ? "device_authorization_url"
                                                               : "api_url";
    CHECK(keyfob_options_set_text(options, TEXT("grant"), TEXT(grant), &error) == KEYFOB_OK);
    CHECK(keyfob_options_set_text(options, TEXT("client_id"), TEXT("id"), &error) == KEYFOB_OK);
    CHECK(keyfob_options_set_text(options, TEXT("client_secret"), TEXT("secret"), &error) == KEYFOB_OK);
    CHECK(keyfob_options_set_text(options, TEXT("api_url"), TEXT("https://api.example"), &error) == KEYFOB_OK);
    CHECK(keyfob_options_set_text(options, TEXT(own), TEXT("https://as.example"), &error) == KEYFOB_OK);
    if (strcmp(grant, "basic") != 0) {
        CHECK(keyfob_options_set_text(options, TEXT("token_url"), TEXT("https://as.example"), &error) == KEYFOB_OK);
    }
}

static void log_in(keyfob_client *client) {
    keyfob_login *login = NULL;
    int is_done = 12345;
    keyfob_error error;
    text scopes = random_text();
    if (checked(keyfob_login_start(client, scopes.bytes, scopes.len, &login, &error), &error) == KEYFOB_OK) {
        text callback = random_text();
        read_into(read_login_url, login);
        read_into(read_user_code, login);
        read_into(read_verification_uri, login);
        CHECK(checked(keyfob_login_poll(login, &is_done, &error), &error) == KEYFOB_INVALID_INPUT && is_done == 12345);
        // No random text contains the right `state`, so no code is ever sent.
        CHECK(checked(keyfob_login_finish(login, callback.bytes, callback.len, &error), &error) != KEYFOB_OK);
        drop(&callback);
        keyfob_login_free(login);
    } else {
        CHECK(login == NULL);
    }
    drop(&scopes);
}

static void restore(keyfob_client *client) {
    text access = random_text(), refresh = random_text(), scope = random_text();
    keyfob_error error;
    // A token without expiry is not renewed.
    keyfob_token token;
    token.access_token = access.bytes;
    token.access_token_len = access.len;
    token.refresh_token = refresh.bytes;
    token.refresh_token_len = refresh.len;
    token.scope = scope.bytes;
    token.scope_len = scope.len;
    token.expires_at = 0;
    token.obtained_at = (int64_t)dice(8) + 1;
    if (checked(keyfob_restore(client, &token, &error), &error) == KEYFOB_OK) {
        read_into(read_authorization, client);
        read_into(read_token, client);
        read_headers(client);
    }
    drop(&access);
    drop(&refresh);
    drop(&scope);
}

static int never_read(const char *data, size_t len, void *user) {
    CHECK(data == NULL && len == 0 && user == NULL);
    return 1;
}

// A partner without a login.
static void too_early(keyfob_client *client, const text *url) {
    keyfob_error error;
    int http_status = 12345;
    text method = random_text(), body = random_text(), type = random_text();
    CHECK(checked(get_answer(client, url->bytes, url->len, never_read, NULL, &http_status, &error), &error) != KEYFOB_OK);
    CHECK(checked(keyfob_request(client, method.bytes, method.len, url->bytes, url->len, body.bytes, body.len, type.bytes,
                                 type.len, never_read, NULL, &http_status, &error), &error) != KEYFOB_OK);
    drop(&method);
    drop(&body);
    drop(&type);
    CHECK(http_status == 12345);
    CHECK(checked(keyfob_refresh(client, &error), &error) == KEYFOB_LOGIN_REQUIRED);
    CHECK(read_headers(client) == KEYFOB_LOGIN_REQUIRED);
}

// Without a token nothing is sent.
static void without_a_token(keyfob_client *client) {
    keyfob_error error;
    keyfob_status status = checked(keyfob_revoke(client, &error), &error);
    CHECK(status == KEYFOB_INVALID_INPUT || status == KEYFOB_LOGIN_REQUIRED || status == KEYFOB_NO_CREDENTIALS);
    read_into(introspect, client);
}

static int round_of_calls(const uint8_t *bytes, size_t len) {
    input = bytes;
    left = len;
    keyfob_options *options = below(4) == 0 ? NULL : random_options();
    keyfob_client *client = NULL;
    keyfob_error error;
    text id = random_text(), secret = random_text(), redirect = random_text(), used = random_text();
    static const char *const grants[] = {"client_credentials", "authorization_code", "device_code", "basic", "urn:a:b"};
    const char *grant = grants[below(sizeof grants / sizeof *grants)];
    text name = random_text();
    size_t kind = below(5), level = below(6);
    // Each callback replaces the one before.
    keyfob_log_fn on_record = below(4) == 0 ? NULL : take_record;
    CHECK((checked(keyfob_set_log((int)level, on_record, &left, &error), &error) == KEYFOB_OK) == (level < 5));
    if (kind > 2 && options != NULL) {
        complete(options, grant);
    }
    if (kind > 2 && below(2) == 0) {
        drop(&name);
        name.bytes = (char *)malloc(name.len = 4);
        CHECK(name.bytes != NULL);
        memcpy(name.bytes, "acme", 4);
    }
    keyfob_status status = kind == 3 ? keyfob_client_new(name.bytes, name.len, options, &client, &error)
        : kind == 4
        ? keyfob_client_from_config(name.bytes, name.len, options, &client, &error)
        : kind == 0
        ? keyfob_spatiafi_new(id.bytes, id.len, secret.bytes, secret.len, options, &client, &error)
        : kind == 1
        ? customer_new(id.bytes, id.len, secret.bytes, secret.len, options, &client, &error)
        : partner_new(id.bytes, id.len, secret.bytes, secret.len, redirect.bytes, redirect.len, options,
                                        &client, &error);
    int made = checked(status, &error) == KEYFOB_OK;
    CHECK(made == (client != NULL));
    keyfob_options_free(options);
    if (made) {
        read_into(read_api_url, client);
        read_into(read_warning, client);
    }
    // A client from the environment may have a store with tokens.
    if (made && kind != 4) {
        int is_own = kind == 3 && name.len == 4 && memcmp(name.bytes, "acme", 4) == 0;
        checked(keyfob_invalidate(client, used.bytes, used.len, &error), &error);
        without_a_token(client);
        if (kind == 1 || (is_own && strcmp(grant, "basic") == 0)) {
            read_into(read_authorization, client);
            read_headers(client);
        }
        if (kind == 2 || (is_own && strcmp(grant, "authorization_code") == 0)) {
            too_early(client, &used);
            log_in(client);
            restore(client);
        }
        if (is_own && strcmp(grant, "device_code") == 0) {
            restore(client);
        }
    }
    CHECK(checked(keyfob_login_poll(NULL, NULL, &error), &error) == KEYFOB_NULL_POINTER);
    keyfob_client_free(client);
    drop(&id);
    drop(&secret);
    drop(&redirect);
    drop(&used);
    drop(&name);
    return made;
}

#ifdef FUZZ

// The function that libfuzzer-sys calls: a slice of bytes is a pointer and a length.
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
