/* SPDX-License-Identifier: MIT */
/* Timers of a runtime; those of a connection are in conn.c. */
#include <wsock/error.h>
#include <wsock/timer.h>

#include "api/runtime.h"
#include "conn/timer.h"

int wsock_runtime_timer(wsock_runtime *runtime, wsock_timer **out, uint64_t first_ms,
                        uint64_t every_ms, wsock_timer_fn fn, void *user,
                        wsock_free_fn free_user)
{
    const struct wsi_timer_spec spec = {
        .first_ms = first_ms,
        .every_ms = every_ms,
        .fn = fn,
        .user = user,
        .free_user = free_user,
    };
    struct wsi_worker *worker;
    int r;

    if (runtime == NULL || fn == NULL)
        return WSOCK_EINVAL;
    r = wsi_pool_start(&runtime->pool);
    if (r < 0)
        return r;
    worker = wsi_pool_is_here(&runtime->pool) ? wsi_worker_current
                                              : wsi_pool_pick(&runtime->pool);
    return wsi_timer_launch(out, worker, NULL, &spec);
}
