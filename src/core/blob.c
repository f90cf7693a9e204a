/* SPDX-License-Identifier: MIT */
/* Shared bytes. */
#include "core/blob.h"

#include <assert.h>

#include "core/alloc.h"

void wsi_blob_init(struct wsi_blob *blob, size_t capacity,
                   void (*release)(struct wsi_blob *blob))
{
    assert(capacity <= UINT32_MAX);
    wsi_ref_init(&blob->ref);
    blob->capacity = (uint32_t)capacity;
    blob->release = release;
    blob->len = 0;
}

struct wsi_blob *wsi_blob_new(size_t capacity)
{
    struct wsi_blob *blob;

    if (capacity > UINT32_MAX)
        return NULL;
    blob = wsi_alloc(sizeof *blob + capacity);
    if (blob != NULL)
        wsi_blob_init(blob, capacity, NULL);
    return blob;
}

struct wsi_blob *wsi_blob_ref(struct wsi_blob *blob)
{
    wsi_ref_take(&blob->ref);
    return blob;
}

void wsi_blob_unref(struct wsi_blob *blob)
{
    if (blob == NULL || !wsi_ref_drop(&blob->ref))
        return;
    if (blob->release != NULL)
        blob->release(blob);
    else
        wsi_free(blob);
}
