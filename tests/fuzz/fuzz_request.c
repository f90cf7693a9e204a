/* SPDX-License-Identifier: MIT */
/*
 * The head of a request, on its whole way through a server: the end of the head, parsing,
 * the check of the handshake, the origin, the route, and what is kept of it. An upgrade
 * is answered, and the answer has to satisfy a client; a refusal has to be readable.
 */
#include "head.h"

#include <wsock/error.h>
#include <wsock/request.h>

#include "conn/facts.h"
#include "conn/route.h"
#include "proto/base64.h"
#include "proto/handshake.h"
#include "proto/origin.h"
#include "proto/url.h"

static const char *const patterns[] = {
    "/", "/chat", "/chat/{room}", "/chat/{room}/{user}", "/a b", "/files/{rest...}",
};

static const struct wsi_routes *routes(void)
{
    static struct wsi_routes table;

    if (table.root != NULL)
        return &table;
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
        CHECK(wsi_routes_add(&table, patterns[i], (void *)(uintptr_t)patterns[i], NULL) ==
              0);
    return &table;
}

/* ---- the target ---- */

static void decode(struct wsi_str text, bool form)
{
    char *out = fuzz_copy(text.ptr, text.len);
    const struct wsi_str own = {out, text.len};
    size_t size = 0;

    if (wsi_percent_decode(own, form, out, &size)) /* in its own memory */
        CHECK(size <= text.len);
    free(out);
}

static void walk_query(struct wsi_str query)
{
    const struct wsi_str whole = query;
    struct wsi_str name, value;

    while (wsi_query_next(&query, &name, &value)) {
        CHECK(fuzz_lies_inside(name, whole.ptr, whole.len));
        CHECK(fuzz_lies_inside(value, whole.ptr, whole.len));
        decode(name, true);
        decode(value, true);
    }
    CHECK(query.len == 0);
}

static void walk_cookies(struct wsi_str cookies)
{
    const struct wsi_str whole = cookies;
    struct wsi_str name, value;

    while (wsi_cookie_next(&cookies, &name, &value)) {
        CHECK(name.len != 0 && fuzz_lies_inside(name, whole.ptr, whole.len));
        CHECK(fuzz_lies_inside(value, whole.ptr, whole.len));
    }
}

static unsigned match(struct wsi_str target, struct wsi_capture *captures)
{
    struct wsi_target split;
    unsigned count = 0;
    const char *pattern;

    if (!wsi_target_split(target, &split))
        return 0;
    CHECK(split.path.len != 0 && split.path.ptr[0] == '/');
    decode(split.path, false);
    walk_query(split.query);
    pattern = wsi_routes_match(routes(), captures, &count, split.path);
    if (pattern == NULL)
        return 0;
    CHECK(count <= WSI_CAPTURES_MAX);
    for (unsigned i = 0; i < count; i++) {
        CHECK(strstr(pattern, captures[i].name) != NULL);
        CHECK(fuzz_lies_inside(captures[i].value, target.ptr, target.len));
        CHECK(captures[i].value.len != 0 || strcmp(pattern, "/") != 0);
    }
    return count;
}

/* ---- what is kept ---- */

static void check_facts(const struct wsi_facts *facts, const struct wsi_http_head *head)
{
    const char *name, *value;
    struct wsi_str protocol;
    unsigned cursor = 0;
    size_t count = 0;

    CHECK(wsi_str_equal(wsi_str_of(wsi_facts_method(facts)), head->method));
    CHECK(wsi_str_equal(wsi_str_of(wsi_facts_target(facts)), head->target));
    CHECK(strlen(wsi_facts_path(facts)) <= head->target.len + 1);
    for (; wsi_facts_field_at(facts, &name, &value, WSOCK_FIELDS_HEADER, count) == 0;
         count++) {
        CHECK(wsi_str_equal(wsi_str_of(name), head->fields[count].name));
        CHECK(wsi_str_equal(wsi_str_of(value), head->fields[count].value));
    }
    CHECK(count == head->count);
    for (int kind = WSOCK_FIELDS_PARAM; kind <= WSOCK_FIELDS_COOKIE; kind++)
        for (size_t i = 0; wsi_facts_field_at(facts, &name, &value, kind, i) == 0; i++)
            CHECK(strlen(name) + strlen(value) < wsi_facts_size(facts));
    while (wsi_handshake_next_protocol(head, &cursor, &protocol)) {
        char *text = fuzz_text(protocol.ptr, protocol.len);

        CHECK(wsi_facts_offers(facts, text));
        free(text);
    }
}

/* Written again as a client would write it, a user and a password are what came. */
static void check_credentials(const struct wsi_facts *facts)
{
    const char *user = wsi_facts_basic_user(facts);
    const char *password = wsi_facts_basic_password(facts);
    const char *token = wsi_facts_bearer_token(facts);
    const char *value = wsi_facts_header(facts, "Authorization");
    char *plain, *encoded;
    size_t len;

    CHECK((user == NULL) == (password == NULL) && (user == NULL || token == NULL));
    if (token != NULL)
        CHECK(strcmp(value + strlen(value) - strlen(token), token) == 0);
    if (user == NULL)
        return;
    len = strlen(user) + 1 + strlen(password);
    plain = malloc(len + 1);
    encoded = malloc(WSI_BASE64_LEN(len) + 1);
    CHECK(plain != NULL && encoded != NULL && strchr(user, ':') == NULL);
    snprintf(plain, len + 1, "%s:%s", user, password);
    wsi_base64_encode(encoded, plain, len);
    CHECK(strcmp(strrchr(value, ' ') + 1, encoded) == 0);
    free(plain);
    free(encoded);
}

static void keep(const struct wsi_http_head *head)
{
    struct wsi_capture captures[WSI_CAPTURES_MAX];
    const unsigned count = match(head->target, captures);
    const struct wsi_whence whence = {
        .remote = "127.0.0.1:5", .peer = "127.0.0.1:5", .local = "127.0.0.1:6"};
    struct wsi_facts *facts = NULL;
    struct wsi_str protocol;
    unsigned cursor = 0;

    CHECK(wsi_facts_from_request(&facts, &whence, head, captures, count) == 0);
    check_facts(facts, head);
    check_credentials(facts);
    if (wsi_handshake_next_protocol(head, &cursor, &protocol)) {
        char *text = fuzz_text(protocol.ptr, protocol.len);

        CHECK(wsi_facts_set_subprotocol(facts, text) == 0);
        CHECK(strcmp(wsi_facts_subprotocol(facts), text) == 0);
        free(text);
    }
    wsi_facts_free(facts);
}

/* ---- the answer ---- */

static void accept_upgrade(const struct wsi_http_head *request)
{
    const struct wsi_str key = wsi_http_find(request, WSI_STR("Sec-WebSocket-Key"), 0)
                                   ->value;
    static struct wsi_http_head answer;
    struct wsi_str protocol = {0}, chosen;
    struct wsi_http_refusal refusal;
    struct wsi_buf out = {0};
    unsigned cursor = 0;

    CHECK(wsi_str_equal(request->method, WSI_STR("GET")) && key.len == WSI_KEY_SIZE);
    wsi_handshake_next_protocol(request, &cursor, &protocol);
    CHECK(wsi_handshake_write_accept(&out, key, protocol, WSI_STR(""), WSI_STR(""),
                                     FUZZ_WRITE_MAX) == 0);
    fuzz_parse_written(&out, &answer);
    CHECK(wsi_handshake_check_response(&answer, key, protocol, false, &chosen,
                                       &refusal) == 0);
    CHECK(wsi_str_equal(chosen, protocol));
    wsi_buf_fini(&out);
}

static void refuse(const struct wsi_http_refusal *refusal)
{
    static struct wsi_http_head answer;
    struct wsi_buf out = {0};

    CHECK(refusal->status >= 400 && refusal->status < 600);
    CHECK(refusal->why != NULL && wsi_http_reason(refusal->status)[0] != '\0');
    CHECK(wsi_http_write_response(&out, refusal->status, WSI_STR("text/plain"),
                                  WSI_STR(""), refusal->why, strlen(refusal->why), false,
                                  FUZZ_WRITE_MAX) == 0);
    fuzz_parse_written(&out, &answer);
    CHECK(answer.status == refusal->status);
    CHECK(out.len > strlen(refusal->why) &&
          memcmp(out.data + out.len - strlen(refusal->why), refusal->why,
                 strlen(refusal->why)) == 0);
    wsi_buf_fini(&out);
}

/* ---- the origin ---- */

static bool ends_with(struct wsi_str text, struct wsi_str end)
{
    return text.len > end.len &&
           wsi_str_equal_nocase((struct wsi_str){text.ptr + text.len - end.len, end.len},
                                end);
}

static bool begins_with(struct wsi_str text, struct wsi_str start)
{
    return text.len > start.len &&
           wsi_str_equal_nocase((struct wsi_str){text.ptr, start.len}, start);
}

/* What a list may let in, told by the text alone. */
static void check_origin(const struct wsi_http_head *head, bool secure)
{
    const struct wsi_http_field *origin = wsi_http_find(head, WSI_STR("Origin"), 0);
    const struct wsi_http_field *field = wsi_http_find(head, WSI_STR("Host"), 0);
    const struct wsi_str host = field != NULL ? field->value : WSI_STR("");
    const bool one = wsi_http_find(head, WSI_STR("Origin"), 1) == NULL;
    char *itself;

    CHECK(wsi_origin_is_allowed(head, host, secure, "*") == one);
    CHECK(wsi_origin_is_allowed(head, host, secure, "") ==
          wsi_origin_is_allowed(head, host, secure, "same"));
    if (origin == NULL || !one)
        return;
    if (wsi_origin_is_allowed(head, host, secure, ""))
        CHECK(begins_with(origin->value, WSI_STR("http")) && host.len > 0);
    if (wsi_origin_is_allowed(head, host, secure, "https://*.a.example"))
        CHECK(begins_with(origin->value, WSI_STR("https://")) &&
              memchr(origin->value.ptr + 8, '/', origin->value.len - 8) == NULL &&
              (ends_with(origin->value, WSI_STR(".a.example")) ||
               ends_with(origin->value, WSI_STR("443"))));
    itself = fuzz_text(origin->value.ptr, origin->value.len);
    if (wsi_origin_check_entry(origin->value) == NULL && strpbrk(itself, "*,") == NULL &&
        strcasecmp(itself, "same") != 0)
        CHECK(wsi_origin_is_allowed(head, host, secure, itself));
    free(itself);
}

static void check_head(const uint8_t *data, size_t len)
{
    static struct wsi_http_head head;
    struct wsi_http_refusal refusal = {0};
    const struct wsi_http_field *field;
    bool is_upgrade = false;

    if (wsi_http_parse_request(data, len, FUZZ_FIELDS_MAX, &head, &refusal) < 0) {
        refuse(&refusal);
        return;
    }
    fuzz_check_fields(&head, (struct wsi_str){(const char *)data, len});
    CHECK(wsi_http_is_token(head.method) && head.target.len != 0);
    for (unsigned i = 0; (field = wsi_http_find(&head, WSI_STR("Cookie"), i)) != NULL;
         i++)
        walk_cookies(field->value);
    check_origin(&head, false);
    check_origin(&head, true);
    keep(&head);
    if (wsi_handshake_check_request(&head, &is_upgrade, &refusal) < 0)
        refuse(&refusal);
    else if (is_upgrade)
        accept_upgrade(&head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const size_t end = fuzz_head_end(data, len);
    uint8_t *head;

    if (end == 0)
        return 0;
    head = fuzz_copy(data, end);
    check_head(head, end);
    free(head);
    return 0;
}
