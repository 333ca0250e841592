// A service that is not built in, against the sandbox's Acme: from options, from the environment and from a
// file. A line "approve CODE", "deny CODE", "browser URL" or "end" on standard output asks for a person, who
// answers with an empty line once it is done. "paste URL" is answered with the address of the callback.
// RECORDER is the URL of a server that answers everything with a token, and ASSERTION a file with a JWT.

#define _POSIX_C_SOURCE 200809L

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

// The longest wait for a person, in milliseconds. Valgrind is slow.
#define LONG 60000

#define KEY "key-of-the-api-4711"

static char issuer[256], token_url[300], api_url[256], id[256], secret[256];

static void ask(const char *what, const char *of, char *answer, size_t size) {
    printf("%s %s\n", what, of);
    fflush(stdout);
    CHECK(fgets(answer, (int)size, stdin) != NULL);
    answer[strcspn(answer, "\n")] = 0;
}

static void asked(const char *what, const char *of) {
    char answer[8];
    ask(what, of, answer, sizeof answer);
}

// Takes a variable away, so that only options and what a test sets count.
static void take(const char *name, char *place, size_t size) {
    snprintf(place, size, "%s", env(name));
    CHECK(unsetenv(name) == 0);
}

static const char *in_home(const char *name) {
    static char places[4][4096];
    static int turn;
    char *place = places[turn++ % 4];
    snprintf(place, sizeof places[0], "%s/%s", env("HOME"), name);
    return place;
}

static void write_file(const char *path, const char *text, unsigned mode) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    CHECK(fchmod(fd, (mode_t)mode) == 0 && close(fd) == 0);
}

static void set(keyfob_options *options, const char *key, const char *value) {
    OK(keyfob_options_set_text(options, TEXT(key), TEXT(value), &error));
}

static keyfob_options *only_grant(const char *grant) {
    keyfob_options *options = trusting_options();
    set(options, "grant", grant);
    return options;
}

// All that a client with this grant needs.
static keyfob_options *acme(const char *grant) {
    keyfob_options *options = only_grant(grant);
    set(options, "issuer", issuer);
    set(options, "api_url", api_url);
    set(options, "client_id", id);
    set(options, "client_secret", secret);
    set(options, "redirect_uri", strcmp(grant, "authorization_code") == 0 ? "http://127.0.0.1:0/callback" : "");
    return options;
}

// Makes a client and frees the options.
static keyfob_client *made(keyfob_options *options) {
    keyfob_client *client;
    OK(keyfob_client_new(TEXT("acme"), options, &client, &error));
    keyfob_options_free(options);
    return client;
}

static keyfob_client *configured(keyfob_options *options) {
    keyfob_client *client;
    OK(keyfob_client_from_config(TEXT("acme"), options, &client, &error));
    keyfob_options_free(options);
    return client;
}

// The client cannot be made, for a reason with this text.
static void refused(keyfob_status expected, int from_config, keyfob_options *options, const char *text) {
    keyfob_client *const untouched = (keyfob_client *)&error;
    keyfob_client *client = untouched;
    if (from_config) {
        IS(expected, keyfob_client_from_config(TEXT("acme"), options, &client, &error));
    } else {
        IS(expected, keyfob_client_new(TEXT("acme"), options, &client, &error));
    }
    if (strstr(error.message, text) == NULL) {
        fprintf(stderr, "not \"%s\": %s\n", text, error.message);
        exit(1);
    }
    CHECK(client == untouched && strstr(error.message, secret) == NULL);
    keyfob_options_free(options);
}

static void lists(keyfob_client *client) {
    static gathered body;
    memset(&body, 0, sizeof body);
    OK(get_answer(client, TEXT("/things"), gather, &body, NULL, &error));
    CHECK(strstr(body.data, "anvil") != NULL);
}

static const char *text_of(keyfob_status (*read)(keyfob_client *, char *, size_t, size_t *, keyfob_error *),
                           keyfob_client *client) {
    static char text[8192];
    size_t len;
    OK(read(client, text, sizeof text, &len, &error));
    CHECK(strlen(text) == len);
    return text;
}

static void has(const char *text, const char *part) {
    if (strstr(text, part) == NULL) {
        fprintf(stderr, "no %s in %s\n", part, text);
        exit(1);
    }
}

// Headers
// -------

typedef struct {
    char lines[4096];
    int calls, stop_at;
} headers;

static int collect(const char *name, size_t name_len, const char *value, size_t value_len, void *user) {
    headers *all = (headers *)user;
    size_t len = strlen(all->lines);
    if (++all->calls == all->stop_at) {
        return 3;
    }
    snprintf(all->lines + len, sizeof all->lines - len, "%.*s: %.*s\n", (int)name_len, name, (int)value_len, value);
    return 0;
}

static const char *headers_of(keyfob_client *client) {
    static headers all;
    memset(&all, 0, sizeof all);
    OK(keyfob_headers(client, 0, collect, &all, &error));
    return all.lines;
}

// The headers of a request are those that `keyfob_headers` gives.
static void with_a_private_header(void) {
    static gathered body;
    char expected[8192], authorization[4096], url[512];
    size_t len;
    headers stopped;
    keyfob_options *options = acme("client_credentials");
    keyfob_client *client;
    write_file(in_home("key"), KEY "\n", 0600);
    set(options, "api_url", env("RECORDER"));
    set(options, "headers.x-api-version", "2");
    set(options, "header_files.x-api-key", in_home("key"));
    client = made(options);
    OK(keyfob_authorization(client, 0, authorization, sizeof authorization, &len, &error));
    snprintf(expected, sizeof expected, "Authorization: %s\nx-api-version: 2\nx-api-key: " KEY "\n", authorization);
    CHECK(strcmp(headers_of(client), expected) == 0);
    lists(client);
    snprintf(url, sizeof url, "%s/with-a-header", env("RECORDER"));
    OK(get_answer(client, TEXT(url), gather, &body, NULL, &error));
    // The callback ends the call.
    memset(&stopped, 0, sizeof stopped);
    stopped.stop_at = 2;
    IS(KEYFOB_STOPPED, keyfob_headers(client, 0, collect, &stopped, &error));
    CHECK(stopped.calls == 2);
    // Another origin receives nothing.
    snprintf(url, sizeof url, "%s/elsewhere", env("OTHER_RECORDER"));
    IS(KEYFOB_INVALID_INPUT, get_answer(client, TEXT(url), gather, &body, NULL, &error));
    has(error.message, env("OTHER_RECORDER"));
    has(error.message, "option api_url");
    CHECK(strstr(error.message, "allow_other_origins") == NULL);
    keyfob_client_free(client);

    // A service without tokens.
    options = only_grant("basic");
    set(options, "api_url", env("RECORDER"));
    set(options, "client_id", "client id");
    set(options, "client_secret", "client secret");
    set(options, "headers.x-api-key", KEY);
    client = made(options);
    CHECK(strcmp(headers_of(client), "Authorization: Basic Y2xpZW50IGlkOmNsaWVudCBzZWNyZXQ=\nx-api-key: " KEY "\n") == 0);
    IS(KEYFOB_INVALID_INPUT, keyfob_access_token(client, 0, authorization, sizeof authorization, &len, &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_introspect(client, authorization, sizeof authorization, &len, &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_revoke(client, &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_refresh(client, &error));
    keyfob_client_free(client);
}

// Clients from options
// --------------------

// The program that started this one checks how the client has authenticated in each of the requests.
static void with_each_client_authentication(void) {
    static const char *const AUTHS[] = {"client_secret_basic", "client_secret_post", "client_secret_jwt", ""};
    size_t i;
    keyfob_options *options;
    keyfob_client *client;
    for (i = 0; i < sizeof AUTHS / sizeof *AUTHS; i++) {
        options = acme("client_credentials");
        set(options, "client_auth", AUTHS[i]);
        client = made(options);
        lists(client);
        keyfob_client_free(client);
    }
    // A ready JWT, and no secret.
    options = acme("client_credentials");
    set(options, "client_secret", "");
    set(options, "client_auth", "assertion");
    set(options, "assertion_file", env("ASSERTION"));
    client = made(options);
    lists(client);
    keyfob_client_free(client);
    options = acme("client_credentials");
    set(options, "client_secret", "");
    set(options, "client_auth", "none");
    refused(KEYFOB_INVALID_INPUT, 0, options, "the option client_auth cannot be used with grant = \"client_credentials\"");
    options = acme("client_credentials");
    set(options, "client_auth", "assertion");
    set(options, "assertion_file", env("ASSERTION"));
    refused(KEYFOB_INVALID_INPUT, 0, options, "the option client_secret has no effect with client_auth = \"assertion\"");
    options = acme("authorization_code");
    set(options, "client_auth", "none");
    refused(KEYFOB_INVALID_INPUT, 0, options, "the option client_secret has no effect with client_auth = \"none\"");
}

// No variable counts for `keyfob_client_new`, not even a wrong one.
static void without_the_environment(void) {
    static const char *const VARIABLES[] = {"ACME_CLIENT_ID", "ACME_CLIENT_SECRET", "ACME_SCOPE", "ACME_TOKEN_URL",
                                            "ACME_ISSUER",    "ACME_API_URL",       "ACME_REVOCATION_URL"};
    size_t i;
    keyfob_client *client;
    for (i = 0; i < sizeof VARIABLES / sizeof *VARIABLES; i++) {
        CHECK(setenv(VARIABLES[i], "no value", 1) == 0);
    }
    CHECK(setenv("KEYFOB_CONFIG", "/no/such/folder/config.toml", 1) == 0);
    client = made(acme("client_credentials"));
    lists(client);
    keyfob_client_free(client);
    // Each value that is missing is named, although there is a variable for it.
    keyfob_options *options = only_grant("client_credentials");
    refused(KEYFOB_INVALID_INPUT, 0, options, "the option api_url is missing; set it");
    CHECK(strstr(error.message, "ACME_") == NULL);
    options = acme("client_credentials");
    set(options, "client_secret", "");
    refused(KEYFOB_NO_CREDENTIALS, 0, options, "the option client_secret is not set");
    CHECK(strstr(error.message, "ACME_") == NULL);
    for (i = 0; i < sizeof VARIABLES / sizeof *VARIABLES; i++) {
        CHECK(unsetenv(VARIABLES[i]) == 0);
    }
    CHECK(unsetenv("KEYFOB_CONFIG") == 0);
    // Without any options.
    IS(KEYFOB_INVALID_INPUT, keyfob_client_new(TEXT("acme"), NULL, &client, &error));
    has(error.message, "there is no service `acme`");
}

static void with_a_secret_from_elsewhere(void) {
    char command[8192];
    keyfob_options *options;
    keyfob_client *client;
    snprintf(command, sizeof command, "%s\n", secret);
    write_file(in_home("secret"), command, 0600);
    options = acme("client_credentials");
    set(options, "client_secret", "");
    set(options, "client_secret_file", in_home("secret"));
    client = made(options);
    lists(client);
    CHECK(*text_of(keyfob_warning, client) == 0);
    keyfob_client_free(client);

    CHECK(chmod(in_home("secret"), 0644) == 0);
    options = acme("client_credentials");
    set(options, "client_secret", "");
    set(options, "client_secret_file", in_home("secret"));
    client = made(options);
    has(text_of(keyfob_warning, client), "can be read by others");
    keyfob_client_free(client);

    snprintf(command, sizeof command, "touch '%s'; cat '%s'", in_home("has-run"), in_home("secret"));
    options = acme("client_credentials");
    set(options, "client_secret", "");
    set(options, "client_secret_cmd", command);
    refused(KEYFOB_INVALID_INPUT, 0, options, "the option client_secret_cmd names a command");
    options = acme("client_credentials");
    set(options, "client_secret", "");
    set(options, "client_secret_cmd", command);
    OK(keyfob_options_set_flag(options, TEXT("allow_commands"), 1, &error));
    OK(keyfob_options_set_flag(options, TEXT("allow_commands"), 0, &error));
    refused(KEYFOB_INVALID_INPUT, 0, options, "allow_commands");
    CHECK(access(in_home("has-run"), F_OK) != 0);
    options = acme("client_credentials");
    set(options, "client_secret", "");
    set(options, "client_secret_cmd", command);
    OK(keyfob_options_set_flag(options, TEXT("allow_commands"), 1, &error));
    client = made(options);
    CHECK(access(in_home("has-run"), F_OK) == 0 && remove(in_home("has-run")) == 0);
    lists(client);
    keyfob_client_free(client);

    // The same with a variable.
    CHECK(setenv("ACME_CLIENT_SECRET_CMD", command, 1) == 0);
    options = acme("client_credentials");
    set(options, "client_secret", "");
    refused(KEYFOB_INVALID_INPUT, 1, options, "ACME_CLIENT_SECRET_CMD names a command");
    CHECK(access(in_home("has-run"), F_OK) != 0);
    options = acme("client_credentials");
    set(options, "client_secret", "");
    OK(keyfob_options_set_flag(options, TEXT("allow_commands"), 1, &error));
    client = configured(options);
    CHECK(access(in_home("has-run"), F_OK) == 0);
    lists(client);
    keyfob_client_free(client);
    CHECK(unsetenv("ACME_CLIENT_SECRET_CMD") == 0);
}

// A grant that keyfob does not know, at a server whose URLs are named one by one.
static void with_an_extension_grant(void) {
    keyfob_options *options = only_grant("urn:ietf:params:oauth:grant-type:token-exchange");
    keyfob_client *client;
    set(options, "token_url", env("RECORDER"));
    set(options, "revocation_url", env("RECORDER"));
    set(options, "introspection_url", env("RECORDER"));
    set(options, "api_url", api_url);
    set(options, "client_id", "exchanger");
    set(options, "client_auth", "none");
    set(options, "parameters.audience", "https://things.example");
    set(options, "parameter_files.subject_token", in_home("key"));
    client = made(options);
    IS(KEYFOB_NO_CREDENTIALS, keyfob_revoke(client, &error));
    CHECK(strcmp(token_of(client), "recorded-access-token") == 0);
    // A server that repeats the token.
    CHECK(strcmp(text_of(keyfob_introspect, client), "{\"active\":true,\"client_id\":\"exchanger\",\"token_type\":\"Bearer\"}") == 0);
    OK(keyfob_revoke(client, &error));
    IS(KEYFOB_NO_CREDENTIALS, keyfob_revoke(client, &error));
    keyfob_client_free(client);
}

// Clients from a file
// -------------------

static void config(const char *keys) {
    char text[8192];
    snprintf(text, sizeof text, "[service.acme]\n%s\n", keys);
    write_file(in_home("config.toml"), text, 0600);
}

static const char *api_url_of(keyfob_client *client) {
    return text_of(keyfob_api_url, client);
}

static const char *introspected(keyfob_client *client) {
    token_of(client);
    return text_of(keyfob_introspect, client);
}

// A key, where its value shows, and what shows for each of three values: of the option, the variable and the file.
typedef struct {
    const char *key, *variable;
    const char *(*shown)(keyfob_client *client);
    const char *option, *of_variable, *file;
    const char *shows[3];
} precedence;

static void option_before_variable_before_file(void) {
    char text[4096], shown_id[300];
    const precedence all[] = {
        {"api_url", "ACME_API_URL", api_url_of, "https://option.example", "https://variable.example", "https://file.example",
         {"https://option.example", "https://variable.example", "https://file.example"}},
        {"scope", "ACME_SCOPE", introspected, "things.read things.write", "things.write", "things.read",
         {"\"scope\":\"things.read things.write\"", "\"scope\":\"things.write\"", "\"scope\":\"things.read\""}},
        {"client_id", "ACME_CLIENT_ID", introspected, id, id, id, {shown_id, shown_id, shown_id}},
        {"issuer", "ACME_ISSUER", introspected, issuer, issuer, issuer, {shown_id, shown_id, shown_id}},
    };
    // The values that do not count are wrong.
    const char *const bad[] = {"https://bad.example", "bad", "no such client", "https://bad.example"};
    size_t i, from;
    snprintf(shown_id, sizeof shown_id, "\"client_id\":\"%s\"", id);
    for (i = 0; i < sizeof all / sizeof *all; i++) {
        const precedence *one = &all[i];
        for (from = 0; from < 3; from++) {
            static const char *const OTHERS[] = {"api_url", "client_id", "issuer"};
            const char *const values[] = {api_url, id, issuer};
            size_t other, used = 0;
            keyfob_options *options = trusting_options();
            keyfob_client *client;
            for (other = 0; other < 3; other++) {
                if (strcmp(OTHERS[other], one->key) != 0) {
                    used += (size_t)snprintf(text + used, sizeof text - used, "%s = \"%s\"\n", OTHERS[other], values[other]);
                }
            }
            snprintf(text + used, sizeof text - used, "grant = \"client_credentials\"\n%s = \"%s\"", one->key,
                     from == 2 ? one->file : bad[i]);
            config(text);
            set(options, "client_secret", secret);
            if (from < 2) {
                CHECK(setenv(one->variable, from == 1 ? one->of_variable : bad[i], 1) == 0);
            }
            if (from < 1) {
                set(options, one->key, one->option);
            }
            client = configured(options);
            has(one->shown(client), one->shows[from]);
            keyfob_client_free(client);
            CHECK(unsetenv(one->variable) == 0);
        }
    }
}

// Only the named sources of the secret count.
static void secret_of_the_option_before_the_others(void) {
    char keys[4096], bad[] = "bad";
    keyfob_options *options;
    snprintf(keys, sizeof keys,
             "issuer = \"%s\"\napi_url = \"%s\"\nclient_id = \"%s\"\ngrant = \"client_credentials\"\n"
             "client_secret_cmd = \"exit 1\"", issuer, api_url, id);
    config(keys);
    CHECK(setenv("ACME_CLIENT_SECRET", bad, 1) == 0);
    options = trusting_options();
    set(options, "client_secret", secret);
    keyfob_client *client = configured(options);
    lists(client);
    keyfob_client_free(client);
    options = trusting_options();
    set(options, "client_secret_file", in_home("secret"));
    client = configured(options);
    lists(client);
    keyfob_client_free(client);
    // The variable counts before the file, whose command would be refused.
    CHECK(setenv("ACME_CLIENT_SECRET", secret, 1) == 0);
    client = configured(trusting_options());
    lists(client);
    keyfob_client_free(client);
    CHECK(unsetenv("ACME_CLIENT_SECRET") == 0);
    refused(KEYFOB_INVALID_INPUT, 1, trusting_options(), "client_secret_cmd in ");
    // A path in the file is relative to the file.
    snprintf(keys, sizeof keys,
             "issuer = \"%s\"\napi_url = \"%s\"\nclient_id = \"%s\"\ngrant = \"client_credentials\"\n"
             "client_secret_file = \"secret\"", issuer, api_url, id);
    config(keys);
    client = configured(trusting_options());
    lists(client);
    keyfob_client_free(client);
}

// Options replace entries of a table one by one, whatever the case of a header's letters.
static void tables_are_merged(void) {
    char keys[4096], expected[4096], authorization[2048];
    size_t len;
    keyfob_options *options = trusting_options();
    keyfob_client *client;
    snprintf(keys, sizeof keys,
             "issuer = \"%s\"\napi_url = \"%s\"\nclient_id = \"%s\"\ngrant = \"client_credentials\"\n"
             "headers = { x-a = \"file\", x-b = \"file\", x-c = \"file\" }\nheader_files = { x-d = \"key\", x-e = \"key\" }",
             issuer, api_url, id);
    config(keys);
    set(options, "client_secret", secret);
    set(options, "headers.X-B", "option");
    set(options, "headers.x-e", "option");
    set(options, "header_files.x-c", in_home("key"));
    client = configured(options);
    OK(keyfob_authorization(client, 0, authorization, sizeof authorization, &len, &error));
    snprintf(expected, sizeof expected,
             "Authorization: %s\nX-B: option\nx-e: option\nx-a: file\nx-c: " KEY "\nx-d: " KEY "\n", authorization);
    if (strcmp(headers_of(client), expected) != 0) {
        fprintf(stderr, "%s, not %s", headers_of(client), expected);
        exit(1);
    }
    keyfob_client_free(client);
}

static void mistakes_of_the_file(void) {
    keyfob_client *client;
    config("isuer = \"x\"");
    refused(KEYFOB_INVALID_INPUT, 1, trusting_options(), "config.toml:2: isuer: is not a key of a service; the nearest one is issuer");
    config("grant = \"device_code\"");
    refused(KEYFOB_INVALID_INPUT, 1, trusting_options(), "api_url: is missing");
    IS(KEYFOB_INVALID_INPUT, keyfob_client_from_config(TEXT("acne"), NULL, &client, &error));
    has(error.message, "there is no service `acne`: describe it in ");
    has(error.message, "known are spatiafi, spacebring, acme");
    CHECK(chmod(in_home("config.toml"), 0666) == 0);
    refused(KEYFOB_INVALID_INPUT, 1, trusting_options(), "config.toml");
}

static void from_a_file(void) {
    CHECK(setenv("KEYFOB_CONFIG", in_home("config.toml"), 1) == 0);
    option_before_variable_before_file();
    secret_of_the_option_before_the_others();
    tables_are_merged();
    mistakes_of_the_file();
    CHECK(unsetenv("KEYFOB_CONFIG") == 0);
}

// Logins
// ------

static void count(const keyfob_token *token, void *user) {
    CHECK(token->access_token_len > 0 && token->refresh_token_len > 0);
    ++*(int *)user;
}

static const char *of_login(keyfob_status (*read)(keyfob_login *, char *, size_t, size_t *, keyfob_error *),
                            keyfob_login *login) {
    static char places[4][4096];
    static int turn;
    char *place = places[turn++ % 4];
    size_t len, needed;
    IS(KEYFOB_BUFFER_TOO_SMALL, read(login, NULL, 0, &needed, &error));
    OK(read(login, place, sizeof places[0], &len, &error));
    CHECK(strlen(place) == len && needed == len + 1);
    return place;
}

static keyfob_login *started(keyfob_client *client) {
    keyfob_login *login;
    OK(keyfob_login_start(client, NULL, 0, &login, &error));
    return login;
}

// No call of the login works any more, and none changes its result.
static void has_ended(keyfob_login *login) {
    char buf[4096];
    size_t len = 4711;
    int is_done = 4711;
    IS(KEYFOB_INVALID_INPUT, keyfob_login_poll(login, &is_done, &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_login_wait(login, LONG, &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_login_finish(login, TEXT("http://127.0.0.1/?code=a"), &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_login_one_time_url(login, buf, sizeof buf, &len, &error));
    CHECK(is_done == 4711 && len == 4711);
    keyfob_login_free(login);
}

// Polls until the login has ended, and returns the last status.
static keyfob_status polled(keyfob_login *login) {
    const struct timespec pause = {0, 100000000};
    int is_done = 0;
    keyfob_status status;
    do {
        CHECK(nanosleep(&pause, NULL) == 0);
        is_done = 4711;
        status = keyfob_login_poll(login, &is_done, &error);
        CHECK(is_done == (status == KEYFOB_OK ? is_done != 0 : 4711));
    } while (status == KEYFOB_OK && is_done == 0);
    return status;
}

static void with_a_device(void) {
    int renewals = 0, is_done = 4711;
    char buf[4096], first[4096];
    size_t len = 4711;
    keyfob_options *options = acme("device_code");
    keyfob_client *client, *early;
    keyfob_login *login;
    keyfob_token token;
    set(options, "scope", "things.read things.write");
    set(options, "store", env("OTHER_STORE"));
    OK(keyfob_options_set_on_renewed(options, count, &renewals, &error));
    OK(keyfob_client_new(TEXT("acme"), options, &early, &error));
    client = made(options);
    IS(KEYFOB_LOGIN_REQUIRED, keyfob_authorization(client, 0, buf, sizeof buf, &len, &error));
    has(error.message, "keyfob_login_start");
    IS(KEYFOB_LOGIN_REQUIRED, keyfob_revoke(client, &error));
    IS(KEYFOB_LOGIN_REQUIRED, keyfob_introspect(client, buf, sizeof buf, &len, &error));

    login = started(client);
    snprintf(first, sizeof first, "%s", of_login(keyfob_login_user_code, login));
    has(of_login(keyfob_login_url, login), first);
    CHECK(strstr(of_login(keyfob_login_verification_uri, login), first) == NULL);
    CHECK(strncmp(of_login(keyfob_login_verification_uri, login), issuer, strlen(issuer)) == 0);
    IS(KEYFOB_INVALID_INPUT, keyfob_login_one_time_url(login, buf, sizeof buf, &len, &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_login_finish(login, TEXT("http://127.0.0.1/?code=a"), &error));
    CHECK(len == 4711);
    OK(keyfob_login_poll(login, &is_done, &error));
    CHECK(is_done == 0);
    // Too early for another request.
    is_done = 4711;
    OK(keyfob_login_poll(login, &is_done, &error));
    CHECK(is_done == 0 && renewals == 0);
    asked("approve", first);
    CHECK(polled(login) == KEYFOB_OK && renewals == 1);
    lists(client);
    has(text_of(keyfob_introspect, client), "\"scope\":\"things.read things.write\"");
    CHECK(strcmp(of_login(keyfob_login_user_code, login), first) == 0);
    has_ended(login);

    // A client that was made before the login finds its tokens in the store.
    has(text_of(keyfob_introspect, early), "\"active\":true");
    OK(keyfob_revoke(early, &error));
    IS(KEYFOB_LOGIN_REQUIRED, keyfob_authorization(early, 0, buf, sizeof buf, &len, &error));
    keyfob_client_free(early);
    keyfob_client_free(client);

    client = made(acme("device_code"));
    login = started(client);
    asked("approve", of_login(keyfob_login_user_code, login));
    OK(keyfob_login_wait(login, LONG, &error));
    has_ended(login);
    lists(client);
    OK(keyfob_revoke(client, &error));
    IS(KEYFOB_LOGIN_REQUIRED, keyfob_revoke(client, &error));

    login = started(client);
    asked("deny", of_login(keyfob_login_user_code, login));
    IS(KEYFOB_LOGIN_REQUIRED, keyfob_login_wait(login, LONG, &error));
    has_ended(login);
    login = started(client);
    asked("deny", of_login(keyfob_login_user_code, login));
    CHECK(polled(login) == KEYFOB_LOGIN_REQUIRED);
    has_ended(login);
    login = started(client);
    IS(KEYFOB_TIMEOUT, keyfob_login_wait(login, 1, &error));
    has_ended(login);

    // Tokens that the program has kept.
    memset(&token, 0, sizeof token);
    token.access_token = "kept";
    token.access_token_len = 4;
    token.obtained_at = 1;
    OK(keyfob_restore(client, &token, &error));
    CHECK(strcmp(token_of(client), "kept") == 0);
    keyfob_client_free(client);
    client = made(acme("client_credentials"));
    IS(KEYFOB_INVALID_INPUT, keyfob_restore(client, &token, &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_login_start(client, NULL, 0, &login, &error));
    keyfob_client_free(client);
}

static void open_to_everybody(const char *folder) {
    CHECK(mkdir(folder, 0700) == 0 && chmod(folder, 0777) == 0);
}

static volatile int is_saving, may_continue;

static void pause_in_save(int level, const char *text, size_t len, void *user) {
    (void)level, (void)text, (void)len, (void)user;
    const struct timespec pause = {0, 5000000};
    is_saving = 1;
    while (!may_continue) {
        nanosleep(&pause, NULL);
    }
}

static void *restore(void *client) {
    keyfob_error own;
    keyfob_token token;
    memset(&token, 0, sizeof token);
    token.access_token = "restored";
    token.access_token_len = 8;
    token.obtained_at = 1;
    return keyfob_restore((keyfob_client *)client, &token, &own) == KEYFOB_OK ? NULL : client;
}

// The statuses of a client that nobody has logged in to, and whose store or time does not suffice.
static void before_a_login(void) {
    char buf[256], home[4096];
    size_t len;
    void *failed;
    pthread_t thread;
    keyfob_client *client;
    keyfob_options *options = acme("device_code");
    snprintf(home, sizeof home, "%s", env("HOME"));
    CHECK(setenv("HOME", "nowhere", 1) == 0);
    IS(KEYFOB_STORE, keyfob_client_from_config(TEXT("acme"), options, &client, &error));
    has(error.message, "there is no home folder");
    // Options alone: the tokens are kept in memory.
    OK(keyfob_client_new(TEXT("acme"), options, &client, &error));
    keyfob_client_free(client);
    CHECK(setenv("HOME", home, 1) == 0);

    set(options, "store", in_home("open"));
    OK(keyfob_options_set_number(options, TEXT("timeout_ms"), 300, &error));
    OK(keyfob_client_new(TEXT("acme"), options, &client, &error));
    open_to_everybody(in_home("open"));
    IS(KEYFOB_STORE, keyfob_revoke(client, &error));
    IS(KEYFOB_STORE, keyfob_invalidate(client, NULL, 0, &error));
    IS(KEYFOB_STORE, keyfob_introspect(client, buf, sizeof buf, &len, &error));
    // The other thread has a token, which it cannot save, and does not end.
    OK(keyfob_set_log(2, pause_in_save, NULL, &error));
    CHECK(pthread_create(&thread, NULL, restore, client) == 0);
    while (!is_saving) {
        const struct timespec pause = {0, 5000000};
        nanosleep(&pause, NULL);
    }
    IS(KEYFOB_TIMEOUT, keyfob_invalidate(client, NULL, 0, &error));
    has(error.message, "another thread");
    may_continue = 1;
    CHECK(pthread_join(thread, &failed) == 0 && failed == NULL);
    OK(keyfob_set_log(0, NULL, NULL, &error));
    OK(keyfob_invalidate(client, NULL, 0, &error));
    keyfob_client_free(client);
    IS(KEYFOB_STORE, keyfob_client_new(TEXT("acme"), options, &client, &error));
    keyfob_options_free(options);

    options = acme("client_credentials");
    set(options, "store", in_home("open"));
    client = made(options);
    IS(KEYFOB_STORE, keyfob_revoke(client, &error));
    keyfob_client_free(client);
}

// A program may change its current folder, as a daemon does. The store stays where it is.
static void in_a_relative_folder(void) {
    char before[4096], current[4096], renewed[4096];
    keyfob_options *options = acme("client_credentials");
    keyfob_client *first, *second;
    CHECK(getcwd(before, sizeof before) != NULL);
    CHECK(mkdir(in_home("elsewhere"), 0700) == 0 && chdir(env("HOME")) == 0);
    set(options, "store", "relative");
    OK(keyfob_client_new(TEXT("acme"), options, &first, &error));
    snprintf(current, sizeof current, "%s", token_of(first));
    CHECK(chdir(in_home("elsewhere")) == 0);
    OK(keyfob_refresh(first, &error));
    snprintf(renewed, sizeof renewed, "%s", token_of(first));
    CHECK(chdir(env("HOME")) == 0 && strcmp(renewed, current) != 0);
    second = made(options);
    CHECK(strcmp(token_of(second), renewed) == 0);
    keyfob_client_free(first);
    keyfob_client_free(second);
    CHECK(chdir(before) == 0);
}

// What a caller may write in place of a path.
static void bad_paths(void) {
    static const struct {
        const char *path, *text;
    } bad[] = {{"/a b", "percent-encode it"}, {"/a\n", "percent-encode it"}, {"/\xc3\xa9", "percent-encode it"},
               {"", "begins neither"}, {"things", "begins neither"}, {"?a=b", "begins neither"},
               {"http:/x", "begins neither"}, {"ftp://127.0.0.1/", "neither https nor http"}, {"https://", "no URL"}};
    size_t i;
    static gathered body;
    keyfob_client *client = made(acme("client_credentials"));
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        IS(KEYFOB_INVALID_INPUT, keyfob_request(client, TEXT("GET"), TEXT(bad[i].path), NULL, 0, NULL, 0, gather, &body, NULL, &error));
        has(error.message, bad[i].text);
    }
    keyfob_client_free(client);
}

static void with_a_browser(void) {
    char callback[4096];
    int is_done = 4711;
    keyfob_client *client = made(acme("authorization_code"));
    keyfob_login *login = started(client);
    CHECK(*of_login(keyfob_login_user_code, login) == 0);
    CHECK(strcmp(of_login(keyfob_login_verification_uri, login), of_login(keyfob_login_url, login)) == 0);
    IS(KEYFOB_INVALID_INPUT, keyfob_login_poll(login, &is_done, &error));
    CHECK(is_done == 4711);
    printf("browser %s\n", of_login(keyfob_login_url, login));
    fflush(stdout);
    OK(keyfob_login_wait(login, LONG, &error));
    CHECK(fgets(callback, sizeof callback, stdin) != NULL);
    has_ended(login);
    lists(client);
    OK(keyfob_revoke(client, &error));

    login = started(client);
    ask("paste", of_login(keyfob_login_url, login), callback, sizeof callback);
    OK(keyfob_login_finish(login, TEXT(callback), &error));
    has_ended(login);
    lists(client);
    keyfob_client_free(client);
}

// Introspection and revocation
// ----------------------------

static void introspects_and_revokes(void) {
    char buf[4096], token[4096];
    size_t len = 4711, needed;
    keyfob_client *client = made(acme("client_credentials"));
    IS(KEYFOB_NO_CREDENTIALS, keyfob_introspect(client, buf, sizeof buf, &len, &error));
    IS(KEYFOB_NO_CREDENTIALS, keyfob_revoke(client, &error));
    CHECK(len == 4711);
    snprintf(token, sizeof token, "%s", token_of(client));
    IS(KEYFOB_BUFFER_TOO_SMALL, keyfob_introspect(client, NULL, 0, &needed, &error));
    IS(KEYFOB_BUFFER_TOO_SMALL, keyfob_introspect(client, buf, needed - 1, &len, &error));
    CHECK(len == needed);
    OK(keyfob_introspect(client, buf, needed, &len, &error));
    CHECK(len == needed - 1 && strlen(buf) == len && buf[0] == '{' && buf[len - 1] == '}');
    has(buf, "\"active\":true");
    has(buf, id);
    has(buf, "\"exp\":");
    CHECK(strstr(buf, token) == NULL && strstr(buf, secret) == NULL);
    asked("end", "");
    CHECK(strcmp(text_of(keyfob_introspect, client), "{\"active\":false}") == 0);
    OK(keyfob_refresh(client, &error));
    snprintf(token, sizeof token, "%s", token_of(client));
    OK(keyfob_revoke(client, &error));
    IS(KEYFOB_NO_CREDENTIALS, keyfob_revoke(client, &error));
    CHECK(strcmp(token_of(client), token) != 0);
    keyfob_client_free(client);

    // Without the endpoints nothing is sent, and nothing is removed.
    keyfob_options *options = acme("client_credentials");
    set(options, "issuer", "");
    set(options, "token_url", token_url);
    client = made(options);
    snprintf(token, sizeof token, "%s", token_of(client));
    IS(KEYFOB_INVALID_INPUT, keyfob_revoke(client, &error));
    has(error.message, "the option revocation_url is missing");
    IS(KEYFOB_INVALID_INPUT, keyfob_introspect(client, buf, sizeof buf, &len, &error));
    has(error.message, "the option introspection_url is missing");
    CHECK(strcmp(token_of(client), token) == 0);
    keyfob_client_free(client);
}

// The log
// -------

typedef struct {
    char lines[16384];
    int calls, highest;
} records;

static void record(int level, const char *text, size_t len, void *user) {
    records *all = (records *)user;
    size_t used = strlen(all->lines);
    CHECK(level >= 1 && memchr(text, 0, len) == NULL && memchr(text, '\n', len) == NULL);
    all->calls++;
    all->highest = level > all->highest ? level : all->highest;
    snprintf(all->lines + used, sizeof all->lines - used, "%d %.*s\n", level, (int)len, text);
}

// Obtains a token and makes a request whose query is a secret.
static void works(void) {
    static gathered body;
    int http_status;
    char token[4096];
    keyfob_client *client = made(acme("client_credentials"));
    snprintf(token, sizeof token, "%s", token_of(client));
    OK(get_answer(client, TEXT("/things?key=" KEY), gather, &body, &http_status, &error));
    CHECK(http_status == 400);
    keyfob_client_free(client);
}

static void logs(void) {
    static records all, other;
    const char *line;
    IS(KEYFOB_INVALID_INPUT, keyfob_set_log(-1, record, &all, &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_set_log(5, record, &all, &error));
    works();
    CHECK(all.calls == 0);
    OK(keyfob_set_log(4, record, &all, &error));
    works();
    CHECK(all.highest == 4);
    has(all.lines, "4 a new token was obtained\n");
    has(all.lines, "POST ");
    has(all.lines, "/things: HTTP 400 in ");
    CHECK(strstr(all.lines, KEY) == NULL && strstr(all.lines, "?") == NULL && strstr(all.lines, secret) == NULL);
    CHECK(strstr(all.lines, "Bearer") == NULL && strstr(all.lines, "Basic") == NULL);
    // Only the library's own records: the requests, and what it did with the token.
    for (line = all.lines; *line != 0; line = strchr(line, '\n') + 1) {
        if (strncmp(line, "4 GET ", 6) != 0 && strncmp(line, "4 POST ", 7) != 0 && strncmp(line, "4 a new token", 13) != 0) {
            fprintf(stderr, "another record: %s", line);
            exit(1);
        }
    }
    // Another callback, which receives fewer records.
    all.calls = 0;
    OK(keyfob_set_log(3, record, &other, &error));
    works();
    CHECK(all.calls == 0 && other.calls == 0);
    OK(keyfob_set_log(4, record, &other, &error));
    works();
    CHECK(all.calls == 0 && other.calls > 0);
    other.calls = 0;
    OK(keyfob_set_log(4, NULL, &other, &error));
    works();
    CHECK(all.calls == 0 && other.calls == 0);
}

int main(void) {
    take("ACME_ISSUER", issuer, sizeof issuer);
    take("ACME_API_URL", api_url, sizeof api_url);
    take("ACME_CLIENT_ID", id, sizeof id);
    take("ACME_CLIENT_SECRET", secret, sizeof secret);
    snprintf(token_url, sizeof token_url, "%s/token", issuer);
    with_each_client_authentication();
    without_the_environment();
    with_a_private_header();
    with_a_secret_from_elsewhere();
    with_an_extension_grant();
    from_a_file();
    with_a_device();
    before_a_login();
    in_a_relative_folder();
    bad_paths();
    with_a_browser();
    introspects_and_revokes();
    logs();
    return 0;
}
