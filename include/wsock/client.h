/* SPDX-License-Identifier: MIT */
/**
 * @file
 * A client: where to connect, how, and the handlers of what comes of it. One client makes
 * as many connections as it is asked for, each independent of the others; and if it is
 * started, it keeps one more up by itself.
 *
 * **A connection that comes back.** wsock_client_start() connects, and whenever that
 * connection ends, or was not to be made, waits and connects again. The handlers are the
 * same for all of them; on_state tells how it stands:
 *
 *     CONNECTING --> OPEN --> WAITING --> CONNECTING --> ... --> CLOSED
 *          |                     ^
 *          `---------------------'
 *
 * and with the others: CONNECTING, OPEN, on_open, on_message..., on_close, WAITING; all
 * on one worker, one after the other. Exactly one CLOSED ends it: when
 * wsock_client_stop() was called or the runtime stops, after the last of
 * reconnect_attempts, and after an end for which another attempt is pointless (option
 * reconnect_stop: by default closes such as 1008, statuses such as 401 or 404, and a
 * certificate that is not accepted). Then it may be started again. Who closes the
 * connection itself, with wsock_conn_close(), gets a new one.
 *
 * **Waits** are drawn at random from 0 to a bound that begins at reconnect_delay, doubles
 * from one to the next up to reconnect_max_delay, and begins anew after the connection
 * was open for reconnect_stable_time: so the clients of a server that went away do not
 * come back all at once. After 429 and 503 with a Retry-After in seconds that time, up to
 * an hour, is waited first.
 *
 * **Messages** through wsock_client_send() reach the server at most once: none is sent
 * again, and what was on its way when a connection broke may be lost. Who has to know
 * lets the server acknowledge, and sends again what was not.
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
 * @param url ws://[user[:password]@]host[:port]/path?query or ws+unix:/path.sock[:/path];
 *            or the same with wss. User and password, percent-encoded, are sent as Basic
 *            authentication unless wsock_client_add_header() says another Authorization.
 * @return 0; WSOCK_EURL; WSOCK_ENOTSUP for what only a listener can have (host "*", port
 * 0); WSOCK_ENOMEM. wsock_runtime_error() says what is wrong with it. Thread: any.
 * Since: 1.0
 */
WSOCK_API int wsock_runtime_client(wsock_runtime *runtime, wsock_client **out,
                                   const char *url);

/** @return its argument. Thread: any. Since: 1.0 */
WSOCK_API wsock_client *wsock_client_ref(wsock_client *client);

/** What was started lives on until its CLOSED, with or without a handle: who wants it to
 * end calls wsock_client_stop() before. @param client (nullable) Thread: any. Since: 1.0
 */
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
 * an on_open before. Of a client that was started it comes for every attempt too, but for
 * one that has no connection to tell of (wsock_state_info). As above. */
WSOCK_API int wsock_client_on_close(wsock_client *client, wsock_close_fn fn, void *user,
                                    wsock_free_fn free_user);

/** Add a header field to the requests of connections to come. @return 0; WSOCK_EINVAL for
 *  what is no valid field, or one that the handshake itself writes; WSOCK_ETOOBIG above
 * 16 KiB in all; WSOCK_ENOMEM. Thread: any. Since: 1.0 */
WSOCK_API int wsock_client_add_header(wsock_client *client, const char *name,
                                      const char *value);

/** Have one field of that name in the requests of connections to come, in place of all
 * that were added, as a token that is renewed needs; or none of it.
 * @param value (nullable) NULL: none. @return as wsock_client_add_header(); on failure
 * nothing has changed. Thread: any; also from on_state, for the connection that follows.
 * Since: 1.0 */
WSOCK_API int wsock_client_set_header(wsock_client *client, const char *name,
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

/**
 * Open a connection over a socket that the program has connected, in its own way: through
 * a tunnel, from a certain network, or by socketpair(). The URL says what to ask for, and
 * with wss TLS begins; nothing is looked up, there is no proxy, and no redirect is
 * followed.
 *
 * @param out as for wsock_client_connect().
 * @param fd  (borrowed until return) a stream socket, connected: of TCP, or a Unix one.
 *            The library has a descriptor of its own for it (dup), and makes the socket
 *            nonblocking. The program closes its own one, also after a failure, and best
 *            at once: the peer does not see the end of a connection that is cut off
 *            before the last descriptor is closed.
 * @return as wsock_client_connect(); WSOCK_EINVAL for what is no connected stream socket;
 * WSOCK_ENOTSUP on a network in memory. On failure nothing is called, and the socket is
 * as it was. Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_client_connect_fd(wsock_client *client, wsock_conn **out, int fd);

/* ---- one connection that comes back ---- */

/** How a client that was started stands. */
enum {
    WSOCK_STATE_CONNECTING = 1, /**< an attempt begins */
    WSOCK_STATE_OPEN = 2,       /**< before its on_open */
    WSOCK_STATE_WAITING = 3,    /**< after its on_close, if one comes; CONNECTING or
                                     CLOSED follows */
    WSOCK_STATE_CLOSED = 4,     /**< for good, unless it is started again */
};

/** Later versions may add members at the end: look at size. */
typedef struct wsock_state_info {
    size_t size; /**< of this struct, in the library that filled it */
    const wsock_close_info *why; /**< WAITING, CLOSED: how the connection or the attempt
                                      ended, as on_close was told; else NULL. Where no
                                      connection was made, and so no on_close came: cause
                                      RESET after a stop (also one from the handler of
                                      CONNECTING), STOPPED, NO_MEMORY, TLS for a setting
                                      that is not usable */
    int64_t delay_ms; /**< WAITING: until the next attempt; else 0 */
    int32_t state;    /**< WSOCK_STATE_* */
    int32_t attempt;  /**< of attempts in a row: 1 for the first, and for one that was
                           open for reconnect_stable_time by its end */
} wsock_state_info;

/** @param client (borrowed until return) may be stopped, and in CLOSED be started.
 *  @param info   (borrowed until return) */
typedef void (*wsock_state_fn)(wsock_client *client, const wsock_state_info *info,
                               void *user);

/** As the handlers above. Thread: any, at any time. Since: 1.0 */
WSOCK_API int wsock_client_on_state(wsock_client *client, wsock_state_fn fn, void *user,
                                    wsock_free_fn free_user);

/**
 * From now on keep one connection up. Returns at once; its handlers may run before that.
 *
 * @return 0: then exactly one CLOSED will come. WSOCK_EBUSY while it is started; else as
 * wsock_client_connect(). On failure nothing is called. Thread: any. From a handler: yes.
 * Since: 1.0
 */
WSOCK_API int wsock_client_start(wsock_client *client);

/**
 * Close the connection, or give up what is under way, and connect no more: CLOSED
 * follows, at once where nothing is open. What was sent before still leaves if it is
 * open; what is kept (see below) is dropped.
 *
 * @param code, reason as for wsock_conn_close(), where a connection is open.
 * @return 0; WSOCK_ECLOSED when it is not started, or was stopped before; WSOCK_ERANGE,
 *         WSOCK_EINVAL, WSOCK_ETOOBIG, WSOCK_EUTF8 as wsock_conn_close(). Thread: any.
 *         From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_client_stop(wsock_client *client, int code, const char *reason);

/**
 * Send a message on the connection that is open now; see above for what may become of it.
 *
 * While none is open, messages are kept as far as reconnect_buffer_bytes goes (0 unless
 * set), and the runtime's max_buffered_bytes, and leave when the next one is, after its on_open: what that sends with
 * wsock_conn_send(), such as who we are, comes before them, and what is sent with this
 * call by then, after them, in order.
 *
 * @return 0; WSOCK_EAGAIN when there is no room: at the connection's high-water mark
 *         (on_drain follows), or because none is open and it cannot be kept (on_open
 *         follows); WSOCK_ECLOSED when it is not started, or was stopped; and
 *         WSOCK_EUTF8, WSOCK_ETOOBIG, WSOCK_EINVAL, WSOCK_ENOMEM as wsock_conn_send().
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_client_send(wsock_client *client, int type, const void *data,
                                size_t len);
/** The same for a message built before (message.h); one that is kept is copied. Thread:
 *  any. From a handler: yes. Since: 1.0 */
WSOCK_API int wsock_client_send_message(wsock_client *client, wsock_message *message);

/** The connection that is open now; it may have ended by the time of a call on it.
 * @return (owned, nullable) drop it with wsock_conn_unref(); NULL before OPEN and after
 * its on_close. Thread: any. From a handler: yes. Since: 1.0 */
WSOCK_API wsock_conn *wsock_client_conn(wsock_client *client);

/** As wsock_server_error(), of this client: its headers, subprotocols, options,
 * connects and starts. What becomes of a connection is told by on_close. Thread: any.
 * Since: 1.0 */
WSOCK_API const char *wsock_client_error(wsock_client *client);

#ifdef __cplusplus
}
#endif

#endif
