// An authenticated GET without any other library: cc get.c $(pkg-config --cflags --libs keyfob)
//
// The credentials are read from the environment (SPATIAFI_CLIENT_ID, SPATIAFI_CLIENT_SECRET) or from the file
// of the official Python client. The answer is printed to standard output.

#include <keyfob.h>
#include <stdio.h>
#include <string.h>

static int print(const char *data, size_t len, void *file) {
    return fwrite(data, 1, len, (FILE *)file) != len;
}

int main(int argc, char **argv) {
    const char *url = argc > 1 ? argv[1] : "/api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0";
    keyfob_client *client;
    keyfob_error error;

    keyfob_status status = keyfob_spatiafi_from_env(NULL, &client, &error);
    if (status == KEYFOB_OK) {
        status = keyfob_request(client, "GET", 3, url, strlen(url), NULL, 0, NULL, 0, print, stdout, NULL, &error);
        keyfob_client_free(client);
    }
    if (status != KEYFOB_OK) {
        fprintf(stderr, "%s: %s\n", keyfob_status_name(status), error.message);
        return 1;
    }
    return 0;
}
