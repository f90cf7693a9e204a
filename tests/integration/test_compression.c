/* SPDX-License-Identifier: MIT */
/*
 * permessage-deflate between clients and a server of the library, with threads: rooms
 * whose members agreed to different things, and what a connection costs. Functions of
 * this program stand before those of zlib and libdeflate and count the messages that are
 * compressed.
 */
#include "harness.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zlib.h>
#ifdef WSI_HAVE_LIBDEFLATE
#include <libdeflate.h>
#endif

#define PMD "permessage-deflate"

/* ---- compression, counted ---- */

static atomic_int compressed;

/* A message ends with a flush that has room enough. */
__attribute__((visibility("default"))) int deflate(z_streamp z, int flush)
{
    static _Atomic(int (*)(z_streamp, int)) real;
    int (*next)(z_streamp, int) = atomic_load(&real);
    int r;

    if (next == NULL) {
        *(void **)&next = dlsym(RTLD_NEXT, "deflate");
        atomic_store(&real, next);
    }
    r = next(z, flush);
    if (flush == Z_SYNC_FLUSH && z->avail_out != 0)
        atomic_fetch_add(&compressed, 1);
    return r;
}

#ifdef WSI_HAVE_LIBDEFLATE
__attribute__((visibility("default"))) size_t
libdeflate_deflate_compress(struct libdeflate_compressor *compressor, const void *in,
                            size_t in_len, void *out, size_t room)
{
    typedef size_t compress_fn(struct libdeflate_compressor *, const void *, size_t,
                               void *, size_t);
    static _Atomic(compress_fn *) real;
    compress_fn *next = atomic_load(&real);

    if (next == NULL) {
        *(void **)&next = dlsym(RTLD_NEXT, "libdeflate_deflate_compress");
        atomic_store(&real, next);
    }
    atomic_fetch_add(&compressed, 1);
    return next(compressor, in, in_len, out, room);
}
#endif

/* ---- members of every kind ---- */

static const struct kind {
    const char *mode, *peer_window; /* options of the client */
    unsigned bits;                  /* of the server's messages to it; 0: as they are */
    const char *extensions;
} kinds[] = {
    {"off", "auto", 0, ""},
    {"shared", "auto", 15,
     PMD "; server_no_context_takeover; client_no_context_takeover; "
         "client_max_window_bits=12"},
    {"shared", "9", 9,
     PMD "; server_no_context_takeover; client_no_context_takeover; "
         "server_max_window_bits=9; client_max_window_bits=12"},
    {"dedicated", "15", 15, PMD "; client_max_window_bits=12"},
    {"dedicated", "auto", 12,
     PMD "; server_max_window_bits=12; client_max_window_bits=12"},
    {"dedicated", "9", 9, PMD "; server_max_window_bits=9; client_max_window_bits=12"},
};

enum {
    KINDS = sizeof kinds / sizeof kinds[0],
    MEMBERS = 2 * KINDS,
    SPEAKERS = 3, /* threads that speak to the room */
    TELLERS = 2,  /* those that send to members, each to its own half */
    SPEECHES = 700,
    TALES = 100, /* to each member */
    MIN_BYTES = 64,
    LONGEST = 70000,
    AHEAD = 150, /* speakers wait while the members are so far behind */
};

enum { TO_ALL = 'R', TO_ONE = 'O' };

/* Heads each message; text follows that only it determines. */
struct head {
    uint32_t from, number, len, kind;
};

struct member {
    struct crowd *crowd;
    wsock_client *client;
    struct side side;
    wsock_conn *conn; /* the server's */
    uint32_t heard[SPEAKERS * SPEECHES];
    int count;
    uint32_t tales;
};

struct crowd {
    struct world world;
    wsock_room *room;
    struct member members[MEMBERS];
    char text[2 * LONGEST];
    int joined, heard, told;
    atomic_int spoken;
    atomic_int expected; /* compressions */
};

static uint32_t draw(uint32_t *seed)
{
    *seed = *seed * 1103515245u + 12345u;
    return *seed >> 8;
}

/* A message of the crowd: its head, then a cut of the common text. */
static void compose(const struct crowd *crowd, struct head head, char *out)
{
    memcpy(out, &head, sizeof head);
    memcpy(out + sizeof head,
           crowd->text + (head.from * 7919 + head.number * 31) % LONGEST,
           head.len - sizeof head);
}

static void member_message(wsock_conn *conn, int type, const void *data, size_t len,
                           void *user)
{
    struct member *member = user;
    struct crowd *crowd = member->crowd;
    char *expected = malloc(LONGEST);
    struct head head;

    (void)conn;
    CHECK(type == WSOCK_BINARY && len >= sizeof head);
    memcpy(&head, data, sizeof head);
    CHECK(head.len == len && len <= LONGEST);
    compose(crowd, head, expected);
    CHECK(memcmp(expected, data, len) == 0);
    free(expected);
    if (head.kind == TO_ONE) {
        CHECK(head.number == member->tales++); /* in the order of its thread */
        tell(&crowd->told);
    } else {
        CHECK(member->count < SPEAKERS * SPEECHES);
        member->heard[member->count++] = head.from * SPEECHES + head.number;
        tell(&crowd->heard);
    }
}

/* The server knows a member by the path that its client asked for. */
static void server_open(wsock_conn *conn, void *user)
{
    struct crowd *crowd = user;
    const char *id = wsock_request_query(wsock_conn_request(conn), "member");
    struct member *member = &crowd->members[atoi(id)];

    member->conn = wsock_conn_ref(conn);
    CHECK(wsock_room_join(crowd->room, conn) == 0);
    tell(&crowd->joined);
}

static void set(wsock_server *server, const char *name, const char *value)
{
    assert_int_equal(wsock_server_set(server, name, value), 0);
}

static void add_member(struct crowd *crowd, unsigned i)
{
    const struct kind *kind = &kinds[i % KINDS];
    struct member *member = &crowd->members[i];
    char url[320], here[160], there[160];

    member->crowd = crowd;
    snprintf(url, sizeof url, "%s/test?member=%u", crowd->world.url, i);
    assert_int_equal(wsock_runtime_client(crowd->world.runtime, &member->client, url), 0);
    side_client(&member->side, member->client);
    wsock_client_on_message(member->client, member_message, member, NULL);
    assert_int_equal(wsock_client_set(member->client, "compression", kind->mode), 0);
    assert_int_equal(wsock_client_set(member->client, "compression_peer_window_bits",
                                      kind->peer_window),
                     0);
    assert_int_equal(wsock_client_connect(member->client, NULL), 0);
    await(&crowd->joined, (int)i + 1);
    await(&member->side.opened, 1);
    assert_int_equal(wsock_conn_extensions(member->conn, here, sizeof here),
                     strlen(kind->extensions));
    assert_true(wsock_conn_extensions(member->side.conn, there, sizeof there) >= 0);
    assert_string_equal(here, kind->extensions);
    assert_string_equal(there, kind->extensions);
}

static void crowd_begin(struct crowd *crowd)
{
    static const char *const words[] = {"room ", "message ", "compressed ", "once, "};
    uint32_t seed = 5;

    memset(crowd, 0, sizeof *crowd);
    for (size_t at = 0; at < sizeof crowd->text; at++) {
        const char *word = words[draw(&seed) % 4];

        for (; *word != '\0' && at < sizeof crowd->text; word++)
            crowd->text[at++] = *word;
        if (at < sizeof crowd->text)
            crowd->text[at] = (char)('0' + draw(&seed) % 64);
    }
    world_begin(&crowd->world, 3);
    set(crowd->world.server, "compression", "dedicated");
    set(crowd->world.server, "compression_window_bits", "15");
    set(crowd->world.server, "compression_min_bytes", "64");
    set(crowd->world.server, "max_backlog_bytes", "256MiB"); /* nobody misses any */
    assert_int_equal(wsock_server_room(crowd->world.server, &crowd->room, "all"), 0);
    wsock_endpoint_on_open(crowd->world.endpoint, server_open, crowd, NULL);
    world_listen(&crowd->world, NULL);
    for (unsigned i = 0; i < MEMBERS; i++)
        add_member(crowd, i);
    atomic_store(&compressed, 0);
}

static void crowd_end(struct crowd *crowd)
{
    for (int i = 0; i < MEMBERS; i++) {
        wsock_conn_unref(crowd->members[i].conn);
        side_fini(&crowd->members[i].side);
        wsock_client_unref(crowd->members[i].client);
    }
    wsock_room_unref(crowd->room);
    world_end(&crowd->world);
}

/* ---- speaking ---- */

/* Mostly short, some longer than every window. */
static uint32_t some_length(uint32_t *seed)
{
    static const uint32_t most[] = {MIN_BYTES + 20, 300,  600,  600,  5000,
                                    5000,           9000, 9000, 9000, LONGEST};

    return (uint32_t)sizeof(struct head) +
           draw(seed) % (most[draw(seed) % 10] - (uint32_t)sizeof(struct head));
}

/* One, if the smallest window holds the whole message; else one more for the largest. */
static int forms_of(uint32_t len)
{
    return len < MIN_BYTES ? 0 : len <= 1u << 9 ? 1 : 2;
}

struct thread {
    struct crowd *crowd;
    uint32_t number;
    pthread_t id;
};

static void *speak(void *user)
{
    struct thread *self = user;
    struct crowd *crowd = self->crowd;
    char *data = malloc(LONGEST);
    uint32_t seed = self->number + 1;

    for (uint32_t n = 0; n < SPEECHES; n++) {
        const uint32_t len = some_length(&seed);
        const bool is_object = n % 3 == 0;
        int r, spoken;

        compose(crowd, (struct head){self->number, n, len, TO_ALL}, data);
        if (is_object) {
            wsock_message *message = NULL;

            CHECK(wsock_runtime_message(crowd->world.runtime, &message, WSOCK_BINARY,
                                        data, len) == 0);
            r = wsock_room_broadcast_message(crowd->room, NULL, message);
            wsock_message_unref(message);
        } else {
            r = wsock_room_broadcast(crowd->room, WSOCK_BINARY, data, len);
        }
        CHECK(r == MEMBERS);
        atomic_fetch_add(&crowd->expected, forms_of(len));
        spoken = atomic_fetch_add(&crowd->spoken, 1) + 1;
        if (spoken > AHEAD)
            await(&crowd->heard, (spoken - AHEAD) * MEMBERS);
    }
    free(data);
    return NULL;
}

static void *tell_tales(void *user)
{
    struct thread *self = user;
    struct crowd *crowd = self->crowd;
    char *data = malloc(LONGEST);
    uint32_t seed = self->number + 100;

    for (uint32_t n = 0; n < TALES; n++)
        for (uint32_t i = self->number; i < MEMBERS; i += TELLERS) {
            const uint32_t len = some_length(&seed);
            const bool is_plain = draw(&seed) % 5 == 0;

            compose(crowd, (struct head){i, n, len, TO_ONE}, data);
            CHECK(wsock_conn_send(crowd->members[i].conn,
                                  WSOCK_BINARY | (is_plain ? WSOCK_UNCOMPRESSED : 0),
                                  data, len) == 0);
            if (!is_plain && len >= MIN_BYTES && kinds[i % KINDS].bits != 0)
                atomic_fetch_add(&crowd->expected, 1);
        }
    free(data);
    return NULL;
}

/* All members heard all of it, in one order, which is each speaker's own. */
static void compare_what_was_heard(const struct crowd *crowd)
{
    uint32_t next[SPEAKERS] = {0};

    for (int i = 0; i < MEMBERS; i++) {
        assert_int_equal(crowd->members[i].count, SPEAKERS * SPEECHES);
        assert_memory_equal(crowd->members[i].heard, crowd->members[0].heard,
                            sizeof crowd->members[0].heard);
    }
    for (int k = 0; k < SPEAKERS * SPEECHES; k++) {
        const uint32_t heard = crowd->members[0].heard[k];

        assert_int_equal(heard % SPEECHES, next[heard / SPEECHES]++);
    }
}

static void room_of_all_kinds_hears_all_and_packs_twice_at_most(void **state)
{
    struct crowd *crowd = malloc(sizeof *crowd);
    struct thread threads[SPEAKERS + TELLERS];

    (void)state;
    assert_non_null(crowd);
    crowd_begin(crowd);
    for (uint32_t i = 0; i < SPEAKERS + TELLERS; i++) {
        threads[i] = (struct thread){.crowd = crowd,
                                     .number = i < SPEAKERS ? i : i - SPEAKERS};
        assert_int_equal(pthread_create(&threads[i].id, NULL,
                                        i < SPEAKERS ? speak : tell_tales, &threads[i]),
                         0);
    }
    for (int i = 0; i < SPEAKERS + TELLERS; i++)
        pthread_join(threads[i].id, NULL);
    await(&crowd->heard, SPEAKERS * SPEECHES * MEMBERS);
    await(&crowd->told, TALES * MEMBERS);
    assert_int_equal(atomic_load(&compressed), atomic_load(&crowd->expected));
    compare_what_was_heard(crowd);
    crowd_end(crowd);
    free(crowd);
}

/* ---- one message, many threads ---- */

struct sharing {
    struct crowd *crowd;
    wsock_message *message;
};

static void *send_to_all(void *user)
{
    struct sharing *sharing = user;

    for (int i = 0; i < MEMBERS; i++)
        CHECK(wsock_conn_send_message(sharing->crowd->members[i].conn,
                                      sharing->message) == 0);
    return NULL;
}

static void message_is_shared_by_threads_that_send_it_at_once(void **state)
{
    struct crowd *crowd = malloc(sizeof *crowd);
    char *data = malloc(LONGEST);
    pthread_t threads[4];
    int rounds = 0;

    (void)state;
    assert_non_null(crowd);
    crowd_begin(crowd);
    for (; rounds < 50; rounds++) {
        struct sharing sharing = {.crowd = crowd};

        compose(crowd, (struct head){0, (uint32_t)rounds, 40000, TO_ALL}, data);
        assert_int_equal(wsock_runtime_message(crowd->world.runtime, &sharing.message,
                                               WSOCK_BINARY, data, 40000),
                         0);
        for (int i = 0; i < 4; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, send_to_all, &sharing), 0);
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        wsock_message_unref(sharing.message);
        await(&crowd->heard, 4 * MEMBERS * (rounds + 1));
    }
    assert_true(atomic_load(&compressed) >= 3 * rounds);
    assert_true(atomic_load(&compressed) <= 4 * 3 * rounds); /* not for each member */
    crowd_end(crowd);
    free(crowd);
    free(data);
}

/* ---- a room that is full ---- */

static void hold_worker(wsock_conn *conn, void *user)
{
    (void)conn;
    sem_wait(user);
}

static int is_anyone(wsock_conn *conn, void *user)
{
    (void)conn;
    (void)user;
    return 1;
}

static void join_when_open(wsock_conn *conn, void *user)
{
    struct crowd *crowd = user;

    CHECK(wsock_room_join(crowd->room, conn) == 0);
    tell(&crowd->joined);
}

/* Who sends to it tries again and again, and that must not cost a compression each. */
static void full_room_refuses_without_compressing(void **state)
{
    const size_t len = 16 * 1024 * 1024;
    char *zeros = calloc(1, len);
    struct crowd crowd = {0};
    struct side side = {0};
    struct world *world = &crowd.world;
    wsock_message *message = NULL;
    wsock_client *client;
    sem_t go;

    (void)state;
    assert_non_null(zeros);
    sem_init(&go, 0, 0);
    world_begin(world, 1);
    set(world->server, "compression", "shared");
    assert_int_equal(wsock_server_room(world->server, &crowd.room, "all"), 0);
    wsock_endpoint_on_open(world->endpoint, join_when_open, &crowd, NULL);
    world_listen(world, NULL);
    client = world_client(world, &side);
    assert_int_equal(wsock_client_set(client, "compression", "shared"), 0);
    assert_int_equal(wsock_client_set(client, "max_message_bytes", "off"), 0);
    assert_int_equal(wsock_client_connect(client, NULL), 0);
    await(&crowd.joined, 1);
    await(&side.opened, 1);
    assert_int_equal(
        wsock_runtime_message(world->runtime, &message, WSOCK_BINARY, zeros, 100000), 0);
    assert_int_equal(wsock_conn_post(side.conn, hold_worker, &go, NULL), 0);
    assert_int_equal(
        wsock_room_broadcast(crowd.room, WSOCK_BINARY | WSOCK_UNCOMPRESSED, zeros, len),
        1);
    atomic_store(&compressed, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(wsock_room_broadcast(crowd.room, WSOCK_BINARY, zeros, 100000),
                         WSOCK_EAGAIN);
        assert_int_equal(wsock_room_broadcast_if(crowd.room, is_anyone, NULL,
                                                 WSOCK_BINARY, zeros, 100000),
                         WSOCK_EAGAIN);
        assert_int_equal(wsock_room_broadcast_message(crowd.room, NULL, message),
                         WSOCK_EAGAIN);
    }
    assert_int_equal(atomic_load(&compressed), 0);
    sem_post(&go);
    await(&side.messages, 1);
    assert_int_equal(wsock_room_broadcast_message(crowd.room, NULL, message), 1);
    await(&side.messages, 2);
    assert_int_equal(atomic_load(&compressed), 1);
    wsock_message_unref(message);
    wsock_room_unref(crowd.room);
    wsock_client_unref(client);
    side_fini(&side);
    world_end(world);
    sem_destroy(&go);
    free(zeros);
}

/* ---- opening ---- */

/* From connect on a connection may be sent to, though nothing is agreed yet. */
static void send_may_race_with_the_opening(void **state)
{
    static char text[1000];
    wsock_message *message = NULL;
    wsock_client *client;
    struct world world;
    struct side side = {0};

    (void)state;
    world_begin(&world, 2);
    set(world.server, "compression", "dedicated");
    world_listen(&world, NULL);
    client = world_client(&world, &side);
    assert_int_equal(wsock_client_set(client, "compression", "dedicated"), 0);
    assert_int_equal(
        wsock_runtime_message(world.runtime, &message, WSOCK_TEXT, text, sizeof text), 0);
    for (int i = 0; i < 20; i++) {
        wsock_conn *conn = NULL;

        assert_int_equal(wsock_client_connect(client, &conn), 0);
        while (wsock_conn_send(conn, WSOCK_TEXT, text, sizeof text) == WSOCK_ECLOSED &&
               wsock_conn_send_message(conn, message) == WSOCK_ECLOSED)
            sched_yield();
        await(&world.side.messages, i + 1);
        wsock_conn_unref(conn);
    }
    assert_int_equal(world.side.len, sizeof text);
    wsock_message_unref(message);
    wsock_client_unref(client);
    world_end(&world);
    side_fini(&side);
}

/* ---- memory ---- */

enum { FEW = 100, MANY = FEW + 1000 };

static atomic_llong live_bytes;

union size {
    size_t size;
    max_align_t align;
};

static void *measured_realloc(void *old, size_t size)
{
    union size *before = old != NULL ? (union size *)old - 1 : NULL;
    const size_t freed = before != NULL ? before->size : 0;
    union size *block = realloc(before, sizeof *block + size);

    if (block == NULL)
        return NULL;
    atomic_fetch_add(&live_bytes, (long long)size - (long long)freed);
    block->size = size;
    return block + 1;
}

static void *measured_malloc(size_t size)
{
    return measured_realloc(NULL, size);
}

static void measured_free(void *old)
{
    union size *block = old != NULL ? (union size *)old - 1 : NULL;

    if (block == NULL)
        return;
    atomic_fetch_sub(&live_bytes, (long long)block->size);
    free(block);
}

struct measure {
    long long bytes;
    int done;
};

/* On the only worker, so that it does nothing else meanwhile. */
static void measure_here(wsock_conn *conn, void *user)
{
    struct measure *measure = user;

    (void)conn;
    measure->bytes = atomic_load(&live_bytes);
    tell(&measure->done);
}

static long long bytes_now(wsock_conn *conn)
{
    struct measure measure = {0};

    assert_int_equal(wsock_conn_post(conn, measure_here, &measure, NULL), 0);
    await(&measure.done, 1);
    return measure.bytes;
}

/* A frame of 1,000 bytes of text, compressed or not. */
static size_t make_payload(bool is_compressed, uint8_t out[1000])
{
    uint8_t text[1000];
    z_stream z = {0};

    for (int i = 0; i < 1000; i++)
        text[i] = (uint8_t)('a' + i * i % 23);
    if (!is_compressed) {
        memcpy(out, text, sizeof text);
        return sizeof text;
    }
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, -12, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = text;
    z.avail_in = sizeof text;
    z.next_out = out;
    z.avail_out = 1000;
    assert_int_equal(deflate(&z, Z_SYNC_FLUSH), Z_OK);
    deflateEnd(&z);
    return z.total_out - 4;
}

/* Each one that opens sends its message twice, and hears it. */
static void open_idle(const char *url, int *fds, int from, int to, bool is_compressed)
{
    static const char offer[] = "Sec-WebSocket-Extensions: " PMD
                                "; client_max_window_bits\r\n";
    uint8_t payload[1000], echo[1024];
    const size_t payload_len = make_payload(is_compressed, payload);
    const unsigned byte0 = is_compressed ? 0xc2 : 0x82;
    size_t len;

    for (int i = from; i < to; i++) {
        fds[i] = raw_connect(url);
        assert_int_equal(raw_upgrade(fds[i], "/test", offer), 101);
        for (int k = 0; k < 2; k++) {
            raw_frame(fds[i], byte0, payload, payload_len);
            assert_int_equal(raw_receive(fds[i], echo, sizeof echo, &len), byte0);
            assert_true(is_compressed ? len < 900 : len == 1000);
        }
    }
}

/* What a thousand connections hold after some traffic. */
static long long idle_bytes(const char *mode)
{
    int *fds = malloc(MANY * sizeof *fds);
    struct world world;
    long long few, many;

    world_begin(&world, 1);
    set(world.server, "compression", mode);
    world.side.echo = true;
    world_listen(&world, NULL);
    open_idle(world.url, fds, 0, FEW, mode[0] != 'o');
    few = bytes_now(world.side.conn);
    open_idle(world.url, fds, FEW, MANY, mode[0] != 'o');
    many = bytes_now(world.side.conn);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    free(fds);
    await(&world.side.closed, MANY);
    world_end(&world);
    return many - few;
}

static void idle_connections_hold_nothing_for_compression(void **state)
{
    struct rlimit files;
    long long off, shared, dedicated;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    if (files.rlim_cur < 2 * MANY + 200) {
        files.rlim_cur = 2 * MANY + 200;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    }
    assert_int_equal(
        wsock_set_allocator(measured_malloc, measured_realloc, measured_free), 0);
    off = idle_bytes("off");
    shared = idle_bytes("shared");
    dedicated = idle_bytes("dedicated");
    print_message("heap of %d idle connections: off %lld, shared %lld, dedicated %lld\n",
                  MANY - FEW, off, shared, dedicated);
    assert_true(off > 0);
    assert_int_equal(shared, off);
    assert_true(dedicated > off + (MANY - FEW) * 10000); /* or nothing was measured */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(room_of_all_kinds_hears_all_and_packs_twice_at_most),
        TEST(message_is_shared_by_threads_that_send_it_at_once),
        TEST(full_room_refuses_without_compressing),
        TEST(send_may_race_with_the_opening),
        TEST(idle_connections_hold_nothing_for_compression),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
