/* SPDX-License-Identifier: MIT */
/*
 * Messages that are delivered in parts as they arrive (on_part). Nothing is assembled. A
 * compressed part is inflated in steps, so that however much it stands for, no more than
 * some 64 KiB are there at a time; when its receiver pauses the connection in between,
 * the rest of the part waits here.
 */
#ifndef WSI_CONN_RECEIVE_PARTS_H
#define WSI_CONN_RECEIVE_PARTS_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/session.h"

struct wsi_incoming;
struct wsock_conn;

/** Deliver a part of a message, or fail the connection. */
void wsi_conn_deliver_part(struct wsock_conn *conn, const struct wsi_event *event);

/** A part was not delivered to its end because reading was paused. */
bool wsi_conn_has_rest(const struct wsock_conn *conn);

/** Go on with it. */
void wsi_conn_deliver_rest(struct wsock_conn *conn);

/** The bytes that it holds. */
size_t wsi_conn_rest_bytes(const struct wsock_conn *conn);

/** Takes NULL. */
void wsi_incoming_free(struct wsi_incoming *incoming);

#endif
