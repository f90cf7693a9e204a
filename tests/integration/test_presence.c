/* SPDX-License-Identifier: MIT */
/*
 * What is told of a room while threads join, leave, kick and publish: each coming and
 * going once, in an order in which the room may have been, one call at a time, where the
 * handlers of the server run, and nothing behind on_stopped.
 */
#include "harness.h"

#include <pthread.h>
#include <stdlib.h>

enum { CONNS = 6, THREADS = 3, STEPS = 3000, WORKERS = 3 };

static const char *const names[CONNS] = {"ann", "ann", "bob", "bob", "eve", ""};

/* What follows belongs to the handlers of the room, which run one at a time. */
struct log {
    wsock_conn *conns[CONNS];
    bool is_in[CONNS];
    int said[THREADS];
    int joins, leaves, messages;
    pthread_t thread; /* that dispatches */
    atomic_bool inside;
    bool is_queued;
};

static struct log room_log;

static void enter(void)
{
    CHECK(!atomic_exchange(&room_log.inside, true));
    if (room_log.is_queued)
        CHECK(pthread_equal(pthread_self(), room_log.thread));
}

static void leave(int *count)
{
    atomic_store(&room_log.inside, false);
    tell(count);
}

static int index_of(const wsock_conn *conn)
{
    int i = 0;

    while (i < CONNS && room_log.conns[i] != conn)
        i++;
    CHECK(i < CONNS);
    return i % CONNS;
}

static int others_of(int i)
{
    int count = 0;

    for (int k = 0; k < CONNS; k++)
        count += k != i && room_log.is_in[k] && strcmp(names[k], names[i]) == 0;
    return names[i][0] != '\0' ? count : 0;
}

static void on_join(wsock_room *room, const wsock_member *member, void *user)
{
    const int i = index_of(member->conn);

    (void)room;
    (void)user;
    enter();
    CHECK(strcmp(member->identity, names[i]) == 0);
    CHECK(!room_log.is_in[i]);
    CHECK(member->first == (others_of(i) == 0));
    room_log.is_in[i] = true;
    leave(&room_log.joins);
}

static void on_leave(wsock_room *room, const wsock_member *member, void *user)
{
    const int i = index_of(member->conn);

    (void)room;
    enter();
    CHECK(room_log.is_in[i]);
    CHECK(member->last == (others_of(i) == 0));
    CHECK(told(user) == 0); /* on_stopped */
    room_log.is_in[i] = false;
    leave(&room_log.leaves);
}

static void on_room_message(wsock_room *room, const wsock_room_message *message,
                            void *user)
{
    int text[2];

    (void)room;
    (void)user;
    enter();
    CHECK(message->type == WSOCK_BINARY && message->len == sizeof text);
    memcpy(text, message->data, sizeof text);
    CHECK(text[1] == room_log.said[text[0]]);
    room_log.said[text[0]]++;
    leave(&room_log.messages);
}

struct worker {
    wsock_room *room;
    int index, said, joined, left;
    unsigned seed;
};

static unsigned chance(struct worker *worker, unsigned below)
{
    worker->seed = worker->seed * 1103515245 + 12345;
    return (worker->seed >> 16) % below;
}

static void step(struct worker *worker)
{
    wsock_conn *conn = room_log.conns[chance(worker, CONNS)];
    const int text[2] = {worker->index, worker->said};
    int r;

    switch (chance(worker, 8)) {
    case 0:
        worker->left += wsock_room_leave(worker->room, conn) == 0;
        break;
    case 1:
        worker->left += wsock_room_kick_conn(worker->room, conn, "out") == 0;
        break;
    case 2:
        r = wsock_room_kick(worker->room, names[chance(worker, CONNS)], "all");
        CHECK(r >= 0);
        worker->left += r;
        break;
    case 3:
        CHECK(wsock_room_broadcast(worker->room, WSOCK_BINARY, text, sizeof text) >= 0);
        worker->said++;
        break;
    case 4:
        CHECK(wsock_room_people(worker->room, NULL, NULL) <= 3);
        break;
    default:
        worker->joined += wsock_room_join(worker->room, conn) == 0;
    }
}

static void *run(void *user)
{
    struct worker *worker = user;

    for (int i = 0; i < STEPS; i++)
        step(worker);
    return NULL;
}

static void await_here(struct world *world, int *count, int least)
{
    if (world->queue != NULL)
        dispatch_until(world->queue, count, least);
    else
        harness_await(count, least, "told of the room", __FILE__, __LINE__);
}

static void connect_all(struct world *world, wsock_client *client, struct side *side)
{
    for (int i = 0; i < CONNS; i++) {
        if (world->queue != NULL)
            world_connect_queued(world, client, side);
        else
            world_connect(world, client, side);
        room_log.conns[i] = wsock_conn_ref(world->side.conn);
        if (names[i][0] != '\0')
            assert_int_equal(wsock_conn_set_identity(room_log.conns[i], names[i]), 0);
    }
}

static void run_threads(wsock_room *room, struct worker *workers)
{
    pthread_t threads[THREADS];

    for (int t = 0; t < THREADS; t++) {
        workers[t] = (struct worker){.room = room, .index = t, .seed = (unsigned)t + 1};
        assert_int_equal(pthread_create(&threads[t], NULL, run, &workers[t]), 0);
    }
    for (int t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
}

static void room_is_told_of(struct world *world)
{
    struct worker workers[THREADS];
    int said = 0, joined = 0, left = 0;
    struct side side = {0};
    wsock_client *client;
    wsock_room *room;

    world_listen(world, NULL);
    client = world_client(world, &side);
    assert_int_equal(wsock_server_room(world->server, &room, "r"), 0);
    wsock_room_on_join(room, on_join, NULL, NULL);
    wsock_room_on_leave(room, on_leave, &world->stopped, NULL);
    wsock_room_on_message(room, on_room_message, NULL, NULL);
    connect_all(world, client, &side);
    run_threads(room, workers);
    for (int t = 0; t < THREADS; t++) {
        said += workers[t].said;
        joined += workers[t].joined;
        left += workers[t].left;
    }
    await_here(world, &room_log.messages, said);
    await_here(world, &room_log.joins, joined);
    await_here(world, &room_log.leaves, left);
    assert_int_equal(told(&room_log.joins) - told(&room_log.leaves),
                     wsock_room_count(room));
    /* The rest leaves with the server. */
    wsock_server_stop(world->server);
    await_here(world, &room_log.leaves, joined);
    await_here(world, &world->stopped, 1);
    assert_int_equal(told(&room_log.leaves), joined);
    for (int i = 0; i < CONNS; i++)
        wsock_conn_unref(room_log.conns[i]);
    wsock_room_unref(room);
    side_fini(&side);
    wsock_client_unref(client);
    world_end(world);
}

static void room_is_told_of_on_a_worker(void **state)
{
    struct world world;

    (void)state;
    room_log = (struct log){0};
    world_begin(&world, WORKERS);
    room_is_told_of(&world);
}

static void room_is_told_of_on_the_queue(void **state)
{
    struct world world;

    (void)state;
    room_log = (struct log){.thread = pthread_self(), .is_queued = true};
    world_begin_queued(&world, WORKERS);
    room_is_told_of(&world);
}

/* What waits for a queue that is closed is not told, and holds nothing. */
static void closed_queue_is_told_nothing_of_rooms(void **state)
{
    struct world world;
    wsock_room *room;
    int freed = 0;

    (void)state;
    room_log = (struct log){.thread = pthread_self(), .is_queued = true};
    world_begin_queued(&world, 1);
    world_listen(&world, NULL);
    assert_int_equal(wsock_server_room(world.server, &room, "r"), 0);
    assert_int_equal(wsock_room_on_message(room, on_room_message, &freed, free_counted),
                     0);
    for (int i = 0; i < 3; i++) {
        const int text[2] = {0, i};

        assert_int_equal(wsock_room_broadcast(room, WSOCK_BINARY, text, sizeof text), 0);
        if (i == 1)
            dispatch_until(world.queue, &room_log.messages, 2);
    }
    wsock_queue_close(world.queue);
    wsock_room_broadcast(room, WSOCK_BINARY, &freed, sizeof freed);
    wsock_room_unref(room);
    wsock_endpoint_unref(world.endpoint);
    wsock_server_free(world.server);
    assert_int_equal(wsock_runtime_free(world.runtime), 0);
    wsock_queue_unref(world.queue);
    assert_int_equal(told(&room_log.messages), 2);
    assert_int_equal(freed, 1);
    harness_checked();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(room_is_told_of_on_a_worker),
        TEST(room_is_told_of_on_the_queue),
        TEST(closed_queue_is_told_nothing_of_rooms),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
