/* SPDX-License-Identifier: MIT */
/*
 * Who there is: peers, what is queued for them, and the scouts that find out. Scouts
 * leave after a random part of a time that doubles with each failure, so that nodes that
 * lost one broker together do not come back to it together.
 */
#include <stdio.h>
#include <string.h>

#include "cluster/redis/redis.h"
#include "core/alloc.h"

enum { BACKOFF_MS = 50, BACKOFF_MAX_MS = 5000, DOUBT_MS = 100, NOBODY = WSI_PEERS_MAX };

/* ---- peers ---- */

static bool same_host(const struct wsi_target_host *a, const struct wsi_target_host *b)
{
    return a->port == b->port && strcmp(a->name, b->name) == 0;
}

struct wsi_peer *wsi_topology_add(struct wsi_bus *bus, const struct wsi_target_host *host)
{
    struct wsi_peer *unused = NULL;

    for (int i = 0; i < WSI_PEERS_MAX; i++) {
        struct wsi_peer *peer = &bus->peers[i];

        if (peer->is_used && same_host(&peer->host, host))
            return peer;
        if (!peer->is_used && unused == NULL)
            unused = peer;
    }
    if (unused != NULL) {
        unused->is_used = true;
        unused->has_slots = unused->lacks_scripts = false;
        unused->host = *host;
    }
    return unused;
}

struct wsi_peer *wsi_topology_peer(struct wsi_bus *bus, unsigned slot)
{
    return &bus->peers[slot == WSI_NO_SLOT ? NOBODY : bus->slots[slot]];
}

/* Those that it lacks. */
void wsi_topology_open(struct wsi_bus *bus, struct wsi_peer *peer)
{
    if (peer->commands == NULL)
        peer->commands = wsi_wire_open(bus, peer, WSI_WIRE_COMMANDS, &peer->host);
    if (peer->subscriptions == NULL)
        peer->subscriptions = wsi_wire_open(bus, peer, WSI_WIRE_SUBSCRIPTIONS,
                                            &peer->host);
    if (peer->commands == NULL || peer->subscriptions == NULL)
        wsi_topology_doubt(bus);
}

static void drop_peer(struct wsi_peer *peer)
{
    peer->is_used = peer->has_slots = false;
    if (peer->commands != NULL)
        wsi_wire_fail(peer->commands, "it has no part in the cluster any more");
    if (peer->subscriptions != NULL)
        wsi_wire_fail(peer->subscriptions, "it has no part in the cluster any more");
}

/* ---- queues ---- */

static void append(struct wsi_peer *peer, struct wsi_op *op)
{
    op->next = NULL;
    if (peer->first == NULL)
        peer->first = op;
    else
        peer->last->next = op;
    peer->last = op;
}

static struct wsi_op *take(struct wsi_peer *peer)
{
    struct wsi_op *op = peer->first;

    peer->first = op->next;
    if (peer->first == NULL)
        peer->last = NULL;
    op->next = NULL;
    return op;
}

static struct wsi_peer *place_of(const struct wsi_op *op)
{
    if (op->asked_for != NULL && op->asked_for->is_used)
        return op->asked_for;
    return wsi_topology_peer(op->bus, op->slot);
}

/* What is queued goes where its slots are now; all of one slot is in one queue, and stays
 * in its order. */
static void place_ops(struct wsi_bus *bus)
{
    struct wsi_op *before[WSI_PEERS_MAX + 1];

    for (int i = 0; i <= NOBODY; i++) {
        before[i] = bus->peers[i].first;
        bus->peers[i].first = bus->peers[i].last = NULL;
    }
    for (int i = 0; i <= NOBODY; i++)
        for (struct wsi_op *op = before[i], *next; op != NULL; op = next) {
            next = op->next;
            append(place_of(op), op);
        }
}

static void flush_all(struct wsi_bus *bus)
{
    for (int i = 0; i < WSI_PEERS_MAX; i++)
        if (bus->peers[i].first != NULL)
            wsi_topology_flush(bus, &bus->peers[i]);
}

static bool send(struct wsi_peer *peer, struct wsi_op *op)
{
    struct wsi_wire *wire = peer->commands;

    if (peer->lacks_scripts && !wsi_wire_say_scripts(wire))
        return false;
    peer->lacks_scripts = false;
    if (op->asked_for != NULL && !wsi_wire_say(wire, "ASKING"))
        return false;
    op->asked_for = NULL;
    if (op->command == NULL && op->prepare(op, wire) < 0)
        return false;
    return wsi_wire_send(wire, op);
}

void wsi_topology_flush(struct wsi_bus *bus, struct wsi_peer *peer)
{
    while (!bus->holds && peer->first != NULL && peer->commands != NULL &&
           peer->commands->ready) {
        struct wsi_op *op = take(peer);

        if (!send(peer, op)) {
            wsi_topology_queue_first(op);
            if (peer->commands != NULL)
                wsi_wire_fail(peer->commands, "out of memory");
            return;
        }
    }
    if (peer->first != NULL)
        wsi_bus_wake(bus, peer->first->deadline_ms);
}

void wsi_topology_queue_first(struct wsi_op *op)
{
    struct wsi_peer *peer = place_of(op);

    op->next = peer->first;
    if (peer->first == NULL)
        peer->last = op;
    peer->first = op;
}

void wsi_topology_send(struct wsi_op *op)
{
    struct wsi_peer *peer = place_of(op);

    append(peer, op);
    wsi_topology_flush(op->bus, peer);
}

static uint64_t expire(struct wsi_bus *bus, uint64_t now_ms)
{
    uint64_t next = UINT64_MAX;

    for (int i = 0; i <= NOBODY; i++) {
        struct wsi_peer *peer = &bus->peers[i];

        while (peer->first != NULL && peer->first->deadline_ms <= now_ms) {
            struct wsi_op *op = take(peer);

            op->ended(op, WSI_BUS_FAILED, "the broker is away");
        }
        if (peer->first != NULL && peer->first->deadline_ms < next)
            next = peer->first->deadline_ms;
    }
    return next;
}

void wsi_topology_drop(struct wsi_bus *bus, enum wsi_bus_outcome outcome, const char *why)
{
    struct wsi_op *op;

    for (int i = 0; i <= NOBODY; i++)
        while (bus->peers[i].first != NULL) {
            op = take(&bus->peers[i]);
            op->ended(op, outcome, why);
        }
    while ((op = bus->again) != NULL) {
        bus->again = op->next;
        op->next = NULL;
        op->ended(op, outcome, why);
    }
    bus->again_last = NULL;
}

/* ---- state ---- */

void wsi_topology_settle(struct wsi_bus *bus)
{
    bool any = false;

    for (int i = 0; i < WSI_PEERS_MAX; i++) {
        const struct wsi_peer *peer = &bus->peers[i];

        if (!peer->is_used || !peer->has_slots)
            continue;
        if (peer->commands == NULL || !peer->commands->ready ||
            peer->subscriptions == NULL || !peer->subscriptions->ready)
            return;
        any = true;
    }
    if (!any || !bus->is_known || !wsi_subs_has_own(bus))
        return;
    if (bus->is_covered)
        bus->attempts = 0;
    wsi_bus_state(bus, true, "");
}

void wsi_topology_ready(struct wsi_wire *wire)
{
    struct wsi_bus *bus = wire->bus;
    struct wsi_peer *peer = wire->peer;

    if (wire->kind == WSI_WIRE_COMMANDS) {
        peer->lacks_scripts = false;
        wsi_topology_settle(bus);
        wsi_presence_again(bus, peer);
        wsi_topology_flush(bus, peer);
    } else {
        wsi_topology_settle(bus);
        wsi_subs_ask(peer);
    }
}

/* ---- scouts ---- */

static void schedule(struct wsi_bus *bus, uint64_t within_ms)
{
    if (bus->closing != WSI_BUS_OPEN || bus->scout != NULL ||
        bus->scout_at_ms != UINT64_MAX)
        return;
    bus->scout_at_ms = wsi_bus_now(bus) + wsi_adapter_draw(&bus->random, within_ms + 1);
    wsi_bus_wake(bus, bus->scout_at_ms);
}

static void schedule_again(struct wsi_bus *bus)
{
    const unsigned doublings = bus->attempts < 10 ? bus->attempts : 10;
    const uint64_t within = (uint64_t)BACKOFF_MS << doublings;

    bus->attempts++;
    schedule(bus, within < BACKOFF_MAX_MS ? within : BACKOFF_MAX_MS);
}

void wsi_topology_doubt(struct wsi_bus *bus)
{
    schedule(bus, DOUBT_MS);
}

void wsi_topology_lost(struct wsi_wire *wire, const char *why)
{
    struct wsi_bus *bus = wire->bus;
    struct wsi_peer *peer = wire->peer;
    char text[WSI_BUS_WHY_SIZE];

    if (wire->kind == WSI_WIRE_SCOUT && bus->scout != wire)
        return;
    if (bus->scout == wire)
        bus->scout = NULL;
    if (peer != NULL && peer->commands == wire)
        peer->commands = NULL;
    if (peer != NULL && peer->subscriptions == wire) {
        peer->subscriptions = NULL;
        wsi_subs_lost(wire);
    }
    if (peer != NULL && !peer->is_used)
        return; /* it was dropped */
    snprintf(text, sizeof text, "%.100s%s%.0u: %.130s", wire->host.name,
             wire->host.port != 0 ? ":" : "", (unsigned)wire->host.port, why);
    wsi_bus_state(bus, false, text);
    schedule_again(bus);
    if (bus->holds)
        wsi_bus_wake(bus, 0);
}

/* One of the URL's, or, when those were all asked, of those that the cluster had. */
static const struct wsi_target_host *next_host(struct wsi_bus *bus)
{
    const unsigned given = bus->target.host_count;
    const unsigned n = bus->next_host++ % (given + WSI_PEERS_MAX);

    if (n < given)
        return &bus->target.hosts[n];
    if (atomic_load(&bus->is_cluster))
        for (unsigned i = n - given; i < WSI_PEERS_MAX; i++)
            if (bus->peers[i].is_used) {
                bus->next_host = given + i + 1;
                return &bus->peers[i].host;
            }
    bus->next_host = 1;
    return &bus->target.hosts[0];
}

static void send_scout(struct wsi_bus *bus)
{
    bus->scout_at_ms = UINT64_MAX;
    bus->scout = wsi_wire_open(bus, NULL, WSI_WIRE_SCOUT, next_host(bus));
    if (bus->scout == NULL)
        schedule_again(bus);
}

uint64_t wsi_topology_check(struct wsi_bus *bus, uint64_t now_ms)
{
    uint64_t next;

    if (bus->scout == NULL && bus->scout_at_ms <= now_ms)
        send_scout(bus);
    next = expire(bus, now_ms);
    return bus->scout_at_ms < next ? bus->scout_at_ms : next;
}

void wsi_topology_start(struct wsi_bus *bus)
{
    bus->scout_at_ms = 0;
    memset(bus->slots, NOBODY, sizeof bus->slots);
    for (int i = 0; i <= NOBODY; i++)
        wsi_list_init(&bus->peers[i].unasked);
    /* Not all nodes begin with the same host. */
    if (bus->target.host_count > 1)
        bus->next_host = (unsigned)wsi_adapter_draw(&bus->random, bus->target.host_count);
}

/* ---- what a scout finds ---- */

/* One range of CLUSTER SLOTS: [first, last, [host, port, ...], replicas...]. A broker
 * that does not know its own name leaves it out: then it is the one that was asked.
 * @param left (in, out) slots that are in no range yet: no slot is in two. */
static bool take_range(struct wsi_wire *scout, const redisReply *range, long long *left)
{
    const redisReply *master;
    struct wsi_target_host host = scout->host;
    struct wsi_peer *peer;

    if (range->type != REDIS_REPLY_ARRAY || range->elements < 3)
        return false;
    master = range->element[2];
    if (range->element[0]->type != REDIS_REPLY_INTEGER ||
        range->element[1]->type != REDIS_REPLY_INTEGER ||
        range->element[0]->integer < 0 || range->element[1]->integer >= WSI_SLOTS ||
        range->element[0]->integer > range->element[1]->integer ||
        master->type != REDIS_REPLY_ARRAY || master->elements < 2 ||
        master->element[1]->type != REDIS_REPLY_INTEGER ||
        master->element[1]->integer <= 0 || master->element[1]->integer > 65535)
        return false;
    if (master->element[0]->type == REDIS_REPLY_STRING && master->element[0]->len > 0 &&
        master->element[0]->len < sizeof host.name &&
        strcmp(master->element[0]->str, "?") != 0)
        memcpy(host.name, master->element[0]->str, master->element[0]->len + 1);
    host.port = (uint16_t)master->element[1]->integer;
    *left -= range->element[1]->integer - range->element[0]->integer + 1;
    peer = *left >= 0 ? wsi_topology_add(scout->bus, &host) : NULL;
    if (peer == NULL)
        return false;
    peer->has_slots = true;
    for (long long slot = range->element[0]->integer; slot <= range->element[1]->integer;
         slot++)
        scout->bus->slots[slot] = (uint8_t)(peer - scout->bus->peers);
    return true;
}

/* @return NULL, or what is wrong. */
static const char *take_slots(struct wsi_wire *scout, const redisReply *reply)
{
    long long left = WSI_SLOTS;

    if (reply->type != REDIS_REPLY_ARRAY)
        return "its answer to CLUSTER SLOTS makes no sense";
    if (reply->elements == 0)
        return "no node of the cluster has a slot yet";
    memset(scout->bus->slots, NOBODY, sizeof scout->bus->slots);
    for (size_t i = 0; i < reply->elements; i++)
        if (!take_range(scout, reply->element[i], &left))
            return "its answer to CLUSTER SLOTS makes no sense";
    return NULL;
}

static const char *take_single(struct wsi_wire *scout)
{
    struct wsi_peer *peer = wsi_topology_add(scout->bus, &scout->host);

    if (peer == NULL)
        return "it is one too many";
    peer->has_slots = true;
    memset(scout->bus->slots, (int)(peer - scout->bus->peers), sizeof scout->bus->slots);
    return NULL;
}

void wsi_topology_found(struct wsi_wire *scout, const redisReply *reply)
{
    struct wsi_bus *bus = scout->bus;
    const char *wrong;

    if (scout != bus->scout || bus->closing != WSI_BUS_OPEN)
        return;
    for (int i = 0; i < WSI_PEERS_MAX; i++)
        bus->peers[i].has_slots = false;
    wrong = reply != NULL ? take_slots(scout, reply) : take_single(scout);
    if (wrong != NULL) {
        wsi_wire_fail(scout, wrong);
        return;
    }
    atomic_store(&bus->is_cluster, reply != NULL);
    bus->is_known = true;
    bus->scout = NULL;
    wsi_wire_fail(scout, "it has done its work");
    bus->is_covered = memchr(bus->slots, NOBODY, sizeof bus->slots) == NULL;
    if (!bus->is_covered)
        schedule_again(bus); /* the cluster comes together, or a part of it is away */
    for (int i = 0; i < WSI_PEERS_MAX; i++) {
        if (bus->peers[i].is_used && !bus->peers[i].has_slots)
            drop_peer(&bus->peers[i]);
        else if (bus->peers[i].is_used)
            wsi_topology_open(bus, &bus->peers[i]);
    }
    place_ops(bus);
    wsi_subs_place(bus);
    wsi_topology_settle(bus);
    flush_all(bus);
}

void wsi_topology_move(struct wsi_bus *bus, unsigned slot, struct wsi_peer *to)
{
    to->has_slots = true;
    wsi_topology_open(bus, to);
    if (&bus->peers[bus->slots[slot]] == to)
        return;
    bus->slots[slot] = (uint8_t)(to - bus->peers);
    place_ops(bus);
    wsi_subs_place(bus);
    wsi_topology_doubt(bus);
}
