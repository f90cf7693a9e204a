/* SPDX-License-Identifier: MIT */
/* The table of rooms, and what a name may be. */
#include "room/registry.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "core/alloc.h"
#include "room/branch.h"
#include "room/name.h"
#include "room/options.h"
#include "room/room.h"
#include "room/spread.h"

enum { FIRST_BUCKETS = 16 };

int wsi_registry_init(struct wsi_registry *registry, struct wsi_owner *owner,
                      const struct wsi_options *options)
{
    registry->buckets = wsi_zalloc(FIRST_BUCKETS * sizeof(wsock_room *));
    if (registry->buckets == NULL)
        return WSOCK_ENOMEM;
    registry->bucket_count = FIRST_BUCKETS;
    registry->count = 0;
    registry->owner = owner;
    registry->options = options;
    registry->closed = false;
    wsi_list_init(&registry->rules);
    wsi_histories_init(&registry->histories);
    wsi_groups_init(&registry->groups);
    wsi_hash_key_init(&registry->key);
    atomic_init(&registry->spread, NULL);
    pthread_mutex_init(&registry->lock, NULL);
    return 0;
}

void wsi_registry_fini(struct wsi_registry *registry)
{
    wsi_room_rules_fini(&registry->rules);
    wsi_histories_fini(&registry->histories);
    wsi_groups_fini(&registry->groups);
    wsi_spread_free(wsi_registry_spread(registry));
    wsi_free(registry->buckets);
    pthread_mutex_destroy(&registry->lock);
}

static uint64_t hash_of(const struct wsi_registry *registry, const char *name)
{
    return wsi_hash(&registry->key, name, strlen(name));
}

static wsock_room **bucket_of(struct wsi_registry *registry, uint64_t hash)
{
    return &registry->buckets[hash & (registry->bucket_count - 1)];
}

static wsock_room *find(struct wsi_registry *registry, const char *name)
{
    const uint64_t hash = hash_of(registry, name);
    wsock_room *room = *bucket_of(registry, hash);

    while (room != NULL && (room->hash != hash || strcmp(room->name, name) != 0))
        room = room->next;
    return room;
}

/* Without memory the chains just grow longer. */
static void grow(struct wsi_registry *registry)
{
    const size_t old_count = registry->bucket_count;
    wsock_room **old = registry->buckets;
    wsock_room **buckets = wsi_zalloc(2 * old_count * sizeof(wsock_room *));

    if (buckets == NULL)
        return;
    registry->buckets = buckets;
    registry->bucket_count = 2 * old_count;
    for (size_t i = 0; i < old_count; i++) {
        while (old[i] != NULL) {
            wsock_room *room = old[i];
            wsock_room **bucket = bucket_of(registry, room->hash);

            old[i] = room->next;
            room->next = *bucket;
            *bucket = room;
        }
    }
    wsi_free(old);
}

static void link_room(struct wsi_registry *registry, wsock_room *room)
{
    const uint64_t hash = hash_of(registry, room->name);
    wsock_room **bucket;

    if (registry->count >= registry->bucket_count)
        grow(registry);
    bucket = bucket_of(registry, hash);
    room->hash = hash;
    room->next = *bucket;
    *bucket = room;
    room->listed = true;
    registry->count++;
}

static int refuse(int code, const char *name, const char *because, char *why,
                  size_t why_size)
{
    snprintf(why, why_size, "room \"%.255s\": %s", name, because);
    return code;
}

/* With the lock held. */
static int make(struct wsi_registry *registry, wsock_room **out, const char *name,
                const struct wsi_options *asked, char *why, size_t why_size)
{
    struct wsi_room_options options;

    if (registry->closed)
        return refuse(WSOCK_ECLOSED, name, "the server is stopping", why, why_size);
    if ((int64_t)registry->count >= wsi_option(registry->options, WSI_OPT_MAX_ROOMS))
        return refuse(WSOCK_ETOOBIG, name, "there are as many as max_rooms allows", why,
                      why_size);
    wsi_room_options_decide(&options, registry->options, &registry->rules, asked, name);
    *out = wsi_room_new(registry, name, &options);
    if (*out == NULL)
        return refuse(WSOCK_ENOMEM, name, wsock_strerror(WSOCK_ENOMEM), why, why_size);
    link_room(registry, *out);
    return 0;
}

int wsi_registry_find(struct wsi_registry *registry, wsock_room **out, const char *name)
{
    wsock_room *room;

    if (!wsi_room_name_is_valid(name))
        return WSOCK_EINVAL;
    pthread_mutex_lock(&registry->lock);
    room = find(registry, name);
    if (room != NULL)
        wsi_ref_take(&room->ref);
    pthread_mutex_unlock(&registry->lock);
    if (room == NULL)
        return WSOCK_ENOENT;
    *out = room;
    return 0;
}

size_t wsi_registry_list(struct wsi_registry *registry, wsock_room **out, size_t max,
                         const char *pattern)
{
    size_t count = 0;

    pthread_mutex_lock(&registry->lock);
    for (size_t i = 0; i < registry->bucket_count; i++) {
        for (wsock_room *room = registry->buckets[i]; room != NULL; room = room->next) {
            if (pattern != NULL && !wsi_room_pattern_matches(pattern, room->name))
                continue;
            if (count < max)
                out[count] = wsock_room_ref(room);
            count++;
        }
    }
    pthread_mutex_unlock(&registry->lock);
    return count;
}

/* With the lock held. */
static int reuse(wsock_room *room, const struct wsi_options *asked, char *why,
                 size_t why_size)
{
    const int r = asked == NULL ? 0
                                : wsi_room_options_compare(&room->options, asked,
                                                           room->name, why, why_size);

    if (r == 0)
        wsi_ref_take(&room->ref);
    return r;
}

int wsi_registry_get(struct wsi_registry *registry, wsock_room **out, const char *name,
                     const struct wsi_options *asked, char *why, size_t why_size)
{
    wsock_room *room;
    int r = 0;

    if (!wsi_room_name_is_valid(name))
        return refuse(WSOCK_EINVAL, name,
                      "not a valid name: 1 to 255 bytes, tokens divided by single dots, "
                      "without '*', '>' and control characters",
                      why, why_size);
    pthread_mutex_lock(&registry->lock);
    room = find(registry, name);
    if (room == NULL)
        r = make(registry, &room, name, asked, why, why_size);
    else
        r = reuse(room, asked, why, why_size);
    pthread_mutex_unlock(&registry->lock);
    if (r == 0)
        *out = room;
    return r;
}

int wsi_registry_set_default(struct wsi_registry *registry, const char *pattern,
                             const char *option, const char *value, char *why,
                             size_t why_size)
{
    int r;

    pthread_mutex_lock(&registry->lock);
    r = wsi_room_rules_add(&registry->rules, pattern, option, value, why, why_size);
    pthread_mutex_unlock(&registry->lock);
    return r;
}

/* With the lock held. @return (owned) all rooms, by wsock_room.next_closed. */
static wsock_room *list_all(struct wsi_registry *registry)
{
    wsock_room *first = NULL;

    for (size_t i = 0; i < registry->bucket_count; i++) {
        for (wsock_room *room = registry->buckets[i]; room != NULL; room = room->next) {
            wsi_ref_take(&room->ref);
            room->next_closed = first;
            first = room;
        }
    }
    return first;
}

void wsi_registry_close(struct wsi_registry *registry)
{
    wsock_room *room;

    pthread_mutex_lock(&registry->lock);
    registry->closed = true;
    room = list_all(registry);
    pthread_mutex_unlock(&registry->lock);
    while (room != NULL) {
        wsock_room *next = room->next_closed;

        wsi_room_close(room);
        wsi_registry_drop(registry, room);
        room = next;
    }
}

void wsi_registry_set_spread(struct wsi_registry *registry, struct wsi_spread *spread)
{
    assert(wsi_registry_spread(registry) == NULL);
    atomic_store_explicit(&registry->spread, spread, memory_order_release);
}

/* Rooms that are made from now on have a branch. */
int wsi_registry_spread_out(struct wsi_registry *registry)
{
    wsock_room *room;
    int r = 0;

    pthread_mutex_lock(&registry->lock);
    room = list_all(registry);
    pthread_mutex_unlock(&registry->lock);
    while (room != NULL) {
        wsock_room *next = room->next_closed;

        if (r == 0)
            r = wsi_branch_add(room);
        wsi_registry_drop(registry, room);
        room = next;
    }
    return r;
}

/* With the lock held, if it is still there. */
static void unlink_room(struct wsi_registry *registry, wsock_room *room)
{
    wsock_room **link = bucket_of(registry, room->hash);

    if (!room->listed)
        return;
    while (*link != room)
        link = &(*link)->next;
    *link = room->next;
    room->listed = false;
    registry->count--;
}

void wsi_registry_remove(struct wsi_registry *registry, wsock_room *room)
{
    pthread_mutex_lock(&registry->lock);
    unlink_room(registry, room);
    pthread_mutex_unlock(&registry->lock);
}

void wsi_registry_drop(struct wsi_registry *registry, wsock_room *room)
{
    bool last;

    if (wsi_ref_drop_unless_last(&room->ref))
        return;
    pthread_mutex_lock(&registry->lock);
    last = wsi_ref_drop(&room->ref);
    if (last)
        unlink_room(registry, room);
    pthread_mutex_unlock(&registry->lock);
    if (last)
        wsi_room_free(room);
}
