/* SPDX-License-Identifier: MIT */
/* wsock_runtime_run() and what wakes it. */
#ifndef WSI_API_RUN_H
#define WSI_API_RUN_H

#include <stdbool.h>

#include <wsock/types.h>

/** Something changed that wsock_runtime_run() may wait for. With the pool's lock held. */
void wsi_run_wake(wsock_runtime *runtime);

/** As wsock_runtime_stop(). @param cut cut connections off at once. */
void wsi_runtime_stop(wsock_runtime *runtime, bool cut);

#endif
