/* SPDX-License-Identifier: MIT */
/* Sending on a connection, for the public calls and for rooms. */
#ifndef WSI_CONN_SEND_H
#define WSI_CONN_SEND_H

#include <stdbool.h>
#include <stddef.h>

#include "core/blob.h"

struct wsi_feed;
struct wsi_frames;
struct wsi_posted;
struct wsock_conn;

/** @return as wsock_conn_send(). Any thread. */
int wsi_conn_send(struct wsock_conn *conn, int type, const void *data, size_t len);

/** The same for a frame that is encoded as servers send it. Any thread. */
int wsi_conn_send_frame(struct wsock_conn *conn, struct wsi_blob *frame);

/** A message for a connection to come. @return (owned, nullable) NULL without memory. */
struct wsi_posted *wsi_kept_new(int type, const void *data, size_t len);
/** Send it on a connection that takes messages, past the high-water mark and behind what
 *  was sent before, in parts too. On its worker. @param kept (consumed) */
void wsi_kept_send(struct wsock_conn *conn, struct wsi_posted *kept);

/** A ping or a pong. @return as wsock_conn_send_ping(). Any thread. */
int wsi_conn_send_control(struct wsock_conn *conn, unsigned opcode, const void *data,
                          size_t len);

/** A room's message, on the connection's worker: it leaves, or waits (droppable.h).
 * @param key (nullable) @return false when it misses it: it is closing, or the feed
 * counts it.
 */
bool wsi_conn_deliver(struct wsock_conn *conn, struct wsi_feed *feed,
                      const struct wsi_frames *frames, struct wsi_blob *key);

/** One that it missed before it joined: it leaves, or waits, and is not dropped. Without
 *  memory the connection ends. */
void wsi_conn_deliver_missed(struct wsock_conn *conn, struct wsi_feed *feed,
                             struct wsi_blob *frame);

/** A notice that it misses messages, as surely. None waits already (feed->notice). */
void wsi_conn_deliver_notice(struct wsock_conn *conn, struct wsi_feed *feed,
                             struct wsi_blob *frame);

#endif
