/* SPDX-License-Identifier: MIT */
/* Sending on a connection, for the public calls and for rooms. */
#ifndef WSI_CONN_SEND_H
#define WSI_CONN_SEND_H

#include <stdbool.h>
#include <stddef.h>

#include "core/blob.h"

struct wsi_frames;
struct wsock_conn;

/** @return as wsock_conn_send(). Any thread. */
int wsi_conn_send(struct wsock_conn *conn, int type, const void *data, size_t len);

/** The same for a frame that is encoded as servers send it. Any thread. */
int wsi_conn_send_frame(struct wsock_conn *conn, struct wsi_blob *frame);

/** @return as wsock_conn_send_ping(). Any thread. */
int wsi_conn_send_ping(struct wsock_conn *conn, const void *data, size_t len);

/** A room's message, on the connection's worker: false when it misses it, because its
 *  backlog is full or it is closing. */
bool wsi_conn_deliver(struct wsock_conn *conn, const struct wsi_frames *frames);

#endif
