// Writing to a connection that the peer has closed and reset raises no SIGPIPE. API_URL is a server that
// resets the connection after each answer.

#define _POSIX_C_SOURCE 200809L

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static void pause_ms(unsigned ms) {
    struct timespec time = {0, 0};
    time.tv_nsec = (long)ms * 1000000;
    nanosleep(&time, NULL);
}

// Shows that the server works as intended: a careless program dies of SIGPIPE.
static void dies(void) {
    struct sockaddr_in server;
    const char *request = "GET / HTTP/1.1\r\nHost: x\r\nX-Filler: 0123456789\r\n\r\n";
    char answer[512];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(&server, 0, sizeof server);
    server.sin_family = AF_INET;
    server.sin_port = htons((unsigned short)atoi(env("API_PORT")));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(connect(fd, (struct sockaddr *)&server, sizeof server) == 0);
    CHECK(write(fd, request, strlen(request)) > 0);
    CHECK(read(fd, answer, sizeof answer) > 0);
    // Waits until the reset has arrived.
    struct pollfd reset = {0, 0, 0};
    reset.fd = fd;
    CHECK(poll(&reset, 1, 10000) == 1);
    (void)!write(fd, request, strlen(request));
    (void)!write(fd, request, strlen(request));
    _exit(1);
}

int main(void) {
    int i, status;
    CHECK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    pid_t child = fork();
    if (child == 0) {
        dies();
    }
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);

    keyfob_client *client = spatiafi(sandbox_options());
    for (i = 0; i < 20; i++) {
        static gathered body;
        memset(&body, 0, sizeof body);
        OK(get_answer(client, TEXT("/"), gather, &body, NULL, &error));
        CHECK(strcmp(body.data, "{}") == 0);
        pause_ms(20);
    }
    keyfob_client_free(client);
    return 0;
}
