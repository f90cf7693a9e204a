/* SPDX-License-Identifier: MIT */
/*
 * Subscriptions to patterns: who subscribed to one is in its group, and gets what is said
 * in every room whose name matches, once, in each room's order.
 *
 *   broadcast, room->lock held            worker
 *   the room's groups (matches),          takes the room's queue, and for each message:
 *   serial of the message ----------->    to the room's members, marking each,
 *   to each worker that has members       then to the subscribers of its groups who were
 *   of the room or of a group             there at that serial and are not marked
 *
 * Messages to rooms with groups, subscriptions and their ends draw serials from one
 * counter, so each subscriber gets exactly what was said between the two. Subscriptions
 * wait in their group until the worker delivers to it: nobody is woken for them. One that
 * has ended goes by mail, behind the rooms' mail of whatever was said before.
 *
 * A room keeps the groups that it found until there is a new pattern (`generation`).
 *
 * Locks: room->lock, then groups->lock; group->lock, then worker->lock.
 */
#ifndef WSI_ROOM_GROUP_H
#define WSI_ROOM_GROUP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <wsock/types.h>

#include "core/ref.h"
#include "room/pattern.h"

struct wsi_envelope;
struct wsi_group;
struct wsi_registry;

/* Of a server. */
struct wsi_groups {
    atomic_uint_fast64_t generation; /* 0 until somebody subscribes */
    atomic_uint_fast64_t serial;     /* the last one that was drawn */
    pthread_mutex_t lock;            /* what follows */
    struct wsi_patterns patterns;    /* to struct wsi_group */
};

/* The groups of a room, as of a generation. */
struct wsi_matches {
    struct wsi_ref ref; /* of the room, of messages under way */
    size_t count;
    struct wsi_group *groups[]; /* references */
};

void wsi_groups_init(struct wsi_groups *groups);
/** No room and no connection is left. */
void wsi_groups_fini(struct wsi_groups *groups);

/** Nobody ever subscribed. Any thread. */
static inline bool wsi_groups_are_none(const struct wsi_groups *groups)
{
    return atomic_load(&groups->generation) == 0;
}

/** Does somebody listen now? */
bool wsi_groups_have_some(struct wsi_groups *groups);
/** To a room of that name? */
bool wsi_groups_match(struct wsi_groups *groups, const char *name);

static inline uint64_t wsi_groups_draw(struct wsi_groups *groups)
{
    return atomic_fetch_add(&groups->serial, 1) + 1;
}

/** @param pattern valid and bounded. @return as wsock_server_subscribe(). */
int wsi_group_join(struct wsi_registry *registry, wsock_conn *conn, const char *pattern);
/** @return 0; WSOCK_ENOENT. */
int wsi_group_leave(struct wsi_registry *registry, wsock_conn *conn, const char *pattern);

/**
 * Find the groups of a room, if they are not those of this generation already. With the
 * room's lock held.
 *
 * @param matches    (out) of the room; NULL while there are none.
 * @param generation of the room.
 * @return 0; WSOCK_ENOMEM, and nothing changed.
 */
int wsi_matches_update(struct wsi_matches **matches, uint64_t *generation,
                       struct wsi_groups *groups, const char *name);
/** @param matches (nullable) */
void wsi_matches_unref(struct wsi_matches *matches);

/** How many subscribe on one worker. Any thread. */
size_t wsi_matches_count(const struct wsi_matches *matches, unsigned worker);
/** Whom their messages are made for (frames.h). Any thread. */
unsigned wsi_matches_takers(const struct wsi_matches *matches);

/** On a worker: a member of the room hears the message by itself. */
void wsi_matches_mark(wsock_conn *conn, uint64_t serial);
/** And now those who do not. */
void wsi_matches_deliver(const struct wsi_envelope *envelope, unsigned worker);

#endif
