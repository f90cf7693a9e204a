/* SPDX-License-Identifier: MIT */
#include "proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in here(uint16_t port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons(port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void drop(struct proxy_pair *pair)
{
    if (pair->node >= 0)
        close(pair->node);
    if (pair->broker >= 0)
        close(pair->broker);
    pair->node = pair->broker = -1;
}

static void admit(struct proxy *proxy)
{
    const int fd = accept(proxy->listener, NULL, NULL);
    struct sockaddr_in to = here(proxy->to);

    for (int i = 0; i < PROXY_PAIRS && fd >= 0; i++) {
        struct proxy_pair *pair = &proxy->pairs[i];

        if (pair->node >= 0)
            continue;
        *pair = (struct proxy_pair){.node = fd, .broker = -1};
        if (proxy->to == 0)
            return;
        pair->broker = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(pair->broker, (struct sockaddr *)&to, sizeof to) < 0)
            drop(pair);
        return;
    }
    close(fd);
}

static void send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        const ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

        if (n <= 0)
            return;
        data += n;
        len -= (size_t)n;
    }
}

static void say_blob(struct proxy *proxy, struct proxy_pair *pair)
{
    if (pair->said++ == 0)
        send_all(pair->node, proxy->blob, proxy->blob_len);
}

static bool has_word(const struct proxy *proxy, const char *data, size_t len)
{
    return memmem(data, len, proxy->word, strlen(proxy->word)) != NULL;
}

static void from_node(struct proxy *proxy, struct proxy_pair *pair)
{
    static char data[65536];
    const ssize_t n = recv(pair->node, data, sizeof data, 0);
    const int mode = atomic_load(&proxy->mode);

    if (n <= 0)
        drop(pair);
    else if (mode == PROXY_FAKE || pair->said > 0 ||
             (mode == PROXY_ANSWER && has_word(proxy, data, (size_t)n)))
        say_blob(proxy, pair);
    else if (mode == PROXY_REPEAT && has_word(proxy, data, (size_t)n))
        send_all(pair->node, proxy->blob, proxy->blob_len);
    else if (mode == PROXY_ONCE && has_word(proxy, data, (size_t)n)) {
        atomic_store(&proxy->mode, PROXY_PASS);
        send_all(pair->node, proxy->blob, proxy->blob_len);
    } else if (pair->broker >= 0)
        send_all(pair->broker, data, (size_t)n);
}

static void from_broker(struct proxy *proxy, struct proxy_pair *pair)
{
    static char data[65536];
    const ssize_t n = recv(pair->broker, data, sizeof data, 0);

    if (n <= 0) {
        drop(pair);
        return;
    }
    if (pair->said > 0)
        return;
    if (atomic_load(&proxy->mode) == PROXY_CUT) {
        const long before = atomic_fetch_sub(&proxy->budget, n);

        if (before <= n) {
            send_all(pair->node, data, before > 0 ? (size_t)before : 0);
            atomic_store(&proxy->mode, PROXY_PASS);
            atomic_fetch_add(&proxy->cuts, 1);
            drop(pair);
            return;
        }
    }
    send_all(pair->node, data, (size_t)n);
}

static void *run(void *user)
{
    struct proxy *proxy = user;

    for (;;) {
        struct pollfd fds[2 + 2 * PROXY_PAIRS] = {
            {.fd = proxy->listener, .events = POLLIN},
            {.fd = proxy->wake[0], .events = POLLIN}};

        for (int i = 0; i < PROXY_PAIRS; i++) {
            fds[2 + 2 * i] = (struct pollfd){.fd = proxy->pairs[i].node,
                                             .events = POLLIN};
            fds[3 + 2 * i] = (struct pollfd){.fd = proxy->pairs[i].broker,
                                             .events = POLLIN};
        }
        poll(fds, 2 + 2 * PROXY_PAIRS, -1);
        if (fds[1].revents != 0)
            break;
        for (int i = 0; i < PROXY_PAIRS; i++) {
            if (fds[2 + 2 * i].revents != 0)
                from_node(proxy, &proxy->pairs[i]);
            if (fds[3 + 2 * i].revents != 0 && proxy->pairs[i].broker >= 0)
                from_broker(proxy, &proxy->pairs[i]);
        }
        if (fds[0].revents != 0)
            admit(proxy);
    }
    for (int i = 0; i < PROXY_PAIRS; i++)
        drop(&proxy->pairs[i]);
    return NULL;
}

void proxy_start(struct proxy *proxy, uint16_t to)
{
    struct sockaddr_in address = here(0);
    socklen_t len = sizeof address;

    memset(proxy, 0, sizeof *proxy);
    proxy->to = to;
    proxy->word = PROXY_WORD;
    for (int i = 0; i < PROXY_PAIRS; i++)
        proxy->pairs[i].node = proxy->pairs[i].broker = -1;
    proxy->listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(proxy->listener, (struct sockaddr *)&address, len) < 0 ||
        listen(proxy->listener, 64) < 0 ||
        getsockname(proxy->listener, (struct sockaddr *)&address, &len) < 0 ||
        pipe(proxy->wake) < 0) {
        perror("proxy");
        exit(2);
    }
    proxy->port = ntohs(address.sin_port);
    pthread_create(&proxy->thread, NULL, run, proxy);
}

void proxy_set(struct proxy *proxy, enum proxy_mode mode, const char *blob, size_t len)
{
    proxy->blob = blob;
    proxy->blob_len = len;
    atomic_store(&proxy->mode, (int)mode);
}

void proxy_stop(struct proxy *proxy)
{
    if (write(proxy->wake[1], "x", 1) < 0)
        perror("proxy");
    pthread_join(proxy->thread, NULL);
    close(proxy->listener);
    close(proxy->wake[0]);
    close(proxy->wake[1]);
}
