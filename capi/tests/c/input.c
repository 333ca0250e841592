// Calls every function with every pointer NULL, every length wrong and every text bad. Each call returns a
// status and changes nothing else.

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

static int never_given(const char *name, size_t name_len, const char *value, size_t value_len, void *user) {
    (void)value;
    (void)value_len;
    return never_saved(name, name_len, user);
}

static void never_logged(int level, const char *text, size_t len, void *user) {
    (void)level;
    never_saved(text, len, user);
}

static int never_read(const char *data, size_t len, void *user) {
    return never_saved(data, len, user);
}

static const char *const KEYS[] = {
    "store",
    "profile",
    "ca_file",
    "proxy",
    "user_agent",
    "grant",
    "client_id",
    "client_secret",
    "client_secret_file",
    "client_secret_cmd",
    "client_auth",
    "assertion_file",
    "issuer",
    "token_url",
    "authorize_url",
    "device_authorization_url",
    "revocation_url",
    "introspection_url",
    "api_url",
    "scope",
    "redirect_uri",
    "parameters.audience",
    "parameter_files.subject_token",
    "headers.x-api-key",
    "header_files.x-api-key",
    "client_cert_file",
    "client_key_file",
    "without",
    "auth_url",
    "auth",
    "network_id",
};

// A value may be a secret: no message shows it.
#define HIDDEN "a-value-that-may-be-secret"

static const char *const NUMBERS[] = {"connect_timeout_ms", "timeout_ms", "request_timeout_ms", "rate"};

// Keys that do not exist, each with the nearest one.
static const char *const UNKNOWN[][2] = {
    {"tokenurl", "token_url"},
    {"revocation-url", "revocation_url"},
    {"API_URL", "api_url"},
    {"user-agent", "user_agent"},
    {"Without", "without"},
    {"introspect_url", "introspection_url"},
    {"client-secret-command", "client_secret_cmd"},
    {"header.x-api-key", "headers"},
    {"Headers.x-api-key", "headers"},
    {"client_id.x", "client_id"},
    {"alow_commands", "allow_commands"},
};

// Tables, whose entries have names.
static const char *const TABLES[] = {"headers", "header_files", "parameters", "parameter_files"};

static char HUGE_TEXT[16 * 1024 + 2];

// Makes the call with each bad text. `not_empty`: an empty text is bad too.
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
    for (i = 0; i < sizeof KEYS / sizeof *KEYS; i++) {
        IS(KEYFOB_NULL_POINTER, keyfob_options_set_text(NULL, TEXT(KEYS[i]), TEXT("x"), &error));
        BAD_TEXTS(keyfob_options_set_text(options, TEXT(KEYS[i]), text, len, &error), 0);
        OK(keyfob_options_set_text(options, TEXT(KEYS[i]), HUGE_TEXT, 16 * 1024, &error));
        OK(keyfob_options_set_text(options, TEXT(KEYS[i]), NULL, 0, &error));
        CHECK(keyfob_options_set_text(options, TEXT(KEYS[i]), NULL, 1, NULL) == KEYFOB_NULL_POINTER);
        IS(KEYFOB_INVALID_INPUT, keyfob_options_set_number(options, TEXT(KEYS[i]), 1, &error));
        CHECK(strstr(error.message, "is a text: set it with keyfob_options_set_text") != NULL);
        CHECK(strstr(error.message, KEYS[i]) != NULL);
        IS(KEYFOB_INVALID_INPUT, keyfob_options_set_flag(options, TEXT(KEYS[i]), 1, &error));
        CHECK(strstr(error.message, "is a text: set it with keyfob_options_set_text") != NULL);
        CHECK(strstr(error.message, KEYS[i]) != NULL);
    }
    BAD_TEXTS(keyfob_options_set_text(options, text, len, TEXT("x"), &error), 1);
    BAD_TEXTS(keyfob_options_set_number(options, text, len, 1, &error), 1);
    BAD_TEXTS(keyfob_options_set_flag(options, text, len, 1, &error), 1);
    IS(KEYFOB_NULL_POINTER, keyfob_options_set_flag(NULL, TEXT("allow_commands"), 1, &error));
    OK(keyfob_options_set_flag(options, TEXT("allow_commands"), -1, &error));
    OK(keyfob_options_set_flag(options, TEXT("allow_commands"), 0, &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_options_set_text(options, TEXT("allow_commands"), TEXT("1"), &error));
    CHECK(strstr(error.message, "allow_commands is a flag: set it with keyfob_options_set_flag") != NULL);
    IS(KEYFOB_INVALID_INPUT, keyfob_options_set_number(options, TEXT("allow_commands"), 1, &error));
    CHECK(strstr(error.message, "allow_commands is a flag: set it with keyfob_options_set_flag") != NULL);
    for (i = 0; i < sizeof TABLES / sizeof *TABLES; i++) {
        IS(KEYFOB_INVALID_INPUT, keyfob_options_set_text(options, TEXT(TABLES[i]), TEXT(HIDDEN), &error));
        CHECK(strstr(error.message, "set ") != NULL && strstr(error.message, TABLES[i]) != NULL);
        CHECK(strstr(error.message, ".NAME") != NULL && strstr(error.message, HIDDEN) == NULL);
    }
    for (i = 0; i < sizeof NUMBERS / sizeof *NUMBERS; i++) {
        IS(KEYFOB_NULL_POINTER, keyfob_options_set_number(NULL, TEXT(NUMBERS[i]), 1, &error));
        OK(keyfob_options_set_number(options, TEXT(NUMBERS[i]), 0xffffffff, &error));
        IS(KEYFOB_INVALID_INPUT, keyfob_options_set_number(options, TEXT(NUMBERS[i]), 0x100000000, &error));
        CHECK(strstr(error.message, "4294967295") != NULL && strstr(error.message, NUMBERS[i]) != NULL);
        IS(KEYFOB_INVALID_INPUT, keyfob_options_set_number(options, TEXT(NUMBERS[i]), -1, &error));
        IS(KEYFOB_INVALID_INPUT, keyfob_options_set_number(options, TEXT(NUMBERS[i]), INT64_MIN, &error));
        IS(KEYFOB_INVALID_INPUT, keyfob_options_set_text(options, TEXT(NUMBERS[i]), TEXT("1"), &error));
        CHECK(strstr(error.message, "is a number: set it with keyfob_options_set_number") != NULL);
        CHECK(strstr(error.message, NUMBERS[i]) != NULL);
        IS(KEYFOB_INVALID_INPUT, keyfob_options_set_flag(options, TEXT(NUMBERS[i]), 1, &error));
        CHECK(strstr(error.message, "is a number: set it with keyfob_options_set_number") != NULL);
        OK(keyfob_options_set_number(options, TEXT(NUMBERS[i]), 0, &error));
    }
    for (i = 0; i < sizeof UNKNOWN / sizeof *UNKNOWN; i++) {
        IS(KEYFOB_INVALID_INPUT, keyfob_options_set_text(options, TEXT(UNKNOWN[i][0]), TEXT("x"), &error));
        CHECK(strstr(error.message, UNKNOWN[i][1]) != NULL);
        IS(KEYFOB_INVALID_INPUT, keyfob_options_set_number(options, TEXT(UNKNOWN[i][0]), 1, &error));
        CHECK(strstr(error.message, UNKNOWN[i][1]) != NULL);
        IS(KEYFOB_INVALID_INPUT, keyfob_options_set_flag(options, TEXT(UNKNOWN[i][0]), 1, &error));
        CHECK(strstr(error.message, UNKNOWN[i][1]) != NULL);
    }
    IS(KEYFOB_INVALID_INPUT, keyfob_options_set_number(options, TEXT("timeout"), 1, &error));
    CHECK(strstr(error.message, "`timeout`") != NULL && strstr(error.message, "timeout_ms") != NULL);
    IS(KEYFOB_NULL_POINTER, keyfob_options_set_on_renewed(NULL, never, NULL, &error));
    OK(keyfob_options_set_on_renewed(options, NULL, NULL, &error));
    keyfob_options_free(options);
    keyfob_options_free(NULL);
}

static void clients(void) {
    keyfob_client *const untouched = (keyfob_client *)HUGE_TEXT;
    keyfob_client *out = untouched;
    keyfob_options *none = NULL;

    BAD_TEXTS(keyfob_spatiafi_new(text, len, TEXT(SECRET), none, &out, &error), 1);
    BAD_TEXTS(keyfob_spatiafi_new(TEXT("id"), text, len, none, &out, &error), 1);
    IS(KEYFOB_NULL_POINTER, keyfob_spatiafi_new(TEXT("id"), TEXT(SECRET), none, NULL, &error));
    // A secret that is too short to sign with is refused.
    IS(KEYFOB_INVALID_INPUT, keyfob_spatiafi_new(TEXT("id"), TEXT("short"), none, &out, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_spatiafi_from_env(none, NULL, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_client_from_config(TEXT("spatiafi"), none, NULL, &error));

    BAD_TEXTS(keyfob_spatiafi_login(text, len, TEXT("p"), never_saved, NULL, none, &out, &error), 1);
    BAD_TEXTS(keyfob_spatiafi_login(TEXT("u"), text, len, never_saved, NULL, none, &out, &error), 1);
    IS(KEYFOB_NULL_POINTER, keyfob_spatiafi_login(TEXT("u"), TEXT("p"), never_saved, NULL, none, NULL, &error));

    BAD_TEXTS(customer_new(text, len, TEXT("s"), none, &out, &error), 0);
    BAD_TEXTS(customer_new(TEXT("i"), text, len, none, &out, &error), 0);
    IS(KEYFOB_NULL_POINTER, customer_new(TEXT("i"), TEXT("s"), none, NULL, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_client_from_config(TEXT("spacebring"), none, NULL, &error));

    const char *at = "http://127.0.0.1:0/";
    BAD_TEXTS(partner_new(text, len, TEXT("s"), TEXT(at), none, &out, &error), 0);
    BAD_TEXTS(partner_new(TEXT("i"), text, len, TEXT(at), none, &out, &error), 0);
    BAD_TEXTS(partner_new(TEXT("i"), TEXT("s"), text, len, none, &out, &error), 0);
    // An empty text is no credential, and control characters are none.
    IS(KEYFOB_NO_CREDENTIALS, customer_new(NULL, 0, TEXT("s"), none, &out, &error));
    IS(KEYFOB_NO_CREDENTIALS, customer_new(TEXT("i"), NULL, 0, none, &out, &error));
    IS(KEYFOB_INVALID_INPUT, customer_new("a\0b", 3, TEXT("s"), none, &out, &error));
    IS(KEYFOB_INVALID_INPUT, customer_new(TEXT("i"), TEXT("a\r\nb"), none, &out, &error));
    IS(KEYFOB_INVALID_INPUT, partner_new(TEXT("i"), "a\0b", 3, TEXT(at), none, &out, &error));
    IS(KEYFOB_INVALID_INPUT, partner_new(TEXT("i"), TEXT("s"), TEXT("http://127.0.0.1:0/\n"), none, &out, &error));
    IS(KEYFOB_INVALID_INPUT, partner_new(TEXT("i"), TEXT("s"), TEXT("x"), none, &out, &error));
    IS(KEYFOB_NULL_POINTER, partner_new(TEXT("i"), TEXT("s"), TEXT(at), none, NULL, &error));
    keyfob_options *wrong;
    OK(keyfob_options_new(&wrong, &error));
    OK(keyfob_options_set_text(wrong, TEXT("without"), TEXT("redirect_uri"), &error));
    IS(KEYFOB_INVALID_INPUT, partner_new(TEXT("i"), TEXT("s"), TEXT(at), wrong, &out, &error));
    CHECK(strstr(error.message, "redirect_uri_in_exchange") != NULL);
    keyfob_options_free(wrong);
    CHECK(out == untouched);
    CHECK(keyfob_spatiafi_new(NULL, 1, NULL, 1, NULL, NULL, NULL) == KEYFOB_NULL_POINTER);
    keyfob_client_free(NULL);
}

// Unusable settings are refused when a client is made.
static void settings(void) {
    static const char *const BAD[] = {"", "a\0b", "a\nb", "http://example.com", "ftp://x", "no url", "https://"};
    keyfob_client *out = NULL;
    size_t i;
    for (i = 1; i < sizeof BAD / sizeof *BAD; i++) {
        size_t len = i == 1 ? 3 : strlen(BAD[i]);
        keyfob_options *options;
        OK(keyfob_options_new(&options, &error));
        OK(keyfob_options_set_text(options, TEXT("auth_url"), BAD[i], len, &error));
        IS(KEYFOB_INVALID_INPUT, keyfob_spatiafi_new(TEXT("id"), TEXT(SECRET), options, &out, &error));
        OK(keyfob_options_set_text(options, TEXT("auth_url"), NULL, 0, &error));
        OK(keyfob_options_set_text(options, TEXT("token_url"), BAD[i], len, &error));
        IS(KEYFOB_INVALID_INPUT, keyfob_spatiafi_new(TEXT("id"), TEXT(SECRET), options, &out, &error));
        IS(KEYFOB_INVALID_INPUT, partner_new(TEXT("i"), TEXT("s"), TEXT("https://x/"), options, &out, &error));
        OK(keyfob_options_set_text(options, TEXT("token_url"), NULL, 0, &error));
        OK(keyfob_options_set_text(options, TEXT("api_url"), BAD[i], len, &error));
        IS(KEYFOB_INVALID_INPUT, keyfob_spatiafi_new(TEXT("id"), TEXT(SECRET), options, &out, &error));
        IS(KEYFOB_INVALID_INPUT, customer_new(TEXT("i"), TEXT("s"), options, &out, &error));
        OK(keyfob_options_set_text(options, TEXT("api_url"), NULL, 0, &error));
        OK(keyfob_options_set_text(options, TEXT("network_id"), BAD[i], len, &error));
        IS(KEYFOB_INVALID_INPUT, customer_new(TEXT("i"), TEXT("s"), options, &out, &error));
        OK(keyfob_options_set_text(options, TEXT("network_id"), NULL, 0, &error));
        OK(keyfob_options_set_text(options, TEXT("ca_file"), BAD[i], len, &error));
        IS(KEYFOB_INVALID_INPUT, keyfob_spatiafi_new(TEXT("id"), TEXT(SECRET), options, &out, &error));
        OK(keyfob_options_set_text(options, TEXT("ca_file"), NULL, 0, &error));
        OK(customer_new(TEXT("i"), TEXT("s"), options, &out, &error));
        keyfob_client_free(out);
        out = NULL;
        keyfob_options_free(options);
    }
}

static keyfob_options *service_options(const char *grant) {
    // The key that only a login has.
    const char *url = strcmp(grant, "authorization_code") == 0 ? "authorize_url" : "device_authorization_url";
    keyfob_options *options;
    OK(keyfob_options_new(&options, &error));
    if (strcmp(grant, "client_credentials") != 0) {
        OK(keyfob_options_set_text(options, TEXT(url), TEXT("https://example.com"), &error));
    }
    OK(keyfob_options_set_text(options, TEXT("token_url"), TEXT("https://example.com"), &error));
    OK(keyfob_options_set_text(options, TEXT("api_url"), TEXT("https://example.com"), &error));
    OK(keyfob_options_set_text(options, TEXT("grant"), TEXT(grant), &error));
    OK(keyfob_options_set_text(options, TEXT("client_id"), TEXT("id"), &error));
    OK(keyfob_options_set_text(options, TEXT("client_secret"), TEXT(HIDDEN), &error));
    return options;
}

// A service that is not built in: each bad value is refused with a message that names the option.
static void services(void) {
    static const struct {
        const char *grant, *key, *value;
    } bad[] = {
        {"client_credentials", "grant", "client-credentials"},
        {"client_credentials", "grant", "urn:ietf:params:oauth:grant-type:device_code"},
        {"client_credentials", "client_auth", "basic"},
        {"client_credentials", "client_auth", "none"},
        {"client_credentials", "assertion_file", "/no/such/file"},
        {"client_credentials", "client_secret_file", "/no/such/file"},
        {"client_credentials", "client_cert_file", "/no/such/file"},
        {"client_credentials", "issuer", "http://example.com"},
        {"client_credentials", "issuer", "https://example.com/?a=b"},
        {"client_credentials", "token_url", "ftp://x"},
        {"client_credentials", "revocation_url", "no url"},
        {"client_credentials", "introspection_url", "https://"},
        {"client_credentials", "api_url", "http://example.com"},
        {"client_credentials", "authorize_url", "https://example.com"},
        {"client_credentials", "without", "pkce"},
        {"client_credentials", "scope", "a\nb"},
        {"client_credentials", "client_id", "a\nb"},
        {"client_credentials", "auth", "basic"},
        {"client_credentials", "auth_url", "https://example.com"},
        {"client_credentials", "network_id", "6f1b7c1e-3a52-4c8e-9d0b-2b7f5a4e8c10"},
        {"client_credentials", "headers.Authorization", HIDDEN},
        {"client_credentials", "headers.Cookie", HIDDEN},
        {"client_credentials", "headers.Proxy-Authorization", HIDDEN},
        {"client_credentials", "headers.no name", HIDDEN},
        {"client_credentials", "headers.", HIDDEN},
        {"client_credentials", "headers.x-a", HIDDEN "\r\nx: y"},
        {"client_credentials", "header_files.x-a", "/no/such/file"},
        {"client_credentials", "parameters.grant_type", HIDDEN},
        {"client_credentials", "parameters.", HIDDEN},
        {"authorization_code", "authorize_url", "http://example.com"},
        {"authorization_code", "redirect_uri", "nowhere"},
        {"authorization_code", "without", "redirect_uri"},
        {"device_code", "device_authorization_url", "http://example.com"},
    };
    static const char *const NAMES[] = {"Acme", "2acme", "a_b", "a b", "-", "token", "services", "keyfob", "\xc3\xa4"};
    keyfob_client *const untouched = (keyfob_client *)HUGE_TEXT;
    keyfob_client *out = untouched;
    size_t i;
    keyfob_options *options = service_options("client_credentials");
    BAD_TEXTS(keyfob_client_new(text, len, options, &out, &error), 0);
    BAD_TEXTS(keyfob_client_from_config(text, len, options, &out, &error), 0);
    IS(KEYFOB_INVALID_INPUT, keyfob_client_new(NULL, 0, options, &out, &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_client_from_config(NULL, 0, options, &out, &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_client_new("a\0b", 3, options, &out, &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_client_new(HUGE_TEXT, 33, options, &out, &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_client_new(TEXT("acme"), NULL, &out, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_client_new(TEXT("acme"), options, NULL, &error));
    CHECK(keyfob_client_new(NULL, 1, NULL, NULL, NULL) == KEYFOB_NULL_POINTER);
    CHECK(keyfob_client_from_config(NULL, 1, NULL, NULL, NULL) == KEYFOB_NULL_POINTER);
    for (i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        IS(KEYFOB_INVALID_INPUT, keyfob_client_new(TEXT(NAMES[i]), options, &out, &error));
        CHECK(strstr(error.message, NAMES[i]) != NULL);
        IS(KEYFOB_INVALID_INPUT, keyfob_client_from_config(TEXT(NAMES[i]), options, &out, &error));
        CHECK(strstr(error.message, NAMES[i]) != NULL);
    }
    // A name of one letter, and one of 32.
    CHECK(out == untouched);
    OK(keyfob_client_new(TEXT("a"), options, &out, &error));
    keyfob_client_free(out);
    OK(keyfob_client_new(HUGE_TEXT, 32, options, &out, &error));
    keyfob_client_free(out);
    // Names of headers do not depend on the case of their letters.
    OK(keyfob_options_set_text(options, TEXT("headers.x-api-key"), TEXT(HIDDEN), &error));
    OK(keyfob_options_set_text(options, TEXT("headers.X-API-Key"), TEXT(HIDDEN), &error));
    out = untouched;
    IS(KEYFOB_INVALID_INPUT, keyfob_client_new(TEXT("acme"), options, &out, &error));
    CHECK(strstr(error.message, "the option headers.X-API-Key is set twice") != NULL);
    CHECK(strstr(error.message, HIDDEN) == NULL);
    keyfob_options_free(options);
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        options = service_options(bad[i].grant);
        OK(keyfob_options_set_text(options, TEXT(bad[i].key), TEXT(bad[i].value), &error));
        keyfob_status status = keyfob_client_new(TEXT("acme"), options, &out, &error);
        if ((status != KEYFOB_INVALID_INPUT && status != KEYFOB_STORE) || strstr(error.message, bad[i].key) == NULL ||
            strstr(error.message, "the option ") == NULL || strstr(error.message, HIDDEN) != NULL ||
            strstr(error.message, "call `") != NULL) {
            fprintf(stderr, "%s: %s: %s\n", bad[i].key, keyfob_status_name(status), error.message);
            exit(1);
        }
        keyfob_options_free(options);
    }
    CHECK(out == untouched);
}

static void log_callback(void) {
    static const int LEVELS[] = {-1, 5, 2147483647, -2147483647 - 1};
    size_t i;
    for (i = 0; i < sizeof LEVELS / sizeof *LEVELS; i++) {
        IS(KEYFOB_INVALID_INPUT, keyfob_set_log(LEVELS[i], never_logged, NULL, &error));
        IS(KEYFOB_INVALID_INPUT, keyfob_set_log(LEVELS[i], NULL, NULL, &error));
        CHECK(strstr(error.message, "level") != NULL);
        CHECK(keyfob_set_log(LEVELS[i], NULL, NULL, NULL) == KEYFOB_INVALID_INPUT);
    }
    OK(keyfob_set_log(4, NULL, NULL, &error));
}

static void handles(void) {
    size_t i;
    char buf[64];
    size_t len = 4711;
    int http_status = 4711;
    keyfob_client *client;
    keyfob_login *login, *const untouched = (keyfob_login *)HUGE_TEXT;
    OK(partner_new(TEXT("i"), TEXT("s"), TEXT("http://127.0.0.1:0/"), NULL, &client, &error));

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
    IS(KEYFOB_NULL_POINTER, get_answer(NULL, TEXT("/"), never_read, NULL, &http_status, &error));
    IS(KEYFOB_NULL_POINTER, get_answer(client, TEXT("/"), NULL, NULL, &http_status, &error));
    IS(KEYFOB_NULL_POINTER, get_answer(client, NULL, 1, never_read, NULL, &http_status, &error));
    IS(KEYFOB_INVALID_INPUT, get_answer(client, "/", (size_t)-1, never_read, NULL, &http_status, &error));
    BAD_TEXTS(keyfob_request(client, text, len, TEXT("/"), NULL, 0, NULL, 0, never_read, NULL, &http_status, &error), 1);
    BAD_TEXTS(keyfob_request(client, "GET", 3, text, len, NULL, 0, NULL, 0, never_read, NULL, &http_status, &error), 1);
    BAD_TEXTS(keyfob_request(client, "PUT", 3, "ftp://x", 7, NULL, 0, text, len, never_read, NULL, &http_status, &error), 0);
    IS(KEYFOB_NULL_POINTER,
       keyfob_request(client, "PUT", 3, TEXT("/"), NULL, 1, NULL, 0, never_read, NULL, &http_status, &error));
    IS(KEYFOB_INVALID_INPUT,
       keyfob_request(client, "PUT", 3, TEXT("/"), "x", (size_t)-1, NULL, 0, never_read, NULL, &http_status, &error));
    static const char *const METHODS[] = {"CONNECT", "G T", "GET\r\nX: y", "GÉT", "(GET)"};
    for (i = 0; i < sizeof METHODS / sizeof *METHODS; i++) {
        IS(KEYFOB_INVALID_INPUT, keyfob_request(client, TEXT(METHODS[i]), TEXT("/"), NULL, 0, NULL, 0, never_read, NULL,
                                                &http_status, &error));
        CHECK(strstr(error.message, "method") != NULL);
    }
    IS(KEYFOB_INVALID_INPUT, keyfob_request(client, TEXT("PUT"), TEXT("/"), "{}", 2, TEXT("text/plain\r\nX: y"), never_read,
                                            NULL, &http_status, &error));
    CHECK(strstr(error.message, "content type") != NULL);
    IS(KEYFOB_NULL_POINTER, keyfob_revoke(NULL, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_headers(NULL, 0, never_given, NULL, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_headers(client, 0, NULL, NULL, &error));
    IS(KEYFOB_LOGIN_REQUIRED, keyfob_headers(client, 0, never_given, NULL, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_introspect(NULL, buf, sizeof buf, &len, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_introspect(client, NULL, sizeof buf, &len, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_introspect(client, buf, sizeof buf, NULL, &error));
    keyfob_token token;
    memset(&token, 0, sizeof token);
    IS(KEYFOB_NULL_POINTER, keyfob_restore(NULL, &token, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_restore(client, NULL, &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_restore(client, &token, &error));
    token.access_token_len = 1;
    IS(KEYFOB_NULL_POINTER, keyfob_restore(client, &token, &error));
    token.access_token = "a";
    token.refresh_token_len = 1;
    IS(KEYFOB_NULL_POINTER, keyfob_restore(client, &token, &error));
    token.refresh_token_len = 0;
    token.scope_len = (size_t)-1;
    IS(KEYFOB_NULL_POINTER, keyfob_restore(client, &token, &error));
    token.scope = "a\nb";
    token.scope_len = 3;
    IS(KEYFOB_INVALID_INPUT, keyfob_restore(client, &token, &error));
    static const char *const unfit[] = {"a\xc2\x9b" "b", "a\xe2\x80\xae" "b", "a\xe2\x80\xa8" "b", "a\xd8\x9c" "b"};
    for (size_t i = 0; i < sizeof unfit / sizeof *unfit; i++) {
        token.scope = unfit[i];
        token.scope_len = strlen(unfit[i]);
        IS(KEYFOB_INVALID_INPUT, keyfob_restore(client, &token, &error));
        CHECK(strstr(error.message, "the scope holds a c") != NULL);
    }
    token.scope_len = 0;
    token.refresh_token = "refresh\n";
    token.refresh_token_len = 8;
    IS(KEYFOB_INVALID_INPUT, keyfob_restore(client, &token, &error));
    token.refresh_token_len = 0;
    token.obtained_at = -1;
    IS(KEYFOB_INVALID_INPUT, keyfob_restore(client, &token, &error));
    CHECK(strstr(error.message, "obtained_at is -1") != NULL);
    token.obtained_at = 0;
    IS(KEYFOB_INVALID_INPUT, keyfob_restore(client, &token, &error));
    CHECK(strstr(error.message, "obtained_at is not set") != NULL);
    token.obtained_at = 1;
    token.expires_at = INT64_MIN;
    IS(KEYFOB_INVALID_INPUT, keyfob_restore(client, &token, &error));
    CHECK(strstr(error.message, "expires_at is -9223372036854775808") != NULL);
    token.expires_at = INT64_MAX;
    keyfob_status status = keyfob_restore(client, &token, &error);
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
    IS(KEYFOB_NULL_POINTER, keyfob_login_one_time_url(NULL, buf, sizeof buf, &len, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_login_one_time_url(login, NULL, sizeof buf, &len, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_login_one_time_url(login, buf, sizeof buf, NULL, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_login_user_code(NULL, buf, sizeof buf, &len, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_login_user_code(login, NULL, sizeof buf, &len, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_login_user_code(login, buf, sizeof buf, NULL, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_login_verification_uri(NULL, buf, sizeof buf, &len, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_login_verification_uri(login, NULL, sizeof buf, &len, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_login_verification_uri(login, buf, sizeof buf, NULL, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_login_poll(NULL, &http_status, &error));
    IS(KEYFOB_NULL_POINTER, keyfob_login_poll(login, NULL, &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_login_poll(login, &http_status, &error));
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
    services();
    log_callback();
    handles();
    return 0;
}
