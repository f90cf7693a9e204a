/* SPDX-License-Identifier: MIT */
#include "test.h"

#include <string.h>

#include "proto/frame.h"

static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};

struct header_case {
    uint64_t len;
    size_t size; /* without a key */
    uint8_t bytes[10];
};

static const struct header_case headers[] = {
    {0, 2, {0x82, 0}},
    {1, 2, {0x82, 1}},
    {125, 2, {0x82, 125}},
    {126, 4, {0x82, 126, 0, 126}},
    {256, 4, {0x82, 126, 1, 0}},
    {65535, 4, {0x82, 126, 0xff, 0xff}},
    {65536, 10, {0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0}},
    {0x0123456789abcdef, 10, {0x82, 127, 1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}},
    {INT64_MAX, 10, {0x82, 127, 0x7f, 255, 255, 255, 255, 255, 255, 255}},
};

static void frame_writes_the_shortest_length(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        const struct header_case *c = &headers[i];
        uint8_t out[WSI_FRAME_HEADER_MAX];

        memset(out, 0xee, sizeof out);
        assert_int_equal(wsi_frame_header_size(c->len, false), c->size);
        assert_int_equal(wsi_frame_write_header(out, 0x82, c->len, NULL), c->size);
        assert_memory_equal(out, c->bytes, c->size);
        for (size_t after = c->size; after < sizeof out; after++)
            assert_int_equal(out[after], 0xee);
    }
}

static void frame_puts_the_key_behind_the_length(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        const struct header_case *c = &headers[i];
        uint8_t out[WSI_FRAME_HEADER_MAX];

        assert_int_equal(wsi_frame_header_size(c->len, true), c->size + 4);
        assert_int_equal(wsi_frame_write_header(out, 0x82, c->len, key), c->size + 4);
        assert_int_equal(out[0], 0x82);
        assert_int_equal(out[1], c->bytes[1] | 0x80);
        assert_memory_equal(out + 2, c->bytes + 2, c->size - 2);
        assert_memory_equal(out + c->size, key, 4);
    }
}

static void frame_keeps_flags_and_opcode(void **state)
{
    (void)state;
    for (unsigned byte0 = 0; byte0 < 256; byte0++) {
        uint8_t out[WSI_FRAME_HEADER_MAX];

        assert_int_equal(wsi_frame_write_header(out, byte0, 5, NULL), 2);
        assert_int_equal(out[0], byte0);
    }
}

static void close_codes_are_sendable_as_section_7_4_says(void **state)
{
    static const struct {
        unsigned first, last;
        bool sendable;
    } ranges[] = {
        {0, 999, false},     {1000, 1003, true}, {1004, 1006, false},  {1007, 1014, true},
        {1015, 2999, false}, {3000, 4999, true}, {5000, 70000, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        for (unsigned code = ranges[i].first; code <= ranges[i].last; code++)
            assert_int_equal(wsi_close_code_is_sendable(code), ranges[i].sendable);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(frame_writes_the_shortest_length),
        TEST(frame_puts_the_key_behind_the_length),
        TEST(frame_keeps_flags_and_opcode),
        TEST(close_codes_are_sendable_as_section_7_4_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
