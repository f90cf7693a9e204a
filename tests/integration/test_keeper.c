/* SPDX-License-Identifier: MIT */
/* A client that keeps a connection up: over sockets, with a server that goes away. */
#include "harness.h"

#include <pthread.h>
#include <stdlib.h>

/* ---- a client that writes down how it stands ---- */

struct managed {
    struct side side;
    int connecting, open, waiting, closed; /* how often */
    int room;                              /* whatever lets a refused send go on */
    int last, cause;
    char story[256]; /* a letter for each state and on_open, on_close */
    atomic_bool has_thread;
    pthread_t thread; /* of its handlers */
    wsock_client *client;
    wsock_runtime *runtime; /* of its own: the server's comes and goes */
};

static void note(struct managed *m, char letter)
{
    const size_t len = strlen(m->story);

    if (!atomic_exchange(&m->has_thread, true))
        m->thread = pthread_self();
    CHECK(pthread_equal(m->thread, pthread_self())); /* however often it is started */
    if (len + 1 < sizeof m->story)
        m->story[len] = letter;
}

static void on_state(wsock_client *client, const wsock_state_info *info, void *user)
{
    struct managed *m = user;
    int *const counts[] = {NULL, &m->connecting, &m->open, &m->waiting, &m->closed};

    CHECK(client == m->client);
    CHECK(info->size == sizeof *info);
    note(m, " COWX"[info->state]);
    m->last = info->state;
    if (info->why != NULL)
        m->cause = info->why->cause;
    tell(&m->room);
    tell(counts[info->state]);
}

static void on_open(wsock_conn *conn, void *user)
{
    struct managed *m = user;

    note(m, 'o');
    side_on_open(conn, &m->side);
    tell(&m->room);
}

static void on_drain(wsock_conn *conn, void *user)
{
    (void)conn;
    tell(&((struct managed *)user)->room);
}

static void on_close(wsock_conn *conn, const wsock_close_info *info, void *user)
{
    struct managed *m = user;

    note(m, 'c');
    side_on_close(conn, info, &m->side);
}

static void managed_begin(struct managed *m, const char *base)
{
    char url[320];

    memset(m, 0, sizeof *m);
    snprintf(url, sizeof url, "%s%s/test", base, strstr(base, "+unix:") ? ":" : "");
    assert_int_equal(wsock_runtime_new(&m->runtime), 0);
    assert_int_equal(wsock_runtime_set_int64(m->runtime, "workers", 2), 0);
    assert_int_equal(wsock_runtime_client(m->runtime, &m->client, url), 0);
    side_client(&m->side, m->client);
    assert_int_equal(wsock_client_on_open(m->client, on_open, m, NULL), 0);
    assert_int_equal(wsock_client_on_drain(m->client, on_drain, m, NULL), 0);
    assert_int_equal(wsock_client_on_close(m->client, on_close, m, NULL), 0);
    assert_int_equal(wsock_client_on_state(m->client, on_state, m, NULL), 0);
    assert_int_equal(wsock_client_set(m->client, "reconnect_delay", "2ms"), 0);
    assert_int_equal(wsock_client_set(m->client, "reconnect_max_delay", "10ms"), 0);
}

static void managed_end(struct managed *m)
{
    wsock_client_unref(m->client);
    assert_int_equal(wsock_runtime_free(m->runtime), 0);
    side_fini(&m->side); /* on_open may have run until now */
}

static int say(struct managed *m, const char *text)
{
    return wsock_client_send(m->client, WSOCK_TEXT, text, strlen(text));
}

/* ---- tests ---- */

static void client_outlives_its_server(void **state)
{
    const char *path = world_unix_path();
    char url[128];
    struct managed m;
    struct world world;

    (void)state;
    snprintf(url, sizeof url, "ws+unix:%s", path);
    managed_begin(&m, url);
    assert_int_equal(wsock_client_start(m.client), 0);
    assert_int_equal(wsock_client_start(m.client), WSOCK_EBUSY);
    await(&m.waiting, 1); /* nobody is there yet */
    assert_int_equal(m.cause, WSOCK_CAUSE_CONNECT);
    for (int round = 1; round <= 3; round++) {
        int waiting;

        world_begin(&world, 0);
        world.side.echo = true;
        world_listen(&world, url);
        await(&m.open, round);
        await(&m.side.opened, round);
        assert_int_equal(say(&m, "hello"), 0);
        await(&m.side.messages, round);
        assert_string_equal(m.side.data, "hello");
        waiting = told(&m.waiting); /* it does not wait while it is open */
        world_end(&world);          /* 1001 */
        await(&m.waiting, waiting + 1);
        assert_int_equal(say(&m, "nobody hears"), WSOCK_EAGAIN);
        assert_null(wsock_client_conn(m.client));
    }
    assert_int_equal(wsock_client_stop(m.client, 1000, NULL), 0);
    await(&m.closed, 1);
    assert_int_equal(wsock_client_stop(m.client, 1000, NULL), WSOCK_ECLOSED);
    assert_int_equal(say(&m, "nobody hears"), WSOCK_ECLOSED);
    assert_int_equal(told(&m.closed), 1);
    managed_end(&m);
}

static void stop_when_connecting(wsock_client *client, const wsock_state_info *info,
                                 void *user)
{
    if (info->state == WSOCK_STATE_CONNECTING)
        CHECK(wsock_client_stop(client, 1000, NULL) == 0);
    on_state(client, info, user);
}

/* There is nothing yet that could end. */
static void stop_in_the_handler_of_connecting_has_no_on_close(void **state)
{
    struct managed m;

    (void)state;
    managed_begin(&m, "ws+unix:/nowhere");
    assert_int_equal(wsock_client_on_state(m.client, stop_when_connecting, &m, NULL), 0);
    assert_int_equal(wsock_client_start(m.client), 0);
    await(&m.closed, 1);
    assert_string_equal(m.story, "CX");
    assert_int_equal(m.cause, WSOCK_CAUSE_RESET);
    assert_int_equal(told(&m.side.closed), 0);
    managed_end(&m);
}

static void handlers_come_in_one_order(void **state)
{
    struct managed m;
    struct world world;

    (void)state;
    world_begin(&world, 0);
    world_listen(&world, NULL);
    managed_begin(&m, world.url);
    assert_int_equal(wsock_client_start(m.client), 0);
    await(&world.side.opened, 1);
    await(&m.side.opened, 1);
    assert_int_equal(wsock_conn_reset(world.side.conn), 0);
    await(&m.side.opened, 2);
    assert_int_equal(wsock_client_stop(m.client, 4001, "enough"), 0);
    await(&m.closed, 1);
    assert_string_equal(m.story, "COocWCOocX");
    await(&world.side.closed, 2);
    assert_int_equal(world.side.code, 4001);
    assert_string_equal(world.side.reason, "enough");
    managed_end(&m);
    world_end(&world);
}

static void refusal_for_good_closes_the_client(void **state)
{
    struct managed m;
    struct world world;
    char url[320];

    (void)state;
    world_begin(&world, 0);
    world_listen(&world, NULL);
    snprintf(url, sizeof url, "%s/elsewhere", world.url);
    managed_begin(&m, url);
    assert_int_equal(wsock_client_start(m.client), 0);
    await(&m.closed, 1);
    assert_string_equal(m.story, "CcX");
    assert_int_equal(m.side.http_status, 404);
    assert_int_equal(wsock_client_start(m.client), 0); /* and again */
    await(&m.closed, 2);
    managed_end(&m);
    world_end(&world);
}

static void arguments_are_checked(void **state)
{
    struct managed m;

    (void)state;
    managed_begin(&m, "ws://127.0.0.1:1");
    assert_int_equal(wsock_client_set(m.client, "reconnect_stop", "1008, often"),
                     WSOCK_EINVAL);
    assert_non_null(strstr(wsock_client_error(m.client), "\"often\": an entry is"));
    assert_int_equal(wsock_client_start(NULL), WSOCK_EINVAL);
    assert_int_equal(wsock_client_stop(m.client, 1000, NULL), WSOCK_ECLOSED);
    assert_int_equal(wsock_client_stop(m.client, 999, NULL), WSOCK_ERANGE);
    assert_int_equal(wsock_client_stop(m.client, 1005, "x"), WSOCK_EINVAL);
    assert_int_equal(wsock_client_stop(m.client, 1000, "\xff"), WSOCK_EUTF8);
    assert_int_equal(wsock_client_send(m.client, 3, "x", 1), WSOCK_EINVAL);
    assert_int_equal(wsock_client_send(m.client, WSOCK_TEXT, NULL, 1), WSOCK_EINVAL);
    assert_int_equal(wsock_client_send(m.client, WSOCK_TEXT, "x", (size_t)1 << 31),
                     WSOCK_ETOOBIG);
    assert_int_equal(wsock_client_send(m.client, WSOCK_TEXT, "x", 1), WSOCK_ECLOSED);
    assert_int_equal(wsock_client_send_message(m.client, NULL), WSOCK_EINVAL);
    assert_null(wsock_client_conn(m.client));
    assert_null(wsock_client_conn(NULL));
    managed_end(&m);
}

/* ---- lifetimes ---- */

static void runtime_ends_what_is_started(void **state)
{
    struct managed m;
    struct world world;

    (void)state;
    managed_begin(&m, "ws+unix:/nonexistent/socket"); /* waiting */
    assert_int_equal(wsock_client_set(m.client, "reconnect_delay", "1h"), 0);
    assert_int_equal(wsock_client_set(m.client, "reconnect_max_delay", "1h"), 0);
    assert_int_equal(wsock_client_start(m.client), 0);
    await(&m.waiting, 1);
    managed_end(&m);
    assert_string_equal(m.story, "CcWX");
    assert_int_equal(m.cause, WSOCK_CAUSE_STOPPED);

    world_begin(&world, 0); /* open, and nobody has a handle */
    world_listen(&world, NULL);
    managed_begin(&m, world.url);
    assert_int_equal(wsock_client_start(m.client), 0);
    wsock_client_unref(wsock_client_ref(m.client));
    await(&m.side.opened, 1);
    managed_end(&m);
    assert_string_equal(m.story, "COocX");
    assert_int_equal(m.side.code, 1001);

    managed_begin(&m, world.url); /* whatever it is doing now */
    assert_int_equal(wsock_client_start(m.client), 0);
    managed_end(&m);
    assert_int_equal(m.closed, 1);
    world_end(&world);
}

static void handle_may_go_before_the_client_does(void **state)
{
    struct managed m;
    struct world world;
    int freed = 0;

    (void)state;
    world_begin(&world, 0);
    world_listen(&world, NULL);
    managed_begin(&m, world.url);
    assert_int_equal(wsock_client_on_part(m.client, NULL, &freed, free_counted), 0);
    assert_int_equal(told(&freed), 1);
    assert_int_equal(wsock_client_on_pong(m.client, side_on_pong, &freed, free_counted),
                     0);
    assert_int_equal(wsock_client_start(m.client), 0);
    await(&m.side.opened, 1);
    side_fini(&m.side);
    assert_int_equal(wsock_client_stop(m.client, 1000, NULL), 0);
    wsock_client_unref(m.client);
    await(&m.closed, 1);
    await(&freed, 2); /* the client with its handlers */
    assert_int_equal(wsock_runtime_free(m.runtime), 0);
    world_end(&world);
}

/* ---- messages ---- */

static void kept_messages_arrive_compressed_or_not(void **state)
{
    static const char *const modes[] = {"off", "shared", "dedicated"};
    static char large[5000];
    struct managed m;
    struct world world;
    wsock_message *message = NULL;
    char url[128];

    (void)state;
    memset(large, 'x', sizeof large - 1);
    for (size_t i = 0; i < 3; i++) {
        snprintf(url, sizeof url, "ws+unix:%s", world_unix_path());
        managed_begin(&m, url);
        wsock_client_set(m.client, "compression", modes[i]);
        wsock_client_set(m.client, "reconnect_buffer_bytes", "1MiB");
        assert_int_equal(wsock_runtime_message(m.runtime, &message, WSOCK_TEXT, large,
                                               sizeof large - 1),
                         0);
        assert_int_equal(wsock_client_start(m.client), 0);
        assert_int_equal(say(&m, large), 0);
        assert_int_equal(wsock_client_send_message(m.client, message), 0);
        assert_int_equal(wsock_client_send(m.client, WSOCK_TEXT | WSOCK_UNCOMPRESSED,
                                           large, sizeof large - 1),
                         0);
        assert_int_equal(say(&m, "last"), 0);
        world_begin(&world, 0);
        wsock_endpoint_set(world.endpoint, "compression", modes[i]);
        world.side.echo = true;
        world_listen(&world, url);
        await(&m.side.messages, 3);
        assert_int_equal(wsock_client_send_message(m.client, message), 0);
        await(&m.side.messages, 5);
        assert_int_equal(world.side.messages, 5);
        assert_int_equal(m.side.len, sizeof large - 1);
        assert_int_equal(wsock_client_stop(m.client, 1000, NULL), 0);
        await(&m.closed, 1);
        wsock_message_unref(message);
        managed_end(&m);
        world_end(&world);
    }
}

enum { SENDERS = 4, EACH = 4000, RESET_EVERY = 701 };

struct numbered {
    uint32_t sender, number;
};

/* What the server has seen of each number. */
struct seen {
    pthread_mutex_t lock;
    unsigned char times[SENDERS][EACH];
    unsigned received;
};

/* Each number at most once. Of one connection they come in order, which is kept with it;
 * what an old connection still brings may be behind what the new one has brought. */
static void count_number(wsock_conn *conn, int type, const void *data, size_t len,
                         void *user)
{
    struct seen *seen = user;
    struct numbered numbered;
    uint32_t *next = wsock_conn_get_user(conn);
    bool reset;

    (void)type;
    CHECK(len == sizeof numbered);
    memcpy(&numbered, data, sizeof numbered);
    if (next == NULL) {
        next = calloc(SENDERS, sizeof *next);
        wsock_conn_set_user(conn, next, free);
    }
    CHECK(numbered.number >= next[numbered.sender]);
    next[numbered.sender] = numbered.number + 1;
    pthread_mutex_lock(&seen->lock);
    CHECK(seen->times[numbered.sender][numbered.number]++ == 0);
    reset = ++seen->received % RESET_EVERY == 0;
    pthread_mutex_unlock(&seen->lock);
    if (reset)
        wsock_conn_reset(conn);
}

struct sender {
    struct managed *m;
    uint32_t index;
};

static void *send_numbers(void *user)
{
    const struct sender *sender = user;
    struct numbered numbered = {.sender = sender->index};

    while (numbered.number < EACH) {
        const int room = told(&sender->m->room);
        const int r = wsock_client_send(sender->m->client, WSOCK_BINARY, &numbered,
                                        sizeof numbered);

        if (r == WSOCK_EAGAIN) {
            await(&sender->m->room, room + 1);
            continue;
        }
        CHECK(r == 0);
        numbered.number++;
    }
    return NULL;
}

static void many_senders_lose_nothing_but_what_was_under_way(void **state)
{
    static struct seen seen;
    pthread_t threads[SENDERS];
    struct sender senders[SENDERS];
    struct managed m;
    struct world world;

    (void)state;
    memset(&seen, 0, sizeof seen);
    pthread_mutex_init(&seen.lock, NULL);
    world_begin(&world, 0);
    wsock_endpoint_on_message(world.endpoint, count_number, &seen, NULL);
    world_listen(&world, NULL);
    managed_begin(&m, world.url);
    wsock_client_set(m.client, "reconnect_stable_time", "0");
    wsock_client_set(m.client, "reconnect_buffer_bytes", "16KiB");
    wsock_client_set(m.client, "max_backlog_bytes", "4KiB");
    assert_int_equal(wsock_client_start(m.client), 0);
    for (uint32_t i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){&m, i};
        assert_int_equal(pthread_create(&threads[i], NULL, send_numbers, &senders[i]), 0);
    }
    for (int i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(wsock_client_stop(m.client, 1000, NULL), 0);
    await(&m.closed, 1);
    await(&world.side.closed, told(&m.side.opened));
    assert_true(told(&m.side.opened) > 2);
    assert_int_equal(told(&m.open), told(&m.side.opened));
    managed_end(&m);
    world_end(&world);
    pthread_mutex_destroy(&seen.lock);
}

/* ---- everything at once ---- */

struct juggler {
    struct managed *m;
    int started; /* starts that answered 0 */
};

static void *juggle(void *user)
{
    struct juggler *juggler = user;
    wsock_client *client = juggler->m->client;

    for (int i = 0; i < 300; i++) {
        int r = wsock_client_start(client);

        CHECK(r == 0 || r == WSOCK_EBUSY);
        juggler->started += r == 0;
        r = wsock_client_send(client, WSOCK_TEXT, "x", 1);
        CHECK(r == 0 || r == WSOCK_EAGAIN || r == WSOCK_ECLOSED);
        wsock_conn *conn = wsock_client_conn(client);

        if (conn != NULL && i % 7 == 0)
            wsock_conn_reset(conn);
        wsock_conn_unref(conn);
        r = i % 3 == 0 ? wsock_client_stop(client, 1000, NULL) : 0;
        CHECK(r == 0 || r == WSOCK_ECLOSED);
    }
    return NULL;
}

static void each_start_has_one_end_whoever_calls_what(void **state)
{
    enum { JUGGLERS = 4 };
    pthread_t threads[JUGGLERS];
    struct juggler jugglers[JUGGLERS];
    struct managed m;
    struct world world;
    int started = 0;

    (void)state;
    world_begin(&world, 0);
    world_listen(&world, NULL);
    managed_begin(&m, world.url);
    wsock_client_set(m.client, "reconnect_buffer_bytes", "1KiB");
    for (int i = 0; i < JUGGLERS; i++) {
        jugglers[i] = (struct juggler){.m = &m};
        assert_int_equal(pthread_create(&threads[i], NULL, juggle, &jugglers[i]), 0);
    }
    for (int i = 0; i < JUGGLERS; i++) {
        pthread_join(threads[i], NULL);
        started += jugglers[i].started;
    }
    wsock_client_stop(m.client, 1000, NULL);
    await(&m.closed, started);
    assert_int_equal(wsock_client_start(m.client), 0);
    await(&m.closed, started + (wsock_client_stop(m.client, 1000, NULL) == 0));
    managed_end(&m);
    assert_int_equal(m.closed, started + 1);
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(client_outlives_its_server),
        TEST(stop_in_the_handler_of_connecting_has_no_on_close),
        TEST(handlers_come_in_one_order),
        TEST(refusal_for_good_closes_the_client),
        TEST(arguments_are_checked),
        TEST(runtime_ends_what_is_started),
        TEST(handle_may_go_before_the_client_does),
        TEST(kept_messages_arrive_compressed_or_not),
        TEST(many_senders_lose_nothing_but_what_was_under_way),
        TEST(each_start_has_one_end_whoever_calls_what),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
