/* SPDX-License-Identifier: MIT */
/* Atomic reference counts. Taking one is relaxed: who takes one holds one. */
#ifndef WSI_CORE_REF_H
#define WSI_CORE_REF_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>

struct wsi_ref {
    atomic_uint count;
};

static inline void wsi_ref_init(struct wsi_ref *ref)
{
    atomic_init(&ref->count, 1);
}

static inline void wsi_ref_take(struct wsi_ref *ref)
{
    const unsigned before = atomic_fetch_add_explicit(&ref->count, 1,
                                                      memory_order_relaxed);

    assert(before != 0);
    (void)before;
}

/** @return true to the one caller that dropped the last reference and must free. */
static inline bool wsi_ref_drop(struct wsi_ref *ref)
{
    const unsigned before = atomic_fetch_sub_explicit(&ref->count, 1,
                                                      memory_order_acq_rel);

    assert(before != 0);
    return before == 1;
}

/**
 * Drops a reference unless it is the last one. Who gets false still holds it, and
 * takes the lock under which others may look the object up before dropping it.
 */
static inline bool wsi_ref_drop_unless_last(struct wsi_ref *ref)
{
    unsigned count = atomic_load_explicit(&ref->count, memory_order_relaxed);

    while (count > 1)
        if (atomic_compare_exchange_weak_explicit(&ref->count, &count, count - 1,
                                                  memory_order_acq_rel,
                                                  memory_order_relaxed))
            return true;
    return false;
}

#endif
