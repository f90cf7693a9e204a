/* SPDX-License-Identifier: MIT */
/* Numbers as text. */
#ifndef WSI_PROTO_DECIMAL_H
#define WSI_PROTO_DECIMAL_H

#include <stdint.h>

#include "core/str.h"

enum { WSI_DECIMAL_MAX = 20 }; /* digits of 2^64 - 1 */

/** @return (borrowed from out) at the end of it, without a NUL. */
static inline struct wsi_str wsi_decimal(char out[WSI_DECIMAL_MAX], uint64_t value)
{
    size_t start = WSI_DECIMAL_MAX;

    do
        out[--start] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    return (struct wsi_str){out + start, WSI_DECIMAL_MAX - start};
}

#endif
