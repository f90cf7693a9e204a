/* SPDX-License-Identifier: MIT */
/* The public runtime: its life, options and log. Waiting with signals is in run.c. */
#include "api/runtime.h"

#include <wsock/error.h>
#include <wsock/version.h>

#include "api/run.h"
#include "api/server.h"
#include "api/wait.h"
#include "conn/conn.h"
#include "conn/keeper.h"
#include "core/alloc.h"

static void release(struct wsi_pool *pool)
{
    wsock_runtime *runtime = wsi_runtime_of(pool);

    wsi_pool_fini(pool);
    wsi_failure_fini(&runtime->failure);
    wsi_free(runtime);
}

int wsock_runtime_new(wsock_runtime **out)
{
    wsock_runtime *runtime;
    int r;

    if (out == NULL)
        return WSOCK_EINVAL;
    runtime = wsi_zalloc(sizeof *runtime);
    if (runtime == NULL)
        return WSOCK_ENOMEM;
    r = wsi_pool_init(&runtime->pool, release);
    if (r < 0) {
        wsi_free(runtime);
        return r;
    }
    wsi_list_init(&runtime->servers);
    wsi_failure_init(&runtime->failure);
    *out = runtime;
    return 0;
}

wsock_runtime *wsock_runtime_ref(wsock_runtime *runtime)
{
    wsi_pool_ref(&runtime->pool);
    return runtime;
}

void wsock_runtime_unref(wsock_runtime *runtime)
{
    if (runtime != NULL)
        wsi_pool_unref(&runtime->pool);
}

/* ---- stopping ---- */

static void visit_clients(struct wsi_round *round, struct wsi_worker *worker)
{
    const struct wsi_clients_round *clients = WSI_CONTAINER_OF(
        round, struct wsi_clients_round, round);

    WSI_LIST_EACH(node, &worker->conns)
    {
        struct wsock_conn *conn = WSI_CONTAINER_OF(node, struct wsock_conn, node);

        if (wsi_conn_role(conn) != WSI_CLIENT)
            continue;
        if (clients->cut && wsi_conn_state(conn) != WSI_CONN_OPENING)
            wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_STOPPED, WSOCK_BY_US, NULL);
        else
            wsi_conn_go_away(conn);
    }
    WSI_LIST_EACH(node, &worker->keepers)
    wsi_keeper_go_away(WSI_CONTAINER_OF(node, struct wsi_keeper, node));
}

static void clients_visited(struct wsi_round *round)
{
    wsi_pool_unref(round->pool);
}

static void stop_clients(wsock_runtime *runtime, bool cut)
{
    struct wsi_clients_round *clients = &runtime->clients[cut];
    bool told;

    pthread_mutex_lock(&runtime->pool.lock);
    told = clients->told;
    clients->told = true;
    pthread_mutex_unlock(&runtime->pool.lock);
    if (told)
        return;
    clients->cut = cut;
    clients->round.visit = visit_clients;
    clients->round.done = clients_visited;
    wsi_pool_ref(&runtime->pool);
    wsi_pool_round(&runtime->pool, &clients->round);
}

/* Take a server that has not been told yet; the caller drops the reference. */
static wsock_server *next_server(wsock_runtime *runtime, bool cut)
{
    wsock_server *found = NULL;

    pthread_mutex_lock(&runtime->pool.lock);
    WSI_LIST_EACH(node, &runtime->servers)
    {
        wsock_server *server = WSI_CONTAINER_OF(node, struct wsock_server, node);

        if (!server->told[cut]) {
            server->told[cut] = true;
            found = wsock_server_ref(server);
            break;
        }
    }
    pthread_mutex_unlock(&runtime->pool.lock);
    return found;
}

void wsi_runtime_stop(wsock_runtime *runtime, bool cut)
{
    wsock_server *server;

    atomic_store(&runtime->pool.stopping, true);
    while ((server = next_server(runtime, cut)) != NULL) {
        wsi_server_stop(server, cut);
        wsock_server_unref(server);
    }
    stop_clients(runtime, cut);
    pthread_mutex_lock(&runtime->pool.lock);
    wsi_pool_changed(&runtime->pool);
    pthread_mutex_unlock(&runtime->pool.lock);
}

void wsock_runtime_stop(wsock_runtime *runtime)
{
    if (runtime != NULL)
        wsi_runtime_stop(runtime, false);
}

static bool is_idle(const void *pool)
{
    return ((const struct wsi_pool *)pool)->live == 0;
}

int wsock_runtime_free(wsock_runtime *runtime)
{
    struct wsi_pool *pool;

    if (runtime == NULL)
        return 0;
    pool = &runtime->pool;
    if (!wsi_pool_may_wait(pool))
        return WSOCK_EDEADLK;
    wsi_runtime_stop(runtime, false);
    wsi_await(pool, is_idle, pool, -1, -1);
    wsi_pool_end(pool);
    wsi_log_set_hook(&pool->log, NULL, NULL, NULL);
    wsi_pool_unref(pool);
    return 0;
}

/* ---- options and log ---- */

static int option_changed(wsock_runtime *runtime, int r, const char *why)
{
    if (r < 0)
        return wsi_fail(&runtime->failure, r, "%s", why);
    wsi_log_set_level(&runtime->pool.log,
                      (int)wsi_option(&runtime->pool.options, WSI_OPT_LOG_LEVEL));
    return r;
}

int wsock_runtime_set(wsock_runtime *runtime, const char *name, const char *value)
{
    char why[WSI_OPTION_WHY_SIZE];
    int r;

    if (runtime == NULL || name == NULL || value == NULL)
        return WSOCK_EINVAL;
    pthread_mutex_lock(&runtime->pool.lock);
    r = wsi_options_set(&runtime->pool.options, name, value,
                        runtime->pool.state != WSI_POOL_NEW, why, sizeof why);
    pthread_mutex_unlock(&runtime->pool.lock);
    return option_changed(runtime, r, why);
}

int wsock_runtime_set_int64(wsock_runtime *runtime, const char *name, int64_t value)
{
    char why[WSI_OPTION_WHY_SIZE];
    int r;

    if (runtime == NULL || name == NULL)
        return WSOCK_EINVAL;
    pthread_mutex_lock(&runtime->pool.lock);
    r = wsi_options_set_number(&runtime->pool.options, name, value,
                               runtime->pool.state != WSI_POOL_NEW, why, sizeof why);
    pthread_mutex_unlock(&runtime->pool.lock);
    return option_changed(runtime, r, why);
}

int wsock_runtime_get_int64(wsock_runtime *runtime, const char *name, int64_t *out)
{
    char why[WSI_OPTION_WHY_SIZE];
    int r;

    if (runtime == NULL || name == NULL || out == NULL)
        return WSOCK_EINVAL;
    pthread_mutex_lock(&runtime->pool.lock);
    r = wsi_options_get_number(&runtime->pool.options, out, name, why, sizeof why);
    pthread_mutex_unlock(&runtime->pool.lock);
    return r < 0 ? wsi_fail(&runtime->failure, r, "%s", why) : r;
}

int wsock_runtime_on_log(wsock_runtime *runtime, wsock_log_fn fn, void *user,
                         wsock_free_fn free_user)
{
    if (runtime == NULL)
        return WSOCK_EINVAL;
    return wsi_log_set_hook(&runtime->pool.log, fn, user, free_user);
}

const char *wsock_runtime_error(wsock_runtime *runtime)
{
    return runtime != NULL ? wsi_failure_text(&runtime->failure)
                           : "the runtime could not be made";
}

const char *wsock_version(void)
{
    return WSOCK_VERSION;
}
