/* SPDX-License-Identifier: MIT */
/* What a client of rooms.v1 is answered that says something to a room which the broker of
 * a cluster keeps: where it is kept, or why it is not; by a clock that the test moves. */
#include "test.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <wsock/wsock.h>

#include "cluster/memory.h"

static wsock_runtime *runtime;
static wsock_server *server;
static wsock_client *client;
static wsock_conn *page; /* the client's end, a reference */
static wsock_queue *queue;
static char heard[2048];

static void on_open(wsock_conn *conn, void *user)
{
    (void)user;
    wsock_conn_unref(page); /* one that was lost */
    page = wsock_conn_ref(conn);
}

/* Answers only. */
static void on_heard(wsock_conn *conn, int type, const void *data, size_t len, void *user)
{
    const size_t at = strlen(heard);

    (void)conn, (void)type, (void)user;
    if (len > 5 && memcmp(data, "{\"re\"", 5) == 0)
        snprintf(heard + at, sizeof heard - at, "%.*s\n", (int)len, (const char *)data);
}

static void pass(uint64_t ms)
{
    assert_int_equal(wsock_testing_run(runtime), 0);
    for (uint64_t past = 0; past < ms; past += 10) {
        assert_int_equal(wsock_testing_advance(runtime, 10), 0);
        if (queue != NULL)
            wsock_queue_dispatch(queue, 0, 0);
    }
}

static void says(const char *frame)
{
    assert_int_equal(wsock_conn_send(page, WSOCK_TEXT, frame, strlen(frame)), 0);
}

static void fault(enum wsi_bus_fault which, uint64_t value)
{
    assert_int_equal(wsi_bus_memory_fault("pub", which, value), 0);
}

/* @param answers with '*' for 16 digits of an epoch. */
static void hears(const char *answers)
{
    const char *at = heard;

    for (; *answers != '\0'; answers++) {
        if (*answers == '*')
            at += strspn(at, "0123456789abcdef");
        else if (*at++ != *answers)
            fail_msg("%s", heard);
    }
    assert_string_equal(at, "");
    heard[0] = '\0';
}

static void begin(bool queued)
{
    wsock_endpoint *rooms;

    heard[0] = '\0';
    queue = NULL;
    assert_int_equal(wsock_testing_new(&runtime, 1), 0);
    assert_int_equal(wsock_server_new(runtime, &server), 0);
    if (queued) {
        assert_int_equal(wsock_runtime_queue(runtime, &queue), 0);
        assert_int_equal(wsock_server_set_queue(server, queue), 0);
    }
    assert_int_equal(wsock_server_set(server, "cluster", "memory:pub"), 0);
    assert_int_equal(wsock_server_set(server, "cluster_queue_bytes", "1KiB"), 0);
    assert_int_equal(
        wsock_server_room_defaults(server, "kept.*", "history_messages", "4"), 0);
    assert_int_equal(wsock_server_endpoint(server, &rooms, "/"), 0);
    assert_int_equal(wsock_endpoint_serve_rooms(rooms, NULL, NULL, NULL), 0);
    wsock_endpoint_unref(rooms);
    assert_int_equal(wsock_server_listen(server, "ws://n"), 0);
    assert_int_equal(wsock_runtime_client(runtime, &client, "ws://n/"), 0);
    assert_int_equal(wsock_client_add_subprotocol(client, "wsock.rooms.v1"), 0);
    assert_int_equal(wsock_client_on_open(client, on_open, NULL, NULL), 0);
    assert_int_equal(wsock_client_on_message(client, on_heard, NULL, NULL), 0);
    assert_int_equal(wsock_client_start(client), 0);
    pass(100);
    says("{\"type\":\"hello\"}");
    says("[{\"type\":\"join\",\"room\":\"kept.a\"},{\"type\":\"join\",\"room\":\"plain\"}"
         "]");
    pass(1000);
}

static void finish(void)
{
    wsock_client_stop(client, 1000, NULL);
    wsock_conn_unref(page);
    page = NULL;
    wsock_client_unref(client);
    wsock_server_stop(server);
    pass(10000);
    wsock_server_free(server);
    if (queue != NULL)
        wsock_queue_close(queue);
    wsock_queue_unref(queue);
    assert_int_equal(wsock_testing_run(runtime), 0);
    wsock_runtime_free(runtime);
}

static const char pub[] =
    "{\"type\":\"pub\",\"room\":\"kept.a\",\"data\":\"x\",\"id\":1}";

static void an_answer_comes_with_the_position(void **state)
{
    (void)state;
    for (int queued = 0; queued < 2; queued++) {
        begin(queued != 0);
        fault(WSI_FAULT_SLOW, 500);
        says("{\"type\":\"pub\",\"room\":\"plain\",\"data\":\"x\",\"id\":0}");
        says("{\"type\":\"pub\",\"room\":\"kept.a\",\"data\":\"x\"}");
        says(pub);
        pass(200);
        hears("{\"re\":0,\"ok\":true}\n");
        pass(2000);
        hears("{\"re\":1,\"ok\":{\"epoch\":\"*\",\"offset\":2}}\n");
        finish();
    }
}

static void what_is_not_stored_is_an_error(void **state)
{
    static const char large[] =
        "{\"type\":\"pub\",\"room\":\"kept.a\",\"data\":\"%0600d\","
        "\"id\":%d}";
    char frame[1200];

    (void)state;
    begin(false);
    fault(WSI_FAULT_REFUSE, 1);
    says(pub);
    pass(1000);
    hears("{\"re\":1,\"err\":{\"code\":\"failed\","
          "\"text\":\"the broker did not store it\",\"retry\":true}}\n");
    fault(WSI_FAULT_REFUSE, 0);
    fault(WSI_FAULT_AWAY, 1);
    for (int i = 2; i < 4; i++) {
        snprintf(frame, sizeof frame, large, 0, i);
        says(frame);
    }
    pass(1000);
    hears("{\"re\":3,\"err\":{\"code\":\"busy\","
          "\"text\":\"the backlog is full; wait for on_drain\",\"retry\":true}}\n");
    fault(WSI_FAULT_AWAY, 0);
    pass(5000);
    hears("{\"re\":2,\"ok\":{\"epoch\":\"*\",\"offset\":1}}\n");
    finish();
}

static void what_is_under_way_at_the_end_is_nobody_s(void **state)
{
    (void)state;
    for (int queued = 0; queued < 2; queued++) {
        begin(queued != 0);
        fault(WSI_FAULT_SLOW, 60000);
        says(pub);
        pass(100);
        wsock_conn_reset(page);
        pass(1000);
        hears("");
        finish();
    }
}

static void without_memory_it_is_an_error(void **state)
{
    size_t refused = 1;

    (void)state;
    begin(false);
    for (size_t n = 1; refused > 0; n++) {
        test_fail_allocation(n, 0);
        (void)wsock_conn_send(page, WSOCK_TEXT, pub, sizeof pub - 1);
        (void)wsock_testing_run(runtime);
        refused = test_stop_failing();
        pass(100);
        if (wsock_conn_is_open(page) != 1) {
            finish();
            begin(false);
        }
    }
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_answer_comes_with_the_position),
        TEST(what_is_not_stored_is_an_error),
        TEST(what_is_under_way_at_the_end_is_nobody_s),
        TEST(without_memory_it_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
