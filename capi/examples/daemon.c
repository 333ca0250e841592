// Threads that share one client, as a daemon's do: cc -pthread daemon.c $(pkg-config --cflags --libs keyfob)
//
// Each asks the API once a second, for so many seconds. There is one token for all of them, renewed in time by whichever
// thread comes first; the others go on with the old one meanwhile.

#include <keyfob.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS 4

static int seconds;

static void renewed(const keyfob_token *token, void *unused) {
    (void)unused;
    // Never the token itself.
    fprintf(stderr, "a new token, good for %ld s\n", (long)(token->expires_at - token->obtained_at));
}

static int count(const char *data, size_t len, void *sum) {
    (void)data;
    *(size_t *)sum += len;
    return 0;
}

static void *work(void *client) {
    const char *path = "/api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0";
    for (int second = 0; second < seconds; second++) {
        keyfob_error error;
        size_t sum = 0;
        keyfob_status status = keyfob_get(client, path, strlen(path), count, &sum, NULL, &error);
        if (status == KEYFOB_OK) {
            printf("%zu bytes\n", sum);
        } else {
            // A daemon does not give up over one failure. What a person has to do is another matter.
            fprintf(stderr, "%s: %s\n", keyfob_status_name(status), error.message);
            if (status == KEYFOB_LOGIN_REQUIRED || status == KEYFOB_NO_CREDENTIALS) {
                exit(1);
            }
        }
        sleep(1);
    }
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t threads[THREADS];
    keyfob_options *options;
    keyfob_client *client;
    keyfob_error error;

    seconds = argc > 1 ? atoi(argv[1]) : 3600;
    if (keyfob_options_new(&options, &error) || keyfob_options_set_on_renewed(options, renewed, NULL, &error) ||
        keyfob_spatiafi_from_env(options, &client, &error)) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    keyfob_options_free(options);
    for (int i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, work, client) != 0) {
            return 1;
        }
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    keyfob_client_free(client);
    return 0;
}
