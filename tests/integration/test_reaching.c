/* SPDX-License-Identifier: MIT */
/* How clients get to their servers: over sockets that the program has connected, and from
 * addresses that it has chosen. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_nonblocking(int fd)
{
    return (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

/* ---- sockets that are given ---- */

static void given_socket_is_used_and_stays_the_programs(void **state)
{
    struct world world;
    struct side side = {0};
    wsock_client *client;
    wsock_conn *conn;
    int fd;

    (void)state;
    world_begin(&world, 2);
    world_listen(&world, NULL);
    client = world_client(&world, &side);
    /* What would have it go elsewhere does not count. */
    assert_int_equal(wsock_client_set(client, "proxy", "http://127.0.0.1:1"), 0);
    assert_int_equal(wsock_client_set(client, "resolve", "*:80:127.0.0.1:1"), 0);
    fd = raw_connect(world.url);
    assert_int_equal(wsock_client_connect_fd(client, &conn, fd), 0);
    assert_true(fcntl(fd, F_GETFD) >= 0);
    close(fd);
    await(&side.opened, 1);
    await(&world.side.opened, 1);
    assert_string_equal(wsock_conn_remote_address(conn), world.url + 5);
    assert_string_equal(wsock_conn_local_address(conn),
                        wsock_conn_remote_address(world.side.conn));
    world.side.echo = true;
    assert_int_equal(wsock_conn_send(conn, WSOCK_TEXT, "through", 7), 0);
    await(&side.messages, 1);
    assert_string_equal(side.data, "through");
    assert_int_equal(wsock_conn_close(conn, 1000, NULL), 0);
    await(&side.closed, 1);
    assert_int_equal(side.code, 1000);
    wsock_conn_unref(conn);
    side_fini(&side);
    wsock_client_unref(client);
    world_end(&world);
}

/* Two ends of one connection, the second as a server by hand. */
struct pair {
    wsock_runtime *runtime;
    wsock_client *client;
    struct side side;
    int fds[2];
};

static void pair_begin(struct pair *pair)
{
    memset(pair, 0, sizeof *pair);
    assert_int_equal(wsock_runtime_new(&pair->runtime), 0);
    assert_int_equal(wsock_runtime_client(pair->runtime, &pair->client, "ws://host/a?b"),
                     0);
    side_client(&pair->side, pair->client);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair->fds), 0);
}

static void pair_end(struct pair *pair)
{
    close(pair->fds[0]);
    close(pair->fds[1]);
    side_fini(&pair->side);
    wsock_client_unref(pair->client);
    assert_int_equal(wsock_runtime_free(pair->runtime), 0);
    harness_checked();
}

static void descriptor_that_the_program_keeps_is_not_closed(void **state)
{
    struct pair pair;
    char byte;

    (void)state;
    pair_begin(&pair);
    assert_int_equal(wsock_client_connect_fd(pair.client, NULL, pair.fds[0]), 0);
    raw_answer_open(pair.fds[1], "");
    await(&pair.side.opened, 1);
    assert_string_equal(wsock_conn_remote_address(pair.side.conn), "unix:");
    assert_int_equal(wsock_conn_reset(pair.side.conn), 0);
    await(&pair.side.closed, 1);
    assert_true(is_nonblocking(pair.fds[0]));
    /* It is cut off for the peer when the last descriptor is closed. */
    assert_int_equal(recv(pair.fds[1], &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    close(pair.fds[0]);
    assert_true(raw_is_ended(pair.fds[1]));
    pair.fds[0] = dup(pair.fds[1]);
    pair_end(&pair);
}

static void request_is_that_of_the_url(void **state)
{
    struct pair pair;
    char head[1024];

    (void)state;
    pair_begin(&pair);
    assert_int_equal(wsock_client_connect_fd(pair.client, NULL, pair.fds[0]), 0);
    raw_read_head(pair.fds[1], head, sizeof head);
    assert_memory_equal(head, "GET /a?b HTTP/1.1\r\nHost: host\r\n", 31);
    raw_text(pair.fds[1], "HTTP/1.1 302 Found\r\nLocation: /c\r\n"
                          "Content-Length: 0\r\n\r\n");
    await(&pair.side.closed, 1);
    assert_int_equal(pair.side.cause, WSOCK_CAUSE_REFUSED);
    assert_int_equal(pair.side.http_status, 302);
    pair_end(&pair);
}

static void redirect_needs_another_socket(void **state)
{
    struct pair pair;
    char head[1024];

    (void)state;
    pair_begin(&pair);
    assert_int_equal(wsock_client_set(pair.client, "max_redirects", "9"), 0);
    assert_int_equal(wsock_client_connect_fd(pair.client, NULL, pair.fds[0]), 0);
    raw_read_head(pair.fds[1], head, sizeof head);
    raw_text(pair.fds[1], "HTTP/1.1 302 Found\r\nLocation: /c\r\n"
                          "Content-Length: 0\r\n\r\n");
    await(&pair.side.closed, 1);
    assert_int_equal(pair.side.http_status, 302);
    assert_string_equal(pair.side.detail, "a redirect is not followed: there is no other "
                                          "socket than the one that was given");
    pair_end(&pair);
}

static void refused_fd(struct pair *pair, int fd, int code, const char *why)
{
    char expected[200];

    assert_int_equal(wsock_client_connect_fd(pair->client, NULL, fd), code);
    snprintf(expected, sizeof expected, "ws://host/a?b: the descriptor %d: %s", fd, why);
    assert_string_equal(wsock_client_error(pair->client), expected);
    assert_int_equal(told(&pair->side.closed), 0);
}

static void what_is_no_connected_stream_is_refused_and_left_alone(void **state)
{
    const int alone = socket(AF_INET, SOCK_STREAM, 0);
    struct pair pair;
    int pipes[2], packets[2];

    (void)state;
    pair_begin(&pair);
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, packets), 0);
    refused_fd(&pair, -1, WSOCK_EINVAL, "Bad file descriptor");
    refused_fd(&pair, INT_MAX, WSOCK_EINVAL, "Bad file descriptor");
    refused_fd(&pair, pipes[0], WSOCK_EINVAL, "Socket operation on non-socket");
    refused_fd(&pair, alone, WSOCK_EINVAL, "Transport endpoint is not connected");
    refused_fd(&pair, packets[0], WSOCK_EINVAL, "Protocol wrong type for socket");
    assert_int_equal(wsock_client_connect_fd(NULL, NULL, pair.fds[0]), WSOCK_EINVAL);
    assert_false(is_nonblocking(packets[0]) || is_nonblocking(alone));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(close(pipes[i]), 0);
        assert_int_equal(close(packets[i]), 0);
    }
    assert_int_equal(close(alone), 0);
    pair_end(&pair);
}

/* The count of open descriptors around each test tells of those that it forgets. */
static void socket_is_let_go_of_when_nothing_comes_of_it(void **state)
{
    struct pair pair;
    wsock_conn *conn;

    (void)state;
    pair_begin(&pair);
    assert_int_equal(wsock_client_connect_fd(pair.client, &conn, pair.fds[0]), 0);
    assert_int_equal(wsock_conn_close(conn, 1000, NULL), 0);
    await(&pair.side.closed, 1);
    assert_int_equal(pair.side.cause, WSOCK_CAUSE_RESET);
    wsock_conn_unref(conn);
    test_fail_allocation(1, true);
    assert_int_equal(wsock_client_connect_fd(pair.client, NULL, pair.fds[0]),
                     WSOCK_ENOMEM);
    test_stop_failing();
    wsock_runtime_stop(pair.runtime);
    assert_int_equal(wsock_client_connect_fd(pair.client, NULL, pair.fds[0]),
                     WSOCK_ECLOSED);
    assert_true(fcntl(pair.fds[0], F_GETFD) >= 0);
    pair_end(&pair);
}

static void socket_whose_peer_has_gone_is_a_connection_that_failed(void **state)
{
    struct pair pair;

    (void)state;
    pair_begin(&pair);
    close(pair.fds[1]);
    pair.fds[1] = dup(pair.fds[0]);
    assert_int_equal(shutdown(pair.fds[0], SHUT_WR), 0);
    assert_int_equal(wsock_client_connect_fd(pair.client, NULL, pair.fds[0]), 0);
    await(&pair.side.closed, 1);
    assert_int_equal(pair.side.cause, WSOCK_CAUSE_HANDSHAKE);
    pair_end(&pair);
}

/* ---- addresses of this machine ---- */

static void clients_come_from_the_address_that_is_set(void **state)
{
    struct world world;
    struct side side = {0};
    wsock_client *client;

    (void)state;
    world_begin(&world, 1);
    world_listen(&world, NULL);
    client = world_client(&world, &side);
    assert_int_equal(wsock_client_set(client, "local_address", "[::1], 127.0.0.9"), 0);
    world_connect(&world, client, &side);
    assert_memory_equal(wsock_conn_local_address(side.conn), "127.0.0.9:", 10);
    assert_string_equal(wsock_conn_remote_address(world.side.conn),
                        wsock_conn_local_address(side.conn));
    assert_int_equal(wsock_client_set(client, "local_address", "::1"), 0);
    assert_int_equal(wsock_client_connect(client, NULL), 0);
    await(&side.closed, 1);
    assert_int_equal(side.cause, WSOCK_CAUSE_CONNECT);
    assert_int_equal(side.sys_errno, EADDRNOTAVAIL);
    assert_int_equal(wsock_client_set(client, "local_address", ""), 0);
    side_fini(&side);
    world_connect(&world, client, &side);
    assert_memory_equal(wsock_conn_local_address(side.conn), "127.0.0.1:", 10);
    side_fini(&side);
    wsock_client_unref(client);
    world_end(&world);
}

static void unix_sockets_have_no_use_for_it(void **state)
{
    struct world world;
    struct side side = {0};
    wsock_client *client;
    char url[200];

    (void)state;
    snprintf(url, sizeof url, "ws+unix:%s", world_unix_path());
    world_begin(&world, 1);
    world_listen(&world, url);
    client = world_client(&world, &side);
    assert_int_equal(wsock_client_set(client, "local_address", "127.0.0.9"), 0);
    world_connect(&world, client, &side);
    side_fini(&side);
    wsock_client_unref(client);
    world_end(&world);
}

static void malformed_address_is_an_error_that_names_it(void **state)
{
    static const char *const bad[] = {
        "name", "127.0.0.1:x",    "127.0.0.1:0", "eth0", "127.0.0.1,256.0.0.1",
        "[::1", "127.0.0.1:70000"};
    struct pair pair;

    (void)state;
    pair_begin(&pair);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(wsock_client_set(pair.client, "local_address", bad[i]),
                         WSOCK_EINVAL);
        assert_non_null(strstr(wsock_client_error(pair.client), "local_address"));
    }
    assert_int_equal(
        wsock_client_set(pair.client, "local_address", "127.0.0.1:80,[::]:80"), 0);
    pair_end(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(given_socket_is_used_and_stays_the_programs),
        TEST(descriptor_that_the_program_keeps_is_not_closed),
        TEST(request_is_that_of_the_url),
        TEST(redirect_needs_another_socket),
        TEST(what_is_no_connected_stream_is_refused_and_left_alone),
        TEST(socket_is_let_go_of_when_nothing_comes_of_it),
        TEST(socket_whose_peer_has_gone_is_a_connection_that_failed),
        TEST(clients_come_from_the_address_that_is_set),
        TEST(unix_sockets_have_no_use_for_it),
        TEST(malformed_address_is_an_error_that_names_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
