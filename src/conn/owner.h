/* SPDX-License-Identifier: MIT */
/*
 * What a connection belongs to: a server or a client, seen from below. It is kept by its
 * connections, and keeps the runtime.
 */
#ifndef WSI_CONN_OWNER_H
#define WSI_CONN_OWNER_H

#include <stdatomic.h>
#include <stddef.h>

#include <wsock/conn.h>

#include "core/ref.h"

struct wsi_pool;
struct wsock_queue;

/* What an owner may hear of its connections, on their workers. */
enum wsi_conn_event {
    WSI_CONN_OPENS,  /* before on_open */
    WSI_CONN_OPENED, /* after it */
    WSI_CONN_ENDED,  /* after on_close */
};

struct wsi_owner {
    struct wsi_ref ref;
    atomic_size_t open; /* connections between on_open and the end */
    struct wsi_pool *pool;
    struct wsock_queue *queue; /* (owned, nullable) where its handlers run */
    /** The last reference is gone. */
    void (*release)(struct wsi_owner *owner);
    /** A connection of it is gone (servers: maybe the last one). */
    void (*conn_closed)(struct wsi_owner *owner);
    /** (nullable) @param info of ENDED: what on_close was told. */
    void (*conn_event)(struct wsi_owner *owner, struct wsock_conn *conn,
                       enum wsi_conn_event event, const wsock_close_info *info);
};

static inline void wsi_owner_init(struct wsi_owner *owner, struct wsi_pool *pool,
                                  void (*release)(struct wsi_owner *),
                                  void (*conn_closed)(struct wsi_owner *))
{
    wsi_ref_init(&owner->ref);
    atomic_init(&owner->open, 0);
    owner->pool = pool;
    owner->queue = NULL;
    owner->release = release;
    owner->conn_closed = conn_closed;
    owner->conn_event = NULL;
}

static inline struct wsi_owner *wsi_owner_ref(struct wsi_owner *owner)
{
    wsi_ref_take(&owner->ref);
    return owner;
}

static inline void wsi_owner_unref(struct wsi_owner *owner)
{
    if (owner != NULL && wsi_ref_drop(&owner->ref))
        owner->release(owner);
}

#endif
