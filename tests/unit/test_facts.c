/* SPDX-License-Identifier: MIT */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include <wsock/error.h>
#include <wsock/request.h>

#include "conn/facts.h"

static struct wsi_http_head head;
static const struct wsi_whence whence = {.remote = "192.0.2.1:4711",
                                         .peer = "192.0.2.1:4711", .local = ""};

static const struct wsi_http_head *request(const char *target)
{
    memset(&head, 0, sizeof head);
    head.method = WSI_STR("GET");
    head.target = wsi_str_of(target);
    head.minor = 1;
    return &head;
}

static void field(const char *name, const char *value)
{
    head.fields[head.count].name = wsi_str_of(name);
    head.fields[head.count++].value = wsi_str_of(value);
}

static void usual_fields(void)
{
    field("Host", "127.0.0.1:8080");
    field("Upgrade", "websocket");
    field("Connection", "Upgrade");
    field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    field("Sec-WebSocket-Version", "13");
}

static struct wsi_facts *build(void)
{
    struct wsi_facts *facts = NULL;

    assert_int_equal(wsi_facts_from_request(&facts, &whence, &head, NULL, 0), 0);
    return facts;
}

/* The pairs of a kind as "name=value;". */
static const char *pairs(const struct wsi_facts *facts, int kind)
{
    static char text[1024];
    const char *name, *value;
    size_t len = 0;
    int r;

    text[0] = '\0';
    for (size_t i = 0; (r = wsi_facts_field_at(facts, &name, &value, kind, i)) == 0; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s=%s;", name, value);
    assert_int_equal(r, WSOCK_ENOENT);
    return text;
}

static void a_plain_request_is_read_back(void **state)
{
    struct wsi_facts *facts;

    (void)state;
    request("/echo");
    usual_fields();
    field("X-Other", "o");
    facts = build();
    assert_string_equal(wsi_facts_method(facts), "GET");
    assert_string_equal(wsi_facts_target(facts), "/echo");
    assert_string_equal(wsi_facts_path(facts), "/echo");
    assert_string_equal(wsi_facts_header(facts, "host"), "127.0.0.1:8080");
    assert_string_equal(wsi_facts_header(facts, "SEC-WEBSOCKET-version"), "13");
    assert_string_equal(wsi_facts_header(facts, "x-otheR"), "o");
    assert_null(wsi_facts_header(facts, "x-othe"));
    assert_null(wsi_facts_header(facts, ""));
    assert_string_equal(pairs(facts, WSOCK_FIELDS_HEADER),
                        "Host=127.0.0.1:8080;Upgrade=websocket;Connection=Upgrade;"
                        "Sec-WebSocket-Key=dGhlIHNhbXBsZSBub25jZQ==;"
                        "Sec-WebSocket-Version=13;X-Other=o;");
    assert_string_equal(pairs(facts, WSOCK_FIELDS_PARAM), "");
    assert_string_equal(pairs(facts, WSOCK_FIELDS_QUERY), "");
    assert_string_equal(pairs(facts, WSOCK_FIELDS_COOKIE), "");
    assert_null(wsi_facts_param(facts, "x"));
    assert_null(wsi_facts_query(facts, "x"));
    assert_null(wsi_facts_cookie(facts, "x"));
    assert_string_equal(wsi_facts_subprotocol(facts), "");
    assert_null(wsi_facts_local(facts));
    wsi_facts_free(facts);
}

static void a_plain_request_is_smaller_than_its_head(void **state)
{
    struct wsi_facts *facts;

    (void)state;
    request("/echo");
    usual_fields();
    facts = build();
    /* "GET /echo HTTP/1.1" and these fields are 157 bytes on the wire. */
    assert_true(wsi_facts_size(facts) <= 128);
    wsi_facts_free(facts);
}

static void names_keep_their_spelling(void **state)
{
    struct wsi_facts *facts;

    (void)state;
    request("/");
    field("HOST", "a");
    field("host", "b");
    field("Host", "c");
    field("Hos", "d");
    facts = build();
    assert_string_equal(pairs(facts, WSOCK_FIELDS_HEADER), "HOST=a;host=b;Host=c;Hos=d;");
    assert_string_equal(wsi_facts_header(facts, "Host"), "a");
    wsi_facts_free(facts);
}

static void header_values_stay_bytes(void **state)
{
    struct wsi_facts *facts;

    (void)state;
    request("/");
    field("X-A", "\x80\xFF\xC3");
    field("Host", "");
    field("X-B", "");
    field("X-C", "c");
    facts = build();
    assert_string_equal(pairs(facts, WSOCK_FIELDS_HEADER),
                        "X-A=\x80\xFF\xC3;Host=;X-B=;X-C=c;");
    wsi_facts_free(facts);
}

static void paths_are_decoded_and_stored_once(void **state)
{
    static const struct {
        const char *target, *path;
        size_t extra; /* bytes beyond target, its NUL and the path's of a shared path */
    } cases[] = {
        {"/", "/", 0},
        {"/a/b", "/a/b", 0},
        {"/a?x", "/a", 3},
        {"/a%20b", "/a b", 5},
        {"/chat/a%2Fb?x=1", "/chat/a/b", 10},
        {"/a%00b", "/a%00b", 0}, /* no string once decoded: as it was sent */
        {"/a%0", "/a%0", 0},
        {"/a%zz?q", "/a%zz", 6},
        {"/a+b", "/a+b", 0},
        {"http://example.org/p", "/p", 0},
        {"*", "", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct wsi_facts *facts, *bare;
        const size_t len = strlen(cases[i].target);

        request("/");
        bare = build();
        request(cases[i].target);
        facts = build();
        assert_string_equal(wsi_facts_target(facts), cases[i].target);
        assert_string_equal(wsi_facts_path(facts), cases[i].path);
        if (strchr(cases[i].target, '?') == NULL && cases[i].path[0] != '\0')
            assert_int_equal(wsi_facts_size(facts),
                             wsi_facts_size(bare) - 1 + len + cases[i].extra);
        wsi_facts_free(facts);
        wsi_facts_free(bare);
    }
}

static void queries_are_decoded(void **state)
{
    struct wsi_facts *facts;

    (void)state;
    request("/?a=1&b=%C3%A9+x&a=2&c&d=&e=x%3D%26y&f=%00&g=%zz&h%00=1&=v&z=last");
    facts = build();
    assert_string_equal(wsi_facts_query(facts, "a"), "1");
    assert_string_equal(wsi_facts_query(facts, "b"), "\xC3\xA9 x");
    assert_string_equal(wsi_facts_query(facts, "c"), "");
    assert_string_equal(wsi_facts_query(facts, "d"), "");
    assert_string_equal(wsi_facts_query(facts, "e"), "x=&y");
    assert_string_equal(wsi_facts_query(facts, "z"), "last");
    assert_null(wsi_facts_query(facts, "f")); /* NUL: left out, not cut */
    assert_null(wsi_facts_query(facts, "g"));
    assert_null(wsi_facts_query(facts, "h"));
    assert_null(wsi_facts_query(facts, "A"));
    assert_non_null(
        strstr(pairs(facts, WSOCK_FIELDS_QUERY), "a=1;b=\xC3\xA9 x;a=2;c=;d=;e="));
    wsi_facts_free(facts);
}

static void query_names_above_ascii_are_no_header_names(void **state)
{
    struct wsi_facts *facts;

    (void)state;
    request("/?%80=1&%81x=2");
    facts = build();
    assert_string_equal(wsi_facts_query(facts, "\x80"), "1");
    assert_string_equal(wsi_facts_query(facts, "\x81x"), "2");
    wsi_facts_free(facts);
}

static void at_most_256_pairs_are_kept(void **state)
{
    static char target[2100];
    struct wsi_facts *facts;
    const char *name, *value;
    size_t len = (size_t)snprintf(target, sizeof target, "/?");

    (void)state;
    for (int i = 0; i < 300; i++)
        len += (size_t)snprintf(target + len, sizeof target - len, "n%d&", i);
    request(target);
    field("Cookie", target);
    facts = build();
    assert_non_null(wsi_facts_query(facts, "n255"));
    assert_null(wsi_facts_query(facts, "n256"));
    assert_int_equal(wsi_facts_field_at(facts, &name, &value, WSOCK_FIELDS_QUERY, 255),
                     0);
    assert_string_equal(name, "n255");
    assert_int_equal(wsi_facts_field_at(facts, &name, &value, WSOCK_FIELDS_QUERY, 256),
                     WSOCK_ENOENT);
    wsi_facts_free(facts);
}

static void cookies_of_all_fields_are_listed(void **state)
{
    struct wsi_facts *facts;

    (void)state;
    request("/");
    field("Cookie", "a=1; b=2");
    field("cookie", "a=3; c=x=y");
    facts = build();
    assert_string_equal(pairs(facts, WSOCK_FIELDS_COOKIE), "a=1;b=2;a=3;c=x=y;");
    assert_string_equal(wsi_facts_cookie(facts, "a"), "1");
    assert_string_equal(wsi_facts_cookie(facts, "c"), "x=y");
    assert_string_equal(wsi_facts_header(facts, "Cookie"), "a=1; b=2");
    wsi_facts_free(facts);
}

static void captures_are_decoded(void **state)
{
    static const struct wsi_capture captures[] = {
        {"room", {"a%2Fb+%C3%A9", 12}},
        {"bad", {"x%00", 4}},
        {"rest", {"c/d", 3}},
    };
    struct wsi_facts *facts = NULL;

    (void)state;
    request("/chat/x");
    assert_int_equal(wsi_facts_from_request(&facts, &whence, &head, captures, 3), 0);
    assert_string_equal(wsi_facts_param(facts, "room"), "a/b+\xC3\xA9");
    assert_string_equal(wsi_facts_param(facts, "rest"), "c/d");
    assert_null(wsi_facts_param(facts, "bad"));
    assert_null(wsi_facts_param(facts, "Room"));
    assert_string_equal(pairs(facts, WSOCK_FIELDS_PARAM), "room=a/b+\xC3\xA9;rest=c/d;");
    wsi_facts_free(facts);
}

static void credentials_are_those_of_the_only_header(void **state)
{
    static const char basic[] = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
    struct wsi_facts *facts;

    (void)state;
    request("/");
    field("authorization", basic);
    field("Cookie", "a=1");
    field("Sec-WebSocket-Protocol", "chat");
    facts = build();
    assert_string_equal(wsi_facts_basic_user(facts), "Aladdin");
    assert_string_equal(wsi_facts_basic_password(facts), "open sesame");
    assert_null(wsi_facts_bearer_token(facts));
    assert_string_equal(wsi_facts_header(facts, "Authorization"), basic);
    /* What stands beside them is what it was. */
    assert_string_equal(pairs(facts, WSOCK_FIELDS_COOKIE), "a=1;");
    assert_int_equal(wsi_facts_set_subprotocol(facts, "chat"), 0);
    assert_string_equal(wsi_facts_basic_password(facts), "open sesame");
    wsi_facts_free(facts);
    field("AUTHORIZATION", basic);
    facts = build();
    assert_null(wsi_facts_basic_user(facts));
    assert_null(wsi_facts_basic_password(facts));
    wsi_facts_free(facts);

    request("/");
    field("Authorization", "Bearer a.b.c==");
    facts = build();
    assert_string_equal(wsi_facts_bearer_token(facts), "a.b.c==");
    assert_null(wsi_facts_basic_user(facts));
    assert_null(wsi_facts_basic_password(facts));
    wsi_facts_free(facts);
    field("Authorization", "Bearer a.b.c==");
    facts = build();
    assert_null(wsi_facts_bearer_token(facts));
    wsi_facts_free(facts);

    facts = (request("/"), build());
    assert_null(wsi_facts_bearer_token(facts));
    assert_null(wsi_facts_basic_user(facts));
    wsi_facts_free(facts);
}

static void the_subprotocol_is_one_that_was_offered(void **state)
{
    struct wsi_facts *facts;

    (void)state;
    request("/");
    field("Sec-WebSocket-Protocol", "chat, longest.of.them.all");
    field("X-Other", "other");
    field("sec-websocket-protocol", "third");
    facts = build();
    assert_string_equal(wsi_facts_subprotocol(facts), "");
    assert_true(wsi_facts_offers(facts, "chat"));
    assert_true(wsi_facts_offers(facts, "third"));
    assert_false(wsi_facts_offers(facts, "Chat"));
    assert_false(wsi_facts_offers(facts, "cha"));
    assert_false(wsi_facts_offers(facts, "other"));
    assert_false(wsi_facts_offers(facts, ""));
    assert_int_equal(wsi_facts_set_subprotocol(facts, "other"), WSOCK_EINVAL);
    assert_string_equal(wsi_facts_subprotocol(facts), "");
    assert_int_equal(wsi_facts_set_subprotocol(facts, "longest.of.them.all"), 0);
    assert_string_equal(wsi_facts_subprotocol(facts), "longest.of.them.all");
    assert_string_equal(pairs(facts, WSOCK_FIELDS_COOKIE), "");
    wsi_facts_free(facts);
}

static void a_response_tells_fields_and_subprotocol(void **state)
{
    struct wsi_facts *facts = NULL;

    (void)state;
    memset(&head, 0, sizeof head);
    head.status = 101;
    field("Sec-WebSocket-Accept", "x");
    field("Sec-WebSocket-Protocol", "chat");
    field("Set-Cookie", "a=1");
    assert_int_equal(wsi_facts_from_response(&facts, "192.0.2.1:80", "192.0.2.9:4711",
                                             &head), 0);
    assert_string_equal(wsi_facts_method(facts), "");
    assert_string_equal(wsi_facts_target(facts), "");
    assert_string_equal(wsi_facts_path(facts), "");
    assert_string_equal(wsi_facts_header(facts, "set-cookie"), "a=1");
    assert_string_equal(wsi_facts_subprotocol(facts), "chat");
    assert_string_equal(wsi_facts_local(facts), "192.0.2.9:4711");
    assert_int_equal(wsi_facts_set_subprotocol(facts, "chat"), 0);
    assert_int_equal(wsi_facts_set_subprotocol(facts, "other"), WSOCK_EINVAL);
    assert_string_equal(wsi_facts_subprotocol(facts), "chat");
    wsi_facts_free(facts);
    head.count = 1;
    assert_int_equal(wsi_facts_from_response(&facts, "192.0.2.1:80", "192.0.2.9:4711",
                                             &head), 0);
    assert_string_equal(wsi_facts_subprotocol(facts), "");
    wsi_facts_free(facts);
}

static void walks_end_and_unknown_kinds_are_refused(void **state)
{
    const char *name = "old", *value = "old";
    struct wsi_facts *facts;

    (void)state;
    request("/?a");
    usual_fields();
    facts = build();
    assert_int_equal(wsi_facts_field_at(facts, &name, &value, 0, 5), WSOCK_ENOENT);
    assert_int_equal(wsi_facts_field_at(facts, &name, &value, 0, SIZE_MAX), WSOCK_ENOENT);
    assert_int_equal(wsi_facts_field_at(facts, &name, &value, -1, 0), WSOCK_EINVAL);
    assert_int_equal(wsi_facts_field_at(facts, &name, &value, 4, 0), WSOCK_EINVAL);
    assert_string_equal(name, "old");
    assert_string_equal(value, "old");
    wsi_facts_free(facts);
}

static void an_absurd_size_is_refused(void **state)
{
    struct wsi_facts *facts = NULL;

    (void)state;
    request("/");
    field("X", "x");
    head.fields[0].value.len = ((size_t)1 << 27) + 1; /* never looked at */
    assert_int_equal(wsi_facts_from_request(&facts, &whence, &head, NULL, 0),
                     WSOCK_ETOOBIG);
    assert_null(facts);
}

static void a_failed_allocation_is_reported(void **state)
{
    struct wsi_facts *facts = NULL;
    int r = 0;

    (void)state;
    request("/a%20b?x=1");
    usual_fields();
    FOR_EACH_OOM(r, r = wsi_facts_from_request(&facts, &whence, &head, NULL, 0),
                 wsi_facts_free(facts));
    wsi_facts_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_plain_request_is_read_back),
        TEST(a_plain_request_is_smaller_than_its_head),
        TEST(names_keep_their_spelling),
        TEST(header_values_stay_bytes),
        TEST(paths_are_decoded_and_stored_once),
        TEST(queries_are_decoded),
        TEST(query_names_above_ascii_are_no_header_names),
        TEST(at_most_256_pairs_are_kept),
        TEST(cookies_of_all_fields_are_listed),
        TEST(captures_are_decoded),
        TEST(credentials_are_those_of_the_only_header),
        TEST(the_subprotocol_is_one_that_was_offered),
        TEST(a_response_tells_fields_and_subprotocol),
        TEST(walks_end_and_unknown_kinds_are_refused),
        TEST(an_absurd_size_is_refused),
        TEST(a_failed_allocation_is_reported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
