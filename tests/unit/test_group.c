/* SPDX-License-Identifier: MIT */
/* Who hears a room by a pattern: from when to when, once, in order, on two workers that
 * run when the test says. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>
#include <wsock/room.h>

#include "conn/closing.h"
#include "room/group.h"
#include "room/name.h"
#include "room/room.h"
#include "stage.h"

enum { CONNS = 4 }; /* even ones on worker 0, odd ones on worker 1 */

static struct stage stage;
static struct wsi_registry registry;
static wsock_room *room, *other; /* "match.1.chat", "match.2.chat" */
static struct script_peer peer[CONNS];
static struct wsock_conn *conn[CONNS];

static wsock_room *get(const char *name)
{
    char why[WSI_ROOM_WHY_SIZE];
    wsock_room *found;

    assert_int_equal(wsi_registry_get(&registry, &found, name, NULL, why, sizeof why), 0);
    return found;
}

static void begin(void)
{
    stage_begin(&stage, 2);
    assert_int_equal(wsi_registry_init(&registry, &stage.service.owner,
                                       &stage.service.profile.options),
                     0);
    room = get("match.1.chat");
    other = get("match.2.chat");
    for (unsigned i = 0; i < CONNS; i++) {
        conn[i] = stage_accept(&stage, &peer[i], i % 2);
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
    wsock_room_unref(room);
    wsock_room_unref(other);
    assert_int_equal(registry.count, 0);
    assert_int_equal(registry.groups.patterns.root.uses, 0);
    wsi_registry_fini(&registry);
    stage_end(&stage);
}

static int subscribe(int i, const char *pattern)
{
    return wsi_group_join(&registry, conn[i], pattern);
}

static int unsubscribe(int i, const char *pattern)
{
    return wsi_group_leave(&registry, conn[i], pattern);
}

static int say_to(wsock_room *to, const char *text)
{
    return wsock_room_broadcast(to, WSOCK_TEXT, text, strlen(text));
}

/* Since the last time it received these texts of one letter. */
static void heard(int i, const char *letters)
{
    char frames[3 * 32];
    size_t len = 0;

    for (; *letters != '\0'; letters++) {
        memcpy(frames + len, "\x81\x01", 2);
        frames[len + 2] = *letters;
        len += 3;
    }
    stage_sent_bytes(&peer[i], frames, len);
}

/* ---- which rooms, and once ---- */

static void subscriber_hears_rooms_that_match_and_no_others(void **state)
{
    wsock_room *late, *elsewhere;

    (void)state;
    begin();
    elsewhere = get("match.1.scores");
    assert_int_equal(subscribe(0, "match.*.chat"), 0);
    assert_int_equal(subscribe(1, "match.>"), 0);
    late = get("match.3.chat");
    assert_int_equal(say_to(room, "1"), 2);
    assert_int_equal(say_to(other, "2"), 2);
    assert_int_equal(say_to(late, "3"), 2);
    assert_int_equal(say_to(elsewhere, "4"), 1);
    stage_settle_all(&stage);
    heard(0, "123");
    heard(1, "1234");
    heard(2, "");
    wsock_room_unref(late);
    wsock_room_unref(elsewhere);
    finish();
}

/* With the server's policy, whatever the rooms have. */
static void slow_subscriber_loses_by_the_options_of_the_server(void **state)
{
    char *large = calloc(1, 70000);

    (void)state;
    begin();
    assert_int_equal(wsi_options_set(&stage.service.profile.options,
                                     "slow_queue_messages", "3", true, NULL, 0),
                     0);
    assert_int_equal(wsi_options_set(&stage.service.profile.options, "slow_members",
                                     "latest_only", true, NULL, 0),
                     0);
    assert_int_equal(subscribe(0, "match.>"), 0);
    peer[0].write_room = 0;
    assert_int_equal(wsock_room_broadcast(room, WSOCK_BINARY, large, 70000), 1);
    for (int i = 1; i <= 5; i++)
        say_to(i % 2 == 0 ? room : other, (char[]){(char)('0' + i), '\0'});
    stage_settle_all(&stage);
    assert_int_equal(unsubscribe(0, "match.>"), 0);
    stage_settle_all(&stage);
    peer[0].write_room = SCRIPT_UNLIMITED;
    stage_settle_all(&stage);
    assert_int_equal(peer[0].output.len, 70010 + 3 * 3);
    peer[0].output.len = 0;
    finish();
    free(large);
}

static void patterns_that_come_later_are_found(void **state)
{
    (void)state;
    begin();
    assert_int_equal(say_to(room, "1"), 0);
    assert_int_equal(subscribe(0, "match.*.chat"), 0);
    assert_int_equal(say_to(room, "2"), 1);
    assert_int_equal(subscribe(1, "match.1.*"), 0);
    assert_int_equal(say_to(room, "3"), 2);
    assert_int_equal(unsubscribe(0, "match.*.chat"), 0);
    assert_int_equal(say_to(room, "4"), 1);
    assert_int_equal(subscribe(0, "match.*.chat"), 0);
    assert_int_equal(say_to(room, "5"), 2);
    stage_settle_all(&stage);
    heard(0, "235");
    heard(1, "345");
    finish();
}

static void who_matches_twice_hears_once(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(wsock_room_join(room, conn[i]), 0);
        assert_int_equal(subscribe(i, "match.*.chat"), 0);
    }
    assert_int_equal(subscribe(0, "match.>"), 0);
    assert_int_equal(subscribe(3, ">"), 0);
    assert_int_equal(subscribe(3, "match.1.*"), 0);
    say_to(room, "1");
    say_to(other, "2");
    say_to(room, "3");
    stage_settle_all(&stage);
    for (int i = 0; i < CONNS; i++)
        heard(i, "132"); /* a room's queue is served at once; rooms have no order */
    finish();
}

static void count_is_of_members_and_subscriptions(void **state)
{
    (void)state;
    begin();
    assert_int_equal(wsock_room_join(room, conn[0]), 0);
    assert_int_equal(subscribe(0, "match.>"), 0);
    assert_int_equal(subscribe(1, "match.>"), 0);
    assert_int_equal(say_to(room, "1"), 3);
    assert_int_equal(wsock_room_count(room), 1);
    stage_settle_all(&stage);
    heard(0, "1");
    heard(1, "1");
    finish();
}

static int is_zero(wsock_conn *c, void *user)
{
    (void)user;
    return c == conn[0];
}

static void who_is_left_out_is_left_out(void **state)
{
    (void)state;
    begin();
    assert_int_equal(wsock_room_join(room, conn[0]), 0);
    assert_int_equal(subscribe(0, "match.>"), 0);
    assert_int_equal(subscribe(1, "match.>"), 0);
    wsock_room_broadcast_except(room, conn[0], WSOCK_TEXT, "1", 1);
    wsock_room_broadcast_except(room, conn[1], WSOCK_TEXT, "2", 1);
    assert_int_equal(wsock_room_broadcast_if(room, is_zero, NULL, WSOCK_TEXT, "3", 1), 1);
    stage_settle_all(&stage);
    heard(0, "23");
    heard(1, "1");
    finish();
}

/* ---- from when to when ---- */

static void subscriptions_are_seen_at_the_next_message(void **state)
{
    (void)state;
    begin();
    assert_int_equal(subscribe(0, "match.>"), 0);
    say_to(room, "1");
    stage_settle_all(&stage);
    assert_int_equal(subscribe(2, "match.>"), 0); /* on the same worker */
    say_to(room, "2");
    stage_settle_all(&stage);
    heard(0, "12");
    heard(2, "2");
    finish();
}

static void subscriber_hears_what_is_said_between(void **state)
{
    (void)state;
    begin();
    assert_int_equal(wsock_room_join(room, conn[2]), 0); /* so that all is queued */
    assert_int_equal(subscribe(3, "match.>"), 0);
    say_to(room, "1");
    assert_int_equal(subscribe(0, "match.>"), 0);
    say_to(room, "2");
    assert_int_equal(unsubscribe(0, "match.>"), 0);
    say_to(room, "3");
    assert_int_equal(subscribe(0, "match.>"), 0);
    assert_int_equal(subscribe(1, "match.>"), 0);
    say_to(room, "4");
    assert_int_equal(unsubscribe(1, "match.>"), 0);
    say_to(room, "5");
    stage_settle_all(&stage); /* all of it at once */
    heard(0, "245");
    heard(1, "4");
    heard(2, "12345");
    heard(3, "12345");
    finish();
}

/* A member's join has the room's mail under way before the end of a subscription. */
static void end_comes_behind_what_was_said_before(void **state)
{
    (void)state;
    begin();
    assert_int_equal(subscribe(0, "match.>"), 0);
    assert_int_equal(subscribe(2, "match.>"), 0);
    stage_settle_all(&stage);
    assert_int_equal(unsubscribe(2, "match.>"), 0);
    say_to(room, "1");
    say_to(other, "2");
    assert_int_equal(unsubscribe(0, "match.>"), 0);
    assert_int_equal(wsock_room_join(other, conn[0]), 0);
    say_to(other, "3");
    stage_settle_all(&stage);
    heard(0, "123");
    heard(2, "");
    finish();
}

/* Another thread has queued something and is not on to posting the mail for it. */
static void end_comes_behind_even_if_the_mail_is_late(void **state)
{
    (void)state;
    begin();
    assert_int_equal(wsock_room_join(room, conn[2]), 0);
    stage_settle_all(&stage);
    pthread_mutex_lock(&room->lock);
    room->shards[0].scheduled = true;
    pthread_mutex_unlock(&room->lock);
    wsock_room_ref(room);
    assert_int_equal(subscribe(0, "match.>"), 0);
    say_to(room, "1");
    assert_int_equal(unsubscribe(0, "match.>"), 0);
    stage_settle_all(&stage);
    heard(0, "1");
    wsi_shard_post(&room->shards[0]);
    stage_settle_all(&stage);
    heard(2, "1");
    finish();
}

static void connection_that_ends_unsubscribes(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 3; i++)
        assert_int_equal(subscribe(i, "match.>"), 0);
    assert_int_equal(wsi_conn_close(conn[0], 1000, NULL, 0), 0);
    drop(1);
    assert_int_equal(subscribe(0, "a"), WSOCK_ECLOSED);
    assert_int_equal(say_to(room, "1"), 1);
    stage_settle_all(&stage);
    stage_sent(&peer[0], "\x88\x02\x03\xe8");
    heard(2, "1");
    finish();
}

/* ---- limits ---- */

static void subscriptions_count_as_rooms(void **state)
{
    (void)state;
    begin();
    assert_int_equal(wsi_options_set_number(&stage.endpoint.options,
                                            "max_rooms_per_connection", 2, true, NULL, 0),
                     0);
    assert_int_equal(subscribe(0, "a"), 0);
    assert_int_equal(subscribe(0, "a"), WSOCK_EEXIST);
    assert_int_equal(wsock_room_join(room, conn[0]), 0);
    assert_int_equal(subscribe(0, "b"), WSOCK_ETOOBIG);
    assert_int_equal(wsock_room_join(other, conn[0]), WSOCK_ETOOBIG);
    assert_int_equal(unsubscribe(0, "b"), WSOCK_ENOENT);
    assert_int_equal(unsubscribe(1, "a"), WSOCK_ENOENT);
    assert_int_equal(unsubscribe(0, "a"), 0);
    assert_int_equal(unsubscribe(0, "a"), WSOCK_ENOENT);
    assert_int_equal(subscribe(0, "b"), 0);
    finish();
}

static void worker_that_is_behind_with_subscribers_is_waited_for(void **state)
{
    static char large[1024 * 1024];
    int r = 0, count = 0;

    (void)state;
    begin();
    assert_int_equal(subscribe(1, "match.>"), 0);
    while ((r = wsock_room_broadcast(room, WSOCK_BINARY, large, sizeof large)) == 1)
        count++;
    assert_int_equal(r, WSOCK_EAGAIN);
    assert_in_range(count, 15, 17);
    drop(1);
    stage_settle_all(&stage);
    finish();
}

static unsigned raw_windows(wsock_room *of)
{
    unsigned takers = 0;

    assert_int_equal(wsi_room_look(of, &takers), 0);
    return wsi_takers_windows(takers, WSI_FORM_RAW);
}

static void messages_are_packed_for_subscribers_too(void **state)
{
    (void)state;
    begin();
    assert_int_equal(raw_windows(room), 0);
    conn[0]->pmd.own_window_bits = 12;
    conn[1]->pmd.own_window_bits = 15;
    assert_int_equal(subscribe(0, "match.1.*"), 0);
    assert_int_equal(wsock_room_join(room, conn[1]), 0);
    assert_int_equal(raw_windows(room),
                     wsi_window_of(conn[0]) | wsi_window_of(conn[1]));
    assert_int_equal(raw_windows(other), 0);
    assert_int_equal(unsubscribe(0, "match.1.*"), 0);
    assert_int_equal(raw_windows(room), wsi_window_of(conn[1]));
    finish();
}

/* ---- memory ---- */

static void subscription_without_memory_changes_nothing(void **state)
{
    int r = 0;

    (void)state;
    begin();
    assert_int_equal(subscribe(0, "warm"), 0); /* what a connection and a table keep */
    FOR_EACH_OOM(r, r = subscribe(0, "match.*.chat"), {
        assert_int_equal(unsubscribe(0, "match.*.chat"), 0);
        stage_settle_all(&stage);
    });
    assert_int_equal(say_to(room, "x"), 0);
    finish();
}

static void broadcast_without_memory_reaches_nobody(void **state)
{
    int r = 0;

    (void)state;
    begin();
    assert_int_equal(wsock_room_join(room, conn[1]), 0);
    assert_int_equal(subscribe(0, "match.>"), 0);
    stage_settle_all(&stage);
    for (size_t n = 1;; n++) {
        test_fail_allocation(n, 1);
        r = say_to(room, "x");
        if (test_stop_failing() == 0)
            break;
        assert_int_equal(r, WSOCK_ENOMEM);
        stage_settle_all(&stage);
        heard(0, "");
        heard(1, "");
    }
    assert_int_equal(r, 2);
    stage_settle_all(&stage);
    heard(0, "x");
    heard(1, "x");
    finish();
}

static void broadcast_allocates_once_however_many_match(void **state)
{
    size_t before;

    (void)state;
    begin();
    for (int i = 0; i < CONNS; i++)
        assert_int_equal(subscribe(i, i % 2 ? "match.>" : "match.*.chat"), 0);
    assert_int_equal(say_to(room, "1"), CONNS); /* finds its groups */
    stage_settle_all(&stage);
    before = test_live_blocks();
    assert_int_equal(say_to(room, "2"), CONNS);
    assert_int_equal(test_live_blocks(), before + 1);
    stage_settle_all(&stage);
    assert_int_equal(test_live_blocks(), before);
    for (int i = 0; i < CONNS; i++)
        heard(i, "12");
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(subscriber_hears_rooms_that_match_and_no_others),
        TEST(slow_subscriber_loses_by_the_options_of_the_server),
        TEST(patterns_that_come_later_are_found),
        TEST(who_matches_twice_hears_once),
        TEST(count_is_of_members_and_subscriptions),
        TEST(who_is_left_out_is_left_out),
        TEST(subscriptions_are_seen_at_the_next_message),
        TEST(subscriber_hears_what_is_said_between),
        TEST(end_comes_behind_what_was_said_before),
        TEST(end_comes_behind_even_if_the_mail_is_late),
        TEST(connection_that_ends_unsubscribes),
        TEST(subscriptions_count_as_rooms),
        TEST(worker_that_is_behind_with_subscribers_is_waited_for),
        TEST(messages_are_packed_for_subscribers_too),
        TEST(subscription_without_memory_changes_nothing),
        TEST(broadcast_without_memory_reaches_nobody),
        TEST(broadcast_allocates_once_however_many_match),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
