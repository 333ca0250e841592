// Threads that share one client, as in a daemon: cc -pthread daemon.c $(pkg-config --cflags --libs keyfob)
//
// Usage: daemon SERVICE PATH SECONDS
//
// The service is built in, or described by config.toml. Each thread requests PATH from its API once a second.
// All threads use one token. The first thread that needs a new token renews it; the others use the old token in
// the meantime.

#include <keyfob.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS 4

struct work {
    keyfob_client *client;
    const char *path;
    int seconds;
};

// A log record is one line, and never holds a secret.
static void print_log(int level, const char *text, size_t len, void *unused) {
    static const char *levels[] = {"", "error", "warning", "info", "debug"};
    (void)unused;
    fprintf(stderr, "%s: %.*s\n", levels[level], (int)len, text);
}

static void renewed(const keyfob_token *token, void *unused) {
    (void)unused;
    // Never print the token itself.
    fprintf(stderr, "a new token, valid for %ld s\n", (long)(token->expires_at - token->obtained_at));
}

static int count(const char *data, size_t len, void *sum) {
    (void)data;
    *(size_t *)sum += len;
    return 0;
}

static void *run(void *argument) {
    const struct work *work = argument;
    for (int second = 0; second < work->seconds; second++) {
        keyfob_error error;
        size_t sum = 0;
        keyfob_status status = keyfob_request(work->client, "GET", 3, work->path, strlen(work->path), NULL, 0,
                                              NULL, 0, count, &sum, NULL, &error);
        if (status == KEYFOB_OK) {
            printf("%zu bytes\n", sum);
        } else {
            // A daemon continues after a failure, unless a person has to act.
            fprintf(stderr, "%s: %s\n", keyfob_status_name(status), error.message);
            if (status == KEYFOB_LOGIN_REQUIRED || status == KEYFOB_NO_CREDENTIALS) {
                exit(1);
            }
        }
        sleep(1);
    }
    return NULL;
}

static keyfob_status make_client(const char *service, keyfob_client **client, keyfob_error *error) {
    keyfob_options *options;
    keyfob_status status = keyfob_set_log(4, print_log, NULL, error);
    if (status == KEYFOB_OK) {
        status = keyfob_options_new(&options, error);
    }
    if (status == KEYFOB_OK) {
        status = keyfob_options_set_on_renewed(options, renewed, NULL, error);
        if (status == KEYFOB_OK) {
            status = keyfob_client_from_config(service, strlen(service), options, client, error);
        }
        keyfob_options_free(options);
    }
    return status;
}

int main(int argc, char **argv) {
    pthread_t threads[THREADS];
    struct work work;
    keyfob_error error;

    if (argc != 4) {
        fprintf(stderr, "usage: %s SERVICE PATH SECONDS\n", argv[0]);
        return 2;
    }
    work.path = argv[2];
    work.seconds = atoi(argv[3]);
    if (make_client(argv[1], &work.client, &error) != KEYFOB_OK) {
        fprintf(stderr, "%s: %s\n", keyfob_status_name(error.status), error.message);
        return 1;
    }
    for (int i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, run, &work) != 0) {
            return 1;
        }
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    keyfob_client_free(work.client);
    return 0;
}
