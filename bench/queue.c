/* SPDX-License-Identifier: MIT */
/*
 * bench_queue [EVENTS [PAYLOAD [BATCH [THREADS]]]]: what a message costs on its way
 * through a queue, without sockets: a worker that only puts messages into its lane, and a
 * host whose handler does nothing. First both on one thread, in turns of a batch, so that
 * neither waits; then, unless THREADS is 1, each on its own.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "conn/conn.h"
#include "conn/queued.h"
#include "support.h"

enum { CONNS = 16 };

struct bench {
    struct wsi_pool pool;
    struct wsi_worker worker;
    struct wsi_owner owner;
    struct wsi_profile profile;
    struct wsock_queue *queue;
    struct wsock_conn *conns[CONNS];
    long events, batch, handled;
    size_t payload;
};

static char payload[WSI_LANE_INLINE_MAX + 1];

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    (void)conn;
    (void)type;
    (void)data;
    (void)len;
    ++*(long *)user;
}

static void ignore_pool(struct wsi_pool *pool)
{
    (void)pool;
}

static void ignore_owner(struct wsi_owner *owner)
{
    (void)owner;
}

static void begin(struct bench *bench)
{
    const union wsi_handler_fn fn = {.message = on_message};

    if (wsi_pool_init(&bench->pool, ignore_pool) < 0 ||
        wsi_worker_init(&bench->worker, &bench->pool, 0) < 0 ||
        wsi_queue_new(&bench->queue, &bench->pool) < 0)
        die("no memory");
    wsi_owner_init(&bench->owner, &bench->pool, ignore_owner, NULL);
    bench->owner.queue = bench->queue;
    wsi_profile_init(&bench->profile, WSOCK_SCOPE_ENDPOINT);
    bench->profile.queue = bench->queue;
    wsi_profile_on(&bench->profile, &bench->pool, WSI_ON_MESSAGE, fn, true,
                   &bench->handled, NULL);
    for (int i = 0; i < CONNS; i++)
        if (wsi_conn_new(&bench->conns[i], &bench->worker, &bench->owner, &bench->profile,
                         WSI_SERVER) < 0)
            die("no memory");
}

/* As receive.c does, which reads a connection until it is paused. */
static bool put(struct bench *bench, long n)
{
    struct wsock_conn *conn = bench->conns[n / 8 % CONNS];

    if (conn->pauses != 0 || !wsi_queued_may_receive(wsi_conn_queued(conn)))
        return false;
    wsi_queued_handlers[WSI_ON_MESSAGE].fn.message(conn, WSOCK_BINARY, payload,
                                                   bench->payload, NULL);
    return true;
}

static double ns_since(const struct timespec *began)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - began->tv_sec) * 1e9 +
           (double)(now.tv_nsec - began->tv_nsec);
}

static void in_turns(struct bench *bench)
{
    double putting = 0, taking = 0;
    long n = 0;

    wsi_worker_current = &bench->worker;
    while (n < bench->events) {
        const long end = n + bench->batch;
        struct timespec began;

        clock_gettime(CLOCK_MONOTONIC, &began);
        while (n < end && put(bench, n))
            n++;
        wsi_loop_turn(bench->worker.loop, 0);
        putting += ns_since(&began);
        clock_gettime(CLOCK_MONOTONIC, &began);
        while (wsi_queue_dispatch(bench->queue, 0, 0) > 0)
            continue;
        taking += ns_since(&began);
        wsi_loop_turn(bench->worker.loop, 0);
    }
    wsi_worker_current = NULL;
    printf("in turns: %.1f ns to put, %.1f ns to dispatch an event\n",
           putting / (double)n, taking / (double)bench->handled);
}

static void *put_all(void *user)
{
    struct bench *bench = user;
    long n = 0;

    wsi_worker_current = &bench->worker;
    while (n < bench->events) {
        const long end = n + bench->batch;

        while (n < end && n < bench->events && put(bench, n))
            n++;
        wsi_loop_turn(bench->worker.loop, 0);
        if (n < end)
            sched_yield();
    }
    return NULL;
}

static void on_two_threads(struct bench *bench)
{
    const long last = bench->handled + bench->events;
    struct timespec began;
    pthread_t worker;
    long calls = 0;

    clock_gettime(CLOCK_MONOTONIC, &began);
    pthread_create(&worker, NULL, put_all, bench);
    for (; bench->handled < last; calls++)
        if (wsi_queue_dispatch(bench->queue, 0, 1000) < 0)
            die("the queue does not dispatch");
    pthread_join(worker, NULL);
    printf("on two threads: %.1f ns an event, %.0f events a dispatch\n",
           ns_since(&began) / (double)bench->events,
           (double)bench->events / (double)calls);
}

static void end(struct bench *bench)
{
    wsi_worker_current = &bench->worker;
    wsi_loop_turn(bench->worker.loop, 0);
    for (int i = 0; i < CONNS; i++)
        wsi_conn_closed(bench->conns[i]);
    wsi_queue_close(bench->queue);
    wsi_loop_turn(bench->worker.loop, 0);
    wsi_profile_fini(&bench->profile);
    wsi_queue_unref(bench->queue);
    wsi_worker_fini(&bench->worker);
    wsi_pool_fini(&bench->pool);
}

static long argument(int argc, char **argv, int at, long otherwise)
{
    return argc > at ? atol(argv[at]) : otherwise;
}

int main(int argc, char **argv)
{
    static struct bench bench;

    bench.events = argument(argc, argv, 1, 2000000);
    bench.payload = (size_t)argument(argc, argv, 2, 32);
    bench.batch = argument(argc, argv, 3, 256);
    if (bench.events < 0 || bench.payload > sizeof payload || bench.batch <= 0)
        die("usage: bench_queue [EVENTS [PAYLOAD [BATCH [THREADS]]]]");
    begin(&bench);
    in_turns(&bench);
    if (argument(argc, argv, 4, 2) != 1)
        on_two_threads(&bench);
    end(&bench);
    return 0;
}
