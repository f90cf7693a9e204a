/* SPDX-License-Identifier: MIT */
/* Runtimes for tests: a pool on a network in memory (io/memory.h), whose steps this
 * takes, and whose queues it dispatches. */
#include <wsock/error.h>
#include <wsock/testing.h>

#include "api/runtime.h"
#include "api/wait.h"
#include "conn/conn.h"
#include "io/memory.h"

enum { ROUNDS_MAX = 1000000 }; /* without the clock's moving */

#define ADVANCE_MAX_MS 1000000000000u
#define DELAY_MAX_MS   1000000000u

int wsock_testing_new(wsock_runtime **out, uint64_t seed)
{
    struct wsi_memory *memory;
    wsock_runtime *runtime = NULL;
    int r;

    if (out == NULL)
        return WSOCK_EINVAL;
    memory = wsi_memory_new();
    if (memory == NULL)
        return WSOCK_ENOMEM;
    r = wsock_runtime_new(&runtime);
    if (r < 0) {
        wsi_memory_free(memory);
        return r;
    }
    runtime->pool.memory = memory;
    runtime->pool.seed = seed;
    runtime->pool.backend = wsi_memory_backend(memory);
    runtime->pool.clock = wsi_memory_clock(memory);
    *out = runtime;
    return 0;
}

/* ---- time ---- */

static uint64_t now_us(const struct wsi_pool *pool)
{
    return wsi_clock_us(pool->clock);
}

/* @param dispatches else it ends when handlers wait, with 1. */
static int pass(wsock_runtime *runtime, uint64_t ms, bool dispatches)
{
    struct wsi_pool *pool;
    uint64_t until_us, before_us;
    unsigned rounds = 0;

    if (runtime == NULL)
        return WSOCK_EINVAL;
    pool = &runtime->pool;
    if (pool->memory == NULL)
        return wsi_fail(&runtime->failure, WSOCK_ENOTSUP,
                        "this runtime is not for tests");
    if (!wsi_pool_may_wait(pool))
        return WSOCK_EDEADLK;
    if (ms > ADVANCE_MAX_MS)
        return wsi_fail(&runtime->failure, WSOCK_ERANGE, "%llu ms are too many at once",
                        (unsigned long long)ms);
    before_us = now_us(pool);
    until_us = before_us + ms * 1000;
    for (;;) {
        const bool some = dispatches ? wsi_dispatch_all(pool) : wsi_some_wait(pool);

        if (some && !dispatches)
            return 1;
        if (!some && !wsi_pool_step(pool, until_us))
            return 0;
        if (now_us(pool) != before_us)
            rounds = 0;
        else if (++rounds == ROUNDS_MAX)
            return wsi_fail(&runtime->failure, WSOCK_ETIMEDOUT,
                            "there is more to do after %d rounds", ROUNDS_MAX);
        before_us = now_us(pool);
    }
}

int wsock_testing_run(wsock_runtime *runtime)
{
    return pass(runtime, 0, true);
}

int wsock_testing_advance(wsock_runtime *runtime, uint64_t ms)
{
    return pass(runtime, ms, true);
}

int wsock_testing_wait(wsock_runtime *runtime, uint64_t ms)
{
    return pass(runtime, ms, false);
}

uint64_t wsock_testing_now_ms(const wsock_runtime *runtime)
{
    return runtime != NULL && runtime->pool.memory != NULL
               ? wsi_memory_now_ms(runtime->pool.memory)
               : 0;
}

int wsock_testing_next_ms(wsock_runtime *runtime, int64_t *out)
{
    struct wsi_memory *memory;
    uint64_t next_ms;

    if (runtime == NULL || out == NULL)
        return WSOCK_EINVAL;
    memory = runtime->pool.memory;
    if (memory == NULL)
        return WSOCK_ENOTSUP;
    next_ms = wsi_some_wait(&runtime->pool) ? wsi_memory_now_ms(memory)
                                            : wsi_memory_next_ms(memory);
    if (next_ms == UINT64_MAX)
        return WSOCK_ENOENT;
    *out = (int64_t)(next_ms - wsi_memory_now_ms(memory));
    return 0;
}

/* ---- the network ---- */

/* @return 0 and the network, or why there is none. */
static int network_of(wsock_runtime *runtime, struct wsi_memory **out)
{
    if (runtime == NULL)
        return WSOCK_EINVAL;
    *out = runtime->pool.memory;
    return *out != NULL ? 0
                        : wsi_fail(&runtime->failure, WSOCK_ENOTSUP,
                                   "this runtime is not for tests");
}

int wsock_testing_set_delay(wsock_runtime *runtime, uint64_t delay_ms)
{
    struct wsi_memory *memory;
    const int r = network_of(runtime, &memory);

    if (r < 0)
        return r;
    if (delay_ms > DELAY_MAX_MS)
        return wsi_fail(&runtime->failure, WSOCK_ERANGE, "a delay of %llu ms is too long",
                        (unsigned long long)delay_ms);
    wsi_memory_set_delay(memory, delay_ms);
    return 0;
}

int wsock_testing_set_chunk(wsock_runtime *runtime, size_t chunk_bytes)
{
    struct wsi_memory *memory;
    const int r = network_of(runtime, &memory);

    if (r == 0)
        wsi_memory_set_chunk(memory, chunk_bytes);
    return r;
}

int wsock_testing_set_room(wsock_runtime *runtime, size_t room_bytes)
{
    struct wsi_memory *memory;
    const int r = network_of(runtime, &memory);

    if (r < 0)
        return r;
    if (room_bytes == 0)
        return wsi_fail(&runtime->failure, WSOCK_ERANGE,
                        "without room nothing could be sent");
    wsi_memory_set_room(memory, room_bytes);
    return 0;
}

int wsock_testing_set_source(wsock_runtime *runtime, const char *address)
{
    struct wsi_memory *memory;
    const int r = network_of(runtime, &memory);

    if (r < 0)
        return r;
    if (address == NULL)
        return WSOCK_EINVAL;
    return wsi_memory_set_source(memory, address)
               ? 0
               : wsi_fail(&runtime->failure, WSOCK_EINVAL, "%s is no numeric address",
                          address);
}

int wsock_testing_hold(wsock_runtime *runtime, int held)
{
    struct wsi_memory *memory;
    const int r = network_of(runtime, &memory);

    if (r == 0)
        wsi_memory_hold(memory, held != 0);
    return r;
}

int wsock_testing_conn_hold(wsock_conn *conn, int held)
{
    struct wsi_memory *memory;

    if (conn == NULL)
        return WSOCK_EINVAL;
    memory = conn->worker->pool->memory;
    if (memory == NULL)
        return WSOCK_ENOTSUP;
    return wsi_memory_hold_sent(memory, conn->stream.fd, held != 0) ? 0 : WSOCK_ECLOSED;
}

int wsock_testing_conn_cut(wsock_conn *conn)
{
    struct wsi_memory *memory;

    if (conn == NULL)
        return WSOCK_EINVAL;
    memory = conn->worker->pool->memory;
    if (memory == NULL)
        return WSOCK_ENOTSUP;
    return wsi_memory_cut(memory, conn->stream.fd) ? 0 : WSOCK_ECLOSED;
}
