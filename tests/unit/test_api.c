/* SPDX-License-Identifier: MIT */
/* The public objects before anything is connected: constructors without memory, and
 * errors that name what was wrong and change nothing. And what a connection tells of its
 * opening. */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include <wsock/wsock.h>

#include "conn/answer.h"
#include "stage.h"

struct world {
    wsock_runtime *runtime;
    wsock_server *server;
    wsock_endpoint *endpoint;
    wsock_client *client;
    wsock_message *message;
    wsock_room *room;
};

static struct world world;
static int freed;

static void count_free(void *user)
{
    (void)user;
    freed++;
}

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    (void)conn;
    (void)type;
    (void)data;
    (void)len;
    (void)user;
}

static void on_open(wsock_conn *conn, void *user)
{
    (void)conn;
    (void)user;
}

/* Everything that can be made. @return the first error. */
static int build(struct world *w)
{
    int r;

    memset(w, 0, sizeof *w);
    r = wsock_runtime_new(&w->runtime);
    if (r == 0)
        r = wsock_server_new(w->runtime, &w->server);
    if (r == 0)
        r = wsock_server_endpoint(w->server, &w->endpoint, "/chat/{room}/x");
    if (r == 0)
        r = wsock_endpoint_on_message(w->endpoint, on_message, w, count_free);
    if (r == 0)
        r = wsock_server_room(w->server, &w->room, "lobby");
    if (r == 0)
        r = wsock_runtime_client(w->runtime, &w->client, "ws://127.0.0.1:1/a?b");
    if (r == 0)
        r = wsock_client_add_header(w->client, "X-A", "b");
    if (r == 0)
        r = wsock_client_add_subprotocol(w->client, "p");
    if (r == 0)
        r = wsock_client_on_open(w->client, on_open, w, count_free);
    if (r == 0)
        r = wsock_runtime_message(w->runtime, &w->message, WSOCK_TEXT, "hello", 5);
    return r;
}

static void destroy(struct world *w)
{
    wsock_room_unref(w->room);
    wsock_message_unref(w->message);
    wsock_endpoint_unref(w->endpoint);
    wsock_client_unref(w->client);
    wsock_server_free(w->server);
    assert_int_equal(wsock_runtime_free(w->runtime), 0);
    memset(w, 0, sizeof *w);
}

static void constructors_without_memory_say_so_and_leave_nothing(void **state)
{
    (void)state;
    for (int ever = 0; ever < 2; ever++) {
        size_t refused = 1;

        for (size_t n = 1; refused > 0; n++) {
            const size_t live = test_live_blocks();
            int r;

            freed = 0;
            test_fail_allocation(n, ever);
            r = build(&world);
            refused = test_stop_failing();
            assert_int_equal(r, refused > 0 ? WSOCK_ENOMEM : 0);
            destroy(&world);
            assert_int_equal(test_live_blocks(), live);
        }
        assert_int_equal(freed, 2);
    }
}

static void user_pointer_is_the_callers_when_its_registration_failed(void **state)
{
    (void)state;
    assert_int_equal(build(&world), 0);
    freed = 0;
    test_fail_allocation(1, 1);
    assert_int_equal(wsock_endpoint_on_open(world.endpoint, on_open, NULL, count_free),
                     WSOCK_ENOMEM);
    assert_int_equal(wsock_client_on_drain(world.client, on_open, NULL, count_free),
                     WSOCK_ENOMEM);
    test_stop_failing();
    wsock_server_stop(world.server);
    assert_int_equal(freed, 1); /* that of on_message: the server has stopped */
    assert_int_equal(wsock_endpoint_on_open(world.endpoint, on_open, NULL, count_free),
                     WSOCK_ECLOSED);
    assert_int_equal(freed, 1);
    destroy(&world);
    assert_int_equal(freed, 2);
}

static void nothing_is_wanted_of_null(void **state)
{
    int64_t number = 7;

    (void)state;
    assert_int_equal(wsock_runtime_new(NULL), WSOCK_EINVAL);
    assert_int_equal(wsock_runtime_free(NULL), 0);
    assert_int_equal(wsock_server_new(NULL, &world.server), WSOCK_EINVAL);
    assert_null(world.server);
    wsock_server_free(NULL);
    wsock_server_stop(NULL);
    assert_int_equal(wsock_server_listen(NULL, "ws://127.0.0.1:0"), WSOCK_EINVAL);
    assert_int_equal(wsock_server_get_int64(NULL, "max_headers", &number), WSOCK_EINVAL);
    assert_int_equal(wsock_client_connect(NULL, NULL), WSOCK_EINVAL);
    assert_int_equal(wsock_endpoint_on_open(NULL, on_open, NULL, count_free),
                     WSOCK_EINVAL);
    assert_int_equal(wsock_message_len(NULL), 0);
    assert_int_equal(wsock_server_conn_count(NULL), 0);
    wsock_endpoint_unref(NULL);
    wsock_client_unref(NULL);
    wsock_message_unref(NULL);
    wsock_room_unref(NULL);
    assert_int_equal(number, 7);
}

/* ---- options ---- */

static void assert_says(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", text, part);
}

static void option_error_names_option_value_and_the_nearest(void **state)
{
    int64_t number = 0;

    (void)state;
    assert_int_equal(build(&world), 0);
    assert_int_equal(wsock_server_set(world.server, "max_mesage_bytes", "1"),
                     WSOCK_EOPTION);
    assert_says(wsock_server_error(world.server), "max_mesage_bytes");
    assert_says(wsock_server_error(world.server), "max_message_bytes");
    assert_int_equal(wsock_server_set(world.server, "max_headers", "7"), WSOCK_ERANGE);
    assert_says(wsock_server_error(world.server), "max_headers");
    assert_says(wsock_server_error(world.server), "7");
    assert_int_equal(wsock_server_get_int64(world.server, "max_headers", &number), 0);
    assert_int_equal(number, 100);
    assert_int_equal(wsock_runtime_set(world.runtime, "max_headers", "9"), WSOCK_EOPTION);
    assert_int_equal(wsock_endpoint_set(world.endpoint, "workers", "9"), WSOCK_EOPTION);
    assert_int_equal(wsock_client_set(world.client, "origins", "*"), WSOCK_EOPTION);
    assert_int_equal(wsock_client_set(world.client, "idle_timeout", "soon"),
                     WSOCK_EINVAL);
    assert_says(wsock_client_error(world.client), "soon");
    /* Each object has a sentence of its own. */
    assert_says(wsock_server_error(world.server), "max_headers");
    destroy(&world);
}

static int64_t endpoint_number(const char *name)
{
    int64_t number = -1;

    assert_int_equal(wsock_endpoint_get_int64(world.endpoint, name, &number), 0);
    return number;
}

static void endpoint_follows_its_server_until_it_has_a_value(void **state)
{
    wsock_endpoint *later = NULL;
    int64_t number = 0;

    (void)state;
    assert_int_equal(build(&world), 0);
    assert_int_equal(endpoint_number("max_message_bytes"), 1024 * 1024);
    assert_int_equal(wsock_server_set(world.server, "max_message_bytes", "2KiB"), 0);
    assert_int_equal(endpoint_number("max_message_bytes"), 2048);
    assert_int_equal(wsock_server_endpoint(world.server, &later, "/later"), 0);
    assert_int_equal(wsock_endpoint_get_int64(later, "max_message_bytes", &number), 0);
    assert_int_equal(number, 2048);
    wsock_endpoint_unref(later);
    assert_int_equal(wsock_endpoint_set_int64(world.endpoint, "max_message_bytes", 5), 0);
    assert_int_equal(wsock_server_set(world.server, "max_message_bytes", "off"), 0);
    assert_int_equal(endpoint_number("max_message_bytes"), 5);
    assert_int_equal(wsock_server_set(world.server, "ping_interval", "off"), 0);
    assert_int_equal(endpoint_number("ping_interval"), 0);
    destroy(&world);
}

/* ---- server ---- */

static void patterns_are_objects_of_their_own(void **state)
{
    wsock_endpoint *again = NULL, *none = NULL;

    (void)state;
    assert_int_equal(build(&world), 0);
    assert_int_equal(wsock_server_endpoint(world.server, &again, "/chat/{room}/x"), 0);
    assert_ptr_equal(again, world.endpoint);
    wsock_endpoint_unref(again);
    assert_int_equal(wsock_server_endpoint(world.server, &none, "/chat/{name}/x"),
                     WSOCK_EEXIST);
    assert_int_equal(wsock_server_endpoint(world.server, &none, "chat"), WSOCK_EINVAL);
    assert_says(wsock_server_error(world.server), "chat");
    assert_int_equal(wsock_server_listen(world.server, "ws://127.0.0.1:0"), 0);
    assert_int_equal(wsock_server_endpoint(world.server, &none, "/late"), WSOCK_EBUSY);
    assert_null(none);
    assert_string_equal(wsock_endpoint_pattern(world.endpoint), "/chat/{room}/x");
    destroy(&world);
}

static void endpoints_are_fixed_when_the_server_accepts(void **state)
{
    (void)state;
    assert_int_equal(build(&world), 0);
    assert_int_equal(wsock_server_pause_accept(world.server), 0);
    assert_int_equal(wsock_server_listen(world.server, "ws://127.0.0.1:0"), 0);
    assert_int_equal(wsock_endpoint_set(world.endpoint, "subprotocols", "chat"), 0);
    assert_int_equal(wsock_server_resume_accept(world.server), 0);
    assert_int_equal(wsock_endpoint_set(world.endpoint, "subprotocols", "x"), WSOCK_EBUSY);
    destroy(&world);
}

static void port_in_use_is_an_error_that_names_it(void **state)
{
    char url[64], small[8];
    wsock_server *second = NULL;
    int len;

    (void)state;
    assert_int_equal(build(&world), 0);
    assert_int_equal(wsock_server_url(world.server, url, sizeof url, 0), WSOCK_ENOENT);
    assert_int_equal(wsock_server_listen(world.server, "ws://127.0.0.1:0"), 0);
    assert_int_equal(wsock_server_url(world.server, small, sizeof small, 0),
                     WSOCK_ETOOBIG);
    len = wsock_server_url(world.server, url, sizeof url, 0);
    assert_int_equal(len, strlen(url));
    assert_string_not_equal(strrchr(url, ':'), ":0");
    assert_int_equal(wsock_server_new(world.runtime, &second), 0);
    assert_int_equal(wsock_server_listen(second, url), WSOCK_EADDRINUSE);
    assert_says(wsock_server_error(second), url);
    assert_int_equal(wsock_server_unlisten(world.server, "ws://127.0.0.1:9"),
                     WSOCK_ENOENT);
    assert_int_equal(wsock_server_unlisten(world.server, url), 0);
    assert_int_equal(wsock_server_url(world.server, url, sizeof url, 0), WSOCK_ENOENT);
    wsock_server_free(second);
    destroy(&world);
}

static void stopped_server_takes_nothing_new(void **state)
{
    wsock_endpoint *none = NULL;

    (void)state;
    assert_int_equal(build(&world), 0);
    wsock_server_stop(world.server);
    assert_int_equal(wsock_server_wait(world.server, -1), 0);
    assert_int_equal(wsock_server_listen(world.server, "ws://127.0.0.1:0"),
                     WSOCK_ECLOSED);
    assert_int_equal(wsock_server_endpoint(world.server, &none, "/new"), WSOCK_ECLOSED);
    assert_int_equal(wsock_server_pause_accept(world.server), WSOCK_ECLOSED);
    wsock_server_stop(world.server);
    destroy(&world);
}

static void stopped_runtime_makes_nothing_new(void **state)
{
    wsock_server *server = NULL;

    (void)state;
    assert_int_equal(build(&world), 0);
    wsock_runtime_stop(world.runtime);
    assert_int_equal(wsock_server_new(world.runtime, &server), WSOCK_ECLOSED);
    assert_null(server);
    assert_int_equal(wsock_client_connect(world.client, NULL), WSOCK_ECLOSED);
    destroy(&world);
}

/* ---- clients, messages, texts ---- */

static void url_that_cannot_be_connected_to_is_refused(void **state)
{
    static const struct {
        const char *url;
        int error;
    } cases[] = {
        {"http://127.0.0.1/", WSOCK_EURL},
        {"127.0.0.1", WSOCK_EURL},
        {"ws://", WSOCK_EURL},
        {"ws://127.0.0.1:99999/", WSOCK_EURL},
        {"ws://127.0.0.1/#f", WSOCK_EURL},
        {"", WSOCK_EURL},
        {"ws://u%3A:secret@127.0.0.1/", WSOCK_EURL},
        {"ws://127.0.0.1:0/", WSOCK_ENOTSUP},
        {"ws://*:80/", WSOCK_ENOTSUP},
    };
    wsock_client *client = NULL;
    const char *at;

    (void)state;
    assert_int_equal(build(&world), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(wsock_runtime_client(world.runtime, &client, cases[i].url),
                         cases[i].error);
        at = strchr(cases[i].url, '@'); /* what stands before it is not told */
        assert_says(wsock_runtime_error(world.runtime),
                    at != NULL ? at + 1 : cases[i].url);
        assert_null(strstr(wsock_runtime_error(world.runtime), "secret"));
    }
    assert_null(client);
    assert_int_equal(wsock_client_add_header(world.client, "Host", "x"), WSOCK_EINVAL);
    assert_says(wsock_client_error(world.client), "Host");
    assert_int_equal(wsock_client_set_header(world.client, "Te st", NULL), WSOCK_EINVAL);
    assert_says(wsock_client_error(world.client), "Te st");
    assert_int_equal(wsock_client_set_header(world.client, NULL, "x"), WSOCK_EINVAL);
    assert_int_equal(wsock_client_set_header(NULL, "X", "x"), WSOCK_EINVAL);
    assert_int_equal(wsock_client_set_header(world.client, "X", NULL), 0);
    assert_int_equal(wsock_client_add_subprotocol(world.client, "p"), WSOCK_EEXIST);
    assert_int_equal(wsock_client_add_subprotocol(world.client, "a b"), WSOCK_EINVAL);
    assert_int_equal(wsock_client_add_subprotocol(world.client, ""), WSOCK_EINVAL);
    destroy(&world);
}

static void message_keeps_what_it_was_made_of(void **state)
{
    wsock_message *none = NULL;

    (void)state;
    assert_int_equal(build(&world), 0);
    assert_int_equal(wsock_message_type(world.message), WSOCK_TEXT);
    assert_int_equal(wsock_message_len(world.message), 5);
    assert_memory_equal(wsock_message_data(world.message), "hello", 5);
    assert_int_equal(wsock_runtime_message(world.runtime, &none, WSOCK_TEXT, "\xff", 1),
                     WSOCK_EUTF8);
    assert_int_equal(wsock_runtime_message(world.runtime, &none, 0, "x", 1),
                     WSOCK_EINVAL);
    assert_null(none);
    destroy(&world);
}

static void every_code_has_its_text_and_name(void **state)
{
    (void)state;
#define HAS_TEXT(name, value, text)                          \
    assert_string_equal(wsock_strerror(WSOCK_##name), text); \
    assert_string_equal(wsock_error_name(WSOCK_##name), "WSOCK_" #name);
    WSOCK_ERROR_MAP(HAS_TEXT)
#undef HAS_TEXT
    assert_string_equal(wsock_strerror(-999), "unknown error");
    assert_null(wsock_error_name(-999));
    assert_string_equal(wsock_cause_text(WSOCK_CAUSE_IDLE),
                        "nothing came for the idle timeout");
    assert_string_equal(wsock_cause_text(-1), "unknown cause");
}

/* ---- connections ---- */

static void keep_request(wsock_request *request, void *user)
{
    *(wsock_conn **)user = wsock_conn_ref(wsi_conn_of_request(request));
}

static void extensions_are(const wsock_conn *conn, const char *expected)
{
    char text[160] = "untouched";

    assert_int_equal(wsock_conn_extensions(conn, text, sizeof text), strlen(expected));
    assert_string_equal(text, expected);
}

static void extensions_are_of_connections_that_opened(void **state)
{
    static const char offer[] = "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    static const char agreed[] = "permessage-deflate; server_no_context_takeover; "
                                 "client_no_context_takeover";
    struct stage stage;
    struct script_peer peer;
    wsock_conn *conn = NULL;

    (void)state;
    for (int opens = 0; opens < 2; opens++) {
        stage_begin(&stage, 1);
        assert_int_equal(wsi_options_set(&stage.endpoint.options, "compression", "shared",
                                         true, NULL, 0),
                         0);
        assert_int_equal(wsi_profile_on(&stage.endpoint, &stage.pool, WSI_ON_REQUEST,
                                        (union wsi_handler_fn){.request = keep_request},
                                        true, &conn, NULL),
                         0);
        stage_accept(&stage, &peer, 0);
        script_feed(&peer, stage_request, strlen(stage_request) - 2);
        script_feed(&peer, offer, strlen(offer));
        stage_settle(&stage);
        assert_int_not_equal(conn->pmd.own_window_bits, 0); /* agreed, but not open */
        extensions_are(conn, "");
        if (opens) {
            assert_int_equal(wsi_answer_accept(conn, NULL), 0);
            stage_settle(&stage);
            extensions_are(conn, agreed);
        }
        stage_drop(&stage, conn, &peer);
        extensions_are(conn, opens ? agreed : "");
        stage_saw(&stage, opens ? "open | closed RESET 1006" : "cancelled");
        wsock_conn_unref(conn);
        stage_end(&stage);
    }
}

/* How tokens are judged is tested beside v1/jwt.c. */
static void tokens_go_through(void **state)
{
    static const char secret[] = "a secret that only this test has";
    const wsock_jwt_rules small = {.size = sizeof small - 1};
    wsock_jwt_key *key = NULL;
    wsock_jwt *jwt = NULL;
    int why = -1, r;

    (void)state;
    assert_int_equal(build(&world), 0);
    r = wsock_runtime_jwt_key(world.runtime, &key, WSOCK_JWT_HS256, "short", 5);
    assert_true(r == WSOCK_EINVAL || r == WSOCK_ENOTSUP);
    assert_says(wsock_runtime_error(world.runtime), r == WSOCK_EINVAL
                                                        ? "a secret has 32 bytes or more"
                                                        : "this build has no");
    if (r == WSOCK_EINVAL) {
        assert_int_equal(wsock_runtime_jwt_key(world.runtime, &key, WSOCK_JWT_HS256,
                                               secret, sizeof secret - 1),
                         0);
        wsock_jwt_key_unref(wsock_jwt_key_ref(key));
        assert_int_equal(wsock_jwt_verify(key, &jwt, &why, "a.b", 3, NULL),
                         WSOCK_EACCESS);
        assert_int_equal(why, WSOCK_JWT_MALFORMED);
        assert_int_equal(wsock_jwt_verify(key, &jwt, NULL, "a.b", 3, &small),
                         WSOCK_EINVAL);
        assert_int_equal(wsock_jwt_verify(key, &jwt, NULL, NULL, 0, NULL), WSOCK_EINVAL);
    }
    assert_string_equal(wsock_jwt_error_text(WSOCK_JWT_EXPIRED), "the token has expired");
    assert_string_equal(wsock_jwt_error_text(77), "unknown error");
    assert_string_equal(wsock_jwt_subject(NULL), "");
    assert_int_equal(wsock_jwt_allows(NULL, WSOCK_JWT_JOIN, "lobby"), 0);
    assert_int_equal(wsock_jwt_allows(NULL, WSOCK_JWT_DIRECT, NULL), 0);
    wsock_jwt_unref(NULL);
    wsock_jwt_key_unref(key);
    destroy(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(constructors_without_memory_say_so_and_leave_nothing),
        TEST(user_pointer_is_the_callers_when_its_registration_failed),
        TEST(nothing_is_wanted_of_null),
        TEST(option_error_names_option_value_and_the_nearest),
        TEST(endpoint_follows_its_server_until_it_has_a_value),
        TEST(patterns_are_objects_of_their_own),
        TEST(endpoints_are_fixed_when_the_server_accepts),
        TEST(port_in_use_is_an_error_that_names_it),
        TEST(stopped_server_takes_nothing_new),
        TEST(tokens_go_through),
        TEST(stopped_runtime_makes_nothing_new),
        TEST(url_that_cannot_be_connected_to_is_refused),
        TEST(message_keeps_what_it_was_made_of),
        TEST(every_code_has_its_text_and_name),
        TEST(extensions_are_of_connections_that_opened),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
