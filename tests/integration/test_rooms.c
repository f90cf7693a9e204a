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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(options_of_a_room_are_of_its_making),
        TEST(rooms_end_with_their_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
