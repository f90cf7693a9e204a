/* SPDX-License-Identifier: MIT */
/**
 * @file
 * A client: where to connect, how, and the handlers of what comes of it. One client makes
 * as many connections as it is asked for, each independent of the others.
 */
#ifndef WSOCK_CLIENT_H
#define WSOCK_CLIENT_H

#include <wsock/conn.h>
#include <wsock/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Make a client. It connects to nothing yet.
 *
 * @param out (out, owned) drop it with wsock_client_unref(); its connections live on.
 * @param url ws://host[:port]/path?query or ws+unix:/path.sock[:/path]; or the same with
 * wss.
 * @return 0; WSOCK_EURL; WSOCK_ENOTSUP for a user and password, and what only a listener
 * can have (host "*", port 0); WSOCK_ENOMEM. wsock_runtime_error() says what is wrong
 * with it. Thread: any. Since: 1.0
 */
WSOCK_API int wsock_runtime_client(wsock_runtime *runtime, wsock_client **out,
                                   const char *url);

/** @return its argument. Thread: any. Since: 1.0 */
WSOCK_API wsock_client *wsock_client_ref(wsock_client *client);

/** @param client (nullable) Thread: any. Since: 1.0 */
WSOCK_API void wsock_client_unref(wsock_client *client);

/**
 * Handlers, as those of an endpoint (endpoint.h); may be replaced at any time.
 *
 * @param fn (nullable) NULL: no handler any more.
 * @return 0; WSOCK_ENOMEM. So do all that follow.
 * Thread: any, at any time. Since: 1.0
 */
WSOCK_API int wsock_client_on_open(wsock_client *client, wsock_open_fn fn, void *user,
                                   wsock_free_fn free_user);
WSOCK_API int wsock_client_on_message(wsock_client *client, wsock_message_fn fn,
                                      void *user, wsock_free_fn free_user);
/** Instead of on_message, also where that is set too, for connections that open from then
 *  on; see wsock_endpoint_on_part(). */
WSOCK_API int wsock_client_on_part(wsock_client *client, wsock_part_fn fn, void *user,
                                   wsock_free_fn free_user);
WSOCK_API int wsock_client_on_pong(wsock_client *client, wsock_pong_fn fn, void *user,
                                   wsock_free_fn free_user);
WSOCK_API int wsock_client_on_drain(wsock_client *client, wsock_drain_fn fn, void *user,
                                    wsock_free_fn free_user);
/** Comes exactly once for every wsock_client_connect() that returned 0, with or without
 * an on_open before. As above. */
WSOCK_API int wsock_client_on_close(wsock_client *client, wsock_close_fn fn, void *user,
                                    wsock_free_fn free_user);

/** Add a header field to the requests of connections to come. @return 0; WSOCK_EINVAL for
 *  what is no valid field, or one that the handshake itself writes; WSOCK_ETOOBIG above
 * 16 KiB in all; WSOCK_ENOMEM. Thread: any. Since: 1.0 */
WSOCK_API int wsock_client_add_header(wsock_client *client, const char *name,
                                      const char *value);

/** Offer one more subprotocol, the preferred one first. @return 0; WSOCK_EINVAL for what
 * is no token; WSOCK_EEXIST; WSOCK_ETOOBIG above 16 KiB in all; WSOCK_ENOMEM. Thread:
 * any. Since: 1.0 */
WSOCK_API int wsock_client_add_subprotocol(wsock_client *client, const char *subprotocol);

/** Options of scope endpoint and client, at any time; what is not live is for connections
 * to come. See wsock_runtime_set() and its fellows for the results. Thread: any.
 * Since: 1.0 */
WSOCK_API int wsock_client_set(wsock_client *client, const char *name, const char *value);
WSOCK_API int wsock_client_set_int64(wsock_client *client, const char *name,
                                     int64_t value);
WSOCK_API int wsock_client_get_int64(wsock_client *client, const char *name,
                                     int64_t *out);

/**
 * Open a connection. Returns at once; on_open or on_close tell the rest. They may run on
 * another worker before this returns, so what they share with the caller is in place
 * first.
 *
 * @param out (out, owned, nullable) the connection, usable for close and as an identity
 *            before it opens; sends answer WSOCK_ECLOSED until then. It is set before any
 *            handler runs.
 * @return 0: then exactly one on_close will come. WSOCK_ECLOSED once the runtime is
 * stopping; WSOCK_ENOMEM; WSOCK_EMFILE and WSOCK_ESYSTEM when the threads cannot start;
 * for wss WSOCK_ETLS when a file or setting of TLS is not usable, which is found by the
 * first connect after it was set, and WSOCK_ENOTSUP in a build without TLS.
 * On failure nothing is called. Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_client_connect(wsock_client *client, wsock_conn **out);

/** As wsock_server_error(), of this client: its headers, subprotocols, options and
 * connects. What becomes of a connection is told by on_close. Thread: any. Since: 1.0 */
WSOCK_API const char *wsock_client_error(wsock_client *client);

#ifdef __cplusplus
}
#endif

#endif
