/* SPDX-License-Identifier: MIT */
/*
 * bench_room_memory: what rooms take of the heap, counted in the library's own allocator,
 * in a runtime for tests: there is one thread and no network, so the figures are exact
 * and the same in each run. Each is the difference between many of a thing and none, over
 * their number; tables that grow by doubling are in it. The output is rows of a table for
 * docs/benchmarks.md. The status is 1 when the heap does not come back to where it was.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <wsock/testing.h>
#include <wsock/wsock.h>

#include "heap.h"

enum { CONNS = 500, ROOMS = 10000, EACH = 90, MESSAGES = 10000, PAYLOAD = 100 };

static struct {
    wsock_runtime *runtime;
    wsock_server *server;
    wsock_conn *conn[CONNS];
    int count;
    bool failed;
} bench;

static const char *const plain[] = {"max_members", "off", NULL};
static const char *const keeping[] = {"history_messages", "10000", NULL};

static void check(int64_t r, const char *what)
{
    if (r >= 0)
        return;
    fprintf(stderr, "bench_room_memory: %s: %s\n", what, wsock_strerror((int)r));
    exit(1);
}

static void on_open(wsock_conn *conn, void *user)
{
    (void)user;
    bench.conn[bench.count++] = wsock_conn_ref(conn);
}

/* What a client of rooms.v1 says first. */
static void on_open_client(wsock_conn *conn, void *user)
{
    static const char hello[] = "{\"type\":\"hello\",\"v\":1}";

    (void)user;
    check(wsock_conn_send(conn, WSOCK_TEXT, hello, sizeof hello - 1), "hello");
}

static void settle(void)
{
    check(wsock_testing_run(bench.runtime), "run");
}

static size_t heap(void)
{
    settle();
    return heap_bytes();
}

/* ---- a server and its connections ---- */

static void open_conns(bool v1)
{
    wsock_client *client = NULL;

    check(wsock_runtime_client(bench.runtime, &client, "ws://bench/m"), "client");
    if (v1) {
        check(wsock_client_add_subprotocol(client, "wsock.rooms.v1"), "subprotocol");
        check(wsock_client_on_open(client, on_open_client, NULL, NULL), "on_open");
    }
    for (int i = 0; i < CONNS; i++) {
        wsock_conn *conn = NULL;

        check(wsock_client_connect(client, &conn), "connect");
        wsock_conn_unref(conn);
    }
    wsock_client_unref(client);
    settle();
    if (bench.count != CONNS)
        check(WSOCK_ECLOSED, "open");
}

static void begin(bool v1)
{
    wsock_endpoint *endpoint = NULL;

    bench.count = 0;
    check(wsock_testing_new(&bench.runtime, 1), "runtime");
    check(wsock_server_new(bench.runtime, &bench.server), "server");
    check(wsock_server_endpoint(bench.server, &endpoint, "/m"), "endpoint");
    if (v1)
        check(wsock_endpoint_serve_rooms(endpoint, NULL, NULL, NULL), "rooms.v1");
    check(wsock_endpoint_on_open(endpoint, on_open, NULL, NULL), "on_open");
    check(wsock_server_listen(bench.server, "ws://bench"), "listen");
    wsock_endpoint_unref(endpoint);
    open_conns(v1);
}

static void finish(size_t before)
{
    for (int i = 0; i < bench.count; i++)
        wsock_conn_unref(bench.conn[i]);
    wsock_server_free(bench.server);
    wsock_runtime_free(bench.runtime);
    if (heap_bytes() == before)
        return;
    fprintf(stderr, "bench_room_memory: %zu B are left\n", heap_bytes() - before);
    bench.failed = true;
}

static wsock_room *make(const char *name, const char *const *options)
{
    wsock_room *room = NULL;

    check(wsock_server_make_room(bench.server, &room, name, options), name);
    return room;
}

/* ---- what is measured ---- */

static void row(const char *what, size_t before, size_t after, int count)
{
    printf("| %s | %.0f B |\n", what, ((double)after - (double)before) / count);
}

static void make_rooms(wsock_room **rooms, const char *const *options)
{
    for (int i = 0; i < ROOMS; i++) {
        char name[16];

        snprintf(name, sizeof name, "room.%05d", i);
        rooms[i] = make(name, options);
    }
}

static void drop_rooms(wsock_room **rooms)
{
    for (int i = 0; i < ROOMS; i++)
        wsock_room_unref(rooms[i]);
    settle();
}

static void measure_rooms(void)
{
    static wsock_room *rooms[ROOMS];
    const size_t empty = heap_bytes();
    size_t before, all;

    begin(false);
    before = heap();
    make_rooms(rooms, keeping);
    row("a room with history, empty, name of 10 bytes", before, heap(), ROOMS);
    drop_rooms(rooms);
    before = heap();
    make_rooms(rooms, plain);
    all = heap();
    row("a room, empty, name of 10 bytes", before, all, ROOMS);
    for (int i = 0; i < EACH * (ROOMS / EACH); i++)
        check(wsock_room_join(rooms[i], bench.conn[i / EACH]), "join");
    row("its first member", all, heap(), EACH * (ROOMS / EACH));
    drop_rooms(rooms);
    finish(empty);
}

static void measure_members(bool v1)
{
    const size_t empty = heap_bytes();
    wsock_room *room;
    size_t before;

    begin(v1);
    room = make("room.00000", plain);
    before = heap();
    for (int i = 0; i < CONNS; i++)
        check(wsock_room_join(room, bench.conn[i]), "join");
    row(v1 ? "the same, of one that speaks rooms.v1 (presence on)"
           : "a member, of 500 in a room",
        before, heap(), CONNS);
    wsock_room_unref(room);
    finish(empty);
}

static void measure_kept(bool v1)
{
    static const char data[PAYLOAD];
    const size_t empty = heap_bytes();
    wsock_room *room;
    size_t before;

    begin(v1);
    room = make("room.00000", keeping);
    if (v1)
        check(wsock_room_join(room, bench.conn[0]), "join");
    before = heap();
    for (int i = 0; i < MESSAGES; i++) {
        check(wsock_room_broadcast(room, WSOCK_BINARY, data, PAYLOAD), "broadcast");
        settle();
    }
    row(v1 ? "the same, of a room whose members speak rooms.v1"
           : "a kept message of 100 bytes, these included",
        before, heap(), MESSAGES);
    wsock_room_unref(room);
    finish(empty);
}

static void measure_patterns(bool own)
{
    const size_t empty = heap_bytes();
    size_t before;

    begin(false);
    before = heap();
    for (int i = 0; i < CONNS * EACH; i++) {
        char pattern[32];

        snprintf(pattern, sizeof pattern, own ? "at.%05d.>" : "at.%02d.>",
                 own ? i : i / CONNS);
        check(wsock_server_subscribe(bench.server, bench.conn[i % CONNS], pattern),
              "subscribe");
    }
    row(own ? "a subscription by a pattern of its own, of 10 bytes"
            : "a subscription by a pattern that 500 share",
        before, heap(), CONNS * EACH);
    finish(empty);
}

int main(void)
{
    check(heap_count(), "allocator");
    printf("| what | heap |\n|---|---|\n");
    measure_rooms();
    measure_members(false);
    measure_members(true);
    measure_kept(false);
    measure_kept(true);
    measure_patterns(false);
    measure_patterns(true);
    return bench.failed;
}
