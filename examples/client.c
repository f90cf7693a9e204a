/* SPDX-License-Identifier: MIT */
/*
 * A client: client URL [TEXT...]. Sends each text as a message, prints as many answers,
 * and closes. Exit status: 0 after a clean close, 1 for any other end, 2 for wrong usage.
 */
#include <stdio.h>
#include <string.h>

#include <wsock/wsock.h>

struct talk {
    wsock_runtime *runtime;
    char **texts;
    int count;
    int answered;
    int status;
};

static void on_open(wsock_conn *conn, void *user)
{
    struct talk *talk = user;
    int r = 0;

    for (int i = 0; i < talk->count && r == 0; i++)
        r = wsock_conn_send(conn, WSOCK_TEXT, talk->texts[i], strlen(talk->texts[i]));
    if (r < 0) {
        fprintf(stderr, "client: %s\n", wsock_strerror(r));
        wsock_conn_reset(conn);
    } else if (talk->count == 0) {
        wsock_conn_close(conn, 1000, NULL);
    }
}

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    struct talk *talk = user;

    if (type == WSOCK_TEXT)
        printf("%.*s\n", (int)len, (const char *)data);
    else
        printf("(%zu bytes)\n", len);
    if (++talk->answered == talk->count)
        wsock_conn_close(conn, 1000, NULL);
}

static void on_close(wsock_conn *conn, const wsock_close_info *info, void *user)
{
    struct talk *talk = user;

    (void)conn;
    talk->status = info->cause != WSOCK_CAUSE_CLOSED || info->code != 1000;
    if (talk->status != 0)
        fprintf(stderr, "client: %s (%d%s%s)\n", info->detail, (int)info->code,
                *info->reason != '\0' ? " " : "", info->reason);
    wsock_runtime_stop(talk->runtime);
}

int main(int argc, char **argv)
{
    struct talk talk = {.texts = argv + 2, .count = argc - 2};
    wsock_client *client = NULL;

    if (argc < 2) {
        fprintf(stderr, "usage: client URL [TEXT...]\n");
        return 2;
    }
    int r = wsock_runtime_new(&talk.runtime);
    if (r == 0)
        r = wsock_runtime_client(talk.runtime, &client, argv[1]);
    if (r == 0)
        r = wsock_client_on_open(client, on_open, &talk, NULL);
    if (r == 0)
        r = wsock_client_on_message(client, on_message, &talk, NULL);
    if (r == 0)
        r = wsock_client_on_close(client, on_close, &talk, NULL);
    if (r == 0)
        r = wsock_client_connect(client, NULL);
    if (r == 0)
        r = wsock_runtime_run(talk.runtime, WSOCK_RUN_SIGNALS);
    if (r < 0)
        fprintf(stderr, "client: %s: %s\n", wsock_strerror(r),
                wsock_runtime_error(talk.runtime));
    wsock_client_unref(client);
    wsock_runtime_free(talk.runtime);
    return r < 0 || talk.status != 0;
}
