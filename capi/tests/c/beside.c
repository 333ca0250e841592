// A program that links another static library of Rust code. Each of the two has its own heap, thread-local
// values and panics.

#include <stdint.h>

#include "check.h"

#ifdef __cplusplus
extern "C" {
#endif
uint64_t other_calls(void);
uint64_t other_allocations(void);
uint64_t other_work(void);
int other_panic(void);
#ifdef __cplusplus
}
#endif

int main(void) {
    static gathered body;
    uint64_t before, i;
    keyfob_client *client;
    CHECK(other_calls() == 1);
    CHECK(other_work() == 499500);
    before = other_allocations();
    CHECK(before > 1000);
    client = spatiafi(sandbox_options());
    for (i = 0; i < 2; i++) {
        const char *token = token_of(client);
        CHECK(strlen(token) > 20);
        body.len = 0;
        OK(get_answer(client, TEXT("/api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0"), gather, &body, NULL,
                      &error));
        CHECK(strstr(body.data, "ce-wildfire-risk") != NULL);
        OK(keyfob_invalidate(client, token, strlen(token), &error));
    }
    CHECK(other_allocations() == before);
    CHECK(other_panic() == 1);
    CHECK(other_calls() == 3);
    IS(KEYFOB_INVALID_INPUT, get_answer(client, TEXT("no path"), gather, &body, NULL, &error));
    keyfob_client_free(client);
    CHECK(other_work() == 499500);
    return 0;
}
