/* SPDX-License-Identifier: MIT */
/*
 * A client that comes back: steady URL COUNT. Sends the numbers from 1 to COUNT to an
 * echo and takes each that comes back as acknowledged. When the connection breaks, the
 * library connects again, and what was not acknowledged is sent again: so each number
 * arrives, and some may twice, which a server can tell by the number. Exit status: 0 when
 * all were acknowledged, 1 when it had to give up, 2 for wrong usage.
 *
 * All handlers of the client run on one worker, so what they share needs no lock.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/wsock.h>

enum { UNDER_WAY_MAX = 16 }; /* numbers that were sent and not acknowledged yet */

struct steady {
    wsock_runtime *runtime;
    wsock_client *client;
    int count, sent, acknowledged;
};

static void send_more(struct steady *s, wsock_conn *conn)
{
    while (s->sent < s->count && s->sent < s->acknowledged + UNDER_WAY_MAX) {
        char number[16];
        const int len = snprintf(number, sizeof number, "%d", s->sent + 1);

        if (wsock_conn_send(conn, WSOCK_TEXT, number, (size_t)len) < 0)
            return; /* on_drain or on_open follows */
        s->sent++;
    }
}

static void on_open(wsock_conn *conn, void *user)
{
    struct steady *s = user;

    s->sent = s->acknowledged; /* what was under way may be lost */
    send_more(s, conn);
}

static void on_drain(wsock_conn *conn, void *user)
{
    send_more(user, conn);
}

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    struct steady *s = user;
    char number[16] = "";

    (void)type;
    memcpy(number, data, len < sizeof number ? len : sizeof number - 1);
    if (atoi(number) != s->acknowledged + 1)
        return;
    if (++s->acknowledged == s->count)
        wsock_client_stop(s->client, 1000, NULL);
    else
        send_more(s, conn);
}

static void on_state(wsock_client *client, const wsock_state_info *info, void *user)
{
    struct steady *s = user;

    (void)client;
    if (info->state == WSOCK_STATE_WAITING)
        fprintf(stderr, "steady: %s; connecting again in %" PRId64 " ms\n",
                info->why->detail, info->delay_ms);
    if (info->state == WSOCK_STATE_CLOSED) {
        if (s->acknowledged < s->count)
            fprintf(stderr, "steady: %s\n", info->why->detail);
        wsock_runtime_stop(s->runtime);
    }
}

int main(int argc, char **argv)
{
    struct steady s = {.count = argc == 3 ? atoi(argv[2]) : 0};

    if (s.count <= 0) {
        fprintf(stderr, "usage: steady URL COUNT\n");
        return 2;
    }
    int r = wsock_runtime_new(&s.runtime);
    if (r == 0)
        r = wsock_runtime_client(s.runtime, &s.client, argv[1]);
    if (r == 0)
        r = wsock_client_set(s.client, "reconnect_attempts", "20");
    if (r == 0)
        r = wsock_client_on_open(s.client, on_open, &s, NULL);
    if (r == 0)
        r = wsock_client_on_message(s.client, on_message, &s, NULL);
    if (r == 0)
        r = wsock_client_on_drain(s.client, on_drain, &s, NULL);
    if (r == 0)
        r = wsock_client_on_state(s.client, on_state, &s, NULL);
    if (r == 0)
        r = wsock_client_start(s.client);
    if (r == 0)
        r = wsock_runtime_run(s.runtime, WSOCK_RUN_SIGNALS);
    if (r < 0)
        fprintf(stderr, "steady: %s: %s\n", wsock_strerror(r),
                wsock_runtime_error(s.runtime));
    wsock_client_unref(s.client);
    wsock_runtime_free(s.runtime);
    return r < 0 || s.acknowledged < s.count;
}
