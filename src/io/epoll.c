/* SPDX-License-Identifier: MIT */
/*
 * The epoll backend: level-triggered, one epoll_wait() a turn, no epoll_ctl() for an
 * event.
 *
 * The eventfd that wakes is edge-triggered: every write to it is an event of its own, so
 * it is never read. A stream of which nothing is watched is armed with EPOLLONESHOT, for
 * epoll reports a hangup even to who asked for nothing, and once is enough. Listeners are
 * EPOLLEXCLUSIVE, so that of several loops on one socket one is woken; such an entry
 * cannot be modified, and is switched by removing and adding it.
 */
#include "io/backend.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <wsock/error.h>

#include "core/alloc.h"
#include "io/loop_internal.h"

enum { BATCH = 256 };

struct state {
    struct wsi_loop *loop;
    int epoll_fd;
    int wake_fd;
    int at, count; /* in the batch that is being delivered */
    struct epoll_event events[BATCH];
};

/* The data of an event: NULL is the eventfd, an odd address a listener, else a stream. */
enum { LISTENER_TAG = 1 };

static void *tagged(struct wsi_listener *listener)
{
    return (char *)listener + LISTENER_TAG;
}

static void epoll_fini(struct wsi_loop *loop, void *user)
{
    struct state *state = user;

    (void)loop;
    if (state->wake_fd >= 0)
        close(state->wake_fd);
    if (state->epoll_fd >= 0)
        close(state->epoll_fd);
    wsi_free(state);
}

static int epoll_init(struct wsi_loop *loop, void **out)
{
    struct state *state = wsi_zalloc(sizeof *state);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    int r;

    if (state == NULL)
        return WSOCK_ENOMEM;
    state->loop = loop;
    state->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    state->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (state->epoll_fd < 0 || state->wake_fd < 0 ||
        epoll_ctl(state->epoll_fd, EPOLL_CTL_ADD, state->wake_fd, &event) < 0) {
        r = wsi_error_from_errno(errno);
        epoll_fini(loop, state);
        return r;
    }
    *out = state;
    return 0;
}

static void deliver(const struct epoll_event *event)
{
    char *what = event->data.ptr;
    unsigned ready = 0;

    if (what == NULL)
        return;
    if ((uintptr_t)what & LISTENER_TAG) {
        wsi_loop_listener_ready((struct wsi_listener *)(void *)(what - LISTENER_TAG));
        return;
    }
    if (event->events & EPOLLIN)
        ready |= WSI_WATCH_READ;
    if (event->events & EPOLLOUT)
        ready |= WSI_WATCH_WRITE;
    if (event->events & (EPOLLHUP | EPOLLERR))
        ready |= WSI_READY_HANGUP;
    wsi_loop_stream_ready((struct wsi_stream *)(void *)what, ready);
}

static void epoll_wait_turn(void *user, int timeout_ms)
{
    struct state *state = user;
    const int n = epoll_wait(state->epoll_fd, state->events, BATCH, timeout_ms);

    wsi_loop_woke(state->loop);
    state->count = n > 0 ? n : 0;
    for (state->at = 0; state->at < state->count; state->at++)
        deliver(&state->events[state->at]);
    state->count = 0;
}

static void epoll_wake(void *user)
{
    struct state *state = user;
    const uint64_t one = 1;
    ssize_t n;

    do
        n = write(state->wake_fd, &one, sizeof one);
    while (n < 0 && errno == EINTR);
}

static uint32_t events_of(unsigned watch)
{
    if (watch == 0)
        return EPOLLONESHOT;
    return (watch & WSI_WATCH_READ ? (uint32_t)EPOLLIN : 0) |
           (watch & WSI_WATCH_WRITE ? (uint32_t)EPOLLOUT : 0);
}

static int epoll_add_stream(void *user, struct wsi_stream *stream, unsigned watch)
{
    struct state *state = user;
    struct epoll_event event = {.events = events_of(watch), .data.ptr = stream};

    if (epoll_ctl(state->epoll_fd, EPOLL_CTL_ADD, stream->fd, &event) < 0)
        return wsi_error_from_errno(errno);
    return 0;
}

static void epoll_watch_stream(void *user, struct wsi_stream *stream, unsigned watch)
{
    struct state *state = user;
    struct epoll_event event = {.events = events_of(watch), .data.ptr = stream};

    /* Nothing is allocated for a change of an entry that exists: it does not fail. */
    epoll_ctl(state->epoll_fd, EPOLL_CTL_MOD, stream->fd, &event);
}

static void epoll_remove_stream(void *user, struct wsi_stream *stream)
{
    struct state *state = user;

    /* Closing the descriptor would not do if a forked process still has it. */
    epoll_ctl(state->epoll_fd, EPOLL_CTL_DEL, stream->fd, NULL);
}

static int epoll_watch_listener(void *user, struct wsi_listener *listener, bool on)
{
    struct state *state = user;
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLEXCLUSIVE,
        .data.ptr = tagged(listener),
    };

    if (!on)
        epoll_ctl(state->epoll_fd, EPOLL_CTL_DEL, listener->fd, NULL);
    else if (epoll_ctl(state->epoll_fd, EPOLL_CTL_ADD, listener->fd, &event) < 0)
        return wsi_error_from_errno(errno);
    return 0;
}

static int epoll_add_listener(void *user, struct wsi_listener *listener)
{
    return epoll_watch_listener(user, listener, true);
}

static void epoll_remove_listener(void *user, struct wsi_listener *listener)
{
    struct state *state = user;

    epoll_watch_listener(user, listener, false);
    /* Its memory may be gone when the rest of the batch is delivered. */
    for (int i = state->at; i < state->count; i++)
        if (state->events[i].data.ptr == tagged(listener))
            state->events[i].data.ptr = NULL;
}

static ssize_t epoll_receive(void *user, struct wsi_stream *stream, void *buf, size_t len)
{
    const ssize_t n = recv(stream->fd, buf, len, 0);

    (void)user;
    return n < 0 ? -errno : n;
}

static ssize_t epoll_send(void *user, struct wsi_stream *stream, const void *data,
                          size_t len)
{
    const ssize_t n = send(stream->fd, data, len, MSG_NOSIGNAL);

    (void)user;
    return n < 0 ? -errno : n;
}

static ssize_t epoll_send_pieces(void *user, struct wsi_stream *stream,
                                 const struct iovec *iov, int count)
{
    const struct msghdr message = {
        .msg_iov = (struct iovec *)iov,
        .msg_iovlen = (size_t)count,
    };
    const ssize_t n = sendmsg(stream->fd, &message, MSG_NOSIGNAL);

    (void)user;
    return n < 0 ? -errno : n;
}

const struct wsi_backend wsi_backend_epoll = {
    .name = "epoll",
    .sockets = &wsi_sockets_kernel,
    .init = epoll_init,
    .fini = epoll_fini,
    .wait = epoll_wait_turn,
    .wake = epoll_wake,
    .add_stream = epoll_add_stream,
    .watch_stream = epoll_watch_stream,
    .remove_stream = epoll_remove_stream,
    .add_listener = epoll_add_listener,
    .watch_listener = epoll_watch_listener,
    .remove_listener = epoll_remove_listener,
    .receive = epoll_receive,
    .send = epoll_send,
    .send_pieces = epoll_send_pieces,
};
