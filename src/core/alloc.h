/* SPDX-License-Identifier: MIT */
/*
 * The one door to the heap. Everything in src/ allocates here, so that an
 * application can bring its own allocator (wsock_set_allocator) and the tests can
 * fail the nth allocation. Calling malloc() elsewhere in src/ is a lint error.
 */
#ifndef WSI_CORE_ALLOC_H
#define WSI_CORE_ALLOC_H

#include <stddef.h>

/** @return (out, owned, nullable) size bytes; size 0 gives a unique pointer. */
void *wsi_alloc(size_t size) __attribute__((malloc));

/** Like wsi_alloc, and all bytes are zero. */
void *wsi_zalloc(size_t size) __attribute__((malloc));

/** Room for count items of size bytes, NULL as well when the product overflows. */
void *wsi_alloc_array(size_t count, size_t size) __attribute__((malloc));

/** NULL leaves the old block as it was. */
void *wsi_realloc(void *block, size_t size);

/** Takes NULL. */
void wsi_free(void *block);

/** A copy of len bytes with a NUL behind them; free with wsi_free. */
char *wsi_strndup(const char *text, size_t len);

/** A copy of a string; free with wsi_free. */
char *wsi_strdup(const char *text);

#endif
