/* SPDX-License-Identifier: MIT */
/* Beginnings that meet their ends: what one thread starts while another one ends it. They
 * are seen to be wrong under a sanitizer. */
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include <wsock/wsock.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int closed;
static wsock_conn *latest; /* a reference */
static atomic_bool over;
static atomic_int launched, freed;

static void on_open(wsock_conn *conn, void *user)
{
    wsock_conn *before;

    (void)user;
    pthread_mutex_lock(&lock);
    before = latest;
    latest = wsock_conn_ref(conn);
    pthread_mutex_unlock(&lock);
    wsock_conn_unref(before);
    wsock_conn_close(conn, 1000, NULL);
}

static void on_close(wsock_conn *conn, const wsock_close_info *info, void *user)
{
    (void)conn;
    (void)info;
    (void)user;
    pthread_mutex_lock(&lock);
    closed++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void await_closed(int least)
{
    struct timespec until;
    int r = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    pthread_mutex_lock(&lock);
    while (closed < least && r == 0)
        r = pthread_cond_timedwait(&changed, &lock, &until);
    assert_true(closed >= least);
    pthread_mutex_unlock(&lock);
}

static void on_timer(wsock_timer *timer, uint64_t missed, void *user)
{
    (void)timer;
    (void)missed;
    (void)user;
}

static void on_free(void *user)
{
    (void)user;
    atomic_fetch_add(&freed, 1);
}

static void *launch_timers(void *user)
{
    (void)user;
    while (!atomic_load(&over)) {
        wsock_timer *timer = NULL;
        wsock_conn *conn;

        pthread_mutex_lock(&lock);
        conn = latest != NULL ? wsock_conn_ref(latest) : NULL;
        pthread_mutex_unlock(&lock);
        if (conn == NULL)
            continue;
        if (wsock_conn_timer(conn, &timer, 0, 1, on_timer, NULL, on_free) == 0)
            atomic_fetch_add(&launched, 1);
        wsock_timer_unref(timer);
        wsock_conn_unref(conn);
    }
    return NULL;
}

static void a_timer_may_start_while_its_connection_ends(void **state)
{
    enum { ROUNDS = 60, CONNS = 8 };
    wsock_runtime *runtime;
    wsock_server *server;
    wsock_endpoint *endpoint;
    wsock_client *client;
    pthread_t thread;
    char url[128];

    (void)state;
    assert_int_equal(wsock_runtime_new(&runtime), 0);
    assert_int_equal(wsock_runtime_set(runtime, "workers", "2"), 0);
    assert_int_equal(wsock_server_new(runtime, &server), 0);
    assert_int_equal(wsock_server_endpoint(server, &endpoint, "/"), 0);
    assert_int_equal(wsock_server_listen(server, "ws://127.0.0.1:0"), 0);
    assert_true(wsock_server_url(server, url, sizeof url, 0) > 0);
    assert_int_equal(wsock_runtime_client(runtime, &client, url), 0);
    wsock_client_on_open(client, on_open, NULL, NULL);
    wsock_client_on_close(client, on_close, NULL, NULL);
    assert_int_equal(pthread_create(&thread, NULL, launch_timers, NULL), 0);
    for (int i = 0; i < ROUNDS; i++) {
        for (int j = 0; j < CONNS; j++)
            assert_int_equal(wsock_client_connect(client, NULL), 0);
        await_closed((i + 1) * CONNS);
    }
    atomic_store(&over, true);
    pthread_join(thread, NULL);
    wsock_conn_unref(latest);
    wsock_client_unref(client);
    wsock_endpoint_unref(endpoint);
    wsock_server_free(server);
    assert_int_equal(wsock_runtime_free(runtime), 0);
    assert_int_equal(freed, launched);
}

static void a_listener_may_close_before_it_has_begun(void **state)
{
    wsock_runtime *runtime;
    wsock_server *server;
    char url[128];

    (void)state;
    assert_int_equal(wsock_runtime_new(&runtime), 0);
    assert_int_equal(wsock_runtime_set(runtime, "workers", "4"), 0);
    assert_int_equal(wsock_server_new(runtime, &server), 0);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(wsock_server_listen(server, "ws://127.0.0.1:0"), 0);
        assert_true(wsock_server_url(server, url, sizeof url, 0) > 0);
        assert_int_equal(wsock_server_unlisten(server, url), 0);
    }
    wsock_server_free(server);
    assert_int_equal(wsock_runtime_free(runtime), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_timer_may_start_while_its_connection_ends),
        TEST(a_listener_may_close_before_it_has_begun),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
