/* SPDX-License-Identifier: MIT */
#include "heap.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <wsock/memory.h>

static atomic_size_t live_bytes;

static void *count_malloc(size_t size)
{
    void *block = malloc(size);

    atomic_fetch_add(&live_bytes, malloc_usable_size(block));
    return block;
}

static void *count_realloc(void *block, size_t size)
{
    size_t before = malloc_usable_size(block);
    void *grown = realloc(block, size);

    if (grown != NULL) {
        atomic_fetch_add(&live_bytes, malloc_usable_size(grown));
        atomic_fetch_sub(&live_bytes, before);
    }
    return grown;
}

static void count_free(void *block)
{
    atomic_fetch_sub(&live_bytes, malloc_usable_size(block));
    free(block);
}

int heap_count(void)
{
    return wsock_set_allocator(count_malloc, count_realloc, count_free);
}

size_t heap_bytes(void)
{
    return atomic_load(&live_bytes);
}
