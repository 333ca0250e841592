// After a handle was freed, no vector register holds data. Pieces of secrets of 16 bytes pass through these
// registers.

#include "check.h"

#if defined(__x86_64__)

static int ignore(const char *name, size_t name_len, const char *value, size_t value_len, void *user) {
    return name == NULL || name_len == 0 || value == NULL || value_len == 0 || user != NULL;
}

static unsigned char registers[16][32];

#define SAVE_SSE(n) __asm__ __volatile__("movups %%xmm" #n ", %0" : "=m"(registers[n]))
#define SAVE_AVX(n) __asm__ __volatile__("vmovups %%ymm" #n ", %0" : "=m"(registers[n]))
#define EACH(save) \
    do { \
        save(0); save(1); save(2); save(3); save(4); save(5); save(6); save(7); \
        save(8); save(9); save(10); save(11); save(12); save(13); save(14); save(15); \
    } while (0)

// Reads the registers right after the call, before any other code runs.
#define FREES(call) \
    do { \
        if (avx) { \
            call; \
            EACH(SAVE_AVX); \
        } else { \
            call; \
            EACH(SAVE_SSE); \
        } \
        is_clear(#call); \
    } while (0)

static void is_clear(const char *call) {
    int n;
    size_t i;
    for (n = 0; n < 16; n++) {
        for (i = 0; i < sizeof registers[n]; i++) {
            if (registers[n][i] != 0) {
                fprintf(stderr, "register %d is not clear after %s\n", n, call);
                exit(1);
            }
        }
    }
}

// Frees an unused handle after setting all registers.
static void fill(int avx) {
    static const unsigned char ones[32] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
                                           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
#define FILL_SSE(n) __asm__ __volatile__("movups %0, %%xmm" #n : : "m"(ones) : "xmm" #n)
#define FILL_AVX(n) __asm__ __volatile__("vmovups %0, %%ymm" #n : : "m"(ones) : "xmm" #n)
    if (avx) {
        EACH(FILL_AVX);
    } else {
        EACH(FILL_SSE);
    }
}

int main(void) {
    const int avx = __builtin_cpu_supports("avx");
    int run;
    for (run = 0; run < 20; run++) {
        size_t len;
        static char value[4096];
        static gathered body;
        keyfob_options *options = sandbox_options();
        OK(keyfob_options_set_text(options, TEXT("headers.x-api-key"), TEXT("a key of some length"), &error));
        keyfob_client *client = spatiafi(options);
        keyfob_client *partner;
        keyfob_login *login;
        OK(keyfob_authorization(client, 60, value, sizeof value, &len, &error));
        body.len = 0;
        OK(get_answer(client, TEXT("/api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0"), gather, &body, NULL,
                      &error));
        OK(keyfob_invalidate(client, value + 7, len - 7, &error));
        OK(keyfob_headers(client, 60, ignore, NULL, &error));
        FREES(keyfob_client_free(client));
        OK(partner_new(TEXT("id"), TEXT("a client secret of some length"),
                                         TEXT("https://app.example/callback"), NULL, &partner, &error));
        OK(keyfob_login_start(partner, TEXT("locations"), &login, &error));
        FREES(keyfob_login_free(login));
        FREES(keyfob_client_free(partner));
        options = sandbox_options();
        fill(avx);
        FREES(keyfob_options_free(options));
    }
    return 0;
}

#else

int main(void) {
    return 0;
}

#endif
