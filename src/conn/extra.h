/* SPDX-License-Identifier: MIT */
/*
 * What few connections need, kept apart from what all have: rates, contexts of
 * compression, messages that come or go in parts. It is made when the first of them is
 * needed and lives as long as the connection's memory; what it holds goes when the
 * connection has ended.
 */
#ifndef WSI_CONN_EXTRA_H
#define WSI_CONN_EXTRA_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct wsi_bearer;
struct wsi_blob;
struct wsi_deflater;
struct wsi_droppable;
struct wsi_guest;
struct wsi_incoming;
struct wsi_inflater;
struct wsi_outgoing;
struct wsi_queued;
struct wsi_rate;
struct wsi_tls_facts;
struct wsock_conn;

/* What a layer above keeps with a connection. */
struct wsi_attached {
    void (*release)(struct wsi_attached *attached); /* with the connection's memory */
    void (*end)(struct wsi_attached *attached); /* in place of its on_close, where a queue
                                                   was closed: nobody is told of anything */
};

/* All but the atomic ones belong to the worker. */
struct wsi_extra {
    _Atomic(struct wsi_attached *) attached; /* (owned, nullable) set once */
    struct wsi_blob
        *pong; /* (owned, nullable) the newest ping that waits for its answer */
    _Atomic(struct wsi_tls_facts *) tls; /* (owned, nullable) what is known of its TLS */
    char *url; /* (owned, nullable) where a redirect led; once open it never changes */
    struct wsi_blob *body; /* (owned, nullable) of a request, set before it is handed out;
                              of an answer that refuses, set before it has ended */
    _Atomic(struct wsi_bearer *) bearer; /* (owned, nullable) who it is: identity.h */
    struct wsi_queued *queued; /* (owned, nullable) from the beginning, or never */
    struct wsi_guest *guest;   /* (nullable) it counts for max_connections_per_address */
    uint64_t heard; /* the last message by pattern, or to a room that has such: group.h */
    struct wsi_rate *rate;         /* (owned, nullable) while a rate limit is set */
    struct wsi_deflater *deflater; /* (owned, nullable) our context, if we keep one */
    struct wsi_inflater *inflater; /* (owned, nullable) the peer's, if we keep it; else
                                      of a message that comes in parts */
    struct wsi_incoming *incoming; /* (owned, nullable) see receive_parts.h */
    _Atomic(struct wsi_outgoing *) outgoing;   /* (owned, nullable) see send_parts.h */
    _Atomic(struct wsi_droppable *) droppable; /* (owned, nullable) see droppable.h */
};

/** @return (borrowed from conn, nullable) made now if need be; NULL without memory. Any
 * thread. */
struct wsi_extra *wsi_conn_extra(struct wsock_conn *conn);

/** The connection has ended: give back what it holds. On the worker. */
void wsi_conn_empty_extra(struct wsock_conn *conn);
/** And it counts for max_connections_per_address no more. */
void wsi_conn_leave_guests(struct wsock_conn *conn);

/** Nobody can be using it any more. */
void wsi_conn_free_extra(struct wsock_conn *conn);

#endif
