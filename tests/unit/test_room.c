/* SPDX-License-Identifier: MIT */
/* Members and messages of a room, with two workers that run when the test says. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>
#include <wsock/room.h>

#include "conn/closing.h"
#include "conn/encode.h"
#include "conn/send.h"
#include "room/room.h"
#include "stage.h"

enum { MEMBERS = 6 }; /* even ones on worker 0, odd ones on worker 1 */

static struct stage stage;
static struct wsi_registry registry;
static const wsock_publish to_all = {0};
static wsock_room *room;
static struct script_peer peer[MEMBERS];
static struct wsock_conn *conn[MEMBERS];

static int get(wsock_room **out, const char *name)
{
    char why[WSI_ROOM_WHY_SIZE];

    return wsi_registry_get(&registry, out, name, NULL, why, sizeof why);
}

static void begin(void)
{
    stage_begin(&stage, 2);
    assert_int_equal(wsi_registry_init(&registry, &stage.service.owner,
                                       &stage.service.profile.options),
                     0);
    assert_int_equal(get(&room, "r"), 0);
    for (unsigned i = 0; i < MEMBERS; i++) {
        conn[i] = stage_accept(&stage, &peer[i], i % 2);
        script_feed(&peer[i], stage_request, strlen(stage_request));
    }
    stage_settle_all(&stage);
    for (int i = 0; i < MEMBERS; i++)
        stage_sent_bytes(&peer[i], stage_accepted, strlen(stage_accepted));
    stage_saw(&stage, "open | open | open | open | open | open");
}

static void join(int first, int last)
{
    for (int i = first; i <= last; i++)
        assert_int_equal(wsock_room_join(room, conn[i]), 0);
}

static void drop(int i)
{
    stage_drop(&stage, conn[i], &peer[i]);
    conn[i] = NULL;
}

static void finish(void)
{
    for (int i = 0; i < MEMBERS; i++)
        if (conn[i] != NULL)
            drop(i);
    stage_settle_all(&stage);
    assert_int_equal(wsock_room_count(room), 0);
    wsock_room_unref(room);
    assert_int_equal(registry.count, 0);
    wsi_registry_fini(&registry);
    stage_end(&stage);
}

static int say(const char *text)
{
    return wsock_room_broadcast(room, WSOCK_TEXT, text, strlen(text));
}

/* ---- members ---- */

static void members_join_once_and_leave_once(void **state)
{
    wsock_conn *found[MEMBERS] = {0};

    (void)state;
    begin();
    assert_int_equal(wsock_room_leave(room, conn[0]), WSOCK_ENOENT);
    join(0, 2);
    assert_int_equal(wsock_room_join(room, conn[0]), WSOCK_EEXIST);
    assert_int_equal(wsock_room_count(room), 3);
    assert_int_equal(wsock_room_members(room, found, 2), 3);
    assert_ptr_equal(found[0], conn[0]);
    assert_ptr_equal(found[1], conn[1]);
    assert_null(found[2]);
    wsock_conn_unref(found[0]);
    wsock_conn_unref(found[1]);
    assert_int_equal(wsock_room_leave(room, conn[1]), 0);
    assert_int_equal(wsock_room_leave(room, conn[1]), WSOCK_ENOENT);
    assert_int_equal(wsock_room_count(room), 2);
    assert_true(wsi_room_has(room, conn[0]));
    assert_false(wsi_room_has(room, conn[1]));
    assert_int_equal(wsock_room_join(room, conn[1]), 0); /* before the leave has run */
    assert_int_equal(say("x"), 3);
    stage_settle_all(&stage);
    for (int i = 0; i < 3; i++)
        stage_sent(&peer[i], "\x81\x01x");
    finish();
}

static void members_that_end_leave(void **state)
{
    (void)state;
    begin();
    join(0, 3);
    assert_int_equal(wsi_conn_close(conn[0], 1000, NULL, 0), 0);
    drop(1);
    assert_int_equal(wsock_room_count(room), 2);
    assert_int_equal(wsock_room_join(room, conn[0]), WSOCK_ECLOSED);
    assert_int_equal(say("x"), 2);
    stage_settle_all(&stage);
    stage_sent(&peer[0], "\x88\x02\x03\xe8");
    stage_sent(&peer[2], "\x81\x01x");
    stage_sent(&peer[3], "\x81\x01x");
    finish();
}

/* A handler does all of it, on the worker. */
static void close_comes_behind_what_was_said_before(void **state)
{
    (void)state;
    begin();
    join(0, 2);
    assert_int_equal(wsi_group_join(&registry, conn[4], "*"), 0);
    assert_int_equal(say("x"), 4);
    assert_int_equal(wsi_conn_close(conn[0], 4000, "bye", 3), 0);
    assert_int_equal(wsi_conn_close(conn[4], 4000, NULL, 0), 0);
    assert_int_equal(wsock_room_count(room), 2); /* it is none any more */
    assert_int_equal(wsock_room_join(room, conn[0]), WSOCK_ECLOSED);
    assert_int_equal(wsi_conn_close(conn[0], 4001, NULL, 0), WSOCK_ECLOSED);
    assert_int_equal(wsi_conn_send(conn[0], WSOCK_TEXT, "late", 4), WSOCK_ECLOSED);
    assert_int_equal(say("y"), 2);
    stage_settle_all(&stage);
    stage_sent(&peer[0], "\x81\x01x\x88\x05\x0f\xa0"
                         "bye");
    stage_sent(&peer[4], "\x81\x01x\x88\x02\x0f\xa0");
    stage_sent(&peer[1], "\x81\x01x\x81\x01y");
    stage_sent(&peer[2], "\x81\x01x\x81\x01y");
    finish();
}

/* Without memory for the mail the close frame overtakes. */
static void close_without_memory_does_not_wait(void **state)
{
    (void)state;
    begin();
    join(0, 0);
    assert_int_equal(say("x"), 1);
    test_fail_allocation(1, 0);
    assert_int_equal(wsi_conn_close(conn[0], 1000, NULL, 0), 0);
    assert_int_equal(test_stop_failing(), 1);
    stage_settle_all(&stage);
    stage_sent(&peer[0], "\x88\x02\x03\xe8");
    finish();
}

static void member_that_is_failed_leaves_before_its_socket_ends(void **state)
{
    (void)state;
    begin();
    join(0, 1);
    script_feed(&peer[0], "\xff\xff", 2);
    stage_settle_all(&stage);
    assert_int_equal(wsi_conn_state(conn[0]), WSI_CONN_ENDING);
    assert_int_equal(wsock_room_count(room), 1);
    assert_int_equal(say("x"), 1);
    finish();
}

static void member_of_too_many_rooms_is_refused(void **state)
{
    wsock_room *second = NULL;

    (void)state;
    begin();
    assert_int_equal(wsi_options_set_number(&stage.endpoint.options,
                                            "max_rooms_per_connection", 1, true, NULL, 0),
                     0);
    assert_int_equal(get(&second, "second"), 0);
    join(0, 0);
    assert_int_equal(wsock_room_join(second, conn[0]), WSOCK_ETOOBIG);
    assert_int_equal(wsock_room_leave(room, conn[0]), 0);
    assert_int_equal(wsock_room_join(second, conn[0]), 0);
    wsock_room_unref(second);
    finish();
}

static void room_with_max_members_is_joined_by_no_more(void **state)
{
    (void)state;
    begin();
    wsock_room_unref(room);
    assert_int_equal(wsi_options_set_number(&stage.service.profile.options, "max_members",
                                            2, true, NULL, 0),
                     0);
    assert_int_equal(get(&room, "two"), 0);
    join(0, 1);
    assert_int_equal(wsock_room_join(room, conn[2]), WSOCK_ETOOBIG);
    assert_int_equal(wsock_room_leave(room, conn[0]), 0);
    assert_int_equal(wsock_room_join(room, conn[2]), 0);
    finish();
}

static void room_that_has_ended_is_not_joined(void **state)
{
    (void)state;
    begin();
    join(0, 0);
    wsi_registry_close(&registry);
    assert_int_equal(wsock_room_join(room, conn[1]), WSOCK_ECLOSED);
    assert_int_equal(say("x"), WSOCK_ECLOSED);
    assert_int_equal(wsock_room_leave(room, conn[0]), 0);
    finish();
}

static void join_without_memory_changes_nothing(void **state)
{
    int r = 0;

    (void)state;
    begin();
    join(1, 1); /* what the room makes for its first member */
    stage_settle_all(&stage);
    FOR_EACH_OOM(r, r = wsock_room_join(room, conn[0]), {
        assert_int_equal(wsock_room_leave(room, conn[0]), 0);
        stage_settle_all(&stage);
    });
    assert_int_equal(wsock_room_count(room), 1);
    finish();
}

static void first_join_without_memory_changes_nothing(void **state)
{
    (void)state;
    begin();
    for (size_t n = 1; n <= 2; n++) {
        test_fail_allocation(n, 0);
        assert_int_equal(wsock_room_join(room, conn[0]), WSOCK_ENOMEM);
        assert_int_equal(test_stop_failing(), 1);
        assert_int_equal(wsock_room_count(room), 0);
        assert_false(wsi_room_has(room, conn[0]));
    }
    join(0, 0);
    finish();
}

/* ---- order ---- */

static void member_hears_what_is_said_between_join_and_leave(void **state)
{
    (void)state;
    begin();
    join(0, 1);
    assert_int_equal(say("1"), 2);
    join(2, 3);
    assert_int_equal(say("2"), 4);
    assert_int_equal(wsock_room_leave(room, conn[0]), 0);
    assert_int_equal(say("3"), 3);
    assert_int_equal(wsock_room_join(room, conn[0]), 0);
    assert_int_equal(say("4"), 4);
    stage_settle_all(&stage); /* all of it at once */
    stage_sent(&peer[0], "\x81\x01"
                         "1\x81\x01"
                         "2\x81\x01"
                         "4");
    stage_sent(&peer[1], "\x81\x01"
                         "1\x81\x01"
                         "2\x81\x01"
                         "3\x81\x01"
                         "4");
    for (int i = 2; i <= 3; i++)
        stage_sent(&peer[i], "\x81\x01"
                             "2\x81\x01"
                             "3\x81\x01"
                             "4");
    stage_sent(&peer[4], "");
    finish();
}

static void workers_deliver_when_they_come_to_it(void **state)
{
    (void)state;
    begin();
    join(0, 1);
    assert_int_equal(say("1"), 2);
    stage_settle_worker(&stage, 1);
    stage_sent(&peer[0], "");
    stage_sent(&peer[1], "\x81\x01"
                         "1");
    assert_int_equal(say("2"), 2);
    stage_settle_all(&stage);
    stage_sent(&peer[0], "\x81\x01"
                         "1\x81\x01"
                         "2");
    stage_sent(&peer[1], "\x81\x01"
                         "2");
    finish();
}

/* ---- to whom ---- */

static void one_may_be_left_out(void **state)
{
    (void)state;
    begin();
    join(0, 2);
    assert_int_equal(wsock_room_broadcast_except(room, conn[1], WSOCK_TEXT, "x", 1), 2);
    assert_int_equal(wsock_room_broadcast_except(room, conn[5], WSOCK_TEXT, "y", 1), 3);
    stage_settle_all(&stage);
    stage_sent(&peer[0], "\x81\x01x\x81\x01y");
    stage_sent(&peer[1], "\x81\x01y");
    stage_sent(&peer[2], "\x81\x01x\x81\x01y");
    stage_sent(&peer[5], "");
    finish();
}

static int is_late(wsock_conn *c, void *user)
{
    (*(int *)user)++;
    return c == conn[2] || c == conn[5];
}

static int nobody(wsock_conn *c, void *user)
{
    (void)c;
    (void)user;
    return 0;
}

static void predicate_chooses_among_the_members(void **state)
{
    int asked = 0;

    (void)state;
    begin();
    join(0, MEMBERS - 1);
    assert_int_equal(wsock_room_broadcast_if(room, is_late, &asked, WSOCK_TEXT, "x", 1),
                     2);
    assert_int_equal(asked, MEMBERS);
    assert_int_equal(wsock_room_broadcast_if(room, nobody, NULL, WSOCK_TEXT, "y", 1), 0);
    assert_int_equal(wsock_room_broadcast_if(room, NULL, NULL, WSOCK_TEXT, "y", 1),
                     WSOCK_EINVAL);
    stage_settle_all(&stage);
    for (int i = 0; i < MEMBERS; i++)
        if (i == 2 || i == 5)
            stage_sent(&peer[i], "\x81\x01x");
        else
            stage_sent(&peer[i], "");
    finish();
}

static void predicate_without_memory_is_refused(void **state)
{
    int asked = 0, r = 0;

    (void)state;
    begin();
    join(0, MEMBERS - 1);
    assert_int_equal(say("warm"), MEMBERS);
    stage_settle_all(&stage);
    FOR_EACH_OOM(r,
                 r = wsock_room_broadcast_if(room, is_late, &asked, WSOCK_TEXT, "x", 1),
                 stage_settle_all(&stage));
    finish();
}

static void message_that_is_none_reaches_nobody(void **state)
{
    (void)state;
    begin();
    join(0, 1);
    assert_int_equal(wsock_room_broadcast(room, WSOCK_TEXT, "\xff", 1), WSOCK_EUTF8);
    assert_int_equal(wsock_room_broadcast(room, 3, "x", 1), WSOCK_EINVAL);
    assert_int_equal(wsock_room_broadcast(NULL, WSOCK_TEXT, "x", 1), WSOCK_EINVAL);
    stage_settle_all(&stage);
    stage_sent(&peer[0], "");
    assert_int_equal(wsock_room_leave(room, conn[0]), 0);
    assert_int_equal(wsock_room_leave(room, conn[1]), 0);
    assert_int_equal(say("nobody there"), 0);
    finish();
}

static void several_may_be_left_out(void **state)
{
    wsock_publish what = {.size = sizeof what, .data = "x", .len = 1, .type = WSOCK_TEXT};

    (void)state;
    begin();
    what.except = conn[0];
    what.excluded_count = 5;
    what.excluded = (wsock_conn *const[]){conn[2], NULL, conn[1], conn[2], conn[5]};
    join(0, 4);
    assert_int_equal(wsock_room_publish(room, &what, NULL), 2);
    what.except = conn[1]; /* twice */
    assert_int_equal(wsock_room_publish(room, &what, NULL), 3);
    what.only = is_late;
    what.only_user = &(int){0};
    what.excluded = (wsock_conn *const[]){conn[3]};
    what.excluded_count = 1;
    assert_int_equal(wsock_room_publish(room, &what, NULL), 1);
    stage_settle_all(&stage);
    stage_sent(&peer[0], "\x81\x01x");
    stage_sent(&peer[1], "");
    stage_sent(&peer[2], "\x81\x01x");
    stage_sent(&peer[3], "\x81\x01x\x81\x01x");
    stage_sent(&peer[4], "\x81\x01x\x81\x01x");
    finish();
}

static void what_is_published_is_checked(void **state)
{
    char longest[257];
    wsock_publish what = {.size = sizeof what, .data = "x", .len = 1, .type = WSOCK_TEXT};

    (void)state;
    begin();
    join(0, 0);
    memset(longest, 'k', sizeof longest);
    longest[256] = '\0';
    assert_int_equal(wsock_room_publish(NULL, &what, NULL), WSOCK_EINVAL);
    assert_int_equal(wsock_room_publish(room, NULL, NULL), WSOCK_EINVAL);
    what.size--;
    assert_int_equal(wsock_room_publish(room, &what, NULL), WSOCK_EINVAL);
    what.size++;
    what.excluded_count = 1;
    assert_int_equal(wsock_room_publish(room, &what, NULL), WSOCK_EINVAL);
    what.excluded_count = 0;
    what.key = longest;
    assert_int_equal(wsock_room_publish(room, &what, NULL), WSOCK_ETOOBIG);
    what.key = "\xff";
    assert_int_equal(wsock_room_publish(room, &what, NULL), WSOCK_EUTF8);
    what.key = longest + 1;
    assert_int_equal(wsock_room_publish(room, &what, NULL), 1);
    stage_settle_all(&stage);
    stage_sent(&peer[0], "\x81\x01x");
    finish();
}

static void message_with_a_key_is_one_block_too(void **state)
{
    int r = 0;
    wsock_publish what = {
        .size = sizeof what, .data = "x", .len = 1, .key = "key", .type = WSOCK_TEXT};

    (void)state;
    begin();
    join(0, 2);
    stage_settle_all(&stage);
    assert_int_equal(wsock_room_publish(room, &what, NULL), 3);
    stage_settle_all(&stage);
    test_fail_allocation(2, 1);
    assert_int_equal(wsock_room_publish(room, &what, NULL), 3);
    stage_settle_all(&stage);
    assert_int_equal(test_stop_failing(), 0);
    what.excluded = (wsock_conn *const[]){conn[2], conn[1]};
    what.excluded_count = 2;
    FOR_EACH_OOM(r, r = wsock_room_publish(room, &what, NULL), stage_settle_all(&stage));
    for (int i = 0; i < 3; i++)
        peer[i].output.len = 0;
    finish();
}

/* ---- cost ---- */

static void broadcast_allocates_once_however_many_hear_it(void **state)
{
    static const size_t lengths[] = {5, 4000, 100000};
    char *text = malloc(100001);

    (void)state;
    memset(text, 'x', 100000);
    text[100000] = '\0';
    begin();
    for (int i = 0; i < MEMBERS; i++) {
        join(i, i);
        for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++) {
            const size_t len = lengths[k];
            size_t live;

            /* What the loops keep for next time is made. */
            assert_int_equal(wsock_room_broadcast(room, WSOCK_TEXT, text, len), i + 1);
            stage_settle_all(&stage);
            live = test_live_blocks();
            test_fail_allocation(1, 0);
            assert_int_equal(wsock_room_broadcast(room, WSOCK_TEXT, text, len),
                             WSOCK_ENOMEM);
            assert_int_equal(test_stop_failing(), 1);
            test_fail_allocation(2, 1);
            assert_int_equal(wsock_room_broadcast(room, WSOCK_TEXT, text, len), i + 1);
            stage_settle_all(&stage);
            assert_int_equal(test_stop_failing(), 0);
            assert_int_equal(test_live_blocks(), live);
            for (int m = 0; m <= i; m++) {
                assert_true(peer[m].output.len > 2 * len);
                peer[m].output.len = 0;
            }
        }
    }
    finish();
    free(text);
}

static void shared_message_is_not_copied(void **state)
{
    struct wsi_blob *frame = NULL;
    char *text = malloc(100000);

    (void)state;
    memset(text, 'x', 100000);
    begin();
    join(0, MEMBERS - 1);
    assert_int_equal(wsi_encode_message(&frame, WSOCK_TEXT, text, 100000), 0);
    for (int i = 0; i < MEMBERS; i++)
        peer[i].write_room = 0;
    assert_int_equal(wsi_room_publish(room, &(wsock_publish){.except = conn[3]},
                                      &(struct wsi_frames){.plain = frame}, NULL),
                     MEMBERS - 1);
    stage_settle_all(&stage);
    assert_int_equal(atomic_load(&frame->ref.count), MEMBERS); /* queued by reference */
    for (int i = 0; i < MEMBERS; i++)
        peer[i].write_room = SCRIPT_UNLIMITED;
    stage_settle_all(&stage);
    assert_int_equal(atomic_load(&frame->ref.count), 1);
    stage_sent(&peer[3], "");
    for (int i = 0; i < MEMBERS; i++)
        if (i != 3)
            stage_sent_bytes(&peer[i], frame->data, frame->len);
    wsi_blob_unref(frame);
    finish();
    free(text);
}

/* ---- limits ---- */

static void worker_that_is_far_behind_stops_the_room(void **state)
{
    const size_t len = 1024 * 1024;
    char *text = calloc(1, len);
    int said = 0;

    (void)state;
    begin();
    join(0, 1);
    stage_settle_all(&stage);
    while (wsock_room_broadcast(room, WSOCK_BINARY, text, len) == 2) {
        assert_true(++said <= 17);
        stage_settle_worker(&stage, 0); /* one keeps up, the other does not */
    }
    assert_int_equal(said, 16); /* MiB, and the headers */
    assert_int_equal(wsock_room_broadcast(room, WSOCK_BINARY, text, 1), WSOCK_EAGAIN);
    assert_int_equal(wsock_room_broadcast_if(room, is_late, &said, WSOCK_BINARY, text, 1),
                     0);
    stage_settle_worker(&stage, 1);
    assert_int_equal(wsock_room_broadcast(room, WSOCK_BINARY, text, 1), 2);
    finish();
    free(text);
}

static void refused_message_leaves_nothing(void **state)
{
    char *text = calloc(1, WSI_ROOM_PENDING_MAX);
    size_t live;

    (void)state;
    begin();
    join(0, 2);
    stage_settle_all(&stage);
    assert_int_equal(wsock_room_broadcast(room, WSOCK_BINARY, text, WSI_ROOM_PENDING_MAX),
                     3);
    live = test_live_blocks();
    assert_int_equal(wsock_room_broadcast_except(room, conn[0], WSOCK_BINARY, text, 1),
                     WSOCK_EAGAIN);
    assert_int_equal(
        wsock_room_broadcast_if(room, is_late, &(int){0}, WSOCK_BINARY, text, 1),
        WSOCK_EAGAIN);
    assert_int_equal(test_live_blocks(), live);
    stage_settle_all(&stage);
    finish();
    free(text);
}

static void compressed_forms_fill_a_room_as_well(void **state)
{
    const size_t half = WSI_ROOM_PENDING_MAX / 2;
    struct wsi_frames frames = {0};
    struct wsi_blob *packed = wsi_blob_new(half);

    (void)state;
    assert_non_null(packed);
    packed->len = half;
    assert_int_equal(wsi_encode_message(&frames.plain, WSOCK_TEXT, "x", 1), 0);
    atomic_store(&frames.packed[0], packed);
    atomic_store(&frames.packed[3], wsi_blob_ref(packed)); /* counts once */
    atomic_store(&frames.packed[7], wsi_blob_ref(frames.plain));
    assert_int_equal(wsi_frames_bytes(&frames), half + 3);
    begin();
    join(0, 0);
    assert_int_equal(wsi_room_publish(room, &to_all, &frames, NULL), 1);
    assert_int_equal(wsi_room_publish(room, &to_all, &frames, NULL), 1);
    assert_int_equal(wsi_room_publish(room, &to_all, &frames, NULL), WSOCK_EAGAIN);
    stage_settle_all(&stage);
    stage_sent(&peer[0], "\x81\x01x\x81\x01x");
    finish();
    wsi_frames_drop_packed(&frames);
    wsi_blob_unref(frames.plain);
}

static void member_that_does_not_read_holds_nobody_up(void **state)
{
    (void)state;
    begin();
    assert_int_equal(wsi_options_set_number(&stage.endpoint.options, "max_backlog_bytes",
                                            10, true, NULL, 0),
                     0);
    join(0, 2);
    peer[0].write_room = 0;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(say("12345678"), 3);
        stage_settle_all(&stage);
    }
    for (int i = 1; i <= 2; i++)
        stage_sent(&peer[i], "\x81\x08"
                             "12345678\x81\x08"
                             "12345678\x81\x08"
                             "12345678");
    peer[0].write_room = SCRIPT_UNLIMITED;
    stage_settle_all(&stage);
    stage_sent(&peer[0], "\x81\x08"
                         "12345678"); /* it misses the others */
    finish();
}

static void room_with(const char *option, const char *value)
{
    wsock_room_unref(room);
    assert_int_equal(
        wsi_options_set(&stage.service.profile.options, option, value, true, NULL, 0), 0);
    assert_int_equal(get(&room, "with"), 0);
}

static void slow_members_are_counted(void **state)
{
    char *large = calloc(1, 70000);

    (void)state;
    begin();
    room_with("slow_queue_messages", "2");
    join(0, 2);
    peer[0].write_room = peer[1].write_room = 0;
    assert_int_equal(wsock_room_broadcast(room, WSOCK_BINARY, large, 70000), 3);
    for (int i = 0; i < 5; i++)
        assert_int_equal(say("x"), 3);
    stage_settle_all(&stage);
    assert_int_equal(wsock_room_dropped(room, conn[0]), 3);
    assert_int_equal(wsock_room_dropped(room, conn[2]), 0);
    assert_int_equal(wsock_room_dropped(room, conn[3]), WSOCK_ENOENT);
    assert_int_equal(wsock_room_leave(room, conn[1]), 0);
    assert_int_equal(wsock_room_dropped(room, conn[1]), WSOCK_ENOENT);
    assert_int_equal(wsock_room_dropped(room, NULL), 6);
    stage_settle_all(&stage);
    peer[0].write_room = peer[1].write_room = SCRIPT_UNLIMITED;
    stage_settle_all(&stage);
    assert_int_equal(peer[0].output.len, 70010 + 2 * 3);
    assert_int_equal(peer[1].output.len, 70010 + 2 * 3); /* said before it left */
    assert_int_equal(peer[2].output.len, 70010 + 5 * 3);
    for (int i = 0; i < 3; i++)
        peer[i].output.len = 0;
    finish();
    free(large);
}

static void close_of_a_slow_member_comes_behind_all_that_waits_for_it(void **state)
{
    enum { SIZE = 70000 };
    static const char end[] = "\x82\x01y\x82\x01z\x88\x02\x03\xe8";
    uint8_t *sent = calloc(1, 10 + SIZE + sizeof end);

    (void)state;
    begin();
    join(0, 0);
    peer[0].write_room = 0;
    memcpy(sent, "\x82\x7f\0\0\0\0\0\x01\x11\x70", 10);
    assert_int_equal(wsock_room_broadcast(room, WSOCK_BINARY, sent + 10, SIZE), 1);
    assert_int_equal(wsock_room_broadcast(room, WSOCK_BINARY, "y", 1), 1);
    stage_settle_all(&stage);
    assert_int_equal(wsock_room_broadcast(room, WSOCK_BINARY, "z", 1), 1);
    assert_int_equal(wsi_conn_close(conn[0], 1000, NULL, 0), 0);
    stage_settle_all(&stage);
    peer[0].write_room = SCRIPT_UNLIMITED;
    stage_settle_all(&stage);
    memcpy(sent + 10 + SIZE, end, sizeof end - 1);
    stage_sent_bytes(&peer[0], sent, 10 + SIZE + sizeof end - 1);
    finish();
    free(sent);
}

static void latest_value_of_a_key_reaches_slow_members(void **state)
{
    char *large = calloc(1, 70000);
    wsock_publish what = {.size = sizeof what, .len = 1, .type = WSOCK_TEXT};

    (void)state;
    begin();
    room_with("slow_members", "latest_only");
    join(0, 1);
    peer[0].write_room = 0;
    assert_int_equal(wsock_room_broadcast(room, WSOCK_BINARY, large, 70000), 2);
    for (int i = 0; i < 3; i++) {
        what.key = "a";
        what.data = &"123"[i];
        assert_int_equal(wsock_room_publish(room, &what, NULL), 2);
        what.key = "b";
        what.data = &"789"[i];
        assert_int_equal(wsock_room_publish(room, &what, NULL), 2);
        stage_settle_all(&stage);
    }
    assert_int_equal(wsock_room_dropped(room, conn[0]), 4);
    peer[0].write_room = SCRIPT_UNLIMITED;
    stage_settle_all(&stage);
    peer[0].output.len -= 70010;
    memmove(peer[0].output.data, (char *)peer[0].output.data + 70010, peer[0].output.len);
    stage_sent(&peer[0], "\x81\x01"
                         "3\x81\x01"
                         "9");
    assert_int_equal(peer[1].output.len, 70010 + 6 * 3);
    peer[1].output.len = 0;
    finish();
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(members_join_once_and_leave_once),
        TEST(members_that_end_leave),
        TEST(close_comes_behind_what_was_said_before),
        TEST(close_without_memory_does_not_wait),
        TEST(member_that_is_failed_leaves_before_its_socket_ends),
        TEST(member_of_too_many_rooms_is_refused),
        TEST(room_with_max_members_is_joined_by_no_more),
        TEST(room_that_has_ended_is_not_joined),
        TEST(join_without_memory_changes_nothing),
        TEST(first_join_without_memory_changes_nothing),
        TEST(member_hears_what_is_said_between_join_and_leave),
        TEST(workers_deliver_when_they_come_to_it),
        TEST(one_may_be_left_out),
        TEST(predicate_chooses_among_the_members),
        TEST(predicate_without_memory_is_refused),
        TEST(message_that_is_none_reaches_nobody),
        TEST(several_may_be_left_out),
        TEST(what_is_published_is_checked),
        TEST(message_with_a_key_is_one_block_too),
        TEST(broadcast_allocates_once_however_many_hear_it),
        TEST(shared_message_is_not_copied),
        TEST(worker_that_is_far_behind_stops_the_room),
        TEST(refused_message_leaves_nothing),
        TEST(compressed_forms_fill_a_room_as_well),
        TEST(member_that_does_not_read_holds_nobody_up),
        TEST(slow_members_are_counted),
        TEST(close_of_a_slow_member_comes_behind_all_that_waits_for_it),
        TEST(latest_value_of_a_key_reaches_slow_members),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
