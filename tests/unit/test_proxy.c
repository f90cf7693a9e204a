/* SPDX-License-Identifier: MIT */
/* PROXY headers: what each says, and how each may be wrong, at every cut. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/proxy.h"

static struct wsi_proxy found;
static const char *why;

/* Byte by byte as all at once; each time in a block of exactly that size. */
static ptrdiff_t parse(const void *data, size_t len)
{
    const ptrdiff_t whole = wsi_proxy_parse(&found, data, len, &why);
    ptrdiff_t r = 0;
    size_t have = 0;

    while (r == 0 && have < len) {
        uint8_t *part = malloc(++have);
        struct wsi_proxy again = {0};

        assert_non_null(part);
        memcpy(part, data, have);
        r = wsi_proxy_parse(&again, part, have, &why);
        assert_true(r <= 0 || ((size_t)r == have && again.kind == found.kind));
        free(part);
    }
    assert_int_equal(r, whole);
    return whole;
}

static ptrdiff_t parse_text(const char *text)
{
    return parse(text, strlen(text));
}

static void is_address(const char *text, unsigned port)
{
    struct wsi_ip ip;

    assert_true(wsi_ip_parse(&ip, wsi_str_of(text)));
    assert_int_equal(found.kind, WSI_PROXY_IP);
    assert_memory_equal(found.ip.bytes, ip.bytes, 16);
    assert_int_equal(found.port, port);
}

/* ---- version 1 ---- */

static void line_tells_the_client(void **state)
{
    static const char v4[] = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\nGET /";
    static const char v6[] = "PROXY TCP6 2001:db8::1 ::1 0 65535\r\n";
    static const char longest[] =
        "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";

    (void)state;
    assert_int_equal(parse_text(v4), strlen(v4) - 5);
    is_address("192.0.2.7", 56324);
    assert_int_equal(parse_text(v6), strlen(v6));
    is_address("2001:db8::1", 0);
    assert_int_equal(parse_text(longest), strlen(longest));
    is_address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535);
}

static void unknown_client_is_the_proxy_itself(void **state)
{
    char line[200];

    (void)state;
    assert_int_equal(parse_text("PROXY UNKNOWN\r\n"), 15);
    assert_int_equal(found.kind, WSI_PROXY_ITSELF);
    assert_int_equal(parse_text("PROXY UNKNOWN whatever 1 2\r\n"), 28);
    assert_int_equal(found.kind, WSI_PROXY_ITSELF);
    /* 107 bytes are a line, 108 are not. */
    snprintf(line, sizeof line, "PROXY UNKNOWN %091d\r\n", 0);
    assert_int_equal(strlen(line), WSI_PROXY_LINE_MAX);
    assert_int_equal(parse_text(line), WSI_PROXY_LINE_MAX);
    snprintf(line, sizeof line, "PROXY UNKNOWN %092d\r\n", 0);
    assert_int_equal(parse_text(line), -1);
}

static void line_that_is_malformed_is_refused(void **state)
{
    static const char *const bad[] = {
        "GET / HTTP/1.1\r\n",
        "PROXX",
        "proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY\r\n",
        "PROXY \r\n",
        "PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 \r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
        "PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
        "PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 ::1 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP6 ::1%lo ::1 1 2\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rX",
        "PROXY TCP4 1.2.3.4\t1.2.3.4 1 2\r\n",
        "PROXY UNKNOWN \x80\r\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (parse_text(bad[i]) != -1)
            fail_msg("\"%s\" is taken", bad[i]);
    assert_int_equal(parse("PROXY UNKNOWN\0\r\n", 16), -1);
    assert_int_equal(parse_text("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r"), 0);
    assert_int_equal(parse("", 0), 0);
}

/* ---- version 2 ---- */

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4        "\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb" /* 192.0.2.7:56324 */
#define V6                                       \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01" \
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x12\x34\x01\xbb"

static char path[128]; /* of the last block that had one */

/* The header with this command, family and block. */
static ptrdiff_t parse_block(unsigned command, unsigned family, const void *block,
                             size_t len, size_t claimed)
{
    uint8_t *data = malloc(16 + len + 5);
    ptrdiff_t r;

    assert_non_null(data);
    memcpy(data, SIGNATURE, 12);
    data[12] = (uint8_t)command;
    data[13] = (uint8_t)family;
    data[14] = (uint8_t)(claimed >> 8);
    data[15] = (uint8_t)claimed;
    if (len > 0)
        memcpy(data + 16, block, len);
    memcpy(data + 16 + len, "GET /", 5);
    r = parse(data, 16 + len + 5);
    if (r > 0 && found.kind == WSI_PROXY_UNIX)
        snprintf(path, sizeof path, "%.*s", (int)found.path.len, found.path.ptr);
    free(data);
    return r;
}

#define BLOCK(command, family, block) \
    parse_block(command, family, block, sizeof(block) - 1, sizeof(block) - 1)

static void block_tells_the_client(void **state)
{
    char un[216] = "/run/client";

    (void)state;
    assert_int_equal(BLOCK(0x21, 0x11, V4), 28);
    is_address("192.0.2.7", 56324);
    assert_int_equal(BLOCK(0x21, 0x12, V4), 28);
    is_address("192.0.2.7", 56324);
    assert_int_equal(BLOCK(0x21, 0x21, V6), 52);
    is_address("2001:db8::1", 0x1234);
    assert_int_equal(parse_block(0x21, 0x31, un, sizeof un, sizeof un), 232);
    assert_int_equal(found.kind, WSI_PROXY_UNIX);
    assert_string_equal(path, "/run/client");
    memset(un, 'x', 108); /* all of it, without a NUL */
    assert_int_equal(parse_block(0x21, 0x31, un, sizeof un, sizeof un), 232);
    assert_int_equal(strlen(path), 108);
    memset(un, 0, sizeof un);
    assert_int_equal(parse_block(0x21, 0x32, un, sizeof un, sizeof un), 232);
    assert_string_equal(path, "");
}

static void own_connection_of_the_proxy_is_its_own(void **state)
{
    (void)state;
    assert_int_equal(BLOCK(0x20, 0x00, ""), 16);
    assert_int_equal(found.kind, WSI_PROXY_ITSELF);
    assert_int_equal(BLOCK(0x20, 0x11, V4), 28);
    assert_int_equal(found.kind, WSI_PROXY_ITSELF);
    assert_int_equal(BLOCK(0x20, 0xff, "anything"), 24);
    assert_int_equal(found.kind, WSI_PROXY_ITSELF);
    assert_int_equal(BLOCK(0x21, 0x00, ""), 16);
    assert_int_equal(found.kind, WSI_PROXY_ITSELF);
}

static void tlvs_are_skipped(void **state)
{
    (void)state;
    /* A name of the host, one of no length, and of a kind that nobody knows. */
    assert_int_equal(BLOCK(0x21, 0x11, V4 "\x02\x00\x01h\x04\x00\x00\xee\x00\x02xy"), 40);
    is_address("192.0.2.7", 56324);
    assert_int_equal(BLOCK(0x21, 0x00, "\x04\x00\x00"), 19);
    assert_int_equal(found.kind, WSI_PROXY_ITSELF);
    assert_int_equal(BLOCK(0x21, 0x11, V4 "\x02\x00\x02h"), -1);
    assert_int_equal(BLOCK(0x21, 0x11, V4 "\x02\x00"), -1);
    assert_int_equal(BLOCK(0x21, 0x11, V4 "\x02"), -1);
}

static void client_may_have_come_over_tls(void **state)
{
    (void)state;
    assert_int_equal(BLOCK(0x21, 0x11, V4), 28);
    assert_false(found.is_secure);
    assert_int_equal(BLOCK(0x21, 0x11, V4 "\x20\x00\x05\x01\0\0\0\0"), 36);
    assert_true(found.is_secure);
    assert_int_equal(BLOCK(0x21, 0x11, V4 "\x20\x00\x05\x06\0\0\0\0"), 36);
    assert_false(found.is_secure);
    assert_int_equal(BLOCK(0x21, 0x11, V4 "\x20\x00\x04\x01\0\0\0"), 35);
    assert_false(found.is_secure);
}

static void checksum_must_be_right(void **state)
{
    /* Computed by another program, over the 35 bytes with zeros in its place. */
    static const char good[] = V4 "\x03\x00\x04\x54\x8e\x28\xff";

    (void)state;
    assert_int_equal(BLOCK(0x21, 0x11, good), 35);
    is_address("192.0.2.7", 56324);
    assert_int_equal(BLOCK(0x21, 0x12, good), -1);
    assert_int_equal(BLOCK(0x21, 0x11, V4 "\x03\x00\x04\0\0\0\0"), -1);
    assert_int_equal(BLOCK(0x21, 0x11, V4 "\x03\x00\x03\0\0\0"), -1);
}

static void block_that_is_malformed_is_refused(void **state)
{
    static char large[4097];

    (void)state;
    assert_int_equal(BLOCK(0x11, 0x11, V4), -1); /* version 1 in the new form */
    assert_int_equal(BLOCK(0x31, 0x11, V4), -1);
    assert_int_equal(BLOCK(0x22, 0x11, V4), -1);
    assert_int_equal(BLOCK(0x21, 0x10, V4), -1);
    assert_int_equal(BLOCK(0x21, 0x13, V4), -1);
    assert_int_equal(BLOCK(0x21, 0x41, V4), -1);
    assert_int_equal(BLOCK(0x21, 0x01, V4), -1);
    assert_int_equal(parse_block(0x21, 0x11, V4, 11, 11), -1);
    assert_int_equal(parse_block(0x21, 0x21, V6, 35, 35), -1);
    assert_int_equal(parse_block(0x21, 0x31, large, 215, 215), -1);
    assert_int_equal(parse_block(0x20, 0x00, large, 4096, 4096), 16 + 4096);
    assert_int_equal(parse_block(0x20, 0x00, large, 4097, 4097), -1);
    assert_int_equal(parse_block(0x20, 0x00, large, 0, 65535), -1);
    assert_int_equal(parse_block(0x21, 0x11, V4, 12, 18), 0); /* not whole */
    assert_int_equal(parse("\r\n\r\n\0\r\nQUIS", 11), -1);
    assert_int_equal(parse("\r\n\r\nGET", 7), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(line_tells_the_client),
        TEST(unknown_client_is_the_proxy_itself),
        TEST(line_that_is_malformed_is_refused),
        TEST(block_tells_the_client),
        TEST(own_connection_of_the_proxy_is_its_own),
        TEST(tlvs_are_skipped),
        TEST(client_may_have_come_over_tls),
        TEST(checksum_must_be_right),
        TEST(block_that_is_malformed_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
