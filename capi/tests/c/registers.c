// After a handle was freed, no vector register holds data, and the stack below the caller is wiped. Pieces of
// secrets of 16 bytes pass through these registers.

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

static long left_at;

#define LEFT (32 * 1024)

// Leaves a mark below the caller's frame, as a call that did not wipe its stack would.
static __attribute__((noinline)) void leave_on_the_stack(void) {
    volatile unsigned char mark[LEFT];
    size_t i;
    for (i = 0; i < LEFT; i++) {
        mark[i] = 0xA5;
    }
    left_at = (long)(uintptr_t)mark;
}

// Reads the memory below through the system, because a program may not read what is no longer its own.
static void stack_is_wiped(void) {
    static unsigned char found[LEFT];
    size_t i, marks = 0;
    FILE *memory = fopen("/proc/self/mem", "rb");
    CHECK(memory != NULL);
    setbuf(memory, NULL);
    CHECK(fseek(memory, left_at, SEEK_SET) == 0);
    CHECK(fread(found, 1, LEFT, memory) == LEFT);
    CHECK(fclose(memory) == 0);
    for (i = 0; i < LEFT; i++) {
        marks += found[i] == 0xA5;
    }
    if (marks > 64) {
        fprintf(stderr, "%zu marks are left on the stack\n", marks);
        exit(1);
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
        options = sandbox_options();
        leave_on_the_stack();
        keyfob_options_free(options);
        stack_is_wiped();
    }
    return 0;
}

#else

int main(void) {
    return 0;
}

#endif
