/* SPDX-License-Identifier: MIT */
/* Frames of rooms.v1: what is said, what is answered, what is asked of the application.
 */
#include "harness.h"
#include "pages.h"

#include <pthread.h>

/* ---- an application ---- */

static struct {
    int hellos, joins, publishes, calls;
    wsock_ask *kept;  /* what is answered later */
    char what[256];   /* that the last question told */
    const char *code; /* refuse with it */
    int retry;
    bool keep; /* do not answer yet */
} app;

static void note(const wsock_ask *ask)
{
    const void *data;
    size_t len;
    const int type = wsock_ask_data(ask, &data, &len);

    snprintf(app.what, sizeof app.what, "%d %s %s %s %s %s %x %.*s", wsock_ask_kind(ask),
             wsock_ask_room(ask), wsock_ask_name(ask) ? wsock_ask_name(ask) : "-",
             wsock_ask_token(ask) ? wsock_ask_token(ask) : "-",
             wsock_ask_event(ask) ? wsock_ask_event(ask) : "-",
             wsock_ask_key(ask) ? wsock_ask_key(ask) : "-", (unsigned)type, (int)len,
             (const char *)data);
}

static void answer(wsock_ask *ask)
{
    note(ask);
    if (app.keep)
        app.kept = wsock_ask_ref(ask);
    else if (app.code != NULL)
        CHECK(wsock_ask_refuse(ask, app.code, "because", app.retry) == 0);
    else
        CHECK(wsock_ask_accept(ask) == 0);
}

static void on_hello(wsock_ask *ask, void *user)
{
    (void)user;
    app.hellos++;
    if (wsock_ask_name(ask) != NULL)
        CHECK(wsock_ask_set_identity(ask, wsock_ask_name(ask)) == 0);
    answer(ask);
}

static void on_join(wsock_ask *ask, void *user)
{
    (void)user;
    app.joins++;
    answer(ask);
}

static void on_publish(wsock_ask *ask, void *user)
{
    (void)user;
    app.publishes++;
    answer(ask);
}

static void on_call(wsock_ask *ask, void *user)
{
    (void)user;
    app.calls++;
    answer(ask);
}

static const wsock_rooms_hooks all_hooks = {
    .size = sizeof all_hooks,
    .on_hello = on_hello,
    .on_join = on_join,
    .on_publish = on_publish,
    .on_call = on_call,
};

static const wsock_rooms_hooks name_hooks = {.size = sizeof name_hooks,
                                             .on_hello = on_hello};

static struct pages pages;

static void begin(const wsock_rooms_hooks *hooks, bool queued)
{
    memset(&app, 0, sizeof app);
    pages_begin(&pages, hooks, NULL, queued);
    pages_listen(&pages);
}

static void end(void)
{
    pages_end(&pages);
    harness_checked();
}

/* ---- hello ---- */

static void nobody_is_asked_and_everybody_is_a_guest(void **state)
{
    struct page *a;

    (void)state;
    begin(NULL, false);
    a = page_open(&pages, 0, "/rooms", false);
    page_says(&pages, a, "{\"type\":\"hello\",\"v\":1,\"id\":1}");
    page_hears(a,
               "{\"re\":1,\"ok\":{\"type\":\"welcome\",\"v\":1,\"identity\":\"guest-*\","
               "\"heartbeat_ms\":25000}}\n");
    end();
}

static void application_says_who_comes_and_for_how_long(void **state)
{
    struct page *a;

    (void)state;
    begin(&all_hooks, false);
    app.keep = true;
    a = page_open(&pages, 0, "/rooms", false);
    page_says(&pages, a, "{\"type\":\"hello\",\"name\":\"ann\",\"token\":\"t1\"}");
    page_hears(a, "");
    assert_string_equal(app.what, "1  ann t1 - - 0 ");
    assert_int_equal(wsock_ask_set_expiry_ms(app.kept, -1), WSOCK_ERANGE);
    assert_int_equal(wsock_ask_set_expiry_ms(app.kept, 5000), 0);
    assert_int_equal(wsock_ask_accept(app.kept), 0);
    assert_int_equal(wsock_ask_accept(app.kept), WSOCK_ECLOSED);
    assert_int_equal(wsock_ask_set_identity(app.kept, "eve"), WSOCK_ECLOSED);
    wsock_ask_unref(app.kept);
    app.keep = false;
    assert_int_equal(wsock_testing_run(pages.runtime), 0);
    page_hears(
        a, "{\"type\":\"welcome\",\"v\":1,\"identity\":\"ann\",\"heartbeat_ms\":25000,"
           "\"expires_ms\":5000}\n");
    assert_int_equal(wsock_testing_advance(pages.runtime, 4999), 0);
    assert_int_equal(a->code, 0);
    assert_int_equal(wsock_testing_advance(pages.runtime, 1), 0);
    assert_int_equal(a->code, 4401);
    end();
}

static void refused_hello_closes_as_its_code_says(void **state)
{
    static const struct {
        const char *code;
        int retry, close;
    } refusals[] = {{"unauthorized", 0, 4401}, {"down", 1, 1013}, {"banned", 0, 4403}};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct page *a;

        begin(&all_hooks, false);
        app.code = refusals[i].code;
        app.retry = refusals[i].retry;
        a = page_open(&pages, 0, "/rooms", false);
        page_says(&pages, a, "{\"type\":\"hello\",\"id\":\"x\"}");
        assert_int_equal(a->code, refusals[i].close);
        assert_string_equal(a->reason, "because");
        a->heard[0] = '\0';
        a->len = 0;
        end();
    }
}

static void hello_has_to_come_in_time(void **state)
{
    struct page *a;

    (void)state;
    begin(NULL, false);
    wsock_endpoint_set(pages.rooms, "auth_timeout", "3s");
    a = page_open(&pages, 0, "/rooms", false);
    page_says(&pages, a, "{\"type\":\"join\",\"room\":\"r\",\"id\":1}");
    page_hears(a, "{\"re\":1,\"err\":{\"code\":\"hello_first\",\"text\":\"*\",\"retry\":"
                  "false}}\n");
    wsock_testing_advance(pages.runtime, 2999);
    assert_int_equal(a->code, 0);
    wsock_testing_advance(pages.runtime, 1);
    assert_int_equal(a->code, 4408);
    end();
}

static void heartbeats_come_from_the_welcome_on(void **state)
{
    struct page *a;

    (void)state;
    begin(&name_hooks, false);
    wsock_server_set(pages.server, "heartbeat", "10s");
    a = page_enters(&pages, 0, "ann", "r");
    wsock_testing_advance(pages.runtime, 20000);
    page_hears(a, "{\"type\":\"hb\"}\n{\"type\":\"hb\"}\n");
    end();
}

static void token_is_refreshed_before_it_is_over(void **state)
{
    struct page *a;

    (void)state;
    begin(&all_hooks, false);
    a = page_enters(&pages, 0, "ann", "r");
    app.keep = true;
    page_says(&pages, a, "{\"type\":\"refresh\",\"token\":\"t2\",\"id\":5}");
    assert_string_equal(app.what, "2  - t2 - - 0 ");
    assert_int_equal(wsock_ask_set_identity(app.kept, "eve"), WSOCK_EEXIST);
    assert_int_equal(wsock_ask_set_expiry_ms(app.kept, 1000), 0);
    assert_int_equal(wsock_ask_accept(app.kept), 0);
    wsock_ask_unref(app.kept);
    app.keep = false;
    wsock_testing_run(pages.runtime);
    page_hears(a, "{\"re\":5,\"ok\":{\"expires_ms\":1000}}\n");
    wsock_testing_advance(pages.runtime, 900);
    page_says(&pages, a, "{\"type\":\"refresh\",\"token\":\"t3\",\"id\":6}");
    page_hears(a, "{\"re\":6,\"ok\":{}}\n");
    wsock_testing_advance(pages.runtime, 2000);
    assert_int_equal(a->code, 0);
    page_says(&pages, a, "{\"type\":\"refresh\",\"id\":7}");
    page_hears(a, "{\"re\":7,\"err\":{\"code\":\"bad_frame\",\"text\":\"*\",\"retry\":"
                  "false}}\n");
    end();
}

/* ---- rooms ---- */

#define JOINED(id, count, rest)                                                      \
    "{\"re\":" id ",\"ok\":{\"type\":\"joined\",\"room\":\"r\",\"recovered\":false," \
    "\"count\":" count rest "}}\n"

static void members_hear_of_each_other_and_what_is_said(void **state)
{
    struct page *a, *b;

    (void)state;
    begin(&all_hooks, false);
    a = page_open(&pages, 0, "/rooms", false);
    page_says(&pages, a,
              "[{\"type\":\"hello\",\"name\":\"ann\"},"
              "{\"type\":\"join\",\"room\":\"r\",\"info\":{\"x\":1},\"id\":1}]");
    page_hears(
        a, "{\"type\":\"welcome\",\"v\":1,\"identity\":\"ann\",\"heartbeat_ms\":25000}"
           "\n" JOINED("1", "1", ",\"members\":[\"ann\"],\"infos\":{\"ann\":{\"x\":1}}"));
    b = page_enters(&pages, 1, "bob", "r");
    page_hears(
        a, "{\"type\":\"presence\",\"room\":\"r\",\"count\":2,\"joined\":[\"bob\"]}\n");
    page_says(&pages, b,
              "{\"type\":\"pub\",\"room\":\"r\",\"data\":[1,\"a\\u0000\"],"
              "\"event\":\"e\",\"key\":\"k\",\"id\":2}");
    assert_string_equal(app.what, "4 r - - e k 201 [1,\"a\\u0000\"]");
    page_hears(
        a, "{\"type\":\"msg\",\"room\":\"r\",\"event\":\"e\",\"data\":[1,\"a\\u0000\"],"
           "\"from\":\"bob\",\"time\":*}\n");
    assert_non_null(strstr(b->heard, "{\"re\":2,\"ok\":true}\n"));
    b->heard[0] = '\0';
    b->len = 0;
    wsock_testing_advance(pages.runtime, 200);
    page_says(&pages, b, "{\"type\":\"leave\",\"room\":\"r\",\"id\":3}");
    page_hears(
        b, "{\"re\":3,\"ok\":{\"type\":\"left\",\"room\":\"r\",\"reason\":\"asked\"}}\n");
    page_hears(a,
               "{\"type\":\"presence\",\"room\":\"r\",\"count\":1,\"left\":[\"bob\"]}\n");
    page_says(&pages, b, "{\"type\":\"pub\",\"room\":\"r\",\"data\":1,\"id\":4}");
    page_hears(
        b,
        "{\"re\":4,\"err\":{\"code\":\"not_member\",\"text\":\"*\",\"retry\":false}}\n");
    end();
}

static void raw_members_say_and_hear_data(void **state)
{
    struct page *a, *raw;

    (void)state;
    begin(&name_hooks, false);
    raw = page_open(&pages, 1, "/rooms/r", true);
    assert_true(raw->is_open);
    a = page_open(&pages, 0, "/rooms/r", false);
    page_says(&pages, a, "{\"type\":\"hello\",\"name\":\"ann\"}");
    page_hears(
        a, "{\"type\":\"welcome\",\"v\":1,\"identity\":\"ann\",\"heartbeat_ms\":25000}\n"
           "{\"type\":\"joined\",\"room\":\"r\",\"recovered\":false,\"count\":2,"
           "\"members\":[\"*\",\"*\"]}\n");
    page_says(&pages, raw, "hello");
    page_hears(raw, "hello\n");
    page_hears(
        a, "{\"type\":\"msg\",\"room\":\"r\",\"event\":\"message\",\"data\":\"hello\","
           "\"from\":\"guest-*\",\"time\":*}\n");
    page_says(&pages, a, "{\"type\":\"pub\",\"data\":{\"b64\":\"aGk=\"}}");
    page_hears(raw, "hi\n");
    a->len = 0;
    a->heard[0] = '\0';
    raw = page_open(&pages, 2, "/rooms", true);
    assert_false(raw->is_open);
    end();
}

static void history_and_what_was_missed(void **state)
{
    struct page *a, *b;

    (void)state;
    memset(&app, 0, sizeof app);
    pages_begin(&pages, &name_hooks, NULL, false);
    wsock_server_room_defaults(pages.server, "r", "history_messages", "2");
    pages_listen(&pages);
    a = page_enters(&pages, 0, "ann", "r");
    page_says(&pages, a,
              "[{\"type\":\"pub\",\"room\":\"r\",\"data\":1,\"id\":1},"
              "{\"type\":\"pub\",\"room\":\"r\",\"data\":2,\"id\":2},"
              "{\"type\":\"pub\",\"room\":\"r\",\"data\":3,\"id\":3}]");
    assert_non_null(strstr(a->heard, "{\"re\":3,\"ok\":{\"epoch\":\""));
    assert_non_null(strstr(a->heard, "\"offset\":3,\"prev\":2}\n"));
    a->len = 0;
    page_says(&pages, a, "{\"type\":\"history\",\"room\":\"r\",\"limit\":1,\"id\":4}");
    page_hears(
        a,
        "{\"re\":4,\"ok\":{\"room\":\"r\",\"messages\":[{\"type\":\"msg\",\"room\":\"r\","
        "\"event\":\"message\",\"data\":3,\"from\":\"ann\",\"time\":*,\"epoch\":\"*\","
        "\"offset\":3,\"prev\":2}],\"position\":{\"epoch\":\"*\",\"offset\":3}}}\n");
    page_says(&pages, a, "{\"type\":\"history\",\"room\":\"r\",\"before\":3}");
    page_hears(
        a, "{\"room\":\"r\",\"messages\":[{\"type\":\"msg\",\"room\":\"r\","
           "\"event\":\"message\",\"data\":2,\"from\":\"ann\",\"time\":*,\"epoch\":\"*\","
           "\"offset\":2,\"prev\":1}],\"position\":{\"epoch\":\"*\",\"offset\":3}}\n");
    b = page_open(&pages, 1, "/rooms", false);
    page_says(&pages, b,
              "[{\"type\":\"hello\",\"name\":\"bob\"},{\"type\":\"join\","
              "\"room\":\"r\",\"since\":{\"offset\":2},\"id\":1}]");
    page_hears(
        b, "{\"type\":\"welcome\",\"v\":1,\"identity\":\"bob\",\"heartbeat_ms\":25000}\n"
           "{\"re\":1,\"ok\":{\"type\":\"joined\",\"room\":\"r\",\"recovered\":true,"
           "\"count\":2,\"members\":[\"*\",\"*\"],\"position\":{\"epoch\":\"*\","
           "\"offset\":3}}}\n"
           "{\"type\":\"msg\",\"room\":\"r\",\"event\":\"message\",\"data\":3,"
           "\"from\":\"ann\",\"time\":*,\"epoch\":\"*\",\"offset\":3,\"prev\":2}\n");
    end();
}

static void direct_messages_reach_all_connections_of_somebody(void **state)
{
    struct page *a, *b, *c;

    (void)state;
    begin(&all_hooks, false);
    a = page_enters(&pages, 0, "ann", "r");
    b = page_enters(&pages, 1, "bob", "x");
    c = page_enters(&pages, 2, "bob", "y");
    page_says(&pages, a,
              "{\"type\":\"direct\",\"identity\":\"bob\",\"data\":\"psst\",\"id\":1}");
    assert_string_equal(app.what, "5  bob - message - 1 psst");
    page_hears(a, "{\"re\":1,\"ok\":{\"count\":2}}\n");
    page_hears(
        b,
        "{\"type\":\"direct\",\"event\":\"message\",\"data\":\"psst\",\"from\":\"ann\","
        "\"time\":*}\n");
    b->len = c->len = 0;
    b->heard[0] = c->heard[0] = '\0';
    assert_int_equal(wsock_server_send_to(pages.server, "ann", WSOCK_TEXT, "hm", 2), 1);
    wsock_testing_run(pages.runtime);
    page_hears(
        a, "{\"type\":\"direct\",\"event\":\"message\",\"data\":\"hm\",\"time\":*}\n");
    end();
}

/* Each node has a runtime of its own: let all of them come to rest. */
static void settle_nodes(struct pages *nodes)
{
    for (int i = 0; i < 6; i++)
        assert_int_equal(wsock_testing_run(nodes[i % 2].runtime), 0);
}

static void direct_messages_and_kicks_cross_nodes(void **state)
{
    static struct pages nodes[2];
    struct page *a, *b;
    wsock_server *other;
    wsock_room *room;

    (void)state;
    memset(&app, 0, sizeof app);
    for (int i = 0; i < 2; i++) {
        pages_begin(&nodes[i], &all_hooks, NULL, false);
        assert_int_equal(wsock_server_set(nodes[i].server, "cluster", "memory:v1"), 0);
    }
    /* Chance is the same in both runtimes: the second server is not to draw the id that
     * the first one has. */
    assert_int_equal(wsock_server_new(nodes[1].runtime, &other), 0);
    assert_int_equal(wsock_server_set(other, "cluster", "memory:other"), 0);
    assert_int_equal(wsock_server_listen(other, "ws://other"), 0);
    wsock_server_free(other);
    for (int i = 0; i < 2; i++)
        pages_listen(&nodes[i]);
    settle_nodes(nodes);
    a = page_enters(&nodes[0], 0, "ann", "x");
    b = page_enters(&nodes[1], 0, "bob", "y");
    settle_nodes(nodes);
    page_says(&nodes[0], a,
              "{\"type\":\"direct\",\"identity\":\"bob\",\"data\":{\"n\":[1]},"
              "\"event\":\"poke\",\"id\":1}");
    settle_nodes(nodes);
    page_hears(a, "{\"re\":1,\"ok\":{\"count\":0}}\n");
    page_hears(b, "{\"type\":\"direct\",\"event\":\"poke\",\"data\":{\"n\":[1]},"
                  "\"from\":\"ann\",\"time\":*}\n");
    assert_int_equal(wsock_server_room(nodes[0].server, &room, "y"), 0);
    assert_int_equal(wsock_room_kick(room, "bob", "too loud"), 0);
    wsock_room_unref(room);
    settle_nodes(nodes);
    page_hears(b, "{\"type\":\"left\",\"room\":\"y\",\"reason\":\"too loud\"}\n");
    for (int i = 0; i < 2; i++)
        pages_end(&nodes[i]);
    harness_checked();
}

static void kicked_and_closed_members_are_told_why(void **state)
{
    wsock_room *room = NULL;
    struct page *a, *b;

    (void)state;
    begin(&name_hooks, false);
    a = page_enters(&pages, 0, "ann", "r");
    b = page_enters(&pages, 1, "bob", "r");
    a->len = 0;
    assert_int_equal(wsock_server_find_room(pages.server, &room, "r"), 0);
    assert_int_equal(wsock_room_kick(room, "bob", "rude \"words\""), 1);
    wsock_testing_run(pages.runtime);
    page_hears(b,
               "{\"type\":\"left\",\"room\":\"r\",\"reason\":\"rude \\\"words\\\"\"}\n");
    assert_int_equal(wsock_room_close(room, NULL), 0);
    wsock_testing_advance(pages.runtime, 1000);
    a->heard[a->len] = '\0';
    assert_non_null(
        strstr(a->heard, "{\"type\":\"left\",\"room\":\"r\",\"reason\":\"closed\"}\n"));
    wsock_room_unref(room);
    end();
}

static void large_rooms_are_counted_and_told_of_seldom(void **state)
{
    struct page *a;

    (void)state;
    memset(&app, 0, sizeof app);
    pages_begin(&pages, &name_hooks, NULL, false);
    wsock_server_room_defaults(pages.server, "r", "members_listed", "2");
    pages_listen(&pages);
    a = page_enters(&pages, 0, "ann", "r");
    page_enters(&pages, 1, "bob", "r");
    page_hears(
        a, "{\"type\":\"presence\",\"room\":\"r\",\"count\":2,\"joined\":[\"bob\"]}\n");
    for (int i = 2; i < 6; i++) {
        char name[8];

        snprintf(name, sizeof name, "n%d", i);
        page_enters(&pages, i, name, "r");
    }
    page_hears(a, "");
    wsock_testing_advance(pages.runtime, 100);
    page_hears(a, "{\"type\":\"presence\",\"room\":\"r\",\"count\":6}\n");
    end();
}

static void who_came_in_a_crowd_is_told_of_when_it_goes(void **state)
{
    static const char *const crowd[] = {"ben", "cid"};
    struct page *page, *late;

    (void)state;
    memset(&app, 0, sizeof app);
    pages_begin(&pages, &name_hooks, NULL, false);
    wsock_server_room_defaults(pages.server, "r", "members_listed", "3");
    pages_listen(&pages);
    page_enters(&pages, 0, "ann", "r");
    page_enters(&pages, 1, "bob", "r");
    for (int i = 0; i < 2; i++)
        page_enters(&pages, 2 + i, crowd[i], "r");
    for (int i = 1; i < 4; i++)
        page_says(&pages, &pages.page[i], "{\"type\":\"leave\",\"room\":\"r\"}");
    page = page_enters(&pages, 4, "eve", "r");
    wsock_testing_advance(pages.runtime, 200);
    page_hears(page, "{\"type\":\"presence\",\"room\":\"r\",\"count\":2}\n");
    late = page_enters(&pages, 5, "dan", "r"); /* joined has named eve */
    wsock_testing_advance(pages.runtime, 200);
    page_says(&pages, page, "{\"type\":\"leave\",\"room\":\"r\"}");
    wsock_testing_advance(pages.runtime, 200);
    page_hears(late,
               "{\"type\":\"presence\",\"room\":\"r\",\"count\":2,\"left\":[\"eve\"]}\n");
    end();
}

static void who_goes_and_is_back_soon_was_never_away(void **state)
{
    struct page *a, *b;

    (void)state;
    begin(&name_hooks, false);
    a = page_enters(&pages, 0, "ann", "r");
    b = page_enters(&pages, 1, "bob", "r");
    page_hears(
        a, "{\"type\":\"presence\",\"room\":\"r\",\"count\":2,\"joined\":[\"bob\"]}\n");
    page_says(&pages, b,
              "[{\"type\":\"leave\",\"room\":\"r\"},{\"type\":\"join\",\"room\":\"r\"}]");
    wsock_testing_advance(pages.runtime, 200);
    page_hears(a, "{\"type\":\"presence\",\"room\":\"r\",\"count\":2,\"joined\":[]}\n");
    end();
}

/* ---- hooks ---- */

static void what_follows_a_question_waits_for_its_answer(void **state)
{
    struct page *a;

    (void)state;
    for (int queued = 0; queued < 2; queued++) {
        begin(&all_hooks, queued == 1);
        a = page_enters(&pages, 0, "ann", "r");
        app.keep = true;
        page_says(&pages, a,
                  "[{\"type\":\"call\",\"name\":\"one\",\"args\":{\"a\":1},\"id\":1},"
                  "{\"type\":\"pub\",\"room\":\"r\",\"data\":1,\"id\":2}]");
        assert_string_equal(app.what, "6  one - - - 201 {\"a\":1}");
        assert_int_equal(app.calls, 1);
        page_says(&pages, a, "{\"type\":\"call\",\"name\":\"two\",\"id\":3}");
        page_hears(a, "");
        assert_int_equal(app.publishes, 0);
        app.keep = false;
        assert_int_equal(wsock_ask_reply(app.kept, "{", 1), WSOCK_EINVAL);
        assert_int_equal(wsock_ask_reply(app.kept, "[1]", 3), 0);
        wsock_ask_unref(app.kept);
        wsock_testing_run(pages.runtime);
        assert_int_equal(app.publishes, 1);
        assert_int_equal(app.calls, 2);
        a->heard[a->len] = '\0';
        assert_non_null(strstr(a->heard, "{\"re\":1,\"ok\":[1]}\n"));
        assert_non_null(strstr(a->heard, "{\"re\":2,\"ok\":true}\n"));
        assert_non_null(strstr(a->heard, "{\"re\":3,\"ok\":true}\n"));
        end();
    }
}

static void questions_go_with_a_queue_that_is_closed(void **state)
{
    (void)state;
    for (int answered = 0; answered < 2; answered++) {
        begin(&all_hooks, true);
        app.keep = true;
        page_says(&pages, page_open(&pages, 0, "/rooms", false), "{\"type\":\"hello\"}");
        assert_non_null(app.kept);
        wsock_queue_close(pages.queue);
        if (answered == 1)
            assert_int_equal(wsock_ask_accept(app.kept), 0);
        wsock_ask_unref(app.kept);
        end();
    }
}

static void close_queue(wsock_ask *ask, void *user)
{
    (void)user;
    app.calls++;
    wsock_queue_close(pages.queue);
    CHECK(wsock_ask_accept(ask) == 0);
}

static void open_and_close_queue(wsock_conn *conn, void *user)
{
    (void)conn;
    (void)user;
    wsock_queue_close(pages.queue);
}

static void hook_that_closes_its_queue_is_the_last(void **state)
{
    const wsock_rooms_hooks hooks = {
        .size = sizeof hooks, .on_hello = close_queue, .on_call = close_queue};
    struct page *a;

    (void)state;
    begin(&hooks, true);
    a = page_open(&pages, 0, "/rooms", false);
    page_says(&pages, a,
              "[{\"type\":\"hello\"},{\"type\":\"call\",\"name\":\"x\"},"
              "{\"type\":\"call\",\"name\":\"x\"}]");
    assert_int_equal(app.calls, 1);
    end();
    begin(&hooks, true);
    wsock_endpoint_on_open(pages.room, open_and_close_queue, NULL, NULL);
    page_open(&pages, 0, "/rooms/r", true);
    assert_int_equal(app.calls, 0);
    end();
}

static void close_queue_of_room(wsock_room *room, const wsock_member *member, void *user)
{
    (void)room;
    (void)member;
    (void)user;
    app.joins++;
    wsock_queue_close(pages.queue);
}

static void handler_that_closes_its_queue_is_the_last(void **state)
{
    wsock_room *room;
    struct page *a;

    (void)state;
    begin(NULL, true);
    assert_int_equal(wsock_server_room(pages.server, &room, "r"), 0);
    wsock_room_on_join(room, close_queue_of_room, NULL, NULL);
    wsock_room_on_leave(room, close_queue_of_room, NULL, NULL);
    a = page_open(&pages, 0, "/rooms", false);
    page_says(&pages, a,
              "[{\"type\":\"hello\"},{\"type\":\"join\",\"room\":\"r\"},"
              "{\"type\":\"leave\",\"room\":\"r\"}]");
    assert_int_equal(app.joins, 1);
    wsock_room_unref(room);
    end();
}

static void forgotten_and_late_answers_are_refusals(void **state)
{
    struct page *a;

    (void)state;
    begin(&all_hooks, false);
    a = page_enters(&pages, 0, "ann", "r");
    app.keep = true;
    page_says(&pages, a, "{\"type\":\"call\",\"name\":\"one\",\"id\":1}");
    wsock_ask_unref(app.kept);
    wsock_testing_run(pages.runtime);
    page_hears(
        a, "{\"re\":1,\"err\":{\"code\":\"failed\",\"text\":\"*\",\"retry\":true}}\n");
    page_says(&pages, a, "{\"type\":\"call\",\"name\":\"one\",\"id\":2}");
    wsock_testing_advance(pages.runtime, 10000);
    page_hears(
        a, "{\"re\":2,\"err\":{\"code\":\"timeout\",\"text\":\"*\",\"retry\":true}}\n");
    assert_int_equal(wsock_ask_accept(app.kept), WSOCK_ECLOSED);
    wsock_ask_unref(app.kept);
    page_says(&pages, a, "{\"type\":\"call\",\"name\":\"one\",\"id\":3}");
    wsock_testing_conn_cut(a->conn);
    wsock_testing_advance(pages.runtime, 60000);
    assert_int_equal(wsock_ask_reply(app.kept, "1", 1), WSOCK_ECLOSED);
    wsock_ask_unref(app.kept);
    end();
}

static void rewrite(wsock_ask *ask, void *user)
{
    (void)user;
    CHECK(wsock_ask_set_data(ask, WSOCK_TEXT | WSOCK_JSON, "{", 1) == WSOCK_EINVAL);
    CHECK(wsock_ask_set_data(ask, WSOCK_TEXT, "\xff", 1) == WSOCK_EUTF8);
    CHECK(wsock_ask_set_data(ask, WSOCK_TEXT | WSOCK_JSON, "{\"n\":7}", 7) == 0);
    CHECK(wsock_ask_set_info(ask, "1", 1) == WSOCK_EINVAL);
    wsock_ask_accept(ask);
}

static void hook_may_rewrite_what_is_said(void **state)
{
    static const wsock_rooms_hooks hooks = {
        .size = sizeof hooks, .on_hello = on_hello, .on_publish = rewrite};
    struct page *a;

    (void)state;
    begin(&hooks, false);
    a = page_enters(&pages, 0, "ann", "r");
    page_says(&pages, a, "{\"type\":\"pub\",\"room\":\"r\",\"data\":\"bad words\"}");
    page_hears(
        a, "{\"type\":\"msg\",\"room\":\"r\",\"event\":\"message\",\"data\":{\"n\":7},"
           "\"from\":\"ann\",\"time\":*}\n");
    end();
}

/* ---- bounds ---- */

static void limits_are_errors_with_codes(void **state)
{
    static char large[70000];
    struct page *a;

    (void)state;
    memset(&app, 0, sizeof app);
    pages_begin(&pages, &name_hooks, NULL, false);
    wsock_server_room_defaults(pages.server, "full", "max_members", "1");
    wsock_server_room_defaults(pages.server, "slow", "max_publish_rate", "1");
    wsock_server_set(pages.server, "max_rooms_per_connection", "3");
    pages_listen(&pages);
    page_enters(&pages, 1, "bob", "full");
    a = page_enters(&pages, 0, "ann", "slow");
#define ERR(id, code, retry)                                                             \
    "{\"re\":" id ",\"err\":{\"code\":\"" code "\",\"text\":\"*\",\"retry\":" retry "}}" \
    "\n"
    page_says(&pages, a, "{\"type\":\"join\",\"room\":\"full\",\"id\":1}");
    page_hears(a, ERR("1", "full", "true"));
    page_says(&pages, a,
              "[{\"type\":\"join\",\"room\":\"b\"},{\"type\":\"join\",\"room\":\"c\"},"
              "{\"type\":\"join\",\"room\":\"d\",\"id\":2}]");
    assert_non_null(strstr(a->heard, "{\"re\":2,\"err\":{\"code\":\"too_many\""));
    a->len = 0;
    page_says(&pages, a,
              "[{\"type\":\"pub\",\"room\":\"slow\",\"data\":1},"
              "{\"type\":\"pub\",\"room\":\"slow\",\"data\":2,\"id\":3}]");
    assert_non_null(strstr(a->heard, "{\"re\":3,\"err\":{\"code\":\"rate\""));
    a->len = 0;
    snprintf(large, sizeof large, "{\"type\":\"hello\",\"x\":\"%066000d\"}", 0);
    page_says(&pages, a, large);
    page_hears(a, ERR("null", "too_big", "false"));
    memset(large, '[', 33);
    large[33] = '\0';
    page_says(&pages, a, large);
    page_hears(a, ERR("null", "bad_frame", "false"));
    for (int i = 0; i < 64 && a->code == 0; i++)
        page_says(&pages, a, "{");
    assert_int_equal(a->code, 4400);
    end();
}

static void server_that_goes_says_so_first(void **state)
{
    struct page *a;

    (void)state;
    begin(&name_hooks, false);
    a = page_enters(&pages, 0, "ann", "r");
    assert_int_equal(wsock_server_away(pages.server, 3000, 0), 0);
    wsock_testing_run(pages.runtime);
    page_hears(a, "{\"type\":\"away\",\"after_ms\":3000,\"reconnect\":false}\n");
    assert_int_equal(a->code, 0);
    wsock_server_stop(pages.server);
    wsock_testing_run(pages.runtime);
    page_hears(a, "{\"type\":\"away\",\"after_ms\":5000,\"reconnect\":true}\n");
    assert_int_equal(a->code, 1001);
    end();
}

static void endpoint_of_rooms_keeps_its_messages(void **state)
{
    wsock_endpoint *other = NULL;

    (void)state;
    begin(NULL, false);
    assert_int_equal(wsock_endpoint_on_message(pages.rooms, side_on_message, NULL, NULL),
                     WSOCK_EBUSY);
    assert_int_equal(wsock_endpoint_serve_rooms(pages.rooms, &all_hooks, NULL, NULL), 0);
    end();
    pages_begin(&pages, NULL, NULL, false);
    assert_int_equal(wsock_server_endpoint(pages.server, &other, "/x"), 0);
    assert_int_equal(wsock_endpoint_on_open(other, side_on_open, NULL, NULL), 0);
    assert_int_equal(wsock_endpoint_serve_rooms(other, NULL, NULL, NULL), WSOCK_EBUSY);
    wsock_endpoint_unref(other);
    pages_end(&pages);
}

/* Whatever cannot be allocated: it is an error to who asked, or the end of that
 * connection; the server goes on. @return whether something failed. */
static bool goes_on_without(size_t nth)
{
    static const char batch[] =
        "[{\"type\":\"join\",\"room\":\"r\",\"info\":{\"a\":1},\"id\":1},"
        "{\"type\":\"pub\",\"room\":\"r\",\"data\":{\"b64\":\"AAH/\"},\"id\":2},"
        "{\"type\":\"history\",\"room\":\"r\",\"id\":3},"
        "{\"type\":\"direct\",\"identity\":\"bob\",\"data\":[1],\"id\":4},"
        "{\"type\":\"call\",\"name\":\"x\",\"args\":1,\"id\":5},"
        "{\"type\":\"refresh\",\"token\":\"t\",\"id\":6},"
        "{\"type\":\"leave\",\"room\":\"r\",\"id\":7}]";
    struct page *a, *late;
    size_t refused;

    memset(&app, 0, sizeof app);
    pages_begin(&pages, &all_hooks, NULL, false);
    wsock_server_room_defaults(pages.server, "r", "history_messages", "9");
    pages_listen(&pages);
    a = page_enters(&pages, 0, "ann", "x");
    page_enters(&pages, 1, "bob", "r");
    test_fail_allocation(nth, 0);
    wsock_conn_send(a->conn, WSOCK_TEXT, batch, sizeof batch - 1);
    wsock_testing_run(pages.runtime);
    refused = test_stop_failing();
    late = page_enters(&pages, 2, "eve", "r");
    assert_true(late->is_open);
    page_says(&pages, late, "{\"type\":\"pub\",\"room\":\"r\",\"data\":1,\"id\":1}");
    assert_non_null(strstr(late->heard, "{\"re\":1,\"ok\":{\"epoch\""));
    pages_end(&pages);
    return refused > 0;
}

static void memory_that_fails_is_nothing_to_others(void **state)
{
    size_t nth = 1;

    (void)state;
    while (goes_on_without(nth))
        nth++;
    assert_true(nth > 20);
    harness_checked();
}

/* ---- other threads ---- */

enum { THREAD_CONNS = 4, THREAD_ROUNDS = 200 };

static struct {
    pthread_mutex_t lock;
    wsock_ask *asks[1024];
    int count;
    bool stop;
} desk = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void on_call_for_desk(wsock_ask *ask, void *user)
{
    (void)user;
    pthread_mutex_lock(&desk.lock);
    if (desk.count < 1024)
        desk.asks[desk.count++] = wsock_ask_ref(ask);
    pthread_mutex_unlock(&desk.lock);
}

static void *clerk(void *arg)
{
    (void)arg;
    for (unsigned n = 0;; n++) {
        wsock_ask *ask = NULL;
        bool stop;

        pthread_mutex_lock(&desk.lock);
        if (desk.count > 0)
            ask = desk.asks[--desk.count];
        stop = desk.stop && ask == NULL;
        pthread_mutex_unlock(&desk.lock);
        if (stop)
            return NULL;
        if (ask != NULL && n % 3 == 0)
            wsock_ask_reply(ask, "1", 1);
        else if (ask != NULL && n % 3 == 1)
            wsock_ask_refuse(ask, "no", "not now", 1);
        wsock_ask_unref(ask);
    }
}

static void ask_again(wsock_conn *conn)
{
    static const char call[] = "{\"type\":\"call\",\"name\":\"x\",\"id\":1}";

    wsock_conn_send(conn, WSOCK_TEXT, call, sizeof call - 1);
}

static void on_opened(wsock_conn *conn, void *user)
{
    (void)user;
    wsock_conn_send(conn, WSOCK_TEXT, "{\"type\":\"hello\"}", 16);
    ask_again(conn);
}

/* Each answer asks again; now and then the connection goes away instead. */
static void on_answered(wsock_conn *conn, int type, const void *data, size_t len,
                        void *user)
{
    const int n = told(user);

    (void)type;
    (void)data;
    (void)len;
    tell(user);
    if (n % 17 == 16)
        wsock_conn_reset(conn);
    else
        ask_again(conn);
}

static void answers_come_from_other_threads_while_connections_and_server_end(void **state)
{
    static const wsock_rooms_hooks hooks = {.size = sizeof hooks,
                                            .on_call = on_call_for_desk};
    wsock_client *client[THREAD_CONNS];
    int answers[THREAD_CONNS] = {0};
    pthread_t thread[2];
    struct world world;
    wsock_endpoint *rooms = NULL;

    (void)state;
    desk.stop = false;
    world_begin(&world, 2);
    assert_int_equal(wsock_server_endpoint(world.server, &rooms, "/rooms"), 0);
    assert_int_equal(wsock_endpoint_serve_rooms(rooms, &hooks, NULL, NULL), 0);
    world_listen(&world, NULL);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, clerk, NULL), 0);
    for (int i = 0; i < THREAD_CONNS; i++) {
        char url[300];

        snprintf(url, sizeof url, "%s/rooms", world.url);
        assert_int_equal(wsock_runtime_client(world.runtime, &client[i], url), 0);
        wsock_client_add_subprotocol(client[i], "wsock.rooms.v1");
        wsock_client_set(client[i], "reconnect_delay", "1ms");
        wsock_client_on_open(client[i], on_opened, NULL, NULL);
        wsock_client_on_message(client[i], on_answered, &answers[i], NULL);
        assert_int_equal(wsock_client_start(client[i]), 0);
    }
    for (int i = 0; i < THREAD_CONNS; i++)
        await(&answers[i], THREAD_ROUNDS);
    wsock_endpoint_unref(rooms);
    for (int i = 0; i < THREAD_CONNS; i++) {
        wsock_client_stop(client[i], 1000, NULL);
        wsock_client_unref(client[i]);
    }
    wsock_server_stop(world.server);
    await(&world.stopped, 1); /* what was sent before may still be asked */
    pthread_mutex_lock(&desk.lock);
    desk.stop = true;
    pthread_mutex_unlock(&desk.lock);
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    world_end(&world);
}

/* ---- what waits behind a question ---- */

enum { LARGE = 60000, LARGE_FIT = 1024 * 1024 / LARGE };

static struct {
    struct world world;
    struct side side;
    wsock_client *client;
} much;

/* A client that is welcome, of a host that is to answer its calls. */
static void begin_much(void)
{
    static const wsock_rooms_hooks hooks = {.size = sizeof hooks, .on_call = on_call};
    wsock_endpoint *rooms = NULL;
    char url[300];

    memset(&app, 0, sizeof app);
    memset(&much, 0, sizeof much);
    world_begin_queued(&much.world, 2);
    assert_int_equal(wsock_server_set(much.world.server, "conn_queue_bytes", "4MiB"), 0);
    assert_int_equal(wsock_server_endpoint(much.world.server, &rooms, "/rooms"), 0);
    assert_int_equal(wsock_endpoint_serve_rooms(rooms, &hooks, NULL, NULL), 0);
    wsock_endpoint_unref(rooms);
    world_listen(&much.world, NULL);
    snprintf(url, sizeof url, "%s/rooms", much.world.url);
    assert_int_equal(wsock_runtime_client(much.world.runtime, &much.client, url), 0);
    wsock_client_add_subprotocol(much.client, "wsock.rooms.v1");
    assert_int_equal(wsock_client_set(much.client, "max_backlog_bytes", "4MiB"), 0);
    side_client(&much.side, much.client);
    assert_int_equal(wsock_client_connect(much.client, NULL), 0);
    dispatch_until(much.world.queue, &much.side.opened, 1);
    wsock_conn_send(much.side.conn, WSOCK_TEXT, "{\"type\":\"hello\"}", 16);
    dispatch_until(much.world.queue, &much.side.messages, 1);
}

/* A question that is kept, and so many large ones behind it, all of which are read before
 * the host looks at the first: the answer to a ping tells that. */
static void say_much(int count)
{
    static char large[LARGE + 1];

    app.keep = true;
    snprintf(large, sizeof large,
             "{\"type\":\"call\",\"name\":\"desk\",\"args\":\"%0*d\"}", LARGE - 41, 0);
    for (int i = 0; i <= count; i++)
        assert_int_equal(
            wsock_conn_send(much.side.conn, WSOCK_TEXT, large, strlen(large)), 0);
    assert_int_equal(wsock_conn_send_ping(much.side.conn, NULL, 0), 0);
    await(&much.side.pongs, 1);
    assert_int_equal(app.calls, 0);
}

static void end_much(void)
{
    side_fini(&much.side);
    wsock_client_unref(much.client);
    world_end(&much.world);
}

static void who_says_too_much_behind_a_question_is_closed(void **state)
{
    (void)state;
    begin_much();
    say_much(LARGE_FIT + 1);
    dispatch_until(much.world.queue, &much.side.closed, 1);
    assert_int_equal(much.side.code, 4429);
    assert_string_equal(much.side.reason, "too much waits behind a question");
    assert_int_equal(app.calls, 1);
    assert_int_equal(wsock_ask_reply(app.kept, "1", 1), WSOCK_ECLOSED);
    wsock_ask_unref(app.kept);
    end_much();
}

static void what_fits_behind_a_question_is_answered(void **state)
{
    (void)state;
    begin_much();
    say_much(LARGE_FIT);
    dispatch_until(much.world.queue, &app.calls, 1);
    app.keep = false;
    assert_int_equal(wsock_ask_reply(app.kept, "1", 1), 0);
    wsock_ask_unref(app.kept);
    dispatch_until(much.world.queue, &app.calls, 1 + LARGE_FIT);
    assert_int_equal(told(&much.side.closed), 0);
    end_much();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nobody_is_asked_and_everybody_is_a_guest),
        TEST(application_says_who_comes_and_for_how_long),
        TEST(refused_hello_closes_as_its_code_says),
        TEST(hello_has_to_come_in_time),
        TEST(heartbeats_come_from_the_welcome_on),
        TEST(token_is_refreshed_before_it_is_over),
        TEST(members_hear_of_each_other_and_what_is_said),
        TEST(raw_members_say_and_hear_data),
        TEST(history_and_what_was_missed),
        TEST(direct_messages_reach_all_connections_of_somebody),
        TEST(direct_messages_and_kicks_cross_nodes),
        TEST(kicked_and_closed_members_are_told_why),
        TEST(large_rooms_are_counted_and_told_of_seldom),
        TEST(who_came_in_a_crowd_is_told_of_when_it_goes),
        TEST(who_goes_and_is_back_soon_was_never_away),
        TEST(what_follows_a_question_waits_for_its_answer),
        TEST(questions_go_with_a_queue_that_is_closed),
        TEST(hook_that_closes_its_queue_is_the_last),
        TEST(handler_that_closes_its_queue_is_the_last),
        TEST(forgotten_and_late_answers_are_refusals),
        TEST(hook_may_rewrite_what_is_said),
        TEST(limits_are_errors_with_codes),
        TEST(server_that_goes_says_so_first),
        TEST(endpoint_of_rooms_keeps_its_messages),
        TEST(memory_that_fails_is_nothing_to_others),
        TEST(answers_come_from_other_threads_while_connections_and_server_end),
        TEST(who_says_too_much_behind_a_question_is_closed),
        TEST(what_fits_behind_a_question_is_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
