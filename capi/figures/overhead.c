// Nanoseconds for each keyfob_authorization while the token is valid: one line for each round, as they are asked for on standard
// input. The Rust side is examples/overhead.rs.

#define _POSIX_C_SOURCE 200809L

#include <keyfob.h>
#include <stdio.h>
#include <time.h>

#define CALLS 1000000

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
    while (getchar() == '\n') {
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        for (int call = 0; call < CALLS; call++) {
            if (keyfob_authorization(client, 60, buf, sizeof buf, &len, &error)) {
                return 1;
            }
        }
        clock_gettime(CLOCK_MONOTONIC, &to);
        double ns = (double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec);
        printf("%.1f\n", ns / CALLS);
        fflush(stdout);
    }
    keyfob_client_free(client);
    return 0;
}
