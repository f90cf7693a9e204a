/* SPDX-License-Identifier: MIT */
#include "api/wait.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <wsock/error.h>

#include "conn/queue.h"
#include "conn/worker.h"

enum {
    OWN_MAX = 14, /* queues of one thread */
    LOOK_MS = 50, /* with no descriptor to be told by */
};

enum outcome { LOOK_AGAIN, READABLE, TIME_IS_UP, NEVER };

/* What a wait is about, and the queues that this thread dispatches. */
struct waiting {
    struct wsi_pool *pool;
    bool (*is_over)(const void *what);
    const void *what;
    int fd;
    struct wsi_waiter waiter; /* to be told of changes beside the queues */
    uint64_t until_us;
    struct wsock_queue *own[OWN_MAX];
    unsigned count;
};

static bool look(struct waiting *waiting)
{
    bool over;

    pthread_mutex_lock(&waiting->pool->lock);
    over = waiting->is_over(waiting->what);
    pthread_mutex_unlock(&waiting->pool->lock);
    return over;
}

static void find_own(struct waiting *waiting)
{
    struct wsi_pool *pool = waiting->pool;

    waiting->count = 0;
    pthread_mutex_lock(&pool->lock);
    WSI_LIST_EACH(node, &pool->queues)
    {
        struct wsock_queue *queue = WSI_CONTAINER_OF(node, struct wsock_queue, node);

        if (waiting->count < OWN_MAX && !wsi_queue_is_closed(queue) &&
            wsi_queue_is_own(queue))
            waiting->own[waiting->count++] = wsi_queue_ref(queue);
    }
    pthread_mutex_unlock(&pool->lock);
}

static void let_go(struct waiting *waiting)
{
    while (waiting->count > 0)
        wsi_queue_unref(waiting->own[--waiting->count]);
}

/* @return (owned, nullable) the queue at an index: handlers may make and end some. */
static struct wsock_queue *queue_at(struct wsi_pool *pool, size_t index)
{
    struct wsock_queue *found = NULL;

    pthread_mutex_lock(&pool->lock);
    WSI_LIST_EACH(node, &pool->queues)
    {
        if (index-- == 0) {
            found = wsi_queue_ref(WSI_CONTAINER_OF(node, struct wsock_queue, node));
            break;
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return found;
}

static bool runs(struct wsock_queue *queue)
{
    return wsi_queue_dispatch_now(queue) > 0;
}

static bool has_some(struct wsock_queue *queue)
{
    return wsi_queue_arm(queue) > 0;
}

static bool any_queue(struct wsi_pool *pool, bool (*does)(struct wsock_queue *queue))
{
    struct wsock_queue *queue;
    bool any = false;

    for (size_t i = 0; (queue = queue_at(pool, i)) != NULL; i++) {
        any |= does(queue);
        wsi_queue_unref(queue);
    }
    return any;
}

bool wsi_dispatch_all(struct wsi_pool *pool)
{
    return any_queue(pool, runs);
}

bool wsi_some_wait(struct wsi_pool *pool)
{
    return any_queue(pool, has_some);
}

/* @return whether handlers ran. */
static bool dispatch_own(struct waiting *waiting)
{
    bool ran = false;

    for (unsigned i = 0; i < waiting->count; i++)
        ran |= wsi_queue_dispatch_own(waiting->own[i]) > 0;
    return ran;
}

static int left_ms(const struct waiting *waiting)
{
    const uint64_t until_us = waiting->until_us;
    const uint64_t now_us = wsi_clock_us(waiting->pool->clock);
    uint64_t left;

    if (until_us == UINT64_MAX)
        return -1;
    left = now_us < until_us ? (until_us - now_us + 999) / 1000 : 0;
    return left < INT32_MAX ? (int)left : INT32_MAX;
}

/* Its own descriptor, since another thread may begin to dispatch a queue, and then that
 * one is told by the queue's. */
static void hear_changes(struct waiting *waiting)
{
    if (waiting->waiter.fd >= 0)
        return;
    waiting->waiter.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (waiting->waiter.fd < 0)
        return;
    pthread_mutex_lock(&waiting->pool->lock);
    wsi_list_append(&waiting->pool->waiters, &waiting->waiter.node);
    pthread_mutex_unlock(&waiting->pool->lock);
}

static void stop_hearing(struct waiting *waiting)
{
    if (waiting->waiter.fd < 0)
        return;
    pthread_mutex_lock(&waiting->pool->lock);
    wsi_list_remove(&waiting->waiter.node);
    pthread_mutex_unlock(&waiting->pool->lock);
    close(waiting->waiter.fd);
}

/* @return false when one has something for this thread, or is another's by now. */
static bool arm_own(struct waiting *waiting, struct pollfd *ready)
{
    bool none = true;

    for (unsigned i = 0; i < waiting->count; i++) {
        none &= wsi_queue_arm_own(waiting->own[i]) == 0;
        ready[i] = (struct pollfd){.fd = waiting->own[i]->fd, .events = POLLIN};
    }
    return none;
}

/* Between handlers, which may never let it sleep. */
static enum outcome glance(const struct waiting *waiting)
{
    struct pollfd ready = {.fd = waiting->fd, .events = POLLIN};

    if (waiting->fd >= 0 && poll(&ready, 1, 0) > 0)
        return READABLE;
    return left_ms(waiting) == 0 ? TIME_IS_UP : LOOK_AGAIN;
}

/* On a network in memory nothing happens but what this thread brings about. */
static enum outcome step(const struct waiting *waiting)
{
    if (wsi_pool_step(waiting->pool, waiting->until_us))
        return LOOK_AGAIN;
    return waiting->until_us == UINT64_MAX ? NEVER : TIME_IS_UP;
}

static enum outcome sleep_on_descriptors(struct waiting *waiting)
{
    struct pollfd ready[OWN_MAX + 2] = {{.fd = waiting->fd, .events = POLLIN}};
    int left = left_ms(waiting);
    uint64_t count;
    int r;

    hear_changes(waiting);
    ready[1] = (struct pollfd){.fd = waiting->waiter.fd, .events = POLLIN};
    if (waiting->waiter.fd < 0 && (left < 0 || left > LOOK_MS))
        left = LOOK_MS;
    if (!arm_own(waiting, ready + 2) || look(waiting))
        return glance(waiting);
    r = left == 0 ? 0 : poll(ready, waiting->count + 2, left);
    if (r < 0) /* a signal: nothing of ours, or it wrote to fd */
        return LOOK_AGAIN;
    if ((ready[0].revents & POLLIN) != 0)
        return READABLE;
    if ((ready[1].revents & POLLIN) != 0 &&
        read(waiting->waiter.fd, &count, sizeof count) < 0)
        return LOOK_AGAIN;
    return r == 0 && left_ms(waiting) == 0 ? TIME_IS_UP : LOOK_AGAIN;
}

static enum outcome sleep_on_condition(struct waiting *waiting)
{
    struct wsi_pool *pool = waiting->pool;
    bool over;
    const struct timespec until = {
        .tv_sec = (time_t)(waiting->until_us / 1000000),
        .tv_nsec = (long)(waiting->until_us % 1000000) * 1000,
    };

    pthread_mutex_lock(&pool->lock);
    over = waiting->is_over(waiting->what);
    if (!over && waiting->until_us == UINT64_MAX)
        pthread_cond_wait(&pool->changed, &pool->lock);
    else if (!over)
        pthread_cond_timedwait(&pool->changed, &pool->lock, &until);
    pthread_mutex_unlock(&pool->lock);
    return left_ms(waiting) == 0 ? TIME_IS_UP : LOOK_AGAIN;
}

static enum outcome turn(struct waiting *waiting)
{
    enum outcome outcome;

    if (waiting->pool->memory != NULL)
        return wsi_dispatch_all(waiting->pool) ? LOOK_AGAIN : step(waiting);
    find_own(waiting);
    if (waiting->count == 0 && waiting->fd < 0)
        outcome = sleep_on_condition(waiting);
    else
        outcome = dispatch_own(waiting) ? glance(waiting) : sleep_on_descriptors(waiting);
    let_go(waiting);
    return outcome;
}

int wsi_await(struct wsi_pool *pool, bool (*is_over)(const void *what), const void *what,
              int fd, int64_t timeout_ms)
{
    struct waiting waiting = {.pool = pool,
                              .is_over = is_over,
                              .what = what,
                              .fd = fd,
                              .waiter = {.fd = -1},
                              .until_us = UINT64_MAX};
    enum outcome outcome = LOOK_AGAIN;
    bool over = false;

    if (timeout_ms >= 0 && timeout_ms < INT64_MAX / 2000)
        waiting.until_us = wsi_clock_us(pool->clock) + (uint64_t)timeout_ms * 1000;
    while (outcome == LOOK_AGAIN && !(over = look(&waiting)))
        outcome = turn(&waiting);
    over = over || (outcome != READABLE && look(&waiting));
    stop_hearing(&waiting);
    if (over)
        return 0;
    if (outcome == NEVER)
        return WSOCK_EDEADLK;
    return outcome == READABLE ? 1 : WSOCK_ETIMEDOUT;
}
