/* SPDX-License-Identifier: MIT */
/* What proxies say, and how much of it may be believed. */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "proto/forwarded.h"

static struct wsi_http_head head;
static struct wsi_forwarded said;

static void field(const char *name, const char *value)
{
    head.fields[head.count].name = wsi_str_of(name);
    head.fields[head.count++].value = wsi_str_of(value);
}

/* The proxies are 10.0.0.0/8 and 2001:db8::/32. */
static void read_head(void)
{
    struct wsi_networks trusted;
    struct wsi_list_error error;

    assert_int_equal(
        wsi_networks_parse(&trusted, WSI_STR("10.0.0.0/8, 2001:db8::/32"), &error), 0);
    wsi_forwarded_read(&said, &head, &trusted);
    wsi_networks_fini(&trusted);
    head.count = 0;
}

static void comes_from(const char *value, const char *address, unsigned port)
{
    struct wsi_ip ip;

    field("X-Forwarded-For", value);
    read_head();
    if (address == NULL) {
        assert_false(said.has_ip);
        return;
    }
    assert_true(wsi_ip_parse(&ip, wsi_str_of(address)));
    if (!said.has_ip || memcmp(said.ip.bytes, ip.bytes, 16) != 0)
        fail_msg("\"%s\" is not %s", value, address);
    assert_int_equal(said.port, port);
}

static void walk_stops_at_the_first_who_is_not_trusted(void **state)
{
    (void)state;
    comes_from("203.0.113.7", "203.0.113.7", 0);
    comes_from("198.51.100.1, 203.0.113.7", "203.0.113.7", 0);
    comes_from("203.0.113.7,10.0.0.2", "203.0.113.7", 0);
    comes_from("198.51.100.1, 203.0.113.7,10.0.0.2 , 2001:db8::2", "203.0.113.7", 0);
    /* The client may claim to be a proxy: it was not reached from there. */
    comes_from("10.0.0.9, 203.0.113.7, 10.0.0.2", "203.0.113.7", 0);
    /* All are proxies: the farthest is the client. */
    comes_from("10.0.0.3, 10.0.0.2", "10.0.0.3", 0);
    comes_from("", NULL, 0);
    comes_from(" , ,", NULL, 0);
}

static void walk_goes_on_in_the_field_before(void **state)
{
    (void)state;
    field("X-Forwarded-For", "198.51.100.1");
    field("x-forwarded-for", "203.0.113.7");
    field("X-Other", "192.0.2.1");
    comes_from("10.0.0.3,10.0.0.2", "203.0.113.7", 0);
    field("X-Forwarded-For", "203.0.113.7");
    comes_from("", "203.0.113.7", 0);
}

static void addresses_are_read_in_every_spelling_of_proxies(void **state)
{
    (void)state;
    comes_from("203.0.113.7:4711", "203.0.113.7", 4711);
    comes_from("2001:DB9::1", "2001:db9::1", 0);
    comes_from("[2001:db9::1]", "2001:db9::1", 0);
    comes_from("[2001:db9::1]:4711", "2001:db9::1", 4711);
    comes_from("::ffff:203.0.113.7", "203.0.113.7", 0);
    comes_from("203.0.113.7, 10.0.0.2:99, [2001:db8::1]:5", "203.0.113.7", 0);
}

static void what_is_no_address_ends_the_walk_before_it(void **state)
{
    static const char *const words[] = {
        "unknown",
        "_hidden",
        "localhost",
        "1.2.3",
        "\"203.0.113.7\"",
        "203.0.113.7:",
        "203.0.113.7 10.0.0.9",
        "fe80::1%eth0",
        "[::1",
        "for=203.0.113.7",
        "1.2.3.4:99999",
    };
    char value[128];

    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        snprintf(value, sizeof value, "203.0.113.7, %s", words[i]);
        comes_from(value, NULL, 0);
        snprintf(value, sizeof value, "203.0.113.7, %s, 10.0.0.2", words[i]);
        comes_from(value, "10.0.0.2", 0);
    }
}

static void walk_has_an_end(void **state)
{
    static char value[64 * 12];
    size_t len = 0;

    (void)state;
    for (int i = 0; i < 64; i++)
        len += (size_t)snprintf(value + len, sizeof value - len, "%s10.0.0.%d",
                                i > 0 ? "," : "", i);
    comes_from(value, "10.0.0.32", 0);
}

static void is_host(const char *host)
{
    assert_true(wsi_str_equal(said.host, wsi_str_of(host)));
}

static void host_and_scheme_are_those_that_the_nearest_proxy_saw(void **state)
{
    (void)state;
    field("X-Forwarded-For", "203.0.113.7");
    field("X-Forwarded-Host", "evil.example, a.example:8443");
    field("X-Forwarded-Proto", "http,HTTPS");
    read_head();
    is_host("a.example:8443");
    assert_true(said.has_scheme && said.is_secure);

    field("X-Forwarded-Host", "evil.example");
    field("X-Forwarded-Host", "[::1]:80");
    field("X-Forwarded-Proto", "ws");
    read_head();
    is_host("[::1]:80");
    assert_true(said.has_scheme);
    assert_false(said.is_secure);
    assert_false(said.has_ip);
}

static void of_more_proxies_the_farthest_says_host_and_scheme(void **state)
{
    (void)state;
    field("X-Forwarded-For", "198.51.100.1, 203.0.113.7, 10.0.0.2");
    field("X-Forwarded-Host", "evil.example, a.example, inner.example");
    field("X-Forwarded-Proto", "ftp, wss, http");
    read_head();
    is_host("a.example");
    assert_true(said.has_scheme && said.is_secure);
    /* Not each of them adds. */
    field("X-Forwarded-For", "203.0.113.7, 10.0.0.2");
    field("X-Forwarded-Host", "a.example");
    field("X-Forwarded-Proto", "https");
    read_head();
    is_host("a.example");
    assert_true(said.is_secure);
}

static void what_is_no_host_or_scheme_is_not_said(void **state)
{
    static const char *const hosts[] = {"", "a b", "a.example/", "a:x", "u@a", "\"a\""};

    (void)state;
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        field("X-Forwarded-Host", hosts[i]);
        field("X-Forwarded-Proto", hosts[i]);
        read_head();
        assert_int_equal(said.host.len, 0);
        assert_false(said.has_scheme || said.is_secure);
    }
    read_head();
    assert_false(said.has_ip || said.has_scheme || said.is_secure || said.host.len > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(walk_stops_at_the_first_who_is_not_trusted),
        TEST(walk_goes_on_in_the_field_before),
        TEST(addresses_are_read_in_every_spelling_of_proxies),
        TEST(what_is_no_address_ends_the_walk_before_it),
        TEST(walk_has_an_end),
        TEST(host_and_scheme_are_those_that_the_nearest_proxy_saw),
        TEST(of_more_proxies_the_farthest_says_host_and_scheme),
        TEST(what_is_no_host_or_scheme_is_not_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
