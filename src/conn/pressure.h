/* SPDX-License-Identifier: MIT */
/*
 * The option max_buffered_bytes: what all connections of a runtime may hold of memory for
 * their peers together. Over it, connections that would grow stop reading; if that does
 * not help, each worker closes its largest one (1013), again and again, until it does.
 */
#ifndef WSI_CONN_PRESSURE_H
#define WSI_CONN_PRESSURE_H

#include <stdbool.h>
#include <stdint.h>

struct wsi_pool;
struct wsi_timer;

/** A quarter of the machine's memory or of the cgroup's limit, whichever is smaller. */
int64_t wsi_pressure_automatic_limit(void);

/** True while the account is over the limit. */
bool wsi_pressure_is_high(struct wsi_pool *pool);

/** A worker's timer while the pressure lasts. */
void wsi_pressure_relief(struct wsi_timer *timer);

#endif
