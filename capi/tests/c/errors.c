// What a server says when it refuses. The sandbox has been told to refuse once, and then to ask for 90 s of patience; and to
// take no login.

#include "check.h"

int main(void) {
    char buf[4096];
    size_t len;
    keyfob_options *options = sandbox_options();
    OK(keyfob_options_set_timeout_ms(options, 1000, &error));
    keyfob_client *client = spatiafi(options);
    IS(KEYFOB_REFUSED, keyfob_authorization(client, 0, buf, sizeof buf, &len, &error));
    CHECK(strcmp(error.oauth_error, "invalid_client") == 0 && error.http_status == 401);
    CHECK(error.retry_after_ms == 0 && strstr(error.message, "no such client") != NULL);
    IS(KEYFOB_RATE_LIMITED, keyfob_authorization(client, 0, buf, sizeof buf, &len, &error));
    CHECK(error.http_status == 429 && error.oauth_error[0] == 0);
    CHECK(error.retry_after_ms >= 60000);
    keyfob_client_free(client);

    options = sandbox_options();
    IS(KEYFOB_LOGIN_REQUIRED, keyfob_spatiafi_login(TEXT("somebody"), TEXT("password"), NULL, NULL, options, &client, &error));
    CHECK(strcmp(error.oauth_error, "invalid_grant") == 0 && error.http_status == 400);
    keyfob_options_free(options);
    return 0;
}
