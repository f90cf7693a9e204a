/* SPDX-License-Identifier: MIT */
/*
 * libwsock as the server for the clients of the other languages: interop_server
 * [NAME=VALUE...], which are options of the server. /echo answers every message with
 * itself, /ping sends a ping and then says what the pong held, /close closes. Prints its
 * URL, then for each connection what was agreed on and its close; ends with its standard
 * input.
 */
#include <stdio.h>
#include <string.h>

#include <wsock/wsock.h>

static void echo(wsock_conn *conn, int type, const void *data, size_t len, void *user)
{
    (void)user;
    if (wsock_conn_send(conn, type, data, len) < 0)
        wsock_conn_reset(conn);
}

static void print_agreed(wsock_conn *conn, void *user)
{
    char extensions[160] = "";

    (void)user;
    wsock_conn_extensions(conn, extensions, sizeof extensions);
    printf("agreed %s\n", extensions);
}

static void ping(wsock_conn *conn, void *user)
{
    print_agreed(conn, user);
    wsock_conn_send_ping(conn, "libwsock", 8);
}

static void say_pong(wsock_conn *conn, const void *data, size_t len, void *user)
{
    char text[160];
    int n = snprintf(text, sizeof text, "pong %.*s", (int)len, (const char *)data);

    (void)user;
    wsock_conn_send(conn, WSOCK_TEXT, text, (size_t)n);
}

static void close_it(wsock_conn *conn, void *user)
{
    print_agreed(conn, user);
    wsock_conn_close(conn, 4001, "asked");
}

static void print_close(wsock_conn *conn, const wsock_close_info *info, void *user)
{
    (void)conn;
    (void)user;
    printf("close %d %s\n", (int)info->code, info->reason);
}

static int add_endpoint(wsock_server *server, const char *path, wsock_open_fn on_open)
{
    wsock_endpoint *endpoint = NULL;
    int r = wsock_server_endpoint(server, &endpoint, path);

    if (r == 0)
        r = wsock_endpoint_on_open(endpoint, on_open, NULL, NULL);
    if (r == 0)
        r = wsock_endpoint_on_message(endpoint, echo, NULL, NULL);
    if (r == 0)
        r = wsock_endpoint_on_pong(endpoint, say_pong, NULL, NULL);
    if (r == 0)
        r = wsock_endpoint_on_close(endpoint, print_close, NULL, NULL);
    wsock_endpoint_unref(endpoint);
    return r;
}

static int set_option(wsock_server *server, const char *option)
{
    char name[64];
    const size_t len = strcspn(option, "=");

    if (option[len] == '\0' || len >= sizeof name)
        return WSOCK_EINVAL;
    memcpy(name, option, len);
    name[len] = '\0';
    return wsock_server_set(server, name, option + len + 1);
}

static int set_up(wsock_runtime *runtime, wsock_server **server, char **options)
{
    const char *url = "ws://127.0.0.1:0";
    int r = wsock_server_new(runtime, server);

    for (; r == 0 && *options != NULL; options++) {
        if (strncmp(*options, "wss:", 4) == 0)
            url = *options;
        else
            r = set_option(*server, *options);
    }
    if (r == 0)
        r = add_endpoint(*server, "/echo", print_agreed);
    if (r == 0)
        r = add_endpoint(*server, "/ping", ping);
    if (r == 0)
        r = add_endpoint(*server, "/close", close_it);
    if (r == 0)
        r = wsock_server_listen(*server, url);
    return r;
}

int main(int argc, char **argv)
{
    wsock_runtime *runtime = NULL;
    wsock_server *server = NULL;
    char url[256];
    int r = wsock_runtime_new(&runtime);

    (void)argc;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (r == 0)
        r = set_up(runtime, &server, argv + 1);
    if (r == 0)
        r = wsock_server_url(server, url, sizeof url, 0);
    if (r < 0) {
        fprintf(stderr, "interop_server: %s: %s\n", wsock_strerror(r),
                wsock_server_error(server));
    } else {
        puts(url);
        while (getchar() != EOF)
            ;
    }
    wsock_server_free(server);
    wsock_runtime_free(runtime);
    return r < 0;
}
