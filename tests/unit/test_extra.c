/* SPDX-License-Identifier: MIT */
/* What a compressed connection holds, and what it does without memory. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/extra.h"
#include "conn/send.h"
#include "far.h"
#include "stage.h"

static struct stage stage;
static struct script_peer peer;
static struct wsock_conn *conn;
static struct far far;
static int events; /* messages that came in */

enum { LARGE = 20000 };

#define PMD "permessage-deflate"
static const char *const offers[] = {PMD, PMD "; client_max_window_bits"};
static const char *const modes[] = {"shared", "dedicated"};

static void set(const char *name, const char *value)
{
    stage_set(&stage, name, value);
}

static void begin(int mode)
{
    stage_begin(&stage, 1);
    set("compression", modes[mode]);
    conn = far_accept(&far, &stage, &peer, 0, offers[mode]);
    stage_saw(&stage, "open");
}

static void finish(void)
{
    stage_drop(&stage, conn, &peer);
    far_fini(&far);
    stage_end(&stage);
}

static void fill(char *out, size_t len, uint32_t seed, unsigned kinds)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (char)(' ' + (test_random(&seed) >> 16) % kinds);
}

static void feed_and_clear(const char *text, size_t len)
{
    far_feed(&far, &peer, WSOCK_TEXT, text, len, 1);
    stage_settle(&stage);
    free(stage.seen.text);
    stage.seen = (struct test_transcript){0};
}

/* ---- idle ---- */

static void shared_connection_holds_nothing_when_idle(void **state)
{
    char text[1000];
    size_t live;

    (void)state;
    fill(text, sizeof text, 3, 4);
    stage_begin(&stage, 1);
    set("compression", "shared");
    stage.echo = true;
    for (int i = 0; i < 2; i++) { /* the first leaves what the worker keeps */
        conn = far_accept(&far, &stage, &peer, 0, PMD);
        live = test_live_blocks();
        for (int k = 0; k < 3; k++) {
            feed_and_clear(text, sizeof text);
            far_got(&far, &peer, 0xc1, text, sizeof text);
        }
        assert_null(conn->extra);
        assert_int_equal(conn->held.capacity, 0);
        assert_null(conn->session.partial);
        if (i == 1)
            assert_int_equal(test_live_blocks(), live);
        stage_drop(&stage, conn, &peer);
        far_fini(&far);
    }
    stage_end(&stage);
}

static void dedicated_contexts_come_with_the_first_message(void **state)
{
    char text[1000];

    (void)state;
    fill(text, sizeof text, 3, 4);
    begin(1);
    assert_null(conn->extra);
    assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT, "small", 5), 0);
    far_feed_raw(&far, &peer, 0x81, "small", 5);
    stage_settle(&stage);
    assert_null(conn->extra);
    feed_and_clear(text, sizeof text);
    assert_non_null(conn->extra->inflater);
    assert_null(conn->extra->deflater);
    assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT, text, sizeof text), 0);
    assert_non_null(conn->extra->deflater);
    finish(); /* with what it holds */
}

static void context_is_only_held_where_it_was_agreed(void **state)
{
    static const struct {
        const char *offer;
        bool deflater, inflater;
    } cases[] = {
        {PMD "; server_no_context_takeover; client_max_window_bits", false, true},
        {PMD "; client_no_context_takeover", true, false},
        {PMD "; server_no_context_takeover; client_no_context_takeover", false, false},
    };
    char text[1000];

    (void)state;
    fill(text, sizeof text, 3, 4);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        stage_begin(&stage, 1);
        set("compression", "dedicated");
        stage.echo = true;
        conn = far_accept(&far, &stage, &peer, 0, cases[i].offer);
        for (int k = 0; k < 3; k++) {
            feed_and_clear(text, sizeof text);
            far_got(&far, &peer, 0xc1, text, sizeof text);
        }
        assert_int_equal(conn->extra != NULL && conn->extra->deflater != NULL,
                         cases[i].deflater);
        assert_int_equal(conn->extra != NULL && conn->extra->inflater != NULL,
                         cases[i].inflater);
        finish();
    }
}

/* ---- pauses ---- */

static void pause_reading(struct wsock_conn *which)
{
    events++;
    wsi_conn_pause(which, WSI_PAUSE_USER);
}

static void compressed_messages_wait_while_reading_is_paused(void **state)
{
    char text[3][301] = {{0}};
    char expected[400];

    (void)state;
    for (uint32_t i = 0; i < 3; i++)
        fill(text[i], 300, i % 2 + 1, 4); /* the last repeats the first */
    for (int mode = 0; mode < 2; mode++)
        for (size_t fragments = 1; fragments < 4; fragments += 2) {
            begin(mode);
            events = 0;
            stage.on_message = pause_reading;
            for (int i = 0; i < 3; i++)
                far_feed(&far, &peer, WSOCK_TEXT, text[i], 300, fragments);
            for (int i = 0; i < 3; i++) {
                stage_settle(&stage);
                assert_int_equal(events, i + 1);
                snprintf(expected, sizeof expected, "text %.300s", text[i]);
                stage_saw(&stage, expected);
                wsi_conn_resume(conn, WSI_PAUSE_USER);
            }
            stage_settle(&stage);
            assert_int_equal(conn->held.len, 0);
            finish();
        }
}

static void echo_to_who_does_not_read_stops_and_goes_on(void **state)
{
    char text[1000];

    (void)state;
    fill(text, sizeof text, 8, 64); /* long also when compressed */
    for (int mode = 0; mode < 2; mode++) {
        begin(mode);
        set("max_backlog_bytes", "1000");
        stage.echo = true;
        peer.write_room = 0;
        for (int i = 0; i < 20; i++) {
            text[0] = (char)('a' + i);
            far_feed(&far, &peer, WSOCK_TEXT, text, sizeof text, 1);
        }
        stage_settle(&stage);
        assert_true(wsi_conn_buffered(conn) < 3000);
        peer.write_room = SCRIPT_UNLIMITED;
        stage_settle(&stage);
        for (int i = 0; i < 20; i++) {
            text[0] = (char)('a' + i);
            far_got(&far, &peer, 0xc1, text, sizeof text);
        }
        assert_false(far_next(&far, &peer));
        finish();
    }
}

/* ---- long messages ---- */

/* With libdeflate they go without context, which must not disturb what follows. */
static void long_messages_and_short_ones_take_turns(void **state)
{
    enum { LONG = 70000 };
    char *text = malloc(LONG);
    const bool alone = wsi_deflate_prefers_no_context(15, LONG);

    (void)state;
    assert_non_null(text);
    fill(text, LONG, 11, 40);
    stage_begin(&stage, 1);
    set("compression", "dedicated");
    set("compression_window_bits", "15");
    conn = far_accept(&far, &stage, &peer, 0, PMD);
    for (int i = 0; i < 6; i++) {
        const size_t len = i % 2 == 0 ? 900 : LONG;
        const char *part = i == 2 ? text + LONG - len : text;

        assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT, part, len), 0);
        stage_settle(&stage);
        far_got(&far, &peer, 0xc1, part, len);
        if (i == 2) /* it repeats the end of the long one before it */
            assert_true((far.wire_len > 300) == alone);
    }
    free(text);
    finish();
}

/* ---- without memory ---- */

/* Each send says whether it was done, and what was done arrives whole. */
static void send_through_failures(char *text, size_t len, bool is_warm)
{
    size_t refused = 1;
    uint32_t seed = 5;

    for (int ever = 0; ever < 2; ever++, refused = 1)
        for (size_t n = 1; refused != 0; n++) {
            int r;

            if (!is_warm) {
                wsi_conn_empty_extra(conn); /* as the far end must know, too */
                wsi_conn_free_extra(conn);
                atomic_store(&conn->extra, NULL);
                inflateReset(&far.inflater);
                wsi_compressors_fini(&stage.pool.compressors);
                wsi_compressors_init(&stage.pool.compressors);
            }
            fill(text, len, ++seed, 90); /* nothing that was said before */
            test_fail_allocation(n, ever);
            r = wsi_conn_send(conn, WSOCK_TEXT, text, len);
            refused = test_stop_failing();
            assert_true(r == 0 || r == WSOCK_ENOMEM);
            assert_true(r == 0 || refused > 0);
            stage_settle(&stage);
            if (r == 0)
                far_got(&far, &peer, refused == 0 ? 0xc1u : peer.output.data[0], text,
                        len);
            assert_false(far_next(&far, &peer));
            if (is_warm) { /* what repeats it must not refer to what never left */
                assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT, text, len), 0);
                stage_settle(&stage);
                far_got(&far, &peer, 0xc1, text, len);
            }
        }
}

static void send_without_memory_goes_plain_or_not_at_all(void **state)
{
    char *text = malloc(LARGE);

    (void)state;
    for (int i = 0; i < 8; i++) {
        const size_t len = (i & 2) != 0 ? LARGE : 1000;

        fill(text, LARGE, 5, 90); /* hardly shorter: its frame is a block of its own */
        begin(i & 1);
        assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT, text, len), 0);
        stage_settle(&stage); /* what the loop keeps for next time is made */
        far_got(&far, &peer, 0xc1, text, len);
        send_through_failures(text, len, (i & 4) != 0);
        finish();
    }
    free(text);
}

static void mail_without_memory_ends_the_connection_or_arrives(void **state)
{
    char *text = malloc(LARGE);

    (void)state;
    fill(text, LARGE, 5, 90);
    for (int mode = 0; mode < 2; mode++)
        for (size_t n = 1, refused = 1; refused != 0; n++) {
            begin(mode);
            wsi_worker_current = NULL;
            assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT, text, LARGE), 0);
            wsi_worker_current = stage.worker;
            test_fail_allocation(n, n % 2 == 0);
            stage_settle(&stage);
            refused = test_stop_failing();
            stage_settle(&stage);
            if (far_next(&far, &peer)) {
                assert_int_equal(far.data.len, LARGE);
                assert_memory_equal(far.data.data, text, LARGE);
                stage_saw(&stage, "");
                finish();
                continue;
            }
            assert_true(refused > 0);
            stage_ended(&stage, &peer);
            stage_saw(&stage, "closed NO_MEMORY 1006");
            far_fini(&far);
            stage_end(&stage);
        }
    free(text);
}

static void message_that_finds_no_memory_ends_with_1011(void **state)
{
    char *text = malloc(LARGE), *hex, expected[200];
    int told = 0;

    (void)state;
    fill(text, LARGE, 5, 30);
    hex = test_hex((const uint8_t *)text, LARGE);
    snprintf(expected, sizeof expected, "binary %s", hex);
    free(hex);
    for (int i = 0; i < 4; i++)
        for (size_t n = 1, refused = 1; refused != 0; n++) {
            begin(i & 1);
            far_feed(&far, &peer, WSOCK_BINARY, text, LARGE, (i & 2) != 0 ? 3 : 1);
            test_fail_allocation(n, n % 2 == 0);
            stage_settle(&stage);
            refused = test_stop_failing();
            stage_settle(&stage);
            if (stage.seen.text != NULL && stage.seen.text[0] == 'b') {
                stage_saw(&stage, expected);
                finish();
                continue;
            }
            assert_true(refused > 0);
            if (far_next(&far, &peer)) {
                assert_int_equal(far.byte0, 0x88);
                assert_memory_equal(far.data.data, "\x03\xf3", 2);
                peer.eof = true;
                told++;
            }
            assert_true(peer.eof || n % 2 == 0); /* not even a close frame, for ever */
            stage_ended(&stage, &peer);
            stage_saw(&stage, "closed NO_MEMORY 1006");
            far_fini(&far);
            stage_end(&stage);
        }
    assert_true(told >= 4);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(shared_connection_holds_nothing_when_idle),
        TEST(dedicated_contexts_come_with_the_first_message),
        TEST(context_is_only_held_where_it_was_agreed),
        TEST(compressed_messages_wait_while_reading_is_paused),
        TEST(echo_to_who_does_not_read_stops_and_goes_on),
        TEST(long_messages_and_short_ones_take_turns),
        TEST(send_without_memory_goes_plain_or_not_at_all),
        TEST(mail_without_memory_ends_the_connection_or_arrives),
        TEST(message_that_finds_no_memory_ends_with_1011),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
