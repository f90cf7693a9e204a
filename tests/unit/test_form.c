/* SPDX-License-Identifier: MIT */
/* What members that speak rooms.v1 get, beside those that do not: each frame as it is
 * written, and who gets which, on two workers that run when the test says. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <wsock/error.h>
#include <wsock/room.h>

#include "conn/encode.h"
#include "conn/identity.h"
#include "room/envelope.h"
#include "room/room.h"
#include "stage.h"

enum { CONNS = 4, LARGE = 100000 }; /* even ones on worker 0, odd ones on worker 1 */

static struct stage stage;
static struct wsi_registry registry;
static wsock_room *room;
static struct script_peer peer[CONNS];
static struct wsock_conn *conn[CONNS];

/* ---- what is written ---- */

static const struct wsi_telling plain = {
    .room = "lobby",
    .event = "message",
    .from = "",
    .data = "hi",
    .len = 2,
    .time_ms = 1,
    .type = WSOCK_TEXT,
};

static void msg_is(const struct wsi_telling *telling, const char *expected)
{
    const size_t len = strlen(expected);
    uint8_t *out = malloc(len + 1);
    struct wsi_writer writer = {.at = out};

    assert_non_null(out);
    out[len] = '#';
    assert_int_equal(wsi_frame_measure(wsi_form_msg, telling), len);
    wsi_form_msg(&writer, telling);
    assert_int_equal(writer.len, len);
    assert_memory_equal(out, expected, len);
    assert_int_equal(out[len], '#');
    free(out);
}

static void message_is_told_with_all_that_is_said_of_it(void **state)
{
    struct wsi_telling telling = plain;

    (void)state;
    msg_is(&telling,
           "{\"type\":\"msg\",\"room\":\"lobby\",\"event\":\"message\",\"data\":\"hi\","
           "\"time\":1}");
    telling.from = "Ann \"A\"";
    telling.event = "a\\b";
    telling.time_ms = INT64_MAX;
    telling.epoch = UINT64_MAX;
    telling.offset = UINT64_MAX;
    telling.prev = UINT64_MAX - 1;
    msg_is(&telling,
           "{\"type\":\"msg\",\"room\":\"lobby\",\"event\":\"a\\\\b\",\"data\":\"hi\","
           "\"from\":\"Ann \\\"A\\\"\",\"time\":9223372036854775807,"
           "\"epoch\":\"ffffffffffffffff\",\"offset\":18446744073709551615,"
           "\"prev\":18446744073709551614}");
    telling = plain;
    telling.room = "r\"";
    telling.time_ms = -1; /* before 1970 */
    telling.epoch = 0x0123456789abcdef;
    telling.offset = 1;
    telling.prev = 0;
    msg_is(&telling,
           "{\"type\":\"msg\",\"room\":\"r\\\"\",\"event\":\"message\",\"data\":\"hi\","
           "\"time\":0,\"epoch\":\"0123456789abcdef\",\"offset\":1,\"prev\":0}");
}

static void data_is(int type, const char *data, size_t len, const char *expected)
{
    struct wsi_telling telling = plain;
    char text[512];

    telling.type = type;
    telling.data = data;
    telling.len = len;
    snprintf(text, sizeof text,
             "{\"type\":\"msg\",\"room\":\"lobby\",\"event\":\"message\",\"data\":%s,"
             "\"time\":1}",
             expected);
    msg_is(&telling, text);
}

static void data_is_text_json_or_bytes(void **state)
{
    (void)state;
    data_is(WSOCK_TEXT, NULL, 0, "\"\"");
    data_is(WSOCK_TEXT, "{\"a\":\n1}\x01", 9, "\"{\\\"a\\\":\\n1}\\u0001\"");
    data_is(WSOCK_TEXT, "\xc3\xa9\0", 3, "\"\xc3\xa9\\u0000\"");
    data_is(WSOCK_TEXT | WSOCK_JSON, " {\"a\":\n1} ", 10, " {\"a\":\n1} ");
    data_is(WSOCK_TEXT | WSOCK_JSON | WSOCK_UNCOMPRESSED, "1e400", 5, "1e400");
    data_is(WSOCK_BINARY, NULL, 0, "{\"b64\":\"\"}");
    data_is(WSOCK_BINARY, "\0", 1, "{\"b64\":\"AA==\"}");
    data_is(WSOCK_BINARY, "\0\1", 2, "{\"b64\":\"AAE=\"}");
    data_is(WSOCK_BINARY | WSOCK_UNCOMPRESSED, "\0\1\xff", 3, "{\"b64\":\"AAH/\"}");
}

static void frames_carry_messages_of_any_length(void **state)
{
    struct wsi_telling telling = plain;
    char *text = malloc(70000);

    (void)state;
    assert_non_null(text);
    memset(text, '\n', 70000);
    telling.offset = 2;
    telling.prev = 1;
    telling.data = text;
    for (telling.len = 0; telling.len < 70000;
         telling.len += telling.len < 100 ? 1 : 34567) {
        struct wsi_v1 *v1 = NULL;
        struct wsi_payload payload;

        assert_int_equal(wsi_v1_new(&v1, &telling, true), 0);
        payload = wsi_encoded_payload(v1->frames.plain);
        assert_int_equal(v1->frames.plain->data[0], 0x81);
        assert_int_equal(payload.len, wsi_frame_measure(wsi_form_msg, &telling));
        assert_memory_equal(payload.data, "{\"type\":\"msg\",", 14);
        payload = wsi_encoded_payload(v1->skip);
        assert_int_equal(payload.len, strlen("{\"type\":\"skip\",\"room\":\"lobby\","
                                             "\"epoch\":\"0000000000000000\","
                                             "\"offset\":2,\"prev\":1}"));
        assert_memory_equal(payload.data, "{\"type\":\"skip\",\"room\":\"lobby\",", 30);
        assert_true(wsi_v1_bytes(v1) >= v1->frames.plain->len + v1->skip->len);
        wsi_v1_unref(v1);
    }
    free(text);
}

/* What surrounds it counts too. The data is not looked at then. */
static void frame_that_cannot_be_sent_is_refused(void **state)
{
    struct wsi_telling telling = plain;
    struct wsi_v1 *v1 = NULL;

    (void)state;
    telling.type = WSOCK_TEXT | WSOCK_JSON;
    telling.len = WSI_MESSAGE_MAX - 60;
    assert_int_equal(wsi_v1_new(&v1, &telling, true), WSOCK_ETOOBIG);
    assert_null(v1);
}

/* Each of three may be the last that keeps the memory. */
static void frames_outlive_what_they_were_made_in(void **state)
{
    (void)state;
    for (int last = 0; last < 3; last++) {
        struct wsi_v1 *v1 = NULL;
        struct wsi_blob *msg, *skip;

        assert_int_equal(wsi_v1_new(&v1, &plain, true), 0);
        msg = wsi_blob_ref(v1->frames.plain);
        skip = wsi_blob_ref(v1->skip);
        if (last != 0)
            wsi_v1_unref(v1);
        if (last != 1)
            wsi_blob_unref(msg);
        if (last != 2)
            wsi_blob_unref(skip);
        if (last == 0)
            wsi_v1_unref(v1);
        else
            wsi_blob_unref(last == 1 ? msg : skip);
    }
}

/* ---- who gets it ---- */

static wsock_room *get(const char *name, const char *option, const char *value)
{
    const char *const pairs[] = {option, value, NULL};
    char why[WSI_ROOM_WHY_SIZE];
    struct wsi_options asked;
    wsock_room *found;

    assert_int_equal(wsi_room_options_read(&asked, pairs, why, sizeof why), 0);
    assert_int_equal(wsi_registry_get(&registry, &found, name, &asked, why, sizeof why),
                     0);
    return found;
}

/* The first two speak rooms.v1, one on each worker. */
static void begin(const char *option, const char *value)
{
    stage_begin(&stage, 2);
    assert_int_equal(wsi_registry_init(&registry, &stage.service.owner,
                                       &stage.service.profile.options),
                     0);
    room = get("a.b", option, value);
    for (unsigned i = 0; i < CONNS; i++) {
        conn[i] = stage_accept(&stage, &peer[i], i % 2);
        script_feed(&peer[i], stage_request, strlen(stage_request));
    }
    stage_settle_all(&stage);
    for (int i = 0; i < CONNS; i++)
        stage_sent_bytes(&peer[i], stage_accepted, strlen(stage_accepted));
    stage_saw(&stage, "open | open | open | open");
    wsi_conn_set_form(conn[0], WSI_FORM_V1);
    wsi_conn_set_form(conn[1], WSI_FORM_V1);
}

static void finish(void)
{
    for (int i = 0; i < CONNS; i++)
        stage_drop(&stage, conn[i], &peer[i]);
    wsi_registry_close(&registry);
    stage_settle_all(&stage);
    wsock_room_unref(room);
    room = NULL;
    assert_int_equal(registry.count, 0);
    assert_int_equal(atomic_load(&registry.histories.bytes), 0);
    wsi_registry_fini(&registry);
    stage_end(&stage);
}

/* What they are told of their joins is not looked at here. */
static void join_all(void)
{
    for (int i = 0; i < CONNS; i++)
        assert_int_equal(wsock_room_join(room, conn[i]), 0);
    stage_settle_all(&stage);
    for (int i = 0; i < CONNS; i++)
        peer[i].output.len = 0;
}

static void join_since(int i, uint64_t offset, uint64_t count)
{
    const wsock_position since = {sizeof since, room->history->epoch, offset};
    wsock_joined joined = {.size = sizeof joined};

    assert_int_equal(wsock_room_join_since(room, conn[i], &since, &joined), 0);
    assert_int_equal(joined.recovered, 1);
    assert_int_equal(joined.count, count);
}

static int say(const char *text)
{
    return wsock_room_broadcast(room, WSOCK_TEXT, text, strlen(text));
}

static int say_as(const wsock_publish *how)
{
    wsock_publish what = *how;

    what.size = sizeof what;
    if (what.data != NULL && what.len == 0)
        what.len = strlen(what.data);
    return wsock_room_publish(room, &what, NULL);
}

/* Take a field's value out of a text, up to a comma or the end of the object. */
static void scrub(char *text, const char *field)
{
    char *at = text;

    while ((at = strstr(at, field)) != NULL) {
        const char *rest;

        at += strlen(field);
        rest = at + strcspn(at, ",}");
        memmove(at, rest, strlen(rest) + 1);
    }
}

/* Who comes and goes is told as well, which is another test's (test_rooms_v1.c). */
static bool is_about_members(const char *frame)
{
    static const char *const kinds[] = {"joined", "left", "presence"};

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strncmp(frame + strlen("{\"type\":\""), kinds[i], strlen(kinds[i])) == 0)
            return true;
    return false;
}

/* Since the last time it received these frames, one a line, shortened: without what is
 * the same in all of them. */
static void told(int i, const char *expected)
{
    static char text[64 * 1024];
    const uint8_t *at = (const uint8_t *)peer[i].output.data;
    const uint8_t *end = at + peer[i].output.len;
    size_t len = 0;

    text[0] = '\0';
    while (at < end) {
        const size_t short_len = at[1];
        const size_t header = short_len < 126 ? 2 : 4;
        const size_t payload = short_len < 126 ? short_len : (size_t)at[2] << 8 | at[3];

        assert_true(at[0] == 0x81 && short_len < 127);
        if (!is_about_members((const char *)at + header))
            len += (size_t)snprintf(text + len, sizeof text - len, "%s%.*s",
                                    len > 0 ? "\n" : "", (int)payload,
                                    (const char *)at + header);
        at += header + payload;
    }
    peer[i].output.len = 0;
    scrub(text, "\"time\":");
    scrub(text, "\"epoch\":");
    assert_string_equal(text, expected);
}

#define MISSED(offset)                                                                  \
    "{\"type\":\"missed\",\"room\":\"a.b\",\"position\":{\"epoch\":,\"offset\":" offset \
    "}}"
#define MSG(data)                                                             \
    "{\"type\":\"msg\",\"room\":\"a.b\",\"event\":\"message\",\"data\":" data \
    ",\"time\":}"
#define KEPT(data, offset, prev)                                              \
    "{\"type\":\"msg\",\"room\":\"a.b\",\"event\":\"message\",\"data\":" data \
    ",\"time\":,\"epoch\":,\"offset\":" offset ",\"prev\":" prev "}"
#define SKIP(offset, prev)                                              \
    "{\"type\":\"skip\",\"room\":\"a.b\",\"epoch\":,\"offset\":" offset \
    ",\"prev\":" prev "}"

static void members_of_both_forms_hear_the_same(void **state)
{
    (void)state;
    begin(NULL, NULL);
    join_all();
    assert_int_equal(say("1"), 4);
    assert_int_equal(say_as(&(wsock_publish){.data = "{\"a\":[]}",
                                             .event = "typing",
                                             .from = "Ann",
                                             .type = WSOCK_TEXT | WSOCK_JSON}),
                     4);
    assert_int_equal(wsock_room_broadcast(room, WSOCK_TEXT | WSOCK_JSON, "3", 1), 4);
    stage_settle_all(&stage);
    for (int i = 0; i < 2; i++)
        told(i,
             MSG("\"1\"") "\n"
                          "{\"type\":\"msg\",\"room\":\"a.b\",\"event\":\"typing\","
                          "\"data\":{\"a\":[]},\"from\":\"Ann\",\"time\":}\n" MSG("3"));
    for (int i = 2; i < CONNS; i++)
        told(i, "1\n{\"a\":[]}\n3");
    finish();
}

static void message_is_made_for_those_who_are_there(void **state)
{
    unsigned takers = 0;

    (void)state;
    begin(NULL, NULL);
    assert_int_equal(wsock_room_join(room, conn[2]), 0);
    assert_int_equal(say("1"), 1);
    stage_settle_all(&stage);
    told(2, "1");
    assert_int_equal(wsi_room_look(room, &takers), 0);
    assert_false(wsi_takers_have(takers, WSI_FORM_V1));
    assert_true(wsi_takers_have(takers, WSI_FORM_RAW));
    assert_int_equal(wsock_room_join(room, conn[0]), 0);
    assert_int_equal(wsock_room_join(room, conn[1]), 0);
    assert_int_equal(wsock_room_leave(room, conn[1]), 0);
    assert_int_equal(wsock_room_leave(room, conn[2]), 0);
    assert_int_equal(wsi_room_look(room, &takers), 0);
    assert_true(wsi_takers_have(takers, WSI_FORM_V1));
    assert_false(wsi_takers_have(takers, WSI_FORM_RAW));
    assert_int_equal(say("2"), 1);
    stage_settle_all(&stage);
    told(0, MSG("\"2\""));
    told(1, "");
    told(2, "");
    assert_int_equal(wsock_room_leave(room, conn[0]), 0);
    assert_int_equal(wsi_room_look(room, &takers), 0);
    assert_int_equal(takers, 0);
    finish();
}

/* Who comes between the look at who is there and the queueing. */
struct wsi_envelope *__real_wsi_envelope_new(unsigned shards, const wsock_publish *what,
                                             const struct wsi_frames *frames);
struct wsi_envelope *__wrap_wsi_envelope_new(unsigned shards, const wsock_publish *what,
                                             const struct wsi_frames *frames);

static void (*meanwhile)(void); /* nullable: called once */
static int made;

struct wsi_envelope *__wrap_wsi_envelope_new(unsigned shards, const wsock_publish *what,
                                             const struct wsi_frames *frames)
{
    void (*now)(void) = meanwhile;

    meanwhile = NULL;
    made++;
    if (now != NULL)
        now();
    return __real_wsi_envelope_new(shards, what, frames);
}

static void join_first(void)
{
    assert_int_equal(wsock_room_join(room, conn[0]), 0);
}

static void subscribe_second(void)
{
    assert_int_equal(wsi_group_join(&registry, conn[1], "a.>"), 0);
}

static void message_is_made_again_for_who_comes_meanwhile(void **state)
{
    (void)state;
    begin("history_messages", "10");
    assert_int_equal(wsock_room_join(room, conn[2]), 0);
    made = 0;
    meanwhile = join_first;
    assert_int_equal(say("1"), 2);
    assert_int_equal(made, 2);
    assert_int_equal(wsock_room_leave(room, conn[0]), 0);
    meanwhile = subscribe_second;
    assert_int_equal(say("2"), 2);
    assert_int_equal(made, 4);
    assert_int_equal(say("3"), 2);
    assert_int_equal(made, 5);
    stage_settle_all(&stage);
    told(0, KEPT("\"1\"", "1", "0"));
    told(1, KEPT("\"2\"", "2", "1") "\n" KEPT("\"3\"", "3", "2"));
    told(2, "1\n2\n3");
    finish();
}

/* And the last one may go. */
static void leave_first(void)
{
    assert_int_equal(wsock_room_leave(room, conn[0]), 0);
}

static void message_needs_no_taker_of_what_was_made(void **state)
{
    (void)state;
    begin(NULL, NULL);
    assert_int_equal(wsock_room_join(room, conn[2]), 0);
    join_first();
    meanwhile = leave_first;
    assert_int_equal(say("1"), 1);
    stage_settle_all(&stage);
    told(0, "");
    told(2, "1");
    finish();
}

static void subscribers_hear_their_form(void **state)
{
    (void)state;
    begin(NULL, NULL);
    assert_int_equal(wsi_group_join(&registry, conn[0], "a.*"), 0);
    assert_int_equal(wsi_group_join(&registry, conn[0], "a.>"), 0);
    assert_int_equal(wsi_group_join(&registry, conn[2], "a.>"), 0);
    assert_int_equal(wsock_room_join(room, conn[1]), 0);
    assert_int_equal(wsi_group_join(&registry, conn[1], "*.b"), 0);
    assert_int_equal(say("1"), 5);
    assert_int_equal(wsock_room_leave(room, conn[1]), 0);
    assert_int_equal(wsi_group_leave(&registry, conn[1], "*.b"), 0);
    assert_int_equal(wsi_group_leave(&registry, conn[0], "a.*"), 0);
    assert_int_equal(say("2"), 2);
    assert_int_equal(wsi_group_leave(&registry, conn[0], "a.>"), 0);
    assert_int_equal(say("3"), 1);
    stage_settle_all(&stage);
    told(0, MSG("\"1\"") "\n" MSG("\"2\""));
    told(1, MSG("\"1\""));
    told(2, "1\n2\n3");
    finish();
}

/* Members are asked, and not those who listen by a pattern. */
static int is_first_or_third(wsock_conn *c, void *user)
{
    (void)user;
    return c == conn[0] || c == conn[2];
}

static void chosen_ones_hear_what_has_no_place(void **state)
{
    (void)state;
    begin("history_messages", "10");
    join_all();
    assert_int_equal(say_as(&(wsock_publish){
                         .data = "s", .only = is_first_or_third, .type = WSOCK_TEXT}),
                     2);
    assert_int_equal(say("1"), 4);
    stage_settle_all(&stage);
    told(0, MSG("\"s\"") "\n" KEPT("\"1\"", "1", "0"));
    told(1, KEPT("\"1\"", "1", "0"));
    told(2, "s\n1");
    told(3, "1");
    finish();
}

static void who_is_left_out_hears_that_there_was_something(void **state)
{
    (void)state;
    begin("history_messages", "10");
    join_all();
    assert_int_equal(wsi_conn_set_identity(conn[1], "bob"), 0);
    assert_int_equal(
        say_as(&(wsock_publish){.data = "1", .except = conn[0], .type = WSOCK_TEXT}), 3);
    assert_int_equal(say_as(&(wsock_publish){.data = "2",
                                             .except_identity = "bob",
                                             .except = conn[2],
                                             .type = WSOCK_TEXT}),
                     2);
    assert_int_equal(say("3"), 4);
    stage_settle_all(&stage);
    told(0, SKIP("1", "0") "\n" KEPT("\"2\"", "2", "1") "\n" KEPT("\"3\"", "3", "2"));
    told(1, KEPT("\"1\"", "1", "0") "\n" SKIP("2", "1") "\n" KEPT("\"3\"", "3", "2"));
    told(2, "1\n3");
    told(3, "1\n2\n3");
    finish();
}

static void subscriber_that_is_left_out_hears_that_too(void **state)
{
    wsock_publish what = {.data = "1", .excluded_count = 3, .type = WSOCK_TEXT};

    (void)state;
    begin("history_messages", "10");
    for (int i = 0; i < 3; i++)
        assert_int_equal(wsi_group_join(&registry, conn[i], "a.*"), 0);
    what.excluded = (wsock_conn *const[]){conn[2], NULL, conn[0]};
    say_as(&what);
    stage_settle_all(&stage);
    told(0, SKIP("1", "0"));
    told(1, KEPT("\"1\"", "1", "0"));
    told(2, "");
    finish();
}

static void who_is_left_out_without_history_hears_nothing(void **state)
{
    (void)state;
    begin(NULL, NULL);
    join_all();
    assert_int_equal(
        say_as(&(wsock_publish){.data = "1", .except = conn[0], .type = WSOCK_TEXT}), 3);
    stage_settle_all(&stage);
    told(0, "");
    told(1, MSG("\"1\""));
    told(2, "1");
    told(3, "1");
    finish();
}

static void encoded_messages_are_told_too(void **state)
{
    struct wsi_frames frames = {0};

    (void)state;
    begin("history_messages", "10");
    assert_int_equal(wsi_encode_message(&frames.plain, WSOCK_BINARY, "\1", 1), 0);
    assert_int_equal(wsock_room_join(room, conn[0]), 0);
    assert_int_equal(wsi_room_publish(room,
                                      &(wsock_publish){.size = sizeof(wsock_publish)},
                                      &frames, NULL),
                     1);
    wsi_blob_unref(frames.plain);
    join_since(1, 0, 1);
    stage_settle_all(&stage);
    told(0, KEPT("{\"b64\":\"AQ==\"}", "1", "0"));
    told(1, KEPT("{\"b64\":\"AQ==\"}", "1", "0"));
    finish();
}

/* ---- what was missed ---- */

static void who_comes_back_hears_its_form(void **state)
{
    (void)state;
    begin("history_messages", "10");
    assert_int_equal(wsock_room_join(room, conn[2]), 0);
    say("1"); /* nobody takes it in that form yet */
    assert_int_equal(say_as(&(wsock_publish){.data = "[2]",
                                             .event = "e",
                                             .from = "Ann",
                                             .key = "k",
                                             .type = WSOCK_TEXT | WSOCK_JSON}),
                     1);
    join_since(0, 0, 2);
    say("3"); /* and now somebody does */
    join_since(1, 1, 2);
    join_since(3, 1, 2);
    say("4");
    stage_settle_all(&stage);
#define SECOND                                                                          \
    "{\"type\":\"msg\",\"room\":\"a.b\",\"event\":\"e\",\"data\":[2],\"from\":\"Ann\"," \
    "\"time\":,\"epoch\":,\"offset\":2,\"prev\":1}"
    told(0, KEPT("\"1\"", "1", "0") "\n" SECOND "\n" KEPT("\"3\"", "3", "2") "\n" KEPT(
                "\"4\"", "4", "3"));
    told(1, SECOND "\n" KEPT("\"3\"", "3", "2") "\n" KEPT("\"4\"", "4", "3"));
    told(2, "1\n[2]\n3\n4");
    told(3, "[2]\n3\n4");
    finish();
}

/* Whom they were made for kept them for others, and they count. */
static void frames_that_were_made_for_one_serve_others(void **state)
{
    int64_t before, after;
    struct wsi_v1 *v1;

    (void)state;
    begin("history_messages", "10");
    say("1");
    before = atomic_load(&registry.histories.bytes);
    join_since(0, 0, 1);
    stage_settle_all(&stage);
    after = atomic_load(&registry.histories.bytes);
    v1 = wsi_said_v1(room->history->ring[0].said);
    assert_non_null(v1);
    assert_int_equal(after - before, wsi_v1_bytes(v1));
    assert_true(after == atomic_load(&room->history->bytes));
    join_since(1, 0, 1);
    stage_settle_all(&stage);
    assert_ptr_equal(wsi_said_v1(room->history->ring[0].said), v1);
    assert_true(atomic_load(&registry.histories.bytes) == after);
    told(0, KEPT("\"1\"", "1", "0"));
    told(1, KEPT("\"1\"", "1", "0"));
    finish();
}

/* They would drive out messages: then each who comes back has his own. */
static void frames_that_do_not_fit_are_kept_for_nobody(void **state)
{
    int64_t before;

    (void)state;
    begin("history_bytes", "800");
    say("1");
    say("2");
    assert_int_equal(room->history->count, 2);
    before = atomic_load(&room->history->bytes);
    assert_in_range(before, 801 - 2 * 200, 800); /* there is no room for two frames */
    for (int i = 0; i < 2; i++) {
        join_since(i, 0, 2);
        stage_settle_all(&stage);
        told(i, KEPT("\"1\"", "1", "0") "\n" KEPT("\"2\"", "2", "1"));
    }
    assert_int_equal(room->history->count, 2);
    assert_in_range(atomic_load(&registry.histories.bytes), before, 800);
    assert_null(wsi_said_v1(room->history->ring[1].said));
    finish();
}

/* Between the join and the worker's turn the room forgot them. */
static void what_was_missed_outlives_what_is_kept(void **state)
{
    (void)state;
    begin("history_messages", "2");
    say("1");
    say("2");
    join_since(0, 0, 2);
    say("3");
    say("4");
    stage_settle_all(&stage);
    told(0, KEPT("\"1\"", "1", "0") "\n" KEPT("\"2\"", "2", "1") "\n" KEPT(
                "\"3\"", "3", "2") "\n" KEPT("\"4\"", "4", "3"));
    finish();
}

/* ---- compression ---- */

/* Since the last time this connection received one frame. @return its text. */
static const char *inflated(int i, bool compressed)
{
    static char text[4096];
    const uint8_t *data = (const uint8_t *)peer[i].output.data;
    const size_t short_len = data[1], header = short_len < 126 ? 2 : 4;
    size_t len = peer[i].output.len - header;

    assert_int_equal(data[0], compressed ? 0xc1 : 0x81);
    assert_int_equal(len, short_len < 126 ? short_len : (size_t)data[2] << 8 | data[3]);
    if (compressed) {
        z_stream z = {.next_in = (Bytef *)(uintptr_t)(data + header),
                      .avail_in = (uInt)len,
                      .next_out = (Bytef *)text,
                      .avail_out = sizeof text - 1};

        assert_int_equal(inflateInit2(&z, -15), Z_OK);
        assert_int_equal(inflate(&z, Z_SYNC_FLUSH), Z_OK);
        len = z.total_out;
        inflateEnd(&z);
    } else {
        assert_true(len < sizeof text);
        memcpy(text, data + header, len);
    }
    text[len] = '\0';
    peer[i].output.len = 0;
    scrub(text, "\"time\":");
    scrub(text, "\"epoch\":");
    return text;
}

static bool is_packed(const struct wsi_frames *frames, unsigned bits)
{
    return atomic_load(&frames->packed[bits - WSI_PMD_BITS_MIN]) != NULL;
}

/* For those who take it so; the first of each form does. */
static void both_forms_are_compressed(void **state)
{
    const struct wsi_said *said;
    char text[1001], expected[1200];

    (void)state;
    memset(text, 'x', 1000);
    text[1000] = '\0';
    begin("history_messages", "10");
    conn[0]->pmd.own_window_bits = 15;
    conn[2]->pmd.own_window_bits = 12;
    snprintf(expected, sizeof expected, KEPT("\"%s\"", "1", "0"), text);
    join_all();
    assert_int_equal(say(text), 4);
    said = room->history->ring[0].said;
    assert_true(is_packed(&wsi_said_v1(said)->frames, 15));
    assert_false(is_packed(&wsi_said_v1(said)->frames, 12));
    assert_true(is_packed(&said->frames, 12));
    assert_false(is_packed(&said->frames, 15));
    stage_settle_all(&stage);
    for (int i = 0; i < CONNS; i++)
        assert_string_equal(inflated(i, i % 2 == 0), i < 2 ? expected : text);
    assert_int_equal(
        wsock_room_broadcast(room, WSOCK_TEXT | WSOCK_UNCOMPRESSED, text, 1000), 4);
    stage_settle_all(&stage);
    snprintf(expected, sizeof expected, KEPT("\"%s\"", "2", "1"), text);
    for (int i = 0; i < CONNS; i++)
        assert_string_equal(inflated(i, false), i < 2 ? expected : text);
    finish();
}

/* ---- members that do not keep up ---- */

static char *large_text(void)
{
    char *large = calloc(1, LARGE + 1);

    assert_non_null(large);
    memset(large, 'x', LARGE);
    return large;
}

/* The wire of the first is full. */
static void fill_wire(const char *large)
{
    peer[0].write_room = 0;
    say(large);
    stage_settle_all(&stage);
}

static void drain(size_t frames)
{
    peer[0].write_room = SCRIPT_UNLIMITED;
    stage_settle_all(&stage);
    assert_true(peer[0].output.len > frames);
    memmove(peer[0].output.data, (char *)peer[0].output.data + frames,
            peer[0].output.len - frames);
    peer[0].output.len -= frames;
}

static size_t large_size(void)
{
    return 10 + strlen(KEPT("\"\"", "1", "0")) + LARGE + strlen("1790000000000") +
           strlen("\"0123456789abcdef\"");
}

/* Its own message with the same key does not drive out another's, nor does a message
 * without a key drive out the place of one. */
static void place_of_who_is_left_out_replaces_nothing(void **state)
{
    char *large = large_text();
    size_t wire;

    (void)state;
    begin("history_messages", "100");
    room->slow.slow = WSI_SLOW_LATEST_ONLY;
    join_all();
    fill_wire(large);
    wire = wsi_conn_buffered(conn[0]);
    say_as(&(wsock_publish){.data = "a", .key = "k", .type = WSOCK_TEXT});
    say("b");
    say_as(
        &(wsock_publish){.data = "c", .key = "k", .except = conn[0], .type = WSOCK_TEXT});
    say_as(&(wsock_publish){.data = "d", .except = conn[0], .type = WSOCK_TEXT});
    say("e");
    stage_settle_all(&stage);
    assert_int_equal(wsock_room_dropped(room, conn[0]), 1);
    drain(wire);
    told(0, KEPT("\"a\"", "2", "1") "\n" SKIP("4", "3") "\n" SKIP("5", "4") "\n" KEPT(
                "\"e\"", "6", "5"));
    for (int i = 1; i < CONNS; i++)
        peer[i].output.len = 0;
    finish();
    free(large);
}

static void slow_members_lose_by_the_policy_in_either_form(void **state)
{
    char *large = large_text();

    (void)state;
    for (int slow = WSI_SLOW_DROP_NEWEST; slow <= WSI_SLOW_CLOSE; slow++) {
        begin("history_messages", "100");
        room->slow.slow = (enum wsi_slow)slow;
        room->slow.max_messages = 2;
        join_all();
        fill_wire(large);
        for (int i = 0; i < 4; i++)
            say((char[]){(char)('a' + i), '\0'});
        stage_settle_all(&stage);
        if (slow == WSI_SLOW_CLOSE) {
            assert_int_equal(wsi_conn_state(conn[0]), WSI_CONN_CLOSING);
        } else {
            assert_int_equal(wsock_room_dropped(room, conn[0]),
                             slow == WSI_SLOW_LATEST_ONLY ? 3 : 2);
            drain(large_size());
            told(0, slow == WSI_SLOW_DROP_NEWEST ? KEPT("\"a\"", "2", "1") "\n" KEPT(
                                                       "\"b\"", "3", "2") "\n" MISSED("4")
                    : slow == WSI_SLOW_DROP_OLDEST
                        ? KEPT("\"c\"", "4", "3") "\n" KEPT("\"d\"", "5", "4")
                        : KEPT("\"d\"", "5", "4"));
        }
        for (int i = 0; i < CONNS; i++)
            peer[i].output.len = 0;
        finish();
        stage.seen = (struct test_transcript){0};
    }
    free(large);
}

/* A worker that is behind counts both forms. */
static void bytes_that_wait_count_in_both_forms(void **state)
{
    char *large = large_text();
    int raw = 0, both = 0;

    (void)state;
    begin(NULL, NULL);
    assert_int_equal(wsock_room_join(room, conn[2]), 0);
    while (say(large) == 1)
        raw++;
    stage_settle_all(&stage);
    assert_int_equal(wsock_room_join(room, conn[0]), 0);
    while (say(large) == 2)
        both++;
    assert_int_equal(say(large), WSOCK_EAGAIN);
    assert_in_range(both, raw / 2 - 1, raw / 2 + 1);
    stage_settle_all(&stage);
    peer[0].output.len = peer[2].output.len = 0;
    finish();
    free(large);
}

/* ---- what is refused ---- */

static void messages_that_are_wrong_are_refused(void **state)
{
    char event[66];

    (void)state;
    begin(NULL, NULL);
    memset(event, 'e', sizeof event);
    event[65] = '\0';
#define REFUSED(code, ...) assert_int_equal(say_as(&(wsock_publish){__VA_ARGS__}), code)
    REFUSED(WSOCK_ETOOBIG, .data = "x", .type = WSOCK_TEXT, .event = event);
    event[64] = '\0';
    REFUSED(0, .data = "x", .type = WSOCK_TEXT, .event = event);
    REFUSED(WSOCK_EINVAL, .data = "x", .type = WSOCK_TEXT, .event = "");
    REFUSED(WSOCK_EINVAL, .data = "x", .type = WSOCK_TEXT, .event = "a\nb");
    REFUSED(WSOCK_EINVAL, .data = "x", .type = WSOCK_TEXT, .event = "a\x7f");
    REFUSED(WSOCK_EUTF8, .data = "x", .type = WSOCK_TEXT, .event = "\xff");
    REFUSED(0, .data = "x", .type = WSOCK_TEXT, .from = "");
    REFUSED(0, .data = "x", .type = WSOCK_TEXT, .from = "Ann");
    REFUSED(WSOCK_EINVAL, .data = "x", .type = WSOCK_TEXT, .from = "A\n");
    REFUSED(WSOCK_EINVAL, .data = "x", .type = WSOCK_TEXT, .from = "\xff");
    REFUSED(0, .data = "1", .type = WSOCK_TEXT | WSOCK_JSON);
    REFUSED(WSOCK_EINVAL, .data = "x", .type = WSOCK_TEXT | WSOCK_JSON);
    REFUSED(WSOCK_EINVAL, .type = WSOCK_TEXT | WSOCK_JSON);
    REFUSED(WSOCK_EUTF8, .data = "\"\xff\"", .type = WSOCK_TEXT | WSOCK_JSON);
    REFUSED(WSOCK_EINVAL, .data = "1", .type = WSOCK_BINARY | WSOCK_JSON);
    REFUSED(WSOCK_EINVAL, .data = "1", .type = WSOCK_JSON);
    finish();
}

struct look {
    char text[256];
};

static int see(const wsock_room_message *message, void *user)
{
    struct look *look = user;
    const size_t len = strlen(look->text);

    snprintf(look->text + len, sizeof look->text - len, "%s%.*s %s %s %d%d",
             len > 0 ? "|" : "", (int)message->len, (const char *)message->data,
             message->event, message->from, (int)message->type, (int)message->is_json);
    return 0;
}

static void hear(wsock_room *of, const wsock_room_message *message, void *user)
{
    (void)of;
    see(message, user);
}

static void application_is_told_who_said_what(void **state)
{
    static const char expected[] = "a message  10|1 e Ann 11|b message  20";
    struct look live = {0}, kept = {0};

    (void)state;
    begin("history_messages", "10");
    assert_int_equal(wsock_room_on_message(room, hear, &live, NULL), 0);
    say("a");
    say_as(&(wsock_publish){.data = "1",
                            .event = "e",
                            .from = "Ann",
                            .type = WSOCK_TEXT | WSOCK_JSON | WSOCK_UNCOMPRESSED});
    assert_int_equal(wsock_room_broadcast(room, WSOCK_BINARY, "b", 1), 0);
    stage_settle_all(&stage);
    assert_string_equal(live.text, expected);
    assert_int_equal(wsock_room_history(room, 0, 10, see, &kept), 3);
    assert_string_equal(kept.text, expected);
    assert_int_equal(wsock_room_on_message(room, NULL, NULL, NULL), 0);
    finish();
}

/* ---- memory ---- */

static void publishing_without_memory_tells_nobody(void **state)
{
    int r = 0, said = 0;

    (void)state;
    begin("history_messages", "10");
    join_all();
    stage_settle_all(&stage);
    for (size_t n = 1;; n++) {
        test_fail_allocation(n, 0);
        r = say_as(&(wsock_publish){.data = "text",
                                    .event = "e",
                                    .from = "f",
                                    .key = "k",
                                    .except = conn[0],
                                    .type = WSOCK_TEXT});
        if (test_stop_failing() == 0)
            break;
        assert_int_equal(r, WSOCK_ENOMEM);
        assert_int_equal(room->history->last, 0);
        said++;
    }
    assert_int_equal(r, 3);
    assert_true(said >= 2); /* one for each form */
    stage_settle_all(&stage);
    told(0, SKIP("1", "0"));
    told(3, "text");
    peer[1].output.len = peer[2].output.len = 0;
    finish();
}

/* Whatever fails: it hears all of it, or is ended. @return whether something failed. */
static bool recovers_or_is_ended(size_t nth, int for_ever)
{
    size_t refused;
    bool ended;

    begin("history_messages", "10");
    say("1");
    say("2");
    join_since(0, 0, 2);
    wsock_conn_ref(conn[0]);
    test_fail_allocation(nth, for_ever);
    stage_settle_all(&stage);
    refused = test_stop_failing();
    stage_settle_all(&stage);
    ended = wsi_conn_state(conn[0]) == WSI_CONN_CLOSED;
    /* All of them are kept for others, or none. */
    assert_true((wsi_said_v1(room->history->ring[0].said) == NULL) == ended);
    told(0, ended ? "" : KEPT("\"1\"", "1", "0") "\n" KEPT("\"2\"", "2", "1"));
    wsock_conn_unref(conn[0]);
    if (ended) {
        stage_saw(&stage, "closed NO_MEMORY 1006");
        assert_int_equal(wsock_room_count(room), 0);
        stage_ended(&stage, &peer[0]);
        conn[0] = stage_accept(&stage, &peer[0], 0);
    }
    finish();
    return refused > 0;
}

static void who_cannot_be_told_its_form_is_ended(void **state)
{
    (void)state;
    for (int for_ever = 0; for_ever < 2; for_ever++) {
        size_t nth = 1;

        while (recovers_or_is_ended(nth, for_ever))
            nth++;
        assert_true(nth > 2); /* one for each message at least */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(message_is_told_with_all_that_is_said_of_it),
        TEST(data_is_text_json_or_bytes),
        TEST(frames_carry_messages_of_any_length),
        TEST(frame_that_cannot_be_sent_is_refused),
        TEST(frames_outlive_what_they_were_made_in),
        TEST(members_of_both_forms_hear_the_same),
        TEST(message_is_made_for_those_who_are_there),
        TEST(message_is_made_again_for_who_comes_meanwhile),
        TEST(message_needs_no_taker_of_what_was_made),
        TEST(subscribers_hear_their_form),
        TEST(chosen_ones_hear_what_has_no_place),
        TEST(who_is_left_out_hears_that_there_was_something),
        TEST(subscriber_that_is_left_out_hears_that_too),
        TEST(who_is_left_out_without_history_hears_nothing),
        TEST(encoded_messages_are_told_too),
        TEST(who_comes_back_hears_its_form),
        TEST(frames_that_were_made_for_one_serve_others),
        TEST(frames_that_do_not_fit_are_kept_for_nobody),
        TEST(what_was_missed_outlives_what_is_kept),
        TEST(both_forms_are_compressed),
        TEST(place_of_who_is_left_out_replaces_nothing),
        TEST(slow_members_lose_by_the_policy_in_either_form),
        TEST(bytes_that_wait_count_in_both_forms),
        TEST(messages_that_are_wrong_are_refused),
        TEST(application_is_told_who_said_what),
        TEST(publishing_without_memory_tells_nobody),
        TEST(who_cannot_be_told_its_form_is_ended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
