/* SPDX-License-Identifier: MIT */
/*
 * The heads that we send: requests for an upgrade, 101, and every other answer. Each is
 * put together from parts whose size is known first, so that a buffer takes all of it or
 * stays as it was. Whether values are fit for a header is the caller's to have checked.
 */
#include "proto/handshake.h"

#include <assert.h>

#include <wsock/error.h>

#include "proto/decimal.h"
#include "proto/http_line.h"

enum { PARTS_MAX = 24 };

struct parts {
    size_t count;
    struct wsi_str list[PARTS_MAX];
};

static void add(struct parts *parts, struct wsi_str text)
{
    assert(parts->count < PARTS_MAX);
    parts->list[parts->count++] = text;
}

/* "Name: value" and CRLF; nothing at all for an empty value. */
static void add_field(struct parts *parts, struct wsi_str name_colon,
                      struct wsi_str value)
{
    if (value.len == 0)
        return;
    add(parts, name_colon);
    add(parts, value);
    add(parts, WSI_STR("\r\n"));
}

static int append(struct wsi_buf *out, const struct parts *parts, size_t limit_bytes)
{
    size_t size = 0;
    int r;

    for (size_t i = 0; i < parts->count; i++) {
        if (parts->list[i].len > limit_bytes - size)
            return WSOCK_ETOOBIG;
        size += parts->list[i].len;
    }
    r = wsi_buf_reserve(out, size, limit_bytes);
    for (size_t i = 0; r == 0 && i < parts->count; i++)
        r = wsi_buf_append(out, parts->list[i].ptr, parts->list[i].len, limit_bytes);
    return r;
}

int wsi_handshake_write_accept(struct wsi_buf *out, struct wsi_str key,
                               struct wsi_str protocol, struct wsi_str extensions,
                               struct wsi_str headers, size_t limit_bytes)
{
    struct parts parts = {0};
    char accept[29];

    wsi_handshake_accept_key(accept, key);
    add(&parts, WSI_STR("HTTP/1.1 101 Switching Protocols\r\n"
                        "Upgrade: websocket\r\n"
                        "Connection: Upgrade\r\n"));
    add_field(&parts, WSI_STR("Sec-WebSocket-Accept: "), wsi_str_of(accept));
    add_field(&parts, WSI_STR("Sec-WebSocket-Protocol: "), protocol);
    add_field(&parts, WSI_STR("Sec-WebSocket-Extensions: "), extensions);
    add(&parts, headers);
    add(&parts, WSI_STR("\r\n"));
    return append(out, &parts, limit_bytes);
}

int wsi_handshake_write_request(struct wsi_buf *out,
                                const struct wsi_handshake_request *request,
                                size_t limit_bytes)
{
    struct parts parts = {0};

    add(&parts, WSI_STR("GET "));
    add(&parts, request->target);
    add(&parts, WSI_STR(" HTTP/1.1\r\n"));
    add_field(&parts, WSI_STR("Host: "), request->host);
    add(&parts, WSI_STR("Upgrade: websocket\r\n"
                        "Connection: Upgrade\r\n"));
    add_field(&parts, WSI_STR("Sec-WebSocket-Key: "), request->key);
    add(&parts, WSI_STR("Sec-WebSocket-Version: 13\r\n"));
    add_field(&parts, WSI_STR("Sec-WebSocket-Protocol: "), request->protocols);
    add_field(&parts, WSI_STR("Sec-WebSocket-Extensions: "), request->extensions);
    add(&parts, request->headers);
    add(&parts, WSI_STR("\r\n"));
    return append(out, &parts, limit_bytes);
}

/* ---- answers that open nothing ---- */

static bool lines_have(struct wsi_str lines, struct wsi_str name_colon)
{
    struct wsi_str line;

    while (wsi_http_line_next(&lines, &line)) {
        if (line.len < name_colon.len)
            continue;
        line.len = name_colon.len;
        if (wsi_str_equal_nocase(line, name_colon))
            return true;
    }
    return false;
}

/* RFC 9110 sections 8.6 and 15.4.5: these have no content, and say no length. */
static bool has_content(unsigned status)
{
    return status >= 200 && status != 204 && status != 304;
}

/* What a status demands beside itself: 426 our version (RFC 6455 section 4.4) and the
 * protocol to switch to (RFC 9110 section 15.5.22), 405 the methods (15.5.6). */
static void add_demanded(struct parts *parts, unsigned status, struct wsi_str headers)
{
    if (status == 426)
        add(parts, WSI_STR("Connection: close, Upgrade\r\n"
                           "Upgrade: websocket\r\n"
                           "Sec-WebSocket-Version: 13\r\n"));
    else
        add(parts, WSI_STR("Connection: close\r\n"));
    if (status == 405 && !lines_have(headers, WSI_STR("Allow:")))
        add(parts, WSI_STR("Allow: GET\r\n"));
}

static int write_response(struct wsi_buf *out, unsigned status,
                          struct wsi_str content_type, struct wsi_str headers,
                          uint64_t body_len, struct wsi_str body, size_t limit_bytes)
{
    char code[WSI_DECIMAL_MAX], length[WSI_DECIMAL_MAX];
    struct parts parts = {0};

    assert(status >= 100 && status <= 999);
    add(&parts, WSI_STR("HTTP/1.1 "));
    add(&parts, wsi_decimal(code, status));
    add(&parts, WSI_STR(" "));
    add(&parts, wsi_str_of(wsi_http_reason(status)));
    add(&parts, WSI_STR("\r\n"));
    add_demanded(&parts, status, headers);
    if (has_content(status)) {
        add_field(&parts, WSI_STR("Content-Type: "), content_type);
        add_field(&parts, WSI_STR("Content-Length: "), wsi_decimal(length, body_len));
    }
    add(&parts, headers);
    add(&parts, WSI_STR("\r\n"));
    if (has_content(status))
        add(&parts, body);
    return append(out, &parts, limit_bytes);
}

int wsi_http_write_response(struct wsi_buf *out, unsigned status,
                            struct wsi_str content_type, struct wsi_str headers,
                            const void *body, size_t body_len, bool head_only,
                            size_t limit_bytes)
{
    const struct wsi_str sent = {body, head_only ? 0 : body_len};

    return write_response(out, status, content_type, headers, body_len, sent,
                          limit_bytes);
}

int wsi_http_write_response_head(struct wsi_buf *out, unsigned status,
                                 struct wsi_str content_type, struct wsi_str headers,
                                 uint64_t body_len, size_t limit_bytes)
{
    return write_response(out, status, content_type, headers, body_len, WSI_STR(""),
                          limit_bytes);
}
