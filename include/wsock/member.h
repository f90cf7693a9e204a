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

#include <wsock/history.h>
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
 * Send a message to all connections of an identity, as wsock_conn_send() to each; those
 * that speak rooms.v1 (rooms_v1.h) get it as a frame `direct`.
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
 * Begin to close all connections of an identity, as wsock_conn_close() for each; in a
 * cluster on all servers that the broker reaches (the count is of this one). It may
 * come back; who is not to come back is refused in on_request.
 *
 * @param reason (borrowed until return, nullable)
 * @return how many of them were open; WSOCK_ERANGE, WSOCK_EINVAL, WSOCK_ETOOBIG,
 *         WSOCK_EUTF8 for code and reason; WSOCK_ENOMEM when none could be closed.
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_server_disconnect(wsock_server *server, const char *identity,
                                      int code, const char *reason);

/* ---- in a room ---- */

/** Why a member left, as on_leave is told. */
enum {
    WSOCK_LEFT_BY_CALL = 1,  /**< wsock_room_leave() */
    WSOCK_LEFT_BY_END = 2,   /**< its connection ended, or began to */
    WSOCK_LEFT_BY_KICK = 3,  /**< wsock_room_kick(), wsock_room_kick_conn() */
    WSOCK_LEFT_BY_CLOSE = 4, /**< wsock_room_close() */
};

/** A member that comes or goes. Later versions may add members at the end: look at size.
 */
typedef struct wsock_member {
    size_t size;          /**< of this struct, in the library that filled it */
    wsock_conn *conn;     /**< (borrowed until return) its connection */
    const char *identity; /**< when it joined; "" when it had none */
    const void *info;     /**< what it joined with; NULL when that was nothing */
    size_t info_len;      /**< of info */
    const char *reason;   /**< of on_leave: what the kick or close said, else "" */
    int32_t first;        /**< of on_join: 1 when nobody of its identity was there; one
                               without identity is always the first, and the last */
    int32_t last;         /**< of on_leave: 1 when nobody of its identity is left */
    int32_t how;          /**< of on_leave: WSOCK_LEFT_BY_* */
    int32_t reserved;     /**< 0 */
} wsock_member;

/** A member joined, or left. @param room (borrowed until return) @param member (borrowed
 *  until return) */
typedef void (*wsock_presence_fn)(wsock_room *room, const wsock_member *member,
                                  void *user);

/** Something was said in a room. @param room (borrowed until return) @param message
 *  (borrowed until return) */
typedef void (*wsock_room_message_fn)(wsock_room *room, const wsock_room_message *message,
                                      void *user);

/**
 * Hear who joins a room and who leaves it: each member once, in the order of the room,
 * one call at a time, also with those of on_message. They run on the server's queue, if
 * it has one, else on a worker, which need not be that of the connection. Of members that
 * joined before the first of these handlers was set nothing is told. Handlers go with the
 * room: hold a handle as long as they are wanted.
 *
 * In a cluster they tell of the connections of this server, and so do `first` and `last`;
 * who is on the others wsock_room_people_everywhere() tells, and members that speak
 * rooms.v1 hear of all.
 *
 * @param fn   (nullable) NULL: none from now on.
 * @param user (owned) if there is a free_user.
 * @return 0; WSOCK_ECLOSED when the room has ended; WSOCK_ENOMEM.
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_room_on_join(wsock_room *room, wsock_presence_fn fn, void *user,
                                 wsock_free_fn free_user);
/** As wsock_room_on_join(). */
WSOCK_API int wsock_room_on_leave(wsock_room *room, wsock_presence_fn fn, void *user,
                                  wsock_free_fn free_user);
/** The same of messages: each that is broadcast to the room, whoever the members are that
 *  it is for. While 16 MiB of them wait for the handler broadcasts answer WSOCK_EAGAIN.
 */
WSOCK_API int wsock_room_on_message(wsock_room *room, wsock_room_message_fn fn,
                                    void *user, wsock_free_fn free_user);

/** Somebody in a room. Later versions may add members at the end: look at size. */
typedef struct wsock_person {
    size_t size;          /**< of this struct, in the library that filled it */
    const char *identity; /**< never "" */
    const void *info;     /**< of the connection that joined last; NULL for none */
    size_t info_len;      /**< of info */
    size_t conns;         /**< how many connections of it are members */
} wsock_person;

/** @param person (borrowed until return) @return 0 to go on, else to stop. */
typedef int (*wsock_person_fn)(const wsock_person *person, void *user);

/**
 * The people of a room at this moment, on this server: identities, however many
 * connections they have. Members without identity are not among them; wsock_room_members() has all connections.
 *
 * @param fn   (nullable) called here for each, without locks held, in no order.
 * @param user (borrowed until return)
 * @return how many there are; WSOCK_ENOMEM.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_room_people(wsock_room *room, wsock_person_fn fn, void *user);

/** @param people (borrowed until return) one for each identity; conns is the number of
 *  servers that it is on @param why (borrowed until return) "", or why there is no list */
typedef void (*wsock_people_fn)(const wsock_person *people, size_t count, const char *why,
                                void *user);

/**
 * The people of a room on all servers of its cluster (cluster.h): asked of the broker.
 * Those of a server that was lost are among them until it has been silent for three times
 * cluster_beat.
 *
 * @param fn called once, later, on the server's queue or any thread of the library's, if
 *           the call did not fail.
 * @return 0; WSOCK_ENOTSUP without a cluster; WSOCK_EAGAIN while the broker is away;
 *         WSOCK_ECLOSED; WSOCK_ENOMEM.
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_room_people_everywhere(wsock_room *room, wsock_people_fn fn,
                                           void *user);

/** What a member joined with. @param out (out, nullable if size is 0) @return its length,
 *  0 when that was nothing; WSOCK_ETOOBIG when size is too small; WSOCK_ENOENT when it is
 *  no member. Thread: any. Since: 1.0 */
WSOCK_API int wsock_room_info(wsock_room *room, wsock_conn *conn, void *out, size_t size);

/** As wsock_server_send_to(), to its connections that are members. It has no order with
 *  what is broadcast. */
WSOCK_API int wsock_room_send_to(wsock_room *room, const char *identity, int type,
                                 const void *data, size_t len);

/**
 * Have all connections of an identity leave the room; in a cluster on all servers that the
 * broker reaches (the count is of this one). They stay open, and may join again:
 * who is not to come back is for the application to know.
 *
 * @param reason (borrowed until return, nullable) for on_leave; UTF-8, at most 255 bytes.
 * @return how many left; WSOCK_ETOOBIG, WSOCK_EUTF8 for the reason; WSOCK_ENOMEM.
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_room_kick(wsock_room *room, const char *identity, const char *reason);
/** The same of one connection. @return 0; WSOCK_ENOENT when it is no member; else as
 *  above. */
WSOCK_API int wsock_room_kick_conn(wsock_room *room, wsock_conn *conn,
                                   const char *reason);

/**
 * End a room, in a cluster on all servers that the broker reaches: all members leave,
 * nobody joins any more, and its handles answer
 * WSOCK_ECLOSED. What was broadcast before still arrives. Its name may be that of another
 * room from then on.
 *
 * @param reason (borrowed until return, nullable) as above.
 * @return 0; WSOCK_ECLOSED when it has ended; WSOCK_ETOOBIG, WSOCK_EUTF8 for the reason;
 *         WSOCK_ENOMEM.
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_room_close(wsock_room *room, const char *reason);

/**
 * For who has members publish: count one more message of a member, by the room's option
 * max_publish_rate. One second's worth may come at once.
 *
 * @return 0; WSOCK_ERATE when it is too much (and does not count); WSOCK_ENOENT when it
 * is no member. Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_room_may_publish(wsock_room *room, wsock_conn *conn);

#ifdef __cplusplus
}
#endif

#endif
