// Uses every secret once with success and once with failure, frees everything, and waits until its memory was
// searched. Reads the secrets from the file SECRETS, one on each line, and writes the secrets that the
// library received to the file FOUND, one on each line. A line "paste URL" on standard output asks for a
// person with a browser, who answers on standard input. stdio is not used, because nobody wipes its buffers.
// GOOD is the URL of a server that answers everything with a token and a device code.

#define _POSIX_C_SOURCE 200809L

#include <fcntl.h>
#include <unistd.h>

#include "check.h"

static char file[8192], token[8192], access_token[4096], refresh_token[4096], url[4096], callback[4096], wrong[256];
static int found;

static void wipe(void *start, size_t len) {
    volatile char *bytes = (volatile char *)start;
    while (len-- > 0) {
        *bytes++ = 0;
    }
}

static void say(int fd, const char *text, size_t len) {
    CHECK(write(fd, text, len) == (ssize_t)len);
}

static void note(const char *text, size_t len) {
    say(found, text, len);
    say(found, "\n", 1);
}

static int keep(const char *json, size_t len, void *user) {
    (void)user;
    const char *secret = strstr(json, "\"client_secret\"");
    CHECK(secret != NULL && secret < json + len);
    secret = strchr(strchr(secret, ':'), '"') + 1;
    note(secret, (size_t)(strchr(secret, '"') - secret));
    return 0;
}

static void renewed(const keyfob_token *got, void *user) {
    keyfob_token *own = (keyfob_token *)user;
    note(got->access_token, got->access_token_len);
    if (got->refresh_token == NULL) {
        return;
    }
    note(got->refresh_token, got->refresh_token_len);
    CHECK(got->access_token_len < sizeof access_token && got->refresh_token_len < sizeof refresh_token);
    memcpy(access_token, got->access_token, own->access_token_len = got->access_token_len);
    memcpy(refresh_token, got->refresh_token, own->refresh_token_len = got->refresh_token_len);
    own->access_token = access_token;
    own->refresh_token = refresh_token;
    // The token has expired.
    own->expires_at = 1;
    own->obtained_at = 1;
}

static void get(keyfob_client *client, const char *path) {
    static gathered body;
    body.len = 0;
    OK(get_answer(client, TEXT(path), gather, &body, NULL, &error));
}

static void use(keyfob_client *client) {
    size_t len;
    int i;
    for (i = 0; i < 2; i++) {
        OK(keyfob_authorization(client, 60, token, sizeof token, &len, &error));
        get(client, "/api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0");
        OK(keyfob_invalidate(client, token, len, &error));
    }
    keyfob_client_free(client);
}

static keyfob_client *partner(const char *secret, keyfob_options *options) {
    keyfob_client *client;
    OK(partner_new(TEXT("customer"), TEXT(secret), TEXT("http://127.0.0.1:0/callback"), options, &client,
                                     &error));
    return client;
}

static void log_in(keyfob_client *client, keyfob_status expected) {
    keyfob_login *login;
    size_t len;
    OK(keyfob_login_start(client, TEXT("locations.readonly"), &login, &error));
    OK(keyfob_login_url(login, url, sizeof url, &len, &error));
    say(1, "paste ", 6);
    say(1, url, len);
    say(1, "\n", 1);
    for (len = 0; len == 0 || callback[len - 1] != '\n'; len++) {
        CHECK(len < sizeof callback && read(0, callback + len, 1) == 1);
    }
    IS(expected, keyfob_login_finish(login, callback, len - 1, &error));
    keyfob_login_free(login);
}

static void spatiafi_secrets(keyfob_options *options, char *const *lines) {
    size_t len;
    keyfob_client *client;
    OK(keyfob_options_set_text(options, TEXT("api_url"), TEXT(env("SPATIAFI_API_URL")), &error));
    OK(keyfob_spatiafi_new(TEXT(lines[0]), TEXT(lines[1]), options, &client, &error));
    use(client);
    OK(keyfob_spatiafi_login(TEXT(lines[2]), TEXT(lines[3]), keep, NULL, options, &client, &error));
    use(client);
    // The same with a failure.
    snprintf(wrong, sizeof wrong, "%s-not", lines[3]);
    IS(KEYFOB_REFUSED, keyfob_spatiafi_login(TEXT(lines[2]), TEXT(wrong), keep, NULL, options, &client, &error));
    snprintf(wrong, sizeof wrong, "%s-not", lines[1]);
    OK(keyfob_options_set_text(options, TEXT("profile"), TEXT("wrong"), &error));
    OK(keyfob_spatiafi_new(TEXT(lines[0]), TEXT(wrong), options, &client, &error));
    IS(KEYFOB_REFUSED, keyfob_authorization(client, 60, token, sizeof token, &len, &error));
    keyfob_client_free(client);
}

static void spacebring_secrets(keyfob_options *options, const char *secret, keyfob_token *own) {
    size_t len;
    keyfob_client *client, *later;
    OK(keyfob_options_set_text(options, TEXT("api_url"), TEXT(env("SPACEBRING_API_URL")), &error));
    OK(keyfob_options_set_text(options, TEXT("network_id"), TEXT(env("SPACEBRING_NETWORK_ID")), &error));
    OK(customer_new(TEXT("customer"), TEXT(secret), options, &client, &error));
    OK(keyfob_authorization(client, 60, token, sizeof token, &len, &error));
    get(client, "/locations/v1");
    keyfob_client_free(client);

    client = partner(secret, options);
    log_in(client, KEYFOB_OK);
    get(client, "/locations/v1");
    OK(keyfob_refresh(client, &error));
    OK(keyfob_options_set_text(options, TEXT("store"), NULL, 0, &error));
    later = partner(secret, options);
    OK(keyfob_restore(later, own, &error));
    get(later, "/locations/v1");
    keyfob_client_free(later);
    OK(keyfob_revoke(client, &error));
    keyfob_client_free(client);

    // The same when the server refuses.
    snprintf(wrong, sizeof wrong, "%s-not", secret);
    client = partner(wrong, options);
    log_in(client, KEYFOB_REFUSED);
    keyfob_client_free(client);
}

static int note_header(const char *name, size_t name_len, const char *value, size_t value_len, void *user) {
    size_t start = name_len == 13 && memcmp(name, "Authorization", 13) == 0 ? 7 : 0;
    CHECK(user == NULL);
    note(value + start, value_len - start);
    return 0;
}

static void set(keyfob_options *options, const char *key, const char *value) {
    OK(keyfob_options_set_text(options, TEXT(key), TEXT(value), &error));
}

// A service that is not built in, with a header that is a secret.
static void service_secrets(keyfob_options *options, const char *secret, const char *key) {
    size_t len;
    keyfob_client *client;
    set(options, "grant", "client_credentials");
    set(options, "issuer", env("ACME_ISSUER"));
    set(options, "api_url", env("ACME_API_URL"));
    set(options, "client_id", "service");
    set(options, "client_secret", secret);
    set(options, "headers.x-api-key", key);
    OK(keyfob_client_new(TEXT("acme"), options, &client, &error));
    OK(keyfob_headers(client, 60, note_header, NULL, &error));
    get(client, "/things");
    OK(keyfob_introspect(client, token, sizeof token, &len, &error));
    OK(keyfob_revoke(client, &error));
    keyfob_client_free(client);
    // The same with a failure.
    snprintf(wrong, sizeof wrong, "%s-not", secret);
    set(options, "client_secret", wrong);
    OK(keyfob_client_new(TEXT("acme"), options, &client, &error));
    IS(KEYFOB_REFUSED, keyfob_headers(client, 60, note_header, NULL, &error));
    keyfob_client_free(client);
}

static void device_secrets(keyfob_options *options, const char *secret, const char *key) {
    static const char *const URLS[] = {"api_url", "token_url", "device_authorization_url", "introspection_url",
                                       "revocation_url"};
    size_t i, len;
    int is_done = 0;
    keyfob_client *client;
    keyfob_login *login;
    set(options, "grant", "device_code");
    set(options, "client_id", "service");
    set(options, "client_secret", secret);
    set(options, "headers.x-api-key", key);
    for (i = 0; i < sizeof URLS / sizeof *URLS; i++) {
        set(options, URLS[i], env("GOOD"));
    }
    OK(keyfob_client_new(TEXT("acme"), options, &client, &error));
    OK(keyfob_login_start(client, NULL, 0, &login, &error));
    OK(keyfob_login_url(login, url, sizeof url, &len, &error));
    OK(keyfob_login_user_code(login, url, sizeof url, &len, &error));
    OK(keyfob_login_poll(login, &is_done, &error));
    CHECK(is_done == 1);
    keyfob_login_free(login);
    OK(keyfob_headers(client, 60, note_header, NULL, &error));
    OK(keyfob_introspect(client, token, sizeof token, &len, &error));
    OK(keyfob_revoke(client, &error));
    // A login that nobody ends, and one at a server that breaks off.
    OK(keyfob_login_start(client, NULL, 0, &login, &error));
    keyfob_login_free(login);
    keyfob_client_free(client);
    set(options, "token_url", env("BROKEN"));
    OK(keyfob_client_new(TEXT("acme"), options, &client, &error));
    OK(keyfob_login_start(client, NULL, 0, &login, &error));
    IS(KEYFOB_PROTOCOL, keyfob_login_wait(login, 1500, &error));
    keyfob_login_free(login);
    keyfob_client_free(client);
}

static void at_bad_servers(keyfob_options *spatiafi, keyfob_options *options, char *const *lines,
                           const keyfob_token *own) {
    static const struct {
        const char *url;
        keyfob_status status;
        // Long enough for repeated attempts on a busy machine.
        unsigned timeout_ms;
    } bad[] = {{"REFUSED", KEYFOB_NETWORK, 5000}, {"SILENT", KEYFOB_TIMEOUT, 500}, {"BROKEN", KEYFOB_PROTOCOL, 5000}};
    size_t i, len;
    keyfob_client *client;
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        OK(keyfob_options_set_number(spatiafi, TEXT("timeout_ms"), bad[i].timeout_ms, &error));
        OK(keyfob_options_set_text(spatiafi, TEXT("token_url"), TEXT(env(bad[i].url)), &error));
        OK(keyfob_options_set_number(options, TEXT("timeout_ms"), bad[i].timeout_ms, &error));
        OK(keyfob_options_set_text(options, TEXT("token_url"), TEXT(env(bad[i].url)), &error));
        OK(keyfob_spatiafi_new(TEXT(lines[0]), TEXT(lines[1]), spatiafi, &client, &error));
        IS(bad[i].status, keyfob_authorization(client, 60, token, sizeof token, &len, &error));
        keyfob_client_free(client);
        client = partner(lines[4], options);
        OK(keyfob_restore(client, own, &error));
        IS(bad[i].status, keyfob_refresh(client, &error));
        log_in(client, bad[i].status);
        keyfob_client_free(client);
    }
    OK(keyfob_options_set_number(options, TEXT("timeout_ms"), 2000, &error));
    OK(keyfob_options_set_text(options, TEXT("token_url"), TEXT(env("GOOD")), &error));
    OK(keyfob_options_set_text(options, TEXT("revocation_url"), TEXT(env("SILENT")), &error));
    client = partner(lines[4], options);
    log_in(client, KEYFOB_OK);
    IS(KEYFOB_TIMEOUT, keyfob_revoke(client, &error));
    keyfob_client_free(client);
}

int main(void) {
    char *lines[7], done;
    int i, fd = open(env("SECRETS"), O_RDONLY);
    keyfob_token own;
    memset(&own, 0, sizeof own);
    CHECK(fd >= 0 && read(fd, file, sizeof file - 1) > 0);
    found = open(env("FOUND"), O_WRONLY | O_CREAT, 0600);
    CHECK(found >= 0);
    for (i = 0; i < 7; i++) {
        lines[i] = i == 0 ? strtok(file, "\n") : strtok(NULL, "\n");
        CHECK(lines[i] != NULL);
    }
    keyfob_options *spatiafi = sandbox_options(), *spacebring = trusting_options();
    keyfob_options *service = trusting_options(), *device = trusting_options();
    OK(keyfob_options_set_text(spatiafi, TEXT("store"), TEXT(env("OTHER_STORE")), &error));
    OK(keyfob_options_set_text(spacebring, TEXT("store"), TEXT(env("OTHER_STORE")), &error));
    set(service, "store", env("OTHER_STORE"));
    set(device, "store", env("OTHER_STORE"));
    service_secrets(service, lines[5], lines[6]);
    device_secrets(device, lines[5], lines[6]);
    keyfob_options_free(service);
    keyfob_options_free(device);
    OK(keyfob_options_set_on_renewed(spatiafi, renewed, &own, &error));
    OK(keyfob_options_set_on_renewed(spacebring, renewed, &own, &error));
    spatiafi_secrets(spatiafi, lines);
    OK(keyfob_options_set_text(spacebring, TEXT("profile"), TEXT("wrong"), &error));
    spacebring_secrets(spacebring, lines[4], &own);
    OK(keyfob_options_set_text(spatiafi, TEXT("store"), NULL, 0, &error));
    at_bad_servers(spatiafi, spacebring, lines, &own);
    keyfob_options_free(spatiafi);
    keyfob_options_free(spacebring);

    wipe(wrong, sizeof wrong);
    wipe(file, sizeof file);
    wipe(token, sizeof token);
    wipe(access_token, sizeof access_token);
    wipe(refresh_token, sizeof refresh_token);
    wipe(url, sizeof url);
    wipe(callback, sizeof callback);
    say(1, "done\n", 5);
    CHECK(read(0, &done, 1) == 0);
    return 0;
}
