/* SPDX-License-Identifier: MIT */
/* The server's side of opening: who gets which answer, byte for byte, and who may answer
 * when. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <wsock/error.h>

#include "conn/answer.h"
#include "conn/opening.h"
#include "stage.h"

#define UPGRADE               \
    "Upgrade: websocket\r\n"  \
    "Connection: Upgrade\r\n" \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define PLAIN_TEXT "Content-Type: text/plain; charset=utf-8\r\n"

#define GOING_AWAY                                              \
    "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n" \
    "Content-Type: text/plain\r\nContent-Length: 11\r\n"        \
    "Retry-After: 1\r\n\r\ngoing away\n"

static struct stage stage;
static struct script_peer peer;

/* ---- answers of the library ---- */

static void answered(const char *request, const char *answer)
{
    stage_begin(&stage, 1);
    stage_accept(&stage, &peer, 0);
    script_feed(&peer, request, strlen(request));
    stage_settle(&stage);
    stage_sent_bytes(&peer, answer, strlen(answer));
    assert_true(script_fin(&peer));
    /* What comes behind it is no second request. */
    script_feed(&peer, request, strlen(request));
    stage_settle(&stage);
    stage_sent(&peer, "");
    peer.eof = true;
    stage_ended(&stage, &peer);
    stage_saw(&stage, "");
    stage_end(&stage);
}

static void path_without_endpoint_is_404(void **state)
{
    (void)state;
    answered("GET /other HTTP/1.1\r\nHost: h\r\n" UPGRADE "Sec-WebSocket-Version: 13\r\n"
             "\r\n",
             "HTTP/1.1 404 Not Found\r\nConnection: close\r\n" PLAIN_TEXT
             "Content-Length: 17\r\n\r\nno such endpoint\n");
    answered("GET /other HTTP/1.1\r\nHost: h\r\n\r\n",
             "HTTP/1.1 404 Not Found\r\nConnection: close\r\n" PLAIN_TEXT
             "Content-Length: 10\r\n\r\nNot Found\n");
}

static void foreign_origin_is_403(void **state)
{
    (void)state;
    answered("GET /e HTTP/1.1\r\nHost: h\r\n" UPGRADE "Sec-WebSocket-Version: 13\r\n"
             "Origin: http://evil.example\r\n\r\n",
             "HTTP/1.1 403 Forbidden\r\nConnection: close\r\n" PLAIN_TEXT
             "Content-Length: 28\r\n\r\nthis origin may not connect\n");
}

static void plain_request_to_an_endpoint_is_426(void **state)
{
    (void)state;
    answered(
        "GET /e HTTP/1.1\r\nHost: h\r\n\r\n",
        "HTTP/1.1 426 Upgrade Required\r\n"
        "Connection: close, Upgrade\r\n"
        "Upgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\n" PLAIN_TEXT "Content-Length: 108\r\n\r\n"
        "this path takes WebSocket connections, and no header \"Upgrade: websocket\" "
        "came: a proxy may have removed it\n");
}

/* The status of an answer to this request. */
static int status_of(const char *request, size_t len)
{
    int status = 0;

    stage_begin(&stage, 1);
    stage_accept(&stage, &peer, 0);
    script_feed(&peer, request, len);
    peer.eof = true;
    stage_settle(&stage);
    if (peer.output.len > 12)
        status = atoi((const char *)peer.output.data + 9);
    stage_ended(&stage, &peer);
    if (status != 101)
        stage_saw(&stage, "");
    stage_end(&stage);
    return status;
}

static int status(const char *request)
{
    return status_of(request, strlen(request));
}

static void requests_that_break_a_rule_get_its_status(void **state)
{
    static char large[20000];
    size_t len;

    (void)state;
    assert_int_equal(status(stage_request), 101);
    assert_int_equal(status("GET /e HTTP/1.1\r\n" UPGRADE "\r\n"), 400); /* no Host */
    assert_int_equal(status("GET /e HTTP/1.1\r\nHost: h\r\n" UPGRADE
                            "Sec-WebSocket-Version: 8\r\n\r\n"),
                     426);
    assert_int_equal(status("POST /e HTTP/1.1\r\nHost: h\r\n\r\n"), 405);
    assert_int_equal(status("GET /e HTTP/1.1\nHost: h\n\n"), 400);
    assert_int_equal(status("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), 400);
    len = (size_t)snprintf(large, sizeof large, "GET /e HTTP/1.1\r\nHost: h\r\n");
    for (int i = 0; i < 101; i++)
        len += (size_t)snprintf(large + len, sizeof large - len, "a: b\r\n");
    snprintf(large + len, sizeof large - len, "\r\n");
    assert_int_equal(status(large), 431);
    memset(large, 'a', sizeof large);
    memcpy(large, "GET /", 5);
    assert_int_equal(status_of(large, sizeof large), 431);
}

static void connection_beyond_the_limit_is_503(void **state)
{
    struct script_peer first;
    struct wsock_conn *conn;

    (void)state;
    stage_begin(&stage, 1);
    assert_int_equal(wsi_options_set_number(&stage.service.profile.options,
                                            "max_connections", 1, true, NULL, 0),
                     0);
    conn = stage_accept_open(&stage, &first);
    stage_accept(&stage, &peer, 0);
    stage_settle(&stage);
    stage_sent(&peer, "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
                      "Content-Type: text/plain\r\nContent-Length: 5\r\n"
                      "Retry-After: 1\r\n\r\nfull\n");
    peer.eof = true;
    stage_ended(&stage, &peer);
    stage_drop(&stage, conn, &first);
    stage_saw(&stage, "open | closed RESET 1006");
    stage_end(&stage);
}

/* ---- answers of the application ---- */

static wsock_conn *kept;
static int (*answer)(wsock_conn *conn);

static void on_request(wsock_request *request, void *user)
{
    wsock_conn *conn = wsi_conn_of_request(request);

    (void)user;
    if (answer != NULL)
        assert_int_equal(answer(conn), 0);
    else
        kept = wsock_conn_ref(conn);
}

static struct wsock_conn *ask(int (*how)(wsock_conn *), const char *more)
{
    struct wsock_conn *conn;

    stage_begin(&stage, 1);
    answer = how;
    kept = NULL;
    assert_int_equal(wsi_profile_on(&stage.endpoint, &stage.pool, WSI_ON_REQUEST,
                                    (union wsi_handler_fn){.request = on_request}, true,
                                    NULL, NULL),
                     0);
    conn = stage_accept(&stage, &peer, 0);
    script_feed(&peer, stage_request, strlen(stage_request) - 2);
    script_feed(&peer, more, strlen(more));
    script_feed(&peer, "\r\n", 2);
    stage_settle(&stage);
    return conn;
}

static void finish(const char *told)
{
    peer.eof = true;
    stage_ended(&stage, &peer);
    stage_saw(&stage, told);
    wsock_conn_unref(kept);
    stage_end(&stage);
}

static int accept_with_extras(wsock_conn *conn)
{
    assert_int_equal(wsi_answer_add_header(conn, "Set-Cookie", "a=b"), 0);
    assert_int_equal(wsi_answer_add_header(conn, "Upgrade", "x"), WSOCK_EINVAL);
    assert_int_equal(wsi_answer_accept(conn, "unasked"), WSOCK_EINVAL);
    return wsi_answer_accept(conn, "two");
}

static void application_accepts_with_subprotocol_and_headers(void **state)
{
    (void)state;
    ask(accept_with_extras, "Sec-WebSocket-Protocol: one, two\r\n");
    stage_sent(&peer, "HTTP/1.1 101 Switching Protocols\r\n"
                      "Upgrade: websocket\r\n"
                      "Connection: Upgrade\r\n"
                      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                      "Sec-WebSocket-Protocol: two\r\n"
                      "Set-Cookie: a=b\r\n"
                      "\r\n");
    finish("open | closed LOST 1006");
}

/* ---- subprotocols ---- */

static int accept_by_list(wsock_conn *conn)
{
    return wsi_answer_accept(conn, NULL);
}

static int accept_without(wsock_conn *conn)
{
    return wsi_answer_accept(conn, "");
}

/* The server speaks v3, v2 and v1 and likes them in that order. @return what was chosen,
 * in the answer and on the connection. */
static const char *chosen(int (*how)(wsock_conn *), const char *fields)
{
    static char protocol[16];
    struct wsock_conn *conn;
    char line[64] = "", answered[512];

    stage_begin(&stage, 1);
    assert_int_equal(wsi_options_set(&stage.endpoint.options, "subprotocols",
                                     "v3, v2 ,v1", false, NULL, 0),
                     0);
    answer = how;
    if (how != NULL)
        assert_int_equal(wsi_profile_on(&stage.endpoint, &stage.pool, WSI_ON_REQUEST,
                                        (union wsi_handler_fn){.request = on_request},
                                        true, NULL, NULL),
                         0);
    conn = stage_accept(&stage, &peer, 0);
    script_feed(&peer, stage_request, strlen(stage_request) - 2);
    script_feed(&peer, fields, strlen(fields));
    script_feed(&peer, "\r\n", 2);
    stage_settle(&stage);
    snprintf(protocol, sizeof protocol, "%s", wsi_facts_subprotocol(conn->facts));
    if (*protocol != '\0')
        snprintf(line, sizeof line, "Sec-WebSocket-Protocol: %s\r\n", protocol);
    snprintf(answered, sizeof answered, "%.*s%s\r\n", (int)strlen(stage_accepted) - 2,
             stage_accepted, line);
    stage_sent_bytes(&peer, answered, strlen(answered));
    stage_drop(&stage, conn, &peer);
    stage_saw(&stage, "open | closed RESET 1006");
    stage_end(&stage);
    return protocol;
}

static void server_chooses_subprotocols_by_its_own_order(void **state)
{
    static int (*const hows[])(wsock_conn *) = {NULL, accept_by_list};

    (void)state;
    for (size_t i = 0; i < sizeof hows / sizeof hows[0]; i++) {
        assert_string_equal(chosen(hows[i], "Sec-WebSocket-Protocol: v1, v2\r\n"), "v2");
        assert_string_equal(chosen(hows[i], "Sec-WebSocket-Protocol: v1\r\n"
                                            "Sec-WebSocket-Protocol: v0, v3\r\n"),
                            "v3");
        assert_string_equal(chosen(hows[i], "Sec-WebSocket-Protocol: V2, v20, v\r\n"),
                            "");
        assert_string_equal(chosen(hows[i], ""), "");
    }
    assert_string_equal(chosen(accept_without, "Sec-WebSocket-Protocol: v1\r\n"), "");
}

static void subprotocol_that_is_none_is_not_listed(void **state)
{
    char why[WSI_OPTION_WHY_SIZE];

    (void)state;
    stage_begin(&stage, 1);
    assert_int_equal(wsi_options_set(&stage.endpoint.options, "subprotocols",
                                     "v1, v 2, v3", false, why, sizeof why),
                     WSOCK_EINVAL);
    assert_non_null(strstr(why, "option \"subprotocols\": \"v 2\": "));
    stage_end(&stage);
}

static int refuse(wsock_conn *conn)
{
    assert_int_equal(wsi_answer_respond(conn, 200, NULL, NULL, 0), WSOCK_ERANGE);
    assert_int_equal(wsi_answer_respond(conn, 401, "a\nb", NULL, 0), WSOCK_EINVAL);
    assert_int_equal(wsi_answer_add_header(conn, "WWW-Authenticate", "Basic"), 0);
    return wsi_answer_respond(conn, 401, "text/html", "<p>no", 5);
}

static void application_refuses_with_status_headers_and_body(void **state)
{
    (void)state;
    ask(refuse, "");
    stage_sent(&peer, "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n"
                      "Content-Type: text/html\r\nContent-Length: 5\r\n"
                      "WWW-Authenticate: Basic\r\n\r\n<p>no");
    finish("");
}

static int say_nothing(wsock_conn *conn)
{
    (void)conn;
    return 0;
}

static void application_that_forgets_to_answer_gives_500(void **state)
{
    (void)state;
    ask(say_nothing, "");
    assert_memory_equal(peer.output.data, "HTTP/1.1 500 ", 13);
    assert_true(script_fin(&peer));
    finish("");
}

static void answer_may_come_later_from_another_thread(void **state)
{
    (void)state;
    ask(NULL, "");
    stage_run(&stage, 1000);
    stage_sent(&peer, "");
    wsi_worker_current = NULL;
    assert_int_equal(wsi_answer_accept(kept, NULL), 0);
    assert_int_equal(wsi_answer_accept(kept, NULL), WSOCK_ECLOSED);
    assert_int_equal(wsi_answer_respond(kept, 404, NULL, NULL, 0), WSOCK_ECLOSED);
    wsi_worker_current = stage.worker;
    stage_settle(&stage);
    stage_sent_bytes(&peer, stage_accepted, strlen(stage_accepted));
    finish("open | closed LOST 1006");
}

static void frames_sent_ahead_wait_for_the_answer(void **state)
{
    const size_t piece = 1000;
    char *ahead = calloc(1, piece);

    (void)state;
    assert_non_null(ahead);
    ask(NULL, "");
    for (int i = 0; i < 100; i++) {
        stage_feed_masked(&peer, 0x82, ahead, piece);
        stage_settle(&stage);
    }
    /* Reading stopped behind the first of them. */
    assert_true(peer.received <= strlen(stage_request) + piece + 8);
    stage_saw(&stage, "");
    assert_int_equal(wsi_answer_accept(kept, NULL), 0);
    peer.eof = true;
    stage_settle(&stage);
    assert_int_equal(peer.received, peer.input.len);
    free(stage.seen.text);
    stage.seen = (struct test_transcript){0};
    finish("");
    free(ahead);
}

static void visitor_that_leaves_cancels_its_request(void **state)
{
    (void)state;
    ask(NULL, "");
    peer.eof = true;
    stage_settle(&stage);
    stage_saw(&stage, "cancelled");
    assert_int_equal(wsi_answer_accept(kept, NULL), WSOCK_ECLOSED);
    assert_int_equal(wsi_answer_add_header(kept, "A", "b"), WSOCK_ECLOSED);
    finish("");
}

static void stopping_server_answers_for_the_application(void **state)
{
    (void)state;
    ask(NULL, "");
    wsi_service_stop(&stage.service, 1000);
    stage_settle(&stage);
    stage_saw(&stage, "cancelled");
    stage_sent(&peer, GOING_AWAY);
    finish("");
}

static void request_that_comes_while_it_stops_is_503(void **state)
{
    static const size_t received[] = {0, 20};

    (void)state;
    for (size_t i = 0; i < sizeof received / sizeof received[0]; i++) {
        stage_begin(&stage, 1);
        stage_accept(&stage, &peer, 0);
        script_feed(&peer, stage_request, received[i]);
        stage_settle(&stage);
        wsi_service_stop(&stage.service, 5000);
        stage_settle(&stage);
        stage_sent(&peer, GOING_AWAY);
        assert_true(script_fin(&peer));
        /* The rest of the request is read, so that the answer is not lost to a reset. */
        script_feed(&peer, stage_request + received[i],
                    strlen(stage_request) - received[i]);
        stage_settle(&stage);
        assert_int_equal(peer.received, strlen(stage_request));
        stage_sent(&peer, "");
        peer.eof = true;
        stage_ended(&stage, &peer);
        stage_saw(&stage, "");
        stage_end(&stage);
    }
}

static void connection_taken_while_it_stops_is_503(void **state)
{
    struct script_peer first;
    struct wsock_conn *conn;

    (void)state;
    stage_begin(&stage, 1);
    conn = stage_accept_open(&stage, &first);
    wsi_service_stop(&stage.service, 5000);
    stage_settle(&stage); /* all that there were have been sent away */
    stage_accept(&stage, &peer, 0);
    stage_settle(&stage);
    stage_sent(&peer, GOING_AWAY);
    peer.eof = true;
    stage_ended(&stage, &peer);
    stage_drop(&stage, conn, &first);
    free(stage.seen.text);
    stage.seen = (struct test_transcript){0};
    stage_end(&stage);
}

static void silent_visitor_does_not_hold_up_the_end(void **state)
{
    (void)state;
    stage_begin(&stage, 1);
    stage_accept(&stage, &peer, 0);
    stage_settle(&stage);
    wsi_service_stop(&stage.service, 5000);
    stage_run(&stage, 999);
    assert_int_equal(atomic_load(&stage.service.alive), 1);
    stage_run(&stage, 1);
    assert_int_equal(atomic_load(&stage.service.alive), 0);
    stage_ended(&stage, &peer);
    stage_end(&stage);
}

static void application_that_takes_too_long_is_503(void **state)
{
    (void)state;
    ask(NULL, "");
    stage_run(&stage, 29999);
    stage_sent(&peer, "");
    stage_run(&stage, 1);
    stage_saw(&stage, "cancelled");
    stage_sent(&peer,
               "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n" PLAIN_TEXT
               "Content-Length: 39\r\n\r\n"
               "the application did not answer in time\n");
    assert_int_equal(wsi_answer_accept(kept, NULL), WSOCK_ECLOSED);
    assert_int_equal(wsi_answer_respond(kept, 401, NULL, NULL, 0), WSOCK_ECLOSED);
    assert_int_equal(wsi_answer_add_header(kept, "A", "b"), WSOCK_ECLOSED);
    finish("");
}

/* ---- files ---- */

enum { FILE_SIZE = 200 * 1000 };

static struct wsock_conn *asking;

static void write_file(const char *path)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    for (int i = 0; i < FILE_SIZE; i++)
        putc('a' + i % 26, file);
    fclose(file);
}

/* A thousand bytes of the answer are taken. */
static void begin_file(const char *request)
{
    char dir[] = "/tmp/wsock-unit-XXXXXX";
    char path[64];

    stage_begin(&stage, 1);
    kept = NULL;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/f.txt", dir);
    write_file(path);
    assert_int_equal(wsi_files_open(&stage.service.files, dir), 0);
    asking = stage_accept(&stage, &peer, 0);
    peer.write_room = 1000;
    script_feed(&peer, request, strlen(request));
    stage_settle(&stage);
    unlink(path);
    rmdir(dir);
}

static const char file_head[] = "HTTP/1.1 200 OK\r\n";

static void file_is_sent_as_fast_as_it_is_taken(void **state)
{
    size_t start;

    (void)state;
    begin_file("GET /f.txt HTTP/1.1\r\nHost: h\r\n\r\n");
    for (size_t n = 1; n <= 40; n++) {
        assert_int_equal(peer.output.len, n * 1000);
        /* Two pieces of it are in memory at most. */
        assert_true(wsi_conn_buffered(asking) < 2 * 64 * 1024);
        peer.write_room = 1000;
        stage_settle(&stage);
    }
    peer.write_room = SCRIPT_UNLIMITED;
    stage_settle(&stage);
    assert_memory_equal(peer.output.data, file_head, sizeof file_head - 1);
    assert_true(peer.output.len > FILE_SIZE);
    start = peer.output.len - FILE_SIZE;
    assert_memory_equal(peer.output.data + start - 4, "\r\n\r\n", 4);
    for (int i = 0; i < FILE_SIZE; i++)
        if (peer.output.data[start + (size_t)i] != 'a' + i % 26)
            fail_msg("byte %d of the file is wrong", i);
    assert_true(script_fin(&peer));
    finish("");
}

static void head_of_a_file_has_no_body(void **state)
{
    (void)state;
    begin_file("HEAD /f.txt HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_memory_equal(peer.output.data, file_head, sizeof file_head - 1);
    assert_memory_equal(peer.output.data + peer.output.len - 4, "\r\n\r\n", 4);
    assert_true(peer.output.len < 400);
    assert_true(script_fin(&peer));
    finish("");
}

static void visitor_that_takes_nothing_of_a_file_is_cut_off(void **state)
{
    (void)state;
    begin_file("GET /f.txt HTTP/1.1\r\nHost: h\r\n\r\n");
    stage_run(&stage, 29999);
    assert_int_equal(atomic_load(&stage.service.alive), 1);
    stage_run(&stage, 1);
    assert_int_equal(atomic_load(&stage.service.alive), 0);
    finish("");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(path_without_endpoint_is_404),
        TEST(foreign_origin_is_403),
        TEST(plain_request_to_an_endpoint_is_426),
        TEST(requests_that_break_a_rule_get_its_status),
        TEST(connection_beyond_the_limit_is_503),
        TEST(application_accepts_with_subprotocol_and_headers),
        TEST(server_chooses_subprotocols_by_its_own_order),
        TEST(subprotocol_that_is_none_is_not_listed),
        TEST(application_refuses_with_status_headers_and_body),
        TEST(application_that_forgets_to_answer_gives_500),
        TEST(answer_may_come_later_from_another_thread),
        TEST(frames_sent_ahead_wait_for_the_answer),
        TEST(visitor_that_leaves_cancels_its_request),
        TEST(stopping_server_answers_for_the_application),
        TEST(request_that_comes_while_it_stops_is_503),
        TEST(connection_taken_while_it_stops_is_503),
        TEST(silent_visitor_does_not_hold_up_the_end),
        TEST(application_that_takes_too_long_is_503),
        TEST(file_is_sent_as_fast_as_it_is_taken),
        TEST(head_of_a_file_has_no_body),
        TEST(visitor_that_takes_nothing_of_a_file_is_cut_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
