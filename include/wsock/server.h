/* SPDX-License-Identifier: MIT */
/**
 * @file
 * A server: listeners where connections come in, endpoints that take them by path, rooms
 * that they meet in, and answers to plain HTTP GET on the same ports.
 *
 * Set it up, then listen; connections are accepted from that moment.
 */
#ifndef WSOCK_SERVER_H
#define WSOCK_SERVER_H

#include <wsock/request.h>
#include <wsock/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @param runtime (borrowed) the server keeps a reference.
 * @param out     (out, owned) end it with wsock_server_free().
 * @return 0; WSOCK_ENOMEM; WSOCK_EINVAL; WSOCK_ECLOSED once the runtime is stopping.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_server_new(wsock_runtime *runtime, wsock_server **out);

WSOCK_API wsock_server *wsock_server_ref(wsock_server *server);
WSOCK_API void wsock_server_unref(wsock_server *server);

/**
 * Begin to stop (wsock_server_stop()) and drop the creator's reference. Does not wait:
 * connections that are still draining keep the server.
 *
 * @param server (consumed, nullable)
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API void wsock_server_free(wsock_server *server);

/**
 * Get the endpoint of a path, or make it.
 *
 * A pattern is a path whose segments are literals or captures: "/chat/{room}". A capture
 * takes one segment, never empty; "{rest...}" as the last segment takes all that follows.
 * Where several patterns match a path, the one with the earlier literal segment wins.
 *
 * @param out (out, owned, nullable) the server keeps its endpoints anyway.
 * @return 0; WSOCK_EINVAL for a malformed pattern; WSOCK_EEXIST when a pattern of the same
 *         shape with other names is there; WSOCK_EBUSY for a new pattern once the server
 *         listens; WSOCK_ENOMEM; WSOCK_ECLOSED.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_server_endpoint(wsock_server *server, wsock_endpoint **out,
                                    const char *pattern);

/**
 * Answer plain HTTP requests (GET and HEAD without an upgrade) that no file of the option
 * www serves; without a handler they get 404, and 426 on the path of an endpoint. The handler
 * answers with wsock_request_respond(), now or later.
 *
 * @param fn (nullable) NULL: no handler any more.
 * @return 0; WSOCK_ENOMEM; WSOCK_EINVAL; WSOCK_ECLOSED.
 * Thread: any, at any time. Since: 1.0
 */
WSOCK_API int wsock_server_on_http(wsock_server *server, wsock_request_fn fn, void *user,
                                   wsock_free_fn free_user);

/** The server has ended: no handler of it runs after this one. */
typedef void (*wsock_stopped_fn)(wsock_server *server, void *user);

/** Called once, after the last on_close, when the server has stopped. @return as above. */
WSOCK_API int wsock_server_on_stopped(wsock_server *server, wsock_stopped_fn fn, void *user,
                                      wsock_free_fn free_user);

/**
 * Open a listener and accept connections from it.
 *
 * URLs: ws://127.0.0.1:8080, ws://[::1]:8080, ws://name:8080 (all addresses of the name), the
 * same with "*" for the host (all addresses, v4 and v6), ws+unix:/run/app.sock. Port 0 takes a
 * free one: see wsock_server_url().
 *
 * @return 0; WSOCK_EURL; WSOCK_EADDRINUSE, WSOCK_EADDRNOTAVAIL, WSOCK_EACCESS, WSOCK_ERESOLVE,
 *         WSOCK_EMFILE, WSOCK_ESYSTEM; WSOCK_ENOTSUP for a path or wss without TLS; WSOCK_ECLOSED;
 *         WSOCK_ENOMEM. wsock_server_error() then names the address and why.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_server_listen(wsock_server *server, const char *url);

/**
 * Close a listener; its connections stay. The socket closes soon after, on its worker.
 *
 * @param url as given to wsock_server_listen(), or as wsock_server_url() tells it.
 * @return 0; WSOCK_ENOENT; WSOCK_EINVAL.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_server_unlisten(wsock_server *server, const char *url);

/**
 * The URL of a listener, with the real port.
 *
 * @param index from 0, in the order of listen.
 * @param out   size bytes, NUL-terminated.
 * @return its length; WSOCK_ENOENT beyond the last; WSOCK_ETOOBIG.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_server_url(wsock_server *server, char *out, size_t size, size_t index);

/** Leave new connections waiting in the kernel's queue, and take them again. */
WSOCK_API int wsock_server_pause_accept(wsock_server *server);
WSOCK_API int wsock_server_resume_accept(wsock_server *server);

/**
 * Begin to end: listeners close, every connection gets close code 1001 and may finish its
 * closing handshake until the option stop_timeout, then it is cut off. Each gets its
 * on_close, and on_stopped comes last. Returns at once; calling it again does nothing.
 *
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API void wsock_server_stop(wsock_server *server);

/**
 * Wait until the server has stopped (it does not begin to stop it).
 *
 * @param timeout_ms negative: no limit.
 * @return 0; WSOCK_ETIMEDOUT; WSOCK_EDEADLK from a handler.
 * Since: 1.0
 */
WSOCK_API int wsock_server_wait(wsock_server *server, int64_t timeout_ms);

/** Open connections now. Thread: any. Since: 1.0 */
WSOCK_API size_t wsock_server_conn_count(const wsock_server *server);

/** Options of scope server, and of scope endpoint as the default of all its endpoints; see
 *  wsock_runtime_set() for the results. Thread: any. Since: 1.0 */
WSOCK_API int wsock_server_set(wsock_server *server, const char *name, const char *value);
WSOCK_API int wsock_server_set_int64(wsock_server *server, const char *name, int64_t value);
WSOCK_API int wsock_server_get_int64(wsock_server *server, const char *name, int64_t *out);
/** @return the length; WSOCK_EOPTION; WSOCK_ETOOBIG. */
WSOCK_API int wsock_server_get_string(wsock_server *server, char *out, size_t size,
                                      const char *name);

/**
 * Why the last call on this server failed, with the address, file or option it was about.
 *
 * @param server (nullable)
 * @return (borrowed until the next failing call on it) one sentence, never NULL.
 * Thread: any. Since: 1.0
 */
WSOCK_API const char *wsock_server_error(wsock_server *server);

#ifdef __cplusplus
}
#endif

#endif
