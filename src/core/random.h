/* SPDX-License-Identifier: MIT */
/*
 * Unpredictable bytes from the system, drawn in blocks: masking keys must be fresh
 * and unpredictable for every frame (RFC 6455 section 5.3), and a system call for
 * each would cost more than the frame. One pool belongs to one thread.
 */
#ifndef WSI_CORE_RANDOM_H
#define WSI_CORE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct wsi_random {
    unsigned used;
    uint8_t pool[256];
};

void wsi_random_init(struct wsi_random *random);

/** Bytes given out are wiped from the pool. */
void wsi_random_bytes(struct wsi_random *random, void *out, size_t len);

/** The same without a pool, from any thread. */
void wsi_random_system(void *out, size_t len);

#endif
