/* SPDX-License-Identifier: MIT */
/*
 * SHA-1 over one run of bytes (FIPS 180-4 section 6.1), written to be short. Not
 * constant-time, not for secrets; sha1.h says what it is for.
 */
#include "proto/sha1.h"

#include <string.h>

enum { BLOCK = 64, ROUNDS = 80 };

static uint32_t rotate_left(uint32_t x, unsigned bits)
{
    return x << bits | x >> (32 - bits);
}

static uint32_t read_be32(const uint8_t *in)
{
    return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

static void write_be32(uint8_t *out, uint32_t x)
{
    out[0] = (uint8_t)(x >> 24);
    out[1] = (uint8_t)(x >> 16);
    out[2] = (uint8_t)(x >> 8);
    out[3] = (uint8_t)x;
}

/* The function and the constant of a round, section 4.1.1 and 4.2.1. */
static uint32_t mix(unsigned round, uint32_t b, uint32_t c, uint32_t d)
{
    if (round < 20)
        return ((b & c) | (~b & d)) + 0x5a827999u;
    if (round < 40)
        return (b ^ c ^ d) + 0x6ed9eba1u;
    if (round < 60)
        return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdcu;
    return (b ^ c ^ d) + 0xca62c1d6u;
}

static void add_block(uint32_t h[5], const uint8_t *block)
{
    uint32_t w[ROUNDS];
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];

    for (unsigned i = 0; i < 16; i++)
        w[i] = read_be32(block + (size_t)i * 4);
    for (unsigned i = 16; i < ROUNDS; i++)
        w[i] = rotate_left(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (unsigned i = 0; i < ROUNDS; i++) {
        const uint32_t next = rotate_left(a, 5) + mix(i, b, c, d) + e + w[i];

        e = d;
        d = c;
        c = rotate_left(b, 30);
        b = a;
        a = next;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

void wsi_sha1(uint8_t digest[WSI_SHA1_SIZE], const void *data, size_t len)
{
    uint32_t h[5] = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u};
    uint8_t tail[2 * BLOCK] = {0};
    const uint8_t *in = data;
    const uint64_t bits = (uint64_t)len * 8;
    size_t left = len, tail_len;

    for (; left >= BLOCK; left -= BLOCK, in += BLOCK)
        add_block(h, in);
    if (left != 0)
        memcpy(tail, in, left);
    tail[left] = 0x80;
    tail_len = left + 1 + 8 <= BLOCK ? BLOCK : 2 * BLOCK;
    write_be32(tail + tail_len - 8, (uint32_t)(bits >> 32));
    write_be32(tail + tail_len - 4, (uint32_t)bits);
    for (size_t i = 0; i < tail_len; i += BLOCK)
        add_block(h, tail + i);
    for (size_t i = 0; i < 5; i++)
        write_be32(digest + i * 4, h[i]);
}
