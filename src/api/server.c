/* SPDX-License-Identifier: MIT */
/* The public server: its life, listeners and options. Endpoints are in endpoint.c. */
#include "api/server.h"

#include <stdio.h>
#include <string.h>

#include <wsock/error.h>
#include <wsock/rooms_v1.h>

#include "api/cluster.h"
#include "api/runtime.h"
#include "api/wait.h"
#include "conn/acceptor.h"
#include "conn/conn.h"
#include "conn/queue.h"
#include "conn/worker.h"
#include "core/alloc.h"

enum { URL_MAX = 512 };

static wsock_server *server_of(struct wsi_service *service)
{
    return WSI_CONTAINER_OF(service, struct wsock_server, service);
}

static struct wsi_pool *pool_of(const wsock_server *server)
{
    return server->service.owner.pool;
}

/* ---- life ---- */

/* The last reference is gone, and with it everything that could find the server. */
static void release(struct wsi_owner *owner)
{
    wsock_server *server = server_of(wsi_service_of(owner));
    struct wsi_pool *pool = owner->pool;
    struct wsock_queue *queue = owner->queue;
    struct wsi_list *node;

    while ((node = wsi_list_pop(&server->endpoints)) != NULL)
        wsi_endpoint_free(WSI_CONTAINER_OF(node, struct wsock_endpoint, node));
    wsi_registry_fini(&server->rooms);
    wsi_service_fini(&server->service);
    wsi_failure_fini(&server->failure);
    pthread_mutex_destroy(&server->lock);
    wsi_free(server);
    wsi_queue_unref(queue);
    wsi_pool_unref(pool);
}

/* Handlers never run again: their user pointers go now, though handles may live on. No
 * lock, for free functions run; since the server began to stop, no endpoint is added. */
static void clear_handlers(wsock_server *server)
{
    WSI_LIST_EACH(node, &server->endpoints)
    {
        wsi_endpoint_clear(WSI_CONTAINER_OF(node, struct wsock_endpoint, node));
    }
    wsi_profile_clear(&server->service.profile);
}

/* On a worker, where it was stopped, or on its queue.
 * @param handler (nullable) on_stopped. */
static void end(wsock_server *server, struct wsi_handler *handler)
{
    struct wsi_pool *pool = pool_of(server);
    const struct wsi_pool *before = wsi_pool_calling;

    wsi_pool_calling = pool;
    if (handler != NULL)
        handler->fn.stopped(server, handler->user);
    clear_handlers(server);
    wsi_registry_close(&server->rooms);
    wsi_pool_calling = before;
    pthread_mutex_lock(&pool->lock);
    server->stopped = true;
    wsi_list_remove(&server->node);
    wsi_pool_changed(pool);
    pthread_mutex_unlock(&pool->lock);
    wsi_owner_unref(&server->service.owner); /* the reference of what runs */
    wsi_pool_release(pool);
}

static void run_ended(struct wsi_mail *mail)
{
    wsock_server *server = WSI_CONTAINER_OF(mail, wsock_server, ended);
    struct wsi_service *service = &server->service;
    struct wsi_handler *handler = wsi_profile_behind(&service->profile, WSI_ON_STOPPED);

    if (handler != NULL && !wsi_queue_calls(service->owner.queue))
        handler = NULL;
    end(server, handler);
}

static void conclude(wsock_server *server)
{
    struct wsi_service *service = &server->service;

    wsi_log(&pool_of(server)->log, WSOCK_LOG_INFO, "server", "stopped");
    if (service->owner.queue != NULL) {
        server->ended.run = run_ended;
        wsi_queue_call(service->owner.queue, &server->ended);
    } else {
        end(server, wsi_profile_handler(&service->profile, WSI_ON_STOPPED));
    }
}

static void finished(struct wsi_service *service)
{
    if (!wsi_server_close_cluster(server_of(service), conclude))
        conclude(server_of(service));
}

int wsock_server_new(wsock_runtime *runtime, wsock_server **out)
{
    wsock_server *server;
    int r;

    if (runtime == NULL || out == NULL)
        return WSOCK_EINVAL;
    server = wsi_zalloc(sizeof *server);
    if (server == NULL)
        return WSOCK_ENOMEM;
    r = wsi_registry_init(&server->rooms, &server->service.owner,
                          &server->service.profile.options);
    if (r == 0) {
        r = wsi_pool_hold(&runtime->pool);
        if (r < 0)
            wsi_registry_fini(&server->rooms);
    }
    if (r < 0) {
        wsi_free(server);
        return r;
    }
    wsi_service_init(&server->service, wsi_pool_ref(&runtime->pool), release, finished);
    pthread_mutex_init(&server->lock, NULL);
    wsi_list_init(&server->endpoints);
    wsi_list_init(&server->acceptors);
    wsi_failure_init(&server->failure);
    wsi_owner_ref(&server->service.owner); /* of what runs, until finished() */
    pthread_mutex_lock(&runtime->pool.lock);
    wsi_list_append(&runtime->servers, &server->node);
    pthread_mutex_unlock(&runtime->pool.lock);
    /* A stop that began meanwhile may have missed it in the list. */
    if (atomic_load(&runtime->pool.stopping))
        wsi_server_stop(server, false);
    *out = server;
    return 0;
}

wsock_server *wsock_server_ref(wsock_server *server)
{
    wsi_owner_ref(&server->service.owner);
    return server;
}

void wsock_server_unref(wsock_server *server)
{
    if (server != NULL)
        wsi_owner_unref(&server->service.owner);
}

void wsock_server_free(wsock_server *server)
{
    if (server == NULL)
        return;
    wsi_server_stop(server, false);
    wsock_server_unref(server);
}

/* ---- stopping ---- */

static void close_acceptors(wsock_server *server)
{
    struct wsi_list taken, *node;

    pthread_mutex_lock(&server->lock);
    wsi_list_move(&taken, &server->acceptors);
    pthread_mutex_unlock(&server->lock);
    while ((node = wsi_list_pop(&taken)) != NULL)
        wsi_acceptor_close(WSI_CONTAINER_OF(node, struct wsi_acceptor, node));
}

static bool serves_rooms(wsock_server *server)
{
    bool does = false;

    pthread_mutex_lock(&server->lock);
    WSI_LIST_EACH(node, &server->endpoints)
    {
        does |= atomic_load(&WSI_CONTAINER_OF(node, struct wsock_endpoint, node)
                                 ->overlay) != NULL;
    }
    pthread_mutex_unlock(&server->lock);
    return does;
}

void wsi_server_stop(wsock_server *server, bool cut)
{
    const int64_t timeout = wsi_option(&server->service.profile.options,
                                       WSI_OPT_STOP_TIMEOUT);
    bool first;

    pthread_mutex_lock(&server->lock);
    first = !server->stop_called;
    server->stop_called = true;
    pthread_mutex_unlock(&server->lock);
    if (!first && !cut)
        return;
    if (first)
        wsi_log(&pool_of(server)->log, WSOCK_LOG_INFO, "server", "stopping");
    /* The listeners go first, so that nobody is accepted only to be sent away. */
    close_acceptors(server);
    if (!cut && serves_rooms(server)) /* and before the close frames */
        wsock_server_away(server, (uint64_t)timeout, 1);
    wsi_service_stop(&server->service, cut ? 0 : (uint64_t)timeout);
}

void wsock_server_stop(wsock_server *server)
{
    if (server != NULL)
        wsi_server_stop(server, false);
}

static bool has_stopped(const void *server)
{
    return ((const wsock_server *)server)->stopped;
}

int wsock_server_wait(wsock_server *server, int64_t timeout_ms)
{
    if (server == NULL)
        return WSOCK_EINVAL;
    if (!wsi_pool_may_wait(pool_of(server)))
        return WSOCK_EDEADLK;
    return wsi_await(pool_of(server), has_stopped, server, -1, timeout_ms);
}

/* ---- handlers ---- */

int wsock_server_set_queue(wsock_server *server, wsock_queue *queue)
{
    struct wsi_owner *owner;
    int r = WSOCK_EBUSY;

    if (server == NULL || queue == NULL || queue->pool != pool_of(server))
        return WSOCK_EINVAL;
    if (wsi_queue_is_closed(queue))
        return WSOCK_ECLOSED;
    owner = &server->service.owner;
    pthread_mutex_lock(&server->lock);
    if (!server->listening && wsi_list_is_empty(&server->endpoints) &&
        wsi_profile_set_queue(&server->service.profile, queue)) {
        owner->queue = wsi_queue_ref(queue);
        r = 0;
    }
    pthread_mutex_unlock(&server->lock);
    return r < 0 ? wsi_fail(&server->failure, r,
                            "a queue is set once, before endpoints and handlers")
                 : 0;
}

static bool is_stopping(wsock_server *server)
{
    return atomic_load(&server->service.stopping);
}

int wsock_server_on_http(wsock_server *server, wsock_request_fn fn, void *user,
                         wsock_free_fn free_user)
{
    if (server == NULL)
        return WSOCK_EINVAL;
    if (is_stopping(server))
        return WSOCK_ECLOSED;
    return wsi_profile_on(&server->service.profile, pool_of(server), WSI_ON_HTTP,
                          (union wsi_handler_fn){.request = fn}, fn != NULL, user,
                          free_user);
}

int wsock_server_on_stopped(wsock_server *server, wsock_stopped_fn fn, void *user,
                            wsock_free_fn free_user)
{
    if (server == NULL)
        return WSOCK_EINVAL;
    if (is_stopping(server))
        return WSOCK_ECLOSED;
    return wsi_profile_on(&server->service.profile, pool_of(server), WSI_ON_STOPPED,
                          (union wsi_handler_fn){.stopped = fn}, fn != NULL, user,
                          free_user);
}

/* ---- listeners ---- */

/* With the lock held. What the first listener fixes: the lists of proxies, the cluster, and
 * the files of the option www, which are opened. */
static int prepare(wsock_server *server)
{
    const struct wsi_options *options = &server->service.profile.options;
    const char *www = wsi_option_text(options, WSI_OPT_WWW);
    int r;

    if (server->listening)
        return 0;
    r = wsi_trust_load(&server->service.trust, options);
    if (r < 0)
        return wsi_fail(&server->failure, r, "cannot listen: %s", wsock_strerror(r));
    r = wsi_server_open_cluster(server);
    if (r < 0 || *www == '\0')
        return r;
    r = wsi_files_open(&server->service.files, www);
    return r < 0 ? wsi_fail(&server->failure, r, "cannot serve files from %s: %s", www,
                            wsock_strerror(r))
                 : 0;
}

/* With the lock held. */
static int load_tls(wsock_server *server)
{
    char why[WSI_TLS_WHY_SIZE];
    const int r = wsi_secure_load(&server->service.secure,
                                  &server->service.profile.options, &pool_of(server)->log,
                                  why);

    return r < 0 ? wsi_fail(&server->failure, r, "%s", why) : 0;
}

int wsock_server_reload(wsock_server *server)
{
    int r = 0;

    if (server == NULL)
        return WSOCK_EINVAL;
    if (is_stopping(server))
        return WSOCK_ECLOSED;
    pthread_mutex_lock(&server->lock);
    if (wsi_secure_is_current(&server->service.secure))
        r = load_tls(server);
    pthread_mutex_unlock(&server->lock);
    wsi_log(&pool_of(server)->log, r < 0 ? WSOCK_LOG_ERROR : WSOCK_LOG_INFO, "server",
            "%s%s", r < 0 ? "cannot reload: " : "reloaded",
            r < 0 ? wsock_server_error(server) : "");
    return r;
}

/* Make a listener that is open a part of the server. @return 0, or why not. */
static int add_acceptor(wsock_server *server, struct wsi_acceptor *acceptor)
{
    char url[URL_MAX];
    int r = 0;

    pthread_mutex_lock(&server->lock);
    if (server->stop_called)
        r = wsi_fail(&server->failure, WSOCK_ECLOSED,
                     "cannot listen on %s: the server is stopping", acceptor->asked);
    if (r == 0)
        r = prepare(server);
    if (r == 0 && acceptor->secure && !wsi_secure_is_current(&server->service.secure))
        r = load_tls(server);
    if (r == 0) {
        server->listening = true;
        if (!atomic_load(&server->service.accept_paused))
            server->patterns_fixed = true;
        wsi_list_append(&server->acceptors, &acceptor->node);
        wsi_acceptor_update(acceptor);
        snprintf(url, sizeof url, "%s", acceptor->url);
    }
    pthread_mutex_unlock(&server->lock);
    if (r == 0)
        wsi_log(&pool_of(server)->log, WSOCK_LOG_INFO, "server", "listens on %s", url);
    return r;
}

/* A name may take its time to be resolved, and a stop must not wait for that: so this
 * goes on without the lock, as a task of the server's. */
static int open_acceptor(wsock_server *server, const char *url)
{
    struct wsi_acceptor *acceptor;
    char why[256];
    int r = wsi_acceptor_open(&acceptor, &server->service, url, why, sizeof why);

    if (r < 0)
        return wsi_fail(&server->failure, r, "cannot listen on %s: %s", url,
                        *why != '\0' ? why : wsock_strerror(r));
    r = add_acceptor(server, acceptor);
    if (r < 0)
        wsi_acceptor_close(acceptor);
    return r;
}

int wsock_server_listen(wsock_server *server, const char *url)
{
    bool stopping;
    int r;

    if (server == NULL || url == NULL)
        return WSOCK_EINVAL;
    r = wsi_pool_start(pool_of(server));
    if (r < 0)
        return wsi_fail(&server->failure, r, "cannot listen on %s: the threads: %s", url,
                        wsock_strerror(r));
    pthread_mutex_lock(&server->lock);
    stopping = server->stop_called;
    if (!stopping)
        wsi_service_task(&server->service);
    pthread_mutex_unlock(&server->lock);
    if (stopping)
        return wsi_fail(&server->failure, WSOCK_ECLOSED,
                        "cannot listen on %s: the server is stopping", url);
    r = open_acceptor(server, url);
    wsi_service_task_done(&server->service);
    return r;
}

int wsock_server_unlisten(wsock_server *server, const char *url)
{
    struct wsi_acceptor *found = NULL;

    if (server == NULL || url == NULL)
        return WSOCK_EINVAL;
    pthread_mutex_lock(&server->lock);
    WSI_LIST_EACH(node, &server->acceptors)
    {
        struct wsi_acceptor *acceptor = WSI_CONTAINER_OF(node, struct wsi_acceptor, node);

        if (found == NULL &&
            (strcmp(acceptor->asked, url) == 0 || strcmp(acceptor->url, url) == 0)) {
            found = acceptor;
            wsi_list_remove(node);
        }
    }
    pthread_mutex_unlock(&server->lock);
    if (found == NULL)
        return wsi_fail(&server->failure, WSOCK_ENOENT, "there is no listener on %s",
                        url);
    wsi_acceptor_close(found);
    return 0;
}

int wsock_server_url(wsock_server *server, char *out, size_t size, size_t index)
{
    int r = WSOCK_ENOENT;

    if (server == NULL || (out == NULL && size > 0))
        return WSOCK_EINVAL;
    pthread_mutex_lock(&server->lock);
    WSI_LIST_EACH(node, &server->acceptors)
    {
        const struct wsi_acceptor *acceptor = WSI_CONTAINER_OF(node, struct wsi_acceptor,
                                                               node);

        if (index-- == 0) {
            const size_t len = strlen(acceptor->url);

            r = len < size ? (int)len : WSOCK_ETOOBIG;
            if (r >= 0)
                memcpy(out, acceptor->url, len + 1);
            break;
        }
    }
    pthread_mutex_unlock(&server->lock);
    return r;
}

static int set_accept_paused(wsock_server *server, bool paused)
{
    if (server == NULL)
        return WSOCK_EINVAL;
    if (is_stopping(server))
        return WSOCK_ECLOSED;
    pthread_mutex_lock(&server->lock);
    atomic_store(&server->service.accept_paused, paused);
    if (server->listening && !paused)
        server->patterns_fixed = true;
    WSI_LIST_EACH(node, &server->acceptors)
    {
        wsi_acceptor_update(WSI_CONTAINER_OF(node, struct wsi_acceptor, node));
    }
    pthread_mutex_unlock(&server->lock);
    return 0;
}

int wsock_server_pause_accept(wsock_server *server)
{
    return set_accept_paused(server, true);
}

int wsock_server_resume_accept(wsock_server *server)
{
    return set_accept_paused(server, false);
}

size_t wsock_server_conn_count(const wsock_server *server)
{
    return server != NULL ? atomic_load(&server->service.owner.open) : 0;
}

/* ---- options ---- */

/* With the lock held: endpoints follow the server where they have no value of their own.
 */
static void spread(wsock_server *server)
{
    WSI_LIST_EACH(node, &server->endpoints)
    {
        wsi_options_inherit(
            &WSI_CONTAINER_OF(node, struct wsock_endpoint, node)->profile.options,
            &server->service.profile.options);
    }
}

int wsock_server_set(wsock_server *server, const char *name, const char *value)
{
    char why[WSI_OPTION_WHY_SIZE];
    int r;

    if (server == NULL || name == NULL || value == NULL)
        return WSOCK_EINVAL;
    pthread_mutex_lock(&server->lock);
    r = wsi_options_set(&server->service.profile.options, name, value, server->listening,
                        why, sizeof why);
    if (r == 0)
        spread(server);
    pthread_mutex_unlock(&server->lock);
    if (r < 0)
        return wsi_fail(&server->failure, r, "%s", why);
    wsi_timeouts_changed(pool_of(server));
    return 0;
}

int wsock_server_set_int64(wsock_server *server, const char *name, int64_t value)
{
    char why[WSI_OPTION_WHY_SIZE];
    int r;

    if (server == NULL || name == NULL)
        return WSOCK_EINVAL;
    pthread_mutex_lock(&server->lock);
    r = wsi_options_set_number(&server->service.profile.options, name, value,
                               server->listening, why, sizeof why);
    if (r == 0)
        spread(server);
    pthread_mutex_unlock(&server->lock);
    if (r < 0)
        return wsi_fail(&server->failure, r, "%s", why);
    wsi_timeouts_changed(pool_of(server));
    return 0;
}

int wsock_server_get_int64(wsock_server *server, const char *name, int64_t *out)
{
    char why[WSI_OPTION_WHY_SIZE];
    int r;

    if (server == NULL || name == NULL || out == NULL)
        return WSOCK_EINVAL;
    pthread_mutex_lock(&server->lock);
    r = wsi_options_get_number(&server->service.profile.options, out, name, why,
                               sizeof why);
    pthread_mutex_unlock(&server->lock);
    return r < 0 ? wsi_fail(&server->failure, r, "%s", why) : r;
}

int wsock_server_get_string(wsock_server *server, char *out, size_t size,
                            const char *name)
{
    char why[WSI_OPTION_WHY_SIZE];
    int r;

    if (server == NULL || name == NULL || out == NULL)
        return WSOCK_EINVAL;
    pthread_mutex_lock(&server->lock);
    r = wsi_options_get_text(&server->service.profile.options, out, size, name, why,
                             sizeof why);
    pthread_mutex_unlock(&server->lock);
    return r < 0 ? wsi_fail(&server->failure, r, "%s", why) : r;
}

const char *wsock_server_error(wsock_server *server)
{
    return server != NULL ? wsi_failure_text(&server->failure)
                          : "the server could not be made";
}
