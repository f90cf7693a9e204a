/* SPDX-License-Identifier: MIT */
/* What wsock_runtime_run() does when a signal comes. */
#ifndef WSI_API_RUN_H
#define WSI_API_RUN_H

#include <stdbool.h>

#include <wsock/types.h>

/** As wsock_runtime_stop(). @param cut cut connections off at once. */
void wsi_runtime_stop(wsock_runtime *runtime, bool cut);

#endif
