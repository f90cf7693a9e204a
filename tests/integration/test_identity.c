/* SPDX-License-Identifier: MIT */
/* Identities: given by the application, in time; messages to one, and its end. */
#include "harness.h"

#include <unistd.h>

static int identified;

/* Who it is stands in the path: "/as/ann". */
static void on_request(wsock_request *request, void *user)
{
    const char *name = wsock_request_param(request, "name");

    (void)user;
    CHECK(wsock_request_set_identity(request, "a\nb") == WSOCK_EINVAL);
    CHECK(wsock_request_set_identity(request, name) == 0);
    CHECK(wsock_request_set_identity(request, name) == WSOCK_EEXIST);
    CHECK(wsock_request_accept(request, NULL) == 0);
    CHECK(wsock_request_set_identity(request, name) == WSOCK_ECLOSED);
}

static void on_open(wsock_conn *conn, void *user)
{
    struct world *world = user;
    const char *name = wsock_request_param(wsock_conn_request(conn), "name");

    CHECK(strcmp(wsock_conn_identity(conn), name) == 0);
    CHECK(wsock_server_identity_conns(world->server, NULL, 0, name) > 0);
    CHECK(wsock_server_send_to(world->server, name, WSOCK_TEXT, "hello", 5) > 0);
    tell(&identified);
}

static wsock_client *client_as(struct world *world, struct side *side, const char *name)
{
    wsock_client *client;
    char url[300];

    snprintf(url, sizeof url, "%s/as/%s", world->url, name);
    assert_int_equal(wsock_runtime_client(world->runtime, &client, url), 0);
    side_client(side, client);
    assert_int_equal(wsock_client_connect(client, NULL), 0);
    return client;
}

static void begin(struct world *world, wsock_endpoint **as)
{
    identified = 0;
    world_begin(world, 2);
    assert_int_equal(wsock_server_endpoint(world->server, as, "/as/{name}"), 0);
    wsock_endpoint_on_request(*as, on_request, NULL, NULL);
    wsock_endpoint_on_open(*as, on_open, world, NULL);
    world_listen(world, NULL);
}

static void identity_is_reached_on_all_of_its_connections(void **state)
{
    struct side side[3] = {{0}};
    wsock_client *client[3];
    wsock_endpoint *as;
    struct world world;

    (void)state;
    begin(&world, &as);
    for (int i = 0; i < 3; i++) {
        client[i] = client_as(&world, &side[i], i < 2 ? "ann" : "bob");
        await(&identified, i + 1);
    }
    await(&side[0].messages, 2); /* its own hello, and that of the second */
    await(&side[1].messages, 1);
    await(&side[2].messages, 1);
    assert_int_equal(wsock_server_send_to(world.server, "ann", WSOCK_TEXT, "x", 1), 2);
    assert_int_equal(wsock_server_send_to(world.server, "nobody", WSOCK_TEXT, "x", 1), 0);
    assert_int_equal(wsock_server_send_to(world.server, "bob", WSOCK_BINARY, "y", 1), 1);
    assert_int_equal(wsock_server_send_to(world.server, "ann", WSOCK_TEXT, "\xff", 1),
                     WSOCK_EUTF8);
    assert_int_equal(wsock_server_send_to(world.server, "nobody", 3, "x", 1),
                     WSOCK_EINVAL);
    await(&side[0].messages, 3);
    await(&side[1].messages, 2);
    await(&side[2].messages, 2);
    assert_memory_equal(side[1].data, "x", 1);
    assert_int_equal(side[2].type, WSOCK_BINARY);
    for (int i = 0; i < 3; i++) {
        side_fini(&side[i]);
        wsock_client_unref(client[i]);
    }
    wsock_endpoint_unref(as);
    world_end(&world);
}

static void identity_is_disconnected_and_may_come_back(void **state)
{
    struct side side[4] = {{0}};
    wsock_client *client[4];
    wsock_endpoint *as;
    struct world world;

    (void)state;
    begin(&world, &as);
    for (int i = 0; i < 3; i++) {
        client[i] = client_as(&world, &side[i], i < 2 ? "ann" : "bob");
        await(&identified, i + 1);
        await(&side[i].opened, 1);
    }
    assert_int_equal(wsock_server_disconnect(world.server, "ann", 999, NULL),
                     WSOCK_ERANGE);
    assert_int_equal(wsock_server_disconnect(world.server, "nobody", 4403, NULL), 0);
    assert_int_equal(wsock_server_disconnect(world.server, "ann", 4403, "banned"), 2);
    assert_int_equal(wsock_server_disconnect(world.server, "ann", 4403, "banned"), 0);
    for (int i = 0; i < 2; i++) {
        await(&side[i].closed, 1);
        assert_int_equal(side[i].code, 4403);
        assert_string_equal(side[i].reason, "banned");
    }
    client[3] = client_as(&world, &side[3], "ann");
    await(&identified, 4);
    await(&side[3].opened, 1); /* it holds its connection from then on */
    assert_int_equal(wsock_server_identity_conns(world.server, NULL, 0, "ann"), 1);
    assert_int_equal(told(&side[2].closed), 0);
    for (int i = 0; i < 4; i++) {
        side_fini(&side[i]);
        wsock_client_unref(client[i]);
    }
    wsock_endpoint_unref(as);
    world_end(&world);
}

/* The backlog of one that does not read fills up; the other one still takes messages. */
static void full_connection_does_not_hide_the_others(void **state)
{
    static char data[64 * 1024];
    struct side side = {0};
    wsock_client *client;
    wsock_endpoint *as;
    struct world world;
    int raw, r = 0;

    (void)state;
    begin(&world, &as);
    raw = raw_connect(world.url);
    assert_int_equal(raw_upgrade(raw, "/as/ann", ""), 101);
    await(&identified, 1);
    for (int i = 0; i < 1000 && r >= 0; i++) {
        r = wsock_server_send_to(world.server, "ann", WSOCK_BINARY, data, sizeof data);
        assert_true(r == 1 || r == WSOCK_EAGAIN);
    }
    assert_int_equal(r, WSOCK_EAGAIN);
    client = client_as(&world, &side, "ann");
    await(&identified, 2);
    /* The kernel may have taken some for the first one meanwhile. */
    assert_in_range(wsock_server_send_to(world.server, "ann", WSOCK_TEXT, "x", 1), 1, 2);
    await(&side.messages, 2); /* "hello" and this */
    raw_close_frame(raw, 1000);
    assert_int_equal(close(raw), 0);
    side_fini(&side);
    wsock_client_unref(client);
    wsock_endpoint_unref(as);
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(identity_is_reached_on_all_of_its_connections),
        TEST(identity_is_disconnected_and_may_come_back),
        TEST(full_connection_does_not_hide_the_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
