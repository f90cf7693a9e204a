/* SPDX-License-Identifier: MIT */
/* Rooms of a server: their options, and how long they live. */
#include "harness.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(options_of_a_room_are_of_its_making),
        TEST(rooms_end_with_their_server),
        TEST(what_was_said_before_the_threads_began_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
