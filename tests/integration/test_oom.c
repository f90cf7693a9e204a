/* SPDX-License-Identifier: MIT */
/*
 * Without memory: every constructor answers WSOCK_ENOMEM and leaves nothing behind, and
 * an exchange in which allocations fail still ends as every other does.
 */
#include "harness.h"

#include <pthread.h>
#include <unistd.h>

static void message(wsock_conn *conn, int type, const void *data, size_t len, void *user)
{
    (void)conn;
    (void)type;
    (void)data;
    (void)len;
    (void)user;
}

static void request(wsock_request *req, void *user)
{
    (void)req;
    (void)user;
}

static void timer(wsock_timer *self, uint64_t missed, void *user)
{
    (void)self;
    (void)missed;
    (void)user;
}

static void log_line(int level, const char *subject, const char *text, void *user)
{
    (void)level;
    (void)subject;
    (void)text;
    (void)user;
}

static void runtimes_servers_and_messages_need_memory(void **state)
{
    wsock_runtime *runtime = NULL;
    wsock_server *server = NULL;
    wsock_message *msg = NULL;
    int r;

    (void)state;
    FOR_EACH_OOM(r, r = wsock_runtime_new(&runtime), wsock_runtime_free(runtime));
    assert_int_equal(wsock_runtime_new(&runtime), 0);
    FOR_EACH_OOM(r, r = wsock_server_new(runtime, &server), wsock_server_free(server));
    FOR_EACH_OOM(r, r = wsock_runtime_message(runtime, &msg, WSOCK_TEXT, "text", 4),
                 wsock_message_unref(msg));
    FOR_EACH_OOM(r, r = wsock_runtime_on_log(runtime, log_line, NULL, NULL),
                 wsock_runtime_on_log(runtime, NULL, NULL, NULL));
    assert_int_equal(wsock_runtime_free(runtime), 0);
}

/* What an object keeps on success is built anew each time, so that counts can be
 * compared; the text of an error stays with its object, and is cleared by being written
 * first. */
static int set_up_server(wsock_runtime *runtime, const char *url)
{
    wsock_server *server = NULL;
    wsock_endpoint *endpoint = NULL;
    wsock_room *room = NULL;
    int r = wsock_server_new(runtime, &server);

    if (r == 0)
        r = wsock_server_endpoint(server, &endpoint, "/a/{b}/{c...}");
    if (r == 0)
        r = wsock_endpoint_on_message(endpoint, message, NULL, NULL);
    if (r == 0)
        r = wsock_endpoint_on_request(endpoint, request, NULL, NULL);
    if (r == 0)
        r = wsock_server_on_http(server, request, NULL, NULL);
    if (r == 0)
        r = wsock_server_set(server, "origins", "https://a.example");
    if (r == 0)
        r = wsock_server_set(server, "proxy_protocol_from", "10.0.0.0/8, unix:");
    if (r == 0)
        r = wsock_server_set(server, "trust_forwarded_from", "::1");
    if (r == 0)
        r = wsock_server_set(server, "www", "/");
    if (r == 0)
        r = wsock_server_room(server, &room, "room");
    if (r == 0)
        r = wsock_server_listen(server, url);
    wsock_room_unref(room);
    wsock_endpoint_unref(endpoint);
    wsock_server_stop(server);
    if (server != NULL)
        wsock_server_wait(server, -1);
    wsock_server_free(server);
    return r;
}

static int set_up_client(wsock_runtime *runtime)
{
    wsock_client *client = NULL;
    int r = wsock_runtime_client(runtime, &client, "ws://127.0.0.1:9/");

    if (r == 0)
        r = wsock_client_add_header(client, "X-A", "b");
    if (r == 0)
        r = wsock_client_add_subprotocol(client, "one");
    if (r == 0)
        r = wsock_client_add_subprotocol(client, "two");
    if (r == 0)
        r = wsock_client_on_message(client, message, NULL, NULL);
    wsock_client_unref(client);
    return r;
}

static int whole_runtime(void)
{
    const char *path = world_unix_path();
    wsock_runtime *runtime = NULL;
    char url[128];
    int r = wsock_runtime_new(&runtime);

    snprintf(url, sizeof url, "ws+unix:%s", path);
    if (r == 0)
        r = wsock_runtime_set_int64(runtime, "workers", 2);
    if (r == 0)
        r = wsock_runtime_timer(runtime, NULL, 1000000, 0, timer, NULL, NULL);
    if (r == 0)
        r = set_up_server(runtime, url);
    if (r == 0)
        r = set_up_server(runtime, "ws://127.0.0.1:0");
    if (r == 0)
        r = set_up_client(runtime);
    wsock_runtime_free(runtime);
    assert_int_equal(access(path, F_OK), -1);
    return r;
}

/* A few allocations may fail without harm (what a log or an error text would say), so
 * some refusals end well; but none may leave anything behind. */
static void setting_up_needs_memory(void **state)
{
    const size_t live = test_live_blocks();
    const int fds = test_open_fds();

    (void)state;
    for (int ever = 0; ever < 2; ever++) {
        size_t refused = 1, failed = 0;

        for (size_t n = 1; refused > 0; n++) {
            int r;

            test_fail_allocation(n, ever);
            r = whole_runtime();
            refused = test_stop_failing();
            assert_true(r == WSOCK_ENOMEM || r == 0);
            assert_true(r == 0 || refused > 0);
            assert_int_equal(test_live_blocks(), live);
            assert_int_equal(test_open_fds(), fds);
            failed += r == WSOCK_ENOMEM;
        }
        assert_true(failed > 20);
    }
}

/* ---- an exchange ---- */

struct exchange {
    struct side client, server;
    wsock_server *host;
    wsock_room *room;
    int came, went, said; /* as the room's handlers were told */
};

static void on_join(wsock_room *room, const wsock_member *member, void *user)
{
    (void)room;
    CHECK(member->info_len == 2);
    tell(&((struct exchange *)user)->came);
}

static void on_leave(wsock_room *room, const wsock_member *member, void *user)
{
    (void)room;
    CHECK(strcmp(member->identity, "ann") == 0);
    tell(&((struct exchange *)user)->went);
}

static void on_said(wsock_room *room, const wsock_room_message *said, void *user)
{
    (void)room;
    CHECK(said->type == WSOCK_BINARY);
    tell(&((struct exchange *)user)->said);
}

static void on_request(wsock_request *req, void *user)
{
    (void)user;
    wsock_request_add_header(req, "X-A", "b");
    wsock_request_accept(req, wsock_request_offers(req, "one") ? "one" : NULL);
}

static void on_server_open(wsock_conn *conn, void *user)
{
    const wsock_join how = {.size = sizeof how, .info = "it", .info_len = 2};
    struct exchange *exchange = user;

    if (wsock_conn_set_identity(conn, "ann") < 0 ||
        wsock_server_subscribe(exchange->host, conn, ">") < 0 ||
        wsock_room_join_with(exchange->room, conn, &how, NULL) < 0)
        wsock_conn_reset(conn);
    tell(&exchange->server.opened);
}

static void on_server_message(wsock_conn *conn, int type, const void *data, size_t len,
                              void *user)
{
    struct exchange *exchange = user;

    wsock_room_broadcast(exchange->room, type, data, len);
    if (wsock_conn_send(conn, type, data, len) < 0)
        wsock_conn_reset(conn);
}

static void on_server_close(wsock_conn *conn, const wsock_close_info *info, void *user)
{
    (void)conn;
    (void)info;
    tell(&((struct exchange *)user)->server.closed);
}

static void on_client_open(wsock_conn *conn, void *user)
{
    static const char text[6000];
    struct exchange *exchange = user;

    tell(&exchange->client.opened);
    if (wsock_conn_send_ping(conn, "p", 1) < 0 ||
        wsock_conn_send(conn, WSOCK_BINARY, text, sizeof text) < 0)
        wsock_conn_reset(conn);
}

static void on_client_message(wsock_conn *conn, int type, const void *data, size_t len,
                              void *user)
{
    side_on_message(conn, type, data, len, &((struct exchange *)user)->client);
    if (wsock_conn_close(conn, 1000, "done") == WSOCK_ENOMEM)
        wsock_conn_reset(conn);
}

/* @return whether a whole exchange went through; either way it has ended. */
static bool exchange_once(wsock_client *client, struct exchange *exchange)
{
    const int messages = told(&exchange->client.messages);
    const int closed = told(&exchange->client.closed);
    const int r = wsock_client_connect(client, NULL);

    if (r < 0) {
        assert_int_equal(r, WSOCK_ENOMEM);
        return false;
    }
    await(&exchange->client.closed, closed + 1);
    return exchange->client.cause == WSOCK_CAUSE_CLOSED &&
           told(&exchange->client.messages) > messages;
}

/* ---- with all handlers on a queue ---- */

struct host {
    wsock_queue *queue;
    atomic_bool leaves;
    pthread_t thread;
};

static void *host_main(void *user)
{
    struct host *host = user;

    while (!atomic_load(&host->leaves))
        CHECK(wsock_queue_dispatch(host->queue, 0, -1) >= 0);
    return NULL;
}

static void host_begin(struct host *host, struct world *world, wsock_client *client)
{
    assert_int_equal(wsock_client_set_queue(client, world->queue), 0);
    host->queue = world->queue;
    atomic_init(&host->leaves, false);
    pthread_create(&host->thread, NULL, host_main, host);
}

/* From here on the queue is this thread's. */
static void host_end(struct host *host)
{
    atomic_store(&host->leaves, true);
    wsock_queue_wake(host->queue);
    pthread_join(host->thread, NULL);
    assert_in_range(wsock_queue_dispatch(host->queue, 0, 0), 0, INT32_MAX);
}

static wsock_client *exchange_client(struct world *world)
{
    wsock_client *client = NULL;
    char url[320];

    snprintf(url, sizeof url, "%s/test", world->url);
    assert_int_equal(wsock_runtime_client(world->runtime, &client, url), 0);
    return client;
}

static void exchange_without_memory(bool is_queued)
{
    struct world world;
    struct host host;
    struct exchange exchange = {0};
    wsock_client *client;
    size_t n;

    if (is_queued)
        world_begin_queued(&world, 2);
    else
        world_begin(&world, 2);
    wsock_server_set(world.server, "handshake_timeout", "2s");
    wsock_endpoint_on_request(world.endpoint, on_request, &exchange, NULL);
    wsock_endpoint_on_open(world.endpoint, on_server_open, &exchange, NULL);
    wsock_endpoint_on_message(world.endpoint, on_server_message, &exchange, NULL);
    wsock_endpoint_on_close(world.endpoint, on_server_close, &exchange, NULL);
    exchange.host = world.server;
    assert_int_equal(wsock_server_room(world.server, &exchange.room, "r"), 0);
    assert_int_equal(wsock_room_on_join(exchange.room, on_join, &exchange, NULL), 0);
    assert_int_equal(wsock_room_on_leave(exchange.room, on_leave, &exchange, NULL), 0);
    assert_int_equal(wsock_room_on_message(exchange.room, on_said, &exchange, NULL), 0);
    world_listen(&world, NULL);
    client = exchange_client(&world);
    if (is_queued) {
        host_begin(&host, &world, client);
        /* There it takes memory to end a connection; time needs none. */
        wsock_server_set(world.server, "idle_timeout", "500ms");
        wsock_client_set(client, "idle_timeout", "500ms");
    }
    side_client(&exchange.client, client);
    wsock_client_on_open(client, on_client_open, &exchange, NULL);
    wsock_client_on_message(client, on_client_message, &exchange, NULL);
    wsock_client_set(client, "handshake_timeout", "2s");
    wsock_client_set(client, "close_timeout", "2s");
    assert_int_equal(wsock_client_add_subprotocol(client, "one"), 0);
    assert_true(exchange_once(client, &exchange)); /* with memory, it works */
    for (int ever = 0; ever < 2; ever++) {
        size_t refused = 1;
        bool went;

        for (n = 1; refused > 0; n++) {
            test_fail_allocation(n, ever);
            went = exchange_once(client, &exchange);
            refused = test_stop_failing();
            assert_true(went || refused > 0);
            assert_true(n < 500);
        }
        assert_true(n > 10);
    }
    assert_true(exchange_once(client, &exchange)); /* and again afterwards */
    if (is_queued)
        host_end(&host);
    wsock_room_unref(exchange.room);
    wsock_client_unref(client);
    world_end(&world);
    assert_int_equal(exchange.server.closed, exchange.server.opened);
    assert_int_equal(exchange.came, exchange.went);
    assert_true(exchange.said > 2);
}

static void exchange_without_memory_ends_cleanly(void **state)
{
    (void)state;
    exchange_without_memory(false);
}

static void exchange_on_a_queue_without_memory_ends_cleanly(void **state)
{
    (void)state;
    exchange_without_memory(true);
}

static void call(void *user)
{
    (void)user;
}

static void queues_need_memory(void **state)
{
    wsock_runtime *runtime = NULL;
    wsock_queue *queue = NULL;
    wsock_client *client = NULL;
    int r;

    (void)state;
    assert_int_equal(wsock_runtime_new(&runtime), 0);
    FOR_EACH_OOM(r, r = wsock_runtime_queue(runtime, &queue), wsock_queue_unref(queue));
    assert_int_equal(wsock_runtime_queue(runtime, &queue), 0);
    FOR_EACH_OOM(r, r = wsock_queue_post(queue, call, NULL, NULL),
                 wsock_queue_dispatch(queue, 0, 0));
    assert_int_equal(wsock_runtime_client(runtime, &client, "ws://127.0.0.1:9/"), 0);
    wsock_client_set_queue(client, NULL);
    test_fail_allocation(1, 0);
    assert_int_equal(wsock_client_set_queue(client, queue), WSOCK_ENOMEM);
    test_stop_failing();
    assert_int_equal(wsock_client_set_queue(client, queue), 0);
    wsock_client_unref(client);
    wsock_queue_unref(queue);
    assert_int_equal(wsock_runtime_free(runtime), 0);
}

static void shutdown_without_memory(bool is_queued)
{
    struct world world;
    struct side side = {0};
    wsock_client *client;
    int64_t began;

    if (is_queued)
        world_begin_queued(&world, 2);
    else
        world_begin(&world, 2);
    wsock_server_set(world.server, "stop_timeout", "20s");
    wsock_server_set(world.server, "close_timeout", "20s");
    world_listen(&world, NULL);
    client = world_client(&world, &side);
    wsock_client_set(client, "close_timeout", "20s");
    for (int i = 0; i < 4; i++)
        if (is_queued)
            world_connect_queued(&world, client, &side);
        else
            world_connect(&world, client, &side);
    side_fini(&side);
    wsock_client_unref(client);
    side_fini(&world.side);
    test_fail_allocation(1, 1);
    began = now_ms();
    world_end(&world);
    test_stop_failing();
    assert_true(now_ms() - began < 10000);
    assert_int_equal(side.closed, 4);
    assert_int_equal(world.side.closed, 4);
}

static void shutdown_needs_no_memory(void **state)
{
    (void)state;
    shutdown_without_memory(false);
}

static void shutdown_on_a_queue_needs_no_memory(void **state)
{
    (void)state;
    shutdown_without_memory(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(runtimes_servers_and_messages_need_memory),
        TEST(setting_up_needs_memory),
        TEST(exchange_without_memory_ends_cleanly),
        TEST(exchange_on_a_queue_without_memory_ends_cleanly),
        TEST(queues_need_memory),
        TEST(shutdown_needs_no_memory),
        TEST(shutdown_on_a_queue_needs_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
