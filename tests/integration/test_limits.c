/* SPDX-License-Identifier: MIT */
/* The limits that protect: each acts when it is exceeded, and those that are live act on
 * connections that are open already. */
#include "harness.h"

#include <stdlib.h>
#include <unistd.h>

/* A server with one open connection; the option is set before, or behind the open. */
struct one {
    struct world world;
    int fd;
};

static void one_begin(struct one *one, bool live, const char *option, const char *value)
{
    world_begin(&one->world, 1);
    if (!live)
        assert_int_equal(wsock_server_set(one->world.server, option, value), 0);
    world_listen(&one->world, NULL);
    one->fd = raw_open(one->world.url);
    await(&one->world.side.opened, 1);
    if (live)
        assert_int_equal(wsock_server_set(one->world.server, option, value), 0);
}

static void one_end(struct one *one, int cause)
{
    close(one->fd);
    await(&one->world.side.closed, 1);
    assert_int_equal(one->world.side.cause, cause);
    world_end(&one->world);
}

/* Set before the open, and live. */
static void each_way(const char *option, const char *value, void (*act)(struct one *),
                     int cause)
{
    for (int live = 0; live < 2; live++) {
        struct one one;

        one_begin(&one, live != 0, option, value);
        act(&one);
        one_end(&one, cause);
    }
}

static void act_messages_have_a_largest_size(struct one *one)
{
    char data[200] = {0};

    raw_frame(one->fd, 0x82, data, 100);
    raw_frame(one->fd, 0x02, data, 60);
    raw_frame(one->fd, 0x80, data, 41);
    assert_int_equal(raw_receive_close(one->fd), 1009);
}

static void messages_have_a_largest_size(void **state)
{
    (void)state;
    each_way("max_message_bytes", "100", act_messages_have_a_largest_size,
             WSOCK_CAUSE_LIMIT);
}

static void act_messages_have_a_largest_number_of_fragments(struct one *one)
{
    raw_frame(one->fd, 0x02, "a", 1);
    raw_frame(one->fd, 0x00, "b", 1);
    raw_frame(one->fd, 0x80, "c", 1);
    await(&one->world.side.messages, 1);
    raw_frame(one->fd, 0x02, "a", 1);
    for (int i = 0; i < 3; i++)
        raw_frame(one->fd, 0x00, "b", 1);
    assert_int_equal(raw_receive_close(one->fd), 1008);
}

static void messages_have_a_largest_number_of_fragments(void **state)
{
    (void)state;
    each_way("max_fragments", "3", act_messages_have_a_largest_number_of_fragments,
             WSOCK_CAUSE_LIMIT);
}

static void act_messages_have_a_rate(struct one *one)
{
    for (int i = 0; i < 10; i++)
        raw_frame(one->fd, 0x81, "x", 1);
    await(&one->world.side.messages, 10);
    for (int i = 0; i < 200; i++)
        raw_frame(one->fd, i % 2 ? 0x89 : 0x81, "x", 1);
    assert_int_equal(raw_receive_close(one->fd), 1008);
}

static void messages_have_a_rate(void **state)
{
    (void)state;
    each_way("max_message_rate", "10", act_messages_have_a_rate, WSOCK_CAUSE_LIMIT);
}

static void act_bytes_have_a_rate(struct one *one)
{
    char data[1000] = {0};

    for (int i = 0; i < 5; i++)
        raw_frame(one->fd, 0x82, data, 1000);
    await(&one->world.side.messages, 5);
    for (int i = 0; i < 100; i++)
        raw_frame(one->fd, 0x82, data, 1000);
    assert_int_equal(raw_receive_close(one->fd), 1008);
}

static void bytes_have_a_rate(void **state)
{
    (void)state;
    each_way("max_byte_rate", "5000", act_bytes_have_a_rate, WSOCK_CAUSE_LIMIT);
}

static void act_silence_ends_a_connection(struct one *one)
{
    assert_int_equal(raw_receive_close(one->fd), 1006);
}

static void silence_ends_a_connection(void **state)
{
    (void)state;
    each_way("idle_timeout", "100ms", act_silence_ends_a_connection, WSOCK_CAUSE_IDLE);
}

static void act_pings_ask_whether_the_peer_is_there(struct one *one)
{
    char data[8];
    size_t len;

    for (int i = 0; i < 3; i++) {
        assert_int_equal(raw_receive(one->fd, data, sizeof data, &len), 0x89);
        raw_frame(one->fd, 0x8a, data, len);
    }
}

static void pings_ask_whether_the_peer_is_there(void **state)
{
    (void)state;
    each_way("ping_interval", "20ms", act_pings_ask_whether_the_peer_is_there,
             WSOCK_CAUSE_LOST);
}

static void answered_pings_keep_an_idle_connection(void **state)
{
    struct one one;
    char data[8];
    size_t len;

    (void)state;
    world_begin(&one.world, 1);
    assert_int_equal(wsock_server_set(one.world.server, "ping_interval", "50ms"), 0);
    assert_int_equal(wsock_server_set(one.world.server, "idle_timeout", "400ms"), 0);
    world_listen(&one.world, NULL);
    one.fd = raw_open(one.world.url);
    for (int64_t began = now_ms(); now_ms() - began < 900;) {
        assert_int_equal(raw_receive(one.fd, data, sizeof data, &len), 0x89);
        raw_frame(one.fd, 0x8a, data, len);
    }
    assert_int_equal(told(&one.world.side.closed), 0);
    one_end(&one, WSOCK_CAUSE_LOST);
}

static void act_closing_takes_no_longer_than_allowed(struct one *one)
{
    assert_int_equal(wsock_conn_close(one->world.side.conn, 1000, NULL), 0);
    assert_int_equal(raw_receive_close(one->fd), 1000);
    assert_true(raw_is_ended(one->fd));
}

static void closing_takes_no_longer_than_allowed(void **state)
{
    (void)state;
    each_way("close_timeout", "100ms", act_closing_takes_no_longer_than_allowed,
             WSOCK_CAUSE_CLOSE_TIMEOUT);
}

static void act_peer_that_takes_nothing_is_cut_off(struct one *one)
{
    char *data = calloc(1, 1000000);

    assert_non_null(data);
    int r;

    do
        r = wsock_conn_send(one->world.side.conn, WSOCK_BINARY, data, 1000000);
    while (r == 0 || r == WSOCK_EAGAIN);
    assert_int_equal(r, WSOCK_ECLOSED);
    free(data);
}

static void peer_that_takes_nothing_is_cut_off(void **state)
{
    (void)state;
    each_way("write_timeout", "100ms", act_peer_that_takes_nothing_is_cut_off,
             WSOCK_CAUSE_WRITE_STALL);
}

static void act_backlog_has_a_mark(struct one *one)
{
    char data[1000] = {0};
    int r;

    size_t sent = 0;

    while ((r = wsock_conn_send(one->world.side.conn, WSOCK_BINARY, data, 1000)) == 0)
        sent++;
    assert_int_equal(r, WSOCK_EAGAIN);
    assert_true(sent >= 3);
}

static void backlog_has_a_mark(void **state)
{
    (void)state;
    each_way("max_backlog_bytes", "3000", act_backlog_has_a_mark, WSOCK_CAUSE_LOST);
}

static void act_connections_have_a_largest_number_of_rooms(struct one *one)
{
    wsock_room *rooms[3];

    const int want[] = {0, 0, WSOCK_ETOOBIG};

    for (int i = 0; i < 3; i++) {
        const char name[2] = {(char)('a' + i)};

        assert_int_equal(wsock_server_room(one->world.server, &rooms[i], name), 0);
        assert_int_equal(wsock_room_join(rooms[i], one->world.side.conn), want[i]);
    }
    assert_int_equal(wsock_room_leave(rooms[0], one->world.side.conn), 0);
    assert_int_equal(wsock_room_join(rooms[2], one->world.side.conn), 0);
    for (int i = 0; i < 3; i++)
        wsock_room_unref(rooms[i]);
}

static void connections_have_a_largest_number_of_rooms(void **state)
{
    (void)state;
    each_way("max_rooms_per_connection", "2",
             act_connections_have_a_largest_number_of_rooms, WSOCK_CAUSE_LOST);
}

static void heads_have_limits_that_change_live(void **state)
{
    static const char request[] = "GET /x HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\nE: f\r\n"
                                  "G: h\r\nI: j\r\nK: l\r\nM: n\r\nO: p\r\n\r\n";
    struct world world;
    char answer[1024], big[2000];

    (void)state;
    snprintf(big, sizeof big, "GET /x HTTP/1.1\r\nHost: a\r\nA: %01500d\r\n\r\n", 0);
    world_begin(&world, 1);
    world_listen(&world, NULL);
    assert_int_equal(raw_http(world.url, request, answer, sizeof answer), 404);
    assert_int_equal(wsock_server_set(world.server, "max_headers", "8"), 0);
    assert_int_equal(raw_http(world.url, request, answer, sizeof answer), 431);
    assert_int_equal(raw_http(world.url, big, answer, sizeof answer), 404);
    assert_int_equal(wsock_server_set(world.server, "max_head_bytes", "1KiB"), 0);
    assert_int_equal(raw_http(world.url, big, answer, sizeof answer), 431);
    world_end(&world);
}

static void memory_of_all_connections_is_bounded(void **state)
{
    enum { HOGS = 6 };
    struct world world;
    int fds[HOGS], good;
    char *data = calloc(1, 900000);

    (void)state;
    assert_non_null(data);
    world_begin(&world, 2);
    assert_int_equal(wsock_runtime_set(world.runtime, "max_buffered_bytes", "2MiB"), 0);
    world.side.echo = true;
    world_listen(&world, NULL);
    /* Each begins a message that is not finished, and keeps what it has sent in memory.
     */
    for (int i = 0; i < HOGS; i++) {
        fds[i] = raw_open(world.url);
        raw_frame_header(fds[i], 0x82, 1000000);
        raw_send(fds[i], data, 900000);
    }
    await(&world.side.closed, 1);
    assert_int_equal(told(&world.side.cause), WSOCK_CAUSE_OVERLOAD);
    /* Others go on: reading was only paused. */
    good = raw_open(world.url);
    raw_frame(good, 0x81, "good", 4);
    assert_int_equal(raw_receive(good, data, 10, &(size_t){0}), 0x81);
    assert_true(told(&world.side.closed) < HOGS);
    close(good);
    for (int i = 0; i < HOGS; i++)
        close(fds[i]);
    free(data);
    world_end(&world);
    assert_int_equal(world.side.closed, HOGS + 1);
}

static void client_has_the_same_limits(void **state)
{
    struct world world;
    struct side side = {0};
    wsock_client *client;
    char data[101] = {0};

    (void)state;
    world_begin(&world, 2);
    world_listen(&world, NULL);
    client = world_client(&world, &side);
    world_connect(&world, client, &side);
    assert_int_equal(wsock_client_set(client, "max_message_bytes", "100"), 0);
    assert_int_equal(wsock_conn_send(world.side.conn, WSOCK_BINARY, data, 101), 0);
    await(&side.closed, 1);
    assert_int_equal(side.cause, WSOCK_CAUSE_LIMIT);
    assert_int_equal(side.code, 1009);
    await(&world.side.closed, 1);
    assert_int_equal(world.side.code, 1009);
    assert_int_equal(wsock_client_set(client, "idle_timeout", "100ms"), 0);
    world_connect(&world, client, &side);
    await(&side.closed, 2);
    assert_int_equal(side.cause, WSOCK_CAUSE_IDLE);
    side_fini(&side);
    wsock_client_unref(client);
    world_end(&world);
}

static void options_that_are_not_live_are_fixed(void **state)
{
    struct world world;
    char text[64];

    (void)state;
    world_begin(&world, 1);
    world_listen(&world, NULL);
    assert_int_equal(wsock_server_set(world.server, "reuse_port", "yes"), WSOCK_EBUSY);
    assert_int_equal(wsock_server_set(world.server, "www", "/tmp"), WSOCK_EBUSY);
    assert_int_equal(wsock_runtime_set(world.runtime, "workers", "3"), WSOCK_EBUSY);
    assert_int_equal(wsock_server_set(world.server, "idle_timout", "1s"), WSOCK_EOPTION);
    assert_non_null(strstr(wsock_server_error(world.server), "idle_timeout"));
    assert_int_equal(wsock_server_set(world.server, "close_timeout", "0"), WSOCK_ERANGE);
    assert_int_equal(wsock_server_set(world.server, "close_timeout", "soon"),
                     WSOCK_EINVAL);
    assert_true(
        wsock_server_get_string(world.server, text, sizeof text, "close_timeout") > 0);
    assert_string_equal(text, "5 s");
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(messages_have_a_largest_size),
        TEST(messages_have_a_largest_number_of_fragments),
        TEST(messages_have_a_rate),
        TEST(bytes_have_a_rate),
        TEST(silence_ends_a_connection),
        TEST(pings_ask_whether_the_peer_is_there),
        TEST(answered_pings_keep_an_idle_connection),
        TEST(closing_takes_no_longer_than_allowed),
        TEST(peer_that_takes_nothing_is_cut_off),
        TEST(backlog_has_a_mark),
        TEST(connections_have_a_largest_number_of_rooms),
        TEST(heads_have_limits_that_change_live),
        TEST(memory_of_all_connections_is_bounded),
        TEST(client_has_the_same_limits),
        TEST(options_that_are_not_live_are_fixed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
