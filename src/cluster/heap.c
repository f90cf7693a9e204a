/* SPDX-License-Identifier: MIT */
/*
 * Memory of plug-ins, which is the library's: what they have of core/ ask for it by the
 * same names as there.
 */
#include "cluster/heap.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "core/alloc.h"

static _Atomic(void *(*)(size_t)) alloc_fn;
static _Atomic(void *(*)(void *, size_t)) realloc_fn;
static _Atomic(void (*)(void *)) free_fn;

void wsi_heap_use(const struct wsi_bus_services *services)
{
    atomic_store(&alloc_fn, services->alloc);
    atomic_store(&realloc_fn, services->realloc);
    atomic_store(&free_fn, services->free);
}

void *wsi_alloc(size_t size)
{
    return atomic_load_explicit(&alloc_fn, memory_order_relaxed)(size);
}

void *wsi_zalloc(size_t size)
{
    void *block = wsi_alloc(size);

    if (block != NULL)
        memset(block, 0, size);
    return block;
}

void *wsi_alloc_array(size_t count, size_t size)
{
    return size != 0 && count > SIZE_MAX / size ? NULL : wsi_alloc(count * size);
}

void *wsi_realloc(void *block, size_t size)
{
    return atomic_load_explicit(&realloc_fn, memory_order_relaxed)(block, size);
}

void wsi_free(void *block)
{
    if (block != NULL)
        atomic_load_explicit(&free_fn, memory_order_relaxed)(block);
}
