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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nobody_is_asked_and_everybody_is_a_guest),
        TEST(application_says_who_comes_and_for_how_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
