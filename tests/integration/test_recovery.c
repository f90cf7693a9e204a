/* SPDX-License-Identifier: MIT */
/*
 * test_recovery [CUTS [SEED]]: members of a room with history, behind a network that cuts
 * them again and again while several threads publish. Each comes back with its position,
 * and counts from there: what it hears must be, offset by offset, what was published
 * there, and it must be recovered exactly when the room still kept what it missed. Every
 * other member gets frames of rooms.v1: these tell where they are, each behind the one
 * before it, also where the member itself is left out of a message.
 */
#include "chaos.h"
#include "harness.h"
#include "told.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "conn/member.h"

#define SKIPPED UINT64_MAX

enum {
    MEMBERS = 5,
    PUBLISHERS = 3,
    KEPT = 500, /* messages */
    AHEAD = 90, /* of the member that has heard most, while others are away */
    OFFSETS_MAX = 1000 * 1000,
    MESSAGE_MAX = 500,
    MESSAGE_MIN = 16,
    LEAVES_OUT = 5, /* one message of so many is not for one of those of rooms.v1 */
};

static int cuts = 500;
static uint64_t seed;

struct member {
    wsock_client *client;
    uint64_t epoch, last; /* its position; on its worker, as what follows */
    bool joined;
    int at;          /* `last`, for await() */
    uint64_t *heard; /* by offset; 0: nothing */
    bool speaks_v1;
    wsock_conn *there; /* a reference to it at the server, under the story's lock */
    int recovered, lost, closed;
};

static struct {
    wsock_room *room;
    pthread_mutex_t lock;
    int front;         /* the greatest `last` of a member */
    uint64_t *said;    /* by offset */
    uint8_t *left_out; /* by offset: 1 + the member; 0: nobody */
    int slow;          /* closed with 1013 */
    atomic_bool quit;
    struct member member[MEMBERS];
} story = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- the server: a member says where it is ---- */

static void stand_at(struct member *member, wsock_conn *conn)
{
    wsock_conn *before;

    pthread_mutex_lock(&story.lock);
    before = member->there;
    member->there = conn != NULL ? wsock_conn_ref(conn) : NULL;
    pthread_mutex_unlock(&story.lock);
    wsock_conn_unref(before);
}

static void on_position(wsock_conn *conn, int type, const void *data, size_t len,
                        void *user)
{
    wsock_position since = {.size = sizeof since};
    wsock_joined joined = {.size = sizeof joined};
    uint64_t kept;
    uint64_t position[3];
    char text[96];
    int r;

    (void)type;
    (void)user;
    CHECK(len == sizeof position);
    memcpy(position, data, sizeof position);
    since.epoch = position[0];
    since.offset = position[1];
    if (story.member[position[2]].speaks_v1) {
        wsi_conn_set_form(conn, WSI_FORM_V1);
        stand_at(&story.member[position[2]], conn);
    }
    r = wsock_room_join_since(story.room, conn, &since, &joined);
    CHECK(r == 0 || r == WSOCK_ECLOSED);
    if (r < 0)
        return;
    kept = joined.offset < KEPT ? joined.offset : KEPT;
    CHECK(joined.recovered == (joined.offset - since.offset <= kept));
    if (since.epoch != 0)
        CHECK(since.epoch == joined.epoch &&
              joined.count == (joined.recovered ? joined.offset - since.offset : 0));
    else
        CHECK(joined.count == kept);
    snprintf(text, sizeof text, "%d %" PRIu64 " %" PRIu64 " %" PRIu64,
             (int)joined.recovered, joined.epoch, joined.offset, joined.count);
    wsock_conn_send(conn, WSOCK_TEXT, text, strlen(text));
}

/* ---- members ---- */

static void on_open(wsock_conn *conn, void *user)
{
    struct member *member = user;
    uint64_t position[3] = {member->epoch, member->last,
                            (uint64_t)(member - story.member)};

    member->joined = false;
    wsock_conn_send(conn, WSOCK_BINARY, position, sizeof position);
}

static void move_to(struct member *member, uint64_t last)
{
    pthread_mutex_lock(&story.lock);
    if ((int)last > told(&story.front))
        tell_by(&story.front, (int)last - told(&story.front));
    pthread_mutex_unlock(&story.lock);
    tell_by(&member->at, (int)(last - member->last));
    member->last = last;
}

static void on_joined(struct member *member, const void *data, size_t len)
{
    char text[96] = "";
    uint64_t epoch, offset, count;
    int recovered;

    CHECK(len < sizeof text);
    memcpy(text, data, len);
    CHECK(sscanf(text, "%d %" SCNu64 " %" SCNu64 " %" SCNu64, &recovered, &epoch, &offset,
                 &count) == 4);
    CHECK(!member->joined);
    CHECK(member->epoch == 0 || member->epoch == epoch);
    if (member->epoch == 0 || !recovered)
        move_to(member, offset - count);
    CHECK(member->last + count == offset);
    if (recovered)
        member->recovered++;
    else
        member->lost++;
    member->epoch = epoch;
    member->joined = true;
}

static void hear(struct member *member, uint64_t id)
{
    CHECK(member->last + 1 < OFFSETS_MAX && id != 0);
    CHECK(member->heard[member->last + 1] == 0);
    member->heard[member->last + 1] = id;
    move_to(member, member->last + 1);
}

/* A frame says itself where it is. */
static void on_told(struct member *member, const void *data, size_t len)
{
    struct told told;
    uint64_t id = SKIPPED;

    if (told_of_members(data, len))
        return;
    CHECK(told_read(&told, data, len));
    CHECK(member->joined && member->speaks_v1);
    CHECK(told.epoch == member->epoch && told.prev == member->last &&
          told.offset == member->last + 1);
    if (!told.skip) {
        CHECK(told.len >= MESSAGE_MIN);
        memcpy(&id, told.data, sizeof id);
    }
    hear(member, id);
}

static void on_heard(wsock_conn *conn, int type, const void *data, size_t len, void *user)
{
    struct member *member = user;
    uint64_t id;

    (void)conn;
    if (type == WSOCK_TEXT) {
        if (len > 0 && *(const char *)data == '{')
            on_told(member, data, len);
        else
            on_joined(member, data, len);
        return;
    }
    CHECK(member->joined && !member->speaks_v1 && len >= MESSAGE_MIN);
    memcpy(&id, data, sizeof id);
    hear(member, id);
}

static void on_state(wsock_client *client, const wsock_state_info *info, void *user)
{
    struct member *member = user;

    (void)client;
    if (info->why != NULL && info->why->code == 1013)
        tell(&story.slow);
    if (info->state == WSOCK_STATE_CLOSED)
        tell(&member->closed);
}

static void start_member(struct member *member, wsock_runtime *runtime, const char *base)
{
    static const char *const options[][2] = {
        {"reconnect_delay", "1ms"},     {"reconnect_max_delay", "20ms"},
        {"reconnect_stable_time", "0"}, {"handshake_timeout", "2s"},
        {"compression", "dedicated"},
    };
    char url[160];

    snprintf(url, sizeof url, "%s/test", base);
    member->heard = calloc(OFFSETS_MAX, sizeof *member->heard);
    assert_non_null(member->heard);
    assert_int_equal(wsock_runtime_client(runtime, &member->client, url), 0);
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        assert_int_equal(wsock_client_set(member->client, options[i][0], options[i][1]),
                         0);
    wsock_client_on_open(member->client, on_open, member, NULL);
    wsock_client_on_message(member->client, on_heard, member, NULL);
    wsock_client_on_state(member->client, on_state, member, NULL);
    assert_int_equal(wsock_client_start(member->client), 0);
}

/* ---- publishers ---- */

/* @return 1 + the member, which may have gone; 0 for none. */
static uint8_t leave_out(uint64_t number, wsock_publish *what)
{
    struct member *member = &story.member[number % (MEMBERS / 2) * 2 + 1];

    pthread_mutex_lock(&story.lock);
    if (member->there != NULL)
        what->except = wsock_conn_ref(member->there);
    pthread_mutex_unlock(&story.lock);
    return what->except != NULL ? (uint8_t)(1 + (member - story.member)) : 0;
}

static void *publish(void *user)
{
    const uint64_t name = (uint64_t)(uintptr_t)user + 1;
    char message[MESSAGE_MAX];
    uint64_t number = 0;

    while (!atomic_load(&story.quit)) {
        const uint64_t id = name << 40 | ++number;
        wsock_publish what = {.size = sizeof what, .data = message, .type = WSOCK_BINARY};
        wsock_position position = {.size = sizeof position};
        uint8_t left_out;
        int r;

        what.len = MESSAGE_MIN + number * 7919 % (MESSAGE_MAX - MESSAGE_MIN);
        memset(message, (int)number, sizeof message);
        memcpy(message, &id, sizeof id);
        left_out = number % LEAVES_OUT == 0 ? leave_out(number / LEAVES_OUT, &what) : 0;
        r = wsock_room_publish(story.room, &what, &position);
        wsock_conn_unref(what.except);
        CHECK(r >= 0 && position.offset > 0 && position.offset < OFFSETS_MAX);
        if (r < 0 || position.offset >= OFFSETS_MAX)
            break;
        story.left_out[position.offset] = left_out;
        __atomic_store_n(&story.said[position.offset], id, __ATOMIC_RELEASE);
        if (position.offset > AHEAD)
            await(&story.front, (int)position.offset - AHEAD);
    }
    return NULL;
}

/* Returns how many offsets the member heard. Who was left out heard that, or heard the
 * message after all when it came back. */
static int check_member(const struct member *member, uint64_t last, int *skipped)
{
    int count = 0;

    for (uint64_t offset = 1; offset <= last; offset++) {
        if (member->heard[offset] == 0)
            continue;
        count++;
        if (member->heard[offset] != SKIPPED) {
            assert_true(member->heard[offset] == story.said[offset]);
            continue;
        }
        assert_int_equal(story.left_out[offset], 1 + (member - story.member));
        ++*skipped;
    }
    return count;
}

static void every_member_hears_each_offset_once_in_order(void **state)
{
    static const char *const options[] = {"history_messages", "500", "slow_members",
                                          "close", NULL};
    struct world world;
    struct chaos *chaos;
    pthread_t thread[PUBLISHERS];
    wsock_position end = {.size = sizeof end};
    int recovered = 0, lost = 0, skipped = 0;
    char url[128];

    (void)state;
    story.said = calloc(OFFSETS_MAX, sizeof *story.said);
    story.left_out = calloc(OFFSETS_MAX, sizeof *story.left_out);
    assert_non_null(story.said);
    assert_non_null(story.left_out);
    world_begin(&world, 2);
    wsock_endpoint_on_message(world.endpoint, on_position, NULL, NULL);
    wsock_endpoint_set(world.endpoint, "compression", "dedicated");
    wsock_server_set(world.server, "compression", "shared");
    assert_int_equal(wsock_server_make_room(world.server, &story.room, "r", options), 0);
    world_listen(&world, NULL);
    chaos = chaos_begin(world.url, seed, url, sizeof url);
    for (int i = 0; i < MEMBERS; i++)
        story.member[i].speaks_v1 = i % 2 == 1;
    for (int i = 0; i < MEMBERS; i++)
        start_member(&story.member[i], world.runtime, url);
    for (uintptr_t i = 0; i < PUBLISHERS; i++)
        pthread_create(&thread[i], NULL, publish, (void *)i);
    await(chaos_cuts(chaos), cuts);
    atomic_store(&story.quit, true);
    chaos_calm(chaos);
    for (int i = 0; i < PUBLISHERS; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(wsock_room_position(story.room, &end), 0);
    for (int i = 0; i < MEMBERS; i++) {
        struct member *member = &story.member[i];

        await(&member->at, (int)end.offset);
        assert_int_equal(wsock_client_stop(member->client, 1000, NULL), 0);
        await(&member->closed, 1);
        wsock_client_unref(member->client);
        stand_at(member, NULL);
        assert_true(check_member(member, end.offset, &skipped) > 0);
        recovered += member->recovered;
        lost += member->lost;
        free(member->heard);
    }
    printf("seed %" PRIu64 ": %d cuts, %" PRIu64
           " messages, %d recoveries, %d of them in "
           "vain, %d too slow, %d told that they were left out\n",
           seed, told(chaos_cuts(chaos)), end.offset, recovered + lost, lost,
           told(&story.slow), skipped);
    assert_true(skipped > 0);
    assert_true(recovered > 0); /* how many were not depends on the machine */
    free(story.left_out);
    free(story.said);
    wsock_room_unref(story.room);
    world_end(&world);
    chaos_end(chaos);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(every_member_hears_each_offset_once_in_order),
    };

    if (argc > 1)
        cuts = atoi(argv[1]);
    seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)time(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
