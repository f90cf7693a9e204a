/* SPDX-License-Identifier: MIT */
/* The variant for every processor: words of eight bytes, in portable C. */
#include "proto/simd.h"

static void mask(uint8_t *out, const uint8_t *in, size_t len, uint64_t key)
{
    /* Loaded first: in place, the loop below masks part of it before. */
    const uint64_t tail = wsi_simd_load(in + len - 8);
    size_t i = 0;

    for (; len - i > 32; i += 32) {
        const uint64_t a = wsi_simd_load(in + i), b = wsi_simd_load(in + i + 8);
        const uint64_t c = wsi_simd_load(in + i + 16), d = wsi_simd_load(in + i + 24);

        wsi_simd_store(out + i, a ^ key);
        wsi_simd_store(out + i + 8, b ^ key);
        wsi_simd_store(out + i + 16, c ^ key);
        wsi_simd_store(out + i + 24, d ^ key);
    }
    for (; len - i > 8; i += 8)
        wsi_simd_store(out + i, wsi_simd_load(in + i) ^ key);
    wsi_simd_store(out + len - 8, tail ^ wsi_simd_turn(key, len));
}

static size_t utf8_skip(const uint8_t *data, size_t len)
{
    size_t i = 0;

    while (i < len) {
        while (len - i >= 8 && wsi_simd_not_ascii(wsi_simd_load(data + i)) == 0)
            i += 8;
        /* Who writes one such character writes more: stay with them for a while. */
        const size_t want = len - i < 16 ? len - i : 16;
        const size_t got = wsi_utf8_skip_chars(data + i, len - i, want);

        i += got;
        if (got < want)
            break;
    }
    return i;
}

const struct wsi_simd wsi_simd_scalar = {"scalar", mask, utf8_skip};
