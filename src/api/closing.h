/* SPDX-License-Identifier: MIT */
/* What a close may say: of a connection, and of a client that keeps one. */
#ifndef WSI_API_CLOSING_H
#define WSI_API_CLOSING_H

/** @param reason (nullable) @return 0; WSOCK_ERANGE, WSOCK_EINVAL, WSOCK_ETOOBIG,
 * WSOCK_EUTF8 as wsock_conn_close(). */
int wsi_close_check(int code, const char *reason);

#endif
