// What is set is used, and the environment only where nothing is set. SILENT is the address of a listener that never answers, TUNNEL
// the URL of a proxy, RECORDER that of a server that says {} to all; who started this looks at what came to them.

#define _POSIX_C_SOURCE 200809L

#include <time.h>

#include "check.h"

#define SECRET "0123456789abcdef0123456789abcdef"

typedef keyfob_status maker(const keyfob_options *options, keyfob_client **out, keyfob_error *error);
typedef keyfob_status setter(keyfob_options *options, const char *value, size_t len, keyfob_error *error);
typedef keyfob_status timer(keyfob_options *options, uint32_t milliseconds, keyfob_error *error);

// A variable that is of no use, and the setting in whose place it stands.
typedef struct {
    maker *make;
    const char *variable, *bad;
    setter *set;
    const char *good;
} overridden;

static void over_the_environment(void) {
    const char *store = env("OTHER_STORE"), *plain = "http://example.com", *url = "https://example.com/path";
    const char *network = "6f1b7c1e-3a52-4c8e-9d0b-2b7f5a4e8c10";
    static char ca_file[4096];
    snprintf(ca_file, sizeof ca_file, "%s", env("KEYFOB_CA_FILE"));
    const overridden all[] = {
        {keyfob_spatiafi_from_env, "KEYFOB_CA_FILE", "/no/such/file", keyfob_options_set_ca_file, ca_file},
        {keyfob_spatiafi_from_env, "KEYFOB_PROXY", "socks5://127.0.0.1:1", keyfob_options_set_proxy, "env"},
        {keyfob_spatiafi_from_env, "HOME", "nowhere", keyfob_options_set_store, store},
        {keyfob_spatiafi_from_env, "KEYFOB_PROFILE", "\xff", keyfob_options_set_profile, "other"},
        {keyfob_spatiafi_from_env, "SPATIAFI_AUTH_URL", plain, keyfob_options_set_auth_url, url},
        {keyfob_spatiafi_from_env, "SPATIAFI_TOKEN_URL", plain, keyfob_options_set_token_url, url},
        {keyfob_spatiafi_from_env, "SPATIAFI_API_URL", plain, keyfob_options_set_api_url, url},
        {keyfob_spacebring_customer_from_env, "KEYFOB_CA_FILE", "/no/such/file", keyfob_options_set_ca_file, ca_file},
        {keyfob_spacebring_customer_from_env, "KEYFOB_PROXY", "socks5://127.0.0.1:1", keyfob_options_set_proxy, "env"},
        {keyfob_spacebring_customer_from_env, "SPACEBRING_NETWORK_ID", "none", keyfob_options_set_network_id, network},
        {keyfob_spacebring_customer_from_env, "SPACEBRING_API_URL", plain, keyfob_options_set_api_url, url},
        {keyfob_spacebring_partner_from_env, "KEYFOB_CA_FILE", "/no/such/file", keyfob_options_set_ca_file, ca_file},
        {keyfob_spacebring_partner_from_env, "KEYFOB_PROXY", "socks5://127.0.0.1:1", keyfob_options_set_proxy, "env"},
        {keyfob_spacebring_partner_from_env, "HOME", "nowhere", keyfob_options_set_store, store},
        {keyfob_spacebring_partner_from_env, "KEYFOB_PROFILE", "\xff", keyfob_options_set_profile, "other"},
        {keyfob_spacebring_partner_from_env, "SPACEBRING_NETWORK_ID", "none", keyfob_options_set_network_id, network},
        {keyfob_spacebring_partner_from_env, "SPACEBRING_API_URL", plain, keyfob_options_set_api_url, url},
        {keyfob_spacebring_partner_from_env, "SPACEBRING_AUTHORIZE_URL", plain, keyfob_options_set_authorize_url, url},
        {keyfob_spacebring_partner_from_env, "SPACEBRING_TOKEN_URL", plain, keyfob_options_set_token_url, url},
        {keyfob_spacebring_partner_from_env, "SPACEBRING_REVOKE_URL", plain, keyfob_options_set_revoke_url, url},
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
        // By itself it is refused: one that is not looked at would prove nothing.
        keyfob_status status = one->make(NULL, &client, &error);
        if (status != KEYFOB_INVALID_INPUT && status != KEYFOB_STORE) {
            fprintf(stderr, "%s=%s: %s\n", one->variable, one->bad, keyfob_status_name(status));
            exit(1);
        }
        // Those that are not from the environment do not ask it.
        OK(keyfob_spatiafi_new(TEXT("id"), TEXT(SECRET), NULL, &client, &error));
        keyfob_client_free(client);
        OK(keyfob_spacebring_customer_new(TEXT("id"), TEXT(SECRET), NULL, &client, &error));
        keyfob_client_free(client);
        OK(keyfob_spacebring_partner_new(TEXT("id"), TEXT(SECRET), TEXT("http://127.0.0.1:0/"), NULL, &client, &error));
        keyfob_client_free(client);
        OK(keyfob_options_new(&options, &error));
        OK(one->set(options, TEXT(one->good), &error));
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

static keyfob_client *with_token_url(const char *scheme, timer *set, uint32_t milliseconds) {
    char url[256];
    keyfob_client *client;
    keyfob_options *options = sandbox_options();
    snprintf(url, sizeof url, "%s://%s/token", scheme, env("SILENT"));
    OK(keyfob_options_set_token_url(options, TEXT(url), &error));
    OK(set(options, milliseconds, &error));
    OK(keyfob_spatiafi_new(TEXT("id"), TEXT(SECRET), options, &client, &error));
    keyfob_options_free(options);
    return client;
}

// Far from the 10, 30 and 60 s of the defaults, and not at once either.
static void in_time(void) {
    char buf[4096], url[256];
    size_t len;
    static gathered body;
    double begun = now();
    keyfob_client *client = with_token_url("http", keyfob_options_set_timeout_ms, 500);
    IS(KEYFOB_TIMEOUT, keyfob_authorization(client, 0, buf, sizeof buf, &len, &error));
    CHECK(now() - begun > 0.4 && now() - begun < 5);
    keyfob_client_free(client);

    // The handshake belongs to it. A connection is tried three times.
    begun = now();
    client = with_token_url("https", keyfob_options_set_connect_timeout_ms, 250);
    IS(KEYFOB_TIMEOUT, keyfob_authorization(client, 0, buf, sizeof buf, &len, &error));
    CHECK(now() - begun > 0.2 && now() - begun < 9);
    keyfob_client_free(client);

    keyfob_options *options = sandbox_options();
    snprintf(url, sizeof url, "http://%s", env("SILENT"));
    OK(keyfob_options_set_api_url(options, TEXT(url), &error));
    OK(keyfob_options_set_get_timeout_ms(options, 500, &error));
    OK(keyfob_spatiafi_new(TEXT(env("SPATIAFI_CLIENT_ID")), TEXT(env("SPATIAFI_CLIENT_SECRET")), options, &client,
                           &error));
    OK(keyfob_authorization(client, 0, buf, sizeof buf, &len, &error));
    begun = now();
    IS(KEYFOB_TIMEOUT, keyfob_get(client, TEXT("/"), gather, &body, NULL, &error));
    CHECK(now() - begun > 0.4 && now() - begun < 5);
    keyfob_client_free(client);
    keyfob_options_free(options);
}

static void through_a_proxy(void) {
    static gathered body;
    keyfob_options *options = sandbox_options();
    OK(keyfob_options_set_proxy(options, TEXT(env("TUNNEL")), &error));
    OK(keyfob_options_set_user_agent(options, TEXT("settings/1"), &error));
    keyfob_client *client = spatiafi(options);
    OK(keyfob_get(client, TEXT("/api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0"), gather, &body, NULL,
                  &error));
    keyfob_client_free(client);
}

static void elsewhere(void) {
    const char *authorize_url = "https://login.example.com/begin?tenant=7";
    char url[4096], recorder[256];
    size_t len;
    keyfob_client *client;
    keyfob_login *login;
    keyfob_options *options = sandbox_options();
    OK(keyfob_options_set_api_url(options, TEXT(env("SPACEBRING_API_URL")), &error));
    OK(keyfob_options_set_authorize_url(options, TEXT(authorize_url), &error));
    snprintf(recorder, sizeof recorder, "%s/end", env("RECORDER"));
    OK(keyfob_options_set_revoke_url(options, TEXT(recorder), &error));
    OK(keyfob_options_set_without_pkce(options, 1, &error));
    OK(keyfob_spacebring_partner_new(TEXT("id"), TEXT("secret"), TEXT("https://app.example.com/callback"), options,
                                     &client, &error));
    OK(keyfob_login_start(client, TEXT("locations.readonly"), &login, &error));
    OK(keyfob_login_url(login, url, sizeof url, &len, &error));
    CHECK(strncmp(url, authorize_url, strlen(authorize_url)) == 0 && strstr(url, "code_challenge") == NULL);
    keyfob_login_free(login);

    keyfob_token token;
    memset(&token, 0, sizeof token);
    token.access_token = "access";
    token.access_token_len = 6;
    token.refresh_token = "refresh";
    token.refresh_token_len = 7;
    OK(keyfob_spacebring_restore(client, &token, &error));
    OK(keyfob_spacebring_revoke(client, &error));
    keyfob_client_free(client);
    keyfob_options_free(options);
}

int main(void) {
    over_the_environment();
    in_time();
    through_a_proxy();
    elsewhere();
    return 0;
}
