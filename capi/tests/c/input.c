// Every function with every pointer NULL, every length wrong, every text bad: a status, and nothing else is touched.

#include "check.h"

#define SECRET "0123456789abcdef0123456789abcdef"

static void never(const keyfob_token *token, void *user) {
    (void)token;
    (void)user;
    CHECK(0);
}

static int never_saved(const char *json, size_t len, void *user) {
    (void)json;
    (void)len;
    (void)user;
    CHECK(0);
    return 0;
}

static int never_read(const char *data, size_t len, void *user) {
    return never_saved(data, len, user);
}

typedef keyfob_status setter(keyfob_options *options, const char *value, size_t len, keyfob_error *error);

static setter *const SETTERS[] = {
    keyfob_options_set_store,         keyfob_options_set_profile,   keyfob_options_set_ca_file,
    keyfob_options_set_proxy,         keyfob_options_set_user_agent, keyfob_options_set_network_id,
    keyfob_options_set_api_url,       keyfob_options_set_auth_url,  keyfob_options_set_token_url,
    keyfob_options_set_authorize_url, keyfob_options_set_revoke_url,
};

static char HUGE_TEXT[16 * 1024 + 2];

// Calls with a bad text in turn. `not_empty`: an empty one is bad too.
#define BAD_TEXTS(call, not_empty)                                                    \
    do {                                                                              \
        const char *text = NULL;                                                      \
        size_t len = 1;                                                               \
        IS(KEYFOB_NULL_POINTER, call);                                                \
        text = "x";                                                                   \
        len = (size_t)-1;                                                             \
        IS(KEYFOB_INVALID_INPUT, call);                                               \
        len = (size_t)-1 / 2;                                                         \
        IS(KEYFOB_INVALID_INPUT, call);                                               \
        len = 16 * 1024 + 1;                                                          \
        IS(KEYFOB_INVALID_INPUT, call);                                               \
        CHECK(strstr(error.message, "16384") != NULL);                                \
        text = HUGE_TEXT;                                                             \
        IS(KEYFOB_INVALID_INPUT, call);                                               \
        text = "\xff\xfe";                                                            \
        len = 2;                                                                      \
        IS(KEYFOB_INVALID_INPUT, call);                                               \
        CHECK(strstr(error.message, "UTF-8") != NULL);                                \
        if (not_empty) {                                                              \
            text = NULL;                                                              \
            len = 0;                                                                  \
            IS(KEYFOB_INVALID_INPUT, call);                                           \
            text = "x";                                                               \
            IS(KEYFOB_INVALID_INPUT, call);                                           \
            text = "a\0b";                                                            \
            len = 3;                                                                  \
            IS(KEYFOB_INVALID_INPUT, call);                                           \
            text = "a\r\nb";                                                          \
            len = 4;                                                                  \
            IS(KEYFOB_INVALID_INPUT, call);                                           \
        }                                                                             \
    } while (0)

static void options(void) {
    keyfob_options *options;
    size_t i;
    IS(KEYFOB_NULL_POINTER, keyfob_options_new(NULL, &error));
    CHECK(keyfob_options_new(NULL, NULL) == KEYFOB_NULL_POINTER);
    OK(keyfob_options_new(&options, &error));
    for (i = 0; i < sizeof SETTERS / sizeof *SETTERS; i++) {
        IS(KEYFOB_NULL_POINTER, SETTERS[i](NULL, TEXT("x"), &error));
        BAD_TEXTS(SETTERS[i](options, text, len, &error), 0);
        OK(SETTERS[i](options, HUGE_TEXT, 16 * 1024, &error));
        OK(SETTERS[i](options, NULL, 0, &error));
        CHECK(SETTERS[i](options, NULL, 1, NULL) == KEYFOB_NULL_POINTER);
    }
    IS(KEYFOB_NULL_POINTER, keyfob_options_set_timeout_ms(NULL, 1, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_options_set_connect_timeout_ms(NULL, 1, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_options_set_get_timeout_ms(NULL, 1, &error));
    OK(keyfob_options_set_timeout_ms(options, 0xffffffff, &error));
    OK(keyfob_options_set_connect_timeout_ms(options, 0xffffffff, &error));
    OK(keyfob_options_set_get_timeout_ms(options, 0xffffffff, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_options_set_without_state(NULL, 1, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_options_set_without_pkce(NULL, 1, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_options_set_without_redirect_uri(NULL, 1, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_options_set_on_renewed(NULL, never, NULL, &error));
    OK(keyfob_options_set_on_renewed(options, NULL, NULL, &error));
    keyfob_options_free(options);
    keyfob_options_free(NULL);
}

static void clients(void) {
    keyfob_client *const untouched = (keyfob_client *)HUGE_TEXT;
    keyfob_client *out = untouched;
    const keyfob_options *none = NULL;

    BAD_TEXTS(keyfob_spatiafi_new(text, len, TEXT(SECRET), none, &out, &error), 1);
    BAD_TEXTS(keyfob_spatiafi_new(TEXT("id"), text, len, none, &out, &error), 1);
    IS(KEYFOB_NULL_POINTER, keyfob_spatiafi_new(TEXT("id"), TEXT(SECRET), none, NULL, &error));
    // Too short to sign with: refused before anything is sent.
    char buf[64];
    size_t len = 0;
    OK(keyfob_spatiafi_new(TEXT("id"), TEXT("short"), none, &out, &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_authorization(out, 0, buf, sizeof buf, &len, &error));
    keyfob_client_free(out);
    out = untouched;
    IS(KEYFOB_NULL_POINTER, keyfob_spatiafi_from_env(none, NULL, &error));

    BAD_TEXTS(keyfob_spatiafi_login(text, len, TEXT("p"), never_saved, NULL, none, &out, &error), 1);
    BAD_TEXTS(keyfob_spatiafi_login(TEXT("u"), text, len, never_saved, NULL, none, &out, &error), 1);
    IS(KEYFOB_NULL_POINTER, keyfob_spatiafi_login(TEXT("u"), TEXT("p"), never_saved, NULL, none, NULL, &error));

    BAD_TEXTS(keyfob_spacebring_customer_new(text, len, TEXT("s"), none, &out, &error), 1);
    BAD_TEXTS(keyfob_spacebring_customer_new(TEXT("i"), text, len, none, &out, &error), 1);
    IS(KEYFOB_NULL_POINTER, keyfob_spacebring_customer_new(TEXT("i"), TEXT("s"), none, NULL, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_spacebring_customer_from_env(none, NULL, &error));

    const char *at = "http://127.0.0.1:0/";
    BAD_TEXTS(keyfob_spacebring_partner_new(text, len, TEXT("s"), TEXT(at), none, &out, &error), 1);
    BAD_TEXTS(keyfob_spacebring_partner_new(TEXT("i"), text, len, TEXT(at), none, &out, &error), 1);
    BAD_TEXTS(keyfob_spacebring_partner_new(TEXT("i"), TEXT("s"), text, len, none, &out, &error), 1);
    IS(KEYFOB_NULL_POINTER, keyfob_spacebring_partner_new(TEXT("i"), TEXT("s"), TEXT(at), none, NULL, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_spacebring_partner_from_env(none, NULL, &error));
    CHECK(out == untouched);
    CHECK(keyfob_spatiafi_new(NULL, 1, NULL, 1, NULL, NULL, NULL) == KEYFOB_NULL_POINTER);
    keyfob_client_free(NULL);
}

// Settings that make no sense are refused when a client is made.
static void settings(void) {
    static const char *const BAD[] = {"", "a\0b", "a\nb", "http://example.com", "ftp://x", "no url", "https://"};
    keyfob_client *out = NULL;
    size_t i;
    for (i = 1; i < sizeof BAD / sizeof *BAD; i++) {
        size_t len = i == 1 ? 3 : strlen(BAD[i]);
        keyfob_options *options;
        OK(keyfob_options_new(&options, &error));
        OK(keyfob_options_set_auth_url(options, BAD[i], len, &error));
        IS(KEYFOB_INVALID_INPUT, keyfob_spatiafi_new(TEXT("id"), TEXT(SECRET), options, &out, &error));
        OK(keyfob_options_set_auth_url(options, NULL, 0, &error));
        OK(keyfob_options_set_token_url(options, BAD[i], len, &error));
        IS(KEYFOB_INVALID_INPUT, keyfob_spatiafi_new(TEXT("id"), TEXT(SECRET), options, &out, &error));
        IS(KEYFOB_INVALID_INPUT, keyfob_spacebring_partner_new(TEXT("i"), TEXT("s"), TEXT("https://x/"), options, &out, &error));
        OK(keyfob_options_set_token_url(options, NULL, 0, &error));
        OK(keyfob_options_set_api_url(options, BAD[i], len, &error));
        IS(KEYFOB_INVALID_INPUT, keyfob_spatiafi_new(TEXT("id"), TEXT(SECRET), options, &out, &error));
        IS(KEYFOB_INVALID_INPUT, keyfob_spacebring_customer_new(TEXT("i"), TEXT("s"), options, &out, &error));
        OK(keyfob_options_set_api_url(options, NULL, 0, &error));
        OK(keyfob_options_set_network_id(options, BAD[i], len, &error));
        IS(KEYFOB_INVALID_INPUT, keyfob_spacebring_customer_new(TEXT("i"), TEXT("s"), options, &out, &error));
        OK(keyfob_options_set_network_id(options, NULL, 0, &error));
        OK(keyfob_options_set_ca_file(options, BAD[i], len, &error));
        IS(KEYFOB_INVALID_INPUT, keyfob_spatiafi_new(TEXT("id"), TEXT(SECRET), options, &out, &error));
        OK(keyfob_options_set_ca_file(options, NULL, 0, &error));
        OK(keyfob_spacebring_customer_new(TEXT("i"), TEXT("s"), options, &out, &error));
        keyfob_client_free(out);
        out = NULL;
        keyfob_options_free(options);
    }
}

static void handles(void) {
    char buf[64];
    size_t len = 4711;
    int http_status = 4711;
    keyfob_client *client;
    keyfob_login *login, *const untouched = (keyfob_login *)HUGE_TEXT;
    OK(keyfob_spacebring_partner_new(TEXT("i"), TEXT("s"), TEXT("http://127.0.0.1:0/"), NULL, &client, &error));

    IS(KEYFOB_NULL_POINTER, keyfob_authorization(NULL, 0, buf, sizeof buf, &len, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_authorization(client, 0, NULL, sizeof buf, &len, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_authorization(client, 0, buf, sizeof buf, NULL, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_access_token(NULL, 0, buf, sizeof buf, &len, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_access_token(client, 0, NULL, sizeof buf, &len, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_access_token(client, 0, buf, sizeof buf, NULL, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_api_url(NULL, buf, sizeof buf, &len, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_api_url(client, NULL, sizeof buf, &len, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_api_url(client, buf, sizeof buf, NULL, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_warning(NULL, buf, sizeof buf, &len, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_warning(client, NULL, sizeof buf, &len, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_warning(client, buf, sizeof buf, NULL, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_invalidate(NULL, TEXT("x"), &error));
    IS(KEYFOB_NULL_POINTER, keyfob_invalidate(client, NULL, 1, &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_invalidate(client, "x", (size_t)-1, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_refresh(NULL, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_get(NULL, TEXT("/"), never_read, NULL, &http_status, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_get(client, TEXT("/"), NULL, NULL, &http_status, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_get(client, NULL, 1, never_read, NULL, &http_status, &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_get(client, "/", (size_t)-1, never_read, NULL, &http_status, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_spacebring_revoke(NULL, &error));
    keyfob_token token;
    memset(&token, 0, sizeof token);
    IS(KEYFOB_NULL_POINTER, keyfob_spacebring_restore(NULL, &token, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_spacebring_restore(client, NULL, &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_spacebring_restore(client, &token, &error));
    token.access_token_len = 1;
    IS(KEYFOB_NULL_POINTER, keyfob_spacebring_restore(client, &token, &error));
    token.access_token = "a";
    token.refresh_token_len = 1;
    IS(KEYFOB_NULL_POINTER, keyfob_spacebring_restore(client, &token, &error));
    token.refresh_token_len = 0;
    token.scope_len = (size_t)-1;
    IS(KEYFOB_NULL_POINTER, keyfob_spacebring_restore(client, &token, &error));
    token.scope = "a\nb";
    token.scope_len = 3;
    IS(KEYFOB_INVALID_INPUT, keyfob_spacebring_restore(client, &token, &error));
    token.scope_len = 0;
    token.refresh_token = "refresh\n";
    token.refresh_token_len = 8;
    IS(KEYFOB_INVALID_INPUT, keyfob_spacebring_restore(client, &token, &error));
    token.refresh_token_len = 0;
    token.obtained_at = -1;
    IS(KEYFOB_INVALID_INPUT, keyfob_spacebring_restore(client, &token, &error));
    CHECK(strstr(error.message, "obtained_at is -1") != NULL);
    token.obtained_at = 0;
    token.expires_at = INT64_MIN;
    IS(KEYFOB_INVALID_INPUT, keyfob_spacebring_restore(client, &token, &error));
    CHECK(strstr(error.message, "expires_at is -9223372036854775808") != NULL);
    token.expires_at = INT64_MAX;
    keyfob_status status = keyfob_spacebring_restore(client, &token, &error);
    CHECK(status == KEYFOB_OK || status == KEYFOB_INVALID_INPUT);

    login = untouched;
    IS(KEYFOB_NULL_POINTER, keyfob_login_start(NULL, TEXT("a"), &login, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_login_start(client, TEXT("a"), NULL, &error));
    BAD_TEXTS(keyfob_login_start(client, text, len, &login, &error), 0);
    CHECK(login == untouched);
    OK(keyfob_login_start(client, TEXT("a"), &login, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_login_url(NULL, buf, sizeof buf, &len, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_login_url(login, NULL, sizeof buf, &len, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_login_url(login, buf, sizeof buf, NULL, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_login_wait(NULL, 0, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_login_finish(NULL, TEXT("x"), &error));
    IS(KEYFOB_NULL_POINTER, keyfob_login_finish(login, NULL, 1, &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_login_finish(login, "x", (size_t)-1, &error));
    IS(KEYFOB_TIMEOUT, keyfob_login_wait(login, 0, &error));
    keyfob_login_free(login);
    keyfob_login_free(NULL);
    keyfob_client_free(client);
    CHECK(len == 4711 && http_status == 4711);
}

int main(void) {
    memset(HUGE_TEXT, 'x', sizeof HUGE_TEXT - 1);
    options();
    clients();
    settings();
    handles();
    return 0;
}
