/* SPDX-License-Identifier: MIT */
/*
 * Timers of the application. A timer is started, run and ended on its worker; stopping it
 * from elsewhere is mail. It holds the runtime, and its connection if it has one.
 */
#include "conn/timer.h"

#include <wsock/error.h>

#include "conn/conn.h"
#include "conn/member.h"
#include "conn/queue.h"
#include "core/alloc.h"

struct wsock_timer {
    struct wsi_ref ref;
    atomic_bool stopped;
    bool running; /* its function is */
    bool ended;
    struct wsi_worker *worker;
    struct wsock_conn *conn;          /* a reference, nullable */
    struct wsi_membership membership; /* in conn, if there is one */
    struct wsi_list node;             /* worker->timers */
    struct wsi_timer timer;
    uint64_t due_ms;
    struct wsi_timer_spec spec;
    struct wsi_mail start, stop;
    /* With spec.queue, which is a reference then: */
    struct wsi_mail tick, ticked; /* there, and back here */
    uint64_t missed;
};

wsock_timer *wsock_timer_ref(wsock_timer *timer)
{
    wsi_ref_take(&timer->ref);
    return timer;
}

void wsock_timer_unref(wsock_timer *timer)
{
    struct wsi_pool *pool;

    if (timer == NULL || !wsi_ref_drop(&timer->ref))
        return;
    pool = timer->worker->pool;
    wsi_queue_unref(timer->spec.queue);
    wsi_free(timer);
    wsi_pool_unref(pool);
}

/* On the worker, once. Drops the worker's reference. */
static void end(struct wsock_timer *timer)
{
    if (timer->ended)
        return;
    timer->ended = true;
    atomic_store(&timer->stopped, true);
    wsi_timer_stop(&timer->timer);
    wsi_list_remove(&timer->node);
    if (timer->conn != NULL) {
        pthread_mutex_lock(&timer->worker->lock);
        wsi_list_remove(&timer->membership.node);
        pthread_mutex_unlock(&timer->worker->lock);
    }
    if (timer->spec.free_user != NULL)
        timer->spec.free_user(timer->spec.user);
    wsock_conn_unref(timer->conn);
    timer->conn = NULL;
    wsock_timer_unref(timer);
}

static void has_run(struct wsock_timer *timer)
{
    timer->running = false;
    if (timer->spec.every_ms == 0 || timer->worker->quit || atomic_load(&timer->stopped))
        end(timer);
    else
        wsi_timer_start(wsi_loop_wheel(timer->worker->loop), &timer->timer,
                        timer->due_ms);
}

static void on_timer(struct wsi_timer *base)
{
    struct wsock_timer *timer = WSI_CONTAINER_OF(base, struct wsock_timer, timer);
    const uint64_t now = wsi_worker_now_ms(timer->worker);
    const uint64_t every = timer->spec.every_ms;
    uint64_t missed = 0;

    if (every != 0) {
        timer->due_ms += every;
        if (timer->due_ms <= now) {
            missed = (now - timer->due_ms) / every + 1;
            timer->due_ms += missed * every;
        }
    }
    timer->running = true;
    if (timer->spec.queue != NULL) {
        timer->missed = missed;
        wsock_timer_ref(timer);
        wsi_queue_call(timer->spec.queue, &timer->tick);
        return;
    }
    timer->spec.fn(timer, missed, timer->spec.user);
    has_run(timer);
}

static void run_tick(struct wsi_mail *mail)
{
    struct wsock_timer *timer = WSI_CONTAINER_OF(mail, struct wsock_timer, tick);

    if (!atomic_load(&timer->stopped) && wsi_queue_calls(timer->spec.queue))
        timer->spec.fn(timer, timer->missed, timer->spec.user);
    else
        atomic_store(&timer->stopped, true);
    wsi_worker_post(timer->worker, &timer->ticked);
}

static void run_ticked(struct wsi_mail *mail)
{
    struct wsock_timer *timer = WSI_CONTAINER_OF(mail, struct wsock_timer, ticked);

    has_run(timer);
    wsock_timer_unref(timer);
}

static void run_start(struct wsi_mail *mail)
{
    struct wsock_timer *timer = WSI_CONTAINER_OF(mail, struct wsock_timer, start);
    struct wsi_worker *worker = timer->worker;

    if (atomic_load(&timer->stopped) || worker->quit) {
        end(timer);
    } else {
        wsi_list_append(&worker->timers, &timer->node);
        wsi_timer_start(wsi_loop_wheel(worker->loop), &timer->timer, timer->due_ms);
    }
    wsock_timer_unref(timer);
}

static void stop_here(struct wsock_timer *timer)
{
    if (!timer->running)
        end(timer);
}

static void run_stop(struct wsi_mail *mail)
{
    struct wsock_timer *timer = WSI_CONTAINER_OF(mail, struct wsock_timer, stop);

    stop_here(timer);
    wsock_timer_unref(timer);
}

/* Before it has started, and from elsewhere, this is mail; it may run before the start.
 */
void wsock_timer_stop(wsock_timer *timer)
{
    if (timer == NULL || atomic_exchange(&timer->stopped, true))
        return;
    wsock_timer_ref(timer);
    if (wsi_worker_current == timer->worker && !wsi_list_is_empty(&timer->node)) {
        stop_here(timer);
        wsock_timer_unref(timer);
    } else {
        wsi_worker_post(timer->worker, &timer->stop);
    }
}

static void conn_leaves(struct wsi_membership *membership)
{
    struct wsock_timer *timer = WSI_CONTAINER_OF(membership, struct wsock_timer,
                                                 membership);

    wsock_timer_stop(timer);
}

/* @return 0; WSOCK_ECLOSED when the connection is not open. */
static int join_conn(struct wsock_timer *timer, struct wsock_conn *conn)
{
    int r = WSOCK_ECLOSED;

    pthread_mutex_lock(&conn->worker->lock);
    if (wsi_conn_state(conn) == WSI_CONN_OPEN) {
        wsi_list_append(&conn->rooms, &timer->membership.node);
        timer->conn = wsock_conn_ref(conn);
        r = 0;
    }
    pthread_mutex_unlock(&conn->worker->lock);
    return r;
}

/* What is farther away than anybody waits for must not come around as the past. */
static uint64_t reachable(uint64_t ms)
{
    return ms < INT64_MAX / 4 ? ms : INT64_MAX / 4;
}

int wsi_timer_launch(wsock_timer **out, struct wsi_worker *worker,
                     struct wsock_conn *conn, const struct wsi_timer_spec *spec)
{
    struct wsock_timer *timer;

    if (atomic_load(&worker->pool->stopping))
        return WSOCK_ECLOSED;
    timer = wsi_zalloc(sizeof *timer);
    if (timer == NULL)
        return WSOCK_ENOMEM;
    wsi_ref_init(&timer->ref);
    atomic_init(&timer->stopped, false);
    wsi_list_init(&timer->node);
    wsi_list_init(&timer->membership.node);
    timer->membership.leave = conn_leaves;
    wsi_timer_init(&timer->timer, on_timer);
    timer->worker = worker;
    timer->spec = *spec;
    timer->spec.first_ms = reachable(spec->first_ms);
    timer->spec.every_ms = reachable(spec->every_ms);
    timer->due_ms = (wsi_loop_clock_us(worker->loop) + 999) / 1000 + timer->spec.first_ms;
    timer->start.run = run_start;
    timer->stop.run = run_stop;
    timer->tick.run = run_tick;
    timer->ticked.run = run_ticked;
    if (spec->queue != NULL)
        wsi_queue_ref(spec->queue);
    wsi_pool_ref(worker->pool);
    /* Once it has joined, the connection's end may end it at any moment. */
    wsock_timer_ref(timer); /* of the mail */
    if (out != NULL)
        wsock_timer_ref(timer);
    if (conn != NULL && join_conn(timer, conn) < 0) {
        wsi_queue_unref(spec->queue);
        wsi_free(timer);
        wsi_pool_unref(worker->pool);
        return WSOCK_ECLOSED;
    }
    if (out != NULL)
        *out = timer;
    wsi_worker_post(worker, &timer->start);
    return 0;
}

void wsi_timers_end(struct wsi_worker *worker)
{
    struct wsi_list *node;

    while ((node = wsi_list_pop(&worker->timers)) != NULL) {
        struct wsock_timer *timer = WSI_CONTAINER_OF(node, struct wsock_timer, node);

        atomic_store(&timer->stopped, true);
        stop_here(timer); /* or when its function has returned */
    }
}
