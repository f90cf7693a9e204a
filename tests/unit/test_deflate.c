/* SPDX-License-Identifier: MIT */
/* The other end is zlib, called directly with what RFC 7692 section 7.2 says. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>
#include <zlib.h>

#include "cuts.h"
#include "proto/deflate.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define PLENTY       ((uint64_t)1 << 24)

/* ---- helpers ---- */

static size_t from_hex(uint8_t *out, const char *hex)
{
    size_t len = 0;

    for (; *hex != '\0'; hex++) {
        if (*hex == ' ')
            continue;
        const char digits[3] = {hex[0], hex[1], '\0'};

        out[len++] = (uint8_t)strtoul(digits, NULL, 16);
        hex++;
    }
    return len;
}

static struct wsi_deflater *new_deflater(unsigned bits, bool takeover)
{
    struct wsi_deflater *deflater = NULL;
    const struct wsi_deflate_settings settings = {
        .window_bits = (uint8_t)bits,
        .memory_level = 8,
        .level = 6,
        .takeover = takeover,
    };

    assert_int_equal(wsi_deflater_new(&deflater, &settings), 0);
    return deflater;
}

static struct wsi_inflater *new_inflater(unsigned bits, bool takeover)
{
    struct wsi_inflater *inflater = NULL;

    assert_int_equal(wsi_inflater_new(&inflater, bits, takeover), 0);
    return inflater;
}

static void assert_inflates(struct wsi_inflater *inflater, const void *payload,
                            size_t len, const void *message, size_t message_len)
{
    struct wsi_buf out = {0};

    assert_int_equal(wsi_inflater_message(inflater, &out, payload, len, PLENTY), 0);
    assert_int_equal(out.len, message_len);
    if (message_len != 0)
        assert_memory_equal(out.data, message, message_len);
    wsi_buf_fini(&out);
}

static void assert_inflates_hex(struct wsi_inflater *inflater, const char *payload,
                                const char *message)
{
    uint8_t bytes[256];

    assert_inflates(inflater, bytes, from_hex(bytes, payload), message, strlen(message));
}

static void assert_deflates_to(struct wsi_deflater *deflater, const char *message,
                               const char *payload)
{
    struct wsi_buf out = {0};
    uint8_t bytes[256];
    const size_t len = from_hex(bytes, payload);

    assert_int_equal(wsi_deflater_message(deflater, &out, message, strlen(message)), 0);
    assert_int_equal(out.len, len);
    assert_memory_equal(out.data, bytes, len);
    wsi_buf_fini(&out);
}

/* Something that looks like text, with repetitions near and far, or plain noise. */
static uint8_t *make_message(uint32_t *seed, size_t len, bool noise)
{
    uint8_t *message = malloc(len + 1);

    assert_non_null(message);
    for (size_t i = 0; i < len; i++)
        message[i] = (uint8_t)(noise ? test_random(seed) >> 8
                                     : 'a' + test_random(seed) % 4);
    if (noise)
        return message;
    for (size_t at = 0; at + 400 < len; at += 100 + test_random(seed) % 300) {
        const size_t from = at == 0 ? 0 : test_random(seed) % at;
        const size_t run = test_random(seed) % 200;

        memmove(message + at, message + from, run);
    }
    return message;
}

/* ---- zlib as the peer ---- */

/* Inflates one payload byte by byte, so that every distance has to lie in the window. */
static void peer_inflates(z_stream *z, const uint8_t *payload, size_t len,
                          const uint8_t *message, size_t message_len)
{
    uint8_t *whole = malloc(len + 4);
    size_t done = 0;
    int r = Z_OK;

    assert_non_null(whole);
    memcpy(whole, payload, len);
    memcpy(whole + len, "\x00\x00\xff\xff", 4);
    z->next_in = whole;
    z->avail_in = (unsigned)len + 4;
    while (r == Z_OK) {
        uint8_t byte = 0;

        z->next_out = &byte;
        z->avail_out = 1;
        r = inflate(z, Z_SYNC_FLUSH);
        if (z->avail_out != 0)
            continue;
        assert_true(done < message_len);
        assert_int_equal(byte, message[done]);
        done++;
    }
    assert_int_equal(r, Z_BUF_ERROR); /* nothing left to do */
    assert_int_equal(z->avail_in, 0);
    assert_int_equal(done, message_len);
    free(whole);
}

/* @return the payload's length; free(*out). */
static size_t peer_deflates(z_stream *z, const uint8_t *message, size_t len,
                            uint8_t **out)
{
    const size_t room = len * 2 + 1000;

    *out = malloc(room);
    assert_non_null(*out);
    z->next_in = (uint8_t *)(uintptr_t)message;
    z->avail_in = (unsigned)len;
    z->next_out = *out;
    z->avail_out = (unsigned)room;
    deflate(z, Z_SYNC_FLUSH);
    assert_int_equal(z->avail_in, 0);
    assert_true(z->avail_out > 6);
    if (z->avail_out == room) /* a second flush in a row */
        return 0;
    return room - z->avail_out - 4;
}

/* ---- the examples of the RFC ---- */

#define HELLO "f248cdc9c90700"

static void inflater_takes_the_examples_of_section_7_2_3(void **state)
{
    static const struct {
        const char *payload, *message;
    } examples[] = {
        {HELLO, "Hello"},
        {"000500faff48656c6c6f00", "Hello"},
        {"f348cdc9c9070000", "Hello"},
        {"f248050000 00ffffca c9c90700", "Hello"},
        {"00", ""},
    };
    struct wsi_inflater *inflater;

    (void)state;
    for (int takeover = 0; takeover < 2; takeover++) {
        inflater = new_inflater(15, takeover != 0);
        for (size_t i = 0; i < 3 * COUNT(examples); i++)
            assert_inflates_hex(inflater, examples[i % COUNT(examples)].payload,
                                examples[i % COUNT(examples)].message);
        wsi_inflater_free(inflater);
    }
    inflater = new_inflater(15, true);
    assert_inflates_hex(inflater, HELLO, "Hello");
    assert_inflates_hex(inflater, "f200110000", "Hello");
    assert_inflates_hex(inflater, "00", "");
    assert_inflates_hex(inflater, "f200110000", "Hello");
    wsi_inflater_free(inflater);
}

static void deflater_writes_the_examples_of_section_7_2_3(void **state)
{
    struct wsi_deflater *deflater = new_deflater(15, true);

    (void)state;
    assert_deflates_to(deflater, "", "00");
    assert_deflates_to(deflater, "Hello", HELLO);
    assert_deflates_to(deflater, "Hello", "f200110000");
    assert_deflates_to(deflater, "", "00");
    assert_deflates_to(deflater, "", "00");
    assert_deflates_to(deflater, "Hello", "02130000");
    wsi_deflater_reset(deflater);
    assert_deflates_to(deflater, "Hello", HELLO);
    wsi_deflater_free(deflater);

    deflater = new_deflater(15, false);
    assert_deflates_to(deflater, "Hello", HELLO);
    assert_deflates_to(deflater, "", "00");
    assert_deflates_to(deflater, "Hello", HELLO);
    wsi_deflater_free(deflater);
}

static void inflater_without_takeover_forgets_each_message(void **state)
{
    struct wsi_inflater *inflater = new_inflater(15, false);
    struct wsi_buf out = {0};
    uint8_t again[16];
    const size_t len = from_hex(again, "f200110000");

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        assert_inflates_hex(inflater, HELLO, "Hello");
        assert_int_equal(wsi_inflater_message(inflater, &out, again, len, PLENTY),
                         WSOCK_EPROTOCOL);
    }
    wsi_buf_fini(&out);
    wsi_inflater_free(inflater);
}

/* ---- streams, whole and broken, under all cuts ---- */

struct stream_case {
    const char *payload;
    const char *seen;
    uint64_t limit; /* 0: plenty */
};

#define BROKEN "WSOCK_EPROTOCOL"
#define BIG    "WSOCK_ETOOBIG"

static const struct stream_case streams[] = {
    {HELLO, "48656c6c6f"},
    {"00", ""},
    {"", ""}, /* a second flush of zlib in a row */
    {"000500faff48656c6c6f00", "48656c6c6f"},
    {"f24805000000ffffcac9c90700", "48656c6c6f"},
    /* final blocks */
    {"f348cdc9c9070000", "48656c6c6f"},
    {"f348cdc9c90700f348cdc9c9070000", "48656c6c6f48656c6c6f"},
    {"f348cdc9c90700" HELLO, "48656c6c6f48656c6c6f"},
    {"010500faff48656c6c6f 00", "48656c6c6f"},
    {"0300 0300 0300 00", ""},
    {"01", ""}, /* the empty block at the end is a final one */
    {"f348cdc9c90700", BROKEN},
    {"010500faff48656c6c6f", BROKEN},
    {"f348cdc9c90700 f200110000", BROKEN}, /* refers to before the final block */
    /* bytes after the end */
    {"f348cdc9c907000000", BROKEN},
    {"f348cdc9c9070000ff", BROKEN},
    {"f348cdc9c9070000ffff", BROKEN},
    {HELLO "00", BROKEN},
    {HELLO "ff", BROKEN},
    {"f248cdc9c907000000ffff", BROKEN}, /* the tail came along */
    {"f248cdc9c907000000ffff00", "48656c6c6f"},
    /* cut short */
    {"f2", BROKEN},
    {"f248", BROKEN},
    {"f248cdc9", BROKEN},
    {"f248cdc9c907", BROKEN},
    {"000500faff48656c6c6f", BROKEN},
    {"000500faff48656c6c", BROKEN},
    {"000500faff48", BROKEN}, /* the tail would fill it */
    {"000500fa", BROKEN},
    {"0005", BROKEN},
    {"0000", BROKEN},
    {"05", BROKEN},
    /* not DEFLATE */
    {"06", BROKEN},
    {"ff", BROKEN},
    {"000500fbff48656c6c6f00", BROKEN},
    {"f200110000", BROKEN},
    {"02", BROKEN},
    {"7801", BROKEN},
    {"1f8b08", BROKEN},
    /* limits */
    {HELLO, "48656c6c6f", 5},
    {HELLO, BIG, 4},
    {HELLO, BIG, 1},
    {"f348cdc9c9070000", "48656c6c6f", 5},
    {"f348cdc9c9070000", BIG, 4},
    {"f348cdc9c90700" HELLO, "48656c6c6f48656c6c6f", 10},
    {"f348cdc9c90700" HELLO, BIG, 9},
    {"000500faff48656c6c6f00", "48656c6c6f", 5},
    {"000500faff48656c6c6f00", BIG, 4},
};

struct decoder {
    struct wsi_inflater *inflater;
    uint64_t limit;
};

/* A test_decode_fn: the message, or the error. */
static void decode(struct test_piece *pieces, size_t count, struct test_transcript *out,
                   void *user)
{
    struct decoder *decoder = user;
    struct wsi_buf message = {0};
    int r = 0;

    for (size_t i = 0; i < count && r == 0; i++)
        r = wsi_inflater_append(decoder->inflater, &message, pieces[i].data,
                                pieces[i].len, decoder->limit);
    if (r == 0)
        r = wsi_inflater_end(decoder->inflater, &message, decoder->limit);
    if (r < 0) {
        test_transcript_add(out, "%s", wsock_error_name(r));
    } else {
        char *hex = test_hex(message.data, message.len);

        test_transcript_add(out, "%s", hex);
        free(hex);
    }
    wsi_buf_fini(&message);
}

static void inflater_judges_streams_however_they_are_cut(void **state)
{
    /* One object for all: what failed must not disturb what comes after. */
    struct decoder decoder = {.inflater = new_inflater(15, false)};

    (void)state;
    for (size_t i = 0; i < COUNT(streams); i++) {
        uint8_t payload[256];
        const size_t len = from_hex(payload, streams[i].payload);

        decoder.limit = streams[i].limit != 0 ? streams[i].limit : PLENTY;
        test_all_cuts(payload, len, streams[i].seen, decode, &decoder);
    }
    wsi_inflater_free(decoder.inflater);
}

static void inflater_limit_of_zero_admits_empty_messages_only(void **state)
{
    struct wsi_inflater *inflater = new_inflater(15, true);
    struct wsi_buf out = {0};
    uint8_t hello[16];
    const size_t len = from_hex(hello, HELLO);

    (void)state;
    assert_int_equal(wsi_inflater_message(inflater, &out, "\0", 1, 0), 0);
    assert_int_equal(wsi_inflater_message(inflater, &out, "", 0, 0), 0);
    assert_int_equal(out.len, 0);
    assert_int_equal(wsi_inflater_message(inflater, &out, hello, len, 0), WSOCK_ETOOBIG);
    out.len = 0;
    assert_int_equal(wsi_inflater_message(inflater, &out, hello, len, UINT64_MAX), 0);
    assert_int_equal(out.len, 5);
    wsi_buf_fini(&out);
    wsi_inflater_free(inflater);
}

static void inflater_appends_and_counts_its_own_message_only(void **state)
{
    struct wsi_inflater *inflater = new_inflater(15, false);
    struct wsi_buf out = {0};
    uint8_t hello[16];
    const size_t len = from_hex(hello, HELLO);

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(wsi_inflater_message(inflater, &out, hello, len, 5), 0);
    assert_int_equal(out.len, 15);
    assert_memory_equal(out.data, "HelloHelloHello", 15);
    wsi_buf_fini(&out);
    wsi_inflater_free(inflater);
}

static void inflater_heeds_a_limit_that_was_lowered(void **state)
{
    struct wsi_inflater *inflater = new_inflater(15, true);
    struct wsi_buf out = {0};
    uint8_t hello[16];
    const size_t len = from_hex(hello, HELLO);

    (void)state;
    assert_int_equal(wsi_inflater_append(inflater, &out, hello, len, 5), 0);
    assert_int_equal(wsi_inflater_end(inflater, &out, 4), WSOCK_ETOOBIG);
    assert_inflates_hex(inflater, HELLO, "Hello");
    wsi_buf_fini(&out);
    wsi_inflater_free(inflater);
}

/* ---- bombs ---- */

/* Zeros at zlib's best ratio, about 1,024 to 1. */
static size_t make_bomb(size_t len, uint8_t **payload)
{
    uint8_t *zeros = calloc(1, len);
    z_stream z = {0};
    size_t payload_len;

    assert_non_null(zeros);
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY), Z_OK);
    payload_len = peer_deflates(&z, zeros, len, payload);
    deflateEnd(&z);
    free(zeros);
    return payload_len;
}

static void bomb_stops_at_the_limit(void **state)
{
    enum { LIMIT = 1 << 20, STEP = 64 };
    static const struct {
        size_t bomb;
        int result;
    } cases[] = {
        {LIMIT - 1, 0},
        {LIMIT, 0},
        {LIMIT + 1, WSOCK_ETOOBIG},
        {64 * LIMIT, WSOCK_ETOOBIG},
    };

    (void)state;
    for (size_t i = 0; i < 2 * COUNT(cases); i++) {
        struct wsi_inflater *inflater = new_inflater(15, i % 2 != 0);
        struct wsi_buf out = {0};
        uint8_t *payload = NULL;
        const size_t len = make_bomb(cases[i / 2].bomb, &payload);
        int r = 0;

        assert_int_equal(wsi_inflater_message(inflater, &out, payload, len, LIMIT),
                         cases[i / 2].result);
        assert_true(out.len <= LIMIT + 1);
        assert_true(out.capacity <= LIMIT + STEP);
        wsi_buf_fini(&out);

        /* in pieces, with a buffer that is emptied between them */
        for (size_t at = 0; r == 0 && at < len; at += 100) {
            r = wsi_inflater_append(inflater, &out, payload + at,
                                    len - at < 100 ? len - at : 100, LIMIT);
            assert_true(out.len <= LIMIT + 1);
            wsi_buf_consume(&out, out.len);
        }
        if (r == 0)
            r = wsi_inflater_end(inflater, &out, LIMIT);
        assert_int_equal(r, cases[i / 2].result);
        assert_true(out.capacity <= LIMIT + STEP);
        wsi_buf_fini(&out);

        assert_inflates_hex(inflater, HELLO, "Hello");
        wsi_inflater_free(inflater);
        free(payload);
    }
}

static void output_waits_for_input_never_for_room(void **state)
{
    enum { LEN = 5000 };
    struct wsi_inflater *tight = new_inflater(15, true), *wide = new_inflater(15, true);
    struct wsi_buf room = {0};
    uint8_t *payload = NULL;
    const size_t len = make_bomb(LEN, &payload);

    (void)state;
    assert_int_equal(wsi_buf_reserve(&room, 2 * LEN, 2 * LEN), 0);
    for (size_t at = 0; at < len; at++) {
        struct wsi_buf out = {0}; /* small at first, for each byte */

        room.len = 0;
        assert_int_equal(wsi_inflater_append(tight, &out, payload + at, 1, LEN), 0);
        assert_int_equal(wsi_inflater_append(wide, &room, payload + at, 1, LEN), 0);
        assert_int_equal(out.len, room.len);
        wsi_buf_fini(&out);
    }
    room.len = 0;
    assert_int_equal(wsi_inflater_end(tight, &room, LEN), 0);
    assert_int_equal(wsi_inflater_end(wide, &room, LEN), 0);
    assert_int_equal(room.len, 0);
    wsi_buf_fini(&room);
    free(payload);
    wsi_inflater_free(tight);
    wsi_inflater_free(wide);
}

static void bomb_with_takeover_is_measured_message_by_message(void **state)
{
    enum { LIMIT = 100000 };
    struct wsi_inflater *inflater = new_inflater(15, true);
    uint8_t *zeros = calloc(1, LIMIT + 1);
    z_stream z = {0};

    (void)state;
    assert_non_null(zeros);
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY), Z_OK);
    for (unsigned i = 0; i < 5; i++) {
        struct wsi_buf out = {0};
        uint8_t *payload = NULL;
        const size_t len = peer_deflates(&z, zeros, i < 4 ? LIMIT : LIMIT + 1, &payload);

        assert_int_equal(wsi_inflater_message(inflater, &out, payload, len, LIMIT),
                         i < 4 ? 0 : WSOCK_ETOOBIG);
        wsi_buf_fini(&out);
        free(payload);
    }
    deflateEnd(&z);
    free(zeros);
    wsi_inflater_free(inflater);
}

static void memory_follows_what_comes_not_the_limit(void **state)
{
    struct wsi_inflater *inflater = new_inflater(15, false);
    struct wsi_buf out = {0};
    uint8_t hello[16];
    const size_t len = from_hex(hello, HELLO);

    (void)state;
    assert_int_equal(wsi_inflater_message(inflater, &out, hello, len, UINT64_MAX), 0);
    assert_true(out.capacity <= 256);
    wsi_buf_fini(&out);
    wsi_inflater_free(inflater);
}

/* ---- round trips ---- */

static const size_t sizes[] = {0, 1, 2, 125, 250, 263, 600, 0, 0, 4000, 70000};

static void deflater_is_understood_by_zlib_with_every_window(void **state)
{
    uint32_t seed = 4711;

    (void)state;
    for (unsigned n = 0; n < 8 * 2 * 2; n++) {
        const unsigned bits = 8 + n % 8;
        const bool takeover = n / 8 % 2 != 0, noise = n / 16 != 0;
        struct wsi_deflater *deflater = new_deflater(bits, takeover);
        z_stream z = {0};

        assert_int_equal(inflateInit2(&z, -(int)bits), Z_OK);
        for (size_t i = 0; i < 2 * COUNT(sizes); i++) {
            const size_t len = sizes[i % COUNT(sizes)];
            uint8_t *message = make_message(&seed, len, noise);
            struct wsi_buf out = {0};

            assert_int_equal(wsi_deflater_message(deflater, &out, message, len), 0);
            if (!takeover)
                inflateReset(&z); /* then nothing before can be referred to */
            peer_inflates(&z, out.data, out.len, message, len);
            wsi_buf_fini(&out);
            free(message);
        }
        inflateEnd(&z);
        wsi_deflater_free(deflater);
    }
}

static void inflater_understands_zlib_with_every_window(void **state)
{
    uint32_t seed = 815;

    (void)state;
    for (unsigned n = 0; n < 8 * 2 * 2; n++) {
        const unsigned bits = 8 + n % 8;
        const bool takeover = n / 8 % 2 != 0, noise = n / 16 != 0;
        struct wsi_inflater *inflater = new_inflater(bits, takeover);
        z_stream z = {0};

        assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, bits > 8 ? -(int)bits : -9, 8,
                                      Z_DEFAULT_STRATEGY),
                         Z_OK);
        for (size_t i = 0; i < 2 * COUNT(sizes); i++) {
            const size_t len = sizes[i % COUNT(sizes)];
            uint8_t *message = make_message(&seed, len, noise), *payload = NULL;
            const size_t payload_len = peer_deflates(&z, message, len, &payload);

            assert_inflates(inflater, payload, payload_len, message, len);
            if (!takeover)
                deflateReset(&z);
            free(payload);
            free(message);
        }
        deflateEnd(&z);
        wsi_inflater_free(inflater);
    }
}

static void pieces_make_the_same_message(void **state)
{
    uint32_t seed = 42;

    (void)state;
    for (unsigned n = 0; n < 40; n++) {
        struct wsi_deflater *deflater = new_deflater(8 + n % 8, true);
        struct wsi_inflater *inflater = new_inflater(8 + n % 8, true);

        for (unsigned i = 0; i < 4; i++) {
            const size_t len = test_random(&seed) % 20000;
            uint8_t *message = make_message(&seed, len, n % 5 == 0);
            struct wsi_buf wire = {0}, piece = {0}, back = {0};

            for (size_t at = 0, step; at < len; at += step) {
                step = 1 + test_random(&seed) % (n % 2 != 0 ? 50 : 5000);
                if (step > len - at)
                    step = len - at;
                assert_int_equal(
                    wsi_deflater_append(deflater, &piece, message + at, step, SIZE_MAX),
                    0);
                assert_int_equal(wsi_buf_append(&wire, piece.data, piece.len, SIZE_MAX),
                                 0);
                wsi_buf_consume(&piece, piece.len);
            }
            assert_int_equal(wsi_deflater_end(deflater, &piece, SIZE_MAX), 0);
            assert_int_equal(wsi_buf_append(&wire, piece.data, piece.len, SIZE_MAX), 0);
            for (size_t at = 0, step; at < wire.len; at += step) {
                step = 1 + test_random(&seed) % 700;
                if (step > wire.len - at)
                    step = wire.len - at;
                assert_int_equal(
                    wsi_inflater_append(inflater, &back, wire.data + at, step, len), 0);
            }
            assert_int_equal(wsi_inflater_end(inflater, &back, len), 0);
            assert_int_equal(back.len, len);
            if (len != 0)
                assert_memory_equal(back.data, message, len);
            wsi_buf_fini(&wire);
            wsi_buf_fini(&piece);
            wsi_buf_fini(&back);
            free(message);
        }
        wsi_deflater_free(deflater);
        wsi_inflater_free(inflater);
    }
}

static void reset_follows_a_message_that_was_compressed_elsewhere(void **state)
{
    static const char first[] = "one message of the room, one message of the room";
    static const char between[] = "something compressed once for everybody in the room";
    struct wsi_deflater *own = new_deflater(15, true), *pool = new_deflater(15, false);
    struct wsi_inflater *peer = new_inflater(15, true);
    struct wsi_buf out = {0};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(wsi_deflater_message(own, &out, first, sizeof first), 0);
        assert_inflates(peer, out.data, out.len, first, sizeof first);
        out.len = 0;
        assert_int_equal(wsi_deflater_message(pool, &out, between, sizeof between), 0);
        assert_inflates(peer, out.data, out.len, between, sizeof between);
        out.len = 0;
        wsi_deflater_reset(own);
    }
    wsi_buf_fini(&out);
    wsi_deflater_free(own);
    wsi_deflater_free(pool);
    wsi_inflater_free(peer);
}

static void message_lost_half_way_leaves_both_ends_usable(void **state)
{
    struct wsi_deflater *deflater = new_deflater(15, true);
    struct wsi_inflater *inflater = new_inflater(15, true);
    struct wsi_buf out = {0};
    uint8_t hello[16];
    const size_t len = from_hex(hello, HELLO);

    (void)state;
    assert_int_equal(wsi_deflater_append(deflater, &out, "abandoned", 9, SIZE_MAX), 0);
    wsi_deflater_reset(deflater);
    assert_deflates_to(deflater, "", "00");
    assert_deflates_to(deflater, "Hello", HELLO);
    assert_int_equal(wsi_inflater_append(inflater, &out, hello, len - 3, 100), 0);
    wsi_inflater_reset(inflater);
    assert_inflates_hex(inflater, HELLO, "Hello");
    wsi_buf_fini(&out);
    wsi_deflater_free(deflater);
    wsi_inflater_free(inflater);
}

/* ---- limits and memory of the deflater ---- */

static void deflater_stops_at_its_limit(void **state)
{
    uint32_t seed = 3;
    struct wsi_deflater *deflater = new_deflater(15, true);
    uint8_t *noise = make_message(&seed, 100000, true);
    struct wsi_buf out = {0};
    size_t exact;
    int r;

    (void)state;
    assert_int_equal(wsi_deflater_append(deflater, &out, noise, 100000, 50000),
                     WSOCK_ETOOBIG);
    assert_true(out.capacity <= 50000 + 64);
    wsi_buf_fini(&out);
    assert_int_equal(wsi_deflater_message(deflater, &out, "Hello", 5), 0);
    exact = out.len;
    for (size_t limit = 0; limit < exact + 3; limit++) {
        wsi_deflater_reset(deflater);
        out.len = 0;
        r = wsi_deflater_append(deflater, &out, "Hello", 5, limit);
        if (r == 0)
            r = wsi_deflater_end(deflater, &out, limit);
        assert_int_equal(r, limit < exact ? WSOCK_ETOOBIG : 0);
    }
    wsi_deflater_reset(deflater);
    assert_int_equal(wsi_deflater_end(deflater, &out, 0), WSOCK_ETOOBIG);
    wsi_buf_fini(&out);
    free(noise);
    wsi_deflater_free(deflater);
}

static void deflater_begins_anew_when_an_empty_message_fails(void **state)
{
    struct wsi_deflater *deflater = new_deflater(15, true);
    struct wsi_buf out = {0};

    (void)state;
    assert_deflates_to(deflater, "Hello", HELLO);
    assert_deflates_to(deflater, "Hello", "f200110000");
    assert_int_equal(wsi_deflater_end(deflater, &out, 0), WSOCK_ETOOBIG);
    assert_deflates_to(deflater, "Hello", HELLO);
    wsi_buf_fini(&out);
    wsi_deflater_free(deflater);
}

/* The session admits so much more than a message may hold. */
static void noise_grows_by_less_than_the_slack_of_a_session(void **state)
{
    uint32_t seed = 99;

    (void)state;
    for (unsigned n = 0; n < 8 * 9 * 3; n++) {
        const struct wsi_deflate_settings settings = {
            .window_bits = (uint8_t)(8 + n % 8),
            .memory_level = (uint8_t)(1 + n / 8 % 9),
            .level = (uint8_t)(n / 72 * 4),
        };
        struct wsi_deflater *deflater = NULL;

        assert_int_equal(wsi_deflater_new(&deflater, &settings), 0);
        for (size_t len = 1; len < 50000; len = len * 3 + 1) {
            uint8_t *noise = make_message(&seed, len, true);
            struct wsi_buf out = {0};

            assert_int_equal(wsi_deflater_message(deflater, &out, noise, len), 0);
            assert_true(out.len <= len + len / 8 + len / 64 + 64);
            wsi_buf_fini(&out);
            free(noise);
        }
        wsi_deflater_free(deflater);
    }
}

static void held_bytes_are_told(void **state)
{
    struct wsi_deflater *deflater = new_deflater(15, true);
    struct wsi_inflater *inflater = new_inflater(15, true);

    (void)state;
    assert_in_range(wsi_deflater_held_bytes(deflater), 256 * 1024, 300 * 1024);
    assert_in_range(wsi_inflater_held_bytes(inflater), 5 * 1024, 12 * 1024);
    assert_inflates_hex(inflater, HELLO, "Hello");
    assert_in_range(wsi_inflater_held_bytes(inflater), 37 * 1024, 48 * 1024);
    wsi_deflater_free(deflater);
    wsi_inflater_free(inflater);
    wsi_deflater_free(NULL);
    wsi_inflater_free(NULL);
}

/* ---- out of memory ---- */

static int there_and_back(const uint8_t *message, size_t len)
{
    static const struct wsi_deflate_settings settings = {
        .window_bits = 9,
        .memory_level = 1,
        .level = 6,
        .takeover = true,
    };
    struct wsi_deflater *deflater = NULL;
    struct wsi_inflater *inflater = NULL;
    struct wsi_buf wire = {0}, back = {0};
    int r = wsi_deflater_new(&deflater, &settings);

    if (r == 0)
        r = wsi_inflater_new(&inflater, 9, true);
    if (r == 0)
        r = wsi_deflater_message(deflater, &wire, message, len);
    if (r == 0)
        r = wsi_inflater_message(inflater, &back, wire.data, wire.len, len);
    if (r == 0)
        r = wsi_deflater_append(deflater, &wire, message, len, SIZE_MAX);
    if (r == 0)
        r = wsi_deflater_end(deflater, &wire, SIZE_MAX);
    if (r == 0)
        assert_memory_equal(back.data, message, len);
    wsi_buf_fini(&wire);
    wsi_buf_fini(&back);
    wsi_deflater_free(deflater);
    wsi_inflater_free(inflater);
    return r;
}

static void every_lack_of_memory_is_told_and_leaves_nothing(void **state)
{
    uint32_t seed = 5;
    uint8_t *message = make_message(&seed, 3000, false);
    int result = 0;

    (void)state;
    FOR_EACH_OOM(result, result = there_and_back(message, 3000), (void)0);
    free(message);
}

static void inflater_survives_a_lack_of_memory(void **state)
{
    struct wsi_inflater *inflater = new_inflater(15, true);
    struct wsi_buf out = {0};
    uint8_t hello[16];
    const size_t len = from_hex(hello, HELLO);

    (void)state;
    for (size_t nth = 1; nth <= 2; nth++) { /* the output, the window */
        test_fail_allocation(nth, 0);
        assert_int_equal(wsi_inflater_message(inflater, &out, hello, len, 100),
                         WSOCK_ENOMEM);
        assert_int_equal(test_stop_failing(), 1);
        wsi_buf_fini(&out);
    }
    assert_inflates_hex(inflater, HELLO, "Hello");
    wsi_inflater_free(inflater);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(inflater_takes_the_examples_of_section_7_2_3),
        TEST(deflater_writes_the_examples_of_section_7_2_3),
        TEST(inflater_without_takeover_forgets_each_message),
        TEST(inflater_judges_streams_however_they_are_cut),
        TEST(inflater_limit_of_zero_admits_empty_messages_only),
        TEST(inflater_appends_and_counts_its_own_message_only),
        TEST(inflater_heeds_a_limit_that_was_lowered),
        TEST(bomb_stops_at_the_limit),
        TEST(output_waits_for_input_never_for_room),
        TEST(bomb_with_takeover_is_measured_message_by_message),
        TEST(memory_follows_what_comes_not_the_limit),
        TEST(deflater_is_understood_by_zlib_with_every_window),
        TEST(inflater_understands_zlib_with_every_window),
        TEST(pieces_make_the_same_message),
        TEST(reset_follows_a_message_that_was_compressed_elsewhere),
        TEST(message_lost_half_way_leaves_both_ends_usable),
        TEST(deflater_stops_at_its_limit),
        TEST(deflater_begins_anew_when_an_empty_message_fails),
        TEST(noise_grows_by_less_than_the_slack_of_a_session),
        TEST(held_bytes_are_told),
        TEST(every_lack_of_memory_is_told_and_leaves_nothing),
        TEST(inflater_survives_a_lack_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
