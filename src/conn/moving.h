/* SPDX-License-Identifier: MIT */
/*
 * Redirects (option max_redirects): the connection is given up for one to where the
 * answer leads, and everything begins anew there. What the application added of
 * Authorization and Cookie goes to its own origin only.
 */
#ifndef WSI_CONN_MOVING_H
#define WSI_CONN_MOVING_H

#include <stdbool.h>

#include "conn/destination.h"
#include "core/buf.h"
#include "proto/http.h"

struct wsock_conn;

/** Where the connection goes now. @return (borrowed from conn or its client) */
const struct wsi_destination *wsi_destination_of(const struct wsock_conn *conn);

/** Its URL, from open on. Any thread. @return (borrowed from conn) */
const char *wsi_moving_url(const struct wsock_conn *conn);

/** False when a redirect led to another origin than the client's own. */
bool wsi_moving_is_home(const struct wsock_conn *conn);

/** Follow an answer, if it is a redirect and that is wanted. @return false when it is
 * not; true when it is followed, or the connection has failed for it. */
bool wsi_moving_follow(struct wsock_conn *conn, const struct wsi_http_head *head);

/** The former connection is gone: begin anew. */
void wsi_moving_go_on(struct wsock_conn *conn);

/** The header lines of the client that may go where it goes now. @return 0; WSOCK_ENOMEM.
 */
int wsi_moving_headers(const struct wsock_conn *conn, struct wsi_buf *out,
                       const struct wsi_buf *lines);

#endif
