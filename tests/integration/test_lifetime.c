/* SPDX-License-Identifier: MIT */
/* Objects and their ends: handles that outlive, frees that run once, stops from anywhere.
 */
#include "harness.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static void unref_takes_null(void **state)
{
    (void)state;
    wsock_runtime_unref(NULL);
    wsock_server_unref(NULL);
    wsock_endpoint_unref(NULL);
    wsock_client_unref(NULL);
    wsock_conn_unref(NULL);
    wsock_request_unref(NULL);
    wsock_room_unref(NULL);
    wsock_message_unref(NULL);
    wsock_timer_unref(NULL);
    wsock_server_free(NULL);
    assert_int_equal(wsock_runtime_free(NULL), 0);
}

/* ---- handles outlive their objects ---- */

static void on_timer(wsock_timer *timer, uint64_t missed, void *user)
{
    (void)timer;
    (void)missed;
    tell(user);
}

static void on_post(wsock_conn *conn, void *user)
{
    (void)conn;
    tell(user);
}

/* Every call on a connection that has ended; the facts of its handshake stay. */
static void assert_conn_has_ended(wsock_conn *conn, wsock_room *room)
{
    int never = 0;

    assert_int_equal(wsock_conn_send(conn, WSOCK_TEXT, "x", 1), WSOCK_ECLOSED);
    assert_int_equal(wsock_conn_send_ping(conn, NULL, 0), WSOCK_ECLOSED);
    assert_int_equal(wsock_conn_send_pong(conn, NULL, 0), WSOCK_ECLOSED);
    assert_int_equal(wsock_conn_close(conn, 1000, NULL), WSOCK_ECLOSED);
    assert_int_equal(wsock_conn_reset(conn), WSOCK_ECLOSED);
    assert_int_equal(wsock_conn_pause_read(conn), WSOCK_ECLOSED);
    assert_int_equal(wsock_conn_resume_read(conn), WSOCK_ECLOSED);
    assert_int_equal(wsock_conn_post(conn, on_post, &never, free_counted), WSOCK_ECLOSED);
    assert_int_equal(wsock_conn_timer(conn, NULL, 0, 0, on_timer, &never, free_counted),
                     WSOCK_ECLOSED);
    assert_int_equal(wsock_room_join(room, conn), WSOCK_ECLOSED);
    assert_int_equal(wsock_room_leave(room, conn), WSOCK_ENOENT);
    assert_int_equal(wsock_conn_is_open(conn), 0);
    assert_int_equal(wsock_conn_buffered(conn), 0);
    assert_true(wsock_conn_id(conn) > 0);
    assert_int_equal(never, 0);
}

static void handles_outlive_the_runtime(void **state)
{
    struct world world;
    struct side side = {0};
    wsock_client *client;
    wsock_room *room = NULL;
    wsock_timer *timer = NULL;
    wsock_message *message = NULL;
    wsock_conn *conn, *conns[4];
    wsock_runtime *runtime;
    wsock_server *server;
    int ticks = 0, user = 0;
    char url[64];

    (void)state;
    world_begin(&world, 2);
    world_listen(&world, NULL);
    client = world_client(&world, &side);
    world_connect(&world, client, &side);
    assert_int_equal(wsock_server_room(world.server, &room, "kept"), 0);
    assert_int_equal(
        wsock_runtime_timer(world.runtime, &timer, 1, 1, on_timer, &ticks, NULL), 0);
    assert_int_equal(wsock_runtime_message(world.runtime, &message, WSOCK_TEXT, "m", 1),
                     0);
    await(&ticks, 2);
    conn = wsock_conn_ref(world.side.conn);
    assert_int_equal(wsock_conn_set_user(conn, &user, free_counted), 0);
    runtime = wsock_runtime_ref(world.runtime);
    server = wsock_server_ref(world.server);
    wsock_endpoint_ref(world.endpoint);
    world_end(&world);

    assert_conn_has_ended(conn, room);
    assert_conn_has_ended(side.conn, room);
    assert_int_equal(wsock_conn_send_message(conn, message), WSOCK_ECLOSED);
    assert_string_equal(wsock_request_path(wsock_conn_request(conn)), "/test");
    assert_non_null(wsock_request_header(wsock_conn_request(conn), "Host"));
    assert_true(strncmp(wsock_conn_remote_address(conn), "127.0.0.1:", 10) == 0);
    assert_string_equal(wsock_conn_remote_address(conn),
                        wsock_conn_local_address(side.conn));
    assert_string_equal(wsock_conn_local_address(conn),
                        wsock_conn_remote_address(side.conn));
    assert_ptr_equal(wsock_conn_get_user(conn), &user);
    assert_non_null(wsock_conn_response_header(side.conn, "Upgrade"));
    assert_int_equal(user, 0);

    assert_int_equal(wsock_server_listen(server, "ws://127.0.0.1:0"), WSOCK_ECLOSED);
    assert_int_equal(wsock_server_url(server, url, sizeof url, 0), WSOCK_ENOENT);
    assert_int_equal(wsock_server_endpoint(server, NULL, "/new"), WSOCK_ECLOSED);
    assert_int_equal(wsock_server_wait(server, -1), 0);
    assert_int_equal(wsock_server_conn_count(server), 0);
    assert_int_equal(wsock_endpoint_on_open(world.endpoint, side_on_open, NULL, NULL),
                     WSOCK_ECLOSED);
    assert_string_equal(wsock_endpoint_pattern(world.endpoint), "/test");
    assert_int_equal(wsock_server_room(server, &room, "other"), WSOCK_ECLOSED);
    assert_string_equal(wsock_room_name(room), "kept");
    assert_int_equal(wsock_room_count(room), 0);
    assert_int_equal(wsock_room_members(room, conns, 4), 0);
    assert_int_equal(wsock_room_broadcast(room, WSOCK_TEXT, "x", 1), WSOCK_ECLOSED);
    assert_int_equal(wsock_client_connect(client, NULL), WSOCK_ECLOSED);
    assert_int_equal(wsock_runtime_timer(runtime, NULL, 0, 0, on_timer, &ticks, NULL),
                     WSOCK_ECLOSED);
    wsock_timer_stop(timer);
    assert_int_equal(wsock_server_new(runtime, &world.server), WSOCK_ECLOSED);

    side_fini(&side);
    wsock_message_unref(message);
    wsock_timer_unref(timer);
    wsock_room_unref(room);
    wsock_client_unref(client);
    wsock_endpoint_unref(world.endpoint);
    wsock_server_unref(server);
    wsock_runtime_unref(runtime);
    assert_int_equal(user, 0);
    wsock_conn_unref(conn); /* the very last */
    assert_int_equal(user, 1);
}

/* ---- stopping, from everywhere ---- */

static void stop_on_message(wsock_conn *conn, int type, const void *data, size_t len,
                            void *user)
{
    struct world *world = user;

    (void)conn;
    (void)type;
    (void)data;
    (void)len;
    wsock_server_stop(world->server);
    wsock_server_stop(world->server);
}

static void stop_may_be_called_from_a_handler(void **state)
{
    struct world world;
    struct side side = {0};
    wsock_client *client;

    (void)state;
    world_begin(&world, 2);
    wsock_endpoint_on_message(world.endpoint, stop_on_message, &world, NULL);
    world_listen(&world, NULL);
    client = world_client(&world, &side);
    for (int i = 0; i < 5; i++)
        world_connect(&world, client, &side);
    assert_int_equal(wsock_conn_send(side.conn, WSOCK_TEXT, "stop", 4), 0);
    await(&world.stopped, 1);
    /* No handler of the server runs after on_stopped. */
    assert_int_equal(told(&world.side.closed), 5);
    assert_int_equal(wsock_server_wait(world.server, 20000), 0);
    await(&side.closed, 5);
    assert_int_equal(side.code, 1001);
    assert_int_equal(side.began, WSOCK_BY_PEER);
    side_fini(&side);
    wsock_client_unref(client);
    world_end(&world);
    assert_int_equal(world.stopped, 1);
}

static void free_on_message(wsock_conn *conn, int type, const void *data, size_t len,
                            void *user)
{
    struct world *world = user;

    (void)type;
    (void)data;
    (void)len;
    wsock_endpoint_unref(world->endpoint);
    wsock_server_free(world->server);
    CHECK(wsock_conn_id(conn) != 0); /* it keeps what it needs */
}

static void server_may_be_freed_from_its_handler(void **state)
{
    struct world world;
    struct side side = {0};
    wsock_client *client;

    (void)state;
    world_begin(&world, 2);
    wsock_endpoint_on_message(world.endpoint, free_on_message, &world, NULL);
    world_listen(&world, NULL);
    client = world_client(&world, &side);
    world_connect(&world, client, &side);
    side_fini(&world.side);
    assert_int_equal(wsock_conn_send(side.conn, WSOCK_TEXT, "free", 4), 0);
    await(&world.stopped, 1);
    await(&side.closed, 1);
    side_fini(&side);
    wsock_client_unref(client);
    side_fini(&world.side);
    assert_int_equal(wsock_runtime_free(world.runtime), 0);
    assert_int_equal(world.side.closed, 1);
    assert_int_equal(world.stopped, 1);
}

static void wait_on_message(wsock_conn *conn, int type, const void *data, size_t len,
                            void *user)
{
    struct world *world = user;

    CHECK(wsock_server_wait(world->server, -1) == WSOCK_EDEADLK);
    CHECK(wsock_runtime_run(world->runtime, 0) == WSOCK_EDEADLK);
    CHECK(wsock_runtime_free(world->runtime) == WSOCK_EDEADLK);
    wsock_conn_send(conn, type, data, len);
}

static void waiting_in_a_handler_is_a_deadlock_and_an_error(void **state)
{
    struct world world;
    struct side side = {0};
    wsock_client *client;

    (void)state;
    world_begin(&world, 2);
    wsock_endpoint_on_message(world.endpoint, wait_on_message, &world, NULL);
    world_listen(&world, NULL);
    client = world_client(&world, &side);
    world_connect(&world, client, &side);
    assert_int_equal(wsock_conn_send(side.conn, WSOCK_TEXT, "wait", 4), 0);
    await(&side.messages, 1); /* nothing happened to it */
    assert_int_equal(wsock_server_wait(world.server, 0), WSOCK_ETIMEDOUT);
    assert_int_equal(wsock_server_wait(world.server, 30), WSOCK_ETIMEDOUT);
    side_fini(&side);
    wsock_client_unref(client);
    world_end(&world);
}

static void *run_runtime(void *user)
{
    return (void *)(intptr_t)wsock_runtime_run(user, 0);
}

static void run_returns_after_stop_and_the_last_close(void **state)
{
    struct world world;
    struct side side = {0};
    wsock_client *client;
    pthread_t thread;
    void *result;

    (void)state;
    world_begin(&world, 2);
    world_listen(&world, NULL);
    client = world_client(&world, &side);
    world_connect(&world, client, &side);
    assert_int_equal(pthread_create(&thread, NULL, run_runtime, world.runtime), 0);
    wsock_runtime_stop(world.runtime);
    pthread_join(thread, &result);
    assert_int_equal((intptr_t)result, 0);
    assert_int_equal(told(&world.side.closed), 1);
    assert_int_equal(told(&side.closed), 1);
    assert_int_equal(told(&world.stopped), 1);
    side_fini(&side);
    wsock_client_unref(client);
    world_end(&world);
}

struct order {
    int closed, stopped, after;
};

static void order_close(wsock_conn *conn, const wsock_close_info *info, void *user)
{
    struct order *order = user;

    (void)conn;
    (void)info;
    CHECK(told(&order->stopped) == 0);
    tell(&order->closed);
}

static void order_stopped(wsock_server *server, void *user)
{
    struct order *order = user;

    CHECK(wsock_server_conn_count(server) == 0);
    tell_by(&order->after, told(&order->closed));
    tell(&order->stopped);
}

static void runtime_free_ends_live_servers_and_clients(void **state)
{
    enum { CONNS = 30 };
    struct world world;
    struct side side = {0};
    struct order order = {0};
    wsock_client *client;

    (void)state;
    world_begin(&world, 4);
    wsock_endpoint_on_close(world.endpoint, order_close, &order, NULL);
    wsock_server_on_stopped(world.server, order_stopped, &order, NULL);
    world_listen(&world, NULL);
    client = world_client(&world, &side);
    for (int i = 0; i < CONNS; i++)
        world_connect(&world, client, &side);
    side_fini(&world.side);
    wsock_endpoint_unref(world.endpoint);
    assert_int_equal(wsock_runtime_free(world.runtime), 0);
    assert_int_equal(order.closed, CONNS);
    assert_int_equal(order.stopped, 1);
    assert_int_equal(order.after, CONNS); /* on_stopped came behind every on_close */
    assert_int_equal(side.closed, CONNS);
    side_fini(&side);
    wsock_client_unref(client);
    wsock_server_free(world.server);
}

static void stopped_comes_for_a_server_that_never_listened(void **state)
{
    struct world world;

    (void)state;
    world_begin(&world, 0);
    wsock_server_stop(world.server);
    assert_int_equal(wsock_server_wait(world.server, -1), 0);
    world_end(&world);
}

/* ---- free functions ---- */

/* A user pointer that notices when it is used or freed after its free. */
struct guarded {
    atomic_int freed, uses;
};

static void guarded_free(void *user)
{
    struct guarded *guarded = user;

    CHECK(atomic_fetch_add(&guarded->freed, 1) == 0);
}

static void guarded_message(wsock_conn *conn, int type, const void *data, size_t len,
                            void *user)
{
    struct guarded *guarded = user;

    CHECK(atomic_load(&guarded->freed) == 0);
    atomic_fetch_add(&guarded->uses, 1);
    wsock_conn_send(conn, type, data, len);
    CHECK(atomic_load(&guarded->freed) == 0);
}

static void send_back(wsock_conn *conn, int type, const void *data, size_t len,
                      void *user)
{
    wsock_conn_send(conn, type, data, len);
    tell(user);
}

static void handlers_are_freed_once_when_replaced_in_traffic(void **state)
{
    enum { CONNS = 8, REPLACED = 400 };
    struct world world;
    struct side side = {0};
    struct guarded *guarded = calloc(REPLACED, sizeof *guarded);
    wsock_client *client;
    int bounced = 0, uses = 0;

    (void)state;
    assert_non_null(guarded);
    world_begin(&world, 4);
    wsock_endpoint_on_message(world.endpoint, guarded_message, &guarded[0], guarded_free);
    world_listen(&world, NULL);
    client = world_client(&world, &side);
    wsock_client_on_message(client, send_back, &bounced, NULL);
    for (int i = 0; i < CONNS; i++) {
        world_connect(&world, client, &side);
        assert_int_equal(wsock_conn_send(side.conn, WSOCK_TEXT, "ball", 4), 0);
    }
    for (int i = 1; i < REPLACED; i++) {
        assert_int_equal(wsock_endpoint_on_message(world.endpoint, guarded_message,
                                                   &guarded[i], guarded_free),
                         0);
        if (i % 20 == 0)
            await(&bounced, told(&bounced) + 1);
    }
    await(&bounced, told(&bounced) + CONNS);
    side_fini(&side);
    wsock_client_unref(client);
    world_end(&world);
    for (int i = 0; i < REPLACED; i++) {
        assert_int_equal(atomic_load(&guarded[i].freed), 1);
        uses += atomic_load(&guarded[i].uses);
    }
    assert_true(uses >= CONNS);
    free(guarded);
}

struct busy {
    int entered, replaced, freed, left;
};

static void busy_free(void *user)
{
    struct busy *busy = user;

    CHECK(told(&busy->left) == 1);
    tell(&busy->freed);
}

/* Stays until it has been replaced, and a little longer. */
static void busy_message(wsock_conn *conn, int type, const void *data, size_t len,
                         void *user)
{
    struct busy *busy = user;

    (void)conn;
    (void)type;
    (void)data;
    (void)len;
    tell(&busy->entered);
    CHECK(!stays_below(&busy->replaced, 1, 20000));
    CHECK(stays_below(&busy->freed, 1, 50));
    tell(&busy->left);
}

static void replaced_handler_is_not_freed_while_it_runs(void **state)
{
    struct world world;
    struct side side = {0};
    struct busy busy = {0};
    wsock_client *client;

    (void)state;
    world_begin(&world, 2);
    wsock_endpoint_on_message(world.endpoint, busy_message, &busy, busy_free);
    world_listen(&world, NULL);
    client = world_client(&world, &side);
    world_connect(&world, client, &side);
    assert_int_equal(wsock_conn_send(side.conn, WSOCK_TEXT, "stay", 4), 0);
    await(&busy.entered, 1);
    assert_int_equal(wsock_endpoint_on_message(world.endpoint, NULL, NULL, NULL), 0);
    tell(&busy.replaced);
    await(&busy.freed, 1);
    side_fini(&side);
    wsock_client_unref(client);
    world_end(&world);
    assert_int_equal(busy.freed, 1);
}

static int frees[32]; /* one for each registration below */

#define FREED(i) &frees[i], free_counted

static void ignore_request(wsock_request *request, void *user)
{
    (void)user;
    wsock_request_set_user(request, FREED(20));
    wsock_request_set_user(request, FREED(21)); /* frees the one before */
    wsock_request_accept(request, NULL);
}

static void ignore_http(wsock_request *request, void *user)
{
    (void)user;
    wsock_request_set_user(request, FREED(24));
    wsock_request_respond(request, 200, NULL, "ok", 2);
}

static void ignore_log(int level, const char *subject, const char *text, void *user)
{
    (void)level;
    (void)subject;
    (void)text;
    (void)user;
}

static void ignore_stopped(wsock_server *server, void *user)
{
    (void)server;
    (void)user;
}

/* The handlers are given no side here: the user pointers are only counts. */
static void plain_open(wsock_conn *conn, void *user)
{
    (void)conn;
    (void)user;
}

static void plain_message(wsock_conn *conn, int type, const void *data, size_t len,
                          void *user)
{
    (void)conn;
    (void)type;
    (void)data;
    (void)len;
    (void)user;
}

static void plain_pong(wsock_conn *conn, const void *data, size_t len, void *user)
{
    (void)conn;
    (void)data;
    (void)len;
    (void)user;
}

static void plain_close(wsock_conn *conn, const wsock_close_info *info, void *user)
{
    (void)conn;
    (void)info;
    (void)user;
}

static void register_everything(struct world *world, wsock_client *client)
{
    wsock_endpoint *ep = world->endpoint;

    assert_int_equal(wsock_endpoint_on_request(ep, ignore_request, FREED(0)), 0);
    assert_int_equal(wsock_endpoint_on_request_cancelled(ep, ignore_request, FREED(1)),
                     0);
    assert_int_equal(wsock_endpoint_on_message(ep, plain_message, FREED(2)), 0);
    assert_int_equal(wsock_endpoint_on_pong(ep, plain_pong, FREED(3)), 0);
    assert_int_equal(wsock_endpoint_on_drain(ep, plain_open, FREED(4)), 0);
    assert_int_equal(wsock_endpoint_on_close(ep, plain_close, FREED(5)), 0);
    assert_int_equal(wsock_server_on_http(world->server, ignore_http, FREED(6)), 0);
    assert_int_equal(wsock_server_on_stopped(world->server, ignore_stopped, FREED(7)), 0);
    assert_int_equal(wsock_client_on_message(client, plain_message, FREED(8)), 0);
    assert_int_equal(wsock_client_on_pong(client, plain_pong, FREED(9)), 0);
    assert_int_equal(wsock_client_on_drain(client, plain_open, FREED(10)), 0);
    assert_int_equal(wsock_client_on_close(client, plain_close, FREED(11)), 0);
    assert_int_equal(wsock_runtime_on_log(world->runtime, ignore_log, FREED(12)), 0);
    /* With no function there is no use: freed at once. */
    assert_int_equal(wsock_endpoint_on_open(ep, NULL, FREED(13)), 0);
    assert_int_equal(wsock_client_on_open(client, NULL, FREED(14)), 0);
    assert_int_equal(told(&frees[13]) + told(&frees[14]), 2);
}

static void every_free_function_runs_once(void **state)
{
    struct world world;
    struct side side = {0};
    wsock_client *client;
    wsock_timer *timer = NULL;
    char answer[512];

    (void)state;
    memset(frees, 0, sizeof frees);
    world_begin(&world, 2);
    world_listen(&world, NULL);
    client = world_client(&world, &side);
    register_everything(&world, client);
    wsock_endpoint_on_open(world.endpoint, side_on_open, &world.side, NULL);
    wsock_client_on_open(client, side_on_open, &side, NULL);
    assert_int_equal(
        raw_http(world.url, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n", answer, sizeof answer),
        200);
    await(&frees[24], 1); /* of a plain request, when it ends */
    world_connect(&world, client, &side);
    await(&frees[20], 1);
    assert_int_equal(wsock_conn_set_user(side.conn, FREED(22)), 0);
    assert_int_equal(wsock_conn_set_user(side.conn, FREED(23)), 0);
    assert_int_equal(told(&frees[22]), 1);
    assert_int_equal(wsock_conn_post(side.conn, on_post, FREED(15)), 0);
    assert_int_equal(wsock_runtime_timer(world.runtime, NULL, 0, 0, on_timer, FREED(16)),
                     0);
    /* These count once when they run, and once when they are freed. */
    await(&frees[15], 2);
    await(&frees[16], 2);
    assert_int_equal(
        wsock_runtime_timer(world.runtime, NULL, 600000, 0, on_timer, FREED(17)), 0);
    assert_int_equal(wsock_conn_timer(side.conn, NULL, 600000, 0, on_timer, FREED(18)),
                     0);
    assert_int_equal(
        wsock_runtime_timer(world.runtime, &timer, 600000, 0, on_timer, FREED(19)), 0);
    wsock_timer_stop(timer);
    wsock_timer_stop(timer);
    await(&frees[19], 1);
    wsock_timer_unref(timer);
    assert_int_equal(wsock_conn_close(side.conn, 1000, NULL), 0);
    await(&frees[18], 1); /* ends with the connection */
    assert_int_equal(told(&frees[17]), 0);
    side_fini(&side);
    wsock_client_unref(client);
    side_fini(&world.side);
    wsock_endpoint_unref(world.endpoint);
    wsock_server_free(world.server);
    assert_int_equal(wsock_runtime_free(world.runtime), 0);
    for (int i = 0; i <= 24; i++)
        assert_int_equal(frees[i], i == 15 || i == 16 ? 2 : 1);
}

static void failed_registration_frees_nothing(void **state)
{
    struct world world;
    int freed = 0;

    (void)state;
    world_begin(&world, 0);
    assert_int_equal(wsock_endpoint_on_open(NULL, plain_open, &freed, free_counted),
                     WSOCK_EINVAL);
    assert_int_equal(wsock_server_on_http(NULL, ignore_http, &freed, free_counted),
                     WSOCK_EINVAL);
    assert_int_equal(
        wsock_runtime_timer(world.runtime, NULL, 0, 0, NULL, &freed, free_counted),
        WSOCK_EINVAL);
    assert_int_equal(wsock_conn_post(NULL, on_post, &freed, free_counted), WSOCK_EINVAL);
    wsock_server_stop(world.server);
    assert_int_equal(
        wsock_endpoint_on_open(world.endpoint, plain_open, &freed, free_counted),
        WSOCK_ECLOSED);
    assert_int_equal(
        wsock_server_on_http(world.server, ignore_http, &freed, free_counted),
        WSOCK_ECLOSED);
    test_fail_allocation(1, 1);
    assert_int_equal(
        wsock_runtime_on_log(world.runtime, ignore_log, &freed, free_counted),
        WSOCK_ENOMEM);
    assert_int_equal(
        wsock_runtime_timer(world.runtime, NULL, 0, 0, on_timer, &freed, free_counted),
        WSOCK_ENOMEM);
    test_stop_failing();
    world_end(&world);
    assert_int_equal(freed, 0);
}

/* ---- what is under way at the end ---- */

struct flood {
    struct world *world;
    wsock_conn *conn;
    int posted, ended, timers;
};

static void *flood(void *user)
{
    struct flood *flood = user;
    int r = 0;

    /* A few ahead of the workers, so that there is work in flight all the time. */
    while ((r == 0 || r == WSOCK_EAGAIN) &&
           !stays_below(&flood->ended, flood->posted - 50, 20000)) {
        r = wsock_conn_post(flood->conn, on_post, &flood->ended, free_counted);
        CHECK(r == 0 || r == WSOCK_ECLOSED || r == WSOCK_EAGAIN);
        flood->posted += r == 0;
    }
    do {
        r = wsock_runtime_timer(flood->world->runtime, NULL, 0, 0, on_timer,
                                &flood->ended, free_counted);
        flood->timers += r == 0;
    } while (r == 0 &&
             !stays_below(&flood->ended, flood->posted + flood->timers - 50, 20000));
    CHECK(r == WSOCK_ECLOSED);
    wsock_conn_unref(flood->conn);
    wsock_runtime_unref(flood->world->runtime);
    return NULL;
}

static void runtime_may_be_freed_with_posted_work_in_flight(void **state)
{
    enum { THREADS = 4, ROUNDS = 10 };

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct world world;
        struct side side = {0};
        struct flood floods[THREADS];
        pthread_t threads[THREADS];
        wsock_client *client;

        world_begin(&world, 2);
        world_listen(&world, NULL);
        client = world_client(&world, &side);
        world_connect(&world, client, &side);
        for (int i = 0; i < THREADS; i++) {
            floods[i] = (struct flood){.world = &world};
            floods[i].conn = wsock_conn_ref(i % 2 ? side.conn : world.side.conn);
            wsock_runtime_ref(world.runtime);
            assert_int_equal(pthread_create(&threads[i], NULL, flood, &floods[i]), 0);
        }
        await(&floods[0].ended, 100);
        side_fini(&side);
        wsock_client_unref(client);
        world_end(&world);
        for (int i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
            /* Each was freed once; those that ran counted twice. */
            assert_true(floods[i].ended >= floods[i].posted + floods[i].timers);
            assert_true(floods[i].ended <= 2 * (floods[i].posted + floods[i].timers));
        }
    }
}

struct timed {
    wsock_conn *conn;
    int launched, freed;
};

static void *launch_timers(void *user)
{
    struct timed *timed = user;
    int r = 0;

    while (r == 0) {
        r = wsock_conn_timer(timed->conn, NULL, 1000000, 0, on_timer, &timed->freed,
                             free_counted);
        timed->launched += r == 0;
    }
    CHECK(r == WSOCK_ECLOSED);
    wsock_conn_unref(timed->conn);
    return NULL;
}

static void timers_that_race_with_the_end_of_their_connection_are_freed(void **state)
{
    enum { THREADS = 3, ROUNDS = 60 };
    struct world world;
    struct side side = {0};
    wsock_client *client;

    (void)state;
    world_begin(&world, 2);
    world_listen(&world, NULL);
    client = world_client(&world, &side);
    for (int round = 1; round <= ROUNDS; round++) {
        struct timed timed[THREADS];
        pthread_t threads[THREADS];

        world_connect(&world, client, &side);
        for (int i = 0; i < THREADS; i++) {
            timed[i] = (struct timed){.conn = wsock_conn_ref(world.side.conn)};
            assert_int_equal(pthread_create(&threads[i], NULL, launch_timers, &timed[i]),
                             0);
        }
        assert_int_equal(wsock_conn_close(side.conn, 1000, NULL), 0);
        for (int i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
            await(&timed[i].freed, timed[i].launched);
        }
        await(&side.closed, round);
    }
    side_fini(&side);
    wsock_client_unref(client);
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(unref_takes_null),
        TEST(handles_outlive_the_runtime),
        TEST(stop_may_be_called_from_a_handler),
        TEST(server_may_be_freed_from_its_handler),
        TEST(waiting_in_a_handler_is_a_deadlock_and_an_error),
        TEST(run_returns_after_stop_and_the_last_close),
        TEST(runtime_free_ends_live_servers_and_clients),
        TEST(stopped_comes_for_a_server_that_never_listened),
        TEST(handlers_are_freed_once_when_replaced_in_traffic),
        TEST(replaced_handler_is_not_freed_while_it_runs),
        TEST(every_free_function_runs_once),
        TEST(failed_registration_frees_nothing),
        TEST(runtime_may_be_freed_with_posted_work_in_flight),
        TEST(timers_that_race_with_the_end_of_their_connection_are_freed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
