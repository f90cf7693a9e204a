/* SPDX-License-Identifier: MIT */
/*
 * Prices for any number of subscribers: ticker [URL]. Who connects to /ticker hears
 * "SYMBOL PRICE", 10 times a second for each symbol; every line is encoded once, however
 * many hear it. "count" is answered by how many those are.
 *
 * Who cannot follow misses prices: what waits for it is the newest of each symbol.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/wsock.h>

enum { SYMBOLS = 3, EVERY_MS = 100 };

struct ticker {
    wsock_room *room;
    int cents[SYMBOLS]; /* the timer's alone */
};

static const char *const symbols[SYMBOLS] = {"ABC", "KLM", "XYZ"};

static void tick(wsock_timer *timer, uint64_t missed, void *user)
{
    struct ticker *ticker = user;

    (void)timer;
    (void)missed;
    for (int i = 0; i < SYMBOLS; i++) {
        char line[64];
        wsock_publish price = {
            .size = sizeof price, .type = WSOCK_TEXT, .data = line, .key = symbols[i]};

        /* NOLINTNEXTLINE(cert-msc30-c,cert-msc50-cpp): made up as they are */
        ticker->cents[i] += rand() % 101 - 50;
        price.len = (size_t)snprintf(line, sizeof line, "%s %.2f", symbols[i],
                                     ticker->cents[i] / 100.0);
        wsock_room_publish(ticker->room, &price, NULL);
    }
}

static void on_open(wsock_conn *conn, void *user)
{
    const struct ticker *ticker = user;
    const int r = wsock_room_join(ticker->room, conn);

    if (r < 0)
        wsock_conn_close(conn, 1013, wsock_strerror(r));
}

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    const struct ticker *ticker = user;
    char line[64];

    if (type != WSOCK_TEXT || len != 5 || memcmp(data, "count", 5) != 0) {
        wsock_conn_close(conn, 1008, "count is all that can be asked");
        return;
    }
    len = (size_t)snprintf(line, sizeof line, "count %zu",
                           wsock_room_count(ticker->room));
    wsock_conn_send(conn, WSOCK_TEXT, line, len);
}

static int set_up(struct ticker *ticker, wsock_runtime *runtime, wsock_server *server,
                  const char *url)
{
    static const char *const options[] = {"slow_members", "latest_only", NULL};
    wsock_endpoint *endpoint = NULL;
    int r = wsock_server_make_room(server, &ticker->room, "ticker", options);

    for (int i = 0; i < SYMBOLS; i++)
        ticker->cents[i] = 10000;
    if (r == 0)
        r = wsock_server_endpoint(server, &endpoint, "/ticker");
    if (r == 0)
        r = wsock_endpoint_on_open(endpoint, on_open, ticker, NULL);
    if (r == 0)
        r = wsock_endpoint_on_message(endpoint, on_message, ticker, NULL);
    if (r == 0)
        r = wsock_server_listen(server, url);
    if (r == 0)
        r = wsock_runtime_timer(runtime, NULL, EVERY_MS, EVERY_MS, tick, ticker, NULL);
    wsock_endpoint_unref(endpoint);
    return r;
}

int main(int argc, char **argv)
{
    struct ticker ticker = {0};
    wsock_runtime *runtime = NULL;
    wsock_server *server = NULL;
    char url[256];
    int r = wsock_runtime_new(&runtime);

    if (r == 0)
        r = wsock_server_new(runtime, &server);
    if (r == 0)
        r = set_up(&ticker, runtime, server, argc > 1 ? argv[1] : "ws://127.0.0.1:8080");
    if (r == 0 && wsock_server_url(server, url, sizeof url, 0) > 0) {
        printf("listening on %s\n", url);
        fflush(stdout);
        r = wsock_runtime_run(runtime, WSOCK_RUN_SIGNALS);
    }
    if (r < 0)
        fprintf(stderr, "ticker: %s\n", wsock_server_error(server));
    wsock_server_free(server);
    wsock_runtime_free(runtime); /* no timer runs behind this */
    wsock_room_unref(ticker.room);
    return r < 0;
}
