/* SPDX-License-Identifier: MIT */
/** @file The library's heap, for applications that bring their own. */
#ifndef WSOCK_MEMORY_H
#define WSOCK_MEMORY_H

#include <stddef.h>

#include <wsock/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/** As malloc(): NULL when there is no memory. Size is never 0. Called from any thread. */
typedef void *(*wsock_malloc_fn)(size_t size);
/** As realloc(). Called from any thread. */
typedef void *(*wsock_realloc_fn)(void *block, size_t size);
/** As free(). Called from any thread. */
typedef void (*wsock_mfree_fn)(void *block);

/**
 * Give the library its heap, process-wide. Three NULLs go back to malloc(). What one set
 * of functions allocated is never handed to another: so call it while the library holds
 * nothing, at best before anything else of it.
 *
 * @return 0; WSOCK_EINVAL when only some of the three are NULL.
 * Thread: any, but no other call may run at the same time. Since: 1.0
 */
WSOCK_API int wsock_set_allocator(wsock_malloc_fn allocate, wsock_realloc_fn reallocate,
                                  wsock_mfree_fn release);

#ifdef __cplusplus
}
#endif

#endif
