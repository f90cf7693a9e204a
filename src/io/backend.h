/* SPDX-License-Identifier: MIT */
/*
 * What a loop needs of the system: readiness, receiving, sending, and a way to be woken.
 * epoll.c is one; the tests have one that follows a script.
 */
#ifndef WSI_IO_BACKEND_H
#define WSI_IO_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "io/sockets.h"

struct wsi_loop;
struct wsi_stream;
struct wsi_listener;

enum {
    WSI_WATCH_READ = 1,
    WSI_WATCH_WRITE = 2,
    WSI_READY_HANGUP = 4, /* only as readiness: both directions ended, or an error */
};

struct wsi_backend {
    const char *name;
    const struct wsi_sockets *sockets;
    int (*init)(struct wsi_loop *loop, void **state);
    void (*fini)(struct wsi_loop *loop, void *state);
    /** Wait, call wsi_loop_woke() once (loop_internal.h), and then
     * wsi_loop_stream_ready() and wsi_loop_listener_ready() for what is ready, at most
     * once for each. Negative: no time limit. */
    void (*wait)(void *state, int timeout_ms);
    /** From any thread: make wait return. */
    void (*wake)(void *state);
    int (*add_stream)(void *state, struct wsi_stream *stream, unsigned watch);
    /** While nothing is watched a hangup is reported once at most. */
    void (*watch_stream)(void *state, struct wsi_stream *stream, unsigned watch);
    void (*remove_stream)(void *state, struct wsi_stream *stream);
    int (*add_listener)(void *state, struct wsi_listener *listener);
    /** Switching on can fail, as adding can. */
    int (*watch_listener)(void *state, struct wsi_listener *listener, bool on);
    /** Nothing of this listener is reported any more, not even from a wait that goes on.
     */
    void (*remove_listener)(void *state, struct wsi_listener *listener);
    /** Negative errno on failure. */
    ssize_t (*receive)(void *state, struct wsi_stream *stream, void *buf, size_t len);
    ssize_t (*send)(void *state, struct wsi_stream *stream, const void *data, size_t len);
    ssize_t (*send_pieces)(void *state, struct wsi_stream *stream,
                           const struct iovec *iov, int count);
};

extern const struct wsi_backend wsi_backend_epoll;

#endif
