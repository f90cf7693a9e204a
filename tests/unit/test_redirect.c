/* SPDX-License-Identifier: MIT */
/* Where a Location leads, and which ways are refused. */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "proto/redirect.h"

static struct wsi_url url_of(const char *text)
{
    struct wsi_url url;
    const char *why = NULL;

    assert_int_equal(wsi_url_parse(text, &url, &why), 0);
    return url;
}

static void leads(const char *from, const char *location, const char *to)
{
    const struct wsi_url url = url_of(from);
    struct wsi_buf out = {0};
    struct wsi_url parsed;
    const char *why;

    assert_int_equal(wsi_redirect_write(&out, &url, wsi_str_of(location), &why), 0);
    assert_string_equal((const char *)out.data, to);
    assert_int_equal(wsi_url_parse(to, &parsed, &why), 0);
    wsi_buf_fini(&out);
}

static void refused(const char *from, const char *location, const char *because)
{
    const struct wsi_url url = url_of(from);
    struct wsi_buf out = {0};
    const char *why = NULL;

    assert_int_equal(wsi_redirect_write(&out, &url, wsi_str_of(location), &why),
                     WSOCK_EURL);
    assert_string_equal(why, because);
    wsi_buf_fini(&out);
}

static void whole_urls_are_taken_with_http_for_ws(void **state)
{
    (void)state;
    leads("ws://a/", "ws://b/c?d", "ws://b/c?d");
    leads("ws://a/", "http://b:81/c", "ws://b:81/c");
    leads("ws://a/", "https://b/c#fragment", "wss://b/c");
    leads("wss://a/", "WSS://b", "wss://b");
    leads("wss://a/", "HTTPS://[::1]:8/", "wss://[::1]:8/");
}

/* The reference resolution examples of RFC 3986 section 5.4 that have no scheme. */
static void references_resolve_as_rfc_3986_has_them(void **state)
{
    static const struct {
        const char *reference, *target;
    } cases[] = {
        {"g", "/b/c/g"},
        {"./g", "/b/c/g"},
        {"g/", "/b/c/g/"},
        {"/g", "/g"},
        {"?y", "/b/c/d;p?y"},
        {"g?y", "/b/c/g?y"},
        {"g#s", "/b/c/g"},
        {"g?y#s", "/b/c/g?y"},
        {";x", "/b/c/;x"},
        {"g;x", "/b/c/g;x"},
        {"", "/b/c/d;p?q"},
        {".", "/b/c/"},
        {"./", "/b/c/"},
        {"..", "/b/"},
        {"../", "/b/"},
        {"../g", "/b/g"},
        {"../..", "/"},
        {"../../", "/"},
        {"../../g", "/g"},
        {"../../../g", "/g"},
        {"../../../../g", "/g"},
        {"/./g", "/g"},
        {"/../g", "/g"},
        {"g.", "/b/c/g."},
        {".g", "/b/c/.g"},
        {"g..", "/b/c/g.."},
        {"..g", "/b/c/..g"},
        {"./../g", "/b/g"},
        {"./g/.", "/b/c/g/"},
        {"g/./h", "/b/c/g/h"},
        {"g/../h", "/b/c/h"},
        {"g;x=1/./y", "/b/c/g;x=1/y"},
        {"g;x=1/../y", "/b/c/y"},
        {"g?y/./x", "/b/c/g?y/./x"},
        {"g?y/../x", "/b/c/g?y/../x"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char expected[64];

        snprintf(expected, sizeof expected, "ws://a:80%s", cases[i].target);
        leads("ws://a/b/c/d;p?q", cases[i].reference, expected);
    }
    leads("wss://a:444/b", "//g/h", "wss://g/h");
    leads("ws://[::1]:9", "x", "ws://[::1]:9/x");
    leads("ws://a?q", "x", "ws://a:80/x");
}

static void ways_that_are_not_followed(void **state)
{
    (void)state;
    refused("wss://a/", "ws://a/", "it leads from wss to ws");
    refused("wss://a/", "http://b/", "it leads from wss to ws");
    refused("ws://a/", "ftp://a/",
            "it leads to another scheme than http, https, ws or wss");
    refused("ws://a/", "javascript:x",
            "it leads to another scheme than http, https, ws or wss");
    refused("ws://a/", "ws:b", "it has no host");
    refused("ws+unix:/s:/x", "/y", "a Unix socket leads nowhere else");
}

static void origins_are_scheme_host_and_port(void **state)
{
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {"ws://a/x", "ws://A:80/y?z", true}, {"wss://a", "wss://a:443", true},
        {"ws://a", "wss://a", false},        {"ws://a:443", "wss://a", false},
        {"ws://a", "ws://a:81", false},      {"ws://a", "ws://b", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct wsi_url a = url_of(cases[i].a), b = url_of(cases[i].b);

        assert_int_equal(wsi_redirect_same_origin(&a, &b), cases[i].same);
    }
}

static int write_and_drop(const struct wsi_url *url)
{
    struct wsi_buf out = {0};
    const char *why;
    const int r = wsi_redirect_write(&out, url, WSI_STR("../x"), &why);

    wsi_buf_fini(&out);
    return r;
}

static void redirect_without_memory_is_told(void **state)
{
    const struct wsi_url url = url_of("ws://a/b/c");
    int result;

    (void)state;
    FOR_EACH_OOM(result, result = write_and_drop(&url), (void)0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(whole_urls_are_taken_with_http_for_ws),
        TEST(references_resolve_as_rfc_3986_has_them),
        TEST(ways_that_are_not_followed),
        TEST(origins_are_scheme_host_and_port),
        TEST(redirect_without_memory_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
