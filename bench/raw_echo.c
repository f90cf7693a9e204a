/* SPDX-License-Identifier: MIT */
/*
 * The limit that the echo server is compared with: what one thread can do when it sends
 * back every byte it receives and parses nothing. Level-triggered epoll, one recv and one
 * send per readiness, no epoll_ctl after the accept, and the library's socket options
 * (TCP_NODELAY, one large receive buffer for all connections). The first bytes of a
 * connection are taken to be a whole request head and get a fixed 101 without a valid
 * accept key, so the generator must be told --raw.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_FDS      65536
#define MAX_EVENTS   256
#define BUFFER_BYTES (256 * 1024)

static const char response[] = "HTTP/1.1 101 Switching Protocols\r\n"
                               "Upgrade: websocket\r\n"
                               "Connection: Upgrade\r\n"
                               "\r\n";

static bool opened[MAX_FDS]; /* by descriptor: the head was answered */
static unsigned char buffer[BUFFER_BYTES];

static int listen_on(unsigned port)
{
    struct sockaddr_in addr = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 ||
        listen(fd, SOMAXCONN) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void drop(int fd)
{
    opened[fd] = false;
    close(fd);
}

static void accept_all(int epoll_fd, int listen_fd)
{
    int fd;

    while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        int on = 1;

        if (fd >= MAX_FDS ||
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
            epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
            close(fd);
    }
}

/* A short write waits here: rare at the sizes compared, and cheaper than to keep state.
 */
static bool send_all(int fd, const void *data, size_t len)
{
    const unsigned char *p = data;

    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

        if (n > 0) {
            p += n;
            len -= (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            struct pollfd wait = {.fd = fd, .events = POLLOUT};

            poll(&wait, 1, -1);
        } else if (n == 0 || errno != EINTR) {
            return false;
        }
    }
    return true;
}

static void echo(int fd)
{
    ssize_t n = recv(fd, buffer, sizeof buffer, 0);
    bool ok;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        drop(fd);
        return;
    }
    if (opened[fd]) {
        ok = send_all(fd, buffer, (size_t)n);
    } else {
        opened[fd] = true;
        ok = send_all(fd, response, sizeof response - 1);
    }
    if (!ok)
        drop(fd);
}

static int serve(int epoll_fd, int listen_fd)
{
    struct epoll_event events[MAX_EVENTS];

    for (;;) {
        int count = epoll_wait(epoll_fd, events, MAX_EVENTS, -1);

        if (count < 0 && errno != EINTR)
            return -1;
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listen_fd)
                accept_all(epoll_fd, listen_fd);
            else
                echo(events[i].data.fd);
        }
    }
}

int main(int argc, char **argv)
{
    struct epoll_event event = {.events = EPOLLIN};
    int epoll_fd, listen_fd;

    if (argc != 2) {
        fprintf(stderr, "usage: raw_echo PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    listen_fd = listen_on((unsigned)atoi(argv[1]));
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    event.data.fd = listen_fd;
    if (listen_fd < 0 || epoll_fd < 0 ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &event) < 0) {
        perror("raw_echo");
        return 1;
    }
    puts("ready");
    fflush(stdout);
    serve(epoll_fd, listen_fd);
    perror("raw_echo");
    return 1;
}
