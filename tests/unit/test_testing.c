/* SPDX-License-Identifier: MIT */
/* Servers and clients in memory, by a clock that the test moves: exactly what happens, at
 * which moment, and the same in each run. */
#include "test.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/wsock.h>

#include "cuts.h"

#define LOST "the connection was lost without a closing handshake"

struct world {
    wsock_runtime *runtime;
    wsock_server *server;
    wsock_endpoint *endpoint;
    wsock_client *client;
    wsock_queue *queue; /* nullable */
    wsock_room *room;   /* nullable: what is said goes to all; else it is echoed */
    wsock_conn *served; /* the server's newest */
    struct test_transcript seen;
};

static struct world world;

/* "20000 server open" */
static void saw(const char *who, const char *what)
{
    test_transcript_add(&world.seen, "%u %s %s",
                        (unsigned)wsock_testing_now_ms(world.runtime), who, what);
}

static void saw_event(const char *who, const char *what, const void *data, size_t len)
{
    char text[128];

    snprintf(text, sizeof text, "%s %.*s", what, (int)(len < 64 ? len : 64),
             (const char *)data);
    saw(who, text);
}

static void on_open(wsock_conn *conn, void *user)
{
    saw(user, "open");
    if (strcmp(user, "server") == 0) {
        world.served = conn;
        if (world.room != NULL)
            assert_int_equal(wsock_room_join(world.room, conn), 0);
    }
}

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    saw_event(user, "hears", data, len);
    if (strcmp(user, "server") != 0)
        return;
    if (world.room != NULL)
        wsock_room_broadcast(world.room, type, data, len);
    else
        wsock_conn_send(conn, type, data, len);
}

static void on_close(wsock_conn *conn, const wsock_close_info *info, void *user)
{
    char text[64];

    (void)conn;
    snprintf(text, sizeof text, "closed %d %s", (int)info->code,
             wsock_cause_text(info->cause));
    saw(user, text);
}

static void on_state(wsock_client *client, const wsock_state_info *info, void *user)
{
    static const char *const names[] = {
        [WSOCK_STATE_CONNECTING] = "connecting",
        [WSOCK_STATE_OPEN] = "open",
        [WSOCK_STATE_WAITING] = "waiting",
        [WSOCK_STATE_CLOSED] = "ended",
    };
    char text[64];

    (void)client, (void)user;
    snprintf(text, sizeof text, "%s %u", names[info->state], (unsigned)info->delay_ms);
    saw("state", text);
}

static void say_after(wsock_timer *timer, uint64_t missed, void *user)
{
    (void)timer, (void)missed;
    saw("timer", user);
}

/* A server at ws://chat with the path /talk, and a client of it. */
static void begin(uint64_t seed, bool queued)
{
    memset(&world, 0, sizeof world);
    test_transcript_add(&world.seen, "begins");
    assert_int_equal(wsock_testing_new(&world.runtime, seed), 0);
    assert_int_equal(wsock_server_new(world.runtime, &world.server), 0);
    assert_int_equal(wsock_runtime_client(world.runtime, &world.client, "ws://chat/talk"),
                     0);
    if (queued) {
        assert_int_equal(wsock_runtime_queue(world.runtime, &world.queue), 0);
        assert_int_equal(wsock_server_set_queue(world.server, world.queue), 0);
        assert_int_equal(wsock_client_set_queue(world.client, world.queue), 0);
    }
    assert_int_equal(wsock_server_endpoint(world.server, &world.endpoint, "/talk"), 0);
    assert_int_equal(
        wsock_endpoint_on_open(world.endpoint, on_open, (void *)"server", NULL), 0);
    assert_int_equal(
        wsock_endpoint_on_message(world.endpoint, on_message, (void *)"server", NULL), 0);
    assert_int_equal(
        wsock_endpoint_on_close(world.endpoint, on_close, (void *)"server", NULL), 0);
    assert_int_equal(wsock_client_on_open(world.client, on_open, (void *)"client", NULL),
                     0);
    assert_int_equal(
        wsock_client_on_message(world.client, on_message, (void *)"client", NULL), 0);
    assert_int_equal(
        wsock_client_on_close(world.client, on_close, (void *)"client", NULL), 0);
    assert_int_equal(wsock_client_on_state(world.client, on_state, NULL, NULL), 0);
}

static void listen_now(void)
{
    assert_int_equal(wsock_server_listen(world.server, "ws://chat"), 0);
}

static void end_world(void)
{
    wsock_room_unref(world.room);
    wsock_endpoint_unref(world.endpoint);
    wsock_client_unref(world.client);
    wsock_queue_unref(world.queue);
    wsock_server_free(world.server);
    assert_int_equal(wsock_runtime_free(world.runtime), 0);
    free(world.seen.text);
    world.seen = (struct test_transcript){0};
}

/* Since the last time. */
static void saw_exactly(const char *expected)
{
    assert_string_equal(world.seen.text, expected);
    free(world.seen.text);
    world.seen = (struct test_transcript){0};
    test_transcript_add(&world.seen, "then");
}

static void run(void)
{
    assert_int_equal(wsock_testing_run(world.runtime), 0);
}

static void advance(uint64_t ms)
{
    assert_int_equal(wsock_testing_advance(world.runtime, ms), 0);
}

static wsock_conn *join(void)
{
    wsock_conn *conn = NULL;

    assert_int_equal(wsock_client_connect(world.client, &conn), 0);
    run();
    return conn;
}

static void say(wsock_conn *conn, const char *text)
{
    assert_int_equal(wsock_conn_send(conn, WSOCK_TEXT, text, strlen(text)), 0);
}

/* ---- conversations ---- */

static void converse(bool queued)
{
    wsock_conn *conn;

    begin(1, queued);
    listen_now();
    conn = join();
    saw_exactly(queued ? "begins | 0 server open | 0 client open"
                       : "begins | 0 server open | 0 client open");
    say(conn, "hello");
    saw_exactly("then"); /* nothing happens by itself */
    run();
    saw_exactly("then | 0 server hears hello | 0 client hears hello");
    assert_int_equal(wsock_conn_close(conn, 4000, "bye"), 0);
    run();
    saw_exactly("then | 0 client closed 4000 closed by the closing handshake | "
                "0 server closed 4000 closed by the closing handshake");
    wsock_conn_unref(conn);
    end_world();
}

static void two_ends_converse_on_the_worker(void **state)
{
    (void)state;
    converse(false);
}

static void two_ends_converse_on_a_queue(void **state)
{
    (void)state;
    converse(true);
}

static void a_host_dispatches_by_itself(void **state)
{
    wsock_conn *conn = NULL;
    int ran = 0, r;

    (void)state;
    begin(1, true);
    listen_now();
    assert_int_equal(wsock_client_connect(world.client, &conn), 0);
    /* Neither runs a handler. */
    assert_int_equal(wsock_testing_wait(world.runtime, 1000), 1);
    saw_exactly("begins");
    while ((r = wsock_queue_dispatch(world.queue, 0, 0)) > 0)
        ran += r;
    assert_int_equal(ran, 2);
    saw_exactly("then | 0 server open | 0 client open");
    assert_int_equal(wsock_testing_wait(world.runtime, 1000), 0);
    assert_int_equal(wsock_testing_now_ms(world.runtime), 1000);
    /* Waiting has time pass. */
    assert_int_equal(wsock_queue_dispatch(world.queue, 0, 500), 0);
    assert_int_equal(wsock_testing_now_ms(world.runtime), 1500);
    assert_int_equal(wsock_queue_wait(world.queue, 500), 0);
    assert_int_equal(wsock_testing_now_ms(world.runtime), 2000);
    /* But no more than it takes. */
    say(conn, "x");
    assert_int_equal(wsock_queue_dispatch(world.queue, 0, 500), 1);
    saw_exactly("then | 2000 server hears x");
    wsock_conn_unref(conn);
    end_world();
}

static void members_of_a_room_hear_each_other(void **state)
{
    wsock_conn *conns[3];

    (void)state;
    begin(1, false);
    assert_int_equal(wsock_server_room(world.server, &world.room, "lobby"), 0);
    listen_now();
    for (int i = 0; i < 3; i++)
        conns[i] = join();
    assert_int_equal(wsock_room_count(world.room), 3);
    saw_exactly(
        "begins | 0 server open | 0 client open | 0 server open | 0 client open | "
        "0 server open | 0 client open");
    say(conns[1], "all");
    run();
    saw_exactly("then | 0 server hears all | 0 client hears all | 0 client hears all | "
                "0 client hears all");
    for (int i = 0; i < 3; i++)
        wsock_conn_unref(conns[i]);
    end_world();
}

static void cuts_at_every_byte_change_nothing(void **state)
{
    static char large[70000];
    wsock_conn *conn;

    (void)state;
    begin(1, false);
    listen_now();
    assert_int_equal(wsock_testing_set_chunk(world.runtime, 1), 0);
    conn = join();
    memset(large, 'a', sizeof large);
    say(conn, "hello");
    /* More than is under way at once. */
    assert_int_equal(wsock_testing_set_chunk(world.runtime, 0), 0);
    assert_int_equal(wsock_testing_set_room(world.runtime, 1000), 0);
    assert_int_equal(wsock_conn_send(conn, WSOCK_BINARY, large, sizeof large), 0);
    run();
    saw_exactly("begins | 0 server open | 0 client open | 0 server hears hello | "
                "0 client hears hello | 0 server hears "
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa | "
                "0 client hears "
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    wsock_conn_unref(conn);
    end_world();
}

static void on_part(wsock_conn *conn, int type, const void *data, size_t len, int flags,
                    void *user)
{
    (void)conn, (void)type, (void)flags;
    saw_event(user, "part", data, len);
}

static void no_call_takes_more_than_a_chunk(void **state)
{
    wsock_conn *conn;

    (void)state;
    begin(1, false);
    assert_int_equal(
        wsock_endpoint_on_part(world.endpoint, on_part, (void *)"server", NULL), 0);
    listen_now();
    conn = join();
    saw_exactly("begins | 0 server open | 0 client open");
    assert_int_equal(wsock_testing_conn_hold(conn, 1), 0);
    say(conn, "abcdefgh"); /* behind a header of 6 bytes */
    run();
    assert_int_equal(wsock_testing_set_chunk(world.runtime, 3), 0);
    assert_int_equal(wsock_testing_conn_hold(conn, 0), 0);
    run();
    saw_exactly("then | 0 server part abc | 0 server part def | 0 server part gh");
    say(conn, "ijklmnop");
    run();
    saw_exactly("then | 0 server part ijk | 0 server part lmn | 0 server part op");
    wsock_conn_unref(conn);
    end_world();
}

/* ---- time ---- */

static void silent_peer_is_given_up_at_the_moment(void **state)
{
    wsock_conn *conn;

    (void)state;
    begin(1, false);
    assert_int_equal(wsock_endpoint_set(world.endpoint, "ping_interval", "20s"), 0);
    assert_int_equal(wsock_endpoint_set(world.endpoint, "pong_timeout", "5s"), 0);
    listen_now();
    conn = join();
    saw_exactly("begins | 0 server open | 0 client open");
    advance(60000); /* its pings are answered */
    saw_exactly("then");
    assert_int_equal(wsock_testing_conn_hold(conn, 1), 0);
    advance(24999);
    saw_exactly("then");
    advance(1);
    saw_exactly(
        "then | 85000 server closed 1006 the peer did not answer a ping in time | "
        "85000 client closed 1006 " LOST);
    wsock_conn_unref(conn);
    end_world();
}

static void timers_run_in_order_each_at_its_time(void **state)
{
    static const char *const names[] = {"a", "b", "c"};
    static const uint64_t times[] = {3600000, 10, 10};

    (void)state;
    begin(1, true);
    for (int i = 0; i < 3; i++)
        assert_int_equal(wsock_runtime_timer(world.runtime, NULL, times[i], 0, say_after,
                                             (void *)names[i], NULL),
                         0);
    assert_int_equal(
        wsock_queue_timer(world.queue, NULL, 4, 4, say_after, (void *)"tick", NULL), 0);
    advance(9);
    saw_exactly("begins | 4 timer tick | 8 timer tick");
    advance(3);
    saw_exactly("then | 10 timer b | 10 timer c | 12 timer tick");
    wsock_queue_close(world.queue);
    advance(7200000);
    saw_exactly("then | 3600000 timer a");
    end_world();
}

static void what_comes_next_is_told(void **state)
{
    int64_t next = -7;

    (void)state;
    begin(1, false);
    assert_int_equal(wsock_testing_next_ms(world.runtime, &next), WSOCK_ENOENT);
    assert_int_equal(next, -7);
    assert_int_equal(
        wsock_runtime_timer(world.runtime, NULL, 50, 0, say_after, (void *)"x", NULL), 0);
    assert_int_equal(wsock_testing_next_ms(world.runtime, &next), 0);
    assert_int_equal(next, 0); /* it is still to be started */
    run();
    assert_int_equal(wsock_testing_next_ms(world.runtime, &next), 0);
    assert_int_equal(next, 50);
    end_world();
}

static void delay_is_what_the_way_takes(void **state)
{
    wsock_conn *conn = NULL;

    (void)state;
    begin(1, false);
    assert_int_equal(wsock_testing_set_delay(world.runtime, 100), 0);
    listen_now();
    conn = join();
    advance(1000);
    /* There and back to connect, there with the request, and back with the answer. */
    saw_exactly("begins | 300 server open | 400 client open");
    say(conn, "x");
    advance(1000);
    saw_exactly("then | 1100 server hears x | 1200 client hears x");
    wsock_conn_unref(conn);
    end_world();
}

/* ---- the client that comes back ---- */

static char *come_back(uint64_t seed)
{
    char *text;

    begin(seed, false);
    assert_int_equal(wsock_client_start(world.client), 0);
    advance(10000); /* nobody listens */
    listen_now();
    advance(120000);
    assert_int_equal(wsock_testing_conn_cut(world.served), 0);
    advance(60000);
    assert_int_equal(wsock_client_stop(world.client, 1000, NULL), 0);
    run();
    text = strdup(world.seen.text);
    assert_non_null(text);
    end_world();
    return text;
}

static void client_comes_back_without_our_waiting(void **state)
{
    char *text = come_back(1);
    const char *waits = strstr(text, "state waiting");
    unsigned delay;

    (void)state;
    assert_non_null(waits);
    assert_int_equal(sscanf(waits, "state waiting %u", &delay), 1);
    /* The next attempt is made at that very moment. */
    {
        char next[64];

        snprintf(next, sizeof next, "%u state connecting", delay);
        assert_non_null(strstr(text, next));
    }
    assert_non_null(strstr(text, "130000 server closed 1006"));
    assert_non_null(strstr(text, "190000 client closed 1000"));
    assert_non_null(strstr(text, "190000 state ended"));
    free(text);
}

static void each_run_is_like_the_last(void **state)
{
    char *first = come_back(7), *second = come_back(7), *other = come_back(8);

    (void)state;
    assert_string_equal(first, second);
    assert_string_not_equal(first, other);
    free(first);
    free(second);
    free(other);
}

static int look_at_kept(const wsock_room_message *message, void *user)
{
    wsock_room_message *kept = user;

    *kept = *message;
    return 0;
}

static wsock_room_message keep_one(uint64_t seed)
{
    static const char *const options[] = {"history_messages", "10", NULL};
    wsock_room_message kept = {0};
    wsock_room *room = NULL;

    begin(seed, false);
    assert_int_equal(wsock_server_make_room(world.server, &room, "log", options), 0);
    advance(1500);
    assert_int_equal(wsock_room_broadcast(room, WSOCK_TEXT, "x", 1), 0);
    assert_int_equal(wsock_room_history(room, 0, 1, look_at_kept, &kept), 1);
    wsock_room_unref(room);
    end_world();
    return kept;
}

static void history_repeats_its_epoch_and_dates(void **state)
{
    const wsock_room_message first = keep_one(7);

    (void)state;
    assert_int_equal(first.time_ms, INT64_C(946684801500));
    assert_true(first.epoch != 0);
    assert_true(first.epoch == keep_one(7).epoch);
    assert_true(first.epoch != keep_one(8).epoch);
}

/* ---- faults ---- */

static void both_ends_find_a_cut(void **state)
{
    wsock_conn *conn;

    (void)state;
    begin(1, false);
    listen_now();
    conn = join();
    saw_exactly("begins | 0 server open | 0 client open");
    say(conn, "lost");
    assert_int_equal(wsock_testing_conn_cut(conn), 0);
    run();
    saw_exactly("then | 0 client closed 1006 " LOST " | 0 server closed 1006 " LOST);
    assert_int_equal(wsock_testing_conn_cut(conn), WSOCK_ECLOSED);
    assert_int_equal(wsock_testing_conn_hold(conn, 1), WSOCK_ECLOSED);
    wsock_conn_unref(conn);
    end_world();
}

static void held_bytes_arrive_once_they_are_let_go(void **state)
{
    wsock_conn *conn;

    (void)state;
    begin(1, false);
    listen_now();
    conn = join();
    saw_exactly("begins | 0 server open | 0 client open");
    assert_int_equal(wsock_testing_conn_hold(conn, 1), 0);
    say(conn, "one");
    say(conn, "two");
    advance(5);
    /* The other direction is open. */
    say(world.served, "hello");
    run();
    saw_exactly("then | 5 client hears hello");
    assert_int_equal(wsock_testing_conn_hold(conn, 0), 0);
    run();
    saw_exactly("then | 5 server hears one | 5 server hears two | 5 client hears one | "
                "5 client hears two");
    wsock_conn_unref(conn);
    end_world();
}

static void held_network_tells_nobody_of_an_end(void **state)
{
    wsock_conn *conn;

    (void)state;
    begin(1, false);
    listen_now();
    conn = join();
    saw_exactly("begins | 0 server open | 0 client open");
    assert_int_equal(wsock_testing_hold(world.runtime, 1), 0);
    assert_int_equal(wsock_conn_reset(conn), 0);
    run();
    saw_exactly("then | 0 client closed 1006 ended at once by this end");
    say(world.served, "who is there");
    advance(5);
    saw_exactly("then");
    assert_int_equal(wsock_testing_hold(world.runtime, 0), 0);
    run();
    saw_exactly("then | 5 server closed 1006 " LOST);
    wsock_conn_unref(conn);
    end_world();
}

static void who_is_not_reached_is_told_in_time(void **state)
{
    wsock_conn *conn;

    (void)state;
    begin(1, false);
    assert_int_equal(wsock_client_set(world.client, "connect_timeout", "3s"), 0);
    conn = join();
    saw_exactly("begins | 0 client closed 1006 the connection could not be made");
    wsock_conn_unref(conn);
    listen_now();
    assert_int_equal(wsock_testing_hold(world.runtime, 1), 0);
    conn = join();
    advance(3000);
    saw_exactly("then | 3000 client closed 1006 the connection was not made in time");
    wsock_conn_unref(conn);
    end_world();
}

static void ends_come_though_the_network_is_held(void **state)
{
    wsock_conn *conn;

    (void)state;
    begin(1, true);
    listen_now();
    conn = join();
    assert_int_equal(wsock_testing_hold(world.runtime, 1), 0);
    wsock_conn_unref(conn);
    end_world();
}

/* ---- addresses ---- */

static wsock_request *asked;

static void on_request(wsock_request *request, void *user)
{
    (void)user;
    saw("from", wsock_request_remote_address(request));
    asked = request;
    wsock_request_accept(request, NULL);
}

static void clients_come_from_where_the_test_says(void **state)
{
    wsock_conn *conn;
    char url[64];

    (void)state;
    begin(1, false);
    assert_int_equal(wsock_endpoint_on_request(world.endpoint, on_request, NULL, NULL),
                     0);
    listen_now();
    assert_true(wsock_server_url(world.server, url, sizeof url, 0) > 0);
    assert_string_equal(url, "ws://chat:80");
    wsock_conn_unref(join());
    assert_int_equal(wsock_testing_set_source(world.runtime, "203.0.113.9"), 0);
    wsock_conn_unref(join());
    assert_int_equal(wsock_testing_set_source(world.runtime, "2001:db8::1"), 0);
    conn = join();
    assert_string_equal(wsock_conn_remote_address(conn), "10.0.0.1:80");
    assert_string_equal(wsock_conn_local_address(conn), "[2001:db8::1]:49154");
    saw_exactly("begins | 0 from 127.0.0.1:49152 | 0 server open | 0 client open | "
                "0 from 203.0.113.9:49153 | 0 server open | 0 client open | "
                "0 from [2001:db8::1]:49154 | 0 server open | 0 client open");
    assert_int_equal(wsock_testing_set_source(world.runtime, "nowhere"), WSOCK_EINVAL);
    wsock_conn_unref(conn);
    assert_int_equal(wsock_client_set(world.client, "local_address", "192.0.2.7:700"), 0);
    conn = join();
    assert_string_equal(wsock_conn_local_address(conn), "192.0.2.7:700");
    wsock_conn_unref(conn);
    assert_int_equal(wsock_client_connect_fd(world.client, NULL, 0), WSOCK_ENOTSUP);
    end_world();
}

static void listeners_have_addresses_of_their_own(void **state)
{
    wsock_server *other = NULL;
    char url[64];

    (void)state;
    begin(1, false);
    listen_now();
    assert_int_equal(wsock_server_new(world.runtime, &other), 0);
    assert_int_equal(wsock_server_listen(other, "ws://chat"), WSOCK_EADDRINUSE);
    assert_int_equal(wsock_server_listen(other, "ws://game"), 0);
    assert_int_equal(wsock_server_listen(other, "ws://chat:0"), 0);
    assert_int_equal(wsock_server_listen(other, "ws://*:81"), 0);
    assert_int_equal(wsock_server_listen(other, "ws+unix:/nowhere/at/all.sock"), 0);
    assert_true(wsock_server_url(other, url, sizeof url, 1) > 0);
    assert_string_equal(url, "ws://chat:49152");
    wsock_server_free(other);
    end_world();
}

/* ---- limits of it ---- */

static int answer_in_handler;

static void on_open_calls(wsock_conn *conn, void *user)
{
    (void)conn;
    answer_in_handler = wsock_testing_run(user);
}

static void handlers_do_not_have_time_pass(void **state)
{
    (void)state;
    for (int queued = 0; queued < 2; queued++) {
        begin(1, queued);
        answer_in_handler = 0;
        assert_int_equal(
            wsock_client_on_open(world.client, on_open_calls, world.runtime, NULL), 0);
        listen_now();
        wsock_conn_unref(join());
        assert_int_equal(answer_in_handler, WSOCK_EDEADLK);
        end_world();
    }
}

static void on_message_answers(wsock_conn *conn, int type, const void *data, size_t len,
                               void *user)
{
    (void)user;
    wsock_conn_send(conn, type, data, len);
}

static void echoes_without_end_are_noticed(void **state)
{
    wsock_conn *conn;

    (void)state;
    begin(1, false);
    assert_int_equal(
        wsock_client_on_message(world.client, on_message_answers, NULL, NULL), 0);
    assert_int_equal(
        wsock_endpoint_on_message(world.endpoint, on_message_answers, NULL, NULL), 0);
    listen_now();
    conn = join();
    say(conn, "x");
    assert_int_equal(wsock_testing_run(world.runtime), WSOCK_ETIMEDOUT);
    assert_int_equal(wsock_testing_conn_cut(conn), 0);
    run();
    wsock_conn_unref(conn);
    end_world();
}

static void waits_that_nothing_ends_say_so(void **state)
{
    (void)state;
    begin(1, true);
    listen_now();
    assert_int_equal(wsock_queue_dispatch(world.queue, 0, -1), WSOCK_EDEADLK);
    assert_int_equal(wsock_queue_wait(world.queue, -1), WSOCK_EDEADLK);
    assert_int_equal(wsock_server_wait(world.server, -1), WSOCK_EDEADLK);
    assert_int_equal(wsock_server_wait(world.server, 5000), WSOCK_ETIMEDOUT);
    assert_int_equal(wsock_testing_now_ms(world.runtime), 5000);
    assert_int_equal(wsock_runtime_run(world.runtime, 0), WSOCK_EDEADLK);
    assert_int_equal(wsock_runtime_run(world.runtime, WSOCK_RUN_SIGNALS), WSOCK_EDEADLK);
    wsock_server_stop(world.server);
    assert_int_equal(wsock_server_wait(world.server, -1), 0);
    wsock_runtime_stop(world.runtime);
    assert_int_equal(wsock_runtime_run(world.runtime, 0), 0);
    end_world();
}

static void other_runtimes_are_not_for_tests(void **state)
{
    wsock_runtime *runtime = NULL;
    int64_t next;

    (void)state;
    assert_int_equal(wsock_runtime_new(&runtime), 0);
    assert_int_equal(wsock_testing_run(runtime), WSOCK_ENOTSUP);
    assert_int_equal(wsock_testing_advance(runtime, 1), WSOCK_ENOTSUP);
    assert_int_equal(wsock_testing_wait(runtime, 1), WSOCK_ENOTSUP);
    assert_int_equal(wsock_testing_next_ms(runtime, &next), WSOCK_ENOTSUP);
    assert_int_equal(wsock_testing_set_delay(runtime, 1), WSOCK_ENOTSUP);
    assert_int_equal(wsock_testing_set_chunk(runtime, 1), WSOCK_ENOTSUP);
    assert_int_equal(wsock_testing_set_room(runtime, 1), WSOCK_ENOTSUP);
    assert_int_equal(wsock_testing_set_source(runtime, "::1"), WSOCK_ENOTSUP);
    assert_int_equal(wsock_testing_hold(runtime, 1), WSOCK_ENOTSUP);
    assert_int_equal(wsock_testing_now_ms(runtime), 0);
    assert_int_equal(wsock_runtime_free(runtime), 0);
    assert_int_equal(wsock_testing_run(NULL), WSOCK_EINVAL);
    assert_int_equal(wsock_testing_hold(NULL, 1), WSOCK_EINVAL);
    assert_int_equal(wsock_testing_conn_hold(NULL, 1), WSOCK_EINVAL);
    assert_int_equal(wsock_testing_conn_cut(NULL), WSOCK_EINVAL);
    assert_int_equal(wsock_testing_next_ms(NULL, &next), WSOCK_EINVAL);
    assert_int_equal(wsock_testing_new(NULL, 1), WSOCK_EINVAL);
}

static void ranges_are_told(void **state)
{
    (void)state;
    begin(1, false);
    assert_int_equal(wsock_testing_advance(world.runtime, UINT64_MAX), WSOCK_ERANGE);
    assert_int_equal(wsock_testing_set_delay(world.runtime, UINT64_MAX), WSOCK_ERANGE);
    assert_int_equal(wsock_testing_set_room(world.runtime, 0), WSOCK_ERANGE);
    end_world();
}

static void without_memory_it_says_so_and_leaves_nothing(void **state)
{
    wsock_runtime *runtime = NULL;
    int result;

    (void)state;
    FOR_EACH_OOM(result, result = wsock_testing_new(&runtime, 1),
                 wsock_runtime_free(runtime));
}

/* Whichever allocation fails: connections may, and nothing else does. */
static void a_conversation_without_memory_ends_well(void **state)
{
    (void)state;
    for (size_t nth = 1, refused = 1; refused > 0; nth++) {
        wsock_conn *conn = NULL;

        begin(1, false);
        assert_int_equal(wsock_testing_run(world.runtime), 0);
        listen_now();
        test_fail_allocation(nth, false);
        if (wsock_client_connect(world.client, &conn) == 0) {
            run();
            (void)wsock_conn_send(conn, WSOCK_TEXT, "hello", 5);
            run();
            (void)wsock_conn_close(conn, 1000, NULL);
            advance(100000);
        }
        refused = test_stop_failing();
        wsock_conn_unref(conn);
        end_world();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(two_ends_converse_on_the_worker),
        TEST(two_ends_converse_on_a_queue),
        TEST(a_host_dispatches_by_itself),
        TEST(members_of_a_room_hear_each_other),
        TEST(cuts_at_every_byte_change_nothing),
        TEST(no_call_takes_more_than_a_chunk),
        TEST(silent_peer_is_given_up_at_the_moment),
        TEST(timers_run_in_order_each_at_its_time),
        TEST(what_comes_next_is_told),
        TEST(delay_is_what_the_way_takes),
        TEST(client_comes_back_without_our_waiting),
        TEST(each_run_is_like_the_last),
        TEST(history_repeats_its_epoch_and_dates),
        TEST(both_ends_find_a_cut),
        TEST(held_bytes_arrive_once_they_are_let_go),
        TEST(held_network_tells_nobody_of_an_end),
        TEST(who_is_not_reached_is_told_in_time),
        TEST(ends_come_though_the_network_is_held),
        TEST(clients_come_from_where_the_test_says),
        TEST(listeners_have_addresses_of_their_own),
        TEST(handlers_do_not_have_time_pass),
        TEST(echoes_without_end_are_noticed),
        TEST(waits_that_nothing_ends_say_so),
        TEST(other_runtimes_are_not_for_tests),
        TEST(ranges_are_told),
        TEST(without_memory_it_says_so_and_leaves_nothing),
        TEST(a_conversation_without_memory_ends_well),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
