/* SPDX-License-Identifier: MIT */
/**
 * @file
 * What a room remembers. A room with one of the options history_messages, history_time
 * and history_bytes keeps its last messages, within all of these bounds that are set, and
 * the server's max_history_bytes.
 *
 * Each message that is kept has an offset: 1, 2, 3, and so on, in the order in which all
 * members hear them. Offsets count within an epoch, a random number that a room draws
 * when it is made; a position is both. Who knows the position of the last message that
 * it heard joins with wsock_room_join_since(), and hears what it missed and then what is
 * new, in order, without a gap or a repetition.
 *
 * Messages that only some members may hear (wsock_publish.only) are not kept and have no
 * offset. Who is left out of one (except, excluded) is so at that moment only: if it
 * speaks rooms.v1 it gets a frame `skip` with the message's place.
 */
#ifndef WSOCK_HISTORY_H
#define WSOCK_HISTORY_H

#include <wsock/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A place in what a room said. Epochs are written as 16 hexadecimal digits. */
typedef struct wsock_position {
    size_t size;     /**< set it to sizeof */
    uint64_t epoch;  /**< never 0 in a room with history */
    uint64_t offset; /**< of the last message before this place; 0: none */
} wsock_position;

/** How a join that knew a position went. */
typedef struct wsock_joined {
    size_t size;       /**< set it to sizeof before the call */
    uint64_t epoch;    /**< the room's; 0 without history */
    uint64_t offset;   /**< of the last message before the join */
    uint64_t count;    /**< messages that were missed, and follow now */
    int32_t recovered; /**< 1: no message behind the position is missing; -1: it is not
                            known yet (see wsock_join.on_joined) */
    int32_t reserved;  /**< 0 */
} wsock_joined;

/** How a join went. @param conn (borrowed until return) @param joined (borrowed until
 *  return) */
typedef void (*wsock_joined_fn)(wsock_conn *conn, const wsock_joined *joined, void *user);

/**
 * wsock_room_join_with() of a position: a join, and what was said since a position comes
 * before what is said from now on. When some of that is not kept any more, or the epoch
 * is another, the member is not recovered: it hears only what is said from now on, and
 * should get by another way what it needs to go on.
 *
 * Epoch 0 stands for who comes for the first time: it hears all that is kept behind the
 * offset, and is recovered if that is all there was.
 *
 * What was missed counts for none of the bounds of slow members, and is not dropped.
 *
 * @param since (borrowed until return, nullable) NULL: as wsock_room_join().
 * @param out   (out, nullable)
 * @return as wsock_room_join(); WSOCK_EINVAL also for a size smaller than that of 1.0.
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_room_join_since(wsock_room *room, wsock_conn *conn,
                                    const wsock_position *since, wsock_joined *out);

/** Where the room is now. @param out (out) @return 0; WSOCK_ENOTSUP without history;
 *  WSOCK_ECLOSED; WSOCK_EAGAIN in a cluster until the broker has told. Thread: any.
 *  Since: 1.0 */
WSOCK_API int wsock_room_position(wsock_room *room, wsock_position *out);

/** A message to a room: one that is kept, or one that on_message is told of (member.h).
 *  In a room without history, and of one that is not kept, what tells of its place is 0.
 *  Later versions may add members at the end: look at size. */
typedef struct wsock_room_message {
    size_t size;       /**< of this struct, in the library that filled it */
    const void *data;  /**< (borrowed until return) not NUL-terminated */
    size_t len;        /**< of data */
    const char *key;   /**< (borrowed until return, nullable) */
    const char *event; /**< (borrowed until return) "message" when none was said */
    const char *from;  /**< (borrowed until return) the identity that said it; "" for the
                            application */
    uint64_t epoch;
    uint64_t offset;
    uint64_t prev;   /**< offset of the message before it; 0: it is the first */
    int64_t time_ms; /**< when it was published: milliseconds since 1970, UTC */
    int32_t type;    /**< WSOCK_TEXT or WSOCK_BINARY */
    int32_t is_json; /**< 1: data is one JSON value (WSOCK_JSON) */
} wsock_room_message;

/** @param message (borrowed until return) @return nonzero to hear of no more. */
typedef int (*wsock_history_fn)(const wsock_room_message *message, void *user);

/**
 * Look at what is kept: at the last messages before an offset, the oldest of these first.
 *
 * @param before an offset; 0: at the newest.
 * @param limit  not more than so many.
 * @param fn     called on this thread, without locks held.
 * @return how many there were; WSOCK_ENOTSUP without history; WSOCK_ECLOSED;
 *         WSOCK_EAGAIN in a cluster until the broker has told; WSOCK_ENOMEM.
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_room_history(wsock_room *room, uint64_t before, size_t limit,
                                 wsock_history_fn fn, void *user);

#ifdef __cplusplus
}
#endif

#endif
