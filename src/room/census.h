/* SPDX-License-Identifier: MIT */
/* Who is in a room on all nodes of a cluster, and which nodes there are: asked of the
 * broker, answered later. */
#ifndef WSI_ROOM_CENSUS_H
#define WSI_ROOM_CENSUS_H

#include <wsock/cluster.h>
#include <wsock/member.h>

struct wsi_registry;
struct wsi_spread;

/** As wsock_server_nodes(). */
int wsi_census_nodes(struct wsi_registry *registry, wsock_nodes_fn fn, void *user);

/** Say what this node is. */
void wsi_census_describe(struct wsi_spread *spread, size_t conns);

#endif
