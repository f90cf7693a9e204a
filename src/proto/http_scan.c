/* SPDX-License-Identifier: MIT */
/*
 * The search for the end of a head, over bytes that arrive in any pieces. It decides
 * about single bytes and their neighbours only; what the lines say is http_parse.c's
 * matter. The state is a position: what came before it is still in the caller's buffer,
 * so the two neighbours that matter are read from there.
 */
#include "proto/http.h"

#include <string.h>

#include "proto/chars.h"

/* Length of the run of ordinary bytes (no control but what a later step sorts out). Eight
 * at a time: a word is passed over when none of its bytes is below 0x20 or equal to 0x7f.
 * The subtraction borrows only out of a byte that is such a one, so presence is exact. */
static size_t ordinary_run(const uint8_t *data, size_t len)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones * 0x80;
    size_t i = 0;

    while (len - i >= sizeof(uint64_t)) {
        uint64_t word, del;

        memcpy(&word, data + i, sizeof word);
        del = word ^ ones * 0x7f;
        if ((((word - ones * 0x20) & ~word) | ((del - ones) & ~del)) & tops)
            break;
        i += sizeof word;
    }
    while (i < len && data[i] >= 0x20 && data[i] != 0x7f)
        i++;
    return i;
}

/* What is wrong with the byte at pos, given the one before it; NULL when nothing is. */
static const char *check_byte(const uint8_t *data, size_t pos)
{
    const bool after_cr = pos != 0 && data[pos - 1] == '\r';

    if (pos == 0 && !wsi_char_is((char)data[0], WSI_CHAR_TOKEN))
        return "this is not HTTP: the first byte begins no method and no version";
    if (after_cr && data[pos] != '\n')
        return "a CR without LF in the head";
    if (data[pos] == '\n' && !after_cr)
        return "a LF without CR in the head";
    if (data[pos] == '\r' || data[pos] == '\n' ||
        wsi_char_is((char)data[pos], WSI_CHAR_VALUE))
        return NULL;
    return "a control character in the head";
}

static bool ends_head(const uint8_t *data, size_t pos)
{
    return pos >= 3 && memcmp(data + pos - 3, "\r\n\r\n", 4) == 0;
}

ptrdiff_t wsi_http_scan(struct wsi_http_scan *scan, const uint8_t *data, size_t len,
                        size_t max_bytes, struct wsi_http_refusal *refusal)
{
    const size_t end = len < max_bytes ? len : max_bytes;

    while (scan->pos < end) {
        const char *why = check_byte(data, scan->pos);

        if (why != NULL) {
            *refusal = (struct wsi_http_refusal){400, why};
            return -1;
        }
        scan->pos++;
        if (data[scan->pos - 1] == '\r')
            continue;
        if (ends_head(data, scan->pos - 1))
            return (ptrdiff_t)scan->pos;
        scan->pos += ordinary_run(data + scan->pos, end - scan->pos);
    }
    if (len < max_bytes)
        return 0;
    *refusal = (struct wsi_http_refusal){431, "the head is larger than the limit"};
    return -1;
}
