/* SPDX-License-Identifier: MIT */
/* What of the library adapters of brokers may use (bus.h), over a pool. */
#ifndef WSI_CLUSTER_SERVICES_H
#define WSI_CLUSTER_SERVICES_H

#include "cluster/bus.h"

struct wsi_pool;

/** @param pool (borrowed) it outlives what uses the services. */
void wsi_services_init(struct wsi_bus_services *services, struct wsi_pool *pool);

#endif
