/* SPDX-License-Identifier: MIT */
/* What happens in a room, as an entry of a queue: of a shard, or of what is told to the
 * application. It lies in what it is about. */
#ifndef WSI_ROOM_OP_H
#define WSI_ROOM_OP_H

#include <stdint.h>

enum wsi_room_op_kind {
    WSI_ROOM_JOIN,
    WSI_ROOM_LEAVE,
    WSI_ROOM_MESSAGE,
    WSI_ROOM_KNOWN, /* how a join went */
    WSI_ROOM_MET,   /* who is there, for a join that waits for it */
};

struct wsi_room_op {
    struct wsi_room_op *next;
    uint8_t kind;
    void *subject; /* a message: struct wsi_envelope; KNOWN: struct wsi_waiting; else
                      struct wsi_member, or to the application struct wsi_attendance */
};

#endif
