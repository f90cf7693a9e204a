/* SPDX-License-Identifier: MIT */
/*
 * x86 with AVX2, thirty-two bytes at once. Each function names the instructions that
 * it may use, so the file needs no compiler flags.
 */
#include "proto/simd.h"

#if defined(__x86_64__) || defined(__i386__)

#include <immintrin.h>
#include <stdbool.h>

typedef __m256i vec;

#define AVX2      __attribute__((target("avx2")))
#define VEC_BYTES ((size_t)32)
#define VEC_FN    AVX2 static inline

VEC_FN vec vec_load(const uint8_t *data)
{
    return _mm256_loadu_si256((const vec *)(const void *)data);
}

VEC_FN void vec_store(uint8_t *data, vec v)
{
    _mm256_storeu_si256((vec *)(void *)data, v);
}

VEC_FN vec vec_repeat(uint64_t word)
{
    return _mm256_set1_epi64x((long long)word);
}

VEC_FN vec vec_fill(uint8_t byte)
{
    return _mm256_set1_epi8((char)byte);
}

VEC_FN vec vec_and(vec a, vec b)
{
    return _mm256_and_si256(a, b);
}

VEC_FN vec vec_or(vec a, vec b)
{
    return _mm256_or_si256(a, b);
}

VEC_FN vec vec_xor(vec a, vec b)
{
    return _mm256_xor_si256(a, b);
}

/* Never below zero. */
VEC_FN vec vec_less(vec a, vec b)
{
    return _mm256_subs_epu8(a, b);
}

/* The same sixteen entries for both halves: a lookup does not cross them. */
VEC_FN vec vec_table(const uint8_t entries[16])
{
    return _mm256_broadcastsi128_si256(
        _mm_loadu_si128((const __m128i *)(const void *)entries));
}

VEC_FN vec vec_lookup(vec table, vec index)
{
    return _mm256_shuffle_epi8(table, index);
}

VEC_FN vec vec_low(vec v)
{
    return _mm256_and_si256(v, vec_fill(0x0F));
}

VEC_FN vec vec_high(vec v)
{
    return vec_low(_mm256_srli_epi16(v, 4));
}

VEC_FN bool vec_is_ascii(vec v)
{
    return _mm256_movemask_epi8(v) == 0;
}

VEC_FN bool vec_is_zero(vec v)
{
    return _mm256_testz_si256(v, v) != 0;
}

/*
 * The bytes n places before those of v; `before` is the block before it. The shift
 * works in halves, so each gets the half that stands before it in memory.
 */
#define vec_behind(v, before, n) \
    _mm256_alignr_epi8(v, _mm256_permute2x128_si256(before, v, 0x21), 16 - (n))

#include "proto/mask_blocks.h"
#include "proto/utf8_blocks.h"

AVX2 static void mask(uint8_t *out, const uint8_t *in, size_t len, uint64_t key)
{
    mask_blocks(out, in, len, key);
}

AVX2 static size_t utf8_skip(const uint8_t *data, size_t len)
{
    return utf8_skip_blocks(data, len);
}

const struct wsi_simd wsi_simd_avx2 = {"avx2", mask, utf8_skip};

#endif
