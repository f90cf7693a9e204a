/* SPDX-License-Identifier: MIT */
/* The growable buffer. */
#include "core/buf.h"

#include <assert.h>
#include <string.h>

#include <wsock/error.h>

#include "core/alloc.h"

enum { SMALLEST = 64 };

void wsi_buf_init(struct wsi_buf *buf)
{
    *buf = (struct wsi_buf){0};
}

void wsi_buf_fini(struct wsi_buf *buf)
{
    wsi_free(buf->data);
    wsi_buf_init(buf);
}

int wsi_buf_reserve(struct wsi_buf *buf, size_t more, size_t limit_bytes)
{
    size_t capacity = buf->capacity;
    uint8_t *data;

    if (buf->len > limit_bytes || more > limit_bytes - buf->len)
        return WSOCK_ETOOBIG;
    if (buf->len + more <= capacity)
        return 0;
    if (capacity < SMALLEST)
        capacity = SMALLEST;
    while (capacity < buf->len + more)
        capacity = capacity > limit_bytes / 2 ? limit_bytes : capacity * 2;
    data = wsi_realloc(buf->data, capacity);
    if (data == NULL)
        return WSOCK_ENOMEM;
    buf->data = data;
    buf->capacity = capacity;
    return 0;
}

int wsi_buf_append(struct wsi_buf *buf, const void *data, size_t len, size_t limit_bytes)
{
    const int r = wsi_buf_reserve(buf, len, limit_bytes);

    if (r < 0)
        return r;
    if (len != 0)
        memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    return 0;
}

int wsi_buf_append_text(struct wsi_buf *buf, const char *text, size_t limit_bytes)
{
    return wsi_buf_append(buf, text, strlen(text), limit_bytes);
}

void wsi_buf_consume(struct wsi_buf *buf, size_t len)
{
    assert(len <= buf->len);
    buf->len -= len;
    if (len != 0 && buf->len != 0)
        memmove(buf->data, buf->data + len, buf->len);
}
