/* SPDX-License-Identifier: MIT */
/* Stopping where it is hard to: without memory, without threads, under a slow reader; and
 * what a call may do while another one is on its way. */
#include "harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <wsock/wsock.h>

enum { PATIENCE_MS = 10 * 1000 };

struct made {
    wsock_runtime *runtime;
    wsock_server *server;
    wsock_endpoint *endpoint;
    char url[128];
};

static void make(struct made *world)
{
    assert_int_equal(wsock_runtime_new(&world->runtime), 0);
    assert_int_equal(wsock_runtime_set(world->runtime, "workers", "2"), 0);
    assert_int_equal(wsock_server_new(world->runtime, &world->server), 0);
    assert_int_equal(wsock_server_endpoint(world->server, &world->endpoint, "/"), 0);
}

static void begin(struct made *world)
{
    assert_int_equal(wsock_server_listen(world->server, "ws://127.0.0.1:0"), 0);
    assert_true(wsock_server_url(world->server, world->url, sizeof world->url, 0) > 0);
}

static void end(struct made *world)
{
    wsock_endpoint_unref(world->endpoint);
    wsock_server_free(world->server);
    assert_int_equal(wsock_runtime_free(world->runtime), 0);
}

/* A plain socket to the server that has sent a request. */
static int ask(const struct made *world, const char *request)
{
    const int small = 4096;
    struct sockaddr_in to = {.sin_family = AF_INET};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons((uint16_t)atoi(strrchr(world->url, ':') + 1));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(write(fd, request, strlen(request)), (ssize_t)strlen(request));
    return fd;
}

static void a_server_stops_without_memory(void **state)
{
    struct made world;

    (void)state;
    make(&world);
    begin(&world);
    test_fail_allocation(1, 1);
    wsock_server_stop(world.server);
    wsock_runtime_stop(world.runtime);
    assert_int_equal(wsock_server_wait(world.server, PATIENCE_MS), 0);
    test_stop_failing();
    end(&world);
}

static int answers[2];

static void on_stopped(wsock_server *server, void *user)
{
    answers[0] = wsock_server_wait(server, -1);
    answers[1] = wsock_runtime_free(user);
}

static void on_stopped_may_not_wait_without_threads_either(void **state)
{
    struct made world;

    (void)state;
    make(&world);
    wsock_server_on_stopped(world.server, on_stopped, world.runtime, NULL);
    end(&world);
    assert_int_equal(answers[0], WSOCK_EDEADLK);
    assert_int_equal(answers[1], WSOCK_EDEADLK);
}

static int freed;

static void on_free(void *user)
{
    struct made *world = user;

    wsock_server_url(world->server, world->url, sizeof world->url, 0);
    tell(&freed);
}

static void ignore(wsock_conn *conn, void *user)
{
    (void)conn;
    (void)user;
}

static void a_free_function_may_use_the_server(void **state)
{
    struct made world;

    (void)state;
    make(&world);
    assert_int_equal(wsock_endpoint_on_open(world.endpoint, ignore, &world, on_free), 0);
    end(&world);
    assert_int_equal(freed, 1);
}

static void a_listener_that_failed_fixes_nothing(void **state)
{
    struct made first, second;

    (void)state;
    make(&first);
    begin(&first);
    make(&second);
    assert_int_equal(wsock_server_listen(second.server, first.url), WSOCK_EADDRINUSE);
    assert_int_equal(wsock_server_endpoint(second.server, NULL, "/more"), 0);
    assert_int_equal(wsock_server_set(second.server, "reuse_port", "on"), 0);
    begin(&second);
    assert_int_equal(wsock_server_endpoint(second.server, NULL, "/late"), WSOCK_EBUSY);
    end(&second);
    end(&first);
}

static int opened, messages, closed, no_memory;

static void greet(wsock_conn *conn, void *user)
{
    (void)user;
    wsock_conn_send(conn, WSOCK_TEXT, "hello", 5);
}

static void on_open(wsock_conn *conn, void *user)
{
    (void)conn;
    (void)user;
    tell(&opened);
}

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    (void)conn;
    (void)type;
    (void)data;
    (void)len;
    (void)user;
    tell(&messages);
}

static void a_pause_before_open_does_not_hold_the_handshake(void **state)
{
    struct made world;
    wsock_client *client;
    wsock_conn *conn;

    (void)state;
    opened = messages = 0;
    make(&world);
    wsock_endpoint_on_open(world.endpoint, greet, NULL, NULL);
    begin(&world);
    assert_int_equal(wsock_runtime_client(world.runtime, &client, world.url), 0);
    wsock_client_on_open(client, on_open, NULL, NULL);
    wsock_client_on_message(client, on_message, NULL, NULL);
    assert_int_equal(wsock_client_connect(client, &conn), 0);
    assert_int_equal(wsock_conn_pause_read(conn), 0);
    await(&opened, 1);
    assert_int_equal(wsock_conn_resume_read(conn), 0);
    await(&messages, 1);
    wsock_conn_unref(conn);
    wsock_client_unref(client);
    end(&world);
}

static void reset(wsock_conn *conn, int type, const void *data, size_t len, void *user)
{
    (void)type;
    (void)data;
    (void)len;
    (void)user;
    wsock_conn_reset(conn);
}

static void on_close(wsock_conn *conn, const wsock_close_info *info, void *user)
{
    (void)conn;
    (void)user;
    if (info->cause == WSOCK_CAUSE_NO_MEMORY)
        tell(&no_memory);
    tell(&closed);
}

static void a_reset_under_a_sender_is_no_want_of_memory(void **state)
{
    struct made world;
    wsock_client *client;
    wsock_conn *conn;

    (void)state;
    opened = 0;
    make(&world);
    wsock_endpoint_on_message(world.endpoint, reset, NULL, NULL);
    begin(&world);
    assert_int_equal(wsock_runtime_client(world.runtime, &client, world.url), 0);
    wsock_client_on_open(client, on_open, NULL, NULL);
    wsock_client_on_close(client, on_close, NULL, NULL);
    for (int i = 0; i < 400; i++) {
        int r = 0;

        assert_int_equal(wsock_client_connect(client, &conn), 0);
        await(&opened, i + 1);
        while (r == 0 || r == WSOCK_EAGAIN)
            r = wsock_conn_send(conn, WSOCK_TEXT, "more", 4);
        assert_int_equal(r, WSOCK_ECLOSED);
        wsock_conn_unref(conn);
    }
    await(&closed, 400);
    assert_int_equal(no_memory, 0);
    wsock_client_unref(client);
    end(&world);
}

static void ids_differ_between_runtimes(void **state)
{
    wsock_runtime *runtimes[2];
    wsock_client *clients[2];
    wsock_conn *conns[2];

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(wsock_runtime_new(&runtimes[i]), 0);
        assert_int_equal(
            wsock_runtime_client(runtimes[i], &clients[i], "ws://127.0.0.1:1/"), 0);
        assert_int_equal(wsock_client_connect(clients[i], &conns[i]), 0);
    }
    assert_true(wsock_conn_id(conns[0]) != wsock_conn_id(conns[1]));
    for (int i = 0; i < 2; i++) {
        wsock_conn_unref(conns[i]);
        wsock_client_unref(clients[i]);
        assert_int_equal(wsock_runtime_free(runtimes[i]), 0);
    }
}

/* ---- files ---- */

struct www {
    char path[64], dir[96], large[96];
};

static void make_www(struct www *www, struct made *world)
{
    int fd;

    snprintf(www->path, sizeof www->path, "/tmp/wsock-review-XXXXXX");
    assert_non_null(mkdtemp(www->path));
    snprintf(www->dir, sizeof www->dir, "%s/sub", www->path);
    snprintf(www->large, sizeof www->large, "%s/large", www->path);
    assert_int_equal(mkdir(www->dir, 0700), 0);
    fd = open(www->large, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 256 << 20), 0);
    close(fd);
    assert_int_equal(wsock_server_set(world->server, "www", www->path), 0);
}

static void remove_www(const struct www *www)
{
    unlink(www->large);
    rmdir(www->dir);
    rmdir(www->path);
}

static void a_redirect_keeps_the_query_behind_the_path(void **state)
{
    struct made world;
    struct www www;
    char answer[2048] = "";
    size_t len = 0;
    ssize_t n;
    int fd;

    (void)state;
    make(&world);
    make_www(&www, &world);
    begin(&world);
    fd = ask(&world, "GET /sub?a=b HTTP/1.1\r\nHost: x\r\n\r\n");
    while ((n = read(fd, answer + len, sizeof answer - 1 - len)) > 0)
        len += (size_t)n;
    close(fd);
    assert_non_null(strstr(answer, " 301 "));
    assert_non_null(strstr(answer, "\r\nLocation: /sub/?a=b\r\n"));
    remove_www(&www);
    end(&world);
}

static void a_download_is_cut_off_at_the_stop_timeout(void **state)
{
    struct made world;
    struct www www;
    char begun[16];
    int fd;

    (void)state;
    make(&world);
    make_www(&www, &world);
    assert_int_equal(wsock_server_set(world.server, "stop_timeout", "50ms"), 0);
    begin(&world);
    fd = ask(&world, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(read(fd, begun, sizeof begun) > 0);
    wsock_server_stop(world.server);
    assert_int_equal(wsock_server_wait(world.server, PATIENCE_MS), 0);
    close(fd);
    remove_www(&www);
    end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_server_stops_without_memory),
        TEST(on_stopped_may_not_wait_without_threads_either),
        TEST(a_free_function_may_use_the_server),
        TEST(a_listener_that_failed_fixes_nothing),
        TEST(a_pause_before_open_does_not_hold_the_handshake),
        TEST(a_reset_under_a_sender_is_no_want_of_memory),
        TEST(ids_differ_between_runtimes),
        TEST(a_redirect_keeps_the_query_behind_the_path),
        TEST(a_download_is_cut_off_at_the_stop_timeout),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
