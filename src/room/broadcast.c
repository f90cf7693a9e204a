/* SPDX-License-Identifier: MIT */
/* Messages to a room: encoded once, in one allocation for each form that its members
 * take, and queued under the room's lock.
 */
#include <limits.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/conn.h"
#include "conn/encode.h"
#include "conn/identity.h"
#include "conn/service.h"
#include "proto/json.h"
#include "proto/utf8.h"
#include "room/branch.h"
#include "room/crowd.h"
#include "room/envelope.h"
#include "room/relay.h"
#include "room/room.h"

enum {
    KEY_MAX_BYTES = 255,
    EVENT_MAX_BYTES = 64,
    ONCE_MORE = INT_MIN, /* no errors of the library's */
    SHARED = INT_MIN + 1,
};

/* What is said, and what comes with it. */
struct saying {
    const wsock_publish *what;
    struct wsi_frames *frames;       /* (nullable) the message, encoded before */
    struct wsi_crowd same;           /* who has the identity that is left out */
    const struct wsi_placed *placed; /* (nullable) it was said already */
    struct wsi_relay *relay; /* (owned, nullable) to the other nodes of a cluster */
    int64_t time_ms;         /* of what has a place */
};

static bool is_heard(const struct saying *saying)
{
    return saying->placed == NULL || !saying->placed->only_keep;
}

/* ---- looking ahead ---- */

/* With the lock held. */
bool wsi_room_is_full(const wsock_room *room)
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

/* With the lock held: of members and of those who listen by pattern. */
static unsigned takers_of(const wsock_room *room)
{
    const unsigned members = wsi_takers_set(&room->takers);

    return room->matches != NULL ? members | wsi_matches_takers(room->matches) : members;
}

int wsi_room_look(wsock_room *room, unsigned *takers)
{
    const unsigned members = wsi_takers_set(&room->takers);
    bool full;

    *takers = members;
    if (wsi_takers_windows(members, WSI_FORM_RAW) == 0 &&
        !wsi_takers_have(members, WSI_FORM_V1) &&
        wsi_groups_are_none(&room->registry->groups))
        return 0;
    pthread_mutex_lock(&room->lock);
    full = wsi_room_is_full(room);
    /* Without memory who queues it is refused. */
    if (!full && find_matches(room) == 0)
        *takers = takers_of(room);
    pthread_mutex_unlock(&room->lock);
    return full ? WSOCK_EAGAIN : 0;
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
    envelope->differs = true; /* it may be that they are leaving */
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
    wsi_envelope_ref(envelope);
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
    wsi_envelope_ref(envelope);
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

/* With the lock held: who takes a form that was not made came since. Whoever subscribed
 * before the message has its serial is counted by then. */
static bool lacks_form(const wsock_room *room, const struct wsi_envelope *envelope)
{
    return wsi_said_v1(&envelope->said) == NULL &&
           wsi_takers_have(takers_of(room), WSI_FORM_V1);
}

/* With the lock held. @return 0 when the message may be queued, else what to answer. */
static int may_queue(wsock_room *room, struct wsi_envelope *envelope,
                     const struct saying *saying)
{
    const int r = room->closed ? WSOCK_ECLOSED : match(room, envelope);

    if (r < 0)
        return r;
    if (room->shard_count > envelope->shards /* there are only now */ ||
        (is_heard(saying) && lacks_form(room, envelope)))
        return ONCE_MORE;
    if (is_heard(saying) && wsi_room_is_full(room))
        return WSOCK_EAGAIN;
    return envelope->said.offset != 0 ? wsi_history_reserve(room->history) : 0;
}

/* @param envelope (consumed) @return how many members are meant; WSOCK_EAGAIN;
 * WSOCK_ECLOSED; WSOCK_ENOMEM; ONCE_MORE. */
static int queue(wsock_room *room, struct wsi_envelope *envelope, struct saying *saying)
{
    const size_t bytes = wsi_said_bytes(&envelope->said);
    bool post[WSI_WORKERS_MAX] = {false}, start = false, drop = false, tell = false;
    int r;

    pthread_mutex_lock(&room->lock);
    r = may_queue(room, envelope, saying);
    for (unsigned i = 0; r >= 0 && is_heard(saying) && i < room->shard_count; i++)
        r += (int)append_to_shard(&room->shards[i], envelope, bytes, &post[i]);
    tell = r >= 0 && is_heard(saying) && announce(room, envelope, bytes);
    if (r >= 0 && envelope->said.offset != 0) {
        start = wsi_history_append(room->history, &envelope->said, bytes,
                                   saying->placed != NULL ? saying->placed->age_ms : 0);
        drop = wsi_room_look_at_kept(room);
    }
    if (r >= 0 && saying->relay != NULL) /* in the order of those here */
        wsi_branch_relay(room, &saying->relay);
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

/* Excluded ones may be few and members many, so they are looked up one by one. @return
 * how many members are left out. */
static int count_excluded(wsock_room *room, const struct wsi_envelope *envelope)
{
    const struct wsi_conns *excluded = &envelope->excluded;
    int count = 0;

    if (envelope->except != NULL && !wsi_conns_have(excluded, envelope->except))
        count += wsi_room_has(room, envelope->except);
    for (size_t i = 0; i < excluded->count; i++)
        count += wsi_room_has(room, excluded->conns[i]);
    return count;
}

/* @param envelope (consumed) @return as queue(), less those who are left out. */
static int queue_less(wsock_room *room, struct wsi_envelope *envelope,
                      struct saying *saying)
{
    const int only = (int)envelope->only.count;
    const int excluded = only > 0 ? 0 : count_excluded(room, envelope);
    const int r = queue(room, envelope, saying);

    if (r <= 0)
        return r;
    if (only > 0)
        return only;
    return r > excluded ? r - excluded : 0;
}

/* ---- publishing ---- */

static void pack(wsock_room *room, struct wsi_frames *frames, unsigned takers,
                 enum wsi_form form)
{
    struct wsi_owner *owner = room->registry->owner;

    wsi_frames_pack(frames, owner->pool, wsi_service_options(owner),
                    wsi_takers_windows(takers, form));
}

/* The next one here, or the one that it has. In a cluster only the broker gives places.
 */
static void place(wsock_room *room, struct wsi_said *said, const struct saying *saying)
{
    const struct wsi_history *history = room->history;
    const struct wsi_placed *placed = saying->placed;

    if (placed != NULL) {
        said->epoch = placed->epoch;
        said->prev = placed->prev;
        said->offset = placed->offset;
        said->time_ms = placed->time_ms;
    } else if (history != NULL && saying->what->only == NULL) {
        said->epoch = history->epoch;
        said->prev = history->last;
        said->offset = history->last + 1;
    }
}

/* Its place, if it gets one, and its frames for who speaks rooms.v1. */
static int complete(wsock_room *room, struct wsi_envelope *envelope,
                    struct saying *saying, unsigned takers)
{
    const bool v1_is_taken = wsi_takers_have(takers, WSI_FORM_V1);
    struct wsi_said *said = &envelope->said;
    struct wsi_v1 *v1;
    int r;

    place(room, said, saying);
    if (said->time_ms == 0 && (said->offset != 0 || v1_is_taken))
        said->time_ms = wsi_pool_calendar_ms(room->registry->owner->pool);
    if (said->offset != 0)
        saying->time_ms = said->time_ms;
    if (!v1_is_taken || !is_heard(saying))
        return 0;
    r = wsi_said_make_v1(said, &v1, room->name, said->offset != 0 && envelope->chooses);
    if (r < 0)
        return r;
    if ((saying->what->type & WSOCK_UNCOMPRESSED) == 0)
        pack(room, &v1->frames, takers, WSI_FORM_V1);
    wsi_said_set_v1(said, v1);
    envelope->differs = true;
    return 0;
}

/* While there are no threads there are no members, and no operations are needed. */
static unsigned shards_of(const wsock_room *room)
{
    return wsi_pool_count(room->registry->owner->pool);
}

/* @param only, excluded zero when they were taken over. */
static int send_out(wsock_room *room, struct saying *saying, struct wsi_conns *only,
                    struct wsi_conns *excluded)
{
    const wsock_publish *what = saying->what;
    struct wsi_frames *frames = saying->frames;
    struct wsi_envelope *envelope;
    unsigned takers = 0;
    int r = is_heard(saying) ? wsi_room_look(room, &takers) : 0;

    if (r < 0)
        return r;
    if (frames != NULL && (what->type & WSOCK_UNCOMPRESSED) == 0)
        pack(room, frames, takers, WSI_FORM_RAW);
    envelope = wsi_envelope_new(shards_of(room), what, frames);
    if (envelope == NULL)
        return WSOCK_ENOMEM;
    if (frames == NULL && (what->type & WSOCK_UNCOMPRESSED) == 0)
        pack(room, &envelope->said.frames, takers, WSI_FORM_RAW);
    if (what->except != NULL)
        envelope->except = wsock_conn_ref(what->except);
    envelope->only = *only;
    envelope->excluded = *excluded;
    envelope->chooses = envelope->except != NULL || only->count > 0 ||
                        excluded->count > 0;
    envelope->differs = envelope->chooses;
    *only = *excluded = (struct wsi_conns){0};
    r = complete(room, envelope, saying, takers);
    if (r == 0)
        return queue_less(room, envelope, saying);
    wsi_envelope_unref(envelope);
    return r;
}

static int publish(wsock_room *room, struct saying *saying)
{
    const wsock_publish *what = saying->what;
    struct wsi_conns only = {0}, excluded = {0};
    int r = 0;

    if (what->excluded_count + saying->same.count > 0)
        r = wsi_conns_exclude(&excluded, what, &saying->same);
    if (r == 0 && what->only != NULL)
        r = wsi_conns_choose(&only, room, what, &excluded);
    if (r == 0 && (what->only == NULL || only.count > 0))
        r = send_out(room, saying, &only, &excluded);
    wsi_conns_drop(&only);
    wsi_conns_drop(&excluded);
    return r;
}

/* Offsets, and what comes to be in their order, are given out one by one. @return SHARED
 * when the broker gives them from now on. */
static int publish_kept(wsock_room *room, struct saying *saying, wsock_position *position)
{
    struct wsi_registry *registry = room->registry;
    struct wsi_history *history = room->history;
    int r;

    pthread_mutex_lock(&history->publish);
    do
        r = room->branch == NULL ? publish(room, saying) : SHARED;
    while (r == ONCE_MORE);
    position->epoch = history->epoch;
    position->offset = history->last;
    pthread_mutex_unlock(&history->publish);
    wsi_histories_trim(&registry->histories,
                       wsi_option(registry->options, WSI_OPT_MAX_HISTORY_BYTES));
    return r;
}

/* @param position (nullable) it gets its place here. */
static int say(wsock_room *room, struct saying *saying, wsock_position *position)
{
    struct wsi_service *service = wsi_service_of(room->registry->owner);
    const char *identity = saying->what->except_identity;
    int r = 0;

    if (identity != NULL)
        r = wsi_crowd_of_identity(&saying->same, &service->identities, identity);
    if (r < 0)
        return r;
    if (position != NULL)
        r = publish_kept(room, saying, position);
    else
        do
            r = publish(room, saying);
        while (r == ONCE_MORE);
    /* Not before: with a connection may go what the application gave it, and no lock is
     * held where its free functions run. */
    if (identity != NULL)
        wsi_crowd_drop(&saying->same);
    return r;
}

/* Here, and then on the other nodes. */
static int say_everywhere(wsock_room *room, struct saying *saying)
{
    int r = wsi_relay_new(&saying->relay, room, saying->what, saying->frames);

    if (r < 0)
        return r;
    r = say(room, saying, NULL);
    if (saying->relay == NULL) /* the bus tells who asked */
        return r;
    if (r >= 0 && saying->what->on_done != NULL)
        wsi_relay_tell(saying->relay, WSOCK_NOT_STORED, "the broker is away");
    else
        wsi_relay_free(saying->relay);
    return r;
}

int wsi_room_publish(wsock_room *room, const wsock_publish *what,
                     struct wsi_frames *frames, wsock_position *out)
{
    const bool keeps = room->history != NULL && what->only == NULL;
    struct saying saying = {.what = what, .frames = frames};
    wsock_position position = {.size = sizeof position};
    int r = SHARED;

    if (room->branch == NULL || what->only != NULL) {
        r = say(room, &saying, keeps ? &position : NULL);
        if (r >= 0)
            wsi_tell_published(what, &position, saying.time_ms);
    } else if (!keeps) {
        r = say_everywhere(room, &saying);
    }
    if (r == SHARED)
        r = wsi_branch_append(room, what, frames);
    if (r >= 0 && out != NULL)
        *out = position;
    return r;
}

int wsi_room_deliver(wsock_room *room, const wsock_publish *what,
                     const struct wsi_placed *placed)
{
    struct saying saying = {.what = what, .placed = placed};

    return say(room, &saying, NULL);
}

/* ---- the calls ---- */

/* Sizes of wsock_publish by version. */
enum { PUBLISH_SIZE_1_0 = offsetof(wsock_publish, reserved) + sizeof(int32_t) };
_Static_assert(sizeof(wsock_publish) == PUBLISH_SIZE_1_0, "no tail padding");

static int check_key(const char *key)
{
    if (strnlen(key, KEY_MAX_BYTES + 1) > KEY_MAX_BYTES)
        return WSOCK_ETOOBIG;
    return wsi_utf8_is_valid(key, strlen(key)) ? 0 : WSOCK_EUTF8;
}

static int check_event(const char *event)
{
    const size_t len = strnlen(event, EVENT_MAX_BYTES + 1);

    if (len > EVENT_MAX_BYTES)
        return WSOCK_ETOOBIG;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)event[i] < 0x20 || event[i] == 0x7f)
            return WSOCK_EINVAL;
    if (len == 0)
        return WSOCK_EINVAL;
    return wsi_utf8_is_valid(event, len) ? 0 : WSOCK_EUTF8;
}

static int check_data(const wsock_publish *what)
{
    const int r = wsi_encode_check(what->type & ~WSOCK_JSON, what->data, what->len);

    if (r < 0 || (what->type & WSOCK_JSON) == 0)
        return r;
    return wsi_opcode_of(what->type) == WSOCK_TEXT &&
                   wsi_json_is_value(what->data, what->len)
               ? 0
               : WSOCK_EINVAL;
}

static int check(const wsock_publish *what)
{
    int r;

    if (what->size < PUBLISH_SIZE_1_0 ||
        (what->excluded == NULL && what->excluded_count > 0))
        return WSOCK_EINVAL;
    r = check_data(what);
    if (r == 0 && what->key != NULL)
        r = check_key(what->key);
    if (r == 0 && what->event != NULL)
        r = check_event(what->event);
    if (r == 0 && what->from != NULL && *what->from != '\0' &&
        !wsi_identity_is_valid(what->from))
        r = WSOCK_EINVAL;
    return r;
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
