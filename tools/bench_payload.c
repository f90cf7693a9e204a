/* SPDX-License-Identifier: MIT */
/*
 * What `wsock bench` sends: records in JSON, as live feeds have them, so that compression
 * finds what it finds there. Names repeat, numbers do not; all of it is ASCII, so that it
 * is text wherever it is cut.
 */
#include <stdio.h>
#include <string.h>

#include "bench.h"

static uint32_t draw(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

void bench_fill(char *out, size_t len)
{
    static const char *const states[] = {"new", "packed", "sent", "delivered"};
    static const char *const places[] = {"Rotterdam", "Porto", "Trieste", "Bilbao",
                                         "Cork"};
    uint64_t random = 1;
    size_t at = 0;

    while (at < len) {
        const uint32_t id = draw(&random), place = draw(&random) % 5,
                       state = draw(&random) % 4, price = draw(&random) % 1000000;
        char record[128];
        const size_t n = (size_t)snprintf(
            record, sizeof record,
            "%s{\"id\":%u,\"from\":\"%s\",\"state\":\"%s\",\"price\":%u.%02u}",
            at == 0 ? "[" : ",", id, places[place], states[state], price / 100,
            price % 100);
        const size_t taken = n < len - at ? n : len - at;

        memcpy(out + at, record, taken);
        at += taken;
    }
}
