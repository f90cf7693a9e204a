/* SPDX-License-Identifier: MIT */
/*
 * The threads of a runtime: starting and ending them, posting to them, counting what they
 * hold. What a connection does on its worker is decided elsewhere (conn.c and its
 * friends).
 */
#include "conn/worker.h"

#include <assert.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <wsock/error.h>

#include "conn/pressure.h"
#include "conn/timer.h"
#include "core/alloc.h"
#include "io/memory.h"

/* The first moment of 2000, UTC: when worlds of tests begin. */
#define TEST_BEGIN_MS INT64_C(946684800000)

_Thread_local struct wsi_worker *wsi_worker_current;
_Thread_local const struct wsi_pool *wsi_pool_calling;

int wsi_pool_init(struct wsi_pool *pool, void (*release)(struct wsi_pool *pool))
{
    pthread_mutexattr_t recursive;
    pthread_condattr_t attr;

    memset(pool, 0, sizeof *pool);
    wsi_ref_init(&pool->ref);
    pool->release = release;
    pool->clock = &wsi_clock_system;
    if (pthread_mutex_init(&pool->lock, NULL) != 0)
        return WSOCK_ENOMEM;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (pthread_cond_init(&pool->changed, &attr) != 0) {
        pthread_mutex_destroy(&pool->lock);
        pthread_condattr_destroy(&attr);
        return WSOCK_ENOMEM;
    }
    pthread_condattr_destroy(&attr);
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&pool->sweep, &recursive);
    pthread_mutexattr_destroy(&recursive);
    wsi_options_init(&pool->options, WSOCK_SCOPE_RUNTIME);
    wsi_compressors_init(&pool->compressors);
    wsi_log_init(&pool->log, (int)wsi_option(&pool->options, WSI_OPT_LOG_LEVEL));
    pool->state = WSI_POOL_NEW;
    wsi_list_init(&pool->queues);
    wsi_list_init(&pool->waiters);
    pool->buffered_automatic = wsi_pressure_automatic_limit();
    return 0;
}

void wsi_worker_fini(struct wsi_worker *worker)
{
    wsi_loop_free(worker->loop);
    wsi_buf_fini(&worker->deflated);
    wsi_buf_fini(&worker->inflated);
    wsi_inflater_free(worker->inflater);
    pthread_mutex_destroy(&worker->lock);
}

void wsi_pool_fini(struct wsi_pool *pool)
{
    assert(pool->state != WSI_POOL_RUNNING && pool->live == 0);
    for (unsigned i = 0; i < wsi_pool_count(pool); i++)
        wsi_worker_fini(&pool->workers[i]);
    wsi_free(pool->workers);
    wsi_memory_free(pool->memory);
    wsi_compressors_fini(&pool->compressors);
    wsi_log_fini(&pool->log);
    wsi_options_fini(&pool->options);
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->sweep);
    pthread_mutex_destroy(&pool->lock);
}

/* Run the mail of a worker that has ended, as that worker. Mail that this makes is found
 * by the loop here, so that no turn begins inside another one. One lock for all workers:
 * mail of one may lead to mail of any other. */
static void sweep(struct wsi_worker *worker)
{
    struct wsi_worker *before = wsi_worker_current;

    pthread_mutex_lock(&worker->pool->sweep);
    if (!worker->sweeping) {
        worker->sweeping = true;
        wsi_worker_current = worker;
        while (wsi_loop_has_mail(worker->loop))
            wsi_loop_turn(worker->loop, 0);
        wsi_worker_current = before;
        worker->sweeping = false;
    }
    pthread_mutex_unlock(&worker->pool->sweep);
}

static void *worker_main(void *user)
{
    struct wsi_worker *worker = user, *before = wsi_worker_current;

    wsi_worker_current = worker;
    while (!worker->quit)
        wsi_loop_turn(worker->loop, -1);
    wsi_timers_end(worker);
    /* From here on, mail is run by whoever posts it; what came before the flag was
     * visible is run now. */
    atomic_store(&worker->ended, true);
    sweep(worker);
    wsi_worker_current = before;
    return NULL;
}

int wsi_worker_init(struct wsi_worker *worker, struct wsi_pool *pool, unsigned index)
{
    const struct wsi_loop_config config = {.backend = pool->backend,
                                           .clock = pool->clock};
    int r;

    r = wsi_loop_new(&worker->loop, &config);
    if (r < 0)
        return r;
    pthread_mutex_init(&worker->lock, NULL);
    worker->now_ms = wsi_loop_now(worker->loop);
    worker->pool = pool;
    worker->index = index;
    wsi_list_init(&worker->conns);
    wsi_list_init(&worker->handshakes);
    wsi_list_init(&worker->timers);
    wsi_list_init(&worker->keepers);
    wsi_random_init(&worker->random);
    if (pool->memory != NULL)
        wsi_random_repeat(&worker->random, pool->seed);
    atomic_init(&worker->calls, 0);
    atomic_init(&worker->ended, false);
    wsi_timer_init(&worker->relief, wsi_pressure_relief);
    return 0;
}

static int worker_start(struct wsi_worker *worker)
{
    sigset_t all, before;
    char name[16];
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&worker->thread, NULL, worker_main, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r != 0)
        return WSOCK_ESYSTEM;
    snprintf(name, sizeof name, "wsock-%u", worker->index);
    pthread_setname_np(worker->thread, name);
    return 0;
}

static void run_end(struct wsi_mail *mail)
{
    WSI_CONTAINER_OF(mail, struct wsi_worker, end)->quit = true;
}

static void end_threads(struct wsi_worker *workers, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        workers[i].end.run = run_end;
        wsi_loop_post(workers[i].loop, &workers[i].end);
    }
    for (unsigned i = 0; i < count; i++) {
        if (workers[i].pool->memory != NULL)
            worker_main(&workers[i]);
        else
            pthread_join(workers[i].thread, NULL);
    }
}

static unsigned usable_cores(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return (unsigned)CPU_COUNT(&set);
    return 1;
}

/* With the pool's lock held. */
static int start_locked(struct wsi_pool *pool)
{
    const int64_t asked = wsi_option(&pool->options, WSI_OPT_WORKERS);
    const unsigned cores = usable_cores();
    const unsigned count = pool->memory != NULL      ? 1
                           : asked > 0               ? (unsigned)asked
                           : cores < WSI_WORKERS_MAX ? cores
                                                     : WSI_WORKERS_MAX;
    struct wsi_worker *workers;
    unsigned made = 0, started = 0;
    int r = WSOCK_ENOMEM;

    workers = wsi_alloc_array(count, sizeof *workers);
    if (workers == NULL)
        return r;
    memset(workers, 0, count * sizeof *workers);
    for (; made < count; made++) {
        r = wsi_worker_init(&workers[made], pool, made);
        if (r < 0)
            goto fail;
    }
    for (; started < count; started++) {
        r = pool->memory != NULL ? 0 : worker_start(&workers[started]);
        if (r < 0)
            goto fail;
    }
    pool->workers = workers;
    atomic_store_explicit(&pool->count, count, memory_order_release);
    pool->state = WSI_POOL_RUNNING;
    return 0;

fail:
    end_threads(workers, started);
    while (made > 0)
        wsi_worker_fini(&workers[--made]);
    wsi_free(workers);
    return r;
}

int wsi_pool_start(struct wsi_pool *pool)
{
    int r = 0;

    pthread_mutex_lock(&pool->lock);
    if (pool->stopping || pool->state == WSI_POOL_ENDED)
        r = WSOCK_ECLOSED;
    else if (pool->state == WSI_POOL_NEW)
        r = start_locked(pool);
    pthread_mutex_unlock(&pool->lock);
    return r;
}

bool wsi_pool_step(struct wsi_pool *pool, uint64_t until_us)
{
    struct wsi_worker *before = wsi_worker_current;
    bool turned;

    if (wsi_pool_is_here(pool))
        return false;
    /* Before the worker is there, only time passes. */
    if (wsi_pool_count(pool) != 0)
        wsi_worker_current = &pool->workers[0];
    turned = wsi_memory_turn(pool->memory, until_us);
    wsi_worker_current = before;
    return turned;
}

void wsi_pool_random(struct wsi_pool *pool, void *out, size_t len)
{
    struct wsi_random once;

    if (pool->memory == NULL) {
        wsi_random_system(out, len);
        return;
    }
    wsi_random_repeat(&once, pool->seed + 1 + atomic_fetch_add(&pool->draws, 1));
    wsi_random_bytes(&once, out, len);
}

int64_t wsi_pool_calendar_ms(const struct wsi_pool *pool)
{
    return pool->memory != NULL ? TEST_BEGIN_MS + (int64_t)wsi_memory_now_ms(pool->memory)
                                : wsi_calendar_ms();
}

void wsi_pool_end(struct wsi_pool *pool)
{
    enum wsi_pool_state before;

    pthread_mutex_lock(&pool->lock);
    assert(pool->live == 0);
    before = pool->state;
    pool->state = WSI_POOL_ENDED;
    pthread_mutex_unlock(&pool->lock);
    if (before == WSI_POOL_RUNNING)
        end_threads(pool->workers, wsi_pool_count(pool));
}

struct wsi_worker *wsi_pool_pick(struct wsi_pool *pool)
{
    return &pool->workers[atomic_fetch_add_explicit(&pool->next, 1,
                                                    memory_order_relaxed) %
                          wsi_pool_count(pool)];
}

void wsi_pool_changed(struct wsi_pool *pool)
{
    const uint64_t one = 1;

    pthread_cond_broadcast(&pool->changed);
    WSI_LIST_EACH(node, &pool->waiters)
    {
        const int fd = WSI_CONTAINER_OF(node, struct wsi_waiter, node)->fd;
        const ssize_t ignored = write(fd, &one, sizeof one);

        (void)ignored; /* it is readable already */
    }
}

int wsi_pool_hold(struct wsi_pool *pool)
{
    int r = 0;

    pthread_mutex_lock(&pool->lock);
    if (pool->stopping || pool->state == WSI_POOL_ENDED)
        r = WSOCK_ECLOSED;
    else
        pool->live++;
    pthread_mutex_unlock(&pool->lock);
    return r;
}

void wsi_pool_release(struct wsi_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    assert(pool->live > 0);
    if (--pool->live == 0) /* nobody waits for fewer that are not none */
        wsi_pool_changed(pool);
    pthread_mutex_unlock(&pool->lock);
}

void wsi_worker_push(struct wsi_worker *worker, struct wsi_mail *mail)
{
    wsi_loop_post(worker->loop, mail);
}

void wsi_worker_settle(struct wsi_worker *worker)
{
    if (atomic_load(&worker->ended))
        sweep(worker);
}

void wsi_worker_post(struct wsi_worker *worker, struct wsi_mail *mail)
{
    wsi_worker_push(worker, mail);
    wsi_worker_settle(worker);
}

/* A round's mail to one worker. */
struct wsi_visit {
    struct wsi_mail mail;
    struct wsi_round *round;
};

static void visit(struct wsi_round *round, struct wsi_worker *worker)
{
    if (round->visit != NULL)
        round->visit(round, worker);
}

/* Without memory: the round's own mail goes on to the next worker. */
static void run_round(struct wsi_mail *mail)
{
    struct wsi_round *round = WSI_CONTAINER_OF(mail, struct wsi_round, mail);

    visit(round, &round->pool->workers[round->next]);
    if (++round->next < wsi_pool_count(round->pool))
        wsi_worker_post(&round->pool->workers[round->next], &round->mail);
    else
        round->done(round);
}

static void run_visit(struct wsi_mail *mail)
{
    struct wsi_visit *own = WSI_CONTAINER_OF(mail, struct wsi_visit, mail);
    struct wsi_round *round = own->round;

    visit(round, &round->pool->workers[own - round->visits]);
    if (atomic_fetch_sub(&round->left, 1) == 1) {
        wsi_free(round->visits);
        round->done(round);
    }
}

/* All workers at once: the round takes as long as the worker with the most mail. */
static void visit_all(struct wsi_round *round, unsigned count)
{
    struct wsi_worker *workers = round->pool->workers;
    struct wsi_visit *visits = round->visits;

    atomic_init(&round->left, count);
    for (unsigned i = 0; i < count; i++)
        visits[i] = (struct wsi_visit){.mail = {.run = run_visit}, .round = round};
    /* With the last post the round may be over, and its memory gone. */
    for (unsigned i = 0; i < count; i++)
        wsi_worker_post(&workers[i], &visits[i].mail);
}

void wsi_pool_round(struct wsi_pool *pool, struct wsi_round *round)
{
    const unsigned count = wsi_pool_count(pool);
    bool running;

    pthread_mutex_lock(&pool->lock);
    running = pool->state != WSI_POOL_NEW;
    pthread_mutex_unlock(&pool->lock);
    round->pool = pool;
    if (!running || count == 0) {
        round->done(round);
        return;
    }
    round->visits = wsi_alloc_array(count, sizeof *round->visits);
    if (round->visits != NULL) {
        visit_all(round, count);
        return;
    }
    round->next = 0;
    round->mail.run = run_round;
    wsi_worker_post(&pool->workers[0], &round->mail);
}
