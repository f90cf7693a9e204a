/* SPDX-License-Identifier: MIT */
/* Which variant of masking and of the UTF-8 check this processor runs. */
#ifndef WSI_PROTO_CPU_H
#define WSI_PROTO_CPU_H

#include <stdatomic.h>
#include <stddef.h>

#include "proto/simd.h"

/** @return (nullable) the nth variant that works here, the plainest first. */
const struct wsi_simd *wsi_cpu_variant(size_t n);

/** Look at the processor, and remember the best variant. */
const struct wsi_simd *wsi_cpu_choose(void);

extern _Atomic(const struct wsi_simd *) wsi_cpu_chosen;

/* Threads that race here choose the same constant, so relaxed order is enough. */
static inline const struct wsi_simd *wsi_cpu_best(void)
{
    const struct wsi_simd *simd = atomic_load_explicit(&wsi_cpu_chosen,
                                                       memory_order_relaxed);

    return simd != NULL ? simd : wsi_cpu_choose();
}

#endif
