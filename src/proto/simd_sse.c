/* SPDX-License-Identifier: MIT */
/*
 * x86, sixteen bytes at once: SSE2, which every x86-64 has, for masking and for
 * ASCII; SSSE3 adds the table lookup that the whole UTF-8 check needs. Each function
 * names the instructions that it may use, so the file needs no compiler flags.
 */
#include "proto/simd.h"

#if defined(__x86_64__) || defined(__i386__)

#include <stdbool.h>
#include <tmmintrin.h>

typedef __m128i vec;

#define SSE2      __attribute__((target("sse2")))
#define SSSE3     __attribute__((target("ssse3")))
#define VEC_BYTES ((size_t)16)

#define VEC_FN SSE2 static inline

VEC_FN vec vec_load(const uint8_t *data)
{
    return _mm_loadu_si128((const vec *)(const void *)data);
}

VEC_FN void vec_store(uint8_t *data, vec v)
{
    _mm_storeu_si128((vec *)(void *)data, v);
}

VEC_FN vec vec_repeat(uint64_t word)
{
    return _mm_set1_epi64x((long long)word);
}

VEC_FN vec vec_or(vec a, vec b)
{
    return _mm_or_si128(a, b);
}

VEC_FN vec vec_xor(vec a, vec b)
{
    return _mm_xor_si128(a, b);
}

VEC_FN bool vec_is_ascii(vec v)
{
    return _mm_movemask_epi8(v) == 0;
}

#include "proto/mask_blocks.h"

SSE2 static void mask(uint8_t *out, const uint8_t *in, size_t len, uint64_t key)
{
    mask_blocks(out, in, len, key);
}

SSE2 static size_t utf8_skip_sse2(const uint8_t *data, size_t len)
{
    size_t i = 0;

    while (i < len) {
        while (len - i >= 2 * VEC_BYTES &&
               vec_is_ascii(vec_or(vec_load(data + i), vec_load(data + i + VEC_BYTES))))
            i += 2 * VEC_BYTES;
        const size_t want = len - i < 2 * VEC_BYTES ? len - i : 2 * VEC_BYTES;
        const size_t got = wsi_utf8_skip_chars(data + i, len - i, want);

        i += got;
        if (got < want)
            break;
    }
    return i;
}

#undef VEC_FN
#define VEC_FN SSSE3 static inline

VEC_FN vec vec_fill(uint8_t byte)
{
    return _mm_set1_epi8((char)byte);
}

VEC_FN vec vec_and(vec a, vec b)
{
    return _mm_and_si128(a, b);
}

/* Never below zero. */
VEC_FN vec vec_less(vec a, vec b)
{
    return _mm_subs_epu8(a, b);
}

VEC_FN vec vec_table(const uint8_t entries[16])
{
    return vec_load(entries);
}

VEC_FN vec vec_lookup(vec table, vec index)
{
    return _mm_shuffle_epi8(table, index);
}

VEC_FN vec vec_low(vec v)
{
    return _mm_and_si128(v, vec_fill(0x0F));
}

VEC_FN vec vec_high(vec v)
{
    return vec_low(_mm_srli_epi16(v, 4));
}

VEC_FN bool vec_is_zero(vec v)
{
    return _mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_setzero_si128())) == 0xFFFF;
}

/* The bytes n places before those of v; `before` is the block before it. */
#define vec_behind(v, before, n) _mm_alignr_epi8(v, before, 16 - (n))

#include "proto/utf8_blocks.h"

SSSE3 static size_t utf8_skip_ssse3(const uint8_t *data, size_t len)
{
    return utf8_skip_blocks(data, len);
}

const struct wsi_simd wsi_simd_sse2 = {"sse2", mask, utf8_skip_sse2};
const struct wsi_simd wsi_simd_ssse3 = {"ssse3", mask, utf8_skip_ssse3};

#endif
