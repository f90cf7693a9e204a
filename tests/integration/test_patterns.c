/* SPDX-License-Identifier: MIT */
/*
 * Subscriptions by pattern while several threads publish, each turning on and off what
 * brings its messages to connections: so it knows exactly which of them those have to
 * get. Nothing may be missing, come twice, or out of order. Each thread has a room, or
 * all have one and each has connections. Every other connection gets frames of rooms.v1.
 */
#include "harness.h"
#include "told.h"

#include <pthread.h>
#include <stdlib.h>

#include "conn/member.h"

enum { THREADS = 3, CONNS = 6, WAYS = 3, STEPS = 20000, WORKERS = 3 };

/* What one connection gets, or is to get, of one thread: numbers that rise. */
struct heard {
    int count, number[STEPS + 1];
};

struct listener {
    struct side side;
    wsock_client *client;
    wsock_conn *conn; /* at the server */
    struct heard expected[THREADS], got[THREADS];
};

struct publisher {
    struct world *world;
    wsock_room *room;
    int index, said;
    unsigned seed;
    bool on[CONNS][WAYS];
};

static struct listener listeners[CONNS];
static bool shared;
static int finals; /* last messages that came to who has to get them */

/* Whether a thread knows all that a connection has to get of it. */
static bool is_known(int i, int thread)
{
    return !shared || i % THREADS == thread;
}

static unsigned chance(unsigned *seed, unsigned below)
{
    *seed = *seed * 1103515245 + 12345;
    return (*seed >> 16) % below;
}

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    struct listener *listener = user;
    struct heard *got;
    struct told frame;
    int text[2];

    (void)conn;
    if (type == WSOCK_TEXT && told_of_members(data, len))
        return;
    if (type == WSOCK_TEXT) {
        CHECK((listener - listeners) % 2 == 1 && told_read(&frame, data, len));
        data = frame.data;
        len = frame.len;
    }
    CHECK(len == sizeof text);
    memcpy(text, data, sizeof text);
    got = &listener->got[text[0]];
    CHECK(got->count == 0 || got->number[got->count - 1] < text[1]);
    if (got->count <= STEPS)
        got->number[got->count++] = text[1];
    if (text[1] == STEPS && is_known((int)(listener - listeners), text[0]))
        tell(&finals);
}

static void publish(struct publisher *publisher, int number)
{
    const int text[2] = {publisher->index, number};

    CHECK(wsock_room_broadcast(publisher->room, WSOCK_BINARY, text, sizeof text) >= 0);
    for (int i = 0; i < CONNS; i++) {
        struct heard *expected = &listeners[i].expected[publisher->index];
        bool hears = false;

        for (int way = 0; way < WAYS; way++)
            hears = hears || publisher->on[i][way];
        if (hears)
            expected->number[expected->count++] = number;
    }
}

static void turn(struct publisher *publisher, int i, int way)
{
    wsock_server *server = publisher->world->server;
    wsock_conn *conn = listeners[i].conn;
    bool *on = &publisher->on[i][way];
    char pattern[32];
    int r;

    if (!is_known(i, publisher->index))
        return;
    snprintf(pattern, sizeof pattern, way == 1 ? "t.%d.*" : "t.%d.>",
             shared ? 0 : publisher->index);
    if (way == 0)
        r = *on ? wsock_room_leave(publisher->room, conn)
                : wsock_room_join(publisher->room, conn);
    else
        r = *on ? wsock_server_unsubscribe(server, conn, pattern)
                : wsock_server_subscribe(server, conn, pattern);
    CHECK(r == 0);
    *on = !*on;
}

static void *run(void *user)
{
    struct publisher *publisher = user;

    for (int step = 0; step < STEPS; step++) {
        if (chance(&publisher->seed, 3) > 0)
            publish(publisher, publisher->said++);
        else
            turn(publisher, (int)chance(&publisher->seed, CONNS),
                 (int)chance(&publisher->seed, WAYS));
    }
    for (int i = 0; i < CONNS; i++)
        if (!publisher->on[i][1]) /* of those that are known */
            turn(publisher, i, 1);
    publish(publisher, STEPS);
    return NULL;
}

static void connect_all(struct world *world)
{
    for (int i = 0; i < CONNS; i++) {
        struct listener *listener = &listeners[i];

        memset(listener, 0, sizeof *listener);
        listener->client = world_client(world, &listener->side);
        wsock_client_on_message(listener->client, on_message, listener, NULL);
        world_connect(world, listener->client, &listener->side);
        listener->conn = wsock_conn_ref(world->side.conn);
        if (i % 2 == 1)
            wsi_conn_set_form(listener->conn, WSI_FORM_V1);
    }
}

static void compare_all(void)
{
    for (int i = 0; i < CONNS; i++) {
        for (int t = 0; t < THREADS; t++) {
            const struct heard *expected = &listeners[i].expected[t];
            const struct heard *got = &listeners[i].got[t];

            if (!is_known(i, t))
                continue;
            assert_int_equal(got->count, expected->count);
            assert_memory_equal(got->number, expected->number,
                                (size_t)got->count * sizeof got->number[0]);
        }
    }
}

static void run_all(bool share)
{
    struct publisher publishers[THREADS] = {{0}};
    pthread_t threads[THREADS];
    struct world world;
    char name[32];

    shared = share;
    finals = 0;
    world_begin(&world, WORKERS);
    /* Whoever is slow shall miss nothing. */
    assert_int_equal(wsock_server_set(world.server, "max_backlog_bytes", "64MiB"), 0);
    assert_int_equal(wsock_server_set(world.server, "slow_queue_messages", "1000000"), 0);
    assert_int_equal(wsock_server_set(world.server, "slow_queue_bytes", "32MiB"), 0);
    world_listen(&world, NULL);
    connect_all(&world);
    for (int t = 0; t < THREADS; t++) {
        snprintf(name, sizeof name, "t.%d.room", share ? 0 : t);
        publishers[t].world = &world;
        publishers[t].index = t;
        publishers[t].seed = (unsigned)t + 1;
        assert_int_equal(wsock_server_room(world.server, &publishers[t].room, name), 0);
    }
    for (int t = 0; t < THREADS; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, run, &publishers[t]), 0);
    for (int t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    await(&finals, share ? CONNS : THREADS * CONNS);
    compare_all();
    for (int t = 0; t < THREADS; t++)
        wsock_room_unref(publishers[t].room);
    for (int i = 0; i < CONNS; i++) {
        wsock_conn_unref(listeners[i].conn);
        side_fini(&listeners[i].side);
        wsock_client_unref(listeners[i].client);
    }
    world_end(&world);
}

static void subscribers_hear_exactly_what_was_said_meanwhile(void **state)
{
    (void)state;
    run_all(false);
}

static void subscribers_hear_what_was_said_before_they_left_a_shared_room(void **state)
{
    (void)state;
    run_all(true);
}

static void patterns_and_connections_are_checked(void **state)
{
    struct world world, elsewhere;
    struct side side = {0};
    wsock_client *client;
    wsock_conn *conn;

    (void)state;
    world_begin(&world, 1);
    world_begin(&elsewhere, 1);
    world_listen(&world, NULL);
    client = world_client(&world, &side);
    world_connect(&world, client, &side);
    conn = world.side.conn;
    assert_int_equal(wsock_server_subscribe(world.server, conn, "a..b"), WSOCK_EINVAL);
    assert_int_equal(wsock_server_subscribe(world.server, conn, "a.b*"), WSOCK_EINVAL);
    assert_int_equal(wsock_server_subscribe(world.server, conn, "a.>.b"), WSOCK_EINVAL);
    assert_int_equal(wsock_server_subscribe(world.server, conn, "*.*.*.*.*"),
                     WSOCK_ETOOBIG);
    assert_int_equal(wsock_server_subscribe(elsewhere.server, conn, ">"), WSOCK_EINVAL);
    assert_int_equal(wsock_server_unsubscribe(world.server, conn, "a..b"), WSOCK_ENOENT);
    assert_int_equal(wsock_server_subscribe(world.server, conn, ">"), 0);
    assert_int_equal(wsock_server_subscribe(world.server, conn, ">"), WSOCK_EEXIST);
    assert_int_equal(wsock_server_unsubscribe(world.server, conn, ">"), 0);
    assert_int_equal(wsock_server_unsubscribe(world.server, conn, ">"), WSOCK_ENOENT);
    assert_int_equal(wsock_server_subscribe(world.server, conn, ">"), 0);
    side_fini(&side);
    wsock_client_unref(client);
    world_end(&world);
    world_end(&elsewhere);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(subscribers_hear_exactly_what_was_said_meanwhile),
        TEST(subscribers_hear_what_was_said_before_they_left_a_shared_room),
        TEST(patterns_and_connections_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
