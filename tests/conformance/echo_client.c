/* SPDX-License-Identifier: MIT */
/*
 * The client that the conformance suite tests: echo_client URL [NAME=VALUE...]. Asks the
 * suite's server for the number of cases, runs one after the other, echoing, and has it
 * write its report. How a case's connection ends is for the report to judge; that it
 * opened is checked here. The limits that the suite exceeds on purpose are off; further
 * options of the client come from the arguments.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/wsock.h>

/* What is asked of the suite's server: first the number, then the cases, then the report.
 */
struct run {
    wsock_runtime *runtime;
    const char *url;
    char **options; /* NAME=VALUE */
    int step;       /* 0: the number; 1 to cases: a case; cases + 1: the report */
    int cases;
    int finished;
};

static int start_step(struct run *run);

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    struct run *run = user;

    if (run->step == 0) {
        char number[16];

        snprintf(number, sizeof number, "%.*s", (int)len, (const char *)data);
        run->cases = atoi(number);
        return;
    }
    int r = wsock_conn_send(conn, type, data, len);
    if (r < 0 && r != WSOCK_ECLOSED) {
        fprintf(stderr, "echo_client: case %d: no echo of %zu bytes: %s\n", run->step,
                len, wsock_strerror(r));
        wsock_conn_reset(conn);
    }
}

static void on_close(wsock_conn *conn, const wsock_close_info *info, void *user)
{
    struct run *run = user;
    int r;

    (void)conn;
    if (!info->opened || run->cases == 0) {
        fprintf(stderr, "echo_client: step %d of %d: %s\n", run->step, run->cases + 1,
                info->detail);
        wsock_runtime_stop(run->runtime);
        return;
    }
    if (run->step > run->cases) {
        run->finished = 1;
        wsock_runtime_stop(run->runtime);
        return;
    }
    run->step++;
    /* Once this succeeds, run belongs to the worker of the next connection. */
    r = start_step(run);
    if (r < 0) {
        fprintf(stderr, "echo_client: %s: %s\n", wsock_strerror(r),
                wsock_runtime_error(run->runtime));
        wsock_runtime_stop(run->runtime);
    }
}

static int set_options(wsock_client *client, char **options)
{
    int r = wsock_client_set(client, "max_message_bytes", "64MiB");

    if (r == 0)
        r = wsock_client_set(client, "max_fragments", "off");
    if (r == 0)
        r = wsock_client_set(client, "ping_interval", "off");
    if (r == 0) /* an echo never meets WSOCK_EAGAIN with it */
        r = wsock_client_set(client, "pause_read_when_backlogged", "on");
    for (; r == 0 && *options != NULL; options++) {
        char name[64];
        size_t len = strcspn(*options, "=");

        if ((*options)[len] == '\0' || len >= sizeof name)
            return WSOCK_EINVAL;
        memcpy(name, *options, len);
        name[len] = '\0';
        r = wsock_client_set(client, name, *options + len + 1);
    }
    if (r < 0)
        fprintf(stderr, "echo_client: %s\n", wsock_client_error(client));
    return r;
}

static int start_step(struct run *run)
{
    wsock_client *client = NULL;
    char url[256];

    if (run->step == 0)
        snprintf(url, sizeof url, "%s/getCaseCount", run->url);
    else if (run->step <= run->cases)
        snprintf(url, sizeof url, "%s/runCase?case=%d&agent=libwsock", run->url,
                 run->step);
    else
        snprintf(url, sizeof url, "%s/updateReports?agent=libwsock", run->url);

    int r = wsock_runtime_client(run->runtime, &client, url);
    if (r == 0)
        r = set_options(client, run->options);
    if (r == 0)
        r = wsock_client_on_message(client, on_message, run, NULL);
    if (r == 0)
        r = wsock_client_on_close(client, on_close, run, NULL);
    if (r == 0)
        r = wsock_client_connect(client, NULL);
    wsock_client_unref(client);
    return r;
}

int main(int argc, char **argv)
{
    struct run run = {0};

    if (argc < 2) {
        fprintf(stderr, "usage: echo_client URL [NAME=VALUE...]\n");
        return 2;
    }
    run.url = argv[1];
    run.options = argv + 2;
    int r = wsock_runtime_new(&run.runtime);
    if (r == 0)
        r = start_step(&run);
    if (r == 0)
        r = wsock_runtime_run(run.runtime, WSOCK_RUN_SIGNALS);
    if (r < 0)
        fprintf(stderr, "echo_client: %s: %s\n", wsock_strerror(r),
                wsock_runtime_error(run.runtime));
    wsock_runtime_free(run.runtime);
    return r < 0 || !run.finished;
}
