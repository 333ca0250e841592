// A checking allocator for LD_PRELOAD with glibc. It searches each freed block for the pieces in
// CHECKING_PIECES, in hexadecimal and separated by commas. At exit it prints how many blocks contained one,
// and where the first few were freed.

#define _GNU_SOURCE
#include <execinfo.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *__libc_malloc(size_t);
void *__libc_realloc(void *, size_t);
void __libc_free(void *);

enum { MOST = 512, LONGEST = 64, SHOWN = 20 };
static unsigned char pieces[MOST][LONGEST];
static size_t lengths[MOST], count;
static unsigned long freed, dirty;
static int ready;

__attribute__((constructor)) static void start(void) {
    const char *at = getenv("CHECKING_PIECES");
    void *frames[1];
    unsigned byte;
    // `backtrace` allocates at its first call.
    backtrace(frames, 1);
    for (; at != NULL && *at != 0 && count < MOST; at++) {
        for (; sscanf(at, "%2x", &byte) == 1 && lengths[count] < LONGEST; at += 2) {
            pieces[count][lengths[count]++] = (unsigned char)byte;
        }
        count += lengths[count] > 0;
        if (*at == 0) {
            break;
        }
    }
    ready = 1;
}

__attribute__((destructor)) static void end(void) {
    ready = 0;
    fprintf(stderr, "checking: %lu blocks freed, %lu held one of %lu pieces\n", freed, dirty, (unsigned long)count);
}

static void check(const void *block) {
    size_t size, i;
    if (block == NULL || !ready) {
        return;
    }
    __atomic_fetch_add(&freed, 1, __ATOMIC_RELAXED);
    size = malloc_usable_size((void *)block);
    for (i = 0; i < count; i++) {
        if (memmem(block, size, pieces[i], lengths[i]) != NULL) {
            if (__atomic_fetch_add(&dirty, 1, __ATOMIC_RELAXED) < SHOWN) {
                void *frames[24];
                ready = 0;
                dprintf(2, "checking: piece %lu in a block of %lu bytes\n", (unsigned long)i, (unsigned long)size);
                backtrace_symbols_fd(frames, backtrace(frames, 24), 2);
                ready = 1;
            }
            return;
        }
    }
}

void free(void *block) {
    check(block);
    __libc_free(block);
}

// Always moves the block, so that the old place is checked.
void *realloc(void *block, size_t size) {
    void *other;
    size_t before;
    if (block == NULL || size == 0) {
        check(block);
        return __libc_realloc(block, size);
    }
    other = __libc_malloc(size);
    if (other != NULL) {
        before = malloc_usable_size(block);
        memcpy(other, block, before < size ? before : size);
        free(block);
    }
    return other;
}
