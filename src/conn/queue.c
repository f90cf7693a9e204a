/* SPDX-License-Identifier: MIT */
/* Queues: lanes, dispatching, and waiting for something to dispatch. */
#include "conn/queue.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <wsock/error.h>

#include "conn/conn.h"
#include "conn/queued.h"
#include "core/alloc.h"

enum {
    EVENTS_DEFAULT = 1024, /* of a dispatch that names no number */
    TURN = 64, /* events of one lane, and calls, before the next one has its turn */
};

enum { ENTERED = 1 }; /* the bit in `host` */

/* A number for each thread, with room for that bit. */
static uintptr_t this_thread(void)
{
    return (uintptr_t)&wsi_pool_calling;
}

/* ---- life ---- */

int wsi_queue_new(struct wsock_queue **out, struct wsi_pool *pool)
{
    struct wsock_queue *queue = wsi_zalloc(sizeof *queue);

    if (queue == NULL)
        return WSOCK_ENOMEM;
    queue->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (queue->fd < 0) {
        wsi_free(queue);
        return WSOCK_EMFILE;
    }
    wsi_ref_init(&queue->ref);
    wsi_ref_init(&queue->handles);
    wsi_mailbox_init(&queue->calls);
    queue->pool = wsi_pool_ref(pool);
    atomic_init(&queue->host, this_thread());
    pthread_mutex_lock(&pool->lock);
    wsi_list_append(&pool->queues, &queue->node);
    pthread_mutex_unlock(&pool->lock);
    *out = queue;
    return 0;
}

static void free_lane(struct wsi_lane *lane)
{
    assert(lane->due == NULL && wsi_mailbox_is_empty(&lane->notices));
    wsi_ring_fini(&lane->ring);
    wsi_free(lane);
}

void wsi_queue_unref(struct wsock_queue *queue)
{
    struct wsi_pool *pool;
    bool last;

    if (queue == NULL || wsi_ref_drop_unless_last(&queue->ref))
        return;
    /* Who finds it in the list, with the lock held, may still take a reference. */
    pool = queue->pool;
    pthread_mutex_lock(&pool->lock);
    last = wsi_ref_drop(&queue->ref);
    if (last)
        wsi_list_remove(&queue->node);
    pthread_mutex_unlock(&pool->lock);
    if (!last)
        return;
    assert(queue->calls_due == NULL && wsi_mailbox_is_empty(&queue->calls));
    for (unsigned i = 0; i < atomic_load(&queue->lanes_end); i++) {
        struct wsi_lane *lane = atomic_load(&queue->lanes[i]);

        if (lane != NULL)
            free_lane(lane);
    }
    close(queue->fd);
    wsi_free(queue);
    wsi_pool_unref(pool);
}

/* ---- the worker's side ---- */

static void run_kick(struct wsi_mail *mail)
{
    struct wsi_lane *lane = WSI_CONTAINER_OF(mail, struct wsi_lane, kick);
    struct wsock_queue *queue = lane->queue;

    lane->kicked = false;
    wsi_ring_announce(&lane->ring);
    wsi_queue_signal(queue);
    wsi_queue_unref(queue);
}

void wsi_lane_kick(struct wsi_lane *lane)
{
    if (lane->kicked)
        return;
    lane->kicked = true;
    wsi_queue_ref(lane->queue);
    wsi_worker_post(lane->worker, &lane->kick);
}

void wsi_lane_notify(struct wsi_lane *lane, struct wsi_notice *notice)
{
    notice->position = lane->ring.written;
    wsi_mailbox_post(&lane->notices, &notice->mail);
    wsi_lane_kick(lane);
}

/* As far as it is known. */
static bool has_room(struct wsi_lane *lane)
{
    const struct wsi_options *options = &lane->worker->pool->options;

    return lane->events - lane->seen_events <
               (uint64_t)wsi_option(options, WSI_OPT_QUEUE_EVENTS) &&
           lane->bytes - lane->seen_bytes <
               (uint64_t)wsi_option(options, WSI_OPT_QUEUE_BYTES) &&
           wsi_ring_has_room(&lane->ring,
                             sizeof(struct wsi_record) + WSI_LANE_INLINE_MAX);
}

bool wsi_lane_is_full(struct wsi_lane *lane)
{
    if (has_room(lane))
        return false;
    lane->seen_events = atomic_load(&lane->events_taken);
    lane->seen_bytes = atomic_load(&lane->bytes_taken);
    return !has_room(lane);
}

static struct wsi_lane *new_lane(struct wsock_queue *queue, struct wsi_worker *worker)
{
    struct wsi_lane *lane = wsi_zalloc(sizeof *lane);

    if (lane == NULL)
        return NULL;
    if (!wsi_ring_init(&lane->ring, WSI_LANE_RING)) {
        wsi_free(lane);
        return NULL;
    }
    lane->queue = queue;
    lane->worker = worker;
    wsi_mailbox_init(&lane->notices);
    lane->kick.run = run_kick;
    lane->room.run = wsi_queued_run_room;
    wsi_list_init(&lane->waiting);
    lane->due_end = &lane->due;
    return lane;
}

struct wsi_lane *wsi_queue_lane(struct wsock_queue *queue, struct wsi_worker *worker)
{
    struct wsi_lane *lane = atomic_load(&queue->lanes[worker->index]);

    if (lane != NULL)
        return lane;
    pthread_mutex_lock(&queue->pool->lock);
    lane = atomic_load(&queue->lanes[worker->index]);
    if (lane == NULL) {
        lane = new_lane(queue, worker);
        atomic_store(&queue->lanes[worker->index], lane);
        if (lane != NULL && worker->index >= atomic_load(&queue->lanes_end))
            atomic_store(&queue->lanes_end, worker->index + 1);
    }
    pthread_mutex_unlock(&queue->pool->lock);
    return lane;
}

/* ---- dispatching: of who entered ---- */

static bool is_enough(struct wsock_queue *queue)
{
    if (queue->ran >= queue->max)
        return true;
    if (queue->discards)
        return false;
    return wsi_queue_is_closed(queue) ||
           (queue->ran > 0 && atomic_load_explicit(&queue->woken, memory_order_relaxed));
}

static void collect_notices(struct wsi_lane *lane)
{
    struct wsi_mail *mail;

    if (wsi_mailbox_is_empty(&lane->notices))
        return;
    *lane->due_end = mail = wsi_mailbox_take(&lane->notices);
    while (mail->next != NULL)
        mail = mail->next;
    lane->due_end = &mail->next;
}

static void run_notice(struct wsi_lane *lane)
{
    struct wsi_mail *mail = lane->due;

    lane->due = mail->next;
    if (lane->due == NULL)
        lane->due_end = &lane->due;
    mail->run(mail);
}

/* Messages up to a position. @return false when this is enough. */
static bool run_records(struct wsock_queue *queue, struct wsi_lane *lane, uint64_t limit)
{
    struct wsi_ring_head *head;

    while ((head = wsi_ring_peek(&lane->ring, limit)) != NULL) {
        struct wsi_record *record = (struct wsi_record *)(void *)head;
        const uint64_t bytes = record->len;

        if (is_enough(queue))
            return false;
        queue->delivered = record;
        wsi_queued_deliver(queue, record);
        queue->delivered = NULL;
        wsi_free(record->large);
        wsi_ring_take(&lane->ring, head);
        atomic_store_explicit(&lane->events_taken, lane->events_taken + 1,
                              memory_order_release);
        atomic_store_explicit(&lane->bytes_taken, lane->bytes_taken + bytes,
                              memory_order_release);
    }
    return true;
}

void *wsi_queue_take(struct wsock_queue *queue)
{
    uint8_t *large = queue->delivered != NULL ? queue->delivered->large : NULL;

    if (large != NULL)
        queue->delivered->large = NULL;
    return large;
}

/* What has its place before a notice is published before it: so, who reads how far the
 * ring goes and only then takes the notices misses none that comes before. */
static void run_lane(struct wsock_queue *queue, struct wsi_lane *lane)
{
    for (;;) {
        const uint64_t published = wsi_ring_published(&lane->ring);
        const struct wsi_notice *notice;

        collect_notices(lane);
        notice = lane->due != NULL ? WSI_CONTAINER_OF(lane->due, struct wsi_notice, mail)
                                   : NULL;
        if (!run_records(queue, lane, notice != NULL ? notice->position : published))
            break;
        if (notice == NULL)
            break;
        if (is_enough(queue))
            break;
        run_notice(lane);
    }
    /* What it counts is told in one order with who waits for it: see starve(). */
    atomic_store(&lane->events_taken, atomic_load(&lane->events_taken));
    if (atomic_load(&lane->starved))
        wsi_queued_offer_room(lane);
}

static void run_calls(struct wsock_queue *queue)
{
    while (!is_enough(queue)) {
        struct wsi_mail *mail;

        if (queue->calls_due == NULL)
            queue->calls_due = wsi_mailbox_take(&queue->calls);
        mail = queue->calls_due;
        if (mail == NULL)
            return;
        queue->calls_due = mail->next;
        mail->run(mail);
    }
}

/* @param index 0: the calls; from 1 on the lanes. */
static void run_turn(struct wsock_queue *queue, unsigned index)
{
    struct wsi_lane *lane = index > 0 ? atomic_load(&queue->lanes[index - 1]) : NULL;
    const size_t max = queue->max;

    if (max - queue->ran > TURN)
        queue->max = queue->ran + TURN;
    if (index == 0)
        run_calls(queue);
    else if (lane != NULL)
        run_lane(queue, lane);
    queue->max = max;
}

/* Whoever is behind when this is enough is the first the next time: so none can keep
 * another from its turn, however few events a dispatch is to run. */
static void run_all(struct wsock_queue *queue, size_t max)
{
    const struct wsi_pool *calling = wsi_pool_calling;
    size_t before;

    wsi_pool_calling = queue->pool;
    queue->ran = 0;
    queue->max = max;
    do {
        const unsigned end = atomic_load(&queue->lanes_end) + 1;

        before = queue->ran;
        for (unsigned i = 0; i < end && !is_enough(queue); i++) {
            run_turn(queue, queue->turn % end);
            queue->turn = (queue->turn + 1) % end;
        }
    } while (queue->ran > before && !is_enough(queue));
    wsi_pool_calling = calling;
}

/* ---- who dispatches, and when there is something to ---- */

static bool lane_has_news(struct wsi_lane *lane)
{
    return lane != NULL &&
           (!wsi_mailbox_is_empty(&lane->notices) ||
            wsi_ring_published(&lane->ring) != wsi_ring_taken(&lane->ring));
}

/* Any thread may ask. What a dispatch left in its own lists is not seen. */
static bool has_news(struct wsock_queue *queue)
{
    if (!wsi_mailbox_is_empty(&queue->calls))
        return true;
    for (unsigned i = 0; i < atomic_load(&queue->lanes_end); i++)
        if (lane_has_news(atomic_load(&queue->lanes[i])))
            return true;
    return false;
}

/* Of who entered. */
static bool has_events(struct wsock_queue *queue)
{
    if (queue->calls_due != NULL || has_news(queue))
        return true;
    for (unsigned i = 0; i < atomic_load(&queue->lanes_end); i++) {
        const struct wsi_lane *lane = atomic_load(&queue->lanes[i]);

        if (lane != NULL && lane->due != NULL)
            return true;
    }
    return false;
}

static bool enter(struct wsock_queue *queue)
{
    return (atomic_fetch_or(&queue->host, ENTERED) & ENTERED) == 0;
}

/* Both at once: between a look at whose it is and entering it may change hands. */
static bool enter_own(struct wsock_queue *queue)
{
    uintptr_t host = this_thread();

    return atomic_compare_exchange_strong(&queue->host, &host, host | ENTERED);
}

static void let_go(struct wsock_queue *queue)
{
    atomic_fetch_and(&queue->host, ~(uintptr_t)ENTERED);
}

bool wsi_queue_is_own(struct wsock_queue *queue)
{
    return (atomic_load(&queue->host) & ~(uintptr_t)ENTERED) == this_thread();
}

/* Closed: what waits is done away with by whoever notices. Who cannot enter leaves it to
 * the one who did, who looks again when it lets go. */
static void discard(struct wsock_queue *queue)
{
    bool more = true;

    wsi_queue_ref(queue); /* a free function may drop the last handle */
    while (more && enter(queue)) {
        queue->discards = true;
        if (has_events(queue))
            run_all(queue, SIZE_MAX);
        let_go(queue);
        more = has_news(queue);
    }
    wsi_queue_unref(queue);
}

static void leave(struct wsock_queue *queue)
{
    let_go(queue);
    if (wsi_queue_is_closed(queue))
        discard(queue);
}

/* The descriptor adds up what is written to it, so each signal is heard once. Who counted
 * one may be just about to write it: then it is read the next time. */
static void hear_signals(struct wsock_queue *queue)
{
    uint64_t count;

    if (atomic_load(&queue->signals) != queue->heard &&
        read(queue->fd, &count, sizeof count) == sizeof count)
        queue->heard += count;
}

static int arm(struct wsock_queue *queue, bool (*enters)(struct wsock_queue *queue))
{
    bool some;

    if (wsi_queue_is_closed(queue))
        return WSOCK_ECLOSED;
    if (!enters(queue))
        return WSOCK_EBUSY;
    hear_signals(queue);
    atomic_store(&queue->armed, true);
    some = has_events(queue) || atomic_load(&queue->woken);
    if (some)
        atomic_store(&queue->armed, false);
    leave(queue);
    return some;
}

int wsi_queue_arm(struct wsock_queue *queue)
{
    return arm(queue, enter);
}

int wsi_queue_arm_own(struct wsock_queue *queue)
{
    return arm(queue, enter_own);
}

/* In signal handlers too. */
void wsi_queue_nudge(struct wsock_queue *queue)
{
    const uint64_t one = 1;

    if (atomic_load(&queue->armed) && atomic_exchange(&queue->armed, false)) {
        const int before = errno;
        ssize_t written;

        atomic_fetch_add(&queue->signals, 1);
        written = write(queue->fd, &one, sizeof one);
        assert(written == sizeof one);
        (void)written;
        errno = before;
    }
}

void wsi_queue_signal(struct wsock_queue *queue)
{
    wsi_queue_nudge(queue);
    if (wsi_queue_is_closed(queue))
        discard(queue);
}

void wsi_queue_call(struct wsock_queue *queue, struct wsi_mail *mail)
{
    wsi_queue_ref(queue); /* the mail may be run, and drop its own, at once */
    wsi_mailbox_post(&queue->calls, mail);
    wsi_queue_signal(queue);
    wsi_queue_unref(queue);
}

/* ---- the host's side ---- */

static int left_of(const struct wsock_queue *queue, uint64_t until_us)
{
    const uint64_t now_us = wsi_clock_us(queue->pool->clock);
    const uint64_t left_ms = now_us < until_us ? (until_us - now_us + 999) / 1000 : 0;

    return left_ms < INT32_MAX ? (int)left_ms : INT32_MAX;
}

static uint64_t moment_in(const struct wsock_queue *queue, int64_t timeout_ms)
{
    return timeout_ms < 0 || timeout_ms >= INT64_MAX / 2000
               ? UINT64_MAX
               : wsi_clock_us(queue->pool->clock) + (uint64_t)timeout_ms * 1000;
}

/* @return as wsi_queue_wait(); a signal counts as the time that is up. */
static int wait_until(struct wsock_queue *queue, uint64_t until_us)
{
    struct pollfd ready = {.fd = queue->fd, .events = POLLIN};
    int r;

    while ((r = wsi_queue_arm(queue)) == 0) {
        const int left_ms = until_us == UINT64_MAX ? -1 : left_of(queue, until_us);

        if (queue->pool->memory != NULL) {
            if (wsi_pool_step(queue->pool, until_us))
                continue;
            r = until_us == UINT64_MAX ? WSOCK_EDEADLK : 0;
            break;
        }
        if (left_ms == 0 || poll(&ready, 1, left_ms) < 0)
            break;
    }
    atomic_store(&queue->armed, false);
    return r;
}

int wsi_queue_wait(struct wsock_queue *queue, int64_t timeout_ms)
{
    uintptr_t host = atomic_load(&queue->host);
    int r;

    wsi_queue_ref(queue); /* a free function may drop the last handle */
    while (!atomic_compare_exchange_weak(&queue->host, &host,
                                         this_thread() | (host & ENTERED)))
        continue;
    r = wait_until(queue, moment_in(queue, timeout_ms));
    wsi_queue_unref(queue);
    return r;
}

static int dispatch_once(struct wsock_queue *queue, size_t max,
                         bool (*enters)(struct wsock_queue *queue))
{
    size_t ran;

    if (wsi_queue_is_closed(queue))
        return WSOCK_ECLOSED;
    if (!enters(queue))
        return WSOCK_EBUSY;
    atomic_store(&queue->host, this_thread() | ENTERED);
    run_all(queue, max);
    ran = queue->ran;
    leave(queue);
    return ran < INT32_MAX ? (int)ran : INT32_MAX;
}

int wsi_queue_dispatch(struct wsock_queue *queue, size_t max, int64_t timeout_ms)
{
    /* For tests even the present has to be brought about. */
    const bool waits = timeout_ms != 0 || queue->pool->memory != NULL;
    const uint64_t until_us = waits ? moment_in(queue, timeout_ms) : 0;
    int r;

    wsi_queue_ref(queue); /* a handler may drop the last handle */
    max = max != 0 ? max : EVENTS_DEFAULT;
    while ((r = dispatch_once(queue, max, enter)) == 0 && waits &&
           !atomic_load(&queue->woken)) {
        const int some = wait_until(queue, until_us);

        if (some <= 0) {
            r = some;
            break;
        }
    }
    if (r >= 0) /* else somebody else dispatches, whom it was meant for */
        atomic_store(&queue->woken, false);
    wsi_queue_unref(queue);
    return r;
}

static int dispatch_now(struct wsock_queue *queue,
                        bool (*enters)(struct wsock_queue *queue))
{
    int r;

    wsi_queue_ref(queue);
    r = dispatch_once(queue, EVENTS_DEFAULT, enters);
    if (r >= 0)
        atomic_store(&queue->woken, false);
    wsi_queue_unref(queue);
    return r;
}

int wsi_queue_dispatch_now(struct wsock_queue *queue)
{
    return dispatch_now(queue, enter);
}

int wsi_queue_dispatch_own(struct wsock_queue *queue)
{
    return dispatch_now(queue, enter_own);
}

void wsi_queue_close(struct wsock_queue *queue)
{
    atomic_store(&queue->closed, true);
    wsi_queue_signal(queue);
}
