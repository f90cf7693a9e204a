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
static struct wsi_options options; /* of the server */
static struct wsi_registry registry;
static char why[WSI_ROOM_WHY_SIZE];

static void nothing(struct wsi_owner *o)
{
    (void)o;
}

static void begin(void)
{
    wsi_owner_init(&owner, NULL, nothing, NULL);
    wsi_options_init(&options, WSOCK_SCOPE_SERVER);
    assert_int_equal(wsi_registry_init(&registry, &owner, &options), 0);
}

static int get(wsock_room **out, const char *name)
{
    return wsi_registry_get(&registry, out, name, NULL, why, sizeof why);
}

static int make(wsock_room **out, const char *name, const char *const *pairs)
{
    struct wsi_options asked;
    const int r = wsi_room_options_read(&asked, pairs, why, sizeof why);

    return r < 0 ? r : wsi_registry_get(&registry, out, name, &asked, why, sizeof why);
}

static void finish(void)
{
    assert_int_equal(registry.count, 0);
    assert_int_equal(atomic_load(&owner.ref.count), 1);
    wsi_registry_fini(&registry);
}

static void name_leads_to_one_room(void **state)
{
    wsock_room *a = NULL, *b = NULL, *c = NULL;

    (void)state;
    begin();
    assert_int_equal(wsi_registry_find(&registry, &a, "a"), WSOCK_ENOENT);
    assert_int_equal(get(&a, "a*"), WSOCK_EINVAL);
    assert_string_equal(
        why, "room \"a*\": not a valid name: 1 to 255 bytes, tokens divided by "
             "single dots, without '*', '>' and control characters");
    assert_null(a);
    assert_int_equal(get(&a, "a"), 0);
    assert_int_equal(get(&b, "a"), 0);
    assert_int_equal(get(&c, "A"), 0);
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    assert_string_equal(wsock_room_name(a), "a");
    assert_int_equal(registry.count, 2);
    wsock_room_unref(a);
    assert_int_equal(wsi_registry_find(&registry, &a, "a"), 0);
    wsock_room_unref(a);
    wsock_room_unref(b);
    wsock_room_unref(c);
    wsock_room_unref(NULL);
    assert_int_equal(wsi_registry_find(&registry, &a, "a"), WSOCK_ENOENT);
    finish();
}

static void get_many(wsock_room **rooms, bool create)
{
    for (int i = 0; i < MANY; i++) {
        char name[16];
        wsock_room *room = NULL;

        snprintf(name, sizeof name, "room%d", i);
        assert_int_equal(
            create ? get(&room, name) : wsi_registry_find(&registry, &room, name), 0);
        assert_string_equal(wsock_room_name(room), name);
        if (create)
            rooms[i] = room;
        else
            wsock_room_unref(room);
        assert_ptr_equal(rooms[i], room);
    }
}

/* Names that meet in one bucket would make all look-ups slow. */
static void who_chooses_names_does_not_know_where_they_go(void **state)
{
    uint64_t hash[2];

    (void)state;
    for (int i = 0; i < 2; i++) {
        wsock_room *room = NULL;

        begin();
        assert_int_equal(get(&room, "lobby"), 0);
        hash[i] = room->hash;
        wsock_room_unref(room);
        finish();
    }
    assert_true(hash[0] != hash[1]);
}

static void rooms_are_listed_by_pattern(void **state)
{
    static const char *const names[] = {"lobby", "match.1", "match.2", "match.2.chat"};
    wsock_room *rooms[4] = {NULL}, *found[4] = {NULL};

    (void)state;
    begin();
    assert_int_equal(wsi_registry_list(&registry, NULL, 0, NULL), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(get(&rooms[i], names[i]), 0);
    assert_int_equal(wsi_registry_list(&registry, NULL, 0, NULL), 4);
    assert_int_equal(wsi_registry_list(&registry, NULL, 0, "match.*"), 2);
    assert_int_equal(wsi_registry_list(&registry, NULL, 0, "match.>"), 3);
    assert_int_equal(wsi_registry_list(&registry, NULL, 0, "lob"), 0);
    assert_int_equal(wsi_registry_list(&registry, found, 1, "match.*"), 2);
    assert_true(found[0] == rooms[1] || found[0] == rooms[2]);
    assert_null(found[1]);
    wsock_room_unref(found[0]);
    assert_int_equal(wsi_registry_list(&registry, found, 4, "match.*.chat"), 1);
    assert_ptr_equal(found[0], rooms[3]);
    wsock_room_unref(rooms[3]); /* it is held still */
    assert_int_equal(wsi_registry_list(&registry, NULL, 0, "match.>"), 3);
    wsock_room_unref(found[0]);
    assert_int_equal(wsi_registry_list(&registry, NULL, 0, "match.>"), 2);
    for (size_t i = 0; i < 3; i++)
        wsock_room_unref(rooms[i]);
    finish();
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
        assert_int_equal(get(&rooms[i], name), 0);
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
    FOR_EACH_OOM(r, r = wsi_registry_init(&registry, &owner, &options),
                 wsi_registry_fini(&registry));
    begin();
    FOR_EACH_OOM(r, r = get(&room, "a"), wsock_room_unref(room));
    finish();
}

/* Getting and dropping the last reference at the same time: a name never leads to a room
 * that is going, which the sanitizers would see. */
static void *get_and_drop(void *user)
{
    (void)user;
    for (int i = 0; i < TURNS; i++) {
        wsock_room *room = NULL;

        const char *name = i % 3 == 0 ? "b" : "a";
        char unused[WSI_ROOM_WHY_SIZE];

        if ((i % 2 == 0
                 ? wsi_registry_get(&registry, &room, name, NULL, unused, sizeof unused)
                 : wsi_registry_find(&registry, &room, name)) < 0)
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

/* ---- limits and options ---- */

static void rooms_are_no_more_than_max_rooms(void **state)
{
    wsock_room *a = NULL, *b = NULL, *c = NULL;

    (void)state;
    begin();
    assert_int_equal(wsi_options_set(&options, "max_rooms", "2", true, NULL, 0), 0);
    assert_int_equal(get(&a, "a"), 0);
    assert_int_equal(get(&b, "b"), 0);
    assert_int_equal(get(&c, "c"), WSOCK_ETOOBIG);
    assert_string_equal(why, "room \"c\": there are as many as max_rooms allows");
    assert_int_equal(get(&c, "a"), 0); /* it is there */
    wsock_room_unref(c);
    wsock_room_unref(b);
    assert_int_equal(get(&c, "c"), 0);
    wsock_room_unref(a);
    wsock_room_unref(c);
    finish();
}

static int64_t max_members_of(wsock_room *room)
{
    int64_t value = -1;

    assert_int_equal(wsock_room_get_int64(room, "max_members", &value), 0);
    return value;
}

static void room_has_the_options_of_its_making(void **state)
{
    static const char *const ten[] = {"max_members", "10", NULL};
    static const char *const off[] = {"persistent", "no", "max_members", "off", NULL};
    wsock_room *room = NULL, *other = NULL;
    char text[32];

    (void)state;
    begin();
    assert_int_equal(wsi_options_set(&options, "max_members", "7", true, NULL, 0), 0);
    assert_int_equal(get(&room, "a"), 0);
    assert_int_equal(max_members_of(room), 7);
    assert_int_equal(wsi_options_set(&options, "max_members", "8", true, NULL, 0), 0);
    assert_int_equal(max_members_of(room), 7); /* for good */
    wsock_room_unref(room);

    assert_int_equal(make(&room, "a", ten), 0);
    assert_int_equal(max_members_of(room), 10);
    assert_int_equal(make(&other, "a", ten), 0);
    assert_ptr_equal(room, other);
    assert_int_equal(make(&other, "a", off), WSOCK_EEXIST);
    assert_string_equal(why,
                        "room \"a\" is there with option \"max_members\" as 10, not off");
    wsock_room_unref(room);
    assert_int_equal(get(&other, "a"), 0); /* whatever it has */
    assert_int_equal(wsock_room_get_string(room, text, sizeof text, "max_members"), 2);
    assert_string_equal(text, "10");
    assert_int_equal(wsock_room_get_string(room, text, 2, "max_members"), WSOCK_ETOOBIG);
    assert_int_equal(wsock_room_get_string(room, text, sizeof text, "max_rooms"),
                     WSOCK_EOPTION);
    assert_int_equal(wsock_room_get_int64(room, "members", &(int64_t){0}), WSOCK_EOPTION);
    wsock_room_unref(room);
    wsock_room_unref(room);
    finish();
}

static void options_that_are_none_make_no_room(void **state)
{
    static const char *const unknown[] = {"max_member", "10", NULL};
    static const char *const wrong[] = {"max_members", "ten", NULL};
    static const char *const without[] = {"max_members", NULL, NULL};
    static const char *const servers[] = {"max_rooms", "10", NULL};
    wsock_room *room = NULL;

    (void)state;
    begin();
    assert_int_equal(make(&room, "a", unknown), WSOCK_EOPTION);
    assert_string_equal(why,
                        "unknown option \"max_member\"; did you mean \"max_members\"?");
    assert_int_equal(make(&room, "a", wrong), WSOCK_EINVAL);
    assert_int_equal(make(&room, "a", without), WSOCK_EINVAL);
    assert_int_equal(make(&room, "a", servers), WSOCK_EOPTION);
    assert_string_equal(why, "option \"max_rooms\" is one of servers, not of a room");
    assert_int_equal(registry.count, 0);
    finish();
}

static int by_pattern(const char *pattern, const char *option, const char *value)
{
    return wsi_registry_set_default(&registry, pattern, option, value, why, sizeof why);
}

static int64_t max_members_by_name(const char *name)
{
    wsock_room *room = NULL;
    int64_t value;

    assert_int_equal(get(&room, name), 0);
    value = max_members_of(room);
    wsock_room_unref(room);
    return value;
}

static void later_words_on_a_pattern_win(void **state)
{
    static const char *const five[] = {"max_members", "5", NULL};
    wsock_room *room = NULL;

    (void)state;
    begin();
    assert_int_equal(by_pattern("match.>", "max_members", "1"), 0);
    assert_int_equal(by_pattern("match.*.chat", "max_members", "2"), 0);
    assert_int_equal(max_members_by_name("match.7.chat"), 2);
    assert_int_equal(max_members_by_name("match.7.moves"), 1);
    assert_int_equal(max_members_by_name("lobby"), 0);
    assert_int_equal(by_pattern("match.>", "max_members", "3"), 0);
    assert_int_equal(max_members_by_name("match.7.chat"), 3);
    assert_int_equal(by_pattern("match.>", "persistent", "no"), 0);
    assert_int_equal(max_members_by_name("match.7.chat"), 3);
    assert_int_equal(make(&room, "match.8", five), 0);
    assert_int_equal(max_members_of(room), 5);
    wsock_room_unref(room);
    assert_int_equal(by_pattern("match..x", "max_members", "2"), WSOCK_EINVAL);
    assert_string_equal(why, "\"match..x\" is not a valid pattern of rooms");
    assert_int_equal(by_pattern("match.>", "max_rooms", "2"), WSOCK_EOPTION);
    assert_int_equal(by_pattern("match.>", "max_members", "-2"), WSOCK_ERANGE);
    assert_int_equal(max_members_by_name("match.7.chat"), 3);
    finish();
}

static void pattern_without_memory_changes_nothing(void **state)
{
    int r = 0;

    (void)state;
    begin();
    FOR_EACH_OOM(r, r = by_pattern("a.*", "max_members", "3"), {
        assert_int_equal(max_members_by_name("a.b"), 3);
        wsi_room_rules_fini(&registry.rules);
    });
    assert_int_equal(max_members_by_name("a.b"), 0);
    finish();
}

static void persistent_room_stays_until_the_table_is_closed(void **state)
{
    static const char *const stay[] = {"persistent", "yes", NULL};
    wsock_room *first = NULL, *again = NULL, *plain = NULL;

    (void)state;
    begin();
    assert_int_equal(make(&first, "a", stay), 0);
    wsock_room_unref(first);
    assert_int_equal(registry.count, 1);
    assert_int_equal(wsi_registry_find(&registry, &again, "a"), 0);
    assert_ptr_equal(again, first);
    assert_int_equal(make(&plain, "b", NULL), 0);
    wsi_registry_close(&registry);
    assert_int_equal(registry.count, 2); /* by their handles */
    assert_int_equal(make(&first, "c", stay), WSOCK_ECLOSED);
    wsock_room_unref(again);
    wsock_room_unref(plain);
    assert_int_equal(registry.count, 0);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(name_leads_to_one_room),
        TEST(who_chooses_names_does_not_know_where_they_go),
        TEST(rooms_are_listed_by_pattern),
        TEST(table_grows_with_its_rooms),
        TEST(table_works_without_memory_to_grow),
        TEST(room_without_memory_is_not_made),
        TEST(rooms_come_and_go_under_threads),
        TEST(rooms_are_no_more_than_max_rooms),
        TEST(room_has_the_options_of_its_making),
        TEST(options_that_are_none_make_no_room),
        TEST(later_words_on_a_pattern_win),
        TEST(pattern_without_memory_changes_nothing),
        TEST(persistent_room_stays_until_the_table_is_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
