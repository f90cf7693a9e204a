/* SPDX-License-Identifier: MIT */
/* Messages to a room: encoded once, in one allocation, and queued under the room's lock.
 */
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/conn.h"
#include "conn/encode.h"
#include "conn/send.h"
#include "conn/service.h"
#include "core/alloc.h"
#include "room/room.h"

/* ---- envelopes ---- */

static size_t ops_size(size_t shards)
{
    const size_t size = sizeof(struct wsi_envelope) + shards * sizeof(struct wsi_room_op);

    return (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
}

static void drop_conns(wsock_conn **conns, size_t count)
{
    for (size_t i = 0; i < count; i++)
        wsock_conn_unref(conns[i]);
    wsi_free(conns);
}

/* What the envelope holds goes here, where the application's free functions may run, and
 * not with the frame, whose last reference falls in the middle of a flush. */
void wsi_envelope_unref(struct wsi_envelope *envelope)
{
    struct wsi_blob *frame = envelope->frames.plain;

    if (!wsi_ref_drop(&envelope->ref))
        return;
    wsock_conn_unref(envelope->except);
    drop_conns(envelope->only, envelope->only_count);
    wsi_matches_unref(envelope->matches);
    wsi_frames_drop_packed(&envelope->frames);
    if (frame->release == NULL)
        wsi_free(envelope);
    wsi_blob_unref(frame);
}

/* While there are no threads there are no members, and no operations are needed. */
static unsigned shards_of(const wsock_room *room)
{
    return wsi_pool_count(room->registry->owner->pool);
}

static struct wsi_envelope *envelope_new(unsigned shards, size_t extra)
{
    struct wsi_envelope *envelope = wsi_alloc(ops_size(shards) + extra);

    if (envelope == NULL)
        return NULL;
    memset(envelope, 0, sizeof *envelope);
    wsi_ref_init(&envelope->ref);
    envelope->shards = shards;
    for (unsigned i = 0; i < shards; i++)
        envelope->ops[i] = (struct wsi_room_op){.kind = WSI_ROOM_MESSAGE,
                                                .subject = envelope};
    return envelope;
}

/* The frame inside an envelope is not referred to any more, by the envelope neither. */
static void release_inner(struct wsi_blob *blob)
{
    struct wsi_envelope *envelope;

    memcpy(&envelope, blob->data + blob->capacity, sizeof envelope);
    wsi_free(envelope);
}

/* With the lock held. */
static bool is_full(const wsock_room *room)
{
    for (unsigned i = 0; i < room->shard_count; i++)
        if (room->shards[i].pending_bytes >= WSI_ROOM_PENDING_MAX)
            return true;
    return false;
}

/* With the lock held. @return 0; WSOCK_ENOMEM, and those from before are there. */
static int find_matches(wsock_room *room)
{
    return wsi_matches_update(&room->matches, &room->generation, &room->registry->groups,
                              room->name);
}

int wsi_room_may_pack(wsock_room *room, unsigned *windows)
{
    bool full;

    *windows = wsi_windows_set(&room->windows);
    if (*windows == 0 && wsi_groups_are_none(&room->registry->groups))
        return 0;
    pthread_mutex_lock(&room->lock);
    full = is_full(room);
    /* Without memory who queues it is refused. */
    if (!full && find_matches(room) == 0 && room->matches != NULL)
        *windows |= wsi_matches_windows(room->matches);
    pthread_mutex_unlock(&room->lock);
    return full ? WSOCK_EAGAIN : 0;
}

/* A frame and its envelope in one block: [envelope, ops][blob, bytes][-> envelope]. */
static int envelope_with_frame(struct wsi_envelope **out, wsock_room *room, int type,
                               const void *data, size_t len)
{
    const size_t capacity = len + WSI_FRAME_HEADER_MAX;
    const unsigned shards = shards_of(room);
    struct wsi_envelope *envelope;
    struct wsi_blob *frame;
    unsigned windows = 0;
    int r;

    r = wsi_encode_check(type, data, len);
    if (r == 0 && (type & WSOCK_UNCOMPRESSED) == 0)
        r = wsi_room_may_pack(room, &windows);
    if (r < 0)
        return r;
    envelope = envelope_new(shards, sizeof(struct wsi_blob) + capacity + sizeof envelope);
    if (envelope == NULL)
        return WSOCK_ENOMEM;
    frame = (struct wsi_blob *)(void *)((char *)envelope + ops_size(shards));
    wsi_blob_init(frame, capacity, release_inner);
    memcpy(frame->data + capacity, &envelope, sizeof envelope);
    frame->len = wsi_encode_frame(frame->data, type, data, len);
    envelope->frames.plain = frame;
    wsi_frames_pack(&envelope->frames, room->registry->owner->pool,
                    wsi_service_options(room->registry->owner), windows);
    *out = envelope;
    return 0;
}

static int compare_addresses(const void *a, const void *b)
{
    const uintptr_t x = (uintptr_t) * (wsock_conn *const *)a;
    const uintptr_t y = (uintptr_t) * (wsock_conn *const *)b;

    return x < y ? -1 : x > y;
}

static bool is_for(const struct wsi_envelope *envelope, const wsock_conn *conn)
{
    if (envelope->except == conn)
        return false;
    return envelope->only == NULL || bsearch(&conn, envelope->only, envelope->only_count,
                                             sizeof conn, compare_addresses) != NULL;
}

void wsi_envelope_deliver(const struct wsi_envelope *envelope, wsock_conn *conn)
{
    if (is_for(envelope, conn))
        wsi_conn_deliver(conn, &envelope->frames);
}

/* ---- queueing ---- */

/* With the lock held: whoever listens by a pattern is meant too, but by no predicate. */
static int match(wsock_room *room, struct wsi_envelope *envelope)
{
    int r;

    if (envelope->only != NULL)
        return 0;
    r = find_matches(room);
    if (r == 0 && room->matches != NULL)
        r = wsi_room_make_shards(room);
    if (r < 0 || room->matches == NULL)
        return r;
    wsi_ref_take(&room->matches->ref);
    envelope->matches = room->matches;
    envelope->serial = wsi_groups_draw(&room->registry->groups);
    return 0;
}

/* @return how many are meant there. */
static size_t append_to_shard(struct wsi_shard *shard, struct wsi_envelope *envelope,
                              size_t bytes, bool *post)
{
    const unsigned index = (unsigned)(shard - shard->room->shards);
    size_t meant = shard->count;

    if (envelope->matches != NULL)
        meant += wsi_matches_count(envelope->matches, index);
    if (meant == 0)
        return 0;
    wsi_ref_take(&envelope->ref);
    shard->pending_bytes += bytes;
    if (envelope->matches != NULL)
        wsi_shard_push(shard, &envelope->ops[index]);
    else
        *post = wsi_shard_append(shard, &envelope->ops[index]);
    return meant;
}

/* The lock is given back. */
static void post_all(wsock_room *room, const struct wsi_envelope *envelope,
                     const bool *post)
{
    struct wsi_worker *workers = room->registry->owner->pool->workers;

    for (unsigned i = 0; i < room->shard_count; i++) {
        if (post[i])
            wsi_shard_post(&room->shards[i]);
        else if (envelope->matches != NULL)
            wsi_worker_settle(&workers[i]);
    }
}

/* @param envelope (consumed) @return how many members are meant; WSOCK_EAGAIN;
 * WSOCK_ECLOSED. */
static int queue(wsock_room *room, struct wsi_envelope *envelope)
{
    const size_t bytes = wsi_frames_bytes(&envelope->frames) + sizeof *envelope;
    bool post[WSI_WORKERS_MAX] = {false};
    int r;

    pthread_mutex_lock(&room->lock);
    r = room->closed ? WSOCK_ECLOSED : match(room, envelope);
    if (r == 0 && room->shard_count <= envelope->shards) {
        /* else the first member came since the message was made */
        r = is_full(room) ? WSOCK_EAGAIN : 0;
        for (unsigned i = 0; r >= 0 && i < room->shard_count; i++)
            r += (int)append_to_shard(&room->shards[i], envelope, bytes, &post[i]);
    }
    pthread_mutex_unlock(&room->lock);
    if (r > 0)
        post_all(room, envelope, post);
    if (r > 0 && envelope->only != NULL)
        r = (int)envelope->only_count;
    wsi_envelope_unref(envelope);
    return r;
}

static void set_except(struct wsi_envelope *envelope, wsock_conn *except)
{
    if (except != NULL)
        envelope->except = wsock_conn_ref(except);
}

/* The count less the one who is left out. */
static int queue_except(wsock_room *room, struct wsi_envelope *envelope,
                        wsock_conn *except)
{
    const bool is_member = except != NULL && wsi_room_has(room, except);
    int r;

    set_except(envelope, except);
    r = queue(room, envelope);
    return r > 0 && is_member ? r - 1 : r;
}

int wsock_room_broadcast(wsock_room *room, int type, const void *data, size_t len)
{
    return wsock_room_broadcast_except(room, NULL, type, data, len);
}

int wsock_room_broadcast_except(wsock_room *room, wsock_conn *except, int type,
                                const void *data, size_t len)
{
    struct wsi_envelope *envelope;
    int r;

    if (room == NULL)
        return WSOCK_EINVAL;
    r = envelope_with_frame(&envelope, room, type, data, len);
    return r < 0 ? r : queue_except(room, envelope, except);
}

int wsi_room_broadcast_frames(wsock_room *room, wsock_conn *except,
                              const struct wsi_frames *frames)
{
    struct wsi_envelope *envelope = envelope_new(shards_of(room), 0);

    if (envelope == NULL)
        return WSOCK_ENOMEM;
    envelope->frames.plain = wsi_blob_ref(frames->plain);
    wsi_frames_share(&envelope->frames, frames);
    return queue_except(room, envelope, except);
}

/* The members that a predicate accepts, of a snapshot. */
static int choose(wsock_room *room, wsock_member_fn accepts, void *user,
                  wsock_conn ***out, size_t *count)
{
    size_t room_for = 0, kept = 0, there;
    wsock_conn **conns = NULL;

    while ((there = wsock_room_members(room, conns, room_for)) > room_for) {
        drop_conns(conns, room_for);
        room_for = there + there / 8;
        conns = wsi_alloc_array(room_for, sizeof(wsock_conn *));
        if (conns == NULL)
            return WSOCK_ENOMEM;
        memset(conns, 0, room_for * sizeof(wsock_conn *));
    }
    for (size_t i = 0; i < there; i++) {
        if (accepts(conns[i], user))
            conns[kept++] = conns[i];
        else
            wsock_conn_unref(conns[i]);
    }
    if (kept > 0)
        qsort(conns, kept, sizeof(wsock_conn *), compare_addresses);
    *out = conns;
    *count = kept;
    return 0;
}

int wsock_room_broadcast_if(wsock_room *room, wsock_member_fn accepts, void *user,
                            int type, const void *data, size_t len)
{
    struct wsi_envelope *envelope;
    wsock_conn **only = NULL;
    size_t count = 0;
    int r;

    if (room == NULL || accepts == NULL)
        return WSOCK_EINVAL;
    r = wsi_encode_check(type, data, len);
    if (r == 0)
        r = choose(room, accepts, user, &only, &count);
    if (r < 0)
        return r;
    if (count == 0) {
        wsi_free(only);
        return 0;
    }
    r = envelope_with_frame(&envelope, room, type, data, len);
    if (r < 0) {
        drop_conns(only, count);
        return r;
    }
    envelope->only = only;
    envelope->only_count = count;
    return queue(room, envelope);
}
