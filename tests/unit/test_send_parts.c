/* SPDX-License-Identifier: MIT */
/* Messages out, in parts: frames, what waits for the end, the mark, every way to fail. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/closing.h"
#include "conn/compress.h"
#include "conn/droppable.h"
#include "conn/encode.h"
#include "conn/frames.h"
#include "conn/send.h"
#include "conn/send_parts.h"
#include "far.h"
#include "stage.h"

enum {
    TEXT = WSI_OP_TEXT,
    BINARY = WSI_OP_BINARY,
    FIN = WSI_FRAME_FIN,
    LONGEST = 200 * 1000,
    TURNS_MAX = 8, /* of an exchange of a few mails */
};

static struct stage stage;
static struct script_peer peer;
static struct wsock_conn *conn;
static struct far far;
static struct script_bytes got; /* what parts_got() put together */

static void begin(void)
{
    conn = stage_begin_server(&stage, &peer);
}

static void finish(void)
{
    stage_drop(&stage, conn, &peer);
    assert_int_equal(atomic_load(&conn->posted_bytes), 0);
    wsock_conn_unref(conn);
    stage_saw(&stage, "closed RESET 1006");
    stage_end(&stage);
}

static void set(const char *name, const char *value)
{
    stage_set(&stage, name, value);
}

static int start(int type)
{
    return wsi_conn_send_begin(conn, type);
}

static int append(const char *text)
{
    return wsi_conn_send_append(conn, text, strlen(text));
}

static int end(void)
{
    return wsi_conn_send_end(conn);
}

static int send_text(const char *text)
{
    return wsi_conn_send(conn, TEXT, text, strlen(text));
}

/* What follows is called as another thread would. */
static void elsewhere(void)
{
    wsi_worker_current = NULL;
}

static void here(void)
{
    wsi_worker_current = stage.worker;
}

static int send_from_elsewhere(const char *text)
{
    int r;

    elsewhere();
    r = send_text(text);
    here();
    return r;
}

/* With a reference, so that it can be looked at when it has ended. */
static void begin_kept(void)
{
    begin();
    wsock_conn_ref(conn);
}

/* ---- frames ---- */

static void parts_leave_as_frames_of_one_message(void **state)
{
    (void)state;
    begin_kept();
    assert_int_equal(start(TEXT), 0);
    assert_int_equal(append("Hel"), 0);
    stage_settle(&stage);
    stage_sent(&peer, "\x01\x03Hel");
    assert_int_equal(append("l"), 0);
    assert_int_equal(append("o"), 0);
    assert_int_equal(end(), 0);
    stage_settle(&stage);
    stage_sent(&peer, "\x00\x01l\x00\x01o\x80\x00");
    assert_int_equal(wsi_conn_buffered(conn), 0);
    assert_int_equal(start(BINARY), 0);
    assert_int_equal(append("again"), 0);
    assert_int_equal(end(), 0);
    stage_settle(&stage);
    stage_sent(&peer, "\x02\x05"
                      "again\x80\x00");
    assert_true(wsi_conn_is_direct(conn));
    finish();
}

static void message_without_parts_is_one_empty_frame(void **state)
{
    (void)state;
    begin_kept();
    assert_int_equal(start(BINARY), 0);
    assert_int_equal(wsi_conn_send_append(conn, NULL, 0), 0);
    assert_int_equal(end(), 0);
    stage_settle(&stage);
    stage_sent(&peer, "\x82\x00");
    finish();
}

static void empty_part_is_no_frame(void **state)
{
    (void)state;
    begin_kept();
    assert_int_equal(start(TEXT), 0);
    assert_int_equal(append(""), 0);
    assert_int_equal(append("a"), 0);
    assert_int_equal(append(""), 0);
    assert_int_equal(end(), 0);
    stage_settle(&stage);
    stage_sent(&peer, "\x01\x01"
                      "a\x80\x00");
    finish();
}

static void client_masks_each_frame_anew(void **state)
{
    (void)state;
    stage_begin(&stage, 1);
    conn = wsock_conn_ref(stage_connect_open(&stage, &peer));
    stage_saw(&stage, "open");
    stage_fix_random(&stage);
    assert_int_equal(start(TEXT), 0);
    assert_int_equal(append("ab"), 0);
    assert_int_equal(append("cd"), 0);
    assert_int_equal(end(), 0);
    stage_settle(&stage);
    stage_sent(&peer, "\x01\x82\x00\x01\x02\x03"
                      "ac"
                      "\x00\x82\x04\x05\x06\x07"
                      "ga"
                      "\x80\x80\x08\x09\x0a\x0b");
    finish();
}

/* ---- compression ---- */

/* The next message of the far end, put together; `frames` counts its data frames. */
static void parts_got(unsigned byte0, const void *data, size_t len, unsigned *frames)
{
    unsigned n = 0;

    got.len = 0;
    do {
        assert_true(far_next(&far, &peer));
        assert_int_equal(far.byte0 & ~(unsigned)FIN, n == 0 ? byte0 : 0);
        if ((far.byte0 & FIN) == 0 && far.compressed)
            assert_true(far.wire_len >= 16 * 1024);
        got.data = realloc(got.data, got.len + far.data.len + 1);
        assert_non_null(got.data);
        if (far.data.len > 0)
            memcpy(got.data + got.len, far.data.data, far.data.len);
        got.len += far.data.len;
        n++;
    } while ((far.byte0 & FIN) == 0);
    assert_int_equal(got.len, len);
    assert_memory_equal(got.data, data, len);
    *frames = n;
}

static void begin_compressed(const char *mode, const char *offer)
{
    stage_begin(&stage, 1);
    set("compression", mode);
    conn = wsock_conn_ref(far_accept(&far, &stage, &peer, 0, offer));
    stage_saw(&stage, "open");
}

static void finish_compressed(void)
{
    assert_false(far_next(&far, &peer));
    far_fini(&far);
    finish();
    free(got.data);
    got = (struct script_bytes){0};
}

/* Half noise, half repeats. */
static void fill(uint8_t *out, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++)
        out[i] = i % 2000 < 1000 ? (uint8_t)(test_random(&seed) >> 16) : 'x';
}

static void append_in_pieces(const uint8_t *data, size_t len, size_t piece)
{
    for (size_t at = 0; at < len; at += piece)
        assert_int_equal(
            wsi_conn_send_append(conn, data + at, len - at < piece ? len - at : piece),
            0);
}

static const struct {
    const char *mode, *offer;
} modes[] = {
    {"off", "permessage-deflate"},
    {"shared", "permessage-deflate"},
    {"dedicated", "permessage-deflate; client_max_window_bits"},
};

static void frames_of_a_compressed_message_inflate_to_it(void **state)
{
    static const size_t pieces[] = {1000, 16384, 65536, LONGEST};
    uint8_t *data = malloc(LONGEST);

    (void)state;
    assert_non_null(data);
    fill(data, LONGEST, 1);
    for (size_t m = 0; m < 3; m++) {
        const unsigned rsv1 = m > 0 ? FAR_RSV1 : 0;
        unsigned frames;

        begin_compressed(modes[m].mode, modes[m].offer);
        for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
            const size_t count = (LONGEST + pieces[i] - 1) / pieces[i];

            assert_int_equal(start(BINARY), 0);
            append_in_pieces(data, LONGEST, pieces[i]);
            assert_int_equal(end(), 0);
            stage_settle(&stage);
            parts_got(BINARY | rsv1, data, LONGEST, &frames);
            if (m == 0)
                assert_int_equal(frames, count + 1);
            else
                assert_in_range(frames, 2, 8);
        }
        assert_int_equal(start(TEXT), 0);
        assert_int_equal(end(), 0);
        stage_settle(&stage);
        parts_got(TEXT | rsv1, "", 0, &frames);
        assert_int_equal(frames, 1);
        assert_int_equal(start(TEXT | WSOCK_UNCOMPRESSED), 0);
        assert_int_equal(append("plain"), 0);
        assert_int_equal(end(), 0);
        stage_settle(&stage);
        parts_got(TEXT, "plain", 5, &frames);
        finish_compressed();
    }
    free(data);
}

static struct wsi_feed_rules rules = {.max_messages = 10, .max_bytes = 10000};
static struct wsi_feed feed;

static void deliver(const void *data, size_t len, bool taken)
{
    struct wsi_frames frames = {0};

    assert_int_equal(wsi_encode_message(&frames.plain, BINARY, data, len), 0);
    wsi_frames_pack(&frames, &stage.pool, &stage.endpoint.options, wsi_window_of(conn));
    if (feed.rules == NULL)
        wsi_feed_init(&feed, &rules);
    assert_int_equal(wsi_conn_deliver(conn, &feed, &frames, NULL), taken);
    wsi_frames_drop_packed(&frames);
    wsi_blob_unref(frames.plain);
}

/* Whole messages, messages in parts, those of rooms: the peer's context follows. */
static void context_stays_right_among_all_kinds_of_messages(void **state)
{
    enum { LEN = 3000 };
    uint8_t data[LEN];
    unsigned frames;

    (void)state;
    fill(data, sizeof data, 2);
    for (size_t m = 1; m < 3; m++) {
        begin_compressed(modes[m].mode, modes[m].offer);
        for (int round = 0; round < 3; round++) {
            assert_int_equal(wsi_conn_send(conn, BINARY, data, LEN), 0);
            assert_int_equal(start(BINARY), 0);
            append_in_pieces(data, LEN, 700);
            stage_settle(&stage);
            deliver(data, LEN, true);
            assert_int_equal(wsi_conn_send(conn, BINARY, data, LEN - 1), 0);
            stage_settle(&stage);
            deliver(data, LEN - 2, true);
            assert_int_equal(end(), 0);
            assert_int_equal(wsi_conn_send(conn, BINARY, data, LEN - 3), 0);
            assert_int_equal(start(BINARY), 0);
            append_in_pieces(data, LEN - 4, 1000);
            assert_int_equal(end(), 0);
            stage_settle(&stage);
            deliver(data, LEN - 5, true);
            stage_settle(&stage);
            parts_got(BINARY | FAR_RSV1, data, LEN, &frames);
            parts_got(BINARY | FAR_RSV1, data, LEN, &frames);
            parts_got(BINARY | FAR_RSV1, data, LEN - 1, &frames);
            parts_got(BINARY | FAR_RSV1, data, LEN, &frames); /* the room's, behind */
            parts_got(BINARY | FAR_RSV1, data, LEN - 2, &frames);
            parts_got(BINARY | FAR_RSV1, data, LEN - 3, &frames);
            parts_got(BINARY | FAR_RSV1, data, LEN - 4, &frames);
            parts_got(BINARY | FAR_RSV1, data, LEN - 5, &frames);
        }
        finish_compressed();
    }
}

static size_t buffered(void)
{
    return (size_t)atomic_load(&stage.pool.buffered);
}

static void compressor_on_loan_counts_in_the_account_of_memory(void **state)
{
    enum { LENT = 200 * 1024, FRAGMENT = 10 * 1000 };
    uint8_t data[FRAGMENT];
    unsigned frames;

    (void)state;
    for (size_t i = 0; i < FRAGMENT; i++)
        data[i] = (uint8_t)(i * i >> 7 ^ i * 17);
    for (size_t m = 0; m < 3; m++) {
        begin_compressed(modes[m].mode, modes[m].offer);
        assert_int_equal(start(BINARY), 0);
        stage_settle(&stage);
        if (m == 1)
            assert_true(buffered() > LENT);
        else /* contexts were agreed on */
            assert_int_equal(buffered(), 0);
        append_in_pieces(data, FRAGMENT, 1000);
        stage_settle(&stage);
        assert_int_equal(buffered(), wsi_outgoing_held_bytes(conn));
        assert_int_equal(buffered() > 0, m > 0); /* a fragment that grows */
        assert_int_equal(end(), 0);
        stage_settle(&stage);
        assert_int_equal(buffered(), 0);
        parts_got(m > 0 ? BINARY | FAR_RSV1 : BINARY, data, FRAGMENT, &frames);
        assert_int_equal(start(BINARY | WSOCK_UNCOMPRESSED), 0);
        stage_settle(&stage);
        assert_int_equal(buffered(), 0);
        assert_int_equal(start(BINARY), WSOCK_EBUSY);
        finish_compressed();
    }
}

static void message_that_never_ends_does_not_outlast_the_pressure(void **state)
{
    (void)state;
    begin_compressed(modes[1].mode, modes[1].offer);
    assert_int_equal(wsi_options_set(&stage.pool.options, "max_buffered_bytes", "100000",
                                     true, NULL, 0),
                     0);
    assert_int_equal(start(TEXT), 0);
    stage_run(&stage, 1000);
    assert_int_equal(far_next(&far, &peer), true);
    assert_int_equal(far.byte0, 0x88);
    assert_memory_equal(far.data.data, "\x03\xf5", 2); /* 1013 */
    peer.eof = true;
    stage_settle(&stage);
    stage_ended(&stage, &peer);
    stage_saw(&stage, "closed OVERLOAD 1006");
    assert_int_equal(buffered(), 0);
    wsock_conn_unref(conn);
    far_fini(&far);
    stage_end(&stage);
}

/* ---- what waits ---- */

static void other_messages_wait_and_follow_in_order(void **state)
{
    (void)state;
    begin_kept();
    assert_int_equal(send_text("0"), 0);
    assert_int_equal(start(TEXT), 0);
    assert_int_equal(send_text("1"), 0);
    assert_int_equal(append("a"), 0);
    stage_settle(&stage);
    stage_sent(&peer, "\x81\x01"
                      "0\x01\x01"
                      "a");
    assert_int_equal(send_from_elsewhere("2"), 0);
    assert_int_equal(wsi_conn_buffered(conn), 6);
    stage_settle(&stage);
    assert_int_equal(wsi_conn_buffered(conn), 6);
    assert_int_equal(wsi_outgoing_waiting_bytes(conn), 6);
    assert_int_equal(append("b"), 0);
    assert_int_equal(wsi_conn_buffered(conn), 6 + 15);
    deliver("3", 1, true);
    assert_int_equal(wsi_conn_buffered(conn), 6 + 15);
    assert_int_equal(wsi_droppable_bytes(conn), 3);
    assert_int_equal(send_from_elsewhere("4"), 0);
    stage_settle(&stage);
    stage_sent(&peer, "\x00\x01"
                      "b");
    assert_int_equal(end(), 0);
    assert_int_equal(send_text("5"), 0);
    assert_int_equal(send_from_elsewhere("6"), 0);
    assert_int_equal(start(TEXT), 0);
    assert_int_equal(append("c"), 0);
    assert_int_equal(send_text("7"), 0);
    assert_int_equal(end(), 0);
    stage_settle(&stage);
    stage_sent(&peer, "\x80\x00\x81\x01"
                      "1\x81\x01"
                      "2\x81\x01"
                      "4\x82\x01"
                      "3\x81\x01"
                      "5\x81\x01"
                      "6\x01\x01"
                      "c\x80\x00\x81\x01"
                      "7");
    assert_int_equal(wsi_conn_buffered(conn), 0);
    finish();
}

static void pings_pongs_and_a_close_pass(void **state)
{
    (void)state;
    begin_kept();
    assert_int_equal(start(TEXT), 0);
    assert_int_equal(append("a"), 0);
    assert_int_equal(send_text("waits"), 0);
    assert_int_equal(wsi_conn_send_control(conn, WSI_OP_PING, "p", 1), 0);
    stage_settle(&stage);
    stage_feed_masked(&peer, 0x89, "q", 1);
    stage_settle(&stage);
    stage_sent(&peer, "\x01\x01"
                      "a\x89\x01p\x8a\x01q");
    assert_int_equal(append("b"), 0);
    assert_int_equal(wsi_conn_close(conn, 4001, "", 0), 0);
    assert_int_equal(append("c"), WSOCK_ECLOSED);
    assert_int_equal(end(), WSOCK_ECLOSED);
    assert_int_equal(start(TEXT), WSOCK_ECLOSED);
    stage_settle(&stage);
    stage_sent(&peer, "\x00\x01"
                      "b\x88\x02\x0f\xa1");
    stage_feed_masked(&peer, 0x88, "\x0f\xa1", 2);
    peer.eof = true;
    stage_settle(&stage);
    stage_ended(&stage, &peer);
    stage_saw(&stage, "closed CLOSED 4001");
    assert_int_equal(wsi_conn_buffered(conn), 0);
    wsock_conn_unref(conn);
    stage_end(&stage);
}

/* ---- what callers are told ---- */

static void calls_out_of_turn_are_refused(void **state)
{
    (void)state;
    begin_kept();
    assert_int_equal(append("a"), WSOCK_ENOENT);
    assert_int_equal(end(), WSOCK_ENOENT);
    assert_int_equal(start(TEXT), 0);
    assert_int_equal(start(TEXT), WSOCK_EBUSY);
    stage_settle(&stage);
    assert_int_equal(start(BINARY), WSOCK_EBUSY);
    assert_int_equal(append("a"), 0);
    assert_int_equal(end(), 0);
    assert_int_equal(end(), WSOCK_ENOENT);
    assert_int_equal(append("b"), WSOCK_ENOENT);
    stage_settle(&stage);
    assert_int_equal(append("b"), WSOCK_ENOENT);
    stage_sent(&peer, "\x01\x01"
                      "a\x80\x00");
    finish();
}

static void text_may_be_cut_inside_a_character(void **state)
{
    (void)state;
    begin_kept();
    assert_int_equal(start(TEXT), 0);
    assert_int_equal(append("\xe2"), 0);
    assert_int_equal(append("a"), WSOCK_EUTF8);
    assert_int_equal(append("\x98\x83 \xff"), WSOCK_EUTF8); /* nothing of it counts */
    assert_int_equal(append("\x98"), 0);
    assert_int_equal(end(), WSOCK_EUTF8);
    assert_int_equal(start(TEXT), WSOCK_EBUSY);
    assert_int_equal(append("\x83"), 0);
    assert_int_equal(end(), 0);
    stage_settle(&stage);
    stage_sent(&peer, "\x01\x01\xe2\x00\x01\x98\x00\x01\x83\x80\x00");
    assert_int_equal(start(BINARY), 0);
    assert_int_equal(append("\xff"), 0);
    assert_int_equal(end(), 0);
    finish();
}

/* ---- the mark ---- */

static void append_meets_the_mark_and_is_told_of_room(void **state)
{
    (void)state;
    begin_kept();
    set("max_backlog_bytes", "10");
    peer.write_room = 0;
    assert_int_equal(start(TEXT), 0);
    assert_int_equal(append("12345678"), 0);
    assert_int_equal(append("x"), WSOCK_EAGAIN);
    stage_settle(&stage);
    assert_int_equal(append("x"), WSOCK_EAGAIN);
    stage_saw(&stage, "");
    peer.write_room = SCRIPT_UNLIMITED;
    stage_settle(&stage);
    stage_saw(&stage, "drain");
    assert_int_equal(append("9"), 0);
    assert_int_equal(end(), 0);
    stage_settle(&stage);
    stage_saw(&stage, "");
    stage_sent(&peer, "\x01\x08"
                      "12345678\x00\x01"
                      "9\x80\x00");
    finish();
}

static void append_from_elsewhere_is_told_of_room_too(void **state)
{
    (void)state;
    begin_kept();
    set("max_backlog_bytes", "10");
    elsewhere();
    assert_int_equal(start(TEXT), 0);
    assert_int_equal(append("12345678"), 0);
    assert_int_equal(append("x"), WSOCK_EAGAIN);
    here();
    stage_settle(&stage);
    stage_saw(&stage, "drain");
    finish();
}

/* The refused append belongs to another message than the end that runs behind it. */
static void append_is_told_of_room_though_an_end_came_before(void **state)
{
    static const char long_part[] = "1234567890123456789012345678";

    (void)state;
    begin_kept();
    set("max_backlog_bytes", "37");
    assert_int_equal(start(TEXT), 0);
    assert_int_equal(append("12345678"), 0);
    assert_int_equal(end(), 0);
    assert_int_equal(start(TEXT), 0);
    assert_int_equal(append("y"), 0);
    assert_int_equal(append("x"), WSOCK_EAGAIN);
    stage_settle(&stage);
    stage_saw(&stage, "drain");
    /* Nor does an end of its own take the promise back. */
    assert_int_equal(append(long_part), 0);
    assert_int_equal(append("x"), WSOCK_EAGAIN);
    assert_int_equal(end(), 0);
    stage_settle(&stage);
    stage_saw(&stage, "drain");
    finish();
}

/* Who begins and ends without end is stopped, too. */
static void begin_meets_the_mark_and_is_told_of_room(void **state)
{
    int begun = 0;

    (void)state;
    begin_kept();
    set("max_backlog_bytes", "100");
    peer.write_room = 0;
    while (begun < 1000 && start(BINARY) == 0 && end() == 0)
        begun++;
    assert_in_range(begun, 1, 20);
    assert_int_equal(start(BINARY), WSOCK_EAGAIN);
    peer.write_room = SCRIPT_UNLIMITED;
    stage_settle(&stage);
    stage_saw(&stage, "drain");
    assert_int_equal(start(BINARY), 0);
    assert_int_equal(end(), 0);
    finish();
}

static void waiting_messages_do_not_keep_the_end_from_coming(void **state)
{
    unsigned turns;

    (void)state;
    begin_kept();
    set("max_backlog_bytes", "10");
    assert_int_equal(start(TEXT), 0);
    stage_settle(&stage);
    assert_int_equal(send_text("12345678"), 0);
    assert_int_equal(send_text("refused"), WSOCK_EAGAIN);
    deliver("missed", 6, false);
    stage_settle(&stage);
    deliver("missed", 6, false);
    turns = stage.script[0].waits;
    assert_int_equal(send_from_elsewhere("refused"), WSOCK_EAGAIN);
    stage_settle(&stage);
    stage_run(&stage, 1000);
    /* No drain mail goes round while the message is open. */
    assert_in_range(stage.script[0].waits - turns, 1, TURNS_MAX);
    stage_saw(&stage, "");
    assert_int_equal(append("abcdefgh"), 0);
    assert_int_equal(append("x"), WSOCK_EAGAIN);
    turns = stage.script[0].waits;
    stage_settle(&stage);
    assert_in_range(stage.script[0].waits - turns, 1, TURNS_MAX);
    stage_saw(&stage, "drain"); /* for who appends */
    assert_int_equal(append("i"), 0);
    stage_settle(&stage);
    stage_saw(&stage, "");
    assert_int_equal(end(), 0);
    stage_settle(&stage);
    stage_saw(&stage, "drain"); /* for who sends whole ones */
    stage_sent(&peer, "\x01\x08"
                      "abcdefgh\x00\x01i\x80\x00\x81\x08"
                      "12345678");
    finish();
}

static void whole_messages_are_told_of_room_when_the_socket_takes_them(void **state)
{
    (void)state;
    begin_kept();
    set("max_backlog_bytes", "10");
    assert_int_equal(start(TEXT), 0);
    assert_int_equal(send_from_elsewhere("12345678"), 0);
    assert_int_equal(send_from_elsewhere("x"), WSOCK_EAGAIN);
    peer.write_room = 0;
    assert_int_equal(end(), 0);
    stage_settle(&stage);
    stage_saw(&stage, "");
    peer.write_room = SCRIPT_UNLIMITED;
    stage_settle(&stage);
    stage_saw(&stage, "drain");
    finish();
}

static void end_itself_tells_whole_messages_of_room(void **state)
{
    (void)state;
    begin_kept();
    set("max_backlog_bytes", "10");
    set("pause_read_when_backlogged", "off"); /* or the backlog's end would tell */
    assert_int_equal(start(TEXT), 0);
    stage_settle(&stage);
    assert_int_equal(send_text("12345678"), 0);
    assert_int_equal(send_text("x"), WSOCK_EAGAIN);
    stage_settle(&stage);
    stage_saw(&stage, "");
    assert_int_equal(end(), 0);
    stage_settle(&stage);
    stage_saw(&stage, "drain");
    finish();
}

/* ---- ends in the middle ---- */

static void every_end_in_the_middle_frees_what_is_there(void **state)
{
    static const struct {
        const char *how, *saw;
    } ends[] = {
        {"eof", "closed LOST 1006"},     {"unreachable", "closed LOST 1006"},
        {"broken", "closed LOST 1006"},  {"reset", "closed RESET 1006"},
        {"close", "closed CLOSED 1000"}, {"error", "closed PROTOCOL 1002"},
    };

    (void)state;
    for (size_t i = 0; i < 3 * sizeof ends / sizeof ends[0]; i++) {
        const char *how = ends[i / 3].how;

        begin_compressed(modes[i % 3].mode, modes[i % 3].offer);
        assert_int_equal(start(TEXT), 0);
        assert_int_equal(append("appended"), 0);
        stage_settle(&stage);
        assert_int_equal(send_from_elsewhere("waits"), 0);
        assert_int_equal(send_text("waits"), 0);
        stage_settle(&stage);
        assert_int_equal(append("under way"), 0);
        assert_int_equal(send_from_elsewhere("under way"), 0);
        peer.eof = strcmp(how, "eof") == 0;
        if (strcmp(how, "broken") == 0)
            peer.write_resets = peer.sent + 1;
        if (strcmp(how, "broken") == 0)
            assert_int_equal(wsi_conn_send_control(conn, WSI_OP_PING, "p", 1), 0);
        else if (strcmp(how, "reset") == 0)
            assert_int_equal(wsi_conn_close(conn, 0, NULL, 0), 0);
        else if (strcmp(how, "unreachable") == 0)
            peer.read_resets = peer.received;
        else if (strcmp(how, "close") == 0)
            stage_feed_masked(&peer, 0x88, "\x03\xe8", 2);
        else if (strcmp(how, "error") == 0)
            stage_feed_masked(&peer, 0x8f, "", 0);
        stage_settle(&stage);
        peer.eof = true;
        stage_settle(&stage);
        stage_ended(&stage, &peer);
        stage_saw(&stage, ends[i / 3].saw);
        assert_int_equal(append("x"), WSOCK_ECLOSED);
        assert_int_equal(end(), WSOCK_ECLOSED);
        assert_int_equal(wsi_conn_buffered(conn), 0);
        wsock_conn_unref(conn);
        far_fini(&far);
        stage_end(&stage);
    }
}

static void compressor_of_a_message_that_never_ended_begins_anew(void **state)
{
    struct script_peer other;
    unsigned frames;

    (void)state;
    stage_begin(&stage, 1);
    set("compression", "shared");
    conn = far_accept(&far, &stage, &other, 0, "permessage-deflate");
    assert_int_equal(start(TEXT), 0);
    assert_int_equal(append("never ends"), 0);
    stage_settle(&stage);
    far_fini(&far);
    stage_drop(&stage, conn, &other);
    stage_saw(&stage, "open | closed RESET 1006");
    conn = wsock_conn_ref(far_accept(&far, &stage, &peer, 0, "permessage-deflate"));
    stage_saw(&stage, "open");
    assert_int_equal(start(TEXT), 0);
    assert_int_equal(append("ends"), 0);
    assert_int_equal(end(), 0);
    stage_settle(&stage);
    parts_got(TEXT | FAR_RSV1, "ends", 4, &frames);
    finish_compressed();
}

static void end_between_begin_and_its_mail_frees_it(void **state)
{
    (void)state;
    begin_kept();
    assert_int_equal(start(TEXT), 0);
    assert_int_equal(append("a"), 0);
    assert_int_equal(send_text("b"), 0);
    assert_int_equal(end(), 0);
    finish();
}

/* ---- without memory ---- */

/* What the far end was sent is a prefix of what was accepted, whole frames, in order. */
static void look_at_what_left(const uint8_t *data, size_t len, bool ended)
{
    bool in_parts = false;

    got.len = 0;
    while (far_next(&far, &peer)) {
        const unsigned opcode = far.byte0 & 0x0f;

        if (opcode == 0x08 || opcode == 0x09)
            continue;
        assert_int_equal(opcode == 0, in_parts);
        in_parts = (far.byte0 & FIN) == 0;
        got.data = realloc(got.data, got.len + far.data.len + 1);
        assert_non_null(got.data);
        if (far.data.len > 0)
            memcpy(got.data + got.len, far.data.data, far.data.len);
        got.len += far.data.len;
    }
    assert_true(got.len <= len);
    assert_memory_equal(got.data != NULL ? got.data : data, data, got.len);
    if (!ended)
        assert_int_equal(got.len, len);
}

static void accept_or_refuse(int r, uint8_t *data, size_t *len, const uint8_t *part,
                             size_t part_len)
{
    assert_true(r == 0 || r == WSOCK_ENOMEM || r == WSOCK_ECLOSED);
    if (r == 0) {
        memcpy(data + *len, part, part_len);
        *len += part_len;
    }
}

/* One message in parts, one that waits for it, one behind it, with the nth allocation
 * refused. @return how many were. */
static size_t without_memory(size_t mode, size_t nth, int for_ever)
{
    enum { LEN = 50000 };
    static uint8_t part[LEN], long_one[LONGEST], sent[3 * LEN + LONGEST];
    const size_t live = test_live_blocks();
    size_t len = 0, refused;
    bool ended;
    int r;

    fill(part, LEN, 3);
    fill(long_one, LONGEST, 4);
    begin_compressed(modes[mode].mode, modes[mode].offer);
    test_fail_allocation(nth, for_ever);
    r = start(BINARY);
    accept_or_refuse(r, sent, &len, part, 0);
    for (int i = 0; r == 0 && i < 3; i++) {
        /* The last leaves with the end where it is compressed. */
        const size_t n = i < 2 ? LEN : LEN / 3;

        accept_or_refuse(wsi_conn_send_append(conn, part, n), sent, &len, part, n);
        stage_settle(&stage);
    }
    if (r == 0) {
        int waits; /* large enough to leave before the turn ends */

        elsewhere();
        waits = wsi_conn_send(conn, BINARY | WSOCK_UNCOMPRESSED, long_one, LONGEST);
        here();
        assert_true(waits == 0 || waits == WSOCK_ENOMEM || waits == WSOCK_ECLOSED);
        stage_settle(&stage);
        r = end();
        while (r == WSOCK_ENOMEM && !for_ever)
            r = end();
        if (r == 0 && waits == 0)
            accept_or_refuse(0, sent, &len, long_one, LONGEST);
    }
    stage_settle(&stage);
    accept_or_refuse(wsi_conn_send(conn, BINARY, part, 0), sent, &len, part, 0);
    refused = test_stop_failing();
    stage_settle(&stage);
    ended = wsi_conn_state(conn) >= WSI_CONN_ENDING;
    /* The end may have been refused: then the message stays under way. */
    look_at_what_left(sent, len, ended || wsi_outgoing_is_under_way(conn));
    if (ended)
        stage_ended(&stage, &peer);
    else
        stage_drop(&stage, conn, &peer);
    stage_saw(&stage, ended ? "closed NO_MEMORY 1006" : "closed RESET 1006");
    assert_int_equal(wsi_conn_buffered(conn), 0);
    wsock_conn_unref(conn);
    far_fini(&far);
    stage_end(&stage);
    free(got.data);
    got = (struct script_bytes){0};
    assert_int_equal(test_live_blocks(), live);
    return refused;
}

static void no_memory_at_any_point_is_told_and_frees_all(void **state)
{
    (void)state;
    for (size_t mode = 0; mode < 3; mode++)
        for (int for_ever = 0; for_ever < 2; for_ever++)
            for (size_t nth = 1; without_memory(mode, nth, for_ever) > 0; nth++)
                assert_true(nth < 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(parts_leave_as_frames_of_one_message),
        TEST(message_without_parts_is_one_empty_frame),
        TEST(empty_part_is_no_frame),
        TEST(client_masks_each_frame_anew),
        TEST(frames_of_a_compressed_message_inflate_to_it),
        TEST(context_stays_right_among_all_kinds_of_messages),
        TEST(compressor_on_loan_counts_in_the_account_of_memory),
        TEST(message_that_never_ends_does_not_outlast_the_pressure),
        TEST(other_messages_wait_and_follow_in_order),
        TEST(pings_pongs_and_a_close_pass),
        TEST(calls_out_of_turn_are_refused),
        TEST(text_may_be_cut_inside_a_character),
        TEST(append_meets_the_mark_and_is_told_of_room),
        TEST(append_from_elsewhere_is_told_of_room_too),
        TEST(append_is_told_of_room_though_an_end_came_before),
        TEST(begin_meets_the_mark_and_is_told_of_room),
        TEST(waiting_messages_do_not_keep_the_end_from_coming),
        TEST(whole_messages_are_told_of_room_when_the_socket_takes_them),
        TEST(end_itself_tells_whole_messages_of_room),
        TEST(every_end_in_the_middle_frees_what_is_there),
        TEST(compressor_of_a_message_that_never_ended_begins_anew),
        TEST(end_between_begin_and_its_mail_frees_it),
        TEST(no_memory_at_any_point_is_told_and_frees_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
