/* SPDX-License-Identifier: MIT */
/* Workers and connections without threads and sockets. */
#include "test.h"

#include "stage.h"

#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/opening.h"
#include "conn/reaching.h"
#include "conn/send.h"
#include "core/alloc.h"

/* The example of RFC 6455 section 1.3. */
const char stage_request[] = "GET /e HTTP/1.1\r\n"
                             "Host: h\r\n"
                             "Upgrade: websocket\r\n"
                             "Connection: Upgrade\r\n"
                             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                             "Sec-WebSocket-Version: 13\r\n"
                             "\r\n";
const char stage_accepted[] = "HTTP/1.1 101 Switching Protocols\r\n"
                              "Upgrade: websocket\r\n"
                              "Connection: Upgrade\r\n"
                              "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                              "\r\n";
/* The key is the bytes 0 to 15. */
const char stage_asked[] = "GET /e HTTP/1.1\r\n"
                           "Host: h\r\n"
                           "Upgrade: websocket\r\n"
                           "Connection: Upgrade\r\n"
                           "Sec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\n"
                           "Sec-WebSocket-Version: 13\r\n"
                           "\r\n";
const char stage_answer[] = "HTTP/1.1 101 Switching Protocols\r\n"
                            "Upgrade: websocket\r\n"
                            "Connection: Upgrade\r\n"
                            "Sec-WebSocket-Accept: Bz3qJYTGdOe8gUSpLosEdiLKDrk=\r\n"
                            "\r\n";

/* ---- handlers ---- */

static void saw_open(wsock_conn *conn, void *user)
{
    struct stage *stage = user;

    (void)conn;
    test_transcript_add(&stage->seen, "open");
}

static void saw_message(wsock_conn *conn, int type, const void *data, size_t len,
                        void *user)
{
    struct stage *stage = user;

    if (type == WSOCK_TEXT) {
        test_transcript_add(&stage->seen, "text %.*s", (int)len, (const char *)data);
    } else {
        char *hex = test_hex(data, len);

        test_transcript_add(&stage->seen, "binary %s", hex);
        free(hex);
    }
    if (stage->echo)
        wsi_conn_send(conn, type, data, len);
    if (stage->on_message != NULL)
        stage->on_message(conn);
}

static void saw_pong(wsock_conn *conn, const void *data, size_t len, void *user)
{
    struct stage *stage = user;

    (void)conn;
    test_transcript_add(&stage->seen, "pong %.*s", (int)len, (const char *)data);
}

static void saw_drain(wsock_conn *conn, void *user)
{
    struct stage *stage = user;

    (void)conn;
    test_transcript_add(&stage->seen, "drain");
}

static void saw_cancelled(wsock_request *request, void *user)
{
    struct stage *stage = user;

    (void)request;
    test_transcript_add(&stage->seen, "cancelled");
}

static const char *cause_name(int cause)
{
    static const char *const names[] = {
#define NAME(name, value, text) [value] = #name,
        WSOCK_CAUSE_MAP(NAME)
#undef NAME
    };

    return names[cause];
}

static void saw_close(wsock_conn *conn, const wsock_close_info *info, void *user)
{
    struct stage *stage = user;

    (void)conn;
    test_transcript_add(&stage->seen, "closed %s %d%s%s", cause_name(info->cause),
                        (int)info->code, *info->reason != '\0' ? " " : "", info->reason);
}

static void handle(struct stage *stage, struct wsi_profile *profile)
{
    static const struct {
        enum wsi_on which;
        union wsi_handler_fn fn;
    } handlers[] = {
        {WSI_ON_OPEN, {.open = saw_open}},
        {WSI_ON_MESSAGE, {.message = saw_message}},
        {WSI_ON_PONG, {.pong = saw_pong}},
        {WSI_ON_DRAIN, {.open = saw_drain}},
        {WSI_ON_CLOSE, {.close = saw_close}},
        {WSI_ON_REQUEST_CANCELLED, {.request = saw_cancelled}},
    };

    for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++)
        assert_int_equal(wsi_profile_on(profile, &stage->pool, handlers[i].which,
                                        handlers[i].fn, true, stage, NULL),
                         0);
}

/* ---- beginning and ending ---- */

static void nothing_to_release(struct wsi_pool *pool)
{
    (void)pool;
}

static void nothing_to_free(struct wsi_owner *owner)
{
    (void)owner;
}

static void nobody_waits(struct wsi_service *service)
{
    (void)service;
}

static void begin_remote(struct wsi_remote *remote, struct wsi_pool *pool)
{
    wsi_owner_init(&remote->owner, pool, nothing_to_free, NULL);
    wsi_profile_init(&remote->profile, WSOCK_SCOPE_CLIENT);
    wsi_keeper_init(&remote->keeper);
    pthread_mutex_init(&remote->lock, NULL);
    remote->home.target = wsi_strdup("/e");
    assert_non_null(remote->home.target);
    strcpy(remote->home.host, "h");
}

void stage_begin(struct stage *stage, unsigned workers)
{
    struct wsi_pool *pool = &stage->pool;

    memset(stage, 0, sizeof *stage);
    assert_int_equal(wsi_pool_init(pool, nothing_to_release), 0);
    pool->clock = &stage->script[0].clock;
    pool->workers = wsi_zalloc(workers * sizeof *pool->workers);
    assert_non_null(pool->workers);
    for (unsigned i = 0; i < workers; i++) {
        script_init(&stage->script[i]);
        pool->backend = &stage->script[i].backend;
        assert_int_equal(wsi_worker_init(&pool->workers[i], pool, i), 0);
    }
    atomic_store(&pool->count, workers);
    pool->state = WSI_POOL_RUNNING;
    stage->worker = pool->workers;
    stage->loop = stage->worker->loop;
    wsi_worker_current = stage->worker;
    wsi_service_init(&stage->service, pool, nothing_to_free, nobody_waits);
    wsi_profile_init(&stage->endpoint, WSOCK_SCOPE_ENDPOINT);
    assert_int_equal(wsi_routes_add(&stage->service.routes, "/e", &stage->endpoint, NULL),
                     0);
    begin_remote(&stage->remote, pool);
    handle(stage, &stage->endpoint);
    handle(stage, &stage->remote.profile);
}

void stage_end(struct stage *stage)
{
    struct wsi_pool *pool = &stage->pool;

    for (unsigned i = 0; i < wsi_pool_count(pool); i++) {
        stage_settle_worker(stage, i);
        assert_true(wsi_list_is_empty(&pool->workers[i].conns));
    }
    assert_int_equal(atomic_load(&stage->service.alive), 0);
    assert_int_equal(atomic_load(&stage->service.owner.open), 0);
    assert_int_equal(atomic_load(&stage->service.owner.ref.count), 1);
    assert_int_equal(atomic_load(&stage->remote.owner.ref.count), 1);
    assert_int_equal(atomic_load(&pool->buffered), 0);
    assert_int_equal(atomic_load(&pool->ref.count), 1);
    pool->state = WSI_POOL_ENDED;
    wsi_worker_current = NULL;
    wsi_service_fini(&stage->service);
    wsi_profile_fini(&stage->endpoint);
    wsi_keeper_fini(&stage->remote.keeper);
    wsi_profile_fini(&stage->remote.profile);
    wsi_buf_fini(&stage->remote.headers);
    wsi_buf_fini(&stage->remote.protocols);
    wsi_free(stage->remote.home.target);
    pthread_mutex_destroy(&stage->remote.lock);
    wsi_pool_fini(pool);
    free(stage->seen.text);
}

void stage_fix_random(struct stage *stage)
{
    struct wsi_random *random = &stage->worker->random;

    random->used = 0;
    for (size_t i = 0; i < sizeof random->pool; i++)
        random->pool[i] = (uint8_t)i;
}

/* ---- turning ---- */

enum { TURNS_MAX = 100 * 1000 };

/* A turn that waits up to a moment moves the clock only when nothing was ready. */
static void turn_until(struct script *script, struct wsi_loop *loop, uint64_t until_us)
{
    for (int turns = 0; script->now_us < until_us; turns++) {
        assert_true(turns < TURNS_MAX);
        wsi_loop_turn(loop, (int64_t)(until_us - script->now_us) / 1000);
    }
}

void stage_run(struct stage *stage, uint64_t ms)
{
    struct script *script = &stage->script[0];

    turn_until(script, stage->loop, script->now_us + ms * 1000);
    wsi_loop_turn(stage->loop, 0);
    stage_settle(stage);
}

/* Nothing is ready any more when a wait would let time pass. */
void stage_settle_worker(struct stage *stage, unsigned index)
{
    struct script *script = &stage->script[index];
    struct wsi_worker *before = wsi_worker_current;
    struct wsi_worker *worker = &stage->pool.workers[index];
    int turns = 0;

    wsi_worker_current = worker;
    do {
        assert_true(turns++ < TURNS_MAX);
        wsi_loop_turn(worker->loop, 0);
    } while (script_is_busy(script));
    wsi_worker_current = before;
}

void stage_settle_all(struct stage *stage)
{
    const unsigned count = wsi_pool_count(&stage->pool);

    for (unsigned i = 0; i < 2 * count; i++)
        stage_settle_worker(stage, i % count);
}

void stage_settle(struct stage *stage)
{
    stage_settle_worker(stage, 0);
}

/* ---- connections ---- */

static struct wsock_conn *newest(struct wsi_worker *worker)
{
    assert_false(wsi_list_is_empty(&worker->conns));
    return WSI_CONTAINER_OF(worker->conns.prev, struct wsock_conn, node);
}

struct wsock_conn *stage_accept(struct stage *stage, struct script_peer *peer,
                                unsigned worker)
{
    struct wsi_worker *on = &stage->pool.workers[worker];
    struct wsi_worker *before = wsi_worker_current;
    struct wsi_arrival arrival = {.fd = script_peer_init(&stage->script[worker], peer)};

    assert_true(wsi_address_numeric(&arrival.peer, "127.0.0.1", 7));
    wsi_worker_current = on;
    wsi_service_adopt(&stage->service, on, &arrival);
    wsi_worker_current = before;
    return newest(on);
}

struct wsock_conn *stage_accept_open(struct stage *stage, struct script_peer *peer)
{
    struct wsock_conn *conn = stage_accept(stage, peer, 0);

    script_feed(peer, stage_request, strlen(stage_request));
    stage_settle(stage);
    stage_sent_bytes(peer, stage_accepted, strlen(stage_accepted));
    assert_int_equal(wsi_conn_state(conn), WSI_CONN_OPEN);
    return conn;
}

void stage_reach(struct stage *stage, struct wsock_conn *conn, struct script_peer *peer)
{
    wsi_list_append(&stage->worker->conns, &conn->node);
    assert_true(wsi_address_numeric(&conn->opening->peer, "127.0.0.1", 7));
    conn->opening->phase = WSI_OPENING_CONNECT;
    assert_int_equal(wsi_stream_adopt(&conn->stream, stage->loop,
                                      script_peer_init(&stage->script[0], peer)),
                     0);
    stage_fix_random(stage);
    wsi_reaching_connected(conn);
}

struct wsock_conn *stage_connect(struct stage *stage, struct script_peer *peer)
{
    struct wsock_conn *conn = NULL;

    assert_int_equal(wsi_conn_new(&conn, stage->worker, &stage->remote.owner,
                                  &stage->remote.profile, WSI_CLIENT),
                     0);
    stage_reach(stage, conn, peer);
    return conn;
}

struct wsock_conn *stage_connect_open(struct stage *stage, struct script_peer *peer)
{
    struct wsock_conn *conn = stage_connect(stage, peer);

    script_feed(peer, stage_answer, strlen(stage_answer));
    stage_settle(stage);
    stage_sent_bytes(peer, stage_asked, strlen(stage_asked));
    assert_int_equal(wsi_conn_state(conn), WSI_CONN_OPEN);
    return conn;
}

void stage_ended(struct stage *stage, struct script_peer *peer)
{
    for (unsigned i = 0; i < wsi_pool_count(&stage->pool); i++) {
        struct script *script = &stage->script[i];

        for (size_t k = 0; k < script->peers; k++)
            if (script->peer[k] == peer) {
                stage_settle_worker(stage, i);
                script_peer_fini(script, peer);
                return;
            }
    }
    fail_msg("no such peer");
}

void stage_drop(struct stage *stage, struct wsock_conn *conn, struct script_peer *peer)
{
    wsi_worker_current = conn->worker;
    wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_RESET, WSOCK_BY_US, NULL);
    wsi_worker_current = stage->worker;
    stage_ended(stage, peer);
}

/* ---- bytes ---- */

static void feed_frame(struct script_peer *peer, unsigned byte0, const void *data,
                       size_t len, const uint8_t *key)
{
    uint8_t *frame = malloc(len + WSI_FRAME_HEADER_MAX);
    size_t size;

    assert_non_null(frame);
    size = wsi_frame_write_header(frame, byte0, len, key);
    if (len > 0)
        memcpy(frame + size, data, len);
    for (size_t i = 0; key != NULL && i < len; i++)
        frame[size + i] ^= key[i % 4];
    script_feed(peer, frame, size + len);
    free(frame);
}

void stage_feed_masked(struct script_peer *peer, unsigned byte0, const void *data,
                       size_t len)
{
    static const uint8_t key[4] = {1, 2, 3, 4};

    feed_frame(peer, byte0, data, len, key);
}

void stage_feed_plain(struct script_peer *peer, unsigned byte0, const void *data,
                      size_t len)
{
    feed_frame(peer, byte0, data, len, NULL);
}

/* As in a C literal; long ones are cut. */
static void print_bytes(const char *what, const uint8_t *data, size_t len)
{
    print_error("%s %zu bytes: ", what, len);
    for (size_t i = 0; i < len && i < 1000; i++)
        print_error(data[i] >= 0x20 && data[i] < 0x7f ? "%c" : "\\x%02x", data[i]);
    print_error("\n");
}

void stage_sent_bytes(struct script_peer *peer, const void *data, size_t len)
{
    const size_t sent = peer->output.len;

    if (sent != len || (len > 0 && memcmp(peer->output.data, data, len) != 0)) {
        print_bytes("sent", peer->output.data, sent);
        print_bytes("expected", data, len);
        fail_msg("other bytes were sent");
    }
    peer->output.len = 0;
}

void stage_saw(struct stage *stage, const char *events)
{
    assert_string_equal(stage->seen.text != NULL ? stage->seen.text : "", events);
    free(stage->seen.text);
    stage->seen = (struct test_transcript){0};
}

struct wsock_conn *stage_begin_server(struct stage *stage, struct script_peer *peer)
{
    struct wsock_conn *conn;

    stage_begin(stage, 1);
    conn = stage_accept_open(stage, peer);
    stage_saw(stage, "open");
    return conn;
}

struct wsock_conn *stage_begin_client(struct stage *stage, struct script_peer *peer)
{
    struct wsock_conn *conn;

    stage_begin(stage, 1);
    conn = stage_connect_open(stage, peer);
    stage_saw(stage, "open");
    return conn;
}

void stage_finish(struct stage *stage, struct wsock_conn *conn, struct script_peer *peer)
{
    stage_drop(stage, conn, peer);
    stage_saw(stage, "closed RESET 1006");
    stage_end(stage);
}

void stage_set(struct stage *stage, const char *name, const char *value)
{
    assert_int_equal(
        wsi_options_set(&stage->endpoint.options, name, value, true, NULL, 0), 0);
}
