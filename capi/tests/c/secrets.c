// Uses every secret that there is, where it succeeds and where it fails, frees everything, and waits to be looked at. The secrets
// come from the file SECRETS, a line each; those that the library got go to the file FOUND, a line each. Lines "paste URL" on
// standard output ask for a person with a browser, who answers on standard input. No stdio: its buffers are nobody's to wipe.

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
    // It has run out.
    own->expires_at = 1;
}

static void get(keyfob_client *client, const char *path) {
    static gathered body;
    body.len = 0;
    OK(keyfob_get(client, TEXT(path), gather, &body, NULL, &error));
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

static keyfob_client *partner(const char *secret, const keyfob_options *options) {
    keyfob_client *client;
    OK(keyfob_spacebring_partner_new(TEXT("customer"), TEXT(secret), TEXT("http://127.0.0.1:0/callback"), options, &client,
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
    OK(keyfob_options_set_api_url(options, TEXT(env("SPATIAFI_API_URL")), &error));
    OK(keyfob_spatiafi_new(TEXT(lines[0]), TEXT(lines[1]), options, &client, &error));
    use(client);
    OK(keyfob_spatiafi_login(TEXT(lines[2]), TEXT(lines[3]), keep, NULL, options, &client, &error));
    use(client);
    // And where it fails.
    snprintf(wrong, sizeof wrong, "%s-not", lines[3]);
    IS(KEYFOB_REFUSED, keyfob_spatiafi_login(TEXT(lines[2]), TEXT(wrong), keep, NULL, options, &client, &error));
    snprintf(wrong, sizeof wrong, "%s-not", lines[1]);
    OK(keyfob_options_set_profile(options, TEXT("wrong"), &error));
    OK(keyfob_spatiafi_new(TEXT(lines[0]), TEXT(wrong), options, &client, &error));
    IS(KEYFOB_REFUSED, keyfob_authorization(client, 60, token, sizeof token, &len, &error));
    keyfob_client_free(client);
}

static void spacebring_secrets(keyfob_options *options, const char *secret, keyfob_token *own) {
    size_t len;
    keyfob_client *client, *later;
    OK(keyfob_options_set_api_url(options, TEXT(env("SPACEBRING_API_URL")), &error));
    OK(keyfob_options_set_network_id(options, TEXT(env("SPACEBRING_NETWORK_ID")), &error));
    OK(keyfob_spacebring_customer_new(TEXT("customer"), TEXT(secret), options, &client, &error));
    OK(keyfob_authorization(client, 60, token, sizeof token, &len, &error));
    get(client, "/locations/v1");
    keyfob_client_free(client);

    client = partner(secret, options);
    log_in(client, KEYFOB_OK);
    get(client, "/locations/v1");
    OK(keyfob_refresh(client, &error));
    OK(keyfob_options_set_store(options, NULL, 0, &error));
    later = partner(secret, options);
    OK(keyfob_spacebring_restore(later, own, &error));
    get(later, "/locations/v1");
    keyfob_client_free(later);
    OK(keyfob_spacebring_revoke(client, &error));
    keyfob_client_free(client);

    // And where the server says no.
    snprintf(wrong, sizeof wrong, "%s-not", secret);
    client = partner(wrong, options);
    log_in(client, KEYFOB_REFUSED);
    keyfob_client_free(client);
}

static void at_bad_servers(keyfob_options *options, char *const *lines, const keyfob_token *own) {
    static const struct {
        const char *url;
        keyfob_status status;
        // Long enough for what is tried again, on a busy machine too.
        unsigned timeout_ms;
    } bad[] = {{"REFUSED", KEYFOB_NETWORK, 5000}, {"SILENT", KEYFOB_TIMEOUT, 500}, {"BROKEN", KEYFOB_PROTOCOL, 5000}};
    size_t i, len;
    keyfob_client *client;
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        OK(keyfob_options_set_timeout_ms(options, bad[i].timeout_ms, &error));
        OK(keyfob_options_set_token_url(options, TEXT(env(bad[i].url)), &error));
        OK(keyfob_spatiafi_new(TEXT(lines[0]), TEXT(lines[1]), options, &client, &error));
        IS(bad[i].status, keyfob_authorization(client, 60, token, sizeof token, &len, &error));
        keyfob_client_free(client);
        client = partner(lines[4], options);
        OK(keyfob_spacebring_restore(client, own, &error));
        IS(bad[i].status, keyfob_refresh(client, &error));
        log_in(client, bad[i].status);
        keyfob_client_free(client);
    }
    OK(keyfob_options_set_timeout_ms(options, 2000, &error));
    OK(keyfob_options_set_token_url(options, TEXT(env("GOOD")), &error));
    OK(keyfob_options_set_revoke_url(options, TEXT(env("SILENT")), &error));
    client = partner(lines[4], options);
    log_in(client, KEYFOB_OK);
    IS(KEYFOB_TIMEOUT, keyfob_spacebring_revoke(client, &error));
    keyfob_client_free(client);
}

int main(void) {
    char *lines[5], done;
    int i, fd = open(env("SECRETS"), O_RDONLY);
    keyfob_token own;
    memset(&own, 0, sizeof own);
    CHECK(fd >= 0 && read(fd, file, sizeof file - 1) > 0);
    found = open(env("FOUND"), O_WRONLY | O_CREAT, 0600);
    CHECK(found >= 0);
    for (i = 0; i < 5; i++) {
        lines[i] = i == 0 ? strtok(file, "\n") : strtok(NULL, "\n");
        CHECK(lines[i] != NULL);
    }
    keyfob_options *options = sandbox_options();
    OK(keyfob_options_set_store(options, TEXT(env("OTHER_STORE")), &error));
    OK(keyfob_options_set_on_renewed(options, renewed, &own, &error));
    spatiafi_secrets(options, lines);
    spacebring_secrets(options, lines[4], &own);
    at_bad_servers(options, lines, &own);
    keyfob_options_free(options);

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
