/* SPDX-License-Identifier: MIT */
/*
 * What every adapter has to do, whatever its broker is:
 *
 *     test_bus memory [URL]         an adapter that needs no broker, at any URL of its
 * own test_bus redis|redis-cluster|nats [ARGUMENT...]     starts the broker by itself
 */
#include "nodes.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "brokers.h"
#include "cluster/node_id.h"

static const char *url;
static struct node a, b;

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

/* ---- plain messages ---- */

static void who_is_subscribed_hears_all_in_order(void **state)
{
    const char *room = room_of_its_own();
    struct answer answer;
    char text[16];

    (void)state;
    begin();
    node_subscribe(&a, room);
    node_subscribe(&b, room);
    for (int i = 0; i < 50; i++) {
        snprintf(text, sizeof text, "%d", i);
        say(&a, room, text);
    }
    answer_init(&answer);
    assert_int_equal(a.type->publish(a.bus, &(struct wsi_bus_channel){WSI_BUS_ROOM, room},
                                     text_bytes("last"), &answer.receipt),
                     0);
    assert_int_equal(answer_await(&answer), WSI_BUS_DONE);
    node_await(&a, PLAIN, room, 51);
    node_await(&b, PLAIN, room, 51);
    for (size_t i = 0; i < 50; i++) {
        snprintf(text, sizeof text, "%d", (int)i);
        assert_string_equal(node_event(&b, PLAIN, room, i)->bytes, text);
        assert_string_equal(node_event(&a, PLAIN, room, i)->bytes, text);
    }
    end();
}

static void who_left_hears_no_more(void **state)
{
    const char *room = room_of_its_own();

    (void)state;
    begin();
    node_subscribe(&a, room);
    node_subscribe(&b, room);
    say(&a, room, "one");
    node_await(&b, PLAIN, room, 1);
    b.type->unsubscribe(b.bus, room);
    node_subscribe(&b, "elsewhere"); /* then the former is done */
    say(&a, room, "two");
    node_await(&a, PLAIN, room, 2);
    node_subscribe(&b, room);
    say(&a, room, "three");
    node_await(&b, PLAIN, room, 2);
    assert_string_equal(node_event(&b, PLAIN, room, 1)->bytes, "three");
    b.type->unsubscribe(b.bus, "elsewhere");
    end();
}

/* What was asked for last holds, also while the broker is still answering the former. */
static void who_left_and_came_again_at_once_hears(void **state)
{
    const char *room = room_of_its_own();

    (void)state;
    begin();
    node_subscribe(&b, room);
    for (size_t i = 1; i <= 20; i++) {
        b.type->unsubscribe(b.bus, room);
        assert_int_equal(b.type->subscribe(b.bus, room), 0);
        node_await(&b, SUBSCRIBED, room, i + 1);
        say(&a, room, "one");
        node_await(&b, PLAIN, room, i);
    }
    end();
}

static void one_node_and_all_nodes_are_spoken_to(void **state)
{
    char id[WSI_NODE_HEX_SIZE];
    struct wsi_bus_channel one = {WSI_BUS_NODE, id}, all = {WSI_BUS_ALL, NULL};

    (void)state;
    begin();
    wsi_node_hex(id, b.config.node);
    assert_int_equal(a.type->publish(a.bus, &one, text_bytes("you"), NULL), 0);
    assert_int_equal(a.type->publish(a.bus, &all, text_bytes("everybody"), NULL), 0);
    node_await(&b, PLAIN, NULL, 2);
    node_await(&a, PLAIN, NULL, 1);
    assert_int_equal(node_event(&b, PLAIN, id, 0)->kind, WSI_BUS_NODE);
    assert_string_equal(node_event(&b, PLAIN, id, 0)->bytes, "you");
    assert_int_equal(node_event(&a, PLAIN, "", 0)->kind, WSI_BUS_ALL);
    assert_string_equal(node_event(&a, PLAIN, "", 0)->bytes, "everybody");
    end();
}

static void who_hears_all_rooms_hears_each(void **state)
{
    const char *room = room_of_its_own();

    (void)state;
    begin();
    assert_int_equal(b.type->subscribe_all(b.bus, true), 0);
    node_await(&b, SUBSCRIBED, "*", 1);
    say(&a, room, "plain");
    keep(&a, room, "kept", 0);
    say(&a, "other.{%}", "odd");
    node_await(&b, PLAIN, room, 1);
    node_await(&b, KEPT, room, 1);
    node_await(&b, PLAIN, "other.{%}", 1);
    assert_int_equal(b.type->subscribe_all(b.bus, false), 0);
    end();
}

static void names_stay_apart_whatever_is_in_them(void **state)
{
    static char longest[256];
    const char *const names[] = {"a{b}c",
                                 "}",
                                 "{",
                                 "{}",
                                 "%7D",
                                 "%",
                                 "a b",
                                 "a\\b",
                                 "a[b]c",
                                 "a?c",
                                 "\u00e9t\u00e9.\u4e16",
                                 longest};
    const size_t count = sizeof names / sizeof names[0];

    (void)state;
    memset(longest, '}', 255);
    begin();
    for (size_t i = 0; i < count; i++)
        node_subscribe(&b, names[i]);
    for (size_t i = 0; i < count; i++) {
        say(&a, names[i], names[i]);
        assert_int_equal(keep(&a, names[i], names[i], 0).offset > 0, 1);
    }
    for (size_t i = 0; i < count; i++) {
        node_await(&b, PLAIN, names[i], 1);
        node_await(&b, KEPT, names[i], 1);
        assert_int_equal(node_count(&b, PLAIN, names[i]), 1);
        assert_string_equal(node_event(&b, PLAIN, names[i], 0)->bytes, names[i]);
        assert_string_equal(node_event(&b, KEPT, names[i], 0)->bytes, names[i]);
    }
    end();
}

static void bytes_pass_unchanged(void **state)
{
    const char *room = room_of_its_own();
    const size_t len = 200000;
    char *data = malloc(len);

    (void)state;
    for (size_t i = 0; i < len; i++)
        data[i] = (char)(i * 7 + i / 256);
    begin();
    node_subscribe(&b, room);
    assert_int_equal(a.type->publish(a.bus, &(struct wsi_bus_channel){WSI_BUS_ROOM, room},
                                     (struct wsi_bytes){data, len}, NULL),
                     0);
    assert_int_equal(a.type->publish(a.bus, &(struct wsi_bus_channel){WSI_BUS_ROOM, room},
                                     (struct wsi_bytes){NULL, 0}, NULL),
                     0);
    node_await(&b, PLAIN, room, 2);
    assert_int_equal(node_event(&b, PLAIN, room, 0)->len, len);
    assert_memory_equal(node_event(&b, PLAIN, room, 0)->bytes, data, len);
    assert_int_equal(node_event(&b, PLAIN, room, 1)->len, 0);
    end();
    free(data);
}

/* Within a process it is the name, at a broker the prefix. */
static void clusters_of_one_broker_stay_apart(void **state)
{
    const bool has_name = strncmp(url, "memory:", 7) == 0;
    const char *room = room_of_its_own();
    struct node c;

    (void)state;
    begin();
    node_init(&c, has_name ? "memory:another" : url);
    c.config.prefix = "test2";
    node_up(&c);
    node_subscribe(&c, room);
    node_subscribe(&b, room);
    say(&a, room, "for us");
    say(&c, room, "for them");
    keep(&a, room, "kept", 0);
    node_await(&b, KEPT, room, 1);
    node_await(&c, PLAIN, room, 1);
    assert_int_equal(node_count(&b, PLAIN, room), 1);
    assert_string_equal(node_event(&c, PLAIN, room, 0)->bytes, "for them");
    assert_int_equal(node_count(&c, KEPT, room), 0);
    node_close(&c);
    end();
}

/* ---- messages that are kept ---- */

enum { EACH = 200 };

static void *keep_many(void *user)
{
    struct node *node = user;
    static const char room[] = "contest";
    struct answer answers[EACH];
    char text[32];

    for (int i = 0; i < EACH; i++) {
        snprintf(text, sizeof text, "%c%d", node == &a ? 'a' : 'b', i);
        keep_later(node, room, text, 0, NULL, NULL, &answers[i]);
    }
    for (int i = 0; i < EACH; i++) {
        answer_await(&answers[i]);
        answer_fini(&answers[i]);
    }
    return NULL;
}

static void all_nodes_see_one_order(void **state)
{
    uint64_t before = 0;
    pthread_t threads[2];
    int next[2] = {0, 0};

    (void)state;
    begin();
    node_subscribe(&a, "contest");
    node_subscribe(&b, "contest");
    pthread_create(&threads[0], NULL, keep_many, &a);
    pthread_create(&threads[1], NULL, keep_many, &b);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    node_await(&a, KEPT, "contest", 2 * EACH);
    node_await(&b, KEPT, "contest", 2 * EACH);
    for (size_t i = 0; i < 2 * EACH; i++) {
        const struct event first = *node_event(&a, KEPT, "contest", i);
        const struct event second = *node_event(&b, KEPT, "contest", i);
        const int who = first.bytes[0] - 'a';

        assert_int_equal(first.offset, second.offset);
        assert_int_equal(first.epoch, second.epoch);
        assert_string_equal(first.bytes, second.bytes);
        assert_true(first.offset > before);
        assert_int_equal(first.prev, before);
        before = first.offset;
        assert_int_equal(atoi(first.bytes + 1), next[who]++);
    }
    end();
}

static void what_is_sent_twice_is_stored_once(void **state)
{
    const char *room = room_of_its_own();
    const uint64_t seq = next_seq(), later = next_seq();
    struct wsi_bus_position one, again, two;
    struct answer answer;

    (void)state;
    begin();
    node_subscribe(&b, room);
    one = keep(&a, room, "one", seq);
    again = keep(&a, room, "one", seq);
    assert_int_equal(one.offset, again.offset);
    assert_int_equal(one.epoch, again.epoch);
    two = keep(&a, room, "two", later);
    assert_true(two.offset > one.offset);
    again = keep(&a, room, "one", seq); /* not the newest of its node any more */
    assert_int_equal(one.offset, again.offset);
    load(&b, room, NULL, NULL, &answer);
    assert_int_equal(answer.count, 2);
    assert_int_equal(answer.position.offset, two.offset);
    answer_fini(&answer);
    node_await(&b, KEPT, room, 2);
    say(&a, room, "done");
    node_await(&b, PLAIN, room, 1);
    assert_int_equal(node_count(&b, KEPT, room), 2);
    end();
}

static void a_late_one_of_an_earlier_number_is_stored(void **state)
{
    const char *room = room_of_its_own();
    const uint64_t lost = next_seq(), stored = next_seq();
    struct wsi_bus_position first, second;
    struct answer answer;

    (void)state;
    begin();
    first = keep(&a, room, "stored", stored);
    second = keep(&a, room, "lost before", lost);
    assert_true(second.offset > first.offset);
    load(&b, room, NULL, NULL, &answer);
    assert_int_equal(answer.count, 2);
    answer_fini(&answer);
    end();
}

static void what_is_kept_is_loaded_in_pages(void **state)
{
    enum { COUNT = 300, LEN = 3000 };
    static struct answer stored[COUNT];
    static char text[LEN + 1];
    const char *room = room_of_its_own();
    struct answer answer, last;

    (void)state;
    begin();
    for (int i = 0; i < COUNT; i++) {
        memset(text, 'a' + i % 26, LEN);
        snprintf(text, 8, "%d", i);
        text[strlen(text)] = ' ';
        assert_int_equal(keep_later(&a, room, text, 0, NULL, NULL, &stored[i]), 0);
    }
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(answer_await(&stored[i]), WSI_BUS_DONE);
    last = stored[COUNT - 1];
    load(&b, room, NULL, NULL, &answer);
    assert_int_equal(answer.count, COUNT);
    assert_int_equal(answer.position.offset, last.position.offset);
    assert_int_equal(answer.position.epoch, last.position.epoch);
    for (int i = 0; i < COUNT; i++) {
        const char *bytes = answer.kept[i].bytes.data;

        assert_int_equal(atoi(bytes), i);
        assert_int_equal(answer.kept[i].bytes.len, LEN);
        assert_int_equal(bytes[LEN - 1], 'a' + i % 26);
        assert_in_range(answer.kept[i].time_ms, 1, answer.time_ms);
        if (i > 0)
            assert_int_equal(answer.kept[i].prev, answer.kept[i - 1].offset);
    }
    answer_fini(&answer);
    end();
}

/* Rooms have one window for good: a broker may keep those of one together. */
static void keep_twenty(const char *room, const struct wsi_bus_window *window,
                        struct answer *answer)
{
    for (int i = 0; i < 20; i++) {
        char text[32];

        snprintf(text, sizeof text, "%028d", i);
        assert_int_equal(keep_later(&a, room, text, 0, window, NULL, answer), 0);
        assert_int_equal(answer_await(answer), WSI_BUS_DONE);
        answer_fini(answer);
    }
    load(&a, room, window, NULL, answer);
    assert_int_equal(atoi(answer->kept[answer->count - 1].bytes.data), 19);
}

static void the_window_bounds_what_is_kept(void **state)
{
    const struct wsi_bus_window five = {.messages = 5}, bytes = {.bytes = 100};
    struct answer answer;

    (void)state;
    begin();
    keep_twenty(room_of_its_own(), &five, &answer);
    assert_int_equal(answer.count, 5);
    assert_int_equal(atoi(answer.kept[0].bytes.data), 15);
    assert_true(answer.kept[0].prev > 0);
    answer_fini(&answer);
    keep_twenty(room_of_its_own(), &bytes, &answer);
    assert_in_range(answer.count, 1, 3);
    assert_true(answer.kept[0].prev > 0);
    answer_fini(&answer);
    end();
}

static void a_room_of_which_nothing_is_kept_has_an_epoch(void **state)
{
    const char *room = room_of_its_own();
    struct wsi_bus_position first;
    struct answer answer;
    uint64_t epoch;

    (void)state;
    begin();
    load(&a, room, NULL, NULL, &answer);
    assert_int_equal(answer.count, 0);
    epoch = answer.position.epoch;
    assert_true(epoch > 0);
    answer_fini(&answer);
    load(&b, room, NULL, NULL, &answer);
    assert_int_equal(answer.position.epoch, epoch);
    answer_fini(&answer);
    first = keep(&b, room, "first", 0);
    assert_int_equal(first.epoch, epoch);
    end();
}

/* The broker has lost what nodes have seen: one new epoch begins, whoever says so. */
static void who_has_seen_more_begins_an_epoch(void **state)
{
    const char *room = room_of_its_own();
    struct wsi_bus_position seen, next;
    struct answer answer;

    (void)state;
    begin();
    seen = keep(&a, room, "one", 0);
    seen.offset += 1000000;
    assert_int_equal(keep_later(&a, room, "two", 0, NULL, &seen, &answer), 0);
    assert_int_equal(answer_await(&answer), WSI_BUS_DONE);
    next = answer.position;
    answer_fini(&answer);
    assert_int_not_equal(next.epoch, seen.epoch);
    load(&b, room, NULL, &seen, &answer); /* he has seen as much, and comes second */
    assert_int_equal(answer.position.epoch, next.epoch);
    assert_int_equal(answer.position.offset, next.offset);
    assert_int_equal(answer.count, 1);
    assert_memory_equal(answer.kept[0].bytes.data, "two", 3);
    answer_fini(&answer);
    assert_int_equal(keep(&b, room, "three", 0).epoch, next.epoch);
    end();
}

/* ---- presence ---- */

static void present(struct node *node, const char *room, const char *name,
                    const char *text)
{
    assert_int_equal(node->type->present(node->bus, room, name, text_bytes(text)), 0);
}

static void who_is_present_is_listed(void **state)
{
    const char *room = room_of_its_own();

    (void)state;
    begin();
    people_await(&a, room, "");
    present(&a, room, "ann", "1");
    present(&b, room, "bob", "2");
    people_await(&b, room, "ann=1 bob=2");
    present(&a, room, "ann", "one");
    people_await(&b, room, "ann=one bob=2");
    present(&b, room, "ann", "also here");
    people_await(&a, room, "ann=one ann=also here bob=2");
    a.type->absent(a.bus, room, "ann");
    people_await(&b, room, "ann=also here bob=2");
    b.type->absent(b.bus, room, "ann");
    b.type->absent(b.bus, room, "bob");
    people_await(&a, room, "");
    end();
}

static void many_are_listed(void **state)
{
    enum { COUNT = 2000 };
    const char *room = room_of_its_own();
    struct answer answer;
    char name[32];

    (void)state;
    begin();
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "member-%04d", i);
        present(i % 2 == 0 ? &a : &b, room, name, name);
    }
    present(&b, room, "z", "last");
    present(&a, room, "y", "last");
    do {
        answer_init(&answer);
        assert_int_equal(a.type->present_list(a.bus, room, &answer.receipt), 0);
        assert_int_equal(answer_await(&answer), WSI_BUS_DONE);
        if (answer.count < COUNT + 2)
            answer_fini(&answer);
    } while (answer.count == 0);
    assert_int_equal(answer.count, COUNT + 2);
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "member-%04d", i);
        assert_string_equal(answer.entries[i].name, name);
    }
    answer_fini(&answer);
    end();
}

static void who_leaves_takes_his_entries_along(void **state)
{
    const char *room = room_of_its_own();
    struct node c;

    (void)state;
    begin();
    node_join(&c, url);
    present(&a, room, "ann", "1");
    present(&c, room, "carl", "3");
    people_await(&a, room, "ann=1 carl=3");
    node_close(&c);
    people_await(&a, room, "ann=1");
    end();
}

static void nodes_are_listed(void **state)
{
    (void)state;
    begin();
    assert_int_equal(a.type->describe(a.bus, text_bytes("node a")), 0);
    people_await(&b, NULL, "=node a =");
    assert_int_equal(a.type->describe(a.bus, text_bytes("node a, again")), 0);
    people_await(&b, NULL, "=node a, again =");
    assert_int_equal(b.type->describe(b.bus, text_bytes("node b")), 0);
    people_await(&a, NULL, "=node a, again =node b");
    end();
}

/* ---- bounds and the end ---- */

static void what_waits_is_bounded(void **state)
{
    const char *room = room_of_its_own();
    char *much = calloc(300001, 1);
    struct answer answer;
    struct node c;

    (void)state;
    memset(much, 'x', 300000);
    nodes_begin();
    node_init(&c, url);
    c.config.queue_bytes = 200000;
    node_up(&c);
    node_subscribe(&c, room);
    assert_int_equal(c.type->publish(c.bus, &(struct wsi_bus_channel){WSI_BUS_ROOM, room},
                                     text_bytes(much), NULL),
                     WSOCK_EAGAIN);
    assert_int_equal(keep_later(&c, room, much, 0, NULL, NULL, &answer), WSOCK_EAGAIN);
    assert_int_equal(answer.done, 0);
    say(&c, room, "less");
    node_await(&c, PLAIN, room, 1);
    node_close(&c);
    nodes_end();
    free(much);
}

/* Each receipt is called once, whatever becomes of what it was for. */
static void a_close_leaves_no_receipt_out(void **state)
{
    enum { COUNT = 100 };
    static struct answer answers[COUNT];
    const char *room = room_of_its_own();
    struct node c;

    (void)state;
    nodes_begin();
    for (int round = 0; round < 2; round++) {
        node_init(&c, url);
        node_open(&c);
        if (round == 1)
            node_await(&c, UP, NULL, 1);
        for (int i = 0; i < COUNT; i++)
            assert_int_equal(keep_later(&c, room, "x", 0, NULL, NULL, &answers[i]), 0);
        c.type->close(c.bus);
        node_await(&c, CLOSED, NULL, 1);
        for (int i = 0; i < COUNT; i++) {
            assert_int_equal(answers[i].done, 1);
            if (answers[i].outcome != WSI_BUS_DONE)
                assert_true(answers[i].why[0] != '\0');
            answer_fini(&answers[i]);
        }
        assert_int_equal(node_count(&c, CLOSED, NULL), 1);
        node_forget(&c);
        free(c.events);
    }
    nodes_end();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(who_is_subscribed_hears_all_in_order),
        TEST(who_left_hears_no_more),
        TEST(who_left_and_came_again_at_once_hears),
        TEST(one_node_and_all_nodes_are_spoken_to),
        TEST(who_hears_all_rooms_hears_each),
        TEST(names_stay_apart_whatever_is_in_them),
        TEST(bytes_pass_unchanged),
        TEST(clusters_of_one_broker_stay_apart),
        TEST(all_nodes_see_one_order),
        TEST(what_is_sent_twice_is_stored_once),
        TEST(a_late_one_of_an_earlier_number_is_stored),
        TEST(what_is_kept_is_loaded_in_pages),
        TEST(the_window_bounds_what_is_kept),
        TEST(a_room_of_which_nothing_is_kept_has_an_epoch),
        TEST(who_has_seen_more_begins_an_epoch),
        TEST(who_is_present_is_listed),
        TEST(many_are_listed),
        TEST(who_leaves_takes_his_entries_along),
        TEST(nodes_are_listed),
        TEST(a_close_leaves_no_receipt_out),
        TEST(what_waits_is_bounded),
    };
    const size_t count = sizeof tests / sizeof tests[0];
    int failed;

    if (argc < 2) {
        fprintf(stderr, "usage: %s BROKER [ARGUMENT...]\n", argv[0]);
        return 2;
    }
    url = broker_start(argc - 1, argv + 1);
    if (url == NULL)
        return 2;
    /* Within a process nothing waits. */
    failed = _cmocka_run_group_tests(
        argv[1], tests, strcmp(argv[1], "memory") == 0 ? count - 1 : count, NULL, NULL);
    broker_stop();
    return failed;
}
