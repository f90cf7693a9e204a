/* SPDX-License-Identifier: MIT */
/* A test of handlers, without ports and waiting: an echo answers, and whoever falls
 * silent is given up in time. Prints "ok", or says what went wrong. */
#include <stdio.h>
#include <string.h>

#include <wsock/wsock.h>

/* ---- what is tested: as in any server ---- */

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    (void)user;
    wsock_conn_send(conn, type, data, len);
}

static void on_close(wsock_conn *conn, const wsock_close_info *info, void *user)
{
    (void)conn;
    *(int *)user = info->cause;
}

static int serve(wsock_runtime *runtime, wsock_server **server, const char *url,
                 int *cause)
{
    wsock_endpoint *echo = NULL;
    int r = wsock_server_new(runtime, server);

    if (r == 0)
        r = wsock_server_endpoint(*server, &echo, "/echo");
    if (r == 0)
        r = wsock_endpoint_on_message(echo, on_message, NULL, NULL);
    if (r == 0)
        r = wsock_endpoint_on_close(echo, on_close, cause, NULL);
    if (r == 0)
        r = wsock_endpoint_set(echo, "ping_interval", "20s");
    if (r == 0)
        r = wsock_endpoint_set(echo, "pong_timeout", "5s");
    if (r == 0)
        r = wsock_server_listen(*server, url);
    wsock_endpoint_unref(echo);
    return r;
}

/* ---- the test ---- */

static void on_answer(wsock_conn *conn, int type, const void *data, size_t len,
                      void *user)
{
    (void)conn, (void)type;
    snprintf(user, 16, "%.*s", (int)len, (const char *)data);
}

static const char *test(wsock_runtime *runtime, wsock_client *client, const int *cause)
{
    wsock_conn *conn = NULL;
    const char *wrong = NULL;
    char heard[16] = "";

    wsock_client_on_message(client, on_answer, heard, NULL);
    if (wsock_client_connect(client, &conn) < 0)
        return "it cannot connect";
    wsock_testing_run(runtime); /* all that there is to do now */
    wsock_conn_send(conn, WSOCK_TEXT, "hello", 5);
    wsock_testing_run(runtime);
    if (strcmp(heard, "hello") != 0)
        wrong = "it is not echoed";
    wsock_testing_conn_hold(conn, 1); /* nothing of what it sends arrives */
    wsock_testing_advance(runtime, 24999);
    if (wrong == NULL && *cause != -1)
        wrong = "it is given up too early";
    wsock_testing_advance(runtime, 1);
    if (wrong == NULL && *cause != WSOCK_CAUSE_PONG_TIMEOUT)
        wrong = "it is not given up";
    wsock_client_on_message(client, NULL, NULL, NULL);
    wsock_conn_unref(conn);
    return wrong;
}

int main(void)
{
    wsock_runtime *runtime = NULL;
    wsock_server *server = NULL;
    wsock_client *client = NULL;
    const char *wrong = "it cannot begin";
    int cause = -1;

    if (wsock_testing_new(&runtime, 1) == 0 &&
        serve(runtime, &server, "ws://chat", &cause) == 0 &&
        wsock_runtime_client(runtime, &client, "ws://chat/echo") == 0)
        wrong = test(runtime, client, &cause);
    wsock_client_unref(client);
    wsock_server_free(server);
    wsock_runtime_free(runtime);
    puts(wrong != NULL ? wrong : "ok");
    return wrong != NULL;
}
