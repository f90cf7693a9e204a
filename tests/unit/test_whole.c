/* SPDX-License-Identifier: MIT */
/*
 * The other end is zlib, called directly with what RFC 7692 section 7.2 says. It goes on
 * from message to message and is never reset: a final block would end its stream, and
 * with that all that comes behind, as with peers that know no such blocks.
 */
#include "test.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>
#include <zlib.h>

#include "cuts.h"
#include "proto/deflate.h"
#include "proto/whole.h"

enum { LONGEST = 70000, LEVELS = 9 };

/* ---- messages ---- */

enum kind {
    TEXT,       /* one block, with codes of its own */
    NOISE,      /* stored blocks */
    ALTERNATES, /* between the two: many blocks */
    SAME,       /* one byte, over and over: hardly any codes */
    PAIRS,      /* two bytes, evenly */
    KINDS,
};

static void add_text(uint8_t *message, size_t from, size_t to, uint32_t *seed)
{
    for (size_t i = from; i < to; i++)
        message[i] = (uint8_t)(" etaoinshrdlucmfw,.{}\"0123"[test_random(seed) % 26]);
    for (size_t i = from + 40; i + 40 < to; i += 30)
        if (test_random(seed) % 2 == 0)
            memmove(message + i, message + i - 40 + test_random(seed) % 20, 20);
}

static void add_noise(uint8_t *message, size_t from, size_t to, uint32_t *seed)
{
    for (size_t i = from; i < to; i++)
        message[i] = (uint8_t)(test_random(seed) >> 8);
}

static uint8_t *make_message(enum kind kind, size_t len, uint32_t *seed)
{
    uint8_t *message = malloc(len + 1);

    assert_non_null(message);
    switch (kind) {
    case TEXT:
        add_text(message, 0, len, seed);
        break;
    case NOISE:
        add_noise(message, 0, len, seed);
        break;
    case ALTERNATES:
        for (size_t i = 0; i < len; i += 10000) {
            const size_t end = len - i < 10000 ? len : i + 10000;

            (i / 10000 % 2 != 0 ? add_noise : add_text)(message, i, end, seed);
        }
        break;
    case SAME:
        memset(message, 'a' + (int)(test_random(seed) % 26), len);
        break;
    default:
        for (size_t i = 0; i < len; i++)
            message[i] = test_random(seed) >> 9 & 1 ? 'a' : 0xf0;
    }
    return message;
}

/* ---- peers ---- */

/* A stream that knows all that was sent before. */
struct peer {
    z_stream z;
    struct wsi_inflater *inflater; /* ours, which looks at the end more closely */
};

static void peer_init(struct peer *peer, int bits)
{
    *peer = (struct peer){0};
    assert_int_equal(inflateInit2(&peer->z, -bits), Z_OK);
    assert_int_equal(wsi_inflater_new(&peer->inflater, (unsigned)bits, true), 0);
}

static void peer_fini(struct peer *peer)
{
    inflateEnd(&peer->z);
    wsi_inflater_free(peer->inflater);
}

static void zlib_takes(z_stream *z, const struct wsi_buf *payload, const uint8_t *message,
                       size_t len)
{
    uint8_t *wire = malloc(payload->len + 4), *back = malloc(len + 300);

    assert_non_null(wire);
    assert_non_null(back);
    memcpy(wire, payload->data, payload->len);
    memcpy(wire + payload->len, "\x00\x00\xff\xff", 4);
    z->next_in = wire;
    z->avail_in = (unsigned)payload->len + 4;
    z->next_out = back;
    z->avail_out = (unsigned)len + 300;
    assert_int_equal(inflate(z, Z_SYNC_FLUSH), Z_OK); /* Z_STREAM_END: a final block */
    assert_int_equal(z->avail_in, 0);
    assert_int_equal(z->avail_out, 300);
    assert_int_equal(z->data_type & ~7, 128); /* behind a block, on a byte boundary */
    assert_int_equal(z->data_type & 7, 0);
    assert_memory_equal(back, message, len);
    free(wire);
    free(back);
}

static void peer_takes(struct peer *peer, const struct wsi_buf *payload,
                       const uint8_t *message, size_t len)
{
    struct wsi_buf back = {0};

    zlib_takes(&peer->z, payload, message, len);
    assert_int_equal(
        wsi_inflater_message(peer->inflater, &back, payload->data, payload->len, len), 0);
    assert_int_equal(back.len, len);
    assert_memory_equal(back.data, message, len);
    wsi_buf_fini(&back);
}

/* ---- tests ---- */

static void one_trip(struct wsi_whole *whole, struct peer *peer, enum kind kind,
                     size_t len, uint32_t *seed)
{
    uint8_t *message = make_message(kind, len, seed);
    struct wsi_buf out = {0};

    assert_int_equal(wsi_buf_append(&out, "before", 6, 6), 0);
    assert_int_equal(wsi_whole_message(whole, &out, message, len), 0);
    assert_memory_equal(out.data, "before", 6);
    wsi_buf_consume(&out, 6);
    assert_true(out.len <= len + 64);
    peer_takes(peer, &out, message, len);
    wsi_buf_fini(&out);
    free(message);
}

static void every_size_goes_there_and_back(void **state)
{
    struct wsi_whole *whole = wsi_whole_new(6);
    struct peer peer;
    uint32_t seed = 1;

    (void)state;
    assert_non_null(whole);
    peer_init(&peer, 15);
    for (size_t len = 0; len < 1500; len++)
        for (unsigned kind = 0; kind < KINDS; kind++)
            one_trip(whole, &peer, kind, len, &seed);
    for (size_t len = 1500; len <= LONGEST; len += 997)
        for (unsigned kind = 0; kind < KINDS; kind++)
            one_trip(whole, &peer, kind, len, &seed);
    peer_fini(&peer);
    wsi_whole_free(whole);
}

static void every_level_goes_there_and_back(void **state)
{
    uint32_t seed = 2;

    (void)state;
    for (unsigned level = 1; level <= LEVELS; level++) {
        struct wsi_whole *whole = wsi_whole_new(level);
        struct peer peer;

        assert_non_null(whole);
        peer_init(&peer, 15);
        for (size_t len = 1; len <= LONGEST; len = len * 5 / 3 + 1)
            for (unsigned kind = 0; kind < KINDS; kind++)
                one_trip(whole, &peer, kind, len, &seed);
        one_trip(whole, &peer, ALTERNATES, WSI_WHOLE_MAX, &seed);
        peer_fini(&peer);
        wsi_whole_free(whole);
    }
}

/* The ends of blocks fall on all bits of a byte, and then on all of them the payload is
 * as short as zlib would have it. */
static void payload_has_no_byte_too_many(void **state)
{
    struct wsi_whole *whole = wsi_whole_new(6);
    unsigned zero_ends = 0;
    uint32_t seed = 3;

    (void)state;
    assert_non_null(whole);
    for (unsigned i = 0; i < 400; i++) {
        uint8_t *message = make_message(TEXT, 1024 + i, &seed);
        struct wsi_buf out = {0};

        assert_int_equal(wsi_whole_message(whole, &out, message, 1024 + i), 0);
        zero_ends += out.data[out.len - 1] == 0;
        wsi_buf_fini(&out);
        free(message);
    }
    assert_in_range(zero_ends, 400 / 5, 400 / 2); /* three bits of eight: 150 */
    wsi_whole_free(whole);
}

static struct wsi_deflater *new_deflater(unsigned bits, bool takeover)
{
    const struct wsi_deflate_settings settings = {
        .window_bits = (uint8_t)bits,
        .memory_level = 8,
        .level = 6,
        .takeover = takeover,
    };
    struct wsi_deflater *deflater = NULL;

    assert_int_equal(wsi_deflater_new(&deflater, &settings), 0);
    return deflater;
}

/* @return whether a deflater's message is what libdeflate makes of it. */
static bool is_by_libdeflate(struct wsi_deflater *deflater, size_t len, uint32_t *seed)
{
    struct wsi_whole *whole = wsi_whole_new(6);
    uint8_t *message = make_message(TEXT, len, seed);
    struct wsi_buf theirs = {0}, ours = {0};
    bool same;

    assert_non_null(whole);
    assert_int_equal(wsi_whole_message(whole, &theirs, message, len), 0);
    assert_int_equal(wsi_deflater_message(deflater, &ours, message, len), 0);
    same = ours.len == theirs.len && memcmp(ours.data, theirs.data, ours.len) == 0;
    wsi_buf_fini(&theirs);
    wsi_buf_fini(&ours);
    free(message);
    wsi_whole_free(whole);
    return same;
}

static void only_suitable_messages_are_taken(void **state)
{
    struct wsi_deflater *wide = new_deflater(15, false), *keeps = new_deflater(15, true);
    uint32_t seed = 4;

    (void)state;
    assert_true(is_by_libdeflate(wide, WSI_WHOLE_MIN, &seed));
    assert_true(is_by_libdeflate(wide, LONGEST, &seed));
    assert_true(is_by_libdeflate(wide, WSI_WHOLE_MAX, &seed));
    assert_false(is_by_libdeflate(wide, WSI_WHOLE_MIN - 1, &seed));
    assert_false(is_by_libdeflate(wide, WSI_WHOLE_MAX + 1, &seed));
    assert_false(is_by_libdeflate(keeps, LONGEST, &seed));
    for (unsigned bits = 8; bits < 15; bits++) {
        struct wsi_deflater *narrow = new_deflater(bits, false);
        const size_t window = (size_t)1 << bits;

        assert_int_equal(is_by_libdeflate(narrow, window, &seed),
                         window >= WSI_WHOLE_MIN);
        assert_false(is_by_libdeflate(narrow, window + 1, &seed));
        wsi_deflater_free(narrow);
    }
    wsi_deflater_free(wide);
    wsi_deflater_free(keeps);
}

/* A message under way in pieces, and one whole, are one and the same. */
static void message_that_began_in_pieces_stays_with_zlib(void **state)
{
    struct wsi_deflater *deflater = new_deflater(15, false);
    uint32_t seed = 5;
    uint8_t *message = make_message(TEXT, 5000, &seed);
    struct peer peer;
    struct wsi_buf out = {0};

    (void)state;
    peer_init(&peer, 15);
    assert_int_equal(wsi_deflater_append(deflater, &out, message, 2000, SIZE_MAX), 0);
    assert_int_equal(wsi_deflater_message(deflater, &out, message + 2000, 3000), 0);
    peer_takes(&peer, &out, message, 5000);
    wsi_buf_fini(&out);
    free(message);
    peer_fini(&peer);
    wsi_deflater_free(deflater);
}

/* By zlib the short ones, by libdeflate the long ones; windows as small as announced. */
static void both_libraries_take_turns_on_one_stream(void **state)
{
    uint32_t seed = 6;

    (void)state;
    for (unsigned bits = 8; bits <= 15; bits++) {
        struct wsi_deflater *deflater = new_deflater(bits, false);
        struct peer peer;

        peer_init(&peer, (int)bits);
        for (unsigned i = 0; i < 200; i++) {
            const size_t len = 1 + test_random(&seed) % (i % 2 != 0 ? 1024 : 40000);
            uint8_t *message = make_message(i % KINDS, len, &seed);
            struct wsi_buf out = {0};

            assert_int_equal(wsi_deflater_message(deflater, &out, message, len), 0);
            peer_takes(&peer, &out, message, len);
            wsi_buf_fini(&out);
            free(message);
        }
        peer_fini(&peer);
        wsi_deflater_free(deflater);
    }
}

/* ---- out of memory ---- */

static int make_and_run(const uint8_t *message, size_t len)
{
    struct wsi_whole *whole = wsi_whole_new(6);
    struct wsi_buf out = {0};
    int r = WSOCK_ENOMEM;

    if (whole != NULL)
        r = wsi_whole_message(whole, &out, message, len);
    if (r < 0)
        assert_int_equal(out.len, 0);
    wsi_buf_fini(&out);
    wsi_whole_free(whole);
    return r;
}

static void every_lack_of_memory_is_told_and_leaves_nothing(void **state)
{
    uint32_t seed = 7;
    int result = 0;

    (void)state;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        uint8_t *message = make_message(kind, 50000, &seed);

        FOR_EACH_OOM(result, result = make_and_run(message, 50000), (void)0);
        free(message);
    }
}

static void text_needs_no_walk_over_its_blocks(void **state)
{
    struct wsi_whole *whole = wsi_whole_new(6);
    struct wsi_buf out = {0};
    uint32_t seed = 8;
    uint8_t *mixed = make_message(ALTERNATES, 30000, &seed);

    (void)state;
    assert_non_null(whole);
    assert_int_equal(wsi_buf_reserve(&out, 100000, 100000), 0);
    test_fail_allocation(1, 1); /* so there is no walking */
    for (size_t len = WSI_WHOLE_MIN; len < 5000; len += 37) {
        uint8_t *text = make_message(TEXT, len, &seed);

        out.len = 0;
        assert_int_equal(wsi_whole_message(whole, &out, text, len), 0);
        for (size_t i = 0; i < len; i++) /* next to the end of block among the codes */
            text[i] = (uint8_t)(0xf0 | text[i]);
        out.len = 0;
        assert_int_equal(wsi_whole_message(whole, &out, text, len), 0);
        free(text);
    }
    assert_int_equal(test_stop_failing(), 0);
    test_fail_allocation(1, 1);
    assert_int_equal(wsi_whole_message(whole, &out, mixed, 30000), WSOCK_ENOMEM);
    assert_int_not_equal(test_stop_failing(), 0);
    assert_int_equal(wsi_whole_message(whole, &out, mixed, 30000), 0);
    wsi_buf_fini(&out);
    wsi_whole_free(whole);
    free(mixed);
}

static void deflater_falls_back_on_zlib_without_memory(void **state)
{
    struct wsi_deflater *deflater = new_deflater(15, false);
    struct wsi_buf out = {0};
    uint32_t seed = 9;
    uint8_t *message = make_message(TEXT, 4000, &seed);
    struct peer peer;

    (void)state;
    peer_init(&peer, 15);
    for (unsigned i = 0; i < 2; i++) {
        test_fail_allocation(1, 0); /* first that for libdeflate, then that of `out` */
        assert_int_equal(wsi_deflater_message(deflater, &out, message, 4000), 0);
        assert_int_equal(test_stop_failing(), 1);
        peer_takes(&peer, &out, message, 4000);
        wsi_buf_fini(&out);
        assert_true(is_by_libdeflate(deflater, 4000, &seed));
    }
    free(message);
    peer_fini(&peer);
    wsi_deflater_free(deflater);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_size_goes_there_and_back),
        TEST(every_level_goes_there_and_back),
        TEST(payload_has_no_byte_too_many),
        TEST(only_suitable_messages_are_taken),
        TEST(message_that_began_in_pieces_stays_with_zlib),
        TEST(both_libraries_take_turns_on_one_stream),
        TEST(every_lack_of_memory_is_told_and_leaves_nothing),
        TEST(text_needs_no_walk_over_its_blocks),
        TEST(deflater_falls_back_on_zlib_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
