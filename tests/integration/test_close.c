/* SPDX-License-Identifier: MIT */
/*
 * How connections end: one on_close for each, the last that is heard of it, that says
 * what happened; and requests that die before they are answered.
 */
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- a client's connection that never opens ---- */

/* Connect to url, which fails, and check what every such end has in common. */
static void fails_to_open(struct side *side, const char *url, int cause,
                          const char *option, int64_t value)
{
    wsock_runtime *runtime = NULL;
    wsock_client *client = NULL;
    wsock_conn *conn = NULL;

    memset(side, 0, sizeof *side);
    assert_int_equal(wsock_runtime_new(&runtime), 0);
    assert_int_equal(wsock_runtime_client(runtime, &client, url), 0);
    side_client(side, client);
    if (option != NULL)
        assert_int_equal(wsock_client_set_int64(client, option, value), 0);
    assert_int_equal(wsock_client_connect(client, &conn), 0);
    await(&side->closed, 1);
    assert_int_equal(wsock_conn_send(conn, WSOCK_TEXT, "x", 1), WSOCK_ECLOSED);
    assert_int_equal(wsock_conn_close(conn, 1000, NULL), WSOCK_ECLOSED);
    wsock_conn_unref(conn);
    wsock_client_unref(client);
    assert_int_equal(wsock_runtime_free(runtime), 0);
    assert_int_equal(side->closed, 1);
    assert_int_equal(side->opened, 0);
    assert_int_equal(side->was_opened, 0);
    assert_int_equal(side->code, 1006);
    assert_int_equal(side->cause, cause);
}

static void refused_connection_is_told_with_its_errno(void **state)
{
    struct side side;
    char url[64], path[128];

    (void)state;
    close(raw_listen(url, sizeof url, 1)); /* a port where nobody listens */
    fails_to_open(&side, url, WSOCK_CAUSE_CONNECT, NULL, 0);
    assert_int_equal(side.sys_errno, ECONNREFUSED);
    assert_non_null(strstr(side.detail, url + strlen("ws://")));
    snprintf(path, sizeof path, "ws+unix:%s", world_unix_path());
    fails_to_open(&side, path, WSOCK_CAUSE_CONNECT, NULL, 0);
    assert_int_equal(side.sys_errno, ENOENT);
}

static void name_without_address_is_told(void **state)
{
    struct side side;

    (void)state;
    fails_to_open(&side, "ws://no-such-name.invalid:9", WSOCK_CAUSE_RESOLVE, NULL, 0);
    assert_non_null(strstr(side.detail, "no-such-name.invalid"));
}

static void connection_that_is_never_taken_times_out(void **state)
{
    struct side side;
    char url[64];
    const int listening = raw_listen(url, sizeof url, 0);
    const int first = raw_connect(url); /* fills the kernel's queue */

    (void)state;
    fails_to_open(&side, url, WSOCK_CAUSE_CONNECT_TIMEOUT, "connect_timeout", 200);
    close(first);
    close(listening);
}

static void server_that_never_answers_times_out(void **state)
{
    struct side side;
    char url[64];
    const int listening = raw_listen(url, sizeof url, 8);

    (void)state;
    fails_to_open(&side, url, WSOCK_CAUSE_HANDSHAKE_TIMEOUT, "handshake_timeout", 100);
    close(listening);
}

struct answer {
    const char *text;
    int listening;
};

static void *answer_once(void *user)
{
    const struct answer *answer = user;
    char head[4096];
    const int fd = raw_accept(answer->listening);

    raw_read_head(fd, head, sizeof head);
    raw_text(fd, answer->text);
    shutdown(fd, SHUT_WR);
    raw_is_ended(fd);
    close(fd);
    return NULL;
}

static void answered_with(struct side *side, const char *text, int cause)
{
    struct answer answer = {.text = text};
    pthread_t thread;
    char url[64];

    answer.listening = raw_listen(url, sizeof url, 8);
    assert_int_equal(pthread_create(&thread, NULL, answer_once, &answer), 0);
    fails_to_open(side, url, cause, NULL, 0);
    pthread_join(thread, NULL);
    close(answer.listening);
}

static void bad_handshakes_are_told_with_the_servers_status(void **state)
{
    struct side side;

    (void)state;
    answered_with(&side, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
                  WSOCK_CAUSE_REFUSED);
    assert_int_equal(side.http_status, 403);
    answered_with(&side, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                  WSOCK_CAUSE_REFUSED);
    assert_int_equal(side.http_status, 200);
    answered_with(&side,
                  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                  "Connection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n",
                  WSOCK_CAUSE_HANDSHAKE);
    answered_with(&side, "SSH-2.0-what\r\n\r\n", WSOCK_CAUSE_HANDSHAKE);
    answered_with(&side, "", WSOCK_CAUSE_HANDSHAKE);
    assert_int_equal(side.http_status, 0);
}

static void client_that_is_given_up_gets_its_close(void **state)
{
    wsock_runtime *runtime = NULL;
    wsock_client *client = NULL;
    struct side side = {0};
    char url[64];
    const int listening = raw_listen(url, sizeof url, 64);

    (void)state;
    assert_int_equal(wsock_runtime_new(&runtime), 0);
    assert_int_equal(wsock_runtime_client(runtime, &client, url), 0);
    side_client(&side, client);
    for (int i = 1; i <= 20; i++) {
        wsock_conn *conn = NULL;
        int fd = -1;

        assert_int_equal(wsock_client_connect(client, &conn), 0);
        if (i % 2 == 0) /* it has surely connected, and waits for the answer */
            fd = raw_accept(listening);
        assert_int_equal(
            i % 4 < 2 ? wsock_conn_close(conn, 1000, NULL) : wsock_conn_reset(conn), 0);
        await(&side.closed, i);
        assert_int_equal(side.cause, WSOCK_CAUSE_RESET);
        assert_int_equal(side.began, WSOCK_BY_US);
        assert_int_equal(wsock_conn_close(conn, 1000, NULL), WSOCK_ECLOSED);
        wsock_conn_unref(conn);
        if (fd >= 0)
            close(fd);
    }
    wsock_client_unref(client);
    assert_int_equal(wsock_runtime_free(runtime), 0);
    assert_int_equal(side.closed, 20);
    assert_int_equal(side.opened, 0);
    close(listening);
}

/* ---- ends of open connections, at a server ---- */

/* One open connection of a raw peer that ends in `act`; then what on_close said. */
static struct side ends(void (*act)(struct world *world, int fd), const char *option,
                        int64_t value)
{
    struct world world;
    int fd;

    world_begin(&world, 0);
    if (option != NULL)
        assert_int_equal(wsock_server_set_int64(world.server, option, value), 0);
    world_listen(&world, NULL);
    fd = raw_open(world.url);
    await(&world.side.opened, 1);
    act(&world, fd);
    close(fd); /* a server that has ended the stream waits for that */
    await(&world.side.closed, 1);
    assert_int_equal(wsock_conn_send(world.side.conn, WSOCK_TEXT, "x", 1), WSOCK_ECLOSED);
    world_end(&world);
    assert_int_equal(world.side.opened, 1);
    assert_int_equal(world.side.closed, 1);
    assert_int_equal(world.side.was_opened, 1);
    return world.side;
}

#define ASSERT_END(side, a_cause, a_code, a_began)             \
    do {                                                       \
        assert_int_equal((side).cause, WSOCK_CAUSE_##a_cause); \
        assert_int_equal((side).code, (a_code));               \
        assert_int_equal((side).began, WSOCK_BY_##a_began);    \
    } while (0)

static void we_close(struct world *world, int fd)
{
    assert_int_equal(wsock_conn_close(world->side.conn, 4002, "enough"), 0);
    assert_int_equal(wsock_conn_is_open(world->side.conn), 0);
    assert_int_equal(raw_receive_close(fd), 4002);
    raw_close_frame(fd, 4002);
    assert_true(raw_is_ended(fd)); /* the server ends the TCP connection */
}

static void we_close_without_code(struct world *world, int fd)
{
    assert_int_equal(wsock_conn_close(world->side.conn, 1005, NULL), 0);
    assert_int_equal(raw_receive_close(fd), 1005);
    raw_close_frame(fd, 1005);
}

static void peer_closes(struct world *world, int fd)
{
    (void)world;
    raw_frame(fd, 0x88, "\x0f\xa1tired", 7); /* 4001 */
    assert_int_equal(raw_receive_close(fd), 4001);
    assert_true(raw_is_ended(fd));
}

static void peer_closes_without_code(struct world *world, int fd)
{
    (void)world;
    raw_close_frame(fd, 1005);
    assert_int_equal(raw_receive_close(fd), 1005);
}

static void peer_vanishes(struct world *world, int fd)
{
    (void)world;
    shutdown(fd, SHUT_WR);
}

static void peer_resets(struct world *world, int fd)
{
    const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};

    (void)world;
    assert_int_equal(connect(fd, &nowhere, sizeof nowhere), 0); /* sends a RST */
}

static void we_reset(struct world *world, int fd)
{
    assert_int_equal(wsock_conn_reset(world->side.conn), 0);
    assert_true(raw_is_ended(fd));
}

static void peer_sends_reserved_bits(struct world *world, int fd)
{
    (void)world;
    raw_frame(fd, 0xf1, "x", 1);
    assert_int_equal(raw_receive_close(fd), 1002);
}

static void peer_sends_bad_utf8(struct world *world, int fd)
{
    (void)world;
    raw_frame(fd, 0x81, "\xff", 1);
    assert_int_equal(raw_receive_close(fd), 1007);
}

static void peer_declares_a_gibibyte(struct world *world, int fd)
{
    (void)world;
    raw_frame_header(fd, 0x82, UINT64_C(1) << 30);
    assert_int_equal(raw_receive_close(fd), 1009);
}

static void nothing_happens(struct world *world, int fd)
{
    (void)world;
    assert_int_equal(raw_receive_close(fd), 1006);
}

static void peer_ignores_our_close(struct world *world, int fd)
{
    assert_int_equal(wsock_conn_close(world->side.conn, 1000, NULL), 0);
    assert_int_equal(raw_receive_close(fd), 1000);
    assert_true(raw_is_ended(fd));
}

static void peer_ignores_the_stop(struct world *world, int fd)
{
    wsock_server_stop(world->server);
    assert_int_equal(raw_receive_close(fd), 1001);
    assert_true(raw_is_ended(fd));
}

static void ends_are_told_as_they_happened(void **state)
{
    struct side side;

    (void)state;
    side = ends(we_close, NULL, 0);
    ASSERT_END(side, CLOSED, 4002, US);
    assert_string_equal(side.detail, "closed by this end with 4002");
    side = ends(we_close_without_code, NULL, 0);
    ASSERT_END(side, CLOSED, 1005, US);
    side = ends(peer_closes, NULL, 0);
    ASSERT_END(side, CLOSED, 4001, PEER);
    assert_string_equal(side.reason, "tired");
    assert_string_equal(side.detail, "closed by the peer with 4001: tired");
    side = ends(peer_closes_without_code, NULL, 0);
    ASSERT_END(side, CLOSED, 1005, PEER);
    assert_string_equal(side.detail, "closed by the peer without a code");
    side = ends(peer_vanishes, NULL, 0);
    ASSERT_END(side, LOST, 1006, PEER);
    side = ends(peer_resets, NULL, 0);
    ASSERT_END(side, LOST, 1006, NETWORK);
    assert_int_equal(side.sys_errno, ECONNRESET);
    side = ends(we_reset, NULL, 0);
    ASSERT_END(side, RESET, 1006, US);
    side = ends(peer_sends_reserved_bits, NULL, 0);
    ASSERT_END(side, PROTOCOL, 1002, US);
    side = ends(peer_sends_bad_utf8, NULL, 0);
    ASSERT_END(side, PROTOCOL, 1007, US);
    side = ends(peer_declares_a_gibibyte, NULL, 0);
    ASSERT_END(side, LIMIT, 1009, US);
    assert_string_equal(
        side.detail, "closed with 1009: the message is larger than max_message_bytes");
}

static void ends_by_time_are_told(void **state)
{
    struct side side;

    (void)state;
    side = ends(nothing_happens, "idle_timeout", 100);
    ASSERT_END(side, IDLE, 1006, US);
    side = ends(peer_ignores_our_close, "close_timeout", 100);
    ASSERT_END(side, CLOSE_TIMEOUT, 1006, US);
    side = ends(peer_ignores_the_stop, "stop_timeout", 100);
    ASSERT_END(side, STOPPED, 1006, US);
}

static void client_waits_for_the_server_to_end_the_stream(void **state)
{
    wsock_runtime *runtime = NULL;
    wsock_client *client = NULL;
    struct side side = {0};
    char url[64];
    const int listening = raw_listen(url, sizeof url, 8);
    int fd;

    (void)state;
    assert_int_equal(wsock_runtime_new(&runtime), 0);
    assert_int_equal(wsock_runtime_client(runtime, &client, url), 0);
    assert_int_equal(wsock_client_set_int64(client, "close_timeout", 20000), 0);
    side_client(&side, client);
    assert_int_equal(wsock_client_connect(client, NULL), 0);
    fd = raw_accept_open(listening, "");
    await(&side.opened, 1);
    assert_int_equal(wsock_conn_close(side.conn, 3000, "done"), 0);
    assert_int_equal(raw_receive_close(fd), 3000);
    raw_send(fd, "\x88\x02\x0b\xb8", 4);
    assert_true(stays_below(&side.closed, 1, 50));
    close(fd);
    await(&side.closed, 1);
    ASSERT_END(side, CLOSED, 3000, US);
    side_fini(&side);
    wsock_client_unref(client);
    assert_int_equal(wsock_runtime_free(runtime), 0);
    close(listening);
}

/* Server and clients of one runtime all close at once, so their close frames cross in
 * every way; each must be taken as the answer to the other, at once. */
static void closes_that_cross_end_without_a_timeout(void **state)
{
    enum { CONNS = 20, ROUNDS = 8 };

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct world world;
        struct side side = {0};
        wsock_client *client;
        int64_t began;

        world_begin(&world, 1 + round % 3);
        assert_int_equal(wsock_server_set(world.server, "close_timeout", "20s"), 0);
        assert_int_equal(wsock_server_set(world.server, "stop_timeout", "20s"), 0);
        world_listen(&world, NULL);
        client = world_client(&world, &side);
        assert_int_equal(wsock_client_set(client, "close_timeout", "20s"), 0);
        for (int i = 0; i < CONNS; i++)
            world_connect(&world, client, &side);
        side_fini(&side);
        began = now_ms();
        wsock_runtime_stop(world.runtime);
        world_end(&world);
        assert_true(now_ms() - began < 10000);
        assert_int_equal(side.closed, CONNS);
        assert_int_equal(side.cause, WSOCK_CAUSE_CLOSED);
        assert_int_equal(world.side.cause, WSOCK_CAUSE_CLOSED);
        wsock_client_unref(client);
    }
}

/* ---- nothing comes after on_close ---- */

static atomic_int late_calls;
static int finished;

static void must_be_open(wsock_conn *conn)
{
    if (wsock_conn_get_user(conn) == &finished)
        atomic_fetch_add(&late_calls, 1);
}

static void strict_open(wsock_conn *conn, void *user)
{
    must_be_open(conn);
    CHECK(wsock_room_join(user, conn) == 0);
}

static void strict_message(wsock_conn *conn, int type, const void *data, size_t len,
                           void *user)
{
    (void)user;
    must_be_open(conn);
    if (len == 5)
        wsock_conn_close(conn, 1000, NULL);
    /* After that sends are refused, and messages still come until the peer's close. */
    wsock_conn_send(conn, type, data, len);
}

static void strict_drain(wsock_conn *conn, void *user)
{
    (void)user;
    must_be_open(conn);
}

static void strict_close(wsock_conn *conn, const wsock_close_info *info, void *user)
{
    (void)info;
    (void)user;
    must_be_open(conn);
    wsock_conn_set_user(conn, &finished, NULL);
    tell(&finished);
}

static void on_close_is_the_last_that_is_heard(void **state)
{
    struct world world;
    wsock_room *room = NULL;
    enum { CONNS = 40 };

    (void)state;
    late_calls = finished = 0;
    world_begin(&world, 2);
    assert_int_equal(wsock_server_set_int64(world.server, "max_backlog_bytes", 64), 0);
    assert_int_equal(wsock_server_room(world.server, &room, "r"), 0);
    wsock_endpoint_on_open(world.endpoint, strict_open, room, NULL);
    wsock_endpoint_on_message(world.endpoint, strict_message, NULL, NULL);
    wsock_endpoint_on_drain(world.endpoint, strict_drain, NULL, NULL);
    wsock_endpoint_on_close(world.endpoint, strict_close, NULL, NULL);
    world_listen(&world, NULL);
    for (int i = 0; i < CONNS; i++) {
        const int fd = raw_open(world.url);

        for (int j = 0; j < 20; j++)
            raw_frame(fd, 0x81, "12345678", j == i % 20 ? 5 : 8);
        wsock_room_broadcast(room, WSOCK_TEXT, "all", 3);
        if (i % 3 == 0)
            raw_close_frame(fd, 1000);
        close(fd);
    }
    await(&finished, CONNS);
    wsock_room_unref(room);
    world_end(&world);
    assert_int_equal(finished, CONNS);
    assert_int_equal(late_calls, 0);
}

/* ---- requests ---- */

struct kept {
    int requests;
    wsock_request *request;
};

static void keep_request(wsock_request *request, void *user)
{
    struct kept *kept = user;

    kept->request = wsock_request_ref(request);
    tell(&kept->requests);
}

static void begin_with_requests(struct world *world, struct kept *kept)
{
    *kept = (struct kept){0};
    world_begin(world, 0);
    assert_int_equal(wsock_endpoint_on_request(world->endpoint, keep_request, kept, NULL),
                     0);
    assert_int_equal(wsock_server_set(world->server, "request_timeout", "20s"), 0);
}

static const char upgrade[] =
    "GET /test HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

static void assert_answers_come_too_late(struct kept *kept)
{
    assert_int_equal(wsock_request_add_header(kept->request, "X", "y"), WSOCK_ECLOSED);
    assert_int_equal(wsock_request_accept(kept->request, NULL), WSOCK_ECLOSED);
    assert_int_equal(wsock_request_reject(kept->request, 403, "no"), WSOCK_ECLOSED);
    assert_string_equal(wsock_request_path(kept->request), "/test");
    wsock_request_unref(kept->request);
}

static void request_that_dies_is_cancelled(void **state)
{
    struct world world;
    struct kept kept;
    int fd;

    (void)state;
    begin_with_requests(&world, &kept);
    world_listen(&world, NULL);
    fd = raw_connect(world.url);
    raw_text(fd, upgrade);
    await(&kept.requests, 1);
    close(fd);
    await(&world.side.cancelled, 1);
    assert_answers_come_too_late(&kept);
    world_end(&world);
    assert_int_equal(world.side.cancelled, 1);
    assert_int_equal(world.side.opened + world.side.closed, 0);
}

static void request_that_times_out_is_cancelled_with_503(void **state)
{
    struct world world;
    struct kept kept;
    char answer[1024];

    (void)state;
    begin_with_requests(&world, &kept);
    assert_int_equal(wsock_server_set(world.server, "request_timeout", "50ms"), 0);
    world_listen(&world, NULL);
    assert_int_equal(raw_http(world.url, upgrade, answer, sizeof answer), 503);
    await(&world.side.cancelled, 1);
    assert_answers_come_too_late(&kept);
    world_end(&world);
    assert_int_equal(world.side.cancelled, 1);
    assert_int_equal(world.side.opened + world.side.closed, 0);
}

static void request_that_waits_when_the_server_stops_is_cancelled(void **state)
{
    struct world world;
    struct kept kept;
    char answer[1024];
    int fd;

    (void)state;
    begin_with_requests(&world, &kept);
    world_listen(&world, NULL);
    fd = raw_connect(world.url);
    raw_text(fd, upgrade);
    await(&kept.requests, 1);
    wsock_server_stop(world.server);
    raw_read_all(fd, answer, sizeof answer);
    assert_non_null(strstr(answer, "HTTP/1.1 503 "));
    await(&world.side.cancelled, 1);
    assert_answers_come_too_late(&kept);
    close(fd);
    world_end(&world);
    assert_int_equal(world.side.cancelled, 1);
}

static void request_is_answered_later_from_another_thread(void **state)
{
    struct world world;
    struct kept kept;
    char text[1024];
    size_t len;
    int fd;

    (void)state;
    begin_with_requests(&world, &kept);
    world_listen(&world, NULL);
    fd = raw_connect(world.url);
    raw_text(fd, upgrade);
    raw_frame(fd, 0x81, "ahead", 5); /* waits for the answer */
    await(&kept.requests, 1);
    assert_int_equal(world.side.opened, 0);
    assert_int_equal(wsock_request_add_header(kept.request, "X-Late", "yes"), 0);
    world.side.echo = true;
    assert_int_equal(wsock_request_accept(kept.request, NULL), 0);
    assert_int_equal(wsock_request_accept(kept.request, NULL), WSOCK_ECLOSED);
    assert_true(raw_read_head(fd, text, sizeof text) > 0);
    assert_non_null(strstr(text, "HTTP/1.1 101 "));
    assert_non_null(strstr(text, "X-Late: yes\r\n"));
    assert_int_equal(raw_receive(fd, text, sizeof text, &len), 0x81);
    assert_memory_equal(text, "ahead", 5);
    wsock_request_unref(kept.request);
    close(fd);
    /* The next one is refused later. */
    fd = raw_connect(world.url);
    raw_text(fd, upgrade);
    await(&kept.requests, 2);
    assert_int_equal(wsock_request_reject(kept.request, 200, "no"), WSOCK_ERANGE);
    assert_int_equal(wsock_request_reject(kept.request, 409, "no seat left"), 0);
    raw_read_all(fd, text, sizeof text);
    assert_non_null(strstr(text, "HTTP/1.1 409 "));
    assert_non_null(strstr(text, "no seat left"));
    wsock_request_unref(kept.request);
    close(fd);
    await(&world.side.closed, 1);
    world_end(&world);
    assert_int_equal(world.side.opened, 1);
    assert_int_equal(world.side.closed, 1);
    assert_int_equal(world.side.cancelled, 0);
}

static void ignore_request(wsock_request *request, void *user)
{
    (void)request;
    tell(user);
}

static void request_that_nobody_answers_gets_500(void **state)
{
    struct world world;
    char answer[1024];
    int ignored = 0;

    (void)state;
    world_begin(&world, 0);
    wsock_endpoint_on_request(world.endpoint, ignore_request, &ignored, NULL);
    world_listen(&world, NULL);
    assert_int_equal(raw_http(world.url, upgrade, answer, sizeof answer), 500);
    world_end(&world);
    assert_int_equal(ignored, 1);
    assert_int_equal(world.side.opened + world.side.closed, 0);
}

static void server_tells_no_close_of_what_never_opened(void **state)
{
    struct world world;
    char answer[1024];
    int fd;

    (void)state;
    world_begin(&world, 0);
    world_listen(&world, NULL);
    close(raw_connect(world.url)); /* says nothing */
    fd = raw_connect(world.url);
    raw_text(fd, "GET /te"); /* not even a whole line */
    close(fd);
    assert_int_equal(
        raw_http(world.url, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", answer, sizeof answer),
        404);
    assert_int_equal(raw_http(world.url, "nonsense\r\n\r\n", answer, sizeof answer), 400);
    world_end(&world);
    assert_int_equal(world.side.opened + world.side.closed, 0);
}

/* ---- sends racing with close ---- */

enum { RACERS = 8, RACES = 60 };

struct racer {
    wsock_conn *conn;
    pthread_barrier_t *start;
    int sent;
    bool closes;
};

static void *race(void *user)
{
    struct racer *racer = user;
    int r = 0;

    pthread_barrier_wait(racer->start);
    for (int i = 0; i < 30 && r != WSOCK_ECLOSED; i++) {
        r = wsock_conn_send(racer->conn, WSOCK_TEXT, "racing", 6);
        CHECK(r == 0 || r == WSOCK_ECLOSED);
        racer->sent += r == 0;
        if (racer->closes && i == 5) {
            r = wsock_conn_close(racer->conn, 1000, NULL);
            CHECK(r == 0 || r == WSOCK_ECLOSED);
            CHECK(wsock_conn_send(racer->conn, WSOCK_TEXT, "x", 1) == WSOCK_ECLOSED);
        }
    }
    wsock_conn_unref(racer->conn);
    return NULL;
}

static void sends_may_race_with_close(void **state)
{
    struct world world;
    struct side side = {0};
    wsock_client *client;

    (void)state;
    world_begin(&world, 2);
    world_listen(&world, NULL);
    client = world_client(&world, &side);
    for (int i = 1; i <= RACES; i++) {
        struct racer racers[RACERS];
        pthread_t threads[RACERS];
        pthread_barrier_t start;

        world_connect(&world, client, &side);
        pthread_barrier_init(&start, NULL, RACERS);
        for (int j = 0; j < RACERS; j++) {
            racers[j] = (struct racer){
                .conn = wsock_conn_ref(world.side.conn),
                .start = &start,
                .closes = j % 4 == 0,
            };
            assert_int_equal(pthread_create(&threads[j], NULL, race, &racers[j]), 0);
        }
        for (int j = 0; j < RACERS; j++)
            pthread_join(threads[j], NULL);
        pthread_barrier_destroy(&start);
        await(&side.closed, i);
        await(&world.side.closed, i);
        assert_int_equal(side.cause, WSOCK_CAUSE_CLOSED);
        assert_int_equal(side.code, 1000);
    }
    side_fini(&side);
    wsock_client_unref(client);
    world_end(&world);
    assert_int_equal(side.closed, RACES);
    assert_int_equal(world.side.closed, RACES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(refused_connection_is_told_with_its_errno),
        TEST(name_without_address_is_told),
        TEST(connection_that_is_never_taken_times_out),
        TEST(server_that_never_answers_times_out),
        TEST(bad_handshakes_are_told_with_the_servers_status),
        TEST(client_that_is_given_up_gets_its_close),
        TEST(ends_are_told_as_they_happened),
        TEST(ends_by_time_are_told),
        TEST(client_waits_for_the_server_to_end_the_stream),
        TEST(closes_that_cross_end_without_a_timeout),
        TEST(on_close_is_the_last_that_is_heard),
        TEST(request_that_dies_is_cancelled),
        TEST(request_that_times_out_is_cancelled_with_503),
        TEST(request_that_waits_when_the_server_stops_is_cancelled),
        TEST(request_is_answered_later_from_another_thread),
        TEST(request_that_nobody_answers_gets_500),
        TEST(server_tells_no_close_of_what_never_opened),
        TEST(sends_may_race_with_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
