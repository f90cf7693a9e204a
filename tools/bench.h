/* SPDX-License-Identifier: MIT */
/*
 * Within `wsock bench`: what it shall do, what came of it, and how that is told
 * (bench_report.c).
 */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>

#include "histogram.h"

#define LIST_MAX 64

struct plan {
    const char *url;
    const char *headers[LIST_MAX];
    const char *subprotocols[LIST_MAX];
    const char *sets[LIST_MAX];
    size_t header_count;
    size_t subprotocol_count;
    size_t set_count;
    int64_t connections;
    int64_t payload_bytes;
    int64_t depth;
    int64_t duration_ms;
    int64_t workers;
    int type;
    int is_fanout;
    int is_json;
};

struct result {
    uint64_t sent;
    uint64_t came;    /* answered or delivered while it ran */
    uint64_t lost;    /* connections */
    uint64_t wrong;   /* messages */
    uint64_t missing; /* messages */
    double seconds;
    int is_interrupted;
    const char *first_error; /* "" when there was none */
    struct histogram latency;
};

/** Print it. @return 0, or -1 when standard output cannot take it. */
int bench_report(const struct plan *plan, const struct result *result);

#endif
