/* SPDX-License-Identifier: MIT */
/* The network in memory as a backend, its clock, and its conditions. */
#include "io/memory.h"

#include <assert.h>

#include "core/alloc.h"
#include "io/memory_internal.h"

#define NEVER UINT64_MAX
/* The clock does not begin at 0, which means "never" in places. */
#define BEGIN_US 1000000000ull

static void lock(struct wsi_memory *memory)
{
    pthread_mutex_lock(&memory->lock);
}

static void unlock(struct wsi_memory *memory)
{
    pthread_mutex_unlock(&memory->lock);
}

/* ---- the backend ---- */

static int memory_init(struct wsi_loop *loop, void **state)
{
    struct wsi_memory *memory = WSI_CONTAINER_OF(loop->backend, struct wsi_memory,
                                                 backend);

    atomic_store(&memory->loop, loop);
    *state = memory;
    return 0;
}

static void memory_fini(struct wsi_loop *loop, void *state)
{
    struct wsi_memory *memory = state;

    (void)loop;
    atomic_store(&memory->loop, NULL);
}

static bool is_connecting(const struct wsi_endpoint *end)
{
    return end->stream != NULL && (end->stream->flags & WSI_S_CONNECTING) != 0;
}

static unsigned readiness(const struct wsi_memory *memory, const struct wsi_endpoint *end)
{
    const bool broken = wsi_memory_is_broken(memory, end);
    unsigned ready = 0;

    if (end->listener != NULL)
        return end->listens_on && wsi_memory_waiting(memory, end) != NULL ? WSI_WATCH_READ
                                                                          : 0;
    if (end->stream == NULL)
        return 0;
    if (is_connecting(end) && !broken &&
        (memory->held || end->ready_us > wsi_memory_now_us(memory)))
        return 0;
    if (wsi_memory_is_reset(memory, end) || wsi_memory_arrived(memory, end) != NULL)
        ready |= WSI_WATCH_READ;
    if (broken || wsi_memory_room(memory, end) > 0)
        ready |= WSI_WATCH_WRITE;
    ready &= end->watch;
    if ((wsi_memory_is_reset(memory, end) || (end->fin_sent && end->fin_read)) &&
        (end->watch != 0 || !end->hangup_reported))
        ready |= WSI_READY_HANGUP;
    return ready;
}

/* What is ready is found before the first callback, as with epoll. */
static void memory_wait(void *state, int timeout_ms)
{
    struct wsi_memory *memory = state;
    struct wsi_list *node;

    (void)timeout_ms;
    wsi_loop_woke(memory->loop);
    WSI_LIST_EACH(at, &memory->sockets)
    {
        struct wsi_endpoint *end = WSI_CONTAINER_OF(at, struct wsi_endpoint, node);

        end->ready = readiness(memory, end);
        if (end->ready != 0)
            wsi_list_append(&memory->due, &end->due);
    }
    while ((node = wsi_list_pop(&memory->due)) != NULL) {
        struct wsi_endpoint *end = WSI_CONTAINER_OF(node, struct wsi_endpoint, due);

        end->hangup_reported |= (end->ready & WSI_READY_HANGUP) != 0;
        if (end->listener != NULL)
            wsi_loop_listener_ready(end->listener);
        else
            wsi_loop_stream_ready(end->stream, end->ready);
    }
}

static void memory_wake(void *state)
{
    (void)state; /* nobody sleeps */
}

static int memory_add_stream(void *state, struct wsi_stream *stream, unsigned watch)
{
    struct wsi_endpoint *end = wsi_memory_find(state, stream->fd);

    end->stream = stream;
    end->watch = watch;
    return 0;
}

static void memory_watch_stream(void *state, struct wsi_stream *stream, unsigned watch)
{
    struct wsi_endpoint *end = wsi_memory_find(state, stream->fd);

    end->watch = watch;
    end->hangup_reported = false;
}

static void memory_remove_stream(void *state, struct wsi_stream *stream)
{
    struct wsi_endpoint *end = wsi_memory_find(state, stream->fd);

    end->stream = NULL;
    wsi_list_remove(&end->due);
}

static int memory_watch_listener(void *state, struct wsi_listener *listener, bool on)
{
    wsi_memory_find(state, listener->fd)->listens_on = on;
    return 0;
}

static int memory_add_listener(void *state, struct wsi_listener *listener)
{
    wsi_memory_find(state, listener->fd)->listener = listener;
    return memory_watch_listener(state, listener, true);
}

static void memory_remove_listener(void *state, struct wsi_listener *listener)
{
    struct wsi_endpoint *end = wsi_memory_find(state, listener->fd);

    end->listener = NULL;
    wsi_list_remove(&end->due);
}

static const struct wsi_backend backend = {
    .name = "memory",
    .sockets = &wsi_memory_sockets,
    .init = memory_init,
    .fini = memory_fini,
    .wait = memory_wait,
    .wake = memory_wake,
    .add_stream = memory_add_stream,
    .watch_stream = memory_watch_stream,
    .remove_stream = memory_remove_stream,
    .add_listener = memory_add_listener,
    .watch_listener = memory_watch_listener,
    .remove_listener = memory_remove_listener,
    .receive = wsi_memory_receive,
    .send = wsi_memory_send,
    .send_pieces = wsi_memory_send_pieces,
};

/* ---- life ---- */

static uint64_t clock_now_us(void *user)
{
    return wsi_memory_now_us(user);
}

struct wsi_memory *wsi_memory_new(void)
{
    struct wsi_memory *memory = wsi_zalloc(sizeof *memory);
    pthread_mutexattr_t recursive;

    if (memory == NULL)
        return NULL;
    memory->backend = backend;
    memory->clock = (struct wsi_clock){.now_us = clock_now_us, .user = memory};
    atomic_init(&memory->loop, NULL);
    atomic_init(&memory->now_us, BEGIN_US);
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&memory->lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
    wsi_list_init(&memory->sockets);
    wsi_list_init(&memory->due);
    wsi_memory_init_names(memory);
    memory->room = WSI_MEMORY_ROOM;
    return memory;
}

void wsi_memory_free(struct wsi_memory *memory)
{
    if (memory == NULL)
        return;
    assert(memory->loop == NULL && wsi_list_is_empty(&memory->sockets));
    wsi_memory_free_names(memory);
    wsi_free(memory->table);
    pthread_mutex_destroy(&memory->lock);
    wsi_free(memory);
}

const struct wsi_backend *wsi_memory_backend(struct wsi_memory *memory)
{
    return &memory->backend;
}

const struct wsi_clock *wsi_memory_clock(struct wsi_memory *memory)
{
    return &memory->clock;
}

/* ---- time ---- */

static bool is_due(const struct wsi_memory *memory)
{
    struct wsi_loop *loop = memory->loop;

    if (loop->dirty.first != NULL || wsi_loop_has_mail(loop) ||
        wsi_wheel_next_ms(&loop->wheel) <= wsi_memory_now_us(memory) / 1000)
        return true;
    WSI_LIST_EACH(node, &memory->sockets)
    {
        if (readiness(memory, WSI_CONTAINER_OF(node, struct wsi_endpoint, node)) != 0)
            return true;
    }
    return false;
}

/* When the network brings something to this end that it does not have yet. */
static uint64_t next_of(const struct wsi_memory *memory, const struct wsi_endpoint *end)
{
    uint64_t at_us = 0;

    if (memory->held || end->held)
        return NEVER;
    if (is_connecting(end) || !wsi_list_is_empty(&end->waiting))
        at_us = end->ready_us;
    else if (!wsi_list_is_empty(&end->incoming))
        at_us = WSI_CONTAINER_OF(end->incoming.next, struct wsi_packet, node)->at_us;
    return at_us > wsi_memory_now_us(memory) ? at_us : NEVER;
}

/* When something happens; NEVER without a loop. */
static uint64_t next_us(const struct wsi_memory *memory)
{
    const struct wsi_loop *loop = atomic_load(&memory->loop);
    uint64_t next = NEVER;

    if (loop == NULL)
        return NEVER;
    if (is_due(memory))
        return wsi_memory_now_us(memory);
    if (wsi_wheel_next_ms(&loop->wheel) != NEVER)
        next = wsi_wheel_next_ms(&loop->wheel) * 1000;
    WSI_LIST_EACH(node, &memory->sockets)
    {
        const uint64_t at_us = next_of(memory,
                                       WSI_CONTAINER_OF(node, struct wsi_endpoint, node));

        next = at_us < next ? at_us : next;
    }
    return next;
}

uint64_t wsi_memory_now_ms(const struct wsi_memory *memory)
{
    return (wsi_memory_now_us(memory) - BEGIN_US) / 1000;
}

uint64_t wsi_memory_next_ms(struct wsi_memory *memory)
{
    uint64_t at_us;

    lock(memory);
    at_us = next_us(memory);
    unlock(memory);
    return at_us != NEVER ? (at_us - BEGIN_US) / 1000 : NEVER;
}

static void move_to(struct wsi_memory *memory, uint64_t at_us)
{
    if (at_us > wsi_memory_now_us(memory))
        atomic_store_explicit(&memory->now_us, at_us, memory_order_relaxed);
}

bool wsi_memory_turn(struct wsi_memory *memory, uint64_t until_us)
{
    uint64_t next;
    bool turns;

    lock(memory);
    next = next_us(memory);
    turns = next != NEVER && (next <= until_us || next <= wsi_memory_now_us(memory));
    if (turns) {
        move_to(memory, next);
        wsi_loop_turn(memory->loop, 0);
    } else if (until_us != NEVER) {
        move_to(memory, until_us);
    }
    unlock(memory);
    return turns;
}

/* ---- conditions ---- */

void wsi_memory_set_delay(struct wsi_memory *memory, uint64_t delay_ms)
{
    lock(memory);
    memory->delay_us = delay_ms * 1000;
    unlock(memory);
}

void wsi_memory_set_chunk(struct wsi_memory *memory, size_t chunk_bytes)
{
    lock(memory);
    memory->chunk = chunk_bytes;
    unlock(memory);
}

void wsi_memory_set_room(struct wsi_memory *memory, size_t room_bytes)
{
    lock(memory);
    memory->room = room_bytes;
    unlock(memory);
}

void wsi_memory_hold(struct wsi_memory *memory, bool held)
{
    lock(memory);
    memory->held = held;
    WSI_LIST_EACH(node, &memory->sockets)
    {
        WSI_CONTAINER_OF(node, struct wsi_endpoint, node)->held &= held;
    }
    unlock(memory);
}

bool wsi_memory_set_source(struct wsi_memory *memory, const char *host)
{
    struct wsi_address source;

    if (!wsi_address_numeric(&source, host, 0))
        return false;
    lock(memory);
    memory->source = source;
    unlock(memory);
    return true;
}

/* @return (nullable) one whose peer is there. */
static struct wsi_endpoint *connected(struct wsi_memory *memory, int fd)
{
    struct wsi_endpoint *end = wsi_memory_find(memory, fd);

    return end != NULL && end->error == 0 && end->peer != NULL ? end : NULL;
}

bool wsi_memory_hold_sent(struct wsi_memory *memory, int fd, bool held)
{
    struct wsi_endpoint *end;

    lock(memory);
    end = connected(memory, fd);
    if (end != NULL)
        end->peer->held = held;
    unlock(memory);
    return end != NULL;
}

bool wsi_memory_cut(struct wsi_memory *memory, int fd)
{
    struct wsi_endpoint *end;

    lock(memory);
    end = connected(memory, fd);
    if (end != NULL) {
        wsi_memory_reset(memory, end->peer);
        wsi_memory_reset(memory, end);
    }
    unlock(memory);
    return end != NULL;
}
