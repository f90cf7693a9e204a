/* SPDX-License-Identifier: MIT */
/*
 * The rooms of a server by name. The table does not keep a room alive: whoever drops its
 * last reference takes it out, under the table's lock, so a name never leads to a room
 * that is going.
 */
#ifndef WSI_ROOM_REGISTRY_H
#define WSI_ROOM_REGISTRY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include <wsock/types.h>

#include "conn/owner.h"

struct wsi_registry {
    struct wsi_owner *owner; /* the server; rooms keep it */
    pthread_mutex_t lock;
    wsock_room **buckets; /* chains by wsock_room.next */
    size_t bucket_count, count;
};

/** @return 0; WSOCK_ENOMEM. */
int wsi_registry_init(struct wsi_registry *registry, struct wsi_owner *owner);
/** No room is left. */
void wsi_registry_fini(struct wsi_registry *registry);

/**
 * @param out    (out, owned)
 * @param create make it if it does not exist.
 * @return 0; WSOCK_EINVAL for the name; WSOCK_ENOENT; WSOCK_ENOMEM.
 */
int wsi_registry_get(struct wsi_registry *registry, wsock_room **out, const char *name,
                     bool create);

/** Drop a reference to a room of the table. */
void wsi_registry_drop(struct wsi_registry *registry, wsock_room *room);

/** What wsock/room.h demands of a name. */
bool wsi_room_name_is_valid(const char *name);

#endif
