/* SPDX-License-Identifier: MIT */
/*
 * Three servers with threads of their own share a room with history over a broker that
 * fails at random, while members are cut off and come back to any of them. Each member
 * must see an unbroken chain of offsets, and all the same messages at the same offsets.
 * Who is there, they may be told wrongly meanwhile; but once the broker is well again
 * each must come to know all of them, and nobody else.
 */
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <wsock/wsock.h>

#include "cluster/memory.h"
#include "conn/member.h"

enum {
    NODES = 3,
    CLIENTS = 12,
    MESSAGES = 3000,
    SAID = 4096,
    TURNS = 1024,
    PATIENCE_S = 60
};

static const char *const kept[] = {"history_messages", "100000", NULL};

static wsock_runtime *runtime[NODES];
static wsock_server *server[NODES];
static wsock_room *room[NODES];
static char url[NODES][64];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

/* Under the lock: what is known of each offset. */
static int said_at[SAID]; /* the message's number; 0: not known */
static uint64_t epoch, newest;
static int wrong, recovered, not_recovered, stored, not_stored, unknown;

struct peer {
    int index;
    wsock_client *client;
    uint64_t
        position; /* the last offset that it knows, under the lock, as what follows */
    bool knows;   /* the position */
    bool down;
    unsigned turn;                 /* how often it was started */
    unsigned count;                /* of people, as it was told, */
    bool knows_of[CLIENTS][TURNS]; /* and who: by index and turn */
};

static struct peer peers[CLIENTS];

static void complain(const struct peer *peer, const char *what, uint64_t a, uint64_t b)
{
    if (wrong++ < 10)
        fprintf(stderr, "client %d: %s %llu %llu\n", peer != NULL ? peer->index : -1,
                what, (unsigned long long)a, (unsigned long long)b);
}

/* With the lock held. */
static void learn(const struct peer *peer, uint64_t offset, int number)
{
    if (offset == 0 || offset >= SAID)
        complain(peer, "an offset out of range", offset, (uint64_t)number);
    else if (said_at[offset] != 0 && said_at[offset] != number)
        complain(peer, "another message at an offset", offset, (uint64_t)number);
    else
        said_at[offset] = number;
    if (offset > newest)
        newest = offset;
}

static uint64_t field(const char *text, const char *name, int base)
{
    const char *at = strstr(text, name);

    return at != NULL ? strtoull(at + strlen(name), NULL, base) : 0;
}

/* With the lock held: the people of one field. */
static void learn_people(struct peer *peer, const char *frame, const char *name,
                         bool here)
{
    const char *at = strstr(frame, name);

    if (at == NULL)
        return;
    for (at += strlen(name); *at == '"'; at += strspn(at, ",")) {
        char *dot;
        const unsigned long index = strtoul(at + 1, &dot, 10);
        const unsigned long turn = strtoul(dot + 1, NULL, 10);

        if (index >= CLIENTS || turn >= TURNS)
            complain(peer, "somebody unknown", index, turn);
        else
            peer->knows_of[index][turn] = here;
        at += strcspn(at + 1, "\"") + 2;
    }
}

/* What is told of who is there. */
static void take_people(struct peer *peer, const char *frame)
{
    pthread_mutex_lock(&lock);
    if (strstr(frame, "\"type\":\"joined\"") != NULL)
        memset(peer->knows_of, 0, sizeof peer->knows_of);
    peer->count = (unsigned)field(frame, "\"count\":", 10);
    learn_people(peer, frame, "\"members\":[", true);
    learn_people(peer, frame, "\"joined\":[", true);
    learn_people(peer, frame, "\"left\":[", false);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    struct peer *peer = user;
    char text[4096];
    uint64_t offset, prev;

    (void)conn, (void)type;
    snprintf(text, sizeof text, "%.*s", (int)len, (const char *)data);
    if (strncmp(text, "{\"type\":\"msg\"", 13) != 0) {
        take_people(peer, text);
        return;
    }
    offset = field(text, "\"offset\":", 10);
    prev = field(text, "\"prev\":", 10);
    pthread_mutex_lock(&lock);
    learn(peer, offset, (int)field(text, "\"data\":\"", 10));
    if (epoch == 0)
        epoch = field(text, "\"epoch\":\"", 16);
    if (field(text, "\"epoch\":\"", 16) != epoch)
        complain(peer, "another epoch", offset, prev);
    if (peer->knows && prev != peer->position)
        complain(peer, "a broken chain", prev, peer->position);
    peer->position = offset;
    peer->knows = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* With the lock held. A server may open a connection whose client gave it up, and has
 * come back by now. Identities are the peer's index and its turn. */
static bool is_the_last(const wsock_conn *conn, const struct peer *peer)
{
    return strtoul(strchr(wsock_conn_identity(conn), '.') + 1, NULL, 10) == peer->turn;
}

static void on_joined(wsock_conn *conn, const wsock_joined *joined, void *user)
{
    struct peer *peer = user;

    pthread_mutex_lock(&lock);
    if (!is_the_last(conn, peer)) {
        /* nobody hears what it is told */
    } else if (joined->recovered == 1) {
        recovered++;
    } else if (joined->recovered == 0) {
        not_recovered++;
        peer->knows = joined->epoch != 0;
        peer->position = joined->offset;
    }
    pthread_mutex_unlock(&lock);
}

static void on_request(wsock_request *request, void *user)
{
    (void)user;
    wsock_request_set_identity(request, wsock_request_param(request, "index"));
    wsock_request_accept(request, NULL);
}

static void on_open(wsock_conn *conn, void *user)
{
    struct peer *peer = &peers[atoi(wsock_conn_identity(conn))];
    wsock_position since = {.size = sizeof since};
    const wsock_join how = {
        .size = sizeof how, .since = &since, .on_joined = on_joined, .joined_user = peer};

    pthread_mutex_lock(&lock);
    if (peer->knows) {
        since.epoch = epoch;
        since.offset = peer->position;
    }
    pthread_mutex_unlock(&lock);
    wsi_conn_set_form(conn, WSI_FORM_V1);
    if (wsock_room_join_with(room[(intptr_t)user], conn, &how, NULL) < 0)
        wsock_conn_close(conn, 1011, "cannot join");
}

/* Also one that was never open. */
static void on_state(wsock_client *client, const wsock_state_info *info, void *user)
{
    struct peer *peer = user;

    (void)client;
    if (info->state != WSOCK_STATE_CLOSED)
        return;
    pthread_mutex_lock(&lock);
    peer->down = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void on_done(const wsock_published *published, void *user)
{
    pthread_mutex_lock(&lock);
    if (published->outcome == WSOCK_STORED) {
        stored++;
        learn(NULL, published->offset, (int)(intptr_t)user);
    } else if (published->outcome == WSOCK_UNKNOWN) {
        unknown++;
    } else {
        not_stored++;
    }
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void make_node(int i)
{
    wsock_endpoint *endpoint;

    assert_int_equal(wsock_runtime_new(&runtime[i]), 0);
    assert_int_equal(wsock_runtime_set(runtime[i], "workers", "2"), 0);
    assert_int_equal(wsock_server_new(runtime[i], &server[i]), 0);
    assert_int_equal(wsock_server_set(server[i], "cluster", "memory:storm"), 0);
    assert_int_equal(wsock_server_set(server[i], "cluster_beat", "100ms"), 0);
    assert_int_equal(wsock_server_set(server[i], "slow_queue_messages", "100000"), 0);
    assert_int_equal(wsock_server_endpoint(server[i], &endpoint, "/{index}"), 0);
    assert_int_equal(wsock_endpoint_on_request(endpoint, on_request, NULL, NULL), 0);
    assert_int_equal(wsock_endpoint_on_open(endpoint, on_open, (void *)(intptr_t)i, NULL),
                     0);
    wsock_endpoint_unref(endpoint);
    assert_int_equal(wsock_server_listen(server[i], "ws://127.0.0.1:0"), 0);
    assert_true(wsock_server_url(server[i], url[i], sizeof url[i], 0) > 0);
    assert_int_equal(wsock_server_make_room(server[i], &room[i], "r", kept), 0);
}

static void start(struct peer *peer, int node)
{
    char target[96];

    pthread_mutex_lock(&lock);
    peer->turn++;
    pthread_mutex_unlock(&lock);
    snprintf(target, sizeof target, "%s/%d.%u", url[node], peer->index, peer->turn);
    wsock_client_unref(peer->client);
    assert_int_equal(wsock_runtime_client(runtime[node], &peer->client, target), 0);
    assert_int_equal(wsock_client_on_message(peer->client, on_message, peer, NULL), 0);
    assert_int_equal(wsock_client_on_state(peer->client, on_state, peer, NULL), 0);
    assert_int_equal(wsock_client_start(peer->client), 0);
}

static void restart_those_down(unsigned *chance)
{
    for (int i = 0; i < CLIENTS; i++) {
        bool down;

        pthread_mutex_lock(&lock);
        down = peers[i].down;
        peers[i].down = false;
        pthread_mutex_unlock(&lock);
        if (down)
            start(&peers[i], (int)((unsigned)rand_r(chance) % NODES));
    }
}

/* Until something has happened, but not longer than so many milliseconds. */
static void await(long ms)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&lock);
    pthread_cond_timedwait(&changed, &lock, &until);
    pthread_mutex_unlock(&lock);
}

static void fault(enum wsi_bus_fault which, uint64_t value)
{
    assert_int_equal(wsi_bus_memory_fault("storm", which, value), 0);
}

static void cause_trouble(unsigned *chance)
{
    static const struct {
        enum wsi_bus_fault fault;
        uint64_t value;
    } troubles[] = {
        {WSI_FAULT_LOSE_MESSAGES, 30}, {WSI_FAULT_LOSE_MESSAGES, 0},
        {WSI_FAULT_LOSE_LINKS, 40},    {WSI_FAULT_LOSE_LINKS, 0},
        {WSI_FAULT_TWICE, 5},          {WSI_FAULT_LOSE_ANSWERS, 10},
        {WSI_FAULT_LOSE_ANSWERS, 0},   {WSI_FAULT_AWAY, 1},
        {WSI_FAULT_AWAY, 0},           {WSI_FAULT_AWAY, 0},
        {WSI_FAULT_SLOW, 5},           {WSI_FAULT_SLOW, 0},
    };
    const size_t i = (unsigned)rand_r(chance) % (sizeof troubles / sizeof troubles[0]);

    fault(troubles[i].fault, troubles[i].value);
}

static int publish(int number, unsigned *chance)
{
    char text[16];
    const wsock_publish what = {.size = sizeof what,
                                .data = text,
                                .len = (size_t)snprintf(text, sizeof text, "%d", number),
                                .on_done = on_done,
                                .done_user = (void *)(intptr_t)number,
                                .type = WSOCK_TEXT};

    return wsock_room_publish(room[(unsigned)rand_r(chance) % NODES], &what, NULL);
}

static void heal(void)
{
    for (int i = 0; i <= WSI_FAULT_TWICE; i++)
        fault((enum wsi_bus_fault)i, 0);
}

/* All members are at the newest offset. */
static bool all_are_there(void)
{
    bool there = true;

    pthread_mutex_lock(&lock);
    for (int i = 0; i < CLIENTS; i++)
        there = there && !peers[i].down && peers[i].position == newest;
    pthread_mutex_unlock(&lock);
    return there;
}

/* With the lock held: it knows of all, as they are now, and of nobody else. */
static bool knows_everybody(const struct peer *peer)
{
    for (int i = 0; i < CLIENTS; i++)
        for (unsigned turn = 0; turn < TURNS; turn++)
            if (peer->knows_of[i][turn] != (turn == peers[i].turn))
                return false;
    return peer->count == CLIENTS;
}

static bool all_know_everybody(void)
{
    bool know = true;

    pthread_mutex_lock(&lock);
    for (int i = 0; i < CLIENTS && know; i++)
        know = knows_everybody(&peers[i]);
    pthread_mutex_unlock(&lock);
    return know;
}

static int storm(unsigned *chance)
{
    int said = 0;

    while (said < MESSAGES) {
        const unsigned what = (unsigned)rand_r(chance) % 64;

        if (what == 0)
            cause_trouble(chance);
        else if (what == 1)
            wsock_client_stop(peers[(unsigned)rand_r(chance) % CLIENTS].client, 1000,
                              NULL);
        else if (publish(said + 1, chance) >= 0)
            said++;
        else
            fault(WSI_FAULT_AWAY, 0);
        if (what < 4)
            await(2);
        restart_those_down(chance);
    }
    return said;
}

/* A message has one place at most. */
static void check_places(void)
{
    static int place_of[SAID];

    memset(place_of, 0, sizeof place_of);
    for (int offset = 1; offset < SAID; offset++) {
        const int number = said_at[offset];

        if (number > 0 && number < SAID && place_of[number]++ > 0)
            complain(NULL, "two places of a message", (uint64_t)number, (uint64_t)offset);
    }
}

static unsigned seed = 12345;

static void everybody_sees_one_unbroken_chain(void **state)
{
    unsigned chance = seed;
    time_t healed;
    int said;

    (void)state;
    for (int i = 0; i < NODES; i++)
        make_node(i);
    for (int i = 0; i < CLIENTS; i++) {
        peers[i].index = i;
        start(&peers[i], i % NODES);
    }
    said = storm(&chance);
    heal();
    healed = time(NULL);
    for (int rest = 0; !all_are_there() || stored + unknown + not_stored < said ||
                       !all_know_everybody();
         rest++) {
        if (rest % 100 == 0 && publish(++said, &chance) < 0)
            said--;
        restart_those_down(&chance);
        await(10);
        assert_true(time(NULL) < healed + PATIENCE_S);
    }
    fprintf(stderr, "%d said, %d stored, %d unknown, %d not; %d recovered, %d not\n",
            said, stored, unknown, not_stored, recovered, not_recovered);
    check_places();
    assert_int_equal(wrong, 0);
    assert_true(recovered > 10);
    for (int i = 0; i < NODES; i++) {
        wsock_room_unref(room[i]);
        wsock_server_free(server[i]);
    }
    for (int i = 0; i < CLIENTS; i++)
        wsock_client_unref(peers[i].client);
    for (int i = 0; i < NODES; i++)
        wsock_runtime_free(runtime[i]);
}

/* With a number: what happens is another. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(everybody_sees_one_unbroken_chain),
    };

    if (argc > 1)
        seed = (unsigned)atoi(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
