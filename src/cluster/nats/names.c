/* SPDX-License-Identifier: MIT */
/* Encoding of names into tokens of subjects, and back. */
#include "cluster/nats/names.h"

#include <stdio.h>
#include <string.h>

static const char digits[] = "0123456789abcdef";

static bool is_plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '-' || c == '_' || c >= 0x80;
}

bool wsi_nats_encode(char *out, size_t size, const char *name)
{
    size_t n = 0;

    /* A token has at least one byte, and no other name is encoded so. */
    if (name[0] == '\0')
        return snprintf(out, size, "%%") < (int)size;
    for (; *name != '\0'; name++) {
        const unsigned char c = (unsigned char)*name;

        if (n + 4 > size)
            return false;
        if (is_plain(c)) {
            out[n++] = (char)c;
            continue;
        }
        out[n++] = '%';
        out[n++] = digits[c >> 4];
        out[n++] = digits[c & 15];
    }
    out[n] = '\0';
    return true;
}

static int value_of(char digit)
{
    const char *found = digit != '\0' ? strchr(digits, digit) : NULL;

    return found != NULL ? (int)(found - digits) : -1;
}

bool wsi_nats_decode(char *out, size_t size, const char *token, size_t len)
{
    size_t n = 0;

    if (len == 1 && token[0] == '%')
        len = 0;
    for (size_t i = 0; i < len; i++) {
        int byte = (unsigned char)token[i];

        if (byte == '%') {
            if (i + 2 >= len || value_of(token[i + 1]) < 0 || value_of(token[i + 2]) < 0)
                return false;
            byte = value_of(token[i + 1]) * 16 + value_of(token[i + 2]);
            i += 2;
        } else if (!is_plain((unsigned char)byte))
            return false;
        if (n + 1 >= size || byte == 0)
            return false;
        out[n++] = (char)byte;
    }
    out[n] = '\0';
    return true;
}

uint64_t wsi_nats_epoch(const char *stream)
{
    const size_t len = strlen(stream);
    uint64_t epoch = 0;

    if (len < 17 || stream[len - 17] != '-')
        return 0;
    for (size_t i = len - 16; i < len; i++) {
        const int digit = value_of(stream[i]);

        if (digit < 0)
            return 0;
        epoch = epoch << 4 | (unsigned)digit;
    }
    return epoch;
}
