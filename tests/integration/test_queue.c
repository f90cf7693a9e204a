/* SPDX-License-Identifier: MIT */
/* Handlers on a queue: where they run, in which order, and what a busy host does. */
#include "harness.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- a world whose server is on a queue of this thread ---- */

struct hosted {
    struct world world;
    wsock_queue *queue;
    pthread_t host;
};

static void hosted_begin(struct hosted *hosted)
{
    struct world *world = &hosted->world;

    memset(hosted, 0, sizeof *hosted);
    hosted->host = pthread_self();
    world->side.echo = true;
    assert_int_equal(wsock_runtime_new(&world->runtime), 0);
    assert_int_equal(wsock_runtime_set(world->runtime, "workers", "2"), 0);
    assert_int_equal(wsock_runtime_queue(world->runtime, &hosted->queue), 0);
    assert_int_equal(wsock_server_new(world->runtime, &world->server), 0);
    assert_int_equal(wsock_server_set_queue(world->server, hosted->queue), 0);
    assert_int_equal(wsock_server_endpoint(world->server, &world->endpoint, "/test"), 0);
    side_endpoint(&world->side, world->endpoint);
}

static void hosted_end(struct hosted *hosted)
{
    side_fini(&hosted->world.side);
    wsock_endpoint_unref(hosted->world.endpoint);
    wsock_server_free(hosted->world.server);
    assert_int_equal(wsock_runtime_free(hosted->world.runtime), 0);
    wsock_queue_unref(hosted->queue);
}

/* Dispatch until a count is there. */
#define dispatch_until(queue, count, least)                                       \
    do {                                                                          \
        const int64_t until = now_ms() + 20000;                                   \
        while (told(count) < (least) && now_ms() < until)                         \
            assert_in_range(wsock_queue_dispatch((queue), 0, 100), 0, INT32_MAX); \
        assert_in_range(told(count), (least), INT32_MAX);                         \
    } while (0)

/* Peers are handled on the workers, so that what they see needs no dispatch. */
static wsock_client *peer_begin(struct hosted *hosted, struct side *side)
{
    wsock_client *client = world_client(&hosted->world, side);
    const int before = hosted->world.side.opened;

    assert_int_equal(wsock_client_connect(client, NULL), 0);
    await(&side->opened, 1);
    dispatch_until(hosted->queue, &hosted->world.side.opened, before + 1);
    return client;
}

static void handlers_run_only_when_dispatched(void **state)
{
    struct hosted hosted;
    struct side peer = {0};
    wsock_client *client;

    (void)state;
    hosted_begin(&hosted);
    world_listen(&hosted.world, NULL);
    client = world_client(&hosted.world, &peer);
    assert_int_equal(wsock_client_connect(client, NULL), 0);
    await(&peer.opened, 1);
    assert_int_equal(wsock_conn_send(peer.conn, WSOCK_TEXT, "one", 3), 0);
    assert_int_equal(wsock_queue_wait(hosted.queue, 20000), 1);
    assert_int_equal(hosted.world.side.opened, 0);
    dispatch_until(hosted.queue, &hosted.world.side.messages, 1);
    await(&peer.messages, 1);
    assert_string_equal(peer.data, "one");
    assert_int_equal(wsock_conn_close(peer.conn, 1000, NULL), 0);
    dispatch_until(hosted.queue, &hosted.world.side.closed, 1);
    assert_int_equal(hosted.world.side.code, 1000);
    side_fini(&peer);
    wsock_client_unref(client);
    hosted_end(&hosted);
}

/* free() waits for the end, and the end needs this thread. */
static void waiting_dispatches(void **state)
{
    struct hosted hosted;
    struct side peer = {0};
    wsock_client *client;

    (void)state;
    hosted_begin(&hosted);
    world_listen(&hosted.world, NULL);
    client = peer_begin(&hosted, &peer);
    wsock_server_stop(hosted.world.server);
    assert_int_equal(wsock_server_wait(hosted.world.server, 20000), 0);
    assert_int_equal(hosted.world.side.closed, 1);
    side_fini(&peer);
    wsock_client_unref(client);
    hosted_end(&hosted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handlers_run_only_when_dispatched),
        cmocka_unit_test(waiting_dispatches),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
