/* SPDX-License-Identifier: MIT */
/* Percent-encoded text (RFC 3986 section 2.1), decoded byte by byte where it stands. */
#ifndef WSI_CONN_PERCENT_H
#define WSI_CONN_PERCENT_H

#include <stdbool.h>

#include "core/str.h"
#include "proto/chars.h"

/** Take the next decoded byte of text that is not empty; -1 for a malformed escape. */
static inline int wsi_percent_take(struct wsi_str *text)
{
    const char *p = text->ptr;
    int high, low;
    size_t taken = 1;
    int byte = (unsigned char)*p;

    if (byte == '%') {
        high = text->len > 2 ? wsi_char_hex(p[1]) : -1;
        low = text->len > 2 ? wsi_char_hex(p[2]) : -1;
        if (high < 0 || low < 0)
            return -1;
        byte = high * 16 + low;
        taken = 3;
    }
    text->ptr += taken;
    text->len -= taken;
    return byte;
}

#endif
