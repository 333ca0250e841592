// A login on a machine without a browser, at any server, with options alone:
// cc device_login.c $(pkg-config --cflags --libs keyfob)
//
// Usage: device_login ISSUER CLIENT_ID API_URL STORE PATH
//
// The first run shows a URL and a code, for a browser on any other device. Later runs need no person: they use
// the tokens in the folder STORE. PATH is appended to the URL of the API, and the answer is printed.

#include <keyfob.h>
#include <stdio.h>
#include <string.h>

static keyfob_status make_client(char **values, keyfob_client **client, keyfob_error *error) {
    const char *texts[][2] = {
        {"grant", "device_code"},
        {"issuer", values[0]},
        {"client_id", values[1]},
        // A client without a secret. With one, leave this out, and set `client_secret_file`.
        {"client_auth", "none"},
        {"api_url", values[2]},
        {"store", values[3]},
    };
    keyfob_options *options;
    keyfob_status status = keyfob_options_new(&options, error);
    if (status != KEYFOB_OK) {
        return status;
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts && status == KEYFOB_OK; i++) {
        const char *key = texts[i][0], *value = texts[i][1];
        status = keyfob_options_set_text(options, key, strlen(key), value, strlen(value), error);
    }
    if (status == KEYFOB_OK) {
        status = keyfob_client_new("device", 6, options, client, error);
    }
    keyfob_options_free(options);
    return status;
}

static keyfob_status log_in(keyfob_client *client, keyfob_error *error) {
    keyfob_login *login;
    char uri[2048], code[256];
    size_t len;
    keyfob_status status = keyfob_login_start(client, NULL, 0, &login, error);
    if (status != KEYFOB_OK) {
        return status;
    }
    status = keyfob_login_verification_uri(login, uri, sizeof uri, &len, error);
    if (status == KEYFOB_OK) {
        status = keyfob_login_user_code(login, code, sizeof code, &len, error);
    }
    if (status == KEYFOB_OK) {
        fprintf(stderr, "open %s\nand enter %s\n", uri, code);
        // The server may end the login sooner.
        status = keyfob_login_wait(login, 15 * 60 * 1000, error);
    }
    keyfob_login_free(login);
    return status;
}

static int print(const char *data, size_t len, void *file) {
    return fwrite(data, 1, len, file) != len;
}

static keyfob_status get(keyfob_client *client, const char *path, keyfob_error *error) {
    return keyfob_request(client, "GET", 3, path, strlen(path), NULL, 0, NULL, 0, print, stdout, NULL, error);
}

int main(int argc, char **argv) {
    keyfob_client *client;
    keyfob_error error;
    char warnings[4096];
    size_t len;

    if (argc != 6) {
        fprintf(stderr, "usage: %s ISSUER CLIENT_ID API_URL STORE PATH\n", argv[0]);
        return 2;
    }
    keyfob_status status = make_client(argv + 1, &client, &error);
    if (status == KEYFOB_OK) {
        status = get(client, argv[5], &error);
        // Nobody has logged in yet, or the login has ended.
        if (status == KEYFOB_LOGIN_REQUIRED && (status = log_in(client, &error)) == KEYFOB_OK) {
            status = get(client, argv[5], &error);
        }
        // Such as tokens that could not be saved.
        if (keyfob_warning(client, warnings, sizeof warnings, &len, NULL) == KEYFOB_OK && len > 0) {
            fprintf(stderr, "warning: %s\n", warnings);
        }
        keyfob_client_free(client);
    }
    if (status != KEYFOB_OK) {
        fprintf(stderr, "%s: %s\n", keyfob_status_name(status), error.message);
        return 1;
    }
    return 0;
}
