/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Who is there: identities of connections, and what is said or done to one of them.
 *
 * An identity is a name that the application gives a connection, once, when it knows who
 * that is: with wsock_request_set_identity() before it accepts, or later. One identity
 * may have several connections (tabs, devices); they are one person. The library takes no
 * identity from what a peer says.
 */
#ifndef WSOCK_MEMBER_H
#define WSOCK_MEMBER_H

#include <wsock/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Say who a request comes from: its connection has that identity when it opens.
 *
 * @param identity (borrowed until return) UTF-8, 1 to 255 bytes, without control
 *                 characters.
 * @return 0; WSOCK_ECLOSED once answered or cancelled; WSOCK_EEXIST when it has one;
 *         WSOCK_EINVAL for the identity or a plain request; WSOCK_ENOMEM.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_request_set_identity(wsock_request *request, const char *identity);

/**
 * The same for a connection that is open, or about to be: for who tells in a message who
 * it is. Rooms that it joined before do not learn of it.
 *
 * @return 0; WSOCK_EEXIST when it has one; WSOCK_ECLOSED once closing began;
 * WSOCK_ENOTSUP for a client's connection; WSOCK_EINVAL for the identity; WSOCK_ENOMEM.
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_conn_set_identity(wsock_conn *conn, const char *identity);

/** Who it is; "" while nobody has said so. It stays when the connection has ended.
 *  @return (borrowed from conn) Thread: any. Since: 1.0 */
WSOCK_API const char *wsock_conn_identity(const wsock_conn *conn);

/**
 * The open connections of an identity, over all endpoints of the server.
 *
 * @param out (out, owned, nullable if max is 0) room for max handles; drop each with
 *            wsock_conn_unref().
 * @return how many there are, which may be more than max: then only max were written.
 * Thread: any. Since: 1.0
 */
WSOCK_API size_t wsock_server_identity_conns(wsock_server *server, wsock_conn **out,
                                             size_t max, const char *identity);

/**
 * Send a message to all connections of an identity, as wsock_conn_send() to each.
 *
 * @param type WSOCK_TEXT or WSOCK_BINARY, with or without WSOCK_UNCOMPRESSED.
 * @param data (borrowed until return)
 * @return to how many of them it was queued, 0 when there are none; when there are some
 *         and none took it, WSOCK_EAGAIN (on_drain follows, of each) or WSOCK_ENOMEM;
 *         WSOCK_EUTF8; WSOCK_ETOOBIG from 2 GiB on; WSOCK_EINVAL for the type.
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_server_send_to(wsock_server *server, const char *identity, int type,
                                   const void *data, size_t len);

/**
 * Begin to close all connections of an identity, as wsock_conn_close() for each. It may
 * come back; who is not to come back is refused in on_request.
 *
 * @param reason (borrowed until return, nullable)
 * @return how many of them were open; WSOCK_ERANGE, WSOCK_EINVAL, WSOCK_ETOOBIG,
 *         WSOCK_EUTF8 for code and reason; WSOCK_ENOMEM when none could be closed.
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_server_disconnect(wsock_server *server, const char *identity,
                                      int code, const char *reason);

#ifdef __cplusplus
}
#endif

#endif
