/* SPDX-License-Identifier: MIT */
/* Monotonic time, injected wherever it is needed so that tests own it. */
#ifndef WSI_CORE_CLOCK_H
#define WSI_CORE_CLOCK_H

#include <stdint.h>

struct wsi_clock {
    uint64_t (*now_us)(void *user);
    void *user;
};

/** Milliseconds since 1970, UTC: for people, as it may jump. */
int64_t wsi_calendar_ms(void);

/** CLOCK_MONOTONIC in microseconds. */
extern const struct wsi_clock wsi_clock_system;

static inline uint64_t wsi_clock_us(const struct wsi_clock *clock)
{
    return clock->now_us(clock->user);
}

#endif
