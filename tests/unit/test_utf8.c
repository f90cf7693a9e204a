/* SPDX-License-Identifier: MIT */
#include "test.h"

#include <string.h>

#include "proto/utf8.h"
#include "utf8_oracle.h"

static const char *const samples[] = {
    "short",
    "A text long enough to be skipped in blocks, plain from its first to its last "
    "letter.",
    "κόσμε, Zażółć gęślą jaźń, いろはにほへと ちりぬるを, \U0001F600\U0001F680 and back "
    "again",
    "\xc2\x80\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff",
};
#define SAMPLES (sizeof samples / sizeof samples[0])

/* As the oracle has it: where it stops, and whether the text may end there. */
static void assert_checked(const uint8_t *text, size_t len)
{
    bool whole = false;
    const size_t good = oracle_check(text, len, &whole);
    wsi_utf8_state state = 0;
    const size_t got = wsi_utf8_check(&state, text, len);

    if (got == good && (got < len || (state == 0) == whole))
        return;
    fail_msg("bad at %zu of %zu, not at %zu (%02x %02x %02x ...)", got, len, good,
             text[0], text[len > 1], text[len > 2 ? 2 : 0]);
}

static size_t first_bad(const char *text)
{
    wsi_utf8_state state = 0;

    return wsi_utf8_check(&state, (const uint8_t *)text, strlen(text));
}

static void utf8_names_the_first_byte_that_cannot_be_made_good(void **state)
{
    (void)state;
    assert_int_equal(first_bad("\x80"), 0);
    assert_int_equal(first_bad("\xc0\xaf"), 0);
    assert_int_equal(first_bad("\xc1\xbf"), 0);
    assert_int_equal(first_bad("\xe0\x80\x80"), 1);
    assert_int_equal(first_bad("\xed\xa0\x80"), 1);
    assert_int_equal(first_bad("\xf0\x8f\xbf\xbf"), 1);
    assert_int_equal(first_bad("\xf4\x90\x80\x80"), 1);
    assert_int_equal(first_bad("\xf5\x80\x80\x80"), 0);
    assert_int_equal(first_bad("\xe2\x82\x41"), 2);
    assert_int_equal(first_bad("\xf0\x9f\x98\x41"), 3);
    assert_int_equal(first_bad("ab\xc3\xc3"), 3);
    assert_int_equal(first_bad("a\xe2\x82\xac\x80"), 4);
}

/* After a bad byte the state is that of the good ones before it. */
static void utf8_keeps_its_state_at_a_bad_byte(void **state)
{
    wsi_utf8_state now = 0;

    (void)state;
    assert_int_equal(wsi_utf8_check(&now, (const uint8_t *)"\xe2\x82\x41", 3), 2);
    assert_int_not_equal(now, 0);
    assert_int_equal(wsi_utf8_check(&now, (const uint8_t *)"\xac", 1), 1);
    assert_int_equal(now, 0);
}

static void utf8_of_nothing_changes_nothing(void **state)
{
    wsi_utf8_state now = 0;

    (void)state;
    assert_int_equal(wsi_utf8_check(&now, NULL, 0), 0);
    assert_int_equal(now, 0);
    assert_int_equal(wsi_utf8_check(&now, (const uint8_t *)"\xe2", 1), 1);
    const wsi_utf8_state open = now;

    assert_int_equal(wsi_utf8_check(&now, NULL, 0), 0);
    assert_int_equal(now, open);
}

static void utf8_is_valid_wants_a_whole_text(void **state)
{
    (void)state;
    assert_true(wsi_utf8_is_valid("", 0));
    assert_true(wsi_utf8_is_valid("\xe2\x82\xac", 3));
    assert_false(wsi_utf8_is_valid("\xe2\x82", 2));
    assert_false(wsi_utf8_is_valid("\xe2\x82\xac\xff", 4));
    for (size_t i = 0; i < SAMPLES; i++)
        assert_true(wsi_utf8_is_valid(samples[i], strlen(samples[i])));
}

static void utf8_judges_every_two_and_three_bytes(void **state)
{
    uint8_t text[3];

    (void)state;
    for (unsigned bytes = 0; bytes < 1U << 24; bytes++) {
        text[0] = (uint8_t)(bytes >> 16);
        text[1] = (uint8_t)(bytes >> 8);
        text[2] = (uint8_t)bytes;
        if (text[2] == 0)
            assert_checked(text, 2);
        assert_checked(text, 3);
    }
}

static void utf8_judges_the_edges_of_four_bytes(void **state)
{
    static const uint8_t edges[] = {0x00, 0x41, 0x7f, 0x80, 0x81, 0x8f, 0x90, 0x9f, 0xa0,
                                    0xbf, 0xc0, 0xc2, 0xe0, 0xf0, 0xf1, 0xf4, 0xf5, 0xff};

    (void)state;
    for (unsigned pair = 0; pair < 1U << 16; pair++)
        for (size_t c = 0; c < sizeof edges; c++)
            for (size_t d = 0; d < sizeof edges; d++) {
                const uint8_t text[] = {(uint8_t)(pair >> 8), (uint8_t)pair, edges[c],
                                        edges[d]};

                assert_checked(text, sizeof text);
            }
}

/* Behind 64 plain bytes, so that the variant for long texts judges them too. */
static void utf8_judges_every_pair_inside_a_long_text(void **state)
{
    uint8_t text[128];

    (void)state;
    for (unsigned pair = 0; pair < 1U << 16; pair++)
        for (size_t at = 60; at < 66; at++) {
            memset(text, 'x', sizeof text);
            text[at] = (uint8_t)(pair >> 8);
            text[at + 1] = (uint8_t)pair;
            text[at + 2] = text[at + 3] = 0xA5;
            assert_checked(text, sizeof text);
        }
}

/* All pairs of cuts: the same answer as for the whole, with one byte damaged or none. */
static void utf8_in_pieces_is_utf8_of_the_whole(void **state)
{
    (void)state;
    for (size_t sample = 0; sample < SAMPLES; sample++) {
        const size_t len = strlen(samples[sample]);
        uint8_t text[128];

        assert_true(len < sizeof text);
        for (size_t damaged = 0; damaged <= len; damaged++) {
            bool whole = false;

            memcpy(text, samples[sample], len);
            text[damaged] = 0xED;
            const size_t good = oracle_check(text, len, &whole);

            for (size_t a = 0; a <= len; a++)
                for (size_t b = a; b <= len; b++) {
                    const size_t ends[] = {a, b, len};
                    wsi_utf8_state now = 0;
                    size_t at = 0;

                    for (size_t i = 0; i < 3; i++) {
                        at += wsi_utf8_check(&now, text + at, ends[i] - at);
                        if (at < ends[i])
                            break;
                    }
                    assert_int_equal(at, good);
                    if (at == len)
                        assert_int_equal(now == 0, whole);
                }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(utf8_names_the_first_byte_that_cannot_be_made_good),
        TEST(utf8_keeps_its_state_at_a_bad_byte),
        TEST(utf8_of_nothing_changes_nothing),
        TEST(utf8_is_valid_wants_a_whole_text),
        TEST(utf8_judges_every_two_and_three_bytes),
        TEST(utf8_judges_the_edges_of_four_bytes),
        TEST(utf8_judges_every_pair_inside_a_long_text),
        TEST(utf8_in_pieces_is_utf8_of_the_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
