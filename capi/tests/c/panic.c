// A panic inside a call ends the call and not the program. Needs a library that was built with the feature
// `test-panic`.

#include "check.h"

#ifdef __cplusplus
extern "C"
#endif
keyfob_status keyfob_test_panic(keyfob_error *error);

int main(void) {
    int i;
    for (i = 0; i < 3; i++) {
        IS(KEYFOB_PANIC, keyfob_test_panic(&error));
        CHECK(strstr(error.message, "bug") != NULL && error.http_status == 0 && error.oauth_error[0] == 0);
        CHECK(keyfob_test_panic(NULL) == KEYFOB_PANIC);
    }
    keyfob_client *client = spatiafi(sandbox_options());
    token_of(client);
    keyfob_client_free(client);
    return 0;
}
