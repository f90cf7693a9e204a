/* SPDX-License-Identifier: MIT */
/* AArch64, where NEON is part of the architecture: sixteen bytes at once. */
#include "proto/simd.h"

#if defined(__aarch64__)

#include <arm_neon.h>
#include <stdbool.h>

typedef uint8x16_t vec;

#define VEC_BYTES ((size_t)16)
#define VEC_FN    static inline

VEC_FN vec vec_load(const uint8_t *data)
{
    return vld1q_u8(data);
}

VEC_FN void vec_store(uint8_t *data, vec v)
{
    vst1q_u8(data, v);
}

VEC_FN vec vec_repeat(uint64_t word)
{
    return vreinterpretq_u8_u64(vdupq_n_u64(word));
}

VEC_FN vec vec_fill(uint8_t byte)
{
    return vdupq_n_u8(byte);
}

VEC_FN vec vec_and(vec a, vec b)
{
    return vandq_u8(a, b);
}

VEC_FN vec vec_or(vec a, vec b)
{
    return vorrq_u8(a, b);
}

VEC_FN vec vec_xor(vec a, vec b)
{
    return veorq_u8(a, b);
}

/* Never below zero. */
VEC_FN vec vec_less(vec a, vec b)
{
    return vqsubq_u8(a, b);
}

VEC_FN vec vec_table(const uint8_t entries[16])
{
    return vld1q_u8(entries);
}

VEC_FN vec vec_lookup(vec table, vec index)
{
    return vqtbl1q_u8(table, index);
}

VEC_FN vec vec_low(vec v)
{
    return vandq_u8(v, vdupq_n_u8(0x0F));
}

VEC_FN vec vec_high(vec v)
{
    return vshrq_n_u8(v, 4);
}

VEC_FN bool vec_is_ascii(vec v)
{
    return vmaxvq_u8(v) < 0x80;
}

VEC_FN bool vec_is_zero(vec v)
{
    return vmaxvq_u8(v) == 0;
}

/* The bytes n places before those of v; `before` is the block before it. */
#define vec_behind(v, before, n) vextq_u8(before, v, 16 - (n))

#include "proto/mask_blocks.h"
#include "proto/utf8_blocks.h"

static void mask(uint8_t *out, const uint8_t *in, size_t len, uint64_t key)
{
    mask_blocks(out, in, len, key);
}

static size_t utf8_skip(const uint8_t *data, size_t len)
{
    return utf8_skip_blocks(data, len);
}

const struct wsi_simd wsi_simd_neon = {"neon", mask, utf8_skip};

#endif
