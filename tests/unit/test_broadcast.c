/* SPDX-License-Identifier: MIT */
/* How often a message to a room asks for memory: it must not depend on how many hear it.
 */
#include "test.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <wsock/wsock.h>

#include "conn/conn.h"
#include "conn/member.h"

enum { CLIENTS = 48, FEW = 3, ROUNDS = 5, WORKERS = 2 };

static wsock_runtime *runtime;
static wsock_server *server;
static wsock_client *client[CLIENTS];
static wsock_conn *conn[CLIENTS]; /* the server's ends */
static int opened;
static size_t heard;

static void on_open(wsock_conn *of, void *user)
{
    (void)user;
    conn[opened++] = wsock_conn_ref(of);
}

static void on_heard(wsock_conn *of, int type, const void *data, size_t len, void *user)
{
    (void)of, (void)type, (void)data, (void)len, (void)user;
    heard++;
}

static void settle(void)
{
    assert_int_equal(wsock_testing_run(runtime), 0);
}

/* @param cluster (nullable) @param v1 how many of them speak rooms.v1 */
static void begin(const char *cluster, int v1)
{
    wsock_endpoint *endpoint;

    opened = 0;
    assert_int_equal(wsock_testing_new(&runtime, WORKERS), 0);
    assert_int_equal(wsock_server_new(runtime, &server), 0);
    if (cluster != NULL)
        assert_int_equal(wsock_server_set(server, "cluster", cluster), 0);
    assert_int_equal(wsock_server_endpoint(server, &endpoint, "/"), 0);
    assert_int_equal(wsock_endpoint_on_open(endpoint, on_open, NULL, NULL), 0);
    assert_int_equal(wsock_server_listen(server, "ws://here"), 0);
    wsock_endpoint_unref(endpoint);
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(wsock_runtime_client(runtime, &client[i], "ws://here/"), 0);
        assert_int_equal(wsock_client_on_message(client[i], on_heard, NULL, NULL), 0);
        assert_int_equal(wsock_client_start(client[i]), 0);
    }
    settle();
    assert_int_equal(opened, CLIENTS);
    for (int i = 0; i < v1; i++)
        wsi_conn_set_form(conn[i], WSI_FORM_V1);
}

static void finish(void)
{
    wsock_server_free(server);
    for (int i = 0; i < CLIENTS; i++) {
        wsock_client_stop(client[i], 1000, NULL);
        wsock_client_unref(client[i]);
        wsock_conn_unref(conn[i]);
    }
    settle();
    assert_int_equal(wsock_testing_advance(runtime, 20000), 0);
    wsock_runtime_free(runtime);
}

/* Of a room with so many members, from the call until all have it. The first messages may
 * make what is kept then.
 * @param of_call (out) what the call itself asked for. @return what all of it did. */
static size_t count(const char *const *options, int members, size_t *of_call)
{
    size_t before = 0, all = 0;
    wsock_room *room;
    char name[16];

    snprintf(name, sizeof name, "r%d", members);
    assert_int_equal(wsock_server_make_room(server, &room, name, options), 0);
    for (int i = 0; i < members; i++)
        assert_int_equal(wsock_room_join(room, conn[CLIENTS / 2 - members / 2 + i]), 0);
    settle();
    for (int round = 0; round < ROUNDS; round++) {
        heard = 0;
        before = test_allocations();
        assert_int_equal(wsock_room_broadcast(room, WSOCK_TEXT, "hello", 5), members);
        *of_call = test_allocations() - before;
        settle();
        all = test_allocations() - before;
        assert_int_equal(heard, members);
    }
    wsock_room_unref(room);
    return all;
}

/* @param v1 how many members speak rooms.v1 @param expected so many of the call */
static void asks(const char *const *options, const char *cluster, int v1, size_t expected)
{
    size_t few, many, all_of_few, all_of_many;

    begin(cluster, v1);
    all_of_few = count(options, FEW, &few);
    all_of_many = count(options, CLIENTS, &many);
    assert_int_equal(few, expected);
    assert_int_equal(many, expected);
    /* What a client is sent is one block of the network in memory. */
    assert_int_equal(all_of_many - CLIENTS, all_of_few - FEW);
    if (cluster == NULL)
        assert_int_equal(all_of_many, expected + CLIENTS);
    finish();
}

static const char *const none[] = {NULL};
static const char *const kept[] = {"history_messages", "2", NULL};

static void each_form_of_a_message_is_one_allocation(void **state)
{
    (void)state;
    asks(none, NULL, 0, 1);
    asks(none, NULL, CLIENTS / 2, 2);
    asks(none, NULL, CLIENTS, 2);
}

static void history_keeps_what_was_sent(void **state)
{
    (void)state;
    asks(kept, NULL, 0, 1);
    asks(kept, NULL, CLIENTS / 2, 2);
    asks(kept, NULL, CLIENTS, 2);
}

/* The message and its copy for the others; and in the broker, which is here too, the
 * bytes and what tells this node of them. With history the message is made when it
 * arrives. */
static void for_other_nodes_there_is_one_more(void **state)
{
    (void)state;
    asks(none, "memory:alone", 0, 2 + 2);
    asks(none, "memory:alone", CLIENTS / 2, 3 + 2);
    asks(kept, "memory:alone", 0, 1 + 5);
}

static int64_t published_ms, kept_ms;

static void on_published(const wsock_published *published, void *user)
{
    (void)user;
    assert_int_equal(published->outcome, WSOCK_STORED);
    published_ms = published->time_ms;
}

static int see_time(const wsock_room_message *message, void *user)
{
    (void)user;
    kept_ms = message->time_ms;
    return 0;
}

static void who_publishes_is_told_when(void **state)
{
    const wsock_publish what = {.size = sizeof what,
                                .data = "x",
                                .len = 1,
                                .on_done = on_published,
                                .type = WSOCK_TEXT};
    wsock_room *room;

    (void)state;
    begin(NULL, 0);
    assert_int_equal(wsock_server_make_room(server, &room, "kept", kept), 0);
    assert_int_equal(wsock_room_publish(room, &what, NULL), 0);
    assert_int_equal(wsock_room_history(room, 0, 1, see_time, NULL), 1);
    assert_true(kept_ms > 0 && published_ms == kept_ms);
    wsock_room_unref(room);
    assert_int_equal(wsock_server_room(server, &room, "plain"), 0);
    assert_int_equal(wsock_room_publish(room, &what, NULL), 0);
    assert_int_equal(published_ms, 0);
    wsock_room_unref(room);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_form_of_a_message_is_one_allocation),
        TEST(history_keeps_what_was_sent),
        TEST(for_other_nodes_there_is_one_more),
        TEST(who_publishes_is_told_when),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
