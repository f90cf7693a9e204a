/* SPDX-License-Identifier: MIT */
/*
 * A queue: handlers of servers and clients that run on a thread of the application's and
 * not on the workers.
 *
 *     worker ---- lane: ring of messages, notices ----.
 *     worker ---- lane ------------------------------- > dispatch, on the host's thread
 *     any thread ---- calls --------------------------'
 *
 * A lane is what one worker has for one queue. Messages go through its ring, which is
 * bounded; what must not fail or wait (open, drain, close, requests) is a notice, whose
 * memory lies in its connection, and which has its place among the messages. Only who
 * entered (`host`) takes from any of them.
 *
 * Sleeping is as in io/loop.c: who waits says so (`armed`) and only then looks; who posts
 * fills and only then looks whether somebody waits.
 *
 * What a connection does with its lane is in queued.h.
 */
#ifndef WSI_CONN_QUEUE_H
#define WSI_CONN_QUEUE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wsock/queue.h>

#include "conn/worker.h"
#include "core/list.h"
#include "core/mailbox.h"
#include "core/ref.h"
#include "core/ring.h"

enum {
    WSI_LANE_RING = 256 * 1024,
    WSI_LANE_INLINE_MAX = 4096, /* larger messages have memory of their own */
};

struct wsi_notice {
    struct wsi_mail mail;
    uint64_t position; /* in the ring: behind all that was published before */
};

/* In the ring. */
struct wsi_record {
    struct wsi_ring_head head;
    struct wsock_conn *conn; /* lives until its last notice, which is behind this */
    uint8_t *large;          /* (owned, nullable) the bytes, if they are not below */
    size_t len;
    uint8_t which; /* enum wsi_on: MESSAGE, PART, PONG */
    uint8_t type;
    uint8_t flags; /* of a part */
    uint8_t data[];
};

/* What the worker writes for each message lies apart from what the dispatcher does; each
 * keeps what it saw of the other's counts, and looks again when that does not suffice. */
struct wsi_lane {
    struct wsock_queue *queue;
    struct wsi_worker *worker;
    struct wsi_ring ring; /* ends with what is the dispatcher's */
    /* The dispatcher's: */
    struct wsi_mail *due, **due_end; /* notices, the oldest first */
    atomic_uint_fast64_t events_taken, bytes_taken;
    char apart[64];
    struct wsi_mailbox notices;
    struct wsi_mail room; /* to the worker: there is room again */
    atomic_bool room_posted;
    atomic_bool starved; /* somebody waits for room */
    /* The worker's: */
    struct wsi_mail kick; /* at the end of the turn: have the host look */
    bool kicked;
    struct wsi_list waiting;          /* wsi_queued.waiting: paused for want of room */
    uint64_t events, bytes;           /* put in */
    uint64_t seen_events, seen_bytes; /* of those that were taken */
};

struct wsock_queue {
    struct wsi_ref ref;     /* everything that may post */
    struct wsi_ref handles; /* the application's: the last one closes it */
    struct wsi_pool *pool;
    struct wsi_list node; /* pool->queues */
    _Atomic(struct wsi_lane *) lanes[WSI_WORKERS_MAX];
    atomic_uint lanes_end; /* no lane is at this index or above */
    struct wsi_mailbox calls;
    atomic_size_t call_count;
    atomic_bool closed;
    atomic_bool armed;            /* the host waits, or will: write to the descriptor */
    atomic_uint_fast64_t signals; /* written to the descriptor, or about to be */
    atomic_bool woken;            /* wsock_queue_wake() */
    int fd;
    atomic_uintptr_t host; /* the thread that dispatched last, | 1 while one does */
    /* Of who entered: */
    uint64_t heard; /* of signals: read again */
    struct wsi_mail *calls_due;
    size_t ran, max; /* handlers in this dispatch, and at most */
    unsigned turn;   /* the lane that comes first */
    bool discards;   /* no handler is called any more */
    struct wsi_record *delivered; /* (nullable) whose handler runs */
};

/** @return 0; WSOCK_ENOMEM; WSOCK_EMFILE. */
int wsi_queue_new(struct wsock_queue **out, struct wsi_pool *pool);

static inline struct wsock_queue *wsi_queue_ref(struct wsock_queue *queue)
{
    wsi_ref_take(&queue->ref);
    return queue;
}

void wsi_queue_unref(struct wsock_queue *queue);

/** The lane of a worker, made if need be. @return (borrowed from queue, nullable) NULL
 * without memory. Any thread. */
struct wsi_lane *wsi_queue_lane(struct wsock_queue *queue, struct wsi_worker *worker);

/** The memory of what the handler that runs is told of. @return (owned, nullable) NULL
 * when there is none that is its own. The thread that dispatches. */
void *wsi_queue_take(struct wsock_queue *queue);

/** Run mail where the handlers run, behind what was called before. Once it is closed, it
 * runs wherever that is noticed, and wsi_queue_calls() tells. Any thread. */
void wsi_queue_call(struct wsock_queue *queue, struct wsi_mail *mail);

static inline bool wsi_queue_is_closed(struct wsock_queue *queue)
{
    return atomic_load_explicit(&queue->closed, memory_order_seq_cst);
}

/** For mail and notices, when they run: whether the application is called. It counts as
 * an event then. Who closes the queue in a handler is called no more, whatever else the
 * same mail has to tell. */
static inline bool wsi_queue_calls(struct wsock_queue *queue)
{
    const bool calls = !queue->discards && !wsi_queue_is_closed(queue);

    queue->ran += calls;
    return calls;
}

/** @return how many handlers ran; WSOCK_EBUSY. */
int wsi_queue_dispatch(struct wsock_queue *queue, size_t max, int64_t timeout_ms);
/** The same of what waits now. */
int wsi_queue_dispatch_now(struct wsock_queue *queue);
/** The same for the thread that dispatched last. @return WSOCK_EBUSY to all others. */
int wsi_queue_dispatch_own(struct wsock_queue *queue);
/** Whether this thread dispatched last (at first: made it). It may end at any moment. */
bool wsi_queue_is_own(struct wsock_queue *queue);
/** @return 1 when there is something to dispatch or it was woken; 0 when the time is up.
 */
int wsi_queue_wait(struct wsock_queue *queue, int64_t timeout_ms);
/** @return 1 when there is something to dispatch now, else 0: the descriptor will tell.
 */
int wsi_queue_arm(struct wsock_queue *queue);
/** The same for the thread that dispatched last. @return WSOCK_EBUSY to all others: they
 * would hear, and so take away, what wakes that one. */
int wsi_queue_arm_own(struct wsock_queue *queue);
/** Have who waits look. Takes no lock. */
void wsi_queue_nudge(struct wsock_queue *queue);
/** The same after something was put in. */
void wsi_queue_signal(struct wsock_queue *queue);
void wsi_queue_close(struct wsock_queue *queue);

/* ---- the worker's side of a lane ---- */

/** Post a notice behind all that was put in before. */
void wsi_lane_notify(struct wsi_lane *lane, struct wsi_notice *notice);
/** Have the host look at the end of this turn. */
void wsi_lane_kick(struct wsi_lane *lane);
bool wsi_lane_is_full(struct wsi_lane *lane);

#endif
