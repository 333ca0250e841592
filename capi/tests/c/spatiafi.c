// SpatiaFi through the C interface, against the sandbox.

#define _POSIX_C_SOURCE 200809L

#include <sys/stat.h>

#include "check.h"

typedef struct {
    keyfob_client *client;
    int calls;
    char token[4096];
    size_t token_len;
    int64_t expires_at;
    keyfob_status again;
    keyfob_status beyond;
    keyfob_status got;
} renewals;

// The callback calls the library.
static void on_renewed(const keyfob_token *token, void *user) {
    renewals *seen = (renewals *)user;
    char buf[4096];
    size_t len;
    gathered body;
    seen->calls++;
    CHECK(token->access_token_len < sizeof seen->token);
    memcpy(seen->token, token->access_token, token->access_token_len);
    seen->token_len = token->access_token_len;
    seen->expires_at = token->expires_at;
    CHECK(token->refresh_token == NULL && token->refresh_token_len == 0);
    CHECK(token->obtained_at > 1500000000 && token->obtained_at <= token->expires_at);
    seen->again = keyfob_access_token(seen->client, 0, buf, sizeof buf, &len, NULL);
    CHECK(seen->again != KEYFOB_OK || (len == seen->token_len && memcmp(buf, seen->token, len) == 0));
    // Longer than any token is valid.
    seen->beyond = keyfob_authorization(seen->client, 1000000000, buf, sizeof buf, &len, NULL);
    memset(&body, 0, sizeof body);
    seen->got = get_answer(seen->client, TEXT("/api/info?item_id=x"), gather, &body, NULL, NULL);
}

static void tokens(void) {
    static char value[4096], again[4096];
    size_t len = 12345, needed = 0;
    keyfob_client *client = spatiafi(sandbox_options());

    IS(KEYFOB_BUFFER_TOO_SMALL, keyfob_authorization(client, 60, NULL, 0, &needed, &error));
    OK(keyfob_authorization(client, 60, value, sizeof value, &len, &error));
    CHECK(strncmp(value, "Bearer ", 7) == 0 && strlen(value) == len && needed == len + 1);
    CHECK(strcmp(token_of(client), value + 7) == 0);

    // The buffer has exactly the needed size.
    memset(again, 'x', sizeof again);
    IS(KEYFOB_BUFFER_TOO_SMALL, keyfob_authorization(client, 60, again, needed - 1, &len, &error));
    CHECK(len == needed && again[0] == 'x');
    OK(keyfob_authorization(client, 60, again, needed, &len, &error));
    CHECK(strcmp(value, again) == 0 && len == needed - 1 && again[needed] == 'x');
    IS(KEYFOB_BUFFER_TOO_SMALL, keyfob_access_token(client, 60, again, needed - 8, &len, &error));
    OK(keyfob_access_token(client, 60, again, needed - 7, &len, &error));

    // A refused token is replaced once. NULL stands for the current one.
    OK(keyfob_invalidate(client, TEXT(value), &error));
    const char *second = token_of(client);
    CHECK(strcmp(second, value + 7) != 0);
    OK(keyfob_invalidate(client, TEXT(value), &error));
    OK(keyfob_invalidate(client, TEXT(value + 7), &error));
    CHECK(strcmp(token_of(client), second) == 0);
    OK(keyfob_invalidate(client, NULL, 0, &error));
    const char *third = token_of(client);
    CHECK(strcmp(third, second) != 0);
    OK(keyfob_refresh(client, &error));
    CHECK(strcmp(token_of(client), third) != 0);
    IS(KEYFOB_INVALID_INPUT, keyfob_invalidate(client, TEXT("no token"), &error));

    OK(keyfob_warning(client, value, sizeof value, &len, &error));
    CHECK(len == 0 && value[0] == 0);
    OK(keyfob_api_url(client, value, sizeof value, &len, &error));
    CHECK(strcmp(value, env("SPATIAFI_API_URL")) == 0);
    IS(KEYFOB_INVALID_INPUT, keyfob_revoke(client, &error));
    keyfob_client_free(client);
}

static void a_get(void) {
    static gathered body;
    static char url[512];
    int http_status = -1;
    keyfob_client *client = spatiafi(sandbox_options());
    const char *path = "/api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0";

    OK(get_answer(client, TEXT(path), gather, &body, &http_status, &error));
    CHECK(http_status == 200 && strstr(body.data, "ce-wildfire-risk") != NULL);
    snprintf(url, sizeof url, "%s%s", env("SPATIAFI_API_URL"), path);
    memset(&body, 0, sizeof body);
    OK(get_answer(client, TEXT(url), gather, &body, NULL, &error));
    CHECK(strstr(body.data, "ce-wildfire-risk") != NULL);

    memset(&body, 0, sizeof body);
    IS(KEYFOB_API_STATUS, get_answer(client, TEXT("/no/such/thing"), gather, &body, NULL, &error));
    CHECK(error.http_status == 404 && body.calls == 0);
    OK(get_answer(client, TEXT("/no/such/thing"), gather, &body, &http_status, &error));
    CHECK(http_status == 404 && body.len > 0);

    memset(&body, 0, sizeof body);
    body.stop_at = 1;
    http_status = -1;
    IS(KEYFOB_STOPPED, get_answer(client, TEXT(path), gather, &body, &http_status, &error));
    CHECK(body.calls == 1 && http_status == -1);

    IS(KEYFOB_INVALID_INPUT, get_answer(client, TEXT("http://api.example.com/"), gather, &body, NULL, &error));
    IS(KEYFOB_INVALID_INPUT, get_answer(client, TEXT("ftp://api.example.com/"), gather, &body, NULL, &error));
    IS(KEYFOB_INVALID_INPUT, get_answer(client, TEXT(""), gather, &body, NULL, &error));
    IS(KEYFOB_INVALID_INPUT, get_answer(client, TEXT("/a b\r\nX: y"), gather, &body, NULL, &error));
    IS(KEYFOB_INVALID_INPUT, get_answer(client, TEXT("https://"), gather, &body, NULL, &error));
    keyfob_client_free(client);
}

static void renewed(void) {
    static renewals seen;
    keyfob_options *options = sandbox_options();
    OK(keyfob_options_set_on_renewed(options, on_renewed, &seen, &error));
    keyfob_client *client = spatiafi(options);
    seen.client = client;
    const char *token = token_of(client);
    CHECK(seen.calls == 1 && strlen(token) == seen.token_len && memcmp(token, seen.token, seen.token_len) == 0);
    CHECK(seen.again == KEYFOB_OK && seen.beyond == KEYFOB_OK && seen.got != KEYFOB_TIMEOUT);
    token_of(client);
    CHECK(seen.calls == 1);
    OK(keyfob_refresh(client, &error));
    CHECK(seen.calls == 2);
    keyfob_client_free(client);
}

static void refusals(void) {
    char buf[4096];
    size_t len = 77;
    keyfob_options *options = sandbox_options();
    keyfob_client *client;
    OK(keyfob_spatiafi_new(TEXT(env("SPATIAFI_CLIENT_ID")), TEXT("0123456789abcdef0123456789abcdef-wrong"), options,
                           &client, &error));
    IS(KEYFOB_REFUSED, keyfob_authorization(client, 0, buf, sizeof buf, &len, &error));
    CHECK(error.http_status >= 400 && error.http_status < 500 && len == 77);
    CHECK(strstr(error.message, "0123456789abcdef") == NULL);
    CHECK(keyfob_authorization(client, 0, buf, sizeof buf, &len, NULL) == KEYFOB_REFUSED);
    keyfob_client_free(client);

    // Nothing listens on port 1. Nothing is sent to a URL that is not https.
    OK(keyfob_options_set_text(options, TEXT("token_url"), TEXT("http://127.0.0.1:1/token"), &error));
    OK(keyfob_options_set_number(options, TEXT("timeout_ms"), 500, &error));
    OK(keyfob_options_set_number(options, TEXT("connect_timeout_ms"), 200, &error));
    OK(keyfob_options_set_number(options, TEXT("request_timeout_ms"), 500, &error));
    OK(keyfob_spatiafi_new(TEXT("id"), TEXT("0123456789abcdef0123456789abcdef"), options, &client, &error));
    keyfob_status status = keyfob_authorization(client, 0, buf, sizeof buf, &len, &error);
    CHECK(status == KEYFOB_NETWORK || status == KEYFOB_TIMEOUT);
    keyfob_client_free(client);
    OK(keyfob_options_set_text(options, TEXT("token_url"), TEXT("http://auth.example.com/token"), &error));
    client = (keyfob_client *)buf;
    IS(KEYFOB_INVALID_INPUT,
       keyfob_spatiafi_new(TEXT("id"), TEXT("0123456789abcdef0123456789abcdef"), options, &client, &error));
    CHECK(client == (keyfob_client *)buf);
    OK(keyfob_options_set_text(options, TEXT("token_url"), NULL, 0, &error));
    OK(keyfob_options_set_text(options, TEXT("ca_file"), TEXT("/no/such/file"), &error));
    IS(KEYFOB_INVALID_INPUT,
       keyfob_spatiafi_new(TEXT("id"), TEXT("0123456789abcdef0123456789abcdef"), options, &client, &error));
    keyfob_options_free(options);
}

typedef struct {
    char json[4096];
    int answer;
    int calls;
} saved;

static int save(const char *json, size_t len, void *user) {
    saved *kept = (saved *)user;
    CHECK(len < sizeof kept->json);
    memcpy(kept->json, json, len);
    kept->json[len] = 0;
    kept->calls++;
    return kept->answer;
}

static void logins(void) {
    static saved kept;
    keyfob_client *client = NULL;
    keyfob_options *options = sandbox_options();
    const char *user = env("SPATIAFI_USERNAME"), *password = env("SPATIAFI_PASSWORD");

    IS(KEYFOB_REFUSED, keyfob_spatiafi_login(TEXT(user), TEXT("wrong"), save, &kept, options, &client, &error));
    CHECK(kept.calls == 0 && client == NULL);
    // If a client cannot be made with these settings, no credentials are requested.
    OK(keyfob_options_set_text(options, TEXT("token_url"), TEXT("nowhere"), &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_spatiafi_login(TEXT(user), TEXT(password), save, &kept, options, &client, &error));
    CHECK(error.http_status == 0);
    OK(keyfob_options_set_text(options, TEXT("token_url"), NULL, 0, &error));
    OK(keyfob_spatiafi_login(TEXT(user), TEXT(password), save, &kept, options, &client, &error));
    CHECK(kept.calls == 1 && strstr(kept.json, "client_secret") != NULL);
    token_of(client);
    keyfob_client_free(client);

    client = NULL;
    kept.answer = 1;
    IS(KEYFOB_STORE, keyfob_spatiafi_login(TEXT(user), TEXT(password), save, &kept, options, &client, &error));
    CHECK(kept.calls == 2 && client == NULL);

    // Saves to the file of the official client, and only once.
    OK(keyfob_spatiafi_login(TEXT(user), TEXT(password), NULL, NULL, options, &client, &error));
    keyfob_client_free(client);
    IS(KEYFOB_STORE, keyfob_spatiafi_login(TEXT(user), TEXT(password), NULL, NULL, options, &client, &error));
    keyfob_options_free(options);
}

static void from_env(void) {
    keyfob_client *first, *second;
    OK(keyfob_spatiafi_from_env(NULL, &first, &error));
    const char *token = token_of(first);
    keyfob_client_free(first);
    // The next run finds the token in the store. Another profile does not.
    OK(keyfob_spatiafi_from_env(NULL, &second, &error));
    CHECK(strcmp(token_of(second), token) == 0);
    keyfob_client_free(second);
    keyfob_options *options = sandbox_options();
    OK(keyfob_options_set_text(options, TEXT("profile"), TEXT("other"), &error));
    OK(keyfob_spatiafi_from_env(options, &second, &error));
    CHECK(strcmp(token_of(second), token) != 0);
    keyfob_client_free(second);
    OK(keyfob_options_set_text(options, TEXT("profile"), NULL, 0, &error));
    OK(keyfob_options_set_text(options, TEXT("store"), TEXT(env("OTHER_STORE")), &error));
    OK(keyfob_spatiafi_from_env(options, &second, &error));
    CHECK(strcmp(token_of(second), token) != 0);
    keyfob_client_free(second);
    keyfob_options_free(options);
}

// A client is made by the name of its service, too.
static void by_name(void) {
    keyfob_client *client, *named;
    OK(keyfob_spatiafi_from_env(NULL, &client, &error));
    OK(keyfob_client_from_config(TEXT("spatiafi"), NULL, &named, &error));
    CHECK(strcmp(token_of(named), token_of(client)) == 0);
    keyfob_client_free(client);
    keyfob_client_free(named);
    IS(KEYFOB_INVALID_INPUT, keyfob_client_from_config(TEXT("no-such-service"), NULL, &client, &error));
    CHECK(strstr(error.message, "there is no service `no-such-service`: ") == error.message &&
          strstr(error.message, "known are spatiafi, spacebring") != NULL);
}

// Without a named store and without a home folder, tokens are kept in memory. A URL is never a store.
static void without_a_store(void) {
    static const char *const homes[] = {"nowhere", "/proc", "/dev/null"};
    static const char *const urls[] = {"rediss://user:pl4nted@host", "REDIS+UNIX:///pl4nted", "file:///pl4nted"};
    static char home[4096], warning[4096];
    keyfob_options *options;
    size_t i, len;
    snprintf(home, sizeof home, "%s", env("HOME"));
    for (i = 0; i < sizeof homes / sizeof homes[0]; i++) {
        keyfob_client *client;
        CHECK(setenv("HOME", homes[i], 1) == 0);
        OK(keyfob_spatiafi_from_env(NULL, &client, &error));
        token_of(client);
        OK(keyfob_warning(client, warning, sizeof warning, &len, &error));
        CHECK(strstr(warning, i == 0 ? "there is no home folder" : homes[i]) != NULL);
        CHECK(strchr(warning, '\n') == NULL);
        keyfob_client_free(client);
    }
    CHECK(setenv("HOME", home, 1) == 0);
    OK(keyfob_options_new(&options, &error));
    for (i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        keyfob_client *client;
        OK(keyfob_options_set_text(options, TEXT("store"), TEXT(urls[i]), &error));
        IS(KEYFOB_INVALID_INPUT, keyfob_spatiafi_from_env(options, &client, &error));
        CHECK(strstr(error.message, "the store is a URL") != NULL && strstr(error.message, "pl4nted") == NULL);
        CHECK(setenv("KEYFOB_STORE", urls[i], 1) == 0);
        IS(KEYFOB_INVALID_INPUT, keyfob_spatiafi_from_env(NULL, &client, &error));
        CHECK(strstr(error.message, "KEYFOB_STORE is a URL") != NULL && strstr(error.message, "pl4nted") == NULL);
        CHECK(unsetenv("KEYFOB_STORE") == 0);
    }
    keyfob_options_free(options);
}

// Without the variables, the file of the earlier login is used.
static void from_the_file(void) {
    static char path[4096], warning[4096];
    size_t len;
    keyfob_client *client;
    snprintf(path, sizeof path, "%s/.config/spatiafi/app_credentials.json", env("HOME"));
    CHECK(unsetenv("SPATIAFI_CLIENT_ID") == 0 && unsetenv("SPATIAFI_CLIENT_SECRET") == 0);
    CHECK(chmod(path, 0644) == 0);
    OK(keyfob_spatiafi_from_env(NULL, &client, &error));
    token_of(client);
    OK(keyfob_warning(client, warning, sizeof warning, &len, &error));
    CHECK(strstr(warning, path) != NULL && strstr(warning, "chmod 600") != NULL);
    keyfob_client_free(client);
    CHECK(remove(path) == 0);
    IS(KEYFOB_NO_CREDENTIALS, keyfob_spatiafi_from_env(NULL, &client, &error));
}

int main(void) {
    tokens();
    a_get();
    renewed();
    refusals();
    logins();
    from_env();
    by_name();
    without_a_store();
    from_the_file();
    return 0;
}
