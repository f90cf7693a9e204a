/* SPDX-License-Identifier: MIT */
/* Addresses as values, and lists of networks. */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "proto/ip.h"

/* ---- addresses ---- */

static void is(const char *text, const uint8_t bytes[16])
{
    struct wsi_ip ip;

    if (!wsi_ip_parse(&ip, wsi_str_of(text)))
        fail_msg("%s is refused", text);
    assert_memory_equal(ip.bytes, bytes, 16);
}

static void address_has_its_bytes(void **state)
{
    (void)state;
    is("192.0.2.255",
       (const uint8_t[]){0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 255});
    is("::ffff:192.0.2.255",
       (const uint8_t[]){0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 255});
    is("::", (const uint8_t[16]){0});
    is("::1", (const uint8_t[16]){[15] = 1});
    is("1::", (const uint8_t[16]){[1] = 1});
    is("2001:dB8::a:B", (const uint8_t[16]){0x20, 1, 0x0d, 0xb8, [13] = 10, [15] = 11});
    is("1:2:3:4:5:6:7:8",
       (const uint8_t[16]){0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8});
    is("1:2:3:4:5:6:7::", (const uint8_t[16]){0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7});
    is("::2:3:4:5:6:7:8",
       (const uint8_t[16]){0, 0, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8});
    is("1:2:3:4:5:6:7.8.9.10",
       (const uint8_t[16]){0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 7, 8, 9, 10});
    is("ffff::1.2.3.4", (const uint8_t[16]){0xff, 0xff, [12] = 1, 2, 3, 4});
}

static void what_is_no_address_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "1",
        "1.2.3",
        "1.2.3.4.",
        "1.2.3.4.5",
        "1.2.3.256",
        "01.2.3.4",
        "1.2.3.4 ",
        " 1.2.3.4",
        "1.2.3.4:5",
        "0x1.2.3.4",
        ":",
        ":::",
        "::1::",
        "1:2",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1::2:3:4:5:6:7:8",
        "::1:2:3:4:5:6:7:8",
        "12345::",
        "::1:",
        ":1::",
        "::g",
        "[::1]",
        "fe80::1%1",
        "::1.2.3",
        "1.2.3.4::",
        "1:2:3:4:5:6:7:1.2.3.4",
        "::1.2.3.4:5",
    };
    struct wsi_ip ip;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (wsi_ip_parse(&ip, wsi_str_of(bad[i])))
            fail_msg("\"%s\" is taken", bad[i]);
}

/* ---- networks ---- */

static bool has(const char *list, const char *address)
{
    struct wsi_networks networks;
    struct wsi_list_error error;
    struct wsi_ip ip;
    bool found;

    if (wsi_networks_parse(&networks, wsi_str_of(list), &error) < 0)
        fail_msg("%.*s: %s", (int)error.element.len, error.element.ptr, error.why);
    assert_true(wsi_ip_parse(&ip, wsi_str_of(address)));
    found = wsi_networks_have(&networks, &ip);
    wsi_networks_fini(&networks);
    return found;
}

static void network_has_what_its_prefix_says(void **state)
{
    (void)state;
    assert_true(has("192.0.2.1", "192.0.2.1"));
    assert_false(has("192.0.2.1", "192.0.2.0"));
    assert_true(has("10.0.0.0/8", "10.255.255.255"));
    assert_false(has("10.0.0.0/8", "11.0.0.0"));
    assert_true(has("172.16.0.0/12", "172.31.255.255"));
    assert_false(has("172.16.0.0/12", "172.32.0.0"));
    assert_true(has("192.0.2.128/25", "192.0.2.255"));
    assert_false(has("192.0.2.128/25", "192.0.2.127"));
    assert_true(has("192.0.2.7/32", "192.0.2.7"));
    assert_false(has("192.0.2.7/32", "192.0.2.6"));
    assert_true(has("2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(has("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(has("::1", "::1"));
    assert_false(has("::1", "::2"));
    assert_true(has(" 10.0.0.0/8 ,, ::1,", "::1"));
    assert_false(has("", "::1"));
}

static void families_are_apart(void **state)
{
    (void)state;
    assert_true(has("0.0.0.0/0", "255.255.255.255"));
    assert_false(has("0.0.0.0/0", "::1"));
    assert_true(has("::/0", "2001:db8::1"));
    assert_false(has("::/0", "192.0.2.1"));
    assert_false(has("::/64", "192.0.2.1"));
    /* However it is written, it is an address of IPv4. */
    assert_true(has("::ffff:10.0.0.0/104", "10.1.2.3"));
    assert_true(has("10.0.0.0/8", "::ffff:10.1.2.3"));
    assert_true(has("::ffff:0:0/96", "10.1.2.3"));
}

static void unix_sockets_are_named_apart(void **state)
{
    struct wsi_networks networks;
    struct wsi_list_error error;

    (void)state;
    assert_int_equal(wsi_networks_parse(&networks, WSI_STR("unix:"), &error), 0);
    assert_true(networks.has_unix);
    assert_int_equal(networks.count, 0);
    wsi_networks_fini(&networks);
    assert_int_equal(wsi_networks_parse(&networks, WSI_STR("::1,UNIX:,1.2.3.4"), &error),
                     0);
    assert_true(networks.has_unix);
    assert_int_equal(networks.count, 2);
    wsi_networks_fini(&networks);
    assert_int_equal(wsi_networks_parse(&networks, WSI_STR("0.0.0.0/0"), &error), 0);
    assert_false(networks.has_unix);
    wsi_networks_fini(&networks);
}

static void malformed_element_is_named(void **state)
{
    static const char *const bad[] = {
        "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/",          "10.0.0.0/08", "10.0.0.0/-1",
        "::/129",     "::1/64",      "10.0.0.0/8/8",       "localhost",   "unix:/run/x",
        "unix",       "[::1]",       "10.0.0.0/255.0.0.0", "*",           "10.0.0.0 /8",
    };
    char list[128];

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct wsi_networks networks;
        struct wsi_list_error error = {0};

        snprintf(list, sizeof list, "::1, %s, 127.0.0.1", bad[i]);
        assert_int_equal(wsi_networks_parse(&networks, wsi_str_of(list), &error),
                         WSOCK_EINVAL);
        if (!wsi_str_equal(error.element, wsi_str_of(bad[i])))
            fail_msg("\"%.*s\" is named for \"%s\"", (int)error.element.len,
                     error.element.ptr, bad[i]);
        assert_non_null(error.why);
    }
}

static void list_needs_memory(void **state)
{
    struct wsi_networks networks;
    struct wsi_list_error error;
    int r;

    (void)state;
    FOR_EACH_OOM(r, r = wsi_networks_parse(&networks, WSI_STR("::1,10.0.0.0/8"), &error),
                 wsi_networks_fini(&networks));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(address_has_its_bytes),
        TEST(what_is_no_address_is_refused),
        TEST(network_has_what_its_prefix_says),
        TEST(families_are_apart),
        TEST(unix_sockets_are_named_apart),
        TEST(malformed_element_is_named),
        TEST(list_needs_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
