/* Settings that must be made before Rust's start-up code runs.
 *
 * A closed standard output must fail when it is written to, and a closed standard input when a secret is read from it. Rust's start-up
 * code would open /dev/null for both in their place, where every read and write succeeds. So they are opened here for the
 * wrong direction.
 *
 * A write to a file that may not grow any more (RLIMIT_FSIZE) must fail too, and not end the program in the middle of it. The signal is
 * caught and not ignored, because a caught signal has its default action again in every child. */
#include <fcntl.h>
#include <signal.h>

static void go_on(int number)
{
    (void)number;
}

__attribute__((constructor)) static void before_rust(void)
{
    struct sigaction too_large;

    /* Each open takes the lowest free number. */
    if (fcntl(0, F_GETFD) == -1)
        (void)!open("/dev/null", O_WRONLY);
    if (fcntl(1, F_GETFD) == -1)
        (void)!open("/dev/null", O_RDONLY);

    /* A signal that was ignored at the start stays ignored. */
    if (sigaction(SIGXFSZ, 0, &too_large) == 0 && too_large.sa_handler == SIG_DFL) {
        too_large.sa_handler = go_on;
        too_large.sa_flags = SA_RESTART;
        (void)sigemptyset(&too_large.sa_mask);
        (void)sigaction(SIGXFSZ, &too_large, 0);
    }
}
