/* SPDX-License-Identifier: MIT */
/* What a client of rooms.v1 that stays in a room is told when the broker of a cluster has
 * forgotten what was said there, or goes on without its node; by a clock that the test
 * moves. */
#include "test.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/wsock.h>

#include "cluster/memory.h"

static wsock_runtime *runtime;
static wsock_server *server[2];
static wsock_room *room[2];
static wsock_client *client;
static wsock_conn *page; /* the client's end, a reference */
static int opened;
static char heard[1024];
static char last_epoch[17]; /* of what was heard; "" before */

static void on_open(wsock_conn *conn, void *user)
{
    (void)user;
    wsock_conn_unref(page); /* one that was lost */
    page = wsock_conn_ref(conn);
    opened++;
}

/* @return behind a name in a frame; NULL when it is not there. */
static const char *behind(const char *frame, const char *name)
{
    const char *at = strstr(frame, name);

    return at != NULL ? at + strlen(name) : NULL;
}

/* A frame as its type, the offset in it, and '*' where it begins an epoch. */
static void on_heard(wsock_conn *conn, int type, const void *data, size_t len, void *user)
{
    const size_t end = strlen(heard);
    char frame[512], name[16] = "";
    const char *epoch, *offset;

    (void)conn, (void)type, (void)user;
    assert_in_range(len, 0, sizeof frame - 1);
    memcpy(frame, data, len);
    frame[len] = '\0';
    assert_int_equal(sscanf(frame, "{\"type\":\"%15[a-z]", name), 1);
    epoch = behind(frame, "\"epoch\":\"");
    offset = behind(frame, "\"offset\":");
    if (strcmp(name, "welcome") == 0 || strcmp(name, "hb") == 0)
        return;
    snprintf(heard + end, sizeof heard - end, "%s%s", end > 0 ? " " : "", name);
    if (epoch == NULL || offset == NULL)
        return;
    snprintf(heard + strlen(heard), sizeof heard - strlen(heard), "@%s%" PRIu64,
             strncmp(last_epoch, epoch, 16) != 0 ? "*" : "",
             (uint64_t)strtoull(offset, NULL, 10));
    snprintf(last_epoch, sizeof last_epoch, "%.16s", epoch);
}

static void pass(uint64_t ms)
{
    assert_int_equal(wsock_testing_run(runtime), 0);
    for (uint64_t past = 0; past < ms; past += 10)
        assert_int_equal(wsock_testing_advance(runtime, 10), 0);
}

static void fault(enum wsi_bus_fault which, uint64_t value)
{
    assert_int_equal(wsi_bus_memory_fault("missed", which, value), 0);
    pass(1000);
}

static void says(const char *frame)
{
    assert_int_equal(wsock_conn_send(page, WSOCK_TEXT, frame, strlen(frame)), 0);
    pass(1000);
}

static void say(int node, const char *text)
{
    assert_true(wsock_room_broadcast(room[node], WSOCK_TEXT, text, strlen(text)) >= 0);
    pass(1000);
}

static void hears(const char *frames)
{
    pass(5000);
    assert_string_equal(heard, frames);
    heard[0] = '\0';
}

static void make_node(int i)
{
    wsock_endpoint *rooms;
    const char url[] = {'w', 's', ':', '/', '/', (char)('a' + i), '\0'};

    assert_int_equal(wsock_server_new(runtime, &server[i]), 0);
    assert_int_equal(wsock_server_set(server[i], "cluster", "memory:missed"), 0);
    assert_int_equal(wsock_server_set(server[i], "cluster_name", url + 5), 0);
    assert_int_equal(wsock_server_set(server[i], "history_messages", "4"), 0);
    assert_int_equal(wsock_server_endpoint(server[i], &rooms, "/"), 0);
    assert_int_equal(wsock_endpoint_serve_rooms(rooms, NULL, NULL, NULL), 0);
    wsock_endpoint_unref(rooms);
    assert_int_equal(wsock_server_listen(server[i], url), 0);
    assert_int_equal(wsock_server_room(server[i], &room[i], "r"), 0);
}

/* The page is welcome at the first node, and in no room yet. */
static void begin(void)
{
    heard[0] = last_epoch[0] = '\0';
    opened = 0;
    assert_int_equal(wsock_testing_new(&runtime, 1), 0);
    for (int i = 0; i < 2; i++)
        make_node(i);
    assert_int_equal(wsock_runtime_client(runtime, &client, "ws://a/"), 0);
    assert_int_equal(wsock_client_add_subprotocol(client, "wsock.rooms.v1"), 0);
    assert_int_equal(wsock_client_on_open(client, on_open, NULL, NULL), 0);
    assert_int_equal(wsock_client_on_message(client, on_heard, NULL, NULL), 0);
    assert_int_equal(wsock_client_start(client), 0);
    pass(100);
    says("{\"type\":\"hello\"}");
}

static void join(void)
{
    says("{\"type\":\"join\",\"room\":\"r\"}");
}

static void finish(void)
{
    wsock_client_stop(client, 1000, NULL);
    wsock_conn_unref(page);
    page = NULL;
    wsock_client_unref(client);
    for (int i = 0; i < 2; i++) {
        wsock_room_unref(room[i]);
        wsock_server_stop(server[i]);
    }
    pass(10000);
    for (int i = 0; i < 2; i++)
        wsock_server_free(server[i]);
    assert_int_equal(wsock_testing_run(runtime), 0);
    wsock_runtime_free(runtime);
}

static void who_stays_is_told_that_the_broker_forgot(void **state)
{
    (void)state;
    begin();
    join();
    say(0, "one");
    hears("joined@*0 msg@1");
    fault(WSI_FAULT_EMPTY, 0);
    hears("missed@*0");
    say(1, "two");
    hears("msg@1");
    fault(WSI_FAULT_REMEMBER, 0);
    say(1, "three");
    hears("msg@2");
    fault(WSI_FAULT_RESTORE, 0); /* without the third */
    hears("missed@*0");
    finish();
}

static void who_missed_nothing_is_told_nothing(void **state)
{
    (void)state;
    begin();
    join();
    say(0, "one");
    hears("joined@*0 msg@1");
    fault(WSI_FAULT_AWAY, 1);
    fault(WSI_FAULT_AWAY, 0);
    hears("");
    assert_int_equal(wsi_bus_memory_cut("missed", "a", true), 0);
    pass(1000);
    say(1, "two");
    assert_int_equal(wsi_bus_memory_cut("missed", "a", false), 0);
    hears("msg@2");
    finish();
}

/* A message tells it by its `prev`. */
static void who_is_told_by_a_message_is_not_told_besides(void **state)
{
    (void)state;
    begin();
    join();
    hears("joined@*0");
    assert_int_equal(wsi_bus_memory_cut("missed", "a", true), 0);
    pass(1000);
    for (int i = 0; i < 6; i++)
        say(1, "more");
    assert_int_equal(wsi_bus_memory_cut("missed", "a", false), 0);
    hears("msg@3 msg@4 msg@5 msg@6");
    finish();
}

static void who_waited_in_vain_for_the_broker_is_told_where_the_room_is(void **state)
{
    (void)state;
    begin();
    say(1, "one");
    wsock_room_unref(room[0]); /* nobody needs it here, so nothing of it is known */
    room[0] = NULL;
    pass(60000);
    fault(WSI_FAULT_AWAY, 1);
    join();
    hears("joined");
    fault(WSI_FAULT_AWAY, 0);
    hears("missed@*1");
    say(1, "two");
    hears("msg@2");
    finish();
}

static void without_memory_it_is_told_later(void **state)
{
    size_t refused = 1, most = 0;

    (void)state;
    for (size_t n = 1; refused > 0; n++) {
        begin();
        join();
        say(0, "one");
        hears("joined@*0 msg@1");
        test_fail_allocation(n, 0);
        (void)wsi_bus_memory_fault("missed", WSI_FAULT_EMPTY, 0);
        for (int i = 0; i < 200; i++)
            (void)wsock_testing_advance(runtime, 10);
        refused = test_stop_failing();
        if (opened == 1 && wsock_conn_is_open(page) == 1)
            hears("missed@*0");
        finish();
        most = n;
    }
    assert_true(most > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_stays_is_told_that_the_broker_forgot),
        TEST(who_missed_nothing_is_told_nothing),
        TEST(who_is_told_by_a_message_is_not_told_besides),
        TEST(who_waited_in_vain_for_the_broker_is_told_where_the_room_is),
        TEST(without_memory_it_is_told_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
