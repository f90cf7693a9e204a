/* SPDX-License-Identifier: MIT */
/* Bytes in: however they are cut the handlers are told the same, and what breaks a rule
 * is answered with its close code. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/closing.h"
#include "conn/rate.h"
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

static void finish(void)
{
    stage_finish(&stage, conn, &peer);
}

static void set(const char *name, const char *value)
{
    stage_set(&stage, name, value);
}

/* ---- cuts ---- */

/* Each piece arrives in a turn of its own; the answer is part of what is compared. */
static void receive_pieces(struct test_piece *pieces, size_t count,
                           struct test_transcript *out, void *user)
{
    char *hex;

    (void)user;
    stage.echo = true;
    stage_accept(&stage, &peer, 0);
    for (size_t i = 0; i < count; i++) {
        script_feed(&peer, pieces[i].data, pieces[i].len);
        wsi_loop_turn(stage.loop, 0);
    }
    stage_settle(&stage);
    stage_saw(&stage, "open | text \xc3\xa4 | binary 010203");
    hex = test_hex(peer.output.data, peer.output.len);
    test_transcript_add(out, "%s", hex);
    free(hex);
    peer.eof = true;
    stage_ended(&stage, &peer);
    stage_saw(&stage, "closed CLOSED 1000");
}

static void head_and_frames_may_be_cut_anywhere(void **state)
{
    struct script_peer input = {0};

    (void)state;
    script_feed(&input, stage_request, strlen(stage_request));
    stage_feed_masked(&input, 0x01, "\xc3", 1); /* a character in two frames */
    stage_feed_masked(&input, 0x89, "p", 1);
    stage_feed_masked(&input, 0x80, "\xa4", 1);
    stage_feed_masked(&input, 0x82, "\x01\x02\x03", 3);
    stage_feed_masked(&input, 0x88, "\x03\xe8", 2);
    stage_begin(&stage, 1);
    test_all_cuts(input.input.data, input.input.len, NULL, receive_pieces, NULL);
    stage_end(&stage);
    free(input.input.data);
}

static void message_comes_whole_from_single_bytes(void **state)
{
    (void)state;
    begin();
    peer.read_max = 1;
    stage_feed_masked(&peer, 0x81,
                      "Gr\xc3\xbc\xc3\x9f"
                      "e",
                      8);
    for (size_t i = 0; i + 1 < 6 + 8; i++) {
        wsi_loop_turn(stage.loop, 0);
        stage_saw(&stage, "");
    }
    wsi_loop_turn(stage.loop, 0);
    stage_saw(&stage, "text Gr\xc3\xbc\xc3\x9f"
                      "e");
    finish();
}

/* ---- rules ---- */

/* One frame that ends it: what is sent is a close frame with this code, then FIN. */
static void fails_with(const void *input, size_t len, unsigned code, const char *told)
{
    begin();
    script_feed(&peer, input, len);
    stage_feed_masked(&peer, 0x81, "never", 5);
    stage_settle(&stage);
    assert_true(peer.output.len >= 4);
    assert_int_equal(peer.output.data[0], 0x88);
    assert_int_equal(peer.output.data[1], peer.output.len - 2);
    assert_int_equal(peer.output.data[2] << 8 | peer.output.data[3], code);
    assert_true(script_fin(&peer));
    stage_saw(&stage, "");
    peer.eof = true;
    stage_ended(&stage, &peer);
    stage_saw(&stage, told);
    stage_end(&stage);
}

static void broken_rules_end_with_their_code_and_fin(void **state)
{
    (void)state;
    fails_with("\x81\x01x", 3, 1002, "closed PROTOCOL 1002");              /* no mask */
    fails_with("\xc1\x80\0\0\0\0", 6, 1002, "closed PROTOCOL 1002");       /* RSV1 */
    fails_with("\x83\x80\0\0\0\0", 6, 1002, "closed PROTOCOL 1002");       /* opcode 3 */
    fails_with("\x80\x80\0\0\0\0", 6, 1002, "closed PROTOCOL 1002");       /* no start */
    fails_with("\x09\x80\0\0\0\0", 6, 1002, "closed PROTOCOL 1002");       /* cut ping */
    fails_with("\x89\xfe\0\x7e\0\0\0\0", 8, 1002, "closed PROTOCOL 1002"); /* long ping */
    fails_with("\x81\xfe\0\x7d\0\0\0\0", 8, 1002, "closed PROTOCOL 1002"); /* overlong */
    fails_with("\x88\x81\0\0\0\0\x03", 7, 1002, "closed PROTOCOL 1002"); /* half a code */
    fails_with("\x88\x82\0\0\0\0\x03\xed", 8, 1002, "closed PROTOCOL 1002"); /* 1005 */
    fails_with("\x81\x81\0\0\0\0\xff", 7, 1007, "closed PROTOCOL 1007"); /* no UTF-8 */
    fails_with("\x82\xff\0\0\0\0\x40\0\0\0\0\0\0\0", 14, 1009, "closed LIMIT 1009");
}

static void client_refuses_masked_frames(void **state)
{
    (void)state;
    begin_client();
    stage_fix_random(&stage);
    script_feed(&peer, "\x81\x81\x01\x02\x03\x04x", 7);
    stage_settle(&stage);
    assert_int_equal(peer.output.data[0], 0x88);
    assert_memory_equal(peer.output.data + 2, "\x00\x01\x02\x03\x03\xeb", 6); /* 1002 */
    assert_true(script_fin(&peer));
    peer.eof = true;
    stage_ended(&stage, &peer);
    stage_saw(&stage, "closed PROTOCOL 1002");
    stage_end(&stage);
}

static void messages_are_held_to_the_limits_that_are_set(void **state)
{
    (void)state;
    begin();
    set("max_message_bytes", "4");
    stage_feed_masked(&peer, 0x81, "four", 4);
    stage_feed_masked(&peer, 0x81, "fives", 5);
    stage_settle(&stage);
    stage_saw(&stage, "text four");
    assert_memory_equal(peer.output.data + 2, "\x03\xf1", 2); /* 1009 */
    peer.eof = true;
    stage_ended(&stage, &peer);
    stage_saw(&stage, "closed LIMIT 1009");
    stage_end(&stage);
}

static void data_after_the_close_frame_is_ignored(void **state)
{
    (void)state;
    begin();
    stage_feed_masked(&peer, 0x81, "first", 5);
    stage_feed_masked(&peer, 0x88, "\x03\xe8", 2);
    stage_feed_masked(&peer, 0x81, "late", 4);
    stage_feed_masked(&peer, 0x89, "late", 4);
    stage_settle(&stage);
    script_feed(&peer, "\xff\xff\xff", 3);
    stage_settle(&stage);
    stage_sent(&peer, "\x88\x02\x03\xe8");
    peer.eof = true;
    stage_ended(&stage, &peer);
    stage_saw(&stage, "text first | closed CLOSED 1000");
    stage_end(&stage);
}

static void end_without_close_frame_is_a_loss(void **state)
{
    (void)state;
    begin();
    stage_feed_masked(&peer, 0x81, "last", 4);
    peer.eof = true;
    stage_ended(&stage, &peer);
    stage_saw(&stage, "text last | closed LOST 1006");
    stage_end(&stage);
}

/* ---- pings ---- */

static void ping_is_answered_with_its_payload(void **state)
{
    (void)state;
    begin();
    stage_feed_masked(&peer, 0x89, NULL, 0);
    stage_feed_masked(&peer, 0x89, "a\0b", 3);
    stage_settle(&stage);
    stage_sent(&peer, "\x8a\x00\x8a\x03"
                      "a\0b");
    finish();
}

static void blocked_socket_gets_a_pong_for_the_newest_ping_alone(void **state)
{
    (void)state;
    begin();
    peer.write_room = 3;
    assert_int_equal(wsi_conn_send(conn, WSI_OP_TEXT, "hello", 5), 0);
    stage_settle(&stage);
    for (int i = 0; i < 1000; i++)
        stage_feed_masked(&peer, 0x89, "old", 3);
    stage_feed_masked(&peer, 0x89, "new", 3);
    stage_settle(&stage);
    stage_sent(&peer, "\x81\x05h");
    assert_int_equal(wsi_conn_buffered(conn), 4);
    peer.write_room = SCRIPT_UNLIMITED;
    stage_settle(&stage);
    stage_sent(&peer, "ello\x8a\x03new");
    stage_feed_masked(&peer, 0x89, "next", 4);
    stage_settle(&stage);
    stage_sent(&peer, "\x8a\x04next");
    finish();
}

static void no_pong_follows_the_close_frame(void **state)
{
    (void)state;
    begin();
    peer.write_room = 3;
    assert_int_equal(wsi_conn_send(conn, WSI_OP_TEXT, "hello", 5), 0);
    stage_settle(&stage);
    stage_feed_masked(&peer, 0x89, "old", 3); /* is kept */
    stage_settle(&stage);
    assert_int_equal(wsi_conn_close(conn, 1000, NULL, 0), 0);
    peer.write_room = SCRIPT_UNLIMITED;
    stage_feed_masked(&peer, 0x89, "new", 3);
    stage_settle(&stage);
    stage_sent(&peer, "\x81\x05hello\x88\x02\x03\xe8");
    stage_drop(&stage, conn, &peer);
    stage_saw(&stage, "closed RESET 1006");
    stage_end(&stage);
}

/* ---- pausing ---- */

static void pause_here(struct wsock_conn *c)
{
    wsi_conn_pause(c, WSI_PAUSE_USER);
}

static void pause_and_resume_here(struct wsock_conn *c)
{
    wsi_conn_pause(c, WSI_PAUSE_USER);
    wsi_conn_resume(c, WSI_PAUSE_USER);
}

static void handler_that_pauses_is_told_nothing_more(void **state)
{
    unsigned receives;

    (void)state;
    begin();
    stage.on_message = pause_here;
    stage_feed_masked(&peer, 0x81, "1", 1);
    stage_feed_masked(&peer, 0x81, "2", 1);
    stage_feed_masked(&peer, 0x81, "3", 1);
    stage_settle(&stage);
    stage_saw(&stage, "text 1");
    stage_feed_masked(&peer, 0x81, "4", 1);
    receives = peer.receives;
    stage_settle(&stage);
    assert_int_equal(peer.receives, receives);
    for (int i = 2; i <= 4; i++) {
        char told[] = "text 0";

        told[5] = (char)('0' + i);
        wsi_conn_resume(conn, WSI_PAUSE_USER);
        stage_settle(&stage);
        stage_saw(&stage, told);
    }
    assert_int_equal(conn->held.len, 0);
    finish();
}

static void handler_that_pauses_and_resumes_misses_nothing(void **state)
{
    (void)state;
    begin();
    stage.on_message = pause_and_resume_here;
    stage_feed_masked(&peer, 0x81, "1", 1);
    stage_feed_masked(&peer, 0x81, "2", 1);
    stage_feed_masked(&peer, 0x81, "3", 1);
    stage_settle(&stage);
    stage_feed_masked(&peer, 0x81, "4", 1);
    stage_settle(&stage);
    stage_saw(&stage, "text 1 | text 2 | text 3 | text 4");
    finish();
}

static void reading_goes_on_when_no_reason_to_pause_is_left(void **state)
{
    (void)state;
    begin();
    wsi_conn_pause(conn, WSI_PAUSE_USER);
    wsi_conn_pause(conn, WSI_PAUSE_PRESSURE);
    stage_feed_masked(&peer, 0x81, "1", 1);
    wsi_conn_resume(conn, WSI_PAUSE_USER);
    stage_settle(&stage);
    stage_saw(&stage, "");
    wsi_conn_resume(conn, WSI_PAUSE_PRESSURE);
    stage_settle(&stage);
    stage_saw(&stage, "text 1");
    finish();
}

static void close_here(struct wsock_conn *c)
{
    wsi_conn_close(c, 0, NULL, 0);
}

static void handler_that_resets_is_told_nothing_more(void **state)
{
    (void)state;
    begin();
    stage.on_message = close_here;
    stage_feed_masked(&peer, 0x81, "1", 1);
    stage_feed_masked(&peer, 0x81, "2", 1);
    stage_ended(&stage, &peer);
    stage_saw(&stage, "text 1 | closed RESET 1006");
    stage_end(&stage);
}

static void frames_behind_the_request_wait_for_on_open(void **state)
{
    (void)state;
    stage_begin(&stage, 1);
    stage.echo = true;
    conn = stage_accept(&stage, &peer, 0);
    script_feed(&peer, stage_request, strlen(stage_request));
    stage_feed_masked(&peer, 0x81, "early", 5);
    stage_settle(&stage);
    stage_saw(&stage, "open | text early");
    assert_memory_equal(peer.output.data + strlen(stage_accepted),
                        "\x81\x05"
                        "early",
                        7);
    stage_drop(&stage, conn, &peer);
    stage_saw(&stage, "closed RESET 1006");
    stage_end(&stage);
}

static void pause_at_once(wsock_conn *c, void *user)
{
    (void)user;
    wsi_conn_pause(c, WSI_PAUSE_USER);
}

static void on_open_that_pauses_hears_of_nothing_yet(void **state)
{
    (void)state;
    stage_begin(&stage, 1);
    assert_int_equal(wsi_profile_on(&stage.endpoint, &stage.pool, WSI_ON_OPEN,
                                    (union wsi_handler_fn){.open = pause_at_once}, true,
                                    NULL, NULL),
                     0);
    conn = stage_accept(&stage, &peer, 0);
    script_feed(&peer, stage_request, strlen(stage_request));
    stage_feed_masked(&peer, 0x81, "early", 5);
    stage_settle(&stage);
    stage_feed_masked(&peer, 0x81, "later", 5);
    stage_settle(&stage);
    stage_saw(&stage, "");
    wsi_conn_resume(conn, WSI_PAUSE_USER);
    stage_settle(&stage);
    stage_saw(&stage, "text early | text later");
    finish();
}

/* ---- rates ---- */

static void feed_messages(int count)
{
    for (int i = 0; i < count; i++)
        stage_feed_masked(&peer, 0x82, "r", 1);
    stage_settle(&stage);
}

static void rate_lets_a_second_of_messages_through_at_once(void **state)
{
    (void)state;
    begin();
    set("max_message_rate", "5");
    feed_messages(5);
    stage_saw(&stage, "binary 72 | binary 72 | binary 72 | binary 72 | binary 72");
    stage_run(&stage, 200); /* one more is earned */
    feed_messages(1);
    stage_saw(&stage, "binary 72");
    stage_run(&stage, 199);
    feed_messages(1);
    stage_saw(&stage, "");
    assert_memory_equal(peer.output.data + 2, "\x03\xf0", 2); /* 1008 */
    peer.eof = true;
    stage_ended(&stage, &peer);
    stage_saw(&stage, "closed LIMIT 1008");
    stage_end(&stage);
}

static void rate_counts_pings_and_forgets_a_quiet_hour(void **state)
{
    (void)state;
    begin();
    set("max_message_rate", "2");
    set("idle_timeout", "off");
    set("pong_timeout", "off");
    feed_messages(2);
    stage_run(&stage, 3600 * 1000);
    peer.output.len = 0;
    stage_feed_masked(&peer, 0x89, NULL, 0);
    feed_messages(1);
    stage_saw(&stage, "binary 72 | binary 72 | binary 72");
    stage_feed_masked(&peer, 0x89, NULL, 0);
    stage_settle(&stage);
    assert_memory_equal(peer.output.data + 4, "\x03\xf0", 2); /* behind one pong */
    peer.eof = true;
    stage_ended(&stage, &peer);
    stage_saw(&stage, "closed LIMIT 1008");
    stage_end(&stage);
}

static void byte_rate_counts_payload(void **state)
{
    (void)state;
    begin();
    set("max_byte_rate", "10");
    stage_feed_masked(&peer, 0x81, "sixsix", 6);
    stage_feed_masked(&peer, 0x81, "four", 4);
    stage_settle(&stage);
    stage_saw(&stage, "text sixsix | text four");
    stage_run(&stage, 99);
    stage_feed_masked(&peer, 0x81, "1", 1);
    stage_settle(&stage);
    peer.eof = true;
    stage_ended(&stage, &peer);
    stage_saw(&stage, "closed LIMIT 1008");
    stage_end(&stage);
}

static void rate_that_is_off_costs_nothing(void **state)
{
    (void)state;
    begin();
    feed_messages(3);
    assert_null(atomic_load(&conn->extra));
    set("max_message_rate", "100");
    feed_messages(1);
    assert_non_null(atomic_load(&conn->extra));
    stage_saw(&stage, "binary 72 | binary 72 | binary 72 | binary 72");
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(head_and_frames_may_be_cut_anywhere),
        TEST(message_comes_whole_from_single_bytes),
        TEST(broken_rules_end_with_their_code_and_fin),
        TEST(client_refuses_masked_frames),
        TEST(messages_are_held_to_the_limits_that_are_set),
        TEST(data_after_the_close_frame_is_ignored),
        TEST(end_without_close_frame_is_a_loss),
        TEST(ping_is_answered_with_its_payload),
        TEST(blocked_socket_gets_a_pong_for_the_newest_ping_alone),
        TEST(no_pong_follows_the_close_frame),
        TEST(handler_that_pauses_is_told_nothing_more),
        TEST(handler_that_pauses_and_resumes_misses_nothing),
        TEST(reading_goes_on_when_no_reason_to_pause_is_left),
        TEST(handler_that_resets_is_told_nothing_more),
        TEST(frames_behind_the_request_wait_for_on_open),
        TEST(on_open_that_pauses_hears_of_nothing_yet),
        TEST(rate_lets_a_second_of_messages_through_at_once),
        TEST(rate_counts_pings_and_forgets_a_quiet_hour),
        TEST(byte_rate_counts_payload),
        TEST(rate_that_is_off_costs_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
