/* SPDX-License-Identifier: MIT */
/*
 * Workers: the threads of a runtime, each with a loop. A connection lives on one worker
 * for life; everything of it happens there, between wsi_worker_post() and the loop.
 *
 * What ends late is counted: `live` holds one for each server that has not stopped and
 * each connection, so that who waits for the end can wait for zero.
 */
#ifndef WSI_CONN_WORKER_H
#define WSI_CONN_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "conn/compress.h"
#include "core/buf.h"
#include "core/list.h"
#include "core/log.h"
#include "core/mailbox.h"
#include "core/option.h"
#include "core/random.h"
#include "core/ref.h"
#include "io/loop.h"
#include "proto/http.h"

struct wsi_pool;
struct wsi_backend;
struct wsi_memory;

struct wsi_worker {
    struct wsi_pool *pool;
    struct wsi_loop *loop;
    const uint64_t *now_ms;     /* of the loop's turn */
    struct wsi_list conns;      /* wsock_conn.node */
    struct wsi_list timers;     /* wsock_timer.node */
    struct wsi_list keepers;    /* wsi_keeper.node */
    struct wsi_list handshakes; /* wsi_opening.handshaking, the oldest first */
    int64_t handshake_count;
    struct wsi_random random;
    pthread_t thread;
    unsigned index;
    atomic_uint calls;         /* of wsock_conn_post() that wait */
    bool quit;                 /* on the worker: leave after this turn */
    atomic_bool ended;         /* the thread will take no more mail */
    bool sweeping;             /* its mail is run after the end; under pool->sweep */
    pthread_mutex_t lock;      /* opening state of requests, memberships of connections */
    struct wsi_timer relief;   /* while the pool is over its memory limit */
    struct wsi_mail end;       /* of wsi_pool_end() */
    struct wsi_http_head head; /* scratch for parsing */
    struct wsi_buf deflated;   /* scratch for a payload that is being sent */
    struct wsi_buf inflated;   /* the message that is being delivered */
    size_t inflated_bytes;     /* of the connection that is being read, in this turn */
    struct wsi_inflater *inflater; /* (owned, nullable) for messages without context */
};

enum { WSI_WORKERS_MAX = 256 };

/* Who waits for the pool on descriptors, and not for `changed`. */
struct wsi_waiter {
    struct wsi_list node;
    int fd; /* of an eventfd */
};

enum wsi_pool_state { WSI_POOL_NEW, WSI_POOL_RUNNING, WSI_POOL_ENDED };

struct wsi_pool {
    struct wsi_ref ref; /* handles of the runtime and everything that it made */
    void (*release)(struct wsi_pool *pool);
    struct wsi_options options; /* scope runtime */
    struct wsi_log log;
    const struct wsi_backend *backend; /* NULL: the default */
    const struct wsi_clock *clock;
    struct wsi_memory *memory; /* (owned, nullable) for tests: see wsi_pool_step() */
    uint64_t seed;             /* of its randomness */
    atomic_uint draws;         /* wsi_pool_random() */

    pthread_mutex_t sweep; /* recursive: who runs mail of workers that have ended */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* live fell to zero, a server stopped, ... */
    enum wsi_pool_state state;
    size_t live;
    struct wsi_list queues;  /* wsock_queue.node */
    struct wsi_list waiters; /* wsi_waiter.node */
    atomic_bool stopping;

    struct wsi_compressors compressors;
    struct wsi_worker *workers;
    atomic_uint count;          /* 0 until the threads run; workers is set before it */
    atomic_uint next;           /* whose turn it is to get a connection */
    _Atomic int64_t buffered;   /* bytes held for peers, over all workers */
    int64_t buffered_automatic; /* what max_buffered_bytes = 0 means here */
};

/** The worker whose thread this is; NULL on any other thread. Read on every send, so it
 * lies in the static TLS block, where eight bytes are to be had for a loaded library too.
 */
extern _Thread_local struct wsi_worker *wsi_worker_current
    __attribute__((tls_model("initial-exec")));

/** A worker without a thread, all zero before: wsi_pool_start() makes its workers so, and
 * who turns the loop in a thread of his own may. @return what wsi_loop_new() answers. */
int wsi_worker_init(struct wsi_worker *worker, struct wsi_pool *pool, unsigned index);
void wsi_worker_fini(struct wsi_worker *worker);

/** @param release the last reference is gone. @return 0; WSOCK_ENOMEM. */
int wsi_pool_init(struct wsi_pool *pool, void (*release)(struct wsi_pool *pool));

static inline struct wsi_pool *wsi_pool_ref(struct wsi_pool *pool)
{
    wsi_ref_take(&pool->ref);
    return pool;
}

static inline void wsi_pool_unref(struct wsi_pool *pool)
{
    if (pool != NULL && wsi_ref_drop(&pool->ref))
        pool->release(pool);
}

/** The threads must have ended. */
void wsi_pool_fini(struct wsi_pool *pool);

/** Start the threads unless they run. @return 0; WSOCK_ECLOSED once stopping;
 * WSOCK_ENOMEM; WSOCK_EMFILE; WSOCK_ESYSTEM. */
int wsi_pool_start(struct wsi_pool *pool);

/** End the threads; nothing may be live. Not from a worker. */
void wsi_pool_end(struct wsi_pool *pool);

/**
 * A pool on a network in memory has one worker without a thread, and a clock that stands
 * still: who waits for something calls this, over and over, until it has come about.
 *
 * @param until_us by the pool's clock; UINT64_MAX: for as long as it takes.
 * @return false when nothing happens until then, which it is now. Not from a handler on
 *         the worker: false.
 */
bool wsi_pool_step(struct wsi_pool *pool, uint64_t until_us);

/** Random bytes where there is no worker, and the date: wsi_random_system() and
 * wsi_calendar_ms(), or for tests what follows from seed and clock. Any thread. */
void wsi_pool_random(struct wsi_pool *pool, void *out, size_t len);
int64_t wsi_pool_calendar_ms(const struct wsi_pool *pool);

/** True when this thread is a worker of the pool. */
static inline bool wsi_pool_is_here(const struct wsi_pool *pool)
{
    return wsi_worker_current != NULL && wsi_worker_current->pool == pool;
}

/** How many workers; 0 before they were started. Any thread. */
static inline unsigned wsi_pool_count(const struct wsi_pool *pool)
{
    return atomic_load_explicit(&pool->count, memory_order_acquire);
}

/** A pool of which this thread runs a handler without being its worker: on_stopped of a
 * server that never had a thread. */
extern _Thread_local const struct wsi_pool *wsi_pool_calling;

/** False in a handler: what would wait for the pool answers WSOCK_EDEADLK. */
static inline bool wsi_pool_may_wait(const struct wsi_pool *pool)
{
    return !wsi_pool_is_here(pool) && wsi_pool_calling != pool;
}

/** The worker that the next connection goes to. */
struct wsi_worker *wsi_pool_pick(struct wsi_pool *pool);

/** With the lock held: have everybody who waits for the pool look. */
void wsi_pool_changed(struct wsi_pool *pool);

/** Count something that must end before the pool may. @return 0; WSOCK_ECLOSED. */
int wsi_pool_hold(struct wsi_pool *pool);
void wsi_pool_release(struct wsi_pool *pool);

/** Run mail on a worker; after the worker's end it runs here, at once. Any thread. */
void wsi_worker_post(struct wsi_worker *worker, struct wsi_mail *mail);

/** The same in two steps: take its place among the mail, with whatever lock held; then,
 * without locks, see to it that it runs after the worker's end too. */
void wsi_worker_push(struct wsi_worker *worker, struct wsi_mail *mail);
void wsi_worker_settle(struct wsi_worker *worker);

/**
 * A visit to each worker, on its thread and between its handlers, behind the mail that it
 * has; done() on the one that comes last. Without threads done() runs at once, here. What
 * nobody can find any more but a handler may still be using is released by a round
 * without a visit.
 */
struct wsi_round {
    struct wsi_mail mail; /* without memory for `visits`: goes from worker to worker */
    struct wsi_pool *pool;
    unsigned next;
    struct wsi_visit *visits; /* one for each worker, all under way at once */
    atomic_uint left;
    void (*visit)(struct wsi_round *round, struct wsi_worker *worker); /* nullable */
    void (*done)(struct wsi_round *round);
};
/** visit and done are set by the caller. Any thread. */
void wsi_pool_round(struct wsi_pool *pool, struct wsi_round *round);

static inline uint64_t wsi_worker_now_ms(const struct wsi_worker *worker)
{
    return *worker->now_ms;
}

#endif
