/* SPDX-License-Identifier: MIT */
/* What waits to be sent: its exact size, its mark, on_drain, and reading that waits for
 * it. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MARK = 64 * 1024 };

static const char *with_listener(struct world *world, bool is_unix)
{
    static char url[128];

    snprintf(url, sizeof url, "ws+unix:%s", world_unix_path());
    world_listen(world, is_unix ? url : NULL);
    return world->url;
}

static void on_fence(wsock_conn *conn, void *user)
{
    (void)conn;
    tell(user);
}

/* What was sent before has left the mailbox, and the kernel has taken what it takes. */
static void fence(wsock_conn *conn)
{
    int passed = 0;

    for (int i = 1; i <= 2; i++) {
        assert_int_equal(wsock_conn_post(conn, on_fence, &passed, NULL), 0);
        await(&passed, i);
    }
}

static size_t frame_size(size_t len)
{
    return len + (len < 126 ? 2 : len <= 0xffff ? 4 : 10);
}

/* Send until the mark is met and stays met, which a peer that does not read makes it do.
 * @return bytes of frames accepted. */
static size_t fill(wsock_conn *conn, size_t len)
{
    char *data = calloc(1, len);
    size_t accepted = 0;
    int r;

    assert_non_null(data);
    for (;;) {
        r = wsock_conn_send(conn, WSOCK_BINARY, data, len);
        if (r == 0) {
            accepted += frame_size(len);
            continue;
        }
        assert_int_equal(r, WSOCK_EAGAIN);
        fence(conn);
        if (wsock_conn_buffered(conn) >= MARK)
            break;
    }
    free(data);
    return accepted;
}

static size_t drain_all(int fd)
{
    char waste[8192];
    size_t total = 0, n;

    while ((n = raw_read(fd, waste, sizeof waste)) > 0)
        total += n;
    return total;
}

/* Over a Unix socket, what the kernel took can still be read after a reset, and what it
 * did not take is gone: so the peer counts for us. */
static void buffered_is_what_the_kernel_did_not_take(void **state)
{
    const size_t lengths[] = {1, 125, 126, 3000, 5000, 40000, 70000, 300000};

    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct world world;
        size_t accepted, buffered;
        int fd;

        world_begin(&world, 0);
        wsock_server_set_int64(world.server, "max_backlog_bytes", MARK);
        with_listener(&world, true);
        fd = raw_open(world.url);
        await(&world.side.opened, 1);
        fence(world.side.conn);
        assert_int_equal(wsock_conn_buffered(world.side.conn), 0);
        accepted = fill(world.side.conn, lengths[i]);
        buffered = wsock_conn_buffered(world.side.conn);
        /* The overshoot is less than one message. */
        assert_true(buffered >= MARK && buffered < MARK + frame_size(lengths[i]));
        assert_int_equal(wsock_conn_reset(world.side.conn), 0);
        await(&world.side.closed, 1);
        assert_int_equal(drain_all(fd), accepted - buffered);
        assert_int_equal(wsock_conn_buffered(world.side.conn), 0);
        close(fd);
        world_end(&world);
    }
}

static void everything_accepted_arrives_and_empties_the_backlog(void **state)
{
    struct world world;
    size_t accepted;
    char *all;
    int fd, drained;

    (void)state;
    world_begin(&world, 0);
    wsock_server_set_int64(world.server, "max_backlog_bytes", MARK);
    with_listener(&world, false);
    fd = raw_open(world.url);
    await(&world.side.opened, 1);
    accepted = fill(world.side.conn, 1000);
    drained = told(&world.side.drained);
    all = malloc(accepted);
    assert_non_null(all);
    assert_int_equal(raw_read(fd, all, accepted), accepted);
    await(&world.side.drained, drained + 1);
    fence(world.side.conn);
    assert_int_equal(wsock_conn_buffered(world.side.conn), 0);
    assert_int_equal(wsock_conn_send(world.side.conn, WSOCK_TEXT, "x", 1), 0);
    free(all);
    close(fd);
    world_end(&world);
    assert_int_equal(world.side.drained, drained + 1); /* once for all refusals */
}

/* ---- on_drain ---- */

struct pusher {
    struct world *world;
    wsock_conn *conn;
    int refused;
};

enum { PUSHERS = 4, PUSHES = 3000, PUSH_BYTES = 700 };

static void *push(void *user)
{
    static const char data[PUSH_BYTES];
    struct pusher *pusher = user;
    int *drained = &pusher->world->side.drained;

    for (int i = 0; i < PUSHES;) {
        const int before = told(drained);
        const int r = wsock_conn_send(pusher->conn, WSOCK_BINARY, data, sizeof data);

        CHECK(r == 0 || r == WSOCK_EAGAIN);
        i += r == 0;
        pusher->refused += r == WSOCK_EAGAIN;
        if (r == WSOCK_EAGAIN) {
            const bool drain_followed = !stays_below(drained, before + 1, 20000);

            CHECK(drain_followed);
            if (!drain_followed)
                break;
        }
    }
    return NULL;
}

static void drain_follows_every_refusal_of_any_thread(void **state)
{
    const int64_t marks[] = {1, 2000, MARK};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct world world;
        struct side side = {0};
        struct pusher pushers[PUSHERS];
        pthread_t threads[PUSHERS];
        wsock_client *client;
        int refused = 0;

        world_begin(&world, 2);
        wsock_server_set_int64(world.server, "max_backlog_bytes", marks[i]);
        world_listen(&world, NULL);
        client = world_client(&world, &side);
        world_connect(&world, client, &side);
        for (int j = 0; j < PUSHERS; j++) {
            pushers[j] = (struct pusher){.world = &world, .conn = world.side.conn};
            assert_int_equal(pthread_create(&threads[j], NULL, push, &pushers[j]), 0);
        }
        for (int j = 0; j < PUSHERS; j++) {
            pthread_join(threads[j], NULL);
            refused += pushers[j].refused;
        }
        await(&side.messages, PUSHERS * PUSHES);
        assert_true(i == 2 || refused > 0);
        side_fini(&side);
        wsock_client_unref(client);
        world_end(&world);
    }
}

/* Sends in a handler until it is refused; the drain goes on from there. */
static void push_here(wsock_conn *conn, void *user)
{
    static const char data[PUSH_BYTES];
    struct pusher *pusher = user;
    int r = 0;

    tell(&pusher->world->side.drained);
    while (pusher->refused < 2000 && r == 0) {
        r = wsock_conn_send(conn, WSOCK_BINARY, data, sizeof data);
        CHECK(r == 0 || r == WSOCK_EAGAIN);
        pusher->refused += r == 0;
    }
}

static void drain_follows_a_refusal_of_its_own_worker(void **state)
{
    struct world world;
    struct side side = {0};
    struct pusher pusher = {.world = &world};
    wsock_client *client;

    (void)state;
    world_begin(&world, 2);
    wsock_server_set_int64(world.server, "max_backlog_bytes", 10000);
    wsock_endpoint_on_drain(world.endpoint, push_here, &pusher, NULL);
    world_listen(&world, NULL);
    client = world_client(&world, &side);
    world_connect(&world, client, &side);
    assert_int_equal(wsock_conn_post(world.side.conn, push_here, &pusher, NULL), 0);
    await(&side.messages, 2000);
    assert_true(told(&world.side.drained) > 10);
    side_fini(&side);
    wsock_client_unref(client);
    world_end(&world);
}

static void message_above_the_mark_is_taken_when_nothing_waits(void **state)
{
    enum { BIG = 3 * 1000 * 1000 };
    struct world world;
    struct side side = {0};
    wsock_client *client;
    char *big = calloc(1, BIG);
    int sent = 0;

    (void)state;
    assert_non_null(big);
    world_begin(&world, 2);
    wsock_server_set_int64(world.server, "max_backlog_bytes", 1000);
    world_listen(&world, NULL);
    client = world_client(&world, &side);
    assert_int_equal(wsock_client_set(client, "max_message_bytes", "off"), 0);
    world_connect(&world, client, &side);
    for (int i = 0; i < 3; i++) {
        const int drained = told(&world.side.drained);
        int r;

        assert_int_equal(wsock_conn_send(world.side.conn, WSOCK_BINARY, big, BIG), 0);
        r = wsock_conn_send(world.side.conn, WSOCK_BINARY, "x", 1);
        if (r == WSOCK_EAGAIN)
            await(&world.side.drained, drained + 1);
        sent += r == 0 ? 2 : 1;
        await(&side.messages, sent);
        while (wsock_conn_buffered(world.side.conn) > 0)
            fence(world.side.conn);
    }
    side_fini(&side);
    wsock_client_unref(client);
    world_end(&world);
    free(big);
}

/* ---- reading that waits ---- */

enum { ECHO_MESSAGE = 10000, ECHO_TOTAL = 50 * 1000 * 1000 };

/* A peer that writes whenever it can, and reads only when it cannot. */
static void write_first(int fd)
{
    const size_t in_size = ECHO_MESSAGE + 8, out_size = ECHO_MESSAGE + 4;
    const size_t total_in = ECHO_TOTAL / ECHO_MESSAGE * in_size;
    const size_t total_out = ECHO_TOTAL / ECHO_MESSAGE * out_size;
    char *frame = calloc(1, in_size), *got = malloc(65536);
    size_t sent = 0, received = 0;

    assert_non_null(frame);
    assert_non_null(got);
    memcpy(frame, "\x82\xfe\x27\x10\0\0\0\0", 8);
    for (size_t i = 8; i < in_size; i++)
        frame[i] = (char)(i * 7);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    while (received < total_out) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        ssize_t n;

        while (sent < total_in) {
            n = send(fd, frame + sent % in_size, in_size - sent % in_size, MSG_NOSIGNAL);
            if (n < 0)
                break;
            sent += (size_t)n;
        }
        if (sent < total_in)
            ready.events |= POLLOUT;
        assert_int_equal(poll(&ready, 1, 20000), 1);
        if (ready.revents & POLLOUT)
            continue;
        n = recv(fd, got, 65536, 0);
        assert_true(n > 0);
        for (ssize_t i = 0; i < n; i++, received++) {
            const size_t at = received % out_size;

            if (got[i] != (at < 4 ? "\x82\x7e\x27\x10"[at] : frame[at + 4]))
                fail_msg("wrong byte at %zu", received);
        }
    }
    free(got);
    free(frame);
}

static void plain_echo_is_right_for_a_peer_that_writes_first(void **state)
{
    struct world world;
    int fd;

    (void)state;
    world_begin(&world, 0);
    world.side.echo = true; /* checks that no send is refused */
    world_listen(&world, NULL);
    fd = raw_open(world.url);
    write_first(fd);
    close(fd);
    await(&world.side.closed, 1);
    world_end(&world);
    assert_int_equal(world.side.messages, ECHO_TOTAL / ECHO_MESSAGE);
}

/* ---- a client that sends as fast as it may, and a server that sends all of it back ----
 */

enum { FLOOD_PIECE = 100 * 1000, FLOOD_PIECES = 1000, CLIENT_MARK = 1024 * 1024 };

struct flood {
    char piece[FLOOD_PIECE];
    int sent;
    size_t came; /* bytes */
    int ended, refused;
    bool in_parts;
};

static char flood_byte(size_t at)
{
    return (char)(at * 2654435761u >> 13 & 0x3f);
}

/* Whole messages, or parts of one, until there is no room; the drain goes on. */
static void flood_on(wsock_conn *conn, void *user)
{
    struct flood *flood = user;
    int r = 0;

    while (r == 0 && flood->sent < FLOOD_PIECES) {
        const size_t start = (size_t)flood->sent * FLOOD_PIECE;

        for (size_t i = 0; i < FLOOD_PIECE; i += 999)
            flood->piece[i] = flood_byte(start + i);
        r = flood->in_parts
                ? wsock_conn_send_append(conn, flood->piece, FLOOD_PIECE)
                : wsock_conn_send(conn, WSOCK_BINARY, flood->piece, FLOOD_PIECE);
        flood->sent += r == 0;
    }
    CHECK(r == 0 || r == WSOCK_EAGAIN);
    CHECK(wsock_conn_buffered(conn) < CLIENT_MARK + FLOOD_PIECE + 100);
    if (r == WSOCK_EAGAIN)
        tell(&flood->refused);
    else if (flood->in_parts)
        CHECK(wsock_conn_send_end(conn) == 0);
}

static void flood_begin(wsock_conn *conn, void *user)
{
    struct flood *flood = user;

    if (flood->in_parts)
        CHECK(wsock_conn_send_begin(conn, WSOCK_BINARY) == 0);
    flood_on(conn, user);
}

static void flood_back(struct flood *flood, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((flood->came + i) % FLOOD_PIECE % 999 == 0)
            CHECK(data[i] == flood_byte(flood->came + i));
    flood->came += len;
}

static void flood_message(wsock_conn *conn, int type, const void *data, size_t len,
                          void *user)
{
    struct flood *flood = user;

    (void)conn;
    CHECK(type == WSOCK_BINARY && len == FLOOD_PIECE);
    flood_back(flood, data, len);
    if (flood->came == (size_t)FLOOD_PIECE * FLOOD_PIECES)
        tell(&flood->ended);
}

static void flood_part(wsock_conn *conn, int type, const void *data, size_t len,
                       int flags, void *user)
{
    struct flood *flood = user;

    (void)conn;
    CHECK(type == WSOCK_BINARY);
    flood_back(flood, data, len);
    if ((flags & WSOCK_PART_LAST) != 0)
        tell(&flood->ended);
}

/* The relay of docs/streaming.md. */
static void relay_part(wsock_conn *conn, int type, const void *data, size_t len,
                       int flags, void *user)
{
    (void)user;
    if ((flags & WSOCK_PART_FIRST) != 0)
        CHECK(wsock_conn_send_begin(conn, type) == 0);
    CHECK(wsock_conn_send_append(conn, data, len) == 0);
    if ((flags & WSOCK_PART_LAST) != 0)
        CHECK(wsock_conn_send_end(conn) == 0);
}

static void flood_an_echo(bool in_parts)
{
    struct flood *flood = calloc(1, sizeof *flood);
    struct world world;
    struct side side = {0};
    wsock_client *client;

    assert_non_null(flood);
    flood->in_parts = in_parts;
    world_begin(&world, 2);
    world.side.echo = true; /* checks that no send is refused */
    wsock_server_set(world.server, "max_message_bytes", "off");
    wsock_server_set(world.server, "max_fragments", "off");
    if (in_parts)
        wsock_endpoint_on_part(world.endpoint, relay_part, NULL, NULL);
    world_listen(&world, NULL);
    client = world_client(&world, &side);
    wsock_client_set(client, "max_message_bytes", "off");
    wsock_client_set(client, "max_fragments", "off");
    wsock_client_on_message(client, flood_message, flood, NULL);
    if (in_parts)
        wsock_client_on_part(client, flood_part, flood, NULL);
    wsock_client_on_drain(client, flood_on, flood, NULL);
    world_connect(&world, client, &side);
    assert_int_equal(wsock_conn_post(side.conn, flood_begin, flood, NULL), 0);
    await(&flood->ended, 1);
    assert_int_equal(flood->came, (size_t)FLOOD_PIECE * FLOOD_PIECES);
    assert_true(flood->refused > 0);
    side_fini(&side);
    wsock_client_unref(client);
    world_end(&world);
    free(flood);
}

/* With both ends' defaults: if the client did not read while its backlog is full, neither
 * would go on. */
static void a_client_that_floods_an_echo_gets_all_back(void **state)
{
    (void)state;
    flood_an_echo(false);
}

static void the_same_in_parts(void **state)
{
    (void)state;
    flood_an_echo(true);
}

static void pause_on_message(wsock_conn *conn, int type, const void *data, size_t len,
                             void *user)
{
    CHECK(wsock_conn_pause_read(conn) == 0);
    side_on_message(conn, type, data, len, user);
}

static void reading_pauses_at_once_in_a_handler(void **state)
{
    struct world world;
    int fd;

    (void)state;
    world_begin(&world, 0);
    wsock_endpoint_on_message(world.endpoint, pause_on_message, &world.side, NULL);
    world_listen(&world, NULL);
    fd = raw_open(world.url);
    raw_send(fd, "\x81\x81\0\0\0\0a\x81\x81\0\0\0\0b\x81\x81\0\0\0\0c", 21);
    for (int i = 1; i <= 3; i++) {
        await(&world.side.messages, i);
        fence(world.side.conn);
        assert_int_equal(told(&world.side.messages), i);
        assert_int_equal(world.side.data[0], 'a' + i - 1);
        assert_int_equal(wsock_conn_resume_read(world.side.conn), 0);
    }
    close(fd);
    await(&world.side.closed, 1);
    world_end(&world);
}

static void pauses_are_counted_and_stop_the_idle_timeout(void **state)
{
    struct world world;
    int fd;

    (void)state;
    world_begin(&world, 0);
    assert_int_equal(wsock_server_set(world.server, "idle_timeout", "80ms"), 0);
    assert_int_equal(wsock_server_set(world.server, "ping_interval", "off"), 0);
    world_listen(&world, NULL);
    fd = raw_open(world.url);
    await(&world.side.opened, 1);
    assert_int_equal(wsock_conn_pause_read(world.side.conn), 0);
    assert_int_equal(wsock_conn_pause_read(world.side.conn), 0);
    fence(world.side.conn);
    raw_frame(fd, 0x81, "late", 4);
    assert_int_equal(wsock_conn_resume_read(world.side.conn), 0);
    assert_true(stays_below(&world.side.messages, 1, 200));
    assert_int_equal(told(&world.side.closed), 0);
    assert_int_equal(wsock_conn_resume_read(world.side.conn), 0);
    await(&world.side.messages, 1);
    await(&world.side.closed, 1);
    assert_int_equal(world.side.cause, WSOCK_CAUSE_IDLE);
    close(fd);
    world_end(&world);
}

static void peer_that_takes_nothing_is_cut_off(void **state)
{
    struct world world;
    int fd;

    (void)state;
    world_begin(&world, 0);
    wsock_server_set_int64(world.server, "max_backlog_bytes", MARK);
    assert_int_equal(wsock_server_set(world.server, "write_timeout", "150ms"), 0);
    world_listen(&world, NULL);
    fd = raw_open(world.url);
    await(&world.side.opened, 1);
    fill(world.side.conn, 1000);
    await(&world.side.closed, 1);
    assert_int_equal(world.side.cause, WSOCK_CAUSE_WRITE_STALL);
    assert_int_equal(world.side.code, 1006);
    close(fd);
    world_end(&world);
}

static void only_the_newest_ping_is_answered_to_who_does_not_read(void **state)
{
    struct world world;
    size_t len, pongs = 0;
    char payload[1024];
    int fd, byte0;

    (void)state;
    world_begin(&world, 0);
    wsock_server_set_int64(world.server, "max_backlog_bytes", MARK);
    assert_int_equal(wsock_server_set(world.server, "pause_read_when_backlogged", "no"),
                     0);
    world_listen(&world, NULL);
    fd = raw_open(world.url);
    await(&world.side.opened, 1);
    fill(world.side.conn, 1000);
    for (int i = 0; i < 500; i++) {
        snprintf(payload, sizeof payload, "%d", i);
        raw_frame(fd, 0x89, payload, strlen(payload));
    }
    raw_frame(fd, 0x81, "all", 3);
    await(&world.side.messages, 1);
    assert_int_equal(wsock_conn_close(world.side.conn, 1000, NULL), 0);
    while ((byte0 = raw_receive(fd, payload, sizeof payload, &len)) > 0 && byte0 != 0x88)
        pongs += byte0 == 0x8a;
    assert_int_equal(byte0, 0x88);
    assert_true(pongs <= 1);
    close(fd);
    world_end(&world);
}

/* ---- calls that wait for a worker ---- */

static void hold_worker(wsock_conn *conn, void *user)
{
    (void)conn;
    sem_wait(user);
}

static void count_call(wsock_conn *conn, void *user)
{
    (void)conn;
    tell(user);
}

static void calls_that_wait_are_limited(void **state)
{
    enum { LIMIT = 65536 };
    struct world world;
    struct side side = {0};
    wsock_client *client;
    int called = 0, accepted = 0, r;
    sem_t go;

    (void)state;
    sem_init(&go, 0, 0);
    world_begin(&world, 1);
    world_listen(&world, NULL);
    client = world_client(&world, &side);
    world_connect(&world, client, &side);
    assert_int_equal(wsock_conn_post(side.conn, hold_worker, &go, NULL), 0);
    while ((r = wsock_conn_post(side.conn, count_call, &called, NULL)) == 0)
        accepted++;
    assert_int_equal(r, WSOCK_EAGAIN);
    assert_true(accepted <= LIMIT && accepted >= LIMIT - 1);
    sem_post(&go);
    await(&called, accepted);
    assert_int_equal(wsock_conn_post(side.conn, count_call, &called, NULL), 0);
    await(&called, accepted + 1);
    wsock_client_unref(client);
    side_fini(&side);
    world_end(&world);
    sem_destroy(&go);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(calls_that_wait_are_limited),
        TEST(buffered_is_what_the_kernel_did_not_take),
        TEST(everything_accepted_arrives_and_empties_the_backlog),
        TEST(drain_follows_every_refusal_of_any_thread),
        TEST(drain_follows_a_refusal_of_its_own_worker),
        TEST(message_above_the_mark_is_taken_when_nothing_waits),
        TEST(plain_echo_is_right_for_a_peer_that_writes_first),
        TEST(a_client_that_floods_an_echo_gets_all_back),
        TEST(the_same_in_parts),
        TEST(reading_pauses_at_once_in_a_handler),
        TEST(pauses_are_counted_and_stop_the_idle_timeout),
        TEST(peer_that_takes_nothing_is_cut_off),
        TEST(only_the_newest_ping_is_answered_to_who_does_not_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
