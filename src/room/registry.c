/* SPDX-License-Identifier: MIT */
/* The table of rooms, and what a name may be. */
#include "room/registry.h"

#include <string.h>

#include <wsock/error.h>

#include "core/alloc.h"
#include "proto/utf8.h"
#include "room/room.h"

enum { FIRST_BUCKETS = 16, NAME_MAX_BYTES = 255 };

int wsi_registry_init(struct wsi_registry *registry, struct wsi_owner *owner)
{
    registry->buckets = wsi_zalloc(FIRST_BUCKETS * sizeof(wsock_room *));
    if (registry->buckets == NULL)
        return WSOCK_ENOMEM;
    registry->bucket_count = FIRST_BUCKETS;
    registry->count = 0;
    registry->owner = owner;
    pthread_mutex_init(&registry->lock, NULL);
    return 0;
}

void wsi_registry_fini(struct wsi_registry *registry)
{
    wsi_free(registry->buckets);
    pthread_mutex_destroy(&registry->lock);
}

bool wsi_room_name_is_valid(const char *name)
{
    const size_t len = strlen(name);
    bool token_is_empty = true;

    if (len == 0 || len > NAME_MAX_BYTES || !wsi_utf8_is_valid(name, len))
        return false;
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)name[i];

        if (c < 0x20 || c == 0x7f || c == '*' || c == '>' || (c == '.' && token_is_empty))
            return false;
        token_is_empty = c == '.';
    }
    return !token_is_empty;
}

/* FNV-1a: names are short, and an attacker who can choose them meets
 * max_rooms_per_connection first. */
static size_t hash_of(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (; *name != '\0'; name++)
        hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
    return (size_t)(hash ^ (hash >> 32));
}

static wsock_room **bucket_of(struct wsi_registry *registry, size_t hash)
{
    return &registry->buckets[hash & (registry->bucket_count - 1)];
}

static wsock_room *find(struct wsi_registry *registry, const char *name, size_t hash)
{
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

static int make(struct wsi_registry *registry, wsock_room **out, const char *name,
                size_t hash)
{
    wsock_room *room = wsi_room_new(registry, name);
    wsock_room **bucket;

    if (room == NULL)
        return WSOCK_ENOMEM;
    if (registry->count >= registry->bucket_count)
        grow(registry);
    bucket = bucket_of(registry, hash);
    room->hash = hash;
    room->next = *bucket;
    *bucket = room;
    registry->count++;
    *out = room;
    return 0;
}

int wsi_registry_get(struct wsi_registry *registry, wsock_room **out, const char *name,
                     bool create)
{
    wsock_room *room;
    size_t hash;
    int r = 0;

    if (!wsi_room_name_is_valid(name))
        return WSOCK_EINVAL;
    hash = hash_of(name);
    pthread_mutex_lock(&registry->lock);
    room = find(registry, name, hash);
    if (room != NULL)
        wsi_ref_take(&room->ref);
    else if (create)
        r = make(registry, &room, name, hash);
    else
        r = WSOCK_ENOENT;
    pthread_mutex_unlock(&registry->lock);
    if (r == 0)
        *out = room;
    return r;
}

void wsi_registry_drop(struct wsi_registry *registry, wsock_room *room)
{
    bool last;

    if (wsi_ref_drop_unless_last(&room->ref))
        return;
    pthread_mutex_lock(&registry->lock);
    last = wsi_ref_drop(&room->ref);
    if (last) {
        wsock_room **link = bucket_of(registry, room->hash);

        while (*link != room)
            link = &(*link)->next;
        *link = room->next;
        registry->count--;
    }
    pthread_mutex_unlock(&registry->lock);
    if (last)
        wsi_room_free(room);
}
