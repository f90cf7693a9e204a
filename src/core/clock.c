/* SPDX-License-Identifier: MIT */
/* The system's monotonic clock. */
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
