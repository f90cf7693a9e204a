/* SPDX-License-Identifier: MIT */
/*
 * What the nodes of a cluster say to each other about rooms, as bytes. A broker carries
 * and keeps them, and any node may read them later, also an older or a newer one: so a
 * version begins them, and what follows the head are fields, of which a reader passes
 * over those that it does not know. Who reads trusts nothing: a broker may be somebody
 * else's.
 *
 *     0        1      2      3   4          20        28
 *     version  kind   flags  0   node (16)  seq (8)   fields: tag (1) size (4) bytes
 *
 * Numbers are big-endian. Texts end with a NUL, so that they need not be copied.
 */
#ifndef WSI_ROOM_WIRE_H
#define WSI_ROOM_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster/bus.h"

enum { WSI_WIRE_VERSION = 1, WSI_WIRE_HEAD_SIZE = 28 };

enum wsi_wire_kind {
    WSI_WIRE_MESSAGE = 1, /* to a room */
    WSI_WIRE_DIRECT,      /* to an identity, in a room if one is named */
    WSI_WIRE_KICK,        /* an identity out of a room */
    WSI_WIRE_CLOSE,       /* of a room */
    WSI_WIRE_DISCONNECT,  /* of an identity */
    WSI_WIRE_JOINED,      /* an identity came to a room, */
    WSI_WIRE_LEFT,        /* or left it, with its last connection of this node */
    WSI_WIRE_RECOUNT,     /* some of the two before were not heard */
    WSI_WIRE_KINDS
};

/* A text that is not there is NULL. What a kind needs of these is there when it was
 * read. */
struct wsi_wire {
    enum wsi_wire_kind kind;
    uint8_t node[WSI_BUS_NODE_ID_SIZE]; /* who says it */
    uint64_t seq;                       /* his number of it; they rise */
    int type;                           /* WSOCK_TEXT or WSOCK_BINARY, of the data */
    bool is_json, is_uncompressed;      /* the data */
    unsigned code;                      /* DISCONNECT: of the close frame */
    struct wsi_bytes data;              /* MESSAGE, DIRECT */
    struct wsi_bytes info;              /* JOINED */
    const char *key, *event, *from;     /* MESSAGE; DIRECT: all but key */
    const char *except_identity;        /* MESSAGE */
    const char *identity;               /* whom it is about */
    const char *reason;                 /* KICK, CLOSE, DISCONNECT */
    const char *room;                   /* DIRECT; else it is the channel's */
};

/** How many bytes it takes; 0 when a part of it is too long for that. */
size_t wsi_wire_size(const struct wsi_wire *wire);
/** @param out as many bytes. */
void wsi_wire_write(uint8_t *out, const struct wsi_wire *wire);
/** Change the number in what was written. */
void wsi_wire_number(uint8_t *out, uint64_t seq);

/**
 * Read what somebody else may have written.
 *
 * @param out (out) points into the bytes.
 * @return 0; WSOCK_ENOTSUP for another version or kind; WSOCK_EINVAL.
 */
int wsi_wire_read(struct wsi_wire *out, struct wsi_bytes bytes);

#endif
