/* SPDX-License-Identifier: MIT */
/*
 * The variants of masking and of the UTF-8 check, one for each kind of processor,
 * and the words that all of them need. A variant only works on long runs: short
 * ones, and the exact place of an error, belong to mask.c and utf8.c. The choice
 * between them is cpu.c's. Tests and benchmarks name a variant; nobody else does.
 */
#ifndef WSI_PROTO_SIMD_H
#define WSI_PROTO_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/utf8.h"

/* The shortest run that a variant masks; what is shorter never leaves mask.c. */
#define WSI_SIMD_MASK_MIN 33

struct wsi_simd {
    const char *name;

    /**
     * XOR at least WSI_SIMD_MASK_MIN bytes with a key that stands twice in a word,
     * in the order of memory, its first byte meeting in[0].
     */
    void (*mask)(uint8_t *out, const uint8_t *in, size_t len, uint64_t key);

    /**
     * Skip whole, good characters.
     *
     * @return how many bytes were skipped: never more than are good, never into a
     *         character; it may stop short of an error or of the end by less than
     *         two blocks.
     */
    size_t (*utf8_skip)(const uint8_t *data, size_t len);
};

extern const struct wsi_simd wsi_simd_scalar;
extern const struct wsi_simd wsi_simd_sse2;
extern const struct wsi_simd wsi_simd_ssse3;
extern const struct wsi_simd wsi_simd_avx2;
extern const struct wsi_simd wsi_simd_neon;

/* wsi_mask() and wsi_utf8_check() with a variant of the caller's choice. */
void wsi_mask_with(const struct wsi_simd *simd, uint8_t *out, const uint8_t *in,
                   size_t len, const uint8_t key[4], size_t offset);
size_t wsi_utf8_check_with(const struct wsi_simd *simd, wsi_utf8_state *state,
                           const uint8_t *data, size_t len);

/** The automaton alone, byte for byte: what the variants are measured against. */
size_t wsi_utf8_step_bytes(wsi_utf8_state *state, const uint8_t *data, size_t len);

static inline uint64_t wsi_simd_load(const uint8_t *data)
{
    uint64_t word;

    memcpy(&word, data, sizeof word);
    return word;
}

static inline void wsi_simd_store(uint8_t *data, uint64_t word)
{
    memcpy(data, &word, sizeof word);
}

/** The key as it meets the byte n places further on. */
static inline uint64_t wsi_simd_turn(uint64_t key, size_t n)
{
    const unsigned bits = (unsigned)n * 8 & 63;

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return key << bits | key >> (-bits & 63);
#else
    return key >> bits | key << (-bits & 63);
#endif
}

/** A bit is left in the word for each of its bytes that is no ASCII. */
static inline uint64_t wsi_simd_not_ascii(uint64_t word)
{
    return word & UINT64_C(0x8080808080808080);
}

/**
 * The length of the character at data.
 *
 * @return 0 when it is bad or goes on behind len bytes.
 */
static inline size_t wsi_utf8_char(const uint8_t *data, size_t len)
{
    const uint8_t lead = data[0];

    if (lead < 0x80)
        return 1;
    if (lead < 0xE0)
        return len >= 2 && lead >= 0xC2 && data[1] >> 6 == 2 ? 2 : 0;
    if (lead < 0xF0) {
        if (len < 3 || data[1] >> 6 != 2 || data[2] >> 6 != 2)
            return 0;
        const unsigned top = (lead & 0x0FU) << 6 | (data[1] & 0x3FU);

        /* Below U+0800 it is overlong; U+D800 to U+DFFF are surrogates. */
        return top >= 0x800 >> 6 && top >> 5 != 0xD800 >> 11 ? 3 : 0;
    }
    if (len < 4 || lead > 0xF4 || data[1] >> 6 != 2 || data[2] >> 6 != 2 ||
        data[3] >> 6 != 2)
        return 0;
    const unsigned plane = (lead & 0x07U) << 2 | (data[1] & 0x3FU) >> 4;

    return plane >= 1 && plane <= 0x10 ? 4 : 0;
}

/** Skip whole characters up to `want` bytes or just over; less: the next one is bad or
 * cut. */
static inline size_t wsi_utf8_skip_chars(const uint8_t *data, size_t len, size_t want)
{
    size_t i = 0;

    while (i < want) {
        const size_t n = wsi_utf8_char(data + i, len - i);

        if (n == 0)
            break;
        i += n;
    }
    return i;
}

/** How much of n good bytes, which may end inside a character, is whole. */
static inline size_t wsi_utf8_whole(const uint8_t *data, size_t n)
{
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        const uint8_t byte = data[n - back];

        if (byte >= 0xC0) {
            const size_t need = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2;

            return need > back ? n - back : n;
        }
        if (byte < 0x80)
            break;
    }
    return n;
}

#endif
