/* SPDX-License-Identifier: MIT */
/* SHA-1 and base64: the two that Sec-WebSocket-Accept is made of. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base64.h"
#include "proto/sha1.h"

static void check_sha1(const void *data, size_t len, const char *expected)
{
    uint8_t digest[WSI_SHA1_SIZE];
    char hex[2 * WSI_SHA1_SIZE + 1];

    wsi_sha1(digest, data, len);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(hex, expected);
}

static void sha1_gives_the_digests_of_fips_180(void **state)
{
    const char *two_blocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    char *million = malloc(1000000);

    (void)state;
    check_sha1("", 0, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    check_sha1("abc", 3, "a9993e364706816aba3e25717850c26c9cd0d89d");
    check_sha1(two_blocks, 56, "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    assert_non_null(million);
    memset(million, 'a', 1000000);
    check_sha1(million, 1000000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    free(million);
}

/* 55 bytes are the most that leave room for the length in the same block. */
static void sha1_pads_at_the_edges_of_a_block(void **state)
{
    char text[64];

    (void)state;
    memset(text, 'x', sizeof text);
    check_sha1(text, 55, "cef734ba81a024479e09eb5a75b6ddae62e6abf1");
    check_sha1(text, 56, "901305367c259952f4e7af8323f480d59f81335b");
    check_sha1(text, 63, "0ddc4e0cccd9a12850deb5abb0853a4425559fec");
    check_sha1(text, 64, "bb2fa3ee7afb9f54c6dfb5d021f14b1ffe40c163");
}

static void base64_of_every_short_length_comes_back(void **state)
{
    static const char *expected[] = {
        "",         "AA==",     "AAc=",         "AAcO",         "AAcOFQ==",
        "AAcOFRw=", "AAcOFRwj", "AAcOFRwjKg==", "AAcOFRwjKjE=", "AAcOFRwjKjE4",
    };

    (void)state;
    for (size_t len = 0; len <= 20; len++) {
        uint8_t *in = malloc(len + 1), *back = malloc(len + 3);
        char *text = malloc(WSI_BASE64_LEN(len) + 1);

        for (size_t i = 0; i < len; i++)
            in[i] = (uint8_t)(i * 7);
        wsi_base64_encode(text, in, len);
        assert_int_equal(strlen(text), WSI_BASE64_LEN(len));
        if (len < sizeof expected / sizeof *expected)
            assert_string_equal(text, expected[len]);
        assert_int_equal(wsi_base64_decode(back, wsi_str_of(text)), len);
        assert_memory_equal(back, in, len);
        free(in);
        free(back);
        free(text);
    }
}

static void base64_covers_its_whole_alphabet(void **state)
{
    const char *text = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t bytes[48];
    char back[65];

    (void)state;
    assert_int_equal(wsi_base64_decode(bytes, wsi_str_of(text)), 48);
    wsi_base64_encode(back, bytes, 48);
    assert_string_equal(back, text);
}

static void base64_rejects_what_it_would_not_write(void **state)
{
    static const char *bad[] = {
        "A",        "AA",       "AAA",   "AA=",      "A===",    "====", "=AAA",
        "AA=A",     "AB==",     "AAB=",  "A-AA",     "A_AA",    "AA A", "AA\nA",
        "AA==AAAA", "AAA=AAAA", "AAAA=", "AAAA====", "AA\x80=", "AA@A", "AA[A",
        "AA`A",     "AA{A",     "AA:A",  "AA.A",
    };
    uint8_t out[16];

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const size_t len = strlen(bad[i]);
        char *text = malloc(len); /* no NUL that would stop a step outside */

        memcpy(text, bad[i], len);
        if (wsi_base64_decode(out, (struct wsi_str){text, len}) != -1)
            fail_msg("accepted \"%s\"", bad[i]);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sha1_gives_the_digests_of_fips_180),
        TEST(sha1_pads_at_the_edges_of_a_block),
        TEST(base64_of_every_short_length_comes_back),
        TEST(base64_covers_its_whole_alphabet),
        TEST(base64_rejects_what_it_would_not_write),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
