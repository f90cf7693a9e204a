/* SPDX-License-Identifier: MIT */
/*
 * Unpredictable bytes from the system, drawn in blocks: masking keys must be fresh
 * and unpredictable for every frame (RFC 6455 section 5.3), and a system call for
 * each would cost more than the frame. One pool belongs to one thread.
 */
#ifndef WSI_CORE_RANDOM_H
#define WSI_CORE_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wsi_random {
    unsigned used;
    bool repeats;
    uint64_t state; /* of what repeats */
    uint8_t pool[256];
};

void wsi_random_init(struct wsi_random *random);

/** For tests: from now on the same bytes for the same seed, which anybody can predict. */
void wsi_random_repeat(struct wsi_random *random, uint64_t seed);

/** Bytes given out are wiped from the pool. */
void wsi_random_bytes(struct wsi_random *random, void *out, size_t len);

/** The same without a pool, from any thread. */
void wsi_random_system(void *out, size_t len);

#endif
