/* SPDX-License-Identifier: MIT */
/* Handlers in C for a server that a Python program made: of one endpoint, whose connections
 * are in a room of that program's. The host of the server's queue calls them. */
#include <stdio.h>

#include <wsock/wsock.h>

__attribute__((visibility("default"))) int
talk_serve(wsock_server *server, wsock_room *room, const char *pattern);

static void on_open(wsock_conn *conn, void *user)
{
    wsock_room_join(user, conn);
}

static void on_message(wsock_conn *conn, int type, const void *data, size_t len, void *user)
{
    char text[256];
    int length = snprintf(text, sizeof text, "C heard %.*s", (int)len, (const char *)data);

    (void)conn;
    if (type == WSOCK_TEXT && length > 0 && (size_t)length < sizeof text)
        wsock_room_broadcast(user, WSOCK_TEXT, text, (size_t)length);
}

static void free_room(void *user)
{
    wsock_room_unref(user);
}

int talk_serve(wsock_server *server, wsock_room *room, const char *pattern)
{
    wsock_endpoint *endpoint = NULL;
    int r = wsock_server_endpoint(server, &endpoint, pattern);

    if (r == 0)
        r = wsock_endpoint_on_open(endpoint, on_open, wsock_room_ref(room), free_room);
    if (r == 0)
        r = wsock_endpoint_on_message(endpoint, on_message, wsock_room_ref(room), free_room);
    wsock_endpoint_unref(endpoint);
    return r;
}
