/* SPDX-License-Identifier: MIT */
/*
 * What few connections need, kept apart from what all have: rates, contexts of
 * compression, a message that is under way in parts. It is made when the first of them is
 * needed, on the connection's worker, and goes when the connection has ended.
 */
#ifndef WSI_CONN_EXTRA_H
#define WSI_CONN_EXTRA_H

#include <stddef.h>

struct wsi_deflater;
struct wsi_inflater;
struct wsi_rate;
struct wsock_conn;

struct wsi_extra {
    struct wsi_rate *rate;         /* (owned, nullable) while a rate limit is set */
    struct wsi_deflater *deflater; /* (owned, nullable) our context, if we keep one */
    struct wsi_inflater *inflater; /* (owned, nullable) the peer's, if we keep it */
};

/** @return (borrowed from conn, nullable) made now if need be; NULL without memory. */
struct wsi_extra *wsi_conn_extra(struct wsock_conn *conn);

/** Give all of it back. */
void wsi_conn_drop_extra(struct wsock_conn *conn);

#endif
