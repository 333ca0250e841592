// A person logs in at Spacebring with a browser, once. The next run uses the stored tokens:
// cc login.c $(pkg-config --cflags --libs keyfob)
//
// SPACEBRING_CLIENT_ID, SPACEBRING_CLIENT_SECRET and SPACEBRING_NETWORK_ID are read from the environment.
// With `--paste` the browser may be on another machine. With `--revoke` the login is revoked at the end.

#include <keyfob.h>
#include <stdio.h>
#include <string.h>

static int print(const char *data, size_t len, void *file) {
    return fwrite(data, 1, len, (FILE *)file) != len;
}

static keyfob_status log_in(keyfob_client *client, int paste, keyfob_error *error) {
    const char *scopes = "locations.readonly";
    keyfob_login *login;
    char url[4096];
    size_t len;
    keyfob_status status = keyfob_login_start(client, scopes, strlen(scopes), &login, error);
    if (status != KEYFOB_OK) {
        return status;
    }
    status = keyfob_login_url(login, url, sizeof url, &len, error);
    if (status == KEYFOB_OK) {
        fprintf(stderr, "open %s\n", url);
        if (paste) {
            fprintf(stderr, "then paste the address that the browser ends at:\n");
            static char callback[65538];
            // If nothing can be read, the address is empty and `keyfob_login_finish` refuses it.
            (void)!fgets(callback, sizeof callback, stdin);
            status = keyfob_login_finish(login, callback, strcspn(callback, "\n"), error);
        } else {
            status = keyfob_login_wait(login, 300000, error);
        }
    }
    keyfob_login_free(login);
    return status;
}

int main(int argc, char **argv) {
    const char *path = "/locations/v1";
    const char *option = argc > 1 ? argv[1] : "";
    keyfob_options *options;
    keyfob_client *client;
    keyfob_error error;

    keyfob_status status = keyfob_options_new(&options, &error);
    if (status == KEYFOB_OK) {
        status = keyfob_options_set_text(options, "auth", 4, "oauth2", 6, &error);
        if (status == KEYFOB_OK) {
            status = keyfob_client_from_config("spacebring", 10, options, &client, &error);
        }
        keyfob_options_free(options);
    }
    if (status == KEYFOB_OK) {
        status = keyfob_request(client, "GET", 3, path, strlen(path), NULL, 0, NULL, 0, print, stdout, NULL, &error);
        if (status == KEYFOB_LOGIN_REQUIRED) {
            status = log_in(client, strcmp(option, "--paste") == 0, &error);
            if (status == KEYFOB_OK) {
                status = keyfob_request(client, "GET", 3, path, strlen(path), NULL, 0, NULL, 0, print, stdout, NULL, &error);
            }
        }
        if (status == KEYFOB_OK && strcmp(option, "--revoke") == 0) {
            status = keyfob_revoke(client, &error);
        }
        keyfob_client_free(client);
    }
    if (status != KEYFOB_OK) {
        fprintf(stderr, "%s: %s\n", keyfob_status_name(status), error.message);
        return 1;
    }
    return 0;
}
