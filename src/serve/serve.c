/* SPDX-License-Identifier: MIT */
/*
 * An endpoint that serves rooms: its handlers, and whom it asks. What the application
 * wants to hear of its connections besides stands in a profile beside the endpoint's.
 */
#include <stdio.h>
#include <string.h>

#include <wsock/error.h>
#include <wsock/request.h>

#include "api/server.h"
#include "conn/conn.h"
#include "core/alloc.h"
#include "room/name.h"
#include "serve/v1.h"

#define SUBPROTOCOL "wsock.rooms.v1"

/* ---- hooks ---- */

void wsi_v1_hooks_unref(struct wsi_v1_hooks *hooks)
{
    if (hooks == NULL || !wsi_ref_drop(&hooks->ref))
        return;
    if (hooks->free_user != NULL)
        hooks->free_user(hooks->user);
    wsi_free(hooks);
}

struct wsi_v1_hooks *wsi_v1_hooks_of(struct wsi_v1_door *v1)
{
    struct wsi_v1_hooks *hooks;

    pthread_mutex_lock(&v1->lock);
    hooks = v1->hooks;
    if (hooks != NULL)
        wsi_ref_take(&hooks->ref);
    pthread_mutex_unlock(&v1->lock);
    return hooks;
}

/* @param hooks (consumed) */
static void replace_hooks(struct wsi_v1_door *v1, struct wsi_v1_hooks *hooks)
{
    struct wsi_v1_hooks *old;

    pthread_mutex_lock(&v1->lock);
    old = v1->hooks;
    v1->hooks = hooks;
    pthread_mutex_unlock(&v1->lock);
    wsi_v1_hooks_unref(old);
}

/* Sizes of wsock_rooms_hooks by version. */
enum { HOOKS_SIZE_1_0 = offsetof(wsock_rooms_hooks, on_call) + sizeof(wsock_ask_fn) };
_Static_assert(sizeof(wsock_rooms_hooks) == HOOKS_SIZE_1_0, "no tail padding");

/* @return (owned, nullable) NULL without memory. */
static struct wsi_v1_hooks *new_hooks(const wsock_rooms_hooks *fn)
{
    struct wsi_v1_hooks *hooks = wsi_zalloc(sizeof *hooks);

    if (hooks == NULL)
        return NULL;
    wsi_ref_init(&hooks->ref);
    if (fn != NULL)
        hooks->fn = *fn;
    return hooks;
}

/* ---- handlers ---- */

static struct wsi_v1_door *v1_of(const struct wsi_overlay *overlay)
{
    return WSI_CONTAINER_OF(overlay, struct wsi_v1_door, overlay);
}

/* Of the application. @return (nullable) */
static struct wsi_handler *handler_beside(struct wsi_v1_door *v1, enum wsi_on which)
{
    struct wsi_profile *beside = &v1->overlay.beside;

    return beside->queue != NULL ? wsi_profile_behind(beside, which)
                                 : wsi_profile_handler(beside, which);
}

/* Before the application looks, where it does not. */
static void on_request(wsock_request *request, void *user)
{
    const char *room = wsock_request_param(request, "room");
    const bool speaks = wsock_request_offers(request, SUBPROTOCOL) != 0;

    (void)user;
    if (room == NULL && !speaks)
        wsock_request_reject(request, 400,
                             "this path needs the subprotocol " SUBPROTOCOL "\n");
    else if (room != NULL && !wsi_room_name_is_valid(room))
        wsock_request_reject(
            request, 400,
            "no name for a room: 1 to 255 bytes, words divided by single "
            "dots, without '*', '>' and control characters\n");
    else
        wsock_request_accept(request, speaks ? SUBPROTOCOL : "");
}

static int open_session(struct wsi_v1_door *v1, wsock_conn *conn)
{
    const char *room = wsock_request_param(wsock_conn_request(conn), "room");
    int r = wsi_v1_session_open(v1, conn);
    struct wsi_v1_session *session = wsi_v1_session_of(conn);

    if (r < 0)
        return r;
    if (room == NULL && session->is_raw)
        wsi_v1_session_close(session, WSI_V1_CLOSE_BROKEN,
                             "this path needs the subprotocol " SUBPROTOCOL);
    else if (room != NULL && !wsi_room_name_is_valid(room))
        wsi_v1_session_close(session, WSI_V1_CLOSE_BROKEN, "no name for a room");
    else if (room != NULL)
        session->home = wsi_strdup(room);
    if (room != NULL && session->home == NULL && session->stage != WSI_V1_ENDED)
        return WSOCK_ENOMEM;
    session->home_is_due = session->home != NULL;
    return 0;
}

static void on_open(wsock_conn *conn, void *user)
{
    struct wsi_v1_door *v1 = user;
    struct wsi_handler *handler = handler_beside(v1, WSI_ON_OPEN);
    const int r = open_session(v1, conn);
    struct wsi_v1_session *session = wsi_v1_session_of(conn);

    if (handler != NULL)
        handler->fn.open(conn, handler->user);
    if (session == NULL)
        wsock_conn_close(conn, WSI_V1_CLOSE_FAILED, wsock_strerror(r));
    else if (r < 0)
        wsi_v1_session_close(session, WSI_V1_CLOSE_FAILED, wsock_strerror(r));
    else if (session->is_raw)
        wsi_v1_session_hello(session);
}

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    struct wsi_v1_session *session = wsi_v1_session_of(conn);

    (void)user;
    if (session != NULL)
        wsi_v1_session_message(session, type, data, len);
    else /* there was no memory for one, nor to close it then */
        wsock_conn_close(conn, WSI_V1_CLOSE_FAILED, wsock_strerror(WSOCK_ENOMEM));
}

static void on_close(wsock_conn *conn, const wsock_close_info *info, void *user)
{
    struct wsi_v1_session *session = wsi_v1_session_of(conn);
    struct wsi_handler *handler = handler_beside(user, WSI_ON_CLOSE);

    if (session != NULL)
        wsi_v1_session_end(session);
    if (handler != NULL)
        handler->fn.close(conn, info, handler->user);
}

/* ---- setting it up ---- */

static int set_handler(wsock_endpoint *endpoint, struct wsi_v1_door *v1,
                       enum wsi_on which, union wsi_handler_fn fn)
{
    return wsi_profile_on(&endpoint->profile, endpoint->server->service.owner.pool, which,
                          fn, true, v1, NULL);
}

static int set_handlers(wsock_endpoint *endpoint, struct wsi_v1_door *v1)
{
    int r = wsock_endpoint_set(endpoint, "subprotocols", SUBPROTOCOL);

    if (r == 0)
        r = set_handler(endpoint, v1, WSI_ON_OPEN,
                        (union wsi_handler_fn){.open = on_open});
    if (r == 0)
        r = set_handler(endpoint, v1, WSI_ON_CLOSE,
                        (union wsi_handler_fn){.close = on_close});
    if (r == 0)
        r = set_handler(endpoint, v1, WSI_ON_MESSAGE,
                        (union wsi_handler_fn){.message = on_message});
    if (r == 0 && wsi_profile_handler(&endpoint->profile, WSI_ON_REQUEST) == NULL)
        r = wsock_endpoint_on_request(endpoint, on_request, NULL, NULL);
    return r;
}

static bool has_handlers(const wsock_endpoint *endpoint)
{
    static const enum wsi_on ours[] = {WSI_ON_OPEN, WSI_ON_MESSAGE, WSI_ON_PART,
                                       WSI_ON_CLOSE};

    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (atomic_load(&endpoint->profile.on[ours[i]]) != NULL)
            return true;
    return false;
}

static void clear(struct wsi_overlay *overlay)
{
    replace_hooks(v1_of(overlay), NULL);
}

static void release(struct wsi_overlay *overlay)
{
    struct wsi_v1_door *v1 = v1_of(overlay);

    wsi_v1_hooks_unref(v1->hooks);
    wsi_profile_fini(&overlay->beside);
    pthread_mutex_destroy(&v1->lock);
    wsi_free(v1);
}

/* What serves it from then on. @return 0; WSOCK_EBUSY; WSOCK_ENOMEM. */
static int take_over(wsock_endpoint *endpoint, struct wsi_v1_door **out)
{
    struct wsi_v1_door *v1;

    if (has_handlers(endpoint))
        return WSOCK_EBUSY;
    v1 = wsi_zalloc(sizeof *v1);
    if (v1 == NULL)
        return WSOCK_ENOMEM;
    pthread_mutex_init(&v1->lock, NULL);
    wsi_profile_init(&v1->overlay.beside, WSOCK_SCOPE_ENDPOINT);
    v1->overlay.beside.queue = endpoint->profile.queue;
    v1->overlay.clear = clear;
    v1->overlay.release = release;
    v1->server = endpoint->server;
    v1->profile = &endpoint->profile;
    atomic_store(&endpoint->overlay, &v1->overlay);
    *out = v1;
    return 0;
}

/* @param out (out, borrowed from endpoint) */
static int get_v1(wsock_endpoint *endpoint, struct wsi_v1_door **out)
{
    struct wsi_overlay *overlay = atomic_load(&endpoint->overlay);
    int r = 0;

    if (overlay != NULL)
        *out = v1_of(overlay);
    else
        r = take_over(endpoint, out);
    /* What failed half-way is done by the next call. */
    if (r == 0 && !(*out)->is_set_up)
        r = set_handlers(endpoint, *out);
    if (r == 0)
        (*out)->is_set_up = true;
    return r;
}

int wsock_endpoint_serve_rooms(wsock_endpoint *endpoint, const wsock_rooms_hooks *hooks,
                               void *user, wsock_free_fn free_user)
{
    struct wsi_v1_hooks *set;
    struct wsi_v1_door *v1;
    int r;

    if (endpoint == NULL || (hooks != NULL && hooks->size < HOOKS_SIZE_1_0))
        return WSOCK_EINVAL;
    if (atomic_load(&endpoint->server->service.stopping))
        return WSOCK_ECLOSED;
    set = new_hooks(hooks);
    if (set == NULL)
        return WSOCK_ENOMEM;
    r = get_v1(endpoint, &v1);
    if (r < 0) {
        wsi_v1_hooks_unref(set);
        return r;
    }
    set->user = user;
    set->free_user = free_user;
    replace_hooks(v1, set);
    return 0;
}
