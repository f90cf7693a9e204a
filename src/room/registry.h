/* SPDX-License-Identifier: MIT */
/*
 * The rooms of a server by name. The table does not keep a room alive: whoever drops its
 * last reference takes it out, under the table's lock, so a name never leads to a room
 * that is going. A room that is to outlive its members and handles holds a reference to
 * itself (wsock_room.kept), until the table is closed when the server has ended.
 *
 * Locks: registry->lock, then room->lock; never the other way.
 */
#ifndef WSI_ROOM_REGISTRY_H
#define WSI_ROOM_REGISTRY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include <wsock/types.h>

#include "conn/owner.h"
#include "core/list.h"
#include "core/option.h"
#include "room/group.h"
#include "room/history.h"

struct wsi_spread;

struct wsi_registry {
    struct wsi_owner *owner;           /* the server; rooms keep it */
    const struct wsi_options *options; /* of the server */
    pthread_mutex_t lock;
    wsock_room **buckets; /* chains by wsock_room.next */
    size_t bucket_count, count;
    struct wsi_list rules; /* options by pattern: options.h */
    struct wsi_histories histories;
    bool closed; /* no room is made any more */
    struct wsi_groups groups;
    struct wsi_hash_key key;             /* of what peers choose in rooms */
    _Atomic(struct wsi_spread *) spread; /* (owned, nullable) set at most once */
};

/** The server's part of a cluster. @return (borrowed, nullable) */
static inline struct wsi_spread *wsi_registry_spread(const struct wsi_registry *registry)
{
    return atomic_load_explicit(&registry->spread, memory_order_acquire);
}

/** From now on rooms that are made are those of a cluster too. @param spread (consumed)
 */
void wsi_registry_set_spread(struct wsi_registry *registry, struct wsi_spread *spread);
/** And those that were there before. @return 0; WSOCK_ENOMEM: some are still this node's
 *  alone, and it can be called again. */
int wsi_registry_spread_out(struct wsi_registry *registry);

/** @param options (borrowed) defaults of the rooms. @return 0; WSOCK_ENOMEM. */
int wsi_registry_init(struct wsi_registry *registry, struct wsi_owner *owner,
                      const struct wsi_options *options);
/** No room is left. */
void wsi_registry_fini(struct wsi_registry *registry);

/** @param out (out, owned) @return 0; WSOCK_EINVAL for the name; WSOCK_ENOENT. */
int wsi_registry_find(struct wsi_registry *registry, wsock_room **out, const char *name);

/** Those whose names match. @param out (out, owned) at most max. @param pattern
 * (nullable) valid. @return how many there are. */
size_t wsi_registry_list(struct wsi_registry *registry, wsock_room **out, size_t max,
                         const char *pattern);

/**
 * Find it, or make it.
 *
 * @param out   (out, owned)
 * @param asked (nullable) options of scope room: it has those that are explicit.
 * @param why   (out) on failure one sentence; WSI_ROOM_WHY_SIZE is enough.
 * @return 0; WSOCK_EINVAL for the name; WSOCK_EEXIST when it is there with other options;
 *         WSOCK_ETOOBIG at max_rooms; WSOCK_ECLOSED; WSOCK_ENOMEM.
 */
int wsi_registry_get(struct wsi_registry *registry, wsock_room **out, const char *name,
                     const struct wsi_options *asked, char *why, size_t why_size);

/** As wsock_server_room_defaults(). */
int wsi_registry_set_default(struct wsi_registry *registry, const char *pattern,
                             const char *option, const char *value, char *why,
                             size_t why_size);

/** The server has ended: close every room, and have none stay for its own sake. */
void wsi_registry_close(struct wsi_registry *registry);

/** Its name may come to mean another room. */
void wsi_registry_remove(struct wsi_registry *registry, wsock_room *room);

/** Drop a reference to a room of the table. */
void wsi_registry_drop(struct wsi_registry *registry, wsock_room *room);

#endif
