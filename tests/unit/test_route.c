/* SPDX-License-Identifier: MIT */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/route.h"

/* The value of a pattern is its text. */
static int add(struct wsi_routes *routes, const char *pattern)
{
    return wsi_routes_add(routes, pattern, (void *)(uintptr_t)pattern, NULL);
}

static void fill(struct wsi_routes *routes, const char *const *patterns)
{
    wsi_routes_init(routes);
    for (; *patterns != NULL; patterns++)
        assert_int_equal(add(routes, *patterns), 0);
}

static char captured[512]; /* "name=value;" as the path spells it */

static const char *match(const struct wsi_routes *routes, const char *path)
{
    struct wsi_capture captures[WSI_CAPTURES_MAX];
    unsigned count = 99;
    const char *value = wsi_routes_match(routes, captures, &count, wsi_str_of(path));
    size_t len = 0;

    captured[0] = '\0';
    for (unsigned i = 0; value != NULL && i < count; i++)
        len += (size_t)snprintf(captured + len, sizeof captured - len, "%s=%.*s;",
                                captures[i].name, (int)captures[i].value.len,
                                captures[i].value.ptr);
    return value;
}

static void assert_match(const struct wsi_routes *routes, const char *path,
                         const char *pattern, const char *captures)
{
    const char *got = match(routes, path);

    if (pattern == NULL) {
        assert_null(got);
        return;
    }
    assert_non_null(got);
    assert_string_equal(got, pattern);
    assert_string_equal(captured, captures);
}

static void literals_and_captures_match(void **state)
{
    static const char *const patterns[] = {
        "/",      "/echo", "/chat/{room}", "/a/{x}/b/{y}", "/files/{rest...}", "/dir/",
        "/a b/c", NULL};
    struct wsi_routes routes;

    (void)state;
    fill(&routes, patterns);
    assert_match(&routes, "/", "/", "");
    assert_match(&routes, "/echo", "/echo", "");
    assert_match(&routes, "/chat/lobby", "/chat/{room}", "room=lobby;");
    assert_match(&routes, "/chat/a%2Fb", "/chat/{room}", "room=a%2Fb;");
    assert_match(&routes, "/a/1/b/2", "/a/{x}/b/{y}", "x=1;y=2;");
    assert_match(&routes, "/files/a", "/files/{rest...}", "rest=a;");
    assert_match(&routes, "/files/a/b/c", "/files/{rest...}", "rest=a/b/c;");
    assert_match(&routes, "/files/a//b/", "/files/{rest...}", "rest=a//b/;");
    assert_match(&routes, "/dir/", "/dir/", "");
    assert_match(&routes, "/a%20b/c", "/a b/c", "");
    assert_match(&routes, "/%65%63ho", "/echo", "");
    assert_match(&routes, "/%65%63h%6F", "/echo", "");
    wsi_routes_fini(&routes);
}

static void other_paths_match_nothing(void **state)
{
    static const char *const patterns[] = {"/echo", "/chat/{room}", "/files/{rest...}",
                                           "/dir/", "/a/b",         NULL};
    static const char *const paths[] = {
        "",
        "echo",
        "/",
        "/Echo",
        "/echo/",
        "/ech",
        "/echo2",
        "//echo",
        "/chat",
        "/chat/",
        "/chat/a/",
        "/chat/a/b",
        "/files",
        "/files/",
        "/files//a",
        "/dir",
        "/dir//",
        "/a%2Fb",
        "/a%2fb",
        "/echo%",
        "/echo%2",
        "/ech%6",
        "/ech%6g",
        "/echo%00",
        "/chat/a%00b",
        "/chat/%",
        "/chat/%zz",
        "/chat/.",
        "/chat/..",
        "/chat/%2e%2E",
        "/chat/%2e",
        "/./echo",
        "/x/../echo",
        "/files/a/../b",
        "/files/..",
        "/files/%2e%2e/b",
        "/files/a/..%2fb",
        "/chat/..%2Fb",
        "/chat/a%2F..",
        "*",
    };
    struct wsi_routes routes;

    (void)state;
    fill(&routes, patterns);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        assert_match(&routes, paths[i], NULL, NULL);
    assert_match(&routes, "/chat/...", "/chat/{room}", "room=...;");
    assert_match(&routes, "/chat/.a", "/chat/{room}", "room=.a;");
    wsi_routes_fini(&routes);
}

static void nul_in_a_path_matches_nothing(void **state)
{
    struct wsi_capture captures[WSI_CAPTURES_MAX];
    struct wsi_routes routes;
    unsigned count;

    (void)state;
    wsi_routes_init(&routes);
    assert_int_equal(add(&routes, "/{x}"), 0);
    assert_non_null(wsi_routes_match(&routes, captures, &count, WSI_STR("/ab")));
    assert_null(wsi_routes_match(&routes, captures, &count, WSI_STR("/a\0b")));
    wsi_routes_fini(&routes);
}

static void the_earlier_literal_wins(void **state)
{
    static const char *const patterns[] = {
        "/{a}/{b}", "/{a}/x", "/l/{b}", "/l/{rest...}", "/{rest...}", "/l/m/n", NULL};
    struct wsi_routes routes;

    (void)state;
    fill(&routes, patterns);
    assert_match(&routes, "/l/x", "/l/{b}", "b=x;");
    assert_match(&routes, "/k/x", "/{a}/x", "a=k;");
    assert_match(&routes, "/k/y", "/{a}/{b}", "a=k;b=y;");
    assert_match(&routes, "/l/m/n", "/l/m/n", "");
    assert_match(&routes, "/l/m/o", "/l/{rest...}", "rest=m/o;"); /* steps back */
    assert_match(&routes, "/l/m", "/l/{b}", "b=m;");
    assert_match(&routes, "/l", "/{rest...}", "rest=l;");
    assert_match(&routes, "/k/y/z", "/{rest...}", "rest=k/y/z;");
    assert_match(&routes, "/k/y/", "/{rest...}", "rest=k/y/;");
    wsi_routes_fini(&routes);
}

static void captures_are_named_by_the_pattern_that_won(void **state)
{
    static const char *const patterns[] = {"/u/{user}/mail", "/u/{id}/posts/{post}",
                                           NULL};
    struct wsi_routes routes;

    (void)state;
    fill(&routes, patterns);
    assert_match(&routes, "/u/7/mail", patterns[0], "user=7;");
    assert_match(&routes, "/u/7/posts/8", patterns[1], "id=7;post=8;");
    assert_match(&routes, "/u/7", NULL, NULL);
    wsi_routes_fini(&routes);
}

static void same_shape_exists_already(void **state)
{
    static const char *const patterns[] = {"/chat/{room}", "/f/{rest...}", "/e", NULL};
    struct wsi_routes routes;
    void *existing = NULL;
    int other;

    (void)state;
    fill(&routes, patterns);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(wsi_routes_add(&routes, patterns[i], &other, &existing),
                         WSOCK_EEXIST);
        assert_ptr_equal(existing, patterns[i]);
        assert_ptr_equal(wsi_routes_get(&routes, patterns[i]), patterns[i]);
    }
    assert_int_equal(wsi_routes_add(&routes, "/chat/{name}", &other, &existing),
                     WSOCK_EEXIST);
    assert_null(existing);
    assert_int_equal(add(&routes, "/f/{all...}"), WSOCK_EEXIST);
    assert_null(wsi_routes_get(&routes, "/chat/{name}"));
    assert_null(wsi_routes_get(&routes, "/f/{all...}"));
    assert_null(wsi_routes_get(&routes, "/chat"));
    assert_null(wsi_routes_get(&routes, "/f/{rest}"));
    assert_null(wsi_routes_get(&routes, "no pattern"));
    assert_match(&routes, "/chat/x", "/chat/{room}", "room=x;");
    wsi_routes_fini(&routes);
}

static void malformed_patterns_are_refused(void **state)
{
    static const char *const patterns[] = {
        "",
        "echo",
        "{a}",
        "//",
        "/a//b",
        "/a?b",
        "/a#b",
        "/a%20b",
        "/a\nb",
        "/\x7F",
        "/.",
        "/..",
        "/a/../b",
        "/./a",
        "/{}",
        "/{",
        "/}",
        "/{a",
        "/a}",
        "/a{b}",
        "/{a}b",
        "/{a}{b}",
        "/{1a}",
        "/{a-b}",
        "/{a b}",
        "/{a}/{a}",
        "/{...}",
        "/{a..}",
        "/{a...}/b",
        "/{a...}/",
        "/{a}/{a...}",
        "/{\xC3\xA9}",
        "/x{a...}",
        "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}/{j}/{k}/{l}/{m}/{n}/{o}/{p}/{q}",
    };
    struct wsi_routes routes;
    char longest[1026] = "/";

    (void)state;
    wsi_routes_init(&routes);
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
        assert_int_equal(add(&routes, patterns[i]), WSOCK_EINVAL);
    assert_int_equal(add(&routes, NULL), WSOCK_EINVAL);
    memset(longest + 1, 'x', 1023);
    assert_int_equal(add(&routes, longest), WSOCK_EINVAL);
    assert_null(routes.root);
    longest[1023] = '\0';
    assert_int_equal(add(&routes, longest), 0);
    assert_match(&routes, longest, longest, "");
    assert_int_equal(add(&routes,
                         "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}/{j}/{k}/{l}/{m}/{n}"
                         "/{o}/{rest...}"),
                     0);
    assert_non_null(match(&routes, "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17"));
    assert_non_null(strstr(captured, ";o=15;rest=16/17;"));
    wsi_routes_fini(&routes);
}

static void many_patterns_are_found(void **state)
{
    static char patterns[500][24];
    struct wsi_routes routes;
    char path[24];

    (void)state;
    wsi_routes_init(&routes);
    for (unsigned i = 0; i < 500; i++) {
        const unsigned mixed = i * 211 % 500; /* neither up nor down */

        snprintf(patterns[mixed], sizeof patterns[0], "/p%u/{x}", mixed);
        assert_int_equal(add(&routes, patterns[mixed]), 0);
    }
    for (unsigned i = 0; i < 500; i++) {
        snprintf(path, sizeof path, "/%%70%u/v", i);
        assert_match(&routes, path, patterns[i], "x=v;");
    }
    assert_match(&routes, "/p500/v", NULL, NULL);
    wsi_routes_fini(&routes);
}

static void a_failed_allocation_leaves_the_table_as_it_was(void **state)
{
    static const char *const patterns[] = {"/a/b", "/a/{x}", NULL};
    struct wsi_routes routes;
    int r = 0;

    (void)state;
    wsi_routes_init(&routes);
    FOR_EACH_OOM(r, r = add(&routes, "/a/{x}/c/{rest...}"), wsi_routes_fini(&routes));
    fill(&routes, patterns);
    for (size_t nth = 1;; nth++) {
        const size_t live = test_live_blocks();

        test_fail_allocation(nth, 0);
        r = add(&routes, "/a/{x}/c/d");
        if (test_stop_failing() == 0)
            break;
        assert_int_equal(r, WSOCK_ENOMEM);
        assert_int_equal(test_live_blocks(), live);
        assert_match(&routes, "/a/b", "/a/b", "");
        assert_match(&routes, "/a/z", "/a/{x}", "x=z;");
        assert_match(&routes, "/a/z/c/d", NULL, NULL);
    }
    assert_match(&routes, "/a/z/c/d", "/a/{x}/c/d", "x=z;");
    wsi_routes_fini(&routes);
}

static void an_empty_table_matches_nothing(void **state)
{
    struct wsi_routes routes = {0};

    (void)state;
    assert_match(&routes, "/", NULL, NULL);
    assert_null(wsi_routes_get(&routes, "/"));
    wsi_routes_fini(&routes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(literals_and_captures_match),
        TEST(other_paths_match_nothing),
        TEST(nul_in_a_path_matches_nothing),
        TEST(the_earlier_literal_wins),
        TEST(captures_are_named_by_the_pattern_that_won),
        TEST(same_shape_exists_already),
        TEST(malformed_patterns_are_refused),
        TEST(many_patterns_are_found),
        TEST(a_failed_allocation_leaves_the_table_as_it_was),
        TEST(an_empty_table_matches_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
