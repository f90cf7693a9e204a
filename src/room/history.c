/* SPDX-License-Identifier: MIT */
/* What rooms keep. */
#include "room/history.h"

#include <limits.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/conn.h"
#include "conn/encode.h"
#include "core/alloc.h"
#include "room/room.h"

enum {
    FIRST_CAPACITY = 8,
    SLACK_MAX_MS = 1000, /* what is too old may be kept so much longer, */
    SLACK_PART = 8,      /* or for this part of its time */
    TRIM_PART = 16,      /* of the limit: dropped at once, as looking for more is dear */
};

void wsi_histories_init(struct wsi_histories *histories)
{
    atomic_init(&histories->bytes, 0);
    pthread_mutex_init(&histories->lock, NULL);
    wsi_list_init(&histories->rooms);
}

void wsi_histories_fini(struct wsi_histories *histories)
{
    pthread_mutex_destroy(&histories->lock);
}

bool wsi_history_is_on(const struct wsi_room_options *options)
{
    return !wsi_option_is_off(wsi_room_option(options, WSI_OPT_HISTORY_MESSAGES)) ||
           !wsi_option_is_off(wsi_room_option(options, WSI_OPT_HISTORY_TIME)) ||
           !wsi_option_is_off(wsi_room_option(options, WSI_OPT_HISTORY_BYTES));
}

static void run_timer(struct wsi_timer *timer);
static void run_start(struct wsi_mail *mail);
static void run_stop(struct wsi_mail *mail);

struct wsi_history *wsi_history_new(wsock_room *room)
{
    struct wsi_history *history = wsi_zalloc(sizeof *history);

    if (history == NULL)
        return NULL;
    history->room = room;
    while (history->epoch == 0)
        wsi_pool_random(room->registry->owner->pool, &history->epoch,
                        sizeof history->epoch);
    pthread_mutex_init(&history->publish, NULL);
    wsi_list_init(&history->node);
    wsi_timer_init(&history->timer, run_timer);
    history->start.run = run_start;
    history->stop.run = run_stop;
    return history;
}

void wsi_history_free(struct wsi_history *history)
{
    if (history == NULL)
        return;
    pthread_mutex_destroy(&history->publish);
    wsi_free(history->ring);
    wsi_free(history);
}

/* ---- keeping and dropping, with the room's lock held ---- */

static int64_t option(const struct wsi_history *history, enum wsi_option_id id)
{
    return wsi_room_option(&history->room->options, id);
}

static struct wsi_histories *histories_of(const struct wsi_history *history)
{
    return &history->room->registry->histories;
}

static struct wsi_past *past_at(const struct wsi_history *history, size_t index)
{
    return &history->ring[(history->first + index) & (history->capacity - 1)];
}

static uint64_t now_ms(const struct wsi_history *history)
{
    return wsi_clock_us(history->room->registry->owner->pool->clock) / 1000;
}

/* Only who has the room's lock writes its bytes; others look. */
static void count_bytes(struct wsi_history *history, int64_t bytes)
{
    atomic_fetch_add_explicit(&history->bytes, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&histories_of(history)->bytes, bytes, memory_order_relaxed);
}

static void list(struct wsi_history *history, bool there)
{
    struct wsi_histories *histories = histories_of(history);

    pthread_mutex_lock(&histories->lock);
    if (there)
        wsi_list_append(&histories->rooms, &history->node);
    else
        wsi_list_remove(&history->node);
    pthread_mutex_unlock(&histories->lock);
}

static void drop_oldest(struct wsi_history *history)
{
    struct wsi_past *past = past_at(history, 0);

    wsi_frames_drop_packed(&past->frames);
    wsi_blob_unref(past->key);
    wsi_blob_unref(past->frames.plain);
    count_bytes(history, -(int64_t)past->bytes);
    history->first++;
    if (--history->count > 0)
        return;
    list(history, false);
    if (history->capacity > FIRST_CAPACITY) {
        wsi_free(history->ring);
        history->ring = NULL;
        history->capacity = history->first = 0;
    }
}

static void expire(struct wsi_history *history)
{
    const int64_t time = option(history, WSI_OPT_HISTORY_TIME);
    uint64_t now;

    if (wsi_option_is_off(time) || history->count == 0)
        return;
    now = now_ms(history);
    while (history->count > 0 && now >= past_at(history, 0)->at_ms + (uint64_t)time)
        drop_oldest(history);
}

int wsi_history_reserve(struct wsi_history *history)
{
    const size_t capacity = history->capacity > 0 ? 2 * history->capacity
                                                  : FIRST_CAPACITY;
    struct wsi_past *ring;

    expire(history);
    if (history->count < history->capacity)
        return 0;
    ring = wsi_alloc_array(capacity, sizeof *ring);
    if (ring == NULL)
        return WSOCK_ENOMEM;
    for (size_t i = 0; i < history->count; i++)
        memcpy(&ring[i], past_at(history, i), sizeof *ring);
    wsi_free(history->ring);
    history->ring = ring;
    history->capacity = capacity;
    history->first = 0;
    return 0;
}

static bool is_too_much(const struct wsi_history *history)
{
    return (int64_t)history->count > option(history, WSI_OPT_HISTORY_MESSAGES) ||
           atomic_load_explicit(&history->bytes, memory_order_relaxed) >
               option(history, WSI_OPT_HISTORY_BYTES);
}

/* A timer needs a worker; before there are any, nothing is dropped by itself. */
static bool is_to_be_timed(const struct wsi_history *history)
{
    return !history->timed && history->count > 0 &&
           !wsi_option_is_off(option(history, WSI_OPT_HISTORY_TIME)) &&
           wsi_pool_count(history->room->registry->owner->pool) > 0;
}

bool wsi_history_append(struct wsi_history *history, const struct wsi_frames *frames,
                        struct wsi_blob *key, size_t bytes, int64_t time_ms)
{
    struct wsi_past *past = past_at(history, history->count);

    memset(past, 0, sizeof *past);
    past->frames.plain = wsi_blob_ref(frames->plain);
    wsi_frames_share(&past->frames, frames);
    past->key = key != NULL ? wsi_blob_ref(key) : NULL;
    past->time_ms = time_ms;
    past->at_ms = now_ms(history);
    past->bytes = bytes + sizeof *past;
    history->last++;
    count_bytes(history, (int64_t)past->bytes);
    if (history->count++ == 0)
        list(history, true);
    while (history->count > 0 && is_too_much(history))
        drop_oldest(history);
    if (!is_to_be_timed(history))
        return false;
    history->timed = true;
    wsi_ref_take(&history->room->ref);
    return true;
}

bool wsi_history_clear(struct wsi_history *history)
{
    while (history->count > 0)
        drop_oldest(history);
    return history->timed;
}

/* ---- the timer, on its worker ---- */

static struct wsi_worker *worker_of(const struct wsi_history *history)
{
    struct wsi_pool *pool = history->room->registry->owner->pool;

    return &pool->workers[history->room->hash % wsi_pool_count(pool)];
}

/* With the room's lock held. Somewhat later than the oldest message is too old, so that
 * not each has a turn of its own. */
static uint64_t next_at(const struct wsi_history *history)
{
    const uint64_t time = (uint64_t)option(history, WSI_OPT_HISTORY_TIME);
    const uint64_t slack = time / SLACK_PART < SLACK_MAX_MS ? time / SLACK_PART
                                                            : SLACK_MAX_MS;

    return past_at(history, 0)->at_ms + time + slack;
}

/* Begin, or go on. */
static void run_timer(struct wsi_timer *timer)
{
    struct wsi_history *history = WSI_CONTAINER_OF(timer, struct wsi_history, timer);
    wsock_room *room = history->room;
    bool ends, drop;

    pthread_mutex_lock(&room->lock);
    expire(history);
    ends = history->count == 0;
    if (ends)
        history->timed = false;
    else
        wsi_timer_start(wsi_loop_wheel(worker_of(history)->loop), timer,
                        next_at(history));
    drop = wsi_room_look_at_kept(room);
    pthread_mutex_unlock(&room->lock);
    if (drop)
        wsock_room_unref(room);
    if (ends)
        wsock_room_unref(room);
}

static void run_start(struct wsi_mail *mail)
{
    run_timer(&WSI_CONTAINER_OF(mail, struct wsi_history, start)->timer);
}

void wsi_history_start(struct wsi_history *history)
{
    wsi_worker_post(worker_of(history), &history->start);
}

/* The mail of the start came before. */
static void run_stop(struct wsi_mail *mail)
{
    struct wsi_history *history = WSI_CONTAINER_OF(mail, struct wsi_history, stop);
    wsock_room *room = history->room;

    if (wsi_timer_is_running(&history->timer)) {
        wsi_timer_stop(&history->timer);
        wsock_room_unref(room);
    }
    wsock_room_unref(room);
}

void wsi_history_stop(struct wsi_history *history)
{
    wsi_ref_take(&history->room->ref);
    wsi_worker_post(worker_of(history), &history->stop);
}

/* ---- the bound of a server ---- */

/* @return (owned, nullable) the room that keeps most. What is listed keeps something, and
 * so its room. */
static wsock_room *largest(struct wsi_histories *histories)
{
    struct wsi_history *found = NULL;
    int64_t most = 0;

    pthread_mutex_lock(&histories->lock);
    WSI_LIST_EACH(node, &histories->rooms)
    {
        struct wsi_history *history = WSI_CONTAINER_OF(node, struct wsi_history, node);
        const int64_t bytes = atomic_load_explicit(&history->bytes, memory_order_relaxed);

        if (bytes > most) {
            found = history;
            most = bytes;
        }
    }
    if (found != NULL)
        wsi_ref_take(&found->room->ref);
    pthread_mutex_unlock(&histories->lock);
    return found != NULL ? found->room : NULL;
}

/* Drop so many bytes of a room, but not more than half of what it has. */
static void trim_room(wsock_room *room, int64_t excess)
{
    struct wsi_history *history = room->history;
    int64_t before, now;
    bool drop;

    pthread_mutex_lock(&room->lock);
    before = now = atomic_load(&history->bytes);
    while (history->count > 0 && before - now < excess && 2 * now > before) {
        drop_oldest(history);
        now = atomic_load(&history->bytes);
    }
    drop = wsi_room_look_at_kept(room);
    pthread_mutex_unlock(&room->lock);
    if (drop)
        wsock_room_unref(room);
}

void wsi_histories_trim(struct wsi_histories *histories, int64_t limit)
{
    int64_t excess;

    while ((excess = atomic_load(&histories->bytes) - limit) > 0) {
        wsock_room *room = largest(histories);

        if (room == NULL)
            return;
        trim_room(room, excess + limit / TRIM_PART);
        wsock_room_unref(room);
    }
}

/* ---- looking ---- */

void wsi_missed_free(struct wsi_missed *missed)
{
    if (missed == NULL)
        return;
    for (size_t i = 0; i < missed->count; i++)
        wsi_blob_unref(missed->frames[i]);
    wsi_free(missed);
}

static int take_last(const struct wsi_history *history, struct wsi_missed **out,
                     size_t count, const wsock_conn *conn)
{
    struct wsi_missed *missed;

    *out = NULL;
    if (count == 0)
        return 0;
    missed = wsi_alloc(sizeof *missed + count * sizeof(struct wsi_blob *));
    if (missed == NULL)
        return WSOCK_ENOMEM;
    missed->count = count;
    for (size_t i = 0; i < count; i++)
        missed->frames[i] = wsi_blob_ref(
            wsi_frames_for(&past_at(history, history->count - count + i)->frames, conn));
    *out = missed;
    return 0;
}

int wsi_history_since(struct wsi_history *history, struct wsi_missed **missed,
                      wsock_joined *out, const wsock_position *since,
                      const wsock_conn *conn)
{
    const bool is_first_time = since->epoch == 0;
    uint64_t behind;

    expire(history);
    out->epoch = history->epoch;
    out->offset = history->last;
    out->count = 0;
    out->recovered = 0;
    *missed = NULL;
    if ((!is_first_time && since->epoch != history->epoch) ||
        since->offset > history->last)
        return 0;
    behind = history->last - since->offset;
    out->recovered = behind <= history->count;
    if (behind > history->count)
        behind = is_first_time ? history->count : 0;
    out->count = behind;
    return take_last(history, missed, (size_t)behind, conn);
}

int wsock_room_position(wsock_room *room, wsock_position *out)
{
    int r = 0;

    if (room == NULL || out == NULL || out->size < sizeof *out)
        return WSOCK_EINVAL;
    if (room->history == NULL)
        return WSOCK_ENOTSUP;
    pthread_mutex_lock(&room->lock);
    if (room->closed)
        r = WSOCK_ECLOSED;
    else
        *out = (wsock_position){sizeof *out, room->history->epoch, room->history->last};
    pthread_mutex_unlock(&room->lock);
    return r;
}

/* A copy for who looks without the lock. */
struct copy {
    struct wsi_blob *plain, *key; /* references */
    int64_t time_ms;
};

/* With the lock held. @param first (out) the offset of the first. @return how many;
 * WSOCK_ENOMEM. */
static int copy_past(struct wsi_history *history, struct copy **out, uint64_t *first,
                     uint64_t before, size_t limit)
{
    const uint64_t oldest = history->last - history->count + 1;
    const uint64_t end = before == 0 || before > history->last ? history->last + 1
                                                               : before;
    uint64_t count = end > oldest ? end - oldest : 0;

    if (count > limit)
        count = limit;
    if (count > INT_MAX)
        count = INT_MAX;
    *first = end - count;
    *out = wsi_alloc_array((size_t)count, sizeof **out);
    if (*out == NULL)
        return WSOCK_ENOMEM;
    for (uint64_t i = 0; i < count; i++) {
        const struct wsi_past *past = past_at(history, (size_t)(*first + i - oldest));

        (*out)[i] = (struct copy){
            .plain = wsi_blob_ref(past->frames.plain),
            .key = past->key != NULL ? wsi_blob_ref(past->key) : NULL,
            .time_ms = past->time_ms,
        };
    }
    return (int)count;
}

static void show(const struct wsi_history *history, const struct copy *copies, int count,
                 uint64_t first, wsock_history_fn fn, void *user)
{
    for (int i = 0; i < count; i++) {
        const struct wsi_payload payload = wsi_encoded_payload(copies[i].plain);
        const uint64_t offset = first + (uint64_t)i;
        const wsock_room_message message = {
            .size = sizeof message,
            .data = payload.data,
            .len = payload.len,
            .key = copies[i].key != NULL ? (const char *)copies[i].key->data : NULL,
            .epoch = history->epoch,
            .offset = offset,
            .prev = offset - 1,
            .time_ms = copies[i].time_ms,
            .type = copies[i].plain->data[0] & 0x0f,
        };

        if (fn(&message, user) != 0)
            return;
    }
}

int wsock_room_history(wsock_room *room, uint64_t before, size_t limit,
                       wsock_history_fn fn, void *user)
{
    struct copy *copies = NULL;
    uint64_t first = 0;
    int r;

    if (room == NULL || fn == NULL)
        return WSOCK_EINVAL;
    if (room->history == NULL)
        return WSOCK_ENOTSUP;
    pthread_mutex_lock(&room->lock);
    expire(room->history);
    r = room->closed ? WSOCK_ECLOSED
                     : copy_past(room->history, &copies, &first, before, limit);
    pthread_mutex_unlock(&room->lock);
    if (r < 0)
        return r;
    show(room->history, copies, r, first, fn, user);
    for (int i = 0; i < r; i++) {
        wsi_blob_unref(copies[i].key);
        wsi_blob_unref(copies[i].plain);
    }
    wsi_free(copies);
    return r;
}
