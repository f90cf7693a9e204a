/* SPDX-License-Identifier: MIT */
/* RFC 6455 section 5.3: masking, in place or while copying. */
#ifndef WSI_PROTO_MASK_H
#define WSI_PROTO_MASK_H

#include <stddef.h>
#include <stdint.h>

/**
 * XOR len bytes with the key, starting at key[offset % 4].
 *
 * @param out  where the result goes; may be in itself, else must not overlap it.
 */
void wsi_mask(uint8_t *out, const uint8_t *in, size_t len, const uint8_t key[4],
              size_t offset);

#endif
