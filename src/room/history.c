/* SPDX-License-Identifier: MIT */
/* What rooms keep. */
#include "room/history.h"

#include <assert.h>
#include <limits.h>

#include <wsock/error.h>

#include "conn/conn.h"
#include "core/alloc.h"
#include "room/branch.h"
#include "room/envelope.h"
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
    wsi_history_clear(history);
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

    wsi_said_unref(past->said);
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

bool wsi_history_append(struct wsi_history *history, struct wsi_said *said, size_t bytes,
                        uint64_t age_ms)
{
    const uint64_t now = now_ms(history);
    struct wsi_past *past = past_at(history, history->count);

    assert(said->epoch == history->epoch && said->offset > history->last);
    past->said = wsi_said_ref(said);
    past->at_ms = now > age_ms ? now - age_ms : 0;
    past->bytes = bytes + sizeof *past;
    history->last = said->offset;
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
    bool stop;

    while (history->count > 0)
        drop_oldest(history);
    stop = history->timed && !history->stops;
    if (stop)
        history->stops = true;
    return stop;
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

/* What was kept since goes on being timed. Where the timer does not run yet, the mail of
 * the start is under way, and finds nothing to time. */
static void run_stop(struct wsi_mail *mail)
{
    struct wsi_history *history = WSI_CONTAINER_OF(mail, struct wsi_history, stop);
    wsock_room *room = history->room;
    bool stopped;

    pthread_mutex_lock(&room->lock);
    history->stops = false;
    stopped = history->count == 0 && wsi_timer_is_running(&history->timer);
    if (stopped) {
        wsi_timer_stop(&history->timer);
        history->timed = false;
    }
    pthread_mutex_unlock(&room->lock);
    if (stopped)
        wsock_room_unref(room);
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

/* @return how many are kept up to an offset. */
static size_t count_to(const struct wsi_history *history, uint64_t offset)
{
    size_t from = 0, to = history->count;

    while (from < to) {
        const size_t middle = from + (to - from) / 2;

        if (past_at(history, middle)->said->offset <= offset)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* Whether what is kept from an index on is all that was said behind an offset. */
static bool is_whole_behind(const struct wsi_history *history, size_t index,
                            uint64_t offset)
{
    if (index == history->count)
        return offset == history->last;
    return index > 0 || past_at(history, 0)->said->prev <= offset;
}

static int take_last(const struct wsi_history *history, struct wsi_missed **out,
                     size_t count)
{
    struct wsi_missed *missed;

    *out = NULL;
    if (count == 0)
        return 0;
    missed = wsi_alloc(sizeof *missed + count * sizeof missed->list[0]);
    if (missed == NULL)
        return WSOCK_ENOMEM;
    missed->count = count;
    for (size_t i = 0; i < count; i++)
        missed->list[i] = (struct wsi_missed_one){
            .said = wsi_said_ref(past_at(history, history->count - count + i)->said)};
    *out = missed;
    return 0;
}

bool wsi_history_is_behind(const struct wsi_history *history,
                           const wsock_position *position)
{
    return position->epoch == history->epoch && position->offset > history->last;
}

int wsi_history_since(struct wsi_history *history, struct wsi_missed **missed,
                      wsock_joined *out, const wsock_position *since)
{
    const bool is_first_time = since->epoch == 0;
    size_t known, behind;

    expire(history);
    out->epoch = history->epoch;
    out->offset = history->last;
    out->count = 0;
    out->recovered = 0;
    *missed = NULL;
    if ((!is_first_time && since->epoch != history->epoch) ||
        since->offset > history->last)
        return 0;
    known = count_to(history, since->offset);
    behind = history->count - known;
    out->recovered = is_whole_behind(history, known, since->offset);
    if (!out->recovered && !is_first_time)
        behind = 0;
    out->count = behind;
    return take_last(history, missed, behind);
}

/* With the room's lock held. */
static bool is_known(const struct wsi_history *history)
{
    const struct wsi_branch *branch = history->room->branch;

    return branch == NULL || branch->loaded;
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
    else if (!is_known(room->history))
        r = WSOCK_EAGAIN;
    else
        *out = (wsock_position){sizeof *out, room->history->epoch, room->history->last};
    pthread_mutex_unlock(&room->lock);
    return r;
}

/* With the lock held, for who looks without it. @param out (out, owned) references.
 * @return how many; WSOCK_ENOMEM. */
static int copy_past(struct wsi_history *history, struct wsi_said ***out, uint64_t before,
                     size_t limit)
{
    const size_t end = before == 0 ? history->count : count_to(history, before - 1);
    size_t count = end;

    if (count > limit)
        count = limit;
    if (count > INT_MAX)
        count = INT_MAX;
    *out = wsi_alloc_array(count, sizeof **out);
    if (*out == NULL)
        return WSOCK_ENOMEM;
    for (size_t i = 0; i < count; i++)
        (*out)[i] = wsi_said_ref(past_at(history, end - count + i)->said);
    return (int)count;
}

static void show(struct wsi_said *const *copies, int count, wsock_history_fn fn,
                 void *user)
{
    for (int i = 0; i < count; i++) {
        const wsock_room_message message = wsi_said_show(copies[i]);

        if (fn(&message, user) != 0)
            return;
    }
}

int wsock_room_history(wsock_room *room, uint64_t before, size_t limit,
                       wsock_history_fn fn, void *user)
{
    struct wsi_said **copies = NULL;
    int r;

    if (room == NULL || fn == NULL)
        return WSOCK_EINVAL;
    if (room->history == NULL)
        return WSOCK_ENOTSUP;
    pthread_mutex_lock(&room->lock);
    expire(room->history);
    r = room->closed               ? WSOCK_ECLOSED
        : !is_known(room->history) ? WSOCK_EAGAIN
                                   : copy_past(room->history, &copies, before, limit);
    pthread_mutex_unlock(&room->lock);
    if (r < 0)
        return r;
    show(copies, r, fn, user);
    for (int i = 0; i < r; i++)
        wsi_said_unref(copies[i]);
    wsi_free(copies);
    return r;
}

/* ---- what a member missed, on its worker ---- */

/* With the room's lock held. @return (nullable) NULL when it is not kept any more. */
static struct wsi_past *past_of(const struct wsi_history *history,
                                const struct wsi_said *said)
{
    const size_t count = count_to(history, said->offset);

    return count > 0 && past_at(history, count - 1)->said == said
               ? past_at(history, count - 1)
               : NULL;
}

/* With the room's lock held. */
static bool has_room_for(const struct wsi_history *history, int64_t bytes)
{
    const struct wsi_histories *histories = histories_of(history);
    const struct wsi_options *options = history->room->registry->options;

    return atomic_load_explicit(&history->bytes, memory_order_relaxed) + bytes <=
               option(history, WSI_OPT_HISTORY_BYTES) &&
           atomic_load_explicit(&histories->bytes, memory_order_relaxed) + bytes <=
               wsi_option(options, WSI_OPT_MAX_HISTORY_BYTES);
}

/* With the room's lock held. Of two who made the same, one keeps it. */
static void keep_v1(struct wsi_history *history, struct wsi_missed_one *one)
{
    const size_t bytes = wsi_v1_bytes(one->v1);
    struct wsi_past *past = past_of(history, one->said);

    if (past == NULL || wsi_said_v1(one->said) != NULL ||
        !has_room_for(history, (int64_t)bytes))
        return;
    wsi_said_set_v1(one->said, wsi_v1_ref(one->v1));
    past->bytes += bytes;
    count_bytes(history, (int64_t)bytes);
}

static int take_v1(struct wsi_missed_one *one, struct wsi_history *history, bool *made)
{
    struct wsi_v1 *v1 = wsi_said_v1(one->said);

    if (v1 != NULL) {
        one->v1 = wsi_v1_ref(v1);
        return 0;
    }
    *made = true;
    return wsi_said_make_v1(one->said, &one->v1, history->room->name, false);
}

int wsi_missed_prepare(struct wsi_missed *missed, struct wsi_history *history,
                       const wsock_conn *conn)
{
    bool made = false;
    int r = 0;

    if (conn->form != WSI_FORM_V1)
        return 0;
    for (size_t i = 0; r == 0 && i < missed->count; i++)
        r = take_v1(&missed->list[i], history, &made);
    if (r < 0 || !made)
        return r;
    pthread_mutex_lock(&history->room->lock);
    for (size_t i = 0; i < missed->count; i++)
        keep_v1(history, &missed->list[i]);
    pthread_mutex_unlock(&history->room->lock);
    return 0;
}

struct wsi_blob *wsi_missed_frame(const struct wsi_missed *missed, size_t index,
                                  const wsock_conn *conn)
{
    const struct wsi_missed_one *one = &missed->list[index];

    return wsi_frames_for(one->v1 != NULL ? &one->v1->frames : &one->said->frames, conn);
}

void wsi_missed_free(struct wsi_missed *missed)
{
    if (missed == NULL)
        return;
    for (size_t i = 0; i < missed->count; i++) {
        wsi_v1_unref(missed->list[i].v1);
        wsi_said_unref(missed->list[i].said);
    }
    wsi_free(missed);
}
