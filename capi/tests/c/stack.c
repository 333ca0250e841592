// A client, a token and a signed GET over TLS need no more than the 256 KiB of stack that the header asks
// for.

#include <pthread.h>

#include "check.h"

static void *work(void *unused) {
    static gathered body;
    static char value[4096];
    size_t len;
    (void)unused;
    keyfob_client *client = spatiafi(sandbox_options());
    OK(keyfob_authorization(client, 60, value, sizeof value, &len, &error));
    OK(get_answer(client, TEXT("/api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0"), gather, &body, NULL,
                  &error));
    CHECK(strstr(body.data, "ce-wildfire-risk") != NULL);
    keyfob_client_free(client);
    return NULL;
}

int main(void) {
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstacksize(&attributes, 256 * 1024) == 0);
    CHECK(pthread_create(&thread, &attributes, work, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(pthread_attr_destroy(&attributes) == 0);
    return 0;
}
