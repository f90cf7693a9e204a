/* SPDX-License-Identifier: MIT */
/*
 * Reference-counted bytes that never change once they are shared: a frame encoded
 * once for a whole room, or what a socket could not take yet. The bytes follow the
 * struct in the same allocation.
 */
#ifndef WSI_CORE_BLOB_H
#define WSI_CORE_BLOB_H

#include <stddef.h>
#include <stdint.h>

#include "core/ref.h"

struct wsi_blob {
    struct wsi_ref ref;
    uint32_t capacity;
    size_t len;
    uint8_t data[];
};

/** @return (out, owned, nullable) an empty blob with room for capacity bytes. */
struct wsi_blob *wsi_blob_new(size_t capacity);

struct wsi_blob *wsi_blob_ref(struct wsi_blob *blob);

/** Takes NULL. */
void wsi_blob_unref(struct wsi_blob *blob);

#endif
