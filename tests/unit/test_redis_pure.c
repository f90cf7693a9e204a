/* SPDX-License-Identifier: MIT */
/* What of the adapter of Redis only computes: the guard, names and slots, the URL. */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "cluster/redis/guard.h"
#include "cluster/redis/keys.h"
#include "cluster/redis/target.h"

/* ---- the guard ---- */

/* @return NULL when it is one answer, cut or not; "more", or what is wrong. */
static const char *judge(const char *text, size_t len, size_t limit)
{
    const char *whole_why = NULL, *why = NULL;
    bool whole = false, done = false;
    struct wsi_guard guard;
    size_t n;

    wsi_guard_init(&guard, limit);
    n = wsi_guard_pass(&guard, text, len, &done, &whole_why);
    if (n > 0)
        assert_int_equal(n, len);
    wsi_guard_init(&guard, limit);
    for (size_t i = 0; i < len && why == NULL; i++) {
        assert_false(whole);
        n = wsi_guard_pass(&guard, text + i, 1, &whole, &why);
        assert_int_equal(n, why == NULL);
    }
    assert_ptr_equal(why, whole_why);
    assert_int_equal(whole, done);
    if (why != NULL) { /* and nothing passes any more */
        const char *again = NULL;

        assert_int_equal(wsi_guard_pass(&guard, "+OK\r\n", 5, &whole, &again), 0);
        assert_non_null(again);
    }
    return why != NULL ? why : done ? NULL : "more";
}

static const char *judge_text(const char *text)
{
    return judge(text, strlen(text), 4096);
}

static void answers_pass_however_they_are_cut(void **state)
{
    static const char *const good[] = {
        "+OK\r\n",
        "-ERR no\r\n",
        "+a\rb\r\n",
        ":0\r\n",
        ":-123456789012345678\r\n",
        "$0\r\n\r\n",
        "$5\r\na\r\nbc\r\n",
        "$-1\r\n",
        "*-1\r\n",
        "*0\r\n",
        "*2\r\n*0\r\n*2\r\n:1\r\n$1\r\nx\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_null(judge_text(good[i]));
    assert_string_equal(judge_text("*2\r\n:1\r\n"), "more");
    assert_string_equal(judge_text("$3\r\nab"), "more");
}

static void what_is_no_answer_is_refused(void **state)
{
    static const char *const bad[] = {
        "HTTP",       ">1\r\n+a\r\n", "\r\n",
        ":\r\n",      ":1a\r\n",      ":+1\r\n",
        "$\r\n",      "$-2\r\n",      "$ 1\r\n",
        "$01\r\n",    "$1\rx",        "$1\r\nab",
        "$1\r\na\rx", "*1\r\n_\r\n",  ":1234567890123456789\r\n",
        "$--1\r\n",   "*-0\r\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *why = judge_text(bad[i]);

        assert_non_null(why);
        assert_non_null(strstr(why, "no answer"));
    }
    assert_non_null(
        strstr(judge_text("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"), "deep"));
}

/* A length counts when it is named, not when what it promises has come. */
static void lengths_count_at_once(void **state)
{
    char text[64];

    (void)state;
    assert_string_equal(judge_text("$4000\r\n"), "more");
    assert_non_null(strstr(judge_text("$4001\r\n"), "larger"));
    assert_non_null(strstr(judge_text("$999999999999999999\r\n"), "larger"));
    assert_non_null(strstr(judge_text("*42\r\n"), "larger"));
    assert_string_equal(judge_text("*41\r\n"), "more");
    assert_non_null(strstr(judge_text("*999999999999999999\r\n"), "larger"));
    assert_non_null(strstr(judge_text("*2\r\n$3000\r\n"), "more"));
    /* The parts of an answer count together, those of two do not. */
    snprintf(text, sizeof text, "*1\r\n*1\r\n*38\r\n$1000\r\n");
    assert_non_null(strstr(judge_text(text), "larger"));
    for (int i = 0; i < 100; i++)
        assert_null(judge_text("*2\r\n+a\r\n+b\r\n"));
}

static void lines_are_bounded(void **state)
{
    static char line[8192];

    (void)state;
    memset(line, 'x', sizeof line);
    line[0] = '+';
    assert_non_null(strstr(judge(line, sizeof line, 4096), "larger"));
    assert_string_equal(judge(line, 4000, 4096), "more");
}

/* ---- names ---- */

static void slots_are_those_of_the_specification(void **state)
{
    (void)state;
    assert_int_equal(wsi_key_slot("123456789", 9), 0x31C3);
    assert_int_equal(wsi_key_slot("foo{123456789}bar", 17), 0x31C3);
    assert_int_equal(wsi_key_slot("foo", 3), 12182);
    assert_int_equal(wsi_key_slot("{foo}{bar}", 10), 12182);
}

static void rooms_come_back_from_their_channels(void **state)
{
    static const char *const names[] = {"a", "a{b}c", "}", "%7D", "%", "a:b", "\xc3\xa9"};
    struct wsi_key key;
    char name[WSI_NAME_MAX + 1], prefix[3 * WSI_PREFIX_MAX + 1];

    (void)state;
    assert_true(wsi_key_prefix(prefix, "app{1}"));
    assert_string_equal(prefix, "app%7B1%7D");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct wsi_bus_channel channel = {WSI_BUS_ROOM, names[i]};

        wsi_key_channel(&key, prefix, &channel);
        assert_true(wsi_key_room_of(name, prefix, key.text, key.len));
        assert_string_equal(name, names[i]);
        wsi_key_add(&key, ":s");
        assert_int_equal(wsi_key_slot(key.text, key.len),
                         wsi_key_slot(key.text, key.len - 2));
        assert_false(wsi_key_room_of(name, prefix, key.text, key.len));
    }
    assert_false(wsi_key_room_of(name, "x", "x:{r:}", 6));
    assert_false(wsi_key_room_of(name, "x", "x:{n:a}", 7));
    assert_false(wsi_key_room_of(name, "x", "x:{r:%}", 7));
    assert_false(wsi_key_room_of(name, "x", "x:{r:%00}", 9));
    wsi_key_all_rooms(&key, "a*[b]?\\");
    assert_string_equal(key.text, "a\\*\\[b\\]\\?\\\\:{r:*}");
}

static void ids_are_written_and_read(void **state)
{
    const uint8_t id[WSI_BUS_NODE_ID_SIZE] = {0, 1, 0x7F, 0x80, 0xFF, 0xAB};
    uint8_t again[WSI_BUS_NODE_ID_SIZE];
    char hex[WSI_NODE_HEX_SIZE];

    (void)state;
    wsi_node_hex(hex, id);
    assert_string_equal(hex, "00017f80ffab00000000000000000000");
    assert_true(wsi_node_from_hex(again, hex, 32));
    assert_memory_equal(id, again, sizeof id);
    assert_false(wsi_node_from_hex(again, hex, 31));
    hex[3] = 'g';
    assert_false(wsi_node_from_hex(again, hex, 32));
}

/* ---- the URL ---- */

static void a_url_says_who_and_where(void **state)
{
    struct wsi_target t;

    (void)state;
    assert_null(wsi_target_parse(&t, "redis://h"));
    assert_string_equal(t.hosts[0].name, "h");
    assert_int_equal(t.hosts[0].port, 6379);
    assert_false(t.tls);
    assert_null(wsi_target_parse(&t, "rediss://u%40:p%3a%2F@[::1]:1,b:2,c/7"));
    assert_true(t.tls);
    assert_string_equal(t.user, "u@");
    assert_string_equal(t.password, "p:/");
    assert_int_equal(t.host_count, 3);
    assert_string_equal(t.hosts[0].name, "::1");
    assert_int_equal(t.hosts[0].port, 1);
    assert_string_equal(t.hosts[1].name, "b");
    assert_int_equal(t.hosts[2].port, 6379);
    assert_int_equal(t.database, 7);
    assert_null(wsi_target_parse(&t, "redis://:a@b@h/"));
    assert_string_equal(t.password, "a@b");
    assert_string_equal(t.user, "");
    assert_null(wsi_target_parse(&t, "redis+unix:///run/r.sock?db=3"));
    assert_string_equal(t.hosts[0].name, "/run/r.sock");
    assert_int_equal(t.hosts[0].port, 0);
    assert_int_equal(t.database, 3);
    assert_null(wsi_target_parse(&t, "redis+unix://u:p@/r"));
    assert_string_equal(t.password, "p");
    assert_string_equal(t.hosts[0].name, "/r");
    assert_null(wsi_target_parse(&t, "redis+unix:/r"));
}

static void a_malformed_url_is_refused(void **state)
{
    static const char *const bad[] = {
        "http://h",         "redis:h",
        "redis://",         "redis://h:0",
        "redis://h:",       "redis://h:65536",
        "redis://h:1x",     "redis://h,",
        "redis://,h",       "redis://[::1",
        "redis://h/x",      "redis://h/1/2",
        "redis://h?a=b",    "redis://u@h",
        "redis://u:%4@h",   "redis://u:%zz@h",
        "redis://:%00@h",   "redis+unix:r",
        "redis+unix:/r?x",  "redis+unix:/r?db=",
        "redis://h/123456", "redis://a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q",
    };
    struct wsi_target t;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_non_null(wsi_target_parse(&t, bad[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_pass_however_they_are_cut),
        TEST(what_is_no_answer_is_refused),
        TEST(lengths_count_at_once),
        TEST(lines_are_bounded),
        TEST(slots_are_those_of_the_specification),
        TEST(rooms_come_back_from_their_channels),
        TEST(ids_are_written_and_read),
        TEST(a_url_says_who_and_where),
        TEST(a_malformed_url_is_refused),
    };

    return cmocka_run_group_tests_name("redis pure", tests, NULL, NULL);
}
