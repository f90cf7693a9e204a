/* SPDX-License-Identifier: MIT */
/*
 * Chat rooms: chat [URL]. A connection to /chat/NAME joins the room NAME; what a member
 * sends goes to all its members, itself included. Leaving needs no code: a connection
 * that ends leaves its rooms.
 */
#include <stdio.h>

#include <wsock/wsock.h>

static void forget_room(void *room)
{
    wsock_room_unref(room);
}

static void on_open(wsock_conn *conn, void *user)
{
    wsock_server *server = user;
    wsock_room *room = NULL;
    char text[64];
    int r = wsock_server_room(server, &room,
                              wsock_request_param(wsock_conn_request(conn), "room"));

    if (r == 0)
        r = wsock_room_join(room, conn);
    if (r < 0) {
        wsock_room_unref(room);
        wsock_conn_close(conn, 1008, wsock_strerror(r));
        return;
    }
    wsock_conn_set_user(conn, room, forget_room);
    int n = snprintf(text, sizeof text, "* %zu here", wsock_room_count(room));
    wsock_room_broadcast(room, WSOCK_TEXT, text, (size_t)n);
}

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    wsock_room *room = wsock_conn_get_user(conn);

    (void)user;
    if (room != NULL)
        wsock_room_broadcast(room, type, data, len);
}

static int set_up(wsock_server *server, const char *url)
{
    wsock_endpoint *chat = NULL;
    int r = wsock_server_endpoint(server, &chat, "/chat/{room}");

    if (r == 0)
        r = wsock_endpoint_on_open(chat, on_open, server, NULL);
    if (r == 0)
        r = wsock_endpoint_on_message(chat, on_message, NULL, NULL);
    if (r == 0)
        r = wsock_endpoint_set(chat, "max_message_bytes", "4KiB");
    if (r == 0)
        r = wsock_server_listen(server, url);
    wsock_endpoint_unref(chat);
    return r;
}

int main(int argc, char **argv)
{
    wsock_runtime *runtime = NULL;
    wsock_server *server = NULL;
    char url[256];
    int r = wsock_runtime_new(&runtime);

    if (r == 0)
        r = wsock_server_new(runtime, &server);
    if (r == 0)
        r = set_up(server, argc > 1 ? argv[1] : "ws://127.0.0.1:8080");
    if (r == 0 && wsock_server_url(server, url, sizeof url, 0) > 0) {
        printf("listening on %s\n", url);
        fflush(stdout);
        r = wsock_runtime_run(runtime, WSOCK_RUN_SIGNALS);
    }
    if (r < 0)
        fprintf(stderr, "chat: %s\n", wsock_server_error(server));
    wsock_server_free(server);
    wsock_runtime_free(runtime);
    return r < 0;
}
