/* SPDX-License-Identifier: MIT */
/**
 * @file
 * The handles, and what holds for all of them.
 *
 * **Lifetime.** Every handle is reference counted: `wsock_x_ref()` takes a reference and
 * returns its argument, `wsock_x_unref()` drops one and takes NULL; any thread may do
 * either. A child (endpoint, connection, room, ...) keeps its runtime, so nothing you
 * hold can dangle. A handle whose object has ended stays valid; its calls answer
 * WSOCK_ECLOSED. Handlers get borrowed handles: take a reference to keep one.
 *
 * **Threads.** Every call is safe from any thread, handlers included, unless it says
 * otherwise. Only wsock_runtime_run(), wsock_runtime_free() and wsock_server_wait() wait
 * for workers; from a handler they answer WSOCK_EDEADLK instead. (wsock_server_listen()
 * may have to look up a name.)
 *
 * **NULL.** Where a handle is not (nullable), calls that return `int` answer WSOCK_EINVAL
 * for NULL, as for any other pointer that they need; those that look something up answer
 * 0, "" or NULL. Only `ref` insists on an object.
 *
 * **Handlers** run on a worker thread of the runtime and must not block it; or on a
 * thread of yours, when it asks for them (queue.h). Those of
 * one connection never run at the same time. Timers (timer.h) and wsock_conn_post() run
 * functions of yours in the same place.
 *
 * **User pointers.** Whatever takes a `void *user` also takes a `wsock_free_fn`, which is
 * called exactly once, after the last use, from any thread; and not at all when the
 * call that took them failed.
 *
 * Ownership words in these headers: (borrowed), (borrowed until X), (owned), (out,
 * owned), (out, borrowed from X), (consumed), (nullable).
 */
#ifndef WSOCK_TYPES_H
#define WSOCK_TYPES_H

#include <stddef.h>
#include <stdint.h>

#include <wsock/export.h>

/** Worker threads and what they share; the root of everything else. runtime.h */
typedef struct wsock_runtime wsock_runtime;
/** Listeners, endpoints and rooms. server.h */
typedef struct wsock_server wsock_server;
/** A path of a server with its handlers and limits. endpoint.h */
typedef struct wsock_endpoint wsock_endpoint;
/** An HTTP request: the one that opened a connection, or a plain one. request.h */
typedef struct wsock_request wsock_request;
/** One WebSocket, at either end. conn.h */
typedef struct wsock_conn wsock_conn;
/** Where and how to connect, with handlers. client.h */
typedef struct wsock_client wsock_client;
/** A message built once to be sent many times. message.h */
typedef struct wsock_message wsock_message;
/** Connections that hear each other. room.h */
typedef struct wsock_room wsock_room;
/** A thread of the application's that handlers run on. queue.h */
typedef struct wsock_queue wsock_queue;
/** What the application is asked about rooms. rooms_v1.h */
typedef struct wsock_ask wsock_ask;
/** Something to be called later, once or again and again. timer.h */
typedef struct wsock_timer wsock_timer;

/** Releases a user pointer; see above for when. */
typedef void (*wsock_free_fn)(void *user);

/** The type of a message (RFC 6455 section 5.6). Text is UTF-8. */
enum { WSOCK_TEXT = 1, WSOCK_BINARY = 2 };
/** May be added to the type of a message that is sent: leave it as it is where others are
 *  compressed (option compression), because it is secret or compressed already. */
enum { WSOCK_UNCOMPRESSED = 0x100 };
/** May be added to WSOCK_TEXT where that is said to a room: the text is one JSON value,
 *  and members that speak rooms.v1 get it as that and not as a string. */
enum { WSOCK_JSON = 0x200 };

#endif
