/* SPDX-License-Identifier: MIT */
/* The closing handshake from either side, and endings without one. */
#include "test.h"

#include <string.h>

#include <wsock/error.h>

#include "conn/closing.h"
#include "conn/send.h"
#include "stage.h"

static struct stage stage;
static struct script_peer peer;
static struct wsock_conn *conn;

static void begin(void)
{
    conn = stage_begin_server(&stage, &peer);
}

static void begin_client(void)
{
    conn = stage_begin_client(&stage, &peer);
}

/* The peer ends its socket; then this is told. */
static void finish(const char *told)
{
    peer.eof = true;
    stage_ended(&stage, &peer);
    stage_saw(&stage, told);
    stage_end(&stage);
}

static void server_ends_the_stream_when_its_close_is_answered(void **state)
{
    (void)state;
    begin();
    assert_int_equal(wsi_conn_close(conn, 4000, "enough", 6), 0);
    stage_settle(&stage);
    stage_sent(&peer, "\x88\x08\x0f\xa0"
                      "enough");
    assert_false(script_fin(&peer));
    stage_feed_masked(&peer, 0x81, "meanwhile", 9);
    stage_feed_masked(&peer, 0x88,
                      "\x0f\xa1"
                      "yes",
                      5);
    stage_settle(&stage);
    assert_true(script_fin(&peer));
    stage_sent(&peer, "");
    finish("text meanwhile | closed CLOSED 4001 yes");
}

static void client_waits_for_the_server_to_end_the_stream(void **state)
{
    (void)state;
    begin_client();
    stage_fix_random(&stage);
    assert_int_equal(wsi_conn_close(conn, 1000, NULL, 0), 0);
    stage_settle(&stage);
    stage_sent(&peer, "\x88\x82\x00\x01\x02\x03\x03\xe9");
    stage_feed_plain(&peer, 0x88, "\x03\xe8", 2);
    stage_settle(&stage);
    assert_false(script_fin(&peer));
    stage_saw(&stage, "");
    finish("closed CLOSED 1000");
}

static void close_of_the_peer_is_answered_with_its_code(void **state)
{
    static const struct {
        const char *frame;
        size_t len;
        const char *answer, *told;
        size_t size;
    } cases[] = {
        {"", 0, "\x88\x00", "closed CLOSED 1005", 2},
        {"\x03\xe8", 2, "\x88\x02\x03\xe8", "closed CLOSED 1000", 4},
        {"\x03\xe9go", 4, "\x88\x02\x03\xe9", "closed CLOSED 1001 go", 4},
        {"\x0b\xb8", 2, "\x88\x02\x0b\xb8", "closed CLOSED 3000", 4},
        {"\x13\x87", 2, "\x88\x02\x13\x87", "closed CLOSED 4999", 4},
        {"\x03\xe8"
         "a\0b",
         5, "\x88\x02\x03\xe8", "closed CLOSED 1000 a", 4},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin();
        stage_feed_masked(&peer, 0x88, cases[i].frame, cases[i].len);
        stage_settle(&stage);
        stage_sent_bytes(&peer, cases[i].answer, cases[i].size);
        assert_true(script_fin(&peer));
        finish(cases[i].told);
    }
}

static void both_ends_may_close_at_once(void **state)
{
    (void)state;
    begin();
    stage_feed_masked(&peer, 0x88, "\x03\xe9", 2);
    assert_int_equal(wsi_conn_close(conn, 1000, NULL, 0), 0);
    stage_settle(&stage);
    stage_sent(&peer, "\x88\x02\x03\xe8");
    finish("closed CLOSED 1001");
}

/* The mail of the close lies before that of the answer to the peer's. */
static void close_from_elsewhere_meets_the_peers(void **state)
{
    (void)state;
    begin();
    stage_feed_masked(&peer, 0x88, "\x03\xe9", 2);
    wsi_worker_current = NULL;
    assert_int_equal(wsi_conn_close(conn, 1000, "x", 1), 0);
    wsi_worker_current = stage.worker;
    stage_settle(&stage);
    stage_sent(&peer, "\x88\x02\x03\xe9");
    assert_true(script_fin(&peer));
    finish("closed CLOSED 1001");
}

static void second_close_is_refused_but_a_reset_is_not(void **state)
{
    (void)state;
    begin();
    assert_int_equal(wsi_conn_close(conn, 1000, NULL, 0), 0);
    assert_int_equal(wsi_conn_close(conn, 1001, NULL, 0), WSOCK_ECLOSED);
    stage_settle(&stage);
    stage_sent(&peer, "\x88\x02\x03\xe8");
    assert_int_equal(wsi_conn_close(conn, 0, NULL, 0), 0);
    stage_ended(&stage, &peer);
    stage_saw(&stage, "closed RESET 1006");
    stage_end(&stage);
}

static void close_from_another_thread_acts_on_the_worker(void **state)
{
    (void)state;
    begin();
    wsi_worker_current = NULL;
    assert_int_equal(wsi_conn_close(conn, 1000, "x", 1), 0);
    assert_int_equal(wsi_conn_close(conn, 1000, "y", 1), WSOCK_ECLOSED);
    wsi_worker_current = stage.worker;
    assert_int_equal(wsi_conn_state(conn), WSI_CONN_OPEN);
    assert_int_equal(wsi_conn_send(conn, WSI_OP_TEXT, "late", 4), WSOCK_ECLOSED);
    stage_settle(&stage);
    stage_sent(&peer, "\x88\x03\x03\xe8x");
    stage_feed_masked(&peer, 0x88, NULL, 0);
    finish("closed CLOSED 1005");
}

static int close_from_elsewhere(void)
{
    int r;

    wsi_worker_current = NULL;
    r = wsi_conn_close(conn, 1000, NULL, 0);
    wsi_worker_current = stage.worker;
    return r;
}

static void close_without_memory_changes_nothing(void **state)
{
    int r = 0;

    (void)state;
    begin();
    test_fail_allocation(1, 0);
    r = close_from_elsewhere();
    assert_int_equal(test_stop_failing(), 1);
    assert_int_equal(r, WSOCK_ENOMEM);
    assert_int_equal(wsi_conn_send(conn, WSI_OP_TEXT, "on", 2), 0);
    stage_settle(&stage);
    stage_sent(&peer, "\x81\x02on");
    assert_int_equal(close_from_elsewhere(), 0);
    stage_settle(&stage);
    stage_sent(&peer, "\x88\x02\x03\xe8");
    stage_feed_masked(&peer, 0x88, NULL, 0);
    finish("closed CLOSED 1005");
}

static void closing_reads_on_whatever_reading_waited_for(void **state)
{
    (void)state;
    begin();
    wsi_conn_pause(conn, WSI_PAUSE_USER);
    wsi_conn_pause(conn, WSI_PAUSE_PRESSURE);
    stage_feed_masked(&peer, 0x88, "\x03\xe8", 2);
    stage_settle(&stage);
    assert_int_equal(peer.received, strlen(stage_request));
    assert_int_equal(wsi_conn_close(conn, 1000, NULL, 0), 0);
    stage_settle(&stage);
    assert_true(script_fin(&peer));
    finish("closed CLOSED 1000");
}

static void close_frame_leaves_behind_the_backlog(void **state)
{
    (void)state;
    begin();
    peer.write_room = 0;
    assert_int_equal(wsi_conn_send(conn, WSI_OP_TEXT, "first", 5), 0);
    stage_feed_masked(&peer, 0x88, "\x03\xe8", 2);
    stage_settle(&stage);
    assert_false(script_fin(&peer));
    peer.write_room = SCRIPT_UNLIMITED;
    stage_settle(&stage);
    stage_sent(&peer, "\x81\x05"
                      "first\x88\x02\x03\xe8");
    assert_true(script_fin(&peer));
    finish("closed CLOSED 1000");
}

static void overload_says_1013_and_resets(void **state)
{
    (void)state;
    begin();
    wsi_conn_overload(conn);
    stage_settle(&stage);
    stage_sent(&peer, "\x88\x02\x03\xf5");
    stage_ended(&stage, &peer);
    stage_saw(&stage, "closed OVERLOAD 1006");
    stage_end(&stage);
}

static void going_away_says_so_once(void **state)
{
    (void)state;
    begin();
    wsi_conn_go_away(conn);
    wsi_conn_go_away(conn);
    stage_settle(&stage);
    stage_sent(&peer, "\x88\x0c\x03\xe9going away");
    stage_feed_masked(&peer, 0x88, "\x03\xe9", 2);
    finish("closed CLOSED 1001");
}

static void client_that_is_not_open_yet_is_given_up(void **state)
{
    (void)state;
    stage_begin(&stage, 1);
    conn = stage_connect(&stage, &peer);
    assert_int_equal(wsi_conn_close(conn, 1000, NULL, 0), 0);
    stage_ended(&stage, &peer);
    stage_saw(&stage, "closed RESET 1006");
    stage_end(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(server_ends_the_stream_when_its_close_is_answered),
        TEST(client_waits_for_the_server_to_end_the_stream),
        TEST(close_of_the_peer_is_answered_with_its_code),
        TEST(both_ends_may_close_at_once),
        TEST(close_from_elsewhere_meets_the_peers),
        TEST(second_close_is_refused_but_a_reset_is_not),
        TEST(close_from_another_thread_acts_on_the_worker),
        TEST(close_without_memory_changes_nothing),
        TEST(closing_reads_on_whatever_reading_waited_for),
        TEST(close_frame_leaves_behind_the_backlog),
        TEST(overload_says_1013_and_resets),
        TEST(going_away_says_so_once),
        TEST(client_that_is_not_open_yet_is_given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
