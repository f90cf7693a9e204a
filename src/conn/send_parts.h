/* SPDX-License-Identifier: MIT */
/*
 * Messages that are sent in parts: wsock_conn_send_begin(), _append(), _end().
 *
 *   callers (any thread)                     the connection's worker
 *   begin, append, end: under the lock  ->   mail: fragments leave as they come
 *   other messages: mail, because the   ->   wait in a list until the end has left,
 *   connection is not direct meanwhile       then follow in their order
 *
 * Control frames go between the fragments (RFC 6455 section 5.4).
 */
#ifndef WSI_CONN_SEND_PARTS_H
#define WSI_CONN_SEND_PARTS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/blob.h"

struct wsi_outgoing;
struct wsi_posted;
struct wsock_conn;

/** As the public calls; the connection is not NULL and the type is one. Any thread. */
int wsi_conn_send_begin(struct wsock_conn *conn, int type);
int wsi_conn_send_append(struct wsock_conn *conn, const void *data, size_t len);
int wsi_conn_send_end(struct wsock_conn *conn);

/* ---- on the worker ---- */

/** Carry out a mail of the calls above. @return 0; WSOCK_ENOMEM; WSOCK_ECLOSED. */
int wsi_outgoing_run(struct wsock_conn *conn, const struct wsi_posted *posted);

/** True between begin and end as the callers see them. Any thread. */
bool wsi_outgoing_is_under_way(const struct wsock_conn *conn);

/** True while the fragments of a message are leaving: others have to wait. */
bool wsi_outgoing_is_open(const struct wsock_conn *conn);

/** Let a message wait behind it. @param posted (consumed) */
void wsi_outgoing_wait(struct wsock_conn *conn, struct wsi_posted *posted);

/** Bytes that wait so. Any thread. */
size_t wsi_outgoing_waiting_bytes(const struct wsock_conn *conn);

/** What compressing it takes: a fragment that grows, and a compressor on loan. */
size_t wsi_outgoing_held_bytes(const struct wsock_conn *conn);

/** Whoever met EAGAIN has to be told. @return true once. */
bool wsi_outgoing_take_refusal(struct wsock_conn *conn);

/** The connection has ended: drop what waits. */
void wsi_outgoing_abandon(struct wsock_conn *conn);

/** Takes NULL. */
void wsi_outgoing_free(struct wsi_outgoing *outgoing);

#endif
