/* SPDX-License-Identifier: MIT */
/*
 * Counts the library's heap through its allocator hook, by malloc_usable_size(): the
 * padding of blocks is in it, malloc's own header of a block is not.
 */
#ifndef BENCH_HEAP_H
#define BENCH_HEAP_H

#include <stddef.h>

/** Before anything else of the library. @return as wsock_set_allocator(). */
int heap_count(void);

size_t heap_bytes(void);

#endif
