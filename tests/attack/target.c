/* SPDX-License-Identifier: MIT */
/*
 * What the attacks are made on: target server|client [NAME=VALUE...], an end of
 * connections with the library's defaults, or with the options given, that echoes. All of
 * it runs on one worker, so that a peer which hurts another is noticed. Its standard
 * input and output are the control channel of the runner (target.py):
 *
 *     connect URL [SUBPROTOCOL]   a client's; answers "= ID"
 *     sending COUNT               the next connections send that many empty messages
 *     mark                        the peak of the heap begins anew
 *     heap                        both answer "= LIVE PEAK", in bytes
 *     settle LIMIT MS             waits until the heap is that small; answers as heap
 *     stop                        ends it
 *
 * Events come by themselves, with tabs between their parts: "open ID", "close ID CAUSE
 * CODE MESSAGES REASON DETAIL", "text COUNT TEXT" for a short text, the COUNTth message
 * of all that were delivered, and "log SUBJECT TEXT". A server begins with "= URL".
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/wsock.h>

#include "heap.h"

static wsock_runtime *runtime;
static char **options; /* NAME=VALUE */
static unsigned sending;
static unsigned delivered; /* messages of all connections; on the worker */

/* Of one connection. */
struct seen {
    unsigned messages;
    unsigned to_send;
};

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* One line, whole, whichever thread says it. */
static void say(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    flockfile(stdout);
    vprintf(fmt, args);
    putchar('\n');
    fflush(stdout);
    funlockfile(stdout);
    va_end(args);
}

static void give_up(const char *what, const char *why)
{
    fprintf(stderr, "target: %s: %s\n", what, why);
    exit(2);
}

/* ---- handlers ---- */

static void send_empty(wsock_conn *conn, struct seen *seen)
{
    while (seen->to_send > 0 && wsock_conn_send(conn, WSOCK_BINARY, "", 0) == 0)
        seen->to_send--;
}

static void on_open(wsock_conn *conn, void *user)
{
    struct seen *seen = calloc(1, sizeof *seen);

    (void)user;
    if (seen == NULL)
        give_up("open", "no memory");
    seen->to_send = sending;
    wsock_conn_set_user(conn, seen, free);
    say("open\t%" PRIu64, wsock_conn_id(conn));
    send_empty(conn, seen);
}

static void on_drain(wsock_conn *conn, void *user)
{
    (void)user;
    send_empty(conn, wsock_conn_get_user(conn));
}

/* A peer chooses the text: it must not look like the end of a line. */
static const char *printable(const char *text, char out[256])
{
    size_t i = 0;

    for (; text[i] != '\0' && i < 255; i++)
        out[i] = (unsigned char)text[i] < 0x20 ? '?' : text[i];
    out[i] = '\0';
    return out;
}

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    struct seen *seen = wsock_conn_get_user(conn);
    char text[64], line[256];

    (void)user;
    seen->messages++;
    delivered++;
    if (type == WSOCK_TEXT && len < sizeof text) {
        memcpy(text, data, len);
        text[len] = '\0';
        say("text\t%u\t%s", delivered, printable(text, line));
    }
    wsock_conn_send(conn, type, data, len);
}

static const char *cause_name(int cause)
{
    switch (cause) {
#define CAUSE_CASE(name, value, text) \
    case (value):                     \
        return #name;
        WSOCK_CAUSE_MAP(CAUSE_CASE)
#undef CAUSE_CASE
    default:
        return "?";
    }
}

static void on_close(wsock_conn *conn, const wsock_close_info *info, void *user)
{
    const struct seen *seen = wsock_conn_get_user(conn);
    char reason[256], detail[256];

    (void)user;
    say("close\t%" PRIu64 "\t%s\t%d\t%u\t%s\t%s", wsock_conn_id(conn),
        cause_name(info->cause), (int)info->code, seen != NULL ? seen->messages : 0,
        printable(info->reason, reason), printable(info->detail, detail));
}

static void on_log(int level, const char *subject, const char *text, void *user)
{
    char line[256];

    (void)level;
    (void)user;
    say("log\t%s\t%s", subject, printable(text, line));
}

/* ---- the two roles ---- */

static int set_on_server(void *object, const char *name, const char *value)
{
    return wsock_server_set(object, name, value);
}

static int set_on_client(void *object, const char *name, const char *value)
{
    return wsock_client_set(object, name, value);
}

static void set_options(void *object, int (*set)(void *, const char *, const char *))
{
    for (char **option = options; *option != NULL; option++) {
        char name[64];
        const size_t len = strcspn(*option, "=");
        int r = WSOCK_EINVAL;

        if ((*option)[len] == '=' && len < sizeof name) {
            memcpy(name, *option, len);
            name[len] = '\0';
            r = set(object, name, *option + len + 1);
        }
        if (r < 0)
            give_up(*option, wsock_strerror(r));
    }
}

static void must(int r, const char *what)
{
    if (r < 0)
        give_up(what, wsock_strerror(r));
}

static wsock_server *listen_as_server(void)
{
    wsock_server *server = NULL;
    wsock_endpoint *echo = NULL;
    char url[128];

    must(wsock_server_new(runtime, &server), "server");
    set_options(server, set_on_server);
    must(wsock_server_endpoint(server, &echo, "/"), "endpoint");
    must(wsock_endpoint_on_open(echo, on_open, NULL, NULL), "on_open");
    must(wsock_endpoint_on_message(echo, on_message, NULL, NULL), "on_message");
    must(wsock_endpoint_on_close(echo, on_close, NULL, NULL), "on_close");
    wsock_endpoint_unref(echo);
    must(wsock_server_listen(server, "ws://127.0.0.1:0"), "listen");
    must(wsock_server_url(server, url, sizeof url, 0), "url");
    say("= %s", url);
    return server;
}

static void connect_as_client(const char *arguments)
{
    wsock_client *client = NULL;
    wsock_conn *conn = NULL;
    char url[256], protocol[256];
    const int given = sscanf(arguments, "%255s %255s", url, protocol);

    must(wsock_runtime_client(runtime, &client, given >= 1 ? url : ""), "client");
    set_options(client, set_on_client);
    must(wsock_client_on_open(client, on_open, NULL, NULL), "on_open");
    must(wsock_client_on_message(client, on_message, NULL, NULL), "on_message");
    must(wsock_client_on_drain(client, on_drain, NULL, NULL), "on_drain");
    must(wsock_client_on_close(client, on_close, NULL, NULL), "on_close");
    if (given == 2)
        must(wsock_client_add_subprotocol(client, protocol), "subprotocol");
    must(wsock_client_connect(client, &conn), "connect");
    say("= %" PRIu64, wsock_conn_id(conn));
    wsock_conn_unref(conn);
    wsock_client_unref(client);
}

/* ---- the control channel ---- */

static void tell_heap(struct heap_figures figures)
{
    say("= %zu %zu", figures.live, figures.peak);
}

static void obey(char *line)
{
    size_t limit;
    unsigned ms;

    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "connect ", 8) == 0) {
        connect_as_client(line + 8);
    } else if (sscanf(line, "sending %u", &sending) == 1) {
        say("= %u", sending);
    } else if (strcmp(line, "mark") == 0) {
        tell_heap(heap_mark());
    } else if (strcmp(line, "heap") == 0) {
        tell_heap(heap_figures());
    } else if (sscanf(line, "settle %zu %u", &limit, &ms) == 2) {
        heap_settles(limit, ms);
        tell_heap(heap_figures());
    } else {
        give_up(line, "no such command");
    }
}

int main(int argc, char **argv)
{
    wsock_server *server = NULL;
    char line[1024];

    if (argc < 2)
        give_up("usage", "target server|client [NAME=VALUE...]");
    options = argv + 2;
    heap_count();
    must(wsock_runtime_new(&runtime), "runtime");
    must(wsock_runtime_set(runtime, "workers", "1"), "workers");
    must(wsock_runtime_set(runtime, "log_level", "4"), "log_level");
    must(wsock_runtime_on_log(runtime, on_log, NULL, NULL), "on_log");
    if (strcmp(argv[1], "server") == 0)
        server = listen_as_server();
    while (fgets(line, sizeof line, stdin) != NULL && strcmp(line, "stop\n") != 0)
        obey(line);
    wsock_server_free(server);
    must(wsock_runtime_free(runtime), "the end");
    if (heap_figures().live != 0)
        give_up("the end", "the library kept memory");
    say("= ended");
    return 0;
}
