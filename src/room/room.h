/* SPDX-License-Identifier: MIT */
/*
 * A room, and how its messages reach its members.
 *
 *   broadcast (any thread)            worker 0                 worker 1
 *   encode once ---> lock: append -> [join, msg, msg, leave]  [msg, msg]
 *                    to each shard's operations, unlock, post
 *                                     for each member:          the same
 *                                       write each message
 *
 * Operations of a shard (messages, joins and leaves) form one queue whose order the
 * room's lock decides, so every member sees the same messages in the same order, from its
 * join to its leave. A worker takes all that waits at once and serves one member after
 * the other, which touches each connection once however many messages there are.
 *
 * Locks: room->lock, then worker->lock; never the other way.
 */
#ifndef WSI_ROOM_ROOM_H
#define WSI_ROOM_ROOM_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <wsock/room.h>

#include "conn/droppable.h"
#include "conn/frames.h"
#include "conn/member.h"
#include "conn/worker.h"
#include "core/blob.h"
#include "core/list.h"
#include "core/ref.h"
#include "core/table.h"
#include "room/group.h"
#include "room/herald.h"
#include "room/history.h"
#include "room/notices.h"
#include "room/op.h"
#include "room/options.h"
#include "room/presence.h"
#include "room/registry.h"

/* A worker may be so far behind with one room; then broadcasts answer EAGAIN. */
enum { WSI_ROOM_PENDING_MAX = 16 * 1024 * 1024 };

struct wsi_branch;
struct wsi_placed;
struct wsi_waiting;

/* A connection in a room. */
struct wsi_member {
    struct wsi_membership membership; /* in wsock_conn.rooms */
    wsock_room *room;                 /* a reference */
    wsock_conn *conn;                 /* a reference */
    struct wsi_list node;             /* room->members, under the room's lock */
    struct wsi_list local;            /* shard->members, on the shard's worker */
    struct wsi_feed feed;             /* what waits for it; as `local` */
    struct wsi_missed *missed;        /* (owned, nullable) it comes before all else */
    struct wsi_room_op join, leave;
    struct wsi_attendance *attendance; /* a reference, nullable */
    struct wsi_waiting *waiting; /* (nullable) its own op's; under the room's lock */
    bool joins_late;             /* it hears nothing before it is known what it missed */
    struct wsi_ticket *ticket; /* (owned, nullable) if it speaks rooms.v1, until told; it
                                  goes on the worker, under the room's lock */
    struct wsi_ticket *farewell; /* (owned, nullable) if it asked to leave */
    uint64_t published_us; /* what it published is paid for until then; under the lock */
};

/* The members on one worker. */
struct wsi_shard {
    wsock_room *room;
    struct wsi_mail mail, pushed;
    struct wsi_list members;           /* on the worker */
    struct wsi_room_op *first, **last; /* under the room's lock, as what follows */
    bool scheduled;                    /* the mail is under way, with a reference */
    bool is_pushed;                    /* the same of `pushed` */
    size_t count;                      /* members that have joined and not left */
    size_t pending_bytes;              /* of messages that wait, in all their forms */
};

struct wsock_room {
    struct wsi_ref ref; /* handles, members, mail under way; itself, while kept */
    struct wsi_registry *registry;
    wsock_room *next; /* in its bucket... */
    bool listed;      /* ...as long as it is in the table; under the table's lock */
    wsock_room *next_closed; /* in a list of the registry, while it goes through it */
    uint64_t hash; /* of its name, with the registry's key */
    struct wsi_room_options options; /* from the moment when it was made */
    struct wsi_feed_rules slow;      /* as they say */
    struct wsi_history *history;     /* (owned, nullable) if they say so */
    /* (owned, nullable) in a cluster. Set at most once, where the server joins one after
     * the room was made: under the locks of the room and of its history's publishers. */
    _Atomic(struct wsi_branch *) branch;
    pthread_mutex_t lock; /* what follows */
    bool closed;
    bool kept; /* it holds a reference to itself */
    struct wsi_list members;
    size_t count;
    size_t heads;             /* people, and members without identity */
    struct wsi_takers takers; /* of the members */
    struct wsi_notices notices;
    struct wsi_matches *matches; /* (owned, nullable) who listens by pattern... */
    uint64_t generation;         /* ...as of then */
    struct wsi_table people;     /* struct wsi_present */
    struct wsi_herald *herald;   /* (owned, nullable) */
    struct wsi_shard *shards;    /* (owned, nullable) made for the first member */
    unsigned shard_count;
    char name[];
};

/** An empty room; one that is persistent holds itself already. @return (out, owned,
 *  nullable) */
wsock_room *wsi_room_new(struct wsi_registry *registry, const char *name,
                         const struct wsi_room_options *options);
void wsi_room_free(wsock_room *room);

/** Nobody joins it any more, nothing reaches it, and it keeps nothing. The caller has a
 *  reference. */
void wsi_room_close(wsock_room *room);

/* What is due when it has been closed. */
struct wsi_room_debts {
    bool stop; /* the timer of its history */
    bool drop; /* the reference that it held to itself */
};
/** The two halves of it: with the lock held, and when it is given back. */
struct wsi_room_debts wsi_room_begin_close(wsock_room *room);
void wsi_room_finish_close(wsock_room *room, struct wsi_room_debts debts);

/** With the lock held: should it hold a reference to itself? @return true when it did,
 * and the caller has that reference now, to drop once the lock is given back. */
bool wsi_room_look_at_kept(wsock_room *room);

/** With the room's lock held: queue an operation. @return true when the shard's mail must
 * be posted, with wsi_shard_post(), once the lock is given back. */
bool wsi_shard_append(struct wsi_shard *shard, struct wsi_room_op *op);
void wsi_shard_post(struct wsi_shard *shard);
/** The same of a message with matches, whose mail is under way when the lock is given
 *  back: a subscription that ends behind it goes behind it. Then call
 *  wsi_worker_settle(). */
void wsi_shard_push(struct wsi_shard *shard, struct wsi_room_op *op);

/** Its join was never run, or its leave was. */
void wsi_member_free(struct wsi_member *member);

/** With the lock held: there are shards from now on. @return 0; WSOCK_ENOMEM. */
int wsi_room_make_shards(wsock_room *room);

/* What is to be posted when the lock is given back. Zero-initialise. */
struct wsi_room_posts {
    uint64_t shards[WSI_WORKERS_MAX / 64]; /* bits */
    bool herald;
    wsock_timer *timer; /* (owned, nullable) to be stopped */
};
/** With the lock held: queue an operation for one of the shards. */
void wsi_room_append(wsock_room *room, unsigned shard, struct wsi_room_op *op,
                     struct wsi_room_posts *posts);
/** By who holds the room. */
void wsi_room_post(wsock_room *room, const struct wsi_room_posts *posts);

/** With the lock held: have a connection leave. @param how WSOCK_LEFT_*. @param reason
 * (nullable) @return false when it is no member, or its end waits for the lock. */
bool wsi_room_end_member(wsock_room *room, wsock_conn *conn, int how,
                         struct wsi_blob *reason, struct wsi_room_posts *posts);
/** With the lock held: queue an operation for a member. */
void wsi_room_append_op(wsock_room *room, const struct wsi_member *member,
                        struct wsi_room_op *op, struct wsi_room_posts *posts);
/** The same, without the lock. @return 0; WSOCK_ENOENT when it is no member. */
int wsi_room_remove(wsock_room *room, wsock_conn *conn, int how, struct wsi_blob *reason);
/** With the lock held. @return (nullable) one that stays as long as the lock is. */
struct wsi_member *wsi_room_member(wsock_room *room, wsock_conn *conn);

/** Is it a member now? Takes the worker's lock. */
bool wsi_room_has(wsock_room *room, wsock_conn *conn);

/** As wsock_room_join_with(). @param how (nullable) @param out (out, nullable) @param id
 *  (nullable) of the request, if the connection speaks rooms.v1. */
int wsi_room_join(wsock_room *room, wsock_conn *conn, const wsock_join *how,
                  wsock_joined *out, const char *id);
/** As wsock_room_leave(), by a request. @param ticket (consumed) */
int wsi_room_leave(wsock_room *room, wsock_conn *conn, struct wsi_ticket *ticket);

/** Of who is or was just in it, on its worker: do what waits there now, so that it comes
 *  before what else is sent. Elsewhere: nothing. */
void wsi_room_catch_up(wsock_room *room, wsock_conn *conn);

/* broadcast.c */
/** With the lock held: whether a worker is so far behind that nothing is queued. */
bool wsi_room_is_full(const wsock_room *room);
/**
 * Before a message is made for the room: to compress it, or to make frames of rooms.v1,
 * would be for nothing where it is full, and dear, as whoever was refused tries again.
 * Queueing decides again.
 *
 * @param takers (out) whom it is to be made for (frames.h). Who comes with another window
 *               meanwhile gets it as it is.
 * @return 0; WSOCK_EAGAIN. Any thread.
 */
int wsi_room_look(wsock_room *room, unsigned *takers);
/** As wsock_room_publish(), of what was checked. @param frames (nullable) a message that
 *  is encoded, in place of data, key, event and from; what is compressed is kept there.
 */
int wsi_room_publish(wsock_room *room, const wsock_publish *what,
                     struct wsi_frames *frames, wsock_position *out);
/** The same of what was said already (branch.h), to those who are here. */
int wsi_room_deliver(wsock_room *room, const wsock_publish *what,
                     const struct wsi_placed *placed);

#endif
