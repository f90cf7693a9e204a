/* SPDX-License-Identifier: MIT */
/* Messages of rooms for a peer that does not read: which wait, which are dropped, and
 * what goes before them. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/closing.h"
#include "conn/droppable.h"
#include "conn/encode.h"
#include "conn/frames.h"
#include "conn/send.h"
#include "far.h"
#include "stage.h"

static struct stage stage;
static struct script_peer peer;
static struct wsock_conn *conn;
static struct wsi_feed_rules rules;
static struct wsi_feed feed;

static void set(const char *name, const char *value)
{
    assert_int_equal(wsi_options_set(&stage.endpoint.options, name, value, true, NULL, 0),
                     0);
}

static void begin(enum wsi_slow slow, uint64_t max_messages)
{
    rules = (struct wsi_feed_rules){
        .slow = slow, .max_messages = max_messages, .max_bytes = 1000000};
    wsi_feed_init(&feed, &rules);
    stage_begin(&stage, 1);
    conn = stage_accept_open(&stage, &peer);
    stage_saw(&stage, "open");
}

static void finish(void)
{
    stage_drop(&stage, conn, &peer);
    assert_int_equal(feed.count, 0);
    assert_int_equal(feed.bytes, 0);
    wsi_feed_end(conn, &feed);
    stage_end(&stage);
}

static bool deliver_to(struct wsi_feed *to, const void *data, size_t len, const char *key)
{
    struct wsi_frames frames = {0};
    struct wsi_blob *name = NULL;
    bool taken;

    assert_int_equal(wsi_encode_message(&frames.plain, WSOCK_TEXT, data, len), 0);
    if (key != NULL) {
        name = wsi_blob_new(strlen(key));
        assert_non_null(name);
        memcpy(name->data, key, strlen(key));
        name->len = strlen(key);
    }
    taken = wsi_conn_deliver(conn, to, &frames, name);
    wsi_blob_unref(name);
    wsi_blob_unref(frames.plain);
    return taken;
}

static bool deliver(const char *text)
{
    return deliver_to(&feed, text, strlen(text), NULL);
}

/* Fill the wire: what comes now has to wait. @return the frame's size. */
static size_t block(void)
{
    enum { LEN = 70000 };
    char *data = calloc(1, LEN);

    peer.write_room = 0;
    assert_true(deliver_to(&feed, data, LEN, NULL));
    stage_settle(&stage);
    assert_int_equal(feed.count, 0);
    free(data);
    return LEN + 10;
}

/* Let it read; skip what filled the wire. */
static void unblock(size_t skip)
{
    peer.write_room = SCRIPT_UNLIMITED;
    stage_settle(&stage);
    assert_true(peer.output.len >= skip);
    peer.output.len -= skip;
    memmove(peer.output.data, (char *)peer.output.data + skip, peer.output.len);
}

static uint64_t dropped(void)
{
    const uint64_t own = atomic_load(&feed.dropped);

    assert_int_equal(own, atomic_load(&rules.dropped));
    return own;
}

/* ---- the rules ---- */

static void newest_are_dropped(void **state)
{
    size_t skip;

    (void)state;
    begin(WSI_SLOW_DROP_NEWEST, 2);
    skip = block();
    assert_true(deliver("1"));
    assert_true(deliver("2"));
    assert_false(deliver("3"));
    assert_false(deliver("4"));
    assert_int_equal(dropped(), 2);
    unblock(skip);
    stage_sent(&peer, "\x81\x01"
                      "1\x81\x01"
                      "2");
    assert_true(deliver("5"));
    stage_settle(&stage);
    stage_sent(&peer, "\x81\x01"
                      "5");
    finish();
}

static void oldest_are_dropped(void **state)
{
    size_t skip;

    (void)state;
    begin(WSI_SLOW_DROP_OLDEST, 2);
    skip = block();
    for (int i = 1; i <= 5; i++)
        assert_true(deliver((char[]){(char)('0' + i), '\0'}));
    assert_int_equal(dropped(), 3);
    unblock(skip);
    stage_sent(&peer, "\x81\x01"
                      "4\x81\x01"
                      "5");
    finish();
}

static void latest_of_each_key_waits_in_its_place(void **state)
{
    size_t skip;

    (void)state;
    begin(WSI_SLOW_LATEST_ONLY, 3);
    skip = block();
    assert_true(deliver_to(&feed, "a1", 2, "a"));
    assert_true(deliver_to(&feed, "b1", 2, "b"));
    assert_true(deliver("-1"));
    assert_true(deliver_to(&feed, "a2 longer", 9, "a"));
    assert_true(deliver("-2"));
    assert_int_equal(dropped(), 2);
    assert_int_equal(feed.count, 3);
    assert_int_equal(feed.bytes, 11 + 4 + 4);
    assert_true(deliver_to(&feed, "c1", 2, "c")); /* the oldest goes: a */
    assert_int_equal(dropped(), 3);
    unblock(skip);
    stage_sent(&peer, "\x81\x02"
                      "b1\x81\x02"
                      "-2\x81\x02"
                      "c1");
    skip = block();
    assert_true(deliver_to(&feed, "a3", 2, "a")); /* none of it waits any more */
    unblock(skip);
    stage_sent(&peer, "\x81\x02"
                      "a3");
    finish();
}

static void rooms_have_keys_of_their_own(void **state)
{
    enum { ROOMS = 100 }; /* more than there are lists */
    struct wsi_feed feeds[ROOMS];
    size_t skip;

    (void)state;
    begin(WSI_SLOW_LATEST_ONLY, 3);
    skip = block();
    for (int i = 0; i < ROOMS; i++)
        wsi_feed_init(&feeds[i], &rules);
    for (int i = 0; i < 3 * ROOMS; i++)
        assert_true(deliver_to(&feeds[i % ROOMS], "x", 1, "key"));
    for (int i = 0; i < ROOMS; i++)
        assert_int_equal(feeds[i].count, 1);
    assert_int_equal(atomic_load(&rules.dropped), 2 * ROOMS);
    unblock(skip);
    assert_int_equal(peer.output.len, ROOMS * 3);
    peer.output.len = 0;
    finish();
}

static void latest_of_each_key_may_have_to_keep_the_order(void **state)
{
    size_t skip;

    (void)state;
    begin(WSI_SLOW_LATEST_ONLY, 3);
    rules.in_order = true;
    skip = block();
    assert_true(deliver_to(&feed, "a1", 2, "a"));
    assert_true(deliver_to(&feed, "b1", 2, "b"));
    assert_true(deliver_to(&feed, "a2", 2, "a"));
    assert_int_equal(dropped(), 1);
    unblock(skip);
    stage_sent(&peer, "\x81\x02"
                      "b1\x81\x02"
                      "a2");
    finish();
}

static void slow_one_is_closed(void **state)
{
    size_t skip;

    (void)state;
    begin(WSI_SLOW_CLOSE, 1);
    skip = block();
    assert_true(deliver("1"));
    assert_false(deliver("2"));
    assert_int_equal(wsi_conn_state(conn), WSI_CONN_CLOSING);
    assert_false(deliver("3"));
    assert_int_equal(dropped(), 1);
    unblock(skip);
    stage_sent(&peer, "\x88\x15\x03\xf5"
                      "too slow for a room");
    finish();
}

/* ---- bounds ---- */

static void bytes_are_bounded_too(void **state)
{
    char data[600] = {0};
    size_t skip;

    (void)state;
    begin(WSI_SLOW_DROP_NEWEST, 1000);
    rules.max_bytes = 1000;
    skip = block();
    assert_true(deliver_to(&feed, data, 600, NULL));
    assert_true(deliver_to(&feed, data, 600, NULL)); /* one beyond */
    assert_false(deliver_to(&feed, data, 1, NULL));
    unblock(skip);
    assert_int_equal(peer.output.len, 2 * 604);
    peer.output.len = 0;
    finish();
}

static void rooms_share_what_a_connection_may_have(void **state)
{
    struct wsi_feed_rules other_rules = {
        .slow = WSI_SLOW_DROP_OLDEST, .max_messages = 100, .max_bytes = 1000000};
    struct wsi_feed other;
    char *data = calloc(1, 100000);
    size_t skip;

    (void)state;
    begin(WSI_SLOW_DROP_NEWEST, 100);
    set("max_backlog_bytes", "300000");
    wsi_feed_init(&other, &other_rules);
    skip = block();
    assert_true(deliver_to(&feed, data, 100000, NULL));
    assert_true(deliver_to(&other, data, 1000, NULL));
    assert_true(deliver_to(&feed, data, 100000, NULL));
    assert_true(deliver_to(&feed, data, 100000, NULL));
    assert_false(deliver_to(&feed, data, 1, NULL));
    /* Only its own go for it, and then there are none left. */
    assert_false(deliver_to(&other, data, 1, NULL));
    assert_int_equal(atomic_load(&other.dropped), 2);
    assert_int_equal(feed.count, 3);
    assert_int_equal(wsi_droppable_bytes(conn), 3 * 100010);
    assert_true((size_t)atomic_load(&stage.pool.buffered) > skip + 300000);
    unblock(skip);
    assert_int_equal(atomic_load(&stage.pool.buffered), 0);
    assert_int_equal(peer.output.len, 3 * 100010);
    peer.output.len = 0;
    finish();
    free(data);
}

static void wire_gets_a_little_at_a_time(void **state)
{
    char data[1000] = {0};
    size_t most = 0;

    (void)state;
    begin(WSI_SLOW_DROP_NEWEST, 1000);
    block();
    for (int i = 0; i < 500; i++)
        assert_true(deliver_to(&feed, data, sizeof data, NULL));
    while (feed.count > 0) {
        peer.write_room = 10000;
        stage_settle(&stage);
        if (wsi_stream_queued(&conn->stream) > most)
            most = wsi_stream_queued(&conn->stream);
    }
    assert_in_range(most, 50000, 64 * 1024 + 2000);
    peer.write_room = SCRIPT_UNLIMITED;
    stage_settle(&stage);
    peer.output.len = 0;
    finish();
}

/* ---- what goes before ---- */

static void own_messages_and_control_frames_pass_what_waits(void **state)
{
    size_t skip;

    (void)state;
    begin(WSI_SLOW_DROP_NEWEST, 10);
    skip = block();
    assert_true(deliver("room"));
    assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT, "1", 1), 0);
    assert_int_equal(wsi_conn_send_control(conn, WSI_OP_PING, "p", 1), 0);
    assert_true(deliver("more"));
    wsi_worker_current = NULL;
    assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT, "2", 1), 0);
    wsi_worker_current = stage.worker;
    stage_settle(&stage);
    unblock(skip);
    stage_sent(&peer, "\x81\x01"
                      "1\x89\x01p\x81\x01"
                      "2\x81\x04room\x81\x04more");
    finish();
}

static void who_waits_for_drain_comes_to_his_turn(void **state)
{
    char data[1000] = {0};

    (void)state;
    begin(WSI_SLOW_DROP_NEWEST, 100000);
    set("max_backlog_bytes", "100000");
    peer.write_room = 0;
    while (wsi_conn_send(conn, WSOCK_BINARY, data, sizeof data) == 0)
        ;
    rules.max_bytes = 1000000;
    set("max_backlog_bytes", "400000");
    while (deliver_to(&feed, data, sizeof data, NULL))
        ;
    set("max_backlog_bytes", "100000");
    stage_settle(&stage);
    stage_saw(&stage, "");
    peer.write_room = 60000;
    stage_settle(&stage);
    stage_saw(&stage, "drain");
    assert_true(feed.count > 100);
    peer.write_room = SCRIPT_UNLIMITED;
    stage_settle(&stage);
    assert_int_equal(feed.count, 0);
    peer.output.len = 0;
    finish();
}

/* There may be room on the wire before what waits has been moved there. */
static void message_does_not_pass_those_that_wait(void **state)
{
    (void)state;
    begin(WSI_SLOW_DROP_NEWEST, 10);
    set("max_backlog_bytes", "200");
    peer.write_room = 0;
    assert_int_equal(wsi_conn_send(conn, WSOCK_BINARY, (char[98]){0}, 98), 0);
    assert_true(deliver("1"));
    assert_int_equal(feed.count, 1);
    set("max_backlog_bytes", "100000");
    assert_true(deliver("2"));
    assert_int_equal(feed.count, 2);
    unblock(100);
    stage_sent(&peer, "\x81\x01"
                      "1\x81\x01"
                      "2");
    finish();
}

static void what_waits_leaves_before_a_close(void **state)
{
    size_t skip;

    (void)state;
    begin(WSI_SLOW_DROP_NEWEST, 10);
    skip = block();
    assert_true(deliver("farewell"));
    assert_int_equal(wsi_conn_close(conn, 1000, NULL, 0), 0);
    assert_false(deliver("late"));
    unblock(skip);
    stage_sent(&peer, "\x81\x08"
                      "farewell\x88\x02\x03\xe8");
    finish();
}

static void what_a_room_said_leaves_after_the_leave(void **state)
{
    size_t skip;

    (void)state;
    begin(WSI_SLOW_DROP_OLDEST, 1);
    skip = block();
    assert_true(deliver("1"));
    wsi_feed_end(conn, &feed);
    assert_int_equal(feed.count, 0);
    assert_true(deliver("2")); /* as a member anew */
    assert_true(deliver("3"));
    assert_int_equal(dropped(), 1);
    unblock(skip);
    stage_sent(&peer, "\x81\x01"
                      "1\x81\x01"
                      "3");
    finish();
}

/* ---- notices of what was lost ---- */

static void notice(const char *text)
{
    struct wsi_blob *frame;

    assert_int_equal(wsi_encode_message(&frame, WSOCK_TEXT, text, strlen(text)), 0);
    wsi_conn_deliver_notice(conn, &feed, frame);
    wsi_blob_unref(frame);
}

static void a_notice_stands_where_the_first_was_lost(void **state)
{
    size_t skip;

    (void)state;
    begin(WSI_SLOW_DROP_NEWEST, 1);
    skip = block();
    assert_true(deliver("1"));
    assert_null(feed.notice);
    assert_false(deliver("2"));
    notice("A");
    assert_non_null(feed.notice); /* which is for what comes now, too */
    assert_false(deliver("3"));
    assert_non_null(feed.notice);
    assert_int_equal(feed.count, 1); /* it counts for nothing */
    rules.max_messages = 2;
    assert_true(deliver("4"));
    assert_null(feed.notice); /* and not for what is lost behind this */
    assert_false(deliver("5"));
    notice("B");
    assert_int_equal(dropped(), 3);
    unblock(skip);
    assert_null(feed.notice);
    stage_sent(&peer, "\x81\x01"
                      "1\x81\x01"
                      "A\x81\x01"
                      "4\x81\x01"
                      "B");
    notice("C");
    stage_settle(&stage);
    assert_null(feed.notice); /* it does not wait */
    stage_sent(&peer, "\x81\x01"
                      "C");
    finish();
}

static void a_notice_goes_with_who_leaves(void **state)
{
    size_t skip;

    (void)state;
    begin(WSI_SLOW_DROP_OLDEST, 1);
    skip = block();
    assert_true(deliver("1"));
    notice("A");
    rules.max_messages = 2;
    assert_true(deliver("2"));
    notice("B");
    wsi_feed_end(conn, &feed);
    assert_null(feed.notice);
    notice("C"); /* as a member anew */
    assert_non_null(feed.notice);
    unblock(skip);
    assert_null(feed.notice);
    stage_sent(&peer, "\x81\x01"
                      "1\x81\x01"
                      "A\x81\x01"
                      "2\x81\x01"
                      "C");
    block();
    notice("D");
    finish(); /* while it waits */
    assert_null(feed.notice);
}

static void without_memory_for_a_notice_the_connection_ends(void **state)
{
    struct wsi_blob *frame;

    (void)state;
    begin(WSI_SLOW_DROP_NEWEST, 1);
    block();
    assert_int_equal(wsi_encode_message(&frame, WSOCK_TEXT, "A", 1), 0);
    test_fail_allocation(1, 1);
    wsi_conn_deliver_notice(conn, &feed, frame);
    assert_true(test_stop_failing() > 0);
    wsi_blob_unref(frame);
    assert_null(feed.notice);
    stage_settle(&stage);
    stage_saw(&stage, "closed NO_MEMORY 1006");
    stage_ended(&stage, &peer);
    stage_end(&stage);
}

static void dropping_leaves_contexts_right(void **state)
{
    enum { LEN = 3000, ROUNDS = 60 };
    char text[LEN + ROUNDS];
    struct far far;
    unsigned heard = 0;

    (void)state;
    for (int i = 0; i < LEN + ROUNDS; i++)
        text[i] = (char)('a' + i * i % 23);
    rules = (struct wsi_feed_rules){
        .slow = WSI_SLOW_DROP_OLDEST, .max_messages = 3, .max_bytes = 1000000};
    wsi_feed_init(&feed, &rules);
    stage_begin(&stage, 1);
    set("compression", "dedicated");
    conn = far_accept(&far, &stage, &peer, 0, "permessage-deflate");
    stage_saw(&stage, "open");
    for (int i = 0; i < ROUNDS; i++) {
        struct wsi_frames frames = {0};

        peer.write_room = i % 7 == 0 ? 2000 : 0;
        assert_int_equal(wsi_encode_message(&frames.plain, WSOCK_TEXT, text + i, LEN), 0);
        wsi_frames_pack(&frames, &stage.pool, &stage.endpoint.options,
                        wsi_window_of(conn));
        for (int k = 0; k < 40; k++)
            wsi_conn_deliver(conn, &feed, &frames, NULL);
        assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT, text + i, (size_t)(LEN - i)), 0);
        stage_settle(&stage);
        wsi_frames_drop_packed(&frames);
        wsi_blob_unref(frames.plain);
    }
    peer.write_room = SCRIPT_UNLIMITED;
    stage_settle(&stage);
    while (far_next(&far, &peer))
        heard++;
    assert_true(dropped() > 0);
    assert_int_equal(heard + dropped(), 41 * ROUNDS);
    far_fini(&far);
    finish();
}

/* Take the next frame of the peer's. @return its payload; NULL at the end. */
static const char *next_frame(size_t *pos)
{
    const uint8_t *at = (const uint8_t *)peer.output.data + *pos;
    size_t len, header;

    if (*pos == peer.output.len)
        return NULL;
    len = at[1] < 126 ? at[1] : (size_t)at[2] << 8 | at[3];
    header = at[1] < 126 ? 2 : 4;
    *pos += header + len;
    assert_true(*pos <= peer.output.len);
    return (const char *)at + header;
}

/* Two rooms and messages of its own ('0', '1', '2'), each numbered from 1. */
static void hear_all(const unsigned *said, uint64_t lost)
{
    unsigned last[3] = {0}, heard = 0;
    const char *text;
    size_t pos = 0;

    while ((text = next_frame(&pos)) != NULL) {
        const unsigned who = (unsigned)(text[0] - '0');
        const unsigned number = (unsigned)strtoul(text + 1, NULL, 10);

        assert_true(who < 3);
        assert_true(number > last[who]); /* in its order, once */
        if (who == 2)
            assert_int_equal(number, last[who] + 1); /* none is dropped */
        last[who] = number;
        heard++;
    }
    assert_int_equal(last[2], said[2]);
    assert_int_equal(heard + lost, said[0] + said[1] + said[2]);
    peer.output.len = 0;
}

static void act(uint32_t *seed, struct wsi_feed *feeds, unsigned *said)
{
    static const char *const keys[] = {NULL, "a", "b", "c"};
    const unsigned what = (unsigned)(test_random(seed) % 16);
    const unsigned who = (unsigned)(test_random(seed) % 2);
    char text[3000];

    memset(text, ' ', sizeof text);
    if (what < 11) {
        sprintf(text, "%u%u", who, ++said[who]);
        text[strlen(text)] = ' ';
        deliver_to(&feeds[who], text, 10 + test_random(seed) % 2900,
                   keys[test_random(seed) % 4]);
    } else if (what < 13) {
        sprintf(text, "2%u", ++said[2]);
        text[strlen(text)] = ' ';
        assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT, text, 20), 0);
    } else if (what == 13) {
        wsi_feed_end(conn, &feeds[who]);
    } else {
        peer.write_room = test_random(seed) % 20000;
        stage_settle(&stage);
    }
}

static void each_message_is_heard_in_order_or_counted(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 60; seed++) {
        struct wsi_feed feeds[2];
        unsigned said[3] = {0};
        uint32_t random = seed;

        begin((enum wsi_slow)(seed % 3), 1 + seed % 7);
        rules.in_order = true;
        wsi_feed_init(&feeds[0], &rules);
        wsi_feed_init(&feeds[1], &rules);
        block();
        peer.write_room = 70010;
        stage_settle(&stage);
        peer.output.len = 0;
        peer.write_room = 0;
        for (int i = 0; i < 400; i++)
            act(&random, feeds, said);
        peer.write_room = SCRIPT_UNLIMITED;
        stage_settle(&stage);
        hear_all(said, atomic_load(&rules.dropped));
        assert_int_equal(feeds[0].count + feeds[1].count, 0);
        wsi_feed_end(conn, &feeds[0]);
        wsi_feed_end(conn, &feeds[1]);
        finish();
    }
}

/* ---- memory ---- */

static void few_of_those_that_wait_allocate(void **state)
{
    struct wsi_frames frames = {0};
    size_t skip, live;

    (void)state;
    begin(WSI_SLOW_DROP_NEWEST, 1000);
    assert_int_equal(wsi_encode_message(&frames.plain, WSOCK_TEXT, "x", 1), 0);
    skip = block();
    live = test_live_blocks();
    for (int i = 0; i < 320; i++)
        assert_true(wsi_conn_deliver(conn, &feed, &frames, NULL));
    assert_in_range(test_live_blocks() - live, 1, 13);
    unblock(skip);
    assert_int_equal(peer.output.len, 320 * 3);
    peer.output.len = 0;
    assert_in_range(test_live_blocks(), live - 2, live + 1);
    wsi_blob_unref(frames.plain);
    finish();
}

static void without_memory_a_message_is_missed(void **state)
{
    struct wsi_frames frames = {0};
    struct wsi_blob *key = wsi_blob_new(1);
    size_t skip;
    unsigned missed = 0;

    (void)state;
    begin(WSI_SLOW_LATEST_ONLY, 1000);
    key->data[0] = 'k';
    key->len = 1;
    assert_int_equal(wsi_encode_message(&frames.plain, WSOCK_TEXT, "x", 1), 0);
    skip = block();
    for (size_t n = 1;; n++) {
        bool taken;

        test_fail_allocation(n, 1);
        taken = wsi_conn_deliver(conn, &feed, &frames, key);
        if (test_stop_failing() == 0) {
            assert_true(taken);
            break;
        }
        assert_false(taken);
        missed++;
    }
    assert_in_range(missed, 2, 4);
    assert_int_equal(dropped(), missed);
    unblock(skip);
    stage_sent(&peer, "\x81\x01x");
    wsi_blob_unref(frames.plain);
    wsi_blob_unref(key);
    finish();
}

static void end_lets_go_of_what_waits(void **state)
{
    (void)state;
    begin(WSI_SLOW_DROP_NEWEST, 100);
    block();
    for (int i = 0; i < 50; i++)
        assert_true(deliver("never heard"));
    assert_int_equal(dropped(), 0);
    finish(); /* which looks */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(newest_are_dropped),
        TEST(oldest_are_dropped),
        TEST(latest_of_each_key_waits_in_its_place),
        TEST(rooms_have_keys_of_their_own),
        TEST(latest_of_each_key_may_have_to_keep_the_order),
        TEST(slow_one_is_closed),
        TEST(bytes_are_bounded_too),
        TEST(rooms_share_what_a_connection_may_have),
        TEST(wire_gets_a_little_at_a_time),
        TEST(own_messages_and_control_frames_pass_what_waits),
        TEST(who_waits_for_drain_comes_to_his_turn),
        TEST(message_does_not_pass_those_that_wait),
        TEST(what_waits_leaves_before_a_close),
        TEST(what_a_room_said_leaves_after_the_leave),
        TEST(a_notice_stands_where_the_first_was_lost),
        TEST(a_notice_goes_with_who_leaves),
        TEST(without_memory_for_a_notice_the_connection_ends),
        TEST(dropping_leaves_contexts_right),
        TEST(each_message_is_heard_in_order_or_counted),
        TEST(few_of_those_that_wait_allocate),
        TEST(without_memory_a_message_is_missed),
        TEST(end_lets_go_of_what_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
