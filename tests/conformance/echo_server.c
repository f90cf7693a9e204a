/* SPDX-License-Identifier: MIT */
/*
 * The server that the conformance suite tests: echo_server [NAME=VALUE...]. Echoes at the
 * path /, listens on a free port and prints its URL. The limits that the suite exceeds on
 * purpose are off; further options of the server come from the arguments.
 */
#include <stdio.h>
#include <string.h>

#include <wsock/wsock.h>

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    int r = wsock_conn_send(conn, type, data, len);

    (void)user;
    if (r < 0 && r != WSOCK_ECLOSED) {
        fprintf(stderr, "echo_server: no echo of %zu bytes: %s\n", len,
                wsock_strerror(r));
        wsock_conn_reset(conn);
    }
}

static int set_options(wsock_server *server, char **arguments)
{
    int r = wsock_server_set(server, "max_message_bytes", "64MiB");

    if (r == 0)
        r = wsock_server_set(server, "max_fragments", "off");
    if (r == 0)
        r = wsock_server_set(server, "ping_interval", "off");
    for (; r == 0 && *arguments != NULL; arguments++) {
        char *value = strchr(*arguments, '=');

        if (value == NULL)
            return WSOCK_EINVAL;
        *value++ = '\0';
        r = wsock_server_set(server, *arguments, value);
    }
    return r;
}

static int start(wsock_server *server)
{
    wsock_endpoint *echo = NULL;
    char url[128];
    int r = wsock_server_endpoint(server, &echo, "/");

    if (r == 0)
        r = wsock_endpoint_on_message(echo, on_message, NULL, NULL);
    if (r == 0)
        r = wsock_server_listen(server, "ws://127.0.0.1:0");
    if (r == 0)
        r = wsock_server_url(server, url, sizeof url, 0);
    if (r >= 0) {
        printf("listening on %s\n", url);
        fflush(stdout);
    }
    wsock_endpoint_unref(echo);
    return r < 0 ? r : 0;
}

int main(int argc, char **argv)
{
    wsock_runtime *runtime = NULL;
    wsock_server *server = NULL;
    int r = wsock_runtime_new(&runtime);

    (void)argc;
    if (r == 0)
        r = wsock_server_new(runtime, &server);
    if (r == 0)
        r = set_options(server, argv + 1);
    if (r == 0)
        r = start(server);
    if (r == 0)
        r = wsock_runtime_run(runtime, WSOCK_RUN_SIGNALS);
    if (r < 0)
        fprintf(stderr, "echo_server: %s (%s)\n", wsock_server_error(server),
                wsock_strerror(r));
    wsock_server_free(server);
    wsock_runtime_free(runtime);
    return r < 0;
}
