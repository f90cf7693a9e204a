/* SPDX-License-Identifier: MIT */
/* The public client: where to connect, and how. */
#include <wsock/client.h>

#include <stdio.h>
#include <string.h>

#include <wsock/error.h>
#include <wsock/message.h>

#include "api/closing.h"
#include "api/message.h"
#include "api/runtime.h"
#include "conn/conn.h"
#include "conn/encode.h"
#include "conn/header.h"
#include "conn/queue.h"
#include "conn/queued.h"
#include "conn/remote.h"
#include "conn/send.h"
#include "core/alloc.h"

enum { LINES_MAX = 16 * 1024 };

struct wsock_client {
    struct wsi_remote remote; /* first; its lock guards the options, and what follows */
    bool connected;           /* it made a connection, or tried to */
    struct wsi_failure failure;
};

_Static_assert(offsetof(struct wsock_client, remote) == 0, "wsi_client_of() says so");

static wsock_client *client_of(struct wsi_owner *owner)
{
    return WSI_CONTAINER_OF(wsi_remote_of(owner), struct wsock_client, remote);
}

static void release(struct wsi_owner *owner)
{
    wsock_client *client = client_of(owner);
    struct wsi_remote *remote = &client->remote;
    struct wsi_pool *pool = owner->pool;
    struct wsock_queue *queue = owner->queue;

    wsi_keeper_fini(&remote->keeper);
    wsi_profile_fini(&remote->profile);
    wsi_secure_fini(&remote->secure);
    wsi_environment_fini(&remote->environment);
    wsi_buf_fini(&remote->headers);
    wsi_buf_fini(&remote->protocols);
    wsi_destination_fini(&remote->home);
    pthread_mutex_destroy(&remote->lock);
    wsi_failure_fini(&client->failure);
    wsi_free(client);
    wsi_queue_unref(queue);
    wsi_pool_unref(pool);
}

/* A URL as errors name it: a password in it is not for logs. */
static const char *shown(const char *url)
{
    const char *authority = strstr(url, "//");
    const char *at = NULL;

    if (authority != NULL)
        at = memchr(authority + 2, '@', strcspn(authority + 2, "/?#"));
    return at != NULL ? at + 1 : url;
}

int wsock_runtime_client(wsock_runtime *runtime, wsock_client **out, const char *url)
{
    wsock_client *client;
    const char *why;
    int r;

    if (runtime == NULL || out == NULL || url == NULL)
        return WSOCK_EINVAL;
    client = wsi_zalloc(sizeof *client);
    if (client == NULL)
        return WSOCK_ENOMEM;
    wsi_owner_init(&client->remote.owner, wsi_pool_ref(&runtime->pool), release, NULL);
    wsi_profile_init(&client->remote.profile, WSOCK_SCOPE_CLIENT);
    wsi_secure_init(&client->remote.secure);
    wsi_keeper_init(&client->remote.keeper);
    pthread_mutex_init(&client->remote.lock, NULL);
    wsi_failure_init(&client->failure);
    r = wsi_destination_init(&client->remote.home, url, &why);
    if (r == 0) {
        why = "out of memory";
        r = wsi_environment_read(&client->remote.environment);
    }
    if (r < 0) {
        wsock_client_unref(client);
        return wsi_fail(&runtime->failure, r, "%s: %s", shown(url), why);
    }
    *out = client;
    return 0;
}

wsock_client *wsock_client_ref(wsock_client *client)
{
    wsi_owner_ref(&client->remote.owner);
    return client;
}

void wsock_client_unref(wsock_client *client)
{
    if (client != NULL)
        wsi_owner_unref(&client->remote.owner);
}

/* Before a connection is made. */
static int prepare(wsock_client *client)
{
    char why[WSI_TLS_WHY_SIZE];
    int r;

    pthread_mutex_lock(&client->remote.lock);
    client->connected = true;
    pthread_mutex_unlock(&client->remote.lock);
    r = wsi_remote_prepare(&client->remote, why);
    return r < 0 ? wsi_fail(&client->failure, r, "%s: %s",
                            shown(client->remote.home.text), why)
                 : 0;
}

/* A call on the client as a whole. */
static int result(wsock_client *client, int r)
{
    return r < 0 ? wsi_fail(&client->failure, r, "%s: %s",
                            shown(client->remote.home.text), wsock_strerror(r))
                 : 0;
}

int wsock_client_connect(wsock_client *client, wsock_conn **out)
{
    int r;

    if (client == NULL)
        return WSOCK_EINVAL;
    r = prepare(client);
    return r < 0 ? r : result(client, wsi_remote_connect(&client->remote, out));
}

int wsock_client_connect_fd(wsock_client *client, wsock_conn **out, int fd)
{
    char why[WSI_GIVEN_WHY_SIZE];
    int r;

    if (client == NULL)
        return WSOCK_EINVAL;
    r = prepare(client);
    if (r < 0)
        return r;
    r = wsi_remote_connect_given(&client->remote, fd, out, why);
    return r < 0
               ? wsi_fail(&client->failure, r, "%s: %s", shown(client->remote.home.text),
                          *why != '\0' ? why : wsock_strerror(r))
               : 0;
}

/* ---- one connection that comes back ---- */

int wsock_client_start(wsock_client *client)
{
    int r;

    if (client == NULL)
        return WSOCK_EINVAL;
    r = prepare(client);
    return r < 0 ? r : result(client, wsi_keeper_start(&client->remote.keeper));
}

int wsock_client_stop(wsock_client *client, int code, const char *reason)
{
    int r;

    if (client == NULL)
        return WSOCK_EINVAL;
    r = wsi_close_check(code, reason);
    return r < 0 ? r
                 : wsi_keeper_stop(&client->remote.keeper, (unsigned)code, reason,
                                   reason != NULL ? strlen(reason) : 0);
}

int wsock_client_send(wsock_client *client, int type, const void *data, size_t len)
{
    wsock_conn *conn = NULL;
    int r;

    if (client == NULL || (data == NULL && len > 0) || !wsi_is_message_type(type))
        return WSOCK_EINVAL;
    if (len > WSI_MESSAGE_MAX)
        return WSOCK_ETOOBIG;
    do
        r = wsi_keeper_route(&client->remote.keeper, &conn, type, data, len);
    while (r > 0 && (r = wsi_conn_send(conn, type, data, len)) == WSOCK_ECLOSED);
    wsock_conn_unref(conn);
    return r;
}

int wsock_client_send_message(wsock_client *client, wsock_message *message)
{
    wsock_conn *conn = NULL;
    int type, r;

    if (client == NULL || message == NULL)
        return WSOCK_EINVAL;
    type = wsock_message_type(message) | (message->compressible ? 0 : WSOCK_UNCOMPRESSED);
    do
        r = wsi_keeper_route(&client->remote.keeper, &conn, type,
                             wsock_message_data(message), wsock_message_len(message));
    while (r > 0 && (r = wsock_conn_send_message(conn, message)) == WSOCK_ECLOSED);
    wsock_conn_unref(conn);
    return r;
}

wsock_conn *wsock_client_conn(wsock_client *client)
{
    return client != NULL ? wsi_keeper_conn(&client->remote.keeper) : NULL;
}

/* ---- what is asked for ---- */

static int tell_header(wsock_client *client, const char *name, int r)
{
    return r < 0 ? wsi_fail(&client->failure, r, "header %s: %s", name,
                            r == WSOCK_EINVAL ? "not a header field that can be added"
                                              : wsock_strerror(r))
                 : 0;
}

int wsock_client_add_header(wsock_client *client, const char *name, const char *value)
{
    int r;

    if (client == NULL || name == NULL || value == NULL)
        return WSOCK_EINVAL;
    pthread_mutex_lock(&client->remote.lock);
    r = wsi_header_append(&client->remote.headers, name, value, LINES_MAX);
    pthread_mutex_unlock(&client->remote.lock);
    return tell_header(client, name, r);
}

int wsock_client_set_header(wsock_client *client, const char *name, const char *value)
{
    int r;

    if (client == NULL || name == NULL)
        return WSOCK_EINVAL;
    pthread_mutex_lock(&client->remote.lock);
    r = wsi_header_set(&client->remote.headers, name, value, LINES_MAX);
    pthread_mutex_unlock(&client->remote.lock);
    return tell_header(client, name, r);
}

static bool has_protocol(const struct wsi_buf *protocols, struct wsi_str name)
{
    struct wsi_str list = {(const char *)protocols->data, protocols->len}, element;

    while (wsi_http_list_next(&list, &element))
        if (wsi_str_equal(element, name))
            return true;
    return false;
}

int wsock_client_add_subprotocol(wsock_client *client, const char *subprotocol)
{
    struct wsi_buf *protocols;
    int r;

    if (client == NULL || subprotocol == NULL)
        return WSOCK_EINVAL;
    if (!wsi_http_is_token(wsi_str_of(subprotocol)))
        return wsi_fail(&client->failure, WSOCK_EINVAL, "subprotocol \"%s\": not a token",
                        subprotocol);
    protocols = &client->remote.protocols;
    pthread_mutex_lock(&client->remote.lock);
    if (has_protocol(protocols, wsi_str_of(subprotocol)))
        r = WSOCK_EEXIST;
    else
        r = wsi_buf_reserve(protocols, strlen(subprotocol) + 2, LINES_MAX);
    if (r == 0) {
        if (protocols->len > 0)
            wsi_buf_append_text(protocols, ", ", LINES_MAX);
        wsi_buf_append_text(protocols, subprotocol, LINES_MAX);
    }
    pthread_mutex_unlock(&client->remote.lock);
    return r < 0 ? wsi_fail(&client->failure, r, "subprotocol %s: %s", subprotocol,
                            wsock_strerror(r))
                 : 0;
}

/* ---- handlers ---- */

/* With the lock held. */
static int set_queue(wsock_client *client, wsock_queue *queue)
{
    struct wsi_remote *remote = &client->remote;
    struct wsi_told *told;

    if (client->connected || remote->profile.queue != NULL)
        return WSOCK_EBUSY;
    told = wsi_told_new();
    if (told == NULL)
        return WSOCK_ENOMEM;
    if (!wsi_profile_set_queue(&remote->profile, queue)) {
        wsi_told_free(told);
        return WSOCK_EBUSY;
    }
    remote->keeper.told = told;
    remote->owner.queue = wsi_queue_ref(queue);
    return 0;
}

int wsock_client_set_queue(wsock_client *client, wsock_queue *queue)
{
    int r;

    if (client == NULL || queue == NULL || queue->pool != client->remote.owner.pool)
        return WSOCK_EINVAL;
    if (wsi_queue_is_closed(queue))
        return WSOCK_ECLOSED;
    pthread_mutex_lock(&client->remote.lock);
    r = set_queue(client, queue);
    pthread_mutex_unlock(&client->remote.lock);
    return r < 0 ? wsi_fail(&client->failure, r,
                            "a queue is set once, before handlers and connections")
                 : 0;
}

static int set_handler(wsock_client *client, enum wsi_on which, union wsi_handler_fn fn,
                       bool is_set, void *user, wsock_free_fn free_user)
{
    if (client == NULL)
        return WSOCK_EINVAL;
    return wsi_profile_on(&client->remote.profile, client->remote.owner.pool, which, fn,
                          is_set, user, free_user);
}

int wsock_client_on_open(wsock_client *client, wsock_open_fn fn, void *user,
                         wsock_free_fn free_user)
{
    return set_handler(client, WSI_ON_OPEN, (union wsi_handler_fn){.open = fn},
                       fn != NULL, user, free_user);
}

int wsock_client_on_message(wsock_client *client, wsock_message_fn fn, void *user,
                            wsock_free_fn free_user)
{
    return set_handler(client, WSI_ON_MESSAGE, (union wsi_handler_fn){.message = fn},
                       fn != NULL, user, free_user);
}

int wsock_client_on_part(wsock_client *client, wsock_part_fn fn, void *user,
                         wsock_free_fn free_user)
{
    return set_handler(client, WSI_ON_PART, (union wsi_handler_fn){.part = fn},
                       fn != NULL, user, free_user);
}

int wsock_client_on_pong(wsock_client *client, wsock_pong_fn fn, void *user,
                         wsock_free_fn free_user)
{
    return set_handler(client, WSI_ON_PONG, (union wsi_handler_fn){.pong = fn},
                       fn != NULL, user, free_user);
}

int wsock_client_on_drain(wsock_client *client, wsock_drain_fn fn, void *user,
                          wsock_free_fn free_user)
{
    return set_handler(client, WSI_ON_DRAIN, (union wsi_handler_fn){.open = fn},
                       fn != NULL, user, free_user);
}

int wsock_client_on_close(wsock_client *client, wsock_close_fn fn, void *user,
                          wsock_free_fn free_user)
{
    return set_handler(client, WSI_ON_CLOSE, (union wsi_handler_fn){.close = fn},
                       fn != NULL, user, free_user);
}

int wsock_client_on_state(wsock_client *client, wsock_state_fn fn, void *user,
                          wsock_free_fn free_user)
{
    return set_handler(client, WSI_ON_STATE, (union wsi_handler_fn){.state = fn},
                       fn != NULL, user, free_user);
}

/* ---- options ---- */

/* With the lock held: an option was set. */
static void changed(wsock_client *client, const char *name)
{
    if (strncmp(name, "tls_", 4) == 0)
        wsi_secure_outdate(&client->remote.secure);
}

int wsock_client_set(wsock_client *client, const char *name, const char *value)
{
    char why[WSI_OPTION_WHY_SIZE];
    int r;

    if (client == NULL || name == NULL || value == NULL)
        return WSOCK_EINVAL;
    pthread_mutex_lock(&client->remote.lock);
    r = wsi_options_set(&client->remote.profile.options, name, value, false, why,
                        sizeof why);
    if (r == 0)
        changed(client, name);
    pthread_mutex_unlock(&client->remote.lock);
    if (r < 0)
        return wsi_fail(&client->failure, r, "%s", why);
    wsi_timeouts_changed(client->remote.owner.pool);
    return 0;
}

int wsock_client_set_int64(wsock_client *client, const char *name, int64_t value)
{
    char why[WSI_OPTION_WHY_SIZE];
    int r;

    if (client == NULL || name == NULL)
        return WSOCK_EINVAL;
    pthread_mutex_lock(&client->remote.lock);
    r = wsi_options_set_number(&client->remote.profile.options, name, value, false, why,
                               sizeof why);
    if (r == 0)
        changed(client, name);
    pthread_mutex_unlock(&client->remote.lock);
    if (r < 0)
        return wsi_fail(&client->failure, r, "%s", why);
    wsi_timeouts_changed(client->remote.owner.pool);
    return 0;
}

int wsock_client_get_int64(wsock_client *client, const char *name, int64_t *out)
{
    char why[WSI_OPTION_WHY_SIZE];
    int r;

    if (client == NULL || name == NULL || out == NULL)
        return WSOCK_EINVAL;
    r = wsi_options_get_number(&client->remote.profile.options, out, name, why,
                               sizeof why);
    return r < 0 ? wsi_fail(&client->failure, r, "%s", why) : r;
}

const char *wsock_client_error(wsock_client *client)
{
    return client != NULL ? wsi_failure_text(&client->failure)
                          : "the client could not be made";
}
