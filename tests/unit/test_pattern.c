/* SPDX-License-Identifier: MIT */
/* The tree of patterns, against the plain comparison of one pattern with one name. */
#include "test.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "room/name.h"
#include "room/pattern.h"

enum { MANY = 400, NAMES = 2000, DEEP = WSI_PATTERN_TOKENS_MAX };

static struct wsi_patterns patterns;

static void finish(void)
{
    assert_int_equal(patterns.edges.count, 0);
    wsi_patterns_fini(&patterns);
}

/* What belongs to a pattern here is its text. */
static void add(const char *pattern)
{
    assert_true(wsi_room_pattern_is_valid(pattern) && wsi_pattern_is_bounded(pattern));
    assert_int_equal(wsi_patterns_add(&patterns, pattern, (void *)(uintptr_t)pattern), 0);
    assert_ptr_equal(wsi_patterns_get(&patterns, pattern), pattern);
}

static bool is_among(void **out, size_t count, const void *wanted)
{
    for (size_t i = 0; i < count; i++)
        if (out[i] == wanted)
            return true;
    return false;
}

static void name_finds_what_matches_it(void **state)
{
    static const char *const all[] = {
        "match.42.chat", "match.*.chat", "match.>", "*.42.*", ">", "match.*", "match.42"};
    static const struct {
        const char *name;
        const char *matches; /* which of those, as digits */
    } table[] = {
        {"match.42.chat", "01234"}, {"match.7.chat", "124"},
        {"match.42", "2456"},       {"match", "4"},
        {"other.42.x", "34"},       {"match.42.chat.x", "24"},
        {"match.42.cha", "234"},    {"x", "4"},
    };
    void *out[8];

    (void)state;
    wsi_patterns_init(&patterns);
    assert_int_equal(wsi_patterns_match(&patterns, out, 8, "match.42"), 0);
    for (size_t i = 0; i < 7; i++)
        add(all[i]);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const size_t count = wsi_patterns_match(&patterns, out, 8, table[i].name);

        assert_int_equal(count, strlen(table[i].matches));
        for (const char *p = table[i].matches; *p != '\0'; p++)
            assert_true(is_among(out, count, all[*p - '0']));
    }
    assert_int_equal(wsi_patterns_match(&patterns, out, 2, "match.42.chat"), 5);
    assert_null(wsi_patterns_get(&patterns, "match.43"));
    assert_null(wsi_patterns_get(&patterns, "match"));
    assert_null(wsi_patterns_get(&patterns, "*"));
    for (size_t i = 0; i < 7; i++)
        wsi_patterns_remove(&patterns, all[i]);
    finish();
}

static void bounds_are_kept(void **state)
{
    (void)state;
    assert_true(wsi_pattern_is_bounded("1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16"));
    assert_false(wsi_pattern_is_bounded("1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17"));
    assert_true(wsi_pattern_is_bounded("*.*.*.*.>"));
    assert_false(wsi_pattern_is_bounded("*.*.*.*.*"));
}

static void names_that_are_longer_than_patterns_match_only_the_rest(void **state)
{
    void *out[4];

    (void)state;
    wsi_patterns_init(&patterns);
    add("1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16");
    add("1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.>");
    assert_int_equal(
        wsi_patterns_match(&patterns, out, 4, "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16"),
        2);
    assert_int_equal(wsi_patterns_match(&patterns, out, 4,
                                        "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17"),
                     1);
    assert_int_equal(
        wsi_patterns_match(&patterns, out, 4, "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15"), 0);
    wsi_patterns_remove(&patterns, "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16");
    wsi_patterns_remove(&patterns, "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.>");
    finish();
}

/* ---- chance ---- */

static unsigned seed = 1;

static unsigned chance(unsigned below)
{
    seed = seed * 1103515245 + 12345;
    return (seed >> 16) % below;
}

/* Few different tokens, so that much matches. */
static void make_text(char *out, bool wild)
{
    static const char *const tokens[] = {"a", "b", "ab", "c", "*", "*", ">"};
    const unsigned count = 1 + chance(5);
    size_t len = 0;

    for (unsigned i = 0; i < count; i++) {
        const char *token = tokens[chance(wild ? (i + 1 == count ? 7 : 6) : 4)];

        len += (size_t)sprintf(out + len, "%s%s", i > 0 ? "." : "", token);
    }
}

static void tree_agrees_with_comparing_one_by_one(void **state)
{
    static char all[MANY][32];
    void *out[MANY];
    char name[32];

    (void)state;
    wsi_patterns_init(&patterns);
    for (int round = 0; round < NAMES; round++) {
        const unsigned which = chance(MANY);
        size_t count, expected = 0;

        if (all[which][0] != '\0') {
            wsi_patterns_remove(&patterns, all[which]);
            all[which][0] = '\0';
        }
        make_text(name, true);
        if (wsi_pattern_is_bounded(name) && wsi_patterns_get(&patterns, name) == NULL) {
            strcpy(all[which], name);
            add(all[which]);
        }
        make_text(name, false);
        count = wsi_patterns_match(&patterns, out, MANY, name);
        for (int i = 0; i < MANY; i++) {
            if (all[i][0] == '\0' || !wsi_room_pattern_matches(all[i], name))
                continue;
            expected++;
            assert_true(is_among(out, count, all[i]));
        }
        assert_int_equal(count, expected);
    }
    for (int i = 0; i < MANY; i++)
        if (all[i][0] != '\0')
            wsi_patterns_remove(&patterns, all[i]);
    finish();
}

/* ---- the worst that can be subscribed to ---- */

/* Every pattern that a name of 16 equal tokens matches, '*' standing where a bit is. */
static bool worst(char *out, unsigned bits)
{
    unsigned any = 0;

    for (unsigned i = 0; i < DEEP; i++) {
        out[2 * i] = (bits >> i & 1) != 0 ? '*' : 'a';
        out[2 * i + 1] = i + 1 < DEEP ? '.' : '\0';
        any += bits >> i & 1;
    }
    return any <= WSI_PATTERN_ANY_MAX;
}

static void worst_patterns_cost_no_more_than_is_promised(void **state)
{
    enum { ALL = 1 + 16 + 120 + 560 + 1820 };
    static void *out[ALL];
    char text[2 * DEEP];
    size_t added = 0, nodes;

    (void)state;
    wsi_patterns_init(&patterns);
    nodes = test_live_blocks();
    for (unsigned bits = 0; bits < 1u << DEEP; bits++) {
        if (!worst(text, bits)) {
            assert_false(wsi_pattern_is_bounded(text));
            continue;
        }
        assert_int_equal(wsi_patterns_add(&patterns, text, &patterns), 0);
        added++;
    }
    assert_int_equal(added, ALL);
    /* All nodes of this tree are on the way of one name: they are what it has to look at.
     * Each is a block, but for the root; the table's buckets are one more. */
    nodes = test_live_blocks() - nodes;
    assert_int_equal(nodes, WSI_PATTERN_STEPS_MAX);
    worst(text, 0);
    assert_int_equal(wsi_patterns_match(&patterns, out, ALL, text), ALL);
    for (unsigned bits = 0; bits < 1u << DEEP; bits++)
        if (worst(text, bits))
            wsi_patterns_remove(&patterns, text);
    finish();
}

static void without_memory_nothing_is_added(void **state)
{
    int r = 0;

    (void)state;
    wsi_patterns_init(&patterns);
    add("first");
    FOR_EACH_OOM(r, r = wsi_patterns_add(&patterns, "first.*.a.>", &patterns),
                 wsi_patterns_remove(&patterns, "first.*.a.>"));
    assert_int_equal(patterns.edges.count, 1);
    wsi_patterns_remove(&patterns, "first");
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(name_finds_what_matches_it),
        TEST(bounds_are_kept),
        TEST(names_that_are_longer_than_patterns_match_only_the_rest),
        TEST(tree_agrees_with_comparing_one_by_one),
        TEST(worst_patterns_cost_no_more_than_is_promised),
        TEST(without_memory_nothing_is_added),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
