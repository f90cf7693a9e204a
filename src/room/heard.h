/* SPDX-License-Identifier: MIT */
/* The newest number of each node on a channel: what comes twice is told by that. */
#ifndef WSI_ROOM_HEARD_H
#define WSI_ROOM_HEARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster/bus.h"

/** Zero-initialise. */
struct wsi_heard {
    struct wsi_heard_node {
        uint8_t node[WSI_BUS_NODE_ID_SIZE];
        uint64_t seq;
    } * nodes; /* (owned, nullable) the latest first */
    size_t count;
};

/** @return whether it is newer than all that came of its node. Without memory for one
 *  node more it is: then it may come twice. */
bool wsi_heard_take(struct wsi_heard *heard, const uint8_t *node, uint64_t seq);
void wsi_heard_fini(struct wsi_heard *heard);

#endif
