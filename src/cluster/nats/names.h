/* SPDX-License-Identifier: MIT */
/*
 * Names at the broker. PREFIX, ROOM and NAME are one token each: all of ASCII but
 * letters, digits, '-' and '_' is percent-encoded, dots of room names included.
 *
 *     PREFIX.r.ROOM                   what is heard of a room, kept messages included
 *     PREFIX.i.ID                     of a node      PREFIX.a   of all nodes
 *     PREFIX.h.MESSAGES-TIME.ROOM     what is to be kept; the stream sends it on to
 * .r.ROOM PREFIX.n.ID                     the list of nodes PREFIX.p.ROOM.ID.NAME the
 * lists of rooms
 *
 * and those of streams:
 *
 *     wsock-PREFIX-MESSAGES-TIME-EPOCH    one for each window; EPOCH is 16 digits
 *     wsock-PREFIX-nodes, wsock-PREFIX-people
 */
#ifndef WSI_NATS_NAMES_H
#define WSI_NATS_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster/bus.h"

enum {
    WSI_NATS_ROOM_MAX = 255,
    WSI_NATS_NAME_MAX = 255,
    WSI_NATS_PREFIX_MAX = 128, /* encoded: a name of a stream has at most 255 bytes */
    WSI_NATS_TOKEN_SIZE = 3 * WSI_NATS_ROOM_MAX + 1,
    WSI_NATS_SUBJECT_SIZE = WSI_NATS_PREFIX_MAX + 2 * WSI_NATS_TOKEN_SIZE + 128,
    WSI_NATS_STREAM_SIZE = 256,
};

/** @return false when it would take `size` bytes or more. */
bool wsi_nats_encode(char *out, size_t size, const char *name);
/** @param out `size` bytes. @return false when that is no such token. */
bool wsi_nats_decode(char *out, size_t size, const char *token, size_t len);

/** The epoch at the end of a stream's name; 0: it has none. */
uint64_t wsi_nats_epoch(const char *stream);

#endif
