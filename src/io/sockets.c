/* SPDX-License-Identifier: MIT */
/* The kernel's sockets. */
#include "io/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/loop_internal.h"

static int kernel_listen(void *state, const struct wsi_address *address, int backlog,
                         bool shareable, int *fd)
{
    (void)state;
    return wsi_listen(address, backlog, shareable, fd);
}

static int kernel_local(void *state, struct wsi_address *out, int fd)
{
    (void)state;
    return wsi_address_local(out, fd);
}

static int kernel_accept(void *state, int fd, struct wsi_address *peer)
{
    int r;

    (void)state;
    peer->len = sizeof peer->u;
    r = accept4(fd, &peer->u.any, &peer->len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return r < 0 ? -errno : r;
}

static void set_nodelay(int fd)
{
    const int on = 1;

    /* A Unix socket refuses it and has no need of it. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static int kernel_adopt(void *state, int fd)
{
    const int flags = fcntl(fd, F_GETFL);

    (void)state;
    if (flags < 0 ||
        (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0))
        return -errno;
    set_nodelay(fd);
    return 0;
}

/* A port is either chosen when it connects, so that it is taken for that destination
 * alone, or given, and then several addresses may be tried from it at one time. */
static int bind_to(int fd, const struct wsi_address *from)
{
    const int on = 1;
    const bool has_port = wsi_address_port(from) != 0;

    setsockopt(fd, has_port ? SOL_SOCKET : IPPROTO_IP,
               has_port ? SO_REUSEADDR : IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    return bind(fd, &from->u.any, from->len);
}

static int kernel_connect(void *state, const struct wsi_address *to,
                          const struct wsi_address *from)
{
    const int fd = socket(to->u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                          0);

    (void)state;
    if (fd < 0)
        return -errno;
    set_nodelay(fd);
    /* A Unix socket whose backlog is full says EAGAIN and does not go on trying. */
    if ((from != NULL && bind_to(fd, from) < 0) ||
        (connect(fd, &to->u.any, to->len) < 0 && errno != EINPROGRESS &&
         errno != EINTR)) {
        const int error = errno;

        close(fd);
        return -error;
    }
    return fd;
}

static int kernel_error(void *state, int fd)
{
    int error = 0;
    socklen_t len = sizeof error;

    (void)state;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    return error;
}

static int kernel_shutdown(void *state, int fd)
{
    (void)state;
    return shutdown(fd, SHUT_WR) < 0 ? -errno : 0;
}

static void kernel_close(void *state, int fd, bool reset)
{
    const struct linger none = {.l_onoff = 1, .l_linger = 0};

    (void)state;
    if (reset)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    close(fd);
}

static void kernel_remove_path(void *state, const char *path)
{
    (void)state;
    unlink(path);
}

const struct wsi_sockets wsi_sockets_kernel = {
    .listen = kernel_listen,
    .local = kernel_local,
    .accept = kernel_accept,
    .connect = kernel_connect,
    .adopt = kernel_adopt,
    .error = kernel_error,
    .shutdown = kernel_shutdown,
    .close = kernel_close,
    .remove_path = kernel_remove_path,
};

void wsi_socket_local(struct wsi_loop *loop, struct wsi_address *out, int fd)
{
    if (loop->backend->sockets->local(loop->backend_state, out, fd) < 0)
        *out = (struct wsi_address){0};
}

void wsi_socket_close(struct wsi_loop *loop, int fd)
{
    loop->backend->sockets->close(loop->backend_state, fd, false);
}
