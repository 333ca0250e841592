// Spacebring through the C interface, against the sandbox. A line "wait URL" or "paste URL" on standard
// output asks for a person with a browser. For the first the callback is delivered to the listener; for the
// second it is written to standard input.

#define _POSIX_C_SOURCE 200809L

#include "check.h"

typedef struct {
    int calls;
    char access[4096], refresh[4096], scope[256];
    size_t access_len, refresh_len, scope_len;
    int64_t expires_at, obtained_at;
} kept;

static void keep(const keyfob_token *token, void *user) {
    kept *to = (kept *)user;
    to->calls++;
    CHECK(token->access_token_len < sizeof to->access && token->refresh_token_len < sizeof to->refresh &&
          token->scope_len < sizeof to->scope);
    memcpy(to->access, token->access_token, to->access_len = token->access_token_len);
    if (token->refresh_token != NULL) {
        memcpy(to->refresh, token->refresh_token, to->refresh_len = token->refresh_token_len);
    }
    if (token->scope != NULL) {
        memcpy(to->scope, token->scope, to->scope_len = token->scope_len);
    }
    to->expires_at = token->expires_at;
    to->obtained_at = token->obtained_at;
}

static keyfob_options *settings(void) {
    keyfob_options *options = trusting_options();
    OK(keyfob_options_set_text(options, TEXT("api_url"), TEXT(env("SPACEBRING_API_URL")), &error));
    OK(keyfob_options_set_text(options, TEXT("network_id"), TEXT(env("SPACEBRING_NETWORK_ID")), &error));
    return options;
}

static keyfob_status from_env(const char *auth, keyfob_client **out) {
    CHECK(setenv("SPACEBRING_AUTH", auth, 1) == 0);
    return keyfob_client_from_config(TEXT("spacebring"), NULL, out, &error);
}

static void lists(keyfob_client *client) {
    static gathered body;
    memset(&body, 0, sizeof body);
    OK(get_answer(client, TEXT("/locations/v1"), gather, &body, NULL, &error));
    CHECK(strstr(body.data, "\"locations\"") != NULL);
}

static void customer(void) {
    keyfob_client *client;
    char buf[4096];
    size_t len;
    keyfob_options *options = settings();
    OK(customer_new(TEXT(env("SPACEBRING_CLIENT_ID")), TEXT(env("SPACEBRING_CLIENT_SECRET")), options,
                                      &client, &error));
    OK(keyfob_authorization(client, 0, buf, sizeof buf, &len, &error));
    CHECK(strncmp(buf, "Basic ", 6) == 0 && strlen(buf) == len);
    lists(client);
    IS(KEYFOB_INVALID_INPUT, keyfob_access_token(client, 0, buf, sizeof buf, &len, &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_invalidate(client, NULL, 0, &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_refresh(client, &error));
    OK(keyfob_warning(client, buf, sizeof buf, &len, &error));
    keyfob_login *login;
    IS(KEYFOB_INVALID_INPUT, keyfob_login_start(client, TEXT("locations.readonly"), &login, &error));
    keyfob_client_free(client);
    OK(keyfob_options_set_text(options, TEXT("network_id"), TEXT("no-uuid"), &error));
    IS(KEYFOB_INVALID_INPUT, customer_new(TEXT("id"), TEXT("secret"), options, &client, &error));
    keyfob_options_free(options);

    // The test vector that Spacebring publishes.
    OK(customer_new(TEXT("client id"), TEXT("client secret"), NULL, &client, &error));
    OK(keyfob_authorization(client, 0, buf, sizeof buf, &len, &error));
    CHECK(strcmp(buf, "Basic Y2xpZW50IGlkOmNsaWVudCBzZWNyZXQ=") == 0);
    keyfob_client_free(client);

    OK(from_env("basic", &client));
    lists(client);
    keyfob_client_free(client);
}

static keyfob_login *begin(keyfob_client *client, const char *how) {
    static char url[4096];
    size_t len, needed;
    keyfob_login *login;
    OK(keyfob_login_start(client, TEXT("locations.readonly  plans.readonly"), &login, &error));
    IS(KEYFOB_BUFFER_TOO_SMALL, keyfob_login_url(login, NULL, 0, &needed, &error));
    IS(KEYFOB_BUFFER_TOO_SMALL, keyfob_login_url(login, url, needed - 1, &len, &error));
    OK(keyfob_login_url(login, url, needed, &len, &error));
    CHECK(len == needed - 1 && strlen(url) == len);
    // The address for a command line reveals nothing of the login, and each call returns the same one.
    char one_time[128], again[128];
    IS(KEYFOB_BUFFER_TOO_SMALL, keyfob_login_one_time_url(login, NULL, 0, &needed, &error));
    OK(keyfob_login_one_time_url(login, one_time, sizeof one_time, &len, &error));
    OK(keyfob_login_one_time_url(login, again, sizeof again, &len, &error));
    CHECK(strcmp(one_time, again) == 0 && len == needed - 1 && strlen(one_time) == len);
    CHECK(strncmp(one_time, TEXT("http://127.0.0.1:")) == 0 && strchr(one_time, '?') == NULL);
    printf("%s %s\n", how, url);
    fflush(stdout);
    return login;
}

static void pasted(char *callback, size_t size) {
    CHECK(fgets(callback, (int)size, stdin) != NULL);
    callback[strcspn(callback, "\n")] = 0;
}

static void partner(void) {
    static kept seen;
    static char callback[4096];
    char buf[4096];
    size_t len;
    keyfob_client *client, *later;
    keyfob_login *login;
    keyfob_options *options = settings();
    const char *id = env("SPACEBRING_CLIENT_ID"), *secret = env("SPACEBRING_CLIENT_SECRET");
    const char *redirect_uri = "http://127.0.0.1:0/callback";
    OK(keyfob_options_set_on_renewed(options, keep, &seen, &error));
    OK(keyfob_options_set_text(options, TEXT("store"), TEXT(env("OTHER_STORE")), &error));
    OK(partner_new(TEXT(id), TEXT(secret), TEXT(redirect_uri), options, &client, &error));

    // No person has logged in.
    IS(KEYFOB_LOGIN_REQUIRED, keyfob_authorization(client, 0, buf, sizeof buf, &len, &error));
    IS(KEYFOB_LOGIN_REQUIRED, keyfob_refresh(client, &error));
    IS(KEYFOB_LOGIN_REQUIRED, keyfob_revoke(client, &error));
    gathered *none = NULL;
    IS(KEYFOB_LOGIN_REQUIRED, get_answer(client, TEXT("/locations/v1"), gather, none, NULL, &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_login_start(client, TEXT("bad\"scope"), &login, &error));

    // No callback arrives.
    OK(keyfob_login_start(client, TEXT("locations.readonly"), &login, &error));
    IS(KEYFOB_TIMEOUT, keyfob_login_wait(login, 20, &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_login_wait(login, 20, &error));
    keyfob_login_free(login);

    // A callback arrives.
    login = begin(client, "wait");
    OK(keyfob_login_wait(login, 20000, &error));
    CHECK(seen.calls == 1 && seen.refresh_len > 0 && seen.scope_len > 0);
    IS(KEYFOB_INVALID_INPUT, keyfob_login_finish(login, TEXT("http://127.0.0.1/callback?code=1"), &error));
    keyfob_login_free(login);
    const char *token = token_of(client);
    CHECK(strlen(token) == seen.access_len && memcmp(token, seen.access, seen.access_len) == 0);
    lists(client);
    OK(keyfob_refresh(client, &error));
    CHECK(seen.calls == 2 && strcmp(token_of(client), token) != 0);
    lists(client);

    // A later run uses the store.
    OK(partner_new(TEXT(id), TEXT(secret), TEXT(redirect_uri), options, &later, &error));
    CHECK(strcmp(token_of(later), token_of(client)) == 0);
    keyfob_client_free(later);

    // A later run uses tokens that the caller has stored.
    OK(keyfob_options_set_text(options, TEXT("store"), NULL, 0, &error));
    OK(partner_new(TEXT(id), TEXT(secret), TEXT(redirect_uri), options, &later, &error));
    IS(KEYFOB_LOGIN_REQUIRED, keyfob_authorization(later, 0, buf, sizeof buf, &len, &error));
    keyfob_token own;
    memset(&own, 0, sizeof own);
    own.access_token = seen.access;
    own.access_token_len = seen.access_len;
    own.refresh_token = seen.refresh;
    own.refresh_token_len = seen.refresh_len;
    own.scope = seen.scope;
    own.scope_len = seen.scope_len;
    own.obtained_at = seen.obtained_at;
    own.expires_at = 1;
    OK(keyfob_restore(later, &own, &error));
    CHECK(seen.calls == 2);
    lists(later);
    CHECK(seen.calls == 3);
    // In milliseconds, this is in 2001.
    own.expires_at = 1000000000000;
    OK(keyfob_restore(later, &own, &error));
    lists(later);
    CHECK(seen.calls == 4);
    own.access_token_len = 0;
    IS(KEYFOB_INVALID_INPUT, keyfob_restore(later, &own, &error));
    keyfob_client_free(later);

    OK(keyfob_revoke(client, &error));
    IS(KEYFOB_LOGIN_REQUIRED, keyfob_authorization(client, 0, buf, sizeof buf, &len, &error));
    IS(KEYFOB_LOGIN_REQUIRED, keyfob_revoke(client, &error));

    // The browser is on another machine. A login stays valid after its client was freed.
    login = begin(client, "paste");
    pasted(callback, sizeof callback);
    // A wrong pasted address does not use the login up.
    IS(KEYFOB_INVALID_INPUT, keyfob_login_finish(login, TEXT(""), &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_login_finish(login, TEXT("https://app.example/callback"), &error));
    IS(KEYFOB_PROTOCOL, keyfob_login_finish(login, TEXT("https://app.example/callback?code=a&state=b"), &error));
    OK(keyfob_login_finish(login, TEXT(callback), &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_login_finish(login, TEXT(callback), &error));
    keyfob_login_free(login);
    lists(client);
    login = begin(client, "paste");
    pasted(callback, sizeof callback);
    keyfob_client_free(client);
    OK(keyfob_login_finish(login, TEXT(callback), &error));
    keyfob_login_free(login);

    // The login works with all three switches.
    OK(keyfob_options_set_text(options, TEXT("without"), TEXT("state"), &error));
    OK(keyfob_options_set_text(options, TEXT("without"), TEXT("pkce"), &error));
    OK(keyfob_options_set_text(options, TEXT("without"), TEXT("redirect_uri_in_exchange"), &error));
    OK(partner_new(TEXT(id), TEXT(secret), TEXT(redirect_uri), options, &client, &error));
    login = begin(client, "paste");
    pasted(callback, sizeof callback);
    CHECK(strstr(callback, "state=") == NULL);
    OK(keyfob_login_finish(login, TEXT(callback), &error));
    keyfob_login_free(login);
    keyfob_client_free(client);
    keyfob_options_free(options);

    // Tokens of another login, and no tokens at all.
    OK(from_env("oauth2", &client));
    OK(keyfob_login_start(client, TEXT("locations.readonly"), &login, &error));
    IS(KEYFOB_PROTOCOL,
       keyfob_login_finish(login, TEXT("http://127.0.0.1/callback?code=abc&state=wrong"), &error));
    keyfob_login_free(login);
    OK(keyfob_login_start(client, TEXT("locations.readonly"), &login, &error));
    IS(KEYFOB_INVALID_INPUT, keyfob_login_finish(login, TEXT("nonsense"), &error));
    keyfob_login_free(login);
    keyfob_client_free(client);
}

// The name of the service stands for a customer, unless a variable says otherwise.
static void by_name(void) {
    char buf[4096];
    size_t len;
    keyfob_client *client;
    CHECK(unsetenv("SPACEBRING_AUTH") == 0);
    OK(keyfob_client_from_config(TEXT("spacebring"), NULL, &client, &error));
    OK(keyfob_authorization(client, 0, buf, sizeof buf, &len, &error));
    CHECK(strncmp(buf, "Basic ", 6) == 0);
    keyfob_client_free(client);
    CHECK(setenv("SPACEBRING_AUTH", "oauth2", 1) == 0);
    OK(keyfob_client_from_config(TEXT("spacebring"), NULL, &client, &error));
    IS(KEYFOB_LOGIN_REQUIRED, keyfob_authorization(client, 0, buf, sizeof buf, &len, &error));
    keyfob_client_free(client);
    CHECK(setenv("SPACEBRING_AUTH", "other", 1) == 0);
    IS(KEYFOB_INVALID_INPUT, keyfob_client_from_config(TEXT("spacebring"), NULL, &client, &error));
    CHECK(unsetenv("SPACEBRING_AUTH") == 0);
}

static void without_credentials(void) {
    keyfob_client *client;
    CHECK(unsetenv("SPACEBRING_CLIENT_SECRET") == 0);
    IS(KEYFOB_NO_CREDENTIALS, from_env("basic", &client));
    IS(KEYFOB_NO_CREDENTIALS, from_env("oauth2", &client));
}

int main(void) {
    customer();
    partner();
    by_name();
    without_credentials();
    return 0;
}
