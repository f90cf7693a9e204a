/* SPDX-License-Identifier: MIT */
/* People on other nodes. */
#include "room/roster.h"

#include <string.h>

#include <wsock/error.h>

#include "conn/identity.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "room/action.h"
#include "room/branch.h"
#include "room/room.h"
#include "room/spread.h"
#include "room/wire.h"

enum {
    FAR_MAX = 1024 * 1024, /* identities of other nodes in a room; more are not counted */
    RECOUNT_BEATS = 12,
    RECOUNTS_A_TURN = 16, /* so that the rooms of a server are not loaded all at once */
    LISTS_AT_ONCE = 64,   /* that are under way, whoever waits for them */
};

static struct wsi_spread *spread_of(const wsock_room *room)
{
    return wsi_registry_spread(room->registry);
}

static uint64_t now_ms(const wsock_room *room)
{
    return wsi_clock_us(room->registry->owner->pool->clock) / 1000;
}

static bool is_told(const wsock_room *room)
{
    return wsi_room_option(&room->options, WSI_OPT_PRESENCE) != 0;
}

void wsi_roster_init(struct wsi_roster *roster)
{
    wsi_list_init(&roster->node);
    wsi_list_init(&roster->all);
    wsi_list_init(&roster->unmet);
}

/* ---- entries; with the room's lock held, as what follows ---- */

static struct wsi_far *far_of(struct wsi_list *listed)
{
    return WSI_CONTAINER_OF(listed, struct wsi_far, listed);
}

static void free_far(struct wsi_far *far)
{
    wsi_list_remove(&far->node);
    wsi_list_remove(&far->listed);
    wsi_present_unref(far->present);
    wsi_blob_unref(far->info);
    wsi_free(far);
}

void wsi_roster_fini(struct wsi_roster *roster)
{
    WSI_LIST_EACH(node, &roster->all)
    {
        free_far(far_of(node));
    }
}

static struct wsi_far *find(const struct wsi_present *present, const uint8_t *id)
{
    WSI_LIST_EACH(node, &present->far)
    {
        struct wsi_far *far = WSI_CONTAINER_OF(node, struct wsi_far, node);

        if (memcmp(far->id, id, sizeof far->id) == 0)
            return far;
    }
    return NULL;
}

/* It is on that node now, or not any more. */
static void set_gone(wsock_room *room, struct wsi_far *far, bool gone)
{
    struct wsi_present *present = far->present;
    const bool was_here = wsi_present_is_here(present);

    if (far->gone == gone)
        return;
    far->gone = gone;
    present->far_count += gone ? (size_t)-1 : 1;
    if (wsi_present_is_here(present) == was_here)
        return;
    room->heads += was_here ? (size_t)-1 : 1;
    wsi_notices_note(room, present);
}

static void drop(wsock_room *room, struct wsi_far *far)
{
    struct wsi_present *present = far->present;

    set_gone(room, far, true);
    wsi_list_remove(&far->node);
    wsi_presence_look(room, present);
    free_far(far);
    room->branch->roster.count--;
}

/* @return (nullable) an entry that is gone so far; NULL without memory, or room. */
static struct wsi_far *make(wsock_room *room, const uint8_t *id, const char *identity)
{
    struct wsi_roster *roster = &room->branch->roster;
    struct wsi_far *far = roster->count < FAR_MAX ? wsi_zalloc(sizeof *far) : NULL;

    if (far == NULL)
        return NULL;
    far->present = wsi_presence_get(room, identity);
    if (far->present == NULL) {
        wsi_free(far);
        return NULL;
    }
    memcpy(far->id, id, sizeof far->id);
    far->gone = true;
    wsi_list_append(&far->present->far, &far->node);
    wsi_list_append(&roster->all, &far->listed);
    roster->count++;
    return far;
}

/* Without memory nothing is known of it. */
static void set_info(wsock_room *room, struct wsi_far *far, struct wsi_bytes info)
{
    struct wsi_blob *blob = NULL;

    if (far->info == NULL && info.len == 0)
        return;
    if (info.len > 0 &&
        (int64_t)info.len <= wsi_room_option(&room->options, WSI_OPT_MAX_INFO_BYTES))
        blob = wsi_blob_new(info.len);
    if (blob != NULL) {
        memcpy(blob->data, info.data, info.len);
        blob->len = info.len;
    }
    wsi_blob_unref(far->info);
    far->info = blob;
}

/* @return (nullable) the entry, made if need be. */
static struct wsi_far *get(wsock_room *room, const uint8_t *id, const char *identity)
{
    struct wsi_present *present = wsi_presence_find(room, identity);
    struct wsi_far *far = present != NULL ? find(present, id) : NULL;

    return far != NULL ? far : make(room, id, identity);
}

static void put(wsock_room *room, struct wsi_far *far, struct wsi_bytes info)
{
    far->load = room->branch->roster.load;
    set_info(room, far, info);
    set_gone(room, far, false);
}

/* ---- who waits ---- */

bool wsi_roster_is_due(const wsock_room *room)
{
    const struct wsi_branch *branch = room->branch;

    /* Where a list failed nobody waits for the next: that may fail as well. */
    return branch != NULL && !branch->roster.loaded && branch->roster.again_ms == 0 &&
           is_told(room) && wsi_spread_is_up(spread_of(room), NULL);
}

void wsi_roster_await(struct wsi_member *member)
{
    wsock_room *room = member->room;
    struct wsi_roster *roster = &room->branch->roster;

    if (wsi_list_is_empty(&roster->unmet))
        roster->until_ms = now_ms(room) + (uint64_t)wsi_option(room->registry->options,
                                                               WSI_OPT_CLUSTER_TIMEOUT);
    wsi_list_append(&roster->unmet, &member->ticket->unmet);
    wsi_spread_retry(spread_of(room), room->branch); /* it does not wait for ever */
}

bool wsi_roster_give_up(struct wsi_member *member)
{
    if (member->ticket == NULL || wsi_list_is_empty(&member->ticket->unmet))
        return false;
    wsi_list_remove(&member->ticket->unmet);
    return true;
}

static void meet_all(wsock_room *room, struct wsi_room_posts *posts)
{
    struct wsi_list *node;

    while ((node = wsi_list_pop(&room->branch->roster.unmet)) != NULL) {
        struct wsi_ticket *ticket = WSI_CONTAINER_OF(node, struct wsi_ticket, unmet);

        wsi_room_append_op(room, ticket->met.subject, &ticket->met, posts);
    }
}

/* ---- what is said of those who are here ---- */

static void announce(wsock_room *room, enum wsi_wire_kind kind, const char *identity,
                     struct wsi_bytes info)
{
    struct wsi_wire wire = {
        .kind = kind, .type = WSOCK_TEXT, .identity = identity, .info = info};
    struct wsi_spread *spread = spread_of(room);

    if (!is_told(room) || wsi_action_say(room, &wire) == 0)
        return;
    pthread_mutex_lock(&spread->lock);
    spread->rosters.tell_ms = now_ms(room) + spread->beat_ms;
    pthread_mutex_unlock(&spread->lock);
}

/* The bus has it from then on, or is asked again in the next turn. */
static void say(wsock_room *room, struct wsi_present *present,
                const struct wsi_blob *info)
{
    const struct wsi_bytes bytes = {info != NULL ? info->data : NULL,
                                    info != NULL ? info->len : 0};

    present->is_said = wsi_spread_present(spread_of(room), room->name, present->identity,
                                          bytes) == 0;
    if (present->is_said) {
        announce(room, WSI_WIRE_JOINED, present->identity, bytes);
        return;
    }
    room->branch->roster.unsaid = true;
    wsi_spread_retry(spread_of(room), room->branch);
}

void wsi_roster_say_joined(wsock_room *room, const struct wsi_attendance *attendance)
{
    if (room->branch != NULL && wsi_registry_spread(room->registry) != NULL)
        say(room, attendance->present, attendance->info);
}

void wsi_roster_say_left(wsock_room *room, struct wsi_present *present)
{
    if (!present->is_said)
        return;
    present->is_said = false;
    wsi_spread_absent(spread_of(room), room->name, present->identity);
    announce(room, WSI_WIRE_LEFT, present->identity, (struct wsi_bytes){NULL, 0});
}

static void say_unsaid(wsock_room *room)
{
    room->branch->roster.unsaid = false;
    for (size_t b = 0; b < room->people.bucket_count; b++)
        for (struct wsi_table_node *node = room->people.buckets[b]; node != NULL;
             node = node->next) {
            struct wsi_present *present = WSI_CONTAINER_OF(node, struct wsi_present,
                                                           node);

            if (present->count > 0 && !present->is_said)
                say(room, present, wsi_present_info(present));
        }
}

/* ---- loading ---- */

/* It is kept, in its place among all, or not any more. */
static void list_it(wsock_room *room, bool listed)
{
    struct wsi_roster *roster = &room->branch->roster;
    struct wsi_spread *spread = spread_of(room);

    pthread_mutex_lock(&spread->lock);
    wsi_list_remove(&roster->node);
    roster->queued = false;
    roster->asked_ms = now_ms(room);
    roster->recount = spread->rosters.recount;
    if (listed)
        wsi_list_append(&spread->rosters.list, &roster->node);
    pthread_mutex_unlock(&spread->lock);
}

static void end_turn(struct wsi_spread *spread)
{
    pthread_mutex_lock(&spread->lock);
    spread->rosters.under_way--;
    pthread_mutex_unlock(&spread->lock);
}

/* When a broker comes there may be lists of all rooms to ask for.
 * @return whether one more may be under way; if not, it is the room's turn later. */
static bool take_turn(wsock_room *room)
{
    struct wsi_roster *roster = &room->branch->roster;
    struct wsi_spread *spread = spread_of(room);
    struct wsi_rosters *rosters = &spread->rosters;
    bool taken;

    pthread_mutex_lock(&spread->lock);
    taken = rosters->under_way < LISTS_AT_ONCE && wsi_list_is_empty(&rosters->queue);
    if (taken) {
        rosters->under_way++;
    } else if (!roster->queued) {
        roster->queued = true;
        wsi_list_remove(&roster->node);
        wsi_list_append(&rosters->queue, &roster->node);
    }
    pthread_mutex_unlock(&spread->lock);
    return taken;
}

static bool may_load(const wsock_room *room)
{
    const struct wsi_roster *roster = &room->branch->roster;

    return roster->wanted && !roster->loading && room->branch->is_heard;
}

/* With the caller's reference to the room, whose turn it is. */
static void load(wsock_room *room)
{
    struct wsi_roster *roster = &room->branch->roster;

    list_it(room, true);
    roster->loading = true;
    roster->stale = false;
    roster->load++;
    wsi_ref_take(&room->ref);
    if (wsi_spread_list(spread_of(room), room->name, &roster->receipt) == 0)
        return;
    wsi_ref_drop(&room->ref); /* not the last: the caller's is there */
    end_turn(spread_of(room));
    roster->loading = false;
    roster->stale = true;
    wsi_spread_retry(spread_of(room), room->branch);
}

/* The same, now or when it is the room's turn. */
static void begin_load(wsock_room *room)
{
    room->branch->roster.stale = true;
    if (may_load(room) && take_turn(room))
        load(room);
}

static void take_entry(wsock_room *room, const struct wsi_bus_entry *entry)
{
    struct wsi_far *far;

    if (memcmp(entry->node, spread_of(room)->node, sizeof entry->node) == 0 ||
        !wsi_identity_is_valid(entry->name))
        return;
    far = get(room, entry->node, entry->name);
    if (far != NULL && far->load != room->branch->roster.load)
        put(room, far, entry->bytes);
}

static void take_answer(wsock_room *room, const struct wsi_bus_answer *answer)
{
    struct wsi_roster *roster = &room->branch->roster;

    for (size_t i = 0; i < answer->count; i++)
        take_entry(room, &answer->entries[i]);
    WSI_LIST_EACH(node, &roster->all)
    {
        if (far_of(node)->gone || far_of(node)->load != roster->load)
            drop(room, far_of(node));
    }
    roster->loaded = true;
}

/* Who waits is told what is known; the rest comes with a later load. */
static void fail(wsock_room *room)
{
    struct wsi_roster *roster = &room->branch->roster;

    roster->stale = true;
    roster->again_ms = now_ms(room) + spread_of(room)->beat_ms;
    wsi_spread_retry(spread_of(room), room->branch);
}

/* @return (owned, nullable) the room whose turn it is: it was taken. */
static wsock_room *take_queued(struct wsi_spread *spread)
{
    struct wsi_rosters *rosters = &spread->rosters;
    wsock_room *room = NULL;

    pthread_mutex_lock(&spread->lock);
    if (rosters->under_way < LISTS_AT_ONCE && !wsi_list_is_empty(&rosters->queue)) {
        struct wsi_roster *roster = WSI_CONTAINER_OF(wsi_list_pop(&rosters->queue),
                                                     struct wsi_roster, node);

        /* As long as it is in a list it has members, so that it is there. */
        room = wsock_room_ref(WSI_CONTAINER_OF(roster, struct wsi_branch, roster)->room);
        roster->queued = false;
        rosters->under_way++;
    }
    pthread_mutex_unlock(&spread->lock);
    return room;
}

/* With no lock held. */
static void load_queued(struct wsi_spread *spread)
{
    wsock_room *room;

    while ((room = take_queued(spread)) != NULL) {
        pthread_mutex_lock(&room->lock);
        if (may_load(room))
            load(room);
        else
            end_turn(spread);
        pthread_mutex_unlock(&room->lock);
        wsock_room_unref(room);
    }
}

/* When it is to be loaded once more, what was announced meanwhile may not have been
 * heard. Its answer counts all the same: who always waited for a later one might wait for
 * ever. */
static void take_listed(wsock_room *room, const struct wsi_bus_answer *answer,
                        struct wsi_room_posts *posts)
{
    struct wsi_roster *roster = &room->branch->roster;
    const bool again = roster->stale, counts = !roster->outdated;

    if (counts && answer->outcome == WSI_BUS_DONE)
        take_answer(room, answer);
    else if (!again)
        fail(room);
    if (again)
        begin_load(room);
    if (again && !roster->loaded)
        return;
    wsi_notices_tell(room, posts);
    meet_all(room, posts);
}

static void run_listed(struct wsi_bus_receipt *receipt,
                       const struct wsi_bus_answer *answer)
{
    struct wsi_roster *roster = WSI_CONTAINER_OF(receipt, struct wsi_roster, receipt);
    wsock_room *room = WSI_CONTAINER_OF(roster, struct wsi_branch, roster)->room;
    struct wsi_spread *spread = spread_of(room);
    struct wsi_room_posts posts = {0};

    end_turn(spread);
    pthread_mutex_lock(&room->lock);
    roster->loading = false;
    if (roster->wanted)
        take_listed(room, answer, &posts);
    roster->outdated = false;
    pthread_mutex_unlock(&room->lock);
    wsi_room_post(room, &posts);
    wsock_room_unref(room);
    load_queued(spread);
}

static void stop(wsock_room *room)
{
    struct wsi_roster *roster = &room->branch->roster;

    roster->wanted = roster->loaded = false;
    roster->again_ms = 0;
    list_it(room, false);
    WSI_LIST_EACH(node, &roster->all)
    {
        drop(room, far_of(node));
    }
}

void wsi_roster_look(wsock_room *room)
{
    struct wsi_roster *roster = &room->branch->roster;
    bool wanted;

    if (room->branch == NULL)
        return;
    if (!roster->is_said) {
        roster->is_said = true;
        say_unsaid(room);
    }
    wanted = !room->closed && wsi_notices_are_heard(room);
    if (wanted == roster->wanted)
        return;
    if (!wanted) {
        stop(room);
        return;
    }
    roster->wanted = true;
    roster->outdated = roster->loading;
    roster->receipt.done = run_listed;
    begin_load(room);
}

void wsi_roster_heard(wsock_room *room)
{
    struct wsi_roster *roster = &room->branch->roster;

    if (roster->wanted && !roster->loaded)
        begin_load(room);
}

/* ---- trying again ---- */

void wsi_roster_try(wsock_room *room, struct wsi_room_posts *posts)
{
    struct wsi_roster *roster = &room->branch->roster;

    if (roster->unsaid && !room->closed)
        say_unsaid(room);
    if (roster->wanted && roster->stale && !roster->loading) {
        if (now_ms(room) >= roster->again_ms)
            begin_load(room);
        else
            wsi_spread_retry(spread_of(room), room->branch);
    }
    if (wsi_list_is_empty(&roster->unmet))
        return;
    if (now_ms(room) >= roster->until_ms || !wsi_spread_is_up(spread_of(room), NULL))
        meet_all(room, posts);
    else
        wsi_spread_retry(spread_of(room), room->branch);
}

/* ---- what other nodes say ---- */

static void take(wsock_room *room, const struct wsi_wire *wire)
{
    struct wsi_roster *roster = &room->branch->roster;
    struct wsi_present *present = wsi_presence_find(room, wire->identity);
    struct wsi_far *far = present != NULL ? find(present, wire->node) : NULL;

    if (far == NULL && (wire->kind == WSI_WIRE_JOINED || roster->loading))
        far = make(room, wire->node, wire->identity);
    if (far == NULL)
        return;
    if (wire->kind == WSI_WIRE_JOINED) {
        put(room, far, wire->info);
    } else if (roster->loading) {
        far->load = roster->load;
        set_gone(room, far, true);
    } else {
        drop(room, far);
    }
}

void wsi_roster_take(wsock_room *room, const struct wsi_wire *wire)
{
    struct wsi_room_posts posts = {0};
    const struct wsi_roster *roster;

    if (room->branch == NULL || !wsi_identity_is_valid(wire->identity))
        return;
    roster = &room->branch->roster;
    pthread_mutex_lock(&room->lock);
    /* Who has left is not there, whether a list was to be had or not. */
    if (roster->wanted &&
        (roster->loaded || roster->loading || wire->kind != WSI_WIRE_JOINED)) {
        take(room, wire);
        wsi_notices_tell(room, &posts);
    }
    pthread_mutex_unlock(&room->lock);
    wsi_room_post(room, &posts);
}

/* ---- all of a server ---- */

static uint64_t now_of(const struct wsi_spread *spread)
{
    return spread->services.now_ms(spread->services.pool);
}

static struct wsi_spread *spread_of_rosters(struct wsi_rosters *rosters)
{
    return WSI_CONTAINER_OF(rosters, struct wsi_spread, rosters);
}

/* In whatever order they come. */
static uint64_t digest(const struct wsi_spread *spread,
                       const struct wsi_bus_answer *answer)
{
    uint64_t sum = answer->count;

    for (size_t i = 0; i < answer->count; i++)
        sum += wsi_hash(&spread->registry->key, answer->entries[i].node,
                        sizeof answer->entries[i].node);
    return sum;
}

/* When one came or went, people did. */
static void run_nodes(struct wsi_bus_receipt *receipt,
                      const struct wsi_bus_answer *answer)
{
    struct wsi_rosters *rosters = WSI_CONTAINER_OF(receipt, struct wsi_rosters, receipt);
    struct wsi_spread *spread = spread_of_rosters(rosters);
    uint64_t nodes;

    pthread_mutex_lock(&spread->lock);
    rosters->asking = false;
    nodes = answer->outcome == WSI_BUS_DONE ? digest(spread, answer) : rosters->nodes;
    if (nodes != rosters->nodes && rosters->nodes != 0)
        rosters->recount++;
    rosters->nodes = nodes;
    pthread_mutex_unlock(&spread->lock);
}

void wsi_rosters_init(struct wsi_rosters *rosters)
{
    wsi_list_init(&rosters->list);
    wsi_list_init(&rosters->queue);
    rosters->receipt.done = run_nodes;
}

void wsi_rosters_were_cut_off(struct wsi_spread *spread)
{
    pthread_mutex_lock(&spread->lock);
    spread->rosters.tell_ms = spread->rosters.recount_ms = now_of(spread) +
                                                           spread->beat_ms;
    pthread_mutex_unlock(&spread->lock);
}

void wsi_rosters_recount(struct wsi_spread *spread)
{
    pthread_mutex_lock(&spread->lock);
    spread->rosters.recount++;
    pthread_mutex_unlock(&spread->lock);
}

static void look_at_nodes(struct wsi_spread *spread)
{
    struct wsi_rosters *rosters = &spread->rosters;
    bool due;

    pthread_mutex_lock(&spread->lock);
    due = !rosters->asking && !wsi_list_is_empty(&rosters->list) &&
          now_of(spread) >= rosters->asked_ms + spread->beat_ms;
    rosters->asking |= due;
    pthread_mutex_unlock(&spread->lock);
    if (!due)
        return;
    rosters->asked_ms = now_of(spread);
    if (wsi_spread_list(spread, NULL, &rosters->receipt) == 0)
        return;
    pthread_mutex_lock(&spread->lock);
    rosters->asking = false;
    pthread_mutex_unlock(&spread->lock);
}

static void tell_others(struct wsi_spread *spread)
{
    struct wsi_wire wire = {.kind = WSI_WIRE_RECOUNT, .type = WSOCK_TEXT};
    struct wsi_rosters *rosters = &spread->rosters;
    bool due;

    pthread_mutex_lock(&spread->lock);
    if (rosters->recount_ms != 0 && now_of(spread) >= rosters->recount_ms) {
        rosters->recount_ms = 0;
        rosters->recount++;
    }
    due = spread->up && rosters->tell_ms != 0 && now_of(spread) >= rosters->tell_ms;
    if (due)
        rosters->tell_ms = 0;
    pthread_mutex_unlock(&spread->lock);
    if (due)
        wsi_action_everywhere(spread->registry, &wire);
}

/* With the lock held. */
static bool is_old(const struct wsi_spread *spread, const struct wsi_roster *roster)
{
    return roster->recount != spread->rosters.recount ||
           now_of(spread) >= roster->asked_ms + RECOUNT_BEATS * spread->beat_ms;
}

/* @return (owned, nullable) the room of the one that is to be loaded now. It has members
 * as long as it is listed, so that it is there. */
static wsock_room *take_old(struct wsi_spread *spread)
{
    struct wsi_rosters *rosters = &spread->rosters;
    struct wsi_roster *roster = NULL;
    wsock_room *room = NULL;

    pthread_mutex_lock(&spread->lock);
    if (!wsi_list_is_empty(&rosters->list))
        roster = WSI_CONTAINER_OF(rosters->list.next, struct wsi_roster, node);
    if (roster != NULL && is_old(spread, roster)) {
        room = wsock_room_ref(WSI_CONTAINER_OF(roster, struct wsi_branch, roster)->room);
        wsi_list_remove(&roster->node);
        wsi_list_append(&rosters->list, &roster->node);
        roster->asked_ms = now_of(spread); /* whatever begin_load() does */
        roster->recount = rosters->recount;
    }
    pthread_mutex_unlock(&spread->lock);
    return room;
}

void wsi_rosters_turn(struct wsi_spread *spread)
{
    wsock_room *room;

    look_at_nodes(spread);
    tell_others(spread);
    load_queued(spread);
    for (int i = 0; i < RECOUNTS_A_TURN && (room = take_old(spread)) != NULL; i++) {
        pthread_mutex_lock(&room->lock);
        begin_load(room);
        pthread_mutex_unlock(&room->lock);
        wsock_room_unref(room);
    }
}
