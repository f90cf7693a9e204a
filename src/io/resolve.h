/* SPDX-License-Identifier: MIT */
/*
 * Names to addresses without blocking a loop: getaddrinfo() runs on a few detached
 * helper threads that the whole process shares. It cannot be cancelled, so a job may
 * outlive the attempt that asked for it, and even its loop; it then ends unheard.
 */
#ifndef WSI_IO_RESOLVE_H
#define WSI_IO_RESOLVE_H

#include "io/address.h"
#include "io/loop.h"

enum { WSI_RESOLVE_MAX = 16 };

struct wsi_resolve; /* one job */

/**
 * What was found, on the loop's thread, never inside wsi_resolve_start(). The job ends
 * with this call and must not be cancelled any more.
 *
 * @param error 0, or a nonzero EAI_ code; why is its text.
 */
typedef void (*wsi_resolve_fn)(void *user, const struct wsi_address *addresses,
                               size_t count, int error, const char *why);

/** Start a job. @return 0; WSOCK_ENOMEM. */
int wsi_resolve_start(struct wsi_resolve **out, struct wsi_loop *loop, const char *host,
                      uint16_t port, wsi_resolve_fn done, void *user);

/** After this, done is not called. On the loop's thread. */
void wsi_resolve_cancel(struct wsi_resolve *job);

/** As wsi_address_getaddrinfo(). */
typedef int (*wsi_lookup_fn)(const char *host, uint16_t port, struct wsi_address *out,
                             size_t max, size_t *count);

/** Look names up in another way, in the whole process; NULL goes back. For tests, while
 * no job is under way. */
void wsi_resolve_set_lookup(wsi_lookup_fn lookup);

/** Wait until every job ended, cancelled ones included, and the threads have gone. */
void wsi_resolve_quiesce(void);

#endif
