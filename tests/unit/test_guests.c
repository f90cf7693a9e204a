/* SPDX-License-Identifier: MIT */
/* So many connections of one address, and not one more. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/guests.h"
#include "stage.h"

static struct wsi_guests guests;

static int enter(struct wsi_guest **out, const char *address, size_t limit)
{
    struct wsi_ip ip;

    assert_true(wsi_ip_parse(&ip, wsi_str_of(address)));
    return wsi_guests_enter(&guests, out, &ip, limit);
}

static void address_has_no_more_than_its_limit(void **state)
{
    struct wsi_guest *first, *second, *other, *more = NULL;

    (void)state;
    wsi_guests_init(&guests);
    assert_int_equal(enter(&first, "192.0.2.1", 2), 0);
    assert_int_equal(enter(&second, "192.0.2.1", 2), 0);
    assert_int_equal(enter(&more, "192.0.2.1", 2), WSOCK_EAGAIN);
    assert_null(more);
    assert_int_equal(enter(&other, "192.0.2.2", 2), 0);
    wsi_guests_leave(&guests, first);
    assert_int_equal(enter(&first, "192.0.2.1", 2), 0);
    wsi_guests_leave(&guests, first);
    wsi_guests_leave(&guests, second);
    wsi_guests_leave(&guests, other);
    assert_int_equal(guests.count, 0);
    wsi_guests_fini(&guests);
}

static void network_of_64_bits_is_one_address(void **state)
{
    struct wsi_guest *first, *other, *more;

    (void)state;
    wsi_guests_init(&guests);
    assert_int_equal(enter(&first, "2001:db8:0:1::1", 1), 0);
    assert_int_equal(enter(&more, "2001:db8:0:1:ffff::2", 1), WSOCK_EAGAIN);
    assert_int_equal(enter(&other, "2001:db8:0:2::1", 1), 0);
    wsi_guests_leave(&guests, first);
    wsi_guests_leave(&guests, other);
    wsi_guests_fini(&guests);
}

static void thousands_of_addresses_are_told_apart(void **state)
{
    enum { MANY = 5000 };
    static struct wsi_guest *all[MANY];
    struct wsi_guest *more;
    char address[32];

    (void)state;
    wsi_guests_init(&guests);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++) {
            snprintf(address, sizeof address, "10.0.%d.%d", i >> 8, i & 255);
            assert_int_equal(enter(&all[i], address, 1), 0);
        }
        for (int i = 0; i < MANY; i++) {
            snprintf(address, sizeof address, "10.0.%d.%d", i >> 8, i & 255);
            assert_int_equal(enter(&more, address, 1), WSOCK_EAGAIN);
        }
        for (int i = 0; i < MANY; i++)
            wsi_guests_leave(&guests, all[i]);
        assert_int_equal(guests.count, 0);
    }
    wsi_guests_fini(&guests);
}

static void counting_needs_memory(void **state)
{
    struct wsi_guest *guest;
    int r;

    (void)state;
    FOR_EACH_OOM(
        r,
        {
            wsi_guests_init(&guests);
            r = enter(&guest, "192.0.2.1", 1);
            if (r < 0)
                wsi_guests_fini(&guests);
        },
        {
            wsi_guests_leave(&guests, guest);
            wsi_guests_fini(&guests);
        });
}

/* ---- connections; the peer is 127.0.0.1:7 ---- */

#define REFUSED                                               \
    "HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\n" \
    "Content-Type: text/plain\r\nContent-Length: 39\r\n"      \
    "Retry-After: 1\r\n\r\ntoo many connections from this address\n"

static struct stage stage;
static struct script_peer peers[3];

static void begin(const char *name, const char *value)
{
    struct wsi_options *options = &stage.service.profile.options;

    stage_begin(&stage, 1);
    assert_int_equal(
        wsi_options_set_number(options, "max_connections_per_address", 1, true, NULL, 0),
        0);
    if (name != NULL)
        assert_int_equal(wsi_options_set(options, name, value, false, NULL, 0), 0);
    assert_int_equal(wsi_trust_load(&stage.service.trust, options), 0);
}

static void refused(struct script_peer *peer)
{
    stage_sent(peer, REFUSED);
    assert_true(script_fin(peer));
    peer->eof = true;
    stage_ended(&stage, peer);
}

/* A connection with a start of these bytes, and a field of these. */
static struct wsock_conn *ask(struct script_peer *peer, const char *start,
                              const char *field)
{
    struct wsock_conn *conn = stage_accept(&stage, peer, 0);

    script_feed(peer, start, strlen(start));
    script_feed(peer, stage_request, strlen(stage_request) - 2);
    script_feed(peer, field, strlen(field));
    script_feed(peer, "\r\n", 2);
    stage_settle(&stage);
    return conn;
}

static void end(struct wsock_conn *conn, struct script_peer *peer)
{
    stage_drop(&stage, conn, peer);
    free(stage.seen.text);
    stage.seen = (struct test_transcript){0};
    stage_end(&stage);
}

static void one_more_of_an_address_is_429_before_it_asks(void **state)
{
    struct wsock_conn *conn;

    (void)state;
    begin(NULL, NULL);
    conn = stage_accept_open(&stage, &peers[0]);
    stage_accept(&stage, &peers[1], 0);
    stage_settle(&stage);
    refused(&peers[1]);
    stage_drop(&stage, conn, &peers[0]);
    /* There is room again. */
    conn = stage_accept_open(&stage, &peers[2]);
    end(conn, &peers[2]);
}

static void address_of_a_proxy_header_counts(void **state)
{
    struct wsock_conn *conn, *other;

    (void)state;
    begin("proxy_protocol_from", "127.0.0.1");
    conn = ask(&peers[0], "PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n", "");
    assert_int_equal(wsi_conn_state(conn), WSI_CONN_OPEN);
    ask(&peers[1], "PROXY TCP4 192.0.2.7 192.0.2.1 3 4\r\n", "");
    refused(&peers[1]);
    other = ask(&peers[1], "PROXY TCP4 192.0.2.8 192.0.2.1 3 4\r\n", "");
    assert_int_equal(wsi_conn_state(other), WSI_CONN_OPEN);
    stage_drop(&stage, other, &peers[1]);
    end(conn, &peers[0]);
}

static void address_that_was_forwarded_counts(void **state)
{
    struct wsock_conn *conn, *other;

    (void)state;
    begin("trust_forwarded_from", "127.0.0.1");
    conn = ask(&peers[0], "", "X-Forwarded-For: 192.0.2.7\r\n");
    assert_int_equal(wsi_conn_state(conn), WSI_CONN_OPEN);
    ask(&peers[1], "", "X-Forwarded-For: 192.0.2.7\r\n");
    refused(&peers[1]);
    /* The proxy's own are not counted. */
    other = ask(&peers[1], "", "");
    assert_int_equal(wsi_conn_state(other), WSI_CONN_OPEN);
    stage_drop(&stage, other, &peers[1]);
    end(conn, &peers[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(address_has_no_more_than_its_limit),
        TEST(network_of_64_bits_is_one_address),
        TEST(thousands_of_addresses_are_told_apart),
        TEST(counting_needs_memory),
        TEST(one_more_of_an_address_is_429_before_it_asks),
        TEST(address_of_a_proxy_header_counts),
        TEST(address_that_was_forwarded_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
