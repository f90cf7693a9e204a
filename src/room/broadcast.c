/* SPDX-License-Identifier: MIT */
/* Messages to a room: encoded once, in one allocation, and queued under the room's lock.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/conn.h"
#include "conn/encode.h"
#include "conn/send.h"
#include "conn/service.h"
#include "core/alloc.h"
#include "proto/utf8.h"
#include "room/crowd.h"
#include "room/room.h"

enum {
    KEY_MAX_BYTES = 255,
    ONCE_MORE = INT_MIN, /* no error of the library's */
};

/* ---- envelopes ---- */

static size_t ops_size(size_t shards)
{
    const size_t size = sizeof(struct wsi_envelope) +
                        (shards + 1) * sizeof(struct wsi_room_op);

    return (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
}

static void drop_conns(struct wsi_conns *conns)
{
    for (size_t i = 0; i < conns->count; i++)
        wsock_conn_unref(conns->conns[i]);
    wsi_free(conns->conns);
    *conns = (struct wsi_conns){0};
}

/* What the envelope holds goes here, where the application's free functions may run, and
 * not with the frame, whose last reference falls in the middle of a flush. */
void wsi_envelope_unref(struct wsi_envelope *envelope)
{
    struct wsi_blob *frame = envelope->frames.plain;

    if (!wsi_ref_drop(&envelope->ref))
        return;
    wsock_conn_unref(envelope->except);
    drop_conns(&envelope->only);
    drop_conns(&envelope->excluded);
    wsi_matches_unref(envelope->matches);
    wsi_frames_drop_packed(&envelope->frames);
    wsi_blob_unref(envelope->key);
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
    for (unsigned i = 0; i <= shards; i++)
        envelope->ops[i] = (struct wsi_room_op){.kind = WSI_ROOM_MESSAGE,
                                                .subject = envelope};
    return envelope;
}

/* What lies inside an envelope and is shared by itself keeps a pointer to it behind its
 * bytes. */
static struct wsi_envelope *envelope_around(const struct wsi_blob *blob)
{
    struct wsi_envelope *envelope;

    memcpy(&envelope, blob->data + blob->capacity, sizeof envelope);
    return envelope;
}

static struct wsi_blob *init_inner(struct wsi_envelope *envelope, void *at,
                                   size_t capacity, void (*release)(struct wsi_blob *))
{
    struct wsi_blob *blob = at;

    wsi_blob_init(blob, capacity, release);
    memcpy(blob->data + capacity, &envelope, sizeof envelope);
    return blob;
}

/* The frame inside an envelope is not referred to any more, by the envelope neither. */
static void release_frame(struct wsi_blob *frame)
{
    wsi_free(envelope_around(frame));
}

/* The key keeps the frame, and so the memory that it lies in. */
static void release_key(struct wsi_blob *key)
{
    wsi_blob_unref(envelope_around(key)->frames.plain);
}

/* With the lock held. */
static bool is_full(const wsock_room *room)
{
    for (unsigned i = 0; i < room->shard_count; i++)
        if (room->shards[i].pending_bytes >= WSI_ROOM_PENDING_MAX)
            return true;
    return room->herald != NULL && room->herald->pending_bytes >= WSI_ROOM_PENDING_MAX;
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

static size_t inner_size(size_t capacity)
{
    const size_t size = sizeof(struct wsi_blob) + capacity +
                        sizeof(struct wsi_envelope *);

    return (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
}

/* One block: [envelope, ops][blob, frame][-> envelope][blob, key][-> envelope]. */
static struct wsi_envelope *envelope_with_frame(unsigned shards,
                                                const wsock_publish *what)
{
    const size_t capacity = what->len + WSI_FRAME_HEADER_MAX;
    const size_t key_len = what->key != NULL ? strlen(what->key) : 0;
    struct wsi_envelope *envelope = envelope_new(
        shards, inner_size(capacity) + (what->key != NULL ? inner_size(key_len + 1) : 0));
    struct wsi_blob *frame;
    char *inner;

    if (envelope == NULL)
        return NULL;
    inner = (char *)envelope + ops_size(shards);
    frame = init_inner(envelope, inner, capacity, release_frame);
    frame->len = wsi_encode_frame(frame->data, what->type, what->data, what->len);
    envelope->frames.plain = frame;
    if (what->key != NULL) {
        wsi_blob_ref(frame);
        envelope->key = init_inner(envelope, inner + inner_size(capacity), key_len + 1,
                                   release_key);
        memcpy(envelope->key->data, what->key, key_len + 1);
        envelope->key->len = key_len;
    }
    return envelope;
}

static int compare_addresses(const void *a, const void *b)
{
    const uintptr_t x = (uintptr_t) * (wsock_conn *const *)a;
    const uintptr_t y = (uintptr_t) * (wsock_conn *const *)b;

    return x < y ? -1 : x > y;
}

static bool is_among(const struct wsi_conns *conns, const wsock_conn *conn)
{
    return conns->count > 0 && bsearch(&conn, conns->conns, conns->count, sizeof conn,
                                       compare_addresses) != NULL;
}

bool wsi_envelope_is_for(const struct wsi_envelope *envelope, const wsock_conn *conn)
{
    if (envelope->except == conn || is_among(&envelope->excluded, conn))
        return false;
    return envelope->only.count == 0 || is_among(&envelope->only, conn);
}

/* ---- queueing ---- */

/* With the lock held: whoever listens by a pattern is meant too, but by no predicate. */
static int match(wsock_room *room, struct wsi_envelope *envelope)
{
    int r;

    if (envelope->only.count > 0)
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

/* With the lock held. @return whether wsi_herald_post() is due. */
static bool announce(wsock_room *room, struct wsi_envelope *envelope, size_t bytes)
{
    if (!wsi_herald_tells(room->herald, WSI_TELL_MESSAGE))
        return false;
    wsi_ref_take(&envelope->ref);
    return wsi_herald_append(room->herald, &envelope->ops[envelope->shards], bytes);
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

/* With the lock held. @return 0 when the message may be queued, else what to answer. */
static int may_queue(wsock_room *room, struct wsi_envelope *envelope)
{
    const int r = room->closed ? WSOCK_ECLOSED : match(room, envelope);

    if (r < 0)
        return r;
    if (room->shard_count > envelope->shards) /* there are only now */
        return ONCE_MORE;
    if (is_full(room))
        return WSOCK_EAGAIN;
    return envelope->keeps ? wsi_history_reserve(room->history) : 0;
}

/* @param envelope (consumed) @return how many members are meant; WSOCK_EAGAIN;
 * WSOCK_ECLOSED; WSOCK_ENOMEM; ONCE_MORE. */
static int queue(wsock_room *room, struct wsi_envelope *envelope)
{
    const size_t bytes = wsi_frames_bytes(&envelope->frames) + sizeof *envelope;
    bool post[WSI_WORKERS_MAX] = {false}, start = false, drop = false, tell = false;
    int r;

    pthread_mutex_lock(&room->lock);
    r = may_queue(room, envelope);
    for (unsigned i = 0; r >= 0 && i < room->shard_count; i++)
        r += (int)append_to_shard(&room->shards[i], envelope, bytes, &post[i]);
    tell = r >= 0 && announce(room, envelope, bytes);
    if (r >= 0 && envelope->keeps) {
        envelope->time_ms = wsi_pool_calendar_ms(room->registry->owner->pool);
        start = wsi_history_append(room->history, &envelope->frames, envelope->key, bytes,
                                   envelope->time_ms);
        envelope->offset = room->history->last;
        drop = wsi_room_look_at_kept(room);
    }
    pthread_mutex_unlock(&room->lock);
    if (r > 0)
        post_all(room, envelope, post);
    if (tell)
        wsi_herald_post(room->herald);
    if (start)
        wsi_history_start(room->history);
    if (drop)
        wsock_room_unref(room);
    wsi_envelope_unref(envelope);
    return r;
}

/* ---- publishing ---- */

/* Excluded ones may be few and members many, so they are looked up one by one. @return
 * how many members are left out. */
static int count_excluded(wsock_room *room, const struct wsi_envelope *envelope)
{
    int count = 0;

    if (envelope->except != NULL && !is_among(&envelope->excluded, envelope->except))
        count += wsi_room_has(room, envelope->except);
    for (size_t i = 0; i < envelope->excluded.count; i++)
        count += wsi_room_has(room, envelope->excluded.conns[i]);
    return count;
}

/* @param envelope (consumed) @return as queue(), less those who are left out. */
static int queue_less(wsock_room *room, struct wsi_envelope *envelope)
{
    const int only = (int)envelope->only.count;
    const int excluded = only > 0 ? 0 : count_excluded(room, envelope);
    const int r = queue(room, envelope);

    if (r <= 0)
        return r;
    if (only > 0)
        return only;
    return r > excluded ? r - excluded : 0;
}

static void sort_conns(struct wsi_conns *conns)
{
    size_t kept = 0;

    if (conns->count == 0)
        return;
    qsort(conns->conns, conns->count, sizeof(wsock_conn *), compare_addresses);
    for (size_t i = 1; i < conns->count; i++) {
        if (conns->conns[i] == conns->conns[kept])
            wsock_conn_unref(conns->conns[i]);
        else
            conns->conns[++kept] = conns->conns[i];
    }
    conns->count = kept + 1;
}

/* All who are left out by name, of themselves or of their identity.
 * @param out (out) zero on failure. */
static int exclude(struct wsi_conns *out, const wsock_publish *what,
                   const struct wsi_crowd *same)
{
    const size_t count = what->excluded_count + same->count;

    *out = (struct wsi_conns){0};
    if (count == 0)
        return 0;
    out->conns = wsi_alloc_array(count, sizeof(wsock_conn *));
    if (out->conns == NULL)
        return WSOCK_ENOMEM;
    for (size_t i = 0; i < what->excluded_count; i++)
        if (what->excluded[i] != NULL)
            out->conns[out->count++] = wsock_conn_ref(what->excluded[i]);
    for (size_t i = 0; i < same->count; i++)
        out->conns[out->count++] = wsock_conn_ref(same->conns[i]);
    sort_conns(out);
    return 0;
}

/* All members of this moment. */
static int list_members(wsock_room *room, struct wsi_conns *out)
{
    size_t room_for = 0, there;

    *out = (struct wsi_conns){0};
    while ((there = wsock_room_members(room, out->conns, room_for)) > room_for) {
        out->count = room_for;
        drop_conns(out);
        room_for = there + there / 8;
        out->conns = wsi_alloc_array(room_for, sizeof(wsock_conn *));
        if (out->conns == NULL)
            return WSOCK_ENOMEM;
        memset(out->conns, 0, room_for * sizeof(wsock_conn *));
    }
    out->count = there;
    return 0;
}

/* The members that a predicate accepts, of a snapshot, but those who are left out. */
static int choose(wsock_room *room, const wsock_publish *what,
                  const struct wsi_conns *excluded, struct wsi_conns *out)
{
    const int r = list_members(room, out);
    size_t kept = 0;

    if (r < 0)
        return r;
    for (size_t i = 0; i < out->count; i++) {
        wsock_conn *conn = out->conns[i];

        if (conn != what->except && !is_among(excluded, conn) &&
            what->only(conn, what->only_user))
            out->conns[kept++] = conn;
        else
            wsock_conn_unref(conn);
    }
    out->count = kept;
    if (kept == 0)
        drop_conns(out);
    sort_conns(out);
    return 0;
}

/* @param frames (nullable) the message, encoded before. @param only, excluded zero when
 * they were taken over. */
static int send_out(wsock_room *room, const wsock_publish *what,
                    const struct wsi_frames *frames, struct wsi_conns *only,
                    struct wsi_conns *excluded)
{
    const bool pack = frames == NULL && (what->type & WSOCK_UNCOMPRESSED) == 0;
    const unsigned shards = shards_of(room);
    struct wsi_envelope *envelope;
    unsigned windows = 0;
    int r = pack ? wsi_room_may_pack(room, &windows) : 0;

    if (r < 0)
        return r;
    envelope = frames == NULL ? envelope_with_frame(shards, what)
                              : envelope_new(shards, 0);
    if (envelope == NULL)
        return WSOCK_ENOMEM;
    if (frames != NULL) {
        envelope->frames.plain = wsi_blob_ref(frames->plain);
        wsi_frames_share(&envelope->frames, frames);
    }
    wsi_frames_pack(&envelope->frames, room->registry->owner->pool,
                    wsi_service_options(room->registry->owner), windows);
    if (what->except != NULL)
        envelope->except = wsock_conn_ref(what->except);
    envelope->only = *only;
    envelope->excluded = *excluded;
    envelope->keeps = room->history != NULL && what->only == NULL;
    envelope->chooses = envelope->except != NULL || only->count > 0 ||
                        excluded->count > 0;
    *only = *excluded = (struct wsi_conns){0};
    return queue_less(room, envelope);
}

/* @param same who has the identity that is left out. */
static int publish(wsock_room *room, const wsock_publish *what,
                   const struct wsi_crowd *same, const struct wsi_frames *frames)
{
    struct wsi_conns only = {0}, excluded;
    int r = exclude(&excluded, what, same);

    if (r == 0 && what->only != NULL)
        r = choose(room, what, &excluded, &only);
    if (r == 0 && (what->only == NULL || only.count > 0))
        r = send_out(room, what, frames, &only, &excluded);
    drop_conns(&only);
    drop_conns(&excluded);
    return r;
}

/* Offsets, and what comes to be in their order, are given out one by one. */
static int publish_kept(wsock_room *room, const wsock_publish *what,
                        const struct wsi_crowd *same, const struct wsi_frames *frames,
                        wsock_position *position)
{
    struct wsi_registry *registry = room->registry;
    struct wsi_history *history = room->history;
    int r;

    pthread_mutex_lock(&history->publish);
    do
        r = publish(room, what, same, frames);
    while (r == ONCE_MORE);
    position->epoch = history->epoch;
    position->offset = history->last;
    pthread_mutex_unlock(&history->publish);
    wsi_histories_trim(&registry->histories,
                       wsi_option(registry->options, WSI_OPT_MAX_HISTORY_BYTES));
    return r;
}

int wsi_room_publish(wsock_room *room, const wsock_publish *what,
                     const struct wsi_frames *frames, wsock_position *out)
{
    struct wsi_service *service = wsi_service_of(room->registry->owner);
    wsock_position position = {.size = sizeof position};
    struct wsi_crowd same = {0};
    int r = 0;

    if (what->except_identity != NULL)
        r = wsi_crowd_of_identity(&same, &service->identities, what->except_identity);
    if (r < 0)
        return r;
    if (room->history != NULL && what->only == NULL)
        r = publish_kept(room, what, &same, frames, &position);
    else
        r = publish(room, what, &same, frames);
    /* Not before: with a connection may go what the application gave it, and no lock is
     * held where its free functions run. */
    if (what->except_identity != NULL)
        wsi_crowd_drop(&same);
    if (r == ONCE_MORE) /* the first member came since the message was made */
        r = 0;
    if (r >= 0 && out != NULL)
        *out = position;
    return r;
}

/* Sizes of wsock_publish by version. */
enum { PUBLISH_SIZE_1_0 = offsetof(wsock_publish, reserved) + sizeof(int32_t) };
_Static_assert(sizeof(wsock_publish) == PUBLISH_SIZE_1_0, "no tail padding");

static int check(const wsock_publish *what)
{
    int r;

    if (what->size < PUBLISH_SIZE_1_0 ||
        (what->excluded == NULL && what->excluded_count > 0))
        return WSOCK_EINVAL;
    r = wsi_encode_check(what->type, what->data, what->len);
    if (r < 0 || what->key == NULL)
        return r;
    if (strnlen(what->key, KEY_MAX_BYTES + 1) > KEY_MAX_BYTES)
        return WSOCK_ETOOBIG;
    return wsi_utf8_is_valid(what->key, strlen(what->key)) ? 0 : WSOCK_EUTF8;
}

int wsock_room_publish(wsock_room *room, const wsock_publish *what, wsock_position *out)
{
    int r;

    if (room == NULL || what == NULL || (out != NULL && out->size < sizeof *out))
        return WSOCK_EINVAL;
    r = check(what);
    return r < 0 ? r : wsi_room_publish(room, what, NULL, out);
}

int wsock_room_broadcast(wsock_room *room, int type, const void *data, size_t len)
{
    return wsock_room_broadcast_except(room, NULL, type, data, len);
}

int wsock_room_broadcast_except(wsock_room *room, wsock_conn *except, int type,
                                const void *data, size_t len)
{
    const wsock_publish what = {
        .size = sizeof what, .data = data, .len = len, .except = except, .type = type};

    return wsock_room_publish(room, &what, NULL);
}

int wsock_room_broadcast_if(wsock_room *room, wsock_member_fn accepts, void *user,
                            int type, const void *data, size_t len)
{
    const wsock_publish what = {.size = sizeof what,
                                .data = data,
                                .len = len,
                                .only = accepts,
                                .only_user = user,
                                .type = type};

    return accepts != NULL ? wsock_room_publish(room, &what, NULL) : WSOCK_EINVAL;
}
