/* SPDX-License-Identifier: MIT */
/* Handlers on a queue: where they run, in which order, and what waits or wakes. */
#include "harness.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

static void handlers_run_only_when_dispatched(void **state)
{
    struct world world;
    struct side peer = {0};
    wsock_client *client;

    (void)state;
    world_begin_queued(&world, 0);
    world.side.echo = true;
    world_listen(&world, NULL);
    client = world_client(&world, &peer);
    assert_int_equal(wsock_client_connect(client, NULL), 0);
    await(&peer.opened, 1);
    assert_int_equal(wsock_conn_send(peer.conn, WSOCK_TEXT, "one", 3), 0);
    assert_int_equal(wsock_queue_wait(world.queue, 20000), 1);
    assert_int_equal(world.side.opened, 0);
    dispatch_until(world.queue, &world.side.messages, 1);
    await(&peer.messages, 1);
    assert_string_equal(peer.data, "one");
    assert_int_equal(wsock_conn_close(peer.conn, 1000, NULL), 0);
    dispatch_until(world.queue, &world.side.closed, 1);
    assert_int_equal(world.side.code, 1000);
    side_fini(&peer);
    wsock_client_unref(client);
    world_end(&world);
}

/* free() waits for the end, and the end needs this thread. */
static void waiting_dispatches(void **state)
{
    struct world world;
    struct side peer = {0};
    wsock_client *client;

    (void)state;
    world_begin_queued(&world, 0);
    world_listen(&world, NULL);
    client = world_client(&world, &peer);
    world_connect_queued(&world, client, &peer);
    wsock_server_stop(world.server);
    assert_int_equal(wsock_server_wait(world.server, 20000), 0);
    assert_int_equal(world.side.closed, 1);
    side_fini(&peer);
    wsock_client_unref(client);
    world_end(&world);
}

/* ---- one thread dispatches, another one waits ---- */

struct host {
    pthread_t thread;
    wsock_queue *queue;
    int ran, ended;
};

static void *host_main(void *user)
{
    struct host *host = user;
    int r;

    while ((r = wsock_queue_dispatch(host->queue, 0, -1)) >= 0)
        tell_by(&host->ran, r + 1);
    CHECK(r == WSOCK_ECLOSED);
    tell(&host->ended);
    return NULL;
}

static void host_begin(struct host *host, wsock_queue *queue)
{
    memset(host, 0, sizeof *host);
    host->queue = queue;
    wsock_queue_wake(queue); /* then it has dispatched once, and the queue is its own */
    assert_int_equal(pthread_create(&host->thread, NULL, host_main, host), 0);
    await(&host->ran, 1);
}

static void host_end(struct host *host)
{
    wsock_queue_close(host->queue);
    await(&host->ended, 1);
    pthread_join(host->thread, NULL);
}

static void waiting_elsewhere_does_not_dispatch(void **state)
{
    struct world world;
    struct host host;
    struct side peer = {0};
    wsock_client *client;

    (void)state;
    world_begin_queued(&world, 0);
    world_listen(&world, NULL);
    host_begin(&host, world.queue);
    client = world_client(&world, &peer);
    world_connect(&world, client, &peer);
    assert_int_equal(wsock_server_wait(world.server, 50), WSOCK_ETIMEDOUT);
    wsock_server_stop(world.server);
    assert_int_equal(wsock_server_wait(world.server, 20000), 0);
    host_end(&host);
    side_fini(&peer);
    wsock_client_unref(client);
    world_end(&world);
}

struct waiter {
    struct world *world;
    int ready, over;
};

static void *wait_main(void *user)
{
    struct waiter *waiter = user;

    /* It dispatches here first, so that the queue is this thread's. */
    CHECK(wsock_queue_dispatch(waiter->world->queue, 0, 0) == 0);
    tell(&waiter->ready);
    CHECK(wsock_server_wait(waiter->world->server, -1) == 0);
    tell(&waiter->over);
    return NULL;
}

/* Who waits with its queue must hear of the end although another thread began to dispatch
 * that queue, and reads what its descriptor says. */
static void a_queue_may_change_hands_while_its_thread_waits(void **state)
{
    for (int i = 0; i < 20; i++) {
        struct world world;
        struct waiter waiter = {.world = &world};
        struct host host = {0};
        pthread_t thread;
        int r;

        (void)state;
        world_begin_queued(&world, 0);
        world_listen(&world, NULL);
        pthread_create(&thread, NULL, wait_main, &waiter);
        await(&waiter.ready, 1);
        host.queue = world.queue;
        while ((r = wsock_queue_dispatch(world.queue, 0, 1)) == WSOCK_EBUSY)
            continue;
        assert_int_equal(r, 0);
        pthread_create(&host.thread, NULL, host_main, &host);
        wsock_server_stop(world.server);
        await(&waiter.over, 1);
        pthread_join(thread, NULL);
        host_end(&host);
        world_end(&world);
    }
}

/* ---- waiting does not depend on a pause of what it dispatches ---- */

struct busy {
    struct world world;
    int64_t until_ms; /* at the latest */
    bool raises;
};

static void post_again(void *user)
{
    struct busy *busy = user;

    if (busy->raises)
        raise(SIGTERM);
    busy->raises = false;
    if (now_ms() < busy->until_ms && told(&busy->world.stopped) == 0)
        CHECK(wsock_queue_post(busy->world.queue, post_again, busy, NULL) == 0);
}

static void busy_begin(struct busy *busy)
{
    memset(busy, 0, sizeof *busy);
    world_begin_queued(&busy->world, 1);
    world_listen(&busy->world, NULL);
    assert_int_equal(wsock_queue_dispatch(busy->world.queue, 0, 0), 0);
    busy->until_ms = now_ms() + 20000;
}

static void waiting_ends_in_time_while_handlers_run(void **state)
{
    struct busy busy;

    (void)state;
    busy_begin(&busy);
    post_again(&busy);
    assert_int_equal(wsock_server_wait(busy.world.server, 20), WSOCK_ETIMEDOUT);
    assert_true(now_ms() < busy.until_ms);
    busy.until_ms = 0;
    world_end(&busy.world);
}

static void a_signal_stops_while_handlers_run(void **state)
{
    struct busy busy;

    (void)state;
    busy_begin(&busy);
    busy.raises = true;
    assert_int_equal(wsock_queue_post(busy.world.queue, post_again, &busy, NULL), 0);
    assert_int_equal(wsock_runtime_run(busy.world.runtime, WSOCK_RUN_SIGNALS), 0);
    assert_true(now_ms() < busy.until_ms);
    world_end(&busy.world);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int number)
{
    (void)number;
    alarms++;
}

/* One that is not ours ends the calls that sleep, whatever its flags say. */
static void a_signal_of_the_application_ends_no_wait(void **state)
{
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    const struct itimerval often = {{0, 5000}, {0, 5000}}, never = {{0, 0}, {0, 0}};
    struct busy busy;

    (void)state;
    busy_begin(&busy);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    assert_int_equal(wsock_server_wait(busy.world.server, 50), WSOCK_ETIMEDOUT);
    setitimer(ITIMER_REAL, &never, NULL);
    signal(SIGALRM, SIG_DFL);
    assert_true(alarms > 0);
    world_end(&busy.world);
}

/* ---- waking ---- */

struct scene {
    struct world world;
    struct side peer;
    wsock_client *client;
    int nested, calls, freed;
    bool closes;
};

static void scene_begin(struct scene *scene)
{
    memset(scene, 0, sizeof *scene);
    world_begin_queued(&scene->world, 1);
    world_listen(&scene->world, NULL);
    scene->client = world_client(&scene->world, &scene->peer);
    world_connect_queued(&scene->world, scene->client, &scene->peer);
}

static void scene_end(struct scene *scene)
{
    side_fini(&scene->peer);
    wsock_client_unref(scene->client);
    world_end(&scene->world);
}

static void count_call(void *user)
{
    tell(user);
}

/* Of a handler: what may not be done in it, and then something that ends the dispatch. */
static void ask_to_end(void *user)
{
    struct scene *scene = user;

    CHECK(wsock_queue_arm(scene->world.queue) == WSOCK_EBUSY);
    CHECK(wsock_queue_wait(scene->world.queue, -1) == WSOCK_EBUSY);
    CHECK(wsock_server_wait(scene->world.server, 0) == WSOCK_EDEADLK);
    CHECK(wsock_runtime_free(scene->world.runtime) == WSOCK_EDEADLK);
    CHECK(wsock_runtime_run(scene->world.runtime, 0) == WSOCK_EDEADLK);
    if (scene->closes)
        wsock_queue_close(scene->world.queue);
    else
        wsock_queue_wake(scene->world.queue);
    scene->nested = wsock_queue_dispatch(scene->world.queue, 0, -1);
}

static void post(struct scene *scene, wsock_call_fn fn, void *user)
{
    assert_int_equal(wsock_queue_post(scene->world.queue, fn, user, NULL), 0);
}

static void what_is_behind_a_handler_that_wakes_stays_queued(void **state)
{
    struct scene scene;

    (void)state;
    scene_begin(&scene);
    post(&scene, count_call, &scene.calls);
    post(&scene, ask_to_end, &scene);
    post(&scene, count_call, &scene.calls);
    assert_int_equal(wsock_queue_dispatch(scene.world.queue, 0, -1), 2);
    assert_int_equal(scene.nested, WSOCK_EBUSY);
    assert_int_equal(scene.calls, 1);
    assert_int_equal(wsock_queue_arm(scene.world.queue), 1);
    assert_int_equal(wsock_queue_dispatch(scene.world.queue, 0, -1), 1);
    assert_int_equal(scene.calls, 2);
    scene_end(&scene);
}

static void a_handler_that_closes_is_the_last(void **state)
{
    struct scene scene;

    (void)state;
    scene_begin(&scene);
    scene.closes = true;
    post(&scene, ask_to_end, &scene);
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            wsock_queue_post(scene.world.queue, count_call, &scene.calls, free_counted),
            0);
    assert_int_equal(wsock_queue_dispatch(scene.world.queue, 0, -1), 1);
    assert_int_equal(scene.nested, WSOCK_ECLOSED);
    assert_int_equal(scene.calls, 3); /* freed, and not called */
    assert_int_equal(wsock_queue_dispatch(scene.world.queue, 0, -1), WSOCK_ECLOSED);
    assert_int_equal(wsock_queue_wait(scene.world.queue, -1), WSOCK_ECLOSED);
    assert_int_equal(wsock_queue_arm(scene.world.queue), WSOCK_ECLOSED);
    assert_int_equal(wsock_queue_post(scene.world.queue, count_call, &scene.calls, NULL),
                     WSOCK_ECLOSED);
    scene.world.stopped++; /* on_stopped is not heard any more */
    scene_end(&scene);
    assert_int_equal(scene.world.side.closed, 0);
}

static wsock_queue *signalled;

static void on_signal(int number)
{
    (void)number;
    wsock_queue_wake(signalled);
}

static void *raise_signal(void *user)
{
    (void)user;
    raise(SIGUSR1); /* this thread takes it, so that no call of the other one ends */
    return NULL;
}

static void a_signal_handler_may_wake(void **state)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct scene scene;
    pthread_t thread;
    sigset_t set;

    (void)state;
    scene_begin(&scene);
    signalled = scene.world.queue;
    sigaction(SIGUSR1, &action, NULL);
    pthread_create(&thread, NULL, raise_signal, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    assert_int_equal(wsock_queue_dispatch(scene.world.queue, 0, -1), 0);
    pthread_join(thread, NULL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    wsock_queue_wake(scene.world.queue); /* the next one, then */
    assert_int_equal(wsock_queue_wait(scene.world.queue, -1), 1);
    assert_int_equal(wsock_queue_dispatch(scene.world.queue, 0, -1), 0);
    assert_int_equal(wsock_queue_dispatch(scene.world.queue, 0, 10), 0);
    signal(SIGUSR1, SIG_DFL);
    scene_end(&scene);
}

/* It may be readable for what was dispatched already, but not for long. */
static void until_nothing_is_left(wsock_queue *queue, struct pollfd *ready)
{
    int rounds = 0;

    do {
        while (wsock_queue_arm(queue) == 1)
            assert_in_range(wsock_queue_dispatch(queue, 0, 0), 0, INT32_MAX);
        assert_in_range(++rounds, 1, 10);
    } while (poll(ready, 1, 1) != 0);
}

static void a_loop_of_its_own_is_told_by_the_descriptor(void **state)
{
    struct scene scene;
    struct pollfd ready = {.events = POLLIN};

    (void)state;
    scene_begin(&scene);
    ready.fd = wsock_queue_fd(scene.world.queue);
    for (int i = 0; i < 100; i++) {
        const int before = told(&scene.world.side.messages);

        until_nothing_is_left(scene.world.queue, &ready);
        assert_int_equal(wsock_conn_send(scene.peer.conn, WSOCK_TEXT, "x", 1), 0);
        assert_int_equal(poll(&ready, 1, 20000), 1);
        while (told(&scene.world.side.messages) == before)
            assert_in_range(wsock_queue_dispatch(scene.world.queue, 0, 0), 0, INT32_MAX);
    }
    scene_end(&scene);
}

/* ---- posts ---- */

static void calls_that_wait_have_a_limit(void **state)
{
    struct scene scene;
    int posted = 0, r;

    (void)state;
    scene_begin(&scene);
    while ((r = wsock_queue_post(scene.world.queue, count_call, &scene.calls,
                                 free_counted)) == 0)
        posted++;
    assert_int_equal(r, WSOCK_EAGAIN);
    assert_int_equal(posted, 65536);
    while (told(&scene.calls) < 2 * posted)
        assert_int_equal(wsock_queue_dispatch(scene.world.queue, 0, 0), 1024);
    post(&scene, count_call, &scene.calls);
    assert_int_equal(wsock_queue_dispatch(scene.world.queue, 0, 0), 1);
    scene_end(&scene);
}

static void drop(void *user)
{
    wsock_queue_unref(user);
}

static void a_handler_may_drop_the_last_handle(void **state)
{
    wsock_runtime *runtime = NULL;
    wsock_queue *queue = NULL;
    int calls = 0;

    (void)state;
    assert_int_equal(wsock_runtime_new(&runtime), 0);
    assert_int_equal(wsock_runtime_queue(runtime, &queue), 0);
    assert_int_equal(wsock_queue_post(queue, drop, queue, NULL), 0);
    assert_int_equal(wsock_queue_post(queue, count_call, &calls, free_counted), 0);
    assert_int_equal(wsock_queue_dispatch(queue, 0, -1), 1);
    assert_int_equal(calls, 1); /* freed */
    assert_int_equal(wsock_runtime_free(runtime), 0);
}

static void count_conn(wsock_conn *conn, void *user)
{
    CHECK(wsock_conn_id(conn) > 0);
    tell(user);
}

static void a_post_to_a_connection_runs_on_its_queue(void **state)
{
    struct scene scene;
    wsock_conn *conn;

    (void)state;
    scene_begin(&scene);
    conn = scene.world.side.conn;
    assert_int_equal(wsock_conn_post(conn, count_conn, &scene.calls, NULL), 0);
    assert_int_equal(scene.calls, 0);
    dispatch_until(scene.world.queue, &scene.calls, 1);
    /* What finds the end before it is freed, and not called. */
    assert_int_equal(wsock_conn_reset(conn), 0);
    dispatch_until(scene.world.queue, &scene.world.side.closed, 1);
    assert_int_equal(wsock_conn_post(conn, count_conn, &scene.calls, free_counted),
                     WSOCK_ECLOSED);
    assert_int_equal(scene.calls, 1);
    scene_end(&scene);
}

/* ---- what was delivered ---- */

struct taking {
    wsock_queue *queue;
    int results[3], heard;
    void *data;
    wsock_free_fn free_data;
    bool in_place;
};

static void take_data(wsock_conn *conn, int type, const void *data, size_t len,
                      void *user)
{
    struct taking *taking = user;
    void *again;
    wsock_free_fn free_again;

    (void)conn, (void)type, (void)len;
    taking->results[taking->heard] = wsock_queue_take_data(taking->queue, &taking->data,
                                                           &taking->free_data);
    taking->in_place = taking->data == data;
    CHECK(wsock_queue_take_data(taking->queue, &again, &free_again) == WSOCK_ENOENT);
    tell(&taking->heard);
}

static void what_is_large_can_be_taken_as_it_is(void **state)
{
    static const char small[4096], large[100000] = "large";
    struct taking taking = {0};
    struct scene scene;

    (void)state;
    scene_begin(&scene);
    taking.queue = scene.world.queue;
    assert_int_equal(
        wsock_endpoint_on_message(scene.world.endpoint, take_data, &taking, NULL), 0);
    assert_int_equal(wsock_conn_send(scene.peer.conn, WSOCK_BINARY, small, sizeof small),
                     0);
    dispatch_until(scene.world.queue, &taking.heard, 1);
    assert_int_equal(taking.results[0], WSOCK_ENOENT);
    assert_int_equal(wsock_conn_send(scene.peer.conn, WSOCK_BINARY, large, sizeof large),
                     0);
    dispatch_until(scene.world.queue, &taking.heard, 2);
    assert_int_equal(taking.results[1], 0);
    assert_true(taking.in_place);
    assert_int_equal(wsock_queue_take_data(taking.queue, &taking.data, &taking.free_data),
                     WSOCK_ENOENT);
    assert_int_equal(wsock_queue_take_data(NULL, &taking.data, &taking.free_data),
                     WSOCK_EINVAL);
    assert_int_equal(wsock_queue_take_data(taking.queue, NULL, &taking.free_data),
                     WSOCK_EINVAL);
    assert_int_equal(wsock_queue_take_data(taking.queue, &taking.data, NULL),
                     WSOCK_EINVAL);
    scene_end(&scene);
    assert_memory_equal(taking.data, large, sizeof large);
    taking.free_data(taking.data);
}

/* ---- timers ---- */

static void on_tick(wsock_timer *timer, uint64_t missed, void *user)
{
    int *counts = user;

    (void)timer;
    tell_by(&counts[1], (int)missed);
    tell(&counts[0]);
}

static void free_ticks(void *user)
{
    tell((int *)user + 2);
}

static void timers_run_on_the_queue_and_count_what_they_missed(void **state)
{
    struct scene scene;
    wsock_timer *timer = NULL;
    int ticks[3] = {0}, none = 0;

    (void)state;
    scene_begin(&scene);
    assert_int_equal(
        wsock_queue_timer(scene.world.queue, &timer, 1, 1, on_tick, ticks, free_ticks),
        0);
    assert_int_equal(wsock_queue_wait(scene.world.queue, 20000), 1);
    assert_true(stays_below(&none, 1, 100)); /* the host is busy */
    assert_int_equal(ticks[0], 0);
    dispatch_until(scene.world.queue, &ticks[0], 2);
    assert_in_range(ticks[1], 20, 1000000);
    wsock_timer_stop(timer);
    none = ticks[0];
    dispatch_until(scene.world.queue, &ticks[2], 1); /* it may have been due once more */
    assert_int_equal(wsock_queue_dispatch(scene.world.queue, 0, 20), 0);
    assert_int_equal(ticks[0], none);
    wsock_timer_unref(timer);
    /* One that is due already does not run either. */
    assert_int_equal(
        wsock_queue_timer(scene.world.queue, &timer, 1, 1, on_tick, ticks, free_ticks),
        0);
    assert_int_equal(wsock_queue_wait(scene.world.queue, 20000), 1);
    wsock_timer_stop(timer);
    assert_int_equal(wsock_queue_dispatch(scene.world.queue, 0, 20), 0);
    assert_int_equal(ticks[0], none);
    wsock_timer_unref(timer);
    scene_end(&scene);
}

static void a_connections_timer_ends_with_it(void **state)
{
    struct scene scene;
    int ticks[3] = {0};

    (void)state;
    scene_begin(&scene);
    assert_int_equal(
        wsock_conn_timer(scene.world.side.conn, NULL, 1, 1, on_tick, ticks, free_ticks),
        0);
    dispatch_until(scene.world.queue, &ticks[0], 3);
    assert_int_equal(wsock_conn_reset(scene.world.side.conn), 0);
    dispatch_until(scene.world.queue, &ticks[2], 1);
    dispatch_until(scene.world.queue, &scene.world.side.closed, 1);
    scene_end(&scene);
}

/* Ticks are under way when the queue closes, and others come after it. */
static void closing_ends_timers(void **state)
{
    struct scene scene;
    int ticks[3] = {0};

    (void)state;
    scene_begin(&scene);
    for (uint64_t i = 0; i < 20; i++)
        assert_int_equal(
            wsock_queue_timer(scene.world.queue, NULL, i, 1, on_tick, ticks, free_ticks),
            0);
    assert_int_equal(wsock_queue_wait(scene.world.queue, 20000), 1);
    wsock_queue_close(scene.world.queue);
    await(&ticks[2], 20);
    assert_int_equal(ticks[0], 0);
    assert_int_equal(
        wsock_queue_timer(scene.world.queue, NULL, 1, 1, on_tick, ticks, free_ticks),
        WSOCK_ECLOSED);
    scene.world.stopped++;
    scene_end(&scene);
}

/* ---- misuse ---- */

static void misuse_is_refused(void **state)
{
    wsock_runtime *other = NULL;
    wsock_queue *queue = NULL, *foreign = NULL;
    wsock_server *server = NULL;
    wsock_client *client = NULL;
    struct world world;
    int user = 0;

    (void)state;
    world_begin_queued(&world, 0);
    assert_int_equal(wsock_runtime_new(&other), 0);
    assert_int_equal(wsock_runtime_queue(NULL, &queue), WSOCK_EINVAL);
    assert_int_equal(wsock_runtime_queue(other, NULL), WSOCK_EINVAL);
    assert_int_equal(wsock_runtime_queue(other, &foreign), 0);
    assert_int_equal(wsock_queue_dispatch(NULL, 0, 0), WSOCK_EINVAL);
    assert_int_equal(wsock_queue_wait(NULL, 0), WSOCK_EINVAL);
    assert_int_equal(wsock_queue_arm(NULL), WSOCK_EINVAL);
    assert_int_equal(wsock_queue_fd(NULL), WSOCK_EINVAL);
    assert_int_equal(wsock_queue_post(NULL, count_call, &user, NULL), WSOCK_EINVAL);
    assert_int_equal(wsock_queue_post(foreign, NULL, &user, NULL), WSOCK_EINVAL);
    assert_int_equal(wsock_queue_timer(NULL, NULL, 1, 1, on_tick, NULL, NULL),
                     WSOCK_EINVAL);
    assert_int_equal(wsock_queue_timer(foreign, NULL, 1, 1, NULL, NULL, NULL),
                     WSOCK_EINVAL);
    wsock_queue_wake(NULL);
    wsock_queue_close(NULL);
    wsock_queue_unref(NULL);
    assert_int_equal(wsock_server_set_queue(NULL, world.queue), WSOCK_EINVAL);
    assert_int_equal(wsock_server_set_queue(world.server, NULL), WSOCK_EINVAL);
    assert_int_equal(wsock_server_set_queue(world.server, foreign), WSOCK_EINVAL);
    assert_int_equal(wsock_server_set_queue(world.server, world.queue), WSOCK_EBUSY);
    assert_int_equal(wsock_server_new(other, &server), 0);
    assert_int_equal(wsock_server_on_http(server, NULL, NULL, NULL), 0);
    wsock_queue_ref(foreign);
    wsock_queue_unref(foreign);
    assert_int_equal(wsock_server_set_queue(server, foreign),
                     0); /* that was no handler */
    assert_int_equal(wsock_server_set_queue(server, foreign), WSOCK_EBUSY);
    assert_int_equal(wsock_runtime_client(world.runtime, &client, "ws://127.0.0.1:9/"),
                     0);
    assert_int_equal(wsock_client_set_queue(NULL, world.queue), WSOCK_EINVAL);
    assert_int_equal(wsock_client_set_queue(client, NULL), WSOCK_EINVAL);
    assert_int_equal(wsock_client_set_queue(client, foreign), WSOCK_EINVAL);
    assert_int_equal(wsock_client_on_open(client, side_on_open, NULL, NULL), 0);
    assert_int_equal(wsock_client_set_queue(client, world.queue), WSOCK_EBUSY);
    wsock_queue_close(foreign);
    assert_int_equal(wsock_runtime_free(other), 0);
    assert_int_equal(wsock_runtime_queue(other, &queue), WSOCK_ECLOSED);
    wsock_server_free(server);
    wsock_queue_unref(foreign);
    wsock_client_unref(client);
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(handlers_run_only_when_dispatched),
        TEST(waiting_dispatches),
        TEST(waiting_elsewhere_does_not_dispatch),
        TEST(a_queue_may_change_hands_while_its_thread_waits),
        TEST(waiting_ends_in_time_while_handlers_run),
        TEST(a_signal_stops_while_handlers_run),
        TEST(a_signal_of_the_application_ends_no_wait),
        TEST(what_is_behind_a_handler_that_wakes_stays_queued),
        TEST(a_handler_that_closes_is_the_last),
        TEST(a_signal_handler_may_wake),
        TEST(a_loop_of_its_own_is_told_by_the_descriptor),
        TEST(calls_that_wait_have_a_limit),
        TEST(a_handler_may_drop_the_last_handle),
        TEST(a_post_to_a_connection_runs_on_its_queue),
        TEST(what_is_large_can_be_taken_as_it_is),
        TEST(timers_run_on_the_queue_and_count_what_they_missed),
        TEST(a_connections_timer_ends_with_it),
        TEST(closing_ends_timers),
        TEST(misuse_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
