/* SPDX-License-Identifier: MIT */
/* Clients on a queue, and every shape of message. */
#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#ifdef CERTIFICATES
#define HAS_TLS true
#else
#define HAS_TLS      false
#define CERTIFICATES ""
#endif

/* ---- a client that is kept up ---- */

struct managed {
    struct world world; /* its server is on the workers */
    wsock_queue *queue; /* the client's */
    wsock_client *client;
    struct side side;
    pthread_t host;
    char story[64];
    int states, closed, restarts;
    bool keeps; /* messages, while it is not open */
};

static void note(struct managed *m, char letter)
{
    const size_t len = strlen(m->story);

    CHECK(pthread_equal(m->host, pthread_self()));
    if (len + 1 < sizeof m->story)
        m->story[len] = letter;
}

static void on_state(wsock_client *client, const wsock_state_info *info, void *user)
{
    struct managed *m = user;

    note(m, " COWX"[info->state]);
    CHECK((info->why != NULL) == (info->state >= WSOCK_STATE_WAITING));
    CHECK(info->why == NULL || *info->why->detail != '\0');
    if (info->state == WSOCK_STATE_CLOSED) {
        if (m->restarts > 0)
            CHECK(wsock_client_start(client) == 0);
        m->restarts--;
        tell(&m->closed);
    }
    tell(&m->states);
}

static void on_open(wsock_conn *conn, void *user)
{
    struct managed *m = user;

    note(m, 'o');
    if (m->keeps)
        CHECK(wsock_conn_send(conn, WSOCK_TEXT, "login", 5) == 0);
    else
        CHECK(wsock_client_send(m->client, WSOCK_TEXT, "login", 5) == 0);
    side_on_open(conn, &m->side);
}

static void on_close(wsock_conn *conn, const wsock_close_info *info, void *user)
{
    struct managed *m = user;

    note(m, 'c');
    side_on_close(conn, info, &m->side);
}

static void managed_begin(struct managed *m)
{
    char url[320];

    memset(m, 0, sizeof *m);
    m->host = pthread_self();
    world_begin(&m->world, 2);
    world_listen(&m->world, NULL);
    assert_int_equal(wsock_runtime_queue(m->world.runtime, &m->queue), 0);
    snprintf(url, sizeof url, "%s/test", m->world.url);
    assert_int_equal(wsock_runtime_client(m->world.runtime, &m->client, url), 0);
    assert_int_equal(wsock_client_set_queue(m->client, m->queue), 0);
    assert_int_equal(wsock_client_set_queue(m->client, m->queue), WSOCK_EBUSY);
    side_client(&m->side, m->client);
    assert_int_equal(wsock_client_on_open(m->client, on_open, m, NULL), 0);
    assert_int_equal(wsock_client_on_close(m->client, on_close, m, NULL), 0);
    assert_int_equal(wsock_client_on_state(m->client, on_state, m, NULL), 0);
    assert_int_equal(wsock_client_set(m->client, "reconnect_delay", "2ms"), 0);
    assert_int_equal(wsock_client_set(m->client, "reconnect_max_delay", "5ms"), 0);
}

static void managed_end(struct managed *m)
{
    side_fini(&m->side);
    wsock_client_unref(m->client);
    world_end(&m->world);
    wsock_queue_unref(m->queue);
}

static void states_come_in_order_on_the_queue(void **state)
{
    struct managed m;

    (void)state;
    managed_begin(&m);
    assert_int_equal(wsock_client_start(m.client), 0);
    await(&m.world.side.opened, 1);
    assert_string_equal(m.story, "");
    dispatch_until(m.queue, &m.side.opened, 1);
    assert_string_equal(m.story, "COo");
    await(&m.world.side.messages, 1);
    assert_int_equal(wsock_conn_reset(m.world.side.conn), 0);
    dispatch_until(m.queue, &m.side.opened, 2);
    m.restarts = 1;
    assert_int_equal(wsock_client_stop(m.client, 4001, "enough"), 0);
    dispatch_until(m.queue, &m.side.opened, 3);
    assert_string_equal(m.story, "COocWCOocXCOo");
    assert_int_equal(wsock_client_stop(m.client, 1000, NULL), 0);
    assert_int_equal(wsock_client_stop(m.client, 1000, NULL), WSOCK_ECLOSED);
    dispatch_until(m.queue, &m.closed, 2);
    assert_string_equal(m.story, "COocWCOocXCOocX");
    assert_int_equal(wsock_client_send(m.client, WSOCK_TEXT, "x", 1), WSOCK_ECLOSED);
    managed_end(&m);
}

struct heard {
    char text[256];
    int count;
};

static void on_heard(wsock_conn *conn, int type, const void *data, size_t len, void *user)
{
    struct heard *heard = user;

    (void)conn;
    CHECK(type == WSOCK_TEXT);
    strncat(heard->text, data, len);
    strncat(heard->text, " ", 2);
    tell(&heard->count);
}

/* To the host it is not open before it was told so, however long ago it opened. */
static void what_is_sent_before_on_open_comes_behind_it(void **state)
{
    struct heard heard = {0};
    struct managed m;
    wsock_conn *conn;

    (void)state;
    managed_begin(&m);
    assert_int_equal(wsock_endpoint_on_message(m.world.endpoint, on_heard, &heard, NULL),
                     0);
    m.keeps = true;
    assert_int_equal(wsock_client_set(m.client, "reconnect_buffer_bytes", "1KiB"), 0);
    assert_int_equal(wsock_client_start(m.client), 0);
    while ((conn = wsock_client_conn(m.client)) == NULL)
        sched_yield();
    wsock_conn_unref(conn);
    assert_int_equal(wsock_client_send(m.client, WSOCK_TEXT, "first", 5), 0);
    assert_int_equal(wsock_client_send(m.client, WSOCK_TEXT, "second", 6), 0);
    dispatch_until(m.queue, &m.side.opened, 1);
    await(&heard.count, 3);
    assert_string_equal(heard.text, "login first second ");
    assert_int_equal(wsock_client_stop(m.client, 1000, NULL), 0);
    dispatch_until(m.queue, &m.closed, 1);
    managed_end(&m);
}

/* Nobody is there: no connection opens, and the host is late for all of it. */
static void a_host_that_is_late_hears_of_attempts(void **state)
{
    struct managed m;
    int none = 0;

    (void)state;
    managed_begin(&m);
    wsock_server_stop(m.world.server);
    await(&m.world.stopped, 1);
    assert_int_equal(wsock_client_set(m.client, "reconnect_attempts", "2"), 0);
    assert_int_equal(wsock_client_start(m.client), 0);
    assert_true(stays_below(&none, 1, 50));
    dispatch_until(m.queue, &m.closed, 1);
    assert_string_equal(m.story, "CcWCcWCcX");
    assert_int_equal(m.side.cause, WSOCK_CAUSE_CONNECT);
    managed_end(&m);
}

static void freeing_the_runtime_tells_the_end_on_the_queue(void **state)
{
    struct managed m;

    (void)state;
    managed_begin(&m);
    assert_int_equal(wsock_client_start(m.client), 0);
    dispatch_until(m.queue, &m.side.opened, 1);
    wsock_runtime_stop(m.world.runtime);
    managed_end(&m);
    assert_string_equal(m.story, "COocX");
}

/* ---- rooms ---- */

enum { MEMBERS = 8, SPEAKERS = 3, SPEECH = 200 };

struct meeting {
    struct managed m;
    wsock_room *room;
    wsock_client *clients[MEMBERS];
    struct side sides[MEMBERS];
    int said[MEMBERS][SPEAKERS * SPEECH]; /* what each of them heard */
    int heard[MEMBERS], all;
};

struct speaker {
    struct meeting *meeting;
    int index;
    pthread_t thread;
};

static void on_join(wsock_conn *conn, void *user)
{
    struct meeting *meeting = user;

    CHECK(wsock_room_join(meeting->room, conn) == 0);
    side_on_open(conn, &meeting->m.world.side);
}

static void on_speech(wsock_conn *conn, int type, const void *data, size_t len,
                      void *user)
{
    int *member = user; /* its place in `heard` */
    struct meeting *meeting = wsock_conn_get_user(conn);
    const long index = meeting != NULL ? member - meeting->heard : -1;

    (void)type;
    CHECK(len == sizeof(int) && index >= 0);
    if (len == sizeof(int) && index >= 0)
        memcpy(&meeting->said[index][(*member)++], data, len);
    tell(&meeting->all);
}

static void *speak(void *user)
{
    struct speaker *speaker = user;

    for (int i = 0; i < SPEECH; i++) {
        const int word = speaker->index * SPEECH + i;

        CHECK(wsock_room_broadcast(speaker->meeting->room, WSOCK_BINARY, &word,
                                   sizeof word) >= 0);
    }
    return NULL;
}

static void members_on_a_queue_see_one_order(void **state)
{
    static struct meeting meeting;
    struct managed *m = &meeting.m;
    struct speaker speakers[SPEAKERS];

    (void)state;
    memset(&meeting, 0, sizeof meeting);
    managed_begin(m);
    assert_int_equal(wsock_server_room(m->world.server, &meeting.room, "room"), 0);
    assert_int_equal(wsock_endpoint_on_open(m->world.endpoint, on_join, &meeting, NULL),
                     0);
    for (int i = 0; i < MEMBERS; i++) {
        char url[320];

        snprintf(url, sizeof url, "%s/test", m->world.url);
        assert_int_equal(wsock_runtime_client(m->world.runtime, &meeting.clients[i], url),
                         0);
        assert_int_equal(wsock_client_set_queue(meeting.clients[i], m->queue), 0);
        side_client(&meeting.sides[i], meeting.clients[i]);
        assert_int_equal(wsock_client_on_message(meeting.clients[i], on_speech,
                                                 &meeting.heard[i], NULL),
                         0);
        assert_int_equal(wsock_client_connect(meeting.clients[i], NULL), 0);
        dispatch_until(m->queue, &meeting.sides[i].opened, 1);
        wsock_conn_set_user(meeting.sides[i].conn, &meeting, NULL);
    }
    await(&m->world.side.opened, MEMBERS);
    for (int i = 0; i < SPEAKERS; i++) {
        speakers[i] = (struct speaker){.meeting = &meeting, .index = i};
        pthread_create(&speakers[i].thread, NULL, speak, &speakers[i]);
    }
    dispatch_until(m->queue, &meeting.all, MEMBERS * SPEAKERS * SPEECH);
    for (int i = 0; i < SPEAKERS; i++)
        pthread_join(speakers[i].thread, NULL);
    for (int i = 1; i < MEMBERS; i++)
        assert_memory_equal(meeting.said[i], meeting.said[0], sizeof meeting.said[0]);
    for (int i = 0; i < MEMBERS; i++) {
        side_fini(&meeting.sides[i]);
        wsock_client_unref(meeting.clients[i]);
    }
    wsock_room_unref(meeting.room);
    managed_end(m);
}

/* ---- messages of every shape ---- */

enum { MANY = 400 };

/* The nth message: its size crosses every boundary there is. */
static size_t size_of(int n)
{
    static const size_t sizes[] = {0,    1,    125,   126,   4000,   4095,  4096,
                                   4097, 8192, 65535, 65536, 100000, 300000};

    return n % 5 == 4 ? sizes[(size_t)(n / 5) % (sizeof sizes / sizeof sizes[0])]
                      : (size_t)(n * 7 % 300);
}

static char byte_of(int n, size_t at)
{
    return (char)('a' + (at * 31 + (size_t)n) % 23);
}

struct shapes {
    struct world world;
    struct side peer;
    wsock_client *client;
    int next;  /* the message that is due */
    size_t at; /* in parts: so much of it came */
    int whole;
};

static void check_bytes(struct shapes *shapes, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (data[i] != byte_of(shapes->next, shapes->at + i)) {
            CHECK(false); /* a byte is another one */
            break;
        }
}

static void on_whole(wsock_conn *conn, int type, const void *data, size_t len, void *user)
{
    struct shapes *shapes = user;

    (void)conn;
    CHECK(type == (shapes->next % 2 != 0 ? WSOCK_TEXT : WSOCK_BINARY));
    CHECK(len == size_of(shapes->next));
    check_bytes(shapes, data, len);
    shapes->next++;
    tell(&shapes->whole);
}

static void on_part(wsock_conn *conn, int type, const void *data, size_t len, int flags,
                    void *user)
{
    struct shapes *shapes = user;

    (void)conn;
    CHECK(type == (shapes->next % 2 != 0 ? WSOCK_TEXT : WSOCK_BINARY));
    CHECK(((flags & WSOCK_PART_FIRST) != 0) == (shapes->at == 0) || len == 0);
    check_bytes(shapes, data, len);
    shapes->at += len;
    if ((flags & WSOCK_PART_LAST) == 0)
        return;
    CHECK(shapes->at == size_of(shapes->next));
    shapes->at = 0;
    shapes->next++;
    tell(&shapes->whole);
}

static void *send_all(void *user)
{
    struct shapes *shapes = user;
    char *data = malloc(300000);

    for (int n = 0; n < MANY && data != NULL; n++) {
        const size_t len = size_of(n);
        const int before = told(&shapes->peer.drained);
        int r;

        for (size_t i = 0; i < len; i++)
            data[i] = byte_of(n, i);
        while ((r = wsock_conn_send(shapes->peer.conn,
                                    n % 2 != 0 ? WSOCK_TEXT : WSOCK_BINARY, data, len)) ==
               WSOCK_EAGAIN)
            await(&shapes->peer.drained, before + 1);
        CHECK(r == 0);
    }
    free(data);
    return NULL;
}

/* @param compression (nullable) @param parts whether the server takes them in parts */
static void exchange(const char *compression, bool parts, bool tls)
{
    struct shapes shapes = {0};
    wsock_server *server;
    pthread_t sender;

    world_begin_queued(&shapes.world, 2);
    server = shapes.world.server;
    assert_int_equal(wsock_runtime_set(shapes.world.runtime, "queue_events", "16"), 0);
    assert_int_equal(wsock_runtime_set(shapes.world.runtime, "queue_bytes", "64KiB"), 0);
    assert_int_equal(wsock_server_set(server, "conn_queue_messages", "10"), 0);
    if (compression != NULL)
        assert_int_equal(wsock_server_set(server, "compression", compression), 0);
    if (parts)
        assert_int_equal(
            wsock_endpoint_on_part(shapes.world.endpoint, on_part, &shapes, NULL), 0);
    assert_int_equal(
        wsock_endpoint_on_message(shapes.world.endpoint, on_whole, &shapes, NULL), 0);
    if (tls) {
        wsock_server_set(server, "tls_certificate", CERTIFICATES "/good.pem");
        wsock_server_set(server, "tls_key", CERTIFICATES "/good.key");
    }
    world_listen(&shapes.world, tls ? "wss://127.0.0.1:0" : NULL);
    shapes.client = world_client(&shapes.world, &shapes.peer);
    if (tls)
        assert_int_equal(wsock_client_set(shapes.client, "tls_verify", "off"), 0);
    if (compression != NULL)
        assert_int_equal(wsock_client_set(shapes.client, "compression", compression), 0);
    world_connect_queued(&shapes.world, shapes.client, &shapes.peer);
    pthread_create(&sender, NULL, send_all, &shapes);
    dispatch_until(shapes.world.queue, &shapes.whole, MANY);
    pthread_join(sender, NULL);
    assert_int_equal(wsock_conn_close(shapes.peer.conn, 1000, NULL), 0);
    dispatch_until(shapes.world.queue, &shapes.world.side.closed, 1);
    assert_int_equal(shapes.world.side.code, 1000);
    side_fini(&shapes.peer);
    wsock_client_unref(shapes.client);
    world_end(&shapes.world);
}

static void messages_of_every_size_come_whole(void **state)
{
    (void)state;
    exchange(NULL, false, false);
}

static void compressed_messages_come_whole(void **state)
{
    (void)state;
    exchange("shared", false, false);
    exchange("dedicated", false, false);
}

static void parts_come_in_order(void **state)
{
    (void)state;
    exchange(NULL, true, false);
    exchange("shared", true, false);
    exchange("dedicated", true, false);
}

static void what_was_decrypted_already_is_not_forgotten(void **state)
{
    (void)state;
    if (!HAS_TLS)
        return;
    exchange(NULL, false, true);
    exchange("dedicated", true, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(states_come_in_order_on_the_queue),
        TEST(what_is_sent_before_on_open_comes_behind_it),
        TEST(a_host_that_is_late_hears_of_attempts),
        TEST(freeing_the_runtime_tells_the_end_on_the_queue),
        TEST(members_on_a_queue_see_one_order),
        TEST(messages_of_every_size_come_whole),
        TEST(compressed_messages_come_whole),
        TEST(parts_come_in_order),
        TEST(what_was_decrypted_already_is_not_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
