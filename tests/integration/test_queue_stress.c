/* SPDX-License-Identifier: MIT */
/*
 * Everything at once, on queues: hosts that dispatch little and much, and sleep; threads
 * that send, close, pause, post, start timers, replace handlers and wake hosts; some
 * queues close in the middle of it, and then all servers stop. What holds at the end:
 * whatever opened on a queue that lived has closed, once, in the order of its handlers,
 * and each free function ran once.
 *
 * As an argument: how many rounds.
 */
#include "harness.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    HOSTS = 3,
    THREADS = 3,
    KEPT = 40,    /* connections that threads know of */
    STEPS = 1500, /* of each thread */
    CONNECTS = 20,
};

static int rounds = 1;

struct mix;

struct shop {
    struct mix *mix;
    wsock_queue *queue;
    wsock_server *server;
    wsock_endpoint *endpoint;
    wsock_client *client, *managed;
    pthread_t thread;
    bool closes;            /* its queue is closed in the middle */
    int opened, closed;     /* of both ends */
    int made, freed;        /* of what has free functions */
    atomic_int dispatching; /* handlers at one time */
};

struct mix {
    wsock_runtime *runtime;
    struct shop shops[HOSTS];
    pthread_mutex_t lock;
    wsock_conn *kept[KEPT]; /* references */
    int steps, ended;
};

static unsigned draw(unsigned *seed, unsigned below)
{
    *seed = *seed * 1103515245u + 12345u;
    return (*seed >> 16) % below;
}

static void expect(int r)
{
    CHECK(r >= 0 || r == WSOCK_EAGAIN || r == WSOCK_ECLOSED || r == WSOCK_EBUSY ||
          r == WSOCK_EINVAL);
}

/* ---- handlers ---- */

static void enter(struct shop *shop)
{
    CHECK(atomic_fetch_add(&shop->dispatching, 1) == 0);
}

static void leave(struct shop *shop)
{
    atomic_fetch_sub(&shop->dispatching, 1);
}

static void keep(struct mix *mix, wsock_conn *conn)
{
    wsock_conn **place = &mix->kept[wsock_conn_id(conn) % KEPT], *before;

    pthread_mutex_lock(&mix->lock);
    before = *place;
    *place = wsock_conn_ref(conn);
    pthread_mutex_unlock(&mix->lock);
    wsock_conn_unref(before);
}

static wsock_conn *take(struct mix *mix, unsigned at)
{
    wsock_conn *conn;

    pthread_mutex_lock(&mix->lock);
    conn = mix->kept[at];
    if (conn != NULL)
        wsock_conn_ref(conn);
    pthread_mutex_unlock(&mix->lock);
    return conn;
}

static void on_open(wsock_conn *conn, void *user)
{
    struct shop *shop = user;

    enter(shop);
    CHECK(wsock_conn_get_user(conn) == NULL);
    wsock_conn_set_user(conn, shop, NULL);
    keep(shop->mix, conn);
    expect(wsock_conn_send(conn, WSOCK_TEXT, "hello", 5));
    tell(&shop->opened);
    leave(shop);
}

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    struct shop *shop = user;
    const unsigned char *bytes = data;

    enter(shop);
    CHECK(wsock_conn_get_user(conn) == shop); /* behind on_open, before on_close */
    CHECK(len < 2 || bytes[len - 1] == bytes[0] || type == WSOCK_TEXT);
    if (type == WSOCK_BINARY && len > 0 && bytes[0] % 4 == 0)
        expect(wsock_conn_send(conn, WSOCK_BINARY, data, len / 2 != 0 ? 1 : 0));
    leave(shop);
}

static void on_drain(wsock_conn *conn, void *user)
{
    enter(user);
    CHECK(wsock_conn_get_user(conn) == user);
    leave(user);
}

static void on_pong(wsock_conn *conn, const void *data, size_t len, void *user)
{
    (void)data;
    enter(user);
    CHECK(len < 126);
    CHECK(wsock_conn_get_user(conn) == user);
    leave(user);
}

static void on_close(wsock_conn *conn, const wsock_close_info *info, void *user)
{
    struct shop *shop = user;

    enter(shop);
    if (info->opened) {
        CHECK(wsock_conn_get_user(conn) == shop);
        wsock_conn_set_user(conn, shop->mix, NULL);
        tell(&shop->closed);
    } else {
        CHECK(wsock_conn_get_user(conn) == NULL);
    }
    leave(shop);
}

static void on_request(wsock_request *request, void *user)
{
    enter(user);
    expect(wsock_request_accept(request, NULL));
    leave(user);
}

static void on_state(wsock_client *client, const wsock_state_info *info, void *user)
{
    struct shop *shop = user;

    enter(shop);
    CHECK(info->state >= WSOCK_STATE_CONNECTING && info->state <= WSOCK_STATE_CLOSED);
    if (info->state == WSOCK_STATE_WAITING)
        expect(wsock_client_send(client, WSOCK_TEXT, "kept", 4));
    leave(shop);
}

static void on_stopped(wsock_server *server, void *user)
{
    struct shop *shop = user;

    enter(shop);
    CHECK(wsock_server_conn_count(server) == 0);
    leave(shop);
}

static void on_post(wsock_conn *conn, void *user)
{
    enter(user);
    CHECK(wsock_conn_get_user(conn) == user);
    leave(user);
}

static void on_call(void *user)
{
    enter(user);
    leave(user);
}

static void on_tick(wsock_timer *timer, uint64_t missed, void *user)
{
    enter(user);
    if (missed > 2)
        wsock_timer_stop(timer);
    leave(user);
}

static void on_free(void *user)
{
    tell(&((struct shop *)user)->freed);
}

/* What registers a shop as the user of a handler: one free more is due. */
static void made(struct shop *shop, int r)
{
    expect(r);
    if (r == 0)
        tell(&shop->made);
}

/* ---- hosts ---- */

static void *host_main(void *user)
{
    struct shop *shop = user;
    unsigned seed = (unsigned)(uintptr_t)shop;
    int r = 0;

    while (r >= 0) {
        if (draw(&seed, 20) == 0)
            poll(NULL, 0, (int)draw(&seed, 10)); /* it is busy */
        if (draw(&seed, 3) == 0)
            r = wsock_queue_wait(shop->queue, (int64_t)draw(&seed, 5));
        if (r >= 0)
            r = wsock_queue_dispatch(shop->queue,
                                     draw(&seed, 3) == 0 ? draw(&seed, 9) : 0,
                                     (int64_t)draw(&seed, 4) - 1);
    }
    CHECK(r == WSOCK_ECLOSED);
    return NULL;
}

/* ---- threads ---- */

static void step_conn(wsock_conn *conn, unsigned *seed, char *data)
{
    const size_t len = draw(seed, 10) == 0 ? draw(seed, 9000) : draw(seed, 200);
    struct shop *shop = wsock_conn_get_user(conn);

    memset(data, (int)draw(seed, 100), len);
    switch (draw(seed, 16)) {
    case 0:
        if (wsock_conn_pause_read(conn) == 0)
            expect(wsock_conn_resume_read(conn));
        break;
    case 1:
        expect(wsock_conn_send_ping(conn, data, len % 126));
        break;
    case 2:
        expect(draw(seed, 2) == 0 ? wsock_conn_reset(conn)
                                  : wsock_conn_close(conn, 1000, "random"));
        break;
    case 3:
        if (shop != NULL && shop->mix != NULL && (void *)shop != (void *)shop->mix)
            made(shop, wsock_conn_post(conn, on_post, shop, on_free));
        break;
    case 4:
        if (shop != NULL && shop->mix != NULL && (void *)shop != (void *)shop->mix)
            made(shop, wsock_conn_timer(conn, NULL, draw(seed, 20), draw(seed, 3),
                                        on_tick, shop, on_free));
        break;
    default:
        expect(wsock_conn_send(conn, WSOCK_BINARY, data, len));
        break;
    }
}

static void step_shop(struct shop *shop, unsigned *seed)
{
    wsock_timer *timer = NULL;

    switch (draw(seed, 9)) {
    case 0:
        made(shop, wsock_queue_post(shop->queue, on_call, shop, on_free));
        break;
    case 1:
        made(shop, wsock_queue_timer(shop->queue, &timer, draw(seed, 10), draw(seed, 3),
                                     on_tick, shop, on_free));
        if (draw(seed, 2) == 0)
            wsock_timer_stop(timer);
        wsock_timer_unref(timer);
        break;
    case 2:
        wsock_queue_wake(shop->queue);
        break;
    case 3:
        made(shop, wsock_endpoint_on_message(shop->endpoint, on_message, shop, on_free));
        break;
    case 4:
        made(shop, wsock_client_on_message(shop->client, on_message, shop, on_free));
        break;
    case 5:
        expect(wsock_client_start(shop->managed));
        break;
    case 6:
        expect(wsock_client_stop(shop->managed, 1000, NULL));
        break;
    default:
        expect(wsock_client_connect(shop->client, NULL));
        break;
    }
}

static void ignore(void *user)
{
    (void)user;
}

/* Not faster than the hosts, on the whole. */
static void keep_pace(struct shop *shop)
{
    int done = 0;

    if (wsock_queue_post(shop->queue, ignore, &done, free_counted) == 0)
        await(&done, 1);
}

struct thread {
    struct mix *mix;
    unsigned seed;
    pthread_t thread;
};

static void *thread_main(void *user)
{
    struct thread *thread = user;
    struct mix *mix = thread->mix;
    unsigned *seed = &thread->seed;
    char *data = calloc(1, 9001);

    for (int i = 0; i < STEPS && data != NULL; i++) {
        wsock_conn *conn = take(mix, draw(seed, KEPT));

        if (conn != NULL)
            step_conn(conn, seed, data);
        wsock_conn_unref(conn);
        if (i % 5 == 0)
            step_shop(&mix->shops[draw(seed, HOSTS)], seed);
        if (i % 10 == 0)
            keep_pace(&mix->shops[draw(seed, HOSTS)]);
        tell(&mix->steps);
    }
    free(data);
    tell(&mix->ended);
    return NULL;
}

/* ---- rounds ---- */

static void set_handlers(struct shop *shop)
{
    wsock_endpoint *endpoint = shop->endpoint;
    wsock_client *clients[] = {shop->client, shop->managed};

    wsock_server_on_stopped(shop->server, on_stopped, shop, NULL);
    wsock_endpoint_on_request(endpoint, on_request, shop, NULL);
    wsock_endpoint_on_open(endpoint, on_open, shop, NULL);
    wsock_endpoint_on_message(endpoint, on_message, shop, NULL);
    wsock_endpoint_on_drain(endpoint, on_drain, shop, NULL);
    wsock_endpoint_on_pong(endpoint, on_pong, shop, NULL);
    wsock_endpoint_on_close(endpoint, on_close, shop, NULL);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(wsock_client_set_queue(clients[i], shop->queue), 0);
        wsock_client_on_open(clients[i], on_open, shop, NULL);
        wsock_client_on_message(clients[i], on_message, shop, NULL);
        wsock_client_on_drain(clients[i], on_drain, shop, NULL);
        wsock_client_on_pong(clients[i], on_pong, shop, NULL);
        wsock_client_on_close(clients[i], on_close, shop, NULL);
    }
    wsock_client_on_state(shop->managed, on_state, shop, NULL);
    wsock_client_set(shop->managed, "reconnect_delay", "2ms");
    wsock_client_set(shop->managed, "reconnect_max_delay", "5ms");
}

static void shop_begin(struct shop *shop, struct mix *mix)
{
    char url[128];

    shop->mix = mix;
    assert_int_equal(wsock_runtime_queue(mix->runtime, &shop->queue), 0);
    assert_int_equal(wsock_server_new(mix->runtime, &shop->server), 0);
    assert_int_equal(wsock_server_set_queue(shop->server, shop->queue), 0);
    assert_int_equal(wsock_server_endpoint(shop->server, &shop->endpoint, "/test"), 0);
    wsock_server_set(shop->server, "max_backlog_bytes", "16KiB");
    wsock_server_set(shop->server, "conn_queue_messages", "4");
    wsock_server_set(shop->server, "compression", "shared");
    wsock_server_set(shop->server, "stop_timeout", "2s");
    assert_int_equal(wsock_server_listen(shop->server, "ws://127.0.0.1:0"), 0);
    assert_true(wsock_server_url(shop->server, url, sizeof url, 0) > 0);
    strcat(url, "/test");
    assert_int_equal(wsock_runtime_client(mix->runtime, &shop->client, url), 0);
    assert_int_equal(wsock_runtime_client(mix->runtime, &shop->managed, url), 0);
    set_handlers(shop);
    for (int i = 0; i < CONNECTS; i++)
        assert_int_equal(wsock_client_connect(shop->client, NULL), 0);
    assert_int_equal(wsock_client_start(shop->managed), 0);
    pthread_create(&shop->thread, NULL, host_main, shop);
    await(&shop->opened, CONNECTS);
}

static void shop_end(struct shop *shop)
{
    wsock_queue_close(shop->queue);
    pthread_join(shop->thread, NULL);
    wsock_endpoint_unref(shop->endpoint);
    wsock_server_free(shop->server);
    wsock_client_unref(shop->client);
    wsock_client_unref(shop->managed);
    wsock_queue_unref(shop->queue);
    await(&shop->freed, told(&shop->made));
    assert_int_equal(shop->freed, shop->made);
    if (!shop->closes)
        assert_int_equal(shop->closed, shop->opened);
}

static void mix_begin(struct mix *mix)
{
    memset(mix, 0, sizeof *mix);
    pthread_mutex_init(&mix->lock, NULL);
    assert_int_equal(wsock_runtime_new(&mix->runtime), 0);
    assert_int_equal(wsock_runtime_set(mix->runtime, "workers", "3"), 0);
    assert_int_equal(wsock_runtime_set(mix->runtime, "queue_events", "16"), 0);
    for (int i = 0; i < HOSTS; i++)
        shop_begin(&mix->shops[i], mix);
}

static void mix_end(struct mix *mix)
{
    /* Waiting on this thread, whose no queue is any more. */
    wsock_runtime_stop(mix->runtime);
    assert_int_equal(wsock_runtime_free(mix->runtime), 0);
    for (int i = 0; i < KEPT; i++)
        wsock_conn_unref(mix->kept[i]);
    for (int i = 0; i < HOSTS; i++)
        shop_end(&mix->shops[i]);
    pthread_mutex_destroy(&mix->lock);
    harness_checked();
}

static void hosts_sleep_while_everything_happens(void **state)
{
    (void)state;
    for (int round = 0; round < rounds; round++) {
        struct thread threads[THREADS];
        struct mix mix;

        mix_begin(&mix);
        for (int i = 0; i < THREADS; i++) {
            threads[i] = (struct thread){.mix = &mix,
                                         .seed = (unsigned)(round * 31 + i + 1)};
            pthread_create(&threads[i].thread, NULL, thread_main, &threads[i]);
        }
        await(&mix.steps, THREADS * STEPS / 2);
        mix.shops[0].closes = true;
        wsock_queue_close(mix.shops[0].queue);
        await(&mix.ended, THREADS);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i].thread, NULL);
        mix_end(&mix);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(hosts_sleep_while_everything_happens),
    };

    if (argc > 1)
        rounds = atoi(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
