/* SPDX-License-Identifier: MIT */
/* Who is in a room, what is told of it, and sending members away, on two workers that run
 * when the test says. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>
#include <wsock/member.h>
#include <wsock/room.h>

#include "conn/identity.h"
#include "room/room.h"
#include "stage.h"

enum { CONNS = 4 }; /* even ones on worker 0, odd ones on worker 1 */

static struct stage stage;
static struct wsi_registry registry;
static wsock_room *room;
static struct script_peer peer[CONNS];
static struct wsock_conn *conn[CONNS];
static char told[512]; /* what the handlers were told, word for word */
static int freed;

static int get(wsock_room **out, const char *name)
{
    char why[WSI_ROOM_WHY_SIZE];

    return wsi_registry_get(&registry, out, name, NULL, why, sizeof why);
}

/* The first and second are ann, the third is bob, the last one nobody. */
static void begin(void)
{
    static const char *const identities[CONNS] = {"ann", "ann", "bob", ""};

    told[0] = '\0';
    freed = 0;
    stage_begin(&stage, 2);
    assert_int_equal(wsi_registry_init(&registry, &stage.service.owner,
                                       &stage.service.profile.options),
                     0);
    assert_int_equal(get(&room, "r"), 0);
    for (unsigned i = 0; i < CONNS; i++) {
        conn[i] = stage_accept(&stage, &peer[i], i % 2);
        if (*identities[i] != '\0')
            assert_int_equal(wsi_conn_set_identity(conn[i], identities[i]), 0);
        script_feed(&peer[i], stage_request, strlen(stage_request));
    }
    stage_settle_all(&stage);
    for (int i = 0; i < CONNS; i++)
        stage_sent_bytes(&peer[i], stage_accepted, strlen(stage_accepted));
    stage_saw(&stage, "open | open | open | open");
}

static void drop(int i)
{
    stage_drop(&stage, conn[i], &peer[i]);
    conn[i] = NULL;
}

static void finish(void)
{
    for (int i = 0; i < CONNS; i++)
        if (conn[i] != NULL)
            drop(i);
    stage_settle_all(&stage);
    assert_int_equal(room->people.count, 0);
    wsock_room_unref(room);
    assert_int_equal(registry.count, 0);
    wsi_registry_fini(&registry);
    stage_end(&stage);
}

/* ---- what is told ---- */

static void add(const char *text)
{
    assert_true(strlen(told) + strlen(text) < sizeof told);
    strcat(told, text);
}

static void on_join(wsock_room *of, const wsock_member *member, void *user)
{
    char text[64];

    (void)user;
    assert_ptr_equal(of, room);
    assert_int_equal(member->size, sizeof *member);
    assert_string_equal(member->reason, "");
    snprintf(text, sizeof text, "+%s%s%.*s ", member->identity, member->first ? "!" : "",
             (int)member->info_len, (const char *)member->info);
    add(text);
}

static void on_leave(wsock_room *of, const wsock_member *member, void *user)
{
    char text[64];

    (void)user;
    assert_ptr_equal(of, room);
    snprintf(text, sizeof text, "-%s%s%d%s ", member->identity, member->last ? "!" : "",
             member->how, member->reason);
    add(text);
}

static void on_message(wsock_room *of, const wsock_room_message *message, void *user)
{
    char text[64];

    (void)user;
    assert_ptr_equal(of, room);
    snprintf(text, sizeof text, "%d%.*s ", message->type, (int)message->len,
             (const char *)message->data);
    add(text);
}

static void count_freed(void *user)
{
    (void)user;
    freed++;
}

static void listen_to_all(void)
{
    assert_int_equal(wsock_room_on_join(room, on_join, NULL, count_freed), 0);
    assert_int_equal(wsock_room_on_leave(room, on_leave, NULL, count_freed), 0);
    assert_int_equal(wsock_room_on_message(room, on_message, NULL, count_freed), 0);
}

static void was_told(const char *text)
{
    stage_settle_all(&stage);
    assert_string_equal(told, text);
    told[0] = '\0';
}

static void join_all(void)
{
    for (int i = 0; i < CONNS; i++)
        assert_int_equal(wsock_room_join(room, conn[i]), 0);
}

static int say(const char *text)
{
    return wsock_room_broadcast(room, WSOCK_TEXT, text, strlen(text));
}

static void comings_and_goings_are_told_in_the_rooms_order(void **state)
{
    (void)state;
    begin();
    listen_to_all();
    assert_int_equal(wsock_room_join(room, conn[0]), 0);
    say("hi");
    assert_int_equal(wsock_room_join(room, conn[1]), 0);
    assert_int_equal(wsock_room_join(room, conn[2]), 0);
    assert_int_equal(wsock_room_join(room, conn[3]), 0);
    assert_int_equal(wsock_room_leave(room, conn[0]), 0);
    say("ho");
    drop(1);
    assert_int_equal(wsock_room_leave(room, conn[3]), 0);
    was_told("+ann! 1hi +ann +bob! +! -ann1 1ho -ann!2 -!1 ");
    finish();
    assert_int_equal(freed, 3);
}

static void handlers_hear_from_when_they_are_set(void **state)
{
    (void)state;
    begin();
    assert_int_equal(wsock_room_on_leave(room, NULL, NULL, count_freed), 0);
    assert_int_equal(freed, 1);
    assert_null(room->herald);
    assert_int_equal(wsock_room_join(room, conn[0]), 0); /* not told of */
    assert_int_equal(wsock_room_on_leave(room, on_leave, NULL, count_freed), 0);
    assert_int_equal(wsock_room_join(room, conn[2]), 0);
    assert_int_equal(wsock_room_leave(room, conn[0]), 0);
    assert_int_equal(wsock_room_leave(room, conn[2]), 0);
    was_told("-bob!1 ");
    assert_int_equal(wsock_room_on_leave(room, NULL, NULL, NULL), 0);
    assert_int_equal(freed, 2);
    say("nobody hears");
    assert_int_equal(wsock_room_join(room, conn[2]), 0);
    assert_int_equal(wsock_room_leave(room, conn[2]), 0);
    was_told("");
    finish();
}

static void message_is_told_once_whoever_is_there(void **state)
{
    (void)state;
    begin();
    assert_int_equal(wsock_room_on_message(room, on_message, NULL, NULL), 0);
    assert_int_equal(say("empty"), 0);
    join_all();
    assert_int_equal(say("full"), CONNS);
    assert_int_equal(wsock_room_broadcast_except(room, conn[0], WSOCK_BINARY, "b", 1),
                     CONNS - 1);
    was_told("1empty 1full 2b ");
    finish();
}

static void application_that_is_behind_is_waited_for(void **state)
{
    static char large[1024 * 1024];
    int count = 0;

    (void)state;
    begin();
    assert_int_equal(wsock_room_on_message(room, on_message, NULL, NULL), 0);
    while (wsock_room_broadcast(room, WSOCK_BINARY, large, sizeof large) == 0)
        count++;
    assert_in_range(count, 15, 17);
    assert_int_equal(wsock_room_on_message(room, NULL, NULL, NULL), 0);
    stage_settle_all(&stage);
    assert_int_equal(say("x"), 0);
    finish();
}

static void nothing_is_told_behind_the_end_of_the_server(void **state)
{
    (void)state;
    begin();
    listen_to_all();
    assert_int_equal(wsock_room_join(room, conn[0]), 0);
    was_told("+ann! ");
    atomic_store(&stage.service.tasks, 0); /* as when the last one has ended */
    say("x");
    assert_int_equal(wsock_room_leave(room, conn[0]), 0);
    stage_settle_all(&stage);
    atomic_store(&stage.service.tasks, 1);
    was_told("");
    finish();
}

/* ---- people ---- */

static int show(const wsock_person *person, void *user)
{
    char text[64];

    snprintf(text, sizeof text, "%s:%zu:%.*s ", person->identity, person->conns,
             (int)person->info_len, (const char *)person->info);
    add(text);
    return user != NULL;
}

static void join_with(int i, const char *info)
{
    const wsock_join how = {.size = sizeof how, .info = info, .info_len = strlen(info)};

    assert_int_equal(wsock_room_join_with(room, conn[i], &how, NULL), 0);
}

static void people_are_identities_with_what_they_said(void **state)
{
    char out[8];

    (void)state;
    begin();
    assert_int_equal(wsock_room_people(room, show, NULL), 0);
    join_with(0, "old");
    join_with(1, "new");
    join_with(3, "ghost");
    assert_int_equal(wsock_room_people(room, show, NULL), 1);
    was_told("ann:2:new ");
    assert_int_equal(wsock_room_join(room, conn[2]), 0);
    assert_int_equal(wsock_room_people(room, show, room), 2); /* stops at the first */
    assert_int_equal(strchr(told, ' ') - told, (long)strlen(told) - 1);
    told[0] = '\0';
    assert_int_equal(wsock_room_info(room, conn[0], out, sizeof out), 3);
    assert_memory_equal(out, "old", 3);
    assert_int_equal(wsock_room_info(room, conn[0], out, 2), WSOCK_ETOOBIG);
    assert_int_equal(wsock_room_info(room, conn[2], NULL, 0), 0);
    assert_int_equal(wsock_room_leave(room, conn[1]), 0);
    assert_int_equal(wsock_room_info(room, conn[1], out, 8), WSOCK_ENOENT);
    assert_int_equal(wsock_room_leave(room, conn[2]), 0);
    assert_int_equal(wsock_room_people(room, show, NULL), 1);
    was_told("ann:1:old ");
    finish();
}

static void info_has_a_limit(void **state)
{
    static char large[4097];
    wsock_join how = {.size = sizeof how, .info = large, .info_len = sizeof large};

    (void)state;
    begin();
    assert_int_equal(wsock_room_join_with(room, conn[0], &how, NULL), WSOCK_ETOOBIG);
    assert_int_equal(wsock_room_count(room), 0);
    how.info_len--;
    assert_int_equal(wsock_room_join_with(room, conn[0], &how, NULL), 0);
    assert_int_equal(wsock_room_join_with(room, conn[0], &how, NULL), WSOCK_EEXIST);
    how.size--;
    assert_int_equal(wsock_room_join_with(room, conn[1], &how, NULL), WSOCK_EINVAL);
    assert_int_equal(room->people.count, 1);
    finish();
}

static void direct_messages_go_to_members_of_that_identity(void **state)
{
    (void)state;
    begin();
    assert_int_equal(wsock_room_join(room, conn[1]), 0);
    assert_int_equal(wsock_room_join(room, conn[2]), 0);
    assert_int_equal(wsock_room_send_to(room, "ann", WSOCK_TEXT, "x", 1), 1);
    assert_int_equal(wsock_room_send_to(room, "bob", WSOCK_TEXT, "y", 1), 1);
    assert_int_equal(wsock_room_send_to(room, "eve", WSOCK_TEXT, "z", 1), 0);
    stage_settle_all(&stage);
    stage_sent(&peer[0], "");
    stage_sent(&peer[1], "\x81\x01x");
    stage_sent(&peer[2], "\x81\x01y");
    finish();
}

static void identity_may_be_left_out_with_all_of_its_connections(void **state)
{
    wsock_publish what = {.size = sizeof what, .type = WSOCK_TEXT, .data = "x", .len = 1};
    int r = 0;

    (void)state;
    begin();
    join_all();
    what.except_identity = "ann";
    what.except = conn[0];
    assert_int_equal(wsock_room_publish(room, &what, NULL), 2);
    what.except_identity = "eve";
    assert_int_equal(wsock_room_publish(room, &what, NULL), 3);
    stage_settle_all(&stage);
    stage_sent(&peer[0], "");
    stage_sent(&peer[1], "\x81\x01x");
    for (int i = 2; i < CONNS; i++)
        stage_sent(&peer[i], "\x81\x01x\x81\x01x");
    what.except_identity = "ann";
    FOR_EACH_OOM(r, r = wsock_room_publish(room, &what, NULL), stage_settle_all(&stage));
    finish();
}

/* ---- sending away ---- */

static void kicked_identity_leaves_with_all_of_its_connections(void **state)
{
    char large[257];

    (void)state;
    begin();
    listen_to_all();
    join_all();
    was_told("+ann! +ann +bob! +! ");
    memset(large, 'x', 256);
    large[256] = '\0';
    assert_int_equal(wsock_room_kick(room, "ann", large), WSOCK_ETOOBIG);
    assert_int_equal(wsock_room_kick(room, "ann", "\xff"), WSOCK_EUTF8);
    say("1");
    assert_int_equal(wsock_room_kick(room, "ann", "spam"), 2);
    assert_int_equal(wsock_room_kick(room, "ann", "spam"), 0);
    assert_int_equal(wsock_room_kick_conn(room, conn[2], NULL), 0);
    assert_int_equal(wsock_room_kick_conn(room, conn[2], NULL), WSOCK_ENOENT);
    say("2");
    assert_int_equal(wsock_room_join(room, conn[0]), 0);
    was_told("11 -ann3spam -ann!3spam -bob!3 12 +ann! ");
    for (int i = 0; i < 3; i++)
        stage_sent(&peer[i], "\x81\x01"
                             "1");
    stage_sent(&peer[3], "\x81\x01"
                         "1\x81\x01"
                         "2");
    finish();
}

static void closed_room_is_over_and_its_name_is_free(void **state)
{
    wsock_room *next = NULL;

    (void)state;
    begin();
    listen_to_all();
    join_all();
    was_told("+ann! +ann +bob! +! ");
    assert_int_equal(say("1"), CONNS);
    assert_int_equal(wsock_room_close(room, "over"), 0);
    assert_int_equal(wsock_room_close(room, "over"), WSOCK_ECLOSED);
    assert_int_equal(say("2"), WSOCK_ECLOSED);
    assert_int_equal(wsock_room_join(room, conn[0]), WSOCK_ECLOSED);
    assert_int_equal(wsock_room_on_join(room, on_join, NULL, NULL), WSOCK_ECLOSED);
    assert_int_equal(wsock_room_count(room), 0);
    assert_int_equal(get(&next, "r"), 0);
    assert_ptr_not_equal(next, room);
    assert_int_equal(wsock_room_join(next, conn[0]), 0);
    was_told("11 -ann4over -ann!4over -bob!4over -!4over ");
    for (int i = 0; i < CONNS; i++)
        stage_sent(&peer[i], "\x81\x01"
                             "1");
    wsock_room_unref(next);
    finish();
}

static void persistent_room_goes_when_it_is_closed(void **state)
{
    static const char *const pairs[] = {"persistent", "yes", NULL};
    char why[WSI_ROOM_WHY_SIZE];
    struct wsi_options asked;
    wsock_room *stays = NULL;

    (void)state;
    begin();
    assert_int_equal(wsi_room_options_read(&asked, pairs, why, sizeof why), 0);
    assert_int_equal(
        wsi_registry_get(&registry, &stays, "stays", &asked, why, sizeof why), 0);
    assert_int_equal(wsock_room_close(stays, NULL), 0);
    assert_int_equal(registry.count, 1);
    wsock_room_unref(stays);
    finish();
}

/* ---- rates ---- */

static void rate_of_publishing_is_of_each_member(void **state)
{
    static const char *const pairs[] = {"max_publish_rate", "4", NULL};
    char why[WSI_ROOM_WHY_SIZE];
    struct wsi_options asked;
    wsock_room *slow = NULL;

    (void)state;
    begin();
    assert_int_equal(wsi_room_options_read(&asked, pairs, why, sizeof why), 0);
    assert_int_equal(wsi_registry_get(&registry, &slow, "slow", &asked, why, sizeof why),
                     0);
    assert_int_equal(wsock_room_may_publish(slow, conn[0]), WSOCK_ENOENT);
    assert_int_equal(wsock_room_join(slow, conn[0]), 0);
    assert_int_equal(wsock_room_join(slow, conn[1]), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(wsock_room_may_publish(slow, conn[0]), 0);
    assert_int_equal(wsock_room_may_publish(slow, conn[0]), WSOCK_ERATE);
    assert_int_equal(wsock_room_may_publish(slow, conn[1]), 0);
    stage_run(&stage, 250);
    assert_int_equal(wsock_room_may_publish(slow, conn[0]), 0);
    assert_int_equal(wsock_room_may_publish(slow, conn[0]), WSOCK_ERATE);
    stage_run(&stage, 10000);
    for (int i = 0; i < 4; i++)
        assert_int_equal(wsock_room_may_publish(slow, conn[0]), 0);
    assert_int_equal(wsock_room_may_publish(slow, conn[0]), WSOCK_ERATE);
    assert_int_equal(wsock_room_join(room, conn[0]), 0); /* where it is off */
    for (int i = 0; i < 100; i++)
        assert_int_equal(wsock_room_may_publish(room, conn[0]), 0);
    wsock_room_unref(slow);
    finish();
}

/* ---- memory ---- */

static void join_without_memory_leaves_nobody_behind(void **state)
{
    const wsock_join how = {.size = sizeof how, .info = "i", .info_len = 1};
    int r = 0;

    (void)state;
    begin();
    listen_to_all();
    assert_int_equal(wsock_room_join(room, conn[2]), 0); /* what the room makes once */
    was_told("+bob! ");
    FOR_EACH_OOM(r, r = wsock_room_join_with(room, conn[0], &how, NULL), {
        assert_int_equal(wsock_room_leave(room, conn[0]), 0);
        stage_settle_all(&stage);
    });
    assert_int_equal(room->people.count, 1);
    was_told("+ann!i -ann!1 +ann!i -ann!1 ");
    finish();
}

static void looking_and_kicking_need_memory(void **state)
{
    int r = 0;

    (void)state;
    begin();
    join_all();
    stage_settle_all(&stage);
    FOR_EACH_OOM(r, r = wsock_room_people(room, NULL, NULL), (void)0);
    FOR_EACH_OOM(r, r = wsock_room_on_join(room, on_join, NULL, NULL), {
        wsi_herald_free(room->herald);
        room->herald = NULL;
    });
    test_fail_allocation(1, 1);
    assert_int_equal(wsock_room_kick(room, "ann", "spam"), WSOCK_ENOMEM);
    test_stop_failing();
    assert_int_equal(wsock_room_count(room), CONNS);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(comings_and_goings_are_told_in_the_rooms_order),
        TEST(handlers_hear_from_when_they_are_set),
        TEST(message_is_told_once_whoever_is_there),
        TEST(application_that_is_behind_is_waited_for),
        TEST(nothing_is_told_behind_the_end_of_the_server),
        TEST(people_are_identities_with_what_they_said),
        TEST(info_has_a_limit),
        TEST(direct_messages_go_to_members_of_that_identity),
        TEST(identity_may_be_left_out_with_all_of_its_connections),
        TEST(kicked_identity_leaves_with_all_of_its_connections),
        TEST(closed_room_is_over_and_its_name_is_free),
        TEST(persistent_room_goes_when_it_is_closed),
        TEST(rate_of_publishing_is_of_each_member),
        TEST(join_without_memory_leaves_nobody_behind),
        TEST(looking_and_kicking_need_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
