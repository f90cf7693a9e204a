/* SPDX-License-Identifier: MIT */
/*
 * A heap that counts, behind wsock_set_allocator(): how many bytes the library holds now,
 * how many it held at most, and a wait for it to come down again.
 */
#ifndef ATTACK_HEAP_H
#define ATTACK_HEAP_H

#include <stdbool.h>
#include <stddef.h>

/** Before any other call into the library. */
void heap_count(void);

struct heap_figures {
    size_t live, peak; /* bytes */
};

struct heap_figures heap_figures(void);

/** The peak begins anew at what is live. */
struct heap_figures heap_mark(void);

/** Wait until at most limit bytes are live. @return false when that did not come. */
bool heap_settles(size_t limit, unsigned timeout_ms);

#endif
