/* SPDX-License-Identifier: MIT */
#include "cluster/node_id.h"

static const char digits[] = "0123456789abcdef";

void wsi_node_hex(char out[WSI_NODE_HEX_SIZE], const uint8_t *node)
{
    for (size_t i = 0; i < WSI_BUS_NODE_ID_SIZE; i++) {
        out[2 * i] = digits[node[i] >> 4];
        out[2 * i + 1] = digits[node[i] & 15];
    }
    out[WSI_NODE_HEX_SIZE - 1] = '\0';
}

static int value_of(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

bool wsi_node_from_hex(uint8_t *node, const char *hex, size_t len)
{
    if (len != WSI_NODE_HEX_SIZE - 1)
        return false;
    for (size_t i = 0; i < WSI_BUS_NODE_ID_SIZE; i++) {
        const int high = value_of(hex[2 * i]), low = value_of(hex[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        node[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}
