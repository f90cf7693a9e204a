/* SPDX-License-Identifier: MIT */
/*
 * Who is left out of messages from here that the broker has not sent back yet: it is told
 * of identities, but connections are known here only.
 *
 * What became of some is never known. So there are so many at most, and then the oldest
 * is forgotten. All of this with a lock of the caller's, but for making and freeing.
 */
#ifndef WSI_ROOM_WITHHELD_H
#define WSI_ROOM_WITHHELD_H

#include <stdint.h>

#include <wsock/room.h>

#include "core/list.h"
#include "core/table.h"
#include "room/audience.h"

struct wsi_withheld {
    struct wsi_list node;         /* all, the oldest first */
    struct wsi_table_node by_seq; /* of the message; its hash is that number */
    struct wsi_conns conns;
};

struct wsi_withholding {
    struct wsi_list all;
    struct wsi_table by_seq;
};

void wsi_withholding_init(struct wsi_withholding *withholding);
void wsi_withholding_fini(struct wsi_withholding *withholding);

/** @param out (out, owned) NULL when nobody is left out but by identity. @return 0;
 *  WSOCK_ENOMEM. */
int wsi_withheld_new(struct wsi_withheld **out, const wsock_publish *what);
/** Not with a lock: with a connection may go what the application gave it.
 *  @param withheld (nullable) */
void wsi_withheld_free(struct wsi_withheld *withheld);

/** @param withheld (consumed on success) @return 0; WSOCK_ENOMEM for the first of all. */
int wsi_withholding_put(struct wsi_withholding *withholding,
                        struct wsi_withheld *withheld, uint64_t seq);
/** @return (owned, nullable) */
struct wsi_withheld *wsi_withholding_take(struct wsi_withholding *withholding,
                                          uint64_t seq);
/** @return (owned, nullable) the oldest, when there are too many. */
struct wsi_withheld *wsi_withholding_take_excess(struct wsi_withholding *withholding);

#endif
