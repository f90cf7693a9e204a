/* SPDX-License-Identifier: MIT */
/*
 * The last messages of a room, by reference, as a ring whose offsets rise; each knows the
 * one before it, as those that a broker gives may leave some out.
 *
 *   publish: history->publish held over all of this, so that offsets, forms that tell
 *            them, and the order of the members are one
 *     encode --> room->lock: offset, to the shards, append --> unlock
 *   join since a position: room->lock: references to what was missed, and the join into
 *            the shard, between the same two messages
 *
 * What is too old is dropped by whoever comes, and by a timer on one of the workers when
 * nobody does. What is too much for the server is dropped from the room that has most.
 *
 * Locks: history->publish, room->lock, histories->lock.
 */
#ifndef WSI_ROOM_HISTORY_H
#define WSI_ROOM_HISTORY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wsock/history.h>
#include <wsock/types.h>

#include "core/blob.h"
#include "core/list.h"
#include "core/mailbox.h"
#include "io/timer.h"
#include "room/options.h"

struct wsi_said;
struct wsi_v1;

/* Of a server. */
struct wsi_histories {
    _Atomic int64_t bytes; /* that all rooms keep */
    pthread_mutex_t lock;
    struct wsi_list rooms; /* wsi_history.node of those that keep something */
};

/* A message that is kept. */
struct wsi_past {
    struct wsi_said *said; /* a reference */
    uint64_t at_ms;        /* of the workers' clock */
    size_t bytes;          /* that it counts for */
};

struct wsi_history {
    pthread_mutex_t publish; /* one message at a time */
    wsock_room *room;
    uint64_t epoch;
    uint64_t last;         /* the newest offset; under the room's lock, as what follows */
    struct wsi_past *ring; /* (owned, nullable) the oldest at first % capacity */
    size_t capacity, first, count;
    _Atomic int64_t bytes;
    struct wsi_list node;   /* histories->rooms; under its lock too */
    bool timed;             /* the timer runs, or will, with a reference to the room */
    bool stops;             /* the mail of wsi_history_stop() is under way */
    struct wsi_timer timer; /* on the worker that wsi_history_worker() tells */
    struct wsi_mail start, stop;
};

/* What a member has missed. */
struct wsi_missed {
    size_t count;
    struct wsi_missed_one {
        struct wsi_said *said; /* a reference */
        struct wsi_v1 *v1;     /* a reference (nullable), if it speaks that */
    } list[];
};

void wsi_histories_init(struct wsi_histories *histories);
void wsi_histories_fini(struct wsi_histories *histories);

/** Whether a room of these options has one. */
bool wsi_history_is_on(const struct wsi_room_options *options);

/** @return (owned, nullable) NULL without memory. */
struct wsi_history *wsi_history_new(wsock_room *room);
/** With its room; nobody else can see it. @param history (nullable) */
void wsi_history_free(struct wsi_history *history);

/* ---- with the room's lock held ---- */

/** Have room for one more. @return 0; WSOCK_ENOMEM. */
int wsi_history_reserve(struct wsi_history *history);
/** Append, which cannot fail then. @param said with an offset above the last. @param
 * bytes what it counts for. @param age_ms how long ago it was said. @return true when
 * wsi_history_start() is to be called once the lock is given back. */
bool wsi_history_append(struct wsi_history *history, struct wsi_said *said, size_t bytes,
                        uint64_t age_ms);
/** Drop everything. @return true when wsi_history_stop() is to be called, as above. */
bool wsi_history_clear(struct wsi_history *history);

/** Whether more was said before that position than is known here. */
bool wsi_history_is_behind(const struct wsi_history *history,
                           const wsock_position *position);

/**
 * What was said behind a position.
 *
 * @param missed (out, owned, nullable) NULL when there is nothing, or it is not
 *               recovered.
 * @param out    (out) how it goes; size is the caller's.
 * @return 0; WSOCK_ENOMEM.
 */
int wsi_history_since(struct wsi_history *history, struct wsi_missed **missed,
                      wsock_joined *out, const wsock_position *since);

/* ---- without ---- */

/**
 * On its worker, before it is told: make what is missing of the form that a connection
 * takes, and keep that for others, as far as the bounds allow without dropping anything.
 *
 * @return 0; WSOCK_ENOMEM; WSOCK_ETOOBIG.
 */
int wsi_missed_prepare(struct wsi_missed *missed, struct wsi_history *history,
                       const wsock_conn *conn);
/** And then one by one. @return (borrowed from missed) */
struct wsi_blob *wsi_missed_frame(const struct wsi_missed *missed, size_t index,
                                  const wsock_conn *conn);
/** @param missed (consumed, nullable) */
void wsi_missed_free(struct wsi_missed *missed);

/** The timer of what becomes too old. */
void wsi_history_start(struct wsi_history *history);
void wsi_history_stop(struct wsi_history *history);

/** Drop what is more than max_history_bytes. */
void wsi_histories_trim(struct wsi_histories *histories, int64_t limit);

#endif
