/* SPDX-License-Identifier: MIT */
/*
 * Rooms for pages, with an application that decides: who says hello with the token
 * "NAME-secret" is NAME, rooms "team.NAME" are for that one alone, only "ann" publishes
 * in "news", and a call "hours" is answered.
 *
 *     example_rooms [URL]      ws://127.0.0.1:8080 without one
 *
 * A page: connect("ws://127.0.0.1:8080/rooms", { token: "ann-secret" }).room("news").
 */
#include <stdio.h>
#include <string.h>

#include <wsock/wsock.h>

/* A real program asks somebody who knows. @return the length of the name, or 0. */
static size_t name_in(const char *token)
{
    static const char ending[] = "-secret";
    const size_t len = token != NULL ? strlen(token) : 0;

    if (len <= sizeof ending - 1 || len > 64)
        return 0;
    return strcmp(token + len - (sizeof ending - 1), ending) == 0
               ? len - (sizeof ending - 1)
               : 0;
}

static void on_hello(wsock_ask *ask, void *user)
{
    const char *token = wsock_ask_token(ask);
    const size_t len = name_in(token);
    char name[65];

    (void)user;
    if (len == 0) {
        wsock_ask_refuse(ask, "unauthorized", "who are you?", 0);
        return;
    }
    snprintf(name, sizeof name, "%.*s", (int)len, token);
    if (wsock_ask_set_identity(ask, name) == 0) {
        wsock_ask_set_expiry_ms(ask, 3600 * 1000); /* ask again in an hour */
        wsock_ask_accept(ask);
    }
    /* What is not answered is refused. */
}

static void on_join(wsock_ask *ask, void *user)
{
    const char *room = wsock_ask_room(ask);
    const char *who = wsock_conn_identity(wsock_ask_conn(ask));

    (void)user;
    if (strncmp(room, "team.", 5) == 0 && strcmp(room + 5, who) != 0)
        wsock_ask_refuse(ask, "private", "this room is somebody else's", 0);
    else
        wsock_ask_accept(ask);
}

static void on_publish(wsock_ask *ask, void *user)
{
    const char *who = wsock_conn_identity(wsock_ask_conn(ask));

    (void)user;
    if (strcmp(wsock_ask_room(ask), "news") == 0 && strcmp(who, "ann") != 0)
        wsock_ask_refuse(ask, "read_only", "only ann writes the news", 0);
    else
        wsock_ask_accept(ask);
}

static void on_call(wsock_ask *ask, void *user)
{
    static const char hours[] = "{\"from\":9,\"to\":17}";

    (void)user;
    if (strcmp(wsock_ask_name(ask), "hours") == 0)
        wsock_ask_reply(ask, hours, sizeof hours - 1);
    else
        wsock_ask_refuse(ask, "unknown_call", "there is only \"hours\"", 0);
}

static int serve(wsock_server *server, const char *path)
{
    static const wsock_rooms_hooks hooks = {.size = sizeof hooks,
                                            .on_hello = on_hello,
                                            .on_join = on_join,
                                            .on_publish = on_publish,
                                            .on_call = on_call};
    wsock_endpoint *endpoint = NULL;
    int r = wsock_server_endpoint(server, &endpoint, path);

    if (r == 0)
        r = wsock_endpoint_serve_rooms(endpoint, &hooks, NULL, NULL);
    wsock_endpoint_unref(endpoint);
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
        r = serve(server, "/rooms");
    if (r == 0)
        r = serve(server, "/rooms/{room}");
    if (r == 0)
        r = wsock_server_room_defaults(server, "news", "history_messages", "100");
    if (r == 0)
        r = wsock_server_listen(server, argc > 1 ? argv[1] : "ws://127.0.0.1:8080");
    if (r == 0 && wsock_server_url(server, url, sizeof url, 0) > 0) {
        printf("listening on %s\n", url);
        fflush(stdout);
        r = wsock_runtime_run(runtime, WSOCK_RUN_SIGNALS);
    }
    if (r < 0)
        fprintf(stderr, "rooms: %s\n", wsock_strerror(r));
    wsock_server_free(server);
    wsock_runtime_free(runtime);
    return r < 0;
}
