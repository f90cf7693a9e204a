/* SPDX-License-Identifier: MIT */
/*
 * Everything at once: four workers, eight sending threads, two hundred connections, rooms
 * that members come to and go from, connections that end in every way, and a stop in the
 * middle of it, some compressed in each way and some not. What holds at the end: every
 * connection that began has ended, once, and no message came to anybody changed.
 */
#include "harness.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    WORKERS = 4,
    THREADS = 8,
    CONNS = 200,
    ROOMS = 5,
    STEPS = 1200, /* of each thread */
    CLIENTS = 4,
};

/* Options of the clients: what they offer of compression. */
static const struct {
    const char *mode, *peer_window;
} offers[CLIENTS] = {
    {"off", "auto"}, {"shared", "auto"}, {"shared", "9"}, {"dedicated", "11"}};

struct stress {
    struct world world;
    struct side side;
    wsock_client *clients[CLIENTS];
    wsock_room *rooms[ROOMS];
    wsock_conn *conns[2 * CONNS]; /* both ends */
    atomic_int count;
    atomic_int connects; /* that began */
    int echoes, steps, ended;
};

static unsigned draw(unsigned *seed, unsigned below)
{
    *seed = *seed * 1103515245u + 12345u;
    return (*seed >> 16) % below;
}

static void keep_conn(struct stress *stress, wsock_conn *conn)
{
    const int at = atomic_fetch_add(&stress->count, 1);

    if (at < 2 * CONNS)
        stress->conns[at] = wsock_conn_ref(conn);
}

static void server_open(wsock_conn *conn, void *user)
{
    struct stress *stress = user;

    wsock_room_join(stress->rooms[wsock_conn_id(conn) % ROOMS], conn);
    wsock_conn_set_user(conn, malloc(10), free);
    keep_conn(stress, conn);
    tell(&stress->world.side.opened);
}

static void client_open(wsock_conn *conn, void *user)
{
    struct stress *stress = user;

    keep_conn(stress, conn);
    tell(&stress->side.opened);
}

/* All but what ignore_post() sends is zeros behind its first byte. */
static bool is_unchanged(int type, const char *data, size_t len)
{
    if (type == WSOCK_TEXT)
        return len == 6 && memcmp(data, "posted", 6) == 0;
    return len < 2 || (data[1] == 0 && memcmp(data + 1, data + 2, len - 2) == 0);
}

static void server_message(wsock_conn *conn, int type, const void *data, size_t len,
                           void *user)
{
    struct stress *stress = user;
    const unsigned what = len > 0 ? *(const unsigned char *)data : 0;
    wsock_room *room = stress->rooms[what % ROOMS];

    CHECK(is_unchanged(type, data, len));
    wsock_conn_send(conn, type, data, len);
    if (what % 16 == 1)
        wsock_room_broadcast(room, type, data, len);
    else if (what % 16 == 2)
        wsock_room_leave(room, conn);
    else if (what % 16 == 3)
        wsock_room_join(room, conn);
}

static void client_message(wsock_conn *conn, int type, const void *data, size_t len,
                           void *user)
{
    (void)conn;
    CHECK(is_unchanged(type, data, len));
    tell(&((struct stress *)user)->echoes);
}

static void ignore_timer(wsock_timer *timer, uint64_t missed, void *user)
{
    (void)timer;
    (void)missed;
    tell(user);
}

static void ignore_post(wsock_conn *conn, void *user)
{
    (void)user;
    wsock_conn_send(conn, WSOCK_TEXT, "posted", 6);
}

static int accept_odd(wsock_conn *conn, void *user)
{
    (void)user;
    return wsock_conn_id(conn) % 2 != 0;
}

static void expect(int r)
{
    CHECK(r >= 0 || r == WSOCK_EAGAIN || r == WSOCK_ECLOSED || r == WSOCK_EEXIST ||
          r == WSOCK_ENOENT || r == WSOCK_EBUSY);
}

static void step(struct stress *stress, unsigned *seed, char *data)
{
    wsock_conn *conn = stress->conns[draw(seed, 2 * CONNS)];
    wsock_room *room = stress->rooms[draw(seed, ROOMS)];
    const size_t len = draw(seed, 20) == 0 ? draw(seed, 20000) : draw(seed, 300);

    data[0] = (char)draw(seed, 128);
    switch (draw(seed, 40)) {
    case 0:
        expect(wsock_room_broadcast(room, WSOCK_BINARY, data, len));
        break;
    case 1:
        expect(wsock_room_broadcast_except(room, conn, WSOCK_BINARY, data, len / 10));
        break;
    case 2:
        expect(wsock_room_broadcast_if(room, accept_odd, NULL, WSOCK_BINARY, data, 10));
        break;
    case 3:
        expect(wsock_room_join(room, conn));
        break;
    case 4:
        expect(wsock_room_leave(room, conn));
        break;
    case 5:
        expect(wsock_conn_post(conn, ignore_post, NULL, NULL));
        break;
    case 6:
        expect(wsock_conn_timer(conn, NULL, draw(seed, 20), 0, ignore_timer,
                                &stress->steps, NULL));
        break;
    case 7:
        if (wsock_conn_pause_read(conn) == 0)
            expect(wsock_conn_resume_read(conn));
        break;
    case 8:
        expect(wsock_conn_send_ping(conn, data, len % 126));
        break;
    case 9:
        if (draw(seed, 8) == 0)
            expect(draw(seed, 3) == 0 ? wsock_conn_reset(conn)
                                      : wsock_conn_close(conn, 1000, "random"));
        break;
    case 10:
        expect(wsock_conn_send_begin(conn, WSOCK_BINARY));
        break;
    case 11:
    case 12:
        expect(wsock_conn_send_append(conn, data + 1, len)); /* zeros only */
        break;
    case 13:
    case 14:
        expect(wsock_conn_send_end(conn));
        break;
    default:
        expect(wsock_conn_send(conn, WSOCK_BINARY, data, len));
        break;
    }
}

struct thread {
    struct stress *stress;
    unsigned seed;
};

static void *act(void *user)
{
    struct thread *thread = user;
    struct stress *stress = thread->stress;
    char *data = calloc(1, 20001);

    for (int i = 0; i < STEPS && data != NULL; i++) {
        step(stress, &thread->seed, data);
        tell(&stress->steps);
        if (i % 50 == 0 &&
            wsock_client_connect(stress->clients[i / 50 % CLIENTS], NULL) == 0)
            atomic_fetch_add(&stress->connects, 1);
    }
    free(data);
    return NULL;
}

static wsock_client *add_client(struct stress *stress, int i)
{
    wsock_client *client = world_client(&stress->world, &stress->side);

    wsock_client_on_open(client, client_open, stress, NULL);
    wsock_client_on_message(client, client_message, stress, NULL);
    assert_int_equal(wsock_client_set(client, "compression", offers[i].mode), 0);
    assert_int_equal(
        wsock_client_set(client, "compression_peer_window_bits", offers[i].peer_window),
        0);
    assert_int_equal(wsock_client_set(client, "compression_min_bytes", "16"), 0);
    return client;
}

static void stress_begin(struct stress *stress)
{
    memset(stress, 0, sizeof *stress);
    world_begin(&stress->world, WORKERS);
    for (int i = 0; i < ROOMS; i++) {
        char name[16];

        snprintf(name, sizeof name, "room.%d", i);
        assert_int_equal(wsock_server_room(stress->world.server, &stress->rooms[i], name),
                         0);
    }
    wsock_endpoint_on_open(stress->world.endpoint, server_open, stress, NULL);
    wsock_endpoint_on_message(stress->world.endpoint, server_message, stress, NULL);
    assert_int_equal(wsock_server_set(stress->world.server, "max_backlog_bytes", "64KiB"),
                     0);
    assert_int_equal(wsock_server_set(stress->world.server, "stop_timeout", "2s"), 0);
    assert_int_equal(wsock_server_set(stress->world.server, "compression", "dedicated"),
                     0);
    assert_int_equal(
        wsock_server_set(stress->world.server, "compression_min_bytes", "16"), 0);
    world_listen(&stress->world, NULL);
    for (int i = 0; i < CLIENTS; i++)
        stress->clients[i] = add_client(stress, i);
    for (int i = 0; i < CONNS; i++)
        assert_int_equal(wsock_client_connect(stress->clients[i % CLIENTS], NULL), 0);
    atomic_store(&stress->connects, CONNS);
    await(&stress->world.side.opened, CONNS);
    await(&stress->side.opened, CONNS);
}

static void stress_end(struct stress *stress)
{
    for (int i = 0; i < 2 * CONNS; i++)
        wsock_conn_unref(stress->conns[i]);
    for (int i = 0; i < ROOMS; i++)
        wsock_room_unref(stress->rooms[i]);
    for (int i = 0; i < CLIENTS; i++)
        wsock_client_unref(stress->clients[i]);
    /* Each connection that began ended once, and the server's as well. */
    assert_int_equal(stress->side.closed, atomic_load(&stress->connects));
    assert_int_equal(stress->world.side.closed, stress->world.side.opened);
    assert_true(stress->echoes > 0);
}

static unsigned round_number; /* of main(): each draws other numbers */

static void run_threads(struct stress *stress, pthread_t *threads, struct thread *args)
{
    for (unsigned i = 0; i < THREADS; i++) {
        args[i] = (struct thread){.stress = stress,
                                  .seed = 17 * i + 1 + 1000 * round_number};
        assert_int_equal(pthread_create(&threads[i], NULL, act, &args[i]), 0);
    }
}

static void everything_at_once_ends_as_it_should(void **state)
{
    struct stress *stress = malloc(sizeof *stress);
    struct thread args[THREADS];
    pthread_t threads[THREADS];

    (void)state;
    assert_non_null(stress);
    stress_begin(stress);
    run_threads(stress, threads, args);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    world_end(&stress->world);
    stress_end(stress);
    free(stress);
}

static void server_stops_in_the_middle_of_it(void **state)
{
    struct stress *stress = malloc(sizeof *stress);
    struct thread args[THREADS];
    pthread_t threads[THREADS];

    (void)state;
    assert_non_null(stress);
    stress_begin(stress);
    run_threads(stress, threads, args);
    await(&stress->steps, THREADS * STEPS / 3);
    wsock_server_stop(stress->world.server);
    assert_int_equal(wsock_server_wait(stress->world.server, 30000), 0);
    assert_int_equal(told(&stress->world.side.closed), told(&stress->world.side.opened));
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    world_end(&stress->world);
    stress_end(stress);
    free(stress);
}

static void runtime_is_freed_in_the_middle_of_it(void **state)
{
    struct stress *stress = malloc(sizeof *stress);
    struct thread args[THREADS];
    pthread_t threads[THREADS];

    (void)state;
    assert_non_null(stress);
    stress_begin(stress);
    run_threads(stress, threads, args);
    await(&stress->steps, THREADS * STEPS / 3);
    world_end(&stress->world);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    stress_end(stress);
    free(stress);
}

/* test_stress [ROUNDS] */
int main(int argc, char **argv)
{
    const unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
    const struct CMUnitTest tests[] = {
        TEST(everything_at_once_ends_as_it_should),
        TEST(server_stops_in_the_middle_of_it),
        TEST(runtime_is_freed_in_the_middle_of_it),
    };
    int failed = 0;

    for (; failed == 0 && round_number < rounds; round_number++)
        failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed;
}
