/* SPDX-License-Identifier: MIT */
/* Shared bytes. */
#include "core/blob.h"

#include "core/alloc.h"

struct wsi_blob *wsi_blob_new(size_t capacity)
{
    struct wsi_blob *blob;

    if (capacity > UINT32_MAX)
        return NULL;
    blob = wsi_alloc(sizeof *blob + capacity);
    if (blob == NULL)
        return NULL;
    wsi_ref_init(&blob->ref);
    blob->capacity = (uint32_t)capacity;
    blob->len = 0;
    return blob;
}

struct wsi_blob *wsi_blob_ref(struct wsi_blob *blob)
{
    wsi_ref_take(&blob->ref);
    return blob;
}

void wsi_blob_unref(struct wsi_blob *blob)
{
    if (blob != NULL && wsi_ref_drop(&blob->ref))
        wsi_free(blob);
}
