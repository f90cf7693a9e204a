/* SPDX-License-Identifier: MIT */
/*
 * A Redis Cluster whose slots move while they are used, and one of whose masters goes
 * away. The nodes of the cluster are real ones.
 */
#include "nodes.h"

#include <pthread.h>
#include <stdlib.h>

#include "brokers.h"

enum { ROOMS = 12, AT_A_TIME = 4, NODE_ID = 41 };

static struct redis masters[3];
static char ids[3][NODE_ID];
static char url[128];
static struct node a, b;

/* Read by two threads. */
static char names[ROOMS][16];

static const char *room_name(int i)
{
    return names[i];
}

static int slot_of(const char *room)
{
    return atoi(redis_ask(masters[0].port, NULL, "CLUSTER KEYSLOT test:{r:%s}", room));
}

/* Who has it; the ranges are those of the start, less what was moved. */
static int owner_of(int slot)
{
    for (int i = 0; i < 3; i++) {
        const char *answer = redis_ask(masters[i].port, NULL,
                                       "CLUSTER COUNTKEYSINSLOT %d", slot);

        if (atoi(answer) > 0)
            return i;
    }
    return slot / 5461 < 3 ? slot / 5461 : 2;
}

/* As an operator moves a slot: key by key, while it is used. */
static void move_slot(int slot, int from, int to)
{
    char keys[8192];
    char *at, *key;

    redis_ask(masters[to].port, NULL, "CLUSTER SETSLOT %d IMPORTING %s", slot, ids[from]);
    redis_ask(masters[from].port, NULL, "CLUSTER SETSLOT %d MIGRATING %s", slot, ids[to]);
    for (;;) {
        snprintf(
            keys, sizeof keys, "%s",
            redis_ask(masters[from].port, NULL, "CLUSTER GETKEYSINSLOT %d 100", slot));
        if (keys[0] == '\0')
            break;
        for (key = strtok_r(keys, "\n", &at); key != NULL;
             key = strtok_r(NULL, "\n", &at))
            redis_ask(masters[from].port, NULL, "MIGRATE 127.0.0.1 %u %s 0 5000",
                      masters[to].port, key);
    }
    redis_ask(masters[to].port, NULL, "CLUSTER SETSLOT %d NODE %s", slot, ids[to]);
    redis_ask(masters[from].port, NULL, "CLUSTER SETSLOT %d NODE %s", slot, ids[to]);
    redis_ask(masters[3 - from - to].port, NULL, "CLUSTER SETSLOT %d NODE %s", slot,
              ids[to]);
}

static atomic_bool is_over;
static int kept; /* in each room, beside the first one */

/* Some at a time, so that several are under way when a slot moves. */
static void *keep_in_all(void *user)
{
    (void)user;
    while (!atomic_load(&is_over)) {
        static struct answer answers[AT_A_TIME][ROOMS];
        char text[16];

        for (int n = 0; n < AT_A_TIME; n++)
            for (int i = 0; i < ROOMS; i++) {
                snprintf(text, sizeof text, "%d", kept + n);
                keep_later(&a, room_name(i), text, 0, NULL, NULL, &answers[n][i]);
            }
        for (int n = 0; n < AT_A_TIME; n++)
            for (int i = 0; i < ROOMS; i++)
                if (answer_await(&answers[n][i]) != WSI_BUS_DONE)
                    print_error("%s: %s\n", room_name(i), answers[n][i].why);
        kept += AT_A_TIME;
    }
    return NULL;
}

static void begin(void)
{
    nodes_begin();
    node_join(&a, url);
    node_join(&b, url);
}

static void end(void)
{
    node_close(&a);
    node_close(&b);
    nodes_end();
}

/* Nothing is lost of what is kept, nor out of order; who is subscribed is told when his
 * subscription has moved, and hears what is said from then on. */
static void slots_move_while_they_are_used(void **state)
{
    pthread_t thread;
    int moved = 0;

    (void)state;
    begin();
    for (int i = 0; i < ROOMS; i++) {
        node_subscribe(&b, room_name(i));
        keep(&a, room_name(i), "first", 0);
    }
    pthread_create(&thread, NULL, keep_in_all, NULL);
    for (int i = 0; i < ROOMS; i += 2) {
        const int slot = slot_of(room_name(i)), from = owner_of(slot);

        move_slot(slot, from, (from + 1) % 3);
        moved++;
    }
    atomic_store(&is_over, true);
    pthread_join(thread, NULL);
    for (int i = 0; i < ROOMS; i++) {
        struct answer answer;

        if (i % 2 == 0)
            node_await(&b, SUBSCRIBED, room_name(i), 2);
        load(&b, room_name(i), NULL, NULL, &answer);
        assert_int_equal(answer.count, kept + 1);
        for (size_t n = 0; n < answer.count; n++) {
            assert_int_equal(answer.kept[n].offset, n + 1);
            if (n > 0)
                assert_int_equal(atoi(answer.kept[n].bytes.data), n - 1);
        }
        answer_fini(&answer);
        say(&a, room_name(i), "after");
        node_await(&b, PLAIN, room_name(i), 1);
    }
    assert_int_equal(moved, ROOMS / 2);
    assert_int_equal(node_count(&a, AWAY, NULL), 0);
    end();
}

static void one_master_away_leaves_the_others(void **state)
{
    const char *room = NULL, *elsewhere = NULL;
    char chosen[2][32];
    int slot;

    (void)state;
    begin();
    for (int i = 0; room == NULL || elsewhere == NULL; i++) {
        char name[32];

        snprintf(name, sizeof name, "part.%d", i);
        slot = slot_of(name);
        if (room == NULL && slot > 11000)
            room = strcpy(chosen[0], name);
        else if (elsewhere == NULL && slot < 5000)
            elsewhere = strcpy(chosen[1], name);
    }
    node_subscribe(&b, room);
    node_subscribe(&b, elsewhere);
    redis_kill(&masters[2]);
    node_await(&a, AWAY, NULL, 1);
    node_await(&b, AWAY, NULL, 1);
    say(&a, elsewhere, "still");
    node_await(&b, PLAIN, elsewhere, 1);
    redis_again(&masters[2]);
    node_await(&a, UP, NULL, 2);
    node_await(&b, UP, NULL, 2);
    node_await(&b, SUBSCRIBED, room, 2);
    assert_int_equal(node_count(&b, SUBSCRIBED, elsewhere), 1);
    say(&a, room, "again");
    node_await(&b, PLAIN, room, 1);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(slots_move_while_they_are_used),
        TEST(one_master_away_leaves_the_others),
    };
    int failed;

    for (int i = 0; i < ROOMS; i++)
        snprintf(names[i], sizeof names[i], "moving.%d", i);
    redis_cluster_start(masters);
    for (int i = 0; i < 3; i++)
        snprintf(ids[i], sizeof ids[i], "%s",
                 redis_ask(masters[i].port, NULL, "CLUSTER MYID"));
    snprintf(url, sizeof url, "redis://127.0.0.1:%u", masters[0].port);
    failed = cmocka_run_group_tests_name("redis cluster", tests, NULL, NULL);
    redis_cluster_end(masters);
    return failed;
}
