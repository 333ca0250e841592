// Errors carry what the server said. The sandbox refuses one request, then asks for a wait of 90 s, and
// refuses the login.

#include "check.h"

static int ignore(const char *piece, size_t len, void *user) {
    (void)piece;
    (void)len;
    (void)user;
    return 0;
}

int main(void) {
    char buf[4096];
    size_t len;
    keyfob_options *options = sandbox_options();
    OK(keyfob_options_set_number(options, TEXT("timeout_ms"), 1000, &error));
    keyfob_client *client = spatiafi(options);
    IS(KEYFOB_REFUSED, keyfob_authorization(client, 0, buf, sizeof buf, &len, &error));
    CHECK(strcmp(error.oauth_error, "invalid_client") == 0 && error.http_status == 401);
    CHECK(error.retry_after_ms == 0 && strstr(error.message, "no such client") != NULL);
    IS(KEYFOB_RATE_LIMITED, keyfob_authorization(client, 0, buf, sizeof buf, &len, &error));
    CHECK(error.http_status == 429 && error.oauth_error[0] == 0);
    CHECK(error.retry_after_ms >= 60000);

    // "GET … HTTP/1.1\r\n" must fit whole into a buffer of 16384 bytes.
    char path[16371] = "/";
    memset(path + 1, 'p', sizeof path - 2);
    path[sizeof path - 1] = 0;
    int status;
    IS(KEYFOB_INVALID_INPUT, get_answer(client, path, strlen(path), ignore, NULL, &status, &error));
    CHECK(strstr(error.message, "are 16370 bytes long; at most 16369 can be sent") != NULL);
    CHECK(strchr(error.message, '`') == NULL);
    keyfob_client_free(client);

    options = sandbox_options();
    IS(KEYFOB_LOGIN_REQUIRED, keyfob_spatiafi_login(TEXT("somebody"), TEXT("password"), NULL, NULL, options, &client, &error));
    CHECK(strcmp(error.oauth_error, "invalid_grant") == 0 && error.http_status == 400);
    keyfob_options_free(options);
    return 0;
}
