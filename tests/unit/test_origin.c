/* SPDX-License-Identifier: MIT */
/* Which pages may connect. */
#include "test.h"

#include <string.h>

#include "proto/origin.h"

static bool allowed(bool is_secure, const char *list, const char *host,
                    const char *origin)
{
    static struct wsi_http_head head;

    memset(&head, 0, sizeof head);
    if (origin != NULL) {
        head.fields[head.count].name = WSI_STR("oRIGIN");
        head.fields[head.count++].value = wsi_str_of(origin);
    }
    return wsi_origin_is_allowed(&head, wsi_str_of(host), is_secure, list);
}

static bool allowed_by(const char *list, const char *host, const char *origin)
{
    return allowed(false, list, host, origin);
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
    assert_false(same("a.example:80", "https://a.example"));
    assert_false(same("a.example:443", "http://a.example"));
}

/* A page of http that claims the place of a server of TLS came from somebody else. */
static void over_tls_only_pages_of_https_are_let_in(void **state)
{
    (void)state;
    assert_true(allowed(true, "", "a.example", "https://a.example"));
    assert_true(allowed(true, "", "a.example", "https://a.example:443"));
    assert_true(allowed(true, "", "a.example:443", "https://a.example"));
    assert_true(allowed(true, "", "a.example:8443", "https://a.example:8443"));
    assert_false(allowed(true, "", "a.example", "http://a.example"));
    assert_false(allowed(true, "same", "a.example", "http://a.example"));
    assert_false(allowed(true, "", "a.example", "https://a.example:80"));
    assert_false(allowed(true, "", "a.example:443", "http://a.example:443"));
    assert_false(allowed(true, "", "a.example", "http://a.example:443"));
    assert_false(allowed(true, "", "a.example:8443", "http://a.example:8443"));
    assert_true(allowed(true, "same, http://a.example", "a.example", "http://a.example"));
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
    assert_false(wsi_origin_is_allowed(&head, WSI_STR("a.example"), false, ""));
    assert_false(wsi_origin_is_allowed(&head, WSI_STR("a.example"), false, "*"));
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
}

static void null_is_let_in_only_where_it_is_listed(void **state)
{
    (void)state;
    assert_true(allowed_by("null", "a.example", "null"));
    assert_true(allowed_by("https://b.example, null", "a.example", "null"));
    assert_false(allowed_by("same, https://b.example", "a.example", "null"));
    assert_false(allowed_by("null", "a.example", "http://null"));
    assert_false(allowed_by("http://null", "null", "null"));
    assert_false(same("null", "null"));
    assert_true(allowed_by("file://", "a.example", "file://"));
    assert_false(allowed_by("null", "a.example", "file://"));
}

static void own_place_may_stand_in_a_list(void **state)
{
    static const char list[] = "same,https://b.example";

    (void)state;
    assert_true(allowed_by(list, "a.example", "http://a.example"));
    assert_true(allowed_by(list, "a.example", "https://a.example"));
    assert_true(allowed_by(list, "a.example", "https://b.example"));
    assert_false(allowed_by(list, "a.example", "http://c.example"));
    assert_false(allowed_by(list, "a.example:81", "http://a.example"));
}

static void star_before_a_host_takes_the_hosts_below_it(void **state)
{
    static const char list[] = "https://*.example.com";

    (void)state;
    assert_true(allowed_by(list, "h", "https://a.example.com"));
    assert_true(allowed_by(list, "h", "https://b.a.example.com"));
    assert_true(allowed_by(list, "h", "https://A.Example.Com:443"));
    assert_false(allowed_by(list, "h", "https://example.com"));
    assert_false(allowed_by(list, "h", "https://.example.com"));
    assert_false(allowed_by(list, "h", "https://evil-example.com"));
    assert_false(allowed_by(list, "h", "https://evilexample.com"));
    assert_false(allowed_by(list, "h", "https://example.com.evil.org"));
    assert_false(allowed_by(list, "h", "https://a.example.com.evil.org"));
    assert_false(allowed_by(list, "h", "https://evil.org/.example.com"));
    assert_false(allowed_by(list, "h", "https://evil.org#.example.com"));
    assert_false(allowed_by(list, "h", "https://evil.org?a.example.com"));
    assert_false(allowed_by(list, "h", "https://evil.org:443.example.com"));
    assert_false(allowed_by(list, "h", "https://a@b.example.com"));
    assert_false(allowed_by(list, "h", "http://a.example.com"));
    assert_false(allowed_by(list, "h", "wss://a.example.com"));
    assert_false(allowed_by(list, "h", "https://a.example.com:8443"));
    assert_false(allowed_by(list, "h", "https://a.example.com:80"));
    assert_true(allowed_by("http://*.h:81", "h", "http://a.h:81"));
    assert_false(allowed_by("http://*.h:81", "h", "http://a.h"));
}

static void origins_of_other_schemes_may_be_listed(void **state)
{
    (void)state;
    assert_true(allowed_by("app-x+1.2://local", "h", "app-x+1.2://local"));
    assert_true(allowed_by("app://local:1", "h", "app://local:1"));
    assert_false(allowed_by("app://local:1", "h", "app://local"));
    assert_false(allowed_by("app://local", "h", "ap://local"));
    assert_false(allowed_by("", "local", "app://local"));
}

static void entry_that_is_no_origin_is_told(void **state)
{
    static const char *const good[] = {
        "*",
        "same",
        "null",
        "file://",
        "http://a",
        "https://*.a:1",
        "http://[::1]:80",
        "http://127.0.0.1",
        "app://x",
        "HTTPS://A.Example",
    };
    static const char *const bad[] = {
        "a.example",
        "http:/a",
        "http://",
        "http://a/",
        "http://a/b",
        "http://a:",
        "http://a:x",
        "http://a:65536",
        "http://*",
        "http://*.",
        "http://a.*.b",
        "http://*a.b",
        "*.a",
        "*://a",
        "://a",
        "1://a",
        "http://a b",
        "http://u@a",
        "http://*.[::1]",
        "http://[::1",
        "http://1.2.3",
        "http://*.*.a",
        "nul",
        "file:///x",
        "http://a?b",
    };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (wsi_origin_check_entry(wsi_str_of(good[i])) != NULL)
            fail_msg("%s: %s", good[i], wsi_origin_check_entry(wsi_str_of(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (wsi_origin_check_entry(wsi_str_of(bad[i])) == NULL)
            fail_msg("%s is taken", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_is_no_browser_is_let_in),
        TEST(page_of_the_same_host_and_port_is_let_in),
        TEST(default_ports_are_the_same_place),
        TEST(over_tls_only_pages_of_https_are_let_in),
        TEST(foreign_page_is_refused),
        TEST(origin_that_is_none_is_refused),
        TEST(second_origin_is_refused),
        TEST(list_lets_in_what_it_names_and_nothing_else),
        TEST(star_lets_everyone_in),
        TEST(null_is_let_in_only_where_it_is_listed),
        TEST(own_place_may_stand_in_a_list),
        TEST(star_before_a_host_takes_the_hosts_below_it),
        TEST(origins_of_other_schemes_may_be_listed),
        TEST(entry_that_is_no_origin_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
