/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Rooms for programs that are no libwsock: an endpoint that speaks the subprotocol
 * wsock.rooms.v1 (docs/rooms-v1.md), as pages and Node do with javascript/wsock.js. The
 * library takes the frames, keeps the rules of the protocol, and asks the application what
 * only that can know:
 *
 *     static void on_hello(wsock_ask *ask, void *user)
 *     {
 *         const char *who = look_up(user, wsock_ask_token(ask));
 *
 *         if (who == NULL) {
 *             wsock_ask_refuse(ask, "unauthorized", "who are you?", 0);
 *             return;
 *         }
 *         wsock_ask_set_identity(ask, who);
 *         wsock_ask_accept(ask);
 *     }
 *
 *     const wsock_rooms_hooks hooks = {.size = sizeof hooks, .on_hello = on_hello};
 *
 *     wsock_server_endpoint(server, &rooms, "/rooms");
 *     wsock_endpoint_serve_rooms(rooms, &hooks, users, NULL);
 *     wsock_server_endpoint(server, &room, "/rooms/{room}");
 *     wsock_endpoint_serve_rooms(room, &hooks, users, NULL);
 *
 * examples/rooms.c is a program, docs/hooks.md tells more.
 *
 * **Paths.** On "/rooms" a connection is in the rooms that it joins. Where the pattern
 * has a capture "room" it is in that one from the hello on. There a client that does not
 * offer the subprotocol is a raw member: what it sends is published as it is, and it
 * receives the data of each message.
 *
 * **Hooks** are asked one at a time for each connection: what it sends behind a question
 * waits until that is answered, and meanwhile nothing is read from it. They run where the
 * handlers run. What no hook is there for is allowed, but calls: who has no identity from
 * on_request is "guest-" and 16 random digits, everybody may join every room, members
 * may publish, and send directly to anybody.
 */
#ifndef WSOCK_ROOMS_V1_H
#define WSOCK_ROOMS_V1_H

#include <wsock/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What is asked. Later versions may ask more: refuse what you do not know. */
enum {
    WSOCK_ASK_HELLO = 1,   /**< who is this? (on_hello) */
    WSOCK_ASK_REFRESH = 2, /**< a token, before the old one is over (on_hello) */
    WSOCK_ASK_JOIN = 3,    /**< may it be in that room? (on_join) */
    WSOCK_ASK_PUBLISH = 4, /**< may it say that there? It is a member. (on_publish) */
    WSOCK_ASK_DIRECT = 5,  /**< may it send that to somebody? (on_publish) */
    WSOCK_ASK_CALL = 6,    /**< something of the application's own (on_call) */
};

/**
 * A question. Answer it with wsock_ask_accept(), _refuse() or _reply(), now or later,
 * from any thread; to do so after the return, take a reference. A question that nobody
 * answered and nobody keeps is refused with the code "failed"; one that is not answered
 * within the option ask_timeout, with "timeout".
 *
 * @param ask (borrowed until return)
 */
typedef void (*wsock_ask_fn)(wsock_ask *ask, void *user);

/** Whom to ask. Zero is nobody. Later versions may add members at the end. */
typedef struct wsock_rooms_hooks {
    size_t size;             /**< set it to sizeof */
    wsock_ask_fn on_hello;   /**< (nullable) */
    wsock_ask_fn on_join;    /**< (nullable) */
    wsock_ask_fn on_publish; /**< (nullable) */
    wsock_ask_fn on_call;    /**< (nullable) NULL: calls are refused, "unknown_call" */
} wsock_rooms_hooks;

/**
 * Serve rooms on an endpoint, before it gets handlers and the server accepts
 * connections. Its messages are the library's from then on: on_message and on_part answer
 * WSOCK_EBUSY. on_open and on_close are told of connections as ever, and on_request may
 * decide who connects before anything is said; it should leave the subprotocol to the
 * library. Calling it again replaces the hooks.
 *
 * @param hooks (borrowed until return, nullable) NULL: none.
 * @param user  (owned) if there is a free_user; the argument of all hooks.
 * @return 0; WSOCK_ENOTSUP in a build without jansson; WSOCK_EBUSY when on_open,
 *         on_message, on_part or on_close is set, or the server accepts connections;
 *         WSOCK_ECLOSED once the server is stopping; WSOCK_EINVAL for a size that is
 *         smaller than that of 1.0; WSOCK_ENOMEM.
 * Thread: any, one at a time for an endpoint. Since: 1.0
 */
WSOCK_API int wsock_endpoint_serve_rooms(wsock_endpoint *endpoint,
                                         const wsock_rooms_hooks *hooks, void *user,
                                         wsock_free_fn free_user);

/**
 * Tell all clients of a server that speak wsock.rooms.v1 that it will go: they spread
 * their coming back over a time. Connections stay open. wsock_server_stop() tells it too,
 * before it closes them.
 *
 * @param after_ms  over so long.
 * @param reconnect 0: they are not to come back.
 * @return 0; WSOCK_ERANGE for a time above a day; WSOCK_ECLOSED once it has stopped;
 *         WSOCK_ENOMEM.
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_server_away(wsock_server *server, uint64_t after_ms, int reconnect);

/* ---- a question ---- */

/** @return its argument. Thread: any. Since: 1.0 */
WSOCK_API wsock_ask *wsock_ask_ref(wsock_ask *ask);
/** @param ask (nullable) Thread: any. Since: 1.0 */
WSOCK_API void wsock_ask_unref(wsock_ask *ask);

/** WSOCK_ASK_*. Thread: any, as all that follow. Since: 1.0, as they are. */
WSOCK_API int wsock_ask_kind(const wsock_ask *ask);
/** Who asks. @return (borrowed from ask) */
WSOCK_API wsock_conn *wsock_ask_conn(const wsock_ask *ask);
/** The room that it is about; "" when it is about none. @return (borrowed from ask) */
WSOCK_API const char *wsock_ask_room(const wsock_ask *ask);
/** Of a hello: who the client wants to be; of a direct message: the identity that it is
 *  for; of a call: its name. @return (borrowed from ask, nullable) NULL where nothing was
 *  said, and for others. */
WSOCK_API const char *wsock_ask_name(const wsock_ask *ask);
/** Of hello, refresh and join: what the client proves itself with. @return (borrowed from
 *  ask, nullable) NULL where nothing was said, and for others. */
WSOCK_API const char *wsock_ask_token(const wsock_ask *ask);
/** Of publish and direct: "message", or what the client says. @return (borrowed from ask,
 *  nullable) */
WSOCK_API const char *wsock_ask_event(const wsock_ask *ask);
/** Of publish. @return (borrowed from ask, nullable) */
WSOCK_API const char *wsock_ask_key(const wsock_ask *ask);
/**
 * Of publish and direct: what is said; of join: the info, of call: the arguments, both
 * as JSON.
 *
 * @param data (out, borrowed from ask) not NUL-terminated.
 * @param len  (out)
 * @return WSOCK_TEXT for data that was a string, and what raw members send as text;
 *         WSOCK_BINARY for bytes; WSOCK_TEXT | WSOCK_JSON for other JSON; 0 when there is
 *         nothing, and then data is NULL and len 0; WSOCK_EINVAL for NULL.
 */
WSOCK_API int wsock_ask_data(const wsock_ask *ask, const void **data, size_t *len);

/* ---- what is changed before it is accepted, by one thread at a time ---- */

/**
 * Of a hello: who it is. Without it, what wsock_conn_identity() says, or a guest.
 *
 * @param identity (borrowed until return) UTF-8, 1 to 255 bytes, without control
 *                 characters.
 * @return 0; WSOCK_EINVAL, also for other questions; WSOCK_EEXIST when the connection is
 *         somebody else already; WSOCK_ECLOSED once answered; WSOCK_ENOMEM.
 */
WSOCK_API int wsock_ask_set_identity(wsock_ask *ask, const char *identity);
/**
 * Of a join: what the others see of it, in place of what the client says. Of a hello: the
 * same in all rooms that it joins.
 *
 * @param json (borrowed until return, nullable) one JSON value; NULL: nothing.
 * @return as above; WSOCK_EINVAL for what is no JSON too.
 */
WSOCK_API int wsock_ask_set_info(wsock_ask *ask, const char *json, size_t len);
/**
 * Of hello and refresh: for how long it is good. The client has to refresh it before, or
 * is closed with 4401.
 *
 * @param expiry_ms from now; 0, as without: for ever.
 * @return 0; WSOCK_EINVAL for other questions; WSOCK_ERANGE for less than 0 or more than
 *         30 days; WSOCK_ECLOSED once answered.
 */
WSOCK_API int wsock_ask_set_expiry_ms(wsock_ask *ask, int64_t expiry_ms);
/**
 * Of publish and direct: what is said instead.
 *
 * @param type WSOCK_TEXT, WSOCK_BINARY, or WSOCK_TEXT | WSOCK_JSON for a JSON value.
 * @param data (borrowed until return)
 * @return as wsock_ask_set_identity(); WSOCK_EUTF8.
 */
WSOCK_API int wsock_ask_set_data(wsock_ask *ask, int type, const void *data, size_t len);

/* ---- answers ---- */

/** Allow it. A call is answered with true. @return 0; WSOCK_ECLOSED once answered, when it
 *  was too late, and when the connection has ended. */
WSOCK_API int wsock_ask_accept(wsock_ask *ask);
/**
 * Refuse it. After a refused hello the connection is closed: with 4401 for the code
 * "unauthorized", so that the client comes back with another token; with 1013 where it
 * may retry; else with 4403, and it does not come back.
 *
 * @param code  (borrowed until return) for programs: 1 to 64 of a-z, 0-9 and "_". Those
 *              of the library's own are listed in docs/rooms-v1.md.
 * @param text  (borrowed until return, nullable) for people: UTF-8, at most 1024 bytes.
 * @param retry 1: the same may succeed later; 0.
 * @return as wsock_ask_accept(); WSOCK_EINVAL, WSOCK_EUTF8, WSOCK_ETOOBIG for code and
 *         text; WSOCK_ENOMEM.
 */
WSOCK_API int wsock_ask_refuse(wsock_ask *ask, const char *code, const char *text,
                               int retry);
/**
 * Answer a call.
 *
 * @param json (borrowed until return) one JSON value.
 * @return as wsock_ask_accept(); WSOCK_EINVAL for what is no JSON, and other questions;
 *         WSOCK_ENOMEM.
 */
WSOCK_API int wsock_ask_reply(wsock_ask *ask, const char *json, size_t len);

#ifdef __cplusplus
}
#endif

#endif
