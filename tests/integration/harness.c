/* SPDX-License-Identifier: MIT */
/* Counts that are waited for, and a server and clients whose handlers raise them. */
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { DEADLINE_MS = 30 * 1000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_int failures;

static void begin(void)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&changed, &attr);
    pthread_condattr_destroy(&attr);
}

void harness_check(int good, const char *what, const char *file, int line)
{
    if (good)
        return;
    fprintf(stderr, "%s:%d: not true in a handler: %s\n", file, line, what);
    atomic_fetch_add(&failures, 1);
}

void harness_checked(void)
{
    assert_int_equal(atomic_load(&failures), 0);
}

void tell_by(int *count, int by)
{
    pthread_once(&once, begin);
    pthread_mutex_lock(&lock);
    *count += by;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

void tell(int *count)
{
    tell_by(count, 1);
}

int told(const int *count)
{
    int n;

    pthread_mutex_lock(&lock);
    n = *count;
    pthread_mutex_unlock(&lock);
    return n;
}

static bool wait_for(const int *count, int least, int ms)
{
    struct timespec until;
    bool there;
    int r = 0;

    pthread_once(&once, begin);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&lock);
    while (*count < least && r == 0)
        r = pthread_cond_timedwait(&changed, &lock, &until);
    there = *count >= least;
    pthread_mutex_unlock(&lock);
    return there;
}

/* Other threads still use what the test has on its stack, so it cannot be left: what they
 * would do then hides what happened. */
static _Noreturn void give_up(const int *count, int least, const char *what,
                              const char *file, int line)
{
    fprintf(stderr, "%s:%d: waited %d s for %d of %s, got %d\n", file, line,
            DEADLINE_MS / 1000, least, what, told(count));
    fflush(NULL);
    _exit(1);
}

void harness_await(const int *count, int least, const char *what, const char *file,
                   int line)
{
    if (!wait_for(count, least, DEADLINE_MS))
        give_up(count, least, what, file, line);
}

bool stays_below(const int *count, int least, int ms)
{
    return !wait_for(count, least, ms);
}

static int64_t clock_ms(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t now_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

int64_t cpu_ms(void)
{
    return clock_ms(CLOCK_PROCESS_CPUTIME_ID);
}

void free_counted(void *user)
{
    tell(user);
}

/* ---- sides ---- */

void side_on_open(wsock_conn *conn, void *user)
{
    struct side *side = user;
    wsock_conn *before;

    pthread_mutex_lock(&lock);
    before = side->conn;
    side->conn = wsock_conn_ref(conn);
    pthread_mutex_unlock(&lock);
    wsock_conn_unref(before);
    tell(&side->opened);
}

static void keep(struct side *side, int type, const void *data, size_t len)
{
    const size_t kept = len < sizeof side->data - 1 ? len : sizeof side->data - 1;

    pthread_mutex_lock(&lock);
    side->type = type;
    side->len = len;
    if (kept > 0)
        memcpy(side->data, data, kept);
    side->data[kept] = '\0';
    pthread_mutex_unlock(&lock);
}

void side_on_message(wsock_conn *conn, int type, const void *data, size_t len, void *user)
{
    struct side *side = user;

    keep(side, type, data, len);
    if (side->echo)
        CHECK(wsock_conn_send(conn, type, data, len) == 0);
    tell(&side->messages);
}

void side_on_pong(wsock_conn *conn, const void *data, size_t len, void *user)
{
    struct side *side = user;

    (void)conn;
    keep(side, 0, data, len);
    tell(&side->pongs);
}

void side_on_drain(wsock_conn *conn, void *user)
{
    (void)conn;
    tell(&((struct side *)user)->drained);
}

void side_on_close(wsock_conn *conn, const wsock_close_info *info, void *user)
{
    struct side *side = user;

    CHECK(info->size == sizeof *info);
    CHECK(!wsock_conn_is_open(conn));
    CHECK(*info->detail != '\0');
    pthread_mutex_lock(&lock);
    side->cause = info->cause;
    side->code = info->code;
    side->http_status = info->http_status;
    side->sys_errno = info->sys_errno;
    side->began = info->began;
    side->was_opened = info->opened;
    side->tls_error = info->tls_error;
    side->tls_alert = info->tls_alert;
    snprintf(side->reason, sizeof side->reason, "%s", info->reason);
    snprintf(side->detail, sizeof side->detail, "%s", info->detail);
    pthread_mutex_unlock(&lock);
    tell(&side->closed);
}

void side_on_cancelled(wsock_request *request, void *user)
{
    (void)request;
    tell(&((struct side *)user)->cancelled);
}

void side_endpoint(struct side *side, wsock_endpoint *endpoint)
{
    assert_int_equal(wsock_endpoint_on_open(endpoint, side_on_open, side, NULL), 0);
    assert_int_equal(wsock_endpoint_on_message(endpoint, side_on_message, side, NULL), 0);
    assert_int_equal(wsock_endpoint_on_pong(endpoint, side_on_pong, side, NULL), 0);
    assert_int_equal(wsock_endpoint_on_drain(endpoint, side_on_drain, side, NULL), 0);
    assert_int_equal(wsock_endpoint_on_close(endpoint, side_on_close, side, NULL), 0);
    assert_int_equal(
        wsock_endpoint_on_request_cancelled(endpoint, side_on_cancelled, side, NULL), 0);
}

void side_client(struct side *side, wsock_client *client)
{
    assert_int_equal(wsock_client_on_open(client, side_on_open, side, NULL), 0);
    assert_int_equal(wsock_client_on_message(client, side_on_message, side, NULL), 0);
    assert_int_equal(wsock_client_on_pong(client, side_on_pong, side, NULL), 0);
    assert_int_equal(wsock_client_on_drain(client, side_on_drain, side, NULL), 0);
    assert_int_equal(wsock_client_on_close(client, side_on_close, side, NULL), 0);
}

void side_fini(struct side *side)
{
    wsock_conn_unref(side->conn);
    side->conn = NULL;
}

/* ---- the world ---- */

static void on_stopped(wsock_server *server, void *user)
{
    (void)server;
    tell(user);
}

static void begin_world(struct world *world, int workers, bool is_queued)
{
    memset(world, 0, sizeof *world);
    assert_int_equal(wsock_runtime_new(&world->runtime), 0);
    assert_int_equal(
        wsock_runtime_set_int64(world->runtime, "workers", workers > 0 ? workers : 2), 0);
    assert_int_equal(wsock_server_new(world->runtime, &world->server), 0);
    if (is_queued) {
        assert_int_equal(wsock_runtime_queue(world->runtime, &world->queue), 0);
        assert_int_equal(wsock_server_set_queue(world->server, world->queue), 0);
    }
    assert_int_equal(wsock_server_endpoint(world->server, &world->endpoint, "/test"), 0);
    assert_int_equal(
        wsock_server_on_stopped(world->server, on_stopped, &world->stopped, NULL), 0);
    side_endpoint(&world->side, world->endpoint);
}

void world_begin(struct world *world, int workers)
{
    begin_world(world, workers, false);
}

void world_begin_queued(struct world *world, int workers)
{
    begin_world(world, workers, true);
}

void world_listen(struct world *world, const char *url)
{
    if (wsock_server_listen(world->server, url != NULL ? url : "ws://127.0.0.1:0") < 0)
        fail_msg("%s", wsock_server_error(world->server));
    if (world->url[0] == '\0')
        assert_true(wsock_server_url(world->server, world->url, sizeof world->url, 0) >
                    0);
}

wsock_client *world_client(struct world *world, struct side *side)
{
    const bool is_unix = strstr(world->url, "+unix:") != NULL;
    wsock_client *client = NULL;
    char url[320];

    snprintf(url, sizeof url, "%s%s/test", world->url, is_unix ? ":" : "");
    assert_int_equal(wsock_runtime_client(world->runtime, &client, url), 0);
    side_client(side, client);
    return client;
}

void world_connect(struct world *world, wsock_client *client, struct side *side)
{
    const int there = told(&world->side.opened), here = told(&side->opened);

    assert_int_equal(wsock_client_connect(client, NULL), 0);
    await(&world->side.opened, there + 1);
    await(&side->opened, here + 1);
}

void harness_dispatch(wsock_queue *queue, const int *count, int least, const char *what,
                      const char *file, int line)
{
    const int64_t until = now_ms() + DEADLINE_MS;

    while (told(count) < least) {
        if (now_ms() >= until)
            give_up(count, least, what, file, line);
        assert_in_range(wsock_queue_dispatch(queue, 0, 100), 0, INT32_MAX);
    }
}

void world_connect_queued(struct world *world, wsock_client *client, struct side *side)
{
    const int there = told(&world->side.opened), here = told(&side->opened);

    assert_int_equal(wsock_client_connect(client, NULL), 0);
    dispatch_until(world->queue, &world->side.opened, there + 1);
    await(&side->opened, here + 1);
}

void world_end(struct world *world)
{
    wsock_endpoint_unref(world->endpoint);
    side_fini(&world->side);
    wsock_server_free(world->server);
    assert_int_equal(wsock_runtime_free(world->runtime), 0);
    wsock_queue_unref(world->queue);
    assert_int_equal(told(&world->stopped), 1);
    harness_checked();
}

const char *world_unix_path(void)
{
    static char path[64];
    static int next;

    snprintf(path, sizeof path, "/tmp/wsock-test-%d-%d.sock", (int)getpid(), next++);
    return path;
}
