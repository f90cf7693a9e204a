/* SPDX-License-Identifier: MIT */
/* Base64 of RFC 4648 section 4, both ways. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *data, size_t len)
{
    const unsigned char *in = data;
    char *out = malloc((len + 2) / 3 * 4 + 1);
    char *p = out;

    if (out == NULL)
        return NULL;
    for (; len >= 3; len -= 3, in += 3) {
        *p++ = alphabet[in[0] >> 2];
        *p++ = alphabet[(in[0] & 3) << 4 | in[1] >> 4];
        *p++ = alphabet[(in[1] & 15) << 2 | in[2] >> 6];
        *p++ = alphabet[in[2] & 63];
    }
    if (len > 0) {
        const int second = len == 2 ? in[1] : 0;

        *p++ = alphabet[in[0] >> 2];
        *p++ = alphabet[(in[0] & 3) << 4 | second >> 4];
        *p++ = (char)(len == 2 ? alphabet[(second & 15) << 2] : '=');
        *p++ = '=';
    }
    *p = '\0';
    return out;
}

/* The six bits of a letter, or 64. */
static unsigned value_of(char letter)
{
    const char *p = letter != '\0' ? strchr(alphabet, letter) : NULL;

    return p != NULL ? (unsigned)(p - alphabet) : 64;
}

/* One group of four letters, of which the last `pad` are padding. */
static int decode_group(unsigned char *out, const char *in, size_t pad)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < 4; i++) {
        const unsigned v = i < 4 - pad ? value_of(in[i]) : 0;

        if (v == 64)
            return 0;
        bits = bits << 6 | v;
    }
    out[0] = (unsigned char)(bits >> 16);
    if (pad < 2)
        out[1] = (unsigned char)(bits >> 8);
    if (pad < 1)
        out[2] = (unsigned char)bits;
    /* Bits behind the last byte must be zero, so that every value has one spelling. */
    return (bits & ((1u << (8 * pad)) - 1)) == 0;
}

void *base64_decode(const char *text, size_t len, size_t *out_len)
{
    size_t pad = 0;
    unsigned char *out = NULL;
    unsigned char *p = NULL;

    if (len % 4 != 0)
        return NULL;
    if (len > 0 && text[len - 1] == '=')
        pad = text[len - 2] == '=' ? 2 : 1;
    out = malloc(len / 4 * 3 + 1);
    if (out == NULL)
        return NULL;
    p = out;
    for (size_t i = 0; i < len; i += 4, p += 3) {
        if (!decode_group(p, text + i, i + 4 == len ? pad : 0)) {
            free(out);
            return NULL;
        }
    }
    *out_len = len / 4 * 3 - pad;
    return out;
}
