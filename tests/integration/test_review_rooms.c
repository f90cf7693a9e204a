/* SPDX-License-Identifier: MIT */
/* Large room messages, which travel by reference, and who holds what of them. */
#include "harness.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <wsock/wsock.h>

enum { MEMBERS = 6, LARGE = 100 * 1000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int opened, got, freed;
static wsock_room *room;
static wsock_conn *member;

static void on_open(wsock_conn *conn, void *user)
{
    (void)user;
    wsock_conn_set_user(conn, &freed, free_counted);
    if (wsock_room_join(room, conn) < 0)
        return;
    pthread_mutex_lock(&lock);
    if (member == NULL)
        member = wsock_conn_ref(conn);
    pthread_mutex_unlock(&lock);
    tell(&opened);
}

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    (void)conn;
    (void)data;
    (void)user;
    if (type == WSOCK_BINARY && len == LARGE)
        tell(&got);
}

static int everybody(wsock_conn *conn, void *user)
{
    (void)conn;
    (void)user;
    return 1;
}

static void large_room_messages_reach_members_on_all_workers(void **state)
{
    static char data[LARGE];
    wsock_runtime *runtime;
    wsock_server *server;
    wsock_endpoint *endpoint;
    wsock_client *client;
    wsock_message *message;
    char url[128];

    (void)state;
    assert_int_equal(wsock_runtime_new(&runtime), 0);
    assert_int_equal(wsock_runtime_set(runtime, "workers", "3"), 0);
    assert_int_equal(wsock_server_new(runtime, &server), 0);
    assert_int_equal(wsock_server_endpoint(server, &endpoint, "/"), 0);
    wsock_endpoint_on_open(endpoint, on_open, NULL, NULL);
    assert_int_equal(wsock_server_room(server, &room, "all"), 0);
    assert_int_equal(wsock_room_broadcast(room, WSOCK_BINARY, data, LARGE), 0);
    assert_int_equal(wsock_server_listen(server, "ws://127.0.0.1:0"), 0);
    assert_true(wsock_server_url(server, url, sizeof url, 0) > 0);
    assert_int_equal(wsock_runtime_client(runtime, &client, url), 0);
    wsock_client_on_message(client, on_message, NULL, NULL);
    for (int i = 0; i < MEMBERS; i++)
        assert_int_equal(wsock_client_connect(client, NULL), 0);
    await(&opened, MEMBERS);

    assert_int_equal(wsock_room_broadcast(room, WSOCK_BINARY, data, LARGE), MEMBERS);
    await(&got, MEMBERS);
    assert_int_equal(wsock_room_broadcast_except(room, member, WSOCK_BINARY, data, LARGE),
                     MEMBERS - 1);
    await(&got, 2 * MEMBERS - 1);
    assert_int_equal(
        wsock_room_broadcast_if(room, everybody, NULL, WSOCK_BINARY, data, LARGE),
        MEMBERS);
    await(&got, 3 * MEMBERS - 1);
    assert_int_equal(wsock_runtime_message(runtime, &message, WSOCK_BINARY, data, LARGE),
                     0);
    assert_int_equal(wsock_room_broadcast_message(room, NULL, message), MEMBERS);
    wsock_message_unref(message);
    await(&got, 4 * MEMBERS - 1);

    wsock_conn_unref(member);
    wsock_room_unref(room);
    wsock_client_unref(client);
    wsock_endpoint_unref(endpoint);
    wsock_server_free(server);
    assert_int_equal(wsock_runtime_free(runtime), 0);
    assert_int_equal(freed, MEMBERS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(large_room_messages_reach_members_on_all_workers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
