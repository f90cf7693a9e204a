/* SPDX-License-Identifier: MIT */
/*
 * A log-linear histogram of durations: each power of two is cut in 64 parts, so that a
 * percentile is right to 1.6 %, from one nanosecond to half an hour, in constant space.
 */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_PARTS   64
#define HISTOGRAM_DOUBLES 35
#define HISTOGRAM_SIZE    (HISTOGRAM_PARTS * HISTOGRAM_DOUBLES)

struct histogram {
    uint64_t count;
    uint64_t max;
    uint64_t sum;
    uint64_t cells[HISTOGRAM_SIZE];
};

void histogram_add(struct histogram *histogram, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);

/** The value that this share of all values does not exceed. @param per_mille 0 to 1000.
 */
uint64_t histogram_at(const struct histogram *histogram, unsigned per_mille);

#endif
