/* SPDX-License-Identifier: MIT */
/* JSON read over, and texts as strings of it. */
#include "test.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuts.h"
#include "proto/json.h"

/* ---- values ---- */

/* Behind it lies what would make it another value, where an address sanitizer does not
 * watch the end. */
static bool is_value(const char *text, size_t len)
{
    char *copy = malloc(len + 1);
    bool is;

    assert_non_null(copy);
    memcpy(copy, text, len);
    copy[len] = '0';
    is = wsi_json_is_value(copy, len);
    free(copy);
    return is;
}

static void values_are_taken(void **state)
{
    static const char *const texts[] = {
        "0",
        "-0",
        "7",
        "-12",
        "0.5",
        "1.25e3",
        "1E+9",
        "2e-7",
        "1e99999",
        "123456789012345678901234567890",
        "true",
        "false",
        "null",
        "\"\"",
        "\"text\"",
        "[]",
        "{}",
        "[[],{},[{}]]",
        "[1,\"2\",null]",
        "{\"a\":1}",
        "{\"a\":{\"b\":[1,2]},\"c\":[]}",
        " \t\r\n[ 1 , 2 ] \n",
        "{ \"a\" : 1 , \"\" : 2 }",
        "\"\\\" \\\\ \\/ \\b\\f\\n\\r\\t \\u0000\\uD7ff\\ue000\"",
        "\"\\ud83d\\ude00\"",
        "\"\xc3\xa9\xf0\x9f\x98\x80\x7f\"",
        "\"some text that is longer than eight bytes\"",
        "{\"a\":1,\"a\":2}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (!is_value(texts[i], strlen(texts[i])))
            fail_msg("%s is refused", texts[i]);
}

static void everything_else_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        "-",
        "+1",
        "01",
        "-01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x1",
        "1 2",
        "NaN",
        "Infinity",
        "tru",
        "truee",
        "True",
        "nul",
        "'a'",
        "\"",
        "\"a",
        "\"\\\"",
        "\"\\x\"",
        "\"\\",
        "\"\\u\"",
        "\"\\u12\"",
        "\"\\u123g\"",
        "\"\\uztrue",
        "\"\\ud83d\"",
        "\"\\ud83dx\"",
        "\"\\ud83d\\n\"",
        "\"\\ud83d\\u0041\"",
        "\"\\ude00\"",
        "\"\\ud83d\\ud83d\"",
        "\"tab\there\"",
        "\"a line\nof more than eight bytes\"",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1}",
        "{",
        "}",
        "{}}",
        "{1:2}",
        "{a:1}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\":1]",
        "{\"a\" 1}",
        "{,}",
        "[]]",
        "[][]",
        "1,2",
        "\"a\":1",
        "// c\n1",
        "1 /* c */",
        ("\xef\xbb\xbf"
         "1"), /* a mark of byte order */
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (is_value(texts[i], strlen(texts[i])))
            fail_msg("%s is taken", texts[i]);
    assert_false(is_value("1\0", 2));
    assert_false(is_value("\"a\0b\"", 5));
    assert_false(is_value("\0", 1));
    assert_false(is_value("\"\\\0\"", 4));
}

/* Each prefix of a value is none, if more is needed to end it. */
static void values_that_are_cut_are_refused(void **state)
{
    static const char text[] =
        " {\"key\": [1, -2.5e+3, \"a\\u00e9\\n\", true], \"n\": null}";

    (void)state;
    for (size_t len = 0; len < sizeof text - 1; len++)
        assert_false(is_value(text, len));
    assert_true(is_value(text, sizeof text - 1));
}

static void values_nest_as_deep_as_allowed(void **state)
{
    char text[8 * WSI_JSON_DEPTH_MAX + 64];
    size_t len = 0;

    (void)state;
    for (int i = 0; i < WSI_JSON_DEPTH_MAX; i++)
        len += (size_t)sprintf(text + len, i % 3 == 0 ? "[" : "{\"a\":");
    text[len++] = '1';
    for (int i = WSI_JSON_DEPTH_MAX; i-- > 0;)
        text[len++] = i % 3 == 0 ? ']' : '}';
    assert_true(is_value(text, len));
    memmove(text + 5, text, len);
    memcpy(text, "{\"a\":", 5);
    text[len + 5] = '}';
    assert_false(is_value(text, len + 6));
    memset(text, '[', sizeof text);
    assert_false(is_value(text, sizeof text));
    /* One after the other they may be as many as there are. */
    len = 0;
    text[len++] = '[';
    for (int i = 0; i < WSI_JSON_DEPTH_MAX + 1; i++)
        len += (size_t)sprintf(text + len, "[],");
    len += (size_t)sprintf(text + len, "[]]");
    assert_true(is_value(text, len));
}

/* ---- strings ---- */

static void escaped_is(const char *text, size_t len, const char *expected)
{
    char out[512];
    const size_t expected_len = strlen(expected);
    uint8_t *end;

    memset(out, '#', sizeof out);
    assert_int_equal(wsi_json_escaped_len(text, len), expected_len);
    end = wsi_json_escape((uint8_t *)out, text, len);
    assert_int_equal(end - (uint8_t *)out, expected_len);
    assert_memory_equal(out, expected, expected_len);
    assert_int_equal(out[expected_len], '#');
}

static void texts_are_escaped(void **state)
{
    (void)state;
    escaped_is(NULL, 0, "");
    escaped_is("", 0, "");
    escaped_is("plain", 5, "plain");
    escaped_is("\"\\/", 3, "\\\"\\\\/");
    escaped_is("\b\f\n\r\t", 5, "\\b\\f\\n\\r\\t");
    escaped_is("a\0b\x7f", 4, "a\\u0000b\x7f");
    escaped_is("\xc3\xa9 \xe2\x80\xa8 \xf0\x9f\x98\x80", 11,
               "\xc3\xa9 \xe2\x80\xa8 \xf0\x9f\x98\x80");
    escaped_is("0123456789\"0123456789\n", 22, "0123456789\\\"0123456789\\n");
}

/* At every place of a block of eight and beyond. */
static void every_byte_is_escaped_where_it_must_be(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 0x80; c++) {
        char one[16];

        if (c == '"' || c == '\\')
            sprintf(one, "\\%c", (int)c);
        else if (c >= 0x20)
            sprintf(one, "%c", (int)c);
        else if (c == '\b' || c == '\f' || c == '\n' || c == '\r' || c == '\t')
            sprintf(one, "\\%c",
                    c == '\b'   ? 'b'
                    : c == '\f' ? 'f'
                    : c == '\n' ? 'n'
                    : c == '\r' ? 'r'
                                : 't');
        else
            sprintf(one, "\\u%04x", c);
        for (size_t at = 0; at < 20; at++) {
            char text[21], expected[64];

            memset(text, 'x', 20);
            text[at] = (char)c;
            sprintf(expected, "%.*s%s%.*s", (int)at, "xxxxxxxxxxxxxxxxxxxx", one,
                    (int)(19 - at), "xxxxxxxxxxxxxxxxxxxx");
            escaped_is(text, 20, expected);
        }
    }
}

/* Whatever the text is, it is a value between quotes. */
static void what_is_escaped_is_a_value(void **state)
{
    uint32_t seed = 1;

    (void)state;
    for (int round = 0; round < 2000; round++) {
        uint8_t out[6 * 64 + 2];
        char text[64];
        const size_t len = test_random(&seed) >> 8 & 63;
        uint8_t *end;

        for (size_t i = 0; i < len; i++)
            text[i] = (char)(test_random(&seed) >> 8 & 0x7f);
        out[0] = '"';
        end = wsi_json_escape(out + 1, text, len);
        *end++ = '"';
        assert_true(is_value((char *)out, (size_t)(end - out)));
        assert_int_equal(end - out, wsi_json_escaped_len(text, len) + 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(values_are_taken),
        TEST(everything_else_is_refused),
        TEST(values_that_are_cut_are_refused),
        TEST(values_nest_as_deep_as_allowed),
        TEST(texts_are_escaped),
        TEST(every_byte_is_escaped_where_it_must_be),
        TEST(what_is_escaped_is_a_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
