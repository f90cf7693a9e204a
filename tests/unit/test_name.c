/* SPDX-License-Identifier: MIT */
/* Names of rooms: which are any, and which patterns they match. */
#include "test.h"

#include <string.h>

#include "room/name.h"

static void names_are_checked(void **state)
{
    char longest[257];

    (void)state;
    memset(longest, 'x', 256);
    longest[256] = '\0';
    assert_false(wsi_room_name_is_valid(longest));
    assert_false(wsi_room_pattern_is_valid(longest));
    longest[255] = '\0';
    assert_true(wsi_room_name_is_valid(longest));
    assert_true(wsi_room_name_is_valid("lobby"));
    assert_true(wsi_room_name_is_valid("a.b.c"));
    assert_true(wsi_room_name_is_valid("gr\xc3\xbc\xc3\x9f dich/{x}#?"));
    assert_false(wsi_room_name_is_valid(""));
    assert_false(wsi_room_name_is_valid("."));
    assert_false(wsi_room_name_is_valid(".a"));
    assert_false(wsi_room_name_is_valid("a."));
    assert_false(wsi_room_name_is_valid("a..b"));
    assert_false(wsi_room_name_is_valid("a*"));
    assert_false(wsi_room_name_is_valid("*"));
    assert_false(wsi_room_name_is_valid("a.>"));
    assert_false(wsi_room_name_is_valid("a\nb"));
    assert_false(wsi_room_name_is_valid("\x7f"));
    assert_false(wsi_room_name_is_valid("\xff"));
}

static void patterns_are_checked(void **state)
{
    (void)state;
    assert_true(wsi_room_pattern_is_valid("lobby"));
    assert_true(wsi_room_pattern_is_valid("*"));
    assert_true(wsi_room_pattern_is_valid(">"));
    assert_true(wsi_room_pattern_is_valid("match.*.chat"));
    assert_true(wsi_room_pattern_is_valid("match.*.>"));
    assert_false(wsi_room_pattern_is_valid(""));
    assert_false(wsi_room_pattern_is_valid("match.>.chat"));
    assert_false(wsi_room_pattern_is_valid("match.**"));
    assert_false(wsi_room_pattern_is_valid("match.a*"));
    assert_false(wsi_room_pattern_is_valid("match.>a"));
    assert_false(wsi_room_pattern_is_valid("match..*"));
    assert_false(wsi_room_pattern_is_valid("*."));
    assert_false(wsi_room_pattern_is_valid("a\tb.*"));
    assert_false(wsi_room_pattern_is_valid("*.\xff"));
}

static void patterns_match_names_token_by_token(void **state)
{
    static const struct {
        const char *pattern, *name;
        bool matches;
    } cases[] = {
        {"lobby", "lobby", true},
        {"lobby", "lobbyx", false},
        {"lobbyx", "lobby", false},
        {"lobby", "lobby.a", false},
        {"lobby.a", "lobby", false},
        {"*", "lobby", true},
        {"*", "lobby.a", false},
        {"*.*", "lobby.a", true},
        {"*.*", "lobby", false},
        {"match.*.chat", "match.7.chat", true},
        {"match.*.chat", "match.7.moves", false},
        {"match.*.chat", "match.7", false},
        {"match.*.chat", "match.7.chat.x", false},
        {"match.>", "match", false},
        {"match.>", "match.7", true},
        {"match.>", "match.7.chat", true},
        {"match.>", "matches.7", false},
        {"match.*.>", "match.7", false},
        {"match.*.>", "match.7.chat", true},
        {">", "a", true},
        {">", "a.b.c", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(wsi_room_pattern_matches(cases[i].pattern, cases[i].name),
                         cases[i].matches);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(names_are_checked),
        TEST(patterns_are_checked),
        TEST(patterns_match_names_token_by_token),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
