/* SPDX-License-Identifier: MIT */
/*
 * SipHash-2-4 (Aumasson and Bernstein, 2012): a hash with a key, for tables whose keys
 * peers choose. Who does not know the key cannot find two that meet in one bucket.
 */
#ifndef WSI_CORE_HASH_H
#define WSI_CORE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct wsi_hash_key {
    uint64_t word[2];
};

/** Of the system's random source. */
void wsi_hash_key_init(struct wsi_hash_key *key);

uint64_t wsi_hash(const struct wsi_hash_key *key, const void *data, size_t len);

#endif
