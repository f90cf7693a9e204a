/* SPDX-License-Identifier: MIT */
/* Ids of nodes as text: 32 hexadecimal digits, small letters. */
#ifndef WSI_CLUSTER_NODE_ID_H
#define WSI_CLUSTER_NODE_ID_H

#include "cluster/bus.h"

enum { WSI_NODE_HEX_SIZE = 2 * WSI_BUS_NODE_ID_SIZE + 1 };

void wsi_node_hex(char out[WSI_NODE_HEX_SIZE], const uint8_t *node);
bool wsi_node_from_hex(uint8_t *node, const char *hex, size_t len);

#endif
