/* SPDX-License-Identifier: MIT */
/*
 * A host that is busy: nothing is lost, little is held, nobody is timed out for it, and
 * who has another queue or none does not notice.
 */
#include "harness.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- peers that send more than anybody takes ---- */

enum { SIZE = 1000, FLOODS = 3, FLOOD = 4000 /* messages */ };

struct flood {
    pthread_t thread;
    int fd, sent;
};

static void *flood_main(void *user)
{
    struct flood *flood = user;
    char data[SIZE] = {0};

    for (int i = 0; i < FLOOD; i++) {
        memcpy(data, &i, sizeof i);
        raw_frame(flood->fd, 0x82, data, sizeof data);
        tell(&flood->sent);
    }
    return NULL;
}

static void flood_begin(struct flood *flood, const char *url)
{
    memset(flood, 0, sizeof *flood);
    flood->fd = raw_open(url);
    pthread_create(&flood->thread, NULL, flood_main, flood);
}

/* Until it does not get rid of anything any more. */
static void flood_is_stuck(struct flood *flood)
{
    while (!stays_below(&flood->sent, told(&flood->sent) + 1, 200))
        continue;
    assert_in_range(told(&flood->sent), 1, FLOOD / 2);
}

static void flood_end(struct flood *flood)
{
    pthread_join(flood->thread, NULL);
    close(flood->fd);
}

/* ---- a server that is flooded, over sockets with buffers of one size ---- */

struct busy {
    struct world world;
    struct flood floods[FLOODS];
    int count;
    int in_order; /* messages of floods */
};

/* Each message has its number; the connection knows which one is next. */
static void check_order(wsock_conn *conn, int type, const void *data, size_t len,
                        void *user)
{
    struct busy *busy = user;
    const intptr_t next = (intptr_t)wsock_conn_get_user(conn);
    int number = -1;

    if (len != SIZE) {
        side_on_message(conn, type, data, len, &busy->world.side);
        return;
    }
    memcpy(&number, data, sizeof number);
    CHECK(number == next);
    wsock_conn_set_user(conn, (void *)(next + 1), NULL);
    tell(&busy->in_order);
}

static void set(struct busy *busy, const char *name, const char *value)
{
    assert_int_equal(wsock_server_set(busy->world.server, name, value), 0);
}

/* @param floods how many flood it, from this on. */
static void busy_begin(struct busy *busy, int workers)
{
    char url[100];

    memset(busy, 0, sizeof *busy);
    world_begin_queued(&busy->world, workers);
    assert_int_equal(wsock_runtime_set(busy->world.runtime, "queue_events", "64"), 0);
    set(busy, "conn_queue_messages", "1000");
    assert_int_equal(
        wsock_endpoint_on_message(busy->world.endpoint, check_order, busy, NULL), 0);
    snprintf(url, sizeof url, "ws+unix:%s", world_unix_path());
    world_listen(&busy->world, url);
}

static void flood_with(struct busy *busy, int floods)
{
    busy->count = floods;
    for (int i = 0; i < floods; i++)
        flood_begin(&busy->floods[i], busy->world.url);
    for (int i = 0; i < floods; i++)
        flood_is_stuck(&busy->floods[i]);
}

/* The host wakes up: everything there is comes, in order, and each end once. */
static void busy_end(struct busy *busy)
{
    struct side *side = &busy->world.side;

    dispatch_until(busy->world.queue, &busy->in_order, busy->count * FLOOD);
    for (int i = 0; i < busy->count; i++)
        flood_end(&busy->floods[i]);
    dispatch_until(busy->world.queue, &side->closed, told(&side->opened));
    wsock_server_stop(busy->world.server);
    assert_int_equal(wsock_server_wait(busy->world.server, -1), 0);
    assert_int_equal(busy->in_order, busy->count * FLOOD);
    assert_int_equal(side->closed, side->opened);
    world_end(&busy->world);
}

static void a_host_that_sleeps_loses_nothing_and_holds_little(void **state)
{
    struct busy busy;
    size_t live;

    (void)state;
    busy_begin(&busy, 2);
    flood_with(&busy, FLOODS);
    live = test_live_blocks();
    for (int i = 0; i < FLOODS; i++)
        flood_is_stuck(&busy.floods[i]);
    assert_int_equal(test_live_blocks(), live);
    busy_end(&busy);
}

/* ---- a host that pauses ---- */

enum { SHARE = 16, STRETCH = 100 /* messages without a pause */ };

struct pausing {
    struct busy busy;
    int came, behind, most; /* since the last pause began or ended; behind any of them */
    bool is_paused;
};

static void pause_at_once(wsock_conn *conn, int type, const void *data, size_t len,
                          void *user)
{
    struct pausing *pausing = user;

    check_order(conn, type, data, len, &pausing->busy);
    pausing->came++;
    if (pausing->is_paused && pausing->came > pausing->most)
        pausing->most = pausing->came;
    if (pausing->is_paused || pausing->came < STRETCH)
        return;
    CHECK(wsock_conn_pause_read(conn) == 0);
    pausing->is_paused = true;
    pausing->came = 0;
}

/* What its share of the lane held already, and one that the worker was about to put in:
 * not what a read had brought. */
static void behind_a_pause_comes_a_share_and_one(void **state)
{
    struct pausing pausing = {.came = 0};
    struct busy *busy = &pausing.busy;
    const int64_t until = now_ms() + 30000; /* then busy_end() says what is missing */

    (void)state;
    busy_begin(busy, 1);
    set(busy, "conn_queue_messages", "16");
    assert_int_equal(
        wsock_endpoint_on_message(busy->world.endpoint, pause_at_once, &pausing, NULL),
        0);
    busy->count = 1;
    flood_begin(&busy->floods[0], busy->world.url);
    while (told(&busy->in_order) < FLOOD && now_ms() < until) {
        if (wsock_queue_dispatch(busy->world.queue, 0, pausing.is_paused ? 20 : 1) > 0 ||
            !pausing.is_paused)
            continue;
        pausing.is_paused = false;
        pausing.came = 0;
        assert_int_equal(wsock_conn_resume_read(busy->world.side.conn), 0);
    }
    assert_in_range(pausing.most, 0, SHARE + 1);
    busy_end(busy);
}

/* ---- others on the same worker ---- */

static void round_trips(struct side *side, int count)
{
    for (int i = 0; i < count; i++) {
        const int before = told(&side->messages);

        assert_int_equal(wsock_conn_send(side->conn, WSOCK_TEXT, "x", 1), 0);
        await(&side->messages, before + 1);
    }
}

static void *dispatch_main(void *user)
{
    while (wsock_queue_dispatch(user, 0, -1) >= 0)
        continue;
    return NULL;
}

struct other {
    wsock_server *server;
    wsock_endpoint *endpoint;
    wsock_queue *queue;
    pthread_t thread;
    struct side side, peer;
    wsock_client *client;
};

static void other_begin(struct other *other, struct busy *busy, bool is_queued)
{
    char url[256];

    memset(other, 0, sizeof *other);
    other->side.echo = true;
    assert_int_equal(wsock_server_new(busy->world.runtime, &other->server), 0);
    if (is_queued) {
        assert_int_equal(wsock_runtime_queue(busy->world.runtime, &other->queue), 0);
        assert_int_equal(wsock_server_set_queue(other->server, other->queue), 0);
        pthread_create(&other->thread, NULL, dispatch_main, other->queue);
    }
    assert_int_equal(wsock_server_endpoint(other->server, &other->endpoint, "/test"), 0);
    side_endpoint(&other->side, other->endpoint);
    assert_int_equal(wsock_server_listen(other->server, "ws://127.0.0.1:0"), 0);
    assert_true(wsock_server_url(other->server, url, sizeof url, 0) > 0);
    strcat(url, "/test");
    assert_int_equal(wsock_runtime_client(busy->world.runtime, &other->client, url), 0);
    side_client(&other->peer, other->client);
    assert_int_equal(wsock_client_connect(other->client, NULL), 0);
    await(&other->peer.opened, 1);
}

static void other_end(struct other *other)
{
    wsock_endpoint_unref(other->endpoint);
    wsock_server_stop(other->server);
    assert_int_equal(wsock_server_wait(other->server, 20000), 0);
    wsock_server_free(other->server);
    wsock_client_unref(other->client);
    side_fini(&other->side);
    side_fini(&other->peer);
    if (other->queue != NULL) {
        wsock_queue_close(other->queue);
        pthread_join(other->thread, NULL);
        wsock_queue_unref(other->queue);
    }
}

/* One worker, whose lane to the sleeping host is full. */
static void who_has_another_queue_or_none_does_not_notice(void **state)
{
    struct busy busy;
    struct other none, queued;
    int64_t began;

    (void)state;
    busy_begin(&busy, 1);
    flood_with(&busy, 1);
    other_begin(&none, &busy, false);
    other_begin(&queued, &busy, true);
    began = now_ms();
    round_trips(&none.peer, 200);
    round_trips(&queued.peer, 200);
    assert_in_range(now_ms() - began, 0, 10000);
    other_end(&queued);
    other_end(&none);
    busy_end(&busy);
}

/* ---- one peer of a host that sleeps ---- */

struct met {
    struct busy busy;
    struct side peer;
    wsock_client *client;
};

/* @param sets pairs of options and values of the server, NULL at the end. */
static void met_begin(struct met *met, const char *const *sets)
{
    memset(&met->peer, 0, sizeof met->peer);
    busy_begin(&met->busy, 1);
    for (; *sets != NULL; sets += 2)
        set(&met->busy, sets[0], sets[1]);
    met->client = world_client(&met->busy.world, &met->peer);
    world_connect_queued(&met->busy.world, met->client, &met->peer);
    flood_with(&met->busy, 1);
}

static void met_end(struct met *met)
{
    side_fini(&met->peer);
    wsock_client_unref(met->client);
    busy_end(&met->busy);
}

/* ---- time ---- */

static void peers_of_a_sleeping_host_are_not_timed_out(void **state)
{
    static const char *const sets[] = {
        "idle_timeout", "400ms", "ping_interval", "100ms", "pong_timeout", "100ms", NULL};
    struct met met;
    struct world *world = &met.busy.world;
    int none = 0;

    (void)state;
    met_begin(&met, sets);
    assert_true(stays_below(&none, 1, 1500));
    dispatch_until(world->queue, &met.busy.in_order, FLOOD);
    assert_int_equal(told(&world->side.closed), 0);
    assert_int_equal(told(&met.peer.closed), 0);
    assert_int_equal(wsock_conn_close(met.peer.conn, 1000, NULL), 0);
    dispatch_until(world->queue, &world->side.closed, 1);
    assert_int_equal(world->side.code, 1000);
    met_end(&met);
}

/* The peer answers the close at once; that is read when the host has woken. */
static void a_close_is_not_timed_out_while_the_host_sleeps(void **state)
{
    static const char *const sets[] = {"close_timeout", "400ms", NULL};
    struct met met;
    struct world *world = &met.busy.world;
    int none = 0;

    (void)state;
    met_begin(&met, sets);
    assert_int_equal(wsock_conn_close(world->side.conn, 4000, "enough"), 0);
    assert_true(stays_below(&none, 1, 800));
    dispatch_until(world->queue, &world->side.closed, 1);
    assert_int_equal(world->side.cause, WSOCK_CAUSE_CLOSED);
    assert_int_equal(world->side.code, 4000);
    met_end(&met);
}

/* But the socket is not kept for a host that never does. */
static void a_close_ends_although_the_host_never_wakes(void **state)
{
    static const char message[] = {(char)0x81, 1, 'x'};
    struct world world;
    struct side side = {0};
    wsock_client *client;
    char url[64];
    const int listening = raw_listen(url, sizeof url, 1);
    int fd;

    (void)state;
    world_begin_queued(&world, 1);
    assert_int_equal(wsock_runtime_client(world.runtime, &client, url), 0);
    assert_int_equal(wsock_client_set_queue(client, world.queue), 0);
    side_client(&side, client);
    assert_int_equal(wsock_client_set(client, "conn_queue_messages", "1"), 0);
    assert_int_equal(wsock_client_set(client, "close_timeout", "50ms"), 0);
    assert_int_equal(wsock_client_connect(client, NULL), 0);
    fd = raw_accept_open(listening, "");
    dispatch_until(world.queue, &side.opened, 1);
    for (int i = 0; i < 100; i++)
        raw_send(fd, message, sizeof message);
    assert_int_equal(wsock_conn_close(side.conn, 1000, NULL), 0);
    assert_int_equal(raw_receive_close(fd), 1000);
    assert_true(raw_is_ended(fd));
    assert_int_equal(side.closed, 0);
    dispatch_until(world.queue, &side.closed, 1);
    assert_int_equal(side.cause, WSOCK_CAUSE_CLOSE_TIMEOUT);
    assert_non_null(strstr(side.detail, "the queue was full"));
    assert_in_range(side.messages, 1, 99);
    wsock_queue_dispatch(world.queue, 0, 0);
    assert_int_equal(side.closed, 1);
    side_fini(&side);
    wsock_client_unref(client);
    close(fd);
    close(listening);
    world_end(&world);
}

/* ---- what does not go through the ring ---- */

enum { EVENTS = 30 };

static void opens_drains_and_closes_come_once_although_it_is_full(void **state)
{
    struct busy busy;
    struct side peer = {0};
    wsock_client *client;
    wsock_conn *refused;
    char *data = calloc(1, 1 << 20);
    int fds[EVENTS], r;

    (void)state;
    busy_begin(&busy, 1);
    set(&busy, "max_backlog_bytes", "64KiB");
    client = world_client(&busy.world, &peer);
    world_connect_queued(&busy.world, client, &peer);
    refused = wsock_conn_ref(busy.world.side.conn);
    flood_with(&busy, 1);
    for (int i = 0; i < EVENTS; i++)
        fds[i] = raw_open(busy.world.url);
    /* Far more than sockets take, so that on_drain is owed. */
    while ((r = wsock_conn_send(refused, WSOCK_BINARY, data, 1 << 20)) == 0)
        continue;
    assert_int_equal(r, WSOCK_EAGAIN);
    await(&peer.messages, 1);
    for (int i = 0; i < EVENTS; i++)
        close(fds[i]);
    assert_int_equal(told(&busy.world.side.opened), 1);
    assert_int_equal(told(&busy.world.side.drained), 0);
    dispatch_until(busy.world.queue, &busy.world.side.drained, 1);
    while ((r = wsock_conn_send(refused, WSOCK_BINARY, data, 1 << 20)) == 0)
        continue;
    assert_int_equal(r, WSOCK_EAGAIN);
    dispatch_until(busy.world.queue, &busy.world.side.drained, 2);
    dispatch_until(busy.world.queue, &busy.world.side.closed, EVENTS);
    assert_int_equal(wsock_conn_reset(refused), 0);
    wsock_conn_unref(refused);
    side_fini(&peer);
    wsock_client_unref(client);
    busy_end(&busy);
    assert_int_equal(busy.world.side.opened, 2 + EVENTS);
    assert_int_equal(busy.world.side.drained, 2);
    free(data);
}

static void one_that_floods_leaves_room_for_others(void **state)
{
    struct busy busy;
    struct side peer = {0};
    wsock_client *client;
    int none = 0;

    (void)state;
    busy_begin(&busy, 1);
    assert_int_equal(wsock_runtime_set(busy.world.runtime, "queue_events", "4096"), 0);
    set(&busy, "conn_queue_messages", "8");
    client = world_client(&busy.world, &peer);
    world_connect_queued(&busy.world, client, &peer);
    flood_with(&busy, 1);
    assert_int_equal(wsock_conn_send(peer.conn, WSOCK_TEXT, "me too", 6), 0);
    assert_true(stays_below(&none, 1, 300)); /* it has come */
    assert_in_range(wsock_queue_dispatch(busy.world.queue, 20, 0), 10, 20);
    assert_int_equal(told(&busy.world.side.messages), 1);
    assert_int_equal(wsock_conn_reset(peer.conn), 0);
    side_fini(&peer);
    wsock_client_unref(client);
    busy_end(&busy);
}

static void one_whose_bytes_are_many_leaves_room_for_others(void **state)
{
    struct busy busy;

    (void)state;
    busy_begin(&busy, 1);
    set(&busy, "conn_queue_bytes", "4KiB");
    flood_with(&busy, 1);
    busy_end(&busy);
}

enum { CROWD = 300 };

/* Of each there would be one message more than there is room for. */
static void a_crowd_waits_for_room(void **state)
{
    struct busy busy;
    char data[2 * SIZE] = {0};
    int fds[CROWD], none = 0;

    (void)state;
    busy_begin(&busy, 1);
    for (int i = 0; i < CROWD; i++)
        fds[i] = raw_open(busy.world.url);
    dispatch_until(busy.world.queue, &busy.world.side.opened, CROWD);
    for (int i = 0; i < CROWD; i++)
        raw_frame(fds[i], 0x82, data, sizeof data);
    assert_true(stays_below(&none, 1, 300));
    dispatch_until(busy.world.queue, &busy.world.side.messages, CROWD);
    assert_int_equal(busy.world.side.closed, 0);
    for (int i = 0; i < CROWD; i++)
        close(fds[i]);
    busy_end(&busy);
}

/* Messages in one piece with the request, and pongs, which go through the ring too. */
static void what_comes_with_the_request_waits_for_room(void **state)
{
    static const char request[] = "GET /test HTTP/1.1\r\nHost: test\r\nUpgrade: websocket"
                                  "\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"
                                  "\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                  "\r\n\x81\x85\0\0\0\0early\x8a\x82\0\0\0\0po"
                                  "\x81\x84\0\0\0\0late";
    struct busy busy;
    int fds[EVENTS], none = 0;

    (void)state;
    busy_begin(&busy, 1);
    flood_with(&busy, 1);
    for (int i = 0; i < EVENTS; i++) {
        fds[i] = raw_connect(busy.world.url);
        raw_send(fds[i], request, sizeof request - 1);
    }
    assert_true(stays_below(&none, 1, 200));
    dispatch_until(busy.world.queue, &busy.world.side.messages, 2 * EVENTS);
    assert_int_equal(busy.world.side.pongs, EVENTS);
    assert_int_equal(busy.world.side.opened, 1 + EVENTS);
    for (int i = 0; i < EVENTS; i++)
        close(fds[i]);
    busy_end(&busy);
}

/* What ends while it is not read is found out later, and costs nothing until then. */
static void peers_that_go_away_meanwhile_cost_no_time(void **state)
{
    const struct linger none = {.l_onoff = 1, .l_linger = 0};
    struct busy busy;
    int fds[EVENTS], never = 0;
    char url[256];
    int64_t began;

    (void)state;
    busy_begin(&busy, 1);
    assert_int_equal(wsock_server_listen(busy.world.server, "ws://127.0.0.1:0"), 0);
    assert_true(wsock_server_url(busy.world.server, url, sizeof url, 1) > 0);
    for (int i = 0; i < EVENTS; i++)
        fds[i] = raw_open(url);
    dispatch_until(busy.world.queue, &busy.world.side.opened, EVENTS);
    flood_with(&busy, 1);
    for (int i = 0; i < EVENTS; i++)
        raw_frame(fds[i], 0x81, "one", 3);
    assert_true(stays_below(&never, 1, 100));
    for (int i = 0; i < EVENTS; i++) {
        setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &none, sizeof none);
        close(fds[i]);
    }
    began = cpu_ms();
    assert_true(stays_below(&never, 1, 500));
    assert_in_range(cpu_ms() - began, 0, 200);
    dispatch_until(busy.world.queue, &busy.world.side.closed, EVENTS);
    busy_end(&busy);
}

static void count_call(void *user)
{
    tell(user);
}

static void calls_have_their_turn_under_a_flood(void **state)
{
    struct busy busy;
    int calls = 0;

    (void)state;
    busy_begin(&busy, 2);
    flood_with(&busy, FLOODS);
    assert_int_equal(wsock_queue_post(busy.world.queue, count_call, &calls, NULL), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(wsock_queue_dispatch(busy.world.queue, 16, -1), 16);
    assert_int_equal(calls, 1);
    busy_end(&busy);
}

/* ---- what has ended ---- */

/* Of these the host was never told, and they do not wait for it. */
static void what_the_host_never_heard_of_does_not_wait_for_it(void **state)
{
    struct busy busy;
    char answer[1000];

    (void)state;
    busy_begin(&busy, 1);
    set(&busy, "max_connections", "4");
    for (int i = 0; i < 100; i++)
        assert_int_equal(raw_http(busy.world.url, "GET /none HTTP/1.1\r\nHost: a\r\n\r\n",
                                  answer, sizeof answer),
                         404);
    busy_end(&busy);
}

/* A peer that begins a large message and goes away leaves nothing that anybody has to
 * make room for. */
static void what_has_ended_holds_no_memory_while_the_host_sleeps(void **state)
{
    struct busy busy;
    struct other other;
    char *data = calloc(1, 1 << 20), url[256];
    int slow, none = 0;
    size_t len;

    (void)state;
    busy_begin(&busy, 1);
    assert_int_equal(wsock_runtime_set(busy.world.runtime, "max_buffered_bytes", "8MiB"),
                     0);
    other_begin(&other, &busy, false);
    for (int i = 0; i < 40; i++) {
        const int fd = raw_open(busy.world.url);

        raw_frame_header(fd, 0x82, 1 << 20);
        raw_send(fd, data, 1 << 19);
        close(fd);
        round_trips(&other.peer, 1);
    }
    assert_true(wsock_server_url(other.server, url, sizeof url, 0) > 0);
    slow = raw_open(url);
    raw_frame_header(slow, 0x82, 200000);
    raw_send(slow, data, 100000);
    assert_true(stays_below(&none, 1, 400));
    raw_send(slow, data, 100000);
    assert_int_equal(raw_receive(slow, data, 1 << 20, &len), 0x82);
    assert_int_equal(len, 200000);
    close(slow);
    other_end(&other);
    free(data);
    busy_end(&busy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_host_that_sleeps_loses_nothing_and_holds_little),
        TEST(behind_a_pause_comes_a_share_and_one),
        TEST(who_has_another_queue_or_none_does_not_notice),
        TEST(peers_of_a_sleeping_host_are_not_timed_out),
        TEST(a_close_is_not_timed_out_while_the_host_sleeps),
        TEST(a_close_ends_although_the_host_never_wakes),
        TEST(opens_drains_and_closes_come_once_although_it_is_full),
        TEST(one_that_floods_leaves_room_for_others),
        TEST(one_whose_bytes_are_many_leaves_room_for_others),
        TEST(a_crowd_waits_for_room),
        TEST(what_comes_with_the_request_waits_for_room),
        TEST(peers_that_go_away_meanwhile_cost_no_time),
        TEST(calls_have_their_turn_under_a_flood),
        TEST(what_the_host_never_heard_of_does_not_wait_for_it),
        TEST(what_has_ended_holds_no_memory_while_the_host_sleeps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
