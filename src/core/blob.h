/* SPDX-License-Identifier: MIT */
/*
 * Reference-counted bytes that never change once they are shared: a frame encoded
 * once for a whole room, or what a socket could not take yet. The bytes follow the
 * struct in the same allocation, which may be part of a larger one.
 */
#ifndef WSI_CORE_BLOB_H
#define WSI_CORE_BLOB_H

#include <stddef.h>
#include <stdint.h>

#include "core/ref.h"

struct wsi_blob {
    struct wsi_ref ref;
    uint32_t capacity;
    void (*release)(struct wsi_blob *blob); /* instead of freeing it; nullable */
    size_t len;
    uint8_t data[];
};

/** @return (out, owned, nullable) an empty blob with room for capacity bytes. */
struct wsi_blob *wsi_blob_new(size_t capacity);

/** Make a blob of memory that holds sizeof(struct wsi_blob) + capacity bytes and is freed
 * by release. */
void wsi_blob_init(struct wsi_blob *blob, size_t capacity,
                   void (*release)(struct wsi_blob *blob));

/* ---- blobs that lie in another object's allocation, and know which ---- */

/** The bytes that one takes there. */
size_t wsi_blob_inner_size(size_t capacity);
/** Make one at a place that is aligned for anything. @param release (see above) */
struct wsi_blob *wsi_blob_init_inner(void *at, size_t capacity, void *around,
                                     void (*release)(struct wsi_blob *blob));
/** @return (borrowed) what it lies in. */
void *wsi_blob_around(const struct wsi_blob *blob);

/* ---- all of them ---- */

struct wsi_blob *wsi_blob_ref(struct wsi_blob *blob);

/** Takes NULL. */
void wsi_blob_unref(struct wsi_blob *blob);

#endif
