/* SPDX-License-Identifier: MIT */
/* Rooms of several servers that share a broker, by a clock that the test moves. */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "api/runtime.h"
#include "api/server.h"
#include "cluster/services.h"
#include "cluster_scene.h"
#include "room/branch.h"
#include "room/room.h"
#include "room/spread.h"

static char seen[1024];

static void note(char *to, size_t size, const char *text, size_t len)
{
    const size_t at = strlen(to);

    snprintf(to + at, size - at, "%s%.*s", at > 0 ? " " : "", (int)len, text);
}

static void on_heard(wsock_conn *conn, int type, const void *data, size_t len, void *user)
{
    struct peer *to = user;

    (void)conn, (void)type;
    note(to->heard, sizeof to->heard, data, len);
}

/* @param options (nullable) of the room "r", which each node holds. */
static void begin(const char *const *options)
{
    static const char *const small[] = {"cluster_queue_bytes", "1KiB", NULL};

    seen[0] = '\0';
    begin_scene(&(struct scene){small, options, on_heard});
}

static wsock_conn *join(int i, int node)
{
    wsock_conn *conn = connect_to(i, node);

    assert_int_equal(wsock_room_join(room[node], conn), 0);
    settle();
    return conn;
}

static void say(int node, const char *text)
{
    assert_true(wsock_room_broadcast(room[node], WSOCK_TEXT, text, strlen(text)) >= 0);
}

static void saw(const char *text)
{
    settle();
    assert_string_equal(seen, text);
    seen[0] = '\0';
}

/* ---- plain rooms ---- */

static void members_of_all_nodes_hear_a_message_once(void **state)
{
    (void)state;
    begin(NULL);
    join(0, 0);
    join(1, 0);
    join(2, 1);
    say(0, "a");
    say(1, "b");
    say(2, "c"); /* nobody is there */
    heard(0, "a b c");
    heard(1, "a b c");
    heard(2, "b a c");
    fault(WSI_FAULT_TWICE, 1);
    say(0, "d");
    say(1, "e");
    heard(0, "d e");
    heard(2, "e d");
    finish();
}

static void what_comes_with_a_message_goes_along(void **state)
{
    const wsock_publish what = {.size = sizeof what,
                                .data = "x",
                                .len = 1,
                                .key = "k",
                                .event = "move",
                                .from = "ann",
                                .except_identity = "bob",
                                .type = WSOCK_BINARY};
    wsock_publish other = what;

    (void)state;
    begin(NULL);
    connect_to(0, 0);
    connect_to(1, 1);
    connect_to(2, 1);
    connect_to(3, 0);
    assert_int_equal(wsock_conn_set_identity(peer[1].conn, "bob"), 0);
    assert_int_equal(wsock_conn_set_identity(peer[3].conn, "bob"), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(wsock_room_join(room[i == 1 || i == 2], peer[i].conn), 0);
    settle();
    assert_int_equal(wsock_room_publish(room[0], &what, NULL), 1);
    other.data = "y";
    other.except_identity = NULL;
    other.except = peer[0].conn;
    assert_int_equal(wsock_room_publish(room[0], &other, NULL), 1);
    heard(0, "x");
    heard(1, "y");
    heard(2, "x y");
    heard(3, "y");
    finish();
}

static int on_message_seen;

static void on_message(wsock_room *of, const wsock_room_message *message, void *user)
{
    char text[64];

    (void)of, (void)user;
    on_message_seen++;
    snprintf(text, sizeof text, "%.*s,%s,%s,%s,%d,%d", (int)message->len,
             (const char *)message->data, message->key != NULL ? message->key : "-",
             message->event, message->from, message->type, message->is_json);
    note(seen, sizeof seen, text, strlen(text));
}

static void a_handler_hears_a_room_without_members(void **state)
{
    const wsock_publish what = {.size = sizeof what,
                                .data = "[1]",
                                .len = 3,
                                .key = "k",
                                .event = "move",
                                .from = "ann",
                                .type = WSOCK_TEXT | WSOCK_JSON};

    (void)state;
    begin(NULL);
    assert_int_equal(wsock_room_on_message(room[1], on_message, NULL, NULL), 0);
    settle();
    assert_int_equal(wsock_room_publish(room[0], &what, NULL), 0);
    saw("[1],k,move,ann,1,1");
    assert_int_equal(wsock_room_on_message(room[1], NULL, NULL, NULL), 0);
    assert_int_equal(wsock_room_publish(room[0], &what, NULL), 0);
    saw("");
    finish();
}

static void who_listens_by_pattern_hears_rooms_of_other_nodes(void **state)
{
    wsock_room *far;

    (void)state;
    begin(NULL);
    connect_to(0, 0);
    assert_int_equal(wsock_server_subscribe(server[0], peer[0].conn, "m.*"), 0);
    assert_int_equal(wsock_server_subscribe(server[0], peer[0].conn, "m.>"), 0);
    settle();
    assert_int_equal(wsock_server_room(server[1], &far, "m.1"), 0);
    assert_int_equal(wsock_room_broadcast(far, WSOCK_TEXT, "a", 1), 0);
    wsock_room_unref(far);
    heard(0, "a");
    /* A member that also listens by pattern, subscribed in both ways. */
    assert_int_equal(wsock_server_room(server[0], &far, "m.1"), 0);
    assert_int_equal(wsock_room_join(far, peer[0].conn), 0);
    wsock_room_unref(far);
    settle();
    assert_int_equal(wsock_server_room(server[1], &far, "m.1"), 0);
    assert_int_equal(wsock_room_broadcast(far, WSOCK_TEXT, "b", 1), 0);
    heard(0, "b");
    assert_int_equal(wsock_server_unsubscribe(server[0], peer[0].conn, "m.*"), 0);
    assert_int_equal(wsock_server_unsubscribe(server[0], peer[0].conn, "m.>"), 0);
    pass(1000);
    assert_int_equal(wsock_room_broadcast(far, WSOCK_TEXT, "c", 1), 0);
    wsock_room_unref(far);
    heard(0, "c");
    finish();
}

static void a_message_with_a_predicate_stays_here(void **state);

static int accept_all(wsock_conn *conn, void *user)
{
    (void)conn, (void)user;
    return 1;
}

static void a_message_with_a_predicate_stays_here(void **state)
{
    (void)state;
    begin(NULL);
    join(0, 0);
    join(1, 1);
    assert_int_equal(
        wsock_room_broadcast_if(room[0], accept_all, NULL, WSOCK_TEXT, "x", 1), 1);
    heard(0, "x");
    heard(1, "");
    finish();
}

/* ---- completions, and the broker's absence ---- */

static void on_done(const wsock_published *published, void *user)
{
    static const char *const outcomes[] = {"?", "stored", "not", "unknown"};
    char text[64];

    (void)user;
    assert_true((published->outcome == WSOCK_STORED) == (*published->why == '\0'));
    snprintf(text, sizeof text, "%s@%d", outcomes[published->outcome],
             (int)published->offset);
    note(seen, sizeof seen, text, strlen(text));
}

static int publish(int node, const char *text)
{
    const wsock_publish what = {.size = sizeof what,
                                .data = text,
                                .len = strlen(text),
                                .on_done = on_done,
                                .type = WSOCK_TEXT};

    return wsock_room_publish(room[node], &what, NULL);
}

static void on_cluster(wsock_server *of, int cluster, const char *why, void *user)
{
    (void)of, (void)user;
    note(seen, sizeof seen, cluster == WSOCK_CLUSTER_UP ? "up" : "away", 4);
    assert_true((cluster == WSOCK_CLUSTER_UP) == (*why == '\0'));
}

static void plain_rooms_go_on_without_the_broker(void **state)
{
    char why[64];

    (void)state;
    begin(NULL);
    join(0, 0);
    join(1, 1);
    assert_int_equal(wsock_server_on_cluster(server[0], on_cluster, NULL, NULL), 0);
    assert_int_equal(wsock_server_cluster(server[0], why, sizeof why), WSOCK_CLUSTER_UP);
    assert_int_equal(publish(0, "a"), 1);
    saw("stored@0");
    fault(WSI_FAULT_AWAY, 1);
    saw("away");
    assert_int_equal(wsock_server_cluster(server[0], why, sizeof why),
                     WSOCK_CLUSTER_AWAY);
    assert_string_not_equal(why, "");
    assert_int_equal(publish(0, "b"), 1);
    saw("not@0");
    heard(0, "a b");
    heard(1, "a");
    fault(WSI_FAULT_AWAY, 0);
    saw("up");
    say(0, "c");
    say(1, "d");
    heard(0, "c d");
    heard(1, "d c");
    finish();
}

static void a_cluster_that_cannot_be_is_refused(void **state)
{
    static const char *const urls[] = {"http://h", "memory:", "redis"};
    wsock_server *alone;
    char url[16];

    (void)state;
    assert_int_equal(wsock_testing_new(&runtime, 1), 0);
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        assert_int_equal(wsock_server_new(runtime, &alone), 0);
        assert_int_equal(wsock_server_cluster(alone, NULL, 0), WSOCK_CLUSTER_NONE);
        assert_int_equal(wsock_server_set(alone, "cluster", urls[i]), 0);
        snprintf(url, sizeof url, "ws://x%zu", i);
        assert_int_equal(wsock_server_listen(alone, url), WSOCK_EURL);
        assert_non_null(strstr(wsock_server_error(alone), "cluster"));
        wsock_server_free(alone);
    }
    wsock_runtime_free(runtime);
}

/* ---- rooms with history ---- */

static const char *const kept[] = {"history_messages", "100", NULL};
static const char *const kept_few[] = {"history_messages", "3", NULL};

static uint64_t epoch_of(int node)
{
    wsock_position position = {.size = sizeof position};

    assert_int_equal(wsock_room_position(room[node], &position), 0);
    return position.epoch;
}

static void on_joined(wsock_conn *conn, const wsock_joined *joined, void *user)
{
    char text[64];

    (void)conn, (void)user;
    snprintf(text, sizeof text, "%d/%d@%d", (int)joined->recovered, (int)joined->count,
             (int)joined->offset);
    note(seen, sizeof seen, text, strlen(text));
}

/* @return what is known at once. */
static int join_at(int i, int node, uint64_t epoch, uint64_t offset)
{
    const wsock_position since = {sizeof since, epoch, offset};
    const wsock_join how = {.size = sizeof how, .since = &since, .on_joined = on_joined};
    wsock_joined joined = {.size = sizeof joined};

    connect_to(i, node);
    assert_int_equal(wsock_room_join_with(room[node], peer[i].conn, &how, &joined), 0);
    return joined.recovered;
}

static void a_room_with_history_has_one_order_everywhere(void **state)
{
    (void)state;
    begin(kept);
    join(0, 0);
    join(1, 1);
    fault(WSI_FAULT_TWICE, 2);
    say(0, "a");
    say(1, "b");
    assert_int_equal(publish(0, "c"), 1);
    say(1, "d");
    saw("stored@3");
    heard(0, "a b c d");
    heard(1, "a b c d");
    assert_true(epoch_of(0) == epoch_of(1) && epoch_of(0) == epoch_of(2));
    finish();
}

static void who_comes_back_to_another_node_misses_nothing(void **state)
{
    (void)state;
    begin(kept_few);
    join(0, 0);
    for (int i = 0; i < 5; i++)
        say(0, (const char *const[]){"a", "b", "c", "d", "e"}[i]);
    heard(0, "a b c d e");
    assert_int_equal(join_at(1, 1, epoch_of(0), 2), 1);
    saw("1/3@5");
    heard(1, "c d e");
    assert_int_equal(join_at(2, 2, epoch_of(0), 1), 0); /* b is not kept any more */
    saw("0/0@5");
    assert_int_equal(join_at(3, 2, epoch_of(0) + 1, 5), 0);
    saw("0/0@5");
    say(2, "f");
    heard(0, "f");
    heard(1, "f");
    heard(2, "f");
    heard(3, "f");
    finish();
}

/* A node that has just been started: it has the room, but does not know it yet. */
static void restart(int node)
{
    stop_node(node);
    settle();
    pass(10000);
    make_node(node);
    make_room(node);
}

static void who_comes_before_the_room_is_loaded_waits(void **state)
{
    wsock_position position = {.size = sizeof position};

    (void)state;
    begin(kept);
    join(0, 0);
    say(0, "a");
    say(0, "b");
    heard(0, "a b");
    fault(WSI_FAULT_SLOW, 1000);
    restart(1);
    assert_int_equal(wsock_room_position(room[1], &position), WSOCK_EAGAIN);
    assert_int_equal(wsock_room_history(room[1], 0, 9, NULL, NULL), WSOCK_EINVAL);
    assert_int_equal(join_at(1, 1, epoch_of(0), 1), -1);
    assert_int_equal(join_at(2, 1, epoch_of(0), 0), -1);
    assert_int_equal(wsock_room_leave(room[1], peer[2].conn), 0);
    saw("-1/0@0");
    say(0, "c");
    pass(500);
    saw("");
    heard(1, "");
    pass(5000);
    saw("1/2@3");
    heard(1, "b c");
    heard(2, "");
    fault(WSI_FAULT_SLOW, 0);
    say(1, "d");
    pass(2000);
    heard(1, "d");
    finish();
}

/* What others say before the room is loaded it may miss, but not what is said here. */
static void who_is_there_hears_what_is_said_here_before_it_is_loaded(void **state)
{
    (void)state;
    begin(kept);
    say(0, "a");
    say(1, "b");
    fault(WSI_FAULT_SLOW, 1000);
    restart(1);
    say(1, "c");
    join(1, 1);
    say(1, "d");
    join(2, 1);
    assert_int_equal(publish(1, "e"), 2);
    heard(1, "");
    pass(5000);
    saw("stored@5");
    heard(1, "d e");
    heard(2, "d e");
    fault(WSI_FAULT_SLOW, 0);
    assert_int_equal(join_at(3, 1, epoch_of(1), 2), 1);
    saw("1/3@5");
    heard(3, "c d e");
    say(0, "f");
    heard(1, "f");
    heard(3, "f");
    finish();
}

static void who_wants_to_know_when_it_is_there_is_told_once_it_hears(void **state)
{
    const wsock_join how = {.size = sizeof how, .on_joined = on_joined};
    wsock_joined joined = {.size = sizeof joined};

    (void)state;
    begin(kept);
    say(0, "a");
    fault(WSI_FAULT_SLOW, 1000);
    restart(1);
    connect_to(1, 1);
    assert_int_equal(wsock_room_join_with(room[1], peer[1].conn, &how, &joined), 0);
    assert_int_equal(joined.recovered, -1);
    say(0, "b");
    pass(500);
    saw("");
    pass(5000);
    saw("0/0@2");
    heard(1, "");
    fault(WSI_FAULT_SLOW, 0);
    say(0, "c");
    heard(1, "c");
    finish();
}

/* It came here sooner than the message that it has heard on another node. */
static void who_has_heard_more_elsewhere_waits_for_it(void **state)
{
    (void)state;
    begin(kept);
    join(2, 1);
    say(0, "a");
    heard(2, "a");
    fault(WSI_FAULT_SLOW, 1000);
    say(0, "b");
    assert_int_equal(join_at(1, 1, epoch_of(1), 2), -1);
    assert_int_equal(join_at(3, 1, epoch_of(1), 1), 1);
    saw("1/0@1");
    pass(3000);
    saw("1/0@2");
    heard(1, "");
    heard(2, "b");
    heard(3, "b");
    say(0, "c");
    pass(3000);
    heard(1, "c");
    heard(2, "c");
    assert_int_equal(join_at(0, 1, epoch_of(1), 99), -1); /* which nobody has said */
    pass(3000);
    saw("");
    pass(3000);
    saw("0/0@3");
    say(0, "d");
    pass(3000);
    heard(0, "d");
    finish();
}

static void nobody_waits_for_ever(void **state)
{
    (void)state;
    begin(kept);
    say(0, "a");
    settle();
    fault(WSI_FAULT_AWAY, 1);
    restart(1);
    assert_int_equal(join_at(1, 1, epoch_of(0), 0), -1);
    pass(4000);
    saw("");
    pass(2000);
    saw("0/0@0");
    fault(WSI_FAULT_AWAY, 0);
    pass(1000);
    say(1, "b");
    heard(1, "b");
    finish();
}

static void what_got_lost_is_loaded(void **state)
{
    (void)state;
    begin(kept);
    join(0, 0);
    join(1, 1);
    say(0, "a");
    heard(0, "a");
    heard(1, "a");
    fault(WSI_FAULT_LOSE_MESSAGES, 1);
    say(0, "b");
    say(0, "c");
    heard(0, "");
    fault(WSI_FAULT_LOSE_MESSAGES, 0);
    say(0, "d");
    heard(0, "b c d");
    heard(1, "b c d");
    fault(WSI_FAULT_LOSE_LINKS, 1);
    say(1, "e");
    fault(WSI_FAULT_LOSE_LINKS, 0);
    heard(0, "e");
    heard(1, "e");
    finish();
}

static void history_waits_for_the_broker_to_a_bound(void **state)
{
    int said = 0;

    (void)state;
    begin(kept);
    join(0, 0);
    join(1, 1);
    fault(WSI_FAULT_AWAY, 1);
    while (said < 1000 && publish(0, "x") >= 0)
        said++;
    assert_in_range(said, 2, 20);
    assert_int_equal(publish(0, "x"), WSOCK_EAGAIN);
    heard(0, "");
    saw("");
    fault(WSI_FAULT_AWAY, 0);
    settle();
    assert_int_equal(strlen(peer[0].heard), 2 * said - 1);
    assert_string_equal(peer[0].heard, peer[1].heard);
    peer[0].heard[0] = seen[0] = '\0';
    fault(WSI_FAULT_REFUSE, 1);
    assert_int_equal(publish(0, "y"), 1);
    saw("not@0");
    fault(WSI_FAULT_REFUSE, 0);
    fault(WSI_FAULT_LOSE_ANSWERS, 1);
    assert_int_equal(publish(0, "z"), 1);
    saw("unknown@0");
    heard(0, "z");
    finish();
}

static void a_broker_that_forgot_begins_anew(void **state)
{
    uint64_t epoch;

    (void)state;
    begin(kept);
    join(0, 0);
    join(1, 1);
    say(0, "a");
    say(0, "b");
    heard(0, "a b");
    heard(1, "a b");
    epoch = epoch_of(0);
    fault(WSI_FAULT_REMEMBER, 0);
    say(0, "c");
    heard(1, "c");
    fault(WSI_FAULT_RESTORE, 0); /* c is not there any more */
    settle();
    assert_true(epoch_of(0) != epoch && epoch_of(0) == epoch_of(1));
    say(1, "d");
    heard(0, "c d");
    heard(1, "d");
    assert_int_equal(join_at(2, 0, epoch, 3), 0);
    saw("0/0@1");
    epoch = epoch_of(0);
    fault(WSI_FAULT_EMPTY, 0);
    say(0, "e");
    heard(0, "e");
    heard(1, "e");
    assert_true(epoch_of(0) != epoch && epoch_of(0) == epoch_of(1));
    finish();
}

static void who_is_left_out_stays_so_at_the_broker(void **state)
{
    wsock_publish what = {.size = sizeof what,
                          .data = "x",
                          .len = 1,
                          .except_identity = "bob",
                          .type = WSOCK_TEXT};

    (void)state;
    begin(kept);
    connect_to(0, 0);
    connect_to(1, 1);
    assert_int_equal(wsock_conn_set_identity(peer[1].conn, "bob"), 0);
    assert_int_equal(wsock_room_join(room[0], peer[0].conn), 0);
    assert_int_equal(wsock_room_join(room[1], peer[1].conn), 0);
    settle();
    assert_int_equal(wsock_room_publish(room[0], &what, NULL), 1);
    what.data = "y";
    what.except_identity = NULL;
    what.except = peer[0].conn;
    assert_int_equal(wsock_room_publish(room[0], &what, NULL), 1);
    what.data = "z";
    what.except = NULL;
    what.excluded = &peer[0].conn;
    what.excluded_count = 1;
    assert_int_equal(wsock_room_publish(room[0], &what, NULL), 1);
    heard(0, "x");
    heard(1, "y z");
    finish();
}

static void an_identity_of_nobody_leaves_nobody_out(void **state)
{
    char text[300] = "a\x01";
    wsock_publish what = {.size = sizeof what,
                          .data = "x",
                          .len = 1,
                          .except_identity = "",
                          .type = WSOCK_TEXT};

    (void)state;
    begin(kept);
    join(0, 0);
    join(1, 1);
    assert_int_equal(wsock_room_publish(room[0], &what, NULL), 1);
    what.except_identity = text;
    assert_int_equal(wsock_room_publish(room[0], &what, NULL), 1);
    memset(text, 'a', sizeof text - 1);
    assert_int_equal(wsock_room_publish(room[0], &what, NULL), 1);
    heard(0, "x x x");
    heard(1, "x x x");
    finish();
}

static void what_the_broker_refused_holds_no_connection(void **state)
{
    wsock_publish what = {.size = sizeof what,
                          .data = "x",
                          .len = 1,
                          .on_done = on_done,
                          .type = WSOCK_TEXT};

    (void)state;
    begin(kept);
    what.except = join(0, 0);
    fault(WSI_FAULT_REFUSE, 1);
    assert_int_equal(wsock_room_publish(room[0], &what, NULL), 1);
    assert_int_equal(room[0]->branch->withholding.by_seq.count, 1);
    saw("not@0");
    assert_int_equal(room[0]->branch->withholding.by_seq.count, 0);
    fault(WSI_FAULT_REFUSE, 0);
    finish();
}

static int see_kept(const wsock_room_message *message, void *user)
{
    (void)user;
    assert_true(message->prev == message->offset - 1);
    note(seen, sizeof seen, message->data, message->len);
    return 0;
}

static void a_room_that_nobody_needs_goes_after_a_while(void **state)
{
    wsock_room *other;

    (void)state;
    begin(NULL);
    assert_int_equal(wsock_server_make_room(server[0], &other, "k", kept), 0);
    settle();
    connect_to(0, 0);
    assert_int_equal(wsock_room_join(other, peer[0].conn), 0);
    assert_int_equal(wsock_room_broadcast(other, WSOCK_TEXT, "a", 1), 1);
    settle();
    assert_int_equal(wsock_room_history(other, 0, 9, see_kept, NULL), 1);
    saw("a");
    assert_int_equal(wsock_room_leave(other, peer[0].conn), 0);
    wsock_room_unref(other);
    pass(40000);
    assert_int_equal(wsock_server_find_room(server[0], &other, "k"), WSOCK_ENOENT);
    finish();
}

/* Its answer comes when the room was given up, and says nothing of what came since. */
static void what_was_asked_of_a_room_that_was_given_up_is_forgotten(void **state)
{
    char why[WSI_ROOM_WHY_SIZE];
    wsock_room *near, *far;

    (void)state;
    begin(NULL);
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            wsock_server_room_defaults(server[i], "k", "history_messages", "9"), 0);
    /* As who joins by rooms.v1 has it, so that it may be forgotten. */
    assert_int_equal(
        wsi_registry_get(&server[0]->rooms, &near, "k", NULL, why, sizeof why), 0);
    assert_int_equal(wsock_server_room(server[1], &far, "k"), 0);
    connect_to(0, 0);
    connect_to(1, 0);
    assert_int_equal(wsock_server_subscribe(server[0], peer[1].conn, "*"), 0);
    assert_int_equal(wsock_room_join(near, peer[0].conn), 0);
    pass(1000);
    assert_int_equal(wsock_room_broadcast(far, WSOCK_TEXT, "a", 1), 0);
    heard(0, "a");
    heard(1, "a");
    assert_int_equal(wsock_room_leave(near, peer[0].conn), 0);
    pass(24000);
    fault(WSI_FAULT_SLOW, 5000);
    cut_node(0, true);
    cut_node(0, false);
    pass(5500); /* it is subscribed, and loads */
    assert_true(near->branch->loading && near->branch->wanted);
    pass(2000);
    assert_true(near->branch->loading && !near->branch->wanted);
    pass(5000);
    assert_false(near->branch->loading);
    fault(WSI_FAULT_SLOW, 0);
    assert_int_equal(wsock_room_broadcast(far, WSOCK_TEXT, "b", 1), 0);
    heard(1, "b");
    assert_int_equal(wsock_room_join(near, peer[0].conn), 0);
    pass(1000);
    assert_int_equal(wsock_room_broadcast(far, WSOCK_TEXT, "c", 1), 0);
    heard(0, "c");
    heard(1, "c");
    wsock_room_unref(near);
    wsock_room_unref(far);
    finish();
}

static void what_is_only_kept_needs_no_place_in_the_queues(void **state)
{
    struct wsi_placed placed = {.offset = 1, .time_ms = 1, .only_keep = true};
    const wsock_publish what = {
        .size = sizeof what, .data = "x", .len = 1, .type = WSOCK_TEXT};
    size_t pending;

    (void)state;
    begin(kept);
    join(0, 0);
    placed.epoch = epoch_of(0);
    pending = room[0]->shards[0].pending_bytes;
    room[0]->shards[0].pending_bytes = WSI_ROOM_PENDING_MAX;
    assert_int_equal(wsi_room_deliver(room[0], &what, &placed), 0);
    room[0]->shards[0].pending_bytes = pending;
    assert_int_equal(wsock_room_history(room[0], 0, 9, see_kept, NULL), 1);
    saw("x");
    heard(0, "");
    finish();
}

static void rooms_from_before_are_shared_too(void **state)
{
    wsock_room *early;
    wsock_server *late;

    (void)state;
    begin(kept);
    say(0, "a");
    settle();
    assert_int_equal(wsock_server_new(runtime, &late), 0);
    assert_int_equal(wsock_server_set(late, "cluster", "memory:test"), 0);
    assert_int_equal(wsock_server_make_room(late, &early, "r", kept), 0);
    assert_int_equal(wsock_room_broadcast(early, WSOCK_TEXT, "x", 1), 0);
    assert_int_equal(wsock_server_listen(late, "ws://late"), 0);
    settle();
    assert_int_equal(wsock_room_history(early, 0, 9, see_kept, NULL), 1);
    saw("a");
    wsock_room_unref(early);
    wsock_server_free(late);
    finish();
}

/* ---- without memory ---- */

static int count_of(const char *text, char what)
{
    int count = 0;

    for (; *text != '\0'; text++)
        count += *text == what;
    return count;
}

/* One allocation fails while a message goes from node to node. @return whether one did.
 */
static bool publish_failing(const char *const *options, size_t nth)
{
    const size_t live = test_live_blocks();
    size_t refused;
    int r;

    begin(options);
    join(0, 0);
    join(1, 1);
    test_fail_allocation(nth, 0);
    r = publish(0, "x");
    assert_int_equal(wsock_testing_run(runtime), 0);
    refused = test_stop_failing();
    assert_true(r >= 0 || r == WSOCK_ENOMEM);
    pass(2000);
    say(0, "y");
    pass(2000);
    for (int i = 0; i < 2; i++) {
        assert_in_range(count_of(peer[i].heard, 'x'), 0, r >= 0);
        assert_in_range(count_of(peer[i].heard, 'y'), 0, 1);
    }
    /* What the broker has arrives, unless the member was cut off for want of memory. */
    if (options != NULL && strcmp(seen, "stored@1") == 0 &&
        wsock_server_conn_count(server[1]) == 1 && count_of(peer[1].heard, 'y') == 1 &&
        wsock_room_dropped(room[1], NULL) == 0)
        assert_string_equal(peer[1].heard, "x y");
    finish();
    assert_int_equal(test_live_blocks(), live);
    return refused > 0;
}

static void without_memory_nothing_comes_twice_or_is_left_behind(void **state)
{
    (void)state;
    for (size_t n = 1; publish_failing(NULL, n); n++)
        ;
    for (size_t n = 1; publish_failing(kept, n); n++)
        ;
}

/* One allocation fails on the way of a message that somebody is left out of. @return
 * whether one did. */
static bool leave_out_failing(size_t nth)
{
    wsock_publish what = {.size = sizeof what, .data = "x", .len = 1, .type = WSOCK_TEXT};
    size_t refused;
    int r;

    begin(kept);
    what.except = join(0, 0);
    join(1, 0);
    test_fail_allocation(nth, 0);
    r = wsock_room_publish(room[0], &what, NULL);
    assert_int_equal(wsock_testing_run(runtime), 0);
    refused = test_stop_failing();
    assert_true(r >= 0 || r == WSOCK_ENOMEM);
    pass(2000);
    heard(0, "");
    finish();
    return refused > 0;
}

static void who_is_left_out_stays_so_without_memory(void **state)
{
    (void)state;
    for (size_t n = 1; leave_out_failing(n); n++)
        ;
}

/* One allocation fails while a server with rooms joins its cluster, and it tries again.
 * @return whether one did. */
static bool listen_failing(size_t nth)
{
    static const char *const names[] = {"a", "b", "c"};
    const size_t live = test_live_blocks();
    wsock_room *early[3], *far;
    wsock_server *late;
    size_t refused;
    int r;

    begin(NULL);
    assert_int_equal(wsock_server_new(runtime, &late), 0);
    assert_int_equal(wsock_server_set(late, "cluster", "memory:test"), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(wsock_server_room(late, &early[i], names[i]), 0);
        assert_int_equal(wsock_room_on_message(early[i], on_message, NULL, NULL), 0);
    }
    test_fail_allocation(nth, 0);
    r = wsock_server_listen(late, "ws://late");
    refused = test_stop_failing();
    if (r < 0) {
        assert_true(refused > 0);
        settle();
        assert_true(wsock_room_broadcast(early[0], WSOCK_TEXT, "x", 1) >= 0);
        assert_int_equal(wsock_server_listen(late, "ws://late"), 0);
    }
    pass(1000);
    seen[0] = '\0';
    for (int i = 0; i < 3; i++) {
        assert_int_equal(wsock_server_room(server[0], &far, names[i]), 0);
        assert_int_equal(wsock_room_broadcast(far, WSOCK_TEXT, names[i], 1), 0);
        wsock_room_unref(far);
    }
    saw("a,-,message,,1,0 b,-,message,,1,0 c,-,message,,1,0");
    for (int i = 0; i < 3; i++)
        wsock_room_unref(early[i]);
    wsock_server_free(late);
    finish();
    assert_int_equal(test_live_blocks(), live);
    return refused > 0;
}

static void who_lacked_memory_to_join_the_cluster_tries_again(void **state)
{
    (void)state;
    for (size_t n = 1; listen_failing(n); n++)
        ;
}

/* ---- people ---- */

static void on_left(wsock_room *of, const wsock_member *member, void *user)
{
    char text[64];

    (void)of, (void)user;
    snprintf(text, sizeof text, "%s,%d,%s", member->identity, member->how,
             member->reason);
    note(seen, sizeof seen, text, strlen(text));
}

/* Ann on two nodes, bob on one; told of who leaves node 1. */
static void begin_with_people(void)
{
    static const char *const names[] = {"ann", "ann", "bob"};

    begin(NULL);
    assert_int_equal(wsock_room_on_leave(room[1], on_left, NULL, NULL), 0);
    for (int i = 0; i < 3; i++) {
        const int node = i > 0;

        connect_to(i, node);
        assert_int_equal(wsock_conn_set_identity(peer[i].conn, names[i]), 0);
        assert_int_equal(wsock_room_join(room[node], peer[i].conn), 0);
    }
    settle();
}

static void direct_messages_reach_a_person_everywhere(void **state)
{
    (void)state;
    begin_with_people();
    fault(WSI_FAULT_TWICE, 1);
    assert_int_equal(wsock_room_send_to(room[0], "ann", WSOCK_TEXT, "a", 1), 1);
    assert_int_equal(wsock_room_send_to(room[2], "bob", WSOCK_TEXT, "b", 1), 0);
    assert_int_equal(wsock_server_send_to(server[2], "ann", WSOCK_TEXT, "c", 1), 0);
    assert_int_equal(wsock_server_send_to(server[1], "ann", WSOCK_TEXT, "d", 1), 1);
    assert_int_equal(wsock_server_send_to(server[1], "", WSOCK_TEXT, "e", 1), 0);
    heard(0, "a c d");
    settle();
    assert_non_null(strchr(peer[1].heard, 'a'));
    assert_non_null(strchr(peer[1].heard, 'd'));
    assert_int_equal(strlen(peer[1].heard), 5);
    heard(2, "b");
    finish();
}

static void a_kick_and_the_end_of_a_room_reach_all_nodes(void **state)
{
    (void)state;
    begin_with_people();
    assert_int_equal(wsock_room_kick(room[0], "ann", "spam"), 1);
    saw("ann,3,spam");
    say(0, "x");
    heard(1, "");
    heard(2, "x");
    assert_int_equal(wsock_room_close(room[2], "over"), 0);
    saw("bob,4,over");
    assert_int_equal(wsock_room_broadcast(room[1], WSOCK_TEXT, "x", 1), WSOCK_ECLOSED);
    finish();
}

static void who_is_disconnected_is_so_everywhere(void **state)
{
    (void)state;
    begin_with_people();
    assert_int_equal(wsock_server_disconnect(server[0], "ann", 4000, "go"), 1);
    settle();
    assert_int_equal(wsock_server_conn_count(server[0]), 0);
    assert_int_equal(wsock_server_conn_count(server[1]), 1);
    assert_int_equal(wsock_server_disconnect(server[2], "bob", 4000, NULL), 0);
    settle();
    assert_int_equal(wsock_server_conn_count(server[1]), 0);
    finish();
}

static void on_people(const wsock_person *people, size_t count, const char *why,
                      void *user)
{
    (void)user;
    note(seen, sizeof seen, "people", 6);
    if (*why != '\0')
        note(seen, sizeof seen, "failed", 6);
    for (size_t i = 0; i < count; i++) {
        char text[64];

        snprintf(text, sizeof text, "%s:%d:%.*s", people[i].identity,
                 (int)people[i].conns, (int)people[i].info_len,
                 people[i].info != NULL ? (const char *)people[i].info : "");
        note(seen, sizeof seen, text, strlen(text));
    }
}

static void people_of_all_nodes_can_be_listed(void **state)
{
    const wsock_join how = {.size = sizeof how, .info = "i", .info_len = 1};

    (void)state;
    begin_with_people();
    connect_to(3, 2);
    assert_int_equal(wsock_conn_set_identity(peer[3].conn, "cat"), 0);
    assert_int_equal(wsock_room_join_with(room[2], peer[3].conn, &how, NULL), 0);
    assert_int_equal(wsock_room_people_everywhere(room[0], on_people, NULL), 0);
    saw("people ann:2: bob:1: cat:1:i");
    assert_int_equal(wsock_room_kick(room[0], "ann", NULL), 1);
    settle();
    seen[0] = '\0';
    assert_int_equal(wsock_room_people_everywhere(room[0], on_people, NULL), 0);
    saw("people bob:1: cat:1:i");
    fault(WSI_FAULT_LOSE_ANSWERS, 1);
    assert_int_equal(wsock_room_people_everywhere(room[0], on_people, NULL), 0);
    saw("people failed");
    fault(WSI_FAULT_AWAY, 1);
    assert_int_equal(wsock_room_people_everywhere(room[0], on_people, NULL),
                     WSOCK_EAGAIN);
    fault(WSI_FAULT_AWAY, 0);
    finish();
}

/* A connection of another server of the process is in a room before its server listens.
 */
static void members_from_before_hear_and_are_heard_of(void **state)
{
    wsock_room *early;
    wsock_server *late;

    (void)state;
    begin(kept);
    connect_to(0, 0);
    assert_int_equal(wsock_conn_set_identity(peer[0].conn, "ann"), 0);
    assert_int_equal(wsock_server_new(runtime, &late), 0);
    assert_int_equal(wsock_server_set(late, "cluster", "memory:test"), 0);
    assert_int_equal(wsock_server_make_room(late, &early, "r", kept), 0);
    assert_int_equal(wsock_room_join(early, peer[0].conn), 0);
    fault(WSI_FAULT_SLOW, 1000);
    assert_int_equal(wsock_server_listen(late, "ws://late"), 0);
    assert_int_equal(wsock_room_broadcast(early, WSOCK_TEXT, "x", 1), 1);
    pass(5000);
    heard(0, "x");
    fault(WSI_FAULT_SLOW, 0);
    assert_int_equal(wsock_room_people_everywhere(room[1], on_people, NULL), 0);
    saw("people ann:1:");
    wsock_room_unref(early);
    wsock_server_free(late);
    finish();
}

static void on_nodes(const wsock_node *nodes, size_t count, const char *why, void *user)
{
    (void)user;
    assert_string_equal(why, "");
    for (size_t i = 0; i < count; i++) {
        char text[64];

        assert_int_equal(strlen(nodes[i].id), 32);
        snprintf(text, sizeof text, "%s%s:%d", nodes[i].is_self ? "*" : "", nodes[i].name,
                 (int)nodes[i].conns);
        note(seen, sizeof seen, text, strlen(text));
    }
}

static void nodes_can_be_listed(void **state)
{
    (void)state;
    begin(NULL);
    connect_to(0, 1);
    pass(6000);
    assert_int_equal(wsock_server_nodes(server[0], on_nodes, NULL), 0);
    saw("*node0:0 node1:1 node2:0");
    cut_node(2, true);
    assert_int_equal(wsock_server_nodes(server[1], on_nodes, NULL), 0);
    saw("node0:0 *node1:1");
    finish();
}

/* ---- a node that says what none of ours would ---- */

static void ignore_state(struct wsi_bus_handler *handler, enum wsi_bus_state state,
                         const char *why)
{
    (void)handler, (void)state, (void)why;
}

static void ignore_channel(struct wsi_bus_handler *handler,
                           const struct wsi_bus_channel *channel)
{
    (void)handler, (void)channel;
}

static void ignore_message(struct wsi_bus_handler *handler,
                           const struct wsi_bus_channel *channel, uint64_t epoch,
                           const struct wsi_bus_kept *place, struct wsi_bytes bytes)
{
    (void)handler, (void)channel, (void)epoch, (void)place, (void)bytes;
}

static void ignore_end(struct wsi_bus_handler *handler)
{
    (void)handler;
}

static struct wsi_bus_handler stranger_handler = {ignore_state, ignore_channel,
                                                  ignore_message, ignore_end};

static struct wsi_bus *open_stranger(void)
{
    const struct wsi_bus_config config = {
        .url = "memory:test", .node = {1}, .queue_bytes = 1000, .answer_bytes = 1000};
    struct wsi_bus_services services;
    struct wsi_bus *stranger;
    char why[WSI_BUS_WHY_SIZE];

    wsi_services_init(&services, &runtime->pool);
    assert_int_equal(
        wsi_bus_memory.open(&stranger, &services, &config, &stranger_handler, why), 0);
    return stranger;
}

static void whom_nobody_can_be_is_not_listed(void **state)
{
    static const char described[] = "\1\0\0\0\0\0\0\0\7bad\nname";
    const struct wsi_bytes description = {described, sizeof described - 1};
    const struct wsi_bytes nothing = {NULL, 0};
    char longest[257] = "";
    struct wsi_bus *stranger;

    (void)state;
    begin_with_people();
    stranger = open_stranger();
    memset(longest, 'x', 256);
    assert_int_equal(wsi_bus_memory.present(stranger, "r", "\xff", nothing), 0);
    assert_int_equal(wsi_bus_memory.present(stranger, "r", "a\nb", nothing), 0);
    assert_int_equal(wsi_bus_memory.present(stranger, "r", "", nothing), 0);
    assert_int_equal(wsi_bus_memory.present(stranger, "r", longest, nothing), 0);
    assert_int_equal(wsi_bus_memory.present(stranger, "r", "zoe", nothing), 0);
    assert_int_equal(wsock_room_people_everywhere(room[0], on_people, NULL), 0);
    saw("people ann:2: bob:1: zoe:1:");
    assert_int_equal(wsi_bus_memory.describe(stranger, description), 0);
    pass(6000);
    assert_int_equal(wsock_server_nodes(server[0], on_nodes, NULL), 0);
    saw("*node0:1 node1:2 node2:0 :7");
    wsi_bus_memory.close(stranger);
    finish();
}

static void ignore_answer(struct wsi_bus_receipt *receipt,
                          const struct wsi_bus_answer *answer)
{
    (void)receipt, (void)answer;
}

/* @param bytes that the broker goes on keeping of the room "r". */
static void have_broker_keep(struct wsi_bus *stranger, uint64_t bytes)
{
    static struct wsi_bus_receipt receipt = {.done = ignore_answer};
    const struct wsi_bus_window window = {.bytes = bytes};
    const struct wsi_bus_position nothing = {0};

    assert_int_equal(wsi_bus_memory.load(stranger, "r", &window, &nothing, &receipt), 0);
    settle();
}

/* What this node kept from before says nothing of what came after it. */
static void who_missed_what_the_broker_lost_has_not_recovered(void **state)
{
    const uint64_t one_message = 40;
    struct wsi_bus *stranger;

    (void)state;
    begin(kept);
    stranger = open_stranger();
    join(0, 0);
    join(1, 1);
    say(0, "a");
    say(0, "b");
    heard(1, "a b");
    fault(WSI_FAULT_LOSE_MESSAGES, 1);
    say(0, "c");
    say(0, "d");
    settle();
    have_broker_keep(stranger, one_message);
    fault(WSI_FAULT_LOSE_MESSAGES, 0);
    say(0, "e");
    heard(1, "d e");
    assert_int_equal(join_at(2, 1, epoch_of(1), 1), 0);
    saw("0/0@5");
    fault(WSI_FAULT_LOSE_MESSAGES, 1);
    say(0, "f");
    settle();
    have_broker_keep(stranger, 1);
    fault(WSI_FAULT_LOSE_MESSAGES, 0);
    fault(WSI_FAULT_AWAY, 1);
    fault(WSI_FAULT_AWAY, 0);
    settle();
    say(0, "g");
    heard(1, "g");
    assert_int_equal(join_at(3, 1, epoch_of(1), 5), 0);
    saw("0/0@7");
    wsi_bus_memory.close(stranger);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(members_of_all_nodes_hear_a_message_once),
        TEST(what_comes_with_a_message_goes_along),
        TEST(a_handler_hears_a_room_without_members),
        TEST(who_listens_by_pattern_hears_rooms_of_other_nodes),
        TEST(a_message_with_a_predicate_stays_here),
        TEST(plain_rooms_go_on_without_the_broker),
        TEST(a_cluster_that_cannot_be_is_refused),
        TEST(a_room_with_history_has_one_order_everywhere),
        TEST(who_comes_back_to_another_node_misses_nothing),
        TEST(who_comes_before_the_room_is_loaded_waits),
        TEST(who_is_there_hears_what_is_said_here_before_it_is_loaded),
        TEST(who_wants_to_know_when_it_is_there_is_told_once_it_hears),
        TEST(who_has_heard_more_elsewhere_waits_for_it),
        TEST(nobody_waits_for_ever),
        TEST(what_got_lost_is_loaded),
        TEST(history_waits_for_the_broker_to_a_bound),
        TEST(a_broker_that_forgot_begins_anew),
        TEST(who_is_left_out_stays_so_at_the_broker),
        TEST(an_identity_of_nobody_leaves_nobody_out),
        TEST(what_the_broker_refused_holds_no_connection),
        TEST(a_room_that_nobody_needs_goes_after_a_while),
        TEST(what_was_asked_of_a_room_that_was_given_up_is_forgotten),
        TEST(what_is_only_kept_needs_no_place_in_the_queues),
        TEST(rooms_from_before_are_shared_too),
        TEST(without_memory_nothing_comes_twice_or_is_left_behind),
        TEST(who_is_left_out_stays_so_without_memory),
        TEST(who_lacked_memory_to_join_the_cluster_tries_again),
        TEST(direct_messages_reach_a_person_everywhere),
        TEST(a_kick_and_the_end_of_a_room_reach_all_nodes),
        TEST(who_is_disconnected_is_so_everywhere),
        TEST(people_of_all_nodes_can_be_listed),
        TEST(members_from_before_hear_and_are_heard_of),
        TEST(nodes_can_be_listed),
        TEST(whom_nobody_can_be_is_not_listed),
        TEST(who_missed_what_the_broker_lost_has_not_recovered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
