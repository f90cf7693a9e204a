/* SPDX-License-Identifier: MIT */
/*
 * The head of a server's answer, on its way through a client. The key is the one of RFC
 * 6455 section 1.3, so that seeds hold its well-known answer; the request for it is
 * written here and has to satisfy a server.
 */
#include "head.h"

#include <wsock/error.h>

#include "conn/facts.h"
#include "proto/handshake.h"

static const struct wsi_str key = {"dGhlIHNhbXBsZSBub25jZQ==", WSI_KEY_SIZE};
static const struct wsi_str offers[] = {{"", 0}, {"chat", 4}, {"soap, chat,v2.x", 15}};

static bool offer_has(struct wsi_str offer, struct wsi_str protocol)
{
    struct wsi_str element;

    while (wsi_http_list_next(&offer, &element))
        if (wsi_str_equal(element, protocol))
            return true;
    return false;
}

/* Of a field that lists nothing no extension comes. */
static bool names_extension(const struct wsi_http_head *head)
{
    static const char commas[] = ", \t";
    const struct wsi_http_field *field;

    for (unsigned i = 0;
         (field = wsi_http_find(head, WSI_STR("Sec-WebSocket-Extensions"), i)) != NULL;
         i++)
        for (size_t at = 0; at < field->value.len; at++)
            if (strchr(commas, field->value.ptr[at]) == NULL)
                return true;
    return false;
}

static void check_kept(const struct wsi_http_head *head, struct wsi_str protocol)
{
    struct wsi_facts *facts = NULL;

    CHECK(wsi_facts_from_response(&facts, "[::1]:5", "[::1]:6", head) == 0);
    CHECK(wsi_str_equal(wsi_str_of(wsi_facts_subprotocol(facts)), protocol));
    CHECK(wsi_facts_header(facts, "upgrade") != NULL);
    wsi_facts_free(facts);
}

static void check_handshake(const struct wsi_http_head *head, struct wsi_str offer,
                            bool extensions)
{
    struct wsi_http_refusal refusal = {.status = 7};
    struct wsi_str protocol = {"?", 1};

    if (wsi_handshake_check_response(head, key, offer, extensions, &protocol, &refusal) <
        0) {
        CHECK(refusal.why != NULL);
        CHECK(refusal.status == (head->status == 101 ? 0 : head->status));
        return;
    }
    CHECK(head->status == 101);
    CHECK(protocol.len == 0 || offer_has(offer, protocol));
    CHECK(extensions || !names_extension(head));
    check_kept(head, protocol);
}

static void check_head(const uint8_t *data, size_t len)
{
    static struct wsi_http_head head;
    struct wsi_http_refusal refusal = {.status = 7};

    if (wsi_http_parse_response(data, len, FUZZ_FIELDS_MAX, &head, &refusal) < 0) {
        CHECK(refusal.status == 0 && refusal.why != NULL);
        return;
    }
    CHECK(head.status >= 100 && head.status <= 999 && head.method.len == 0);
    CHECK(fuzz_lies_inside(head.reason, data, len));
    fuzz_check_fields(&head, (struct wsi_str){(const char *)data, len});
    for (size_t i = 0; i < sizeof offers / sizeof offers[0]; i++) {
        check_handshake(&head, offers[i], false);
        check_handshake(&head, offers[i], true);
    }
}

/* Once is enough: nothing of it comes from the input. */
static void check_requests(void)
{
    static struct wsi_http_head head;
    struct wsi_http_refusal refusal;
    bool is_upgrade = false;

    for (size_t i = 0; i < sizeof offers / sizeof offers[0]; i++) {
        const struct wsi_handshake_request request = {
            .host = WSI_STR("a.example:8080"),
            .target = WSI_STR("/chat?a=b"),
            .key = key,
            .protocols = offers[i],
            .headers = WSI_STR("Origin: http://a.example\r\n"),
        };
        struct wsi_buf out = {0};

        CHECK(wsi_handshake_write_request(&out, &request, FUZZ_WRITE_MAX) == 0);
        CHECK(fuzz_head_end(out.data, out.len) == out.len);
        CHECK(wsi_http_parse_request(out.data, out.len, FUZZ_FIELDS_MAX, &head,
                                     &refusal) == 0);
        CHECK(wsi_handshake_check_request(&head, &is_upgrade, &refusal) == 0);
        CHECK(is_upgrade);
        wsi_buf_fini(&out);
    }
}

/* Every status that a server can answer with reaches the client as it was meant. */
static void check_statuses(void)
{
    static struct wsi_http_head head;
    struct wsi_http_refusal refusal;
    struct wsi_str protocol;

    for (unsigned status = 100; status <= 999; status++) {
        struct wsi_buf out = {0};

        if (status == 101)
            continue;
        CHECK(wsi_http_write_response(&out, status, WSI_STR("text/plain"), WSI_STR(""),
                                      "why", 3, false, FUZZ_WRITE_MAX) == 0);
        fuzz_parse_written(&out, &head);
        CHECK(head.status == status);
        CHECK(wsi_str_equal(head.reason, wsi_str_of(wsi_http_reason(status))));
        CHECK(wsi_handshake_check_response(&head, key, offers[0], false, &protocol,
                                           &refusal) < 0);
        CHECK(refusal.status == status && strlen(refusal.why) != 0);
        wsi_buf_fini(&out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static bool writers_are_checked;
    const size_t end = fuzz_head_end(data, len);
    uint8_t *head;

    if (!writers_are_checked) {
        check_requests();
        check_statuses();
    }
    writers_are_checked = true;
    if (end == 0)
        return 0;
    head = fuzz_copy(data, end);
    check_head(head, end);
    free(head);
    return 0;
}
