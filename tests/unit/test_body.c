/* SPDX-License-Identifier: MIT */
/* Bodies of plain requests: who may send one, how large, and when the application hears
 * of it. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/answer.h"
#include "conn/extra.h"
#include "conn/opening.h"
#include "core/blob.h"
#include "stage.h"

static struct stage stage;
static struct script_peer peer;
static struct wsock_conn *kept;
static unsigned asked;

/* Answers with what came, in brackets; keeps the request in `kept` instead where the path
 * is /later. */
static void on_http(wsock_request *request, void *user)
{
    wsock_conn *conn = wsi_conn_of_request(request);
    const struct wsi_extra *extra = wsi_extra_of(conn);
    char text[100];
    int r;

    (void)user;
    asked++;
    if (strcmp(wsi_facts_path(conn->facts), "/later") == 0) {
        kept = wsock_conn_ref(conn);
        return;
    }
    snprintf(text, sizeof text, "%s [%.*s]", wsi_facts_method(conn->facts),
             extra != NULL && extra->body != NULL ? (int)extra->body->len : 1,
             extra != NULL && extra->body != NULL ? (const char *)extra->body->data
                                                  : "-");
    r = wsi_answer_respond(conn, 200, NULL, text, strlen(text));
    assert_true(r == 0 || r == WSOCK_ENOMEM);
}

static void begin(int64_t limit)
{
    stage_begin(&stage, 1);
    asked = 0;
    kept = NULL;
    assert_int_equal(wsi_options_set_number(&stage.service.profile.options,
                                            "max_body_bytes", limit, true, NULL, 0),
                     0);
    assert_int_equal(wsi_profile_on(&stage.service.profile, &stage.pool, WSI_ON_HTTP,
                                    (union wsi_handler_fn){.request = on_http}, true,
                                    NULL, NULL),
                     0);
    stage_accept(&stage, &peer, 0);
}

static void finish(void)
{
    peer.eof = true;
    stage_ended(&stage, &peer);
    stage_saw(&stage, "");
    wsock_conn_unref(kept);
    stage_end(&stage);
}

static void feed(const char *text)
{
    script_feed(&peer, text, strlen(text));
    stage_settle(&stage);
}

/* The status of the answer to this, and what is behind its head in `out`. */
static int answer(char out[200], int64_t limit, const char *request)
{
    int status = 0;
    const char *body;

    begin(limit);
    feed(request);
    out[0] = '\0';
    if (peer.output.len > 12) {
        status = atoi((const char *)peer.output.data + 9);
        body = memmem(peer.output.data, peer.output.len, "\r\n\r\n", 4);
        assert_non_null(body);
        snprintf(out, 200, "%.*s",
                 (int)(peer.output.len - (size_t)(body + 4 - (char *)peer.output.data)),
                 body + 4);
    }
    finish();
    return status;
}

#define POST "POST /x HTTP/1.1\r\nHost: h\r\n"

static void body_comes_whole(void **state)
{
    char out[200];

    (void)state;
    assert_int_equal(answer(out, 5, POST "Content-Length: 5\r\n\r\nhello"), 200);
    assert_string_equal(out, "POST [hello]");
    assert_int_equal(answer(out, 5, POST "Content-Length: 0\r\n\r\n"), 200);
    assert_string_equal(out, "POST []");
    assert_int_equal(answer(out, 5, POST "\r\n"), 200); /* RFC 9112 section 6.3 */
    assert_string_equal(out, "POST []");
    assert_int_equal(answer(out, 5, POST "Content-Length: 0000005\r\n\r\nhello"), 200);
    assert_int_equal(answer(out, 5, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n"), 200);
    assert_string_equal(out, "GET [-]");
    /* That of another method is not looked at. */
    assert_int_equal(answer(out, 5,
                            "GET /x HTTP/1.1\r\nHost: h\r\nContent-Length: 99"
                            "\r\n\r\nhello"),
                     200);
    assert_string_equal(out, "GET [-]");
}

static void nothing_is_smuggled_behind_a_body(void **state)
{
    char out[200];

    (void)state;
    assert_int_equal(answer(out, 100,
                            POST "Content-Length: 5\r\n\r\nhello" POST
                                 "Content-Length: 3\r\n\r\nbye"),
                     200);
    assert_string_equal(out, "POST [hello]");
    assert_int_equal(asked, 1);
}

static void body_may_be_cut_anywhere(void **state)
{
    static const char request[] = POST "Content-Length: 5\r\n\r\nhello";

    (void)state;
    for (size_t cut = 1; cut < sizeof request - 1; cut++) {
        begin(5);
        script_feed(&peer, request, cut);
        stage_settle(&stage);
        assert_int_equal(asked, 0);
        script_feed(&peer, request + cut, sizeof request - 1 - cut);
        stage_settle(&stage);
        assert_int_equal(asked, 1);
        stage_sent(&peer, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: "
                          "12\r\n\r\nPOST [hello]");
        finish();
    }
}

static void bodies_that_may_not_come_are_refused_at_the_head(void **state)
{
    char out[200];

    (void)state;
    assert_int_equal(answer(out, 0, POST "Content-Length: 5\r\n\r\n"), 405);
    assert_string_equal(out, "only GET and HEAD are answered here\n");
    assert_int_equal(answer(out, 5, POST "Content-Length: 6\r\n\r\n"), 413);
    assert_int_equal(answer(out, 5, POST "Content-Length: 18446744073709551617\r\n\r\n"),
                     400);
    assert_int_equal(answer(out, 5, POST "Transfer-Encoding: chunked\r\n\r\n"), 411);
    assert_int_equal(answer(out, 5, POST "Content-Length: 5x\r\n\r\n"), 400);
    assert_int_equal(
        answer(out, 5, POST "Content-Length: 5\r\nContent-Length: 4\r\n\r\n"), 400);
    assert_int_equal(answer(out, 5, "PUT /x HTTP/1.1\r\nHost: h\r\n\r\n"), 405);
    assert_string_equal(out, "only GET, HEAD and POST are answered here\n");
    assert_int_equal(asked, 0);
}

static void client_that_asks_first_is_told_to_go_on(void **state)
{
    (void)state;
    begin(5);
    feed(POST "Content-Length: 5\r\nExpect: 100-Continue\r\n\r\n");
    stage_sent(&peer, "HTTP/1.1 100 Continue\r\n\r\n");
    feed("hello");
    stage_sent(&peer, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: "
                      "12\r\n\r\nPOST [hello]");
    finish();
    begin(5); /* it did not wait */
    feed(POST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhello");
    stage_sent(&peer, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: "
                      "12\r\n\r\nPOST [hello]");
    finish();
}

static void body_that_does_not_come_in_time_is_408(void **state)
{
    (void)state;
    begin(5);
    feed(POST "Content-Length: 5\r\n\r\n");
    stage_run(&stage, 9000);
    feed("hell"); /* what drips does not help */
    stage_run(&stage, 1000);
    assert_memory_equal(peer.output.data, "HTTP/1.1 408 ", 13);
    assert_int_equal(asked, 0);
    finish();
}

static void client_that_leaves_within_its_body_is_forgotten(void **state)
{
    (void)state;
    begin(5);
    feed(POST "Content-Length: 5\r\n\r\nhell");
    peer.eof = true;
    stage_settle(&stage);
    assert_int_equal(asked, 0);
    finish();
}

/* What comes meanwhile is another place in memory. */
static void body_stays_while_the_application_decides(void **state)
{
    char more[3000];

    (void)state;
    begin(5);
    feed("POST /later HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    assert_non_null(kept);
    memset(more, 'x', sizeof more);
    script_feed(&peer, more, sizeof more);
    stage_settle(&stage);
    assert_memory_equal(wsi_extra_of(kept)->body->data, "hello", 5);
    assert_int_equal(wsi_answer_respond(kept, 204, NULL, NULL, 0), 0);
    stage_settle(&stage);
    assert_memory_equal(peer.output.data, "HTTP/1.1 204 ", 13);
    peer.eof = true;
    stage_ended(&stage, &peer);
    assert_memory_equal(wsi_extra_of(kept)->body->data, "hello", 5);
    wsock_conn_unref(kept);
    stage_end(&stage);
}

static void body_without_memory_is_503_or_the_end(void **state)
{
    static const char request[] = POST "Content-Length: 5\r\n\r\nhello";

    (void)state;
    for (size_t n = 1;; n++) {
        size_t refused;

        begin(5);
        script_feed(&peer, request, sizeof request - 1);
        test_fail_allocation(n, 0);
        stage_settle(&stage);
        refused = test_stop_failing();
        if (refused == 0)
            assert_int_equal(asked, 1);
        finish();
        if (refused == 0)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(body_comes_whole),
        TEST(nothing_is_smuggled_behind_a_body),
        TEST(body_may_be_cut_anywhere),
        TEST(bodies_that_may_not_come_are_refused_at_the_head),
        TEST(client_that_asks_first_is_told_to_go_on),
        TEST(body_that_does_not_come_in_time_is_408),
        TEST(client_that_leaves_within_its_body_is_forgotten),
        TEST(body_stays_while_the_application_decides),
        TEST(body_without_memory_is_503_or_the_end),
    };

    return cmocka_run_group_tests_name("body", tests, NULL, NULL);
}
