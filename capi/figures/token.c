// A program that only gets a token.

#include <keyfob.h>
#include <stdio.h>

int main(void) {
    keyfob_client *client;
    keyfob_error error;
    char buf[4096];
    size_t len;
    if (keyfob_spatiafi_from_env(NULL, &client, &error) ||
        keyfob_authorization(client, 60, buf, sizeof buf, &len, &error)) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    puts(buf);
    keyfob_client_free(client);
    return 0;
}
