/* SPDX-License-Identifier: MIT */
/**
 * @file
 * A room: connections of a server, on whatever workers, that receive what is broadcast to
 * it. All members receive a room's messages in one order, each message once. A message is
 * encoded once and shared. What is sent to one connection by itself (wsock_conn_send())
 * may come before or after a message to the room, whichever was called first.
 *
 * **Lifetime.** A room exists while it has members, somebody holds its handle, it keeps
 * messages (history.h), or its option persistent is set; a handle never comes to mean
 * another room. A connection that ends leaves its rooms by itself. When the server has
 * ended, so have its rooms: handles of them answer WSOCK_ECLOSED.
 *
 * **Options** (docs/options.md, "Servers and rooms") are a room's from the moment when it
 * is made, and for good: those of the server, changed by what was said for names of its
 * pattern (wsock_server_room_defaults()), changed by who makes it
 * (wsock_server_make_room()). docs/rooms.md tells what they are for.
 */
#ifndef WSOCK_ROOM_H
#define WSOCK_ROOM_H

#include <wsock/history.h>
#include <wsock/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Get the room of that name, or make it.
 *
 * @param out  (out, owned)
 * @param name UTF-8, 1 to 255 bytes: tokens divided by '.', none empty, without '*', '>'
 * and control characters.
 * @return 0; WSOCK_EINVAL for the name; WSOCK_ETOOBIG at the server's option max_rooms;
 *         WSOCK_ECLOSED once the server is stopping; WSOCK_ENOMEM. wsock_server_error()
 *         then says why.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_server_room(wsock_server *server, wsock_room **out, const char *name);

/**
 * The same, with options of its own: it is made with them, or has them already.
 *
 * @param options (borrowed until return, nullable) name, value, name, value, ..., NULL.
 * @return as above; WSOCK_EEXIST when the room is there with another value of one of
 *         them, and wsock_server_error() names the option and both values; WSOCK_EOPTION,
 *         WSOCK_EINVAL, WSOCK_ERANGE for what is no option of rooms or no value of it.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_server_make_room(wsock_server *server, wsock_room **out,
                                     const char *name, const char *const *options);

/**
 * Say what rooms have that are made from now on, by their names. Where several patterns
 * match, the later call wins.
 *
 * @param pattern a name in which the token "*" stands for any one token, and ">" as the
 *                last for one or more: "match.*.chat", "match.>".
 * @return 0; WSOCK_EINVAL for the pattern or the value; WSOCK_EOPTION; WSOCK_ERANGE;
 *         WSOCK_ENOMEM. wsock_server_error() then says why.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_server_room_defaults(wsock_server *server, const char *pattern,
                                         const char *option, const char *value);

/** An option of a room, in its unit; 0 for what is off. @param out (out) @return 0;
 *  WSOCK_EOPTION. Thread: any. Since: 1.0 */
WSOCK_API int wsock_room_get_int64(wsock_room *room, const char *name, int64_t *out);
/** The same as text, as it could be set. @param out size bytes, NUL-terminated. @return
 *  the length; WSOCK_EOPTION; WSOCK_ETOOBIG when size is too small. Thread: any.
 *  Since: 1.0 */
WSOCK_API int wsock_room_get_string(wsock_room *room, char *out, size_t size,
                                    const char *name);

/** Get it only if it exists. @param out (out, owned) @return 0; WSOCK_ENOENT;
 * WSOCK_EINVAL for the name. Thread: any. Since: 1.0 */
WSOCK_API int wsock_server_find_room(wsock_server *server, wsock_room **out,
                                     const char *name);

/**
 * The rooms of this moment, in no order. It takes as long as there are rooms, and none
 * comes or goes meanwhile.
 *
 * @param out     (out, owned, nullable if max is 0) room for max handles; drop each with
 *                wsock_room_unref().
 * @param pattern (borrowed until return, nullable) only those whose names match it
 *                (pattern.h).
 * @return how many there are, which may be more than max: then only max were written;
 *         WSOCK_EINVAL for what is no pattern.
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int64_t wsock_server_rooms(wsock_server *server, wsock_room **out, size_t max,
                                     const char *pattern);

/** @return its argument. Thread: any. Since: 1.0 */
WSOCK_API wsock_room *wsock_room_ref(wsock_room *room);

/** @param room (nullable) Thread: any. Since: 1.0 */
WSOCK_API void wsock_room_unref(wsock_room *room);

/** @return (borrowed from room) Thread: any. Since: 1.0 */
WSOCK_API const char *wsock_room_name(const wsock_room *room);

/**
 * Make an open connection a member: it receives what is broadcast after this. Any
 * connection of the room's runtime will do; it is a member until it leaves or closing
 * begins.
 *
 * @return 0; WSOCK_EEXIST when it is one; WSOCK_ECLOSED when it is not open, and for a
 * room that has ended; WSOCK_ETOOBIG at its option max_rooms_per_connection, and at the
 * room's max_members; WSOCK_EINVAL for a connection of another runtime; WSOCK_ENOMEM.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_room_join(wsock_room *room, wsock_conn *conn);

/** How a connection joins. Zero is what is not said. Later versions may add members at
 * the end. */
typedef struct wsock_join {
    size_t size;      /**< set it to sizeof */
    const void *info; /**< (borrowed until return, nullable) what others may know of this
                           member, copied: see member.h */
    size_t info_len;  /**< of info */
    const wsock_position *since; /**< (borrowed until return, nullable) what was said
                                      behind it comes before what is new: see
                                      wsock_room_join_since() */
    wsock_joined_fn on_joined;   /**< (nullable) called once, when it is known how the
                                      join went: inside the call when it is known at once
                                      and did not fail; in a cluster, of a room that this
                                      server has to load first, later, on the
                                      connection's worker or on the server's queue,
                                      before the member hears anything. recovered is -1
                                      for who left before that */
    void *joined_user;           /**< its argument */
} wsock_join;

/** As wsock_room_join(), with more that is said of it. @param how (borrowed until return)
 *  @param out (out, nullable) how it went with `since`; all but size is 0 without that,
 *  but recovered, which is -1 where on_joined is to tell when it hears.
 *  @return as wsock_room_join(); WSOCK_ETOOBIG at the room's option max_info_bytes too;
 *  WSOCK_EINVAL for a size that is smaller than that of 1.0. Thread: any. Since: 1.0 */
WSOCK_API int wsock_room_join_with(wsock_room *room, wsock_conn *conn,
                                   const wsock_join *how, wsock_joined *out);

/** Nothing broadcast after this reaches it. @return 0; WSOCK_ENOENT when it is no member.
 *  Thread: any. Since: 1.0 */
WSOCK_API int wsock_room_leave(wsock_room *room, wsock_conn *conn);

/**
 * Send a message to every member. Members that speak rooms.v1 (docs/rooms-v1.md) get a
 * frame `msg`, in which text is a string, or the JSON that it is, and binary data base64;
 * all others get the data. For a member whose socket does not keep up it waits, as
 * far as the room's options slow_members, slow_queue_messages and slow_queue_bytes allow;
 * beyond, messages are dropped, which wsock_room_dropped() counts; members of rooms.v1
 * are told in rooms with history, others are not. Members whose end begins before their
 * worker comes to it miss it as well. It has no order towards messages that are sent to
 * one member alone: those go before what waits.
 *
 * @param type WSOCK_TEXT or WSOCK_BINARY, with or without WSOCK_UNCOMPRESSED, and
 * WSOCK_TEXT with or without WSOCK_JSON. Where the option compression is on it is
 * compressed once for each kind of members, or twice if it is longer than the smallest
 * window that a member agreed to, by the server's options.
 * @param data (borrowed until return) copied once. With WSOCK_JSON one value whose arrays
 * and objects nest at most 64 deep, and whose escaped surrogates come in pairs.
 * @return the number of members that it is meant for; WSOCK_EAGAIN while a worker is 16
 * MiB of this room's messages behind (nothing was queued, and no on_drain will follow);
 *         WSOCK_ECLOSED when the room has ended; WSOCK_EUTF8; WSOCK_ETOOBIG from 2 GiB
 * on, as a frame `msg` if one is needed; WSOCK_EINVAL for the type, and for what is not
 * the JSON that it says; WSOCK_ENOMEM. Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_room_broadcast(wsock_room *room, int type, const void *data,
                                   size_t len);

/** Which members receive a message: nonzero for those who do. Runs on the thread that
 *  broadcasts, over the members of that moment, without locks held. */
typedef int (*wsock_member_fn)(wsock_conn *conn, void *user);

/** What became of a message in a cluster. */
enum {
    WSOCK_STORED = 1,     /**< the broker has it */
    WSOCK_NOT_STORED = 2, /**< it has not: nobody on other servers hears it */
    WSOCK_UNKNOWN = 3,    /**< the broker went away before it said so */
};

/** Later versions may add members at the end: look at size. */
typedef struct wsock_published {
    size_t size;      /**< of this struct, in the library that filled it */
    const char *why;  /**< (borrowed until return) when it is not stored, else "" */
    uint64_t epoch;   /**< where it is stored; 0 in a room without history */
    uint64_t offset;  /**< as above */
    int64_t time_ms;  /**< when: milliseconds since 1970, by the clock of the broker; 0 in a
                           room without history */
    int32_t outcome;  /**< WSOCK_STORED, WSOCK_NOT_STORED or WSOCK_UNKNOWN */
    int32_t reserved; /**< 0 */
} wsock_published;

/** @param published (borrowed until return) */
typedef void (*wsock_published_fn)(const wsock_published *published, void *user);

/** A message, and for whom it is. Zero is what is not said. Later versions may add
 *  members at the end. */
typedef struct wsock_publish {
    size_t size;        /**< set it to sizeof */
    const void *data;   /**< (borrowed until return) copied once */
    size_t len;         /**< of data */
    const char *key;    /**< (borrowed until return, nullable) what the message is
                             about, UTF-8, at most 255 bytes: with the option
                             slow_members at latest_only the newer message of a key
                             takes the place of the older */
    const char *event;  /**< (borrowed until return, nullable) what kind of message it is:
                             UTF-8, 1 to 64 bytes without control characters; NULL:
                             "message". Raw members do not see it, nor the next */
    const char *from;   /**< (borrowed until return, nullable) the identity that says it,
                             as wsock_conn_identity() tells it; NULL or "": the
                             application */
    wsock_conn *except; /**< (borrowed, nullable) does not receive it */
    wsock_conn *const *excluded; /**< (borrowed until return, nullable) nor do these; who
                                  is no member, or NULL, is passed over */
    size_t excluded_count;       /**< of excluded */
    const char *except_identity; /**< (borrowed until return, nullable) nor does any
                                      connection that the server has of this identity */
    wsock_member_fn only; /**< (nullable) only members that it accepts receive it */
    void *only_user;      /**< (borrowed until return) its argument */
    wsock_published_fn on_done; /**< (nullable) called once, if the call did not fail,
                                     when it is known what became of it: inside the call
                                     without a cluster and for one with `only`; else
                                     later, on the server's queue or any thread of the
                                     library's */
    void *done_user;            /**< its argument */
    int32_t type;         /**< as that of wsock_room_broadcast() */
    int32_t reserved;     /**< 0 */
} wsock_publish;

/**
 * As wsock_room_broadcast(), with all that can be said of a message; those below are
 * short forms of it.
 *
 * In a cluster (docs/cluster.md) a message with `only` stays on this server, others reach
 * members on all. One to a room with history goes to the broker first, and reaches the
 * members of this server, too, when the broker has given it its place.
 *
 * @param what (borrowed until return)
 * @param out  (out, nullable) in a room with history: where the message is; else, for one
 *             with `only`, and in a cluster (see on_done), epoch and offset are 0.
 * @return as wsock_room_broadcast(), of the members of this server; WSOCK_EAGAIN also
 *         when more waits for the broker than cluster_queue_bytes, or it is away and the
 *         message cannot wait; WSOCK_ETOOBIG, WSOCK_EUTF8 for key and event too;
 *         WSOCK_EINVAL for event and from, and for a size that is smaller than that of
 *         1.0.
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_room_publish(wsock_room *room, const wsock_publish *what,
                                 wsock_position *out);

/** The same to all but one, who need not be a member. @param except (borrowed, nullable)
 */
WSOCK_API int wsock_room_broadcast_except(wsock_room *room, wsock_conn *except, int type,
                                          const void *data, size_t len);

/** The same to those whom a function accepts. @param user (borrowed until return) */
WSOCK_API int wsock_room_broadcast_if(wsock_room *room, wsock_member_fn accepts,
                                      void *user, int type, const void *data, size_t len);

/** The same with a message built before (message.h); it cannot be too big or bad text any
 *  more. @param except (borrowed, nullable) */
WSOCK_API int wsock_room_broadcast_message(wsock_room *room, wsock_conn *except,
                                           wsock_message *message);

/**
 * Messages that members missed because they did not keep up (option slow_members), the
 * replaced ones of latest_only included.
 *
 * @param conn (borrowed, nullable) of this member, since it joined; NULL: of all that
 *             there were.
 * @return the count; WSOCK_ENOENT when it is no member.
 * Thread: any. Since: 1.0
 */
WSOCK_API int64_t wsock_room_dropped(wsock_room *room, wsock_conn *conn);

/** The number of members. Thread: any. Since: 1.0 */
WSOCK_API size_t wsock_room_count(wsock_room *room);

/**
 * The members of this moment.
 *
 * @param out (out, owned, nullable if max is 0) room for max handles; drop each with
 *            wsock_conn_unref().
 * @return how many there are, which may be more than max: then only max were written.
 * Thread: any. Since: 1.0
 */
WSOCK_API size_t wsock_room_members(wsock_room *room, wsock_conn **out, size_t max);

#ifdef __cplusplus
}
#endif

#endif
