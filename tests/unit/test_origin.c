/* SPDX-License-Identifier: MIT */
/* Which pages may connect. */
#include "test.h"

#include <string.h>

#include "conn/origin.h"

static bool allowed_by(const char *list, const char *host, const char *origin)
{
    static struct wsi_http_head head;

    memset(&head, 0, sizeof head);
    if (host != NULL) {
        head.fields[head.count].name = WSI_STR("Host");
        head.fields[head.count++].value = wsi_str_of(host);
    }
    if (origin != NULL) {
        head.fields[head.count].name = WSI_STR("oRIGIN");
        head.fields[head.count++].value = wsi_str_of(origin);
    }
    return wsi_origin_is_allowed(&head, list);
}

static bool same(const char *host, const char *origin)
{
    return allowed_by("", host, origin);
}

static void who_is_no_browser_is_let_in(void **state)
{
    (void)state;
    assert_true(same("a.example", NULL));
    assert_true(allowed_by("http://b.example", "a.example", NULL));
}

static void page_of_the_same_host_and_port_is_let_in(void **state)
{
    (void)state;
    assert_true(same("a.example", "http://a.example"));
    assert_true(same("a.example:8080", "http://a.example:8080"));
    assert_true(same("A.Example", "HTTP://a.eXample"));
    assert_true(same("[::1]:8080", "http://[::1]:8080"));
    assert_true(same("[::1]", "http://[::1]"));
    assert_true(same("127.0.0.1:1", "http://127.0.0.1:1"));
}

static void default_ports_are_the_same_place(void **state)
{
    (void)state;
    assert_true(same("a.example:80", "http://a.example"));
    assert_true(same("a.example", "http://a.example:80"));
    assert_true(same("a.example", "https://a.example"));
    assert_true(same("a.example", "https://a.example:443"));
    assert_true(same("a.example:443", "https://a.example"));
    assert_true(same("a.example:", "http://a.example"));
    assert_false(same("a.example:80", "https://a.example"));
    assert_false(same("a.example:443", "http://a.example"));
}

static void foreign_page_is_refused(void **state)
{
    (void)state;
    assert_false(same("a.example", "http://b.example"));
    assert_false(same("a.example", "http://a.example.b.example"));
    assert_false(same("a.example", "http://xa.example"));
    assert_false(same("a.example:8080", "http://a.example"));
    assert_false(same("a.example", "http://a.example:8080"));
    assert_false(same("[::1]:80", "http://[::2]"));
    assert_false(same("[::1]", "http://[:"));
}

static void origin_that_is_none_is_refused(void **state)
{
    (void)state;
    assert_false(same("a.example", "null"));
    assert_false(same("a.example", ""));
    assert_false(same("a.example", "a.example"));
    assert_false(same("a.example", "ftp://a.example"));
    assert_false(same("a.example", "http://"));
    assert_false(same("a.example", "http://:80"));
    assert_false(same("a.example", "http://a.example/"));
    assert_false(same("a.example", "http://a.example:99999"));
    assert_false(same("a.example:65616", "http://a.example:80")); /* 80 + 65536 */
    assert_false(same(NULL, "http://a.example"));
}

static void second_origin_is_refused(void **state)
{
    static struct wsi_http_head head;

    (void)state;
    memset(&head, 0, sizeof head);
    for (int i = 0; i < 2; i++) {
        head.fields[head.count].name = WSI_STR("Origin");
        head.fields[head.count++].value = WSI_STR("http://a.example");
    }
    head.fields[head.count].name = WSI_STR("Host");
    head.fields[head.count++].value = WSI_STR("a.example");
    assert_false(wsi_origin_is_allowed(&head, ""));
    assert_false(wsi_origin_is_allowed(&head, "*"));
}

static void list_lets_in_what_it_names_and_nothing_else(void **state)
{
    static const char list[] = "http://b.example, https://c.example:443 ,"
                               "http://d.example:8080";

    (void)state;
    assert_true(allowed_by(list, "a.example", "http://b.example"));
    assert_true(allowed_by(list, "a.example", "http://B.example:80"));
    assert_true(allowed_by(list, "a.example", "https://c.example"));
    assert_true(allowed_by(list, "a.example", "http://d.example:8080"));
    assert_false(allowed_by(list, "a.example", "https://b.example"));
    assert_false(allowed_by(list, "a.example", "http://d.example"));
    assert_false(allowed_by(list, "a.example", "http://b.example:8080"));
    assert_false(allowed_by(list, "a.example", "http://b.example."));
    /* The own host is not named. */
    assert_false(allowed_by(list, "a.example", "http://a.example"));
}

static void star_lets_everyone_in(void **state)
{
    (void)state;
    assert_true(allowed_by("*", "a.example", "http://b.example"));
    assert_true(allowed_by("*", "a.example", "null"));
    assert_true(allowed_by("http://c.example, *", "a.example", "http://b.example"));
    assert_true(allowed_by("null", "a.example", "null"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_is_no_browser_is_let_in),
        TEST(page_of_the_same_host_and_port_is_let_in),
        TEST(default_ports_are_the_same_place),
        TEST(foreign_page_is_refused),
        TEST(origin_that_is_none_is_refused),
        TEST(second_origin_is_refused),
        TEST(list_lets_in_what_it_names_and_nothing_else),
        TEST(star_lets_everyone_in),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
