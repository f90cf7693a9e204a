/* SPDX-License-Identifier: MIT */
/*
 * The choice between the variants, made once, at the first long run: the library is
 * built for the oldest processor of its architecture, and may use what this one has.
 */
#include "proto/cpu.h"

_Atomic(const struct wsi_simd *) wsi_cpu_chosen;

const struct wsi_simd *wsi_cpu_variant(size_t n)
{
    const struct wsi_simd *usable[4] = {&wsi_simd_scalar};
    size_t count = 1;

#if defined(__x86_64__) || defined(__i386__)
    if (__builtin_cpu_supports("sse2"))
        usable[count++] = &wsi_simd_sse2;
    if (__builtin_cpu_supports("ssse3"))
        usable[count++] = &wsi_simd_ssse3;
    if (__builtin_cpu_supports("avx2"))
        usable[count++] = &wsi_simd_avx2;
#elif defined(__aarch64__)
    usable[count++] = &wsi_simd_neon; /* every AArch64 has it */
#endif
    return n < count ? usable[n] : NULL;
}

const struct wsi_simd *wsi_cpu_choose(void)
{
    const struct wsi_simd *best = &wsi_simd_scalar;

    for (size_t n = 0; wsi_cpu_variant(n) != NULL; n++)
        best = wsi_cpu_variant(n);
    atomic_store_explicit(&wsi_cpu_chosen, best, memory_order_relaxed);
    return best;
}
