/* SPDX-License-Identifier: MIT */
/*
 * Compressing a message that is at hand as a whole and refers to none before it, with
 * libdeflate: the same payloads as zlib's for less time. Part of a build with
 * -Dlibdeflate only, and used by deflate.c only, which asks for each message whether it
 * is one for this.
 */
#ifndef WSI_PROTO_WHOLE_H
#define WSI_PROTO_WHOLE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"

enum {
    WSI_WHOLE_MIN = 1024,        /* below, zlib is as fast: tables take time to clear */
    WSI_WHOLE_MAX = 1024 * 1024, /* above, zlib: its output buffer grows as it needs */
};

struct wsi_whole;

/**
 * Whether a message without context is compressed here. libdeflate knows windows of 15
 * bits only, and distances that are longer than a message do not occur.
 */
static inline bool wsi_whole_suits(unsigned window_bits, size_t len)
{
    return len >= WSI_WHOLE_MIN && len <= WSI_WHOLE_MAX &&
           (window_bits == 15 || len <= (size_t)1 << window_bits);
}

/**
 * @param level 1 to 9, as zlib counts: the result is about as small as zlib's.
 * @return (owned, nullable) NULL without memory.
 */
struct wsi_whole *wsi_whole_new(unsigned level);

/** Takes NULL. */
void wsi_whole_free(struct wsi_whole *whole);

/**
 * Append the payload of a message (RFC 7692 section 7.2.1).
 *
 * @return 0; WSOCK_ENOMEM, and `out` has what it had.
 */
int wsi_whole_message(struct wsi_whole *whole, struct wsi_buf *out, const void *data,
                      size_t len);

#endif
