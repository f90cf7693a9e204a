/* SPDX-License-Identifier: MIT */
/*
 * Subscriptions, and what comes by them.
 *
 *     IDLE --ask--> ASKED --confirmed--> UP --not wanted--> LEAVING --confirmed--> gone
 *       ^             |                   |                    |
 *       +-------------+---- wire lost ----+---- wanted again --+
 *
 * One command each, so that each answer belongs to one. In a Redis Cluster channels are
 * sharded: each at the master of its slot, which says so when the slot leaves it.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <wsock/error.h>
#include <wsock/runtime.h>

#include "cluster/redis/redis.h"
#include "core/alloc.h"

/* ---- the table ---- */

static struct wsi_sub *find(struct wsi_bus *bus, const char *channel, size_t len)
{
    const uint64_t hash = wsi_hash(&bus->hash_key, channel, len);
    struct wsi_table_node *node = wsi_table_find(&bus->subs, hash);

    for (; node != NULL; node = wsi_table_find_next(node)) {
        struct wsi_sub *sub = WSI_CONTAINER_OF(node, struct wsi_sub, node);

        if (sub->channel_len == len && memcmp(sub->text, channel, len) == 0)
            return sub;
    }
    return NULL;
}

/* In no table yet. @param name (nullable) */
static struct wsi_sub *sub_new(const struct wsi_key *channel, enum wsi_bus_kind kind,
                               const char *name)
{
    const size_t name_len = name != NULL ? strlen(name) + 1 : 0;
    struct wsi_sub *sub = wsi_zalloc(sizeof *sub + channel->len + 1 + name_len);

    if (sub == NULL)
        return NULL;
    memcpy(sub->text, channel->text, channel->len + 1);
    sub->channel_len = channel->len;
    if (name != NULL)
        sub->name = memcpy(sub->text + channel->len + 1, name, name_len);
    sub->kind = kind;
    sub->slot = (uint16_t)wsi_key_slot(channel->text, channel->len);
    wsi_list_init(&sub->link);
    return sub;
}

/* @return 0; WSOCK_ENOMEM for the first of all. */
static int sub_add(struct wsi_bus *bus, struct wsi_sub *sub)
{
    const int r = wsi_table_add(&bus->subs, &sub->node,
                                wsi_hash(&bus->hash_key, sub->text, sub->channel_len));

    if (r == 0)
        wsi_list_append(&bus->all_subs, &sub->all);
    return r;
}

static void sub_free(struct wsi_bus *bus, struct wsi_sub *sub)
{
    wsi_table_remove(&bus->subs, &sub->node);
    wsi_list_remove(&sub->all);
    wsi_list_remove(&sub->link);
    wsi_free(sub);
}

/* ---- asking ---- */

struct sub_op {
    struct wsi_op op;
    struct wsi_sub *sub;
    bool leaves;
};

static const char *verb(const struct wsi_sub *sub, bool leaves)
{
    if (sub->pattern)
        return leaves ? "punsubscribe" : "psubscribe";
    if (atomic_load(&sub->wire->bus->is_cluster))
        return leaves ? "sunsubscribe" : "ssubscribe";
    return leaves ? "unsubscribe" : "subscribe";
}

static void go_idle(struct wsi_bus *bus, struct wsi_sub *sub)
{
    sub->wire = NULL;
    sub->state = WSI_SUB_IDLE;
    wsi_list_remove(&sub->link);
    if (!sub->wanted)
        sub_free(bus, sub);
    else
        wsi_list_append(&wsi_topology_peer(bus, sub->slot)->unasked, &sub->link);
}

static void settle(struct wsi_bus *bus, struct wsi_sub *sub);

static void on_answered(struct wsi_op *op, const redisReply *reply)
{
    const struct sub_op *own = (struct sub_op *)(void *)op;
    struct wsi_bus *bus = op->bus;
    struct wsi_sub *sub = own->sub;
    const bool leaves = own->leaves;

    (void)reply;
    wsi_op_free(op);
    if (leaves) {
        struct wsi_peer *peer = wsi_topology_peer(bus, sub->slot);

        go_idle(bus, sub);
        wsi_subs_ask(peer); /* it may be wanted again since */
    } else {
        sub->state = WSI_SUB_UP;
        sub->is_refused = false;
        settle(bus, sub);
    }
}

/* It is asked for once more in a while: what stands against it may pass. */
static void refused(struct wsi_bus *bus, struct wsi_sub *sub, const char *why)
{
    if (!sub->is_refused)
        wsi_adapter_log(&bus->services, WSOCK_LOG_WARN,
                        "Redis refuses a subscription: %s", why);
    sub->is_refused = true;
    if (bus->ask_again_ms == 0)
        bus->ask_again_ms = wsi_bus_now(bus) + bus->beat_ms;
    wsi_bus_wake(bus, bus->ask_again_ms);
}

/* Refused, or the wire has failed: then wsi_subs_lost() sees to it. */
static void on_ended(struct wsi_op *op, enum wsi_bus_outcome outcome, const char *why)
{
    struct wsi_wire *wire = op->wire;
    struct wsi_bus *bus = op->bus;
    struct wsi_sub *sub = ((struct sub_op *)(void *)op)->sub;
    bool again;

    wsi_op_free(op);
    if (outcome == WSI_BUS_UNKNOWN)
        return;
    again = wsi_redirect_follow(bus, wire, why, strlen(why));
    sub->wire = NULL;
    sub->state = WSI_SUB_IDLE;
    if (again || !sub->wanted)
        go_idle(bus, sub);
    else
        refused(bus, sub, why);
    if (again)
        wsi_subs_ask(wsi_topology_peer(bus, sub->slot));
}

/* @return false when it cannot be sent now. */
static bool ask(struct wsi_wire *wire, struct wsi_sub *sub, bool leaves)
{
    struct sub_op *own = (struct sub_op *)(void *)wsi_op_new(wire->bus, sizeof *own);
    struct wsi_args args = {.count = 0};

    if (own == NULL)
        return false;
    sub->wire = wire;
    own->sub = sub;
    own->leaves = leaves;
    own->op.is_internal = true;
    own->op.answered = on_answered;
    own->op.ended = on_ended;
    wsi_args_add(&args, verb(sub, leaves));
    wsi_args_add_bytes(&args, sub->text, sub->channel_len);
    if (wsi_op_format_args(&own->op, &args) < 0 || !wsi_wire_send(wire, &own->op)) {
        wsi_op_free(&own->op);
        return false;
    }
    sub->state = leaves ? WSI_SUB_LEAVING : WSI_SUB_ASKED;
    return true;
}

void wsi_subs_ask(struct wsi_peer *peer)
{
    struct wsi_wire *wire = peer->subscriptions;

    while (wire != NULL && wire->ready && wire->waiting < WSI_ASKED_MAX &&
           !wsi_list_is_empty(&peer->unasked)) {
        struct wsi_sub *sub = WSI_CONTAINER_OF(peer->unasked.next, struct wsi_sub, link);

        wsi_list_remove(&sub->link);
        if (!ask(wire, sub, false)) {
            wsi_list_append(&peer->unasked, &sub->link);
            wsi_wire_fail(wire, "out of memory");
            return;
        }
    }
}

static void tell(struct wsi_bus *bus, struct wsi_sub *sub)
{
    const struct wsi_bus_channel channel = {.kind = sub->kind, .name = sub->name};

    bus->user->subscribed(bus->user, &channel);
}

/* It is confirmed. Who hears all rooms of a cluster has it known first: others look for
 * that at each of their beats. */
static void settle(struct wsi_bus *bus, struct wsi_sub *sub)
{
    struct wsi_wire *wire = sub->wire;

    if (!sub->wanted) {
        if (!ask(wire, sub, true))
            wsi_wire_fail(wire, "out of memory");
    } else if (sub->pattern && atomic_load(&bus->is_cluster)) {
        sub->tell_at_ms = wsi_bus_now(bus) + 2 * bus->beat_ms;
        wsi_presence_beat(bus);
        wsi_bus_wake(bus, sub->tell_at_ms);
    } else if (sub->kind != WSI_BUS_ROOM) {
        wsi_topology_settle(bus);
    } else {
        tell(bus, sub);
    }
    if (wire->peer != NULL)
        wsi_subs_ask(wire->peer);
}

static uint64_t check_refused(struct wsi_bus *bus, uint64_t now_ms)
{
    if (bus->ask_again_ms == 0)
        return UINT64_MAX;
    if (now_ms < bus->ask_again_ms)
        return bus->ask_again_ms;
    bus->ask_again_ms = 0;
    wsi_subs_place(bus);
    return UINT64_MAX; /* another refusal sets it */
}

static uint64_t check_pattern(struct wsi_bus *bus, uint64_t now_ms)
{
    struct wsi_sub *sub = bus->pattern;

    if (sub == NULL || sub->state != WSI_SUB_UP || sub->tell_at_ms == 0)
        return UINT64_MAX;
    if (now_ms < sub->tell_at_ms)
        return sub->tell_at_ms;
    sub->tell_at_ms = 0;
    tell(bus, sub);
    return UINT64_MAX;
}

uint64_t wsi_subs_check(struct wsi_bus *bus, uint64_t now_ms)
{
    const uint64_t refused_ms = check_refused(bus, now_ms);

    return wsi_sooner(refused_ms, check_pattern(bus, now_ms));
}

void wsi_subs_place(struct wsi_bus *bus)
{
    WSI_LIST_EACH(node, &bus->all_subs)
    {
        struct wsi_sub *sub = WSI_CONTAINER_OF(node, struct wsi_sub, all);

        if (sub->state == WSI_SUB_IDLE)
            go_idle(bus, sub);
    }
    for (int i = 0; i < WSI_PEERS_MAX; i++)
        wsi_subs_ask(&bus->peers[i]);
}

void wsi_subs_lost(struct wsi_wire *wire)
{
    WSI_LIST_EACH(node, &wire->bus->all_subs)
    {
        struct wsi_sub *sub = WSI_CONTAINER_OF(node, struct wsi_sub, all);

        if (sub->wire == wire)
            go_idle(wire->bus, sub);
    }
}

/* ---- wanting ---- */

/* Memory is asked for where its want can be told. */
struct want_op {
    struct wsi_op op;
    struct wsi_key channel;
    struct wsi_sub *fresh; /* (owned, nullable) if there is none yet; NULL: to unwant */
};

static void want(struct wsi_bus *bus, struct want_op *own)
{
    struct wsi_sub *sub = find(bus, own->channel.text, own->channel.len);

    if (sub == NULL) {
        sub = own->fresh;
        own->fresh = NULL;
        (void)sub_add(bus, sub); /* it is not the first */
    } else if (sub->wanted && sub->state == WSI_SUB_UP) {
        tell(bus, sub);
    }
    sub->wanted = true;
    if (sub->pattern)
        bus->pattern = sub;
    if (sub->state == WSI_SUB_IDLE) {
        go_idle(bus, sub);
        wsi_subs_ask(wsi_topology_peer(bus, sub->slot));
    }
}

static void unwant(struct wsi_bus *bus, const struct wsi_key *channel)
{
    struct wsi_sub *sub = find(bus, channel->text, channel->len);

    if (sub == NULL)
        return;
    sub->wanted = false;
    if (sub == bus->pattern)
        bus->pattern = NULL;
    if (sub->state == WSI_SUB_IDLE)
        sub_free(bus, sub);
    else if (sub->state == WSI_SUB_UP)
        settle(bus, sub);
}

static void run_want(struct wsi_op *op)
{
    struct want_op *own = (struct want_op *)(void *)op;

    if (own->fresh != NULL)
        want(op->bus, own);
    else
        unwant(op->bus, &own->channel);
    wsi_free(own->fresh);
    wsi_op_fail(op, WSI_BUS_DONE, NULL);
}

int wsi_subs_submit(struct wsi_bus *bus, const char *room, bool on)
{
    const struct wsi_bus_channel channel = {.kind = WSI_BUS_ROOM, .name = room};
    struct want_op *own = (struct want_op *)(void *)wsi_op_new(bus, sizeof *own);
    struct wsi_sub *fresh = NULL;
    int r;

    if (own == NULL)
        return WSOCK_ENOMEM;
    if (room == NULL)
        wsi_key_all_rooms(&own->channel, bus->prefix);
    else
        wsi_key_channel(&own->channel, bus->prefix, &channel);
    if (on) {
        fresh = sub_new(&own->channel, WSI_BUS_ROOM, room);
        if (fresh == NULL) {
            wsi_op_free(&own->op);
            return WSOCK_ENOMEM;
        }
        fresh->pattern = room == NULL;
    }
    own->fresh = fresh;
    own->op.run = run_want;
    own->op.is_due = true;
    r = wsi_op_submit(&own->op);
    if (r < 0)
        wsi_free(fresh);
    return r;
}

int wsi_subs_init(struct wsi_bus *bus)
{
    const struct wsi_bus_channel channels[] = {
        {.kind = WSI_BUS_ALL}, {.kind = WSI_BUS_NODE, .name = bus->node_hex}};
    struct wsi_key key;

    for (size_t i = 0; i < sizeof channels / sizeof channels[0]; i++) {
        struct wsi_sub *sub;

        wsi_key_channel(&key, bus->prefix, &channels[i]);
        sub = sub_new(&key, channels[i].kind, channels[i].name);
        if (sub == NULL || sub_add(bus, sub) < 0) {
            wsi_free(sub);
            return WSOCK_ENOMEM;
        }
        sub->wanted = true;
        bus->own[i] = sub;
    }
    return 0;
}

bool wsi_subs_has_own(const struct wsi_bus *bus)
{
    return bus->own[0]->state == WSI_SUB_UP && bus->own[1]->state == WSI_SUB_UP;
}

void wsi_subs_fini(struct wsi_bus *bus)
{
    WSI_LIST_EACH(node, &bus->all_subs)
    {
        sub_free(bus, WSI_CONTAINER_OF(node, struct wsi_sub, all));
    }
    wsi_table_fini(&bus->subs);
}

/* ---- what comes ---- */

static bool is_text(const redisReply *reply, size_t i, const char *text)
{
    return i < reply->elements && reply->element[i]->type == REDIS_REPLY_STRING &&
           strcmp(reply->element[i]->str, text) == 0;
}

bool wsi_subs_answers(const struct wsi_op *op, const redisReply *reply)
{
    const struct sub_op *own = (const struct sub_op *)(const void *)op;

    if (op->answered != on_answered)
        return is_text(reply, 0, "pong");
    return reply->elements >= 2 && is_text(reply, 0, verb(own->sub, own->leaves)) &&
           reply->element[1]->type == REDIS_REPLY_STRING &&
           reply->element[1]->len == own->sub->channel_len &&
           memcmp(reply->element[1]->str, own->sub->text, own->sub->channel_len) == 0;
}

static void deliver(struct wsi_bus *bus, const redisReply *channel,
                    const redisReply *message)
{
    const struct wsi_sub *sub = find(bus, channel->str, channel->len);
    struct wsi_bus_channel to;

    if (sub == NULL || !sub->wanted || sub->pattern)
        return;
    to = (struct wsi_bus_channel){.kind = sub->kind, .name = sub->name};
    wsi_messages_arrived(bus, &to, message->str, message->len);
}

static void deliver_by_pattern(struct wsi_bus *bus, const redisReply *channel,
                               const redisReply *message)
{
    char name[WSI_NAME_MAX + 1];
    const struct wsi_bus_channel to = {.kind = WSI_BUS_ROOM, .name = name};

    if (bus->pattern != NULL &&
        wsi_key_room_of(name, bus->prefix, channel->str, channel->len))
        wsi_messages_arrived(bus, &to, message->str, message->len);
}

/* The slot has left this master. */
static void moved_away(struct wsi_wire *wire, const redisReply *channel)
{
    struct wsi_bus *bus = wire->bus;
    struct wsi_sub *sub = find(bus, channel->str, channel->len);

    if (sub == NULL || sub->wire != wire || sub->state != WSI_SUB_UP)
        return;
    go_idle(bus, sub);
    wsi_topology_doubt(bus);
}

const char *wsi_subs_push(struct wsi_wire *wire, const redisReply *reply)
{
    static const char nonsense[] = "what it sends to subscribers makes no sense";
    const size_t at = is_text(reply, 0, "pmessage") ? 2 : 1;

    if (at >= reply->elements || reply->element[at]->type != REDIS_REPLY_STRING)
        return nonsense;
    if (is_text(reply, 0, "sunsubscribe")) {
        moved_away(wire, reply->element[1]);
        return NULL;
    }
    if (reply->elements != at + 2 || reply->element[at + 1]->type != REDIS_REPLY_STRING)
        return nonsense;
    if (is_text(reply, 0, "pmessage"))
        deliver_by_pattern(wire->bus, reply->element[2], reply->element[3]);
    else if (is_text(reply, 0, "message") || is_text(reply, 0, "smessage"))
        deliver(wire->bus, reply->element[1], reply->element[2]);
    else
        return nonsense;
    return NULL;
}
