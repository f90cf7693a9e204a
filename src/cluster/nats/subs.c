/* SPDX-License-Identifier: MIT */
/*
 * Who listens to what. A subscription is up when an empty message that was sent after it
 * has come back: then the broker has it. One such mark stands for all that was asked for
 * before.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "cluster/nats/nats.h"
#include "core/alloc.h"

static uint64_t hash(const struct wsi_bus *bus, const char *name)
{
    return wsi_hash(&bus->hash_key, name, strlen(name));
}

static struct wsi_sub *sub_of(struct wsi_table_node *node)
{
    return WSI_CONTAINER_OF(node, struct wsi_sub, by_name);
}

struct wsi_sub *wsi_subs_find(const struct wsi_bus *bus, const char *room)
{
    struct wsi_table_node *node = wsi_table_find(&bus->subs, hash(bus, room));

    while (node != NULL && strcmp(sub_of(node)->name, room) != 0)
        node = wsi_table_find_next(node);
    return node != NULL ? sub_of(node) : NULL;
}

void wsi_subs_note(struct wsi_bus *bus, const char *room,
                   const struct wsi_bus_position *position)
{
    struct wsi_sub *sub = wsi_subs_find(bus, room);

    if (sub == NULL || (sub->epoch == position->epoch && sub->last >= position->offset))
        return;
    sub->epoch = position->epoch;
    sub->last = position->offset;
}

static struct wsi_sub *new_sub(struct wsi_bus *bus, enum wsi_bus_kind kind,
                               const char *name)
{
    const size_t size = strlen(name) + 1;
    struct wsi_sub *sub = wsi_zalloc(sizeof *sub + size);

    if (sub == NULL)
        return NULL;
    sub->kind = kind;
    memcpy(sub->name, name, size);
    wsi_list_init(&sub->held);
    wsi_list_init(&sub->holding);
    wsi_list_append(&bus->all_subs, &sub->all);
    return sub;
}

static void free_sub(struct wsi_sub *sub)
{
    if (sub->subscription != NULL)
        wsi_conn_unsubscribe(sub->subscription);
    wsi_order_clear(sub);
    wsi_list_remove(&sub->all);
    wsi_free(sub);
}

static void tell(struct wsi_bus *bus, const struct wsi_sub *sub)
{
    const struct wsi_bus_channel channel = {
        .kind = sub->kind,
        .name = sub->kind == WSI_BUS_ALL || sub->broad ? NULL : sub->name};

    bus->user->subscribed(bus->user, &channel);
}

/* ---- asking ---- */

static bool ask(struct wsi_bus *bus, struct wsi_sub *sub)
{
    char subject[WSI_NATS_SUBJECT_SIZE];

    if (sub->kind == WSI_BUS_ALL)
        snprintf(subject, sizeof subject, "%s.a", bus->prefix);
    else if (sub->broad)
        snprintf(subject, sizeof subject, "%s.r.*", bus->prefix);
    else
        (void)wsi_subject(bus, subject, sub->kind == WSI_BUS_NODE ? "i" : "r", sub->name);
    sub->subscription = wsi_conn_subscribe(bus->conn, subject, sub->broad);
    sub->mark = bus->marks + 1;
    bus->has_unmarked = true;
    return sub->subscription != NULL;
}

bool wsi_subs_ask(struct wsi_bus *bus)
{
    char subject[WSI_NATS_SUBJECT_SIZE];

    snprintf(subject, sizeof subject, "%s.*", bus->inbox);
    bus->inbox_subscription = wsi_conn_subscribe(bus->conn, subject, false);
    if (bus->inbox_subscription == NULL)
        return false;
    WSI_LIST_EACH(node, &bus->all_subs)
    {
        if (!ask(bus, WSI_CONTAINER_OF(node, struct wsi_sub, all)))
            return false;
    }
    return true;
}

void wsi_subs_mark(struct wsi_bus *bus)
{
    char subject[WSI_NATS_SUBJECT_SIZE];
    const char *why;

    if (!bus->has_unmarked || !bus->is_linked)
        return;
    bus->has_unmarked = false;
    snprintf(subject, sizeof subject, "%s.m%" PRIx64, bus->inbox, ++bus->marks);
    if (!wsi_conn_send(bus->conn, subject, NULL, (struct wsi_bytes){NULL, 0}, &why))
        wsi_bus_lose(bus, why);
}

void wsi_subs_marked(struct wsi_bus *bus, uint64_t mark)
{
    /* The bus is up first: whoever is told may want to ask for something. */
    wsi_bus_come_up(bus);
    WSI_LIST_EACH(node, &bus->all_subs)
    {
        struct wsi_sub *sub = WSI_CONTAINER_OF(node, struct wsi_sub, all);

        if (sub->subscription == NULL || sub->is_up || sub->mark > mark)
            continue;
        sub->is_up = true;
        tell(bus, sub);
    }
}

void wsi_subs_lost(struct wsi_bus *bus)
{
    natsSubscription_Destroy(bus->inbox_subscription);
    bus->inbox_subscription = NULL;
    WSI_LIST_EACH(node, &bus->all_subs)
    {
        struct wsi_sub *sub = WSI_CONTAINER_OF(node, struct wsi_sub, all);

        if (sub->subscription != NULL)
            natsSubscription_Destroy(sub->subscription);
        sub->subscription = NULL;
        sub->is_up = false;
        wsi_order_flush(bus, sub);
    }
}

void wsi_subs_tell_again(struct wsi_bus *bus)
{
    WSI_LIST_EACH(node, &bus->all_subs)
    {
        const struct wsi_sub *sub = WSI_CONTAINER_OF(node, struct wsi_sub, all);

        if (sub->is_up)
            tell(bus, sub);
    }
}

/* ---- rooms ---- */

struct change {
    struct wsi_op op; /* first */
    bool on, broad;
    char room[];
};

static struct wsi_sub *add_room(struct wsi_bus *bus, const struct change *change)
{
    struct wsi_sub *sub = new_sub(bus, WSI_BUS_ROOM, change->room);

    if (sub == NULL)
        return NULL;
    sub->broad = change->broad;
    if (change->broad)
        bus->broad = sub;
    else if (wsi_table_add(&bus->subs, &sub->by_name, hash(bus, change->room)) < 0) {
        free_sub(sub);
        return NULL;
    }
    return sub;
}

static void change_now(struct wsi_op *op)
{
    const struct change *change = (const struct change *)(const void *)op;
    struct wsi_bus *bus = op->bus;
    struct wsi_sub *sub = change->broad ? bus->broad : wsi_subs_find(bus, change->room);

    if (change->on && sub == NULL) {
        sub = add_room(bus, change);
        if (sub == NULL)
            wsi_bus_lose(bus, "out of memory for a subscription");
        else if (bus->is_linked && !ask(bus, sub))
            wsi_bus_lose(bus, "the broker takes no subscription");
    } else if (!change->on && sub != NULL) {
        if (change->broad)
            bus->broad = NULL;
        else
            wsi_table_remove(&bus->subs, &sub->by_name);
        free_sub(sub);
    } else if (change->on && sub->is_up)
        tell(bus, sub);
    wsi_op_free(op);
}

int wsi_subs_submit(struct wsi_bus *bus, const char *room, bool on)
{
    const size_t size = room != NULL ? strlen(room) + 1 : 1;
    struct change *change;

    if (size > WSI_NATS_ROOM_MAX + 1)
        return WSOCK_EINVAL;
    change = (struct change *)(void *)wsi_op_new(bus, sizeof *change + size, change_now);
    if (change == NULL)
        return WSOCK_ENOMEM;
    change->op.is_due = true;
    change->on = on;
    change->broad = room == NULL;
    memcpy(change->room, room != NULL ? room : "", size);
    return wsi_op_submit(&change->op, size);
}

int wsi_subs_init(struct wsi_bus *bus)
{
    if (new_sub(bus, WSI_BUS_NODE, bus->node_hex) == NULL ||
        new_sub(bus, WSI_BUS_ALL, "") == NULL)
        return WSOCK_ENOMEM;
    return 0;
}

void wsi_subs_fini(struct wsi_bus *bus)
{
    WSI_LIST_EACH(node, &bus->all_subs)
    {
        free_sub(WSI_CONTAINER_OF(node, struct wsi_sub, all));
    }
    wsi_table_fini(&bus->subs);
}
