/* SPDX-License-Identifier: MIT */
/* The client's side of opening: which answers open the connection, and how the others
 * end it. */
#include "test.h"

#include <string.h>

#include <wsock/error.h>

#include "conn/extra.h"
#include "conn/header.h"
#include "core/blob.h"
#include "stage.h"

#define STATUS  "HTTP/1.1 101 Switching Protocols\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define ACCEPT  "Sec-WebSocket-Accept: Bz3qJYTGdOe8gUSpLosEdiLKDrk=\r\n"

static struct stage stage;
static struct script_peer peer;
static struct wsock_conn *conn;
static char detail[256];
static char body[256];
static int http_status;

static void on_close(wsock_conn *c, const wsock_close_info *info, void *user)
{
    const struct wsi_extra *extra = wsi_extra_of(c);

    (void)user;
    memset(body, 0, sizeof body);
    if (extra != NULL && extra->body != NULL) {
        assert_true(extra->body->len < sizeof body);
        memcpy(body, extra->body->data, extra->body->len);
    }
    test_transcript_add(&stage.seen, "closed %s", wsock_cause_text(info->cause));
    strncpy(detail, info->detail, sizeof detail - 1);
    http_status = info->http_status;
}

static void begin(const char *protocols)
{
    stage_begin(&stage, 1);
    assert_int_equal(wsi_profile_on(&stage.remote.profile, &stage.pool, WSI_ON_CLOSE,
                                    (union wsi_handler_fn){.close = on_close}, true, NULL,
                                    NULL),
                     0);
    assert_int_equal(wsi_buf_append_text(&stage.remote.protocols, protocols, 1000), 0);
    conn = stage_connect(&stage, &peer);
    stage_settle(&stage);
    detail[0] = '\0';
    http_status = 0;
}

/* The connection fails with this answer; then nothing more is sent. */
static void fails(const char *protocols, const char *answer, const char *told)
{
    begin(protocols);
    peer.output.len = 0;
    script_feed(&peer, answer, strlen(answer));
    stage_ended(&stage, &peer);
    stage_saw(&stage, told);
    stage_end(&stage);
}

static void request_carries_what_was_asked_for(void **state)
{
    (void)state;
    stage_begin(&stage, 1);
    assert_int_equal(
        wsi_header_append(&stage.remote.headers, "Authorization", "Bearer x", 1000), 0);
    assert_int_equal(wsi_buf_append_text(&stage.remote.protocols, "one, two", 1000), 0);
    conn = stage_connect(&stage, &peer);
    stage_settle(&stage);
    stage_sent(&peer, "GET /e HTTP/1.1\r\n"
                      "Host: h\r\n"
                      "Upgrade: websocket\r\n"
                      "Connection: Upgrade\r\n"
                      "Sec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\n"
                      "Sec-WebSocket-Version: 13\r\n"
                      "Sec-WebSocket-Protocol: one, two\r\n"
                      "Authorization: Bearer x\r\n"
                      "\r\n");
    stage_drop(&stage, conn, &peer);
    stage_saw(&stage, "closed RESET 1006");
    stage_end(&stage);
}

static void good_answer_opens_with_the_subprotocol(void **state)
{
    static const char answer[] = STATUS UPGRADE ACCEPT "Sec-WebSocket-Protocol: two\r\n"
                                                       "\r\n\x81\x02hi";

    (void)state;
    begin("one, two");
    script_feed(&peer, answer, sizeof answer - 1);
    stage_settle(&stage);
    assert_string_equal(wsi_facts_subprotocol(conn->facts), "two");
    stage_saw(&stage, "open | text hi"); /* which came with the answer */
    stage_drop(&stage, conn, &peer);
    stage_saw(&stage, "closed ended at once by this end");
    assert_int_equal(http_status, 101);
    stage_end(&stage);
}

static const char *const bad = "closed the server's answer was no valid handshake";

#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"
#define HINTS    "HTTP/1.1 103 Early Hints\r\nLink: </chat.css>; rel=preload\r\n\r\n"

/* As one piece and byte by byte. */
static void interim_answers_are_passed_over(void **state)
{
    static const char answer[] = HINTS CONTINUE HINTS STATUS UPGRADE ACCEPT
        "\r\n\x81\x02hi";

    (void)state;
    for (size_t read_max = 1; read_max <= sizeof answer; read_max += sizeof answer - 1) {
        begin("");
        peer.read_max = read_max;
        script_feed(&peer, answer, sizeof answer - 1);
        stage_settle(&stage);
        stage_saw(&stage, "open | text hi");
        assert_null(wsi_facts_header(conn->facts, "Link")); /* not the answer's */
        stage_drop(&stage, conn, &peer);
        stage_saw(&stage, "closed ended at once by this end");
        assert_int_equal(http_status, 101);
        stage_end(&stage);
    }
}

static void refusal_behind_an_interim_answer_is_told(void **state)
{
    (void)state;
    fails("",
          HINTS "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\n"
                "Content-Length: 4\r\n\r\nnone",
          "closed the server answered with another status than 101");
    assert_int_equal(http_status, 403);
    assert_string_equal(detail, "the server answered 403 Forbidden: none");
}

static void interim_answer_that_breaks_a_rule_fails(void **state)
{
    (void)state;
    fails("", CONTINUE "HTTP/1.1 100 Continue\r\nno field\r\n\r\n", bad);
    fails("", CONTINUE "SSH-2.0-OpenSSH_9.2\r\n\r\n", bad);
    fails("", CONTINUE STATUS UPGRADE "\r\n", bad);
}

/* 101 is final; nothing else opens, and nobody waits longer for it. */
static void interim_answers_do_not_put_off_the_deadline(void **state)
{
    (void)state;
    begin("");
    for (int s = 0; s < 10; s++) {
        script_feed(&peer, CONTINUE, strlen(CONTINUE));
        stage_saw(&stage, "");
        stage_run(&stage, 1000); /* handshake_timeout: 10 s */
    }
    stage_ended(&stage, &peer);
    stage_saw(&stage, "closed the handshake was not finished in time");
    stage_end(&stage);
}

static void heads_together_keep_to_the_limit(void **state)
{
    size_t fed = 0;

    (void)state;
    begin("");
    while (fed < 100 * 1000) {
        script_feed(&peer, CONTINUE, strlen(CONTINUE));
        fed += strlen(CONTINUE);
    }
    peer.read_max = 100;
    stage_ended(&stage, &peer);
    assert_in_range(peer.received, 16 * 1024, 16 * 1024 + 100);
    stage_saw(&stage, bad);
    assert_string_equal(detail, "the server's answer: the head is larger than the limit");
    stage_end(&stage);
}

static void answers_that_break_a_rule_fail(void **state)
{
    (void)state;
    fails("", STATUS UPGRADE "\r\n", bad);
    fails("", STATUS UPGRADE "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
          bad); /* another key's */
    fails("", STATUS "Connection: Upgrade\r\n" ACCEPT "\r\n", bad);
    fails("", STATUS "Upgrade: websocket\r\n" ACCEPT "\r\n", bad);
    fails("", STATUS UPGRADE ACCEPT "Sec-WebSocket-Protocol: one\r\n\r\n", bad);
    fails("one", STATUS UPGRADE ACCEPT "Sec-WebSocket-Protocol: two\r\n\r\n", bad);
    fails("", STATUS UPGRADE ACCEPT "Sec-WebSocket-Extensions: x\r\n\r\n", bad);
    fails("", "SSH-2.0-OpenSSH_9.2\r\n\r\n", bad);
    assert_int_equal(http_status, 0);
}

static void refusal_tells_the_status_of_the_server(void **state)
{
    (void)state;
    fails("", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
          "closed the server answered with another status than 101");
    assert_int_equal(http_status, 403);
    assert_string_equal(detail, "the server answered 403 Forbidden");
}

#define REFUSED "closed the server answered with another status than 101"
#define PLAIN   "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
#define TOLD    "the server answered 400 Bad Request"

static void refusal_tells_the_first_line_of_its_text(void **state)
{
    (void)state;
    fails("", PLAIN "Content-Length: 18\r\n\r\nno such\troom\r\nor", REFUSED);
    assert_string_equal(detail, TOLD ": no such?room");
    fails("", PLAIN "Content-Length: 4\r\n\r\nnone of this", REFUSED);
    assert_string_equal(detail, TOLD ": none");
    fails("", PLAIN "\r\nof unknown length\n", REFUSED);
    assert_string_equal(detail, TOLD);
    fails("", PLAIN "Content-Length: 3\r\n\r\na\xc3\n", REFUSED);
    assert_string_equal(detail, TOLD ": a");
    fails("",
          "HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nContent-Length: 7\r\n"
          "\r\n<html>\n",
          REFUSED);
    assert_string_equal(detail, TOLD);
}

/* The end is told with the line, or when it is clear that no more comes. */
static void text_of_a_refusal_may_come_later(void **state)
{
    static const char head[] = PLAIN "Content-Length: 5000\r\n\r\nno such";
    static char more[5000];

    (void)state;
    begin("");
    script_feed(&peer, head, sizeof head - 1);
    stage_settle(&stage);
    stage_saw(&stage, "");
    script_feed(&peer, " room\n", 6);
    stage_ended(&stage, &peer);
    stage_saw(&stage, REFUSED);
    assert_string_equal(detail, TOLD ": no such room");
    stage_end(&stage);

    begin("");
    script_feed(&peer, head, sizeof head - 1);
    peer.eof = true;
    stage_ended(&stage, &peer);
    stage_saw(&stage, REFUSED);
    assert_string_equal(detail, TOLD ": no such");
    stage_end(&stage);

    begin("");
    script_feed(&peer, head, sizeof head - 1);
    stage_settle(&stage);
    stage_run(&stage, 10 * 1000); /* handshake_timeout */
    stage_ended(&stage, &peer);
    stage_saw(&stage, REFUSED);
    assert_string_equal(detail, TOLD ": no such");
    stage_end(&stage);

    begin("");
    memset(more, 'x', sizeof more);
    script_feed(&peer, head, sizeof head - 1);
    script_feed(&peer, more, sizeof more);
    stage_ended(&stage, &peer);
    stage_saw(&stage, REFUSED);
    assert_int_equal(strlen(detail), strlen(TOLD ": ") + 160);
    stage_end(&stage);
}

/* Whatever comes after this body, or does not. */
static void keeps(const char *answer, bool eof, const char *kept)
{
    begin("");
    assert_int_equal(wsi_options_set(&stage.remote.profile.options, "max_refusal_bytes",
                                     "10", true, NULL, 0),
                     0);
    for (size_t i = 0; answer[i] != '\0' && stage.seen.len == 0; i++) {
        script_feed(&peer, answer + i, 1);
        stage_settle(&stage);
    }
    peer.eof = eof;
    stage_ended(&stage, &peer);
    stage_saw(&stage, REFUSED);
    assert_string_equal(body, kept);
    stage_end(&stage);
}

static void body_of_a_refusal_is_kept_if_wanted(void **state)
{
    (void)state;
    fails("", PLAIN "Content-Length: 6\r\n\r\none\ntwo", REFUSED);
    assert_string_equal(body, "");
    keeps(PLAIN "Content-Length: 7\r\n\r\none\ntwo and", false, "one\ntwo");
    assert_string_equal(detail, TOLD ": one");
    keeps(PLAIN "Content-Length: 11\r\n\r\n0123456789a", false, "0123456789");
    keeps(PLAIN "Content-Length: 7\r\n\r\none", true, "one");
    keeps(PLAIN "Content-Length: 0\r\n\r\none", false, "");
    keeps("HTTP/1.1 400 Bad Request\r\n\r\n{1}\n", true, "{1}\n");
    assert_string_equal(detail, TOLD);
    keeps("HTTP/1.1 304 Not Modified\r\n\r\n", false, "");
    keeps(PLAIN "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", false, "");
}

static void server_that_ends_before_it_answers_fails(void **state)
{
    (void)state;
    begin("");
    script_feed(&peer, STATUS, strlen(STATUS));
    peer.eof = true;
    stage_ended(&stage, &peer);
    stage_saw(&stage, bad);
    stage_end(&stage);
}

static void answer_without_end_is_not_kept(void **state)
{
    static char line[1000];

    (void)state;
    begin("");
    script_feed(&peer, STATUS, strlen(STATUS));
    memset(line, 'a', sizeof line);
    memcpy(line + sizeof line - 2, "\r\n", 2);
    line[1] = ':';
    for (int i = 0; i < 50; i++)
        script_feed(&peer, line, sizeof line);
    peer.read_max = 4000;
    stage_ended(&stage, &peer);
    assert_true(peer.received < 30 * 1000);
    stage_saw(&stage, bad);
    stage_end(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(request_carries_what_was_asked_for),
        TEST(good_answer_opens_with_the_subprotocol),
        TEST(interim_answers_are_passed_over),
        TEST(refusal_behind_an_interim_answer_is_told),
        TEST(interim_answer_that_breaks_a_rule_fails),
        TEST(interim_answers_do_not_put_off_the_deadline),
        TEST(heads_together_keep_to_the_limit),
        TEST(answers_that_break_a_rule_fail),
        TEST(refusal_tells_the_status_of_the_server),
        TEST(refusal_tells_the_first_line_of_its_text),
        TEST(text_of_a_refusal_may_come_later),
        TEST(body_of_a_refusal_is_kept_if_wanted),
        TEST(server_that_ends_before_it_answers_fails),
        TEST(answer_without_end_is_not_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
