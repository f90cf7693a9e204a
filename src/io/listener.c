/* SPDX-License-Identifier: MIT */
/*
 * Accepting. A listener takes a bounded number of connections for each readiness, so that
 * a storm of them does not starve those that are open, and rests when descriptors or
 * memory run out: the connections wait in the backlog, and the loop does not spin over
 * them.
 */
#include <errno.h>

#include "io/loop_internal.h"

enum { ACCEPTS_MAX = 64, REST_MS = 100 };

static int watch(struct wsi_listener *listener, bool on)
{
    struct wsi_loop *loop = listener->loop;

    return loop->backend->watch_listener(loop->backend_state, listener, on);
}

static void rest(struct wsi_listener *listener)
{
    listener->resting = true;
    wsi_loop_timer(listener->loop, &listener->retry, REST_MS);
}

static void on_retry(struct wsi_timer *timer)
{
    struct wsi_listener *listener = WSI_CONTAINER_OF(timer, struct wsi_listener, retry);

    listener->resting = false;
    if (!listener->paused && watch(listener, true) < 0)
        rest(listener);
}

int wsi_listener_start(struct wsi_listener *listener, struct wsi_loop *loop, int fd)
{
    int r;

    listener->loop = loop;
    listener->fd = fd;
    listener->paused = false;
    listener->resting = false;
    wsi_timer_init(&listener->retry, on_retry);
    r = loop->backend->add_listener(loop->backend_state, listener);
    if (r < 0) {
        listener->loop = NULL;
        return r;
    }
    loop->attached++;
    return 0;
}

void wsi_listener_stop(struct wsi_listener *listener)
{
    struct wsi_loop *loop = listener->loop;

    if (loop == NULL)
        return;
    wsi_timer_stop(&listener->retry);
    loop->backend->remove_listener(loop->backend_state, listener);
    if (loop->accepting == listener)
        loop->accepting = NULL;
    loop->attached--;
    listener->loop = NULL;
}

void wsi_listener_pause(struct wsi_listener *listener)
{
    if (listener->paused)
        return;
    listener->paused = true;
    if (!listener->resting)
        watch(listener, false);
}

void wsi_listener_resume(struct wsi_listener *listener)
{
    if (!listener->paused)
        return;
    listener->paused = false;
    if (!listener->resting && watch(listener, true) < 0)
        rest(listener);
}

/* What concerns one connection only: it was gone before it was taken. accept(2) passes
 * on its network errors. */
static bool is_of_one_connection(int error)
{
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPERM:
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case ENONET:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
        return true;
    default:
        return false;
    }
}

void wsi_loop_listener_ready(struct wsi_listener *listener)
{
    struct wsi_loop *loop = listener->loop;

    if (listener->paused || listener->resting)
        return;
    loop->accepting = listener;
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        struct wsi_address peer;
        const int fd = loop->backend->sockets->accept(loop->backend_state, listener->fd,
                                                      &peer);

        if (fd >= 0) {
            listener->on_accept(listener, fd, &peer);
            /* The callback may have stopped, and then freed, the listener. */
            if (loop->accepting != listener || listener->paused)
                break;
        } else if (fd == -EAGAIN) {
            break;
        } else if (!is_of_one_connection(-fd)) {
            watch(listener, false);
            rest(listener);
            listener->on_starved(listener, -fd);
            break;
        }
    }
    loop->accepting = NULL;
}
