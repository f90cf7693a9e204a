/* SPDX-License-Identifier: MIT */
/* The public queue: checks its arguments and hands them to conn/queue.c. */
#include <wsock/error.h>
#include <wsock/queue.h>

#include "api/runtime.h"
#include "conn/queue.h"
#include "conn/timer.h"
#include "core/alloc.h"

enum { CALLS_MAX = 65536 };

struct queued_call {
    struct wsi_mail mail;
    struct wsock_queue *queue; /* a reference */
    wsock_call_fn fn;
    void *user;
    wsock_free_fn free_user;
};

int wsock_runtime_queue(wsock_runtime *runtime, wsock_queue **out)
{
    if (runtime == NULL || out == NULL)
        return WSOCK_EINVAL;
    if (atomic_load(&runtime->pool.stopping))
        return WSOCK_ECLOSED;
    return wsi_queue_new(out, &runtime->pool);
}

wsock_queue *wsock_queue_ref(wsock_queue *queue)
{
    wsi_ref_take(&queue->handles);
    return queue;
}

void wsock_queue_unref(wsock_queue *queue)
{
    if (queue == NULL || !wsi_ref_drop(&queue->handles))
        return;
    wsi_queue_close(queue);
    wsi_queue_unref(queue); /* that of all handles */
}

void wsock_queue_close(wsock_queue *queue)
{
    if (queue != NULL)
        wsi_queue_close(queue);
}

int wsock_queue_dispatch(wsock_queue *queue, size_t max_events, int64_t timeout_ms)
{
    return queue != NULL ? wsi_queue_dispatch(queue, max_events, timeout_ms)
                         : WSOCK_EINVAL;
}

int wsock_queue_take_data(wsock_queue *queue, void **out, wsock_free_fn *free_data)
{
    void *data;

    if (queue == NULL || out == NULL || free_data == NULL)
        return WSOCK_EINVAL;
    data = wsi_queue_take(queue);
    if (data == NULL)
        return WSOCK_ENOENT;
    *out = data;
    *free_data = wsi_free;
    return 0;
}

int wsock_queue_wait(wsock_queue *queue, int64_t timeout_ms)
{
    return queue != NULL ? wsi_queue_wait(queue, timeout_ms) : WSOCK_EINVAL;
}

void wsock_queue_wake(wsock_queue *queue)
{
    if (queue == NULL)
        return;
    atomic_store(&queue->woken, true);
    wsi_queue_nudge(queue);
}

int wsock_queue_fd(wsock_queue *queue)
{
    return queue != NULL ? queue->fd : WSOCK_EINVAL;
}

int wsock_queue_arm(wsock_queue *queue)
{
    return queue != NULL ? wsi_queue_arm(queue) : WSOCK_EINVAL;
}

static void run_call(struct wsi_mail *mail)
{
    struct queued_call *call = WSI_CONTAINER_OF(mail, struct queued_call, mail);
    struct wsock_queue *queue = call->queue;

    atomic_fetch_sub(&queue->call_count, 1);
    if (wsi_queue_calls(queue))
        call->fn(call->user);
    if (call->free_user != NULL)
        call->free_user(call->user);
    wsi_free(call);
    wsi_queue_unref(queue);
}

int wsock_queue_post(wsock_queue *queue, wsock_call_fn fn, void *user,
                     wsock_free_fn free_user)
{
    struct queued_call *call;

    if (queue == NULL || fn == NULL)
        return WSOCK_EINVAL;
    if (wsi_queue_is_closed(queue))
        return WSOCK_ECLOSED;
    if (atomic_fetch_add(&queue->call_count, 1) >= CALLS_MAX) {
        atomic_fetch_sub(&queue->call_count, 1);
        return WSOCK_EAGAIN;
    }
    call = wsi_alloc(sizeof *call);
    if (call == NULL) {
        atomic_fetch_sub(&queue->call_count, 1);
        return WSOCK_ENOMEM;
    }
    *call = (struct queued_call){
        .mail = {.run = run_call},
        .queue = wsi_queue_ref(queue),
        .fn = fn,
        .user = user,
        .free_user = free_user,
    };
    wsi_queue_call(queue, &call->mail);
    return 0;
}

int wsock_queue_timer(wsock_queue *queue, wsock_timer **out, uint64_t first_ms,
                      uint64_t every_ms, wsock_timer_fn fn, void *user,
                      wsock_free_fn free_user)
{
    const struct wsi_timer_spec spec = {
        .first_ms = first_ms,
        .every_ms = every_ms,
        .fn = fn,
        .user = user,
        .free_user = free_user,
        .queue = queue,
    };
    int r;

    if (queue == NULL || fn == NULL)
        return WSOCK_EINVAL;
    if (wsi_queue_is_closed(queue))
        return WSOCK_ECLOSED;
    r = wsi_pool_start(queue->pool);
    return r < 0 ? r : wsi_timer_launch(out, wsi_pool_pick(queue->pool), NULL, &spec);
}
