/* SPDX-License-Identifier: MIT */
/* A growable run of bytes that never exceeds the maximum its caller names. */
#ifndef WSI_CORE_BUF_H
#define WSI_CORE_BUF_H

#include <stddef.h>
#include <stdint.h>

struct wsi_buf {
    uint8_t *data;
    size_t len;
    size_t capacity;
};

/** All zero is an empty buffer too. */
void wsi_buf_init(struct wsi_buf *buf);

/** Frees the bytes; the buffer is empty and usable again. */
void wsi_buf_fini(struct wsi_buf *buf);

/**
 * Make room for `more` bytes behind data + len, growing by doubling.
 *
 * @param limit_bytes  len + more may not exceed it.
 * @return 0; WSOCK_ETOOBIG; WSOCK_ENOMEM. On failure nothing changed.
 */
int wsi_buf_reserve(struct wsi_buf *buf, size_t more, size_t limit_bytes);

/** Reserve and copy. */
int wsi_buf_append(struct wsi_buf *buf, const void *data, size_t len, size_t limit_bytes);

/** Append a string without its NUL. */
int wsi_buf_append_text(struct wsi_buf *buf, const char *text, size_t limit_bytes);

/** Drop the first len bytes (at most all). */
void wsi_buf_consume(struct wsi_buf *buf, size_t len);

#endif
