/* SPDX-License-Identifier: MIT */
/* Checking header fields of the application before they reach the wire. */
#include "conn/header.h"

#include <wsock/error.h>

#include "proto/http.h"
#include "proto/http_line.h"

static bool is_ours(struct wsi_str name)
{
    static const char *const ours[] = {
        "Host",
        "Upgrade",
        "Connection",
        "Content-Length",
        "Transfer-Encoding",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Accept",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Extensions",
    };

    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (wsi_str_equal_nocase(name, wsi_str_of(ours[i])))
            return true;
    return false;
}

int wsi_header_append(struct wsi_buf *lines, const char *name, const char *value,
                      size_t limit_bytes)
{
    const size_t before = lines->len;
    const char *const parts[] = {name, ": ", value, "\r\n"};

    if (!wsi_http_is_token(wsi_str_of(name)) || is_ours(wsi_str_of(name)) ||
        !wsi_http_is_field_value(wsi_str_of(value)))
        return WSOCK_EINVAL;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const int r = wsi_buf_append_text(lines, parts[i], limit_bytes);

        if (r < 0) {
            lines->len = before;
            return r;
        }
    }
    return 0;
}

bool wsi_header_is(struct wsi_str line, struct wsi_str name)
{
    return line.len > name.len && line.ptr[name.len] == ':' &&
           wsi_str_equal_nocase((struct wsi_str){line.ptr, name.len}, name);
}

int wsi_header_set(struct wsi_buf *lines, const char *name, const char *value,
                   size_t limit_bytes)
{
    struct wsi_str rest = {(const char *)lines->data, lines->len}, line;
    struct wsi_buf kept = {0};
    int r = wsi_http_is_token(wsi_str_of(name)) ? 0 : WSOCK_EINVAL;

    while (r == 0 && wsi_http_line_next(&rest, &line)) {
        if (wsi_header_is(line, wsi_str_of(name)))
            continue;
        r = wsi_buf_append(&kept, line.ptr, line.len, limit_bytes);
        if (r == 0)
            r = wsi_buf_append(&kept, "\r\n", 2, limit_bytes);
    }
    if (r == 0 && value != NULL)
        r = wsi_header_append(&kept, name, value, limit_bytes);
    if (r < 0) {
        wsi_buf_fini(&kept);
        return r;
    }
    wsi_buf_fini(lines);
    *lines = kept;
    return 0;
}
