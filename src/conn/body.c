/* SPDX-License-Identifier: MIT */
/*
 * The body of a plain request (RFC 9112 section 6): taken only where the option
 * max_body_bytes lets one come, whole before the application hears of the request, and
 * never in chunks. The connection ends behind the answer, so what comes behind the body
 * is nobody's request.
 */
#include "conn/body.h"

#include <string.h>

#include <wsock/error.h>

#include "conn/conn.h"
#include "conn/extra.h"
#include "conn/opening.h"
#include "conn/service.h"
#include "core/blob.h"

static size_t limit_of(const struct wsock_conn *conn)
{
    return (size_t)wsi_option(wsi_service_options(conn->owner), WSI_OPT_MAX_BODY_BYTES);
}

bool wsi_body_is_welcome(const struct wsock_conn *conn)
{
    return limit_of(conn) > 0;
}

static bool has(const struct wsi_http_head *head, struct wsi_str name)
{
    return wsi_http_find(head, name, 0) != NULL;
}

/* The head was accepted: a length is digits only. @return more than limit for all that
 * is. */
static size_t length_of(const struct wsi_http_head *head, size_t limit)
{
    const struct wsi_http_field *field = wsi_http_find(head, WSI_STR("Content-Length"),
                                                       0);
    size_t length = 0;

    for (size_t i = 0; field != NULL && i < field->value.len && length <= limit; i++)
        length = length * 10 + (size_t)(field->value.ptr[i] - '0');
    return length;
}

/* For the application to have. @return false when the request has been refused. */
static bool keep(struct wsock_conn *conn)
{
    struct wsi_opening *opening = conn->opening;
    struct wsi_extra *extra = wsi_conn_extra(conn);
    struct wsi_blob *body = extra != NULL ? wsi_blob_new(opening->body_length) : NULL;

    if (body == NULL) {
        wsi_reply_text(conn, 503, wsock_strerror(WSOCK_ENOMEM));
        return false;
    }
    if (opening->body_length > 0)
        memcpy(body->data, opening->in.data, opening->body_length);
    body->len = opening->body_length;
    extra->body = body;
    wsi_buf_fini(&opening->in);
    return true;
}

bool wsi_body_begin(struct wsock_conn *conn, const struct wsi_http_head *head,
                    size_t head_len)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n"; /* RFC 9110, 15.2.1 */
    struct wsi_opening *opening = conn->opening;
    const size_t limit = limit_of(conn);
    const size_t length = length_of(head, limit);
    const bool waits = head->minor > 0 && wsi_http_list_has(head, WSI_STR("Expect"),
                                                            WSI_STR("100-continue"));

    if (has(head, WSI_STR("Transfer-Encoding"))) {
        wsi_reply_text(conn, 411, "a body needs a Content-Length here");
        return false;
    }
    if (length > limit) {
        wsi_reply_text(conn, 413, "the body is larger than max_body_bytes");
        return false;
    }
    wsi_buf_consume(&opening->in, head_len); /* from here on, head is void */
    opening->body_length = length;
    opening->phase = WSI_OPENING_BODY;
    if (opening->in.len >= length)
        return keep(conn);
    if (waits && wsi_opening_write(conn, go_on, sizeof go_on - 1) < 0)
        wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_NO_MEMORY, WSOCK_BY_US, NULL);
    return false;
}

bool wsi_body_receive(struct wsock_conn *conn, const uint8_t *data, size_t len)
{
    struct wsi_opening *opening = conn->opening;
    const size_t missing = opening->body_length - opening->in.len;

    if (wsi_buf_append(&opening->in, data, len < missing ? len : missing,
                       opening->body_length) < 0) {
        wsi_reply_text(conn, 503, wsock_strerror(WSOCK_ENOMEM));
        return false;
    }
    return opening->in.len >= opening->body_length && keep(conn);
}
