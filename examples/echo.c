/* SPDX-License-Identifier: MIT */
/* An echo server: echo [URL]. What comes to /echo goes back; Ctrl-C ends it. */
#include <stdio.h>

#include <wsock/wsock.h>

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    (void)user;
    wsock_conn_send(conn, type, data, len);
}

int main(int argc, char **argv)
{
    wsock_runtime *runtime = NULL;
    wsock_server *server = NULL;
    wsock_endpoint *echo = NULL;
    char url[256];
    int r = wsock_runtime_new(&runtime);

    if (r == 0)
        r = wsock_server_new(runtime, &server);
    if (r == 0)
        r = wsock_server_endpoint(server, &echo, "/echo");
    if (r == 0)
        r = wsock_endpoint_on_message(echo, on_message, NULL, NULL);
    if (r == 0)
        r = wsock_server_listen(server, argc > 1 ? argv[1] : "ws://127.0.0.1:8080");
    if (r == 0 && wsock_server_url(server, url, sizeof url, 0) > 0) {
        printf("listening on %s\n", url);
        fflush(stdout);
        r = wsock_runtime_run(runtime, WSOCK_RUN_SIGNALS);
    }
    if (r < 0)
        fprintf(stderr, "echo: %s\n", wsock_server_error(server));
    wsock_endpoint_unref(echo);
    wsock_server_free(server);
    wsock_runtime_free(runtime);
    return r < 0;
}
