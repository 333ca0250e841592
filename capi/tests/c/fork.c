// After a fork the parent continues, and the child receives a clear status for the parent's handles and can
// make its own. A thread that is cancelled during a call ends after the call.

#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static void ends_well(pid_t child) {
    int status;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void refused(keyfob_client *client, keyfob_login *login) {
    char buf[4096];
    size_t len = 5;
    gathered *none = NULL;
    IS(KEYFOB_FORKED, keyfob_authorization(client, 0, buf, sizeof buf, &len, &error));
    IS(KEYFOB_FORKED, keyfob_access_token(client, 0, buf, sizeof buf, &len, &error));
    IS(KEYFOB_FORKED, keyfob_invalidate(client, NULL, 0, &error));
    IS(KEYFOB_FORKED, keyfob_refresh(client, &error));
    IS(KEYFOB_FORKED, get_answer(client, TEXT("/"), gather, none, NULL, &error));
    if (login != NULL) {
        IS(KEYFOB_FORKED, keyfob_login_url(login, buf, sizeof buf, &len, &error));
        IS(KEYFOB_FORKED, keyfob_login_one_time_url(login, buf, sizeof buf, &len, &error));
        IS(KEYFOB_FORKED, keyfob_login_wait(login, 0, &error));
        keyfob_login_free(login);
    }
    CHECK(len == 5);
    keyfob_client_free(client);
}

static keyfob_status cancelled_call = KEYFOB_PANIC;

static void *to_be_cancelled(void *client) {
    // The buffer is static, because AddressSanitizer does not notice when a cancelled thread leaves its
    // stack.
    cancelled_call = keyfob_refresh((keyfob_client *)client, NULL);
    for (;;) {
        pause();
    }
    return NULL;
}

static void *slow(void *client) {
    OK(keyfob_refresh((keyfob_client *)client, &error));
    return NULL;
}

int main(void) {
    keyfob_client *client = spatiafi(sandbox_options()), *partner, *own;
    keyfob_login *login;
    static gathered body;
    const char *path = "/api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0";
    const char *token = token_of(client);
    OK(get_answer(client, TEXT(path), gather, &body, NULL, &error));
    OK(partner_new(TEXT("i"), TEXT("s"), TEXT("http://127.0.0.1:0/"), NULL, &partner, &error));
    OK(keyfob_login_start(partner, TEXT("a"), &login, &error));

    pid_t child = fork();
    if (child == 0) {
        refused(client, NULL);
        refused(partner, login);
        own = spatiafi(sandbox_options());
        CHECK(strcmp(token_of(own), token) != 0);
        memset(&body, 0, sizeof body);
        OK(get_answer(own, TEXT(path), gather, &body, NULL, &error));
        // The same in a child of the child.
        child = fork();
        if (child == 0) {
            refused(own, NULL);
            _exit(0);
        }
        ends_well(child);
        OK(get_answer(own, TEXT(path), gather, &body, NULL, &error));
        keyfob_client_free(own);
        _exit(0);
    }
    ends_well(child);
    CHECK(strcmp(token_of(client), token) == 0);
    memset(&body, 0, sizeof body);
    OK(get_answer(client, TEXT(path), gather, &body, NULL, &error));

    // Another thread holds all locks from here on: the server answers slowly.
    pthread_t thread;
    int i;
    CHECK(pthread_create(&thread, NULL, slow, client) == 0);
    for (i = 0; i < 20; i++) {
        child = fork();
        if (child == 0) {
            char buf[4096];
            size_t len;
            if (keyfob_authorization(client, 0, buf, sizeof buf, &len, NULL) == KEYFOB_FORKED) {
                execlp("true", "true", (char *)NULL);
            }
            _exit(1);
        }
        ends_well(child);
    }
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(strcmp(token_of(client), token) != 0);

    void *result = NULL;
    CHECK(pthread_create(&thread, NULL, to_be_cancelled, client) == 0);
    // The thread is cancelled before the call or during it, since the answer takes time. In both cases it
    // ends at `pause`.
    CHECK(pthread_cancel(thread) == 0);
    CHECK(pthread_join(thread, &result) == 0);
    CHECK(result == PTHREAD_CANCELED && cancelled_call == KEYFOB_OK);
    token_of(client);
    keyfob_login_free(login);
    keyfob_client_free(partner);
    keyfob_client_free(client);
    return 0;
}
