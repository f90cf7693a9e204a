/* SPDX-License-Identifier: MIT */
/*
 * Rooms, rooms.v1 and questions without memory: in each scene the first allocation fails,
 * then the second, and so on, once or from then on, also those of the JSON library. What
 * cannot be done is an error to who asked, or the end of that connection; nobody is left
 * open and unheard, nothing is left behind, and others do not notice.
 */
#include "harness.h"
#include "pages.h"

#include <jansson.h>

static struct pages pages;

static struct {
    wsock_ask *kept[8]; /* what is answered later */
    int count;
} app;

/* ---- an application that says something of everything ---- */

static void on_hello(wsock_ask *ask, void *user)
{
    (void)user;
    if (wsock_ask_name(ask) == NULL ||
        wsock_ask_set_identity(ask, wsock_ask_name(ask)) == 0)
        wsock_ask_accept(ask);
}

static void on_join(wsock_ask *ask, void *user)
{
    (void)user;
    if (strcmp(wsock_ask_room(ask), "refused") == 0)
        wsock_ask_refuse(ask, "no", "not you", 0);
    else if (wsock_ask_set_info(ask, "{\"of\":1}", 8) == 0)
        wsock_ask_accept(ask);
}

static void on_publish(wsock_ask *ask, void *user)
{
    (void)user;
    if (wsock_ask_set_data(ask, WSOCK_TEXT | WSOCK_JSON, "[\"rewritten\"]", 13) == 0)
        wsock_ask_accept(ask);
}

static void on_call(wsock_ask *ask, void *user)
{
    (void)user;
    if (strcmp(wsock_ask_name(ask), "later") == 0 && app.count < 8)
        app.kept[app.count++] = wsock_ask_ref(ask);
    else
        wsock_ask_reply(ask, "{\"a\":[1]}", 9);
}

static const wsock_rooms_hooks hooks = {
    .size = sizeof hooks,
    .on_hello = on_hello,
    .on_join = on_join,
    .on_publish = on_publish,
    .on_call = on_call,
};

static void answer_later(void)
{
    for (int i = 0; i < app.count; i++) {
        wsock_ask_reply(app.kept[i], "true", 4);
        wsock_ask_unref(app.kept[i]);
    }
    app.count = 0;
}

/* ---- scenes ---- */

enum variant { QUEUED = 1, CLUSTERED = 2, VARIANTS = 4 };

static void run(void)
{
    assert_int_equal(wsock_testing_run(pages.runtime), 0);
}

static void begin(int variant)
{
    memset(&app, 0, sizeof app);
    pages_begin(&pages, &hooks, NULL, (variant & QUEUED) != 0);
    if ((variant & CLUSTERED) != 0)
        assert_int_equal(wsock_server_set(pages.server, "cluster", "memory:oom"), 0);
    wsock_server_room_defaults(pages.server, "kept.>", "history_messages", "9");
    pages_listen(&pages);
    page_enters(&pages, 0, "bob", "r");
}

/* Whatever it can say, it says. */
static void says(struct page *page, const char *text)
{
    if (page->is_open)
        wsock_conn_send(page->conn, WSOCK_TEXT, text, strlen(text));
    run();
}

static void connects(struct page *page)
{
    wsock_client_connect(page->client, NULL);
    run();
}

static void all_that_a_page_does(void)
{
    struct page *page = &pages.page[1];

    connects(page);
    says(page, "[{\"type\":\"hello\",\"name\":\"ann\",\"id\":1},"
               "{\"type\":\"join\",\"room\":\"r\",\"id\":2},"
               "{\"type\":\"join\",\"room\":\"kept.a\",\"id\":\"three\"},"
               "{\"type\":\"join\",\"room\":\"refused\",\"id\":4}]");
    wsock_testing_advance(pages.runtime, 500); /* people are loaded, presence is told */
    says(page, "[{\"type\":\"pub\",\"room\":\"r\",\"data\":{\"b64\":\"AAH/\"},\"id\":5},"
               "{\"type\":\"pub\",\"room\":\"kept.a\",\"data\":{\"x\":[1]},\"id\":6},"
               "{\"type\":\"history\",\"room\":\"kept.a\",\"id\":7},"
               "{\"type\":\"direct\",\"identity\":\"bob\",\"data\":\"x\",\"id\":8}]");
    says(page, "{\"type\":\"call\",\"name\":\"later\",\"args\":{\"n\":1},\"id\":9}");
    says(page, "{\"type\":\"call\",\"name\":\"now\",\"id\":10}");
    answer_later();
    run();
    says(page, "[{\"type\":\"leave\",\"room\":\"kept.a\",\"id\":11},"
               "{\"type\":\"join\",\"room\":\"kept.a\",\"since\":{},\"id\":12},"
               "{\"type\":\"refresh\",\"token\":\"t\",\"id\":13},"
               "{\"type\":\"pub\",\"room\":\"nowhere\",\"data\":1,\"id\":14}, 3]");
    says(page, "{\"type\":");
}

static void on_done(const wsock_published *published, void *user)
{
    (void)published;
    (*(int *)user)++;
}

static void on_people(const wsock_person *people, size_t count, const char *why,
                      void *user)
{
    (void)people, (void)count, (void)why;
    (*(int *)user)++;
}

static void on_nodes(const wsock_node *nodes, size_t count, const char *why, void *user)
{
    (void)nodes, (void)count, (void)why;
    (*(int *)user)++;
}

static void on_member(wsock_room *room, const wsock_member *member, void *user)
{
    (void)room, (void)member, (void)user;
}

static void on_said(wsock_room *room, const wsock_room_message *message, void *user)
{
    (void)room, (void)message, (void)user;
}

/* What is answered later is answered, if it was not refused at once. */
static void ask_the_cluster(wsock_room *room)
{
    int answered = 0, taken = 0;
    const wsock_publish what = {.size = sizeof what,
                                .data = "asked",
                                .len = 5,
                                .key = "key",
                                .from = "eve",
                                .on_done = on_done,
                                .done_user = &answered,
                                .type = WSOCK_TEXT};

    taken += wsock_room_publish(room, &what, NULL) >= 0;
    taken += wsock_room_people_everywhere(room, on_people, &answered) == 0;
    taken += wsock_server_nodes(pages.server, on_nodes, &answered) == 0;
    wsock_testing_advance(pages.runtime, 11000);
    assert_int_equal(answered, taken);
}

static void what_the_application_does(void)
{
    wsock_room *room = NULL, *kept = NULL;
    wsock_conn *member = NULL;

    connects(&pages.page[2]); /* a raw member of "kept.raw" */
    says(&pages.page[2], "said raw");
    if (wsock_server_room(pages.server, &kept, "kept.raw") == 0) {
        wsock_room_on_join(kept, on_member, NULL, NULL);
        wsock_room_on_leave(kept, on_member, NULL, NULL);
        wsock_room_on_message(kept, on_said, NULL, NULL);
        wsock_room_broadcast(kept, WSOCK_TEXT, "text", 4);
        wsock_room_send_to(kept, "bob", WSOCK_TEXT, "to one", 6);
        if (wsock_room_members(kept, &member, 1) > 0) {
            const wsock_position since = {.size = sizeof since};

            wsock_room_leave(kept, member);
            wsock_room_join_since(kept, member, &since, NULL);
            wsock_server_subscribe(pages.server, member, ">");
            wsock_conn_unref(member);
        }
        ask_the_cluster(kept);
    }
    if (wsock_server_find_room(pages.server, &room, "r") == 0) {
        if (wsock_room_members(room, &member, 1) > 0) {
            wsock_room_broadcast_except(room, member, WSOCK_BINARY, "bytes", 5);
            wsock_conn_unref(member);
        }
        wsock_room_send_to(room, "bob", WSOCK_TEXT, "to one", 6);
        wsock_room_kick(room, "bob", "why not");
        wsock_room_close(room, "no more");
    }
    run();
    wsock_room_unref(room);
    wsock_room_unref(kept);
    wsock_testing_advance(pages.runtime, 500);
}

/* ---- the sweep ---- */

/* It was closed, or is answered. */
static void is_heard_or_closed(struct page *page)
{
    if (!page->is_open)
        return;
    page->len = 0;
    page->heard[0] = '\0';
    says(page, "{\"type\":\"call\",\"name\":\"now\",\"id\":99}");
    wsock_testing_advance(pages.runtime, 11000); /* a question has its time */
    assert_true(!page->is_open || strstr(page->heard, "\"re\":99,") != NULL);
}

static void others_do_not_notice(void)
{
    struct page *page = page_enters(&pages, 3, "eve", "kept.a");

    assert_true(page->is_open);
    page_says(&pages, page, "{\"type\":\"pub\",\"room\":\"kept.a\",\"data\":1,\"id\":1}");
    wsock_testing_advance(pages.runtime, 1000);
    assert_non_null(strstr(page->heard, "{\"re\":1,\"ok\":{\"epoch\""));
}

/* @return whether something failed. */
static bool goes_on(void (*scene)(void), int variant, size_t nth, int for_ever)
{
    size_t refused;

    begin(variant);
    page_make(&pages, 1, "/rooms", false);
    page_make(&pages, 2, "/rooms/kept.raw", true);
    test_fail_allocation(nth, for_ever);
    scene();
    refused = test_stop_failing();
    answer_later();
    run();
    is_heard_or_closed(&pages.page[0]);
    is_heard_or_closed(&pages.page[1]);
    others_do_not_notice();
    pages_end(&pages);
    harness_checked();
    return refused > 0;
}

static void sweep(void (*scene)(void), size_t least)
{
    for (int variant = 0; variant < VARIANTS; variant++)
        for (int for_ever = 0; for_ever < 2; for_ever++) {
            size_t nth = 1;
            const size_t live = test_live_blocks();

            while (goes_on(scene, variant, nth, for_ever)) {
                assert_int_equal(test_live_blocks(), live);
                nth++;
            }
            assert_true(nth > least);
        }
}

static void what_pages_ask_for_needs_memory(void **state)
{
    (void)state;
    sweep(all_that_a_page_does, 200);
}

static void what_rooms_do_needs_memory(void **state)
{
    (void)state;
    sweep(what_the_application_does, 50);
}

/* Who goes on after that listens where rooms were set up half-way. */
static void serving_rooms_needs_memory(void **state)
{
    size_t refused = 1, nth;

    (void)state;
    for (nth = 1; refused > 0; nth++) {
        struct page *page = &pages.page[1];
        wsock_endpoint *endpoint;
        bool is_served;

        pages_begin(&pages, &hooks, NULL, false);
        assert_int_equal(wsock_server_endpoint(pages.server, &endpoint, "/more"), 0);
        page_make(&pages, 1, "/more", false);
        test_fail_allocation(nth, 1);
        is_served = wsock_endpoint_serve_rooms(endpoint, &hooks, NULL, NULL) == 0;
        refused = test_stop_failing();
        assert_int_equal(is_served, refused == 0);
        pages_listen(&pages);
        connects(page);
        says(page, "{\"type\":\"hello\",\"id\":1}");
        assert_int_equal(is_served, strstr(page->heard, "\"re\":1,\"ok\":") != NULL);
        wsock_endpoint_unref(endpoint);
        pages_end(&pages);
    }
    assert_true(nth > 6);
}

/* Questions that nobody has answered when everything ends, and that is held up by no
 * memory; who answers then is told that it is too late. */
static void the_end_needs_no_memory_for_questions(void **state)
{
    (void)state;
    for (int variant = 0; variant < VARIANTS; variant++) {
        begin(variant);
        page_says(&pages, page_enters(&pages, 1, "ann", "kept.a"),
                  "[{\"type\":\"pub\",\"room\":\"kept.a\",\"data\":1,\"id\":1},"
                  "{\"type\":\"call\",\"name\":\"later\",\"id\":2},"
                  "{\"type\":\"leave\",\"room\":\"kept.a\",\"id\":3}]");
        assert_int_equal(app.count, 1);
        test_fail_allocation(1, 1);
        pages_end(&pages);
        test_stop_failing();
        assert_int_equal(wsock_ask_reply(app.kept[0], "1", 1), WSOCK_ECLOSED);
        wsock_ask_unref(app.kept[0]);
        harness_checked();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_pages_ask_for_needs_memory),
        TEST(what_rooms_do_needs_memory),
        TEST(serving_rooms_needs_memory),
        TEST(the_end_needs_no_memory_for_questions),
    };

    json_set_alloc_funcs(counted_malloc, counted_free);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
