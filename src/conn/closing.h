/* SPDX-License-Identifier: MIT */
/* Ending a connection from any thread, and under pressure. */
#ifndef WSI_CONN_CLOSING_H
#define WSI_CONN_CLOSING_H

#include <stddef.h>

struct wsock_conn;

/** @param code a sendable one, 1005 for none, or 0 to reset. @return as
 * wsock_conn_close(). */
int wsi_conn_close(struct wsock_conn *conn, unsigned code, const char *reason,
                   size_t len);

#endif
