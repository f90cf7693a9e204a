/* SPDX-License-Identifier: MIT */
/*
 * Base64. The decoder is strict, since a Sec-WebSocket-Key must decode to 16 bytes
 * (RFC 6455 section 4.2.1) and a lenient one would take keys that other servers refuse.
 */
#include "proto/base64.h"

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void wsi_base64_encode(char *out, const void *data, size_t len)
{
    const uint8_t *in = data;

    for (; len >= 3; len -= 3, in += 3, out += 4) {
        out[0] = alphabet[in[0] >> 2];
        out[1] = alphabet[(in[0] & 3) << 4 | in[1] >> 4];
        out[2] = alphabet[(in[1] & 15) << 2 | in[2] >> 6];
        out[3] = alphabet[in[2] & 63];
    }
    if (len != 0) {
        const uint8_t second = len == 2 ? in[1] : 0;

        out[0] = alphabet[in[0] >> 2];
        out[1] = alphabet[(in[0] & 3) << 4 | second >> 4];
        out[2] = (char)(len == 2 ? alphabet[(second & 15) << 2] : '=');
        out[3] = '=';
        out += 4;
    }
    *out = '\0';
}

/* The last two letters of an alphabet, sections 4 and 5. */
static const char plain_letters[2] = {'+', '/'}, url_letters[2] = {'-', '_'};

static int value_of(char c, const char letters[2])
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == letters[0])
        return 62;
    return c == letters[1] ? 63 : -1;
}

/* One group of four characters, the last `pad` of which are '=', or not there. */
static bool decode_group(uint8_t *out, const char *in, unsigned pad,
                         const char letters[2])
{
    uint32_t bits = 0;

    for (unsigned i = 0; i < 4; i++) {
        const int value = i < 4 - pad ? value_of(in[i], letters) : 0;

        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
    }
    if ((bits & ((1u << (8 * pad)) - 1)) != 0)
        return false;
    for (unsigned i = 0; i < 3 - pad; i++)
        out[i] = (uint8_t)(bits >> (16 - 8 * i));
    return true;
}

ptrdiff_t wsi_base64_decode(uint8_t *out, struct wsi_str text)
{
    unsigned pad = 0;
    ptrdiff_t size = 0;

    if (text.len % 4 != 0)
        return -1;
    while (pad < 2 && pad < text.len && text.ptr[text.len - 1 - pad] == '=')
        pad++;
    for (size_t i = 0; i < text.len; i += 4) {
        const unsigned group_pad = i + 4 == text.len ? pad : 0;

        if (!decode_group(out + size, text.ptr + i, group_pad, plain_letters))
            return -1;
        size += 3 - (ptrdiff_t)group_pad;
    }
    return size;
}

ptrdiff_t wsi_base64url_decode(uint8_t *out, struct wsi_str text)
{
    ptrdiff_t size = 0;

    if (text.len % 4 == 1)
        return -1;
    for (size_t i = 0; i < text.len; i += 4) {
        const unsigned pad = text.len - i < 4 ? (unsigned)(4 - (text.len - i)) : 0;

        if (!decode_group(out + size, text.ptr + i, pad, url_letters))
            return -1;
        size += 3 - (ptrdiff_t)pad;
    }
    return size;
}
