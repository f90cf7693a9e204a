/* SPDX-License-Identifier: MIT */
/* The public endpoint: a path's handlers and limits. */
#include <wsock/endpoint.h>
#include <wsock/error.h>

#include "api/server.h"
#include "conn/conn.h"
#include "core/alloc.h"

static int new_endpoint(wsock_server *server, struct wsock_endpoint **out,
                        const char *pattern)
{
    struct wsock_endpoint *endpoint = wsi_zalloc(sizeof *endpoint);

    if (endpoint == NULL)
        return WSOCK_ENOMEM;
    endpoint->pattern = wsi_strdup(pattern);
    if (endpoint->pattern == NULL) {
        wsi_free(endpoint);
        return WSOCK_ENOMEM;
    }
    wsi_profile_init(&endpoint->profile, WSOCK_SCOPE_ENDPOINT);
    wsi_options_inherit(&endpoint->profile.options, &server->service.profile.options);
    endpoint->profile.queue = server->service.owner.queue;
    wsi_failure_init(&endpoint->failure);
    wsi_list_init(&endpoint->node);
    endpoint->server = server;
    *out = endpoint;
    return 0;
}

void wsi_endpoint_clear(struct wsock_endpoint *endpoint)
{
    struct wsi_overlay *overlay = atomic_load(&endpoint->overlay);

    wsi_profile_clear(&endpoint->profile);
    if (overlay != NULL) {
        wsi_profile_clear(&overlay->beside);
        overlay->clear(overlay);
    }
}

void wsi_endpoint_free(struct wsock_endpoint *endpoint)
{
    struct wsi_overlay *overlay = atomic_load(&endpoint->overlay);

    if (overlay != NULL)
        overlay->release(overlay);
    wsi_profile_fini(&endpoint->profile);
    wsi_failure_fini(&endpoint->failure);
    wsi_free(endpoint->pattern);
    wsi_free(endpoint);
}

/* With the server's lock held. */
static int add_endpoint(wsock_server *server, struct wsock_endpoint **out,
                        const char *pattern)
{
    struct wsi_routes *routes = &server->service.routes;
    int r;

    *out = wsi_routes_get(routes, pattern);
    if (*out != NULL)
        return 0;
    if (server->stop_called)
        return wsi_fail(&server->failure, WSOCK_ECLOSED, "the server is stopping");
    if (server->patterns_fixed)
        return wsi_fail(&server->failure, WSOCK_EBUSY,
                        "%s: patterns are fixed once the server accepts connections",
                        pattern);
    r = new_endpoint(server, out, pattern);
    if (r < 0)
        return wsi_fail(&server->failure, r, "%s: out of memory", pattern);
    r = wsi_routes_add(routes, pattern, *out, NULL);
    if (r < 0) {
        wsi_endpoint_free(*out);
        return wsi_fail(&server->failure, r, "%s: %s", pattern,
                        r == WSOCK_EEXIST   ? "a pattern of this shape exists"
                        : r == WSOCK_EINVAL ? "not a valid pattern"
                                            : wsock_strerror(r));
    }
    wsi_list_append(&server->endpoints, &(*out)->node);
    return 0;
}

int wsock_server_endpoint(wsock_server *server, wsock_endpoint **out, const char *pattern)
{
    wsock_endpoint *endpoint;
    int r;

    if (server == NULL || pattern == NULL)
        return WSOCK_EINVAL;
    pthread_mutex_lock(&server->lock);
    r = add_endpoint(server, &endpoint, pattern);
    pthread_mutex_unlock(&server->lock);
    if (r == 0 && out != NULL)
        *out = wsock_endpoint_ref(endpoint);
    return r;
}

wsock_endpoint *wsock_endpoint_ref(wsock_endpoint *endpoint)
{
    wsock_server_ref(endpoint->server);
    return endpoint;
}

void wsock_endpoint_unref(wsock_endpoint *endpoint)
{
    if (endpoint != NULL)
        wsock_server_unref(endpoint->server);
}

const char *wsock_endpoint_pattern(const wsock_endpoint *endpoint)
{
    return endpoint != NULL ? endpoint->pattern : "";
}

/* ---- handlers ---- */

static int set_handler(wsock_endpoint *endpoint, enum wsi_on which,
                       union wsi_handler_fn fn, bool is_set, void *user,
                       wsock_free_fn free_user)
{
    struct wsi_profile *profile;
    struct wsi_overlay *overlay;

    if (endpoint == NULL)
        return WSOCK_EINVAL;
    profile = &endpoint->profile;
    if (atomic_load(&endpoint->server->service.stopping))
        return WSOCK_ECLOSED;
    overlay = atomic_load(&endpoint->overlay);
    if (overlay != NULL && (which == WSI_ON_MESSAGE || which == WSI_ON_PART))
        return WSOCK_EBUSY;
    if (overlay != NULL && (which == WSI_ON_OPEN || which == WSI_ON_CLOSE))
        profile = &overlay->beside;
    return wsi_profile_on(profile, endpoint->server->service.owner.pool, which, fn,
                          is_set, user, free_user);
}

int wsock_endpoint_on_request(wsock_endpoint *endpoint, wsock_request_fn fn, void *user,
                              wsock_free_fn free_user)
{
    return set_handler(endpoint, WSI_ON_REQUEST, (union wsi_handler_fn){.request = fn},
                       fn != NULL, user, free_user);
}

int wsock_endpoint_on_request_cancelled(wsock_endpoint *endpoint, wsock_request_fn fn,
                                        void *user, wsock_free_fn free_user)
{
    return set_handler(endpoint, WSI_ON_REQUEST_CANCELLED,
                       (union wsi_handler_fn){.request = fn}, fn != NULL, user,
                       free_user);
}

int wsock_endpoint_on_open(wsock_endpoint *endpoint, wsock_open_fn fn, void *user,
                           wsock_free_fn free_user)
{
    return set_handler(endpoint, WSI_ON_OPEN, (union wsi_handler_fn){.open = fn},
                       fn != NULL, user, free_user);
}

int wsock_endpoint_on_message(wsock_endpoint *endpoint, wsock_message_fn fn, void *user,
                              wsock_free_fn free_user)
{
    return set_handler(endpoint, WSI_ON_MESSAGE, (union wsi_handler_fn){.message = fn},
                       fn != NULL, user, free_user);
}

int wsock_endpoint_on_part(wsock_endpoint *endpoint, wsock_part_fn fn, void *user,
                           wsock_free_fn free_user)
{
    return set_handler(endpoint, WSI_ON_PART, (union wsi_handler_fn){.part = fn},
                       fn != NULL, user, free_user);
}

int wsock_endpoint_on_pong(wsock_endpoint *endpoint, wsock_pong_fn fn, void *user,
                           wsock_free_fn free_user)
{
    return set_handler(endpoint, WSI_ON_PONG, (union wsi_handler_fn){.pong = fn},
                       fn != NULL, user, free_user);
}

int wsock_endpoint_on_drain(wsock_endpoint *endpoint, wsock_drain_fn fn, void *user,
                            wsock_free_fn free_user)
{
    return set_handler(endpoint, WSI_ON_DRAIN, (union wsi_handler_fn){.open = fn},
                       fn != NULL, user, free_user);
}

int wsock_endpoint_on_close(wsock_endpoint *endpoint, wsock_close_fn fn, void *user,
                            wsock_free_fn free_user)
{
    return set_handler(endpoint, WSI_ON_CLOSE, (union wsi_handler_fn){.close = fn},
                       fn != NULL, user, free_user);
}

/* ---- options ---- */

int wsock_endpoint_set(wsock_endpoint *endpoint, const char *name, const char *value)
{
    char why[WSI_OPTION_WHY_SIZE];
    int r;

    if (endpoint == NULL || name == NULL || value == NULL)
        return WSOCK_EINVAL;
    pthread_mutex_lock(&endpoint->server->lock);
    r = wsi_options_set(&endpoint->profile.options, name, value,
                        endpoint->server->patterns_fixed, why, sizeof why);
    pthread_mutex_unlock(&endpoint->server->lock);
    if (r < 0)
        return wsi_fail(&endpoint->failure, r, "%s", why);
    wsi_timeouts_changed(endpoint->server->service.owner.pool);
    return 0;
}

int wsock_endpoint_set_int64(wsock_endpoint *endpoint, const char *name, int64_t value)
{
    char why[WSI_OPTION_WHY_SIZE];
    int r;

    if (endpoint == NULL || name == NULL)
        return WSOCK_EINVAL;
    pthread_mutex_lock(&endpoint->server->lock);
    r = wsi_options_set_number(&endpoint->profile.options, name, value,
                               endpoint->server->patterns_fixed, why, sizeof why);
    pthread_mutex_unlock(&endpoint->server->lock);
    if (r < 0)
        return wsi_fail(&endpoint->failure, r, "%s", why);
    wsi_timeouts_changed(endpoint->server->service.owner.pool);
    return 0;
}

int wsock_endpoint_get_int64(wsock_endpoint *endpoint, const char *name, int64_t *out)
{
    char why[WSI_OPTION_WHY_SIZE];
    int r;

    if (endpoint == NULL || name == NULL || out == NULL)
        return WSOCK_EINVAL;
    r = wsi_options_get_number(&endpoint->profile.options, out, name, why, sizeof why);
    return r < 0 ? wsi_fail(&endpoint->failure, r, "%s", why) : r;
}

const char *wsock_endpoint_error(wsock_endpoint *endpoint)
{
    return endpoint != NULL ? wsi_failure_text(&endpoint->failure)
                            : "the endpoint could not be made";
}
