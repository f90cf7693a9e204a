/* SPDX-License-Identifier: MIT */
/* Rooms that other nodes have too: what is heard of them, and in which order. */
#include "room/branch.h"

#include <string.h>

#include <wsock/error.h>

#include "conn/frames.h"
#include "conn/queue.h"
#include "core/alloc.h"
#include "room/action.h"
#include "room/audience.h"
#include "room/crowd.h"
#include "room/relay.h"
#include "room/room.h"
#include "room/spread.h"
#include "room/waiting.h"

enum {
    ARRIVED_MAX = 1024 * 1024, /* bytes that may wait while a room is loaded */
};

/* A message that arrived while the room is loaded. */
struct wsi_arrival_copy {
    struct wsi_arrival_copy *next;
    uint64_t epoch;
    struct wsi_bus_kept kept;
};

static struct wsi_spread *spread_of(const wsock_room *room)
{
    return wsi_registry_spread(room->registry);
}

/* ---- life ---- */

static void run_loaded(struct wsi_bus_receipt *receipt,
                       const struct wsi_bus_answer *answer);

int wsi_branch_make(wsock_room *room)
{
    struct wsi_branch *branch = wsi_zalloc(sizeof *branch);

    if (branch == NULL)
        return WSOCK_ENOMEM;
    branch->room = room;
    branch->last = &branch->first;
    branch->receipt.done = run_loaded;
    wsi_list_init(&branch->retry);
    wsi_list_init(&branch->idle);
    wsi_list_init(&branch->waiting);
    wsi_withholding_init(&branch->withholding);
    wsi_roster_init(&branch->roster);
    room->branch = branch;
    return 0;
}

static struct wsi_arrival_copy *pop_arrived(struct wsi_branch *branch)
{
    struct wsi_arrival_copy *copy = branch->first;

    if (copy == NULL)
        return NULL;
    branch->first = copy->next;
    if (branch->first == NULL)
        branch->last = &branch->first;
    branch->arrived_bytes -= sizeof *copy + copy->kept.bytes.len;
    return copy;
}

static void drop_arrived(struct wsi_branch *branch)
{
    struct wsi_arrival_copy *copy;

    while ((copy = pop_arrived(branch)) != NULL)
        wsi_free(copy);
}

void wsi_branch_free(struct wsi_branch *branch)
{
    if (branch == NULL)
        return;
    if (branch->wanted)
        wsi_spread_unwant(spread_of(branch->room), branch->room->name);
    drop_arrived(branch);
    wsi_roster_fini(&branch->roster);
    wsi_withholding_fini(&branch->withholding);
    wsi_heard_fini(&branch->heard);
    wsi_free(branch);
}

/* ---- loading; with the room's lock held ---- */

static struct wsi_bus_window window_of(const wsock_room *room)
{
    const int64_t messages = wsi_room_option(&room->options, WSI_OPT_HISTORY_MESSAGES);
    const int64_t time = wsi_room_option(&room->options, WSI_OPT_HISTORY_TIME);
    const int64_t bytes = wsi_room_option(&room->options, WSI_OPT_HISTORY_BYTES);

    return (struct wsi_bus_window){
        .messages = wsi_option_is_off(messages) ? 0 : (uint64_t)messages,
        .time_ms = wsi_option_is_off(time) ? 0 : (uint64_t)time,
        .bytes = wsi_option_is_off(bytes) ? 0 : (uint64_t)bytes,
    };
}

static struct wsi_bus_position seen_of(const struct wsi_branch *branch)
{
    const struct wsi_history *history = branch->room->history;

    return branch->loaded ? (struct wsi_bus_position){history->epoch, history->last}
                          : (struct wsi_bus_position){0, 0};
}

/* With the caller's reference to the room. What cannot be done now is tried again in the
 * next turn of the house, or when the room is subscribed again. */
static void begin_load(struct wsi_branch *branch)
{
    wsock_room *room = branch->room;
    const struct wsi_bus_window window = window_of(room);
    const struct wsi_bus_position seen = seen_of(branch);

    branch->stale = true;
    if (branch->loading || !branch->is_heard || room->closed)
        return;
    branch->loading = true;
    branch->stale = false;
    wsi_ref_take(&room->ref);
    if (wsi_spread_load(spread_of(room), room->name, &window, &seen, &branch->receipt) ==
        0)
        return;
    wsi_ref_drop(&room->ref); /* not the last: the caller's is there */
    branch->loading = false;
    branch->stale = true;
    wsi_spread_retry(spread_of(room), branch);
}

static bool is_needed(const wsock_room *room)
{
    if (room->closed)
        return false;
    return room->count > 0 || wsi_herald_is_used(room->herald) ||
           (room->history != NULL && room->branch->is_held);
}

static void want(struct wsi_branch *branch)
{
    wsock_room *room = branch->room;
    const int r = wsi_spread_want(spread_of(room), room->name);

    if (r < 0) {
        wsi_spread_retry(spread_of(room), branch);
        return;
    }
    branch->wanted = true;
    branch->is_heard = r > 0;
    if (branch->is_heard && room->history != NULL)
        begin_load(branch);
}

static void stop_wanting(struct wsi_branch *branch)
{
    branch->wanted = branch->is_heard = branch->loaded = branch->moved = false;
    branch->listens_from = 0;
    branch->outdated = branch->loading;
    drop_arrived(branch);
    wsi_spread_unwant(spread_of(branch->room), branch->room->name);
}

static void look(struct wsi_branch *branch)
{
    wsock_room *room = branch->room;
    const bool needed = is_needed(room);

    if (needed && !branch->wanted)
        want(branch);
    if (needed || !branch->wanted)
        return;
    if (room->history == NULL || room->closed) {
        stop_wanting(branch);
    } else if (!branch->lingers) {
        branch->lingers = true;
        wsi_spread_linger(spread_of(room), branch);
    }
}

void wsi_branch_look(wsock_room *room)
{
    if (room->branch == NULL)
        return;
    look(room->branch);
    if (wsi_herald_is_used(room->herald))
        wsi_branch_listen(room);
    wsi_roster_look(room);
}

void wsi_branch_listen(wsock_room *room)
{
    struct wsi_branch *branch = room->branch;

    if (branch != NULL && branch->listens_from == 0)
        branch->listens_from = wsi_spread_draw(spread_of(room));
}

void wsi_branch_hold(wsock_room *room)
{
    if (room->branch == NULL || room->history == NULL)
        return;
    pthread_mutex_lock(&room->lock);
    if (!room->branch->is_held) {
        room->branch->is_held = true;
        wsi_branch_look(room);
    }
    pthread_mutex_unlock(&room->lock);
}

/* With the room's lock held: members that joined without a branch hear what is said here
 * from now on, and the other nodes hear of them. */
static void take_members(wsock_room *room)
{
    struct wsi_branch *branch = room->branch;

    if (room->count == 0)
        return;
    wsi_branch_listen(room);
    branch->roster.unsaid = true;
    wsi_spread_retry(spread_of(room), branch);
}

/* Who publishes has its place in the history before, or asks the broker for one. */
int wsi_branch_add(wsock_room *room)
{
    struct wsi_history *history = room->history;
    int r = 0;

    if (history != NULL)
        pthread_mutex_lock(&history->publish);
    pthread_mutex_lock(&room->lock);
    if (room->branch == NULL) {
        r = wsi_branch_make(room);
        if (r == 0)
            take_members(room);
    }
    if (r == 0)
        wsi_branch_look(room);
    pthread_mutex_unlock(&room->lock);
    if (history != NULL)
        pthread_mutex_unlock(&history->publish);
    if (r == 0)
        wsi_branch_hold(room);
    return r;
}

bool wsi_branch_may_learn(const struct wsi_branch *branch, const wsock_join *how)
{
    const bool since = how != NULL && how->since != NULL;

    return !branch->loaded ||
           (since && wsi_history_is_behind(branch->room->history, how->since));
}

/* ---- publishing ---- */

void wsi_branch_relay(wsock_room *room, struct wsi_relay **relay)
{
    const struct wsi_bus_channel channel = {.kind = WSI_BUS_ROOM, .name = room->name};
    struct wsi_spread *spread = spread_of(room);
    struct wsi_relay *own = *relay;
    /* Once it is published its answer may come at any moment, and takes it away. */
    const bool is_asked = own->fn != NULL;

    wsi_relay_number(own, wsi_spread_draw(spread));
    if (wsi_spread_publish(spread, &channel, own->bytes,
                           is_asked ? &own->receipt : NULL) == 0 &&
        is_asked)
        *relay = NULL;
}

/* @return (owned, nullable) */
static struct wsi_withheld *take_withheld(struct wsi_branch *branch, uint64_t seq)
{
    struct wsi_withheld *withheld;

    pthread_mutex_lock(&branch->room->lock);
    withheld = wsi_withholding_take(&branch->withholding, seq);
    pthread_mutex_unlock(&branch->room->lock);
    return withheld;
}

/* It was not delivered, and comes again. @param withheld (consumed) */
static void put_withheld_back(struct wsi_branch *branch, struct wsi_withheld *withheld,
                              uint64_t seq)
{
    pthread_mutex_lock(&branch->room->lock);
    (void)wsi_withholding_put(&branch->withholding, withheld, seq); /* not the first */
    withheld = wsi_withholding_take_excess(&branch->withholding);
    pthread_mutex_unlock(&branch->room->lock);
    wsi_withheld_free(withheld);
}

/* With the room's lock held, so that numbers leave in their order.
 * @param withheld (nullable, in, out) what is to be freed then. */
static int append(wsock_room *room, struct wsi_relay *relay,
                  struct wsi_withheld **withheld)
{
    struct wsi_branch *branch = room->branch;
    struct wsi_spread *spread = spread_of(room);
    const struct wsi_bus_window window = window_of(room);
    const struct wsi_bus_position seen = seen_of(branch);
    const uint64_t seq = wsi_spread_draw(spread);
    int r = 0;

    if (room->closed)
        return WSOCK_ECLOSED;
    wsi_relay_number(relay, seq);
    if (*withheld != NULL)
        r = wsi_withholding_put(&branch->withholding, *withheld, seq);
    if (r < 0)
        return r;
    /* What is told of it waits for the lock. */
    r = wsi_spread_append(spread, room->name, relay->bytes, seq, &window, &seen,
                          &relay->receipt);
    *withheld = r < 0 ? wsi_withholding_take(&branch->withholding, seq)
                      : wsi_withholding_take_excess(&branch->withholding);
    return r < 0 ? r : (int)room->count;
}

void wsi_branch_failed(wsock_room *room, uint64_t seq)
{
    wsi_withheld_free(take_withheld(room->branch, seq));
}

int wsi_branch_append(wsock_room *room, const wsock_publish *what,
                      const struct wsi_frames *frames)
{
    struct wsi_withheld *withheld;
    struct wsi_relay *relay;
    int r = wsi_withheld_new(&withheld, what);

    if (r < 0)
        return r;
    r = wsi_relay_new(&relay, room, what, frames);
    if (r == 0) {
        pthread_mutex_lock(&room->lock);
        r = append(room, relay, &withheld);
        pthread_mutex_unlock(&room->lock);
        if (r < 0)
            wsi_relay_free(relay);
    }
    wsi_withheld_free(withheld);
    return r;
}

/* ---- what arrives ---- */

/* With the room's lock held. */
static bool is_new(struct wsi_branch *branch, const struct wsi_wire *wire)
{
    return wsi_heard_take(&branch->heard, wire->node, wire->seq);
}

static wsock_publish publish_of(const struct wsi_wire *wire)
{
    return (wsock_publish){
        .size = sizeof(wsock_publish),
        .data = wire->data.data,
        .len = wire->data.len,
        .key = wire->key,
        .event = wire->event,
        .from = wire->from,
        .except_identity = wire->except_identity,
        .type = wire->type | (wire->is_json ? WSOCK_JSON : 0) |
                (wire->is_uncompressed ? WSOCK_UNCOMPRESSED : 0),
    };
}

static bool is_own(const wsock_room *room, const struct wsi_wire *wire)
{
    return memcmp(wire->node, spread_of(room)->node, sizeof wire->node) == 0;
}

/* In a room without history, or one that is not heard but by patterns. */
static void take_plain(wsock_room *room, const struct wsi_wire *wire)
{
    static const struct wsi_placed placed = {0};
    const wsock_publish what = publish_of(wire);
    bool new;

    pthread_mutex_lock(&room->lock);
    new = is_new(room->branch, wire);
    pthread_mutex_unlock(&room->lock);
    if (new && wire->kind == WSI_WIRE_MESSAGE)
        wsi_room_deliver(room, &what, &placed);
    else if (new)
        wsi_action_take_in_room(room, wire);
}

/* A message was said here while the room was being loaded, to those who were there: the
 * load brings it, and nothing else does. */
static bool is_news(wsock_room *room, const struct wsi_wire *wire)
{
    const struct wsi_branch *branch = room->branch;
    uint64_t from;

    pthread_mutex_lock(&room->lock);
    from = branch->listens_from;
    pthread_mutex_unlock(&room->lock);
    return from != 0 && wire->seq > from;
}

/* It is heard. When the load has to be done once more it is none to hear again. */
static void is_no_news(wsock_room *room, const struct wsi_wire *wire)
{
    pthread_mutex_lock(&room->lock);
    if (room->branch->listens_from != 0)
        room->branch->listens_from = wire->seq;
    pthread_mutex_unlock(&room->lock);
}

/* Its place, with the publish lock held.
 * @param first it is loaded, and none but those to whom it is news hear it.
 * @return 0; WSOCK_EAGAIN; WSOCK_ENOMEM. */
static int deliver_kept(wsock_room *room, uint64_t epoch, const struct wsi_bus_kept *kept,
                        bool first, uint64_t age_ms)
{
    struct wsi_placed placed = {.epoch = epoch,
                                .offset = kept->offset,
                                .prev = kept->prev,
                                .time_ms = kept->time_ms,
                                .age_ms = age_ms,
                                .only_keep = first};
    struct wsi_withheld *withheld = NULL;
    struct wsi_wire wire;
    wsock_publish what;
    int r = wsi_wire_read(&wire, kept->bytes);

    if (r < 0 || wire.kind != WSI_WIRE_MESSAGE) {
        /* Nobody can hear it, but it has its place. */
        pthread_mutex_lock(&room->lock);
        room->history->last = kept->offset;
        pthread_mutex_unlock(&room->lock);
        return 0;
    }
    what = publish_of(&wire);
    if (is_own(room, &wire)) {
        withheld = take_withheld(room->branch, wire.seq);
        placed.only_keep = first && !is_news(room, &wire);
    }
    if (withheld != NULL) {
        what.excluded = withheld->conns.conns;
        what.excluded_count = withheld->conns.count;
    }
    r = wsi_room_deliver(room, &what, &placed);
    if (r != WSOCK_EAGAIN && r != WSOCK_ENOMEM)
        r = 0;
    if (r == 0 && first && !placed.only_keep)
        is_no_news(room, &wire);
    if (r < 0 && withheld != NULL)
        put_withheld_back(room->branch, withheld, wire.seq);
    else
        wsi_withheld_free(withheld);
    return r;
}

/* With the publish lock held: one that is in order is delivered. @return false when the
 * room has to be loaded again. */
static bool take_in_order(wsock_room *room, uint64_t epoch,
                          const struct wsi_bus_kept *kept)
{
    const struct wsi_history *history = room->history;

    if (epoch == history->epoch && kept->offset <= history->last)
        return true;
    return epoch == history->epoch && kept->prev <= history->last &&
           deliver_kept(room, epoch, kept, false, 0) == 0;
}

/* With the room's lock held: keep it until the room is loaded, or have it loaded once
 * more. */
static void put_aside(struct wsi_branch *branch, uint64_t epoch,
                      const struct wsi_bus_kept *kept)
{
    const size_t size = sizeof(struct wsi_arrival_copy) + kept->bytes.len;
    struct wsi_arrival_copy *copy = NULL;

    if (branch->stale || branch->arrived_bytes + size > ARRIVED_MAX ||
        (copy = wsi_alloc(size)) == NULL) {
        branch->stale = true;
        return;
    }
    copy->next = NULL;
    copy->epoch = epoch;
    copy->kept = *kept;
    if (kept->bytes.len > 0)
        memcpy(copy + 1, kept->bytes.data, kept->bytes.len);
    copy->kept.bytes.data = copy + 1;
    branch->arrived_bytes += size;
    *branch->last = copy;
    branch->last = &copy->next;
}

/* With the publish lock held: one that is in order, or the reason to load. */
static void take_arrived(wsock_room *room, uint64_t epoch,
                         const struct wsi_bus_kept *kept, struct wsi_room_posts *posts)
{
    const bool in_order = take_in_order(room, epoch, kept);

    pthread_mutex_lock(&room->lock);
    if (in_order)
        wsi_waiting_decide(room->branch, true, posts);
    else
        begin_load(room->branch);
    pthread_mutex_unlock(&room->lock);
}

static void take_kept(wsock_room *room, uint64_t epoch, const struct wsi_bus_kept *kept)
{
    struct wsi_branch *branch = room->branch;
    const struct wsi_options *options = room->registry->options;
    struct wsi_room_posts posts = {0};
    bool in_order;

    pthread_mutex_lock(&room->history->publish);
    pthread_mutex_lock(&room->lock);
    in_order = branch->loaded && !branch->loading && !branch->stale;
    if (!in_order && branch->loading)
        put_aside(branch, epoch, kept);
    pthread_mutex_unlock(&room->lock);
    if (in_order)
        take_arrived(room, epoch, kept, &posts);
    pthread_mutex_unlock(&room->history->publish);
    wsi_room_post(room, &posts);
    wsi_histories_trim(&room->registry->histories,
                       wsi_option(options, WSI_OPT_MAX_HISTORY_BYTES));
}

/* Nobody here needs its history, but some may hear it by a pattern. */
static bool is_heard_by_pattern(wsock_room *room)
{
    bool heard;

    pthread_mutex_lock(&room->lock);
    heard = !room->branch->wanted;
    pthread_mutex_unlock(&room->lock);
    return heard;
}

void wsi_branch_arrived(wsock_room *room, uint64_t epoch, const struct wsi_bus_kept *kept,
                        struct wsi_bytes bytes)
{
    struct wsi_bus_kept whole;
    struct wsi_wire wire;

    if (room->branch == NULL)
        return;
    if (kept != NULL && room->history != NULL && !is_heard_by_pattern(room)) {
        whole = *kept;
        whole.bytes = bytes;
        take_kept(room, epoch, &whole);
        return;
    }
    if (wsi_wire_read(&wire, bytes) < 0 || (is_own(room, &wire) && kept == NULL))
        return;
    take_plain(room, &wire);
}

/* ---- what was loaded; with the publish lock held ---- */

/* What was known of an epoch is over. With the room's lock held. @return whether
 * wsi_history_stop() is due. */
static bool begin_epoch(wsock_room *room, uint64_t epoch, uint64_t offset)
{
    const bool stop = wsi_history_clear(room->history);

    room->branch->moved |= room->branch->loaded;
    room->history->epoch = epoch;
    room->history->last = offset;
    return stop;
}

static void set_position(wsock_room *room, uint64_t epoch, uint64_t offset)
{
    bool stop;

    pthread_mutex_lock(&room->lock);
    stop = begin_epoch(room, epoch, offset);
    pthread_mutex_unlock(&room->lock);
    if (stop)
        wsi_history_stop(room->history);
}

/* What was said up to an offset the broker does not keep any more. What was kept here
 * from before goes as well: nobody would recover with it what lies between. */
static void pass_gap(wsock_room *room, uint64_t epoch, uint64_t offset)
{
    if (offset > room->history->last)
        set_position(room, epoch, offset);
}

/* The room is where its newest message was, whether that is kept or not. Members know
 * that from the message, or have to be told.
 * @return 0; WSOCK_EAGAIN when they cannot be told now. */
static int go_to(wsock_room *room, const struct wsi_bus_position *newest, bool heard)
{
    struct wsi_branch *branch = room->branch;
    struct wsi_room_posts posts = {0};
    bool told;

    pthread_mutex_lock(&room->lock);
    branch->moved = branch->moved && !heard;
    pthread_mutex_unlock(&room->lock);
    pass_gap(room, newest->epoch, newest->offset);
    pthread_mutex_lock(&room->lock);
    told = !branch->moved || wsi_notices_moved(room, &posts);
    branch->moved = !told;
    pthread_mutex_unlock(&room->lock);
    wsi_room_post(room, &posts);
    return told ? 0 : WSOCK_EAGAIN;
}

/* @return 0; WSOCK_EAGAIN, WSOCK_ENOMEM when not all of it could be taken. */
static int take_answer(wsock_room *room, const struct wsi_bus_answer *answer, bool first)
{
    const struct wsi_history *history = room->history;
    const struct wsi_bus_position *newest = &answer->position;
    bool heard = false;
    int r = 0;

    if (first || newest->epoch != history->epoch)
        set_position(room, newest->epoch,
                     !first              ? 0
                     : answer->count > 0 ? answer->kept[0].prev
                                         : newest->offset);
    for (size_t i = 0; r == 0 && i < answer->count; i++) {
        const struct wsi_bus_kept *kept = &answer->kept[i];
        const uint64_t age = answer->time_ms > kept->time_ms
                                 ? (uint64_t)(answer->time_ms - kept->time_ms)
                                 : 0;

        if (kept->offset <= history->last)
            continue;
        pass_gap(room, newest->epoch, kept->prev);
        r = deliver_kept(room, newest->epoch, kept, first, age);
        heard = !first;
    }
    return r == 0 ? go_to(room, newest, heard) : r;
}

/* What arrived meanwhile. @return false when the room has to be loaded again. */
static bool take_put_aside(wsock_room *room)
{
    bool in_order = true;

    for (;;) {
        struct wsi_arrival_copy *copy;

        pthread_mutex_lock(&room->lock);
        copy = pop_arrived(room->branch);
        pthread_mutex_unlock(&room->lock);
        if (copy == NULL)
            return in_order;
        in_order = in_order && take_in_order(room, copy->epoch, &copy->kept);
        wsi_free(copy);
    }
}

/* With the room's lock held: the load is over. */
static void end_load(struct wsi_branch *branch, bool in_order, bool answered)
{
    branch->loading = false;
    if (in_order && !branch->stale)
        return;
    branch->stale = true;
    if (answered)
        begin_load(branch);
    else if (!branch->room->closed)
        wsi_spread_retry(spread_of(branch->room), branch);
}

static void run_loaded(struct wsi_bus_receipt *receipt,
                       const struct wsi_bus_answer *answer)
{
    struct wsi_branch *branch = WSI_CONTAINER_OF(receipt, struct wsi_branch, receipt);
    const bool answered = answer->outcome == WSI_BUS_DONE;
    wsock_room *room = branch->room;
    struct wsi_room_posts posts = {0};
    bool in_order = false, first, outdated;

    pthread_mutex_lock(&room->history->publish);
    pthread_mutex_lock(&room->lock);
    first = !branch->loaded;
    outdated = branch->outdated;
    branch->outdated = false;
    pthread_mutex_unlock(&room->lock);
    if (answered && !outdated && take_answer(room, answer, first) == 0) {
        pthread_mutex_lock(&room->lock);
        branch->loaded = true;
        wsi_waiting_decide(branch, true, &posts);
        pthread_mutex_unlock(&room->lock);
        in_order = take_put_aside(room);
    }
    pthread_mutex_lock(&room->lock);
    if (in_order) /* who has heard of more elsewhere may have found it now */
        wsi_waiting_decide(branch, true, &posts);
    end_load(branch, in_order, answered && (in_order || outdated));
    pthread_mutex_unlock(&room->lock);
    pthread_mutex_unlock(&room->history->publish);
    wsi_room_post(room, &posts);
    wsi_histories_trim(&room->registry->histories,
                       wsi_option(room->registry->options, WSI_OPT_MAX_HISTORY_BYTES));
    wsock_room_unref(room);
}

/* ---- what the spread tells ---- */

void wsi_branch_heard(wsock_room *room)
{
    struct wsi_branch *branch = room->branch;

    if (branch == NULL)
        return;
    pthread_mutex_lock(&room->lock);
    if (branch->wanted) {
        branch->is_heard = true;
        if (room->history != NULL)
            begin_load(branch);
        wsi_roster_heard(room);
    }
    pthread_mutex_unlock(&room->lock);
}

void wsi_branch_idle_over(wsock_room *room)
{
    bool stop = false;

    pthread_mutex_lock(&room->history->publish);
    pthread_mutex_lock(&room->lock);
    room->branch->lingers = false;
    if (!is_needed(room) && room->branch->wanted) {
        stop_wanting(room->branch);
        stop = wsi_history_clear(room->history);
    }
    pthread_mutex_unlock(&room->lock);
    pthread_mutex_unlock(&room->history->publish);
    if (stop)
        wsi_history_stop(room->history);
}

void wsi_branch_try(wsock_room *room)
{
    struct wsi_branch *branch = room->branch;
    struct wsi_room_posts posts = {0};

    pthread_mutex_lock(&room->lock);
    if (!branch->wanted)
        wsi_branch_look(room);
    if (branch->stale && branch->wanted)
        begin_load(branch);
    wsi_waiting_decide(branch, false, &posts);
    if (!wsi_list_is_empty(&branch->waiting))
        wsi_spread_retry(spread_of(room), branch);
    wsi_roster_try(room, &posts);
    pthread_mutex_unlock(&room->lock);
    wsi_room_post(room, &posts);
}
