/* SPDX-License-Identifier: MIT */
/*
 * Names at the broker. All that belongs to one room lies in one slot of a Redis Cluster,
 * by the part in braces:
 *
 *     PREFIX:{r:ROOM}         the channel of a room     PREFIX:{n:ID} of a node
 *     PREFIX:{a}              that of all nodes
 *     PREFIX:{r:ROOM}:m       hash: epoch, newest offset, its time, bytes so far
 *     PREFIX:{r:ROOM}:s       stream: what is kept; ids are TIME-OFFSET
 *     PREFIX:{r:ROOM}:d:ID    the last message that this node had stored
 *     PREFIX:{r:ROOM}:n       sorted set: nodes with entries, by when they expire
 *     PREFIX:{r:ROOM}:p:ID    hash: the entries of that node
 *     PREFIX:{l}:n, :p:ID     the same of the list of nodes
 *     PREFIX:{b}              there while somebody hears all rooms (Redis Cluster)
 *
 * Braces and percent signs of names and of the prefix are percent-encoded.
 */
#ifndef WSI_REDIS_KEYS_H
#define WSI_REDIS_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster/bus.h"
#include "cluster/node_id.h"

enum {
    WSI_NAME_MAX = 255,
    WSI_PREFIX_MAX = 255,
    /* Every byte of both may have to be encoded, and what stands around them. */
    WSI_REDIS_KEY_SIZE = 3 * (WSI_PREFIX_MAX + WSI_NAME_MAX) + WSI_NODE_HEX_SIZE + 16,
    WSI_SLOTS = 16384,
};

struct wsi_key {
    char text[WSI_REDIS_KEY_SIZE];
    size_t len;
};

/** The prefix, encoded. @return false when it is too long. */
bool wsi_key_prefix(char out[3 * WSI_PREFIX_MAX + 1], const char *prefix);

/** "PREFIX:{KIND:NAME}", or "PREFIX:{KIND}" with a NULL name. */
void wsi_key_base(struct wsi_key *key, const char *prefix, char kind, const char *name);
/** The same and what follows it. */
void wsi_key_add(struct wsi_key *key, const char *more);

void wsi_key_channel(struct wsi_key *key, const char *prefix,
                     const struct wsi_bus_channel *channel);
/** The pattern of the channels of all rooms. */
void wsi_key_all_rooms(struct wsi_key *key, const char *prefix);
/** The room of such a channel. @param name (out) WSI_NAME_MAX + 1 bytes. @return false
 *  when it is none. */
bool wsi_key_room_of(char *name, const char *prefix, const char *channel, size_t len);

/** The slot of a key with a part in braces. */
unsigned wsi_key_slot(const char *key, size_t len);

#endif
