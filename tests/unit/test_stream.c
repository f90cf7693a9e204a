/* SPDX-License-Identifier: MIT */
/* Streams over scripted sockets: what is queued, what is sent, and how a stream ends. */
#include "test.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <wsock/error.h>

#include "io/loop_internal.h"
#include "script_backend.h"

/* ---- a stream whose callbacks note what happens ---- */

struct end {
    struct wsi_stream stream;
    struct script_peer peer;
    uint8_t data[4096];
    size_t received;
    int data_calls, eof, writable, blocked, closed, error;
    void (*then)(struct end *end); /* (nullable) in on_data */
    void (*on_writable)(struct end *end);
    void (*on_blocked)(struct end *end);
};

static struct end *end_of(struct wsi_stream *stream)
{
    return WSI_CONTAINER_OF(stream, struct end, stream);
}

static void on_data(struct wsi_stream *stream, uint8_t *data, size_t len)
{
    struct end *end = end_of(stream);

    assert_int_equal(end->closed, 0);
    assert_int_equal(end->eof, 0);
    for (size_t i = 0; i < len; i++)
        end->data[(end->received + i) % sizeof end->data] = data[i];
    end->received += len;
    end->data_calls++;
    if (end->then != NULL)
        end->then(end);
}

static void on_eof(struct wsi_stream *stream)
{
    end_of(stream)->eof++;
}

static void on_writable(struct wsi_stream *stream)
{
    assert_int_equal(end_of(stream)->closed, 0);
    end_of(stream)->writable++;
    if (end_of(stream)->on_writable != NULL)
        end_of(stream)->on_writable(end_of(stream));
}

static void on_blocked(struct wsi_stream *stream)
{
    assert_true(wsi_stream_is_blocked(stream));
    end_of(stream)->blocked++;
    if (end_of(stream)->on_blocked != NULL)
        end_of(stream)->on_blocked(end_of(stream));
}

static void on_closed(struct wsi_stream *stream, int error)
{
    struct end *end = end_of(stream);

    end->closed++;
    end->error = error;
    /* The memory is the caller's again. */
    memset(&end->stream, 0xa5, sizeof end->stream);
}

static const struct wsi_stream_events events = {
    .on_data = on_data,
    .on_eof = on_eof,
    .on_writable = on_writable,
    .on_blocked = on_blocked,
    .on_closed = on_closed,
};

static struct script script;
static struct wsi_loop *loop;
static struct end a, b;

static void open_end(struct end *end)
{
    memset(end, 0, sizeof *end);
    wsi_stream_init(&end->stream, &events);
    assert_int_equal(
        wsi_stream_adopt(&end->stream, loop, script_peer_init(&script, &end->peer)), 0);
}

static void close_end(struct end *end)
{
    if (!end->closed)
        wsi_stream_close(&end->stream, WSI_CLOSE_NOW);
    if (!end->closed)
        wsi_loop_turn(loop, 0);
    assert_int_equal(end->closed, 1);
    script_peer_fini(&script, &end->peer);
}

static void begin(void)
{
    loop = script_loop_new(&script);
    open_end(&a);
    open_end(&b);
}

static void finish(void)
{
    close_end(&a);
    close_end(&b);
    wsi_loop_free(loop);
}

static int put(struct end *end, const void *data, size_t len)
{
    uint8_t *room = wsi_stream_reserve(&end->stream, len);

    if (room == NULL)
        return WSOCK_ENOMEM;
    memcpy(room, data, len);
    wsi_stream_commit(&end->stream, len);
    return 0;
}

static void put_text(struct end *end, const char *text)
{
    assert_int_equal(put(end, text, strlen(text)), 0);
}

static void assert_output(struct end *end, const char *text)
{
    assert_int_equal(end->peer.output.len, strlen(text));
    assert_memory_equal(end->peer.output.data, text, strlen(text));
}

static struct wsi_blob *blob_of(size_t len, uint8_t fill)
{
    struct wsi_blob *blob = wsi_blob_new(len);

    assert_non_null(blob);
    memset(blob->data, fill, len);
    blob->len = len;
    return blob;
}

/* ---- coalescing ---- */

static void output_of_a_turn_leaves_in_one_piece(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 16; i++)
        put_text(&a, "frame ");
    assert_int_equal(a.peer.sends, 0);
    assert_int_equal(wsi_stream_queued(&a.stream), 96);
    wsi_loop_turn(loop, -1); /* does not wait, for there is output */
    assert_int_equal(a.peer.sends, 1);
    assert_int_equal(a.peer.pieces, 1);
    assert_int_equal(a.peer.output.len, 96);
    assert_int_equal(wsi_stream_queued(&a.stream), 0);
    finish();
}

static void interleaved_output_leaves_in_few_pieces(void **state)
{
    uint8_t frame[40] = {0};

    (void)state;
    begin();
    for (int i = 0; i < 100; i++) {
        assert_int_equal(put(&a, frame, sizeof frame), 0);
        assert_int_equal(put(&b, frame, sizeof frame), 0);
    }
    wsi_loop_turn(loop, 0);
    assert_int_equal(a.peer.sends, 1);
    assert_true(a.peer.pieces <= 8);
    assert_int_equal(a.peer.output.len, 4000);
    assert_true(b.peer.pieces <= 8);
    assert_int_equal(b.peer.output.len, 4000);
    finish();
}

static void large_queue_is_sent_before_the_turn_ends(void **state)
{
    static uint8_t piece[4096];

    (void)state;
    begin();
    for (int i = 0; i < 16; i++)
        assert_int_equal(put(&a, piece, sizeof piece), 0);
    assert_int_equal(a.peer.output.len, WSI_STREAM_EARLY_FLUSH);
    assert_int_equal(wsi_stream_queued(&a.stream), 0);
    finish();
}

static void full_arena_is_sent_early_and_used_again(void **state)
{
    static struct end many[8];
    static uint8_t piece[4096];

    (void)state;
    begin();
    for (int i = 0; i < 8; i++)
        open_end(&many[i]);
    many[3].peer.write_room = 5000;
    for (int round = 0; round < 12; round++) /* 384 KiB, none reaches 64 KiB alone */
        for (int i = 0; i < 8; i++) {
            memset(piece, round * 8 + i, sizeof piece);
            assert_int_equal(put(&many[i], piece, sizeof piece), 0);
        }
    assert_true(many[0].peer.output.len > 0);
    wsi_loop_turn(loop, 0);
    many[3].peer.write_room = SCRIPT_UNLIMITED;
    wsi_loop_turn(loop, 0);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(many[i].peer.output.len, 12 * sizeof piece);
        for (size_t n = 0; n < 12 * sizeof piece; n++)
            if (many[i].peer.output.data[n] !=
                (uint8_t)(n / sizeof piece * 8 + (size_t)i))
                fail_msg("byte %zu of stream %d", n, i);
        close_end(&many[i]);
    }
    finish();
}

static void explicit_flush_sends_at_once(void **state)
{
    (void)state;
    begin();
    put_text(&a, "one");
    wsi_stream_flush(&a.stream);
    assert_output(&a, "one");
    put_text(&a, "two");
    wsi_loop_turn(loop, 0);
    assert_output(&a, "onetwo");
    assert_int_equal(a.writable, 0);
    finish();
}

static void reserve_never_reaches_beyond_the_arena(void **state)
{
    static uint8_t piece[4096];
    static struct end many[8];

    (void)state;
    begin();
    for (int i = 0; i < 8; i++)
        open_end(&many[i]);
    assert_int_equal(put(&a, piece, 3000), 0);
    /* Leave 100 bytes, which is less than a comes back with would like to keep. */
    for (size_t left = WSI_ARENA_SIZE - 3000, i = 0; left > 100; i++) {
        const size_t len = left - 100 < sizeof piece ? left - 100 : sizeof piece;

        assert_int_equal(put(&many[i / 15], piece, len), 0);
        left -= len;
    }
    assert_int_equal(a.peer.output.len, 0);
    assert_int_equal(put(&a, piece, 10), 0);
    assert_int_equal(put(&b, piece, 10), 0);
    assert_int_equal(a.peer.output.len, 3010); /* b found the arena full */
    wsi_loop_turn(loop, 0);
    assert_int_equal(b.peer.output.len, 10);
    for (int i = 0; i < 8; i++)
        close_end(&many[i]);
    finish();
}

static struct end filler[8];
static struct end *later;

static void fill_the_arena(struct end *end)
{
    static uint8_t piece[4096];

    end->on_writable = NULL;
    put_text(later, "queued while its own callback was pending");
    for (int n = 0; n < 10; n++) /* 320 KiB, none reaches 64 KiB alone */
        for (int i = 0; i < 8; i++)
            assert_int_equal(put(&filler[i], piece, sizeof piece), 0);
}

static void full_arena_spares_streams_whose_callback_is_pending(void **state)
{
    static const char text[] = "queued while its own callback was pending";
    static struct end c;

    (void)state;
    begin();
    open_end(&c);
    for (int i = 0; i < 8; i++)
        open_end(&filler[i]);
    later = &c;
    a.on_writable = fill_the_arena;
    wsi_stream_want_writable(&a.stream);
    wsi_stream_want_writable(&c.stream);
    wsi_loop_turn(loop, 0);
    wsi_loop_turn(loop, 0);
    assert_output(&c, text);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(filler[i].peer.output.len, 10 * 4096);
        close_end(&filler[i]);
    }
    close_end(&c);
    finish();
}

/* ---- blocking ---- */

static void blocked_stream_waits_for_readiness(void **state)
{
    (void)state;
    begin();
    a.peer.write_room = 4;
    put_text(&a, "abcdefgh");
    wsi_loop_turn(loop, 0);
    assert_output(&a, "abcd");
    assert_true(wsi_stream_is_blocked(&a.stream));
    put_text(&a, "ijkl");
    wsi_stream_flush(&a.stream);
    wsi_loop_turn(loop, 0);
    assert_int_equal(a.peer.sends, 1);
    assert_int_equal(wsi_stream_queued(&a.stream), 8);
    assert_int_equal(a.writable, 0);
    a.peer.write_room = SCRIPT_UNLIMITED;
    wsi_loop_turn(loop, 0);
    assert_output(&a, "abcdefghijkl");
    assert_false(wsi_stream_is_blocked(&a.stream));
    assert_int_equal(a.writable, 1);
    assert_int_equal(a.peer.watch, WSI_WATCH_READ);
    finish();
}

static void send_to_b(struct end *end)
{
    (void)end;
    put_text(&b, "b");
}

static void blocking_is_told_once_each_time(void **state)
{
    (void)state;
    begin();
    a.on_blocked = send_to_b; /* may do anything */
    a.peer.write_room = 4;
    put_text(&a, "abcdefgh");
    wsi_loop_turn(loop, 0);
    assert_int_equal(a.blocked, 1);
    assert_output(&b, "b");
    put_text(&a, "ijkl"); /* no news */
    wsi_stream_pause(&a.stream);
    wsi_loop_turn(loop, 0);
    wsi_stream_resume(&a.stream);
    wsi_loop_turn(loop, 0);
    assert_int_equal(a.blocked, 1);
    a.peer.write_room = 1;
    wsi_loop_turn(loop, 0);
    assert_int_equal(a.blocked, 2);
    assert_int_equal(a.writable, 1);
    a.peer.write_room = SCRIPT_UNLIMITED;
    wsi_loop_turn(loop, 0);
    assert_int_equal(a.blocked, 2);
    assert_int_equal(a.writable, 2);
    assert_output(&b, "bb");
    finish();
}

static void close_self(struct end *end)
{
    wsi_stream_close(&end->stream, WSI_CLOSE_NOW);
}

static void stream_may_be_closed_for_blocking(void **state)
{
    (void)state;
    begin();
    a.on_blocked = close_self;
    a.peer.write_room = 1;
    put_text(&a, "abc");
    wsi_stream_want_writable(&a.stream);
    wsi_loop_turn(loop, 0);
    assert_int_equal(a.writable, 0);
    assert_int_equal(a.closed, 1);
    finish();
}

static void blocked_stream_allocates_rarely(void **state)
{
    uint8_t frame[40] = {0};
    size_t before;

    (void)state;
    begin();
    a.peer.write_room = 0;
    put_text(&a, "x");
    wsi_loop_turn(loop, 0);
    before = test_live_blocks();
    for (int i = 0; i < 26000; i++)
        assert_int_equal(put(&a, frame, sizeof frame), 0);
    assert_true(test_live_blocks() - before < 32);
    finish();
}

static void put_more(struct end *end)
{
    put_text(end, "!");
}

static void writable_callback_may_write(void **state)
{
    (void)state;
    begin();
    a.on_writable = put_more;
    wsi_stream_want_writable(&a.stream);
    put_text(&a, "hello");
    wsi_loop_turn(loop, -1);
    assert_output(&a, "hello!");
    assert_int_equal(a.writable, 1);
    finish();
}

static void wanted_writable_comes_without_output_too(void **state)
{
    (void)state;
    begin();
    wsi_stream_want_writable(&a.stream);
    assert_int_equal(a.writable, 0);
    wsi_loop_turn(loop, -1);
    assert_int_equal(a.writable, 1);
    wsi_loop_turn(loop, 0);
    assert_int_equal(a.writable, 1);
    finish();
}

static void wanted_writable_waits_while_blocked(void **state)
{
    (void)state;
    begin();
    a.peer.write_room = 0;
    put_text(&a, "hello");
    wsi_loop_turn(loop, 0);
    wsi_stream_want_writable(&a.stream);
    wsi_loop_turn(loop, 0);
    assert_int_equal(a.writable, 0);
    a.peer.write_room = 1;
    wsi_loop_turn(loop, 0);
    assert_int_equal(a.writable, 1);
    assert_true(wsi_stream_is_blocked(&a.stream));
    finish();
}

static void want_again(struct end *end)
{
    wsi_stream_want_writable(&end->stream);
    put_text(end, ".");
}

static void endless_writer_does_not_hold_the_turn(void **state)
{
    (void)state;
    begin();
    a.on_writable = want_again;
    want_again(&a);
    wsi_loop_turn(loop, -1);
    assert_in_range(a.writable, 1, 16);
    put_text(&b, "b");
    wsi_loop_turn(loop, -1); /* what is left does not let it sleep */
    assert_output(&b, "b");
    a.on_writable = NULL;
    finish();
}

static struct wsi_stream *other;

static void linger_other(struct end *end)
{
    (void)end;
    wsi_stream_close(other, WSI_CLOSE_LINGER);
}

static void pending_callback_sees_what_an_earlier_one_did(void **state)
{
    (void)state;
    begin();
    other = &b.stream;
    a.on_writable = linger_other;
    wsi_stream_want_writable(&a.stream);
    wsi_stream_want_writable(&b.stream);
    wsi_loop_turn(loop, 0);
    wsi_loop_turn(loop, 0);
    assert_int_equal(b.writable, 0);
    assert_true(script_fin(&b.peer));
    finish();
}

/* ---- order, against a model ---- */

enum { MODEL_STREAMS = 5, MODEL_OPERATIONS = 40000 };

struct model {
    struct end end;
    struct script_bytes expected;
    uint8_t next;
};

static uint64_t seed;

static size_t random_below(size_t limit)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (size_t)(seed % limit);
}

static void model_note(struct model *m, size_t len)
{
    if (m->expected.capacity - m->expected.len < len) {
        m->expected.capacity = 2 * m->expected.capacity + len;
        m->expected.data = realloc(m->expected.data, m->expected.capacity);
        assert_non_null(m->expected.data);
    }
    for (size_t i = 0; i < len; i++)
        m->expected.data[m->expected.len++] = m->next++;
}

static void model_put(struct model *m)
{
    const size_t need = random_below(8) == 0 ? random_below(WSI_STREAM_RESERVE_MAX + 1)
                                             : random_below(100);
    const size_t len = random_below(4) == 0 ? random_below(need + 1) : need;
    uint8_t *room = wsi_stream_reserve(&m->end.stream, need);

    assert_non_null(room);
    memset(room, 0xee, need); /* all of it may be written */
    for (size_t i = 0; i < len; i++)
        room[i] = (uint8_t)(m->next + i);
    wsi_stream_commit(&m->end.stream, len);
    model_note(m, len);
}

static void model_blob(struct model *m)
{
    const size_t len = random_below(20000), offset = random_below(100);
    struct wsi_blob *blob = wsi_blob_new(offset + len);

    assert_non_null(blob);
    blob->len = offset + len;
    for (size_t i = 0; i < len; i++)
        blob->data[offset + i] = (uint8_t)(m->next + i);
    assert_int_equal(wsi_stream_send_blob(&m->end.stream, blob, offset, len), 0);
    wsi_blob_unref(blob);
    model_note(m, len);
}

static void model_step(struct model *m)
{
    struct script_peer *peer = &m->end.peer;

    switch (random_below(40)) {
    case 0:
        wsi_loop_turn(loop, 0);
        break;
    case 1:
        peer->write_room = random_below(60000);
        break;
    case 2:
        peer->write_room = SCRIPT_UNLIMITED;
        break;
    case 3:
        peer->write_max = 1 + random_below(3000);
        break;
    case 4:
        peer->write_max = SCRIPT_UNLIMITED;
        break;
    case 5:
        wsi_stream_flush(&m->end.stream);
        break;
    case 6:
        wsi_stream_want_writable(&m->end.stream);
        break;
    case 7:
        model_blob(m);
        break;
    default:
        for (size_t n = random_below(4); n > 0; n--)
            model_put(m);
        break;
    }
}

static void model_check(const struct model *m)
{
    const struct script_bytes *sent = &m->end.peer.output;

    assert_true(sent->len <= m->expected.len);
    assert_int_equal(m->expected.len - sent->len, wsi_stream_queued(&m->end.stream));
    if (sent->len != 0)
        assert_memory_equal(sent->data, m->expected.data, sent->len);
}

static void sent_bytes_are_the_queued_bytes_in_order(void **state)
{
    static struct model model[MODEL_STREAMS];

    (void)state;
    seed = 88172645463325252ull;
    loop = script_loop_new(&script);
    memset(model, 0, sizeof model);
    for (int i = 0; i < MODEL_STREAMS; i++)
        open_end(&model[i].end);
    for (int i = 0; i < MODEL_OPERATIONS; i++) {
        struct model *m = &model[random_below(MODEL_STREAMS)];

        model_step(m);
        assert_int_equal(m->expected.len - m->end.peer.output.len,
                         wsi_stream_queued(&m->end.stream));
        if (i % 1000 == 0)
            for (int k = 0; k < MODEL_STREAMS; k++)
                model_check(&model[k]);
    }
    for (int i = 0; i < MODEL_STREAMS; i++) {
        model[i].end.peer.write_room = SCRIPT_UNLIMITED;
        model[i].end.peer.write_max = SCRIPT_UNLIMITED;
    }
    wsi_loop_turn(loop, 0);
    for (int i = 0; i < MODEL_STREAMS; i++) {
        assert_int_equal(wsi_stream_queued(&model[i].end.stream), 0);
        assert_true(model[i].end.writable > 0);
        model_check(&model[i]);
        free(model[i].expected.data);
        close_end(&model[i].end);
    }
    wsi_loop_free(loop);
}

/* ---- receiving ---- */

static void input_arrives_whatever_the_cuts(void **state)
{
    (void)state;
    for (size_t cut = 1; cut <= 12; cut++) {
        begin();
        a.peer.read_max = cut;
        a.peer.read_again = (unsigned)cut % 3;
        script_feed(&a.peer, "hello, world", 12);
        for (int i = 0; i < 20; i++)
            wsi_loop_turn(loop, 0);
        assert_int_equal(a.received, 12);
        assert_memory_equal(a.data, "hello, world", 12);
        assert_int_equal(a.data_calls, (12 + cut - 1) / cut);
        /* One receive for each readiness, not one more to see EAGAIN. */
        assert_int_equal(a.peer.receives, a.data_calls + (int)cut % 3);
        finish();
    }
}

static void full_buffers_do_not_starve_the_others(void **state)
{
    static uint8_t much[8 * WSI_RECEIVE_SIZE];

    (void)state;
    begin();
    script_feed(&a.peer, much, sizeof much);
    script_feed(&b.peer, "b", 1);
    wsi_loop_turn(loop, 0);
    assert_in_range(a.data_calls, 2, 7);
    assert_int_equal(b.received, 1);
    wsi_loop_turn(loop, 0);
    assert_int_equal(a.received, sizeof much);
    finish();
}

static void end_of_input_is_told_once_and_sending_goes_on(void **state)
{
    (void)state;
    begin();
    script_feed(&a.peer, "last", 4);
    a.peer.eof = true;
    for (int i = 0; i < 4; i++)
        wsi_loop_turn(loop, 0);
    assert_int_equal(a.received, 4);
    assert_int_equal(a.eof, 1);
    assert_int_equal(a.closed, 0);
    put_text(&a, "answer");
    wsi_loop_turn(loop, 0);
    assert_output(&a, "answer");
    finish();
}

static void paused_stream_receives_nothing(void **state)
{
    (void)state;
    begin();
    wsi_stream_pause(&a.stream);
    script_feed(&a.peer, "later", 5);
    wsi_loop_turn(loop, 0);
    wsi_loop_turn(loop, 0);
    assert_int_equal(a.received, 0);
    wsi_stream_resume(&a.stream);
    wsi_loop_turn(loop, -1);
    wsi_loop_turn(loop, -1);
    assert_int_equal(a.received, 5);
    finish();
}

static void pause_that_is_lifted_in_the_turn_costs_nothing(void **state)
{
    (void)state;
    begin();
    wsi_stream_pause(&a.stream);
    wsi_stream_resume(&a.stream);
    wsi_loop_turn(loop, 0);
    assert_int_equal(a.peer.watches, 0);
    finish();
}

static void pause_self(struct end *end)
{
    wsi_stream_pause(&end->stream);
}

static void pause_inside_data_stops_at_once(void **state)
{
    static uint8_t much[2 * WSI_RECEIVE_SIZE];

    (void)state;
    begin();
    a.then = pause_self;
    script_feed(&a.peer, much, sizeof much);
    wsi_loop_turn(loop, 0);
    wsi_loop_turn(loop, 0);
    assert_int_equal(a.data_calls, 1);
    assert_int_equal(a.received, WSI_RECEIVE_SIZE);
    finish();
}

static void hangup_of_a_paused_stream_waits_without_spinning(void **state)
{
    (void)state;
    begin();
    wsi_stream_pause(&a.stream);
    wsi_loop_turn(loop, 0);
    script_feed(&a.peer, "unread", 6);
    a.peer.read_resets = 6;
    a.peer.hangup = true;
    wsi_loop_turn(loop, 0);
    script.waits = 0;
    script.now_us = 0;
    wsi_loop_turn(loop, 50);
    assert_int_equal(script.now_us, 50000); /* it slept */
    assert_int_equal(a.closed, 0);
    wsi_stream_resume(&a.stream);
    for (int i = 0; i < 4; i++)
        wsi_loop_turn(loop, 0);
    assert_int_equal(a.received, 6);
    assert_int_equal(a.closed, 1);
    assert_int_equal(a.error, ECONNRESET);
    finish();
}

static void hangup_after_the_end_of_input_ends_the_stream(void **state)
{
    (void)state;
    begin();
    a.peer.eof = true;
    wsi_loop_turn(loop, 0);
    assert_int_equal(a.eof, 1);
    a.peer.hangup = true;
    wsi_loop_turn(loop, 0);
    assert_int_equal(a.closed, 1);
    assert_int_equal(a.error, EPIPE);
    finish();
}

/* ---- ending ---- */

static void reset_at_every_byte_of_input(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 12; n++) {
        begin();
        a.peer.read_resets = n;
        script_feed(&a.peer, "hello, world", 12);
        for (int i = 0; i < 4; i++)
            wsi_loop_turn(loop, 0);
        assert_int_equal(a.received, n);
        assert_int_equal(a.closed, 1);
        assert_int_equal(a.error, ECONNRESET);
        assert_int_equal(a.eof, 0);
        finish();
    }
}

static void reset_at_every_byte_of_output(void **state)
{
    (void)state;
    for (size_t n = 0; n < 24; n++) {
        struct wsi_blob *blob;

        begin();
        blob = blob_of(8, 'B');
        a.peer.write_resets = n;
        a.peer.write_max = 1 + n % 5;
        put_text(&a, "01234567");
        assert_int_equal(wsi_stream_send_blob(&a.stream, blob, 0, 8), 0);
        put_text(&a, "89abcdef");
        wsi_blob_unref(blob);
        for (int i = 0; i < 30; i++)
            wsi_loop_turn(loop, 0);
        assert_int_equal(a.peer.output.len, n);
        assert_memory_equal(a.peer.output.data, "01234567BBBBBBBB89abcdef", n);
        assert_int_equal(a.closed, 1);
        assert_int_equal(a.error, EPIPE);
        finish();
    }
}

static void close_drops_the_queue_and_comes_later(void **state)
{
    struct wsi_blob *blob;

    (void)state;
    begin();
    blob = blob_of(10, 'x');
    put_text(&a, "never");
    assert_int_equal(wsi_stream_send_blob(&a.stream, blob, 0, 10), 0);
    assert_int_equal(atomic_load(&blob->ref.count), 2);
    wsi_stream_close(&a.stream, WSI_CLOSE_NOW);
    assert_int_equal(atomic_load(&blob->ref.count), 1);
    assert_int_equal(wsi_stream_queued(&a.stream), 0);
    assert_int_equal(a.closed, 0);
    assert_true(wsi_stream_is_attached(&a.stream));
    assert_null(wsi_stream_reserve(&a.stream, 1));
    assert_int_equal(wsi_stream_send_blob(&a.stream, blob, 0, 1), WSOCK_ECLOSED);
    wsi_stream_close(&a.stream, WSI_CLOSE_NOW);
    wsi_stream_close(&a.stream, WSI_CLOSE_LINGER);
    wsi_loop_turn(loop, -1);
    assert_int_equal(a.closed, 1);
    assert_int_equal(a.error, 0);
    assert_int_equal(a.peer.output.len, 0);
    wsi_blob_unref(blob);
    finish();
}

static void close_other(struct end *end)
{
    (void)end;
    wsi_stream_close(other, WSI_CLOSE_NOW);
}

static void closed_stream_gets_nothing_more_of_the_batch(void **state)
{
    (void)state;
    begin();
    other = &b.stream;
    a.then = close_other;
    script_feed(&a.peer, "a", 1);
    script_feed(&b.peer, "b", 1);
    wsi_loop_turn(loop, 0);
    assert_int_equal(a.received, 1);
    assert_int_equal(b.received, 0);
    assert_int_equal(b.closed, 1);
    finish();
}

static void linger_sends_the_queue_then_fin_then_waits(void **state)
{
    (void)state;
    begin();
    a.peer.write_room = 3;
    put_text(&a, "goodbye");
    wsi_stream_close(&a.stream, WSI_CLOSE_LINGER);
    assert_null(wsi_stream_reserve(&a.stream, 1));
    wsi_loop_turn(loop, 0);
    assert_false(script_fin(&a.peer));
    a.peer.write_room = SCRIPT_UNLIMITED;
    wsi_loop_turn(loop, 0);
    assert_output(&a, "goodbye");
    assert_true(script_fin(&a.peer));
    assert_int_equal(a.writable, 0);
    script_feed(&a.peer, "ignored", 7);
    wsi_loop_turn(loop, 0);
    assert_int_equal(a.closed, 0);
    a.peer.eof = true;
    wsi_loop_turn(loop, 0);
    assert_int_equal(a.received, 0);
    assert_int_equal(a.eof, 0);
    assert_int_equal(a.closed, 1);
    assert_int_equal(a.error, 0);
    finish();
}

static void linger_after_the_end_of_input_closes_when_sent(void **state)
{
    (void)state;
    begin();
    a.peer.eof = true;
    wsi_loop_turn(loop, 0);
    put_text(&a, "bye");
    wsi_stream_close(&a.stream, WSI_CLOSE_LINGER);
    wsi_loop_turn(loop, 0);
    assert_output(&a, "bye");
    assert_int_equal(a.closed, 1);
    assert_int_equal(a.error, 0);
    finish();
}

static void linger_reads_though_paused(void **state)
{
    (void)state;
    begin();
    wsi_stream_pause(&a.stream);
    wsi_loop_turn(loop, 0);
    script_feed(&a.peer, "ignored", 7);
    a.peer.eof = true;
    wsi_stream_close(&a.stream, WSI_CLOSE_LINGER);
    for (int i = 0; i < 3; i++)
        wsi_loop_turn(loop, 0);
    assert_int_equal(a.closed, 1);
    finish();
}

static void linger_tells_that_the_queue_was_lost(void **state)
{
    (void)state;
    begin();
    a.peer.write_resets = 3;
    put_text(&a, "goodbye");
    wsi_stream_close(&a.stream, WSI_CLOSE_LINGER);
    for (int i = 0; i < 3; i++)
        wsi_loop_turn(loop, 0);
    assert_int_equal(a.closed, 1);
    assert_int_equal(a.error, EPIPE);
    finish();
}

static void reset_after_the_fin_is_a_clean_close(void **state)
{
    (void)state;
    begin();
    wsi_stream_close(&a.stream, WSI_CLOSE_LINGER);
    wsi_loop_turn(loop, 0);
    a.peer.read_resets = 0;
    wsi_loop_turn(loop, 0);
    assert_int_equal(a.closed, 1);
    assert_int_equal(a.error, 0);
    finish();
}

static void harsher_close_ends_a_linger(void **state)
{
    (void)state;
    begin();
    a.peer.write_room = 0;
    put_text(&a, "stuck");
    wsi_stream_close(&a.stream, WSI_CLOSE_LINGER);
    wsi_loop_turn(loop, 0);
    assert_int_equal(a.closed, 0);
    wsi_stream_close(&a.stream, WSI_CLOSE_NOW);
    wsi_loop_turn(loop, 0);
    assert_int_equal(a.closed, 1);
    assert_int_equal(a.error, 0);
    finish();
}

/* ---- memory ---- */

static void reserve_reports_a_failed_allocation(void **state)
{
    int r = 0;

    (void)state;
    begin();
    /* The loop keeps segments for later, so each try begins with a new loop. */
    FOR_EACH_OOM(
        r,
        {
            struct script s;
            struct wsi_loop *l = NULL;
            struct end e = {0};

            r = script_loop_try(&s, &l);
            if (r == 0) {
                wsi_stream_init(&e.stream, &events);
                r = wsi_stream_adopt(&e.stream, l, script_peer_init(&s, &e.peer));
                if (r == 0)
                    r = put(&e, "abc", 3);
                if (r == 0)
                    r = put(&e, "def", 3);
                wsi_loop_turn(l, 0);
                if (r == 0)
                    assert_memory_equal(e.peer.output.data, "abcdef", 6);
                wsi_stream_close(&e.stream, WSI_CLOSE_NOW);
                wsi_loop_turn(l, 0);
                script_peer_fini(&s, &e.peer);
                wsi_loop_free(l);
            }
        },
        (void)0);
    finish();
}

static void refused_blob_is_not_queued(void **state)
{
    struct wsi_blob *blob;

    (void)state;
    begin();
    blob = blob_of(10, 'x');
    put_text(&a, "before");
    test_fail_allocation(1, 1);
    assert_int_equal(wsi_stream_send_blob(&a.stream, blob, 0, 10), WSOCK_ENOMEM);
    test_stop_failing();
    assert_int_equal(atomic_load(&blob->ref.count), 1);
    put_text(&a, "after");
    wsi_loop_turn(loop, 0);
    assert_output(&a, "beforeafter");
    wsi_blob_unref(blob);
    finish();
}

static void blocked_stream_without_memory_ends(void **state)
{
    (void)state;
    begin();
    a.peer.write_room = 2;
    put_text(&a, "hello");
    put_text(&b, "unharmed");
    test_fail_allocation(1, 1);
    wsi_loop_turn(loop, 0);
    test_stop_failing();
    assert_int_equal(a.closed, 1);
    assert_int_equal(a.error, ENOMEM);
    assert_output(&b, "unharmed");
    finish();
}

static void blocked_reserve_without_memory_leaves_the_queue(void **state)
{
    static uint8_t piece[4096];

    (void)state;
    begin();
    a.peer.write_room = 0;
    put_text(&a, "hello");
    wsi_loop_turn(loop, 0);
    test_fail_allocation(1, 1);
    assert_null(wsi_stream_reserve(&a.stream, sizeof piece));
    test_stop_failing();
    a.peer.write_room = SCRIPT_UNLIMITED;
    wsi_loop_turn(loop, 0);
    assert_output(&a, "hello");
    finish();
}

/* ---- real sockets ---- */

static void real_pair(struct end *end, int *far_fd)
{
    const struct wsi_loop_config config = {0};
    int fd[2];

    assert_int_equal(wsi_loop_new(&loop, &config), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    memset(end, 0, sizeof *end);
    wsi_stream_init(&end->stream, &events);
    assert_int_equal(wsi_stream_adopt(&end->stream, loop, fd[0]), 0);
    *far_fd = fd[1];
}

static void slow_reader_gets_every_byte(void **state)
{
    static uint8_t chunk[30000];
    struct wsi_blob *blob;
    size_t expected = 0, got = 0;
    ssize_t n;
    int far_fd;

    (void)state;
    real_pair(&a, &far_fd);
    blob = wsi_blob_new(100000);
    assert_non_null(blob);
    blob->len = 100000;
    while (expected < 4000000) {
        for (int i = 0; i < 50; i++) {
            for (size_t k = 0; k < 1000; k++)
                chunk[k] = (uint8_t)((expected + k) % 251);
            assert_int_equal(put(&a, chunk, 1000), 0);
            expected += 1000;
        }
        for (size_t k = 0; k < 251; k++)
            blob->data[k] = (uint8_t)k;
        memcpy(blob->data + 251, blob->data, 251);
        assert_int_equal(wsi_stream_send_blob(&a.stream, blob, expected % 251, 251), 0);
        expected += 251;
    }
    assert_true(wsi_stream_is_blocked(&a.stream));
    while (got < expected) {
        wsi_loop_turn(loop, 0);
        n = recv(far_fd, chunk, sizeof chunk, 0);
        assert_true(n > 0);
        for (ssize_t k = 0; k < n; k++)
            if (chunk[k] != (uint8_t)((got + (size_t)k) % 251))
                fail_msg("byte %zu", got + (size_t)k);
        got += (size_t)n;
    }
    wsi_loop_turn(loop, 0);
    assert_int_equal(got, expected);
    assert_int_equal(wsi_stream_queued(&a.stream), 0);
    wsi_blob_unref(blob);
    wsi_stream_close(&a.stream, WSI_CLOSE_NOW);
    wsi_loop_turn(loop, 0);
    close(far_fd);
    wsi_loop_free(loop);
}

static int turns_in(uint64_t ms)
{
    const uint64_t end_us = wsi_loop_clock_us(loop) + ms * 1000;
    int turns = 0;

    while (wsi_loop_clock_us(loop) < end_us) {
        wsi_loop_turn(loop, (int64_t)ms);
        turns++;
    }
    return turns;
}

static void broken_paused_socket_does_not_spin_and_loses_nothing(void **state)
{
    int far_fd;

    (void)state;
    real_pair(&a, &far_fd);
    wsi_stream_pause(&a.stream);
    wsi_loop_turn(loop, 0);
    assert_int_equal(send(far_fd, "unread", 6, 0), 6);
    close(far_fd);
    assert_true(turns_in(20) <= 4);
    assert_int_equal(a.closed, 0);
    wsi_stream_resume(&a.stream);
    for (int i = 0; i < 8 && !a.closed; i++)
        wsi_loop_turn(loop, 1000);
    assert_int_equal(a.received, 6);
    assert_memory_equal(a.data, "unread", 6);
    assert_int_equal(a.eof, 1);
    assert_int_equal(a.closed, 1); /* nothing can be sent either */
    wsi_loop_free(loop);
}

static void reset_close_reaches_the_peer_as_a_reset(void **state)
{
    const struct wsi_loop_config config = {0};
    struct wsi_address address;
    int listen_fd, near_fd, far_fd;
    char byte;

    (void)state;
    assert_int_equal(wsi_loop_new(&loop, &config), 0);
    assert_true(wsi_address_numeric(&address, "127.0.0.1", 0));
    assert_int_equal(wsi_listen(&address, 1, false, &listen_fd), 0);
    assert_int_equal(wsi_address_local(&address, listen_fd), 0);
    far_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(far_fd, &address.u.any, address.len), 0);
    near_fd = accept(listen_fd, NULL, NULL);
    assert_true(near_fd >= 0);
    memset(&a, 0, sizeof a);
    wsi_stream_init(&a.stream, &events);
    assert_int_equal(wsi_stream_adopt(&a.stream, loop, near_fd), 0);
    wsi_stream_close(&a.stream, WSI_CLOSE_RESET);
    wsi_loop_turn(loop, 0);
    assert_int_equal(a.closed, 1);
    assert_int_equal(a.error, 0);
    assert_int_equal(recv(far_fd, &byte, 1, 0), -1);
    assert_int_equal(errno, ECONNRESET);
    close(far_fd);
    close(listen_fd);
    wsi_loop_free(loop);
}

static void adopt_of_a_bad_descriptor_fails(void **state)
{
    const struct wsi_loop_config config = {0};

    (void)state;
    assert_int_equal(wsi_loop_new(&loop, &config), 0);
    wsi_stream_init(&a.stream, &events);
    assert_int_equal(wsi_stream_adopt(&a.stream, loop, 1 << 20), WSOCK_ESYSTEM);
    assert_false(wsi_stream_is_attached(&a.stream));
    wsi_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(output_of_a_turn_leaves_in_one_piece),
        TEST(interleaved_output_leaves_in_few_pieces),
        TEST(large_queue_is_sent_before_the_turn_ends),
        TEST(full_arena_is_sent_early_and_used_again),
        TEST(reserve_never_reaches_beyond_the_arena),
        TEST(full_arena_spares_streams_whose_callback_is_pending),
        TEST(explicit_flush_sends_at_once),
        TEST(blocked_stream_waits_for_readiness),
        TEST(blocking_is_told_once_each_time),
        TEST(stream_may_be_closed_for_blocking),
        TEST(blocked_stream_allocates_rarely),
        TEST(writable_callback_may_write),
        TEST(wanted_writable_comes_without_output_too),
        TEST(wanted_writable_waits_while_blocked),
        TEST(endless_writer_does_not_hold_the_turn),
        TEST(pending_callback_sees_what_an_earlier_one_did),
        TEST(sent_bytes_are_the_queued_bytes_in_order),
        TEST(input_arrives_whatever_the_cuts),
        TEST(full_buffers_do_not_starve_the_others),
        TEST(end_of_input_is_told_once_and_sending_goes_on),
        TEST(paused_stream_receives_nothing),
        TEST(pause_that_is_lifted_in_the_turn_costs_nothing),
        TEST(pause_inside_data_stops_at_once),
        TEST(hangup_of_a_paused_stream_waits_without_spinning),
        TEST(hangup_after_the_end_of_input_ends_the_stream),
        TEST(reset_at_every_byte_of_input),
        TEST(reset_at_every_byte_of_output),
        TEST(close_drops_the_queue_and_comes_later),
        TEST(closed_stream_gets_nothing_more_of_the_batch),
        TEST(linger_sends_the_queue_then_fin_then_waits),
        TEST(linger_after_the_end_of_input_closes_when_sent),
        TEST(linger_reads_though_paused),
        TEST(linger_tells_that_the_queue_was_lost),
        TEST(reset_after_the_fin_is_a_clean_close),
        TEST(harsher_close_ends_a_linger),
        TEST(reserve_reports_a_failed_allocation),
        TEST(refused_blob_is_not_queued),
        TEST(blocked_stream_without_memory_ends),
        TEST(blocked_reserve_without_memory_leaves_the_queue),
        TEST(slow_reader_gets_every_byte),
        TEST(broken_paused_socket_does_not_spin_and_loses_nothing),
        TEST(reset_close_reaches_the_peer_as_a_reset),
        TEST(adopt_of_a_bad_descriptor_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
