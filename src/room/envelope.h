/* SPDX-License-Identifier: MIT */
/*
 * A message to a room: what was said, which a history may keep, and the envelope in which
 * it is on its way to those who are meant.
 *
 * Both are one allocation with the frame, whatever the number of members. Its memory
 * goes with the last of: the envelope (everybody has been served), what was said (nobody
 * tells it any more), the frame (the sockets have taken it). What only some members get,
 * frames of rooms.v1, is made once for all of them, beside it (form.h).
 */
#ifndef WSI_ROOM_ENVELOPE_H
#define WSI_ROOM_ENVELOPE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wsock/room.h>

#include "conn/conn.h"
#include "conn/frames.h"
#include "conn/send.h"
#include "core/blob.h"
#include "core/ref.h"
#include "room/audience.h"
#include "room/form.h"
#include "room/op.h"

struct wsi_feed;
struct wsi_matches;

struct wsi_said {
    struct wsi_ref ref;       /* the envelope, a history, who is told of it */
    struct wsi_frames frames; /* raw; `plain` may lie inside this very allocation */
    struct wsi_blob *key;     /* a reference (nullable), inside as well */
    const char *event, *from; /* inside too, or static; "" is nobody */
    bool is_json;
    uint32_t extra_bytes;         /* of these texts, and what is kept with them */
    uint64_t epoch, offset, prev; /* its place in a history; offset 0: none */
    int64_t time_ms;              /* if it has one, or is told to who speaks rooms.v1 */
    _Atomic(struct wsi_v1 *) v1;  /* (owned, nullable) set at most once */
};

struct wsi_envelope {
    struct wsi_said said;
    struct wsi_ref ref;    /* of who has it still to deliver */
    wsock_conn *except;    /* (owned, nullable) */
    bool chooses;          /* one of these three is set */
    bool differs;          /* not all who come to hear it may get the raw frames */
    struct wsi_conns only; /* if there are any */
    struct wsi_conns excluded;
    struct wsi_matches *matches; /* a reference, nullable */
    uint64_t serial;             /* if there are matches: group.h */
    unsigned shards;
    struct wsi_room_op ops[]; /* one for each shard, then that of the herald */
};

/** @param frames (nullable) a message that is encoded, in place of what there is to say.
 *  @return (owned, nullable) NULL without memory. */
struct wsi_envelope *wsi_envelope_new(unsigned shards, const wsock_publish *what,
                                      const struct wsi_frames *frames);
/** A frame for those only who speak rooms.v1, and no message. @param v1 (consumed on
 *  success) @return as above. */
struct wsi_envelope *wsi_envelope_new_notice(unsigned shards, struct wsi_v1 *v1);
struct wsi_envelope *wsi_envelope_ref(struct wsi_envelope *envelope);
void wsi_envelope_unref(struct wsi_envelope *envelope);

/** To a connection, where they differ: its form, or what it has to know when it is left
 *  out. On its worker. @return as wsi_envelope_deliver(). */
bool wsi_envelope_deliver_own(const struct wsi_envelope *envelope, wsock_conn *conn,
                              struct wsi_feed *feed);

struct wsi_said *wsi_said_ref(struct wsi_said *said);
void wsi_said_unref(struct wsi_said *said);

/** The bytes of all its forms. */
size_t wsi_said_bytes(const struct wsi_said *said);

/** Its frames for who speaks rooms.v1. @return (borrowed from said, nullable) NULL: not
 *  made. */
static inline struct wsi_v1 *wsi_said_v1(const struct wsi_said *said)
{
    return atomic_load_explicit(&said->v1, memory_order_acquire);
}

/** Make them. @param room to which it was said. @param out (out, owned) @return as
 *  wsi_v1_new(). */
int wsi_said_make_v1(const struct wsi_said *said, struct wsi_v1 **out, const char *room,
                     bool skip);
/** And keep them. @param v1 (consumed) there are none yet, and nobody else does this. */
void wsi_said_set_v1(struct wsi_said *said, struct wsi_v1 *v1);

/** What the application is told. */
wsock_room_message wsi_said_show(const struct wsi_said *said);

/** On its worker: to who is there and may hear it. @return false when it misses it. */
static inline bool wsi_envelope_deliver(const struct wsi_envelope *envelope,
                                        wsock_conn *conn, struct wsi_feed *feed)
{
    if (envelope->differs)
        return wsi_envelope_deliver_own(envelope, conn, feed);
    return wsi_conn_deliver(conn, feed, &envelope->said.frames, envelope->said.key);
}

#endif
