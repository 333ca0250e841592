/* A closed standard output must fail when it is written to. Rust's start-up code would open /dev/null in its place, where
 * everything seems to go well, so this comes before it: what can only be read cannot be written to. */
#include <fcntl.h>

__attribute__((constructor)) static void keep_standard_output_closed(void)
{
    if (fcntl(1, F_GETFD) != -1)
        return;
    /* 0 if standard input is closed too, for which it is right as well. */
    if (open("/dev/null", O_RDONLY) == 0)
        (void)open("/dev/null", O_RDONLY);
}
