/* SPDX-License-Identifier: MIT */
/* Proxies: which one a URL names, who needs none, and what is said to each, at every cut
 * of its answers. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "cuts.h"
#include "proto/authority.h"
#include "proto/tunnel.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static bool is(struct wsi_str text, const char *expected)
{
    return wsi_str_equal(text, wsi_str_of(expected));
}

/* ---- which proxy ---- */

static void url_names_a_proxy(void **state)
{
    static const struct {
        const char *url, *host, *user, *password;
        unsigned kind, port;
        bool ipv6;
    } rows[] = {
        {"http://p", "p", "", "", WSI_VIA_HTTP, 80, false},
        {"http://p/", "p", "", "", WSI_VIA_HTTP, 80, false},
        {"HTTP://P.example:3128/", "P.example", "", "", WSI_VIA_HTTP, 3128, false},
        {"p", "p", "", "", WSI_VIA_HTTP, 80, false},
        {"p:8080", "p", "", "", WSI_VIA_HTTP, 8080, false},
        {"192.0.2.1:1", "192.0.2.1", "", "", WSI_VIA_HTTP, 1, false},
        {"[::1]", "::1", "", "", WSI_VIA_HTTP, 80, true},
        {"http://[2001:db8::1]:65535", "2001:db8::1", "", "", WSI_VIA_HTTP, 65535, true},
        {"socks5://p", "p", "", "", WSI_VIA_SOCKS5, 1080, false},
        {"socks5h://p:9050/", "p", "", "", WSI_VIA_SOCKS5, 9050, false},
        {"Socks5://[::1]:1", "::1", "", "", WSI_VIA_SOCKS5, 1, true},
        {"http://u@p", "p", "u", "", WSI_VIA_HTTP, 80, false},
        {"http://u:@p", "p", "u", "", WSI_VIA_HTTP, 80, false},
        {"http://:w@p", "p", "", "w", WSI_VIA_HTTP, 80, false},
        {"http://@p", "p", "", "", WSI_VIA_HTTP, 80, false},
        {"u:w@p:8", "p", "u", "w", WSI_VIA_HTTP, 8, false},
        {"http://u:w:x@p", "p", "u", "w:x", WSI_VIA_HTTP, 80, false},
        {"http://u:w@x@p", "p", "u", "w@x", WSI_VIA_HTTP, 80, false},
        {"http://u:a/b@p/", "p", "u", "a/b", WSI_VIA_HTTP, 80, false},
        {"http://u%40x:%25%3a@[::1]:9", "::1", "u%40x", "%25%3a", WSI_VIA_HTTP, 9, true},
        {"socks5://u%3A:%00%ff@p", "p", "u%3A", "%00%ff", WSI_VIA_SOCKS5, 1080, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *text = strdup(rows[i].url);
        struct wsi_via via;
        const char *why = NULL;

        if (!wsi_via_parse(&via, wsi_str_of(text), &why))
            fail_msg("%s: %s", text, why);
        if (!is(via.host, rows[i].host) || !is(via.user, rows[i].user) ||
            !is(via.password, rows[i].password) || via.kind != rows[i].kind ||
            via.port != rows[i].port || via.host_is_ipv6 != rows[i].ipv6)
            fail_msg("%s is read otherwise", text);
        free(text);
    }
}

static void url_that_is_wrong_is_refused_with_a_reason(void **state)
{
    static const struct {
        const char *url, *why; /* a word of the sentence */
    } rows[] = {
        {"", "empty"},
        {"/", "empty"},
        {"http://", "empty"},
        {"http:///", "empty"},
        {"http://:3128", "empty"},
        {"http://u:w@", "empty"},
        {"http:p", "port"},
        {"https://p", "scheme"},
        {"socks4://p", "scheme"},
        {"socks://p", "scheme"},
        {"socks5:///p", "host"},
        {"://p", "scheme"},
        {" http://p", "scheme"},
        {"ws://p", "scheme"},
        {"http://p:", "port"},
        {"http://p:x", "port"},
        {"http://p:0", "port 0"},
        {"http://p:65536", "port"},
        {"http://p:-1", "port"},
        {"http://p:80/x", "port"},
        {"http://p//", "character"},
        {"http://p/path", "character"},
        {"http://p?q", "character"},
        {"http://p#f", "character"},
        {"http://p q", "character"},
        {"http://p\r\nX: y", "character"},
        {"http://p%41", "character"},
        {"http://256.0.0.1", "IPv4"},
        {"http://::1", "empty"},
        {"http://[::1", "not closed"},
        {"http://[::1]x", "bracket"},
        {"http://[fe80::1%25eth0]", "zone"},
        {"http://u%@p", "hexadecimal"},
        {"http://u%4@p", "hexadecimal"},
        {"http://u:%zz@p", "hexadecimal"},
        {"socks5://u:%1@p", "hexadecimal"},
        {"http://a%3ab:w@p", "colon"},
        {"http://a%0d%0aX:w@p", "control"},
        {"http://a:%00@p", "control"},
        {"http://a:%7f@p", "control"},
        {"http://a:\x01@p", "control"},
        {"socks5://:w@p", "needs a user"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *text = strdup(rows[i].url);
        struct wsi_via via = {.port = 7};
        const char *why = "";

        if (wsi_via_parse(&via, wsi_str_of(text), &why))
            fail_msg("accepted %s", text);
        if (strstr(why, rows[i].why) == NULL)
            fail_msg("%s: \"%s\" does not name %s", text, why, rows[i].why);
        assert_int_equal(via.port, 7);
        free(text);
    }
}

/* "SCHEME://USER:PASSWORD@p" with so many characters in each; escaped ones are three. */
static bool takes(const char *scheme, unsigned user, unsigned password, bool escaped)
{
    char url[4000];
    struct wsi_via via;
    const char *why = NULL;

    snprintf(url, sizeof url, "%s://", scheme);
    for (unsigned i = 0; i < user; i++)
        strcat(url, escaped ? "%75" : "u");
    strcat(url, ":");
    for (unsigned i = 0; i < password; i++)
        strcat(url, escaped ? "%77" : "w");
    strcat(url, "@p");
    if (wsi_via_parse(&via, wsi_str_of(url), &why))
        return true;
    assert_non_null(strstr(why, strcmp(scheme, "http") == 0 ? "longer than 512"
                                                            : "longer than 255"));
    return false;
}

static void credentials_have_as_many_bytes_as_can_be_said(void **state)
{
    static const struct {
        const char *scheme;
        unsigned max;
    } rows[] = {{"socks5", 255}, {"http", 512}};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (int escaped = 0; escaped < 2; escaped++) {
            assert_true(takes(rows[i].scheme, rows[i].max, rows[i].max, escaped));
            assert_false(takes(rows[i].scheme, rows[i].max + 1, 1, escaped));
            assert_false(takes(rows[i].scheme, 1, rows[i].max + 1, escaped));
        }
    }
}

/* ---- or none ---- */

static void list_says_who_needs_no_proxy(void **state)
{
    static const struct {
        const char *list, *host;
        bool bypassed;
    } rows[] = {
        {"", "example.com", false},
        {" ,\t, ", "example.com", false},
        {"*", "example.com", true},
        {"*", "192.0.2.1", true},
        {"*", "::1", true},
        {"x, * ,y", "example.com", true},
        {"**", "example.com", false},
        {"*.example.com", "a.example.com", false},
        {"example.com", "example.com", true},
        {"example.com", "EXAMPLE.Com", true},
        {"example.com", "www.example.com", true},
        {"example.com", "a.b.example.com", true},
        {"example.com", "badexample.com", false},
        {"example.com", "example.com.evil", false},
        {"example.com", "example.co", false},
        {"example.com", "com", false},
        {".example.com", "example.com", true},
        {".example.com", "www.example.com", true},
        {".example.com", "badexample.com", false},
        {"..example.com", "www.example.com", false},
        {".", "example.com", false},
        {".", "example.com.", false},
        {"example.com.", "example.com", true},
        {"example.com", "example.com.", true},
        {"example.com", "www.example.com.", true},
        {"example.com", "example.com..", false},
        {"com", "example.com", true},
        {"a,b c\td", "a", true},
        {"a,b c\td", "b", true},
        {"a,b c\td", "c", true},
        {"a,b c\td", "d", true},
        {"a,b c\td", "e", false},
        {"a;b", "a", false},
        {"example.com:80", "example.com", false},
        {"http://example.com", "example.com", false},
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.10", false},
        {"2.1", "192.0.2.1", false},
        {".2.1", "192.0.2.1", false},
        {"192.0.2.0/24", "192.0.2.255", true},
        {"192.0.2.0/24", "192.0.3.0", false},
        {"192.0.2.1/24", "192.0.2.1", false}, /* malformed: bits behind the prefix */
        {"192.0.2.0/33", "192.0.2.0", false},
        {"192.0.2.0/", "192.0.2.0", false},
        {"192.0.2.0/024", "192.0.2.0", false},
        {"0.0.0.0/0", "192.0.2.1", true},
        {"0.0.0.0/0", "::1", false},
        {"::/0", "::1", true},
        {"::/0", "192.0.2.1", false},
        {"0.0.0.0/0", "example.com", false},
        {"::1", "::1", true},
        {"0:0::1", "::1", true},
        {"[::1]", "::1", true},
        {"[::1", "::1", false},
        {"[]", "::1", false},
        {"[::1]/128", "::1", false},
        {"2001:db8::/32", "2001:db8:ffff::1", true},
        {"[2001:db8::/32]", "2001:db8:ffff::1", true},
        {"2001:db8::/32", "2001:db9::", false},
        {"192.0.2.1", "::ffff:192.0.2.1", true},
        {"::ffff:192.0.2.0/120", "192.0.2.7", true},
        {"unix:", "unix", false},
        {"/8 nonsense [x] 10.0.0.0/8", "10.1.2.3", true},
        {"localhost", "127.0.0.1", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        /* Not terminated, so that a sanitizer sees a read beyond. */
        char *list = malloc(strlen(rows[i].list) + 1);
        const struct wsi_str text = {list, strlen(rows[i].list)};

        memcpy(list, rows[i].list, text.len);
        if (wsi_via_is_bypassed(text, wsi_str_of(rows[i].host)) != rows[i].bypassed)
            fail_msg("\"%s\" for %s", rows[i].list, rows[i].host);
        free(list);
    }
}

/* A list that could not be read would send what should stay at home through a proxy. */
static void list_needs_no_memory(void **state)
{
    (void)state;
    test_fail_allocation(1, 1);
    assert_true(wsi_via_is_bypassed(WSI_STR("x,10.0.0.0/8"), WSI_STR("10.1.1.1")));
    assert_int_equal(test_stop_failing(), 0);
}

/* ---- talking ---- */

/* One way, from its beginning; what it sends is kept. */
static struct talk {
    struct wsi_tunnel tunnel;
    struct wsi_buf out, in;
    struct wsi_tunnel_failure failure;
} talk;

static struct wsi_http_head head;

static void set_up(const char *proxy, const char *host)
{
    const char *why;

    memset(&talk, 0, sizeof talk);
    memset(&head, 0xa5, sizeof head); /* scratch */
    assert_true(wsi_via_parse(&talk.tunnel.via, wsi_str_of(proxy), &why));
    talk.tunnel.host = wsi_str_of(host);
    talk.tunnel.host_is_ipv6 = strchr(host, ':') != NULL;
    talk.tunnel.port = 443;
}

static void tear_down(void)
{
    wsi_buf_fini(&talk.out);
    wsi_buf_fini(&talk.in);
}

static void begin(const char *proxy, const char *host)
{
    set_up(proxy, host);
    assert_int_equal(wsi_tunnel_begin(&talk.tunnel, &talk.out, &talk.failure), 0);
}

#define sent(literal) sent_bytes(literal, sizeof(literal) - 1)

/* Since the last time. */
static void sent_bytes(const void *data, size_t len)
{
    assert_int_equal(talk.out.len, len);
    if (len > 0)
        assert_memory_equal(talk.out.data, data, len);
    talk.out.len = 0;
}

static int receive(const void *data, size_t len)
{
    assert_int_equal(wsi_buf_append(&talk.in, data, len, SIZE_MAX / 2), 0);
    return wsi_tunnel_receive(&talk.tunnel, &talk.in, &talk.out, &head, &talk.failure);
}

/* What a talk comes to, under any cuts: "KIND proxy host" is in user. */
struct plan {
    const char *proxy, *host;
};

static void tell(struct test_transcript *out, const char *what, const struct wsi_buf *buf)
{
    char *hex = test_hex(buf->data, buf->len);

    test_transcript_add(out, "%s %s", what, hex);
    free(hex);
}

static void decode(struct test_piece *pieces, size_t count, struct test_transcript *out,
                   void *user)
{
    const struct plan *plan = user;
    int r = 0;

    begin(plan->proxy, plan->host);
    talk.out.len = 0;
    for (size_t i = 0; i < count && r >= 0; i++) {
        if (r > 0) /* the server's */
            assert_int_equal(
                wsi_buf_append(&talk.in, pieces[i].data, pieces[i].len, SIZE_MAX / 2), 0);
        else
            r = receive(pieces[i].data, pieces[i].len);
    }
    if (r < 0) {
        test_transcript_add(out, "%d %u %s", r, talk.failure.status, talk.failure.why);
    } else if (r > 0) {
        tell(out, "sent", &talk.out);
        tell(out, "left", &talk.in);
    } else {
        tell(out, "waits, sent", &talk.out);
    }
    tear_down();
}

static void answers_bytes(const struct plan *plan, const void *answer, size_t len,
                          const char *expected)
{
    test_all_cuts(answer, len, expected, decode, (void *)(uintptr_t)plan);
}

#define answers(plan, answer, expected) \
    answers_bytes(plan, answer, sizeof(answer) - 1, expected)

/* ---- http ---- */

static void connect_is_said_exactly(void **state)
{
    (void)state;
    begin("p", "example.com");
    sent("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n");
    tear_down();
    begin("http://p", "2001:db8::1");
    sent("CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n");
    tear_down();
    begin("http://Aladdin:open%20sesame@p", "192.0.2.1"); /* RFC 7617 section 2 */
    sent("CONNECT 192.0.2.1:443 HTTP/1.1\r\nHost: 192.0.2.1:443\r\n"
         "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n");
    tear_down();
    begin("http://u@p", "h");
    sent("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n"
         "Proxy-Authorization: Basic dTo=\r\n\r\n");
    tear_down();
    begin("http://:w@p", "h");
    sent("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n"
         "Proxy-Authorization: Basic Onc=\r\n\r\n");
    tear_down();
    begin("http://@p", "h");
    sent("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n");
    tear_down();
}

static const struct plan http = {"p", "h"};

static void any_success_opens_the_way(void **state)
{
    static const char *const good[] = {
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.0 200 Connection established\r\n\r\n",
        "HTTP/1.1 200 \r\nVia: x\r\nDate: y\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 299 x\r\n\r\n",
        /* What a 2xx says of content means nothing (RFC 9110 section 9.3.6). */
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\nContent-Length: 7\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: , \r\nContent-Length: 5\r\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        answers_bytes(&http, good[i], strlen(good[i]), "sent  | left ");
    }
}

static void what_follows_the_answer_is_the_servers(void **state)
{
    (void)state;
    answers(&http, "HTTP/1.1 200 OK\r\n\r\nabc", "sent  | left 616263");
    answers(&http, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc",
            "sent  | left 616263");
    answers(&http, "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            "sent  | left 485454502f312e3120323030204f4b0d0a0d0a");
}

static void interim_answers_are_passed_over(void **state)
{
    (void)state;
    answers(&http, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            "sent  | left ");
    answers(&http,
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 199 y\r\n\r\n"
            "HTTP/1.1 200 OK\r\n\r\nz",
            "sent  | left 7a");
    answers(&http, "HTTP/1.1 100 Continue\r\n\r\n", "waits, sent ");
    answers(&http, "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 403 Forbidden\r\n\r\n",
            "-24 403 it answered 403 Forbidden");
    answers(&http, "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "-24 101 it answered 101 Switching Protocols");
}

static void refusal_tells_the_status(void **state)
{
    (void)state;
    answers(&http,
            "HTTP/1.1 407 Proxy Authentication Required\r\n"
            "Proxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 3\r\n\r\nabc",
            "-24 407 it answered 407 Proxy Authentication Required");
    answers(&http, "HTTP/1.1 301 Moved\r\nLocation: http://x/\r\n\r\n",
            "-24 301 it answered 301 Moved");
    answers(&http, "HTTP/1.1 400 \r\n\r\n", "-24 400 it answered 400 ");
    answers(&http, "HTTP/1.0 503 Service Unavailable\r\n\r\n",
            "-24 503 it answered 503 Service Unavailable");
    answers(&http, "HTTP/1.1 999 ?\r\n\r\n", "-24 999 it answered 999 ?");
}

static void long_reason_is_cut(void **state)
{
    char answer[400];

    (void)state;
    begin("p", "h");
    snprintf(answer, sizeof answer, "HTTP/1.1 502 %0300d\r\n\r\n", 0);
    assert_int_equal(receive(answer, strlen(answer)), WSOCK_EHANDSHAKE);
    assert_int_equal(strlen(talk.failure.why), sizeof talk.failure.why - 1);
    tear_down();
}

static void answer_that_is_no_http_fails(void **state)
{
    static const struct {
        const char *answer, *why;
    } rows[] = {
        {"\x05", "not HTTP"},
        {"\r\n", "not HTTP"},
        {"SSH-2.0-x\r\n\r\n", "HTTP version"},
        {"HTTP/2 200 OK\r\n\r\n", "HTTP version"},
        {"HTTP/2.0 200 OK\r\n\r\n", "only HTTP/1.1"},
        {"http/1.1 200 OK\r\n\r\n", "HTTP version"},
        {"HTTP/1.1 200\r\n\r\n", "status"},
        {"HTTP/1.1 20 OK\r\n\r\n", "status"},
        {"HTTP/1.1 0200 OK\r\n\r\n", "status"},
        {"HTTP/1.1 099 OK\r\n\r\n", "status"},
        {"HTTP/1.1 200 OK\n\n", "LF without CR"},
        {"HTTP/1.1 200 OK\r\nX y\r\n\r\n", "colon"},
        {"HTTP/1.1 200 OK\r\nX : y\r\n\r\n", "blank"},
        {"HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", "folded"},
        {"HTTP/1.1 200 O\x01K\r\n\r\n", "control"},
        {"HTTP/1.1 100 x\r\n\r\n\x05", "not HTTP"},
        {"HTTP/1.1 403 x\r\nContent-Length: y\r\n\r\n", "Content-Length"},
        {"HTTP/1.1 100 x\r\nContent-Length: y\r\n\r\n", "Content-Length"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        answers_bytes(&http, rows[i].answer, strlen(rows[i].answer), NULL);
        begin("p", "h");
        assert_int_equal(receive(rows[i].answer, strlen(rows[i].answer)),
                         WSOCK_EHANDSHAKE);
        assert_int_equal(talk.failure.status, 0);
        if (strstr(talk.failure.why, rows[i].why) == NULL)
            fail_msg("%s: \"%s\"", rows[i].answer, talk.failure.why);
        tear_down();
    }
}

/* Feed `piece` until it ends. @return bytes fed. */
static size_t feed_until_it_fails(const char *piece)
{
    size_t fed = 0;
    int r = 0;

    while (r == 0 && fed < 1000 * 1000) {
        r = receive(piece, strlen(piece));
        fed += strlen(piece);
    }
    assert_int_equal(r, WSOCK_EHANDSHAKE);
    assert_non_null(strstr(talk.failure.why, "larger than the limit"));
    return fed;
}

static void heads_are_limited_one_by_one_and_together(void **state)
{
    static char line[1001];

    (void)state;
    memset(line, 'x', sizeof line - 1);
    memcpy(line + sizeof line - 3, "\r\n", 2);
    line[1] = ':';
    begin("p", "h");
    assert_int_equal(receive("HTTP/1.1 200 OK\r\n", 17), 0);
    assert_true(feed_until_it_fails(line) <= WSI_TUNNEL_HEAD_MAX + 1000);
    tear_down();
    begin("p", "h");
    assert_true(feed_until_it_fails("HTTP/1.1 100 Continue\r\n\r\n") <=
                WSI_TUNNEL_HEAD_MAX + 25);
    tear_down();
}

static void head_may_have_exactly_its_limit(void **state)
{
    static const char start[] = "HTTP/1.1 100 x\r\n\r\nHTTP/1.1 200 OK\r\nX: ";
    static char answer[WSI_TUNNEL_HEAD_MAX + 1];

    (void)state;
    for (size_t more = 0; more < 2; more++) {
        const size_t len = WSI_TUNNEL_HEAD_MAX + more;

        memset(answer, 'y', len);
        memcpy(answer, start, sizeof start - 1);
        memcpy(answer + len - 4, "\r\n\r\n", 4);
        begin("p", "h");
        assert_int_equal(receive(answer, len), more == 0 ? 1 : WSOCK_EHANDSHAKE);
        tear_down();
    }
}

static void fields_are_limited(void **state)
{
    char answer[2000] = "HTTP/1.1 200 OK\r\n";

    (void)state;
    for (int i = 0; i < 101; i++)
        strcat(answer, "a: b\r\n");
    strcat(answer, "\r\n");
    begin("p", "h");
    assert_int_equal(receive(answer, strlen(answer)), WSOCK_EHANDSHAKE);
    assert_string_equal(talk.failure.why, "more headers than the limit allows");
    tear_down();
}

/* ---- socks ---- */

static void socks_is_said_exactly(void **state)
{
    (void)state;
    begin("socks5://p", "example.com");
    sent("\5\1\0");
    assert_int_equal(receive("\5\0", 2), 0);
    sent("\5\1\0\3\x0b"
         "example.com\x01\xbb");
    assert_int_equal(receive("\5\0\0\1\0\0\0\0\0\0", 10), 1);
    sent("");
    tear_down();
    begin("socks5h://p", "192.0.2.1");
    sent("\5\1\0");
    assert_int_equal(receive("\5\0", 2), 0);
    sent("\5\1\0\1\xc0\0\2\1\x01\xbb");
    tear_down();
    begin("socks5://p", "2001:db8::1");
    sent("\5\1\0");
    assert_int_equal(receive("\5\0", 2), 0);
    sent("\5\1\0\4\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x01\xbb");
    tear_down();
}

static void socks_tells_the_user_when_asked(void **state)
{
    (void)state;
    begin("socks5://us%3aer:pass%00@p", "h");
    sent("\5\2\0\2");
    assert_int_equal(receive("\5\2", 2), 0);
    sent("\1\5us:er\5pass\0");
    assert_int_equal(receive("\1\0", 2), 0);
    sent("\5\1\0\3\1h\x01\xbb");
    tear_down();
    /* Not when it is not asked. */
    begin("socks5://u:w@p", "h");
    sent("\5\2\0\2");
    assert_int_equal(receive("\5\0", 2), 0);
    sent("\5\1\0\3\1h\x01\xbb");
    tear_down();
    begin("socks5://u@p", "h");
    sent("\5\2\0\2");
    assert_int_equal(receive("\5\2", 2), 0);
    sent("\1\1u\0");
    tear_down();
}

static const struct plan socks = {"socks5://p", "h"},
                         socks_user = {"socks5://u:w@p", "h"};

#define ASKED "05010003016801bb"
#define TOLD  "0101750177"

static void socks_answers_open_the_way(void **state)
{
    (void)state;
    answers(&socks, "\5\0\5\0\0\1\1\2\3\4\5\6", "sent " ASKED " | left ");
    answers(&socks, "\5\0\5\0\0\4\1\2\3\4\5\6\7\1\2\3\4\5\6\7\1\2\3\4xy",
            "sent " ASKED " | left 7879");
    answers(&socks, "\5\0\5\0\0\3\2ab\0\7z", "sent " ASKED " | left 7a");
    answers(&socks, "\5\0\5\0\0\3\0\0\7", "sent " ASKED " | left ");
    answers(&socks, "\5\0\5\0\xff\1\1\2\3\4\5\6", "sent " ASKED " | left ");
    answers(&socks_user, "\5\0\5\0\0\1\1\2\3\4\5\6", "sent " ASKED " | left ");
    answers(&socks_user, "\5\2\1\0\5\0\0\1\1\2\3\4\5\6\7",
            "sent " TOLD ASKED " | left 07");
    answers(&socks_user, "\5\2\1\0\5\0\0\3\1x\1\2", "sent " TOLD ASKED " | left ");
}

static void socks_answers_that_end_early_are_waited_for(void **state)
{
    static const char whole[] = "\5\2\1\0\5\0\0\3\1x\1\2";

    (void)state;
    for (size_t len = 1; len < sizeof whole - 1; len++) {
        begin("socks5://u:w@p", "h");
        assert_int_equal(receive(whole, len), 0);
        tear_down();
    }
}

static void socks_answers_that_are_wrong_fail(void **state)
{
    static const char not_socks[] = "-24 0 it does not speak SOCKS 5";

    (void)state;
    answers(&socks, "\4\0", not_socks);
    answers(&socks, "HTTP/1.1 400 Bad Request\r\n\r\n", not_socks);
    answers(&socks, "\5\0\4\0\0\1\1\2\3\4\5\6", not_socks);
    answers(&socks, "\5\0\0\x5a\0\1", not_socks); /* as version 4 says it */
    answers(&socks, "\5\2", "-24 0 it wants a user and a password");
    answers(&socks, "\5\xff", "-24 0 it wants a user and a password");
    answers(&socks, "\5\1", "-24 0 it wants a user and a password");
    answers(&socks_user, "\5\xff", "-24 0 it takes no user and password");
    answers(&socks_user, "\5\1", "-24 0 it takes no user and password");
    answers(&socks_user, "\5\2\1\1", "-24 0 it does not accept the user or the password");
    answers(&socks_user, "\5\2\1\xff",
            "-24 0 it does not accept the user or the password");
    answers(&socks_user, "\5\2\5\0", "-24 0 it does not accept the user or the password");
    answers(&socks, "\5\0\5\0\0\2\1\2\3\4\5\6",
            "-24 0 its answer has an unknown address");
    answers(&socks, "\5\0\5\0\0\0\1\2\3\4\5\6",
            "-24 0 its answer has an unknown address");
    answers(&socks, "\5\0\5\0\0\xff\1\2\3\4\5\6",
            "-24 0 its answer has an unknown address");
}

/* Each with a reason of its own, whatever follows it, or nothing. */
static void socks_failures_have_reasons(void **state)
{
    char seen[10][160];

    (void)state;
    for (unsigned reply = 1; reply < 256; reply++) {
        const char answer[] = {5, 0, 5, (char)reply, 0, 9};
        const unsigned row = reply < 9 ? reply : 9;

        for (size_t len = 4; len <= sizeof answer; len++) {
            begin("socks5://p", "h");
            assert_int_equal(receive(answer, len), WSOCK_EHANDSHAKE);
            assert_int_equal(talk.failure.status, 0);
            if (reply > 9 || len > 4)
                assert_string_equal(talk.failure.why, seen[row]);
            strcpy(seen[row], talk.failure.why);
            tear_down();
        }
    }
    for (unsigned i = 1; i < 10; i++)
        for (unsigned k = 1; k < i; k++)
            assert_string_not_equal(seen[i], seen[k]);
    assert_string_equal(seen[2], "its rules do not allow the connection");
    assert_string_equal(seen[5], "the server refused the connection");
}

/* ---- limits ---- */

static void longest_names_and_credentials_can_be_said(void **state)
{
    static char host[WSI_HOST_MAX + 2], url[1000];

    (void)state;
    memset(host, 'h', WSI_HOST_MAX);
    snprintf(url, sizeof url, "socks5://%0255d:%0255d@p", 1, 2);
    begin(url, host);
    assert_int_equal(receive("\5\2\1\0", 4), 0);
    assert_int_equal(talk.out.len, 4 + 3 + 2 * 255 + 4 + 1 + 255 + 2);
    assert_int_equal(talk.out.data[4 + 3 + 2 * 255 + 4], 255);
    tear_down();
    begin(url + strlen("socks5://"), host); /* of http */
    assert_int_equal(talk.out.len, 2 * (255 + 4) + strlen("CONNECT  HTTP/1.1\r\n") +
                                       strlen("Host: \r\n") +
                                       strlen("Proxy-Authorization: Basic \r\n\r\n") +
                                       (2 * 255 + 1 + 2) / 3 * 4);
    tear_down();
}

static void longer_name_cannot_be_said(void **state)
{
    static const char *const proxies[] = {"p", "socks5://p"};
    char host[WSI_HOST_MAX + 2] = "";

    (void)state;
    memset(host, 'h', WSI_HOST_MAX + 1);
    for (size_t i = 0; i < COUNT(proxies); i++) {
        set_up(proxies[i], host);
        assert_int_equal(wsi_tunnel_begin(&talk.tunnel, &talk.out, &talk.failure),
                         WSOCK_EINVAL);
        assert_string_equal(talk.failure.why, "the server's name is too long");
        assert_int_equal(talk.out.len, 0);
        tear_down();
    }
}

/* ---- memory ---- */

/* The whole of a talk whose answer has come. @return 0, or the failure. */
static int go_through(const char *proxy, const void *answer, size_t len)
{
    int r;

    set_up(proxy, "h");
    r = wsi_tunnel_begin(&talk.tunnel, &talk.out, &talk.failure);
    if (r == 0)
        r = wsi_buf_append(&talk.in, answer, len, SIZE_MAX / 2);
    if (r == 0)
        r = wsi_tunnel_receive(&talk.tunnel, &talk.in, &talk.out, &head, &talk.failure);
    tear_down();
    return r;
}

static void memory_may_fail_anywhere(void **state)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\n\r\n", yes[] = "\5\2\1\0\5\0\0\3\1x\1\2";
    int result = 0;

    (void)state;
    FOR_EACH_OOM(result, result = go_through("u:w@p", ok, sizeof ok - 1), (void)0);
    FOR_EACH_OOM(result, result = go_through("socks5://u:w@p", yes, sizeof yes - 1),
                 (void)0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(url_names_a_proxy),
        TEST(url_that_is_wrong_is_refused_with_a_reason),
        TEST(credentials_have_as_many_bytes_as_can_be_said),
        TEST(list_says_who_needs_no_proxy),
        TEST(list_needs_no_memory),
        TEST(connect_is_said_exactly),
        TEST(any_success_opens_the_way),
        TEST(what_follows_the_answer_is_the_servers),
        TEST(interim_answers_are_passed_over),
        TEST(refusal_tells_the_status),
        TEST(long_reason_is_cut),
        TEST(answer_that_is_no_http_fails),
        TEST(heads_are_limited_one_by_one_and_together),
        TEST(head_may_have_exactly_its_limit),
        TEST(fields_are_limited),
        TEST(socks_is_said_exactly),
        TEST(socks_tells_the_user_when_asked),
        TEST(socks_answers_open_the_way),
        TEST(socks_answers_that_end_early_are_waited_for),
        TEST(socks_answers_that_are_wrong_fail),
        TEST(socks_failures_have_reasons),
        TEST(longest_names_and_credentials_can_be_said),
        TEST(longer_name_cannot_be_said),
        TEST(memory_may_fail_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
