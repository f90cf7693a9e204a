/* SPDX-License-Identifier: MIT */
/* The order of messages: of one thread, of a thread and handlers, and of a room. */
#include "harness.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- one connection ---- */

/* What a client received, as one string of letters. */
struct letters {
    int count;
    char text[64];
};

static void add_letter(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    struct letters *letters = user;

    (void)conn;
    (void)type;
    (void)len;
    letters->text[letters->count] = *(const char *)data;
    tell(&letters->count);
}

struct gate {
    int entered, opened;
};

/* Sends B after the other thread has sent A, while A can only be in the mailbox. */
static void send_b_when_the_gate_opens(wsock_conn *conn, int type, const void *data,
                                       size_t len, void *user)
{
    struct gate *gate = user;

    (void)type;
    (void)data;
    (void)len;
    tell(&gate->entered);
    CHECK(!stays_below(&gate->opened, told(&gate->entered), 20000));
    CHECK(wsock_conn_send(conn, WSOCK_TEXT, "B", 1) == 0);
}

static void handler_does_not_overtake_what_a_thread_sent(void **state)
{
    enum { ROUNDS = 10 };
    struct world world;
    struct side side = {0};
    struct letters letters = {0};
    struct gate gate = {0};
    wsock_message *message = NULL;
    wsock_client *client;

    (void)state;
    world_begin(&world, 2);
    wsock_endpoint_on_message(world.endpoint, send_b_when_the_gate_opens, &gate, NULL);
    world_listen(&world, NULL);
    client = world_client(&world, &side);
    wsock_client_on_message(client, add_letter, &letters, NULL);
    assert_int_equal(wsock_runtime_message(world.runtime, &message, WSOCK_TEXT, "A", 1),
                     0);
    world_connect(&world, client, &side);
    for (int i = 1; i <= ROUNDS; i++) {
        assert_int_equal(wsock_conn_send(side.conn, WSOCK_TEXT, "go", 2), 0);
        await(&gate.entered, i);
        assert_int_equal(i % 2 ? wsock_conn_send(world.side.conn, WSOCK_TEXT, "A", 1)
                               : wsock_conn_send_message(world.side.conn, message),
                         0);
        tell(&gate.opened);
        await(&letters.count, 2 * i);
    }
    assert_string_equal(letters.text, "ABABABABABABABABABAB");
    wsock_message_unref(message);
    side_fini(&side);
    wsock_client_unref(client);
    world_end(&world);
}

/* Numbers received from each of several senders, each in order. */
enum { SENDERS = 5, NUMBERS = 3000 };

struct numbered {
    uint32_t sender, number;
};

struct streams {
    uint32_t next[SENDERS];
    int received;
};

static void check_stream(wsock_conn *conn, int type, const void *data, size_t len,
                         void *user)
{
    struct streams *streams = user;
    struct numbered numbered;

    (void)conn;
    (void)type;
    CHECK(len == sizeof numbered);
    memcpy(&numbered, data, sizeof numbered);
    CHECK(numbered.number == streams->next[numbered.sender]);
    streams->next[numbered.sender] = numbered.number + 1;
    tell(&streams->received);
}

struct sender {
    wsock_conn *conn;
    uint32_t index;
};

static void *send_numbers(void *user)
{
    const struct sender *sender = user;
    struct numbered numbered = {.sender = sender->index};

    for (; numbered.number < NUMBERS; numbered.number++)
        CHECK(wsock_conn_send(sender->conn, WSOCK_BINARY, &numbered, sizeof numbered) ==
              0);
    return NULL;
}

/* The worker is a sender as well: the last one. */
static void send_number_here(wsock_conn *conn, void *user)
{
    struct numbered *numbered = user;

    for (int i = 0; i < 10 && numbered->number < NUMBERS; i++, numbered->number++)
        CHECK(wsock_conn_send(conn, WSOCK_BINARY, numbered, sizeof *numbered) == 0);
    if (numbered->number < NUMBERS)
        CHECK(wsock_conn_post(conn, send_number_here, numbered, NULL) == 0);
}

static void each_thread_and_the_worker_keep_their_order(void **state)
{
    struct world world;
    struct side side = {0};
    struct streams streams = {0};
    struct sender senders[SENDERS - 1];
    struct numbered own = {.sender = SENDERS - 1};
    pthread_t threads[SENDERS - 1];
    wsock_client *client;

    (void)state;
    world_begin(&world, 2);
    assert_int_equal(wsock_server_set(world.server, "max_backlog_bytes", "64MiB"), 0);
    world_listen(&world, NULL);
    client = world_client(&world, &side);
    wsock_client_on_message(client, check_stream, &streams, NULL);
    world_connect(&world, client, &side);
    assert_int_equal(wsock_conn_post(world.side.conn, send_number_here, &own, NULL), 0);
    for (uint32_t i = 0; i < SENDERS - 1; i++) {
        senders[i] = (struct sender){.conn = world.side.conn, .index = i};
        assert_int_equal(pthread_create(&threads[i], NULL, send_numbers, &senders[i]), 0);
    }
    for (int i = 0; i < SENDERS - 1; i++)
        pthread_join(threads[i], NULL);
    await(&streams.received, SENDERS * NUMBERS);
    side_fini(&side);
    wsock_client_unref(client);
    world_end(&world);
}

static void send_all_and_close(wsock_conn *conn, void *user)
{
    static char data[1000];

    for (int i = 0; i < 2000; i++)
        CHECK(wsock_conn_send(conn, WSOCK_BINARY, data, (size_t)(i % 1000)) == 0);
    CHECK(wsock_conn_close(conn, 4000, "all sent") == 0);
    CHECK(wsock_conn_send(conn, WSOCK_BINARY, data, 1) == WSOCK_ECLOSED);
    tell(user);
}

static void close_comes_behind_all_that_was_sent(void **state)
{
    struct world world;
    struct side side = {0};
    wsock_client *client;
    int done = 0;

    (void)state;
    world_begin(&world, 2);
    assert_int_equal(wsock_server_set(world.server, "max_backlog_bytes", "64MiB"), 0);
    world_listen(&world, NULL);
    client = world_client(&world, &side);
    assert_int_equal(wsock_client_set(client, "max_backlog_bytes", "64MiB"), 0);
    for (int i = 1; i <= 6; i++) {
        struct side *sender = i % 2 ? &world.side : &side;
        struct side *receiver = i % 2 ? &side : &world.side;
        const int before = told(&receiver->messages);

        world_connect(&world, client, &side);
        if (i <= 2) {
            assert_int_equal(
                wsock_conn_post(sender->conn, send_all_and_close, &done, NULL), 0);
            await(&done, i);
        } else {
            send_all_and_close(sender->conn, &done);
        }
        await(&receiver->closed, i);
        assert_int_equal(told(&receiver->messages) - before, 2000);
        assert_int_equal(receiver->code, 4000);
        assert_string_equal(receiver->reason, "all sent");
        await(&sender->closed, i);
    }
    side_fini(&side);
    wsock_client_unref(client);
    world_end(&world);
}

/* ---- rooms ---- */

enum { MEMBERS = 12, PUBLISHERS = 4, PUBLISHED = 4000, NOISE = PUBLISHERS };

struct member {
    int received;
    struct numbered log[PUBLISHERS * PUBLISHED];
};

struct hall {
    struct world world;
    struct side side;
    wsock_client *client;
    wsock_room *room;
    struct member members[MEMBERS];
    wsock_conn *conns[MEMBERS]; /* the server's ends */
    int noise;
};

static void write_down(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    struct member *member = wsock_conn_get_user(conn);
    struct numbered numbered;

    CHECK(type == WSOCK_BINARY && len == sizeof numbered);
    memcpy(&numbered, data, sizeof numbered);
    if (numbered.sender == NOISE) {
        tell(&((struct hall *)user)->noise);
        return;
    }
    CHECK(member->received < PUBLISHERS * PUBLISHED);
    member->log[member->received] = numbered;
    tell(&member->received);
}

static struct hall *hall_begin(void)
{
    struct hall *hall = calloc(1, sizeof *hall);

    assert_non_null(hall);
    world_begin(&hall->world, 4);
    world_listen(&hall->world, NULL);
    assert_int_equal(wsock_server_room(hall->world.server, &hall->room, "hall"), 0);
    hall->client = world_client(&hall->world, &hall->side);
    wsock_client_on_message(hall->client, write_down, hall, NULL);
    for (int i = 0; i < MEMBERS; i++) {
        world_connect(&hall->world, hall->client, &hall->side);
        wsock_conn_set_user(hall->side.conn, &hall->members[i], NULL);
        hall->conns[i] = wsock_conn_ref(hall->world.side.conn);
    }
    return hall;
}

static void hall_end(struct hall *hall)
{
    for (int i = 0; i < MEMBERS; i++)
        wsock_conn_unref(hall->conns[i]);
    wsock_room_unref(hall->room);
    side_fini(&hall->side);
    wsock_client_unref(hall->client);
    world_end(&hall->world);
    free(hall);
}

struct publisher {
    wsock_room *room;
    uint32_t index;
};

static void *publish_numbers(void *user)
{
    const struct publisher *publisher = user;
    struct numbered numbered = {.sender = publisher->index};

    for (; numbered.number < PUBLISHED; numbered.number++)
        CHECK(wsock_room_broadcast(publisher->room, WSOCK_BINARY, &numbered,
                                   sizeof numbered) == MEMBERS);
    return NULL;
}

static void all_members_hear_a_room_in_one_order(void **state)
{
    struct hall *hall = hall_begin();
    struct publisher publishers[PUBLISHERS];
    pthread_t threads[PUBLISHERS];
    uint32_t next[PUBLISHERS] = {0};

    (void)state;
    for (int i = 0; i < MEMBERS; i++)
        assert_int_equal(wsock_room_join(hall->room, hall->conns[i]), 0);
    for (uint32_t i = 0; i < PUBLISHERS; i++) {
        publishers[i] = (struct publisher){.room = hall->room, .index = i};
        assert_int_equal(
            pthread_create(&threads[i], NULL, publish_numbers, &publishers[i]), 0);
    }
    for (int i = 0; i < PUBLISHERS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < MEMBERS; i++)
        await(&hall->members[i].received, PUBLISHERS * PUBLISHED);
    for (int i = 0; i < PUBLISHERS * PUBLISHED; i++) {
        const struct numbered *heard = &hall->members[0].log[i];

        assert_int_equal(heard->number, next[heard->sender]++); /* none overtaken */
    }
    for (int i = 1; i < MEMBERS; i++)
        assert_memory_equal(hall->members[i].log, hall->members[0].log,
                            sizeof hall->members[0].log);
    hall_end(hall);
}

struct noise {
    wsock_room *room;
    atomic_bool over;
};

static void *make_noise(void *user)
{
    struct noise *noise = user;
    const struct numbered numbered = {.sender = NOISE};

    while (!atomic_load(&noise->over)) {
        CHECK(wsock_room_broadcast(noise->room, WSOCK_BINARY, &numbered,
                                   sizeof numbered) >= 0);
        sched_yield();
    }
    return NULL;
}

/* One thread publishes 0, 1, 2, ... and lets members come and go in between: each hears
 * exactly what was published between its join and its leave. */
static void members_hear_from_their_join_to_their_leave(void **state)
{
    struct hall *hall = hall_begin();
    struct noise noise = {.room = hall->room};
    bool is_in[MEMBERS] = {false};
    uint32_t *expected = calloc(MEMBERS * PUBLISHED, sizeof *expected);
    int counts[MEMBERS] = {0};
    unsigned seed = 7;
    pthread_t thread;

    (void)state;
    assert_non_null(expected);
    assert_int_equal(pthread_create(&thread, NULL, make_noise, &noise), 0);
    for (uint32_t i = 0; i < PUBLISHED; i++) {
        const struct numbered numbered = {.sender = 0, .number = i};
        const int who = (int)((seed = seed * 1103515245u + 12345u) >> 16) % MEMBERS;

        if (is_in[who])
            assert_int_equal(wsock_room_leave(hall->room, hall->conns[who]), 0);
        else
            assert_int_equal(wsock_room_join(hall->room, hall->conns[who]), 0);
        is_in[who] = !is_in[who];
        assert_true(wsock_room_broadcast(hall->room, WSOCK_BINARY, &numbered,
                                         sizeof numbered) >= 0);
        for (int j = 0; j < MEMBERS; j++)
            if (is_in[j])
                expected[j * PUBLISHED + counts[j]++] = i;
    }
    atomic_store(&noise.over, true);
    pthread_join(thread, NULL);
    for (int i = 0; i < MEMBERS; i++) {
        await(&hall->members[i].received, counts[i]);
        assert_int_equal(wsock_room_leave(hall->room, hall->conns[i]),
                         is_in[i] ? 0 : WSOCK_ENOENT);
    }
    assert_int_equal(wsock_room_count(hall->room), 0);
    /* What was too much would stand in the log by the time this has come. */
    for (int i = 0; i < MEMBERS; i++) {
        const struct numbered last = {.sender = NOISE};
        const int heard = told(&hall->noise);

        wsock_conn_send(hall->conns[i], WSOCK_BINARY, &last, sizeof last);
        await(&hall->noise, heard + 1);
        assert_int_equal(hall->members[i].received, counts[i]);
        for (int j = 0; j < counts[i]; j++)
            assert_int_equal(hall->members[i].log[j].number, expected[i * PUBLISHED + j]);
    }
    free(expected);
    hall_end(hall);
}

static int is_even(wsock_conn *conn, void *user)
{
    const struct hall *hall = user;

    for (int i = 0; i < MEMBERS; i++)
        if (hall->conns[i] == conn)
            return i % 2 == 0;
    return 0;
}

static void broadcast_reaches_whom_it_is_meant_for(void **state)
{
    struct hall *hall = hall_begin();
    const struct numbered numbered = {.sender = 0, .number = 7};
    wsock_message *message = NULL;
    wsock_conn *members[MEMBERS];

    (void)state;
    for (int i = 0; i < MEMBERS; i++)
        assert_int_equal(wsock_room_join(hall->room, hall->conns[i]), 0);
    assert_int_equal(wsock_room_join(hall->room, hall->conns[0]), WSOCK_EEXIST);
    assert_int_equal(wsock_room_broadcast_except(hall->room, hall->conns[1], WSOCK_BINARY,
                                                 &numbered, sizeof numbered),
                     MEMBERS - 1);
    assert_int_equal(wsock_room_broadcast_if(hall->room, is_even, hall, WSOCK_BINARY,
                                             &numbered, sizeof numbered),
                     MEMBERS / 2);
    assert_int_equal(wsock_runtime_message(hall->world.runtime, &message, WSOCK_BINARY,
                                           &numbered, sizeof numbered),
                     0);
    assert_int_equal(wsock_room_broadcast_message(hall->room, NULL, message), MEMBERS);
    wsock_message_unref(message);
    for (int i = 0; i < MEMBERS; i++)
        await(&hall->members[i].received, i % 2 == 0 ? 3 : i == 1 ? 1 : 2);
    assert_int_equal(wsock_room_members(hall->room, members, MEMBERS), MEMBERS);
    for (int i = 0; i < MEMBERS; i++)
        wsock_conn_unref(members[i]);
    assert_int_equal(wsock_room_broadcast(hall->room, WSOCK_TEXT, "\xff", 1),
                     WSOCK_EUTF8);
    /* A member that ends leaves by itself. */
    assert_int_equal(wsock_conn_close(hall->conns[3], 1000, NULL), 0);
    await(&hall->world.side.closed, 1);
    assert_int_equal(wsock_room_count(hall->room), MEMBERS - 1);
    for (int i = 0; i < MEMBERS; i++)
        assert_int_equal(hall->members[i].received, i % 2 == 0 ? 3 : i == 1 ? 1 : 2);
    hall_end(hall);
}

struct pacer {
    wsock_room *room;
    wsock_conn *conn;
    atomic_bool over;
};

static void *leave_and_join(void *user)
{
    struct pacer *pacer = user;

    while (!atomic_load(&pacer->over)) {
        wsock_room_leave(pacer->room, pacer->conn);
        wsock_room_join(pacer->room, pacer->conn);
    }
    return NULL;
}

/* Two threads take the same connection in and out: still it hears nothing twice. */
static void racing_joins_and_leaves_never_double_a_message(void **state)
{
    struct hall *hall = hall_begin();
    struct pacer pacer = {.room = hall->room, .conn = hall->conns[0]};
    struct numbered numbered = {.sender = 0};
    const struct member *member = &hall->members[0];
    pthread_t threads[2];

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, leave_and_join, &pacer), 0);
    for (; numbered.number < PUBLISHERS * PUBLISHED; numbered.number++) {
        const int r = wsock_room_broadcast(hall->room, WSOCK_BINARY, &numbered,
                                           sizeof numbered);

        assert_true(r == 0 || r == 1);
    }
    atomic_store(&pacer.over, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    wsock_conn_close(hall->conns[0], 1000, NULL);
    await(&hall->side.closed, 1);
    for (int i = 1; i < member->received; i++)
        assert_true(member->log[i].number > member->log[i - 1].number);
    hall_end(hall);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(handler_does_not_overtake_what_a_thread_sent),
        TEST(each_thread_and_the_worker_keep_their_order),
        TEST(close_comes_behind_all_that_was_sent),
        TEST(all_members_hear_a_room_in_one_order),
        TEST(members_hear_from_their_join_to_their_leave),
        TEST(broadcast_reaches_whom_it_is_meant_for),
        TEST(racing_joins_and_leaves_never_double_a_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
