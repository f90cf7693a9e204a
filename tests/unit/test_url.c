/* SPDX-License-Identifier: MIT */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "proto/authority.h"
#include "proto/url.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static bool is(struct wsi_str text, const char *expected)
{
    return wsi_str_equal(text, wsi_str_of(expected));
}

/* What a URL should come apart into: Host header, target, Unix path, facts. */
static const struct {
    const char *url, *host_header, *target, *path;
    bool secure, is_unix, ipv6, port_given;
    unsigned port;
} good[] = {
    {"ws://example.org", "example.org", "/", "", 0, 0, 0, 0, 80},
    {"wss://example.org", "example.org", "/", "", 1, 0, 0, 0, 443},
    {"WSS://Example.ORG/a", "Example.ORG", "/a", "", 1, 0, 0, 0, 443},
    {"ws://h:80/", "h", "/", "", 0, 0, 0, 1, 80},
    {"wss://h:443/", "h", "/", "", 1, 0, 0, 1, 443},
    {"ws://h:443/", "h:443", "/", "", 0, 0, 0, 1, 443},
    {"ws://h:0", "h:0", "/", "", 0, 0, 0, 1, 0},
    {"ws://h:65535", "h:65535", "/", "", 0, 0, 0, 1, 65535},
    {"ws://h:00080", "h", "/", "", 0, 0, 0, 1, 80},
    {"ws://h?x=1", "h", "/?x=1", "", 0, 0, 0, 0, 80},
    {"ws://h/?x=1", "h", "/?x=1", "", 0, 0, 0, 0, 80},
    {"ws://h/a/b;c=1/%20?q=/?:@!$&'()*+,;=", "h", "/a/b;c=1/%20?q=/?:@!$&'()*+,;=", "", 0,
     0, 0, 0, 80},
    {"ws://h//x", "h", "//x", "", 0, 0, 0, 0, 80},
    {"ws://127.0.0.1:8080/echo", "127.0.0.1:8080", "/echo", "", 0, 0, 0, 1, 8080},
    {"ws://0.0.0.0:8080", "0.0.0.0:8080", "/", "", 0, 0, 0, 1, 8080},
    {"ws://255.255.255.255", "255.255.255.255", "/", "", 0, 0, 0, 0, 80},
    {"ws://[::]:8080", "[::]:8080", "/", "", 0, 0, 1, 1, 8080},
    {"ws://[::1]", "[::1]", "/", "", 0, 0, 1, 0, 80},
    {"ws://[2001:db8::7:8]/x", "[2001:db8::7:8]", "/x", "", 0, 0, 1, 0, 80},
    {"ws://[1:2:3:4:5:6:7:8]", "[1:2:3:4:5:6:7:8]", "/", "", 0, 0, 1, 0, 80},
    {"ws://[1:2:3:4:5:6:7::]", "[1:2:3:4:5:6:7::]", "/", "", 0, 0, 1, 0, 80},
    {"ws://[::ffff:10.0.0.1]:1", "[::ffff:10.0.0.1]:1", "/", "", 0, 0, 1, 1, 1},
    {"ws://[1:2:3:4:5:6:1.2.3.4]", "[1:2:3:4:5:6:1.2.3.4]", "/", "", 0, 0, 1, 0, 80},
    {"ws://*:8080", "*:8080", "/", "", 0, 0, 0, 1, 8080},
    {"ws://a_b-c.d~e", "a_b-c.d~e", "/", "", 0, 0, 0, 0, 80},
    {"ws://1a.2b.", "1a.2b.", "/", "", 0, 0, 0, 0, 80},
    {"ws+unix:/run/a.sock", "localhost", "/", "/run/a.sock", 0, 1, 0, 0, 80},
    {"wss+unix:/run/a.sock:/chat?x=1", "localhost", "/chat?x=1", "/run/a.sock", 1, 1, 0,
     0, 443},
    {"ws+unix:///run/a.sock:/", "localhost", "/", "/run/a.sock", 0, 1, 0, 0, 80},
    {"ws+unix:/run/a:1 %20\xc3\xa9:?q", "localhost", "/?q", "/run/a:1 %20\xc3\xa9", 0, 1,
     0, 0, 80},
    {"ws+unix:/a:/b:/c", "localhost", "/b:/c", "/a", 0, 1, 0, 0, 80},
};

static void url_comes_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        char *text = strdup(good[i].url), host[300], target[300];
        struct wsi_url url;
        const char *why = NULL;

        if (wsi_url_parse(text, &url, &why) != 0)
            fail_msg("%s: %s", text, why);
        assert_int_equal(url.secure, good[i].secure);
        assert_int_equal(url.is_unix, good[i].is_unix);
        assert_int_equal(url.host_is_ipv6, good[i].ipv6);
        assert_int_equal(url.port_given, good[i].port_given);
        assert_int_equal(url.port, good[i].port);
        assert_true(is(url.path, good[i].path));
        assert_int_equal(url.userinfo.len, 0);
        assert_int_equal(wsi_url_write_host(&url, host, sizeof host),
                         strlen(good[i].host_header));
        assert_string_equal(host, good[i].host_header);
        assert_int_equal(wsi_url_write_target(&url, target, sizeof target),
                         strlen(good[i].target));
        assert_string_equal(target, good[i].target);
        free(text);
    }
}

static void url_keeps_user_information_apart(void **state)
{
    struct wsi_url url;
    const char *why;
    char host[32];

    (void)state;
    assert_int_equal(wsi_url_parse("ws://me:p%40ss:w@h:81/x", &url, &why), 0);
    assert_true(is(url.userinfo, "me:p%40ss:w"));
    assert_true(is(url.host, "h"));
    assert_int_equal(wsi_url_write_host(&url, host, sizeof host), 4);
    assert_string_equal(host, "h:81");
}

static const struct {
    const char *url, *why; /* a word of the sentence */
} bad[] = {
    {"", "scheme"},
    {"http://h/", "scheme"},
    {"ws", "scheme"},
    {"ws+tcp://h", "scheme"},
    {" ws://h", "scheme"},
    {"ws:h", "//"},
    {"ws:/h", "//"},
    {"ws://", "empty"},
    {"ws:///x", "empty"},
    {"ws://:8080", "empty"},
    {"ws://?x", "empty"},
    {"ws://u@", "empty"},
    {"ws://h:", "port"},
    {"ws://h:x", "port"},
    {"ws://h:-1", "port"},
    {"ws://h:+1", "port"},
    {"ws://h: 1", "port"},
    {"ws://h:65536", "port"},
    {"ws://h:100000", "port"},
    {"ws://h:4294967376", "port"},
    {"ws://h:80:80", "port"},
    {"ws://h/#f", "fragment"},
    {"ws://h#f", "fragment"},
    {"ws://h/a b", "percent-encoded"},
    {"ws://h/\xc3\xa9", "percent-encoded"},
    {"ws://h/a\x01", "percent-encoded"},
    {"ws://h/a\x7f", "percent-encoded"},
    {"ws://h/a\r\nX: y", "percent-encoded"},
    {"ws://h/?a=\"b\"", "percent-encoded"},
    {"ws://h/[x]", "percent-encoded"},
    {"ws://h/\\x", "percent-encoded"},
    {"ws://h/{x}", "percent-encoded"},
    {"ws://h/%", "hexadecimal"},
    {"ws://h/%4", "hexadecimal"},
    {"ws://h/%zz", "hexadecimal"},
    {"ws://u%4@h/", "hexadecimal"},
    {"ws://u ser@h/", "user information"},
    {"ws://a@b@h/", "host name"},
    {"ws://h h/", "host name"},
    {"ws://h%41/", "host name"},
    {"ws://h\\@x/", "user information"},
    {"ws://\xc3\xa9/", "host name"},
    {"ws://h]/", "host name"},
    {"ws://.example.com/", "nothing before it"},
    {"ws://a..example.com/", "nothing before it"},
    {"ws://example.com../", "nothing before it"},
    {"ws://./", "nothing before it"},
    {"ws://../", "nothing before it"},
    {"ws://256.1.1.1/", "IPv4"},
    {"ws://127.1/", "IPv4"},
    {"ws://1.2.3.4.5/", "IPv4"},
    {"ws://010.0.0.1/", "IPv4"},
    {"ws://2130706433/", "IPv4"},
    {"ws://1.2.3.4./", "IPv4"},
    {"ws://[::1/", "not closed"},
    {"ws://[]/", "IPv6"},
    {"ws://[:]/", "IPv6"},
    {"ws://[:::]/", "IPv6"},
    {"ws://[1::2::3]/", "IPv6"},
    {"ws://[1:2:3:4:5:6:7]/", "IPv6"},
    {"ws://[1:2:3:4:5:6:7:8:9]/", "IPv6"},
    {"ws://[1:2:3:4:5:6:7:8::]/", "IPv6"},
    {"ws://[::1:2:3:4:5:6:7:8]/", "IPv6"},
    {"ws://[12345::]/", "IPv6"},
    {"ws://[::g]/", "IPv6"},
    {"ws://[1:]/", "IPv6"},
    {"ws://[:1::]/", "IPv6"},
    {"ws://[::1.2.3]/", "IPv6"},
    {"ws://[::1.2.3.256]/", "IPv6"},
    {"ws://[1:2:3:4:5:6:7:1.2.3.4]/", "IPv6"},
    {"ws://[::1:2:3:4:5:6:1.2.3.4]/", "IPv6"},
    {"ws://[1.2.3.4::]/", "IPv6"},
    {"ws://[fe80::1%25eth0]/", "zone"},
    {"ws://[v1.x]/", "IPv6"},
    {"ws://[::1]x/", "bracket"},
    {"ws://[::1]80/", "bracket"},
    {"ws://[::1]:/", "port"},
    {"ws+unix:", "begin with '/'"},
    {"ws+unix:/", "begin with '/'"},
    {"ws+unix:a.sock", "begin with '/'"},
    {"ws+unix://host/a.sock", "no host"},
    {"ws+unix://u@/a.sock", "user"},
    {"ws+unix:/a.sock?x=1", "query"},
    {"ws+unix:/a.sock#f", "query"},
    {"ws+unix:/a\nb", "control"},
    {"ws+unix:/a.sock:/b c", "percent-encoded"},
    {"ws+unix:/a.sock:/b#c", "fragment"},
};

static void url_that_is_wrong_is_refused_with_a_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        char *text = strdup(bad[i].url);
        struct wsi_url url = {.port = 7};
        const char *why = "";

        if (wsi_url_parse(text, &url, &why) != WSOCK_EURL)
            fail_msg("accepted %s", text);
        if (strstr(why, bad[i].why) == NULL)
            fail_msg("%s: \"%s\" does not name %s", text, why, bad[i].why);
        assert_int_equal(url.port, 7);
        free(text);
    }
}

static void url_limits_are_exact(void **state)
{
    char text[400] = "ws+unix:/";
    struct wsi_url url;
    const char *why;

    (void)state;
    memset(text + 9, 'x', 106);
    text[9 + 106] = '\0';
    assert_int_equal(wsi_url_parse(text, &url, &why), 0);
    assert_int_equal(url.path.len, 107);
    strcat(text, "x");
    assert_int_equal(wsi_url_parse(text, &url, &why), WSOCK_EURL);
    strcpy(text, "ws://");
    memset(text + 5, 'x', WSI_HOST_MAX);
    text[5 + WSI_HOST_MAX] = '\0';
    assert_int_equal(wsi_url_parse(text, &url, &why), 0);
    strcat(text, "x");
    assert_int_equal(wsi_url_parse(text, &url, &why), WSOCK_EURL);
}

static void url_writers_need_room_for_the_end(void **state)
{
    struct wsi_url url;
    const char *why;

    (void)state;
    assert_int_equal(wsi_url_parse("ws://[::1]:8080?q", &url, &why), 0);
    for (size_t size = 0; size < 14; size++) {
        char *out = malloc(size + 1);
        const int host = wsi_url_write_host(&url, out, size);
        const int target = wsi_url_write_target(&url, out, size);

        assert_int_equal(host, size > 10 ? 10 : WSOCK_ETOOBIG);
        assert_int_equal(target, size > 3 ? 3 : WSOCK_ETOOBIG);
        free(out);
    }
}

static void target_comes_apart(void **state)
{
    static const struct {
        const char *target, *path, *query, *authority;
    } rows[] = {
        {"/", "/", "", ""},
        {"/a/b?c=d?e", "/a/b", "c=d?e", ""},
        {"/?", "/", "", ""},
        {"//a", "//a", "", ""},
        {"/%zz|{}", "/%zz|{}", "", ""},
        {"http://h/x?y", "/x", "y", "h"},
        {"HTTPS://h:8/", "/", "", "h:8"},
        {"ws://[::1]:8?q", "/", "q", "[::1]:8"},
        {"wss://h", "/", "", "h"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsi_target parts;

        assert_true(wsi_target_split(wsi_str_of(rows[i].target), &parts));
        assert_true(is(parts.path, rows[i].path));
        assert_true(is(parts.query, rows[i].query));
        assert_true(is(parts.authority, rows[i].authority));
    }
}

static void target_of_another_form_is_refused(void **state)
{
    static const char *rows[] = {
        "",        "*",         "x",        "h:80",       "?q",          "http:/x",
        "http://", "http:///x", "ftp://h/", "http://u@h", "/a b",        "/a#b",
        "/\x01",   "/\xc3\xa9", "/\x7f",    "/a\tb",      "http://h:x/",
    };
    struct wsi_target parts;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        if (wsi_target_split(wsi_str_of(rows[i]), &parts))
            fail_msg("accepted %s", rows[i]);
}

static void percent_encoding_is_decoded_in_place(void **state)
{
    char text[] = "a%20b+c%00%2F%ff";
    size_t size = 0;

    (void)state;
    assert_true(wsi_percent_decode(wsi_str_of(text), true, text, &size));
    assert_int_equal(size, 8);
    assert_memory_equal(text, "a b c\0/\xff", 8);
    assert_true(wsi_percent_decode(WSI_STR("a+b"), false, text, &size));
    assert_memory_equal(text, "a+b", 3);
    size = 99;
    assert_false(wsi_percent_decode(WSI_STR("a%2"), false, text, &size));
    assert_false(wsi_percent_decode(WSI_STR("%g0"), false, text, &size));
    assert_int_equal(size, 99);
}

typedef bool next_pair(struct wsi_str *, struct wsi_str *, struct wsi_str *);

/* All pairs as "name|value;" one behind the other. */
static void check_pairs(next_pair *next, const char *in, const char *expected)
{
    struct wsi_str rest = wsi_str_of(in), name, value;
    char all[200] = "";

    while (next(&rest, &name, &value))
        snprintf(all + strlen(all), sizeof all - strlen(all), "%.*s|%.*s;", (int)name.len,
                 name.ptr, (int)value.len, value.ptr);
    assert_string_equal(all, expected);
}

static void query_gives_its_pairs(void **state)
{
    (void)state;
    check_pairs(wsi_query_next, "", "");
    check_pairs(wsi_query_next, "&&", "");
    check_pairs(wsi_query_next, "a=1&b&&c==2&=d&a=%26", "a|1;b|;c|=2;|d;a|%26;");
}

static void cookies_give_their_pairs(void **state)
{
    (void)state;
    check_pairs(wsi_cookie_next, "", "");
    check_pairs(wsi_cookie_next, "a=1; b=x=y;c=;  d = \"q\" ", "a|1;b|x=y;c|;d|\"q\";");
    check_pairs(wsi_cookie_next, "; flag; =x; a=1;;", "a|1;");
}

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static bool inside(struct wsi_str piece, const char *text, size_t len)
{
    return piece.len == 0 || (piece.ptr >= text && piece.ptr + piece.len <= text + len);
}

/* Mutated URLs in blocks of their exact size: the sanitizer sees any step outside. */
static void mutated_urls_stay_within_their_text(void **state)
{
    uint32_t seed = 20240229;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        const size_t row = next_random(&seed) % (COUNT(good) + COUNT(bad));
        char *text = strdup(row < COUNT(good) ? good[row].url
                                              : bad[row - COUNT(good)].url);
        const size_t len = strlen(text);
        struct wsi_target parts;
        struct wsi_url url;
        const char *why = NULL;

        for (unsigned n = next_random(&seed) % 4; n != 0 && len != 0; n--)
            text[next_random(&seed) % len] =
                "[]:/?#@%.*0f\x01\xff w"[next_random(&seed) % 16];
        if (wsi_url_parse(text, &url, &why) == 0) {
            assert_true(inside(url.host, text, len));
            assert_true(inside(url.userinfo, text, len));
            assert_true(inside(url.path, text, len));
            assert_true(is(url.target, "/") || inside(url.target, text, len));
        } else {
            assert_non_null(why);
        }
        /* without the NUL in reach */
        char *exact = malloc(len != 0 ? len : 1);
        memcpy(exact, text, len);
        if (wsi_target_split((struct wsi_str){exact, len}, &parts))
            assert_true(inside(parts.query, exact, len) && parts.path.ptr[0] == '/');
        free(exact);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(url_comes_apart),
        TEST(url_keeps_user_information_apart),
        TEST(url_that_is_wrong_is_refused_with_a_reason),
        TEST(url_limits_are_exact),
        TEST(url_writers_need_room_for_the_end),
        TEST(target_comes_apart),
        TEST(target_of_another_form_is_refused),
        TEST(percent_encoding_is_decoded_in_place),
        TEST(query_gives_its_pairs),
        TEST(cookies_give_their_pairs),
        TEST(mutated_urls_stay_within_their_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
