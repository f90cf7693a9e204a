/* SPDX-License-Identifier: MIT */
/* The adapter within the process: what nodes are told, and how it fails. */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "cluster/memory.h"
#include "cluster/services.h"
#include "stage.h"

enum { NODES = 2 };

static const struct wsi_bus_type *const type = &wsi_bus_memory;
static const struct wsi_bus_window no_bound;
static const struct wsi_bus_position nothing_seen;

struct node {
    struct wsi_bus *bus;
    struct wsi_bus_handler handler;
    struct wsi_bus_receipt receipt;
    struct wsi_bus_config config;
    char seen[512];
    struct wsi_bus_position last; /* of an answer */
};

static struct stage stage;
static struct wsi_bus_services services;
static struct node node[NODES];

static void note(struct node *to, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void note(struct node *to, const char *format, ...)
{
    const size_t len = strlen(to->seen);
    va_list args;

    if (len > 0)
        snprintf(to->seen + len, sizeof to->seen - len, " ");
    va_start(args, format);
    vsnprintf(to->seen + strlen(to->seen), sizeof to->seen - strlen(to->seen), format,
              args);
    va_end(args);
}

static struct node *node_of(struct wsi_bus_handler *handler)
{
    return WSI_CONTAINER_OF(handler, struct node, handler);
}

static void on_state(struct wsi_bus_handler *handler, enum wsi_bus_state state,
                     const char *why)
{
    assert_true((state == WSI_BUS_UP) == (*why == '\0'));
    note(node_of(handler), "%s", state == WSI_BUS_UP ? "up" : "away");
}

static void on_subscribed(struct wsi_bus_handler *handler,
                          const struct wsi_bus_channel *channel)
{
    note(node_of(handler), "+%s", channel->name != NULL ? channel->name : "*");
}

static void on_arrived(struct wsi_bus_handler *handler,
                       const struct wsi_bus_channel *channel, uint64_t epoch,
                       const struct wsi_bus_kept *kept, struct wsi_bytes bytes)
{
    static const char *const kinds[] = {"", "node:", "all:"};

    note(node_of(handler), "%s%.4s=%.*s", kinds[channel->kind],
         channel->name != NULL ? channel->name : "", (int)bytes.len,
         (const char *)bytes.data);
    assert_true((epoch != 0) == (kept != NULL));
    if (kept != NULL)
        note(node_of(handler), "@%d", (int)kept->offset);
}

static void on_closed(struct wsi_bus_handler *handler)
{
    note(node_of(handler), "closed");
    node_of(handler)->bus = NULL;
}

static void on_done(struct wsi_bus_receipt *receipt, const struct wsi_bus_answer *answer)
{
    static const char *const outcomes[] = {"done", "failed", "unknown"};
    struct node *to = WSI_CONTAINER_OF(receipt, struct node, receipt);

    to->last = answer->position;
    note(to, "%s", outcomes[answer->outcome]);
    for (size_t i = 0; i < answer->count; i++) {
        if (answer->kept != NULL)
            note(to, "%d<%d:%.*s", (int)answer->kept[i].prev, (int)answer->kept[i].offset,
                 (int)answer->kept[i].bytes.len,
                 (const char *)answer->kept[i].bytes.data);
        else
            note(to, "%02x:%s:%.*s", answer->entries[i].node[0], answer->entries[i].name,
                 (int)answer->entries[i].bytes.len,
                 (const char *)answer->entries[i].bytes.data);
    }
}

static int open_node(struct node *to, int index)
{
    char why[WSI_BUS_WHY_SIZE];

    *to = (struct node){
        .handler = {on_state, on_subscribed, on_arrived, on_closed},
        .receipt = {.done = on_done},
        .config = {.url = "memory:t", .queue_bytes = 1000, .answer_bytes = 100},
    };
    to->config.node[0] = (uint8_t)(0xa0 + index);
    return type->open(&to->bus, &services, &to->config, &to->handler, why);
}

static void begin(void)
{
    stage_begin(&stage, 1);
    wsi_services_init(&services, &stage.pool);
    for (int i = 0; i < NODES; i++)
        assert_int_equal(open_node(&node[i], i), 0);
    stage_settle(&stage);
}

/* Since the last time it was told this. */
static void was_told(int i, const char *text)
{
    stage_settle(&stage);
    assert_string_equal(node[i].seen, text);
    node[i].seen[0] = '\0';
}

static void finish(void)
{
    for (int i = 0; i < NODES; i++)
        if (node[i].bus != NULL)
            type->close(node[i].bus);
    stage_settle(&stage);
    for (int i = 0; i < NODES; i++)
        assert_null(node[i].bus);
    stage_end(&stage);
}

static struct wsi_bytes bytes_of(const char *text)
{
    return (struct wsi_bytes){text, strlen(text)};
}

static int append(int i, const char *text, uint64_t seq)
{
    struct wsi_bus_id id = {.seq = seq};

    id.node[0] = node[i].config.node[0];
    return type->append(node[i].bus, "r", bytes_of(text), &id, &no_bound, &node[i].last,
                        &node[i].receipt);
}

static int load(int i)
{
    return type->load(node[i].bus, "r", &no_bound, &nothing_seen, &node[i].receipt);
}

static void fault(enum wsi_bus_fault which, uint64_t value)
{
    assert_int_equal(wsi_bus_memory_fault("t", which, value), 0);
}

static void who_is_subscribed_hears_what_is_published(void **state)
{
    const struct wsi_bus_channel room = {WSI_BUS_ROOM, "r"}, all = {WSI_BUS_ALL, NULL};
    const struct wsi_bus_channel other = {WSI_BUS_NODE,
                                          "a1000000000000000000000000000000"};

    (void)state;
    begin();
    was_told(0, "up");
    was_told(1, "up");
    assert_int_equal(type->subscribe(node[0].bus, "r"), 0);
    was_told(0, "+r");
    assert_int_equal(type->publish(node[1].bus, &room, bytes_of("x"), NULL), 0);
    assert_int_equal(type->publish(node[0].bus, &room, bytes_of("y"), &node[0].receipt),
                     0);
    assert_int_equal(type->publish(node[0].bus, &other, bytes_of("o"), NULL), 0);
    assert_int_equal(type->publish(node[0].bus, &all, bytes_of("z"), NULL), 0);
    was_told(0, "r=x r=y done all:=z");
    was_told(1, "node:a100=o all:=z");
    type->unsubscribe(node[0].bus, "r");
    assert_int_equal(type->subscribe_all(node[0].bus, true), 0);
    assert_int_equal(type->publish(node[1].bus, &room, bytes_of("x"), NULL), 0);
    was_told(0, "+* r=x");
    assert_int_equal(type->subscribe_all(node[0].bus, false), 0);
    assert_int_equal(type->publish(node[1].bus, &room, bytes_of("x"), NULL), 0);
    was_told(0, "");
    finish();
}

static void what_is_appended_has_its_place(void **state)
{
    (void)state;
    begin();
    assert_int_equal(type->subscribe(node[1].bus, "r"), 0);
    assert_int_equal(append(0, "a", 1), 0);
    assert_int_equal(append(0, "b", 2), 0);
    assert_int_equal(append(0, "a", 1), 0); /* once more, as there was no answer */
    was_told(0, "up done done done");
    assert_int_equal((int)node[0].last.offset, 1);
    was_told(1, "up +r r=a @1 r=b @2");
    assert_int_equal(load(1), 0);
    was_told(1, "done 0<1:a 1<2:b");
    assert_int_equal((int)node[1].last.offset, 2);
    finish();
}

static void a_broker_that_forgot_begins_another_epoch(void **state)
{
    uint64_t epoch;

    (void)state;
    begin();
    assert_int_equal(append(0, "a", 1), 0);
    was_told(0, "up done");
    fault(WSI_FAULT_REMEMBER, 0);
    assert_int_equal(append(0, "b", 2), 0);
    was_told(0, "done");
    epoch = node[0].last.epoch;
    fault(WSI_FAULT_RESTORE, 0);
    assert_int_equal(load(1), 0); /* who has seen nothing finds the dump good */
    was_told(1, "up away up done 0<1:a");
    assert_true(node[1].last.epoch == epoch);
    assert_int_equal(append(0, "c", 3), 0);
    was_told(0, "away up done");
    assert_true(node[0].last.epoch != epoch && node[0].last.offset == 1);
    fault(WSI_FAULT_EMPTY, 0);
    assert_int_equal(load(0), 0);
    was_told(0, "away up done");
    assert_true(node[0].last.epoch != 0 && node[0].last.offset == 0);
    finish();
}

static void while_it_is_away_appends_wait_up_to_a_bound(void **state)
{
    const struct wsi_bus_channel room = {WSI_BUS_ROOM, "r"};
    uint64_t seq = 1;

    (void)state;
    begin();
    assert_int_equal(type->subscribe(node[0].bus, "r"), 0);
    was_told(0, "up +r");
    fault(WSI_FAULT_AWAY, 1);
    was_told(0, "away");
    assert_int_equal(type->publish(node[0].bus, &room, bytes_of("x"), NULL),
                     WSOCK_EAGAIN);
    assert_int_equal(load(0), WSOCK_EAGAIN);
    while (append(0, "a", seq) == 0)
        seq++;
    assert_true(seq > 2);
    assert_int_equal(append(0, "a", seq), WSOCK_EAGAIN);
    was_told(0, "");
    fault(WSI_FAULT_AWAY, 0);
    stage_settle(&stage);
    node[0].seen[29] = '\0';
    assert_string_equal(node[0].seen, "up +r r=a @1 done r=a @2 done");
    node[0].seen[0] = '\0';
    assert_int_equal(node[0].last.offset, seq - 1);
    finish();
}

static void who_takes_too_little_loses_its_link(void **state)
{
    const struct wsi_bus_channel room = {WSI_BUS_ROOM, "r"};

    (void)state;
    begin();
    assert_int_equal(type->subscribe(node[1].bus, "r"), 0);
    was_told(1, "up +r");
    for (int i = 0; i < 1000; i++)
        assert_int_equal(type->publish(node[0].bus, &room, bytes_of("x"), NULL), 0);
    stage_settle(&stage);
    assert_memory_equal(node[1].seen, "away up +r r=x", 14);
    assert_in_range(strlen(node[1].seen), 14, 10 + 5 * 20);
    node[1].seen[0] = '\0';
    assert_int_equal(type->publish(node[0].bus, &room, bytes_of("y"), NULL), 0);
    was_told(1, "r=y");
    finish();
}

static void answers_and_messages_get_lost(void **state)
{
    (void)state;
    begin();
    assert_int_equal(type->subscribe(node[1].bus, "r"), 0);
    fault(WSI_FAULT_LOSE_ANSWERS, 1);
    fault(WSI_FAULT_TWICE, 1);
    assert_int_equal(append(0, "a", 1), 0);
    was_told(0, "up unknown");
    was_told(1, "up +r r=a @1 r=a @1");
    fault(WSI_FAULT_LOSE_ANSWERS, 0);
    fault(WSI_FAULT_TWICE, 0);
    fault(WSI_FAULT_LOSE_MESSAGES, 1);
    assert_int_equal(append(0, "b", 2), 0);
    was_told(0, "done");
    was_told(1, "");
    fault(WSI_FAULT_LOSE_MESSAGES, 0);
    fault(WSI_FAULT_LOSE_LINKS, 1);
    assert_int_equal(append(0, "c", 3), 0);
    was_told(1, "away up +r");
    fault(WSI_FAULT_LOSE_LINKS, 0);
    fault(WSI_FAULT_REFUSE, 1);
    assert_int_equal(append(0, "d", 4), 0);
    was_told(0, "done failed");
    fault(WSI_FAULT_AWAY, 1); /* an answer that was under way */
    fault(WSI_FAULT_AWAY, 0);
    finish();
}

static void a_slow_broker_keeps_the_order(void **state)
{
    (void)state;
    begin();
    assert_int_equal(type->subscribe(node[1].bus, "r"), 0);
    was_told(1, "up +r");
    fault(WSI_FAULT_SLOW, 50);
    assert_int_equal(append(0, "a", 1), 0);
    fault(WSI_FAULT_SLOW, 0);
    assert_int_equal(append(0, "b", 2), 0);
    was_told(1, "");
    stage_run(&stage, 60);
    was_told(1, "r=a @1 r=b @2");
    finish();
}

static void people_are_there_as_long_as_their_node(void **state)
{
    (void)state;
    begin();
    was_told(0, "up");
    assert_int_equal(type->describe(node[0].bus, bytes_of("one")), 0);
    assert_int_equal(type->describe(node[1].bus, bytes_of("two")), 0);
    assert_int_equal(type->present(node[1].bus, "r", "ann", bytes_of("1")), 0);
    assert_int_equal(type->present(node[1].bus, "r", "ann", bytes_of("2")), 0);
    assert_int_equal(type->present(node[1].bus, "s", "bob", bytes_of("")), 0);
    assert_int_equal(type->present_list(node[0].bus, "r", &node[0].receipt), 0);
    was_told(0, "done a1:ann:2");
    assert_int_equal(type->nodes(node[0].bus, &node[0].receipt), 0);
    was_told(0, "done a0::one a1::two");
    assert_int_equal(wsi_bus_memory_cut("t", "two", true), 0);
    assert_int_equal(type->nodes(node[0].bus, &node[0].receipt), 0);
    was_told(0, "done a0::one");
    assert_int_equal(wsi_bus_memory_cut("t", "two", false), 0);
    type->absent(node[1].bus, "r", "ann");
    assert_int_equal(type->present_list(node[0].bus, "s", &node[0].receipt), 0);
    was_told(0, "done a1:bob:");
    assert_int_equal(type->present_list(node[0].bus, "r", &node[0].receipt), 0);
    was_told(0, "done");
    finish();
}

static void closing_tells_who_waits(void **state)
{
    (void)state;
    begin();
    was_told(1, "up");
    fault(WSI_FAULT_AWAY, 1);
    assert_int_equal(append(1, "a", 1), 0);
    type->close(node[1].bus);
    was_told(1, "failed closed");
    assert_int_equal(wsi_bus_memory_fault("other", WSI_FAULT_AWAY, 1), WSOCK_ENOENT);
    finish();
}

static void an_answer_is_bounded(void **state)
{
    (void)state;
    begin();
    for (uint64_t i = 1; i <= 11; i++)
        assert_int_equal(append(0, "0123456789", i), 0);
    stage_settle(&stage);
    assert_int_equal(load(1), 0);
    was_told(1, "up failed");
    finish();
}

static void use_all(void)
{
    static const struct wsi_bus_channel room = {WSI_BUS_ROOM, "r"};
    struct wsi_bus *bus = node[0].bus;

    type->subscribe(bus, "r");
    type->subscribe_all(bus, true);
    type->publish(bus, &room, bytes_of("x"), &node[0].receipt);
    append(0, "a", 1);
    stage_settle(&stage);
    load(0);
    type->present(bus, "r", "ann", bytes_of("1"));
    type->describe(bus, bytes_of("one"));
    type->present_list(bus, "r", &node[0].receipt);
    type->nodes(bus, &node[0].receipt);
    wsi_bus_memory_fault("t", WSI_FAULT_REMEMBER, 0);
    wsi_bus_memory_fault("t", WSI_FAULT_RESTORE, 0);
    stage_settle(&stage);
}

/* Each call that fails leaves everything as it was; who cannot be told lost his link. */
static void without_memory_nothing_is_left_behind(void **state)
{
    (void)state;
    for (size_t n = 1;; n++) {
        size_t refused;

        stage_begin(&stage, 1);
        wsi_services_init(&services, &stage.pool);
        test_fail_allocation(n, 0);
        if (open_node(&node[0], 0) == 0)
            use_all();
        refused = test_stop_failing();
        if (node[0].bus != NULL)
            type->close(node[0].bus);
        stage_settle(&stage);
        stage_end(&stage);
        if (refused == 0)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_is_subscribed_hears_what_is_published),
        TEST(what_is_appended_has_its_place),
        TEST(a_broker_that_forgot_begins_another_epoch),
        TEST(while_it_is_away_appends_wait_up_to_a_bound),
        TEST(who_takes_too_little_loses_its_link),
        TEST(answers_and_messages_get_lost),
        TEST(a_slow_broker_keeps_the_order),
        TEST(people_are_there_as_long_as_their_node),
        TEST(closing_tells_who_waits),
        TEST(an_answer_is_bounded),
        TEST(without_memory_nothing_is_left_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
