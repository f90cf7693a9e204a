/* SPDX-License-Identifier: MIT */
/* Numbers of nodes. */
#include "room/heard.h"

#include <string.h>

#include "core/alloc.h"

enum { NODES_MAX = 1024 };

void wsi_heard_fini(struct wsi_heard *heard)
{
    wsi_free(heard->nodes);
    *heard = (struct wsi_heard){0};
}

bool wsi_heard_take(struct wsi_heard *heard, const uint8_t *node, uint64_t seq)
{
    struct wsi_heard_node latest = {.seq = seq};
    struct wsi_heard_node *more;
    size_t i = 0;

    memcpy(latest.node, node, sizeof latest.node);
    while (i < heard->count &&
           memcmp(heard->nodes[i].node, node, sizeof latest.node) != 0)
        i++;
    if (i < heard->count && heard->nodes[i].seq >= seq)
        return false;
    if (i == heard->count && i == NODES_MAX)
        i--;
    if (i == heard->count) {
        more = wsi_realloc(heard->nodes, (i + 1) * sizeof *more);
        if (more == NULL)
            return true;
        heard->nodes = more;
        heard->count++;
    }
    memmove(&heard->nodes[1], &heard->nodes[0], i * sizeof latest);
    heard->nodes[0] = latest;
    return true;
}
