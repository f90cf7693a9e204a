/* SPDX-License-Identifier: MIT */
/*
 * Messages in parts between real sockets: one that is larger than anybody would hold in
 * memory, and threads that append, send, ping and close beside broadcasts of a room.
 */
#include "harness.h"

#include <pthread.h>
#include <stdlib.h>

enum {
    PART = 64 * 1024,
    MARK = 256 * 1024,
    MIB = 1024 * 1024,
    ROUNDS = 200,
    PARTS = 10,
};

struct scene {
    struct world world;
    struct side side;
    wsock_client *client;
    wsock_room *room;
    wsock_conn *sender;
    size_t came; /* of the message in parts; guarded by the client's one worker */
    int ended, streamed, whole, broadcast;
    int begun, sent; /* messages in parts; others, each in the middle of one */
};

/* ---- one large message ---- */

/* Byte i of the message. */
static char byte_at(size_t i)
{
    return (char)(i * 2654435761u >> 13 & 0x3f);
}

static void count_part(wsock_conn *conn, int type, const void *data, size_t len,
                       int flags, void *user)
{
    struct scene *scene = user;
    const char *at = data;

    (void)conn;
    CHECK(type == WSOCK_BINARY);
    CHECK(((flags & WSOCK_PART_FIRST) != 0) == (scene->came == 0));
    for (size_t i = 0; i < len; i += 997)
        CHECK(at[i] == byte_at(scene->came + i));
    scene->came += len;
    if ((flags & WSOCK_PART_LAST) != 0)
        tell(&scene->ended);
}

static void scene_begin(struct scene *scene, const char *mode)
{
    memset(scene, 0, sizeof *scene);
    world_begin(&scene->world, 0);
    assert_int_equal(wsock_server_set(scene->world.server, "max_backlog_bytes", "256KiB"),
                     0);
    assert_int_equal(wsock_server_set(scene->world.server, "compression", mode), 0);
    assert_int_equal(wsock_server_room(scene->world.server, &scene->room, "room"), 0);
    world_listen(&scene->world, NULL);
    scene->client = world_client(&scene->world, &scene->side);
    assert_int_equal(wsock_client_set(scene->client, "compression", mode), 0);
    assert_int_equal(wsock_client_set(scene->client, "max_message_bytes", "off"), 0);
    assert_int_equal(wsock_client_set(scene->client, "max_fragments", "off"), 0);
}

static void scene_connect(struct scene *scene)
{
    world_connect(&scene->world, scene->client, &scene->side);
    scene->sender = scene->world.side.conn;
}

static void scene_end(struct scene *scene)
{
    world_end(&scene->world);
    wsock_room_unref(scene->room);
    wsock_client_unref(scene->client);
    side_fini(&scene->side);
}

/* Call until there was room. */
#define PATIENTLY(scene, call)                             \
    do {                                                   \
        int seen = told(&(scene)->world.side.drained), r;  \
        while ((r = (call)) == WSOCK_EAGAIN) {             \
            await(&(scene)->world.side.drained, seen + 1); \
            seen = told(&(scene)->world.side.drained);     \
        }                                                  \
        CHECK(r == 0);                                     \
    } while (0)

static void send_large(const char *mode, size_t total)
{
    struct scene scene;
    char *part = malloc(PART);
    size_t most = 0;

    assert_non_null(part);
    scene_begin(&scene, mode);
    assert_int_equal(wsock_client_on_part(scene.client, count_part, &scene, NULL), 0);
    scene_connect(&scene);
    assert_int_equal(wsock_conn_send_begin(scene.sender, WSOCK_BINARY), 0);
    for (size_t at = 0; at < total; at += PART) {
        for (size_t i = 0; i < PART; i++)
            part[i] = byte_at(at + i);
        PATIENTLY(&scene, wsock_conn_send_append(scene.sender, part, PART));
        if (wsock_conn_buffered(scene.sender) > most)
            most = wsock_conn_buffered(scene.sender);
    }
    assert_int_equal(wsock_conn_send_end(scene.sender), 0);
    await(&scene.ended, 1);
    assert_int_equal(scene.came, total);
    assert_true(most <= MARK + PART + 100);
    scene_end(&scene);
    free(part);
}

static void message_of_100_mib_waits_for_its_reader(void **state)
{
    (void)state;
    send_large("off", (size_t)100 * MIB);
}

static void compressed_message_waits_for_its_reader(void **state)
{
    (void)state;
    send_large("shared", (size_t)4 * MIB);
    send_large("dedicated", (size_t)4 * MIB);
}

/* ---- threads ---- */

/* 'S' and PARTS times the same 1000 bytes; 'W' or 'R' and a number. */
static void sort_message(wsock_conn *conn, int type, const void *data, size_t len,
                         void *user)
{
    struct scene *scene = user;
    const char *text = data;
    int *count = text[0] == 'W' ? &scene->whole : &scene->broadcast;

    (void)conn;
    (void)type;
    if (text[0] == 'S') {
        CHECK(len == 1 + PARTS * 1000);
        for (size_t i = 2; i < len; i++)
            CHECK(text[i] == text[1]);
        CHECK(text[1] == 'a' + told(&scene->streamed) % 26);
        tell(&scene->streamed);
        return;
    }
    CHECK(atoi(text + 1) == told(count));
    tell(count);
}

static void *stream(void *user)
{
    struct scene *scene = user;
    char part[1000];

    for (int i = 0; i < ROUNDS; i++) {
        memset(part, 'a' + i % 26, sizeof part);
        CHECK(wsock_conn_send_begin(scene->sender, WSOCK_TEXT) == 0);
        PATIENTLY(scene, wsock_conn_send_append(scene->sender, "S", 1));
        tell(&scene->begun);
        await(&scene->sent, 2 * (i + 1));
        for (int k = 0; k < PARTS; k++)
            PATIENTLY(scene, wsock_conn_send_append(scene->sender, part, sizeof part));
        CHECK(wsock_conn_send_end(scene->sender) == 0);
    }
    return NULL;
}

static void *send_whole(void *user)
{
    struct scene *scene = user;
    char text[600] = "";

    for (int i = 0; i < ROUNDS; i++) {
        await(&scene->begun, i + 1);
        snprintf(text, sizeof text, "W%d", i);
        PATIENTLY(scene, wsock_conn_send(scene->sender, WSOCK_BINARY, text, sizeof text));
        tell(&scene->sent);
    }
    return NULL;
}

static void *broadcast(void *user)
{
    struct scene *scene = user;
    char text[600] = "";

    for (int i = 0; i < ROUNDS; i++) {
        await(&scene->begun, i + 1);
        snprintf(text, sizeof text, "R%d", i);
        CHECK(wsock_room_broadcast(scene->room, WSOCK_BINARY, text, sizeof text) >= 0);
        CHECK(wsock_conn_send_ping(scene->sender, "p", 1) == 0);
        tell(&scene->sent);
    }
    return NULL;
}

static void threads_share_a_connection(const char *mode)
{
    static void *(*const work[])(void *) = {stream, send_whole, broadcast};
    pthread_t threads[3];
    struct scene scene;

    scene_begin(&scene, mode);
    /* No broadcast may find the backlog full. */
    assert_int_equal(wsock_server_set(scene.world.server, "max_backlog_bytes", "4MiB"),
                     0);
    assert_int_equal(wsock_client_on_message(scene.client, sort_message, &scene, NULL),
                     0);
    scene_connect(&scene);
    assert_int_equal(wsock_room_join(scene.room, scene.sender), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work[i], &scene), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    await(&scene.streamed, ROUNDS);
    await(&scene.whole, ROUNDS);
    await(&scene.broadcast, ROUNDS);
    await(&scene.world.side.pongs, ROUNDS);
    scene_end(&scene);
}

static void order_of_each_thread_holds_beside_a_stream(void **state)
{
    (void)state;
    threads_share_a_connection("off");
    threads_share_a_connection("shared");
    threads_share_a_connection("dedicated");
}

/* Several call it at the same time: what each is told depends. */
static void *append_until_closed(void *user)
{
    struct scene *scene = user;
    char part[500] = "";
    int r;

    do {
        r = wsock_conn_send_begin(scene->sender, WSOCK_BINARY);
        CHECK(r == 0 || r == WSOCK_EBUSY || r == WSOCK_EAGAIN || r == WSOCK_ECLOSED);
        for (int i = 0; i < PARTS && r != WSOCK_ECLOSED; i++) {
            r = wsock_conn_send_append(scene->sender, part, sizeof part);
            CHECK(r == 0 || r == WSOCK_EAGAIN || r == WSOCK_ENOENT || r == WSOCK_ECLOSED);
            r = wsock_conn_send(scene->sender, WSOCK_BINARY, part, sizeof part);
            CHECK(r == 0 || r == WSOCK_EAGAIN || r == WSOCK_ECLOSED);
        }
        if (r != WSOCK_ECLOSED)
            r = wsock_conn_send_end(scene->sender);
        CHECK(r == 0 || r == WSOCK_ENOENT || r == WSOCK_ECLOSED);
    } while (r != WSOCK_ECLOSED);
    return NULL;
}

static void any_end_in_the_middle_ends_well(void **state)
{
    (void)state;
    for (int round = 0; round < 12; round++) {
        pthread_t threads[3];
        struct scene scene;

        scene_begin(&scene, round % 2 == 0 ? "shared" : "dedicated");
        scene_connect(&scene);
        assert_int_equal(wsock_room_join(scene.room, scene.sender), 0);
        for (int i = 0; i < 3; i++)
            assert_int_equal(
                pthread_create(&threads[i], NULL, append_until_closed, &scene), 0);
        await(&scene.side.messages, 20);
        wsock_room_broadcast(scene.room, WSOCK_TEXT, "hello", 5);
        if (round / 2 % 3 == 0)
            assert_int_equal(wsock_conn_reset(scene.sender), 0);
        else if (round / 2 % 3 == 1)
            assert_int_equal(wsock_conn_close(scene.sender, 1000, ""), 0);
        else
            assert_int_equal(wsock_conn_close(scene.side.conn, 1000, ""), 0);
        for (int i = 0; i < 3; i++)
            pthread_join(threads[i], NULL);
        await(&scene.world.side.closed, 1);
        await(&scene.side.closed, 1);
        wsock_conn_ref(scene.sender);
        scene_end(&scene); /* and with it, mail that was under way */
        assert_int_equal(wsock_conn_buffered(scene.sender), 0);
        wsock_conn_unref(scene.sender);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(message_of_100_mib_waits_for_its_reader),
        TEST(compressed_message_waits_for_its_reader),
        TEST(order_of_each_thread_holds_beside_a_stream),
        TEST(any_end_in_the_middle_ends_well),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
