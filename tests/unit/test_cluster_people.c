/* SPDX-License-Identifier: MIT */
/*
 * What members that speak rooms.v1 are told of people on other nodes, by a clock that the
 * test moves. What a client hears is written short: "in 2 ann bob" for `joined`, "2 +bob
 * -cat" for `presence`, and the data of a message.
 */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster_scene.h"
#include "conn/member.h"
#include "room/branch.h"
#include "room/room.h"
#include "room/spread.h"
#include "room/wire.h"

#define BEAT_MS UINT64_C(1000)

enum { NAMES = 16 };

/* ---- frames, in short ---- */

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void append(char *to, const char *before, const char *text)
{
    const size_t at = strlen(to);

    snprintf(to + at, sizeof peer[0].heard - at, "%s%s", before, text);
}

/* The names of an array, sorted, each with what is to stand before it. */
static void append_names(char *to, const char *frame, const char *field,
                         const char *before)
{
    const char *at = strstr(frame, field);
    char list[512], *names[NAMES], *behind = list;
    size_t count = 0;

    if (at == NULL)
        return;
    at += strlen(field);
    snprintf(list, sizeof list, "%.*s", (int)strcspn(at, "]"), at);
    for (char *name; count < NAMES && (name = strtok_r(behind, "\",", &behind)) != NULL;)
        names[count++] = name;
    qsort(names, count, sizeof *names, compare);
    for (size_t i = 0; i < count; i++)
        append(to, before, names[i]);
}

static const char *text_after(const char *frame, const char *field)
{
    static char text[64];
    const char *at = strstr(frame, field);

    text[0] = '\0';
    if (at != NULL)
        snprintf(text, sizeof text, "%.*s", (int)strcspn(at + strlen(field), "\",}"),
                 at + strlen(field));
    return text;
}

static void on_heard(wsock_conn *conn, int type, const void *data, size_t len, void *user)
{
    char *to = ((struct peer *)user)->heard, frame[1024];
    const char *pause = *to != '\0' ? "; " : "";

    (void)conn, (void)type;
    snprintf(frame, sizeof frame, "%.*s", (int)len, (const char *)data);
    if (strstr(frame, "\"type\":\"joined\"") != NULL) {
        append(to, pause, "in ");
        append(to, "", text_after(frame, "\"count\":"));
        append_names(to, frame, "\"members\":[", " ");
    } else if (strstr(frame, "\"type\":\"presence\"") != NULL) {
        append(to, pause, text_after(frame, "\"count\":"));
        append_names(to, frame, "\"joined\":[", " +");
        append_names(to, frame, "\"left\":[", " -");
    } else {
        append(to, pause, text_after(frame, "\"data\":\""));
    }
    if (strstr(frame, "\"infos\":{") != NULL)
        append(to, " ", strstr(frame, "\"infos\":{") + 8);
}

/* ---- nodes and clients ---- */

static void begin(const char *const *options)
{
    static const char *const beating[] = {"cluster_beat", "1s", NULL};

    begin_scene(&(struct scene){beating, options, on_heard});
}

static void connect_as(int i, int node, const char *name)
{
    wsock_conn *conn = connect_to(i, node);

    assert_int_equal(wsock_conn_set_identity(conn, name), 0);
    wsi_conn_set_form(conn, WSI_FORM_V1);
}

static void join(int i, int node, const char *name)
{
    connect_as(i, node, name);
    assert_int_equal(wsock_room_join(room[node], peer[i].conn), 0);
}

static void leave(int i, int node)
{
    assert_int_equal(wsock_room_leave(room[node], peer[i].conn), 0);
}

/* What follows a change is told in a frame of its own. */
static void rest(void)
{
    settle();
    pass(200);
}

static void cut(int node, bool cut)
{
    cut_node(node, cut);
    settle();
}

/* Ann on node 0, bob on node 1, and both have heard all of that. */
static void begin_with_two(const char *const *options)
{
    begin(options);
    join(0, 0, "ann");
    heard(0, "in 1 ann");
    join(1, 1, "bob");
    heard(1, "in 2 ann bob");
    rest();
    heard(0, "2 +bob");
}

/* ---- cases ---- */

static void members_hear_who_comes_and_goes_elsewhere(void **state)
{
    (void)state;
    begin_with_two(NULL);
    join(2, 2, "cat");
    heard(2, "in 3 ann bob cat");
    heard(0, "3 +cat");
    heard(1, "3 +cat");
    rest();
    leave(1, 1);
    heard(0, "2 -bob");
    heard(2, "2 -bob");
    assert_int_equal(wsock_room_people(room[0], NULL, NULL), 1);
    assert_int_equal(wsock_room_count(room[0]), 1);
    finish();
}

static void an_identity_on_several_nodes_is_one_person(void **state)
{
    (void)state;
    begin_with_two(NULL);
    join(2, 1, "ann");
    heard(2, "in 2 ann bob");
    join(3, 2, "ann");
    heard(3, "in 2 ann bob");
    rest();
    heard(0, "");
    heard(1, "");
    leave(0, 0);
    leave(2, 1);
    rest();
    heard(1, "");
    leave(3, 2);
    heard(1, "1 -ann");
    finish();
}

static void infos_come_along(void **state)
{
    const wsock_join how = {.size = sizeof how, .info = "[1]", .info_len = 3};

    (void)state;
    begin(NULL);
    connect_as(0, 0, "ann");
    assert_int_equal(wsock_room_join_with(room[0], peer[0].conn, &how, NULL), 0);
    heard(0, "in 1 ann {\"ann\":[1]}}");
    join(1, 1, "bob");
    heard(1, "in 2 ann bob {\"ann\":[1]}}");
    connect_as(2, 2, "cat");
    assert_int_equal(wsock_room_join_with(room[2], peer[2].conn, &how, NULL), 0);
    rest();
    heard(1, "3 +cat {\"cat\":[1]}}");
    finish();
}

static void large_rooms_hear_numbers_of_all_nodes(void **state)
{
    static const char *const few[] = {"members_listed", "1", NULL};

    (void)state;
    begin(few);
    join(0, 0, "ann");
    heard(0, "in 1 ann");
    join(1, 1, "bob");
    heard(1, "in 2");
    heard(0, "2");
    finish();
}

static void rooms_without_presence_know_of_their_node_only(void **state)
{
    static const char *const off[] = {"presence", "false", NULL};

    (void)state;
    begin(off);
    join(0, 0, "ann");
    join(1, 1, "bob");
    heard(0, "in 1 ann");
    heard(1, "in 1 bob");
    finish();
}

static void who_waits_for_people_hears_all_messages_behind_joined(void **state)
{
    (void)state;
    begin(NULL);
    join(0, 0, "ann");
    heard(0, "in 1 ann");
    fault(WSI_FAULT_SLOW, 1000);
    join(1, 1, "bob");
    settle();
    assert_int_equal(wsock_room_broadcast(room[1], WSOCK_TEXT, "a", 1), 1);
    assert_int_equal(wsock_room_broadcast(room[1], WSOCK_TEXT, "b", 1), 1);
    heard(1, "");
    join(2, 1, "cat");
    leave(2, 1); /* who leaves while it waits is told so nevertheless */
    settle();
    assert_int_equal(strncmp(peer[2].heard, "in 1 bob", 8), 0);
    pass(3000);
    heard(1, "in 2 ann bob; a; b");
    fault(WSI_FAULT_SLOW, 0);
    finish();
}

static void who_is_told_much_does_not_wait_for_people(void **state)
{
    (void)state;
    begin(NULL);
    join(0, 0, "ann");
    settle();
    fault(WSI_FAULT_SLOW, 1000);
    join(1, 1, "bob");
    for (int i = 0; i < 1030; i++)
        assert_int_equal(wsock_room_broadcast(room[1], WSOCK_TEXT, "x", 1), 1);
    settle();
    assert_int_equal(strncmp(peer[1].heard, "in 1 bob; x; x", 14), 0);
    assert_int_equal(wsock_room_dropped(room[1], NULL), 0);
    fault(WSI_FAULT_SLOW, 0);
    pass(3000);
    assert_int_equal(room[1]->heads, 2);
    finish();
}

static void nobody_waits_for_people_for_ever(void **state)
{
    (void)state;
    begin(NULL);
    join(0, 0, "ann");
    settle();
    fault(WSI_FAULT_SLOW, 60000);
    join(1, 1, "bob");
    pass(4000);
    heard(1, "");
    pass(2000);
    heard(1, "in 1 bob");
    fault(WSI_FAULT_SLOW, 0);
    pass(70000);
    heard(1, "2 +ann");
    fault(WSI_FAULT_AWAY, 1);
    join(2, 2, "cat");
    heard(2, "in 1 cat");
    fault(WSI_FAULT_AWAY, 0);
    pass(5000);
    heard(2, "3 +ann +bob");
    heard(1, "3 +cat");
    finish();
}

static void a_list_that_failed_is_asked_for_again(void **state)
{
    (void)state;
    begin(NULL);
    join(0, 0, "ann");
    settle();
    fault(WSI_FAULT_LOSE_ANSWERS, 1);
    join(1, 1, "bob");
    heard(1, "in 1 bob");
    fault(WSI_FAULT_LOSE_ANSWERS, 0);
    pass(2 * BEAT_MS);
    heard(1, "2 +ann");
    finish();
}

/* As with a broker that has no lists: what is announced is all that is known. */
static void where_lists_fail_nobody_waits_again(void **state)
{
    (void)state;
    begin(NULL);
    fault(WSI_FAULT_LOSE_ANSWERS, 1);
    fault(WSI_FAULT_SLOW, 100);
    join(0, 0, "ann");
    settle();
    join(1, 1, "bob"); /* it is told while a first list of ann's node is under way */
    heard(0, "");
    pass(500);
    heard(0, "in 2 ann bob");
    join(2, 0, "cat");
    heard(2, "in 3 ann bob cat");
    leave(1, 1);
    pass(1000);
    heard(2, "2 -bob");
    fault(WSI_FAULT_SLOW, 0);
    fault(WSI_FAULT_LOSE_ANSWERS, 0);
    finish();
}

static void people_of_a_lost_node_leave_and_come_back(void **state)
{
    (void)state;
    begin_with_two(NULL);
    pass(2 * BEAT_MS);
    cut(1, true);
    pass(3 * BEAT_MS);
    heard(0, "1 -bob");
    heard(1, ""); /* what it knew of the others stays */
    join(2, 1, "cat");
    heard(2, "in 3 ann bob cat");
    rest();
    heard(1, "3 +cat");
    cut(1, false);
    pass(3 * BEAT_MS);
    heard(0, "3 +bob +cat");
    heard(1, "");
    stop_node(1);
    pass(3 * BEAT_MS);
    heard(0, "2 -bob; 1 -cat");
    make_node(1);
    assert_int_equal(wsock_server_room(server[1], &room[1], "r"), 0);
    finish();
}

static void a_short_cut_is_mended_within_some_beats(void **state)
{
    (void)state;
    begin_with_two(NULL);
    pass(2 * BEAT_MS);
    cut(1, true);
    join(2, 1, "cat");
    settle();
    leave(1, 1);
    join(3, 0, "dan");
    settle();
    cut(1, false);
    heard(3, "in 3 ann bob dan");
    pass(3 * BEAT_MS);
    heard(0, "3 +dan; 3 +cat -bob");
    heard(2, "in 3 ann bob cat; 2 -bob; 3 +dan");
    finish();
}

static void announcements_that_got_lost_are_found(void **state)
{
    (void)state;
    begin_with_two(NULL);
    fault(WSI_FAULT_LOSE_MESSAGES, 1);
    join(2, 2, "cat");
    leave(1, 1);
    settle();
    fault(WSI_FAULT_LOSE_MESSAGES, 0);
    heard(0, "");
    pass(13 * BEAT_MS);
    heard(0, "2 +cat -bob");
    finish();
}

/* As if it overtook the answer of a broker that has several connections. */
static void announce(enum wsi_wire_kind kind, int node, const char *identity)
{
    struct wsi_wire wire = {.kind = kind, .type = WSOCK_TEXT, .identity = identity};

    memcpy(wire.node, wsi_registry_spread(room[node]->registry)->node, sizeof wire.node);
    wsi_roster_take(room[0], &wire);
}

static void what_is_announced_during_a_load_counts_more(void **state)
{
    (void)state;
    begin_with_two(NULL);
    join(2, 1, "cat");
    rest();
    heard(0, "3 +cat");
    fault(WSI_FAULT_SLOW, 2000);
    wsi_rosters_recount(wsi_registry_spread(room[0]->registry));
    pass(300);
    assert_true(room[0]->branch->roster.loading);
    announce(WSI_WIRE_LEFT, 1, "cat");
    announce(WSI_WIRE_LEFT, 2, "eve");
    announce(WSI_WIRE_JOINED, 2, "dan");
    pass(5000);
    heard(0, "2 -cat; 3 +dan");
    assert_false(room[0]->branch->roster.loading);
    assert_int_equal(room[0]->branch->roster.count, 2);
    pass(15 * BEAT_MS); /* the broker is right in the end */
    fault(WSI_FAULT_SLOW, 0);
    heard(0, "3 +cat -dan");
    finish();
}

/* As often as a node in trouble may say that it was cut off. */
static void who_waits_is_told_though_lists_are_asked_for_again_and_again(void **state)
{
    (void)state;
    begin(NULL);
    join(0, 0, "ann");
    settle();
    fault(WSI_FAULT_SLOW, 1000);
    join(1, 1, "bob");
    for (int i = 0; i < 12; i++) {
        wsi_rosters_recount(wsi_registry_spread(room[1]->registry));
        pass(250);
    }
    heard(1, "in 2 ann bob");
    fault(WSI_FAULT_SLOW, 0);
    finish();
}

static void a_list_from_before_nobody_listened_is_of_no_use(void **state)
{
    (void)state;
    begin_with_two(NULL);
    fault(WSI_FAULT_SLOW, 1000);
    join(2, 2, "cat");
    pass(1000);
    assert_true(room[2]->branch->roster.loading);
    leave(2, 2);
    leave(1, 1);
    settle();
    peer[2].heard[0] = '\0';
    assert_int_equal(wsock_room_join(room[2], peer[2].conn), 0);
    pass(3000);
    heard(2, "in 2 ann cat");
    fault(WSI_FAULT_SLOW, 0);
    finish();
}

enum { MANY = 200, AT_ONCE = 64, OF_ONE = 100 };

static wsock_room *many[MANY];

/* @return how many; how many there are under way. */
static size_t count_loaded(size_t *under_way)
{
    size_t loaded = 0;

    *under_way = 0;
    for (size_t i = 0; i < MANY; i++) {
        loaded += many[i]->branch->roster.loaded;
        *under_way += many[i]->branch->roster.loading;
    }
    return loaded;
}

static size_t count_loads(void)
{
    size_t count = 0;

    for (size_t i = 0; i < MANY; i++)
        count += many[i]->branch->roster.load;
    return count;
}

static void join_many(void)
{
    char name[16];

    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "many%d", i);
        assert_int_equal(wsock_server_room(server[1], &many[i], name), 0);
        assert_int_equal(wsock_room_join(many[i], peer[1 + i / OF_ONE].conn), 0);
    }
    settle();
}

static void lists_of_many_rooms_are_not_loaded_all_at_once(void **state)
{
    size_t loaded, under_way, most = 0;

    (void)state;
    begin(NULL);
    fault(WSI_FAULT_AWAY, 1);
    connect_as(1, 1, "bob");
    connect_as(2, 1, "cat");
    join_many();
    assert_int_equal(count_loaded(&under_way), 0);
    fault(WSI_FAULT_SLOW, 1000);
    fault(WSI_FAULT_AWAY, 0);
    for (int i = 0; (loaded = count_loaded(&under_way)) < MANY - 1; i++) {
        assert_true(i < 100);
        assert_true(under_way <= AT_ONCE);
        most = under_way > most ? under_way : most;
        if (most == AT_ONCE) /* one of those that wait goes */
            (void)wsock_room_leave(many[MANY - 1], peer[2].conn);
        pass(100);
    }
    assert_int_equal(most, AT_ONCE);
    assert_false(many[MANY - 1]->branch->roster.loaded);
    fault(WSI_FAULT_SLOW, 0);
    pass(10000);
    /* And no more of them are renewed in a second, five turns at most. */
    loaded = count_loads();
    wsi_rosters_recount(wsi_registry_spread(many[0]->registry));
    pass(1000);
    assert_in_range(count_loads() - loaded, 4 * 16, 5 * 16);
    pass(4000);
    assert_true(count_loads() - loaded >= MANY - 1);
    for (int i = 0; i < MANY; i++)
        wsock_room_unref(many[i]);
    finish();
}

static void people_are_kept_only_while_somebody_hears_of_them(void **state)
{
    (void)state;
    begin_with_two(NULL);
    assert_int_equal(room[0]->branch->roster.count, 1);
    leave(0, 0);
    settle();
    assert_int_equal(room[0]->branch->roster.count, 0);
    assert_int_equal(room[0]->people.count, 0);
    assert_int_equal(room[0]->heads, 0);
    peer[0].heard[0] = '\0';
    assert_int_equal(wsock_room_join(room[0], peer[0].conn), 0);
    heard(0, "in 2 ann bob");
    finish();
}

/* On one node; what changes within the pause between two frames is told at its end. */
static void who_comes_between_two_changes_hears_of_the_second(void **state)
{
    (void)state;
    begin(NULL);
    join(0, 0, "ann");
    join(1, 0, "bob");
    join(2, 0, "cat");
    join(3, 0, "dan");
    heard(3, "in 4 ann bob cat dan");
    leave(2, 0);
    rest();
    heard(3, "3 +dan -cat");
    assert_int_equal(wsock_room_join(room[0], peer[2].conn), 0);
    leave(0, 0);
    settle();
    pass(50); /* within the pause */
    peer[3].heard[0] = '\0';
    join(4, 0, "eve");
    settle();
    assert_int_equal(strncmp(peer[4].heard, "in 4 bob cat dan eve", 20), 0);
    assert_int_equal(wsock_room_join(room[0], peer[0].conn), 0);
    rest();
    assert_non_null(strstr(peer[4].heard, "5 +ann"));
    finish();
}

/* One allocation fails while somebody comes to a node. @return whether one did. */
static bool join_failing(size_t nth)
{
    const size_t live = test_live_blocks();
    size_t refused;

    begin_with_two(NULL);
    connect_as(2, 2, "cat");
    test_fail_allocation(nth, 0);
    (void)wsock_room_join(room[2], peer[2].conn);
    (void)wsock_testing_run(runtime);
    refused = test_stop_failing();
    pass(15 * BEAT_MS);
    /* Some may have been cut off for want of memory; each is on one node. */
    for (int i = 0; i < NODES; i++)
        if (wsock_room_count(room[i]) > 0)
            assert_int_equal(room[i]->heads, wsock_room_count(room[0]) +
                                                 wsock_room_count(room[1]) +
                                                 wsock_room_count(room[2]));
    finish();
    assert_int_equal(test_live_blocks(), live);
    return refused > 0;
}

static void without_memory_people_are_found_later(void **state)
{
    (void)state;
    for (size_t n = 1; join_failing(n); n++)
        ;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(members_hear_who_comes_and_goes_elsewhere),
        TEST(an_identity_on_several_nodes_is_one_person),
        TEST(infos_come_along),
        TEST(large_rooms_hear_numbers_of_all_nodes),
        TEST(rooms_without_presence_know_of_their_node_only),
        TEST(who_waits_for_people_hears_all_messages_behind_joined),
        TEST(who_is_told_much_does_not_wait_for_people),
        TEST(nobody_waits_for_people_for_ever),
        TEST(a_list_that_failed_is_asked_for_again),
        TEST(where_lists_fail_nobody_waits_again),
        TEST(people_of_a_lost_node_leave_and_come_back),
        TEST(a_short_cut_is_mended_within_some_beats),
        TEST(announcements_that_got_lost_are_found),
        TEST(what_is_announced_during_a_load_counts_more),
        TEST(who_waits_is_told_though_lists_are_asked_for_again_and_again),
        TEST(a_list_from_before_nobody_listened_is_of_no_use),
        TEST(lists_of_many_rooms_are_not_loaded_all_at_once),
        TEST(people_are_kept_only_while_somebody_hears_of_them),
        TEST(who_comes_between_two_changes_hears_of_the_second),
        TEST(without_memory_people_are_found_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
