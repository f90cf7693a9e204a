/* SPDX-License-Identifier: MIT */
/* Messages out: order, the account of what waits, the mark, and on_drain. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/closing.h"
#include "conn/droppable.h"
#include "conn/encode.h"
#include "conn/frames.h"
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

static int send_text(const char *text)
{
    return wsi_conn_send(conn, WSI_OP_TEXT, text, strlen(text));
}

/* As another thread would: the thread is no worker meanwhile. */
static int send_from_elsewhere(const char *text)
{
    int r;

    wsi_worker_current = NULL;
    r = send_text(text);
    wsi_worker_current = stage.worker;
    return r;
}

/* ---- bytes ---- */

static void lengths_take_the_shortest_header(void **state)
{
    static const struct {
        size_t len;
        char head[10];
        size_t size;
    } cases[] = {
        {0, "\x82\x00", 2},
        {125, "\x82\x7d", 2},
        {126, "\x82\x7e\x00\x7e", 4},
        {4092, "\x82\x7e\x0f\xfc", 4},
        {4093, "\x82\x7e\x0f\xfd", 4}, /* from here on a reference */
        {65535, "\x82\x7e\xff\xff", 4},
        {65536, "\x82\x7f\0\0\0\0\0\x01\0\0", 10},
    };
    uint8_t *data = malloc(65536);

    (void)state;
    assert_non_null(data);
    memset(data, 'x', 65536);
    begin();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(wsi_conn_send(conn, WSI_OP_BINARY, data, cases[i].len), 0);
        stage_settle(&stage);
        assert_int_equal(peer.output.len, cases[i].size + cases[i].len);
        assert_memory_equal(peer.output.data, cases[i].head, cases[i].size);
        assert_memory_equal(peer.output.data + cases[i].size, data, cases[i].len);
        peer.output.len = 0;
    }
    finish();
    free(data);
}

static void client_masks_every_frame_with_a_key_of_its_own(void **state)
{
    (void)state;
    begin_client();
    stage_fix_random(&stage);
    assert_int_equal(send_text("ab"), 0);
    assert_int_equal(wsi_conn_send(conn, WSI_OP_BINARY, NULL, 0), 0);
    assert_int_equal(wsi_conn_send_control(conn, WSI_OP_PING, "p", 1), 0);
    assert_int_equal(wsi_conn_send_control(conn, WSI_OP_PONG, "q", 1), 0);
    stage_settle(&stage);
    stage_sent(&peer, "\x81\x82\x00\x01\x02\x03\x61\x63"
                      "\x82\x80\x04\x05\x06\x07"
                      "\x89\x81\x08\x09\x0a\x0b\x78"
                      "\x8a\x81\x0c\x0d\x0e\x0f\x7d");
    finish();
}

static void shared_frame_is_sent_as_it_is_or_masked(void **state)
{
    for (int i = 0; i < 2; i++) {
        struct wsi_blob *frame = NULL;

        (void)state;
        if (i == 0)
            begin();
        else
            begin_client();
        stage_fix_random(&stage);
        assert_int_equal(wsi_encode_message(&frame, WSOCK_TEXT, "ab", 2), 0);
        assert_int_equal(wsi_conn_send_frame(conn, frame), 0);
        wsi_worker_current = NULL;
        assert_int_equal(wsi_conn_send_frame(conn, frame), 0);
        wsi_worker_current = stage.worker;
        wsi_blob_unref(frame);
        stage_settle(&stage);
        if (i == 0)
            stage_sent(&peer, "\x81\x02"
                              "ab\x81\x02"
                              "ab");
        else
            stage_sent(&peer, "\x81\x82\x00\x01\x02\x03\x61\x63"
                              "\x81\x82\x04\x05\x06\x07\x65\x67");
        finish();
    }
}

static void text_that_is_no_utf8_is_not_sent(void **state)
{
    (void)state;
    begin();
    assert_int_equal(send_text("\xff"), WSOCK_EUTF8);
    assert_int_equal(wsi_conn_send(conn, WSI_OP_BINARY, "\xff", 1), 0);
    stage_settle(&stage);
    stage_sent(&peer, "\x82\x01\xff");
    finish();
}

/* ---- order ---- */

static void send_waits_for_mail_that_came_before_it(void **state)
{
    (void)state;
    begin();
    assert_int_equal(send_from_elsewhere("1"), 0);
    assert_int_equal(send_text("2"), 0);
    assert_int_equal(wsi_conn_send_control(conn, WSI_OP_PING, "3", 1), 0);
    assert_int_equal(send_from_elsewhere("4"), 0);
    stage_settle(&stage);
    assert_int_equal(send_text("5"), 0);
    stage_settle(&stage);
    stage_sent(&peer, "\x81\x01"
                      "1\x81\x01"
                      "2\x89\x01"
                      "3\x81\x01"
                      "4\x81\x01"
                      "5");
    finish();
}

static void close_comes_after_what_was_sent_before_it(void **state)
{
    (void)state;
    begin();
    assert_int_equal(send_from_elsewhere("1"), 0);
    assert_int_equal(send_text("2"), 0);
    assert_int_equal(wsi_conn_close(conn, 1000, NULL, 0), 0);
    assert_int_equal(send_text("3"), WSOCK_ECLOSED);
    assert_int_equal(send_from_elsewhere("3"), WSOCK_ECLOSED);
    assert_int_equal(wsi_conn_send_control(conn, WSI_OP_PING, NULL, 0), WSOCK_ECLOSED);
    stage_settle(&stage);
    stage_sent(&peer, "\x81\x01"
                      "1\x81\x01"
                      "2\x88\x02\x03\xe8");
    finish();
}

static void mail_to_a_connection_that_ended_is_dropped(void **state)
{
    (void)state;
    begin();
    wsock_conn_ref(conn);
    assert_int_equal(send_from_elsewhere("1"), 0);
    assert_int_equal(atomic_load(&stage.pool.buffered), 3);
    wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_RESET, WSOCK_BY_US, NULL);
    stage_ended(&stage, &peer);
    assert_int_equal(wsi_conn_buffered(conn), 0);
    assert_int_equal(atomic_load(&stage.pool.buffered), 0);
    assert_int_equal(send_text("2"), WSOCK_ECLOSED);
    wsock_conn_unref(conn);
    stage_saw(&stage, "closed RESET 1006");
    stage_end(&stage);
}

/* ---- the backlog ---- */

static void buffered_counts_every_byte_until_the_socket_takes_it(void **state)
{
    (void)state;
    begin();
    peer.write_room = 4;
    assert_int_equal(send_text("hello"), 0);
    assert_int_equal(wsi_conn_buffered(conn), 7);
    assert_int_equal(send_from_elsewhere("mail"), 0);
    assert_int_equal(wsi_conn_buffered(conn), 7 + 6);
    stage_settle(&stage);
    assert_int_equal(wsi_conn_buffered(conn), 7 + 6 - 4);
    peer.write_room = SCRIPT_UNLIMITED;
    stage_settle(&stage);
    assert_int_equal(wsi_conn_buffered(conn), 0);
    finish();
}

static void send_overshoots_the_mark_by_one_message(void **state)
{
    (void)state;
    begin();
    set("max_backlog_bytes", "10");
    peer.write_room = 0;
    assert_int_equal(send_text("1234567"), 0); /* 9 bytes */
    assert_int_equal(send_text("beyond"), 0);
    assert_int_equal(send_text("more"), WSOCK_EAGAIN);
    assert_int_equal(send_from_elsewhere("more"), WSOCK_EAGAIN);
    stage_settle(&stage);
    assert_int_equal(wsi_conn_buffered(conn), 17);
    stage_saw(&stage, "");
    finish();
}

static void mark_itself_is_full(void **state)
{
    (void)state;
    begin();
    set("max_backlog_bytes", "10");
    peer.write_room = 0;
    assert_int_equal(send_text("1234567"), 0); /* 9 bytes */
    assert_int_equal(wsi_conn_send(conn, WSI_OP_BINARY, "", 0), 0);
    assert_int_equal(wsi_conn_buffered(conn), 11);
    assert_int_equal(send_text(""), WSOCK_EAGAIN);
    set("max_backlog_bytes", "11");
    assert_int_equal(send_text(""), WSOCK_EAGAIN);
    set("max_backlog_bytes", "12");
    assert_int_equal(send_text(""), 0);
    finish();
}

static void drain_comes_once_when_half_of_the_mark_is_free(void **state)
{
    (void)state;
    begin();
    set("max_backlog_bytes", "10");
    peer.write_room = 0;
    assert_int_equal(send_text("1234567890"), 0);
    assert_int_equal(send_text("more"), WSOCK_EAGAIN);
    peer.write_room = 6;
    stage_settle(&stage);
    assert_int_equal(wsi_conn_buffered(conn), 6);
    stage_saw(&stage, "");
    peer.write_room = 1;
    stage_settle(&stage);
    stage_saw(&stage, "drain");
    peer.write_room = SCRIPT_UNLIMITED;
    stage_settle(&stage);
    stage_saw(&stage, "");
    stage_sent(&peer, "\x81\x0a"
                      "1234567890");
    finish();
}

static void drain_comes_too_when_only_mail_filled_the_backlog(void **state)
{
    (void)state;
    begin();
    set("max_backlog_bytes", "10");
    assert_int_equal(send_from_elsewhere("1234567890"), 0);
    assert_int_equal(send_from_elsewhere("more"), WSOCK_EAGAIN);
    stage_settle(&stage);
    stage_saw(&stage, "drain");
    finish();
}

static void no_drain_without_a_refusal(void **state)
{
    (void)state;
    begin();
    set("max_backlog_bytes", "10");
    peer.write_room = 0;
    assert_int_equal(send_text("1234567890"), 0);
    stage_settle(&stage);
    peer.write_room = SCRIPT_UNLIMITED;
    stage_settle(&stage);
    stage_saw(&stage, "");
    finish();
}

static void full_backlog_stops_reading_until_half_of_it_is_free(void **state)
{
    (void)state;
    begin();
    stage.echo = true;
    set("max_backlog_bytes", "10");
    peer.write_room = 0;
    for (int i = 0; i < 4; i++)
        stage_feed_masked(&peer, 0x81, "12345678", 8);
    stage_settle(&stage);
    stage_saw(&stage, "text 12345678");
    peer.write_room = 4;
    stage_settle(&stage);
    stage_saw(&stage, "");
    peer.write_room = 1;
    stage_settle(&stage);
    stage_saw(&stage, "text 12345678");
    peer.write_room = SCRIPT_UNLIMITED;
    stage_settle(&stage);
    stage_saw(&stage, "text 12345678 | text 12345678");
    stage_sent(&peer, "\x81\x08"
                      "12345678\x81\x08"
                      "12345678\x81\x08"
                      "12345678\x81\x08"
                      "12345678");
    finish();
}

static void full_backlog_need_not_stop_reading(void **state)
{
    (void)state;
    begin();
    set("max_backlog_bytes", "10");
    set("pause_read_when_backlogged", "off");
    peer.write_room = 0;
    assert_int_equal(send_text("1234567890"), 0);
    stage_feed_masked(&peer, 0x81, "in", 2);
    stage_settle(&stage);
    stage_saw(&stage, "text in");
    finish();
}

static void room_message_misses_who_is_behind(void **state)
{
    struct wsi_feed_rules rules = {.max_messages = 10, .max_bytes = 1000};
    struct wsi_feed feed;
    struct wsi_blob *frame = NULL;

    (void)state;
    begin();
    wsi_feed_init(&feed, &rules);
    set("max_backlog_bytes", "10");
    assert_int_equal(wsi_encode_message(&frame, WSOCK_TEXT, "12345678", 8), 0);
    peer.write_room = 0;
    assert_true(
        wsi_conn_deliver(conn, &feed, &(struct wsi_frames){.plain = frame}, NULL));
    assert_false(
        wsi_conn_deliver(conn, &feed, &(struct wsi_frames){.plain = frame}, NULL));
    wsi_blob_unref(frame);
    stage_settle(&stage);
    assert_int_equal(wsi_conn_buffered(conn), 10);
    finish();
}

static void account_of_the_runtime_follows_a_large_backlog(void **state)
{
    uint8_t *data = calloc(1, 300000);

    (void)state;
    begin();
    peer.write_room = 0;
    assert_int_equal(wsi_conn_send(conn, WSI_OP_BINARY, data, 300000), 0);
    stage_settle(&stage);
    assert_int_equal(atomic_load(&stage.pool.buffered), 300010);
    peer.write_room = SCRIPT_UNLIMITED;
    stage_settle(&stage);
    assert_int_equal(atomic_load(&stage.pool.buffered), 0);
    finish();
    free(data);
}

/* ---- memory ---- */

static void send_without_memory_says_so_and_sends_nothing(void **state)
{
    char *large = malloc(20001);
    int r = 0;

    (void)state;
    memset(large, 'x', 20000);
    large[20000] = '\0';
    begin();
    for (int i = 0; i < 2; i++) {
        const char *text = i == 0 ? large : "small";

        assert_int_equal(send_text(text), 0);
        stage_settle(&stage); /* what the loop keeps for next time is made */
        FOR_EACH_OOM(r, r = send_from_elsewhere(text), stage_settle(&stage));
        FOR_EACH_OOM(r, r = send_text(text), stage_settle(&stage));
    }
    stage_settle(&stage);
    /* Five times each: once to warm up, and the last round of both ways and kinds. */
    assert_int_equal(peer.output.len, 5 * (20000 + 4) + 5 * 7);
    finish();
    free(large);
}

static void accepted_mail_that_finds_no_memory_ends_the_connection(void **state)
{
    char *large = malloc(20001);

    (void)state;
    memset(large, 'x', 20000);
    large[20000] = '\0';
    begin();
    assert_int_equal(send_from_elsewhere(large), 0);
    test_fail_allocation(1, 1);
    stage_settle(&stage);
    assert_true(test_stop_failing() > 0);
    stage_ended(&stage, &peer);
    stage_saw(&stage, "closed NO_MEMORY 1006");
    stage_end(&stage);
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lengths_take_the_shortest_header),
        TEST(client_masks_every_frame_with_a_key_of_its_own),
        TEST(shared_frame_is_sent_as_it_is_or_masked),
        TEST(text_that_is_no_utf8_is_not_sent),
        TEST(send_waits_for_mail_that_came_before_it),
        TEST(close_comes_after_what_was_sent_before_it),
        TEST(mail_to_a_connection_that_ended_is_dropped),
        TEST(buffered_counts_every_byte_until_the_socket_takes_it),
        TEST(send_overshoots_the_mark_by_one_message),
        TEST(mark_itself_is_full),
        TEST(drain_comes_once_when_half_of_the_mark_is_free),
        TEST(drain_comes_too_when_only_mail_filled_the_backlog),
        TEST(no_drain_without_a_refusal),
        TEST(full_backlog_stops_reading_until_half_of_it_is_free),
        TEST(full_backlog_need_not_stop_reading),
        TEST(room_message_misses_who_is_behind),
        TEST(account_of_the_runtime_follows_a_large_backlog),
        TEST(send_without_memory_says_so_and_sends_nothing),
        TEST(accepted_mail_that_finds_no_memory_ends_the_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
