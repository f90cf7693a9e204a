/* SPDX-License-Identifier: MIT */
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static void wait_for(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};

    if (poll(&p, 1, STALL_MS) <= 0)
        die("the server does not answer the handshake");
}

/* ---- TLS ---- */

#if WSI_HAVE_TLS

#include "tls_client.h"

/* Reading ahead takes the header of a record and the record from the socket at once. */
static SSL_CTX *make_context(void)
{
    SSL_CTX *context = client_context(&(struct tls_client){.version = TLS1_3_VERSION});

    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_mode(context,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return context;
}

static void secure(struct wire *wire)
{
    static SSL_CTX *context;
    int r;

    if (context == NULL)
        context = make_context();
    if (fcntl(wire->fd, F_SETFL, O_NONBLOCK) < 0)
        die_errno("fcntl");
    wire->ssl = client_new(context);
    if (SSL_set_fd(wire->ssl, wire->fd) != 1)
        die_tls("no TLS for a socket");
    while ((r = SSL_connect(wire->ssl)) != 1) {
        if (SSL_get_error(wire->ssl, r) != SSL_ERROR_WANT_READ)
            die_tls("the TLS handshake failed");
        wait_for(wire->fd, POLLIN);
    }
}

/* As of a system call, after OpenSSL did not move anything. */
static ssize_t not_now(struct wire *wire, int r)
{
    switch (SSL_get_error(wire->ssl, r)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        die_tls("TLS failed");
        return -1;
    }
}

static ssize_t tls_send(struct wire *wire, const void *data, size_t len)
{
    size_t n;
    const int r = SSL_write_ex(wire->ssl, data, len, &n);

    return r == 1 ? (ssize_t)n : not_now(wire, r);
}

static ssize_t tls_recv(struct wire *wire, void *data, size_t size)
{
    size_t n;
    const int r = SSL_read_ex(wire->ssl, data, size, &n);

    return r == 1 ? (ssize_t)n : not_now(wire, r);
}

static void insecure(struct wire *wire)
{
    SSL_free(wire->ssl);
}

#else

static void secure(struct wire *wire)
{
    (void)wire;
    die("built without TLS");
}

static ssize_t tls_send(struct wire *wire, const void *data, size_t len)
{
    (void)wire, (void)data, (void)len;
    return -1;
}

static ssize_t tls_recv(struct wire *wire, void *data, size_t size)
{
    (void)wire, (void)data, (void)size;
    return -1;
}

static void insecure(struct wire *wire)
{
    (void)wire;
}

#endif

/* ---- both ---- */

ssize_t wire_send(struct wire *wire, const void *data, size_t len)
{
    if (wire->ssl != NULL)
        return tls_send(wire, data, len);
    return send(wire->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

ssize_t wire_recv(struct wire *wire, void *data, size_t size)
{
    if (wire->ssl != NULL)
        return tls_recv(wire, data, size);
    return recv(wire->fd, data, size, MSG_DONTWAIT);
}

void wire_send_rest(struct wire *wire, const unsigned char *end, size_t *unsent)
{
    while (*unsent > 0) {
        const ssize_t n = wire_send(wire, end - *unsent, *unsent);

        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0)
            die_errno("send");
        *unsent -= (size_t)n;
    }
}

/* A short read emptied the socket: the next edge is a new one, and no recv is spent on
 * EAGAIN. Over TLS a read is a record at most, and says nothing of the socket. */
bool wire_next(struct wire *wire, struct wire_bytes *got)
{
    static unsigned char buffer[512 * 1024];
    ssize_t n;

    if (got->data != NULL && wire->ssl == NULL && got->len < sizeof buffer)
        return false;
    n = wire_recv(wire, buffer, sizeof buffer);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n < 0)
        die_errno("recv");
    if (n == 0)
        die("a server closed a connection");
    *got = (struct wire_bytes){buffer, (size_t)n};
    return true;
}

static void shake_hands(struct wire *wire, const struct target *target, char *head)
{
    size_t have = put_request(head, target);

    if (wire_send(wire, head, have) != (ssize_t)have)
        die_errno("send");
    have = 0;
    do {
        ssize_t n = wire_recv(wire, head + have, RESPONSE_MAX - 1 - have);

        if (n == 0)
            die("the server hung up during the handshake");
        if (n < 0 && errno != EAGAIN)
            die_errno("recv");
        if (n < 0)
            wait_for(wire->fd, POLLIN);
        else
            have += (size_t)n;
    } while (!response_is_whole(target, head, have));
}

void wire_open(struct wire *wire, const struct target *target, char *head)
{
    int on = 1;

    *wire = (struct wire){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (wire->fd < 0 || connect(wire->fd, (const struct sockaddr *)&target->addr,
                                sizeof target->addr) < 0)
        die_errno("connect");
    if (setsockopt(wire->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        die_errno("setsockopt");
    if (target->tls)
        secure(wire);
    shake_hands(wire, target, head);
}

void wire_close(struct wire *wire)
{
    if (wire->ssl != NULL)
        insecure(wire);
    close(wire->fd);
}
