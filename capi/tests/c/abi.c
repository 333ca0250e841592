// Checks the fixed signatures, the fixed numbers, and the version.

#include "check.h"

static keyfob_status (*const SPATIAFI_NEW)(const char *, size_t, const char *, size_t, const keyfob_options *,
                                           keyfob_client **, keyfob_error *) = keyfob_spatiafi_new;
static keyfob_status (*const SPATIAFI_FROM_ENV)(const keyfob_options *, keyfob_client **,
                                                keyfob_error *) = keyfob_spatiafi_from_env;
static keyfob_status (*const AUTHORIZATION)(keyfob_client *, uint32_t, char *, size_t, size_t *,
                                            keyfob_error *) = keyfob_authorization;
static void (*const CLIENT_FREE)(keyfob_client *) = keyfob_client_free;
static const char *(*const VERSION)(void) = keyfob_version;

static const struct {
    int number;
    const char *name;
} STATUSES[] = {
    {0, "KEYFOB_OK"},
    {1, "KEYFOB_INVALID_INPUT"},
    {2, "KEYFOB_NO_CREDENTIALS"},
    {3, "KEYFOB_LOGIN_REQUIRED"},
    {4, "KEYFOB_REFUSED"},
    {5, "KEYFOB_PROTOCOL"},
    {6, "KEYFOB_NETWORK"},
    {7, "KEYFOB_TIMEOUT"},
    {8, "KEYFOB_CLOCK"},
    {9, "KEYFOB_RATE_LIMITED"},
    {10, "KEYFOB_STORE"},
    {11, "KEYFOB_API_STATUS"},
    {12, "KEYFOB_NULL_POINTER"},
    {13, "KEYFOB_BUFFER_TOO_SMALL"},
    {14, "KEYFOB_STOPPED"},
    {15, "KEYFOB_FORKED"},
    {16, "KEYFOB_PANIC"},
    {17, "KEYFOB_RANDOM"},
};

int main(void) {
    int number;
    CHECK(SPATIAFI_NEW && SPATIAFI_FROM_ENV && AUTHORIZATION && CLIENT_FREE);
    CHECK(strcmp(VERSION(), KEYFOB_VERSION) == 0);
    CHECK(sizeof(keyfob_status) == 4 && sizeof(keyfob_error) == 16 + 64 + 1024);
    CHECK(sizeof(keyfob_token) == 6 * sizeof(size_t) + 16);
    for (number = 0; number <= KEYFOB_RANDOM; number++) {
        CHECK(STATUSES[number].number == number);
        CHECK(strcmp(keyfob_status_name(number), STATUSES[number].name) == 0);
    }
    for (number = KEYFOB_RANDOM + 1; number < 100; number++) {
        CHECK(strcmp(keyfob_status_name(number), "unknown status") == 0);
    }
    CHECK(strcmp(keyfob_status_name(-1), "unknown status") == 0);
    CHECK(strcmp(keyfob_status_name(0x7fffffff), "unknown status") == 0);
    return 0;
}
