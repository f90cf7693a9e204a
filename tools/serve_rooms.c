/* SPDX-License-Identifier: MIT */
/*
 * The rooms of `wsock serve`: who is who, where nobody else decides (auth.h). The library
 * does all else. Everybody may come, be in any room, and is who they say, unless somebody
 * is that already.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve.h"

#define NAME_MAX_BYTES 64

struct rooms {
    wsock_server *server;
    pthread_mutex_t lock; /* one name is given at a time */
};

static int name_is_good(const char *name)
{
    const size_t len = strnlen(name, NAME_MAX_BYTES + 1);

    if (len == 0 || len > NAME_MAX_BYTES)
        return 0;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return 0;
    return 1;
}

/* The nth name that is tried for a connection; without a wish the first is of a guest. */
static void make_name(char *out, size_t size, const char *wanted, int n,
                      const wsock_conn *conn)
{
    const unsigned long long id = wsock_conn_id(conn);

    if (wanted == NULL)
        snprintf(out, size, n == 1 ? "guest-%llu" : "guest-%llu-%d", id, n);
    else if (n == 1)
        snprintf(out, size, "%s", wanted);
    else
        snprintf(out, size, "%s-%llu", wanted, n < 10 ? (unsigned long long)n : id);
}

/* Give it the wanted name, or the nearest free one. */
static int claim(struct rooms *rooms, wsock_conn *conn, const char *wanted)
{
    char name[NAME_MAX_BYTES + 48];
    int r = WSOCK_EEXIST;

    pthread_mutex_lock(&rooms->lock);
    for (int n = 1; n <= 10 && r == WSOCK_EEXIST; n++) {
        make_name(name, sizeof name, wanted, n, conn);
        if (wsock_server_identity_conns(rooms->server, NULL, 0, name) == 0)
            r = wsock_conn_set_identity(conn, name);
    }
    pthread_mutex_unlock(&rooms->lock);
    return r;
}

static void on_hello(wsock_ask *ask, void *user)
{
    wsock_conn *conn = wsock_ask_conn(ask);
    const char *name = wsock_ask_name(ask);
    int r = 0;

    if (wsock_ask_kind(ask) == WSOCK_ASK_REFRESH) {
        wsock_ask_accept(ask);
        return;
    }
    if (*wsock_conn_subprotocol(conn) == '\0') {
        /* A raw member may say who it is in the query: /rooms/lobby?name=Ann. */
        name = wsock_request_query(wsock_conn_request(conn), "name");
        if (name != NULL && !name_is_good(name))
            name = NULL;
    }
    if (name != NULL && !name_is_good(name)) {
        wsock_ask_refuse(ask, "bad_name",
                         "name: 1 to 64 bytes of text without control characters", 0);
        return;
    }
    r = claim(user, conn, name);
    if (r < 0)
        wsock_ask_refuse(ask, "failed", wsock_strerror(r), 1);
    else
        wsock_ask_accept(ask);
}

static int add_endpoint(struct rooms *rooms, const char *pattern,
                        const wsock_rooms_hooks *hooks, void *user)
{
    wsock_endpoint *endpoint = NULL;
    int r = wsock_server_endpoint(rooms->server, &endpoint, pattern);

    if (r == 0)
        r = wsock_endpoint_serve_rooms(endpoint, hooks, user, NULL);
    wsock_endpoint_unref(endpoint);
    return r;
}

int rooms_new(struct rooms **out, wsock_server *server, const wsock_rooms_hooks *hooks,
              void *user)
{
    const wsock_rooms_hooks own = {.size = sizeof own, .on_hello = on_hello};
    struct rooms *rooms = calloc(1, sizeof *rooms);
    int r;

    if (rooms == NULL)
        return WSOCK_ENOMEM;
    rooms->server = server;
    pthread_mutex_init(&rooms->lock, NULL);
    *out = rooms;
    if (hooks == NULL) {
        hooks = &own;
        user = rooms;
    }
    r = add_endpoint(rooms, "/rooms", hooks, user);
    return r == 0 ? add_endpoint(rooms, "/rooms/{room}", hooks, user) : r;
}

void rooms_free(struct rooms *rooms)
{
    if (rooms == NULL)
        return;
    pthread_mutex_destroy(&rooms->lock);
    free(rooms);
}
