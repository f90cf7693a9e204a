/* SPDX-License-Identifier: MIT */
#include "cluster_scene.h"

#include <stdio.h>
#include <string.h>

#include "test.h"

wsock_runtime *runtime;
wsock_server *server[NODES];
wsock_room *room[NODES];
struct peer peer[CLIENTS];

static struct scene scene;
static struct peer *opening; /* that connects */

static void on_open(wsock_conn *conn, void *user)
{
    (void)user;
    wsock_conn_unref(opening->conn); /* one that was lost */
    opening->conn = wsock_conn_ref(conn);
}

void make_node(int i)
{
    wsock_endpoint *endpoint;
    char url[32], name[8];

    snprintf(url, sizeof url, "ws://n%d", i);
    snprintf(name, sizeof name, "node%d", i);
    assert_int_equal(wsock_server_new(runtime, &server[i]), 0);
    assert_int_equal(wsock_server_set(server[i], "cluster", "memory:test"), 0);
    assert_int_equal(wsock_server_set(server[i], "cluster_name", name), 0);
    for (const char *const *option = scene.node_options; *option != NULL; option += 2)
        assert_int_equal(wsock_server_set(server[i], option[0], option[1]), 0);
    assert_int_equal(wsock_server_endpoint(server[i], &endpoint, "/"), 0);
    assert_int_equal(wsock_endpoint_on_open(endpoint, on_open, NULL, NULL), 0);
    assert_int_equal(wsock_server_listen(server[i], url), 0);
    wsock_endpoint_unref(endpoint);
}

void make_room(int node)
{
    assert_int_equal(
        wsock_server_make_room(server[node], &room[node], "r", scene.room_options), 0);
}

void stop_node(int i)
{
    wsock_room_unref(room[i]);
    wsock_server_free(server[i]);
    room[i] = NULL;
    server[i] = NULL;
}

void begin_scene(const struct scene *how)
{
    scene = *how;
    memset(peer, 0, sizeof peer);
    assert_int_equal(wsock_testing_new(&runtime, 1), 0);
    for (int i = 0; i < NODES; i++)
        make_node(i);
    for (int i = 0; i < NODES; i++)
        make_room(i);
    settle();
}

void finish(void)
{
    for (int i = 0; i < NODES; i++)
        stop_node(i);
    for (int i = 0; i < CLIENTS; i++) {
        if (peer[i].client != NULL)
            wsock_client_stop(peer[i].client, 1000, NULL);
        wsock_client_unref(peer[i].client);
        wsock_conn_unref(peer[i].conn);
    }
    settle();
    pass(20000);
    wsock_runtime_free(runtime);
}

wsock_conn *connect_to(int i, int node)
{
    char url[32];

    snprintf(url, sizeof url, "ws://n%d/", node);
    opening = &peer[i];
    assert_int_equal(wsock_runtime_client(runtime, &peer[i].client, url), 0);
    assert_int_equal(
        wsock_client_on_message(peer[i].client, scene.on_heard, &peer[i], NULL), 0);
    assert_int_equal(wsock_client_start(peer[i].client), 0);
    settle();
    assert_non_null(peer[i].conn);
    return peer[i].conn;
}

void settle(void)
{
    assert_int_equal(wsock_testing_run(runtime), 0);
}

void pass(uint64_t ms)
{
    assert_int_equal(wsock_testing_advance(runtime, ms), 0);
}

void heard(int i, const char *text)
{
    settle();
    assert_string_equal(peer[i].heard, text);
    peer[i].heard[0] = '\0';
}

void fault(enum wsi_bus_fault which, uint64_t value)
{
    assert_int_equal(wsi_bus_memory_fault("test", which, value), 0);
}

void cut_node(int node, bool cut)
{
    char name[8];

    snprintf(name, sizeof name, "node%d", node);
    assert_int_equal(wsi_bus_memory_cut("test", name, cut), 0);
}
