/* SPDX-License-Identifier: MIT */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "proto/handshake.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* The example of RFC 6455 section 1.3. */
#define SAMPLE_KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define SAMPLE_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

#define START "GET /chat HTTP/1.1\r\nHost: server.example.com\r\n"
#define UP    "Upgrade: websocket\r\n"
#define CONN  "Connection: Upgrade\r\n"
#define KEY   "Sec-WebSocket-Key: " SAMPLE_KEY "\r\n"
#define VER   "Sec-WebSocket-Version: 13\r\n"
#define END   "\r\n"

enum { PLAIN = 1, UPGRADE = 0 }; /* in place of a status */

static struct wsi_http_head head;

static const struct {
    const char *text;
    unsigned status;
    const char *word;
} requests[] = {
    {START UP CONN KEY VER END, UPGRADE, NULL},
    {START "upgrade: h2c, WebSocket\r\nConnection: keep-alive, UPGRADE\r\n" KEY VER END,
     UPGRADE, NULL},
    {START "Upgrade: h2c\r\n" UP "Connection: x\r\n" CONN KEY VER END, UPGRADE, NULL},
    {START UP CONN KEY VER "Content-Length: 0\r\n" END, UPGRADE, NULL},
    {START UP CONN KEY VER "Sec-WebSocket-Protocol:\r\n" END, UPGRADE, NULL},
    {START UP CONN KEY VER "Origin: null\r\nCookie: a=b\r\n" END, UPGRADE, NULL},
    {"GET http://server.example.com/chat HTTP/1.1\r\nHost: server.example.com\r\n" UP CONN
         KEY VER END,
     UPGRADE, NULL},

    {START END, PLAIN, NULL},
    {START CONN KEY VER END, PLAIN, NULL},
    {START "Upgrade: h2c\r\n" CONN END, PLAIN, NULL},
    {START "Upgrade: websocket2, xwebsocket, websocket/13\r\n" CONN KEY VER END, PLAIN,
     NULL},
    {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n" END, PLAIN, NULL},
    {"GET / HTTP/1.0\r\n" END, PLAIN, NULL},

    {"POST / HTTP/1.1\r\nHost: h\r\n" UP CONN KEY VER END, 405, "GET"},
    {"get / HTTP/1.1\r\nHost: h\r\n" UP CONN KEY VER END, 405, "GET"},
    {"HEAD / HTTP/1.1\r\nHost: h\r\n" UP END, 405, "GET"},
    {"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n" UP CONN KEY VER END, 405, "GET"},
    {"GET / HTTP/1.0\r\nHost: h\r\n" UP CONN KEY VER END, 400, "HTTP/1.1"},
    {START UP KEY VER END, 400, "Connection"},
    {START UP "Connection: keep-alive\r\n" KEY VER END, 400, "Connection"},
    {START UP "Connection: upgraded\r\n" KEY VER END, 400, "Connection"},

    {START UP CONN KEY END, 400, "no Sec-WebSocket-Version"},
    {START UP CONN KEY VER VER END, 400, "two Sec-WebSocket-Version"},
    {START UP CONN KEY VER "Sec-WebSocket-Version: 8\r\n" END, 400,
     "two Sec-WebSocket-Version"},
    {START UP CONN KEY "Sec-WebSocket-Version: 8\r\n" END, 426,
     "Sec-WebSocket-Version 13"},
    {START UP CONN KEY "Sec-WebSocket-Version: 14\r\n" END, 426,
     "Sec-WebSocket-Version 13"},
    {START UP CONN KEY "Sec-WebSocket-Version: 013\r\n" END, 426,
     "Sec-WebSocket-Version 13"},
    {START UP CONN KEY "Sec-WebSocket-Version: 13, 8\r\n" END, 426,
     "Sec-WebSocket-Version 13"},
    {START UP CONN KEY "Sec-WebSocket-Version:\r\n" END, 426, "Sec-WebSocket-Version 13"},
    {START UP CONN "Sec-WebSocket-Version: 8\r\n" END, 426, "Sec-WebSocket-Version 13"},

    {START UP CONN VER END, 400, "no Sec-WebSocket-Key"},
    {START UP CONN KEY KEY VER END, 400, "two Sec-WebSocket-Key"},
    {START UP CONN VER "Sec-WebSocket-Key:\r\n" END, 400, "16 bytes"},
    {START UP CONN VER "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n" END, 400,
     "16 bytes"},
    {START UP CONN VER "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n" END, 400,
     "16 bytes"},
    {START UP CONN VER "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n" END, 400,
     "16 bytes"},
    {START UP CONN VER "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQA=\r\n" END, 400,
     "16 bytes"},
    {START UP CONN VER "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQAA\r\n" END, 400,
     "16 bytes"},
    {START UP CONN VER "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub2==\r\n" END, 400,
     "16 bytes"},
    {START UP CONN VER "Sec-WebSocket-Key: dGhlIHNh-XBsZSBub25jZQ==\r\n" END, 400,
     "16 bytes"},
    {START UP CONN VER "Sec-WebSocket-Key: dGhlIHNh XBsZSBub25jZQ==\r\n" END, 400,
     "16 bytes"},

    {START UP CONN KEY VER "Origin: a\r\nOrigin: b\r\n" END, 400, "two Origin"},
    {START UP CONN KEY VER "Sec-WebSocket-Protocol: chat, a b\r\n" END, 400,
     "subprotocol"},
    {START UP CONN KEY VER
     "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: \"b\"\r\n" END,
     400, "subprotocol"},
    {START UP CONN KEY VER "Content-Length: 1\r\n" END, 400, "body"},
    {START UP CONN KEY VER "Content-Length: 00\r\nContent-Length: 00\r\n" END, UPGRADE,
     NULL},
    {START UP CONN KEY VER "Transfer-Encoding: chunked\r\n" END, 400, "body"},
};

static void parse_request(const char *text)
{
    struct wsi_http_refusal refusal = {0};

    if (wsi_http_parse_request((const uint8_t *)text, strlen(text), 100, &head,
                               &refusal) < 0)
        fail_msg("%s: %s", text, refusal.why);
}

static void request_is_judged_by_the_list_of_the_rfc(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(requests); i++) {
        struct wsi_http_refusal refusal = {0};
        bool is_upgrade = requests[i].status != UPGRADE;
        int r;

        parse_request(requests[i].text);
        r = wsi_handshake_check_request(&head, &is_upgrade, &refusal);
        if (requests[i].word == NULL) {
            if (r < 0)
                fail_msg("%s: %s", requests[i].text, refusal.why);
            assert_int_equal(is_upgrade, requests[i].status == UPGRADE);
            continue;
        }
        if (r != -1 || refusal.status != requests[i].status)
            fail_msg("%s: %d, status %u", requests[i].text, r, refusal.status);
        if (strstr(refusal.why, requests[i].word) == NULL)
            fail_msg("%s: \"%s\" does not name %s", requests[i].text, refusal.why,
                     requests[i].word);
        assert_true(is_upgrade);
    }
}

static void check_protocols(const char *text, const char *expected)
{
    struct wsi_str protocol;
    unsigned cursor = 0;
    char all[100] = "";

    parse_request(text);
    while (wsi_handshake_next_protocol(&head, &cursor, &protocol)) {
        strncat(all, protocol.ptr, protocol.len);
        strcat(all, "|");
    }
    assert_string_equal(all, expected);
    assert_false(wsi_handshake_next_protocol(&head, &cursor, &protocol));
}

static void offered_protocols_come_in_order(void **state)
{
    (void)state;
    check_protocols(START END, "");
    check_protocols(START "Sec-WebSocket-Protocol: a\r\n" END, "a|");
    check_protocols(START
                    "Sec-WebSocket-Protocol: , a ,b,\r\nX: y\r\n"
                    "Sec-WebSocket-Protocol:\r\nsec-websocket-protocol: c , d\r\n" END,
                    "a|b|c|d|");
}

/* ---- keys ---- */

static void accept_key_is_that_of_the_rfc(void **state)
{
    char accept[29];

    (void)state;
    wsi_handshake_accept_key(accept, WSI_STR(SAMPLE_KEY));
    assert_string_equal(accept, SAMPLE_ACCEPT);
}

static void key_is_base64_of_what_was_drawn(void **state)
{
    char key[WSI_KEY_SIZE + 1];

    (void)state;
    wsi_handshake_make_key(key, (const uint8_t *)"the sample nonce");
    assert_string_equal(key, SAMPLE_KEY);
}

/* ---- answers ---- */

#define ANSWER "HTTP/1.1 101 Switching Protocols\r\n"
#define ACCEPT "Sec-WebSocket-Accept: " SAMPLE_ACCEPT "\r\n"

static const struct {
    const char *text, *offered;
    bool extensions_offered;
    const char *protocol; /* NULL: refused */
    unsigned status;
    const char *word;
} answers[] = {
    {ANSWER UP CONN ACCEPT END, "", false, "", 0, NULL},
    {ANSWER UP CONN ACCEPT END, "a, b", false, "", 0, NULL},
    {ANSWER "UPGRADE: WebSocket\r\nConnection: x, upgrade\r\n" ACCEPT END, "", false, "",
     0, NULL},
    {ANSWER UP CONN ACCEPT "Sec-WebSocket-Protocol: b \r\n" END, "a, b", false, "b", 0,
     NULL},
    {ANSWER UP CONN ACCEPT "Sec-WebSocket-Extensions: x; y=1\r\n" END, "", true, "", 0,
     NULL},
    {ANSWER UP CONN ACCEPT "Sec-WebSocket-Extensions:\r\n" END, "", false, "", 0, NULL},

    {"HTTP/1.1 404 Gone fishing\r\n" END, "", false, NULL, 404, "404 Not Found"},
    {"HTTP/1.0 503 x\r\n" END, "", false, NULL, 503, "503 Service Unavailable"},
    {"HTTP/1.1 200 OK\r\n" UP CONN ACCEPT END, "", false, NULL, 200, "200 OK"},
    {"HTTP/1.1 599 x\r\n" END, "", false, NULL, 599, "another status"},
    {"HTTP/1.0 101 x\r\n" UP CONN ACCEPT END, "", false, NULL, 0, "HTTP/1.1"},
    {ANSWER CONN ACCEPT END, "", false, NULL, 0, "no Upgrade"},
    {ANSWER UP UP CONN ACCEPT END, "", false, NULL, 0, "two Upgrade"},
    {ANSWER "Upgrade: websocket, h2c\r\n" CONN ACCEPT END, "", false, NULL, 0, "Upgrade"},
    {ANSWER "Upgrade: h2c\r\n" CONN ACCEPT END, "", false, NULL, 0, "Upgrade"},
    {ANSWER UP ACCEPT END, "", false, NULL, 0, "Connection"},
    {ANSWER UP "Connection: close\r\n" ACCEPT END, "", false, NULL, 0, "Connection"},
    {ANSWER UP CONN END, "", false, NULL, 0, "no Sec-WebSocket-Accept"},
    {ANSWER UP CONN ACCEPT ACCEPT END, "", false, NULL, 0, "two Sec-WebSocket-Accept"},
    {ANSWER UP CONN "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" END, "",
     false, NULL, 0, "Sec-WebSocket-Accept"},
    {ANSWER UP CONN "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo\r\n" END, "",
     false, NULL, 0, "Sec-WebSocket-Accept"},
    {ANSWER UP CONN "Sec-WebSocket-Accept:\r\n" END, "", false, NULL, 0,
     "Sec-WebSocket-Accept"},
    {ANSWER UP CONN ACCEPT "Sec-WebSocket-Extensions: permessage-deflate\r\n" END, "",
     false, NULL, 0, "extension"},
    {ANSWER UP CONN ACCEPT
     "Sec-WebSocket-Extensions:\r\nSec-WebSocket-Extensions: x\r\n" END,
     "", false, NULL, 0, "extension"},
    {ANSWER UP CONN ACCEPT "Sec-WebSocket-Protocol: a\r\n" END, "", false, NULL, 0,
     "subprotocol"},
    {ANSWER UP CONN ACCEPT "Sec-WebSocket-Protocol: c\r\n" END, "a, b", false, NULL, 0,
     "subprotocol"},
    {ANSWER UP CONN ACCEPT "Sec-WebSocket-Protocol: A\r\n" END, "a, b", false, NULL, 0,
     "subprotocol"},
    {ANSWER UP CONN ACCEPT "Sec-WebSocket-Protocol: a, b\r\n" END, "a, b", false, NULL, 0,
     "subprotocol"},
    {ANSWER UP CONN ACCEPT "Sec-WebSocket-Protocol:\r\n" END, "a, b", false, NULL, 0,
     "subprotocol"},
    {ANSWER UP CONN ACCEPT
     "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a\r\n" END,
     "a, b", false, NULL, 0, "two Sec-WebSocket-Protocol"},
    {ANSWER UP CONN ACCEPT "Content-Length: 0\r\n" END, "", false, NULL, 0,
     "Content-Length"},
    {ANSWER UP CONN ACCEPT "Transfer-Encoding: chunked\r\n" END, "", false, NULL, 0,
     "Transfer-Encoding"},
};

static void answer_is_judged_by_the_list_of_the_rfc(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(answers); i++) {
        const char *text = answers[i].text;
        struct wsi_http_refusal refusal = {.status = 7};
        struct wsi_str protocol = {"untouched", 9};
        int r;

        assert_int_equal(wsi_http_parse_response((const uint8_t *)text, strlen(text), 100,
                                                 &head, &refusal),
                         0);
        r = wsi_handshake_check_response(
            &head, WSI_STR(SAMPLE_KEY), wsi_str_of(answers[i].offered),
            answers[i].extensions_offered, &protocol, &refusal);
        if (answers[i].protocol != NULL) {
            if (r < 0)
                fail_msg("%s: %s", text, refusal.why);
            assert_true(wsi_str_equal(protocol, wsi_str_of(answers[i].protocol)));
            continue;
        }
        if (r != -1 || refusal.status != answers[i].status)
            fail_msg("%s: %d, status %u", text, r, refusal.status);
        if (strstr(refusal.why, answers[i].word) == NULL)
            fail_msg("%s: \"%s\" does not name %s", text, refusal.why, answers[i].word);
        assert_true(wsi_str_equal(protocol, WSI_STR("untouched")));
    }
}

/* ---- writing ---- */

static void assert_written(struct wsi_buf *out, const char *expected)
{
    assert_int_equal(out->len, strlen(expected));
    assert_memory_equal(out->data, expected, out->len);
    wsi_buf_fini(out);
}

static const struct wsi_handshake_request sample = {
    .host = {"h:81", 4},
    .target = {"/x?y", 4},
    .key = {SAMPLE_KEY, WSI_KEY_SIZE},
    .protocols = {"a, b", 4},
    .extensions = {"e", 1},
    .headers = {"Origin: o\r\n", 11},
};

static void request_is_written_whole(void **state)
{
    struct wsi_handshake_request bare = sample;
    struct wsi_buf out = {0};

    (void)state;
    assert_int_equal(wsi_handshake_write_request(&out, &sample, 4096), 0);
    assert_written(&out,
                   "GET /x?y HTTP/1.1\r\nHost: h:81\r\nUpgrade: websocket\r\n"
                   "Connection: Upgrade\r\nSec-WebSocket-Key: " SAMPLE_KEY "\r\n" VER
                   "Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: e\r\n"
                   "Origin: o\r\n\r\n");
    bare.protocols.len = bare.extensions.len = bare.headers.len = 0;
    assert_int_equal(wsi_handshake_write_request(&out, &bare, 4096), 0);
    assert_written(&out, "GET /x?y HTTP/1.1\r\nHost: h:81\r\nUpgrade: websocket\r\n"
                         "Connection: Upgrade\r\nSec-WebSocket-Key: " SAMPLE_KEY
                         "\r\n" VER "\r\n");
}

static void accept_is_written_whole(void **state)
{
    const struct wsi_str none = {"", 0};
    struct wsi_buf out = {0};

    (void)state;
    assert_int_equal(
        wsi_handshake_write_accept(&out, WSI_STR(SAMPLE_KEY), none, none, none, 4096), 0);
    assert_written(&out, ANSWER UP CONN ACCEPT END);
    assert_int_equal(wsi_handshake_write_accept(&out, WSI_STR(SAMPLE_KEY), WSI_STR("p"),
                                                WSI_STR("e"), WSI_STR("X: y\r\n"), 4096),
                     0);
    assert_written(&out,
                   ANSWER UP CONN ACCEPT "Sec-WebSocket-Protocol: p\r\n"
                                         "Sec-WebSocket-Extensions: e\r\nX: y\r\n" END);
}

/* What one side writes, the other takes. */
static void both_sides_agree(void **state)
{
    struct wsi_buf out = {0};
    struct wsi_http_refusal refusal;
    struct wsi_str protocol;
    bool is_upgrade = false;

    (void)state;
    assert_int_equal(wsi_handshake_write_request(&out, &sample, 4096), 0);
    assert_int_equal(wsi_http_parse_request(out.data, out.len, 100, &head, &refusal), 0);
    assert_int_equal(wsi_handshake_check_request(&head, &is_upgrade, &refusal), 0);
    assert_true(is_upgrade);
    wsi_buf_fini(&out);
    assert_int_equal(wsi_handshake_write_accept(&out, sample.key, WSI_STR("b"),
                                                WSI_STR("e"), WSI_STR(""), 4096),
                     0);
    assert_int_equal(wsi_http_parse_response(out.data, out.len, 100, &head, &refusal), 0);
    assert_int_equal(wsi_handshake_check_response(&head, sample.key, sample.protocols,
                                                  true, &protocol, &refusal),
                     0);
    assert_true(wsi_str_equal(protocol, WSI_STR("b")));
    wsi_buf_fini(&out);
}

static void response_states_what_its_status_demands(void **state)
{
    const struct wsi_str none = {"", 0}, text = WSI_STR("text/plain");
    struct wsi_buf out = {0};

    (void)state;
    wsi_http_write_response(&out, 404, text, WSI_STR("X: y\r\n"), "gone\n", 5, false,
                            4096);
    assert_written(&out,
                   "HTTP/1.1 404 Not Found\r\nConnection: close\r\n"
                   "Content-Type: text/plain\r\nContent-Length: 5\r\nX: y\r\n\r\ngone\n");
    wsi_http_write_response(&out, 200, text, none, "gone\n", 5, true, 4096);
    assert_written(&out, "HTTP/1.1 200 OK\r\nConnection: close\r\n"
                         "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\n");
    wsi_http_write_response(&out, 499, none, none, NULL, 0, false, 4096);
    assert_written(&out,
                   "HTTP/1.1 499 \r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    wsi_http_write_response(&out, 426, none, none, NULL, 0, false, 4096);
    assert_written(&out, "HTTP/1.1 426 Upgrade Required\r\nConnection: close, Upgrade\r\n"
                         "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                         "Content-Length: 0\r\n\r\n");
    wsi_http_write_response(&out, 405, none, none, NULL, 0, false, 4096);
    assert_written(&out, "HTTP/1.1 405 Method Not Allowed\r\nConnection: close\r\n"
                         "Allow: GET\r\nContent-Length: 0\r\n\r\n");
    wsi_http_write_response(&out, 405, none, WSI_STR("A: b\r\nallow: HEAD\r\n"), NULL, 0,
                            false, 4096);
    assert_written(&out, "HTTP/1.1 405 Method Not Allowed\r\nConnection: close\r\n"
                         "Content-Length: 0\r\nA: b\r\nallow: HEAD\r\n\r\n");
    wsi_http_write_response(&out, 204, text, none, "x", 1, false, 4096);
    assert_written(&out, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    wsi_http_write_response_head(&out, 200, none, none, UINT64_MAX, 4096);
    assert_written(&out, "HTTP/1.1 200 OK\r\nConnection: close\r\n"
                         "Content-Length: 18446744073709551615\r\n\r\n");
}

/* One byte short of what it takes changes nothing. */
static void writers_keep_to_their_limit(void **state)
{
    struct wsi_buf out = {0};
    size_t size;

    (void)state;
    assert_int_equal(wsi_buf_append_text(&out, "before", 4096), 0);
    assert_int_equal(wsi_handshake_write_request(&out, &sample, 4096), 0);
    size = out.len;
    out.len = 6;
    for (size_t limit = 6; limit < size; limit++) {
        assert_int_equal(wsi_handshake_write_request(&out, &sample, limit),
                         WSOCK_ETOOBIG);
        assert_int_equal(out.len, 6);
    }
    assert_int_equal(wsi_handshake_write_request(&out, &sample, size), 0);
    assert_int_equal(out.len, size);
    assert_memory_equal(out.data, "beforeGET", 9);
    wsi_buf_fini(&out);
}

static void writers_survive_a_failed_allocation(void **state)
{
    const struct wsi_str none = {"", 0};
    static char body[1000];
    struct wsi_buf out = {0};
    int result = 0;

    (void)state;
    FOR_EACH_OOM(result, result = wsi_handshake_write_request(&out, &sample, 4096),
                 wsi_buf_fini(&out));
    FOR_EACH_OOM(result,
                 result = wsi_handshake_write_accept(&out, sample.key, WSI_STR("p"), none,
                                                     none, 4096),
                 wsi_buf_fini(&out));
    FOR_EACH_OOM(result,
                 result = wsi_http_write_response(&out, 400, WSI_STR("text/plain"), none,
                                                  body, sizeof body, false, 4096),
                 wsi_buf_fini(&out));
    FOR_EACH_OOM(result,
                 result = wsi_http_write_response_head(&out, 200, none, none, 77, 4096),
                 wsi_buf_fini(&out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(request_is_judged_by_the_list_of_the_rfc),
        TEST(offered_protocols_come_in_order),
        TEST(accept_key_is_that_of_the_rfc),
        TEST(key_is_base64_of_what_was_drawn),
        TEST(answer_is_judged_by_the_list_of_the_rfc),
        TEST(request_is_written_whole),
        TEST(accept_is_written_whole),
        TEST(both_sides_agree),
        TEST(response_states_what_its_status_demands),
        TEST(writers_keep_to_their_limit),
        TEST(writers_survive_a_failed_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
