/* SPDX-License-Identifier: MIT */
/*
 * The allocator door. The three functions are replaced as a whole and before the
 * first other call into the library, so they need no synchronisation.
 */
#include "core/alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>
#include <wsock/memory.h>

static void *(*alloc_fn)(size_t) = malloc;
static void *(*realloc_fn)(void *, size_t) = realloc;
static void (*free_fn)(void *) = free;

int wsock_set_allocator(wsock_malloc_fn allocate, wsock_realloc_fn reallocate,
                        wsock_mfree_fn release)
{
    const int given = (allocate != NULL) + (reallocate != NULL) + (release != NULL);

    if (given != 0 && given != 3)
        return WSOCK_EINVAL;
    alloc_fn = given != 0 ? allocate : malloc;
    realloc_fn = given != 0 ? reallocate : realloc;
    free_fn = given != 0 ? release : free;
    return 0;
}

void *wsi_alloc(size_t size)
{
    return alloc_fn(size != 0 ? size : 1);
}

void *wsi_zalloc(size_t size)
{
    void *block = wsi_alloc(size);

    if (block != NULL)
        memset(block, 0, size);
    return block;
}

void *wsi_alloc_array(size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / size)
        return NULL;
    return wsi_alloc(count * size);
}

void *wsi_realloc(void *block, size_t size)
{
    return realloc_fn(block, size != 0 ? size : 1);
}

void wsi_free(void *block)
{
    if (block != NULL)
        free_fn(block);
}

char *wsi_strndup(const char *text, size_t len)
{
    char *copy = wsi_alloc(len + 1);

    if (copy != NULL) {
        memcpy(copy, text, len);
        copy[len] = '\0';
    }
    return copy;
}

char *wsi_strdup(const char *text)
{
    return wsi_strndup(text, strlen(text));
}
