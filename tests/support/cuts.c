/* SPDX-License-Identifier: MIT */
/* Cuts an input in pieces and compares what a decoder makes of them. */
#include "cuts.h"

#include "test.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    EVERY_PAIR_UP_TO = 400,
    NEAR_AN_END = 17,
    BETWEEN = 6,
    HEX_UP_TO = 40,
};

static void *must(void *block)
{
    if (block == NULL)
        abort();
    return block;
}

static void add_text(struct test_transcript *transcript, const char *text)
{
    const size_t len = strlen(text);

    transcript->text = must(realloc(transcript->text, transcript->len + len + 1));
    memcpy(transcript->text + transcript->len, text, len + 1);
    transcript->len += len;
}

void test_transcript_add(struct test_transcript *transcript, const char *format, ...)
{
    char event[512];
    va_list args;

    va_start(args, format);
    vsnprintf(event, sizeof event, format, args);
    va_end(args);
    if (transcript->len != 0)
        add_text(transcript, " | ");
    add_text(transcript, event);
}

/* In words of 64 bits, as long messages are summed up thousands of times. Each step can be
 * undone, so no single difference gets lost. */
static uint32_t checksum(const uint8_t *data, size_t len)
{
    uint64_t sum = len;

    while (len > 0) {
        const size_t n = len < sizeof(uint64_t) ? len : sizeof(uint64_t);
        uint64_t word = 0;

        memcpy(&word, data, n);
        sum = (sum ^ le64toh(word)) * UINT64_C(0x9e3779b97f4a7c15);
        sum ^= sum >> 32;
        data += n;
        len -= n;
    }
    return (uint32_t)sum;
}

char *test_hex(const uint8_t *data, size_t len)
{
    char *text = must(malloc(2 * HEX_UP_TO + 1));

    text[0] = '\0';
    if (len > HEX_UP_TO) {
        snprintf(text, 2 * HEX_UP_TO, "%zu bytes %08x", len,
                 (unsigned)checksum(data, len));
        return text;
    }
    for (size_t i = 0; i < len; i++)
        snprintf(text + 2 * i, 3, "%02x", data[i]);
    return text;
}

char *test_decode_cut(const uint8_t *input, size_t len, const size_t *cuts, size_t count,
                      test_decode_fn decode, void *user)
{
    struct test_transcript out = {0};
    struct test_piece *pieces = must(calloc(count + 1, sizeof *pieces));
    size_t from = 0;

    add_text(&out, "");
    for (size_t i = 0; i <= count; i++) {
        const size_t to = i < count ? cuts[i] : len;

        pieces[i].len = to - from;
        pieces[i].data = must(malloc(pieces[i].len + (pieces[i].len == 0)));
        if (to != from)
            memcpy(pieces[i].data, input + from, to - from);
        from = to;
    }
    decode(pieces, count + 1, &out, user);
    for (size_t i = 0; i <= count; i++)
        free(pieces[i].data);
    free(pieces);
    return out.text;
}

static void compare(const char *expected, const uint8_t *input, size_t len,
                    const size_t *cuts, size_t count, test_decode_fn decode, void *user)
{
    char *seen = test_decode_cut(input, len, cuts, count, decode, user);

    if (strcmp(seen, expected) != 0)
        fail_msg("%zu cuts from %zu:\n  seen     %s\n  expected %s", count,
                 count != 0 ? cuts[0] : 0, seen, expected);
    free(seen);
}

static void compare_byte_by_byte(const char *expected, const uint8_t *input, size_t len,
                                 test_decode_fn decode, void *user)
{
    size_t *cuts = must(calloc(len + 1, sizeof *cuts));

    for (size_t i = 0; i < len; i++)
        cuts[i] = i;
    compare(expected, input, len, cuts, len, decode, user);
    free(cuts);
}

/* The first of the places to cut at that is not before `at`. */
static size_t place_from(size_t at, size_t len, size_t dense)
{
    const size_t stride = len / BETWEEN;

    if (at <= dense || at + NEAR_AN_END >= len)
        return at;
    at = (at + stride - 1) / stride * stride;
    return at + NEAR_AN_END > len ? len - NEAR_AN_END : at;
}

static void cut_at_pairs(const uint8_t *input, size_t len, size_t dense,
                         const char *expected, test_decode_fn decode, void *user)
{
    char *uncut = test_decode_cut(input, len, NULL, 0, decode, user);

    if (expected != NULL)
        assert_string_equal(uncut, expected);
    for (size_t a = 0; a <= len; a = place_from(a + 1, len, dense))
        for (size_t b = a; b <= len; b = place_from(b + 1, len, dense))
            compare(uncut, input, len, (size_t[]){a, b}, 2, decode, user);
    compare_byte_by_byte(uncut, input, len, decode, user);
    free(uncut);
}

void test_all_cuts(const uint8_t *input, size_t len, const char *expected,
                   test_decode_fn decode, void *user)
{
    cut_at_pairs(input, len, len <= EVERY_PAIR_UP_TO ? len : NEAR_AN_END, expected,
                 decode, user);
}

void test_cuts_before_run(const uint8_t *input, size_t len, size_t run,
                          const char *expected, test_decode_fn decode, void *user)
{
    const size_t before = len - run + NEAR_AN_END;

    if (before > EVERY_PAIR_UP_TO) {
        test_all_cuts(input, len, expected, decode, user);
        return;
    }
    cut_at_pairs(input, len, before, expected, decode, user);
    for (size_t at = before; at <= len; at++)
        compare(expected, input, len, &at, 1, decode, user);
}

uint32_t test_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}
