/* SPDX-License-Identifier: MIT */
/* Where the memory of plug-ins comes from: core/alloc.h, answered by the library. */
#ifndef WSI_CLUSTER_HEAP_H
#define WSI_CLUSTER_HEAP_H

#include "cluster/bus.h"

/** Before the first allocation. All runtimes of a process give the same functions. */
void wsi_heap_use(const struct wsi_bus_services *services);

#endif
