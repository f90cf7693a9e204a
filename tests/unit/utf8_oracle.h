/* SPDX-License-Identifier: MIT */
/*
 * A second opinion on UTF-8, written from RFC 3629's definition instead of its table
 * of bytes: a text is hopeless at the first byte after which no code point that
 * may be encoded in so many bytes is left.
 */
#ifndef WSI_TEST_UTF8_ORACLE_H
#define WSI_TEST_UTF8_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool oracle_has_character(uint32_t low, uint32_t high, size_t bytes)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};

    low = low > least[bytes] ? low : least[bytes];
    high = high < 0x10FFFF ? high : 0x10FFFF;
    return low <= high && !(low >= 0xD800 && high <= 0xDFFF);
}

/* The index of the first bad byte, or len; `whole`: it ends with a character. */
static inline size_t oracle_check(const uint8_t *data, size_t len, bool *whole)
{
    *whole = true;
    for (size_t i = 0; i < len;) {
        size_t bytes = 0;

        if (data[i] < 0x80) {
            i++;
            continue;
        }
        for (uint8_t lead = data[i]; (lead & 0x80) != 0; lead = (uint8_t)(lead << 1))
            bytes++;
        if (bytes < 2 || bytes > 4)
            return i;
        uint32_t bits = data[i] & (0x7FU >> bytes);

        for (size_t k = 0; k < bytes; k++) {
            const unsigned open = (unsigned)(6 * (bytes - 1 - k));

            if (i + k == len) {
                *whole = false;
                return len;
            }
            if (k > 0 && (data[i + k] & 0xC0) != 0x80)
                return i + k;
            if (k > 0)
                bits = bits << 6 | (data[i + k] & 0x3FU);
            if (!oracle_has_character(bits << open, (bits << open) | ((1U << open) - 1),
                                      bytes))
                return i + k;
        }
        i += bytes;
    }
    return len;
}

#endif
