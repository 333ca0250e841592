/* A closed standard output must fail when it is written to, and a closed standard input when a secret is read from it.
 * Rust's start-up code would open /dev/null in their place, where everything seems to go well, so this comes before it:
 * what can only be read cannot be written to, and the other way round. */
#include <fcntl.h>

__attribute__((constructor)) static void keep_closed(void)
{
    /* Each takes the lowest number that is free. */
    if (fcntl(0, F_GETFD) == -1)
        (void)!open("/dev/null", O_WRONLY);
    if (fcntl(1, F_GETFD) == -1)
        (void)!open("/dev/null", O_RDONLY);
}
