/* SPDX-License-Identifier: MIT */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/handshake.h"
#include "proto/http.h"
#include "proto/url.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

struct row {
    const char *text;
    size_t len;
    unsigned status;  /* 0: accepted */
    const char *word; /* of the reason */
};

#define GOOD(text)                      \
    {                                   \
        text, sizeof(text) - 1, 0, NULL \
    }
#define BAD(status, text, word)              \
    {                                        \
        text, sizeof(text) - 1, status, word \
    }
#define GET  "GET / HTTP/1.1\r\n"
#define HOST "Host: example.org\r\n"
#define END  "\r\n"

static const struct row requests[] = {
    GOOD(GET HOST END),
    GOOD("GET /chat?room=1&x={|} HTTP/1.1\r\n" HOST END),
    GOOD("get / HTTP/1.1\r\n" HOST END),
    GOOD("M!#$%&'*+-.^_`|~9 / HTTP/1.1\r\n" HOST END),
    GOOD("OPTIONS * HTTP/1.1\r\n" HOST END),
    GOOD("CONNECT example.org:443 HTTP/1.1\r\n" HOST END),
    GOOD("GET http://example.org HTTP/1.1\r\n" HOST END),
    GOOD("GET http://other.example:8080/x HTTP/1.1\r\n" HOST END),
    GOOD("GET / HTTP/1.0\r\n" END),
    GOOD("GET / HTTP/1.0\r\n" HOST END),
    GOOD(GET "hOsT:example.org:8080\r\n" END),
    GOOD(GET "Host: [::1]:8080\r\n" END),
    GOOD(GET "Host: \t 127.0.0.1 \t\r\n" END),
    GOOD(GET HOST "Empty:\r\nBlank:  \t \r\nObs: \xff\x80 in\tside\r\n" END),
    GOOD(GET HOST "Content-Length: 0\r\n" END),
    GOOD(GET HOST "Content-Length: 17\r\ncontent-length: 17\r\n" END),
    GOOD(GET HOST "Transfer-Encoding: gzip, Chunked\r\n" END),
    GOOD(GET HOST "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n" END),

    BAD(400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "not HTTP"),
    BAD(400, "\r\n" GET HOST END, "not HTTP"),
    BAD(400, " " GET HOST END, "not HTTP"),
    BAD(400, "\0", "not HTTP"),
    BAD(400, "GET / HTTP/1.1\n" HOST END, "LF without CR"),
    BAD(400, GET "Host: example.org\n" END, "LF without CR"),
    BAD(400, GET HOST "\n", "LF without CR"),
    BAD(400, GET "Host: exa\rmple.org\r\n" END, "CR without LF"),
    BAD(400, GET HOST "\r\r\n", "CR without LF"),
    BAD(400, GET "Host: example\0.org\r\n" END, "control"),
    BAD(400, GET HOST "X: a\x01\r\n" END, "control"),
    BAD(400, GET HOST "X: a\x7f\r\n" END, "control"),
    BAD(400,
        GET HOST "X: 0123456789abcdef0123456\x1f"
                 "89abcdef\r\n" END,
        "control"),

    BAD(400, "GET /\r\n" HOST END, "three words"),
    BAD(400, "GET\r\n" HOST END, "three words"),
    BAD(400, "GET  / HTTP/1.1\r\n" HOST END, "three words"),
    BAD(400, "GET /  HTTP/1.1\r\n" HOST END, "three words"),
    BAD(400, "GET / HTTP/1.1 \r\n" HOST END, "three words"),
    BAD(400, "GET / x HTTP/1.1\r\n" HOST END, "three words"),
    BAD(400, "GET\t/ HTTP/1.1\r\n" HOST END, "method"),
    BAD(400, "G(T / HTTP/1.1\r\n" HOST END, "method"),
    BAD(400, "G\xc3\xa9T / HTTP/1.1\r\n" HOST END, "method"),
    BAD(400, "GET / http/1.1\r\n" HOST END, "version"),
    BAD(400, "GET / HTTP/1\r\n" HOST END, "version"),
    BAD(400, "GET / HTTP/1.10\r\n" HOST END, "version"),
    BAD(400, "GET / HTTP/x.1\r\n" HOST END, "version"),
    BAD(400, "GET / HTTP/1,1\r\n" HOST END, "version"),
    BAD(505, "GET / HTTP/1.2\r\n" HOST END, "HTTP/1.1"),
    BAD(505, "GET / HTTP/2.0\r\n" HOST END, "HTTP/1.1"),
    BAD(505, "GET / HTTP/0.9\r\n" HOST END, "HTTP/1.1"),
    BAD(505, "PRI * HTTP/2.0\r\n" END, "HTTP/1.1"),

    BAD(400, "GET * HTTP/1.1\r\n" HOST END, "target"),
    BAD(400, "GET example.org:80 HTTP/1.1\r\n" HOST END, "target"),
    BAD(400, "GET chat HTTP/1.1\r\n" HOST END, "target"),
    BAD(400, "GET ftp://example.org/ HTTP/1.1\r\n" HOST END, "target"),
    BAD(400, "GET http:///x HTTP/1.1\r\n" HOST END, "target"),
    BAD(400, "GET http://u:p@example.org/ HTTP/1.1\r\n" HOST END, "target"),
    BAD(400, "CONNECT / HTTP/1.0 \r\n" HOST END, "three words"),
    BAD(400, "CONNECT example.org HTTP/1.1\r\n" HOST END, "target"),
    BAD(400, "GET /a\tb HTTP/1.1\r\n" HOST END, "percent-encoded"),
    BAD(400, "GET /\xc3\xa9 HTTP/1.1\r\n" HOST END, "percent-encoded"),
    BAD(400, "GET /#x HTTP/1.1\r\n" HOST END, "percent-encoded"),

    BAD(400, GET END, "no Host"),
    BAD(400, GET HOST HOST END, "two Host"),
    BAD(400, GET "Host:\r\n" END, "empty Host"),
    BAD(400, GET "Host: \t \r\n" END, "empty Host"),
    BAD(400, GET "Host: a b\r\n" END, "the Host header"),
    BAD(400, GET "Host: a/b\r\n" END, "the Host header"),
    BAD(400, GET "Host: u@h\r\n" END, "the Host header"),
    BAD(400, GET "Host: :80\r\n" END, "the Host header"),
    BAD(400, GET "Host: h:port\r\n" END, "the Host header"),
    BAD(400, GET "Host: h:65536\r\n" END, "the Host header"),
    BAD(400, GET "Host: [::1\r\n" END, "the Host header"),
    BAD(400, GET "Host: ::1\r\n" END, "the Host header"),
    BAD(400, GET "Host: h\xc3\xa9\r\n" END, "the Host header"),
    BAD(400, "GET / HTTP/1.0\r\n" HOST HOST END, "two Host"),
    BAD(400, "GET / HTTP/1.0\r\nHost: a b\r\n" END, "the Host header"),

    BAD(400, GET HOST "X: a\r\n b\r\n" END, "folded"),
    BAD(400, GET HOST "X: a\r\n\tb\r\n" END, "folded"),
    BAD(400, GET " " HOST END, "folded"),
    BAD(400, GET HOST "X: a\r\n \r\n" END, "folded"),
    BAD(400, GET HOST "X : a\r\n" END, "blank between"),
    BAD(400, GET HOST "X\t: a\r\n" END, "blank between"),
    BAD(400, GET HOST "X a: b\r\n" END, "name of a header"),
    BAD(400, GET HOST "X(a): b\r\n" END, "name of a header"),
    BAD(400, GET HOST "\xc3\xa9: b\r\n" END, "name of a header"),
    BAD(400, GET HOST ": b\r\n" END, "name of a header"),
    BAD(400, GET HOST "no colon\r\n" END, "colon"),
    BAD(400, GET "X\r\n" HOST END, "colon"),

    BAD(400, GET HOST "Content-Length:\r\n" END, "Content-Length"),
    BAD(400, GET HOST "Content-Length: -1\r\n" END, "Content-Length"),
    BAD(400, GET HOST "Content-Length: +1\r\n" END, "Content-Length"),
    BAD(400, GET HOST "Content-Length: 1 2\r\n" END, "Content-Length"),
    BAD(400, GET HOST "Content-Length: 1, 1\r\n" END, "Content-Length"),
    BAD(400, GET HOST "Content-Length: 0x10\r\n" END, "Content-Length"),
    BAD(400, GET HOST "Content-Length: 18446744073709551616\r\n" END, "Content-Length"),
    BAD(400, GET HOST "Content-Length: 1\r\nContent-Length: 2\r\n" END, "differ"),
    BAD(400, GET HOST "Content-Length: 1\r\nContent-Length: x\r\n" END, "not a number"),
    BAD(400, GET HOST "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n" END,
        "together"),
    BAD(400, GET HOST "Transfer-Encoding: gzip\r\n" END, "chunked"),
    BAD(400, GET HOST "Transfer-Encoding:\r\n" END, "chunked"),
    BAD(400, GET HOST "Transfer-Encoding: chunked, gzip\r\n" END, "Transfer-Encoding"),
    BAD(400, GET HOST "Transfer-Encoding: chunked, chunked\r\n" END, "Transfer-Encoding"),
    BAD(400, GET HOST "Transfer-Encoding: \vchunked\r\n" END, "control"),
    BAD(400, GET HOST "Transfer-Encoding: xchunked\r\n" END, "chunked"),
    BAD(400, GET HOST "Transfer-Encoding: chunk ed\r\n" END, "Transfer-Encoding"),
    BAD(400, "GET / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n" END, "HTTP/1.0"),
};

static const struct row responses[] = {
    GOOD("HTTP/1.1 101 Switching Protocols\r\n" END),
    GOOD("HTTP/1.1 200 \r\n" END),
    GOOD("HTTP/1.0 404 Not\tFound \xff\r\nA: b\r\n" END),
    GOOD("HTTP/1.1 999 x\r\n" END),
    GOOD("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n" END),
    BAD(400, "HTTP/1.1 101\r\n" END, "status"),
    BAD(400, "HTTP/1.1  101 x\r\n" END, "status"),
    BAD(400, "HTTP/1.1 1010 x\r\n" END, "status"),
    BAD(400, "HTTP/1.1 099 x\r\n" END, "status"),
    BAD(400, "HTTP/1.1 10x x\r\n" END, "status"),
    BAD(400, "HTTP/1.1\r\n" END, "status"),
    BAD(400, "HTTP/2 101 x\r\n" END, "version"),
    BAD(400, "http/1.1 101 x\r\n" END, "version"),
    BAD(400, "HTTP/2.0 101 x\r\n" END, "HTTP/1.1"),
    BAD(400, "SSH-2.0-OpenSSH\r\n" END, "version"),
    BAD(400, "HTTP/1.1 101 x\x01\r\n" END, "control"),
    BAD(400, "HTTP/1.1 101 x\r\nA : b\r\n" END, "blank between"),
    BAD(400, "HTTP/1.1 200 x\r\nContent-Length: z\r\n" END, "Content-Length"),
};

struct outcome {
    ptrdiff_t result;
    struct wsi_http_refusal refusal;
};

/* A copy in a block of exactly that size, where a sanitizer sees any step outside. */
static uint8_t *exact(const void *data, size_t len)
{
    uint8_t *copy = malloc(len != 0 ? len : 1);

    assert_non_null(copy);
    memcpy(copy, data, len);
    return copy;
}

/* Feed `step` bytes more at each call, beginning with `first`, until the scan decides. */
static struct outcome scan_in_steps(const uint8_t *data, size_t len, size_t first,
                                    size_t step, size_t max_bytes)
{
    struct wsi_http_scan scan = {0};
    struct outcome outcome = {0};
    size_t have = first < len ? first : len;

    for (;;) {
        uint8_t *block = exact(data, have);

        outcome.result = wsi_http_scan(&scan, block, have, max_bytes, &outcome.refusal);
        free(block);
        if (outcome.result != 0 || have == len)
            return outcome;
        have = step < len - have ? have + step : len;
    }
}

static struct outcome parse(const uint8_t *data, size_t len, int is_request,
                            struct wsi_http_head *head)
{
    struct outcome outcome = {0};

    outcome.result = is_request
                         ? wsi_http_parse_request(data, len, 100, head, &outcome.refusal)
                         : wsi_http_parse_response(data, len, 100, head,
                                                   &outcome.refusal);
    return outcome;
}

static void check_row(const struct row *row, int is_request)
{
    static struct wsi_http_head head;
    struct outcome outcome = scan_in_steps((const uint8_t *)row->text, row->len, row->len,
                                           1, 4096);
    uint8_t *block = exact(row->text, row->len);
    const int by_scan = outcome.result < 0;

    if (!by_scan) {
        assert_int_equal(outcome.result, row->len);
        outcome = parse(block, row->len, is_request, &head);
    }
    if ((outcome.result < 0) != (row->status != 0))
        fail_msg("%s: %s", row->text,
                 outcome.result < 0 ? outcome.refusal.why : "accepted");
    if (outcome.result < 0) {
        assert_int_equal(outcome.refusal.status, is_request || by_scan ? row->status : 0);
        if (strstr(outcome.refusal.why, row->word) == NULL)
            fail_msg("%s: \"%s\" does not name %s", row->text, outcome.refusal.why,
                     row->word);
    }
    free(block);
}

static void request_is_accepted_or_refused_with_a_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(requests); i++)
        check_row(&requests[i], 1);
}

static void response_is_accepted_or_refused_with_a_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(responses); i++)
        check_row(&responses[i], 0);
}

static void check_cuts(const struct row *row, size_t max_bytes)
{
    const uint8_t *data = (const uint8_t *)row->text;
    const struct outcome whole = scan_in_steps(data, row->len, row->len, 1, max_bytes);

    for (size_t cut = 0; cut <= row->len; cut++) {
        for (size_t step = 1; step <= row->len; step += row->len - 1 + (row->len == 1)) {
            const struct outcome cuts = scan_in_steps(data, row->len, cut, step,
                                                      max_bytes);

            assert_int_equal(cuts.result, whole.result);
            assert_int_equal(cuts.refusal.status, whole.refusal.status);
            assert_ptr_equal(cuts.refusal.why, whole.refusal.why);
        }
    }
}

/* Once cut into two at every place, and once byte by byte behind every cut. */
static void scan_gives_the_same_at_every_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(requests); i++) {
        check_cuts(&requests[i], 4096);
        check_cuts(&requests[i], 24);
    }
    for (size_t i = 0; i < COUNT(responses); i++)
        check_cuts(&responses[i], 4096);
}

/* The parser stands on its own: what the scan refuses, it refuses too. */
static void parser_does_not_rely_on_the_scan(void **state)
{
    static struct wsi_http_head head;

    (void)state;
    for (size_t i = 0; i < COUNT(requests); i++) {
        uint8_t *block = exact(requests[i].text, requests[i].len);

        assert_int_equal(parse(block, requests[i].len, 1, &head).result < 0,
                         requests[i].status != 0);
        for (size_t len = 0; len < requests[i].len; len++) {
            uint8_t *part = exact(block, len);

            assert_int_equal(parse(part, len, 1, &head).result, -1);
            free(part);
        }
        free(block);
    }
}

static void scan_stops_at_the_end_of_the_head(void **state)
{
    const struct row row = GOOD(GET HOST END "X:\r\n\0bytes");
    const size_t len = sizeof(GET HOST END) - 1;
    const uint8_t *data = (const uint8_t *)row.text;
    static struct wsi_http_head head;

    (void)state;
    assert_int_equal(scan_in_steps(data, row.len, row.len, 1, 4096).result, len);
    assert_int_equal(scan_in_steps(data, row.len, 1, 1, 4096).result, len);
    assert_non_null(strstr(parse(data, len + 4, 1, &head).refusal.why, "behind the end"));
}

static void scan_holds_the_head_to_its_limit(void **state)
{
    const struct row row = GOOD(GET HOST END);
    const uint8_t *data = (const uint8_t *)row.text;
    struct outcome outcome = scan_in_steps(data, row.len, 1, 1, row.len);

    (void)state;
    assert_int_equal(outcome.result, row.len);
    for (size_t first = 1; first <= row.len; first++) {
        outcome = scan_in_steps(data, row.len, first, 1, row.len - 1);
        assert_int_equal(outcome.result, -1);
        assert_int_equal(outcome.refusal.status, 431);
    }
    /* refused as soon as it cannot end in time any more */
    outcome = scan_in_steps(data, 10, 10, 1, 10);
    assert_int_equal(outcome.refusal.status, 431);
    outcome = scan_in_steps(data, 9, 9, 1, 10);
    assert_int_equal(outcome.result, 0);
}

/* A scan that began anew at each call would look at 2^36 bytes here. */
static void scan_looks_at_each_byte_once(void **state)
{
    const size_t len = (size_t)1 << 18;
    char *text = malloc(len);
    struct wsi_http_scan scan = {0};
    struct wsi_http_refusal refusal;

    (void)state;
    memset(text, 'x', len);
    for (size_t have = 1; have < len; have++) {
        assert_int_equal(wsi_http_scan(&scan, (uint8_t *)text, have, len, &refusal), 0);
        assert_int_equal(scan.pos, have);
        text[0] = 'x';
        text[have / 2] = have > 64 ? '\n' : 'x'; /* behind the scan: not seen again */
    }
    free(text);
}

/* Every byte at every place of the eight-byte steps. */
static void scan_sees_each_control_at_each_place(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        for (size_t place = 1; place < 40; place++) {
            uint8_t text[40];
            struct wsi_http_scan scan = {0};
            struct wsi_http_refusal refusal = {0};
            const int wrong = byte == 0x7f || (byte < 0x20 && byte != '\t');

            memset(text, place % 2 ? 'a' : 0xff, sizeof text);
            text[0] = 'G';
            text[place] = (uint8_t)byte;
            /* a CR is wrong only when something else follows */
            if (byte == '\r' && place == 39)
                continue;
            assert_int_equal(wsi_http_scan(&scan, text, sizeof text, 100, &refusal) < 0,
                             wrong);
        }
    }
}

static void head_comes_apart(void **state)
{
    static const char text[] =
        "GET /chat?x HTTP/1.1\r\nHost: h\r\nA:1\r\nb: two \r\na:\t3 4\r\nE:\r\n\r\n";
    static struct wsi_http_head head;
    struct wsi_http_refusal refusal;
    uint8_t *block = exact(text, sizeof text - 1);

    (void)state;
    assert_int_equal(wsi_http_parse_request(block, sizeof text - 1, 5, &head, &refusal),
                     0);
    assert_true(wsi_str_equal(head.method, WSI_STR("GET")));
    assert_true(wsi_str_equal(head.target, WSI_STR("/chat?x")));
    assert_int_equal(head.minor, 1);
    assert_int_equal(head.count, 5);
    assert_true(wsi_str_equal(head.fields[2].name, WSI_STR("b")));
    assert_true(wsi_str_equal(head.fields[2].value, WSI_STR("two")));
    assert_ptr_equal(wsi_http_find(&head, WSI_STR("A"), 0), &head.fields[1]);
    assert_ptr_equal(wsi_http_find(&head, WSI_STR("a"), 1), &head.fields[3]);
    assert_null(wsi_http_find(&head, WSI_STR("a"), 2));
    assert_null(wsi_http_find(&head, WSI_STR("aa"), 0));
    assert_true(wsi_str_equal(head.fields[3].value, WSI_STR("3 4")));
    assert_int_equal(head.fields[4].value.len, 0);
    free(block);
}

static void response_gives_status_and_reason(void **state)
{
    static const char text[] = "HTTP/1.0 503 Come back later\r\nRetry-After: 1\r\n\r\n";
    static struct wsi_http_head head;
    struct wsi_http_refusal refusal;

    (void)state;
    assert_int_equal(wsi_http_parse_response((const uint8_t *)text, sizeof text - 1, 9,
                                             &head, &refusal),
                     0);
    assert_int_equal(head.status, 503);
    assert_int_equal(head.minor, 0);
    assert_true(wsi_str_equal(head.reason, WSI_STR("Come back later")));
    assert_int_equal(head.count, 1);
}

static void fields_are_counted_against_the_limit(void **state)
{
    static char text[8192];
    static struct wsi_http_head head;
    struct wsi_http_refusal refusal;

    (void)state;
    for (unsigned fields = 2; fields < 300; fields += 1 + fields / 100) {
        int r;

        strcpy(text, GET HOST);
        for (unsigned i = 1; i < fields; i++)
            strcat(text, "a: b\r\n");
        strcat(text, END);
        r = wsi_http_parse_request((uint8_t *)text, strlen(text), fields - 1, &head,
                                   &refusal);
        assert_int_equal(r, -1);
        assert_int_equal(refusal.status, 431);
        r = wsi_http_parse_request((uint8_t *)text, strlen(text), 1000, &head, &refusal);
        assert_int_equal(r, fields <= WSI_HTTP_FIELDS_MAX ? 0 : -1);
        if (r < 0)
            assert_int_equal(refusal.status, 431);
    }
}

static void lists_skip_empty_elements(void **state)
{
    struct wsi_str list = WSI_STR(" , a ,,\tb c\t,"), element;

    (void)state;
    assert_true(wsi_http_list_next(&list, &element));
    assert_true(wsi_str_equal(element, WSI_STR("a")));
    assert_true(wsi_http_list_next(&list, &element));
    assert_true(wsi_str_equal(element, WSI_STR("b c")));
    assert_false(wsi_http_list_next(&list, &element));
}

static void lists_span_all_fields_of_their_name(void **state)
{
    static const char text[] = GET HOST
        "Connection: keep-alive,\r\nX: upgrade\r\nconnection: close , UPGRADE\r\n" END;
    static struct wsi_http_head head;
    struct wsi_http_refusal refusal;

    (void)state;
    assert_int_equal(wsi_http_parse_request((const uint8_t *)text, sizeof text - 1, 9,
                                            &head, &refusal),
                     0);
    assert_true(wsi_http_list_has(&head, WSI_STR("Connection"), WSI_STR("upgrade")));
    assert_true(wsi_http_list_has(&head, WSI_STR("Connection"), WSI_STR("Keep-Alive")));
    assert_false(wsi_http_list_has(&head, WSI_STR("Connection"), WSI_STR("grade")));
    assert_false(wsi_http_list_has(&head, WSI_STR("Upgrade"), WSI_STR("upgrade")));
}

static void tokens_and_values_are_told_apart(void **state)
{
    (void)state;
    assert_true(wsi_http_is_token(WSI_STR("wsock.rooms.v1")));
    assert_false(wsi_http_is_token(WSI_STR("")));
    assert_false(wsi_http_is_token(WSI_STR("a b")));
    assert_false(wsi_http_is_token(WSI_STR("a\xff")));
    assert_true(wsi_http_is_field_value(WSI_STR("")));
    assert_true(wsi_http_is_field_value(WSI_STR("a \t\xff")));
    assert_false(wsi_http_is_field_value(WSI_STR(" a")));
    assert_false(wsi_http_is_field_value(WSI_STR("a\t")));
    assert_false(wsi_http_is_field_value(WSI_STR("a\r\nb")));
    assert_false(wsi_http_is_field_value(WSI_STR("a\0b")));
    assert_string_equal(wsi_http_reason(426), "Upgrade Required");
    assert_string_equal(wsi_http_reason(499), "");
}

/* ---- mutation ---- */

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void assert_inside(struct wsi_str piece, const uint8_t *block, size_t len)
{
    const char *text = (const char *)block;

    assert_true(piece.len == 0 ||
                (piece.ptr >= text && piece.ptr + piece.len <= text + len));
}

/* What must hold of any head that was accepted. */
static void check_accepted(const uint8_t *block, size_t len,
                           const struct wsi_http_head *head)
{
    struct wsi_http_refusal refusal = {0};
    struct wsi_str protocol = {0};
    unsigned cursor = 0;
    bool is_upgrade;

    assert_inside(head->method, block, len);
    assert_inside(head->target, block, len);
    assert_inside(head->reason, block, len);
    for (unsigned i = 0; i < head->count; i++) {
        assert_true(wsi_http_is_token(head->fields[i].name));
        assert_true(wsi_http_is_field_value(head->fields[i].value));
        assert_inside(head->fields[i].name, block, len);
        assert_inside(head->fields[i].value, block, len);
    }
    if (head->status != 0) {
        wsi_handshake_check_response(head, WSI_STR("dGhlIHNhbXBsZSBub25jZQ=="),
                                     WSI_STR("a, b"), false, &protocol, &refusal);
        return;
    }
    wsi_handshake_check_request(head, &is_upgrade, &refusal);
    while (wsi_handshake_next_protocol(head, &cursor, &protocol))
        assert_inside(protocol, block, len);
}

static const struct row seeds[] = {
    GOOD("GET /chat?room=1 HTTP/1.1\r\nHost: server.example.com:8080\r\n"
         "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n"
         "Sec-WebSocket-Protocol: chat, superchat,\r\nSec-WebSocket-Protocol: x\r\n"
         "Sec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n"),
    GOOD("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
         "Upgrade\r\n"
         "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
         "Sec-WebSocket-Protocol: a\r\n\r\n"),
    GOOD("GET http://[::1]:80/x HTTP/1.1\r\nHost: [::1]:80\r\n"
         "Transfer-Encoding: gzip, chunked\r\n\r\n"),
};

/* Overwrites, cuts out and doubles pieces. @return the new length, at most capacity. */
static size_t mutate(uint8_t *data, size_t len, size_t capacity, uint32_t *seed)
{
    static const char spice[] = "\r\n\t :,/[]=%\0\x7f\xff"
                                "0aZ";

    for (unsigned n = 1 + next_random(seed) % 4; n != 0; n--) {
        const size_t at = next_random(seed) % len, rest = len - at;
        const size_t run = 1 + next_random(seed) % (rest < 16 ? rest : 16);

        switch (next_random(seed) % 4) {
        case 0:
            data[at] = (uint8_t)next_random(seed);
            break;
        case 1:
            data[at] = (uint8_t)spice[next_random(seed) % (sizeof spice - 1)];
            break;
        case 2:
            if (len - run > 8) {
                memmove(data + at, data + at + run, rest - run);
                len -= run;
            }
            break;
        default:
            if (len + run <= capacity) {
                memmove(data + at + run, data + at, rest);
                len += run;
            }
            break;
        }
    }
    return len;
}

static void mutated_heads_are_read_within_their_bytes(void **state)
{
    static struct wsi_http_head head;
    uint32_t seed = 6455;
    unsigned accepted = 0;

    (void)state;
    for (int round = 0; round < 24000; round++) {
        const struct row *origin = &seeds[next_random(&seed) % COUNT(seeds)];
        uint8_t text[1024];
        size_t len = origin->len;
        struct outcome once, pieces;

        memcpy(text, origin->text, len);
        len = mutate(text, len, sizeof text, &seed);
        once = scan_in_steps(text, len, len, 1, 600);
        pieces = scan_in_steps(text, len, next_random(&seed) % len,
                               1 + next_random(&seed) % 64, 600);
        assert_int_equal(once.result, pieces.result);
        assert_ptr_equal(once.refusal.why, pieces.refusal.why);
        /* the parser sees also what the scan refused */
        if (once.result > 0)
            len = (size_t)once.result;
        uint8_t *block = exact(text, len);
        for (int is_request = 0; is_request < 2; is_request++) {
            const struct outcome parsed = parse(block, len, is_request, &head);

            if (parsed.result < 0) {
                assert_non_null(parsed.refusal.why);
                continue;
            }
            assert_true(once.result > 0);
            accepted++;
            check_accepted(block, len, &head);
        }
        free(block);
    }
    /* the mutations are mild enough to leave much to look at */
    assert_true(accepted > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(request_is_accepted_or_refused_with_a_reason),
        TEST(response_is_accepted_or_refused_with_a_reason),
        TEST(scan_gives_the_same_at_every_cut),
        TEST(parser_does_not_rely_on_the_scan),
        TEST(scan_stops_at_the_end_of_the_head),
        TEST(scan_holds_the_head_to_its_limit),
        TEST(scan_looks_at_each_byte_once),
        TEST(scan_sees_each_control_at_each_place),
        TEST(head_comes_apart),
        TEST(response_gives_status_and_reason),
        TEST(fields_are_counted_against_the_limit),
        TEST(lists_skip_empty_elements),
        TEST(lists_span_all_fields_of_their_name),
        TEST(tokens_and_values_are_told_apart),
        TEST(mutated_heads_are_read_within_their_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
