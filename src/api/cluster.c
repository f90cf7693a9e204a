/* SPDX-License-Identifier: MIT */
/* What the application says to its cluster, and hears of it. */
#include <stdio.h>

#include <wsock/cluster.h>
#include <wsock/error.h>

#include "api/cluster.h"
#include "conn/queue.h"
#include "room/census.h"
#include "room/spread.h"

static wsock_server *server_of(const struct wsi_spread *spread)
{
    return WSI_CONTAINER_OF(spread->registry, wsock_server, rooms);
}

/* ---- telling ---- */

static void tell(wsock_server *server, const struct wsi_handler *handler)
{
    struct wsi_spread *spread = wsi_registry_spread(&server->rooms);
    char why[WSI_BUS_WHY_SIZE];
    const bool up = wsi_spread_is_up(spread, why);

    handler->fn.cluster(server, up ? WSOCK_CLUSTER_UP : WSOCK_CLUSTER_AWAY, why,
                        handler->user);
}

static void run_tell(struct wsi_mail *mail)
{
    wsock_server *server = WSI_CONTAINER_OF(mail, wsock_server, cluster_told);
    struct wsi_service *service = &server->service;
    struct wsock_queue *queue = service->owner.queue;
    const struct wsi_handler *handler;

    pthread_mutex_lock(&server->lock);
    server->cluster_tells = false;
    pthread_mutex_unlock(&server->lock);
    handler = queue != NULL ? wsi_profile_behind(&service->profile, WSI_ON_CLUSTER)
                            : wsi_profile_handler(&service->profile, WSI_ON_CLUSTER);
    if (handler != NULL && (queue == NULL || wsi_queue_calls(queue)))
        tell(server, handler);
    wsi_service_task_done(service);
    wsi_owner_unref(&service->owner);
}

/* Behind on_stopped nothing is told. */
static void on_state(struct wsi_spread *spread)
{
    wsock_server *server = server_of(spread);
    struct wsi_owner *owner = &server->service.owner;
    bool post;

    pthread_mutex_lock(&server->lock);
    post = !server->cluster_tells && wsi_service_try_task(&server->service);
    if (post)
        server->cluster_tells = true;
    pthread_mutex_unlock(&server->lock);
    if (!post)
        return;
    wsi_owner_ref(owner);
    server->cluster_told.run = run_tell;
    if (owner->queue != NULL)
        wsi_queue_call(owner->queue, &server->cluster_told);
    else
        wsi_worker_post(spread->worker, &server->cluster_told);
}

/* ---- life ---- */

int wsi_server_open_cluster(wsock_server *server)
{
    const struct wsi_options *options = &server->service.profile.options;
    struct wsi_spread *spread;
    char why[WSI_BUS_WHY_SIZE];
    int r;

    if (*wsi_option_text(options, WSI_OPT_CLUSTER) == '\0')
        return 0;
    if (wsi_registry_spread(&server->rooms) == NULL) {
        r = wsi_spread_open(&spread, &server->rooms, on_state, why);
        if (r < 0)
            return wsi_fail(&server->failure, r, "option \"cluster\": %s", why);
        wsi_registry_set_spread(&server->rooms, spread);
        wsi_spread_start(spread);
    }
    /* When this fails, who listens again goes on with it. */
    r = wsi_registry_spread_out(&server->rooms);
    return r < 0 ? wsi_fail(&server->failure, r, "option \"cluster\": %s",
                            wsock_strerror(r))
                 : 0;
}

static void on_closed(struct wsi_spread *spread)
{
    wsock_server *server = server_of(spread);

    server->cluster_closed(server);
}

bool wsi_server_close_cluster(wsock_server *server, void (*then)(wsock_server *server))
{
    struct wsi_spread *spread = wsi_registry_spread(&server->rooms);

    if (spread == NULL)
        return false;
    server->cluster_closed = then;
    wsi_spread_close(spread, on_closed);
    return true;
}

/* ---- the calls ---- */

int wsock_server_on_cluster(wsock_server *server, wsock_cluster_fn fn, void *user,
                            wsock_free_fn free_user)
{
    if (server == NULL)
        return WSOCK_EINVAL;
    if (atomic_load(&server->service.stopping))
        return WSOCK_ECLOSED;
    return wsi_profile_on(&server->service.profile, server->service.owner.pool,
                          WSI_ON_CLUSTER, (union wsi_handler_fn){.cluster = fn},
                          fn != NULL, user, free_user);
}

int wsock_server_nodes(wsock_server *server, wsock_nodes_fn fn, void *user)
{
    return server != NULL && fn != NULL ? wsi_census_nodes(&server->rooms, fn, user)
                                        : WSOCK_EINVAL;
}

int wsock_server_cluster(wsock_server *server, char *why, size_t size)
{
    char text[WSI_BUS_WHY_SIZE] = "";
    struct wsi_spread *spread;
    int state = WSOCK_CLUSTER_NONE;

    if (server == NULL || (why == NULL && size > 0))
        return WSOCK_EINVAL;
    spread = wsi_registry_spread(&server->rooms);
    if (spread != NULL)
        state = wsi_spread_is_up(spread, text) ? WSOCK_CLUSTER_UP : WSOCK_CLUSTER_AWAY;
    if (size > 0)
        snprintf(why, size, "%s", text);
    return state;
}
