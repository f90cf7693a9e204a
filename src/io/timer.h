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
    uint64_t now_ms;
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

/** Run what is due; callbacks may start and stop any timer, and free their own. */
void wsi_wheel_advance(struct wsi_wheel *wheel, uint64_t now_ms);

/** No timer is due before this moment (it may be early, for a cascade); UINT64_MAX when
 *  none is running. */
uint64_t wsi_wheel_next_ms(const struct wsi_wheel *wheel);

#endif
