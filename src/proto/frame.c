/* SPDX-License-Identifier: MIT */
/*
 * Frame headers as this end writes them (RFC 6455 section 5.2) and the close codes that
 * may travel (section 7.4). Reading headers belongs to session_receive.c, which has to
 * judge them byte by byte.
 */
#include "proto/frame.h"

#include <assert.h>
#include <string.h>

enum {
    MASKED = 0x80,
    LENGTH_7_MAX = 125,
    LENGTH_IN_16_BITS = 126,
    LENGTH_IN_64_BITS = 127,
};

size_t wsi_frame_header_size(uint64_t len, bool masked)
{
    const size_t key = masked ? 4 : 0;

    if (len <= LENGTH_7_MAX)
        return 2 + key;
    return (len <= UINT16_MAX ? 4 : 10) + key;
}

size_t wsi_frame_write_header(uint8_t *out, unsigned byte0, uint64_t len,
                              const uint8_t *key)
{
    const unsigned masked = key != NULL ? MASKED : 0;
    size_t size = 2;

    assert(len <= INT64_MAX); /* the most significant bit must be 0 */
    out[0] = (uint8_t)byte0;
    if (len <= LENGTH_7_MAX) {
        out[1] = (uint8_t)(masked | len);
    } else if (len <= UINT16_MAX) {
        out[1] = (uint8_t)(masked | LENGTH_IN_16_BITS);
        out[2] = (uint8_t)(len >> 8);
        out[3] = (uint8_t)len;
        size = 4;
    } else {
        out[1] = (uint8_t)(masked | LENGTH_IN_64_BITS);
        for (unsigned i = 0; i < 8; i++)
            out[2 + i] = (uint8_t)(len >> (56 - 8 * i));
        size = 10;
    }
    if (key != NULL) {
        memcpy(out + size, key, 4);
        size += 4;
    }
    return size;
}

bool wsi_close_code_is_sendable(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}
