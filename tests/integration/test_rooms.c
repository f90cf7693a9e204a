/* SPDX-License-Identifier: MIT */
/* Rooms of a server: their options, and how long they live. */
#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

static const char *const stays[] = {"persistent", "yes", "max_members", "2", NULL};

static void options_of_a_room_are_of_its_making(void **state)
{
    static const char *const other[] = {"max_members", "3", NULL};
    struct world world;
    wsock_room *room = NULL, *again = NULL;
    int64_t value = 0;

    (void)state;
    world_begin(&world, 0);
    assert_int_equal(wsock_server_make_room(world.server, &room, "a.b", stays), 0);
    assert_int_equal(wsock_server_make_room(world.server, &again, "a.b", other),
                     WSOCK_EEXIST);
    assert_string_equal(wsock_server_error(world.server),
                        "room \"a.b\" is there with option \"max_members\" as 2, not 3");
    assert_int_equal(wsock_server_make_room(world.server, &again, "a.b", NULL), 0);
    assert_ptr_equal(room, again);
    wsock_room_unref(again);
    wsock_room_unref(room);

    assert_int_equal(wsock_server_room_defaults(world.server, "a.*", "max_members", "5"),
                     0);
    assert_int_equal(wsock_server_room_defaults(world.server, "a.*b", "max_members", "5"),
                     WSOCK_EINVAL);
    assert_string_equal(wsock_server_error(world.server),
                        "\"a.*b\" is not a valid pattern of rooms");
    assert_int_equal(wsock_server_set(world.server, "max_members", "7"), 0);
    assert_int_equal(wsock_server_room(world.server, &room, "a.c"), 0);
    assert_int_equal(wsock_room_get_int64(room, "max_members", &value), 0);
    assert_int_equal(value, 5);
    wsock_room_unref(room);
    assert_int_equal(wsock_server_room(world.server, &room, "b"), 0);
    assert_int_equal(wsock_room_get_int64(room, "max_members", &value), 0);
    assert_int_equal(value, 7);
    wsock_room_unref(room);
    world_end(&world);
}

static void rooms_end_with_their_server(void **state)
{
    struct world world;
    wsock_room *room = NULL, *found = NULL;

    (void)state;
    world_begin(&world, 0);
    world_listen(&world, NULL);
    assert_int_equal(wsock_server_make_room(world.server, &room, "stays", stays), 0);
    wsock_room_unref(room);
    assert_int_equal(wsock_server_find_room(world.server, &found, "stays"), 0);
    assert_ptr_equal(found, room);
    assert_int_equal(wsock_room_broadcast(room, WSOCK_TEXT, "nobody", 6), 0);
    wsock_server_stop(world.server);
    assert_int_equal(wsock_server_wait(world.server, -1), 0);
    assert_int_equal(wsock_room_broadcast(room, WSOCK_TEXT, "nobody", 6), WSOCK_ECLOSED);
    wsock_room_unref(room);
    assert_int_equal(wsock_server_find_room(world.server, &found, "stays"), WSOCK_ENOENT);
    assert_int_equal(wsock_server_room(world.server, &found, "stays"), WSOCK_ECLOSED);
    world_end(&world);
}

static void what_was_said_before_the_threads_began_is_kept(void **state)
{
    static const char *const keeps[] = {"history_messages", "2", "history_time", "1h",
                                        NULL};
    const wsock_position first = {.size = sizeof first};
    wsock_joined joined = {.size = sizeof joined};
    struct side side = {0};
    struct world world;
    wsock_client *client;
    wsock_room *room = NULL;

    (void)state;
    world_begin(&world, 0);
    assert_int_equal(wsock_server_make_room(world.server, &room, "early", keeps), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(wsock_room_broadcast(room, WSOCK_TEXT, &"abc"[i], 1), 0);
    world_listen(&world, NULL);
    client = world_client(&world, &side);
    world_connect(&world, client, &side);
    assert_int_equal(wsock_room_join_since(room, world.side.conn, &first, &joined), 0);
    assert_int_equal(joined.count, 2);
    assert_int_equal(joined.recovered, 0); /* the first is gone */
    assert_int_equal(wsock_room_broadcast(room, WSOCK_TEXT, "d", 1), 1);
    await(&side.messages, 3);
    assert_string_equal(side.data, "d");
    wsock_room_unref(room);
    wsock_client_unref(client);
    side_fini(&side);
    world_end(&world); /* while a timer runs for the room */
}

/* ---- a server that joins a cluster ---- */

enum { TALKERS = 2, KEPT = 50 };

static const char *const keeps_many[] = {"history_messages", "50", NULL};

/* Threads that use rooms from before the server listens until long after. */
struct talk {
    wsock_room *plain, *kept;
    atomic_bool is_over;
    int said; /* messages that were taken */
};

static void *talk(void *user)
{
    struct talk *on = user;
    wsock_position position = {.size = sizeof position};
    char text[32];

    for (int i = 0; !atomic_load(&on->is_over); i++) {
        const int len = snprintf(text, sizeof text, "%lx %d",
                                 (unsigned long)pthread_self(), i);
        int r = wsock_room_broadcast(on->kept, WSOCK_TEXT, text, (size_t)len);

        CHECK(r >= 0 || r == WSOCK_EAGAIN); /* more than the broker has taken so far */
        if (r >= 0)
            tell(&on->said);
        CHECK(wsock_room_broadcast(on->plain, WSOCK_TEXT, text, (size_t)len) >= 0);
        r = wsock_room_position(on->kept, &position);
        CHECK(r == 0 || r == WSOCK_EAGAIN); /* it is being loaded */
        CHECK(wsock_room_count(on->kept) == 0);
    }
    return NULL;
}

static void hear_the_end(wsock_room *room, const wsock_room_message *message, void *user)
{
    (void)room;
    if (message->len == 3 && memcmp(message->data, "end", 3) == 0)
        tell(user);
}

struct page {
    size_t count;
    struct {
        uint64_t offset;
        char text[32];
    } message[KEPT];
};

static int write_down(const wsock_room_message *message, void *user)
{
    struct page *page = user;

    page->message[page->count].offset = message->offset;
    snprintf(page->message[page->count++].text, 32, "%.*s", (int)message->len,
             (const char *)message->data);
    return 0;
}

static void cluster_server(wsock_runtime *runtime, wsock_server **out, struct talk *talk,
                           int *ends)
{
    assert_int_equal(wsock_server_new(runtime, out), 0);
    assert_int_equal(wsock_server_set(*out, "cluster", "memory:rooms"), 0);
    assert_int_equal(wsock_server_make_room(*out, &talk->kept, "kept", keeps_many), 0);
    assert_int_equal(wsock_server_room(*out, &talk->plain, "plain"), 0);
    assert_int_equal(wsock_room_on_message(talk->kept, hear_the_end, ends, NULL), 0);
}

static void rooms_are_used_while_their_server_joins_a_cluster(void **state)
{
    struct page *here = calloc(1, sizeof *here), *there = calloc(1, sizeof *there);
    pthread_t talker[TALKERS];
    wsock_position position = {.size = sizeof position};
    struct talk in = {0}, far = {0};
    wsock_runtime *runtime;
    wsock_server *server, *other;
    int ends = 0;

    (void)state;
    assert_int_equal(wsock_runtime_new(&runtime), 0);
    assert_int_equal(wsock_runtime_set(runtime, "workers", "2"), 0);
    cluster_server(runtime, &other, &far, &ends);
    assert_int_equal(wsock_server_listen(other, "ws://127.0.0.1:0"), 0);
    while (wsock_room_position(far.kept, &position) == WSOCK_EAGAIN)
        sched_yield(); /* what it loads later it does not hear */
    cluster_server(runtime, &server, &in, &ends);
    for (int i = 0; i < TALKERS; i++)
        assert_int_equal(pthread_create(&talker[i], NULL, talk, &in), 0);
    await(&in.said, 100);
    assert_int_equal(wsock_server_listen(server, "ws://127.0.0.1:0"), 0);
    await(&in.said, told(&in.said) + 100);
    atomic_store(&in.is_over, true);
    for (int i = 0; i < TALKERS; i++)
        assert_int_equal(pthread_join(talker[i], NULL), 0);
    while (wsock_room_broadcast(in.kept, WSOCK_TEXT, "end", 3) == WSOCK_EAGAIN)
        sched_yield();
    await(&ends, 2);
    assert_int_equal(wsock_room_history(in.kept, 0, KEPT, write_down, here), KEPT);
    assert_int_equal(wsock_room_history(far.kept, 0, KEPT, write_down, there), KEPT);
    assert_memory_equal(here, there, sizeof *here);
    assert_string_equal(here->message[KEPT - 1].text, "end");
    wsock_room_unref(in.kept);
    wsock_room_unref(in.plain);
    wsock_room_unref(far.kept);
    wsock_room_unref(far.plain);
    wsock_server_free(server);
    wsock_server_free(other);
    assert_int_equal(wsock_runtime_free(runtime), 0);
    harness_checked();
    free(here);
    free(there);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(options_of_a_room_are_of_its_making),
        TEST(rooms_end_with_their_server),
        TEST(what_was_said_before_the_threads_began_is_kept),
        TEST(rooms_are_used_while_their_server_joins_a_cluster),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
