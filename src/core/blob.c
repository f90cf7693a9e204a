/* SPDX-License-Identifier: MIT */
/* Shared bytes. */
#include "core/blob.h"

#include <assert.h>
#include <string.h>

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

/* The pointer to what is around stands behind the bytes. */
size_t wsi_blob_inner_size(size_t capacity)
{
    const size_t size = sizeof(struct wsi_blob) + capacity + sizeof(void *);

    return (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
}

struct wsi_blob *wsi_blob_init_inner(void *at, size_t capacity, void *around,
                                     void (*release)(struct wsi_blob *blob))
{
    struct wsi_blob *blob = at;

    wsi_blob_init(blob, capacity, release);
    memcpy(blob->data + capacity, &around, sizeof around);
    return blob;
}

void *wsi_blob_around(const struct wsi_blob *blob)
{
    void *around;

    memcpy(&around, blob->data + blob->capacity, sizeof around);
    return around;
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
