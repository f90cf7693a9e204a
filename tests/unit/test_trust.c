/* SPDX-License-Identifier: MIT */
/* Who a client is, by the word of proxies that are listed and of nobody else. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/opening.h"
#include "stage.h"

#define PROXY_LINE "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n"
#define PROXY_V4                                                               \
    "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\x12\x67" \
    "\x01\xbb"
#define PROXY_LOCAL "\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0"

/* The peer is 127.0.0.1:7. */
static struct stage stage;
static struct script_peer peer;
static char warned[512];

static void on_log(int level, const char *subject, const char *text, void *user)
{
    (void)level;
    (void)subject;
    (void)user;
    snprintf(warned, sizeof warned, "%s", text);
}

static struct wsock_conn *begin(const char *proxy_protocol, const char *forwarded)
{
    struct wsi_options *options = &stage.service.profile.options;

    stage_begin(&stage, 1);
    warned[0] = '\0';
    assert_int_equal(wsi_log_set_hook(&stage.pool.log, on_log, NULL, NULL), 0);
    assert_int_equal(
        wsi_options_set(options, "proxy_protocol_from", proxy_protocol, false, NULL, 0),
        0);
    assert_int_equal(
        wsi_options_set(options, "trust_forwarded_from", forwarded, false, NULL, 0), 0);
    assert_int_equal(wsi_trust_load(&stage.service.trust, options), 0);
    return stage_accept(&stage, &peer, 0);
}

static void feed(const char *text)
{
    script_feed(&peer, text, strlen(text));
}

/* A request with these fields more, and the answer. */
static void ask(const char *fields)
{
    script_feed(&peer, stage_request, strlen(stage_request) - 2);
    feed(fields);
    feed("\r\n");
    stage_settle(&stage);
}

static void is_client(struct wsock_conn *conn, const char *remote)
{
    assert_int_equal(wsi_conn_state(conn), WSI_CONN_OPEN);
    assert_string_equal(wsi_facts_remote(conn->facts), remote);
    assert_string_equal(wsi_facts_peer(conn->facts), "127.0.0.1:7");
}

static void end(struct wsock_conn *conn)
{
    stage_drop(&stage, conn, &peer);
    stage_end(&stage);
}

/* ---- the PROXY header ---- */

static void listed_proxy_tells_the_client_by_a_header(void **state)
{
    struct wsock_conn *conn = begin("127.0.0.0/8", "");

    (void)state;
    feed(PROXY_LINE);
    ask("");
    is_client(conn, "192.0.2.7:4711");
    end(conn);

    conn = begin("::1, 127.0.0.1", "");
    script_feed(&peer, PROXY_V4, sizeof PROXY_V4 - 1);
    ask("");
    is_client(conn, "192.0.2.7:4711");
    end(conn);

    conn = begin("127.0.0.1", "");
    feed("PROXY TCP6 2001:db8::1 ::1 4711 443\r\n");
    ask("");
    is_client(conn, "[2001:db8::1]:4711");
    end(conn);
}

static void header_may_come_byte_by_byte(void **state)
{
    struct wsock_conn *conn = begin("127.0.0.1", "");

    (void)state;
    for (size_t i = 0; i < sizeof PROXY_LINE - 1; i++) {
        script_feed(&peer, &PROXY_LINE[i], 1);
        stage_settle(&stage);
    }
    for (size_t i = 0; stage_request[i] != '\0'; i++) {
        stage_sent(&peer, "");
        script_feed(&peer, &stage_request[i], 1);
        stage_settle(&stage);
    }
    stage_sent_bytes(&peer, stage_accepted, strlen(stage_accepted));
    is_client(conn, "192.0.2.7:4711");
    end(conn);
}

static void client_that_the_proxy_does_not_know_is_the_proxy(void **state)
{
    struct wsock_conn *conn = begin("127.0.0.1", "127.0.0.1");

    (void)state;
    feed("PROXY UNKNOWN\r\n");
    /* Nobody knows who wrote this field. */
    ask("X-Forwarded-For: 203.0.113.9\r\n");
    is_client(conn, "127.0.0.1:7");
    end(conn);

    conn = begin("127.0.0.1", "127.0.0.1");
    script_feed(&peer, PROXY_LOCAL, sizeof PROXY_LOCAL - 1);
    ask("X-Forwarded-For: 203.0.113.9\r\n");
    is_client(conn, "127.0.0.1:7");
    end(conn);
}

static void client_on_a_unix_socket_is_told(void **state)
{
    static const char start[] = "\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8";
    char block[216] = "/run/a\nb";
    struct wsock_conn *conn = begin("127.0.0.1", "unix:");

    (void)state;
    script_feed(&peer, start, sizeof start - 1);
    script_feed(&peer, block, sizeof block);
    ask("");
    is_client(conn, "unix:/run/a?b");
    end(conn);

    conn = begin("127.0.0.1", "unix:");
    memset(block, 0, sizeof block);
    script_feed(&peer, start, sizeof start - 1);
    script_feed(&peer, block, sizeof block);
    ask("X-Forwarded-For: 203.0.113.9\r\n");
    is_client(conn, "203.0.113.9");
    end(conn);

    conn = begin("127.0.0.1", "");
    memset(block, 'x', sizeof block);
    script_feed(&peer, start, sizeof start - 1);
    script_feed(&peer, block, sizeof block);
    ask("");
    is_client(conn, "unix:");
    end(conn);
}

static void listed_proxy_without_a_header_is_cut_off(void **state)
{
    (void)state;
    begin("127.0.0.1", "");
    ask("");
    stage_sent(&peer, "");
    stage_ended(&stage, &peer);
    stage_saw(&stage, "");
    assert_string_equal(warned, "127.0.0.1:7 is listed in proxy_protocol_from and cut "
                                "off: no PROXY header");
    stage_end(&stage);

    begin("127.0.0.1", "");
    feed("PROXY TCP4 192.0.2.7");
    stage_run(&stage, 9999);
    assert_int_equal(atomic_load(&stage.service.alive), 1);
    stage_run(&stage, 1);
    assert_int_equal(atomic_load(&stage.service.alive), 0);
    stage_sent(&peer, "");
    stage_ended(&stage, &peer);
    assert_string_equal(warned, "127.0.0.1:7 is listed in proxy_protocol_from and cut "
                                "off: no PROXY header came in time");
    stage_end(&stage);
}

/* That is how a proxy looks whether somebody listens. */
static void listed_proxy_may_leave_without_a_word(void **state)
{
    (void)state;
    begin("127.0.0.1", "");
    peer.eof = true;
    stage_settle(&stage);
    stage_ended(&stage, &peer);
    assert_string_equal(warned, "");
    stage_end(&stage);

    begin("127.0.0.1", "");
    feed("PROXY ");
    stage_settle(&stage);
    wsi_service_stop(&stage.service, 1000);
    stage_settle(&stage);
    stage_sent(&peer, "");
    stage_ended(&stage, &peer);
    assert_string_equal(warned, "");
    stage_end(&stage);
}

static void nobody_else_may_send_a_header(void **state)
{
    (void)state;
    begin("10.0.0.0/8, ::/0, unix:", "127.0.0.1");
    feed(PROXY_LINE);
    ask("");
    assert_memory_equal(peer.output.data, "HTTP/1.1 400 ", 13);
    peer.eof = true;
    stage_ended(&stage, &peer);
    stage_saw(&stage, "");
    stage_end(&stage);

    begin("", "");
    script_feed(&peer, PROXY_V4, sizeof PROXY_V4 - 1);
    ask("");
    assert_memory_equal(peer.output.data, "HTTP/1.1 400 ", 13);
    peer.eof = true;
    stage_ended(&stage, &peer);
    stage_end(&stage);
}

/* ---- forwarded fields ---- */

static void listed_proxy_tells_the_client_by_fields(void **state)
{
    struct wsock_conn *conn = begin("", "127.0.0.1");

    (void)state;
    ask("X-Forwarded-For: 198.51.100.1, 203.0.113.9\r\n"
        "X-Forwarded-Host: a.example:8443\r\n"
        "X-Forwarded-Proto: https\r\n");
    is_client(conn, "203.0.113.9");
    assert_string_equal(wsi_facts_host(conn->facts), "a.example:8443");
    assert_true(wsi_facts_is_secure(conn->facts));
    end(conn);

    conn = begin("", "127.0.0.1");
    ask("X-Forwarded-For: [2001:db8::1]:99\r\n");
    is_client(conn, "[2001:db8::1]:99");
    assert_string_equal(wsi_facts_host(conn->facts), "h");
    assert_false(wsi_facts_is_secure(conn->facts));
    end(conn);

    conn = begin("", "127.0.0.1");
    ask("X-Forwarded-For: 2001:db8::1\r\n");
    is_client(conn, "[2001:db8::1]");
    end(conn);

    conn = begin("", "127.0.0.1");
    ask("X-Forwarded-For: unknown\r\n");
    is_client(conn, "127.0.0.1:7");
    end(conn);
}

static void fields_of_nobody_else_are_believed(void **state)
{
    struct wsock_conn *conn = begin("", "10.0.0.0/8, ::/0, unix:");

    (void)state;
    ask("X-Forwarded-For: 203.0.113.9\r\n"
        "X-Forwarded-Host: a.example\r\n"
        "X-Forwarded-Proto: https\r\n");
    is_client(conn, "127.0.0.1:7");
    assert_string_equal(wsi_facts_host(conn->facts), "h");
    assert_false(wsi_facts_is_secure(conn->facts));
    end(conn);
}

static void fields_count_when_the_header_names_a_listed_proxy(void **state)
{
    struct wsock_conn *conn = begin("127.0.0.1", "192.0.2.0/24");

    (void)state;
    feed(PROXY_LINE);
    ask("X-Forwarded-For: 203.0.113.9, 192.0.2.8\r\n");
    is_client(conn, "203.0.113.9");
    end(conn);

    /* The one in front is no proxy of HTTP, or it would not send the client's field. */
    conn = begin("127.0.0.1", "127.0.0.1");
    feed(PROXY_LINE);
    ask("X-Forwarded-For: 203.0.113.9\r\n");
    is_client(conn, "192.0.2.7:4711");
    end(conn);
}

static int status_of_origin(const char *forwarded, const char *fields)
{
    int status;

    begin("", forwarded);
    ask(fields);
    status = atoi((const char *)peer.output.data + 9);
    peer.eof = true;
    stage_ended(&stage, &peer);
    free(stage.seen.text);
    stage.seen = (struct test_transcript){0};
    stage_end(&stage);
    return status;
}

static void origin_is_compared_with_the_host_that_was_asked_for(void **state)
{
    static const char same[] = "Origin: https://a.example\r\n"
                               "X-Forwarded-Host: a.example\r\n";
    static const char port[] = "Origin: https://a.example:8443\r\n"
                               "X-Forwarded-Host: a.example\r\n";
    static const char inner[] = "Origin: http://h\r\n"
                                "X-Forwarded-Host: a.example\r\n";
    static const char plain[] = "Origin: http://a.example\r\n"
                                "X-Forwarded-Host: a.example\r\n"
                                "X-Forwarded-Proto: http\r\n";
    static const char tls[] = "Origin: http://a.example\r\n"
                              "X-Forwarded-Host: a.example\r\n"
                              "X-Forwarded-Proto: https\r\n";

    (void)state;
    assert_int_equal(status_of_origin("127.0.0.1", same), 101);
    assert_int_equal(status_of_origin("127.0.0.1", port), 403);
    assert_int_equal(status_of_origin("127.0.0.1", inner), 403);
    assert_int_equal(status_of_origin("127.0.0.1", plain), 101);
    assert_int_equal(status_of_origin("127.0.0.1", tls), 403);
    assert_int_equal(status_of_origin("", same), 403);
    assert_int_equal(status_of_origin("", inner), 101);
}

/* What it may bring along, see test_filter.c. */
static void header_before_tls_counts_as_a_handshake(void **state)
{
    struct wsock_conn *plain = begin("127.0.0.1", ""), *secure;
    struct script_peer other;
    struct wsi_arrival arrival = {.fd = script_peer_init(&stage.script[0], &other),
                                  .secure = true};

    (void)state;
    assert_true(wsi_address_numeric(&arrival.peer, "127.0.0.1", 7));
    wsi_service_adopt(&stage.service, stage.worker, &arrival);
    secure = WSI_CONTAINER_OF(stage.worker->conns.prev, struct wsock_conn, node);
    assert_false(plain->stream.expects_filter);
    assert_true(secure->stream.expects_filter);
    stage_drop(&stage, secure, &other);
    end(plain);
}

static void client_needs_memory(void **state)
{
    (void)state;
    begin("127.0.0.1", "");
    feed("PROXY TCP4 192.0.2.7");
    stage_settle(&stage);
    feed(&PROXY_LINE[20]);
    test_fail_allocation(1, 0);
    stage_settle(&stage);
    assert_int_equal(test_stop_failing(), 1);
    stage_sent(&peer, "");
    stage_ended(&stage, &peer);
    assert_string_equal(warned, "");
    stage_end(&stage);
}

static void lists_need_memory(void **state)
{
    struct wsi_trust trust = {0};
    struct wsi_options *options = &stage.service.profile.options;
    int r;

    (void)state;
    stage_begin(&stage, 1);
    assert_int_equal(
        wsi_options_set(options, "proxy_protocol_from", "::1", false, NULL, 0), 0);
    assert_int_equal(
        wsi_options_set(options, "trust_forwarded_from", "::1", false, NULL, 0), 0);
    FOR_EACH_OOM(r, r = wsi_trust_load(&trust, options), wsi_trust_fini(&trust));
    stage_end(&stage);
}

static void malformed_network_is_an_error_that_names_it(void **state)
{
    char why[WSI_OPTION_WHY_SIZE];

    (void)state;
    stage_begin(&stage, 1);
    assert_int_equal(wsi_options_set(&stage.service.profile.options,
                                     "trust_forwarded_from", "::1, 10.0.0.1/8", false,
                                     why, sizeof why),
                     WSOCK_EINVAL);
    assert_string_equal(why, "option \"trust_forwarded_from\": \"10.0.0.1/8\": the "
                             "address has bits set behind the prefix");
    assert_int_equal(wsi_options_set(&stage.service.profile.options,
                                     "proxy_protocol_from", "localhost", false, why,
                                     sizeof why),
                     WSOCK_EINVAL);
    stage_end(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(listed_proxy_tells_the_client_by_a_header),
        TEST(header_may_come_byte_by_byte),
        TEST(client_that_the_proxy_does_not_know_is_the_proxy),
        TEST(client_on_a_unix_socket_is_told),
        TEST(listed_proxy_without_a_header_is_cut_off),
        TEST(listed_proxy_may_leave_without_a_word),
        TEST(nobody_else_may_send_a_header),
        TEST(listed_proxy_tells_the_client_by_fields),
        TEST(fields_of_nobody_else_are_believed),
        TEST(fields_count_when_the_header_names_a_listed_proxy),
        TEST(origin_is_compared_with_the_host_that_was_asked_for),
        TEST(header_before_tls_counts_as_a_handshake),
        TEST(client_needs_memory),
        TEST(lists_need_memory),
        TEST(malformed_network_is_an_error_that_names_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
