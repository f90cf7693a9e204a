/* SPDX-License-Identifier: MIT */
/* Streams with a filter: a toy one, over scripted sockets. */
#include "test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "core/alloc.h"
#include "io/loop_internal.h"
#include "script_backend.h"

/* ---- the toy: records of a kind, a length, and bytes that are XORed ---- */

enum { HEAD = 3, KEY = 0x55 };

/* Records of a peer: HELLO begins, and is answered by WELCOME; TALK makes us send as
 * many bytes as it says; BAD makes the filter fail, which sends ALERT. */
enum {
    HELLO = 'H',
    WELCOME = 'W',
    DATA = 'D',
    END = 'E',
    TALK = 'T',
    BAD = 'B',
    ALERT = 'A'
};

struct toy {
    struct wsi_filter filter; /* first */
    struct wsi_buf held;
    bool refuses; /* to encode */
    bool keeps;
    unsigned sends; /* of both sides, when it encoded last */
    size_t queued;  /* at `two`, then */
};

static int toys;

static unsigned sends_of_all(void);
static size_t queued_at_two(void);

static struct toy *toy_of(struct wsi_filter *filter)
{
    return (struct toy *)(void *)filter;
}

static void say(struct toy *toy, uint8_t kind, const void *data, size_t len)
{
    const uint8_t *bytes = data;
    const uint8_t head[HEAD] = {kind, (uint8_t)(len >> 8), (uint8_t)len};
    uint8_t *record = malloc(HEAD + len);

    assert_non_null(record);
    memcpy(record, head, HEAD);
    for (size_t i = 0; i < len; i++)
        record[HEAD + i] = bytes[i] ^ KEY;
    if (wsi_buf_append(toy->filter.output, record, HEAD + len, SIZE_MAX / 2) < 0)
        toy->filter.failed = true;
    free(record);
}

static void talk(struct toy *toy, const uint8_t *number)
{
    const size_t len = (size_t)(number[0] ^ KEY) << 16 | (size_t)(number[1] ^ KEY) << 8 |
                       (number[2] ^ KEY);
    uint8_t *words = calloc(1, len);

    assert_non_null(words);
    if (wsi_buf_append(toy->filter.output, words, len, SIZE_MAX / 2) < 0)
        toy->filter.failed = true;
    free(words);
}

static size_t take_record(struct toy *toy, const uint8_t *record, size_t len,
                          uint8_t *out)
{
    switch (record[0]) {
    case HELLO:
        say(toy, WELCOME, "", 0);
        toy->filter.ready = true;
        return 0;
    case DATA:
        for (size_t i = 0; i < len; i++)
            out[i] = record[HEAD + i] ^ KEY;
        return len;
    case END:
        toy->filter.finished = true;
        return 0;
    case TALK:
        talk(toy, record + HEAD);
        return 0;
    default:
        say(toy, ALERT, "no", 2);
        toy->filter.failed = true;
        return 0;
    }
}

static size_t decode(struct wsi_filter *filter, const uint8_t *in, size_t in_len,
                     uint8_t *out)
{
    struct toy *toy = toy_of(filter);
    size_t at = 0, len = 0;

    assert_false(filter->failed || filter->finished || filter->ended);
    if (wsi_buf_append(&toy->held, in, in_len, SIZE_MAX / 2) < 0) {
        filter->failed = true;
        return 0;
    }
    while (toy->held.len - at >= HEAD && !filter->failed && !filter->finished) {
        const uint8_t *record = toy->held.data + at;
        const size_t n = (size_t)record[1] << 8 | record[2];

        if (toy->held.len - at - HEAD < n)
            break;
        len += take_record(toy, record, n, out + len);
        at += HEAD + n;
    }
    wsi_buf_consume(&toy->held, at);
    return len;
}

static void encode(struct wsi_filter *filter, const uint8_t *data, size_t len)
{
    assert_true(filter->ready && !filter->failed && !filter->ended);
    assert_true(len > 0 && len <= WSI_FILTER_RECORD_MAX);
    toy_of(filter)->sends = sends_of_all();
    toy_of(filter)->queued = queued_at_two();
    if (toy_of(filter)->refuses)
        filter->failed = true;
    else
        say(toy_of(filter), DATA, data, len);
}

static void end(struct wsi_filter *filter)
{
    assert_true(filter->ready && !filter->failed);
    say(toy_of(filter), END, "", 0);
}

static void keep_buffers(struct wsi_filter *filter, bool on)
{
    struct toy *toy = toy_of(filter);

    assert_true(toy->keeps != on);
    toy->keeps = on;
}

static void free_toy(struct wsi_filter *filter)
{
    wsi_buf_fini(&toy_of(filter)->held);
    wsi_free(filter);
    toys--;
}

static const struct wsi_filter_ops ops = {decode, encode, end, keep_buffers, free_toy};

static struct toy *toy_new(void)
{
    struct toy *toy = wsi_zalloc(sizeof *toy);

    if (toy == NULL)
        return NULL;
    toy->filter.ops = &ops;
    toys++;
    return toy;
}

/* ---- a stream whose callbacks note what happens ---- */

struct side {
    struct wsi_stream stream;
    struct script_peer peer;
    struct toy *toy;
    struct script_bytes got;
    int secured, failed, eof, writable, blocked, closed, error;
    bool truncated;
    enum wsi_close_mode mode;        /* how it closes when the filter has failed */
    void (*then)(struct side *side); /* (nullable) in on_data */
    size_t seen;                     /* what a test noted */
};

static struct script script;
static struct wsi_loop *loop;
static struct side one, two;

static unsigned sends_of_all(void)
{
    return one.peer.sends + two.peer.sends;
}

static size_t queued_at_two(void)
{
    return wsi_stream_queued(&two.stream);
}

static struct side *side_of(struct wsi_stream *stream)
{
    return WSI_CONTAINER_OF(stream, struct side, stream);
}

static void keep(struct script_bytes *bytes, const void *data, size_t len)
{
    bytes->data = realloc(bytes->data, bytes->len + len);
    assert_non_null(bytes->data);
    memcpy(bytes->data + bytes->len, data, len);
    bytes->len += len;
}

static void on_data(struct wsi_stream *stream, uint8_t *data, size_t len)
{
    struct side *side = side_of(stream);

    assert_int_equal(side->closed + side->eof + side->failed, 0);
    assert_true(len > 0);
    keep(&side->got, data, len);
    if (side->then != NULL)
        side->then(side);
}

static bool may_receive(struct wsi_stream *stream)
{
    side_of(stream)->seen = one.got.len;
    return true;
}

static void on_eof(struct wsi_stream *stream)
{
    side_of(stream)->eof++;
    side_of(stream)->truncated = wsi_stream_is_truncated(stream);
}

static void on_writable(struct wsi_stream *stream)
{
    side_of(stream)->writable++;
}

static void on_blocked(struct wsi_stream *stream)
{
    assert_true(wsi_stream_is_blocked(stream));
    side_of(stream)->blocked++;
}

static void on_secured(struct wsi_stream *stream)
{
    side_of(stream)->secured++;
}

static void on_filter_failed(struct wsi_stream *stream)
{
    side_of(stream)->failed++;
    assert_int_equal(wsi_stream_queued(stream), 0);
    wsi_stream_close(stream, side_of(stream)->mode);
}

static void on_closed(struct wsi_stream *stream, int error)
{
    side_of(stream)->closed++;
    side_of(stream)->error = error;
}

static const struct wsi_stream_events events = {
    .may_receive = may_receive,
    .on_data = on_data,
    .on_eof = on_eof,
    .on_writable = on_writable,
    .on_blocked = on_blocked,
    .on_secured = on_secured,
    .on_filter_failed = on_filter_failed,
    .on_closed = on_closed,
};

static void open_plain(struct side *side)
{
    memset(side, 0, sizeof *side);
    wsi_stream_init(&side->stream, &events);
    assert_int_equal(
        wsi_stream_adopt(&side->stream, loop, script_peer_init(&script, &side->peer)), 0);
}

static int start(struct side *side)
{
    side->toy = toy_new();
    return side->toy == NULL
               ? WSOCK_ENOMEM
               : wsi_stream_start_filter(&side->stream, &side->toy->filter, NULL, 0);
}

static void open_side(struct side *side)
{
    open_plain(side);
    assert_int_equal(start(side), 0);
}

static void close_side(struct side *side)
{
    if (!side->closed)
        wsi_stream_close(&side->stream, WSI_CLOSE_NOW);
    if (!side->closed)
        wsi_loop_turn(loop, 0);
    assert_int_equal(side->closed, 1);
    script_peer_fini(&script, &side->peer);
    free(side->got.data);
}

static void begin(void)
{
    toys = 0;
    memset(&two, 0, sizeof two);
    loop = script_loop_new(&script);
    open_side(&one);
}

static void finish(void)
{
    close_side(&one);
    wsi_loop_free(loop);
    assert_int_equal(toys, 0);
}

static void turn_while_busy(void)
{
    do
        wsi_loop_turn(loop, 0);
    while (script_is_busy(&script));
}

/* Records that the peer sends; see above. */
static size_t write_record(uint8_t *out, uint8_t kind, const void *data, size_t len)
{
    const uint8_t *bytes = data;

    out[0] = kind;
    out[1] = (uint8_t)(len >> 8);
    out[2] = (uint8_t)len;
    for (size_t i = 0; i < len; i++)
        out[HEAD + i] = bytes[i] ^ KEY;
    return HEAD + len;
}

static void feed(struct side *side, uint8_t kind, const void *data, size_t len)
{
    uint8_t *record = malloc(HEAD + len);

    assert_non_null(record);
    script_feed(&side->peer, record, write_record(record, kind, data, len));
    free(record);
}

static void feed_talk(struct side *side, size_t len)
{
    const uint8_t number[] = {(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len};

    feed(side, TALK, number, sizeof number);
}

static void secure(struct side *side)
{
    feed(side, HELLO, "", 0);
    wsi_loop_turn(loop, 0);
    assert_int_equal(side->secured, 1);
    assert_int_equal(side->peer.output.len, HEAD);
    side->peer.output.len = 0;
}

static void put(struct side *side, const char *text)
{
    uint8_t *room = wsi_stream_reserve(&side->stream, strlen(text));

    assert_non_null(room);
    memcpy(room, text, strlen(text));
    wsi_stream_commit(&side->stream, strlen(text));
}

/* Open all records that were sent. @return how many; *kinds has one letter for each, and
 * *data what they held. */
static size_t open_output(const struct side *side, char *kinds, struct script_bytes *data)
{
    const uint8_t *at = side->peer.output.data;
    const uint8_t *stop = at + side->peer.output.len;
    size_t count = 0;

    *data = (struct script_bytes){0};
    while (at < stop) {
        const size_t len = (size_t)at[1] << 8 | at[2];

        assert_true((size_t)(stop - at) >= HEAD + len);
        if (kinds != NULL)
            kinds[count] = (char)at[0];
        count++;
        keep(data, at + HEAD, len);
        for (size_t i = 0; i < len; i++)
            data->data[data->len - len + i] ^= KEY;
        at += HEAD + len;
    }
    if (kinds != NULL)
        kinds[count] = '\0';
    return count;
}

static void assert_sent(const struct side *side, const char *kinds, const char *text)
{
    char found[64] = "";
    struct script_bytes data;

    open_output(side, found, &data);
    assert_string_equal(found, kinds);
    assert_int_equal(data.len, strlen(text));
    assert_memory_equal(data.data, text, data.len);
    free(data.data);
}

static void assert_got(const struct side *side, const char *text)
{
    assert_int_equal(side->got.len, strlen(text));
    assert_memory_equal(side->got.data, text, side->got.len);
}

static struct wsi_blob *blob_of(size_t len)
{
    struct wsi_blob *blob = wsi_blob_new(len);

    assert_non_null(blob);
    for (size_t i = 0; i < len; i++)
        blob->data[i] = (uint8_t)(i * 7 + i / 251);
    blob->len = len;
    return blob;
}

/* ---- warm filters ---- */

/* Let so much time pass, and data come and be answered. */
static void use_after(uint64_t ms)
{
    if (ms > 0)
        script_sleep(&script, ms);
    feed(&one, DATA, "x", 1);
    wsi_loop_turn(loop, 0);
    put(&one, "y");
    wsi_stream_flush(&one.stream);
}

/* Let time pass, and timers run. */
static void rest(uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i++) {
        script_sleep(&script, 1);
        wsi_loop_turn(loop, 0);
    }
}

static void who_is_used_again_soon_keeps_its_buffers_until_it_rests(void **state)
{
    (void)state;
    begin();
    secure(&one);
    use_after(0);
    assert_false(one.toy->keeps);
    use_after(WSI_FILTER_WARM_MS + 1);
    assert_false(one.toy->keeps);
    use_after(WSI_FILTER_WARM_MS);
    assert_true(one.toy->keeps);
    for (int i = 0; i < 10; i++) {
        rest(WSI_FILTER_WARM_MS - 1);
        use_after(1);
        assert_true(one.toy->keeps);
    }
    rest(WSI_FILTER_WARM_MS);
    assert_true(one.toy->keeps);
    rest(WSI_FILTER_WARM_MS);
    assert_false(one.toy->keeps);
    assert_false(wsi_timer_is_running(&loop->cooling));
    rest(WSI_FILTER_WARM_MS + 1);
    use_after(0);
    assert_false(one.toy->keeps);
    use_after(1);
    assert_true(one.toy->keeps);
    close_side(&one);
    assert_int_equal(loop->warm_count, 0);
    assert_false(wsi_timer_is_running(&loop->cooling));
    wsi_loop_free(loop);
}

static void sending_alone_keeps_buffers_too(void **state)
{
    (void)state;
    begin();
    secure(&one);
    put(&one, "a");
    wsi_loop_turn(loop, 0);
    assert_false(one.toy->keeps);
    script_sleep(&script, 1);
    wsi_loop_turn(loop, 0);
    put(&one, "b");
    wsi_loop_turn(loop, 0);
    assert_true(one.toy->keeps);
    finish();
}

static void receiving_alone_keeps_buffers_too(void **state)
{
    (void)state;
    begin();
    secure(&one);
    for (int i = 0; i < 2; i++) {
        assert_false(one.toy->keeps);
        feed(&one, DATA, "x", 1);
        rest(1);
    }
    assert_true(one.toy->keeps);
    finish();
}

static void who_stops_in_a_record_keeps_no_place(void **state)
{
    uint8_t record[64];
    const size_t len = write_record(record, DATA, "later", 5);

    (void)state;
    begin();
    secure(&one);
    use_after(0);
    use_after(1);
    script_sleep(&script, 1);
    script_feed(&one.peer, record, HEAD + 1);
    rest(2 * WSI_FILTER_WARM_MS);
    assert_false(one.toy->keeps);
    assert_int_equal(loop->warm_count, 0);
    script_feed(&one.peer, record + HEAD + 1, len - HEAD - 1);
    rest(1);
    assert_got(&one, "xxlater");
    assert_false(one.toy->keeps);
    use_after(1);
    assert_true(one.toy->keeps);
    finish();
}

static void no_more_than_a_number_keep_buffers(void **state)
{
    (void)state;
    begin();
    secure(&one);
    loop->warm_count += WSI_FILTER_WARM_MAX; /* others */
    use_after(0);
    use_after(1);
    assert_false(one.toy->keeps);
    loop->warm_count--;
    use_after(1);
    assert_true(one.toy->keeps);
    loop->warm_count -= WSI_FILTER_WARM_MAX - 1;
    finish();
}

/* ---- both directions ---- */

static void data_passes_in_both_directions_after_the_handshake(void **state)
{
    (void)state;
    begin();
    secure(&one);
    feed(&one, DATA, "hello", 5);
    put(&one, "good ");
    put(&one, "day");
    assert_int_equal(one.peer.sends, 1); /* the welcome */
    wsi_loop_turn(loop, 0);
    assert_got(&one, "hello");
    assert_sent(&one, "D", "good day"); /* one turn, one record, one call */
    assert_int_equal(one.peer.sends, 2);
    assert_int_equal(wsi_stream_queued(&one.stream), 0);
    finish();
}

static void begin_two(void)
{
    begin();
    open_side(&two);
    secure(&one);
    secure(&two);
}

static void finish_two(void)
{
    close_side(&two);
    finish();
}

static void what_a_turn_brings_is_encoded_before_any_is_sent(void **state)
{
    unsigned before;

    (void)state;
    begin_two();
    before = sends_of_all();
    for (int i = 0; i < 3; i++) { /* of one stream and of the other */
        put(&one, "to one ");
        put(&two, "to two ");
    }
    wsi_loop_turn(loop, 0);
    assert_int_equal(one.toy->sends, before);
    assert_int_equal(two.toy->sends, before);
    assert_sent(&one, "D", "to one to one to one ");
    assert_sent(&two, "D", "to two to two to two ");
    assert_int_equal(sends_of_all(), before + 2);
    finish_two();
}

static void what_is_encoded_ahead_counts_where_it_is_queued(void **state)
{
    struct side three;

    (void)state;
    begin_two();
    open_side(&three);
    secure(&three);
    put(&one, "to one");
    put(&two, "second");
    put(&three, "third");
    wsi_loop_turn(loop, 0);
    assert_int_equal(three.toy->queued, HEAD + strlen("second"));
    assert_int_equal(wsi_stream_queued(&two.stream), 0);
    close_side(&three);
    finish_two();
}

static void what_one_socket_does_not_take_waits_for_it_alone(void **state)
{
    (void)state;
    begin_two();
    one.peer.write_room = 5;
    put(&one, "first, ");
    put(&two, "whole");
    wsi_loop_turn(loop, 0);
    assert_int_equal(one.peer.output.len, 5);
    assert_true(wsi_stream_is_blocked(&one.stream));
    assert_sent(&two, "D", "whole");
    put(&one, "second");
    put(&two, ", again");
    wsi_stream_pause(&one.stream); /* it is looked at, blocked as it is */
    wsi_loop_turn(loop, 0);
    wsi_stream_resume(&one.stream);
    put(&two, " and again");
    wsi_loop_turn(loop, 0);
    assert_sent(&two, "DDD", "whole, again and again");
    one.peer.write_room = SCRIPT_UNLIMITED;
    turn_while_busy();
    assert_sent(&one, "DD", "first, second");
    finish_two();
}

static void what_came_before_the_filter_goes_through_it(void **state)
{
    uint8_t early[64];
    size_t len = write_record(early, HELLO, "", 0);

    (void)state;
    begin();
    close_side(&one);
    open_plain(&one);
    one.toy = toy_new();
    len += write_record(early + len, DATA, "soon", 4);
    assert_int_equal(wsi_stream_start_filter(&one.stream, &one.toy->filter, early, len),
                     0);
    assert_int_equal(one.secured, 1);
    assert_got(&one, "soon");
    wsi_loop_turn(loop, 0);
    assert_sent(&one, "W", "");
    finish();
}

static void start_in_on_data(struct side *side)
{
    if (side->toy == NULL)
        assert_int_equal(start(side), 0);
}

/* A read that filled the buffer is followed by another in the same turn. */
static void a_read_behind_the_start_of_a_filter_goes_through_it(void **state)
{
    uint8_t *plain = calloc(1, WSI_RECEIVE_SIZE);

    (void)state;
    begin();
    close_side(&one);
    open_plain(&one);
    one.then = start_in_on_data;
    script_feed(&one.peer, plain, WSI_RECEIVE_SIZE);
    feed(&one, HELLO, "", 0);
    turn_while_busy();
    assert_int_equal(one.got.len, WSI_RECEIVE_SIZE);
    assert_int_equal(one.secured, 1);
    free(plain);
    finish();
}

/* All that a peer may send: two cuts of it, at every place. */
static void the_input_may_be_cut_anywhere(void **state)
{
    uint8_t input[128];
    size_t len = write_record(input, HELLO, "", 0);

    (void)state;
    len += write_record(input + len, DATA, "one ", 4);
    len += write_record(input + len, DATA, "", 0);
    len += write_record(input + len, DATA, "two", 3);
    len += write_record(input + len, END, "", 0);
    len += write_record(input + len, DATA, "behind", 6);
    for (size_t a = 0; a <= len; a++) {
        for (size_t b = a; b <= len; b++) {
            begin();
            script_feed(&one.peer, input, a);
            wsi_loop_turn(loop, 0);
            script_feed(&one.peer, input + a, b - a);
            wsi_loop_turn(loop, 0);
            script_feed(&one.peer, input + b, len - b);
            one.peer.eof = true;
            wsi_loop_turn(loop, 0);
            assert_int_equal(one.secured, 1);
            assert_got(&one, "one two");
            assert_int_equal(one.eof, 1);
            assert_false(one.truncated);
            finish();
        }
    }
}

static void data_of_many_reads_arrives_whole(void **state)
{
    enum { RECORDS = 40, SIZE = 40000 };
    uint8_t *data = malloc(SIZE);

    (void)state;
    begin();
    secure(&one);
    for (int i = 0; i < RECORDS; i++) {
        memset(data, i, SIZE);
        for (size_t at = 0; at < SIZE; at += 10000)
            feed(&one, DATA, data + at, 10000);
    }
    turn_while_busy();
    assert_int_equal(one.got.len, RECORDS * SIZE);
    for (size_t i = 0; i < one.got.len; i++)
        assert_int_equal(one.got.data[i], i / SIZE);
    free(data);
    finish();
}

static void pause_in_data(struct side *side)
{
    wsi_stream_pause(&side->stream);
}

static void a_paused_stream_decodes_nothing(void **state)
{
    (void)state;
    begin();
    secure(&one);
    one.then = pause_in_data;
    feed(&one, DATA, "one", 3);
    wsi_loop_turn(loop, 0);
    feed(&one, DATA, "two", 3);
    wsi_loop_turn(loop, 0);
    assert_got(&one, "one");
    wsi_stream_resume(&one.stream);
    turn_while_busy();
    assert_got(&one, "onetwo");
    finish();
}

/* ---- stages of a turn ---- */

static void note_receives(struct side *side)
{
    side->seen = one.peer.receives + two.peer.receives;
}

static void all_that_are_ready_are_read_before_any_is_decoded(void **state)
{
    unsigned before;

    (void)state;
    begin_two();
    one.then = two.then = note_receives;
    feed(&one, DATA, "to one", 6);
    feed(&two, DATA, "to two", 6);
    before = one.peer.receives + two.peer.receives;
    wsi_loop_turn(loop, 0);
    assert_got(&one, "to one");
    assert_got(&two, "to two");
    assert_int_equal(one.seen, before + 2);
    assert_int_equal(two.seen, before + 2);
    finish_two();
}

static void close_two(struct side *side)
{
    (void)side;
    wsi_stream_close(&two.stream, two.mode);
}

static void what_was_read_of_a_stream_that_another_closes_is_dropped(void **state)
{
    static const enum wsi_close_mode modes[] = {WSI_CLOSE_NOW, WSI_CLOSE_LINGER,
                                                WSI_CLOSE_RESET};

    (void)state;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        begin_two();
        one.then = close_two;
        two.mode = modes[i];
        feed(&one, DATA, "x", 1);
        feed(&two, DATA, "gone", 4);
        feed(&two, BAD, "", 0);
        wsi_loop_turn(loop, 0);
        assert_got(&one, "x");
        assert_got(&two, "");
        assert_int_equal(two.failed, 0);
        assert_int_equal(two.closed, modes[i] != WSI_CLOSE_LINGER);
        assert_sent(&two, modes[i] == WSI_CLOSE_LINGER ? "E" : "", ""); /* no alert */
        finish_two();
    }
}

/* Each brings less than is read at a time, and all of them more than waits at a time. */
static void more_than_may_wait_is_delivered_in_between(void **state)
{
    enum { SIDES = 6, SIZE = 30000 };
    static struct side sides[SIDES];
    uint8_t *data = calloc(1, SIZE);

    (void)state;
    begin();
    for (int i = 0; i < SIDES; i++) {
        open_side(&sides[i]);
        secure(&sides[i]);
    }
    for (int i = 0; i < SIDES; i++) {
        memset(data, 'a' + i, SIZE);
        for (size_t at = 0; at < SIZE; at += 10000)
            feed(&sides[i], DATA, data + at, 10000);
    }
    wsi_loop_turn(loop, 0);
    for (int i = 0; i < SIDES; i++) {
        assert_int_equal(sides[i].got.len, SIZE);
        for (size_t k = 0; k < SIZE; k++)
            assert_int_equal(sides[i].got.data[k], 'a' + i);
        close_side(&sides[i]);
    }
    free(data);
    finish();
}

static void who_asks_is_delivered_before_the_next_is_asked(void **state)
{
    (void)state;
    begin_two();
    wsi_stream_ask(&one.stream);
    wsi_stream_ask(&two.stream);
    feed(&one, DATA, "to one", 6);
    feed(&two, DATA, "to two", 6);
    wsi_loop_turn(loop, 0);
    assert_int_equal(one.seen, 0);
    assert_int_equal(two.seen, strlen("to one"));
    assert_got(&two, "to two");
    finish_two();
}

/* ---- what the socket does not take ---- */

static void short_writes_lose_nothing(void **state)
{
    (void)state;
    for (size_t max = 1; max < 24; max++) {
        begin();
        secure(&one);
        one.peer.write_max = max;
        put(&one, "a line of text");
        turn_while_busy();
        put(&one, ", and another");
        turn_while_busy();
        assert_sent(&one, "DD", "a line of text, and another");
        finish();
    }
}

static void encoded_bytes_wait_while_the_queue_is_empty(void **state)
{
    (void)state;
    for (size_t room = 0; room < HEAD + 5; room++) {
        begin();
        secure(&one);
        one.peer.write_room = room;
        put(&one, "first");
        wsi_loop_turn(loop, 0);
        assert_null(one.stream.head);
        assert_int_equal(wsi_stream_queued(&one.stream), HEAD + 5 - room);
        assert_int_equal(wsi_stream_unsent(&one.stream), HEAD + 5 - room);
        assert_true(wsi_stream_is_blocked(&one.stream));
        assert_int_equal(one.blocked, 1);
        assert_int_equal(one.writable, 0);
        put(&one, " second"); /* waits as it is */
        wsi_loop_turn(loop, 0);
        assert_int_equal(wsi_stream_queued(&one.stream), HEAD + 5 - room + 7);
        one.peer.write_room = SCRIPT_UNLIMITED;
        turn_while_busy();
        assert_false(wsi_stream_is_blocked(&one.stream));
        assert_int_equal(one.writable, 1);
        assert_int_equal(one.blocked, 1);
        assert_int_equal(wsi_stream_unsent(&one.stream), 0);
        assert_sent(&one, "DD", "first second");
        finish();
    }
}

static void a_blocked_stream_encodes_no_more_than_a_batch(void **state)
{
    struct wsi_blob *blob = blob_of(1024 * 1024);
    struct script_bytes data;
    size_t encoded;

    (void)state;
    begin();
    secure(&one);
    one.peer.write_room = 0;
    assert_int_equal(wsi_stream_send_blob(&one.stream, blob, 0, blob->len), 0);
    wsi_loop_turn(loop, 0);
    assert_true(wsi_stream_queued(&one.stream) >= blob->len);
    encoded = one.toy->filter.pending.len;
    assert_true(encoded > 0 && encoded <= WSI_FILTER_BATCH + WSI_FILTER_RECORD_MAX);
    one.peer.write_max = 10000;
    one.peer.write_room = SCRIPT_UNLIMITED;
    turn_while_busy();
    assert_int_equal(open_output(&one, NULL, &data), 64); /* of 16 KiB each */
    assert_int_equal(data.len, blob->len);
    assert_memory_equal(data.data, blob->data, blob->len);
    free(data.data);
    wsi_blob_unref(blob);
    finish();
}

static void pieces_of_all_kinds_leave_in_their_order(void **state)
{
    struct wsi_blob *blob = blob_of(50000);
    struct script_bytes data;

    (void)state;
    begin();
    secure(&one);
    for (size_t i = 0; i < 20; i++) {
        put(&one, "|");
        assert_int_equal(wsi_stream_send_blob(&one.stream, blob, i * 2000, i * 7), 0);
    }
    wsi_loop_turn(loop, 0);
    assert_int_equal(open_output(&one, NULL, &data), 1);
    for (size_t i = 0, at = 0; i < 20; at += 1 + i * 7, i++) {
        assert_int_equal(data.data[at], '|');
        assert_memory_equal(data.data + at + 1, blob->data + i * 2000, i * 7);
    }
    free(data.data);
    wsi_blob_unref(blob);
    finish();
}

static void what_is_encoded_and_waits_is_queued_still(void **state)
{
    (void)state;
    begin();
    secure(&one);
    one.peer.write_room = 4;
    put(&one, "data");
    wsi_loop_turn(loop, 0);
    assert_null(one.stream.head);
    assert_int_equal(wsi_stream_queued(&one.stream), HEAD + 4 - 4);
    put(&one, "more");
    assert_int_equal(wsi_stream_queued(&one.stream), HEAD + 4);
    feed_talk(&one, 9); /* which is not the caller's */
    wsi_loop_turn(loop, 0);
    assert_int_equal(wsi_stream_queued(&one.stream), HEAD + 4);
    assert_true(wsi_stream_unsent(&one.stream) > HEAD + 4);
    one.peer.write_room = SCRIPT_UNLIMITED;
    turn_while_busy();
    assert_int_equal(wsi_stream_unsent(&one.stream), 0);
    assert_int_equal(wsi_stream_queued(&one.stream), 0);
    finish();
}

static void what_the_filter_says_waits_for_the_socket(void **state)
{
    (void)state;
    begin();
    one.peer.write_room = 1;
    feed(&one, HELLO, "", 0);
    wsi_loop_turn(loop, 0);
    assert_int_equal(one.secured, 1); /* the welcome waits, and data behind it */
    assert_int_equal(one.blocked, 1);
    put(&one, "data");
    wsi_loop_turn(loop, 0);
    one.peer.write_room = SCRIPT_UNLIMITED;
    turn_while_busy();
    assert_sent(&one, "WD", "data");
    finish();
}

/* Who makes us talk and does not listen is cut off. */
static void a_peer_cannot_make_us_keep_without_end(void **state)
{
    (void)state;
    begin();
    secure(&one);
    one.peer.write_room = 0;
    feed_talk(&one, 256 * 1024);
    wsi_loop_turn(loop, 0);
    feed_talk(&one, 256 * 1024);
    wsi_loop_turn(loop, 0);
    assert_int_equal(wsi_stream_unsent(&one.stream), 512 * 1024);
    assert_int_equal(one.closed, 0);
    feed_talk(&one, 1);
    wsi_loop_turn(loop, 0);
    assert_int_equal(one.closed, 1);
    assert_int_equal(one.error, ENOBUFS);
    finish();
}

static void an_error_of_the_socket_ends_the_stream(void **state)
{
    (void)state;
    begin();
    secure(&one);
    one.peer.write_resets = one.peer.sent + 2;
    put(&one, "data");
    turn_while_busy();
    assert_int_equal(one.closed, 1);
    assert_int_equal(one.error, EPIPE);
    finish();
}

static void a_filter_that_cannot_encode_ends_the_stream(void **state)
{
    (void)state;
    begin();
    secure(&one);
    one.toy->refuses = true;
    put(&one, "data");
    wsi_loop_turn(loop, 0);
    assert_int_equal(one.closed, 1);
    assert_int_equal(one.error, ENOMEM);
    finish();
}

/* ---- endings ---- */

static void the_end_record_leaves_before_the_fin(void **state)
{
    (void)state;
    for (size_t room = 0; room <= HEAD + 3 + HEAD; room++) {
        begin();
        secure(&one);
        one.peer.write_room = room;
        put(&one, "end");
        wsi_stream_close(&one.stream, WSI_CLOSE_LINGER);
        wsi_loop_turn(loop, 0);
        wsi_loop_turn(loop, 0);
        assert_int_equal(script_fin(&one.peer), room == HEAD + 3 + HEAD);
        one.peer.write_room = SCRIPT_UNLIMITED;
        turn_while_busy();
        assert_true(script_fin(&one.peer));
        assert_sent(&one, "DE", "end");
        one.peer.eof = true;
        wsi_loop_turn(loop, 0);
        assert_int_equal(one.closed, 1);
        assert_int_equal(one.error, 0);
        finish();
    }
}

static void a_close_within_the_handshake_has_no_end_record(void **state)
{
    (void)state;
    begin();
    wsi_stream_close(&one.stream, WSI_CLOSE_LINGER);
    feed(&one, HELLO, "", 0); /* nobody listens any more */
    turn_while_busy();
    assert_true(script_fin(&one.peer));
    assert_int_equal(one.secured, 0);
    assert_sent(&one, "", "");
    finish();
}

static void close_in_data(struct side *side)
{
    wsi_stream_close(&side->stream, WSI_CLOSE_NOW);
}

static void a_close_in_on_data_is_the_last_event(void **state)
{
    (void)state;
    begin();
    secure(&one);
    one.then = close_in_data;
    feed(&one, DATA, "x", 1);
    feed(&one, END, "", 0);
    feed(&one, BAD, "", 0);
    wsi_loop_turn(loop, 0);
    assert_int_equal(one.closed, 1);
    assert_int_equal(one.eof + one.failed, 0);
    finish();
}

static void a_stream_without_an_end_record_is_truncated(void **state)
{
    (void)state;
    begin();
    secure(&one);
    feed(&one, DATA, "x", 1);
    one.peer.eof = true;
    turn_while_busy();
    assert_int_equal(one.eof, 1);
    assert_true(one.truncated);
    finish();
}

static void after_the_peers_end_we_may_go_on_sending(void **state)
{
    (void)state;
    begin();
    secure(&one);
    feed(&one, END, "", 0);
    feed(&one, BAD, "", 0); /* dropped */
    wsi_loop_turn(loop, 0);
    assert_int_equal(one.eof, 1);
    assert_int_equal(one.failed, 0);
    put(&one, "still here");
    wsi_loop_turn(loop, 0);
    wsi_stream_close(&one.stream, WSI_CLOSE_LINGER);
    turn_while_busy();
    assert_sent(&one, "DE", "still here");
    assert_int_equal(one.eof, 1);
    finish();
}

static void a_failure_tells_the_peer_and_then_the_caller(void **state)
{
    (void)state;
    begin();
    secure(&one);
    feed(&one, DATA, "good", 4);
    feed(&one, BAD, "", 0);
    feed(&one, DATA, "late", 4);
    put(&one, "never sent");
    one.mode = WSI_CLOSE_LINGER;
    wsi_loop_turn(loop, 0);
    assert_got(&one, "good");
    assert_int_equal(one.failed, 1);
    assert_sent(&one, "A", "no"); /* no end record behind an alert */
    assert_true(script_fin(&one.peer));
    feed(&one, BAD, "", 0);
    one.peer.eof = true;
    turn_while_busy();
    assert_int_equal(one.failed, 1);
    assert_int_equal(one.closed, 1);
    finish();
}

static void an_alert_waits_for_the_socket_too(void **state)
{
    (void)state;
    begin();
    secure(&one);
    one.peer.write_room = 4;
    put(&one, "data");
    wsi_loop_turn(loop, 0);
    feed(&one, BAD, "", 0);
    one.mode = WSI_CLOSE_LINGER;
    wsi_loop_turn(loop, 0);
    assert_int_equal(one.failed, 1);
    assert_false(script_fin(&one.peer));
    one.peer.write_room = SCRIPT_UNLIMITED;
    turn_while_busy();
    assert_sent(&one, "DA", "datano");
    assert_true(script_fin(&one.peer));
    finish();
}

static void a_failure_in_the_handshake_is_told(void **state)
{
    (void)state;
    begin();
    feed(&one, BAD, "", 0);
    one.mode = WSI_CLOSE_NOW;
    wsi_loop_turn(loop, 0);
    assert_int_equal(one.secured, 0);
    assert_int_equal(one.failed, 1);
    assert_int_equal(one.closed, 1);
    assert_sent(&one, "A", "no");
    finish();
}

/* ---- bounds ---- */

static void few_handshakes_are_received_in_a_turn(void **state)
{
    enum { MANY = 2 * WSI_HANDSHAKES_A_TURN + 3 };
    static struct side sides[MANY];
    int secured;

    (void)state;
    begin();
    secure(&one);
    for (int i = 0; i < MANY; i++) {
        open_side(&sides[i]);
        feed(&sides[i], HELLO, "", 0);
    }
    feed(&one, DATA, "not held up", 11);
    for (int turn = 1; turn <= 3; turn++) {
        wsi_loop_turn(loop, 0);
        secured = 0;
        for (int i = 0; i < MANY; i++)
            secured += sides[i].secured;
        assert_int_equal(secured, turn < 3 ? turn * WSI_HANDSHAKES_A_TURN : MANY);
    }
    assert_got(&one, "not held up");
    for (int i = 0; i < MANY; i++)
        close_side(&sides[i]);
    finish();
}

static void start_with_the_rest(struct side *side)
{
    struct script_bytes early = side->got;

    side->then = NULL;
    side->toy = toy_new();
    assert_int_equal(wsi_stream_start_filter(&side->stream, &side->toy->filter,
                                             early.data + 1, early.len - 1),
                     0);
}

/* A header in front, and the first bytes of the handshake in the same segment. */
static void what_brings_a_handshake_along_counts_as_one(void **state)
{
    enum { MANY = 2 * WSI_HANDSHAKES_A_TURN + 3 };
    static struct side sides[MANY];

    (void)state;
    begin();
    for (int i = 0; i < MANY; i++) {
        open_plain(&sides[i]);
        wsi_stream_expect_filter(&sides[i].stream);
        sides[i].then = start_with_the_rest;
        script_feed(&sides[i].peer, "P", 1);
        feed(&sides[i], HELLO, "", 0);
    }
    for (int turn = 1; turn <= 3; turn++) {
        int secured = 0;

        wsi_loop_turn(loop, 0);
        for (int i = 0; i < MANY; i++)
            secured += sides[i].secured;
        assert_int_equal(secured, turn < 3 ? turn * WSI_HANDSHAKES_A_TURN : MANY);
    }
    for (int i = 0; i < MANY; i++)
        close_side(&sides[i]);
    finish();
}

/* Whatever is refused, the stream ends with ENOMEM or has done everything. */
static void a_want_of_memory_ends_the_stream(void **state)
{
    size_t refused = 1;

    (void)state;
    for (size_t n = 1; refused > 0; n++) {
        begin();
        close_side(&one);
        open_plain(&one);
        one.mode = WSI_CLOSE_NOW;
        one.peer.write_max = 5;
        test_fail_allocation(n, n % 2);
        if (start(&one) < 0) {
            refused = test_stop_failing();
            assert_int_equal(refused, 1);
            finish();
            continue;
        }
        feed(&one, HELLO, "", 0);
        feed(&one, DATA, "data", 4);
        wsi_loop_turn(loop, 0);
        if (!one.closed && one.secured && wsi_stream_reserve(&one.stream, 20) != NULL)
            put(&one, "twenty bytes of text");
        for (int i = 0; i < 20 && !one.closed; i++)
            wsi_loop_turn(loop, 0);
        refused = test_stop_failing();
        if (refused == 0) {
            assert_sent(&one, "WD", "twenty bytes of text");
            assert_got(&one, "data");
        }
        finish();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_is_used_again_soon_keeps_its_buffers_until_it_rests),
        TEST(sending_alone_keeps_buffers_too),
        TEST(receiving_alone_keeps_buffers_too),
        TEST(who_stops_in_a_record_keeps_no_place),
        TEST(no_more_than_a_number_keep_buffers),
        TEST(data_passes_in_both_directions_after_the_handshake),
        TEST(what_a_turn_brings_is_encoded_before_any_is_sent),
        TEST(what_is_encoded_ahead_counts_where_it_is_queued),
        TEST(what_one_socket_does_not_take_waits_for_it_alone),
        TEST(what_came_before_the_filter_goes_through_it),
        TEST(a_read_behind_the_start_of_a_filter_goes_through_it),
        TEST(the_input_may_be_cut_anywhere),
        TEST(data_of_many_reads_arrives_whole),
        TEST(a_paused_stream_decodes_nothing),
        TEST(all_that_are_ready_are_read_before_any_is_decoded),
        TEST(what_was_read_of_a_stream_that_another_closes_is_dropped),
        TEST(more_than_may_wait_is_delivered_in_between),
        TEST(who_asks_is_delivered_before_the_next_is_asked),
        TEST(short_writes_lose_nothing),
        TEST(encoded_bytes_wait_while_the_queue_is_empty),
        TEST(a_blocked_stream_encodes_no_more_than_a_batch),
        TEST(pieces_of_all_kinds_leave_in_their_order),
        TEST(what_is_encoded_and_waits_is_queued_still),
        TEST(what_the_filter_says_waits_for_the_socket),
        TEST(a_peer_cannot_make_us_keep_without_end),
        TEST(an_error_of_the_socket_ends_the_stream),
        TEST(a_filter_that_cannot_encode_ends_the_stream),
        TEST(the_end_record_leaves_before_the_fin),
        TEST(a_close_within_the_handshake_has_no_end_record),
        TEST(a_close_in_on_data_is_the_last_event),
        TEST(a_stream_without_an_end_record_is_truncated),
        TEST(after_the_peers_end_we_may_go_on_sending),
        TEST(a_failure_tells_the_peer_and_then_the_caller),
        TEST(an_alert_waits_for_the_socket_too),
        TEST(a_failure_in_the_handshake_is_told),
        TEST(few_handshakes_are_received_in_a_turn),
        TEST(what_brings_a_handshake_along_counts_as_one),
        TEST(a_want_of_memory_ends_the_stream),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
