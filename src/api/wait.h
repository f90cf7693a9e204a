/* SPDX-License-Identifier: MIT */
/* Waiting for an end, and dispatching meanwhile what only this thread would. */
#ifndef WSI_API_WAIT_H
#define WSI_API_WAIT_H

#include <stdbool.h>
#include <stdint.h>

struct wsi_pool;

/**
 * Wait until is_over(what), which is asked with the pool's lock held, and again whenever
 * wsi_pool_changed() was called.
 *
 * @param fd         (-1: none) to wait for as well.
 * @param timeout_ms negative: no limit; 0: only look.
 * @return 0 when it is over; 1 when fd is readable; WSOCK_ETIMEDOUT; on a network in
 *         memory WSOCK_EDEADLK when nothing can end it any more. A signal does not end
 * it.
 */
int wsi_await(struct wsi_pool *pool, bool (*is_over)(const void *what), const void *what,
              int fd, int64_t timeout_ms);

/** Run what waits on the pool's queues, whoever dispatches them: for a network in memory.
 * @return whether handlers ran. */
bool wsi_dispatch_all(struct wsi_pool *pool);
/** @return whether something waits there. */
bool wsi_some_wait(struct wsi_pool *pool);

#endif
