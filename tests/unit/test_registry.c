/* SPDX-License-Identifier: MIT */
/* Rooms by name: which names, one room for each, none left when nobody holds it. */
#include "test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>
#include <wsock/room.h>

#include "room/registry.h"
#include "room/room.h"

enum { MANY = 1000, THREADS = 4, TURNS = 2000 };

static struct wsi_owner owner;
static struct wsi_registry registry;

static void nothing(struct wsi_owner *o)
{
    (void)o;
}

static void begin(void)
{
    wsi_owner_init(&owner, NULL, nothing, NULL);
    assert_int_equal(wsi_registry_init(&registry, &owner), 0);
}

static void finish(void)
{
    assert_int_equal(registry.count, 0);
    assert_int_equal(atomic_load(&owner.ref.count), 1);
    wsi_registry_fini(&registry);
}

static void names_are_checked(void **state)
{
    char longest[257];

    (void)state;
    memset(longest, 'x', 256);
    longest[256] = '\0';
    assert_false(wsi_room_name_is_valid(longest));
    longest[255] = '\0';
    assert_true(wsi_room_name_is_valid(longest));
    assert_true(wsi_room_name_is_valid("lobby"));
    assert_true(wsi_room_name_is_valid("a.b.c"));
    assert_true(wsi_room_name_is_valid("gr\xc3\xbc\xc3\x9f dich/{x}#?"));
    assert_false(wsi_room_name_is_valid(""));
    assert_false(wsi_room_name_is_valid("."));
    assert_false(wsi_room_name_is_valid(".a"));
    assert_false(wsi_room_name_is_valid("a."));
    assert_false(wsi_room_name_is_valid("a..b"));
    assert_false(wsi_room_name_is_valid("a*"));
    assert_false(wsi_room_name_is_valid("a.>"));
    assert_false(wsi_room_name_is_valid("a\nb"));
    assert_false(wsi_room_name_is_valid("\x7f"));
    assert_false(wsi_room_name_is_valid("\xff"));
}

static void name_leads_to_one_room(void **state)
{
    wsock_room *a = NULL, *b = NULL, *c = NULL;

    (void)state;
    begin();
    assert_int_equal(wsi_registry_get(&registry, &a, "a", false), WSOCK_ENOENT);
    assert_int_equal(wsi_registry_get(&registry, &a, "a*", true), WSOCK_EINVAL);
    assert_null(a);
    assert_int_equal(wsi_registry_get(&registry, &a, "a", true), 0);
    assert_int_equal(wsi_registry_get(&registry, &b, "a", true), 0);
    assert_int_equal(wsi_registry_get(&registry, &c, "A", true), 0);
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    assert_string_equal(wsock_room_name(a), "a");
    assert_int_equal(registry.count, 2);
    wsock_room_unref(a);
    assert_int_equal(wsi_registry_get(&registry, &a, "a", false), 0);
    wsock_room_unref(a);
    wsock_room_unref(b);
    wsock_room_unref(c);
    wsock_room_unref(NULL);
    assert_int_equal(wsi_registry_get(&registry, &a, "a", false), WSOCK_ENOENT);
    finish();
}

static void get_many(wsock_room **rooms, bool create)
{
    for (int i = 0; i < MANY; i++) {
        char name[16];
        wsock_room *room = NULL;

        snprintf(name, sizeof name, "room%d", i);
        assert_int_equal(wsi_registry_get(&registry, &room, name, create), 0);
        assert_string_equal(wsock_room_name(room), name);
        if (create)
            rooms[i] = room;
        else
            wsock_room_unref(room);
        assert_ptr_equal(rooms[i], room);
    }
}

static void table_grows_with_its_rooms(void **state)
{
    static wsock_room *rooms[MANY];

    (void)state;
    begin();
    get_many(rooms, true);
    assert_int_equal(registry.count, MANY);
    assert_int_equal(registry.bucket_count, 1024);
    get_many(rooms, false);
    for (int i = 0; i < MANY; i += 2)
        wsock_room_unref(rooms[i]);
    assert_int_equal(registry.count, MANY / 2);
    for (int i = 1; i < MANY; i += 2)
        wsock_room_unref(rooms[i]);
    finish();
}

static void table_works_without_memory_to_grow(void **state)
{
    static wsock_room *rooms[MANY];

    (void)state;
    begin();
    for (int i = 0; i < MANY; i++) {
        char name[16];

        snprintf(name, sizeof name, "room%d", i);
        test_fail_allocation(2, 1); /* the room itself, and no more */
        assert_int_equal(wsi_registry_get(&registry, &rooms[i], name, true), 0);
        test_stop_failing();
    }
    assert_int_equal(registry.bucket_count, 16);
    get_many(rooms, false);
    for (int i = 0; i < MANY; i++)
        wsock_room_unref(rooms[i]);
    finish();
}

static void room_without_memory_is_not_made(void **state)
{
    wsock_room *room = NULL;
    int r = 0;

    (void)state;
    wsi_owner_init(&owner, NULL, nothing, NULL);
    FOR_EACH_OOM(r, r = wsi_registry_init(&registry, &owner),
                 wsi_registry_fini(&registry));
    begin();
    FOR_EACH_OOM(r, r = wsi_registry_get(&registry, &room, "a", true),
                 wsock_room_unref(room));
    finish();
}

/* Getting and dropping the last reference at the same time: a name never leads to a room
 * that is going, which the sanitizers would see. */
static void *get_and_drop(void *user)
{
    (void)user;
    for (int i = 0; i < TURNS; i++) {
        wsock_room *room = NULL;

        if (wsi_registry_get(&registry, &room, i % 3 == 0 ? "b" : "a", i % 2 == 0) < 0)
            continue;
        if (strlen(wsock_room_name(room)) != 1)
            abort();
        wsock_room_unref(room);
    }
    return NULL;
}

static void rooms_come_and_go_under_threads(void **state)
{
    pthread_t thread[THREADS];

    (void)state;
    begin();
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, get_and_drop, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(names_are_checked),
        TEST(name_leads_to_one_room),
        TEST(table_grows_with_its_rooms),
        TEST(table_works_without_memory_to_grow),
        TEST(room_without_memory_is_not_made),
        TEST(rooms_come_and_go_under_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
