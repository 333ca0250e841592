// Uses every secret that there is, frees everything, and waits to be looked at. The secrets come from the file SECRETS, a
// line each; those that the library got go to the file FOUND, a line each. No stdio: its buffers are nobody's to wipe.

#define _POSIX_C_SOURCE 200809L

#include <fcntl.h>
#include <unistd.h>

#include "check.h"

static char file[8192], token[8192];
static int found;

static void wipe(void *start, size_t len) {
    volatile char *bytes = (volatile char *)start;
    while (len-- > 0) {
        *bytes++ = 0;
    }
}

static void note(const char *text, size_t len) {
    CHECK(write(found, text, len) == (ssize_t)len && write(found, "\n", 1) == 1);
}

static int keep(const char *json, size_t len, void *user) {
    (void)user;
    const char *secret = strstr(json, "\"client_secret\"");
    CHECK(secret != NULL && secret < json + len);
    secret = strchr(strchr(secret, ':'), '"') + 1;
    note(secret, (size_t)(strchr(secret, '"') - secret));
    return 0;
}

static void use(keyfob_client *client) {
    static gathered body;
    size_t len;
    int i;
    for (i = 0; i < 2; i++) {
        OK(keyfob_authorization(client, 60, token, sizeof token, &len, &error));
        note(token + 7, len - 7);
        body.len = 0;
        OK(keyfob_get(client, TEXT("/api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0"), gather, &body, NULL,
                      &error));
        OK(keyfob_invalidate(client, token, len, &error));
    }
    keyfob_client_free(client);
}

int main(void) {
    char *lines[5], wrong[256], done;
    int i, fd = open(env("SECRETS"), O_RDONLY);
    size_t len;
    keyfob_client *client;
    CHECK(fd >= 0 && read(fd, file, sizeof file - 1) > 0);
    found = open(env("FOUND"), O_WRONLY | O_CREAT, 0600);
    CHECK(found >= 0);
    for (i = 0; i < 5; i++) {
        lines[i] = i == 0 ? strtok(file, "\n") : strtok(NULL, "\n");
        CHECK(lines[i] != NULL);
    }
    keyfob_options *options = sandbox_options();
    OK(keyfob_options_set_api_url(options, TEXT(env("SPATIAFI_API_URL")), &error));
    OK(keyfob_options_set_store(options, TEXT(env("OTHER_STORE")), &error));
    OK(keyfob_spatiafi_new(TEXT(lines[0]), TEXT(lines[1]), options, &client, &error));
    use(client);
    OK(keyfob_spatiafi_login(TEXT(lines[2]), TEXT(lines[3]), keep, NULL, options, &client, &error));
    use(client);
    // And where it fails.
    snprintf(wrong, sizeof wrong, "%s-not", lines[1]);
    OK(keyfob_options_set_profile(options, TEXT("wrong"), &error));
    OK(keyfob_spatiafi_new(TEXT(lines[0]), TEXT(wrong), options, &client, &error));
    IS(KEYFOB_REFUSED, keyfob_authorization(client, 60, token, sizeof token, &len, &error));
    keyfob_client_free(client);
    OK(keyfob_spacebring_customer_new(TEXT("customer"), TEXT(lines[4]), options, &client, &error));
    OK(keyfob_authorization(client, 60, token, sizeof token, &len, &error));
    keyfob_client_free(client);
    keyfob_options_free(options);

    wipe(wrong, sizeof wrong);
    wipe(file, sizeof file);
    wipe(token, sizeof token);
    CHECK(write(1, "done\n", 5) == 5);
    CHECK(read(0, &done, 1) == 0);
    return 0;
}
