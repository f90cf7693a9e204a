/* SPDX-License-Identifier: MIT */
/* Messages in, in parts: cuts, bounds, pauses in the middle, every way to fail. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/closing.h"
#include "conn/extra.h"
#include "conn/receive_parts.h"
#include "conn/send.h"
#include "conn/send_parts.h"
#include "far.h"
#include "stage.h"

enum {
    TEXT = WSI_OP_TEXT,
    BINARY = WSI_OP_BINARY,
    FIN = WSI_FRAME_FIN,
    LONGEST = 300 * 1000,
    PART_MOST = 330 * 1024, /* see receive_parts.c */
    BOMB = 20 * 1000 * 1000,
};

static struct stage stage;
static struct script_peer peer;
static struct wsock_conn *conn;
static struct far far;

static size_t appended; /* bytes copied into buffers of the library */

int __real_wsi_buf_append(struct wsi_buf *buf, const void *data, size_t len,
                          size_t limit_bytes);
int __wrap_wsi_buf_append(struct wsi_buf *buf, const void *data, size_t len,
                          size_t limit_bytes);

int __wrap_wsi_buf_append(struct wsi_buf *buf, const void *data, size_t len,
                          size_t limit_bytes)
{
    appended += len;
    return __real_wsi_buf_append(buf, data, len, limit_bytes);
}

/* What on_part was told. */
static struct {
    struct script_bytes data; /* of all messages, one behind the other */
    size_t total, longest, inflating;
    unsigned parts, firsts, lasts, empty;
    int type;
    bool under_way;
    /* What it does. */
    bool pauses, resets, closes, echoes;
    size_t keep; /* of data, at most */
} got;

static void act(void)
{
    if (got.pauses)
        wsi_conn_pause(conn, WSI_PAUSE_USER);
    if (got.resets)
        wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_RESET, WSOCK_BY_US, NULL);
    if (got.closes)
        wsi_conn_close(conn, 1000, "", 0);
}

static void echo(const void *data, size_t len, int flags)
{
    if ((flags & WSOCK_PART_FIRST) != 0)
        assert_int_equal(wsi_conn_send_begin(conn, got.type), 0);
    assert_int_equal(wsi_conn_send_append(conn, data, len), 0);
    if ((flags & WSOCK_PART_LAST) != 0)
        assert_int_equal(wsi_conn_send_end(conn), 0);
}

static void get_part(wsock_conn *from, int type, const void *data, size_t len, int flags,
                     void *user)
{
    const bool first = (flags & WSOCK_PART_FIRST) != 0;
    const bool last = (flags & WSOCK_PART_LAST) != 0;

    (void)user;
    assert_ptr_equal(from, conn);
    assert_int_equal(flags & ~(WSOCK_PART_FIRST | WSOCK_PART_LAST), 0);
    assert_int_equal(first, !got.under_way);
    assert_true(first || type == got.type);
    assert_true(len > 0 || last);
    got.type = type;
    got.under_way = !last;
    got.parts++;
    got.firsts += first;
    got.lasts += last;
    got.empty += len == 0;
    if (len > got.longest)
        got.longest = len;
    if (conn->worker->inflated.capacity > got.inflating)
        got.inflating = conn->worker->inflated.capacity;
    if (len > 0 && got.total + len <= got.keep)
        memcpy(got.data.data + got.total, data, len);
    got.total += len;
    if (got.echoes)
        echo(data, len, flags);
    act();
}

static void set(const char *name, const char *value)
{
    stage_set(&stage, name, value);
}

static void on_part(wsock_part_fn fn)
{
    assert_int_equal(wsi_profile_on(&stage.endpoint, &stage.pool, WSI_ON_PART,
                                    (union wsi_handler_fn){.part = fn}, fn != NULL, NULL,
                                    NULL),
                     0);
    stage_settle(&stage);
}

static const struct {
    const char *mode, *offer;
} modes[] = {
    {"off", "permessage-deflate"},
    {"shared", "permessage-deflate"},
    {"dedicated", "permessage-deflate; client_max_window_bits"},
};
enum { OFF, SHARED, DEDICATED, MODES };

/* Handlers that leave by longjmp would leave the library in the middle: they do not fail
 * but where the test is lost anyway. */
static void begin(unsigned mode)
{
    memset(&got, 0, sizeof got);
    got.keep = 2 * LONGEST;
    got.data.data = malloc(got.keep);
    assert_non_null(got.data.data);
    stage_begin(&stage, 1);
    set("compression", modes[mode].mode);
    on_part(get_part);
    conn = wsock_conn_ref(far_accept(&far, &stage, &peer, 0, modes[mode].offer));
    stage_saw(&stage, "open");
}

static void finish(const char *saw)
{
    if (wsi_conn_state(conn) < WSI_CONN_ENDING) {
        stage_drop(&stage, conn, &peer);
    } else {
        peer.eof = true;
        stage_settle(&stage);
        stage_ended(&stage, &peer);
    }
    stage_saw(&stage, saw);
    wsock_conn_unref(conn);
    stage_end(&stage);
    far_fini(&far);
    free(got.data.data);
}

#define DROPPED "closed RESET 1006"

static void forget(void)
{
    assert_false(got.under_way);
    got.total = got.longest = 0;
    got.parts = got.firsts = got.lasts = got.empty = 0;
}

/* Text with characters of every length. */
static void fill(char *out, size_t len, uint32_t seed)
{
    static const char *const words[] = {"quick ", "över ", "lazy ", "☃", "𝄞", "fox "};
    size_t at = 0;

    for (;;) {
        const char *word = words[test_random(&seed) % 6];
        const size_t n = strlen(word);

        if (at + n > len)
            break;
        memcpy(out + at, word, n);
        at += n;
    }
    memset(out + at, '.', len - at);
}

static void feed(unsigned mode, unsigned opcode, const void *data, size_t len,
                 size_t fragments)
{
    if (mode != OFF) {
        far_feed(&far, &peer, opcode, data, len, fragments);
        return;
    }
    for (size_t i = 0; i < fragments; i++) {
        const size_t from = len * i / fragments, to = len * (i + 1) / fragments;

        far_feed_raw(&far, &peer,
                     (i == 0 ? opcode : 0) | (i + 1 == fragments ? (unsigned)FIN : 0),
                     (const char *)data + from, to - from);
    }
}

/* ---- parts ---- */

static void parts_are_the_message_however_it_was_cut(void **state)
{
    static const size_t sizes[] = {1, 125, 5000, LONGEST};
    static const size_t reads[] = {SCRIPT_UNLIMITED, 1000, 7, 1};
    static const size_t fragments[] = {1, 5};
    char *text = malloc(LONGEST);

    (void)state;
    assert_non_null(text);
    for (unsigned mode = 0; mode < MODES; mode++) {
        begin(mode);
        for (size_t i = 0; i < 4 * 4 * 2; i++) {
            const size_t len = sizes[i / 8];

            if (len == LONGEST && reads[i / 2 % 4] < 100 && mode == OFF)
                continue; /* many turns, and nothing new */
            fill(text, len, 1 + (uint32_t)i);
            peer.read_max = reads[i / 2 % 4];
            feed(mode, TEXT, text, len, fragments[i % 2]);
            far_feed_raw(&far, &peer, 0x8a, "", 0); /* a pong between two */
            stage_settle(&stage);
            assert_int_equal(got.firsts, 1);
            assert_int_equal(got.lasts, 1);
            assert_int_equal(got.type, WSOCK_TEXT);
            assert_int_equal(got.total, len);
            assert_memory_equal(got.data.data, text, len);
            assert_true(got.longest <= PART_MOST);
            stage_saw(&stage, "pong ");
            forget();
        }
        finish(DROPPED);
    }
    free(text);
}

static void empty_message_is_one_empty_part(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode < MODES; mode++) {
        begin(mode);
        for (size_t fragments = 1; fragments < 4; fragments++) {
            feed(mode, BINARY, "", 0, fragments);
            stage_settle(&stage);
            assert_int_equal(got.parts, 1);
            assert_int_equal(got.firsts, 1);
            assert_int_equal(got.lasts, 1);
            assert_int_equal(got.empty, 1);
            forget();
        }
        finish(DROPPED);
    }
}

static void control_frames_come_between_the_parts(void **state)
{
    (void)state;
    begin(OFF);
    far_feed_raw(&far, &peer, TEXT, "a", 1);
    far_feed_raw(&far, &peer, 0x8a, "p", 1);
    far_feed_raw(&far, &peer, 0x89, "q", 1);
    stage_settle(&stage);
    stage_saw(&stage, "pong p");
    stage_sent(&peer, "\x8a\x01q");
    far_feed_raw(&far, &peer, FIN, "b", 1);
    stage_settle(&stage);
    assert_int_equal(got.total, 2);
    assert_memory_equal(got.data.data, "ab", 2);
    assert_int_equal(got.parts, 2);
    finish(DROPPED);
}

static void only_connections_that_open_later_get_parts(void **state)
{
    struct script_peer other;
    struct wsock_conn *with_parts;

    (void)state;
    begin(OFF);
    on_part(NULL); /* of this connection messages still come in parts: to nobody */
    feed(OFF, TEXT, "lost", 4, 1);
    stage_settle(&stage);
    assert_int_equal(got.parts, 0);
    stage_saw(&stage, "");
    with_parts = conn;
    conn = stage_accept_open(&stage, &other);
    stage_feed_masked(&other, FIN | TEXT, "whole", 5);
    stage_settle(&stage);
    stage_saw(&stage, "open | text whole");
    on_part(get_part);
    stage_feed_masked(&other, FIN | TEXT, "whole", 5);
    stage_settle(&stage);
    assert_int_equal(got.parts, 0);
    stage_saw(&stage, "text whole");
    stage_drop(&stage, conn, &other);
    stage_saw(&stage, DROPPED);
    conn = with_parts;
    feed(OFF, TEXT, "part", 4, 1);
    stage_settle(&stage);
    assert_int_equal(got.parts, 1);
    finish(DROPPED);
}

/* ---- limits ---- */

static void bomb_goes_off_in_small_pieces(void **state)
{
    uint8_t *zeros = calloc(1, BOMB);

    (void)state;
    assert_non_null(zeros);
    for (unsigned mode = SHARED; mode < MODES; mode++) {
        begin(mode);
        set("max_message_bytes", "off");
        feed(mode, BINARY, zeros, BOMB, 3);
        stage_settle(&stage);
        assert_int_equal(got.total, BOMB);
        assert_int_equal(got.lasts, 1);
        assert_true(got.longest <= PART_MOST);
        assert_true(got.inflating <= 2 * PART_MOST);
        assert_true(conn->worker->inflated.capacity <= 256 * 1024);
        /* Without a context to keep, nothing stays. */
        assert_int_equal(wsi_extra_of(conn)->inflater == NULL, mode == SHARED);
        finish(DROPPED);
    }
    free(zeros);
}

static void limit_counts_the_whole_message(void **state)
{
    uint8_t *zeros = calloc(1, LONGEST);

    (void)state;
    assert_non_null(zeros);
    for (unsigned mode = 0; mode < MODES; mode++)
        for (size_t fragments = 1; fragments < 6; fragments += 4) {
            begin(mode);
            set("max_message_bytes", "200000");
            feed(mode, BINARY, zeros, 200000, fragments);
            stage_settle(&stage);
            assert_int_equal(got.total, 200000);
            forget();
            feed(mode, BINARY, zeros, 200001, fragments);
            stage_settle(&stage);
            assert_true(got.total <= 200000);
            assert_int_equal(got.lasts, 0);
            finish("closed LIMIT 1009");
        }
    free(zeros);
}

static void limit_may_be_lowered_in_the_middle(void **state)
{
    struct script_bytes payload = {0};
    uint8_t *zeros = calloc(1, LONGEST);

    (void)state;
    assert_non_null(zeros);
    begin(SHARED);
    far_deflate(&far, &payload, zeros, LONGEST);
    far_feed_raw(&far, &peer, BINARY | FAR_RSV1, payload.data, payload.len - 10);
    stage_settle(&stage);
    assert_true(got.total > 1000);
    set("max_message_bytes", "1000");
    far_feed_raw(&far, &peer, FIN, payload.data + payload.len - 10, 10);
    stage_settle(&stage);
    assert_int_equal(got.lasts, 0);
    finish("closed LIMIT 1009");
    free(payload.data);
    free(zeros);
}

static void rates_count_a_message_once(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode < MODES; mode++) {
        begin(mode);
        set("max_message_rate", "2");
        feed(mode, TEXT, "abcdefgh", 8, 4);
        stage_settle(&stage);
        feed(mode, TEXT, "abcdefgh", 8, 4);
        stage_settle(&stage);
        assert_int_equal(got.lasts, 2);
        feed(mode, TEXT, "abcdefgh", 8, 4);
        stage_settle(&stage);
        assert_int_equal(got.firsts, 2);
        finish("closed LIMIT 1008");
    }
    begin(OFF);
    set("max_byte_rate", "10");
    feed(OFF, TEXT, "abcdefghij", 10, 4);
    stage_settle(&stage);
    assert_int_equal(got.lasts, 1);
    feed(OFF, TEXT, "k", 1, 1);
    stage_settle(&stage);
    finish("closed LIMIT 1008");
}

/* ---- what is no message ---- */

static void bad_text_fails_when_its_part_came(void **state)
{
    static const struct {
        const char *text;
        size_t len, good;
    } cases[] = {
        {"good \xff then", 11, 5}, {"\xe2\x98", 2, 2}, /* ends inside a character */
    };

    (void)state;
    for (unsigned mode = 0; mode < MODES; mode++)
        for (size_t i = 0; i < 2; i++) {
            begin(mode);
            peer.read_max = 1;
            feed(mode, TEXT, cases[i].text, cases[i].len, 1);
            stage_settle(&stage);
            assert_int_equal(got.lasts, 0);
            assert_true(got.total <= cases[i].good);
            finish("closed PROTOCOL 1007");
        }
}

static void bad_compressed_data_fails_in_the_middle(void **state)
{
    struct script_bytes payload = {0};
    uint8_t *zeros = calloc(1, LONGEST);

    (void)state;
    assert_non_null(zeros);
    begin(DEDICATED);
    far_deflate(&far, &payload, zeros, LONGEST);
    far_feed_raw(&far, &peer, BINARY | FAR_RSV1, payload.data, payload.len - 20);
    stage_settle(&stage);
    assert_int_equal(got.firsts, 1);
    far_feed_raw(&far, &peer, 0, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10);
    stage_settle(&stage);
    far_feed_raw(&far, &peer, FIN, "\xff\xff\xff\xff", 4);
    stage_settle(&stage);
    assert_int_equal(got.lasts, 0);
    finish("closed PROTOCOL 1007");
    free(payload.data);
    free(zeros);
}

/* ---- pauses ---- */

/* Whatever is left comes part by part, one after each resume. */
static void resume_until(unsigned lasts)
{
    for (int i = 0; got.lasts < lasts; i++) {
        const unsigned parts = got.parts;

        assert_true(i < 10000);
        wsi_conn_resume(conn, WSI_PAUSE_USER);
        stage_settle(&stage);
        assert_int_equal(got.parts, parts + 1);
    }
}

static void pause_in_the_middle_keeps_the_rest_in_order(void **state)
{
    char *text = malloc(LONGEST);

    (void)state;
    assert_non_null(text);
    for (unsigned mode = 0; mode < MODES; mode++)
        for (size_t fragments = 1; fragments < 6; fragments += 4) {
            begin(mode);
            got.pauses = true;
            fill(text, LONGEST, 9);
            feed(mode, TEXT, text, LONGEST, fragments);
            far_feed_raw(&far, &peer, 0x8a, "behind", 6);
            feed(mode, TEXT, "newer", 5, 1);
            stage_settle(&stage);
            assert_int_equal(got.parts, 1);
            resume_until(1);
            assert_int_equal(got.total, LONGEST);
            assert_memory_equal(got.data.data, text, LONGEST);
            stage_saw(&stage, "");
            resume_until(2);
            stage_saw(&stage, "pong behind");
            assert_int_equal(got.total, LONGEST + 5);
            assert_memory_equal(got.data.data + LONGEST, "newer", 5);
            finish(DROPPED);
        }
    free(text);
}

static void pause_with_only_the_end_left_brings_the_end(void **state)
{
    uint8_t *zeros = calloc(1, 100000);

    (void)state;
    assert_non_null(zeros);
    for (unsigned mode = SHARED; mode < MODES; mode++) {
        begin(mode);
        got.pauses = true;
        feed(mode, BINARY, zeros, 100000, 1);
        stage_settle(&stage);
        assert_int_equal(got.total, 100000); /* in one step, and then */
        assert_int_equal(got.lasts, 0);
        assert_true(wsi_conn_has_rest(conn));
        /* Nothing waits but, without a context, the inflater that is lent. */
        assert_true((wsi_conn_rest_bytes(conn) == 0) == (mode != SHARED));
        feed(mode, BINARY, "newer", 5, 1);
        stage_settle(&stage);
        assert_int_equal(got.parts, 1);
        resume_until(1);
        assert_int_equal(got.empty, 1);
        assert_int_equal(got.total, 100000);
        resume_until(2);
        assert_int_equal(got.total, 100005);
        finish(DROPPED);
    }
    free(zeros);
}

static void rest_counts_in_the_account_of_memory(void **state)
{
    uint8_t *data = malloc(LONGEST);
    uint32_t seed = 1;

    (void)state;
    assert_non_null(data);
    for (size_t i = 0; i < LONGEST; i++)
        data[i] = (uint8_t)(test_random(&seed) >> 16);
    begin(SHARED);
    got.pauses = true;
    feed(SHARED, BINARY, data, 200 * 1000, 1);
    stage_settle(&stage);
    assert_int_equal(got.parts, 1);
    assert_true(wsi_conn_rest_bytes(conn) > 50000);
    assert_true((size_t)atomic_load(&stage.pool.buffered) >= wsi_conn_rest_bytes(conn));
    got.pauses = false;
    wsi_conn_resume(conn, WSI_PAUSE_USER);
    stage_settle(&stage);
    assert_int_equal(got.total, 200 * 1000);
    assert_int_equal(atomic_load(&stage.pool.buffered), 0);
    finish(DROPPED);
    free(data);
}

/* pause_read_when_backlogged holds for what is appended too. */
static void echo_in_parts_never_meets_the_mark(void **state)
{
    uint8_t *zeros = calloc(1, BOMB);

    (void)state;
    assert_non_null(zeros);
    for (unsigned mode = 0; mode < MODES; mode++) {
        begin(mode);
        set("max_message_bytes", "off");
        set("max_backlog_bytes", "100000");
        got.echoes = true;
        peer.write_room = 0;
        feed(mode, BINARY, zeros, BOMB / 10, 2);
        stage_settle(&stage);
        if (mode == OFF)
            assert_true(got.total < 500 * 1000);
        peer.write_room = SCRIPT_UNLIMITED;
        stage_settle(&stage);
        assert_int_equal(got.total, BOMB / 10);
        got.total = 0;
        do {
            assert_true(far_next(&far, &peer));
            got.total += far.data.len;
        } while ((far.byte0 & FIN) == 0);
        assert_int_equal(got.total, BOMB / 10);
        finish(DROPPED);
    }
    free(zeros);
}

/* Each step of a bomb makes a part, so as many pauses come as there are steps. */
static void rest_is_copied_once_however_often_reading_is_paused(void **state)
{
    uint8_t *zeros = calloc(1, BOMB);
    size_t len;

    (void)state;
    assert_non_null(zeros);
    for (unsigned mode = SHARED; mode < MODES; mode++) {
        begin(mode);
        set("max_message_bytes", "off");
        got.pauses = true;
        feed(mode, BINARY, zeros, BOMB, 1);
        len = peer.input.len;
        appended = 0;
        stage_settle(&stage);
        resume_until(1);
        assert_int_equal(got.total, BOMB);
        assert_true(got.parts > 70);
        assert_in_range(appended, 1, len);
        finish(DROPPED);
    }
    free(zeros);
}

/* ---- ends in the middle ---- */

static void nothing_comes_behind_an_end_in_the_middle(void **state)
{
    char *text = malloc(LONGEST);

    (void)state;
    assert_non_null(text);
    fill(text, LONGEST, 4);
    for (unsigned mode = 0; mode < MODES; mode++) {
        begin(mode);
        got.resets = true;
        feed(mode, TEXT, text, LONGEST, 2);
        stage_settle(&stage);
        assert_int_equal(got.parts, 1);
        finish(DROPPED);

        begin(mode);
        got.pauses = true;
        feed(mode, TEXT, text, LONGEST, 2);
        stage_settle(&stage);
        assert_int_equal(got.parts, 1);
        finish(DROPPED);

        begin(mode);
        feed(mode, TEXT, text, LONGEST, 1);
        peer.input.len -= 10;
        peer.eof = true;
        stage_settle(&stage);
        assert_int_equal(got.lasts, 0);
        finish("closed LOST 1006");

        begin(mode); /* what was on its way when we closed still comes */
        got.closes = true;
        feed(mode, TEXT, text, LONGEST, 1);
        far_feed_raw(&far, &peer, 0x88, "\x03\xe8", 2);
        stage_settle(&stage);
        assert_int_equal(got.total, LONGEST);
        finish("closed CLOSED 1000");
    }
    free(text);
}

/* ---- without memory ---- */

static size_t without_memory(unsigned mode, size_t nth, int for_ever, const char *text)
{
    size_t refused;
    bool ended;

    begin(mode);
    got.pauses = true;
    feed(mode, TEXT, text, LONGEST, 2);
    test_fail_allocation(nth, for_ever);
    stage_settle(&stage);
    for (int i = 0; i < 20; i++) {
        wsi_conn_resume(conn, WSI_PAUSE_USER);
        stage_settle(&stage);
    }
    refused = test_stop_failing();
    ended = wsi_conn_state(conn) >= WSI_CONN_ENDING;
    assert_true(got.total <= LONGEST);
    assert_memory_equal(got.data.data, text, got.total);
    if (!ended) {
        got.pauses = false;
        wsi_conn_resume(conn, WSI_PAUSE_USER);
        stage_settle(&stage);
        assert_int_equal(got.total, LONGEST);
        assert_int_equal(got.lasts, 1);
        finish(DROPPED);
    } else {
        finish("closed NO_MEMORY 1006");
    }
    return refused;
}

static void no_memory_at_any_point_ends_the_connection(void **state)
{
    char *text = malloc(LONGEST);

    (void)state;
    assert_non_null(text);
    fill(text, LONGEST, 4);
    for (unsigned mode = 0; mode < MODES; mode++)
        for (int for_ever = 0; for_ever < 2; for_ever++)
            for (size_t nth = 1; without_memory(mode, nth, for_ever, text) > 0; nth++)
                assert_true(nth < 300);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(parts_are_the_message_however_it_was_cut),
        TEST(empty_message_is_one_empty_part),
        TEST(control_frames_come_between_the_parts),
        TEST(only_connections_that_open_later_get_parts),
        TEST(bomb_goes_off_in_small_pieces),
        TEST(limit_counts_the_whole_message),
        TEST(limit_may_be_lowered_in_the_middle),
        TEST(rates_count_a_message_once),
        TEST(bad_text_fails_when_its_part_came),
        TEST(bad_compressed_data_fails_in_the_middle),
        TEST(pause_in_the_middle_keeps_the_rest_in_order),
        TEST(pause_with_only_the_end_left_brings_the_end),
        TEST(rest_counts_in_the_account_of_memory),
        TEST(rest_is_copied_once_however_often_reading_is_paused),
        TEST(echo_in_parts_never_meets_the_mark),
        TEST(nothing_comes_behind_an_end_in_the_middle),
        TEST(no_memory_at_any_point_ends_the_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
