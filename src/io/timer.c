/* SPDX-License-Identifier: MIT */
/*
 * The timer wheel. Level l has 64 slots of 64^l milliseconds. A timer lies on the level
 * of its distance from where the wheel stands, in the slot of its time; when the wheel
 * reaches the start of a slot above level 0, the slot's timers are placed anew, lower
 * down. The wheel does not tick: it jumps from one used slot to the next, so a long
 * sleep costs no more than a short one. What lies beyond the top level waits in its
 * farthest slot and is placed anew from there.
 *
 * wsi_timer_stop() does not know the wheel, so a bit in `used` may outlive the last
 * timer of its slot; advance() clears such bits as it meets them.
 */
#include "io/timer.h"

#include <assert.h>
#include <stddef.h>

#define SPAN_MS (1ull << (WSI_WHEEL_BITS * WSI_WHEEL_LEVELS))

void wsi_wheel_init(struct wsi_wheel *wheel, uint64_t now_ms)
{
    wheel->now_ms = now_ms;
    wheel->soonest_ms = UINT64_MAX;
    for (int level = 0; level < WSI_WHEEL_LEVELS; level++) {
        wheel->used[level] = 0;
        for (int i = 0; i < WSI_WHEEL_SLOTS; i++)
            wsi_list_init(&wheel->slot[level][i]);
    }
}

void wsi_timer_init(struct wsi_timer *timer, void (*on_timer)(struct wsi_timer *timer))
{
    wsi_list_init(&timer->node);
    timer->at_ms = 0;
    timer->on_timer = on_timer;
}

static unsigned slot_of(uint64_t ms, int level)
{
    return (unsigned)(ms >> (WSI_WHEEL_BITS * level)) & (WSI_WHEEL_SLOTS - 1);
}

static void place(struct wsi_wheel *wheel, struct wsi_timer *timer)
{
    uint64_t delta = timer->at_ms > wheel->now_ms ? timer->at_ms - wheel->now_ms : 0;
    int level = 0;
    unsigned slot;

    if (delta >= SPAN_MS)
        delta = SPAN_MS - 1;
    if (delta >= WSI_WHEEL_SLOTS)
        level = (63 - __builtin_clzll(delta)) / WSI_WHEEL_BITS;
    slot = slot_of(wheel->now_ms + delta, level);
    wsi_list_append(&wheel->slot[level][slot], &timer->node);
    wheel->used[level] |= 1ull << slot;
}

void wsi_timer_start(struct wsi_wheel *wheel, struct wsi_timer *timer, uint64_t at_ms)
{
    wsi_list_remove(&timer->node);
    timer->at_ms = at_ms;
    place(wheel, timer);
    if (at_ms < wheel->soonest_ms)
        wheel->soonest_ms = at_ms;
}

void wsi_timer_stop(struct wsi_timer *timer)
{
    wsi_list_remove(&timer->node);
}

bool wsi_timer_is_running(const struct wsi_timer *timer)
{
    return !wsi_list_is_empty(&timer->node);
}

/* When the wheel comes to the first used slot of a level. */
static uint64_t next_of_level(struct wsi_wheel *wheel, int level)
{
    const int shift = WSI_WHEEL_BITS * level;
    /* On level 0 the slot where the wheel stands holds what is due now. Above, that slot
     * was emptied on arrival, and what lies in it is one whole round ahead. */
    const unsigned first = slot_of(wheel->now_ms, level) + (level > 0);

    while (wheel->used[level] != 0) {
        const uint64_t used = wheel->used[level];
        const unsigned turn = first & (WSI_WHEEL_SLOTS - 1);
        const uint64_t ahead = used >> turn |
                               used << ((WSI_WHEEL_SLOTS - turn) & (WSI_WHEEL_SLOTS - 1));
        const unsigned steps = (unsigned)__builtin_ctzll(ahead);
        const unsigned slot = (first + steps) & (WSI_WHEEL_SLOTS - 1);

        if (wsi_list_is_empty(&wheel->slot[level][slot]))
            wheel->used[level] &= ~(1ull << slot);
        else
            return ((wheel->now_ms >> shift) + steps + (level > 0)) << shift;
    }
    return UINT64_MAX;
}

static uint64_t next_slot_ms(struct wsi_wheel *wheel)
{
    uint64_t next = UINT64_MAX;

    for (int level = 0; level < WSI_WHEEL_LEVELS; level++) {
        const uint64_t ms = next_of_level(wheel, level);

        if (ms < next)
            next = ms;
    }
    return next;
}

/* Empty the slots that begin where the wheel stands, the highest level first, so that
 * what one level hands down to the next is handed on at once. */
static void cascade(struct wsi_wheel *wheel)
{
    for (int level = WSI_WHEEL_LEVELS - 1; level > 0; level--) {
        const uint64_t below = (1ull << (WSI_WHEEL_BITS * level)) - 1;
        const unsigned slot = slot_of(wheel->now_ms, level);
        struct wsi_list timers, *node;

        if ((wheel->now_ms & below) != 0 || !(wheel->used[level] >> slot & 1))
            continue;
        wheel->used[level] &= ~(1ull << slot);
        wsi_list_move(&timers, &wheel->slot[level][slot]);
        while ((node = wsi_list_pop(&timers)) != NULL)
            place(wheel, WSI_CONTAINER_OF(node, struct wsi_timer, node));
    }
}

static void collect(struct wsi_wheel *wheel, struct wsi_list *due)
{
    const unsigned slot = slot_of(wheel->now_ms, 0);
    struct wsi_list *node;

    wheel->used[0] &= ~(1ull << slot);
    while ((node = wsi_list_pop(&wheel->slot[0][slot])) != NULL)
        wsi_list_append(due, node);
}

void wsi_wheel_advance(struct wsi_wheel *wheel, uint64_t now_ms)
{
    struct wsi_list due, *node;
    uint64_t next;

    if (now_ms < wheel->soonest_ms)
        return;
    wsi_list_init(&due);
    while ((next = next_slot_ms(wheel)) <= now_ms) {
        assert(next >= wheel->now_ms);
        wheel->now_ms = next;
        cascade(wheel);
        collect(wheel, &due);
    }
    if (now_ms > wheel->now_ms)
        wheel->now_ms = now_ms;
    wheel->soonest_ms = next;
    /* From here on the wheel stands at the end: what callbacks start lies ahead of it,
     * or in the slot of this moment, which is not looked at again in this call. */
    while ((node = wsi_list_pop(&due)) != NULL) {
        struct wsi_timer *timer = WSI_CONTAINER_OF(node, struct wsi_timer, node);

        timer->on_timer(timer);
    }
}
