/* SPDX-License-Identifier: MIT */
/**
 * @file
 * A server: listeners where connections come in, endpoints that take them by path, rooms
 * that they meet in, and answers to plain HTTP on the same ports.
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
 * Make a server. It does nothing yet.
 *
 * @param runtime (borrowed) the server keeps a reference.
 * @param out     (out, owned) end it with wsock_server_free().
 * @return 0; WSOCK_ENOMEM; WSOCK_ECLOSED once the runtime is stopping.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_server_new(wsock_runtime *runtime, wsock_server **out);

/** @return its argument. Thread: any. Since: 1.0 */
WSOCK_API wsock_server *wsock_server_ref(wsock_server *server);

/** Drop a reference taken with wsock_server_ref(). @param server (nullable) Thread: any.
 *  Since: 1.0 */
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
 * @return 0; WSOCK_EINVAL for a malformed pattern; WSOCK_EEXIST when a pattern of the
 * same shape with other names is there; WSOCK_EBUSY for a new pattern once the server
 *         accepts connections; WSOCK_ECLOSED once it is stopping; WSOCK_ENOMEM.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_server_endpoint(wsock_server *server, wsock_endpoint **out,
                                    const char *pattern);

/**
 * Answer plain HTTP requests (GET and HEAD without an upgrade, and POST where the option
 * max_body_bytes is set) that no file of the option www serves; without a handler they get 404, and 426 on the path of an endpoint. The
 * handler answers with wsock_request_respond(), now or later. Paths of endpoints come
 * here too; files are not looked for there.
 *
 * @param fn (nullable) NULL: no handler any more.
 * @return 0; WSOCK_ENOMEM; WSOCK_ECLOSED once the server is stopping.
 * Thread: any, at any time. Since: 1.0
 */
WSOCK_API int wsock_server_on_http(wsock_server *server, wsock_request_fn fn, void *user,
                                   wsock_free_fn free_user);

/** The server has ended: no handler of it runs after this one. @param server (borrowed
 * until return) */
typedef void (*wsock_stopped_fn)(wsock_server *server, void *user);

/**
 * Called once, after the last on_close, when the server has stopped: on a worker, or
 * inside wsock_server_stop() when the runtime never started one.
 *
 * @param fn (nullable) NULL: no handler any more.
 * @return 0; WSOCK_ENOMEM; WSOCK_ECLOSED once the server is stopping.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_server_on_stopped(wsock_server *server, wsock_stopped_fn fn,
                                      void *user, wsock_free_fn free_user);

/**
 * Open a listener and accept connections from it.
 *
 * URLs: ws://127.0.0.1:8080, ws://[::1]:8080, ws://name:8080 (all addresses of the name),
 * the same with "*" for the host (all addresses, v4 and v6), ws+unix:/run/app.sock.
 * ws+fd:3 is a stream socket that the program has bound, such as one of systemd's. The
 * library has a descriptor of its own for it (dup), listens, and makes it nonblocking: the
 * program may close its own at once, and has to some time, since the socket goes with the
 * last one; a Unix path stays the program's to remove. wsock_server_url() tells its
 * address. Each of these URLs may begin with wss for TLS.
 *
 * Without a port it is 80; port 0 takes a free one: see wsock_server_url(). A name is
 * looked up inside the call, which can take seconds. The socket of a server that died is
 * replaced; a Unix path where something else is counts as in use.
 *
 * The first listener starts the threads, opens the directory of the option www, and fixes
 * the options that are not live; and the patterns of endpoints too, unless accepting was
 * paused before (wsock_server_pause_accept()): then the first resume fixes them.
 *
 * @return 0; WSOCK_EURL; WSOCK_EADDRINUSE, WSOCK_EADDRNOTAVAIL, WSOCK_EACCESS;
 * WSOCK_ERESOLVE; WSOCK_EINVAL for a descriptor that is no socket; WSOCK_ENOTSUP for a
 * path, a user, one of ws+fd on a network in memory, or wss in a build
 * without TLS; WSOCK_ETLS for a certificate, key or setting that is not usable;
 * WSOCK_ENOENT, WSOCK_EINVAL or WSOCK_EACCESS for the directory of www, which is not
 * there, no directory, or closed to us; WSOCK_EMFILE, WSOCK_ESYSTEM, WSOCK_ENOMEM;
 * WSOCK_ECLOSED once stopping. wsock_server_error() then names the address and why.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_server_listen(wsock_server *server, const char *url);

/**
 * Read the files of TLS again (options tls_...), check all of them, and only then use
 * them for connections to come; those that are open stay as they are. On failure
 * everything goes on with what was read before. Blocks on the file system.
 *
 * @return 0, also when no listener is wss; WSOCK_ETLS, and wsock_server_error() names the
 *         file and why; WSOCK_ECLOSED once stopping; WSOCK_ENOMEM.
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_server_reload(wsock_server *server);

/**
 * Close a listener; its connections stay. The socket closes soon after, on its worker.
 *
 * @param url as given to wsock_server_listen(), or as wsock_server_url() tells it, letter
 * for letter.
 * @return 0; WSOCK_ENOENT, also once the server is stopping.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_server_unlisten(wsock_server *server, const char *url);

/**
 * The URL of a listener, with the real port.
 *
 * @param out   size bytes, NUL-terminated.
 * @param index from 0, in the order of listen.
 * @return its length; WSOCK_ENOENT beyond the last, and once the server is stopping;
 *         WSOCK_ETOOBIG when size is too small.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_server_url(wsock_server *server, char *out, size_t size,
                               size_t index);

/**
 * Leave new connections waiting in the kernel's queue, on all listeners; soon after the
 * return. Not counted: one resume is enough.
 *
 * @return 0; WSOCK_ECLOSED once the server is stopping.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_server_pause_accept(wsock_server *server);
/** Take them again. As above. */
WSOCK_API int wsock_server_resume_accept(wsock_server *server);

/**
 * Begin to end: listeners close, every connection gets close code 1001 and may finish its
 * closing handshake until the option stop_timeout (or its close_timeout, if that is
 * sooner), then it is cut off. Requests that were not answered, and those that
 * come on connections which were taken before, get 503 with Retry-After. Each connection
 * gets its on_close, and on_stopped comes last. Returns at once; calling it again does
 * nothing.
 *
 * @param server (nullable)
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API void wsock_server_stop(wsock_server *server);

/**
 * Wait until the server has stopped (it does not begin to stop it).
 *
 * @param timeout_ms negative: no limit; 0: only look.
 * @return 0; WSOCK_ETIMEDOUT; WSOCK_EDEADLK from a handler.
 * Thread: any that is not a worker of its runtime. Since: 1.0
 */
WSOCK_API int wsock_server_wait(wsock_server *server, int64_t timeout_ms);

/** Connections that are open or closing now, handshakes not counted. Thread: any.
 * Since: 1.0 */
WSOCK_API size_t wsock_server_conn_count(const wsock_server *server);

/**
 * Options of scope server, and of scope endpoint as the default of all its endpoints; see
 * wsock_runtime_set() and its fellows. What is not live is fixed by the first listener.
 *
 * @return as those, and WSOCK_ENOMEM for an option that is a text.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_server_set(wsock_server *server, const char *name, const char *value);
WSOCK_API int wsock_server_set_int64(wsock_server *server, const char *name,
                                     int64_t value);
WSOCK_API int wsock_server_get_int64(wsock_server *server, const char *name,
                                     int64_t *out);
/** Any option as text, as it could be set again. @param out size bytes, NUL-terminated.
 *  @return the length; WSOCK_EOPTION; WSOCK_ETOOBIG when size is too small. Thread: any.
 *  Since: 1.0 */
WSOCK_API int wsock_server_get_string(wsock_server *server, char *out, size_t size,
                                      const char *name);

/**
 * Why the last call on this server that failed did so, with the address, pattern,
 * directory or option it was about: wsock_server_endpoint(), _listen(), _unlisten(),
 * _room(), _make_room(), _room_defaults(), and those that set or get options. "no error"
 * before any did.
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
