/* SPDX-License-Identifier: MIT */
/* What a room keeps: for how long, for whom, and where a member goes on. */
#include "test.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>
#include <wsock/room.h>

#include "conn/closing.h"
#include "conn/member.h"
#include "room/room.h"
#include "stage.h"

enum { CONNS = 3 };

static struct stage stage;
static struct wsi_registry registry;
static wsock_room *room;
static struct script_peer peer[CONNS];
static struct wsock_conn *conn[CONNS];

static int make(wsock_room **out, const char *name, const char *const *pairs)
{
    char why[WSI_ROOM_WHY_SIZE];
    struct wsi_options asked;

    assert_int_equal(wsi_room_options_read(&asked, pairs, why, sizeof why), 0);
    return wsi_registry_get(&registry, out, name, &asked, why, sizeof why);
}

static void begin(const char *option, const char *value)
{
    const char *const pairs[] = {option, value, NULL};

    stage_begin(&stage, 1);
    assert_int_equal(wsi_registry_init(&registry, &stage.service.owner,
                                       &stage.service.profile.options),
                     0);
    assert_int_equal(make(&room, "r", pairs), 0);
    for (int i = 0; i < CONNS; i++)
        conn[i] = stage_accept_open(&stage, &peer[i]);
    stage_saw(&stage, "open | open | open");
}

static void finish(void)
{
    for (int i = 0; i < CONNS; i++)
        if (conn[i] != NULL)
            stage_drop(&stage, conn[i], &peer[i]);
    wsi_registry_close(&registry);
    stage_settle(&stage);
    wsock_room_unref(room);
    room = NULL;
    assert_int_equal(registry.count, 0);
    assert_int_equal(atomic_load(&registry.histories.bytes), 0);
    wsi_registry_fini(&registry);
    stage_end(&stage);
}

static uint64_t say_to(wsock_room *to, const char *text)
{
    const wsock_publish what = {
        .size = sizeof what, .data = text, .len = strlen(text), .type = WSOCK_TEXT};
    wsock_position position = {.size = sizeof position};

    assert_true(wsock_room_publish(to, &what, &position) >= 0);
    assert_true(position.epoch == to->history->epoch);
    return position.offset;
}

static uint64_t say(const char *text)
{
    return say_to(room, text);
}

static wsock_joined join_at(int i, uint64_t epoch, uint64_t offset)
{
    const wsock_position since = {sizeof since, epoch, offset};
    wsock_joined joined = {.size = sizeof joined};

    assert_int_equal(wsock_room_join_since(room, conn[i], &since, &joined), 0);
    assert_true(joined.epoch == room->history->epoch);
    return joined;
}

static wsock_joined join_since(int i, uint64_t offset)
{
    return join_at(i, room->history->epoch, offset);
}

/* ---- looking ---- */

struct look {
    char text[256];
    int stop_after;
    uint64_t next;
};

static int see(const wsock_room_message *message, void *user)
{
    struct look *look = user;
    const size_t len = strlen(look->text);

    assert_true(message->epoch == room->history->epoch);
    assert_true(message->prev == message->offset - 1);
    assert_true(look->next == 0 || message->offset == look->next);
    look->next = message->offset + 1;
    snprintf(look->text + len, sizeof look->text - len, "%s%.*s%s%s", len > 0 ? " " : "",
             (int)message->len, (const char *)message->data,
             message->key != NULL ? "=" : "", message->key != NULL ? message->key : "");
    return --look->stop_after == 0;
}

static void kept_is(const char *text)
{
    struct look look = {0};

    assert_true(wsock_room_history(room, 0, 1000, see, &look) >= 0);
    assert_string_equal(look.text, text);
}

static void what_is_kept_can_be_looked_at(void **state)
{
    const wsock_publish with_key = {.size = sizeof with_key,
                                    .data = "k",
                                    .len = 1,
                                    .key = "name",
                                    .type = WSOCK_BINARY};
    struct look look = {0};

    (void)state;
    begin("history_messages", "10");
    assert_int_equal(wsock_room_history(room, 0, 10, see, &look), 0);
    assert_int_equal(say("a"), 1);
    assert_int_equal(say("b"), 2);
    assert_int_equal(wsock_room_publish(room, &with_key, NULL), 0);
    assert_int_equal(say("d"), 4);
    kept_is("a b k=name d");
    assert_int_equal(wsock_room_history(room, 4, 2, see, &look), 2);
    assert_string_equal(look.text, "b k=name");
    look = (struct look){.stop_after = 2};
    assert_int_equal(wsock_room_history(room, 100, 3, see, &look), 3);
    assert_string_equal(look.text, "b k=name");
    assert_int_equal(wsock_room_history(room, 1, 3, see, &look), 0);
    assert_int_equal(wsock_room_history(room, 0, 0, see, &look), 0);
    assert_int_equal(wsock_room_history(NULL, 0, 1, see, &look), WSOCK_EINVAL);
    assert_int_equal(wsock_room_history(room, 0, 1, NULL, &look), WSOCK_EINVAL);
    finish();
}

static void room_without_history_has_no_position(void **state)
{
    const wsock_position since = {sizeof since, 1, 1};
    wsock_position position = {.size = sizeof position};
    wsock_joined joined = {.size = sizeof joined};
    struct look look = {0};

    (void)state;
    begin("max_members", "5");
    assert_int_equal(wsock_room_position(room, &position), WSOCK_ENOTSUP);
    assert_int_equal(wsock_room_history(room, 0, 1, see, &look), WSOCK_ENOTSUP);
    assert_int_equal(wsock_room_join_since(room, conn[0], &since, &joined), 0);
    assert_int_equal(joined.recovered, 0);
    assert_int_equal(joined.epoch, 0);
    finish();
}

/* ---- bounds ---- */

static void as_many_messages_are_kept_as_asked(void **state)
{
    char name[8];

    (void)state;
    begin("history_messages", "3");
    for (int i = 1; i <= 100; i++) {
        snprintf(name, sizeof name, "%d", i);
        assert_int_equal(say(name), i);
    }
    kept_is("98 99 100");
    finish();
}

static void as_many_bytes_are_kept_as_asked(void **state)
{
    char *large = calloc(1, 100001);

    (void)state;
    memset(large, 'x', 3000);
    begin("history_bytes", "8000");
    say("first");
    for (int i = 0; i < 5; i++)
        say(large);
    assert_in_range(atomic_load(&registry.histories.bytes), 6000, 8000);
    assert_int_equal(room->history->count, 2);
    memset(large, 'x', 100000);
    say(large); /* more than may be kept */
    assert_int_equal(room->history->count, 0);
    assert_int_equal(join_since(0, 6).recovered, 0);
    assert_int_equal(join_since(1, 7).recovered, 1);
    finish();
    free(large);
}

static void messages_are_kept_as_long_as_asked(void **state)
{
    (void)state;
    begin("history_time", "1000");
    say("1");
    stage_run(&stage, 600);
    say("2");
    stage_run(&stage, 399);
    kept_is("1 2");
    stage_run(&stage, 1);
    kept_is("2");
    stage_run(&stage, 600);
    kept_is("");
    assert_int_equal(say("3"), 3);
    finish();
}

/* Without anybody who looks: by the timer. */
static void history_that_is_too_old_lets_go_of_its_room(void **state)
{
    (void)state;
    begin("history_time", "1000");
    say("1");
    wsock_room_unref(room);
    stage_run(&stage, 700);
    assert_int_equal(registry.count, 1);
    assert_int_equal(wsi_registry_find(&registry, &room, "r"), 0);
    say("2");
    wsock_room_unref(room);
    stage_run(&stage, 800);
    assert_int_equal(registry.count, 1);
    assert_int_equal(room->history->count, 1); /* the second keeps it */
    stage_run(&stage, 700);
    assert_int_equal(registry.count, 0);
    assert_int_equal(make(&room, "r", NULL), 0);
    finish();
}

static void history_without_a_time_keeps_its_room(void **state)
{
    const uint64_t epoch = (begin("history_messages", "5"), room->history->epoch);

    (void)state;
    assert_true(epoch != 0);
    say("1");
    wsock_room_unref(room);
    stage_run(&stage, 20000);
    assert_int_equal(wsi_registry_find(&registry, &room, "r"), 0);
    assert_true(room->history->epoch == epoch);
    kept_is("1");
    finish();
}

static void room_that_was_made_anew_has_another_epoch(void **state)
{
    static const char *const pairs[] = {"history_messages", "5", NULL};
    uint64_t epoch;

    (void)state;
    begin("history_messages", "5");
    epoch = room->history->epoch;
    wsock_room_unref(room);
    assert_int_equal(registry.count, 0);
    assert_int_equal(make(&room, "r", pairs), 0);
    assert_true(room->history->epoch != epoch);
    assert_int_equal(join_at(0, epoch, 0).recovered, 0);
    finish();
}

static void the_room_with_most_makes_room_for_all(void **state)
{
    static const char *const pairs[] = {"history_messages", "1000", NULL};
    wsock_room *small = NULL;
    char *text = calloc(1, 1001);

    (void)state;
    memset(text, 'x', 1000);
    begin("history_messages", "1000");
    assert_int_equal(wsi_options_set(&stage.service.profile.options, "max_history_bytes",
                                     "64KiB", true, NULL, 0),
                     0);
    assert_int_equal(make(&small, "small", pairs), 0);
    say_to(small, text);
    for (int i = 0; i < 200; i++) {
        say(text);
        assert_in_range(atomic_load(&registry.histories.bytes), 1000, 65536);
    }
    assert_in_range(room->history->count, 20, 60);
    assert_int_equal(small->history->count, 1);
    for (int i = 0; i < 200; i++)
        say_to(small, text);
    assert_true(small->history->count > room->history->count / 2);
    assert_true(room->history->count > 5);
    wsock_room_unref(small);
    finish();
    free(text);
}

/* ---- recovery ---- */

static void member_hears_what_it_missed_and_then_what_is_new(void **state)
{
    wsock_joined joined;

    (void)state;
    begin("history_messages", "10");
    assert_int_equal(wsock_room_join(room, conn[0]), 0);
    for (int i = 1; i <= 4; i++)
        say((char[]){(char)('0' + i), '\0'});
    joined = join_since(1, 2);
    assert_int_equal(joined.recovered, 1);
    assert_int_equal(joined.offset, 4);
    assert_int_equal(joined.count, 2);
    say("5");
    joined = join_since(2, 5);
    assert_int_equal(joined.recovered, 1);
    assert_int_equal(joined.count, 0);
    say("6");
    stage_settle(&stage); /* all of it at once */
    stage_sent(&peer[0], "\x81\x01"
                         "1\x81\x01"
                         "2\x81\x01"
                         "3\x81\x01"
                         "4\x81\x01"
                         "5\x81\x01"
                         "6");
    stage_sent(&peer[1], "\x81\x01"
                         "3\x81\x01"
                         "4\x81\x01"
                         "5\x81\x01"
                         "6");
    stage_sent(&peer[2], "\x81\x01"
                         "6");
    finish();
}

static void who_is_not_recovered_hears_what_is_new(void **state)
{
    wsock_joined joined;

    (void)state;
    begin("history_messages", "2");
    for (int i = 1; i <= 4; i++)
        say((char[]){(char)('0' + i), '\0'});
    joined = join_since(0, 1); /* the second is gone */
    assert_int_equal(joined.recovered, 0);
    assert_int_equal(joined.count, 0);
    assert_int_equal(joined.offset, 4);
    joined = join_at(1, room->history->epoch + 1, 3);
    assert_int_equal(joined.recovered, 0);
    joined = join_since(2, 5); /* nobody has said that */
    assert_int_equal(joined.recovered, 0);
    say("5");
    stage_settle(&stage);
    for (int i = 0; i < CONNS; i++)
        stage_sent(&peer[i], "\x81\x01"
                             "5");
    finish();
}

static void who_comes_first_hears_all_that_is_kept(void **state)
{
    wsock_joined joined;

    (void)state;
    begin("history_messages", "2");
    joined = join_at(0, 0, 0);
    assert_int_equal(joined.recovered, 1);
    assert_int_equal(joined.count, 0);
    say("1");
    say("2");
    joined = join_at(1, 0, 0);
    assert_int_equal(joined.recovered, 1);
    assert_int_equal(joined.count, 2);
    say("3");
    joined = join_at(2, 0, 0);
    assert_int_equal(joined.recovered, 0); /* of three that there were */
    assert_int_equal(joined.count, 2);
    stage_settle(&stage);
    stage_sent(&peer[1], "\x81\x01"
                         "1\x81\x01"
                         "2\x81\x01"
                         "3");
    stage_sent(&peer[2], "\x81\x01"
                         "2\x81\x01"
                         "3");
    peer[0].output.len = 0;
    finish();
}

static int nobody_but_first(wsock_conn *c, void *user)
{
    (void)user;
    return c == conn[0];
}

static void what_some_may_hear_is_not_kept(void **state)
{
    const wsock_publish secret = {.size = sizeof secret,
                                  .data = "s",
                                  .len = 1,
                                  .only = nobody_but_first,
                                  .type = WSOCK_TEXT};
    wsock_position position = {.size = sizeof position, .offset = 7};

    (void)state;
    begin("history_messages", "10");
    assert_int_equal(wsock_room_join(room, conn[0]), 0);
    say("1");
    assert_int_equal(wsock_room_publish(room, &secret, &position), 1);
    assert_int_equal(position.offset, 0);
    assert_int_equal(position.epoch, 0);
    assert_int_equal(wsock_room_broadcast_except(room, conn[0], WSOCK_TEXT, "2", 1), 0);
    assert_int_equal(wsock_room_position(room, &position), 0);
    assert_int_equal(position.offset, 2);
    kept_is("1 2");
    stage_settle(&stage);
    stage_sent(&peer[0], "\x81\x01"
                         "1\x81\x01s");
    finish();
}

static void what_was_missed_is_not_dropped(void **state)
{
    char *large = calloc(1, 100001);
    wsock_joined joined;

    (void)state;
    memset(large, 'x', 100000);
    begin("history_messages", "100");
    room->slow.max_messages = 2;
    for (int i = 0; i < 30; i++)
        say(large);
    peer[0].write_room = 0;
    joined = join_since(0, 0);
    assert_int_equal(joined.count, 30);
    for (int i = 0; i < 5; i++)
        say("new");
    stage_settle(&stage);
    assert_int_equal(wsock_room_dropped(room, conn[0]), 3);
    assert_true(atomic_load(&stage.pool.buffered) > 30 * 100000);
    peer[0].write_room = SCRIPT_UNLIMITED;
    stage_settle(&stage);
    assert_int_equal(peer[0].output.len, 30 * 100010 + 2 * 5);
    peer[0].output.len = 0;
    finish();
    free(large);
}

static void leaving_ends_what_was_missed(void **state)
{
    char *large = calloc(1, 100001);

    (void)state;
    memset(large, 'x', 100000);
    begin("history_messages", "100");
    for (int i = 0; i < 10; i++)
        say(large);
    peer[0].write_room = 0;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(join_since(0, 0).count, 10 + i);
        say("new");
        assert_int_equal(wsock_room_leave(room, conn[0]), 0);
        stage_settle(&stage);
        assert_in_range(wsi_droppable_bytes(conn[0]), 0, 0);
        assert_in_range(wsi_conn_buffered(conn[0]), 100000, 100010);
    }
    peer[0].write_room = SCRIPT_UNLIMITED;
    stage_settle(&stage);
    assert_int_equal(peer[0].output.len, 100010);
    peer[0].output.len = 0;
    finish();
    free(large);
}

/* ---- memory ---- */

static void publishing_without_memory_takes_no_offset(void **state)
{
    const wsock_publish what = {
        .size = sizeof what, .data = "x", .len = 1, .type = WSOCK_TEXT};
    wsock_position position = {.size = sizeof position};

    (void)state;
    begin("history_messages", "1000");
    assert_int_equal(wsock_room_join(room, conn[0]), 0);
    stage_settle(&stage);
    for (uint64_t said = 0; said < 40; said++) {
        for (size_t n = 1;; n++) {
            int r;

            test_fail_allocation(n, 1);
            r = wsock_room_publish(room, &what, &position);
            if (test_stop_failing() == 0) {
                assert_int_equal(r, 1);
                break;
            }
            assert_int_equal(r, WSOCK_ENOMEM);
            assert_int_equal(room->history->last, said);
        }
        assert_int_equal(position.offset, said + 1);
    }
    stage_settle(&stage);
    assert_int_equal(peer[0].output.len, 40 * 3);
    peer[0].output.len = 0;
    finish();
}

static void joining_without_memory_changes_nothing(void **state)
{
    wsock_position since = {.size = sizeof since};
    int r = 0;

    (void)state;
    begin("history_messages", "10");
    assert_int_equal(wsock_room_join(room, conn[1]), 0);
    for (int i = 0; i < 5; i++)
        say("x");
    stage_settle(&stage);
    FOR_EACH_OOM(r, r = wsock_room_join_since(room, conn[0], &since, NULL), {
        assert_int_equal(wsock_room_leave(room, conn[0]), 0);
        stage_settle(&stage);
    });
    assert_int_equal(wsock_room_count(room), 1);
    peer[0].output.len = peer[1].output.len = 0;
    finish();
}

static void who_cannot_be_told_what_it_missed_is_ended(void **state)
{
    char *large = calloc(1, 100001);

    (void)state;
    memset(large, 'x', 100000);
    begin("history_messages", "10");
    for (int i = 0; i < 3; i++)
        say(large);
    peer[0].write_room = 0;
    assert_int_equal(join_since(0, 0).recovered, 1);
    wsock_conn_ref(conn[0]);
    test_fail_allocation(1, 1);
    stage_settle(&stage);
    assert_true(test_stop_failing() > 0);
    stage_saw(&stage, "closed NO_MEMORY 1006");
    stage_settle(&stage);
    assert_int_equal(wsock_room_count(room), 0);
    wsock_conn_unref(conn[0]);
    stage_ended(&stage, &peer[0]);
    conn[0] = stage_accept_open(&stage, &peer[0]);
    stage_saw(&stage, "open");
    finish();
    free(large);
}

static void room_that_has_ended_keeps_nothing(void **state)
{
    const wsock_publish what = {
        .size = sizeof what, .data = "x", .len = 1, .type = WSOCK_TEXT};
    wsock_position position = {.size = sizeof position};
    struct look look = {0};

    (void)state;
    begin("history_time", "1h");
    say("1");
    stage_settle(&stage); /* the timer runs */
    wsi_registry_close(&registry);
    assert_int_equal(atomic_load(&registry.histories.bytes), 0);
    assert_int_equal(wsock_room_publish(room, &what, NULL), WSOCK_ECLOSED);
    assert_int_equal(wsock_room_position(room, &position), WSOCK_ECLOSED);
    assert_int_equal(wsock_room_history(room, 0, 5, see, &look), WSOCK_ECLOSED);
    finish();
}

static void on_message(wsock_room *of, const wsock_room_message *message, void *user)
{
    struct look *look = user;

    assert_ptr_equal(of, room);
    assert_true(message->offset == 0 || message->time_ms > INT64_C(1600000000000));
    assert_true(message->epoch == (message->offset > 0 ? room->history->epoch : 0));
    look->next = message->offset;
    snprintf(look->text + strlen(look->text), 8, "%llu%.*s",
             (unsigned long long)message->offset, (int)message->len,
             (const char *)message->data);
}

static void application_is_told_of_offsets(void **state)
{
    const wsock_publish secret = {.size = sizeof secret,
                                  .data = "s",
                                  .len = 1,
                                  .only = nobody_but_first,
                                  .type = WSOCK_TEXT};
    struct look look = {0};

    (void)state;
    begin("history_messages", "5");
    assert_int_equal(wsock_room_on_message(room, on_message, &look, NULL), 0);
    assert_int_equal(wsock_room_join(room, conn[0]), 0);
    say("a");
    assert_int_equal(wsock_room_publish(room, &secret, NULL), 1);
    say("b");
    stage_settle(&stage);
    assert_string_equal(look.text, "1a0s2b");
    assert_int_equal(wsock_room_on_message(room, NULL, NULL, NULL), 0);
    stage_settle(&stage);
    peer[0].output.len = 0;
    finish();
}

static void room_that_is_closed_lets_go_of_its_history(void **state)
{
    static const char *const pairs[] = {"history_messages", "5", NULL};

    (void)state;
    begin("history_time", "1h");
    say("1");
    stage_settle(&stage);
    assert_int_equal(wsock_room_close(room, "over"), 0);
    assert_int_equal(atomic_load(&registry.histories.bytes), 0);
    assert_int_equal(wsock_room_join(room, conn[0]), WSOCK_ECLOSED);
    wsock_room_unref(room);
    assert_int_equal(registry.count, 0);
    assert_int_equal(make(&room, "r", pairs), 0);
    assert_int_equal(say("another"), 1);
    finish();
}

static void clear(bool stop)
{
    bool due;

    pthread_mutex_lock(&room->lock);
    due = wsi_history_clear(room->history);
    pthread_mutex_unlock(&room->lock);
    assert_int_equal(due, stop);
    if (due)
        wsi_history_stop(room->history);
}

/* As when the broker of a cluster has begun anew. */
static void history_that_began_anew_is_timed_as_before(void **state)
{
    (void)state;
    begin("history_time", "1000");
    say("1");
    stage_settle(&stage);
    clear(true);
    say("2");
    clear(false); /* that mail is under way */
    stage_settle(&stage);
    say("3");
    stage_run(&stage, 500);
    clear(true);
    say("4");
    stage_run(&stage, 700);
    assert_int_equal(room->history->count, 1);
    stage_run(&stage, 700);
    assert_int_equal(room->history->count, 0);
    finish();
}

/* One that is told what it missed is closed, and what was said just before comes too. */
static void close_comes_behind_what_was_missed(void **state)
{
    enum { SIZE = 70000, COUNT = 3, FRAME = 10 + SIZE };
    static const char end[] = "\x81\x01z\x88\x02\x03\xe8";
    uint8_t *sent = calloc(1, COUNT * FRAME + sizeof end);

    (void)state;
    begin("history_messages", "10");
    for (int i = 0; i < COUNT; i++) {
        memcpy(sent + i * FRAME, "\x82\x7f\0\0\0\0\0\x01\x11\x70", 10);
        assert_true(wsock_room_broadcast(room, WSOCK_BINARY, sent + 10, SIZE) >= 0);
    }
    peer[0].write_room = 0;
    assert_int_equal(join_since(0, 0).count, COUNT);
    stage_settle(&stage);
    say("z");
    assert_int_equal(wsi_conn_close(conn[0], 1000, NULL, 0), 0);
    stage_settle(&stage);
    peer[0].write_room = SCRIPT_UNLIMITED;
    stage_settle(&stage);
    memcpy(sent + COUNT * FRAME, end, sizeof end - 1);
    stage_sent_bytes(&peer[0], sent, COUNT * FRAME + sizeof end - 1);
    finish();
    free(sent);
}

static void *end_first(void *user)
{
    (void)user;
    wsi_worker_current = conn[0]->worker;
    wsi_conn_end(conn[0], WSI_CLOSE_RESET, WSOCK_CAUSE_RESET, WSOCK_BY_US, NULL);
    return NULL;
}

static pthread_t ending;

/* Another thread ends the connection, up to where it would wait for the room's lock. */
static void end_meanwhile(void)
{
    assert_int_equal(pthread_create(&ending, NULL, end_first, NULL), 0);
    while (wsi_conn_state(conn[0]) == WSI_CONN_OPEN || wsi_conn_has_memberships(conn[0]))
        sched_yield();
}

static void join_without_memory_may_meet_the_end_of_its_connection(void **state)
{
    const wsock_position since = {.size = sizeof since};

    (void)state;
    begin("history_messages", "10");
    join_since(1, 0);
    say("a");
    /* The member, and then what it missed. */
    test_fail_allocation_after(2, end_meanwhile);
    assert_int_equal(wsock_room_join_since(room, conn[0], &since, NULL), WSOCK_ENOMEM);
    assert_int_equal(test_stop_failing(), 1);
    assert_int_equal(pthread_join(ending, NULL), 0);
    assert_int_equal(wsock_room_count(room), 1);
    stage_ended(&stage, &peer[0]);
    conn[0] = NULL;
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_kept_can_be_looked_at),
        TEST(room_without_history_has_no_position),
        TEST(as_many_messages_are_kept_as_asked),
        TEST(as_many_bytes_are_kept_as_asked),
        TEST(messages_are_kept_as_long_as_asked),
        TEST(history_that_is_too_old_lets_go_of_its_room),
        TEST(history_without_a_time_keeps_its_room),
        TEST(room_that_was_made_anew_has_another_epoch),
        TEST(the_room_with_most_makes_room_for_all),
        TEST(member_hears_what_it_missed_and_then_what_is_new),
        TEST(who_is_not_recovered_hears_what_is_new),
        TEST(who_comes_first_hears_all_that_is_kept),
        TEST(what_some_may_hear_is_not_kept),
        TEST(what_was_missed_is_not_dropped),
        TEST(leaving_ends_what_was_missed),
        TEST(publishing_without_memory_takes_no_offset),
        TEST(joining_without_memory_changes_nothing),
        TEST(who_cannot_be_told_what_it_missed_is_ended),
        TEST(room_that_has_ended_keeps_nothing),
        TEST(application_is_told_of_offsets),
        TEST(room_that_is_closed_lets_go_of_its_history),
        TEST(history_that_began_anew_is_timed_as_before),
        TEST(close_comes_behind_what_was_missed),
        TEST(join_without_memory_may_meet_the_end_of_its_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
