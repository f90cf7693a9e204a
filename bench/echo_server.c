/* SPDX-License-Identifier: MIT */
/*
 * The echo server that the benchmarks measure: the example of wsock.h, nothing tuned.
 * With --control it also counts the library's live heap through its allocator hook and
 * obeys standard input: each line is answered with "connections N heap BYTES", and the
 * end of input stops it. Counting costs time, so only bench/memory asks for it.
 */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/wsock.h>

#include "heap.h"

#define SETTINGS_MAX 16

struct options {
    const char *settings[SETTINGS_MAX]; /* NAME=VALUE */
    size_t setting_count;
    const char *workers;
    const char *url;
    const char *listeners; /* value of the option reuse_port */
    bool handlers;
    bool control;
    bool queue;
};

static wsock_queue *host;

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    (void)user;
    wsock_conn_send(conn, type, data, len);
}

/* Applications have these two; what they cost a connection belongs to the figure. */
static void on_open(wsock_conn *conn, void *user)
{
    (void)conn;
    (void)user;
}

static void on_close(wsock_conn *conn, const wsock_close_info *info, void *user)
{
    (void)conn;
    (void)info;
    (void)user;
}

static int apply_settings(wsock_server *server, const struct options *o)
{
    int r = wsock_server_set(server, "reuse_port", o->listeners);

    for (size_t i = 0; r == 0 && i < o->setting_count; i++) {
        char name[64];
        const size_t len = strcspn(o->settings[i], "=");

        if (len >= sizeof name || o->settings[i][len] == '\0')
            return WSOCK_EINVAL;
        memcpy(name, o->settings[i], len);
        name[len] = '\0';
        r = wsock_server_set(server, name, o->settings[i] + len + 1);
    }
    return r;
}

/* At the path /room all are members of one room, and hear what any of them says. */
static void on_join(wsock_conn *conn, void *user)
{
    wsock_room_join(user, conn);
}

static void on_said(wsock_conn *conn, int type, const void *data, size_t len, void *user)
{
    (void)conn;
    wsock_room_broadcast(user, type, data, len);
}

static void leave_room(void *user)
{
    wsock_room_unref(user);
}

static int open_room(wsock_server *server)
{
    wsock_endpoint *members = NULL;
    wsock_room *room = NULL;
    int r = wsock_server_room(server, &room, "all");

    if (r == 0)
        r = wsock_server_endpoint(server, &members, "/room");
    if (r == 0)
        r = wsock_endpoint_on_open(members, on_join, room, NULL);
    if (r == 0)
        r = wsock_endpoint_on_message(members, on_said, wsock_room_ref(room), leave_room);
    wsock_endpoint_unref(members);
    wsock_room_unref(room);
    return r;
}

/* At /rooms clients speak rooms.v1, if the build knows it. */
static int serve_rooms(wsock_server *server)
{
    wsock_endpoint *rooms = NULL;
    int r = wsock_server_endpoint(server, &rooms, "/rooms");

    if (r == 0)
        r = wsock_endpoint_serve_rooms(rooms, NULL, NULL, NULL);
    wsock_endpoint_unref(rooms);
    return r == WSOCK_ENOTSUP ? 0 : r;
}

static int start(wsock_server *server, const struct options *o)
{
    wsock_endpoint *echo = NULL;
    int r = wsock_server_endpoint(server, &echo, "/echo");

    if (r == 0)
        r = wsock_endpoint_on_message(echo, on_message, NULL, NULL);
    if (r == 0 && o->handlers)
        r = wsock_endpoint_on_open(echo, on_open, NULL, NULL);
    if (r == 0 && o->handlers)
        r = wsock_endpoint_on_close(echo, on_close, NULL, NULL);
    if (r == 0)
        r = open_room(server);
    if (r == 0)
        r = serve_rooms(server);
    if (r == 0)
        r = wsock_server_listen(server, o->url);
    wsock_endpoint_unref(echo);
    return r;
}

static void obey(wsock_runtime *runtime, wsock_server *server)
{
    char line[64];

    while (fgets(line, sizeof line, stdin) != NULL) {
        printf("connections %zu heap %zu\n", wsock_server_conn_count(server),
               heap_bytes());
        fflush(stdout);
    }
    wsock_runtime_stop(runtime);
}

/* The main thread, which waits in wsock_runtime_run(), dispatches. */
static int use_queue(wsock_runtime *runtime, wsock_server *server)
{
    wsock_queue *queue = NULL;
    int r = wsock_runtime_queue(runtime, &queue);

    if (r == 0)
        r = wsock_server_set_queue(server, queue);
    host = queue;
    return r;
}

static int serve(wsock_runtime *runtime, const struct options *o)
{
    wsock_server *server = NULL;
    int r = wsock_server_new(runtime, &server);

    if (r == 0 && o->queue)
        r = use_queue(runtime, server);
    if (r == 0)
        r = apply_settings(server, o);
    if (r == 0)
        r = start(server, o);
    if (r == 0) {
        puts("ready");
        fflush(stdout);
        if (o->control)
            obey(runtime, server);
        r = wsock_runtime_run(runtime, o->control ? 0 : WSOCK_RUN_SIGNALS);
    }
    if (r < 0)
        fprintf(stderr, "echo_server: %s (%s)\n", wsock_server_error(server),
                wsock_strerror(r));
    wsock_server_free(server);
    return r;
}

static const char usage[] =
    "usage: echo_server [options] URL\n"
    "  --workers N  worker threads (1)\n"
    "  --set NAME=VALUE  an option of the server; as often as needed\n"
    "  --reuse-port a listening socket for each worker\n"
    "  --handlers   register on_open and on_close as well\n"
    "  --queue      run the handlers on the main thread, from a queue\n"
    "  --control    count the heap and obey standard input\n"
    "Echoes at the path /echo, broadcasts at /room, speaks rooms.v1 at /rooms, and\n"
    "prints \"ready\" once it listens.\n";

static void parse(struct options *o, int argc, char **argv)
{
    static const struct option table[] = {
        {"workers", required_argument, NULL, 'w'},
        {"reuse-port", no_argument, NULL, 'r'},
        {"handlers", no_argument, NULL, 'm'},
        {"control", no_argument, NULL, 'c'},
        {"queue", no_argument, NULL, 'q'},
        {"set", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int opt;

    while ((opt = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (opt == 'w')
            o->workers = optarg;
        else if (opt == 's' && o->setting_count < SETTINGS_MAX)
            o->settings[o->setting_count++] = optarg;
        else if (opt == 'r')
            o->listeners = "true";
        else if (opt == 'm')
            o->handlers = true;
        else if (opt == 'c')
            o->control = true;
        else if (opt == 'q')
            o->queue = true;
        else {
            fputs(usage, opt == 'h' ? stdout : stderr);
            exit(opt == 'h' ? 0 : 2);
        }
    }
    if (optind != argc - 1) {
        fputs(usage, stderr);
        exit(2);
    }
    o->url = argv[optind];
}

int main(int argc, char **argv)
{
    struct options options = {.workers = "1", .listeners = "false"};
    wsock_runtime *runtime = NULL;
    int r;

    parse(&options, argc, argv);
    r = options.control ? heap_count() : 0;
    if (r == 0)
        r = wsock_runtime_new(&runtime);
    if (r == 0)
        r = wsock_runtime_set(runtime, "workers", options.workers);
    if (r < 0)
        fprintf(stderr, "echo_server: %s\n", wsock_runtime_error(runtime));
    else
        r = serve(runtime, &options);
    wsock_runtime_free(runtime);
    wsock_queue_unref(host);
    return r < 0;
}
