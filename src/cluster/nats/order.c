/* SPDX-License-Identifier: MIT */
/*
 * The order of kept messages. The broker sends on what it has stored without keeping to
 * the order of the places when several publish at once; but each message names the place
 * before its own. One that comes early is held until that has come, or for a moment: then
 * it was lost, and the gap shows.
 */
#include <stdlib.h>

#include "cluster/nats/nats.h"
#include "core/alloc.h"

enum { HOLD_MS = 100, HELD_MAX = 256 };

struct held {
    struct wsi_list node; /* in sub->held, by offset */
    natsMsg *msg;         /* owned */
    struct wsi_bus_kept kept;
};

static struct held *held_of(struct wsi_list *node)
{
    return WSI_CONTAINER_OF(node, struct held, node);
}

static void hand_on(struct wsi_bus *bus, struct wsi_sub *sub, uint64_t epoch,
                    struct wsi_bus_kept *kept)
{
    const struct wsi_bus_channel channel = {.kind = WSI_BUS_ROOM, .name = sub->name};

    /* The broker names none when the one before has expired, but we know it. */
    if (kept->prev == 0 && sub->epoch == epoch && sub->last < kept->offset)
        kept->prev = sub->last;
    if (sub->epoch != epoch || sub->last < kept->offset) {
        sub->epoch = epoch;
        sub->last = kept->offset;
    }
    bus->user->arrived(bus->user, &channel, epoch, kept, kept->bytes);
}

static void hand_on_held(struct wsi_bus *bus, struct wsi_sub *sub)
{
    struct held *held = held_of(wsi_list_pop(&sub->held));

    sub->held_count--;
    hand_on(bus, sub, sub->epoch, &held->kept);
    natsMsg_Destroy(held->msg);
    wsi_free(held);
}

void wsi_order_flush(struct wsi_bus *bus, struct wsi_sub *sub)
{
    while (!wsi_list_is_empty(&sub->held))
        hand_on_held(bus, sub);
    wsi_list_remove(&sub->holding);
}

void wsi_order_clear(struct wsi_sub *sub)
{
    struct wsi_list *node;

    while ((node = wsi_list_pop(&sub->held)) != NULL) {
        natsMsg_Destroy(held_of(node)->msg);
        wsi_free(held_of(node));
    }
    sub->held_count = 0;
    wsi_list_remove(&sub->holding);
}

/* @return whether it took the message over. */
static bool hold(struct wsi_bus *bus, struct wsi_sub *sub,
                 const struct wsi_bus_kept *kept, natsMsg *msg)
{
    struct held *held = sub->held_count < HELD_MAX ? wsi_alloc(sizeof *held) : NULL;
    struct wsi_list *after = sub->held.prev;

    if (held == NULL)
        return false;
    held->msg = msg;
    held->kept = *kept;
    while (after != &sub->held && held_of(after)->kept.offset > kept->offset)
        after = after->prev;
    wsi_list_append(after->next, &held->node);
    if (sub->held_count++ == 0) {
        sub->held_until_ms = wsi_bus_now() + HOLD_MS;
        wsi_list_append(&bus->holders, &sub->holding);
    }
    return true;
}

void wsi_order_take(struct wsi_bus *bus, struct wsi_sub *sub, uint64_t epoch,
                    struct wsi_bus_kept *kept, natsMsg *msg)
{
    if (sub->epoch != epoch)
        wsi_order_flush(bus, sub);
    else if (sub->last > 0 && kept->prev > sub->last) {
        if (hold(bus, sub, kept, msg))
            return;
        wsi_order_flush(bus, sub);
    }
    hand_on(bus, sub, epoch, kept);
    natsMsg_Destroy(msg);
    while (!wsi_list_is_empty(&sub->held) &&
           held_of(sub->held.next)->kept.prev <= sub->last)
        hand_on_held(bus, sub);
    if (wsi_list_is_empty(&sub->held))
        wsi_list_remove(&sub->holding);
}

uint64_t wsi_order_check(struct wsi_bus *bus, uint64_t now_ms)
{
    while (!wsi_list_is_empty(&bus->holders)) {
        struct wsi_sub *sub = WSI_CONTAINER_OF(bus->holders.next, struct wsi_sub,
                                               holding);

        if (now_ms < sub->held_until_ms)
            return sub->held_until_ms;
        wsi_order_flush(bus, sub);
    }
    return UINT64_MAX;
}
