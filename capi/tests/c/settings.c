// Every option has its effect, and a variable counts only if the option was not set. SILENT is the address
// of a listener that never answers, TUNNEL the URL of a proxy, PROXIED_AUTH_URL and PROXIED_API_URL those of the
// sandbox through it, and RECORDER the URL of a server that answers
// {}. The program that started this one checks which requests arrived there.

#define _POSIX_C_SOURCE 200809L

#include <time.h>

#include "check.h"

#define SECRET "0123456789abcdef0123456789abcdef"

typedef keyfob_status maker(const keyfob_options *options, keyfob_client **out, keyfob_error *error);

// A variable with an unusable value, and the option that replaces it.
typedef struct {
    maker *make;
    const char *variable, *bad;
    const char *key, *good;
} overridden;

static keyfob_status customer_from_env(const keyfob_options *options, keyfob_client **out, keyfob_error *error_of) {
    CHECK(setenv("SPACEBRING_AUTH", "basic", 1) == 0);
    return keyfob_client_from_config(TEXT("spacebring"), options, out, error_of);
}

static keyfob_status partner_from_env(const keyfob_options *options, keyfob_client **out, keyfob_error *error_of) {
    CHECK(setenv("SPACEBRING_AUTH", "oauth2", 1) == 0);
    return keyfob_client_from_config(TEXT("spacebring"), options, out, error_of);
}

static void over_the_environment(void) {
    const char *store = env("OTHER_STORE"), *plain = "http://example.com", *url = "https://example.com/path";
    const char *network = "6f1b7c1e-3a52-4c8e-9d0b-2b7f5a4e8c10";
    static char ca_file[4096];
    snprintf(ca_file, sizeof ca_file, "%s", env("KEYFOB_CA_FILE"));
    const overridden all[] = {
        {keyfob_spatiafi_from_env, "KEYFOB_CA_FILE", "/no/such/file", "ca_file", ca_file},
        {keyfob_spatiafi_from_env, "KEYFOB_PROXY", "socks5://127.0.0.1:1", "proxy", "env"},
        {keyfob_spatiafi_from_env, "KEYFOB_STORE", "redis://host", "store", store},
        {keyfob_spatiafi_from_env, "KEYFOB_PROFILE", "\xff", "profile", "other"},
        {keyfob_spatiafi_from_env, "SPATIAFI_AUTH_URL", plain, "auth_url", url},
        {keyfob_spatiafi_from_env, "SPATIAFI_TOKEN_URL", plain, "token_url", url},
        {keyfob_spatiafi_from_env, "SPATIAFI_API_URL", plain, "api_url", url},
        {customer_from_env, "KEYFOB_CA_FILE", "/no/such/file", "ca_file", ca_file},
        {customer_from_env, "KEYFOB_PROXY", "socks5://127.0.0.1:1", "proxy", "env"},
        {customer_from_env, "SPACEBRING_NETWORK_ID", "none", "network_id", network},
        {customer_from_env, "SPACEBRING_API_URL", plain, "api_url", url},
        {partner_from_env, "KEYFOB_CA_FILE", "/no/such/file", "ca_file", ca_file},
        {partner_from_env, "KEYFOB_PROXY", "socks5://127.0.0.1:1", "proxy", "env"},
        {partner_from_env, "HOME", "nowhere", "store", store},
        {partner_from_env, "KEYFOB_PROFILE", "\xff", "profile", "other"},
        {partner_from_env, "SPACEBRING_NETWORK_ID", "none", "network_id", network},
        {partner_from_env, "SPACEBRING_API_URL", plain, "api_url", url},
        {partner_from_env, "SPACEBRING_AUTHORIZE_URL", plain, "authorize_url", url},
        {partner_from_env, "SPACEBRING_TOKEN_URL", plain, "token_url", url},
        {partner_from_env, "SPACEBRING_REVOKE_URL", plain, "revocation_url", url},
    };
    size_t i;
    for (i = 0; i < sizeof all / sizeof all[0]; i++) {
        const overridden *one = &all[i];
        char before[4096] = "";
        keyfob_client *client;
        keyfob_options *options;
        if (getenv(one->variable) != NULL) {
            snprintf(before, sizeof before, "%s", env(one->variable));
        }
        CHECK(setenv(one->variable, one->bad, 1) == 0);
        // The variable alone is refused. Otherwise this would not prove that the option replaces it.
        keyfob_status status = one->make(NULL, &client, &error);
        if (status != KEYFOB_INVALID_INPUT && status != KEYFOB_STORE) {
            fprintf(stderr, "%s=%s: %s\n", one->variable, one->bad, keyfob_status_name(status));
            exit(1);
        }
        // Clients that are not made from the environment do not read it.
        OK(keyfob_spatiafi_new(TEXT("id"), TEXT(SECRET), NULL, &client, &error));
        keyfob_client_free(client);
        OK(customer_new(TEXT("id"), TEXT(SECRET), NULL, &client, &error));
        keyfob_client_free(client);
        OK(partner_new(TEXT("id"), TEXT(SECRET), TEXT("http://127.0.0.1:0/"), NULL, &client, &error));
        keyfob_client_free(client);
        OK(keyfob_options_new(&options, &error));
        OK(keyfob_options_set_text(options, TEXT(one->key), TEXT(one->good), &error));
        status = one->make(options, &client, &error);
        if (status != KEYFOB_OK) {
            fprintf(stderr, "%s=%s, overridden: %s\n", one->variable, one->bad, error.message);
            exit(1);
        }
        keyfob_client_free(client);
        keyfob_options_free(options);
        CHECK(setenv(one->variable, before, 1) == 0);
    }
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static keyfob_client *with_token_url(const char *scheme, const char *key, int64_t milliseconds) {
    char url[256];
    keyfob_client *client;
    keyfob_options *options = sandbox_options();
    snprintf(url, sizeof url, "%s://%s/token", scheme, env("SILENT"));
    OK(keyfob_options_set_text(options, TEXT("token_url"), TEXT(url), &error));
    OK(keyfob_options_set_number(options, TEXT(key), milliseconds, &error));
    OK(keyfob_spatiafi_new(TEXT("id"), TEXT(SECRET), options, &client, &error));
    keyfob_options_free(options);
    return client;
}

// Far below the defaults of 10, 30 and 60 s, but not immediate either.
static void in_time(void) {
    char buf[4096], url[256];
    size_t len;
    static gathered body;
    double begun = now();
    keyfob_client *client = with_token_url("http", "timeout_ms", 500);
    IS(KEYFOB_TIMEOUT, keyfob_authorization(client, 0, buf, sizeof buf, &len, &error));
    CHECK(now() - begun > 0.4 && now() - begun < 5);
    keyfob_client_free(client);

    // The connect timeout covers the TLS handshake. A connection is tried three times.
    begun = now();
    client = with_token_url("https", "connect_timeout_ms", 250);
    IS(KEYFOB_TIMEOUT, keyfob_authorization(client, 0, buf, sizeof buf, &len, &error));
    CHECK(now() - begun > 0.2 && now() - begun < 9);
    keyfob_client_free(client);

    keyfob_options *options = sandbox_options();
    snprintf(url, sizeof url, "http://%s", env("SILENT"));
    OK(keyfob_options_set_text(options, TEXT("api_url"), TEXT(url), &error));
    OK(keyfob_options_set_number(options, TEXT("request_timeout_ms"), 500, &error));
    OK(keyfob_spatiafi_new(TEXT(env("SPATIAFI_CLIENT_ID")), TEXT(env("SPATIAFI_CLIENT_SECRET")), options, &client,
                           &error));
    OK(keyfob_authorization(client, 0, buf, sizeof buf, &len, &error));
    begun = now();
    IS(KEYFOB_TIMEOUT, get_answer(client, TEXT("/"), gather, &body, NULL, &error));
    CHECK(now() - begun > 0.4 && now() - begun < 5);
    keyfob_client_free(client);
    keyfob_options_free(options);
}

static void through_a_proxy(void) {
    static gathered body;
    keyfob_client *client;
    char ca_file[4096];
    // Addresses that are none of loopback, which never has a proxy.
    CHECK(setenv("SPATIAFI_AUTH_URL", env("PROXIED_AUTH_URL"), 1) == 0);
    CHECK(setenv("SPATIAFI_API_URL", env("PROXIED_API_URL"), 1) == 0);
    keyfob_options *options = sandbox_options();
    OK(keyfob_options_set_text(options, TEXT("proxy"), TEXT(env("TUNNEL")), &error));
    OK(keyfob_options_set_text(options, TEXT("user_agent"), TEXT("settings/1"), &error));
    client = spatiafi(options);
    OK(get_answer(client, TEXT("/api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0"), gather, &body, NULL,
                  &error));
    keyfob_client_free(client);

    // The environment's proxy and the system's authorities are the defaults of a client that is made from it.
    snprintf(ca_file, sizeof ca_file, "%s", env("KEYFOB_CA_FILE"));
    CHECK(unsetenv("KEYFOB_PROXY") == 0 && unsetenv("KEYFOB_CA_FILE") == 0);
    CHECK(setenv("HTTPS_PROXY", env("TUNNEL"), 1) == 0 && setenv("SSL_CERT_FILE", ca_file, 1) == 0);
    OK(keyfob_spatiafi_from_env(NULL, &client, &error));
    OK(get_answer(client, TEXT("/api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0"), gather, &body, NULL,
                  &error));
    keyfob_client_free(client);
    CHECK(unsetenv("HTTPS_PROXY") == 0 && setenv("KEYFOB_CA_FILE", ca_file, 1) == 0);
}

// Another origin receives no request at all.
static void to_another_origin(void) {
    static gathered body;
    char url[256];
    keyfob_client *client = spatiafi(sandbox_options());
    snprintf(url, sizeof url, "%s/other", env("RECORDER"));
    IS(KEYFOB_INVALID_INPUT, get_answer(client, TEXT(url), gather, &body, NULL, &error));
    CHECK(strstr(error.message, env("RECORDER")) != NULL && strstr(error.message, env("SPATIAFI_API_URL")) != NULL);
    keyfob_client_free(client);
}

// The recorder counts as a second origin of the API.
static keyfob_client *recorded(void) {
    keyfob_options *options = sandbox_options();
    OK(keyfob_options_set_text(options, TEXT("api_url"), TEXT(env("RECORDER")), &error));
    return spatiafi(options);
}

// What was passed arrives: the method, the body with any bytes, and its type.
static void with_a_body(void) {
    static const struct {
        const char *method, *body;
        size_t len;
        const char *type;
    } all[] = {
        {"POST", "{\"a\":1}", 7, "application/json"},
        {"PUT", "a\0b\xff", 4, "application/octet-stream"},
        {"PATCH", "", 0, NULL},
        {"DELETE", NULL, 0, NULL},
        {"REPORT", "<x/>", 4, "text/xml"},
    };
    static char long_body[100000];
    static gathered body;
    char url[256];
    size_t i;
    int http_status = -1;
    keyfob_client *client = recorded();
    memset(long_body, 'x', sizeof long_body);
    for (i = 0; i < sizeof all / sizeof all[0]; i++) {
        const char *type = all[i].type;
        snprintf(url, sizeof url, "%s/body", env("RECORDER"));
        OK(keyfob_request(client, TEXT(all[i].method), TEXT(url), all[i].body, all[i].len, type,
                          type == NULL ? 0 : strlen(type), gather, &body, &http_status, &error));
        CHECK(http_status == 200);
    }
    OK(keyfob_request(client, TEXT("POST"), TEXT(url), long_body, sizeof long_body, NULL, 0, gather, &body, NULL, &error));
    keyfob_client_free(client);
}

static void elsewhere(void) {
    const char *authorize_url = "https://login.example.com/begin?tenant=7";
    char url[4096], recorder[256];
    size_t len;
    keyfob_client *client;
    keyfob_login *login;
    keyfob_options *options = trusting_options();
    OK(keyfob_options_set_text(options, TEXT("api_url"), TEXT(env("SPACEBRING_API_URL")), &error));
    OK(keyfob_options_set_text(options, TEXT("authorize_url"), TEXT(authorize_url), &error));
    snprintf(recorder, sizeof recorder, "%s/end", env("RECORDER"));
    OK(keyfob_options_set_text(options, TEXT("revocation_url"), TEXT(recorder), &error));
    OK(keyfob_options_set_text(options, TEXT("without"), TEXT("pkce"), &error));
    OK(partner_new(TEXT("id"), TEXT("secret"), TEXT("https://app.example.com/callback"), options,
                                     &client, &error));
    OK(keyfob_login_start(client, TEXT("locations.readonly"), &login, &error));
    OK(keyfob_login_url(login, url, sizeof url, &len, &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_login_one_time_url(login, url, 0, &len, &error));
    CHECK(strncmp(url, authorize_url, strlen(authorize_url)) == 0 && strstr(url, "code_challenge") == NULL);
    keyfob_login_free(login);

    keyfob_token token;
    memset(&token, 0, sizeof token);
    token.access_token = "access";
    token.access_token_len = 6;
    token.refresh_token = "refresh";
    token.refresh_token_len = 7;
    token.obtained_at = 1;
    OK(keyfob_restore(client, &token, &error));
    OK(keyfob_revoke(client, &error));
    keyfob_client_free(client);
    keyfob_options_free(options);
}

// An option that a client does not have is refused when the client is made, with the nearest one that it has.
static void that_do_not_fit(void) {
    static const struct {
        const char *client, *key, *value, *nearest;
    } all[] = {
        {"spatiafi", "network_id", "6f1b7c1e-3a52-4c8e-9d0b-2b7f5a4e8c10", "is client_id"},
        {"spatiafi", "authorize_url", "https://x/", "is auth_url"},
        {"spatiafi", "without", "pkce", "is auth_url"},
        {"customer", "token_url", "https://x/", "is api_url"},
        {"customer", "without", "state", "is rate"},
        {"partner", "auth_url", "https://x/", "is api_url"},
    };
    keyfob_client *const untouched = (keyfob_client *)&error;
    keyfob_client *client = untouched;
    size_t i;
    for (i = 0; i < sizeof all / sizeof all[0]; i++) {
        const char *key = all[i].key;
        keyfob_options *options;
        OK(keyfob_options_new(&options, &error));
        OK(keyfob_options_set_text(options, TEXT(key), TEXT(all[i].value), &error));
        if (strcmp(all[i].client, "spatiafi") == 0) {
            IS(KEYFOB_INVALID_INPUT, keyfob_spatiafi_new(TEXT("id"), TEXT(SECRET), options, &client, &error));
        } else if (strcmp(all[i].client, "customer") == 0) {
            IS(KEYFOB_INVALID_INPUT, customer_new(TEXT("i"), TEXT("s"), options, &client, &error));
        } else {
            IS(KEYFOB_INVALID_INPUT,
               partner_new(TEXT("i"), TEXT("s"), TEXT("http://127.0.0.1:0/"), options, &client, &error));
        }
        if (strstr(error.message, key) == NULL || strstr(error.message, all[i].nearest) == NULL ||
            strstr(error.message, "has no effect") == NULL) {
            fprintf(stderr, "%s: %s\n", key, error.message);
            exit(1);
        }
        CHECK(client == untouched);
        keyfob_options_free(options);
    }
}

int main(void) {
    that_do_not_fit();
    over_the_environment();
    in_time();
    through_a_proxy();
    to_another_origin();
    with_a_body();
    elsewhere();
    return 0;
}
