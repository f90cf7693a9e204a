/* SPDX-License-Identifier: MIT */
/**
 * @file
 * An endpoint: the handlers and limits of one path of a server. Handlers may be replaced
 * at any time, for open connections too; the old user pointer is freed when no worker
 * can be using it any more. A NULL function removes a handler.
 *
 * What happens to a connection, in order: on_request, on_open, then on_message (or
 * on_part), on_pong and on_drain as they come, and on_close last, exactly once, if
 * on_open ran.
 */
#ifndef WSOCK_ENDPOINT_H
#define WSOCK_ENDPOINT_H

#include <wsock/conn.h>
#include <wsock/request.h>
#include <wsock/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** An endpoint keeps its server. @return its argument. Thread: any. Since: 1.0 */
WSOCK_API wsock_endpoint *wsock_endpoint_ref(wsock_endpoint *endpoint);

/** @param endpoint (nullable) Thread: any. Since: 1.0 */
WSOCK_API void wsock_endpoint_unref(wsock_endpoint *endpoint);

/** @return (borrowed from endpoint) the pattern it was made with. Thread: any. Since: 1.0
 */
WSOCK_API const char *wsock_endpoint_pattern(const wsock_endpoint *endpoint);

/**
 * Decide who may connect. Without a handler every valid upgrade is accepted.
 *
 * @param fn (nullable) NULL: no handler any more.
 * @return 0; WSOCK_ENOMEM; WSOCK_ECLOSED once the server is stopping. So do all that
 * follow; on_message and on_part answer WSOCK_EBUSY where rooms are served (rooms_v1.h).
 * Thread: any, at any time. Since: 1.0
 */
WSOCK_API int wsock_endpoint_on_request(wsock_endpoint *endpoint, wsock_request_fn fn,
                                        void *user, wsock_free_fn free_user);
/** A request that was not answered yet has died, timed out, or met the server's stop;
 * answers to it now return WSOCK_ECLOSED. As above. */
WSOCK_API int wsock_endpoint_on_request_cancelled(wsock_endpoint *endpoint,
                                                  wsock_request_fn fn, void *user,
                                                  wsock_free_fn free_user);
/** The handlers of its connections; conn.h has their types. All as above. */
WSOCK_API int wsock_endpoint_on_open(wsock_endpoint *endpoint, wsock_open_fn fn,
                                     void *user, wsock_free_fn free_user);
WSOCK_API int wsock_endpoint_on_message(wsock_endpoint *endpoint, wsock_message_fn fn,
                                        void *user, wsock_free_fn free_user);
/** Instead of on_message, also where that is set too, for connections that open from then
 *  on: their messages come in parts, whatever is set later. */
WSOCK_API int wsock_endpoint_on_part(wsock_endpoint *endpoint, wsock_part_fn fn,
                                     void *user, wsock_free_fn free_user);
WSOCK_API int wsock_endpoint_on_pong(wsock_endpoint *endpoint, wsock_pong_fn fn,
                                     void *user, wsock_free_fn free_user);
WSOCK_API int wsock_endpoint_on_drain(wsock_endpoint *endpoint, wsock_drain_fn fn,
                                      void *user, wsock_free_fn free_user);
WSOCK_API int wsock_endpoint_on_close(wsock_endpoint *endpoint, wsock_close_fn fn,
                                      void *user, wsock_free_fn free_user);

/** Options of scope endpoint; unset ones follow the server's. What is not live is fixed
 *  when the server accepts connections. See wsock_runtime_set() and its fellows for the
 *  results. Thread: any. Since: 1.0 */
WSOCK_API int wsock_endpoint_set(wsock_endpoint *endpoint, const char *name,
                                 const char *value);
WSOCK_API int wsock_endpoint_set_int64(wsock_endpoint *endpoint, const char *name,
                                       int64_t value);
WSOCK_API int wsock_endpoint_get_int64(wsock_endpoint *endpoint, const char *name,
                                       int64_t *out);

/** As wsock_server_error(), of this endpoint and its options. Thread: any. Since: 1.0 */
WSOCK_API const char *wsock_endpoint_error(wsock_endpoint *endpoint);

#ifdef __cplusplus
}
#endif

#endif
