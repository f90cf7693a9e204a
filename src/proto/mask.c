/* SPDX-License-Identifier: MIT */
/*
 * RFC 6455 section 5.3: masking. Most messages are short, so up to 32 bytes are done
 * here, without a loop: the words at both ends are loaded before anything is stored,
 * and may overlap. Longer runs go to the variant that cpu.c chose.
 */
#include "proto/mask.h"

#include "proto/cpu.h"
#include "proto/simd.h"

static inline uint64_t key_word(const uint8_t key[4], size_t offset)
{
    uint32_t half;

    memcpy(&half, key, sizeof half);
    return wsi_simd_turn((uint64_t)half << 32 | half, offset);
}

static inline void mask_under_8(uint8_t *out, const uint8_t *in, size_t len, uint64_t key)
{
    uint8_t bytes[8];

    if (len >= 4) {
        const uint64_t tail_key = wsi_simd_turn(key, len);
        uint32_t head, tail;

        memcpy(&head, in, sizeof head);
        memcpy(&tail, in + len - 4, sizeof tail);
        head ^= (uint32_t)key;
        tail ^= (uint32_t)tail_key;
        memcpy(out, &head, sizeof head);
        memcpy(out + len - 4, &tail, sizeof tail);
        return;
    }
    memcpy(bytes, &key, sizeof bytes);
    for (size_t i = 0; i < len; i++)
        out[i] = in[i] ^ bytes[i];
}

static inline void mask_up_to_32(uint8_t *out, const uint8_t *in, size_t len,
                                 uint64_t key)
{
    if (len < 8) {
        mask_under_8(out, in, len, key);
        return;
    }
    const uint64_t tail_key = wsi_simd_turn(key, len);
    const uint64_t first = wsi_simd_load(in);
    const uint64_t last = wsi_simd_load(in + len - 8);

    if (len > 16) {
        const uint64_t second = wsi_simd_load(in + 8);
        const uint64_t third = wsi_simd_load(in + len - 16);

        wsi_simd_store(out + 8, second ^ key);
        wsi_simd_store(out + len - 16, third ^ tail_key);
    }
    wsi_simd_store(out, first ^ key);
    wsi_simd_store(out + len - 8, last ^ tail_key);
}

void wsi_mask_with(const struct wsi_simd *simd, uint8_t *out, const uint8_t *in,
                   size_t len, const uint8_t key[4], size_t offset)
{
    const uint64_t word = key_word(key, offset);

    if (len < WSI_SIMD_MASK_MIN)
        mask_up_to_32(out, in, len, word);
    else
        simd->mask(out, in, len, word);
}

/* Apart, so that the short path saves no registers for this call. */
__attribute__((noinline)) static void mask_long(uint8_t *out, const uint8_t *in,
                                                size_t len, uint64_t key)
{
    wsi_cpu_best()->mask(out, in, len, key);
}

void wsi_mask(uint8_t *out, const uint8_t *in, size_t len, const uint8_t key[4],
              size_t offset)
{
    const uint64_t word = key_word(key, offset);

    if (len < WSI_SIMD_MASK_MIN)
        mask_up_to_32(out, in, len, word);
    else
        mask_long(out, in, len, word);
}
