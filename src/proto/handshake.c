/* SPDX-License-Identifier: MIT */
/*
 * What both ends demand of the opening handshake, RFC 6455 section 4. Heads come here
 * parsed and sound (http_parse.c); this decides whether they open a WebSocket. Origins,
 * paths and the meaning of extensions are the caller's to judge.
 */
#include "proto/handshake.h"

#include <assert.h>

#include "proto/base64.h"
#include "proto/http_reason.h"
#include "proto/sha1.h"

enum { KEY_BYTES = 16 };

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* section 1.3 */

static int refuse(struct wsi_http_refusal *refusal, unsigned status, const char *why)
{
    *refusal = (struct wsi_http_refusal){status, why};
    return -1;
}

/* ---- the key ---- */

static bool key_is_valid(struct wsi_str key)
{
    uint8_t bytes[WSI_KEY_SIZE / 4 * 3];

    return key.len == WSI_KEY_SIZE && wsi_base64_decode(bytes, key) == KEY_BYTES;
}

void wsi_handshake_make_key(char out[WSI_KEY_SIZE + 1], const uint8_t random[16])
{
    wsi_base64_encode(out, random, KEY_BYTES);
}

void wsi_handshake_accept_key(char out[29], struct wsi_str key)
{
    uint8_t text[WSI_KEY_SIZE + sizeof GUID - 1], digest[WSI_SHA1_SIZE];

    assert(key.len == WSI_KEY_SIZE);
    memcpy(text, key.ptr, WSI_KEY_SIZE);
    memcpy(text + WSI_KEY_SIZE, GUID, sizeof GUID - 1);
    wsi_sha1(digest, text, sizeof text);
    wsi_base64_encode(out, digest, sizeof digest);
}

/* ---- server ---- */

static bool has_body(const struct wsi_http_head *head)
{
    const struct wsi_http_field *length = wsi_http_find(head, WSI_STR("Content-Length"),
                                                        0);

    if (wsi_http_find(head, WSI_STR("Transfer-Encoding"), 0) != NULL)
        return true;
    for (size_t i = 0; length != NULL && i < length->value.len; i++)
        if (length->value.ptr[i] != '0')
            return true;
    return false;
}

/* A version that is no number is answered like another version: the answer names ours. */
static int check_version(const struct wsi_http_head *head,
                         struct wsi_http_refusal *refusal)
{
    const struct wsi_str name = WSI_STR("Sec-WebSocket-Version");
    const struct wsi_http_field *version = wsi_http_find(head, name, 0);

    if (version == NULL)
        return refuse(refusal, 400, "no Sec-WebSocket-Version header");
    if (wsi_http_find(head, name, 1) != NULL)
        return refuse(refusal, 400, "two Sec-WebSocket-Version headers");
    if (!wsi_str_equal(version->value, WSI_STR("13")))
        return refuse(refusal, 426, "only Sec-WebSocket-Version 13 is spoken here");
    return 0;
}

static int check_key(const struct wsi_http_head *head, struct wsi_http_refusal *refusal)
{
    const struct wsi_str name = WSI_STR("Sec-WebSocket-Key");
    const struct wsi_http_field *key = wsi_http_find(head, name, 0);

    if (key == NULL)
        return refuse(refusal, 400, "no Sec-WebSocket-Key header");
    if (wsi_http_find(head, name, 1) != NULL)
        return refuse(refusal, 400, "two Sec-WebSocket-Key headers");
    if (!key_is_valid(key->value))
        return refuse(refusal, 400, "the Sec-WebSocket-Key is not base64 of 16 bytes");
    return 0;
}

/* Two Origins could be judged by one and logged by the other. */
static int check_rest(const struct wsi_http_head *head, struct wsi_http_refusal *refusal)
{
    struct wsi_str protocol;
    unsigned cursor = 0;

    if (wsi_http_find(head, WSI_STR("Origin"), 1) != NULL)
        return refuse(refusal, 400, "two Origin headers");
    while (wsi_handshake_next_protocol(head, &cursor, &protocol))
        if (!wsi_http_is_token(protocol))
            return refuse(refusal, 400,
                          "a subprotocol in Sec-WebSocket-Protocol is not a token");
    if (has_body(head))
        return refuse(refusal, 400, "a WebSocket upgrade with a body");
    return 0;
}

int wsi_handshake_check_request(const struct wsi_http_head *head, bool *is_upgrade,
                                struct wsi_http_refusal *refusal)
{
    if (!wsi_http_list_has(head, WSI_STR("Upgrade"), WSI_STR("websocket"))) {
        *is_upgrade = false;
        return 0;
    }
    if (!wsi_str_equal(head->method, WSI_STR("GET")))
        return refuse(refusal, 405, "a WebSocket is opened with GET");
    if (head->minor != 1)
        return refuse(refusal, 400, "a WebSocket is opened with HTTP/1.1");
    if (!wsi_http_list_has(head, WSI_STR("Connection"), WSI_STR("upgrade")))
        return refuse(refusal, 400, "the Connection header does not name Upgrade");
    if (check_version(head, refusal) < 0 || check_key(head, refusal) < 0 ||
        check_rest(head, refusal) < 0)
        return -1;
    *is_upgrade = true;
    return 0;
}

/* The cursor is an offset from the method, where the bytes of the head begin: a count of
 * elements would cost a walk over all earlier ones at each call. */
bool wsi_handshake_next_protocol(const struct wsi_http_head *head, unsigned *cursor,
                                 struct wsi_str *protocol)
{
    const char *base = head->method.ptr;

    for (unsigned i = 0; i < head->count; i++) {
        struct wsi_str list = head->fields[i].value;
        const size_t start = (size_t)(list.ptr - base), end = start + list.len;

        if (end <= *cursor || !wsi_str_equal_nocase(head->fields[i].name,
                                                    WSI_STR("Sec-WebSocket-Protocol")))
            continue;
        if (start < *cursor) {
            list.ptr = base + *cursor;
            list.len = end - *cursor;
        }
        if (wsi_http_list_next(&list, protocol)) {
            *cursor = (unsigned)(list.ptr - base);
            return true;
        }
    }
    return false;
}

/* ---- client ---- */

static const char *describe_status(unsigned status)
{
    switch (status) {
#define CASE(code, text) \
    case code:           \
        return "the server answered " #code " " text;
        WSI_HTTP_REASON_MAP(CASE)
#undef CASE
    default:
        return "the server answered with another status than 101";
    }
}

/* The value of a field that must stand there once; NULL and *why otherwise. */
static const struct wsi_str *the_one(const struct wsi_http_head *head,
                                     struct wsi_str name, const char *none,
                                     const char *two, const char **why)
{
    const struct wsi_http_field *field = wsi_http_find(head, name, 0);

    if (field == NULL)
        *why = none;
    else if (wsi_http_find(head, name, 1) != NULL)
        *why = two;
    else
        return &field->value;
    return NULL;
}

/* Section 4.1, items 2 to 4. */
static const char *check_upgrade(const struct wsi_http_head *head, struct wsi_str key)
{
    char expected[29];
    const char *why = NULL;
    const struct wsi_str *value = the_one(head, WSI_STR("Upgrade"),
                                          "no Upgrade header in the answer",
                                          "two Upgrade headers in the answer", &why);

    if (value == NULL)
        return why;
    if (!wsi_str_equal_nocase(*value, WSI_STR("websocket")))
        return "the Upgrade header of the answer is not \"websocket\"";
    if (!wsi_http_list_has(head, WSI_STR("Connection"), WSI_STR("upgrade")))
        return "the Connection header of the answer does not name Upgrade";
    value = the_one(head, WSI_STR("Sec-WebSocket-Accept"),
                    "no Sec-WebSocket-Accept header in the answer",
                    "two Sec-WebSocket-Accept headers in the answer", &why);
    if (value == NULL)
        return why;
    wsi_handshake_accept_key(expected, key);
    if (!wsi_str_equal(*value, wsi_str_of(expected)))
        return "the Sec-WebSocket-Accept of the answer does not match the key";
    return NULL;
}

/* Section 4.1, item 6; the case of a subprotocol counts. */
static const char *check_protocol(const struct wsi_http_head *head,
                                  struct wsi_str offered, struct wsi_str *protocol)
{
    const struct wsi_str name = WSI_STR("Sec-WebSocket-Protocol");
    const struct wsi_http_field *field = wsi_http_find(head, name, 0);
    struct wsi_str element;

    if (field == NULL)
        return NULL;
    if (wsi_http_find(head, name, 1) != NULL)
        return "two Sec-WebSocket-Protocol headers in the answer";
    while (wsi_http_list_next(&offered, &element)) {
        if (!wsi_str_equal(element, field->value))
            continue;
        *protocol = field->value;
        return NULL;
    }
    return "the server chose a subprotocol that was not offered";
}

/* What follows a 101 is frames, so it announces no body (RFC 9110 section 8.6). */
static const char *check_framing(const struct wsi_http_head *head)
{
    if (wsi_http_find(head, WSI_STR("Content-Length"), 0) != NULL)
        return "a Content-Length header in a 101 answer";
    if (wsi_http_find(head, WSI_STR("Transfer-Encoding"), 0) != NULL)
        return "a Transfer-Encoding header in a 101 answer";
    return NULL;
}

/* Section 4.1, item 5. A field without elements names no extension. */
static bool names_extension(const struct wsi_http_head *head)
{
    const struct wsi_str name = WSI_STR("Sec-WebSocket-Extensions");
    const struct wsi_http_field *field;
    struct wsi_str element;

    for (unsigned n = 0; (field = wsi_http_find(head, name, n)) != NULL; n++) {
        struct wsi_str list = field->value;

        if (wsi_http_list_next(&list, &element))
            return true;
    }
    return false;
}

int wsi_handshake_check_response(const struct wsi_http_head *head, struct wsi_str key,
                                 struct wsi_str offered, bool extensions_offered,
                                 struct wsi_str *protocol,
                                 struct wsi_http_refusal *refusal)
{
    struct wsi_str chosen = {"", 0};
    const char *why;

    if (head->status != 101)
        return refuse(refusal, head->status, describe_status(head->status));
    if (head->minor != 1)
        return refuse(refusal, 0,
                      "the server answered 101 in another version than HTTP/1.1");
    why = check_upgrade(head, key);
    if (why == NULL)
        why = check_framing(head);
    if (why == NULL && !extensions_offered && names_extension(head))
        why = "the server chose an extension, and none was offered";
    if (why == NULL)
        why = check_protocol(head, offered, &chosen);
    if (why != NULL)
        return refuse(refusal, 0, why);
    *protocol = chosen;
    return 0;
}
