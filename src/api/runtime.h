/* SPDX-License-Identifier: MIT */
/* The runtime as the other public objects see it. */
#ifndef WSI_API_RUNTIME_H
#define WSI_API_RUNTIME_H

#include <wsock/runtime.h>

#include "api/failure.h"
#include "conn/worker.h"
#include "core/list.h"

/* A visit to every worker that sends the clients' connections away, or cuts them off. */
struct wsi_clients_round {
    struct wsi_round round;
    bool told; /* it was sent; once is enough, for no new ones come */
    bool cut;
};

struct wsock_runtime {
    struct wsi_pool pool;    /* first; its lock guards what follows */
    struct wsi_list servers; /* wsock_server.node: those that have not stopped */
    struct wsi_clients_round clients[2]; /* by cut */
    struct wsi_failure failure;
    bool is_awaited; /* a thread is in wsock_runtime_run() */
};

static inline wsock_runtime *wsi_runtime_of(struct wsi_pool *pool)
{
    return WSI_CONTAINER_OF(pool, struct wsock_runtime, pool);
}

#endif
