/* SPDX-License-Identifier: MIT */
#include "test.h"

#include <string.h>

#include "proto/chars.h"

#define ALNUM "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

/* Exactly the bytes of `set` are of the class, and those from 0x80 on when `high`. */
static void check_class(unsigned char_class, const char *set, int high)
{
    for (int c = 0; c < 256; c++) {
        const bool expected = c >= 0x80 ? high : c != 0 && strchr(set, c) != NULL;

        if (wsi_char_is((char)c, char_class) != expected)
            fail_msg("byte 0x%02x in class 0x%02x", (unsigned)c, char_class);
    }
}

static void classes_are_those_of_the_rfcs(void **state)
{
    char visible[96] = {0}, *hash;

    (void)state;
    for (int c = 0x21; c < 0x7f; c++)
        visible[c - 0x21] = (char)c;
    check_class(WSI_CHAR_TOKEN, ALNUM "!#$%&'*+-.^_`|~", 0);
    check_class(WSI_CHAR_HOST, ALNUM "-._~!$&'()*+,;=", 0);
    check_class(WSI_CHAR_URL, ALNUM "-._~!$&'()*+,;=:@/?%", 0);
    check_class(WSI_CHAR_DIGIT, "0123456789", 0);
    check_class(WSI_CHAR_HEX, "0123456789abcdefABCDEF", 0);
    hash = strchr(visible, '#');
    *hash = 'x';
    check_class(WSI_CHAR_TARGET, visible, 0);
    *hash = '#';
    visible[94] = '\t';
    visible[95] = '\0';
    for (int c = 0; c < 256; c++)
        assert_int_equal(wsi_char_is((char)c, WSI_CHAR_VALUE),
                         c >= 0x80 || c == ' ' || (c != 0 && strchr(visible, c) != NULL));
}

static void escapes_need_two_hexadecimal_digits(void **state)
{
    (void)state;
    assert_true(wsi_chars_escapes_are_whole(WSI_STR("")));
    assert_true(wsi_chars_escapes_are_whole(WSI_STR("%00a%fF%25")));
    assert_false(wsi_chars_escapes_are_whole(WSI_STR("%")));
    assert_false(wsi_chars_escapes_are_whole(WSI_STR("abc%4")));
    assert_false(wsi_chars_escapes_are_whole(WSI_STR("%%41")));
    assert_false(wsi_chars_escapes_are_whole(WSI_STR("%4g")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(classes_are_those_of_the_rfcs),
        TEST(escapes_need_two_hexadecimal_digits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
