/* SPDX-License-Identifier: MIT */
/*
 * What connections of one kind share: the limits and handlers of an endpoint or a client.
 * Reading either on the path of a message is one load. A handler that was replaced is
 * released after a round of the workers, or a call on the queue, when none can be inside
 * it any more.
 */
#ifndef WSI_CONN_PROFILE_H
#define WSI_CONN_PROFILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include <wsock/client.h>
#include <wsock/cluster.h>
#include <wsock/conn.h>
#include <wsock/request.h>
#include <wsock/server.h>

#include "conn/worker.h"
#include "core/option.h"

enum wsi_on {
    WSI_ON_REQUEST,
    WSI_ON_REQUEST_CANCELLED,
    WSI_ON_OPEN,
    WSI_ON_MESSAGE,
    WSI_ON_PART,
    WSI_ON_PONG,
    WSI_ON_DRAIN,
    WSI_ON_CLOSE,
    WSI_ON_STATE,   /* of clients */
    WSI_ON_HTTP,    /* of servers */
    WSI_ON_STOPPED, /* of servers */
    WSI_ON_CLUSTER, /* of servers */
    WSI_ON_COUNT,
};

union wsi_handler_fn {
    wsock_request_fn request;
    wsock_open_fn open; /* drain has the same shape */
    wsock_message_fn message;
    wsock_part_fn part;
    wsock_pong_fn pong;
    wsock_close_fn close;
    wsock_state_fn state;
    wsock_stopped_fn stopped;
    wsock_cluster_fn cluster;
};

struct wsi_handler {
    union wsi_handler_fn fn;
    void *user;
    wsock_free_fn free_user;
    struct wsi_round round; /* of the workers */
    struct wsi_mail retire; /* on the queue */
};

struct wsi_profile {
    struct wsi_options options;
    _Atomic(struct wsi_handler *) on[WSI_ON_COUNT]; /* what the workers call */
    /* With a queue, that leads into it, and the application's are these. */
    _Atomic(struct wsi_handler *) behind[WSI_ON_COUNT];
    struct wsock_queue *queue; /* (nullable) kept by the owner */
};

void wsi_profile_init(struct wsi_profile *profile, unsigned scope);
/** Nobody can be using it any more. */
void wsi_profile_fini(struct wsi_profile *profile);

/** Set or replace a handler; `is_set` says whether fn holds a function. @return 0;
 *  WSOCK_ENOMEM, and nothing changed. */
int wsi_profile_on(struct wsi_profile *profile, struct wsi_pool *pool, enum wsi_on which,
                   union wsi_handler_fn fn, bool is_set, void *user,
                   wsock_free_fn free_user);

/** Have its handlers run on a queue. @return false when it has a handler or a queue. */
bool wsi_profile_set_queue(struct wsi_profile *profile, struct wsock_queue *queue);

/** Remove all handlers at once, when none runs and none will. */
void wsi_profile_clear(struct wsi_profile *profile);

static inline struct wsi_handler *wsi_profile_handler(struct wsi_profile *profile,
                                                      enum wsi_on which)
{
    return atomic_load_explicit(&profile->on[which], memory_order_acquire);
}

/** For who dispatches the queue. @return (nullable) */
static inline struct wsi_handler *wsi_profile_behind(struct wsi_profile *profile,
                                                     enum wsi_on which)
{
    return atomic_load_explicit(&profile->behind[which], memory_order_acquire);
}

#endif
