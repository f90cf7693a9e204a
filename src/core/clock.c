/* SPDX-License-Identifier: MIT */
/* The clocks of the system. */
#include "core/clock.h"

#include <stddef.h>
#include <time.h>

static uint64_t system_now_us(void *user)
{
    struct timespec now;

    (void)user;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

const struct wsi_clock wsi_clock_system = {.now_us = system_now_us, .user = NULL};

int64_t wsi_calendar_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
