/* SPDX-License-Identifier: MIT */
/*
 * test_chaos [CUTS [SEED]]: a client that keeps a connection up, plainly or over TLS,
 * behind a network that cuts it again and again. Afterwards it is connected, and of
 * numbered messages to an echo none came twice to either end, none out of order, and each
 * that was acknowledged by its echo did reach the server.
 */
#include "chaos.h"
#include "harness.h"

#include <stdlib.h>
#include <time.h>

#ifdef CERTIFICATES
#define HAS_TLS
#else
#define CERTIFICATES "" /* a build without TLS */
#endif

enum { NUMBERS_MAX = 4 * 1000 * 1000, MESSAGE_MAX = 600, CALM_MESSAGES = 200 };

static int cuts = 1000;
static uint64_t seed;

static struct {
    unsigned char at_server[NUMBERS_MAX]; /* how often; each is one thread's at a time */
    uint32_t sent, acknowledged;          /* how many; the last number that came back */
    int echoes, changes, closed;
    wsock_client *client;
} story;

static void at_server(wsock_conn *conn, int type, const void *data, size_t len,
                      void *user)
{
    uint32_t number, last = (uint32_t)(uintptr_t)wsock_conn_get_user(conn);

    (void)user;
    CHECK(len >= sizeof number);
    memcpy(&number, data, sizeof number);
    CHECK(number < NUMBERS_MAX && number > last);
    CHECK(__atomic_fetch_add(&story.at_server[number], 1, __ATOMIC_RELAXED) == 0);
    wsock_conn_set_user(conn, (void *)(uintptr_t)number, NULL);
    CHECK(wsock_conn_send(conn, type, data, len) != WSOCK_EAGAIN);
}

static void at_client(wsock_conn *conn, int type, const void *data, size_t len,
                      void *user)
{
    uint32_t number;

    (void)conn;
    (void)type;
    (void)user;
    CHECK(len >= sizeof number);
    memcpy(&number, data, sizeof number);
    CHECK(number > __atomic_load_n(&story.acknowledged, __ATOMIC_RELAXED));
    CHECK(__atomic_load_n(&story.at_server[number], __ATOMIC_RELAXED) == 1);
    __atomic_store_n(&story.acknowledged, number, __ATOMIC_RELAXED);
    tell(&story.echoes);
    tell(&story.changes);
}

static void on_state(wsock_client *client, const wsock_state_info *info, void *user)
{
    (void)client;
    (void)user;
    if (info->state == WSOCK_STATE_CLOSED) {
        CHECK(info->why->cause == WSOCK_CAUSE_CLOSED && info->why->code == 1000);
        tell(&story.closed);
    }
    tell(&story.changes);
}

static void on_drain(wsock_conn *conn, void *user)
{
    (void)conn;
    (void)user;
    tell(&story.changes);
}

/* Send one number, as often as it takes to be accepted. */
static void send_next(void)
{
    static char message[MESSAGE_MAX];
    const uint32_t number = ++story.sent;
    const size_t len = sizeof number + number * 7919 % (MESSAGE_MAX - sizeof number);
    int r;

    assert_true(number < NUMBERS_MAX);
    memcpy(message, &number, sizeof number);
    for (;;) {
        const int changes = told(&story.changes);

        r = wsock_client_send(story.client, WSOCK_BINARY, message, len);
        if (r != WSOCK_EAGAIN)
            break;
        await(&story.changes, changes + 1);
    }
    assert_int_equal(r, 0);
}

static wsock_client *make_client(wsock_runtime *runtime, const char *base, bool tls)
{
    static const char *const options[][2] = {
        {"reconnect_delay", "1ms"},     {"reconnect_max_delay", "4ms"},
        {"reconnect_stable_time", "0"}, {"reconnect_buffer_bytes", "4KiB"},
        {"max_backlog_bytes", "8KiB"},  {"handshake_timeout", "2s"},
        {"compression", "dedicated"},
    };
    wsock_client *client = NULL;
    char url[160];

    snprintf(url, sizeof url, "%s%s/test", tls ? "wss" : "ws", base + 2);
    assert_int_equal(wsock_runtime_client(runtime, &client, url), 0);
    if (tls)
        assert_int_equal(wsock_client_set(client, "tls_ca", CERTIFICATES "/root.pem"), 0);
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        assert_int_equal(wsock_client_set(client, options[i][0], options[i][1]), 0);
    assert_int_equal(wsock_client_on_message(client, at_client, NULL, NULL), 0);
    assert_int_equal(wsock_client_on_drain(client, on_drain, NULL, NULL), 0);
    assert_int_equal(wsock_client_on_state(client, on_state, NULL, NULL), 0);
    return client;
}

/* A connection that was about to be cut may still end: then the number is lost, and the
 * next one will do. */
static void speak_in_the_calm(void)
{
    for (int good = 0; good < CALM_MESSAGES;) {
        send_next();
        for (;;) {
            const int changes = told(&story.changes);
            wsock_conn *conn = wsock_client_conn(story.client);
            const bool is_open = conn != NULL && wsock_conn_is_open(conn);

            wsock_conn_unref(conn);
            if (__atomic_load_n(&story.acknowledged, __ATOMIC_RELAXED) == story.sent) {
                good++;
                break;
            }
            if (!is_open) {
                good = 0;
                break;
            }
            await(&story.changes, changes + 1);
        }
    }
}

static void survive(bool tls)
{
    struct world world;
    struct chaos *chaos;
    wsock_conn *conn;
    char url[128];
    const int64_t begun = now_ms();

    memset(&story, 0, sizeof story);
    world_begin(&world, 2);
    wsock_endpoint_on_message(world.endpoint, at_server, NULL, NULL);
    wsock_endpoint_set(world.endpoint, "compression", "dedicated");
    wsock_endpoint_set(world.endpoint, "max_backlog_bytes", "64MiB");
    if (tls) {
        wsock_server_set(world.server, "tls_certificate", CERTIFICATES "/good.pem");
        wsock_server_set(world.server, "tls_key", CERTIFICATES "/good.key");
    }
    world_listen(&world, tls ? "wss://127.0.0.1:0" : NULL);
    chaos = chaos_begin(world.url, seed, url, sizeof url);
    story.client = make_client(world.runtime, url, tls);
    assert_int_equal(wsock_client_start(story.client), 0);
    while (told(chaos_cuts(chaos)) < cuts)
        send_next();
    chaos_calm(chaos);
    speak_in_the_calm();
    conn = wsock_client_conn(story.client);
    assert_non_null(conn);
    wsock_conn_unref(conn);
    printf("seed %llu: %d cuts, %u messages, %d acknowledged, %d connections, %lld ms\n",
           (unsigned long long)seed, told(chaos_cuts(chaos)), story.sent,
           told(&story.echoes), told(&world.side.opened), (long long)(now_ms() - begun));
    assert_int_equal(wsock_client_stop(story.client, 1000, NULL), 0);
    await(&story.closed, 1);
    wsock_client_unref(story.client);
    world_end(&world);
    chaos_end(chaos);
}

static void client_survives_every_cut(void **state)
{
    (void)state;
    survive(false);
}

#ifdef HAS_TLS
static void client_survives_every_cut_of_tls(void **state)
{
    (void)state;
    survive(true);
}
#endif

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(client_survives_every_cut),
#ifdef HAS_TLS
        TEST(client_survives_every_cut_of_tls),
#endif
    };

    if (argc > 1)
        cuts = atoi(argv[1]);
    seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)time(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
