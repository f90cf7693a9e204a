/* SPDX-License-Identifier: MIT */
/* Counting what a server has going, and sending it all away. */
#include "conn/service.h"

#include <sys/resource.h>

#include <wsock/error.h>

#include "conn/conn.h"
#include "core/alloc.h"

const struct wsi_options *wsi_service_options(struct wsi_owner *owner)
{
    return &wsi_service_of(owner)->profile.options;
}

/* Some descriptors are left for files, brokers, and the application. */
static size_t automatic_limit(void)
{
    struct rlimit limit;
    size_t reserve;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return 1000000;
    reserve = (size_t)limit.rlim_cur / 16;
    if (reserve > 256)
        reserve = 256;
    return (size_t)limit.rlim_cur - reserve;
}

size_t wsi_service_limit(const struct wsi_service *service)
{
    const int64_t limit = wsi_option(&service->profile.options, WSI_OPT_MAX_CONNECTIONS);

    return limit > 0 ? (size_t)limit : service->connections_automatic;
}

static void conn_closed(struct wsi_owner *owner)
{
    struct wsi_service *service = wsi_service_of(owner);

    atomic_fetch_sub(&service->alive, 1);
    wsi_service_task_done(service);
}

void wsi_service_init(struct wsi_service *service, struct wsi_pool *pool,
                      void (*release)(struct wsi_owner *),
                      void (*finished)(struct wsi_service *))
{
    wsi_owner_init(&service->owner, pool, release, conn_closed);
    wsi_profile_init(&service->profile, WSOCK_SCOPE_SERVER);
    wsi_routes_init(&service->routes);
    service->files.root = -1;
    service->trust = (struct wsi_trust){0};
    wsi_guests_init(&service->guests);
    wsi_identities_init(&service->identities);
    wsi_secure_init(&service->secure);
    service->connections_automatic = automatic_limit();
    atomic_init(&service->alive, 0);
    atomic_init(&service->tasks, 1);
    atomic_init(&service->stopping, false);
    atomic_init(&service->accept_paused, false);
    atomic_init(&service->stops, 0);
    atomic_init(&service->stop_at_ms, UINT64_MAX);
    service->finished = finished;
}

void wsi_service_fini(struct wsi_service *service)
{
    wsi_files_close(&service->files);
    wsi_trust_fini(&service->trust);
    wsi_guests_fini(&service->guests);
    wsi_identities_fini(&service->identities);
    wsi_secure_fini(&service->secure);
    wsi_routes_fini(&service->routes);
    wsi_profile_fini(&service->profile);
}

void wsi_service_task(struct wsi_service *service)
{
    atomic_fetch_add(&service->tasks, 1);
}

void wsi_service_task_done(struct wsi_service *service)
{
    if (atomic_fetch_sub(&service->tasks, 1) == 1)
        service->finished(service);
}

bool wsi_service_try_task(struct wsi_service *service)
{
    size_t tasks = atomic_load(&service->tasks);

    while (tasks > 0)
        if (atomic_compare_exchange_weak(&service->tasks, &tasks, tasks + 1))
            return true;
    return false;
}

static struct wsi_farewell *farewell_of(struct wsi_round *round)
{
    return WSI_CONTAINER_OF(round, struct wsi_farewell, round);
}

static void visit(struct wsi_round *round, struct wsi_worker *worker)
{
    struct wsi_service *service = farewell_of(round)->service;

    WSI_LIST_EACH(node, &worker->conns)
    {
        struct wsock_conn *conn = WSI_CONTAINER_OF(node, struct wsock_conn, node);

        if (conn->owner != &service->owner)
            continue;
        wsi_conn_go_away(conn);
        if (wsi_conn_state(conn) < WSI_CONN_CLOSED)
            wsi_conn_start_timer(conn);
    }
}

static void visited(struct wsi_round *round)
{
    struct wsi_service *service = farewell_of(round)->service;

    wsi_service_task_done(service);
    wsi_owner_unref(&service->owner);
}

void wsi_service_stop(struct wsi_service *service, uint64_t timeout_ms)
{
    struct wsi_pool *pool = service->owner.pool;
    const uint64_t at = wsi_clock_us(pool->clock) / 1000 + timeout_ms;
    const unsigned before = atomic_fetch_add(&service->stops, 1);
    struct wsi_farewell *farewell;

    if (before >= sizeof service->farewells / sizeof service->farewells[0] ||
        !wsi_service_try_task(service))
        return;
    wsi_owner_ref(&service->owner);
    farewell = &service->farewells[before];
    farewell->service = service;
    farewell->round.visit = visit;
    farewell->round.done = visited;
    if (at < atomic_load(&service->stop_at_ms))
        atomic_store(&service->stop_at_ms, at);
    if (!atomic_exchange(&service->stopping, true))
        wsi_service_task_done(service); /* its own */
    wsi_pool_round(pool, &farewell->round);
}
