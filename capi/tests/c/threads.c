// Threads share one client while its tokens expire: THREADS threads make CALLS calls each, spread over
// SECONDS.

#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <time.h>

#include "check.h"

static keyfob_client *client;
static long calls, seconds;
static struct timespec begun;

static double elapsed(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - begun.tv_sec) + (double)(now.tv_nsec - begun.tv_nsec) / 1e9;
}

static void *work(void *unused) {
    (void)unused;
    long call;
    for (call = 0; call < calls; call++) {
        char buf[4096];
        size_t len;
        keyfob_error own;
        keyfob_status status = keyfob_authorization(client, 0, buf, sizeof buf, &len, &own);
        if (status != KEYFOB_OK) {
            fprintf(stderr, "call %ld: %s: %s\n", call, keyfob_status_name(status), own.message);
            exit(1);
        }
        CHECK(len > 7 && strncmp(buf, "Bearer ", 7) == 0 && buf[len] == 0);
        // If the thread is early, it sleeps.
        double ahead = (double)seconds * (double)call / (double)calls - elapsed();
        if (ahead > 0.002) {
            struct timespec time = {0, 0};
            time.tv_nsec = (long)(ahead * 1e9) % 1000000000;
            nanosleep(&time, NULL);
        }
    }
    return NULL;
}

int main(void) {
    pthread_t threads[64];
    int count = atoi(env("THREADS")), i;
    calls = atol(env("CALLS"));
    seconds = atol(env("SECONDS"));
    CHECK(count > 0 && count <= 64);
    client = spatiafi(sandbox_options());
    clock_gettime(CLOCK_MONOTONIC, &begun);
    for (i = 0; i < count; i++) {
        CHECK(pthread_create(&threads[i], NULL, work, NULL) == 0);
    }
    for (i = 0; i < count; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    printf("%.1f\n", elapsed());
    keyfob_client_free(client);
    return 0;
}
