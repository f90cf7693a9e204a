/* SPDX-License-Identifier: MIT */
/*
 * Messages of rooms for a connection that does not keep up: they wait here, above the
 * wire, where they can still be dropped.
 *
 *   a room's message --- nothing waits, and the wire has room ---------> the stream
 *          |                                                               ^
 *          +--- else: waits, or is dropped, or drops others --- drained ---+
 *                     by the rules of its room
 *
 * What is on the wire is encoded, may be a part of a compressor's context or encrypted,
 * and cannot be taken back; so the wire gets 64 KiB at a time. Control frames and
 * messages to the connection itself never come here: they go before what waits. While a
 * message leaves in parts, those of rooms wait here too.
 *
 * Each message waits in two lists: its connection's, which has the order in which they
 * leave, and its feed's, which is what one room has waiting here. All of it belongs to
 * the connection's worker.
 */
#ifndef WSI_CONN_DROPPABLE_H
#define WSI_CONN_DROPPABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conn/conn.h"
#include "core/blob.h"
#include "core/list.h"

struct wsi_droppable;
struct wsock_conn;

enum { WSI_DROPPABLE_WIRE_MAX = 64 * 1024 };

/* What happens where no more may wait; as the words of the option slow_members. */
enum wsi_slow {
    WSI_SLOW_DROP_NEWEST,
    WSI_SLOW_DROP_OLDEST,
    WSI_SLOW_LATEST_ONLY, /* of the messages with one key the newest waits */
    WSI_SLOW_CLOSE,
};

/* The rules of one room. */
struct wsi_feed_rules {
    enum wsi_slow slow;
    bool in_order; /* LATEST_ONLY: a newer message waits at the end, not in the place of
                      the older one */
    uint64_t max_messages, max_bytes; /* of each member; bytes overshoot by a message */
    atomic_uint_least64_t dropped;    /* of all members */
};

/* What one room has waiting for one connection. */
struct wsi_feed {
    struct wsi_feed_rules *rules;
    struct wsi_list missed;  /* said before it joined; not to be dropped */
    struct wsi_list waiting; /* and since; the oldest first */
    void *notice; /* (nullable) what waits last, if that tells of messages lost */
    uint64_t count, bytes;         /* of `waiting` */
    atomic_uint_least64_t dropped; /* any thread may look */
};

/** Of the values of the options. */
static inline void wsi_feed_rules_init(struct wsi_feed_rules *rules, int64_t slow,
                                       int64_t max_messages, int64_t max_bytes)
{
    *rules = (struct wsi_feed_rules){
        .slow = (enum wsi_slow)slow,
        .max_messages = (uint64_t)max_messages,
        .max_bytes = (uint64_t)max_bytes,
    };
}

void wsi_feed_init(struct wsi_feed *feed, struct wsi_feed_rules *rules);
/** It gets nothing more: what waits leaves in its turn; but not while it is still being
 *  told what it missed, or who joins and leaves again and again would have that wait many
 *  times. */
void wsi_feed_end(struct wsock_conn *conn, struct wsi_feed *feed);

/** Let a message wait, as the rules allow; the connection is open. @param key (nullable)
 *  of LATEST_ONLY. @return false when it was dropped itself. */
bool wsi_droppable_put(struct wsock_conn *conn, struct wsi_feed *feed,
                       struct wsi_blob *frame, struct wsi_blob *key);

/** Let a message wait that was missed, whatever the rules say. @return 0;
 *  WSOCK_ENOMEM. */
int wsi_droppable_put_missed(struct wsock_conn *conn, struct wsi_feed *feed,
                             struct wsi_blob *frame);

/** The same of a notice that messages of the feed were lost; none waits (feed->notice).
 *  It holds for what is lost until it leaves, or a message waits behind it. */
int wsi_droppable_put_notice(struct wsock_conn *conn, struct wsi_feed *feed,
                             struct wsi_blob *frame);

/** A message of a feed was lost, and not by its rules. */
void wsi_feed_missed(struct wsi_feed *feed);

/** True while messages of rooms have to wait, whatever room the wire has: others do, or
 *  one is leaving in parts. */
bool wsi_droppable_holds(const struct wsock_conn *conn);

/** The wire has less than half of the mark, so that who waits for on_drain comes to his
 *  turn, and less than 64 KiB. */
static inline bool wsi_droppable_wire_has_room(const struct wsock_conn *conn)
{
    const int64_t mark = wsi_option(&conn->profile->options, WSI_OPT_MAX_BACKLOG_BYTES);
    const int64_t half = (int64_t)(((uint64_t)mark + 1) / 2);
    const int64_t queued = (int64_t)wsi_stream_queued(&conn->stream);

    return queued < half && queued < WSI_DROPPABLE_WIRE_MAX;
}

/** True when a message of a room may go to the stream at once: asked for each message and
 *  member, most of whom have nothing that could hold it. */
static inline bool wsi_droppable_is_passed(const struct wsock_conn *conn)
{
    return (wsi_extra_of(conn) == NULL || !wsi_droppable_holds(conn)) &&
           wsi_droppable_wire_has_room(conn);
}

/** The wire may have room again: move there what it takes. */
void wsi_droppable_move(struct wsock_conn *conn);
/** Closing begins: move all of it, whatever the wire holds. */
void wsi_droppable_move_all(struct wsock_conn *conn);
/** Drop all of it; it counts for nobody. */
void wsi_droppable_clear(struct wsock_conn *conn);

/** Bytes of the frames that wait. Any thread. */
size_t wsi_droppable_bytes(const struct wsock_conn *conn);
/** What they take, with what it takes to keep them. */
size_t wsi_droppable_held_bytes(const struct wsock_conn *conn);

/** Takes NULL. */
void wsi_droppable_free(struct wsi_droppable *queue);

#endif
