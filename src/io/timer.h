/* SPDX-License-Identifier: MIT */
/*
 * A hierarchical timer wheel with a resolution of one millisecond: starting and
 * stopping are O(1), and an idle wheel of a million timers costs nothing. It has no
 * clock: whoever owns it says what time it is. Timers are the caller's memory.
 */
#ifndef WSI_IO_TIMER_H
#define WSI_IO_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/list.h"

struct wsi_timer {
    struct wsi_list node;
    uint64_t at_ms;
    void (*on_timer)(struct wsi_timer *timer);
};

enum { WSI_WHEEL_BITS = 6, WSI_WHEEL_SLOTS = 64, WSI_WHEEL_LEVELS = 6 };

struct wsi_wheel {
    uint64_t now_ms;     /* where the wheel stands; may lag behind the clock */
    uint64_t soonest_ms; /* nothing is due before */
    uint64_t used[WSI_WHEEL_LEVELS]; /* a bit for each slot that is not empty */
    struct wsi_list slot[WSI_WHEEL_LEVELS][WSI_WHEEL_SLOTS];
};

void wsi_wheel_init(struct wsi_wheel *wheel, uint64_t now_ms);

void wsi_timer_init(struct wsi_timer *timer, void (*on_timer)(struct wsi_timer *timer));

/** (Re)start: on_timer runs once, in the first turn at or after at_ms, never early. */
void wsi_timer_start(struct wsi_wheel *wheel, struct wsi_timer *timer, uint64_t at_ms);

/** Does nothing to a timer that is not running. */
void wsi_timer_stop(struct wsi_timer *timer);

bool wsi_timer_is_running(const struct wsi_timer *timer);

/** Run what was due when the call began, in order of time; callbacks may start and stop
 * any timer, and free their own. What they start with a time that has passed runs in the
 * next call. */
void wsi_wheel_advance(struct wsi_wheel *wheel, uint64_t now_ms);

/** No timer is due before this moment (it may be early, for a cascade or for a timer that
 * was stopped); UINT64_MAX when none is running. */
static inline uint64_t wsi_wheel_next_ms(const struct wsi_wheel *wheel)
{
    return wheel->soonest_ms;
}

#endif
